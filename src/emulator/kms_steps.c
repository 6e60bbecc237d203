/* KMS: the steps that operations share: members of a request, its key, encryption context, recipient, permission. See kms_call.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "emulator/kms_call.h"

#define MAX_CONTEXT_KEYS 64
#define MAX_CONTEXT_NAME 2304

json_t *cs_emu_kms_fail(cs_emu_kms_call *c, const char *error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->message, sizeof c->message, fmt, ap);
    va_end(ap);
    c->error = error;
    return NULL;
}

const char *cs_emu_kms_text(cs_emu_kms_call *c, const char *member, size_t max, bool *ok)
{
    const json_t *v = json_object_get(c->in, member);
    *ok = v == NULL || json_is_null(v) || json_is_string(v);
    if (!*ok) {
        cs_emu_kms_fail(c, "SerializationException", "%s is not a string", member);
        return NULL;
    }
    const char *text = json_string_value(v);
    if (text != NULL && strlen(text) > max) {
        *ok = false;
        cs_emu_kms_fail(
            c, "ValidationException",
            "1 validation error detected: Value at '%s' failed to satisfy constraint: Member must have length "
            "less than or equal to %zu",
            member, max);
        return NULL;
    }
    return text;
}

json_t *cs_emu_kms_saved(cs_emu_kms_call *c, json_t *answer_take)
{
    if (answer_take != NULL && cs_emu_key_save(c->s, c->key) == CS_OK) {
        return answer_take;
    }
    json_decref(answer_take);
    return cs_emu_kms_fail(c, "KMSInternalException", "the key could not be saved");
}

/* An ARN of KMS: region and account must be ours; *rest is what follows them ("key/..." or "alias/..."). */
static bool own_arn(cs_emu_kms_call *c, const char *id, const char **rest)
{
    char start[128];
    int n = snprintf(start, sizeof start, "arn:aws:kms:%s:", c->s->o.region);
    if (strncmp(id, start, (size_t)n) != 0) {
        const char *region = strncmp(id, "arn:aws:kms:", 12) == 0 ? id + 12 : "";
        cs_emu_kms_fail(c, "NotFoundException", "Invalid arn %.*s", (int)strcspn(region, ":"), region);
        return false;
    }
    if (strncmp(id + n, c->s->o.account, 12) != 0 || id[n + 12] != ':') {
        cs_emu_kms_fail(
            c, "AccessDeniedException",
            "User: %s is not authorized to perform: kms:%s on this resource because the resource does not exist in "
            "this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access",
            c->who.session_arn != NULL ? c->who.session_arn : c->who.arn, c->op);
        return false;
    }
    *rest = id + n + 13;
    return true;
}

static bool find_by_alias(cs_emu_kms_call *c, const char *name)
{
    const cs_emu_alias *a = cs_emu_alias_find(c->s, name);
    c->key = a != NULL ? cs_emu_key_find(c->s, a->target) : NULL;
    c->request_alias = a != NULL ? a->name : NULL;
    if (c->key == NULL) {
        cs_emu_kms_fail(c, "NotFoundException", "Alias arn:aws:kms:%s:%s:%.250s is not found.", c->s->o.region,
                        c->s->o.account, name);
    }
    return c->key != NULL;
}

bool cs_emu_kms_key(cs_emu_kms_call *c, const char *member, bool aliases)
{
    bool ok;
    const char *id = cs_emu_kms_text(c, member, 2048, &ok), *name = id;
    if (!ok) {
        return false;
    }
    if (id == NULL || id[0] == '\0') {
        cs_emu_kms_fail(c, "ValidationException",
                        "1 validation error detected: Value %s at '%s' failed to satisfy constraint: Member must %s",
                        id == NULL ? "null" : "''", member,
                        id == NULL ? "not be null" : "have length greater than or equal to 1");
        return false;
    }
    if (strncmp(id, "arn:", 4) == 0 && !own_arn(c, id, &name)) {
        return false;
    }
    if (strncmp(name, "alias/", 6) == 0) {
        if (aliases) {
            return find_by_alias(c, name);
        }
        cs_emu_kms_fail(c, "NotFoundException", "Invalid keyId '%.300s'", id);
        return false;
    }
    if (name != id && strncmp(name, "key/", 4) == 0) {
        name += 4;
    }
    c->key = cs_emu_key_find(c->s, name);
    if (c->key != NULL) {
        return true;
    }
    bool uuid = strlen(name) == 36 && strspn(name, "0123456789abcdef-") == 36;
    if (uuid) {
        cs_emu_kms_fail(c, "NotFoundException", "Key 'arn:aws:kms:%s:%s:key/%s' does not exist", c->s->o.region,
                        c->s->o.account, name);
    } else {
        cs_emu_kms_fail(c, "NotFoundException", "Invalid keyId '%.300s'", id);
    }
    return false;
}

static int key_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The context in key order, each text with its length before it: equal for equal maps, different for different ones. */
static cs_err put_context(cs_emu_kms_call *c, const json_t *map)
{
    const char *keys[MAX_CONTEXT_KEYS];
    size_t n = 0;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)map, key, v)
    {
        if (n == MAX_CONTEXT_KEYS || json_string_value(v) == NULL) {
            return CS_E_RANGE;
        }
        keys[n++] = key;
    }
    qsort(keys, n, sizeof keys[0], key_order);
    for (size_t i = 0; i < n; i++) {
        char name[MAX_CONTEXT_NAME];
        cs_slice value = cs_slice_str(json_string_value(json_object_get(map, keys[i])));
        if (snprintf(name, sizeof name, "kms:EncryptionContext:%s", keys[i]) >= (int)sizeof name) {
            return CS_E_RANGE;
        }
        CS_TRY(cs_emu_context_add(&c->context, name, value));
        CS_TRY(cs_emu_context_add(&c->context, "kms:EncryptionContextKeys", cs_slice_str(keys[i])));
        CS_TRY(cs_put_u32(&c->aad, (uint32_t)strlen(keys[i])));
        CS_TRY(cs_put_str(&c->aad, keys[i]));
        CS_TRY(cs_put_u32(&c->aad, (uint32_t)value.len));
        CS_TRY(cs_put_slice(&c->aad, value));
    }
    return CS_OK;
}

bool cs_emu_kms_context(cs_emu_kms_call *c, const char *member)
{
    const json_t *map = json_object_get(c->in, member);
    if (map != NULL && !json_is_null(map) && (!json_is_object(map) || put_context(c, map) != CS_OK)) {
        cs_emu_kms_fail(c, "ValidationException", "%s must be a map of strings within its limits", member);
        return false;
    }
    return true;
}

bool cs_emu_kms_blob(cs_emu_kms_call *c, const char *member, size_t max, cs_buf *out)
{
    const json_t *v = json_object_get(c->in, member);
    size_t len0 = out->len;
    if (!json_is_string(v)) {
        cs_emu_kms_fail(c, "ValidationException",
                        "Value null at '%s' failed to satisfy constraint: Member must not be null", member);
        return false;
    }
    if (cs_b64_get(out, cs_slice_of(json_string_value(v), json_string_length(v)), CS_B64_STD) != CS_OK) {
        cs_emu_kms_fail(c, "SerializationException", "%s is not base64", member);
        return false;
    }
    if (out->len == len0 || out->len - len0 > max) {
        cs_emu_kms_fail(c, "ValidationException",
                        "Value at '%s' failed to satisfy constraint: Member must have length between 1 and %zu", member,
                        max);
        return false;
    }
    return true;
}

static bool add_attestation_context(cs_emu_kms_call *c)
{
    char hex[2 * CS_PCR_LEN + 1], name[64];
    for (unsigned i = 0; i < CS_ATT_NUM_PCRS; i++) {
        if (!(c->att.claims.pcr_mask >> i & 1)) {
            continue;
        }
        cs_hex_encode(hex, cs_slice_of(c->att.claims.pcr[i].b, CS_PCR_LEN));
        snprintf(name, sizeof name, "kms:RecipientAttestation:PCR%u", i);
        if (cs_emu_context_add(&c->context, name, cs_slice_str(hex)) != CS_OK ||
            (i == 0 &&
             cs_emu_context_add(&c->context, "kms:RecipientAttestation:ImageSha384", cs_slice_str(hex)) != CS_OK)) {
            return false;
        }
    }
    return true;
}

bool cs_emu_kms_recipient(cs_emu_kms_call *c)
{
    const json_t *recipient = json_object_get(c->in, "Recipient");
    const char *alg = json_string_value(json_object_get(recipient, "KeyEncryptionAlgorithm"));
    cs_buf doc = cs_buf_heap(262144);
    const json_t *outer = c->in;
    if (recipient == NULL || json_is_null(recipient)) {
        return true;
    }
    if (alg == NULL || strcmp(alg, "RSAES_OAEP_SHA_256") != 0) {
        cs_emu_kms_fail(c, "ValidationException", "KeyEncryptionAlgorithm must be RSAES_OAEP_SHA_256");
        return false;
    }
    c->in = recipient;
    bool ok = cs_emu_kms_blob(c, "AttestationDocument", 262144, &doc);
    c->in = outer;
    if (ok) {
        /* a debug document is verified like any other: its zero PCRs are the policy's affair, as with KMS */
        cs_att_options o = {.root_der = cs_slice_of(c->s->nsm_root_der, c->s->nsm_root_len),
                            .time = CS_ATT_TIME_NOW,
                            .any_pcrs = true,
                            .allow_debug = true};
        cs_err err = cs_att_verify(&c->att, cs_buf_slice(&doc), &o);
        ok = err == CS_OK && c->att.claims.public_key.present && c->att.claims.public_key.len > 0;
        if (!ok) {
            cs_emu_kms_fail(c, "ValidationException", "The attestation document is not valid: %s",
                            err == CS_OK ? "it has no public_key" : cs_err_code(err));
        } else if (!add_attestation_context(c)) {
            cs_emu_kms_fail(c, "ValidationException", "The attestation document has too many PCRs");
            ok = false;
        }
        c->attested = ok;
    }
    cs_buf_free(&doc);
    return ok;
}

static void fail_denied(cs_emu_kms_call *c, const char *action, const char *resource)
{
    const char *who = c->who.session_arn != NULL ? c->who.session_arn : c->who.arn;
    const char *kind = c->decision.by_identity || c->key == NULL ? "identity" : "resource";
    if (c->decision.verdict == CS_EMU_DENIED_EXPLICITLY) {
        cs_emu_kms_fail(
            c, "AccessDeniedException",
            "User: %s is not authorized to perform: %s on resource: %s with an explicit deny in a%s %s-based policy",
            who, action, resource, kind[0] == 'i' ? "n" : "", kind);
    } else {
        cs_emu_kms_fail(
            c, "AccessDeniedException",
            "User: %s is not authorized to perform: %s on resource: %s because no %s-based policy allows the %s "
            "action",
            who, action, resource, kind, action);
    }
}

bool cs_emu_kms_state_ok(cs_emu_kms_call *c, cs_emu_need need)
{
    if (need != CS_EMU_ANY_STATE && c->key->state == CS_EMU_KEY_PENDING_DELETION) {
        cs_emu_kms_fail(c, "KMSInvalidStateException", "%s is pending deletion.", c->key->arn);
        return false;
    }
    if (need == CS_EMU_ENABLED && c->key->state == CS_EMU_KEY_DISABLED) {
        cs_emu_kms_fail(c, "DisabledException", "%s is disabled.", c->key->arn);
        return false;
    }
    return true;
}

bool cs_emu_kms_authorise_as(cs_emu_kms_call *c, const char *action, const char *resource, cs_emu_need need)
{
    cs_emu_query q = {&c->who, action, resource, &c->context};
    if (cs_emu_kms_request_context(c) != CS_OK) {
        cs_emu_kms_fail(c, "ValidationException", "the request has too many condition keys");
        return false;
    }
    c->decision = c->key == NULL ? cs_emu_identity_eval(&q) : cs_emu_policy_eval(c->key->policy, &q);
    c->decided = true;
    if (c->decision.verdict != CS_EMU_ALLOWED) {
        fail_denied(c, action, resource);
        return false;
    }
    if (c->key != NULL && !cs_emu_kms_state_ok(c, need)) {
        return false;
    }
    /* ReEncrypt's other half is still to be asked */
    if (json_is_true(json_object_get(c->in, "DryRun")) && strcmp(action, "kms:ReEncryptFrom") != 0) {
        cs_emu_kms_fail(c, "DryRunOperationException",
                        "The request would have succeeded, but the DryRun option is set.");
        return false;
    }
    return true;
}

bool cs_emu_kms_authorise(cs_emu_kms_call *c, cs_emu_need need)
{
    char action[80];
    snprintf(action, sizeof action, "kms:%s", c->op);
    return cs_emu_kms_authorise_as(c, action, c->key != NULL ? c->key->arn : "*", need);
}
