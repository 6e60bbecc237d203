#include "net/h2/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

enum { DATA, HEADERS, PRIORITY, RST, WINDOW_UPDATE = 8, CONTINUATION, END = 1, END_HEADERS = 4 };

typedef struct wire {
    uint8_t p[16384];
    size_t len;
} wire;

static void preface(wire *w)
{
    memcpy(w->p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    w->len = 24;
}

static void frame(wire *w, unsigned type, unsigned flags, uint32_t id, size_t payload)
{
    uint8_t head[9] = {0, (uint8_t)(payload >> 8), (uint8_t)payload, (uint8_t)type, (uint8_t)flags};
    cs_store_u32(head + 5, id);
    assert_true(w->len + 9 + payload <= sizeof w->p);
    memcpy(w->p + w->len, head, 9);
    memset(w->p + w->len + 9, 1, payload); /* would be frames of their own, were it not skipped */
    w->len += 9 + payload;
}

/* The verdict for the bytes as a whole and byte by byte; the bytes before `bad` are good. */
static void expect(const wire *w, uint32_t error, size_t bad)
{
    cs_h2_guard whole = {0};
    cs_h2_guard bytes = {0};
    size_t good = 0;
    size_t sum = 0;
    uint32_t got = 99;
    cs_err want = error == 0 ? CS_OK : CS_E_FORMAT;
    assert_int_equal(cs_h2_guard_read(&whole, &good, &got, cs_slice_of(w->p, w->len)), want);
    assert_int_equal(got, error);
    assert_int_equal(good, bad);
    cs_err err = CS_OK;
    for (size_t i = 0; i < w->len && err == CS_OK; i++) {
        err = cs_h2_guard_read(&bytes, &good, &got, cs_slice_of(w->p + i, 1));
        sum += good;
    }
    assert_int_equal(err, want);
    assert_int_equal(got, error);
    assert_int_equal(sum, error == 0 ? bad : bad + 8);
}

static void good_streams(void **state)
{
    wire w;
    preface(&w);
    frame(&w, 4, 0, 0, 6);
    frame(&w, HEADERS, END_HEADERS, 1, 20);
    frame(&w, HEADERS, END_HEADERS | END, 3, 20);
    frame(&w, DATA, 0, 1, 300);
    frame(&w, HEADERS, END_HEADERS | END, 1, 5); /* trailers */
    frame(&w, RST, 0, 1, 4);                     /* of a stream that it has ended, twice: allowed */
    frame(&w, RST, 0, 1, 4);
    frame(&w, WINDOW_UPDATE, 0, 1, 4);
    frame(&w, PRIORITY, 0, 3, 5);
    frame(&w, HEADERS, END, 5, 2);
    frame(&w, CONTINUATION, END_HEADERS, 5, 2);
    frame(&w, HEADERS, END_HEADERS, 7, 0);
    expect(&w, 0, w.len);
}

/* type comes on stream 1 after it has ended by `how` */
static void after_end(unsigned how, unsigned type, uint32_t error)
{
    wire w;
    preface(&w);
    frame(&w, HEADERS, END_HEADERS | (how == HEADERS ? END : 0), 1, 20);
    if (how == DATA) {
        frame(&w, DATA, END, 1, 7);
    } else if (how == RST) {
        frame(&w, RST, 0, 1, 4);
    }
    size_t bad = w.len;
    frame(&w, type, END_HEADERS, 1, 9);
    expect(&w, error, error == 0 ? w.len : bad);
}

static void frames_after_the_end(void **state)
{
    static const unsigned ends[] = {HEADERS, DATA, RST};
    for (size_t i = 0; i < 3; i++) {
        after_end(ends[i], DATA, 5);
        after_end(ends[i], HEADERS, 5);
        after_end(ends[i], RST, 0);
        after_end(ends[i], WINDOW_UPDATE, 0);
        after_end(ends[i], PRIORITY, 0);
    }
}

static void ids_that_run_backwards(void **state)
{
    wire w;
    preface(&w);
    frame(&w, HEADERS, END_HEADERS, 5, 20);
    size_t bad = w.len;
    frame(&w, HEADERS, END_HEADERS, 3, 20);
    expect(&w, 1, bad);
    w.len = bad;
    frame(&w, DATA, 0, 1, 20);
    expect(&w, 5, bad);
    w.len = bad;
    frame(&w, RST, 0, 3, 4);
    frame(&w, DATA, 0, 7, 4); /* idle: nghttp2's */
    frame(&w, DATA, 0, 2, 4); /* even: nghttp2's */
    frame(&w, HEADERS, 0, 0, 4);
    frame(&w, HEADERS, 0, 0x80000007u, 4); /* the reserved bit says nothing */
    frame(&w, DATA, 0, 7, 4);
    expect(&w, 0, w.len);
}

/* Memory is bounded: what is long ago is not known, and no error. */
static void old_streams_are_forgotten(void **state)
{
    wire w;
    preface(&w);
    for (uint32_t i = 0; i <= CS_H2_GUARD_ENDED; i++) {
        frame(&w, HEADERS, END_HEADERS | END, 1 + 2 * i, 1);
    }
    frame(&w, DATA, 0, 1, 1);
    expect(&w, 0, w.len);
    size_t bad = w.len;
    frame(&w, DATA, 0, 3, 1);
    expect(&w, 5, bad);
    preface(&w);
    for (uint32_t i = 0; i <= CS_H2_GUARD_GAPS; i++) {
        frame(&w, HEADERS, END_HEADERS, 3 + 4 * i, 1);
    }
    frame(&w, HEADERS, END_HEADERS, 1, 1);
    expect(&w, 0, w.len);
    bad = w.len;
    frame(&w, HEADERS, END_HEADERS, 5, 1);
    expect(&w, 1, bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_streams),
        cmocka_unit_test(frames_after_the_end),
        cmocka_unit_test(ids_that_run_backwards),
        cmocka_unit_test(old_streams_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
