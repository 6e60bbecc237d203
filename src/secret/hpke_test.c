#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "secret/hpke.h"
#include "secret/noise.h"
#include "secret/rng.h"

static const cs_hpke_aead aeads[] = {CS_HPKE_AES128_GCM, CS_HPKE_AES256_GCM, CS_HPKE_CHACHA20_POLY1305};
static const uint8_t receiver[32] = {1, 2, 3}, sender[32] = {4, 5, 6}, stranger[32] = {7};
static const uint8_t psk[40] = {8, 9};

typedef struct rig {
    uint8_t receiver_pub[32], sender_pub[32], enc[32];
    cs_hpke_args to, from;
    cs_hpke s, r;
} rig;

/* mode: bit 0 psk, bit 1 auth */
static void rig_args(rig *g, cs_hpke_aead aead, unsigned mode)
{
    memset(g, 0, sizeof *g);
    cs_x25519_base(g->receiver_pub, receiver);
    cs_x25519_base(g->sender_pub, sender);
    g->to = (cs_hpke_args){.aead = aead, .info = cs_slice_str("info")};
    if ((mode & 1) != 0) {
        g->to.psk = cs_slice_of(psk, sizeof psk);
        g->to.psk_id = cs_slice_str("id");
    }
    g->from = g->to;
    g->to.auth_secret32 = (mode & 2) != 0 ? sender : NULL;
    g->from.auth_public32 = (mode & 2) != 0 ? g->sender_pub : NULL;
}

static void rig_open(rig *g, cs_hpke_aead aead, unsigned mode)
{
    rig_args(g, aead, mode);
    assert_int_equal(cs_hpke_send(&g->s, g->enc, g->receiver_pub, &g->to), CS_OK);
    assert_int_equal(cs_hpke_receive(&g->r, g->enc, receiver, &g->from), CS_OK);
}

static void messages_and_exports_agree_in_every_mode_and_suite(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        rig g;
        uint8_t a[77], b[77];
        rig_open(&g, aeads[i % 3], i / 3);
        for (unsigned n = 0; n < 300; n++) { /* the counter passes one byte */
            uint8_t mem[64], plain[64];
            cs_buf wire = cs_buf_wrap(mem, sizeof mem), got = cs_buf_wrap(plain, sizeof plain);
            cs_slice text = n % 2 != 0 ? cs_slice_str("plain") : CS_SLICE_NULL;
            assert_int_equal(cs_hpke_seal(&g.s, &wire, cs_slice_str("aad"), text), CS_OK);
            assert_int_equal(wire.len, text.len + CS_HPKE_TAG);
            assert_int_equal(cs_hpke_open(&g.r, &got, cs_slice_str("aad"), cs_buf_slice(&wire)), CS_OK);
            assert_true(cs_slice_eq(cs_buf_slice(&got), text));
        }
        assert_int_equal(cs_hpke_export(&g.s, a, sizeof a, cs_slice_str("x")), CS_OK);
        assert_int_equal(cs_hpke_export(&g.r, b, sizeof b, cs_slice_str("x")), CS_OK);
        assert_memory_equal(a, b, sizeof a);
        assert_int_equal(cs_hpke_export(&g.r, b, sizeof b, cs_slice_str("y")), CS_OK);
        assert_memory_not_equal(a, b, sizeof a);
    }
}

/* RFC 9180, appendix A.2.1 (ChaCha20Poly1305, base): DeriveKeyPair, enc and the first ciphertext */
static void the_first_message_of_the_rfc_is_sealed_to_its_bytes(void **state)
{
    static const char info[] = "4f6465206f6e2061204772656369616e2055726e";
    static const char ikm_e[] = "909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b";
    static const char pk_r[] = "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
    static const char enc[] = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a";
    static const char ct[] =
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28";
    uint8_t info_b[20], ikm_b[32], pk_b[32], want[45], pub[32], got_enc[32], mem[64];
    cs_secret32 e;
    cs_hpke c;
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    (void)state;
    assert_int_equal(cs_hex_decode(info_b, 20, cs_slice_str(info)), CS_OK);
    assert_int_equal(cs_hex_decode(ikm_b, 32, cs_slice_str(ikm_e)), CS_OK);
    assert_int_equal(cs_hex_decode(pk_b, 32, cs_slice_str(pk_r)), CS_OK);
    assert_int_equal(cs_hpke_derive_key_pair(&e, pub, cs_slice_of(ikm_b, 32)), CS_OK);
    cs_hpke_args a = {.aead = CS_HPKE_CHACHA20_POLY1305, .info = cs_slice_of(info_b, 20), .unsafe_e32 = e.b};
    assert_int_equal(cs_hpke_send(&c, got_enc, pk_b, &a), CS_OK);
    assert_int_equal(cs_hex_decode(want, 32, cs_slice_str(enc)), CS_OK);
    assert_memory_equal(got_enc, want, 32);
    assert_memory_equal(pub, want, 32);
    assert_int_equal(cs_hpke_seal(&c, &out, cs_slice_str("Count-0"), cs_slice_str("Beauty is truth, truth beauty")),
                     CS_OK);
    assert_int_equal(cs_hex_decode(want, 45, cs_slice_str(ct)), CS_OK);
    assert_true(cs_slice_eq(cs_buf_slice(&out), cs_slice_of(want, 45)));
}

static void every_flipped_bit_is_refused_and_does_not_count(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        rig g;
        uint8_t mem[64], plain[64];
        cs_buf wire = cs_buf_wrap(mem, sizeof mem), got = cs_buf_wrap(plain, sizeof plain);
        rig_open(&g, aeads[i % 3], i / 3);
        assert_int_equal(cs_hpke_seal(&g.s, &wire, cs_slice_str("aad"), cs_slice_str("abc")), CS_OK);
        memset(plain, 0x5a, sizeof plain);
        for (unsigned bit = 0; bit < 8 * wire.len; bit++) {
            mem[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(cs_hpke_open(&g.r, &got, cs_slice_str("aad"), cs_buf_slice(&wire)), CS_E_AUTH);
            assert_int_equal(got.len, 0);
            mem[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(cs_hpke_open(&g.r, &got, cs_slice_str("other"), cs_buf_slice(&wire)), CS_E_AUTH);
        assert_int_equal(cs_hpke_open(&g.r, &got, CS_SLICE_NULL, cs_buf_slice(&wire)), CS_E_AUTH);
        assert_int_equal(cs_hpke_open(&g.r, &got, cs_slice_str("aad"), cs_slice_of(mem, wire.len - 1)), CS_E_AUTH);
        assert_int_equal(cs_hpke_open(&g.r, &got, cs_slice_str("aad"), cs_slice_of(mem, 15)), CS_E_FORMAT);
        assert_true(cs_ct_is_zero(plain, 3)); /* nothing unverified is left behind */
        assert_int_equal(cs_hpke_open(&g.r, &got, cs_slice_str("aad"), cs_buf_slice(&wire)), CS_OK);
        assert_int_equal(cs_hpke_open(&g.r, &got, cs_slice_str("aad"), cs_buf_slice(&wire)), CS_E_AUTH); /* twice */
    }
}

static void messages_are_opened_in_order_only(void **state)
{
    rig g;
    uint8_t m1[32], m2[32], plain[8];
    cs_buf one = cs_buf_wrap(m1, 32), two = cs_buf_wrap(m2, 32), got = cs_buf_wrap(plain, 8);
    (void)state;
    rig_open(&g, CS_HPKE_CHACHA20_POLY1305, 0);
    assert_int_equal(cs_hpke_seal(&g.s, &one, CS_SLICE_NULL, cs_slice_str("1")), CS_OK);
    assert_int_equal(cs_hpke_seal(&g.s, &two, CS_SLICE_NULL, cs_slice_str("2")), CS_OK);
    assert_int_equal(cs_hpke_open(&g.r, &got, CS_SLICE_NULL, cs_buf_slice(&two)), CS_E_AUTH);
    assert_int_equal(cs_hpke_open(&g.r, &got, CS_SLICE_NULL, cs_buf_slice(&one)), CS_OK);
    assert_int_equal(cs_hpke_open(&g.r, &got, CS_SLICE_NULL, cs_buf_slice(&two)), CS_OK);
}

/* each of: enc, info, psk, psk id, sender's key, receiver's key, mode, aead */
static void anything_else_than_what_was_agreed_is_refused(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 8; what++) {
        rig g;
        uint8_t mem[64], plain[64], other[40] = {1}, stranger_pub[32];
        const uint8_t *key = receiver;
        cs_buf wire = cs_buf_wrap(mem, sizeof mem), got = cs_buf_wrap(plain, sizeof plain);
        rig_args(&g, CS_HPKE_AES256_GCM, 3);
        assert_int_equal(cs_hpke_send(&g.s, g.enc, g.receiver_pub, &g.to), CS_OK);
        assert_int_equal(cs_hpke_seal(&g.s, &wire, CS_SLICE_NULL, cs_slice_str("abc")), CS_OK);
        cs_x25519_base(stranger_pub, stranger);
        switch (what) {
        case 0:
            g.enc[3] ^= 1;
            break;
        case 1:
            g.from.info = cs_slice_str("inf0");
            break;
        case 2:
            g.from.psk = cs_slice_of(other, sizeof other);
            break;
        case 3:
            g.from.psk_id = cs_slice_str("ie");
            break;
        case 4:
            g.from.auth_public32 = stranger_pub;
            break;
        case 5:
            key = stranger;
            break;
        case 6:
            g.from.auth_public32 = NULL;
            break;
        default:
            g.from.aead = CS_HPKE_CHACHA20_POLY1305;
            break;
        }
        assert_int_equal(cs_hpke_receive(&g.r, g.enc, key, &g.from), CS_OK);
        assert_int_equal(cs_hpke_open(&g.r, &got, CS_SLICE_NULL, cs_buf_slice(&wire)), CS_E_AUTH);
    }
}

static void keys_of_low_order_are_refused(void **state)
{
    static const uint8_t low[3][32] = {{0}, {1}, {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
                                                  0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
                                                  0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00}};
    rig g;
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        uint8_t mem[128] = {0};
        cs_buf out = cs_buf_wrap(mem, sizeof mem);
        rig_args(&g, CS_HPKE_CHACHA20_POLY1305, 2);
        assert_int_equal(cs_hpke_send(&g.s, g.enc, low[i], &g.to), CS_E_AUTH);
        assert_true(cs_ct_is_zero(&g.s, sizeof g.s) && cs_ct_is_zero(g.enc, sizeof g.enc));
        assert_int_equal(cs_hpke_receive(&g.r, low[i], receiver, &g.from), CS_E_AUTH);
        assert_int_equal(cs_hpke_send(&g.s, g.enc, g.receiver_pub, &g.to), CS_OK);
        g.from.auth_public32 = low[i];
        assert_int_equal(cs_hpke_receive(&g.r, g.enc, receiver, &g.from), CS_E_AUTH);
        assert_true(cs_ct_is_zero(&g.r, sizeof g.r));
        g.from.auth_public32 = NULL;
        memcpy(mem, low[i], 32);
        assert_int_equal(cs_hpke_open_once(&out, receiver, &g.from, CS_SLICE_NULL, cs_slice_of(mem, 100)), CS_E_AUTH);
    }
}

static void arguments_that_fit_no_mode_are_refused(void **state)
{
    rig g;
    cs_secret32 sk;
    uint8_t pk[32], out[1];
    static uint8_t most[CS_HPKE_EXPORT_MAX];
    (void)state;
    rig_args(&g, CS_HPKE_CHACHA20_POLY1305, 1);
    g.to.psk.len = 31;
    assert_int_equal(cs_hpke_send(&g.s, g.enc, g.receiver_pub, &g.to), CS_E_RANGE);
    g.to.psk.len = 0;
    assert_int_equal(cs_hpke_send(&g.s, g.enc, g.receiver_pub, &g.to), CS_E_USAGE);
    g.from.psk_id.len = 0;
    assert_int_equal(cs_hpke_receive(&g.r, g.enc, receiver, &g.from), CS_E_USAGE);
    rig_args(&g, CS_HPKE_CHACHA20_POLY1305, 2);
    assert_int_equal(cs_hpke_send(&g.s, g.enc, g.receiver_pub, &g.from), CS_E_USAGE); /* the other side's */
    assert_int_equal(cs_hpke_receive(&g.r, g.enc, receiver, &g.to), CS_E_USAGE);
    g.to.aead = 0;
    assert_int_equal(cs_hpke_send(&g.s, g.enc, g.receiver_pub, &g.to), CS_E_UNSUPPORTED);
    g.to.aead = 4;
    assert_int_equal(cs_hpke_send(&g.s, g.enc, g.receiver_pub, &g.to), CS_E_UNSUPPORTED);
    g.to.aead = CS_HPKE_CHACHA20_POLY1305;
    g.to.info.len = CS_HPKE_MESSAGE_MAX + 1;
    assert_int_equal(cs_hpke_send(&g.s, g.enc, g.receiver_pub, &g.to), CS_E_TOO_LARGE);
    assert_int_equal(cs_hpke_derive_key_pair(&sk, pk, cs_slice_of(psk, 31)), CS_E_RANGE);
    assert_int_equal(cs_hpke_export(&g.s, out, 1, CS_SLICE_NULL), CS_E_STATE);
    rig_open(&g, CS_HPKE_EXPORT_ONLY, 0);
    assert_int_equal(cs_hpke_export(&g.s, most, sizeof most, CS_SLICE_NULL), CS_OK);
    assert_int_equal(cs_hpke_export(&g.s, most, sizeof most + 1, CS_SLICE_NULL), CS_E_RANGE);
}

static void a_context_serves_its_side_and_its_counter_only(void **state)
{
    rig g;
    uint8_t mem[64];
    cs_buf out = cs_buf_wrap(mem, sizeof mem), tight = cs_buf_wrap(mem, CS_HPKE_TAG + 2);
    (void)state;
    rig_open(&g, CS_HPKE_AES128_GCM, 0);
    assert_int_equal(cs_hpke_seal(&g.r, &out, CS_SLICE_NULL, CS_SLICE_NULL), CS_E_STATE);
    assert_int_equal(cs_hpke_open(&g.s, &out, CS_SLICE_NULL, cs_slice_of(mem, 32)), CS_E_STATE);
    assert_int_equal(cs_hpke_seal(&g.s, &tight, CS_SLICE_NULL, cs_slice_str("abc")), CS_E_RANGE);
    assert_int_equal(g.s.seq, 0);
    g.s.seq = g.r.seq = UINT64_MAX - 1;
    assert_int_equal(cs_hpke_seal(&g.s, &out, CS_SLICE_NULL, cs_slice_str("abc")), CS_OK);
    assert_int_equal(cs_hpke_seal(&g.s, &out, CS_SLICE_NULL, cs_slice_str("abc")), CS_E_STATE);
    g.r.seq = UINT64_MAX;
    assert_int_equal(cs_hpke_open(&g.r, &out, CS_SLICE_NULL, cs_slice_of(mem, 32)), CS_E_STATE);
    rig_open(&g, CS_HPKE_EXPORT_ONLY, 3);
    assert_int_equal(cs_hpke_seal(&g.s, &out, CS_SLICE_NULL, CS_SLICE_NULL), CS_E_STATE);
    assert_int_equal(cs_hpke_open(&g.r, &out, CS_SLICE_NULL, cs_slice_of(mem, 32)), CS_E_STATE);
}

static void one_message_carries_its_key(void **state)
{
    rig g;
    uint8_t mem[128], plain[128];
    cs_buf wire = cs_buf_wrap(mem, sizeof mem), got = cs_buf_wrap(plain, sizeof plain), tight = cs_buf_wrap(mem, 40);
    (void)state;
    rig_args(&g, CS_HPKE_CHACHA20_POLY1305, 2);
    assert_int_equal(cs_hpke_seal_once(&tight, g.receiver_pub, &g.to, cs_slice_str("a"), cs_slice_str("x")),
                     CS_E_RANGE);
    assert_int_equal(tight.len, 0);
    assert_int_equal(cs_hpke_seal_once(&wire, g.receiver_pub, &g.to, cs_slice_str("a"), cs_slice_str("hello")), CS_OK);
    assert_int_equal(wire.len, CS_HPKE_ENC + 5 + CS_HPKE_TAG);
    for (size_t n = 0; n < wire.len; n++) {
        assert_int_equal(cs_hpke_open_once(&got, receiver, &g.from, cs_slice_str("a"), cs_slice_of(mem, n)), CS_E_AUTH);
    }
    assert_int_equal(cs_hpke_open_once(&got, receiver, &g.from, cs_slice_str("a"), cs_buf_slice(&wire)), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&got), "hello"));
    (void)cs_random_fail_for_tests(1);
    assert_int_equal(cs_hpke_send(&g.s, g.enc, g.receiver_pub, &g.to), CS_E_ENTROPY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_and_exports_agree_in_every_mode_and_suite),
        cmocka_unit_test(the_first_message_of_the_rfc_is_sealed_to_its_bytes),
        cmocka_unit_test(every_flipped_bit_is_refused_and_does_not_count),
        cmocka_unit_test(messages_are_opened_in_order_only),
        cmocka_unit_test(anything_else_than_what_was_agreed_is_refused),
        cmocka_unit_test(keys_of_low_order_are_refused),
        cmocka_unit_test(arguments_that_fit_no_mode_are_refused),
        cmocka_unit_test(a_context_serves_its_side_and_its_counter_only),
        cmocka_unit_test(one_message_carries_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
