/* See s3.h. The parts without I/O are in s3_parse.c. */
#include "net/aws/s3.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/text.h"
#include "net/aws/curl.h"
#include "net/aws/sigv4.h"

#define MAX_URL 4096

typedef struct call {
    const char *method;
    const cs_s3_uri *uri;
    const cs_s3_opts *o;
    cs_slice body;
    char region[65];
    char host[300], path[3200], url[MAX_URL]; /* of this try */
} call;

static bool has_dot(const char *bucket)
{
    return strchr(bucket, '.') != NULL;
}

/* Host, path and URL: given endpoint and buckets with dots go by path, else by virtual host. */
static cs_err address(call *c)
{
    cs_buf path = cs_buf_wrap(c->path, sizeof c->path - 1);
    bool by_path = c->o->endpoint != NULL || has_dot(c->uri->bucket);
    const char *scheme = "https://";
    int n;
    CS_TRY(cs_put_str(&path, "/"));
    if (by_path) {
        CS_TRY(cs_put_str(&path, c->uri->bucket));
        CS_TRY(cs_put_str(&path, "/"));
    }
    CS_TRY(cs_sigv4_put_encoded(&path, cs_slice_str(c->uri->key), true));
    c->path[path.len] = '\0';
    if (c->o->endpoint != NULL) {
        const char *at = strstr(c->o->endpoint, "://");
        if (at == NULL || strchr(at + 3, '/') != NULL) {
            return CS_E_FORMAT;
        }
        n = snprintf(c->host, sizeof c->host, "%s", at + 3);
        scheme = strncmp(c->o->endpoint, "http:", 5) == 0 ? "http://" : "https://";
    } else {
        const char *suffix = strncmp(c->region, "cn-", 3) == 0 ? "amazonaws.com.cn" : "amazonaws.com";
        n = by_path ? snprintf(c->host, sizeof c->host, "s3.%s.%s", c->region, suffix)
                    : snprintf(c->host, sizeof c->host, "%s.s3.%s.%s", c->uri->bucket, c->region, suffix);
    }
    if (n < 0 || (size_t)n >= sizeof c->host) {
        return CS_E_RANGE;
    }
    n = snprintf(c->url, sizeof c->url, "%s%s%s", scheme, c->host, c->path);
    return n > 0 && (size_t)n < sizeof c->url ? CS_OK : CS_E_RANGE;
}

typedef struct head_lines {
    char date[64], sha[128], auth[2048], token[4200];
} head_lines;

static cs_err sign(head_lines *h, const call *c)
{
    char hash[65];
    uint8_t mem[2000];
    cs_buf auth = cs_buf_wrap(mem, sizeof mem);
    CS_TRY(cs_sigv4_hash(hash, c->body));
    cs_sigv4_result res = {.out = &auth};
    cs_sigv4_header host = {cs_slice_str("Host"), cs_slice_str(c->host)};
    cs_sigv4_request r = {cs_slice_str(c->method), cs_slice_str(c->path), CS_SLICE_NULL, &host, 1, cs_slice_str(hash)};
    const cs_aws_creds *k = c->o->creds;
    cs_sigv4_signer s = {.access_key_id = cs_slice_str(k->access_key_id),
                         .secret_key = cs_slice_str(k->secret_key),
                         .token = cs_slice_str(k->token),
                         .region = cs_slice_str(c->region),
                         .service = cs_slice_str("s3"),
                         .time_ms = cs_clock_wall_ms(),
                         .flags = CS_SIGV4_SINGLE_ENCODE | CS_SIGV4_CONTENT_SHA256};
    CS_TRY(cs_sigv4_sign(&res, &r, &s));
    snprintf(h->date, sizeof h->date, "X-Amz-Date: %s", res.time);
    snprintf(h->sha, sizeof h->sha, "X-Amz-Content-Sha256: %s", hash);
    snprintf(h->auth, sizeof h->auth, "Authorization: %.*s", (int)auth.len, (const char *)mem);
    snprintf(h->token, sizeof h->token, "X-Amz-Security-Token: %s", k->token);
    return CS_OK;
}

static void copy_value(char *out, size_t cap, cs_slice v)
{
    size_t n = v.len < cap - 1 ? v.len : cap - 1;
    memcpy(out, v.p, n);
    out[n] = '\0';
}

static bool is_name(cs_slice name, const char *want)
{
    return name.len == strlen(want) && strncasecmp((const char *)name.p, want, name.len) == 0;
}

static void on_header(void *cookie, cs_slice name, cs_slice value)
{
    cs_s3_info *i = cookie;
    if (is_name(name, "etag")) {
        copy_value(i->etag, sizeof i->etag, value);
    } else if (is_name(name, "x-amz-version-id")) {
        copy_value(i->version, sizeof i->version, value);
    } else if (is_name(name, "x-amz-bucket-region")) {
        copy_value(i->region, sizeof i->region, value);
    } else if (is_name(name, "content-length")) {
        (void)!cs_parse_u64(value, UINT64_MAX, &i->size);
    }
}

/* One signed request; the body of a refusal goes to the error parser, not to out. */
static cs_err one_try(call *c, cs_buf *out, cs_s3_info *info)
{
    head_lines h;
    size_t len0 = out->len;
    cs_curl_reply reply = {.body = out, .on_header = on_header, .cookie = info};
    memset(info, 0, sizeof *info);
    CS_TRY(address(c));
    CS_TRY(sign(&h, c));
    cs_curl_request q = {.method = c->method,
                         .url = c->url,
                         .headers = {h.date, h.sha, h.auth},
                         .body = c->body,
                         .ca_file = c->o->ca_file,
                         .connect_ms = c->o->connect_ms != 0 ? c->o->connect_ms : 3000,
                         .timeout_ms = c->o->timeout_ms != 0 ? c->o->timeout_ms : 60000,
                         .max_bytes = c->o->max_bytes};
    if (c->o->creds->token[0] != '\0') {
        q.headers[3] = h.token;
    }
    q.max_bytes = q.max_bytes < 4096 ? 4096 : q.max_bytes; /* room for the XML of a refusal */
    cs_err err = cs_curl_run(&reply, &q);
    memset(&h, 0, sizeof h);
    info->status = reply.status;
    if (err == CS_OK && reply.status != 200) {
        cs_s3_parse_error(info, out->len > len0 ? cs_slice_of(out->p + len0, out->len - len0) : CS_SLICE_NULL);
        out->len = len0;
        err = cs_s3_err(info->status, info->code);
    } else if (err == CS_OK && out->len - len0 > c->o->max_bytes) {
        out->len = len0;
        err = CS_E_TOO_LARGE;
    }
    return err;
}

/* A region that may stand in a host name of ours. */
static bool region_valid(const char *r)
{
    size_t n = strlen(r);
    return n > 0 && n < 33 && strspn(r, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static cs_err run(call *c, cs_buf *out, cs_s3_info *info)
{
    cs_s3_info own = {0};
    info = info != NULL ? info : &own;
    snprintf(c->region, sizeof c->region, "%s", c->o->region);
    if (!region_valid(c->region)) {
        return CS_E_FORMAT;
    }
    cs_err err = one_try(c, out, info);
    bool moved = err != CS_OK && (info->status == 301 || info->status == 400) && region_valid(info->region) &&
                 strcmp(info->region, c->region) != 0;
    if (moved) { /* once, to a host made of the region's name, wherever Location points */
        snprintf(c->region, sizeof c->region, "%s", info->region);
        err = one_try(c, out, info);
    }
    return err;
}

cs_err cs_s3_get(cs_buf *out, cs_s3_info *info, const cs_s3_uri *uri, const cs_s3_opts *opts)
{
    call c = {.method = "GET", .uri = uri, .o = opts};
    return run(&c, out, info);
}

cs_err cs_s3_head(cs_s3_info *info, const cs_s3_uri *uri, const cs_s3_opts *opts)
{
    call c = {.method = "HEAD", .uri = uri, .o = opts};
    cs_buf none = cs_buf_heap(8192);
    cs_err err = run(&c, &none, info);
    cs_buf_free(&none);
    return err;
}

cs_err cs_s3_put(cs_s3_info *info, const cs_s3_uri *uri, cs_slice body, const cs_s3_opts *opts)
{
    call c = {.method = "PUT",
              .uri = uri,
              .o = opts,
              .body = cs_slice_of(body.p != NULL ? body.p : (const uint8_t *)"", body.len)};
    cs_buf answer = cs_buf_heap(65536);
    cs_err err = run(&c, &answer, info);
    cs_buf_free(&answer);
    return err;
}
