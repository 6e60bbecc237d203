#include "tools/participant.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/h2/wire.h"
#include "net/health.pb-c.h"
#include "net/mpc.pb-c.h"
#include "party/memory.h"

#define SIGNATURE_MAX 96u /* bytes of a packed SignatureMessage */
#define CALLS_MAX 8192u
#define ACCOUNT_ID_FIELD 5u /* of mpc.SignMessage */

typedef struct request request;

/* A call that waits for a request. The call's cookie. */
typedef struct waiter {
    request *r;
    cs_grpc_call *call;
    struct waiter *next, **prev;
} waiter;

struct request {
    cs_participant *p;
    cs_pjob *job;
    cs_pmemory_entry *entry;
    waiter *waiters;
    uint64_t began_ns;
    int32_t tx_id;
    char account[CS_HELLO_MAX_ACCOUNT + 1];
};

/* One Watch of health. The call's cookie; NULL before the request has come. */
typedef struct watch {
    cs_participant *p;
    cs_grpc_call *call;
    bool known;
    struct watch *next, **prev;
} watch;

struct cs_participant {
    cs_participant_config config;
    cs_grpc_server *server;
    cs_pmemory *memory;
    watch *watches;
    size_t busy;
    bool draining;
};

static void malformed(cs_grpc_call *call)
{
    cs_grpc_finish_as(call, CS_GRPC_INTERNAL, CS_E_FORMAT, "the protobuf message is malformed");
}

/* ---------------------------------------------------------------- answers */

static void answer(cs_grpc_call *call, const cs_pmemory_entry *e)
{
    Mpc__SignatureMessage m = MPC__SIGNATURE_MESSAGE__INIT;
    uint8_t packed[SIGNATURE_MAX], rs[64];
    memcpy(rs, e->r, 32);
    memcpy(rs + 32, e->s, 32);
    m.r = (ProtobufCBinaryData){32, rs};
    m.s = (ProtobufCBinaryData){32, rs + 32};
    m.v = e->recid;
    cs_slice part = cs_slice_of(packed, mpc__signature_message__pack(&m, packed));
    cs_grpc_finish(call, cs_grpc_send(call, &part, 1), NULL);
}

static void unlink_waiter(waiter *w)
{
    *w->prev = w->next;
    if (w->next != NULL) {
        w->next->prev = w->prev;
    }
}

static void end_request(request *r)
{
    r->entry->live = NULL;
    r->p->busy--;
    free(r);
}

static void log_result(const request *r, const cs_presult *result)
{
    uint64_t us = (cs_clock_mono_ns() - r->began_ns) / 1000;
    if (result->err == CS_OK) {
        cs_log(CS_LOG_INFO, "signed", CS_LC("account", r->account), CS_LI("tx_id", r->tx_id),
               CS_LU("attempts", result->attempts), CS_LU("us", us));
    } else {
        cs_log_err(CS_LOG_WARN, "refused", result->err, CS_LC("account", r->account), CS_LI("tx_id", r->tx_id),
                   CS_LU("attempts", result->attempts), CS_LU("us", us), CS_LC("hint", cs_err_code(result->hint)),
                   CS_LC("check", cs_mpc_check_name(result->check)));
    }
}

static void on_result(void *cookie, const cs_presult *result)
{
    request *r = cookie;
    cs_pmemory_entry *e = r->entry;
    log_result(r, result);
    if (result->err == CS_OK) {
        e->answered = true;
        memcpy(e->r, result->sig.r, 32);
        memcpy(e->s, result->sig.s, 32);
        e->recid = result->sig.recid;
    }
    /* not authenticated, so it only stands behind the cause */
    const char *detail = result->err != CS_OK && result->hint != CS_OK ? cs_err_code(result->hint) : NULL;
    while (r->waiters != NULL) {
        waiter *w = r->waiters;
        cs_grpc_call *call = w->call;
        unlink_waiter(w);
        free(w);
        if (result->err == CS_OK) {
            answer(call, e);
        } else {
            cs_grpc_finish(call, result->err, detail);
        }
    }
    end_request(r);
}

/* ---------------------------------------------------------------- SignTx */

/* as sign-service does: fields in the order of the message, the first that is wrong decides */
static cs_err check(const Mpc__SignMessage *m, cs_slice message, const cs_share_set *shares)
{
    cs_slice account; /* of the message itself: protobuf-c cuts a text at its first NUL */

    CS_TRY(cs_pb_field(&account, message, ACCOUNT_ID_FIELD));
    if (m->execution_id.len < 1 || m->execution_id.len > CS_HELLO_MAX_EXECUTION ||
        (m->chain != MPC__CHAIN__Ethereum && m->chain != MPC__CHAIN__Bitcoin)) {
        return CS_E_RANGE;
    }
    if (m->data.len != 32) {
        return CS_E_DIGEST_LENGTH;
    }
    return cs_share_find(shares, account) != NULL ? CS_OK : CS_E_ACCOUNT_UNKNOWN;
}

static cs_err wait_for(request *r, cs_grpc_call *call)
{
    waiter *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return CS_E_NO_MEMORY;
    }
    *w = (waiter){.r = r, .call = call, .next = r->waiters, .prev = &r->waiters};
    if (w->next != NULL) {
        w->next->prev = &w->next;
    }
    r->waiters = w;
    cs_grpc_call_set_cookie(call, w);
    return CS_OK;
}

static cs_err start(cs_participant *p, cs_pmemory_entry *e, const cs_psign_request *q, cs_grpc_call *call)
{
    request *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return CS_E_NO_MEMORY;
    }
    *r = (request){.p = p, .entry = e, .began_ns = cs_clock_mono_ns(), .tx_id = (int32_t)q->tx_id};
    memcpy(r->account, q->account_id.p, q->account_id.len); /* of the shares: at most 128 bytes */
    cs_err err = wait_for(r, call);
    if (err == CS_OK) {
        err = p->config.sign(&r->job, p->config.signer, q, on_result, r);
    }
    if (err != CS_OK) {
        free(r->waiters);
        free(r);
        return err;
    }
    e->live = r;
    p->busy++;
    return CS_OK;
}

/* CS_OK: answered, or the call waits */
static cs_err serve(cs_participant *p, const Mpc__SignMessage *m, cs_slice message, cs_grpc_call *call)
{
    cs_pmemory_entry *e = NULL;
    uint8_t label32[32];
    cs_hello h = {.account_id = cs_slice_str(m->account_id),
                  .tx_id = m->tx_id,
                  .execution_id = cs_slice_of(m->execution_id.data, m->execution_id.len)};
    CS_TRY(check(m, message, p->config.shares));
    CS_TRY(cs_hello_label(label32, &h));
    CS_TRY(cs_pmemory_claim(&e, p->memory, label32, m->data.data));
    if (e->answered) {
        answer(call, e);
        return CS_OK;
    }
    if (e->live != NULL) {
        return wait_for(e->live, call);
    }
    cs_psign_request q = {.account_id = h.account_id, .tx_id = h.tx_id, .execution_id = h.execution_id};
    memcpy(q.digest32, m->data.data, 32);
    return start(p, e, &q, call);
}

static void on_sign(cs_grpc_call *call, cs_slice message)
{
    Mpc__SignMessage *m = mpc__sign_message__unpack(NULL, message.len, message.p);
    cs_grpc_call_set_cookie(call, NULL);
    if (m == NULL) {
        malformed(call);
        return;
    }
    cs_err err = serve(cs_grpc_call_server_cookie(call), m, message, call);
    if (err != CS_OK) {
        cs_log_err(CS_LOG_WARN, "refused", err, CS_LI("tx_id", m->tx_id));
        cs_grpc_finish(call, err, err == CS_E_RANGE ? "execution_id is 1 to 64 bytes, chain 0 or 1" : NULL);
    }
    mpc__sign_message__free_unpacked(m, NULL);
}

/* The caller left, or its deadline has passed. */
static void on_sign_gone(cs_grpc_call *call)
{
    waiter *w = cs_grpc_call_cookie(call);
    if (w == NULL) {
        return;
    }
    request *r = w->r;
    unlink_waiter(w);
    free(w);
    if (r->waiters == NULL) {
        cs_log(CS_LOG_INFO, "given_up", CS_LC("account", r->account), CS_LI("tx_id", r->tx_id));
        r->p->config.cancel(r->job);
        end_request(r);
    }
}

/* ---------------------------------------------------------------- health */

static bool send_health(cs_grpc_call *call, bool known, bool draining)
{
    Grpc__Health__V1__HealthCheckResponse m = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    uint8_t packed[16];
    m.status = !known     ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN
               : draining ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
                          : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    cs_slice part = cs_slice_of(packed, grpc__health__v1__health_check_response__pack(&m, packed));
    return cs_grpc_send(call, &part, 1) == CS_OK;
}

/* CS_OK, CS_E_FORMAT; *known: a service that is here */
static cs_err parse_health(bool *known, cs_slice message)
{
    Grpc__Health__V1__HealthCheckRequest *m =
        grpc__health__v1__health_check_request__unpack(NULL, message.len, message.p);
    if (m == NULL) {
        return CS_E_FORMAT;
    }
    *known = m->service[0] == '\0' || strcmp(m->service, "mpc.Participant") == 0;
    grpc__health__v1__health_check_request__free_unpacked(m, NULL);
    return CS_OK;
}

static void on_check(cs_grpc_call *call, cs_slice message)
{
    const cs_participant *p = cs_grpc_call_server_cookie(call);
    bool known = false;
    if (parse_health(&known, message) != CS_OK) {
        malformed(call);
    } else if (!known) {
        cs_grpc_finish(call, CS_E_NOT_FOUND, NULL);
    } else {
        cs_grpc_finish(call, send_health(call, true, p->draining) ? CS_OK : CS_E_NO_MEMORY, NULL);
    }
}

static void watch_free(watch *w)
{
    *w->prev = w->next;
    if (w->next != NULL) {
        w->next->prev = w->prev;
    }
    free(w);
}

static void on_watch_open(cs_grpc_call *call, void *server_cookie)
{
    (void)server_cookie;
    cs_grpc_call_set_cookie(call, NULL);
}

static void on_watch(cs_grpc_call *call, cs_slice message)
{
    cs_participant *p = cs_grpc_call_server_cookie(call);
    watch *w = cs_grpc_call_cookie(call);
    bool known = false;
    if (w != NULL || parse_health(&known, message) != CS_OK) {
        if (w != NULL) {
            watch_free(w);
        }
        cs_grpc_call_set_cookie(call, NULL);
        malformed(call);
        return;
    }
    w = calloc(1, sizeof *w);
    if (w == NULL || !send_health(call, known, p->draining)) {
        free(w);
        cs_grpc_finish(call, CS_E_NO_MEMORY, NULL);
        return;
    }
    *w = (watch){.p = p, .call = call, .known = known, .next = p->watches, .prev = &p->watches};
    if (w->next != NULL) {
        w->next->prev = &w->next;
    }
    p->watches = w;
    cs_grpc_call_set_cookie(call, w);
}

static void on_watch_half_close(cs_grpc_call *call)
{
    (void)call; /* what it watches goes on */
}

static void on_watch_gone(cs_grpc_call *call)
{
    watch *w = cs_grpc_call_cookie(call);
    if (w != NULL) {
        watch_free(w);
    }
}

/* ---------------------------------------------------------------- the server */

static const cs_grpc_method methods[] = {
    {.path = "/mpc.Participant/SignTx", .on_message = on_sign, .on_gone = on_sign_gone},
    {.path = "/grpc.health.v1.Health/Check", .on_message = on_check},
    {.path = "/grpc.health.v1.Health/Watch",
     .server_streams = true,
     .on_open = on_watch_open,
     .on_message = on_watch,
     .on_half_close = on_watch_half_close,
     .on_gone = on_watch_gone},
    {0},
};

cs_err cs_participant_new(cs_participant **out, const cs_participant_config *config, int listen_fd_take)
{
    cs_participant *p = calloc(1, sizeof *p);
    cs_err err = p == NULL ? CS_E_NO_MEMORY : cs_pmemory_new(&p->memory, 0);
    if (err == CS_OK) {
        p->config = *config;
        err = cs_grpc_server_new(&p->server, config->loop, listen_fd_take, methods,
                                 &(cs_grpc_opts){.calls_max = CALLS_MAX}, p);
    }
    if (err != CS_OK) {
        cs_participant_free(p);
        return err;
    }
    *out = p; /* transferred */
    return CS_OK;
}

void cs_participant_drain(cs_participant *p, cs_loop_fn *done, void *cookie)
{
    p->draining = true;
    while (p->watches != NULL) { /* they would never end */
        watch *w = p->watches;
        cs_grpc_call *call = w->call;
        bool known = w->known;
        watch_free(w);
        (void)send_health(call, known, true);
        cs_grpc_finish(call, CS_OK, NULL);
    }
    cs_grpc_server_drain(p->server, done, cookie);
}

size_t cs_participant_busy(const cs_participant *p)
{
    return p->busy;
}

void cs_participant_free(cs_participant *p)
{
    if (p == NULL) {
        return;
    }
    cs_grpc_server_free(p->server); /* calls under way hear of it: their requests are given up */
    cs_pmemory_free(p->memory);
    free(p);
}
