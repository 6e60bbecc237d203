/* PCR policy, see policy.h. */
#include "attest/policy.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/text.h"

cs_err cs_att_tuple_set(cs_att_tuple *t, uint64_t index, cs_slice value)
{
    cs_reader r = cs_reader_of(value);
    cs_pcr pcr;

    if (index >= CS_ATT_NUM_PCRS) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_read_bytes(&r, pcr.b, sizeof pcr.b));
    CS_TRY(cs_read_end(&r));
    if (cs_pcr_is_zero(&pcr)) {
        return CS_E_RANGE;
    }
    if ((t->mask >> index & 1) != 0) {
        return CS_E_EXISTS;
    }
    t->mask |= (uint32_t)1 << index;
    t->pcr[index] = pcr;
    return CS_OK;
}

cs_err cs_att_tuple_set_text(cs_att_tuple *t, cs_slice text)
{
    cs_pcr pcr;
    uint64_t index = 0;
    size_t eq = 0;

    while (eq < text.len && text.p[eq] != '=') {
        eq++;
    }
    if (eq == text.len) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_parse_u64(cs_slice_of(text.p, eq), CS_ATT_NUM_PCRS - 1, &index));
    CS_TRY(cs_hex_decode(pcr.b, sizeof pcr.b, cs_slice_of(text.p + eq + 1, text.len - eq - 1)));
    return cs_att_tuple_set(t, index, cs_slice_of(pcr.b, sizeof pcr.b));
}

static bool starts_with(cs_slice s, const char *prefix)
{
    const size_t len = strlen(prefix);

    return s.len >= len && memcmp(s.p, prefix, len) == 0;
}

/* One piece between colons: PCRn=HEX, or the HEX of PCR `place`, which then is 0, 1 or 2. */
static cs_err parse_piece(cs_att_tuple *t, unsigned place, cs_slice piece)
{
    const bool named = starts_with(piece, "PCR");
    bool of_image = !named;
    cs_pcr pcr;
    cs_err err;

    if (named) {
        of_image = piece.len > 4 && piece.p[4] == '=' && piece.p[3] <= '2';
        err = cs_att_tuple_set_text(t, cs_slice_of(piece.p + 3, piece.len - 3));
    } else if (place > 2) {
        return CS_E_FORMAT;
    } else {
        CS_TRY(cs_hex_decode(pcr.b, sizeof pcr.b, piece));
        err = cs_att_tuple_set(t, place, cs_slice_of(pcr.b, sizeof pcr.b));
    }
    if (err == CS_E_RANGE && of_image) {
        return CS_E_ATT_DEBUG;
    }
    return err == CS_E_EXISTS ? CS_E_FORMAT : err;
}

cs_err cs_att_tuple_parse(cs_att_tuple *out, cs_slice text)
{
    cs_att_tuple t = {0};
    size_t from = 0;

    for (unsigned place = 0; from <= text.len; place++) {
        size_t to = from;
        while (to < text.len && text.p[to] != ':') {
            to++;
        }
        CS_TRY(parse_piece(&t, place, cs_slice_of(text.p + from, to - from)));
        from = to + 1;
    }
    if ((t.mask & 1) == 0) {
        return CS_E_FORMAT;
    }
    *out = t;
    return CS_OK;
}

cs_err cs_att_policy_add(cs_att_policy *p, const cs_att_tuple *t)
{
    if (t->mask == 0) {
        return CS_E_ATT_NO_POLICY;
    }
    if (p->num_tuples == CS_ATT_MAX_TUPLES) {
        return CS_E_TOO_LARGE;
    }
    p->tuple[p->num_tuples++] = *t;
    return CS_OK;
}

static bool matches(const cs_att_tuple *t, const cs_att_claims *claims)
{
    bool ok = (t->mask & ~claims->pcr_mask) == 0;

    for (size_t i = 0; i < CS_ATT_NUM_PCRS; i++) {
        if ((t->mask >> i & 1) != 0) {
            ok &= CRYPTO_memcmp(t->pcr[i].b, claims->pcr[i].b, CS_PCR_LEN) == 0;
        }
    }
    return ok;
}

cs_err cs_att_policy_check(const cs_att_policy *p, const cs_att_claims *claims)
{
    if (p->num_tuples == 0) {
        return CS_E_ATT_NO_POLICY;
    }
    for (size_t i = 0; i < p->num_tuples; i++) {
        if (p->tuple[i].mask != 0 && matches(&p->tuple[i], claims)) {
            return CS_OK;
        }
    }
    return CS_E_ATT_PCR;
}
