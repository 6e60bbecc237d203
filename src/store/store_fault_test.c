/*
 * Faults of the store, on both databases (store_test.c): a process that is killed before and after each statement, busy and lost
 * connections at each statement, two writers, a full disk. What was answered is there; what was not is there as a whole or not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "store/store_testlib.h"

/* ---- a driver that does something at its n-th call */

typedef enum wrong { KILL_BEFORE, KILL_AFTER, SAY_AGAIN, SAY_LOST } wrong;
static const cs_sql_driver *real;
static cs_sql_driver faulty;
static int calls_left;
static wrong what;

static cs_err go_wrong(cs_sql *db, cs_err err)
{
    switch (what) {
    case SAY_AGAIN:
        return cs_sql_failed(db, CS_SQL_AGAIN, "injected");
    case SAY_LOST:
        return cs_sql_failed(db, CS_SQL_LOST, "injected");
    default:
        (void)raise(SIGKILL);
        return err;
    }
}

static cs_err faulty_script(cs_sql *db, const char *sql)
{
    if (--calls_left == 0 && what != KILL_AFTER) {
        return go_wrong(db, CS_OK);
    }
    cs_err err = real->script(db, sql);
    return calls_left == 0 && what == KILL_AFTER ? go_wrong(db, err) : err;
}

static cs_err faulty_run(cs_sql *db, const cs_sql_run *r)
{
    if (--calls_left == 0 && what != KILL_AFTER) {
        return go_wrong(db, CS_OK);
    }
    cs_err err = real->run(db, r);
    return calls_left == 0 && what == KILL_AFTER ? go_wrong(db, err) : err;
}

static cs_sql *faulty_open(test_store *t, wrong w, int at)
{
    char why[256];
    cs_sql *db = NULL;

    assert_int_equal(cs_store_config_fit(&t->config, why), CS_OK);
    real = cs_store_driver(t->config.dsn);
    faulty = *real;
    faulty.script = faulty_script;
    faulty.run = faulty_run;
    assert_int_equal(real->open(&db, &t->config, true, why), CS_OK);
    db->driver = &faulty;
    what = w;
    calls_left = at;
    return db;
}

/* A Rotate of three rows with its reply and entry. */
static void call_of(cs_store_job *job, cs_tee_row rows[3])
{
    rows[0] = test_row("a", 2, "new");
    rows[1] = test_row("b", 2, "new");
    rows[2] = test_row("c", 1, "new");
    *job = (cs_store_job){.op = CS_STORE_APPLY, .in = test_call("caller", 5, 1, "reply")};
    job->in.rows = rows;
    job->in.num = 3;
}

static void prepare(test_store *t)
{
    cs_tee_row a = test_row("a", 1, "old"), b = test_row("b", 1, "old");

    test_empty(t);
    test_open(t);
    assert_int_equal(test_put(t, &a), CS_OK);
    assert_int_equal(test_put(t, &b), CS_OK);
    cs_store_close(t->store);
    t->store = NULL;
}

/* True: all of the call is there; false: nothing of it. */
static bool all_there(test_store *t)
{
    cs_store_in in = test_call("caller", 5, 1, "");

    test_open(t);
    bool done = test_counts(t).entries == 1;
    assert_int_equal(test_counts(t).requests, done ? 1 : 0);
    test_expect(t, "a", done ? 2 : 1, done ? "new" : "old");
    test_expect(t, "b", done ? 2 : 1, done ? "new" : "old");
    test_expect(t, "c", done ? 1 : 0, "new");
    assert_int_equal(test_do(t, CS_STORE_BEGIN, &in, CS_OK)->state, done ? CS_STORE_DONE : CS_STORE_NEW);
    cs_store_close(t->store);
    t->store = NULL;
    return done;
}

static bool killed_in_child(test_store *t, wrong w, int at)
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        cs_tee_row rows[3];
        cs_store_job job;
        cs_sql *db = faulty_open(t, w, at);
        call_of(&job, rows);
        cs_store_run(&db, &t->config, &job);
        _exit(job.err == CS_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static void killed(test_store *t, wrong w)
{
    bool done = false;
    int at = 1;

    for (;; at++) {
        prepare(t);
        bool was_killed = killed_in_child(t, w, at);
        bool there = all_there(t);
        assert_true(there || !done); /* from one call on it is done, and stays */
        done = there;
        if (!was_killed) {
            break;
        }
    }
    assert_true(done);
    assert_true(at > 6);
}

static void store_killed_before_a_statement_has_all_of_a_call_or_nothing(void **state)
{
    killed(*state, KILL_BEFORE);
}

static void store_killed_after_a_statement_has_all_of_a_call_or_nothing(void **state)
{
    killed(*state, KILL_AFTER);
}

/* Every statement fails once: the call is done nevertheless, once. Only an end that nobody saw may be reported. */
static void fails_once(test_store *t, wrong w)
{
    bool reported = false;

    for (int at = 1;; at++) {
        cs_tee_row rows[3];
        cs_store_job job;
        prepare(t);
        cs_sql *db = faulty_open(t, w, at);
        call_of(&job, rows);
        cs_store_run(&db, &t->config, &job);
        bool reached = calls_left <= 0;
        assert_true(job.err == CS_OK || (w == SAY_LOST && job.err == CS_E_STORE));
        reported = reported || job.err == CS_E_STORE;
        if (db != NULL) {
            real->close(db);
        }
        cs_err err = job.err;
        cs_store_mem_free(&job.found);
        assert_int_equal(all_there(t), err == CS_OK);
        if (!reached) {
            break;
        }
    }
    assert_int_equal(reported, w == SAY_LOST); /* its COMMIT */
}

static void store_tries_again_what_was_busy(void **state)
{
    fails_once(*state, SAY_AGAIN);
}

static void store_connects_again_what_was_lost(void **state)
{
    fails_once(*state, SAY_LOST);
}

/* ---- jobs together: one that cannot be done does not take the others along */

static void store_does_the_others_when_one_of_a_group_is_refused(void **state)
{
    test_store *t = *state;
    cs_tee_row rows[4] = {test_row("g1", 1, "x"), test_row("a", 1, "twice"), test_row("g2", 1, "x"),
                          test_row("g3", 1, "x")};
    cs_store_job job[4];
    char why[256];
    cs_sql *db = NULL;

    prepare(t);
    assert_int_equal(cs_store_config_fit(&t->config, why), CS_OK);
    real = cs_store_driver(t->config.dsn);
    assert_int_equal(real->open(&db, &t->config, true, why), CS_OK);
    for (int i = 0; i < 4; i++) {
        job[i] =
            (cs_store_job){.op = CS_STORE_APPLY, .in = test_call("", 0, 0, ""), .next = i < 3 ? &job[i + 1] : NULL};
        job[i].in.rows = &rows[i];
        job[i].in.num = 1;
    }
    job[3].op = CS_STORE_ADOPT; /* a failure of the database: no such column */
    job[3].in.column = "no_such_column";
    cs_store_run(&db, &t->config, job);
    assert_int_equal(job[0].err, CS_OK);
    assert_int_equal(job[1].err, CS_E_EXISTS);
    assert_int_equal(job[2].err, CS_OK);
    assert_int_equal(job[3].err, CS_E_STORE_SCHEMA);
    for (int i = 0; i < 4; i++) {
        cs_store_mem_free(&job[i].found);
    }
    real->close(db);
    test_open(t);
    test_expect(t, "g1", 1, "x");
    test_expect(t, "g2", 1, "x");
    test_expect(t, "a", 1, "old");
}

/* ---- writers side by side */

#define ROUNDS 60
#define WRITERS 4

typedef struct racing {
    test_store *t;
    bool backwards;
    unsigned num; /* callbacks */
    unsigned stored;
} racing;

static void on_raced(void *cookie, cs_err err, const cs_store_out *out)
{
    racing *r = cookie;

    assert_int_equal(err, CS_OK);
    r->num++;
    r->stored += (unsigned)out->num_stored;
}

/* Every writer replaces every row by its next version, half of them in the other order: one of them wins, and none is locked out. */
static void store_lets_one_of_several_writers_win_each_version(void **state)
{
    enum { NUM = 16 };
    static char names[NUM][8];
    test_store *t = *state;
    cs_tee_row rows[NUM];
    cs_store_in in = {.rows = rows, .num = NUM, .partial = true};
    unsigned started = 0, stored = 0;
    racing r[WRITERS] = {{.num = 0}};

    test_empty(t);
    test_open(t);
    for (uint64_t v = 1; v <= ROUNDS; v++) {
        for (int w = 0; w < WRITERS; w++) {
            for (size_t i = 0; i < NUM; i++) {
                size_t at = w % 2 == 0 ? i : NUM - 1 - i;
                (void)snprintf(names[at], sizeof names[at], "k%u", (unsigned)at);
                rows[i] = test_row(names[at], v, "x");
            }
            assert_int_equal(cs_store_start(t->store, CS_STORE_APPLY, &in, NULL, on_raced, &r[w]), CS_OK);
            started++;
        }
        for (unsigned n = 0; n < started;) {
            (void)cs_loop_run_once(t->loop, true);
            n = 0;
            for (int w = 0; w < WRITERS; w++) {
                n += r[w].num;
            }
        }
    }
    for (int w = 0; w < WRITERS; w++) {
        stored += r[w].stored;
    }
    assert_int_equal(stored, NUM * ROUNDS); /* each version of each row once */
    test_expect(t, "k0", ROUNDS, "x");
    test_expect(t, "k15", ROUNDS, "x");
}

static cs_err on_waiting(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    (void)set, (void)cols, (void)num_cols;
    *(bool *)cookie = true;
    return CS_OK;
}

/* Another writer has b and then wants a, while the store has a and wants b: PostgreSQL ends one of them. SQLite: the file is busy. */
static void store_goes_on_after_a_deadlock(void **state)
{
    test_store *t = *state;
    cs_tee_row rows[2] = {test_row("a", 2, "new"), test_row("b", 2, "new")};
    cs_store_in in = {.rows = rows, .num = 2};
    char why[256];
    cs_sql *db = NULL;
    racing r = {.num = 0};

    prepare(t);
    test_open(t);
    assert_int_equal(cs_store_config_fit(&t->config, why), CS_OK);
    real = cs_store_driver(t->config.dsn);
    assert_int_equal(real->open(&db, &t->config, true, why), CS_OK);
    if (test_of_server()) { /* the store is the one that is ended */
        assert_int_equal(real->script(db, "SET deadlock_timeout = '60s'"), CS_OK);
    }
    assert_int_equal(real->script(db, real->begin), CS_OK);
    assert_int_equal(real->script(db, "UPDATE keys SET created_at = created_at WHERE id = 'b'"), CS_OK);
    assert_int_equal(cs_store_start(t->store, CS_STORE_APPLY, &in, NULL, on_raced, &r), CS_OK);
    for (bool waiting = !test_of_server(); !waiting;) {
        assert_int_equal(
            cs_sql_text(db, "SELECT 1 FROM pg_locks WHERE NOT granted", NULL, 0, on_waiting, &waiting, NULL), CS_OK);
    }
    assert_int_equal(real->script(db, "UPDATE keys SET created_at = created_at WHERE id = 'a'"), CS_OK);
    assert_int_equal(real->script(db, "COMMIT"), CS_OK);
    real->close(db);
    while (r.num == 0) {
        (void)cs_loop_run_once(t->loop, true);
    }
    assert_int_equal(r.stored, 2);
    test_expect(t, "a", 2, "new");
    test_expect(t, "b", 2, "new");
}

/* ---- a full disk (SQLite: a limit of the file's size) */

static void store_says_so_when_the_disk_is_full_and_goes_on_when_it_is_not(void **state)
{
    static char blob[60000];
    test_store *t = *state;
    struct rlimit before, small;
    unsigned stored = 0;
    char name[16];

    test_empty(t);
    test_open(t);
    memset(blob, 'b', sizeof blob - 1);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 2 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    cs_err err = CS_OK;
    for (; err == CS_OK && stored < 200; stored += err == CS_OK) {
        (void)snprintf(name, sizeof name, "big%u", stored);
        cs_tee_row row = test_row(name, 1, blob);
        err = test_put(t, &row);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(err, CS_E_STORE);
    assert_false(cs_store_ok(t->store));
    assert_int_equal(test_counts(t).rows, stored); /* what was answered is there, what was not is not */
    cs_tee_row row = test_row(name, 1, blob);
    assert_int_equal(test_put(t, &row), CS_OK);
    assert_int_equal(test_counts(t).rows, stored + 1);
    assert_true(cs_store_ok(t->store));
}

/* ---- the server goes away and comes back (CS_TEST_STORE_CTL: a program, given stop or start) */

static void control(const char *word)
{
    extern char **environ;
    char program[256], arg[16];
    pid_t pid;
    int status = 1;

    (void)snprintf(program, sizeof program, "%s", getenv("CS_TEST_STORE_CTL"));
    (void)snprintf(arg, sizeof arg, "%s", word);
    char *argv[] = {program, arg, NULL};
    assert_int_equal(posix_spawn(&pid, program, NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void store_recovers_when_the_database_comes_back(void **state)
{
    test_store *t = *state;
    cs_tee_row one = test_row("one", 1, "x"), two = test_row("two", 1, "x");

    assert_non_null(getenv("CS_TEST_STORE_CTL"));
    test_empty(t);
    test_open(t);
    assert_int_equal(test_put(t, &one), CS_OK);
    control("stop");
    assert_int_equal(test_put(t, &two), CS_E_STORE);
    assert_false(cs_store_ok(t->store));
    control("start");
    assert_int_equal(test_put(t, &two), CS_OK); /* without hands */
    assert_true(cs_store_ok(t->store));
    test_expect(t, "one", 1, "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_teardown(f, test_end)
        TEST(store_killed_before_a_statement_has_all_of_a_call_or_nothing),
        TEST(store_killed_after_a_statement_has_all_of_a_call_or_nothing),
        TEST(store_tries_again_what_was_busy),
        TEST(store_connects_again_what_was_lost),
        TEST(store_does_the_others_when_one_of_a_group_is_refused),
        TEST(store_lets_one_of_several_writers_win_each_version),
        TEST(store_goes_on_after_a_deadlock),
        test_of_server() ? (struct CMUnitTest)TEST(store_recovers_when_the_database_comes_back)
                         : (struct CMUnitTest)TEST(store_says_so_when_the_disk_is_full_and_goes_on_when_it_is_not),
    };
    return cmocka_run_group_tests(tests, test_group_begin, test_group_end);
}
