/* A byte pump between two sockets. See pump.h. */
#include "net/pump.h"

#include <stdlib.h>
#include <unistd.h>

typedef struct side {
    cs_pump *pump;
    cs_stream *stream;
    struct side *other;
    uint64_t bytes; /* received here */
    bool eof;
} side;

struct cs_pump {
    side sides[2];
    cs_loop *loop;
    cs_timer *idle;
    uint32_t idle_ms;
    uint64_t active; /* time of the last byte; the timer looks at it instead of being set for each */
    cs_pump_done_fn *done;
    void *cookie;
};

static void finish(cs_pump *p, cs_err why)
{
    cs_pump_done_fn *done = p->done;
    void *cookie = p->cookie;
    uint64_t a = p->sides[0].bytes;
    uint64_t b = p->sides[1].bytes;
    if (why == CS_OK) { /* what is queued still goes out */
        for (int i = 0; i < 2; i++) {
            cs_stream_free_when_sent(p->sides[i].stream, p->idle_ms);
            p->sides[i].stream = NULL;
        }
    }
    cs_pump_free(p);
    done(cookie, why, a, b);
}

static void on_data(void *cookie, cs_slice data)
{
    side *s = cookie;
    s->bytes += data.len;
    s->pump->active = cs_loop_now(s->pump->loop);
    cs_err err = cs_stream_write(s->other->stream, data);
    if (err != CS_OK) {
        finish(s->pump, err);
    } else if (cs_stream_full(s->other->stream)) {
        cs_stream_read(s->stream, false);
    }
}

static void on_eof(void *cookie)
{
    side *s = cookie;
    s->eof = true;
    if (s->other->eof) {
        finish(s->pump, CS_OK);
    } else {
        cs_stream_shutdown(s->other->stream);
    }
}

static void on_drain(void *cookie)
{
    side *s = cookie;
    s->pump->active = cs_loop_now(s->pump->loop);
    cs_stream_read(s->other->stream, true);
}

static void on_close(void *cookie, cs_err err)
{
    side *s = cookie;
    finish(s->pump, err);
}

static void on_idle(void *cookie)
{
    cs_pump *p = cookie;
    uint64_t silent = cs_loop_now(p->loop) - p->active;
    if (silent >= p->idle_ms) {
        finish(p, CS_E_TIMEOUT);
    } else {
        cs_timer_start(p->idle, p->idle_ms - silent, 0);
    }
}

cs_err cs_pump_new(cs_pump **out, cs_loop *l, const int fds_take[2], uint32_t idle_ms, cs_pump_done_fn *done,
                   void *cookie)
{
    static const cs_stream_events events = {on_data, on_eof, on_drain, on_close};
    cs_pump *p = calloc(1, sizeof *p);
    cs_err err = CS_E_NO_MEMORY;
    if (p == NULL) {
        return err;
    }
    *p = (cs_pump){.loop = l, .idle_ms = idle_ms, .active = cs_loop_now(l), .done = done, .cookie = cookie};
    if ((err = cs_timer_new(&p->idle, l, on_idle, p)) != CS_OK) {
        free(p);
        return err;
    }
    for (int i = 0; i < 2; i++) {
        p->sides[i] = (side){.pump = p, .other = &p->sides[1 - i]};
    }
    /* the descriptors pass over together or not at all */
    int second = dup(fds_take[1]);
    err = second < 0 ? CS_E_IO : cs_stream_new(&p->sides[1].stream, l, second, NULL, &events, &p->sides[1]);
    if (err != CS_OK) {
        if (second >= 0) {
            close(second);
        }
        cs_pump_free(p);
        return err;
    }
    if ((err = cs_stream_new(&p->sides[0].stream, l, fds_take[0], NULL, &events, &p->sides[0])) != CS_OK) {
        cs_pump_free(p);
        return err;
    }
    close(fds_take[1]);
    cs_stream_read(p->sides[0].stream, true);
    cs_stream_read(p->sides[1].stream, true);
    cs_timer_start(p->idle, idle_ms, 0);
    *out = p;
    return CS_OK;
}

void cs_pump_free(cs_pump *p)
{
    if (p == NULL) {
        return;
    }
    cs_stream_free(p->sides[0].stream);
    cs_stream_free(p->sides[1].stream);
    cs_timer_free(p->idle);
    free(p);
}
