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
static uint64_t generation;

/* The state; with credentials c has them. */
static cs_err get(uint64_t now_ms)
{
    cs_err err = cs_kms_hold_get(&c, &generation, h, now_ms);
    if (err == CS_OK) {
        cs_kms_hold_done(h);
    }
    return err;
}

static uint64_t expires_ms(uint64_t now_ms)
{
    uint64_t ms = 1;
    (void)cs_kms_hold_state(&ms, h, now_ms);
    return ms;
}

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
    assert_int_equal(get(0), CS_E_CRED_MISSING);
    assert_int_equal(expires_ms(0), 0);
}

static void holds_them_until_they_expire(void **state)
{
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str(JSON("A")), END_MS - 1), CS_OK);
    assert_int_equal(get(END_MS - 1), CS_OK);
    assert_string_equal(c->access_key_id, "A");
    assert_int_equal(expires_ms(END_MS - 1), END_MS);
    assert_int_equal(expires_ms(END_MS), 0);
    assert_int_equal(get(END_MS), CS_E_CRED_EXPIRED);
    assert_int_equal(get(END_MS - 1), CS_E_CRED_EXPIRED); /* wiped, not hidden */
    assert_string_equal(c->access_key_id, "");
}

static void a_bad_file_leaves_the_old_ones(void **state)
{
    static char big[CS_AWS_CREDS_MAX + 1];
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str(JSON("A")), 0), CS_OK);
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str("{}"), 0), CS_E_CRED_FORMAT);
    assert_int_equal(cs_kms_hold_put(h, cs_slice_of(big, sizeof big), 0), CS_E_TOO_LARGE);
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str(JSON("B")), END_MS), CS_E_CRED_EXPIRED);
    assert_int_equal(get(0), CS_OK);
    assert_string_equal(c->access_key_id, "A");
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str(JSON("B")), 0), CS_OK);
    assert_string_equal(c->access_key_id, "B");
}

static void wiped_is_missing_and_expired_is_expired(void **state)
{
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str(JSON("A")), 0), CS_OK);
    assert_int_equal(get(0), CS_OK);
    cs_kms_hold_wipe(h);
    assert_int_equal(get(0), CS_E_CRED_MISSING);
    assert_true(cs_kms_hold_expire(h, generation)); /* nothing is left to expire: they were given back */
    assert_int_equal(get(0), CS_E_CRED_MISSING);
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str(JSON("B")), 0), CS_OK);
    assert_int_equal(get(0), CS_OK);
    assert_true(cs_kms_hold_expire(h, generation));
    assert_int_equal(get(0), CS_E_CRED_EXPIRED);
}

static void what_kms_says_of_old_credentials_leaves_new_ones_alone(void **state)
{
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str(JSON("A")), 0), CS_OK);
    assert_int_equal(get(0), CS_OK);
    uint64_t old = generation;
    assert_int_equal(cs_kms_hold_put(h, cs_slice_str(JSON("B")), 0), CS_OK);
    assert_false(cs_kms_hold_expire(h, old));
    assert_int_equal(get(0), CS_OK);
    assert_string_equal(c->access_key_id, "B");
    assert_true(cs_kms_hold_expire(h, generation));
    assert_int_equal(get(0), CS_E_CRED_EXPIRED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(starts_without_any, setup, teardown),
        cmocka_unit_test_setup_teardown(holds_them_until_they_expire, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_file_leaves_the_old_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(what_kms_says_of_old_credentials_leaves_new_ones_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(wiped_is_missing_and_expired_is_expired, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
