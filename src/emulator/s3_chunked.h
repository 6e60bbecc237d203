/* The aws-chunked encoding of uploads: unsigned or with a signature per chunk, with or without trailers. Pure. */
#ifndef CS_EMULATOR_S3_CHUNKED_H
#define CS_EMULATOR_S3_CHUNKED_H

#include "base/bytes.h"

#define CS_EMU_MAX_TRAILERS 8

/* What chunk signatures are made with (STREAMING-AWS4-HMAC-SHA256-PAYLOAD and its -TRAILER form). */
typedef struct cs_emu_chunk_signer {
    const char *secret, *date, *time, *region; /* of the request's own signature; date: YYYYMMDD */
    const char *seed;                          /* its signature, hex */
} cs_emu_chunk_signer;

typedef struct cs_emu_trailers {
    struct {
        cs_slice name, value; /* into the body */
    } item[CS_EMU_MAX_TRAILERS];
    size_t num;
} cs_emu_trailers;

/*
 * cs_emu_s3_unchunk - append the content of an aws-chunked body to out. signer: NULL for STREAMING-UNSIGNED-PAYLOAD-TRAILER.
 * trailers: filled with those after the last chunk, but for the signature.
 * CS_E_FORMAT (also: a signature where none belongs) | CS_E_AUTH (a signature is missing or wrong) | CS_E_RANGE (out is full, or
 * too many trailers) | CS_E_INTERNAL
 */
CS_MUST cs_err cs_emu_s3_unchunk(cs_buf *out, cs_slice body, const cs_emu_chunk_signer *signer,
                                 cs_emu_trailers *trailers);

#endif
