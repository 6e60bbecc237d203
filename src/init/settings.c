#include "init/settings.h"

#include <string.h>

#include "codec/cbor.h"

enum { LEVEL, PARENT_CID, CLOCK_SOURCES, FILTER, NUM_KEYS };
static const char *const keys[NUM_KEYS] = {"level", "parentCid", "clockSources", "systemCallFilter"};

static cs_err read_clocks(cs_cbor *c, cs_init_settings *out)
{
    cs_cbor_iter it;

    CS_TRY(cs_cbor_array(c, &it));
    while (cs_cbor_more(c, &it)) {
        cs_slice *s = &out->clock_sources[out->num_clock_sources];

        if (out->num_clock_sources == CS_INIT_CLOCKS_MAX) {
            return CS_E_RANGE;
        }
        CS_TRY(cs_cbor_text(c, s));
        if (s->len < 1 || s->len > 32) {
            return CS_E_RANGE;
        }
        out->num_clock_sources++;
    }
    return out->num_clock_sources > 0 ? CS_OK : CS_E_RANGE;
}

static cs_err read_value(cs_cbor *c, cs_init_settings *out, size_t key)
{
    cs_slice text;
    uint64_t v;

    switch (key) {
    case LEVEL:
        CS_TRY(cs_cbor_text(c, &text));
        return cs_log_level_of(text, &out->level);
    case PARENT_CID:
        CS_TRY(cs_cbor_uint(c, &v));
        out->parent_cid = (uint32_t)v;
        return v >= 1 && v < UINT32_MAX ? CS_OK : CS_E_RANGE;
    case CLOCK_SOURCES:
        return read_clocks(c, out);
    default:
        CS_TRY(cs_cbor_text(c, &text));
        out->trap = cs_slice_eq_str(text, "trap");
        return out->trap || cs_slice_eq_str(text, "kill") ? CS_OK : CS_E_RANGE;
    }
}

static size_t index_of(cs_slice name, const char *const *names, size_t num)
{
    size_t i = 0;

    while (i < num && !cs_slice_eq_str(name, names[i])) {
        i++;
    }
    return i;
}

static cs_err read_own(cs_init_settings *out, const char **bad, cs_slice section)
{
    cs_cbor c = cs_cbor_of(section, CS_CBOR_STRICT);
    unsigned seen = 0;
    cs_cbor_iter it;
    cs_slice name;

    *bad = "init";
    CS_TRY(cs_cbor_map(&c, &it));
    while (cs_cbor_more(&c, &it)) {
        *bad = "init";
        CS_TRY(cs_cbor_text(&c, &name));
        size_t key = index_of(name, keys, NUM_KEYS);
        if (key == NUM_KEYS) {
            return CS_E_CONFIG;
        }
        *bad = keys[key];
        CS_TRY(read_value(&c, out, key));
        seen |= 1u << key;
    }
    for (size_t i = 0; i < NUM_KEYS; i++) {
        if ((seen >> i & 1u) == 0) {
            *bad = keys[i];
            return CS_E_CONFIG;
        }
    }
    return CS_OK;
}

static size_t section_of(cs_slice name)
{
    size_t i = 0;

    while (i < CS_LAUNCH_NUM_PROGRAMS && !cs_slice_eq_str(name, cs_launch_programs[i].section)) {
        i++;
    }
    return i;
}

static cs_err read_sections(cs_init_settings *out, const char **bad, cs_slice config)
{
    cs_cbor c = cs_cbor_of(config, CS_CBOR_STRICT);
    cs_slice name, value, own = CS_SLICE_NULL;
    cs_cbor_iter it;

    CS_TRY(cs_cbor_map(&c, &it));
    while (cs_cbor_more(&c, &it)) {
        CS_TRY(cs_cbor_text(&c, &name));
        if (cs_cbor_peek(&c) != CS_CBOR_MAP) {
            return CS_E_CONFIG;
        }
        CS_TRY(cs_cbor_skip(&c, &value));
        size_t i = section_of(name);
        if (i < CS_LAUNCH_NUM_PROGRAMS) {
            out->section[i] = value;
        } else if (cs_slice_eq_str(name, "init")) {
            own = value;
        } else if (!cs_slice_eq_str(name, "host")) {
            return CS_E_CONFIG;
        }
    }
    for (size_t i = 0; i < CS_LAUNCH_NUM_PROGRAMS; i++) {
        *bad = cs_launch_programs[i].section;
        if (out->section[i].p == NULL) {
            return CS_E_CONFIG;
        }
    }
    *bad = "init";
    return own.p != NULL ? read_own(out, bad, own) : CS_E_CONFIG;
}

cs_err cs_init_settings_read(cs_init_settings *out, const char **bad, cs_slice config)
{
    cs_init_settings s = {0};
    const char *none = "";

    bad = bad != NULL ? bad : &none;
    *bad = "";
    /* cs_cbor_check: one item, nothing behind it, no key twice */
    if (config.len > CS_INIT_CONFIG_MAX || cs_cbor_check(config, CS_CBOR_STRICT) != CS_OK ||
        read_sections(&s, bad, config) != CS_OK) {
        return CS_E_CONFIG;
    }
    *out = s;
    return CS_OK;
}
