/* Envelopes: known answers of another implementation, what must not open, several threads, memory running out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/text.h"
#include "secret/gcm.h"
#include "secret/rng.h"
#include "secret/seal.h"

#define ARN "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

/* Made with HKDF and AESGCM of Python's `cryptography`: root 00..1f, data key 40..5f. */
static const char key_blob[] =
    "0129c279dc0100000001a0a1a2a3a4a5a6a7a8a9aaab7aa001fe4ea3c7ef1fb611d48ccf184d7296a9186b52f5886adb"
    "699e8edf685a9f1de4e0a3bb029e7531dc2caa0c1d61";
static const char data_blob[] =
    "0129c279dc0001020304c8c9cacbcccdcecfd0d1d2d3dc6e6d1e3791aba99c3637e7ad84b2047b1bf9115553f6e82c880763"
    "c06fb9e96e064d79";
static const char empty_blob[] = "0129c279dc00ffffffff000102030405060708090a0b388094a04c69d9f8cc20e979d7aa1edf";
static const char raw_blob[] =
    "000102030405060708090a0b49600d1412e864c2bb32efb6d088bec820c1f0cea79c5cb278f0ff32bacee5c6";
static const char raw_empty[] = "000102030405060708090a0b1b9a631e876636e22789780a24233436";

static cs_seal_root root, other_root;
static cs_secret32 data_key, other_key;
static cs_seal_roots one = {&root, 1};

static cs_slice hex(uint8_t *out, const char *text)
{
    assert_int_equal(cs_hex_decode(out, strlen(text) / 2, cs_slice_str(text)), CS_OK);
    return cs_slice_of(out, strlen(text) / 2);
}

static cs_seal_about about_key(void)
{
    return (cs_seal_about){cs_slice_str(ARN), cs_slice_str("wallet-7"), CS_SEAL_PRIVATE_KEY, 1, 1};
}

static int setup(void **state)
{
    uint8_t b[32];
    (void)state;
    for (unsigned i = 0; i < 32; i++) {
        b[i] = (uint8_t)i;
        data_key.b[i] = (uint8_t)(64 + i);
    }
    cs_seal_root_init(&root, b);
    b[31] ^= 1;
    cs_seal_root_init(&other_root, b);
    other_key = data_key;
    other_key.b[0] ^= 1;
    return cs_arena_init((size_t)4 << 20, false) == CS_OK ? 0 : -1;
}

/* opens into the arena and compares; the buffer already holds something that must stay */
static cs_err open_as(const cs_seal_roots *roots, const cs_secret32 *key, const cs_seal_about *about, cs_slice blob,
                      cs_slice want)
{
    cs_buf out;
    cs_seal_head head = {.version = 77};
    assert_int_equal(cs_secret_buf(&out, CS_SEAL_DATA_MAX + 8), CS_OK);
    assert_int_equal(cs_put_str(&out, "before"), CS_OK);
    cs_err err = cs_seal_open(&out, &head, roots, key, about, blob);
    if (err == CS_OK) {
        assert_int_equal(out.len, 6 + want.len);
        assert_true(cs_slice_eq(cs_slice_of(out.p + 6, want.len), want));
        assert_true(about->version == 0 || head.version == about->version);
    } else { /* nothing of the plaintext stays, nor is it counted */
        assert_int_equal(out.len, 6);
        assert_true(cs_ct_is_zero(out.p + 6, CS_SEAL_DATA_MAX));
        assert_int_equal(head.version, 77);
    }
    assert_memory_equal(out.p, "before", 6);
    cs_secret_buf_free(&out);
    return err;
}

static void opens_what_another_implementation_sealed(void **state)
{
    uint8_t blob[256], plain[32], record[128];
    cs_seal_about a = about_key();
    (void)state;
    for (unsigned i = 0; i < 32; i++) {
        plain[i] = (uint8_t)(128 + i);
    }
    cs_slice in = hex(blob, key_blob);
    assert_int_equal(open_as(&one, &data_key, &a, in, cs_slice_of(plain, 32)), CS_OK);
    cs_seal_head head;
    assert_int_equal(cs_seal_head_parse(&head, in), CS_OK);
    assert_int_equal(head.algorithm, 1);
    assert_int_equal(head.version, 1);
    assert_memory_equal(head.root_id, root.id, 4);
    memset(record, 'r', sizeof record);
    a = (cs_seal_about){cs_slice_str("k"), cs_slice_of(record, 128), CS_SEAL_DATA, 0, 0x01020304};
    assert_int_equal(open_as(&one, &data_key, &a, hex(blob, data_blob), cs_slice_str("data, and more of it")), CS_OK);
    a = (cs_seal_about){cs_slice_str(ARN), cs_slice_str("empty"), CS_SEAL_DATA, 0, 0xffffffff};
    assert_int_equal(open_as(&one, &data_key, &a, hex(blob, empty_blob), CS_SLICE_NULL), CS_OK);
    cs_buf none = {0}; /* nothing needs no room */
    assert_int_equal(cs_seal_open(&none, NULL, &one, &data_key, &a, hex(blob, empty_blob)), CS_OK);
    a.version = 1;
    assert_int_equal(cs_seal_open(&none, NULL, &one, &data_key, &a, hex(blob, empty_blob)), CS_E_SEAL_VERSION);
}

static void sealed_differs_each_time_and_opens_with_any_root(void **state)
{
    uint8_t mem[2][512], plain[32] = {9};
    cs_seal_root both[2] = {other_root, root};
    cs_seal_roots roots = {both, 2};
    (void)state;
    for (uint8_t alg = 0; alg <= 4; alg++) {
        cs_buf b0 = cs_buf_wrap(mem[0], sizeof mem[0]), b1 = cs_buf_wrap(mem[1], sizeof mem[1]);
        cs_seal_about a = about_key();
        a.algorithm = alg;
        a.purpose = alg == 0 ? CS_SEAL_DATA : CS_SEAL_PRIVATE_KEY;
        a.version = 0x80000001u + alg;
        assert_int_equal(cs_seal_put(&b0, &one, &data_key, &a, cs_slice_of(plain, 32)), CS_OK);
        assert_int_equal(cs_seal_put(&b1, &one, &data_key, &a, cs_slice_of(plain, 32)), CS_OK);
        assert_int_equal(b0.len, 32 + CS_SEAL_OVERHEAD);
        assert_memory_equal(b0.p, b1.p, 10);
        assert_memory_not_equal(b0.p + 10, b1.p + 10, 12);
        assert_memory_not_equal(b0.p + 22, b1.p + 22, 32);
        assert_int_equal(open_as(&roots, &data_key, &a, cs_buf_slice(&b0), cs_slice_of(plain, 32)), CS_OK);
        b1.len = 0;
        assert_int_equal(cs_seal_put(&b1, &roots, &data_key, &a, cs_slice_of(plain, 32)), CS_OK);
        assert_memory_equal(b1.p + 1, other_root.id, 4); /* the first seals */
        assert_int_equal(open_as(&one, &data_key, &a, cs_buf_slice(&b1), CS_SLICE_NULL), CS_E_SEAL_ROOT);
    }
}

static void every_bit_counts(void **state)
{
    uint8_t blob[128];
    cs_slice in = hex(blob, key_blob);
    cs_seal_about a = about_key();
    (void)state;
    for (size_t i = 0; i < in.len * 8; i++) {
        blob[i / 8] ^= (uint8_t)(1u << i % 8);
        cs_err want = i < 8 ? CS_E_FORMAT : i < 40 ? CS_E_SEAL_ROOT : CS_E_SEAL_OPEN;
        assert_int_equal(open_as(&one, &data_key, &a, in, CS_SLICE_NULL), want);
        a.version = 0;
        assert_int_equal(open_as(&one, &data_key, &a, in, CS_SLICE_NULL), want);
        a.version = 1;
        blob[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t n = 0; n < in.len; n++) { /* shortened and lengthened */
        cs_err err = open_as(&one, &data_key, &a, cs_slice_of(blob, n), CS_SLICE_NULL);
        assert_int_equal(err, n < CS_SEAL_OVERHEAD ? CS_E_FORMAT : CS_E_SEAL_OPEN);
    }
    assert_int_equal(open_as(&one, &data_key, &a, cs_slice_of(blob, in.len + 1), CS_SLICE_NULL), CS_E_SEAL_OPEN);
}

static void opens_as_nothing_else(void **state)
{
    uint8_t blob[128];
    cs_slice in = hex(blob, key_blob);
    cs_seal_about a;
    cs_seal_roots none = {NULL, 0};
    cs_seal_root same_id = other_root; /* two roots with one id: each is tried */
    cs_seal_root two[2];
    (void)state;
    memcpy(same_id.id, root.id, 4);
    two[0] = same_id;
    two[1] = root;
    a = about_key();
    assert_int_equal(open_as(&none, &data_key, &a, in, CS_SLICE_NULL), CS_E_SEAL_ROOT);
    assert_int_equal(open_as(&(cs_seal_roots){&other_root, 1}, &data_key, &a, in, CS_SLICE_NULL), CS_E_SEAL_ROOT);
    assert_int_equal(open_as(&(cs_seal_roots){&same_id, 1}, &data_key, &a, in, CS_SLICE_NULL), CS_E_SEAL_OPEN);
    assert_int_equal(open_as(&one, &other_key, &a, in, CS_SLICE_NULL), CS_E_SEAL_OPEN);
    uint8_t plain[32];
    for (unsigned i = 0; i < 32; i++) {
        plain[i] = (uint8_t)(128 + i);
    }
    assert_int_equal(open_as(&(cs_seal_roots){two, 2}, &data_key, &a, in, cs_slice_of(plain, 32)), CS_OK);
    a.record = cs_slice_str("wallet-8");
    assert_int_equal(open_as(&one, &data_key, &a, in, CS_SLICE_NULL), CS_E_SEAL_OPEN);
    a.record = cs_slice_str("wallet-");
    assert_int_equal(open_as(&one, &data_key, &a, in, CS_SLICE_NULL), CS_E_SEAL_OPEN);
    a = about_key();
    a.kms_key = cs_slice_str("arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ac");
    assert_int_equal(open_as(&one, &data_key, &a, in, CS_SLICE_NULL), CS_E_SEAL_OPEN);
    a = about_key();
    a.purpose = CS_SEAL_DATA;
    assert_int_equal(open_as(&one, &data_key, &a, in, CS_SLICE_NULL), CS_E_SEAL_OPEN);
    a = about_key();
    a.version = 2; /* it is authentic: the caller is told the reason */
    assert_int_equal(open_as(&one, &data_key, &a, in, CS_SLICE_NULL), CS_E_SEAL_VERSION);
    a.version = 0;
    assert_int_equal(open_as(&one, &data_key, &a, in, cs_slice_of(plain, 32)), CS_OK);
}

static void refuses_what_is_out_of_range(void **state)
{
    static uint8_t big[CS_SEAL_OVERHEAD + CS_SEAL_DATA_MAX + 1], mem[sizeof big];
    cs_seal_about a = about_key(), bad[7];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    const cs_slice key = cs_slice_of(big, 32);
    (void)state;
    for (size_t i = 0; i < 7; i++) {
        bad[i] = a;
    }
    bad[0].record.len = 0;
    bad[1].record = cs_slice_of(big, CS_SEAL_RECORD_MAX + 1);
    bad[2].kms_key.len = 0;
    bad[3].kms_key = cs_slice_of(big, CS_SEAL_KMS_KEY_MAX + 1);
    bad[4].purpose = (cs_seal_purpose)0;
    bad[5].purpose = (cs_seal_purpose)3;
    bad[6].version = 0; /* for sealing only */
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(cs_seal_put(&out, &one, &data_key, &bad[i], key), CS_E_RANGE);
        if (i < 6) {
            assert_int_equal(cs_seal_open(&out, NULL, &one, &data_key, &bad[i], cs_slice_of(big, 70)), CS_E_RANGE);
        }
    }
    a.algorithm = 5; /* no such */
    assert_int_equal(cs_seal_put(&out, &one, &data_key, &a, key), CS_E_RANGE);
    a.algorithm = 0; /* data, and a private key */
    assert_int_equal(cs_seal_put(&out, &one, &data_key, &a, key), CS_E_RANGE);
    a = about_key();
    a.purpose = CS_SEAL_DATA;
    assert_int_equal(cs_seal_put(&out, &one, &data_key, &a, key), CS_E_RANGE);
    a = about_key();
    assert_int_equal(cs_seal_put(&out, &one, &data_key, &a, cs_slice_of(big, 31)), CS_E_RANGE);
    assert_int_equal(cs_seal_put(&out, &one, &data_key, &a, cs_slice_of(big, 33)), CS_E_RANGE);
    assert_int_equal(cs_seal_put(&out, &(cs_seal_roots){NULL, 0}, &data_key, &a, key), CS_E_SEAL_ROOT);
    a.algorithm = 0;
    a.purpose = CS_SEAL_DATA;
    assert_int_equal(cs_seal_put(&out, &one, &data_key, &a, cs_slice_of(big, CS_SEAL_DATA_MAX + 1)), CS_E_RANGE);
    assert_int_equal(out.len, 0);
    assert_int_equal(cs_seal_put(&out, &one, &data_key, &a, cs_slice_of(big, CS_SEAL_DATA_MAX)), CS_OK);
    assert_int_equal(open_as(&one, &data_key, &a, cs_buf_slice(&out), cs_slice_of(big, CS_SEAL_DATA_MAX)), CS_OK);
    big[0] = 1;
    assert_int_equal(open_as(&one, &data_key, &a, cs_slice_of(big, sizeof big), CS_SLICE_NULL), CS_E_FORMAT);
}

static void a_full_buffer_or_no_entropy_leaves_it_as_it_was(void **state)
{
    uint8_t mem[80], plain[32] = {1}, blob[128];
    cs_seal_about a = about_key();
    (void)state;
    for (size_t cap = 0; cap < 32 + CS_SEAL_OVERHEAD; cap++) {
        cs_buf out = cs_buf_wrap(mem, cap);
        assert_int_equal(cs_seal_put(&out, &one, &data_key, &a, cs_slice_of(plain, 32)), CS_E_RANGE);
        assert_int_equal(out.len, 0);
    }
    cs_buf out = cs_buf_wrap(mem, 31);
    assert_int_equal(cs_seal_open(&out, NULL, &one, &data_key, &a, hex(blob, key_blob)), CS_E_RANGE);
    assert_int_equal(out.len, 0);
    out = cs_buf_wrap(mem, sizeof mem);
    (void)cs_random_fail_for_tests(1);
    assert_int_equal(cs_seal_put(&out, &one, &data_key, &a, cs_slice_of(plain, 32)), CS_E_ENTROPY);
    assert_int_equal(out.len, 0);
    assert_int_equal(cs_random_fail_for_tests(0), 0);
}

static cs_err open_raw(const cs_secret32 *key, const char *aad, cs_slice in, const char *want)
{
    uint8_t mem[64] = {0};
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_err err = cs_seal_open_raw(&out, key, cs_slice_str(aad), in);
    if (err == CS_OK) {
        assert_true(cs_slice_eq_str(cs_buf_slice(&out), want));
    } else {
        assert_int_equal(out.len, 0);
        assert_true(cs_ct_is_zero(mem, sizeof mem));
    }
    return err;
}

static void raw_opens_only_what_is_whole(void **state)
{
    static uint8_t big[CS_SEAL_RAW_OVERHEAD + CS_SEAL_DATA_MAX + 1];
    uint8_t b[64];
    cs_slice in = hex(b, raw_empty);
    cs_buf none = {0};
    (void)state;
    assert_int_equal(open_raw(&data_key, "", in, ""), CS_OK);
    in = hex(b, raw_blob);
    assert_int_equal(open_raw(&data_key, "context", in, "sealed by others"), CS_OK);
    assert_int_equal(open_raw(&data_key, "Context", in, ""), CS_E_SEAL_OPEN);
    assert_int_equal(open_raw(&data_key, "", in, ""), CS_E_SEAL_OPEN);
    assert_int_equal(open_raw(&other_key, "context", in, ""), CS_E_SEAL_OPEN);
    for (size_t i = 0; i < in.len * 8; i++) {
        b[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(open_raw(&data_key, "context", in, ""), CS_E_SEAL_OPEN);
        b[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t n = 0; n < in.len; n++) {
        cs_err want = n < CS_SEAL_RAW_OVERHEAD ? CS_E_FORMAT : CS_E_SEAL_OPEN;
        assert_int_equal(open_raw(&data_key, "context", cs_slice_of(b, n), ""), want);
    }
    assert_int_equal(cs_seal_open_raw(&none, &data_key, CS_SLICE_NULL, cs_slice_of(big, sizeof big)), CS_E_RANGE);
    assert_int_equal(cs_seal_open_raw(&none, &data_key, cs_slice_of(big, CS_SEAL_DATA_MAX + 1), in), CS_E_RANGE);
}

static void gcm_refuses_other_key_lengths(void **state)
{
    uint8_t b[64] = {0}, out[64];
    cs_gcm g = {cs_slice_of(b, 24), b, CS_SLICE_NULL};
    (void)state;
    assert_int_equal(cs_gcm_seal(out, &g, cs_slice_of(b, 8)), CS_E_RANGE);
    assert_int_equal(cs_gcm_open(out, &g, cs_slice_of(b, 24)), CS_E_RANGE);
    assert_int_equal(cs_gcm_open(out, &g, cs_slice_of(b, 15)), CS_E_FORMAT);
}

static void *worker(void *arg)
{
    unsigned *bad = arg;
    uint8_t mem[128], back[32], plain[32];
    for (unsigned i = 0; i < 2000; i++) {
        cs_buf out = cs_buf_wrap(mem, sizeof mem), got = cs_buf_wrap(back, sizeof back);
        cs_seal_about a = about_key();
        a.version = i + 1;
        memset(plain, (int)(i & 0xff), sizeof plain);
        *bad += cs_seal_put(&out, &one, &data_key, &a, cs_slice_of(plain, 32)) != CS_OK ||
                cs_seal_open(&got, NULL, &one, &data_key, &a, cs_buf_slice(&out)) != CS_OK ||
                !cs_slice_eq(cs_buf_slice(&got), cs_slice_of(plain, 32));
    }
    return NULL;
}

static void several_threads_do_not_disturb_each_other(void **state)
{
    pthread_t t[4];
    unsigned bad[4] = {0};
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, worker, &bad[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_int_equal(bad[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_what_another_implementation_sealed),
        cmocka_unit_test(sealed_differs_each_time_and_opens_with_any_root),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(opens_as_nothing_else),
        cmocka_unit_test(refuses_what_is_out_of_range),
        cmocka_unit_test(a_full_buffer_or_no_entropy_leaves_it_as_it_was),
        cmocka_unit_test(raw_opens_only_what_is_whole),
        cmocka_unit_test(gcm_refuses_other_key_lengths),
        cmocka_unit_test(several_threads_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
