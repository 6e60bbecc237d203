/*
 * Streams in rooms of the gateway (docs/formats/rooms.md). A membership in the room of a transaction, for the bodies of one
 * request, is shared by up to SHARED_BY streams of this request, and lasts to the end of the turn in which its last stream ended: a retry, and
 * the session behind a set-up, go on in it. Each frame is shown to each of its streams; who does not know it drops it.
 * Nothing is missed by joining a membership late: the enclave only answers what a stream has sent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_out.h"
#include "base/text.h"
#include "net/aws/json.h"
#include "net/room.h"
#include "party/transport.h"

#define SENDER 0u /* the client's index in rooms */
#define LOST_MS 10000u
#define REQUEST_MS 5000u
#define ATTEST_PATH "/v1/attest"
#define SHARED_BY 8u /* each has one frame on the way, and a room queues 16 */
#define DOCUMENT_MAX (64u * 1024u)
#define ATTEST_JSON_MAX 2048u

typedef struct member member;
typedef struct stream stream;

typedef struct transport {
    cs_ptransport base;
    cs_loop *loop;
    cs_gateway *gateway;
    uint32_t silence_ms;
    member *members;
    cs_defer turn; /* leaves the rooms that no stream is in any more */
} transport;

struct member {
    transport *t;
    member *next, **prev;
    cs_room *room;
    stream *streams;
    unsigned num_streams;
    int64_t tx_id;
    size_t head_len;
    uint8_t head[CS_ROOM_HEAD_MAX]; /* what each body of the request begins with */
    uint64_t serial;                /* of the message that is being shown */
    bool lost;
};

struct stream {
    cs_pstream base;
    member *m;
    stream *next, **prev;
    cs_timer *timer;
    uint64_t deadline, serial;
};

/* ---- the end of a stream */

static void drop(stream *s)
{
    *s->prev = s->next;
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    if (--s->m->num_streams == 0) {
        cs_defer_arm(s->m->t->loop, &s->m->t->turn);
    }
    cs_timer_free(s->timer);
    free(s);
}

static void end(stream *s, cs_err err)
{
    const cs_pstream_events *events = s->base.events;
    void *cookie = s->base.cookie;
    drop(s);
    events->on_end(cookie, err);
}

static void on_timer(void *cookie)
{
    stream *s = cookie;
    end(s, cs_loop_now(s->m->t->loop) >= s->deadline ? CS_E_TIMEOUT : CS_E_PEER_SILENT);
}

/* what is sent must be answered */
static void await(stream *s)
{
    uint64_t now = cs_loop_now(s->m->t->loop), left = s->deadline > now ? s->deadline - now : 0;
    cs_timer_start(s->timer, left < s->m->t->silence_ms ? left : s->m->t->silence_ms, 0);
}

/* ---- memberships */

static void leave(member *m)
{
    *m->prev = m->next;
    if (m->next != NULL) {
        m->next->prev = m->prev;
    }
    cs_room_leave(m->room); /* what waits is still sent */
    free(m);
}

static void turn(void *cookie)
{
    transport *t = cookie;
    for (member *m = t->members, *next; m != NULL; m = next) {
        next = m->next;
        if (m->num_streams == 0) {
            leave(m);
        }
    }
}

/* the next stream that has not been shown the message; a callback may end or open any stream */
static stream *next_for(const member *m)
{
    for (stream *s = m->streams; s != NULL; s = s->next) {
        if (s->serial != m->serial) {
            s->serial = m->serial;
            return s;
        }
    }
    return NULL;
}

static void on_body(void *cookie, cs_slice body)
{
    member *m = cookie;
    cs_room_body b;
    cs_room_end hint;
    if (cs_room_body_parse(&b, body) != CS_OK || body.len <= m->head_len || memcmp(body.p, m->head, m->head_len) != 0) {
        return;
    }
    bool is_end = b.frame.p[0] == CS_ROOM_END_KIND;
    if (is_end && cs_room_end_parse(&hint, b.frame) != CS_OK) {
        return;
    }
    m->serial++;
    for (stream *s = next_for(m); s != NULL; s = next_for(m)) {
        if (is_end) {
            s->base.events->on_hint(s->base.cookie, &hint);
        } else {
            s->base.events->on_frame(s->base.cookie, b.frame);
        }
    }
}

static void on_lost(void *cookie, cs_err err)
{
    member *m = cookie;
    m->lost = true; /* a stream that is opened now joins anew */
    m->serial++;
    for (stream *s = next_for(m); s != NULL; s = next_for(m)) {
        end(s, err);
    }
}

static const cs_room_events room_events = {.on_body = on_body, .on_lost = on_lost};

/* a membership for the request in the room of its transaction, joined when there is none with space */
static cs_err join(member **out, transport *t, int64_t tx_id, cs_slice head)
{
    char name[32];
    for (member *m = t->members; m != NULL; m = m->next) {
        if (m->tx_id == tx_id && cs_slice_eq(cs_slice_of(m->head, m->head_len), head) && m->num_streams < SHARED_BY &&
            !m->lost) {
            *out = m;
            return CS_OK;
        }
    }
    member *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return CS_E_NO_MEMORY;
    }
    m->t = t;
    m->tx_id = tx_id;
    m->head_len = head.len;
    memcpy(m->head, head.p, head.len);
    (void)snprintf(name, sizeof name, "signing_%lld", (long long)tx_id);
    cs_err err = cs_room_join(
        &m->room, t->gateway,
        &(cs_room_args){.name = name, .head = head, .lost_ms = LOST_MS, .events = &room_events, .cookie = m});
    if (err != CS_OK) {
        free(m);
        return err;
    }
    m->next = t->members;
    m->prev = &t->members;
    if (m->next != NULL) {
        m->next->prev = &m->next;
    }
    t->members = m;
    *out = m; /* on the list */
    return CS_OK;
}

/* ---- streams */

static const cs_ptransport_ops room_ops;

static void link_stream(stream *s, member *m)
{
    s->m = m;
    s->serial = m->serial; /* a message that is being shown now is older than the stream */
    s->next = m->streams;
    s->prev = &m->streams;
    if (s->next != NULL) {
        s->next->prev = &s->next;
    }
    m->streams = s;
    m->num_streams++;
}

static cs_err open_stream(cs_pstream **out, cs_ptransport *base, const cs_pstream_args *args)
{
    transport *t = (transport *)base;
    member *m = NULL;
    if (args->tx_id < INT32_MIN || args->tx_id > INT32_MAX) {
        return CS_E_RANGE;
    }
    stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return CS_E_NO_MEMORY;
    }
    uint8_t mem[CS_ROOM_HEAD_MAX];
    cs_buf head = cs_buf_wrap(mem, sizeof mem);
    cs_err err = cs_room_head_put(&head, args->account_id, args->execution_id);
    if (err == CS_OK) {
        err = cs_timer_new(&s->timer, t->loop, on_timer, s);
    }
    if (err == CS_OK) {
        err = join(&m, t, args->tx_id, cs_buf_slice(&head));
    }
    if (err != CS_OK) {
        cs_timer_free(s->timer);
        free(s);
        return err;
    }
    s->base = (cs_pstream){&room_ops, args->events, args->cookie};
    s->deadline = cs_loop_now(t->loop) + args->timeout_ms;
    link_stream(s, m);
    await(s);
    *out = &s->base; /* transferred */
    return CS_OK;
}

static cs_err send_frame(cs_pstream *base, cs_slice frame)
{
    stream *s = (stream *)base;
    cs_slice parts[] = {cs_slice_of(s->m->head, s->m->head_len), frame};
    CS_TRY(cs_room_send(s->m->room, parts, 2));
    await(s);
    return CS_OK;
}

static void sent_all(cs_pstream *s)
{
    (void)s; /* a room has no half-close */
}

static void cancel(cs_pstream *s)
{
    drop((stream *)s);
}

/* ---- attestation */

typedef struct attest {
    cs_pattest base;
    cs_gateway_req *request;
} attest;

static cs_err read_document(cs_buf *out, cs_slice json)
{
    cs_buf text = cs_buf_heap(DOCUMENT_MAX / 3 * 4 + 4);
    cs_json_field f[] = {{.key = "document", .kind = CS_JSON_STRING, .out = &text, .required = true}};
    cs_err err = cs_json_read(json, f, 1);
    if (err == CS_OK) {
        err = cs_b64_get(out, cs_buf_slice(&text), CS_B64_STD);
    }
    cs_buf_free(&text);
    return err == CS_OK || err == CS_E_NO_MEMORY ? err : CS_E_ATT_FORMAT;
}

static void on_attest(void *cookie, cs_err err, unsigned status, cs_slice body)
{
    attest *a = cookie;
    cs_buf document = cs_buf_heap(DOCUMENT_MAX);
    (void)status;
    if (err == CS_OK) {
        err = read_document(&document, body);
    }
    a->base.fn(a->base.cookie, err, cs_buf_slice(&document));
    cs_buf_free(&document);
    free(a);
}

static cs_err post_attest(attest *a, transport *t, const cs_pattest_args *args)
{
    uint8_t mem[ATTEST_JSON_MAX], mem64[ATTEST_JSON_MAX];
    cs_buf json = cs_buf_wrap(mem, sizeof mem), nonce = cs_buf_wrap(mem64, sizeof mem64);
    cs_jw w = cs_jw_begin(&json);
    CS_TRY(cs_b64_put(&nonce, args->nonce, CS_B64_STD));
    cs_jw_object(&w, NULL);
    cs_jw_str(&w, "nonce", cs_buf_slice(&nonce));
    cs_jw_str(&w, "account_id", args->account_id);
    cs_jw_close_object(&w);
    CS_TRY(cs_jw_end(&w));
    return cs_gateway_post(&a->request, t->gateway, ATTEST_PATH, cs_buf_slice(&json), on_attest, a);
}

static cs_err start_attest(cs_pattest **out, cs_ptransport *t, const cs_pattest_args *args)
{
    attest *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return CS_E_NO_MEMORY;
    }
    a->base = (cs_pattest){&room_ops, args->fn, args->cookie};
    cs_err err = post_attest(a, (transport *)t, args);
    if (err != CS_OK) {
        free(a);
        return err;
    }
    *out = &a->base; /* transferred */
    return CS_OK;
}

static void cancel_attest(cs_pattest *base)
{
    cs_gateway_cancel(((attest *)base)->request);
    free(base);
}

/* ---- */

static void free_transport(cs_ptransport *base)
{
    transport *t = (transport *)base;
    cs_defer_cancel(&t->turn);
    while (t->members != NULL) {
        leave(t->members);
    }
    cs_gateway_free(t->gateway);
    free(t);
}

static const cs_ptransport_ops room_ops = {
    .room = true,
    .open = open_stream,
    .send = send_frame,
    .sent_all = sent_all,
    .done = cancel,
    .cancel = cancel,
    .attest = start_attest,
    .attest_cancel = cancel_attest,
    .free = free_transport,
};

static cs_err open_gateway(transport *t, const char *text)
{
    cs_url url;
    cs_endpoint endpoint;
    char address[CS_EP_TEXT_MAX];
    CS_TRY(cs_url_parse(&url, cs_slice_str(text)));
    bool v6 = strchr(url.name, ':') != NULL;
    (void)snprintf(address, sizeof address, v6 ? "tcp:[%s]:%u" : "tcp:%s:%u", url.name, (unsigned)url.port);
    CS_TRY(cs_endpoint_parse(&endpoint, cs_slice_str(address)));
    return cs_gateway_new(
        &t->gateway,
        &(cs_gateway_config){
            .loop = t->loop, .endpoint = &endpoint, .url = &url, .sender = SENDER, .timeout_ms = REQUEST_MS});
}

cs_err cs_ptransport_rooms(cs_ptransport **out, cs_loop *loop, const char *url, uint32_t silence_ms)
{
    transport *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return CS_E_NO_MEMORY;
    }
    t->base.ops = &room_ops;
    t->loop = loop;
    t->silence_ms = silence_ms;
    t->turn = (cs_defer){.fn = turn, .cookie = t};
    cs_err err = open_gateway(t, url);
    if (err != CS_OK) {
        free(t);
        return err;
    }
    *out = &t->base; /* transferred */
    return CS_OK;
}
