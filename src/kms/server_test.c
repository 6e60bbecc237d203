/* Tests of kms/server: what core hears of a sign-kms that starts, and of one whose link ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "kms/server.h"

static void a_new_process_says_at_once_that_it_has_no_credentials(void **state)
{
    static uint8_t mem[CS_RPC_MAX];
    cs_kms_config config = {.parent_cid = 3};
    cs_kms_server_opts o = {.config = &config, .listen_fd = -1, .stop_fd = -1};
    cs_kms_server *s = NULL;
    cs_rpc_frame f;
    bool locked = false;
    ssize_t n;
    int link[2];

    cs_log_init("test", CS_LOG_ERROR, -1);
    assert_int_equal(cs_kms_hold_new(&o.hold, false, &locked), CS_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, link), 0);
    o.link_fd = link[0];
    assert_int_equal(shutdown(link[1], SHUT_WR), 0); /* the first thing that it reads is the end */
    assert_int_equal(cs_kms_server_new(&s, &o), CS_OK);
    assert_int_equal(cs_kms_server_run(s), CS_E_CLOSED);
    cs_kms_server_free(s);
    n = recv(link[1], mem, sizeof mem, MSG_DONTWAIT);
    assert_true(n > 0); /* core may still believe in those of the process before */
    assert_int_equal(cs_rpc_decode(&f, cs_slice_of(mem, (size_t)n)), CS_OK);
    assert_int_equal(f.type, CS_RPC_CRED_STATE);
    assert_int_equal(f.f[0].u, CS_CRED_NONE);
    (void)close(link[0]);
    (void)close(link[1]);
    cs_kms_hold_free(o.hold);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_new_process_says_at_once_that_it_has_no_credentials)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
