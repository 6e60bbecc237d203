/*
 * Migrations of the store: deploy/migrations/NNNN_name.{up,down}.sql, built in, the same text for both databases. Each runs in one
 * transaction with its row in schema_migrations, which says what it really made: a table `keys` or columns that were there before
 * are used, and stay when it is taken back.
 */
#ifndef CS_STORE_STORE_MIGRATE_H
#define CS_STORE_STORE_MIGRATE_H

#include <stdio.h>

#include "store/store_sql.h"

typedef struct cs_migration {
    unsigned number; /* 1, 2, ... */
    const char *name, *up, *down;
} cs_migration;

/* cs_store_migrations - all of them, ends with number 0. cs_store_schema_latest - the number of the last one. */
const cs_migration *cs_store_migrations(void);
unsigned cs_store_schema_latest(void);

/* cs_store_schema - the version of the database, 0: none. CS_E_STORE | CS_E_STORE_SCHEMA: its schema_migrations is not ours. */
CS_MUST cs_err cs_store_schema(cs_sql *db, unsigned *out);

typedef struct cs_migrate {
    unsigned to;   /* the version that is wanted */
    bool discard;  /* down: also when sealed rows are lost */
    FILE *print;   /* NULL: do it; else write what would be done */
    unsigned done; /* out: migrations done, or printed */
    char why[256]; /* out: what failed */
} cs_migrate;
/* cs_store_migrate - up or down to m->to. CS_E_STORE | CS_E_STORE_SCHEMA | CS_E_EXISTS (down: sealed rows) | CS_E_RANGE. */
CS_MUST cs_err cs_store_migrate(cs_sql *db, cs_migrate *m);

/* cs_store_migration_applied - *out_ms 0: not; *out_changed: the text was another one then. */
CS_MUST cs_err cs_store_migration_applied(cs_sql *db, const cs_migration *m, uint64_t *out_ms, bool *out_changed);

#endif
