/* W3C Trace Context. See trace.h. */
#include "net/trace.h"

#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/text.h"

#define KEY_MAX 256
#define VALUE_MAX 256
#define LONG_MEMBER 128 /* such members give way first [Trace Context 3.3.1.5] */

static const uint8_t zero[16];

/* ---------------------------------------------------------------- traceparent */

/* 2 * n lower-case hex digits */
static cs_err read_hex(cs_reader *r, uint8_t *out, size_t n)
{
    cs_slice text;

    CS_TRY(cs_read_slice(r, &text, 2 * n));
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] >= 'A' && text.p[i] <= 'F') {
            return CS_E_FORMAT;
        }
    }
    return cs_hex_decode(out, n, text);
}

static cs_err read_dash(cs_reader *r)
{
    uint8_t c = 0;

    CS_TRY(cs_read_u8(r, &c));
    return c == '-' ? CS_OK : CS_E_FORMAT;
}

cs_err cs_trace_parent_read(cs_trace *out, cs_slice value)
{
    cs_reader r = cs_reader_of(value);
    cs_trace t = {0};
    uint8_t version = 0, flags = 0;

    CS_TRY(read_hex(&r, &version, 1));
    CS_TRY(read_dash(&r));
    CS_TRY(read_hex(&r, t.id, sizeof t.id));
    CS_TRY(read_dash(&r));
    CS_TRY(read_hex(&r, t.parent, sizeof t.parent));
    CS_TRY(read_dash(&r));
    CS_TRY(read_hex(&r, &flags, 1));
    if (version == 0xff || memcmp(t.id, zero, sizeof t.id) == 0 || memcmp(t.parent, zero, sizeof t.parent) == 0) {
        return CS_E_FORMAT;
    }
    if (version == 0) {
        CS_TRY(cs_read_end(&r));
    } else if (r.left > 0) {
        CS_TRY(read_dash(&r));
    }
    t.flags = flags & (CS_TRACE_SAMPLED | CS_TRACE_RANDOM);
    *out = t;
    return CS_OK;
}

/* ---------------------------------------------------------------- tracestate */

static cs_slice trim(cs_slice s)
{
    while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s = cs_slice_of(s.p + 1, s.len - 1);
    }
    while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t')) {
        s.len--;
    }
    return s;
}

static bool key_ok(cs_slice key)
{
    if (key.len == 0 || key.len > KEY_MAX) {
        return false;
    }
    for (size_t i = 0; i < key.len; i++) {
        uint8_t c = key.p[i];
        bool first = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!first && (i == 0 || c == '\0' || strchr("_-*/@", c) == NULL)) {
            return false;
        }
    }
    return true;
}

static bool value_ok(cs_slice value)
{
    if (value.len == 0 || value.len > VALUE_MAX || value.p[value.len - 1] == ' ') {
        return false;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] < ' ' || value.p[i] > '~' || value.p[i] == ',' || value.p[i] == '=') {
            return false;
        }
    }
    return true;
}

typedef struct members {
    cs_slice all[CS_TRACE_MEMBERS_MAX]; /* key=value */
    size_t key_len[CS_TRACE_MEMBERS_MAX];
    size_t num, seen;
} members;

static cs_err take_member(members *m, cs_slice text)
{
    const uint8_t *sign = memchr(text.p, '=', text.len);
    size_t key_len = sign != NULL ? (size_t)(sign - text.p) : 0;
    cs_slice key = cs_slice_of(text.p, key_len);

    if (sign == NULL || !key_ok(key) || !value_ok(cs_slice_of(sign + 1, text.len - key_len - 1))) {
        return CS_E_FORMAT;
    }
    if (++m->seen > CS_TRACE_MEMBERS_MAX) {
        return CS_E_RANGE;
    }
    for (size_t i = 0; i < m->num; i++) {
        if (cs_slice_eq(key, cs_slice_of(m->all[i].p, m->key_len[i]))) {
            return CS_OK; /* said before: that counts */
        }
    }
    m->all[m->num] = text;
    m->key_len[m->num++] = key_len;
    return CS_OK;
}

static cs_err take_value(members *m, cs_slice rest)
{
    while (rest.len > 0) {
        const uint8_t *comma = memchr(rest.p, ',', rest.len);
        size_t len = comma != NULL ? (size_t)(comma - rest.p) : rest.len;
        cs_slice one = trim(cs_slice_of(rest.p, len));
        if (one.len > 0) { /* empty members are allowed, and mean nothing */
            CS_TRY(take_member(m, one));
        }
        len += comma != NULL ? 1 : 0;
        rest = cs_slice_of(rest.p + len, rest.len - len);
    }
    return CS_OK;
}

static void drop(members *m, size_t i)
{
    m->num--;
    memmove(&m->all[i], &m->all[i + 1], (m->num - i) * sizeof *m->all);
}

static size_t joined_len(const members *m)
{
    size_t len = m->num > 0 ? m->num - 1 : 0;

    for (size_t i = 0; i < m->num; i++) {
        len += m->all[i].len;
    }
    return len;
}

static void fit(members *m)
{
    for (size_t i = m->num; i > 0 && joined_len(m) > CS_TRACE_STATE_MAX; i--) {
        if (m->all[i - 1].len > LONG_MEMBER) {
            drop(m, i - 1);
        }
    }
    while (joined_len(m) > CS_TRACE_STATE_MAX) {
        drop(m, m->num - 1);
    }
}

cs_err cs_trace_state_read(cs_trace *io, const cs_slice *values, size_t num)
{
    members m = {.num = 0};

    io->state_len = 0;
    for (size_t i = 0; i < num; i++) {
        CS_TRY(take_value(&m, values[i]));
    }
    fit(&m);
    for (size_t i = 0; i < m.num; i++) {
        if (i > 0) {
            io->state[io->state_len++] = ',';
        }
        memcpy(io->state + io->state_len, m.all[i].p, m.all[i].len);
        io->state_len += (uint16_t)m.all[i].len;
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- traces and spans */

static cs_err draw(uint8_t *out, size_t len)
{
    do {
        if (getrandom(out, len, 0) != (ssize_t)len) {
            return CS_E_ENTROPY;
        }
    } while (memcmp(out, zero, len) == 0);
    return CS_OK;
}

cs_err cs_trace_new(cs_trace *out)
{
    cs_trace t = {.flags = CS_TRACE_SAMPLED | CS_TRACE_RANDOM};

    CS_TRY(draw(t.id, sizeof t.id));
    CS_TRY(draw(t.span, sizeof t.span));
    *out = t;
    return CS_OK;
}

cs_err cs_trace_child(cs_trace *out, const cs_trace *of)
{
    uint8_t span[sizeof out->span];

    CS_TRY(draw(span, sizeof span));
    if (out != of) {
        *out = *of;
    }
    memcpy(out->parent, of->span, sizeof out->parent);
    memcpy(out->span, span, sizeof span);
    return CS_OK;
}

static bool named(cs_slice name, const char *want)
{
    size_t len = strlen(want);

    return name.len == len && strncasecmp((const char *)name.p, want, len) == 0;
}

void cs_trace_header(cs_trace_headers *io, cs_slice name, cs_slice value)
{
    if (named(name, "traceparent")) {
        io->parent = trim(value);
        io->num_parents++;
    } else if (named(name, "tracestate")) {
        if (io->num_states < CS_TRACE_HEADERS_MAX) {
            io->states[io->num_states] = value;
        }
        io->num_states++;
    }
}

cs_err cs_trace_take(cs_trace *out, const cs_trace_headers *h)
{
    cs_trace t = {0};

    if (h->num_parents != 1 || cs_trace_parent_read(&t, h->parent) != CS_OK) {
        return cs_trace_new(out);
    }
    if (h->num_states > CS_TRACE_HEADERS_MAX || cs_trace_state_read(&t, h->states, h->num_states) != CS_OK) {
        t.state_len = 0;
    }
    CS_TRY(draw(t.span, sizeof t.span));
    *out = t;
    return CS_OK;
}

cs_err cs_trace_parent_put(cs_buf *out, const cs_trace *t)
{
    size_t before = out->len;
    cs_err err = cs_put_str(out, "00-");

    if (err == CS_OK && (err = cs_put_hex(out, cs_slice_of(t->id, sizeof t->id))) == CS_OK &&
        (err = cs_put_u8(out, '-')) == CS_OK &&
        (err = cs_put_hex(out, cs_slice_of(t->span, sizeof t->span))) == CS_OK) {
        err = cs_put_fmt(out, "-%02x", t->flags);
    }
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}
