/* Properties: what is asked for is what KMS documents; an answer in plaintext, of another key or of no shape is refused; messages are redacted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tools/kmstool_wire.h"

#define KEY "arn:aws:kms:us-east-1:123456789012:key/1234abcd"

static cs_kmstool_answer answer;

static cs_err read_as(const cs_kmstool_ask *ask, int status, const char *body)
{
    return cs_kmstool_read_answer(&answer, ask, status, CS_SLICE_NULL, cs_slice_str(body));
}

static void body_is(const cs_kmstool_ask *ask, const char *want)
{
    cs_buf out = cs_buf_heap(4096);

    assert_int_equal(cs_kmstool_put_body(&out, ask, cs_slice_str("doc")), CS_OK);
    assert_int_equal(out.len, strlen(want));
    assert_memory_equal(out.p, want, out.len);
    cs_buf_free(&out);
}

#define RECIPIENT "\"Recipient\":{\"KeyEncryptionAlgorithm\":\"RSAES_OAEP_SHA_256\",\"AttestationDocument\":\"ZG9j\"}}"

static void requests(void **unused)
{
    cs_kmstool_ask ask = {
        .op = CS_KMSTOOL_DECRYPT, .ciphertext = cs_slice_str("abc"), .algorithm = "SYMMETRIC_DEFAULT"};
    cs_buf out = cs_buf_heap(4096);

    /* without a key the algorithm is not sent */
    body_is(&ask, "{\"CiphertextBlob\":\"YWJj\"," RECIPIENT);
    ask.key_id = "k";
    body_is(&ask,
            "{\"CiphertextBlob\":\"YWJj\",\"KeyId\":\"k\",\"EncryptionAlgorithm\":\"SYMMETRIC_DEFAULT\"," RECIPIENT);
    ask = (cs_kmstool_ask){.op = CS_KMSTOOL_GENKEY, .key_id = "k", .key_spec = "AES_128"};
    body_is(&ask, "{\"KeyId\":\"k\",\"KeySpec\":\"AES_128\"," RECIPIENT);
    ask = (cs_kmstool_ask){.op = CS_KMSTOOL_GENRANDOM, .length = 1024};
    body_is(&ask, "{\"NumberOfBytes\":1024," RECIPIENT);
    ask.length = 1025;
    assert_int_equal(cs_kmstool_put_body(&out, &ask, cs_slice_str("doc")), CS_E_RANGE);
    ask.length = 1;
    assert_int_equal(cs_kmstool_put_body(&out, &ask, CS_SLICE_NULL), CS_E_RANGE);
    ask = (cs_kmstool_ask){.op = CS_KMSTOOL_DECRYPT};
    assert_int_equal(cs_kmstool_put_body(&out, &ask, cs_slice_str("doc")), CS_E_RANGE);
    cs_buf_free(&out);
    assert_string_equal(cs_kmstool_target(CS_KMSTOOL_DECRYPT), "TrentService.Decrypt");
    assert_string_equal(cs_kmstool_target(CS_KMSTOOL_GENKEY), "TrentService.GenerateDataKey");
    assert_string_equal(cs_kmstool_target(CS_KMSTOOL_GENRANDOM), "TrentService.GenerateRandom");
}

static void answers(void **unused)
{
    cs_kmstool_ask ask = {.op = CS_KMSTOOL_DECRYPT, .key_id = KEY};

    assert_int_equal(read_as(&ask, 200, "{\"KeyId\":\"" KEY "\",\"CiphertextForRecipient\":\"AQID\",\"New\":[1]}"),
                     CS_OK);
    assert_int_equal(answer.envelope_len, 3);
    assert_int_equal(read_as(&ask, 200, "{\"KeyId\":\"" KEY "5\",\"CiphertextForRecipient\":\"AQID\"}"),
                     CS_E_KMS_KEY_ID);
    ask.key_id = "alias/a";
    assert_int_equal(read_as(&ask, 200, "{\"KeyId\":\"" KEY "\",\"CiphertextForRecipient\":\"AQID\"}"), CS_OK);
    ask.key_id = NULL;
    assert_int_equal(read_as(&ask, 200, "{\"KeyId\":\"" KEY "\",\"CiphertextForRecipient\":\"AQID\"}"), CS_OK);
    assert_int_equal(read_as(&ask, 200, "{\"KeyId\":\"" KEY "\",\"Plaintext\":\"AQID\"}"), CS_E_KMS_PLAINTEXT);
    assert_int_equal(
        read_as(&ask, 200, "{\"KeyId\":\"" KEY "\",\"Plaintext\":\"AQID\",\"CiphertextForRecipient\":\"AQID\"}"),
        CS_E_KMS_PLAINTEXT);
    assert_int_equal(read_as(&ask, 200, "{\"KeyId\":\"" KEY "\"}"), CS_E_KMS_PLAINTEXT);
    assert_int_equal(read_as(&ask, 200, "{\"CiphertextForRecipient\":\"AQID\"}"), CS_E_KMS_ANSWER);
    assert_int_equal(read_as(&ask, 200, "{\"KeyId\":\"" KEY "\",\"CiphertextForRecipient\":\"@\"}"), CS_E_KMS_ANSWER);
    assert_int_equal(read_as(&ask, 200, "<html>"), CS_E_KMS_ANSWER);
    ask.op = CS_KMSTOOL_GENKEY;
    assert_int_equal(read_as(&ask, 200, "{\"KeyId\":\"k\",\"CiphertextForRecipient\":\"AQID\"}"), CS_E_KMS_ANSWER);
    assert_int_equal(
        read_as(&ask, 200, "{\"KeyId\":\"k\",\"CiphertextForRecipient\":\"AQID\",\"CiphertextBlob\":\"AQIDBA==\"}"),
        CS_OK);
    assert_int_equal(answer.ciphertext_len, 4);
    ask.op = CS_KMSTOOL_GENRANDOM;
    assert_int_equal(read_as(&ask, 200, "{\"CiphertextForRecipient\":\"AQID\"}"), CS_OK);
}

static void refusals(void **unused)
{
    const cs_kmstool_ask ask = {.op = CS_KMSTOOL_DECRYPT};

    assert_int_equal(read_as(&ask, 400, "{\"__type\":\"a.b#AccessDeniedException:http://x\",\"Message\":\"no\"}"),
                     CS_E_KMS_DENIED);
    assert_string_equal(answer.type, "AccessDeniedException");
    assert_string_equal(answer.message, "no");
    assert_int_equal(read_as(&ask, 400, "{\"__type\":\"ThrottlingException\",\"message\":\"slow\"}"),
                     CS_E_KMS_THROTTLED);
    assert_string_equal(answer.message, "slow");
    assert_int_equal(read_as(&ask, 400, "{\"__type\":\"InvalidCiphertextException\",\"message\":null}"),
                     CS_E_KMS_CIPHERTEXT);
    assert_string_equal(answer.message, "");
    assert_int_equal(read_as(&ask, 503, "<html>busy</html>"), CS_E_KMS_UNAVAILABLE);
    assert_int_equal(cs_kmstool_read_answer(&answer, &ask, 400, cs_slice_str("ExpiredTokenException:"), CS_SLICE_NULL),
                     CS_E_KMS_TOKEN);
    assert_int_equal(read_as(&ask, 301, ""), CS_E_KMS_ANSWER);
}

static void redacted(const char *message, const char *want)
{
    char out[200];

    cs_kmstool_redact(out, sizeof out, cs_slice_str(message));
    assert_string_equal(out, want);
}

static void redaction(void **unused)
{
    char out[5];

    redacted("User: arn:aws:sts::123456789012:assumed-role/a/i-0 may not",
             "User: arn:aws:sts::***:assumed-role/a/i-0 may not");
    redacted("12345678901", "12345678901");
    redacted("1234567890123", "***");
    redacted("a\r\n\x1b[31mb", "a???[31mb");
    redacted("IQoJb3JpZ2luX2VjEIb0123456789abcdefghijklmnopqrstuvwx=", "***");
    redacted("a word of usual length", "a word of usual length");
    cs_kmstool_redact(out, sizeof out, cs_slice_str("abcdefgh"));
    assert_string_equal(out, "abcd");
}

static void module(void **unused)
{
    static const uint8_t good[] = {0xa1, 0x6b, 'A', 't', 't', 'e', 's', 't', 'a', 't', 'i',  'o', 'n',
                                   0xa1, 0x68, 'd', 'o', 'c', 'u', 'm', 'e', 'n', 't', 0x42, 1,   2};
    static const uint8_t error[] = {0xa1, 0x65, 'E', 'r', 'r', 'o', 'r', 0x61, 'x'};
    uint8_t mem[8], request_mem[128];
    cs_buf out = cs_buf_wrap(mem, sizeof mem), request = cs_buf_wrap(request_mem, sizeof request_mem);

    assert_int_equal(cs_kmstool_read_document(&out, cs_slice_of(good, sizeof good)), CS_OK);
    assert_int_equal(out.len, 2);
    assert_int_equal(cs_kmstool_read_document(&out, cs_slice_of(good, sizeof good - 1)), CS_E_NSM);
    assert_int_equal(cs_kmstool_read_document(&out, cs_slice_of(error, sizeof error)), CS_E_NSM);
    assert_int_equal(cs_kmstool_read_document(&out, CS_SLICE_NULL), CS_E_NSM);
    assert_int_equal(out.len, 2);
    out.len = 7;
    assert_int_equal(cs_kmstool_read_document(&out, cs_slice_of(good, sizeof good)), CS_E_RANGE);
    assert_int_equal(out.len, 7);
    assert_int_equal(cs_kmstool_put_attestation(&request, cs_slice_str("key")), CS_OK);
    assert_true(request.len > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),  cmocka_unit_test(answers), cmocka_unit_test(refusals),
        cmocka_unit_test(redaction), cmocka_unit_test(module),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
