#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "party/eth_typed.h"

/* the example of EIP-712 */
static const char mail[] =
    "{\"types\":{\"EIP712Domain\":[{\"name\":\"name\",\"type\":\"string\"},{\"name\":\"version\",\"type\":\"string\"},"
    "{\"name\":\"chainId\",\"type\":\"uint256\"},{\"name\":\"verifyingContract\",\"type\":\"address\"}],"
    "\"Person\":[{\"name\":\"name\",\"type\":\"string\"},{\"name\":\"wallet\",\"type\":\"address\"}],"
    "\"Mail\":[{\"name\":\"from\",\"type\":\"Person\"},{\"name\":\"to\",\"type\":\"Person\"},"
    "{\"name\":\"contents\",\"type\":\"string\"}]},\"primaryType\":\"Mail\","
    "\"domain\":{\"name\":\"Ether Mail\",\"version\":\"1\",\"chainId\":1,"
    "\"verifyingContract\":\"0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC\"},"
    "\"message\":{\"from\":{\"name\":\"Cow\",\"wallet\":\"0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826\"},"
    "\"to\":{\"name\":\"Bob\",\"wallet\":\"0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB\"},\"contents\":\"Hello, "
    "Bob!\"}}";

static void the_example_of_the_standard(void **state)
{
    uint8_t want[32], got[32];
    cs_eth_typed_fault fault;
    (void)state;
    assert_int_equal(
        cs_hex_decode(want, 32, cs_slice_str("be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2")),
        CS_OK);
    assert_int_equal(cs_eth_typed_parse(got, &fault, cs_slice_str(mail)), CS_OK);
    assert_memory_equal(got, want, 32);
    for (size_t n = 0; n < sizeof mail - 1; n++) { /* cut anywhere */
        assert_int_equal(cs_eth_typed_parse(got, &fault, cs_slice_of(mail, n)), CS_E_FORMAT);
    }
}

/* one field x of a type with a value */
static cs_err one(const char *type, const char *value, cs_eth_typed_fault *fault)
{
    char text[4096];
    uint8_t got[32];
    (void)snprintf(text, sizeof text,
                   "{\"types\":{\"A\":[{\"name\":\"x\",\"type\":\"%s\"}],\"L\":[{\"name\":\"next\",\"type\":\"L[]\"}]},"
                   "\"primaryType\":\"A\",\"domain\":{},\"message\":{\"x\":%s}}",
                   type, value);
    return cs_eth_typed_parse(got, fault, cs_slice_str(text));
}

static void values_must_fit_their_type(void **state)
{
    static const char *const good[][2] = {
        {"uint8", "255"},
        {"int8", "-128"},
        {"int8", "127"},
        {"int8", "\"-0x80\""},
        {"uint256", "\"0\""},
        {"bool", "true"},
        {"bytes", "\"0x\""},
        {"bytes3", "\"0x010203\""},
        {"string", "\"\""},
        {"uint8[2]", "[1,2]"},
        {"uint8[]", "[]"},
        {"uint8[2][1]", "[[1,2]]"},
        {"L", "{\"next\":[{\"next\":[]}]}"},
        {"int256", "-1"},
        {"uint", "1"},
        {"uint256", "\"0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\""},
        {"int256", "\"-0x8000000000000000000000000000000000000000000000000000000000000000\""},
    };
    static const char *const wrong[][2] = {
        {"uint8", "256"},
        {"uint8", "-1"},
        {"int8", "128"},
        {"int8", "-129"},
        {"uint8", "1.5"},
        {"uint8", "\"\""},
        {"uint8", "\"-\""},
        {"uint8", "true"},
        {"uint7", "1"},
        {"uint264", "1"},
        {"uint08", "1"},
        {"bool", "1"},
        {"bool", "\"true\""},
        {"bytes", "\"01\""},
        {"bytes", "\"0x1\""},
        {"bytes", "\"0xgg\""},
        {"bytes3", "\"0x0102\""},
        {"bytes33", "\"0x\""},
        {"bytes0", "\"0x\""},
        {"string", "1"},
        {"address", "\"0x00\""},
        {"uint8[2]", "[1]"},
        {"uint8[2]", "[1,2,3]"},
        {"uint8[]", "1"},
        {"uint8[0]", "[]"},
        {"uint8[-1]", "[]"},
        {"uint8[01]", "[1]"},
        {"[1]", "[1]"},
        {"uint8[", "[]"},
        {"uint8]", "[]"},
        {"B", "{}"},
        {"A ", "{}"},
        {"", "1"},
        {"L", "{\"next\":[],\"y\":1}"},
        {"L", "{}"},
        {"L", "null"},
        {"uint8[]x", "[]"},
        {"int256", "\"0x8000000000000000000000000000000000000000000000000000000000000000\""},
        {"int256", "\"-0x8000000000000000000000000000000000000000000000000000000000000001\""},
        {"int248", "\"-0x8000000000000000000000000000000000000000000000000000000000000000\""},
    };
    cs_eth_typed_fault fault;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (one(good[i][0], good[i][1], &fault) != CS_OK) {
            fail_msg("%s %s: %s", good[i][0], good[i][1], fault.text);
        }
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (one(wrong[i][0], wrong[i][1], &fault) != CS_E_FORMAT || fault.text[0] == '\0') {
            fail_msg("%s %s was not refused", wrong[i][0], wrong[i][1]);
        }
    }
}

static void depth_and_size_are_bounded(void **state)
{
    char value[2048] = "";
    static char big[CS_ETH_TYPED_MAX + 1];
    uint8_t got[32];
    cs_eth_typed_fault fault;
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        (void)strcat(value, "{\"next\":[");
    }
    for (unsigned i = 0; i < 20; i++) {
        (void)strcat(value, "]}");
    }
    assert_int_equal(one("L", value, &fault), CS_E_TOO_LARGE);
    memset(big, ' ', sizeof big);
    assert_int_equal(cs_eth_typed_parse(got, &fault, cs_slice_of(big, sizeof big)), CS_E_TOO_LARGE);
}

static void a_file_of_another_shape_is_refused(void **state)
{
    static const char *const wrong[] = {
        "[]",
        "{}",
        "{\"types\":{},\"primaryType\":\"A\",\"domain\":{},\"message\":{}}",
        "{\"types\":{\"A\":[]},\"primaryType\":\"A\",\"domain\":{\"more\":1},\"message\":{}}",
        "{\"types\":{\"A\":[]},\"primaryType\":\"A\",\"domain\":{},\"message\":{\"x\":1}}",
        "{\"types\":{\"A\":[{\"name\":\"x\"}]},\"primaryType\":\"A\",\"domain\":{},\"message\":{\"x\":1}}",
        "{\"types\":{\"A\":[{\"name\":\"x\",\"type\":\"bool\"},{\"name\":\"x\",\"type\":\"bool\"}]},\"primaryType\":"
        "\"A\","
        "\"domain\":{},\"message\":{\"x\":true,\"y\":true}}",
        "{\"types\":{\"bool\":[]},\"primaryType\":\"bool\",\"domain\":{},\"message\":{}}",
        "{\"types\":{\"A\":[]},\"types\":{\"A\":[]},\"primaryType\":\"A\",\"domain\":{},\"message\":{}}",
    };
    uint8_t got[32];
    cs_eth_typed_fault fault;
    (void)state;
    assert_int_equal(
        cs_eth_typed_parse(got, &fault,
                           cs_slice_str("{\"types\":{\"A\":[]},\"primaryType\":\"A\",\"domain\":{},\"message\":{}}")),
        CS_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(cs_eth_typed_parse(got, &fault, cs_slice_str(wrong[i])), CS_E_FORMAT);
        assert_true(fault.text[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_standard),
        cmocka_unit_test(values_must_fit_their_type),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(a_file_of_another_shape_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
