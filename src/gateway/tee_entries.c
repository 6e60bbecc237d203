/* Audit entries whose reply did not arrive. See tee_entries.h. */
#include "gateway/tee_entries.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/cbor.h"
#include "gateway/tee_counters.h"
#include "gateway/tee_pb.h"
#include "net/countersign.pb-c.h"
#include "tee/trust.h"

#define KEPT 4096u /* by core */
#define REPLY_MAX (256u * 1024u)
#define ASK_MS 15000u
#define SETTLE_MS 1500u /* calls under way are no gap */
#define AGAIN_MS 5000u
#define ASKS_MAX 64u /* of one pass */
#define READS_MAX 256u

struct cs_tee_entries {
    cs_loop *loop;
    cs_pool *pool;
    cs_store *store;
    cs_timer *timer;
    bool known;   /* boot16 and key32 are those of an enclave that attested */
    bool placed;  /* have is */
    bool wanted;  /* look, even when no counter is known to be missing */
    bool stopped; /* what core gave cannot be believed: until it attests again */
    bool busy;    /* a pass is under way: exactly one of call and job */
    uint8_t boot16[16], key32[32];
    cs_tee_counters have; /* while placed */
    uint64_t mark;        /* low when the timer was started */
    /* the pass */
    cs_pool_call *call;
    cs_store_job *job;
    unsigned asks, reads;
    uint64_t asked, goal,
        before; /* asked: the answer begins there; before: the first one behind the gap that the store has */
    uint64_t filled;
    bool has_head;
    uint64_t head_of; /* head32 is the hash of this entry */
    uint8_t head32[32], next32[32];
    cs_buf held; /* core's answer: entries next .. end - 1 are still to be read from `at` */
    cs_cbor at;
    uint64_t next, end;
};

static void read_store(cs_tee_entries *e);
static void fill(cs_tee_entries *e);

/* ---------------------------------------------------------------- begin and end of a pass */

static void later(cs_tee_entries *e, uint64_t ms)
{
    e->mark = e->have.low;
    if (!cs_timer_active(e->timer)) {
        cs_timer_start(e->timer, ms, 0);
    }
}

static void end_pass(cs_tee_entries *e)
{
    e->busy = false;
    cs_buf_free(&e->held);
    if (e->filled > 0) {
        cs_log(CS_LOG_INFO, "tee_audit_filled", CS_LHEX("boot", cs_slice_of(e->boot16, sizeof e->boot16)),
               CS_LU("entries", e->filled), CS_LU("up_to", e->have.low));
        e->filled = 0;
    }
    if (!e->stopped && (e->wanted || e->have.low < e->have.top)) {
        later(e, e->wanted ? AGAIN_MS : SETTLE_MS);
    }
}

/* Core, sign-service or the store cannot now. */
static void put_off(cs_tee_entries *e)
{
    e->wanted = true;
    end_pass(e);
}

/* Nothing of it is believed, and nothing more asked until the enclave attests again. */
static void refuse(cs_tee_entries *e, cs_err why, uint64_t counter)
{
    cs_log_err(CS_LOG_ERROR, "tee_audit_entries", why, CS_LHEX("boot", cs_slice_of(e->boot16, sizeof e->boot16)),
               CS_LU("counter", counter));
    e->stopped = true;
    end_pass(e);
}

/* ---------------------------------------------------------------- the store, page by page */

/* Moves on over what is there. True: all of the page has been, and follows without a gap. */
static bool take_page(cs_tee_entries *e, const cs_store_out *out)
{
    const cs_store_entry *head = NULL;
    bool more = out->num_entries == CS_STORE_PAGE_MAX;
    e->before = UINT64_MAX;
    for (size_t i = 0; i < out->num_entries; i++) {
        const cs_store_entry *s = &out->entries[i];
        if (memcmp(s->boot, e->boot16, sizeof e->boot16) != 0) {
            more = false;
            break;
        }
        if (s->counter > e->have.low + 1) {
            e->before = s->counter;
            break;
        }
        cs_tee_counters_have(&e->have, s->counter);
        head = s;
    }
    e->has_head = e->have.low == 0;
    e->head_of = 0;
    memset(e->head32, 0, sizeof e->head32);
    if (head != NULL && head->counter == e->have.low &&
        cs_tee_entry_hash(e->head32, head->entry, head->entry_sig) == CS_OK) {
        e->has_head = true;
        e->head_of = head->counter;
    }
    return more && e->before == UINT64_MAX;
}

static void on_page(void *cookie, cs_err err, const cs_store_out *out)
{
    cs_tee_entries *e = cookie;
    e->job = NULL;
    if (err != CS_OK) {
        put_off(e);
    } else if (take_page(e, out)) {
        read_store(e);
    } else if (e->before == UINT64_MAX && e->asks > 0 && e->have.low >= e->goal) {
        end_pass(e);
    } else {
        fill(e);
    }
}

static void read_store(cs_tee_entries *e)
{
    cs_store_in in = {.boot16 = e->boot16,
                      .counter = e->have.low > 0 ? e->have.low - 1 : 0,
                      .limit = CS_STORE_PAGE_MAX}; /* with the head */
    if (++e->reads > READS_MAX || cs_store_start(e->store, CS_STORE_AUDIT, &in, &e->job, on_page, e) != CS_OK) {
        put_off(e);
    }
}

/* Where to begin: core has no more than its last entries. */
static void on_boots(void *cookie, cs_err err, const cs_store_out *out)
{
    cs_tee_entries *e = cookie;
    uint64_t last = 0;
    e->job = NULL;
    if (err != CS_OK) {
        put_off(e);
        return;
    }
    if (out->num_entries > 0 && memcmp(out->entries[0].boot, e->boot16, sizeof e->boot16) == 0) {
        last = out->entries[0].counter;
    }
    e->have.top = last > e->have.top ? last : e->have.top;
    cs_tee_counters_begin(&e->have, last > KEPT ? last - KEPT : 0);
    e->goal = e->have.top;
    e->placed = true;
    read_store(e);
}

static void place(cs_tee_entries *e)
{
    uint8_t before16[16];
    bool borrow = true;
    memcpy(before16, e->boot16, sizeof before16);
    for (size_t i = 0; borrow && i < sizeof before16; i++) { /* the id before this one */
        borrow = before16[sizeof before16 - 1 - i]-- == 0;
    }
    cs_store_in in = {.boot16 = borrow ? NULL : before16, .limit = 1};
    if (cs_store_start(e->store, CS_STORE_BOOTS, &in, &e->job, on_boots, e) != CS_OK) {
        put_off(e);
    }
}

static void begin_pass(cs_tee_entries *e)
{
    e->busy = true;
    e->wanted = false;
    e->asks = 0;
    e->reads = 0;
    e->goal = e->have.top;
    e->next = e->end = 0;
    if (e->placed) {
        read_store(e);
    } else {
        place(e);
    }
}

static void on_timer(void *cookie)
{
    cs_tee_entries *e = cookie;
    if (e->busy || !e->known || e->stopped) {
        return;
    }
    if (e->wanted || !e->placed || (e->have.low < e->have.top && e->have.low == e->mark)) {
        begin_pass(e);
    } else if (e->have.low < e->have.top) {
        later(e, SETTLE_MS);
    }
}

/* ---------------------------------------------------------------- core's answer */

static cs_err next_of(cs_cbor *c, cs_slice *entry, cs_slice *sig, cs_tee_entry *out)
{
    cs_cbor_iter pair;
    CS_TRY(cs_cbor_array(c, &pair));
    if (pair.left != 2) {
        return CS_E_AUDIT_CHAIN;
    }
    CS_TRY(cs_cbor_bytes(c, entry));
    CS_TRY(cs_cbor_bytes(c, sig));
    return cs_tee_entry_decode(out, *entry);
}

/* All of the answer is entries of this boot in their order; whose they are is seen one by one. */
static cs_err check_answer(cs_tee_entries *e)
{
    cs_cbor c = cs_cbor_of(cs_buf_slice(&e->held), CS_CBOR_STRICT);
    cs_cbor_iter all;
    CS_TRY(cs_cbor_array(&c, &all));
    e->at = c;
    for (e->next = e->end = 0; cs_cbor_more(&c, &all); e->end++) {
        cs_tee_entry x;
        cs_slice entry, sig;
        CS_TRY(next_of(&c, &entry, &sig, &x));
        e->next = e->end == 0 ? x.counter : e->next;
        e->end = e->end == 0 ? x.counter : e->end;
        if (x.counter != e->end || x.counter == 0 || x.counter > INT64_MAX ||
            memcmp(x.boot16, e->boot16, sizeof e->boot16) != 0) {
            return CS_E_AUDIT_CHAIN;
        }
    }
    return cs_cbor_end(&c);
}

/* Core no longer has what was asked for: believed only when the first that it has is signed. */
static cs_err skip_lost(cs_tee_entries *e)
{
    cs_cbor c = e->at;
    cs_slice entry, sig;
    cs_tee_entry x;
    CS_TRY(next_of(&c, &entry, &sig, &x));
    CS_TRY(cs_tee_entry_verify(e->key32, entry, sig));
    cs_log_err(CS_LOG_ERROR, "tee_audit_lost", CS_E_AUDIT_CHAIN,
               CS_LHEX("boot", cs_slice_of(e->boot16, sizeof e->boot16)), CS_LU("from", e->asked),
               CS_LU("to", e->next - 1));
    cs_tee_counters_skip(&e->have, e->next - 1);
    return CS_OK;
}

static void answered(cs_tee_entries *e)
{
    cs_err err = check_answer(e);
    bool none = e->end == 0;
    if (err == CS_OK && none && e->before == UINT64_MAX && e->have.low >= e->goal) {
        end_pass(e);
        return;
    }
    if (err == CS_OK && e->next > e->asked) {
        err = skip_lost(e);
    }
    if (err != CS_OK || none || e->next < e->asked) { /* none: core is behind the store */
        refuse(e, CS_E_AUDIT_CHAIN, e->asked);
        return;
    }
    if (e->asks == 1 && e->end - 1 > e->goal) { /* what comes while this goes on is not its business */
        e->goal = e->end - 1;
    }
    read_store(e);
}

static void on_message(void *cookie, cs_slice message)
{
    cs_tee_entries *e = cookie;
    e->held.len = 0;
    if (cs_tee_pb_core_reply(&e->held, message) != CS_OK) {
        e->held.len = 0; /* no answer: seen at the end */
    }
}

static void on_drain(void *cookie)
{
    (void)cookie;
}

static void on_end(void *cookie, const cs_pool_result *r)
{
    cs_tee_entries *e = cookie;
    e->call = NULL;
    if (r->status == CS_GRPC_OK && !r->ours) {
        answered(e);
    } else if (r->status == CS_GRPC_UNIMPLEMENTED) {
        refuse(e, CS_E_NOT_IMPLEMENTED, e->have.low + 1);
    } else {
        put_off(e);
    }
}

static void ask(cs_tee_entries *e)
{
    static const cs_pool_events events = {on_message, on_drain, on_end};
    Countersign__V1__TeeCoreEntries in = COUNTERSIGN__V1__TEE_CORE_ENTRIES__INIT;
    uint8_t bytes[16];
    in.from = e->asked = e->have.low + 1;
    cs_slice part = cs_slice_of(bytes, countersign__v1__tee_core_entries__pack(&in, bytes));
    cs_buf_free(&e->held);
    e->held = cs_buf_heap(REPLY_MAX);
    e->next = e->end = 0;
    if (cs_pool_up(e->pool) == 0 || ++e->asks > ASKS_MAX ||
        cs_pool_call_new(&e->call, e->pool, "/countersign.v1.TeeCore/Entries", ASK_MS, &events, e) != CS_OK) {
        put_off(e);
        return;
    }
    if (cs_grpc_send(cs_pool_call_grpc(e->call), &part, 1) != CS_OK) {
        cs_pool_cancel(e->call);
        e->call = NULL;
        put_off(e);
        return;
    }
    cs_grpc_end(cs_pool_call_grpc(e->call));
}

/* ---------------------------------------------------------------- into the store */

static void on_put(void *cookie, cs_err err, const cs_store_out *out)
{
    cs_tee_entries *e = cookie;
    const uint64_t counter = e->next - 1;
    (void)out;
    e->job = NULL;
    if (err == CS_E_AUDIT_CHAIN) { /* the store has another one */
        refuse(e, err, counter);
        return;
    }
    if (err != CS_OK) {
        put_off(e);
        return;
    }
    e->filled++;
    cs_tee_counters_have(&e->have, counter);
    memcpy(e->head32, e->next32, sizeof e->head32);
    e->head_of = counter;
    e->has_head = true;
    if (e->have.low == counter && counter + 1 < e->before && e->next < e->end) {
        fill(e);
    } else {
        read_store(e);
    }
}

/* The entry is core's, and stands on the one before. */
static cs_err verify(cs_tee_entries *e, const cs_tee_entry *x, cs_slice entry, cs_slice sig)
{
    if (e->has_head && e->head_of + 1 == x->counter && memcmp(e->head32, x->previous32, sizeof e->head32) != 0) {
        return CS_E_AUDIT_CHAIN;
    }
    CS_TRY(cs_tee_entry_verify(e->key32, entry, sig));
    return cs_tee_entry_hash(e->next32, entry, sig);
}

/* The first that is missing: from the answer at hand, or asked for. */
static void fill(cs_tee_entries *e)
{
    const uint64_t want = e->have.low + 1;
    cs_slice entry = CS_SLICE_NULL, sig = CS_SLICE_NULL;
    cs_tee_entry x = {0};
    cs_err err = CS_OK;
    if (e->next > want || want >= e->end) {
        ask(e);
        return;
    }
    for (; err == CS_OK && e->next <= want; e->next++) {
        err = next_of(&e->at, &entry, &sig, &x);
    }
    if (err != CS_OK || (err = verify(e, &x, entry, sig)) != CS_OK) {
        refuse(e, err == CS_E_NO_MEMORY ? err : CS_E_AUDIT_CHAIN, want);
        return;
    }
    cs_store_in in = {.entry = entry, .entry_sig = sig, .boot16 = e->boot16, .counter = want};
    if (cs_store_start(e->store, CS_STORE_APPLY, &in, &e->job, on_put, e) != CS_OK) {
        put_off(e);
    }
}

/* ---------------------------------------------------------------- what others tell */

static void cancel(cs_tee_entries *e)
{
    if (e->call != NULL) {
        cs_pool_cancel(e->call);
    }
    if (e->job != NULL) {
        cs_store_forget(e->job);
    }
    e->call = NULL;
    e->job = NULL;
    e->busy = false;
    cs_buf_free(&e->held);
}

void cs_tee_entries_boot(cs_tee_entries *e, const cs_tee_vouch *v)
{
    if (!e->known || memcmp(e->boot16, v->boot16, sizeof e->boot16) != 0 ||
        memcmp(e->key32, v->audit_key32, sizeof e->key32) != 0) {
        cancel(e);
        memcpy(e->boot16, v->boot16, sizeof e->boot16);
        memcpy(e->key32, v->audit_key32, sizeof e->key32);
        e->known = true;
        e->placed = false;
        e->have = (cs_tee_counters){0};
        e->filled = 0;
    }
    e->stopped = false;
    e->wanted = true;
    if (!e->busy) {
        cs_timer_start(e->timer, 0, 0);
    }
}

void cs_tee_entries_stored(cs_tee_entries *e, const uint8_t boot16[16], uint64_t counter)
{
    if (e == NULL || !e->known || memcmp(e->boot16, boot16, sizeof e->boot16) != 0) {
        return;
    }
    if (e->placed) {
        cs_tee_counters_have(&e->have, counter);
    } else {
        e->have.top = counter > e->have.top ? counter : e->have.top;
    }
    if (e->have.low < e->have.top && !e->busy && !e->stopped && !cs_timer_active(e->timer)) {
        later(e, SETTLE_MS);
    }
}

void cs_tee_entries_lost(cs_tee_entries *e)
{
    if (e != NULL && e->known && !e->stopped) {
        e->wanted = true;
        if (!e->busy) {
            later(e, SETTLE_MS);
        }
    }
}

/* ---------------------------------------------------------------- life */

cs_err cs_tee_entries_new(cs_tee_entries **out, cs_loop *loop, cs_pool *pool, cs_store *store)
{
    cs_tee_entries *e = calloc(1, sizeof *e);
    if (e == NULL || cs_timer_new(&e->timer, loop, on_timer, e) != CS_OK) {
        free(e);
        return CS_E_NO_MEMORY;
    }
    e->loop = loop;
    e->pool = pool;
    e->store = store;
    *out = e;
    return CS_OK;
}

void cs_tee_entries_free(cs_tee_entries *e)
{
    if (e != NULL) {
        cancel(e);
        cs_timer_free(e->timer);
        free(e);
    }
}
