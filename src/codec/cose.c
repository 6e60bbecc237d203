/* COSE_Sign1 and COSE_Sign, see cose.h. Source: RFC 9052 sections 3, 4. */
#include "codec/cose.h"

enum { LABEL_ALG = 1, LABEL_CRIT = 2, LABEL_KID = 4 };
#define MAX_HEADERS 16 /* entries of one header map; also bounds the search for duplicates */

/* A critical label outside 0..7 names something that nobody here understands [RFC 9052 3.1]. */
static cs_err read_crit(cs_cbor *c)
{
    cs_cbor_iter it;
    uint64_t label = 0, num = 0;

    CS_TRY(cs_cbor_array(c, &it));
    for (; cs_cbor_more(c, &it); num++) {
        CS_TRY(cs_cbor_uint(c, &label));
        if (label > 7) {
            return CS_E_FORMAT;
        }
    }
    return num > 0 ? CS_OK : CS_E_FORMAT;
}

static cs_err read_alg(cs_cose_headers *h, cs_cbor *c, bool is_protected)
{
    cs_slice name;

    if (h->has_alg) { /* the two buckets must not share a label */
        return CS_E_FORMAT;
    }
    h->has_alg = true;
    h->alg_protected = is_protected;
    h->alg = 0;
    return cs_cbor_peek(c) == CS_CBOR_TEXT ? cs_cbor_text(c, &name) : cs_cbor_int(c, &h->alg);
}

static cs_err read_value(cs_cose_headers *h, cs_cbor *c, cs_slice label, bool is_protected)
{
    cs_cbor key = cs_cbor_of(label, c->flags);
    int64_t n = 0;

    if (cs_cbor_peek(&key) == CS_CBOR_TEXT) {
        return cs_cbor_skip(c, NULL);
    }
    CS_TRY(cs_cbor_int(&key, &n)); /* labels are integers or text */
    switch (n) {
    case LABEL_ALG:
        return read_alg(h, c, is_protected);
    case LABEL_CRIT:
        return is_protected ? read_crit(c) : CS_E_FORMAT;
    case LABEL_KID:
        return cs_cbor_bytes(c, &h->kid);
    default:
        return cs_cbor_skip(c, NULL);
    }
}

static cs_err read_map(cs_cose_headers *h, cs_cbor *c, bool is_protected)
{
    cs_slice labels[MAX_HEADERS];
    cs_cbor_iter it;
    size_t num = 0;

    CS_TRY(cs_cbor_map(c, &it));
    for (; cs_cbor_more(c, &it); num++) {
        if (num == MAX_HEADERS) {
            return CS_E_FORMAT;
        }
        CS_TRY(cs_cbor_skip(c, &labels[num]));
        for (size_t i = 0; i < num; i++) {
            if (cs_slice_eq(labels[i], labels[num])) {
                return CS_E_FORMAT;
            }
        }
        CS_TRY(read_value(h, c, labels[num], is_protected));
    }
    return CS_OK;
}

/* protected: bstr .cbor map or empty bstr; unprotected: map. */
static cs_err read_headers(cs_cose_headers *h, cs_cbor *c)
{
    cs_cbor inner;

    CS_TRY(cs_cbor_bytes(c, &h->protected_bytes));
    if (h->protected_bytes.len > 0) {
        inner = cs_cbor_of(h->protected_bytes, c->flags);
        CS_TRY(read_map(h, &inner, true));
        CS_TRY(cs_cbor_end(&inner));
    }
    return read_map(h, c, false);
}

static cs_err read_payload(cs_cbor *c, bool *detached, cs_slice *payload)
{
    *detached = cs_cbor_peek(c) == CS_CBOR_SIMPLE;
    *payload = CS_SLICE_NULL;
    return *detached ? cs_cbor_null(c) : cs_cbor_bytes(c, payload);
}

static cs_err read_signature(cs_cbor *c, cs_slice *out)
{
    CS_TRY(cs_cbor_bytes(c, out));
    return out->len > 0 ? CS_OK : CS_E_FORMAT;
}

/* Fixed arrays: `element` before each item (fails when the array ends early), `last_element` after the last. */
static cs_err element(cs_cbor *c, cs_cbor_iter *it)
{
    return cs_cbor_more(c, it) ? CS_OK : CS_E_FORMAT;
}

static cs_err last_element(cs_cbor *c, cs_cbor_iter *it)
{
    return cs_cbor_more(c, it) ? CS_E_FORMAT : CS_OK;
}

/* A header pair takes two elements: the second is counted after the protected string was seen. */
static cs_err headers_elements(cs_cbor *c, cs_cbor_iter *it, cs_cose_headers *h)
{
    cs_cbor start;

    CS_TRY(element(c, it));
    start = *c;
    CS_TRY(cs_cbor_skip(c, NULL));
    CS_TRY(element(c, it)); /* consumes a break when the array ends early */
    *c = start;
    return read_headers(h, c);
}

static cs_err take_tag(cs_cbor *c, uint64_t expected)
{
    uint64_t tag = 0;

    if (cs_cbor_peek(c) != CS_CBOR_TAG) {
        return CS_OK;
    }
    CS_TRY(cs_cbor_tag(c, &tag));
    return tag == expected ? CS_OK : CS_E_FORMAT;
}

cs_err cs_cose_sign1_parse(cs_cose_sign1 *out, cs_slice bytes, unsigned cbor_flags)
{
    cs_cbor c = cs_cbor_of(bytes, cbor_flags);
    cs_cose_sign1 m = {0};
    cs_cbor_iter it;

    CS_TRY(take_tag(&c, CS_COSE_TAG_SIGN1));
    CS_TRY(cs_cbor_array(&c, &it));
    CS_TRY(headers_elements(&c, &it, &m.head));
    CS_TRY(element(&c, &it));
    CS_TRY(read_payload(&c, &m.detached, &m.payload));
    CS_TRY(element(&c, &it));
    CS_TRY(read_signature(&c, &m.signature));
    CS_TRY(last_element(&c, &it));
    CS_TRY(cs_cbor_end(&c));
    *out = m;
    return CS_OK;
}

static cs_err read_signer(cs_cbor *c, cs_cose_signer *out)
{
    cs_cbor_iter it;

    CS_TRY(cs_cbor_array(c, &it));
    CS_TRY(headers_elements(c, &it, &out->head));
    CS_TRY(element(c, &it));
    CS_TRY(read_signature(c, &out->signature));
    return last_element(c, &it);
}

cs_err cs_cose_sign_parse(cs_cose_sign *out, cs_slice bytes, unsigned cbor_flags)
{
    cs_cbor c = cs_cbor_of(bytes, cbor_flags);
    cs_cose_sign m = {0};
    cs_cbor_iter it, signers;

    CS_TRY(take_tag(&c, CS_COSE_TAG_SIGN));
    CS_TRY(cs_cbor_array(&c, &it));
    CS_TRY(headers_elements(&c, &it, &m.head));
    CS_TRY(element(&c, &it));
    CS_TRY(read_payload(&c, &m.detached, &m.payload));
    CS_TRY(element(&c, &it));
    CS_TRY(cs_cbor_array(&c, &signers));
    for (; cs_cbor_more(&c, &signers); m.num_signers++) {
        if (m.num_signers == CS_COSE_MAX_SIGNERS) {
            return CS_E_FORMAT;
        }
        CS_TRY(read_signer(&c, &m.signer[m.num_signers]));
    }
    CS_TRY(last_element(&c, &it));
    CS_TRY(cs_cbor_end(&c));
    if (m.num_signers == 0) {
        return CS_E_FORMAT;
    }
    *out = m;
    return CS_OK;
}

/* An empty map in the protected bucket is signed as a zero-length string [RFC 9052 4.4 step 2]. */
static cs_slice signed_protected(cs_slice protected_bytes)
{
    cs_cbor c = cs_cbor_of(protected_bytes, CS_CBOR_INDEFINITE | CS_CBOR_LAX_INT);
    cs_cbor_iter it;
    bool empty = cs_cbor_map(&c, &it) == CS_OK && !cs_cbor_more(&c, &it);

    return empty ? CS_SLICE_NULL : protected_bytes;
}

static cs_err put_tbs(cs_buf *out, const char *context, const cs_slice *fields, size_t num_fields)
{
    CS_TRY(cs_cbor_put_array(out, num_fields + 1));
    CS_TRY(cs_cbor_put_text(out, context));
    for (size_t i = 0; i < num_fields; i++) {
        CS_TRY(cs_cbor_put_bytes(out, fields[i]));
    }
    return CS_OK;
}

static cs_err restore_on_error(cs_buf *out, size_t len, cs_err err)
{
    if (err != CS_OK) {
        out->len = len;
    }
    return err;
}

cs_err cs_cose_sign1_tbs(cs_buf *out, const cs_cose_sign1 *m, cs_slice external_aad)
{
    const cs_slice fields[] = {signed_protected(m->head.protected_bytes), external_aad, m->payload};
    size_t len = out->len;

    return restore_on_error(out, len, put_tbs(out, "Signature1", fields, 3));
}

cs_err cs_cose_sign_tbs(cs_buf *out, const cs_cose_sign *m, const cs_cose_signer *signer, cs_slice external_aad)
{
    const cs_slice fields[] = {signed_protected(m->head.protected_bytes),
                               signed_protected(signer->head.protected_bytes), external_aad, m->payload};
    size_t len = out->len;

    return restore_on_error(out, len, put_tbs(out, "Signature", fields, 4));
}

static cs_err put_sign1(cs_buf *out, cs_slice protected_bytes, cs_slice payload, cs_slice signature)
{
    CS_TRY(cs_cbor_put_array(out, 4));
    CS_TRY(cs_cbor_put_bytes(out, protected_bytes));
    CS_TRY(cs_cbor_put_map(out, 0));
    CS_TRY(cs_cbor_put_bytes(out, payload));
    return cs_cbor_put_bytes(out, signature);
}

cs_err cs_cose_sign1_put(cs_buf *out, cs_slice protected_bytes, cs_slice payload, cs_slice signature)
{
    size_t len = out->len;

    return restore_on_error(out, len, put_sign1(out, protected_bytes, payload, signature));
}
