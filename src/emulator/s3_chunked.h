/* The aws-chunked encoding of uploads, unsigned with a trailer, as newer AWS clients send them. */
#ifndef CS_EMULATOR_S3_CHUNKED_H
#define CS_EMULATOR_S3_CHUNKED_H

#include "base/bytes.h"

/* cs_emu_s3_unchunk - append the content of body: "HEX CRLF data CRLF" ... "0 CRLF" trailers CRLF. CS_E_FORMAT | CS_E_RANGE. */
CS_MUST cs_err cs_emu_s3_unchunk(cs_buf *out, cs_slice body);

#endif
