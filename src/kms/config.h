/* The kms section of the measured configuration (docs/formats/config.md): deterministic CBOR, strict. Pure. */
#ifndef CS_KMS_CONFIG_H
#define CS_KMS_CONFIG_H

#include "base/bytes.h"
#include "base/log.h"

#define CS_KMS_CONFIG_MAX 262144u /* with the CA certificates */
#define CS_KMS_CONFIG_CONTEXT 16
#define CS_KMS_CONFIG_TEE_KEYS 16

/* Slices point into the section. */
typedef struct cs_kms_config {
    cs_slice region;                              /* 1..64 bytes */
    cs_slice key_arn;                             /* 1..2048: the key of the age identity */
    cs_slice tee_key_arn[CS_KMS_CONFIG_TEE_KEYS]; /* those of the TEE service; none: key_arn */
    size_t num_tee_key_arns;
    bool lease; /* tee.enabled: credentials are kept and renewed, not wiped after a load */
    cs_slice context_key[CS_KMS_CONFIG_CONTEXT], context_value[CS_KMS_CONFIG_CONTEXT];
    size_t num_context;
    char host[254];      /* name for SNI and the certificate check */
    cs_slice ca;         /* PEM */
    uint32_t proxy_port; /* 1..2^32-2 */
    uint32_t parent_cid;
    cs_log_level level;
} cs_kms_config;

/*
 * cs_kms_config_read - every key exactly once, none unknown, each in its range; section must outlive *out.
 * CS_E_CONFIG; *bad (may be NULL) is then the key it is about, "" when the bytes are no such map. *out is unspecified on error.
 */
CS_MUST cs_err cs_kms_config_read(cs_kms_config *out, const char **bad, cs_slice section);

/* cs_kms_config_allows - may this key be asked for: key_arn, and with a lease those of the TEE service. */
bool cs_kms_config_allows(const cs_kms_config *c, cs_slice arn);

#endif
