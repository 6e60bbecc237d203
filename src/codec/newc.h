/*
 * The "newc" cpio archive of a directory, deterministic: the same names, modes and contents give the same bytes on any
 * machine (owner 0, times 0, inode numbers counted from 1). Used for ramdisks and for the PCRs of a simulated image.
 */
#ifndef CS_CODEC_NEWC_H
#define CS_CODEC_NEWC_H

#include "base/bytes.h"

typedef struct cs_newc_entry {
    const char *path; /* relative, without leading "/" or "./", 1..1023 bytes, no empty, "." or ".." part */
    uint32_t mode;    /* type and permission bits: S_IFREG, S_IFDIR or S_IFLNK; set-id and sticky bits allowed */
    cs_slice data;    /* contents, or target of a symbolic link; empty for directories; < 4 GiB */
} cs_newc_entry;

/*
 * cs_newc_put - append the whole archive with its trailer. The entries must be in strictly ascending bytewise order of
 * path ("a" before "a/b"), so that there is one archive per tree. CS_E_FORMAT (order, path, mode) | CS_E_RANGE | CS_E_NO_MEMORY;
 * on error *out is as before.
 */
CS_MUST cs_err cs_newc_put(cs_buf *out, const cs_newc_entry *entries, size_t num_entries);

#endif
