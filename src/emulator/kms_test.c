/* The emulated KMS through signed requests, without sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/cms.h>
#include <openssl/rsa.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "emulator/kms_call.h"
#include "emulator/nsm_model.h"
#include "emulator/recipient.h"

static char dir[64];
static cs_emu_state st;
static cs_emu_options opts;
static cs_emu_cert root;
static cs_nsm_model nsm;
static EVP_PKEY *rsa;
static uint8_t spki[600];
static size_t spki_len;
static cs_emu_reply reply;
static uint64_t now_ms = 1767323045000ull;

static uint64_t fake_wall(void)
{
    return now_ms;
}

static uint64_t fake_mono(void)
{
    return now_ms * 1000000u;
}

static int setup(void **state)
{
    static const cs_clock_source clock = {fake_wall, fake_mono};
    uint8_t *der = NULL, mem[1024];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_clock_set_for_tests(&clock);
    cs_log_init("test", CS_LOG_ERROR, 2);
    strcpy(dir, "/tmp/cs-emu-XXXXXX");
    assert_non_null(mkdtemp(dir));
    opts = (cs_emu_options){
        dir,         "us-east-1", "123456789012", "enclave-host", "kms:GenerateRandom", "i-1234567890abcdef0", 3600,
        "alternate", NULL};
    assert_int_equal(cs_emu_state_open(&st, &opts), CS_OK);
    assert_int_equal(cs_emu_root_issue(&root, (int64_t)(now_ms / 1000)), CS_OK);
    assert_int_equal(cs_emu_cert_der(&b, &root), CS_OK);
    st.nsm_root_der = malloc(b.len);
    memcpy(st.nsm_root_der, mem, b.len);
    st.nsm_root_len = b.len;
    cs_nsm_model_init(&nsm, "i-1234567890abcdef0-enc0123456789abcdef", &root);
    memset(nsm.pcr[0], 0x11, 48);
    memset(nsm.pcr[1], 0x22, 48);
    memset(nsm.pcr[2], 0x33, 48);
    rsa = EVP_RSA_gen(2048);
    int n = i2d_PUBKEY(rsa, &der);
    memcpy(spki, der, (size_t)n);
    spki_len = (size_t)n;
    OPENSSL_free(der);
    reply.body = cs_buf_heap(CS_EMU_MAX_BODY);
    return 0;
}

static int teardown(void **state)
{
    char cmd[128];
    cs_buf_free(&reply.body);
    cs_emu_state_close(&st);
    cs_nsm_model_cleanup(&nsm);
    cs_emu_cert_cleanup(&root);
    EVP_PKEY_free(rsa);
    cs_clock_set_for_tests(NULL);
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd);
}

typedef struct tweak {
    const char *akid, *secret, *token, *region, *target;
    int64_t time_shift_ms;
    bool unsigned_request;
} tweak;

/* One request; the parsed answer (NULL for an empty body). by: NULL is the administrator. */
static json_t *call_with(const char *op, const char *body, const cs_emu_session *by, const tweak *t)
{
    static const tweak none;
    static uint8_t auth_mem[4096];
    char hash[65], target[96];
    cs_buf auth = cs_buf_wrap(auth_mem, sizeof auth_mem);
    cs_sigv4_result res = {.out = &auth};
    t = t != NULL ? t : &none;
    by = by != NULL ? by : &st.admin;
    snprintf(target, sizeof target, "%s%s", t->target != NULL ? t->target : "TrentService.", op);
    cs_sigv4_header h[6] = {{cs_slice_str("Host"), cs_slice_str("kms.us-east-1.amazonaws.com")},
                            {cs_slice_str("X-Amz-Target"), cs_slice_str(target)}};
    assert_int_equal(cs_sigv4_hash(hash, cs_slice_str(body)), CS_OK);
    cs_emu_request q = {
        {cs_slice_str("POST"), cs_slice_str("/"), CS_SLICE_NULL, h, 2, cs_slice_str(hash)}, cs_slice_str(body), false};
    const char *token = t->token != NULL ? t->token : by->token;
    cs_sigv4_signer s = {cs_slice_str(t->akid != NULL ? t->akid : by->access_key_id),
                         cs_slice_str(t->secret != NULL ? t->secret : by->secret),
                         cs_slice_str(token),
                         cs_slice_str(t->region != NULL ? t->region : "us-east-1"),
                         cs_slice_str("kms"),
                         (uint64_t)((int64_t)now_ms + t->time_shift_ms),
                         0,
                         CS_SIGV4_NORMALIZE};
    assert_int_equal(cs_sigv4_sign(&res, &q.sig, &s), CS_OK);
    if (!t->unsigned_request) {
        size_t n = 2;
        h[n++] = (cs_sigv4_header){cs_slice_str("X-Amz-Date"), cs_slice_str(res.time)};
        if (token[0] != '\0') {
            h[n++] = (cs_sigv4_header){cs_slice_str("X-Amz-Security-Token"), cs_slice_str(token)};
        }
        h[n++] = (cs_sigv4_header){cs_slice_str("Authorization"), cs_buf_slice(&auth)};
        q.sig.num_headers = n;
    }
    reply.body.len = 0;
    reply.num_headers = 0;
    cs_emu_kms(&st, &reply, &q);
    return json_loadb((const char *)reply.body.p, reply.body.len, 0, NULL);
}

static json_t *call(const char *op, const char *body)
{
    return call_with(op, body, NULL, NULL);
}

static const char *text_of(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s != NULL ? s : "";
}

static void expect_error(json_t *j, const char *type)
{
    assert_int_equal(reply.status, strcmp(type, "DryRunOperationException") == 0 ? 412 : 400);
    assert_string_equal(text_of(j, "__type"), type);
    json_decref(j);
}

static const cs_emu_session *role(void)
{
    const cs_emu_session *s = NULL;
    assert_int_equal(cs_emu_role_session(&s, &st), CS_OK);
    return s;
}

/* A new key; policy NULL: the default. The ARN is in a static buffer of two. */
static const char *new_key(const char *policy)
{
    static char arn[4][128];
    static int at;
    json_t *in = policy != NULL ? json_pack("{s:s}", "Policy", policy) : json_object();
    char *body = json_dumps(in, 0);
    json_t *j = call("CreateKey", body);
    at = (at + 1) % 4;
    assert_int_equal(reply.status, 200);
    snprintf(arn[at], sizeof arn[at], "%s", text_of(json_object_get(j, "KeyMetadata"), "Arn"));
    free(body);
    json_decref(in);
    json_decref(j);
    return arn[at];
}

static char *encrypt(const char *arn, const char *plain_b64, const char *context)
{
    char body[1024];
    snprintf(body, sizeof body, "{\"KeyId\":\"%s\",\"Plaintext\":\"%s\",\"EncryptionContext\":%s}", arn, plain_b64,
             context);
    json_t *j = call("Encrypt", body);
    assert_int_equal(reply.status, 200);
    char *blob = strdup(text_of(j, "CiphertextBlob"));
    json_decref(j);
    return blob;
}

static char *document(void)
{
    cs_buf doc = cs_buf_heap(16384), b64 = cs_buf_heap(32768);
    cs_nsm_attest_fields f = {.public_key = cs_slice_of(spki, spki_len)};
    assert_int_equal(cs_nsm_attest(&doc, &nsm, &f), CS_OK);
    assert_int_equal(cs_b64_put(&b64, cs_buf_slice(&doc), CS_B64_STD), CS_OK);
    char *text = strndup((char *)b64.p, b64.len);
    cs_buf_free(&doc);
    cs_buf_free(&b64);
    return text;
}

static json_t *decrypt(const char *blob, const char *arn, const char *context, const char *doc,
                       const cs_emu_session *by)
{
    json_t *in = json_pack("{s:s,s:o}", "CiphertextBlob", blob, "EncryptionContext", json_loads(context, 0, NULL));
    if (arn != NULL) {
        json_object_set_new(in, "KeyId", json_string(arn));
    }
    if (doc != NULL) {
        json_object_set_new(
            in, "Recipient",
            json_pack("{s:s,s:s}", "KeyEncryptionAlgorithm", "RSAES_OAEP_SHA_256", "AttestationDocument", doc));
    }
    char *body = json_dumps(in, 0);
    json_t *j = call_with("Decrypt", body, by, NULL);
    free(body);
    json_decref(in);
    return j;
}

static void open_envelope(const char *b64, char out[64])
{
    uint8_t mem[2048], key[64];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_b64_get(&b, cs_slice_str(b64), CS_B64_STD), CS_OK);
    BIO *in = BIO_new_mem_buf(mem, (int)b.len), *plain = BIO_new(BIO_s_mem());
    CMS_ContentInfo *cms = d2i_CMS_bio(in, NULL);
    assert_non_null(cms);
    assert_int_equal(CMS_decrypt(cms, rsa, NULL, NULL, plain, 0), 1);
    int n = BIO_read(plain, key, sizeof key - 1);
    assert_true(n > 0);
    key[n] = 0;
    strcpy(out, (char *)key);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    BIO_free(plain);
}

static void what_is_encrypted_is_decrypted(void **state)
{
    const char *arn = new_key(NULL);
    char *blob = encrypt(arn, "aGVsbG8=", "{\"app\":\"sign\",\"b\":\"2\"}");
    json_t *j = decrypt(blob, NULL, "{\"b\":\"2\",\"app\":\"sign\"}", NULL, NULL);
    assert_string_equal(text_of(j, "Plaintext"), "aGVsbG8=");
    assert_string_equal(text_of(j, "KeyId"), arn);
    assert_memory_equal(blob, "AQICAH", 6);
    json_decref(j);
    free(blob);
}

static void decrypt_refuses_by_the_type_that_kms_has(void **state)
{
    const char *arn = new_key(NULL), *other = new_key(NULL);
    char *blob = encrypt(arn, "aGVsbG8=", "{\"app\":\"sign\"}");
    expect_error(decrypt(blob, NULL, "{}", NULL, NULL), "InvalidCiphertextException");
    expect_error(decrypt(blob, NULL, "{\"app\":\"Sign\"}", NULL, NULL), "InvalidCiphertextException");
    expect_error(decrypt("AAAA", NULL, "{}", NULL, NULL), "InvalidCiphertextException");
    expect_error(decrypt("****", NULL, "{}", NULL, NULL), "SerializationException");
    expect_error(decrypt(blob, other, "{\"app\":\"sign\"}", NULL, NULL), "IncorrectKeyException");
    expect_error(decrypt(blob, "arn:aws:kms:us-east-1:123456789012:key/none", "{}", NULL, NULL), "NotFoundException");
    blob[40] = blob[40] == 'N' ? 'M' : 'N'; /* another digit in the key's name */
    expect_error(decrypt(blob, NULL, "{\"app\":\"sign\"}", NULL, NULL), "AccessDeniedException"); /* names no key now */
    free(blob);
}

static const char attested_policy[] =
    "{\"Version\":\"2012-10-17\",\"Statement\":["
    "{\"Sid\":\"admin\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:user/"
    "admin\"},\"Action\":[\"kms:Put*\","
    "\"kms:Get*\",\"kms:Describe*\",\"kms:Encrypt\",\"kms:EnableKey\",\"kms:DisableKey\",\"kms:ScheduleKeyDeletion\"],"
    "\"Resource\":\"*\"},"
    "{\"Sid\":\"enclave\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:role/"
    "enclave-host\"},\"Action\":["
    "\"kms:Decrypt\",\"kms:GenerateDataKey\"],\"Resource\":\"*\",\"Condition\":{\"StringEqualsIgnoreCase\":{"
    "\"kms:RecipientAttestation:ImageSha384\":"
    "\"111111111111111111111111111111111111111111111111111111111111111111111111111111111111"
    "111111111111\",\"kms:RecipientAttestation:PCR2\":"
    "\"33333333333333333333333333333333333333333333333333333333333333333333333333333333"
    "3333333333333333\"}}}]}";

static void only_the_attested_image_gets_the_plaintext_and_only_sealed(void **state)
{
    char got[64];
    const char *arn = new_key(attested_policy);
    char *blob = encrypt(arn, "aGVsbG8=", "{}"), *doc = document();
    for (int i = 0; i < 2; i++) { /* both CMS forms */
        json_t *j = decrypt(blob, arn, "{}", doc, role());
        assert_int_equal(reply.status, 200);
        assert_null(json_object_get(j, "Plaintext"));
        open_envelope(text_of(j, "CiphertextForRecipient"), got);
        assert_string_equal(got, "hello");
        json_decref(j);
    }
    expect_error(decrypt(blob, arn, "{}", NULL, role()), "AccessDeniedException");
    expect_error(decrypt(blob, arn, "{}", NULL, NULL), "AccessDeniedException"); /* not even the administrator */
    free(doc);
    nsm.pcr[0][0] ^= 1;
    doc = document();
    expect_error(decrypt(blob, arn, "{}", doc, role()), "AccessDeniedException");
    free(doc);
    memset(nsm.pcr[0], 0, 48); /* debug mode */
    doc = document();
    expect_error(decrypt(blob, arn, "{}", doc, role()), "AccessDeniedException");
    memset(nsm.pcr[0], 0x11, 48);
    free(doc);
    free(blob);
}

static void bad_documents_are_validation_errors(void **state)
{
    const char *arn = new_key(attested_policy);
    char *blob = encrypt(arn, "aGVsbG8=", "{}"), *doc = document();
    now_ms += 6 * 60 * 1000;
    expect_error(decrypt(blob, arn, "{}", doc, role()), "ValidationException"); /* too old */
    now_ms -= 6 * 60 * 1000;
    char *signature = &doc[strlen(doc) - 8]; /* base64: another digit, not any character */
    *signature = *signature == 'A' ? 'B' : 'A';
    expect_error(decrypt(blob, arn, "{}", doc, role()), "ValidationException");
    expect_error(decrypt(blob, arn, "{}", "aGVsbG8=", role()), "ValidationException");
    free(doc);
    size_t len = spki_len;
    spki_len = 0;
    doc = document();
    expect_error(decrypt(blob, arn, "{}", doc, role()), "ValidationException"); /* no public key */
    free(doc);
    spki_len = len;
    spki[20] ^= 0x40;
    doc = document();
    expect_error(decrypt(blob, arn, "{}", doc, role()), "ValidationException"); /* no RSA key */
    spki[20] ^= 0x40;
    free(doc);
    free(blob);
}

static void data_keys_and_random_bytes_come_sealed_to_enclaves(void **state)
{
    const char *arn = new_key(attested_policy);
    char *doc = document(), body[16384];
    snprintf(body, sizeof body,
             "{\"KeyId\":\"%s\",\"KeySpec\":\"AES_256\",\"Recipient\":{\"KeyEncryptionAlgorithm\":"
             "\"RSAES_OAEP_SHA_256\",\"AttestationDocument\":\"%s\"}}",
             arn, doc);
    json_t *j = call_with("GenerateDataKey", body, role(), NULL);
    assert_int_equal(reply.status, 200);
    assert_null(json_object_get(j, "Plaintext"));
    assert_true(strlen(text_of(j, "CiphertextForRecipient")) > 400 && strlen(text_of(j, "CiphertextBlob")) > 60);
    json_decref(j);
    snprintf(body, sizeof body,
             "{\"NumberOfBytes\":16,\"Recipient\":{\"KeyEncryptionAlgorithm\":\"RSAES_OAEP_SHA_256\","
             "\"AttestationDocument\":\"%s\"}}",
             doc);
    j = call_with("GenerateRandom", body, role(), NULL);
    assert_true(strlen(text_of(j, "CiphertextForRecipient")) > 400);
    json_decref(j);
    expect_error(call_with("GenerateDataKey", "{\"KeyId\":\"x\"}", role(), NULL), "ValidationException");
    expect_error(call("GenerateRandom", "{\"NumberOfBytes\":1025}"), "ValidationException");
    j = call("GenerateRandom", "{\"NumberOfBytes\":3}");
    assert_int_equal(strlen(text_of(j, "Plaintext")), 4);
    json_decref(j);
    free(doc);
}

static void requests_must_be_signed_rightly(void **state)
{
    const tweak t_unsigned = {.unsigned_request = true}, t_key = {.akid = "AKIANOBODY"}, t_secret = {.secret = "wrong"},
                t_late = {.time_shift_ms = -301000}, t_region = {.region = "eu-west-1"}, t_token = {.token = "wrong"},
                t_target = {.target = "Other."};
    expect_error(call_with("CreateKey", "{}", NULL, &t_unsigned), "MissingAuthenticationTokenException");
    expect_error(call_with("CreateKey", "{}", NULL, &t_key), "UnrecognizedClientException");
    expect_error(call_with("CreateKey", "{}", NULL, &t_secret), "InvalidSignatureException");
    expect_error(call_with("CreateKey", "{}", NULL, &t_late), "InvalidSignatureException");
    expect_error(call_with("CreateKey", "{}", NULL, &t_region), "InvalidSignatureException");
    expect_error(call_with("CreateKey", "{}", role(), &t_token), "UnrecognizedClientException");
    expect_error(call_with("CreateKey", "{}", NULL, &t_target), "UnknownOperationException");
    expect_error(call("NoSuch", "{}"), "UnknownOperationException");
    expect_error(call("CreateKey", "{"), "SerializationException");
    expect_error(call_with("CreateKey", "{}", role(), NULL), "AccessDeniedException");
}

static void role_credentials_rotate_and_expire(void **state)
{
    cs_emu_session old = *role();
    now_ms += 3600 * 1000 - CS_EMU_ROTATE_S * 1000 + 1000;
    assert_string_not_equal(role()->access_key_id, old.access_key_id);
    json_decref(call_with("GenerateRandom", "{\"NumberOfBytes\":1}", &old, NULL));
    assert_int_equal(reply.status, 200); /* the old ones hold until they end */
    now_ms += CS_EMU_ROTATE_S * 1000;
    expect_error(call_with("GenerateRandom", "{\"NumberOfBytes\":1}", &old, NULL), "ExpiredTokenException");
}

static void policies_are_checked_and_kept(void **state)
{
    const char *arn = new_key(NULL);
    char body[8192];
    expect_error(call("CreateKey", "{\"Policy\":\"{}\"}"), "MalformedPolicyDocumentException");
    snprintf(body, sizeof body,
             "{\"KeyId\":\"%s\",\"Policy\":\"{\\\"Statement\\\":{\\\"Effect\\\":\\\"Deny\\\",\\\"Principal\\\":\\\"*"
             "\\\"}}\"}",
             arn);
    expect_error(call("PutKeyPolicy", body), "MalformedPolicyDocumentException"); /* nobody could change it again */
    json_t *in = json_pack("{s:s,s:s}", "KeyId", arn, "Policy", attested_policy);
    char *text = json_dumps(in, 0);
    assert_null(call("PutKeyPolicy", text));
    assert_int_equal(reply.status, 200);
    free(text);
    json_decref(in);
    /* a restart keeps key and policy */
    uint8_t *der = st.nsm_root_der;
    size_t der_len = st.nsm_root_len;
    char *blob = encrypt(arn, "aGVsbG8=", "{}");
    st.nsm_root_der = NULL;
    cs_emu_state_close(&st);
    assert_int_equal(cs_emu_state_open(&st, &opts), CS_OK);
    st.nsm_root_der = der;
    st.nsm_root_len = der_len;
    snprintf(body, sizeof body, "{\"KeyId\":\"%s\",\"PolicyName\":\"default\"}", arn);
    json_t *j = call("GetKeyPolicy", body);
    assert_string_equal(text_of(j, "Policy"), attested_policy);
    json_decref(j);
    char *doc = document();
    json_decref(decrypt(blob, arn, "{}", doc, role()));
    assert_int_equal(reply.status, 200);
    free(doc);
    free(blob);
}

static void disabled_and_dying_keys_refuse(void **state)
{
    const char *arn = new_key(NULL);
    char body[512], enc[512];
    snprintf(body, sizeof body, "{\"KeyId\":\"%s\"}", arn);
    snprintf(enc, sizeof enc, "{\"KeyId\":\"%s\",\"Plaintext\":\"YQ==\"}", arn);
    assert_null(call("DisableKey", body));
    expect_error(call("Encrypt", enc), "DisabledException");
    assert_null(call("EnableKey", body));
    json_decref(call("Encrypt", enc));
    assert_int_equal(reply.status, 200);
    json_decref(call("ScheduleKeyDeletion", body));
    expect_error(call("Encrypt", enc), "KMSInvalidStateException");
    json_decref(call("CancelKeyDeletion", body));
    expect_error(call("Encrypt", enc), "DisabledException");
    snprintf(enc, sizeof enc, "{\"KeyId\":\"%s\",\"Plaintext\":\"YQ==\",\"DryRun\":true}", new_key(NULL));
    expect_error(call("Encrypt", enc), "DryRunOperationException");
}

static void envelopes_bound_their_input(void **state)
{
    static uint8_t mem[8192], big[CS_EMU_CMS_MAX_PLAIN + 1];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_slice key = cs_slice_of(spki, spki_len);
    assert_int_equal(cs_emu_recipient_seal(&out, key, CS_SLICE_NULL, CS_EMU_CMS_PRIMITIVE), CS_E_RANGE);
    assert_int_equal(cs_emu_recipient_seal(&out, key, cs_slice_of(big, sizeof big), CS_EMU_CMS_PRIMITIVE), CS_E_RANGE);
    assert_int_equal(cs_emu_recipient_seal(&out, cs_slice_of(spki, 10), cs_slice_str("a"), CS_EMU_CMS_PRIMITIVE),
                     CS_E_FORMAT);
    assert_int_equal(out.len, 0);
    for (int form = 0; form < 3; form++) {
        char b64[2048] = "", got[64];
        cs_buf t = cs_buf_wrap(b64, sizeof b64 - 1);
        out.len = 0;
        assert_int_equal(
            cs_emu_recipient_seal(&out, key, cs_slice_str("0123456789abcdef0123456789"), (cs_emu_cms_form)form), CS_OK);
        assert_int_equal(cs_b64_put(&t, cs_buf_slice(&out), CS_B64_STD), CS_OK);
        open_envelope(b64, got);
        assert_string_equal(got, "0123456789abcdef0123456789");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encrypted_is_decrypted),
        cmocka_unit_test(decrypt_refuses_by_the_type_that_kms_has),
        cmocka_unit_test(only_the_attested_image_gets_the_plaintext_and_only_sealed),
        cmocka_unit_test(bad_documents_are_validation_errors),
        cmocka_unit_test(data_keys_and_random_bytes_come_sealed_to_enclaves),
        cmocka_unit_test(requests_must_be_signed_rightly),
        cmocka_unit_test(policies_are_checked_and_kept),
        cmocka_unit_test(disabled_and_dying_keys_refuse),
        cmocka_unit_test(role_credentials_rotate_and_expire),
        cmocka_unit_test(envelopes_bound_their_input),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
