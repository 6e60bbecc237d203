#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/roomframe.h"

static void what_is_written_is_read(void **state)
{
    uint8_t mem[CS_ROOM_HEAD_MAX + 1];
    char account[CS_ROOM_MAX_ACCOUNT], execution[CS_ROOM_MAX_EXECUTION];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_room_body body;

    memset(account, 'a', sizeof account);
    memset(execution, 0, sizeof execution);
    assert_int_equal(
        cs_room_head_put(&b, cs_slice_of(account, sizeof account), cs_slice_of(execution, sizeof execution)), CS_OK);
    assert_int_equal(b.len, CS_ROOM_HEAD_MAX);
    assert_int_equal(cs_put_u8(&b, 3), CS_OK);
    assert_int_equal(cs_room_body_parse(&body, cs_buf_slice(&b)), CS_OK);
    assert_true(cs_slice_eq(body.account_id, cs_slice_of(account, sizeof account)));
    assert_true(cs_slice_eq(body.execution_id, cs_slice_of(execution, sizeof execution)));
    assert_int_equal(body.frame.len, 1);
}

static void lengths_out_of_range_are_not_written(void **state)
{
    uint8_t mem[400], id[129] = {0};
    cs_buf b = cs_buf_wrap(mem, sizeof mem), small = cs_buf_wrap(mem, 4);

    assert_int_equal(cs_room_head_put(&b, cs_slice_of(id, 129), cs_slice_of(id, 1)), CS_E_RANGE);
    assert_int_equal(cs_room_head_put(&b, cs_slice_of(id, 0), cs_slice_of(id, 1)), CS_E_RANGE);
    assert_int_equal(cs_room_head_put(&b, cs_slice_of(id, 1), cs_slice_of(id, 65)), CS_E_RANGE);
    assert_int_equal(cs_room_head_put(&b, cs_slice_of(id, 1), cs_slice_of(id, 0)), CS_E_RANGE);
    assert_int_equal(b.len, 0);
    assert_int_equal(cs_room_head_put(&small, cs_slice_of(id, 1), cs_slice_of(id, 1)), CS_E_RANGE);
    assert_int_equal(small.len, 0);
}

static void what_is_cut_short_or_of_another_shape_is_refused(void **state)
{
    static const uint8_t whole[] = {1, 2, 'a', 'b', 1, 'e', 3};
    static const struct {
        uint8_t at, value;
        cs_err err;
    } bad[] = {{0, 0, CS_E_UNSUPPORTED}, {0, 2, CS_E_UNSUPPORTED}, {1, 0, CS_E_FORMAT},  {1, 129, CS_E_FORMAT},
               {1, 200, CS_E_FORMAT},    {4, 0, CS_E_FORMAT},      {4, 65, CS_E_FORMAT}, {4, 2, CS_E_FORMAT}};
    cs_room_body body = {0};

    assert_int_equal(cs_room_body_parse(&body, cs_slice_of(whole, sizeof whole)), CS_OK);
    for (size_t n = 0; n < sizeof whole; n++) {
        assert_int_equal(cs_room_body_parse(&body, cs_slice_of(whole, n)), CS_E_FORMAT);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t copy[sizeof whole];
        memcpy(copy, whole, sizeof whole);
        copy[bad[i].at] = bad[i].value;
        assert_int_equal(cs_room_body_parse(&body, cs_slice_of(copy, sizeof copy)), bad[i].err);
    }
}

static void an_end_is_read_as_written_and_nothing_else_is_one(void **state)
{
    uint8_t mem[CS_ROOM_END_MAX + 1], channel[16], session[16] = {0};
    cs_buf b = cs_buf_wrap(mem, sizeof mem), small = cs_buf_wrap(mem, 40);
    cs_room_end in = {channel, session, cs_slice_str("CHANNEL_UNKNOWN")}, out;

    memset(channel, 7, sizeof channel);
    assert_int_equal(cs_room_end_put(&small, &in), CS_E_RANGE);
    assert_int_equal(small.len, 0);
    assert_int_equal(cs_room_end_put(&b, &in), CS_OK);
    assert_int_equal(cs_room_end_parse(&out, cs_buf_slice(&b)), CS_OK);
    assert_memory_equal(out.channel16, channel, 16);
    assert_true(cs_slice_eq_str(out.code, "CHANNEL_UNKNOWN"));
    for (size_t n = 0; n < 34; n++) {
        assert_int_equal(cs_room_end_parse(&out, cs_slice_of(mem, n)), CS_E_FORMAT);
    }
    mem[b.len - 1] = 'n';
    assert_int_equal(cs_room_end_parse(&out, cs_buf_slice(&b)), CS_E_FORMAT);
    mem[0] = 3;
    assert_int_equal(cs_room_end_parse(&out, cs_buf_slice(&b)), CS_E_FORMAT);
    in.code = cs_slice_str("");
    assert_int_equal(cs_room_end_put(&b, &in), CS_E_RANGE);
    in.code = cs_slice_str("THIRTY_THREE_BYTES_ARE_ONE_TOO_MANY");
    assert_int_equal(cs_room_end_put(&b, &in), CS_E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(lengths_out_of_range_are_not_written),
        cmocka_unit_test(what_is_cut_short_or_of_another_shape_is_refused),
        cmocka_unit_test(an_end_is_read_as_written_and_nothing_else_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
