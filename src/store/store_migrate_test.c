/* Migrations, and the sealing of a table that an application had: on both databases, see store_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/store_testlib.h"

#define APPLICATION                                                                                                    \
    "CREATE TABLE keys (id VARCHAR(64) PRIMARY KEY, owner TEXT NOT NULL DEFAULT 'nobody', private_key TEXT, "          \
    "created_at TIMESTAMPTZ)"

/* ---- a connection without the front */

static cs_sql *connect_to(test_store *t)
{
    char why[256];
    cs_sql *db = NULL;
    cs_store_config c = t->config;

    assert_int_equal(cs_store_config_fit(&c, why), CS_OK);
    assert_int_equal(cs_store_driver(c.dsn)->open(&db, &c, true, why), CS_OK);
    return db;
}

static cs_err migrate_to(test_store *t, unsigned to, bool discard)
{
    cs_sql *db = connect_to(t);
    cs_migrate m = {.to = to, .discard = discard};
    cs_err err = cs_store_migrate(db, &m);

    assert_true(err == CS_OK || m.why[0] != '\0');
    db->driver->close(db);
    return err;
}

static unsigned version_of(test_store *t)
{
    cs_sql *db = connect_to(t);
    unsigned v = 99;

    assert_int_equal(cs_store_schema(db, &v), CS_OK);
    db->driver->close(db);
    return v;
}

static cs_err on_yes(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    (void)set, (void)cols, (void)num_cols;
    *(bool *)cookie = true;
    return CS_OK;
}

static bool has(test_store *t, const char *table, const char *column)
{
    cs_sql *db = connect_to(t);
    bool yes = false;
    cs_sql_value v[2] = {CS_SQL_S(cs_slice_str(table)), CS_SQL_S(cs_slice_str(column))};

    assert_int_equal(cs_sql_text(db, column[0] != '\0' ? db->driver->has_column : db->driver->has_table, v,
                                 column[0] != '\0' ? 2 : 1, on_yes, &yes, NULL),
                     CS_OK);
    db->driver->close(db);
    return yes;
}

static int empty_begin(void **state)
{
    test_empty(*state);
    return 0;
}

/* ---- up and down */

static void migrations_go_up_and_down_and_up_again(void **state)
{
    test_store *t = *state;

    assert_int_equal(version_of(t), 0);
    for (int round = 0; round < 2; round++) {
        for (unsigned v = 1; v <= cs_store_schema_latest(); v++) {
            assert_int_equal(migrate_to(t, v, false), CS_OK);
            assert_int_equal(version_of(t), v);
        }
        assert_true(has(t, "keys", "ciphertext_blob") && has(t, "tee_audit", "entry") &&
                    has(t, "tee_requests", "reply"));
        assert_int_equal(migrate_to(t, cs_store_schema_latest(), false), CS_OK); /* again: nothing to do */
        assert_int_equal(migrate_to(t, 0, false), CS_OK);
        assert_int_equal(version_of(t), 0);
        assert_false(has(t, "keys", "") || has(t, "tee_audit", "") || has(t, "tee_requests", "") ||
                     has(t, "schema_migrations", ""));
    }
    assert_int_equal(migrate_to(t, cs_store_schema_latest() + 1, false) == CS_OK, false);
}

static cs_err opens(test_store *t, bool migrate)
{
    char why[256] = "";

    t->config.migrate = migrate;
    cs_err err = cs_store_open(&t->store, t->loop, &t->config, why);
    t->config.migrate = true;
    assert_true(err == CS_OK || why[0] != '\0');
    if (err == CS_OK) {
        cs_store_close(t->store);
    }
    t->store = NULL;
    return err;
}

static void store_opens_with_its_own_version_only(void **state)
{
    test_store *t = *state;

    assert_int_equal(opens(t, false), CS_E_STORE_SCHEMA); /* no tables */
    assert_int_equal(migrate_to(t, 1, false), CS_OK);
    assert_int_equal(opens(t, false), CS_E_STORE_SCHEMA);
    assert_int_equal(opens(t, true), CS_OK);
    assert_int_equal(opens(t, false), CS_OK);
    test_script(t, "INSERT INTO schema_migrations (version, name, checksum, made, applied_at) VALUES (77, 'later', '', "
                   "'', '2026-01-01 00:00:00Z')");
    assert_int_equal(opens(t, true), CS_E_STORE_SCHEMA);
}

static void migrations_do_not_take_what_belongs_to_others(void **state)
{
    test_store *t = *state;

    test_script(t, "CREATE TABLE schema_migrations (version BIGINT PRIMARY KEY, dirty BOOLEAN)");
    assert_int_equal(opens(t, true), CS_E_STORE_SCHEMA);
    assert_true(has(t, "schema_migrations", "dirty"));
    assert_false(has(t, "keys", ""));
}

static void migrations_refuse_a_table_that_does_not_serve(void **state)
{
    static const char *const tables[] = {
        "CREATE TABLE keys (id BIGINT PRIMARY KEY)",
        "CREATE TABLE keys (id TEXT)",
        "CREATE TABLE keys (name TEXT PRIMARY KEY)",
        "CREATE TABLE keys (id TEXT, owner TEXT, PRIMARY KEY (id, owner))",
        "CREATE TABLE keys (id TEXT PRIMARY KEY, version TEXT)",
        "CREATE TABLE keys (id TEXT PRIMARY KEY, ciphertext_blob BIGINT)",
    };
    test_store *t = *state;

    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        test_empty(t);
        test_script(t, tables[i]);
        assert_int_equal(opens(t, true), CS_E_STORE_SCHEMA);
        assert_int_equal(version_of(t), 0); /* nothing half-way */
        assert_false(has(t, "keys", "kms_key_id"));
    }
    test_empty(t);
    test_script(t, "CREATE TABLE keys (id VARCHAR(32) UNIQUE, version INTEGER, public_key TEXT)");
    assert_int_equal(opens(t, true), CS_OK);
}

static void down_does_not_lose_sealed_rows(void **state)
{
    test_store *t = *state;
    cs_tee_row row = test_row("precious", 1, "x");

    test_open(t);
    assert_int_equal(test_put(t, &row), CS_OK);
    cs_store_close(t->store);
    t->store = NULL;
    assert_int_equal(migrate_to(t, 0, false), CS_E_EXISTS);
    assert_int_equal(version_of(t), 1);
    test_open(t);
    test_expect(t, "precious", 1, "x");
    cs_store_close(t->store);
    t->store = NULL;
    assert_int_equal(migrate_to(t, 0, true), CS_OK);
}

/* ---- the rows of an application */

static void application(test_store *t)
{
    test_script(t, APPLICATION);
    test_script(t, "INSERT INTO keys (id, owner, private_key) VALUES ('w1', 'ann', 'plaintext-of-w1'), ('w2', 'bob', "
                   "'plaintext-of-w2'), "
                   "('w3', 'eve', 'plaintext-of-w3'), ('w4', 'joe', NULL)");
    test_open(t);
}

static void rows_of_an_application_are_listed_until_they_are_sealed(void **state)
{
    test_store *t = *state;
    cs_store_in in = {.limit = 2, .column = "private_key"};

    application(t);
    const cs_store_out *out = test_do(t, CS_STORE_PLAIN, &in, CS_OK);
    assert_int_equal(out->num_rows, 2);
    assert_true(cs_slice_eq_str(out->rows[1].row.record, "w2"));
    assert_true(cs_slice_eq_str(out->rows[1].row.blob, "plaintext-of-w2"));
    assert_int_equal(test_counts(t).plain_rows, 4);
    test_expect(t, "w1", 0, NULL); /* not sealed: not there */
    cs_tee_row one = test_row("w1", 1, "sealed");
    assert_int_equal(test_put(t, &one), CS_E_EXISTS); /* never over a plaintext that nobody has sealed */

    cs_tee_row rows[2] = {one, test_row("w2", 1, "sealed 2")};
    cs_slice plain[2] = {cs_slice_str("plaintext-of-w1"), cs_slice_str("plaintext-of-w2")};
    in = (cs_store_in){.rows = rows, .plain = plain, .num = 2, .column = "private_key"};
    assert_int_equal(test_do(t, CS_STORE_ADOPT, &in, CS_OK)->num_stored, 2);
    test_expect(t, "w1", 1, "sealed");
    in = (cs_store_in){.limit = 10, .column = "private_key"};
    out = test_do(t, CS_STORE_PLAIN, &in, CS_OK);
    assert_int_equal(out->num_rows, 1);
    assert_true(cs_slice_eq_str(out->rows[0].row.record, "w3"));
    cs_tee_row two = test_row("w1", 2, "rotated");
    assert_int_equal(test_put(t, &two), CS_OK);
}

static void rows_of_an_application_are_sealed_all_or_none(void **state)
{
    test_store *t = *state;
    cs_tee_row rows[2] = {test_row("w1", 1, "sealed"), test_row("w3", 1, "sealed")};
    cs_slice plain[2] = {cs_slice_str("plaintext-of-w1"), cs_slice_str("it was this before")};
    cs_store_in in = {.rows = rows, .plain = plain, .num = 2, .column = "private_key"};

    application(t);
    const cs_store_out *out = test_do(t, CS_STORE_ADOPT, &in, CS_E_SEAL_VERSION); /* it was changed meanwhile */
    assert_int_equal(out->row_err[0], CS_OK);
    assert_int_equal(out->row_err[1], CS_E_SEAL_VERSION);
    test_expect(t, "w1", 0, NULL);
    assert_int_equal(test_counts(t).plain_rows, 4);
    in.partial = true;
    assert_int_equal(test_do(t, CS_STORE_ADOPT, &in, CS_OK)->num_stored, 1);
    in.num = 1;
    (void)test_do(t, CS_STORE_ADOPT, &(cs_store_in){.rows = rows, .num = 1, .column = "private_key"}, CS_E_EXISTS);
    rows[0] = test_row("nobody", 1, "sealed");
    (void)test_do(t, CS_STORE_ADOPT, &(cs_store_in){.rows = rows, .num = 1, .column = "private_key"}, CS_E_NOT_FOUND);
    (void)test_do(t, CS_STORE_ADOPT, &(cs_store_in){.rows = rows, .num = 1, .column = "no_such_column"},
                  CS_E_STORE_SCHEMA);
}

static void the_table_of_an_application_outlives_ours(void **state)
{
    test_store *t = *state;

    application(t);
    cs_store_close(t->store);
    t->store = NULL;
    assert_int_equal(migrate_to(t, 0, false), CS_OK);
    assert_true(has(t, "keys", "private_key") && has(t, "keys", "created_at"));
    assert_false(has(t, "keys", "ciphertext_blob") || has(t, "keys", "version") || has(t, "tee_audit", ""));
    test_open(t);
    assert_int_equal(test_counts(t).plain_rows, 4);
}

static bool file_holds(const char *path, const char *what)
{
    static char bytes[4 << 20];
    FILE *f = fopen(path, "re");
    size_t len = f != NULL ? fread(bytes, 1, sizeof bytes, f) : 0;

    if (f != NULL) {
        (void)fclose(f);
    }
    return memmem(bytes, len, what, strlen(what)) != NULL;
}

static void no_plaintext_stays_in_the_file(void **state)
{
    test_store *t = *state;
    char path[128];
    cs_tee_row row = test_row("w1", 1, "sealed");

    application(t);
    (void)snprintf(path, sizeof path, "%s/store.db", t->folder);
    assert_true(file_holds(path, "plaintext-of-w1"));
    (void)test_do(t, CS_STORE_ADOPT, &(cs_store_in){.rows = &row, .num = 1, .column = "private_key"}, CS_OK);
    assert_false(file_holds(path, "plaintext-of-w1"));
    (void)snprintf(path, sizeof path, "%s/store.db-wal", t->folder);
    assert_false(file_holds(path, "plaintext-of-w1"));
}

static void a_second_gateway_does_not_get_a_file_that_is_open(void **state)
{
    test_store *t = *state;
    cs_store *second = NULL;
    char why[256] = "";

    test_open(t);
    cs_err err = cs_store_open(&second, t->loop, &t->config, why);
    assert_int_equal(err, test_of_server() ? CS_OK : CS_E_STORE); /* PostgreSQL serves several */
    assert_true(err == CS_OK || strstr(why, "another process") != NULL);
    cs_store_close(second);
}

static void addresses_are_refused_that_are_none_or_hold_a_password(void **state)
{
    static const char *const bad[] = {"",
                                      "sqlite:",
                                      "mysql://x/y",
                                      "store.db",
                                      "postgresql://u:secret@localhost/db",
                                      "postgresql://u@localhost/db?password=secret"};
    test_store *t = *state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char why[256] = "";
        cs_store_config c = {.queue = 1};
        (void)snprintf(c.dsn, sizeof c.dsn, "%s", bad[i]);
        assert_int_equal(cs_store_open(&t->store, t->loop, &c, why), CS_E_CONFIG);
        assert_null(strstr(why, "secret"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, empty_begin, test_end)
        TEST(migrations_go_up_and_down_and_up_again),
        TEST(store_opens_with_its_own_version_only),
        TEST(migrations_do_not_take_what_belongs_to_others),
        TEST(migrations_refuse_a_table_that_does_not_serve),
        TEST(down_does_not_lose_sealed_rows),
        TEST(rows_of_an_application_are_listed_until_they_are_sealed),
        TEST(rows_of_an_application_are_sealed_all_or_none),
        TEST(the_table_of_an_application_outlives_ours),
        TEST(a_second_gateway_does_not_get_a_file_that_is_open),
        TEST(addresses_are_refused_that_are_none_or_hold_a_password),
        TEST(no_plaintext_stays_in_the_file), /* the last one: of SQLite */
    };
    size_t num = sizeof tests / sizeof *tests - test_of_server();
    return _cmocka_run_group_tests("store_migrate", tests, num, test_group_begin, test_group_end);
}
