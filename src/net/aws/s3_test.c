#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/aws/imds.h"
#include "net/aws/s3.h"

static void uris_are_taken_apart(void **state)
{
    cs_s3_uri u;
    assert_int_equal(cs_s3_parse_uri(&u, "s3://my.bucket-1/enclave/age key.enc"), CS_OK);
    assert_string_equal(u.bucket, "my.bucket-1");
    assert_string_equal(u.key, "enclave/age key.enc");
}

static void bad_uris_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "http://b/k",
                                      "s3://",
                                      "s3://ab/k",
                                      "s3://bucket",
                                      "s3://bucket/",
                                      "s3://Bucket/k",
                                      "s3://b..c/k",
                                      "s3://-abc/k",
                                      "s3://abc-/k",
                                      "s3://a@b.c/k",
                                      "s3://abc/\xff",
                                      "s3://abc/k?versionId=",
                                      "s3://abc/k?versionId=a b",
                                      "s3://abc/?versionId=1"};
    char big[1200] = "s3://abc/";
    cs_s3_uri u;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(cs_s3_parse_uri(&u, bad[i]), CS_E_S3_URI);
    }
    memset(big + 9, 'k', 1025);
    assert_int_equal(cs_s3_parse_uri(&u, big), CS_E_S3_URI);
}

static void versions_are_split_off(void **state)
{
    cs_s3_uri u;
    assert_int_equal(
        cs_s3_parse_uri(&u, "s3://abc/a?b?versionId=3HL4kqtJlcpXroDTDmJ-rmSpXd3dIbrHY.MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo"),
        CS_OK);
    assert_string_equal(u.key, "a?b");
    assert_string_equal(u.version, "3HL4kqtJlcpXroDTDmJ-rmSpXd3dIbrHY.MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo");
}

static void addresses_are_by_host_or_by_path(void **state)
{
    static const struct {
        const char *uri, *region, *endpoint, *scheme, *host, *path, *query;
    } rows[] = {
        {"s3://bucket/a b/c+d", "us-east-1", NULL, "https://", "bucket.s3.us-east-1.amazonaws.com", "/a%20b/c%2Bd", ""},
        {"s3://my.bucket/k", "eu-west-1", NULL, "https://", "s3.eu-west-1.amazonaws.com", "/my.bucket/k", ""},
        {"s3://bucket/k", "cn-north-1", NULL, "https://", "bucket.s3.cn-north-1.amazonaws.com.cn", "/k", ""},
        {"s3://bucket/k?versionId=a.b", "us-east-1", NULL, "https://", "bucket.s3.us-east-1.amazonaws.com", "/k",
         "versionId=a.b"},
        {"s3://bucket/k", "us-east-1", "http://127.0.0.1:9000", "http://", "127.0.0.1:9000", "/bucket/k", ""},
        {"s3://bucket/k", "us-east-1", "https://minio", "https://", "minio", "/bucket/k", ""},
    };
    static const char *const bad[][2] = {{"us-east-1", "ftp://x"},
                                         {"us-east-1", "http://x/y"},
                                         {"us-east-1", "x"},
                                         {"us-east-1", "http://"},
                                         {"us.evil", NULL},
                                         {"", NULL},
                                         {"a/b", NULL},
                                         {"US-EAST-1", NULL}};
    cs_s3_address a;
    cs_s3_uri u;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(cs_s3_parse_uri(&u, rows[i].uri), CS_OK);
        assert_int_equal(cs_s3_address_of(&a, &u, rows[i].region, rows[i].endpoint), CS_OK);
        assert_string_equal(a.scheme, rows[i].scheme);
        assert_string_equal(a.host, rows[i].host);
        assert_string_equal(a.path, rows[i].path);
        assert_string_equal(a.query, rows[i].query);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cs_s3_address_of(&a, &u, bad[i][0], bad[i][1]), CS_E_FORMAT);
    }
}

static void refusals_are_read_by_their_tags(void **state)
{
    cs_s3_info i = {0};
    cs_s3_parse_error(
        &i, cs_slice_str("<?xml?><Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"));
    assert_string_equal(i.code, "AuthorizationHeaderMalformed");
    assert_string_equal(i.region, "eu-west-1");
    memset(&i, 0, sizeof i);
    cs_s3_parse_error(&i, cs_slice_str("<Code>a\nb</Code><Region>x.evil.com/</Region>"));
    assert_string_equal(i.code, "");
    assert_string_equal(i.region, "");
    cs_s3_parse_error(&i, cs_slice_str("<Code>open"));
    cs_s3_parse_error(&i, CS_SLICE_NULL);
    assert_string_equal(i.code, "");
}

static void statuses_and_codes_have_their_rows(void **state)
{
    assert_int_equal(cs_s3_err(404, "NoSuchKey"), CS_E_S3_NOT_FOUND);
    assert_int_equal(cs_s3_err(404, ""), CS_E_S3_NOT_FOUND);
    assert_int_equal(cs_s3_err(403, "AccessDenied"), CS_E_S3_DENIED);
    assert_int_equal(cs_s3_err(400, "ExpiredToken"), CS_E_S3_TOKEN);
    assert_int_equal(cs_s3_err(403, ""), CS_E_S3_DENIED);
    assert_int_equal(cs_s3_err(403, "SignatureDoesNotMatch"), CS_E_S3_SIGNATURE);
    assert_int_equal(cs_s3_err(301, ""), CS_E_S3_REGION);
    assert_int_equal(cs_s3_err(412, "PreconditionFailed"), CS_E_S3_CHANGED);
    assert_int_equal(cs_s3_err(503, "SlowDown"), CS_E_S3_THROTTLED);
    assert_int_equal(cs_s3_err(500, "InternalError"), CS_E_S3);
}

static void identity_documents_are_strict(void **state)
{
    static const char *const bad[] = {"", "{}", "{\"region\":\"r\",\"instanceId\":\"i\"}",
                                      "{\"region\":\"r r\",\"instanceId\":\"i\",\"accountId\":\"1\"}",
                                      "{\"region\":\"\",\"instanceId\":\"i\",\"accountId\":\"1\"}"};
    cs_imds_identity id;
    assert_int_equal(
        cs_imds_parse_identity(
            &id, cs_slice_str("{\"region\":\"us-east-1\",\"instanceId\":\"i-1\",\"accountId\":\"1\",\"x\":null}")),
        CS_OK);
    assert_string_equal(id.region, "us-east-1");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(cs_imds_parse_identity(&id, cs_slice_str(bad[i])), CS_E_IMDS);
    }
}

static void nobody_listening_is_a_connect_error(void **state)
{
    static cs_aws_creds creds = {"AKID", "secret", "", 0};
    cs_s3_opts o = {
        .region = "us-east-1", .endpoint = "http://127.0.0.1:1", .creds = &creds, .max_bytes = 100, .tries = 2};
    cs_imds_opts im = {.endpoint = "http://127.0.0.1:1", .tries = 1};
    cs_s3_uri u = {"bucket", "key", ""};
    cs_buf b = cs_buf_heap(100);
    cs_s3_info info;
    cs_imds_identity id;
    assert_int_equal(cs_s3_get(&b, &info, &u, &o), CS_E_CONNECT);
    assert_int_equal(cs_s3_head(&info, &u, &o), CS_E_CONNECT);
    assert_int_equal(cs_s3_put(&info, &u, cs_slice_str("x"), &o), CS_E_CONNECT);
    o.region = "../x";
    assert_int_equal(cs_s3_get(&b, &info, &u, &o), CS_E_FORMAT);
    assert_int_equal(cs_imds_credentials(&b, NULL, &im), CS_E_IMDS_ABSENT);
    assert_int_equal(cs_imds_identity_get(&id, &im), CS_E_IMDS_ABSENT);
    cs_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uris_are_taken_apart),
        cmocka_unit_test(bad_uris_are_refused),
        cmocka_unit_test(versions_are_split_off),
        cmocka_unit_test(addresses_are_by_host_or_by_path),
        cmocka_unit_test(refusals_are_read_by_their_tags),
        cmocka_unit_test(statuses_and_codes_have_their_rows),
        cmocka_unit_test(identity_documents_are_strict),
        cmocka_unit_test(nobody_listening_is_a_connect_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
