/* The core section of the measured configuration (docs/formats/config.md): deterministic CBOR, strict. Pure. */
#ifndef CS_CORE_CONFIG_H
#define CS_CORE_CONFIG_H

#include "base/bytes.h"
#include "base/limits.h"
#include "base/log.h"
#include "rpc/tee_rpc.h"

#define CS_CONFIG_MAX_BYTES 65536u
#define CS_CONFIG_MAX_PUBLISHERS 16
#define CS_CONFIG_MAX_CONTEXT 16
#define CS_CONFIG_MAX_PATH 1023
#define CS_CONFIG_MAX_TEE_KEYS 16

typedef struct cs_core_config {
    bool debug_allowed;
    bool require_signed;
    cs_log_level level;
    uint64_t min_generation;
    uint64_t max_bytes;       /* of a share file as it is injected, CS_SHARES_MIN..CS_SHARES_MAX */
    uint64_t sessions;        /* streams at once, 1..65536 */
    uint64_t silence_ms;      /* 100..600000 */
    uint64_t arena_mib;       /* 4..65536 */
    cs_slice region, key_arn; /* these and the context borrow from the section's bytes */
    cs_slice context_key[CS_CONFIG_MAX_CONTEXT], context_value[CS_CONFIG_MAX_CONTEXT];
    size_t num_context;
    uint8_t publisher[CS_CONFIG_MAX_PUBLISHERS][32];
    size_t num_publishers;
    bool tee_enabled;
    cs_slice tee_key_arns
        [CS_CONFIG_MAX_TEE_KEYS]; /* KMS keys that may be asked, the first seals; key_arn when none is given */
    size_t num_tee_key_arns;      /* at least 1 */
    uint64_t tee_cache_seconds;   /* 0..3600 of a data key; 0: for one call */
    uint64_t tee_cache_entries;   /* 1..65536 */
    uint64_t tee_workers;         /* 0..64; 0: as many as CPUs */
    uint64_t tee_queue;           /* calls waiting or under way, 1..65536 */
    uint64_t tee_window_seconds;  /* 5..600 */
    uint64_t tee_approvals[CS_TEE_NUM_OPS + 1];  /* by number of the operation: 0 none, else 1..CS_TEE_APPROVALS_MAX */
    char key_share_file[CS_CONFIG_MAX_PATH + 1]; /* "": none. Local runs only: release programs refuse another */
} cs_core_config;

/*
 * cs_core_config_read - every key exactly once, none unknown, each in its range. bytes must outlive *out.
 * CS_E_CONFIG; *bad (may be NULL) is then the key it is about, or "" when the bytes are no map. *out is unspecified on error.
 */
CS_MUST cs_err cs_core_config_read(cs_core_config *out, const char **bad, cs_slice bytes);

#endif
