/* Signing and verification with AWS Signature Version 4. See sigv4.h. */
#include "net/aws/sigv4.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/text.h"
#include "net/aws/sigv4_canon.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define MAX_SECRET 256
#define MAX_EXPIRES_S 604800u

cs_err cs_sigv4_hash(char out[65], cs_slice body)
{
    uint8_t md[32];
    unsigned len = 0;
    if (EVP_Digest(body.p, body.len, md, &len, EVP_sha256(), NULL) != 1 || len != sizeof md) {
        return CS_E_INTERNAL;
    }
    cs_hex_encode(out, cs_slice_of(md, sizeof md));
    return CS_OK;
}

cs_err cs_sigv4_time(char out[CS_SIGV4_TIME_LEN + 1], uint64_t time_ms)
{
    uint8_t mem[64];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    size_t n = 0;
    if (time_ms > 253402300799999ull) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_put_rfc3339(&b, time_ms)); /* YYYY-MM-DDTHH:MM:SS.mmmZ */
    if (b.len < 20) {
        return CS_E_INTERNAL;
    }
    for (size_t i = 0; i < 19; i++) {
        if (mem[i] != '-' && mem[i] != ':') {
            out[n++] = (char)mem[i];
        }
    }
    out[n++] = 'Z';
    out[n] = '\0';
    return CS_OK;
}

cs_err cs_sigv4_parse_time(cs_slice t, uint64_t *out_ms)
{
    char text[21];
    if (t.len != CS_SIGV4_TIME_LEN || t.p[8] != 'T' || t.p[15] != 'Z') {
        return CS_E_FORMAT;
    }
    const uint8_t *p = t.p;
    memcpy(text, (const char[]){(char)p[0],  (char)p[1],  (char)p[2], (char)p[3],  '-',         (char)p[4],  (char)p[5],
                                '-',         (char)p[6],  (char)p[7], 'T',         (char)p[9],  (char)p[10], ':',
                                (char)p[11], (char)p[12], ':',        (char)p[13], (char)p[14], 'Z'},
           20);
    return cs_parse_rfc3339(cs_slice_of(text, 20), out_ms);
}

static bool hmac(uint8_t out[32], const uint8_t *key, size_t key_len, const void *data, size_t len)
{
    unsigned n = 0;
    return HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &n) != NULL && n == 32;
}

typedef struct scope {
    cs_slice date, region, service; /* date: 8 digits */
} scope;

static cs_err put_scope(cs_buf *out, const scope *s)
{
    CS_TRY(cs_put_slice(out, s->date));
    CS_TRY(cs_put_u8(out, '/'));
    CS_TRY(cs_put_slice(out, s->region));
    CS_TRY(cs_put_u8(out, '/'));
    CS_TRY(cs_put_slice(out, s->service));
    return cs_put_str(out, "/aws4_request");
}

/* The signature over a string to sign: HMAC chain over the parts of the scope. Wipes every key on the way. */
static cs_err compute(char out[65], cs_slice secret, const scope *s, cs_slice sts)
{
    uint8_t start[4 + MAX_SECRET] = "AWS4", k1[32], k2[32];
    bool ok;
    if (secret.len == 0 || secret.len > MAX_SECRET) {
        return CS_E_RANGE;
    }
    memcpy(start + 4, secret.p, secret.len);
    ok = hmac(k1, start, 4 + secret.len, s->date.p, s->date.len) && hmac(k2, k1, 32, s->region.p, s->region.len) &&
         hmac(k1, k2, 32, s->service.p, s->service.len) && hmac(k2, k1, 32, "aws4_request", 12) &&
         hmac(k1, k2, 32, sts.p, sts.len);
    if (ok) {
        cs_hex_encode(out, cs_slice_of(k1, 32));
    }
    OPENSSL_cleanse(start, sizeof start);
    OPENSSL_cleanse(k1, sizeof k1);
    OPENSSL_cleanse(k2, sizeof k2);
    return ok ? CS_OK : CS_E_INTERNAL;
}

static cs_err put_string_to_sign(cs_buf *out, const char *time, const scope *s, cs_slice canonical)
{
    char hash[65];
    CS_TRY(cs_sigv4_hash(hash, canonical));
    CS_TRY(cs_put_str(out, ALGORITHM "\n"));
    CS_TRY(cs_put_str(out, time));
    CS_TRY(cs_put_u8(out, '\n'));
    CS_TRY(put_scope(out, s));
    CS_TRY(cs_put_u8(out, '\n'));
    return cs_put_str(out, hash);
}

bool cs_sigv4_header_find(const cs_sigv4_request *r, const char *name, cs_slice *out)
{
    for (size_t i = 0; i < r->num_headers; i++) {
        if (cs_sigv4_name_cmp(r->headers[i].name, cs_slice_str(name)) == 0) {
            *out = r->headers[i].value;
            return true;
        }
    }
    return false;
}

typedef struct work {
    cs_buf canonical, names, sts;
} work;

static work work_init(void)
{
    return (work){cs_buf_heap(CS_SIGV4_MAX_TEXT), cs_buf_heap(CS_SIGV4_MAX_TEXT), cs_buf_heap(CS_SIGV4_MAX_TEXT)};
}

static void work_cleanup(work *w)
{
    cs_buf_free(&w->canonical);
    cs_buf_free(&w->names);
    cs_buf_free(&w->sts);
}

static cs_err check_signer(const cs_sigv4_request *r, const cs_sigv4_signer *s)
{
    static const char *const ours[] = {"x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "authorization"};
    cs_slice v;
    for (size_t i = 0; i < 4; i++) {
        if (cs_sigv4_header_find(r, ours[i], &v)) {
            return CS_E_FORMAT;
        }
    }
    if (!cs_sigv4_header_find(r, "host", &v) || s->access_key_id.len == 0 || s->region.len == 0 ||
        s->service.len == 0) {
        return CS_E_FORMAT;
    }
    return CS_OK;
}

/* Canonical request -> string to sign -> signature; copies the first two to where the caller wants them. */
static cs_err finish(cs_sigv4_result *out, work *w, const cs_sigv4_signer *signer)
{
    scope s = {cs_slice_of(out->time, 8), signer->region, signer->service};
    CS_TRY(put_string_to_sign(&w->sts, out->time, &s, cs_buf_slice(&w->canonical)));
    CS_TRY(compute(out->signature, signer->secret_key, &s, cs_buf_slice(&w->sts)));
    if (out->canonical != NULL) {
        CS_TRY(cs_put_slice(out->canonical, cs_buf_slice(&w->canonical)));
    }
    if (out->string_to_sign != NULL) {
        CS_TRY(cs_put_slice(out->string_to_sign, cs_buf_slice(&w->sts)));
    }
    return CS_OK;
}

static cs_err put_authorization(cs_buf *out, const cs_sigv4_result *res, const cs_sigv4_signer *signer, cs_slice names)
{
    scope s = {cs_slice_of(res->time, 8), signer->region, signer->service};
    CS_TRY(cs_put_str(out, ALGORITHM " Credential="));
    CS_TRY(cs_put_slice(out, signer->access_key_id));
    CS_TRY(cs_put_u8(out, '/'));
    CS_TRY(put_scope(out, &s));
    CS_TRY(cs_put_str(out, ", SignedHeaders="));
    CS_TRY(cs_put_slice(out, names));
    CS_TRY(cs_put_str(out, ", Signature="));
    return cs_put_str(out, res->signature);
}

cs_err cs_sigv4_sign(cs_sigv4_result *out, const cs_sigv4_request *request, const cs_sigv4_signer *signer)
{
    cs_sigv4_header headers[CS_SIGV4_MAX_HEADERS];
    cs_sigv4_request full = *request;
    work w = work_init();
    cs_err err = check_signer(request, signer);
    if (err == CS_OK && request->num_headers > CS_SIGV4_MAX_HEADERS - 3) {
        err = CS_E_RANGE;
    }
    if (err != CS_OK || (err = cs_sigv4_time(out->time, signer->time_ms)) != CS_OK) {
        goto out;
    }
    size_t n = request->num_headers;
    if (n > 0) {
        memcpy(headers, request->headers, n * sizeof headers[0]);
    }
    headers[n++] = (cs_sigv4_header){cs_slice_str("x-amz-date"), cs_slice_str(out->time)};
    if (signer->token.len > 0 && !(signer->flags & CS_SIGV4_TOKEN_UNSIGNED)) {
        headers[n++] = (cs_sigv4_header){cs_slice_str("x-amz-security-token"), signer->token};
    }
    if (signer->flags & CS_SIGV4_CONTENT_SHA256) {
        headers[n++] = (cs_sigv4_header){cs_slice_str("x-amz-content-sha256"), request->payload_hash};
    }
    full.headers = headers;
    full.num_headers = n;
    err = cs_sigv4_canonical(&w.canonical, &w.names, &full, NULL, signer->flags);
    if (err == CS_OK) {
        err = finish(out, &w, signer);
    }
    if (err == CS_OK) {
        err = put_authorization(out->out, out, signer, cs_buf_slice(&w.names));
    }
out:
    work_cleanup(&w);
    return err;
}

static cs_err put_param(cs_buf *q, const char *key, cs_slice value)
{
    if (q->len > 0) {
        CS_TRY(cs_put_u8(q, '&'));
    }
    CS_TRY(cs_put_str(q, key));
    CS_TRY(cs_put_u8(q, '='));
    return cs_sigv4_put_encoded(q, value, false);
}

static cs_err put_credential(cs_buf *q, const cs_sigv4_result *res, const cs_sigv4_signer *signer)
{
    cs_buf text = cs_buf_heap(1024);
    scope s = {cs_slice_of(res->time, 8), signer->region, signer->service};
    cs_err err = cs_put_slice(&text, signer->access_key_id);
    if (err == CS_OK) {
        err = cs_put_u8(&text, '/');
    }
    if (err == CS_OK) {
        err = put_scope(&text, &s);
    }
    if (err == CS_OK) {
        err = put_param(q, "X-Amz-Credential", cs_buf_slice(&text));
    }
    cs_buf_free(&text);
    return err;
}

/* The names that the canonical request will sign are needed inside the query: a first pass over the headers alone. */
static cs_err put_presign_params(cs_buf *q, const cs_sigv4_result *res, const cs_sigv4_request *r,
                                 const cs_sigv4_signer *signer)
{
    cs_buf scratch = cs_buf_heap(CS_SIGV4_MAX_TEXT), names = cs_buf_heap(CS_SIGV4_MAX_TEXT);
    char expires[24];
    cs_buf eb = cs_buf_wrap(expires, sizeof expires);
    cs_err err = cs_sigv4_canonical(&scratch, &names, r, NULL, signer->flags);
    if (err == CS_OK) {
        err = cs_put_fmt(&eb, "%llu", (unsigned long long)signer->expires_s);
    }
    if (err == CS_OK) {
        err = put_param(q, "X-Amz-Algorithm", cs_slice_str(ALGORITHM));
    }
    if (err == CS_OK) {
        err = put_credential(q, res, signer);
    }
    if (err == CS_OK) {
        err = put_param(q, "X-Amz-Date", cs_slice_str(res->time));
    }
    if (err == CS_OK) {
        err = put_param(q, "X-Amz-Expires", cs_buf_slice(&eb));
    }
    if (err == CS_OK) {
        err = put_param(q, "X-Amz-SignedHeaders", cs_buf_slice(&names));
    }
    if (err == CS_OK && signer->token.len > 0 && !(signer->flags & CS_SIGV4_TOKEN_UNSIGNED)) {
        err = put_param(q, "X-Amz-Security-Token", signer->token);
    }
    cs_buf_free(&scratch);
    cs_buf_free(&names);
    return err;
}

cs_err cs_sigv4_presign(cs_sigv4_result *out, const cs_sigv4_request *request, const cs_sigv4_signer *signer)
{
    cs_sigv4_request full = *request;
    cs_buf query = cs_buf_heap(CS_SIGV4_MAX_TEXT);
    work w = work_init();
    cs_err err = check_signer(request, signer);
    if (err == CS_OK && (signer->expires_s == 0 || signer->expires_s > MAX_EXPIRES_S)) {
        err = CS_E_RANGE;
    }
    if (err != CS_OK || (err = cs_sigv4_time(out->time, signer->time_ms)) != CS_OK ||
        (err = cs_put_slice(&query, request->query)) != CS_OK ||
        (err = put_presign_params(&query, out, request, signer)) != CS_OK) {
        goto out;
    }
    full.query = cs_buf_slice(&query);
    if ((err = cs_sigv4_canonical(&w.canonical, &w.names, &full, NULL, signer->flags)) != CS_OK ||
        (err = finish(out, &w, signer)) != CS_OK) {
        goto out;
    }
    if (signer->token.len > 0 && (signer->flags & CS_SIGV4_TOKEN_UNSIGNED)) {
        err = put_param(&query, "X-Amz-Security-Token", signer->token);
    }
    if (err == CS_OK) {
        err = put_param(&query, "X-Amz-Signature", cs_slice_str(out->signature));
    }
    if (err == CS_OK) {
        err = cs_put_slice(out->out, cs_buf_slice(&query));
    }
out:
    work_cleanup(&w);
    cs_buf_free(&query);
    return err;
}

/* The string to sign of a received request, for the check in sigv4_verify.c. */
cs_err cs_sigv4_expected(char out[65], const cs_sigv4_auth *auth, const cs_sigv4_request *request, cs_slice secret,
                         unsigned flags)
{
    work w = work_init();
    scope s = {cs_slice_str(auth->date), cs_slice_str(auth->region), cs_slice_str(auth->service)};
    cs_err err = cs_sigv4_canonical(&w.canonical, &w.names, request, auth->signed_headers, flags);
    if (err == CS_OK) {
        err = put_string_to_sign(&w.sts, auth->time, &s, cs_buf_slice(&w.canonical));
    }
    if (err == CS_OK) {
        err = compute(out, secret, &s, cs_buf_slice(&w.sts));
    }
    work_cleanup(&w);
    return err;
}
