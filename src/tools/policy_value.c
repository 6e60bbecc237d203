/* See policy_value.h. Source: IAM user guide, "Condition operators". */
#include "tools/policy_value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/aws/iam_value.h"

bool cs_policy_has_wildcard(const char *text)
{
    return strpbrk(text, "*?") != NULL;
}

/* A byte inside a character is no place for '?' to begin. */
static const char *next_char(const char *t)
{
    t++;
    while (((unsigned char)*t & 0xc0) == 0x80) {
        t++;
    }
    return t;
}

bool cs_policy_glob(const char *pattern, const char *text, bool fold_case)
{
    const char *star = NULL, *mark = text;

    while (*text != '\0') {
        bool same = fold_case ? strncasecmp(pattern, text, 1) == 0 : *pattern == *text;
        if (*pattern == '*') {
            star = pattern++;
            mark = text;
        } else if (*pattern == '?') {
            pattern++;
            text = next_char(text);
        } else if (*pattern != '\0' && same) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            mark = next_char(mark);
            text = mark;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

bool cs_policy_lists(const json_t *v, const char *text)
{
    const char *s;

    for (size_t i = 0; (s = cs_policy_item(v, i)) != NULL; i++) {
        if (cs_policy_glob(s, text, true)) {
            return true;
        }
    }
    return false;
}

static bool relate(cs_prel r, double got, double want)
{
    switch (r) {
    case CS_PR_LT:
        return got < want;
    case CS_PR_LE:
        return got <= want;
    case CS_PR_GT:
        return got > want;
    case CS_PR_GE:
        return got >= want;
    case CS_PR_EQ:
        break;
    }
    return got >= want && got <= want;
}

/* Six parts between colons, the last with the rest; a wildcard does not reach over a colon. */
static bool arn_matches(const char *want, const char *got)
{
    char pattern[512], text[2048];

    for (int part = 0; part < 6; part++) {
        size_t w = part < 5 ? strcspn(want, ":") : strlen(want), g = part < 5 ? strcspn(got, ":") : strlen(got);
        if (w >= sizeof pattern || g >= sizeof text || (part < 5 && (want[w] != ':' || got[g] != ':'))) {
            return false;
        }
        memcpy(pattern, want, w);
        pattern[w] = '\0';
        memcpy(text, got, g);
        text[g] = '\0';
        if (!cs_policy_glob(pattern, text, false)) {
            return false;
        }
        want += w + (part < 5 ? 1 : 0);
        got += g + (part < 5 ? 1 : 0);
    }
    return true;
}

static cs_tri tri(bool b)
{
    return b ? CS_YES : CS_NO;
}

cs_tri cs_policy_compares(const cs_pcond *c, const char *want, const char *got, bool variables)
{
    double a, b;

    if (c->match == CS_PM_UNKNOWN || (variables && strstr(want, "${") != NULL)) {
        return CS_MAYBE;
    }
    switch (c->match) {
    case CS_PM_LIKE:
        return tri(cs_policy_glob(want, got, false));
    case CS_PM_ARN:
        return tri(arn_matches(want, got) || strcmp(want, "*") == 0);
    case CS_PM_NUMBER:
        return tri(cs_iam_number(got, &a) && cs_iam_number(want, &b) && relate(c->relation, a, b));
    case CS_PM_DATE:
        return tri(cs_iam_date(got, &a) && cs_iam_date(want, &b) && relate(c->relation, a, b));
    case CS_PM_IP:
        return tri(cs_iam_ip_in(want, got));
    default:
        return tri(c->fold_case ? strcasecmp(want, got) == 0 : strcmp(want, got) == 0);
    }
}

/* One value of the request against all of the policy: OR. */
static cs_tri any_value(const cs_pcond *c, const char *got, bool variables)
{
    cs_tri best = CS_NO;
    const char *want;

    for (size_t i = 0; best != CS_YES && (want = cs_policy_item(c->values, i)) != NULL; i++) {
        cs_tri t = cs_policy_compares(c, want, got, variables);
        best = t > best ? t : best;
    }
    return best;
}

static cs_tri negate(cs_tri t, bool negated)
{
    return negated ? (cs_tri)(CS_YES - t) : t;
}

cs_tri cs_policy_holds(const cs_pcond *c, const char *const *got, size_t num, bool variables)
{
    bool every = c->set == CS_PS_ALL || (c->set == CS_PS_NONE && c->negated);
    cs_tri all = CS_YES, any = CS_NO;

    if (c->match == CS_PM_UNKNOWN) {
        return CS_MAYBE;
    }
    if (c->match == CS_PM_NULL) {
        return any_value(c, num == 0 ? "true" : "false", variables);
    }
    if (num == 0) {
        return tri(c->if_exists || c->set == CS_PS_ALL || (c->set == CS_PS_NONE && c->negated));
    }
    for (size_t i = 0; i < num; i++) {
        cs_tri t = negate(any_value(c, got[i], variables), c->negated);
        all = t < all ? t : all;
        any = t > any ? t : any;
    }
    return every ? all : any;
}

/* A text that a pattern matches: '*' becomes nothing, or digits up to the length of a PCR when it looks like one. */
static bool instance(char out[512], const char *pattern)
{
    size_t fixed = 0, n = 0;
    bool hex = true;

    for (const char *p = pattern; *p != '\0'; p++) {
        fixed += *p != '*';
        hex = hex && strchr("*?0123456789abcdef", *p) != NULL;
    }
    for (const char *p = pattern; *p != '\0'; p++) {
        size_t fill = *p != '*' ? 0 : hex && fixed < 96 ? 96 - fixed : 0;
        if (n + fill + 2 > 512) {
            return false;
        }
        if (*p == '*') {
            memset(out + n, 'e', fill);
            n += fill;
            fixed = 96;
        } else {
            out[n++] = *p == '?' ? 'e' : *p;
        }
    }
    out[n] = '\0';
    return true;
}

size_t cs_policy_samples(char out[3][512], const cs_pcond *c, const char *want)
{
    double v = 0;

    if (strlen(want) >= 480) {
        return 0;
    }
    switch (c->match) {
    case CS_PM_LIKE:
    case CS_PM_ARN:
        return instance(out[0], want) ? 1 : 0;
    case CS_PM_NUMBER:
        if (!cs_iam_number(want, &v) || fabs(v) > 1e15) {
            return 0;
        }
        (void)snprintf(out[0], 512, "%.15g", v);
        (void)snprintf(out[1], 512, "%.15g", v - 1);
        (void)snprintf(out[2], 512, "%.15g", v + 1);
        return 3;
    case CS_PM_DATE:
        if (!cs_iam_date(want, &v) || fabs(v) > 1e15) {
            return 0;
        }
        (void)snprintf(out[0], 512, "%.3f", v / 1000);
        (void)snprintf(out[1], 512, "%.3f", v / 1000 - 1);
        (void)snprintf(out[2], 512, "%.3f", v / 1000 + 1);
        return 3;
    case CS_PM_IP:
        (void)snprintf(out[0], 512, "%.*s", (int)strcspn(want, "/"), want);
        return 1;
    case CS_PM_NULL:
    case CS_PM_UNKNOWN:
        return 0;
    default:
        (void)snprintf(out[0], 512, "%s", want);
        return 1;
    }
}
