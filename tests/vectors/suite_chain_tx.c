/* chain-tx: Ethereum transactions and addresses (ethers.js, EIP-155). typed data (EIP-712); BIP-143 in btc_wiki.c. */
#include <secp256k1.h>
#include <secp256k1_recovery.h>
#include <string.h>

#include "base/text.h"
#include "party/eth_json.h"
#include "party/eth_typed.h"
#include "suite.h"

void cs_suite_chain_tx(cs_suite *s, const char *dir);
cs_suite_file_fn cs_btc_wiki_file;

static secp256k1_context *ctx;

static bool hex_of(cs_buf *out, const json_t *o, const char *key)
{
    const char *t = cs_suite_str(o, key);
    return cs_suite_hex_text(t[0] == '0' && t[1] == 'x' ? t + 2 : t, out) == CS_OK;
}

static bool equals(const json_t *o, const char *key, cs_slice got)
{
    cs_buf want = {0};
    bool ok = hex_of(&want, o, key) && cs_slice_eq(cs_buf_slice(&want), got);
    cs_buf_free(&want);
    return ok;
}

/* RFC 6979, so that signed transactions are byte-equal */
static bool sign(cs_eth_sig *out, const uint8_t key32[32], const uint8_t digest32[32])
{
    secp256k1_ecdsa_recoverable_signature sig;
    uint8_t rs[64];
    int recid = 0;
    if (secp256k1_ecdsa_sign_recoverable(ctx, &sig, digest32, key32, NULL, NULL) != 1) {
        return false;
    }
    (void)secp256k1_ecdsa_recoverable_signature_serialize_compact(ctx, rs, &recid, &sig);
    memcpy(out->r, rs, 32);
    memcpy(out->s, rs + 32, 32);
    out->parity = (uint8_t)recid;
    return recid <= 1;
}

static bool address_of(cs_eth_addr *out, const uint8_t key32[32])
{
    secp256k1_pubkey pk;
    uint8_t pk33[33];
    size_t len = 33;
    return secp256k1_ec_pubkey_create(ctx, &pk, key32) == 1 &&
           secp256k1_ec_pubkey_serialize(ctx, pk33, &len, &pk, SECP256K1_EC_COMPRESSED) == 1 &&
           cs_eth_address(out, pk33) == CS_OK;
}

/* unsigned bytes, then signature, signed bytes and recovered sender */
static bool one_tx(const json_t *v, const cs_eth_tx *tx, const char *unsigned_key, const char *signed_key)
{
    cs_buf raw = cs_buf_heap(CS_ETH_TX_MAX), key = {0};
    cs_eth_sig sig;
    cs_eth_addr want, got;
    uint8_t digest[32];
    bool ok = hex_of(&key, v, "privateKey") && key.len == 32 && cs_eth_tx_put(&raw, tx, NULL) == CS_OK &&
              equals(v, unsigned_key, cs_buf_slice(&raw)) && cs_eth_tx_digest(digest, tx) == CS_OK &&
              sign(&sig, key.p, digest);
    raw.len = 0;
    ok = ok && cs_eth_tx_put(&raw, tx, &sig) == CS_OK && equals(v, signed_key, cs_buf_slice(&raw));
    ok = ok && address_of(&want, key.p) && cs_eth_recover(&got, digest, &sig) == CS_OK && memcmp(&want, &got, 20) == 0;
    cs_buf_free(&raw);
    cs_buf_free(&key);
    return ok;
}

/* absent fields are 0, "to" is null: ethers leaves them out, our own input format does not */
static json_t *completed(const json_t *tx)
{
    static const char *const numbers[] = {"chainId",      "nonce",    "gasPrice", "maxPriorityFeePerGas",
                                          "maxFeePerGas", "gasLimit", "value",    "maxFeePerBlobGas"};
    json_t *o = json_deep_copy(tx);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (json_object_get(o, numbers[i]) == NULL) {
            (void)json_object_set_new(o, numbers[i], json_integer(0));
        }
    }
    if (json_object_get(o, "blobVersionedHashes") == NULL) {
        (void)json_object_set_new(o, "blobVersionedHashes", json_array());
    }
    if (json_object_get(o, "to") == NULL) {
        (void)json_object_set_new(o, "to", json_null());
    }
    return o;
}

static void transaction(cs_suite *s, const char *path, const json_t *v)
{
    static const struct {
        const char *unsigned_key, *signed_key;
        cs_eth_type type;
        bool eip155;
    } forms[] = {{"unsignedLegacy", "signedLegacy", CS_ETH_LEGACY, false},
                 {"unsignedEip155", "signedEip155", CS_ETH_LEGACY, true},
                 {"unsignedBerlin", "signedBerlin", CS_ETH_2930, false},
                 {"unsignedLondon", "signedLondon", CS_ETH_1559, false},
                 {"unsignedCancun", "signedCancun", CS_ETH_4844, false}};
    json_t *tx = completed(json_object_get(v, "transaction"));
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        cs_eth_tx_file f;
        if (cs_suite_str(v, forms[i].unsigned_key)[0] == '\0') {
            continue; /* "": EIP-155 without a chain id is no form */
        }
        bool ok = cs_eth_tx_of(&f, tx, forms[i].type) == CS_OK;
        f.tx.replay_protected = forms[i].eip155 && !cs_u256_is_zero(&f.tx.chain_id);
        if (ok && one_tx(v, &f.tx, forms[i].unsigned_key, forms[i].signed_key)) {
            cs_suite_pass(s);
        } else {
            cs_suite_failf(s, path, "%s: %s %s", cs_suite_str(v, "name"), forms[i].unsigned_key, f.bad);
        }
        cs_eth_tx_cleanup(&f);
    }
    json_decref(tx);
}

/* the encoding where it is given, the digest, and the signature over it where there is a key */
static void typed_data(cs_suite *s, const char *path, const json_t *v)
{
    json_t *o = json_pack("{s:O, s:O, s:O, s:O}", "types", json_object_get(v, "types"), "primaryType",
                          json_object_get(v, "primaryType"), "domain", json_object_get(v, "domain"), "message",
                          json_object_get(v, "data"));
    cs_buf encoded = cs_buf_heap(CS_ETH_TX_MAX), key = {0};
    cs_eth_typed_fault fault = {""};
    cs_eth_sig sig = {0};
    uint8_t digest[32], rsv[65];
    bool ok = o != NULL && cs_eth_typed_digest(digest, &encoded, &fault, o) == CS_OK &&
              equals(v, "digest", cs_slice_of(digest, 32)) &&
              (json_object_get(v, "encoded") == NULL || equals(v, "encoded", cs_buf_slice(&encoded)));
    if (ok && json_object_get(v, "privateKey") != NULL && json_object_get(v, "signature") != NULL) {
        ok = hex_of(&key, v, "privateKey") && key.len == 32 && sign(&sig, key.p, digest);
        memcpy(rsv, sig.r, 32);
        memcpy(rsv + 32, sig.s, 32);
        rsv[64] = (uint8_t)(27 + sig.parity);
        ok = ok && equals(v, "signature", cs_slice_of(rsv, 65));
    }
    if (ok) {
        cs_suite_pass(s);
    } else {
        cs_suite_failf(s, path, "%s: %s", cs_suite_str(v, "name"), fault.text);
    }
    json_decref(o);
    cs_buf_free(&encoded);
    cs_buf_free(&key);
}

static void account(cs_suite *s, const char *path, const json_t *v)
{
    cs_buf key = {0};
    cs_eth_addr a, parsed;
    char text[CS_ETH_ADDR_TEXT];
    const char *want = cs_suite_str(v, "address");
    bool ok = hex_of(&key, v, "privateKey") && key.len == 32 && address_of(&a, key.p);
    if (ok) {
        cs_eth_address_text(text, &a);
        ok = strcmp(text, want) == 0 && cs_eth_address_parse(&parsed, cs_slice_str(want)) == CS_OK &&
             memcmp(&a, &parsed, 20) == 0;
    }
    cs_suite_check(s, ok, path, cs_suite_str(v, "name"));
    cs_buf_free(&key);
}

static void eip155(cs_suite *s, const char *path, const json_t *v)
{
    cs_buf key = {0}, data = {0};
    cs_eth_sig sig;
    cs_eth_addr want, got;
    uint8_t digest[32];
    bool ok = hex_of(&data, v, "signing_data") && hex_of(&key, v, "private_key") && key.len == 32;
    if (ok) {
        cs_keccak256(digest, (cs_slice[]){cs_buf_slice(&data)}, 1);
        ok = equals(v, "signing_hash", cs_slice_of(digest, 32)) && sign(&sig, key.p, digest) &&
             address_of(&want, key.p) && cs_eth_recover(&got, digest, &sig) == CS_OK && memcmp(&want, &got, 20) == 0;
    }
    if (ok) { /* the example's fields, in the EIP's text */
        cs_eth_tx tx = {.type = CS_ETH_LEGACY, .replay_protected = true, .has_to = true};
        cs_buf raw = cs_buf_heap(4096);
        cs_u256_from_u64(&tx.chain_id, 1);
        cs_u256_from_u64(&tx.nonce, 9);
        cs_u256_from_u64(&tx.gas_price, 20000000000u);
        cs_u256_from_u64(&tx.gas_limit, 21000);
        cs_u256_from_u64(&tx.value, 1000000000000000000u);
        memset(tx.to.b, 0x35, 20);
        ok = cs_eth_tx_put(&raw, &tx, NULL) == CS_OK && equals(v, "signing_data", cs_buf_slice(&raw));
        raw.len = 0;
        ok = ok && cs_eth_tx_put(&raw, &tx, &sig) == CS_OK && equals(v, "signed_tx", cs_buf_slice(&raw));
        cs_buf_free(&raw);
    }
    cs_suite_check(s, ok, path, "EIP-155 example");
    cs_buf_free(&key);
    cs_buf_free(&data);
}

static void one_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *root = cs_suite_json(s, path);
    (void)cookie;
    if (json_is_object(root) && json_object_get(root, "signing_data") != NULL) {
        eip155(s, path, root);
    }
    for (size_t i = 0; i < json_array_size(root); i++) {
        const json_t *v = json_array_get(root, i);
        if (json_object_get(v, "primaryType") != NULL) {
            typed_data(s, path, v);
        } else if (json_object_get(v, "transaction") != NULL) {
            transaction(s, path, v);
        } else if (json_object_get(v, "address") != NULL) {
            account(s, path, v);
        } else {
            cs_suite_skip(s, "a file of unknown form");
        }
    }
    json_decref(root);
}

void cs_suite_chain_tx(cs_suite *s, const char *dir)
{
    ctx = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    cs_suite_walk(s, dir, ".json", one_file, NULL);
    cs_suite_walk(s, dir, ".mediawiki", cs_btc_wiki_file, NULL);
    secp256k1_context_destroy(ctx);
}
