#include "tee/trust.h"

#include <openssl/evp.h>
#include <string.h>

#define HASH 32u
#define SIGNATURE 64u

static cs_err sha256(uint8_t out32[HASH], const cs_slice *parts, size_t num)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; ok && i < num; i++) {
        ok = EVP_DigestUpdate(ctx, parts[i].p, parts[i].len) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(ctx, out32, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? CS_OK : CS_E_NO_MEMORY;
}

/* ---------------------------------------------------------------- boots */

cs_err cs_tee_boot_verify(cs_tee_boot *out, cs_slice document, const cs_att_options *options)
{
    cs_att_result att;
    cs_tee_vouch v;

    CS_TRY(cs_att_verify(&att, document, options));
    if (!att.claims.user_data.present ||
        cs_tee_vouch_decode(&v, cs_slice_of(att.claims.user_data.b, att.claims.user_data.len)) != CS_OK) {
        return CS_E_ATT_BINDING;
    }
    *out = (cs_tee_boot){0};
    CS_TRY(
        sha256(out->pcr_digest32,
               (cs_slice[]){cs_slice_of(att.claims.pcr[0].b, CS_PCR_LEN), cs_slice_of(att.claims.pcr[1].b, CS_PCR_LEN),
                            cs_slice_of(att.claims.pcr[2].b, CS_PCR_LEN)},
               3));
    memcpy(out->boot16, v.boot16, sizeof out->boot16);
    memcpy(out->request_key32, v.request_key32, HASH);
    memcpy(out->audit_key32, v.audit_key32, HASH);
    return CS_OK;
}

/* ---------------------------------------------------------------- entries */

cs_err cs_tee_entry_signed(uint8_t out32[HASH], cs_slice entry)
{
    return sha256(out32, (cs_slice[]){cs_slice_str(CS_TEE_AUDIT_SIGNED), entry}, 2);
}

cs_err cs_tee_entry_hash(uint8_t out32[HASH], cs_slice entry, cs_slice signature)
{
    return sha256(out32, (cs_slice[]){cs_slice_str(CS_TEE_AUDIT_LINK), entry, signature}, 3);
}

cs_err cs_tee_entry_verify(const uint8_t audit_key32[HASH], cs_slice entry, cs_slice signature)
{
    uint8_t signed32[HASH];
    EVP_PKEY *key;
    EVP_MD_CTX *ctx;
    bool ok;

    if (signature.len != SIGNATURE) {
        return CS_E_AUDIT_CHAIN;
    }
    CS_TRY(cs_tee_entry_signed(signed32, entry));
    key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, audit_key32, HASH);
    ctx = EVP_MD_CTX_new();
    ok = key != NULL && ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
         EVP_DigestVerify(ctx, signature.p, SIGNATURE, signed32, HASH) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok ? CS_OK : CS_E_AUDIT_CHAIN;
}

cs_err cs_tee_entry_boot(const uint8_t **out_boot16, cs_slice entry)
{
    cs_tee_entry e;

    if (cs_tee_entry_decode(&e, entry) != CS_OK) {
        return CS_E_AUDIT_CHAIN;
    }
    *out_boot16 = e.boot16;
    return CS_OK;
}

static bool same32(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, HASH) == 0;
}

/* The entry is about this request, this result and this image. */
static cs_err about(const cs_tee_entry *e, const cs_tee_boot *boot, const cs_tee_expect *x)
{
    uint8_t request32[HASH], result32[HASH];
    bool same;

    CS_TRY(sha256(request32, &x->body, 1));
    CS_TRY(sha256(result32, &x->result, 1));
    same = memcmp(e->request_id16, x->id16, CS_TEE_ID_LEN) == 0 && same32(e->request_hash32, request32) &&
           same32(e->result_hash32, result32) && same32(e->pcr_digest32, boot->pcr_digest32) &&
           e->op == (uint64_t)x->row->op && cs_slice_eq(e->caller, x->caller) && cs_slice_eq(e->code, x->code);
    return same ? CS_OK : CS_E_AUDIT_CHAIN;
}

/* One counter has one entry. */
static bool moves_on(cs_tee_boot *boot, uint64_t counter, const uint8_t hash32[HASH], uint64_t above)
{
    const size_t at = (size_t)(counter % CS_TEE_SEEN);

    if (counter == 0 || counter <= above ||
        (boot->seen[at].counter == counter && !same32(boot->seen[at].hash32, hash32))) {
        return false;
    }
    if (counter > boot->seen[at].counter) {
        boot->seen[at].counter = counter;
        memcpy(boot->seen[at].hash32, hash32, HASH);
    }
    boot->top = counter > boot->top ? counter : boot->top;
    return true;
}

cs_err cs_tee_entry_check(cs_tee_boot *boot, cs_tee_entry *out, uint8_t out_head32[HASH], cs_slice entry,
                          cs_slice signature, const cs_tee_expect *expect)
{
    cs_tee_entry e;
    uint8_t hash32[HASH];

    if (cs_tee_entry_decode(&e, entry) != CS_OK || memcmp(e.boot16, boot->boot16, sizeof boot->boot16) != 0) {
        return CS_E_AUDIT_CHAIN;
    }
    CS_TRY(cs_tee_entry_verify(boot->audit_key32, entry, signature));
    CS_TRY(about(&e, boot, expect));
    CS_TRY(cs_tee_entry_hash(hash32, entry, signature));
    if (!moves_on(boot, e.counter, hash32, expect->above)) {
        return CS_E_AUDIT_CHAIN;
    }
    *out = e;
    memcpy(out_head32, hash32, HASH);
    return CS_OK;
}
