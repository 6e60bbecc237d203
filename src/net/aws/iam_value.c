/* See iam_value.h. */
#include "net/aws/iam_value.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

bool cs_iam_number(const char *text, double *out)
{
    char *end = NULL;

    if (text[0] == '\0' || strspn(text, "0123456789.+-eE") != strlen(text)) {
        return false;
    }
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

bool cs_iam_date(const char *text, double *out)
{
    uint64_t ms = 0;
    char full[64];
    size_t n = strlen(text);

    if (n == 10 && text[4] == '-') {
        (void)snprintf(full, sizeof full, "%sT00:00:00Z", text);
    } else if (n == 17 && text[16] == 'Z') {
        (void)snprintf(full, sizeof full, "%.16s:00Z", text);
    } else {
        (void)snprintf(full, sizeof full, "%.60s", text);
    }
    if (cs_parse_rfc3339(cs_slice_str(full), &ms) == CS_OK) {
        *out = (double)ms;
        return true;
    }
    if (!cs_iam_number(text, out)) {
        return false;
    }
    *out *= 1000;
    return true;
}

typedef struct ip_range {
    uint8_t addr[16];
    unsigned len, bits; /* len: 4 or 16 */
} ip_range;

static bool parse_ip(const char *text, ip_range *out)
{
    char addr[64];
    uint64_t bits = 0;
    size_t n = strcspn(text, "/");

    if (n >= sizeof addr) {
        return false;
    }
    memcpy(addr, text, n);
    addr[n] = '\0';
    out->len = strchr(addr, ':') != NULL ? 16 : 4;
    out->bits = out->len * 8;
    if (inet_pton(out->len == 16 ? AF_INET6 : AF_INET, addr, out->addr) != 1) {
        return false;
    }
    if (text[n] == '/') {
        if (cs_parse_u64(cs_slice_str(text + n + 1), out->bits, &bits) != CS_OK) {
            return false;
        }
        out->bits = (unsigned)bits;
    }
    return true;
}

bool cs_iam_ip(const char *text)
{
    ip_range r;

    return parse_ip(text, &r);
}

bool cs_iam_ip_in(const char *want, const char *got)
{
    ip_range net, a;

    if (!parse_ip(want, &net) || !parse_ip(got, &a) || net.len != a.len || a.bits != a.len * 8) {
        return false;
    }
    for (unsigned i = 0; i < net.bits; i++) {
        if (((net.addr[i / 8] ^ a.addr[i / 8]) >> (7 - i % 8)) & 1) {
            return false;
        }
    }
    return true;
}
