/* See xml.h. */
#include "emulator/xml.h"

#include <string.h>

#include "base/text.h"

void cs_emu_xml_init(cs_emu_xml *x, cs_slice text)
{
    *x = (cs_emu_xml){.r = cs_reader_of(text)};
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_name(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c == ':';
}

static bool peek(const cs_emu_xml *x, const char *text)
{
    size_t n = strlen(text);
    return x->r.left >= n && memcmp(x->r.p, text, n) == 0;
}

static cs_err advance(cs_emu_xml *x, size_t n)
{
    cs_slice unused;
    return cs_read_slice(&x->r, &unused, n) == CS_OK ? CS_OK : CS_E_FORMAT;
}

static cs_err skip_space(cs_emu_xml *x)
{
    while (x->r.left > 0 && is_space(x->r.p[0])) {
        CS_TRY(advance(x, 1));
    }
    return CS_OK;
}

/* Everything to the end of mark, which must be there. */
static cs_err skip_past(cs_emu_xml *x, const char *mark)
{
    const uint8_t *at = memmem(x->r.p, x->r.left, mark, strlen(mark));
    return at != NULL ? advance(x, (size_t)(at - x->r.p) + strlen(mark)) : CS_E_FORMAT;
}

static cs_err read_name(cs_emu_xml *x, char name[CS_EMU_XML_NAME])
{
    size_t n = 0, start = 0;
    while (n < x->r.left && is_name(x->r.p[n])) {
        start = x->r.p[n] == ':' ? n + 1 : start;
        n++;
    }
    if (n == start || n - start >= CS_EMU_XML_NAME) {
        return n == start ? CS_E_FORMAT : CS_E_RANGE;
    }
    memcpy(name, x->r.p + start, n - start);
    name[n - start] = '\0';
    return advance(x, n);
}

/* name="value" in a start tag: read and forgotten (name spaces). */
static cs_err skip_attribute(cs_emu_xml *x)
{
    char name[CS_EMU_XML_NAME];
    CS_TRY(read_name(x, name));
    CS_TRY(skip_space(x));
    if (!peek(x, "=")) {
        return CS_E_FORMAT;
    }
    CS_TRY(advance(x, 1));
    CS_TRY(skip_space(x));
    if (!peek(x, "\"") && !peek(x, "'")) {
        return CS_E_FORMAT;
    }
    const char mark[2] = {(char)x->r.p[0], '\0'};
    CS_TRY(advance(x, 1));
    const uint8_t *end = memmem(x->r.p, x->r.left, mark, 1);
    if (end == NULL || memchr(x->r.p, '<', (size_t)(end - x->r.p)) != NULL) {
        return CS_E_FORMAT;
    }
    return skip_past(x, mark);
}

static cs_err start_tag(cs_emu_xml *x, char name[CS_EMU_XML_NAME])
{
    if (x->depth == CS_EMU_XML_DEPTH) {
        return CS_E_RANGE;
    }
    CS_TRY(advance(x, 1));
    CS_TRY(read_name(x, name));
    for (;;) {
        size_t before = x->r.left;
        CS_TRY(skip_space(x));
        if (peek(x, "/>") || peek(x, ">")) {
            x->pending_end = peek(x, "/>");
            memcpy(x->open[x->depth++], name, CS_EMU_XML_NAME);
            return advance(x, x->pending_end ? 2 : 1);
        }
        if (before == x->r.left) {
            return CS_E_FORMAT; /* attributes are set apart */
        }
        CS_TRY(skip_attribute(x));
    }
}

static cs_err end_tag(cs_emu_xml *x, char name[CS_EMU_XML_NAME])
{
    CS_TRY(advance(x, 2));
    CS_TRY(read_name(x, name));
    CS_TRY(skip_space(x));
    if (x->depth == 0 || strcmp(x->open[x->depth - 1], name) != 0 || !peek(x, ">")) {
        return CS_E_FORMAT;
    }
    x->depth--;
    return advance(x, 1);
}

static cs_err put_utf8(cs_buf *out, uint64_t c)
{
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return CS_E_FORMAT;
    }
    if (c < 0x80) {
        return cs_put_u8(out, (uint8_t)c);
    }
    unsigned more = c < 0x800 ? 1 : (c < 0x10000 ? 2 : 3);
    CS_TRY(cs_put_u8(out, (uint8_t)((0xff00u >> (more + 1) & 0xffu) | c >> (6 * more))));
    while (more-- > 0) {
        CS_TRY(cs_put_u8(out, (uint8_t)(0x80 | (c >> (6 * more) & 0x3f))));
    }
    return CS_OK;
}

static cs_err char_reference(cs_buf *out, cs_slice digits)
{
    uint64_t c = 0;
    uint8_t raw[4];
    char padded[9] = "00000000";
    if (digits.len >= 2 && digits.p[0] == 'x' && digits.len <= 9) {
        memcpy(padded + 9 - digits.len, digits.p + 1, digits.len - 1);
        if (cs_hex_decode(raw, 4, cs_slice_of(padded, 8)) != CS_OK) {
            return CS_E_FORMAT;
        }
        c = cs_load_u32(raw);
    } else if (cs_parse_u64(digits, 0x10ffff, &c) != CS_OK) {
        return CS_E_FORMAT;
    }
    return put_utf8(out, c);
}

static cs_err entity(cs_emu_xml *x, cs_buf *out)
{
    static const struct {
        const char *name;
        uint8_t c;
    } rows[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (peek(x, rows[i].name)) {
            CS_TRY(cs_put_u8(out, rows[i].c));
            return advance(x, strlen(rows[i].name));
        }
    }
    size_t window = x->r.left < 12 ? x->r.left : 12;
    const uint8_t *end = memchr(x->r.p, ';', window);
    if (!peek(x, "&#") || end == NULL) {
        return CS_E_FORMAT;
    }
    size_t n = (size_t)(end - x->r.p);
    CS_TRY(char_reference(out, cs_slice_of(x->r.p + 2, n - 2)));
    return advance(x, n + 1);
}

static cs_err read_text(cs_emu_xml *x, cs_buf *out)
{
    while (x->r.left > 0 && x->r.p[0] != '<') {
        uint8_t c = x->r.p[0];
        if (c == '&') {
            CS_TRY(entity(x, out));
        } else if (c < 0x20 && !is_space(c)) {
            return CS_E_FORMAT;
        } else {
            CS_TRY(cs_put_u8(out, c));
            CS_TRY(advance(x, 1));
        }
    }
    return CS_OK;
}

static bool all_space(cs_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_space(s.p[i])) {
            return false;
        }
    }
    return true;
}

/* Comments, and the declaration before the root. */
static cs_err skip_other(cs_emu_xml *x)
{
    for (;;) {
        if (x->depth == 0) {
            CS_TRY(skip_space(x));
        }
        if (peek(x, "<!--")) {
            CS_TRY(skip_past(x, "-->"));
        } else if (!x->started && peek(x, "<?xml ")) {
            x->started = true;
            CS_TRY(skip_past(x, "?>"));
        } else {
            return CS_OK;
        }
    }
}

cs_err cs_emu_xml_next(cs_emu_xml *x, cs_emu_xml_event *event, char name[CS_EMU_XML_NAME], cs_buf *out)
{
    if (x->pending_end) {
        x->pending_end = false;
        memcpy(name, x->open[--x->depth], CS_EMU_XML_NAME);
        *event = CS_EMU_XML_END;
        return CS_OK;
    }
    for (;;) {
        bool root_ended = x->started && x->depth == 0 && x->open[0][0] != '\0';
        CS_TRY(skip_other(x));
        if (x->r.left == 0 || root_ended) {
            *event = CS_EMU_XML_DONE;
            return x->r.left == 0 && root_ended ? CS_OK : CS_E_FORMAT;
        }
        if (peek(x, "</")) {
            *event = CS_EMU_XML_END;
            return end_tag(x, name);
        }
        if (x->r.p[0] == '<') {
            x->started = true;
            *event = CS_EMU_XML_START;
            return start_tag(x, name);
        }
        size_t len0 = out->len, space = 0;
        if (x->depth == 0) {
            return CS_E_FORMAT;
        }
        while (space < x->r.left && is_space(x->r.p[space])) {
            space++;
        }
        if (space < x->r.left && x->r.p[space] == '<') { /* needs no room in out */
            CS_TRY(advance(x, space));
            if (space > 0) {
                continue;
            }
        }
        cs_err err = read_text(x, out);
        if (err != CS_OK) {
            out->len = len0;
            return err;
        }
        if (!all_space(cs_slice_of(out->p + len0, out->len - len0))) {
            *event = CS_EMU_XML_TEXT;
            return CS_OK;
        }
        out->len = len0;
    }
}

cs_err cs_emu_xml_leaf(cs_emu_xml *x, char *out, size_t cap)
{
    cs_buf b = cs_buf_wrap(out, cap - 1);
    char name[CS_EMU_XML_NAME];
    cs_emu_xml_event e;
    do {
        CS_TRY(cs_emu_xml_next(x, &e, name, &b));
        if (e == CS_EMU_XML_START || e == CS_EMU_XML_DONE) {
            return CS_E_FORMAT;
        }
    } while (e != CS_EMU_XML_END);
    if (memchr(out, 0, b.len) != NULL) {
        return CS_E_FORMAT;
    }
    out[b.len] = '\0';
    return CS_OK;
}

cs_err cs_emu_xml_skip(cs_emu_xml *x)
{
    char name[CS_EMU_XML_NAME];
    cs_emu_xml_event e;
    size_t depth = x->depth - 1;
    do {
        cs_buf b = cs_buf_heap(1u << 20);
        cs_err err = cs_emu_xml_next(x, &e, name, &b);
        cs_buf_free(&b);
        CS_TRY(err);
    } while (e != CS_EMU_XML_DONE && x->depth > depth);
    return CS_OK;
}

cs_err cs_emu_xml_put_text(cs_buf *out, cs_slice text)
{
    static const char from[] = "&<>\"'";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"};
    size_t len0 = out->len;
    cs_err err = CS_OK;
    for (size_t i = 0; i < text.len && err == CS_OK; i++) {
        const char *at = text.p[i] != 0 ? strchr(from, text.p[i]) : NULL;
        if (at != NULL) {
            err = cs_put_str(out, to[at - from]);
        } else if (text.p[i] < 0x20) {
            err = cs_put_fmt(out, "&#x%X;", text.p[i]);
        } else {
            err = cs_put_u8(out, text.p[i]);
        }
    }
    if (err != CS_OK) {
        out->len = len0;
    }
    return err;
}

cs_err cs_emu_xml_put(cs_buf *out, const char *name, const char *value)
{
    size_t len0 = out->len;
    cs_err err = cs_put_fmt(out, "<%s>", name);
    err = err == CS_OK ? cs_emu_xml_put_text(out, cs_slice_str(value)) : err;
    err = err == CS_OK ? cs_put_fmt(out, "</%s>", name) : err;
    if (err != CS_OK) {
        out->len = len0;
    }
    return err;
}
