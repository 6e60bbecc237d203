/* See policy_who.h. Source: IAM user guide, "AWS JSON policy elements: Principal", "NotPrincipal". */
#include "tools/policy_who.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/policy_value.h"

/* Text in the keeping of w. */
static const char *keep(cs_pwhos *w, json_t *text_take)
{
    const char *s = json_string_value(text_take);

    if (s == NULL || json_array_append_new(w->texts, text_take) != 0) {
        w->failed = true;
        return "";
    }
    return s;
}

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void add(cs_pwhos *w, cs_pwho who)
{
    for (size_t i = 0; i < w->num; i++) {
        const cs_pwho *o = &w->who[i];
        if (o->kind == who.kind && same(o->arn, who.arn) && same(o->session, who.session) &&
            same(o->account, who.account) && same(o->type, who.type)) {
            return;
        }
    }
    if (w->num == w->cap) {
        size_t cap = w->cap == 0 ? 32 : w->cap * 2;
        cs_pwho *bigger = realloc(w->who, cap * sizeof *bigger);
        if (bigger == NULL) {
            w->failed = true;
            return;
        }
        w->who = bigger;
        w->cap = cap;
    }
    w->who[w->num++] = who;
}

/* Part n (from 0) of an ARN; *len its length. The last part is the rest. */
static const char *part(const char *arn, int n, size_t *len)
{
    for (; n > 0; n--) {
        arn = strchr(arn, ':');
        if (arn == NULL) {
            *len = 0;
            return "";
        }
        arn++;
    }
    *len = strcspn(arn, ":");
    return arn;
}

static bool is_account(const char *text)
{
    return strlen(text) == 12 && strspn(text, "0123456789") == 12;
}

/* The account that a principal text stands for as a whole, or NULL. */
static const char *whole_account(cs_pwhos *w, const char *text)
{
    size_t n, rest;
    const char *account = part(text, 4, &n), *name = part(text, 5, &rest);

    if (is_account(text)) {
        return text;
    }
    return strncmp(text, "arn:", 4) == 0 && strcmp(name, "root") == 0 && n > 0
               ? keep(w, json_sprintf("%.*s", (int)n, account))
               : NULL;
}

/* The account's root user, and a role that nobody named. */
static void add_account(cs_pwhos *w, const char *account, const char *like)
{
    size_t n = 3;
    const char *partition = strncmp(like, "arn:", 4) == 0 ? part(like, 1, &n) : "aws";

    add(w, (cs_pwho){.kind = CS_WHO_ROOT,
                     .arn = keep(w, json_sprintf("arn:%.*s:iam::%s:root", (int)n, partition, account)),
                     .account = account,
                     .type = "AWS"});
    add(w, (cs_pwho){.kind = CS_WHO_ROLE,
                     .arn = keep(w, json_sprintf("arn:%.*s:iam::%s:role/not-named", (int)n, partition, account)),
                     .account = account,
                     .type = "AWS",
                     .unnamed = true});
}

/* arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION is a session of arn:aws:iam::ACCOUNT:role/NAME. */
static void add_session(cs_pwhos *w, const char *arn, const char *account, const char *name)
{
    size_t n;
    const char *partition = part(arn, 1, &n);

    add(w, (cs_pwho){.kind = CS_WHO_ROLE,
                     .arn = keep(w, json_sprintf("arn:%.*s:iam::%s:role/%.*s", (int)n, partition, account,
                                                 (int)strcspn(name, "/"), name)),
                     .session = arn,
                     .account = account,
                     .type = "AWS"});
}

static void add_aws(cs_pwhos *w, const char *text)
{
    const char *account = whole_account(w, text);
    size_t n, len;

    if (account != NULL) {
        add_account(w, account, text);
        return;
    }
    if (strcmp(text, "*") == 0) {
        return; /* everybody else is in the list anyway */
    }
    const char *p = part(text, 4, &n), *name = part(text, 5, &len);
    account = keep(w, json_sprintf("%.*s", (int)n, p));
    if (account[0] != '\0') {
        add_account(w, account, text);
    }
    if (strncmp(name, "assumed-role/", 13) == 0) {
        add_session(w, text, account, name + 13);
        return;
    }
    add(w, (cs_pwho){.kind = strncmp(name, "role/", 5) == 0 ? CS_WHO_ROLE : CS_WHO_USER,
                     .arn = text,
                     .account = account,
                     .type = "AWS"});
}

static void add_named(cs_pwhos *w, const json_t *p)
{
    const char *type, *s;
    const json_t *v;

    if (json_is_string(p)) {
        add_aws(w, json_string_value(p));
    }
    json_object_foreach((json_t *)p, type, v)
    {
        for (size_t i = 0; (s = cs_policy_item(v, i)) != NULL; i++) {
            if (strcmp(type, "AWS") == 0) {
                add_aws(w, s);
            } else {
                add(w, (cs_pwho){.kind = strcmp(type, "Service") == 0 ? CS_WHO_SERVICE : CS_WHO_OTHER,
                                 .arn = s,
                                 .account = "",
                                 .type = type});
            }
        }
    }
}

/* Whom conditions let in: callers by ARN, and the principals of accounts. */
static void add_conditions(cs_pwhos *w, const cs_pstatement *st)
{
    char sample[3][512];
    const char *want;

    for (size_t i = 0; i < st->num_cond; i++) {
        const cs_pcond *c = &st->cond[i];
        bool arn = strcasecmp(c->key, "aws:PrincipalArn") == 0;
        bool account = strcasecmp(c->key, "kms:CallerAccount") == 0 || strcasecmp(c->key, "aws:PrincipalAccount") == 0;
        for (size_t k = 0; (arn || account) && (want = cs_policy_item(c->values, k)) != NULL; k++) {
            bool none = strspn(want, "*") == strlen(want) || cs_policy_samples(sample, c, want) == 0;
            if (none || cs_policy_has_wildcard(sample[0])) {
                continue; /* everybody, who is there anyway; or nobody, whose name has a star */
            }
            if (arn && strncmp(want, "arn:", 4) == 0) {
                add_aws(w, keep(w, json_string(sample[0])));
            } else if (account) {
                add_account(w, keep(w, json_string(sample[0])), "");
            }
        }
    }
}

/* A role of an account that is not named. */
static void add_foreign(cs_pwhos *w)
{
    char account[13];
    bool used = true;

    for (unsigned k = 1; used; k++) {
        (void)snprintf(account, sizeof account, "%012u", k);
        used = false;
        for (size_t i = 0; i < w->num; i++) {
            used = used || strcmp(w->who[i].account, account) == 0;
        }
    }
    add(w, (cs_pwho){.kind = CS_WHO_ROLE,
                     .arn = keep(w, json_sprintf("arn:aws:iam::%s:role/not-named", account)),
                     .account = keep(w, json_string(account)),
                     .type = "AWS",
                     .foreign = true});
}

cs_err cs_pwhos_collect(cs_pwhos *out, const cs_pdoc *d, bool iam)
{
    *out = (cs_pwhos){.texts = json_array()};
    if (out->texts == NULL) {
        return CS_E_NO_MEMORY;
    }
    if (iam) {
        add(out, (cs_pwho){.kind = CS_WHO_HOLDER, .account = "", .type = "AWS"});
        return out->failed ? CS_E_NO_MEMORY : CS_OK;
    }
    for (size_t i = 0; i < d->num; i++) {
        add_named(out, json_object_get(d->st[i].json, "Principal"));
        add_named(out, json_object_get(d->st[i].json, "NotPrincipal"));
        add_conditions(out, &d->st[i]);
    }
    add_foreign(out);
    return out->failed ? CS_E_NO_MEMORY : CS_OK;
}

void cs_pwhos_free(cs_pwhos *w)
{
    free(w->who);
    json_decref(w->texts);
    *w = (cs_pwhos){0};
}

static cs_pnamed names_one(const char *want, const cs_pwho *who)
{
    size_t n, rest, len = strlen(who->account);
    const char *account = part(want, 4, &n), *name = part(want, 5, &rest);

    if (strcmp(want, "*") == 0 || same(want, who->arn) || same(want, who->session)) {
        return CS_NAMED_DIRECT;
    }
    if (len == 0) {
        return CS_NAMED_NO;
    }
    bool whole = strcmp(want, who->account) == 0 || (strncmp(want, "arn:", 4) == 0 && strcmp(name, "root") == 0 &&
                                                     n == len && memcmp(account, who->account, n) == 0);
    return whole ? CS_NAMED_ACCOUNT : CS_NAMED_NO;
}

static cs_pnamed names_list(const json_t *p, const cs_pwho *who)
{
    cs_pnamed best = CS_NAMED_NO;
    const json_t *v = json_is_string(p) ? p : json_object_get(p, who->type);
    const char *s;

    for (size_t i = 0; (s = cs_policy_item(v, i)) != NULL; i++) {
        cs_pnamed m = names_one(s, who);
        best = m > best ? m : best;
    }
    v = json_object_get(p, "AWS"); /* {"AWS": "*"} is "*" */
    for (size_t i = 0; (s = cs_policy_item(v, i)) != NULL; i++) {
        best = strcmp(s, "*") == 0 ? CS_NAMED_DIRECT : best;
    }
    return best;
}

cs_pnamed cs_pwho_named(const cs_pstatement *st, const cs_pwho *who)
{
    const json_t *p = json_object_get(st->json, "Principal"), *np = json_object_get(st->json, "NotPrincipal");

    if (who->kind == CS_WHO_HOLDER) {
        return CS_NAMED_DIRECT;
    }
    if (p != NULL) {
        return names_list(p, who);
    }
    if (np != NULL) {
        return names_list(np, who) == CS_NAMED_DIRECT ? CS_NAMED_NO : CS_NAMED_DIRECT;
    }
    /* a resource policy's statement without principal is refused by KMS: here an Allow may do harm, a Deny does not help */
    return st->deny ? CS_NAMED_NO : CS_NAMED_DIRECT;
}
