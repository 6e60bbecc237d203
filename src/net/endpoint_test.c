/* Endpoints: grammar, rules, sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/endpoint.h"

static cs_err parse(cs_endpoint *ep, const char *text)
{
    return cs_endpoint_parse(ep, cs_slice_str(text));
}

static void endpoint_round_trips(void **state)
{
    static const char *const texts[] = {
        "vsock:3:5000",        "vsock:any:50051",  "vsock:parent:7110",
        "vsock:16:4294967294", "unix:/run/x.sock", "tcp:127.0.0.1:0",
        "tcp:[::1]:65535",     "tcp:localhost:80", "tcp:kms.eu-west-1.amazonaws.com:443"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cs_endpoint ep;
        uint8_t mem[CS_EP_TEXT_MAX];
        cs_buf b = cs_buf_wrap(mem, sizeof mem);
        assert_int_equal(parse(&ep, texts[i]), CS_OK);
        assert_int_equal(cs_endpoint_format(&b, &ep), CS_OK);
        assert_true(cs_slice_eq_str(cs_buf_slice(&b), texts[i]));
    }
}

static void endpoint_refuses_bad_syntax(void **state)
{
    static const char *const bad[] = {"",           "vsock",        "vsock:",      "vsock:3",     "vsock::5000",
                                      "vsock:3:",   "vsock:x:1",    "vsock:03:1",  "vsock:3:1x",  "vsock:3:-1",
                                      "unix:",      "unix:/",       "unix:x",      "tcp:",        "tcp::80",
                                      "tcp:a b:80", "tcp:127.1:80", "tcp:[::1:80", "tcp:[zz]:80", "tcp:::1:80",
                                      "http:x:80",  "VSOCK:3:1",    "tcp:-x:80",   "tcp:.x:80",   "tcp:[]:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cs_endpoint ep = {.port = 77};
        assert_int_equal(parse(&ep, bad[i]), CS_E_FORMAT);
        assert_int_equal(ep.port, 77);
    }
}

static void endpoint_refuses_out_of_range(void **state)
{
    char path[200] = "unix:/";
    memset(path + 6, 'a', 107);
    static const char *const bad[] = {"vsock:3:0", "vsock:3:4294967295", "vsock:4294967295:1", "tcp:1.2.3.4:65536"};
    cs_endpoint ep;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(&ep, bad[i]), CS_E_RANGE);
    }
    assert_int_equal(parse(&ep, path), CS_E_RANGE);
    path[6 + 106] = '\0';
    assert_int_equal(parse(&ep, path), CS_OK);
    cs_slice nul = cs_slice_of("unix:/a\0b", 9);
    assert_int_equal(cs_endpoint_parse(&ep, nul), CS_E_FORMAT);
}

static void endpoint_parent_takes_the_measured_cid(void **state)
{
    cs_endpoint ep;
    assert_int_equal(parse(&ep, "vsock:parent:5000"), CS_OK);
    assert_int_equal(ep.cid, 3);
    cs_endpoint_set_parent(&ep, 2);
    assert_int_equal(ep.cid, 2);
    assert_int_equal(parse(&ep, "vsock:7:5000"), CS_OK);
    cs_endpoint_set_parent(&ep, 2);
    assert_int_equal(ep.cid, 7);
}

static void endpoint_peer_cid_is_checked(void **state)
{
    cs_ep_peer peer = {.scheme = CS_EP_VSOCK, .cid = 3};
    assert_int_equal(cs_ep_peer_check(&peer, 3), CS_OK);
    assert_int_equal(cs_ep_peer_check(&peer, 2), CS_E_AUTH);
    assert_int_equal(cs_ep_peer_check(&peer, CS_EP_CID_ANY), CS_OK);
    peer.scheme = CS_EP_UNIX;
    assert_int_equal(cs_ep_peer_check(&peer, 2), CS_OK);
}

static void unix_listener_replaces_only_dead_sockets(void **state)
{
    char dir[] = "/tmp/cs-ep-XXXXXX";
    assert_non_null(mkdtemp(dir));
    cs_endpoint ep = {.scheme = CS_EP_UNIX};
    snprintf(ep.host, sizeof ep.host, "%s/s", dir);
    int a = -1;
    int b = -1;
    int c = -1;
    assert_int_equal(cs_endpoint_listen(&a, &ep, 4), CS_OK);
    assert_int_equal(cs_endpoint_connect(&c, &ep, 1000), CS_OK);
    cs_ep_peer peer;
    assert_int_equal(cs_endpoint_accept(&b, &peer, a), CS_OK);
    assert_int_equal(peer.uid, getuid());
    close(b);
    assert_int_equal(cs_endpoint_accept(&b, &peer, a), CS_E_NOT_FOUND);
    assert_int_equal(cs_endpoint_listen(&b, &ep, 4), CS_E_EXISTS);
    close(a);
    close(c);
    assert_int_equal(cs_endpoint_connect(&c, &ep, 1000), CS_E_CONNECT);
    assert_int_equal(cs_endpoint_listen(&a, &ep, 4), CS_OK); /* left-over file of the closed listener */
    close(a);
    unlink(ep.host);
    FILE *f = fopen(ep.host, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(cs_endpoint_listen(&a, &ep, 4), CS_E_EXISTS);
    unlink(ep.host);
    rmdir(dir);
}

static void inherited_descriptor_must_be_a_listener(void **state)
{
    int pair[2];
    cs_ep_scheme scheme;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(cs_endpoint_adopt(&scheme, pair[0]), CS_E_IO);
    assert_int_equal(cs_endpoint_adopt(&scheme, -1), CS_E_IO);
    cs_endpoint ep;
    cs_endpoint bound;
    int fd = -1;
    assert_int_equal(parse(&ep, "tcp:127.0.0.1:0"), CS_OK);
    assert_int_equal(cs_endpoint_listen(&fd, &ep, 4), CS_OK);
    assert_int_equal(cs_endpoint_adopt(&scheme, fd), CS_OK);
    assert_int_equal(scheme, CS_EP_TCP);
    assert_int_equal(cs_endpoint_bound(&bound, fd), CS_OK);
    assert_true(bound.port > 0);
    assert_string_equal(bound.host, "127.0.0.1");
    close(fd);
    close(pair[0]);
    close(pair[1]);
}

static void unix_path_that_does_not_fit_is_refused_not_cut(void **state)
{
    cs_endpoint ep = {.scheme = CS_EP_UNIX};
    int fd = -1;

    memset(ep.host, 'x', 120); /* made without the parser, e.g. below a deep run directory */
    memcpy(ep.host, "/tmp/", 5);
    assert_int_equal(cs_endpoint_listen(&fd, &ep, 1), CS_E_RANGE);
    assert_int_equal(cs_endpoint_connect(&fd, &ep, 10), CS_E_RANGE);
}

static void any_cannot_be_dialled_and_parent_cannot_listen(void **state)
{
    cs_endpoint ep;
    int fd = -1;
    assert_int_equal(parse(&ep, "vsock:any:5000"), CS_OK);
    assert_int_equal(cs_endpoint_connect(&fd, &ep, 100), CS_E_USAGE);
    assert_int_equal(parse(&ep, "vsock:parent:5000"), CS_OK);
    assert_int_equal(cs_endpoint_listen(&fd, &ep, 1), CS_E_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoint_round_trips),
        cmocka_unit_test(endpoint_refuses_bad_syntax),
        cmocka_unit_test(endpoint_refuses_out_of_range),
        cmocka_unit_test(endpoint_parent_takes_the_measured_cid),
        cmocka_unit_test(endpoint_peer_cid_is_checked),
        cmocka_unit_test(unix_listener_replaces_only_dead_sockets),
        cmocka_unit_test(inherited_descriptor_must_be_a_listener),
        cmocka_unit_test(unix_path_that_does_not_fit_is_refused_not_cut),
        cmocka_unit_test(any_cannot_be_dialled_and_parent_cannot_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
