#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "party/btc.h"

/* BIP-143, "P2SH-P2WPKH" */
static const char raw_hex[] =
    "0100000001db6b1b20aa0fd7b23880be2ecbd4a98130974cf4748fb66092ac4d3ceb1a54770100000000feffffff02b8b4eb0b00"
    "0000001976a914a457b684d7f0d539a46a45bbc043f35b59d0d96388ac0008af2f000000001976a914fd270b1ee6abcaea97fea7"
    "ad0402e8bd8ad6d77c88ac92040000";
static const char code_hex[] = "76a91479091972186c449eb1ded22b78e40d009bdf008988ac";
static const char digest_hex[] = "64f3b0f4dd2bb3aa1ce8566d220cc74dda9df97d8490cc81d89d735c92e59fb6";

static size_t hex(uint8_t *out, const char *text)
{
    assert_int_equal(cs_hex_decode(out, strlen(text) / 2, cs_slice_str(text)), CS_OK);
    return strlen(text) / 2;
}

static void the_example_of_bip_143(void **state)
{
    uint8_t raw[200], code[32], want[32], got[32];
    cs_btc_tx tx;
    size_t len = hex(raw, raw_hex);
    cs_btc_spent spent = {1000000000, cs_slice_of(code, hex(code, code_hex))};
    (void)state;
    (void)hex(want, digest_hex);
    assert_int_equal(cs_btc_parse(&tx, cs_slice_of(raw, len)), CS_OK);
    assert_int_equal(tx.num_inputs, 1);
    assert_int_equal(tx.num_outputs, 2);
    assert_int_equal(cs_btc_digest_v0(got, &tx, 0, &spent, CS_BTC_ALL), CS_OK);
    assert_memory_equal(got, want, 32);
    spent.sats++;
    assert_int_equal(cs_btc_digest_v0(got, &tx, 0, &spent, CS_BTC_ALL), CS_OK);
    assert_memory_not_equal(got, want, 32);
}

static void what_is_no_unsigned_transaction_is_refused(void **state)
{
    uint8_t raw[200];
    static uint8_t big[CS_BTC_TX_MAX + 1];
    cs_btc_tx tx;
    size_t len = hex(raw, raw_hex);
    (void)state;
    for (size_t n = 0; n < len; n++) {
        assert_int_equal(cs_btc_parse(&tx, cs_slice_of(raw, n)), CS_E_FORMAT);
    }
    assert_int_equal(cs_btc_parse(&tx, cs_slice_of(raw, len + 1)), CS_E_FORMAT); /* something behind */
    raw[4] = 0;                                                                  /* no input; the form with witnesses */
    assert_int_equal(cs_btc_parse(&tx, cs_slice_of(raw, len)), CS_E_FORMAT);
    memmove(raw + 7, raw + 5, len - 5); /* a number that is not in its shortest form */
    raw[4] = 0xfd;
    raw[5] = 1;
    raw[6] = 0;
    assert_int_equal(cs_btc_parse(&tx, cs_slice_of(raw, len + 2)), CS_E_FORMAT);
    assert_int_equal(cs_btc_parse(&tx, cs_slice_of(big, sizeof big)), CS_E_TOO_LARGE);
}

static void types_and_inputs_out_of_range_are_refused(void **state)
{
    uint8_t raw[200], got[32];
    const cs_btc_spent spent = {1, cs_slice_str("x")};
    cs_slice a, b;
    cs_btc_tx tx;
    size_t len = hex(raw, raw_hex);
    (void)state;
    assert_int_equal(cs_btc_parse(&tx, cs_slice_of(raw, len)), CS_OK);
    for (unsigned type = 0; type < 256; type++) {
        unsigned kind = type & 0x7f;
        assert_int_equal(cs_btc_digest_v0(got, &tx, 0, &spent, (uint8_t)type),
                         kind >= 1 && kind <= 3 ? CS_OK : CS_E_RANGE);
        assert_int_equal(cs_btc_digest_key(got, &tx, 0, &spent, (uint8_t)type),
                         kind <= 3 && type != 0x80 ? CS_OK : CS_E_RANGE);
        assert_int_equal(cs_btc_digest_v0(got, &tx, 1, &spent, (uint8_t)type), CS_E_RANGE);
        assert_int_equal(cs_btc_digest_key(got, &tx, 1, &spent, (uint8_t)type), CS_E_RANGE);
    }
    assert_int_equal(cs_btc_input(&a, &b, &tx, 1), CS_E_RANGE);
    tx.num_outputs = 0; /* SINGLE without an output: BIP-341 refuses, BIP-143 hashes zeros */
    assert_int_equal(cs_btc_digest_key(got, &tx, 0, &spent, CS_BTC_SINGLE), CS_E_RANGE);
    assert_int_equal(cs_btc_digest_v0(got, &tx, 0, &spent, CS_BTC_SINGLE), CS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_bip_143),
        cmocka_unit_test(what_is_no_unsigned_transaction_is_refused),
        cmocka_unit_test(types_and_inputs_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
