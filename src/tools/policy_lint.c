/* The policy linter: every Allow is tried with every question, caller and key. See policy_lint.h; codes: docs/guides/policies.md. */
#include "tools/policy_lint.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tools/policy_advice.h"
#include "tools/policy_value.h"

static const char *const hole_codes[] = {
    "root-delegation",
    "admin-all",
    "unconditioned-decrypt",
    "iam-decrypt",
    "unconditioned-datakey",
    "create-grant",
    "put-key-policy",
    "re-encrypt",
    "debug-zero",
    "presence-only",
    "unknown-condition-key",
    "wildcard-principal",
    "not-action",
};

typedef enum reason {
    ROOT_DELEGATION,
    ADMIN_ALL,
    DECRYPT,
    IAM_DECRYPT,
    DATA_KEY,
    GRANT,
    PUT_POLICY,
    RE_ENCRYPT,
    DEBUG_ZERO,
    DEBUG_PARENT,
    DEBUG_ANY,
    PRESENCE,
    UNKNOWN_KEY,
    WILDCARD,
    ANYBODY_ASSUMES,
    NOT_ACTION,
} reason;

#define ATT "kms:RecipientAttestation:"

static const char *const rows[][3] = {
    [ROOT_DELEGATION] =
        {"root-delegation",
         "the account root may use the key, so any IAM policy of the account can decrypt without attestation",
         "remove the statement for the account root, or deny use without attestation"},
    [ADMIN_ALL] = {"admin-all", "a principal has kms:* without attestation",
                   "list the administrative actions it needs"},
    [DECRYPT] = {"unconditioned-decrypt", "Decrypt or DeriveSharedSecret succeeds without attestation",
                 "require " ATT "ImageSha384, and deny where it differs"},
    [IAM_DECRYPT] = {"iam-decrypt", "the IAM policy allows Decrypt without attestation",
                     "remove it (the key policy names the role), or add the attestation condition here too"},
    [DATA_KEY] = {"unconditioned-datakey", "a plaintext data key is given out without attestation",
                  "require " ATT "ImageSha384, or allow GenerateDataKeyWithoutPlaintext only"},
    [GRANT] = {"create-grant", "a grant gives rights to key material without an attestation condition",
               "deny kms:CreateGrant; do not allow kms:Create*"},
    [PUT_POLICY] = {"put-key-policy", "who uses the key may also rewrite its policy",
                    "give PutKeyPolicy to another principal"},
    [RE_ENCRYPT] = {"re-encrypt", "ReEncrypt moves a ciphertext to another key without attestation",
                    "deny kms:ReEncrypt*"},
    [DEBUG_ZERO] = {"debug-zero", "a value of zeros is listed, which every debug enclave has",
                    "remove the value of zeros"},
    [DEBUG_PARENT] = {"debug-zero", "only role or instance (PCR3, PCR4) are bound: a debug enclave passes too",
                      "add " ATT "ImageSha384"},
    [DEBUG_ANY] = {"debug-zero", "no value of the image is asked for, so debug enclaves are admitted",
                   "require " ATT "ImageSha384"},
    [PRESENCE] = {"presence-only", "images that the policy does not name are admitted",
                  "require the value of " ATT "ImageSha384"},
    [UNKNOWN_KEY] = {"unknown-condition-key", "this condition key does not exist, so nothing binds the image",
                     "use " ATT "ImageSha384 or " ATT "PCR0 to PCR15"},
    [WILDCARD] = {"wildcard-principal", "every AWS account may use the key, with the image as an oracle",
                  "name the role"},
    [ANYBODY_ASSUMES] = {"wildcard-principal", "every AWS account may assume the role", "name who may assume it"},
    [NOT_ACTION] = {"not-action", "NotAction allows everything that it does not list", "list the actions in Action"},
};

static void add(cs_lint *l, size_t statement, reason r)
{
    cs_lint_add(l, statement, rows[r], true);
}

void cs_lint_add(cs_lint *l, size_t statement, const char *const row[3], bool hole)
{
    cs_plint *o = l->out;

    for (size_t i = 0; i < o->num; i++) {
        if (o->found[i].statement == statement && strcmp(o->found[i].code, row[0]) == 0) {
            return;
        }
    }
    o->holes += hole;
    if (o->num == CS_PLINT_MAX) {
        return;
    }
    cs_plint_finding *f = &o->found[o->num++];
    *f = (cs_plint_finding){.code = row[0], .cause = row[1], .fix = row[2], .hole = hole, .statement = statement};
    if (statement > 0) {
        (void)snprintf(f->sid, sizeof f->sid, "%s", l->doc->st[statement - 1].sid);
    }
}

bool cs_lint_may(const cs_lint_try *t, const char *action, cs_pstate state)
{
    const cs_prequest q = {t->who, action, t->resource, "Decrypt", state};

    return cs_psolve(&t->l->solver, t->st, &q);
}

static bool may_grant(const cs_lint_try *t)
{
    static const char *const ops[] = {"Decrypt", "GenerateDataKey", "GenerateDataKeyPair", "ReEncryptFrom",
                                      "DeriveSharedSecret"};

    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        const cs_prequest q = {t->who, "kms:CreateGrant", t->resource, ops[i], CS_ATTESTED_NOT};
        if (cs_psolve(&t->l->solver, t->st, &q)) {
            return true;
        }
    }
    return false;
}

const char *const cs_lint_material[CS_LINT_MATERIAL] = {"kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey",
                                                        "kms:GenerateDataKeyPair"};

/* How a debug enclave comes in. */
static reason debug_reason(const cs_pstatement *st)
{
    bool image = false, parent = false, zero = false;

    for (size_t i = 0; i < st->num_cond; i++) {
        const cs_pcond *c = &st->cond[i];
        int n = cs_pkey_pcr(c->key);
        bool of_image = (n >= 0 && n <= 2) || n == 8;
        image = image || of_image;
        parent = parent || n == 3 || n == 4;
        zero =
            zero || (of_image && !c->negated && c->match == CS_PM_EQUAL && cs_policy_lists(c->values, CS_LINT_ZEROS));
    }
    return zero ? DEBUG_ZERO : parent && !image ? DEBUG_PARENT : DEBUG_ANY;
}

/* Use of key material by this caller through this statement. */
static void try_material(const cs_lint_try *t)
{
    cs_lint *l = t->l;

    for (size_t i = 0; i < CS_LINT_MATERIAL; i++) {
        const char *action = cs_lint_material[i];
        if (!cs_psolve_covers(t->st, action, t->resource)) {
            continue;
        }
        if (cs_lint_may(t, action, CS_ATTESTED_NOT)) {
            add(l, t->n, i >= 2 ? DATA_KEY : l->kind == CS_LINT_IAM ? IAM_DECRYPT : DECRYPT);
            l->out->possible |= i >= 2 ? CS_PMAY_DATA_KEY : CS_PMAY_DECRYPT;
            cs_lint_hint_unattested(l, t->n);
            continue;
        }
        if (cs_lint_may(t, action, CS_ATTESTED_DEBUG)) {
            add(l, t->n, debug_reason(t->st));
            l->out->possible |= CS_PMAY_DEBUG;
        }
        if (cs_lint_may(t, action, CS_ATTESTED_OTHER)) {
            add(l, t->n, PRESENCE);
            l->out->possible |= CS_PMAY_OTHER_IMAGE;
        }
    }
}

bool cs_lint_uses_key(const cs_lint_try *t)
{
    cs_lint_try other = *t;

    for (size_t i = 0; i < t->l->doc->num; i++) {
        other.st = &t->l->doc->st[i];
        /* whoever is named elsewhere, as an administrator is, does not use the key because his account may */
        if (cs_pwho_named(other.st, t->who) == CS_NAMED_ACCOUNT && t->who->kind != CS_WHO_ROOT && !t->who->unnamed) {
            continue;
        }
        for (size_t k = 0; k < CS_LINT_MATERIAL; k++) {
            if (cs_lint_may(&other, cs_lint_material[k], CS_ATTESTED_NOT) ||
                cs_lint_may(&other, cs_lint_material[k], CS_ATTESTED_ANY)) {
                return true;
            }
        }
    }
    return false;
}

static void try_ways_round(const cs_lint_try *t)
{
    cs_lint *l = t->l;

    if (may_grant(t)) {
        add(l, t->n, GRANT);
        l->out->possible |= CS_PMAY_GRANT;
    }
    if (cs_lint_may(t, "kms:ReEncryptFrom", CS_ATTESTED_NOT)) {
        add(l, t->n, RE_ENCRYPT);
        l->out->possible |= CS_PMAY_REENCRYPT;
    }
    if (cs_lint_may(t, "kms:PutKeyPolicy", CS_ATTESTED_NOT)) {
        l->changeable = true;
        if (cs_lint_uses_key(t)) {
            add(l, t->n, PUT_POLICY);
        } else {
            cs_lint_advise(l, t->n, CS_ADVICE_ADMIN);
        }
    }
}

static void try_whom(const cs_lint_try *t)
{
    bool open = cs_lint_may(t, "kms:Decrypt", CS_ATTESTED_NOT),
         all = cs_psolve_covers(t->st, "kms:AnyOther", t->resource);
    bool account = t->who->kind == CS_WHO_ROOT || cs_pwho_named(t->st, t->who) == CS_NAMED_ACCOUNT;

    if (open && account) {
        add(t->l, t->n, ROOT_DELEGATION);
    }
    if (open && !account && all && cs_lint_may(t, "kms:PutKeyPolicy", CS_ATTESTED_NOT)) {
        add(t->l, t->n, ADMIN_ALL);
    }
    if (open && json_object_get(t->st->json, "NotAction") != NULL) {
        add(t->l, t->n, NOT_ACTION);
    }
    for (size_t i = 0; t->who->foreign && cs_pwho_named(t->st, t->who) == CS_NAMED_DIRECT && i < CS_LINT_MATERIAL;
         i++) {
        if (cs_lint_may(t, cs_lint_material[i], CS_ATTESTED_NOT) ||
            cs_lint_may(t, cs_lint_material[i], CS_ATTESTED_ANY)) {
            add(t->l, t->n, WILDCARD);
        }
    }
}

/* A key that does not exist, where no other condition of the statement binds the image. */
static void try_keys(cs_lint *l, const cs_pstatement *st, size_t n)
{
    bool bound = false, unknown = false, material = false;

    for (size_t i = 0; i < st->num_cond; i++) {
        int p = cs_pkey_pcr(st->cond[i].key);
        bound =
            bound || (p >= 0 && p != 3 && p != 4 && p < 16 && !st->cond[i].negated && st->cond[i].match != CS_PM_NULL);
        unknown = unknown || p == CS_PKEY_UNKNOWN || !cs_pkey_exists(st->cond[i].key);
    }
    for (size_t i = 0; i < CS_LINT_MATERIAL; i++) {
        for (size_t k = 0; k < json_array_size(l->keys); k++) {
            material =
                material || cs_psolve_covers(st, cs_lint_material[i], json_string_value(json_array_get(l->keys, k)));
        }
    }
    if (unknown && material && !bound) {
        add(l, n, UNKNOWN_KEY);
    }
}

#define ENOUGH 32 /* callers, once nothing more is tried and everything counts as possible */

static void check_allow(cs_lint *l, const cs_pstatement *st, size_t n)
{
    cs_lint_try t = {.l = l, .st = st, .n = n};

    if (l->kind != CS_LINT_TRUST) {
        try_keys(l, st, n);
    }
    for (size_t w = 0, tried = 0; w < l->whos.num && !(l->solver.exhausted && tried > ENOUGH); w++) {
        t.who = &l->whos.who[w];
        if (cs_pwho_named(st, t.who) == CS_NAMED_NO) {
            continue;
        }
        tried++;
        if (l->kind == CS_LINT_TRUST) {
            if (t.who->foreign && cs_lint_may(&t, "sts:AssumeRole", CS_ATTESTED_NOT)) {
                add(l, n, ANYBODY_ASSUMES);
            }
            continue;
        }
        for (size_t k = 0; k < json_array_size(l->keys) && !(l->solver.exhausted && k > ENOUGH); k++) {
            t.resource = json_string_value(json_array_get(l->keys, k));
            try_whom(&t);
            try_material(&t);
            try_ways_round(&t);
            cs_lint_advise_use(&t);
        }
    }
}

/* Does a statement name an action of this service? */
static bool names_service(const json_t *st, const char *prefix)
{
    static const char *const lists[] = {"Action", "NotAction"};
    const char *s;

    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; (s = cs_policy_item(json_object_get(st, lists[k]), i)) != NULL; i++) {
            if (strncasecmp(s, prefix, strlen(prefix)) == 0) {
                return true;
            }
        }
    }
    return false;
}

static cs_lint_kind kind_of(const cs_pdoc *d)
{
    bool principal = false, kms = false, sts = false;

    for (size_t i = 0; i < d->num; i++) {
        const json_t *st = d->st[i].json;
        principal =
            principal || json_object_get(st, "Principal") != NULL || json_object_get(st, "NotPrincipal") != NULL;
        kms = kms || names_service(st, "kms:");
        sts = sts || names_service(st, "sts:");
    }
    return !principal ? CS_LINT_IAM : sts && !kms ? CS_LINT_TRUST : CS_LINT_KEY;
}

static cs_err run(cs_lint *l)
{
    static const char *const names[] = {"key-policy", "iam-policy", "trust-policy"};

    l->kind = kind_of(l->doc);
    l->out->kind = names[l->kind];
    l->solver = (cs_psolver){.doc = l->doc, .iam = l->kind == CS_LINT_IAM};
    CS_TRY(cs_pwhos_collect(&l->whos, l->doc, l->kind == CS_LINT_IAM));
    CS_TRY(cs_lint_keys(l));
    for (size_t i = 0; i < l->doc->num; i++) {
        cs_lint_advise_statement(l, &l->doc->st[i], i + 1);
        if (!l->doc->st[i].deny) {
            check_allow(l, &l->doc->st[i], i + 1);
        }
    }
    cs_lint_advise_document(l);
    return CS_OK;
}

cs_err cs_policy_lint(cs_plint *out, cs_slice text)
{
    static cs_pdoc doc;
    cs_lint l = {.out = out, .doc = &doc};
    cs_err err;

    memset(out, 0, sizeof *out);
    if (text.len > CS_POLICY_MAX) {
        return CS_E_TOO_LARGE;
    }
    err = cs_pdoc_read(&doc, text);
    if (err == CS_OK) {
        err = run(&l);
    }
    cs_pwhos_free(&l.whos);
    json_decref(l.keys);
    cs_pdoc_close(&doc);
    if (err != CS_OK) {
        memset(out, 0, sizeof *out);
        (void)snprintf(out->why, sizeof out->why, "%s", doc.why);
    }
    return err;
}

size_t cs_plint_codes(const char *out[CS_PLINT_CODES], const cs_plint *l)
{
    size_t n = 0;

    for (size_t c = 0; c < sizeof hole_codes / sizeof hole_codes[0]; c++) {
        for (size_t i = 0; i < l->num; i++) {
            if (l->found[i].hole && strcmp(l->found[i].code, hole_codes[c]) == 0) {
                out[n++] = hole_codes[c];
                break;
            }
        }
    }
    return n;
}
