/* sign-host's parts: the simulated image, programs and what they inherit, supervision, logs, injection, the proxy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "host/host.h"

/* {"kms": {}, "core": {}, "service": {}} */
static const uint8_t config[] = "\xa3\x63kms\xa0\x64"
                                "core\xa0\x67service\xa0";

static char dir[] = "/tmp/host_test.XXXXXX";

static void path_of(char out[128], const char *name)
{
    (void)snprintf(out, 128, "%s/%s", dir, name);
}

static void put_file(const char *name, const void *bytes, size_t len, mode_t mode)
{
    char path[128];

    path_of(path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void put_dir(const char *name)
{
    char path[128];

    path_of(path, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

/* What a file of the directory holds, as text. */
static size_t slurp(char *out, size_t cap, const char *path)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, out, cap - 1);
    assert_true(n >= 0);
    out[n] = '\0';
    (void)close(fd);
    return (size_t)n;
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/host_test.XXXXXX");
    cs_log_init("host_test", CS_LOG_ERROR, STDERR_FILENO);
    (void)signal(SIGPIPE, SIG_IGN);
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[300];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* ---------------------------------------------------------------- image */

/*
 * The expected values were computed without this code: the newc archive of the three entries written out by hand in Python,
 * PCR0 = H(0^48 || H("simulated" || init || archive)), PCR1 without the archive, PCR2 of the archive alone (SHA-384).
 */
static void pcrs_of_an_image_are_those_of_the_specification(void **state)
{
    static const char *const want[] = {
        "e3de282a65fd56f6b3e575cd58cb731a990a870a4172db7dd9b1a5203efff8390bba0816a92b2631c6713d5600cb8488",
        "b04ab8c4cb583f78cc58bc64c3b5c893840926e2e1875e8335a5acd08f87da6bf09028dcd6ed932e2b3451a71492248c",
        "0ccf8e4ff500144ac2fced9492ef85e0eb31347de1d12d42347303877279a02dbfe1eb9f46d8619e72f44c8498c10449",
    };
    cs_image *i = NULL;

    (void)state;
    put_dir("bin");
    put_file("bin/sign-init", "init\n", 5, 0700); /* modes as another umask leaves them */
    put_file("config.cbor", config, sizeof config - 1, 0600);
    assert_int_equal(cs_image_load(&i, dir), CS_OK);
    for (int k = 0; k < 3; k++) {
        char hex[2 * CS_PCR_LEN + 1];
        for (size_t b = 0; b < CS_PCR_LEN; b++) {
            (void)snprintf(hex + 2 * b, 3, "%02x", cs_image_pcrs(i)[k].b[b]);
        }
        assert_string_equal(hex, want[k]);
    }
    cs_image_free(i);
}

static void an_image_without_config_or_with_a_link_is_refused(void **state)
{
    char path[128];
    cs_image *i = NULL;

    (void)state;
    put_dir("bin");
    put_file("bin/sign-init", "init\n", 5, 0755);
    assert_int_equal(cs_image_load(&i, dir), CS_E_NOT_FOUND);
    put_file("config.cbor", "\xa1", 1, 0644);
    assert_int_equal(cs_image_load(&i, dir), CS_E_CONFIG);
    put_file("config.cbor", config, sizeof config - 1, 0644);
    path_of(path, "bin/link");
    assert_int_equal(symlink("sign-init", path), 0);
    assert_int_equal(cs_image_load(&i, dir), CS_E_FORMAT);
}

/* ---------------------------------------------------------------- spawn */

static bool has_fd(pid_t pid, int fd)
{
    char path[64];
    struct stat st;

    (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
    return lstat(path, &st) == 0;
}

static void a_program_inherits_its_descriptors_and_nothing_else(void **state)
{
    static const char *const argv[] = {"sleep", "60", NULL};
    char path[64], environment[16];
    int config_fd = -1, other = open("/dev/zero", O_RDONLY), high;
    pid_t pid = 0;

    (void)state;
    assert_true(other >= 0);
    high = fcntl(other, F_DUPFD, 1500); /* above what a loop over small numbers would close; not close-on-exec */
    assert_int_equal(cs_config_memfd(&config_fd, cs_slice_str("measured")), CS_OK);
    const int fds[] = {config_fd};
    assert_int_equal(cs_spawn_start(&pid, &(cs_spawn){"/bin/sleep", argv, fds, 1, STDERR_FILENO}), CS_OK);
    for (int fd = 0; fd < 2000; fd++) {
        assert_int_equal(has_fd(pid, fd), fd <= 2 || fd == config_fd);
    }
    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    assert_int_equal(slurp(environment, sizeof environment, path), 0);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    /* what is measured cannot be changed by who inherits it */
    assert_int_equal(write(config_fd, "x", 1), -1);
    assert_int_equal(ftruncate(config_fd, 0), -1);
    (void)close(config_fd);
    (void)close(other);
    (void)close(high);
}

static void a_program_that_cannot_be_run_is_told_and_leaves_no_zombie(void **state)
{
    static const char *const argv[] = {"none", NULL};
    pid_t pid = 0;

    (void)state;
    assert_int_equal(cs_spawn_start(&pid, &(cs_spawn){"/nonexistent", argv, NULL, 0, STDERR_FILENO}), CS_E_LAUNCH);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* ---------------------------------------------------------------- logs */

static void log_has_whole_lines_of_each_program(void **state)
{
    static char text[4 * CS_LOGS_LINE], longest[CS_LOGS_LINE + 10];
    char path[128];
    cs_loop *l = NULL;
    cs_logs *g = NULL;
    int a = -1, b = -1;

    (void)state;
    path_of(path, "log");
    assert_int_equal(cs_loop_new(&l), CS_OK);
    assert_int_equal(cs_logs_new(&g, l, path, false), CS_OK);
    assert_int_equal(cs_logs_pipe(g, &a), CS_OK);
    assert_int_equal(cs_logs_pipe(g, &b), CS_OK);
    assert_int_equal(write(a, "half ", 5), 5);
    cs_logs_read(g);
    assert_int_equal(write(b, "other\n", 6), 6);
    cs_logs_read(g);
    assert_int_equal(write(a, "whole\n", 6), 6);
    cs_logs_read(g);
    assert_true(slurp(text, sizeof text, path) > 0);
    assert_string_equal(text, "other\nhalf whole\n");
    /* too long for one line: cut, and the other program's line stays a line */
    memset(longest, 'x', sizeof longest);
    assert_int_equal(write(a, longest, sizeof longest), (ssize_t)sizeof longest);
    cs_logs_read(g);
    assert_int_equal(write(b, "other\n", 6), 6);
    cs_logs_read(g);
    assert_int_equal(write(a, "\nlast words", 11), 11);
    (void)close(a);
    (void)close(b);
    cs_logs_free(g);
    size_t len = slurp(text, sizeof text, path);
    assert_string_equal(text + len - 30, "x\nother\nxxxxxxxxxx\nlast words\n");
    cs_loop_free(l);
}

static void a_log_that_is_a_pipe_is_refused_and_waits_for_nobody(void **state)
{
    char path[128];
    cs_loop *l = NULL;
    cs_logs *g = NULL;

    (void)state;
    path_of(path, "log.fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(cs_loop_new(&l), CS_OK);
    assert_int_equal(cs_logs_new(&g, l, path, false), CS_E_IO);
    (void)unlink(path);
    cs_loop_free(l);
}

static void a_log_without_end_does_not_fill_the_disk(void **state)
{
    static char line[CS_LOGS_LINE];
    char path[128];
    struct stat st;
    cs_loop *l = NULL;
    cs_logs *g = NULL;
    int a = -1;

    (void)state;
    path_of(path, "log");
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\n';
    assert_int_equal(cs_loop_new(&l), CS_OK);
    assert_int_equal(cs_logs_new(&g, l, path, false), CS_OK);
    assert_int_equal(cs_logs_pipe(g, &a), CS_OK);
    for (uint64_t done = 0; done < 3 * CS_LOGS_FILE; done += sizeof line) {
        assert_int_equal(write(a, line, sizeof line), (ssize_t)sizeof line);
        cs_logs_read(g);
    }
    (void)close(a);
    cs_logs_free(g);
    cs_loop_free(l);
    assert_int_equal(stat(path, &st), 0);
    assert_true((uint64_t)st.st_size <= CS_LOGS_FILE);
    path_of(path, "log.1");
    assert_int_equal(stat(path, &st), 0);
    assert_true((uint64_t)st.st_size <= CS_LOGS_FILE);
}

/* ---------------------------------------------------------------- injection */

/* A peer that the test plays on a thread. */
struct peer {
    int listener;
    const char *answer; /* NULL: close without one */
    bool read_all;      /* before the answer */
    pthread_t thread;
};

static void *peer_main(void *arg)
{
    struct peer *p = arg;
    char block[4096];
    struct timeval patience = {10, 0};
    int fd = accept(p->listener, NULL, NULL);

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while (p->read_all && read(fd, block, sizeof block) > 0) {
    }
    if (p->answer != NULL) {
        (void)!write(fd, p->answer, strlen(p->answer));
    }
    (void)close(fd);
    return NULL;
}

static cs_err inject_into(cs_inject_answer *a, const char *answer, bool read_all, size_t len, uint32_t answer_ms)
{
    static uint8_t bytes[1u << 20];
    struct peer p = {.answer = answer, .read_all = read_all};
    cs_endpoint ep = {.scheme = CS_EP_UNIX};

    path_of(ep.host, "peer.sock");
    assert_int_equal(cs_endpoint_listen(&p.listener, &ep, 1), CS_OK);
    int flags = fcntl(p.listener, F_GETFL);
    (void)fcntl(p.listener, F_SETFL, flags & ~O_NONBLOCK);
    assert_int_equal(pthread_create(&p.thread, NULL, peer_main, &p), 0);
    cs_err err = cs_inject_send(a, &ep, cs_slice_of(bytes, len), 1000, answer_ms);
    (void)pthread_join(p.thread, NULL);
    (void)close(p.listener);
    (void)unlink(ep.host);
    return err;
}

static void the_injecting_client_hears_the_answer_whatever_the_peer_does(void **state)
{
    static char long_detail[1200] = "{\"code\":\"KMS_DENIED\",\"detail\":\"";
    cs_inject_answer a = {0};

    (void)state;
    assert_int_equal(inject_into(&a, "{\"code\":\"OK\"}\n", true, 100, 2000), CS_OK);
    assert_int_equal(a.code, CS_OK);
    /* busy: answers at once and closes, while we are still sending */
    assert_int_equal(inject_into(&a, "{\"code\":\"INJECT_BUSY\",\"detail\":\"x\"}\n", false, 1u << 20, 2000), CS_OK);
    assert_int_equal(a.code, CS_E_INJECT_BUSY);
    assert_string_equal(a.detail, "x");
    /* a long detail is cut, not an error */
    memset(long_detail + strlen(long_detail), 'd', 900);
    memcpy(long_detail + strlen(long_detail), "\"}\n", 4);
    assert_int_equal(inject_into(&a, long_detail, true, 100, 2000), CS_OK);
    assert_int_equal(a.code, CS_E_KMS_DENIED);
    assert_int_equal(strlen(a.detail), sizeof a.detail - 1);
    assert_int_equal(inject_into(&a, NULL, true, 100, 2000), CS_E_CLOSED);
    assert_int_equal(inject_into(&a, NULL, false, 1u << 20, 2000), CS_E_CLOSED);
    assert_true(inject_into(&a, "no json\n", true, 100, 2000) != CS_OK);
    assert_true(inject_into(&a, "{\"code\":\"OK\"}", true, 100, 2000) != CS_OK); /* a line that is cut */
}

static void nobody_who_listens_is_an_error_after_the_wait(void **state)
{
    cs_endpoint ep = {.scheme = CS_EP_UNIX};
    cs_inject_answer a;

    (void)state;
    path_of(ep.host, "nobody.sock");
    assert_int_equal(cs_inject_send(&a, &ep, cs_slice_str("x"), 50, 50), CS_E_CONNECT);
}

/* ---------------------------------------------------------------- proxy */

static void the_proxy_pumps_sixteen_and_closes_the_seventeenth(void **state)
{
    cs_endpoint to = {.scheme = CS_EP_UNIX}, at = {.scheme = CS_EP_UNIX};
    cs_loop *l = NULL;
    cs_proxy *p = NULL;
    int target = -1, listener = -1, fds[17];
    char c = 0;

    (void)state;
    path_of(to.host, "kms.sock");
    path_of(at.host, "parent-5000.sock");
    assert_int_equal(cs_loop_new(&l), CS_OK);
    assert_int_equal(cs_endpoint_listen(&target, &to, 32), CS_OK);
    assert_int_equal(cs_endpoint_listen(&listener, &at, 32), CS_OK);
    assert_int_equal(
        cs_proxy_new(&p, l, listener, &to, &(cs_proxy_opts){.name = "kms", .conns_max = 16, .idle_ms = 60000}), CS_OK);
    for (int i = 0; i < 17; i++) {
        assert_int_equal(cs_endpoint_connect(&fds[i], &at, 1000), CS_OK);
        for (int k = 0; k < 10; k++) {
            (void)cs_loop_run_once(l, false);
        }
    }
    assert_int_equal(recv(fds[16], &c, 1, MSG_DONTWAIT), 0);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(recv(fds[i], &c, 1, MSG_DONTWAIT), -1);
    }
    int far = accept(target, NULL, NULL);
    assert_int_equal(send(fds[0], "k", 1, 0), 1);
    for (int k = 0; k < 10; k++) {
        (void)cs_loop_run_once(l, false);
    }
    assert_int_equal(recv(far, &c, 1, MSG_DONTWAIT), 1);
    assert_int_equal(c, 'k');
    (void)close(far);
    for (int i = 0; i < 17; i++) {
        (void)close(fds[i]);
    }
    cs_proxy_free(p);
    cs_loop_free(l);
    (void)close(target);
}

/* ---------------------------------------------------------------- supervision */

static void *nsm_main(void *arg)
{
    int listener = *(int *)arg, fd = accept(listener, NULL, NULL);
    char line[1024];

    if (read(fd, line, sizeof line) > 0) {
        (void)!write(fd, "{\"nsm\":\"/nsm.sock\"}\n", 20);
    }
    return (void *)(intptr_t)fd;
}

static void on_halt(void *cookie)
{
    ++*(int *)cookie;
}

/* Kills a program and tells the enclave. */
static void kill_one(cs_enclave *e, cs_launch_program p)
{
    pid_t pid = cs_enclave_pid(e, p);
    int status = 0;

    assert_true(pid > 0);
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    cs_enclave_child_ended(e, pid, status);
}

static void supervision_restarts_the_front_later_and_halts_without_core(void **state)
{
    static const char script[] = "#!/bin/sh\nexec sleep 60\n";
    char image[128], run[128], nsm[128], path[128];
    cs_endpoint control = {.scheme = CS_EP_UNIX};
    struct stat st;
    int listener = -1, halts = 0;
    void *nsm_fd = NULL;
    cs_enclave *e = NULL;
    cs_loop *l = NULL;
    pthread_t t;

    (void)state;
    put_dir("image");
    put_dir("image/bin");
    put_dir("run");
    put_file("image/bin/sign-init", "i", 1, 0755);
    put_file("image/bin/sign-core-emulated", script, sizeof script - 1, 0755);
    put_file("image/bin/sign-kms-local", script, sizeof script - 1, 0755);
    put_file("image/bin/sign-service-local", script, sizeof script - 1, 0755);
    put_file("image/config.cbor", config, sizeof config - 1, 0644);
    path_of(image, "image");
    path_of(run, "run");
    path_of(nsm, "nsm");
    path_of(control.host, "nsm");
    assert_int_equal(cs_endpoint_listen(&listener, &control, 1), CS_OK);
    (void)fcntl(listener, F_SETFL, 0);
    assert_int_equal(pthread_create(&t, NULL, nsm_main, &listener), 0);
    cs_enclave_opts o = {.image = image, .dir = run, .nsm_control = nsm};
    o.grpc = (cs_endpoint){.scheme = CS_EP_UNIX};
    path_of(o.grpc.host, "run/grpc.sock");
    o.kms = control;
    assert_int_equal(cs_loop_new(&l), CS_OK);
    assert_int_equal(cs_enclave_start(&e, l, &o, on_halt, &halts), CS_OK);
    (void)pthread_join(t, &nsm_fd);
    kill_one(e, CS_LAUNCH_SERVICE);
    assert_int_equal(cs_enclave_pid(e, CS_LAUNCH_SERVICE), 0); /* not at once */
    while (cs_enclave_pid(e, CS_LAUNCH_SERVICE) == 0) {
        (void)cs_loop_run_once(l, true);
    }
    assert_int_equal(halts, 0);
    kill_one(e, CS_LAUNCH_CORE);
    assert_int_equal(halts, 1);
    kill_one(e, CS_LAUNCH_KMS); /* goes down with core: no restart, no second halt */
    for (int i = 0; i < 10; i++) {
        (void)cs_loop_run_once(l, false);
    }
    assert_int_equal(halts, 1);
    assert_int_equal(cs_enclave_pid(e, CS_LAUNCH_KMS), 0);
    cs_enclave_stop(e);
    cs_loop_free(l);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no orphan */
    path_of(path, "run/grpc.sock");
    assert_int_equal(stat(path, &st), -1);
    path_of(path, "run/enclave-7101.sock");
    assert_int_equal(stat(path, &st), -1);
    (void)close((int)(intptr_t)nsm_fd);
    (void)close(listener);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(pcrs_of_an_image_are_those_of_the_specification),
        T(an_image_without_config_or_with_a_link_is_refused),
        T(a_program_inherits_its_descriptors_and_nothing_else),
        T(a_program_that_cannot_be_run_is_told_and_leaves_no_zombie),
        T(log_has_whole_lines_of_each_program),
        T(a_log_that_is_a_pipe_is_refused_and_waits_for_nobody),
        T(a_log_without_end_does_not_fill_the_disk),
        T(the_injecting_client_hears_the_answer_whatever_the_peer_does),
        T(nobody_who_listens_is_an_error_after_the_wait),
        T(the_proxy_pumps_sixteen_and_closes_the_seventeenth),
        T(supervision_restarts_the_front_later_and_halts_without_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
