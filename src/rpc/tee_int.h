/* Pieces of the codecs of TEE messages: tee_msg.c, tee_audit.c. For rpc/ only. */
#ifndef CS_RPC_TEE_INT_H
#define CS_RPC_TEE_INT_H

#include <string.h>

#include "base/text.h"
#include "rpc/tee_rpc.h"

#define CS_TEE_SIGNATURE 64u
#define CS_TEE_CODE_MAX 64u

static inline cs_err cs_tee_exactly(cs_cbor *c, const uint8_t **out, size_t len)
{
    cs_slice s;

    CS_TRY(cs_cbor_bytes(c, &s));
    *out = s.p;
    return s.len == len ? CS_OK : CS_E_FORMAT;
}

static inline cs_err cs_tee_array_of(cs_cbor *c, uint64_t count)
{
    cs_cbor_iter it;

    CS_TRY(cs_cbor_array(c, &it));
    return it.left == count ? CS_OK : CS_E_FORMAT;
}

static inline cs_err cs_tee_put_text(cs_buf *out, cs_slice s)
{
    return cs_utf8_valid(s) ? cs_cbor_put_text_slice(out, s) : CS_E_RANGE;
}

/* Decoders that fail leave nothing. */
static inline cs_err cs_tee_cleared(void *out, size_t len, cs_err err)
{
    if (err != CS_OK) {
        memset(out, 0, len);
    }
    return err;
}

/* What was written from `before` on. */
static inline cs_slice cs_tee_written(const cs_buf *out, size_t before)
{
    return cs_slice_of(out->p + before, out->len - before);
}

/* Writers that fail leave the buffer as it was; what would not decode was out of range. */
static inline cs_err cs_tee_undo(cs_buf *out, size_t before, cs_err err)
{
    if (err != CS_OK) {
        out->len = before;
    }
    return err == CS_E_FORMAT || err == CS_E_TOO_LARGE ? CS_E_RANGE : err;
}

static inline bool cs_tee_code_valid(cs_slice code)
{
    return code.len > 0 && cs_name_valid(code, CS_TEE_CODE_MAX);
}

#endif
