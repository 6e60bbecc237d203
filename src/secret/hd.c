#include "secret/hd.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>

#include "secret/group.h"
#include "secret/sign/ecdsa_k1.h"
#include "secret/sign/ecdsa_p256.h"
#include "secret/sign/ed25519.h"
#include "secret/sign/p256_sc.h"

#define VERSION_PRV 0x0488ade4u
#define VERSION_PUB 0x0488b21eu
#define PAYLOAD 78 /* version, depth, parent, child, chain code, key */

void cs_hmac_sha512(cs_secret64 *out, cs_slice key, const cs_slice *parts, size_t num_parts)
{
    crypto_auth_hmacsha512_state h;
    (void)crypto_auth_hmacsha512_init(&h, key.p, key.len);
    for (size_t i = 0; i < num_parts; i++) {
        (void)crypto_auth_hmacsha512_update(&h, parts[i].p, parts[i].len);
    }
    (void)crypto_auth_hmacsha512_final(&h, out->b);
    cs_wipe(&h, sizeof h);
}

/* the public key of k->secret; CS_E_RANGE: that is no key of the curve */
static cs_err set_point(cs_hd_key *k)
{
    if (k->curve == CS_HD_SECP256K1) {
        return cs_ecdsa_k1_public(k->point33, &k->secret);
    }
    if (k->curve == CS_HD_P256) {
        return cs_ecdsa_p256_public(k->point33, &k->secret);
    }
    k->point33[0] = 0;
    cs_ed25519_public(k->point33 + 1, &k->secret);
    return CS_OK;
}

cs_err cs_hd_master(cs_hd_key *out, cs_hd_curve curve, cs_slice seed)
{
    static const char *const keys[] = {"Bitcoin seed", "Nist256p1 seed", "ed25519 seed"};
    CS_SECRET(cs_hd_key) k = {.curve = curve, .has_secret = true};
    CS_SECRET(cs_secret64) i = {{0}};
    CS_SECRET(cs_secret64) again = {{0}};
    if (seed.len < CS_HD_SEED_MIN || seed.len > CS_HD_SEED_MAX) {
        return CS_E_RANGE;
    }
    cs_hmac_sha512(&i, cs_slice_str(keys[curve]), &seed, 1);
    for (;;) {
        memcpy(k.secret.b, i.b, 32);
        memcpy(k.chain.b, i.b + 32, 32);
        cs_err err = set_point(&k);
        if (err == CS_OK) {
            *out = k;
            return CS_OK;
        }
        if (err != CS_E_RANGE || curve == CS_HD_SECP256K1) {
            return err;
        }
        again = i; /* SLIP-10: the digest once more through the same key; 2^-32 for P-256 */
        cs_hmac_sha512(&i, cs_slice_str(keys[curve]), (cs_slice[]){{again.b, 64}}, 1);
    }
}

/* secret = left + parent's, modulo the order; CS_E_RANGE: left or the sum is no scalar */
static cs_err add_secret(cs_secret32 *secret, cs_hd_curve curve, const uint8_t left32[32])
{
    unsigned ok = 1;
    if (curve == CS_HD_SECP256K1) {
        CS_SECRET(cs_sc) a = {{0}};
        CS_SECRET(cs_sc) b = {{0}};
        ok = cs_sc_from_be_check(&a, left32) & cs_sc_from_be_check(&b, secret->b);
        cs_sc_add(&a, &a, &b);
        ok &= cs_sc_is_zero(&a) ^ 1;
        cs_sc_to_be(secret->b, &a);
    } else {
        CS_SECRET(cs_p256_sc) a = {{0}};
        CS_SECRET(cs_p256_sc) b = {{0}};
        ok = cs_p256_sc_from_be(&a, left32) & cs_p256_sc_from_be(&b, secret->b);
        cs_p256_sc_add(&a, &a, &b);
        ok &= cs_p256_sc_is_zero(&a) ^ 1;
        cs_p256_sc_to_be(secret->b, &a);
    }
    CS_CT_PUBLIC(&ok, sizeof ok, "an index without a child has probability 2^-127, for P-256 2^-32");
    return ok == 1 ? CS_OK : CS_E_RANGE;
}

/* point += left G: public derivation, so left is as public as the chain code that it comes from */
static cs_err add_point(cs_hd_key *k, const uint8_t left32[32])
{
    cs_sc left;
    cs_pt tweak, p;
    CS_TRY(cs_pt_init());
    CS_TRY(cs_sc_from_be(&left, left32));
    CS_TRY(cs_pt_parse(&p, k->point33));
    CS_TRY(cs_pt_mulg(&tweak, &left));
    CS_TRY(cs_pt_add(&p, &p, &tweak));
    cs_pt_ser(k->point33, &p);
    return CS_OK;
}

/* what the digest of a child is made over; tail: the index, or SLIP-10's second try */
static void child_digest(cs_secret64 *out, const cs_hd_key *key, uint32_t index)
{
    static const uint8_t zero = 0;
    uint8_t be[4];
    cs_store_u32(be, index);
    if ((index & CS_HD_HARDENED) != 0) {
        cs_hmac_sha512(out, cs_slice_of(key->chain.b, 32), (cs_slice[]){{&zero, 1}, {key->secret.b, 32}, {be, 4}}, 3);
    } else {
        cs_hmac_sha512(out, cs_slice_of(key->chain.b, 32), (cs_slice[]){{key->point33, 33}, {be, 4}}, 2);
    }
}

/* one try with the digest i */
static cs_err child_from(cs_hd_key *k, const cs_hd_key *parent, const cs_secret64 *i)
{
    memcpy(k->chain.b, i->b + 32, 32);
    if (!k->has_secret) {
        return add_point(k, i->b);
    }
    if (k->curve == CS_HD_ED25519) {
        memcpy(k->secret.b, i->b, 32);
        return set_point(k);
    }
    k->secret = parent->secret;
    CS_TRY(add_secret(&k->secret, k->curve, i->b));
    return set_point(k);
}

cs_err cs_hd_child(cs_hd_key *out, const cs_hd_key *key, uint32_t index)
{
    CS_SECRET(cs_hd_key) k = *key;
    CS_SECRET(cs_secret64) i = {{0}};
    bool hardened = (index & CS_HD_HARDENED) != 0;
    uint8_t be[4];
    if ((hardened && !key->has_secret) || (key->curve == CS_HD_ED25519 && (!hardened || !key->has_secret)) ||
        key->depth == 255) {
        return CS_E_STATE;
    }
    if (key->curve == CS_HD_P256 && !key->has_secret) {
        return CS_E_UNSUPPORTED;
    }
    CS_TRY(cs_hd_fingerprint(k.parent4, key));
    k.depth++;
    k.child = index;
    child_digest(&i, key, index);
    cs_err err = child_from(&k, key, &i);
    while (err == CS_E_RANGE && key->curve == CS_HD_P256) { /* SLIP-10: 1 || right half || index instead */
        CS_SECRET(cs_secret64) right = i;
        cs_store_u32(be, index);
        cs_hmac_sha512(&i, cs_slice_of(key->chain.b, 32),
                       (cs_slice[]){cs_slice_str("\x01"), {right.b + 32, 32}, {be, 4}}, 3);
        err = child_from(&k, key, &i);
    }
    CS_TRY(err);
    *out = k;
    return CS_OK;
}

void cs_hd_public(cs_hd_key *key)
{
    cs_wipe(&key->secret, sizeof key->secret);
    key->has_secret = false;
}

cs_err cs_hd_fingerprint(uint8_t out4[4], const cs_hd_key *key)
{
    uint8_t sha[32], ripe[20];
    unsigned len = 0;
    (void)crypto_hash_sha256(sha, key->point33, 33);
    if (EVP_Digest(sha, sizeof sha, ripe, &len, EVP_ripemd160(), NULL) != 1 || len != sizeof ripe) {
        return CS_E_NO_MEMORY;
    }
    memcpy(out4, ripe, 4);
    return CS_OK;
}

/* ---- text: base58 of 78 bytes and 4 of a double SHA-256 */

static const char digits[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

typedef struct raw {
    uint8_t b[PAYLOAD + 4];
} raw;
CS_SECRET_DECLARE(raw)

static void checksum(uint8_t out4[4], const raw *r)
{
    CS_SECRET(cs_secret32) h = {{0}};
    (void)crypto_hash_sha256(h.b, r->b, PAYLOAD);
    (void)crypto_hash_sha256(h.b, h.b, 32);
    memcpy(out4, h.b, 4);
}

/* text of exactly one number of 82 bytes; the version's first byte is not 0, so no leading digit 1 counts */
static bool base58_decode(raw *out, cs_slice text)
{
    memset(out, 0, sizeof *out);
    if (text.len == 0 || text.len > CS_HD_TEXT_MAX || text.p[0] == '1') {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        const char *d = text.p[i] != 0 ? strchr(digits, text.p[i]) : NULL;
        if (d == NULL) {
            return false;
        }
        unsigned carry = (unsigned)(d - digits);
        for (size_t k = sizeof out->b; k-- > 0;) {
            carry += 58u * out->b[k];
            out->b[k] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry != 0) {
            return false;
        }
    }
    return true;
}

typedef struct text58 {
    char c[CS_HD_TEXT_MAX];
} text58;
CS_SECRET_DECLARE(text58)

static cs_err base58_put(cs_buf *out, const raw *in)
{
    CS_SECRET(raw) n = *in;
    CS_SECRET(text58) text = {{0}};
    size_t at = sizeof text.c;
    while (cs_ct_is_zero(n.b, sizeof n.b) == 0) {
        unsigned rest = 0;
        for (size_t k = 0; k < sizeof n.b; k++) {
            rest = rest << 8 | n.b[k];
            n.b[k] = (uint8_t)(rest / 58);
            rest %= 58;
        }
        text.c[--at] = digits[rest]; /* 58^112 > 2^656 */
    }
    return cs_put(out, text.c + at, sizeof text.c - at);
}

cs_err cs_hd_parse(cs_hd_key *out, cs_slice text)
{
    CS_SECRET(raw) r = {{0}};
    CS_SECRET(cs_hd_key) k = {.curve = CS_HD_SECP256K1};
    uint8_t sum[4];
    static const uint8_t zero4[4];
    cs_pt p;
    CS_TRY(cs_pt_init());
    if (!base58_decode(&r, text)) {
        return CS_E_FORMAT;
    }
    checksum(sum, &r);
    uint32_t version = cs_load_u32(r.b);
    if (!cs_ct_eq(sum, r.b + PAYLOAD, 4) || (version != VERSION_PRV && version != VERSION_PUB)) {
        return CS_E_FORMAT;
    }
    k.has_secret = version == VERSION_PRV;
    k.depth = r.b[4];
    memcpy(k.parent4, r.b + 5, 4);
    k.child = cs_load_u32(r.b + 9);
    memcpy(k.chain.b, r.b + 13, 32);
    if (k.depth == 0 && (k.child != 0 || !cs_ct_eq(k.parent4, zero4, 4))) {
        return CS_E_FORMAT;
    }
    if (k.has_secret) {
        memcpy(k.secret.b, r.b + 46, 32);
        if (r.b[45] != 0 || set_point(&k) != CS_OK) {
            return CS_E_FORMAT;
        }
    } else {
        memcpy(k.point33, r.b + 45, 33);
        CS_TRY(cs_pt_parse(&p, k.point33));
    }
    *out = k;
    return CS_OK;
}

cs_err cs_hd_put(cs_buf *out, const cs_hd_key *key)
{
    CS_SECRET(raw) r = {{0}};
    if (key->curve != CS_HD_SECP256K1) {
        return CS_E_UNSUPPORTED;
    }
    cs_store_u32(r.b, key->has_secret ? VERSION_PRV : VERSION_PUB);
    r.b[4] = key->depth;
    memcpy(r.b + 5, key->parent4, 4);
    cs_store_u32(r.b + 9, key->child);
    memcpy(r.b + 13, key->chain.b, 32);
    if (key->has_secret) {
        memcpy(r.b + 46, key->secret.b, 32);
    } else {
        memcpy(r.b + 45, key->point33, 33);
    }
    checksum(r.b + PAYLOAD, &r);
    return base58_put(out, &r);
}
