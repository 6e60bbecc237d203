/* Inside of tee_settings*.c: the table of settings. */
#ifndef CS_GATEWAY_TEE_SETTINGS_INT_H
#define CS_GATEWAY_TEE_SETTINGS_INT_H

#include "gateway/tee_settings.h"

typedef enum cs_tee_setting_kind {
    CS_TEE_S_BOOL,
    CS_TEE_S_NUMBER,
    CS_TEE_S_SIGNED,
    CS_TEE_S_TEXT,
    CS_TEE_S_LIST,
    CS_TEE_S_DSN, /* text that may hold a password */
} cs_tee_setting_kind;

typedef struct cs_tee_setting_row {
    const char *name; /* "tee.vsock.kmsPort": below an entry "tee.vsock" of the file */
    cs_tee_setting_kind kind;
    uint64_t min, max;        /* numbers: range; texts: max is the room */
    size_t at;                /* in cs_tee_config */
    const char *def, *one_of; /* one_of: words that are possible, " " between */
} cs_tee_setting_row;

extern const cs_tee_setting_row cs_tee_setting_rows[]; /* ends with name NULL */

#endif
