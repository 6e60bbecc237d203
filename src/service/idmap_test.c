/* The id map against a plain array. */
#include "service/idmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void empty_map_has_nothing(void **state)
{
    (void)state;
    cs_idmap m = {0};
    assert_null(cs_idmap_get(&m, 1));
    assert_null(cs_idmap_take(&m, 1));
    assert_null(cs_idmap_get(&m, 0));
    cs_idmap_free(&m);
}

static void count_one(void *value, void *cookie)
{
    (void)value;
    ++*(size_t *)cookie;
}

static void random_operations_agree_with_an_array(void **state)
{
    (void)state;
    static uint8_t marks[3000];
    void *model[3000] = {0};
    cs_idmap m = {0};
    size_t live = 0;
    srand(3);
    for (int i = 0; i < 200000; i++) {
        uint64_t id = 1 + (uint64_t)rand() % 2999;
        if (model[id] == NULL) {
            assert_int_equal(cs_idmap_put(&m, id, &marks[id]), CS_OK);
            model[id] = &marks[id];
            live++;
        } else {
            assert_ptr_equal(cs_idmap_get(&m, id), model[id]);
            assert_ptr_equal(cs_idmap_take(&m, id), model[id]);
            assert_null(cs_idmap_get(&m, id));
            model[id] = NULL;
            live--;
        }
    }
    for (uint64_t id = 1; id < 3000; id++) {
        assert_ptr_equal(cs_idmap_get(&m, id), model[id]);
    }
    size_t seen = 0;
    cs_idmap_each(&m, count_one, &seen);
    assert_int_equal(seen, live);
    cs_idmap_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_map_has_nothing),
        cmocka_unit_test(random_operations_agree_with_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
