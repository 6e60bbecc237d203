/*
 * The store, the same properties on both databases: SQLite in a folder of its own, or what CS_TEST_STORE names (an empty database,
 * see tests/interop/store_pg.sh). Each test begins with empty tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_testlib.h"

/* ---- rows */

static void store_gives_back_what_was_stored_in_the_order_asked(void **state)
{
    cs_tee_row a = test_row("wallet-1", 1, "blob of 1"), b = test_row("wallet-2", 1, "blob of 2");
    cs_slice ask[3] = {cs_slice_str("wallet-2"), cs_slice_str("none"), cs_slice_str("wallet-1")};

    assert_int_equal(test_put(*state, &a), CS_OK);
    assert_int_equal(test_put(*state, &b), CS_OK);
    const cs_store_out *out = test_do(*state, CS_STORE_GET, &(cs_store_in){.records = ask, .num = 3}, CS_OK);
    assert_int_equal(out->num_rows, 3);
    assert_true(cs_slice_eq_str(out->rows[0].row.record, "wallet-2"));
    assert_true(cs_slice_eq_str(out->rows[1].row.code, "NOT_FOUND"));
    assert_true(cs_slice_eq_str(out->rows[2].row.code, "OK"));
    assert_true(cs_slice_eq(out->rows[2].row.blob, a.blob));
    assert_true(cs_slice_eq(out->rows[2].row.data_key, a.data_key));
    assert_true(cs_slice_eq(out->rows[2].row.kms_key, a.kms_key));
    assert_true(cs_slice_eq(out->rows[2].row.public_key, a.public_key));
    assert_int_equal(out->rows[2].row.version, 1);
    assert_int_equal(out->rows[2].row.alg, CS_TEE_ECDSA_K1);
    assert_true(out->rows[2].created_ms > 1600000000000);
}

static void store_takes_a_version_only_upon_the_one_before(void **state)
{
    cs_tee_row a = test_row("v", 1, "1"), again = test_row("v", 1, "other"), two = test_row("v", 2, "2"),
               four = test_row("v", 4, "4"), stranger = test_row("stranger", 2, "2");

    assert_int_equal(test_put(*state, &a), CS_OK);
    assert_int_equal(test_put(*state, &again), CS_E_EXISTS);
    assert_int_equal(test_put(*state, &four), CS_E_SEAL_VERSION);
    assert_int_equal(test_put(*state, &stranger), CS_E_SEAL_VERSION);
    test_expect(*state, "v", 1, "1");
    assert_int_equal(test_put(*state, &two), CS_OK);
    assert_int_equal(test_put(*state, &two), CS_E_SEAL_VERSION);
    test_expect(*state, "v", 2, "2");
    test_expect(*state, "stranger", 0, NULL);
}

static void store_takes_all_rows_of_a_call_or_none(void **state)
{
    cs_tee_row old = test_row("b", 1, "old");
    cs_tee_row rows[3] = {test_row("a", 1, "new"), test_row("b", 1, "new"), test_row("c", 1, "new")};
    cs_store_in in = test_call("caller", 7, 1, "reply");

    assert_int_equal(test_put(*state, &old), CS_OK);
    in.rows = rows;
    in.num = 3;
    const cs_store_out *out = test_do(*state, CS_STORE_APPLY, &in, CS_E_EXISTS);
    assert_int_equal(out->num_stored, 0);
    assert_int_equal(out->row_err[0], CS_OK);
    assert_int_equal(out->row_err[1], CS_E_EXISTS);
    test_expect(*state, "a", 0, NULL);
    test_expect(*state, "b", 1, "old");
    assert_int_equal(test_counts(*state).entries, 1); /* that it happened is in the log */
    in = test_call("caller", 7, 1, "");
    out = test_do(*state, CS_STORE_BEGIN, &in, CS_OK);
    assert_int_equal(out->state, CS_STORE_NEW); /* no reply and no request */
}

static void store_leaves_out_what_does_not_fit_of_a_partial_call(void **state)
{
    cs_tee_row old[3] = {test_row("a", 1, "1"), test_row("b", 1, "1"), test_row("c", 1, "1")};
    cs_tee_row rows[3] = {test_row("a", 2, "2"), test_row("b", 3, "3"), test_row("c", 2, "2")};
    cs_store_in in = test_call("caller", 8, 2, "reply");

    for (int i = 0; i < 3; i++) {
        assert_int_equal(test_put(*state, &old[i]), CS_OK);
    }
    in.rows = rows;
    in.num = 3;
    in.partial = true;
    const cs_store_out *out = test_do(*state, CS_STORE_APPLY, &in, CS_OK);
    assert_int_equal(out->num_stored, 2);
    assert_int_equal(out->row_err[1], CS_E_SEAL_VERSION);
    test_expect(*state, "a", 2, "2");
    test_expect(*state, "b", 1, "1");
    test_expect(*state, "c", 2, "2");
}

/* Ten rows under two data keys: those of one key together, each once. */
static void test_heads(test_store *t)
{
    char after[256] = "";
    size_t seen = 0, changes = 0;
    char last[64] = "";

    for (bool more = true; more;) {
        cs_store_in page = {.limit = 3, .after = cs_slice_str(after)};
        const cs_store_out *out = test_do(t, CS_STORE_HEADS, &page, CS_OK);
        for (size_t i = 0; i < out->num_rows; i++, seen++) {
            const cs_tee_row *r = &out->rows[i].row;
            assert_true(r->blob.len == 0 && r->version == 1 && out->rows[i].updated_ms > 0);
            changes += !cs_slice_eq_str(r->data_key, last);
            (void)snprintf(last, sizeof last, "%.*s", (int)r->data_key.len, (const char *)r->data_key.p);
        }
        more = out->next.len > 0;
        (void)snprintf(after, sizeof after, "%.*s", (int)out->next.len, more ? (const char *)out->next.p : "");
    }
    assert_int_equal(seen, 10);
    assert_int_equal(changes, 2);
    cs_store_in in = {.limit = 100, .filter.data_key = cs_slice_str("another data key")};
    assert_int_equal(test_do(t, CS_STORE_HEADS, &in, CS_OK)->num_rows, 5);
    assert_int_equal(test_do(t, CS_STORE_MATCH, &in, CS_OK)->counts.rows, 5);
    in = (cs_store_in){.limit = 100, .filter.not_kms_key = test_row("x", 1, "x").kms_key};
    assert_int_equal(test_do(t, CS_STORE_MATCH, &in, CS_OK)->counts.rows, 0);
    in = (cs_store_in){.limit = 100, .filter.older_than_ms = 1000};
    assert_int_equal(test_do(t, CS_STORE_HEADS, &in, CS_OK)->num_rows, 0);
    in = (cs_store_in){.limit = 1, .after = cs_slice_str("no-place")};
    (void)test_do(t, CS_STORE_HEADS, &in, CS_E_RANGE);
    assert_int_equal(cs_store_start(t->store, CS_STORE_HEADS, &(cs_store_in){.limit = 0}, NULL, NULL, NULL),
                     CS_E_RANGE);
}

static void store_lists_every_row_once_over_pages_and_filters(void **state)
{
    cs_tee_row rows[10];
    char names[10][8];
    cs_store_in in = {.limit = 3};
    size_t seen = 0;

    for (int i = 0; i < 10; i++) {
        (void)snprintf(names[i], sizeof names[i], "r%d", i);
        rows[i] = test_row(names[i], 1, "x");
        if (i % 2 == 1) {
            rows[i].data_key = cs_slice_str("another data key");
        }
    }
    in.rows = rows;
    in.num = 10;
    (void)test_do(*state, CS_STORE_APPLY, &in, CS_OK);
    char after[8] = "";
    for (bool more = true; more;) {
        cs_store_in page = {.limit = 3, .after = cs_slice_str(after)};
        const cs_store_out *out = test_do(*state, CS_STORE_LIST, &page, CS_OK);
        for (size_t i = 0; i < out->num_rows; i++) {
            assert_true(cs_slice_eq_str(out->rows[i].row.record, names[seen++]));
        }
        more = out->next.len > 0;
        assert_true(out->next.len < sizeof after);
        memcpy(after, out->next.p != NULL ? (const char *)out->next.p : "", out->next.len);
        after[out->next.len] = '\0';
    }
    assert_int_equal(seen, 10);
    in = (cs_store_in){.limit = 100, .filter.data_key = cs_slice_str("another data key")};
    assert_int_equal(test_do(*state, CS_STORE_LIST, &in, CS_OK)->num_rows, 5);
    in.after = cs_slice_str("r5");
    assert_int_equal(test_do(*state, CS_STORE_LIST, &in, CS_OK)->num_rows, 2);
    in = (cs_store_in){.limit = 100, .filter.not_data_key = cs_slice_str("another data key")};
    assert_int_equal(test_do(*state, CS_STORE_LIST, &in, CS_OK)->num_rows, 5);
    in = (cs_store_in){.limit = 100, .filter.not_kms_key = rows[0].kms_key};
    assert_int_equal(test_do(*state, CS_STORE_LIST, &in, CS_OK)->num_rows, 0);
    in = (cs_store_in){.limit = 100, .filter.kms_key = rows[0].kms_key};
    assert_int_equal(test_do(*state, CS_STORE_LIST, &in, CS_OK)->num_rows, 10);
    in = (cs_store_in){.limit = 100, .filter.older_than_ms = 1000};
    assert_int_equal(test_do(*state, CS_STORE_LIST, &in, CS_OK)->num_rows, 0);
    in.filter.older_than_ms = cs_clock_wall_ms() + 60000;
    assert_int_equal(test_do(*state, CS_STORE_LIST, &in, CS_OK)->num_rows, 10);
    test_heads(*state);
    in = (cs_store_in){.limit = 1};
    const cs_store_out *out = test_do(*state, CS_STORE_DATA_KEYS, &in, CS_OK);
    assert_int_equal(out->num_rows, 1);
    assert_int_equal(out->rows[0].num, 5);
    assert_true(out->next.len > 0);
}

/* ---- requests */

static void store_answers_the_same_request_once(void **state)
{
    cs_store_in in = test_call("alice", 1, 1, "");

    assert_int_equal(test_do(*state, CS_STORE_BEGIN, &in, CS_OK)->state, CS_STORE_NEW);
    assert_int_equal(test_do(*state, CS_STORE_BEGIN, &in, CS_OK)->state, CS_STORE_PENDING);
    in.reply = cs_slice_str("the answer");
    assert_int_equal(test_do(*state, CS_STORE_APPLY, &in, CS_OK)->state, CS_STORE_NEW);
    const cs_store_out *out = test_do(*state, CS_STORE_BEGIN, &in, CS_OK);
    assert_int_equal(out->state, CS_STORE_DONE);
    assert_true(cs_slice_eq_str(out->reply, "the answer"));
    cs_store_in other = test_call("bob", 1, 1, ""); /* another caller's id of the same value */
    assert_int_equal(test_do(*state, CS_STORE_BEGIN, &other, CS_OK)->state, CS_STORE_NEW);
}

static void store_refuses_an_id_with_another_request(void **state)
{
    static const uint8_t hash[32] = {99};
    cs_store_in in = test_call("alice", 2, 1, "");

    (void)test_do(*state, CS_STORE_BEGIN, &in, CS_OK);
    in.hash32 = hash;
    (void)test_do(*state, CS_STORE_BEGIN, &in, CS_E_REQUEST_REPLAY);
    in.reply = cs_slice_str("wrong");
    (void)test_do(*state, CS_STORE_APPLY, &in, CS_E_REQUEST_REPLAY);
    in = test_call("alice", 2, 1, "");
    assert_int_equal(test_do(*state, CS_STORE_BEGIN, &in, CS_OK)->state, CS_STORE_PENDING);
}

static void store_drops_a_request_without_a_reply_only(void **state)
{
    static const uint8_t hash[32] = {99};
    cs_store_in in = test_call("alice", 12, 1, ""), other = in;

    other.hash32 = hash;
    (void)test_do(*state, CS_STORE_BEGIN, &in, CS_OK);
    (void)test_do(*state, CS_STORE_DROP, &other, CS_OK); /* another request's */
    assert_int_equal(test_do(*state, CS_STORE_BEGIN, &in, CS_OK)->state, CS_STORE_PENDING);
    (void)test_do(*state, CS_STORE_DROP, &in, CS_OK);
    assert_int_equal(test_do(*state, CS_STORE_BEGIN, &other, CS_OK)->state, CS_STORE_NEW);
    (void)test_do(*state, CS_STORE_DROP, &other, CS_OK);
    in.reply = cs_slice_str("kept");
    (void)test_do(*state, CS_STORE_APPLY, &in, CS_OK);
    (void)test_do(*state, CS_STORE_DROP, &in, CS_OK);
    assert_int_equal(test_do(*state, CS_STORE_BEGIN, &in, CS_OK)->state, CS_STORE_DONE);
}

static void store_keeps_the_first_of_two_answers_and_its_rows(void **state)
{
    cs_tee_row first = test_row("k", 1, "first"), second = test_row("k", 1, "second");
    cs_store_in in = test_call("alice", 3, 1, "first answer");

    in.rows = &first;
    in.num = 1;
    (void)test_do(*state, CS_STORE_APPLY, &in, CS_OK);
    in = test_call("alice", 3, 2, "second answer"); /* its own audit entry */
    in.rows = &second;
    in.num = 1;
    const cs_store_out *out = test_do(*state, CS_STORE_APPLY, &in, CS_OK);
    assert_int_equal(out->state, CS_STORE_DONE);
    assert_null(out->row_err);
    assert_true(cs_slice_eq_str(out->reply, "first answer"));
    test_expect(*state, "k", 1, "first");
    assert_int_equal(test_counts(*state).entries, 2);
}

static void store_forgets_old_requests(void **state)
{
    cs_store_in in = test_call("alice", 4, 1, "answer");

    (void)test_do(*state, CS_STORE_APPLY, &in, CS_OK);
    cs_store_in old = {.before_ms = cs_clock_wall_ms() - 60000};
    assert_int_equal(test_do(*state, CS_STORE_EXPIRE, &old, CS_OK)->counts.requests, 0);
    old.before_ms = cs_clock_wall_ms() + 60000;
    assert_int_equal(test_do(*state, CS_STORE_EXPIRE, &old, CS_OK)->counts.requests, 1);
    assert_int_equal(test_do(*state, CS_STORE_BEGIN, &in, CS_OK)->state, CS_STORE_NEW);
}

/* ---- audit */

static void store_keeps_audit_entries_once_and_in_order(void **state)
{
    static const uint64_t order[] = {3, 1, 2};

    for (int i = 0; i < 3; i++) {
        cs_store_in in = test_call("", 0, order[i], "");
        (void)test_do(*state, CS_STORE_APPLY, &in, CS_OK);
    }
    cs_store_in again = test_call("", 0, 2, "");
    (void)test_do(*state, CS_STORE_APPLY, &again, CS_OK);
    again.entry = cs_slice_str("another entry with this number");
    (void)test_do(*state, CS_STORE_APPLY, &again, CS_E_AUDIT_CHAIN);
    cs_store_in page = {.limit = 2};
    const cs_store_out *out = test_do(*state, CS_STORE_AUDIT, &page, CS_OK);
    assert_int_equal(out->num_entries, 2);
    assert_int_equal(out->entries[0].counter, 1);
    assert_int_equal(out->entries[1].counter, 2);
    assert_true(out->next.len > 0);
    uint8_t boot[16];
    memcpy(boot, out->entries[1].boot, sizeof boot);
    page.boot16 = boot;
    page.counter = 2;
    out = test_do(*state, CS_STORE_AUDIT, &page, CS_OK);
    assert_int_equal(out->num_entries, 1);
    assert_int_equal(out->entries[0].counter, 3);
    assert_true(cs_slice_eq_str(out->entries[0].entry, "entry 3"));
    assert_int_equal(out->next.len, 0);
}

static void store_keeps_the_first_document_of_a_boot(void **state)
{
    cs_store_in entry = test_call("", 0, 5, "");
    cs_store_in in = {.boot16 = entry.boot16, .reply = cs_slice_str("document")};

    (void)test_do(*state, CS_STORE_APPLY, &entry, CS_OK);
    (void)test_do(*state, CS_STORE_BOOT, &in, CS_OK);
    in.reply = cs_slice_str("a later one");
    (void)test_do(*state, CS_STORE_BOOT, &in, CS_OK);
    const cs_store_out *out = test_do(*state, CS_STORE_BOOTS, &(cs_store_in){.limit = 10}, CS_OK);
    assert_int_equal(out->num_entries, 1);
    assert_int_equal(out->entries[0].counter, 5);
    assert_int_equal(out->entries[0].num, 1);
    assert_true(cs_slice_eq_str(out->entries[0].entry, "document"));
}

/* ---- the front */

static void store_refuses_what_is_out_of_range_before_it_is_queued(void **state)
{
    cs_tee_row bad = test_row("has space", 1, "x"), zero = test_row("r", 0, "x");
    test_store *t = *state;

    assert_int_equal(cs_store_start(t->store, CS_STORE_APPLY, &(cs_store_in){.rows = &bad, .num = 1}, NULL, NULL, NULL),
                     CS_E_RANGE);
    assert_int_equal(
        cs_store_start(t->store, CS_STORE_APPLY, &(cs_store_in){.rows = &zero, .num = 1}, NULL, NULL, NULL),
        CS_E_RANGE);
    assert_int_equal(cs_store_start(t->store, CS_STORE_LIST, &(cs_store_in){.limit = 0}, NULL, NULL, NULL), CS_E_RANGE);
    assert_int_equal(
        cs_store_start(t->store, CS_STORE_LIST, &(cs_store_in){.limit = CS_STORE_PAGE_MAX + 1}, NULL, NULL, NULL),
        CS_E_RANGE);
    assert_int_equal(cs_store_start(t->store, CS_STORE_BEGIN, &(cs_store_in){.limit = 0}, NULL, NULL, NULL),
                     CS_E_RANGE);
    cs_store_in injection = {.limit = 1, .column = "x FROM keys; DROP TABLE keys; --"};
    assert_int_equal(cs_store_start(t->store, CS_STORE_PLAIN, &injection, NULL, NULL, NULL), CS_E_RANGE);
    assert_int_equal(cs_store_queued(t->store), 0);
}

static void never(void *cookie, cs_err err, const cs_store_out *out)
{
    (void)cookie, (void)err, (void)out;
    fail_msg("called back after it was forgotten");
}

static void store_does_not_call_back_what_was_forgotten(void **state)
{
    test_store *t = *state;
    cs_store_job *job = NULL;

    assert_int_equal(cs_store_start(t->store, CS_STORE_COUNTS, &(cs_store_in){.limit = 0}, &job, never, NULL), CS_OK);
    cs_store_forget(job);
    (void)test_counts(t);
}

static void store_closes_with_operations_under_way(void **state)
{
    test_store *t = *state;

    for (int i = 0; i < 50; i++) {
        assert_int_equal(cs_store_start(t->store, CS_STORE_COUNTS, &(cs_store_in){.limit = 0}, NULL, never, NULL),
                         CS_OK);
    }
    cs_store_close(t->store);
    t->store = NULL;
    test_open(t);
}

static void close_it(void *cookie, cs_err err, const cs_store_out *out)
{
    test_store *t = cookie;

    (void)err, (void)out;
    cs_store_close(t->store);
    t->store = NULL;
}

static void store_may_be_closed_within_a_callback(void **state)
{
    test_store *t = *state;

    assert_int_equal(cs_store_start(t->store, CS_STORE_COUNTS, &(cs_store_in){.limit = 0}, NULL, close_it, t), CS_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(cs_store_start(t->store, CS_STORE_BOOTS, &(cs_store_in){.limit = 1}, NULL, NULL, NULL), CS_OK);
    }
    while (t->store != NULL) {
        (void)cs_loop_run_once(t->loop, true);
    }
    test_open(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, test_begin, test_end)
        TEST(store_gives_back_what_was_stored_in_the_order_asked),
        TEST(store_takes_a_version_only_upon_the_one_before),
        TEST(store_takes_all_rows_of_a_call_or_none),
        TEST(store_leaves_out_what_does_not_fit_of_a_partial_call),
        TEST(store_lists_every_row_once_over_pages_and_filters),
        TEST(store_answers_the_same_request_once),
        TEST(store_refuses_an_id_with_another_request),
        TEST(store_drops_a_request_without_a_reply_only),
        TEST(store_keeps_the_first_of_two_answers_and_its_rows),
        TEST(store_forgets_old_requests),
        TEST(store_keeps_audit_entries_once_and_in_order),
        TEST(store_keeps_the_first_document_of_a_boot),
        TEST(store_refuses_what_is_out_of_range_before_it_is_queued),
        TEST(store_does_not_call_back_what_was_forgotten),
        TEST(store_closes_with_operations_under_way),
        TEST(store_may_be_closed_within_a_callback),
    };
    return cmocka_run_group_tests(tests, test_group_begin, test_group_end);
}
