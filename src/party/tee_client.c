#include "party/tee_client.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "secret/rng.h"

#define BOOTS 4u
#define NONCE 32u
#define REPLY_MAX (256u * 1024u)

struct cs_tee_client {
    cs_tee_client_config config;
    pthread_mutex_t attest_lock; /* one attestation at a time; taken before lock */
    pthread_mutex_t lock;        /* below */
    cs_tee_boot boot[BOOTS];     /* the newest first */
    size_t num_boots;
    uint64_t attested_ms, attested_reconnects, num_attests;
};

/* ---------------------------------------------------------------- boots */

static cs_tee_boot *find_boot(cs_tee_client *c, const uint8_t boot16[16])
{
    for (size_t i = 0; i < c->num_boots; i++) {
        if (memcmp(c->boot[i].boot16, boot16, sizeof c->boot[i].boot16) == 0) {
            return &c->boot[i];
        }
    }
    return NULL;
}

/* A verified boot becomes the current one; what is remembered of it stays. */
static cs_err adopt(cs_tee_client *c, const cs_tee_boot *b)
{
    cs_tee_boot *known = find_boot(c, b->boot16), now = *b;
    size_t at = c->num_boots < BOOTS ? c->num_boots : BOOTS - 1;

    if (known != NULL) {
        if (memcmp(known->request_key32, b->request_key32, 32) != 0 ||
            memcmp(known->audit_key32, b->audit_key32, 32) != 0) {
            return CS_E_ATT_BINDING; /* a boot has one pair of keys */
        }
        now = *known;
        at = (size_t)(known - c->boot);
    } else {
        c->num_boots += c->num_boots < BOOTS;
    }
    memmove(&c->boot[1], &c->boot[0], at * sizeof c->boot[0]);
    c->boot[0] = now;
    return CS_OK;
}

/* ---------------------------------------------------------------- requests */

static cs_slice caller_of(const cs_tee_client *c, const cs_tee_op_row *row)
{
    const cs_tee_identity *id = c->config.identity;

    return id != NULL && (row->flags & CS_TEE_CALLER) != 0 ? cs_slice_str(id->id) : CS_SLICE_NULL;
}

static cs_err make_body(cs_tee_body *out, const cs_tee_client *c, const cs_tee_ask *ask, const uint8_t *id16,
                        uint64_t time_ms)
{
    const cs_tee_identity *id = c->config.identity;
    cs_tee_request r = ask->request;
    bool needs = (r.row->flags & CS_TEE_CALLER) != 0;

    if (needs && id == NULL) {
        return CS_E_USAGE;
    }
    r.id16 = id16;
    r.time_ms = time_ms;
    r.caller = caller_of(c, r.row);
    return cs_tee_body_make(out, &r, needs ? id : NULL);
}

cs_err cs_tee_client_body(cs_tee_body *out, const cs_tee_client *c, const cs_tee_ask *ask)
{
    if (ask->id16 == NULL || ask->time_ms == 0) {
        return CS_E_USAGE;
    }
    return make_body(out, c, ask, ask->id16, ask->time_ms);
}

static cs_err begin(cs_tee_answer *out, const cs_tee_ask *ask)
{
    cs_tee_answer_free(out);
    out->bytes = cs_buf_heap(REPLY_MAX);
    out->time_ms = ask->time_ms != 0 ? ask->time_ms : cs_clock_wall_ms();
    CS_TRY(ask->trace != NULL ? cs_trace_child(&out->trace, ask->trace) : cs_trace_new(&out->trace));
    if (ask->id16 == NULL) {
        return cs_random(out->id16, sizeof out->id16);
    }
    memcpy(out->id16, ask->id16, sizeof out->id16);
    return CS_OK;
}

void cs_tee_answer_free(cs_tee_answer *a)
{
    cs_buf_free(&a->bytes);
    cs_secret_buf_free(&a->plain);
    *a = (cs_tee_answer){0};
}

/* One call under way. */
typedef struct flight {
    const cs_tee_ask *ask;
    cs_tee_body body;
    cs_tee_boot boot; /* the current one when it began; zero: none yet */
    bool sealed;
    uint64_t deadline;
} flight;

static cs_tee_patience patience_of(const cs_tee_client *c, const flight *f)
{
    cs_tee_patience p = c->config.patience;
    uint64_t now = cs_clock_mono_ms();

    p.timeout_ms = now < f->deadline ? (uint32_t)(f->deadline - now) : 1;
    return p;
}

/* Sends and receives; *out_code is the reply's. */
static cs_err exchange(cs_tee_client *c, cs_tee_answer *out, cs_err *out_code, const flight *f)
{
    const cs_tee_ask *ask = f->ask;
    const cs_tee_patience patience = patience_of(c, f);
    cs_buf call = cs_buf_heap(CS_TEE_MESSAGE_MAX);
    cs_tee_envelope e = {.sealed = f->sealed,
                         .row = ask->request.row,
                         .records = ask->records,
                         .num_records = ask->num_records,
                         .caller = caller_of(c, ask->request.row),
                         .id16 = out->id16,
                         .data_key = ask->data_key,
                         .kms_key = ask->kms_key,
                         .trace = &out->trace};
    cs_err err =
        cs_tee_body_call(&call, &f->body, ask->approvals, ask->num_approvals, f->sealed ? f->boot.request_key32 : NULL);

    e.call = cs_buf_slice(&call);
    if (err == CS_OK) {
        err = cs_tee_exchange(c->config.link, &out->bytes, out_code, &out->attempts, &e, &patience);
    }
    if (err == CS_OK) {
        err = cs_tee_reply_decode(&out->reply, cs_buf_slice(&out->bytes));
    }
    cs_buf_free(&call);
    return err;
}

/* ---------------------------------------------------------------- replies */

static cs_tee_expect expect_of(const cs_tee_client *c, const cs_tee_answer *a, const flight *f)
{
    return (cs_tee_expect){.row = f->ask->request.row,
                           .body = f->body.body,
                           .caller = caller_of(c, f->ask->request.row),
                           .code = a->reply.code,
                           .result = a->reply.result,
                           .id16 = a->id16};
}

static cs_err read_result(const cs_tee_client *c, cs_tee_answer *a, const flight *f)
{
    const cs_tee_op_row *row = f->ask->request.row;
    cs_slice result = a->reply.result;

    if (a->reply.sealed != (f->sealed || (row->flags & CS_TEE_SECRET_OUT) != 0) ||
        (a->reply.sealed && c->config.identity == NULL)) {
        return CS_E_FORMAT;
    }
    if (a->reply.sealed) {
        CS_TRY(cs_secret_buf(&a->plain, result.len + 1));
        CS_TRY(cs_tee_result_open(&a->plain, result, a->id16, c->config.identity));
        result = cs_buf_slice(&a->plain);
    }
    return cs_tee_result_decode(&a->result, row, result);
}

/* ---------------------------------------------------------------- attestation */

static cs_err read_document(cs_tee_client *c, cs_tee_answer *a, const flight *f)
{
    const cs_slice nonce = f->ask->request.f[0].s;
    cs_att_options options = *c->config.att;
    cs_tee_expect x = expect_of(c, a, f);
    cs_tee_boot boot, *known;
    cs_err err;

    CS_TRY(read_result(c, a, f));
    options.nonce = &nonce;
    CS_TRY(cs_tee_boot_verify(&boot, a->result.f[0].s, &options));
    (void)pthread_mutex_lock(&c->lock);
    known = find_boot(c, boot.boot16);
    err =
        cs_tee_entry_check(known != NULL ? known : &boot, &a->entry, a->head32, a->reply.entry, a->reply.entry_sig, &x);
    if (err == CS_OK && (err = adopt(c, &boot)) == CS_OK) {
        a->audited = true;
        c->attested_ms = cs_clock_mono_ms();
        c->num_attests++;
    }
    (void)pthread_mutex_unlock(&c->lock);
    return err;
}

static cs_err attest(cs_tee_client *c, cs_tee_answer *out, const cs_tee_ask *ask, uint64_t deadline)
{
    flight f = {.ask = ask, .deadline = deadline};
    uint64_t reconnects = cs_tee_link_reconnects(c->config.link);
    cs_err code = CS_OK, err = begin(out, ask);

    if (err == CS_OK && (err = make_body(&f.body, c, ask, out->id16, out->time_ms)) == CS_OK &&
        (err = exchange(c, out, &code, &f)) == CS_OK) {
        err = code != CS_OK ? code : read_document(c, out, &f);
    }
    if (err == CS_OK) {
        (void)pthread_mutex_lock(&c->lock);
        c->attested_reconnects = reconnects; /* of before: a reconnect meanwhile is looked at again */
        (void)pthread_mutex_unlock(&c->lock);
    }
    cs_tee_body_free(&f.body);
    return err;
}

/* num_attests as it was when the caller found a reason to ask anew: somebody else may have done it meanwhile. */
static cs_err attest_again(cs_tee_client *c, uint64_t seen, uint64_t deadline)
{
    uint8_t nonce[NONCE];
    cs_tee_ask ask = {.request = {.row = cs_tee_op_of(CS_TEE_ATTEST)}};
    cs_tee_answer answer = {0};
    cs_err err = CS_OK;
    bool done;

    (void)pthread_mutex_lock(&c->attest_lock);
    (void)pthread_mutex_lock(&c->lock);
    done = c->num_attests != seen;
    (void)pthread_mutex_unlock(&c->lock);
    if (!done && (err = cs_random(nonce, sizeof nonce)) == CS_OK) {
        ask.request.f[0].s = cs_slice_of(nonce, sizeof nonce);
        err = attest(c, &answer, &ask, deadline);
        cs_tee_answer_free(&answer);
    }
    (void)pthread_mutex_unlock(&c->attest_lock);
    return err;
}

/* The current boot, attested not too long ago and on these connections. */
static cs_err current_boot(cs_tee_client *c, cs_tee_boot *out, uint64_t *out_attests, uint64_t deadline)
{
    bool fresh;

    (void)pthread_mutex_lock(&c->lock);
    *out_attests = c->num_attests;
    fresh = c->num_boots > 0 && cs_clock_mono_ms() - c->attested_ms < c->config.attest_every_ms &&
            c->attested_reconnects == cs_tee_link_reconnects(c->config.link);
    (void)pthread_mutex_unlock(&c->lock);
    if (!fresh) {
        CS_TRY(attest_again(c, *out_attests, deadline));
    }
    (void)pthread_mutex_lock(&c->lock);
    *out_attests = c->num_attests;
    *out = c->boot[0];
    (void)pthread_mutex_unlock(&c->lock);
    return CS_OK;
}

/* ---------------------------------------------------------------- calls */

static cs_err check_entry(cs_tee_client *c, cs_tee_answer *a, const flight *f, const uint8_t boot16[16])
{
    cs_tee_expect x = expect_of(c, a, f);
    cs_tee_boot *boot;
    cs_err err = CS_E_NOT_FOUND;

    (void)pthread_mutex_lock(&c->lock);
    boot = find_boot(c, boot16);
    if (boot != NULL) {
        /* a request whose id was given may have been answered long ago */
        bool fresh = f->ask->id16 == NULL && memcmp(f->boot.boot16, boot16, 16) == 0;
        x.above = fresh ? f->boot.top : 0;
        err = cs_tee_entry_check(boot, &a->entry, a->head32, a->reply.entry, a->reply.entry_sig, &x);
    }
    (void)pthread_mutex_unlock(&c->lock);
    a->audited = err == CS_OK;
    return err;
}

/* The reply is the attested enclave's answer to this request. An unknown boot is asked to attest itself. */
static cs_err believe(cs_tee_client *c, cs_tee_answer *a, const flight *f, uint64_t attests)
{
    const uint8_t *boot16 = NULL;
    cs_err err;

    CS_TRY(cs_tee_entry_boot(&boot16, a->reply.entry));
    err = check_entry(c, a, f, boot16);
    if (err == CS_E_NOT_FOUND) {
        CS_TRY(attest_again(c, attests, f->deadline));
        err = check_entry(c, a, f, boot16);
    }
    return err == CS_E_NOT_FOUND ? CS_E_AUDIT_CHAIN : err;
}

static cs_err receive(cs_tee_client *c, cs_tee_answer *a, const flight *f, cs_err code, uint64_t attests)
{
    if (a->reply.entry.len > 0) {
        CS_TRY(believe(c, a, f, attests));
    } else if (code == CS_OK) {
        return CS_E_AUDIT_CHAIN; /* what was done has an entry */
    }
    return code != CS_OK ? code : read_result(c, a, f);
}

static bool same_boot(const cs_tee_boot *a, const cs_tee_boot *b)
{
    return memcmp(a->boot16, b->boot16, sizeof a->boot16) == 0;
}

/* One request under one id. *out_restarted: the enclave could not open it, as it has another key than the one it was sealed to. */
static cs_err call_once(cs_tee_client *c, cs_tee_answer *out, bool *out_restarted, flight *f)
{
    const cs_tee_op_row *row = f->ask->request.row;
    cs_err code = CS_OK, err;
    uint64_t attests = 0;
    cs_tee_boot now;

    *out_restarted = false;
    f->sealed = (row->flags & CS_TEE_SECRET_IN) != 0 || (c->config.seal_all && (row->flags & CS_TEE_CALLER) != 0);
    CS_TRY(begin(out, f->ask));
    CS_TRY(make_body(&f->body, c, f->ask, out->id16,
                     out->time_ms)); /* what is wrong with it is said before anything is sent */
    CS_TRY(current_boot(c, &f->boot, &attests, f->deadline));
    err = exchange(c, out, &code, f);
    if (err == CS_OK) {
        err = receive(c, out, f, code, attests);
    }
    if (err == CS_E_FORMAT && f->sealed && !out->audited) {
        CS_TRY(attest_again(c, attests, f->deadline));
        CS_TRY(current_boot(c, &now, &attests, f->deadline));
        *out_restarted = !same_boot(&now, &f->boot);
    }
    return err;
}

cs_err cs_tee_client_call(cs_tee_client *c, cs_tee_answer *out, const cs_tee_ask *ask)
{
    uint32_t ms = ask->timeout_ms != 0 ? ask->timeout_ms : c->config.patience.timeout_ms;
    flight f = {.ask = ask, .deadline = cs_clock_mono_ms() + ms};
    bool restarted = false;
    cs_err err = call_once(c, out, &restarted, &f);

    if (restarted && ask->id16 != NULL) {
        err = CS_E_CHANNEL_UNKNOWN;
    } else if (restarted) {
        cs_tee_body_free(&f.body);
        err = call_once(c, out, &restarted, &f);
    }
    cs_tee_body_free(&f.body);
    return err;
}

cs_err cs_tee_client_attest(cs_tee_client *c, cs_tee_answer *out, const cs_tee_ask *ask)
{
    uint32_t ms = ask->timeout_ms != 0 ? ask->timeout_ms : c->config.patience.timeout_ms;
    cs_err err;

    (void)pthread_mutex_lock(&c->attest_lock);
    err = attest(c, out, ask, cs_clock_mono_ms() + ms);
    (void)pthread_mutex_unlock(&c->attest_lock);
    return err;
}

cs_err cs_tee_client_rows(cs_tee_client *c, cs_tee_page *out, const cs_tee_page_ask *ask)
{
    return cs_tee_page_get(c->config.link, out, ask, &c->config.patience);
}

cs_err cs_tee_client_new(cs_tee_client **out, const cs_tee_client_config *config)
{
    cs_tee_client *c = calloc(1, sizeof *c);

    if (c == NULL) {
        return CS_E_NO_MEMORY;
    }
    c->config = *config;
    (void)pthread_mutex_init(&c->attest_lock, NULL);
    (void)pthread_mutex_init(&c->lock, NULL);
    *out = c; /* transferred */
    return CS_OK;
}

void cs_tee_client_free(cs_tee_client *c)
{
    if (c != NULL) {
        (void)pthread_mutex_destroy(&c->lock);
        (void)pthread_mutex_destroy(&c->attest_lock);
        free(c);
    }
}
