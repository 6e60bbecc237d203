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
    if (cs_emu_policy_parse(&policy, cs_slice_str(text)) != CS_OK) {
        return cs_emu_kms_fail(c, "MalformedPolicyDocumentException", "The policy is not a valid key policy");
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

json_t *cs_emu_kms_create_key(cs_emu_kms_call *c)
{
    char default_policy[512];
    const char *text = json_string_value(json_object_get(c->in, "Policy"));
    const char *description = json_string_value(json_object_get(c->in, "Description"));
    if (!member_is(c->in, "KeySpec", "SYMMETRIC_DEFAULT") ||
        !member_is(c->in, "CustomerMasterKeySpec", "SYMMETRIC_DEFAULT") ||
        !member_is(c->in, "KeyUsage", "ENCRYPT_DECRYPT") || !member_is(c->in, "Origin", "AWS_KMS")) {
        return cs_emu_kms_fail(c, "UnsupportedOperationException", "The emulator makes SYMMETRIC_DEFAULT keys only");
    }
    if (!cs_emu_kms_authorise(c, false)) {
        return NULL;
    }
    if (text == NULL) {
        snprintf(default_policy, sizeof default_policy,
                 "{\"Version\":\"2012-10-17\",\"Id\":\"key-default-1\",\"Statement\":[{\"Sid\":\"Enable IAM User "
                 "Permissions\","
                 "\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::%s:root\"},\"Action\":\"kms:*\","
                 "\"Resource\":\"*\"}]}",
                 c->s->o.account);
        text = default_policy;
    }
    json_t *policy = checked_policy(c, text, "*");
    if (policy == NULL) {
        return NULL;
    }
    if (cs_emu_key_create(&c->key, c->s, description != NULL ? description : "", cs_slice_str(text), policy) != CS_OK) {
        json_decref(policy);
        return cs_emu_kms_fail(c, "LimitExceededException", "no room for another key");
    }
    if (cs_emu_key_save(c->s, c->key) != CS_OK) {
        return cs_emu_kms_fail(c, "KMSInternalException", "the key could not be saved");
    }
    return metadata(c->s, c->key);
}

json_t *cs_emu_kms_describe_key(cs_emu_kms_call *c)
{
    return cs_emu_kms_key(c) && cs_emu_kms_authorise(c, false) ? metadata(c->s, c->key) : NULL;
}

json_t *cs_emu_kms_put_policy(cs_emu_kms_call *c)
{
    const char *text = json_string_value(json_object_get(c->in, "Policy"));
    if (!cs_emu_kms_key(c)) {
        return NULL;
    }
    if (text == NULL || !member_is(c->in, "PolicyName", "default")) {
        return cs_emu_kms_fail(c, "ValidationException", "Policy must be present and PolicyName must be default");
    }
    if (!cs_emu_kms_authorise(c, false)) {
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
    return cs_emu_key_save(c->s, c->key) == CS_OK ? json_null()
                                                  : cs_emu_kms_fail(c, "KMSInternalException", "not saved");
}

json_t *cs_emu_kms_get_policy(cs_emu_kms_call *c)
{
    if (!cs_emu_kms_key(c) || !cs_emu_kms_authorise(c, false)) {
        return NULL;
    }
    if (!member_is(c->in, "PolicyName", "default")) {
        return cs_emu_kms_fail(c, "NotFoundException", "No such policy exists");
    }
    return json_pack("{s:s,s:s}", "Policy", c->key->policy_text, "PolicyName", "default");
}

static json_t *set_state(cs_emu_kms_call *c, cs_emu_key_state state)
{
    if (!cs_emu_kms_key(c) || !cs_emu_kms_authorise(c, false)) {
        return NULL;
    }
    if (c->key->state == CS_EMU_KEY_PENDING_DELETION) {
        return cs_emu_kms_fail(c, "KMSInvalidStateException", "%s is pending deletion.", c->key->arn);
    }
    c->key->state = state;
    return cs_emu_key_save(c->s, c->key) == CS_OK ? json_null()
                                                  : cs_emu_kms_fail(c, "KMSInternalException", "not saved");
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
    json_int_t days = days_in == NULL ? 30 : json_integer_value(days_in);
    if (!cs_emu_kms_key(c)) {
        return NULL;
    }
    if (days < 7 || days > 30) {
        return cs_emu_kms_fail(c, "ValidationException", "PendingWindowInDays must be between 7 and 30");
    }
    if (!cs_emu_kms_authorise(c, false)) {
        return NULL;
    }
    if (c->key->state == CS_EMU_KEY_PENDING_DELETION) {
        return cs_emu_kms_fail(c, "KMSInvalidStateException", "%s is pending deletion.", c->key->arn);
    }
    c->key->state = CS_EMU_KEY_PENDING_DELETION;
    c->key->deletion_ms = cs_clock_wall_ms() + (uint64_t)days * 86400000u;
    if (cs_emu_key_save(c->s, c->key) != CS_OK) {
        return cs_emu_kms_fail(c, "KMSInternalException", "not saved");
    }
    return json_pack("{s:s,s:f,s:s,s:I}", "KeyId", c->key->arn, "DeletionDate", (double)c->key->deletion_ms / 1000.0,
                     "KeyState", "PendingDeletion", "PendingWindowInDays", days);
}

json_t *cs_emu_kms_cancel_deletion(cs_emu_kms_call *c)
{
    if (!cs_emu_kms_key(c) || !cs_emu_kms_authorise(c, false)) {
        return NULL;
    }
    if (c->key->state != CS_EMU_KEY_PENDING_DELETION) {
        return cs_emu_kms_fail(c, "KMSInvalidStateException", "%s is not pending deletion.", c->key->arn);
    }
    c->key->state = CS_EMU_KEY_DISABLED; /* [nitro-kms.md 2.3] */
    if (cs_emu_key_save(c->s, c->key) != CS_OK) {
        return cs_emu_kms_fail(c, "KMSInternalException", "not saved");
    }
    return json_pack("{s:s}", "KeyId", c->key->arn);
}
