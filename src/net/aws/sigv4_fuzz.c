/*
 * Target: cs_sigv4_parse, cs_sigv4_verify, cs_sigv4_parse_time
 * Input: lines "method", "path", "query", then "name:value" headers. What parses is verified too: a signature of random bytes
 * must never be accepted.
 */
#include <stdint.h>
#include <stdlib.h>

#include "net/aws/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_sigv4_auth a;
    cs_sigv4_header h[CS_SIGV4_MAX_HEADERS + 1];
    cs_reader r = cs_reader_of(cs_slice_of(data, size));
    cs_sigv4_request q = {.headers = h, .payload_hash = cs_slice_str(CS_SIGV4_UNSIGNED)};
    cs_slice line;
    if (cs_read_line(&r, &q.method, 64) != CS_OK || cs_read_line(&r, &q.path, 4096) != CS_OK ||
        cs_read_line(&r, &q.query, 8192) != CS_OK) {
        return 0;
    }
    while (q.num_headers <= CS_SIGV4_MAX_HEADERS && cs_read_line(&r, &line, 16384) == CS_OK) {
        size_t n = 0;
        while (n < line.len && line.p[n] != ':') {
            n++;
        }
        size_t skip = n < line.len ? n + 1 : n;
        h[q.num_headers++] = (cs_sigv4_header){cs_slice_of(line.p, n), cs_slice_of(line.p + skip, line.len - skip)};
    }
    cs_sigv4_check c = {cs_slice_str("not the key that signed anything"), 1767323045000ull, 300000,
                        (unsigned)(size & 3)};
    if (cs_sigv4_parse(&a, &q) == CS_OK && cs_sigv4_verify(&a, &q, &c) == CS_OK) {
        abort();
    }
    return 0;
}
