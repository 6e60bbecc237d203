#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/aws/kms.h"

#define S(x) cs_slice_str(x)
#define ARN "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"

static cs_kms_params decrypt_params(void)
{
    cs_kms_params p = {
        .action = CS_KMS_ACT_DECRYPT, .key_id = S(ARN), .ciphertext = S("\x01\x02"), .document = S("doc")};
    p.context_key[0] = S("app");
    p.context_value[0] = S("sign\"");
    p.num_context = 1;
    return p;
}

static void bodies_are_those_of_the_api(void **state)
{
    uint8_t mem[2048];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_kms_params p = decrypt_params();
    assert_int_equal(cs_kms_put_body(&b, &p), CS_OK);
    assert_true(cs_slice_eq_str(
        cs_buf_slice(&b),
        "{\"KeyId\":\"" ARN "\",\"CiphertextBlob\":\"AQI=\",\"EncryptionAlgorithm\":\"SYMMETRIC_DEFAULT\","
        "\"EncryptionContext\":{\"app\":\"sign\\\"\"},\"Recipient\":{\"KeyEncryptionAlgorithm\":\"RSAES_OAEP_SHA_256\","
        "\"AttestationDocument\":\"ZG9j\"}}"));
    b.len = 0;
    p.action = CS_KMS_ACT_GENERATE_DATA_KEY;
    p.num_context = 0;
    assert_int_equal(cs_kms_put_body(&b, &p), CS_OK);
    assert_true(cs_slice_eq_str(
        cs_buf_slice(&b), "{\"KeyId\":\"" ARN "\",\"KeySpec\":\"AES_256\",\"Recipient\":{"
                          "\"KeyEncryptionAlgorithm\":\"RSAES_OAEP_SHA_256\",\"AttestationDocument\":\"ZG9j\"}}"));
    b.len = 0;
    p.action = CS_KMS_ACT_GENERATE_RANDOM;
    p.num_bytes = 32;
    assert_int_equal(cs_kms_put_body(&b, &p), CS_OK);
    assert_non_null(memmem(mem, b.len, "{\"NumberOfBytes\":32,", 20));
}

static void bodies_out_of_range_are_refused(void **state)
{
    static uint8_t mem[65536], big[CS_KMS_MAX_DOCUMENT + 1];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_kms_params p = decrypt_params();
    p.ciphertext = CS_SLICE_NULL;
    assert_int_equal(cs_kms_put_body(&b, &p), CS_E_RANGE);
    p = decrypt_params();
    p.ciphertext = cs_slice_of(big, CS_KMS_MAX_BLOB + 1);
    assert_int_equal(cs_kms_put_body(&b, &p), CS_E_RANGE);
    p = decrypt_params();
    p.document = CS_SLICE_NULL; /* never without Recipient */
    assert_int_equal(cs_kms_put_body(&b, &p), CS_E_RANGE);
    p.document = cs_slice_of(big, sizeof big);
    assert_int_equal(cs_kms_put_body(&b, &p), CS_E_RANGE);
    p = decrypt_params();
    p.key_id = CS_SLICE_NULL;
    assert_int_equal(cs_kms_put_body(&b, &p), CS_E_RANGE);
    p = decrypt_params();
    p.action = (cs_kms_action)4;
    assert_int_equal(cs_kms_put_body(&b, &p), CS_E_RANGE);
    p.action = CS_KMS_ACT_GENERATE_RANDOM;
    p.num_bytes = 1025;
    assert_int_equal(cs_kms_put_body(&b, &p), CS_E_RANGE);
    p = decrypt_params();
    p.num_context = CS_KMS_MAX_CONTEXT + 1;
    assert_int_equal(cs_kms_put_body(&b, &p), CS_E_RANGE);
    assert_int_equal(b.len, 0);
}

static void requests_verify_on_the_other_side(void **state)
{
    static uint8_t mem[8192];
    cs_buf b = cs_buf_wrap(mem, sizeof mem - 1);
    cs_kms_params p = decrypt_params();
    cs_sigv4_signer s = {S("AKIDEXAMPLE"), S("secret"), S("token"), S("us-east-1"), S("kms"), 1767323045000ull, 0, 0};
    assert_int_equal(cs_kms_put_request(&b, &p, S("kms.us-east-1.amazonaws.com"), &s), CS_OK);
    char *text = (char *)mem, *body = strstr(text, "\r\n\r\n") + 4;
    char hash[65], auth[1024] = "", time[32] = "";
    assert_int_equal(cs_sigv4_hash(hash, cs_slice_of(body, b.len - (size_t)(body - text))), CS_OK);
    sscanf(strstr(text, "Authorization: "), "Authorization: %1000[^\r]", auth);
    sscanf(strstr(text, "X-Amz-Date: "), "X-Amz-Date: %30[^\r]", time);
    cs_sigv4_header h[] = {
        {S("host"), S("kms.us-east-1.amazonaws.com")},  {S("content-type"), S("application/x-amz-json-1.1")},
        {S("x-amz-target"), S("TrentService.Decrypt")}, {S("x-amz-date"), S(time)},
        {S("x-amz-security-token"), S("token")},        {S("authorization"), S(auth)}};
    cs_sigv4_request r = {S("POST"), S("/"), CS_SLICE_NULL, h, 6, S(hash)};
    static cs_sigv4_auth a;
    cs_sigv4_check c = {S("secret"), 1767323045000ull, 1000, CS_SIGV4_NORMALIZE};
    assert_int_equal(cs_sigv4_parse(&a, &r), CS_OK);
    assert_int_equal(cs_sigv4_verify(&a, &r, &c), CS_OK);
    assert_null(strstr(text, "Connection:")); /* kept: HTTP/1.1 */
    assert_null(memmem(mem, b.len, "secret", 6));
}

static void a_header_cannot_be_split(void **state)
{
    static uint8_t mem[8192];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_kms_params p = decrypt_params();
    cs_sigv4_signer s = {S("A"), S("secret"), S("to\r\nken"), S("us-east-1"), S("kms"), 1767323045000ull, 0, 0};
    assert_int_equal(cs_kms_put_request(&b, &p, S("h"), &s), CS_E_FORMAT);
    assert_int_equal(b.len, 0);
}

static cs_kms_answer a;

static cs_err answer(cs_kms_action action, int status, const char *body)
{
    cs_kms_reply r = {status, CS_SLICE_NULL, S(body)};
    return cs_kms_parse_answer(&a, &r, action, S(ARN));
}

static void good_answers_are_taken(void **state)
{
    assert_int_equal(answer(CS_KMS_ACT_DECRYPT, 200,
                            "{\"KeyId\":\"" ARN "\",\"CiphertextForRecipient\":\"MIA=\",\"New\":[1],"
                            "\"Plaintext\":null}"),
                     CS_OK);
    assert_int_equal(a.for_recipient_len, 2);
    assert_string_equal(a.key_id, ARN);
    assert_int_equal(answer(CS_KMS_ACT_GENERATE_DATA_KEY, 200,
                            "{\"KeyId\":\"" ARN "\",\"CiphertextForRecipient\":\"MIA=\","
                            "\"CiphertextBlob\":\"AQID\"}"),
                     CS_OK);
    assert_int_equal(a.ciphertext_len, 3);
    assert_int_equal(
        answer(CS_KMS_ACT_GENERATE_RANDOM, 200, "{\"CiphertextForRecipient\":\"MIA=\",\"Plaintext\":\"\"}"), CS_OK);
}

static void answers_in_plaintext_are_refused(void **state)
{
    assert_int_equal(answer(CS_KMS_ACT_DECRYPT, 200, "{\"KeyId\":\"" ARN "\",\"Plaintext\":\"YQ==\"}"),
                     CS_E_KMS_PLAINTEXT);
    assert_int_equal(answer(CS_KMS_ACT_DECRYPT, 200,
                            "{\"KeyId\":\"" ARN "\",\"Plaintext\":\"YQ==\","
                            "\"CiphertextForRecipient\":\"MIA=\"}"),
                     CS_E_KMS_PLAINTEXT);
    assert_int_equal(answer(CS_KMS_ACT_DECRYPT, 200, "{\"KeyId\":\"" ARN "\"}"), CS_E_KMS_PLAINTEXT);
}

static void another_key_is_refused(void **state)
{
    assert_int_equal(answer(CS_KMS_ACT_DECRYPT, 200,
                            "{\"KeyId\":\"arn:aws:kms:us-east-1:999999999999:key/x\","
                            "\"CiphertextForRecipient\":\"MIA=\"}"),
                     CS_E_KMS_KEY_ID);
    assert_int_equal(a.for_recipient_len, 0);
}

static void what_is_no_answer_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "<html>",
                                      "{\"CiphertextForRecipient\":\"MIA=\"}",
                                      "{\"KeyId\":1}",
                                      "{\"KeyId\":\"" ARN "\",\"CiphertextForRecipient\":\"MI*\"}",
                                      "{\"KeyId\":\"" ARN "\",\"CiphertextForRecipient\":\"MIA=\"} trailing"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(answer(CS_KMS_ACT_DECRYPT, 200, bad[i]), CS_E_KMS_ANSWER);
    }
    assert_int_equal(
        answer(CS_KMS_ACT_GENERATE_DATA_KEY, 200, "{\"KeyId\":\"" ARN "\",\"CiphertextForRecipient\":\"MIA=\"}"),
        CS_E_KMS_ANSWER);
    assert_int_equal(answer(CS_KMS_ACT_DECRYPT, 302, "moved"), CS_E_KMS_ANSWER);
}

static void each_type_has_its_row(void **state)
{
    static const struct {
        const char *type;
        cs_err err;
    } rows[] = {
        {"AccessDeniedException", CS_E_KMS_DENIED},
        {"InvalidCiphertextException", CS_E_KMS_CIPHERTEXT},
        {"IncorrectKeyException", CS_E_KMS_KEY},
        {"NotFoundException", CS_E_KMS_KEY},
        {"DisabledException", CS_E_KMS_STATE},
        {"KMSInvalidStateException", CS_E_KMS_STATE},
        {"KeyUnavailableException", CS_E_KMS_UNAVAILABLE},
        {"KMSInternalException", CS_E_KMS_UNAVAILABLE},
        {"ThrottlingException", CS_E_KMS_THROTTLED},
        {"ValidationException", CS_E_KMS_VALIDATION},
        {"UnrecognizedClientException", CS_E_KMS_TOKEN},
        {"ExpiredTokenException", CS_E_KMS_TOKEN},
        {"InvalidSignatureException", CS_E_KMS_SIGNATURE},
        {"MissingAuthenticationTokenException", CS_E_KMS_SIGNATURE},
        {"NewException", CS_E_KMS_VALIDATION},
    };
    char body[256];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(body, sizeof body, "{\"__type\":\"com.amazonaws.kms#%s:http://x\",\"Message\":\"no\"}", rows[i].type);
        assert_int_equal(answer(CS_KMS_ACT_DECRYPT, 400, body), rows[i].err);
        assert_string_equal(a.type, rows[i].type);
    }
}

static void errors_without_json_go_by_header_then_status(void **state)
{
    cs_kms_reply r = {400, S("ThrottlingException:http://x"), S("<html>")};
    assert_int_equal(cs_kms_parse_answer(&a, &r, CS_KMS_ACT_DECRYPT, S(ARN)), CS_E_KMS_THROTTLED);
    assert_int_equal(answer(CS_KMS_ACT_DECRYPT, 503, "busy"), CS_E_KMS_UNAVAILABLE);
    assert_int_equal(answer(CS_KMS_ACT_DECRYPT, 403, "no"), CS_E_KMS_VALIDATION);
    /* a hostile type cannot put anything else than a name into the log */
    assert_int_equal(answer(CS_KMS_ACT_DECRYPT, 400, "{\"__type\":\"A\\nB\"}"), CS_E_KMS_VALIDATION);
    assert_string_equal(a.type, "A");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_those_of_the_api),
        cmocka_unit_test(bodies_out_of_range_are_refused),
        cmocka_unit_test(requests_verify_on_the_other_side),
        cmocka_unit_test(a_header_cannot_be_split),
        cmocka_unit_test(good_answers_are_taken),
        cmocka_unit_test(answers_in_plaintext_are_refused),
        cmocka_unit_test(another_key_is_refused),
        cmocka_unit_test(what_is_no_answer_is_refused),
        cmocka_unit_test(each_type_has_its_row),
        cmocka_unit_test(errors_without_json_go_by_header_then_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
