#include "party/deal.h"

#include <string.h>

#include "rpc/tee_rpc.h"
#include "secret/mpc/mpc.h"
#include "secret/noise.h"
#include "secret/rng.h"
#include "secret/seal.h"
#include "secret/share/share.h"

struct cs_deal {
    cs_mpc_parties parties;
    cs_secret32 static_key[2];
    cs_buf file[2]; /* CS_SHAREFILE_HEADER_MAX free bytes, then the body */
    cs_sharefile_writer writer[2];
    cs_sharefile_account account; /* of one party at a time */
    cs_mpc_key key[2];
    cs_seal_root root;
    bool has_root;
    size_t left;
};

/* behind the parties of the service's file */
static cs_err put_tee(cs_deal *d, const cs_deal_tee *tee)
{
    CS_SECRET(cs_secret32) secret = {0};
    cs_sharefile_writer *w = &d->writer[CS_DEAL_SERVICE - 1];
    if (tee->root) {
        CS_TRY(cs_random(secret.b, sizeof secret.b));
        cs_seal_root_init(&d->root, secret.b);
        d->has_root = true;
        CS_TRY(cs_sharefile_put_sealing(w, (const uint8_t(*)[32])d->root.secret.b, 1));
    }
    for (size_t i = 0; i < tee->num_callers; i++) {
        CS_TRY(cs_sharefile_put_caller(w, &tee->callers[i]));
    }
    return CS_OK;
}

static cs_err begin(cs_deal *d, size_t max_accounts, const cs_deal_tee *tee)
{
    for (unsigned i = 0; i < 2; i++) {
        CS_TRY(cs_random(d->static_key[i].b, 32));
        CS_CT_SECRET(d->static_key[i].b, 32);
        cs_x25519_base(d->parties.idkey[i], d->static_key[i].b);
        CS_CT_PUBLIC(d->parties.idkey[i], 32, "static public key");
    }
    d->parties.n = d->parties.t = 2;
    d->left = max_accounts;
    for (unsigned i = 0; i < 2; i++) {
        cs_sharefile_parties p = {.index = (uint16_t)(i + 1), .n = 2, .t = 2};
        uint8_t *gap = NULL;
        memcpy(p.static_keys, d->parties.idkey, sizeof p.static_keys);
        memcpy(p.static_key32, d->static_key[i].b, 32);
        cs_err err = cs_secret_buf(&d->file[i], 4096 + max_accounts * CS_DEAL_ACCOUNT_BYTES +
                                                    tee->num_callers * CS_DEAL_CALLER_BYTES);
        if (err == CS_OK) {
            err = cs_put_space(&d->file[i], &gap, CS_SHAREFILE_HEADER_MAX);
        }
        d->writer[i] = cs_sharefile_write(&d->file[i]);
        if (err == CS_OK) {
            err = cs_sharefile_put_parties(&d->writer[i], &p);
        }
        cs_wipe(&p, sizeof p);
        CS_TRY(err);
    }
    return put_tee(d, tee);
}

cs_err cs_deal_new(cs_deal **out, size_t max_accounts)
{
    return cs_deal_new_tee(out, max_accounts, &(cs_deal_tee){0});
}

cs_err cs_deal_new_tee(cs_deal **out, size_t max_accounts, const cs_deal_tee *tee)
{
    if (max_accounts > SIZE_MAX / (4 * CS_DEAL_ACCOUNT_BYTES) || tee->num_callers > CS_SHAREFILE_MAX_CALLERS) {
        return CS_E_NO_MEMORY;
    }
    cs_deal *d = cs_secret_alloc(sizeof *d);
    cs_err err = d == NULL ? CS_E_NO_MEMORY : begin(d, max_accounts, tee);
    if (err != CS_OK) {
        cs_deal_free(d);
        return err;
    }
    *out = d; /* transferred */
    return CS_OK;
}

const uint8_t *cs_deal_root_id(const cs_deal *d)
{
    return d->has_root ? d->root.id : NULL;
}

static cs_err put(cs_deal *d, unsigned i, cs_slice id)
{
    cs_sharefile_account *a = &d->account;
    const cs_mpc_key *k = &d->key[i];
    memset(a, 0, sizeof *a);
    memcpy(a->id, id.p, id.len);
    a->id_len = id.len;
    a->epoch = k->epoch;
    memcpy(a->public_key33, k->pk33, 33);
    memcpy(a->chain_code32, k->cc32, 32);
    cs_sc_to_be(a->share32, &k->s);
    memcpy(a->zero_seeds[0], k->zero1.b, 32);
    cs_err err = cs_sharefile_put_account(&d->writer[i], a, 2, (uint16_t)(i + 1));
    cs_wipe(a, sizeof *a);
    return err;
}

cs_err cs_deal_add(cs_deal *d, cs_slice account_id, const uint8_t *import32, uint8_t out_pk33[33])
{
    if (!cs_account_id_valid(account_id)) {
        return CS_E_SHARES_ACCOUNT;
    }
    if (d->left == 0) {
        return CS_E_SHARES_LIMIT;
    }
    cs_err err = cs_mpc_deal2(d->key, &d->parties, import32, NULL);
    for (unsigned i = 0; i < 2 && err == CS_OK; i++) {
        err = put(d, i, account_id);
    }
    if (err == CS_OK) {
        memcpy(out_pk33, d->key[0].pk33, 33);
        d->left--;
    }
    cs_mpc_key_wipe(&d->key[0]);
    cs_mpc_key_wipe(&d->key[1]);
    return err == CS_E_RANGE ? CS_E_SHARES_ACCOUNT : err;
}

cs_err cs_deal_sign(cs_slice *out, cs_buf *file, uint64_t generation, const uint8_t *seed32)
{
    uint8_t line[CS_SHAREFILE_HEADER_MAX], publisher[32], hash[32], sig[64];
    cs_buf head = cs_buf_wrap(line, sizeof line);
    cs_slice body = cs_slice_of(file->p + CS_SHAREFILE_HEADER_MAX, file->len - CS_SHAREFILE_HEADER_MAX);
    cs_noise_sha256.digest(hash, &body, 1);
    if (seed32 != NULL) {
        cs_publisher_public(publisher, seed32);
    }
    CS_TRY(cs_sharefile_header_put(&head, generation, seed32 != NULL ? publisher : NULL, hash));
    if (seed32 != NULL) {
        cs_publisher_sign(sig, seed32, cs_buf_slice(&head));
    }
    CS_TRY(cs_sharefile_header_end(&head, seed32 != NULL ? sig : NULL));
    uint8_t *start = file->p + CS_SHAREFILE_HEADER_MAX - head.len;
    memcpy(start, line, head.len);
    *out = cs_slice_of(start, head.len + body.len);
    return CS_OK;
}

cs_err cs_deal_finish(cs_deal *d, uint64_t generation, const uint8_t *publisher_seed32, cs_slice *out_client,
                      cs_slice *out_service)
{
    cs_slice file[2];
    for (unsigned i = 0; i < 2; i++) {
        cs_share_set *set = NULL;
        CS_TRY(cs_sharefile_put_end(&d->writer[i]));
        CS_TRY(cs_deal_sign(&file[i], &d->file[i], generation, publisher_seed32));
        CS_TRY(cs_share_load(&set, file[i], &(cs_share_policy){.allow_unsigned = true, .grant_of = cs_tee_grant_of},
                             NULL));
        cs_share_free(set);
    }
    *out_client = file[CS_DEAL_CLIENT - 1];
    *out_service = file[CS_DEAL_SERVICE - 1];
    return CS_OK;
}

void cs_deal_free(cs_deal *d)
{
    if (d == NULL) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        cs_secret_buf_free(&d->file[i]);
    }
    cs_secret_free(d);
}
