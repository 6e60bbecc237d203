/* Keys: checks, kid, dealer, derivation, request id, zero shares [mpc.md 2.1, 2.6, 2.8; mpc-wire.md 3]. */
#include <sodium.h>
#include <string.h>

#include "secret/mpc/mpc_int.h"

cs_err cs_mpc_parties_check(const cs_mpc_parties *p)
{
    if (p->t < 2 || p->t > p->n || p->n > CS_MPC_MAX_PARTIES) {
        return CS_E_SHARES_ACCOUNT;
    }
    for (unsigned i = 0; i < p->n; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (cs_ct_eq(p->idkey[i], p->idkey[j], 32) == 1) {
                return CS_E_SHARES_ACCOUNT;
            }
        }
    }
    return CS_OK;
}

static void kid_of(cs_mpc_key *k)
{
    cs_sha256 s;
    cs_th_begin(&s, CS_TAG_KID);
    cs_th_put(&s, k->pk33, 33);
    cs_th_put(&s, k->cc32, 32);
    cs_th_put_u16(&s, k->parties->n);
    cs_th_put_u16(&s, k->parties->t);
    cs_th_put_u32(&s, k->epoch);
    for (unsigned i = 1; i <= k->parties->n; i++) {
        cs_th_put_u16(&s, (uint16_t)i);
        cs_th_put(&s, k->parties->idkey[i - 1], 32);
    }
    cs_th_end(&s, k->kid32);
}

cs_err cs_mpc_key_init(cs_mpc_key *k, const cs_mpc_key_args *a)
{
    cs_pt pk;
    size_t more = a->parties->n - 2u;
    memset(k, 0, sizeof *k);
    CS_TRY(cs_pt_init());
    CS_TRY(cs_mpc_parties_check(a->parties));
    unsigned s_ok = cs_sc_from_be_check(&k->s, a->s32) & (cs_sc_is_zero(&k->s) ^ 1);
    CS_CT_PUBLIC(&s_ok, sizeof s_ok, "a share out of range is refused as a whole");
    if (s_ok != 1 || a->index < 1 || a->index > a->parties->n || cs_pt_parse(&pk, a->pk33) != CS_OK) {
        cs_mpc_key_wipe(k);
        return CS_E_SHARES_ACCOUNT;
    }
    if (more > 0 && (k->zero_more = cs_secret_alloc(32 * more)) == NULL) {
        cs_mpc_key_wipe(k);
        return CS_E_NO_MEMORY;
    }
    k->parties = a->parties;
    k->epoch = a->epoch;
    k->index = a->index;
    memcpy(k->pk33, a->pk33, 33);
    memcpy(k->cc32, a->cc32, 32);
    memcpy(k->zero1.b, a->zero, 32);
    if (more > 0) {
        memcpy(k->zero_more, a->zero + 32, 32 * more);
    }
    kid_of(k);
    return CS_OK;
}

const cs_secret32 *cs_mpc_key_zero(const cs_mpc_key *k, uint16_t j)
{
    unsigned at = j < k->index ? j - 1u : j - 2u; /* place among the others, ascending */
    return at == 0 ? &k->zero1 : &k->zero_more[at - 1];
}

void cs_mpc_key_wipe(cs_mpc_key *k)
{
    cs_secret_free(k->zero_more);
    cs_wipe(k, sizeof *k);
}

/* ---------------------------------------------------------------- dealer */

/* f(x), coefs[0] the secret */
static void poly(cs_sc *out, const cs_sc *coefs, unsigned t, unsigned x)
{
    CS_SECRET(cs_sc) acc = {{0}};
    cs_sc xs;
    cs_sc_from_u64(&xs, x);
    for (unsigned k = t; k-- > 0;) {
        cs_sc_mul(&acc, &acc, &xs);
        cs_sc_add(&acc, &acc, &coefs[k]);
    }
    *out = acc;
}

typedef struct dealer {
    cs_drbg drbg;
    cs_sc coefs[CS_MPC_MAX_PARTIES];
    cs_sc share;
    uint8_t s32[32];
    uint8_t zero[32 * CS_MPC_MAX_PARTIES];
} dealer;
CS_SECRET_DECLARE(dealer)

static cs_err dealer_secret(dealer *d, const uint8_t *import32)
{
    if (import32 == NULL) {
        cs_drbg_scalar(&d->drbg, &d->coefs[0], "dealer/sk", -1);
        return CS_OK;
    }
    unsigned ok = cs_sc_from_be_check(&d->coefs[0], import32) & (cs_sc_is_zero(&d->coefs[0]) ^ 1);
    CS_CT_PUBLIC(&ok, sizeof ok, "an import out of range is refused as a whole");
    return ok == 1 ? CS_OK : CS_E_RANGE;
}

/* seeds of party i with all others, ascending; label dealer/zero/I/J with I < J */
static void dealer_zero(dealer *d, unsigned n, unsigned i)
{
    uint8_t *at = d->zero;
    for (unsigned j = 1; j <= n; j++) {
        if (j == i) {
            continue;
        }
        char label[32] = "dealer/zero/";
        size_t len = strlen(label);
        unsigned lo = i < j ? i : j, hi = i < j ? j : i;
        if (lo >= 10) {
            label[len++] = (char)('0' + lo / 10);
        }
        label[len++] = (char)('0' + lo % 10);
        label[len] = 0;
        cs_drbg_draw(&d->drbg, at, 32, label, (int)hi);
        at += 32;
    }
}

cs_err cs_mpc_deal(cs_mpc_key *out, const cs_mpc_parties *parties, const uint8_t *import32,
                   const uint8_t *unsafe_seed32)
{
    static const uint8_t zeros[32];
    CS_SECRET(dealer) d;
    uint8_t cc[32], pk33[33];
    cs_pt pk;
    memset(&d, 0, sizeof d);
    CS_TRY(cs_pt_init());
    CS_TRY(cs_mpc_parties_check(parties));
    memset(out, 0, parties->n * sizeof *out);
    if (unsafe_seed32 != NULL) {
        cs_drbg_seed(&d.drbg, unsafe_seed32);
    } else {
        CS_TRY(cs_drbg_fresh(&d.drbg, import32 != NULL ? import32 : zeros, zeros));
    }
    CS_TRY(dealer_secret(&d, import32));
    for (unsigned k = 1; k < parties->t; k++) {
        cs_drbg_scalar(&d.drbg, &d.coefs[k], "dealer/coef", (int)k);
    }
    cs_drbg_draw(&d.drbg, cc, sizeof cc, "dealer/cc", -1);
    CS_CT_PUBLIC(cc, sizeof cc, "the chain code is public key material");
    CS_TRY(cs_pt_mulg(&pk, &d.coefs[0]));
    CS_CT_PUBLIC(&pk, sizeof pk, "the public key");
    cs_pt_ser(pk33, &pk);
    cs_err err = CS_OK;
    for (unsigned i = 1; i <= parties->n && err == CS_OK; i++) {
        cs_mpc_key_args a = {
            .parties = parties, .index = (uint16_t)i, .pk33 = pk33, .cc32 = cc, .s32 = d.s32, .zero = d.zero};
        poly(&d.share, d.coefs, parties->t, i);
        cs_sc_to_be(d.s32, &d.share);
        dealer_zero(&d, parties->n, i);
        err = cs_mpc_key_init(&out[i - 1], &a);
    }
    for (unsigned i = 0; i < parties->n && err != CS_OK; i++) {
        cs_mpc_key_wipe(&out[i]);
    }
    return err;
}

cs_err cs_mpc_deal2(cs_mpc_key out[2], const cs_mpc_parties *parties, const uint8_t *import32,
                    const uint8_t *unsafe_seed32)
{
    if (parties->n != 2 || parties->t != 2) {
        return CS_E_SHARES_ACCOUNT;
    }
    return cs_mpc_deal(out, parties, import32, unsafe_seed32);
}

/* ---------------------------------------------------------------- derivation, request id */

/* one BIP-32 step: pk, cc replaced, left half in *left */
static cs_err child(cs_sc *left, cs_pt *pk, uint8_t cc[32], uint32_t index)
{
    crypto_auth_hmacsha512_state h;
    uint8_t data[37], mac[64];
    cs_pt tweak;
    cs_pt_ser(data, pk);
    cs_store_u32(data + 33, index);
    (void)crypto_auth_hmacsha512_init(&h, cc, 32);
    (void)crypto_auth_hmacsha512_update(&h, data, sizeof data);
    (void)crypto_auth_hmacsha512_final(&h, mac);
    if (index >= 1u << 31 || cs_sc_from_be(left, mac) != CS_OK || cs_pt_mulg(&tweak, left) != CS_OK ||
        cs_pt_add(pk, pk, &tweak) != CS_OK) {
        return CS_E_RANGE;
    }
    memcpy(cc, mac + 32, 32);
    return CS_OK;
}

cs_err cs_mpc_derive_pt(cs_pt *out, cs_sc *out_delta, uint8_t out_cc32[32], const cs_mpc_key *k, const uint32_t *path,
                        size_t path_len)
{
    cs_sc delta = {{0}}, left;
    if (path_len > CS_MPC_MAX_PATH || cs_pt_parse(out, k->pk33) != CS_OK) {
        return CS_E_RANGE;
    }
    memcpy(out_cc32, k->cc32, 32);
    for (size_t i = 0; i < path_len; i++) {
        CS_TRY(child(&left, out, out_cc32, path[i]));
        cs_sc_add(&delta, &delta, &left);
    }
    *out_delta = delta;
    return CS_OK;
}

cs_err cs_mpc_derive(uint8_t out_pk33[33], cs_sc *out_delta, uint8_t *out_cc32, const cs_mpc_key *k,
                     const uint32_t *path, size_t path_len)
{
    cs_sc delta;
    uint8_t cc[32];
    cs_pt pk;
    CS_TRY(cs_pt_init());
    CS_TRY(cs_mpc_derive_pt(&pk, &delta, cc, k, path, path_len));
    cs_pt_ser(out_pk33, &pk);
    if (out_delta != NULL) {
        *out_delta = delta;
    }
    if (out_cc32 != NULL) {
        memcpy(out_cc32, cc, 32);
    }
    return CS_OK;
}

void cs_mpc_rid(uint8_t out[32], const cs_mpc_request *r, const uint16_t *ids, size_t num_ids, const uint8_t pk33[33])
{
    cs_sha256 s;
    cs_th_begin(&s, CS_TAG_RID);
    cs_th_put(&s, r->key->kid32, 32);
    cs_th_put(&s, r->label32, 32);
    cs_th_put_u16(&s, (uint16_t)num_ids);
    for (size_t i = 0; i < num_ids; i++) {
        cs_th_put_u16(&s, ids[i]);
    }
    cs_th_put_u8(&s, (uint8_t)r->path_len);
    for (size_t i = 0; i < r->path_len; i++) {
        cs_th_put_u32(&s, r->path[i]);
    }
    cs_th_put(&s, pk33, 33);
    cs_th_put(&s, r->digest32, 32);
    cs_th_end(&s, out);
}

cs_err cs_mpc_request_id(uint8_t out_rid32[32], uint8_t *out_pk33, const cs_mpc_request *r)
{
    uint8_t pk33[33];
    uint16_t me = r->key->index, ids[2] = {me < r->peer ? me : r->peer, me < r->peer ? r->peer : me};
    if (r->key->parties->t != 2 || r->peer == me || r->peer < 1 || r->peer > r->key->parties->n) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_pt_init());
    CS_TRY(cs_mpc_derive(pk33, NULL, NULL, r->key, r->path, r->path_len));
    cs_mpc_rid(out_rid32, r, ids, 2, pk33);
    if (out_pk33 != NULL) {
        memcpy(out_pk33, pk33, 33);
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- coefficients and zero shares */

void cs_mpc_lagrange(cs_sc *out, uint16_t i, const uint16_t *ids, size_t num_ids)
{
    cs_sc num = cs_sc_one, den = cs_sc_one, a, b;
    cs_sc_from_u64(&b, i);
    for (size_t k = 0; k < num_ids; k++) {
        if (ids[k] != i) {
            cs_sc_from_u64(&a, ids[k]);
            cs_sc_mul(&num, &num, &a);
            cs_sc_sub(&a, &a, &b);
            cs_sc_mul(&den, &den, &a);
        }
    }
    cs_sc_neg(&a, &cs_sc_one);
    if (cs_sc_eq(&den, &a)) { /* the common cases need no inversion; ids are public */
        cs_sc_neg(&num, &num);
    } else if (!cs_sc_eq(&den, &cs_sc_one)) {
        cs_sc_inv(&den, &den);
        cs_sc_mul(&num, &num, &den);
    }
    *out = num;
}

void cs_mpc_zero_term(cs_sc *out, const cs_secret32 *seed, const uint8_t ssid[32], bool peer_is_lower)
{
    CS_SECRET(cs_sha256) s;
    cs_th_begin(&s, CS_TAG_ZERO);
    cs_th_put(&s, seed->b, 32);
    cs_th_put(&s, ssid, 32);
    cs_th_end_sc(&s, out);
    if (!peer_is_lower) {
        cs_sc_neg(out, out);
    }
}

void cs_mpc_zero_share(cs_sc *out, const cs_mpc_key *k, const uint8_t ssid[32], const uint16_t *ids, size_t num_ids)
{
    CS_SECRET(cs_sc) sum = {{0}}, t = {{0}};
    for (size_t i = 0; i < num_ids; i++) {
        if (ids[i] != k->index) {
            cs_mpc_zero_term(&t, cs_mpc_key_zero(k, ids[i]), ssid, ids[i] < k->index);
            cs_sc_add(&sum, &sum, &t);
        }
    }
    *out = sum;
}
