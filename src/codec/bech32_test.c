/* Tests of codec/bech32. Strings: BIP-173 and BIP-350 examples, an age key of the age specification. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "codec/bech32.h"

static cs_err decode(const char *text, size_t max_len, cs_bech32_kind kind)
{
    cs_bech32 b;

    return cs_bech32_decode(&b, cs_slice_str(text), max_len, kind);
}

static void test_valid_strings_of_both_kinds(void **state)
{
    static const char *const bech32[] = {"A12UEL5L", "a12uel5l", "?1ezyfcl",
                                         "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w"};
    static const char *const bech32m[] = {"A1LQFN3A", "a1lqfn3a", "?1v759aa",
                                          "split1checkupstagehandshakeupstreamerranterredcaperredlc445v"};

    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(decode(bech32[i], 90, CS_BECH32), CS_OK);
        assert_int_equal(decode(bech32[i], 90, CS_BECH32M), CS_E_FORMAT);
        assert_int_equal(decode(bech32m[i], 90, CS_BECH32M), CS_OK);
        assert_int_equal(decode(bech32m[i], 90, CS_BECH32), CS_E_FORMAT);
    }
}

static void test_invalid_strings_are_refused_and_wipe_the_output(void **state)
{
    static const char *const rows[] = {
        "",
        "1",
        "pzry9x0s0muk",
        "1pzry9x0s0muk",
        "x1b4n0q5v",
        "li1dgmt3",
        "de1lg7wt\xff",
        "A1G7SGD8",
        "10a06t8",
        "1qzzfhee",
        "a12UEL5L",
        "A12uEL5L",
        "a12uel5m",
        "\x20"
        "1nwldj5",
        "\x7f"
        "1axkwrx",
        "\x80"
        "1eym55h",
        "a12uel5",
        "an84characterslonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1569pvx"};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cs_bech32 b, zero = {0};

        memset(&b, 0x5a, sizeof b);
        assert_int_equal(cs_bech32_decode(&b, cs_slice_str(rows[i]), CS_BECH32_MAX_LEN, CS_BECH32), CS_E_FORMAT);
        assert_memory_equal(&b, &zero, sizeof b);
    }
}

static void test_the_length_limit_is_the_callers(void **state)
{
    char mem[CS_BECH32_MAX_LEN];
    uint8_t data[100] = {1};
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_bech32 b;

    assert_int_equal(cs_bech32_put(&out, "age", cs_slice_of(data, sizeof data), CS_BECH32, false), CS_OK);
    assert_int_equal(cs_bech32_decode(&b, cs_buf_slice(&out), CS_BECH32_STRICT_LEN, CS_BECH32), CS_E_FORMAT);
    assert_int_equal(cs_bech32_decode(&b, cs_buf_slice(&out), CS_BECH32_MAX_LEN, CS_BECH32), CS_OK);
}

static void test_data_goes_around_in_both_cases(void **state)
{
    for (size_t len = 0; len <= 40; len++) {
        uint8_t data[40], back_mem[40];
        char mem[128];
        cs_buf out = cs_buf_wrap(mem, sizeof mem), back = cs_buf_wrap(back_mem, sizeof back_mem);
        cs_bech32 b;

        for (size_t i = 0; i < len; i++) {
            data[i] = (uint8_t)(i * 37 + len);
        }
        assert_int_equal(cs_bech32_put(&out, "Test-", cs_slice_of(data, len), CS_BECH32M, len % 2 == 0), CS_E_FORMAT);
        assert_int_equal(cs_bech32_put(&out, "test-", cs_slice_of(data, len), CS_BECH32M, len % 2 == 0), CS_OK);
        assert_int_equal(cs_bech32_decode(&b, cs_buf_slice(&out), 128, CS_BECH32M), CS_OK);
        assert_true(cs_slice_eq_str(b.hrp, len % 2 == 0 ? "TEST-" : "test-"));
        assert_int_equal(cs_bech32_bytes(&back, b.value, b.num_values), CS_OK);
        assert_true(cs_slice_eq(cs_buf_slice(&back), cs_slice_of(data, len)));
    }
}

static void test_every_single_changed_character_is_noticed(void **state)
{
    char text[] = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

    assert_int_equal(decode(text, 256, CS_BECH32), CS_OK);
    for (size_t i = 4; i < sizeof text - 1; i++) {
        char old = text[i];

        text[i] = old == 'q' ? 'p' : 'q';
        assert_int_equal(decode(text, 256, CS_BECH32), CS_E_FORMAT);
        text[i] = old;
    }
}

static void test_spare_bits_must_be_few_and_zero(void **state)
{
    static const uint8_t six_spare[] = {0, 0, 0, 0, 0, 0}, set[] = {0, 1}, good[] = {31, 28};
    uint8_t mem[8];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_bech32_bytes(&out, six_spare, 3), CS_E_FORMAT);
    assert_int_equal(cs_bech32_bytes(&out, six_spare, 6), CS_E_FORMAT);
    assert_int_equal(cs_bech32_bytes(&out, set, 2), CS_E_FORMAT);
    assert_int_equal(out.len, 0);
    assert_int_equal(cs_bech32_bytes(&out, good, 2), CS_OK);
    assert_int_equal(mem[0], 0xff);
    out = cs_buf_wrap(mem, 0);
    assert_int_equal(cs_bech32_bytes(&out, good, 2), CS_E_RANGE);
}

static void test_segwit_addresses_give_their_script(void **state)
{
    static const struct {
        const char *hrp, *address, *script;
    } rows[] = {{"bc", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "0014751e76e8199196d454941c45d1b3a323f1433bd6"},
                {"bc", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
                 "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"},
                {"bc", "BC1SW50QGDZ25J", "6002751e"}};
    uint8_t mem[64];
    char hex[129];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cs_buf out = cs_buf_wrap(mem, sizeof mem);

        assert_int_equal(cs_segwit_script(&out, rows[i].hrp, cs_slice_str(rows[i].address), CS_SEGWIT_BIP350), CS_OK);
        cs_hex_encode(hex, cs_buf_slice(&out));
        assert_string_equal(hex, rows[i].script);
        assert_int_equal(cs_segwit_script(&out, "tb", cs_slice_str(rows[i].address), CS_SEGWIT_BIP350), CS_E_FORMAT);
    }
}

static void test_bad_segwit_addresses_are_refused(void **state)
{
    static const char *const rows[] = {
        "tc1qw508d6qejxtdg4y5r3zarvary0c5xw7kg3g4ty", /* other HRP */
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", /* checksum */
        "BC13W508D6QEJXTDG4Y5R3ZARVARY0C5XW7KN40WF2", /* version 17 */
        "bc1rw5uspcuh",                               /* program of one byte */
        "bc10w508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kw5rljs90",
        "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",                           /* version 0 of 16 bytes */
        "bc1zw508d6qejxtdg4y5r3zarvaryvqyzf3du",                          /* spare bits */
        "bc1gmk9yu",                                                      /* no data */
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", /* version 1 with Bech32 */
        "BC1Q0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ5ZUYUT", /* version 0 with Bech32m, damaged */
    };
    uint8_t mem[64];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cs_buf out = cs_buf_wrap(mem, sizeof mem);

        assert_int_equal(cs_segwit_script(&out, "bc", cs_slice_str(rows[i]), CS_SEGWIT_BIP350), CS_E_FORMAT);
        assert_int_equal(out.len, 0);
    }
}

static void test_the_older_rules_take_bech32_for_every_version(void **state)
{
    const char *address = "bc1zw508d6qejxtdg4y5r3zarvaryvg6kdaj";
    uint8_t mem[64];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_segwit_script(&out, "bc", cs_slice_str(address), CS_SEGWIT_BIP350), CS_E_FORMAT);
    assert_int_equal(cs_segwit_script(&out, "bc", cs_slice_str(address), CS_SEGWIT_BIP173), CS_OK);
    assert_int_equal(out.len, 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_strings_of_both_kinds),
        cmocka_unit_test(test_invalid_strings_are_refused_and_wipe_the_output),
        cmocka_unit_test(test_the_length_limit_is_the_callers),
        cmocka_unit_test(test_data_goes_around_in_both_cases),
        cmocka_unit_test(test_every_single_changed_character_is_noticed),
        cmocka_unit_test(test_spare_bits_must_be_few_and_zero),
        cmocka_unit_test(test_segwit_addresses_give_their_script),
        cmocka_unit_test(test_bad_segwit_addresses_are_refused),
        cmocka_unit_test(test_the_older_rules_take_bech32_for_every_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
