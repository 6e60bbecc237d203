/* Hybrid vsock against a daemon of the test's own: what it answers, in which pieces, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/hybrid.h"
#include "net/io.h"

static char dir[] = "/tmp/hybrid_test.XXXXXX";

struct world {
    cs_loop *loop;
    cs_listener *daemon;
    cs_endpoint at;
    const char *answer; /* NULL: the connection is closed */
    bool silent;
    int guest; /* the daemon's end of the last connection */
    char asked[64];
    int called, fd;
    cs_err err;
};

static void on_client(void *cookie, int fd, const cs_ep_peer *peer)
{
    struct world *w = cookie;

    (void)peer;
    if (w->guest >= 0) {
        (void)close(w->guest);
    }
    w->guest = fd;
}

static void at_name(cs_endpoint *out, const char *name)
{
    *out = (cs_endpoint){.scheme = CS_EP_UNIX};
    (void)snprintf(out->host, sizeof out->host, "%s/%s", dir, name);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    int fd = -1;

    assert_non_null(w);
    *w = (struct world){.guest = -1, .fd = -1};
    assert_int_equal(cs_loop_new(&w->loop), CS_OK);
    at_name(&w->at, "vm.vsock");
    assert_int_equal(cs_endpoint_listen(&fd, &w->at, 8), CS_OK);
    assert_int_equal(cs_listener_new(&w->daemon, w->loop, fd, CS_EP_CID_ANY, on_client, w), CS_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    cs_listener_free(w->daemon);
    (void)unlink(w->at.host);
    if (w->guest >= 0) {
        (void)close(w->guest);
    }
    if (w->fd >= 0) {
        (void)close(w->fd);
    }
    cs_loop_free(w->loop);
    free(w);
    return 0;
}

static void on_dialled(void *cookie, cs_err err, int fd)
{
    struct world *w = cookie;

    w->called++;
    w->err = err;
    w->fd = fd;
}

/* The daemon reads the request when there is one, and answers once. */
static void serve(struct world *w)
{
    size_t have = strlen(w->asked);
    ssize_t n = w->guest >= 0 && strchr(w->asked, '\n') == NULL
                    ? recv(w->guest, w->asked + have, sizeof w->asked - 1 - have, MSG_DONTWAIT)
                    : 0;

    if (n <= 0 || strchr(w->asked, '\n') == NULL || w->silent) {
        return;
    }
    if (w->answer == NULL) {
        (void)close(w->guest);
        w->guest = -1;
        return;
    }
    assert_int_equal(send(w->guest, w->answer, strlen(w->answer), MSG_NOSIGNAL), strlen(w->answer));
}

static void dial(struct world *w, uint32_t timeout_ms)
{
    cs_hybrid *h = NULL;

    assert_int_equal(cs_hybrid_dial(&h, w->loop, &w->at, 7100, timeout_ms, on_dialled, w), CS_OK);
    for (int i = 0; i < 1000 && w->called == 0; i++) {
        (void)cs_loop_run_once(w->loop, true);
        serve(w);
    }
    assert_int_equal(w->called, 1);
}

static void hybrid_asks_for_the_port_and_leaves_what_follows(void **state)
{
    struct world *w = *state;
    char rest[16] = {0};

    w->answer = "OK 1073741824\nhello";
    dial(w, 2000);
    assert_int_equal(w->err, CS_OK);
    assert_string_equal(w->asked, "CONNECT 7100\n");
    assert_int_equal(recv(w->fd, rest, sizeof rest - 1, MSG_DONTWAIT), 5);
    assert_string_equal(rest, "hello");
}

static void hybrid_refuses_other_answers(void **state)
{
    static const char *const answers[] = {NULL, "ok 1\n", "OK\n", "\n", "OK 111111111111111111111111111111111111111\n"};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        w->answer = answers[i];
        w->called = 0;
        w->asked[0] = '\0';
        memset(w->asked, 0, sizeof w->asked);
        dial(w, 2000);
        assert_int_equal(w->err, CS_E_CONNECT);
        assert_int_equal(w->fd, -1);
    }
}

static void hybrid_gives_up_on_silence(void **state)
{
    struct world *w = *state;

    w->silent = true;
    dial(w, 30);
    assert_int_equal(w->err, CS_E_TIMEOUT);
}

static void hybrid_without_daemon_is_refused(void **state)
{
    struct world *w = *state;
    cs_hybrid *h = NULL;

    cs_listener_free(w->daemon);
    w->daemon = NULL;
    (void)unlink(w->at.host);
    cs_err err = cs_hybrid_dial(&h, w->loop, &w->at, 7100, 1000, on_dialled, w);
    if (err == CS_OK) {
        for (int i = 0; i < 100 && w->called == 0; i++) {
            (void)cs_loop_run_once(w->loop, true);
        }
        err = w->err;
    }
    assert_int_equal(err, CS_E_CONNECT);
}

static void hybrid_given_up_calls_nobody(void **state)
{
    struct world *w = *state;
    cs_hybrid *h = NULL;

    assert_int_equal(cs_hybrid_dial(&h, w->loop, &w->at, 7100, 1000, on_dialled, w), CS_OK);
    cs_hybrid_free(h);
    for (int i = 0; i < 5; i++) {
        (void)cs_loop_run_once(w->loop, false);
    }
    assert_int_equal(w->called, 0);
}

/* Bytes both ways through a relay; freed while connections are open, it closes them and removes its socket. */
static void relay_pumps_and_ends(void **state)
{
    struct world *w = *state;
    cs_hybrid_relay *r = NULL;
    cs_endpoint at;
    char got[16] = {0};
    int fd = -1;

    w->answer = "OK 5\n";
    at_name(&at, "enclave-7100.sock");
    assert_int_equal(cs_hybrid_relay_new(&r, w->loop, &at, &w->at, 7100), CS_OK);
    assert_int_equal(cs_endpoint_connect(&fd, &at, 1000), CS_OK);
    assert_int_equal(send(fd, "ping", 4, 0), 4);
    for (int i = 0; i < 1000 && strchr(w->asked, '\n') == NULL; i++) {
        (void)cs_loop_run_once(w->loop, true);
        serve(w);
    }
    for (int i = 0; i < 1000 && recv(w->guest, got, sizeof got - 1, MSG_DONTWAIT) != 4; i++) {
        (void)cs_loop_run_once(w->loop, true);
    }
    assert_string_equal(got, "ping");
    assert_int_equal(send(w->guest, "pong!", 5, 0), 5);
    memset(got, 0, sizeof got);
    for (int i = 0; i < 1000 && recv(fd, got, sizeof got - 1, MSG_DONTWAIT) != 5; i++) {
        (void)cs_loop_run_once(w->loop, true);
    }
    assert_string_equal(got, "pong!");
    cs_hybrid_relay_free(r);
    assert_int_not_equal(access(at.host, F_OK), 0);
    assert_int_equal(recv(fd, got, sizeof got, 0), 0);
    (void)close(fd);
}

static void relay_closes_what_the_guest_refuses(void **state)
{
    struct world *w = *state;
    cs_hybrid_relay *r = NULL;
    cs_endpoint at;
    char c;
    int fd = -1;
    ssize_t n = -1;

    at_name(&at, "enclave-7101.sock");
    assert_int_equal(cs_hybrid_relay_new(&r, w->loop, &at, &w->at, 7101), CS_OK);
    assert_int_equal(cs_endpoint_connect(&fd, &at, 1000), CS_OK);
    for (int i = 0; i < 1000 && (n = recv(fd, &c, 1, MSG_DONTWAIT)) < 0; i++) {
        (void)cs_loop_run_once(w->loop, true);
        serve(w);
    }
    assert_int_equal(n, 0);
    cs_hybrid_relay_free(r);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hybrid_asks_for_the_port_and_leaves_what_follows, setup, teardown),
        cmocka_unit_test_setup_teardown(hybrid_refuses_other_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(hybrid_gives_up_on_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(hybrid_without_daemon_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(hybrid_given_up_calls_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(relay_pumps_and_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(relay_closes_what_the_guest_refuses, setup, teardown),
    };
    if (mkdtemp(dir) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(dir);
    return failed;
}
