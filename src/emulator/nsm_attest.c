/* The attestation document of the NSM model. Source: specs/nitro-kms.md 5. See nsm_model.h. */
#include <openssl/bn.h>
#include <openssl/ecdsa.h>

#include "base/clock.h"
#include "codec/cbor.h"
#include "emulator/nsm_model.h"

#define REISSUE_S (15 * 60)

/* [5.1] array(4) "Signature1", protected {1: -35}, empty, payload */
static const uint8_t protected_es384[] = {0xa1, 0x01, 0x38, 0x22};

static cs_err put_optional(cs_buf *out, const char *key, cs_slice v)
{
    CS_TRY(cs_cbor_put_text(out, key));
    return v.p == NULL ? cs_cbor_put_null(out) : cs_cbor_put_bytes(out, v);
}

static cs_err put_cert(cs_buf *out, const cs_emu_cert *c)
{
    uint8_t mem[1024];
    cs_buf der = cs_buf_wrap(mem, sizeof mem);
    CS_TRY(cs_emu_cert_der(&der, c));
    return cs_cbor_put_bytes(out, cs_buf_slice(&der));
}

static cs_err put_pcrs(cs_buf *out, const cs_nsm_model *m)
{
    CS_TRY(cs_cbor_put_map(out, (uint64_t)__builtin_popcount(m->locked)));
    for (unsigned i = 0; i < CS_NSM_MAX_PCRS; i++) {
        if (m->locked >> i & 1) {
            CS_TRY(cs_cbor_put_uint(out, i));
            CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(m->pcr[i], CS_NSM_PCR_LEN)));
        }
    }
    return CS_OK;
}

/* [5.2] in the order in which genuine documents have the keys */
static cs_err put_payload(cs_buf *out, const cs_nsm_model *m, const cs_nsm_attest_fields *f)
{
    CS_TRY(cs_cbor_put_map(out, 9));
    CS_TRY(cs_cbor_put_text(out, "module_id"));
    CS_TRY(cs_cbor_put_text(out, m->module_id));
    CS_TRY(cs_cbor_put_text(out, "digest"));
    CS_TRY(cs_cbor_put_text(out, "SHA384"));
    CS_TRY(cs_cbor_put_text(out, "timestamp"));
    CS_TRY(cs_cbor_put_uint(out, cs_clock_wall_ms()));
    CS_TRY(cs_cbor_put_text(out, "pcrs"));
    CS_TRY(put_pcrs(out, m));
    CS_TRY(cs_cbor_put_text(out, "certificate"));
    CS_TRY(put_cert(out, &m->chain.level[3]));
    CS_TRY(cs_cbor_put_text(out, "cabundle"));
    CS_TRY(cs_cbor_put_array(out, 4));
    CS_TRY(put_cert(out, m->root));
    for (int i = 0; i < 3; i++) {
        CS_TRY(put_cert(out, &m->chain.level[i]));
    }
    CS_TRY(put_optional(out, "public_key", f->public_key));
    CS_TRY(put_optional(out, "user_data", f->user_data));
    return put_optional(out, "nonce", f->nonce);
}

/* ECDSA P-384 over text, as r||s of 48 bytes each. */
static cs_err sign_es384(uint8_t out[96], EVP_PKEY *key, cs_slice text)
{
    uint8_t der[128];
    const uint8_t *p = der;
    size_t len = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha384(), NULL, key) == 1 &&
              EVP_DigestSign(ctx, der, &len, text.p, text.len) == 1;
    ECDSA_SIG *sig = ok ? d2i_ECDSA_SIG(NULL, &p, (long)len) : NULL;
    ok = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 48) == 48 &&
         BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 48, 48) == 48;
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
    return ok ? CS_OK : CS_E_INTERNAL;
}

static cs_err put_signed(cs_buf *out, EVP_PKEY *key, cs_slice payload)
{
    uint8_t sig[96];
    cs_buf tbs = cs_buf_heap(CS_NSM_MAX_RESPONSE + 64);
    cs_slice prot = cs_slice_of(protected_es384, sizeof protected_es384);
    bool ok = cs_cbor_put_array(&tbs, 4) == CS_OK && cs_cbor_put_text(&tbs, "Signature1") == CS_OK &&
              cs_cbor_put_bytes(&tbs, prot) == CS_OK && cs_cbor_put_bytes(&tbs, CS_SLICE_NULL) == CS_OK &&
              cs_cbor_put_bytes(&tbs, payload) == CS_OK && sign_es384(sig, key, cs_buf_slice(&tbs)) == CS_OK;
    cs_buf_free(&tbs);
    if (!ok) {
        return CS_E_INTERNAL;
    }
    CS_TRY(cs_cbor_put_array(out, 4));
    CS_TRY(cs_cbor_put_bytes(out, prot));
    CS_TRY(cs_cbor_put_map(out, 0));
    CS_TRY(cs_cbor_put_bytes(out, payload));
    return cs_cbor_put_bytes(out, cs_slice_of(sig, sizeof sig));
}

static cs_err refresh_chain(cs_nsm_model *m)
{
    int64_t now = (int64_t)(cs_clock_wall_ms() / 1000);
    cs_emu_chain fresh;
    if (m->chain.leaf_end_s > now + REISSUE_S) {
        return CS_OK;
    }
    CS_TRY(cs_emu_chain_issue(&fresh, m->root, m->module_id, now));
    cs_emu_chain_cleanup(&m->chain);
    m->chain = fresh;
    return CS_OK;
}

cs_err cs_nsm_attest(cs_buf *out, cs_nsm_model *m, const cs_nsm_attest_fields *f)
{
    cs_buf payload = cs_buf_heap(CS_NSM_MAX_RESPONSE);
    size_t len0 = out->len;
    cs_err err = refresh_chain(m);
    if (err == CS_OK) {
        err = put_payload(&payload, m, f);
    }
    if (err == CS_OK) {
        err = put_signed(out, m->chain.level[3].key, cs_buf_slice(&payload));
    }
    cs_buf_free(&payload);
    if (err != CS_OK) {
        out->len = len0;
    }
    return err;
}
