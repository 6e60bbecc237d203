/*
 * The export file of the store (docs/formats/store.md): a line that names the format, a line for each row, a line with their number
 * and the SHA-256 of everything before it. Ciphertext and public data only.
 */
#ifndef CS_STORE_STORE_FILE_H
#define CS_STORE_STORE_FILE_H

#include <stdio.h>

#include "store/store_sql.h"

#define CS_STORE_LINE_MAX (192u * 1024u)

/* cs_store_row_write - append the line of a row with its LF. CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_store_row_write(cs_buf *out, const cs_store_row *row);
/* cs_store_line_parse - a line without its LF, of anybody (untrusted), strict: the members of the format in their order. Slices are in m.
 * CS_E_FORMAT | CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_store_line_parse(cs_store_mem *m, cs_store_row *out, cs_slice line);

typedef struct cs_store_file {
    uint64_t rows;   /* in the file */
    uint64_t stored; /* import: inserted or replaced; the others were there */
    uint64_t line;   /* where it failed, 0: not at a line */
    char why[256];
} cs_store_file;

/* cs_store_export - all sealed rows, of one moment, to out. CS_E_STORE | CS_E_STORE_SCHEMA | CS_E_IO | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_store_export(cs_sql *db, FILE *out, cs_store_file *f);
/* cs_store_check - reads the whole file: format, number, digest, no record twice. CS_E_FORMAT | CS_E_IO | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_store_check(FILE *in, cs_store_file *f);
/*
 * cs_store_take - checks the file, then stores all of it in one transaction, or nothing. A row that is there already must be the same
 * (CS_E_SEAL_VERSION), unless replace. CS_E_EXISTS: a row of an application that is not sealed. As cs_store_check otherwise, and
 * CS_E_STORE. in must be seekable.
 */
CS_MUST cs_err cs_store_take(cs_sql *db, FILE *in, bool replace, cs_store_file *f);

/* cs_store_audit - the audit log (docs/formats/audit.md) of one moment; f->rows: entries. CS_E_STORE ... | CS_E_IO, f->why. */
CS_MUST cs_err cs_store_audit(cs_sql *db, FILE *out, cs_store_file *f);

#endif
