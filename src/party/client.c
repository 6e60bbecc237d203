#include "party/client.h"

#include <stdlib.h>
#include <string.h>

#include "net/h2/wire.h"
#include "party/client_int.h"

#define SESSION_PATH "/countersign.v1.Party/Session"
#define DEFAULT_MS 15000u

static void run_job(cs_pjob *j);

/* ---- the end of a request */

static void unlink_job(cs_pjob *j)
{
    *j->prev = j->next;
    if (j->next != NULL) {
        j->next->prev = j->prev;
    }
}

static void report(cs_pjob *j, cs_err err)
{
    cs_psign_free(j->sign);
    j->sign = NULL;
    j->done = true;
    j->result.err = err;
    j->client->busy--;
    j->fn(j->cookie, &j->result);
}

static void end_job(cs_pjob *j, cs_err err)
{
    unlink_job(j);
    report(j, err);
    free(j);
}

static bool may_repeat(cs_err e)
{
    return e == CS_E_ABORT_SESSION || e == CS_E_CLOSED || e == CS_E_PEER_SILENT || e == CS_E_IO;
}

/* an attempt ended without a signature */
static void attempt_failed(cs_pjob *j, cs_err err)
{
    cs_pident *i = j->ident;
    cs_psign_free(j->sign);
    j->sign = NULL;
    j->call = NULL;
    if (j->result.first_err == CS_OK) {
        j->result.first_err = err;
    }
    if (err == CS_E_CHANNEL_UNKNOWN && i->channel != NULL && i->channel == j->channel) {
        cs_pchannel_release(i->channel);
        i->channel = NULL;
    }
    if (err == CS_E_CHANNEL_UNKNOWN && !j->rechannelled) {
        j->rechannelled = true;
        run_job(j);
    } else if (may_repeat(err) && j->result.attempts <= j->client->config.retries) {
        run_job(j);
    } else {
        end_job(j, err);
    }
}

/* ---- one session */

static void on_message(cs_grpc_call *c, void *cookie, cs_slice message)
{
    cs_pjob *j = cookie;
    cs_mpc_verdict v = {0};
    cs_slice body, out = {0};
    bool done = false;
    if (j->done) {
        return; /* behind the signature nothing matters any more */
    }
    cs_err err = cs_frame_body(&body, message);
    if (err == CS_OK) {
        err = cs_psign_on(j->sign, j->client->work, &out, &done, &j->result.sig, body, &v);
    }
    if (err == CS_OK && out.len > 0) {
        err = cs_pclient_send_frame(c, out);
        /* M3 is our last message: half-close with it, so that the stream ends without a reset when the answer has come */
        cs_grpc_end(c);
    }
    if (v.check != CS_MPC_CHK_NONE) {
        j->result.check = v.check;
    }
    if (err != CS_OK) {
        cs_grpc_cancel(c);
        attempt_failed(j, err);
    } else if (done) {
        cs_grpc_end(c); /* a stored answer; the stream ends by itself, the caller need not wait for that */
        report(j, CS_OK);
    }
}

static void on_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *result)
{
    cs_pjob *j = cookie;
    (void)c;
    j->call = NULL;
    if (j->done) {
        unlink_job(j);
        free(j);
        return;
    }
    attempt_failed(j, result->err != CS_OK ? result->err : CS_E_ABORT_SESSION);
}

static const cs_grpc_call_events sign_events = {on_message, NULL, on_end};

static void start_session(cs_pjob *j)
{
    cs_pclient *p = j->client;
    cs_slice frame;
    j->channel = j->ident->channel;
    j->result.attempts++;
    cs_err err = cs_psign_new(&j->sign, p->work, &frame, j->channel, &j->request);
    if (err == CS_OK) {
        err = cs_grpc_call_new(&j->call, p->grpc, SESSION_PATH, p->config.timeout_ms, &sign_events, j);
    }
    if (err == CS_OK) {
        err = cs_pclient_send_frame(j->call, frame);
        if (err != CS_OK) {
            cs_grpc_cancel(j->call);
            j->call = NULL;
        }
    }
    if (err != CS_OK) {
        end_job(j, err);
    }
}

static bool channel_fresh(const cs_pident *i)
{
    return i->channel != NULL && cs_mpc_pair_usable(i->channel->pair) && i->call == NULL &&
           cs_mpc_pair_used(i->channel->pair) < CS_PARTY_CHANNEL_SIGNATURES - 1024 &&
           cs_loop_now(i->client->config.loop) - i->made_ms < CS_PARTY_CHANNEL_MS;
}

static void run_job(cs_pjob *j)
{
    cs_pident *i = j->ident;
    if (channel_fresh(i)) {
        start_session(j);
        return;
    }
    if (i->call == NULL && i->channel != NULL) {
        cs_pchannel_release(i->channel);
        i->channel = NULL;
    }
    j->next_waiting = i->waiting;
    i->waiting = j;
    cs_pident_start(i);
}

void cs_pident_ready(cs_pident *i, cs_err err)
{
    cs_pjob *list = i->waiting;
    i->waiting = NULL;
    while (list != NULL) {
        cs_pjob *j = list;
        list = j->next_waiting;
        if (err == CS_OK) {
            run_job(j);
        } else if (may_repeat(err) && j->result.attempts++ < i->client->config.retries) {
            run_job(j);
        } else {
            end_job(j, err);
        }
    }
}

/* ---- requests */

static void turn(void *cookie)
{
    cs_pclient *p = cookie;
    cs_pjob *list = p->queued;
    p->queued = NULL;
    while (list != NULL) {
        cs_pjob *j = list;
        list = j->next_waiting;
        run_job(j);
    }
}

static cs_pident *ident_of(cs_pclient *p, const cs_mpc_key *k)
{
    for (size_t i = 0; i < p->num_idents; i++) {
        if (&p->ident[i].own->parties == k->parties) {
            return &p->ident[i];
        }
    }
    return NULL;
}

cs_err cs_pclient_sign(cs_pclient *p, const cs_psign_request *r, cs_pclient_fn *fn, void *cookie)
{
    const cs_mpc_key *key = r->key != NULL ? r->key : cs_share_find(p->config.shares, r->account_id);
    cs_pident *ident = key != NULL ? ident_of(p, key) : NULL;
    if (ident == NULL || r->account_id.len > CS_HELLO_MAX_ACCOUNT) {
        return CS_E_ACCOUNT_UNKNOWN;
    }
    if (r->execution_id.len < 1 || r->execution_id.len > CS_HELLO_MAX_EXECUTION || r->path_len > CS_HELLO_MAX_PATH) {
        return CS_E_RANGE;
    }
    cs_pjob *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return CS_E_NO_MEMORY;
    }
    j->client = p;
    j->ident = ident;
    j->fn = fn;
    j->cookie = cookie;
    j->request = *r;
    j->request.key = key;
    memcpy(j->account, r->account_id.p, r->account_id.len);
    memcpy(j->execution, r->execution_id.p, r->execution_id.len);
    j->request.account_id.p = (const uint8_t *)j->account;
    j->request.execution_id.p = j->execution;
    j->next = p->jobs;
    j->prev = &p->jobs;
    if (p->jobs != NULL) {
        p->jobs->prev = &j->next;
    }
    p->jobs = j;
    p->busy++;
    j->next_waiting = p->queued;
    p->queued = j;
    cs_defer_arm(p->config.loop, &p->turn);
    return CS_OK;
}

size_t cs_pclient_busy(const cs_pclient *p)
{
    return p->busy;
}

uint64_t cs_pclient_channels(const cs_pclient *p)
{
    return p->channels;
}

static cs_err make_idents(cs_pclient *p)
{
    size_t n = cs_share_num_parties(p->config.shares);
    p->ident = calloc(n > 0 ? n : 1, sizeof *p->ident);
    if (p->ident == NULL) {
        return CS_E_NO_MEMORY;
    }
    for (; p->num_idents < n; p->num_idents++) {
        cs_pident *i = &p->ident[p->num_idents];
        i->client = p;
        i->own = cs_share_party_at(p->config.shares, p->num_idents);
        i->peer = (uint16_t)(i->own->parties.n == 2 ? 3 - i->own->index : i->own->index == 1 ? 2 : 1);
        CS_TRY(cs_mpc_peer_new(&i->mpc, i->own->static_pub, i->own->parties.idkey[i->peer - 1]));
    }
    return CS_OK;
}

cs_err cs_pclient_new(cs_pclient **out, const cs_pclient_config *config)
{
    cs_pclient *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    p->config = *config;
    p->config.timeout_ms = config->timeout_ms != 0 ? config->timeout_ms : DEFAULT_MS;
    p->turn = (cs_defer){.fn = turn, .cookie = p};
    p->work = cs_secret_alloc(sizeof *p->work);
    cs_err err = p->work == NULL ? CS_E_NO_MEMORY : make_idents(p);
    if (err == CS_OK) {
        err = cs_grpc_client_new(&p->grpc, config->loop, config->service, NULL);
    }
    if (err != CS_OK) {
        cs_pclient_free(p);
        return err;
    }
    *out = p; /* transferred */
    return CS_OK;
}

void cs_pclient_free(cs_pclient *p)
{
    if (p == NULL) {
        return;
    }
    cs_defer_cancel(&p->turn);
    for (cs_pjob *j = p->jobs, *next; j != NULL; j = next) {
        next = j->next;
        if (j->call != NULL) {
            cs_grpc_cancel(j->call);
        }
        cs_psign_free(j->sign);
        free(j);
    }
    for (size_t i = 0; i < p->num_idents; i++) {
        cs_pident_stop(&p->ident[i]);
        cs_mpc_peer_free(p->ident[i].mpc);
    }
    cs_grpc_client_free(p->grpc);
    cs_secret_free(p->work);
    free(p->ident);
    free(p);
}
