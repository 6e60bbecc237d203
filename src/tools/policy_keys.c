/* Condition keys: which exist, and which values a request can have. Source: KMS developer guide, "Condition keys"; nitro-kms.md 10. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "tools/policy_solve_int.h"

#define ATT "kms:RecipientAttestation:"

static const char *const kms_keys[] = {
    "BypassPolicyLockoutSafetyCheck",
    "CallerAccount",
    "CustomerMasterKeySpec",
    "CustomerMasterKeyUsage",
    "DataKeyPairSpec",
    "EncryptionAlgorithm",
    "EncryptionContextKeys",
    "ExpirationModel",
    "GrantConstraintType",
    "GrantIsForAWSResource",
    "GrantOperations",
    "GranteePrincipal",
    "KeyAgreementAlgorithm",
    "KeyOrigin",
    "KeySpec",
    "KeyUsage",
    "MacAlgorithm",
    "MessageType",
    "MultiRegion",
    "MultiRegionKeyType",
    "PrimaryRegion",
    "ReEncryptOnSameKey",
    "ReplicaRegion",
    "RequestAlias",
    "ResourceAliases",
    "RetiringPrincipal",
    "RotationPeriodInDays",
    "ScheduleKeyDeletionPendingWindowInDays",
    "SigningAlgorithm",
    "ValidTo",
    "ViaService",
    "WrappingAlgorithm",
    "WrappingKeySpec",
};

static bool is(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

static bool starts(const char *key, const char *prefix)
{
    return strncasecmp(key, prefix, strlen(prefix)) == 0;
}

/* The number of "PCR7" with the prefix "PCR", or -1. */
static int number(const char *name, const char *prefix)
{
    uint64_t v = 0;
    size_t n = strlen(prefix);

    return starts(name, prefix) && cs_parse_u64(cs_slice_str(name + n), 31, &v) == CS_OK ? (int)v : -1;
}

int cs_pkey_pcr(const char *key)
{
    static const char *const signs[] = {"attestation", "enclave", "imagesha", "pcr", "nitro"};

    if (starts(key, ATT)) {
        const char *name = key + strlen(ATT);
        int n = number(name, "PCR"), tpm = number(name, "NitroTPMPCR");
        return is(name, "ImageSha384") ? 0 : n >= 0 ? n : tpm >= 0 ? 32 + tpm : CS_PKEY_UNKNOWN;
    }
    /* what is named like one, but is not what somebody chose: a tag or a context */
    if (strchr(key, '/') != NULL || starts(key, "kms:EncryptionContext:")) {
        return CS_PKEY_OTHER;
    }
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (strcasestr(key, signs[i]) != NULL) {
            return CS_PKEY_UNKNOWN;
        }
    }
    return CS_PKEY_OTHER;
}

bool cs_pkey_exists(const char *key)
{
    if (!starts(key, "kms:") || starts(key, "kms:EncryptionContext:")) {
        return cs_pkey_pcr(key) != CS_PKEY_UNKNOWN;
    }
    for (size_t i = 0; i < sizeof kms_keys / sizeof kms_keys[0]; i++) {
        if (is(key + 4, kms_keys[i])) {
            return true;
        }
    }
    return cs_pkey_pcr(key) >= 0;
}

bool cs_pkey_multi(const char *key)
{
    static const char *const keys[] = {
        "aws:CalledVia",        "aws:PrincipalOrgPaths",     "aws:PrincipalServiceNamesList",
        "aws:ResourceOrgPaths", "aws:SourceOrgPaths",        "aws:TagKeys",
        "kms:ResourceAliases",  "kms:EncryptionContextKeys", "kms:GrantOperations"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (is(key, keys[i])) {
            return true;
        }
    }
    return !starts(key, "aws:") && !starts(key, "kms:");
}

static cs_pfix absent(void)
{
    return (cs_pfix){.kind = CS_FIX_VALUE, .value = NULL};
}

static cs_pfix value(const char *v)
{
    return (cs_pfix){.kind = CS_FIX_VALUE, .value = v};
}

static cs_pfix any(cs_pfix_kind k)
{
    return (cs_pfix){.kind = k};
}

static cs_pfix pcr_value(int n, cs_pstate s)
{
    bool image = n <= 2 || n == 8;

    if (s == CS_ATTESTED_NOT || n >= 32) {
        return absent();
    }
    if (s == CS_ATTESTED_ANY || n >= 16) {
        return any(n >= 16 ? CS_FIX_FREE : CS_FIX_PRESENT);
    }
    if (n == 3 || n == 4) {
        return any(CS_FIX_PRESENT); /* role and instance are the host's own */
    }
    if (s == CS_ATTESTED_DEBUG || !image) {
        return value(CS_PCR_ZEROS);
    }
    if ((s == CS_ATTESTED_KERNEL && n == 1) || (s == CS_ATTESTED_APP && n == 2) ||
        (s == CS_ATTESTED_SIGNER && n == 8)) {
        return any(CS_FIX_PRESENT);
    }
    return any(n == 8 ? CS_FIX_NEW_OR_ZEROS : CS_FIX_NEW);
}

static cs_pfix of_caller(const char *key, const cs_pwho *w)
{
    static const char *const types[] = {"AssumedRole", "User", "Account", NULL, NULL, NULL};
    bool aws = w->kind == CS_WHO_ROLE || w->kind == CS_WHO_USER || w->kind == CS_WHO_ROOT;

    if (w->kind == CS_WHO_HOLDER) {
        return any(CS_FIX_FREE);
    }
    if (is(key, "aws:PrincipalArn")) {
        return value(aws ? w->arn : NULL);
    }
    if (is(key, "aws:PrincipalType")) {
        return aws ? value(types[w->kind]) : any(CS_FIX_FREE);
    }
    return aws && w->account[0] != '\0' ? value(w->account) : any(CS_FIX_FREE);
}

/* What belongs to an account's own network or organisation: a stranger cannot have a listed value. */
static bool own_place(const char *key)
{
    static const char *const keys[] = {"aws:SourceVpce",  "aws:SourceVpc",      "aws:SourceIp",
                                       "aws:VpcSourceIp", "aws:PrincipalOrgID", "aws:PrincipalOrgPaths",
                                       "aws:SourceOrgID", "aws:SourceAccount",  "aws:SourceArn"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (is(key, keys[i])) {
            return true;
        }
    }
    return false;
}

cs_pfix cs_pkey_fix(const char *key, const cs_prequest *q)
{
    bool grant = is(q->action, "kms:CreateGrant");
    int n = cs_pkey_pcr(key);

    if (n >= 0) {
        return pcr_value(n, q->state);
    }
    if (!cs_pkey_exists(key)) {
        return absent();
    }
    if (is(key, "aws:PrincipalArn") || is(key, "aws:PrincipalType") || is(key, "aws:PrincipalAccount") ||
        is(key, "kms:CallerAccount")) {
        return of_caller(key, q->who);
    }
    if (is(key, "aws:PrincipalIsAWSService")) {
        return value(q->who->kind == CS_WHO_SERVICE ? "true" : "false");
    }
    if (is(key, "aws:SecureTransport")) {
        return value("true");
    }
    if (is(key, "kms:GrantIsForAWSResource")) {
        return grant ? value("false") : absent();
    }
    if (is(key, "kms:GrantOperations")) {
        return grant ? (cs_pfix){.kind = CS_FIX_AND_OTHERS, .value = q->grant_op} : absent();
    }
    if (is(key, "kms:GrantConstraintType") || is(key, "kms:GranteePrincipal") || is(key, "kms:RetiringPrincipal")) {
        return grant ? any(CS_FIX_FREE) : absent();
    }
    if (is(key, "kms:ReEncryptOnSameKey")) {
        return starts(q->action, "kms:ReEncrypt") ? value("false") : absent();
    }
    return any(q->who->foreign && own_place(key) ? CS_FIX_NEW_OR_ABSENT : CS_FIX_FREE);
}
