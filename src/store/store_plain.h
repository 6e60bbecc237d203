/* Rows that an application has in the clear, one by one, for who seals them (docs/formats/store.md, "Rows of an application"). Waits for the database. */
#ifndef CS_STORE_STORE_PLAIN_H
#define CS_STORE_STORE_PLAIN_H

#include "base/bytes.h"
#include "base/opts.h"

/* text is SECRET: of the column, valid during the call. Not CS_OK: the walk ends with that. */
typedef cs_err cs_store_plain_fn(void *cookie, cs_slice record, cs_slice text);

/*
 * cs_store_plain_each - all rows without ciphertext whose `column` is not NULL, by id; rows that are sealed meanwhile may or may not come. The memory of
 * each page is wiped. *out_num: how many there were. With fn NULL they are only counted. CS_E_RANGE (column) | CS_E_STORE | CS_E_STORE_SCHEMA | CS_E_TOO_LARGE | CS_E_NO_MEMORY.
 */
struct cs_sql;
CS_MUST cs_err cs_store_plain_each(struct cs_sql *db, const char *column, cs_store_plain_fn *fn, void *cookie,
                                   uint64_t *out_num);

/*
 * cs_store_cmd_connect, cs_store_cmd_disconnect (store_cmd.c) - the store that --store or --config names, for a command that has these options. 0, or the exit status: then it
 * was said why. read_only takes no lock: a gateway may have the store open.
 */
int cs_store_cmd_connect(const cs_args *a, bool read_only, struct cs_sql **out, int *out_lock);
void cs_store_cmd_disconnect(struct cs_sql *db, int lock);

#endif
