/* The rules of release enclave programs: nothing but vsock. Linked with lib_ep_enclave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <unistd.h>

#include "net/endpoint.h"

static void enclave_programs_parse_vsock_only(void **state)
{
    cs_endpoint ep;
    assert_int_equal(cs_endpoint_parse(&ep, cs_slice_str("vsock:parent:5000")), CS_OK);
    assert_int_equal(cs_endpoint_parse(&ep, cs_slice_str("unix:/tmp/x")), CS_E_UNSUPPORTED);
    assert_int_equal(cs_endpoint_parse(&ep, cs_slice_str("tcp:127.0.0.1:80")), CS_E_UNSUPPORTED);
}

static void enclave_programs_dial_and_listen_on_vsock_only(void **state)
{
    cs_endpoint ep = {.scheme = CS_EP_UNIX, .host = "/tmp/x"};
    int fd = -1;
    assert_int_equal(cs_endpoint_connect(&fd, &ep, 10), CS_E_UNSUPPORTED);
    assert_int_equal(cs_endpoint_listen(&fd, &ep, 1), CS_E_UNSUPPORTED);
}

static void enclave_programs_refuse_other_inherited_listeners(void **state)
{
    cs_ep_scheme scheme;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(cs_endpoint_adopt(&scheme, fd), CS_E_UNSUPPORTED);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enclave_programs_parse_vsock_only),
        cmocka_unit_test(enclave_programs_dial_and_listen_on_vsock_only),
        cmocka_unit_test(enclave_programs_refuse_other_inherited_listeners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
