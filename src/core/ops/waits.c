#include "core/ops/waits.h"

#include <stdlib.h>
#include <string.h>

#include "core/core_int.h"
#include "core/pipeline/respond.h"

static cs_wait **id_bucket(cs_waits *t, uint64_t id)
{
    return &t->by_id[(id * 0x9e3779b97f4a7c15ull) >> 54 & (CS_WAIT_BUCKETS - 1)];
}

/* A label is a SHA-256 of what the callers choose: a crowded bucket costs them more than it costs us. */
static cs_wait **label_bucket(cs_waits *t, const uint8_t label32[32])
{
    return &t->by_label[cs_load_u32(label32) & (CS_WAIT_BUCKETS - 1)];
}

cs_err cs_waits_add(cs_waits *t, const cs_wait *in)
{
    cs_wait **at_id = id_bucket(t, in->id), **at_label = label_bucket(t, in->label32), *w;

    for (w = *at_id; w != NULL; w = w->by_id) {
        if (w->id == in->id) {
            return CS_E_EXISTS;
        }
    }
    w = malloc(sizeof *w);
    if (w == NULL) {
        return CS_E_NO_MEMORY;
    }
    *w = *in;
    w->by_id = *at_id;
    *at_id = w;
    w->by_label = *at_label;
    *at_label = w;
    t->num++;
    return CS_OK;
}

static void drop(cs_waits *t, cs_wait *w)
{
    cs_wait **at = id_bucket(t, w->id);

    while (*at != w) {
        at = &(*at)->by_id;
    }
    *at = w->by_id;
    at = label_bucket(t, w->label32);
    while (*at != w) {
        at = &(*at)->by_label;
    }
    *at = w->by_label;
    t->num--;
    free(w);
}

void cs_waits_cancel(cs_waits *t, uint64_t id)
{
    cs_wait *w = *id_bucket(t, id);

    while (w != NULL && w->id != id) {
        w = w->by_id;
    }
    if (w != NULL) {
        drop(t, w);
    }
}

void cs_waits_cleanup(cs_waits *t)
{
    for (size_t i = 0; i < CS_WAIT_BUCKETS; i++) {
        while (t->by_id[i] != NULL) {
            drop(t, t->by_id[i]);
        }
    }
}

void cs_wait_reply(cs_core *c, uint64_t id, cs_err err, const uint8_t *answer65, bool remembered)
{
    cs_rpc_frame f = {.type = CS_RPC_SIGN_REPLY, .id = id};

    f.f[0].s = cs_slice_str(cs_err_code(err));
    f.f[1].s = err == CS_OK ? cs_slice_of(answer65, CS_ANSWER_LEN) : CS_SLICE_NULL;
    f.f[2].u = remembered ? 1 : 0;
    cs_respond_frame(c, CS_LINK_SERVICE, &f);
}

void cs_waits_tell(cs_core *c, const uint8_t label32[32], const uint8_t data32[32],
                   const uint8_t answer65[CS_ANSWER_LEN])
{
    for (cs_wait *w = *label_bucket(&c->waits, label32), *next; w != NULL; w = next) {
        next = w->by_label;
        if (!cs_ct_eq(w->label32, label32, 32)) {
            continue;
        }
        if (cs_ct_eq(w->data32, data32, 32)) {
            cs_wait_reply(c, w->id, CS_OK, answer65, false);
        } else {
            cs_wait_reply(c, w->id, CS_E_EXECUTION_CONFLICT, NULL, false);
        }
        drop(&c->waits, w);
    }
}

/* All who could sign with us have lied: no session will come. */
static bool clients_banned(const cs_core *c, const cs_share_party *own)
{
    for (uint16_t i = 1; i <= own->parties.n; i++) {
        if (i != own->index && !cs_peers_banned(&c->peers, own->parties.idkey[i - 1])) {
            return false;
        }
    }
    return true;
}

static cs_err still_possible(const cs_core *c, const cs_wait *w)
{
    const cs_mpc_key *key = cs_share_find(c->set, cs_slice_str(w->account));

    if (key == NULL) {
        return CS_E_ACCOUNT_UNKNOWN;
    }
    if (!cs_ct_eq(key->pk33, w->pk33, sizeof w->pk33)) {
        return CS_E_ABORT_SESSION;
    }
    return clients_banned(c, cs_share_party_of(c->set, key)) ? CS_E_PEER_BANNED : CS_OK;
}

void cs_waits_recheck(cs_core *c)
{
    for (size_t i = 0; i < CS_WAIT_BUCKETS; i++) {
        for (cs_wait *w = c->waits.by_id[i], *next; w != NULL; w = next) {
            cs_err err = still_possible(c, w);

            next = w->by_id;
            if (err != CS_OK) {
                cs_wait_reply(c, w->id, err, NULL, false);
                drop(&c->waits, w);
            }
        }
    }
}

/* CS_OK: answered (*out->answered) or to be waited for with w. */
static cs_err look(cs_core *c, const cs_hello *h, cs_wait *w, cs_answer_found *out)
{
    const cs_mpc_key *key = cs_share_find(c->set, h->account_id);

    if (key == NULL) {
        return CS_E_ACCOUNT_UNKNOWN;
    }
    memcpy(w->account, h->account_id.p, h->account_id.len); /* at most 128 bytes, checked by authorise */
    memcpy(w->pk33, key->pk33, sizeof w->pk33);
    CS_TRY(cs_hello_label(w->label32, h));
    CS_TRY(cs_answers_data(w->data32, key->pk33, h));
    CS_TRY(cs_answers_peek(&c->answers, out, w->label32, w->data32));
    if (out->answered) {
        return CS_OK;
    }
    return clients_banned(c, cs_share_party_of(c->set, key)) ? CS_E_PEER_BANNED : CS_OK;
}

void cs_op_sign_wait(cs_core *c, const cs_permit *p)
{
    const cs_rpc_frame *f = cs_permit_frame(p);
    cs_wait w = {.id = f->id};
    cs_answer_found found = {0};
    cs_hello h;
    cs_err err;

    cs_request_of_frame(&h, f);
    err = look(c, &h, &w, &found);
    if (err == CS_OK && found.answered) {
        c->counters.answers++;
        cs_wait_reply(c, f->id, CS_OK, found.answer, true);
        return;
    }
    if (err == CS_OK) {
        err = c->waits.num >= c->config->sessions ? CS_E_SESSION_LIMIT : cs_waits_add(&c->waits, &w);
    }
    if (err != CS_OK) {
        cs_wait_reply(c, f->id, err, NULL, false);
    }
}

void cs_op_sign_cancel(cs_core *c, const cs_permit *p)
{
    cs_waits_cancel(&c->waits, cs_permit_frame(p)->id);
}
