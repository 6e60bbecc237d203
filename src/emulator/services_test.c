/* The metadata service and the encodings of S3 uploads, without sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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
    out->len = 0;
    return cs_emu_s3_unchunk(out, S(text));
}

static void aws_chunked_bodies_are_unpacked(void **state)
{
    static const char *const bad[] = {
        "",     "4\r\nabcd",        "4\r\nabc\r\n0\r\n\r\n", "5\r\nabcd\r\n0\r\n", "x\r\n",
        "\r\n", "4\nabcd\r\n0\r\n", "4\r\nabcdXX0\r\n",      "fffffffff\r\n",      "4\r\nabcd\r\n0\r\ntrailer"};
    uint8_t mem[16];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(unchunk(&out, "4\r\nabcd\r\nA;x=1\r\n0123456789\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n"),
                     CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&out), "abcd0123456789"));
    assert_int_equal(unchunk(&out, "0\r\n\r\n"), CS_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(unchunk(&out, bad[i]), CS_E_FORMAT);
    }
    assert_int_equal(unchunk(&out, "11\r\n0123456789abcdefg\r\n0\r\n"), CS_E_RANGE);
}

static void lists_of_parts_ascend(void **state)
{
    uint32_t p[2];
    size_t n = 0;
    assert_int_equal(
        cs_emu_s3_parse_parts(
            p, 2, &n, S("<C><Part><PartNumber>1</PartNumber></Part><Part><PartNumber>7</PartNumber></Part></C>")),
        CS_OK);
    assert_true(n == 2 && p[0] == 1 && p[1] == 7);
    assert_int_equal(cs_emu_s3_parse_parts(p, 1, &n, S("<PartNumber>1<<PartNumber>2<")), CS_E_RANGE);
    assert_int_equal(cs_emu_s3_parse_parts(p, 2, &n, S("<PartNumber>2<<PartNumber>2<")), CS_E_FORMAT);
    assert_int_equal(cs_emu_s3_parse_parts(p, 2, &n, S("<PartNumber>0<")), CS_E_FORMAT);
    assert_int_equal(cs_emu_s3_parse_parts(p, 2, &n, S("<PartNumber>10001<")), CS_E_FORMAT);
    assert_int_equal(cs_emu_s3_parse_parts(p, 2, &n, S("<PartNumber>")), CS_E_FORMAT);
    assert_int_equal(cs_emu_s3_parse_parts(p, 2, &n, CS_SLICE_NULL), CS_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_need_a_life_in_range),
        cmocka_unit_test(nothing_is_told_without_a_valid_token),
        cmocka_unit_test(credentials_come_for_the_role_only_and_rotate),
        cmocka_unit_test(aws_chunked_bodies_are_unpacked),
        cmocka_unit_test(lists_of_parts_ascend),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
