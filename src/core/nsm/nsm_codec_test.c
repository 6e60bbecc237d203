/* Tests of core/nsm/nsm_codec: requests byte for byte, responses in every form, refusals. Source: specs/nitro-kms.md 4.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "core/nsm/nsm_codec.h"

static uint8_t mem[CS_NSM_REQUEST_MAX];

static void assert_hex(const cs_buf *b, const char *hex)
{
    uint8_t want[256];

    assert_int_equal(cs_hex_decode(want, strlen(hex) / 2, cs_slice_str(hex)), CS_OK);
    assert_int_equal(b->len, strlen(hex) / 2);
    assert_memory_equal(b->p, want, b->len);
}

static void test_requests_are_what_the_module_takes(void **state)
{
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_nsm_doc_args a = {.nonce = cs_slice_str("nn"), .public_key = cs_slice_str("k")};

    assert_int_equal(cs_nsm_put_describe_pcr(&b, 8), CS_OK);
    assert_hex(&b, "a16b4465736372696265504352a165696e64657808");
    b.len = 0;
    assert_int_equal(cs_nsm_put_attestation(&b, &a), CS_OK);
    assert_hex(&b, "a16b4174746573746174696f6ea3656e6f6e6365426e6e69757365725f64617461f66a7075626c69635f6b6579416b");
    b.len = 0;
    assert_int_equal(cs_nsm_put_attestation(&b, &(cs_nsm_doc_args){0}), CS_OK);
    assert_hex(&b, "a16b4174746573746174696f6ea3656e6f6e6365f669757365725f64617461f66a7075626c69635f6b6579f6");
    b.len = 0;
    assert_int_equal(cs_nsm_put_attestation(&b, &(cs_nsm_doc_args){.user_data = cs_slice_of("uu", 2)}), CS_OK);
    assert_hex(&b, "a16b4174746573746174696f6ea3656e6f6e6365f669757365725f646174614275756a7075626c69635f6b6579f6");
}

static void test_fields_over_the_modules_limits_are_refused_here(void **state)
{
    static uint8_t big[1025];
    cs_buf b = cs_buf_wrap(mem, sizeof mem), small = cs_buf_wrap(mem, 10);
    cs_nsm_doc_args a = {.nonce = cs_slice_of(big, 513)};

    assert_int_equal(cs_nsm_put_attestation(&b, &a), CS_E_RANGE);
    a = (cs_nsm_doc_args){.public_key = cs_slice_of(big, 1025)};
    assert_int_equal(cs_nsm_put_attestation(&b, &a), CS_E_RANGE);
    a = (cs_nsm_doc_args){.user_data = cs_slice_of(big, 513)};
    assert_int_equal(cs_nsm_put_attestation(&b, &a), CS_E_RANGE);
    assert_int_equal(cs_nsm_put_describe_pcr(&b, 32), CS_E_RANGE);
    assert_int_equal(cs_nsm_put_describe_pcr(&small, 1), CS_E_RANGE);
    a = (cs_nsm_doc_args){.nonce = cs_slice_of(big, 512), .public_key = cs_slice_of(big, 1024)};
    a.user_data = cs_slice_of(big, 512);
    b.len = 0;
    assert_int_equal(cs_nsm_put_attestation(&b, &a), CS_OK);
}

#define PCR48                                                                                                          \
    "5830"                                                                                                             \
    "0101010101010101010101010101010101010101010101010101010101010101"                                                 \
    "02020202020202020202020202020202"

static cs_slice bytes(const char *hex)
{
    static uint8_t pool[1024];

    assert_int_equal(cs_hex_decode(pool, strlen(hex) / 2, cs_slice_str(hex)), CS_OK);
    return cs_slice_of(pool, strlen(hex) / 2);
}

static void test_pcrs_are_read_in_any_order_and_form(void **state)
{
    static const char *const forms[] = {
        "a16b4465736372696265504352a2646c6f636bf56464617461" PCR48,
        "a16b4465736372696265504352a26464617461" PCR48 "646c6f636bf5",
        "bf6b4465736372696265504352bf646c6f636bf56464617461" PCR48 "ffff",
    };

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        cs_nsm_pcr p = {0};

        assert_int_equal(cs_nsm_read_pcr(&p, NULL, bytes(forms[i])), CS_OK);
        assert_true(p.locked && p.value[0] == 1 && p.value[47] == 2);
    }
}

static void test_a_refusal_of_the_module_gives_its_code(void **state)
{
    char code[CS_NSM_CODE_MAX];
    cs_nsm_pcr p;
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_nsm_read_pcr(&p, code, bytes("a1654572726f726c496e76616c6964496e646578")), CS_E_NSM);
    assert_string_equal(code, "InvalidIndex");
    assert_int_equal(cs_nsm_read_document(&b, code, bytes("a1654572726f726d496e7465726e616c4572726f72")), CS_E_NSM);
    assert_string_equal(code, "InternalError");
    assert_int_equal(cs_nsm_read_pcr(&p, code, bytes("a1654572726f7263410a42")), CS_E_NSM); /* would break a log line */
    assert_string_equal(code, "");
}

static void test_responses_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "a0",
        "6b4465736372696265504352",                                          /* bare text */
        "a16b4465736372696265504352a1646c6f636bf5",                          /* no data */
        "a16b4465736372696265504352a16464617461" PCR48,                      /* no lock */
        "a16b4465736372696265504352a2646c6f636bf564646174614101",            /* too short */
        "a16b4465736372696265504352a2646c6f636b016464617461" PCR48,          /* lock is no bool */
        "a16b4465736372696265504352a3646c6f636bf56464617461" PCR48 "617801", /* unknown field */
        "a16b4465736372696265504352a2646c6f636bf56464617461" PCR48 "00",     /* bytes behind */
        "a16b4174746573746174696f6ea168646f63756d656e744101",                /* another response */
    };
    char code[CS_NSM_CODE_MAX];
    cs_nsm_pcr p;
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (cs_nsm_read_pcr(&p, code, bytes(bad[i])) != CS_E_NSM) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
    assert_int_equal(cs_nsm_read_document(&b, code, bytes("a16b4174746573746174696f6ea168646f63756d656e7440")),
                     CS_E_NSM);
    assert_int_equal(cs_nsm_read_document(&b, code, bytes("a16b4174746573746174696f6ea0")), CS_E_NSM);
    assert_int_equal(b.len, 0);
}

static void test_documents_are_taken_whole_or_not(void **state)
{
    static const char doc[] = "a16b4174746573746174696f6ea168646f63756d656e7443616263";
    static const char pieces[] = "a16b4174746573746174696f6ea168646f63756d656e745f4161426263ff";
    cs_buf b = cs_buf_wrap(mem, sizeof mem), small = cs_buf_wrap(mem, 2);

    assert_int_equal(cs_nsm_read_document(&b, NULL, bytes(doc)), CS_OK);
    assert_int_equal(cs_nsm_read_document(&b, NULL, bytes(pieces)), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&b), "abcabc"));
    assert_int_equal(cs_nsm_read_document(&small, NULL, bytes(doc)), CS_E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_what_the_module_takes),
        cmocka_unit_test(test_fields_over_the_modules_limits_are_refused_here),
        cmocka_unit_test(test_pcrs_are_read_in_any_order_and_form),
        cmocka_unit_test(test_a_refusal_of_the_module_gives_its_code),
        cmocka_unit_test(test_responses_that_are_none_are_refused),
        cmocka_unit_test(test_documents_are_taken_whole_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
