/* Tests of init/nsm_codec: requests byte for byte, responses in every form, refusals. Source: specs/nitro-kms.md 4.2, A.3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "init/nsm_codec.h"

static uint8_t mem[CS_INIT_NSM_RANDOM_MAX + 16];

static cs_slice bytes(const char *hex)
{
    static uint8_t pool[1024];

    assert_int_equal(cs_hex_decode(pool, strlen(hex) / 2, cs_slice_str(hex)), CS_OK);
    return cs_slice_of(pool, strlen(hex) / 2);
}

static void test_requests_are_what_the_module_takes(void **state)
{
    cs_buf b = cs_buf_wrap(mem, sizeof mem), small = cs_buf_wrap(mem, 10);

    assert_int_equal(cs_init_put_get_random(&b), CS_OK);
    assert_true(cs_slice_eq(cs_buf_slice(&b), bytes("6947657452616e646f6d")));
    b.len = 0;
    assert_int_equal(cs_init_put_describe_pcr(&b, 0), CS_OK);
    assert_true(cs_slice_eq(cs_buf_slice(&b), bytes("a16b4465736372696265504352a165696e64657800")));
    assert_int_equal(cs_init_put_describe_pcr(&b, 32), CS_E_RANGE);
    assert_int_equal(cs_init_put_describe_pcr(&small, 1), CS_E_RANGE);
    assert_int_equal(small.len, 0);
}

#define RANDOM "a16947657452616e646f6da16672616e646f6d"

static void test_random_bytes_are_taken_in_any_form_and_length(void **state)
{
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_init_read_random(&b, bytes(RANDOM "43010203")), CS_OK);
    assert_int_equal(cs_init_read_random(&b, bytes("bf6947657452616e646f6dbf6672616e646f6d5f41044105ffffff")), CS_OK);
    assert_int_equal(cs_init_read_random(&b, bytes(RANDOM "4106")), CS_OK); /* a short answer is asked for again */
    assert_true(cs_slice_eq(cs_buf_slice(&b), bytes("010203040506")));
}

static void test_bytes_that_are_not_random_are_no_entropy(void **state)
{
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_init_read_random(&b, bytes(RANDOM "40")), CS_E_ENTROPY);
    assert_int_equal(cs_init_read_random(&b, bytes(RANDOM "4400000000")), CS_E_ENTROPY);
    assert_int_equal(cs_init_read_random(&b, bytes(RANDOM "44ffffffff")), CS_E_ENTROPY);
    assert_int_equal(b.len, 0);
}

static void test_responses_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "a0",
        "6947657452616e646f6d",                                 /* bare text */
        "a1654572726f726d496e7465726e616c4572726f72",           /* {"Error": "InternalError"} */
        "a16947657452616e646f6da0",                             /* no field */
        "a16947657452616e646f6da16672616e646f6d6161",           /* text */
        RANDOM "4301020300",                                    /* bytes behind */
        RANDOM "430102",                                        /* cut */
        "a16947657452616e646f6da26672616e646f6d43010203617801", /* another field */
    };
    cs_buf b = cs_buf_wrap(mem, sizeof mem), small = cs_buf_wrap(mem, 2);
    uint8_t pcr[CS_INIT_PCR_BYTES];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (cs_init_read_random(&b, bytes(bad[i])) != CS_E_NSM || b.len != 0 ||
            cs_init_read_pcr(pcr, bytes(bad[i])) != CS_E_NSM) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
    assert_int_equal(cs_init_read_random(&small, bytes(RANDOM "43010203")), CS_E_RANGE);
    assert_int_equal(small.len, 0);
}

static void test_more_than_a_module_gives_is_refused(void **state)
{
    static uint8_t huge[CS_INIT_NSM_RESPONSE_MAX + 1], response[CS_INIT_NSM_RANDOM_MAX + 64], room[8192];
    cs_buf r = cs_buf_wrap(response, sizeof response), b = cs_buf_wrap(room, sizeof room);
    size_t len = CS_INIT_NSM_RANDOM_MAX + 1;

    assert_int_equal(cs_put_slice(&r, bytes(RANDOM "591001")), CS_OK); /* 4097 bytes */
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(cs_put_u8(&r, (uint8_t)i), CS_OK);
    }
    assert_int_equal(cs_init_read_random(&b, cs_buf_slice(&r)), CS_E_NSM);
    assert_int_equal(cs_init_read_random(&b, cs_slice_of(huge, sizeof huge)), CS_E_NSM);
    assert_int_equal(b.len, 0);
}

#define PCR48                                                                                                          \
    "5830"                                                                                                             \
    "0101010101010101010101010101010101010101010101010101010101010101"                                                 \
    "02020202020202020202020202020202"

static void test_pcrs_are_read_in_any_order_and_nothing_else_is(void **state)
{
    static const struct {
        const char *hex;
        cs_err err;
    } rows[] = {
        {"a16b4465736372696265504352a2646c6f636bf56464617461" PCR48, CS_OK},
        {"a16b4465736372696265504352a26464617461" PCR48 "646c6f636bf4", CS_OK},
        {"bf6b4465736372696265504352bf646c6f636bf56464617461" PCR48 "ffff", CS_OK},
        {"a16b4465736372696265504352a1646c6f636bf5", CS_E_NSM},
        {"a16b4465736372696265504352a16464617461" PCR48, CS_E_NSM},
        {"a16b4465736372696265504352a2646c6f636bf564646174614101", CS_E_NSM},
        {"a16b4465736372696265504352a2646c6f636b016464617461" PCR48, CS_E_NSM},
        {"a16b4465736372696265504352a3646c6f636bf56464617461" PCR48 "617801", CS_E_NSM},
        {"a1654572726f726c496e76616c6964496e646578", CS_E_NSM},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t pcr[CS_INIT_PCR_BYTES] = {9};

        if (cs_init_read_pcr(pcr, bytes(rows[i].hex)) != rows[i].err) {
            fail_msg("row %zu", i);
        }
        assert_int_equal(pcr[0], rows[i].err == CS_OK ? 1 : 9);
        assert_int_equal(pcr[47], rows[i].err == CS_OK ? 2 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_what_the_module_takes),
        cmocka_unit_test(test_random_bytes_are_taken_in_any_form_and_length),
        cmocka_unit_test(test_bytes_that_are_not_random_are_no_entropy),
        cmocka_unit_test(test_responses_that_are_none_are_refused),
        cmocka_unit_test(test_more_than_a_module_gives_is_refused),
        cmocka_unit_test(test_pcrs_are_read_in_any_order_and_nothing_else_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
