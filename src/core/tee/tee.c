/* The TEE service: its life, and the way of a call from stage to stage. */
#include "core/tee/tee.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/tee/tee_int.h"
#include "secret/noise.h"
#include "secret/rng.h"

/* ---------------------------------------------------------------- KMS keys of the configuration */

cs_slice cs_tee_key_first(const cs_core_config *c)
{
    return c->num_tee_key_arns > 0 ? c->tee_key_arns[0] : c->key_arn;
}

bool cs_tee_key_allowed(const cs_core_config *c, cs_slice arn)
{
    for (size_t i = 0; i < c->num_tee_key_arns; i++) {
        if (cs_slice_eq(arn, c->tee_key_arns[i])) {
            return true;
        }
    }
    return c->num_tee_key_arns == 0 && cs_slice_eq(arn, c->key_arn);
}

/* ---------------------------------------------------------------- jobs */

static void work_open(cs_task *t);
static void done_open(void *ctx, cs_task *t);
static void work_execute(cs_task *t);
static void done_execute(void *ctx, cs_task *t);

static cs_tee_job *job_of(cs_task *t)
{
    return (cs_tee_job *)(void *)t; /* its first member */
}

cs_err cs_tee_job_new(cs_tee_job **out, cs_tee *t, const cs_rpc_frame *f)
{
    const size_t call = f->f[1].s.len, attached = f->f[2].s.len;
    cs_tee_job *j = cs_secret_alloc(sizeof *j);

    if (j == NULL) {
        return CS_E_NO_MEMORY;
    }
    j->mem = cs_secret_alloc(call + attached + 1);
    if (j->mem == NULL) {
        cs_secret_free(j);
        return CS_E_NO_MEMORY;
    }
    if (call > 0) {
        memcpy(j->mem, f->f[1].s.p, call);
    }
    if (attached > 0) {
        memcpy(j->mem + call, f->f[2].s.p, attached);
    }
    j->call_bytes = cs_slice_of(j->mem, call);
    j->attached_bytes = cs_slice_of(j->mem + call, attached);
    j->tee = t;
    j->id = f->id;
    j->sealed = f->f[0].u == 1;
    j->started_ns = cs_clock_mono_ns();
    j->set = cs_share_hold(t->core->set);
    j->next = t->first;
    if (t->first != NULL) {
        t->first->prev = j;
    }
    t->first = j;
    t->jobs++;
    *out = j;
    return CS_OK;
}

void cs_tee_job_free(cs_tee_job *j)
{
    cs_tee *t = j->tee;

    *(j->prev == NULL ? &t->first : &j->prev->next) = j->next;
    if (j->next != NULL) {
        j->next->prev = j->prev;
    }
    t->jobs--;
    for (size_t i = 0; j->want != NULL && i < j->num_wants; i++) {
        cs_secret_free(j->want[i].fresh);
    }
    cs_secret_free(j->want);
    cs_secret_free(j->permit);
    cs_secret_free(j->row);
    cs_secret_free(j->pubs);
    cs_secret_buf_free(&j->opened);
    cs_secret_buf_free(&j->given);
    cs_secret_buf_free(&j->plain);
    cs_secret_buf_free(&j->out);
    cs_secret_free(j->mem);
    cs_share_free(j->set);
    cs_secret_free(j);
}

/* ---------------------------------------------------------------- stages */

static void submit(cs_tee_job *j, void (*work)(cs_task *t), void (*done)(void *ctx, cs_task *t))
{
    j->task = (cs_task){.work = work, .done = done};
    cs_pool_put(j->tee->pool, &j->task);
}

void cs_op_tee_call(cs_core *c, const cs_permit *p)
{
    const cs_rpc_frame *f = cs_permit_frame(p);
    cs_tee_job *j = NULL;
    cs_err err = cs_tee_job_new(&j, c->tee, f);

    if (err != CS_OK) {
        cs_tee_respond_code(c, f->id, err);
        return;
    }
    submit(j, work_open, done_open);
}

static void work_open(cs_task *t)
{
    cs_tee_open(job_of(t));
}

/* A document, or the statistics: the only operations that need the main thread. */
static cs_err give(cs_tee_job *j)
{
    const cs_tee *t = j->tee;
    const cs_nsm_doc_args args = {.nonce = j->r.f[0].s, .user_data = cs_tee_vouch_of(t)};

    switch (j->r.row->op) {
    case CS_TEE_ATTEST:
        CS_TRY(cs_secret_buf(&j->given, CS_TEE_DOC_MAX));
        return cs_nsm_document(t->core->nsm, &j->given, &args);
    case CS_TEE_STATS:
        CS_TRY(cs_secret_buf(&j->given, CS_TEE_STATS_MAX));
        return cs_tee_stats(&j->given, t);
    default:
        return CS_OK;
    }
}

static void execute_or_wait(cs_tee_job *j)
{
    if (j->pending == 0) {
        j->err = CS_E_CLOSED; /* until a worker says otherwise */
        submit(j, work_execute, done_execute);
    }
}

static void key_ready(void *ctx, cs_key_want *w, void *owner)
{
    cs_tee_job *j = owner;

    (void)ctx;
    (void)w; /* its error is the row's, or the whole call's: execute knows */
    j->pending--;
    execute_or_wait(j);
}

/* One more than the wants, so that the last of them cannot be ready while others have not been asked for. */
static void ask_for_keys(cs_tee_job *j)
{
    j->pending = j->num_wants + 1;
    for (size_t i = 0; i < j->num_wants; i++) {
        j->want[i].ready = key_ready;
        cs_keys_want(j->tee->keys, &j->want[i]);
    }
    j->pending--;
    execute_or_wait(j);
}

static void done_open(void *ctx, cs_task *t)
{
    cs_tee_job *j = job_of(t);
    cs_err err = j->tee->stopping ? CS_E_CLOSED : j->err;

    (void)ctx;
    if (err == CS_OK) {
        err = cs_tee_admit(j);
    }
    if (err == CS_OK) {
        err = give(j);
    }
    if (err != CS_OK) {
        cs_tee_finish(j, err);
        return;
    }
    ask_for_keys(j);
}

static void work_execute(cs_task *t)
{
    cs_tee_job *j = job_of(t);

    j->err = cs_tee_execute(j->permit);
}

static void done_execute(void *ctx, cs_task *t)
{
    cs_tee_job *j = job_of(t);

    (void)ctx;
    cs_tee_finish(j, j->err);
}

/* ---------------------------------------------------------------- life */

static cs_err make_keys(cs_tee *t)
{
    const cs_core *c = t->core;
    const uint8_t(*pcr)[48] = NULL;
    uint8_t three[3][48];
    cs_tee_vouch vouch = {0};
    cs_buf b = cs_buf_wrap(t->vouch, sizeof t->vouch);

    for (unsigned i = 0; i < 3; i++) {
        memcpy(three[i], c->pcr[i].value, sizeof three[i]); /* 0, 1, 2 come first */
    }
    pcr = (const uint8_t(*)[48])three;
    t->audit = cs_secret_alloc(sizeof *t->audit);
    t->request_key = cs_secret_alloc(sizeof *t->request_key);
    t->reply = cs_secret_alloc(CS_RPC_MAX);
    if (t->audit == NULL || t->request_key == NULL || t->reply == NULL) {
        return CS_E_NO_MEMORY;
    }
    CS_TRY(cs_audit_init(t->audit, c->boot, pcr));
    CS_TRY(cs_random(t->request_key->b, sizeof t->request_key->b));
    CS_CT_SECRET(t->request_key->b, sizeof t->request_key->b);
    cs_x25519_base(t->request_pub, t->request_key->b);
    vouch = (cs_tee_vouch){.request_key32 = t->request_pub, .audit_key32 = t->audit->public32, .boot16 = c->boot};
    CS_TRY(cs_tee_vouch_encode(&b, &vouch));
    t->vouch_len = b.len;
    return CS_OK;
}

static cs_err make_tables(cs_tee *t)
{
    const cs_core_config *config = t->core->config;
    const unsigned workers = config->tee_workers > 0 ? (unsigned)config->tee_workers : cs_pool_cpus();

    CS_TRY(cs_window_new(&t->window, config->tee_window_seconds * 1000, CS_WINDOW_MAX));
    CS_TRY(cs_rates_new(&t->rates));
    CS_TRY(cs_pool_new(&t->pool, workers));
    return cs_keys_new(&t->keys, t->core, t->pool);
}

cs_err cs_tee_new(cs_tee **out, cs_core *c)
{
    cs_tee *t = calloc(1, sizeof *t);
    cs_err err;

    if (t == NULL) {
        return CS_E_NO_MEMORY;
    }
    t->core = c;
    err = make_keys(t);
    if (err == CS_OK) {
        err = make_tables(t);
    }
    if (err != CS_OK) {
        cs_tee_free(t);
        return err;
    }
    cs_log(CS_LOG_INFO, "tee", CS_LU("workers", cs_pool_workers(t->pool)), CS_LU("queue", c->config->tee_queue),
           CS_LU("cache_seconds", c->config->tee_cache_seconds),
           CS_LHEX("audit_key", cs_slice_of(t->audit->public32, 32)));
    *out = t;
    return CS_OK;
}

static void collect(cs_tee *t)
{
    cs_task *task = NULL;

    cs_pool_rest(t->pool);
    while ((task = cs_pool_take(t->pool)) != NULL) {
        task->done(t->core, task);
    }
}

void cs_tee_stop(cs_tee *t)
{
    if (t == NULL || t->stopping) {
        return;
    }
    t->stopping = true;
    if (t->pool != NULL) {
        cs_pool_stop(t->pool);
        collect(t);
    }
    if (t->keys != NULL) {
        cs_keys_stop(t->keys, CS_E_CLOSED);
        collect(t);
    }
    while (t->first != NULL) {
        cs_tee_finish(t->first, CS_E_CLOSED);
    }
    cs_keys_free(t->keys);
    t->keys = NULL;
    cs_secret_free(t->request_key);
    t->request_key = NULL;
    if (t->audit != NULL) {
        cs_audit_cleanup(t->audit);
    }
    cs_secret_free(t->audit);
    t->audit = NULL;
    cs_secret_free(t->reply);
    t->reply = NULL;
}

void cs_tee_free(cs_tee *t)
{
    if (t != NULL) {
        cs_tee_stop(t);
        cs_pool_free(t->pool);
        cs_window_free(t->window);
        cs_rates_free(t->rates);
        free(t);
    }
}

bool cs_tee_full(const cs_tee *t)
{
    return t->jobs >= t->core->config->tee_queue;
}

void cs_tee_kms_reply(cs_tee *t, const cs_rpc_frame *f)
{
    if (!t->stopping) {
        cs_keys_reply(t->keys, f);
    }
}

void cs_tee_kms_down(cs_tee *t)
{
    if (!t->stopping) {
        cs_keys_link_down(t->keys);
    }
}

void cs_tee_loaded(cs_tee *t)
{
    if (!t->stopping) {
        cs_keys_prepare(t->keys);
    }
}

int cs_tee_fd(const cs_tee *t)
{
    return t == NULL || t->stopping ? -1 : cs_pool_fd(t->pool);
}

void cs_tee_tick(cs_tee *t, uint64_t now_ms)
{
    if (!t->stopping) {
        collect(t);
        cs_keys_tick(t->keys, now_ms);
    }
}

uint64_t cs_tee_deadline(const cs_tee *t)
{
    return t->stopping ? UINT64_MAX : cs_keys_deadline(t->keys);
}

cs_slice cs_tee_vouch_of(const cs_tee *t)
{
    return cs_slice_of(t->vouch, t->vouch_len);
}
