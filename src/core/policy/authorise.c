#include "core/policy/authorise.h"

#include <stdlib.h>
#include <string.h>

#include "core/core_int.h"
#include "core/tee/tee.h"

#define NONCE_MIN 16u

struct cs_permit {
    cs_op op;
    const cs_rpc_frame *frame;
};

struct cs_sign_permit {
    cs_sign_grant grant;
    cs_hello hello;
    uint8_t label[32], data[32];
    uint8_t answer[CS_ANSWER_LEN];
};

struct cs_permits {
    cs_permit permit;
    cs_sign_permit sign;
};

cs_permits *cs_permits_new(void)
{
    return calloc(1, sizeof(cs_permits));
}

void cs_permits_free(cs_permits *p)
{
    free(p);
}

const cs_rpc_frame *cs_permit_frame(const cs_permit *p)
{
    return p->frame;
}

cs_op cs_permit_op(const cs_permit *p)
{
    return p->op;
}

/* The request that SIGN_WAIT and PARTY_ROOM name. */
static cs_err check_named(const cs_rpc_frame *f)
{
    if (!cs_account_id_valid(f->f[0].s)) {
        return CS_E_ACCOUNT_UNKNOWN;
    }
    if (f->f[2].s.len < 1 || f->f[2].s.len > CS_HELLO_MAX_EXECUTION) {
        return CS_E_RANGE;
    }
    return f->f[3].s.len == 32 ? CS_OK : CS_E_DIGEST_LENGTH;
}

/* Before anything of the call is looked at: what waits is bounded. */
static cs_err check_tee(const cs_core *c, const cs_rpc_frame *f)
{
    if (c->tee == NULL) {
        return CS_E_TEE_DISABLED;
    }
    if (f->type == CS_RPC_TEE_ENTRIES) {
        return CS_OK;
    }
    if (cs_tee_full(c->tee)) {
        return CS_E_TEE_BUSY;
    }
    return f->f[0].u <= 1 ? CS_OK : CS_E_FORMAT;
}

/* Limits that need no state. */
static cs_err check_sizes(const cs_request *r)
{
    const cs_rpc_frame *f = &r->frame;

    switch (r->op) {
    case CS_OP_ATTEST:
        if (f->f[0].s.len < NONCE_MIN || f->f[0].s.len > CS_NSM_NONCE_MAX) {
            return CS_E_RANGE;
        }
        return f->f[1].s.len == 0 || cs_account_id_valid(f->f[1].s) ? CS_OK : CS_E_FORMAT;
    case CS_OP_INJECT_AGE:
        if (f->f[0].s.len == 0) {
            return CS_E_INJECT_EMPTY;
        }
        return f->f[0].s.len <= CS_AGE_KEY_MAX ? CS_OK : CS_E_TOO_LARGE;
    case CS_OP_SIGN_WAIT:
    case CS_OP_PARTY_ROOM:
        return check_named(f);
    case CS_OP_UNBAN:
        return f->f[0].s.len <= CS_UNBAN_MAX ? CS_OK : CS_E_UNBAN;
    default:
        return CS_OK;
    }
}

cs_err cs_authorise(cs_core *c, const cs_request *r, const cs_permit **out)
{
    const cs_op_row *row = &cs_op_table[r->op];

    if ((row->phases >> c->phase & 1) == 0) {
        return row->refusal;
    }
    CS_TRY(check_sizes(r));
    CS_TRY(r->op == CS_OP_TEE_CALL || r->op == CS_OP_TEE_ENTRIES ? check_tee(c, &r->frame) : CS_OK);
    c->permits->permit = (cs_permit){.op = r->op, .frame = &r->frame};
    *out = &c->permits->permit;
    return CS_OK;
}

const cs_sign_grant *cs_sign_permit_grant(const cs_sign_permit *p)
{
    return &p->grant;
}

/* The account's two parties are those of the channel: the client proved to hold the static key of its place. */
static cs_err check_caller(const cs_core *c, const struct cs_chan *channel, cs_sign_permit *p)
{
    const cs_mpc_key *key = cs_share_find(c->set, p->hello.account_id);
    const cs_share_party *own = key == NULL ? NULL : cs_share_party_of(c->set, key);
    uint16_t peer = 0;

    /* an account of other parties is unknown to this client: which ids exist is none of its business */
    if (own == NULL || !cs_ct_eq(own->static_pub, cs_chan_enclave32(channel), 32)) {
        return CS_E_ACCOUNT_UNKNOWN;
    }
    for (uint16_t i = 1; i <= own->parties.n; i++) {
        if (i != own->index && cs_ct_eq(own->parties.idkey[i - 1], cs_chan_client32(channel), 32)) {
            peer = i;
        }
    }
    if (peer == 0) {
        return CS_E_ACCOUNT_UNKNOWN;
    }
    if (own->parties.t != 2) {
        return CS_E_UNSUPPORTED;
    }
    p->grant.key = key;
    p->grant.peer = peer;
    return p->hello.epoch == key->epoch ? CS_OK : CS_E_EPOCH;
}

static cs_err check_execution(cs_core *c, cs_sign_permit *p, uint64_t stream)
{
    cs_answer_found found;

    CS_TRY(cs_answers_claim(&c->answers, &found, p->label, p->data, stream));
    if (found.answered) {
        memcpy(p->answer, found.answer, sizeof p->answer);
        p->grant.answer65 = p->answer;
    }
    p->grant.has_live = found.live;
    p->grant.live_stream = found.stream;
    return CS_OK;
}

cs_err cs_authorise_sign(cs_core *c, const struct cs_chan *channel, uint64_t stream, cs_slice hello_cbor,
                         const cs_sign_want *want, const cs_sign_permit **out)
{
    cs_sign_permit *p = &c->permits->sign;
    uint8_t pk33[33];

    memset(p, 0, sizeof *p);
    CS_TRY(cs_hello_parse(&p->hello, hello_cbor));
    CS_TRY(check_caller(c, channel, p));
    CS_TRY(cs_hello_label(p->label, &p->hello));
    CS_TRY(p->hello.path_len == 0 ? CS_OK
                                  : cs_mpc_derive(pk33, NULL, NULL, p->grant.key, p->hello.path, p->hello.path_len));
    CS_TRY(cs_answers_data(p->data, p->grant.key->pk33, &p->hello));
    if (want != NULL && (!cs_ct_eq(p->label, want->label32, 32) || !cs_ct_eq(p->data, want->data32, 32))) {
        return CS_E_ABORT_SESSION;
    }
    CS_TRY(check_execution(c, p, stream));
    p->grant.digest32 = p->hello.digest32;
    p->grant.label32 = p->label;
    p->grant.data32 = p->data;
    p->grant.path = p->hello.path_len == 0 ? NULL : p->hello.path;
    p->grant.path_len = p->hello.path_len;
    p->grant.account_id = p->hello.account_id;
    p->grant.tx_id = p->hello.tx_id;
    *out = p;
    return CS_OK;
}
