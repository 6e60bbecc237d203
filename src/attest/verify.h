/*
 * Verification of a Nitro attestation document: chain to a pinned root, signature, time, freshness, debug mode, PCR policy,
 * bindings - in this order. The document's own root certificate is never trusted. Source: specs/nitro-kms.md 5.3-5.5.
 */
#ifndef CS_ATTEST_VERIFY_H
#define CS_ATTEST_VERIFY_H

#include "attest/policy.h"

typedef enum cs_att_time {
    CS_ATT_TIME_NOW,      /* cs_clock_wall_ms; 300 s of leeway on each notBefore; the document must be fresh */
    CS_ATT_TIME_DOCUMENT, /* the document's own timestamp: says nothing about freshness */
    CS_ATT_TIME_FIXED,    /* fixed_s; exact, no leeway */
} cs_att_time;

#define CS_ATT_LEEWAY_S 300
#define CS_ATT_MAX_AGE_MS (5 * 60 * 1000)

typedef struct cs_att_options {
    cs_slice root_der; /* empty: AWS Nitro Enclaves root G1 */
    cs_att_time time;
    uint64_t fixed_s;            /* CS_ATT_TIME_FIXED: seconds since 1970 UTC */
    const cs_slice *nonce;       /* NULL: not compared; with CS_ATT_TIME_NOW the age is then limited to 5 minutes */
    const cs_slice *public_key;  /* NULL: not compared */
    const cs_slice *user_data;   /* NULL: not compared */
    const cs_att_policy *policy; /* NULL: only with any_pcrs */
    bool any_pcrs;               /* accept any image: inspection only */
    bool allow_debug;            /* accept enclaves in debug mode: development only */
} cs_att_options;

/* A verified document. Copyable; holds no pointers. */
typedef struct cs_att_result {
    cs_att_claims claims;
    bool debug;                 /* PCR0, 1 or 2 is zero (only with allow_debug) */
    bool instance_matches_pcr4; /* PCR4 is that of the instance in module_id: advice, not a condition */
    uint64_t time_s;            /* the time of verification */
    uint64_t leaf_not_before_s, leaf_not_after_s;
} cs_att_result;

/*
 * cs_att_verify - document: untrusted. *out is set on CS_OK only.
 * CS_E_ATT_NO_POLICY (neither policy nor any_pcrs; before anything else) | CS_E_ATT_FORMAT | CS_E_ATT_CHAIN | CS_E_ATT_TIME |
 * CS_E_ATT_SIGNATURE | CS_E_ATT_NONCE | CS_E_ATT_DEBUG | CS_E_ATT_PCR | CS_E_ATT_BINDING (public_key, user_data) |
 * CS_E_NO_MEMORY. Where several apply, the first in the order above (time is checked with its certificate).
 */
CS_MUST cs_err cs_att_verify(cs_att_result *out, cs_slice document, const cs_att_options *options);
/* cs_att_root_g1 - DER of the AWS Nitro Enclaves root G1 (533 bytes, static); commercial partition. */
cs_slice cs_att_root_g1(void);

#endif
