/*
 * The bridge between a room at the gateway and sign-core: one for each request, from the first call to the answer, its failure, or
 * the end of the time in which a client may still ask for it. See room.h; the streams are in room_flow.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/roomframe.h"
#include "service/room_int.h"

#define LINGERING_MAX 256u
#define JOIN_MS 1000u /* a remembered answer waits at most so long for the room */

static void bridge_free(cs_bridge *b);

/* ---- requests ---- */

cs_slice cs_bridge_account(const cs_bridge *b)
{
    return cs_slice_of(b->account, b->account_len);
}

cs_slice cs_bridge_execution(const cs_bridge *b)
{
    return cs_slice_of(b->execution, b->execution_len);
}

/* FNV-1a. Crowding a bucket costs the caller a call for each entry. */
static cs_bridge **bucket_of(struct cs_service_rooms *r, const cs_sign_request *q)
{
    uint32_t h = 2166136261u ^ (uint32_t)q->tx_id;

    for (size_t i = 0; i < q->account_id.len; i++) {
        h = (h ^ q->account_id.p[i]) * 16777619u;
    }
    for (size_t i = 0; i < q->execution_id.len; i++) {
        h = (h ^ q->execution_id.p[i]) * 16777619u;
    }
    return &r->buckets[(h ^ h >> 16) & (CS_BRIDGE_BUCKETS - 1)];
}

static cs_bridge *find(struct cs_service_rooms *r, const cs_sign_request *q)
{
    cs_bridge *b = *bucket_of(r, q);

    while (b != NULL && (b->tx_id != q->tx_id || !cs_slice_eq(cs_bridge_account(b), q->account_id) ||
                         !cs_slice_eq(cs_bridge_execution(b), q->execution_id))) {
        b = b->next;
    }
    return b;
}

cs_rpc_frame cs_bridge_frame(const cs_bridge *b, cs_rpc_type type, uint64_t id)
{
    cs_rpc_frame f = {.type = type, .id = id};

    f.f[0].s = cs_bridge_account(b);
    f.f[1].u = (uint64_t)(int64_t)b->tx_id;
    f.f[2].s = cs_bridge_execution(b);
    f.f[3].s = cs_slice_of(b->digest, sizeof b->digest);
    return f;
}

/* ---- lingering ---- */

static void linger_unlink(cs_bridge *b)
{
    struct cs_service_rooms *r = b->service->rooms;

    if (b->lprev == NULL) {
        return;
    }
    *b->lprev = b->lnext;
    if (b->lnext != NULL) {
        b->lnext->lprev = b->lprev;
    } else {
        r->lingering_tail = b->lprev;
    }
    b->lprev = NULL;
    r->num_lingering--;
}

/* Stays in the room for a client whose answer was lost. */
static void linger(cs_bridge *b)
{
    struct cs_service_rooms *r = b->service->rooms;

    linger_unlink(b);
    if (r->num_lingering >= LINGERING_MAX) {
        bridge_free(r->lingering);
    }
    b->lnext = NULL;
    b->lprev = r->lingering_tail;
    *r->lingering_tail = b;
    r->lingering_tail = &b->lnext;
    r->num_lingering++;
    cs_timer_start(b->timer, CS_BRIDGE_LINGER_MS, 0);
}

/* ---- ends ---- */

static void bridge_free(cs_bridge *b)
{
    struct cs_service_rooms *r = b->service->rooms;

    for (size_t i = 0; i < CS_BRIDGE_STREAMS; i++) {
        if (b->flows[i].bridge != NULL) {
            cs_flow_free(&b->flows[i], true);
        }
    }
    if (b->wait_id != 0) {
        (void)cs_idmap_take(&r->waits, b->wait_id);
        cs_service_send_end(b->service, CS_RPC_SIGN_CANCEL, b->wait_id);
    }
    linger_unlink(b);
    *b->prev = b->next;
    if (b->next != NULL) {
        b->next->prev = b->prev;
    }
    r->num--;
    cs_room_leave(b->room);
    cs_timer_free(b->timer);
    free(b);
}

static void waiter_unlink(cs_sign_waiter *w)
{
    *w->prev = w->next;
    if (w->next != NULL) {
        w->next->prev = w->prev;
    }
    w->bridge = NULL;
}

static void tell_all(cs_bridge *b, cs_err err)
{
    uint8_t signature[CS_SIGNATURE_LEN];

    memcpy(signature, b->signature, sizeof signature);
    while (b->waiters != NULL) {
        cs_sign_waiter *w = b->waiters;

        waiter_unlink(w);
        w->fn(w, err, err == CS_OK ? signature : NULL);
    }
}

static void bridge_fail(cs_bridge *b, cs_err err)
{
    cs_log_err(CS_LOG_INFO, "sign_tx", err, CS_LI("tx_id", b->tx_id));
    tell_all(b, err);
    bridge_free(b);
}

/*
 * To the callers, and 10 s for the client. Not before we are in the room: a room that nobody has subscribed to ends with the
 * call that it served, and the client's first message with it.
 */
static void tell_remembered(cs_bridge *b)
{
    b->answer_due = false;
    linger(b);
    tell_all(b, CS_OK);
}

static void on_timer(void *cookie)
{
    cs_bridge *b = cookie;
    uint64_t quiet = cs_loop_now(b->service->loop) - b->heard;

    if (b->answer_due) { /* no room, no wonder that the client does not get it there; the caller does */
        tell_remembered(b);
    } else if (b->lprev != NULL) {
        bridge_free(b);
    } else if (quiet < b->service->config.silence_ms) {
        cs_timer_start(b->timer, b->service->config.silence_ms - quiet, 0);
    } else {
        bridge_fail(b, b->why != CS_OK ? b->why : CS_E_PEER_SILENT);
    }
}

/* ---- the room ---- */

static void on_body(void *cookie, cs_slice body)
{
    cs_flow_body(cookie, body);
}

static void on_lost(void *cookie, cs_err err)
{
    cs_bridge *b = cookie;

    cs_log_err(CS_LOG_WARN, "room_lost", err, CS_LI("tx_id", b->tx_id));
    if (b->signed_) {
        tell_all(b, CS_OK);
        bridge_free(b);
    } else {
        bridge_fail(b, err == CS_E_ROOM_LIMIT || err == CS_E_ROOM_FULL ? err : CS_E_UPSTREAM);
    }
}

static void on_joined(void *cookie)
{
    cs_bridge *b = cookie;

    b->in_room = true;
    if (b->answer_due) {
        tell_remembered(b);
    }
}

static const cs_room_events room_events = {.on_body = on_body, .on_lost = on_lost, .on_joined = on_joined};

/* ---- core ---- */

static cs_err code_of(cs_slice text)
{
    char code[48] = {0};

    if (text.len == 0 || text.len >= sizeof code) {
        return CS_E_INTERNAL;
    }
    memcpy(code, text.p, text.len);
    return cs_err_from_code(code);
}

bool cs_service_room_frame(cs_service *s, const cs_rpc_frame *frame)
{
    cs_flow *f = s->rooms == NULL ? NULL : cs_idmap_get(&s->rooms->flows, frame->id);

    if (f == NULL) {
        return false;
    }
    if (frame->type == CS_RPC_PARTY_END) {
        cs_flow_end(f, code_of(frame->f[0].s));
    } else {
        cs_flow_send(f, frame->f[0].s);
    }
    return true;
}

void cs_service_sign_reply(cs_service *s, const cs_rpc_frame *frame)
{
    cs_bridge *b = s->rooms == NULL ? NULL : cs_idmap_take(&s->rooms->waits, frame->id);
    cs_err err = code_of(frame->f[0].s);

    if (b == NULL) {
        return; /* nobody waits any more */
    }
    b->wait_id = 0;
    if (err == CS_OK && frame->f[1].s.len != CS_SIGNATURE_LEN) {
        err = CS_E_INTERNAL;
    }
    if (err != CS_OK) {
        bridge_fail(b, err);
        return;
    }
    b->signed_ = true;
    memcpy(b->signature, frame->f[1].s.p, CS_SIGNATURE_LEN);
    if (frame->f[2].u == 0) {
        tell_all(b, CS_OK);
        bridge_free(b); /* the client's answer was sent before this reply */
    } else if (b->in_room) {
        tell_remembered(b);
    } else {
        b->answer_due = true;
        cs_timer_start(b->timer, JOIN_MS, 0);
    }
}

/* ---- begin ---- */

static cs_err begin(cs_bridge *b)
{
    struct cs_service_rooms *r = b->service->rooms;
    uint8_t mem[CS_ROOM_HEAD_MAX];
    cs_buf head = cs_buf_wrap(mem, sizeof mem);
    char name[32];

    CS_TRY(cs_timer_new(&b->timer, b->service->loop, on_timer, b));
    (void)snprintf(name, sizeof name, "signing_%d", (int)b->tx_id);
    /* half of it: that the gateway is away is better known than that the peer is silent */
    CS_TRY(cs_room_head_put(&head, cs_bridge_account(b), cs_bridge_execution(b)));
    CS_TRY(cs_room_join(&b->room, r->gateway,
                        &(cs_room_args){.name = name,
                                        .head = cs_buf_slice(&head),
                                        .lost_ms = (uint32_t)(b->service->config.silence_ms / 2),
                                        .events = &room_events,
                                        .cookie = b}));
    cs_rpc_frame wait = cs_bridge_frame(b, CS_RPC_SIGN_WAIT, ++b->service->next_id);
    CS_TRY(cs_idmap_put(&r->waits, wait.id, b));
    cs_err err = cs_service_send(b->service, &wait);
    if (err != CS_OK) {
        (void)cs_idmap_take(&r->waits, wait.id);
        return err == CS_E_RANGE ? CS_E_SESSION_LIMIT : err;
    }
    b->wait_id = wait.id;
    b->heard = cs_loop_now(b->service->loop);
    cs_timer_start(b->timer, b->service->config.silence_ms, 0);
    return CS_OK;
}

static cs_err bridge_new(cs_bridge **out, cs_service *s, const cs_sign_request *q)
{
    struct cs_service_rooms *r = s->rooms;
    cs_bridge **bucket = bucket_of(r, q);

    if (r->num >= r->num_max && r->lingering != NULL) {
        bridge_free(r->lingering); /* who lingers gives way */
    }
    if (r->num >= r->num_max) {
        return CS_E_SESSION_LIMIT;
    }
    cs_bridge *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return CS_E_NO_MEMORY;
    }
    b->service = s;
    b->tx_id = q->tx_id;
    memcpy(b->digest, q->digest32, sizeof b->digest);
    b->account_len = (uint8_t)q->account_id.len;
    memcpy(b->account, q->account_id.p, q->account_id.len);
    b->execution_len = (uint8_t)q->execution_id.len;
    memcpy(b->execution, q->execution_id.p, q->execution_id.len);
    b->next = *bucket;
    b->prev = bucket;
    if (b->next != NULL) {
        b->next->prev = &b->next;
    }
    *bucket = b;
    r->num++;
    cs_err err = begin(b);
    if (err != CS_OK) {
        bridge_free(b);
        return err;
    }
    *out = b;
    return CS_OK;
}

cs_err cs_bridge_join(cs_service *s, const cs_sign_request *q, cs_sign_waiter *w)
{
    if (s->rooms == NULL) {
        return CS_E_ROOMS_OFF;
    }
    cs_bridge *b = find(s->rooms, q);
    if (b != NULL && memcmp(b->digest, q->digest32, sizeof b->digest) != 0) {
        return CS_E_EXECUTION_CONFLICT;
    }
    if (b == NULL) {
        CS_TRY(bridge_new(&b, s, q));
    }
    if (b->signed_ && !b->answer_due) {
        linger(b); /* anew */
        w->bridge = NULL;
        w->fn(w, CS_OK, b->signature);
        return CS_OK;
    }
    w->bridge = b;
    w->next = b->waiters;
    w->prev = &b->waiters;
    if (w->next != NULL) {
        w->next->prev = &w->next;
    }
    b->waiters = w;
    return CS_OK;
}

void cs_bridge_quit(cs_sign_waiter *w)
{
    cs_bridge *b = w->bridge;

    if (b == NULL) {
        return;
    }
    waiter_unlink(w);
    if (b->waiters == NULL && b->lprev == NULL) {
        bridge_free(b);
    }
}

cs_err cs_service_rooms_open(cs_service *s, const cs_endpoint *endpoint)
{
    struct cs_service_rooms *r = NULL;
    cs_url url;
    cs_err err = cs_url_parse(&url, cs_slice_str(s->config.gateway_url));

    if (err != CS_OK) {
        return CS_E_CONFIG;
    }
    r = calloc(1, sizeof *r);
    if (r == NULL) {
        return CS_E_NO_MEMORY;
    }
    r->num_max = s->config.sessions_max;
    r->lingering_tail = &r->lingering;
    const cs_gateway_config config = {.loop = s->loop,
                                      .endpoint = endpoint,
                                      .url = &url,
                                      .sender = (uint16_t)s->config.server_index,
                                      .conns_max = CS_SERVICE_ROOM_CONNS,
                                      /* who has left may still be sending */
                                      .rooms_max = (unsigned)(2 * r->num_max)};
    err = cs_gateway_new(&r->gateway, &config);
    if (err != CS_OK) {
        free(r);
        return err;
    }
    s->rooms = r;
    return CS_OK;
}

void cs_service_rooms_close(cs_service *s)
{
    struct cs_service_rooms *r = s->rooms;

    if (r == NULL) {
        return;
    }
    for (size_t i = 0; i < CS_BRIDGE_BUCKETS; i++) {
        while (r->buckets[i] != NULL) {
            bridge_fail(r->buckets[i], CS_E_CLOSED);
        }
    }
    cs_gateway_free(r->gateway);
    cs_idmap_free(&r->waits);
    cs_idmap_free(&r->flows);
    free(r);
    s->rooms = NULL;
}
