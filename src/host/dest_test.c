/* Destinations and proxies: lookups that fail and come back, addresses that do not answer, who may connect, how many, the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "host/dest.h"
#include "host/metrics.h"
#include "host/proxy.h"
#include "host/relay.h"

#define WAIT_MS 20000

/* ---------------------------------------------------------------- a resolver that does as it is told */

static struct {
    pthread_mutex_t lock;
    cs_err err;
    cs_addrs addrs;
    atomic_uint asked;
    atomic_bool hangs;
} names = {.lock = PTHREAD_MUTEX_INITIALIZER};

static cs_err look_up(cs_addrs *out, const char *host, int family)
{
    while (atomic_load(&names.hangs)) {
        (void)usleep(1000);
    }
    atomic_fetch_add(&names.asked, 1);
    (void)pthread_mutex_lock(&names.lock);
    cs_err err = names.err;
    cs_addrs addrs = names.addrs;
    (void)pthread_mutex_unlock(&names.lock);
    assert_string_equal(host, "kms.example");
    if (err == CS_OK) {
        *out = addrs;
    }
    return err;
}

static void answer(cs_err err, const char *const *texts)
{
    (void)pthread_mutex_lock(&names.lock);
    names.err = err;
    names.addrs = (cs_addrs){0};
    for (; texts != NULL && *texts != NULL; texts++) {
        (void)snprintf(names.addrs.a[names.addrs.num].text, sizeof names.addrs.a[0].text, "%s", *texts);
        names.addrs.a[names.addrs.num++].v6 = strchr(*texts, ':') != NULL;
    }
    (void)pthread_mutex_unlock(&names.lock);
}

/* ---------------------------------------------------------------- dials */

typedef struct env {
    cs_loop *loop;
    cs_endpoint to; /* kms.example, the port of a listener on 127.0.0.1 */
    int target;
} env;

typedef struct dialled {
    cs_dest_dial *dial;
    bool done;
    cs_err err;
    int fd;
} dialled;

static void on_dial(void *cookie, cs_err err, int fd)
{
    dialled *d = cookie;
    *d = (dialled){.done = true, .err = err, .fd = fd};
}

static void start(env *e)
{
    cs_endpoint at = {.scheme = CS_EP_TCP, .host = "127.0.0.1"};
    assert_int_equal(cs_loop_new(&e->loop), CS_OK);
    assert_int_equal(cs_endpoint_listen(&e->target, &at, 64), CS_OK);
    assert_int_equal(cs_endpoint_bound(&at, e->target), CS_OK);
    e->to = (cs_endpoint){.scheme = CS_EP_TCP, .port = at.port, .host = "kms.example"};
    atomic_store(&names.asked, 0);
    atomic_store(&names.hangs, false);
}

static void stop(env *e)
{
    (void)close(e->target);
    cs_loop_free(e->loop);
}

static bool until(env *e, const bool *flag)
{
    uint64_t end = cs_clock_mono_ms() + WAIT_MS;
    while (!*flag && cs_clock_mono_ms() < end) {
        (void)cs_loop_run_once(e->loop, false);
    }
    return *flag;
}

static void spin(env *e, uint64_t ms)
{
    uint64_t end = cs_clock_mono_ms() + ms;
    while (cs_clock_mono_ms() < end) {
        (void)cs_loop_run_once(e->loop, false);
    }
}

static cs_err dial(env *e, cs_dest *t, int *out_fd)
{
    dialled d = {.fd = -1};
    cs_err err = cs_dest_dial_new(&d.dial, &d.fd, t, on_dial, &d);
    if (err == CS_OK && d.dial != NULL) {
        assert_true(until(e, &d.done));
        err = d.err;
    }
    if (out_fd != NULL) {
        *out_fd = d.fd;
    } else if (d.fd >= 0) {
        (void)close(d.fd);
    }
    return err;
}

static cs_dest *new_dest(env *e, uint32_t connect_ms, const char *only)
{
    cs_dest_opts o = {.connect_ms = connect_ms, .lookup = look_up};
    cs_dest *t = NULL;
    if (only != NULL) {
        o.only.num = 1;
        (void)snprintf(o.only.a[0].text, sizeof o.only.a[0].text, "%s", only);
    }
    assert_int_equal(cs_dest_new(&t, e->loop, &e->to, &o), CS_OK);
    return t;
}

static const char *const good[] = {"127.0.0.1", NULL};

static void a_lookup_that_fails_is_one_connections_error_and_the_next_one_asks_again(void **state)
{
    env e;
    uint64_t all = 0, failed = 0;

    start(&e);
    answer(CS_E_DNS, NULL);
    cs_dest *t = new_dest(&e, 3000, NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dial(&e, t, NULL), CS_E_DNS);
    }
    answer(CS_OK, good);
    assert_int_equal(dial(&e, t, NULL), CS_OK);
    answer(CS_E_DNS, NULL); /* what is known goes on being used */
    assert_int_equal(dial(&e, t, NULL), CS_OK);
    cs_dest_lookups(t, &all, &failed);
    assert_true(failed >= 3);
    assert_int_equal(all, failed + 1);
    cs_dest_free(t);
    stop(&e);
}

static void a_lookup_that_hangs_holds_up_nothing_but_its_connection(void **state)
{
    env e;

    start(&e);
    answer(CS_OK, good);
    atomic_store(&names.hangs, true);
    cs_dest *t = new_dest(&e, 200, NULL);
    uint64_t before = cs_clock_mono_ms();
    assert_int_equal(dial(&e, t, NULL), CS_E_DNS);
    assert_true(cs_clock_mono_ms() - before >= 190);
    atomic_store(&names.hangs, false);
    for (int i = 0; i < 200 && dial(&e, t, NULL) != CS_OK; i++) {
        spin(&e, 5);
    }
    assert_int_equal(dial(&e, t, NULL), CS_OK);
    cs_dest_free(t);
    atomic_store(&names.hangs, true); /* freed in the middle of a lookup: nothing of it is used afterwards */
    t = new_dest(&e, 200, NULL);
    spin(&e, 20);
    cs_dest_free(t);
    atomic_store(&names.hangs, false);
    stop(&e);
    (void)usleep(50000); /* the thread ends by itself (the sanitizer sees what it would lose) */
}

/* 192.0.2.0/24 is nobody's [RFC5737]: its packets are lost, or refused by the machine itself. */
static void every_address_is_tried_and_the_one_that_worked_comes_first(void **state)
{
    static const char *const some[] = {"192.0.2.1", "::1", "192.0.2.2", "127.0.0.1", NULL};
    env e;

    start(&e);
    answer(CS_OK, some);
    cs_dest *t = new_dest(&e, 3000, NULL);
    assert_int_equal(dial(&e, t, NULL), CS_OK);
    uint64_t before = cs_clock_mono_ms();
    assert_int_equal(dial(&e, t, NULL), CS_OK);
    assert_true(cs_clock_mono_ms() - before < 200); /* not again 250 ms for each before it */
    cs_dest_free(t);
    stop(&e);
}

static void addresses_that_are_not_allowed_are_never_used(void **state)
{
    env e;

    start(&e);
    answer(CS_OK, good);
    cs_dest *t = new_dest(&e, 1000, "127.0.0.2");
    assert_int_equal(dial(&e, t, NULL), CS_E_PROXY_DENIED);
    cs_dest_free(t);
    t = new_dest(&e, 1000, "127.0.0.1");
    assert_int_equal(dial(&e, t, NULL), CS_OK);
    cs_dest_free(t);
    stop(&e);
}

static void refused_and_full_of_descriptors_are_told_apart(void **state)
{
    struct rlimit was, none;
    env e;

    start(&e);
    answer(CS_OK, good);
    cs_dest *t = new_dest(&e, 1000, NULL);
    assert_int_equal(dial(&e, t, NULL), CS_OK);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = was;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    cs_err err = dial(&e, t, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(err, CS_E_PROXY_FULL);
    (void)close(e.target);
    e.target = -1;
    assert_int_equal(dial(&e, t, NULL), CS_E_CONNECT);
    cs_dest_free(t);
    stop(&e);
}

/* A unix socket whose backlog is full refuses at once; that is waited for, as TCP would. */
static void a_full_backlog_is_waited_for(void **state)
{
    char dir[] = "/tmp/cs-dest-XXXXXX";
    env e;
    int listener = -1, fds[3];
    dialled d = {.fd = -1};
    cs_dest *t = NULL;

    start(&e);
    assert_non_null(mkdtemp(dir));
    cs_endpoint to = {.scheme = CS_EP_UNIX};
    (void)snprintf(to.host, sizeof to.host, "%s/s", dir);
    assert_int_equal(cs_endpoint_listen(&listener, &to, 0), CS_OK);
    assert_int_equal(cs_dest_new(&t, e.loop, &to, &(cs_dest_opts){.connect_ms = 5000}), CS_OK);
    assert_int_equal(dial(&e, t, &fds[0]), CS_OK);
    assert_int_equal(cs_dest_dial_new(&d.dial, &d.fd, t, on_dial, &d), CS_OK);
    assert_non_null(d.dial);
    spin(&e, 50);
    assert_false(d.done);
    fds[1] = accept(listener, NULL, NULL);
    assert_true(until(&e, &d.done));
    assert_int_equal(d.err, CS_OK);
    fds[2] = d.fd;
    for (int i = 0; i < 3; i++) {
        (void)close(fds[i]);
    }
    (void)close(listener);
    (void)unlink(to.host);
    (void)rmdir(dir);
    cs_dest_free(t);
    stop(&e);
}

/* ---------------------------------------------------------------- proxies */

static cs_proxy *new_proxy(env *e, cs_endpoint *at, const cs_proxy_opts *o)
{
    cs_proxy *p = NULL;
    int fd = -1;
    *at = (cs_endpoint){.scheme = CS_EP_TCP, .host = "127.0.0.1"};
    assert_int_equal(cs_endpoint_listen(&fd, at, 64), CS_OK);
    assert_int_equal(cs_endpoint_bound(at, fd), CS_OK);
    assert_int_equal(cs_proxy_new(&p, e->loop, fd, &e->to, o), CS_OK);
    return p;
}

static int connect_to(env *e, const cs_endpoint *at)
{
    int fd = -1;
    assert_int_equal(cs_endpoint_connect(&fd, at, 2000), CS_OK);
    spin(e, 30);
    return fd;
}

static int what_is_read(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);
    return n < 0 ? -errno : (int)n;
}

static void one_too_many_is_reset_at_once_and_counted(void **state)
{
    const cs_proxy_opts o = {.name = "k", .conns_max = 2, .idle_ms = 60000, .lookup = look_up};
    cs_proxy_stats s;
    cs_endpoint at;
    env e;
    int fds[4];

    start(&e);
    answer(CS_OK, good);
    cs_proxy *p = new_proxy(&e, &at, &o);
    for (int i = 0; i < 3; i++) {
        fds[i] = connect_to(&e, &at);
    }
    assert_int_equal(what_is_read(fds[0]), -EAGAIN);
    assert_int_equal(what_is_read(fds[2]), -ECONNRESET);
    cs_relay_reset_close(fds[0]);
    spin(&e, 50);
    fds[3] = connect_to(&e, &at); /* a place became free */
    assert_int_equal(what_is_read(fds[3]), -EAGAIN);
    cs_proxy_count(&s, p);
    assert_int_equal(s.ended[CS_PROXY_FULL], 1);
    assert_int_equal(s.ended[CS_PROXY_RESET], 1);
    assert_int_equal(s.open, 2);
    assert_int_equal(cs_proxy_total(p), 4);
    cs_proxy_close(p); /* no more are taken; what is open goes on */
    int fd = -1;
    assert_int_equal(cs_endpoint_connect(&fd, &at, 500), CS_E_CONNECT);
    assert_int_equal(what_is_read(fds[1]), -EAGAIN);
    cs_proxy_free(p);
    assert_int_equal(what_is_read(fds[1]), -ECONNRESET);
    for (int i = 1; i < 4; i++) {
        (void)close(fds[i]);
    }
    stop(&e);
}

static void nobody_behind_the_proxy_is_a_reset_with_its_reason(void **state)
{
    const cs_proxy_opts o = {.name = "k", .conns_max = 9, .connect_ms = 300, .idle_ms = 60000, .lookup = look_up};
    cs_proxy_stats s;
    cs_endpoint at;
    env e;

    start(&e);
    answer(CS_E_DNS, NULL);
    cs_proxy *p = new_proxy(&e, &at, &o);
    int a = connect_to(&e, &at);
    spin(&e, 300);
    assert_int_equal(what_is_read(a), -ECONNRESET);
    (void)close(e.target);
    e.target = -1;
    answer(CS_OK, good);
    int b = connect_to(&e, &at);
    spin(&e, 300);
    assert_int_equal(what_is_read(b), -ECONNRESET);
    cs_proxy_count(&s, p);
    assert_int_equal(s.ended[CS_PROXY_DNS], 1);
    assert_int_equal(s.ended[CS_PROXY_CONNECT], 1);
    assert_int_equal(s.open, 0);
    (void)close(a);
    (void)close(b);
    cs_proxy_free(p);
    stop(&e);
}

static bool nobody(void *cookie, const cs_ep_peer *peer)
{
    return *(const bool *)cookie;
}

static void who_is_not_admitted_sees_a_reset(void **state)
{
    bool open = false;
    const cs_proxy_opts o = {
        .name = "k", .conns_max = 9, .idle_ms = 60000, .lookup = look_up, .admit = nobody, .cookie = &open};
    cs_proxy_stats s;
    cs_endpoint at;
    env e;

    start(&e);
    answer(CS_OK, good);
    cs_proxy *p = new_proxy(&e, &at, &o);
    int a = connect_to(&e, &at);
    assert_int_equal(what_is_read(a), -ECONNRESET);
    open = true;
    int b = connect_to(&e, &at);
    assert_int_equal(what_is_read(b), -EAGAIN);
    cs_proxy_count(&s, p);
    assert_int_equal(s.ended[CS_PROXY_PEER], 1);
    (void)close(a);
    (void)close(b);
    cs_proxy_free(p);
    stop(&e);
}

static void metrics_are_prometheus_text_and_labels_are_escaped(void **state)
{
    const cs_proxy_opts o = {.name = "a\"b\\c\nd", .conns_max = 7, .lookup = look_up};
    cs_metrics *m = NULL;
    cs_endpoint at, away = {.scheme = CS_EP_TCP, .host = "192.0.2.1", .port = 9464};
    env e;

    start(&e);
    answer(CS_OK, good);
    cs_proxy *p = new_proxy(&e, &at, &o);
    cs_buf text = cs_buf_heap(65536);
    assert_int_equal(cs_metrics_put(&text, &p, 1), CS_OK);
    assert_int_equal(cs_put_u8(&text, 0), CS_OK);
    const char *all = (const char *)text.p;
    assert_non_null(strstr(all, "countersign_proxy_connections_limit{proxy=\"a\\\"b\\\\c?d\"} 7\n"));
    assert_non_null(strstr(all, "# TYPE countersign_proxy_connections_total counter\n"));
    assert_non_null(strstr(all, ",result=\"dns\"} 0\n"));
    cs_buf_free(&text);
    assert_int_equal(cs_metrics_new(&m, e.loop, &away, &p, 1), CS_E_USAGE); /* not for others' eyes */
    assert_null(m);
    cs_proxy_free(p);
    stop(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lookup_that_fails_is_one_connections_error_and_the_next_one_asks_again),
        cmocka_unit_test(a_lookup_that_hangs_holds_up_nothing_but_its_connection),
        cmocka_unit_test(every_address_is_tried_and_the_one_that_worked_comes_first),
        cmocka_unit_test(addresses_that_are_not_allowed_are_never_used),
        cmocka_unit_test(refused_and_full_of_descriptors_are_told_apart),
        cmocka_unit_test(a_full_backlog_is_waited_for),
        cmocka_unit_test(one_too_many_is_reset_at_once_and_counted),
        cmocka_unit_test(nobody_behind_the_proxy_is_a_reset_with_its_reason),
        cmocka_unit_test(who_is_not_admitted_sees_a_reset),
        cmocka_unit_test(metrics_are_prometheus_text_and_labels_are_escaped),
    };
    cs_log_init("dest_test", CS_LOG_ERROR, STDERR_FILENO);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
