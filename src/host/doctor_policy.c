/* See doctor_policy.h. */
#include "host/doctor_policy.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "codec/json.h"

#define PREFIX "kms:RecipientAttestation:"

typedef struct reading {
    cs_doctor_policy *out;
    size_t first; /* rule of this statement */
    bool deny, effect;
} reading;

/* ---------------------------------------------------------------- the document */

/* Which PCR a condition key names; false: it is about something else. */
static bool pcr_of_key(uint8_t *out, cs_slice key)
{
    const size_t n = sizeof PREFIX - 1;
    uint64_t index = 0;

    if (key.len <= n || strncasecmp((const char *)key.p, PREFIX, n) != 0) {
        return false;
    }
    cs_slice rest = cs_slice_of(key.p + n, key.len - n);
    if (rest.len == 11 && strncasecmp((const char *)rest.p, "ImageSha384", 11) == 0) {
        *out = 0;
        return true;
    }
    if (rest.len < 4 || strncasecmp((const char *)rest.p, "PCR", 3) != 0 ||
        cs_parse_u64(cs_slice_of(rest.p + 3, rest.len - 3), 31, &index) != CS_OK) {
        return false;
    }
    *out = (uint8_t)index;
    return true;
}

/* StringNotEquals, StringNotLike and so on, also behind ForAllValues: and ForAnyValue: */
static bool negated(cs_slice operator)
{
    for (size_t i = 0; i + 3 <= operator.len; i++) {
        if (strncasecmp((const char *)operator.p + i, "Not", 3) == 0) {
            return true;
        }
    }
    return false;
}

static cs_err add_value(reading *r, uint8_t pcr, bool neg, cs_slice value)
{
    cs_doctor_policy *p = r->out;
    cs_doctor_rule rule = {.statement = p->num_statements, .negated = neg, .pcr = pcr};

    if (p->num_rules == CS_DOCTOR_RULES) {
        return CS_E_TOO_LARGE;
    }
    rule.readable = cs_hex_decode(rule.value.b, CS_PCR_LEN, value) == CS_OK;
    p->rule[p->num_rules++] = rule;
    return CS_OK;
}

/* A text or a list of texts. */
static cs_err values(cs_json *j, reading *r, uint8_t pcr, bool neg)
{
    cs_slice value;
    bool plain;

    if (cs_json_peek(j) != CS_JSON_ARRAY) {
        CS_TRY(cs_json_string(j, &value, &plain));
        return add_value(r, pcr, neg, value);
    }
    CS_TRY(cs_json_char(j, '['));
    if (cs_json_try(j, ']')) {
        return CS_OK;
    }
    do {
        CS_TRY(cs_json_string(j, &value, &plain));
        CS_TRY(add_value(r, pcr, neg, value));
    } while (cs_json_try(j, ','));
    return cs_json_char(j, ']');
}

/* A member's name; the value is next. */
static cs_err name(cs_json *j, cs_slice *out)
{
    bool plain;

    CS_TRY(cs_json_string(j, out, &plain));
    return cs_json_char(j, ':');
}

/* {"key": value, ...} of one operator */
static cs_err operator_keys(cs_json *j, reading *r, bool neg)
{
    cs_slice key;
    uint8_t pcr;

    CS_TRY(cs_json_char(j, '{'));
    if (cs_json_try(j, '}')) {
        return CS_OK;
    }
    do {
        CS_TRY(name(j, &key));
        CS_TRY(pcr_of_key(&pcr, key) ? values(j, r, pcr, neg) : cs_json_skip(j));
    } while (cs_json_try(j, ','));
    return cs_json_char(j, '}');
}

static cs_err condition(cs_json *j, reading *r)
{
    cs_slice op;

    CS_TRY(cs_json_char(j, '{'));
    if (cs_json_try(j, '}')) {
        return CS_OK;
    }
    do {
        CS_TRY(name(j, &op));
        CS_TRY(operator_keys(j, r, negated(op)));
    } while (cs_json_try(j, ','));
    return cs_json_char(j, '}');
}

static cs_err member(cs_json *j, reading *r)
{
    cs_slice key, value;
    bool plain;

    CS_TRY(name(j, &key));
    if (cs_slice_eq_str(key, "Condition")) {
        return condition(j, r);
    }
    if (!cs_slice_eq_str(key, "Effect")) {
        return cs_json_skip(j);
    }
    CS_TRY(cs_json_string(j, &value, &plain));
    r->deny = cs_slice_eq_str(value, "Deny");
    r->effect = true;
    return r->deny || cs_slice_eq_str(value, "Allow") ? CS_OK : CS_E_FORMAT;
}

/* The effect may stand behind the condition: it is put into the rules at the end. */
static cs_err statement(cs_json *j, reading *r)
{
    r->first = r->out->num_rules;
    r->effect = false;
    r->out->num_statements++;
    CS_TRY(cs_json_char(j, '{'));
    do {
        CS_TRY(member(j, r));
    } while (cs_json_try(j, ','));
    CS_TRY(cs_json_char(j, '}'));
    for (size_t i = r->first; i < r->out->num_rules; i++) {
        r->out->rule[i].deny = r->deny;
    }
    return r->effect ? CS_OK : CS_E_FORMAT;
}

static cs_err statements(cs_json *j, reading *r)
{
    if (cs_json_peek(j) == CS_JSON_OBJECT) {
        return statement(j, r);
    }
    CS_TRY(cs_json_char(j, '['));
    if (cs_json_try(j, ']')) {
        return CS_OK;
    }
    do {
        CS_TRY(statement(j, r));
    } while (cs_json_try(j, ','));
    return cs_json_char(j, ']');
}

cs_err cs_doctor_policy_parse(cs_doctor_policy *out, cs_slice json)
{
    cs_json j = cs_json_of(json);
    reading r = {.out = out};
    cs_slice key;
    bool seen = false;

    out->num_rules = 0;
    out->num_statements = 0;
    if (json.len > CS_DOCTOR_POLICY_MAX) {
        return CS_E_TOO_LARGE;
    }
    CS_TRY(cs_json_char(&j, '{'));
    do {
        CS_TRY(name(&j, &key));
        bool ours = cs_slice_eq_str(key, "Statement");
        if (ours && seen) {
            return CS_E_FORMAT;
        }
        seen = seen || ours;
        CS_TRY(ours ? statements(&j, &r) : cs_json_skip(&j));
    } while (cs_json_try(&j, ','));
    CS_TRY(cs_json_char(&j, '}'));
    CS_TRY(cs_json_end(&j));
    return seen ? CS_OK : CS_E_FORMAT;
}

/* ---------------------------------------------------------------- the comparison */

/* What one statement says: bits of PCRs that it names, and of those none of whose values is the image's. */
typedef struct tally {
    unsigned named, equal;
    bool zero;
} tally;

static tally tally_of(const cs_doctor_policy *p, unsigned number, bool deny, const cs_doctor_pcrs *image)
{
    tally t = {0};

    for (size_t i = 0; i < p->num_rules; i++) {
        const cs_doctor_rule *r = &p->rule[i];
        /* an Allow names what it wants, a Deny what it makes an exception of */
        if (r->statement != number || r->deny != deny || r->negated != deny) {
            continue;
        }
        t.zero = t.zero || (r->pcr <= 2 && r->readable && cs_pcr_is_zero(&r->value));
        if (r->pcr >= CS_DOCTOR_PCRS || (image->known >> r->pcr & 1) == 0) {
            continue;
        }
        t.named |= 1u << r->pcr;
        if (r->readable && memcmp(r->value.b, image->pcr[r->pcr].b, CS_PCR_LEN) == 0) {
            t.equal |= 1u << r->pcr;
        }
    }
    return t;
}

static bool nearer(const tally *t, const cs_doctor_match *m)
{
    return m->nearest == 0 || __builtin_popcount(t->named & ~t->equal) < __builtin_popcount(m->differ);
}

void cs_doctor_policy_match(cs_doctor_match *out, const cs_doctor_policy *p, const cs_doctor_pcrs *image)
{
    cs_doctor_match m = {0};

    for (unsigned s = 1; s <= p->num_statements; s++) {
        tally t = tally_of(p, s, false, image);
        if (t.named != 0) {
            m.num_allow++;
            if (nearer(&t, &m)) {
                m.nearest = s;
                m.named = t.named;
                m.differ = t.named & ~t.equal;
            }
        }
        m.zero = t.zero && m.zero == 0 ? s : m.zero;
        t = tally_of(p, s, true, image);
        /* the keys of one operator hold together: the Deny strikes when none of them has this image's value */
        m.denied_by = t.named != 0 && t.equal == 0 && m.denied_by == 0 ? s : m.denied_by;
    }
    m.allowed_by = m.nearest != 0 && m.differ == 0 ? m.nearest : 0;
    *out = m;
}
