/* Attestation of the enclave and set-up of a channel: one behind the other. */
#include <string.h>

#include "party/client_int.h"
#include "secret/rng.h"

#define ATTEST_MAX_MS 10000u

static void finish(cs_pident *i, cs_err err)
{
    i->stream = NULL;
    cs_psetup_free(i->setup);
    i->setup = NULL;
    cs_pident_ready(i, err);
}

/* ---- set-up */

static void setup_frame(void *cookie, cs_slice frame)
{
    cs_pident *i = cookie;
    cs_slice out = CS_SLICE_NULL;
    cs_pchannel *made = NULL;
    cs_err err = cs_psetup_on(i->setup, i->client->work, &out, &made, frame, NULL);
    if (err == CS_OK && out.len > 0) {
        err = cs_pstream_send(i->stream, out);
    }
    if (err != CS_OK) {
        cs_pstream_cancel(i->stream);
        finish(i, err);
    } else if (made != NULL) {
        i->channel = made;
        i->made_ms = cs_loop_now(i->client->config.loop);
        i->client->channels++;
        cs_pstream_done(i->stream);
        finish(i, CS_OK);
    }
}

/* only says more about a silence: it is not authenticated */
static void setup_hint(void *cookie, const cs_room_end *end)
{
    cs_pident *i = cookie;
    if (cs_psetup_is(i->setup, end->channel16)) {
        i->hint = cs_pclient_code(end->code);
    }
}

static void setup_end(void *cookie, cs_err err)
{
    finish(cookie, err != CS_OK ? err : CS_E_ABORT_SESSION);
}

static const cs_pstream_events setup_events = {setup_frame, setup_hint, setup_end};

static void start_setup(cs_pident *i)
{
    cs_pclient *p = i->client;
    cs_pstream_args args = i->room;
    cs_slice frame;
    args.timeout_ms = p->config.timeout_ms;
    args.events = &setup_events;
    args.cookie = i;
    cs_err err = cs_psetup_new(&i->setup, p->work, &frame, i->own, i->peer, i->mpc);
    if (err == CS_OK) {
        err = cs_pstream_open(&i->stream, p->transport, &args);
    }
    if (err == CS_OK) {
        if (p->transport->ops->room) {
            cs_psetup_in_room(i->setup);
        }
        err = cs_pstream_send(i->stream, frame);
        if (err != CS_OK) {
            cs_pstream_cancel(i->stream);
        }
    }
    if (err != CS_OK) {
        finish(i, err);
    }
}

/* ---- attestation */

static cs_err verify(const cs_pident *i, cs_slice document)
{
    cs_att_options options = *i->client->config.att;
    cs_att_result result;
    cs_slice nonce = cs_slice_of(i->nonce, sizeof i->nonce), key = cs_slice_of(i->own->parties.idkey[i->peer - 1], 32);
    options.time = CS_ATT_TIME_NOW;
    options.nonce = &nonce;
    options.public_key = &key;
    return cs_att_verify(&result, document, &options);
}

static void on_attest(void *cookie, cs_err err, cs_slice document)
{
    cs_pident *i = cookie;
    i->attest = NULL;
    if (err == CS_OK) {
        err = verify(i, document);
    }
    if (err == CS_OK) {
        start_setup(i);
    } else {
        finish(i, err);
    }
}

/* any account of this identity: the document then carries the identity's static key */
typedef struct pick {
    const cs_mpc_parties *parties;
    cs_slice id;
} pick;

static bool pick_one(void *cookie, cs_slice account_id, const cs_mpc_key *k)
{
    pick *x = cookie;
    x->id = k->parties == x->parties ? account_id : x->id;
    return x->id.len == 0;
}

static cs_err send_attest(cs_pident *i)
{
    const cs_pclient *p = i->client;
    pick x = {.parties = &i->own->parties};
    cs_share_each(p->config.shares, pick_one, &x);
    if (x.id.len == 0) {
        return CS_E_ACCOUNT_UNKNOWN;
    }
    CS_TRY(cs_random(i->nonce, sizeof i->nonce));
    cs_pattest_args args = {.account_id = x.id,
                            .nonce = cs_slice_of(i->nonce, sizeof i->nonce),
                            .timeout_ms = p->config.timeout_ms < ATTEST_MAX_MS ? p->config.timeout_ms : ATTEST_MAX_MS,
                            .fn = on_attest,
                            .cookie = i};
    return cs_pattest_start(&i->attest, p->transport, &args);
}

/* the request may be given up before the set-up ends */
static void remember_room(cs_pident *i, cs_pjob *j)
{
    const cs_psign_request *r = &j->request;
    memcpy(i->account, r->account_id.p, r->account_id.len);
    memcpy(i->execution, r->execution_id.p, r->execution_id.len);
    i->room = (cs_pstream_args){.account_id = cs_slice_of(i->account, r->account_id.len),
                                .execution_id = cs_slice_of(i->execution, r->execution_id.len),
                                .tx_id = r->tx_id};
    i->trigger = j;
    i->hint = CS_OK;
}

void cs_pident_start(cs_pident *i, cs_pjob *j)
{
    if (cs_pident_busy(i)) {
        return;
    }
    remember_room(i, j);
    cs_err err = cs_mpc_peer_banned(i->mpc) != CS_MPC_CHK_NONE ? CS_E_PEER_BANNED : send_attest(i);
    if (err != CS_OK) {
        finish(i, err);
    }
}

void cs_pident_stop(cs_pident *i)
{
    if (i->attest != NULL) {
        cs_pattest_cancel(i->attest);
        i->attest = NULL;
    }
    if (i->stream != NULL) {
        cs_pstream_cancel(i->stream);
        i->stream = NULL;
    }
    cs_psetup_free(i->setup);
    cs_pchannel_release(i->channel);
    i->setup = NULL;
    i->channel = NULL;
}
