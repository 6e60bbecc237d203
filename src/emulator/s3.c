/*
 * S3: buckets and objects, path style and virtual host, signed requests only. Get (also of one byte range), Head, Put, and
 * uploads in parts (s3_multipart.c). Source: specs/nitro-kms.md 9.2. See reply.h.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "emulator/s3_call.h"
#include "emulator/s3_chunked.h"

static void put_escaped(cs_buf *out, const char *text)
{
    static const char *const from = "&<>\"'";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"};
    cs_err err = CS_OK;
    for (; *text != '\0' && err == CS_OK; text++) {
        const char *at = strchr(from, *text);
        err = at != NULL ? cs_put_str(out, to[at - from]) : cs_put_u8(out, (uint8_t)*text);
    }
}

/* extra: a further element, ready-made, or "" */
static void refuse_with(cs_emu_s3_call *c, unsigned status, const char *code, const char *message, const char *extra)
{
    uint8_t mem[4096];
    cs_buf b = cs_buf_wrap(mem, sizeof mem - 1);
    cs_err err = cs_put_fmt(
        &b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message>%s<Resource>", code,
        message, extra);
    char resource[160];
    snprintf(resource, sizeof resource, "/%.63s/%.80s", c->bucket, c->key);
    if (err == CS_OK) {
        put_escaped(&b, resource);
        err = cs_put_str(&b, "</Resource><RequestId>EMULATED</RequestId></Error>");
    }
    mem[b.len] = '\0';
    cs_emu_reply_text(c->reply, status, "application/xml", err == CS_OK ? (char *)mem : "");
    if (cs_slice_eq_str(c->q->sig.method, "HEAD")) {
        c->reply->body.len = 0;
    }
    cs_log(CS_LOG_WARN, "s3", CS_LSTR("method", c->q->sig.method), CS_LC("bucket", c->bucket),
           CS_LC("errorCode", code));
}

void cs_emu_s3_refuse(cs_emu_s3_call *c, unsigned status, const char *code, const char *message)
{
    refuse_with(c, status, code, message, "");
}

/* "bucket.s3.region.amazonaws.com" or "bucket.localhost": the bucket's part; 0: path style. */
static size_t host_bucket_len(cs_slice host)
{
    const char *const marks[] = {".s3.", ".s3-", ".localhost"};
    for (size_t i = 0; i < 3; i++) {
        const uint8_t *at = memmem(host.p, host.len, marks[i], strlen(marks[i]));
        if (at != NULL && at != host.p) {
            return (size_t)(at - host.p);
        }
    }
    return 0;
}

static bool bucket_valid(const char *b)
{
    size_t n = strlen(b);
    return n >= 3 && n <= 63 && strspn(b, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n && b[0] != '.' &&
           b[0] != '-' && strstr(b, "..") == NULL;
}

static bool parse_address(cs_emu_s3_call *c)
{
    cs_slice host = CS_SLICE_NULL, path = c->q->sig.path;
    uint8_t mem[2048];
    cs_buf b = cs_buf_wrap(mem, sizeof mem - 1);
    (void)cs_sigv4_header_find(&c->q->sig, "host", &host);
    size_t n = host_bucket_len(host), at = 0;
    if (path.len == 0 || path.p[0] != '/' || cs_sigv4_put_decoded(&b, cs_slice_of(path.p + 1, path.len - 1)) != CS_OK ||
        memchr(mem, 0, b.len) != NULL) {
        return false;
    }
    mem[b.len] = '\0';
    if (n > 0 && n < sizeof c->bucket) {
        memcpy(c->bucket, host.p, n);
        c->bucket[n] = '\0';
    } else {
        at = strcspn((char *)mem, "/");
        if (at >= sizeof c->bucket) {
            return false;
        }
        memcpy(c->bucket, mem, at);
        c->bucket[at] = '\0';
        at += mem[at] == '/' ? 1 : 0;
    }
    if (b.len - at >= sizeof c->key || !cs_utf8_valid(cs_slice_of(mem + at, b.len - at))) {
        return false;
    }
    snprintf(c->key, sizeof c->key, "%s", (char *)mem + at);
    return bucket_valid(c->bucket);
}

static void set_base(cs_emu_s3_call *c)
{
    char hash[65] = "";
    if (cs_sigv4_hash(hash, cs_slice_str(c->key)) != CS_OK) {
        hash[0] = '\0';
    }
    snprintf(c->base, sizeof c->base, "%s/s3/%s/%s", c->s->o.dir, c->bucket, hash);
}

/* The hash that the client signed must be that of the body; streaming uploads are unpacked. */
static bool check_payload(cs_emu_s3_call *c)
{
    cs_slice h = CS_SLICE_NULL;
    char actual[65];
    if (!cs_sigv4_header_find(&c->q->sig, "x-amz-content-sha256", &h)) {
        c->q->sig.payload_hash = cs_slice_str(CS_SIGV4_UNSIGNED); /* presigned */
        return true;
    }
    c->q->sig.payload_hash = h;
    if (cs_slice_eq_str(h, CS_SIGV4_UNSIGNED)) {
        return true;
    }
    if (cs_slice_eq_str(h, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")) {
        c->decoded = cs_buf_heap(CS_EMU_MAX_BODY);
        if (cs_emu_s3_unchunk(&c->decoded, c->q->body) != CS_OK) {
            cs_emu_s3_refuse(c, 400, "IncompleteBody", "The aws-chunked body is malformed.");
            return false;
        }
        c->body = cs_buf_slice(&c->decoded);
        return true;
    }
    if (h.len != 64) {
        cs_emu_s3_refuse(c, 501, "NotImplemented", "This form of payload signing is not emulated.");
        return false;
    }
    if (cs_sigv4_hash(actual, c->q->body) != CS_OK || !cs_slice_eq_str(h, actual)) {
        cs_emu_s3_refuse(c, 400, "XAmzContentSHA256Mismatch",
                         "The provided 'x-amz-content-sha256' header does not match what was computed.");
        return false;
    }
    return true;
}

static bool check_auth(cs_emu_s3_call *c)
{
    static const struct {
        unsigned status;
        const char *code, *message;
    } rows[] = {
        {200, "", ""},
        {403, "AccessDenied", "Access Denied"},
        {400, "AuthorizationHeaderMalformed", "The authorization header is malformed."},
        {403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."},
        {400, "InvalidToken", "The provided token is malformed or otherwise invalid."},
        {400, "ExpiredToken", "The provided token has expired."},
        {403, "SignatureDoesNotMatch",
         "The request signature we calculated does not match the signature you provided."},
        {403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."},
        {400, "AuthorizationHeaderMalformed", "The authorization header is malformed; the region is wrong."},
    };
    char extra[128] = "";
    cs_emu_auth a = cs_emu_authenticate(c->s, &c->who, &c->q->sig, "s3");
    if (a == CS_EMU_AUTH_OK) {
        return true;
    }
    if (a == CS_EMU_AUTH_SCOPE) {
        snprintf(extra, sizeof extra, "<Region>%s</Region>", c->s->o.region);
        cs_emu_reply_header(c->reply, "x-amz-bucket-region", "%s", c->s->o.region);
    }
    refuse_with(c, rows[a].status, rows[a].code, rows[a].message, extra);
    return false;
}

static bool iam_allows(const cs_emu_s3_call *c, const char *action, bool of_bucket)
{
    char arn[1200];
    snprintf(arn, sizeof arn, "arn:aws:s3:::%s%s%s", c->bucket, of_bucket ? "" : "/", of_bucket ? "" : c->key);
    cs_emu_query q = {&c->who, action, arn, NULL};
    return cs_emu_identity_eval(&q).verdict == CS_EMU_ALLOWED;
}

bool cs_emu_s3_allowed(cs_emu_s3_call *c, const char *action)
{
    if (iam_allows(c, action, c->key[0] == '\0')) {
        return true;
    }
    cs_emu_s3_refuse(c, 403, "AccessDenied", "Access Denied");
    return false;
}

static bool bucket_exists(const cs_emu_s3_call *c)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/s3/%s", c->s->o.dir, c->bucket);
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void put_bucket(cs_emu_s3_call *c)
{
    char path[4096];
    if (!cs_emu_s3_allowed(c, "s3:CreateBucket")) {
        return;
    }
    snprintf(path, sizeof path, "%s/s3/%s", c->s->o.dir, c->bucket);
    if (mkdir(path, 0700) != 0) {
        cs_emu_s3_refuse(c, errno == EEXIST ? 409 : 500, errno == EEXIST ? "BucketAlreadyOwnedByYou" : "InternalError",
                         "not created");
        return;
    }
    cs_emu_reply_header(c->reply, "Location", "/%s", c->bucket);
    c->reply->status = 200;
}

bool cs_emu_s3_md5(char out[33], cs_slice body)
{
    uint8_t md[16];
    unsigned n = 0;
    bool ok = EVP_Digest(body.p, body.len, md, &n, EVP_md5(), NULL) == 1 && n == sizeof md;
    if (ok) {
        cs_hex_encode(out, cs_slice_of(md, sizeof md));
    }
    return ok;
}

bool cs_emu_s3_store(cs_emu_s3_call *c, cs_slice body, const char *etag)
{
    char path[4200];
    cs_slice type = cs_slice_str("binary/octet-stream");
    (void)cs_sigv4_header_find(&c->q->sig, "content-type", &type);
    json_t *meta = json_pack("{s:s,s:s,s:s%,s:I}", "key", c->key, "etag", etag, "type", (const char *)type.p, type.len,
                             "modified", (json_int_t)(cs_clock_wall_ms() / 1000));
    char *text = meta != NULL ? json_dumps(meta, 0) : NULL;
    snprintf(path, sizeof path, "%s.data", c->base);
    cs_err err = text != NULL ? cs_emu_file_write(path, body) : CS_E_IO;
    if (err == CS_OK) {
        snprintf(path, sizeof path, "%s.json", c->base);
        err = cs_emu_file_write(path, cs_slice_str(text));
    }
    free(text);
    json_decref(meta);
    if (err != CS_OK) {
        cs_emu_s3_refuse(c, 500, "InternalError", "The object could not be stored.");
        return false;
    }
    return true;
}

static void put_object(cs_emu_s3_call *c)
{
    char etag[33] = "";
    if (cs_emu_s3_allowed(c, "s3:PutObject") && cs_emu_s3_md5(etag, c->body) && cs_emu_s3_store(c, c->body, etag)) {
        cs_emu_reply_header(c->reply, "ETag", "\"%s\"", etag);
        c->reply->status = 200;
    }
}

/* "bytes=A-B" or "bytes=A-"; false: no range that fits. */
static bool parse_range(cs_slice v, uint64_t size, uint64_t *from, uint64_t *to)
{
    uint64_t a = 0, b = size - 1;
    const uint8_t *dash = v.len > 6 && memcmp(v.p, "bytes=", 6) == 0 ? memchr(v.p, '-', v.len) : NULL;
    if (dash == NULL || size == 0) {
        return false;
    }
    cs_slice first = cs_slice_of(v.p + 6, (size_t)(dash - v.p) - 6),
             last = cs_slice_of(dash + 1, (size_t)(v.p + v.len - dash) - 1);
    if (cs_parse_u64(first, UINT64_MAX, &a) != CS_OK || (last.len > 0 && cs_parse_u64(last, UINT64_MAX, &b) != CS_OK) ||
        a >= size || b < a) {
        return false;
    }
    *from = a;
    *to = b < size ? b : size - 1;
    return true;
}

static void set_object_headers(cs_emu_s3_call *c, const json_t *meta)
{
    char date[64];
    struct tm tm;
    time_t t = (time_t)json_integer_value(json_object_get(meta, "modified"));
    cs_emu_reply_header(c->reply, "ETag", "\"%s\"", json_string_value(json_object_get(meta, "etag")));
    cs_emu_reply_header(c->reply, "Content-Type", "%s", json_string_value(json_object_get(meta, "type")));
    cs_emu_reply_header(c->reply, "Accept-Ranges", "bytes");
    if (gmtime_r(&t, &tm) != NULL && strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0) {
        cs_emu_reply_header(c->reply, "Last-Modified", "%s", date);
    }
}

static void get_object(cs_emu_s3_call *c)
{
    char path[4200];
    cs_slice range;
    uint64_t from = 0, to = 0;
    if (!cs_emu_s3_allowed(c, "s3:GetObject")) {
        return;
    }
    snprintf(path, sizeof path, "%s.json", c->base);
    json_t *meta = json_load_file(path, 0, NULL);
    snprintf(path, sizeof path, "%s.data", c->base);
    if (meta == NULL || cs_emu_file_read(&c->reply->body, path) != CS_OK) {
        /* whether it is missing is only for those who may list [nitro-kms.md 9.2] */
        bool may_list = iam_allows(c, "s3:ListBucket", true);
        cs_emu_s3_refuse(c, may_list ? 404 : 403, may_list ? "NoSuchKey" : "AccessDenied",
                         may_list ? "The specified key does not exist." : "Access Denied");
        json_decref(meta);
        return;
    }
    set_object_headers(c, meta);
    c->reply->status = 200;
    if (cs_sigv4_header_find(&c->q->sig, "range", &range) && parse_range(range, c->reply->body.len, &from, &to)) {
        cs_emu_reply_header(c->reply, "Content-Range", "bytes %llu-%llu/%zu", (unsigned long long)from,
                            (unsigned long long)to, c->reply->body.len);
        cs_buf_consume(&c->reply->body, from);
        c->reply->body.len = to - from + 1;
        c->reply->status = 206;
    }
    json_decref(meta);
}

static void route(cs_emu_s3_call *c)
{
    cs_slice method = c->q->sig.method;
    bool put = cs_slice_eq_str(method, "PUT"), get = cs_slice_eq_str(method, "GET") || cs_slice_eq_str(method, "HEAD");
    if (put && c->key[0] == '\0') {
        put_bucket(c);
    } else if (!bucket_exists(c)) {
        cs_emu_s3_refuse(c, 404, "NoSuchBucket", "The specified bucket does not exist");
    } else if (cs_emu_s3_multipart(c)) {
        return;
    } else if (put) {
        put_object(c);
    } else if (get && c->key[0] != '\0') {
        get_object(c);
    } else if (get && cs_slice_eq_str(method, "HEAD")) {
        c->reply->status = 200;
        cs_emu_reply_header(c->reply, "x-amz-bucket-region", "%s", c->s->o.region);
    } else {
        cs_emu_s3_refuse(c, 501, "NotImplemented", "This operation is not emulated.");
    }
}

void cs_emu_s3(cs_emu_state *s, cs_emu_reply *reply, cs_emu_request *q)
{
    cs_emu_s3_call c = {.s = s, .q = q, .reply = reply, .body = q->body};
    cs_emu_reply_header(reply, "x-amz-request-id", "EMULATED");
    if (!parse_address(&c)) {
        cs_emu_s3_refuse(&c, 400, "InvalidBucketName", "The specified bucket or key is not valid.");
    } else if (check_payload(&c) && check_auth(&c)) {
        set_base(&c);
        route(&c);
    }
    cs_buf_free(&c.decoded);
}
