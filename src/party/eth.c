#include "party/eth.h"

#include <secp256k1.h>
#include <secp256k1_recovery.h>
#include <string.h>

#include "base/text.h"

/* ---- numbers */

void cs_u256_from_u64(cs_u256 *out, uint64_t v)
{
    memset(out, 0, sizeof *out);
    cs_store_u64(out->b + 24, v);
}

cs_err cs_u256_u64(uint64_t *out, const cs_u256 *v)
{
    for (size_t i = 0; i < 24; i++) {
        if (v->b[i] != 0) {
            return CS_E_RANGE;
        }
    }
    *out = cs_load_u64(v->b + 24);
    return CS_OK;
}

bool cs_u256_is_zero(const cs_u256 *v)
{
    static const cs_u256 zero;
    return memcmp(v, &zero, sizeof zero) == 0;
}

/* v = v * base + digit */
static cs_err add_digit(cs_u256 *v, unsigned base, unsigned digit)
{
    unsigned carry = digit;
    for (size_t i = 32; i-- > 0;) {
        carry += v->b[i] * base;
        v->b[i] = (uint8_t)carry;
        carry >>= 8;
    }
    return carry == 0 ? CS_OK : CS_E_RANGE;
}

cs_err cs_u256_parse(cs_u256 *out, cs_slice text)
{
    cs_u256 v = {0};
    bool hex = text.len > 2 && text.p[0] == '0' && text.p[1] == 'x';
    if (text.len == 0 || text.len > 78 || (!hex && text.len > 1 && text.p[0] == '0')) {
        return CS_E_FORMAT;
    }
    for (size_t i = hex ? 2 : 0; i < text.len; i++) {
        unsigned c = text.p[i], digit = 99;
        if (c >= '0' && c <= '9') {
            digit = c - '0';
        } else if (hex && (c | 32) >= 'a' && (c | 32) <= 'f') {
            digit = (c | 32) - 'a' + 10;
        }
        if (digit == 99) {
            return CS_E_FORMAT;
        }
        CS_TRY(add_digit(&v, hex ? 16 : 10, digit));
    }
    *out = v;
    return CS_OK;
}

/* ---- RLP */

static size_t length_bytes(uint8_t out[8], size_t len)
{
    uint8_t be[8];
    size_t skip = 0;
    cs_store_u64(be, len);
    while (be[skip] == 0) {
        skip++;
    }
    memcpy(out, be + skip, 8 - skip);
    return 8 - skip;
}

/* header of a string (base 0x80) or list (0xc0) of len bytes */
static size_t rlp_header(uint8_t out[9], uint8_t base, size_t len)
{
    if (len <= 55) {
        out[0] = (uint8_t)(base + len);
        return 1;
    }
    size_t n = length_bytes(out + 1, len);
    out[0] = (uint8_t)(base + 55 + n);
    return n + 1;
}

cs_err cs_rlp_put(cs_buf *out, cs_slice bytes)
{
    uint8_t head[9];
    if (bytes.len == 1 && bytes.p[0] < 0x80) {
        return cs_put_slice(out, bytes);
    }
    CS_TRY(cs_put(out, head, rlp_header(head, 0x80, bytes.len)));
    return cs_put_slice(out, bytes);
}

cs_err cs_rlp_put_u256(cs_buf *out, const cs_u256 *v)
{
    size_t skip = 0;
    while (skip < 32 && v->b[skip] == 0) {
        skip++;
    }
    return cs_rlp_put(out, cs_slice_of(v->b + skip, 32 - skip));
}

cs_err cs_rlp_wrap(cs_buf *out, size_t at)
{
    uint8_t head[9], *space = NULL;
    size_t len = out->len - at, n = rlp_header(head, 0xc0, len);
    CS_TRY(cs_put_space(out, &space, n));
    memmove(out->p + at + n, out->p + at, len);
    memcpy(out->p + at, head, n);
    return CS_OK;
}

/* ---- addresses */

cs_err cs_eth_address(cs_eth_addr *out, const uint8_t pk33[33])
{
    secp256k1_pubkey pk;
    uint8_t xy[65], hash[32];
    size_t len = sizeof xy;
    if (secp256k1_ec_pubkey_parse(secp256k1_context_static, &pk, pk33, 33) != 1) {
        return CS_E_FORMAT;
    }
    (void)secp256k1_ec_pubkey_serialize(secp256k1_context_static, xy, &len, &pk, SECP256K1_EC_UNCOMPRESSED);
    cs_keccak256(hash, (cs_slice[]){{xy + 1, 64}}, 1);
    memcpy(out->b, hash + 12, 20);
    return CS_OK;
}

void cs_eth_address_text(char out[CS_ETH_ADDR_TEXT], const cs_eth_addr *a)
{
    uint8_t hash[32];
    memcpy(out, "0x", 2);
    cs_hex_encode(out + 2, cs_slice_of(a->b, 20));
    cs_keccak256(hash, (cs_slice[]){{(const uint8_t *)out + 2, 40}}, 1);
    for (size_t i = 0; i < 40; i++) {
        unsigned nibble = i % 2 == 0 ? hash[i / 2] >> 4 : hash[i / 2] & 15;
        if (out[2 + i] >= 'a' && nibble >= 8) {
            out[2 + i] = (char)(out[2 + i] - 'a' + 'A');
        }
    }
}

cs_err cs_eth_address_parse(cs_eth_addr *out, cs_slice text)
{
    cs_eth_addr a;
    char want[CS_ETH_ADDR_TEXT];
    bool lower = false, upper = false;
    if (text.len != 42 || text.p[0] != '0' || text.p[1] != 'x' ||
        cs_hex_decode(a.b, 20, cs_slice_of(text.p + 2, 40)) != CS_OK) {
        return CS_E_FORMAT;
    }
    for (size_t i = 2; i < 42; i++) {
        lower = lower || (text.p[i] >= 'a');
        upper = upper || (text.p[i] >= 'A' && text.p[i] <= 'F');
    }
    cs_eth_address_text(want, &a);
    if (lower && upper && memcmp(want, text.p, 42) != 0) {
        return CS_E_FORMAT;
    }
    *out = a;
    return CS_OK;
}

/* ---- transactions */

static cs_err put_access_list(cs_buf *out, const cs_eth_tx *tx)
{
    size_t list = out->len;
    for (size_t i = 0; i < tx->num_access; i++) {
        size_t entry = out->len;
        CS_TRY(cs_rlp_put(out, cs_slice_of(tx->access[i].address.b, 20)));
        size_t keys = out->len;
        for (size_t k = 0; k < tx->access[i].keys.len / 32; k++) {
            CS_TRY(cs_rlp_put(out, cs_slice_of(tx->access[i].keys.p + 32 * k, 32)));
        }
        CS_TRY(cs_rlp_wrap(out, keys));
        CS_TRY(cs_rlp_wrap(out, entry));
    }
    return cs_rlp_wrap(out, list);
}

static cs_err put_common(cs_buf *out, const cs_eth_tx *tx)
{
    CS_TRY(cs_rlp_put_u256(out, &tx->gas_limit));
    CS_TRY(cs_rlp_put(out, tx->has_to ? cs_slice_of(tx->to.b, 20) : CS_SLICE_NULL));
    CS_TRY(cs_rlp_put_u256(out, &tx->value));
    return cs_rlp_put(out, tx->data);
}

static cs_err put_signature(cs_buf *out, const cs_u256 *v, const cs_eth_sig *sig)
{
    cs_u256 r, s;
    memcpy(r.b, sig->r, 32);
    memcpy(s.b, sig->s, 32);
    CS_TRY(cs_rlp_put_u256(out, v));
    CS_TRY(cs_rlp_put_u256(out, &r));
    return cs_rlp_put_u256(out, &s);
}

static cs_err put_legacy(cs_buf *out, const cs_eth_tx *tx, const cs_eth_sig *sig)
{
    cs_u256 v, zero = {0};
    CS_TRY(cs_rlp_put_u256(out, &tx->nonce));
    CS_TRY(cs_rlp_put_u256(out, &tx->gas_price));
    CS_TRY(put_common(out, tx));
    if (sig == NULL) {
        if (tx->replay_protected) {
            CS_TRY(cs_rlp_put_u256(out, &tx->chain_id));
            CS_TRY(cs_rlp_put_u256(out, &zero));
            CS_TRY(cs_rlp_put_u256(out, &zero));
        }
        return CS_OK;
    }
    cs_u256_from_u64(&v, 27u + sig->parity);
    if (tx->replay_protected) { /* 2 chain_id + 35 + parity */
        v = tx->chain_id;
        CS_TRY(add_digit(&v, 2, 35u + sig->parity));
    }
    return put_signature(out, &v, sig);
}

static cs_err put_blobs(cs_buf *out, const cs_eth_tx *tx)
{
    CS_TRY(cs_rlp_put_u256(out, &tx->max_blob_fee));
    size_t list = out->len;
    for (size_t i = 0; i < tx->blob_hashes.len / 32; i++) {
        CS_TRY(cs_rlp_put(out, cs_slice_of(tx->blob_hashes.p + 32 * i, 32)));
    }
    return cs_rlp_wrap(out, list);
}

static cs_err put_typed(cs_buf *out, const cs_eth_tx *tx, const cs_eth_sig *sig)
{
    cs_u256 parity;
    CS_TRY(cs_rlp_put_u256(out, &tx->chain_id));
    CS_TRY(cs_rlp_put_u256(out, &tx->nonce));
    if (tx->type != CS_ETH_2930) {
        CS_TRY(cs_rlp_put_u256(out, &tx->max_priority_fee));
        CS_TRY(cs_rlp_put_u256(out, &tx->max_fee));
    } else {
        CS_TRY(cs_rlp_put_u256(out, &tx->gas_price));
    }
    CS_TRY(put_common(out, tx));
    CS_TRY(put_access_list(out, tx));
    if (tx->type == CS_ETH_4844) {
        CS_TRY(put_blobs(out, tx));
    }
    if (sig == NULL) {
        return CS_OK;
    }
    cs_u256_from_u64(&parity, sig->parity);
    return put_signature(out, &parity, sig);
}

cs_err cs_eth_tx_put(cs_buf *out, const cs_eth_tx *tx, const cs_eth_sig *sig)
{
    if (tx->type == CS_ETH_4844 && !tx->has_to) {
        return CS_E_UNSUPPORTED;
    }
    if (tx->type != CS_ETH_LEGACY) {
        CS_TRY(cs_put_u8(out, (uint8_t)tx->type));
    }
    size_t at = out->len;
    CS_TRY(tx->type == CS_ETH_LEGACY ? put_legacy(out, tx, sig) : put_typed(out, tx, sig));
    return cs_rlp_wrap(out, at);
}

cs_err cs_eth_tx_digest(uint8_t out32[32], const cs_eth_tx *tx)
{
    cs_buf raw = cs_buf_heap(CS_ETH_TX_MAX);
    cs_err err = cs_eth_tx_put(&raw, tx, NULL);
    if (err == CS_OK) {
        cs_keccak256(out32, (cs_slice[]){cs_buf_slice(&raw)}, 1);
    }
    cs_buf_free(&raw);
    return err;
}

cs_err cs_eth_recover(cs_eth_addr *out, const uint8_t digest32[32], const cs_eth_sig *sig)
{
    uint8_t rs[64], pk33[33];
    size_t len = sizeof pk33;
    secp256k1_ecdsa_recoverable_signature rec;
    secp256k1_pubkey pk;
    memcpy(rs, sig->r, 32);
    memcpy(rs + 32, sig->s, 32);
    if (sig->parity > 1 ||
        secp256k1_ecdsa_recoverable_signature_parse_compact(secp256k1_context_static, &rec, rs, sig->parity) != 1 ||
        secp256k1_ecdsa_recover(secp256k1_context_static, &pk, &rec, digest32) != 1) {
        return CS_E_AUTH;
    }
    (void)secp256k1_ec_pubkey_serialize(secp256k1_context_static, pk33, &len, &pk, SECP256K1_EC_COMPRESSED);
    return cs_eth_address(out, pk33);
}
