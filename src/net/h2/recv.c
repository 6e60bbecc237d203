/* What arrives as DATA: messages, what is kept of those that are not whole yet, and for how long. See conn.h. */
#include "net/h2/conn.h"

/* Counts what messages that came in part take; CS_E_NO_MEMORY when it is too much in all. */
static cs_err account(cs_h2_conn *c, cs_grpc_call *call)
{
    size_t held = 0;
    if (cs_unframe_idle(&call->in)) {
        cs_unframe_cleanup(&call->in);
    } else {
        held = call->in.cap;
    }
    held += call->unary.cap;
    if (c->stats == NULL || held == call->held) {
        return CS_OK;
    }
    bool more = held > call->held;
    c->stats->held = c->stats->held - call->held + held;
    call->held = held;
    return more && c->stats->held > c->opts->held_max ? CS_E_NO_MEMORY : CS_OK;
}

/*
 * Server: a message of a stream that has begun must be whole in request_ms, unless it is we who do not read. another: the one
 * that is held in part is not the one that was before, so its time begins.
 */
static void limit_partial(cs_h2_conn *c, cs_grpc_call *call, bool another)
{
    if (call->method == NULL || !call->method->client_streams || call->detached) {
        return;
    }
    if (cs_unframe_idle(&call->in) || call->paused) {
        call->limit = UINT64_MAX;
    } else if (another || call->limit == UINT64_MAX) {
        call->limit = cs_loop_now(c->loop) + c->opts->request_ms;
        cs_h2_conn_deadline(c, call->limit);
    }
}

/* Messages go on as slices of the receive buffer when they lie in it whole. */
int cs_h2_conn_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user)
{
    cs_h2_conn *c = user;
    cs_grpc_call *call = nghttp2_session_get_stream_user_data(session, id);
    cs_slice rest = cs_slice_of(data, len);
    bool whole = false;
    (void)nghttp2_session_consume_connection(session, len);
    if (call == NULL || call->detached) {
        if (call == NULL || !call->plain) { /* who gets no gRPC answer gets no more window either */
            (void)nghttp2_session_consume_stream(session, id, len);
        }
        return 0;
    }
    if (call->paused) {
        call->unconsumed += len;
    } else {
        (void)nghttp2_session_consume_stream(session, id, len);
    }
    while (!call->detached && !c->dead) {
        cs_slice message;
        bool have = false;
        cs_err err = cs_unframe(&call->in, &message, &have, &rest);
        if (err != CS_OK) {
            c->role->bad_data(call, err);
            break;
        }
        if (!have) {
            break;
        }
        if (c->stats != NULL) {
            c->stats->messages_in++;
        }
        whole = true;
        c->role->message(call, message);
        if (rest.len == 0) {
            break;
        }
    }
    if (!c->dead && account(c, call) != CS_OK && !call->detached) {
        c->role->bad_data(call, CS_E_NO_MEMORY);
    }
    if (!c->dead && call->detached) {
        cs_unframe_cleanup(&call->in);
        (void)account(c, call);
    } else if (!c->dead) {
        limit_partial(c, call, whole);
    }
    return c->dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}
