/* Rooms in memory. See rooms.h. */
#include "gateway/rooms.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/rooms_int.h"

#define TEXT_COST 80 /* of a message beside its bytes: header, pointer, heap */

struct cs_rooms {
    cs_rooms_limits limits;
    cs_room_table table;
    cs_room_entry *eldest, *youngest;
    cs_room_entry *quietest, *loudest; /* rooms without subscribers */
    cs_room_sub *ended;                /* subscriptions to be told; see tell_ended */
    size_t num_subs, bytes;
    uint64_t serial;
    cs_rooms_stats stats;
};

bool cs_rooms_name_ok(cs_slice name)
{
    if (name.len == 0 || name.len > CS_ROOMS_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
              c == '-')) {
            return false;
        }
    }
    return true;
}

cs_room_text *cs_room_text_new(size_t len, uint16_t sender)
{
    cs_room_text *t = malloc(sizeof *t + len);
    if (t != NULL) {
        t->refs = 1;
        t->sender = sender;
        t->body_at = 0;
        t->len = len;
    }
    return t;
}

void cs_room_text_release(void *text)
{
    cs_room_text *t = text;
    if (--t->refs == 0) {
        free(t);
    }
}

/* ---- lists ---- */

static void quiet_remove(cs_rooms *r, cs_room_entry *e)
{
    if (!e->quiet) {
        return;
    }
    *(e->quiet_prev != NULL ? &e->quiet_prev->quiet_next : &r->quietest) = e->quiet_next;
    *(e->quiet_next != NULL ? &e->quiet_next->quiet_prev : &r->loudest) = e->quiet_prev;
    e->quiet_prev = NULL;
    e->quiet_next = NULL;
    e->quiet = false;
}

/* Something happened in the room: it is the last that gives way. */
static void touch(cs_rooms *r, cs_room_entry *e, uint64_t now)
{
    e->heard = now;
    quiet_remove(r, e);
    if (e->num_subs == 0) {
        e->quiet_prev = r->loudest;
        *(r->loudest != NULL ? &r->loudest->quiet_next : &r->quietest) = e;
        r->loudest = e;
        e->quiet = true;
    }
}

static void born_remove(cs_rooms *r, cs_room_entry *e)
{
    *(e->born_prev != NULL ? &e->born_prev->born_next : &r->eldest) = e->born_next;
    *(e->born_next != NULL ? &e->born_next->born_prev : &r->youngest) = e->born_prev;
}

static void sub_unlink(cs_room_sub *s)
{
    *s->prev = s->next;
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
}

/* The subscription leaves its room and waits to be told: the callback may do anything, so it comes when all is in order. */
static void sub_end(cs_rooms *r, cs_room_entry *e, cs_room_sub *s)
{
    sub_unlink(s);
    e->num_subs--;
    r->num_subs--;
    s->room = NULL;
    s->next = r->ended;
    s->prev = &r->ended;
    if (r->ended != NULL) {
        r->ended->prev = &s->next;
    }
    r->ended = s;
}

static void tell_ended(cs_rooms *r)
{
    while (r->ended != NULL) {
        cs_room_sub *s = r->ended;
        sub_unlink(s);
        s->events->end(s->cookie);
        free(s);
    }
}

static void forget(cs_rooms *r, cs_room_entry *e)
{
    while (e->subs != NULL) {
        sub_end(r, e, e->subs);
    }
    quiet_remove(r, e);
    born_remove(r, e);
    cs_room_table_remove(&r->table, e);
    for (size_t i = 0; i < e->num_texts; i++) {
        cs_room_text_release(e->texts[i]);
    }
    r->bytes -= e->bytes;
    r->stats.forgotten++;
    free(e->texts);
    free(e);
}

static bool over(const cs_room_entry *e)
{
    return e->finished && e->num_subs == 0;
}

/* One room gives way for others: the longest silent of those without subscribers, but not `keep`. */
static bool evict(cs_rooms *r, const cs_room_entry *keep)
{
    cs_room_entry *e = r->quietest;
    if (e != NULL && e == keep) {
        e = e->quiet_next;
    }
    if (e == NULL) {
        return false;
    }
    forget(r, e);
    r->stats.evicted++;
    return true;
}

/* ---- rooms ---- */

static cs_room_entry *find(const cs_rooms *r, cs_slice name)
{
    return cs_room_table_find(&r->table, cs_room_table_hash(&r->table, name), name);
}

static cs_err make(cs_rooms *r, cs_room_entry **out, uint64_t hash, cs_slice name, uint64_t now)
{
    if (name.len > CS_ROOMS_NAME_MAX || (r->table.num >= r->limits.rooms && !evict(r, NULL))) {
        return CS_E_ROOM_LIMIT;
    }
    cs_room_entry *e = calloc(1, sizeof *e + name.len);
    if (e == NULL) {
        return CS_E_NO_MEMORY;
    }
    memcpy(e->name, name.p, name.len);
    e->name_len = (uint8_t)name.len;
    e->hash = hash;
    e->born = now;
    e->serial = ++r->serial;
    e->born_prev = r->youngest;
    *(r->youngest != NULL ? &r->youngest->born_next : &r->eldest) = e;
    r->youngest = e;
    cs_room_table_add(&r->table, e);
    touch(r, e, now);
    *out = e;
    return CS_OK;
}

/* The room of that name, made when there is none. */
static cs_err enter(cs_rooms *r, cs_room_entry **out, cs_slice name, uint64_t now)
{
    uint64_t hash = cs_room_table_hash(&r->table, name);
    *out = cs_room_table_find(&r->table, hash, name);
    return *out != NULL ? CS_OK : make(r, out, hash, name, now);
}

cs_err cs_rooms_new(cs_rooms **out, const cs_rooms_limits *limits)
{
    cs_rooms *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return CS_E_NO_MEMORY;
    }
    r->limits = *limits;
    cs_err err = cs_room_table_init(&r->table, limits->rooms);
    if (err != CS_OK) {
        cs_room_table_cleanup(&r->table);
        free(r);
        return err;
    }
    *out = r;
    return CS_OK;
}

void cs_rooms_free(cs_rooms *r)
{
    if (r == NULL) {
        return;
    }
    while (r->eldest != NULL) {
        forget(r, r->eldest);
    }
    while (r->ended != NULL) {
        cs_room_sub *s = r->ended;
        sub_unlink(s);
        free(s);
    }
    cs_room_table_cleanup(&r->table);
    free(r);
}

/* ---- messages ---- */

static cs_err reserve(cs_room_entry *e)
{
    if (e->num_texts < e->cap_texts) {
        return CS_OK;
    }
    size_t cap = e->cap_texts == 0 ? 8 : e->cap_texts * 2;
    cs_room_text **texts = realloc(e->texts, cap * sizeof *texts);
    if (texts == NULL) {
        return CS_E_NO_MEMORY;
    }
    e->texts = texts;
    e->cap_texts = cap;
    return CS_OK;
}

static cs_err admit(cs_rooms *r, cs_room_entry *e, size_t len)
{
    if (e->num_texts >= r->limits.messages || len > r->limits.bytes || e->bytes > r->limits.bytes - len) {
        return CS_E_ROOM_FULL;
    }
    while (len > r->limits.bytes_all || r->bytes > r->limits.bytes_all - len) {
        if (!evict(r, e)) {
            return CS_E_ROOM_LIMIT;
        }
    }
    return reserve(e);
}

static bool wants(const cs_room_sub *s, const cs_room_text *t)
{
    return t->sender != s->not_from && (size_t)t->body_at + s->prefix_len <= t->len &&
           memcmp(t->bytes + t->body_at, s->prefix, s->prefix_len) == 0;
}

/* Whoever waits is told; whoever has taken nothing while much was said goes. */
static void tell_subs(cs_rooms *r, cs_room_entry *e, const cs_room_text *t)
{
    for (cs_room_sub *s = e->subs, *next; s != NULL; s = next) {
        next = s->next;
        if (!wants(s, t)) {
            continue;
        }
        if (!s->waiting) {
            s->behind += t->len;
        }
        if (s->behind > r->limits.subscriber_queue) {
            r->stats.slow++;
            sub_end(r, e, s);
        } else if (s->waiting) {
            s->waiting = false;
            s->events->more(s->cookie);
        }
    }
}

static cs_err publish(cs_rooms *r, cs_slice name, uint64_t now, const cs_room_post *post, uint64_t *out_id)
{
    cs_room_entry *e = NULL;
    CS_TRY(enter(r, &e, name, now));
    CS_TRY(admit(r, e, post->len + TEXT_COST));
    cs_room_text *text = post->render(post->cookie, e->num_texts);
    if (text == NULL) {
        return CS_E_NO_MEMORY;
    }
    *out_id = e->num_texts;
    e->texts[e->num_texts++] = text;
    e->bytes += text->len + TEXT_COST;
    r->bytes += text->len + TEXT_COST;
    r->stats.messages++;
    touch(r, e, now);
    tell_subs(r, e, text);
    if (e->num_subs == 0) {
        touch(r, e, now); /* the last one was too slow */
    }
    return CS_OK;
}

void cs_rooms_publish(cs_rooms *r, cs_slice name, uint64_t now, const cs_room_post *post, cs_rooms_fn *done,
                      void *cookie)
{
    uint64_t id = 0;
    cs_err err = publish(r, name, now, post, &id);
    done(cookie, err, id);
    tell_ended(r);
}

void cs_rooms_unique(cs_rooms *r, cs_slice name, uint64_t now, cs_rooms_fn *done, void *cookie)
{
    cs_room_entry *e = NULL;
    uint64_t n = 0;
    cs_err err = enter(r, &e, name, now);
    if (err == CS_OK) {
        n = e->next_index++;
        touch(r, e, now);
    }
    done(cookie, err, n);
    tell_ended(r);
}

/* ---- subscribers ---- */

cs_err cs_rooms_subscribe(cs_rooms *r, cs_room_sub **out, cs_slice name, uint64_t now, const cs_room_want *want)
{
    cs_room_entry *e = NULL;
    if (r->num_subs >= r->limits.subscribers_all) {
        return CS_E_ROOM_LIMIT;
    }
    CS_TRY(enter(r, &e, name, now));
    if (e->num_subs >= r->limits.subscribers) {
        return CS_E_ROOM_FULL;
    }
    cs_room_sub *s = calloc(1, sizeof *s + want->prefix.len);
    if (s == NULL) {
        return CS_E_NO_MEMORY;
    }
    bool from_start = want->after_id == CS_ROOMS_FROM_START || want->after_id >= e->num_texts;
    *s = (cs_room_sub){.room = e,
                       .next = e->subs,
                       .prev = &e->subs,
                       .at = from_start ? 0 : want->after_id + 1,
                       .not_from = want->not_from,
                       .events = want->events,
                       .cookie = want->cookie,
                       .prefix_len = want->prefix.len};
    if (s->prefix_len > 0) {
        memcpy(s->prefix, want->prefix.p, s->prefix_len);
    }
    if (e->subs != NULL) {
        e->subs->prev = &s->next;
    }
    e->subs = s;
    e->num_subs++;
    r->num_subs++;
    touch(r, e, now);
    *out = s;
    return CS_OK;
}

cs_room_text *cs_room_sub_next(cs_room_sub *s)
{
    const cs_room_entry *e = s->room;
    s->behind = 0;
    while (e != NULL && s->at < e->num_texts) {
        cs_room_text *t = e->texts[s->at++];
        if (wants(s, t)) {
            t->refs++;
            return t;
        }
    }
    s->waiting = true;
    return NULL;
}

void cs_rooms_unsubscribe(cs_rooms *r, cs_room_sub *s, uint64_t now)
{
    cs_room_entry *e = s->room;
    sub_unlink(s);
    free(s);
    if (e == NULL) { /* had ended, and was about to be told */
        return;
    }
    e->num_subs--;
    r->num_subs--;
    if (over(e)) {
        forget(r, e);
    } else if (e->num_subs == 0) {
        touch(r, e, now);
    }
}

/* ---- calls ---- */

uint64_t cs_rooms_call_begin(cs_rooms *r, cs_slice name, uint64_t now)
{
    cs_room_entry *e = NULL;
    if (enter(r, &e, name, now) != CS_OK) {
        return 0;
    }
    e->calls++;
    e->finished = false;
    touch(r, e, now);
    tell_ended(r);
    return e->serial;
}

void cs_rooms_call_end(cs_rooms *r, cs_slice name, uint64_t now, uint64_t ticket, bool well)
{
    cs_room_entry *e = find(r, name);
    if (e == NULL || e->serial != ticket || e->calls == 0) { /* that room is forgotten */
        return;
    }
    e->calls--;
    e->finished = e->calls == 0 && well;
    if (over(e)) {
        forget(r, e);
    }
}

void cs_rooms_tick(cs_rooms *r, uint64_t now)
{
    while (r->quietest != NULL && now - r->quietest->heard >= r->limits.idle_ms) {
        forget(r, r->quietest);
    }
    while (r->eldest != NULL && now - r->eldest->born >= r->limits.max_ms) {
        forget(r, r->eldest);
    }
    tell_ended(r);
}

void cs_rooms_stats_get(const cs_rooms *r, cs_rooms_stats *out)
{
    *out = r->stats;
    out->rooms = r->table.num;
    out->subscribers = r->num_subs;
    out->bytes = r->bytes;
}
