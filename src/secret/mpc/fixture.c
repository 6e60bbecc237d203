#include "secret/mpc/fixture.h"

#include <stdlib.h>
#include <string.h>

#include "secret/rng.h"

const size_t fx_len[4] = {M1_END, M2_END, M3_END, M4_END};

static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

void fx_flip(uint8_t *msg, size_t *len, void *cookie)
{
    const fx_byte *b = cookie;
    must(b->offset < *len);
    msg[b->offset] ^= b->mask;
}

void fx_init(fixture *f)
{
    memset(f, 0, sizeof *f);
    f->parties.n = f->parties.t = 2;
    must(cs_random(f->parties.idkey, sizeof f->parties.idkey) == CS_OK);
    must(cs_mpc_deal2(f->key, &f->parties, NULL, NULL) == CS_OK);
    for (int i = 0; i < 2; i++) {
        must(cs_mpc_peer_new(&f->peer[i], f->parties.idkey[i], f->parties.idkey[1 - i]) == CS_OK);
    }
    must(fx_setup(f, f->pair, -1, NULL, NULL).err == CS_OK);
}

void fx_cleanup(fixture *f)
{
    for (int i = 0; i < 2; i++) {
        cs_mpc_pair_free(f->pair[i]);
        cs_mpc_peer_free(f->peer[i]);
        cs_mpc_key_wipe(&f->key[i]);
    }
}

fx_end fx_setup(fixture *f, cs_mpc_pair *out[2], int at, fx_tamper *fn, void *cookie)
{
    static uint8_t mem[CS_MPC_SETUP_MAX_LEN], msg[CS_MPC_SETUP_MAX_LEN + 1];
    uint8_t chan[32], secret[32] = {7};
    fx_end e = {.party = -1};
    cs_mpc_setup *s[2] = {NULL, NULL};
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    must(cs_random(chan, sizeof chan) == CS_OK);
    for (int i = 0; i < 2 && e.err == CS_OK; i++) {
        cs_mpc_setup_args a = {.peer = f->peer[i],
                               .role = i == 0 ? CS_MPC_INITIATOR : CS_MPC_RESPONDER,
                               .chan32 = chan,
                               .secret32 = secret};
        e.err = cs_mpc_setup_new(&s[i], &a);
        e.party = e.err != CS_OK ? i : -1;
    }
    if (e.err == CS_OK) {
        e.err = cs_mpc_setup_start(s[0], &b, &e.v);
    }
    for (int i = 0; i < 5 && e.err == CS_OK; i++) {
        int to = 1 - i % 2;
        size_t len = b.len;
        memcpy(msg, mem, len);
        if (i == at) {
            fn(msg, &len, cookie);
        }
        b.len = 0;
        e.err = cs_mpc_setup_on(s[to], cs_slice_of(msg, len), &b, &e.v);
        if (e.err != CS_OK) {
            e.party = to;
            must(b.len == 0 && cs_mpc_setup_take(s[to]) == NULL);
        }
    }
    for (int i = 0; i < 2; i++) {
        if (e.err == CS_OK) {
            out[i] = cs_mpc_setup_take(s[i]);
            must(out[i] != NULL);
        }
        cs_mpc_setup_free(s[i]);
    }
    return e;
}

void fx_sessions(fixture *f, cs_mpc_sign2 *s[2], const char *label, unsigned first)
{
    uint8_t digest[32], label32[32];
    cs_th(digest, CS_TAG_T, label, strlen(label));
    cs_th(label32, CS_TAG_U, label, strlen(label));
    for (unsigned i = 0; i < 2; i++) {
        unsigned p = i == 0 ? first : 1 - first;
        cs_mpc_request r = {.key = &f->key[p], .peer = (uint16_t)(2 - p), .digest32 = digest, .label32 = label32};
        must(cs_mpc_sign2_new(&s[p], f->pair[p], &r) == CS_OK);
    }
}

cs_err fx_step(cs_mpc_sign2 *s, unsigned i, cs_slice in, uint8_t *out, cs_mpc_signature *sig, cs_mpc_verdict *v)
{
    switch (i) {
    case 0:
        return cs_mpc_sign2_on_m1(s, in, out, v);
    case 1:
        return cs_mpc_sign2_on_m2(s, in, out, v);
    case 2:
        return cs_mpc_sign2_on_m3(s, in, out, sig, v);
    default:
        return cs_mpc_sign2_on_m4(s, in, sig, v);
    }
}

fx_end fx_sign(fixture *f, const char *label, int at, fx_tamper *fn, void *cookie)
{
    static uint8_t sent[M2_END], msg[M2_END + 1], out[M2_END];
    cs_mpc_sign2 *s[2];
    fx_end e = {.party = -1};
    fx_sessions(f, s, label, 0);
    must(cs_mpc_sign2_m1(s[0], sent, &e.v) == CS_OK);
    for (unsigned i = 0; i < 4 && e.err == CS_OK; i++) {
        unsigned to = 1 - i % 2;
        size_t len = fx_len[i], out_len = i < 3 ? fx_len[i + 1] : 0;
        memcpy(msg, sent, len);
        if ((int)i == at) {
            fn(msg, &len, cookie);
        }
        memset(out, 0, sizeof out);
        e.err = fx_step(s[to], i, cs_slice_of(msg, len), out, &e.sig[to], &e.v);
        if (e.err != CS_OK) {
            cs_mpc_verdict again;
            e.party = (int)to;
            must(cs_ct_is_zero(out, sizeof out) == 1);
            /* a DROP goes on with the true message; anything else is over and wiped */
            cs_err err = fx_step(s[to], i, cs_slice_of(sent, fx_len[i]), out, &e.sig[to], &again);
            must(e.v.cls == CS_MPC_DROP ? err == CS_OK : err == CS_E_STATE && again.check == CS_MPC_CHK_PHASE);
            must(e.v.cls == CS_MPC_DROP || cs_ct_is_zero(&s[to]->x, sizeof s[to]->x) == 1);
        }
        memcpy(sent, out, out_len);
    }
    cs_mpc_sign2_free(s[0]);
    cs_mpc_sign2_free(s[1]);
    return e;
}
