/* KMS: envelope of a request (signature, operation, errors), the steps that operations share, one log line per decision. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/log.h"
#include "base/text.h"
#include "emulator/kms_call.h"

#define JSON_TYPE "application/x-amz-json-1.1"
#define TARGET "TrentService."
#define MAX_CONTEXT_BYTES 8192u

static const struct {
    const char *name;
    json_t *(*run)(cs_emu_kms_call *c);
} operations[] = {
    {"CreateKey", cs_emu_kms_create_key},
    {"DescribeKey", cs_emu_kms_describe_key},
    {"PutKeyPolicy", cs_emu_kms_put_policy},
    {"GetKeyPolicy", cs_emu_kms_get_policy},
    {"EnableKey", cs_emu_kms_enable},
    {"DisableKey", cs_emu_kms_disable},
    {"ScheduleKeyDeletion", cs_emu_kms_schedule_deletion},
    {"CancelKeyDeletion", cs_emu_kms_cancel_deletion},
    {"Encrypt", cs_emu_kms_encrypt},
    {"Decrypt", cs_emu_kms_decrypt},
    {"GenerateDataKey", cs_emu_kms_data_key},
    {"GenerateRandom", cs_emu_kms_random},
};

json_t *cs_emu_kms_fail(cs_emu_kms_call *c, const char *error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->message, sizeof c->message, fmt, ap);
    va_end(ap);
    c->error = error;
    return NULL;
}

bool cs_emu_kms_key(cs_emu_kms_call *c)
{
    const char *id = json_string_value(json_object_get(c->in, "KeyId"));
    if (id == NULL || id[0] == '\0' || strlen(id) > 2048) {
        cs_emu_kms_fail(c, "ValidationException",
                        "1 validation error detected: Value at 'keyId' failed to satisfy constraint");
        return false;
    }
    c->key = cs_emu_key_find(c->s, id);
    if (c->key == NULL) {
        cs_emu_kms_fail(c, "NotFoundException", "Key '%.200s' does not exist", id);
        return false;
    }
    return true;
}

static int key_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The context in key order, each text with its length before it: equal for equal maps, different for different ones. */
static cs_err put_context(cs_emu_kms_call *c, const json_t *map)
{
    const char *keys[64];
    size_t n = 0;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)map, key, v)
    {
        if (n == 64 || json_string_value(v) == NULL) {
            return CS_E_RANGE;
        }
        keys[n++] = key;
    }
    qsort(keys, n, sizeof keys[0], key_order);
    for (size_t i = 0; i < n; i++) {
        char name[256];
        cs_slice value = cs_slice_str(json_string_value(json_object_get(map, keys[i])));
        if (snprintf(name, sizeof name, "kms:EncryptionContext:%s", keys[i]) >= (int)sizeof name) {
            return CS_E_RANGE;
        }
        CS_TRY(cs_emu_context_add(&c->context, name, value));
        CS_TRY(cs_put_u32(&c->aad, (uint32_t)strlen(keys[i])));
        CS_TRY(cs_put_str(&c->aad, keys[i]));
        CS_TRY(cs_put_u32(&c->aad, (uint32_t)value.len));
        CS_TRY(cs_put_slice(&c->aad, value));
    }
    return CS_OK;
}

bool cs_emu_kms_context(cs_emu_kms_call *c)
{
    const json_t *map = json_object_get(c->in, "EncryptionContext");
    if (map != NULL && (!json_is_object(map) || put_context(c, map) != CS_OK)) {
        cs_emu_kms_fail(c, "ValidationException", "EncryptionContext must be a map of strings within its limits");
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

static void fail_denied(cs_emu_kms_call *c, const char *action)
{
    cs_emu_kms_fail(
        c, "AccessDeniedException", "User: %s is not authorized to perform: %s on resource: %s %s",
        c->who.session_arn != NULL ? c->who.session_arn : c->who.arn, action, c->key != NULL ? c->key->arn : "*",
        c->decision.verdict == CS_EMU_DENIED_EXPLICITLY ? "with an explicit deny in a resource-based policy"
                                                        : "because no resource-based policy allows the action");
}

bool cs_emu_kms_authorise(cs_emu_kms_call *c, bool need_enabled)
{
    char action[64];
    snprintf(action, sizeof action, "kms:%s", c->op);
    if (c->key == NULL) {
        c->decision.verdict = cs_emu_iam_allows(&c->who, action) ? CS_EMU_ALLOWED : CS_EMU_DENIED_BY_DEFAULT;
    } else {
        cs_emu_query q = {&c->who, action, c->key->arn, &c->context};
        c->decision = cs_emu_policy_eval(c->key->policy, &q);
    }
    if (c->decision.verdict != CS_EMU_ALLOWED) {
        fail_denied(c, action);
        return false;
    }
    if (need_enabled && c->key != NULL && c->key->state != CS_EMU_KEY_ENABLED) {
        bool disabled = c->key->state == CS_EMU_KEY_DISABLED;
        cs_emu_kms_fail(c, disabled ? "DisabledException" : "KMSInvalidStateException", "%s is %s", c->key->arn,
                        disabled ? "disabled." : "pending deletion.");
        return false;
    }
    if (json_is_true(json_object_get(c->in, "DryRun"))) {
        cs_emu_kms_fail(c, "DryRunOperationException",
                        "The request would have succeeded, but the DryRun option is set.");
        return false;
    }
    return true;
}

static unsigned status_of(const char *error)
{
    static const struct {
        const char *error;
        unsigned status;
    } rows[] = {{"KMSInternalException", 500}, {"InternalFailure", 500}, {"DryRunOperationException", 412}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].error, error) == 0) {
            return rows[i].status;
        }
    }
    return 400;
}

static void reply_error(cs_emu_reply *reply, const char *error, const char *message)
{
    json_t *j = json_pack("{s:s}", "__type", error);
    const char *member = strcmp(error, "AccessDeniedException") == 0 ? "Message" : "message";
    if (j != NULL) {
        json_object_set_new(j, member, message[0] != '\0' ? json_string(message) : json_null());
    }
    cs_emu_reply_json(reply, status_of(error), JSON_TYPE, j);
}

/* Like CloudTrail: who did what to which key, with which attestation, and what came of it. */
static void log_decision(const cs_emu_kms_call *c)
{
    static const char *const verdicts[] = {"allowed", "denied-by-default", "denied-explicitly"};
    cs_slice image = c->attested ? cs_slice_of(c->att.claims.pcr[0].b, CS_PCR_LEN) : CS_SLICE_NULL;
    cs_log(c->error == NULL ? CS_LOG_INFO : CS_LOG_WARN, "kms", CS_LC("eventName", c->op),
           CS_LC("principal", c->who.arn != NULL ? c->who.arn : ""), CS_LC("key", c->key != NULL ? c->key->arn : ""),
           CS_LC("policy", verdicts[c->decision.verdict]), CS_LC("sid", c->decision.sid),
           CS_LC("errorCode", c->error != NULL ? c->error : ""),
           CS_LC("attestationDocumentModuleId", c->attested ? c->att.claims.module_id : ""),
           CS_LHEX("attestationDocumentEnclaveImageDigest", image));
}

static const char *auth_error(cs_emu_auth a)
{
    static const char *const names[] = {"",
                                        "MissingAuthenticationTokenException",
                                        "IncompleteSignatureException",
                                        "UnrecognizedClientException",
                                        "UnrecognizedClientException",
                                        "ExpiredTokenException",
                                        "InvalidSignatureException",
                                        "InvalidSignatureException",
                                        "InvalidSignatureException"};
    return names[a];
}

static const char *auth_message(cs_emu_auth a)
{
    static const char *const texts[] = {
        "",
        "Missing Authentication Token",
        "The signature is incomplete or malformed.",
        "The security token included in the request is invalid.",
        "The security token included in the request is invalid.",
        "The security token included in the request is expired",
        "The request signature we calculated does not match the signature you provided.",
        "Signature expired: the time of the request is more than 5 min. off",
        "Credential should be scoped to a valid region and service."};
    return texts[a];
}

static void run_operation(cs_emu_kms_call *c, cs_emu_reply *reply, cs_slice body)
{
    json_t *answer = NULL;
    json_t *in = json_loadb((const char *)body.p, body.len, JSON_REJECT_DUPLICATES, NULL);
    size_t i = 0, num = sizeof operations / sizeof operations[0];
    while (i < num && strcmp(operations[i].name, c->op) != 0) {
        i++;
    }
    c->in = in;
    if (i == num) {
        cs_emu_kms_fail(c, "UnknownOperationException", "%s", "");
    } else if (!json_is_object(in)) {
        cs_emu_kms_fail(c, "SerializationException", "the body is not a JSON object");
    } else {
        c->op = operations[i].name;
        c->aad = cs_buf_heap(MAX_CONTEXT_BYTES);
        answer = operations[i].run(c);
        cs_buf_free(&c->aad);
    }
    if (answer == NULL) {
        reply_error(reply, c->error != NULL ? c->error : "KMSInternalException", c->message);
    } else if (json_is_null(answer)) {
        cs_emu_reply_text(reply, 200, JSON_TYPE, "");
        json_decref(answer);
    } else {
        cs_emu_reply_json(reply, 200, JSON_TYPE, answer);
    }
    log_decision(c);
    json_decref(in);
}

void cs_emu_kms(cs_emu_state *s, cs_emu_reply *reply, cs_emu_request *q)
{
    static cs_emu_kms_call call; /* 50 KiB; one thread */
    static char op[64];
    char hash[65], id_hex[33];
    uint8_t id[16];
    cs_slice target = CS_SLICE_NULL;
    memset(&call, 0, sizeof call);
    memset(op, 0, sizeof op);
    call.s = s;
    call.op = op;
    call.decision.verdict = CS_EMU_DENIED_BY_DEFAULT;
    if (RAND_bytes(id, sizeof id) == 1) {
        cs_hex_encode(id_hex, cs_slice_of(id, sizeof id));
        cs_emu_reply_header(reply, "x-amzn-RequestId", "%.8s-%.4s-%.4s-%.4s-%.12s", id_hex, id_hex + 8, id_hex + 12,
                            id_hex + 16, id_hex + 20);
    }
    bool have_target = cs_sigv4_header_find(&q->sig, "x-amz-target", &target) && target.len > strlen(TARGET) &&
                       target.len < strlen(TARGET) + sizeof op && memcmp(target.p, TARGET, strlen(TARGET)) == 0;
    if (!cs_slice_eq_str(q->sig.method, "POST") || !cs_slice_eq_str(q->sig.path, "/") || !have_target) {
        reply_error(reply, "UnknownOperationException", "");
        return;
    }
    for (size_t i = strlen(TARGET), n = 0; i < target.len; i++) {
        bool letter = (target.p[i] | 0x20) >= 'a' && (target.p[i] | 0x20) <= 'z';
        op[n++] = letter ? (char)target.p[i] : '_';
    }
    if (cs_sigv4_hash(hash, q->body) != CS_OK) {
        reply_error(reply, "KMSInternalException", "");
        return;
    }
    q->sig.payload_hash = cs_slice_str(hash);
    cs_emu_auth a = cs_emu_authenticate(s, &call.who, &q->sig, "kms");
    if (a != CS_EMU_AUTH_OK) {
        cs_emu_kms_fail(&call, auth_error(a), "%s", auth_message(a));
        reply_error(reply, call.error, call.message);
        log_decision(&call);
        return;
    }
    run_operation(&call, reply, q->body);
}
