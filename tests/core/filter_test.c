/* The system call filter: what core does passes, anything else kills. Each case is a child: a filter cannot be taken off, and the arena is
 * wiped in a child, so it is made there. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/filter.h"
#include "core/platform.h"
#include "core/tee/pool.h"
#include "tee_driver.h"

static const cs_filter_args device = {.program = "sign-core", .nsm_fd = 77, .device = true};

static void install(void)
{
    static cs_sandbox s;

    cs_filter_make(&s, &device);
    if (cs_sandbox_install(&s) != CS_OK) {
        _exit(3);
    }
}

/* The wait status of fn in a child. */
static int in_child(void (*fn)(void))
{
    int status = -1;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void load_and_sign(void)
{
    world *w = world_new();
    client cl;

    serve(w, 7);
    install();
    credentials(w, CS_CRED_PRESENT);
    if (inject_both(w, &(recipe){.generation = 8}, &(kms_answer){0}) != CS_OK || client_connect(w, &cl, 0) != CS_OK ||
        !sign_once(w, &cl, &(ask){.account = 0, .tx_id = 1})) {
        _exit(4);
    }
    (void)status(w);
}

static void test_loading_and_signing_pass(void **state)
{
    int status;

    if (!cs_sandbox_possible()) {
        skip();
    }
    status = in_child(load_and_sign);
    if (WIFSIGNALED(status)) {
        fail_msg("signal %d", WTERMSIG(status));
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Threads were made before; making keys, opening, signing, a reload and the end of the threads come behind. */
static void serve_tee_calls(void)
{
    static kept_row row;
    static tee_answer a;
    tee_world *t = tee_world_new(NULL);
    tee_ask q = {.op = CS_TEE_SIGN, .record = cs_slice_str("wallet-1"), .u2 = 1, .rows = &row.row, .num_rows = 1};

    install();
    for (q.u1 = CS_TEE_ECDSA_K1; q.u1 <= CS_TEE_BIP340; q.u1++) {
        generate(t, &row, "wallet-1", (cs_tee_alg)q.u1);
        q.sealed = !q.sealed;
        if (tee_call(t, &a, &q) != CS_OK) {
            _exit(4);
        }
    }
    if (inject_both(t->w, &(recipe){.generation = 8}, &(kms_answer){0}) != CS_OK ||
        tee_call(t, &a, &(tee_ask){.op = CS_TEE_STATS, .who = NOBODY}) != CS_OK) {
        _exit(5);
    }
    tee_world_free(t);
}

static void test_calls_of_the_tee_service_pass(void **state)
{
    int status;

    if (!cs_sandbox_possible()) {
        skip();
    }
    status = in_child(serve_tee_calls);
    if (WIFSIGNALED(status)) {
        fail_msg("signal %d", WTERMSIG(status));
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void forbidden_work(cs_task *t)
{
    (void)t;
    (void)!access("/", F_OK);
}

/* A thread that was made before the filter is inside of it. */
static void open_file_on_a_worker(void)
{
    static cs_task task = {.work = forbidden_work};
    cs_pool *pool = NULL;

    if (cs_pool_new(&pool, 2) != CS_OK) {
        _exit(3);
    }
    install();
    cs_pool_put(pool, &task);
    (void)poll(&(struct pollfd){.fd = cs_pool_fd(pool), .events = POLLIN}, 1, 10000);
}

static void open_socket(void)
{
    install();
    (void)socket(AF_INET, SOCK_STREAM, 0);
}

static void open_file(void)
{
    install();
    (void)!access("/", F_OK);
}

static void run_program(void)
{
    install();
    (void)execl("/bin/true", "true", (char *)NULL);
}

static void map_code(void)
{
    install();
    (void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void other_ioctl(void)
{
    install();
    (void)isatty(77); /* TCGETS on the right descriptor */
}

static void wrong_descriptor(void)
{
    install();
    (void)ioctl(78, CS_NSM_IOCTL, NULL);
}

static void change_protection(void)
{
    install();
    (void)mprotect(NULL, 4096, PROT_READ);
}

static void connect_somewhere(void)
{
    struct sockaddr nowhere = {.sa_family = AF_UNIX};

    install();
    (void)connect(0, &nowhere, sizeof nowhere);
}

static void make_process(void)
{
    install();
    (void)!fork();
}

static void test_anything_else_kills(void **state)
{
    static void (*const cases[])(void) = {
        open_socket,      open_file,         run_program,       map_code,     other_ioctl,
        wrong_descriptor, change_protection, connect_somewhere, make_process, open_file_on_a_worker};

    if (!cs_sandbox_possible()) {
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = in_child(cases[i]);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loading_and_signing_pass),
        cmocka_unit_test(test_calls_of_the_tee_service_pass),
        cmocka_unit_test(test_anything_else_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
