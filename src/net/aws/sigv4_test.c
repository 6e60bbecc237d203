#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/aws/sigv4.h"

/* Source: specs/nitro-kms.md Appendix A.1 (the public key pair of the AWS test suite). */
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define T20260102 1767323045000ull /* 20260102T030405Z */
#define S(x) cs_slice_str(x)

static const char kms_body[] =
    "{\"KeyId\":\"arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab\","
    "\"CiphertextBlob\":\"AQICAHg=\"}";

typedef struct fixture {
    cs_sigv4_header h[8];
    cs_sigv4_request r;
    cs_sigv4_signer s;
    char hash[65];
    uint8_t mem[4][8192];
    cs_buf canonical, sts, out;
    cs_sigv4_result res;
} fixture;

static void make_kms(fixture *f)
{
    memset(f, 0, sizeof *f);
    assert_int_equal(cs_sigv4_hash(f->hash, S(kms_body)), CS_OK);
    f->h[0] = (cs_sigv4_header){S("Host"), S("kms.us-east-1.amazonaws.com")};
    f->h[1] = (cs_sigv4_header){S("Content-Type"), S("application/x-amz-json-1.1")};
    f->h[2] = (cs_sigv4_header){S("X-Amz-Target"), S("TrentService.Decrypt")};
    f->r = (cs_sigv4_request){S("POST"), S("/"), CS_SLICE_NULL, f->h, 3, S(f->hash)};
    f->s = (cs_sigv4_signer){S("AKIDEXAMPLE"), S(SECRET), S("TESTSESSIONTOKEN"), S("us-east-1"), S("kms"),
                             T20260102,        3600,      CS_SIGV4_NORMALIZE};
    f->canonical = cs_buf_wrap(f->mem[0], sizeof f->mem[0]);
    f->sts = cs_buf_wrap(f->mem[1], sizeof f->mem[1]);
    f->out = cs_buf_wrap(f->mem[2], sizeof f->mem[2]);
    f->res = (cs_sigv4_result){&f->canonical, &f->sts, "", "", &f->out};
}

static void make_s3(fixture *f, const char *payload_hash)
{
    make_kms(f);
    f->h[0].value = S("examplebucket.s3.us-east-1.amazonaws.com");
    f->r = (cs_sigv4_request){S("GET"), S("/enclave/age-private.key.enc"), CS_SLICE_NULL, f->h, 1, S(payload_hash)};
    f->s.service = S("s3");
    f->s.flags = CS_SIGV4_SINGLE_ENCODE | CS_SIGV4_CONTENT_SHA256;
}

/* What the other side receives: the request plus the headers that signing adds. */
static void add_signed_headers(fixture *f)
{
    size_t n = f->r.num_headers;
    f->h[n++] = (cs_sigv4_header){S("X-Amz-Date"), S(f->res.time)};
    if (f->s.token.len > 0) {
        f->h[n++] = (cs_sigv4_header){S("X-Amz-Security-Token"), f->s.token};
    }
    if (f->s.flags & CS_SIGV4_CONTENT_SHA256) {
        f->h[n++] = (cs_sigv4_header){S("x-amz-content-sha256"), f->r.payload_hash};
    }
    f->h[n++] = (cs_sigv4_header){S("Authorization"), cs_buf_slice(&f->out)};
    f->r.num_headers = n;
}

static cs_err verify(fixture *f, uint64_t now_ms)
{
    static cs_sigv4_auth a;
    cs_sigv4_check c = {S(SECRET), now_ms, 300000, f->s.flags & (CS_SIGV4_NORMALIZE | CS_SIGV4_SINGLE_ENCODE)};
    cs_err err = cs_sigv4_parse(&a, &f->r);
    return err != CS_OK ? err : cs_sigv4_verify(&a, &f->r, &c);
}

static void signs_the_kms_example(void **state)
{
    static fixture f;
    char hash[65];
    make_kms(&f);
    assert_string_equal(f.hash, "e707705bdfe33c58c74da8ad987a8e966d0785f0cac0581a5fc075c9ae1d93fc");
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_OK);
    assert_int_equal(cs_sigv4_hash(hash, cs_buf_slice(&f.canonical)), CS_OK);
    assert_string_equal(hash, "a734a8442d6b03438579da135bda7d5539a4112a3be0e338ed54059659a8883d");
    assert_string_equal(f.res.signature, "2d8d06344068e585669d96601a8f9208c428441be9144ba07b08b683f086ea16");
    assert_non_null(
        strstr((char *)f.out.p, "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target"));
}

static void signs_the_s3_examples(void **state)
{
    static fixture f;
    char hash[65];
    make_s3(&f, CS_SIGV4_EMPTY_SHA256);
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_OK);
    assert_int_equal(cs_sigv4_hash(hash, cs_buf_slice(&f.canonical)), CS_OK);
    assert_string_equal(hash, "95e93d6f7aa665cdd45a20a16a9a5a866dc427f256db583dfaeb474eb4957e14");
    assert_string_equal(f.res.signature, "bde3618d7c1a335378b1dc8a72d688c116032a372cd3f56fc8fc6193c1174ee4");
    make_s3(&f, CS_SIGV4_UNSIGNED);
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_OK);
    assert_string_equal(f.res.signature, "36ef0ebae1b52cc5e7c9de6968fad1c7ec15fcabc2051ff032a168ec78ee5869");
}

static void get_vanilla_of_the_suite(void **state)
{
    static fixture f;
    make_kms(&f);
    f.h[0].value = S("example.amazonaws.com");
    f.r = (cs_sigv4_request){S("GET"), S("/"), CS_SLICE_NULL, f.h, 1, S(CS_SIGV4_EMPTY_SHA256)};
    f.s.service = S("service");
    f.s.token = CS_SLICE_NULL;
    f.s.time_ms = 1440938160000ull;
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_OK);
    assert_string_equal(f.res.signature, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    f.out.len = 0;
    assert_int_equal(cs_sigv4_presign(&f.res, &f.r, &f.s), CS_OK);
    assert_string_equal(f.res.signature, "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d");
}

static void canonical_of(fixture *f, const char *path, const char *query, unsigned flags, const char *want)
{
    make_kms(f);
    f->h[0].value = S("h");
    f->r = (cs_sigv4_request){S("GET"), S(path), S(query), f->h, 1, S("x")};
    f->s.token = CS_SLICE_NULL;
    f->s.flags = flags;
    assert_int_equal(cs_sigv4_sign(&f->res, &f->r, &f->s), CS_OK);
    f->canonical.p[f->canonical.len] = '\0';
    char *end = strstr((char *)f->canonical.p, "\nhost:");
    assert_non_null(end);
    *end = '\0';
    assert_string_equal((char *)f->canonical.p, want);
}

static void paths_and_queries_are_canonical(void **state)
{
    static fixture f;
    canonical_of(&f, "", "", CS_SIGV4_NORMALIZE, "GET\n/\n");
    canonical_of(&f, "/a/../../b/", "", CS_SIGV4_NORMALIZE, "GET\n/b/\n");
    canonical_of(&f, "/./a//b", "", CS_SIGV4_NORMALIZE, "GET\n/a/b\n");
    canonical_of(&f, "/./a//b", "", 0, "GET\n/./a//b\n");
    canonical_of(&f, "/a%20b", "", CS_SIGV4_NORMALIZE, "GET\n/a%2520b\n");
    canonical_of(&f, "/a%20b//c", "", CS_SIGV4_SINGLE_ENCODE, "GET\n/a%20b//c\n");
    canonical_of(&f, "/", "b=2&a=2&a=1&A=0&a-b=1&%E1=1&c&&", 0, "GET\n/\n%E1=1&A=0&a=1&a=2&a-b=1&b=2&c=");
    canonical_of(&f, "/", "a=%7E%zz%4", 0, "GET\n/\na=~%25zz%254");
}

static void header_values_are_trimmed_joined_and_unfolded(void **state)
{
    static fixture f;
    make_kms(&f);
    f.h[1] = (cs_sigv4_header){S("My-Header"), S("  a   b \r\n  c ")};
    f.h[2] = (cs_sigv4_header){S("my-header"), S("\"x   y\"")};
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_OK);
    f.canonical.p[f.canonical.len] = '\0';
    assert_non_null(strstr((char *)f.canonical.p, "\nmy-header:a b c,\"x y\"\n"));
}

static void sign_refuses_bad_requests(void **state)
{
    static fixture f;
    make_kms(&f);
    f.h[0].name = S("Hosts");
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_E_FORMAT);
    make_kms(&f);
    f.h[1].name = S("X-Amz-Date");
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_E_FORMAT);
    make_kms(&f);
    f.h[1].name = S("a:b");
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_E_FORMAT);
    make_kms(&f);
    f.s.secret_key = CS_SLICE_NULL;
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_E_RANGE);
    make_kms(&f);
    f.s.time_ms = UINT64_MAX;
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_E_RANGE);
    make_kms(&f);
    f.r.num_headers = CS_SIGV4_MAX_HEADERS - 2;
    static cs_sigv4_header many[CS_SIGV4_MAX_HEADERS];
    for (size_t i = 0; i < CS_SIGV4_MAX_HEADERS; i++) {
        many[i] = (cs_sigv4_header){S("host"), S("h")};
    }
    f.r.headers = many;
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_E_RANGE);
    make_kms(&f);
    f.s.expires_s = 0;
    assert_int_equal(cs_sigv4_presign(&f.res, &f.r, &f.s), CS_E_RANGE);
}

static void verify_accepts_what_sign_made(void **state)
{
    static fixture f;
    make_kms(&f);
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_OK);
    add_signed_headers(&f);
    assert_int_equal(verify(&f, T20260102), CS_OK);
    assert_int_equal(verify(&f, T20260102 + 300000), CS_OK);
    make_s3(&f, CS_SIGV4_UNSIGNED);
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_OK);
    add_signed_headers(&f);
    assert_int_equal(verify(&f, T20260102), CS_OK);
}

static void verify_accepts_presigned_until_it_expires(void **state)
{
    static fixture f;
    make_s3(&f, CS_SIGV4_UNSIGNED);
    f.s.flags = CS_SIGV4_SINGLE_ENCODE;
    f.r.query = S("versionId=3");
    assert_int_equal(cs_sigv4_presign(&f.res, &f.r, &f.s), CS_OK);
    f.r.query = cs_buf_slice(&f.out);
    assert_int_equal(verify(&f, T20260102), CS_OK);
    assert_int_equal(verify(&f, T20260102 + 3600000), CS_OK);
    assert_int_equal(verify(&f, T20260102 + 3601000), CS_E_TIMEOUT);
    assert_int_equal(verify(&f, T20260102 - 301000), CS_E_TIMEOUT);
    f.r.path = S("/enclave/other");
    assert_int_equal(verify(&f, T20260102), CS_E_AUTH);
}

static void verify_refuses_any_change(void **state)
{
    static fixture f;
    static const char *const paths[] = {"/x", "//x"};
    make_kms(&f);
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_OK);
    add_signed_headers(&f);
    fixture g = f;
    g.r.headers = g.h;
    g.r.path = S(paths[0]);
    assert_int_equal(verify(&g, T20260102), CS_E_AUTH);
    g = f;
    g.r.headers = g.h;
    g.r.payload_hash = S(CS_SIGV4_EMPTY_SHA256);
    assert_int_equal(verify(&g, T20260102), CS_E_AUTH);
    g = f;
    g.r.headers = g.h;
    g.h[2].value = S("TrentService.Encrypt");
    assert_int_equal(verify(&g, T20260102), CS_E_AUTH);
    g = f;
    g.r.headers = g.h;
    g.r.query = S("a=b");
    assert_int_equal(verify(&g, T20260102), CS_E_AUTH);
    assert_int_equal(verify(&f, T20260102 + 300001), CS_E_TIMEOUT);
    assert_int_equal(verify(&f, T20260102 - 300001), CS_E_TIMEOUT);
}

static void verify_refuses_unsigned_aws_headers(void **state)
{
    static fixture f;
    make_kms(&f);
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_OK);
    add_signed_headers(&f);
    f.h[f.r.num_headers++] = (cs_sigv4_header){S("x-amz-added"), S("1")};
    assert_int_equal(verify(&f, T20260102), CS_E_FORMAT);
}

static cs_err parse_auth(const char *value)
{
    static cs_sigv4_auth a;
    cs_sigv4_header h[3] = {
        {S("Host"), S("h")}, {S("X-Amz-Date"), S("20260102T030405Z")}, {S("Authorization"), S(value)}};
    cs_sigv4_request r = {S("GET"), S("/"), CS_SLICE_NULL, h, 3, S("x")};
    return cs_sigv4_parse(&a, &r);
}

#define SIG "Signature=2d8d06344068e585669d96601a8f9208c428441be9144ba07b08b683f086ea16"
#define CRED "Credential=AK/20260102/r/s/aws4_request"

static void parse_refuses_malformed_headers(void **state)
{
    static const char *const bad[] = {
        "",
        "Basic x",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 " CRED,
        "AWS4-HMAC-SHA256 " CRED ", SignedHeaders=host",
        "AWS4-HMAC-SHA256 " CRED ", " SIG,
        "AWS4-HMAC-SHA256 SignedHeaders=host, " SIG,
        "AWS4-HMAC-SHA256 " CRED ", SignedHeaders=host, Signature=zz",
        "AWS4-HMAC-SHA256 " CRED ", SignedHeaders=host, " SIG ", " SIG,
        "AWS4-HMAC-SHA256 " CRED ", SignedHeaders=host, " SIG ", Extra=1",
        "AWS4-HMAC-SHA256 " CRED ", SignedHeaders=, " SIG,
        "AWS4-HMAC-SHA256 " CRED "/x, SignedHeaders=host, " SIG,
        "AWS4-HMAC-SHA256 Credential=AK/20260103/r/s/aws4_request, SignedHeaders=host, " SIG,
        "AWS4-HMAC-SHA256 Credential=AK/2026010x/r/s/aws4_request, SignedHeaders=host, " SIG,
        "AWS4-HMAC-SHA256 Credential=/20260102/r/s/aws4_request, SignedHeaders=host, " SIG,
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(parse_auth(bad[i]), CS_E_FORMAT);
    }
    assert_int_equal(parse_auth("AWS4-HMAC-SHA256 " CRED ", SignedHeaders=host, " SIG), CS_OK);
    assert_int_equal(parse_auth("AWS4-HMAC-SHA256 " SIG "," CRED ",SignedHeaders=host"), CS_OK);
}

static void parse_tells_no_signature_from_two(void **state)
{
    static cs_sigv4_auth a;
    cs_sigv4_header h[2] = {{S("Host"), S("h")}, {S("Authorization"), S("x")}};
    cs_sigv4_request r = {S("GET"), S("/"), S("X-Amz-Date=1"), h, 1, S("x")};
    assert_int_equal(cs_sigv4_parse(&a, &r), CS_E_NOT_FOUND);
    r.num_headers = 2;
    r.query = S("X-Amz-Signature=1");
    assert_int_equal(cs_sigv4_parse(&a, &r), CS_E_FORMAT);
}

static void verify_refuses_bad_signed_header_lists(void **state)
{
    static const char *const lists[] = {"content-type", "host;host", "host;content-type", "Host", "host;missing"};
    static fixture f;
    static cs_sigv4_auth a;
    make_kms(&f);
    f.s.token = CS_SLICE_NULL;
    f.r.num_headers = 2;
    assert_int_equal(cs_sigv4_sign(&f.res, &f.r, &f.s), CS_OK);
    add_signed_headers(&f);
    assert_int_equal(cs_sigv4_parse(&a, &f.r), CS_OK);
    f.r.num_headers = 2; /* so that x-amz-date need not be listed here */
    cs_sigv4_check c = {S(SECRET), T20260102, 300000, 0};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        snprintf(a.signed_headers, sizeof a.signed_headers, "%s", lists[i]);
        assert_int_equal(cs_sigv4_verify(&a, &f.r, &c), CS_E_FORMAT);
    }
}

static void times_round_trip(void **state)
{
    char t[CS_SIGV4_TIME_LEN + 1];
    uint64_t ms = 0;
    assert_int_equal(cs_sigv4_time(t, T20260102 + 999), CS_OK);
    assert_string_equal(t, "20260102T030405Z");
    assert_int_equal(cs_sigv4_parse_time(S(t), &ms), CS_OK);
    assert_int_equal(ms, T20260102);
    assert_int_equal(cs_sigv4_parse_time(S("20261302T030405Z"), &ms), CS_E_FORMAT);
    assert_int_equal(cs_sigv4_parse_time(S("20260102T03040Z"), &ms), CS_E_FORMAT);
    assert_int_equal(cs_sigv4_parse_time(S("20260102 030405Z"), &ms), CS_E_FORMAT);
    assert_int_equal(cs_sigv4_time(t, 253402300800000ull), CS_E_RANGE);
}

static void decoding_is_strict(void **state)
{
    uint8_t mem[16];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_sigv4_put_decoded(&b, S("a%2fb+")), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&b), "a/b+"));
    assert_int_equal(cs_sigv4_put_decoded(&b, S("%2")), CS_E_FORMAT);
    assert_int_equal(cs_sigv4_put_decoded(&b, S("%")), CS_E_FORMAT);
    assert_int_equal(cs_sigv4_put_decoded(&b, S("%g0")), CS_E_FORMAT);
    assert_int_equal(b.len, 4);
    assert_int_equal(cs_sigv4_put_encoded(&b, S("\xff\xff\xff\xff\xff"), true), CS_E_RANGE);
    assert_int_equal(b.len, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_the_kms_example),
        cmocka_unit_test(signs_the_s3_examples),
        cmocka_unit_test(get_vanilla_of_the_suite),
        cmocka_unit_test(paths_and_queries_are_canonical),
        cmocka_unit_test(header_values_are_trimmed_joined_and_unfolded),
        cmocka_unit_test(sign_refuses_bad_requests),
        cmocka_unit_test(verify_accepts_what_sign_made),
        cmocka_unit_test(verify_accepts_presigned_until_it_expires),
        cmocka_unit_test(verify_refuses_any_change),
        cmocka_unit_test(verify_refuses_unsigned_aws_headers),
        cmocka_unit_test(parse_refuses_malformed_headers),
        cmocka_unit_test(parse_tells_no_signature_from_two),
        cmocka_unit_test(verify_refuses_bad_signed_header_lists),
        cmocka_unit_test(times_round_trip),
        cmocka_unit_test(decoding_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
