#include "core/ops/streams.h"

#include <stdlib.h>

static cs_stream **bucket_of(cs_streams *t, uint64_t id)
{
    return &t->buckets[(id * 0x9e3779b97f4a7c15ull) >> 52 & (CS_STREAM_BUCKETS - 1)];
}

static void unlink_stream(cs_streams *t, cs_stream *s)
{
    *(s->prev == NULL ? &t->first : &s->prev->next) = s->next;
    *(s->next == NULL ? &t->last : &s->next->prev) = s->prev;
}

static void push_back(cs_streams *t, cs_stream *s)
{
    s->next = NULL;
    s->prev = t->last;
    *(t->last == NULL ? &t->first : &t->last->next) = s;
    t->last = s;
}

cs_err cs_streams_add(cs_streams *t, cs_stream **out, uint64_t id, uint64_t now_ms)
{
    cs_stream *s = calloc(1, sizeof *s), **bucket = bucket_of(t, id);

    if (s == NULL) {
        return CS_E_NO_MEMORY;
    }
    s->id = id;
    s->active_ms = now_ms;
    s->bucket = *bucket;
    *bucket = s;
    push_back(t, s);
    t->num++;
    *out = s;
    return CS_OK;
}

cs_stream *cs_streams_find(cs_streams *t, uint64_t id)
{
    cs_stream *s = *bucket_of(t, id);

    while (s != NULL && s->id != id) {
        s = s->bucket;
    }
    return s;
}

void cs_streams_touch(cs_streams *t, cs_stream *s, uint64_t now_ms)
{
    s->active_ms = now_ms;
    unlink_stream(t, s);
    push_back(t, s);
}

void cs_stream_leave(cs_stream *s)
{
    if (s->chan != NULL) {
        s->chan->streams--;
        s->chan = NULL;
    }
}

void cs_stream_join(cs_stream *s, cs_chan *ch)
{
    s->chan = ch;
    ch->streams++;
}

void cs_streams_remove(cs_streams *t, cs_stream *s)
{
    cs_stream **at = bucket_of(t, s->id);

    while (*at != s) {
        at = &(*at)->bucket;
    }
    *at = s->bucket;
    unlink_stream(t, s);
    t->num--;
    t->signing -= s->kind == CS_STREAM_SIGN;
    cs_mpc_setup_free(s->setup);
    cs_mpc_sign2_free(s->sign);
    cs_pair_drop(s->pair);
    if (s->session != NULL) {
        cs_csession_wipe(s->session);
        cs_secret_free(s->session);
    }
    cs_stream_leave(s);
    free(s);
}
