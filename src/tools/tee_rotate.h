/*
 * Rotation of records through the gateway, for the commands of signctl: batches that become smaller where records do not go together, one new
 * data key for so many rows, progress. Each record is as it was or encrypted anew, at every moment.
 */
#ifndef CS_TOOLS_TEE_ROTATE_H
#define CS_TOOLS_TEE_ROTATE_H

#include "tools/tee_open.h"

typedef struct cs_tee_rotation {
    cs_tee_open open;
    size_t batch; /* how many at once: 1..256 */
    uint64_t on_key,
        key_rows;         /* rows under the newest data key (UINT64_MAX: none of ours yet), and how many it may have */
    uint64_t total, done; /* records; rotated, given up or passed over */
    uint64_t rotated, failed;  /* of this run */
    uint64_t calls, data_keys; /* of this run */
    uint64_t began_ns;
} cs_tee_rotation;

/* cs_tee_rotation_begin - options batch, rows-per-key, keep-data-key; the clock of the progress. */
void cs_tee_rotation_begin(cs_tee_rotation *r, const cs_args *a);
/*
 * cs_tee_rotation_step - one batch from the front of num (> 0) records: *out_num (> 0) of them are done with. Records that could not be rotated are named on
 * standard error and counted. An error: nothing of them was told to be done, and the rest would be refused, too.
 */
CS_MUST cs_err cs_tee_rotation_step(cs_tee_rotation *r, size_t *out_num, const char *const *records, size_t num);
/* cs_tee_rotation_show - a bar on a terminal. cs_tee_rotation_put - members of the result. */
void cs_tee_rotation_show(const cs_tee_rotation *r);
void cs_tee_rotation_put(cs_jw *w, const cs_tee_rotation *r);
/* cs_tee_rotation_all (tee_rotate_all.c) - every record of the store that the options name: --all. Prints the result. */
CS_MUST cs_err cs_tee_rotation_all(cs_tee_rotation *r, const cs_args *a);

#endif
