/* OT set-up of a pair, five messages [mpc.md 2.3, 2.4; mpc-wire.md 4, 6]. Both parties are Alice in one direction, Bob in the other. */
#include <string.h>

#include "secret/mpc/mpc_int.h"

typedef enum setup_phase {
    SETUP_NEW,
    SETUP_SENT1,
    SETUP_SENT2,
    SETUP_SENT3,
    SETUP_SENT4,
    SETUP_DONE,
    SETUP_OVER
} setup_phase;

struct cs_mpc_setup {
    cs_mpc_role role;
    setup_phase phase;
    cs_mpc_peer *peer;
    cs_mpc_pair *pair;
    uint8_t chan[32], nonce[32];
    /* secret */
    cs_drbg drbg;
    bot_sender bob;
    bot_receiver alice;
    uint8_t keys[2 * LAMBDA][16];
};

static unsigned other(cs_mpc_role r)
{
    return 3u - (unsigned)r;
}

cs_err cs_mpc_setup_new(cs_mpc_setup **out, const cs_mpc_setup_args *args)
{
    cs_err err = cs_pt_init();
    cs_mpc_setup *s = err == CS_OK ? cs_secret_alloc(sizeof *s) : NULL;
    if (err == CS_OK && s == NULL) {
        err = CS_E_NO_MEMORY;
    }
    if (err == CS_OK && args->unsafe_seed32 != NULL) {
        cs_drbg_seed(&s->drbg, args->unsafe_seed32);
    } else if (err == CS_OK) {
        err = cs_drbg_fresh(&s->drbg, args->secret32, args->chan32);
    }
    if (err == CS_OK) {
        err = cs_mpc_pair_new(&s->pair, args->peer);
    }
    if (err != CS_OK) {
        cs_secret_free(s);
        return err;
    }
    s->role = args->role;
    s->peer = args->peer;
    memcpy(s->chan, args->chan32, 32);
    cs_drbg_draw(&s->drbg, s->nonce, sizeof s->nonce, "ot/nonce", -1);
    CS_CT_PUBLIC(s->nonce, sizeof s->nonce, "the nonce is sent");
    *out = s;
    return CS_OK;
}

/* Everything goes but the shell; the pair with its OT state too when it was not handed out. */
static void setup_wipe(cs_mpc_setup *s)
{
    cs_mpc_pair_free(s->pair);
    s->pair = NULL;
    s->phase = SETUP_OVER;
    cs_wipe(&s->drbg, sizeof s->drbg);
    cs_wipe(&s->bob, sizeof s->bob);
    cs_wipe(&s->alice, sizeof s->alice);
    cs_wipe(s->keys, sizeof s->keys);
}

void cs_mpc_setup_free(cs_mpc_setup *s)
{
    if (s != NULL) {
        setup_wipe(s);
        cs_secret_free(s);
    }
}

bool cs_mpc_setup_done(const cs_mpc_setup *s)
{
    return s->phase == SETUP_DONE;
}

cs_mpc_pair *cs_mpc_setup_take(cs_mpc_setup *s)
{
    cs_mpc_pair *p = NULL;
    if (s->phase == SETUP_DONE && cs_mpc_pair_usable(s->pair)) {
        p = s->pair; /* transferred */
        s->pair = NULL;
        setup_wipe(s);
    }
    return p;
}

/* ---------------------------------------------------------------- halves of the steps */

/* a || pok at out */
static cs_err bob_start(cs_mpc_setup *s, uint8_t *out)
{
    return cs_bot_sender_start(&s->bob, out, out + 33, &s->drbg, s->pair->bob->osid);
}

static cs_err alice_slots(cs_mpc_setup *s, chk *c, uint8_t *out_slots, const uint8_t *a_pok)
{
    return cs_bot_receiver_run(c, &s->alice, out_slots, &s->drbg, s->pair->alice->osid, a_pok);
}

static chk bob_finish(cs_mpc_setup *s, uint8_t *out_pprf, const uint8_t *slots)
{
    ot_half *bob = s->pair->bob;
    CHK(cs_bot_sender_finish(s->keys, &s->bob, bob->osid, slots));
    for (unsigned j = 0; j < TREES; j++) {
        cs_pprf_build(bob->leaves + TREE_LEN * j, out_pprf + 160 * j, bob->osid, j,
                      (const uint8_t(*)[16])(s->keys + 8 * j));
    }
    cs_mpc_gadget(bob->gadget, bob->osid);
    cs_wipe(s->keys, sizeof s->keys);
    cs_wipe(&s->bob, sizeof s->bob);
    return CS_MPC_CHK_NONE;
}

static chk alice_finish(cs_mpc_setup *s, const uint8_t *pprf)
{
    ot_half *alice = s->pair->alice;
    for (unsigned j = 0; j < TREES; j++) {
        uint8_t y = 0;
        unsigned choice = s->alice.choice[j >> 1] >> (4 * (j & 1)) & 15;
        CHK(cs_pprf_open(alice->leaves + TREE_LEN * j, &y, alice->osid, j, choice,
                         (const uint8_t(*)[16])(s->alice.keys + 4 * j), pprf + 160 * j));
        alice->delta[j >> 1] |= (uint8_t)(y << (4 * (j & 1)));
    }
    cs_mpc_gadget(alice->gadget, alice->osid);
    cs_wipe(&s->alice, sizeof s->alice);
    return CS_MPC_CHK_NONE;
}

/* ---------------------------------------------------------------- steps: message m, answer out (or none) */

typedef struct setup_step {
    cs_mpc_role role;
    setup_phase phase, next;
    unsigned type_in, type_out;
    size_t len_in, len_out;
    bool has_psid;
    chk (*run)(cs_mpc_setup *s, uint8_t *out, const uint8_t *m, cs_err *err);
} setup_step;

static chk on_o1(cs_mpc_setup *s, uint8_t *out, const uint8_t *m, cs_err *err)
{
    cs_mpc_pair_ids(s->pair, s->role, s->chan, s->nonce, m + O1_NONCE);
    memcpy(out + O2_NONCE, s->nonce, 32);
    *err = bob_start(s, out + O2_A);
    return CS_MPC_CHK_NONE;
}

static chk on_o2(cs_mpc_setup *s, uint8_t *out, const uint8_t *m, cs_err *err)
{
    chk c = CS_MPC_CHK_NONE;
    cs_mpc_pair_ids(s->pair, s->role, s->chan, s->nonce, m + O2_NONCE);
    memcpy(out + O3_PSID, s->pair->psid, 32);
    *err = alice_slots(s, &c, out + O3_SLOTS, m + O2_A);
    if (*err == CS_OK && c == CS_MPC_CHK_NONE) {
        *err = bob_start(s, out + O3_A);
    }
    cs_wipe(&s->drbg, sizeof s->drbg); /* all is drawn */
    return c;
}

static chk on_o3(cs_mpc_setup *s, uint8_t *out, const uint8_t *m, cs_err *err)
{
    chk c = CS_MPC_CHK_NONE;
    memcpy(out + O4_PSID, s->pair->psid, 32);
    CHK(bob_finish(s, out + O4_PPRF, m + O3_SLOTS));
    *err = alice_slots(s, &c, out + O4_SLOTS, m + O3_A);
    cs_wipe(&s->drbg, sizeof s->drbg);
    return c;
}

static chk on_o4(cs_mpc_setup *s, uint8_t *out, const uint8_t *m, cs_err *err)
{
    (void)err;
    memcpy(out + O5_PSID, s->pair->psid, 32);
    CHK(bob_finish(s, out + O5_PPRF, m + O4_SLOTS));
    return alice_finish(s, m + O4_PPRF);
}

static chk on_o5(cs_mpc_setup *s, uint8_t *out, const uint8_t *m, cs_err *err)
{
    (void)out;
    (void)err;
    return alice_finish(s, m + O5_PPRF);
}

static const setup_step steps[] = {
    {CS_MPC_RESPONDER, SETUP_NEW, SETUP_SENT2, TYPE_O1, TYPE_O2, O1_END, O2_END, false, on_o1},
    {CS_MPC_INITIATOR, SETUP_SENT1, SETUP_SENT3, TYPE_O2, TYPE_O3, O2_END, O3_END, false, on_o2},
    {CS_MPC_RESPONDER, SETUP_SENT2, SETUP_SENT4, TYPE_O3, TYPE_O4, O3_END, O4_END, true, on_o3},
    {CS_MPC_INITIATOR, SETUP_SENT3, SETUP_DONE, TYPE_O4, TYPE_O5, O4_END, O5_END, true, on_o4},
    {CS_MPC_RESPONDER, SETUP_SENT4, SETUP_DONE, TYPE_O5, 0, O5_END, 0, true, on_o5},
};

cs_err cs_mpc_setup_start(cs_mpc_setup *s, cs_buf *out, cs_mpc_verdict *v)
{
    uint8_t *o = NULL;
    (void)cs_mpc_verdict_set(v, CS_MPC_FINE, CS_MPC_CHK_NONE, 0);
    if (s->role != CS_MPC_INITIATOR || s->phase != SETUP_NEW) {
        return cs_mpc_verdict_set(v, CS_MPC_DROP, CS_MPC_CHK_PHASE, other(s->role));
    }
    CS_TRY(cs_put_space(out, &o, O1_END));
    cs_mpc_header(o, TYPE_O1, s->role, other(s->role), s->chan);
    memcpy(o + O1_NONCE, s->nonce, 32);
    s->phase = SETUP_SENT1;
    return CS_OK;
}

static const setup_step *due(const cs_mpc_setup *s)
{
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i].role == s->role && steps[i].phase == s->phase) {
            return &steps[i];
        }
    }
    return NULL;
}

/* The checks that all messages share; DROP ones come first and change nothing. */
static chk common_checks(const cs_mpc_setup *s, const setup_step *st, cs_slice m)
{
    if (st == NULL) {
        return CS_MPC_CHK_PHASE;
    }
    CHK(cs_mpc_header_check(m, st->type_in, other(s->role), s->role, s->chan, st->len_in));
    if (st->has_psid && !cs_slice_eq(cs_slice_of(m.p + HEADER_LEN, 32), cs_slice_of(s->pair->psid, 32))) {
        return CS_MPC_CHK_PSID;
    }
    return CS_MPC_CHK_NONE;
}

static cs_err fail(cs_mpc_setup *s, cs_mpc_verdict *v, chk c, cs_mpc_class cls)
{
    if (cls != CS_MPC_DROP) {
        setup_wipe(s);
    }
    if (cls == CS_MPC_BAN) {
        cs_mpc_pair_ban(s->peer, c);
    }
    return cs_mpc_verdict_set(v, cls, c, other(s->role));
}

static void unput(cs_buf *out, size_t len)
{
    cs_wipe(out->p + out->len - len, len);
    out->len -= len;
}

cs_err cs_mpc_setup_on(cs_mpc_setup *s, cs_slice msg, cs_buf *out, cs_mpc_verdict *v)
{
    const setup_step *st = due(s);
    uint8_t *o = NULL;
    cs_err err = CS_OK;
    (void)cs_mpc_verdict_set(v, CS_MPC_FINE, CS_MPC_CHK_NONE, 0);
    chk c = common_checks(s, st, msg);
    if (c != CS_MPC_CHK_NONE) {
        return fail(s, v, c, cs_mpc_check_class(c));
    }
    cs_mpc_pair *pair = s->pair;
    if (!cs_mpc_pair_enter(pair)) {
        return fail(s, v, CS_MPC_CHK_BANNED, CS_MPC_DROP);
    }
    s->phase = SETUP_OVER; /* left before the answer is made */
    err = st->len_out > 0 ? cs_put_space(out, &o, st->len_out) : CS_OK;
    if (err == CS_OK) {
        c = st->run(s, o, msg.p, &err);
    }
    if (c == CS_MPC_CHK_NONE && err == CS_OK) {
        s->phase = st->next;
        if (o != NULL) {
            cs_mpc_header(o, st->type_out, s->role, other(s->role), s->chan);
        }
    }
    bool clean = cs_mpc_pair_leave(pair);
    if (c == CS_MPC_CHK_NONE && err == CS_OK && clean) {
        return CS_OK;
    }
    if (o != NULL) {
        unput(out, st->len_out);
    }
    if (c != CS_MPC_CHK_NONE) {
        return fail(s, v, c, cs_mpc_check_class(c));
    }
    if (err == CS_OK) {
        return fail(s, v, CS_MPC_CHK_BANNED, CS_MPC_ABORT);
    }
    setup_wipe(s);
    return err;
}
