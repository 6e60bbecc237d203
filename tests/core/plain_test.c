/* Shares from a file in the clear (local runs): the rules of the sealed way hold, and a reload goes through the injectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/provision/plain.h"
#include "driver.h"

static int setup(void **state)
{
    *state = world_new();
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static void expect_phase(world *w, cs_phase p)
{
    assert_string_equal(cs_phase_name(cs_core_phase(w->core)), cs_phase_name(p));
}

static void a_good_file_serves_and_is_reloaded_through_the_injectors(void **state)
{
    world *w = *state;

    assert_int_equal(cs_load_plain(w->core, share_file(w, &(recipe){.generation = 7})), CS_OK);
    expect_phase(w, CS_PHASE_SERVING);
    assert_true(none(w, CS_LINK_SERVICE) && none(w, CS_LINK_KMS)); /* nobody asked, nobody is told */
    has(w, "\"generation\":7");
    has(w, "\"accounts\":3");
    /* a second one is not for this way */
    assert_int_equal(cs_load_plain(w->core, share_file(w, &(recipe){.generation = 8})), CS_E_STATE);
    has(w, "\"generation\":7");
    credentials(w, CS_CRED_PRESENT);
    assert_int_equal(inject_both(w, &(recipe){.generation = 6}, &(kms_answer){0}), CS_E_SHARES_GENERATION);
    assert_int_equal(inject_both(w, &(recipe){.generation = 9}, &(kms_answer){0}), CS_OK);
    has(w, "\"generation\":9");
    expect_phase(w, CS_PHASE_SERVING);
}

static void each_rule_of_the_sealed_way_refuses(void **state)
{
    static const struct {
        recipe r;
        cs_err err;
    } rows[] = {
        {{.generation = 7, .unsigned_file = true}, CS_E_SHARES_UNSIGNED},
        {{.generation = 7, .other_publisher = true}, CS_E_SHARES_SIGNATURE},
        {{.generation = 7, .bad_signature = true}, CS_E_SHARES_SIGNATURE},
        {{.generation = 7, .bad_body = true}, CS_E_SHARES_SIGNATURE},
        {{.generation = 2}, CS_E_SHARES_GENERATION},
        {{.generation = 7, .twice = true}, CS_E_SHARES_DUPLICATE},
    };
    world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(cs_load_plain(w->core, share_file(w, &rows[i].r)), rows[i].err);
        expect_phase(w, CS_PHASE_WAITING);
        has(w, cs_err_code(rows[i].err));
    }
    assert_int_equal(cs_load_plain(w->core, CS_SLICE_NULL), CS_E_SHARES_FORMAT);
    /* and nothing of that is in the way of the next */
    assert_int_equal(cs_load_plain(w->core, share_file(w, &(recipe){.generation = 3})), CS_OK);
}

static void unsigned_files_need_the_measured_word(void **state)
{
    world *w = *state;

    w->config.require_signed = false;
    w->config.min_generation = 0;
    assert_int_equal(cs_load_plain(w->core, share_file(w, &(recipe){.generation = 7, .unsigned_file = true})), CS_OK);
    expect_phase(w, CS_PHASE_SERVING);
}

static void a_debug_enclave_refuses_as_ever(void **state)
{
    world *w = *state;

    memset(w->pcr, 0, sizeof w->pcr);
    world_core(w);
    assert_int_equal(cs_load_plain(w->core, share_file(w, &(recipe){.generation = 7})), CS_E_ATT_DEBUG);
    expect_phase(w, CS_PHASE_WAITING);
    w->config.debug_allowed = true;
    assert_int_equal(cs_load_plain(w->core, share_file(w, &(recipe){.generation = 7})), CS_OK);
}

static void an_injection_under_way_is_not_disturbed(void **state)
{
    world *w = *state;

    inject_age(w, 10);
    expect_reply(w, 10, CS_OK);
    assert_int_equal(cs_load_plain(w->core, share_file(w, &(recipe){.generation = 7})), CS_E_STATE);
    credentials(w, CS_CRED_PRESENT);
    inject_shares(w, 11, sealed_file(w, &(recipe){.generation = 8}));
    answer_kms(w, &(kms_answer){0});
    expect_reply(w, 11, CS_OK);
    has(w, "\"generation\":8");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_good_file_serves_and_is_reloaded_through_the_injectors),
        T(each_rule_of_the_sealed_way_refuses),
        T(unsigned_files_need_the_measured_word),
        T(a_debug_enclave_refuses_as_ever),
        T(an_injection_under_way_is_not_disturbed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
