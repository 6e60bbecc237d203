/*
 * Settings of the TEE service at the gateway: the group `tee:` of docs/formats/gateway-config.md, by one table for the file, the
 * environment (APP_TEE_...) and --set. Values are text here and checked when they are set, so that a fault names its key.
 */
#ifndef CS_GATEWAY_TEE_SETTINGS_H
#define CS_GATEWAY_TEE_SETTINGS_H

#include "attest/policy.h"
#include "net/yaml.h"

#define CS_TEE_PATH_MAX 1024
#define CS_TEE_NAME_MAX 256
#define CS_TEE_ARN_MAX 2048

typedef struct cs_tee_config {
    bool given;                /* something of tee is set: enabled is true unless it says otherwise */
    bool enabled, enabled_set; /* cs_tee_settings_finish makes enabled what it is to be */
    uint64_t enclave_cid;
    bool enclave_cid_set;
    uint64_t kms_port, imds_port, sts_port;
    char kms_key_arn[CS_TEE_ARN_MAX];
    char pcrs[CS_ATT_MAX_TUPLES][CS_TEE_PATH_MAX]; /* as written */
    size_t num_pcrs;
    int64_t timeout_s;
    uint64_t idempotency_s, calls, bytes, recheck_s;
    bool allow_debug;
    char attest_root[CS_TEE_PATH_MAX]; /* PEM of another root than AWS's */
    char store_driver[16], store_path[CS_TEE_PATH_MAX], store_dsn[CS_TEE_PATH_MAX];
    char adopt_column[64]; /* rows of an application become sealed: their column of plaintext; "": none */
    uint64_t store_conns;
    char token_keys[CS_TEE_PATH_MAX], token_issuer[CS_TEE_NAME_MAX], token_audience[CS_TEE_NAME_MAX];
    uint64_t token_leeway_s;
    char tls_cert[CS_TEE_PATH_MAX], tls_key[CS_TEE_PATH_MAX], tls_ca[CS_TEE_PATH_MAX];
} cs_tee_config;

/* cs_tee_settings_default - every value. */
void cs_tee_settings_default(cs_tee_config *out);
/* cs_tee_setting - the name of position i ("tee.vsock.kmsPort"), NULL behind the last one. */
const char *cs_tee_setting(size_t i);
/* cs_tee_settings_file - the entries of a file. CS_E_CONFIG | CS_E_CONFIG_KEY with *fault. Their names, as cs_yaml_read knows them: */
size_t cs_tee_num_keys(void);
const char *cs_tee_key(size_t i);
CS_MUST cs_err cs_tee_settings_file(cs_tee_config *io, cs_yaml_fault *fault, const cs_yaml *y);
/*
 * cs_tee_settings_env - the variables APP_TEE_NAME of environ (names in capitals, "_" for "."; lists by comma), and MPC_TLS_CERT_FILE,
 * MPC_TLS_KEY_FILE, MPC_TLS_CA_CERT_FILE. An unknown APP_TEE_ name is refused. cs_tee_settings_set - one "tee.name=value".
 */
CS_MUST cs_err cs_tee_settings_env(cs_tee_config *io, cs_yaml_fault *fault, char *const *environ_list);
CS_MUST cs_err cs_tee_settings_set(cs_tee_config *io, cs_yaml_fault *fault, const char *assignment);
/*
 * cs_tee_settings_finish - what depends on several values, once all are set: enabled, the timeout (<= 0 becomes 5, *out_warned), what
 * must be there together. CS_E_CONFIG | CS_E_ATT_NO_POLICY with *fault.
 */
CS_MUST cs_err cs_tee_settings_finish(cs_tee_config *io, cs_yaml_fault *fault, bool *out_warned);
/* cs_tee_settings_print - append the group as YAML that reads back to the same; passwords of the dsn are masked. CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_tee_settings_print(cs_buf *out, const cs_tee_config *c);

/*
 * cs_tee_policy_read - the policy that allowedPCRs make: "PCR0:PCR1:PCR2[:PCR3=..][:PCR8=..]" in hex, 96 hex digits (PCR0 alone: *out_bare
 * counts them), or the path of an images/pcrs.json. CS_E_ATT_NO_POLICY (none) | CS_E_CONFIG with *fault.
 */
CS_MUST cs_err cs_tee_policy_read(cs_att_policy *out, size_t *out_bare, cs_yaml_fault *fault, const cs_tee_config *c);

#endif
