/* Steps of the ioctl of /dev/nsm. */
#include "emulator/nsm_ioctl.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ARG ((void *)(uintptr_t)0x1000)

static cs_slice data_of(uint8_t *mem, uint64_t request_len, uint64_t response_len, size_t num_request)
{
    uint64_t raw[4] = {0x2000, request_len, 0x3000, response_len};
    memcpy(mem, raw, sizeof raw);
    memset(mem + sizeof raw, 0x5a, num_request);
    return cs_slice_of(mem, sizeof raw + num_request);
}

static void nsm_ioctl_asks_in_three_steps(void **state)
{
    static uint8_t mem[8192];
    cs_nsm_ioctl io;
    (void)state;
    cs_nsm_ioctl_next(&io, CS_NSM_IOCTL_NUMBER, ARG, CS_SLICE_NULL, 0);
    assert_int_equal(io.act, CS_NSM_IOCTL_RETRY);
    assert_int_equal(io.num_in, 1);
    assert_int_equal(io.num_out, 0);
    assert_ptr_equal(io.in[0].iov_base, ARG);
    assert_int_equal(io.in[0].iov_len, 32);

    cs_nsm_ioctl_next(&io, CS_NSM_IOCTL_NUMBER, ARG, data_of(mem, 10, 1u << 20, 0), 0);
    assert_int_equal(io.act, CS_NSM_IOCTL_RETRY);
    assert_int_equal(io.num_in, 2);
    assert_int_equal(io.num_out, 2);
    assert_ptr_equal(io.in[1].iov_base, (void *)(uintptr_t)0x2000);
    assert_int_equal(io.in[1].iov_len, 10);
    assert_ptr_equal(io.out[0].iov_base, ARG);
    assert_ptr_equal(io.out[1].iov_base, (void *)(uintptr_t)0x3000);
    assert_int_equal(io.out[1].iov_len, 12288); /* not a byte more than NSM answers */

    cs_nsm_ioctl_next(&io, CS_NSM_IOCTL_NUMBER, ARG, data_of(mem, 10, 500, 10), 32 + 500);
    assert_int_equal(io.act, CS_NSM_IOCTL_CALL);
    assert_int_equal(io.request.len, 10);
    assert_int_equal(io.request.p[0], 0x5a);
    assert_int_equal(io.room, 500);
}

static void nsm_ioctl_cuts_a_long_response(void **state)
{
    static uint8_t mem[64];
    uint64_t raw[4];
    cs_nsm_ioctl io;
    (void)state;
    cs_nsm_ioctl_next(&io, CS_NSM_IOCTL_NUMBER, ARG, data_of(mem, 1, 5, 1), 32 + 5);
    assert_int_equal(cs_nsm_ioctl_done(&io, 100), 5);
    memcpy(raw, io.raw, sizeof raw);
    assert_int_equal(raw[3], 5);
    assert_int_equal(cs_nsm_ioctl_done(&io, 3), 3);
    memcpy(raw, io.raw, sizeof raw);
    assert_int_equal(raw[3], 3);
    assert_int_equal(raw[0], 0x2000); /* the rest as it came */
}

static void nsm_ioctl_empty_buffers_are_not_asked_for(void **state)
{
    static uint8_t mem[64];
    cs_nsm_ioctl io;
    (void)state;
    cs_nsm_ioctl_next(&io, CS_NSM_IOCTL_NUMBER, ARG, data_of(mem, 0, 0, 0), 0);
    assert_int_equal(io.act, CS_NSM_IOCTL_RETRY);
    assert_int_equal(io.num_in, 1);
    assert_int_equal(io.num_out, 1);
    cs_nsm_ioctl_next(&io, CS_NSM_IOCTL_NUMBER, ARG, data_of(mem, 0, 0, 0), 32);
    assert_int_equal(io.act, CS_NSM_IOCTL_CALL);
    assert_int_equal(io.request.len, 0);
    assert_int_equal(io.room, 0);
}

static void expect_error(int error, uint32_t number, cs_slice data, size_t out_len)
{
    cs_nsm_ioctl io;
    cs_nsm_ioctl_next(&io, number, ARG, data, out_len);
    assert_int_equal(io.act, CS_NSM_IOCTL_FAIL);
    assert_int_equal(io.error, error);
}

static void nsm_ioctl_refuses(void **state)
{
    static uint8_t mem[8192];
    (void)state;
    expect_error(EINVAL, CS_NSM_IOCTL_NUMBER + 1, CS_SLICE_NULL, 0);
    expect_error(EINVAL, 0x40200A00u, data_of(mem, 1, 1, 1), 33);                   /* another direction */
    expect_error(EINVAL, CS_NSM_IOCTL_NUMBER, cs_slice_of(mem, 31), 0);             /* half a structure */
    expect_error(EMSGSIZE, CS_NSM_IOCTL_NUMBER, data_of(mem, 4097, 1, 0), 0);       /* one byte over */
    expect_error(EMSGSIZE, CS_NSM_IOCTL_NUMBER, data_of(mem, UINT64_MAX, 1, 0), 0); /* wraps nowhere */
    expect_error(EMSGSIZE, CS_NSM_IOCTL_NUMBER, data_of(mem, 4097, 1, 4097), 33);   /* raised between the steps */
    expect_error(EINVAL, CS_NSM_IOCTL_NUMBER, data_of(mem, 11, 500, 10), 532);      /* changed between the steps */
    expect_error(EINVAL, CS_NSM_IOCTL_NUMBER, data_of(mem, 9, 500, 10), 532);
    expect_error(EINVAL, CS_NSM_IOCTL_NUMBER, data_of(mem, 10, 500, 10), 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nsm_ioctl_asks_in_three_steps),
        cmocka_unit_test(nsm_ioctl_cuts_a_long_response),
        cmocka_unit_test(nsm_ioctl_empty_buffers_are_not_asked_for),
        cmocka_unit_test(nsm_ioctl_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
