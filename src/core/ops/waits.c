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

cs_err cs_waits_add(cs_waits *t, uint64_t id, cs_slice account, const uint8_t label32[32], const uint8_t data32[32])
{
    cs_wait **at_id = id_bucket(t, id), **at_label = label_bucket(t, label32), *w;

    for (w = *at_id; w != NULL; w = w->by_id) {
        if (w->id == id) {
            return CS_E_EXISTS;
        }
    }
    w = calloc(1, sizeof *w);
    if (w == NULL) {
        return CS_E_NO_MEMORY;
    }
    w->id = id;
    memcpy(w->account, account.p, account.len); /* at most 128 bytes, checked by authorise */
    memcpy(w->label32, label32, 32);
    memcpy(w->data32, data32, 32);
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

/* The account's client has lied: no session of it will come. */
static bool client_banned(const cs_core *c, const cs_share_party *own)
{
    bool banned = false;

    for (uint16_t i = 1; i <= own->parties.n; i++) {
        banned |= i != own->index && cs_peers_banned(&c->peers, own->parties.idkey[i - 1]);
    }
    return banned;
}

void cs_waits_banned(cs_core *c)
{
    for (size_t i = 0; i < CS_WAIT_BUCKETS; i++) {
        for (cs_wait *w = c->waits.by_id[i], *next; w != NULL; w = next) {
            const cs_mpc_key *key = cs_share_find(c->set, cs_slice_str(w->account));

            next = w->by_id;
            if (key != NULL && client_banned(c, cs_share_party_of(c->set, key))) {
                cs_wait_reply(c, w->id, CS_E_PEER_BANNED, NULL, false);
                drop(&c->waits, w);
            }
        }
    }
}

/* CS_OK: answered (*out->answered) or to be waited for, then label and data are set. */
static cs_err look(cs_core *c, const cs_hello *h, uint8_t label32[32], uint8_t data32[32], cs_answer_found *out)
{
    const cs_mpc_key *key = cs_share_find(c->set, h->account_id);

    if (key == NULL) {
        return CS_E_ACCOUNT_UNKNOWN;
    }
    CS_TRY(cs_hello_label(label32, h));
    CS_TRY(cs_answers_data(data32, key->pk33, h));
    CS_TRY(cs_answers_peek(&c->answers, out, label32, data32));
    if (out->answered) {
        return CS_OK;
    }
    return client_banned(c, cs_share_party_of(c->set, key)) ? CS_E_PEER_BANNED : CS_OK;
}

void cs_op_sign_wait(cs_core *c, const cs_permit *p)
{
    const cs_rpc_frame *f = cs_permit_frame(p);
    uint8_t label[32], data[32];
    cs_answer_found found = {0};
    cs_hello h;
    cs_err err;

    cs_request_of_frame(&h, f);
    err = look(c, &h, label, data, &found);
    if (err == CS_OK && found.answered) {
        c->counters.answers++;
        cs_wait_reply(c, f->id, CS_OK, found.answer, true);
        return;
    }
    if (err == CS_OK) {
        err = c->waits.num >= c->config->sessions ? CS_E_SESSION_LIMIT
                                                  : cs_waits_add(&c->waits, f->id, h.account_id, label, data);
    }
    if (err != CS_OK) {
        cs_wait_reply(c, f->id, err, NULL, false);
    }
}

void cs_op_sign_cancel(cs_core *c, const cs_permit *p)
{
    cs_waits_cancel(&c->waits, cs_permit_frame(p)->id);
}
