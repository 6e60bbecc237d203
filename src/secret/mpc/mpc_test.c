/* Sessions and set-ups as a user sees them: signatures, every check, replay, lengths, bans, randomness failure. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/obj_mac.h>

#include "secret/mpc/fixture.h"
#include "secret/mpc/sign2_math.h"
#include "secret/rng.h"

static fixture fx;

static int group_setup(void **state)
{
    (void)state;
    return cs_arena_init((size_t)16 << 20, false) == CS_OK ? 0 : -1;
}

static int fresh(void **state)
{
    (void)state;
    fx_init(&fx);
    return 0;
}

static int done(void **state)
{
    (void)state;
    fx_cleanup(&fx);
    return cs_arena_used() == 0 ? 0 : -1; /* everything was freed */
}

/* ---------------------------------------------------------------- signatures */

/* OpenSSL as second opinion; deprecated calls are the only ones that take a bare point */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static bool openssl_verifies(const cs_mpc_signature *sig, const uint8_t digest[32])
{
    EC_KEY *k = EC_KEY_new_by_curve_name(NID_secp256k1);
    const uint8_t *p = sig->pk33;
    ECDSA_SIG *s = ECDSA_SIG_new();
    bool ok = o2i_ECPublicKey(&k, &p, 33) != NULL &&
              ECDSA_SIG_set0(s, BN_bin2bn(sig->r, 32, NULL), BN_bin2bn(sig->s, 32, NULL)) == 1 &&
              ECDSA_do_verify(digest, 32, s, k) == 1;
    ECDSA_SIG_free(s);
    EC_KEY_free(k);
    return ok;
}
#pragma GCC diagnostic pop

static void check_signature(const cs_mpc_signature *sig, const uint8_t digest[32])
{
    cs_pt pk, q;
    uint8_t rs[64];
    memcpy(rs, sig->r, 32);
    memcpy(rs + 32, sig->s, 32);
    assert_int_equal(cs_pt_parse(&pk, sig->pk33), CS_OK);
    assert_true(cs_ecdsa_verify(rs, digest, &pk));
    assert_true(openssl_verifies(sig, digest));
    assert_int_equal(cs_ecdsa_recover(&q, rs, sig->recid, digest), CS_OK);
    assert_true(cs_pt_eq(&q, &pk));
}

static void both_parties_get_the_same_verified_signature(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) { /* both parities of R and of s occur */
        char label[16];
        uint8_t digest[32];
        (void)snprintf(label, sizeof label, "tx %d", i);
        fx_end e = fx_sign(&fx, label, -1, NULL, NULL);
        assert_int_equal(e.err, CS_OK);
        assert_memory_equal(&e.sig[0], &e.sig[1], sizeof e.sig[0]);
        cs_th(digest, CS_TAG_T, label, strlen(label));
        check_signature(&e.sig[0], digest);
        assert_memory_equal(e.sig[0].pk33, fx.key[0].pk33, 33);
    }
    assert_int_equal(cs_mpc_pair_used(fx.pair[0]), 6);
    assert_int_equal(cs_mpc_pair_live(fx.pair[0]), 0);
}

static void portable_code_signs_too(void **state)
{
    (void)state;
    cs_accel_force_portable_for_tests(true);
    fx_end e = fx_sign(&fx, "portable", -1, NULL, NULL);
    cs_accel_force_portable_for_tests(false);
    assert_int_equal(e.err, CS_OK);
}

static void imported_secret_is_the_key(void **state)
{
    (void)state;
    cs_mpc_key k[2];
    uint8_t secret[32] = {0}, pk33[33];
    cs_pt pk;
    cs_sc s, sum, t;
    secret[31] = 9;
    assert_int_equal(cs_mpc_deal2(k, &fx.parties, secret, NULL), CS_OK);
    cs_sc_from_be_mod(&s, secret);
    assert_int_equal(cs_pt_mulg(&pk, &s), CS_OK);
    cs_pt_ser(pk33, &pk);
    assert_memory_equal(pk33, k[0].pk33, 33);
    cs_sc_add(&sum, &k[0].s, &k[0].s); /* 2 s_1 - s_2 = f(0) */
    cs_sc_sub(&t, &sum, &k[1].s);
    assert_true(cs_sc_eq(&t, &s));
    cs_mpc_key_wipe(&k[0]);
    cs_mpc_key_wipe(&k[1]);
    memset(secret, 0, 32);
    assert_int_equal(cs_mpc_deal2(k, &fx.parties, secret, NULL), CS_E_RANGE);
    memset(secret, 0xff, 32);
    assert_int_equal(cs_mpc_deal2(k, &fx.parties, secret, NULL), CS_E_RANGE);
}

static void shares_out_of_range_are_refused(void **state)
{
    (void)state;
    cs_mpc_key k;
    uint8_t s[32] = {0}, zero[32] = {0}, pk[33];
    cs_mpc_key_args a = {.parties = &fx.parties, .index = 1, .pk33 = pk, .cc32 = zero, .s32 = s, .zero = zero};
    memcpy(pk, fx.key[0].pk33, 33);
    assert_int_equal(cs_mpc_key_init(&k, &a), CS_E_SHARES_ACCOUNT); /* s = 0 */
    memset(s, 0xff, 32);
    assert_int_equal(cs_mpc_key_init(&k, &a), CS_E_SHARES_ACCOUNT);
    memset(s, 1, 32);
    a.index = 3;
    assert_int_equal(cs_mpc_key_init(&k, &a), CS_E_SHARES_ACCOUNT);
    a.index = 0;
    assert_int_equal(cs_mpc_key_init(&k, &a), CS_E_SHARES_ACCOUNT);
    a.index = 2;
    pk[0] = 4;
    assert_int_equal(cs_mpc_key_init(&k, &a), CS_E_SHARES_ACCOUNT);
    pk[0] = 2;
    assert_int_equal(cs_mpc_key_init(&k, &a), CS_OK);
    cs_mpc_parties p = fx.parties;
    memcpy(p.idkey[1], p.idkey[0], 32);
    assert_int_equal(cs_mpc_parties_check(&p), CS_E_SHARES_ACCOUNT);
    p.t = 1;
    assert_int_equal(cs_mpc_parties_check(&p), CS_E_SHARES_ACCOUNT);
}

static void hardened_indices_and_long_paths_are_refused(void **state)
{
    (void)state;
    uint32_t path[11] = {0};
    uint8_t pk[33];
    assert_int_equal(cs_mpc_derive(pk, NULL, NULL, &fx.key[0], path, 10), CS_OK);
    assert_int_equal(cs_mpc_derive(pk, NULL, NULL, &fx.key[0], path, 11), CS_E_RANGE);
    path[1] = 1u << 31;
    assert_int_equal(cs_mpc_derive(pk, NULL, NULL, &fx.key[0], path, 2), CS_E_RANGE);
}

/* ---------------------------------------------------------------- one mutation for every check */

typedef struct mutation {
    int at; /* message 0..3, set-up 0..4 */
    size_t offset;
    uint8_t mask;
    int party;
    cs_mpc_class cls;
    cs_mpc_check check;
} mutation;

#define M2A M2_ALICE
#define M3A M3_ALICE

static const mutation sign_mutations[] = {
    {0, 0, 1, 1, CS_MPC_DROP, CS_MPC_CHK_HEADER},
    {0, 1, 1, 1, CS_MPC_DROP, CS_MPC_CHK_HEADER},
    {0, 3, 1, 1, CS_MPC_DROP, CS_MPC_CHK_HEADER},
    {0, 5, 1, 1, CS_MPC_DROP, CS_MPC_CHK_HEADER},
    {0, 7, 1, 1, CS_MPC_DROP, CS_MPC_CHK_HEADER},
    {0, 39, 1, 1, CS_MPC_DROP, CS_MPC_CHK_HEADER},
    {0, M1_NONCE, 1, 1, CS_MPC_ABORT, CS_MPC_CHK_XID},
    {0, M1_BOB + 7, 2, 1, CS_MPC_ABORT, CS_MPC_CHK_XID},
    {0, M1_BOB + BOB_XID, 1, 1, CS_MPC_ABORT, CS_MPC_CHK_XID},
    {0, M1_COM, 1, 1, CS_MPC_ABORT, CS_MPC_CHK_COM},
    {0, M1_BOB + BOB_U, 1, 1, CS_MPC_BAN, CS_MPC_CHK_OT_CHECK},
    {0, M1_BOB + BOB_X, 1, 1, CS_MPC_BAN, CS_MPC_CHK_OT_CHECK},
    {0, M1_BOB + BOB_HT, 1, 1, CS_MPC_BAN, CS_MPC_CHK_OT_CHECK},
    {1, M2_SSID, 1, 0, CS_MPC_ABORT, CS_MPC_CHK_SSID},
    {1, M2_NONCE, 1, 0, CS_MPC_ABORT, CS_MPC_CHK_SSID},
    {1, M2_R, 1, 0, CS_MPC_BAN, CS_MPC_CHK_GAMMA_U},
    {1, M2_R, 0xff, 0, CS_MPC_ABORT, CS_MPC_CHK_MALFORMED_POINT},
    {1, M2_BOB + BOB_XID, 1, 0, CS_MPC_ABORT, CS_MPC_CHK_XID},
    {1, M2_BOB + BOB_U + 2559, 0x80, 0, CS_MPC_BAN, CS_MPC_CHK_OT_CHECK},
    {1, M2A + 31, 1, 0, CS_MPC_BAN, CS_MPC_CHK_MU},
    {1, M2A + ALICE_ETA + 31, 1, 0, CS_MPC_BAN, CS_MPC_CHK_MU},
    {1, M2A + ALICE_MU, 1, 0, CS_MPC_BAN, CS_MPC_CHK_MU},
    {1, M2A + ALICE_GU, 1, 0, CS_MPC_BAN, CS_MPC_CHK_GAMMA_U},
    {1, M2A + ALICE_GV, 1, 0, CS_MPC_BAN, CS_MPC_CHK_GAMMA_V},
    {1, M2A + ALICE_PK, 1, 0, CS_MPC_BAN, CS_MPC_CHK_GAMMA_V},
    {1, M2A + ALICE_PSI + 31, 1, 1, CS_MPC_BAN, CS_MPC_CHK_BAD_SIGNATURE},
    {2, M3_SSID, 1, 1, CS_MPC_ABORT, CS_MPC_CHK_SSID},
    {2, M3_R, 1, 1, CS_MPC_ABORT, CS_MPC_CHK_COM},
    {2, M3_SALT, 1, 1, CS_MPC_ABORT, CS_MPC_CHK_COM},
    {2, M3A + AT_LEN - 1, 1, 1, CS_MPC_BAN, CS_MPC_CHK_MU},
    {2, M3A + ALICE_MU + 31, 1, 1, CS_MPC_BAN, CS_MPC_CHK_MU},
    {2, M3A + ALICE_GU, 1, 1, CS_MPC_BAN, CS_MPC_CHK_GAMMA_U},
    {2, M3A + ALICE_GV, 1, 1, CS_MPC_BAN, CS_MPC_CHK_GAMMA_V},
    {2, M3A + ALICE_PK, 1, 1, CS_MPC_BAN, CS_MPC_CHK_GAMMA_V},
    {2, M3A + ALICE_PSI + 31, 1, 1, CS_MPC_BAN, CS_MPC_CHK_BAD_SIGNATURE},
    {2, M3_W + 31, 1, 1, CS_MPC_BAN, CS_MPC_CHK_BAD_SIGNATURE},
    {2, M3_U + 31, 1, 1, CS_MPC_BAN, CS_MPC_CHK_BAD_SIGNATURE},
    {3, M4_SSID, 1, 0, CS_MPC_ABORT, CS_MPC_CHK_SSID},
    {3, M4_R + 31, 1, 0, CS_MPC_BAN, CS_MPC_CHK_BAD_SIGNATURE},
    {3, M4_S + 31, 1, 0, CS_MPC_BAN, CS_MPC_CHK_BAD_SIGNATURE},
    {3, M4_RECID, 1, 0, CS_MPC_BAN, CS_MPC_CHK_BAD_SIGNATURE},
    {3, M4_RECID, 2, 0, CS_MPC_BAN, CS_MPC_CHK_BAD_SIGNATURE},
    {3, M4_RECID, 4, 0, CS_MPC_BAN, CS_MPC_CHK_BAD_SIGNATURE},
};

static void check_end(const fx_end *e, const mutation *m)
{
    assert_int_equal(e->party, m->party);
    assert_int_equal(e->v.cls, m->cls);
    assert_string_equal(cs_mpc_check_name(e->v.check), cs_mpc_check_name(m->check));
    assert_int_equal(e->v.culprit, 2 - m->party);
    assert_int_equal(e->err, m->cls == CS_MPC_DROP  ? CS_E_STATE
                             : m->cls == CS_MPC_BAN ? CS_E_PEER_BANNED
                                                    : CS_E_ABORT_SESSION);
}

static void every_check_of_signing_fires_at_its_party_and_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sign_mutations / sizeof sign_mutations[0]; i++) {
        const mutation *m = &sign_mutations[i];
        fx_byte b = {m->offset, m->mask};
        fx_end e = fx_sign(&fx, "mutation", m->at, fx_flip, &b);
        check_end(&e, m);
        assert_int_equal(cs_mpc_peer_banned(fx.peer[m->party]), m->cls == CS_MPC_BAN ? m->check : CS_MPC_CHK_NONE);
        assert_int_equal(cs_mpc_pair_usable(fx.pair[m->party]), m->cls != CS_MPC_BAN);
        if (m->cls == CS_MPC_BAN) {
            assert_null(fx.pair[m->party]->alice);
            assert_null(fx.pair[m->party]->bob);
            (void)done(state);
            (void)fresh(state);
        }
    }
}

static const mutation setup_mutations[] = {
    {0, O1_NONCE, 1, 0, CS_MPC_ABORT, CS_MPC_CHK_POK},
    {1, O2_NONCE, 1, 0, CS_MPC_ABORT, CS_MPC_CHK_POK},
    {1, O2_A, 1, 0, CS_MPC_ABORT, CS_MPC_CHK_POK},
    {1, O2_A, 8, 0, CS_MPC_ABORT, CS_MPC_CHK_MALFORMED_POINT},
    {1, O2_POK + 64, 1, 0, CS_MPC_ABORT, CS_MPC_CHK_POK},
    {2, 1, 1, 1, CS_MPC_DROP, CS_MPC_CHK_HEADER},
    {2, O3_PSID, 1, 1, CS_MPC_ABORT, CS_MPC_CHK_PSID},
    {2, O3_SLOTS, 1, 0, CS_MPC_BAN, CS_MPC_CHK_PPRF},
    {2, O3_SLOTS, 8, 1, CS_MPC_ABORT, CS_MPC_CHK_MALFORMED_POINT},
    {2, O3_POK + 33 + 31, 1, 1, CS_MPC_ABORT, CS_MPC_CHK_POK},
    {3, O4_PSID, 1, 0, CS_MPC_ABORT, CS_MPC_CHK_PSID},
    {3, O4_SLOTS + 33, 1, 1, CS_MPC_BAN, CS_MPC_CHK_PPRF},
    {3, O4_PPRF + 96, 1, 0, CS_MPC_BAN, CS_MPC_CHK_PPRF},
    {3, O4_PPRF + 128, 1, 0, CS_MPC_BAN, CS_MPC_CHK_PPRF},
    {4, O5_PSID, 1, 1, CS_MPC_ABORT, CS_MPC_CHK_PSID},
    {4, O5_PPRF + 31 * 160 + 159, 1, 1, CS_MPC_BAN, CS_MPC_CHK_PPRF},
};

static void every_check_of_the_setup_fires_at_its_party_and_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof setup_mutations / sizeof setup_mutations[0]; i++) {
        const mutation *m = &setup_mutations[i];
        fx_byte b = {m->offset, m->mask};
        cs_mpc_pair *out[2];
        fx_end e = fx_setup(&fx, out, m->at, fx_flip, &b);
        check_end(&e, m);
        assert_int_equal(cs_mpc_pair_usable(fx.pair[m->party]),
                         m->cls != CS_MPC_BAN); /* the older set-up goes with it */
        if (m->cls == CS_MPC_BAN) {
            (void)done(state);
            (void)fresh(state);
        }
    }
}

static void copy_slot(uint8_t *msg, size_t *len, void *cookie)
{
    (void)len;
    (void)cookie;
    memcpy(msg + O3_SLOTS + 66 * 5, msg + O3_SLOTS + 66 * 5 + 33, 33);
}

static void set_ff(uint8_t *msg, size_t *len, void *cookie)
{
    const fx_byte *b = cookie;
    (void)len;
    memset(msg + b->offset, 0xff, 32);
}

/* slot_0 = -H_0(slot_1): Bob's P_0 is infinity */
static void cancel_slot(uint8_t *msg, size_t *len, void *cookie)
{
    const uint8_t *osid = cookie;
    cs_sha256 h;
    cs_pt p;
    (void)len;
    cs_th_begin(&h, CS_TAG_OT_H0);
    cs_th_put(&h, osid, 32);
    cs_th_put_u16(&h, 0);
    cs_th_put(&h, msg + 33, 33);
    cs_pt_h2p(&p, &h);
    cs_pt_neg(&p);
    cs_pt_ser(msg, &p);
}

static void malformed_scalars_and_equal_slots_abort(void **state)
{
    (void)state;
    static const struct {
        int at;
        size_t offset;
    } at[] = {{1, M2_ALICE + 32 * 700},
              {1, M2_ALICE + ALICE_ETA},
              {1, M2_ALICE + ALICE_PSI},
              {2, M3_ALICE},
              {2, M3_W},
              {2, M3_U},
              {3, M4_R},
              {3, M4_S}};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        fx_byte b = {at[i].offset, 0};
        fx_end e = fx_sign(&fx, "range", at[i].at, set_ff, &b);
        mutation want = {0, 0, 0, 1 - at[i].at % 2, CS_MPC_ABORT, CS_MPC_CHK_MALFORMED_SCALAR};
        check_end(&e, &want);
    }
    cs_mpc_pair *out[2];
    fx_byte s = {O2_POK + 33, 0};
    fx_end e = fx_setup(&fx, out, 1, set_ff, &s);
    check_end(&e, &(mutation){0, 0, 0, 0, CS_MPC_ABORT, CS_MPC_CHK_MALFORMED_SCALAR});
    e = fx_setup(&fx, out, 2, copy_slot, NULL);
    check_end(&e, &(mutation){0, 0, 0, 1, CS_MPC_ABORT, CS_MPC_CHK_SLOTS_EQUAL});
}

static void a_slot_that_cancels_its_hash_is_refused(void **state)
{
    (void)state;
    bot_sender bob;
    cs_drbg d;
    uint8_t seed[32] = {3}, osid[32] = {5}, a_pok[98], slots[SLOTS_LEN];
    static uint8_t keys[2 * LAMBDA][16];
    static bot_receiver alice;
    chk c = CS_MPC_CHK_NONE;
    size_t len = sizeof slots;
    cs_drbg_seed(&d, seed);
    assert_int_equal(cs_bot_sender_start(&bob, a_pok, a_pok + 33, &d, osid), CS_OK);
    assert_int_equal(cs_bot_receiver_run(&c, &alice, slots, &d, osid, a_pok), CS_OK);
    assert_int_equal(c, CS_MPC_CHK_NONE);
    assert_int_equal(cs_bot_sender_finish(keys, &bob, osid, slots), CS_MPC_CHK_NONE);
    cancel_slot(slots, &len, osid);
    assert_int_equal(cs_bot_sender_finish(keys, &bob, osid, slots), CS_MPC_CHK_SLOT_INFINITY);
}

static void a_nonce_sum_at_infinity_aborts_without_culprit(void **state)
{
    (void)state;
    cs_mpc_sign2 *s[2];
    sign2_work k = {0};
    alice_points p = {0};
    fx_sessions(&fx, s, "R", 0);
    k.s = s[0];
    p.r = s[0]->R_i;
    cs_pt_neg(&p.r);
    /* pk_i + p.pk = pk, with p.pk = pk - pk_i */
    s[0]->pk_i = s[0]->R_i;
    p.pk = s[0]->R_i;
    cs_pt_neg(&p.pk);
    assert_int_equal(cs_pt_add(&p.pk, &p.pk, &s[0]->pk), CS_OK);
    assert_int_equal(cs_sign2_close_points(&k, &p), CS_MPC_CHK_R);
    p.pk = s[0]->R_i;
    assert_int_equal(cs_sign2_close_points(&k, &p), CS_MPC_CHK_PK_SUM);
    cs_mpc_sign2_free(s[0]);
    cs_mpc_sign2_free(s[1]);
}

static void shares_of_different_keys_end_at_the_pk_sum(void **state)
{
    (void)state;
    cs_sc_add(&fx.key[1].s, &fx.key[1].s, &cs_sc_one);
    fx_end e = fx_sign(&fx, "pk sum", -1, NULL, NULL);
    check_end(&e, &(mutation){0, 0, 0, 0, CS_MPC_BAN, CS_MPC_CHK_PK_SUM});
}

/* ---------------------------------------------------------------- lengths, order, replay */

static void change_length(uint8_t *msg, size_t *len, void *cookie)
{
    (void)msg;
    *len = (size_t)((long)*len + *(const int *)cookie);
}

static void short_of_header(uint8_t *msg, size_t *len, void *cookie)
{
    (void)msg;
    *len = *(const size_t *)cookie;
}

static void wrong_lengths_abort_and_stubs_are_dropped(void **state)
{
    (void)state;
    for (int at = 0; at < 4; at++) {
        for (int d = -1; d <= 1; d += 2) {
            fx_end e = fx_sign(&fx, "length", at, change_length, &d);
            check_end(&e, &(mutation){0, 0, 0, 1 - at % 2, CS_MPC_ABORT, CS_MPC_CHK_LENGTH});
        }
        for (size_t n = 0; n < HEADER_LEN; n += 13) {
            fx_end e = fx_sign(&fx, "length", at, short_of_header, &n);
            check_end(&e, &(mutation){0, 0, 0, 1 - at % 2, CS_MPC_DROP, CS_MPC_CHK_HEADER});
        }
    }
    for (int at = 0; at < 5; at++) {
        cs_mpc_pair *out[2];
        int d = 1;
        fx_end e = fx_setup(&fx, out, at, change_length, &d);
        check_end(&e, &(mutation){0, 0, 0, 1 - at % 2, CS_MPC_ABORT, CS_MPC_CHK_LENGTH});
    }
}

static uint8_t m1[M1_END], m2[M2_END], m3[M3_END], m4[M4_END], other[M2_END];

static void expect_drop(cs_err err, const cs_mpc_verdict *v, cs_mpc_check check)
{
    assert_int_equal(err, CS_E_STATE);
    assert_int_equal(v->cls, CS_MPC_DROP);
    assert_int_equal(v->check, check);
}

static void a_state_takes_one_message_and_replays_are_dropped(void **state)
{
    (void)state;
    cs_mpc_sign2 *s[2], *t[2];
    cs_mpc_signature sig;
    cs_mpc_verdict v;
    fx_sessions(&fx, s, "one", 0);
    fx_sessions(&fx, t, "one", 0);
    assert_int_equal(cs_mpc_sign2_m1(s[0], m1, &v), CS_OK);
    expect_drop(cs_mpc_sign2_m1(s[0], other, &v), &v, CS_MPC_CHK_PHASE);
    expect_drop(cs_mpc_sign2_on_m1(s[0], cs_slice_of(m1, M1_END), other, &v), &v, CS_MPC_CHK_PHASE);
    assert_int_equal(cs_mpc_sign2_on_m1(s[1], cs_slice_of(m1, M1_END), m2, &v), CS_OK);
    expect_drop(cs_mpc_sign2_on_m1(s[1], cs_slice_of(m1, M1_END), other, &v), &v, CS_MPC_CHK_PHASE);
    /* the same M1 in another session of the same request */
    expect_drop(cs_mpc_sign2_on_m1(t[1], cs_slice_of(m1, M1_END), other, &v), &v, CS_MPC_CHK_CTR_REPLAY);
    /* an M2 made for one M1 does not fit another */
    assert_int_equal(cs_mpc_sign2_m1(t[0], other, &v), CS_OK);
    assert_int_equal(cs_mpc_sign2_on_m2(t[0], cs_slice_of(m2, M2_END), other, &v), CS_E_ABORT_SESSION);
    assert_int_equal(v.check, CS_MPC_CHK_SSID);
    assert_int_equal(cs_mpc_sign2_on_m2(s[0], cs_slice_of(m2, M2_END), m3, &v), CS_OK);
    expect_drop(cs_mpc_sign2_on_m2(s[0], cs_slice_of(m2, M2_END), other, &v), &v, CS_MPC_CHK_PHASE);
    assert_int_equal(cs_mpc_sign2_on_m3(s[1], cs_slice_of(m3, M3_END), m4, &sig, &v), CS_OK);
    expect_drop(cs_mpc_sign2_on_m3(s[1], cs_slice_of(m3, M3_END), other, &sig, &v), &v, CS_MPC_CHK_PHASE);
    assert_int_equal(cs_mpc_sign2_on_m4(s[0], cs_slice_of(m4, M4_END), &sig, &v), CS_OK);
    expect_drop(cs_mpc_sign2_on_m4(s[0], cs_slice_of(m4, M4_END), &sig, &v), &v, CS_MPC_CHK_PHASE);
    for (int i = 0; i < 2; i++) {
        cs_mpc_sign2_free(s[i]);
        cs_mpc_sign2_free(t[i]);
    }
}

static void other_requests_and_directions_are_dropped(void **state)
{
    (void)state;
    cs_mpc_verdict v;
    cs_mpc_sign2 *s[2], *t;
    uint8_t digest[32] = {1}, label[32] = {2};
    const uint32_t path[1] = {5};
    cs_mpc_key newer = fx.key[1];
    newer.epoch++;
    newer.kid32[0] ^= 1;
    uint8_t digest2[32] = {3}, label2[32] = {4};
    cs_mpc_request base = {.key = &fx.key[1], .peer = 1, .digest32 = digest, .label32 = label},
                   r[4] = {base, base, base, base};
    r[0].digest32 = digest2;
    r[1].label32 = label2;
    r[2].path = path;
    r[2].path_len = 1;
    r[3].key = &newer;
    cs_mpc_request first = base;
    first.key = &fx.key[0];
    first.peer = 2;
    assert_int_equal(cs_mpc_sign2_new(&s[0], fx.pair[0], &first), CS_OK);
    assert_int_equal(cs_mpc_sign2_m1(s[0], m1, &v), CS_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(cs_mpc_sign2_new(&t, fx.pair[1], &r[i]), CS_OK);
        expect_drop(cs_mpc_sign2_on_m1(t, cs_slice_of(m1, M1_END), m2, &v), &v, CS_MPC_CHK_HEADER);
        cs_mpc_sign2_free(t);
    }
    /* back to its sender, as if the peer had made it */
    assert_int_equal(cs_mpc_sign2_new(&t, fx.pair[0], &first), CS_OK);
    expect_drop(cs_mpc_sign2_on_m1(t, cs_slice_of(m1, M1_END), m2, &v), &v, CS_MPC_CHK_HEADER);
    /* with the header turned round: the extension is not of this direction */
    m1[3] = 2;
    m1[5] = 1;
    assert_int_equal(cs_mpc_sign2_on_m1(t, cs_slice_of(m1, M1_END), m2, &v), CS_E_ABORT_SESSION);
    assert_int_equal(v.check, CS_MPC_CHK_XID);
    cs_mpc_sign2_free(t);
    cs_mpc_sign2_free(s[0]);
}

static void a_new_m1_for_a_live_request_ends_the_old_session(void **state)
{
    (void)state;
    cs_mpc_verdict v;
    cs_mpc_sign2 *s[2], *t[2];
    cs_mpc_signature sig;
    fx_sessions(&fx, s, "again", 0);
    fx_sessions(&fx, t, "again", 0);
    assert_int_equal(cs_mpc_sign2_m1(s[0], m1, &v), CS_OK);
    assert_int_equal(cs_mpc_sign2_on_m1(s[1], cs_slice_of(m1, M1_END), m2, &v), CS_OK);
    assert_int_equal(cs_mpc_sign2_on_m2(s[0], cs_slice_of(m2, M2_END), m3, &v), CS_OK);
    assert_int_equal(cs_mpc_sign2_m1(t[0], m1, &v), CS_OK);
    assert_int_equal(cs_mpc_sign2_on_m1(t[1], cs_slice_of(m1, M1_END), m2, &v), CS_OK);
    assert_true(cs_ct_is_zero(&s[1]->x, sizeof s[1]->x) == 1);
    expect_drop(cs_mpc_sign2_on_m3(s[1], cs_slice_of(m3, M3_END), m4, &sig, &v), &v, CS_MPC_CHK_PHASE);
    for (int i = 0; i < 2; i++) {
        cs_mpc_sign2_free(s[i]);
        cs_mpc_sign2_free(t[i]);
    }
}

static void counters_are_taken_once_within_the_window(void **state)
{
    (void)state;
    cs_mpc_pair *p = fx.pair[0];
    static const uint64_t order[] = {1, 3, 2, 2048, 2049, 2050, 10000, 9000, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        assert_false(cs_mpc_ctr_seen(p, order[i]));
        assert_true(cs_mpc_ctr_add(p, order[i]));
        assert_true(cs_mpc_ctr_seen(p, order[i]));
        assert_false(cs_mpc_ctr_add(p, order[i]));
    }
    assert_true(cs_mpc_ctr_seen(p, 9001));                         /* below the window */
    assert_false(cs_mpc_ctr_seen(p, UINT64_MAX - CTR_WINDOW + 1)); /* its last place */
    assert_true(cs_mpc_ctr_seen(p, UINT64_MAX - CTR_WINDOW));
}

/* ---------------------------------------------------------------- bans */

static void a_ban_takes_all_sessions_and_setups_of_the_identity(void **state)
{
    (void)state;
    cs_mpc_pair *more[2];
    cs_mpc_sign2 *a[2], *b[2], *none;
    cs_mpc_verdict v;
    fixture second = fx;
    cs_mpc_request r = {.key = &fx.key[1], .peer = 1, .digest32 = m4, .label32 = m4};
    assert_int_equal(fx_setup(&fx, more, -1, NULL, NULL).err, CS_OK);
    second.pair[0] = more[0];
    second.pair[1] = more[1];
    fx_sessions(&fx, a, "first", 0);
    fx_sessions(&second, b, "second", 0);
    assert_int_equal(cs_mpc_sign2_m1(a[0], m1, &v), CS_OK);
    assert_int_equal(cs_mpc_sign2_m1(b[0], other, &v), CS_OK);
    m1[M1_BOB + BOB_HT] ^= 1;
    assert_int_equal(cs_mpc_sign2_on_m1(a[1], cs_slice_of(m1, M1_END), m2, &v), CS_E_PEER_BANNED);
    assert_int_equal(v.check, CS_MPC_CHK_OT_CHECK);
    /* the session that ran beside it, in another set-up */
    expect_drop(cs_mpc_sign2_on_m1(b[1], cs_slice_of(other, M1_END), m2, &v), &v, CS_MPC_CHK_PHASE);
    assert_true(cs_ct_is_zero(&b[1]->x, sizeof b[1]->x) == 1);
    assert_false(cs_mpc_pair_usable(fx.pair[1]) || cs_mpc_pair_usable(more[1]));
    assert_null(more[1]->alice);
    assert_int_equal(cs_mpc_sign2_new(&none, more[1], &r), CS_E_PEER_BANNED);
    fx_end e = fx_setup(&fx, more, -1, NULL, NULL);
    assert_int_equal(e.err, CS_E_PEER_BANNED);
    /* lifting the ban brings nothing back, but allows a new set-up */
    cs_mpc_peer_unban(fx.peer[1]);
    assert_int_equal(cs_mpc_sign2_new(&none, second.pair[1], &r), CS_E_PEER_BANNED);
    for (int i = 0; i < 2; i++) {
        cs_mpc_sign2_free(a[i]);
        cs_mpc_sign2_free(b[i]);
        cs_mpc_pair_free(second.pair[i]);
        cs_mpc_pair_free(fx.pair[i]);
        fx.pair[i] = NULL;
    }
    assert_int_equal(fx_setup(&fx, fx.pair, -1, NULL, NULL).err, CS_OK);
    assert_int_equal(fx_sign(&fx, "after", -1, NULL, NULL).err, CS_OK);
}

static void a_step_under_way_sends_nothing_when_the_ban_falls(void **state)
{
    (void)state;
    cs_mpc_sign2 *s[2];
    fx_sessions(&fx, s, "under way", 0);
    cs_mpc_pair *p = cs_sign2_enter(s[1]);
    assert_non_null(p);
    cs_mpc_peer_ban(fx.peer[1], CS_MPC_CHK_MU);
    assert_non_null(p->alice); /* still used by the step */
    assert_false(cs_sign2_leave(s[1], p, false));
    assert_null(p->alice);
    assert_true(cs_ct_is_zero(&s[1]->x, sizeof s[1]->x) == 1);
    cs_mpc_sign2_free(s[0]);
    cs_mpc_sign2_free(s[1]);
}

typedef struct worker {
    pthread_t thread;
    unsigned no, done;
    cs_err last;
    uint8_t in[M2_END], out[M2_END];
} worker;

static unsigned finished; /* signatures of all workers so far */

/* one signature after another until the ban falls */
static void *sign_on(void *cookie)
{
    worker *wk = cookie;
    for (wk->last = CS_OK; wk->last == CS_OK;) {
        cs_mpc_sign2 *s[2] = {NULL, NULL};
        cs_mpc_signature sig;
        uint8_t label[32] = {(uint8_t)wk->no, (uint8_t)wk->done};
        for (int i = 0; i < 2 && wk->last == CS_OK; i++) {
            cs_mpc_request r = {.key = &fx.key[i], .peer = (uint16_t)(2 - i), .digest32 = label, .label32 = label};
            wk->last = cs_mpc_sign2_new(&s[i], fx.pair[i], &r);
        }
        if (wk->last == CS_OK) {
            wk->last = cs_mpc_sign2_m1(s[0], wk->in, NULL);
        }
        for (unsigned i = 0; i < 4 && wk->last == CS_OK; i++) {
            wk->last = fx_step(s[1 - i % 2], i, cs_slice_of(wk->in, fx_len[i]), wk->out, &sig, NULL);
            memcpy(wk->in, wk->out, sizeof wk->in);
        }
        cs_mpc_sign2_free(s[0]);
        cs_mpc_sign2_free(s[1]);
        wk->done++;
        __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void a_ban_stops_the_sessions_of_all_threads(void **state)
{
    (void)state;
    static worker wk[4];
    finished = 0;
    for (unsigned i = 0; i < 4; i++) {
        wk[i].no = i;
        assert_int_equal(pthread_create(&wk[i].thread, NULL, sign_on, &wk[i]), 0);
    }
    while (__atomic_load_n(&finished, __ATOMIC_SEQ_CST) < 20) {
        sched_yield();
    }
    cs_mpc_peer_ban(fx.peer[1], CS_MPC_CHK_MU);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(wk[i].thread, NULL), 0);
        assert_true(wk[i].last == CS_E_PEER_BANNED || wk[i].last == CS_E_STATE || wk[i].last == CS_E_ABORT_SESSION);
    }
    assert_false(cs_mpc_pair_usable(fx.pair[1]));
    assert_null(fx.pair[1]->alice);
    assert_int_equal(cs_mpc_pair_live(fx.pair[0]) + cs_mpc_pair_live(fx.pair[1]), 0);
}

static void a_freed_pair_ends_its_sessions(void **state)
{
    (void)state;
    cs_mpc_sign2 *s[2];
    cs_mpc_verdict v;
    fx_sessions(&fx, s, "freed", 0);
    cs_mpc_pair_free(fx.pair[0]);
    fx.pair[0] = NULL;
    expect_drop(cs_mpc_sign2_m1(s[0], m1, &v), &v, CS_MPC_CHK_PHASE);
    cs_mpc_sign2_free(s[0]);
    cs_mpc_sign2_free(s[1]);
}

/* ---------------------------------------------------------------- our own failures */

static void without_entropy_nothing_starts(void **state)
{
    (void)state;
    cs_mpc_sign2 *s = NULL;
    cs_mpc_setup *o = NULL;
    cs_mpc_key k[2];
    uint8_t z[32] = {1};
    cs_mpc_request r = {.key = &fx.key[0], .peer = 2, .digest32 = z, .label32 = z};
    cs_mpc_setup_args a = {.peer = fx.peer[0], .role = CS_MPC_INITIATOR, .chan32 = z, .secret32 = z};
    cs_random_fail_for_tests(1);
    assert_int_equal(cs_mpc_sign2_new(&s, fx.pair[0], &r), CS_E_ENTROPY);
    cs_random_fail_for_tests(1);
    assert_int_equal(cs_mpc_setup_new(&o, &a), CS_E_ENTROPY);
    cs_random_fail_for_tests(1);
    assert_int_equal(cs_mpc_deal2(k, &fx.parties, NULL, NULL), CS_E_ENTROPY);
    assert_null(s);
    assert_null(o);
    assert_int_equal(cs_mpc_pair_live(fx.pair[0]), 0);
}

static void a_full_arena_ends_the_session_cleanly(void **state)
{
    (void)state;
    cs_mpc_sign2 *s[2];
    cs_mpc_verdict v;
    void *block[64];
    size_t n = 0;
    fx_sessions(&fx, s, "memory", 0);
    for (size_t len = (size_t)4 << 20; len > 4096 && n < 64; len /= 2) {
        while (n < 64 && (block[n] = cs_secret_alloc(len)) != NULL) {
            n++;
        }
    }
    assert_int_equal(cs_mpc_sign2_m1(s[0], m1, &v), CS_E_NO_MEMORY);
    assert_true(cs_ct_is_zero(&s[0]->x, sizeof s[0]->x) == 1);
    while (n > 0) {
        cs_secret_free(block[--n]);
    }
    cs_mpc_sign2_free(s[0]);
    cs_mpc_sign2_free(s[1]);
}

static void pairs_of_other_identities_are_refused(void **state)
{
    (void)state;
    cs_mpc_sign2 *s = NULL;
    cs_mpc_peer *p = NULL;
    uint8_t z[32] = {1};
    cs_mpc_request r = {.key = &fx.key[0], .peer = 2, .digest32 = z, .label32 = z};
    assert_int_equal(cs_mpc_sign2_new(&s, fx.pair[1], &r), CS_E_KEY_MISMATCH);
    r.peer = 1;
    assert_int_equal(cs_mpc_sign2_new(&s, fx.pair[0], &r), CS_E_RANGE);
    r.peer = 3;
    assert_int_equal(cs_mpc_sign2_new(&s, fx.pair[0], &r), CS_E_RANGE);
    assert_int_equal(cs_mpc_peer_new(&p, z, z), CS_E_FORMAT);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(both_parties_get_the_same_verified_signature),
        T(portable_code_signs_too),
        T(imported_secret_is_the_key),
        T(shares_out_of_range_are_refused),
        T(hardened_indices_and_long_paths_are_refused),
        T(every_check_of_signing_fires_at_its_party_and_class),
        T(every_check_of_the_setup_fires_at_its_party_and_class),
        T(malformed_scalars_and_equal_slots_abort),
        T(a_slot_that_cancels_its_hash_is_refused),
        T(a_nonce_sum_at_infinity_aborts_without_culprit),
        T(shares_of_different_keys_end_at_the_pk_sum),
        T(wrong_lengths_abort_and_stubs_are_dropped),
        T(a_state_takes_one_message_and_replays_are_dropped),
        T(other_requests_and_directions_are_dropped),
        T(a_new_m1_for_a_live_request_ends_the_old_session),
        T(counters_are_taken_once_within_the_window),
        T(a_ban_takes_all_sessions_and_setups_of_the_identity),
        T(a_step_under_way_sends_nothing_when_the_ban_falls),
        T(a_ban_stops_the_sessions_of_all_threads),
        T(a_freed_pair_ends_its_sessions),
        T(without_entropy_nothing_starts),
        T(a_full_arena_ends_the_session_cleanly),
        T(pairs_of_other_identities_are_refused),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
