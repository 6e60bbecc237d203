/* Tests of codec/cose: shapes, header rules, Sig_structure. Vectors: RFC 9052 appendix C.2.1, cose-wg examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "codec/cose.h"

#define LAXEST (CS_CBOR_INDEFINITE | CS_CBOR_LAX_INT)

static cs_slice hex(const char *text)
{
    static uint8_t pool[8][2048];
    static unsigned next;
    uint8_t *p = pool[next++ % 8];

    assert_int_equal(cs_hex_decode(p, strlen(text) / 2, cs_slice_str(text)), CS_OK);
    return cs_slice_of(p, strlen(text) / 2);
}

static void test_sign1_is_read_tagged_untagged_and_indefinite(void **state)
{
    static const char *const rows[] = {"d28443a10126a10442313144010203044155", "8443a10126a10442313144010203044155",
                                       "d29f43a10126a10442313144010203044155ff",
                                       "9f43a10126bf04423131ff44010203044155ff"};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cs_cose_sign1 m;

        assert_int_equal(cs_cose_sign1_parse(&m, hex(rows[i]), LAXEST), CS_OK);
        assert_true(m.head.has_alg && m.head.alg_protected && m.head.alg == CS_COSE_ES256);
        assert_true(cs_slice_eq(m.head.protected_bytes, hex("a10126")));
        assert_true(cs_slice_eq_str(m.head.kid, "11"));
        assert_true(cs_slice_eq(m.payload, hex("01020304")) && !m.detached);
        assert_true(cs_slice_eq(m.signature, hex("55")));
    }
}

static void test_alg_outside_of_the_protected_bucket_is_marked(void **state)
{
    cs_cose_sign1 m;

    assert_int_equal(cs_cose_sign1_parse(&m, hex("8441a0a1012644010203044155"), CS_CBOR_STRICT), CS_OK);
    assert_true(m.head.has_alg && !m.head.alg_protected && m.head.alg == CS_COSE_ES256);
    assert_int_equal(cs_cose_sign1_parse(&m, hex("8440a044010203044155"), CS_CBOR_STRICT), CS_OK);
    assert_false(m.head.has_alg);
    assert_int_equal(cs_cose_sign1_parse(&m, hex("844aa10167756e6b6e6f776ea0404155"), CS_CBOR_STRICT), CS_OK);
    assert_true(m.head.has_alg && m.head.alg == 0);
}

static void test_malformed_sign1_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "d903e68443a10126a0404155",   /* tag 998 */
        "d2d28443a10126a0404155",     /* tag twice */
        "8343a10126a040",             /* three elements */
        "8543a10126a040415500",       /* five elements */
        "9f43a10126a040ff",           /* indefinite, three elements */
        "9f43a10126ff",               /* indefinite, one element */
        "9f43a10126a040415500ff",     /* indefinite, five elements */
        "8443a10126a040415500",       /* trailing byte */
        "84a10126a0404155",           /* protected not wrapped */
        "8444a1012600a0404155",       /* bytes behind the protected map */
        "844101a0404155",             /* protected is no map */
        "8443a1012680404155",         /* unprotected is no map */
        "8443a10126a0014155",         /* payload is a number */
        "8443a10126a0f54155",         /* payload is true */
        "8443a10126a04060",           /* signature is text */
        "8443a10126a04040",           /* signature is empty */
        "8445a201260126a0404155",     /* alg twice in one bucket */
        "8443a10126a10126404155",     /* alg in both */
        "8443a10140a0404155",         /* alg is a byte string */
        "8446a2012602811841a0404155", /* wrong length of protected */
        "8447a2012602811841a0404155", /* critical label 65 */
        "8445a201260280a0404155",     /* crit empty */
        "8443a10126a1028101404155",   /* crit unprotected */
        "8443a1f626a0404155",         /* label is null */
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cs_cose_sign1 m, before;

        memset(&m, 0x5a, sizeof m);
        before = m;
        assert_int_equal(cs_cose_sign1_parse(&m, hex(rows[i]), LAXEST), CS_E_FORMAT);
        assert_memory_equal(&m, &before, sizeof m);
    }
}

static void test_sig_structure_of_sign1(void **state)
{
    uint8_t mem[256];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_cose_sign1 m = {.head = {.protected_bytes = hex("a10126")}, .payload = cs_slice_str("This is the content.")};

    assert_int_equal(cs_cose_sign1_tbs(&out, &m, hex("11aa22bb33cc44dd55006699")), CS_OK);
    assert_true(cs_slice_eq(cs_buf_slice(&out), hex("846a5369676e61747572653143a101264c11aa22bb33cc44dd5500669954546869"
                                                    "732069732074686520636f6e74656e742e")));
    /* an empty protected map is signed as an empty string */
    cs_buf_wipe(&out);
    m.head.protected_bytes = hex("a0");
    assert_int_equal(cs_cose_sign1_tbs(&out, &m, CS_SLICE_NULL), CS_OK);
    assert_true(cs_slice_eq(cs_buf_slice(&out), hex("846a5369676e6174757265314040"
                                                    "54546869732069732074686520636f6e74656e742e")));
    out = cs_buf_wrap(mem, 20);
    assert_int_equal(cs_cose_sign1_tbs(&out, &m, CS_SLICE_NULL), CS_E_RANGE);
    assert_int_equal(out.len, 0);
}

static void test_sign_with_several_signers(void **state)
{
    uint8_t mem[256];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_cose_sign m;

    assert_int_equal(
        cs_cose_sign_parse(&m, hex("d8628443a10300a0420102828343a10127a1044231314155834043a00000"), LAXEST),
        CS_E_FORMAT);
    assert_int_equal(cs_cose_sign_parse(&m,
                                        hex("d8628443a10300a0420102828343a10127a104423131415583"
                                            "43a10126a04166"),
                                        LAXEST),
                     CS_OK);
    assert_int_equal(m.num_signers, 2);
    assert_true(m.signer[0].head.alg == CS_COSE_EDDSA && m.signer[1].head.alg == CS_COSE_ES256);
    assert_int_equal(cs_cose_sign_tbs(&out, &m, &m.signer[0], CS_SLICE_NULL), CS_OK);
    assert_true(cs_slice_eq(cs_buf_slice(&out), hex("85695369676e617475726543a1030043a1012740420102")));
    assert_int_equal(cs_cose_sign_parse(&m, hex("d8628443a10300a042010280"), LAXEST), CS_E_FORMAT); /* nobody signed */
    assert_int_equal(cs_cose_sign_parse(&m, hex("d28443a10300a0420102818343a10127a04155"), LAXEST), CS_E_FORMAT);
}

static void test_written_sign1_reads_back(void **state)
{
    uint8_t mem[64];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_cose_sign1 m;

    assert_int_equal(cs_cose_sign1_put(&out, hex("a1013822"), hex("0102"), hex("0304")), CS_OK);
    assert_true(cs_slice_eq(cs_buf_slice(&out), hex("8444a1013822a0420102420304")));
    assert_int_equal(cs_cose_sign1_parse(&m, cs_buf_slice(&out), CS_CBOR_STRICT), CS_OK);
    assert_true(m.head.alg == CS_COSE_ES384);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign1_is_read_tagged_untagged_and_indefinite),
        cmocka_unit_test(test_alg_outside_of_the_protected_bucket_is_marked),
        cmocka_unit_test(test_malformed_sign1_is_refused),
        cmocka_unit_test(test_sig_structure_of_sign1),
        cmocka_unit_test(test_sign_with_several_signers),
        cmocka_unit_test(test_written_sign1_reads_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
