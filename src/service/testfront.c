/* See testfront.h. */
#include "service/testfront.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void at(cs_endpoint *ep, const testfront *f, const char *name)
{
    *ep = (cs_endpoint){.scheme = CS_EP_UNIX};
    (void)snprintf(ep->host, sizeof ep->host, "%s/%s", f->dir, name);
}

static int listener(const testfront *f, const char *name)
{
    cs_endpoint ep;
    int fd = -1;

    at(&ep, f, name);
    assert_int_equal(cs_endpoint_listen(&fd, &ep, 8), CS_OK);
    return fd;
}

void testfront_set_up(testfront *f)
{
    cs_grpc_method methods[] = {cs_service_party_method, cs_service_status_method,      cs_service_health_watch_method,
                                cs_service_tee_method,   cs_service_tee_entries_method, {0}};
    int pair[2];

    *f = (testfront){.dir = "/tmp/front.XXXXXX"};
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

void testfront_tear_down(testfront *f)
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

int testfront_dial(const testfront *f, const char *name)
{
    cs_endpoint ep;
    int fd = -1;

    at(&ep, f, name);
    assert_int_equal(cs_endpoint_connect(&fd, &ep, 1000), CS_OK);
    return fd;
}

/* Turns of the loop until core has a frame; its type and id. */
void testfront_core_gets(testfront *f, cs_rpc_type type, uint64_t *id)
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

void testfront_core_gets_nothing(testfront *f)
{
    uint8_t c;

    for (int i = 0; i < 20; i++) {
        (void)cs_loop_run_once(f->s.loop, false);
    }
    assert_int_equal(recv(f->core, &c, 1, MSG_DONTWAIT), -1);
}

void testfront_core_says(const testfront *f, const cs_rpc_frame *frame)
{
    static uint8_t mem[CS_RPC_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_rpc_encode(&b, frame), CS_OK);
    assert_int_equal(send(f->core, b.p, b.len, 0), (ssize_t)b.len);
}

static void client_message(cs_grpc_call *c, void *cookie, cs_slice m)
{
    testfront_client *k = cookie;

    (void)c;
    k->messages++;
    k->last_len = m.len;
    memcpy(k->last, m.p, m.len < sizeof k->last ? m.len : sizeof k->last);
}

static void client_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *r)
{
    testfront_client *k = cookie;

    (void)c;
    k->over = true;
    k->ended = r->err;
}

const cs_grpc_call_events testfront_events = {.on_message = client_message, .on_end = client_end};
