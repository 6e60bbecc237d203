/*
 * The header of an age file: grammar, then the search for a stanza that an identity opens, then the MAC.
 * Two passes over the bytes instead of a list of stanzas: the first accepts the grammar, the second looks at stanzas.
 */
#include <string.h>

#include "base/text.h"
#include "secret/age_int.h"

#define MAX_ARGS 8 /* of a stanza that is looked at; others may have any number */

typedef struct stanza {
    cs_slice arg[MAX_ARGS]; /* arg[0] is the type */
    size_t num_args;        /* may exceed MAX_ARGS */
    cs_slice body_line;     /* first line of the body */
    size_t body_len;        /* decoded, all lines */
} stanza;

static bool take_prefix(cs_slice *s, const char *prefix)
{
    size_t len = strlen(prefix);

    if (s->len < len || !cs_slice_eq_str(cs_slice_of(s->p, len), prefix)) {
        return false;
    }
    *s = cs_slice_of(s->p + len, s->len - len);
    return true;
}

/* Arguments are one or more printable characters, with single spaces between them. */
static cs_err split_args(stanza *st, cs_slice line)
{
    size_t start = 0;

    st->num_args = 0;
    for (size_t i = 0; i <= line.len; i++) {
        if (i < line.len && line.p[i] != ' ') {
            if (line.p[i] < 33 || line.p[i] > 126) {
                return CS_E_AGE_HEADER;
            }
            continue;
        }
        if (i == start) {
            return CS_E_AGE_HEADER;
        }
        if (st->num_args < MAX_ARGS) {
            st->arg[st->num_args] = cs_slice_of(line.p + start, i - start);
        }
        st->num_args++;
        start = i + 1;
    }
    return CS_OK;
}

/* Body lines of 64 columns, ended by a shorter one, which may be empty. */
static cs_err read_body(stanza *st, cs_reader *r)
{
    uint8_t mem[AGE_COLUMNS / 4 * 3];
    cs_slice line;

    st->body_len = 0;
    for (bool first = true;; first = false) {
        cs_buf buf = cs_buf_wrap(mem, sizeof mem);

        if (cs_read_line(r, &line, AGE_COLUMNS) != CS_OK || cs_b64_get(&buf, line, CS_B64_STD_RAW) != CS_OK) {
            return CS_E_AGE_HEADER;
        }
        st->body_line = first ? line : st->body_line;
        st->body_len += buf.len;
        if (line.len < AGE_COLUMNS) {
            return CS_OK;
        }
    }
}

/* The next stanza; *more is false, and *r behind the MAC line's "---", at the end of them. */
static cs_err next_stanza(cs_reader *r, stanza *st, bool *more)
{
    cs_slice line;

    if (cs_read_line(r, &line, CS_AGE_MAX_HEADER) != CS_OK) {
        return CS_E_AGE_HEADER;
    }
    *more = take_prefix(&line, "-> ");
    if (!*more) {
        return CS_OK;
    }
    CS_TRY(split_args(st, line));
    return read_body(st, r);
}

static bool type_is(const stanza *st, const char *type)
{
    return cs_slice_eq_str(st->arg[0], type);
}

typedef struct layout {
    cs_reader stanzas; /* at the first stanza */
    cs_slice maced;    /* what the MAC is over */
    uint8_t mac[AGE_MAC];
} layout;

static cs_err read_mac(layout *l, cs_slice header, cs_slice line)
{
    cs_buf mac = cs_buf_wrap(l->mac, sizeof l->mac);
    cs_slice text = line;

    if (!take_prefix(&text, "--- ") || cs_b64_get(&mac, text, CS_B64_STD_RAW) != CS_OK || mac.len != AGE_MAC) {
        return CS_E_AGE_HEADER;
    }
    l->maced = cs_slice_of(header.p, (size_t)(line.p - header.p) + 3);
    return CS_OK;
}

static cs_err check_grammar(layout *l, cs_slice header)
{
    cs_reader r = cs_reader_of(header), at;
    size_t num_stanzas = 0, num_scrypt = 0;
    cs_slice line;
    bool more;
    stanza st;

    if (cs_read_slice(&r, &line, sizeof AGE_VERSION_LINE - 1) != CS_OK || !cs_slice_eq_str(line, AGE_VERSION_LINE)) {
        return CS_E_AGE_HEADER;
    }
    l->stanzas = r;
    for (;;) {
        at = r;
        CS_TRY(next_stanza(&r, &st, &more));
        if (!more) {
            break;
        }
        num_stanzas++;
        num_scrypt += type_is(&st, "scrypt");
    }
    /* a passphrase must be alone: otherwise a file could claim to come from who knows the passphrase when it does not */
    if (num_stanzas == 0 || (num_scrypt > 0 && num_stanzas != 1) || cs_read_end(&r) != CS_OK) {
        return CS_E_AGE_HEADER;
    }
    if (cs_read_line(&at, &line, CS_AGE_MAX_HEADER) != CS_OK) {
        return CS_E_AGE_HEADER;
    }
    return read_mac(l, header, line);
}

static cs_err decode_exact(uint8_t *out, size_t len, cs_slice text)
{
    cs_buf buf = cs_buf_wrap(out, len);

    return cs_b64_get(&buf, text, CS_B64_STD_RAW) == CS_OK && buf.len == len ? CS_OK : CS_E_AGE_HEADER;
}

/* The wrapped file key; its size is checked before anything is decrypted, or the tag could be made to hold under two keys. */
static cs_err wrapped_key(uint8_t body[32], const stanza *st)
{
    return st->body_len == AGE_FILE_KEY + AGE_TAG ? decode_exact(body, 32, st->body_line) : CS_E_AGE_HEADER;
}

static cs_err try_x25519(cs_secret16 *out, const stanza *st, const cs_age_identity *id)
{
    uint8_t share[32], body[32];

    if (!type_is(st, "X25519")) {
        return CS_E_AGE_NO_MATCH;
    }
    if (st->num_args != 2) {
        return CS_E_AGE_HEADER;
    }
    CS_TRY(decode_exact(share, sizeof share, st->arg[1]));
    CS_TRY(wrapped_key(body, st));
    return cs_age_x25519_unwrap(out, id, share, body);
}

static cs_err try_passphrase(cs_secret16 *out, const stanza *st, cs_slice passphrase)
{
    CS_SECRET(cs_secret32) key = {{0}};
    uint8_t salt[16], body[32];
    uint64_t work_factor = 0;

    if (!type_is(st, "scrypt")) {
        return CS_E_AGE_NO_MATCH;
    }
    /* everything is checked, the work factor above all, before memory is taken */
    if (st->num_args != 3 || cs_parse_u64(st->arg[2], CS_AGE_MAX_WORK_FACTOR, &work_factor) != CS_OK ||
        work_factor == 0) {
        return CS_E_AGE_HEADER;
    }
    CS_TRY(decode_exact(salt, sizeof salt, st->arg[1]));
    CS_TRY(wrapped_key(body, st));
    CS_TRY(cs_age_scrypt_key(&key, passphrase, salt, (unsigned)work_factor));
    return cs_age_unwrap(out, &key, body) ? CS_OK : CS_E_AGE_NO_MATCH;
}

/* Looks at all stanzas with one identity (id) or the passphrase (id NULL), in the order of the file. */
static cs_err try_all(cs_secret16 *out, const layout *l, const cs_age_identity *id, cs_slice passphrase)
{
    cs_reader r = l->stanzas;
    bool more = true;
    stanza st;

    for (;;) {
        cs_err err;

        CS_TRY(next_stanza(&r, &st, &more));
        if (!more) {
            return CS_E_AGE_NO_MATCH;
        }
        err = id != NULL ? try_x25519(out, &st, id) : try_passphrase(out, &st, passphrase);
        if (err != CS_E_AGE_NO_MATCH) {
            return err;
        }
    }
}

static cs_err find_file_key(cs_secret16 *out, const layout *l, const cs_age_keys *keys)
{
    cs_err err = CS_E_AGE_NO_MATCH;

    for (size_t i = 0; err == CS_E_AGE_NO_MATCH && i < keys->num_identities; i++) {
        err = try_all(out, l, &keys->identities[i], CS_SLICE_NULL);
    }
    if (err == CS_E_AGE_NO_MATCH && keys->passphrase.len > 0) {
        err = try_all(out, l, NULL, keys->passphrase);
    }
    return err;
}

cs_err cs_age_header_open(cs_secret16 *out_file_key, cs_slice header, const cs_age_keys *keys)
{
    uint8_t mac[AGE_MAC];
    cs_err err;
    layout l;

    CS_TRY(check_grammar(&l, header));
    err = find_file_key(out_file_key, &l, keys);
    if (err == CS_OK) {
        cs_age_header_mac(mac, out_file_key, l.maced);
        err = cs_ct_eq(mac, l.mac, sizeof mac) ? CS_OK : CS_E_AGE_HMAC;
    }
    if (err != CS_OK) {
        cs_wipe(out_file_key, sizeof *out_file_key);
    }
    return err;
}
