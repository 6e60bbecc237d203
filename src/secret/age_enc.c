/* Encryption of age files as a stream, see age.h. */
#include <string.h>

#include "base/text.h"
#include "secret/age_int.h"
#include "secret/rng.h"

#define MAX_STANZA 160 /* bytes of an X25519 or scrypt stanza */
#define ARMOR_LINES 64 /* per piece given to the sink */

struct cs_age_enc {
    cs_age_sink *sink;
    void *cookie;
    cs_err err; /* sticky */
    bool armor;
    age_stream stream;
    size_t armor_len; /* bytes waiting for a whole line */
    uint8_t armor_in[AGE_COLUMNS / 4 * 3];
    uint8_t armor_out[ARMOR_LINES * (AGE_COLUMNS + 1)];
    size_t len; /* plaintext in chunk */
    uint8_t chunk[AGE_CHUNK + AGE_TAG];
};

static cs_err put_line(cs_buf *out, cs_slice bytes, cs_b64 kind)
{
    CS_TRY(cs_b64_put(out, bytes, kind));
    return cs_put_u8(out, '\n');
}

/* Emits whole lines only; what is left waits in armor_in. */
static cs_err emit_armored(cs_age_enc *e, cs_slice bytes)
{
    cs_reader r = cs_reader_of(bytes);

    while (r.left > 0) {
        cs_buf out = cs_buf_wrap(e->armor_out, sizeof e->armor_out);

        for (int line = 0; line < ARMOR_LINES && r.left > 0; line++) {
            size_t room = sizeof e->armor_in - e->armor_len, n = room < r.left ? room : r.left;

            CS_TRY(cs_read_bytes(&r, e->armor_in + e->armor_len, n));
            e->armor_len += n;
            if (e->armor_len == sizeof e->armor_in) {
                CS_TRY(put_line(&out, cs_slice_of(e->armor_in, e->armor_len), CS_B64_STD));
                e->armor_len = 0;
            }
        }
        if (out.len > 0) {
            CS_TRY(e->sink(e->cookie, cs_buf_slice(&out)));
        }
    }
    return CS_OK;
}

static cs_err emit(cs_age_enc *e, cs_slice bytes)
{
    return e->armor ? emit_armored(e, bytes) : e->sink(e->cookie, bytes);
}

static cs_err end_armor(cs_age_enc *e)
{
    cs_buf out = cs_buf_wrap(e->armor_out, sizeof e->armor_out);

    if (e->armor_len > 0) {
        CS_TRY(put_line(&out, cs_slice_of(e->armor_in, e->armor_len), CS_B64_STD));
    }
    CS_TRY(cs_put_str(&out, "-----END AGE ENCRYPTED FILE-----\n"));
    return e->sink(e->cookie, cs_buf_slice(&out));
}

static cs_err put_x25519(cs_buf *out, const cs_age_recipient *to, const cs_secret16 *file_key)
{
    uint8_t share[32], body[32];

    CS_TRY(cs_age_x25519_wrap(share, body, to, file_key));
    CS_TRY(cs_put_str(out, "-> X25519 "));
    CS_TRY(put_line(out, cs_slice_of(share, sizeof share), CS_B64_STD_RAW));
    return put_line(out, cs_slice_of(body, sizeof body), CS_B64_STD_RAW);
}

static cs_err put_scrypt(cs_buf *out, const cs_age_to *to, const cs_secret16 *file_key)
{
    unsigned work_factor = to->work_factor != 0 ? to->work_factor : CS_AGE_WORK_FACTOR;
    CS_SECRET(cs_secret32) key = {{0}};
    uint8_t salt[16], body[32];

    CS_TRY(cs_random(salt, sizeof salt));
    CS_TRY(cs_age_scrypt_key(&key, to->passphrase, salt, work_factor));
    cs_age_wrap(body, &key, file_key);
    CS_TRY(cs_put_str(out, "-> scrypt "));
    CS_TRY(cs_b64_put(out, cs_slice_of(salt, sizeof salt), CS_B64_STD_RAW));
    CS_TRY(cs_put_fmt(out, " %u\n", work_factor));
    return put_line(out, cs_slice_of(body, sizeof body), CS_B64_STD_RAW);
}

static cs_err put_header(cs_buf *out, const cs_age_to *to, const cs_secret16 *file_key)
{
    uint8_t mac[AGE_MAC];

    CS_TRY(cs_put_str(out, AGE_VERSION_LINE));
    if (to->passphrase.len > 0) {
        CS_TRY(put_scrypt(out, to, file_key));
    }
    for (size_t i = 0; i < to->num_recipients; i++) {
        CS_TRY(put_x25519(out, &to->recipients[i], file_key));
    }
    CS_TRY(cs_put_str(out, "---"));
    cs_age_header_mac(mac, file_key, cs_buf_slice(out));
    CS_TRY(cs_put_u8(out, ' '));
    return put_line(out, cs_slice_of(mac, sizeof mac), CS_B64_STD_RAW);
}

/* The header is built in the chunk buffer, which is not needed yet. */
static cs_err begin(cs_age_enc *e, const cs_age_to *to)
{
    static const char begin_line[] = "-----BEGIN AGE ENCRYPTED FILE-----\n";
    cs_buf header = cs_buf_wrap(e->chunk, sizeof e->chunk);
    CS_SECRET(cs_secret16) file_key = {{0}};
    uint8_t nonce[AGE_NONCE];

    CS_TRY(cs_random(file_key.b, sizeof file_key.b));
    CS_TRY(cs_random(nonce, sizeof nonce));
    CS_TRY(put_header(&header, to, &file_key));
    CS_TRY(cs_put(&header, nonce, sizeof nonce));
    cs_age_stream_init(&e->stream, &file_key, nonce);
    if (e->armor) {
        CS_TRY(e->sink(e->cookie, cs_slice_str(begin_line)));
    }
    return emit(e, cs_buf_slice(&header));
}

_Static_assert(sizeof AGE_VERSION_LINE + CS_AGE_MAX_RECIPIENTS * MAX_STANZA + 64 + AGE_NONCE < AGE_CHUNK,
               "header fits");

cs_err cs_age_enc_new(cs_age_enc **out, const cs_age_to *to, cs_age_sink *sink, void *cookie)
{
    cs_age_enc *e;
    cs_err err;

    if ((to->num_recipients > 0) == (to->passphrase.len > 0) || to->num_recipients > CS_AGE_MAX_RECIPIENTS ||
        to->work_factor > CS_AGE_MAX_WORK_FACTOR) {
        return CS_E_USAGE;
    }
    e = cs_secret_alloc(sizeof *e);
    if (e == NULL) {
        return CS_E_NO_MEMORY;
    }
    e->sink = sink;
    e->cookie = cookie;
    e->armor = to->armor;
    err = begin(e, to);
    if (err != CS_OK) {
        cs_secret_free(e);
        return err;
    }
    *out = e;
    return CS_OK;
}

void cs_age_enc_free(cs_age_enc *e)
{
    cs_secret_free(e);
}

static cs_err flush(cs_age_enc *e, bool last)
{
    size_t len = e->len + AGE_TAG;

    if (!cs_age_stream_seal(&e->stream, e->chunk, e->len, last)) {
        return CS_E_INTERNAL;
    }
    e->stream.counter++;
    e->len = 0;
    return emit(e, cs_slice_of(e->chunk, len));
}

/* A full chunk is kept until more comes, since it may be the last. */
static cs_err push(cs_age_enc *e, cs_slice plaintext)
{
    cs_reader r = cs_reader_of(plaintext);

    while (r.left > 0) {
        size_t n;

        if (e->len == AGE_CHUNK) {
            CS_TRY(flush(e, false));
        }
        n = AGE_CHUNK - e->len < r.left ? AGE_CHUNK - e->len : r.left;
        CS_TRY(cs_read_bytes(&r, e->chunk + e->len, n));
        e->len += n;
    }
    return CS_OK;
}

cs_err cs_age_enc_push(cs_age_enc *e, cs_slice plaintext)
{
    if (e->err == CS_OK) {
        e->err = push(e, plaintext);
    }
    return e->err;
}

cs_err cs_age_enc_finish(cs_age_enc *e)
{
    cs_err err = e->err;

    if (err == CS_OK) {
        err = flush(e, true);
    }
    if (err == CS_OK && e->armor) {
        err = end_armor(e);
    }
    e->err = err != CS_OK ? err : CS_E_STATE; /* finished: nothing more may come */
    return err;
}
