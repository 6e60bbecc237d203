/*
 * The record of KMS decisions: one JSON object on one line for each request, shaped like a CloudTrail record, appended to a file.
 * Never in it: plaintext, ciphertext, attestation documents, secrets. See kms_call.h and docs/emulator.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "emulator/kms_call.h"

/* Members of requests that a record shows, by the name that it has there. All others stay out. */
static const struct {
    const char *member, *name;
} shown[] = {
    {"KeyId", "keyId"},
    {"EncryptionContext", "encryptionContext"},
    {"EncryptionAlgorithm", "encryptionAlgorithm"},
    {"KeySpec", "keySpec"},
    {"CustomerMasterKeySpec", "customerMasterKeySpec"},
    {"KeyUsage", "keyUsage"},
    {"Origin", "origin"},
    {"NumberOfBytes", "numberOfBytes"},
    {"Description", "description"},
    {"Policy", "policy"},
    {"PolicyName", "policyName"},
    {"BypassPolicyLockoutSafetyCheck", "bypassPolicyLockoutSafetyCheck"},
    {"Tags", "tags"},
    {"TagKeys", "tagKeys"},
    {"AliasName", "aliasName"},
    {"TargetKeyId", "targetKeyId"},
    {"PendingWindowInDays", "pendingWindowInDays"},
    {"SourceKeyId", "sourceKeyId"},
    {"DestinationKeyId", "destinationKeyId"},
    {"SourceEncryptionContext", "sourceEncryptionContext"},
    {"DestinationEncryptionContext", "destinationEncryptionContext"},
    {"SourceEncryptionAlgorithm", "sourceEncryptionAlgorithm"},
    {"DestinationEncryptionAlgorithm", "destinationEncryptionAlgorithm"},
    {"GranteePrincipal", "granteePrincipal"},
    {"Operations", "operations"},
    {"Limit", "limit"},
    {"DryRun", "dryRun"},
};

static json_t *parameters(const cs_emu_kms_call *c)
{
    json_t *out = json_object();
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        json_t *v = json_object_get(c->in, shown[i].member);
        if (v != NULL) {
            json_object_set(out, shown[i].name, v);
        }
    }
    if (json_object_size(out) == 0) {
        json_decref(out);
        return json_null();
    }
    return out;
}

static json_t *identity(const cs_emu_kms_call *c)
{
    const cs_emu_principal *w = &c->who;
    if (w->arn == NULL) {
        return json_pack("{s:s}", "type", "Unknown"); /* the signature told nothing */
    }
    json_t *j =
        json_pack("{s:s,s:s,s:s,s:s,s:s}", "type", w->session_arn != NULL ? "AssumedRole" : "IAMUser", "principalId",
                  w->id != NULL ? w->id : "", "arn", w->session_arn != NULL ? w->session_arn : w->arn, "accountId",
                  w->account, "accessKeyId", w->access_key_id != NULL ? w->access_key_id : "");
    if (w->session_arn == NULL) {
        json_object_set_new(j, "userName", json_string(w->name != NULL ? w->name : ""));
    } else {
        const char *role = strrchr(w->arn, '/');
        json_object_set_new(j, "sessionContext",
                            json_pack("{s:{s:s,s:s,s:s,s:s}}", "sessionIssuer", "type", "Role", "arn", w->arn,
                                      "accountId", w->account, "userName", role != NULL ? role + 1 : w->arn));
    }
    return j;
}

static json_t *recipient(const cs_emu_kms_call *c)
{
    char hex[2 * CS_PCR_LEN + 1], name[48];
    json_t *r = json_object();
    json_object_set_new(r, "attestationDocumentModuleId", json_string(c->att.claims.module_id));
    for (unsigned i = 0; i < CS_ATT_NUM_PCRS; i++) {
        if (!(c->att.claims.pcr_mask >> i & 1)) {
            continue;
        }
        cs_hex_encode(hex, cs_slice_of(c->att.claims.pcr[i].b, CS_PCR_LEN));
        if (i == 0) {
            json_object_set_new(r, "attestationDocumentEnclaveImageDigest", json_string(hex));
        }
        snprintf(name, sizeof name, "attestationDocumentEnclavePCR%u", i);
        json_object_set_new(r, name, json_string(hex));
    }
    return json_pack("{s:o}", "recipient", r);
}

static json_t *decision(const cs_emu_kms_call *c)
{
    static const char *const verdicts[] = {"allowed", "denied-by-default", "denied-explicitly"};
    if (!c->decided) {
        return json_null(); /* refused before any policy was asked */
    }
    return json_pack("{s:s,s:s,s:s}", "verdict", verdicts[c->decision.verdict], "sid", c->decision.sid, "policy",
                     c->decision.by_identity || c->key == NULL ? "identity" : "key");
}

static void event_id(char out[37])
{
    uint8_t raw[16] = {0};
    char h[33];
    (void)RAND_bytes(raw, sizeof raw);
    cs_hex_encode(h, cs_slice_of(raw, sizeof raw));
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", h, h + 8, h + 12, h + 16, h + 20);
}

static json_t *record(const cs_emu_kms_call *c, bool read_only)
{
    char time[40] = "", id[37];
    uint8_t mem[40];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_slice agent = CS_SLICE_NULL;
    if (cs_put_rfc3339(&b, cs_clock_wall_ms()) == CS_OK && b.len > 20) {
        snprintf(time, sizeof time, "%.19sZ", (const char *)mem); /* whole seconds, as CloudTrail */
    }
    event_id(id);
    (void)cs_sigv4_header_find(&c->q->sig, "user-agent", &agent);
    json_t *agent_text = agent.len <= 1024 ? json_stringn((const char *)agent.p, agent.len) : NULL;
    json_t *j = json_pack("{s:s,s:o,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:n,s:s,s:s,s:b,s:s,s:b,s:s,s:o}", "eventVersion",
                          "1.11", "userIdentity", identity(c), "eventTime", time, "eventSource", "kms.amazonaws.com",
                          "eventName", c->op, "awsRegion", c->s->o.region, "sourceIPAddress", "127.0.0.1", "userAgent",
                          agent_text != NULL ? agent_text : json_string(""), "requestParameters", parameters(c),
                          "responseElements", "requestID", c->request_id, "eventID", id, "readOnly", (int)read_only,
                          "eventType", "AwsApiCall", "managementEvent", 1, "recipientAccountId", c->s->o.account,
                          "countersignDecision", decision(c));
    if (j == NULL) {
        return NULL;
    }
    if (c->error != NULL) {
        json_object_set_new(j, "errorCode", json_string(c->error));
        json_object_set_new(j, "errorMessage", c->message[0] != '\0' ? json_string(c->message) : json_null());
    }
    if (c->attested) {
        json_object_set_new(j, "additionalEventData", recipient(c));
    }
    if (c->key != NULL) {
        json_object_set_new(
            j, "resources",
            json_pack("[{s:s,s:s,s:s}]", "accountId", c->s->o.account, "type", "AWS::KMS::Key", "ARN", c->key->arn));
    }
    return j;
}

void cs_emu_trail(const cs_emu_kms_call *c, bool read_only)
{
    char path[4096];
    json_t *j = record(c, read_only);
    char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    size_t len = text != NULL ? strlen(text) : 0;
    snprintf(path, sizeof path, "%s/trail.jsonl", c->s->o.dir);
    int fd = open(c->s->o.trail != NULL ? c->s->o.trail : path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    bool ok = text != NULL && fd >= 0;
    if (ok) {
        text[len] = '\n'; /* in the place of the NUL: one write, one line */
        ok = write(fd, text, len + 1) == (ssize_t)(len + 1);
    }
    if (!ok) {
        cs_log(CS_LOG_ERROR, "trail", CS_LC("cause", "a decision could not be recorded"),
               CS_LC("requestID", c->request_id));
    }
    if (fd >= 0) {
        close(fd);
    }
    free(text);
    json_decref(j);
}
