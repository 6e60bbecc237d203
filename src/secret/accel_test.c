/* The inner-loop operations: portable against OpenSSL and plain definitions, the table of this CPU against the portable one. */
#include "secret/accel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "secret/rng.h"
#include "secret/th.h"

#define N 37 /* odd: tails of the interleaved loops */

static const cs_accel *tables[2];

static int setup(void **state)
{
    (void)state;
    tables[0] = cs_accel_portable();
    tables[1] = cs_accel_get();
    return 0;
}

static void fill(void *p, size_t len)
{
    assert_int_equal(cs_random(p, len), CS_OK);
}

static void sha256_agrees_with_openssl_at_every_length(void **state)
{
    (void)state;
    uint8_t data[300], got[32], want[32];
    fill(data, sizeof data);
    for (int portable = 0; portable < 2; portable++) {
        cs_accel_force_portable_for_tests(portable == 1);
        for (size_t len = 0; len <= sizeof data; len++) {
            cs_sha256 s;
            cs_sha256_init(&s);
            for (size_t at = 0; at < len;) { /* in uneven parts */
                size_t n = at % 71 + 1 < len - at ? at % 71 + 1 : len - at;
                cs_sha256_put(&s, data + at, n);
                at += n;
            }
            cs_sha256_end(&s, got);
            assert_int_equal(EVP_Digest(data, len, want, NULL, EVP_sha256(), NULL), 1);
            assert_memory_equal(got, want, 32);
        }
    }
    cs_accel_force_portable_for_tests(false);
}

static void many_compressions_agree_with_single_ones(void **state)
{
    (void)state;
    uint32_t mid[8], h[8];
    uint8_t blocks[64 * N], out[32 * N], one[32];
    fill(mid, sizeof mid);
    fill(blocks, sizeof blocks);
    for (int t = 0; t < 2; t++) {
        for (size_t n = 1; n <= N; n++) {
            memset(out, 0, sizeof out);
            tables[t]->sha256_many(out, mid, blocks, n);
            for (size_t i = 0; i < n; i++) {
                memcpy(h, mid, sizeof h);
                tables[0]->sha256(h, blocks + 64 * i, 1);
                for (int k = 0; k < 8; k++) {
                    cs_store_u32(one + 4 * k, h[k]);
                }
                assert_memory_equal(out + 32 * i, one, 32);
            }
        }
    }
}

static void openssl_ctr(uint8_t *out, const uint8_t *key, const uint8_t *iv, size_t blocks)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0;
    assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_128_ctr(), NULL, key, iv), 1);
    memset(out, 0, 16 * blocks);
    assert_int_equal(EVP_EncryptUpdate(c, out, &n, out, (int)(16 * blocks)), 1);
    EVP_CIPHER_CTX_free(c);
}

static void aes_ctr_agrees_with_openssl_also_when_the_counter_wraps(void **state)
{
    (void)state;
    uint8_t key[16], iv[16], got[128], want[128];
    for (int i = 0; i < 40; i++) {
        fill(key, 16);
        fill(iv, 16);
        if (i % 4 == 1) {
            memset(iv, 0xff, 16);
        }
        if (i % 4 == 2) {
            memset(iv + 8, 0xff, 8);
            iv[15] = 0xfd;
        }
        openssl_ctr(want, key, iv, 8);
        for (int t = 0; t < 2; t++) {
            tables[t]->aes_ctr(got, key, iv, 8);
            assert_memory_equal(got, want, sizeof got);
        }
    }
}

static void pads_are_six_counter_blocks_each(void **state)
{
    (void)state;
    uint8_t keys[32 * N], out[CS_PAD_LEN * N], want[CS_PAD_LEN];
    fill(keys, sizeof keys);
    memset(keys + 16, 0xff, 16);
    for (int t = 0; t < 2; t++) {
        for (size_t n = 1; n <= N; n += 4) {
            memset(out, 0, sizeof out);
            tables[t]->pads(out, keys, n);
            for (size_t i = 0; i < n; i++) {
                openssl_ctr(want, keys + 32 * i, keys + 32 * i + 16, 6);
                assert_memory_equal(out + CS_PAD_LEN * i, want, sizeof want);
            }
        }
    }
}

static void leaf_streams_follow_their_definition(void **state)
{
    (void)state;
    uint8_t leaf[256], hiv[32], out[16 * 80], k[16], want[80];
    fill(leaf, sizeof leaf);
    fill(hiv, sizeof hiv);
    for (int t = 0; t < 2; t++) {
        tables[t]->leaves(out, leaf, hiv);
        for (int y = 0; y < 16; y++) {
            openssl_ctr(k, leaf + 16 * y, hiv, 1);
            for (int i = 0; i < 16; i++) {
                k[i] ^= hiv[i];
            }
            openssl_ctr(want, k, hiv + 16, 5);
            assert_memory_equal(out + 80 * y, want, 80);
        }
    }
}

static void folds_agree_and_multiply_in_the_field(void **state)
{
    (void)state;
    uint8_t chi[64], rows[80 * N], a[16 * N], b[16 * N];
    fill(chi, sizeof chi);
    fill(rows, sizeof rows);
    tables[0]->folds(a, chi, rows, N);
    tables[1]->folds(b, chi, rows, N);
    assert_memory_equal(a, b, sizeof a);
    /* x^127 * x = x^7 + x^2 + x + 1 */
    memset(chi, 0, sizeof chi);
    memset(rows, 0, 80);
    chi[15] = 0x80;
    rows[0] = 2;
    for (int t = 0; t < 2; t++) {
        uint8_t want[16] = {0x87};
        tables[t]->folds(a, chi, rows, 1);
        assert_memory_equal(a, want, 16);
    }
}

static void transpose_moves_every_bit(void **state)
{
    (void)state;
    static uint8_t rows[128 * 80], cols[2][CS_EXT_COLS * 16];
    fill(rows, sizeof rows);
    for (int t = 0; t < 2; t++) {
        tables[t]->transpose(cols[t], rows);
        for (unsigned i = 0; i < 128; i++) {
            for (unsigned j = 0; j < CS_EXT_COLS; j++) {
                unsigned in = rows[80 * i + j / 8] >> (j & 7) & 1, got = cols[t][16 * j + i / 8] >> (i & 7) & 1;
                assert_int_equal(in, got);
            }
        }
    }
}

static void draws_differ_by_label_and_repeat_for_the_same(void **state)
{
    (void)state;
    cs_drbg d;
    uint8_t seed[32] = {1}, a[80], b[80];
    cs_drbg_seed(&d, seed);
    cs_drbg_draw(&d, a, 80, "x", 1);
    cs_drbg_draw(&d, b, 80, "x", 1);
    assert_memory_equal(a, b, 80);
    cs_drbg_draw(&d, b, 80, "x", 2);
    assert_memory_not_equal(a, b, 32);
    cs_drbg_draw(&d, b, 33, "x", 1);
    assert_memory_equal(a, b, 33);
}

static void fresh_seed_fails_without_entropy(void **state)
{
    (void)state;
    cs_drbg d;
    uint8_t z[32] = {0};
    memset(&d, 0xa5, sizeof d);
    cs_random_fail_for_tests(1);
    assert_int_equal(cs_drbg_fresh(&d, z, z), CS_E_ENTROPY);
    assert_true(cs_ct_is_zero(&d, sizeof d));
    assert_int_equal(cs_drbg_fresh(&d, z, z), CS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_agrees_with_openssl_at_every_length),
        cmocka_unit_test(many_compressions_agree_with_single_ones),
        cmocka_unit_test(aes_ctr_agrees_with_openssl_also_when_the_counter_wraps),
        cmocka_unit_test(pads_are_six_counter_blocks_each),
        cmocka_unit_test(leaf_streams_follow_their_definition),
        cmocka_unit_test(folds_agree_and_multiply_in_the_field),
        cmocka_unit_test(transpose_moves_every_bit),
        cmocka_unit_test(draws_differ_by_label_and_repeat_for_the_same),
        cmocka_unit_test(fresh_seed_fails_without_entropy),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
