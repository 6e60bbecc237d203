/*
 * kmstool_enclave_cli: for those who script in an enclave. The reference tool's options, output and exit status; KMS's refusal is shown,
 * every step has a deadline, and nothing crashes. Source: specs/nitro-kms.md 1; docs/guides/kmstool.md.
 */
#ifndef CS_TOOLS_KMSTOOL_H
#define CS_TOOLS_KMSTOOL_H

#include "tools/kmstool_wire.h"

#define CS_KMSTOOL_HOST_MAX 128

/* What differs between kmstool_enclave_cli and kmstool_enclave_cli-emulated: one object file each. */
typedef struct cs_kmstool_platform {
    const char *program;
    bool emulated; /* takes --nsm unix:/PATH and --local-dir DIR */
    /* opens the module; nsm and local_dir are NULL where there are no such options. CS_E_NSM | CS_E_USAGE | CS_E_RANGE */
    cs_err (*open)(const char *nsm, const char *local_dir);
    /* one exchange; response is empty. CS_E_NSM. */
    cs_err (*call)(cs_slice request, cs_buf *response);
} cs_kmstool_platform;
extern const cs_kmstool_platform cs_kmstool_platform_linked;

typedef struct cs_kmstool_opts {
    const char *region, *key_id, *access_key_id, *secret_key, *token; /* secret_key, token: secret */
    const char *ca_file;
    uint32_t cid, port;
    cs_kmstool_ask ask;
} cs_kmstool_opts;

/* cs_kmstool_host - "kms.REGION.SUFFIX", the suffix by the region's prefix. CS_E_RANGE. */
CS_MUST cs_err cs_kmstool_host(char out[CS_KMSTOOL_HOST_MAX], const char *region);
/*
 * cs_kmstool_run - the whole call: entropy, RSA key, attestation, TLS to KMS, envelope. plain: secret buffer; ciphertext: of genkey,
 * heap. Says on standard error what went wrong, in the reference's words where it has some.
 */
CS_MUST cs_err cs_kmstool_run(cs_buf *plain, cs_buf *ciphertext, const cs_kmstool_opts *o);

#endif
