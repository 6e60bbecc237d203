/* Server-sent events, the receiving side. See sse.h. Lines are never held whole: a value goes straight to where it belongs. */
#include "net/sse.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 6u /* one more than the longest known field */
#define KEEP 4096u
#define RETRY_MAX UINT32_MAX /* nobody waits longer; and no overflow */
#define REPLACEMENT "\xef\xbf\xbd"

typedef enum where { IN_BOM, IN_NAME, AFTER_COLON, IN_VALUE } where;
typedef enum field { F_IGNORED, F_DATA, F_EVENT, F_ID, F_RETRY } field;

struct cs_sse {
    cs_sse_fn *fn;
    void *cookie;
    size_t data_max;
    where where;
    field field;
    bool after_cr; /* an LF that comes now belongs to the line that has ended */
    bool has_data; /* the event has a data field, be it empty */
    bool bad;      /* the value of this line does not count: NUL in an id, a retry that is no number */
    size_t bom_len, name_len;
    char name[NAME_MAX_LEN];
    uint64_t retry, retry_ms;
    cs_buf data; /* lines, each with its LF */
    cs_buf type, id_line, id;
    cs_buf fixed[2]; /* data and type with replaced bytes, when there are such */
};

cs_err cs_sse_new(cs_sse **out, size_t data_max, cs_sse_fn *fn, void *cookie)
{
    cs_sse *s = calloc(1, sizeof *s);

    if (s == NULL) {
        return CS_E_NO_MEMORY;
    }
    s->fn = fn;
    s->cookie = cookie;
    s->data_max = data_max != 0 ? data_max : CS_SSE_EVENT_MAX;
    s->data = cs_buf_heap(s->data_max + 1); /* the LF of the last line */
    s->type = cs_buf_heap(CS_SSE_FIELD_MAX);
    s->id_line = cs_buf_heap(CS_SSE_FIELD_MAX);
    s->id = cs_buf_heap(3 * CS_SSE_FIELD_MAX); /* a bad byte becomes three */
    s->fixed[0] = cs_buf_heap(3 * s->data_max);
    s->fixed[1] = cs_buf_heap(3 * CS_SSE_FIELD_MAX);
    *out = s;
    return CS_OK;
}

/* ---- UTF-8 as WHATWG's decoder reads it: each maximal part of a broken sequence becomes one U+FFFD ---- */

/* The length of the well-formed sequence at p, or 0 and how many bytes are one error. */
static size_t sequence(const uint8_t *p, size_t left, size_t *out_error)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t need = p[0] < 0x80 ? 0 : p[0] < 0xc2 ? 9 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : p[0] < 0xf5 ? 3 : 9;

    *out_error = 1;
    if (need == 0 || need == 9) {
        return need == 0 ? 1 : 0;
    }
    low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : low;
    high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : high;
    for (size_t i = 1; i <= need; i++) {
        if (i >= left || p[i] < low || p[i] > high) {
            *out_error = i;
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return need + 1;
}

/* The bytes at the front that are ASCII. */
static size_t ascii_len(cs_slice s)
{
    size_t i = 0;

    for (; i + 8 <= s.len; i += 8) {
        uint64_t v;
        memcpy(&v, s.p + i, 8);
        if ((v & 0x8080808080808080u) != 0) {
            break;
        }
    }
    while (i < s.len && s.p[i] < 0x80) {
        i++;
    }
    return i;
}

/* *out: text itself when it is well formed, else its repaired form in mem. */
static cs_err decode_utf8(cs_slice *out, cs_buf *mem, cs_slice text)
{
    size_t at = ascii_len(text), plain = 0;
    bool repaired = false;

    mem->len = 0;
    while (at < text.len) {
        size_t error = 0;
        size_t n = sequence(text.p + at, text.len - at, &error);
        if (n == 0) {
            repaired = true;
            CS_TRY(cs_put(mem, text.p + plain, at - plain));
            CS_TRY(cs_put(mem, REPLACEMENT, 3));
            n = error;
            plain = at + n;
        }
        at += n;
        at += ascii_len(cs_slice_of(text.p + at, text.len - at));
    }
    *out = text;
    if (repaired) {
        CS_TRY(cs_put(mem, text.p + plain, text.len - plain));
        *out = cs_buf_slice(mem);
    }
    return CS_OK;
}

/* ---- lines ---- */

/* Large memory is given back: subscriptions wait most of their time, and there are many. */
static void shrink(cs_buf *b)
{
    if (b->cap > KEEP) {
        size_t max = b->max;
        cs_buf_free(b);
        *b = cs_buf_heap(max);
    }
    b->len = 0;
}

static void drop_event(cs_sse *s)
{
    shrink(&s->data);
    shrink(&s->fixed[0]);
    s->type.len = 0;
    s->has_data = false;
}

static cs_err dispatch(cs_sse *s)
{
    cs_sse_event e = {.id = cs_buf_slice(&s->id)};
    cs_err err = CS_OK;

    if (s->has_data) {
        err = decode_utf8(&e.data, &s->fixed[0], cs_slice_of(s->data.p, s->data.len - 1)); /* not the last LF */
        if (err == CS_OK) {
            err = decode_utf8(&e.type, &s->fixed[1], cs_buf_slice(&s->type));
        }
        if (e.type.len == 0) {
            e.type = cs_slice_str("message");
        }
        if (err == CS_OK) {
            err = s->fn(s->cookie, &e);
        }
    }
    drop_event(s);
    return err;
}

static void name_known(cs_sse *s)
{
    static const struct {
        const char *name;
        field field;
    } known[] = {{"data", F_DATA}, {"event", F_EVENT}, {"id", F_ID}, {"retry", F_RETRY}};

    s->field = F_IGNORED; /* a comment has the empty name */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (cs_slice_eq_str(cs_slice_of(s->name, s->name_len), known[i].name)) {
            s->field = known[i].field;
        }
    }
    s->bad = false;
    s->retry = 0;
    if (s->field == F_EVENT) {
        s->type.len = 0;
    }
    s->id_line.len = 0;
    if (s->field == F_RETRY) {
        s->bad = true; /* until a digit comes */
    }
}

static cs_err line_end(cs_sse *s)
{
    bool empty = s->where == IN_NAME && s->name_len == 0;
    cs_err err = CS_OK;

    if (s->where == IN_NAME && !empty) { /* a line without a colon: a field with an empty value */
        name_known(s);
    }
    s->where = IN_NAME;
    s->name_len = 0;
    if (empty) {
        return dispatch(s);
    }
    if (s->field == F_DATA) {
        s->has_data = true;
        err = cs_put_u8(&s->data, '\n');
    } else if (s->field == F_ID && !s->bad) {
        cs_slice id;
        s->id.len = 0;
        err = decode_utf8(&id, &s->id, cs_buf_slice(&s->id_line));
        if (err == CS_OK && id.p != s->id.p) {
            err = cs_put_slice(&s->id, id);
        }
    } else if (s->field == F_RETRY && !s->bad) {
        s->retry_ms = s->retry;
    }
    s->field = F_IGNORED;
    return err;
}

static void take_retry(cs_sse *s, cs_slice part)
{
    for (size_t i = 0; i < part.len; i++) {
        if (part.p[i] < '0' || part.p[i] > '9') {
            s->field = F_IGNORED;
            return;
        }
        s->bad = false;
        s->retry = s->retry < RETRY_MAX ? s->retry * 10 + (part.p[i] - '0') : RETRY_MAX;
    }
}

static cs_err take_value(cs_sse *s, cs_slice part)
{
    switch (s->field) {
    case F_DATA:
        return cs_put_slice(&s->data, part);
    case F_EVENT:
        return cs_put_slice(&s->type, part);
    case F_ID:
        s->bad = s->bad || (part.len > 0 && memchr(part.p, 0, part.len) != NULL);
        return cs_put_slice(&s->id_line, part); /* its length counts all the same */
    case F_RETRY:
        take_retry(s, part);
        return CS_OK;
    default:
        return CS_OK;
    }
}

/* A piece of one line, without its end. */
static cs_err take_line(cs_sse *s, cs_slice part)
{
    if (s->where == IN_NAME) {
        const uint8_t *colon = memchr(part.p, ':', part.len);
        size_t n = colon != NULL ? (size_t)(colon - part.p) : part.len;
        size_t keep = n < NAME_MAX_LEN - s->name_len ? n : NAME_MAX_LEN - s->name_len;
        memcpy(s->name + s->name_len, part.p, keep);
        s->name_len += keep;
        if (colon == NULL) {
            return CS_OK;
        }
        name_known(s);
        s->where = AFTER_COLON;
        part = cs_slice_of(part.p + n + 1, part.len - n - 1);
    }
    if (s->where == AFTER_COLON && part.len > 0) {
        s->where = IN_VALUE;
        if (part.p[0] == ' ') {
            part = cs_slice_of(part.p + 1, part.len - 1);
        }
    }
    return part.len == 0 ? CS_OK : take_value(s, part);
}

/* The first bytes of a stream may be one byte order mark. What was no such mark is part of the first line. */
static cs_err take_bom(cs_sse *s, cs_slice *io)
{
    static const uint8_t mark[3] = {0xef, 0xbb, 0xbf};

    while (io->len > 0 && s->bom_len < 3 && io->p[0] == mark[s->bom_len]) {
        *io = cs_slice_of(io->p + 1, io->len - 1);
        s->bom_len++;
    }
    if (io->len == 0 && s->bom_len < 3) {
        return CS_OK;
    }
    s->where = IN_NAME;
    return s->bom_len < 3 && s->bom_len > 0 ? take_line(s, cs_slice_of(mark, s->bom_len)) : CS_OK;
}

/* Where the next c is, SIZE_MAX: nowhere. Looked for once behind each hit, so that a feed costs what its length is. */
static size_t next_of(cs_slice data, size_t at, uint8_t c)
{
    const uint8_t *hit = at < data.len ? memchr(data.p + at, c, data.len - at) : NULL;

    return hit != NULL ? (size_t)(hit - data.p) : SIZE_MAX;
}

static cs_err take_lines(cs_sse *s, cs_slice data)
{
    size_t at = 0, lf = next_of(data, 0, '\n'), cr = next_of(data, 0, '\r');
    cs_err err = CS_OK;

    while (err == CS_OK && at < data.len) {
        if (s->after_cr && data.p[at] == '\n') {
            at++;
        }
        s->after_cr = false;
        lf = lf < at ? next_of(data, at, '\n') : lf;
        cr = cr < at ? next_of(data, at, '\r') : cr;
        size_t end = lf < cr ? lf : cr;
        size_t stop = end < data.len ? end : data.len;
        err = take_line(s, cs_slice_of(data.p + at, stop - at));
        if (err == CS_OK && stop < data.len) {
            s->after_cr = data.p[stop] == '\r';
            err = line_end(s);
        }
        at = stop + 1;
    }
    return err;
}

cs_err cs_sse_feed(cs_sse *s, cs_slice data)
{
    cs_err err = CS_OK;

    if (s->where == IN_BOM) {
        err = take_bom(s, &data);
    }
    if (err == CS_OK) {
        err = take_lines(s, data);
    }
    return err == CS_E_RANGE ? CS_E_TOO_LARGE : err; /* of the buffers */
}

cs_slice cs_sse_last_id(const cs_sse *s)
{
    return cs_buf_slice(&s->id);
}

size_t cs_sse_held(const cs_sse *s)
{
    return s->data.cap;
}

uint64_t cs_sse_retry_ms(const cs_sse *s)
{
    return s->retry_ms;
}

void cs_sse_reset(cs_sse *s)
{
    s->where = IN_BOM;
    s->field = F_IGNORED;
    s->after_cr = false;
    s->bad = false;
    s->bom_len = 0;
    s->name_len = 0;
    s->id_line.len = 0;
    drop_event(s);
}

void cs_sse_free(cs_sse *s)
{
    if (s == NULL) {
        return;
    }
    cs_buf_free(&s->data);
    cs_buf_free(&s->type);
    cs_buf_free(&s->id_line);
    cs_buf_free(&s->id);
    cs_buf_free(&s->fixed[0]);
    cs_buf_free(&s->fixed[1]);
    free(s);
}
