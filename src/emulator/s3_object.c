/* S3 objects: put, copy, get (whole or one byte range), head, delete. See s3_call.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "emulator/s3_call.h"
#include "emulator/xml.h"

#define MAX_USER_META 2048u

/* Headers of an upload that come back with the object. */
static const char *const kept[] = {"content-type",     "cache-control",    "content-disposition",
                                   "content-encoding", "content-language", "expires"};

json_t *cs_emu_s3_meta(const cs_emu_s3_call *c)
{
    char path[4200];
    snprintf(path, sizeof path, "%s.json", c->base);
    return json_load_file(path, 0, NULL);
}

/* "aws-chunked" is of the transfer, not of the object */
static cs_slice without_chunked(cs_slice v)
{
    static const char chunked[] = "aws-chunked";
    size_t n = sizeof chunked - 1;
    if (v.len >= n && strncasecmp((const char *)v.p, chunked, n) == 0) {
        v = cs_slice_of(v.p + n, v.len - n);
        while (v.len > 0 && (v.p[0] == ',' || v.p[0] == ' ')) {
            v = cs_slice_of(v.p + 1, v.len - 1);
        }
    }
    return v;
}

static bool set_text(json_t *o, const char *name, cs_slice value)
{
    return json_object_set_new(o, name, json_stringn((const char *)value.p, value.len)) == 0;
}

json_t *cs_emu_s3_new_meta(const cs_emu_s3_call *c)
{
    static const char user[] = "x-amz-meta-";
    json_t *meta = json_object(), *headers = json_object();
    bool ok = meta != NULL && headers != NULL;
    for (size_t i = 0; ok && i < sizeof kept / sizeof kept[0]; i++) {
        cs_slice v = without_chunked(cs_emu_s3_header(c, kept[i]));
        ok = v.len == 0 || set_text(headers, kept[i], v);
    }
    if (ok && json_object_get(headers, "content-type") == NULL) {
        ok = set_text(headers, "content-type", cs_slice_str("binary/octet-stream"));
    }
    for (size_t i = 0; ok && i < c->q->sig.num_headers; i++) {
        const cs_sigv4_header *h = &c->q->sig.headers[i];
        char name[80];
        if (h->name.len <= sizeof user - 1 || h->name.len >= sizeof name ||
            strncasecmp((const char *)h->name.p, user, sizeof user - 1) != 0) {
            continue;
        }
        for (size_t k = 0; k < h->name.len; k++) {
            uint8_t b = h->name.p[k];
            name[k] = (char)(b >= 'A' && b <= 'Z' ? b + 32 : b);
        }
        name[h->name.len] = '\0';
        ok = set_text(headers, name, h->value);
    }
    if (!ok || json_object_set(meta, "headers", headers) != 0) {
        json_decref(meta);
        meta = NULL;
    }
    json_decref(headers);
    return meta;
}

bool cs_emu_s3_store(cs_emu_s3_call *c, cs_slice body, const char *etag, json_t *meta_take)
{
    char path[4200];
    bool ok = meta_take != NULL && set_text(meta_take, "key", cs_slice_str(c->key)) &&
              set_text(meta_take, "etag", cs_slice_str(etag)) &&
              json_object_set_new(meta_take, "size", json_integer((json_int_t)body.len)) == 0 &&
              json_object_set_new(meta_take, "modified", json_integer((json_int_t)(cs_clock_wall_ms() / 1000))) == 0;
    char *text = ok ? json_dumps(meta_take, 0) : NULL;
    snprintf(path, sizeof path, "%s.data", c->base);
    cs_err err = text != NULL ? cs_emu_file_write(path, body) : CS_E_IO;
    if (err == CS_OK) {
        snprintf(path, sizeof path, "%s.json", c->base);
        err = cs_emu_file_write(path, cs_slice_str(text));
    }
    free(text);
    json_decref(meta_take);
    if (err != CS_OK) {
        cs_emu_s3_refuse(c, 500, "InternalError", "The object could not be stored.");
        return false;
    }
    return true;
}

void cs_emu_s3_remove(const cs_emu_s3_call *c)
{
    char path[4200];
    snprintf(path, sizeof path, "%s.json", c->base);
    unlink(path);
    snprintf(path, sizeof path, "%s.data", c->base);
    unlink(path);
}

/* An ETag of If-Match and If-None-Match: "*", or one of a list, quoted or not. */
static bool etag_listed(cs_slice list, const char *etag)
{
    return cs_slice_eq_str(list, "*") || memmem(list.p, list.len, etag, strlen(etag)) != NULL;
}

/* If-Match and If-None-Match; refuses. meta: NULL when there is no object. */
static bool preconditions(cs_emu_s3_call *c, const json_t *meta, bool read)
{
    cs_slice match = cs_emu_s3_header(c, "if-match"), none = cs_emu_s3_header(c, "if-none-match");
    const char *etag = meta != NULL ? json_string_value(json_object_get(meta, "etag")) : NULL;
    bool hit = etag != NULL && none.len > 0 && etag_listed(none, etag);
    if (match.len > 0 && (etag == NULL || !etag_listed(match, etag))) {
        cs_emu_s3_refuse(c, etag == NULL && !read ? 404 : 412,
                         etag == NULL && !read ? "NoSuchKey" : "PreconditionFailed",
                         "At least one of the pre-conditions you specified did not hold");
        return false;
    }
    if (hit) {
        cs_emu_s3_refuse(c, read ? 304 : 412, read ? "NotModified" : "PreconditionFailed",
                         "At least one of the pre-conditions you specified did not hold");
    }
    return !hit;
}

static void add_sums(cs_emu_s3_call *c, const json_t *meta)
{
    const char *name;
    json_t *v;
    bool any = false;
    json_object_foreach(json_object_get(meta, "sums"), name, v)
    {
        char header[64];
        snprintf(header, sizeof header, "x-amz-checksum-%.20s", name);
        cs_emu_reply_header(c->reply, header, "%s", json_string_value(v));
        any = true;
    }
    if (any) {
        cs_emu_reply_header(c->reply, "x-amz-checksum-type", "FULL_OBJECT");
    }
}

static bool keep_sums(const cs_emu_s3_call *c, json_t *meta)
{
    json_t *sums = json_object();
    bool ok = meta != NULL && sums != NULL;
    for (int k = 0; ok && k < CS_EMU_NUM_SUMS; k++) {
        ok =
            c->sums.text[k][0] == '\0' || set_text(sums, cs_emu_sum_name((cs_emu_sum)k), cs_slice_str(c->sums.text[k]));
    }
    ok = ok && json_object_set(meta, "sums", sums) == 0;
    json_decref(sums);
    return ok;
}

static bool user_meta_ok(cs_emu_s3_call *c, const json_t *meta)
{
    const char *name;
    json_t *v;
    size_t total = 0, num = 0;
    json_object_foreach(json_object_get(meta, "headers"), name, v)
    {
        bool user = strncmp(name, "x-amz-meta-", 11) == 0;
        total += user ? strlen(name) - 11 + json_string_length(v) : 0;
        num += user ? 1 : 0;
    }
    if (total > MAX_USER_META || num > CS_EMU_REPLY_HEADERS / 2) {
        cs_emu_s3_refuse(c, 400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size");
        return false;
    }
    return true;
}

static void put_object(cs_emu_s3_call *c)
{
    char etag[33] = "";
    if (!cs_emu_s3_allowed(c, "s3:PutObject") || !cs_emu_s3_body_ok(c)) {
        return;
    }
    json_t *old = cs_emu_s3_meta(c), *meta = cs_emu_s3_new_meta(c);
    bool ok = preconditions(c, old, false) && user_meta_ok(c, meta);
    json_decref(old);
    if (!ok) {
        json_decref(meta);
        return;
    }
    if (!keep_sums(c, meta) || !cs_emu_s3_md5(etag, c->body)) {
        json_decref(meta);
        cs_emu_s3_refuse(c, 500, "InternalError", "out of memory");
        return;
    }
    json_incref(meta);
    if (cs_emu_s3_store(c, c->body, etag, meta)) {
        cs_emu_reply_header(c->reply, "ETag", "\"%s\"", etag);
        add_sums(c, meta);
        c->reply->status = 200;
    }
    json_decref(meta);
}

static void set_date(cs_emu_s3_call *c, json_int_t seconds)
{
    char date[64];
    struct tm tm;
    time_t t = (time_t)seconds;
    if (gmtime_r(&t, &tm) != NULL && strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0) {
        cs_emu_reply_header(c->reply, "Last-Modified", "%s", date);
    }
}

static void set_object_headers(cs_emu_s3_call *c, const json_t *meta)
{
    const char *name;
    json_t *v;
    cs_emu_reply_header(c->reply, "ETag", "\"%s\"", json_string_value(json_object_get(meta, "etag")));
    cs_emu_reply_header(c->reply, "Accept-Ranges", "bytes");
    set_date(c, json_integer_value(json_object_get(meta, "modified")));
    json_object_foreach(json_object_get(meta, "headers"), name, v)
    {
        cs_emu_reply_header(c->reply, name, "%s", json_string_value(v));
    }
}

/* Digits; what is too large for 64 bits is the largest number. */
static bool number(uint64_t *out, cs_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') {
            return false;
        }
    }
    while (text.len > 1 && text.p[0] == '0') {
        text = cs_slice_of(text.p + 1, text.len - 1);
    }
    if (cs_parse_u64(text, UINT64_MAX, out) != CS_OK) {
        *out = UINT64_MAX;
    }
    return text.len > 0;
}

cs_emu_range cs_emu_s3_parse_range(cs_slice text, uint64_t size, uint64_t *from, uint64_t *to)
{
    uint64_t a = 0, b = UINT64_MAX;
    const uint8_t *dash = text.len > 6 && memcmp(text.p, "bytes=", 6) == 0 ? memchr(text.p, '-', text.len) : NULL;
    if (dash == NULL) {
        return CS_EMU_RANGE_NONE;
    }
    cs_slice first = cs_slice_of(text.p + 6, (size_t)(dash - text.p) - 6),
             last = cs_slice_of(dash + 1, (size_t)(text.p + text.len - dash) - 1);
    if ((first.len > 0 && !number(&a, first)) || (last.len > 0 && !number(&b, last)) ||
        (first.len == 0 && last.len == 0) || (first.len > 0 && b < a)) {
        return CS_EMU_RANGE_NONE;
    }
    if (first.len == 0) { /* the last b bytes */
        a = b < size ? size - b : 0;
        if (b == 0 || size == 0) {
            return CS_EMU_RANGE_BAD;
        }
        b = size - 1;
    }
    if (a >= size) {
        return CS_EMU_RANGE_BAD;
    }
    *from = a;
    *to = b < size ? b : size - 1;
    return CS_EMU_RANGE_OK;
}

static cs_err read_part(cs_buf *out, const char *path, uint64_t from, uint64_t len)
{
    uint8_t *at = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cs_err err = fd < 0 ? CS_E_IO : cs_put_space(out, &at, len);
    for (uint64_t done = 0; err == CS_OK && done < len;) {
        ssize_t n = pread(fd, at + done, len - done, (off_t)(from + done));
        err = n > 0 ? CS_OK : CS_E_IO;
        done += n > 0 ? (uint64_t)n : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

static void refuse_missing(cs_emu_s3_call *c)
{
    /* whether it is missing is only for those who may list [nitro-kms.md 9.2] */
    bool may_list = cs_emu_s3_may(c, "s3:ListBucket", true);
    cs_emu_s3_refuse(c, may_list ? 404 : 403, may_list ? "NoSuchKey" : "AccessDenied",
                     may_list ? "The specified key does not exist." : "Access Denied");
}

static void send_object(cs_emu_s3_call *c, const json_t *meta)
{
    char path[4200];
    struct stat st;
    uint64_t from = 0, to = 0;
    snprintf(path, sizeof path, "%s.data", c->base);
    if (stat(path, &st) != 0) {
        refuse_missing(c);
        return;
    }
    uint64_t size = (uint64_t)st.st_size, len = size;
    cs_emu_range kind = cs_emu_s3_parse_range(cs_emu_s3_header(c, "range"), size, &from, &to);
    if (kind == CS_EMU_RANGE_BAD) {
        cs_emu_reply_header(c->reply, "Content-Range", "bytes */%llu", (unsigned long long)size);
        cs_emu_s3_refuse(c, 416, "InvalidRange", "The requested range is not satisfiable");
        return;
    }
    if (kind == CS_EMU_RANGE_OK) {
        len = to - from + 1;
        cs_emu_reply_header(c->reply, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long)from,
                            (unsigned long long)to, (unsigned long long)size);
    }
    if (len > 0 && read_part(&c->reply->body, path, from, len) != CS_OK) {
        cs_emu_s3_refuse(c, 500, "InternalError", "The object could not be read.");
        return;
    }
    set_object_headers(c, meta);
    if (kind == CS_EMU_RANGE_NONE && cs_slice_eq_str(cs_emu_s3_header(c, "x-amz-checksum-mode"), "ENABLED")) {
        add_sums(c, meta);
    }
    c->reply->status = kind == CS_EMU_RANGE_OK ? 206 : 200;
}

static void get_object(cs_emu_s3_call *c)
{
    if (!cs_emu_s3_allowed(c, "s3:GetObject")) {
        return;
    }
    json_t *meta = cs_emu_s3_meta(c);
    if (meta == NULL) {
        refuse_missing(c);
    } else if (preconditions(c, meta, true)) {
        send_object(c, meta);
    }
    json_decref(meta);
}

/* x-amz-copy-source: "bucket/key" or "/bucket/key", escaped. The source as a call of its own. */
static bool find_source(const cs_emu_s3_call *c, cs_emu_s3_call *source)
{
    char text[1400];
    cs_buf b = cs_buf_wrap(text, sizeof text - 1);
    cs_slice v = cs_emu_s3_header(c, "x-amz-copy-source");
    if (cs_sigv4_put_decoded(&b, v) != CS_OK || memchr(text, 0, b.len) != NULL) {
        return false;
    }
    text[b.len] = '\0';
    const char *at = text[0] == '/' ? text + 1 : text;
    size_t n = strcspn(at, "/");
    if (at[n] != '/' || n < 3 || n >= sizeof source->bucket || strlen(at + n + 1) >= sizeof source->key ||
        at[n + 1] == '\0' || strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789.-") < n || at[0] == '.') {
        return false;
    }
    *source = *c;
    snprintf(source->bucket, sizeof source->bucket, "%.*s", (int)n, at);
    snprintf(source->key, sizeof source->key, "%s", at + n + 1);
    cs_emu_s3_set_base(source);
    return true;
}

static void answer_copy(cs_emu_s3_call *c, const char *etag)
{
    char quoted[80], date[40] = "";
    cs_buf d = cs_buf_wrap(date, sizeof date - 1), *b = &c->reply->body;
    snprintf(quoted, sizeof quoted, "\"%s\"", etag);
    cs_emu_reply_text(c->reply, 200, "application/xml",
                      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CopyObjectResult>");
    cs_err err = cs_put_rfc3339(&d, cs_clock_wall_ms());
    err = err == CS_OK ? cs_emu_xml_put(b, "ETag", quoted) : err;
    err = err == CS_OK ? cs_emu_xml_put(b, "LastModified", date) : err;
    err = err == CS_OK ? cs_put_str(b, "</CopyObjectResult>") : err;
    c->reply->status = err == CS_OK ? 200 : 500;
}

static void copy_object(cs_emu_s3_call *c)
{
    static cs_emu_s3_call source; /* one thread */
    char path[4200], etag[33] = "";
    cs_buf data = cs_buf_heap(CS_EMU_MAX_BODY);
    if (!find_source(c, &source)) {
        cs_emu_s3_refuse(c, 400, "InvalidArgument",
                         "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
        return;
    }
    if (!cs_emu_s3_may(&source, "s3:GetObject", false)) {
        cs_emu_s3_refuse(c, 403, "AccessDenied", "Access Denied");
        return;
    }
    json_t *meta = cs_emu_s3_meta(&source);
    snprintf(path, sizeof path, "%s.data", source.base);
    if (cs_slice_eq_str(cs_emu_s3_header(c, "x-amz-metadata-directive"), "REPLACE") && meta != NULL) {
        json_decref(meta);
        meta = cs_emu_s3_new_meta(c);
    }
    if (meta == NULL || cs_emu_file_read(&data, path) != CS_OK) {
        refuse_missing(&source);
        json_decref(meta);
    } else if (!cs_emu_s3_allowed(c, "s3:PutObject") || !cs_emu_s3_md5(etag, cs_buf_slice(&data))) {
        json_decref(meta);
    } else if (cs_emu_s3_store(c, cs_buf_slice(&data), etag, meta)) {
        answer_copy(c, etag);
    }
    cs_buf_free(&data);
}

void cs_emu_s3_object(cs_emu_s3_call *c)
{
    cs_slice method = c->q->sig.method;
    if (cs_slice_eq_str(method, "PUT")) {
        if (cs_emu_s3_header(c, "x-amz-copy-source").len > 0) {
            copy_object(c);
        } else {
            put_object(c);
        }
    } else if (cs_slice_eq_str(method, "GET") || cs_slice_eq_str(method, "HEAD")) {
        get_object(c);
    } else if (!cs_slice_eq_str(method, "DELETE")) {
        cs_emu_s3_refuse(c, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.");
    } else if (cs_emu_s3_allowed(c, "s3:DeleteObject")) {
        cs_emu_s3_remove(c); /* also when it is not there: the same answer */
        c->reply->status = 204;
    }
}
