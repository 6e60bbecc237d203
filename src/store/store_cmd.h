/* migrate, export, import and audit: the store's commands, for the tables of sign-gateway and signctl. */
#ifndef CS_STORE_STORE_CMD_H
#define CS_STORE_STORE_CMD_H

#include "base/opts.h"
#include "store/store.h"

/*
 * cs_store_cmd_config - set by a program whose commands have --config: the address of the store that this file names. 0, or the exit
 * status: then it was said why. NULL: there is no such option.
 */
extern int (*cs_store_cmd_config)(const cs_args *a, const char *path, char dsn[CS_STORE_DSN_MAX]);

int cs_store_cmd_migrate(const cs_args *a);
int cs_store_cmd_export(const cs_args *a);
int cs_store_cmd_import(const cs_args *a);
int cs_store_cmd_audit(const cs_args *a);
extern const cs_opt cs_store_cmd_audit_opts[];
extern const char cs_store_cmd_audit_text[];
extern const cs_opt cs_store_cmd_migrate_opts[], cs_store_cmd_export_opts[], cs_store_cmd_import_opts[];
extern const char cs_store_cmd_migrate_text[], cs_store_cmd_export_text[], cs_store_cmd_import_text[];

#define CS_STORE_CMD(cmd, what, line, num)                                                                             \
    {                                                                                                                  \
        .name = #cmd, .synopsis = (what), .summary = (line), .text = cs_store_cmd_##cmd##_text,                        \
        .opts = cs_store_cmd_##cmd##_opts, .min_args = (num), .max_args = (num), .run = cs_store_cmd_##cmd             \
    }
#define CS_STORE_CMDS                                                                                                  \
    CS_STORE_CMD(migrate, "up|down|status --store ADDRESS",                                                            \
                 "bring the tables of the store to a version, or show which they have", 1),                            \
        CS_STORE_CMD(export, "FILE --store ADDRESS",                                                                   \
                     "write all sealed rows of the store to a file, as they are: ciphertext", 1),                      \
        CS_STORE_CMD(audit, "FILE --store ADDRESS", "write the audit log to a file, for signctl audit verify", 1),     \
        CS_STORE_CMD(import, "FILE [--check] [--replace] --store ADDRESS",                                             \
                     "store the rows of an exported file, all of them or none", 1)

#endif
