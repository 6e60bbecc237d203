/* age identities and recipients as text, see age.h. */
#include <sodium.h>
#include <string.h>

#include "codec/bech32.h"
#include "secret/age.h"
#include "secret/rng.h"

#define IDENTITY_HRP "AGE-SECRET-KEY-"
#define IDENTITY_PQ_PREFIX "AGE-SECRET-KEY-PQ-1"
#define RECIPIENT_HRP "age"

CS_SECRET_DECLARE(cs_bech32)

static cs_err derive_recipient(cs_age_identity *id)
{
    return crypto_scalarmult_base(id->recipient.b, id->scalar) == 0 ? CS_OK : CS_E_INTERNAL;
}

cs_err cs_age_identity_generate(cs_age_identity *out)
{
    CS_TRY(cs_random(out->scalar, sizeof out->scalar));
    return derive_recipient(out);
}

/* Exactly 32 bytes under a human-readable part in one given case. */
static cs_err parse_key(uint8_t out[32], cs_slice text, const char *hrp)
{
    CS_SECRET(cs_bech32) b = {.num_values = 0};
    CS_SECRET(cs_secret32) key = {{0}};
    cs_buf buf = cs_buf_wrap(key.b, sizeof key.b);

    if (cs_bech32_decode(&b, text, CS_BECH32_MAX_LEN, CS_BECH32) != CS_OK || !cs_slice_eq_str(b.hrp, hrp) ||
        cs_bech32_bytes(&buf, b.value, b.num_values) != CS_OK || buf.len != sizeof key.b) {
        return CS_E_AGE_IDENTITY;
    }
    memcpy(out, key.b, sizeof key.b);
    return CS_OK;
}

cs_err cs_age_identity_parse(cs_age_identity *out, cs_slice text)
{
    memset(out, 0, sizeof *out);
    CS_TRY(parse_key(out->scalar, text, IDENTITY_HRP));
    return derive_recipient(out);
}

cs_err cs_age_recipient_parse(cs_age_recipient *out, cs_slice text)
{
    return parse_key(out->b, text, RECIPIENT_HRP);
}

cs_err cs_age_identity_put(cs_buf *out, const cs_age_identity *id)
{
    return cs_bech32_put(out, IDENTITY_HRP, cs_slice_of(id->scalar, sizeof id->scalar), CS_BECH32, true);
}

cs_err cs_age_recipient_put(cs_buf *out, const cs_age_recipient *r)
{
    return cs_bech32_put(out, RECIPIENT_HRP, cs_slice_of(r->b, sizeof r->b), CS_BECH32, false);
}

static bool has_prefix(cs_slice s, const char *prefix)
{
    size_t len = strlen(prefix);

    return s.len >= len && cs_slice_eq_str(cs_slice_of(s.p, len), prefix);
}

/* The next line without LF or CRLF; false at the end. */
static bool next_line(cs_reader *r, cs_slice *line)
{
    size_t len = 0;

    if (r->left == 0) {
        return false;
    }
    while (len < r->left && r->p[len] != '\n') {
        len++;
    }
    if (cs_read_slice(r, line, len) != CS_OK) {
        return false;
    }
    if (r->left > 0) {
        uint8_t lf = 0;

        (void)!cs_read_u8(r, &lf);
    }
    if (line->len > 0 && line->p[line->len - 1] == '\r') {
        line->len--;
    }
    return true;
}

static cs_err read_file(cs_age_identity *out, size_t *num, size_t max, cs_slice text)
{
    cs_reader r = cs_reader_of(text);
    bool any = false;
    cs_slice line;

    while (next_line(&r, &line)) {
        if (line.len == 0 || line.p[0] == '#') {
            continue;
        }
        any = true;
        if (has_prefix(line, IDENTITY_PQ_PREFIX)) {
            continue;
        }
        if (*num == max) {
            return CS_E_TOO_LARGE;
        }
        CS_TRY(cs_age_identity_parse(&out[*num], line));
        ++*num;
    }
    return any ? CS_OK : CS_E_AGE_IDENTITY;
}

cs_err cs_age_identity_file(cs_age_identity *out, size_t *out_num, size_t max, cs_slice text)
{
    size_t num = 0;
    cs_err err = read_file(out, &num, max, text);

    if (err != CS_OK) {
        cs_wipe(out, max * sizeof *out);
        return err;
    }
    *out_num = num;
    return CS_OK;
}
