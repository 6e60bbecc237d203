/* Large share files: opened in slices while the old set signs, whole or not at all; and the staging of their ciphertext. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/provision/staging.h"
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

/* ---------------------------------------------------------------- opened in slices */

#define MORE 6000

/* a pair with a large file, KMS has answered: the first slice is done */
static void start_large(world *w, uint64_t id, const recipe *r)
{
    w->config.max_bytes = (uint64_t)4 << 20;
    credentials(w, CS_CRED_PRESENT);
    inject_age(w, id);
    expect_reply(w, id, CS_OK);
    inject_shares(w, id + 1, sealed_file(w, r));
    answer_kms(w, &(kms_answer){0});
    assert_true(none(w, CS_LINK_SERVICE));
    has(w, "\"stage\":\"opening the files\"");
    assert_int_equal(cs_core_wait_ms(w->core), 0);
}

/* the other slices; how many they were */
static unsigned finish_large(world *w)
{
    unsigned n = 0;

    while (none(w, CS_LINK_SERVICE)) {
        cs_core_tick(w->core);
        assert_true(++n < 100);
    }
    return n;
}

static void test_a_large_file_is_opened_in_slices_while_the_old_set_signs(void **state)
{
    world *w = *state;
    client cl;
    int64_t tx = 1;

    serve(w, 7);
    assert_int_equal(client_connect(w, &cl, 0), CS_OK);
    start_large(w, 20, &(recipe){.generation = 8, .more = MORE});
    expect_phase(w, CS_PHASE_RELOADING);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(sign_once(w, &cl, &(ask){.tx_id = tx++, .digest_byte = 1}));
        has(w, "\"generation\":7");
        has(w, "\"accounts\":3");
        cs_core_tick(w->core);
        assert_true(none(w, CS_LINK_SERVICE));
    }
    inject_age(w, 30); /* one load at a time */
    expect_reply(w, 30, CS_E_INJECT_PHASE);
    inject_shares(w, 31, cs_slice_str("begun while the files are opened"));
    expect_reply(w, 31, CS_E_INJECT_PHASE);
    cs_core_link_down(w->core, CS_LINK_KMS); /* needs it no more */
    assert_true(finish_large(w) > 2);
    expect_reply(w, 21, CS_OK);
    expect_phase(w, CS_PHASE_SERVING);
    has(w, "\"generation\":8");
    has(w, "\"accounts\":6003");
    has(w, "\"stage\":\"idle\"");
    assert_true(sign_once(w, &cl, &(ask){.tx_id = tx, .digest_byte = 1})); /* the channel lives on */
    client_free(&cl);
}

static void test_a_broken_account_at_the_end_of_a_large_file_leaves_all_as_it_was(void **state)
{
    world *w = *state;
    size_t used;
    client cl;

    serve(w, 7);
    assert_int_equal(client_connect(w, &cl, 0), CS_OK);
    used = cs_arena_used();
    start_large(w, 20, &(recipe){.generation = 8, .more = MORE, .broken = MORE - 1});
    assert_true(finish_large(w) > 8);
    expect_reply(w, 21, CS_E_SHARES_ACCOUNT);
    expect_phase(w, CS_PHASE_SERVING);
    has(w, "\"generation\":7");
    has(w, "\"accounts\":3");
    assert_int_equal(cs_arena_used(), used);
    assert_true(sign_once(w, &cl, &(ask){.tx_id = 1, .digest_byte = 1}));
    client_free(&cl);
}

static void test_a_load_that_is_stopped_half_way_leaves_nothing(void **state)
{
    world *w = *state;
    size_t used;

    cs_core_free(w->core);
    w->core = NULL;
    used = cs_arena_used();
    for (unsigned slices = 0; slices < 10; slices += 3) {
        world_core(w);
        start_large(w, 20, &(recipe){.generation = 8, .more = MORE});
        for (unsigned i = 0; i < slices; i++) {
            cs_core_tick(w->core);
        }
        cs_core_stop(w->core);
        expect_phase(w, CS_PHASE_STOPPED);
        assert_true(none(w, CS_LINK_SERVICE));
        cs_core_tick(w->core); /* nothing is under way any more */
        cs_core_free(w->core);
        w->core = NULL;
        assert_int_equal(cs_arena_used(), used);
    }
    world_core(w);
}

/* ---------------------------------------------------------------- staging */

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 31 + i / 4096);
}

static void test_staging_gives_back_what_came_and_releases_whole_segments(void **state)
{
    static uint8_t piece[100003];
    const size_t total = 3 * CS_STAGING_SEGMENT + 5;
    static cs_staging s;

    (void)state;
    cs_staging_begin(&s, 1, total);
    for (size_t at = 0, n; at < total; at += n) {
        n = total - at < sizeof piece ? total - at : sizeof piece;
        for (size_t i = 0; i < n; i++) {
            piece[i] = byte_at(at + i);
        }
        assert_true(cs_staging_chunk(&s, 1, cs_slice_of(piece, n)));
        assert_false(cs_staging_chunk(&s, 2, cs_slice_of(piece, n)));
    }
    assert_int_equal(cs_staging_end(&s, 2), CS_E_INJECT_PHASE);
    assert_int_equal(cs_staging_end(&s, 1), CS_OK);
    assert_true(s.whole && s.len == total);
    for (size_t at = 0; at < total;) {
        cs_slice got = cs_staging_at(&s, at, 70001);

        assert_true(got.len > 0 && got.len <= 70001);
        for (size_t i = 0; i < got.len; i++) {
            assert_int_equal(got.p[i], byte_at(at + i));
        }
        at += got.len;
        cs_staging_release(&s, at);
        assert_true((s.segment[0] == NULL) == (at >= CS_STAGING_SEGMENT));
        assert_non_null(s.segment[3]);
    }
    assert_int_equal(cs_staging_at(&s, total, 1).len, 0);
    cs_staging_drop(&s);
    assert_null(s.segment[3]);
    assert_int_equal(cs_staging_end(&s, 1), CS_E_INJECT_PHASE);
}

/* the cap itself: the last byte that is allowed, and the one behind it */
static void test_staging_takes_256_mib_and_not_a_byte_more(void **state)
{
    static uint8_t piece[CS_STAGING_SEGMENT];
    static cs_staging s;

    (void)state;
    for (unsigned over = 0; over < 2; over++) {
        cs_staging_begin(&s, 1, SIZE_MAX);
        for (size_t i = 0; i < CS_STAGING_SEGMENTS; i++) {
            assert_true(cs_staging_chunk(&s, 1, cs_slice_of(piece, sizeof piece)));
        }
        assert_int_equal(cs_staging_chunk(&s, 1, cs_slice_of(piece, over)), !over);
        assert_int_equal(cs_staging_end(&s, 1), over ? CS_E_TOO_LARGE : CS_OK);
        assert_int_equal(s.len, over ? 0 : CS_SHARES_MAX);
        assert_true((s.segment[0] == NULL) == over);
    }
    cs_staging_drop(&s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_large_file_is_opened_in_slices_while_the_old_set_signs),
        T(test_a_broken_account_at_the_end_of_a_large_file_leaves_all_as_it_was),
        T(test_a_load_that_is_stopped_half_way_leaves_nothing),
        cmocka_unit_test(test_staging_gives_back_what_came_and_releases_whole_segments),
        cmocka_unit_test(test_staging_takes_256_mib_and_not_a_byte_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
