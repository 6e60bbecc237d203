/* Tests of rpc/core_rpc: round trip of each row of the table, every refusal, frames filled in place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "rpc/core_rpc.h"

static uint8_t mem[CS_RPC_MAX + 64];

static cs_slice s(const char *text)
{
    return cs_slice_str(text);
}

/* A frame of type t with a value in each field. */
static cs_rpc_frame sample(cs_rpc_type t)
{
    cs_rpc_frame f = {.type = t, .id = 0x1234567890};
    const char *fields = cs_rpc_fields(t);

    for (size_t i = 0; fields[i] != '\0'; i++) {
        f.f[i].u = fields[i] == 'u' ? 1000 + i : 0;
        f.f[i].s = fields[i] == 'u' || fields[i] == 'm' ? CS_SLICE_NULL : s("f\xc3\xbcld value longer than 23 bytes");
        if (fields[i] == 'm') {
            f.f[i].m.num = 2;
            f.f[i].m.key[0] = s("b");
            f.f[i].m.value[0] = s("2");
            f.f[i].m.key[1] = s("aa");
            f.f[i].m.value[1] = s("");
        }
    }
    return f;
}

static void assert_same(const cs_rpc_frame *a, const cs_rpc_frame *b)
{
    const char *fields = cs_rpc_fields(a->type);

    assert_int_equal(a->type, b->type);
    assert_true(a->id == b->id);
    for (size_t i = 0; fields[i] != '\0'; i++) {
        assert_true(a->f[i].u == b->f[i].u);
        assert_true(cs_slice_eq(a->f[i].s, b->f[i].s));
        assert_int_equal(a->f[i].m.num, b->f[i].m.num);
        for (size_t k = 0; k < a->f[i].m.num; k++) {
            assert_true(cs_slice_eq(a->f[i].m.key[k], b->f[i].m.key[k]));
            assert_true(cs_slice_eq(a->f[i].m.value[k], b->f[i].m.value[k]));
        }
    }
}

static void test_each_row_comes_back_as_it_went(void **state)
{
    size_t seen = 0;

    for (unsigned t = 0; t < 300; t++) {
        cs_rpc_frame f, back;
        cs_buf b = cs_buf_wrap(mem, CS_RPC_MAX);

        if (cs_rpc_name((cs_rpc_type)t) == NULL) {
            assert_null(cs_rpc_fields((cs_rpc_type)t));
            continue;
        }
        f = sample((cs_rpc_type)t);
        assert_int_equal(cs_rpc_encode(&b, &f), CS_OK);
        assert_int_equal(cs_rpc_decode(&back, cs_buf_slice(&b)), CS_OK);
        assert_same(&f, &back);
        /* every truncation and every extension is refused */
        for (size_t n = 0; n < b.len; n++) {
            assert_int_equal(cs_rpc_decode(&back, cs_slice_of(mem, n)), CS_E_FORMAT);
        }
        mem[b.len] = 0;
        assert_int_equal(cs_rpc_decode(&back, cs_slice_of(mem, b.len + 1)), CS_E_FORMAT);
        seen++;
    }
    assert_int_equal(seen, 28);
}

static void test_frames_that_are_not_of_the_table_are_refused(void **state)
{
    static const struct {
        const char *hex;
        const char *why;
    } bad[] = {
        {"", "nothing"},
        {"820c01", "unknown type"},
        {"821901004100", "unknown large type"},
        {"8101", "no id"},
        {"83010100", "a field too many"},
        {"820201", "a field too few"},
        {"83020161", "text where bytes belong"},
        {"8302016178", "text where bytes belong, whole"},
        {"84041841 4100 4100", "bytes where text belongs"},
        {"830201f6", "null"},
        {"82200 1", "negative type"},
        {"820120", "negative id"},
        {"82180101", "type not in shortest form"},
        {"82011801", "id not in shortest form"},
        {"9f0101ff", "indefinite array"},
        {"8302015f4100ff", "indefinite bytes"},
        {"c1820101", "tag"},
        {"a10101", "map"},
        {"84 04 01 40 61ff", "text that is not UTF-8"},
    };
    cs_rpc_frame f;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char hex[64];
        size_t n = 0;

        for (const char *p = bad[i].hex; *p != '\0'; p++) {
            if (*p != ' ') {
                hex[n++] = *p;
            }
        }
        assert_int_equal(cs_hex_decode(mem, n / 2, cs_slice_of(hex, n / 2 * 2)), CS_OK);
        if (cs_rpc_decode(&f, cs_slice_of(mem, n / 2)) != CS_E_FORMAT) {
            fail_msg("accepted: %s", bad[i].why);
        }
        assert_int_equal(f.type, 0);
    }
}

static void test_maps_are_sorted_without_duplicates_and_bounded(void **state)
{
    cs_rpc_frame f = sample(CS_RPC_KMS_CALL), back;
    cs_buf b = cs_buf_wrap(mem, CS_RPC_MAX);
    static char keys[CS_RPC_CONTEXT_MAX][4];

    /* encode sorts: the longer key goes last whatever its letters */
    f.f[4].m.key[0] = s("aa");
    f.f[4].m.key[1] = s("b");
    assert_int_equal(cs_rpc_encode(&b, &f), CS_OK);
    assert_int_equal(cs_rpc_decode(&back, cs_buf_slice(&b)), CS_OK);
    assert_true(cs_slice_eq_str(back.f[4].m.key[0], "b"));
    /* decode refuses another order: swap the two entries "b": "" and "aa": "2" */
    memcpy(mem + b.len - 8,
           "\x62"
           "aa\x61"
           "2\x61"
           "b\x60",
           8);
    assert_int_equal(cs_rpc_decode(&back, cs_slice_of(mem, b.len)), CS_E_FORMAT);
    f.f[4].m.key[1] = s("aa");
    b.len = 0;
    assert_int_equal(cs_rpc_encode(&b, &f), CS_E_RANGE);
    assert_int_equal(b.len, 0);
    for (size_t i = 0; i < CS_RPC_CONTEXT_MAX; i++) {
        keys[i][0] = (char)('p' - i);
        f.f[4].m.key[i] = s(keys[i]);
        f.f[4].m.value[i] = s("v");
    }
    f.f[4].m.num = CS_RPC_CONTEXT_MAX;
    assert_int_equal(cs_rpc_encode(&b, &f), CS_OK);
    assert_int_equal(cs_rpc_decode(&back, cs_buf_slice(&b)), CS_OK);
    assert_int_equal(back.f[4].m.num, CS_RPC_CONTEXT_MAX);
    /* one more entry: the head of the map counts 17 and an entry that sorts last is behind */
    mem[b.len - 4 * CS_RPC_CONTEXT_MAX - 1]++;
    memcpy(mem + b.len, "\x61q\x61v", 4);
    assert_int_equal(cs_rpc_decode(&back, cs_slice_of(mem, b.len + 4)), CS_E_FORMAT);
    f.f[4].m.num = CS_RPC_CONTEXT_MAX + 1;
    assert_int_equal(cs_rpc_encode(&b, &f), CS_E_RANGE);
}

static void test_the_size_limit_holds_both_ways(void **state)
{
    static uint8_t big[CS_RPC_MAX + 1];
    cs_rpc_frame f = {.type = CS_RPC_PARTY_DATA, .id = 1}, back;
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    uint8_t *body = NULL;

    f.f[0].s = cs_slice_of(big, CS_RPC_MAX - 8);
    assert_int_equal(cs_rpc_encode(&b, &f), CS_OK);
    assert_int_equal(b.len, CS_RPC_MAX);
    assert_int_equal(cs_rpc_decode(&back, cs_buf_slice(&b)), CS_OK);
    assert_int_equal(cs_rpc_decode(&back, cs_slice_of(mem, CS_RPC_MAX + 1)), CS_E_TOO_LARGE);
    b.len = 0;
    f.f[0].s.len++;
    assert_int_equal(cs_rpc_encode(&b, &f), CS_E_RANGE);
    assert_int_equal(b.len, 0);
    assert_int_equal(cs_rpc_encode_body(&b, CS_RPC_PARTY_SEND, 1, CS_RPC_MAX - 7, &body), CS_E_RANGE);
    assert_int_equal(cs_rpc_encode_body(&b, CS_RPC_PARTY_SEND, 1, SIZE_MAX, &body), CS_E_RANGE);
    assert_int_equal(b.len, 0);
    b = cs_buf_wrap(mem, 4);
    f.f[0].s.len = 4;
    assert_int_equal(cs_rpc_encode(&b, &f), CS_E_RANGE);
    assert_int_equal(b.len, 0);
}

static void test_a_body_filled_in_place_is_the_same_frame(void **state)
{
    static const size_t lens[] = {0, 1, 23, 24, 255, 256, 42973, 65535, 65536};
    static uint8_t mem2[CS_RPC_MAX], data[65536];
    uint8_t *body = NULL;

    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        cs_rpc_frame f = {.type = CS_RPC_PARTY_SEND, .id = 77};
        cs_buf a = cs_buf_wrap(mem, CS_RPC_MAX), b = cs_buf_wrap(mem2, CS_RPC_MAX);

        memset(data, (int)i + 1, sizeof data);
        f.f[0].s = cs_slice_of(data, lens[i]);
        assert_int_equal(cs_rpc_encode(&a, &f), CS_OK);
        assert_int_equal(cs_rpc_encode_body(&b, CS_RPC_PARTY_SEND, 77, lens[i], &body), CS_OK);
        memcpy(body, data, lens[i]);
        assert_true(cs_slice_eq(cs_buf_slice(&a), cs_buf_slice(&b)));
    }
    cs_buf b = cs_buf_wrap(mem, CS_RPC_MAX);
    assert_int_equal(cs_rpc_encode_body(&b, CS_RPC_PARTY_OPEN, 1, 4, &body), CS_E_RANGE);
    assert_int_equal(cs_rpc_encode_body(&b, (cs_rpc_type)15, 1, 4, &body), CS_E_RANGE);
}

static void test_encode_refuses_unknown_types_and_broken_text(void **state)
{
    cs_rpc_frame f = {.type = (cs_rpc_type)15, .id = 1};
    cs_buf b = cs_buf_wrap(mem, CS_RPC_MAX);

    assert_int_equal(cs_rpc_encode(&b, &f), CS_E_RANGE);
    f = sample(CS_RPC_REPLY);
    f.f[1].s = s("\xff");
    assert_int_equal(cs_rpc_encode(&b, &f), CS_E_RANGE);
    assert_int_equal(b.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row_comes_back_as_it_went),
        cmocka_unit_test(test_frames_that_are_not_of_the_table_are_refused),
        cmocka_unit_test(test_maps_are_sorted_without_duplicates_and_bounded),
        cmocka_unit_test(test_the_size_limit_holds_both_ways),
        cmocka_unit_test(test_a_body_filled_in_place_is_the_same_frame),
        cmocka_unit_test(test_encode_refuses_unknown_types_and_broken_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
