#include "secret/group.h"

#include <pthread.h>
#include <secp256k1_ecdh.h>
#include <secp256k1_preallocated.h>
#include <secp256k1_recovery.h>
#include <stdlib.h>
#include <string.h>

#include "secret/rng.h"

/* The context holds blinding values, no keys; it lives outside the arena so that a fork keeps a valid one. */
#define CTX_BYTES 1024
static _Alignas(64) uint8_t ctx_mem[CTX_BYTES];
static secp256k1_context *ctx;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

cs_err cs_pt_init(void)
{
    cs_err err = CS_OK;
    CS_SECRET(cs_secret32) seed = {{0}};
    (void)pthread_mutex_lock(&lock);
    if (ctx == NULL) {
        unsigned flags = SECP256K1_CONTEXT_SIGN | SECP256K1_CONTEXT_VERIFY;
        if (secp256k1_context_preallocated_size(flags) > sizeof ctx_mem) {
            abort();
        }
        err = cs_random(seed.b, sizeof seed.b);
        secp256k1_context *c = err == CS_OK ? secp256k1_context_preallocated_create(ctx_mem, flags) : NULL;
        if (c != NULL && secp256k1_context_randomize(c, seed.b) != 1) {
            err = CS_E_INTERNAL;
        } else {
            ctx = c;
        }
    }
    (void)pthread_mutex_unlock(&lock);
    return err;
}

const secp256k1_context *cs_pt_context(void)
{
    return ctx;
}

cs_err cs_pt_parse(cs_pt *out, const uint8_t b[33])
{
    return secp256k1_ec_pubkey_parse(ctx, out, b, 33) == 1 ? CS_OK : CS_E_FORMAT;
}

void cs_pt_ser(uint8_t out[33], const cs_pt *p)
{
    size_t len = 33;
    (void)secp256k1_ec_pubkey_serialize(ctx, out, &len, p, SECP256K1_EC_COMPRESSED);
}

void cs_pt_ser64(uint8_t out[64], const cs_pt *p)
{
    uint8_t b[65];
    size_t len = sizeof b;
    (void)secp256k1_ec_pubkey_serialize(ctx, b, &len, p, SECP256K1_EC_UNCOMPRESSED);
    memcpy(out, b + 1, 64);
    cs_wipe(b, sizeof b);
}

cs_err cs_pt_mulg(cs_pt *out, const cs_sc *k)
{
    CS_SECRET(cs_secret32) b = {{0}};
    cs_sc_to_be(b.b, k);
    int ok = secp256k1_ec_pubkey_create(ctx, out, b.b);
    CS_CT_PUBLIC(&ok, sizeof ok, "a scalar of 0 has probability 2^-256 and ends the session");
    return ok == 1 ? CS_OK : CS_E_RANGE;
}

static int copy_xy(unsigned char *out, const unsigned char *x32, const unsigned char *y32, void *cookie)
{
    (void)cookie;
    memcpy(out, x32, 32);
    memcpy(out + 32, y32, 32);
    return 1;
}

cs_err cs_pt_mul_xy(uint8_t out[64], const cs_sc *k, const cs_pt *p)
{
    CS_SECRET(cs_secret32) b = {{0}};
    cs_sc_to_be(b.b, k);
    int ok = secp256k1_ecdh(ctx, out, p, b.b, copy_xy, NULL);
    CS_CT_PUBLIC(&ok, sizeof ok, "a scalar of 0 has probability 2^-256 and ends the session");
    return ok == 1 ? CS_OK : CS_E_RANGE;
}

cs_err cs_pt_mul_var(cs_pt *out, const cs_sc *k, const cs_pt *p)
{
    uint8_t b[32];
    cs_sc_to_be(b, k);
    *out = *p;
    return secp256k1_ec_pubkey_tweak_mul(ctx, out, b) == 1 ? CS_OK : CS_E_RANGE;
}

cs_err cs_pt_add(cs_pt *out, const cs_pt *p, const cs_pt *q)
{
    const cs_pt *in[2] = {p, q};
    cs_pt sum;
    if (secp256k1_ec_pubkey_combine(ctx, &sum, in, 2) != 1) {
        return CS_E_RANGE;
    }
    *out = sum;
    return CS_OK;
}

void cs_pt_neg(cs_pt *p)
{
    if (secp256k1_ec_pubkey_negate(ctx, p) != 1) {
        abort(); /* cannot fail on a point */
    }
}

bool cs_pt_eq(const cs_pt *p, const cs_pt *q)
{
    uint8_t a[33], b[33];
    cs_pt_ser(a, p);
    cs_pt_ser(b, q);
    return cs_ct_eq(a, b, sizeof a) == 1;
}

void cs_pt_x_mod(cs_sc *out, unsigned *high, unsigned *odd, const cs_pt *p)
{
    uint8_t b[33];
    cs_pt_ser(b, p);
    *high = cs_sc_from_be_check(out, b + 1) ^ 1;
    *odd = b[0] & 1;
}

void cs_pt_h2p(cs_pt *out, const cs_sha256 *head)
{
    for (unsigned ctr = 0; ctr < 256; ctr++) {
        cs_sha256 x = *head, y = *head;
        uint8_t b[33], parity[32], tail[2] = {(uint8_t)ctr, 0};
        cs_sha256_put(&x, tail, 2);
        cs_sha256_end(&x, b + 1);
        tail[1] = 1;
        cs_sha256_put(&y, tail, 2);
        cs_sha256_end(&y, parity);
        b[0] = (uint8_t)(2 | (parity[0] & 1));
        CS_CT_PUBLIC(b, sizeof b,
                     "a public slot, or a hash of one; the tries of both tags together do not depend on the choice");
        if (cs_pt_parse(out, b) == CS_OK) {
            return;
        }
    }
    abort(); /* 2^-256 */
}

bool cs_ecdsa_verify(const uint8_t rs[64], const uint8_t digest[32], const cs_pt *pk)
{
    secp256k1_ecdsa_signature s;
    return secp256k1_ecdsa_signature_parse_compact(ctx, &s, rs) == 1 &&
           secp256k1_ecdsa_verify(ctx, &s, digest, pk) == 1;
}

cs_err cs_ecdsa_recover(cs_pt *out, const uint8_t rs[64], unsigned recid, const uint8_t digest[32])
{
    secp256k1_ecdsa_recoverable_signature s;
    return recid < 4 && secp256k1_ecdsa_recoverable_signature_parse_compact(ctx, &s, rs, (int)recid) == 1 &&
                   secp256k1_ecdsa_recover(ctx, out, &s, digest) == 1
               ? CS_OK
               : CS_E_FORMAT;
}
