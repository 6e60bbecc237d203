/*
 * Target: cs_hex_decode, cs_b64_get, cs_parse_u64, cs_parse_rfc3339, cs_utf8_valid
 * What is accepted is accepted in one form only: encoding again gives the same bytes (hex in lower case).
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

#define MAX_INPUT 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void hex(cs_slice in)
{
    uint8_t bytes[MAX_INPUT / 2];
    char text[MAX_INPUT + 1];
    if (cs_hex_decode(bytes, in.len / 2, in) == CS_OK) {
        cs_hex_encode(text, cs_slice_of(bytes, in.len / 2));
        require(strlen(text) == in.len && strncasecmp(text, (const char *)in.p, in.len) == 0);
    }
}

static void base64(cs_slice in, cs_b64 kind)
{
    uint8_t bytes[MAX_INPUT], text[2 * MAX_INPUT];
    cs_buf b = cs_buf_wrap(bytes, sizeof bytes), t = cs_buf_wrap(text, sizeof text);
    if (cs_b64_get(&b, in, kind) == CS_OK) {
        require(cs_b64_put(&t, cs_buf_slice(&b), kind) == CS_OK);
        require(cs_slice_eq(cs_buf_slice(&t), in));
    }
}

static void number(cs_slice in)
{
    uint64_t v = 0;
    uint8_t text[32];
    cs_buf t = cs_buf_wrap(text, sizeof text);
    if (cs_parse_u64(in, UINT64_MAX, &v) == CS_OK) {
        require(cs_put_fmt(&t, "%llu", (unsigned long long)v) == CS_OK && cs_slice_eq(cs_buf_slice(&t), in));
    }
}

static void date(cs_slice in)
{
    uint64_t ms = 0, again = 0;
    uint8_t text[64];
    cs_buf t = cs_buf_wrap(text, sizeof text);
    /* one leap second or offset may carry over the year 9999, which has no form to write */
    if (cs_parse_rfc3339(in, &ms) == CS_OK && ms < UINT64_C(253402300800000)) {
        require(cs_put_rfc3339(&t, ms) == CS_OK);
        require(cs_parse_rfc3339(cs_buf_slice(&t), &again) == CS_OK && again == ms);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > MAX_INPUT) {
        return 0;
    }
    cs_slice in = cs_slice_of(data, size);
    hex(in);
    base64(in, CS_B64_STD);
    base64(in, CS_B64_URL);
    base64(in, CS_B64_STD_RAW);
    number(in);
    date(in);
    (void)cs_utf8_valid(in);
    return 0;
}
