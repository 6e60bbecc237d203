/* Event streams: what is an event, and that the cut of the bytes changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/sse.h"

struct got {
    char text[4096]; /* type|data|id; for each event */
    size_t len;
    unsigned num, stop_at;
};

static cs_err on_event(void *cookie, const cs_sse_event *e)
{
    struct got *g = cookie;
    const cs_slice parts[] = {e->type, e->data, e->id};

    for (size_t i = 0; i < 3; i++) {
        assert_true(g->len + parts[i].len + 2 < sizeof g->text);
        memcpy(g->text + g->len, parts[i].len > 0 ? parts[i].p : (const uint8_t *)"", parts[i].len);
        g->len += parts[i].len;
        g->text[g->len++] = i < 2 ? '|' : ';';
    }
    g->text[g->len] = '\0';
    return ++g->num == g->stop_at ? CS_E_CLOSED : CS_OK;
}

static cs_err feed_in(cs_sse *s, cs_slice all, size_t step)
{
    cs_err err = CS_OK;

    for (size_t at = 0; at < all.len && err == CS_OK; at += step) {
        err = cs_sse_feed(s, cs_slice_of(all.p + at, all.len - at < step ? all.len - at : step));
    }
    return err;
}

static void gives_bytes(cs_slice stream, const char *want)
{
    for (size_t step = 1; step <= stream.len; step++) {
        struct got g = {0};
        cs_sse *s = NULL;

        assert_int_equal(cs_sse_new(&s, 0, on_event, &g), CS_OK);
        assert_int_equal(feed_in(s, stream, step), CS_OK);
        assert_string_equal(g.text, want);
        cs_sse_free(s);
    }
}

static void gives(const char *stream, const char *want)
{
    gives_bytes(cs_slice_str(stream), want);
}

static void fields_make_events(void **state)
{
    (void)state;
    gives("data: a\n\n", "message|a|;");
    gives("data:a\n\n", "message|a|;");
    gives("data:  a\n\n", "message| a|;");
    gives("data:\ta\n\n", "message|\ta|;");
    gives("event: new-message\nid: 7\ndata: {}\n\n", "new-message|{}|7;");
    gives("data: a\ndata: b\ndata\ndata: c\n\n", "message|a\nb\n\nc|;");
    gives("data\n\ndata\ndata\n\ndata:", "message||;message|\n|;");
    gives(": comment\n\ndata: a\n:\n\n", "message|a|;");
    gives("DATA: a\ndata : b\n datA: c\nfoo: d\nfoo\ndatas: e\n\ndata: x:y\n\n", "message|x:y|;");
    gives("event: a\n\ndata: b\n\n", "message|b|;"); /* a name without data names nothing */
    gives("event: a\nevent: b\ndata: c\n\n", "b|c|;");
    gives("event: a\nevent\ndata: c\n\n", "message|c|;");
    gives("data: a\n\n\n\n\ndata: b\n\n", "message|a|;message|b|;");
    gives("data: never finished\n", "");
    gives_bytes(cs_slice_of("data: a\0b\n\n", 11), "message|a"); /* as a C string */
}

static void lines_end_in_three_ways(void **state)
{
    (void)state;
    gives("data: a\r\rdata: b\r\n\r\ndata: c\n\n", "message|a|;message|b|;message|c|;");
    gives("data: a\r\ndata: b\rdata: c\n\r", "message|a\nb\nc|;");
    gives("data: a\n\r\ndata: b\n\n", "message|a|;message|b|;");
    gives("\r\r\r\n\n\ndata: a\r\n\r", "message|a|;");
}

static void an_id_stays_until_the_next(void **state)
{
    (void)state;
    gives("id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", "message|a|1;message|b|1;message|c|;");
    gives("id: 5\n\ndata: a\n\n", "message|a|5;"); /* no event, but the id counts */
    gives_bytes(cs_slice_of("id: 1\nid: 2\0003\ndata: a\n\n", 23), "message|a|1;");
    gives("id: 1\nid: 2\ndata: a\n\n", "message|a|2;");
}

static void one_byte_order_mark_is_no_text(void **state)
{
    (void)state;
    gives("\xef\xbb\xbf"
          "data: a\n\n",
          "message|a|;");
    gives("\xef\xbb\xbf\xef\xbb\xbf"
          "data: a\n\ndata: b\n\n",
          "message|b|;");
    gives("\xef\xbb"
          "data: a\n\ndata: b\n\n",
          "message|b|;");
    gives("data: \xef\xbb\xbf\n\n", "message|\xef\xbb\xbf|;");
    gives("\xef\n\xbb\xbf\ndata: a\n\n", "message|a|;");
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    (void)state;
    gives("data: \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n\n", "message|\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80|;");
    gives("data: a\xff"
          "b\xc3\n\n",
          "message|a\xef\xbf\xbd"
          "b\xef\xbf\xbd|;");
    gives("data: \xe2\x82x\xed\xa0\x80\n\n", "message|\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|;");
    gives("data: \xf0\x80\xf4\x90\xc0\xaf\n\n",
          "message|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|;");
    gives("id: \xff\nevent: \xfe\ndata: a\n\n", "\xef\xbf\xbd|a|\xef\xbf\xbd;");
}

static void retry_is_a_number_or_nothing(void **state)
{
    static const struct {
        const char *stream;
        uint64_t want;
    } cases[] = {
        {"retry: 5000\n", 5000},        {"retry:0\n", 0},          {"retry: 10\nretry: x\n", 10},
        {"retry: 10\nretry\n", 10},     {"retry: 7\nretry:\n", 7}, {"retry: 10\nretry: 1x\n", 10},
        {"retry: 10\nretry: -1\n", 10}, {"retry: 20", 0},          {"retry: 1\rretry: 3\r\n", 3},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t step = 1; step < 30; step++) {
            struct got g = {0};
            cs_sse *s = NULL;

            assert_int_equal(cs_sse_new(&s, 0, on_event, &g), CS_OK);
            assert_int_equal(feed_in(s, cs_slice_str(cases[i].stream), step), CS_OK);
            assert_int_equal(cs_sse_retry_ms(s), cases[i].want);
            cs_sse_free(s);
        }
    }
    struct got g = {0};
    cs_sse *s = NULL;
    assert_int_equal(cs_sse_new(&s, 0, on_event, &g), CS_OK);
    assert_int_equal(cs_sse_feed(s, cs_slice_str("retry: 99999999999999999999999999999999999\n")), CS_OK);
    assert_true(cs_sse_retry_ms(s) >= UINT32_MAX && cs_sse_retry_ms(s) < (uint64_t)1 << 40);
    cs_sse_free(s);
}

static void what_is_too_large_ends_the_stream(void **state)
{
    char value[CS_SSE_FIELD_MAX + 2];
    static const char *const fields[] = {"id: ", "event: ", "data: "};

    (void)state;
    memset(value, 'x', sizeof value);
    for (size_t f = 0; f < 3; f++) {
        for (size_t extra = 0; extra < 2; extra++) {
            struct got g = {0};
            cs_sse *s = NULL;
            cs_err err;

            assert_int_equal(cs_sse_new(&s, CS_SSE_FIELD_MAX, on_event, &g), CS_OK);
            assert_int_equal(cs_sse_feed(s, cs_slice_str(fields[f])), CS_OK);
            err = cs_sse_feed(s, cs_slice_of(value, CS_SSE_FIELD_MAX + extra));
            if (err == CS_OK) {
                err = cs_sse_feed(s, cs_slice_str("\n"));
            }
            assert_int_equal(err, extra == 0 ? CS_OK : CS_E_TOO_LARGE);
            cs_sse_free(s);
        }
    }
}

static void an_id_that_does_not_count_is_bounded_too(void **state)
{
    char line[400] = "id: ";

    (void)state;
    memset(line + 4, 'x', sizeof line - 4);
    line[350] = '\0';
    for (size_t step = 1; step <= sizeof line; step++) {
        struct got g = {0};
        cs_sse *s = NULL;

        assert_int_equal(cs_sse_new(&s, 0, on_event, &g), CS_OK);
        assert_int_equal(feed_in(s, cs_slice_of(line, sizeof line), step), CS_E_TOO_LARGE);
        cs_sse_free(s);
    }
}

static void comments_and_unknown_fields_cost_no_memory(void **state)
{
    static char block[65536];
    struct got g = {0};
    cs_sse *s = NULL;

    (void)state;
    memset(block, 'c', sizeof block);
    assert_int_equal(cs_sse_new(&s, 64, on_event, &g), CS_OK);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(cs_sse_feed(s, cs_slice_of(block, sizeof block)), CS_OK);
    }
    assert_int_equal(cs_sse_feed(s, cs_slice_str("\n:")), CS_OK);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(cs_sse_feed(s, cs_slice_of(block, sizeof block)), CS_OK);
    }
    assert_int_equal(cs_sse_held(s), 0);
    assert_int_equal(cs_sse_feed(s, cs_slice_str("\ndata: a\n\n")), CS_OK);
    assert_string_equal(g.text, "message|a|;");
    cs_sse_free(s);
}

static void a_large_event_leaves_no_memory_behind(void **state)
{
    static char block[100000];
    struct got g = {.len = 0};
    cs_sse *s = NULL;

    (void)state;
    memset(block, 'd', sizeof block);
    assert_int_equal(cs_sse_new(&s, 0, on_event, &g), CS_OK);
    assert_int_equal(cs_sse_feed(s, cs_slice_str("data: ")), CS_OK);
    assert_int_equal(cs_sse_feed(s, cs_slice_of(block, sizeof block)), CS_OK);
    assert_true(cs_sse_held(s) >= sizeof block);
    cs_sse_reset(s);
    assert_int_equal(cs_sse_held(s), 0);
    cs_sse_free(s);
}

static void the_receivers_error_ends_the_feed(void **state)
{
    struct got g = {.stop_at = 2};
    cs_sse *s = NULL;

    (void)state;
    assert_int_equal(cs_sse_new(&s, 0, on_event, &g), CS_OK);
    assert_int_equal(cs_sse_feed(s, cs_slice_str("data: a\n\ndata: b\n\ndata: c\n\n")), CS_E_CLOSED);
    assert_int_equal(g.num, 2);
    cs_sse_free(s);
}

static void a_new_connection_keeps_id_and_retry(void **state)
{
    struct got g = {0};
    cs_sse *s = NULL;

    (void)state;
    assert_int_equal(cs_sse_new(&s, 0, on_event, &g), CS_OK);
    assert_int_equal(cs_sse_feed(s, cs_slice_str("retry: 9\nid: 3\ndata: a\n\ndata: lost\nid: 4")), CS_OK);
    cs_sse_reset(s);
    assert_true(cs_slice_eq_str(cs_sse_last_id(s), "3"));
    assert_int_equal(cs_sse_retry_ms(s), 9);
    assert_int_equal(cs_sse_feed(s, cs_slice_str("\xef\xbb\xbf\ndata: b\n\n")), CS_OK);
    assert_string_equal(g.text, "message|a|3;message|b|3;");
    cs_sse_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_make_events),
        cmocka_unit_test(lines_end_in_three_ways),
        cmocka_unit_test(an_id_stays_until_the_next),
        cmocka_unit_test(one_byte_order_mark_is_no_text),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
        cmocka_unit_test(retry_is_a_number_or_nothing),
        cmocka_unit_test(what_is_too_large_ends_the_stream),
        cmocka_unit_test(an_id_that_does_not_count_is_bounded_too),
        cmocka_unit_test(comments_and_unknown_fields_cost_no_memory),
        cmocka_unit_test(a_large_event_leaves_no_memory_behind),
        cmocka_unit_test(the_receivers_error_ends_the_feed),
        cmocka_unit_test(a_new_connection_keeps_id_and_retry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
