/* Memberships in rooms: what comes by the subscription is decoded, what is sent goes out in order. See room.h. */
#include "net/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "net/room_int.h"
#include "net/room_msg.h"

#define CONNS_DEFAULT 16u
#define ROOMS_DEFAULT 1024u
#define TIMEOUT_DEFAULT 5000u
#define LOST_DEFAULT 10000u
#define QUEUE_MAX 16u
#define POSTS_MAX 256u /* requests at once that are not of a room */
#define PATH_MAX_LEN (CS_ROOM_NAME_MAX + 32u)

struct cs_room {
    cs_gateway *g;
    cs_room *next, **prev;
    const cs_room_events *events;
    void *cookie;
    char name[CS_ROOM_NAME_MAX + 1];
    cs_gw_sub *sub;
    cs_gateway_req *req; /* the broadcast under way */
    cs_gw_wire *queue[QUEUE_MAX];
    size_t first, num;
    bool left; /* the caller has left: only the queue is still sent */
};

static void room_free(cs_room *r)
{
    cs_gateway *g = r->g;

    *r->prev = r->next;
    if (r->next != NULL) {
        r->next->prev = r->prev;
    }
    g->num_rooms--;
    cs_gw_sub_free(r->sub);
    cs_gateway_cancel(r->req);
    for (size_t i = 0; i < r->num; i++) {
        cs_gw_wire_unref(r->queue[(r->first + i) % QUEUE_MAX]);
    }
    free(r);
}

/* The caller hears of the end once; what is queued is worth nothing any more. */
static void lost(cs_room *r, cs_err err)
{
    cs_gw_sub_free(r->sub);
    r->sub = NULL;
    cs_gateway_cancel(r->req);
    r->req = NULL;
    while (r->num > 0) {
        cs_gw_wire_unref(r->queue[r->first]);
        r->first = (r->first + 1) % QUEUE_MAX;
        r->num--;
    }
    if (r->left) {
        room_free(r);
        return;
    }
    const cs_room_events *events = r->events;
    r->events = NULL;
    if (events != NULL) {
        events->on_lost(r->cookie, err);
    }
}

/* ---- receiving ---- */

static cs_err on_message(void *cookie, cs_slice json)
{
    cs_room *r = cookie;
    cs_gateway *g = r->g;
    cs_room_msg m;

    g->body.len = 0;
    if (cs_room_msg_parse(&m, json) != CS_OK || m.sender == g->sender || (m.to_one && m.receiver != g->sender) ||
        cs_b64_get(&g->body, m.body, CS_B64_URL) != CS_OK) {
        g->stats.dropped++;
        return CS_OK;
    }
    g->stats.received++;
    r->events->on_body(r->cookie, cs_buf_slice(&g->body));
    return CS_OK;
}

static void on_sub_lost(void *cookie, cs_err err)
{
    lost(cookie, err);
}

static void on_sub_joined(void *cookie)
{
    cs_room *r = cookie;

    if (r->events->on_joined != NULL) {
        r->events->on_joined(r->cookie);
    }
}

static const cs_gw_sub_events sub_events = {
    .on_message = on_message, .on_lost = on_sub_lost, .on_joined = on_sub_joined};

/* ---- sending ---- */

static void send_next(cs_room *r);

static void on_sent(void *cookie, cs_err err, unsigned status, cs_slice body)
{
    cs_room *r = cookie;

    (void)status;
    (void)body;
    r->req = NULL;
    if (err != CS_OK) {
        r->g->stats.failed++;
        lost(r, err);
        return;
    }
    r->g->stats.sent++;
    send_next(r);
}

static void send_next(cs_room *r)
{
    if (r->req != NULL) {
        return;
    }
    if (r->num == 0) {
        if (r->left) {
            room_free(r);
        }
        return;
    }
    cs_gw_wire *w = r->queue[r->first];
    cs_err err = cs_gw_submit(&r->req, r->g, w, true, on_sent, r);
    if (err != CS_OK) {
        r->g->stats.failed++;
        lost(r, err); /* never from within cs_room_send: the pool has room for one request of each room */
        return;
    }
    r->first = (r->first + 1) % QUEUE_MAX;
    r->num--;
}

cs_err cs_room_send(cs_room *r, const cs_slice *parts, size_t num_parts)
{
    cs_gateway *g = r->g;
    char path[PATH_MAX_LEN];
    cs_gw_wire *w = NULL;
    cs_slice body = num_parts > 0 ? parts[0] : CS_SLICE_NULL;

    if (r->events == NULL) {
        return CS_E_CLOSED;
    }
    if (r->num == QUEUE_MAX) {
        return CS_E_RANGE;
    }
    if (num_parts > 1) {
        g->joined.len = 0;
        for (size_t i = 0; i < num_parts; i++) {
            cs_err err = cs_put_slice(&g->joined, parts[i]);
            if (err != CS_OK) {
                return err == CS_E_RANGE ? CS_E_TOO_LARGE : err;
            }
        }
        body = cs_buf_slice(&g->joined);
    }
    if (body.len > CS_ROOM_BODY_MAX) {
        return CS_E_TOO_LARGE;
    }
    (void)snprintf(path, sizeof path, "/rooms/%s/broadcast", r->name);
    CS_TRY(cs_gw_wire_new(&w, g, path, cs_room_msg_len(g->sender, body.len)));
    cs_err err = cs_room_msg_put(&w->bytes, g->sender, body);
    if (err == CS_OK && r->req == NULL) {
        err = cs_gw_submit(&r->req, g, w, true, on_sent, r);
    } else if (err == CS_OK) {
        r->queue[(r->first + r->num++) % QUEUE_MAX] = w;
    }
    if (err != CS_OK) {
        cs_gw_wire_unref(w);
    }
    return err;
}

/* ---- memberships ---- */

cs_err cs_room_join(cs_room **out, cs_gateway *g, const cs_room_args *args)
{
    CS_TRY(cs_room_name_check(cs_slice_str(args->name)));
    if (args->head.len > CS_ROOM_HEAD_WANTED) {
        return CS_E_RANGE;
    }
    if (g->num_rooms >= g->rooms_max) {
        return CS_E_SESSION_LIMIT;
    }
    cs_room *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return CS_E_NO_MEMORY;
    }
    *r = (cs_room){.g = g, .events = args->events, .cookie = args->cookie};
    (void)snprintf(r->name, sizeof r->name, "%s", args->name);
    const cs_gw_sub_args sub = {.room = args->name,
                                .head = args->head,
                                .lost_ms = args->lost_ms != 0 ? args->lost_ms : LOST_DEFAULT,
                                .events = &sub_events,
                                .cookie = r};
    cs_err err = cs_gw_sub_new(&r->sub, g, &sub);
    if (err != CS_OK) {
        free(r);
        return err;
    }
    r->next = g->rooms;
    r->prev = &g->rooms;
    if (g->rooms != NULL) {
        g->rooms->prev = &r->next;
    }
    g->rooms = r;
    g->num_rooms++;
    g->stats.joined++;
    *out = r;
    return CS_OK;
}

void cs_room_leave(cs_room *r)
{
    if (r == NULL) {
        return;
    }
    cs_gw_sub_free(r->sub);
    r->sub = NULL;
    r->events = NULL;
    r->left = true;
    send_next(r); /* frees it when nothing is to be sent */
}

/* ---- gateways ---- */

cs_err cs_gateway_new(cs_gateway **out, const cs_gateway_config *c)
{
    cs_gateway *g = calloc(1, sizeof *g);

    if (g == NULL) {
        return CS_E_NO_MEMORY;
    }
    *g = (cs_gateway){.loop = c->loop,
                      .endpoint = *c->endpoint,
                      .url = *c->url,
                      .sender = c->sender,
                      .timeout_ms = c->timeout_ms != 0 ? c->timeout_ms : TIMEOUT_DEFAULT,
                      .rooms_max = c->rooms_max != 0 ? c->rooms_max : ROOMS_DEFAULT,
                      .random = cs_clock_mono_ns()};
    g->joined = cs_buf_heap(CS_ROOM_BODY_MAX);
    g->body = cs_buf_heap(CS_ROOM_BODY_MAX);
    cs_err err = cs_gw_pool_init(g, c->conns_max != 0 ? c->conns_max : CONNS_DEFAULT, g->rooms_max + POSTS_MAX);
    if (err != CS_OK) {
        free(g);
        return err;
    }
    *out = g;
    return CS_OK;
}

void cs_gateway_free(cs_gateway *g)
{
    if (g == NULL) {
        return;
    }
    while (g->rooms != NULL) {
        room_free(g->rooms);
    }
    cs_gw_pool_cleanup(g);
    cs_buf_free(&g->joined);
    cs_buf_free(&g->body);
    free(g);
}

void cs_gateway_stats_get(const cs_gateway *g, cs_gateway_stats *out)
{
    *out = g->stats;
    out->rooms_open = g->num_rooms;
}
