/*
 * countersign.v1.Enclave (Attest, Status, Unban) and grpc.health.v1.Health. Each request becomes one frame to core; the answer
 * is made of core's reply. Health is SERVING while core's phase is SERVING or RELOADING.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "net/aws/json.h"
#include "net/countersign.pb-c.h"
#include "net/h2/wire.h"
#include "net/health.pb-c.h"
#include "service/service.h"

#define ATTEST_TIMEOUT_MS 15000u
#define STATUS_TIMEOUT_MS 5000u
#define UNBAN_TIMEOUT_MS 5000u
#define WATCH_EVERY_MS 100u  /* a client hears of a change at most this late after core was asked */
#define HEALTH_EVERY_MS 500u /* core is asked */
#define NONCE_MIN 16
#define NONCE_MAX 512
#define ACCOUNT_MAX 128
#define ATTEST_ACCOUNT_FIELD 2u /* of AttestRequest */
#define UNBAN_MAX 1024
#define STATUS_TEXT_MAX 64

/* Sends a packed message and ends the call. */
static void answer(cs_grpc_call *call, const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(len > 0 ? len : 1);
    cs_err err = CS_E_NO_MEMORY;

    if (bytes != NULL) {
        (void)protobuf_c_message_pack(message, bytes);
        cs_slice part = cs_slice_of(bytes, len);
        err = cs_grpc_send(call, &part, 1);
    }
    free(bytes);
    cs_grpc_finish(call, err, NULL);
}

static void malformed(cs_grpc_call *call)
{
    cs_grpc_finish_as(call, CS_GRPC_INTERNAL, CS_E_FORMAT, "the protobuf message is malformed");
}

/* The client left: the reply must find nobody. */
static void on_gone(cs_grpc_call *call)
{
    cs_service_forget(cs_grpc_call_server_cookie(call), call);
}

static cs_err code_of(cs_slice text)
{
    char code[48] = {0};

    if (text.len == 0 || text.len >= sizeof code) {
        return CS_E_INTERNAL;
    }
    memcpy(code, text.p, text.len);
    return cs_err_from_code(code);
}

/* Starts a call to core, or refuses the gRPC call at once. */
static void start(cs_grpc_call *call, cs_rpc_frame *f, uint32_t timeout_ms, cs_pending_fn *fn)
{
    cs_err err = cs_service_call(cs_grpc_call_server_cookie(call), f, timeout_ms, fn, call);

    if (err != CS_OK) {
        cs_grpc_finish(call, err == CS_E_RANGE ? CS_E_SESSION_LIMIT : err, NULL);
    }
}

/* ---------------------------------------------------------------- Attest */

static void attest_reply(void *cookie, const cs_rpc_frame *reply)
{
    cs_grpc_call *call = cookie;
    Countersign__V1__AttestReply out = COUNTERSIGN__V1__ATTEST_REPLY__INIT;

    if (reply == NULL || reply->type != CS_RPC_ATTEST_REPLY) {
        cs_grpc_finish(call, reply == NULL ? CS_E_TIMEOUT : CS_E_INTERNAL, NULL);
        return;
    }
    cs_err err = code_of(reply->f[0].s);
    if (err != CS_OK) {
        cs_grpc_finish(call, err, NULL);
        return;
    }
    out.document.data = (uint8_t *)(uintptr_t)reply->f[1].s.p;
    out.document.len = reply->f[1].s.len;
    answer(call, &out.base);
}

static void on_attest(cs_grpc_call *call, cs_slice message)
{
    Countersign__V1__AttestRequest *in = countersign__v1__attest_request__unpack(NULL, message.len, message.p);

    if (in == NULL) {
        malformed(call);
        return;
    }
    cs_slice account; /* of the message itself: protobuf-c cuts a text at its first NUL */
    cs_err err = cs_pb_field(&account, message, ATTEST_ACCOUNT_FIELD);
    if (in->nonce.len < NONCE_MIN || in->nonce.len > NONCE_MAX) {
        cs_grpc_finish(call, CS_E_RANGE, "nonce is 16 to 512 bytes");
    } else if (err != CS_OK || account.len > ACCOUNT_MAX) {
        cs_grpc_finish(call, CS_E_ACCOUNT_UNKNOWN, NULL);
    } else {
        cs_rpc_frame f = {.type = CS_RPC_ATTEST};
        f.f[0].s = cs_slice_of(in->nonce.data, in->nonce.len);
        f.f[1].s = account;
        start(call, &f, ATTEST_TIMEOUT_MS, attest_reply);
    }
    countersign__v1__attest_request__free_unpacked(in, NULL);
}

/* ---------------------------------------------------------------- Status */

/* What sign-service itself needs of core's status document (docs/formats/status.md). */
struct status {
    char phase[STATUS_TEXT_MAX], version[STATUS_TEXT_MAX];
    uint64_t generation, accounts, bans;
    bool debug, emulated, locked;
};

static cs_err number(const cs_json_field *f, uint64_t *out)
{
    return f->seen ? cs_parse_u64(f->raw, UINT64_MAX, out) : CS_OK;
}

static cs_err read_status(struct status *out, cs_slice json)
{
    cs_buf phase = cs_buf_wrap(out->phase, sizeof out->phase - 1);
    cs_buf version = cs_buf_wrap(out->version, sizeof out->version - 1);
    cs_json_field f[] = {
        {.key = "phase", .kind = CS_JSON_STRING, .out = &phase, .required = true},
        {.key = "version", .kind = CS_JSON_STRING, .out = &version},
        {.key = "generation", .kind = CS_JSON_NUMBER},
        {.key = "accounts", .kind = CS_JSON_NUMBER},
        {.key = "bans", .kind = CS_JSON_NUMBER},
        {.key = "debug", .kind = CS_JSON_BOOL},
        {.key = "emulated", .kind = CS_JSON_BOOL},
        {.key = "memory", .kind = CS_JSON_OBJECT},
    };
    cs_json_field memory[] = {{.key = "locked", .kind = CS_JSON_BOOL}};

    *out = (struct status){0};
    CS_TRY(cs_json_read(json, f, sizeof f / sizeof *f));
    CS_TRY(number(&f[2], &out->generation));
    CS_TRY(number(&f[3], &out->accounts));
    CS_TRY(number(&f[4], &out->bans));
    if (f[7].seen) {
        CS_TRY(cs_json_read(f[7].raw, memory, 1));
    }
    out->debug = cs_slice_eq_str(f[5].raw, "true");
    out->emulated = cs_slice_eq_str(f[6].raw, "true");
    out->locked = cs_slice_eq_str(memory[0].raw, "true");
    return CS_OK;
}

/* Core's reply as text and struct; CS_E_TIMEOUT, CS_E_INTERNAL. */
static cs_err take_status(struct status *out, const cs_rpc_frame *reply)
{
    if (reply == NULL) {
        return CS_E_TIMEOUT;
    }
    if (reply->type != CS_RPC_STATUS_REPLY || read_status(out, reply->f[0].s) != CS_OK) {
        return CS_E_INTERNAL;
    }
    return CS_OK;
}

static void status_reply(void *cookie, const cs_rpc_frame *reply)
{
    cs_grpc_call *call = cookie;
    Countersign__V1__StatusReply out = COUNTERSIGN__V1__STATUS_REPLY__INIT;
    struct status st;
    cs_err err = take_status(&st, reply);
    char *json = err == CS_OK ? strndup((const char *)reply->f[0].s.p, reply->f[0].s.len) : NULL;

    if (json == NULL) {
        cs_grpc_finish(call, err != CS_OK ? err : CS_E_NO_MEMORY, NULL);
        return;
    }
    out.phase = st.phase;
    out.generation = st.generation;
    out.accounts = st.accounts;
    out.debug = st.debug;
    out.emulated = st.emulated;
    out.memory_locked = st.locked;
    out.bans = st.bans;
    out.version = st.version;
    out.json = json;
    answer(call, &out.base);
    free(json);
}

static void on_status(cs_grpc_call *call, cs_slice message)
{
    Countersign__V1__StatusRequest *in = countersign__v1__status_request__unpack(NULL, message.len, message.p);

    if (in == NULL) {
        malformed(call);
        return;
    }
    countersign__v1__status_request__free_unpacked(in, NULL);
    cs_rpc_frame f = {.type = CS_RPC_STATUS};
    start(call, &f, STATUS_TIMEOUT_MS, status_reply);
}

/* ---------------------------------------------------------------- Unban */

static void unban_reply(void *cookie, const cs_rpc_frame *reply)
{
    cs_grpc_call *call = cookie;
    Countersign__V1__UnbanReply out = COUNTERSIGN__V1__UNBAN_REPLY__INIT;
    cs_err err = reply == NULL ? CS_E_TIMEOUT : reply->type != CS_RPC_REPLY ? CS_E_INTERNAL : code_of(reply->f[0].s);

    if (err != CS_OK) {
        cs_grpc_finish(call, err, NULL);
        return;
    }
    answer(call, &out.base);
}

static void on_unban(cs_grpc_call *call, cs_slice message)
{
    Countersign__V1__UnbanRequest *in = countersign__v1__unban_request__unpack(NULL, message.len, message.p);

    if (in == NULL) {
        malformed(call);
        return;
    }
    if (in->order.len == 0 || in->order.len > UNBAN_MAX) {
        cs_grpc_finish(call, CS_E_UNBAN, NULL);
    } else {
        cs_rpc_frame f = {.type = CS_RPC_UNBAN};
        f.f[0].s = cs_slice_of(in->order.data, in->order.len);
        start(call, &f, UNBAN_TIMEOUT_MS, unban_reply);
    }
    countersign__v1__unban_request__free_unpacked(in, NULL);
}

/* ---------------------------------------------------------------- Health */

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;
#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

static serving_status health_of(const cs_rpc_frame *reply)
{
    struct status st;

    if (take_status(&st, reply) != CS_OK) {
        return NOT_SERVING;
    }
    return strcmp(st.phase, "SERVING") == 0 || strcmp(st.phase, "RELOADING") == 0 ? SERVING : NOT_SERVING;
}

/* "" is the server as a whole. */
static bool known_service(const char *name)
{
    static const char *const known[] = {"", "countersign.v1.Party", "countersign.v1.Enclave", "mpc.Participant",
                                        "countersign.v1.TeeCore"};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void health_reply(void *cookie, const cs_rpc_frame *reply)
{
    Grpc__Health__V1__HealthCheckResponse out = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

    out.status = health_of(reply);
    answer(cookie, &out.base);
}

static void on_health_check(cs_grpc_call *call, cs_slice message)
{
    Grpc__Health__V1__HealthCheckRequest *in =
        grpc__health__v1__health_check_request__unpack(NULL, message.len, message.p);

    if (in == NULL) {
        malformed(call);
        return;
    }
    bool known = known_service(in->service);
    grpc__health__v1__health_check_request__free_unpacked(in, NULL);
    if (!known) {
        cs_grpc_finish(call, CS_E_NOT_FOUND, NULL);
        return;
    }
    cs_rpc_frame f = {.type = CS_RPC_STATUS};
    start(call, &f, STATUS_TIMEOUT_MS, health_reply);
}

/* One Watch: tells the client what changed. All of them live on one question to core twice a second. */
struct watch {
    cs_service *service;
    cs_grpc_call *call;
    cs_timer *timer;
    bool known;
    int last; /* what the client knows; -1: nothing yet */
};

static void watch_tell(struct watch *w, serving_status now)
{
    Grpc__Health__V1__HealthCheckResponse out = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    uint8_t bytes[16];

    if ((int)now == w->last) {
        return;
    }
    out.status = now;
    cs_slice part = cs_slice_of(bytes, protobuf_c_message_pack(&out.base, bytes));
    if (cs_grpc_send(w->call, &part, 1) == CS_OK) {
        w->last = (int)now;
    } /* else: the client does not read; the next tick tries again */
}

static void watch_reply(void *cookie, const cs_rpc_frame *reply)
{
    cs_service *s = cookie;

    s->health_asked = false;
    s->health_known = true;
    s->health = (int)health_of(reply);
}

/* The answer of the last question is told, and a new one is asked when nobody has done so in the last half of a second. */
static void watch_tick(void *cookie)
{
    struct watch *w = cookie;
    cs_service *s = w->service;
    cs_rpc_frame f = {.type = CS_RPC_STATUS};
    uint64_t now = cs_loop_now(s->loop);

    if (!s->health_asked && now >= s->health_due &&
        cs_service_call(s, &f, STATUS_TIMEOUT_MS, watch_reply, s) == CS_OK) {
        s->health_asked = true;
        s->health_due = now + HEALTH_EVERY_MS;
    }
    if (s->health_known) {
        watch_tell(w, (serving_status)s->health);
    }
}

static void watch_free(struct watch *w)
{
    cs_timer_free(w->timer);
    free(w);
}

static void on_watch_open(cs_grpc_call *call, void *server_cookie)
{
    (void)server_cookie;
    cs_grpc_call_set_cookie(call, NULL);
}

static void on_watch(cs_grpc_call *call, cs_slice message)
{
    Grpc__Health__V1__HealthCheckRequest *in = NULL;
    struct watch *w = NULL;

    if (cs_grpc_call_cookie(call) != NULL) {
        watch_free(cs_grpc_call_cookie(call));
        cs_grpc_call_set_cookie(call, NULL);
        cs_grpc_finish_as(call, CS_GRPC_INTERNAL, CS_E_FORMAT, "Watch takes one message");
        return;
    }
    in = grpc__health__v1__health_check_request__unpack(NULL, message.len, message.p);
    if (in == NULL) {
        malformed(call);
        return;
    }
    w = calloc(1, sizeof *w);
    if (w == NULL ||
        cs_timer_new(&w->timer, ((cs_service *)cs_grpc_call_server_cookie(call))->loop, watch_tick, w) != CS_OK) {
        free(w);
        grpc__health__v1__health_check_request__free_unpacked(in, NULL);
        cs_grpc_finish(call, CS_E_NO_MEMORY, NULL);
        return;
    }
    w->service = cs_grpc_call_server_cookie(call);
    w->call = call;
    w->known = known_service(in->service);
    w->last = -1;
    grpc__health__v1__health_check_request__free_unpacked(in, NULL);
    cs_grpc_call_set_cookie(call, w);
    if (!w->known) {
        watch_tell(
            w, SERVICE_UNKNOWN); /* the protocol keeps the stream open: the service may appear later; ours never does */
        return;
    }
    watch_tick(w);
    cs_timer_start(w->timer, WATCH_EVERY_MS, WATCH_EVERY_MS);
}

static void on_watch_half_close(cs_grpc_call *call)
{
    (void)call;
}

static void on_watch_gone(cs_grpc_call *call)
{
    struct watch *w = cs_grpc_call_cookie(call);

    if (w != NULL) {
        watch_free(w);
    }
}

const cs_grpc_method cs_service_attest_method = {
    .path = "/countersign.v1.Enclave/Attest", .on_message = on_attest, .on_gone = on_gone};
const cs_grpc_method cs_service_status_method = {
    .path = "/countersign.v1.Enclave/Status", .on_message = on_status, .on_gone = on_gone};
const cs_grpc_method cs_service_unban_method = {
    .path = "/countersign.v1.Enclave/Unban", .on_message = on_unban, .on_gone = on_gone};
const cs_grpc_method cs_service_health_check_method = {
    .path = "/grpc.health.v1.Health/Check", .on_message = on_health_check, .on_gone = on_gone};
const cs_grpc_method cs_service_health_watch_method = {
    .path = "/grpc.health.v1.Health/Watch",
    .server_streams = true,
    .on_open = on_watch_open,
    .on_message = on_watch,
    .on_half_close = on_watch_half_close,
    .on_gone = on_watch_gone,
};
