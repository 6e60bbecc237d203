/*
 * Which PCR values a key policy names: enough of the policy language to compare it with one image. Pure, for sign-host doctor; whether a
 * policy is safe is another question (signctl kms lint). Source: specs/nitro-kms.md 10.
 */
#ifndef CS_HOST_DOCTOR_POLICY_H
#define CS_HOST_DOCTOR_POLICY_H

#include "attest/pcr.h"

#define CS_DOCTOR_POLICY_MAX 65536u /* bytes; KMS takes 32 KiB */
#define CS_DOCTOR_RULES 512u
#define CS_DOCTOR_PCRS 9 /* 0 to 8: what an image, a role and an instance have */

/* One value of one condition key kms:RecipientAttestation:PCRn (ImageSha384 is PCR0). */
typedef struct cs_doctor_rule {
    unsigned statement; /* from 1 */
    bool deny, negated; /* the statement's effect; the operator is one of the Not... */
    uint8_t pcr;        /* 0..31 */
    bool readable;      /* value is 96 hex digits, of either case */
    cs_pcr value;
} cs_doctor_rule;

typedef struct cs_doctor_policy {
    cs_doctor_rule rule[CS_DOCTOR_RULES];
    size_t num_rules;
    unsigned num_statements;
} cs_doctor_policy;

/*
 * cs_doctor_policy_parse - a policy document, untrusted. CS_E_FORMAT (not JSON, or not the shape of a policy) | CS_E_TOO_LARGE (bytes,
 * or more rules than CS_DOCTOR_RULES). *out is unspecified on errors.
 */
CS_MUST cs_err cs_doctor_policy_parse(cs_doctor_policy *out, cs_slice json);

/* An image: the PCRs that are known of it. */
typedef struct cs_doctor_pcrs {
    unsigned known; /* bit n */
    cs_pcr pcr[CS_DOCTOR_PCRS];
} cs_doctor_pcrs;

typedef struct cs_doctor_match {
    unsigned num_allow;     /* Allow statements that name PCRs */
    unsigned allowed_by;    /* a statement whose known PCRs are all the image's; 0: none */
    unsigned nearest;       /* else the one with the fewest that differ; 0: none names a PCR */
    unsigned named, differ; /* of `nearest` (or allowed_by): bit n: PCR n is named and known; its values are others */
    unsigned denied_by;     /* a Deny whose list of exceptions does not have this image; 0: none */
    unsigned zero;          /* an Allow statement that takes debug enclaves (PCR0, 1 or 2 of zeros); 0: none */
} cs_doctor_match;

/* cs_doctor_policy_match - compare. PCRs that are not known are passed over. */
void cs_doctor_policy_match(cs_doctor_match *out, const cs_doctor_policy *p, const cs_doctor_pcrs *image);

#endif
