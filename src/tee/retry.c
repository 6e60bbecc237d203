#include "tee/retry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"
#include "net/countersign.pb-c.h"

#define CALL_PATH "/countersign.v1.Tee/Call"
#define CODE_MAX 64u

/* ---------------------------------------------------------------- back-off */

typedef struct backoff_row {
    cs_err_class class;
    uint32_t first_ms, max_ms;
} backoff_row;

/* The last row is for all others. */
static const backoff_row backoffs[] = {
    {CS_CLASS_IO, 50, 2000},
    {CS_CLASS_LIMIT, 100, 5000},
    {CS_CLASS_STATE, 250, 5000},
    {CS_CLASS_OK, 500, 10000},
};
#define NUM_BACKOFFS (sizeof backoffs / sizeof *backoffs)

uint32_t cs_tee_backoff_ms(cs_err e, unsigned attempt)
{
    size_t i = 0;
    uint32_t ms;

    while (i < NUM_BACKOFFS - 1 && backoffs[i].class != cs_err_class_of(e)) {
        i++;
    }
    ms = backoffs[i].first_ms;
    for (unsigned n = 2; n < attempt && ms < backoffs[i].max_ms; n++) {
        ms *= 2;
    }
    return ms < backoffs[i].max_ms ? ms : backoffs[i].max_ms;
}

static uint32_t jitter(uint32_t max_ms)
{
    uint32_t r = 0;

    if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r) {
        return max_ms; /* waits all the same */
    }
    return (uint32_t)(((uint64_t)r * ((uint64_t)max_ms + 1)) >> 32);
}

static void wait_ms(uint32_t ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

/* ---------------------------------------------------------------- protobuf */

static ProtobufCBinaryData bytes_of(cs_slice s)
{
    return (ProtobufCBinaryData){s.len, (uint8_t *)(uintptr_t)s.p};
}

/* protobuf-c wants C strings: copies of all texts in one block. */
typedef struct texts {
    char *block, *at;
    char **records;
} texts;

static char *text_of(texts *t, cs_slice s)
{
    char *out = t->at;

    if (s.len > 0) {
        memcpy(out, s.p, s.len);
    }
    out[s.len] = '\0';
    t->at += s.len + 1;
    return out;
}

static void texts_free(texts *t)
{
    free(t->records);
    free(t->block);
}

static cs_err texts_new(texts *t, const cs_tee_envelope *e)
{
    size_t len = e->caller.len + e->kms_key.len + 2;

    for (size_t i = 0; i < e->num_records; i++) {
        len += e->records[i].len + 1;
    }
    t->block = t->at = malloc(len);
    t->records = calloc(e->num_records + 1, sizeof *t->records);
    for (size_t i = 0; t->block != NULL && t->records != NULL && i < e->num_records; i++) {
        t->records[i] = text_of(t, e->records[i]);
    }
    return t->block != NULL && t->records != NULL ? CS_OK : CS_E_NO_MEMORY;
}

static cs_err pack(cs_buf *out, const cs_tee_envelope *e)
{
    Countersign__V1__TeeCall m = COUNTERSIGN__V1__TEE_CALL__INIT;
    texts t = {0};
    uint8_t *p = NULL;
    cs_err err = texts_new(&t, e);

    if (err == CS_OK) {
        m.call = bytes_of(e->call);
        m.sealed = e->sealed;
        m.operation = (char *)(uintptr_t)e->row->name;
        m.n_records = e->num_records;
        m.records = t.records;
        m.caller = text_of(&t, e->caller);
        m.request_id = bytes_of(cs_slice_of(e->id16, CS_TEE_ID_LEN));
        m.data_key_ciphertext = bytes_of(e->data_key);
        m.kms_key_id = text_of(&t, e->kms_key);
        err = cs_put_space(out, &p, countersign__v1__tee_call__get_packed_size(&m));
    }
    if (err == CS_OK) {
        (void)countersign__v1__tee_call__pack(&m, p);
    }
    texts_free(&t);
    return err;
}

static cs_err unpack(cs_buf *out_reply, cs_slice message)
{
    Countersign__V1__TeeReply *m = countersign__v1__tee_reply__unpack(NULL, message.len, message.p);
    cs_err err = CS_E_FORMAT;

    if (m != NULL) {
        err = cs_put(out_reply, m->reply.data, m->reply.len);
        countersign__v1__tee_reply__free_unpacked(m, NULL);
    }
    return err;
}

/* ---------------------------------------------------------------- attempts */

static cs_err code_of(cs_slice code)
{
    char text[CODE_MAX + 1] = {0};

    memcpy(text, code.p, code.len); /* 1..CODE_MAX: cs_tee_reply_decode */
    return cs_err_from_code(text);
}

/* One attempt: the reply and its code. */
static cs_err attempt(cs_tee_link *l, cs_buf *out_reply, cs_err *out_code, const cs_tee_post *post)
{
    cs_buf answer = cs_buf_heap(CS_TEE_MESSAGE_MAX);
    const size_t before = out_reply->len;
    cs_tee_reply reply = {0};
    cs_err err = cs_tee_link_call(l, &answer, post);

    if (err == CS_OK && (err = unpack(out_reply, cs_buf_slice(&answer))) == CS_OK) {
        err = cs_tee_reply_decode(&reply, cs_slice_of(out_reply->p + before, out_reply->len - before));
    }
    cs_buf_free(&answer);
    if (err == CS_OK) {
        *out_code = code_of(reply.code);
    } else {
        out_reply->len = before;
    }
    return err;
}

/* What is left of the patience, at most limit; 0: nothing. */
static uint32_t left_ms(uint64_t deadline, uint32_t limit)
{
    uint64_t now = cs_clock_mono_ms();

    return now >= deadline ? 0 : deadline - now < limit ? (uint32_t)(deadline - now) : limit;
}

bool cs_tee_wait(cs_err e, unsigned attempt, uint64_t deadline_ms)
{
    uint32_t pause = jitter(cs_tee_backoff_ms(e, attempt));

    if (left_ms(deadline_ms, UINT32_MAX) <= pause) {
        return false;
    }
    wait_ms(pause);
    return true;
}

static cs_err attempts(cs_tee_link *l, cs_buf *out_reply, cs_err *out_code, unsigned *out_attempts, cs_tee_post *post,
                       const cs_tee_patience *p)
{
    const uint64_t deadline = cs_clock_mono_ms() + p->timeout_ms;
    const size_t before = out_reply->len;

    for (*out_attempts = 1;; ++*out_attempts) {
        uint32_t ms = left_ms(deadline, p->attempt_ms);
        post->timeout_ms = ms > 0 ? ms : 1;
        cs_err err = attempt(l, out_reply, out_code, post);
        cs_err why = err != CS_OK ? err : *out_code;

        if (!cs_err_retry(why) || *out_attempts > p->retries || !cs_tee_wait(why, *out_attempts + 1, deadline)) {
            return err;
        }
        out_reply->len = before;
    }
}

cs_err cs_tee_exchange(cs_tee_link *l, cs_buf *out_reply, cs_err *out_code, unsigned *out_attempts,
                       const cs_tee_envelope *envelope, const cs_tee_patience *patience)
{
    cs_buf message = cs_buf_heap(CS_TEE_MESSAGE_MAX);
    cs_err err = pack(&message, envelope);

    *out_attempts = 1;
    if (err == CS_OK) {
        cs_tee_post post = {.path = CALL_PATH, .request = cs_buf_slice(&message), .trace = envelope->trace};
        err = attempts(l, out_reply, out_code, out_attempts, &post, patience);
    }
    cs_buf_free(&message);
    return err;
}
