/* KMS operations on keys and their policies. See kms_call.h. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "emulator/kms_call.h"

static const char *state_name(cs_emu_key_state s)
{
    static const char *const names[] = {"Enabled", "Disabled", "PendingDeletion"};
    return names[s];
}

static json_t *metadata(const cs_emu_state *s, const cs_emu_key *k)
{
    json_t *m = json_pack("{s:s,s:s,s:s,s:f,s:b,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:[s],s:b}", "AWSAccountId", s->o.account,
                          "KeyId", k->id, "Arn", k->arn, "CreationDate", (double)k->created_ms / 1000.0, "Enabled",
                          k->state == CS_EMU_KEY_ENABLED, "Description", k->description, "KeyUsage", "ENCRYPT_DECRYPT",
                          "KeyState", state_name(k->state), "Origin", "AWS_KMS", "KeyManager", "CUSTOMER", "KeySpec",
                          "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec", "SYMMETRIC_DEFAULT", "EncryptionAlgorithms",
                          "SYMMETRIC_DEFAULT", "MultiRegion", 0);
    if (m != NULL && k->state == CS_EMU_KEY_PENDING_DELETION) {
        json_object_set_new(m, "DeletionDate", json_real((double)k->deletion_ms / 1000.0));
    }
    return m != NULL ? json_pack("{s:o}", "KeyMetadata", m) : NULL;
}

/* Parse a policy and, unless told not to, require that the caller may change it again. */
static json_t *checked_policy(cs_emu_kms_call *c, const char *text, const char *resource)
{
    json_t *policy = NULL;
    const char *why = NULL;
    cs_err err = cs_emu_policy_read(&policy, cs_slice_str(text), CS_EMU_KEY_POLICY, &why);
    if (err != CS_OK) {
        return cs_emu_kms_fail(c, err == CS_E_TOO_LARGE ? "LimitExceededException" : "MalformedPolicyDocumentException",
                               "%s", why);
    }
    cs_emu_query q = {&c->who, "kms:PutKeyPolicy", resource, &c->context};
    if (!json_is_true(json_object_get(c->in, "BypassPolicyLockoutSafetyCheck")) &&
        cs_emu_policy_eval(policy, &q).verdict != CS_EMU_ALLOWED) {
        json_decref(policy);
        return cs_emu_kms_fail(c, "MalformedPolicyDocumentException",
                               "The new key policy will not allow you to update the key policy in the future.");
    }
    return policy;
}

static bool member_is(const json_t *in, const char *member, const char *want)
{
    const json_t *v = json_object_get(in, member);
    return v == NULL || json_is_null(v) || (json_is_string(v) && strcmp(json_string_value(v), want) == 0);
}

/* What the emulator has: symmetric keys of one region, with material of its own. */
static bool form_ok(cs_emu_kms_call *c)
{
    static const struct {
        const char *member, *only, *others; /* others: values that KMS has and the emulator does not, between spaces */
    } rows[] = {
        {"KeySpec", "SYMMETRIC_DEFAULT",
         " RSA_2048 RSA_3072 RSA_4096 ECC_NIST_P256 ECC_NIST_P384 ECC_NIST_P521 ECC_SECG_P256K1 ECC_NIST_EDWARDS25519 "
         "HMAC_224 "
         "HMAC_256 HMAC_384 HMAC_512 SM2 ML_DSA_44 ML_DSA_65 ML_DSA_87 "},
        {"CustomerMasterKeySpec", "SYMMETRIC_DEFAULT",
         " RSA_2048 RSA_3072 RSA_4096 ECC_NIST_P256 ECC_NIST_P384 ECC_NIST_P521 ECC_SECG_P256K1 HMAC_224 HMAC_256 "
         "HMAC_384 "
         "HMAC_512 SM2 "},
        {"KeyUsage", "ENCRYPT_DECRYPT", " SIGN_VERIFY GENERATE_VERIFY_MAC KEY_AGREEMENT "},
        {"Origin", "AWS_KMS", " EXTERNAL AWS_CLOUDHSM EXTERNAL_KEY_STORE "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *v = json_string_value(json_object_get(c->in, rows[i].member));
        char word[80];
        if (member_is(c->in, rows[i].member, rows[i].only)) {
            continue;
        }
        bool known = v != NULL && strlen(v) < sizeof word - 2 && v[0] != '\0' && strchr(v, ' ') == NULL &&
                     snprintf(word, sizeof word, " %s ", v) > 0 && strstr(rows[i].others, word) != NULL;
        cs_emu_kms_fail(c, known ? "UnsupportedOperationException" : "ValidationException",
                        known
                            ? "not implemented: the emulator's keys have %s %s only"
                            : "Value at '%s' failed to satisfy constraint: Member must satisfy enum value set, e.g. %s",
                        rows[i].member, rows[i].only);
        return false;
    }
    if (json_is_true(json_object_get(c->in, "MultiRegion"))) {
        cs_emu_kms_fail(c, "UnsupportedOperationException", "not implemented: multi-Region keys");
        return false;
    }
    return true;
}

static const char *default_policy(const cs_emu_kms_call *c, char text[512])
{
    snprintf(text, 512,
             "{\n  \"Version\" : \"2012-10-17\",\n  \"Id\" : \"key-default-1\",\n  \"Statement\" : [ {\n    \"Sid\" : "
             "\"Enable IAM User "
             "Permissions\",\n    \"Effect\" : \"Allow\",\n    \"Principal\" : {\n      \"AWS\" : "
             "\"arn:aws:iam::%s:root\"\n    },\n"
             "    \"Action\" : \"kms:*\",\n    \"Resource\" : \"*\"\n  } ]\n}",
             c->s->o.account);
    return text;
}

json_t *cs_emu_kms_create_key(cs_emu_kms_call *c)
{
    char mem[512];
    bool ok, ok2;
    const char *text = cs_emu_kms_text(c, "Policy", 131072, &ok);
    const char *description = ok ? cs_emu_kms_text(c, "Description", 8192, &ok2) : NULL;
    if (!ok || !ok2 || !form_ok(c) || !cs_emu_kms_authorise(c, CS_EMU_ANY_STATE)) {
        return NULL;
    }
    json_t *tags = cs_emu_kms_tags_merge(c, NULL);
    cs_emu_context_reset(&c->context);
    if (tags == NULL ||
        (json_array_size(tags) > 0 && !cs_emu_kms_authorise_as(c, "kms:TagResource", "*", CS_EMU_ANY_STATE))) {
        json_decref(tags);
        return NULL;
    }
    text = text != NULL ? text : default_policy(c, mem);
    json_t *policy = checked_policy(c, text, "*");
    if (policy == NULL ||
        cs_emu_key_create(&c->key, c->s, description != NULL ? description : "", cs_slice_str(text), policy) != CS_OK) {
        json_decref(tags);
        json_decref(policy);
        return c->error != NULL ? NULL : cs_emu_kms_fail(c, "LimitExceededException", "no room for another key");
    }
    json_decref(c->key->tags);
    c->key->tags = tags; /* transferred */
    return cs_emu_kms_saved(c, metadata(c->s, c->key));
}

json_t *cs_emu_kms_describe_key(cs_emu_kms_call *c)
{
    return cs_emu_kms_key(c, "KeyId", true) && cs_emu_kms_authorise(c, CS_EMU_ANY_STATE) ? metadata(c->s, c->key)
                                                                                         : NULL;
}

json_t *cs_emu_kms_put_policy(cs_emu_kms_call *c)
{
    bool ok;
    const char *text = cs_emu_kms_text(c, "Policy", 131072, &ok);
    if (!ok || !cs_emu_kms_key(c, "KeyId", false)) {
        return NULL;
    }
    if (text == NULL || text[0] == '\0') {
        return cs_emu_kms_fail(
            c, "ValidationException",
            "1 validation error detected: Value null at 'policy' failed to satisfy constraint: Member must "
            "not be null");
    }
    if (!member_is(c->in, "PolicyName", "default")) {
        return cs_emu_kms_fail(c, "NotFoundException", "No such policy exists");
    }
    if (!cs_emu_kms_authorise(c, CS_EMU_ANY_STATE)) {
        return NULL;
    }
    json_t *policy = checked_policy(c, text, c->key->arn);
    if (policy == NULL) {
        return NULL;
    }
    if (cs_emu_key_set_policy(c->key, cs_slice_str(text), policy) != CS_OK) {
        json_decref(policy);
        return cs_emu_kms_fail(c, "KMSInternalException", "no memory");
    }
    return cs_emu_kms_saved(c, json_null());
}

json_t *cs_emu_kms_get_policy(cs_emu_kms_call *c)
{
    if (!cs_emu_kms_key(c, "KeyId", false) || !cs_emu_kms_authorise(c, CS_EMU_ANY_STATE)) {
        return NULL;
    }
    if (!member_is(c->in, "PolicyName", "default")) {
        return cs_emu_kms_fail(c, "NotFoundException", "No such policy exists");
    }
    /*
     * The name is told to who did not give it. Newer command lines print both members with --output text, and what the guide
     * saves from there must be a policy again.
     */
    bool named = json_is_string(json_object_get(c->in, "PolicyName"));
    return named ? json_pack("{s:s}", "Policy", c->key->policy_text)
                 : json_pack("{s:s,s:s}", "Policy", c->key->policy_text, "PolicyName", "default");
}

static json_t *set_state(cs_emu_kms_call *c, cs_emu_key_state state)
{
    if (!cs_emu_kms_key(c, "KeyId", false) || !cs_emu_kms_authorise(c, CS_EMU_ANY_STATE)) {
        return NULL;
    }
    if (!cs_emu_kms_state_ok(c, CS_EMU_NOT_DYING)) {
        return NULL;
    }
    c->key->state = state;
    return cs_emu_kms_saved(c, json_null());
}

json_t *cs_emu_kms_enable(cs_emu_kms_call *c)
{
    return set_state(c, CS_EMU_KEY_ENABLED);
}

json_t *cs_emu_kms_disable(cs_emu_kms_call *c)
{
    return set_state(c, CS_EMU_KEY_DISABLED);
}

json_t *cs_emu_kms_schedule_deletion(cs_emu_kms_call *c)
{
    const json_t *days_in = json_object_get(c->in, "PendingWindowInDays");
    json_int_t days = days_in == NULL || json_is_null(days_in) ? 30 : json_integer_value(days_in);
    if (!cs_emu_kms_key(c, "KeyId", false)) {
        return NULL;
    }
    if (days < 7 || days > 30) {
        return cs_emu_kms_fail(c, "ValidationException", "PendingWindowInDays must be between 7 and 30");
    }
    if (!cs_emu_kms_authorise(c, CS_EMU_ANY_STATE)) {
        return NULL;
    }
    if (!cs_emu_kms_state_ok(c, CS_EMU_NOT_DYING)) {
        return NULL;
    }
    c->key->state = CS_EMU_KEY_PENDING_DELETION;
    c->key->deletion_ms = cs_clock_wall_ms() + (uint64_t)days * 86400000u;
    return cs_emu_kms_saved(c, json_pack("{s:s,s:f,s:s,s:I}", "KeyId", c->key->arn, "DeletionDate",
                                         (double)c->key->deletion_ms / 1000.0, "KeyState", "PendingDeletion",
                                         "PendingWindowInDays", days));
}

json_t *cs_emu_kms_cancel_deletion(cs_emu_kms_call *c)
{
    if (!cs_emu_kms_key(c, "KeyId", false) || !cs_emu_kms_authorise(c, CS_EMU_ANY_STATE)) {
        return NULL;
    }
    if (c->key->state != CS_EMU_KEY_PENDING_DELETION) {
        return cs_emu_kms_fail(c, "KMSInvalidStateException", "%s is not pending deletion.", c->key->arn);
    }
    c->key->state = CS_EMU_KEY_DISABLED; /* [nitro-kms.md 2.3] */
    return cs_emu_kms_saved(c, json_pack("{s:s}", "KeyId", c->key->arn));
}

json_t *cs_emu_kms_update_description(cs_emu_kms_call *c)
{
    bool ok;
    const char *text = cs_emu_kms_text(c, "Description", 8192, &ok);
    if (!ok || !cs_emu_kms_key(c, "KeyId", false)) {
        return NULL;
    }
    if (text == NULL) {
        return cs_emu_kms_fail(
            c, "ValidationException",
            "1 validation error detected: Value null at 'description' failed to satisfy constraint: Member "
            "must not be null");
    }
    if (!cs_emu_kms_authorise(c, CS_EMU_NOT_DYING)) {
        return NULL;
    }
    snprintf(c->key->description, sizeof c->key->description, "%s", text);
    return cs_emu_kms_saved(c, json_null());
}

/* Keys are not rotated here. */
json_t *cs_emu_kms_rotation_status(cs_emu_kms_call *c)
{
    return cs_emu_kms_key(c, "KeyId", false) && cs_emu_kms_authorise(c, CS_EMU_NOT_DYING)
               ? json_pack("{s:b,s:s}", "KeyRotationEnabled", 0, "KeyId", c->key->arn)
               : NULL;
}
