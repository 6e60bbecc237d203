/* The emulated S3 through signed requests, without sockets: what clients are told, and what they are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "emulator/s3_call.h"

#define MAX_HEADERS 12

static char dir[64];
static cs_emu_state st;
static cs_emu_options opts;
static cs_emu_reply reply;
static const cs_emu_session *as;
static uint64_t now_ms = 1767323045000ull;

static uint64_t fake_wall(void)
{
    return now_ms;
}

static uint64_t fake_mono(void)
{
    return now_ms * 1000000u;
}

/* One request. */
typedef struct ask {
    const char *method, *path, *query, *body;
    const char *hash;                /* x-amz-content-sha256; NULL: the body's, "": no such header */
    const char *header[MAX_HEADERS]; /* name, value, ... */
} ask;

static unsigned send(const ask *a)
{
    static uint8_t auth_mem[4096];
    char hash[65];
    cs_buf auth = cs_buf_wrap(auth_mem, sizeof auth_mem);
    cs_sigv4_result res = {.out = &auth};
    cs_slice body = a->body != NULL ? cs_slice_str(a->body) : CS_SLICE_NULL;
    cs_sigv4_header h[MAX_HEADERS + 6] = {{cs_slice_str("Host"), cs_slice_str("127.0.0.1:9000")}};
    size_t n = 1;
    for (size_t i = 0; i + 1 < MAX_HEADERS && a->header[i] != NULL; i += 2) {
        h[n++] = (cs_sigv4_header){cs_slice_str(a->header[i]), cs_slice_str(a->header[i + 1])};
    }
    assert_int_equal(cs_sigv4_hash(hash, body), CS_OK);
    const char *payload = a->hash != NULL && a->hash[0] != '\0' ? a->hash : hash;
    cs_emu_request q = {{cs_slice_str(a->method), cs_slice_str(a->path),
                         a->query != NULL ? cs_slice_str(a->query) : CS_SLICE_NULL, h, n, cs_slice_str(payload)},
                        body,
                        true};
    bool with_hash = a->hash == NULL || a->hash[0] != '\0';
    cs_sigv4_signer s = {cs_slice_str(as->access_key_id),
                         cs_slice_str(as->secret),
                         cs_slice_str(as->token),
                         cs_slice_str("us-east-1"),
                         cs_slice_str("s3"),
                         now_ms,
                         0,
                         CS_SIGV4_SINGLE_ENCODE | (with_hash ? CS_SIGV4_CONTENT_SHA256 : 0)};
    assert_int_equal(cs_sigv4_sign(&res, &q.sig, &s), CS_OK);
    h[n++] = (cs_sigv4_header){cs_slice_str("X-Amz-Date"), cs_slice_str(res.time)};
    h[n++] = (cs_sigv4_header){cs_slice_str("Authorization"), cs_buf_slice(&auth)};
    if (with_hash) {
        h[n++] = (cs_sigv4_header){cs_slice_str("X-Amz-Content-Sha256"), cs_slice_str(payload)};
    }
    if (as->token[0] != '\0') {
        h[n++] = (cs_sigv4_header){cs_slice_str("X-Amz-Security-Token"), cs_slice_str(as->token)};
    }
    q.sig.num_headers = n;
    reply.body.len = 0;
    reply.num_headers = 0;
    reply.status = 0;
    cs_emu_s3(&st, &reply, &q);
    return reply.status;
}

static bool says(const char *text)
{
    return memmem(reply.body.p, reply.body.len, text, strlen(text)) != NULL;
}

static const char *header(const char *name)
{
    for (size_t i = 0; i < reply.num_headers; i++) {
        if (strcasecmp(reply.header[i].name, name) == 0) {
            return reply.header[i].value;
        }
    }
    return "";
}

static void refused(const ask *a, unsigned status, const char *code)
{
    char element[80];
    snprintf(element, sizeof element, "<Code>%s</Code>", code);
    unsigned got = send(a);
    if (got != status || !says(element)) {
        fail_msg("%s %s: %u %.*s", a->method, a->path, got, (int)reply.body.len, (char *)reply.body.p);
    }
}

static int setup(void **state)
{
    static const cs_clock_source clock = {fake_wall, fake_mono};
    cs_clock_set_for_tests(&clock);
    cs_log_init("test", CS_LOG_ERROR, 2);
    strcpy(dir, "/tmp/cs-emu-XXXXXX");
    assert_non_null(mkdtemp(dir));
    opts = (cs_emu_options){
        dir,         "us-east-1", "123456789012", "enclave-host", "s3:GetObject", "i-1234567890abcdef0", 3600,
        "alternate", NULL};
    assert_int_equal(cs_emu_state_open(&st, &opts), CS_OK);
    as = &st.admin;
    reply.body = cs_buf_heap(CS_EMU_MAX_BODY);
    assert_int_equal(send(&(const ask){"PUT", "/bucket", NULL, NULL, NULL, {NULL}}), 200);
    return 0;
}

static int teardown(void **state)
{
    char cmd[128];
    cs_buf_free(&reply.body);
    cs_emu_state_close(&st);
    cs_clock_set_for_tests(NULL);
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd);
}

static void objects_come_back_with_what_they_had(void **state)
{
    assert_int_equal(send(&(const ask){"PUT",
                                       "/bucket/a%20b/c",
                                       NULL,
                                       "0123456789",
                                       NULL,
                                       {"x-amz-meta-Purpose", "test", "content-type", "text/x", "content-encoding",
                                        "aws-chunked,gzip"}}),
                     200);
    assert_int_equal(send(&(const ask){"GET", "/bucket/a%20b/c", NULL, NULL, NULL, {NULL}}), 200);
    assert_true(cs_slice_eq_str(cs_buf_slice(&reply.body), "0123456789"));
    assert_string_equal(header("x-amz-meta-purpose"), "test");
    assert_string_equal(header("content-type"), "text/x");
    assert_string_equal(header("content-encoding"), "gzip");
    assert_string_equal(header("etag"), "\"781e5e245d69b566979b86e28d23f2c7\"");
    assert_int_equal(send(&(const ask){"GET", "/bucket/a%20b/c", NULL, NULL, NULL, {"Range", "bytes=-3"}}), 206);
    assert_true(cs_slice_eq_str(cs_buf_slice(&reply.body), "789"));
    assert_string_equal(header("content-range"), "bytes 7-9/10");
    refused(&(const ask){"GET", "/bucket/a%20b/c", NULL, NULL, NULL, {"Range", "bytes=10-"}}, 416, "InvalidRange");
    assert_string_equal(header("content-range"), "bytes */10");
    assert_int_equal(send(&(const ask){"HEAD", "/bucket/none", NULL, NULL, NULL, {NULL}}), 404);
    assert_int_equal(reply.body.len, 0);
    assert_int_equal(
        send(&(const ask){
            "GET", "/bucket/a%20b/c", NULL, NULL, NULL, {"If-None-Match", "\"781e5e245d69b566979b86e28d23f2c7\""}}),
        304);
    refused(&(const ask){"GET", "/bucket/a%20b/c", NULL, NULL, NULL, {"If-Match", "\"0\""}}, 412, "PreconditionFailed");
    refused(&(const ask){"PUT", "/bucket/a%20b/c", NULL, "x", NULL, {"If-None-Match", "*"}}, 412, "PreconditionFailed");
    assert_int_equal(send(&(const ask){"DELETE", "/bucket/a%20b/c", NULL, NULL, NULL, {NULL}}), 204);
    assert_int_equal(send(&(const ask){"DELETE", "/bucket/a%20b/c", NULL, NULL, NULL, {NULL}}), 204);
    refused(&(const ask){"GET", "/bucket/a%20b/c", NULL, NULL, NULL, {NULL}}, 404, "NoSuchKey");
}

static void bodies_must_be_what_was_said(void **state)
{
    static const char other[] = "0000000000000000000000000000000000000000000000000000000000000000";
    static const char chunked[] = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    refused(&(const ask){"PUT", "/bucket/k", NULL, "x", other, {NULL}}, 400, "XAmzContentSHA256Mismatch");
    refused(&(const ask){"PUT", "/bucket/k", NULL, "x", "", {NULL}}, 400, "InvalidRequest");
    refused(&(const ask){"PUT", "/bucket/k", NULL, "x", "STREAMING-NONSENSE", {NULL}}, 501, "NotImplemented");
    refused(&(const ask){"PUT", "/bucket/k", NULL, "123456789", NULL, {"x-amz-checksum-crc32", "y/Q5Jw=="}}, 400,
            "BadDigest");
    refused(&(const ask){"PUT",
                         "/bucket/k",
                         NULL,
                         "123456789",
                         NULL,
                         {"x-amz-checksum-crc32", "y/Q5Jg==and a lot more than any checksum has, so that it is cut"}},
            400, "BadDigest");
    assert_int_equal(
        send(&(const ask){"PUT", "/bucket/k", NULL, "123456789", NULL, {"x-amz-checksum-crc32", "y/Q5Jg=="}}), 200);
    assert_int_equal(send(&(const ask){"GET", "/bucket/k", NULL, NULL, NULL, {"x-amz-checksum-mode", "ENABLED"}}), 200);
    assert_string_equal(header("x-amz-checksum-crc32"), "y/Q5Jg==");
    refused(&(const ask){"PUT", "/bucket/k", NULL, "x", NULL, {"content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="}}, 400,
            "BadDigest");
    refused(&(const ask){"PUT", "/bucket/k", NULL, "x", NULL, {"content-md5", "AAAA"}}, 400, "InvalidDigest");
    assert_int_equal(send(&(const ask){"PUT",
                                       "/bucket/k",
                                       NULL,
                                       "9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n",
                                       chunked,
                                       {"x-amz-trailer", "x-amz-checksum-crc32", "x-amz-decoded-content-length", "9"}}),
                     200);
    refused(&(const ask){"PUT",
                         "/bucket/k",
                         NULL,
                         "9\r\n123456780\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n",
                         chunked,
                         {"x-amz-trailer", "x-amz-checksum-crc32"}},
            400, "BadDigest");
    refused(
        &(const ask){
            "PUT", "/bucket/k", NULL, "1\r\n1\r\n0\r\n\r\n", chunked, {"x-amz-trailer", "x-amz-checksum-crc32"}},
        400, "MalformedTrailerError");
    refused(
        &(const ask){"PUT", "/bucket/k", NULL, "1\r\n1\r\n0\r\n\r\n", chunked, {"x-amz-decoded-content-length", "2"}},
        400, "IncompleteBody");
    refused(&(const ask){"PUT", "/bucket/k", NULL, "1\r\n1", chunked, {NULL}}, 400, "IncompleteBody");
    refused(
        &(const ask){
            "PUT", "/bucket/k", NULL, "0;chunk-signature=00\r\n\r\n", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", {NULL}},
        403, "SignatureDoesNotMatch");
    assert_int_equal(send(&(const ask){"GET", "/bucket/k", NULL, NULL, NULL, {NULL}}), 200);
    assert_true(cs_slice_eq_str(cs_buf_slice(&reply.body), "123456789")); /* no refused body was stored */
    assert_int_equal(send(&(const ask){"DELETE", "/bucket/k", NULL, NULL, NULL, {NULL}}), 204);
}

static void put(const char *path)
{
    assert_int_equal(send(&(const ask){"PUT", path, NULL, "x", NULL, {NULL}}), 200);
}

static void lists_are_in_order_and_in_pages(void **state)
{
    char query[256], token[128];
    put("/bucket/b");
    put("/bucket/a/2");
    put("/bucket/a/1");
    put("/bucket/%3C%26");
    assert_int_equal(send(&(const ask){"GET", "/bucket", "list-type=2&delimiter=%2F", NULL, NULL, {NULL}}), 200);
    assert_true(says("<KeyCount>3</KeyCount>") && says("<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>"));
    assert_true(says("<Key>&lt;&amp;</Key>") && !says("a/1"));
    assert_int_equal(
        send(&(const ask){"GET", "/bucket", "encoding-type=url&list-type=2&prefix=%3C", NULL, NULL, {NULL}}), 200);
    assert_true(says("<Key>%3C%26</Key>") && says("<KeyCount>1</KeyCount>"));
    assert_int_equal(send(&(const ask){"GET", "/bucket", "list-type=2&max-keys=3", NULL, NULL, {NULL}}), 200);
    assert_true(says("<IsTruncated>true</IsTruncated>") && !says("<Key>b</Key>"));
    const uint8_t *at = memmem(reply.body.p, reply.body.len, "<NextContinuationToken>", 23);
    assert_non_null(at);
    snprintf(token, sizeof token, "%.*s", 6, (const char *)at + 23);
    snprintf(query, sizeof query, "continuation-token=%s&list-type=2", token);
    assert_int_equal(send(&(const ask){"GET", "/bucket", query, NULL, NULL, {NULL}}), 200);
    assert_true(says("<Key>b</Key>") && says("<KeyCount>1</KeyCount>"));
    assert_int_equal(send(&(const ask){"GET", "/bucket", "marker=a%2F2", NULL, NULL, {NULL}}), 200);
    assert_true(says("<Key>b</Key>") && !says("<Key>a/2</Key>"));
    static const char *const bad[] = {"list-type=3", "max-keys=x", "encoding-type=base64",
                                      "continuation-token=zz&list-type=2"};
    for (size_t i = 0; i < 4; i++) {
        refused(&(const ask){"GET", "/bucket", bad[i], NULL, NULL, {NULL}}, 400, "InvalidArgument");
    }
    refused(&(const ask){"DELETE", "/bucket", NULL, NULL, NULL, {NULL}}, 409, "BucketNotEmpty");
    refused(&(const ask){"POST", "/bucket", "delete=", "<Delete/>", NULL, {NULL}}, 400, "MalformedXML");
    assert_int_equal(
        send(&(const ask){
            "POST",
            "/bucket",
            "delete=",
            "<Delete><Object><Key>b</Key></Object><Object><Key>a/1</Key></Object><Object><Key>&lt;&amp;</Key>"
            "</Object><Object><Key>a/2</Key></Object></Delete>",
            NULL,
            {NULL}}),
        200);
    assert_true(says("<Deleted><Key>&lt;&amp;</Key></Deleted>"));
    assert_int_equal(send(&(const ask){"GET", "/bucket", "list-type=2", NULL, NULL, {NULL}}), 200);
    assert_true(says("<KeyCount>0</KeyCount>"));
}

static void copies_need_the_right_to_read(void **state)
{
    put("/bucket/from");
    assert_int_equal(send(&(const ask){"PUT", "/bucket/to", NULL, NULL, NULL, {"x-amz-copy-source", "/bucket/from"}}),
                     200);
    assert_true(says("<CopyObjectResult>"));
    refused(&(const ask){"PUT", "/bucket/to", NULL, NULL, NULL, {"x-amz-copy-source", "bucket/none"}}, 404,
            "NoSuchKey");
    static const char *const bad[] = {"bucket", "bucket/", "../x/y", "/", "Bucket/a", "bucket/%00"};
    for (size_t i = 0; i < 6; i++) {
        refused(&(const ask){"PUT", "/bucket/to", NULL, NULL, NULL, {"x-amz-copy-source", bad[i]}}, 400,
                "InvalidArgument");
    }
    assert_int_equal(cs_emu_role_session(&as, &st), CS_OK); /* may get objects, nothing else */
    refused(&(const ask){"PUT", "/bucket/to", NULL, NULL, NULL, {"x-amz-copy-source", "bucket/from"}}, 403,
            "AccessDenied");
    refused(&(const ask){"GET", "/bucket/none", NULL, NULL, NULL, {NULL}}, 403, "AccessDenied");
    refused(&(const ask){"GET", "/bucket", "list-type=2", NULL, NULL, {NULL}}, 403, "AccessDenied");
    refused(&(const ask){"DELETE", "/bucket/from", NULL, NULL, NULL, {NULL}}, 403, "AccessDenied");
    refused(&(const ask){"GET", "/", NULL, NULL, NULL, {NULL}}, 403, "AccessDenied");
    refused(&(const ask){"PUT", "/other-bucket", NULL, NULL, NULL, {NULL}}, 403, "AccessDenied");
    assert_int_equal(send(&(const ask){"GET", "/bucket/from", NULL, NULL, NULL, {NULL}}), 200);
    as = &st.admin;
    send(&(const ask){"DELETE", "/bucket/from", NULL, NULL, NULL, {NULL}});
    send(&(const ask){"DELETE", "/bucket/to", NULL, NULL, NULL, {NULL}});
}

static void begin_upload(const char *path, char id[33])
{
    assert_int_equal(send(&(const ask){"POST", path, "uploads=", NULL, NULL, {NULL}}), 200);
    const uint8_t *at = memmem(reply.body.p, reply.body.len, "<UploadId>", 10);
    assert_non_null(at);
    snprintf(id, 33, "%.32s", (const char *)at + 10);
}

#define COMPLETE(parts) "<CompleteMultipartUpload>" parts "</CompleteMultipartUpload>"
#define ONE "<Part><PartNumber>1</PartNumber><ETag>\"9dd4e461268c8034f5c8564e155c67a6\"</ETag></Part>"
#define TWO "<Part><PartNumber>2</PartNumber></Part>"

static void uploads_are_checked_when_they_are_completed(void **state)
{
    char id[33], of[64], part[80];
    begin_upload("/bucket/up", id);
    snprintf(of, sizeof of, "uploadId=%s", id);
    for (int i = 1; i <= 2; i++) {
        snprintf(part, sizeof part, "partNumber=%d&uploadId=%s", i, id);
        assert_int_equal(send(&(const ask){"PUT", "/bucket/up", part, "x", NULL, {NULL}}), 200);
    }
    assert_int_equal(send(&(const ask){"GET", "/bucket/up", of, NULL, NULL, {NULL}}), 200);
    assert_true(says("<PartNumber>2</PartNumber>") && says("<Size>1</Size>"));
    assert_int_equal(send(&(const ask){"GET", "/bucket", "uploads=", NULL, NULL, {NULL}}), 200);
    assert_true(says(id));
    refused(&(const ask){"GET", "/bucket/other", of, NULL, NULL, {NULL}}, 404,
            "NoSuchUpload"); /* it is of another key */
    refused(&(const ask){"GET", "/bucket/up", "uploadId=../../x", NULL, NULL, {NULL}}, 404, "NoSuchUpload");
    snprintf(part, sizeof part, "partNumber=0&uploadId=%s", id);
    refused(&(const ask){"PUT", "/bucket/up", part, "x", NULL, {NULL}}, 400, "InvalidArgument");
    snprintf(part, sizeof part, "partNumber=1&uploadId=%s", id);
    refused(&(const ask){"PUT", "/bucket/up", part, "x", NULL, {"x-amz-checksum-crc32", "AAAAAA=="}}, 400, "BadDigest");
    refused(&(const ask){"PUT", "/bucket/up", part, "x", NULL, {"x-amz-copy-source", "bucket/a"}}, 501,
            "NotImplemented");
    refused(&(const ask){"POST", "/bucket/up", of, "not XML", NULL, {NULL}}, 400, "MalformedXML");
    refused(&(const ask){"POST", "/bucket/up", of, COMPLETE(TWO ONE), NULL, {NULL}}, 400, "InvalidPartOrder");
    refused(&(const ask){"POST", "/bucket/up", of, COMPLETE(ONE TWO), NULL, {NULL}}, 400, "EntityTooSmall");
    refused(&(const ask){"POST", "/bucket/up", of, COMPLETE("<Part><PartNumber>3</PartNumber></Part>"), NULL, {NULL}},
            400, "InvalidPart");
    refused(
        &(const ask){
            "POST", "/bucket/up", of, COMPLETE("<Part><PartNumber>1</PartNumber><ETag>0</ETag></Part>"), NULL, {NULL}},
        400, "InvalidPart");
    refused(&(const ask){"GET", "/bucket/up", NULL, NULL, NULL, {NULL}}, 404,
            "NoSuchKey"); /* not before it is complete */
    refused(&(const ask){"POST", "/bucket/up", of, COMPLETE(ONE), NULL, {"x-amz-checksum-crc32", "AAAAAA=="}}, 400,
            "BadDigest");
    assert_int_equal(send(&(const ask){"POST", "/bucket/up", of, COMPLETE(ONE), NULL, {NULL}}), 200);
    assert_true(says("-1&quot;</ETag>"));
    refused(&(const ask){"POST", "/bucket/up", of, COMPLETE(ONE), NULL, {NULL}}, 404, "NoSuchUpload");
    begin_upload("/bucket/up", id);
    snprintf(of, sizeof of, "uploadId=%s", id);
    assert_int_equal(send(&(const ask){"DELETE", "/bucket/up", of, NULL, NULL, {NULL}}), 204);
    refused(&(const ask){"DELETE", "/bucket/up", of, NULL, NULL, {NULL}}, 404, "NoSuchUpload");
    send(&(const ask){"DELETE", "/bucket/up", NULL, NULL, NULL, {NULL}});
}

static void what_is_not_there_is_said(void **state)
{
    refused(&(const ask){"GET", "/bucket/a", "acl=", NULL, NULL, {NULL}}, 501, "NotImplemented");
    refused(&(const ask){"GET", "/bucket", "versions=", NULL, NULL, {NULL}}, 501, "NotImplemented");
    refused(&(const ask){"GET", "/bucket/a", "versionId=7", NULL, NULL, {NULL}}, 501, "NotImplemented");
    refused(&(const ask){"PATCH", "/bucket/a", NULL, NULL, NULL, {NULL}}, 405, "MethodNotAllowed");
    refused(&(const ask){"POST", "/bucket", NULL, NULL, NULL, {NULL}}, 405, "MethodNotAllowed");
    refused(&(const ask){"GET", "/no-such-bucket/a", NULL, NULL, NULL, {NULL}}, 404, "NoSuchBucket");
    refused(&(const ask){"GET", "/Bad_Bucket/a", NULL, NULL, NULL, {NULL}}, 400, "InvalidBucketName");
    refused(&(const ask){"GET", "/..%2F..%2Fetc/passwd", NULL, NULL, NULL, {NULL}}, 400, "InvalidBucketName");
    refused(&(const ask){"PUT", "/bucket", NULL, NULL, NULL, {NULL}}, 409, "BucketAlreadyOwnedByYou");
    refused(&(const ask){"PUT", "/bucket/%FF", NULL, NULL, NULL, {NULL}}, 400, "InvalidBucketName");
    assert_int_equal(send(&(const ask){"GET", "/", NULL, NULL, NULL, {NULL}}), 200);
    assert_true(says("<Name>bucket</Name>"));
    assert_int_equal(send(&(const ask){"HEAD", "/bucket", NULL, NULL, NULL, {NULL}}), 200);
    assert_int_equal(send(&(const ask){"GET", "/bucket", "location=", NULL, NULL, {NULL}}), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_come_back_with_what_they_had),
        cmocka_unit_test(bodies_must_be_what_was_said),
        cmocka_unit_test(lists_are_in_order_and_in_pages),
        cmocka_unit_test(copies_need_the_right_to_read),
        cmocka_unit_test(uploads_are_checked_when_they_are_completed),
        cmocka_unit_test(what_is_not_there_is_said),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
