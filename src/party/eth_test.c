#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "party/eth.h"
#include "party/eth_json.h"

static void keccak_is(const char *input, size_t len, const char *hex)
{
    uint8_t h[32];
    char text[65];
    cs_keccak256(h, (cs_slice[]){{(const uint8_t *)input, len}}, 1);
    cs_hex_encode(text, cs_slice_of(h, 32));
    assert_string_equal(text, hex);
}

static void keccak_has_the_known_values(void **state)
{
    keccak_is("", 0, "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
    keccak_is("abc", 3, "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
}

/* a message of exactly one block, and parts that meet inside a block */
static void keccak_of_parts_equals_keccak_of_the_whole(void **state)
{
    uint8_t data[300], a[32], b[32];
    memset(data, 0x5a, sizeof data);
    for (size_t len = 130; len < 140; len++) {
        cs_keccak256(a, (cs_slice[]){{data, len}}, 1);
        cs_keccak256(b, (cs_slice[]){{data, 1}, {data, 0}, {data, len - 1}}, 3);
        assert_memory_equal(a, b, 32);
    }
}

static void checksums_of_addresses_are_checked(void **state)
{
    cs_eth_addr a;
    char text[CS_ETH_ADDR_TEXT];
    assert_int_equal(cs_eth_address_parse(&a, cs_slice_str("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")), CS_OK);
    cs_eth_address_text(text, &a);
    assert_string_equal(text, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed");
    assert_int_equal(cs_eth_address_parse(&a, cs_slice_str("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed")), CS_OK);
    assert_int_equal(cs_eth_address_parse(&a, cs_slice_str("0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED")), CS_OK);
    assert_int_equal(cs_eth_address_parse(&a, cs_slice_str("0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")), CS_E_FORMAT);
    assert_int_equal(cs_eth_address_parse(&a, cs_slice_str("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed")), CS_E_FORMAT);
    assert_int_equal(cs_eth_address_parse(&a, cs_slice_str("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae")), CS_E_FORMAT);
}

static void rlp_has_the_documented_forms(void **state)
{
    uint8_t mem[128];
    cs_u256 v;
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_rlp_put(&b, cs_slice_str("dog")), CS_OK);
    assert_int_equal(cs_rlp_put(&b, CS_SLICE_NULL), CS_OK);
    cs_u256_from_u64(&v, 0);
    assert_int_equal(cs_rlp_put_u256(&b, &v), CS_OK);
    cs_u256_from_u64(&v, 15);
    assert_int_equal(cs_rlp_put_u256(&b, &v), CS_OK);
    cs_u256_from_u64(&v, 1024);
    assert_int_equal(cs_rlp_put_u256(&b, &v), CS_OK);
    assert_int_equal(cs_rlp_wrap(&b, 0), CS_OK);
    assert_memory_equal(mem,
                        "\xca\x83"
                        "dog\x80\x80\x0f\x82\x04\x00",
                        11);
    b.len = 0;
    assert_int_equal(cs_rlp_put(&b, cs_slice_str("Lorem ipsum dolor sit amet, consectetur adipisicing elit")), CS_OK);
    assert_memory_equal(mem, "\xb8\x38Lorem", 7);
    assert_int_equal(cs_rlp_wrap(&b, 0), CS_OK);
    assert_memory_equal(mem, "\xf8\x3a\xb8\x38Lorem", 9);
}

static void numbers_are_read_strictly(void **state)
{
    static const char *const bad[] = {"", "0x", "x", "01", "-1", "1.0", "1e3", "0xg", " 1", "0X1"};
    cs_u256 v;
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cs_u256_parse(&v, cs_slice_str(bad[i])), CS_E_FORMAT);
    }
    assert_int_equal(cs_u256_parse(&v, cs_slice_str("18446744073709551615")), CS_OK);
    assert_int_equal(cs_u256_u64(&n, &v), CS_OK);
    assert_true(n == UINT64_MAX);
    assert_int_equal(cs_u256_parse(&v, cs_slice_str("18446744073709551616")), CS_OK);
    assert_int_equal(cs_u256_u64(&n, &v), CS_E_RANGE);
    assert_int_equal(
        cs_u256_parse(&v,
                      cs_slice_str("115792089237316195423570985008687907853269984665640564039457584007913129639936")),
        CS_E_RANGE);
}

#define TX_HEAD "{\"chainId\":1,\"nonce\":\"0x0\",\"maxPriorityFeePerGas\":1,\"maxFeePerGas\":\"2\",\"gasLimit\":21000,"
#define TX_TO "\"to\":\"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed\""

static void refused_field(const char *text, const char *field)
{
    cs_eth_tx_file f;
    assert_int_equal(cs_eth_tx_parse(&f, cs_slice_str(text)), CS_E_FORMAT);
    assert_memory_equal(f.bad, field, strlen(field));
    assert_int_equal(f.bad[strlen(field)], ':');
    cs_eth_tx_cleanup(&f);
}

static void bad_fields_are_named(void **state)
{
    cs_eth_tx_file f;
    assert_int_equal(cs_eth_tx_parse(&f, cs_slice_str(TX_HEAD TX_TO "}")), CS_OK);
    cs_eth_tx_cleanup(&f);
    refused_field("[]", "file");
    refused_field("{", "file");
    refused_field("{}", "chainId");
    refused_field(TX_HEAD TX_TO ",\"extra\":1}", "extra");
    refused_field(TX_HEAD TX_TO ",\"value\":-1}", "value");
    refused_field(TX_HEAD TX_TO ",\"value\":1.5}", "value");
    refused_field(TX_HEAD TX_TO ",\"data\":\"0x1\"}", "data");
    refused_field(TX_HEAD TX_TO ",\"data\":\"0xzz\"}", "data");
    refused_field(TX_HEAD TX_TO ",\"type\":1}", "type");
    refused_field(TX_HEAD TX_TO ",\"accessList\":{}}", "accessList");
    refused_field(TX_HEAD TX_TO ",\"accessList\":[{}]}", "accessList");
    refused_field(TX_HEAD TX_TO ",\"value\":1,\"value\":2}", "file");
    refused_field(TX_HEAD "\"to\":\"0x12\"}", "to");
    refused_field(TX_HEAD "\"value\":1}", "to");
    refused_field(TX_HEAD "\"to\":null}", "data");
    refused_field("{\"chainId\":1,\"nonce\":\"18446744073709551616\"}", "nonce");
    refused_field(
        "{\"chainId\":1,\"nonce\":0,\"maxPriorityFeePerGas\":3,\"maxFeePerGas\":\"2\",\"gasLimit\":21000," TX_TO "}",
        "maxPriorityFeePerGas");
}

static void access_lists_are_serialised(void **state)
{
    cs_eth_tx_file f;
    cs_buf out = cs_buf_heap(4096);
    const char *key = "\"0x1111111111111111111111111111111111111111111111111111111111111111\"";
    char text[1024];
    (void)snprintf(
        text, sizeof text,
        TX_HEAD TX_TO
        ",\"data\":\"0xaabb\",\"accessList\":[{\"address\":\"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed\","
        "\"storageKeys\":[%s,%s]},{\"address\":\"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed\",\"storageKeys\":[]}]}",
        key, key);
    assert_int_equal(cs_eth_tx_parse(&f, cs_slice_str(text)), CS_OK);
    assert_int_equal(f.tx.num_access, 2);
    assert_int_equal(f.tx.access[0].keys.len, 64);
    assert_int_equal(f.tx.access[0].keys.p[63], 0x11);
    assert_int_equal(f.tx.data.len, 2);
    assert_int_equal(cs_eth_tx_put(&out, &f.tx, NULL), CS_OK);
    assert_int_equal(out.p[0], 2);
    cs_buf_free(&out);
    cs_eth_tx_cleanup(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keccak_has_the_known_values),
        cmocka_unit_test(keccak_of_parts_equals_keccak_of_the_whole),
        cmocka_unit_test(checksums_of_addresses_are_checked),
        cmocka_unit_test(rlp_has_the_documented_forms),
        cmocka_unit_test(numbers_are_read_strictly),
        cmocka_unit_test(bad_fields_are_named),
        cmocka_unit_test(access_lists_are_serialised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
