/* The receiving side of SigV4: take a signature apart, check it. Everything here is hostile input. See sigv4.h. */
#include "net/aws/sigv4.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/text.h"
#include "net/aws/sigv4_canon.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define MAX_AUTH_LEN 8192
#define QUERY_EARLY_MS (5 * 60 * 1000ull)
#define MAX_EXPIRES_S 604800u

/* Copy text into a NUL-terminated field: 1..cap-1 printable bytes without blanks. */
static cs_err copy_field(char *out, size_t cap, cs_slice text)
{
    if (text.len == 0 || text.len >= cap) {
        return CS_E_FORMAT;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] <= ' ' || text.p[i] >= 0x7f) {
            return CS_E_FORMAT;
        }
    }
    memcpy(out, text.p, text.len);
    out[text.len] = '\0';
    return CS_OK;
}

/* Split off up to sep; without a sep everything is taken. */
static cs_slice take_until(cs_slice *rest, char sep)
{
    size_t n = 0;
    while (n < rest->len && rest->p[n] != (uint8_t)sep) {
        n++;
    }
    cs_slice part = cs_slice_of(rest->p, n);
    size_t skip = n < rest->len ? n + 1 : n;
    *rest = cs_slice_of(rest->p + skip, rest->len - skip);
    return part;
}

/* AKID/YYYYMMDD/region/service/aws4_request. The access key id may not hold '/'. */
static cs_err parse_credential(cs_sigv4_auth *a, cs_slice text)
{
    cs_slice akid = take_until(&text, '/'), date = take_until(&text, '/');
    cs_slice region = take_until(&text, '/'), service = take_until(&text, '/');
    if (!cs_slice_eq_str(text, "aws4_request") || date.len != 8) {
        return CS_E_FORMAT;
    }
    for (size_t i = 0; i < date.len; i++) {
        if (date.p[i] < '0' || date.p[i] > '9') {
            return CS_E_FORMAT;
        }
    }
    CS_TRY(copy_field(a->access_key_id, sizeof a->access_key_id, akid));
    CS_TRY(copy_field(a->date, sizeof a->date, date));
    CS_TRY(copy_field(a->region, sizeof a->region, region));
    return copy_field(a->service, sizeof a->service, service);
}

static cs_err parse_signature(cs_sigv4_auth *a, cs_slice text)
{
    uint8_t raw[32];
    CS_TRY(cs_hex_decode(raw, sizeof raw, text));
    return copy_field(a->signature, sizeof a->signature, text);
}

static bool has_prefix(cs_slice s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.len >= n && memcmp(s.p, prefix, n) == 0;
}

/* "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...": three parts in any order, each exactly once. */
static cs_err parse_header(cs_sigv4_auth *a, cs_slice v)
{
    unsigned seen = 0;
    v = cs_trim(v, " \t");
    if (v.len > MAX_AUTH_LEN || !has_prefix(v, ALGORITHM " ")) {
        return CS_E_FORMAT;
    }
    v = cs_slice_of(v.p + strlen(ALGORITHM) + 1, v.len - strlen(ALGORITHM) - 1);
    while (v.len > 0) {
        cs_slice part = cs_trim(take_until(&v, ','), " \t");
        cs_slice key = take_until(&part, '=');
        unsigned bit;
        if (cs_slice_eq_str(key, "Credential")) {
            bit = 1;
            CS_TRY(parse_credential(a, part));
        } else if (cs_slice_eq_str(key, "SignedHeaders")) {
            bit = 2;
            CS_TRY(copy_field(a->signed_headers, sizeof a->signed_headers, part));
        } else if (cs_slice_eq_str(key, "Signature")) {
            bit = 4;
            CS_TRY(parse_signature(a, part));
        } else {
            return CS_E_FORMAT;
        }
        if (seen & bit) {
            return CS_E_FORMAT;
        }
        seen |= bit;
    }
    return seen == 7 ? CS_OK : CS_E_FORMAT;
}

static cs_err one_query_param(cs_sigv4_auth *a, cs_slice key, cs_slice v)
{
    if (cs_slice_eq_str(key, "X-Amz-Algorithm")) {
        return cs_slice_eq_str(v, ALGORITHM) ? CS_OK : CS_E_FORMAT;
    }
    if (cs_slice_eq_str(key, "X-Amz-Credential")) {
        return a->access_key_id[0] == '\0' ? parse_credential(a, v) : CS_E_FORMAT;
    }
    if (cs_slice_eq_str(key, "X-Amz-Date")) {
        return a->time[0] == '\0' ? copy_field(a->time, sizeof a->time, v) : CS_E_FORMAT;
    }
    if (cs_slice_eq_str(key, "X-Amz-Expires")) {
        CS_TRY(cs_parse_u64(v, MAX_EXPIRES_S, &a->expires_s));
        return a->expires_s > 0 ? CS_OK : CS_E_FORMAT;
    }
    if (cs_slice_eq_str(key, "X-Amz-SignedHeaders")) {
        return a->signed_headers[0] == '\0' ? copy_field(a->signed_headers, sizeof a->signed_headers, v) : CS_E_FORMAT;
    }
    if (cs_slice_eq_str(key, "X-Amz-Security-Token")) {
        return a->token[0] == '\0' ? copy_field(a->token, sizeof a->token, v) : CS_E_FORMAT;
    }
    if (cs_slice_eq_str(key, "X-Amz-Signature")) {
        return a->signature[0] == '\0' ? parse_signature(a, v) : CS_E_FORMAT;
    }
    return CS_OK;
}

static cs_err parse_query(cs_sigv4_auth *a, cs_slice query)
{
    uint8_t mem[4200];
    a->in_query = true;
    while (query.len > 0) {
        cs_slice pair = take_until(&query, '&');
        cs_slice key = take_until(&pair, '=');
        cs_buf value = cs_buf_wrap(mem, sizeof mem);
        if (!has_prefix(key, "X-Amz-")) {
            continue;
        }
        if (cs_sigv4_put_decoded(&value, pair) != CS_OK || one_query_param(a, key, cs_buf_slice(&value)) != CS_OK) {
            return CS_E_FORMAT;
        }
    }
    if (a->access_key_id[0] == '\0' || a->time[0] == '\0' || a->expires_s == 0 || a->signed_headers[0] == '\0' ||
        a->signature[0] == '\0') {
        return CS_E_FORMAT;
    }
    return CS_OK;
}

static bool query_is_signed(cs_slice query)
{
    while (query.len > 0) {
        cs_slice pair = take_until(&query, '&');
        if (cs_slice_eq_str(take_until(&pair, '='), "X-Amz-Signature")) {
            return true;
        }
    }
    return false;
}

cs_err cs_sigv4_parse(cs_sigv4_auth *out, const cs_sigv4_request *r)
{
    cs_sigv4_auth a = {0};
    cs_slice value = CS_SLICE_NULL, v;
    bool header = cs_sigv4_header_find(r, "authorization", &value), query = query_is_signed(r->query);
    uint64_t ms;
    if (!header && !query) {
        return CS_E_NOT_FOUND;
    }
    if (header && query) {
        return CS_E_FORMAT;
    }
    if (query) {
        CS_TRY(parse_query(&a, r->query));
    } else {
        CS_TRY(parse_header(&a, value));
        if (!cs_sigv4_header_find(r, "x-amz-date", &v)) {
            return CS_E_FORMAT;
        }
        CS_TRY(copy_field(a.time, sizeof a.time, cs_trim(v, " \t")));
        if (cs_sigv4_header_find(r, "x-amz-security-token", &v)) {
            CS_TRY(copy_field(a.token, sizeof a.token, cs_trim(v, " \t")));
        }
    }
    CS_TRY(cs_sigv4_parse_time(cs_slice_str(a.time), &ms));
    if (memcmp(a.time, a.date, 8) != 0) {
        return CS_E_FORMAT;
    }
    *out = a;
    return CS_OK;
}

static bool is_listed(const char *list, cs_slice name)
{
    cs_slice rest = cs_slice_str(list);
    while (rest.len > 0) {
        if (cs_sigv4_name_cmp(take_until(&rest, ';'), name) == 0) {
            return true;
        }
    }
    return false;
}

/* host and each x-amz-* header must be under the signature, or a proxy could add or change them. */
static cs_err check_coverage(const cs_sigv4_auth *auth, const cs_sigv4_request *r)
{
    if (!is_listed(auth->signed_headers, cs_slice_str("host"))) {
        return CS_E_FORMAT;
    }
    for (const char *p = auth->signed_headers; *p != '\0'; p++) {
        if (*p >= 'A' && *p <= 'Z') {
            return CS_E_FORMAT;
        }
    }
    for (size_t i = 0; i < r->num_headers; i++) {
        cs_slice n = r->headers[i].name;
        if (n.len >= 6 && cs_sigv4_name_cmp(cs_slice_of(n.p, 6), cs_slice_str("x-amz-")) == 0 &&
            !is_listed(auth->signed_headers, n)) {
            return CS_E_FORMAT;
        }
    }
    return CS_OK;
}

static cs_err check_window(const cs_sigv4_auth *auth, const cs_sigv4_check *c)
{
    uint64_t t = 0;
    CS_TRY(cs_sigv4_parse_time(cs_slice_str(auth->time), &t));
    if (auth->in_query) {
        return t > c->now_ms + QUERY_EARLY_MS || c->now_ms > t + auth->expires_s * 1000 ? CS_E_TIMEOUT : CS_OK;
    }
    uint64_t diff = t > c->now_ms ? t - c->now_ms : c->now_ms - t;
    return diff > c->max_skew_ms ? CS_E_TIMEOUT : CS_OK;
}

cs_err cs_sigv4_verify(const cs_sigv4_auth *auth, const cs_sigv4_request *r, const cs_sigv4_check *c)
{
    char want[65] = {0}, got[65];
    cs_err err;
    CS_TRY(check_coverage(auth, r));
    err = cs_sigv4_expected(want, auth, r, c->secret_key, c->flags);
    if (err == CS_OK) {
        for (size_t i = 0; i < sizeof got; i++) {
            char x = auth->signature[i];
            got[i] = x >= 'A' && x <= 'F' ? (char)(x | 0x20) : x;
        }
        err = CRYPTO_memcmp(want, got, 64) == 0 ? check_window(auth, c) : CS_E_AUTH;
    }
    OPENSSL_cleanse(want, sizeof want); /* the right signature of a request that was not authorised */
    return err;
}
