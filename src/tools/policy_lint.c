/* The policy linter: every Allow is tried with each question; a Deny that surely applies closes it (specification: IAM). */
#include "tools/policy_lint.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tools/policy_doc.h"

#define ATT "kms:RecipientAttestation:"
#define ZEROS "000000000000000000000000000000000000000000000000"
#define MAX_STATEMENTS 512

/* What the request carries. FOREIGN: an attested image that no policy names. */
typedef enum state { NONE, DEBUG, FOREIGN } state;
typedef enum tri { NO, MAYBE, YES } tri;
typedef enum kind { KEY_POLICY, IAM_POLICY, TRUST_POLICY } kind;

typedef struct request {
    const char *action;
    state state;
} request;

typedef struct lint {
    cs_plint *out;
    json_t *list;
    kind kind;
} lint;

static const char *const rows[][3] = {
    {"root-delegation",
     "the account root may use the key, so any IAM policy of the account can decrypt without attestation",
     "remove the statement for the account root"},
    {"admin-all", "a principal has kms:* without attestation", "list the administrative actions it needs"},
    {"unconditioned-decrypt", "Decrypt or DeriveSharedSecret succeeds without attestation",
     "require " ATT "ImageSha384, and deny where it differs"},
    {"unconditioned-datakey", "a plaintext data key is given out without attestation", "require " ATT "ImageSha384"},
    {"create-grant", "a grant gives Decrypt without an attestation condition",
     "deny kms:CreateGrant; do not allow kms:Create*"},
    {"put-key-policy", "who uses the key may also rewrite its policy", "give PutKeyPolicy to another principal"},
    {"re-encrypt", "ReEncrypt moves a ciphertext to another key without attestation", "deny kms:ReEncrypt*"},
    {"debug-zero", "PCRs of zeros admit every debug enclave", "remove the value of zeros"},
    {"presence-only", "any attested image is admitted", "require the value of " ATT "ImageSha384"},
    {"pcr34-only", "only role or instance are bound: a debug enclave passes", "add " ATT "ImageSha384"},
    {"ifexists", "...IfExists holds when no attestation is attached", "use the operator without IfExists"},
    {"negated-allow", "a negated operator in an Allow holds when the key is missing", "use StringEqualsIgnoreCase"},
    {"unknown-condition-key", "this attestation condition key does not exist, so nothing binds the image",
     "use " ATT "ImageSha384 or PCR0..PCR31"},
    {"wildcard-principal", "every AWS account is admitted", "name the role"},
    {"not-action", "NotAction allows everything it does not list", "list the actions in Action"},
    {"iam-decrypt", "the IAM policy allows Decrypt without attestation", "add the attestation condition here too"},
    {"admin-may-change", "an administrator may change the policy", "watch PutKeyPolicy in CloudTrail"},
};

static void add(lint *l, size_t statement, const char *code, bool hole)
{
    cs_plint *o = l->out;

    for (size_t i = 0; i < o->num; i++) {
        if (o->found[i].statement == statement && strcmp(o->found[i].code, code) == 0) {
            return;
        }
    }
    o->holes += hole;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && o->num < CS_PLINT_MAX; i++) {
        if (strcmp(rows[i][0], code) == 0) {
            o->found[o->num++] = (cs_plint_finding){rows[i][0], rows[i][1], rows[i][2], hole, statement};
        }
    }
}

/* "*" and "?" as IAM has them; linear back-tracking to the last star only. */
static bool glob(const char *pattern, const char *text, bool ignore_case)
{
    const char *star = NULL, *mark = text;

    while (*text != '\0') {
        bool same = ignore_case ? strncasecmp(pattern, text, 1) == 0 : *pattern == *text;
        if (*pattern == '*') {
            star = pattern++;
            mark = text;
        } else if (*pattern != '\0' && (*pattern == '?' || same)) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++mark;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

static bool lists(const json_t *v, const char *text)
{
    const char *s;

    for (size_t i = 0; (s = cs_policy_item(v, i)) != NULL; i++) {
        if (glob(s, text, true)) {
            return true;
        }
    }
    return false;
}

static bool has_action(const json_t *st, const char *action)
{
    const json_t *not = json_object_get(st, "NotAction");

    return not != NULL ? !lists(not, action) : lists(json_object_get(st, "Action"), action);
}

static bool is(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

static bool is_attestation(const char *key)
{
    return strncasecmp(key, ATT, strlen(ATT)) == 0;
}

/* N of PCRn, 0 for ImageSha384, -1 when the key does not exist. */
static int pcr_of(const char *key)
{
    const char *name = key + strlen(ATT);
    char again[16];

    if (is(name, "ImageSha384")) {
        return 0;
    }
    for (int n = 0; n < 32; n++) {
        (void)snprintf(again, sizeof again, "PCR%d", n);
        if (is(name, again)) {
            return n;
        }
    }
    return -1;
}

/* The value of a key in a request: *out NULL and true is absent; false: cannot be known. */
static bool value_of(const char **out, const char *key, const request *r)
{
    bool grant = is(r->action, "kms:CreateGrant");

    *out = NULL;
    if (is_attestation(key)) {
        int n = pcr_of(key);
        if (r->state == NONE || n < 0) {
            return true;
        }
        *out = r->state == DEBUG ? ZEROS ZEROS : "foreign";
        return n <= 2 || n == 8;
    }
    if (is(key, "kms:GrantIsForAWSResource")) {
        *out = grant ? "false" : NULL;
        return true;
    }
    if (is(key, "kms:GrantOperations")) {
        *out = grant ? "Decrypt" : NULL;
        return true;
    }
    return false;
}

static bool compares(const char *op, const json_t *wanted, const char *have)
{
    bool like = strcasestr(op, "Like") != NULL || strncasecmp(op, "Arn", 3) == 0;
    bool fold = strcasestr(op, "IgnoreCase") != NULL || strncasecmp(op, "Bool", 4) == 0;
    const char *s;

    for (size_t i = 0; (s = cs_policy_item(wanted, i)) != NULL; i++) {
        if (like ? glob(s, have, false) : fold ? is(s, have) : strcmp(s, have) == 0) {
            return true;
        }
    }
    return false;
}

static tri one_condition(const char *op, const char *key, const json_t *wanted, const request *r)
{
    const char *have;
    bool known = value_of(&have, key, r), all = strncasecmp(op, "ForAllValues:", 13) == 0;
    bool any = strncasecmp(op, "ForAnyValue:", 12) == 0;

    op += all ? 13 : any ? 12 : 0;
    bool negated = strcasestr(op, "Not") != NULL;
    if (is(op, "Null")) {
        /* an attested request has every PCR, also those whose value cannot be known */
        if (!known && !is_attestation(key)) {
            return MAYBE;
        }
        return compares("Bool", wanted, known && have == NULL ? "true" : "false") ? YES : NO;
    }
    if (!known) {
        return MAYBE;
    }
    if (have == NULL) {
        bool if_exists = strlen(op) > 8 && is(op + strlen(op) - 8, "IfExists");
        return if_exists || all || (negated && !any) ? YES : NO;
    }
    if (strncasecmp(op, "String", 6) != 0 && strncasecmp(op, "Bool", 4) != 0 && strncasecmp(op, "Arn", 3) != 0) {
        return MAYBE;
    }
    return compares(op, wanted, have) != negated ? YES : NO;
}

static tri conditions(const json_t *st, const request *r)
{
    json_t *keys, *wanted;
    const char *op, *key;
    tri t, all = YES;

    json_object_foreach(json_object_get(st, "Condition"), op, keys)
    {
        json_object_foreach(keys, key, wanted)
        {
            t = one_condition(op, key, wanted, r);
            all = t < all ? t : all;
        }
    }
    return all;
}

static bool principal_covers(const json_t *deny, const char *who)
{
    const json_t *p = json_object_get(deny, "Principal"), *v;
    const char *s = json_string_value(p), *key;

    if (s != NULL) {
        return strcmp(s, "*") == 0;
    }
    json_object_foreach((json_t *)p, key, v)
    {
        for (size_t i = 0; (s = cs_policy_item(v, i)) != NULL; i++) {
            if (strcmp(s, who) == 0 || (is(key, "AWS") && strcmp(s, "*") == 0)) {
                return true;
            }
        }
    }
    return false;
}

static bool resource_covers(const lint *l, const json_t *deny, const json_t *allow)
{
    const json_t *d = json_object_get(deny, "Resource"), *a = json_object_get(allow, "Resource");
    const char *s;

    if (json_object_get(deny, "NotResource") != NULL) {
        return false;
    }
    if (l->kind != IAM_POLICY) {
        return true; /* of a key policy, the key itself */
    }
    for (size_t i = 0; (s = cs_policy_item(a, i)) != NULL; i++) {
        if (!lists(d, s)) {
            return false;
        }
    }
    return a != NULL || lists(d, "*");
}

static bool denied(const lint *l, const json_t *allow, const char *who, const request *r)
{
    json_t *st;
    size_t i;

    json_array_foreach(l->list, i, st)
    {
        if (strcmp(json_string_value(json_object_get(st, "Effect")), "Deny") == 0 && has_action(st, r->action) &&
            (l->kind == IAM_POLICY || principal_covers(st, who)) && resource_covers(l, st, allow) &&
            conditions(st, r) == YES) {
            return true;
        }
    }
    return false;
}

static bool allowed(const lint *l, const json_t *st, const char *who, const char *action, state s)
{
    const request r = {action, s};

    return has_action(st, action) && conditions(st, &r) != NO && !denied(l, st, who, &r);
}

/* Why an Allow with attestation conditions lets a request through that it should not. */
static void explain(lint *l, const json_t *st, size_t n, state s)
{
    bool image = false, parent = false, zero = false;
    const char *op, *key;
    json_t *keys, *v;

    json_object_foreach(json_object_get(st, "Condition"), op, keys)
    {
        json_object_foreach(keys, key, v)
        {
            int p = is_attestation(key) ? pcr_of(key) : -1;
            if (p < 0) {
                continue;
            }
            image = image || p <= 2 || p == 8;
            parent = parent || p == 3 || p == 4;
            zero = zero || ((p <= 2 || p == 8) && compares("StringEqualsIgnoreCase", v, ZEROS ZEROS) &&
                            strcasestr(op, "Not") == NULL && !is(op, "Null"));
            if (s == NONE && strcasestr(op, "IfExists") != NULL) {
                add(l, n, "ifexists", true);
            }
            if (s == NONE && strcasestr(op, "Not") != NULL) {
                add(l, n, "negated-allow", true);
            }
        }
    }
    if (s == DEBUG && zero) {
        add(l, n, "debug-zero", true);
    } else if (s != NONE && parent && !image) {
        add(l, n, "pcr34-only", true);
    } else if (s != NONE) {
        add(l, n, "presence-only", true);
    }
}

static void try_material(lint *l, const json_t *st, size_t n, const char *who)
{
    static const char *const actions[] = {"kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey",
                                          "kms:GenerateDataKeyPair"};

    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        state s = NONE;
        while (s <= FOREIGN && !allowed(l, st, who, actions[i], s)) {
            s++;
        }
        if (s > FOREIGN) {
            continue;
        }
        explain(l, st, n, s);
        if (s == NONE) {
            add(l, n,
                i >= 2                  ? "unconditioned-datakey"
                : l->kind == IAM_POLICY ? "iam-decrypt"
                                        : "unconditioned-decrypt",
                true);
        }
    }
}

static bool is_root(const char *who)
{
    const char *tail = strrchr(who, ':');

    return tail != NULL ? strcmp(tail, ":root") == 0 : strlen(who) == 12 && strspn(who, "0123456789") == 12;
}

/* A condition on something else than the attestation, e.g. the caller's account. */
static bool narrows(const json_t *st)
{
    const char *op, *key;
    json_t *keys, *v;

    json_object_foreach(json_object_get(st, "Condition"), op, keys)
    {
        json_object_foreach(keys, key, v)
        {
            if (!is_attestation(key)) {
                return true;
            }
        }
    }
    return false;
}

/* The same principal may use the key somewhere, attested or not. */
static bool uses_key(const lint *l, const char *who)
{
    json_t *st;
    size_t i;

    json_array_foreach(l->list, i, st)
    {
        if (strcmp(json_string_value(json_object_get(st, "Effect")), "Allow") == 0 && principal_covers(st, who) &&
            (has_action(st, "kms:Decrypt") || has_action(st, "kms:GenerateDataKey"))) {
            return true;
        }
    }
    return false;
}

static void try_allow(lint *l, const json_t *st, size_t n, const char *who)
{
    bool any = allowed(l, st, who, "kms:Decrypt", NONE);

    if (any && is_root(who)) {
        add(l, n, "root-delegation", true);
    }
    if (any && !is_root(who) && allowed(l, st, who, "kms:PutKeyPolicy", NONE) && has_action(st, "kms:AnyOther")) {
        add(l, n, "admin-all", true);
    }
    try_material(l, st, n, who);
    if (allowed(l, st, who, "kms:CreateGrant", NONE)) {
        add(l, n, "create-grant", true);
    }
    if (allowed(l, st, who, "kms:ReEncryptFrom", NONE)) {
        add(l, n, "re-encrypt", true);
    }
    if (allowed(l, st, who, "kms:PutKeyPolicy", NONE)) {
        bool hole = l->kind == IAM_POLICY ? has_action(st, "kms:Decrypt") : uses_key(l, who);
        add(l, n, hole ? "put-key-policy" : "admin-may-change", hole);
    }
    if (json_object_get(st, "NotAction") != NULL && any) {
        add(l, n, "not-action", true);
    }
    if (strcmp(who, "*") == 0 && l->kind != IAM_POLICY) {
        bool open = !narrows(st) && has_action(st, l->kind == TRUST_POLICY ? "sts:AssumeRole" : "kms:Decrypt");
        add(l, n, "wildcard-principal", open);
    }
}

static void unknown_keys(lint *l, const json_t *st, size_t n)
{
    const char *op, *key;
    json_t *keys, *v;

    json_object_foreach(json_object_get(st, "Condition"), op, keys)
    {
        json_object_foreach(keys, key, v)
        {
            if (is_attestation(key) && pcr_of(key) < 0 && strncasecmp(key + strlen(ATT), "NitroTPMPCR", 11) != 0) {
                add(l, n, "unknown-condition-key", true);
            }
        }
    }
}

static void check_statement(lint *l, const json_t *st, size_t n)
{
    const json_t *p = json_object_get(st, "Principal"), *v;
    const char *who, *key;

    if (strcmp(json_string_value(json_object_get(st, "Effect")), "Allow") != 0) {
        return;
    }
    unknown_keys(l, st, n);
    if (json_object_get(st, "NotPrincipal") != NULL || json_is_string(p)) {
        try_allow(l, st, n, "*");
    } else if (p == NULL) {
        try_allow(l, st, n, "");
    }
    json_object_foreach((json_t *)p, key, v)
    {
        for (size_t i = 0; (who = cs_policy_item(v, i)) != NULL; i++) {
            try_allow(l, st, n, who);
        }
    }
}

static cs_err run(lint *l)
{
    static const char *const names[] = {"key-policy", "iam-policy", "trust-policy"};
    bool principal = false, kms = false, sts = false;
    json_t *st;
    size_t i;

    json_array_foreach(l->list, i, st)
    {
        if (!cs_policy_statement_ok(st)) {
            return CS_E_FORMAT;
        }
        principal =
            principal || json_object_get(st, "Principal") != NULL || json_object_get(st, "NotPrincipal") != NULL;
        kms = kms || has_action(st, "kms:Decrypt");
        sts = sts || has_action(st, "sts:AssumeRole");
    }
    l->kind = !principal ? IAM_POLICY : sts && !kms ? TRUST_POLICY : KEY_POLICY;
    l->out->kind = names[l->kind];
    json_array_foreach(l->list, i, st)
    {
        check_statement(l, st, i + 1);
    }
    return CS_OK;
}

cs_err cs_policy_lint(cs_plint *out, cs_slice text)
{
    lint l = {.out = out};
    json_error_t e;
    cs_err err = CS_E_FORMAT;

    *out = (cs_plint){0};
    if (text.len > CS_POLICY_MAX) {
        return CS_E_TOO_LARGE;
    }
    json_t *doc = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, &e);
    json_t *list = json_object_get(doc, "Statement");
    l.list = json_is_object(list) ? json_pack("[O]", list) : json_incref(list);
    if (json_is_array(l.list) && json_array_size(l.list) > 0 && json_array_size(l.list) <= MAX_STATEMENTS) {
        err = run(&l);
    }
    json_decref(l.list);
    json_decref(doc);
    return err;
}
