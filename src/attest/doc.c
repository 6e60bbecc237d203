/* Parser of attestation documents, see doc.h. */
#include "attest/doc.h"

#include <string.h>

#define CBOR_FLAGS (CS_CBOR_INDEFINITE | CS_CBOR_LAX_INT)
#define MAX_KEYS 32 /* of the payload map, nine are known */
#define MAX_KEY_LEN 64

static cs_err read_field(cs_cbor *c, cs_att_bytes *out, size_t min_len)
{
    cs_buf buf = cs_buf_wrap(out->b, sizeof out->b);

    if (cs_cbor_peek(c) == CS_CBOR_SIMPLE) {
        return cs_cbor_null(c); /* specification prose forbids null, genuine documents have it */
    }
    CS_TRY(cs_cbor_bytes_copy(c, &buf));
    if (buf.len < min_len) {
        return CS_E_FORMAT;
    }
    out->present = true;
    out->len = (uint16_t)buf.len;
    return CS_OK;
}

static cs_err read_cert(cs_cbor *c, cs_att_cert *out)
{
    cs_buf buf = cs_buf_wrap(out->der, sizeof out->der);

    CS_TRY(cs_cbor_bytes_copy(c, &buf));
    out->len = (uint16_t)buf.len;
    return buf.len > 0 ? CS_OK : CS_E_FORMAT;
}

static cs_err read_module_id(cs_cbor *c, cs_att_doc *d)
{
    cs_buf buf = cs_buf_wrap(d->claims.module_id, CS_ATT_MAX_MODULE_ID);

    CS_TRY(cs_cbor_text_copy(c, &buf));
    for (size_t i = 0; i < buf.len; i++) {
        if (buf.p[i] <= ' ' || buf.p[i] > '~') {
            return CS_E_FORMAT;
        }
    }
    d->claims.module_id[buf.len] = '\0';
    return buf.len > 0 ? CS_OK : CS_E_FORMAT;
}

static cs_err read_digest(cs_cbor *c, cs_att_doc *d)
{
    uint8_t mem[16];
    cs_buf buf = cs_buf_wrap(mem, sizeof mem);

    (void)d;
    CS_TRY(cs_cbor_text_copy(c, &buf));
    return cs_slice_eq_str(cs_buf_slice(&buf), "SHA384") ? CS_OK : CS_E_FORMAT;
}

static cs_err read_timestamp(cs_cbor *c, cs_att_doc *d)
{
    CS_TRY(cs_cbor_uint(c, &d->claims.timestamp_ms));
    return d->claims.timestamp_ms > 0 ? CS_OK : CS_E_FORMAT;
}

static cs_err read_pcrs(cs_cbor *c, cs_att_doc *d)
{
    cs_att_claims *claims = &d->claims;
    cs_cbor_iter it;
    uint64_t index;

    CS_TRY(cs_cbor_map(c, &it));
    while (cs_cbor_more(c, &it)) {
        cs_buf buf;

        CS_TRY(cs_cbor_uint(c, &index));
        if (index >= CS_ATT_NUM_PCRS || (claims->pcr_mask >> index & 1) != 0) {
            return CS_E_FORMAT;
        }
        buf = cs_buf_wrap(claims->pcr[index].b, CS_PCR_LEN);
        CS_TRY(cs_cbor_bytes_copy(c, &buf));
        if (buf.len != CS_PCR_LEN) { /* the digest is SHA-384 */
            return CS_E_FORMAT;
        }
        claims->pcr_mask |= (uint32_t)1 << index;
    }
    return claims->pcr_mask != 0 ? CS_OK : CS_E_FORMAT;
}

static cs_err read_leaf(cs_cbor *c, cs_att_doc *d)
{
    return read_cert(c, &d->leaf);
}

static cs_err read_cabundle(cs_cbor *c, cs_att_doc *d)
{
    cs_cbor_iter it;

    CS_TRY(cs_cbor_array(c, &it));
    while (cs_cbor_more(c, &it)) {
        if (d->num_cabundle == CS_ATT_MAX_CABUNDLE) {
            return CS_E_FORMAT;
        }
        CS_TRY(read_cert(c, &d->cabundle[d->num_cabundle]));
        d->num_cabundle++;
    }
    return d->num_cabundle > 0 ? CS_OK : CS_E_FORMAT;
}

static cs_err read_public_key(cs_cbor *c, cs_att_doc *d)
{
    return read_field(c, &d->claims.public_key, 0); /* one genuine document has an empty one */
}

static cs_err read_user_data(cs_cbor *c, cs_att_doc *d)
{
    return read_field(c, &d->claims.user_data, 0);
}

static cs_err read_nonce(cs_cbor *c, cs_att_doc *d)
{
    return read_field(c, &d->claims.nonce, 0);
}

static const struct {
    const char *name;
    cs_err (*read)(cs_cbor *c, cs_att_doc *d);
    bool required;
} fields[] = {
    {"module_id", read_module_id, true},    {"digest", read_digest, true},
    {"timestamp", read_timestamp, true},    {"pcrs", read_pcrs, true},
    {"certificate", read_leaf, true},       {"cabundle", read_cabundle, true},
    {"public_key", read_public_key, false}, {"user_data", read_user_data, false},
    {"nonce", read_nonce, false},
};
#define NUM_FIELDS (sizeof fields / sizeof fields[0])

/* The keys seen so far: a key twice is refused even when nobody knows it. */
typedef struct seen_keys {
    struct {
        uint8_t b[MAX_KEY_LEN];
        size_t len;
    } key[MAX_KEYS];
    size_t num;
} seen_keys;

static cs_err read_key(cs_cbor *c, seen_keys *seen, cs_slice *out)
{
    cs_buf buf;

    if (seen->num == MAX_KEYS) {
        return CS_E_FORMAT;
    }
    buf = cs_buf_wrap(seen->key[seen->num].b, MAX_KEY_LEN);
    CS_TRY(cs_cbor_text_copy(c, &buf));
    *out = cs_buf_slice(&buf);
    for (size_t i = 0; i < seen->num; i++) {
        if (cs_slice_eq(*out, cs_slice_of(seen->key[i].b, seen->key[i].len))) {
            return CS_E_FORMAT;
        }
    }
    seen->key[seen->num++].len = buf.len;
    return CS_OK;
}

static cs_err read_payload(cs_att_doc *d, cs_slice payload)
{
    cs_cbor c = cs_cbor_of(payload, CBOR_FLAGS);
    bool found[NUM_FIELDS] = {false};
    seen_keys seen = {.num = 0};
    cs_cbor_iter it;
    cs_slice key;

    CS_TRY(cs_cbor_map(&c, &it));
    while (cs_cbor_more(&c, &it)) {
        size_t i = 0;

        CS_TRY(read_key(&c, &seen, &key));
        while (i < NUM_FIELDS && !cs_slice_eq_str(key, fields[i].name)) {
            i++;
        }
        if (i == NUM_FIELDS) {
            CS_TRY(cs_cbor_skip(&c, NULL));
        } else {
            CS_TRY(fields[i].read(&c, d));
            found[i] = true;
        }
    }
    for (size_t i = 0; i < NUM_FIELDS; i++) {
        if (fields[i].required && !found[i]) {
            return CS_E_FORMAT;
        }
    }
    return cs_cbor_end(&c);
}

cs_err cs_att_doc_parse(cs_att_doc *out, cs_slice bytes)
{
    memset(out, 0, sizeof *out);
    if (bytes.len == 0 || bytes.len > CS_ATT_MAX_DOC || cs_cose_sign1_parse(&out->cose, bytes, CBOR_FLAGS) != CS_OK ||
        out->cose.detached || !out->cose.head.alg_protected || out->cose.head.alg != CS_COSE_ES384 ||
        out->cose.signature.len != (size_t)2 * 48 || read_payload(out, out->cose.payload) != CS_OK) {
        return CS_E_ATT_FORMAT;
    }
    return CS_OK;
}

bool cs_att_is_debug(const cs_att_claims *claims)
{
    return cs_pcr_is_zero(&claims->pcr[0]) || cs_pcr_is_zero(&claims->pcr[1]) || cs_pcr_is_zero(&claims->pcr[2]);
}
