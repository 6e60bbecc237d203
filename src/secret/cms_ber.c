/* BER reader, see cms_ber.h. Source: X.690 section 8.1. */
#include "secret/cms_ber.h"

#define CONSTRUCTED 0x20
#define HIGH_TAG 0x1f
#define INDEFINITE 0x80

cs_ber cs_ber_of(cs_slice bytes)
{
    return (cs_ber){cs_reader_of(bytes), 0};
}

int cs_ber_peek(const cs_ber *b)
{
    return b->r.left > 0 ? b->r.p[0] : -1;
}

typedef struct element {
    uint8_t tag;
    bool indefinite;
    size_t len;
} element;

/* Identifier and length octets. */
static cs_err read_head(cs_reader *r, element *e)
{
    uint8_t first = 0, octet = 0;

    CS_TRY(cs_read_u8(r, &e->tag));
    CS_TRY(cs_read_u8(r, &first));
    if ((e->tag & HIGH_TAG) == HIGH_TAG) {
        return CS_E_FORMAT; /* nothing in CMS has a tag number above 30 */
    }
    e->len = first;
    e->indefinite = first == INDEFINITE;
    if (e->indefinite) {
        e->len = 0;
        return (e->tag & CONSTRUCTED) != 0 ? CS_OK : CS_E_FORMAT;
    }
    if (first < INDEFINITE) {
        return CS_OK;
    }
    if (first > (INDEFINITE | 2)) {
        return CS_E_FORMAT; /* longer than any envelope */
    }
    e->len = 0;
    for (unsigned i = 0; i < (first & 3U); i++) {
        CS_TRY(cs_read_u8(r, &octet));
        e->len = e->len << 8 | octet;
    }
    return CS_OK;
}

static bool at_end_of_contents(const cs_reader *r)
{
    return r->left >= 2 && r->p[0] == 0 && r->p[1] == 0;
}

/* Skips one element, whatever it is. */
static cs_err skip(cs_reader *r, unsigned depth)
{
    cs_slice contents;
    uint8_t eoc[2];
    element e;

    if (depth > CS_BER_MAX_DEPTH) {
        return CS_E_FORMAT;
    }
    CS_TRY(read_head(r, &e));
    if (!e.indefinite) {
        return cs_read_slice(r, &contents, e.len);
    }
    while (!at_end_of_contents(r)) {
        CS_TRY(skip(r, depth + 1));
    }
    return cs_read_bytes(r, eoc, sizeof eoc);
}

cs_err cs_ber_get(cs_ber *b, uint8_t tag, cs_slice *contents)
{
    cs_reader r = b->r, start;
    uint8_t eoc[2];
    element e;

    CS_TRY(read_head(&r, &e));
    if (e.tag != tag) {
        return CS_E_FORMAT;
    }
    if (!e.indefinite) {
        CS_TRY(cs_read_slice(&r, contents, e.len));
    } else {
        start = r;
        while (!at_end_of_contents(&r)) {
            CS_TRY(skip(&r, b->depth + 1));
        }
        *contents = cs_slice_of(start.p, start.left - r.left);
        CS_TRY(cs_read_bytes(&r, eoc, sizeof eoc));
    }
    b->r = r;
    return CS_OK;
}

cs_err cs_ber_enter(cs_ber *b, uint8_t tag, cs_ber *child)
{
    cs_slice contents;

    if ((tag & CONSTRUCTED) == 0 || b->depth + 1 > CS_BER_MAX_DEPTH) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_ber_get(b, tag, &contents));
    *child = (cs_ber){cs_reader_of(contents), b->depth + 1};
    return CS_OK;
}

cs_err cs_ber_expect(cs_ber *b, uint8_t tag, cs_slice contents)
{
    cs_slice got;

    CS_TRY(cs_ber_get(b, tag, &got));
    return cs_slice_eq(got, contents) ? CS_OK : CS_E_FORMAT;
}

cs_err cs_ber_end(const cs_ber *b)
{
    return cs_read_end(&b->r);
}
