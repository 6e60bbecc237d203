#include "core/tee/keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "core/core_int.h"
#include "core/pipeline/respond.h"
#include "core/tee/keys_int.h"
#include "secret/th.h"

/* ---------------------------------------------------------------- lists */

static list *list_of(cs_keys *k, call_stage stage)
{
    return stage == CALL_TURN ? &k->turn : stage == CALL_ASKED ? &k->asked : &k->opening;
}

static void enter(cs_keys *k, call *c, call_stage stage)
{
    list *l = list_of(k, stage);

    c->stage = stage;
    c->next = NULL;
    c->prev = l->last;
    *(l->last == NULL ? &l->first : &l->last->next) = c;
    l->last = c;
    k->num_asked += stage == CALL_ASKED;
}

static void leave(cs_keys *k, call *c)
{
    list *l = list_of(k, c->stage);

    *(c->prev == NULL ? &l->first : &c->prev->next) = c->next;
    *(c->next == NULL ? &l->last : &c->next->prev) = c->prev;
    k->num_asked -= c->stage == CALL_ASKED;
}

static bool generates(const call *c)
{
    return c->first->data_key.len == 0;
}

static call **chain_of(cs_keys *k, const uint8_t name32[32])
{
    return &k->chain[cs_load_u16(name32) % CHAINS];
}

static void unchain(cs_keys *k, call *c)
{
    call **at = chain_of(k, c->name);

    while (*at != NULL && *at != c) {
        at = &(*at)->chain;
    }
    if (*at == c) {
        *at = c->chain;
    }
}

static void name_of(uint8_t out[32], cs_slice kms_key, cs_slice data_key)
{
    uint8_t len[4];
    cs_sha256 h;

    cs_store_u32(len, (uint32_t)kms_key.len);
    cs_sha256_init(&h);
    cs_sha256_put(&h, len, sizeof len);
    cs_sha256_put(&h, kms_key.p, kms_key.len);
    cs_sha256_put(&h, data_key.p, data_key.len);
    cs_sha256_end(&h, out);
}

/* ---------------------------------------------------------------- the end of a call */

static void free_call(call *c)
{
    EVP_PKEY_free(c->rsa);
    cs_secret_free(c->envelope);
    cs_secret_free(c->blob);
    cs_secret_free(c);
}

static void tell(cs_keys *k, cs_key_want *w, cs_err err, const cs_secret32 *key)
{
    w->err = err;
    if (err == CS_OK) {
        w->key = *key;
    }
    w->ready(k->core, w, w->owner);
}

static void next_turn(cs_keys *k);

/* Everybody who waits hears of it; then the key is gone, but for the cache. */
static void finish(cs_keys *k, call *c, cs_err err)
{
    cs_key_want *w = c->first;

    leave(k, c);
    unchain(k, c);
    k->stats.errors += err != CS_OK;
    if (err == CS_OK && generates(c)) {
        w->fresh = c->blob; /* transferred */
        w->fresh_len = c->blob_len;
        c->blob = NULL;
        name_of(c->name, w->kms_key, cs_slice_of(w->fresh, w->fresh_len));
    }
    if (err == CS_OK) {
        cs_key_cache_put(k->cache, c->name, &c->key, cs_clock_mono_ms());
    }
    while (w != NULL) {
        cs_key_want *next = w->next;

        tell(k, w, err, &c->key);
        w = next;
    }
    free_call(c);
}

/* ---------------------------------------------------------------- the RSA key */

static void make_rsa(cs_task *t)
{
    rsa_task *r = (rsa_task *)(void *)t;

    r->err = cs_rsa_make(&r->made);
}

static void have_rsa(void *ctx, cs_task *t)
{
    rsa_task *r = (rsa_task *)(void *)t;
    cs_keys *k = r->keys;

    (void)ctx;
    r->busy = false;
    if (r->err != CS_OK) {
        if (r->err != CS_E_CLOSED) { /* core ends: nobody has begun */
            cs_log_err(CS_LOG_ERROR, "rsa", r->err);
        }
        while (k->rsa.key == NULL && k->turn.first != NULL) {
            finish(k, k->turn.first, r->err);
        }
        return;
    }
    cs_rsa_wipe(&k->rsa); /* calls under way have references of their own */
    k->rsa = r->made;     /* transferred */
    r->made = (cs_rsa){0};
    k->rsa_ms = cs_clock_mono_ms();
    next_turn(k);
}

void cs_keys_prepare(cs_keys *k)
{
    const bool old = k->rsa.key != NULL && cs_clock_mono_ms() - k->rsa_ms >= CS_KEYS_RSA_MS;

    if (k->making.busy || k->stopped || (k->rsa.key != NULL && !old)) {
        return;
    }
    k->making.busy = true;
    k->making.err = CS_E_CLOSED; /* until a worker says otherwise */
    cs_pool_put(k->pool, &k->making.task);
}

/* ---------------------------------------------------------------- asking */

static cs_err send_call(cs_keys *k, const call *c)
{
    static uint8_t mem[CS_NSM_RESPONSE_MAX]; /* public; one thread */
    static cs_rpc_frame f;
    const cs_core_config *config = k->core->config;
    cs_buf doc = cs_buf_wrap(mem, sizeof mem);
    cs_nsm_doc_args args = {.public_key = cs_slice_of(k->rsa.spki, k->rsa.spki_len)};

    CS_TRY(cs_nsm_document(k->core->nsm, &doc, &args));
    f = (cs_rpc_frame){.type = CS_RPC_KMS_CALL, .id = c->id};
    f.f[0].u = generates(c) && !c->confirming ? CS_KMS_GENERATE_DATA_KEY : CS_KMS_DECRYPT;
    f.f[1].s = c->first->kms_key;
    f.f[2].s = c->confirming ? cs_slice_of(c->blob, c->blob_len) : c->first->data_key;
    f.f[3].s = cs_buf_slice(&doc);
    f.f[4].m.num = config->num_context;
    for (size_t i = 0; i < config->num_context; i++) {
        f.f[4].m.key[i] = config->context_key[i];
        f.f[4].m.value[i] = config->context_value[i];
    }
    cs_respond_frame(k->core, CS_LINK_KMS, &f);
    return CS_OK;
}

static void ask(cs_keys *k, call *c)
{
    cs_err err = k->core->down[CS_LINK_KMS] ? CS_E_KMS_UNAVAILABLE : CS_OK;

    leave(k, c);
    enter(k, c, CALL_ASKED);
    if (err == CS_OK && EVP_PKEY_up_ref(k->rsa.key) != 1) {
        err = CS_E_INTERNAL;
    }
    if (err == CS_OK) {
        EVP_PKEY_free(c->rsa); /* of the first question */
        c->rsa = k->rsa.key;
        c->id = CS_KEYS_CALL | ++k->last_id;
        c->asked_ms = cs_clock_mono_ms();
        k->stats.calls++;
        err = send_call(k, c);
    }
    if (err != CS_OK) {
        finish(k, c, err);
    }
}

static void next_turn(cs_keys *k)
{
    if (k->turn.first != NULL) {
        cs_keys_prepare(k);
    }
    while (k->rsa.key != NULL && k->num_asked < CS_KEYS_ASKED_MAX && k->turn.first != NULL) {
        ask(k, k->turn.first);
    }
}

static bool join(cs_keys *k, cs_key_want *w, const uint8_t name[32])
{
    call *c = *chain_of(k, name);

    while (c != NULL && !cs_ct_eq(c->name, name, sizeof c->name)) {
        c = c->chain;
    }
    if (c == NULL) {
        return false;
    }
    w->next = c->first->next;
    c->first->next = w;
    k->stats.shared++;
    return true;
}

static void open_answer(cs_task *t);
static void have_answer(void *ctx, cs_task *t);

static void begin(cs_keys *k, cs_key_want *w, const uint8_t name[32])
{
    call *c = cs_secret_alloc(sizeof *c);

    if (c == NULL) {
        tell(k, w, CS_E_NO_MEMORY, NULL);
        return;
    }
    *c = (call){.task = {.work = open_answer, .done = have_answer},
                .keys = k,
                .first = w,
                .deadline_ms = cs_clock_mono_ms() + CS_KEYS_KMS_MS};
    enter(k, c, CALL_TURN);
    if (!generates(c)) {
        memcpy(c->name, name, sizeof c->name);
        c->chain = *chain_of(k, name);
        *chain_of(k, name) = c;
    }
    next_turn(k);
}

void cs_keys_want(cs_keys *k, cs_key_want *w)
{
    CS_SECRET(cs_secret32) key = {{0}};
    uint8_t name[32] = {0};

    w->next = NULL;
    if (k->stopped) {
        tell(k, w, CS_E_CLOSED, NULL);
        return;
    }
    if (w->data_key.len > 0) {
        name_of(name, w->kms_key, w->data_key);
        if (cs_key_cache_get(k->cache, &key, name, cs_clock_mono_ms())) {
            k->stats.hits++;
            tell(k, w, CS_OK, &key);
            return;
        }
        if (join(k, w, name)) {
            return;
        }
    }
    begin(k, w, name);
}

/* ---------------------------------------------------------------- the answer */

/* What is sealed with another key than the ciphertext's would never open again. */
static cs_err same_key(const call *c)
{
    int same = cs_ct_eq(c->key.b, c->promised.b, sizeof c->key.b);

    CS_CT_PUBLIC(&same, sizeof same, "the caller is told which of the two it was");
    return same ? CS_OK : CS_E_KMS_ANSWER;
}

/* On a worker. */
static void open_answer(cs_task *t)
{
    call *c = (call *)(void *)t;
    cs_buf plain = {0};

    c->err = cs_secret_buf(&plain, CS_CMS_MAX);
    if (c->err != CS_OK) {
        return;
    }
    c->err = cs_cms_open(&plain, cs_slice_of(c->envelope, c->envelope_len), c->rsa);
    if (c->err == CS_OK && plain.len != sizeof c->key.b) {
        c->err = CS_E_KMS_ANSWER; /* no data key */
    }
    if (c->err == CS_OK) {
        memcpy(c->key.b, plain.p, sizeof c->key.b);
        CS_CT_SECRET(c->key.b, sizeof c->key.b);
    }
    if (c->err == CS_OK && c->confirming) {
        c->err = same_key(c);
    }
    cs_secret_buf_free(&plain);
}

/* A forged answer to GenerateDataKey would show when it is too late: what it gave must be what KMS decrypts. */
static void confirm(cs_keys *k, call *c)
{
    if (k->stopped) {
        finish(k, c, CS_E_CLOSED);
        return;
    }
    c->confirming = true;
    c->promised = c->key;
    cs_secret_free(c->envelope);
    c->envelope = NULL;
    c->deadline_ms = cs_clock_mono_ms() + CS_KEYS_KMS_MS;
    leave(k, c);
    enter(k, c, CALL_TURN);
    next_turn(k);
}

static void have_answer(void *ctx, cs_task *t)
{
    call *c = (call *)(void *)t;

    (void)ctx;
    if (c->err == CS_OK && generates(c) && !c->confirming) {
        confirm(c->keys, c);
    } else {
        finish(c->keys, c, c->err);
    }
}

static cs_err keep(uint8_t **out, size_t *out_len, cs_slice bytes)
{
    *out = cs_secret_alloc(bytes.len);
    if (*out == NULL) {
        return CS_E_NO_MEMORY;
    }
    memcpy(*out, bytes.p, bytes.len);
    *out_len = bytes.len;
    return CS_OK;
}

static cs_err take_answer(call *c, const cs_rpc_frame *f)
{
    CS_TRY(cs_load_check_reply(f, c->first->kms_key));
    if (f->f[4].s.len > CS_CMS_MAX) {
        return CS_E_CMS;
    }
    CS_TRY(keep(&c->envelope, &c->envelope_len, f->f[4].s));
    if (!generates(c) || c->confirming) {
        return CS_OK;
    }
    if (f->f[5].s.len < 1 || f->f[5].s.len > CS_KMS_CIPHERTEXT_MAX) {
        return CS_E_KMS_ANSWER;
    }
    return keep(&c->blob, &c->blob_len, f->f[5].s);
}

static void count_latency(cs_keys *k, uint64_t ms)
{
    unsigned i = 0;

    while (i < CS_KEYS_LATENCIES - 1 && ms > 1ull << i) {
        i++;
    }
    k->stats.latency[i]++;
    k->stats.latency_sum_ms += ms;
}

void cs_keys_reply(cs_keys *k, const cs_rpc_frame *f)
{
    call *c = k->asked.first;
    cs_err err;

    while (c != NULL && c->id != f->id) {
        c = c->next;
    }
    if (c == NULL) {
        return; /* an answer that came too late, or twice */
    }
    count_latency(k, cs_clock_mono_ms() - c->asked_ms);
    err = take_answer(c, f);
    if (err != CS_OK) {
        cs_log_err(CS_LOG_WARN, "data_key", err, CS_LSTR("kms_type", f->f[1].s));
        finish(k, c, err);
    } else {
        leave(k, c);
        enter(k, c, CALL_OPENING);
        c->err = CS_E_CLOSED; /* until a worker says otherwise */
        cs_pool_put(k->pool, &c->task);
    }
    next_turn(k);
}

/* ---------------------------------------------------------------- deadlines and ends */

static void end_all(cs_keys *k, list *l, cs_err err)
{
    while (l->first != NULL) {
        finish(k, l->first, err);
    }
}

void cs_keys_link_down(cs_keys *k)
{
    end_all(k, &k->asked, CS_E_KMS_UNAVAILABLE);
    end_all(k, &k->turn, CS_E_KMS_UNAVAILABLE);
}

void cs_keys_stop(cs_keys *k, cs_err err)
{
    k->stopped = true;
    end_all(k, &k->asked, err);
    end_all(k, &k->turn, err);
}

void cs_keys_tick(cs_keys *k, uint64_t now_ms)
{
    while (k->asked.first != NULL && now_ms >= k->asked.first->deadline_ms) {
        cs_log_err(CS_LOG_WARN, "data_key", CS_E_TIMEOUT);
        finish(k, k->asked.first, CS_E_TIMEOUT);
    }
    while (k->turn.first != NULL && now_ms >= k->turn.first->deadline_ms) {
        finish(k, k->turn.first, CS_E_TIMEOUT);
    }
    cs_key_cache_tick(k->cache, now_ms);
    next_turn(k);
}

uint64_t cs_keys_deadline(const cs_keys *k)
{
    uint64_t at = cs_key_cache_deadline(k->cache);

    if (k->asked.first != NULL && k->asked.first->deadline_ms < at) {
        at = k->asked.first->deadline_ms;
    }
    if (k->turn.first != NULL && k->turn.first->deadline_ms < at) {
        at = k->turn.first->deadline_ms;
    }
    return at;
}

void cs_keys_stats_of(const cs_keys *k, cs_keys_stats *out)
{
    *out = k->stats;
    out->cached = cs_key_cache_count(k->cache);
    out->under_way = k->num_asked;
}

cs_err cs_keys_new(cs_keys **out, cs_core *c, cs_pool *pool)
{
    cs_keys *k = calloc(1, sizeof *k);
    cs_err err;

    if (k == NULL) {
        return CS_E_NO_MEMORY;
    }
    k->core = c;
    k->pool = pool;
    k->making = (rsa_task){.task = {.work = make_rsa, .done = have_rsa}, .keys = k};
    err = cs_key_cache_new(&k->cache, c->config->tee_cache_seconds * 1000, (size_t)c->config->tee_cache_entries);
    if (err != CS_OK) {
        free(k);
        return err;
    }
    *out = k;
    return CS_OK;
}

void cs_keys_free(cs_keys *k)
{
    if (k == NULL) {
        return;
    }
    cs_keys_stop(k, CS_E_CLOSED);
    end_all(k, &k->opening, CS_E_CLOSED);
    cs_rsa_wipe(&k->rsa);
    cs_rsa_wipe(&k->making.made);
    cs_key_cache_free(k->cache);
    free(k);
}
