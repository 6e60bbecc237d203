#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "secret/noise.h"
#include "secret/rng.h"

static const uint8_t key_i[32] = {1, 2, 3}, key_r[32] = {4, 5, 6};

static void pair(cs_noise *i, cs_noise *r, cs_noise_pattern pattern, const char *prologue_r)
{
    uint8_t pub_i[32], pub_r[32];
    cs_x25519_base(pub_i, key_i);
    cs_x25519_base(pub_r, key_r);
    cs_noise_args a = {.pattern = pattern, .initiator = true, .prologue = cs_slice_str("p"), .s32 = key_i};
    cs_noise_args b = {.pattern = pattern, .prologue = cs_slice_str(prologue_r), .s32 = key_r};
    a.rs32 = pattern != CS_NOISE_XX ? pub_r : NULL;
    b.rs32 = pattern == CS_NOISE_KK ? pub_i : NULL;
    assert_int_equal(cs_noise_init(i, &a), CS_OK);
    assert_int_equal(cs_noise_init(r, &b), CS_OK);
}

static void both_sides_agree_in_every_pattern(void **state)
{
    for (int p = CS_NOISE_KK; p <= CS_NOISE_XX; p++) {
        cs_noise s[2];
        cs_noise_cipher tx[2], rx[2];
        uint8_t mem[256], out[256], h[2][32];
        pair(&s[0], &s[1], (cs_noise_pattern)p, "p");
        for (unsigned m = 0; !cs_noise_done(&s[0]); m++) {
            cs_buf msg = cs_buf_wrap(mem, sizeof mem), got = cs_buf_wrap(out, sizeof out);
            assert_int_equal(cs_noise_write(&s[m % 2], &msg, cs_slice_str("hi")), CS_OK);
            assert_int_equal(cs_noise_read(&s[1 - m % 2], &got, cs_buf_slice(&msg)), CS_OK);
            assert_true(cs_slice_eq_str(cs_buf_slice(&got), "hi"));
        }
        assert_int_equal(cs_noise_handshake_hash(&s[0], h[0]), CS_OK);
        assert_int_equal(cs_noise_handshake_hash(&s[1], h[1]), CS_OK);
        assert_memory_equal(h[0], h[1], 32);
        assert_int_equal(cs_noise_split(&s[0], &tx[0], &rx[0]), CS_OK);
        assert_int_equal(cs_noise_split(&s[1], &tx[1], &rx[1]), CS_OK);
        assert_memory_equal(tx[0].key.b, rx[1].key.b, 32);
        assert_memory_equal(rx[0].key.b, tx[1].key.b, 32);
        assert_memory_not_equal(tx[0].key.b, rx[0].key.b, 32);
    }
}

static void every_flipped_bit_of_a_handshake_is_refused(void **state)
{
    cs_noise i, r, r2;
    uint8_t mem[64];
    cs_buf msg = cs_buf_wrap(mem, sizeof mem), none = {0};
    pair(&i, &r, CS_NOISE_KK, "p");
    assert_int_equal(cs_noise_write(&i, &msg, CS_SLICE_NULL), CS_OK);
    assert_int_equal(msg.len, 48);
    for (unsigned bit = 0; bit < 48 * 8; bit++) {
        r2 = r;
        mem[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(cs_noise_read(&r2, &none, cs_buf_slice(&msg)), CS_E_AUTH);
        assert_int_equal(cs_noise_read(&r2, &none, cs_buf_slice(&msg)), CS_E_STATE); /* one try */
        assert_int_equal(cs_ct_is_zero(&r2.ck, 32), 1);
        mem[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(cs_noise_read(&r, &none, cs_buf_slice(&msg)), CS_OK);
}

static void another_prologue_is_refused(void **state)
{
    cs_noise i, r;
    uint8_t mem[64];
    cs_buf msg = cs_buf_wrap(mem, sizeof mem), none = {0};
    pair(&i, &r, CS_NOISE_KK, "q");
    assert_int_equal(cs_noise_write(&i, &msg, CS_SLICE_NULL), CS_OK);
    assert_int_equal(cs_noise_read(&r, &none, cs_buf_slice(&msg)), CS_E_AUTH);
}

static void low_order_keys_are_refused(void **state)
{
    static const char *const low[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    for (size_t k = 0; k < sizeof low / sizeof *low; k++) {
        uint8_t point[32], mem[64];
        cs_noise n;
        cs_secret32 out;
        cs_buf msg = cs_buf_wrap(mem, sizeof mem), none = {0};
        assert_int_equal(cs_hex_decode(point, 32, cs_slice_str(low[k])), CS_OK);
        assert_int_equal(cs_x25519(&out, key_i, point), CS_E_AUTH);
        assert_int_equal(
            cs_noise_init(&n, &(cs_noise_args){.pattern = CS_NOISE_KK, .initiator = true, .s32 = key_i, .rs32 = point}),
            CS_OK);
        assert_int_equal(cs_noise_write(&n, &msg, CS_SLICE_NULL), CS_E_AUTH);
        assert_int_equal(msg.len, 0);
        /* as the ephemeral key of a message */
        uint8_t pub[32], bad[48] = {0};
        cs_x25519_base(pub, key_i);
        memcpy(bad, point, 32);
        assert_int_equal(cs_noise_init(&n, &(cs_noise_args){.pattern = CS_NOISE_KK, .s32 = key_r, .rs32 = pub}), CS_OK);
        assert_int_equal(cs_noise_read(&n, &none, cs_slice_of(bad, 48)), CS_E_AUTH);
    }
}

static void order_and_keys_are_checked(void **state)
{
    cs_noise i, r;
    uint8_t mem[64];
    cs_buf msg = cs_buf_wrap(mem, sizeof mem), none = {0}, small = cs_buf_wrap(mem, 40);
    cs_secret32 ck;
    pair(&i, &r, CS_NOISE_KK, "p");
    assert_int_equal(cs_noise_write(&r, &msg, CS_SLICE_NULL), CS_E_STATE);
    assert_int_equal(cs_noise_read(&i, &none, CS_SLICE_NULL), CS_E_STATE);
    assert_int_equal(cs_noise_chaining_key(&i, &ck), CS_E_STATE);
    assert_int_equal(cs_noise_read(&r, &none, cs_slice_of(mem, 31)), CS_E_FORMAT);
    assert_int_equal(cs_noise_write(&i, &small, CS_SLICE_NULL), CS_E_RANGE);
    assert_int_equal(small.len, 0);
    assert_int_equal(cs_noise_init(&i, &(cs_noise_args){.pattern = CS_NOISE_KK, .initiator = true, .s32 = key_i}),
                     CS_E_USAGE);
    assert_int_equal(cs_noise_init(&i, &(cs_noise_args){.pattern = CS_NOISE_XX, .initiator = true}), CS_E_USAGE);
}

static void a_failed_generator_ends_the_handshake(void **state)
{
    cs_noise i, r;
    uint8_t mem[64];
    cs_buf msg = cs_buf_wrap(mem, sizeof mem);
    pair(&i, &r, CS_NOISE_KK, "p");
    cs_random_fail_for_tests(1);
    assert_int_equal(cs_noise_write(&i, &msg, CS_SLICE_NULL), CS_E_ENTROPY);
    cs_random_fail_for_tests(0);
    assert_int_equal(msg.len, 0);
}

/* RFC 5869 test case 1 (expand step) */
static void hkdf_expand_follows_rfc_5869(void **state)
{
    uint8_t prk[32], info[10], okm[42], want[42];
    assert_int_equal(
        cs_hex_decode(prk, 32, cs_slice_str("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")),
        CS_OK);
    assert_int_equal(cs_hex_decode(info, 10, cs_slice_str("f0f1f2f3f4f5f6f7f8f9")), CS_OK);
    assert_int_equal(cs_hex_decode(want, 42,
                                   cs_slice_str("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
                                                "34007208d5b887185865")),
                     CS_OK);
    cs_hkdf_expand_sha256(okm, 42, prk, (cs_slice[]){{info, 4}, {info + 4, 6}}, 2);
    assert_memory_equal(okm, want, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_agree_in_every_pattern),
        cmocka_unit_test(every_flipped_bit_of_a_handshake_is_refused),
        cmocka_unit_test(another_prologue_is_refused),
        cmocka_unit_test(low_order_keys_are_refused),
        cmocka_unit_test(order_and_keys_are_checked),
        cmocka_unit_test(a_failed_generator_ends_the_handshake),
        cmocka_unit_test(hkdf_expand_follows_rfc_5869),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
