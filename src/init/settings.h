/*
 * The compiled configuration as sign-init reads it: its own section, and the bytes of the sections that it hands out. Pure.
 * Source: docs/formats/config.md.
 */
#ifndef CS_INIT_SETTINGS_H
#define CS_INIT_SETTINGS_H

#include "base/bytes.h"
#include "base/launch_table.h"
#include "base/log.h"

#define CS_INIT_CONFIG_MAX ((size_t)1 << 21)
#define CS_INIT_CLOCKS_MAX 16

typedef struct cs_init_settings {
    uint32_t parent_cid;
    cs_slice clock_sources[CS_INIT_CLOCKS_MAX]; /* borrowed from the configuration */
    size_t num_clock_sources;
    cs_log_level level;
    bool trap;                                /* systemCallFilter: trap */
    cs_slice section[CS_LAUNCH_NUM_PROGRAMS]; /* borrowed; deterministic CBOR */
} cs_init_settings;

/*
 * cs_init_settings_read - of the whole config.cbor, which must outlive out. CS_E_CONFIG (out unchanged) for anything but the five
 * sections with the keys and ranges that are documented; *bad (may be NULL) then names the key or section, static, "" when it has none.
 */
CS_MUST cs_err cs_init_settings_read(cs_init_settings *out, const char **bad, cs_slice config);

#endif
