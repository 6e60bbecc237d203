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

#include "service/testfront.h"

/* The injector's line has this code. */
static void answers(testfront *f, int fd, const char *code)
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

static void send_all(testfront *f, int fd, size_t len)
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
    testfront f;
    cs_err err = CS_OK;
    ssize_t n = 0;

    (void)state;
    testfront_set_up(&f);
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
    testfront_tear_down(&f);
}

static void a_restarted_service_does_not_use_the_ids_of_the_one_before(void **state)
{
    testfront f;

    (void)state;
    testfront_set_up(&f);
    uint64_t first = f.s.next_id;
    assert_true(first > 1000000); /* room for all ids that the first one can give in its life */
    testfront_tear_down(&f);
    testfront_set_up(&f);
    assert_true(f.s.next_id > first + 1000);
    testfront_tear_down(&f);
}

static void the_end_of_the_link_ends_the_program(void **state)
{
    testfront f;

    (void)state;
    testfront_set_up(&f);
    (void)close(f.core);
    f.core = -1;
    cs_loop_run(f.s.loop);
    assert_true(f.s.core_gone);
    testfront_tear_down(&f);
}

/* ---- injectors ---- */

static void a_transfer_that_the_front_breaks_off_is_cancelled(void **state)
{
    testfront f;
    uint64_t id = 0, cancelled = 0;

    (void)state;
    testfront_set_up(&f);
    int fd = testfront_dial(&f, "shares");
    send_all(&f, fd, CS_RPC_CHUNK + 1000);
    testfront_core_gets(&f, CS_RPC_SHARES_BEGIN, &id);
    testfront_core_gets(&f, CS_RPC_SHARES_CHUNK, NULL);
    (void)close(fd);
    /* a unix socket that closes is an end of file, so core's age reader decides; resets are seen with vsock and tcp only */
    testfront_core_gets(&f, CS_RPC_SHARES_CHUNK, NULL);
    testfront_core_gets(&f, CS_RPC_SHARES_END, NULL);
    for (int i = 0; i < 5; i++) {
        (void)cs_loop_run_once(f.s.loop, false);
    }
    cs_rpc_frame done = {.type = CS_RPC_REPLY, .id = id};
    done.f[0].s = cs_slice_str("FORMAT");
    testfront_core_says(&f, &done);
    for (int i = 0; i < 20; i++) {
        (void)cs_loop_run_once(f.s.loop, false);
    }
    fd = testfront_dial(&f, "shares");
    send_all(&f, fd, (1u << 20) + 70000); /* over shares_max */
    testfront_core_gets(&f, CS_RPC_SHARES_BEGIN, &id);
    for (int i = 0; i < 5; i++) {
        testfront_core_gets(&f, CS_RPC_SHARES_CHUNK, NULL);
    }
    testfront_core_gets(&f, CS_RPC_SHARES_CANCEL, &cancelled);
    assert_int_equal(cancelled, id);
    answers(&f, fd, "TOO_LARGE");
    testfront_tear_down(&f);
}

static void an_empty_file_is_refused_and_core_hears_nothing(void **state)
{
    static const char *const ports[] = {"age", "shares"};
    testfront f;

    (void)state;
    testfront_set_up(&f);
    for (size_t i = 0; i < 2; i++) {
        int fd = testfront_dial(&f, ports[i]);
        (void)shutdown(fd, SHUT_WR);
        answers(&f, fd, "INJECT_EMPTY");
    }
    testfront_core_gets_nothing(&f);
    testfront_tear_down(&f);
}

static void an_age_key_above_64_kib_is_refused(void **state)
{
    testfront f;

    (void)state;
    testfront_set_up(&f);
    int fd = testfront_dial(&f, "age");
    send_all(&f, fd, 65537);
    answers(&f, fd, "TOO_LARGE");
    testfront_core_gets_nothing(&f);
    testfront_tear_down(&f);
}

static void a_second_injector_is_busy_while_the_first_waits_for_core(void **state)
{
    testfront f;
    uint64_t id = 0;

    (void)state;
    testfront_set_up(&f);
    int first = testfront_dial(&f, "age");
    send_all(&f, first, 100);
    (void)shutdown(first, SHUT_WR);
    testfront_core_gets(&f, CS_RPC_INJECT_AGE, &id);
    int second = testfront_dial(&f, "age");
    answers(&f, second, "INJECT_BUSY");
    cs_rpc_frame ok = {.type = CS_RPC_REPLY, .id = id};
    ok.f[0].s = cs_slice_str("OK");
    testfront_core_says(&f, &ok);
    answers(&f, first, "OK");
    second = testfront_dial(&f, "age"); /* the place is free again */
    (void)shutdown(second, SHUT_WR);
    answers(&f, second, "INJECT_EMPTY");
    testfront_tear_down(&f);
}

/* ---- clients ---- */

static void a_client_that_never_reads_loses_its_stream_and_core_is_told(void **state)
{
    static uint8_t body[40000], packet[1024];
    testfront f;
    testfront_client k = {0};
    cs_grpc_client *g = NULL;
    cs_grpc_call *call = NULL;
    uint64_t id = 0;
    cs_rpc_frame got = {0};

    (void)state;
    testfront_set_up(&f);
    assert_int_equal(cs_grpc_client_new(&g, f.s.loop, &f.grpc_ep, NULL), CS_OK);
    assert_int_equal(cs_grpc_call_new(&call, g, "/countersign.v1.Party/Session", 0, &testfront_events, &k), CS_OK);
    testfront_core_gets(&f, CS_RPC_PARTY_OPEN, &id);
    cs_grpc_read(call, false); /* no more window than the first 1 MiB */
    cs_rpc_frame data = {.type = CS_RPC_PARTY_SEND, .id = id};
    data.f[0].s = cs_slice_of(body, sizeof body);
    for (int i = 0; i < 200 && got.type == 0; i++) {
        testfront_core_says(&f, &data);
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
    testfront_tear_down(&f);
}

/* Core's answer to a STATUS frame. */
static void status_is(testfront *f, uint64_t id, const char *phase)
{
    char json[64];
    cs_rpc_frame r = {.type = CS_RPC_STATUS_REPLY, .id = id};

    (void)snprintf(json, sizeof json, "{\"phase\":\"%s\"}", phase);
    r.f[0].s = cs_slice_str(json);
    testfront_core_says(f, &r);
}

static void watchers_of_health_share_one_question_to_core(void **state)
{
    static const uint8_t empty[1];
    testfront f;
    testfront_client k[3] = {0};
    cs_grpc_client *g = NULL;
    uint64_t id = 0;

    (void)state;
    testfront_set_up(&f);
    assert_int_equal(cs_grpc_client_new(&g, f.s.loop, &f.grpc_ep, NULL), CS_OK);
    for (int i = 0; i < 3; i++) {
        cs_grpc_call *call = NULL;
        cs_slice none = cs_slice_of(empty, 0);
        assert_int_equal(cs_grpc_call_new(&call, g, "/grpc.health.v1.Health/Watch", 0, &testfront_events, &k[i]),
                         CS_OK);
        assert_int_equal(cs_grpc_send(call, &none, 1), CS_OK);
        cs_grpc_end(call);
    }
    testfront_core_gets(&f, CS_RPC_STATUS, &id);
    testfront_core_gets_nothing(&f); /* not one question for each */
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
    testfront_core_gets(&f, CS_RPC_STATUS, &id);
    status_is(&f, id, "STOPPED");
    for (int i = 0; i < 200 && (k[0].messages < 2 || k[1].messages < 2 || k[2].messages < 2); i++) {
        (void)cs_loop_run_once(f.s.loop, true);
    }
    for (int i = 0; i < 3; i++) {
        assert_memory_equal(k[i].last, "\x08\x02", 2); /* NOT_SERVING */
    }
    cs_grpc_client_free(g);
    testfront_tear_down(&f);
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
