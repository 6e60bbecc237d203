/*
 * gRPC passed through to sign-service, message by message: what one side does not take stops the other side's sending (windows of
 * HTTP/2), half-close, cancellation, the rest of the deadline and the trailers go on. Messages are copied once, into the queue of
 * the other side. A unary SignTx also is a call of its room (docs/formats/rooms.md).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/gateway.h"
#include "net/mpc.pb-c.h"

typedef struct link {
    cs_gate *gate;
    cs_grpc_call *down; /* NULL: has been finished, or is gone */
    cs_pool_call *up;   /* NULL: has ended */
    char room[32];      /* "": no call of a room */
    uint64_t ticket;
} link;

static const char participant[] = "/mpc.Participant/SignTx";
static const char sign_gateway[] = "/mpc.SignGateway/SignTx";

/* ---- bytes ---- */

/* A message on its way; the gateway counts what it holds. */
typedef struct held {
    cs_gate *gate;
    size_t len;
    uint8_t bytes[];
} held;

static void held_release(void *cookie)
{
    held *h = cookie;
    h->gate->held -= h->len;
    free(h);
}

static cs_err pass(cs_gate *g, cs_grpc_call *to, cs_slice message)
{
    if (g->held + message.len > g->config.call_bytes) {
        return CS_E_NO_MEMORY;
    }
    held *h = malloc(sizeof *h + message.len);
    if (h == NULL) {
        return CS_E_NO_MEMORY;
    }
    h->gate = g;
    h->len = message.len;
    if (message.len > 0) {
        memcpy(h->bytes, message.p, message.len);
    }
    g->held += h->len;
    cs_err err = cs_grpc_send_ref(to, CS_SLICE_NULL, cs_slice_of(h->bytes, h->len), held_release, h);
    if (err != CS_OK) {
        held_release(h);
    }
    return err;
}

/* ---- life ---- */

static void link_free(link *k, bool well)
{
    if (k->room[0] != '\0') {
        cs_rooms_call_end(k->gate->rooms, cs_slice_str(k->room), cs_loop_now(k->gate->loop), k->ticket, well);
    }
    free(k);
}

/* Ours to end, on both sides. */
static void link_fail(link *k, cs_err err)
{
    cs_grpc_call *down = k->down;
    if (k->up != NULL) {
        cs_pool_cancel(k->up);
    }
    link_free(k, false);
    cs_grpc_finish(down, err, NULL);
}

static void up_message(void *cookie, cs_slice message)
{
    link *k = cookie;
    cs_err err = pass(k->gate, k->down, message);
    if (err != CS_OK) {
        link_fail(k, err);
    } else if (cs_grpc_full(k->down)) {
        cs_grpc_read(cs_pool_call_grpc(k->up), false);
    }
}

static void up_drain(void *cookie)
{
    link *k = cookie;
    cs_grpc_read(k->down, true);
}

static void up_end(void *cookie, const cs_pool_result *r)
{
    link *k = cookie;
    cs_grpc_call *down = k->down;
    k->up = NULL;
    link_free(k, r->status == CS_GRPC_OK && !r->ours);
    if (r->ours) {
        cs_grpc_finish(down, r->code, NULL);
    } else {
        cs_grpc_finish_raw(down, r->status, r->code, r->message);
    }
}

static cs_err link_new(link **out, cs_grpc_call *down, const char *path)
{
    static const cs_pool_events events = {up_message, up_drain, up_end};
    cs_gate *g = cs_grpc_call_server_cookie(down);
    link *k = calloc(1, sizeof *k);
    cs_grpc_call_set_cookie(down, NULL);
    if (k == NULL) {
        return CS_E_NO_MEMORY;
    }
    k->gate = g;
    k->down = down;
    cs_err err = cs_pool_call_new(&k->up, g->pool, path, cs_grpc_call_left_ms(down), &events, k);
    if (err != CS_OK) {
        free(k);
        return err;
    }
    cs_grpc_call_set_cookie(down, k);
    *out = k;
    return CS_OK;
}

static void on_gone(cs_grpc_call *c)
{
    link *k = cs_grpc_call_cookie(c);
    if (k != NULL) {
        cs_pool_cancel(k->up);
        link_free(k, false);
    }
}

static void on_drain(cs_grpc_call *c)
{
    link *k = cs_grpc_call_cookie(c);
    if (k != NULL && k->up != NULL) {
        cs_grpc_read(cs_pool_call_grpc(k->up), true);
    }
}

/* ---- streams ---- */

static void on_open(cs_grpc_call *c, void *server_cookie)
{
    link *k = NULL;
    (void)server_cookie;
    cs_err err = link_new(&k, c, cs_grpc_call_path(c));
    if (err != CS_OK) {
        cs_grpc_finish(c, err, NULL);
    }
}

static void on_message(cs_grpc_call *c, cs_slice message)
{
    link *k = cs_grpc_call_cookie(c);
    cs_grpc_call *up = cs_pool_call_grpc(k->up);
    cs_err err = pass(k->gate, up, message);
    if (err != CS_OK) {
        link_fail(k, err);
    } else if (cs_grpc_full(up)) {
        cs_grpc_read(c, false);
    }
}

static void on_half_close(cs_grpc_call *c)
{
    link *k = cs_grpc_call_cookie(c);
    cs_grpc_end(cs_pool_call_grpc(k->up));
}

/* ---- unary ---- */

static void pass_unary(cs_grpc_call *c, cs_slice message, const char *path, const char *room)
{
    link *k = NULL;
    cs_err err = link_new(&k, c, path);
    if (err != CS_OK) {
        cs_grpc_finish(c, err, NULL);
        return;
    }
    if (room != NULL) {
        snprintf(k->room, sizeof k->room, "%s", room);
        k->ticket = cs_rooms_call_begin(k->gate->rooms, cs_slice_str(k->room), cs_loop_now(k->gate->loop));
    }
    err = pass(k->gate, cs_pool_call_grpc(k->up), message);
    if (err != CS_OK) {
        link_fail(k, err);
        return;
    }
    cs_grpc_end(cs_pool_call_grpc(k->up));
}

static void on_unary(cs_grpc_call *c, cs_slice message)
{
    pass_unary(c, message, cs_grpc_call_path(c), NULL);
}

/* A message that cannot be read goes on too: what is wrong with it is the service's to say. */
static void on_sign(cs_grpc_call *c, cs_slice message)
{
    char room[32];
    Mpc__SignMessage *m = mpc__sign_message__unpack(NULL, message.len, message.p);
    if (m != NULL) {
        snprintf(room, sizeof room, "signing_%d", (int)m->tx_id);
        mpc__sign_message__free_unpacked(m, NULL);
    }
    pass_unary(c, message, participant, m != NULL ? room : NULL);
}

const cs_grpc_method cs_gate_proxy_methods[] = {
    {.path = sign_gateway, .on_message = on_sign, .on_drain = on_drain, .on_gone = on_gone},
    {.path = participant, .on_message = on_sign, .on_drain = on_drain, .on_gone = on_gone},
    {.path = "/countersign.v1.Party/Session",
     .client_streams = true,
     .server_streams = true,
     .on_open = on_open,
     .on_message = on_message,
     .on_half_close = on_half_close,
     .on_drain = on_drain,
     .on_gone = on_gone},
    {.path = "/countersign.v1.Enclave/Attest", .on_message = on_unary, .on_drain = on_drain, .on_gone = on_gone},
    {.path = "/countersign.v1.Enclave/Status", .on_message = on_unary, .on_drain = on_drain, .on_gone = on_gone},
    {.path = "/countersign.v1.Enclave/Unban", .on_message = on_unary, .on_drain = on_drain, .on_gone = on_gone},
    {0},
};
