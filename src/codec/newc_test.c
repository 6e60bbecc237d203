/* Tests of codec/newc: format bytes, determinism rules, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "codec/newc.h"

static uint8_t mem[8192];

static void test_an_archive_has_the_documented_bytes(void **state)
{
    static const cs_newc_entry entries[] = {{"d", S_IFDIR | 0755, {NULL, 0}},
                                            {"d/f", S_IFREG | 0644, {(const uint8_t *)"hello", 5}}};
    static const char want[] = "070701"
                               "00000001"
                               "000041ED"
                               "00000000"
                               "00000000"
                               "00000002"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000002"
                               "00000000"
                               "d\0"
                               "070701"
                               "00000002"
                               "000081A4"
                               "00000000"
                               "00000000"
                               "00000001"
                               "00000000"
                               "00000005"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000004"
                               "00000000"
                               "d/f\0\0\0"
                               "hello\0\0\0"
                               "070701"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000001"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "0000000B"
                               "00000000"
                               "TRAILER!!!\0\0\0";
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_newc_put(&out, entries, 2), CS_OK);
    assert_int_equal(out.len, sizeof want); /* the literal's own NUL is the last byte of padding */
    assert_memory_equal(out.p, want, sizeof want);
}

static void refuse(const cs_newc_entry *entries, size_t num)
{
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_put_u8(&out, 1), CS_OK);
    assert_int_equal(cs_newc_put(&out, entries, num), CS_E_FORMAT);
    assert_int_equal(out.len, 1);
}

static void test_entries_out_of_order_or_twice_are_refused(void **state)
{
    static const cs_newc_entry down[] = {{"b", S_IFREG, {0}}, {"a", S_IFREG, {0}}};
    static const cs_newc_entry twice[] = {{"a", S_IFREG, {0}}, {"a", S_IFREG, {0}}};

    refuse(down, 2);
    refuse(twice, 2);
}

static void test_paths_that_are_not_plain_are_refused(void **state)
{
    static const char *const paths[] = {"", "/a", "a/", "a//b", ".", "./a", "a/..", "../a", "a/./b"};

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        refuse(&(cs_newc_entry){paths[i], S_IFREG | 0644, {0}}, 1);
    }
}

static void test_devices_and_directories_with_data_are_refused(void **state)
{
    refuse(&(cs_newc_entry){"dev", S_IFCHR | 0600, {0}}, 1);
    refuse(&(cs_newc_entry){"dir", S_IFDIR | 0755, {(const uint8_t *)"x", 1}}, 1);
}

static void test_an_archive_that_does_not_fit_leaves_the_buffer(void **state)
{
    cs_buf out = cs_buf_wrap(mem, 200);

    assert_int_equal(cs_newc_put(&out, &(cs_newc_entry){"a", S_IFREG | 0644, {0}}, 1), CS_E_RANGE);
    assert_int_equal(out.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_archive_has_the_documented_bytes),
        cmocka_unit_test(test_entries_out_of_order_or_twice_are_refused),
        cmocka_unit_test(test_paths_that_are_not_plain_are_refused),
        cmocka_unit_test(test_devices_and_directories_with_data_are_refused),
        cmocka_unit_test(test_an_archive_that_does_not_fit_leaves_the_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
