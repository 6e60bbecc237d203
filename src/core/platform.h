/* What differs between sign-core and sign-core-emulated: one object file each, nothing else. */
#ifndef CS_CORE_PLATFORM_H
#define CS_CORE_PLATFORM_H

#include "base/sandbox.h"
#include "core/core.h"
#include "core/nsm/nsm.h"

#define CS_NSM_IOCTL 0xC0200A00ul /* _IOWR(0x0A, 0, struct nsm_raw) */

typedef struct cs_core_platform {
    const char *program;
    const char *about;
    bool emulated;     /* shown in status and log; lets the filter pass the socket calls of the module's model */
    bool require_lock; /* an arena that cannot be locked: refuse, or warn */
    cs_err (*open_nsm)(cs_nsm *out, const cs_args *args);
    /* loads config->key_share_file before the filter is installed; NULL: this program has no file and refuses the key */
    cs_err (*load_shares)(cs_core *core, const cs_core_config *config);
} cs_core_platform;

extern const cs_core_platform cs_platform;
/* cs_platform_load_shares - of sign-core-emulated (src/emulator/share_file.c); says in the log what is wrong. */
CS_MUST cs_err cs_platform_load_shares(cs_core *core, const cs_core_config *config);
extern const cs_opt cs_platform_opts[];

/* Options of both programs: docs/formats/launch.md. */
#define CS_CORE_OPTS                                                                                                   \
    {"config-fd", 0,    CS_OPT_U64, "N",  "descriptor with the core section of the measured configuration",            \
     NULL,        NULL, 0,          65535},                                                                            \
        {"link-service", 0, CS_OPT_U64, "N", "socket pair to sign-service", NULL, NULL, 0, 65535},                     \
        {"link-kms", 0, CS_OPT_U64, "N", "socket pair to sign-kms", NULL, NULL, 0, 65535}, CS_SANDBOX_OPTS

#endif
