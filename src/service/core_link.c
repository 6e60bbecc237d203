/* Frames to and from sign-core, and the requests that wait for a reply. */
#include "service/service.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

/*
 * Reading pauses at half of this. What clients may still send into windows that were open then must fit in the other half:
 * several hundred sessions with one message of 43 kB each in flight.
 */
#define CORE_QUEUE_MAX (64u << 20)
#define SMALL_FRAME 64 /* a frame without fields */
#define HEAD_MAX 64    /* array head, type, id and the heads of the fields */

struct cs_pending {
    cs_service *service;
    uint64_t id;
    cs_timer *timer;
    cs_pending_fn *fn; /* NULL: forgotten */
    void *cookie;
};

static void pending_free(cs_pending *p)
{
    cs_timer_free(p->timer);
    free(p);
}

/* Removes the request and tells its owner. */
static void pending_end(cs_pending *p, const cs_rpc_frame *reply)
{
    cs_pending_fn *fn = p->fn;
    void *cookie = p->cookie;

    (void)cs_idmap_take(&p->service->pending, p->id);
    pending_free(p);
    if (fn != NULL) {
        fn(cookie, reply);
    }
}

void cs_service_drop(cs_pending *p)
{
    if (p != NULL) {
        (void)cs_idmap_take(&p->service->pending, p->id);
        pending_free(p);
    }
}

static void on_timeout(void *cookie)
{
    pending_end(cookie, NULL);
}

cs_pending *cs_service_expect(cs_service *s, uint64_t id, uint32_t timeout_ms, cs_pending_fn *fn, void *cookie)
{
    cs_pending *p = calloc(1, sizeof *p);

    if (p == NULL) {
        return NULL;
    }
    *p = (cs_pending){.service = s, .id = id, .fn = fn, .cookie = cookie};
    if (cs_timer_new(&p->timer, s->loop, on_timeout, p) != CS_OK || cs_idmap_put(&s->pending, id, p) != CS_OK) {
        pending_free(p);
        return NULL;
    }
    cs_timer_start(p->timer, timeout_ms, 0);
    return p;
}

cs_err cs_service_call(cs_service *s, cs_rpc_frame *f, uint32_t timeout_ms, cs_pending_fn *fn, void *cookie)
{
    f->id = ++s->next_id;
    cs_pending *p = cs_service_expect(s, f->id, timeout_ms, fn, cookie);
    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_err err = cs_service_send(s, f);
    if (err != CS_OK) {
        cs_service_drop(p);
    }
    return err;
}

static void forget_one(void *value, void *cookie)
{
    cs_pending *p = value;

    if (p->cookie == cookie) {
        p->fn = NULL;
    }
}

void cs_service_forget(cs_service *s, const void *cookie)
{
    cs_idmap_each(&s->pending, forget_one, (void *)(uintptr_t)cookie);
}

cs_err cs_service_send(cs_service *s, const cs_rpc_frame *f)
{
    cs_buf room;

    if (s->core == NULL) {
        return CS_E_CLOSED;
    }
    /* frames of this link hold no maps: their size is known before, and small ones cost little in the queue */
    size_t size = HEAD_MAX;
    for (size_t i = 0; i < CS_RPC_MAX_FIELDS; i++) {
        size += f->f[i].s.len;
    }
    CS_TRY(cs_link_begin(s->core, &room, size < CS_RPC_MAX ? size : CS_RPC_MAX));
    CS_TRY(cs_rpc_encode(&room, f));
    cs_link_commit(s->core, &room);
    return CS_OK;
}

void cs_service_send_end(cs_service *s, cs_rpc_type type, uint64_t id)
{
    cs_rpc_frame f = {.type = type, .id = id};
    uint8_t mem[SMALL_FRAME];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_err err = CS_E_CLOSED;

    if (s->core != NULL && !s->core_gone) {
        err = cs_rpc_encode(&b, &f);
        if (err == CS_OK) {
            err = cs_link_send_always(s->core, cs_buf_slice(&b));
        }
    }
    if (err == CS_OK || err == CS_E_CLOSED || s->core_gone) {
        return; /* without core nobody is left to be told */
    }
    /* core would hold what ended until its deadline: better a new start of this program than that */
    cs_log_err(CS_LOG_ERROR, "end_lost", err, CS_LU("id", id));
    s->core_gone = true;
    cs_loop_stop(s->loop);
}

static void on_packet(void *cookie, cs_slice packet)
{
    cs_service *s = cookie;
    cs_rpc_frame f;
    cs_err err = cs_rpc_decode(&f, packet);

    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "core_frame", err);
        s->core_gone = true;
        cs_loop_stop(s->loop);
        return;
    }
    if (f.type == CS_RPC_PARTY_SEND || f.type == CS_RPC_PARTY_END) {
        if (!cs_service_room_frame(s, &f)) {
            cs_service_party_frame(s, &f);
        }
        return;
    }
    if (f.type == CS_RPC_SIGN_REPLY) {
        cs_service_sign_reply(s, &f);
        return;
    }
    cs_pending *p = cs_idmap_get(&s->pending, f.id);
    if (p != NULL) {
        pending_end(p, &f);
    }
}

static void on_drain(void *cookie)
{
    cs_service *s = cookie;

    cs_service_party_resume(s);
    cs_injector_resume(s->inject_shares);
}

static void on_close(void *cookie, cs_err err)
{
    cs_service *s = cookie;

    cs_log_err(CS_LOG_ERROR, "core_link_closed", err);
    s->core_gone = true;
    cs_loop_stop(s->loop);
}

cs_err cs_service_core_open(cs_service *s, int fd_take)
{
    static const cs_link_events events = {.on_packet = on_packet, .on_drain = on_drain, .on_close = on_close};

    /* a program that was restarted must not meet answers to the ids of the one before it, which core may still send */
    s->next_id = cs_clock_mono_ns();
    return cs_link_new(&s->core, s->loop, fd_take, CORE_QUEUE_MAX, &events, s);
}

static void end_one(void *value, void *cookie)
{
    (void)cookie;
    pending_free(value);
}

void cs_service_core_close(cs_service *s)
{
    cs_idmap_each(&s->pending, end_one, NULL);
    cs_idmap_free(&s->pending);
    cs_link_free(s->core);
    s->core = NULL;
}
