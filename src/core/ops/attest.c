#include "base/log.h"
#include "core/ops/ops.h"
#include "core/pipeline/respond.h"
#include "core/tee/tee.h"

/* Which key the document vouches for. */
static cs_err public_key_of(cs_core *c, cs_slice account, cs_slice *out)
{
    const cs_mpc_key *key = NULL;

    *out = CS_SLICE_NULL;
    if (account.len == 0) {
        if (c->phase == CS_PHASE_WAITING) { /* it may not have been made yet */
            CS_TRY(cs_rsa_make(&c->load.rsa));
        }
        if (c->load.rsa.key != NULL) {
            *out = cs_slice_of(c->load.rsa.spki, c->load.rsa.spki_len);
        }
        return CS_OK;
    }
    if (c->set == NULL) {
        return CS_E_NOT_SERVING;
    }
    key = cs_share_find(c->set, account);
    if (key == NULL) {
        return CS_E_ACCOUNT_UNKNOWN;
    }
    *out = cs_slice_of(cs_share_party_of(c->set, key)->static_pub, 32);
    return CS_OK;
}

void cs_op_attest(cs_core *c, const cs_permit *p)
{
    const cs_rpc_frame *f = cs_permit_frame(p);
    static uint8_t mem[CS_NSM_RESPONSE_MAX]; /* public; one thread */
    cs_buf doc = cs_buf_wrap(mem, sizeof mem);
    cs_nsm_doc_args args = {.nonce = f->f[0].s};
    cs_rpc_frame reply = {.type = CS_RPC_ATTEST_REPLY, .id = f->id};
    cs_err err = public_key_of(c, f->f[1].s, &args.public_key);

    if (c->tee != NULL) {
        args.user_data = cs_tee_vouch_of(c->tee);
    }
    if (err == CS_OK) {
        err = cs_nsm_document(c->nsm, &doc, &args);
    }
    reply.f[0].s = cs_slice_str(cs_err_code(err));
    reply.f[1].s = err == CS_OK ? cs_buf_slice(&doc) : CS_SLICE_NULL;
    cs_respond_frame(c, CS_LINK_SERVICE, &reply);
}
