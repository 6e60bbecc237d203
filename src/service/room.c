/*
 * The bridge between a room at the gateway and sign-core: frames of the request's clients become numbered streams to core, what
 * core sends is broadcast. Anybody may write to a room, so nothing here is trusted: a body costs no memory, a request has at most
 * CS_BRIDGE_STREAMS streams, and one of which core has not answered anything gives way to a new one.
 */
#include "service/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/hello.h"
#include "codec/roomframe.h"
#include "net/room.h"

#define BUCKETS 1024u
#define LINGERING_MAX 256u
#define HS1_LEN 129u
#define CHANNEL_AT 1u
#define SESSION_AT 17u
#define DATA_HEAD 41u
#define DATA_TAG 16u
#define NAME_LEN 16u
enum { KIND_HS1 = 1, KIND_HS2 = 2, KIND_DATA = 3 };

/* How far core has answered on a stream: it gives way to new ones in this order. */
typedef enum proven { SAID_NOTHING, SAID_HS2, SAID_DATA } proven;

/* A stream to core. session is set by what core answers, as anybody can name one. */
typedef struct flow {
    cs_bridge *bridge; /* NULL: the slot is free */
    uint64_t id;
    uint64_t opened; /* counts the flows of a bridge */
    bool set_up;     /* began with HS1 */
    bool bound;      /* session is known */
    proven proven;
    uint8_t channel[NAME_LEN], session[NAME_LEN];
} flow;

struct cs_bridge {
    cs_service *service;
    cs_bridge *next, **prev;   /* of the bucket */
    cs_bridge *lnext, **lprev; /* of those that linger, oldest first; lprev NULL: it does not */
    cs_sign_waiter *waiters;
    cs_room *room;
    cs_timer *timer;
    uint64_t wait_id; /* of SIGN_WAIT; 0: answered */
    uint64_t heard;   /* when core last said something in a session */
    uint64_t num_flows;
    unsigned ends;
    cs_err why; /* what a session came to; told when silence follows */
    bool signed_;
    uint8_t signature[CS_SIGNATURE_LEN];
    int32_t tx_id;
    uint8_t digest[32];
    uint8_t account_len, execution_len;
    uint8_t account[CS_HELLO_MAX_ACCOUNT], execution[CS_HELLO_MAX_EXECUTION];
    flow flows[CS_BRIDGE_STREAMS];
};

struct cs_service_rooms {
    cs_gateway *gateway;
    cs_idmap waits, flows; /* ids of core's frames -> cs_bridge, flow */
    cs_bridge *buckets[BUCKETS];
    cs_bridge *lingering, **lingering_tail;
    size_t num, num_lingering, num_max;
};

static void bridge_free(cs_bridge *b);

/* ---- requests ---- */

static cs_slice account_of(const cs_bridge *b)
{
    return cs_slice_of(b->account, b->account_len);
}

static cs_slice execution_of(const cs_bridge *b)
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
    return &r->buckets[(h ^ h >> 16) & (BUCKETS - 1)];
}

static cs_bridge *find(struct cs_service_rooms *r, const cs_sign_request *q)
{
    cs_bridge *b = *bucket_of(r, q);

    while (b != NULL && (b->tx_id != q->tx_id || !cs_slice_eq(account_of(b), q->account_id) ||
                         !cs_slice_eq(execution_of(b), q->execution_id))) {
        b = b->next;
    }
    return b;
}

static cs_rpc_frame request_frame(const cs_bridge *b, cs_rpc_type type, uint64_t id)
{
    cs_rpc_frame f = {.type = type, .id = id};

    f.f[0].s = account_of(b);
    f.f[1].u = (uint64_t)(int64_t)b->tx_id;
    f.f[2].s = execution_of(b);
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

static void flow_free(flow *f, bool tell_core)
{
    cs_service *s = f->bridge->service;

    (void)cs_idmap_take(&s->rooms->flows, f->id);
    if (tell_core) {
        cs_service_send_end(s, CS_RPC_PARTY_CLOSE, f->id);
    }
    f->bridge = NULL;
}

static void bridge_free(cs_bridge *b)
{
    struct cs_service_rooms *r = b->service->rooms;

    for (size_t i = 0; i < CS_BRIDGE_STREAMS; i++) {
        if (b->flows[i].bridge != NULL) {
            flow_free(&b->flows[i], true);
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
    cs_log_err(CS_LOG_INFO, "sign_tx", err, CS_LU("tx_id", (uint64_t)(int64_t)b->tx_id));
    tell_all(b, err);
    bridge_free(b);
}

static void on_timer(void *cookie)
{
    cs_bridge *b = cookie;
    uint64_t quiet = cs_loop_now(b->service->loop) - b->heard;

    if (b->lprev != NULL) {
        bridge_free(b);
    } else if (quiet < b->service->config.silence_ms) {
        cs_timer_start(b->timer, b->service->config.silence_ms - quiet, 0);
    } else {
        bridge_fail(b, b->why != CS_OK ? b->why : CS_E_PEER_SILENT);
    }
}

/* ---- room -> core ---- */

cs_err cs_room_head_parse(cs_room_head *out, cs_slice frame)
{
    bool hs1 = frame.len == HS1_LEN && frame.p[0] == KIND_HS1;

    if (!hs1 && (frame.len <= DATA_HEAD + DATA_TAG || frame.p[0] != KIND_DATA)) {
        return CS_E_FORMAT;
    }
    *out =
        (cs_room_head){.hs1 = hs1, .channel16 = frame.p + CHANNEL_AT, .session16 = hs1 ? NULL : frame.p + SESSION_AT};
    return CS_OK;
}

static bool same_name(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, NAME_LEN) == 0;
}

/*
 * The flow that a frame belongs to. A set-up flow takes all unknown sessions of its channel until core has answered one of
 * them: a stranger who names another one first gains nothing.
 */
static flow *flow_of(cs_bridge *b, const cs_room_head *h)
{
    flow *set_up = NULL;

    for (size_t i = 0; i < CS_BRIDGE_STREAMS; i++) {
        flow *f = &b->flows[i];

        if (f->bridge == NULL || !same_name(f->channel, h->channel16)) {
            continue;
        }
        if (h->hs1 ? f->set_up : f->bound && same_name(f->session, h->session16)) {
            return f;
        }
        if (f->set_up && !f->bound) {
            set_up = f;
        }
    }
    return h->hs1 ? NULL : set_up;
}

/* A free slot, or that of the flow that has proven least, the oldest of such. */
static flow *free_slot(cs_bridge *b)
{
    flow *least = NULL;

    for (size_t i = 0; i < CS_BRIDGE_STREAMS; i++) {
        flow *f = &b->flows[i];

        if (f->bridge == NULL) {
            return f;
        }
        if (f->proven != SAID_DATA &&
            (least == NULL || f->proven < least->proven || (f->proven == least->proven && f->opened < least->opened))) {
            least = f;
        }
    }
    if (least != NULL) {
        flow_free(least, true);
    }
    return least;
}

static flow *flow_open(cs_bridge *b, const cs_room_head *h)
{
    cs_service *s = b->service;
    flow *f = free_slot(b);

    if (f == NULL) {
        return NULL;
    }
    cs_rpc_frame open = request_frame(b, CS_RPC_PARTY_ROOM, ++s->next_id);
    *f = (flow){.bridge = b, .id = open.id, .opened = ++b->num_flows, .set_up = h->hs1, .bound = !h->hs1};
    memcpy(f->channel, h->channel16, NAME_LEN);
    if (!h->hs1) {
        memcpy(f->session, h->session16, NAME_LEN);
    }
    if (cs_idmap_put(&s->rooms->flows, f->id, f) != CS_OK) {
        f->bridge = NULL;
        return NULL;
    }
    if (cs_service_send(s, &open) != CS_OK) {
        flow_free(f, false);
        return NULL;
    }
    return f;
}

static void on_body(void *cookie, cs_slice bytes)
{
    cs_bridge *b = cookie;
    cs_service *s = b->service;
    cs_room_body body;
    cs_room_head head;

    if (cs_room_body_parse(&body, bytes) != CS_OK || !cs_slice_eq(body.account_id, account_of(b)) ||
        !cs_slice_eq(body.execution_id, execution_of(b)) || cs_room_head_parse(&head, body.frame) != CS_OK) {
        return; /* of another request, or noise */
    }
    if (s->core_gone || s->core == NULL || cs_link_full(s->core)) {
        return; /* rooms may lose messages; streams of gRPC may not, and need the rest of the queue */
    }
    flow *f = flow_of(b, &head);
    if (f == NULL) {
        f = flow_open(b, &head);
    }
    if (f != NULL) {
        cs_rpc_frame data = {.type = CS_RPC_PARTY_DATA, .id = f->id};
        data.f[0].s = body.frame;
        cs_err err = cs_service_send(s, &data);
        if (err != CS_OK) {
            cs_log_err(CS_LOG_DEBUG, "room_drop", err);
        }
    }
}

static void on_lost(void *cookie, cs_err err)
{
    cs_bridge *b = cookie;

    cs_log_err(CS_LOG_WARN, "room_lost", err, CS_LU("tx_id", (uint64_t)(int64_t)b->tx_id));
    if (b->signed_) {
        bridge_free(b);
    } else {
        bridge_fail(b, err == CS_E_ROOM_LIMIT ? err : CS_E_UPSTREAM);
    }
}

static const cs_room_events room_events = {.on_body = on_body, .on_lost = on_lost};

/* ---- core -> room ---- */

static void broadcast(cs_bridge *b, cs_slice frame)
{
    uint8_t mem[CS_ROOM_HEAD_MAX];
    cs_buf head = cs_buf_wrap(mem, sizeof mem);
    cs_err err = cs_room_head_put(&head, account_of(b), execution_of(b));

    if (err == CS_OK) {
        const cs_slice parts[] = {cs_buf_slice(&head), frame};
        err = cs_room_send(b->room, parts, 2);
    }
    if (err != CS_OK) { /* the session of the client ends in silence */
        cs_log_err(CS_LOG_WARN, "room_send", err);
    }
}

static void on_send(flow *f, cs_slice frame)
{
    cs_bridge *b = f->bridge;

    if (frame.len > DATA_HEAD && frame.p[0] == KIND_DATA) {
        b->heard = cs_loop_now(b->service->loop); /* not HS2: a handshake can be played again */
        f->proven = SAID_DATA;
        f->bound = true;
        memcpy(f->session, frame.p + SESSION_AT, NAME_LEN);
    } else if (f->proven == SAID_NOTHING) {
        f->proven = SAID_HS2;
    }
    broadcast(b, frame);
}

/* The client is told only what makes it do something: set up a new channel, or say more about the silence that follows. */
static bool is_told(cs_err err)
{
    return err == CS_E_CHANNEL_UNKNOWN || err == CS_E_CHANNEL_AUTH || err == CS_E_NOT_SERVING ||
           err == CS_E_SESSION_LIMIT;
}

/* What became of a session; told when nothing better follows. */
static bool is_verdict(cs_err err)
{
    return err == CS_E_ABORT_SESSION || err == CS_E_EPOCH || err == CS_E_EXECUTION_CONFLICT;
}

static void on_end(flow *f, cs_err err)
{
    cs_bridge *b = f->bridge;
    static const uint8_t none[NAME_LEN];
    uint8_t mem[CS_ROOM_END_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    const cs_room_end end = {
        .channel16 = f->channel, .session16 = f->set_up ? none : f->session, .code = cs_slice_str(cs_err_code(err))};

    b->why = is_verdict(err) ? err : b->why;
    if (is_told(err) && b->ends < CS_BRIDGE_ENDS_MAX && cs_room_end_put(&out, &end) == CS_OK) {
        b->ends++;
        broadcast(b, cs_buf_slice(&out));
    }
    flow_free(f, false);
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

bool cs_service_room_frame(cs_service *s, const cs_rpc_frame *frame)
{
    flow *f = s->rooms == NULL ? NULL : cs_idmap_get(&s->rooms->flows, frame->id);

    if (f == NULL) {
        return false;
    }
    if (frame->type == CS_RPC_PARTY_END) {
        on_end(f, code_of(frame->f[0].s));
    } else {
        on_send(f, frame->f[0].s);
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
    const bool remembered = frame->f[2].u != 0;
    if (remembered) {
        linger(b);
    }
    tell_all(b, CS_OK);
    if (!remembered) {
        bridge_free(b); /* the client's answer was sent before this reply */
    }
}

/* ---- begin ---- */

static cs_err begin(cs_bridge *b)
{
    struct cs_service_rooms *r = b->service->rooms;
    char name[32];

    CS_TRY(cs_timer_new(&b->timer, b->service->loop, on_timer, b));
    (void)snprintf(name, sizeof name, "signing_%d", (int)b->tx_id);
    /* half of it: that the gateway is away is better known than that the peer is silent */
    CS_TRY(cs_room_join(&b->room, r->gateway, name, (uint32_t)(b->service->config.silence_ms / 2), &room_events, b));
    cs_rpc_frame wait = request_frame(b, CS_RPC_SIGN_WAIT, ++b->service->next_id);
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
    if (b->signed_) {
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
    if (b->waiters == NULL && !b->signed_) {
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
    for (size_t i = 0; i < BUCKETS; i++) {
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
