/* The `service` section of the measured configuration (docs/formats/config.md). */
#include <string.h>

#include "base/limits.h"
#include "codec/cbor.h"
#include "service/service.h"

#define SESSIONS_MAX_LIMIT 65536u
#define SILENCE_MIN 100u
#define SILENCE_MAX 600000u

enum { PARENT_CID, MAX_BYTES, SESSIONS, SILENCE, GATEWAY_URL, SERVER_INDEX, EGRESS_PORT, LEVEL, NUM_KEYS };
static const char *const keys[NUM_KEYS] = {"parentCid",  "maxBytes",    "sessions",   "silenceMs",
                                           "gatewayUrl", "serverIndex", "egressPort", "level"};

static cs_err in_range(cs_cbor *c, uint64_t *out, uint64_t min, uint64_t max)
{
    CS_TRY(cs_cbor_uint(c, out));
    return *out >= min && *out <= max ? CS_OK : CS_E_CONFIG;
}

/* The compiler has checked the rest; what goes into a request line and a header may hold nothing that ends one. */
static cs_err read_url(cs_cbor *c, cs_service_config *out)
{
    cs_slice url;

    CS_TRY(cs_cbor_text(c, &url));
    if (url.len > CS_SERVICE_URL_MAX || (url.len > 0 && (url.len < 8 || memcmp(url.p, "http://", 7) != 0))) {
        return CS_E_CONFIG;
    }
    for (size_t i = 0; i < url.len; i++) {
        if (url.p[i] <= 0x20 || url.p[i] >= 0x7f) {
            return CS_E_CONFIG;
        }
        out->gateway_url[i] = (char)url.p[i];
    }
    out->gateway_url[url.len] = '\0';
    return CS_OK;
}

static cs_err read_value(cs_cbor *c, cs_service_config *out, unsigned key)
{
    cs_slice level;

    switch (key) {
    case PARENT_CID:
        return in_range(c, &out->parent_cid, 1, UINT32_MAX);
    case MAX_BYTES:
        return in_range(c, &out->shares_max, CS_SHARES_MIN, CS_SHARES_MAX);
    case SESSIONS:
        return in_range(c, &out->sessions_max, 1, SESSIONS_MAX_LIMIT);
    case SILENCE:
        return in_range(c, &out->silence_ms, SILENCE_MIN, SILENCE_MAX);
    case GATEWAY_URL:
        return read_url(c, out);
    case SERVER_INDEX:
        return in_range(c, &out->server_index, 0, 1);
    case EGRESS_PORT:
        return in_range(c, &out->egress_port, 1, UINT32_MAX - 1);
    default:
        CS_TRY(cs_cbor_text(c, &level));
        return cs_log_level_of(level, &out->log_level);
    }
}

cs_err cs_service_config_read(cs_service_config *out, cs_slice cbor)
{
    cs_cbor c = cs_cbor_of(cbor, CS_CBOR_STRICT);
    cs_service_config got = {0};
    unsigned seen = 0;
    cs_cbor_iter it;

    if (cs_cbor_map(&c, &it) != CS_OK) {
        return CS_E_CONFIG;
    }
    while (cs_cbor_more(&c, &it)) {
        unsigned key = 0;
        cs_slice name;

        if (cs_cbor_text(&c, &name) != CS_OK) {
            return CS_E_CONFIG;
        }
        while (key < NUM_KEYS && !cs_slice_eq_str(name, keys[key])) {
            key++;
        }
        if (key == NUM_KEYS) {
            return CS_E_CONFIG_KEY;
        }
        if ((seen & 1u << key) != 0 || read_value(&c, &got, key) != CS_OK) {
            return CS_E_CONFIG;
        }
        seen |= 1u << key;
    }
    if (seen != (1u << NUM_KEYS) - 1 || cs_cbor_end(&c) != CS_OK) {
        return CS_E_CONFIG;
    }
    *out = got;
    return CS_OK;
}
