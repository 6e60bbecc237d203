/* The error table: codes are stable, complete and carry no room for values of a request. */
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_row_is_complete(void **state)
{
    (void)state;
    for (int i = 0; i < CS_ERR_COUNT; i++) {
        cs_err e = (cs_err)i;
        assert_true(strlen(cs_err_code(e)) > 0);
        assert_true(strlen(cs_err_cause(e)) > 3);
        assert_true(strlen(cs_err_fix(e)) > 3);
        assert_null(strchr(cs_err_cause(e), '%')); /* texts are never formats */
        assert_null(strchr(cs_err_fix(e), '%'));
        assert_true(strspn(cs_err_code(e), "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(cs_err_code(e)));
    }
}

static void code_and_number_map_both_ways(void **state)
{
    (void)state;
    for (int i = 0; i < CS_ERR_COUNT; i++) {
        assert_int_equal(cs_err_from_code(cs_err_code((cs_err)i)), i);
    }
}

static void no_error_travels_as_grpc_ok(void **state)
{
    (void)state;
    assert_int_equal(cs_err_grpc(CS_OK), CS_GRPC_OK);
    for (int i = CS_OK + 1; i < CS_ERR_COUNT; i++) {
        assert_int_not_equal(cs_err_grpc((cs_err)i), CS_GRPC_OK);
        assert_int_not_equal(cs_err_class_of((cs_err)i), CS_CLASS_OK);
    }
}

static void unknown_number_is_internal(void **state)
{
    (void)state;
    cs_err e = (cs_err)(CS_ERR_COUNT + 7);
    assert_string_equal(cs_err_code(e), "INTERNAL");
    assert_int_equal(cs_err_grpc(e), CS_GRPC_INTERNAL);
    assert_false(cs_err_retry(e));
}

static void unknown_code_is_internal(void **state)
{
    (void)state;
    assert_int_equal(cs_err_from_code("NO_SUCH_CODE"), CS_E_INTERNAL);
    assert_int_equal(cs_err_from_code(""), CS_E_INTERNAL);
    assert_int_equal(cs_err_from_code("inject_busy"), CS_E_INTERNAL);
}

static void class_names_are_distinct(void **state)
{
    (void)state;
    for (int a = CS_CLASS_OK; a <= CS_CLASS_INTERNAL; a++) {
        for (int b = a + 1; b <= CS_CLASS_INTERNAL; b++) {
            assert_string_not_equal(cs_err_class_name((cs_err_class)a), cs_err_class_name((cs_err_class)b));
        }
    }
    assert_string_equal(cs_err_class_name((cs_err_class)99), "internal");
}

static void codes_promised_to_users_do_not_change(void **state)
{
    (void)state;
    assert_int_equal(cs_err_from_code("INJECT_BUSY"), CS_E_INJECT_BUSY);
    assert_int_equal(cs_err_grpc(CS_E_EXECUTION_CONFLICT), CS_GRPC_FAILED_PRECONDITION);
    assert_int_equal(cs_err_grpc(CS_E_PEER_BANNED), CS_GRPC_PERMISSION_DENIED);
    assert_true(cs_err_retry(CS_E_ABORT_SESSION));
    assert_false(cs_err_retry(CS_E_PEER_BANNED));
    assert_true(cs_err_retry(CS_E_PEER_SILENT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_complete),
        cmocka_unit_test(code_and_number_map_both_ways),
        cmocka_unit_test(no_error_travels_as_grpc_ok),
        cmocka_unit_test(unknown_number_is_internal),
        cmocka_unit_test(unknown_code_is_internal),
        cmocka_unit_test(class_names_are_distinct),
        cmocka_unit_test(codes_promised_to_users_do_not_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
