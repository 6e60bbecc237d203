/* What the installed C APIs share: how errors are told, which enclaves are accepted. */
#ifndef CS_PARTY_API_ATT_H
#define CS_PARTY_API_ATT_H

#include "attest/verify.h"
#include "countersign/party.h"

#define CS_API_EXPORT __attribute__((visibility("default")))
#define CS_API_ROOT_MAX 4096

/* options borrows from policy and root_der: the struct stays where it is. */
typedef struct cs_api_att {
    cs_att_options options;
    cs_att_policy policy;
    uint8_t root_der[CS_API_ROOT_MAX];
} cs_api_att;

/* What both options structures say. */
typedef struct cs_api_images {
    const char *const *pcrs; /* "N=HEX", together one image */
    size_t num_pcrs;
    const char *const *allowed; /* cs_att_tuple_parse, one image each */
    size_t num_allowed;
    int any_pcrs, allow_debug;
    const char *root_pem; /* NULL: AWS Nitro Enclaves root G1 */
} cs_api_images;

/* cs_api_att_init - CS_E_ATT_NO_POLICY | CS_E_CONFIG (root_pem) | CS_E_FORMAT, CS_E_RANGE, CS_E_EXISTS, CS_E_ATT_DEBUG, CS_E_TOO_LARGE (images). */
CS_MUST cs_err cs_api_att_init(cs_api_att *out, const cs_api_images *images);

countersign_error cs_api_error(cs_err e);
/* cs_api_result - sets *err (may be NULL); 0 for CS_OK, else -1. */
int cs_api_result(countersign_error *err, cs_err e);

#endif
