/*
 * S3: whose bucket and object, signatures, payload forms and their checksums, the way to the operation. Path style and virtual
 * host, signed requests only. Source: specs/nitro-kms.md 9.2. See reply.h.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/text.h"
#include "emulator/s3_call.h"
#include "emulator/s3_chunked.h"
#include "emulator/xml.h"

/* extra: a further element, ready-made, or "" */
static void refuse_with(cs_emu_s3_call *c, unsigned status, const char *code, const char *message, const char *extra)
{
    cs_buf *b = &c->reply->body;
    char resource[1200];
    snprintf(resource, sizeof resource, "/%s%s%s", c->bucket, c->key[0] != '\0' ? "/" : "", c->key);
    cs_emu_reply_text(c->reply, status, "application/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
    cs_err err = cs_emu_xml_put(b, "Code", code);
    err = err == CS_OK ? cs_emu_xml_put(b, "Message", message) : err;
    err = err == CS_OK ? cs_put_str(b, extra) : err;
    err = err == CS_OK ? cs_emu_xml_put(b, "Resource", resource) : err;
    err = err == CS_OK ? cs_put_str(b, "<RequestId>EMULATED</RequestId></Error>") : err;
    if (err != CS_OK || cs_slice_eq_str(c->q->sig.method, "HEAD") || status == 304) {
        b->len = 0;
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
    cs_slice host = cs_emu_s3_header(c, "host"), path = c->q->sig.path;
    uint8_t mem[2048];
    cs_buf b = cs_buf_wrap(mem, sizeof mem - 1);
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
    c->key_too_long = b.len - at >= sizeof c->key;
    if (c->key_too_long || !cs_utf8_valid(cs_slice_of(mem + at, b.len - at))) {
        return false;
    }
    snprintf(c->key, sizeof c->key, "%s", (char *)mem + at);
    return bucket_valid(c->bucket) || (c->bucket[0] == '\0' && c->key[0] == '\0');
}

void cs_emu_s3_set_base(cs_emu_s3_call *c)
{
    char hash[65] = "";
    if (cs_sigv4_hash(hash, cs_slice_str(c->key)) != CS_OK) {
        hash[0] = '\0';
    }
    snprintf(c->base, sizeof c->base, "%s/s3/%s/%s", c->s->o.dir, c->bucket, hash);
}

cs_slice cs_emu_s3_header(const cs_emu_s3_call *c, const char *name)
{
    cs_slice v = CS_SLICE_NULL;
    (void)cs_sigv4_header_find(&c->q->sig, name, &v);
    return v;
}

bool cs_emu_s3_query(const cs_emu_s3_call *c, const char *name, char *out, size_t cap)
{
    out[0] = '\0';
    cs_err err = cs_emu_form_get(c->q->sig.query, name, out, cap);
    if (err != CS_OK && err != CS_E_NOT_FOUND) {
        snprintf(out, cap, "?"); /* there, but nothing that could be right */
    }
    return err != CS_E_NOT_FOUND;
}

/* The hash that the request was signed with. */
static bool set_payload_hash(cs_emu_s3_call *c)
{
    cs_slice h = cs_emu_s3_header(c, "x-amz-content-sha256");
    if (h.len == 0 && cs_emu_s3_header(c, "authorization").len > 0) {
        cs_emu_s3_refuse(c, 400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
        return false;
    }
    c->q->sig.payload_hash = h.len > 0 ? h : cs_slice_str(CS_SIGV4_UNSIGNED); /* none: presigned */
    return true;
}

static void refuse_chunks(cs_emu_s3_call *c, cs_err err)
{
    if (err == CS_E_AUTH) {
        cs_emu_s3_refuse(c, 403, "SignatureDoesNotMatch", "The signature of a chunk does not match.");
    } else if (err == CS_E_INTERNAL) {
        cs_emu_s3_refuse(c, 500, "InternalError", "The body could not be read.");
    } else {
        cs_emu_s3_refuse(c, 400, "IncompleteBody", "The aws-chunked body is malformed.");
    }
}

/* One that is too long is cut, and then wrong: no checksum has 47 characters. An empty one is wrong too. */
static void set_sum(cs_emu_s3_call *c, int kind, cs_slice text)
{
    size_t n = text.len < sizeof c->sums.text[0] - 1 ? text.len : sizeof c->sums.text[0] - 1;
    snprintf(c->sums.text[kind], sizeof c->sums.text[kind], "%.*s", (int)(n > 0 ? n : 1),
             n > 0 ? (const char *)text.p : "?");
}

/* Checksums of trailers into c->sums, as if they had been headers. Each that was announced must have come. */
static bool take_trailers(cs_emu_s3_call *c, const cs_emu_trailers *t)
{
    cs_slice announced = cs_emu_s3_header(c, "x-amz-trailer");
    char name[64];
    for (int k = 0; k < CS_EMU_NUM_SUMS; k++) {
        snprintf(name, sizeof name, "x-amz-checksum-%s", cs_emu_sum_name((cs_emu_sum)k));
        bool found = false;
        for (size_t i = 0; i < t->num; i++) {
            if (cs_slice_eq_str(t->item[i].name, name)) {
                set_sum(c, k, t->item[i].value);
                found = true;
            }
        }
        if (!found && cs_slice_eq_str(announced, name)) {
            cs_emu_s3_refuse(c, 400, "MalformedTrailerError", "A trailer that was announced did not come.");
            return false;
        }
    }
    return true;
}

static bool unpack(cs_emu_s3_call *c, bool is_signed)
{
    static cs_sigv4_auth a; /* one thread */
    cs_emu_trailers t;
    uint64_t len = 0;
    cs_err err = is_signed ? cs_sigv4_parse(&a, &c->q->sig) : CS_OK;
    cs_emu_chunk_signer s = {cs_emu_secret_of(c->s, a.access_key_id), a.date, a.time, a.region, a.signature};
    c->decoded = cs_buf_heap(CS_EMU_MAX_BODY);
    if (err == CS_OK) {
        err = is_signed && s.secret == NULL ? CS_E_AUTH
                                            : cs_emu_s3_unchunk(&c->decoded, c->q->body, is_signed ? &s : NULL, &t);
    }
    if (err != CS_OK) {
        refuse_chunks(c, err);
        return false;
    }
    c->body = cs_buf_slice(&c->decoded);
    cs_slice declared = cs_emu_s3_header(c, "x-amz-decoded-content-length");
    if (declared.len > 0 && (cs_parse_u64(declared, UINT64_MAX, &len) != CS_OK || len != c->body.len)) {
        cs_emu_s3_refuse(
            c, 400, "IncompleteBody",
            "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header");
        return false;
    }
    return take_trailers(c, &t);
}

/* The hash that the client signed must be that of the body; streaming uploads are unpacked. After the signature was checked. */
static bool check_payload(cs_emu_s3_call *c)
{
    cs_slice h = c->q->sig.payload_hash;
    char actual[65];
    if (cs_slice_eq_str(h, CS_SIGV4_UNSIGNED)) {
        return true;
    }
    if (cs_slice_eq_str(h, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")) {
        return unpack(c, false);
    }
    if (cs_slice_eq_str(h, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD") ||
        cs_slice_eq_str(h, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")) {
        return unpack(c, true);
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

/* Signed in the query string: what is over is the URL's time, not the clocks' agreement. */
static bool presigned(const cs_emu_s3_call *c)
{
    static const char name[] = "X-Amz-Signature=";
    cs_slice q = c->q->sig.query;
    return q.len > 0 && memmem(q.p, q.len, name, sizeof name - 1) != NULL;
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
    if (a == CS_EMU_AUTH_SKEW && presigned(c)) {
        cs_emu_s3_refuse(c, 403, "AccessDenied", "Request has expired");
        return false;
    }
    refuse_with(c, rows[a].status, rows[a].code, rows[a].message, extra);
    return false;
}

bool cs_emu_s3_may(const cs_emu_s3_call *c, const char *action, bool of_bucket)
{
    static cs_emu_context context; /* one thread */
    char arn[1200], prefix[CS_EMU_S3_MAX_KEY + 1];
    snprintf(arn, sizeof arn, "arn:aws:s3:::%s%s%s", c->bucket, of_bucket ? "" : "/", of_bucket ? "" : c->key);
    cs_emu_context_reset(&context);
    bool ok =
        cs_emu_context_add(&context, "aws:PrincipalArn", cs_slice_str(c->who.arn)) == CS_OK &&
        cs_emu_context_add(&context, "aws:SourceIp", cs_slice_str("127.0.0.1")) == CS_OK &&
        cs_emu_context_add(&context, "aws:SecureTransport", cs_slice_str(c->q->plain_http ? "false" : "true")) == CS_OK;
    if (cs_emu_s3_query(c, "prefix", prefix, sizeof prefix)) {
        ok = ok && cs_emu_context_add(&context, "s3:prefix", cs_slice_str(prefix)) == CS_OK;
    }
    cs_emu_query q = {&c->who, action, arn, &context};
    return ok && cs_emu_identity_eval(&q).verdict == CS_EMU_ALLOWED;
}

bool cs_emu_s3_allowed(cs_emu_s3_call *c, const char *action)
{
    char message[512];
    if (cs_emu_s3_may(c, action, c->key[0] == '\0')) {
        return true;
    }
    snprintf(message, sizeof message,
             "User: %s is not authorized to perform: %s because no identity-based policy allows the action",
             c->who.session_arn != NULL ? c->who.session_arn : c->who.arn, action);
    cs_emu_s3_refuse(c, 403, "AccessDenied", message);
    return false;
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

static bool md5_ok(cs_emu_s3_call *c)
{
    cs_slice given = cs_emu_s3_header(c, "content-md5");
    uint8_t want[32], md[16];
    char hex[33];
    cs_buf b = cs_buf_wrap(want, sizeof want);
    if (given.len == 0) {
        return true;
    }
    if (cs_b64_get(&b, given, CS_B64_STD) != CS_OK || b.len != sizeof md) {
        cs_emu_s3_refuse(c, 400, "InvalidDigest", "The Content-MD5 you specified was invalid.");
        return false;
    }
    if (!cs_emu_s3_md5(hex, c->body) || cs_hex_decode(md, sizeof md, cs_slice_str(hex)) != CS_OK ||
        memcmp(md, want, sizeof md) != 0) {
        cs_emu_s3_refuse(c, 400, "BadDigest", "The Content-MD5 you specified did not match what we received.");
        return false;
    }
    return true;
}

bool cs_emu_s3_body_ok(cs_emu_s3_call *c)
{
    char name[64], actual[48], message[160];
    for (int k = 0; k < CS_EMU_NUM_SUMS; k++) {
        snprintf(name, sizeof name, "x-amz-checksum-%s", cs_emu_sum_name((cs_emu_sum)k));
        cs_slice h = cs_emu_s3_header(c, name);
        if (h.len > 0) {
            set_sum(c, k, h);
        }
        if (c->sums.text[k][0] == '\0') {
            continue;
        }
        if (cs_emu_sum_of(actual, (cs_emu_sum)k, c->body) != CS_OK || strcmp(actual, c->sums.text[k]) != 0) {
            snprintf(message, sizeof message, "The %s you specified did not match the calculated checksum.",
                     cs_emu_sum_name((cs_emu_sum)k));
            cs_emu_s3_refuse(c, 400, "BadDigest", message);
            return false;
        }
    }
    return md5_ok(c);
}

static bool bucket_exists(const cs_emu_s3_call *c)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/s3/%s", c->s->o.dir, c->bucket);
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Sub-resources and features that S3 has and the emulator does not: said so, not taken for something else. */
static bool is_absent_feature(const cs_emu_s3_call *c)
{
    static const char *const absent[] = {"accelerate",
                                         "acl",
                                         "analytics",
                                         "attributes",
                                         "cors",
                                         "encryption",
                                         "inventory",
                                         "legal-hold",
                                         "lifecycle",
                                         "logging",
                                         "metrics",
                                         "notification",
                                         "object-lock",
                                         "ownershipControls",
                                         "policy",
                                         "policyStatus",
                                         "publicAccessBlock",
                                         "replication",
                                         "requestPayment",
                                         "restore",
                                         "retention",
                                         "select",
                                         "tagging",
                                         "torrent",
                                         "versioning",
                                         "versions",
                                         "website",
                                         "intelligent-tiering"};
    char v[64];
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        if (cs_emu_s3_query(c, absent[i], v, sizeof v)) {
            return true;
        }
    }
    return cs_emu_s3_query(c, "versionId", v, sizeof v) && strcmp(v, "null") != 0;
}

static void route(cs_emu_s3_call *c)
{
    bool create = cs_slice_eq_str(c->q->sig.method, "PUT") && c->key[0] == '\0';
    if (is_absent_feature(c)) {
        cs_emu_s3_refuse(c, 501, "NotImplemented", "not implemented: this sub-resource is not emulated.");
    } else if (c->bucket[0] == '\0') {
        cs_emu_s3_list_buckets(c);
    } else if (!create && !bucket_exists(c)) {
        cs_emu_s3_refuse(c, 404, "NoSuchBucket", "The specified bucket does not exist");
    } else if (c->key[0] == '\0') {
        cs_emu_s3_bucket(c);
    } else if (!cs_emu_s3_multipart(c)) {
        cs_emu_s3_object(c);
    }
}

void cs_emu_s3(cs_emu_state *s, cs_emu_reply *reply, cs_emu_request *q)
{
    static cs_emu_s3_call c; /* one thread */
    c = (cs_emu_s3_call){.s = s, .q = q, .reply = reply, .body = q->body};
    cs_emu_reply_header(reply, "x-amz-request-id", "EMULATED");
    if (!parse_address(&c)) {
        c.bucket[0] = '\0';
        cs_emu_s3_refuse(&c, 400, c.key_too_long ? "KeyTooLongError" : "InvalidBucketName",
                         c.key_too_long ? "Your key is too long" : "The specified bucket or key is not valid.");
    } else if (set_payload_hash(&c) && check_auth(&c) && check_payload(&c)) {
        cs_emu_s3_set_base(&c);
        route(&c);
    }
    cs_buf_free(&c.decoded);
}
