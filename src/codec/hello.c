#include "codec/hello.h"

#include <string.h>

#include "codec/cbor.h"

#define LABEL "countersign/request/1"
#define RESERVED "countersign/"

bool cs_account_id_valid(cs_slice id)
{
    if (id.len == 0 || id.len > CS_HELLO_MAX_ACCOUNT) {
        return false;
    }
    for (size_t i = 0; i < id.len; i++) {
        uint8_t c = id.p[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\' || c == '/') {
            return false;
        }
    }
    return true; /* reserved names hold a '/' */
}

static bool in_range(const cs_hello *h)
{
    bool ok = cs_account_id_valid(h->account_id) && h->execution_id.len >= 1 &&
              h->execution_id.len <= CS_HELLO_MAX_EXECUTION && h->path_len <= CS_HELLO_MAX_PATH;
    for (size_t i = 0; ok && i < h->path_len; i++) {
        ok = h->path[i] < 0x80000000u;
    }
    return ok;
}

static cs_err put_fields(cs_buf *out, const cs_hello *h)
{
    CS_TRY(cs_cbor_put_map(out, 6));
    CS_TRY(cs_cbor_put_uint(out, 1));
    CS_TRY(cs_cbor_put_text_slice(out, h->account_id));
    CS_TRY(cs_cbor_put_uint(out, 2));
    CS_TRY(cs_cbor_put_int(out, h->tx_id));
    CS_TRY(cs_cbor_put_uint(out, 3));
    CS_TRY(cs_cbor_put_bytes(out, h->execution_id));
    CS_TRY(cs_cbor_put_uint(out, 4));
    CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(h->digest32, 32)));
    CS_TRY(cs_cbor_put_uint(out, 5));
    CS_TRY(cs_cbor_put_array(out, h->path_len));
    for (size_t i = 0; i < h->path_len; i++) {
        CS_TRY(cs_cbor_put_uint(out, h->path[i]));
    }
    CS_TRY(cs_cbor_put_uint(out, 6));
    return cs_cbor_put_uint(out, h->epoch);
}

cs_err cs_hello_put(cs_buf *out, const cs_hello *h)
{
    size_t before = out->len;
    cs_err err = in_range(h) ? put_fields(out, h) : CS_E_RANGE;
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

static cs_err expect_key(cs_cbor *c, uint64_t key)
{
    uint64_t got = 0;
    CS_TRY(cs_cbor_uint(c, &got));
    return got == key ? CS_OK : CS_E_FORMAT;
}

static cs_err parse_path(cs_cbor *c, cs_hello *h)
{
    cs_cbor_iter it;
    CS_TRY(cs_cbor_array(c, &it));
    while (cs_cbor_more(c, &it)) {
        uint64_t v = 0;
        CS_TRY(cs_cbor_uint(c, &v));
        if (h->path_len == CS_HELLO_MAX_PATH || v >= 0x80000000u) {
            return CS_E_FORMAT;
        }
        h->path[h->path_len++] = (uint32_t)v;
    }
    return CS_OK;
}

cs_err cs_hello_parse(cs_hello *out, cs_slice cbor)
{
    cs_hello h = {0};
    cs_cbor c = cs_cbor_of(cbor, CS_CBOR_STRICT);
    cs_cbor_iter it;
    cs_slice digest;
    uint64_t epoch = 0;
    CS_TRY(cs_cbor_map(&c, &it));
    if (it.left != 6) {
        return CS_E_FORMAT;
    }
    CS_TRY(expect_key(&c, 1));
    CS_TRY(cs_cbor_text(&c, &h.account_id));
    CS_TRY(expect_key(&c, 2));
    CS_TRY(cs_cbor_int(&c, &h.tx_id));
    CS_TRY(expect_key(&c, 3));
    CS_TRY(cs_cbor_bytes(&c, &h.execution_id));
    CS_TRY(expect_key(&c, 4));
    CS_TRY(cs_cbor_bytes(&c, &digest));
    CS_TRY(expect_key(&c, 5));
    CS_TRY(parse_path(&c, &h));
    CS_TRY(expect_key(&c, 6));
    CS_TRY(cs_cbor_uint(&c, &epoch));
    CS_TRY(cs_cbor_end(&c));
    if (epoch > UINT32_MAX || !in_range(&h)) {
        return CS_E_FORMAT;
    }
    if (digest.len != 32) {
        return CS_E_DIGEST_LENGTH;
    }
    memcpy(h.digest32, digest.p, 32);
    h.epoch = (uint32_t)epoch;
    *out = h;
    return CS_OK;
}

cs_err cs_hello_label_input(cs_buf *out, const cs_hello *h)
{
    if (!in_range(h)) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_put_str(out, LABEL));
    CS_TRY(cs_put_u16(out, (uint16_t)h->account_id.len));
    CS_TRY(cs_put_slice(out, h->account_id));
    CS_TRY(cs_put_u64(out, (uint64_t)h->tx_id));
    CS_TRY(cs_put_u16(out, (uint16_t)h->execution_id.len));
    return cs_put_slice(out, h->execution_id);
}

bool cs_hello_same_request(const cs_hello *a, const cs_hello *b)
{
    return memcmp(a->digest32, b->digest32, 32) == 0 && a->epoch == b->epoch && a->path_len == b->path_len &&
           memcmp(a->path, b->path, a->path_len * sizeof a->path[0]) == 0;
}
