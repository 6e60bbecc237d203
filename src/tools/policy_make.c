/* See policy_make.h. Source: specs/nitro-kms.md 10. */
#include "tools/policy_make.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define ATT "kms:RecipientAttestation:"

/* A release is the path of its bound PCRs in this order; releases with a common start share its nodes. */
static const unsigned order[] = {0, 1, 2, 3, 4, 8, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15};
#define NUM_ORDER (sizeof order / sizeof order[0])

static const char *key_name(unsigned n, char out[48])
{
    if (n == 0) {
        return ATT "ImageSha384";
    }
    (void)snprintf(out, 48, ATT "PCR%u", n);
    return out;
}

static json_t *hex(const cs_pcr *p)
{
    char text[2 * CS_PCR_LEN + 1];

    cs_hex_encode(text, cs_slice_of(p->b, CS_PCR_LEN));
    return json_string(text);
}

static json_t *texts(const char *const *list, size_t num)
{
    json_t *a = json_array();

    for (size_t i = 0; i < num; i++) {
        if (json_array_append_new(a, json_string(list[i])) != 0) {
            json_decref(a);
            return NULL;
        }
    }
    return a;
}

static json_t *aws(const char *const *list, size_t num)
{
    return num == 1 ? json_pack("{s:s}", "AWS", list[0]) : json_pack("{s:o}", "AWS", texts(list, num));
}

static bool bound(const cs_release *r, unsigned n)
{
    return (r->mask >> n & 1) != 0;
}

static bool same_pcr(const cs_release *a, const cs_release *b, unsigned n)
{
    return bound(a, n) == bound(b, n) && (!bound(a, n) || memcmp(&a->pcr[n], &b->pcr[n], CS_PCR_LEN) == 0);
}

cs_err cs_policy_plan_check(const cs_policy_plan *p)
{
    if ((p->num_releases == 0) != p->debug) {
        return CS_E_USAGE;
    }
    for (size_t i = 0; i < p->num_releases; i++) {
        for (size_t j = 0; j < i; j++) {
            const cs_release *a = &p->releases[i], *b = &p->releases[j];
            if (cs_release_eq(a, b)) {
                return CS_E_EXISTS;
            }
            if (same_pcr(a, b, 0) && a->mask != b->mask) {
                return CS_E_FORMAT;
            }
        }
    }
    return CS_OK;
}

json_t *cs_policy_release(const cs_release *r, const char *sid, json_t *principal, bool data_keys)
{
    static const char *const actions[] = {"kms:Decrypt", "kms:GenerateDataKey"};
    json_t *keys = json_object();
    char name[48];

    for (size_t i = 0; i < NUM_ORDER; i++) {
        if (bound(r, order[i])) {
            (void)json_object_set_new(keys, key_name(order[i], name), hex(&r->pcr[order[i]]));
        }
    }
    return json_pack("{s:s, s:s, s:O, s:o, s:s, s:{s:o}}", "Sid", sid, "Effect", "Allow", "Principal", principal,
                     "Action", data_keys ? texts(actions, 2) : json_string(actions[0]), "Resource", "*", "Condition",
                     "StringEqualsIgnoreCase", keys);
}

/* One Deny statement; condition is taken. */
static json_t *deny(const char *sid, json_t *principal, json_t *actions_take, const char *resource,
                    json_t *condition_take)
{
    json_t *st = json_pack("{s:s, s:s}", "Sid", sid, "Effect", "Deny");

    if (principal != NULL) {
        (void)json_object_set(st, "Principal", principal);
    }
    (void)json_object_set_new(st, "Action", actions_take);
    (void)json_object_set_new(st, "Resource", json_string(resource));
    if (condition_take != NULL) {
        (void)json_object_set_new(st, "Condition", condition_take);
    }
    return st;
}

typedef struct others {
    const cs_release *r;
    size_t num;
    json_t *principal, *out;
    const char *resource;
    unsigned count;
} others;

static bool same_path(const cs_release *a, const cs_release *b, size_t depth)
{
    for (size_t i = 0; i < depth; i++) {
        if (!same_pcr(a, b, order[i])) {
            return false;
        }
    }
    return true;
}

/* Is i the first release whose path begins as its own up to depth? */
static bool first_of_path(const others *o, size_t i, size_t depth)
{
    for (size_t j = 0; j < i; j++) {
        if (same_path(&o->r[i], &o->r[j], depth)) {
            return false;
        }
    }
    return true;
}

/* Do releases that share i's path up to depth go on with different values? Where all have the same, another value is denied there. */
static bool forks(const others *o, size_t i, size_t depth)
{
    for (size_t j = 0; j < o->num; j++) {
        if (same_path(&o->r[i], &o->r[j], depth) && !same_pcr(&o->r[i], &o->r[j], order[depth])) {
            return true;
        }
    }
    return false;
}

/* The node that release i reaches at depth: deny what shares the path up to there and then has none of the next values. */
static void deny_node(others *o, size_t i, size_t depth)
{
    static const char *const actions[] = {"kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey",
                                          "kms:GenerateDataKeyPair"};
    json_t *condition = json_object(), *path = json_object(), *values = json_array();
    char name[48], sid[64];

    for (size_t d = 0; d < depth; d++) {
        if (bound(&o->r[i], order[d]) && forks(o, i, d)) {
            (void)json_object_set_new(path, key_name(order[d], name), hex(&o->r[i].pcr[order[d]]));
        }
    }
    for (size_t j = i; j < o->num; j++) {
        if (same_path(&o->r[i], &o->r[j], depth) && first_of_path(o, j, depth + 1)) {
            (void)json_array_append_new(values, hex(&o->r[j].pcr[order[depth]]));
        }
    }
    if (json_object_size(path) > 0) {
        (void)json_object_set(condition, "StringEqualsIgnoreCase", path);
    }
    (void)json_object_set_new(condition, "StringNotEqualsIgnoreCase",
                              json_pack("{s:O}", key_name(order[depth], name),
                                        json_array_size(values) == 1 ? json_array_get(values, 0) : values));
    (void)snprintf(sid, sizeof sid, CS_SID_OTHER "%u", ++o->count);
    (void)json_array_append_new(o->out, deny(sid, o->principal, texts(actions, 4), o->resource, condition));
    json_decref(path);
    json_decref(values);
}

json_t *cs_policy_other_images(const cs_release *r, size_t num, json_t *principal, const char *resource)
{
    others o = {r, num, principal, json_array(), resource, 0};

    for (size_t i = 0; i < num; i++) {
        for (size_t depth = 0; depth < NUM_ORDER; depth++) {
            if (bound(&r[i], order[depth]) && first_of_path(&o, i, depth)) {
                deny_node(&o, i, depth);
            }
        }
    }
    return o.out;
}

static json_t *administration(const char *role)
{
    static const char *const actions[] = {
        "kms:CancelKeyDeletion",    "kms:CreateAlias",      "kms:DeleteAlias",   "kms:DescribeKey",
        "kms:DisableKey",           "kms:EnableKey",        "kms:GetKeyPolicy",  "kms:ListGrants",
        "kms:ListKeyPolicies",      "kms:ListResourceTags", "kms:PutKeyPolicy",  "kms:RevokeGrant",
        "kms:ScheduleKeyDeletion",  "kms:TagResource",      "kms:UntagResource", "kms:UpdateAlias",
        "kms:UpdateKeyDescription",
    };

    return json_pack("{s:s, s:s, s:{s:s}, s:o, s:s}", "Sid", "AllowKeyAdministration", "Effect", "Allow", "Principal",
                     "AWS", role, "Action", texts(actions, sizeof actions / sizeof actions[0]), "Resource", "*");
}

static void add_asked(json_t *list, const cs_policy_plan *p)
{
    static const char *const grants[] = {"kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"};
    char root[64];

    (void)snprintf(root, sizeof root, "arn:%s:iam::%s:root", p->partition, p->account);
    if (p->grants) {
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:{s:s}, s:o, s:s, s:{s:{s:s}}}", "Sid",
                                                    "AllowKeyUsageViaGrant", "Effect", "Allow", "Principal", "AWS",
                                                    p->admin_role != NULL ? p->admin_role : root, "Action",
                                                    texts(grants, 3), "Resource", "*", "Condition", "Bool",
                                                    "kms:GrantIsForAWSResource", "true"));
    }
    if (p->root_delegation) {
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:{s:s}, s:s, s:s}", "Sid", "AllowAccountDelegation",
                                                    "Effect", "Allow", "Principal", "AWS", root, "Action", "kms:*",
                                                    "Resource", "*"));
    }
}

/* Grants carry no attestation condition, and re-encryption moves a ciphertext to a key without one. */
static void add_denials(json_t *list, const cs_policy_plan *p, json_t *everybody)
{
    json_t *only = p->grants ? json_pack("{s:{s:s}}", "Bool", "kms:GrantIsForAWSResource", "false") : NULL;

    (void)json_array_append_new(list, deny("DenyGrants", everybody, json_string("kms:CreateGrant"), "*", only));
    (void)json_array_append_new(list, deny("DenyReEncryption", everybody, json_string("kms:ReEncrypt*"), "*", NULL));
}

static void add_releases(json_t *list, const cs_policy_plan *p, const cs_release *r, size_t num)
{
    json_t *roles = aws(p->roles, p->num_roles);
    char sid[64];

    for (size_t i = 0; i < num; i++) {
        (void)snprintf(sid, sizeof sid, CS_SID_RELEASE "%zu", i + 1);
        (void)json_array_append_new(
            list, cs_policy_release(&r[i], p->debug ? "AllowDebugEnclave" : sid, roles, p->data_keys));
    }
    json_decref(roles);
}

json_t *cs_policy_key(const cs_policy_plan *p)
{
    static const cs_release zeros = {.mask = 7};
    const cs_release *r = p->debug ? &zeros : p->releases;
    size_t num = p->debug ? 1 : p->num_releases;
    json_t *list = json_array(), *everybody = json_string("*");

    add_releases(list, p, r, num);
    if (p->num_encrypt_roles > 0) {
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:s, s:s}", "Sid", "AllowEncrypt", "Effect",
                                                    "Allow", "Principal", aws(p->encrypt_roles, p->num_encrypt_roles),
                                                    "Action", "kms:Encrypt", "Resource", "*"));
    }
    if (p->admin_role != NULL) {
        (void)json_array_append_new(list, administration(p->admin_role));
    }
    add_asked(list, p);
    json_t *closed = cs_policy_other_images(r, num, everybody, "*");
    (void)json_array_extend(list, closed);
    add_denials(list, p, everybody);
    json_decref(closed);
    json_decref(everybody);
    return json_pack("{s:s, s:s, s:o}", "Version", "2012-10-17", "Id",
                     p->debug ? "sign-service-enclave-TEST-key-policy" : "sign-service-enclave-key-policy", "Statement",
                     list);
}

json_t *cs_policy_iam(const cs_iam_plan *p)
{
    static const char *const never[] = {"kms:CreateGrant", "kms:PutKeyPolicy", "kms:ReEncrypt*", "kms:ReplicateKey"};
    const char *key = p->key_arn != NULL ? p->key_arn : "*";
    json_t *list = json_array(), *objects = json_array();
    char arn[2048];

    for (size_t i = 0; i < p->num_objects; i++) {
        (void)snprintf(arn, sizeof arn, "arn:%s:s3:::%s", p->key->partition, p->objects[i]);
        (void)json_array_append_new(objects, json_string(arn));
    }
    if (p->num_objects > 0) {
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:O}", "Sid", "AllowS3Read", "Effect", "Allow",
                                                    "Action", "s3:GetObject", "Resource", objects));
    }
    json_t *closed = cs_policy_other_images(p->key->releases, p->key->num_releases, NULL, key);
    (void)json_array_extend(list, closed);
    (void)json_array_append_new(list, deny("DenyWaysRoundAttestation", NULL, texts(never, 4), key, NULL));
    json_decref(closed);
    json_decref(objects);
    return json_pack("{s:s, s:o}", "Version", "2012-10-17", "Statement", list);
}

json_t *cs_policy_trust(const char *partition)
{
    return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s}]}", "Version", "2012-10-17", "Statement", "Effect", "Allow",
                     "Principal", "Service",
                     strcmp(partition, "aws-cn") == 0 ? "ec2.amazonaws.com.cn" : "ec2.amazonaws.com", "Action",
                     "sts:AssumeRole");
}
