/* What a participant remembers: one digest for each label, answers, the limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "party/memory.h"

static cs_pmemory *m;

static cs_err claim(cs_pmemory_entry **out, unsigned label, uint8_t digest)
{
    uint8_t l[32] = {0}, d[32] = {digest};
    cs_store_u32(l + 28, label); /* all in one bucket */
    return cs_pmemory_claim(out, m, l, d);
}

static int clear(void **state)
{
    cs_pmemory_free(m);
    m = NULL;
    return 0;
}

static void a_label_is_bound_to_its_digest(void **state)
{
    cs_pmemory_entry *a = NULL, *b = NULL;
    assert_int_equal(cs_pmemory_new(&m, 0), CS_OK);
    assert_int_equal(claim(&a, 1, 7), CS_OK);
    assert_false(a->answered);
    assert_null(a->live);
    a->answered = true;
    a->r[0] = 9;
    assert_int_equal(claim(&b, 1, 8), CS_E_EXECUTION_CONFLICT);
    assert_null(b);
    assert_int_equal(claim(&b, 1, 7), CS_OK);
    assert_ptr_equal(a, b);
    assert_int_equal(b->r[0], 9);
    assert_int_equal(claim(&b, 2, 8), CS_OK);
    assert_ptr_not_equal(a, b);
    assert_int_equal(cs_pmemory_count(m), 2);
}

static void the_one_asked_for_longest_ago_is_forgotten(void **state)
{
    cs_pmemory_entry *e = NULL;
    assert_int_equal(cs_pmemory_new(&m, 3), CS_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(claim(&e, i, 1), CS_OK);
        e->answered = true;
    }
    assert_int_equal(claim(&e, 0, 1), CS_OK); /* asked for again: 1 is the oldest now */
    assert_int_equal(claim(&e, 3, 1), CS_OK);
    assert_int_equal(cs_pmemory_count(m), 3);
    assert_int_equal(claim(&e, 0, 2), CS_E_EXECUTION_CONFLICT);
    assert_int_equal(claim(&e, 2, 2), CS_E_EXECUTION_CONFLICT);
    assert_int_equal(claim(&e, 1, 2), CS_OK); /* was forgotten */
    assert_false(e->answered);
    assert_int_equal(claim(&e, 2, 1), CS_OK);
    assert_false(e->answered); /* made way for 1 */
}

static void what_is_under_way_is_kept(void **state)
{
    cs_pmemory_entry *e[3];
    assert_int_equal(cs_pmemory_new(&m, 2), CS_OK);
    assert_int_equal(claim(&e[0], 0, 1), CS_OK);
    e[0]->live = e;
    assert_int_equal(claim(&e[1], 1, 1), CS_OK);
    assert_int_equal(claim(&e[2], 2, 1), CS_OK); /* in the place of 1 */
    e[2]->live = e;
    assert_int_equal(claim(&e[1], 1, 1), CS_E_SESSION_LIMIT);
    assert_int_equal(claim(&e[1], 0, 1), CS_OK);
    assert_ptr_equal(e[1], e[0]);
    e[0]->live = NULL;
    assert_int_equal(claim(&e[1], 1, 1), CS_OK);
    assert_int_equal(cs_pmemory_count(m), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_label_is_bound_to_its_digest, clear),
        cmocka_unit_test_teardown(the_one_asked_for_longest_ago_is_forgotten, clear),
        cmocka_unit_test_teardown(what_is_under_way_is_kept, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
