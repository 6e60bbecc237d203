/* KMS: envelope of a request (signature, operation, errors), one log line per decision. The steps: kms_steps.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "emulator/kms_call.h"

#define JSON_TYPE "application/x-amz-json-1.1"
#define TARGET "TrentService."
#define KMS_MAX_BODY (1024u * 1024u)

static const struct {
    const char *name;
    json_t *(*run)(cs_emu_kms_call *c);
    bool read_only;
} operations[] = {
    {"CancelKeyDeletion", cs_emu_kms_cancel_deletion, false},
    {"CreateAlias", cs_emu_kms_create_alias, false},
    {"CreateGrant", cs_emu_kms_create_grant, false},
    {"CreateKey", cs_emu_kms_create_key, false},
    {"Decrypt", cs_emu_kms_decrypt, true},
    {"DeleteAlias", cs_emu_kms_delete_alias, false},
    {"DescribeKey", cs_emu_kms_describe_key, true},
    {"DisableKey", cs_emu_kms_disable, false},
    {"EnableKey", cs_emu_kms_enable, false},
    {"Encrypt", cs_emu_kms_encrypt, true},
    {"GenerateDataKey", cs_emu_kms_data_key, true},
    {"GenerateDataKeyWithoutPlaintext", cs_emu_kms_data_key_sealed, true},
    {"GenerateRandom", cs_emu_kms_random, true},
    {"GetKeyPolicy", cs_emu_kms_get_policy, true},
    {"GetKeyRotationStatus", cs_emu_kms_rotation_status, true},
    {"ListAliases", cs_emu_kms_list_aliases, true},
    {"ListGrants", cs_emu_kms_list_grants, true},
    {"ListKeyPolicies", cs_emu_kms_list_policies, true},
    {"ListKeys", cs_emu_kms_list_keys, true},
    {"ListResourceTags", cs_emu_kms_list_tags, true},
    {"PutKeyPolicy", cs_emu_kms_put_policy, false},
    {"ReEncrypt", cs_emu_kms_reencrypt, true},
    {"RevokeGrant", cs_emu_kms_revoke_grant, false},
    {"ScheduleKeyDeletion", cs_emu_kms_schedule_deletion, false},
    {"TagResource", cs_emu_kms_tag, false},
    {"UntagResource", cs_emu_kms_untag, false},
    {"UpdateAlias", cs_emu_kms_update_alias, false},
    {"UpdateKeyDescription", cs_emu_kms_update_description, false},
};

/* What KMS has and the emulator has not: said so, apart from what nobody has. */
static bool is_absent_operation(const char *op)
{
    static const char *const absent[] = {"ConnectCustomKeyStore",
                                         "CreateCustomKeyStore",
                                         "DeleteCustomKeyStore",
                                         "DeleteImportedKeyMaterial",
                                         "DeriveSharedSecret",
                                         "DescribeCustomKeyStores",
                                         "DisableKeyRotation",
                                         "DisconnectCustomKeyStore",
                                         "EnableKeyRotation",
                                         "GenerateDataKeyPair",
                                         "GenerateDataKeyPairWithoutPlaintext",
                                         "GenerateMac",
                                         "GetParametersForImport",
                                         "GetPublicKey",
                                         "ImportKeyMaterial",
                                         "ListKeyRotations",
                                         "ListRetirableGrants",
                                         "ReplicateKey",
                                         "RetireGrant",
                                         "RotateKeyOnDemand",
                                         "Sign",
                                         "UpdateCustomKeyStore",
                                         "UpdatePrimaryRegion",
                                         "Verify",
                                         "VerifyMac"};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        if (strcmp(absent[i], op) == 0) {
            return true;
        }
    }
    return false;
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
static void log_decision(const cs_emu_kms_call *c, bool read_only)
{
    cs_emu_trail(c, read_only);
    static const char *const verdicts[] = {"allowed", "denied-by-default", "denied-explicitly"};
    cs_slice image = c->attested ? cs_slice_of(c->att.claims.pcr[0].b, CS_PCR_LEN) : CS_SLICE_NULL;
    cs_log(c->error == NULL ? CS_LOG_INFO : CS_LOG_WARN, "kms", CS_LC("eventName", c->op),
           CS_LC("principal", c->who.arn != NULL ? c->who.arn : ""), CS_LC("key", c->key != NULL ? c->key->arn : ""),
           CS_LC("policy", c->decided ? verdicts[c->decision.verdict] : "not-asked"), CS_LC("sid", c->decision.sid),
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

/* What KMS does instead of the operation, when a test asked for that. */
static bool refused_by_fault(cs_emu_kms_call *c, cs_emu_reply *reply)
{
    cs_err err = cs_emu_fault_of(&c->fault, &reply->delay_ms, &c->s->fault, c->s->o.dir, c->op,
                                 json_is_object(json_object_get(c->in, "Recipient")));
    reply->dropped = c->fault == CS_EMU_FAULT_DOWN;
    if (err != CS_OK) {
        cs_emu_kms_fail(c, "KMSInternalException", "kms-fault.json is no fault: %s", cs_err_code(err));
    } else if (c->fault == CS_EMU_FAULT_THROTTLE) {
        cs_emu_kms_fail(c, "ThrottlingException", "Rate exceeded");
    } else if (c->fault == CS_EMU_FAULT_DENY) {
        cs_emu_kms_fail(c, "AccessDeniedException", "denied by kms-fault.json");
    } else if (c->fault == CS_EMU_FAULT_INTERNAL || c->fault == CS_EMU_FAULT_DOWN) {
        cs_emu_kms_fail(c, "KMSInternalException", "%s", "");
    }
    return c->error != NULL;
}

/* A good answer; its body may be none, when a test asked for that. */
static void reply_answer(const cs_emu_kms_call *c, cs_emu_reply *reply, json_t *answer)
{
    if (c->fault == CS_EMU_FAULT_NO_JSON || c->fault == CS_EMU_FAULT_EMPTY) {
        cs_emu_reply_text(reply, 200, JSON_TYPE, c->fault == CS_EMU_FAULT_EMPTY ? "{}" : "{\"KeyId\":\"arn:aws:k");
        json_decref(answer);
    } else if (json_is_null(answer)) {
        cs_emu_reply_text(reply, 200, JSON_TYPE, "");
        json_decref(answer);
    } else {
        cs_emu_reply_json(reply, 200, JSON_TYPE, answer);
    }
}

static void run_operation(cs_emu_kms_call *c, cs_emu_reply *reply, cs_slice body)
{
    json_t *answer = NULL;
    json_t *in =
        body.len > KMS_MAX_BODY ? NULL : json_loadb((const char *)body.p, body.len, JSON_REJECT_DUPLICATES, NULL);
    size_t i = 0, num = sizeof operations / sizeof operations[0];
    while (i < num && strcmp(operations[i].name, c->op) != 0) {
        i++;
    }
    c->in = in;
    if (i == num && is_absent_operation(c->op)) {
        cs_emu_kms_fail(c, "UnsupportedOperationException", "not implemented: %s", c->op);
    } else if (i == num) {
        cs_emu_kms_fail(c, "UnknownOperationException", "%s", "");
    } else if (!json_is_object(in)) {
        cs_emu_kms_fail(c, "SerializationException", "the body is not a JSON object");
    } else if (!refused_by_fault(c, reply)) {
        c->op = operations[i].name;
        c->aad = cs_buf_heap(CS_EMU_MAX_AAD);
        answer = operations[i].run(c);
        cs_buf_free(&c->aad);
    }
    if (answer == NULL) {
        reply_error(reply, c->error != NULL ? c->error : "KMSInternalException", c->message);
    } else {
        reply_answer(c, reply, answer);
    }
    log_decision(c, i < num && operations[i].read_only);
    c->in = NULL;
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
    cs_emu_keys_expire(s, cs_clock_wall_ms());
    call.s = s;
    call.q = q;
    call.op = op;
    call.decision.verdict = CS_EMU_DENIED_BY_DEFAULT;
    if (RAND_bytes(id, sizeof id) == 1) {
        cs_hex_encode(id_hex, cs_slice_of(id, sizeof id));
        snprintf(call.request_id, sizeof call.request_id, "%.8s-%.4s-%.4s-%.4s-%.12s", id_hex, id_hex + 8, id_hex + 12,
                 id_hex + 16, id_hex + 20);
        cs_emu_reply_header(reply, "x-amzn-RequestId", "%s", call.request_id);
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
        log_decision(&call, false);
        return;
    }
    run_operation(&call, reply, q->body);
}
