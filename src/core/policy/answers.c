#include "core/policy/answers.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "secret/mem.h"

enum { FREE, SEEN, LIVE, ANSWERED };

cs_err cs_answers_init(cs_answers *a, uint32_t max)
{
    *a = (cs_answers){.max = max};
    a->entries = calloc(max, sizeof *a->entries);
    a->buckets = calloc(max, sizeof *a->buckets);
    if (a->entries == NULL || a->buckets == NULL) {
        cs_answers_cleanup(a);
        return CS_E_NO_MEMORY;
    }
    return CS_OK;
}

void cs_answers_cleanup(cs_answers *a)
{
    free(a->entries);
    free(a->buckets);
    *a = (cs_answers){0};
}

/* A label is a SHA-256: a client that aims many at one bucket pays 2^16 hashes for each. */
static uint32_t *bucket_of(const cs_answers *a, const uint8_t label[32])
{
    return &a->buckets[cs_load_u32(label) & (a->max - 1)];
}

static cs_answer_entry *find(const cs_answers *a, const uint8_t label[32])
{
    for (uint32_t i = *bucket_of(a, label); i != 0; i = a->entries[i - 1].next) {
        if (cs_ct_eq(a->entries[i - 1].label, label, 32)) {
            return &a->entries[i - 1];
        }
    }
    return NULL;
}

static void unlink_entry(cs_answers *a, uint32_t index)
{
    uint32_t *at = bucket_of(a, a->entries[index].label);

    while (*at != index + 1) {
        at = &a->entries[*at - 1].next;
    }
    *at = a->entries[index].next;
}

/* The oldest entry that no session is working on: a session must find its own when it has signed. All live: the oldest. */
static uint32_t next_victim(cs_answers *a)
{
    uint32_t index;

    for (uint32_t i = 0; i < a->max && a->entries[a->head].state == LIVE; i++) {
        a->head = (a->head + 1) & (a->max - 1);
    }
    index = a->head;
    a->head = (a->head + 1) & (a->max - 1);
    return index;
}

static cs_answer_entry *insert(cs_answers *a, const uint8_t label[32])
{
    uint32_t index = a->num < a->max ? a->num++ : next_victim(a);
    cs_answer_entry *e = &a->entries[index];
    uint32_t *bucket = bucket_of(a, label);

    if (e->state != FREE) {
        unlink_entry(a, index);
        a->forgotten++;
    }
    memset(e, 0, sizeof *e);
    memcpy(e->label, label, 32);
    e->state = SEEN;
    e->next = *bucket;
    *bucket = index + 1;
    return e;
}

/* The key is in it, the epoch is not: a refresh leaves answers right, another key under the account's name does not. */
cs_err cs_answers_data(uint8_t out32[32], const uint8_t pk33[33], const cs_hello *h)
{
    uint8_t mem[33 + 32 + 4 + 4 * CS_HELLO_MAX_PATH];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    CS_TRY(cs_put(&b, pk33, 33));
    CS_TRY(cs_put(&b, h->digest32, 32));
    CS_TRY(cs_put_u32(&b, (uint32_t)h->path_len));
    for (size_t i = 0; i < h->path_len; i++) {
        CS_TRY(cs_put_u32(&b, h->path[i]));
    }
    return SHA256(b.p, b.len, out32) == NULL ? CS_E_INTERNAL : CS_OK;
}

static cs_err found_in(cs_answer_found *out, const cs_answer_entry *e, const uint8_t data32[32])
{
    *out = (cs_answer_found){0};
    if (e == NULL) {
        return CS_OK;
    }
    if (!cs_ct_eq(e->data, data32, 32)) {
        return CS_E_EXECUTION_CONFLICT;
    }
    out->answered = e->state == ANSWERED;
    out->live = e->state == LIVE;
    out->stream = e->stream;
    if (out->answered) {
        memcpy(out->answer, e->answer, sizeof out->answer);
    }
    return CS_OK;
}

cs_err cs_answers_peek(const cs_answers *a, cs_answer_found *out, const uint8_t label32[32], const uint8_t data32[32])
{
    return found_in(out, find(a, label32), data32);
}

cs_err cs_answers_claim(cs_answers *a, cs_answer_found *out, const uint8_t label32[32], const uint8_t data32[32],
                        uint64_t stream)
{
    cs_answer_entry *e = find(a, label32);

    CS_TRY(found_in(out, e, data32));
    if (out->answered) {
        return CS_OK;
    }
    if (e == NULL) {
        e = insert(a, label32);
        memcpy(e->data, data32, sizeof e->data);
    }
    e->state = LIVE;
    e->stream = stream;
    return CS_OK;
}

void cs_answers_done(cs_answers *a, const uint8_t label32[32], const uint8_t answer65[CS_ANSWER_LEN])
{
    cs_answer_entry *e = find(a, label32);

    if (e != NULL) {
        memcpy(e->answer, answer65, CS_ANSWER_LEN);
        e->state = ANSWERED;
    }
}

void cs_answers_drop(cs_answers *a, const uint8_t label32[32], uint64_t stream)
{
    cs_answer_entry *e = find(a, label32);

    if (e != NULL && e->state == LIVE && e->stream == stream) {
        e->state = SEEN;
    }
}
