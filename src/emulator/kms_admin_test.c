/* Management of keys in the emulated KMS: aliases, tags, lists, states, grants, rights; STS; the trail. Without sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "emulator/kms_call.h"

#define ACCOUNT "123456789012"
#define ROLE_ARN "arn:aws:iam::" ACCOUNT ":role/"

static char dir[64];
static cs_emu_state st;
static cs_emu_options opts;
static cs_emu_reply reply;
static const cs_emu_session *as; /* who calls */
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
    cs_clock_set_for_tests(&clock);
    cs_log_init("test", CS_LOG_ERROR, 2);
    strcpy(dir, "/tmp/cs-emu-XXXXXX");
    assert_non_null(mkdtemp(dir));
    opts = (cs_emu_options){dir,  "us-east-1", ACCOUNT, "enclave-host", "kms:GenerateRandom", "i-1234567890abcdef0",
                            3600, "alternate", NULL};
    assert_int_equal(cs_emu_state_open(&st, &opts), CS_OK);
    as = &st.admin;
    reply.body = cs_buf_heap(CS_EMU_MAX_BODY);
    return 0;
}

static int teardown(void **state)
{
    char cmd[128];
    cs_buf_free(&reply.body);
    cs_emu_state_close(&st);
    cs_clock_set_for_tests(NULL);
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd);
}

/* A signed POST of body to / of the service; type: value of one more header by that name. */
static void post(const char *service, const char *name, const char *value, const char *body)
{
    static uint8_t auth_mem[4096];
    char hash[65];
    cs_buf auth = cs_buf_wrap(auth_mem, sizeof auth_mem);
    cs_sigv4_result res = {.out = &auth};
    cs_sigv4_header h[6] = {{cs_slice_str("Host"), cs_slice_str("localhost")},
                            {cs_slice_str(name), cs_slice_str(value)},
                            {cs_slice_str("User-Agent"), cs_slice_str("test/1 \"quoted\"")}};
    assert_int_equal(cs_sigv4_hash(hash, cs_slice_str(body)), CS_OK);
    cs_emu_request q = {
        {cs_slice_str("POST"), cs_slice_str("/"), CS_SLICE_NULL, h, 3, cs_slice_str(hash)}, cs_slice_str(body), false};
    cs_sigv4_signer s = {cs_slice_str(as->access_key_id),
                         cs_slice_str(as->secret),
                         cs_slice_str(as->token),
                         cs_slice_str("us-east-1"),
                         cs_slice_str(service),
                         now_ms,
                         0,
                         CS_SIGV4_NORMALIZE};
    assert_int_equal(cs_sigv4_sign(&res, &q.sig, &s), CS_OK);
    h[3] = (cs_sigv4_header){cs_slice_str("X-Amz-Date"), cs_slice_str(res.time)};
    h[4] = (cs_sigv4_header){cs_slice_str("Authorization"), cs_buf_slice(&auth)};
    h[5] = (cs_sigv4_header){cs_slice_str("X-Amz-Security-Token"), cs_slice_str(as->token)};
    q.sig.num_headers = as->token[0] != '\0' ? 6 : 5;
    reply.body.len = 0;
    reply.num_headers = 0;
    if (strcmp(service, "kms") == 0) {
        cs_emu_kms(&st, &reply, &q);
    } else {
        cs_emu_sts(&st, &reply, &q);
    }
}

/* The answer's JSON (borrowed until the next call), or NULL for an empty body. */
__attribute__((format(printf, 2, 3))) static json_t *call(const char *op, const char *fmt, ...)
{
    static json_t *last;
    static char body[4096];
    char target[96];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(body, sizeof body, fmt, ap);
    va_end(ap);
    for (char *p = body; *p != '\0'; p++) {
        *p = *p == '\'' ? '"' : *p; /* so that the tests below are legible */
    }
    snprintf(target, sizeof target, "TrentService.%s", op);
    post("kms", "X-Amz-Target", target, body);
    json_decref(last);
    last = json_loadb((const char *)reply.body.p, reply.body.len, 0, NULL);
    return last;
}

static const char *text_of(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s != NULL ? s : "";
}

static void refused(const json_t *j, const char *type)
{
    assert_string_equal(text_of(j, "__type"), type);
    assert_int_equal(reply.status, 400);
}

static void done(const json_t *j)
{
    if (reply.status != 200) {
        fail_msg("%s: %s", text_of(j, "__type"), text_of(j, "message"));
    }
}

static void new_key(char id[37])
{
    json_t *j = call("CreateKey", "{}");
    done(j);
    snprintf(id, 37, "%s", text_of(json_object_get(j, "KeyMetadata"), "KeyId"));
}

static size_t list(const char *op, const char *member, const char *body)
{
    json_t *j = call(op, "%s", body);
    done(j);
    return json_array_size(json_object_get(j, member));
}

static void aliases_name_keys(void **state)
{
    char a[37], b[37];
    new_key(a);
    new_key(b);
    assert_null(call("CreateAlias", "{'AliasName':'alias/app/x-1','TargetKeyId':'%s'}", a));
    assert_int_equal(reply.status, 200);
    refused(call("CreateAlias", "{'AliasName':'alias/app/x-1','TargetKeyId':'%s'}", b), "AlreadyExistsException");
    done(call("Encrypt", "{'KeyId':'alias/app/x-1','Plaintext':'YQ=='}"));
    done(call("Encrypt", "{'KeyId':'arn:aws:kms:us-east-1:" ACCOUNT ":alias/app/x-1','Plaintext':'YQ=='}"));
    json_t *j = call("DescribeKey", "{'KeyId':'alias/app/x-1'}");
    assert_string_equal(text_of(json_object_get(j, "KeyMetadata"), "KeyId"), a);
    assert_null(call("UpdateAlias", "{'AliasName':'alias/app/x-1','TargetKeyId':'%s'}", b));
    j = call("DescribeKey", "{'KeyId':'alias/app/x-1'}");
    assert_string_equal(text_of(json_object_get(j, "KeyMetadata"), "KeyId"), b);
    assert_null(call("DeleteAlias", "{'AliasName':'alias/app/x-1'}"));
    refused(call("DeleteAlias", "{'AliasName':'alias/app/x-1'}"), "NotFoundException");
    refused(call("UpdateAlias", "{'AliasName':'alias/app/x-1','TargetKeyId':'%s'}", b), "NotFoundException");
    refused(call("Encrypt", "{'KeyId':'alias/app/x-1','Plaintext':'YQ=='}"), "NotFoundException");
}

/* All of what has a quota at once still has room among the condition keys. */
static void quotas_hold_and_are_usable(void **state)
{
    char a[37], b[37], body[8192] = "", wide[1100] = "";
    new_key(a);
    new_key(b);
    for (int i = 0; i < 50; i++) {
        call("CreateAlias", "{'AliasName':'alias/many-%d','TargetKeyId':'%s'}", i, a);
        assert_int_equal(reply.status, 200);
    }
    refused(call("CreateAlias", "{'AliasName':'alias/many-50','TargetKeyId':'%s'}", a), "LimitExceededException");
    call("CreateAlias", "{'AliasName':'alias/of-b','TargetKeyId':'%s'}", b);
    refused(call("UpdateAlias", "{'AliasName':'alias/of-b','TargetKeyId':'%s'}", a), "LimitExceededException");
    assert_null(call("UpdateAlias", "{'AliasName':'alias/many-1','TargetKeyId':'%s'}", a)); /* no change */
    for (int i = 0; i < 256; i++) {
        strcat(wide, "\xf0\x9f\x94\x91"); /* 256 characters, 1024 bytes */
    }
    for (int i = 0; i < 50; i++) {
        call("TagResource", "{'KeyId':'%s','Tags':[{'TagKey':'tag-%d','TagValue':'%s'}]}", a, i, wide);
        assert_int_equal(reply.status, 200);
    }
    refused(call("TagResource", "{'KeyId':'%s','Tags':[{'TagKey':'one-more','TagValue':''}]}", a),
            "LimitExceededException");
    refused(call("TagResource", "{'KeyId':'%s','Tags':[{'TagKey':'tag-1','TagValue':'%sx'}]}", a, wide),
            "ValidationException");
    for (int i = 0; i < 64; i++) {
        size_t n = strlen(body);
        snprintf(body + n, sizeof body - n, "%s'key-%d':'v'", i > 0 ? "," : "", i);
    }
    done(call("Encrypt", "{'KeyId':'%s','Plaintext':'YQ==','EncryptionContext':{%s}}", a, body));
    refused(call("Encrypt", "{'KeyId':'%s','Plaintext':'YQ==','EncryptionContext':{%s,'x':'y'}}", a, body),
            "ValidationException");
}

static void bad_aliases_are_refused(void **state)
{
    char a[37];
    new_key(a);
    refused(call("CreateAlias", "{'AliasName':'x','TargetKeyId':'%s'}", a), "ValidationException");
    refused(call("CreateAlias", "{'AliasName':'alias/a b','TargetKeyId':'%s'}", a), "ValidationException");
    refused(call("CreateAlias", "{'AliasName':'alias/a:b','TargetKeyId':'%s'}", a), "ValidationException");
    refused(call("CreateAlias", "{'AliasName':'alias/','TargetKeyId':'%s'}", a), "InvalidAliasNameException");
    refused(call("CreateAlias", "{'AliasName':'alias/aws/s3','TargetKeyId':'%s'}", a), "NotAuthorizedException");
    refused(call("CreateAlias", "{'AliasName':7,'TargetKeyId':'%s'}", a), "SerializationException");
    refused(call("CreateAlias", "{'TargetKeyId':'%s'}", a), "ValidationException");
    refused(call("CreateAlias", "{'AliasName':'alias/a','TargetKeyId':'alias/b'}"), "ValidationException");
    refused(call("CreateAlias", "{'AliasName':'alias/a'}"), "ValidationException");
}

/* By alias only where KMS takes one; by the ARN of this region and account only. */
static void key_ids_have_their_errors(void **state)
{
    static const char *const no_alias[] = {
        "GetKeyPolicy", "PutKeyPolicy",     "EnableKey",  "DisableKey",  "ScheduleKeyDeletion", "CancelKeyDeletion",
        "TagResource",  "ListResourceTags", "ListGrants", "CreateGrant", "ListKeyPolicies"};
    char a[37];
    new_key(a);
    call("CreateAlias", "{'AliasName':'alias/k','TargetKeyId':'%s'}", a);
    for (size_t i = 0; i < sizeof no_alias / sizeof no_alias[0]; i++) {
        refused(call(no_alias[i], "{'KeyId':'alias/k','Policy':'{}','Tags':[],'PolicyName':'default'}"),
                "NotFoundException");
    }
    refused(call("DescribeKey", "{}"), "ValidationException");
    refused(call("DescribeKey", "{'KeyId':''}"), "ValidationException");
    refused(call("DescribeKey", "{'KeyId':7}"), "SerializationException");
    refused(call("DescribeKey", "{'KeyId':'nonsense'}"), "NotFoundException");
    refused(call("DescribeKey", "{'KeyId':'00000000-0000-0000-0000-000000000000'}"), "NotFoundException");
    refused(call("DescribeKey", "{'KeyId':'arn:aws:kms:eu-west-1:" ACCOUNT ":key/%s'}", a), "NotFoundException");
    refused(call("DescribeKey", "{'KeyId':'arn:aws:kms:us-east-1:210987654321:key/%s'}", a), "AccessDeniedException");
    done(call("DescribeKey", "{'KeyId':'arn:aws:kms:us-east-1:" ACCOUNT ":key/%s'}", a));
    call("DeleteAlias", "{'AliasName':'alias/k'}");
}

static void lists_come_in_pages(void **state)
{
    char a[37], name[64];
    new_key(a);
    for (int i = 0; i < 5; i++) {
        call("CreateAlias", "{'AliasName':'alias/page-%d','TargetKeyId':'%s'}", i, a);
    }
    json_t *j = call("ListAliases", "{'KeyId':'%s','Limit':2}", a);
    int seen = 0;
    for (;;) {
        size_t n = json_array_size(json_object_get(j, "Aliases"));
        for (size_t i = 0; i < n; i++) {
            snprintf(name, sizeof name, "alias/page-%d", seen++);
            assert_string_equal(text_of(json_array_get(json_object_get(j, "Aliases"), i), "AliasName"), name);
        }
        if (!json_is_true(json_object_get(j, "Truncated"))) {
            assert_null(json_object_get(j, "NextMarker"));
            break;
        }
        snprintf(name, sizeof name, "%s", text_of(j, "NextMarker"));
        j = call("ListAliases", "{'KeyId':'%s','Limit':2,'Marker':'%s'}", a, name);
    }
    assert_int_equal(seen, 5);
    refused(call("ListAliases", "{'Marker':'at-'}"), "InvalidMarkerException");
    refused(call("ListAliases", "{'Limit':0}"), "ValidationException");
    refused(call("ListAliases", "{'Limit':101}"), "ValidationException");
    refused(call("ListAliases", "{'KeyId':'alias/page-0'}"), "NotFoundException");
    assert_int_equal(list("ListKeys", "Keys", "{'Limit':1}"), 1);
    assert_true(list("ListKeys", "Keys", "{}") >= 2);
    assert_int_equal(list("ListAliases", "Aliases", "{'Marker':'at-900000'}"), 0);
}

static void tags_are_kept(void **state)
{
    json_t *j = call("CreateKey", "{'Tags':[{'TagKey':'Application','TagValue':'sign'}]}");
    char id[37];
    done(j);
    snprintf(id, sizeof id, "%s", text_of(json_object_get(j, "KeyMetadata"), "KeyId"));
    call("TagResource", "{'KeyId':'%s','Tags':[{'TagKey':'Application','TagValue':'x'},{'TagKey':'b','TagValue':''}]}",
         id);
    assert_int_equal(reply.status, 200);
    j = json_object_get(call("ListResourceTags", "{'KeyId':'%s'}", id), "Tags");
    assert_int_equal(json_array_size(j), 2);
    assert_string_equal(text_of(json_array_get(j, 0), "TagValue"), "x");
    call("UntagResource", "{'KeyId':'%s','TagKeys':['Application','none',7]}", id);
    assert_int_equal(reply.status, 200);
    assert_int_equal(json_array_size(json_object_get(call("ListResourceTags", "{'KeyId':'%s'}", id), "Tags")), 1);
    refused(call("TagResource", "{'KeyId':'%s'}", id), "ValidationException");
    refused(call("TagResource", "{'KeyId':'%s','Tags':[{'TagKey':'a'}]}", id), "ValidationException");
    refused(call("TagResource", "{'KeyId':'%s','Tags':[7]}", id), "ValidationException");
    refused(call("TagResource", "{'KeyId':'%s','Tags':[{'TagKey':'AWS:a','TagValue':''}]}", id), "TagException");
    refused(
        call("TagResource", "{'KeyId':'%s','Tags':[{'TagKey':'a','TagValue':''},{'TagKey':'a','TagValue':''}]}", id),
        "TagException");
    refused(call("UntagResource", "{'KeyId':'%s'}", id), "ValidationException");
    refused(call("CreateKey", "{'Tags':{}}"), "ValidationException");
}

static void states_are_enforced(void **state)
{
    static const char *const not_dying[] = {"EnableKey",   "DisableKey",           "ScheduleKeyDeletion",
                                            "TagResource", "UpdateKeyDescription", "CreateGrant"};
    char a[37];
    new_key(a);
    refused(call("CancelKeyDeletion", "{'KeyId':'%s'}", a), "KMSInvalidStateException");
    refused(call("ScheduleKeyDeletion", "{'KeyId':'%s','PendingWindowInDays':6}", a), "ValidationException");
    refused(call("ScheduleKeyDeletion", "{'KeyId':'%s','PendingWindowInDays':31}", a), "ValidationException");
    call("CreateAlias", "{'AliasName':'alias/dying','TargetKeyId':'%s'}", a);
    call("DisableKey", "{'KeyId':'%s'}", a);
    refused(call("GenerateDataKey", "{'KeyId':'%s','KeySpec':'AES_256'}", a), "DisabledException");
    refused(call("GenerateDataKeyWithoutPlaintext", "{'KeyId':'%s','KeySpec':'AES_256'}", a), "DisabledException");
    json_t *j = call("ScheduleKeyDeletion", "{'KeyId':'%s','PendingWindowInDays':7}", a);
    assert_string_equal(text_of(j, "KeyState"), "PendingDeletion");
    for (size_t i = 0; i < sizeof not_dying / sizeof not_dying[0]; i++) {
        refused(call(not_dying[i], "{'KeyId':'%s','Description':'','Tags':[]}", a), "KMSInvalidStateException");
    }
    refused(call("CreateAlias", "{'AliasName':'alias/late','TargetKeyId':'%s'}", a), "KMSInvalidStateException");
    j = json_object_get(call("DescribeKey", "{'KeyId':'%s'}", a), "KeyMetadata");
    assert_true(json_number_value(json_object_get(j, "DeletionDate")) > 0);
    now_ms += 8 * 86400000ull; /* the waiting time is over: the key is gone, with its alias, also after a restart */
    refused(call("DescribeKey", "{'KeyId':'%s'}", a), "NotFoundException");
    refused(call("DescribeKey", "{'KeyId':'alias/dying'}"), "NotFoundException");
    cs_emu_state_close(&st);
    assert_int_equal(cs_emu_state_open(&st, &opts), CS_OK);
    refused(call("DescribeKey", "{'KeyId':'%s'}", a), "NotFoundException");
}

static void grants_are_refused_with_the_reason(void **state)
{
    char a[37];
    new_key(a);
    json_t *j = call("CreateGrant", "{'KeyId':'%s','GranteePrincipal':'" ROLE_ARN "x','Operations':['Decrypt']}", a);
    refused(j, "UnsupportedOperationException");
    assert_non_null(strstr(text_of(j, "message"), "attestation"));
    char body[80];
    snprintf(body, sizeof body, "{'KeyId':'%s'}", a);
    assert_int_equal(list("ListGrants", "Grants", body), 0);
    refused(call("RevokeGrant", "{'KeyId':'%s','GrantId':'x'}", a), "NotFoundException");
    refused(call("RetireGrant", "{}"), "UnsupportedOperationException");
    refused(call("RetireGrants", "{}"), "UnknownOperationException");
}

static void keys_are_reencrypted(void **state)
{
    char a[37], b[37], blob[512];
    new_key(a);
    new_key(b);
    json_t *j = call("Encrypt", "{'KeyId':'%s','Plaintext':'aGVsbG8=','EncryptionContext':{'k':'1'}}", a);
    snprintf(blob, sizeof blob, "%s", text_of(j, "CiphertextBlob"));
    refused(call("ReEncrypt", "{'CiphertextBlob':'%s','DestinationKeyId':'%s'}", blob, b),
            "InvalidCiphertextException");
    refused(call("ReEncrypt", "{'CiphertextBlob':'%s','DestinationKeyId':'%s','SourceKeyId':'%s'}", blob, b, b),
            "IncorrectKeyException");
    refused(call("ReEncrypt", "{'CiphertextBlob':'%s'}", blob), "ValidationException");
    j = call("ReEncrypt",
             "{'CiphertextBlob':'%s','DestinationKeyId':'%s','SourceEncryptionContext':{'k':'1'},"
             "'DestinationEncryptionContext':{'k':'2'}}",
             blob, b);
    done(j);
    assert_non_null(strstr(text_of(j, "SourceKeyId"), a));
    assert_non_null(strstr(text_of(j, "KeyId"), b));
    snprintf(blob, sizeof blob, "%s", text_of(j, "CiphertextBlob"));
    j = call("Decrypt", "{'CiphertextBlob':'%s','EncryptionContext':{'k':'2'}}", blob);
    assert_string_equal(text_of(j, "Plaintext"), "aGVsbG8=");
    call("PutKeyPolicy",
         "{'KeyId':'%s','Policy':'{\\'Statement\\':[{\\'Effect\\':\\'Allow\\',\\'Principal\\':\\'*\\',\\'Action\\':\\'"
         "kms:*\\',"
         "\\'Resource\\':\\'*\\'},{\\'Effect\\':\\'Deny\\',\\'Principal\\':\\'*\\',\\'Action\\':\\'kms:ReEncrypt*\\',"
         "\\'Resource\\':"
         "\\'*\\'}]}'}",
         b);
    assert_int_equal(reply.status, 200);
    refused(call("ReEncrypt", "{'CiphertextBlob':'%s','DestinationKeyId':'%s','SourceEncryptionContext':{'k':'2'}}",
                 blob, a),
            "AccessDeniedException");
}

static void other_members_are_checked(void **state)
{
    char a[37];
    new_key(a);
    refused(call("CreateKey", "{'KeySpec':'RSA_2048'}"), "UnsupportedOperationException");
    refused(call("CreateKey", "{'KeySpec':'RSA_1'}"), "ValidationException");
    refused(call("CreateKey", "{'KeyUsage':'SIGN_VERIFY'}"), "UnsupportedOperationException");
    refused(call("CreateKey", "{'KeyUsage':' '}"), "ValidationException");
    refused(call("CreateKey", "{'MultiRegion':true}"), "UnsupportedOperationException");
    refused(call("CreateKey", "{'Policy':7}"), "SerializationException");
    done(call("CreateKey", "{'KeySpec':'SYMMETRIC_DEFAULT','KeyUsage':'ENCRYPT_DECRYPT','Origin':'AWS_KMS'}"));
    assert_null(call("UpdateKeyDescription", "{'KeyId':'%s','Description':'d'}", a));
    json_t *j = json_object_get(call("DescribeKey", "{'KeyId':'%s'}", a), "KeyMetadata");
    assert_string_equal(text_of(j, "Description"), "d");
    refused(call("UpdateKeyDescription", "{'KeyId':'%s'}", a), "ValidationException");
    assert_true(
        json_is_false(json_object_get(call("GetKeyRotationStatus", "{'KeyId':'%s'}", a), "KeyRotationEnabled")));
    char body[80];
    snprintf(body, sizeof body, "{'KeyId':'%s'}", a);
    assert_int_equal(list("ListKeyPolicies", "PolicyNames", body), 1);
    refused(call("PutKeyPolicy", "{'KeyId':'%s','PolicyName':'other','Policy':'{}'}", a), "NotFoundException");
    refused(call("PutKeyPolicy", "{'KeyId':'%s'}", a), "ValidationException");
}

/* Conditions on what the request says: encryption context, its keys, the caller, the algorithm, the time. */
static void conditions_see_the_request(void **state)
{
    static const char *const enough[] = {
        "{\\'StringEquals\\':{\\'kms:EncryptionContext:app\\':\\'sign\\',\\'kms:CallerAccount\\':\\'" ACCOUNT "\\'}}",
        "{\\'ForAllValues:StringEquals\\':{\\'kms:EncryptionContextKeys\\':[\\'app\\',\\'n\\']},\\'Null\\':{"
        "\\'kms:EncryptionContextKeys\\':\\'false\\'}}",
        "{\\'StringEquals\\':{\\'kms:EncryptionAlgorithm\\':\\'SYMMETRIC_DEFAULT\\',\\'kms:KeySpec\\':\\'SYMMETRIC_"
        "DEFAULT\\'}}",
        "{\\'ArnLike\\':{\\'aws:PrincipalArn\\':\\'arn:aws:iam::*:user/"
        "admin\\'},\\'Bool\\':{\\'aws:SecureTransport\\':\\'true\\'}}",
        "{\\'IpAddress\\':{\\'aws:SourceIp\\':\\'127.0.0.0/"
        "8\\'},\\'DateLessThan\\':{\\'aws:CurrentTime\\':\\'2030-01-01\\'}}",
        "{\\'StringNotEquals\\':{\\'kms:ViaService\\':\\'s3.us-east-1.amazonaws.com\\'}}",
    };
    static const char *const not_enough[] = {
        "{\\'StringEquals\\':{\\'kms:EncryptionContext:app\\':\\'Sign\\'}}",
        "{\\'StringEquals\\':{\\'kms:EncryptionContext:other\\':\\'sign\\'}}",
        "{\\'ForAllValues:StringEquals\\':{\\'kms:EncryptionContextKeys\\':[\\'app\\']}}",
        "{\\'StringEquals\\':{\\'kms:ViaService\\':\\'s3.us-east-1.amazonaws.com\\'}}",
        "{\\'StringEquals\\':{\\'kms:RequestAlias\\':\\'alias/x\\'}}",
        "{\\'Bool\\':{\\'kms:GrantIsForAWSResource\\':\\'true\\'}}",
        "{\\'StringEqualsIgnoreCase\\':{\\'kms:RecipientAttestation:PCR0\\':\\'00\\'}}",
        "{\\'DateGreaterThan\\':{\\'aws:CurrentTime\\':\\'2030-01-01\\'}}",
    };
    for (size_t i = 0; i < 14; i++) {
        char a[37];
        bool allowed = i < 6;
        new_key(a);
        call("PutKeyPolicy",
             "{'KeyId':'%s','Policy':'{\\'Version\\':\\'2012-10-17\\',\\'Statement\\':[{\\'Effect\\':\\'Allow\\',"
             "\\'Principal\\':\\'*\\',\\'Action\\':\\'kms:PutKeyPolicy\\',\\'Resource\\':\\'*\\'},{\\'Effect\\':\\'"
             "Allow\\',"
             "\\'Principal\\':\\'*\\',\\'Action\\':\\'kms:Encrypt\\',\\'Resource\\':\\'*\\',\\'Condition\\':%s}]}'}",
             a, allowed ? enough[i] : not_enough[i - 6]);
        assert_int_equal(reply.status, 200);
        json_t *j = call("Encrypt", "{'KeyId':'%s','Plaintext':'YQ==','EncryptionContext':{'app':'sign','n':'1'}}", a);
        if ((reply.status == 200) != allowed) {
            fail_msg("condition %zu: %s", i, text_of(j, "Message"));
        }
    }
}

static void write_role_policy(const char *role, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/iam/%s.json", dir, role);
    assert_int_equal(cs_emu_file_write(path, cs_slice_str(text)), CS_OK);
}

static void roles_have_the_rights_of_their_policies(void **state)
{
    char a[37];
    new_key(a);
    assert_int_equal(cs_emu_assume_role(&as, &st, "admins", "me", 900), CS_E_NOT_FOUND);
    assert_int_equal(cs_emu_role_make(&st, "../x"), CS_E_RANGE);
    assert_int_equal(cs_emu_role_make(&st, "admins"), CS_OK);
    assert_int_equal(cs_emu_assume_role(&as, &st, "admins", "m", 900), CS_E_RANGE);
    assert_int_equal(cs_emu_assume_role(&as, &st, "admins", "me", 900), CS_OK);
    refused(call("DescribeKey", "{'KeyId':'%s'}", a), "AccessDeniedException");
    write_role_policy("admins",
                      "{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"kms:Describe*\","
                      "\"Resource\":\"*\",\"Condition\":{\"StringEquals\":{\"kms:ResourceAliases\":\"alias/d\"}}}}");
    refused(call("DescribeKey", "{'KeyId':'%s'}", a), "AccessDeniedException");
    as = &st.admin;
    call("CreateAlias", "{'AliasName':'alias/d','TargetKeyId':'%s'}", a);
    assert_int_equal(cs_emu_assume_role(&as, &st, "admins", "me", 900), CS_OK);
    done(call("DescribeKey", "{'KeyId':'%s'}", a));
    refused(call("ListKeys", "{}"), "AccessDeniedException");
    write_role_policy("admins", "broken");
    refused(call("DescribeKey", "{'KeyId':'%s'}", a), "AccessDeniedException");
    now_ms += 901000;
    refused(call("DescribeKey", "{'KeyId':'%s'}", a), "ExpiredTokenException");
    as = &st.admin;
}

/* The caller must be able to change the policy again, unless it says that it knows. */
static void lock_out_is_checked(void **state)
{
    static const char policy[] = "{\\'Statement\\':{\\'Effect\\':\\'Allow\\',\\'Principal\\':{\\'AWS\\':\\'" ROLE_ARN
                                 "x\\'},\\'Action\\':\\'kms:*\\',\\'Resource\\':\\'*\\'}}";
    char a[37];
    new_key(a);
    refused(call("PutKeyPolicy", "{'KeyId':'%s','Policy':'%s'}", a, policy), "MalformedPolicyDocumentException");
    refused(call("CreateKey", "{'Policy':'%s'}", policy), "MalformedPolicyDocumentException");
    call("PutKeyPolicy", "{'KeyId':'%s','Policy':'%s','BypassPolicyLockoutSafetyCheck':true}", a, policy);
    assert_int_equal(reply.status, 200);
    refused(call("GetKeyPolicy", "{'KeyId':'%s'}", a), "AccessDeniedException");
}

static bool body_has(const char *text)
{
    return memmem(reply.body.p, reply.body.len, text, strlen(text)) != NULL;
}

static void sts_tells_who_calls(void **state)
{
    static const char form[] = "application/x-www-form-urlencoded";
    post("sts", "Content-Type", form, "Action=GetCallerIdentity&Version=2011-06-15");
    assert_int_equal(reply.status, 200);
    assert_true(body_has("<Arn>arn:aws:iam::" ACCOUNT ":user/admin</Arn>") &&
                body_has("<Account>" ACCOUNT "</Account>"));
    post("sts", "Content-Type", form, "Action=GetSessionToken&Version=2011-06-15");
    assert_true(reply.status == 400 && body_has("<Code>InvalidAction</Code>"));
    post("sts", "Content-Type", form, "Action=GetCallerIdentity&Version=2010-01-01");
    assert_true(reply.status == 400 && body_has("<Code>InvalidAction</Code>"));
    post("sts", "Content-Type", form, "Version=2011-06-15");
    assert_true(reply.status == 400 && body_has("<Code>MissingAction</Code>"));
    post("sts", "Content-Type", form, "Action=%3Cx%3E&Version=2011-06-15");
    assert_true(body_has("&lt;x&gt;"));
    post("sts", "Content-Type", form,
         "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A" ACCOUNT
         "%3Arole%2Fenclave-host&RoleSessionName=a%2Bb&DurationSeconds=900");
    assert_int_equal(reply.status, 200);
    assert_true(body_has("<Arn>arn:aws:sts::" ACCOUNT ":assumed-role/enclave-host/a+b</Arn>"));
    static const char *const bad[] = {"", "&RoleArn=x", "&RoleArn=x&RoleSessionName=y&DurationSeconds=899"};
    for (size_t i = 0; i < 3; i++) {
        char body[256];
        snprintf(body, sizeof body, "Action=AssumeRole&Version=2011-06-15%s", bad[i]);
        post("sts", "Content-Type", form, body);
        assert_true(reply.status == 400 && body_has("<Code>ValidationError</Code>"));
    }
    post("sts", "Content-Type", form,
         "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::" ACCOUNT ":role/nobody&RoleSessionName=yy");
    assert_true(reply.status == 403 && body_has("<Code>AccessDenied</Code>"));
    as = &(const cs_emu_session){.access_key_id = "AKIANOBODY", .secret = "x"};
    post("sts", "Content-Type", form, "Action=GetCallerIdentity&Version=2011-06-15");
    assert_true(reply.status == 403 && body_has("<Code>InvalidClientTokenId</Code>"));
    as = &st.admin;
}

/* The last record of the trail; the caller owns it. */
static json_t *last_record(void)
{
    char path[128];
    cs_buf all = cs_buf_heap(16u << 20);
    snprintf(path, sizeof path, "%s/trail.jsonl", dir);
    assert_int_equal(cs_emu_file_read(&all, path), CS_OK);
    assert_int_equal(all.p[all.len - 1], '\n');
    const uint8_t *at = memrchr(all.p, '\n', all.len - 1);
    json_t *j = json_loadb((const char *)at + 1, (size_t)(all.p + all.len - at) - 2, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(j);
    cs_buf_free(&all);
    return j;
}

static void every_decision_is_recorded(void **state)
{
    char a[37];
    new_key(a);
    json_t *j =
        call("Encrypt", "{'KeyId':'%s','Plaintext':'c2VjcmV0','EncryptionContext':{'k':'1'},'Junk':'c2VjcmV0'}", a);
    done(j);
    j = last_record();
    char *text = json_dumps(j, 0);
    assert_null(strstr(text, "c2VjcmV0")); /* neither the plaintext nor a member that nobody knows */
    assert_null(strstr(text, "AQICAH"));
    free(text);
    assert_string_equal(text_of(j, "eventName"), "Encrypt");
    assert_string_equal(text_of(j, "userAgent"), "test/1 \"quoted\"");
    assert_string_equal(text_of(json_object_get(j, "userIdentity"), "type"), "IAMUser");
    assert_string_equal(text_of(json_object_get(json_object_get(j, "requestParameters"), "encryptionContext"), "k"),
                        "1");
    assert_string_equal(text_of(json_object_get(j, "countersignDecision"), "sid"), "Enable IAM User Permissions");
    assert_true(json_is_true(json_object_get(j, "readOnly")));
    assert_null(json_object_get(j, "errorCode"));
    json_decref(j);
    assert_int_equal(cs_emu_role_session(&as, &st), CS_OK);
    refused(call("DisableKey", "{'KeyId':'%s'}", a), "AccessDeniedException");
    as = &st.admin;
    j = last_record();
    assert_string_equal(text_of(j, "errorCode"), "AccessDeniedException");
    assert_string_equal(text_of(json_object_get(j, "userIdentity"), "type"), "AssumedRole");
    assert_string_equal(text_of(json_object_get(j, "countersignDecision"), "verdict"), "denied-by-default");
    assert_true(json_is_false(json_object_get(j, "readOnly")));
    assert_string_equal(text_of(json_array_get(json_object_get(j, "resources"), 0), "type"), "AWS::KMS::Key");
    json_decref(j);
    refused(call("Nonsense", "{}"), "UnknownOperationException");
    j = last_record();
    assert_true(json_is_null(json_object_get(j, "countersignDecision")));
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aliases_name_keys),
        cmocka_unit_test(quotas_hold_and_are_usable),
        cmocka_unit_test(bad_aliases_are_refused),
        cmocka_unit_test(key_ids_have_their_errors),
        cmocka_unit_test(lists_come_in_pages),
        cmocka_unit_test(tags_are_kept),
        cmocka_unit_test(grants_are_refused_with_the_reason),
        cmocka_unit_test(keys_are_reencrypted),
        cmocka_unit_test(other_members_are_checked),
        cmocka_unit_test(conditions_see_the_request),
        cmocka_unit_test(roles_have_the_rights_of_their_policies),
        cmocka_unit_test(lock_out_is_checked),
        cmocka_unit_test(sts_tells_who_calls),
        cmocka_unit_test(every_decision_is_recorded),
        cmocka_unit_test(states_are_enforced),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
