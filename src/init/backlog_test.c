/* Tests of init/lines and init/backlog: whole lines, bounded, and nobody's loss but the flooder's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "init/backlog.h"

static char got[65536];

static void on_line(void *cookie, cs_slice line)
{
    unsigned *num = cookie;

    assert_true(line.len >= 1 && line.len <= CS_LINE_MAX + 1 && line.p[line.len - 1] == '\n');
    if (strlen(got) + line.len < sizeof got) {
        (void)strncat(got, (const char *)line.p, line.len);
    }
    (*num)++;
}

static void feed(cs_lines *l, const char *text, unsigned *num)
{
    cs_lines_feed(l, cs_slice_str(text), on_line, num);
}

static void test_pieces_become_whole_lines(void **state)
{
    static cs_lines l;
    unsigned num = 0;

    got[0] = '\0';
    feed(&l, "on", &num);
    feed(&l, "e\n\ntwo\nth", &num);
    assert_string_equal(got, "one\n\ntwo\n");
    feed(&l, "", &num);
    cs_lines_end(&l, on_line, &num);
    cs_lines_end(&l, on_line, &num); /* twice: nothing is left */
    assert_string_equal(got, "one\n\ntwo\nth\n");
    assert_int_equal(num, 4);
}

static void test_a_line_that_is_too_long_is_cut(void **state)
{
    static cs_lines l;
    static char text[2 * CS_LINE_MAX + 10];
    unsigned num = 0;

    got[0] = '\0';
    memset(text, 'a', sizeof text - 2);
    text[sizeof text - 2] = '\n';
    feed(&l, text, &num);
    assert_int_equal(num, 3);
    assert_int_equal(strlen(got), sizeof text - 1 + 2); /* each cut adds a LF */
    num = 0;
    got[0] = '\0';
    text[CS_LINE_MAX] = '\n'; /* exactly the limit: not cut */
    text[CS_LINE_MAX + 1] = '\0';
    feed(&l, text, &num);
    assert_int_equal(num, 1);
}

static cs_backlog b;
static cs_backlog_line line;

static void put(unsigned source, const char *text)
{
    cs_backlog_put(&b, source, cs_slice_str(text));
}

static void test_lines_come_out_in_the_order_they_came_in(void **state)
{
    static const unsigned sources[] = {CS_LAUNCH_KMS, CS_LAUNCH_CORE, CS_BACKLOG_INIT, CS_LAUNCH_KMS,
                                       CS_LAUNCH_SERVICE};

    memset(&b, 0, sizeof b);
    assert_false(cs_backlog_take(&b, &line));
    for (size_t i = 0; i < 5; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "line %zu\n", i);
        put(sources[i], text);
    }
    for (size_t i = 0; i < 5; i++) {
        assert_true(cs_backlog_take(&b, &line));
        assert_true(line.source == sources[i] && line.dropped == 0 && line.bytes[5] == '0' + i);
    }
    assert_false(cs_backlog_take(&b, &line));
}

static void test_a_flood_drops_its_own_oldest_lines_only_and_is_counted(void **state)
{
    uint64_t dropped = 0, lines = 0;
    unsigned last = 0;

    memset(&b, 0, sizeof b);
    put(CS_LAUNCH_CORE, "core\n");
    put(CS_BACKLOG_INIT, "init\n");
    for (unsigned i = 0; i < 100000; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "%u %.*s\n", i, (int)(i % 40), "........................................");
        put(CS_LAUNCH_SERVICE, text);
    }
    put(CS_LAUNCH_KMS, "kms\n");
    assert_true(cs_backlog_take(&b, &line) && line.source == CS_LAUNCH_CORE && line.dropped == 0);
    assert_true(cs_backlog_take(&b, &line) && line.source == CS_BACKLOG_INIT && line.dropped == 0);
    while (cs_backlog_take(&b, &line) && line.source == CS_LAUNCH_SERVICE) {
        assert_true(lines == 0 || line.dropped == 0); /* said once */
        dropped += line.dropped;
        lines++;
        line.bytes[line.len - 1] = '\0';
        assert_int_equal(sscanf((char *)line.bytes, "%u", &last), 1);
        assert_int_equal(last, dropped + lines - 1); /* none is missing in between */
    }
    assert_true(dropped > 0 && dropped + lines == 100000 && last == 99999);
    assert_true(line.source == CS_LAUNCH_KMS && line.dropped == 0);
}

static void test_lines_of_every_length_survive_the_end_of_the_ring(void **state)
{
    static uint8_t text[CS_LINE_MAX + 2];

    memset(&b, 0, sizeof b);
    for (size_t len = 1; len <= CS_LINE_MAX + 1; len += 37) {
        memset(text, (int)(len % 251), len);
        cs_backlog_put(&b, CS_LAUNCH_CORE, cs_slice_of(text, len));
        assert_true(cs_backlog_take(&b, &line));
        assert_int_equal(line.len, len);
        assert_memory_equal(line.bytes, text, len);
    }
    cs_backlog_put(&b, CS_LAUNCH_CORE, cs_slice_of(text, CS_LINE_MAX + 2)); /* no line */
    cs_backlog_put(&b, CS_LAUNCH_CORE, cs_slice_of(text, 0));
    cs_backlog_put(&b, 99, cs_slice_str("whose\n"));
    assert_true(cs_backlog_take(&b, &line) && line.source == CS_BACKLOG_INIT);
    assert_false(cs_backlog_take(&b, &line));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_become_whole_lines),
        cmocka_unit_test(test_a_line_that_is_too_long_is_cut),
        cmocka_unit_test(test_lines_come_out_in_the_order_they_came_in),
        cmocka_unit_test(test_a_flood_drops_its_own_oldest_lines_only_and_is_counted),
        cmocka_unit_test(test_lines_of_every_length_survive_the_end_of_the_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
