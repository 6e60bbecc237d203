/* The metadata service and the encodings of S3 uploads, without sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "emulator/s3_call.h"
#include "emulator/s3_chunked.h"

#define S(x) cs_slice_str(x)

static uint64_t now_ms = 1767323045000ull;
static cs_emu_state st;
static cs_emu_imds imds;
static cs_emu_reply reply;
static char token[64];

static uint64_t fake_wall(void)
{
    return now_ms;
}

static uint64_t fake_mono(void)
{
    return now_ms * 1000000u;
}

static int setup(void **state)
{
    static const cs_clock_source clock = {fake_wall, fake_mono};
    cs_clock_set_for_tests(&clock);
    st.o = (cs_emu_options){"", "us-east-1", "123456789012", "enclave-host", "", "i-1", 600, "alternate", NULL};
    reply.body = cs_buf_heap(65536);
    return 0;
}

static int teardown(void **state)
{
    cs_buf_free(&reply.body);
    cs_clock_set_for_tests(NULL);
    return 0;
}

static unsigned ask(const char *method, const char *path, const char *header, const char *value)
{
    cs_sigv4_header h = {S(header), S(value)};
    cs_emu_request q = {{S(method), S(path), CS_SLICE_NULL, &h, 1, CS_SLICE_NULL}, CS_SLICE_NULL, true};
    reply.body.len = 0;
    reply.num_headers = 0;
    cs_emu_imds_serve(&imds, &st, &reply, &q);
    return reply.status;
}

#define TTL "x-aws-ec2-metadata-token-ttl-seconds"
#define TOKEN "X-Aws-Ec2-Metadata-Token"
#define ROLES "/latest/meta-data/iam/security-credentials/"

static void get_token(const char *ttl)
{
    assert_int_equal(ask("PUT", "/latest/api/token", TTL, ttl), 200);
    assert_int_equal(reply.body.len, 56);
    memcpy(token, reply.body.p, 56);
    token[56] = '\0';
}

static void tokens_need_a_life_in_range(void **state)
{
    static const char *const bad[] = {"0", "21601", "-1", "x", "", "1.5", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(ask("PUT", "/latest/api/token", TTL, bad[i]), 400);
    }
    assert_int_equal(ask("PUT", "/latest/api/token", "X-Other", "60"), 400);
    assert_int_equal(ask("PUT", "/latest/api/token", "X-Forwarded-For", "1.2.3.4"), 403);
    assert_int_equal(ask("GET", "/latest/api/token", TTL, "60"), 405);
    get_token("21600");
}

static void nothing_is_told_without_a_valid_token(void **state)
{
    assert_int_equal(ask("GET", ROLES, "X-Other", "x"), 401);
    assert_int_equal(ask("GET", ROLES, TOKEN, "00000000000000000000000000000000000000000000000000000000"), 401);
    get_token("5");
    assert_int_equal(ask("GET", ROLES, TOKEN, token), 200);
    assert_true(cs_slice_eq_str(cs_buf_slice(&reply.body), "enclave-host"));
    now_ms += 5000;
    assert_int_equal(ask("GET", ROLES, TOKEN, token), 401);
}

static void credentials_come_for_the_role_only_and_rotate(void **state)
{
    char first[512] = "";
    get_token("21600");
    assert_int_equal(ask("GET", ROLES "other", TOKEN, token), 404);
    assert_int_equal(ask("POST", ROLES "enclave-host", TOKEN, token), 405);
    assert_int_equal(ask("GET", ROLES "enclave-host", TOKEN, token), 200);
    memcpy(first, reply.body.p, reply.body.len);
    assert_int_equal(ask("GET", ROLES "enclave-host", TOKEN, token), 200);
    assert_memory_equal(first, reply.body.p, reply.body.len);
    now_ms += 301000; /* less than five minutes are left */
    assert_int_equal(ask("GET", ROLES "enclave-host", TOKEN, token), 200);
    assert_memory_not_equal(first, reply.body.p, reply.body.len);
    st.o.role = "";
    assert_int_equal(ask("GET", ROLES, TOKEN, token), 404);
    st.o.role = "enclave-host";
}

static cs_err unchunk(cs_buf *out, const char *text)
{
    cs_emu_trailers t;
    out->len = 0;
    return cs_emu_s3_unchunk(out, S(text), NULL, &t);
}

static void aws_chunked_bodies_are_unpacked(void **state)
{
    static const char *const bad[] = {"",
                                      "4\r\nabcd",
                                      "4\r\nabc\r\n0\r\n\r\n",
                                      "5\r\nabcd\r\n0\r\n",
                                      "x\r\n",
                                      "\r\n",
                                      "4\nabcd\r\n0\r\n",
                                      "4\r\nabcdXX0\r\n",
                                      "fffffffff\r\n",
                                      "4\r\nabcd\r\n0\r\ntrailer",
                                      "0\r\nno colon\r\n\r\n",
                                      "0\r\n:v\r\n\r\n",
                                      "0\r\na:b\n\r\n",
                                      "0\r\n\r\nmore",
                                      "0\r\nx-amz-trailer-signature:00\r\n\r\n"};
    uint8_t mem[16];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(unchunk(&out, "4\r\nabcd\r\nA;x=1\r\n0123456789\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n"),
                     CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&out), "abcd0123456789"));
    assert_int_equal(unchunk(&out, "0\r\n\r\n"), CS_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (unchunk(&out, bad[i]) != CS_E_FORMAT) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    assert_int_equal(unchunk(&out, "11\r\n0123456789abcdefg\r\n0\r\n"), CS_E_RANGE);
    assert_int_equal(unchunk(&out, "0\r\na:1\r\na:2\r\na:3\r\na:4\r\na:5\r\na:6\r\na:7\r\na:8\r\na:9\r\n\r\n"),
                     CS_E_RANGE);
}

/* The published example of chunk signatures (Amazon S3 API reference): 64 KiB, 1 KiB and 0 bytes of 'a'. */
static void chunk_signatures_are_checked(void **state)
{
    static const cs_emu_chunk_signer signer = {"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524",
                                               "20130524T000000Z", "us-east-1",
                                               "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"};
    static const char *const heads[] = {
        "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n",
        "400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n",
        "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n"};
    static const size_t lens[] = {65536, 1024, 0};
    cs_buf body = cs_buf_heap(1u << 20), out = cs_buf_heap(1u << 20);
    cs_emu_trailers t;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cs_put_str(&body, heads[i]), CS_OK);
        for (size_t k = 0; k < lens[i]; k++) {
            assert_int_equal(cs_put_u8(&body, 'a'), CS_OK);
        }
        assert_int_equal(cs_put_str(&body, "\r\n"), CS_OK);
    }
    assert_int_equal(cs_emu_s3_unchunk(&out, cs_buf_slice(&body), &signer, &t), CS_OK);
    assert_int_equal(out.len, 66560);
    out.len = 0;
    body.p[200] ^= 1; /* data */
    assert_int_equal(cs_emu_s3_unchunk(&out, cs_buf_slice(&body), &signer, &t), CS_E_AUTH);
    body.p[200] ^= 1;
    out.len = 0;
    body.p[body.len - 10] ^= 1; /* the last signature: truncation would show here */
    assert_int_equal(cs_emu_s3_unchunk(&out, cs_buf_slice(&body), &signer, &t), CS_E_AUTH);
    out.len = 0;
    assert_int_equal(cs_emu_s3_unchunk(&out, S("0\r\n\r\n"), &signer, &t), CS_E_AUTH);
    cs_buf_free(&body);
    cs_buf_free(&out);
}

/* The other published example: the same body with a trailer, which has a signature of its own. */
static void trailer_signatures_are_checked(void **state)
{
    static const cs_emu_chunk_signer signer = {"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524",
                                               "20130524T000000Z", "us-east-1",
                                               "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"};
    static const char *const heads[] = {
        "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n",
        "400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n",
        "0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"};
    static const size_t lens[] = {65536, 1024, 0};
    cs_buf body = cs_buf_heap(1u << 20), out = cs_buf_heap(1u << 20);
    cs_emu_trailers t;
    char sum[48];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cs_put_str(&body, heads[i]), CS_OK);
        for (size_t k = 0; k < lens[i]; k++) {
            assert_int_equal(cs_put_u8(&body, 'a'), CS_OK);
        }
        assert_int_equal(cs_put_str(&body, i < 2 ? "\r\n" : ""), CS_OK);
    }
    size_t chunks_len = body.len;
    assert_int_equal(cs_put_str(&body, "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"
                                       "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"),
                     CS_OK);
    assert_int_equal(cs_emu_s3_unchunk(&out, cs_buf_slice(&body), &signer, &t), CS_OK);
    assert_int_equal(out.len, 66560);
    assert_int_equal(t.num, 1);
    assert_true(cs_slice_eq_str(t.item[0].value, "sOO8/Q=="));
    assert_int_equal(cs_emu_sum_of(sum, CS_EMU_CRC32C, cs_buf_slice(&out)), CS_OK);
    assert_string_equal(sum, "sOO8/Q==");
    out.len = 0;
    body.p[chunks_len + 24] ^= 1; /* the checksum */
    assert_int_equal(cs_emu_s3_unchunk(&out, cs_buf_slice(&body), &signer, &t), CS_E_AUTH);
    body.len = chunks_len; /* a trailer without its signature */
    assert_int_equal(cs_put_str(&body, "x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n"), CS_OK);
    out.len = 0;
    assert_int_equal(cs_emu_s3_unchunk(&out, cs_buf_slice(&body), &signer, &t), CS_E_AUTH);
    cs_buf_free(&body);
    cs_buf_free(&out);
}

static void checksums_have_their_known_values(void **state)
{
    static const char *const want[CS_EMU_NUM_SUMS] = {
        "y/Q5Jg==", "4waSgw==", "rosUhgp5mIg=", "98O8HYCOBHMq32eZZczDTKeuNEE=",
        "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="};
    char got[48];
    for (int k = 0; k < CS_EMU_NUM_SUMS; k++) { /* of "123456789", the check values of the CRC catalogue */
        assert_int_equal(cs_emu_sum_of(got, (cs_emu_sum)k, S("123456789")), CS_OK);
        assert_string_equal(got, want[k]);
    }
}

static cs_err parts(cs_emu_s3_part *out, size_t cap, size_t *num, const char *inner)
{
    char doc[1024];
    snprintf(doc, sizeof doc, "<CompleteMultipartUpload xmlns=\"u\">%s</CompleteMultipartUpload>", inner);
    return cs_emu_s3_parse_parts(out, cap, num, S(doc));
}

#define PART(n)                                                                                                        \
    "<Part><ETag>&quot;e" n "&quot;</ETag><ChecksumCRC32>x</ChecksumCRC32><PartNumber>" n "</PartNumber></Part>"

static void lists_of_parts_ascend(void **state)
{
    cs_emu_s3_part p[2];
    size_t n = 0;
    assert_int_equal(parts(p, 2, &n, PART("1") "\n " PART("7")), CS_OK);
    assert_true(n == 2 && p[0].number == 1 && p[1].number == 7);
    assert_string_equal(p[1].etag, "e7");
    assert_int_equal(parts(p, 2, &n, "<Part><PartNumber>3</PartNumber></Part>"), CS_OK);
    assert_string_equal(p[0].etag, "");
    assert_int_equal(parts(p, 1, &n, PART("1") PART("2")), CS_E_RANGE);
    assert_int_equal(parts(p, 2, &n, PART("2") PART("2")), CS_E_STATE);
    assert_int_equal(parts(p, 2, &n, PART("3") PART("2")), CS_E_STATE);
    static const char *const bad[] = {"",
                                      PART("0"),
                                      PART("10001"),
                                      "<Part></Part>",
                                      "<Part>x</Part>",
                                      "<Other/>",
                                      "<Part><PartNumber><b/></PartNumber></Part>",
                                      "</Part>"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(parts(p, 2, &n, bad[i]), CS_E_FORMAT);
    }
    assert_int_equal(cs_emu_s3_parse_parts(p, 2, &n, S("<Complete>" PART("1") "</Complete>")), CS_E_FORMAT);
    assert_int_equal(cs_emu_s3_parse_parts(p, 2, &n, CS_SLICE_NULL), CS_E_FORMAT);
}

static void lists_of_keys_to_delete(void **state)
{
    static const char *const bad[] = {"",
                                      "<Delete/>",
                                      "<Delete><Object/></Delete>",
                                      "<Remove><Object><Key>a</Key></Object></Remove>",
                                      "<Delete><Object><Key></Key></Object></Delete>",
                                      "<Delete><Object><Key>a<b/></Key></Object></Delete>",
                                      "<Delete><Object><Key>a</Key></Object>"};
    json_t *keys = NULL;
    bool quiet = false;
    assert_int_equal(cs_emu_s3_parse_delete(&keys, &quiet,
                                            S("<Delete><Object><Key>a/&amp;b</Key><VersionId>null</VersionId></Object>"
                                              "<Object><Key>c</Key></Object><Quiet>true</Quiet></Delete>")),
                     CS_OK);
    assert_true(quiet && json_array_size(keys) == 2);
    assert_string_equal(json_string_value(json_array_get(keys, 0)), "a/&b");
    json_decref(keys);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (cs_emu_s3_parse_delete(&keys, &quiet, S(bad[i])) == CS_OK) {
            fail_msg("taken: %s", bad[i]);
        }
    }
}

static void ranges_are_of_the_object(void **state)
{
    static const struct {
        const char *text;
        cs_emu_range kind;
        uint64_t from, to;
    } rows[] = {
        {"bytes=0-0", CS_EMU_RANGE_OK, 0, 0},
        {"bytes=2-", CS_EMU_RANGE_OK, 2, 9},
        {"bytes=0-99", CS_EMU_RANGE_OK, 0, 9},
        {"bytes=-3", CS_EMU_RANGE_OK, 7, 9},
        {"bytes=-99", CS_EMU_RANGE_OK, 0, 9},
        {"bytes=9-9", CS_EMU_RANGE_OK, 9, 9},
        {"bytes=10-", CS_EMU_RANGE_BAD, 0, 0},
        {"bytes=-0", CS_EMU_RANGE_BAD, 0, 0},
        {"bytes=5-4", CS_EMU_RANGE_NONE, 0, 0},
        {"bytes=-", CS_EMU_RANGE_NONE, 0, 0},
        {"bytes=0-1,3-4", CS_EMU_RANGE_NONE, 0, 0},
        {"lines=0-1", CS_EMU_RANGE_NONE, 0, 0},
        {"bytes=a-b", CS_EMU_RANGE_NONE, 0, 0},
        {"", CS_EMU_RANGE_NONE, 0, 0},
        {"bytes=99999999999999999999-", CS_EMU_RANGE_BAD, 0, 0},
        {"bytes=-99999999999999999999", CS_EMU_RANGE_OK, 0, 9},
        {"bytes=000000000000000000000005-5", CS_EMU_RANGE_OK, 5, 5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t from = 0, to = 0;
        assert_int_equal(cs_emu_s3_parse_range(S(rows[i].text), 10, &from, &to), rows[i].kind);
        assert_true(from == rows[i].from && to == rows[i].to);
    }
    uint64_t from, to;
    assert_int_equal(cs_emu_s3_parse_range(S("bytes=0-0"), 0, &from, &to), CS_EMU_RANGE_BAD);
}

static void form_values_are_decoded(void **state)
{
    char out[8];
    assert_int_equal(cs_emu_form_get(S("a=1&Action=%41+b&b"), "Action", out, sizeof out), CS_OK);
    assert_string_equal(out, "A b");
    assert_int_equal(cs_emu_form_get(S("a=1&b"), "b", out, sizeof out), CS_OK);
    assert_string_equal(out, "");
    assert_int_equal(cs_emu_form_get(S("a=1&b"), "c", out, sizeof out), CS_E_NOT_FOUND);
    assert_int_equal(cs_emu_form_get(S("a=%4"), "a", out, sizeof out), CS_E_FORMAT);
    assert_int_equal(cs_emu_form_get(S("a=%00"), "a", out, sizeof out), CS_E_FORMAT);
    assert_int_equal(cs_emu_form_get(S("a=12345678"), "a", out, sizeof out), CS_E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_need_a_life_in_range),
        cmocka_unit_test(nothing_is_told_without_a_valid_token),
        cmocka_unit_test(credentials_come_for_the_role_only_and_rotate),
        cmocka_unit_test(aws_chunked_bodies_are_unpacked),
        cmocka_unit_test(chunk_signatures_are_checked),
        cmocka_unit_test(trailer_signatures_are_checked),
        cmocka_unit_test(checksums_have_their_known_values),
        cmocka_unit_test(lists_of_parts_ascend),
        cmocka_unit_test(lists_of_keys_to_delete),
        cmocka_unit_test(ranges_are_of_the_object),
        cmocka_unit_test(form_values_are_decoded),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
