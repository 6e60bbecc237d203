#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/hello.h"

static cs_hello sample(void)
{
    cs_hello h = {.account_id = cs_slice_str("account-1"), .tx_id = -7, .execution_id = cs_slice_str("e1"), .epoch = 3};
    memset(h.digest32, 0xd1, 32);
    h.path[0] = 0;
    h.path[1] = 0x7fffffff;
    h.path_len = 2;
    return h;
}

static void what_is_written_is_read(void **state)
{
    uint8_t mem[CS_HELLO_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_hello h = sample(), g;
    assert_int_equal(cs_hello_put(&b, &h), CS_OK);
    assert_int_equal(cs_hello_parse(&g, cs_buf_slice(&b)), CS_OK);
    assert_true(cs_slice_eq(g.account_id, h.account_id));
    assert_true(g.tx_id == -7 && g.epoch == 3 && g.path_len == 2 && g.path[1] == 0x7fffffff);
    assert_true(cs_hello_same_request(&h, &g));
    g.digest32[31] ^= 1;
    assert_false(cs_hello_same_request(&h, &g));
}

static void the_longest_hello_fits(void **state)
{
    uint8_t mem[CS_HELLO_MAX], label[CS_HELLO_LABEL_MAX];
    char id[128], exec[64];
    cs_buf b = cs_buf_wrap(mem, sizeof mem), l = cs_buf_wrap(label, sizeof label);
    memset(id, 'x', sizeof id);
    memset(exec, 1, sizeof exec);
    cs_hello h = sample();
    h.account_id = cs_slice_of(id, sizeof id);
    h.execution_id = cs_slice_of(exec, sizeof exec);
    h.tx_id = INT64_MIN;
    h.epoch = UINT32_MAX;
    h.path_len = CS_HELLO_MAX_PATH;
    for (size_t i = 0; i < CS_HELLO_MAX_PATH; i++) {
        h.path[i] = 0x7fffffff;
    }
    assert_int_equal(cs_hello_put(&b, &h), CS_OK);
    assert_int_equal(cs_hello_label_input(&l, &h), CS_OK);
}

static void fields_out_of_range_are_not_written(void **state)
{
    uint8_t mem[CS_HELLO_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_hello h = sample();
    h.account_id = cs_slice_str("a/b");
    assert_int_equal(cs_hello_put(&b, &h), CS_E_RANGE);
    h = sample();
    h.execution_id = CS_SLICE_NULL;
    assert_int_equal(cs_hello_put(&b, &h), CS_E_RANGE);
    h = sample();
    h.path[0] = 0x80000000u;
    assert_int_equal(cs_hello_put(&b, &h), CS_E_RANGE);
    h = sample();
    h.path_len = 11;
    assert_int_equal(cs_hello_put(&b, &h), CS_E_RANGE);
    assert_int_equal(b.len, 0);
}

static void every_truncation_and_extension_is_refused(void **state)
{
    uint8_t mem[CS_HELLO_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_hello h = sample(), g;
    assert_int_equal(cs_hello_put(&b, &h), CS_OK);
    for (size_t i = 0; i < b.len; i++) {
        assert_int_not_equal(cs_hello_parse(&g, cs_slice_of(mem, i)), CS_OK);
    }
    mem[b.len] = 0;
    assert_int_equal(cs_hello_parse(&g, cs_slice_of(mem, b.len + 1)), CS_E_FORMAT);
}

static void a_digest_of_another_length_has_its_own_code(void **state)
{
    uint8_t mem[CS_HELLO_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_hello h = sample(), g;
    assert_int_equal(cs_hello_put(&b, &h), CS_OK);
    /* key 4, byte string 0x58 0x20: cut one byte of the digest */
    uint8_t *p = memmem(mem, b.len, "\x04\x58\x20", 3);
    assert_non_null(p);
    p[2] = 0x1f;
    size_t tail = b.len - (size_t)(p + 4 - mem);
    memmove(p + 3, p + 4, tail);
    assert_int_equal(cs_hello_parse(&g, cs_slice_of(mem, b.len - 1)), CS_E_DIGEST_LENGTH);
}

static void account_ids_are_limited(void **state)
{
    char long_id[129];
    memset(long_id, 'a', sizeof long_id);
    assert_true(cs_account_id_valid(cs_slice_of(long_id, 128)));
    assert_false(cs_account_id_valid(cs_slice_of(long_id, 129)));
    assert_true(cs_account_id_valid(cs_slice_str("A b~!")));
    assert_false(cs_account_id_valid(CS_SLICE_NULL));
    assert_false(cs_account_id_valid(cs_slice_str("a\"b")));
    assert_false(cs_account_id_valid(cs_slice_str("a\\b")));
    assert_false(cs_account_id_valid(cs_slice_str("countersign/x")));
    assert_false(cs_account_id_valid(cs_slice_str("a\x7f")));
    assert_false(cs_account_id_valid(cs_slice_str("\xc3\xa9")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_longest_hello_fits),
        cmocka_unit_test(fields_out_of_range_are_not_written),
        cmocka_unit_test(every_truncation_and_extension_is_refused),
        cmocka_unit_test(a_digest_of_another_length_has_its_own_code),
        cmocka_unit_test(account_ids_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
