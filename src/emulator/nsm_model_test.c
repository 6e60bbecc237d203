#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "codec/cbor.h"
#include "emulator/nsm_server.h"

static cs_nsm_model m;
static cs_emu_cert root;
static uint8_t answer_mem[CS_NSM_MAX_RESPONSE];
static cs_buf answer;

static int setup(void **state)
{
    assert_int_equal(cs_emu_root_issue(&root, 1767323045), CS_OK);
    return 0;
}

static int teardown(void **state)
{
    cs_nsm_model_cleanup(&m);
    cs_emu_cert_cleanup(&root);
    return 0;
}

static void fresh(void)
{
    cs_nsm_model_cleanup(&m);
    cs_nsm_model_init(&m, "i-1234567890abcdef0-enc0123456789abcdef", &root);
}

static void ask(const uint8_t *p, size_t len)
{
    answer = cs_buf_wrap(answer_mem, sizeof answer_mem);
    assert_int_equal(cs_nsm_model_handle(&m, cs_slice_of(p, len), &answer), CS_OK);
}

static void ask_hex(const char *hex)
{
    uint8_t req[4200];
    size_t n = strlen(hex) / 2;
    assert_int_equal(cs_hex_decode(req, n, cs_slice_str(hex)), CS_OK);
    ask(req, n);
}

static void expect_hex(const char *hex)
{
    char got[2 * CS_NSM_MAX_RESPONSE + 1];
    cs_hex_encode(got, cs_buf_slice(&answer));
    assert_string_equal(got, hex);
}

static void expect_error(const char *name)
{
    uint8_t mem[64];
    cs_buf want = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_cbor_put_map(&want, 1), CS_OK);
    assert_int_equal(cs_cbor_put_text(&want, "Error"), CS_OK);
    assert_int_equal(cs_cbor_put_text(&want, name), CS_OK);
    assert_int_equal(answer.len, want.len);
    assert_memory_equal(answer.p, want.p, want.len);
}

/* Requests and values: specs/nitro-kms.md A.2 and A.3. */
static void extends_and_locks_application_pcrs(void **state)
{
    fresh();
    ask_hex("a169457874656e64504352a265696e64657810646461746143616263");
    expect_hex("a169457874656e64504352a164646174615830"
               "b1c16eb7634112b7c9d5ebd27e62a2d4528bbfcfd68b62d3afd9ecf98e0f413a84314acce78317fb69fd895155343e09");
    ask_hex("a169457874656e64504352a265696e64657810646461746143616263");
    expect_hex("a169457874656e64504352a164646174615830"
               "23a72f79ff6c08f7f5c9ec51ada36adac38a411ab63031ada770d9a4a94f3228e6c217965c1a24e0325a2dd24dd5de0d");
    ask_hex("a1674c6f636b504352a165696e64657810");
    expect_hex("674c6f636b504352");
    ask_hex("a169457874656e64504352a265696e64657810646461746143616263");
    expect_error("ReadOnlyIndex");
    ask_hex("a1674c6f636b504352a165696e64657810");
    expect_error("ReadOnlyIndex");
}

static void locks_a_range(void **state)
{
    fresh();
    ask_hex("a1684c6f636b50435273a16572616e676511");
    expect_hex("684c6f636b50435273");
    assert_int_equal(m.locked, 0x1ffff);
    ask_hex("a1684c6f636b50435273a16572616e67651821");
    expect_error("InvalidIndex");
    ask_hex("a1684c6f636b50435273a16572616e67651820");
    assert_int_equal(m.locked, 0xffffffff);
}

static void boot_pcrs_are_read_only(void **state)
{
    fresh();
    ask_hex("a169457874656e64504352a265696e64657800646461746143616263");
    expect_error("ReadOnlyIndex");
    ask_hex("a16b4465736372696265504352a165696e64657800");
    assert_int_equal(answer.len, 1 + 12 + 1 + 5 + 2 + 48 + 5 + 1);
    assert_int_equal(answer.p[answer.len - 1], 0xf5);
}

static void describes_itself_and_gives_random_bytes(void **state)
{
    fresh();
    ask_hex("6b44657363726962654e534d");
    assert_non_null(memmem(answer.p, answer.len, "i-1234567890abcdef0-enc0123456789abcdef", 39));
    ask_hex("6947657452616e646f6d");
    assert_int_equal(answer.len, 1 + 10 + 1 + 7 + 3 + 256);
}

static void refuses_with_the_documented_errors(void **state)
{
    static uint8_t big[CS_NSM_MAX_REQUEST + 1];
    fresh();
    ask_hex("a16b4465736372696265504352a165696e6465781820"); /* index 32 */
    expect_error("InvalidIndex");
    ask_hex("a1674c6f636b504352a165696e6465781820");
    expect_error("InvalidIndex");
    ask_hex("634e6f70"); /* unknown unit request */
    expect_error("InvalidOperation");
    ask_hex("6b4465736372696265504352"); /* DescribePCR without its map */
    expect_error("InvalidOperation");
    ask_hex("a0");
    expect_error("InvalidOperation");
    ask_hex("ff");
    expect_error("InvalidOperation");
    ask_hex("");
    expect_error("InvalidOperation");
    ask_hex("a16b4465736372696265504352a0"); /* field missing */
    expect_error("InvalidArgument");
    ask_hex("a16b4465736372696265504352a16572616e676500"); /* another request's field */
    expect_error("InvalidArgument");
    ask_hex("a16b4465736372696265504352a265696e6465780065696e64657800"); /* twice */
    expect_error("InvalidArgument");
    ask_hex("a16b4465736372696265504352a165696e6465780000"); /* bytes behind */
    expect_error("InvalidArgument");
    ask(big, sizeof big);
    expect_error("InputTooLarge");
}

static void ask_attestation(size_t user_data_len, size_t nonce_len, size_t key_len)
{
    static uint8_t mem[CS_NSM_MAX_REQUEST], zeros[2000];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_cbor_put_map(&b, 1), CS_OK);
    assert_int_equal(cs_cbor_put_text(&b, "Attestation"), CS_OK);
    assert_int_equal(cs_cbor_put_map(&b, 3), CS_OK);
    assert_int_equal(cs_cbor_put_text(&b, "nonce"), CS_OK);
    assert_int_equal(cs_cbor_put_bytes(&b, cs_slice_of(zeros, nonce_len)), CS_OK);
    assert_int_equal(cs_cbor_put_text(&b, "user_data"), CS_OK);
    assert_int_equal(cs_cbor_put_bytes(&b, cs_slice_of(zeros, user_data_len)), CS_OK);
    assert_int_equal(cs_cbor_put_text(&b, "public_key"), CS_OK);
    assert_int_equal(cs_cbor_put_bytes(&b, cs_slice_of(zeros, key_len)), CS_OK);
    ask(b.p, b.len);
}

static void limits_the_fields_of_a_document(void **state)
{
    fresh();
    ask_attestation(513, 0, 0);
    expect_error("InputTooLarge");
    ask_attestation(0, 513, 0);
    expect_error("InputTooLarge");
    ask_attestation(0, 0, 1025);
    expect_error("InputTooLarge");
    ask_attestation(512, 512, 1024);
    assert_true(answer.len > 4000);
}

static void documents_have_the_genuine_shape(void **state)
{
    static const uint8_t start[] = {0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x59};
    cs_slice doc, prot, payload, sig;
    cs_cbor_iter it;
    fresh();
    memset(m.pcr[0], 0x11, sizeof m.pcr[0]);
    ask_hex("a16b4174746573746174696f6ea369757365725f64617461f6656e6f6e63654401020304"
            "6a7075626c69635f6b6579f6");
    cs_cbor c = cs_cbor_of(cs_buf_slice(&answer), CS_CBOR_STRICT);
    assert_int_equal(cs_cbor_map(&c, &it), CS_OK);
    assert_int_equal(cs_cbor_text(&c, &doc), CS_OK);
    assert_int_equal(cs_cbor_map(&c, &it), CS_OK);
    assert_int_equal(cs_cbor_text(&c, &doc), CS_OK);
    assert_int_equal(cs_cbor_bytes(&c, &doc), CS_OK);
    assert_memory_equal(doc.p, start, sizeof start);
    assert_true(doc.len > 3000 && doc.len < 5000);
    c = cs_cbor_of(doc, CS_CBOR_STRICT);
    assert_int_equal(cs_cbor_array(&c, &it), CS_OK);
    assert_int_equal(cs_cbor_bytes(&c, &prot), CS_OK);
    assert_int_equal(cs_cbor_map(&c, &it), CS_OK);
    assert_int_equal(cs_cbor_bytes(&c, &payload), CS_OK);
    assert_int_equal(cs_cbor_bytes(&c, &sig), CS_OK);
    assert_int_equal(sig.len, 96);
    assert_int_equal(payload.p[0], 0xa9);
    for (int i = 0; i < 4; i++) { /* each certificate is signed by the one above */
        EVP_PKEY *parent = i == 0 ? root.key : m.chain.level[i - 1].key;
        assert_int_equal(X509_verify(m.chain.level[i].cert, parent), 1);
    }
}

static cs_err create(const char *line)
{
    return cs_emu_nsm_create_parse(&m, cs_slice_str(line), &root);
}

#define P96 "111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111"

static void create_lines_make_instances(void **state)
{
    fresh();
    assert_int_equal(
        create("{\"op\":\"create\",\"module_id\":\"i-1-enc1\",\"pcrs\":{\"0\":\"" P96 "\",\"3\":\"" P96 "\"}}"), CS_OK);
    assert_int_equal(m.pcr[0][0], 0x11);
    assert_int_equal(m.locked, 0xffff);
    assert_int_equal(create("{\"op\":\"create\",\"module_id\":\"i-1-enc1\",\"pcrs\":{\"0\":\"" P96 "\",\"3\":\"" P96
                            "\"},\"debug\":true}"),
                     CS_OK);
    assert_int_equal(m.pcr[0][0], 0); /* debug mode: 0 to 2 are zero, the others stay */
    assert_int_equal(m.pcr[3][0], 0x11);
}

static void bad_create_lines_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "{\"op\":\"create\",\"module_id\":\"i\"}",
        "{\"op\":\"delete\",\"module_id\":\"i\",\"pcrs\":{}}",
        "{\"op\":\"create\",\"module_id\":\"\",\"pcrs\":{}}",
        "{\"op\":\"create\",\"module_id\":\"i\",\"pcrs\":[]}",
        "{\"op\":\"create\",\"module_id\":\"i\",\"pcrs\":{\"16\":\"" P96 "\"}}",
        "{\"op\":\"create\",\"module_id\":\"i\",\"pcrs\":{\"0\":\"11\"}}",
        "{\"op\":\"create\",\"module_id\":\"i\",\"pcrs\":{},\"more\":1}",
        "{\"op\":\"create\",\"module_id\":\"i\",\"pcrs\":{},\"debug\":1}",
    };
    fresh();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(create(bad[i]), CS_E_FORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extends_and_locks_application_pcrs),
        cmocka_unit_test(locks_a_range),
        cmocka_unit_test(boot_pcrs_are_read_only),
        cmocka_unit_test(describes_itself_and_gives_random_bytes),
        cmocka_unit_test(refuses_with_the_documented_errors),
        cmocka_unit_test(limits_the_fields_of_a_document),
        cmocka_unit_test(documents_have_the_genuine_shape),
        cmocka_unit_test(create_lines_make_instances),
        cmocka_unit_test(bad_create_lines_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
