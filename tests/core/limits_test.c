/* What a client with a valid key may take from the others: nothing. Tables, their order of eviction, and what they remember. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ops/channels.h"
#include "core/policy/answers.h"
#include "driver.h"

#define OK(x) assert_int_equal((x), CS_OK)

static int setup(void **state)
{
    world *w = world_new();

    serve(w, 7);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static void test_session_names_chosen_to_collide_do_not_make_the_table_slow(void **state)
{
    const unsigned num = 4096;
    cs_channels t = {0};
    cs_chan *ch = NULL;
    cs_channel_id name = {{0}};
    size_t run = 0, longest = 0;

    (void)state;
    OK(cs_channels_add(&t, &ch, NULL, 0));
    for (unsigned i = 0; i < num; i++) {
        cs_store_u32(name.b + 8, i); /* the first eight bytes are all the same */
        assert_false(cs_chan_name_used(ch, &name));
        OK(cs_chan_name_add(ch, &name));
        assert_true(cs_chan_name_used(ch, &name));
    }
    for (size_t i = 0; i < ch->names.cap; i++) {
        run = ch->names.used[i] ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    assert_true(longest < num / 8); /* a look-up walks over one run at most */
    cs_channels_remove(&t, ch);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_session_names_chosen_to_collide_do_not_make_the_table_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
