#include "secret/sign/ecdsa_k1.h"

#include <secp256k1_recovery.h>
#include <string.h>

#include "secret/group.h"

cs_err cs_ecdsa_k1_public(uint8_t out33[33], const cs_secret32 *key)
{
    CS_SECRET(cs_sc) d = {{0}};
    cs_pt p;
    unsigned ok = cs_sc_from_be_check(&d, key->b);
    CS_CT_PUBLIC(&ok, sizeof ok, "a key out of range is refused");
    CS_TRY(cs_pt_init());
    if (ok != 1) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_pt_mulg(&p, &d));
    CS_CT_PUBLIC(&p, sizeof p, "the public key");
    cs_pt_ser(out33, &p);
    return CS_OK;
}

cs_err cs_ecdsa_k1_sign(uint8_t out_rs64[64], unsigned *out_recid, const cs_secret32 *key, const uint8_t digest32[32],
                        const uint8_t *extra32)
{
    secp256k1_ecdsa_recoverable_signature sig;
    uint8_t point[33], rs[64];
    int recid = 0;
    CS_TRY(cs_ecdsa_k1_public(point, key));
    int ok = secp256k1_ecdsa_sign_recoverable(cs_pt_context(), &sig, digest32, key->b, NULL, extra32);
    CS_CT_PUBLIC(&ok, sizeof ok, "fails for no key in range");
    if (ok != 1) {
        return CS_E_INTERNAL;
    }
    (void)secp256k1_ecdsa_recoverable_signature_serialize_compact(cs_pt_context(), rs, &recid, &sig);
    CS_CT_PUBLIC(rs, sizeof rs, "the signature");
    CS_CT_PUBLIC(&recid, sizeof recid, "the signature");
    if (cs_ecdsa_k1_verify(rs, digest32, cs_slice_of(point, sizeof point)) != CS_OK) {
        return CS_E_INTERNAL;
    }
    memcpy(out_rs64, rs, sizeof rs);
    if (out_recid != NULL) {
        *out_recid = (unsigned)recid;
    }
    return CS_OK;
}

cs_err cs_ecdsa_k1_verify(const uint8_t rs64[64], const uint8_t digest32[32], cs_slice point)
{
    cs_pt p;
    bool form = (point.len == 33 && (point.p[0] == 2 || point.p[0] == 3)) || (point.len == 65 && point.p[0] == 4);
    CS_TRY(cs_pt_init());
    if (!form || secp256k1_ec_pubkey_parse(cs_pt_context(), &p, point.p, point.len) != 1) {
        return CS_E_FORMAT;
    }
    return cs_ecdsa_verify(rs64, digest32, &p) ? CS_OK : CS_E_AUTH;
}

cs_err cs_ecdsa_k1_fold(uint8_t rs64[64])
{
    secp256k1_ecdsa_signature sig;
    CS_TRY(cs_pt_init());
    if (secp256k1_ecdsa_signature_parse_compact(cs_pt_context(), &sig, rs64) != 1) {
        return CS_E_FORMAT;
    }
    (void)secp256k1_ecdsa_signature_normalize(cs_pt_context(), &sig, &sig);
    (void)secp256k1_ecdsa_signature_serialize_compact(cs_pt_context(), rs64, &sig);
    return CS_OK;
}
