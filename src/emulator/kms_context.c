/* The condition keys of a KMS request that come of its caller, its transport, its members and its key. See kms_call.h. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "emulator/kms_call.h"

static cs_err add(cs_emu_kms_call *c, const char *key, const char *value)
{
    return value != NULL ? cs_emu_context_add(&c->context, key, cs_slice_str(value)) : CS_OK;
}

static cs_err add_caller(cs_emu_kms_call *c)
{
    char text[64] = "";
    uint64_t now = cs_clock_wall_ms();
    cs_buf b = cs_buf_wrap(text, sizeof text - 1);
    cs_slice agent = CS_SLICE_NULL;
    CS_TRY(add(c, "aws:PrincipalArn", c->who.arn));
    CS_TRY(add(c, "aws:PrincipalAccount", c->who.account));
    CS_TRY(add(c, "aws:PrincipalType", c->who.session_arn != NULL ? "AssumedRole" : "User"));
    CS_TRY(add(c, "aws:userid", c->who.id));
    CS_TRY(add(c, "aws:username", c->who.session_arn == NULL ? c->who.name : NULL));
    CS_TRY(add(c, "aws:PrincipalIsAWSService", "false"));
    CS_TRY(add(c, "kms:CallerAccount", c->who.account));
    CS_TRY(add(c, "aws:SourceIp", "127.0.0.1")); /* loopback only */
    CS_TRY(add(c, "aws:SecureTransport", c->q->plain_http ? "false" : "true"));
    CS_TRY(add(c, "aws:RequestedRegion", c->s->o.region));
    if (cs_sigv4_header_find(&c->q->sig, "user-agent", &agent) && agent.len <= 1024) {
        CS_TRY(cs_emu_context_add(&c->context, "aws:UserAgent", agent));
    }
    CS_TRY(cs_put_rfc3339(&b, now / 1000 * 1000));
    CS_TRY(add(c, "aws:CurrentTime", text));
    snprintf(text, sizeof text, "%llu", (unsigned long long)(now / 1000));
    return add(c, "aws:EpochTime", text);
}

static cs_err add_tags(cs_emu_kms_call *c, const json_t *tags, const char *prefix, bool keys)
{
    size_t i;
    json_t *t;
    json_array_foreach(tags, i, t)
    {
        const char *k = json_string_value(json_object_get(t, "TagKey"));
        char name[640];
        if (k == NULL || snprintf(name, sizeof name, "%s%s", prefix, k) >= (int)sizeof name) {
            return CS_E_RANGE;
        }
        CS_TRY(add(c, name, json_string_value(json_object_get(t, "TagValue"))));
        CS_TRY(keys ? add(c, "aws:TagKeys", k) : CS_OK);
    }
    return CS_OK;
}

static bool is_op(const cs_emu_kms_call *c, const char *op)
{
    return strcmp(c->op, op) == 0;
}

static cs_err add_members(cs_emu_kms_call *c)
{
    const json_t *days = json_object_get(c->in, "PendingWindowInDays"), *keys = json_object_get(c->in, "TagKeys");
    char text[32];
    size_t i;
    json_t *k;
    if (is_op(c, "CreateGrant") || is_op(c, "ListGrants") || is_op(c, "RevokeGrant")) {
        CS_TRY(add(c, "kms:GrantIsForAWSResource", "false")); /* no service of AWS asks here */
    }
    if (is_op(c, "CreateKey") || is_op(c, "PutKeyPolicy")) {
        bool bypass = json_is_true(json_object_get(c->in, "BypassPolicyLockoutSafetyCheck"));
        CS_TRY(add(c, "kms:BypassPolicyLockoutSafetyCheck", bypass ? "true" : "false"));
    }
    if (is_op(c, "ScheduleKeyDeletion")) {
        json_int_t n = json_is_integer(days) ? json_integer_value(days) : 30;
        snprintf(text, sizeof text, "%lld", (long long)n);
        CS_TRY(add(c, "kms:ScheduleKeyDeletionPendingWindowInDays", text));
    }
    if (is_op(c, "CreateKey") || is_op(c, "TagResource")) {
        CS_TRY(add_tags(c, json_object_get(c->in, "Tags"), "aws:RequestTag/", true));
    }
    json_array_foreach(keys, i, k)
    {
        CS_TRY(add(c, "aws:TagKeys", json_string_value(k)));
    }
    return CS_OK;
}

static cs_err add_key(cs_emu_kms_call *c)
{
    static const char *const crypt[] = {"Encrypt", "Decrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext",
                                        "ReEncrypt"};
    CS_TRY(add(c, "kms:KeySpec", "SYMMETRIC_DEFAULT"));
    CS_TRY(add(c, "kms:KeyUsage", "ENCRYPT_DECRYPT"));
    CS_TRY(add(c, "kms:KeyOrigin", "AWS_KMS"));
    CS_TRY(add(c, "kms:MultiRegion", "false"));
    if (c->key == NULL) {
        return CS_OK;
    }
    for (size_t i = 0; i < sizeof crypt / sizeof crypt[0]; i++) {
        CS_TRY(is_op(c, crypt[i]) ? add(c, "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT") : CS_OK);
    }
    CS_TRY(add(c, "aws:ResourceAccount", c->s->o.account));
    CS_TRY(add(c, "kms:RequestAlias", c->request_alias));
    for (size_t i = 0; i < c->s->num_aliases; i++) {
        if (strcmp(c->s->aliases[i].target, c->key->id) == 0) {
            CS_TRY(add(c, "kms:ResourceAliases", c->s->aliases[i].name));
        }
    }
    return add_tags(c, c->key->tags, "aws:ResourceTag/", false);
}

cs_err cs_emu_kms_request_context(cs_emu_kms_call *c)
{
    CS_TRY(add_caller(c));
    CS_TRY(add_members(c));
    return c->key != NULL || is_op(c, "CreateKey") ? add_key(c) : CS_OK;
}
