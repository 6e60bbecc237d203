#include "secret/sign/ecdsa_p256.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <pthread.h>
#include <string.h>

#include "secret/rng.h"
#include "secret/sign/p256_sc.h"
#include "secret/sign/rfc6979.h"

static EC_GROUP *group;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_group(void)
{
    group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1); /* lives as long as the process */
}

static const EC_GROUP *p256(void)
{
    (void)pthread_once(&once, make_group);
    return group;
}

/* What one operation of OpenSSL works with; everything in it is wiped. */
typedef struct work {
    BN_CTX *ctx;
    EC_POINT *point, *other;
    BIGNUM *a, *b;
} work;

static bool work_init(work *w)
{
    *w = (work){0};
    if (p256() == NULL) {
        return false;
    }
    w->ctx = BN_CTX_new();
    w->point = EC_POINT_new(group);
    w->other = EC_POINT_new(group);
    w->a = BN_new();
    w->b = BN_new();
    return w->ctx != NULL && w->point != NULL && w->other != NULL && w->a != NULL && w->b != NULL;
}

static void work_cleanup(work *w)
{
    BN_clear_free(w->a);
    BN_clear_free(w->b);
    EC_POINT_clear_free(w->point);
    EC_POINT_clear_free(w->other);
    BN_CTX_free(w->ctx);
}

static bool mul_g_half(work *w, EC_POINT *out, const cs_p256_sc *k)
{
    CS_SECRET(cs_secret32) b = {{0}};
    cs_p256_sc_to_be(b.b, k);
    CS_CT_PUBLIC(b.b, sizeof b.b, "one of two random summands");
    if (BN_bin2bn(b.b, 32, w->a) == NULL) {
        return false;
    }
    BN_set_flags(w->a, BN_FLG_CONSTTIME);
    return EC_POINT_mul(group, out, w->a, NULL, NULL, w->ctx) == 1;
}

/*
 * w->point = k G for a secret k that is not 0. OpenSSL's way from bytes to a point takes time by the leading
 * zeros of a number, which is
 * what lattice attacks on nonces live on; so k goes in as two random summands.
 */
static cs_err mul_g(work *w, const cs_p256_sc *k)
{
    CS_SECRET(cs_secret32) seed = {{0}};
    CS_SECRET(cs_p256_sc) k1 = {{0}};
    CS_SECRET(cs_p256_sc) k2 = {{0}};
    CS_TRY(cs_random(seed.b, sizeof seed.b));
    (void)cs_p256_sc_from_be(&k1, seed.b);
    cs_p256_sc_sub(&k2, k, &k1);
    return mul_g_half(w, w->point, &k1) && mul_g_half(w, w->other, &k2) &&
                   EC_POINT_add(group, w->point, w->point, w->other, w->ctx) == 1
               ? CS_OK
               : CS_E_NO_MEMORY;
}

static bool point_x(work *w, uint8_t out[32])
{
    return EC_POINT_get_affine_coordinates(group, w->point, w->b, NULL, w->ctx) == 1 &&
           BN_bn2binpad(w->b, out, 32) == 32;
}

static cs_err secret_scalar(cs_p256_sc *out, const cs_secret32 *key)
{
    unsigned ok = cs_p256_sc_from_be(out, key->b);
    CS_CT_PUBLIC(&ok, sizeof ok, "a key or nonce out of range is refused");
    return ok == 1 ? CS_OK : CS_E_RANGE;
}

cs_err cs_ecdsa_p256_public(uint8_t out33[33], const cs_secret32 *key)
{
    CS_SECRET(cs_p256_sc) d = {{0}};
    work w = {0};
    CS_TRY(secret_scalar(&d, key));
    cs_err err = work_init(&w) ? mul_g(&w, &d) : CS_E_NO_MEMORY;
    if (err == CS_OK && EC_POINT_point2oct(group, w.point, POINT_CONVERSION_COMPRESSED, out33, 33, w.ctx) != 33) {
        err = CS_E_NO_MEMORY;
    }
    work_cleanup(&w);
    return err;
}

/* s = (z + r d) / k; CS_E_RANGE when r or s is 0: another nonce must be taken */
static cs_err sign_with(uint8_t out[64], const cs_p256_sc *d, const cs_p256_sc *z, const cs_secret32 *nonce)
{
    CS_SECRET(cs_p256_sc) k = {{0}};
    CS_SECRET(cs_p256_sc) s = {{0}};
    cs_p256_sc r;
    work w = {0};
    uint8_t x[32];
    CS_TRY(secret_scalar(&k, nonce));
    cs_err err = work_init(&w) ? mul_g(&w, &k) : CS_E_NO_MEMORY;
    if (err == CS_OK && !point_x(&w, x)) {
        err = CS_E_NO_MEMORY;
    }
    work_cleanup(&w);
    CS_TRY(err);
    CS_CT_PUBLIC(x, sizeof x, "r is part of the signature");
    (void)cs_p256_sc_from_be(&r, x);
    cs_p256_sc_mul(&s, &r, d);
    cs_p256_sc_add(&s, &s, z);
    cs_p256_sc_inv(&k, &k);
    cs_p256_sc_mul(&s, &s, &k);
    cs_p256_sc_to_be(out, &r);
    cs_p256_sc_to_be(out + 32, &s);
    CS_CT_PUBLIC(out, 64, "the signature");
    return cs_ct_is_zero(out, 32) || cs_ct_is_zero(out + 32, 32) ? CS_E_RANGE : CS_OK;
}

/* a fault in the computation of a deterministic signature would give the key away [Ambrose et al. 2017] */
static cs_err give_out(uint8_t out_rs64[64], const uint8_t rs[64], const cs_secret32 *key, const uint8_t digest32[32])
{
    uint8_t point[33];
    CS_TRY(cs_ecdsa_p256_public(point, key));
    cs_err err = cs_ecdsa_p256_verify(rs, digest32, cs_slice_of(point, sizeof point));
    if (err == CS_OK) {
        memcpy(out_rs64, rs, 64);
    }
    return err == CS_E_AUTH || err == CS_E_FORMAT ? CS_E_INTERNAL : err;
}

cs_err cs_ecdsa_p256_unsafe_sign(uint8_t out_rs64[64], const cs_secret32 *key, const uint8_t digest32[32],
                                 const cs_secret32 *nonce)
{
    CS_SECRET(cs_p256_sc) d = {{0}};
    cs_p256_sc z;
    uint8_t rs[64];
    CS_TRY(secret_scalar(&d, key));
    (void)cs_p256_sc_from_be(&z, digest32);
    CS_TRY(sign_with(rs, &d, &z, nonce));
    return give_out(out_rs64, rs, key, digest32);
}

cs_err cs_ecdsa_p256_sign(uint8_t out_rs64[64], const cs_secret32 *key, const uint8_t digest32[32])
{
    CS_SECRET(cs_p256_sc) d = {{0}};
    CS_SECRET(cs_rfc6979) drbg = {0};
    CS_SECRET(cs_secret32) nonce = {{0}};
    cs_p256_sc z;
    uint8_t reduced[32], rs[64];
    cs_err err;
    CS_CT_SECRET(key->b, sizeof key->b);
    CS_TRY(secret_scalar(&d, key));
    (void)cs_p256_sc_from_be(&z, digest32);
    cs_p256_sc_to_be(reduced, &z);
    cs_rfc6979_init(&drbg, key->b, reduced, CS_SLICE_NULL);
    do { /* a candidate out of range tells nothing of the one that is used */
        cs_rfc6979_next(&drbg, &nonce);
        err = sign_with(rs, &d, &z, &nonce);
    } while (err == CS_E_RANGE);
    CS_TRY(err);
    return give_out(out_rs64, rs, key, digest32);
}

/* u1 G + u2 Q has r as its x modulo n */
static bool equation(work *w, const cs_p256_sc *r, const cs_p256_sc *u1, const cs_p256_sc *u2, const EC_POINT *q)
{
    uint8_t b1[32], b2[32], x[32], want[32];
    cs_p256_sc got;
    cs_p256_sc_to_be(b1, u1);
    cs_p256_sc_to_be(b2, u2);
    if (BN_bin2bn(b1, 32, w->a) == NULL || BN_bin2bn(b2, 32, w->b) == NULL ||
        EC_POINT_mul(group, w->point, w->a, q, w->b, w->ctx) != 1 || EC_POINT_is_at_infinity(group, w->point) == 1 ||
        !point_x(w, x)) {
        return false;
    }
    (void)cs_p256_sc_from_be(&got, x);
    cs_p256_sc_to_be(x, &got);
    cs_p256_sc_to_be(want, r);
    return cs_ct_eq(x, want, 32) == 1;
}

cs_err cs_ecdsa_p256_verify(const uint8_t rs64[64], const uint8_t digest32[32], cs_slice point)
{
    cs_p256_sc r, s, z, u1, u2;
    work w = {0};
    EC_POINT *q = NULL;
    cs_err err = CS_E_NO_MEMORY;
    bool form = (point.len == 33 && (point.p[0] == 2 || point.p[0] == 3)) || (point.len == 65 && point.p[0] == 4);
    if (!form) {
        return CS_E_FORMAT;
    }
    if (!work_init(&w) || (q = EC_POINT_new(group)) == NULL) {
        goto out;
    }
    if (EC_POINT_oct2point(group, q, point.p, point.len, w.ctx) != 1) { /* checks that it is on the curve */
        err = CS_E_FORMAT;
        goto out;
    }
    err = CS_E_AUTH;
    if (cs_p256_sc_from_be(&r, rs64) == 1 && cs_p256_sc_from_be(&s, rs64 + 32) == 1) {
        (void)cs_p256_sc_from_be(&z, digest32);
        cs_p256_sc_inv(&s, &s);
        cs_p256_sc_mul(&u1, &z, &s);
        cs_p256_sc_mul(&u2, &r, &s);
        err = equation(&w, &r, &u1, &u2, q) ? CS_OK : CS_E_AUTH;
    }
out:
    EC_POINT_free(q);
    work_cleanup(&w);
    return err;
}
