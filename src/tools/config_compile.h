/*
 * The measured configuration: YAML as people write it to the deterministic CBOR that an image carries (docs/formats/config.md).
 * Runs on the build machine or laptop only; no enclave program parses YAML. One table holds keys, types, ranges and defaults.
 */
#ifndef CS_TOOLS_CONFIG_COMPILE_H
#define CS_TOOLS_CONFIG_COMPILE_H

#include "net/yaml.h"

#define CS_CONFIG_YAML_MAX CS_YAML_MAX
#define CS_CONFIG_CA_MAX 131072u /* PEM certificates of kms.caFile */
#define CS_CONFIG_URL_MAX 512    /* gateway.url as it is stored */
#define CS_CONFIG_CBOR_MAX 262144u
#define CS_CONFIG_CORE_MAX 65536u /* sections other than kms, as their readers take them */

/* What comes before the file's own value, or its default: an environment variable that sign-host found, --set. */
typedef struct cs_config_set {
    const char *key, *value; /* "group.name"; keys of one value only */
} cs_config_set;

/* read_ca appends the certificates of kms.caFile, or the default ones when path is NULL. Its errors are passed on. */
typedef struct cs_config_files {
    cs_err (*read_ca)(void *cookie, cs_buf *out, const char *path);
    void *cookie;
    const cs_config_set *set; /* the last of a key counts */
    size_t num_set;
} cs_config_files;

/* cs_config_key - the names that a file may have, "group.name", by position; NULL at the end. */
const char *cs_config_key(size_t i);
/*
 * cs_config_compile - append the CBOR of the whole configuration to out (capacity CS_CONFIG_CBOR_MAX).
 * CS_E_TOO_LARGE (yaml over CS_CONFIG_YAML_MAX) | CS_E_CONFIG_KEY (unknown key) | CS_E_CONFIG (not YAML, twice, missing, wrong type or
 * range, nothing to serve) | CS_E_NOT_IMPLEMENTED (signerRpc.enabled) | what read_ca said | CS_E_NO_MEMORY. On an error out is as before and *fault says more.
 */
CS_MUST cs_err cs_config_compile(cs_buf *out, cs_yaml_fault *fault, cs_slice yaml, const cs_config_files *files);

#endif
