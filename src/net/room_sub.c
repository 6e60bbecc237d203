/*
 * One subscription of a room: a connection of its own that is made again when it breaks, and goes on behind the last event.
 * A gateway that lies can make us reconnect a few times a second and hold one event, no more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "net/room_int.h"
#include "net/room_msg.h"

#define QUIET_MS 45000u      /* a comment comes every 15 s */
#define STABLE_MS 1000u      /* a connection that lived this long was a good one */
#define REFUSAL_MAX 4096u    /* bytes of a refusal's body */
#define HELD_MAX (32u << 20) /* bytes of incomplete events of all rooms */

struct cs_gw_sub {
    cs_gateway *g;
    const cs_gw_sub_events *events;
    void *cookie;
    char room[CS_ROOM_NAME_MAX + 1];
    char prefix[CS_ROOM_HEAD_WANTED / 3 * 4 + 1]; /* what the wanted bodies begin with, base64url; "": all */
    cs_dial *dial;
    cs_stream *stream;
    cs_http1_parser *parser;
    cs_sse *sse;
    cs_timer *timer; /* connecting: its deadline; up: silence; down: the next try */
    cs_buf refusal;
    bool down, up, fresh; /* fresh: no event on this connection yet */
    bool joined, dead, lost;
    unsigned busy, failures, interim;
    bool has_last;
    uint64_t last; /* id of the last event */
    uint64_t up_since, down_since;
    uint64_t soon; /* before this time a connection that brought events and broke is not made again at once */
    uint32_t lost_ms;
    size_t held; /* what the gateway counts for us */
    cs_err why;
};

static void dial(cs_gw_sub *s);

static void set_held(cs_gw_sub *s, size_t held)
{
    s->g->held = s->g->held - s->held + held;
    s->held = held;
}

static void disconnect(cs_gw_sub *s)
{
    cs_dial_free(s->dial);
    s->dial = NULL;
    cs_stream_free(s->stream);
    s->stream = NULL;
}

static void enter(cs_gw_sub *s)
{
    s->busy++;
}

static void leave(cs_gw_sub *s)
{
    if (--s->busy == 0 && s->dead) {
        cs_http1_parser_free(s->parser);
        cs_sse_free(s->sse);
        cs_buf_free(&s->refusal);
        free(s);
    }
}

static void give_up(cs_gw_sub *s, cs_err err)
{
    disconnect(s);
    cs_timer_stop(s->timer);
    if (!s->lost) {
        s->lost = true;
        s->events->on_lost(s->cookie, err);
    }
}

/* The connection is gone, or was never made. */
static void broken(cs_gw_sub *s, cs_err err)
{
    uint64_t now = cs_loop_now(s->g->loop);
    bool was_good = s->up && (now - s->up_since >= STABLE_MS || (!s->fresh && now >= s->soon));

    s->soon = was_good ? now + STABLE_MS : s->soon;
    disconnect(s);
    set_held(s, 0);
    cs_sse_reset(s->sse);
    s->down_since = s->up ? now : s->down_since;
    s->up = false;
    s->why = err;
    s->failures = was_good ? 0 : s->failures + 1;
    if (now - s->down_since >= s->lost_ms) {
        give_up(s, err);
        return;
    }
    s->down = true;
    uint64_t left = s->down_since + s->lost_ms - now;
    uint64_t wait = s->failures == 0 ? 0 : cs_gw_backoff(s->g, s->failures);
    cs_timer_start(s->timer, wait < left ? wait : left, 0);
}

static void on_timer(void *cookie)
{
    cs_gw_sub *s = cookie;

    enter(s);
    if (s->down) {
        dial(s);
    } else {
        broken(s, CS_E_TIMEOUT);
    }
    leave(s);
}

/* ---- what comes ---- */

/*
 * Ids rise on one connection. One that resumes and begins at or below the last is of a new room: the gateway has forgotten the
 * old one, and counts anew.
 */
static bool is_new(cs_gw_sub *s, cs_slice text)
{
    uint64_t id = 0;

    if (cs_parse_u64(text, UINT64_MAX - 1, &id) != CS_OK || (!s->fresh && s->has_last && id <= s->last)) {
        return false;
    }
    s->fresh = false;
    s->has_last = true;
    s->last = id;
    return true;
}

static cs_err on_event(void *cookie, const cs_sse_event *e)
{
    cs_gw_sub *s = cookie;
    cs_err err = CS_OK;

    if (!cs_slice_eq_str(e->type, "new-message")) {
        return CS_OK;
    }
    if (!is_new(s, e->id)) {
        s->g->stats.dropped++;
        return CS_OK;
    }
    err = s->events->on_message(s->cookie, e->data);
    return s->dead ? CS_E_CLOSED : err;
}

/* The head is there: is it an event stream? */
static cs_err take_head(cs_gw_sub *s, const cs_http1_msg *m)
{
    if (m->status != 200) {
        return CS_OK; /* a refusal, or not the answer yet; its body is collected */
    }
    if (!cs_gw_type_is(m, "text/event-stream")) {
        return CS_E_FORMAT;
    }
    s->up = true;
    s->up_since = cs_loop_now(s->g->loop);
    s->g->stats.resumed += s->joined ? 1 : 0;
    if (!s->joined) {
        s->joined = true;
        s->events->on_joined(s->cookie);
    }
    return s->dead ? CS_E_CLOSED : CS_OK;
}

static cs_err on_body(void *cookie, cs_slice piece)
{
    cs_gw_sub *s = cookie;
    const cs_http1_msg *m = cs_http1_message(s->parser);

    if (!s->up) {
        CS_TRY(take_head(s, m));
    }
    if (m->status != 200) {
        return cs_put_slice(&s->refusal, piece) == CS_OK ? CS_OK : CS_E_TOO_LARGE;
    }
    CS_TRY(cs_sse_feed(s->sse, piece));
    set_held(s, cs_sse_held(s->sse));
    return s->g->held <= HELD_MAX ? CS_OK : CS_E_TOO_LARGE;
}

/* A whole answer: a refusal, or a stream that the gateway has ended. */
static void ended(cs_gw_sub *s)
{
    unsigned status = cs_http1_message(s->parser)->status;

    if (status == 200) {
        broken(s, CS_E_CLOSED);
        return;
    }
    cs_err err = cs_room_refusal(status, cs_buf_slice(&s->refusal));
    if (status < 500) {
        give_up(s, err); /* asking again would not help */
    } else {
        broken(s, err);
    }
}

static void feed(cs_gw_sub *s, cs_slice data)
{
    while (s->stream != NULL && !s->dead && data.len > 0) {
        size_t used = 0;
        bool done = false;
        cs_err err = cs_http1_feed(s->parser, &used, &done, data);

        data = cs_slice_of(data.p + used, data.len - used);
        if (err == CS_OK && !done && cs_http1_head_done(s->parser) && !s->up) {
            err = take_head(s, cs_http1_message(s->parser)); /* a head without a body yet */
        }
        if (s->dead) {
            return;
        }
        if (err != CS_OK) {
            broken(s, err);
            return;
        }
        if (!done) {
            break;
        }
        if (cs_http1_message(s->parser)->status >= 200) {
            ended(s);
            return;
        }
        if (++s->interim > CS_GW_INTERIM_MAX) {
            broken(s, CS_E_FORMAT);
            return;
        }
        cs_http1_reset(s->parser);
    }
    if (s->up) {
        cs_timer_start(s->timer, QUIET_MS, 0);
    }
}

static void on_data(void *cookie, cs_slice data)
{
    cs_gw_sub *s = cookie;

    enter(s);
    feed(s, data);
    leave(s);
}

static void on_eof(void *cookie)
{
    cs_gw_sub *s = cookie;
    bool done = false;

    enter(s);
    if (cs_http1_eof(s->parser, &done) == CS_OK && done) {
        ended(s);
    } else {
        broken(s, CS_E_CLOSED);
    }
    leave(s);
}

static void on_close(void *cookie, cs_err err)
{
    cs_gw_sub *s = cookie;

    enter(s);
    broken(s, err);
    leave(s);
}

static const cs_stream_events stream_events = {.on_data = on_data, .on_eof = on_eof, .on_close = on_close};

/* ---- connections ---- */

static cs_err put_request(cs_gw_sub *s, cs_buf *out)
{
    char target[CS_GW_HEAD_MAX / 2], last[24];
    cs_buf t = cs_buf_wrap(target, sizeof target);
    cs_http1_header headers[] = {
        {cs_slice_str("Host"), cs_slice_str(s->g->url.host)},
        {cs_slice_str("Accept"), cs_slice_str("text/event-stream")},
        {cs_slice_str("Cache-Control"), cs_slice_str("no-store")},
        {cs_slice_str("Last-Event-ID"), cs_slice_str("")},
    };
    size_t num = sizeof headers / sizeof *headers;

    if (s->has_last) {
        (void)snprintf(last, sizeof last, "%llu", (unsigned long long)s->last);
        headers[num - 1].value = cs_slice_str(last);
    } else {
        num--;
    }
    CS_TRY(cs_put_fmt(&t, "%s/rooms/%s/subscribe?not_from=%u%s%s", s->g->url.prefix, s->room, (unsigned)s->g->sender,
                      s->prefix[0] != '\0' ? "&prefix=" : "", s->prefix));
    return cs_http1_put_request(out, cs_slice_str("GET"), cs_buf_slice(&t), headers, num, 0);
}

static cs_err start(cs_gw_sub *s, int fd)
{
    uint8_t mem[CS_GW_HEAD_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_err err = cs_stream_new(&s->stream, s->g->loop, fd, NULL, &stream_events, s);

    if (err != CS_OK) {
        close(fd);
        return err;
    }
    CS_TRY(put_request(s, &out));
    CS_TRY(cs_stream_write(s->stream, cs_buf_slice(&out)));
    cs_stream_read(s->stream, true);
    return CS_OK;
}

static void on_dialled(void *cookie, cs_err err, int fd)
{
    cs_gw_sub *s = cookie;

    enter(s);
    s->dial = NULL;
    if (err == CS_OK) {
        err = start(s, fd);
    }
    if (err != CS_OK) {
        broken(s, err);
    }
    leave(s);
}

static void dial(cs_gw_sub *s)
{
    s->down = false;
    s->fresh = true;
    s->interim = 0;
    s->refusal.len = 0;
    cs_http1_reset(s->parser);
    cs_timer_start(s->timer, s->g->timeout_ms, 0); /* until the head is there */
    cs_err err = cs_dial_new(&s->dial, s->g->loop, &s->g->endpoint, s->g->timeout_ms, on_dialled, s);
    if (err != CS_OK) {
        broken(s, err);
    }
}

/* Whole groups of three bytes only: the characters behind them also hold bits of what follows. */
static cs_err set_prefix(cs_gw_sub *s, cs_slice head)
{
    cs_buf text = cs_buf_wrap(s->prefix, sizeof s->prefix - 1);

    return cs_b64_put(&text, cs_slice_of(head.p, head.len / 3 * 3), CS_B64_URL);
}

cs_err cs_gw_sub_new(cs_gw_sub **out, cs_gateway *g, const cs_gw_sub_args *args)
{
    static const cs_http1_limits limits = {0};
    cs_gw_sub *s = calloc(1, sizeof *s);
    cs_err err = CS_E_NO_MEMORY;

    if (s == NULL) {
        return err;
    }
    *s = (cs_gw_sub){.g = g, .events = args->events, .cookie = args->cookie, .lost_ms = args->lost_ms};
    (void)snprintf(s->room, sizeof s->room, "%s", args->room);
    s->refusal = cs_buf_heap(REFUSAL_MAX);
    s->down_since = cs_loop_now(g->loop);
    if ((err = set_prefix(s, args->head)) != CS_OK ||
        (err = cs_http1_parser_new(&s->parser, CS_HTTP1_RESPONSE, &limits)) != CS_OK ||
        (err = cs_sse_new(&s->sse, CS_ROOM_MESSAGE_MAX, on_event, s)) != CS_OK ||
        (err = cs_timer_new(&s->timer, g->loop, on_timer, s)) != CS_OK) {
        cs_http1_parser_free(s->parser);
        cs_sse_free(s->sse);
        free(s);
        return err;
    }
    cs_http1_stream_body(s->parser, on_body, s);
    dial(s); /* what fails at once is tried again: no callback from within this call */
    *out = s;
    return CS_OK;
}

void cs_gw_sub_free(cs_gw_sub *s)
{
    if (s == NULL || s->dead) {
        return;
    }
    disconnect(s);
    set_held(s, 0);
    cs_timer_free(s->timer);
    s->dead = true;
    enter(s);
    leave(s);
}
