/* Bytes: readers that fail or advance, buffers that never pass their maximum. */
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static cs_slice bytes(const char *s)
{
    return cs_slice_str(s);
}

static void reader_fails_or_advances(void **state)
{
    (void)state;
    static const uint8_t in[] = {1, 2, 3, 4, 5, 6, 7};
    cs_reader r = cs_reader_of(cs_slice_of(in, sizeof in));
    uint8_t a = 0;
    uint16_t b = 0;
    uint32_t c = 0;
    uint64_t d = 99;
    assert_int_equal(cs_read_u64(&r, &d), CS_E_FORMAT);
    assert_int_equal(d, 99);
    assert_int_equal(r.left, 7);
    assert_int_equal(cs_read_u8(&r, &a), CS_OK);
    assert_int_equal(cs_read_u16(&r, &b), CS_OK);
    assert_int_equal(cs_read_u32(&r, &c), CS_OK);
    assert_int_equal(a, 1);
    assert_int_equal(b, 0x0203);
    assert_int_equal(c, 0x04050607);
    assert_int_equal(cs_read_end(&r), CS_OK);
    assert_int_equal(cs_read_u8(&r, &a), CS_E_FORMAT);
}

static void reader_gives_slices_of_the_input(void **state)
{
    (void)state;
    cs_slice in = bytes("abcdef"), s;
    cs_reader r = cs_reader_of(in);
    assert_int_equal(cs_read_slice(&r, &s, 4), CS_OK);
    assert_ptr_equal(s.p, in.p);
    assert_int_equal(cs_read_slice(&r, &s, 3), CS_E_FORMAT);
    assert_int_equal(s.len, 4);
    assert_int_equal(cs_read_end(&r), CS_E_FORMAT);
    assert_int_equal(cs_read_slice(&r, &s, 0), CS_OK);
    assert_int_equal(cs_read_slice(&r, &s, SIZE_MAX), CS_E_FORMAT);
}

static void empty_reader_is_at_its_end(void **state)
{
    (void)state;
    cs_reader r = cs_reader_of(CS_SLICE_NULL);
    cs_slice s;
    uint8_t none;
    assert_int_equal(cs_read_end(&r), CS_OK);
    assert_int_equal(cs_read_bytes(&r, &none, 0), CS_OK);
    assert_int_equal(cs_read_line(&r, &s, 10), CS_E_FORMAT);
}

static void line_ends_within_its_limit(void **state)
{
    (void)state;
    cs_reader r = cs_reader_of(bytes("one\n\nthree"));
    cs_slice s;
    assert_int_equal(cs_read_line(&r, &s, 2), CS_E_FORMAT);
    assert_int_equal(cs_read_line(&r, &s, 3), CS_OK);
    assert_true(cs_slice_eq_str(s, "one"));
    assert_int_equal(cs_read_line(&r, &s, 0), CS_OK);
    assert_int_equal(s.len, 0);
    assert_int_equal(cs_read_line(&r, &s, 100), CS_E_FORMAT);
    assert_int_equal(r.left, 5);
}

static void wrapped_buffer_never_passes_its_memory(void **state)
{
    (void)state;
    uint8_t mem[4] = {0, 0, 0, 0x55};
    cs_buf b = cs_buf_wrap(mem, 3);
    assert_int_equal(cs_put_u16(&b, 0x0102), CS_OK);
    assert_int_equal(cs_put_u16(&b, 0x0304), CS_E_RANGE);
    assert_int_equal(b.len, 2);
    assert_int_equal(cs_put_u8(&b, 3), CS_OK);
    assert_int_equal(cs_put_u8(&b, 4), CS_E_RANGE);
    assert_int_equal(mem[3], 0x55);
    assert_memory_equal(mem, "\x01\x02\x03", 3);
}

static void heap_buffer_grows_to_its_maximum_only(void **state)
{
    (void)state;
    cs_buf b = cs_buf_heap(1000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(cs_put_u8(&b, (uint8_t)i), CS_OK);
    }
    assert_int_equal(cs_put_u8(&b, 0), CS_E_RANGE);
    assert_int_equal(b.len, 1000);
    assert_int_equal(b.p[999], (uint8_t)999);
    cs_buf_free(&b);
    assert_int_equal(b.len, 0);
    cs_buf_free(&b);
}

static void zero_state_holds_nothing(void **state)
{
    (void)state;
    cs_buf b = {0};
    uint8_t *at = NULL;
    assert_int_equal(cs_put(&b, "", 0), CS_OK);
    assert_int_equal(cs_put_u8(&b, 1), CS_E_RANGE);
    assert_int_equal(cs_put_space(&b, &at, SIZE_MAX), CS_E_RANGE);
    cs_buf_free(&b);
}

static void space_for_nothing_is_somewhere(void **state)
{
    (void)state;
    cs_buf heap = cs_buf_heap(10), zero = {0};
    uint8_t *at = NULL;
    assert_int_equal(cs_put_space(&heap, &at, 0), CS_OK);
    assert_non_null(at);
    memcpy(at, "", 0);
    assert_int_equal(heap.len, 0);
    at = NULL;
    assert_int_equal(cs_put_space(&zero, &at, 0), CS_OK);
    assert_non_null(at);
    assert_int_equal(cs_put_space(&heap, &at, 10), CS_OK);
    assert_ptr_equal(at, heap.p);
    assert_int_equal(cs_put_space(&heap, &at, 0), CS_OK);
    assert_int_equal(heap.len, 10);
    cs_buf_free(&heap);
}

static void wipe_clears_the_whole_capacity(void **state)
{
    (void)state;
    uint8_t mem[32];
    memset(mem, 0xaa, sizeof mem);
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_put_str(&b, "secret"), CS_OK);
    cs_buf_wipe(&b);
    for (size_t i = 0; i < sizeof mem; i++) {
        assert_int_equal(mem[i], 0);
    }
    assert_int_equal(b.len, 0);
}

static void consume_moves_the_rest_to_the_front(void **state)
{
    (void)state;
    uint8_t mem[8];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_put_str(&b, "abcdef"), CS_OK);
    cs_buf_consume(&b, 4);
    assert_true(cs_slice_eq_str(cs_buf_slice(&b), "ef"));
    cs_buf_consume(&b, 2);
    assert_int_equal(b.len, 0);
}

static void formatted_text_is_whole_or_absent(void **state)
{
    (void)state;
    uint8_t mem[600];
    char big[600];
    cs_buf b = cs_buf_wrap(mem, 6);
    assert_int_equal(cs_put_fmt(&b, "%d-%s", 12, "ab"), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&b), "12-ab"));
    assert_int_equal(cs_put_fmt(&b, "%s", "xy"), CS_E_RANGE);
    assert_int_equal(b.len, 5);
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    b = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_put_fmt(&b, "%s", big), CS_E_RANGE);
    assert_int_equal(b.len, 0);
}

static void integers_are_big_endian_both_ways(void **state)
{
    (void)state;
    uint8_t p[8];
    cs_store_u64(p, UINT64_C(0x0102030405060708));
    assert_memory_equal(p, "\1\2\3\4\5\6\7\10", 8);
    assert_true(cs_load_u64(p) == UINT64_C(0x0102030405060708));
    assert_int_equal(cs_load_u32(p + 4), 0x05060708);
    assert_int_equal(cs_load_u16(p), 0x0102);
    cs_store_u64(p, UINT64_MAX);
    assert_true(cs_load_u64(p) == UINT64_MAX);
}

static void slices_compare_by_content(void **state)
{
    (void)state;
    assert_true(cs_slice_eq(bytes("ab"), bytes("ab")));
    assert_false(cs_slice_eq(bytes("ab"), bytes("abc")));
    assert_false(cs_slice_eq(bytes("ab"), bytes("ac")));
    assert_true(cs_slice_eq(CS_SLICE_NULL, bytes("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_fails_or_advances),
        cmocka_unit_test(reader_gives_slices_of_the_input),
        cmocka_unit_test(empty_reader_is_at_its_end),
        cmocka_unit_test(line_ends_within_its_limit),
        cmocka_unit_test(wrapped_buffer_never_passes_its_memory),
        cmocka_unit_test(heap_buffer_grows_to_its_maximum_only),
        cmocka_unit_test(zero_state_holds_nothing),
        cmocka_unit_test(space_for_nothing_is_somewhere),
        cmocka_unit_test(wipe_clears_the_whole_capacity),
        cmocka_unit_test(consume_moves_the_rest_to_the_front),
        cmocka_unit_test(formatted_text_is_whole_or_absent),
        cmocka_unit_test(integers_are_big_endian_both_ways),
        cmocka_unit_test(slices_compare_by_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
