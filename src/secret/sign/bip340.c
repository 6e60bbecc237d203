#include "secret/sign/bip340.h"

#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>
#include <string.h>

#include "secret/group.h"
#include "secret/rng.h"

typedef secp256k1_keypair pair;
CS_SECRET_DECLARE(pair)

static cs_err pair_of(pair *out, uint8_t x32[32], const cs_secret32 *key)
{
    secp256k1_xonly_pubkey x;
    CS_TRY(cs_pt_init());
    int ok = secp256k1_keypair_create(cs_pt_context(), out, key->b);
    CS_CT_PUBLIC(&ok, sizeof ok, "a key out of range is refused");
    if (ok != 1) {
        return CS_E_RANGE;
    }
    ok = secp256k1_keypair_xonly_pub(cs_pt_context(), &x, NULL, out);
    CS_CT_PUBLIC(&x, sizeof x, "the public key");
    (void)secp256k1_xonly_pubkey_serialize(cs_pt_context(), x32, &x);
    return ok == 1 ? CS_OK : CS_E_INTERNAL;
}

cs_err cs_bip340_public(uint8_t out_x32[32], const cs_secret32 *key)
{
    CS_SECRET(pair) p = {{0}};
    return pair_of(&p, out_x32, key);
}

cs_err cs_bip340_sign(uint8_t out64[64], const cs_secret32 *key, cs_slice message, const uint8_t *aux32)
{
    CS_SECRET(pair) p = {{0}};
    CS_SECRET(cs_secret32) aux = {{0}};
    secp256k1_schnorrsig_extraparams extra = SECP256K1_SCHNORRSIG_EXTRAPARAMS_INIT;
    uint8_t x[32], sig[64];
    CS_TRY(pair_of(&p, x, key));
    if (aux32 != NULL) {
        memcpy(aux.b, aux32, 32);
    } else {
        CS_TRY(cs_random(aux.b, 32));
    }
    extra.ndata = aux.b;
    int ok = secp256k1_schnorrsig_sign_custom(cs_pt_context(), sig, message.p, message.len, &p, &extra);
    CS_CT_PUBLIC(&ok, sizeof ok, "fails for no key in range");
    CS_CT_PUBLIC(sig, sizeof sig, "the signature");
    if (ok != 1 || cs_bip340_verify(x, sig, message) != CS_OK) {
        return CS_E_INTERNAL;
    }
    memcpy(out64, sig, sizeof sig);
    return CS_OK;
}

cs_err cs_bip340_verify(const uint8_t x32[32], const uint8_t sig64[64], cs_slice message)
{
    secp256k1_xonly_pubkey x;
    CS_TRY(cs_pt_init());
    if (secp256k1_xonly_pubkey_parse(cs_pt_context(), &x, x32) != 1) {
        return CS_E_FORMAT;
    }
    return secp256k1_schnorrsig_verify(cs_pt_context(), sig64, message.p, message.len, &x) == 1 ? CS_OK : CS_E_AUTH;
}

cs_err cs_bip340_tweak(cs_secret32 *out, const cs_secret32 *key, cs_slice root)
{
    CS_SECRET(pair) p = {{0}};
    uint8_t in[64], tweak[32];
    if (root.len != 0 && root.len != 32) {
        return CS_E_RANGE;
    }
    CS_TRY(pair_of(&p, in, key));
    if (root.len == 32) {
        memcpy(in + 32, root.p, 32);
    }
    if (secp256k1_tagged_sha256(cs_pt_context(), tweak, (const uint8_t *)"TapTweak", 8, in, 32 + root.len) != 1) {
        return CS_E_INTERNAL;
    }
    int ok = secp256k1_keypair_xonly_tweak_add(cs_pt_context(), &p, tweak);
    CS_CT_PUBLIC(&ok, sizeof ok, "a tweak out of range has probability 2^-128");
    return ok == 1 && secp256k1_keypair_sec(cs_pt_context(), out->b, &p) == 1 ? CS_OK : CS_E_RANGE;
}
