/*
 * OT set-up, signing, dealing and age with the nth allocation in the arena, or the nth draw of random bytes, failing - for
 * every n there is. Each time: the code of the table, no message out, nothing left in the arena, and the same objects work again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secret/age.h"
#include "secret/mpc/fixture.h"
#include "secret/rng.h"

#define OK(x) assert_int_equal((x), CS_OK)
#define MANY 200 /* more points than any operation here has */

static fixture fx;

static const struct fault {
    const char *name;
    unsigned (*arm)(unsigned nth);
    cs_err code;
} faults[] = {
    {"memory", cs_secret_fail_for_tests, CS_E_NO_MEMORY},
    {"random", cs_random_fail_for_tests, CS_E_ENTROPY},
};
#define NUM_FAULTS (sizeof faults / sizeof faults[0])

static int group_setup(void **state)
{
    return cs_arena_init((size_t)16 << 20, false) == CS_OK ? 0 : -1;
}

static int fresh(void **state)
{
    fx_init(&fx);
    return 0;
}

static int done(void **state)
{
    (void)cs_secret_fail_for_tests(0);
    (void)cs_random_fail_for_tests(0);
    fx_cleanup(&fx);
    return cs_arena_used() == 0 ? 0 : -1;
}

static void report(const char *what, const struct fault *f, unsigned points)
{
    print_message("# %s: %u points of %s failed in turn\n", what, points, f->name);
}

static void a_setup_that_fails_anywhere_leaves_nothing(void **state)
{
    for (size_t k = 0; k < NUM_FAULTS; k++) {
        unsigned first = k == 1 ? 2 : 1, n; /* the fixture itself draws the channel first */
        for (n = first; n < MANY; n++) {
            cs_mpc_pair *pair[2] = {NULL, NULL};
            size_t used = cs_arena_used();
            (void)faults[k].arm(n);
            fx_end e = fx_setup(&fx, pair, -1, NULL, NULL); /* aborts when a step that failed wrote something */
            if (faults[k].arm(0) > 0) {
                OK(e.err);
                cs_mpc_pair_free(pair[0]);
                cs_mpc_pair_free(pair[1]);
                break;
            }
            assert_int_equal(e.err, faults[k].code);
            assert_int_equal(e.v.check, CS_MPC_CHK_NONE); /* nobody is blamed */
            assert_true(pair[0] == NULL && pair[1] == NULL);
            assert_int_equal(cs_arena_used(), used);
            assert_int_equal(cs_mpc_peer_banned(fx.peer[0]), CS_MPC_CHK_NONE);
            assert_int_equal(cs_mpc_peer_banned(fx.peer[1]), CS_MPC_CHK_NONE);
        }
        assert_in_range(n, first + 2, MANY - 1);
        report("set-up", &faults[k], n - first);
        OK(fx_sign(&fx, "the old pair", -1, NULL, NULL).err);
    }
}

/* A whole signature; what a failed step wrote must be nothing, and its session must be over. */
static cs_err sign(cs_mpc_verdict *v)
{
    static uint8_t in[CS_MPC_M2_LEN], out[CS_MPC_M2_LEN], digest[32] = {1}, label[32] = {2};
    cs_mpc_sign2 *s[2] = {NULL, NULL};
    cs_mpc_signature sig[2];
    cs_err err = CS_OK;
    unsigned to = 0;
    *v = (cs_mpc_verdict){CS_MPC_FINE, CS_MPC_CHK_NONE, 0};
    for (unsigned i = 0; i < 2 && err == CS_OK; i++) {
        cs_mpc_request r = {.key = &fx.key[i], .peer = (uint16_t)(2 - i), .digest32 = digest, .label32 = label};
        err = cs_mpc_sign2_new(&s[i], fx.pair[i], &r);
        assert_true((err == CS_OK) == (s[i] != NULL));
    }
    memset(out, 0, sizeof out);
    if (err == CS_OK) {
        err = cs_mpc_sign2_m1(s[0], out, v);
    }
    for (unsigned i = 0; i < 4 && err == CS_OK; i++) {
        to = 1 - i % 2;
        memcpy(in, out, sizeof in);
        memset(out, 0, sizeof out);
        err = fx_step(s[to], i, cs_slice_of(in, fx_len[i]), out, &sig[to], v);
    }
    if (err != CS_OK) {
        assert_int_equal(cs_ct_is_zero(out, sizeof out), 1);
        assert_true(s[to] == NULL || s[1 - to] == NULL || cs_ct_is_zero(&s[to]->x, sizeof s[to]->x) == 1);
    }
    cs_mpc_sign2_free(s[0]);
    cs_mpc_sign2_free(s[1]);
    return err;
}

static void a_signature_that_fails_anywhere_ends_its_session_only(void **state)
{
    for (size_t k = 0; k < NUM_FAULTS; k++) {
        unsigned n;
        for (n = 1; n < MANY; n++) {
            size_t used = cs_arena_used();
            cs_mpc_verdict v;
            (void)faults[k].arm(n);
            cs_err err = sign(&v);
            if (faults[k].arm(0) > 0) {
                OK(err);
                break;
            }
            assert_int_equal(err, faults[k].code);
            assert_int_equal(v.check, CS_MPC_CHK_NONE);
            assert_int_equal(cs_arena_used(), used);
            for (int i = 0; i < 2; i++) {
                assert_int_equal(cs_mpc_pair_live(fx.pair[i]), 0);
                assert_true(cs_mpc_pair_usable(fx.pair[i]));
            }
            OK(sign(&v)); /* the same request again */
        }
        assert_in_range(n, 3, MANY - 1);
        report("signature", &faults[k], n - 1);
    }
}

static void dealing_that_fails_anywhere_leaves_no_key(void **state)
{
    cs_mpc_parties p = {.n = 5, .t = 3};
    cs_mpc_key key[5], zero[5];
    memset(zero, 0, sizeof zero);
    for (unsigned i = 0; i < 5; i++) {
        p.idkey[i][0] = (uint8_t)(i + 1);
    }
    for (size_t k = 0; k < NUM_FAULTS; k++) {
        unsigned n;
        for (n = 1; n < MANY; n++) {
            size_t used = cs_arena_used();
            memset(key, 0x5a, sizeof key);
            (void)faults[k].arm(n);
            cs_err err = cs_mpc_deal(key, &p, NULL, NULL);
            if (faults[k].arm(0) > 0) {
                OK(err);
                break;
            }
            assert_int_equal(err, faults[k].code);
            assert_memory_equal(key, zero, sizeof key);
            assert_int_equal(cs_arena_used(), used);
        }
        assert_in_range(n, 2, MANY - 1);
        report("deal", &faults[k], n - 1);
        for (unsigned i = 0; i < 5; i++) {
            cs_mpc_key_wipe(&key[i]);
        }
    }
}

static cs_err put_piece(void *cookie, cs_slice piece)
{
    return cs_put_slice(cookie, piece);
}

static cs_err seal(cs_buf *out, const cs_age_identity *id, cs_slice plain)
{
    cs_age_to to = {.recipients = &id->recipient, .num_recipients = 1};
    cs_age_enc *enc = NULL;
    cs_err err = cs_age_enc_new(&enc, &to, put_piece, out);
    err = err != CS_OK ? err : cs_age_enc_push(enc, plain);
    err = err != CS_OK ? err : cs_age_enc_finish(enc);
    cs_age_enc_free(enc);
    return err;
}

static cs_err open_sealed(cs_buf *out, const cs_age_identity *id, cs_slice file)
{
    cs_age_keys keys = {.identities = id, .num_identities = 1};
    cs_age_dec *dec = NULL;
    cs_err err = cs_age_dec_new(&dec, &keys, put_piece, out);
    err = err != CS_OK ? err : cs_age_dec_push(dec, file);
    err = err != CS_OK ? err : cs_age_dec_finish(dec);
    cs_age_dec_free(dec);
    return err;
}

static void age_files_that_fail_anywhere_give_no_byte(void **state)
{
    static uint8_t text[1000], sealed_mem[4096], plain_mem[2048];
    cs_age_identity id;
    OK(cs_age_identity_generate(&id));
    for (size_t k = 0; k < NUM_FAULTS; k++) {
        for (unsigned opening = 0; opening < 2; opening++) {
            unsigned n;
            for (n = 1; n < MANY; n++) {
                cs_buf sealed = cs_buf_wrap(sealed_mem, sizeof sealed_mem),
                       plain = cs_buf_wrap(plain_mem, sizeof plain_mem);
                size_t used = cs_arena_used();
                if (opening) {
                    OK(seal(&sealed, &id, cs_slice_of(text, sizeof text)));
                }
                (void)faults[k].arm(n);
                cs_err err = opening ? open_sealed(&plain, &id, cs_buf_slice(&sealed))
                                     : seal(&sealed, &id, cs_slice_of(text, sizeof text));
                if (faults[k].arm(0) > 0) {
                    OK(err);
                    break;
                }
                assert_int_equal(err, faults[k].code);
                assert_int_equal(opening ? plain.len : sealed.len, 0);
                assert_int_equal(cs_arena_used(), used);
            }
            assert_in_range(n, opening && k == 1 ? 1 : 2, MANY - 1); /* opening draws nothing */
            report(opening ? "age decrypt" : "age encrypt", &faults[k], n - 1);
        }
    }
    cs_wipe(&id, sizeof id);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_setup_that_fails_anywhere_leaves_nothing),
        T(a_signature_that_fails_anywhere_ends_its_session_only),
        T(dealing_that_fails_anywhere_leaves_no_key),
        T(age_files_that_fail_anywhere_give_no_byte),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
