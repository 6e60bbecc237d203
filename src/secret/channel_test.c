#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "secret/channel.h"

static const uint8_t key_c[32] = {1, 2, 3}, key_e[32] = {4, 5, 6}, key_x[32] = {7, 8, 9};
static uint8_t pub_c[32], pub_e[32], pub_x[32];

static int keys(void **state)
{
    cs_x25519_base(pub_c, key_c);
    cs_x25519_base(pub_e, key_e);
    cs_x25519_base(pub_x, key_x);
    return 0;
}

static void connect_both(cs_channel *c, cs_channel *e)
{
    uint8_t hs1[CS_FRAME_HS1_LEN], hs2[CS_FRAME_HS2_LEN];
    assert_int_equal(cs_channel_start(c, hs1, key_c, pub_e), CS_OK);
    assert_int_equal(cs_channel_accept(e, hs2, cs_slice_of(hs1, sizeof hs1), key_e), CS_OK);
    assert_int_equal(cs_channel_finish(c, cs_slice_of(hs2, sizeof hs2)), CS_OK);
}

static void both_ends_have_the_same_keys(void **state)
{
    cs_channel c, e;
    connect_both(&c, &e);
    assert_memory_equal(c.chan32, e.chan32, 32);
    assert_memory_equal(c.secret.b, e.secret.b, 32);
    assert_memory_equal(c.id.b, e.id.b, 16);
    assert_int_equal(cs_ct_is_zero(&c.noise, sizeof c.noise), 1);
    cs_csession a, b;
    assert_int_equal(cs_csession_init(&a, &c, NULL), CS_OK);
    assert_int_equal(cs_csession_init(&b, &e, &a.name), CS_OK);
    assert_memory_equal(a.send.b, b.receive.b, 32);
    assert_memory_equal(a.receive.b, b.send.b, 32);
    assert_memory_not_equal(a.send.b, a.receive.b, 32);
}

static void every_flipped_bit_of_hs1_and_hs2_is_refused(void **state)
{
    cs_channel c, e, copy;
    uint8_t hs1[CS_FRAME_HS1_LEN], hs2[CS_FRAME_HS2_LEN], out[CS_FRAME_HS2_LEN];
    assert_int_equal(cs_channel_start(&c, hs1, key_c, pub_e), CS_OK);
    for (size_t bit = 0; bit < 8 * sizeof hs1; bit += 5) {
        hs1[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(cs_channel_accept(&e, out, cs_slice_of(hs1, sizeof hs1), key_e), CS_E_CHANNEL_AUTH);
        assert_int_equal(cs_ct_is_zero(&e, sizeof e), 1);
        hs1[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(cs_channel_accept(&e, hs2, cs_slice_of(hs1, sizeof hs1), key_e), CS_OK);
    for (size_t bit = 0; bit < 8 * sizeof hs2; bit++) {
        copy = c;
        hs2[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(cs_channel_finish(&copy, cs_slice_of(hs2, sizeof hs2)), CS_E_CHANNEL_AUTH);
        assert_int_equal(cs_ct_is_zero(&copy, sizeof copy), 1);
        hs2[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(cs_channel_finish(&c, cs_slice_of(hs2, sizeof hs2)), CS_OK);
    assert_int_equal(cs_channel_finish(&c, cs_slice_of(hs2, sizeof hs2)), CS_E_STATE);
}

static void a_wrong_static_key_is_refused(void **state)
{
    cs_channel c, e;
    uint8_t hs1[CS_FRAME_HS1_LEN], hs2[CS_FRAME_HS2_LEN];
    /* the client believes in another enclave key */
    assert_int_equal(cs_channel_start(&c, hs1, key_c, pub_x), CS_OK);
    assert_int_equal(cs_channel_accept(&e, hs2, cs_slice_of(hs1, sizeof hs1), key_e), CS_E_CHANNEL_AUTH);
    /* someone without the client's private key names the client */
    assert_int_equal(cs_channel_start(&c, hs1, key_x, pub_e), CS_OK);
    memcpy(hs1 + 17, pub_c, 32);
    assert_int_equal(cs_channel_accept(&e, hs2, cs_slice_of(hs1, sizeof hs1), key_e), CS_E_CHANNEL_AUTH);
    /* both ends with one key: the directions would be one */
    assert_int_equal(cs_channel_start(&c, hs1, key_e, pub_e), CS_OK);
    assert_int_equal(cs_channel_accept(&e, hs2, cs_slice_of(hs1, sizeof hs1), key_e), CS_E_CHANNEL_AUTH);
}

typedef struct ends {
    cs_channel c, e;
    cs_csession a, b;
} ends;

static void open_session(ends *x)
{
    connect_both(&x->c, &x->e);
    assert_int_equal(cs_csession_init(&x->a, &x->c, NULL), CS_OK);
    assert_int_equal(cs_csession_init(&x->b, &x->e, &x->a.name), CS_OK);
}

static void messages_travel_both_ways(void **state)
{
    ends x;
    uint8_t mem[256], out[64];
    size_t len = 0;
    open_session(&x);
    for (unsigned k = 0; k < 10; k++) {
        cs_csession *from = k % 3 == 0 ? &x.a : &x.b, *to = k % 3 == 0 ? &x.b : &x.a;
        cs_buf f = cs_buf_wrap(mem, sizeof mem);
        assert_int_equal(cs_csession_seal_msg(from, &f, CS_DATA_MSG, cs_slice_str("hello")), CS_OK);
        assert_int_equal(f.len, 6 + CS_FRAME_OVERHEAD);
        assert_int_equal(cs_csession_open(to, out, sizeof out, &len, cs_buf_slice(&f)), CS_OK);
        assert_int_equal(len, 6);
        assert_int_equal(out[0], CS_DATA_MSG);
        assert_memory_equal(out + 1, "hello", 5);
    }
}

static void opening_in_place_is_the_same(void **state)
{
    ends x;
    uint8_t mem[256];
    size_t len = 0;
    open_session(&x);
    cs_buf f = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_csession_seal_msg(&x.a, &f, CS_DATA_HELLO, cs_slice_str("abc")), CS_OK);
    assert_int_equal(cs_csession_open(&x.b, mem + CS_FRAME_HEAD, sizeof mem, &len, cs_buf_slice(&f)), CS_OK);
    assert_memory_equal(mem + CS_FRAME_HEAD,
                        "\x20"
                        "abc",
                        4);
}

static void expect_abort(ends *x, cs_slice frame)
{
    uint8_t out[64];
    size_t len = 77;
    memset(out, 0, sizeof out);
    assert_int_equal(cs_csession_open(&x->b, out, sizeof out, &len, frame), CS_E_ABORT_SESSION);
    assert_int_equal(len, 77);
    assert_int_equal(cs_ct_is_zero(out, sizeof out), 1);
    assert_int_equal(cs_ct_is_zero(&x->b, sizeof x->b), 1);
}

static void a_flipped_byte_anywhere_ends_the_session(void **state)
{
    for (size_t i = 0; i < 6 + CS_FRAME_OVERHEAD; i++) {
        ends x;
        uint8_t mem[256];
        cs_buf f = cs_buf_wrap(mem, sizeof mem);
        open_session(&x);
        assert_int_equal(cs_csession_seal_msg(&x.a, &f, CS_DATA_MSG, cs_slice_str("hello")), CS_OK);
        mem[i] ^= 0x40;
        expect_abort(&x, cs_buf_slice(&f));
    }
}

static void replay_reordering_and_truncation_end_the_session(void **state)
{
    uint8_t mem[2][256], out[64];
    size_t len = 0;
    for (int what = 0; what < 4; what++) {
        ends x;
        cs_buf f[2] = {cs_buf_wrap(mem[0], 256), cs_buf_wrap(mem[1], 256)};
        open_session(&x);
        assert_int_equal(cs_csession_seal_msg(&x.a, &f[0], CS_DATA_MSG, cs_slice_str("one")), CS_OK);
        assert_int_equal(cs_csession_seal_msg(&x.a, &f[1], CS_DATA_MSG, cs_slice_str("two")), CS_OK);
        if (what == 0) { /* replay */
            assert_int_equal(cs_csession_open(&x.b, out, sizeof out, &len, cs_buf_slice(&f[0])), CS_OK);
            expect_abort(&x, cs_buf_slice(&f[0]));
        } else if (what == 1) { /* the second first */
            expect_abort(&x, cs_buf_slice(&f[1]));
        } else if (what == 2) {
            expect_abort(&x, cs_slice_of(mem[0], f[0].len - 1));
        } else { /* reflected to its sender */
            x.b = x.a;
            expect_abort(&x, cs_buf_slice(&f[0]));
        }
    }
}

static void sessions_of_one_channel_have_different_keys(void **state)
{
    ends x;
    cs_csession other;
    uint8_t mem[256];
    cs_buf f = cs_buf_wrap(mem, sizeof mem);
    open_session(&x);
    assert_int_equal(cs_csession_init(&other, &x.c, NULL), CS_OK);
    assert_memory_not_equal(other.name.b, x.a.name.b, 16);
    assert_memory_not_equal(other.send.b, x.a.send.b, 32);
    assert_int_equal(cs_csession_seal_msg(&other, &f, CS_DATA_MSG, cs_slice_str("hello")), CS_OK);
    memcpy(mem + 17, x.a.name.b, 16);
    expect_abort(&x, cs_buf_slice(&f));
}

static void lengths_and_states_are_checked(void **state)
{
    ends x;
    uint8_t mem[256], out[4];
    size_t len = 0;
    cs_csession s;
    cs_channel fresh;
    cs_buf f = cs_buf_wrap(mem, sizeof mem);
    uint8_t hs1[CS_FRAME_HS1_LEN];
    assert_int_equal(cs_channel_start(&fresh, hs1, key_c, pub_e), CS_OK);
    assert_int_equal(cs_csession_init(&s, &fresh, NULL), CS_E_STATE);
    open_session(&x);
    assert_int_equal(cs_csession_seal(&x.a, mem, &len, 0), CS_E_RANGE);
    assert_int_equal(cs_csession_seal(&x.a, mem, &len, CS_FRAME_MAX_PLAIN + 1), CS_E_RANGE);
    assert_int_equal(cs_csession_seal_msg(&x.a, &f, CS_DATA_MSG, cs_slice_str("hello")), CS_OK);
    /* too little room is the caller's fault: the session goes on */
    assert_int_equal(cs_csession_open(&x.b, out, sizeof out, &len, cs_buf_slice(&f)), CS_E_RANGE);
    assert_int_equal(cs_csession_open(&x.b, mem + CS_FRAME_HEAD, 100, &len, cs_buf_slice(&f)), CS_OK);
    cs_csession_wipe(&x.a);
    assert_int_equal(cs_csession_seal(&x.a, mem, &len, 1), CS_E_STATE);
}

static void frames_are_parsed_strictly(void **state)
{
    cs_frame f;
    static uint8_t big[CS_FRAME_MAX + 1];
    for (unsigned kind = 0; kind < 256; kind++) {
        big[0] = (uint8_t)kind;
        assert_int_equal(cs_frame_parse(&f, cs_slice_of(big, CS_FRAME_HS1_LEN)),
                         kind == CS_FRAME_HS1 || kind == CS_FRAME_DATA ? CS_OK : CS_E_FORMAT);
    }
    big[0] = CS_FRAME_HS2;
    assert_int_equal(cs_frame_parse(&f, cs_slice_of(big, CS_FRAME_HS2_LEN)), CS_OK);
    assert_int_equal(cs_frame_parse(&f, cs_slice_of(big, CS_FRAME_HS2_LEN - 1)), CS_E_FORMAT);
    assert_int_equal(cs_frame_parse(&f, cs_slice_of(big, CS_FRAME_HS2_LEN + 1)), CS_E_FORMAT);
    big[0] = CS_FRAME_DATA;
    assert_int_equal(cs_frame_parse(&f, cs_slice_of(big, CS_FRAME_OVERHEAD)), CS_E_FORMAT);
    assert_int_equal(cs_frame_parse(&f, cs_slice_of(big, CS_FRAME_OVERHEAD + 1)), CS_OK);
    assert_int_equal(cs_frame_parse(&f, cs_slice_of(big, sizeof big)), CS_E_TOO_LARGE);
    assert_int_equal(cs_frame_parse(&f, CS_SLICE_NULL), CS_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_have_the_same_keys),
        cmocka_unit_test(every_flipped_bit_of_hs1_and_hs2_is_refused),
        cmocka_unit_test(a_wrong_static_key_is_refused),
        cmocka_unit_test(messages_travel_both_ways),
        cmocka_unit_test(opening_in_place_is_the_same),
        cmocka_unit_test(a_flipped_byte_anywhere_ends_the_session),
        cmocka_unit_test(replay_reordering_and_truncation_end_the_session),
        cmocka_unit_test(sessions_of_one_channel_have_different_keys),
        cmocka_unit_test(lengths_and_states_are_checked),
        cmocka_unit_test(frames_are_parsed_strictly),
    };
    return cmocka_run_group_tests(tests, keys, NULL);
}
