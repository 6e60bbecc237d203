/*
 * For tests of the store: an empty one for each test (SQLite in a temporary folder, or the database that CS_TEST_STORE names), and
 * its operations made to wait. Include it behind cmocka.h; functions are static.
 */
#ifndef CS_STORE_STORE_TESTLIB_H
#define CS_STORE_STORE_TESTLIB_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/store_migrate.h"
#include "store/store_sql.h"

typedef struct test_store {
    char folder[64];
    cs_store_config config;
    cs_loop *loop;
    cs_store *store;
    /* the last result: a copy, in memory of its own until the next */
    cs_store_mem mem;
    cs_store_out out;
    cs_err err;
    bool called;
    size_t in_num;
} test_store;

static inline bool test_of_server(void)
{
    return getenv("CS_TEST_STORE") != NULL;
}

static inline void test_script(test_store *t, const char *sql)
{
    char why[256];
    cs_sql *db = NULL;
    cs_store_config c = t->config;

    assert_int_equal(cs_store_config_fit(&c, why), CS_OK);
    assert_int_equal(cs_store_driver(c.dsn)->open(&db, &c, true, why), CS_OK);
    if (db->driver->script(db, sql) != CS_OK) {
        fail_msg("%s: %s", sql, db->why);
    }
    db->driver->close(db);
}

static inline void test_open(test_store *t)
{
    char why[256] = "";
    cs_err err = cs_store_open(&t->store, t->loop, &t->config, why);

    if (err != CS_OK) {
        fail_msg("open: %s: %s", cs_err_code(err), why);
    }
}

static inline int test_group_begin(void **state)
{
    test_store *t = calloc(1, sizeof *t);

    if (t == NULL) {
        return -1;
    }
    (void)snprintf(t->folder, sizeof t->folder, "/tmp/cs-store-test.XXXXXX");
    if (mkdtemp(t->folder) == NULL || cs_loop_new(&t->loop) != CS_OK) {
        return -1;
    }
    t->config.migrate = true;
    if (test_of_server()) {
        (void)snprintf(t->config.dsn, sizeof t->config.dsn, "%s", getenv("CS_TEST_STORE"));
    } else {
        (void)snprintf(t->config.dsn, sizeof t->config.dsn, "sqlite:%s/store.db", t->folder);
    }
    *state = t;
    return 0;
}

static inline void test_remove_files(test_store *t)
{
    static const char *const names[] = {"store.db", "store.db-wal", "store.db-shm", "store.db.lock"};
    char path[128];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", t->folder, names[i]);
        (void)unlink(path);
    }
}

static inline int test_group_end(void **state)
{
    test_store *t = *state;

    cs_store_mem_free(&t->mem);
    cs_loop_free(t->loop);
    test_remove_files(t);
    (void)rmdir(t->folder);
    free(t);
    return 0;
}

/* No tables at all. */
static inline void test_empty(test_store *t)
{
    if (test_of_server()) {
        test_script(t, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    } else {
        test_remove_files(t);
    }
}

static inline int test_begin(void **state)
{
    test_store *t = *state;

    test_empty(t);
    test_open(t);
    return 0;
}

static inline int test_end(void **state)
{
    test_store *t = *state;

    cs_store_close(t->store);
    t->store = NULL;
    (void)cs_loop_run_once(t->loop, false);
    return 0;
}

static inline cs_slice test_kept(test_store *t, cs_slice s)
{
    assert_true(s.p == NULL || cs_store_mem_copy(&t->mem, &s));
    return s;
}

static inline void test_done(void *cookie, cs_err err, const cs_store_out *out)
{
    test_store *t = cookie;

    t->out = *out;
    t->out.reply = test_kept(t, out->reply);
    t->out.next = test_kept(t, out->next);
    t->out.rows = cs_store_mem_get(&t->mem, (out->num_rows + 1) * sizeof *out->rows);
    t->out.entries = cs_store_mem_get(&t->mem, (out->num_entries + 1) * sizeof *out->entries);
    for (size_t i = 0; i < out->num_rows; i++) {
        cs_store_row r = out->rows[i];
        cs_slice *const all[] = {&r.row.record,   &r.row.code, &r.row.kms_key,
                                 &r.row.data_key, &r.row.blob, &r.row.public_key};
        for (size_t f = 0; f < sizeof all / sizeof *all; f++) {
            *all[f] = test_kept(t, *all[f]);
        }
        t->out.rows[i] = r;
    }
    for (size_t i = 0; i < out->num_entries; i++) {
        t->out.entries[i] = out->entries[i];
        t->out.entries[i].entry = test_kept(t, out->entries[i].entry);
        t->out.entries[i].entry_sig = test_kept(t, out->entries[i].entry_sig);
    }
    if (out->row_err != NULL) {
        t->out.row_err = cs_store_mem_get(&t->mem, CS_TEE_ROWS_MAX * sizeof *out->row_err);
        memcpy(t->out.row_err, out->row_err, t->in_num * sizeof *out->row_err);
    }
    t->err = err;
    t->called = true;
}

/* One operation, waited for; its result must be `want`. */
static inline const cs_store_out *test_do(test_store *t, cs_store_op op, const cs_store_in *in, cs_err want)
{
    cs_store_mem_free(&t->mem);
    t->called = false;
    t->in_num = in->num;
    assert_int_equal(cs_store_start(t->store, op, in, NULL, test_done, t), CS_OK);
    while (!t->called) {
        (void)cs_loop_run_once(t->loop, true);
    }
    if (t->err != want) {
        fail_msg("operation %d: %s instead of %s", (int)op, cs_err_code(t->err), cs_err_code(want));
    }
    return &t->out;
}

static inline cs_tee_row test_row(const char *record, uint64_t version, const char *blob)
{
    return (cs_tee_row){.record = cs_slice_str(record),
                        .version = version,
                        .kms_key = cs_slice_str("arn:aws:kms:eu-west-1:111122223333:key/1"),
                        .data_key = cs_slice_str("a data key, encrypted"),
                        .blob = cs_slice_str(blob),
                        .alg = CS_TEE_ECDSA_K1,
                        .public_key = cs_slice_str("thirty-three bytes of public key.")};
}

/* A call of a caller ("": none) with an audit entry of boot 1 and this counter (0: none). Valid until the next one. */
static inline cs_store_in test_call(const char *caller, uint8_t id, uint64_t counter, const char *reply)
{
    static uint8_t id16[16], hash[32], boot[16] = {1};
    static char entry[32];

    memset(id16, id, sizeof id16);
    memset(hash, id, sizeof hash);
    (void)snprintf(entry, sizeof entry, "entry %u", (unsigned)counter);
    cs_store_in in = {.caller = cs_slice_str(caller), .id16 = id16, .hash32 = hash, .reply = cs_slice_str(reply)};
    if (counter > 0) {
        in.entry = cs_slice_str(entry);
        in.entry_sig = cs_slice_str("signature");
        in.boot16 = boot;
        in.counter = counter;
    }
    return in;
}

static inline cs_err test_put(test_store *t, const cs_tee_row *row)
{
    cs_store_in in = {.rows = row, .num = 1};

    cs_store_mem_free(&t->mem);
    t->called = false;
    t->in_num = 1;
    assert_int_equal(cs_store_start(t->store, CS_STORE_APPLY, &in, NULL, test_done, t), CS_OK);
    while (!t->called) {
        (void)cs_loop_run_once(t->loop, true);
    }
    return t->err;
}

/* The record has this version and blob; version 0: there is none. */
static inline void test_expect(test_store *t, const char *record, uint64_t version, const char *blob)
{
    cs_slice ask = cs_slice_str(record);
    const cs_store_out *out = test_do(t, CS_STORE_GET, &(cs_store_in){.records = &ask, .num = 1}, CS_OK);

    assert_true(cs_slice_eq_str(out->rows[0].row.code, version == 0 ? "NOT_FOUND" : "OK"));
    assert_int_equal(out->rows[0].row.version, version);
    assert_true(version == 0 || cs_slice_eq_str(out->rows[0].row.blob, blob));
}

static inline cs_store_counts test_counts(test_store *t)
{
    return test_do(t, CS_STORE_COUNTS, &(cs_store_in){.limit = 0}, CS_OK)->counts;
}

#endif
