#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "secret/hd.h"
#include "secret/rng.h"

/* BIP-32, test vector 1: m and m/0' */
static const char m_prv[] =
    "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yu"
    "GBxrMPHi";
static const char m0_pub[] =
    "xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2d"
    "ZXvgGDnw";

static void seed(uint8_t out[16])
{
    for (uint8_t i = 0; i < 16; i++) {
        out[i] = i;
    }
}

static void the_first_vector_of_bip_32(void **state)
{
    uint8_t s[16], mem[CS_HD_TEXT_MAX];
    cs_hd_key k, parsed;
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    (void)state;
    seed(s);
    assert_int_equal(cs_hd_master(&k, CS_HD_SECP256K1, cs_slice_of(s, 16)), CS_OK);
    assert_int_equal(cs_hd_put(&out, &k), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&out), m_prv));
    assert_int_equal(cs_hd_parse(&parsed, cs_slice_str(m_prv)), CS_OK);
    assert_int_equal(cs_hd_child(&parsed, &parsed, CS_HD_HARDENED), CS_OK); /* in place */
    cs_hd_public(&parsed);
    assert_true(cs_ct_is_zero(parsed.secret.b, 32));
    out.len = 0;
    assert_int_equal(cs_hd_put(&out, &parsed), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&out), m0_pub));
}

static void private_and_public_derivation_meet(void **state)
{
    cs_hd_key k, pub;
    (void)state;
    assert_int_equal(cs_hd_parse(&k, cs_slice_str(m_prv)), CS_OK);
    pub = k;
    cs_hd_public(&pub);
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(cs_hd_child(&k, &k, i * 7919), CS_OK);
        assert_int_equal(cs_hd_child(&pub, &pub, i * 7919), CS_OK);
        assert_memory_equal(k.point33, pub.point33, 33);
        assert_memory_equal(&k.chain, &pub.chain, 32);
        assert_memory_equal(k.parent4, pub.parent4, 4);
        assert_int_equal(pub.depth, i + 1);
    }
}

/* SLIP-10, "Test derivation retry for nist256p1": the first digest of the last step gives no scalar */
static void p256_tries_again_where_a_digest_is_no_scalar(void **state)
{
    uint8_t s[16], want[32];
    cs_hd_key k;
    (void)state;
    seed(s);
    assert_int_equal(cs_hd_master(&k, CS_HD_P256, cs_slice_of(s, 16)), CS_OK);
    assert_int_equal(cs_hd_child(&k, &k, 28578 | CS_HD_HARDENED), CS_OK);
    assert_int_equal(cs_hd_child(&k, &k, 33941), CS_OK);
    assert_int_equal(
        cs_hex_decode(want, 32, cs_slice_str("092154eed4af83e078ff9b84322015aefe5769e31270f62c3f66c33888335f3a")),
        CS_OK);
    assert_memory_equal(k.secret.b, want, 32);
}

static void what_cannot_be_derived_is_refused(void **state)
{
    uint8_t s[65] = {0}, mem[CS_HD_TEXT_MAX];
    cs_hd_key k, child, e, p;
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    (void)state;
    assert_int_equal(cs_hd_master(&k, CS_HD_SECP256K1, cs_slice_of(s, 15)), CS_E_RANGE);
    assert_int_equal(cs_hd_master(&k, CS_HD_SECP256K1, cs_slice_of(s, 65)), CS_E_RANGE);
    assert_int_equal(cs_hd_master(&k, CS_HD_SECP256K1, cs_slice_of(s, 64)), CS_OK);
    assert_int_equal(cs_hd_master(&e, CS_HD_ED25519, cs_slice_of(s, 64)), CS_OK);
    assert_int_equal(cs_hd_master(&p, CS_HD_P256, cs_slice_of(s, 64)), CS_OK);
    memset(&child, 0x5a, sizeof child);
    assert_int_equal(cs_hd_child(&child, &e, 0), CS_E_STATE); /* Ed25519: hardened only */
    assert_int_equal(cs_hd_put(&out, &e), CS_E_UNSUPPORTED);
    cs_hd_public(&p);
    assert_int_equal(cs_hd_child(&child, &p, 0), CS_E_UNSUPPORTED);
    k.depth = 255;
    assert_int_equal(cs_hd_child(&child, &k, 0), CS_E_STATE);
    k.depth = 0;
    cs_hd_public(&k);
    assert_int_equal(cs_hd_child(&child, &k, CS_HD_HARDENED), CS_E_STATE);
    assert_int_equal(child.depth, 0x5a); /* unchanged */
    p.has_secret = true;
    memset(p.secret.b, 1, 32);
    (void)cs_random_fail_for_tests(1);
    assert_int_equal(cs_hd_child(&child, &p, 0), CS_E_ENTROPY);
    out.max = out.cap = 20;
    assert_int_equal(cs_hd_put(&out, &k), CS_E_RANGE);
    assert_int_equal(out.len, 0);
}

static void every_other_text_is_refused(void **state)
{
    char text[sizeof m_prv];
    cs_hd_key k;
    (void)state;
    for (size_t n = 0; n < sizeof m_prv - 1; n++) {
        memcpy(text, m_prv, sizeof text);
        assert_int_equal(cs_hd_parse(&k, cs_slice_of(text, n)), CS_E_FORMAT);
        text[n] = text[n] == 'z' ? 'y' : 'z';
        assert_int_equal(cs_hd_parse(&k, cs_slice_str(text)), CS_E_FORMAT);
        text[n] = '0'; /* no digit */
        assert_int_equal(cs_hd_parse(&k, cs_slice_str(text)), CS_E_FORMAT);
        text[n] = '\0';
        assert_int_equal(cs_hd_parse(&k, cs_slice_of(text, sizeof text - 1)), CS_E_FORMAT);
    }
    /* of BIP-32's test vector 5: a private key of 0 */
    assert_int_equal(
        cs_hd_parse(&k, cs_slice_str("xprv9s21ZrQH143K24Mfq5zL5MhWK9hUhhGbd45hLXo2Pq2oqzMMo63oStZzF93Y5wvzdUayhgkk"
                                     "FoicQZcP3y52uPPxFnfoLZB21Teqt1VvEHx")),
        CS_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_vector_of_bip_32),
        cmocka_unit_test(private_and_public_derivation_meet),
        cmocka_unit_test(p256_tries_again_where_a_digest_is_no_scalar),
        cmocka_unit_test(what_cannot_be_derived_is_refused),
        cmocka_unit_test(every_other_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
