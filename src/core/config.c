#include "core/config.h"

#include <string.h>

#include "base/text.h"
#include "codec/cbor.h"

static cs_err read_bool(cs_cbor *c, bool *out)
{
    return cs_cbor_bool(c, out);
}

static cs_err read_range(cs_cbor *c, uint64_t *out, uint64_t min, uint64_t max)
{
    CS_TRY(cs_cbor_uint(c, out));
    return *out >= min && *out <= max ? CS_OK : CS_E_RANGE;
}

static cs_err read_text(cs_cbor *c, cs_slice *out, size_t max)
{
    CS_TRY(cs_cbor_text(c, out));
    return out->len >= 1 && out->len <= max ? CS_OK : CS_E_RANGE;
}

/* A path that a C string can hold, or nothing. */
static cs_err read_path(cs_cbor *c, char out[CS_CONFIG_MAX_PATH + 1])
{
    cs_slice path;

    CS_TRY(cs_cbor_text(c, &path));
    if (path.len > CS_CONFIG_MAX_PATH || (path.len > 0 && (path.p[0] != '/' || memchr(path.p, 0, path.len) != NULL))) {
        return CS_E_RANGE;
    }
    if (path.len > 0) {
        memcpy(out, path.p, path.len);
    }
    out[path.len] = '\0';
    return CS_OK;
}

static cs_err read_context(cs_cbor *c, cs_core_config *out)
{
    cs_cbor_iter it;

    CS_TRY(cs_cbor_map(c, &it));
    while (cs_cbor_more(c, &it)) {
        size_t n = out->num_context;

        if (n == CS_CONFIG_MAX_CONTEXT) {
            return CS_E_RANGE;
        }
        CS_TRY(cs_cbor_text(c, &out->context_key[n]));
        CS_TRY(cs_cbor_text(c, &out->context_value[n]));
        out->num_context++;
    }
    return CS_OK;
}

static cs_err read_publishers(cs_cbor *c, cs_core_config *out)
{
    cs_cbor_iter it;

    CS_TRY(cs_cbor_array(c, &it));
    while (cs_cbor_more(c, &it)) {
        cs_slice hex;

        if (out->num_publishers == CS_CONFIG_MAX_PUBLISHERS) {
            return CS_E_RANGE;
        }
        CS_TRY(cs_cbor_text(c, &hex));
        CS_TRY(cs_hex_decode(out->publisher[out->num_publishers], 32, hex));
        out->num_publishers++;
    }
    return CS_OK;
}

static cs_err read_tee_keys(cs_cbor *c, cs_core_config *out)
{
    cs_cbor_iter it;

    CS_TRY(cs_cbor_array(c, &it));
    while (cs_cbor_more(c, &it)) {
        if (out->num_tee_key_arns == CS_CONFIG_MAX_TEE_KEYS) {
            return CS_E_RANGE;
        }
        CS_TRY(read_text(c, &out->tee_key_arns[out->num_tee_key_arns++], 2048));
    }
    return CS_OK;
}

static cs_err read_approvals(cs_cbor *c, cs_core_config *out)
{
    cs_cbor_iter it;

    CS_TRY(cs_cbor_map(c, &it));
    while (cs_cbor_more(c, &it)) {
        cs_slice name;
        CS_TRY(cs_cbor_text(c, &name));
        const cs_tee_op_row *row = cs_tee_op_named(name);
        if (row == NULL) {
            return CS_E_RANGE;
        }
        CS_TRY(read_range(c, &out->tee_approvals[row->op], 1, CS_TEE_APPROVALS_MAX));
    }
    return CS_OK;
}

static cs_err read_level(cs_cbor *c, cs_log_level *out)
{
    cs_slice name;

    CS_TRY(cs_cbor_text(c, &name));
    return cs_log_level_of(name, out);
}

enum {
    DEBUG_ALLOWED,
    REGION,
    KEY_ARN,
    CONTEXT,
    PUBLISHERS,
    SIGNED,
    MIN_GENERATION,
    MAX_BYTES,
    SESSIONS,
    SILENCE,
    ARENA,
    SHARE_FILE,
    LEVEL,
    TEE_ENABLED,
    TEE_KEYS,
    TEE_CACHE_SECONDS,
    TEE_CACHE_ENTRIES,
    TEE_WORKERS,
    TEE_QUEUE,
    TEE_WINDOW,
    TEE_APPROVALS,
    NUM_KEYS
};

static const char *const keys[NUM_KEYS] = {
    "debugAllowed",
    "region",
    "keyArn",
    "encryptionContext",
    "publishers",
    "requireSignedShares",
    "minGeneration",
    "maxBytes",
    "sessions",
    "silenceMs",
    "arenaMiB",
    "keyShareFile",
    "level",
    "teeEnabled",
    "teeKmsKeyArns",
    "teeDataKeyCacheSeconds",
    "teeDataKeyCacheEntries",
    "teeWorkers",
    "teeQueue",
    "teeWindowSeconds",
    "teeRequireApproval",
};

static cs_err read_tee_value(cs_cbor *c, cs_core_config *out, unsigned key)
{
    switch (key) {
    case TEE_ENABLED:
        return read_bool(c, &out->tee_enabled);
    case TEE_KEYS:
        return read_tee_keys(c, out);
    case TEE_CACHE_SECONDS:
        return read_range(c, &out->tee_cache_seconds, 0, 3600);
    case TEE_CACHE_ENTRIES:
        return read_range(c, &out->tee_cache_entries, 1, 65536);
    case TEE_WORKERS:
        return read_range(c, &out->tee_workers, 0, 64);
    case TEE_QUEUE:
        return read_range(c, &out->tee_queue, 1, 65536);
    case TEE_WINDOW:
        return read_range(c, &out->tee_window_seconds, 5, 600);
    default:
        return read_approvals(c, out);
    }
}

static cs_err read_value(cs_cbor *c, cs_core_config *out, unsigned key)
{
    switch (key) {
    case DEBUG_ALLOWED:
        return read_bool(c, &out->debug_allowed);
    case REGION:
        return read_text(c, &out->region, 64);
    case KEY_ARN:
        return read_text(c, &out->key_arn, 2048);
    case CONTEXT:
        return read_context(c, out);
    case PUBLISHERS:
        return read_publishers(c, out);
    case SIGNED:
        return read_bool(c, &out->require_signed);
    case MIN_GENERATION:
        return cs_cbor_uint(c, &out->min_generation);
    case MAX_BYTES:
        return read_range(c, &out->max_bytes, CS_SHARES_MIN, CS_SHARES_MAX);
    case SESSIONS:
        return read_range(c, &out->sessions, 1, 65536);
    case SILENCE:
        return read_range(c, &out->silence_ms, 100, 600000);
    case ARENA:
        return read_range(c, &out->arena_mib, 4, 65536);
    case SHARE_FILE:
        return read_path(c, out->key_share_file);
    case LEVEL:
        return read_level(c, &out->level);
    default:
        return read_tee_value(c, out, key);
    }
}

static unsigned key_of(cs_slice name)
{
    unsigned i = 0;

    while (i < NUM_KEYS && !cs_slice_eq_str(name, keys[i])) {
        i++;
    }
    return i;
}

cs_err cs_core_config_read(cs_core_config *out, const char **bad, cs_slice bytes)
{
    cs_cbor c = cs_cbor_of(bytes, CS_CBOR_STRICT);
    const char *dummy;
    cs_cbor_iter it;
    unsigned seen = 0;

    bad = bad == NULL ? &dummy : bad;
    *bad = "";
    *out = (cs_core_config){0};
    /* also refuses duplicate keys, here and in the context */
    if (bytes.len > CS_CONFIG_MAX_BYTES || cs_cbor_check(bytes, CS_CBOR_STRICT) != CS_OK ||
        cs_cbor_map(&c, &it) != CS_OK) {
        return CS_E_CONFIG;
    }
    while (cs_cbor_more(&c, &it)) {
        cs_slice name;
        unsigned key;

        if (cs_cbor_text(&c, &name) != CS_OK) {
            return CS_E_CONFIG;
        }
        key = key_of(name);
        *bad = key == NUM_KEYS ? "unknown key" : keys[key];
        if (key == NUM_KEYS || read_value(&c, out, key) != CS_OK) {
            return CS_E_CONFIG;
        }
        seen |= 1u << key;
    }
    for (unsigned i = 0; i < NUM_KEYS; i++) {
        if ((seen >> i & 1) == 0) {
            *bad = keys[i];
            return CS_E_CONFIG;
        }
    }
    if (out->num_tee_key_arns == 0) {
        out->tee_key_arns[out->num_tee_key_arns++] = out->key_arn;
    }
    *bad = "";
    return CS_OK;
}
