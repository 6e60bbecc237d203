/* See kms_admin.h. */
#include "net/aws/kms_admin.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "net/aws/curl.h"
#include "net/aws/json.h"
#include "net/aws/kms.h"
#include "net/aws/region.h"

#define ANSWER_MAX ((uint64_t)1 << 20)
#define URL_MAX 512

typedef struct lines {
    char target[96], date[64], token[4200], auth[2048];
} lines;

static cs_err address(char url[URL_MAX], char host[URL_MAX], const cs_kms_admin *k)
{
    const char *p;
    int n = k->endpoint != NULL ? snprintf(url, URL_MAX, "%s/", k->endpoint)
                                : snprintf(url, URL_MAX, "https://kms.%s.%s/", k->region, cs_aws_suffix(k->region));

    if (n >= URL_MAX || (p = strstr(url, "://")) == NULL) {
        return CS_E_RANGE;
    }
    p += 3;
    (void)snprintf(host, URL_MAX, "%.*s", (int)strcspn(p, "/"), p);
    /* a slash of the given URL is enough */
    size_t end = (size_t)(p - url) + strlen(host) + 1;
    if (strspn(url + end, "/") != strlen(url + end)) {
        return CS_E_RANGE;
    }
    url[end] = '\0';
    return CS_OK;
}

static cs_err sign(lines *l, const cs_kms_admin *k, const char *operation, const char *host, cs_slice body)
{
    char hash[65], target[80];
    uint8_t mem[2000];
    cs_buf auth = cs_buf_wrap(mem, sizeof mem);
    cs_sigv4_result res = {.out = &auth};

    (void)snprintf(target, sizeof target, "TrentService.%.60s", operation);
    CS_TRY(cs_sigv4_hash(hash, body));
    const cs_sigv4_header h[] = {
        {cs_slice_str("Host"), cs_slice_str(host)},
        {cs_slice_str("Content-Type"), cs_slice_str("application/x-amz-json-1.1")},
        {cs_slice_str("X-Amz-Target"), cs_slice_str(target)},
    };
    const cs_sigv4_request r = {cs_slice_str("POST"), cs_slice_str("/"), CS_SLICE_NULL, h, 3, cs_slice_str(hash)};
    const cs_sigv4_signer s = {.access_key_id = cs_slice_str(k->creds->access_key_id),
                               .secret_key = cs_slice_str(k->creds->secret_key),
                               .token = cs_slice_str(k->creds->token),
                               .region = cs_slice_str(k->region),
                               .service = cs_slice_str("kms"),
                               .time_ms = cs_clock_wall_ms(),
                               .flags = CS_SIGV4_NORMALIZE};
    CS_TRY(cs_sigv4_sign(&res, &r, &s));
    (void)snprintf(l->target, sizeof l->target, "X-Amz-Target: %s", target);
    (void)snprintf(l->date, sizeof l->date, "X-Amz-Date: %s", res.time);
    (void)snprintf(l->token, sizeof l->token, "X-Amz-Security-Token: %s", k->creds->token);
    (void)snprintf(l->auth, sizeof l->auth, "Authorization: %.*s", (int)auth.len, (const char *)mem);
    return CS_OK;
}

static void printable(char *out, size_t cap, const cs_buf *text)
{
    size_t n = text->len < cap - 1 ? text->len : cap - 1;

    for (size_t i = 0; i < n; i++) {
        out[i] = text->p[i] >= 0x20 && text->p[i] < 0x7f ? (char)text->p[i] : '?';
    }
    out[n] = '\0';
}

static cs_err refusal(cs_kms_refusal *why, int status, cs_slice body)
{
    cs_buf type = cs_buf_heap(1024), lower = cs_buf_heap(16384), upper = cs_buf_heap(16384);
    cs_json_field f[] = {
        {.key = "__type", .kind = CS_JSON_STRING, .out = &type},
        {.key = "message", .kind = CS_JSON_STRING, .out = &lower},
        {.key = "Message", .kind = CS_JSON_STRING, .out = &upper},
    };
    cs_err err = CS_E_KMS_ANSWER;

    if (cs_json_read(body, f, 3) == CS_OK && type.len > 0) {
        const uint8_t *hash = memrchr(type.p, '#', type.len);
        cs_buf_consume(&type, hash != NULL ? (size_t)(hash - type.p) + 1 : 0);
        printable(why->type, sizeof why->type, &type);
        printable(why->message, sizeof why->message, lower.len > 0 ? &lower : &upper);
        err = cs_kms_err_of_type(cs_slice_str(why->type), status);
    } else if (status >= 500) {
        err = CS_E_KMS_UNAVAILABLE;
    }
    cs_buf_free(&type);
    cs_buf_free(&lower);
    cs_buf_free(&upper);
    return err;
}

cs_err cs_kms_admin_call(cs_buf *out, cs_kms_refusal *why, const cs_kms_admin *k, const char *operation, cs_slice body)
{
    static lines l; /* has the token: wiped */
    char url[URL_MAX], host[URL_MAX];
    size_t len0 = out->len;
    cs_curl_reply reply = {.body = out};

    memset(why, 0, sizeof *why);
    CS_TRY(address(url, host, k));
    cs_err err = sign(&l, k, operation, host, body);
    if (err == CS_OK) {
        const cs_curl_request q = {.method = "POST",
                                   .url = url,
                                   .headers = {"Content-Type: application/x-amz-json-1.1", l.target, l.date, l.auth,
                                               k->creds->token[0] != '\0' ? l.token : NULL},
                                   .body = body,
                                   .ca_file = k->ca_file,
                                   .connect_ms = 3000,
                                   .timeout_ms = 20000,
                                   .max_bytes = ANSWER_MAX};
        err = cs_curl_run(&reply, &q);
    }
    OPENSSL_cleanse(&l, sizeof l);
    if (err == CS_OK && reply.status != 200) {
        err = refusal(why, reply.status, cs_slice_of(out->p + len0, out->len - len0));
    }
    if (err != CS_OK) {
        out->len = len0;
    }
    return err;
}
