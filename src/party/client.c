#include "party/client.h"

#include <stdlib.h>
#include <string.h>

#include "party/client_int.h"

#define DEFAULT_MS 15000u
#define SILENCE_MS 10000u

static void run_job(cs_pjob *j);

/* ---- going through requests */

static void walk_begin(cs_pwalk *w, cs_pclient *p, cs_pjob **list)
{
    *w = (cs_pwalk){.list = *list, .outer = p->walks};
    *list = NULL;
    p->walks = w;
}

/* NULL: that was all, and the walk is over */
static cs_pjob *walk_next(cs_pwalk *w, cs_pclient *p)
{
    cs_pjob *j = w->list;
    if (j == NULL) {
        p->walks = w->outer;
    } else {
        w->list = j->next_waiting;
    }
    return j;
}

/* ---- the end of a request */

static void unlink_job(cs_pjob *j)
{
    *j->prev = j->next;
    if (j->next != NULL) {
        j->next->prev = j->prev;
    }
    j->client->busy--;
    if (j->ident->trigger == j) {
        j->ident->trigger = NULL;
    }
}

static void end_job(cs_pjob *j, cs_err err)
{
    unlink_job(j);
    cs_psign_free(j->sign);
    j->result.err = err;
    j->fn(j->cookie, &j->result);
    free(j);
}

static bool may_repeat(cs_err e)
{
    return e == CS_E_ABORT_SESSION || e == CS_E_CLOSED || e == CS_E_PEER_SILENT || e == CS_E_IO;
}

/* an attempt ended without a signature; its stream is gone */
static void attempt_failed(cs_pjob *j, cs_err err)
{
    cs_pident *i = j->ident;
    cs_psign_free(j->sign);
    j->sign = NULL;
    j->stream = NULL;
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

static void on_frame(void *cookie, cs_slice frame)
{
    cs_pjob *j = cookie;
    cs_mpc_verdict v = {0};
    cs_slice out = CS_SLICE_NULL;
    bool done = false;
    cs_err err = cs_psign_on(j->sign, j->client->work, &out, &done, &j->result.sig, frame, &v);
    if (err == CS_OK && out.len > 0) {
        err = cs_pstream_send(j->stream, out);
        /* M3 is our last message: half-close with it, so that the stream ends without a reset when the answer has come */
        cs_pstream_sent_all(j->stream);
    }
    if (v.check != CS_MPC_CHK_NONE) {
        j->result.check = v.check;
    }
    if (err != CS_OK) {
        cs_pstream_cancel(j->stream);
        attempt_failed(j, err);
    } else if (done) {
        cs_pstream_done(j->stream);
        end_job(j, CS_OK);
    }
}

cs_err cs_pclient_code(cs_slice code)
{
    char text[CS_ROOM_END_CODE_MAX + 1] = {0};
    if (code.len == 0 || code.len > CS_ROOM_END_CODE_MAX) {
        return CS_E_INTERNAL;
    }
    memcpy(text, code.p, code.len);
    return cs_err_from_code(text);
}

/* Anybody may have written it: a new channel is made once for each request, everything else only says more about a silence. */
static void on_hint(void *cookie, const cs_room_end *end)
{
    cs_pjob *j = cookie;
    if (!cs_psign_is(j->sign, end->channel16, end->session16)) {
        return;
    }
    cs_err err = cs_pclient_code(end->code);
    if (err == CS_E_CHANNEL_UNKNOWN && !j->rechannelled) {
        cs_pstream_cancel(j->stream);
        attempt_failed(j, err);
    } else {
        j->result.hint = err;
    }
}

static void on_end(void *cookie, cs_err err)
{
    attempt_failed(cookie, err != CS_OK ? err : CS_E_ABORT_SESSION);
}

static const cs_pstream_events sign_events = {on_frame, on_hint, on_end};

static cs_err open_session(cs_pjob *j)
{
    cs_pclient *p = j->client;
    cs_slice frame;
    cs_pstream_args args = {.account_id = j->request.account_id,
                            .execution_id = j->request.execution_id,
                            .tx_id = j->request.tx_id,
                            .timeout_ms = p->config.timeout_ms,
                            .events = &sign_events,
                            .cookie = j};
    CS_TRY(cs_psign_new(&j->sign, p->work, &frame, j->channel, &j->request));
    if (p->transport->ops->room) {
        cs_psign_in_room(j->sign);
    }
    CS_TRY(cs_pstream_open(&j->stream, p->transport, &args));
    cs_err err = cs_pstream_send(j->stream, frame);
    if (err != CS_OK) {
        cs_pstream_cancel(j->stream);
    }
    return err;
}

static void start_session(cs_pjob *j)
{
    j->channel = j->ident->channel;
    j->result.attempts++;
    cs_err err = open_session(j);
    if (err != CS_OK) {
        end_job(j, err);
    }
}

static bool channel_fresh(const cs_pident *i)
{
    return i->channel != NULL && cs_mpc_pair_usable(i->channel->pair) && !cs_pident_busy(i) &&
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
    if (!cs_pident_busy(i) && i->channel != NULL) {
        cs_pchannel_release(i->channel);
        i->channel = NULL;
    }
    j->next_waiting = i->waiting;
    i->waiting = j;
    cs_pident_start(i, j);
}

/*
 * In a room only the request that the set-up ran for has failed: nobody was there for it. The others, newest first, try in theirs;
 * each failure costs the one that it happened to an attempt, so it ends.
 */
static void ready_one(cs_pjob *j, cs_err err, bool trigger)
{
    const cs_pclient *p = j->client;
    if (err == CS_OK || (p->transport->ops->room && err == CS_E_PEER_SILENT && !trigger)) {
        run_job(j);
    } else if (may_repeat(err) && j->result.attempts++ < p->config.retries) {
        run_job(j);
    } else {
        end_job(j, err);
    }
}

void cs_pident_ready(cs_pident *i, cs_err err)
{
    const cs_pjob *trigger = i->trigger;
    const cs_err hint = i->hint; /* another set-up may begin before it is told */
    cs_pwalk w;
    walk_begin(&w, i->client, &i->waiting);
    for (cs_pjob *j = walk_next(&w, i->client); j != NULL; j = walk_next(&w, i->client)) {
        if (j == trigger) {
            j->result.hint = hint;
        }
        ready_one(j, err, j == trigger);
    }
}

/* ---- requests */

static void turn(void *cookie)
{
    cs_pclient *p = cookie;
    cs_pwalk w;
    walk_begin(&w, p, &p->queued);
    for (cs_pjob *j = walk_next(&w, p); j != NULL; j = walk_next(&w, p)) {
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

cs_err cs_pclient_sign(cs_pjob **out_job, cs_pclient *p, const cs_psign_request *r, cs_pclient_fn *fn, void *cookie)
{
    const cs_mpc_key *key = r->key != NULL ? r->key : cs_share_find(p->config.shares, r->account_id);
    cs_pident *ident = key != NULL ? ident_of(p, key) : NULL;
    if (ident == NULL || r->account_id.len > CS_HELLO_MAX_ACCOUNT) {
        return CS_E_ACCOUNT_UNKNOWN;
    }
    if (r->execution_id.len < 1 || r->execution_id.len > CS_HELLO_MAX_EXECUTION || r->path_len > CS_HELLO_MAX_PATH) {
        return CS_E_RANGE;
    }
    /* SignMessage of mpc.proto has no path, and names its room by 32 bits */
    if (p->transport->ops->room && (r->path_len > 0 || r->tx_id < INT32_MIN || r->tx_id > INT32_MAX)) {
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
    if (out_job != NULL) {
        *out_job = j;
    }
    return CS_OK;
}

static void take_out(cs_pjob **list, const cs_pjob *j)
{
    while (*list != NULL && *list != j) {
        list = &(*list)->next_waiting;
    }
    if (*list == j) {
        *list = j->next_waiting;
    }
}

void cs_pclient_cancel(cs_pjob *j)
{
    take_out(&j->client->queued, j);
    take_out(&j->ident->waiting, j);
    for (cs_pwalk *w = j->client->walks; w != NULL; w = w->outer) {
        take_out(&w->list, j);
    }
    if (j->stream != NULL) {
        cs_pstream_cancel(j->stream);
    }
    unlink_job(j);
    cs_psign_free(j->sign);
    free(j);
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

/* each attempt has its part of the silence: the enclave's party waits that long in all, and a retry must find it */
static uint32_t attempt_silence(const cs_pclient_config *config)
{
    uint32_t all = config->silence_ms != 0 ? config->silence_ms : SILENCE_MS;
    return all / (config->retries + 1) + 1;
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
        err = config->gateway_url != NULL
                  ? cs_ptransport_rooms(&p->transport, config->loop, config->gateway_url, attempt_silence(config))
                  : cs_ptransport_grpc(&p->transport, config->loop, config->service);
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
    while (p->jobs != NULL) {
        cs_pclient_cancel(p->jobs);
    }
    for (size_t i = 0; i < p->num_idents; i++) {
        cs_pident_stop(&p->ident[i]);
        cs_mpc_peer_free(p->ident[i].mpc);
    }
    cs_ptransport_free(p->transport);
    cs_secret_free(p->work);
    free(p->ident);
    free(p);
}
