/* See config.h. */
#include "kms/config.h"

#include <string.h>

#include "codec/cbor.h"

enum { CA, LEVEL, HOST, REGION, KEY_ARN, PROXY_PORT, PARENT_CID, CONTEXT, TEE_KEYS, LEASE, NUM_KEYS };

static const char *const names[NUM_KEYS] = {
    "ca", "level", "host", "region", "keyArn", "proxyPort", "parentCid", "encryptionContext", "teeKmsKeyArns", "lease"};

static cs_err read_text(cs_cbor *c, cs_slice *out, size_t max)
{
    CS_TRY(cs_cbor_text(c, out));
    return out->len >= 1 && out->len <= max ? CS_OK : CS_E_RANGE;
}

static cs_err read_u32(cs_cbor *c, uint32_t *out, uint64_t min, uint64_t max)
{
    uint64_t v = 0;
    CS_TRY(cs_cbor_uint(c, &v));
    if (v < min || v > max) {
        return CS_E_RANGE;
    }
    *out = (uint32_t)v;
    return CS_OK;
}

static cs_err read_context(cs_cbor *c, cs_kms_config *out)
{
    cs_cbor_iter it;
    CS_TRY(cs_cbor_map(c, &it));
    while (cs_cbor_more(c, &it)) {
        size_t n = out->num_context;
        if (n == CS_KMS_CONFIG_CONTEXT) {
            return CS_E_RANGE;
        }
        CS_TRY(read_text(c, &out->context_key[n], 256));
        CS_TRY(cs_cbor_text(c, &out->context_value[n]));
        out->num_context++;
    }
    return CS_OK;
}

static cs_err read_tee_keys(cs_cbor *c, cs_kms_config *out)
{
    cs_cbor_iter it;
    CS_TRY(cs_cbor_array(c, &it));
    while (cs_cbor_more(c, &it)) {
        if (out->num_tee_key_arns == CS_KMS_CONFIG_TEE_KEYS) {
            return CS_E_RANGE;
        }
        CS_TRY(read_text(c, &out->tee_key_arn[out->num_tee_key_arns++], 2048));
    }
    return CS_OK;
}

static cs_err read_host(cs_cbor *c, cs_kms_config *out)
{
    cs_slice host;
    CS_TRY(read_text(c, &host, sizeof out->host - 1));
    for (size_t i = 0; i < host.len; i++) {
        uint8_t x = host.p[i];
        bool ok = (x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z') || (x >= '0' && x <= '9') || x == '.' || x == '-';
        if (!ok) {
            return CS_E_FORMAT;
        }
    }
    memcpy(out->host, host.p, host.len);
    out->host[host.len] = '\0';
    return CS_OK;
}

static cs_err read_value(cs_cbor *c, cs_kms_config *out, int key)
{
    cs_slice name;
    switch (key) {
    case CA:
        CS_TRY(cs_cbor_bytes(c, &out->ca));
        return out->ca.len > 0 ? CS_OK : CS_E_RANGE;
    case LEVEL:
        CS_TRY(cs_cbor_text(c, &name));
        return cs_log_level_of(name, &out->level);
    case HOST:
        return read_host(c, out);
    case REGION:
        return read_text(c, &out->region, 64);
    case KEY_ARN:
        return read_text(c, &out->key_arn, 2048);
    case PROXY_PORT:
        return read_u32(c, &out->proxy_port, 1, UINT32_MAX - 1);
    case PARENT_CID:
        return read_u32(c, &out->parent_cid, 0, UINT32_MAX - 1);
    case TEE_KEYS:
        return read_tee_keys(c, out);
    case LEASE:
        return cs_cbor_bool(c, &out->lease);
    default:
        return read_context(c, out);
    }
}

static int key_of(cs_slice name)
{
    int i = 0;
    while (i < NUM_KEYS && !cs_slice_eq_str(name, names[i])) {
        i++;
    }
    return i;
}

cs_err cs_kms_config_read(cs_kms_config *out, const char **bad, cs_slice section)
{
    const char *none = "";
    unsigned seen = 0;
    cs_cbor c = cs_cbor_of(section, CS_CBOR_STRICT);
    cs_cbor_iter it;
    bad = bad != NULL ? bad : &none;
    *bad = "";
    memset(out, 0, sizeof *out);
    if (section.len > CS_KMS_CONFIG_MAX || cs_cbor_check(section, CS_CBOR_STRICT) != CS_OK ||
        cs_cbor_map(&c, &it) != CS_OK) {
        return CS_E_CONFIG;
    }
    while (cs_cbor_more(&c, &it)) {
        cs_slice name;
        int key;
        if (cs_cbor_text(&c, &name) != CS_OK || (key = key_of(name)) == NUM_KEYS) {
            return CS_E_CONFIG;
        }
        if (read_value(&c, out, key) != CS_OK) {
            *bad = names[key];
            return CS_E_CONFIG;
        }
        seen |= 1u << key;
    }
    for (int i = 0; i < NUM_KEYS; i++) {
        if (!(seen >> i & 1)) {
            *bad = names[i];
            return CS_E_CONFIG;
        }
    }
    return CS_OK;
}

bool cs_kms_config_allows(const cs_kms_config *c, cs_slice arn)
{
    bool allowed = cs_slice_eq(c->key_arn, arn);
    for (size_t i = 0; c->lease && i < c->num_tee_key_arns; i++) {
        allowed = allowed || cs_slice_eq(c->tee_key_arn[i], arn);
    }
    return allowed;
}
