/* Trace context: what is taken, what begins a new trace, what goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/trace.h"

#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static cs_err read_parent(const char *text)
{
    cs_trace t;
    return cs_trace_parent_read(&t, cs_slice_str(text));
}

static void a_traceparent_is_read_and_written(void **state)
{
    cs_trace t;
    uint8_t mem[CS_TRACE_PARENT_LEN];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    (void)state;
    assert_int_equal(cs_trace_parent_read(&t, cs_slice_str(PARENT)), CS_OK);
    assert_int_equal(t.flags, CS_TRACE_SAMPLED);
    assert_int_equal(t.id[0], 0x4b);
    assert_int_equal(t.parent[7], 0xb7);
    memcpy(t.span, t.parent, sizeof t.span);
    assert_int_equal(cs_trace_parent_put(&out, &t), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&out), PARENT));
    out = cs_buf_wrap(mem, sizeof mem - 1);
    assert_int_equal(cs_trace_parent_put(&out, &t), CS_E_RANGE);
    assert_int_equal(out.len, 0);
}

static void a_traceparent_that_is_not_exactly_one_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0A-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01x",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        PARENT "-",
        PARENT "-more",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        " " PARENT,
    };
    cs_trace t = {.flags = 77};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(read_parent(wrong[i]), CS_E_FORMAT);
    }
    assert_int_equal(cs_trace_parent_read(&t, cs_slice_str("x")), CS_E_FORMAT);
    assert_int_equal(t.flags, 77); /* as before */
    assert_int_equal(read_parent("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-more"), CS_OK);
}

static void a_request_goes_on_in_its_trace_as_a_span_of_ours(void **state)
{
    cs_trace_headers h = {0};
    cs_trace t, child;
    (void)state;
    cs_trace_header(&h, cs_slice_str("TraceParent"), cs_slice_str("\t" PARENT " "));
    cs_trace_header(&h, cs_slice_str("tracestate"), cs_slice_str(" a=1 , ,b=2"));
    cs_trace_header(&h, cs_slice_str("TRACESTATE"), cs_slice_str("a=3,c@d= x"));
    cs_trace_header(&h, cs_slice_str("trace-state"), cs_slice_str("z=1"));
    assert_int_equal(cs_trace_take(&t, &h), CS_OK);
    assert_int_equal(t.id[15], 0x36);
    assert_int_equal(t.parent[0], 0);
    assert_int_equal(t.parent[1], 0xf0);
    assert_memory_not_equal(t.span, t.parent, 8);
    assert_true(cs_slice_eq_str(cs_trace_state(&t), "a=1,b=2,c@d= x"));
    assert_int_equal(cs_trace_child(&child, &t), CS_OK);
    assert_memory_equal(child.id, t.id, 16);
    assert_memory_equal(child.parent, t.span, 8);
    assert_memory_not_equal(child.span, t.span, 8);
    assert_int_equal(child.state_len, t.state_len);
}

static void none_two_or_a_wrong_one_begin_a_new_trace(void **state)
{
    cs_trace_headers none = {0}, two = {0}, wrong = {0};
    cs_trace a, b;
    (void)state;
    cs_trace_header(&none, cs_slice_str("tracestate"), cs_slice_str("a=1"));
    assert_int_equal(cs_trace_take(&a, &none), CS_OK);
    assert_int_equal(a.state_len, 0); /* of another trace */
    assert_int_equal(a.flags, CS_TRACE_SAMPLED | CS_TRACE_RANDOM);
    cs_trace_header(&two, cs_slice_str("traceparent"), cs_slice_str(PARENT));
    cs_trace_header(&two, cs_slice_str("traceparent"), cs_slice_str(PARENT));
    assert_int_equal(cs_trace_take(&b, &two), CS_OK);
    assert_memory_not_equal(a.id, b.id, 16);
    assert_int_not_equal(b.id[0] == 0x4b && b.id[1] == 0xf9 && b.id[2] == 0x2f, 1);
    cs_trace_header(&wrong, cs_slice_str("traceparent"), cs_slice_str("no"));
    assert_int_equal(cs_trace_take(&b, &wrong), CS_OK);
    assert_int_equal(b.parent[1], 0);
}

static void a_tracestate_that_is_wrong_is_dropped_and_the_trace_stays(void **state)
{
    static const char *const wrong[] = {"A=1",  "a",     "a=",     "=1",     "a =1", "a=b=c",
                                        "@a=1", "a.b=1", "a=\x01", "a=\x7f", "a=1,b"};
    cs_trace t = {0};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cs_slice one[] = {cs_slice_str("ok=1"), cs_slice_str(wrong[i])};
        assert_int_equal(cs_trace_state_read(&t, one, 2), CS_E_FORMAT);
        assert_int_equal(t.state_len, 0);
        cs_trace_headers h = {0};
        cs_trace_header(&h, cs_slice_str("traceparent"), cs_slice_str(PARENT));
        cs_trace_header(&h, cs_slice_str("tracestate"), one[1]);
        assert_int_equal(cs_trace_take(&t, &h), CS_OK);
        assert_int_equal(t.id[0], 0x4b);
        assert_int_equal(t.state_len, 0);
    }
}

static void members_and_bytes_are_bounded(void **state)
{
    char text[4096] = "";
    size_t len = 0;
    cs_trace t = {0};
    (void)state;
    for (int i = 0; i < CS_TRACE_MEMBERS_MAX; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, "%skey%02d=0123456789", i > 0 ? "," : "", i);
    }
    cs_slice all[2] = {cs_slice_str(text), cs_slice_str("one=more")};
    assert_int_equal(cs_trace_state_read(&t, all, 1), CS_OK); /* 32 of 16 bytes and 31 commas: the last ones go */
    assert_int_equal(t.state_len, 30 * 16 + 29);
    assert_int_equal(cs_trace_state_read(&t, all, 2), CS_E_RANGE);
    memset(text, 'k', 200);
    (void)snprintf(text + 200, sizeof text - 200, "=1");
    char more[500];
    memset(more, 'm', 150);
    (void)snprintf(more + 150, sizeof more - 150, "=1,short=%0120d,%0121d=2,tail=1", 1, 2);
    cs_slice longs[2] = {cs_slice_str(text), cs_slice_str(more)};
    assert_int_equal(cs_trace_state_read(&t, longs, 2), CS_OK); /* the last of those over 128 goes first */
    assert_true(t.state_len <= CS_TRACE_STATE_MAX);
    assert_int_equal(t.state[0], 'k');
    assert_null(memchr(t.state, 'm', t.state_len));
    assert_memory_equal(t.state + t.state_len - 7, ",tail=1", 7);
    cs_trace_headers h = {0};
    cs_trace_header(&h, cs_slice_str("traceparent"), cs_slice_str(PARENT));
    for (int i = 0; i <= CS_TRACE_HEADERS_MAX; i++) {
        cs_trace_header(&h, cs_slice_str("tracestate"), cs_slice_str(i == 0 ? "a=1" : ""));
    }
    assert_int_equal(cs_trace_take(&t, &h), CS_OK);
    assert_int_equal(t.state_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_traceparent_is_read_and_written),
        cmocka_unit_test(a_traceparent_that_is_not_exactly_one_is_refused),
        cmocka_unit_test(a_request_goes_on_in_its_trace_as_a_span_of_ours),
        cmocka_unit_test(none_two_or_a_wrong_one_begin_a_new_trace),
        cmocka_unit_test(a_tracestate_that_is_wrong_is_dropped_and_the_trace_stays),
        cmocka_unit_test(members_and_bytes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
