/* Verification of attestation documents, see verify.h. */
#include "attest/verify.h"

#include <openssl/crypto.h>
#include <string.h>

#include "attest/chain.h"
#include "attest/cose_verify.h"
#include "base/clock.h"

static uint64_t verification_time(const cs_att_claims *claims, const cs_att_options *o)
{
    switch (o->time) {
    case CS_ATT_TIME_DOCUMENT:
        return claims->timestamp_ms / 1000;
    case CS_ATT_TIME_FIXED:
        return o->fixed_s;
    default:
        return cs_clock_wall_ms() / 1000;
    }
}

static cs_err check_signature(const cs_att_doc *doc, X509 *leaf)
{
    cs_buf tbs = cs_buf_heap(CS_ATT_MAX_DOC + 64);
    cs_err err = cs_cose_sign1_tbs(&tbs, &doc->cose, CS_SLICE_NULL);

    if (err == CS_OK &&
        cs_cose_verify(X509_get0_pubkey(leaf), doc->cose.head.alg, cs_buf_slice(&tbs), doc->cose.signature) != CS_OK) {
        err = CS_E_ATT_SIGNATURE;
    }
    cs_buf_free(&tbs);
    return err;
}

/* expected NULL: nothing to compare. */
static bool field_ok(const cs_att_bytes *field, const cs_slice *expected)
{
    return expected == NULL || (field->present && field->len == expected->len &&
                                (field->len == 0 || CRYPTO_memcmp(field->b, expected->p, field->len) == 0));
}

/* A nonce of ours proves freshness; without one the age is limited, for live verification only. */
static cs_err check_fresh(const cs_att_claims *claims, const cs_att_options *o)
{
    uint64_t now = cs_clock_wall_ms(), age;

    if (o->nonce != NULL) {
        return field_ok(&claims->nonce, o->nonce) ? CS_OK : CS_E_ATT_NONCE;
    }
    age = now > claims->timestamp_ms ? now - claims->timestamp_ms : claims->timestamp_ms - now;
    return o->time != CS_ATT_TIME_NOW || age <= CS_ATT_MAX_AGE_MS ? CS_OK : CS_E_ATT_TIME;
}

/* Debug mode zeroes PCR0-2 but not 3 and 4, so it is refused before any allow-list is looked at. */
static cs_err check_image(const cs_att_claims *claims, const cs_att_options *o)
{
    if (cs_att_is_debug(claims) && !o->allow_debug) {
        return CS_E_ATT_DEBUG;
    }
    return o->policy != NULL ? cs_att_policy_check(o->policy, claims) : CS_OK;
}

static cs_err check_claims(const cs_att_claims *claims, const cs_att_options *o)
{
    CS_TRY(check_fresh(claims, o));
    CS_TRY(check_image(claims, o));
    return field_ok(&claims->public_key, o->public_key) && field_ok(&claims->user_data, o->user_data)
               ? CS_OK
               : CS_E_ATT_BINDING;
}

static bool instance_matches(const cs_att_claims *claims)
{
    const char *end = strstr(claims->module_id, "-enc");
    cs_pcr want;

    return end != NULL && end != claims->module_id &&
           cs_pcr_of_string(&want, cs_slice_of(claims->module_id, (size_t)(end - claims->module_id))) == CS_OK &&
           memcmp(&want, &claims->pcr[4], sizeof want) == 0;
}

static cs_err verify(cs_att_result *out, const cs_att_doc *doc, const cs_att_options *o)
{
    cs_att_chain_args args = {.root_der = o->root_der.len > 0 ? o->root_der : cs_att_root_g1(),
                              .time_s = verification_time(&doc->claims, o),
                              .leeway_s = o->time == CS_ATT_TIME_NOW ? CS_ATT_LEEWAY_S : 0};
    cs_att_leaf leaf;
    cs_err err;

    CS_TRY(cs_att_chain_verify(&leaf, doc, &args));
    err = check_signature(doc, leaf.cert);
    X509_free(leaf.cert);
    CS_TRY(err);
    CS_TRY(check_claims(&doc->claims, o));
    *out = (cs_att_result){.claims = doc->claims,
                           .debug = cs_att_is_debug(&doc->claims),
                           .instance_matches_pcr4 = instance_matches(&doc->claims),
                           .time_s = args.time_s,
                           .leaf_not_before_s = leaf.not_before_s,
                           .leaf_not_after_s = leaf.not_after_s};
    return CS_OK;
}

cs_err cs_att_verify(cs_att_result *out, cs_slice document, const cs_att_options *options)
{
    bool has_policy = options->policy != NULL && options->policy->num_tuples > 0;
    cs_att_doc doc;

    /* a caller that forgot the policy is told so whatever the document is; an empty list is never "any" */
    if (!has_policy && (!options->any_pcrs || options->policy != NULL)) {
        return CS_E_ATT_NO_POLICY;
    }
    CS_TRY(cs_att_doc_parse(&doc, document));
    return verify(out, &doc, options);
}
