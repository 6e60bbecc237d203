/* The broker in memory: history, positions, limits, who gives way, and when a room is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/rooms.h"

static const cs_rooms_limits small = {
    .rooms = 4,
    .messages = 5,
    .bytes = 4096,
    .bytes_all = 8192,
    .subscribers = 2,
    .subscribers_all = 3,
    .idle_ms = 10000,
    .max_ms = 600000,
    .subscriber_queue = 2000,
};

static cs_rooms *open_rooms(void)
{
    cs_rooms *r = NULL;
    assert_int_equal(cs_rooms_new(&r, &small), CS_OK);
    return r;
}

typedef struct answer {
    cs_err err;
    uint64_t n;
} answer;

static void on_answer(void *cookie, cs_err err, uint64_t n)
{
    *(answer *)cookie = (answer){err, n};
}

typedef struct letter {
    uint16_t sender;
    size_t len;
} letter;

static cs_room_text *render(void *cookie, uint64_t id)
{
    const letter *l = cookie;
    cs_room_text *t = cs_room_text_new(l->len, l->sender);
    memset(t->bytes, (int)('0' + id), l->len);
    return t;
}

static answer post(cs_rooms *r, const char *name, uint64_t now, uint16_t sender, size_t len)
{
    letter l = {sender, len};
    cs_room_post p = {len, render, &l};
    answer a = {CS_E_INTERNAL, 0};
    cs_rooms_publish(r, cs_slice_str(name), now, &p, on_answer, &a);
    return a;
}

static uint64_t posted(cs_rooms *r, const char *name, uint64_t now, uint16_t sender)
{
    answer a = post(r, name, now, sender, 10);
    assert_int_equal(a.err, CS_OK);
    return a.n;
}

static answer unique(cs_rooms *r, const char *name, uint64_t now)
{
    answer a = {CS_E_INTERNAL, 0};
    cs_rooms_unique(r, cs_slice_str(name), now, on_answer, &a);
    return a;
}

typedef struct reader {
    cs_room_sub *sub;
    int more, ended;
} reader;

static void on_more(void *cookie)
{
    ((reader *)cookie)->more++;
}

static void on_end(void *cookie)
{
    ((reader *)cookie)->ended++;
    ((reader *)cookie)->sub = NULL;
}

static const cs_room_sub_events events = {on_more, on_end};

static cs_err join(cs_rooms *r, reader *me, const char *name, uint64_t now, uint64_t after, int not_from)
{
    cs_room_want w = {.after_id = after, .not_from = not_from, .events = &events, .cookie = me};
    *me = (reader){0};
    return cs_rooms_subscribe(r, &me->sub, cs_slice_str(name), now, &w);
}

/* The ids that are there to be taken, as text: messages are made of their id's digit. */
static const char *taken(reader *me)
{
    static char ids[64];
    size_t n = 0;
    cs_room_text *t;
    while ((t = cs_room_sub_next(me->sub)) != NULL) {
        ids[n++] = (char)t->bytes[0];
        cs_room_text_release(t);
    }
    ids[n] = '\0';
    return ids;
}

static cs_rooms_stats stats(const cs_rooms *r)
{
    cs_rooms_stats s;
    cs_rooms_stats_get(r, &s);
    return s;
}

static void names_are_checked(void **state)
{
    char name[130];
    (void)state;
    memset(name, 'a', sizeof name);
    assert_true(cs_rooms_name_ok(cs_slice_str("signing_-2147483648")));
    assert_true(cs_rooms_name_ok(cs_slice_str("A.z_0-9")));
    assert_true(cs_rooms_name_ok(cs_slice_of(name, 128)));
    assert_false(cs_rooms_name_ok(cs_slice_of(name, 129)));
    assert_false(cs_rooms_name_ok(cs_slice_str("")));
    assert_false(cs_rooms_name_ok(cs_slice_str("a/b")));
    assert_false(cs_rooms_name_ok(cs_slice_str("a%20")));
    assert_false(cs_rooms_name_ok(cs_slice_of("a\0b", 3)));
}

static cs_err join_prefix(cs_rooms *r, reader *me, const char *name, const char *prefix)
{
    cs_room_want w = {CS_ROOMS_FROM_START, 7, cs_slice_str(prefix), &events, me};
    *me = (reader){0};
    return cs_rooms_subscribe(r, &me->sub, cs_slice_str(name), 0, &w);
}

/* Each message is ten times its id's digit. */
static void only_what_begins_as_wanted_is_given_and_told(void **state)
{
    cs_rooms *r = open_rooms();
    reader one, two;
    (void)state;
    (void)posted(r, "x", 0, 1);
    (void)posted(r, "x", 0, 1);
    assert_int_equal(join_prefix(r, &one, "x", "1"), CS_OK);
    assert_int_equal(join_prefix(r, &two, "x", "2222222222"), CS_OK);
    assert_string_equal(taken(&one), "1");
    assert_string_equal(taken(&two), "");
    (void)posted(r, "x", 0, 1);
    assert_true(one.more == 0 && two.more == 1);
    assert_string_equal(taken(&two), "2");
    (void)posted(r, "x", 0, 7); /* the sender that neither wants */
    assert_true(one.more == 0 && two.more == 1);
    cs_rooms_unsubscribe(r, one.sub, 0);
    cs_rooms_unsubscribe(r, two.sub, 0);
    assert_int_equal(join_prefix(r, &one, "x", "22222222222"), CS_OK); /* a byte longer than any message */
    assert_int_equal(join_prefix(r, &two, "x", ""), CS_OK);
    assert_string_equal(taken(&one), "");
    assert_string_equal(taken(&two), "012");
    cs_rooms_free(r);
}

static void history_positions_and_senders(void **state)
{
    cs_rooms *r = open_rooms();
    reader a = {0}, b = {0};
    (void)state;
    assert_int_equal(posted(r, "x", 0, 1), 0);
    assert_int_equal(posted(r, "x", 0, 2), 1);
    assert_int_equal(join(r, &a, "x", 0, CS_ROOMS_FROM_START, CS_ROOMS_ALL_SENDERS), CS_OK);
    assert_int_equal(join(r, &b, "x", 0, 0, 2), CS_OK);
    assert_string_equal(taken(&a), "01");
    assert_string_equal(taken(&b), "");
    assert_int_equal(posted(r, "x", 0, 2), 2);
    assert_int_equal(posted(r, "x", 0, 1), 3);
    assert_true(a.more == 1 && b.more == 1); /* told once until it has looked */
    assert_string_equal(taken(&a), "23");
    assert_string_equal(taken(&b), "3");
    cs_rooms_unsubscribe(r, b.sub, 0);
    assert_int_equal(join(r, &b, "x", 0, 3, CS_ROOMS_ALL_SENDERS), CS_OK); /* the last id: nothing is missing */
    assert_string_equal(taken(&b), "");
    cs_rooms_unsubscribe(r, b.sub, 0);
    assert_int_equal(join(r, &b, "x", 0, 4, CS_ROOMS_ALL_SENDERS), CS_OK); /* beyond: of another life */
    assert_string_equal(taken(&b), "0123");
    assert_int_equal(posted(r, "y", 0, 1), 0);
    assert_int_equal(a.more, 1);
    cs_rooms_free(r);
    assert_int_equal(a.ended, 0);
}

static void indices_are_of_their_room(void **state)
{
    cs_rooms *r = open_rooms();
    (void)state;
    assert_int_equal(unique(r, "x", 0).n, 0);
    assert_int_equal(unique(r, "x", 0).n, 1);
    assert_int_equal(unique(r, "y", 0).n, 0);
    cs_rooms_free(r);
}

static void a_room_is_bounded(void **state)
{
    cs_rooms *r = open_rooms();
    reader a = {0}, b = {0}, c = {0};
    (void)state;
    for (int i = 0; i < 5; i++) {
        posted(r, "x", 0, 1);
    }
    assert_int_equal(post(r, "x", 0, 1, 1).err, CS_E_ROOM_FULL);
    assert_int_equal(post(r, "y", 0, 1, 3000).err, CS_OK);
    assert_int_equal(post(r, "y", 0, 1, 1100).err, CS_E_ROOM_FULL);
    assert_int_equal(post(r, "y", 0, 1, 5000).err, CS_E_ROOM_FULL);
    assert_int_equal(join(r, &a, "x", 0, CS_ROOMS_FROM_START, -1), CS_OK);
    assert_int_equal(join(r, &b, "x", 0, CS_ROOMS_FROM_START, -1), CS_OK);
    assert_int_equal(join(r, &c, "x", 0, CS_ROOMS_FROM_START, -1), CS_E_ROOM_FULL);
    assert_int_equal(join(r, &c, "y", 0, CS_ROOMS_FROM_START, -1), CS_OK);
    assert_int_equal(join(r, &c, "z", 0, CS_ROOMS_FROM_START, -1), CS_E_ROOM_LIMIT);
    cs_rooms_free(r);
}

static void the_longest_silent_gives_way(void **state)
{
    cs_rooms *r = open_rooms();
    reader a = {0};
    (void)state;
    posted(r, "a", 1, 1);
    posted(r, "b", 2, 1);
    posted(r, "c", 3, 1);
    posted(r, "d", 4, 1);
    posted(r, "a", 5, 1); /* now b is the longest silent */
    assert_int_equal(posted(r, "e", 6, 1), 0);
    assert_int_equal(stats(r).rooms, 4);
    assert_int_equal(stats(r).evicted, 1);
    assert_int_equal(posted(r, "a", 7, 1), 2);
    assert_int_equal(posted(r, "b", 8, 1), 0); /* was forgotten; c went */
    assert_int_equal(join(r, &a, "e", 9, CS_ROOMS_FROM_START, -1), CS_OK);
    assert_string_equal(taken(&a), "0");
    cs_rooms_free(r);
}

static void a_room_with_a_subscriber_does_not_give_way(void **state)
{
    cs_rooms *r = open_rooms();
    reader a[3] = {{0}};
    (void)state;
    assert_int_equal(join(r, &a[0], "a", 1, CS_ROOMS_FROM_START, -1), CS_OK);
    assert_int_equal(join(r, &a[1], "b", 1, CS_ROOMS_FROM_START, -1), CS_OK);
    assert_int_equal(join(r, &a[2], "c", 1, CS_ROOMS_FROM_START, -1), CS_OK);
    posted(r, "d", 1, 1);
    assert_int_equal(posted(r, "e", 2, 1), 0); /* d gave way */
    cs_rooms_unsubscribe(r, a[0].sub, 3);
    assert_int_equal(join(r, &a[0], "e", 4, CS_ROOMS_FROM_START, -1), CS_OK);
    assert_int_equal(posted(r, "f", 5, 1), 0); /* a gave way */
    cs_rooms_unsubscribe(r, a[1].sub, 6);
    assert_int_equal(join(r, &a[1], "f", 6, CS_ROOMS_FROM_START, -1), CS_OK);
    posted(r, "g", 7, 1); /* b gave way */
    cs_rooms_tick(r, 100000);
    assert_int_equal(stats(r).rooms, 3);
    cs_rooms_free(r);
}

static void bytes_in_all_are_bounded(void **state)
{
    cs_rooms *r = open_rooms();
    reader a = {0}, b = {0};
    (void)state;
    assert_int_equal(post(r, "a", 1, 1, 3500).err, CS_OK);
    assert_int_equal(post(r, "b", 2, 1, 3500).err, CS_OK);
    assert_int_equal(post(r, "c", 3, 1, 3500).err, CS_OK); /* a gave way */
    assert_int_equal(stats(r).evicted, 1);
    assert_true(stats(r).bytes <= small.bytes_all);
    assert_int_equal(join(r, &a, "b", 4, CS_ROOMS_FROM_START, -1), CS_OK);
    assert_int_equal(join(r, &b, "c", 4, CS_ROOMS_FROM_START, -1), CS_OK);
    assert_int_equal(post(r, "d", 5, 1, 3500).err, CS_E_ROOM_LIMIT);
    cs_rooms_tick(r, 20000);
    assert_int_equal(stats(r).rooms, 2);
    cs_rooms_unsubscribe(r, a.sub, 20000);
    cs_rooms_unsubscribe(r, b.sub, 20000);
    cs_rooms_tick(r, 40000);
    assert_int_equal(stats(r).rooms, 0);
    assert_int_equal(stats(r).bytes, 0);
    cs_rooms_free(r);
}

static void no_room_without_giving_way(void **state)
{
    cs_rooms_limits l = small;
    cs_rooms *r = NULL;
    reader a = {0}, b = {0};
    (void)state;
    l.rooms = 2;
    assert_int_equal(cs_rooms_new(&r, &l), CS_OK);
    assert_int_equal(join(r, &a, "a", 1, CS_ROOMS_FROM_START, -1), CS_OK);
    assert_int_equal(join(r, &b, "b", 1, CS_ROOMS_FROM_START, -1), CS_OK);
    assert_int_equal(post(r, "c", 1, 1, 1).err, CS_E_ROOM_LIMIT);
    assert_int_equal(unique(r, "c", 1).err, CS_E_ROOM_LIMIT);
    assert_int_equal(cs_rooms_call_begin(r, cs_slice_str("c"), 1), 0);
    cs_rooms_free(r);
}

static void rooms_end_in_time(void **state)
{
    cs_rooms *r = open_rooms();
    reader a = {0};
    (void)state;
    posted(r, "a", 0, 1);
    cs_rooms_tick(r, 9999);
    assert_int_equal(stats(r).rooms, 1);
    cs_rooms_tick(r, 10000);
    assert_int_equal(stats(r).rooms, 0);
    assert_int_equal(join(r, &a, "a", 20000, 57, -1), CS_OK);
    assert_string_equal(taken(&a), "");
    cs_rooms_tick(r, 619999);
    assert_int_equal(a.ended, 0);
    cs_rooms_tick(r, 620000);
    assert_int_equal(a.ended, 1);
    assert_int_equal(stats(r).rooms, 0);
    assert_int_equal(stats(r).subscribers, 0);
    cs_rooms_free(r);
}

static void a_room_whose_call_ended_well_is_forgotten(void **state)
{
    cs_rooms *r = open_rooms();
    cs_slice x = cs_slice_str("x");
    reader a = {0};
    (void)state;
    uint64_t one = cs_rooms_call_begin(r, x, 0);
    uint64_t two = cs_rooms_call_begin(r, x, 0);
    posted(r, "x", 0, 1);
    assert_int_equal(join(r, &a, "x", 0, CS_ROOMS_FROM_START, -1), CS_OK);
    cs_rooms_call_end(r, x, 1, one, true);
    cs_rooms_call_end(r, x, 1, two, true);
    assert_int_equal(stats(r).rooms, 1); /* somebody is still there */
    cs_rooms_unsubscribe(r, a.sub, 2);
    assert_int_equal(stats(r).rooms, 0);

    one = cs_rooms_call_begin(r, x, 3);
    two = cs_rooms_call_begin(r, x, 3);
    cs_rooms_call_end(r, x, 3, two, true);
    assert_int_equal(stats(r).rooms, 1); /* another call is under way */
    cs_rooms_call_end(r, x, 3, one, false);
    assert_int_equal(stats(r).rooms, 1); /* it may be tried again */
    cs_rooms_tick(r, 20000);
    assert_int_equal(stats(r).rooms, 0);

    uint64_t old = cs_rooms_call_begin(r, x, 20000);
    cs_rooms_tick(r, 30000); /* forgotten while the call is under way */
    uint64_t young = cs_rooms_call_begin(r, x, 30000);
    assert_true(old != young);
    cs_rooms_call_end(r, x, 30000, old, true);
    assert_int_equal(stats(r).rooms, 1);
    cs_rooms_call_end(r, x, 30000, young, true);
    cs_rooms_call_end(r, x, 30000, young, true);
    assert_int_equal(stats(r).rooms, 0);
    cs_rooms_free(r);
}

static void who_does_not_read_is_ended(void **state)
{
    cs_rooms *r = open_rooms();
    reader slow = {0}, fast = {0};
    (void)state;
    assert_int_equal(join(r, &slow, "x", 0, CS_ROOMS_FROM_START, -1), CS_OK);
    assert_int_equal(join(r, &fast, "x", 0, CS_ROOMS_FROM_START, -1), CS_OK);
    assert_string_equal(taken(&slow), "");
    for (int i = 0; i < 4; i++) {
        const char want[] = {(char)(i == 0 ? '\0' : '0' + i - 1), '\0'};
        assert_string_equal(taken(&fast), want);
        assert_int_equal(post(r, "x", 0, 1, 900).err, CS_OK);
    }
    assert_int_equal(slow.ended, 1); /* told of the first, then 3 x 900 bytes */
    assert_int_equal(fast.ended, 0);
    assert_int_equal(stats(r).slow, 1);
    assert_int_equal(stats(r).subscribers, 1);
    cs_rooms_free(r);
}

static void ten_thousand_rooms_and_their_names(void **state)
{
    cs_rooms_limits l = small;
    cs_rooms *r = NULL;
    char name[32];
    (void)state;
    l.rooms = 10000;
    l.bytes_all = 64u << 20;
    assert_int_equal(cs_rooms_new(&r, &l), CS_OK);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 10000; i++) {
            snprintf(name, sizeof name, "signing_%d", i);
            assert_int_equal(posted(r, name, 1, 1), round);
        }
    }
    assert_int_equal(stats(r).rooms, 10000);
    assert_int_equal(stats(r).evicted, 0);
    for (int i = 10000; i < 30000; i++) {
        snprintf(name, sizeof name, "signing_%d", i);
        assert_int_equal(posted(r, name, 2, 1), 0);
    }
    assert_int_equal(stats(r).rooms, 10000);
    assert_int_equal(stats(r).evicted, 20000);
    cs_rooms_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(history_positions_and_senders),
        cmocka_unit_test(only_what_begins_as_wanted_is_given_and_told),
        cmocka_unit_test(indices_are_of_their_room),
        cmocka_unit_test(a_room_is_bounded),
        cmocka_unit_test(the_longest_silent_gives_way),
        cmocka_unit_test(a_room_with_a_subscriber_does_not_give_way),
        cmocka_unit_test(bytes_in_all_are_bounded),
        cmocka_unit_test(no_room_without_giving_way),
        cmocka_unit_test(rooms_end_in_time),
        cmocka_unit_test(a_room_whose_call_ended_well_is_forgotten),
        cmocka_unit_test(who_does_not_read_is_ended),
        cmocka_unit_test(ten_thousand_rooms_and_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
