/* sign-service between a client and a core that the test plays: what the front must not lose, and what it must refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/h2/wire.h"
#include "service/service.h"

struct front {
    cs_service s;
    cs_endpoint grpc_ep;
    char dir[64];
    int core; /* our end of the link */
};

static void at(cs_endpoint *ep, const struct front *f, const char *name)
{
    *ep = (cs_endpoint){.scheme = CS_EP_UNIX};
    (void)snprintf(ep->host, sizeof ep->host, "%s/%s", f->dir, name);
}

static int listener(const struct front *f, const char *name)
{
    cs_endpoint ep;
    int fd = -1;

    at(&ep, f, name);
    assert_int_equal(cs_endpoint_listen(&fd, &ep, 8), CS_OK);
    return fd;
}

static void set_up(struct front *f)
{
    cs_grpc_method methods[] = {cs_service_party_method, cs_service_status_method, cs_service_health_watch_method, {0}};
    int pair[2];

    *f = (struct front){.dir = "/tmp/front.XXXXXX"};
    assert_non_null(mkdtemp(f->dir));
    cs_log_init("front_test", CS_LOG_ERROR, STDERR_FILENO);
    f->s.config = (cs_service_config){.parent_cid = 3, .shares_max = 1u << 20, .sessions_max = 64};
    assert_int_equal(cs_loop_new(&f->s.loop), CS_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    f->core = pair[0];
    assert_int_equal(cs_service_core_open(&f->s, pair[1]), CS_OK);
    at(&f->grpc_ep, f, "grpc");
    assert_int_equal(cs_grpc_server_new(&f->s.grpc, f->s.loop, listener(f, "grpc"), methods, NULL, &f->s), CS_OK);
    assert_int_equal(cs_injector_new(&f->s.inject_age, &f->s, CS_INJECT_AGE, listener(f, "age")), CS_OK);
    assert_int_equal(cs_injector_new(&f->s.inject_shares, &f->s, CS_INJECT_SHARES, listener(f, "shares")), CS_OK);
}

static void tear_down(struct front *f)
{
    static const char *const names[] = {"grpc", "age", "shares"};

    cs_injector_free(f->s.inject_age);
    cs_injector_free(f->s.inject_shares);
    f->s.core_gone = true;
    cs_grpc_server_free(f->s.grpc);
    cs_service_core_close(&f->s);
    cs_idmap_free(&f->s.streams);
    cs_loop_free(f->s.loop);
    for (size_t i = 0; i < 3; i++) {
        cs_endpoint ep;
        at(&ep, f, names[i]);
        (void)unlink(ep.host);
    }
    (void)rmdir(f->dir);
    if (f->core >= 0) {
        (void)close(f->core);
    }
}

static int dial(const struct front *f, const char *name)
{
    cs_endpoint ep;
    int fd = -1;

    at(&ep, f, name);
    assert_int_equal(cs_endpoint_connect(&fd, &ep, 1000), CS_OK);
    return fd;
}

/* Turns of the loop until core has a frame; its type and id. */
static void core_gets(struct front *f, cs_rpc_type type, uint64_t *id)
{
    static uint8_t packet[CS_RPC_MAX];
    cs_rpc_frame frame;
    ssize_t n = -1;

    for (int i = 0; n < 0 && i < 1000; i++) {
        (void)cs_loop_run_once(f->s.loop, false);
        n = recv(f->core, packet, sizeof packet, MSG_DONTWAIT);
    }
    assert_true(n > 0);
    assert_int_equal(cs_rpc_decode(&frame, cs_slice_of(packet, (size_t)n)), CS_OK);
    assert_int_equal(frame.type, type);
    if (id != NULL) {
        *id = frame.id;
    }
}

static void core_gets_nothing(struct front *f)
{
    uint8_t c;

    for (int i = 0; i < 20; i++) {
        (void)cs_loop_run_once(f->s.loop, false);
    }
    assert_int_equal(recv(f->core, &c, 1, MSG_DONTWAIT), -1);
}

static void core_says(const struct front *f, const cs_rpc_frame *frame)
{
    static uint8_t mem[CS_RPC_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_rpc_encode(&b, frame), CS_OK);
    assert_int_equal(send(f->core, b.p, b.len, 0), (ssize_t)b.len);
}

/* The injector's line has this code. */
static void answers(struct front *f, int fd, const char *code)
{
    char line[1024] = {0}, want[64];
    size_t len = 0;

    for (int i = 0; strchr(line, '\n') == NULL && i < 1000; i++) {
        (void)cs_loop_run_once(f->s.loop, false);
        ssize_t n = recv(fd, line + len, sizeof line - 1 - len, MSG_DONTWAIT);
        len += n > 0 ? (size_t)n : 0;
    }
    (void)snprintf(want, sizeof want, "{\"code\":\"%s\",", code);
    assert_memory_equal(line, want, strlen(want));
    (void)close(fd);
}

static void send_all(struct front *f, int fd, size_t len)
{
    static uint8_t block[65536];

    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, block, len - done < sizeof block ? len - done : sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            return; /* refused meanwhile */
        }
        done += n > 0 ? (size_t)n : 0;
        (void)cs_loop_run_once(f->s.loop, false);
    }
}

/* ---- the link to core ---- */

static void a_full_queue_never_loses_the_end_of_a_stream(void **state)
{
    static uint8_t body[200000], packet[CS_RPC_MAX];
    cs_rpc_frame data = {.type = CS_RPC_PARTY_DATA, .id = 7}, last = {0};
    struct front f;
    cs_err err = CS_OK;
    ssize_t n = 0;

    (void)state;
    set_up(&f);
    data.f[0].s = cs_slice_of(body, sizeof body);
    while ((err = cs_service_send(&f.s, &data)) == CS_OK) {
    }
    assert_int_equal(err, CS_E_RANGE);
    cs_service_send_end(&f.s, CS_RPC_PARTY_CLOSE, 7);
    for (int idle = 0; idle < 20;) {
        (void)cs_loop_run_once(f.s.loop, false);
        n = recv(f.core, packet, sizeof packet, MSG_DONTWAIT);
        idle = n < 0 ? idle + 1 : 0;
        if (n > 0) {
            assert_int_equal(cs_rpc_decode(&last, cs_slice_of(packet, (size_t)n)), CS_OK);
        }
    }
    assert_int_equal(last.type, CS_RPC_PARTY_CLOSE);
    assert_int_equal(last.id, 7);
    tear_down(&f);
}

static void a_restarted_service_does_not_use_the_ids_of_the_one_before(void **state)
{
    struct front f;

    (void)state;
    set_up(&f);
    uint64_t first = f.s.next_id;
    assert_true(first > 1000000); /* room for all ids that the first one can give in its life */
    tear_down(&f);
    set_up(&f);
    assert_true(f.s.next_id > first + 1000);
    tear_down(&f);
}

static void the_end_of_the_link_ends_the_program(void **state)
{
    struct front f;

    (void)state;
    set_up(&f);
    (void)close(f.core);
    f.core = -1;
    cs_loop_run(f.s.loop);
    assert_true(f.s.core_gone);
    tear_down(&f);
}

/* ---- injectors ---- */

static void a_transfer_that_the_front_breaks_off_is_cancelled(void **state)
{
    struct front f;
    uint64_t id = 0, cancelled = 0;

    (void)state;
    set_up(&f);
    int fd = dial(&f, "shares");
    send_all(&f, fd, CS_RPC_CHUNK + 1000);
    core_gets(&f, CS_RPC_SHARES_BEGIN, &id);
    core_gets(&f, CS_RPC_SHARES_CHUNK, NULL);
    (void)close(fd);
    /* a unix socket that closes is an end of file, so core's age reader decides; resets are seen with vsock and tcp only */
    core_gets(&f, CS_RPC_SHARES_CHUNK, NULL);
    core_gets(&f, CS_RPC_SHARES_END, NULL);
    for (int i = 0; i < 5; i++) {
        (void)cs_loop_run_once(f.s.loop, false);
    }
    cs_rpc_frame done = {.type = CS_RPC_REPLY, .id = id};
    done.f[0].s = cs_slice_str("FORMAT");
    core_says(&f, &done);
    for (int i = 0; i < 20; i++) {
        (void)cs_loop_run_once(f.s.loop, false);
    }
    fd = dial(&f, "shares");
    send_all(&f, fd, (1u << 20) + 70000); /* over shares_max */
    core_gets(&f, CS_RPC_SHARES_BEGIN, &id);
    for (int i = 0; i < 5; i++) {
        core_gets(&f, CS_RPC_SHARES_CHUNK, NULL);
    }
    core_gets(&f, CS_RPC_SHARES_CANCEL, &cancelled);
    assert_int_equal(cancelled, id);
    answers(&f, fd, "TOO_LARGE");
    tear_down(&f);
}

static void an_empty_file_is_refused_and_core_hears_nothing(void **state)
{
    static const char *const ports[] = {"age", "shares"};
    struct front f;

    (void)state;
    set_up(&f);
    for (size_t i = 0; i < 2; i++) {
        int fd = dial(&f, ports[i]);
        (void)shutdown(fd, SHUT_WR);
        answers(&f, fd, "INJECT_EMPTY");
    }
    core_gets_nothing(&f);
    tear_down(&f);
}

static void an_age_key_above_64_kib_is_refused(void **state)
{
    struct front f;

    (void)state;
    set_up(&f);
    int fd = dial(&f, "age");
    send_all(&f, fd, 65537);
    answers(&f, fd, "TOO_LARGE");
    core_gets_nothing(&f);
    tear_down(&f);
}

static void a_second_injector_is_busy_while_the_first_waits_for_core(void **state)
{
    struct front f;
    uint64_t id = 0;

    (void)state;
    set_up(&f);
    int first = dial(&f, "age");
    send_all(&f, first, 100);
    (void)shutdown(first, SHUT_WR);
    core_gets(&f, CS_RPC_INJECT_AGE, &id);
    int second = dial(&f, "age");
    answers(&f, second, "INJECT_BUSY");
    cs_rpc_frame ok = {.type = CS_RPC_REPLY, .id = id};
    ok.f[0].s = cs_slice_str("OK");
    core_says(&f, &ok);
    answers(&f, first, "OK");
    second = dial(&f, "age"); /* the place is free again */
    (void)shutdown(second, SHUT_WR);
    answers(&f, second, "INJECT_EMPTY");
    tear_down(&f);
}

/* ---- clients ---- */

struct client {
    cs_err ended;
    bool over;
    unsigned messages;
    uint8_t last[16];
};

static void client_message(cs_grpc_call *c, void *cookie, cs_slice m)
{
    struct client *k = cookie;

    (void)c;
    k->messages++;
    memcpy(k->last, m.p, m.len < sizeof k->last ? m.len : sizeof k->last);
}

static void client_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *r)
{
    struct client *k = cookie;

    (void)c;
    k->over = true;
    k->ended = r->err;
}

static const cs_grpc_call_events client_events = {.on_message = client_message, .on_end = client_end};

static void a_client_that_never_reads_loses_its_stream_and_core_is_told(void **state)
{
    static uint8_t body[40000], packet[1024];
    struct front f;
    struct client k = {0};
    cs_grpc_client *g = NULL;
    cs_grpc_call *call = NULL;
    uint64_t id = 0;
    cs_rpc_frame got = {0};

    (void)state;
    set_up(&f);
    assert_int_equal(cs_grpc_client_new(&g, f.s.loop, &f.grpc_ep, NULL), CS_OK);
    assert_int_equal(cs_grpc_call_new(&call, g, "/countersign.v1.Party/Session", 0, &client_events, &k), CS_OK);
    core_gets(&f, CS_RPC_PARTY_OPEN, &id);
    cs_grpc_read(call, false); /* no more window than the first 1 MiB */
    cs_rpc_frame data = {.type = CS_RPC_PARTY_SEND, .id = id};
    data.f[0].s = cs_slice_of(body, sizeof body);
    for (int i = 0; i < 200 && got.type == 0; i++) {
        core_says(&f, &data);
        (void)cs_loop_run_once(f.s.loop, false);
        ssize_t n = recv(f.core, packet, sizeof packet, MSG_DONTWAIT);
        if (n > 0) {
            assert_int_equal(cs_rpc_decode(&got, cs_slice_of(packet, (size_t)n)), CS_OK);
        }
    }
    assert_int_equal(got.type, CS_RPC_PARTY_CLOSE);
    assert_int_equal(got.id, id);
    assert_int_equal(f.s.streams.used, 0);
    cs_grpc_client_free(g);
    tear_down(&f);
}

/* Core's answer to a STATUS frame. */
static void status_is(struct front *f, uint64_t id, const char *phase)
{
    char json[64];
    cs_rpc_frame r = {.type = CS_RPC_STATUS_REPLY, .id = id};

    (void)snprintf(json, sizeof json, "{\"phase\":\"%s\"}", phase);
    r.f[0].s = cs_slice_str(json);
    core_says(f, &r);
}

static void watchers_of_health_share_one_question_to_core(void **state)
{
    static const uint8_t empty[1];
    struct front f;
    struct client k[3] = {0};
    cs_grpc_client *g = NULL;
    uint64_t id = 0;

    (void)state;
    set_up(&f);
    assert_int_equal(cs_grpc_client_new(&g, f.s.loop, &f.grpc_ep, NULL), CS_OK);
    for (int i = 0; i < 3; i++) {
        cs_grpc_call *call = NULL;
        cs_slice none = cs_slice_of(empty, 0);
        assert_int_equal(cs_grpc_call_new(&call, g, "/grpc.health.v1.Health/Watch", 0, &client_events, &k[i]), CS_OK);
        assert_int_equal(cs_grpc_send(call, &none, 1), CS_OK);
        cs_grpc_end(call);
    }
    core_gets(&f, CS_RPC_STATUS, &id);
    core_gets_nothing(&f); /* not one question for each */
    status_is(&f, id, "SERVING");
    for (int i = 0; i < 200 && (k[0].messages == 0 || k[1].messages == 0 || k[2].messages == 0); i++) {
        (void)cs_loop_run_once(f.s.loop, true);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(k[i].messages, 1);
        assert_memory_equal(k[i].last, "\x08\x01", 2); /* SERVING */
    }
    /* a change is told */
    for (int i = 0; i < 100 && recv(f.core, &(uint8_t){0}, 1, MSG_DONTWAIT | MSG_PEEK) < 0; i++) {
        (void)cs_loop_run_once(f.s.loop, true);
    }
    core_gets(&f, CS_RPC_STATUS, &id);
    status_is(&f, id, "STOPPED");
    for (int i = 0; i < 200 && (k[0].messages < 2 || k[1].messages < 2 || k[2].messages < 2); i++) {
        (void)cs_loop_run_once(f.s.loop, true);
    }
    for (int i = 0; i < 3; i++) {
        assert_memory_equal(k[i].last, "\x08\x02", 2); /* NOT_SERVING */
    }
    cs_grpc_client_free(g);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue_never_loses_the_end_of_a_stream),
        cmocka_unit_test(a_restarted_service_does_not_use_the_ids_of_the_one_before),
        cmocka_unit_test(the_end_of_the_link_ends_the_program),
        cmocka_unit_test(a_transfer_that_the_front_breaks_off_is_cancelled),
        cmocka_unit_test(an_empty_file_is_refused_and_core_hears_nothing),
        cmocka_unit_test(an_age_key_above_64_kib_is_refused),
        cmocka_unit_test(a_second_injector_is_busy_while_the_first_waits_for_core),
        cmocka_unit_test(a_client_that_never_reads_loses_its_stream_and_core_is_told),
        cmocka_unit_test(watchers_of_health_share_one_question_to_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
