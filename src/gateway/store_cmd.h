/* sign-gateway migrate, export and import: the store's commands, for the table of main.c. */
#ifndef CS_GATEWAY_STORE_CMD_H
#define CS_GATEWAY_STORE_CMD_H

#include "base/opts.h"

int cs_store_cmd_migrate(const cs_args *a);
extern const cs_opt cs_store_cmd_migrate_opts[];

#define CS_STORE_CMDS                                                                                                  \
    {                                                                                                                  \
        .name = "migrate", .synopsis = "up|down|status --store ADDRESS",                                               \
        .summary = "bring the tables of the store to a version, or show which they have",                              \
        .text = "up goes to the newest version, down one back; --to N says where to. Each migration is one "           \
                "transaction. A table keys that\n"                                                                     \
                "an application has gets the columns that are missing, and keeps its own when they are taken back. "   \
                "down refuses where\n"                                                                                 \
                "sealed rows would be lost. No gateway may have an SQLite store open meanwhile.\n\n"                   \
                "Examples:\n"                                                                                          \
                "  sign-gateway migrate status --store sqlite:/var/lib/countersign/store.db\n"                         \
                "  sign-gateway migrate up --print --store 'postgresql:///wallet?host=/var/run/postgresql'\n"          \
                "  sign-gateway migrate down --to 1 --store sqlite:/var/lib/countersign/store.db",                     \
        .opts = cs_store_cmd_migrate_opts, .min_args = 1, .max_args = 1, .run = cs_store_cmd_migrate                   \
    }

#endif
