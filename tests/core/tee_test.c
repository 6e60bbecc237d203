/* The TEE service of core, operation by operation, end to end over frames with a KMS that is played here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tee_driver.h"

#define OK(x) assert_int_equal((x), CS_OK)
#define S(text) cs_slice_str(text)

static tee_answer a; /* large */
static kept_row row, other;

static int setup(void **state)
{
    *state = tee_world_new(NULL);
    return 0;
}

static int teardown(void **state)
{
    tee_world_free(*state);
    return 0;
}

static const cs_tee_alg algs[] = {CS_TEE_ECDSA_K1, CS_TEE_ECDSA_P256, CS_TEE_ED25519, CS_TEE_BIP340};

static void verify(cs_tee_alg alg, bool is_digest, cs_slice payload, cs_slice public_key)
{
    const cs_scheme_input in = {.is_digest = is_digest, .payload = payload};
    cs_scheme_sig sig = {.recid = a.result.f[1].u};

    assert_int_equal(a.result.f[0].s.len, sizeof sig.b);
    memcpy(sig.b, a.result.f[0].s.p, sizeof sig.b);
    OK(cs_scheme_verify(cs_scheme_of((uint64_t)alg), &sig, public_key, &in));
}

static void test_a_generated_key_signs_and_the_signature_verifies(void **state)
{
    tee_world *t = *state;
    const uint8_t digest[32] = {1, 2, 3};

    for (unsigned i = 0; i < 4; i++) {
        tee_ask q = {.op = CS_TEE_SIGN, .record = S("wallet-1"), .u1 = (uint64_t)algs[i], .u2 = 1, .rows = &row.row};
        uint8_t first[64];

        generate(t, &row, "wallet-1", algs[i]);
        assert_int_equal(row.row.version, 1);
        assert_int_equal(row.row.alg, algs[i]);
        q.num_rows = 1;
        q.bytes = S("message");
        q.id = 1000 + i;
        OK(tee_call(t, &a, &q));
        assert_true(cs_slice_eq(a.result.f[2].s, row.row.public_key));
        verify(algs[i], false, q.bytes, row.row.public_key);
        memcpy(first, a.result.f[0].s.p, 64);
        OK(tee_call(t, &a, &q)); /* the same request: the same bytes */
        assert_memory_equal(first, a.result.f[0].s.p, 64);
        assert_int_equal(a.num_rows, 0);
        if (algs[i] != CS_TEE_ED25519) {
            q.u2 = 0;
            q.id = 0;
            q.bytes = cs_slice_of(digest, sizeof digest);
            OK(tee_call(t, &a, &q));
            verify(algs[i], true, q.bytes, row.row.public_key);
        }
        OK(tee_call(
            t, &a,
            &(tee_ask){
                .op = CS_TEE_PUBLIC_KEY, .who = NOBODY, .record = S("wallet-1"), .rows = &row.row, .num_rows = 1}));
        assert_true(cs_slice_eq(a.result.f[0].s, row.row.public_key));
        assert_int_equal(a.result.f[1].u, algs[i]);
    }
}

static void test_attest_has_nonce_and_vouch_and_stats_are_public(void **state)
{
    tee_world *t = *state;

    OK(tee_call(t, &a, &(tee_ask){.op = CS_TEE_ATTEST, .who = NOBODY, .bytes = S("a nonce of 16 by")}));
    assert_true(a.result.f[0].s.len > 0);
    assert_memory_equal(t->w->nonce, "a nonce of 16 by", 16);
    assert_true(t->w->user_len > 80);
    assert_int_equal(a.entry.caller.len, 0);
    OK(tee_call(t, &a, &(tee_ask){.op = CS_TEE_STATS, .who = NOBODY}));
    assert_non_null(memmem(a.result.f[0].s.p, a.result.f[0].s.len, "\"Attest\":1", 10));
    assert_null(memmem(a.result.f[0].s.p, a.result.f[0].s.len, "alice", 5));
    has(t->w, "\"tee\":{\"workers\":2,");
}

static void test_data_is_sealed_and_unsealed_to_the_caller_only(void **state)
{
    tee_world *t = *state;
    tee_ask q = {.op = CS_TEE_UNSEAL, .record = S("wallet-data"), .rows = &row.row, .num_rows = 1};

    seal(t, &row, "wallet-data", S("a secret"));
    assert_int_equal(row.row.version, 1);
    assert_int_equal(row.row.alg, CS_TEE_DATA);
    assert_int_equal(row.row.public_key.len, 0);
    assert_null(memmem(row.row.blob.p, row.row.blob.len, "secret", 6));
    OK(tee_call(t, &a, &q)); /* in the clear: the request holds no secret, the reply is sealed all the same */
    assert_true(a.sealed);
    assert_true(cs_slice_eq_str(a.result.f[0].s, "a secret"));
    assert_int_equal(a.result.f[1].u, 1);
    assert_null(memmem(a.reply.result.p, a.reply.result.len, "secret", 6));
    q.u1 = 1;
    OK(tee_call(t, &a, &q));
    q.u1 = 2;
    assert_int_equal(tee_call(t, &a, &q), CS_E_SEAL_VERSION);
    /* nothing, and as much as may be */
    seal(t, &row, "wallet-data", CS_SLICE_NULL);
    q.u1 = 0;
    OK(tee_call(t, &a, &q));
    assert_int_equal(a.result.f[0].s.len, 0);
    static uint8_t large[CS_TEE_DATA_MAX];

    memset(large, 0x5a, sizeof large);
    seal(t, &row, "wallet-data", cs_slice_of(large, sizeof large));
    OK(tee_call(t, &a, &q));
    assert_true(cs_slice_eq(a.result.f[0].s, cs_slice_of(large, sizeof large)));
}

static void test_a_data_key_can_be_attached_and_is_used_for_the_new_row(void **state)
{
    tee_world *t = *state;
    tee_ask q = {.op = CS_TEE_SEAL, .record = S("wallet-b"), .u1 = 5, .bytes = S("x"), .sealed = true};
    unsigned generated;

    seal(t, &row, "wallet-a", S("first"));
    generated = t->kms_generated;
    q.attached = (cs_tee_attached){.data_key = row.row.data_key, .kms_key = row.row.kms_key};
    OK(tee_call(t, &a, &q));
    assert_int_equal(t->kms_generated, generated);
    assert_int_equal(a.row[0].version, 5);
    assert_true(cs_slice_eq(a.row[0].data_key, row.row.data_key));
    keep_row(&other, &a, 0);
    /* rows without a key of their own have that of the attachments */
    other.row.data_key = other.row.kms_key = CS_SLICE_NULL;
    OK(tee_call(
        t, &a,
        &(tee_ask){
            .op = CS_TEE_UNSEAL, .record = S("wallet-b"), .attached = q.attached, .rows = &other.row, .num_rows = 1}));
    assert_true(cs_slice_eq_str(a.result.f[0].s, "x"));
    /* a new key under the second of the list */
    q.attached = (cs_tee_attached){.kms_key = S(OTHER_ARN)};
    OK(tee_call(t, &a, &q));
    assert_true(cs_slice_eq_str(a.row[0].kms_key, OTHER_ARN));
    assert_int_equal(t->kms_generated, generated + 1);
}

static void test_an_imported_key_signs_and_one_out_of_range_is_refused(void **state)
{
    tee_world *t = *state;
    uint8_t key[32];
    tee_ask q = {.op = CS_TEE_IMPORT,
                 .record = S("wallet-i"),
                 .u1 = CS_TEE_ECDSA_K1,
                 .bytes = cs_slice_of(key, sizeof key),
                 .sealed = true};

    memset(key, 0x21, sizeof key);
    OK(tee_call(t, &a, &q));
    assert_true(a.sealed); /* as the request was */
    keep_row(&row, &a, 0);
    assert_null(memmem(a.row[0].blob.p, a.row[0].blob.len, key, 8));
    OK(tee_call(t, &a,
                &(tee_ask){.op = CS_TEE_SIGN,
                           .record = S("wallet-i"),
                           .u1 = CS_TEE_ECDSA_K1,
                           .u2 = 1,
                           .bytes = S("m"),
                           .rows = &row.row,
                           .num_rows = 1}));
    verify(CS_TEE_ECDSA_K1, false, S("m"), row.row.public_key);
    memset(key, 0, sizeof key);
    assert_int_equal(tee_call(t, &a, &q), CS_E_RANGE);
    memset(key, 0xff, sizeof key);
    assert_int_equal(tee_call(t, &a, &q), CS_E_RANGE);
}

static void test_what_others_sealed_under_the_data_key_is_decrypted(void **state)
{
    /* AES-256-GCM, key 32 * 0x07 with a last zero byte, nonce 12 * 0x01, aad "aad", plaintext "plain": made by python3-cryptography */
    static const uint8_t sealed[] = {0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
                                     0x01, 0x3e, 0x2f, 0xc6, 0xb4, 0x6d, 0xab, 0xe6, 0xa0, 0x3f, 0x4a,
                                     0xc2, 0xee, 0x87, 0xe1, 0x96, 0xa9, 0x33, 0x58, 0x3f, 0x2d, 0x7e};
    tee_world *t = *state;
    uint8_t blob[128];
    cs_buf b = cs_buf_wrap(blob, sizeof blob);
    uint8_t key[32];
    tee_ask q = {
        .op = CS_TEE_DECRYPT, .record = S("wallet-d"), .bytes = S("aad"), .more = cs_slice_of(sealed, sizeof sealed)};

    memset(key, 7, sizeof key);
    key[31] = 0;
    OK(cs_put_str(&b, KEY_ARN));
    OK(cs_put(&b, key, sizeof key));
    q.attached = (cs_tee_attached){.data_key = cs_buf_slice(&b), .kms_key = S(KEY_ARN)};
    OK(tee_call(t, &a, &q));
    assert_true(a.sealed);
    assert_true(cs_slice_eq_str(a.result.f[0].s, "plain"));
    q.bytes = S("aae");
    assert_int_equal(tee_call(t, &a, &q), CS_E_SEAL_OPEN);
    q.attached = (cs_tee_attached){0};
    assert_int_equal(tee_call(t, &a, &q), CS_E_FORMAT);
}

#define ROWS 40

static void test_rotate_renews_rows_and_says_which_it_could_not(void **state)
{
    static kept_row kept[ROWS];
    static char names[ROWS][16];
    static cs_slice records[ROWS];
    static cs_tee_row rows[ROWS];
    tee_world *t = *state;
    tee_ask q = {.op = CS_TEE_ROTATE, .u1 = 1, .records = records, .num_records = ROWS, .rows = rows, .num_rows = ROWS};
    unsigned calls;

    for (unsigned i = 0; i < ROWS; i++) {
        cs_buf b = cs_buf_wrap(names[i], sizeof names[i]);

        OK(cs_put_fmt(&b, "wallet-%u", i));
        records[i] = cs_buf_slice(&b);
        if (i % 2 == 0) {
            generate(t, &kept[i], names[i], algs[i / 2 % 4]);
        } else {
            seal(t, &kept[i], names[i], records[i]);
        }
        rows[i] = kept[i].row;
    }
    rows[3].version = 9;                          /* says another than it is */
    rows[4].record = records[5];                  /* attached to the wrong name */
    rows[6].kms_key = S(FOREIGN_ARN);             /* not on the list */
    rows[7].data_key = S("no ciphertext of KMS"); /* its key cannot be had */
    rows[8].version = UINT32_MAX;
    kept[9].mem[2][20] ^= 1;
    calls = t->kms_calls;
    OK(tee_call(t, &a, &q));
    assert_int_equal(a.result.f[0].u, ROWS - 6);
    assert_int_equal(a.num_rows, ROWS);
    assert_int_equal(
        t->kms_calls - calls,
        ROWS - 2 +
            2); /* each had a key of its own; one row is not asked for, one was wrong; the new one is asked for twice */
    for (unsigned i = 0; i < ROWS; i++) {
        const char *code = i == 3                       ? "SEAL_VERSION"
                           : i == 4 || i == 9 || i == 8 ? (i == 8 ? "RANGE" : "SEAL_OPEN")
                           : i == 6                     ? "KMS_KEY_LIST"
                           : i == 7                     ? "KMS_CIPHERTEXT"
                                                        : "OK";

        assert_true(cs_slice_eq_str(a.row[i].code, code));
        assert_int_equal(a.row[i].data_key.len > 0, i == 0); /* the rows of one Rotate share a data key */
        assert_int_equal(a.row[i].blob.len > 0, strcmp(code, "OK") == 0);
        if (strcmp(code, "OK") == 0) {
            assert_true(cs_slice_eq(a.row[i].record, records[i]));
            assert_int_equal(a.row[i].version, 2);
            assert_int_equal(a.row[i].alg, kept[i].row.alg);
            assert_true(cs_slice_eq(a.row[i].public_key, kept[i].row.public_key));
        }
    }
    /* the new rows open, in one call with one data key, and go on to the second KMS key */
    keep_row(&row, &a, 0);
    for (unsigned i = 10; i < ROWS; i++) {
        keep_row(&kept[i], &a, i);
        rows[i] = kept[i].row;
    }
    q.records = records + 10;
    q.rows = rows + 10;
    q.num_records = q.num_rows = ROWS - 10;
    q.record = S(OTHER_ARN);
    q.attached = (cs_tee_attached){.kms_key = row.row.kms_key, .data_key = row.row.data_key};
    calls = t->kms_calls;
    OK(tee_call(t, &a, &q));
    assert_int_equal(t->kms_calls - calls, 3);
    assert_int_equal(a.result.f[0].u, ROWS - 10);
    assert_true(cs_slice_eq_str(a.row[0].kms_key, OTHER_ARN));
    assert_int_equal(a.row[0].version, 3);
    keep_row(&row, &a, 1); /* wallet-11: data */
    keep_row(&other, &a, 0);
    row.row.kms_key = other.row.kms_key;
    row.row.data_key = other.row.data_key;
    OK(tee_call(t, &a, &(tee_ask){.op = CS_TEE_UNSEAL, .record = S("wallet-11"), .rows = &row.row, .num_rows = 1}));
    assert_true(cs_slice_eq_str(a.result.f[0].s, "wallet-11"));
}

static void test_rotate_fails_whole_only_when_the_keys_cannot_be_had(void **state)
{
    const cs_slice records[1] = {S("wallet-1")};
    tee_world *t = *state;
    tee_ask q = {.op = CS_TEE_ROTATE, .u1 = 1, .records = records, .num_records = 1, .rows = &row.row, .num_rows = 1};

    generate(t, &row, "wallet-1", CS_TEE_ED25519);
    t->fault.code = CS_E_KMS_UNAVAILABLE;
    assert_int_equal(tee_call(t, &a, &q), CS_E_KMS_UNAVAILABLE);
    t->fault.code = CS_OK;
    q.record = S(FOREIGN_ARN);
    assert_int_equal(tee_call(t, &a, &q), CS_E_KMS_KEY_LIST);
    q.record = CS_SLICE_NULL;
    q.u1 = 0; /* the new key is attached, it says */
    assert_int_equal(tee_call(t, &a, &q), CS_E_FORMAT);
    q.attached.fresh = row.row.data_key;
    OK(tee_call(t, &a, &q));
    assert_int_equal(a.result.f[0].u, 1);
    q.u1 = 1; /* and a new one too */
    assert_int_equal(tee_call(t, &a, &q), CS_E_FORMAT);
    q.attached.fresh = CS_SLICE_NULL;
    q.num_rows = 0;
    assert_int_equal(tee_call(t, &a, &q), CS_E_FORMAT);
}

static void test_no_row_opens_as_another(void **state)
{
    tee_world *t = *state;
    tee_ask q = {
        .op = CS_TEE_SIGN, .record = S("wallet-1"), .u1 = CS_TEE_ECDSA_K1, .u2 = 1, .bytes = S("m"), .num_rows = 1};
    cs_tee_row r;

    generate(t, &row, "wallet-1", CS_TEE_ECDSA_K1);
    generate(t, &other, "wallet-2", CS_TEE_ECDSA_K1);
    q.rows = &r;
    r = other.row;
    r.record = row.row.record;
    assert_int_equal(tee_call(t, &a, &q), CS_E_SEAL_OPEN); /* renamed */
    r = other.row;
    assert_int_equal(tee_call(t, &a, &q), CS_E_SEAL_OPEN); /* of another record, as it says itself */
    r = row.row;
    r.version = 2;
    assert_int_equal(tee_call(t, &a, &q), CS_E_SEAL_VERSION);
    r = row.row;
    r.version = 0;
    assert_int_equal(tee_call(t, &a, &q), CS_E_SEAL_OPEN);
    r = row.row;
    r.alg = CS_TEE_BIP340;
    assert_int_equal(tee_call(t, &a, &q), CS_E_ALGORITHM);
    q.u1 = CS_TEE_BIP340;
    assert_int_equal(tee_call(t, &a, &q), CS_E_SEAL_OPEN);
    r.alg = CS_TEE_DATA;
    assert_int_equal(tee_call(t, &a, &q), CS_E_ALGORITHM);
    q = (tee_ask){.op = CS_TEE_UNSEAL, .record = S("wallet-1"), .rows = &r, .num_rows = 1};
    assert_int_equal(tee_call(t, &a, &q), CS_E_SEAL_OPEN); /* a key said to be data */
    r = row.row;
    assert_int_equal(tee_call(t, &a, &q), CS_E_ALGORITHM);
    q = (tee_ask){
        .op = CS_TEE_SIGN, .record = S("wallet-1"), .u1 = CS_TEE_ECDSA_K1, .u2 = 1, .rows = &r, .num_rows = 1};
    r.data_key = other.row.data_key;
    assert_int_equal(tee_call(t, &a, &q), CS_E_SEAL_OPEN);
    r = row.row;
    r.kms_key = S(OTHER_ARN);
    assert_int_equal(tee_call(t, &a, &q), CS_E_KMS_CIPHERTEXT); /* KMS says so */
    for (size_t i = 0; i < row.row.blob.len; i++) {
        r = row.row;
        row.mem[2][i] ^= 1;
        assert_true(tee_call(t, &a, &q) == CS_E_SEAL_OPEN || a.code == CS_E_SEAL_ROOT);
        row.mem[2][i] ^= 1;
    }
    for (size_t len = 1; len < row.row.blob.len; len++) {
        r = row.row;
        r.blob.len = len;
        assert_int_equal(tee_call(t, &a, &q), CS_E_SEAL_OPEN);
    }
    r = row.row;
    OK(tee_call(t, &a, &q));
}

static void test_roots_of_the_share_file_decide_what_opens_and_what_seals(void **state)
{
    tee_world *t = *state;
    tee_ask q = {.op = CS_TEE_UNSEAL, .record = S("wallet-r"), .rows = &row.row, .num_rows = 1};

    seal(t, &row, "wallet-r", S("old"));
    memcpy(t->roots[1], t->roots[0], 32); /* a new first root, the old one behind it */
    memset(t->roots[0], 0x77, 32);
    t->num_roots = 2;
    OK(inject_both(t->w, &(recipe){.generation = 8}, &(kms_answer){0}));
    OK(tee_call(t, &a, &q));
    assert_true(cs_slice_eq_str(a.result.f[0].s, "old"));
    t->num_roots = 1; /* the old one is gone */
    OK(inject_both(t->w, &(recipe){.generation = 9}, &(kms_answer){0}));
    assert_int_equal(tee_call(t, &a, &q), CS_E_SEAL_ROOT);
    seal(t, &row, "wallet-r", S("new"));
    OK(tee_call(t, &a, &q));
    t->num_roots = 0;
    OK(inject_both(t->w, &(recipe){.generation = 10}, &(kms_answer){0}));
    assert_int_equal(tee_call(t, &a, &(tee_ask){.op = CS_TEE_GENERATE, .record = S("wallet-g"), .u1 = 1}),
                     CS_E_SEAL_ROOT);
}

static void test_the_chain_goes_on_over_reloads_and_begins_anew_at_each_boot(void **state)
{
    tee_world *t = *state;
    uint8_t boot[16];

    generate(t, &row, "wallet-1", CS_TEE_ED25519);
    OK(inject_both(t->w, &(recipe){.generation = 8}, &(kms_answer){0}));
    generate(t, &row, "wallet-1", CS_TEE_ED25519); /* the driver checks each link */
    assert_int_equal(t->counter, 2);
    memcpy(boot, t->boot, 16);
    tee_restart(t, 8);
    assert_memory_not_equal(boot, t->boot, 16);
    generate(t, &row, "wallet-1", CS_TEE_ED25519);
    assert_int_equal(t->counter, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_generated_key_signs_and_the_signature_verifies),
        T(test_attest_has_nonce_and_vouch_and_stats_are_public),
        T(test_data_is_sealed_and_unsealed_to_the_caller_only),
        T(test_a_data_key_can_be_attached_and_is_used_for_the_new_row),
        T(test_an_imported_key_signs_and_one_out_of_range_is_refused),
        T(test_what_others_sealed_under_the_data_key_is_decrypted),
        T(test_rotate_renews_rows_and_says_which_it_could_not),
        T(test_rotate_fails_whole_only_when_the_keys_cannot_be_had),
        T(test_no_row_opens_as_another),
        T(test_roots_of_the_share_file_decide_what_opens_and_what_seals),
        T(test_the_chain_goes_on_over_reloads_and_begins_anew_at_each_boot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
