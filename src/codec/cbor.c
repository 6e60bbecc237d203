/* CBOR reader, see cbor.h. Source: RFC 8949 sections 3, 4.2.1, 5.3 and appendix C. */
#include "codec/cbor.h"

#include <math.h>
#include <string.h>

#include "base/text.h"

enum { MAJOR_UINT, MAJOR_NINT, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY, MAJOR_MAP, MAJOR_TAG, MAJOR_SIMPLE };
enum { INFO_U8 = 24, INFO_U16 = 25, INFO_U32 = 26, INFO_U64 = 27, INFO_INDEFINITE = 31 };
#define BREAK_BYTE 0xff

/* The first bytes of an item: major type, additional information, and the argument (0 when indefinite). */
typedef struct head {
    unsigned major;
    unsigned info;
    uint64_t arg;
} head;

cs_cbor cs_cbor_of(cs_slice bytes, unsigned flags)
{
    return (cs_cbor){cs_reader_of(bytes), flags};
}

static cs_err read_arg(cs_reader *r, unsigned info, uint64_t *arg)
{
    uint8_t v8 = 0;
    uint16_t v16 = 0;
    uint32_t v32 = 0;

    switch (info) {
    case INFO_U8:
        CS_TRY(cs_read_u8(r, &v8));
        *arg = v8;
        return CS_OK;
    case INFO_U16:
        CS_TRY(cs_read_u16(r, &v16));
        *arg = v16;
        return CS_OK;
    case INFO_U32:
        CS_TRY(cs_read_u32(r, &v32));
        *arg = v32;
        return CS_OK;
    case INFO_U64:
        return cs_read_u64(r, arg);
    default:
        *arg = info;
        return info < INFO_U8 ? CS_OK : CS_E_FORMAT; /* 28..30 are reserved; 31 is handled by the caller */
    }
}

/* True when arg could have been written with less than the `info` form [RFC 8949 4.2.1]. */
static bool longer_than_needed(unsigned info, uint64_t arg)
{
    return (info == INFO_U8 && arg < 24) || (info == INFO_U16 && arg <= UINT8_MAX) ||
           (info == INFO_U32 && arg <= UINT16_MAX) || (info == INFO_U64 && arg <= UINT32_MAX);
}

/* Reads a head that is not a break; *r advances on success only. */
static cs_err read_head(const cs_cbor *c, cs_reader *r, head *out)
{
    cs_reader in = *r;
    uint8_t initial = 0;
    head h = {0};

    CS_TRY(cs_read_u8(&in, &initial));
    h.major = initial >> 5;
    h.info = initial & 31;
    if (h.info == INFO_INDEFINITE) {
        bool allowed = (c->flags & CS_CBOR_INDEFINITE) != 0 && h.major >= MAJOR_BYTES && h.major <= MAJOR_MAP;

        if (!allowed) {
            return CS_E_FORMAT;
        }
    } else {
        CS_TRY(read_arg(&in, h.info, &h.arg));
        if (h.major == MAJOR_SIMPLE) {
            /* a two-byte simple value below 32 is not well formed, whatever the flags [RFC 8949 3.3] */
            if (h.info == INFO_U8 && h.arg < 32) {
                return CS_E_FORMAT;
            }
        } else if ((c->flags & CS_CBOR_LAX_INT) == 0 && longer_than_needed(h.info, h.arg)) {
            return CS_E_FORMAT;
        }
    }
    *r = in;
    *out = h;
    return CS_OK;
}

/* Reads the head of a given major type with a definite argument. */
static cs_err read_major(cs_cbor *c, unsigned major, uint64_t *arg)
{
    cs_reader r = c->r;
    head h;

    CS_TRY(read_head(c, &r, &h));
    if (h.major != major || h.info == INFO_INDEFINITE) {
        return CS_E_FORMAT;
    }
    c->r = r;
    *arg = h.arg;
    return CS_OK;
}

cs_cbor_type cs_cbor_peek(const cs_cbor *c)
{
    static const cs_cbor_type types[] = {CS_CBOR_UINT,  CS_CBOR_NINT, CS_CBOR_BYTES, CS_CBOR_TEXT,
                                         CS_CBOR_ARRAY, CS_CBOR_MAP,  CS_CBOR_TAG,   CS_CBOR_SIMPLE};
    const cs_cbor_type invalid = (cs_cbor_type)(CS_CBOR_END + 1);
    unsigned major, info;

    if (c->r.left == 0) {
        return CS_CBOR_END;
    }
    if (c->r.p[0] == BREAK_BYTE) {
        return CS_CBOR_BREAK;
    }
    major = c->r.p[0] >> 5;
    info = c->r.p[0] & 31;
    if (info > INFO_U64 && (info != INFO_INDEFINITE || major < MAJOR_BYTES || major > MAJOR_MAP)) {
        return invalid;
    }
    if (major == MAJOR_SIMPLE && info >= INFO_U16) {
        return CS_CBOR_FLOAT;
    }
    return types[major];
}

cs_err cs_cbor_uint(cs_cbor *c, uint64_t *out)
{
    return read_major(c, MAJOR_UINT, out);
}

cs_err cs_cbor_nint(cs_cbor *c, uint64_t *out)
{
    return read_major(c, MAJOR_NINT, out);
}

cs_err cs_cbor_int(cs_cbor *c, int64_t *out)
{
    cs_reader r = c->r;
    head h;

    CS_TRY(read_head(c, &r, &h));
    if ((h.major != MAJOR_UINT && h.major != MAJOR_NINT) || h.arg > INT64_MAX) {
        return CS_E_FORMAT;
    }
    c->r = r;
    *out = h.major == MAJOR_UINT ? (int64_t)h.arg : -1 - (int64_t)h.arg;
    return CS_OK;
}

/* Reads one definite string; text must be UTF-8. */
static cs_err read_string(const cs_cbor *c, cs_reader *r, unsigned major, cs_slice *out)
{
    cs_reader in = *r;
    cs_slice s;
    head h;

    CS_TRY(read_head(c, &in, &h));
    if (h.major != major || h.info == INFO_INDEFINITE || h.arg > in.left) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_read_slice(&in, &s, (size_t)h.arg));
    if (major == MAJOR_TEXT && !cs_utf8_valid(s)) {
        return CS_E_FORMAT;
    }
    *r = in;
    *out = s;
    return CS_OK;
}

cs_err cs_cbor_bytes(cs_cbor *c, cs_slice *out)
{
    return read_string(c, &c->r, MAJOR_BYTES, out);
}

cs_err cs_cbor_text(cs_cbor *c, cs_slice *out)
{
    return read_string(c, &c->r, MAJOR_TEXT, out);
}

/* Takes the break byte when it is next. */
static bool take_break(cs_reader *r)
{
    uint8_t b = 0;

    return r->left > 0 && r->p[0] == BREAK_BYTE && cs_read_u8(r, &b) == CS_OK;
}

/* One definite or indefinite string; its chunks are appended to out unless out is NULL. On error *r may have moved. */
static cs_err walk_string(const cs_cbor *c, cs_reader *r, unsigned major, cs_buf *out)
{
    cs_reader start = *r;
    cs_slice chunk;
    head h;

    CS_TRY(read_head(c, r, &h));
    if (h.major != major) {
        return CS_E_FORMAT;
    }
    if (h.info != INFO_INDEFINITE) {
        *r = start;
        CS_TRY(read_string(c, r, major, &chunk));
        return out == NULL ? CS_OK : cs_put_slice(out, chunk);
    }
    while (!take_break(r)) {
        /* chunks are definite strings of the same major type, each valid UTF-8 by itself [RFC 8949 3.2.3] */
        CS_TRY(read_string(c, r, major, &chunk));
        if (out != NULL) {
            CS_TRY(cs_put_slice(out, chunk));
        }
    }
    return CS_OK;
}

static cs_err copy_string(cs_cbor *c, unsigned major, cs_buf *out)
{
    cs_reader r = c->r;
    size_t len = out->len;
    cs_err err = walk_string(c, &r, major, out);

    if (err != CS_OK) {
        out->len = len; /* drop the chunks taken before the fault */
        return err;
    }
    c->r = r;
    return CS_OK;
}

cs_err cs_cbor_bytes_copy(cs_cbor *c, cs_buf *out)
{
    return copy_string(c, MAJOR_BYTES, out);
}

cs_err cs_cbor_text_copy(cs_cbor *c, cs_buf *out)
{
    return copy_string(c, MAJOR_TEXT, out);
}

cs_err cs_cbor_simple(cs_cbor *c, uint8_t *out)
{
    cs_reader r = c->r;
    head h;

    CS_TRY(read_head(c, &r, &h));
    if (h.major != MAJOR_SIMPLE || h.info > INFO_U8) {
        return CS_E_FORMAT;
    }
    c->r = r;
    *out = (uint8_t)h.arg;
    return CS_OK;
}

enum { SIMPLE_FALSE = 20, SIMPLE_TRUE = 21, SIMPLE_NULL = 22 };

cs_err cs_cbor_bool(cs_cbor *c, bool *out)
{
    cs_cbor in = *c;
    uint8_t v = 0;

    CS_TRY(cs_cbor_simple(&in, &v));
    if (v != SIMPLE_FALSE && v != SIMPLE_TRUE) {
        return CS_E_FORMAT;
    }
    *c = in;
    *out = v == SIMPLE_TRUE;
    return CS_OK;
}

cs_err cs_cbor_null(cs_cbor *c)
{
    cs_cbor in = *c;
    uint8_t v = 0;

    CS_TRY(cs_cbor_simple(&in, &v));
    if (v != SIMPLE_NULL) {
        return CS_E_FORMAT;
    }
    *c = in;
    return CS_OK;
}

static double half_to_double(unsigned half)
{
    unsigned exponent = half >> 10 & 0x1f, mantissa = half & 0x3ff;
    double v;

    if (exponent == 0) {
        v = ldexp(mantissa, -24);
    } else if (exponent != 31) {
        v = ldexp(mantissa + 1024, (int)exponent - 25);
    } else {
        v = mantissa == 0 ? INFINITY : NAN;
    }
    return (half & 0x8000) != 0 ? -v : v;
}

cs_err cs_cbor_float(cs_cbor *c, double *out)
{
    cs_reader r = c->r;
    uint32_t bits32;
    float single;
    head h;

    CS_TRY(read_head(c, &r, &h));
    if (h.major != MAJOR_SIMPLE || h.info < INFO_U16) {
        return CS_E_FORMAT;
    }
    if (h.info == INFO_U16) {
        *out = half_to_double((unsigned)h.arg);
    } else if (h.info == INFO_U32) {
        bits32 = (uint32_t)h.arg;
        memcpy(&single, &bits32, sizeof single);
        *out = (double)single;
    } else {
        memcpy(out, &h.arg, sizeof *out);
    }
    c->r = r;
    return CS_OK;
}

cs_err cs_cbor_tag(cs_cbor *c, uint64_t *out)
{
    return read_major(c, MAJOR_TAG, out);
}

static cs_err begin(const cs_cbor *c, cs_reader *r, unsigned major, cs_cbor_iter *it)
{
    cs_reader in = *r;
    head h;

    CS_TRY(read_head(c, &in, &h));
    if (h.major != major) {
        return CS_E_FORMAT;
    }
    /* every element takes at least one byte, every pair two: refuse counts that cannot be met before anyone uses them */
    if (h.arg > in.left / (major == MAJOR_MAP ? 2 : 1)) {
        return CS_E_FORMAT;
    }
    *r = in;
    it->left = h.arg;
    it->indefinite = h.info == INFO_INDEFINITE;
    return CS_OK;
}

cs_err cs_cbor_array(cs_cbor *c, cs_cbor_iter *it)
{
    return begin(c, &c->r, MAJOR_ARRAY, it);
}

cs_err cs_cbor_map(cs_cbor *c, cs_cbor_iter *it)
{
    return begin(c, &c->r, MAJOR_MAP, it);
}

bool cs_cbor_more(cs_cbor *c, cs_cbor_iter *it)
{
    if (it->indefinite) {
        /* at the end of the input there is no break: say "more", so that the caller's next getter fails */
        return !take_break(&c->r);
    }
    if (it->left == 0) {
        return false;
    }
    it->left--;
    return true;
}

/* The state of one walk over an untrusted item. */
typedef struct walk {
    bool unique_keys;
    unsigned unordered_left; /* keys that may still be out of order */
} walk;

static cs_err walk_item(cs_cbor *c, walk *w, unsigned depth);

static int compare(cs_slice a, cs_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int d = n == 0 ? 0 : memcmp(a.p, b.p, n);

    return d != 0 ? d : (a.len > b.len) - (a.len < b.len);
}

/* True when key is one of the num_before keys of the map whose pairs start at `pairs` (these were walked before). */
static bool key_is_known(cs_cbor pairs, uint64_t num_before, cs_slice key)
{
    cs_slice seen;

    for (uint64_t i = 0; i < num_before; i++) {
        if (cs_cbor_skip(&pairs, &seen) != CS_OK || cs_slice_eq(seen, key) || cs_cbor_skip(&pairs, NULL) != CS_OK) {
            return true;
        }
    }
    return false;
}

/*
 * Keys that ascend cannot repeat; only a key below the largest so far is looked up among those before it. Comparing the
 * encodings is comparing the values, because only shortest, definite forms reach this place.
 */
static cs_err check_unique(const cs_cbor *pairs, walk *w, uint64_t num_before, cs_slice key, cs_slice *largest)
{
    int order = num_before == 0 ? 1 : compare(key, *largest);

    if (order > 0) {
        *largest = key;
        return CS_OK;
    }
    if (order == 0 || w->unordered_left == 0 || key_is_known(*pairs, num_before, key)) {
        return CS_E_FORMAT;
    }
    w->unordered_left--;
    return CS_OK;
}

static cs_err walk_map(cs_cbor *c, walk *w, unsigned depth)
{
    cs_slice largest = CS_SLICE_NULL;
    cs_cbor_iter it;
    cs_cbor pairs;

    CS_TRY(cs_cbor_map(c, &it));
    pairs = *c;
    for (uint64_t i = 0; cs_cbor_more(c, &it); i++) {
        cs_reader start = c->r;

        CS_TRY(walk_item(c, w, depth + 1));
        if (w->unique_keys) {
            CS_TRY(check_unique(&pairs, w, i, cs_slice_of(start.p, start.left - c->r.left), &largest));
        }
        CS_TRY(walk_item(c, w, depth + 1));
    }
    return CS_OK;
}

static cs_err walk_item(cs_cbor *c, walk *w, unsigned depth)
{
    cs_cbor_iter it;
    uint64_t tag;
    head h;

    if (depth > CS_CBOR_MAX_DEPTH) {
        return CS_E_FORMAT;
    }
    switch (cs_cbor_peek(c)) {
    case CS_CBOR_BYTES:
        return walk_string(c, &c->r, MAJOR_BYTES, NULL);
    case CS_CBOR_TEXT:
        return walk_string(c, &c->r, MAJOR_TEXT, NULL);
    case CS_CBOR_ARRAY:
        CS_TRY(cs_cbor_array(c, &it));
        while (cs_cbor_more(c, &it)) {
            CS_TRY(walk_item(c, w, depth + 1));
        }
        return CS_OK;
    case CS_CBOR_MAP:
        return walk_map(c, w, depth);
    case CS_CBOR_TAG:
        CS_TRY(cs_cbor_tag(c, &tag));
        return walk_item(c, w, depth + 1);
    case CS_CBOR_UINT:
    case CS_CBOR_NINT:
    case CS_CBOR_SIMPLE:
    case CS_CBOR_FLOAT:
        return read_head(c, &c->r, &h);
    default: /* a break outside of an indefinite container, the end, a reserved initial byte */
        return CS_E_FORMAT;
    }
}

cs_err cs_cbor_skip(cs_cbor *c, cs_slice *out)
{
    walk w = {false, 0};
    cs_cbor in = *c;

    CS_TRY(walk_item(&in, &w, 0));
    if (out != NULL) {
        *out = cs_slice_of(c->r.p, c->r.left - in.r.left);
    }
    *c = in;
    return CS_OK;
}

cs_err cs_cbor_end(const cs_cbor *c)
{
    return cs_read_end(&c->r);
}

cs_err cs_cbor_check(cs_slice bytes, unsigned flags)
{
    walk w = {flags == CS_CBOR_STRICT, CS_CBOR_MAX_UNORDERED};
    cs_cbor c = cs_cbor_of(bytes, flags);

    CS_TRY(walk_item(&c, &w, 0));
    return cs_cbor_end(&c);
}
