#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kms/creds_hold.h"

#define END_MS 1767323045000ull
#define JSON(akid)                                                                                                     \
    "{\"AccessKeyId\":\"" akid "\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"2026-01-02T03:04:05Z\"}"

static cs_kms_hold *h;
static const cs_aws_creds *c;

static int setup(void **state)
{
    bool locked = false;
    return cs_kms_hold_new(&h, false, &locked) == CS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    cs_kms_hold_free(h);
    cs_kms_hold_free(NULL);
    return 0;
}

static void starts_without_any(void **state)
{
    assert_int_equal(cs_kms_hold_get(&c, h, 0), CS_E_CRED_MISSING);
    assert_int_equal(cs_kms_hold_expires_ms(h), 0);
}

static void holds_them_until_they_expire(void **state)
{
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str(JSON("A")), END_MS - 1), CS_OK);
    assert_int_equal(cs_kms_hold_get(&c, h, END_MS - 1), CS_OK);
    assert_string_equal(c->access_key_id, "A");
    assert_int_equal(cs_kms_hold_expires_ms(h), END_MS);
    assert_int_equal(cs_kms_hold_get(&c, h, END_MS), CS_E_CRED_EXPIRED);
    assert_int_equal(cs_kms_hold_get(&c, h, END_MS - 1), CS_E_CRED_EXPIRED); /* wiped, not hidden */
    assert_string_equal(c->access_key_id, "");
}

static void a_bad_file_leaves_the_old_ones(void **state)
{
    static char big[CS_AWS_CREDS_MAX + 1];
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str(JSON("A")), 0), CS_OK);
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str("{}"), 0), CS_E_CRED_FORMAT);
    assert_int_equal(cs_kms_hold_put(h, cs_slice_of(big, sizeof big), 0), CS_E_TOO_LARGE);
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str(JSON("B")), END_MS), CS_E_CRED_EXPIRED);
    assert_int_equal(cs_kms_hold_get(&c, h, 0), CS_OK);
    assert_string_equal(c->access_key_id, "A");
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str(JSON("B")), 0), CS_OK);
    assert_string_equal(c->access_key_id, "B");
}

static void wiped_is_missing_and_expired_is_expired(void **state)
{
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str(JSON("A")), 0), CS_OK);
    cs_kms_hold_wipe(h);
    assert_int_equal(cs_kms_hold_get(&c, h, 0), CS_E_CRED_MISSING);
    cs_kms_hold_expire(h);
    assert_int_equal(cs_kms_hold_get(&c, h, 0), CS_E_CRED_EXPIRED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(starts_without_any, setup, teardown),
        cmocka_unit_test_setup_teardown(holds_them_until_they_expire, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_file_leaves_the_old_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(wiped_is_missing_and_expired_is_expired, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
