/* Calls under way and who waits for them. See tee_flow.h. */
#include <stdlib.h>
#include <string.h>

#include "gateway/tee_flow_int.h"

/* ---------------------------------------------------------------- the table of calls under way */

static cs_tee_flight **bucket_of(cs_tee_flow *f, const uint8_t id16[CS_TEE_ID_LEN])
{
    return &f->buckets[cs_load_u32(id16) % CS_TEE_BUCKETS];
}

static cs_tee_flight *find(cs_tee_flow *f, const cs_tee_ask *ask)
{
    for (cs_tee_flight *fl = *bucket_of(f, ask->id); fl != NULL; fl = fl->next) {
        if (memcmp(fl->ask.id, ask->id, CS_TEE_ID_LEN) == 0 && strcmp(fl->ask.caller, ask->caller) == 0) {
            return fl;
        }
    }
    return NULL;
}

static void enter(cs_tee_flow *f, cs_tee_flight *fl)
{
    cs_tee_flight **at = bucket_of(f, fl->ask.id);
    fl->next = *at;
    fl->prev = at;
    if (fl->next != NULL) {
        fl->next->prev = &fl->next;
    }
    *at = fl;
    f->stats.under_way++;
    f->stats.bytes += fl->held;
}

static void flight_free(cs_tee_flight *fl)
{
    cs_tee_flow *f = fl->flow;
    *fl->prev = fl->next;
    if (fl->next != NULL) {
        fl->next->prev = fl->prev;
    }
    f->stats.under_way--;
    f->stats.bytes -= fl->held;
    if (fl->call != NULL) {
        cs_pool_cancel(fl->call);
    }
    cs_tel_gone(fl->seen);
    cs_timer_free(fl->again);
    cs_tee_ask_cleanup(&fl->ask);
    cs_buf_free(&fl->sent);
    cs_buf_free(&fl->reply);
    cs_buf_free(&fl->told);
    free(fl);
}

/* ---------------------------------------------------------------- who waits */

static void waiter_free(cs_tee_waiter *w)
{
    *w->prev = w->next;
    if (w->next != NULL) {
        w->next->prev = w->prev;
    }
    cs_timer_free(w->timer);
    free(w);
}

void cs_tee_flow_leave(cs_tee_waiter *w)
{
    waiter_free(w);
}

static void tell(cs_tee_waiter *w, const cs_tee_outcome *o)
{
    cs_tee_done_fn *done = w->done;
    void *cookie = w->cookie;
    waiter_free(w);
    done(cookie, o);
}

static void on_late(void *cookie)
{
    static const cs_tee_outcome late = {CS_E_TEE_TIMEOUT, "", {NULL, 0}};
    cs_tee_waiter *w = cookie;
    w->flight->flow->stats.timeouts++;
    tell(w, &late);
}

static cs_err wait_for(cs_tee_waiter **out, cs_tee_flight *fl, uint64_t timeout_ms, cs_tee_done_fn *done, void *cookie)
{
    cs_tee_waiter *w = calloc(1, sizeof *w);
    uint64_t ours = fl->flow->config.timeout_ms;
    if (w == NULL || cs_timer_new(&w->timer, fl->flow->config.loop, on_late, w) != CS_OK) {
        free(w);
        return CS_E_NO_MEMORY;
    }
    cs_timer_start(w->timer, timeout_ms < ours ? timeout_ms : ours, 0);
    w->flight = fl;
    w->done = done;
    w->cookie = cookie;
    w->next = fl->waiters;
    w->prev = &fl->waiters;
    if (w->next != NULL) {
        w->next->prev = &w->next;
    }
    fl->waiters = w;
    *out = w;
    return CS_OK;
}

void cs_tee_flight_end(cs_tee_flight *fl, cs_err err, const char *detail)
{
    cs_tee_outcome o = {err != CS_OK ? err : fl->err, detail, cs_buf_slice(&fl->told)};
    if (err != CS_OK) {
        o.reply = CS_SLICE_NULL;
    }
    while (fl->waiters != NULL) { /* one that is told may make others leave */
        tell(fl->waiters, &o);
    }
    flight_free(fl);
}

/* ---------------------------------------------------------------- the first steps */

static void on_again(void *cookie)
{
    cs_tee_flight *fl = cookie;
    fl->step(fl);
}

void cs_tee_flight_later(cs_tee_flight *fl, void (*step)(cs_tee_flight *fl), uint64_t after_ms)
{
    fl->step = step;
    cs_timer_start(fl->again, after_ms, 0);
}

/* What was answered to the same request before. */
void cs_tee_flight_kept(cs_tee_flight *fl, cs_slice reply)
{
    cs_tee_reply r;
    fl->flow->stats.kept++;
    fl->told.len = 0;
    cs_err err = cs_tee_reply_decode(&r, reply) == CS_OK ? cs_put_slice(&fl->told, reply) : CS_E_STORE;
    if (err == CS_OK) {
        fl->err = cs_tee_code_of(r.code);
    }
    cs_tee_flight_end(fl, err, "");
}

static void on_begun(void *cookie, cs_err err, const cs_store_out *out)
{
    cs_tee_flight *fl = cookie;
    if (err != CS_OK) {
        cs_tee_flight_end(fl, err, "");
    } else if (out->state == CS_STORE_DONE) {
        cs_tee_flight_kept(fl, out->reply);
    } else {
        cs_tee_flight_fetch(fl);
    }
}

/* Ids of nobody are not entered: such requests change nothing. */
static cs_err begin(cs_tee_flight *fl)
{
    cs_store_in in = {.caller = cs_slice_str(fl->ask.caller), .id16 = fl->ask.id, .hash32 = fl->hash32};
    if (in.caller.len == 0) {
        cs_tee_flight_later(fl, cs_tee_flight_fetch, 0); /* not now: who asked is still within its call */
        return CS_OK;
    }
    return cs_store_start(fl->flow->config.store, CS_STORE_BEGIN, &in, NULL, on_begun, fl);
}

static cs_err flight_new(cs_tee_flight **out, cs_tee_flow *f, cs_tee_ask *ask_take, const uint8_t hash32[32])
{
    size_t held = ask_take->call.len + ask_take->records.len + sizeof **out;
    if (f->stats.under_way >= f->config.calls || f->stats.bytes + held > f->config.bytes) {
        f->stats.busy++;
        return CS_E_TEE_BUSY;
    }
    cs_tee_flight *fl = calloc(1, sizeof *fl);
    if (fl == NULL || cs_timer_new(&fl->again, f->config.loop, on_again, fl) != CS_OK) {
        free(fl);
        return CS_E_NO_MEMORY;
    }
    fl->flow = f;
    fl->ask = *ask_take; /* transferred */
    *ask_take = (cs_tee_ask){0};
    fl->held = held;
    memcpy(fl->hash32, hash32, 32);
    fl->sent = cs_buf_heap(CS_TEE_MESSAGE_MAX);
    fl->reply = cs_buf_heap(CS_TEE_MESSAGE_MAX);
    fl->told = cs_buf_heap(CS_TEE_MESSAGE_MAX);
    enter(f, fl);
    *out = fl;
    return CS_OK;
}

static cs_err join(cs_tee_waiter **out, cs_tee_flight *fl, const uint8_t hash32[32], uint64_t timeout_ms,
                   cs_tee_done_fn *done, void *cookie)
{
    if (memcmp(fl->hash32, hash32, 32) != 0) {
        return CS_E_REQUEST_REPLAY;
    }
    fl->flow->stats.joined++;
    return wait_for(out, fl, timeout_ms, done, cookie);
}

static cs_err call(cs_tee_waiter **out, cs_tee_flow *f, cs_tee_ask *ask, uint64_t timeout_ms, cs_tee_done_fn *done,
                   void *cookie)
{
    uint8_t hash32[32];
    cs_slice bytes = cs_buf_slice(&ask->call);
    /* ids of nobody are nobody's: such requests change nothing and are done each by itself */
    cs_tee_flight *fl = ask->caller[0] != '\0' ? find(f, ask) : NULL;
    CS_TRY(cs_tee_sha256(hash32, &bytes, 1));
    if (fl != NULL) {
        return join(out, fl, hash32, timeout_ms, done, cookie);
    }
    CS_TRY(flight_new(&fl, f, ask, hash32));
    cs_err err = wait_for(out, fl, timeout_ms, done, cookie);
    if (err == CS_OK && (err = begin(fl)) != CS_OK) {
        waiter_free(*out);
    }
    if (err != CS_OK) {
        flight_free(fl);
        return err;
    }
    f->stats.calls++;
    return CS_OK;
}

cs_err cs_tee_flow_call(cs_tee_waiter **out, cs_tee_flow *f, const char **detail, cs_tee_ask *ask_take,
                        uint64_t timeout_ms, cs_tee_done_fn *done, void *cookie)
{
    *detail = "";
    cs_err err = f->config.may(f->config.may_cookie, ask_take->op, detail);
    if (err == CS_OK) {
        err = call(out, f, ask_take, timeout_ms, done, cookie);
    }
    cs_tee_ask_cleanup(ask_take);
    return err;
}

/* ---------------------------------------------------------------- life */

cs_err cs_tee_flow_new(cs_tee_flow **out, const cs_tee_flow_config *config)
{
    cs_tee_flow *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return CS_E_NO_MEMORY;
    }
    f->config = *config;
    *out = f;
    return CS_OK;
}

void cs_tee_flow_free(cs_tee_flow *f)
{
    if (f == NULL) {
        return;
    }
    for (size_t i = 0; i < CS_TEE_BUCKETS; i++) {
        while (f->buckets[i] != NULL) {
            while (f->buckets[i]->waiters != NULL) {
                waiter_free(f->buckets[i]->waiters);
            }
            flight_free(f->buckets[i]);
        }
    }
    for (size_t i = 0; i < CS_TEE_NEW_KEYS; i++) {
        cs_buf_free(&f->new_keys[i].asked);
        cs_buf_free(&f->new_keys[i].data_key);
    }
    free(f);
}

void cs_tee_flow_stats_get(const cs_tee_flow *f, cs_tee_flow_stats *out)
{
    *out = f->stats;
}
