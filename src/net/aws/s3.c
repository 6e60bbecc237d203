/* See s3.h. The parts without I/O are in s3_parse.c. */
#include "net/aws/s3.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "net/aws/curl.h"
#include "net/aws/sigv4.h"

#define MAX_URL 4800
#define TRIES 6u
#define BACK_OFF_MS 100u
#define BACK_OFF_MAX_MS 3000u

typedef struct call {
    const char *method;
    const cs_s3_uri *uri;
    const cs_s3_opts *o;
    cs_slice body;
    char region[65];
    cs_s3_address at; /* of this try */
    uint64_t from;    /* bytes that are there already; 0: from the start */
    char etag[129];   /* of what they are of */
} call;

typedef struct head_lines {
    char date[64], sha[128], auth[2048], token[4200], range[64], match[160];
} head_lines;

static cs_err sign(head_lines *h, const call *c)
{
    char hash[65];
    uint8_t mem[2000];
    cs_buf auth = cs_buf_wrap(mem, sizeof mem);
    CS_TRY(cs_sigv4_hash(hash, c->body));
    cs_sigv4_result res = {.out = &auth};
    cs_sigv4_header host = {cs_slice_str("Host"), cs_slice_str(c->at.host)};
    cs_sigv4_request r = {.method = cs_slice_str(c->method),
                          .path = cs_slice_str(c->at.path),
                          .query = cs_slice_str(c->at.query),
                          .headers = &host,
                          .num_headers = 1,
                          .payload_hash = cs_slice_str(hash)};
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

/* "bytes 5-9/10" */
static void take_range(cs_s3_info *i, cs_slice v)
{
    static const char unit[] = "bytes ";
    size_t n = sizeof unit - 1, dash, slash;

    for (dash = n; dash < v.len && v.p[dash] != '-'; dash++) {
    }
    for (slash = dash; slash < v.len && v.p[slash] != '/'; slash++) {
    }
    bool ok = v.len > n && memcmp(v.p, unit, n) == 0 && slash < v.len &&
              cs_parse_u64(cs_slice_of(v.p + n, dash - n), UINT64_MAX - 1, &i->from) == CS_OK &&
              cs_parse_u64(cs_slice_of(v.p + slash + 1, v.len - slash - 1), UINT64_MAX - 1, &i->total) == CS_OK;
    if (!ok) {
        i->from = UINT64_MAX; /* matches no place to go on from */
    }
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
        i->has_size = cs_parse_u64(value, UINT64_MAX, &i->size) == CS_OK;
    } else if (is_name(name, "content-range")) {
        take_range(i, value);
    }
}

static void set_range(cs_curl_request *q, size_t at, head_lines *h, const call *c)
{
    if (c->from > 0) {
        (void)snprintf(h->range, sizeof h->range, "Range: bytes=%llu-", (unsigned long long)c->from);
        (void)snprintf(h->match, sizeof h->match, "If-Match: %s", c->etag);
        q->headers[at] = h->range;
        q->headers[at + 1] = h->match;
    }
}

/* The whole object, or the rest of it; anything else that is called a success is none. */
static cs_err check_success(const call *c, const cs_s3_info *i, size_t got)
{
    if (c->method[0] != 'G') {
        return CS_OK;
    }
    if (!i->has_size || i->size != got) {
        return CS_E_IO; /* without its length an object that is cut looks whole */
    }
    return i->status == 206 && (c->from == 0 || i->from != c->from) ? CS_E_S3 : CS_OK;
}

/* One signed request; the body of a refusal goes to the error parser, not to out. What a broken transfer gave stays. */
static cs_err one_try(call *c, cs_buf *out, cs_s3_info *info)
{
    char url[MAX_URL];
    head_lines h;
    size_t len0 = out->len;
    cs_curl_reply reply = {.body = out, .on_header = on_header, .cookie = info};
    memset(info, 0, sizeof *info);
    CS_TRY(cs_s3_address_of(&c->at, c->uri, c->region, c->o->endpoint));
    CS_TRY(sign(&h, c));
    (void)snprintf(url, sizeof url, "%s%s%s%s%s", c->at.scheme, c->at.host, c->at.path,
                   c->at.query[0] != '\0' ? "?" : "", c->at.query);
    cs_curl_request q = {.method = c->method,
                         .url = url,
                         .headers = {h.date, h.sha, h.auth},
                         .body = c->body,
                         .ca_file = c->o->ca_file,
                         .connect_ms = c->o->connect_ms != 0 ? c->o->connect_ms : 3000,
                         .timeout_ms = c->o->timeout_ms != 0 ? c->o->timeout_ms : 60000,
                         .max_bytes = c->o->max_bytes > c->from ? c->o->max_bytes - c->from : 0,
                         .keep_partial = c->method[0] == 'G'};
    bool token = c->o->creds->token[0] != '\0';
    q.headers[3] = token ? h.token : NULL;
    set_range(&q, token ? 4 : 3, &h, c);
    q.max_bytes = q.max_bytes < 4096 ? 4096 : q.max_bytes; /* room for the XML of a refusal */
    cs_err err = cs_curl_run(&reply, &q);
    explicit_bzero(&h, sizeof h);
    info->status = reply.status;
    bool success = reply.status == 200 || (reply.status == 206 && c->from > 0);
    if (err == CS_OK && !success) {
        cs_s3_parse_error(info, out->len > len0 ? cs_slice_of(out->p + len0, out->len - len0) : CS_SLICE_NULL);
        err = cs_s3_err(info->status, info->code);
    } else if (err == CS_OK) {
        err = check_success(c, info, out->len - len0);
        if (err == CS_OK && reply.status == 200 && c->from > 0) { /* all of it, though the rest was asked for */
            memmove(out->p + len0 - c->from, out->p + len0, out->len - len0);
            out->len -= c->from;
        }
    }
    if (err != CS_OK && !success) {
        out->len = len0;
    }
    return err;
}

static cs_err run(call *c, cs_buf *out, cs_s3_info *info)
{
    cs_err err = one_try(c, out, info);
    bool moved = err == CS_E_S3_REGION && info->region[0] != '\0' && strcmp(info->region, c->region) != 0;

    if (moved) { /* once, to a host made of the region's name, wherever Location points */
        char region[65];
        memcpy(region, c->region, sizeof region);
        (void)snprintf(c->region, sizeof c->region, "%s", info->region);
        err = one_try(c, out, info);
        if (err == CS_E_FORMAT) { /* what S3 named is no region */
            memcpy(c->region, region, sizeof region);
            err = CS_E_S3_REGION;
        }
    }
    return err;
}

static bool worth_another(cs_err err, const cs_s3_info *i)
{
    switch (err) {
    case CS_E_CONNECT:
    case CS_E_DNS:
    case CS_E_TIMEOUT:
    case CS_E_IO:
    case CS_E_S3_THROTTLED:
    case CS_E_S3_CHANGED:
        return true;
    case CS_E_S3:
        return i->status >= 500;
    default:
        return false;
    }
}

/* Doubling, with a part that differs between callers who were refused together. */
static void back_off(unsigned n)
{
    uint64_t ms = (uint64_t)BACK_OFF_MS << (n < 5 ? n : 5);

    ms = ms < BACK_OFF_MAX_MS ? ms : BACK_OFF_MAX_MS;
    (void)usleep((useconds_t)(1000 * (ms / 2 + cs_clock_mono_ns() / 1000 % (ms / 2 + 1))));
}

/* Where the next try goes on: what came is kept only with an ETag that says of what. */
static void keep_place(call *c, cs_buf *out, size_t begun, cs_err err, const cs_s3_info *i)
{
    bool fresh = i->etag[0] != '\0' && (i->status == 200 || i->status == 206);

    if (err == CS_E_S3_CHANGED || (c->from == 0 && !fresh)) {
        out->len = begun;
    } else if (fresh) {
        memcpy(c->etag, i->etag, sizeof c->etag);
    }
    c->from = out->len - begun;
}

cs_err cs_s3_get(cs_buf *out, cs_s3_info *info, const cs_s3_uri *uri, const cs_s3_opts *opts)
{
    call c = {.method = "GET", .uri = uri, .o = opts};
    cs_s3_info own;
    size_t begun = out->len;
    unsigned resumed = 0, tries = opts->tries != 0 ? opts->tries : TRIES;
    cs_err err = CS_E_S3;

    info = info != NULL ? info : &own;
    memset(info, 0, sizeof *info);
    (void)snprintf(c.region, sizeof c.region, "%s", opts->region);
    for (unsigned n = 0; n < tries; n++) {
        err = run(&c, out, info);
        if (err == CS_OK || !worth_another(err, info)) {
            break;
        }
        keep_place(&c, out, begun, err, info);
        resumed += c.from > 0;
        if (n + 1 < tries) {
            back_off(n);
        }
    }
    if (err == CS_OK && out->len - begun > opts->max_bytes) {
        err = CS_E_TOO_LARGE;
    }
    if (err != CS_OK) {
        out->len = begun;
    }
    info->resumed = resumed;
    return err;
}

cs_err cs_s3_head(cs_s3_info *info, const cs_s3_uri *uri, const cs_s3_opts *opts)
{
    call c = {.method = "HEAD", .uri = uri, .o = opts};
    cs_buf none = cs_buf_heap(8192);
    (void)snprintf(c.region, sizeof c.region, "%s", opts->region);
    cs_s3_info own;
    cs_err err = run(&c, &none, info != NULL ? info : &own);
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
    (void)snprintf(c.region, sizeof c.region, "%s", opts->region);
    cs_s3_info own;
    cs_err err = run(&c, &answer, info != NULL ? info : &own);
    cs_buf_free(&answer);
    return err;
}
