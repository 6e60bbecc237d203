/* Attestation of the enclave and set-up of a channel: two calls, one behind the other. */
#include <string.h>

#include "net/countersign.pb-c.h"
#include "net/h2/wire.h"
#include "party/client_int.h"
#include "secret/rng.h"

#define ATTEST_PATH "/countersign.v1.Enclave/Attest"
#define SESSION_PATH "/countersign.v1.Party/Session"
#define ATTEST_MAX_MS 10000u

cs_err cs_pclient_send_frame(cs_grpc_call *call, cs_slice body)
{
    uint8_t head[CS_FRAME_HEAD_MAX];
    cs_slice parts[] = {cs_slice_of(head, cs_frame_head(head, body.len)), body};
    return cs_grpc_send(call, parts, 2);
}

static void finish(cs_pident *i, cs_err err)
{
    i->call = NULL;
    cs_psetup_free(i->setup);
    i->setup = NULL;
    cs_pident_ready(i, err);
}

/* ends the call from this side */
static void give_up(cs_pident *i, cs_err err)
{
    cs_grpc_cancel(i->call);
    finish(i, err);
}

/* ---- set-up */

static void setup_message(cs_grpc_call *c, void *cookie, cs_slice message)
{
    cs_pident *i = cookie;
    cs_slice body, out = CS_SLICE_NULL;
    cs_pchannel *made = NULL;
    cs_err err = cs_frame_body(&body, message);
    if (err == CS_OK && i->channel != NULL) {
        err = CS_E_ABORT_SESSION; /* something behind OT_DONE */
    }
    if (err == CS_OK) {
        err = cs_psetup_on(i->setup, i->client->work, &out, &made, body, NULL);
    }
    if (err == CS_OK && out.len > 0) {
        err = cs_pclient_send_frame(c, out);
    }
    if (err != CS_OK) {
        cs_pchannel_release(made);
        give_up(i, err);
    } else if (made != NULL) {
        i->channel = made;
        cs_grpc_end(c);
    }
}

static void setup_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *result)
{
    cs_pident *i = cookie;
    if (i->channel != NULL) {
        i->made_ms = cs_loop_now(i->client->config.loop);
        i->client->channels++;
        finish(i, CS_OK);
    } else {
        finish(i, result->err != CS_OK ? result->err : CS_E_ABORT_SESSION);
    }
}

static const cs_grpc_call_events setup_events = {setup_message, NULL, setup_end};

static void start_setup(cs_pident *i)
{
    cs_pclient *p = i->client;
    cs_slice frame;
    cs_err err = cs_psetup_new(&i->setup, p->work, &frame, i->own, i->peer, i->mpc);
    if (err == CS_OK) {
        err = cs_grpc_call_new(&i->call, p->grpc, SESSION_PATH, p->config.timeout_ms, &setup_events, i);
    }
    if (err == CS_OK) {
        err = cs_pclient_send_frame(i->call, frame);
        if (err != CS_OK) {
            cs_grpc_cancel(i->call);
        }
    }
    if (err != CS_OK) {
        finish(i, err);
    }
}

/* ---- attestation */

static cs_err verify(const cs_pident *i, cs_slice message)
{
    cs_att_options options = *i->client->config.att;
    cs_att_result result;
    cs_slice nonce = cs_slice_of(i->nonce, sizeof i->nonce), key = cs_slice_of(i->own->parties.idkey[i->peer - 1], 32);
    Countersign__V1__AttestReply *reply = countersign__v1__attest_reply__unpack(NULL, message.len, message.p);
    if (reply == NULL) {
        return CS_E_ATT_FORMAT;
    }
    options.time = CS_ATT_TIME_NOW;
    options.nonce = &nonce;
    options.public_key = &key;
    cs_err err = cs_att_verify(&result, cs_slice_of(reply->document.data, reply->document.len), &options);
    countersign__v1__attest_reply__free_unpacked(reply, NULL);
    return err;
}

static void attest_message(cs_grpc_call *c, void *cookie, cs_slice message)
{
    cs_pident *i = cookie;
    cs_err err = i->attested ? CS_E_ATT_FORMAT : verify(i, message);
    (void)c;
    i->attested = err == CS_OK;
    i->failed = err;
}

static void attest_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *result)
{
    cs_pident *i = cookie;
    (void)c;
    i->call = NULL;
    if (i->failed != CS_OK || result->err != CS_OK || !i->attested) {
        cs_err err = i->failed != CS_OK ? i->failed : result->err;
        finish(i, err != CS_OK ? err : CS_E_ATT_FORMAT);
    } else {
        start_setup(i);
    }
}

static const cs_grpc_call_events attest_events = {attest_message, NULL, attest_end};

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

static uint32_t attest_ms(const cs_pclient *p)
{
    return p->config.timeout_ms < ATTEST_MAX_MS ? p->config.timeout_ms : ATTEST_MAX_MS;
}

static cs_err send_attest(cs_pident *i)
{
    Countersign__V1__AttestRequest m = COUNTERSIGN__V1__ATTEST_REQUEST__INIT;
    pick x = {.parties = &i->own->parties};
    char account[CS_HELLO_MAX_ACCOUNT + 1] = {0};
    uint8_t packed[512];
    cs_share_each(i->client->config.shares, pick_one, &x);
    if (x.id.len == 0) {
        return CS_E_ACCOUNT_UNKNOWN;
    }
    CS_TRY(cs_random(i->nonce, sizeof i->nonce));
    memcpy(account, x.id.p, x.id.len);
    m.nonce = (ProtobufCBinaryData){sizeof i->nonce, i->nonce};
    m.account_id = account;
    cs_slice body = cs_slice_of(packed, countersign__v1__attest_request__pack(&m, packed));
    CS_TRY(cs_grpc_call_new(&i->call, i->client->grpc, ATTEST_PATH, attest_ms(i->client), &attest_events, i));
    cs_err err = cs_grpc_send(i->call, &body, 1);
    if (err != CS_OK) {
        cs_grpc_cancel(i->call);
        i->call = NULL;
        return err;
    }
    cs_grpc_end(i->call);
    return CS_OK;
}

void cs_pident_start(cs_pident *i)
{
    if (i->call != NULL) {
        return;
    }
    i->attested = false;
    i->failed = CS_OK;
    cs_err err = cs_mpc_peer_banned(i->mpc) != CS_MPC_CHK_NONE ? CS_E_PEER_BANNED : send_attest(i);
    if (err != CS_OK) {
        finish(i, err);
    }
}

void cs_pident_stop(cs_pident *i)
{
    if (i->call != NULL) {
        cs_grpc_cancel(i->call);
        i->call = NULL;
    }
    cs_psetup_free(i->setup);
    cs_pchannel_release(i->channel);
    i->setup = NULL;
    i->channel = NULL;
}
