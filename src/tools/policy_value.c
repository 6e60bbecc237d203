/* See policy_value.h. Source: IAM user guide, "Condition operators". */
#include "tools/policy_value.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

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

static bool parse_number(const char *text, double *out)
{
    char *end = NULL;

    if (text[0] == '\0' || strspn(text, "0123456789.+-eE") != strlen(text)) {
        return false;
    }
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

/* A date, date and time, or seconds since 1970; in milliseconds. */
static bool parse_date(const char *text, double *out)
{
    uint64_t ms = 0;
    char full[64];
    size_t n = strlen(text);

    if (n == 10 && text[4] == '-') {
        (void)snprintf(full, sizeof full, "%sT00:00:00Z", text);
    } else if (n == 17 && text[16] == 'Z') {
        (void)snprintf(full, sizeof full, "%.16s:00Z", text);
    } else {
        (void)snprintf(full, sizeof full, "%.60s", text);
    }
    if (cs_parse_rfc3339(cs_slice_str(full), &ms) == CS_OK) {
        *out = (double)ms;
        return true;
    }
    if (!parse_number(text, out)) {
        return false;
    }
    *out *= 1000;
    return true;
}

typedef struct ip_range {
    uint8_t addr[16];
    unsigned len, bits; /* len: 4 or 16 */
} ip_range;

static bool parse_ip(const char *text, ip_range *out)
{
    char addr[64];
    uint64_t bits = 0;
    size_t n = strcspn(text, "/");

    if (n >= sizeof addr) {
        return false;
    }
    memcpy(addr, text, n);
    addr[n] = '\0';
    out->len = strchr(addr, ':') != NULL ? 16 : 4;
    out->bits = out->len * 8;
    if (inet_pton(out->len == 16 ? AF_INET6 : AF_INET, addr, out->addr) != 1) {
        return false;
    }
    if (text[n] == '/') {
        if (cs_parse_u64(cs_slice_str(text + n + 1), out->bits, &bits) != CS_OK) {
            return false;
        }
        out->bits = (unsigned)bits;
    }
    return true;
}

static bool ip_in(const char *want, const char *got)
{
    ip_range net, a;

    if (!parse_ip(want, &net) || !parse_ip(got, &a) || net.len != a.len || a.bits != a.len * 8) {
        return false;
    }
    for (unsigned i = 0; i < net.bits; i++) {
        if (((net.addr[i / 8] ^ a.addr[i / 8]) >> (7 - i % 8)) & 1) {
            return false;
        }
    }
    return true;
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
        return tri(parse_number(got, &a) && parse_number(want, &b) && relate(c->relation, a, b));
    case CS_PM_DATE:
        return tri(parse_date(got, &a) && parse_date(want, &b) && relate(c->relation, a, b));
    case CS_PM_IP:
        return tri(ip_in(want, got));
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
        if (!parse_number(want, &v) || fabs(v) > 1e15) {
            return 0;
        }
        (void)snprintf(out[0], 512, "%.15g", v);
        (void)snprintf(out[1], 512, "%.15g", v - 1);
        (void)snprintf(out[2], 512, "%.15g", v + 1);
        return 3;
    case CS_PM_DATE:
        if (!parse_date(want, &v) || fabs(v) > 1e15) {
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
