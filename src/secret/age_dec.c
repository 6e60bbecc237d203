/* Decryption of age files as a stream, see age.h. */
#include <string.h>

#include "secret/age_int.h"

enum { FORM_UNKNOWN, FORM_BINARY, FORM_ARMOR };
enum { IN_HEADER, IN_NONCE, IN_PAYLOAD, AT_END };

struct cs_age_dec {
    const cs_age_keys *keys;
    cs_age_sink *sink;
    void *cookie;
    cs_err err; /* sticky */
    int form, state;
    cs_secret16 file_key;
    age_stream stream;
    age_armor armor;
    size_t line_start;                /* of the header line being read */
    size_t len;                       /* of buf */
    uint8_t buf[AGE_CHUNK + AGE_TAG]; /* header, then nonce, then one chunk at a time */
    uint8_t plain[AGE_CHUNK];
};
_Static_assert(CS_AGE_MAX_HEADER == AGE_CHUNK + AGE_TAG, "header limit");

cs_err cs_age_dec_new(cs_age_dec **out, const cs_age_keys *keys, cs_age_sink *sink, void *cookie)
{
    cs_age_dec *d = cs_secret_alloc(sizeof *d);

    if (d == NULL) {
        return CS_E_NO_MEMORY;
    }
    d->keys = keys;
    d->sink = sink;
    d->cookie = cookie;
    *out = d;
    return CS_OK;
}

void cs_age_dec_free(cs_age_dec *d)
{
    cs_secret_free(d);
}

/* Takes header bytes up to its end, the LF of the line that begins with "---". */
static cs_err take_header(cs_age_dec *d, cs_reader *r)
{
    uint8_t c = 0;

    while (r->left > 0) {
        if (d->len == sizeof d->buf) {
            return CS_E_AGE_HEADER;
        }
        CS_TRY(cs_read_u8(r, &c));
        d->buf[d->len++] = c;
        if (c != '\n') {
            continue;
        }
        if (d->len - d->line_start > 3 && cs_slice_eq_str(cs_slice_of(d->buf + d->line_start, 3), "---")) {
            CS_TRY(cs_age_header_open(&d->file_key, cs_slice_of(d->buf, d->len), d->keys));
            d->state = IN_NONCE;
            d->len = 0;
            return CS_OK;
        }
        d->line_start = d->len;
    }
    return CS_OK;
}

/* Fills buf up to want bytes; true when it is full. */
static bool fill(cs_age_dec *d, cs_reader *r, size_t want)
{
    size_t n = want - d->len < r->left ? want - d->len : r->left;
    cs_slice s;

    if (cs_read_slice(r, &s, n) == CS_OK && n > 0) {
        memcpy(d->buf + d->len, s.p, n);
        d->len += n;
    }
    return d->len == want;
}

static cs_err release(cs_age_dec *d, bool last)
{
    size_t plain_len = d->len - AGE_TAG;

    d->len = 0;
    d->stream.counter++;
    if (last) {
        d->state = AT_END;
    }
    return plain_len > 0 ? d->sink(d->cookie, cs_slice_of(d->plain, plain_len)) : CS_OK;
}

/* A full chunk may also be the last one; whether anything follows it is seen later. */
static cs_err full_chunk(cs_age_dec *d)
{
    cs_slice chunk = cs_slice_of(d->buf, d->len);

    if (cs_age_stream_open(d->plain, &d->stream, chunk, false)) {
        return release(d, false);
    }
    return cs_age_stream_open(d->plain, &d->stream, chunk, true) ? release(d, true) : CS_E_AGE_PAYLOAD;
}

static cs_err last_chunk(cs_age_dec *d)
{
    /* an empty last chunk is only right in an empty file: otherwise the chunk before would have been the last */
    if (d->len < AGE_TAG || (d->len == AGE_TAG && d->stream.counter > 0) ||
        !cs_age_stream_open(d->plain, &d->stream, cs_slice_of(d->buf, d->len), true)) {
        return CS_E_AGE_PAYLOAD;
    }
    return release(d, true);
}

static cs_err take_binary(void *cookie, cs_slice bytes)
{
    cs_age_dec *d = cookie;
    cs_reader r = cs_reader_of(bytes);

    while (r.left > 0) {
        switch (d->state) {
        case IN_HEADER:
            CS_TRY(take_header(d, &r));
            break;
        case IN_NONCE:
            if (fill(d, &r, AGE_NONCE)) {
                cs_age_stream_init(&d->stream, &d->file_key, d->buf);
                cs_wipe(&d->file_key, sizeof d->file_key);
                d->state = IN_PAYLOAD;
                d->len = 0;
            }
            break;
        case IN_PAYLOAD:
            if (fill(d, &r, AGE_CHUNK + AGE_TAG)) {
                CS_TRY(full_chunk(d));
            }
            break;
        default:
            return CS_E_AGE_PAYLOAD; /* bytes behind the last chunk */
        }
    }
    return CS_OK;
}

static cs_err finish_binary(cs_age_dec *d)
{
    switch (d->state) {
    case IN_HEADER:
    case IN_NONCE:
        return CS_E_AGE_HEADER;
    case IN_PAYLOAD:
        return last_chunk(d);
    default:
        return CS_OK;
    }
}

static cs_err end_with(cs_age_dec *d, cs_err err)
{
    if (err != CS_OK) {
        d->err = err;
        cs_wipe(&d->file_key, sizeof d->file_key);
        cs_wipe(&d->stream, sizeof d->stream);
        cs_wipe(d->plain, sizeof d->plain);
    }
    return err;
}

cs_err cs_age_dec_push(cs_age_dec *d, cs_slice bytes)
{
    if (d->err != CS_OK || bytes.len == 0) {
        return d->err;
    }
    if (d->form == FORM_UNKNOWN) {
        d->form = bytes.p[0] == AGE_VERSION_LINE[0] ? FORM_BINARY : FORM_ARMOR;
    }
    return end_with(d, d->form == FORM_BINARY ? take_binary(d, bytes)
                                              : cs_age_armor_push(&d->armor, bytes, take_binary, d));
}

cs_err cs_age_dec_finish(cs_age_dec *d)
{
    cs_err err = d->err;

    if (err == CS_OK && d->form == FORM_ARMOR) {
        err = cs_age_armor_finish(&d->armor, take_binary, d);
    }
    if (err == CS_OK) {
        err = finish_binary(d);
    }
    (void)end_with(d, err);
    if (err == CS_OK) {
        d->err = CS_E_STATE; /* finished: nothing more may come */
    }
    return err;
}

static cs_err append(void *cookie, cs_slice piece)
{
    return cs_put_slice(cookie, piece);
}

cs_err cs_age_decrypt(cs_buf *out, cs_slice file, const cs_age_keys *keys)
{
    size_t before = out->len;
    cs_age_dec *d = NULL;
    cs_err err;

    CS_TRY(cs_age_dec_new(&d, keys, append, out));
    err = cs_age_dec_push(d, file);
    if (err == CS_OK) {
        err = cs_age_dec_finish(d);
    }
    cs_age_dec_free(d);
    if (err != CS_OK && out->len > before) {
        cs_wipe(out->p + before, out->len - before);
        out->len = before;
    }
    return err;
}
