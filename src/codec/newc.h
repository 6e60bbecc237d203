/*
 * cpio archives in "newc" form (070701), as ramdisks are. The writer makes one archive per tree (owner and time 0, inodes counted
 * from 1): used for ramdisks and for the PCRs of a simulated image. The reader takes archives of others too and is strict about
 * everything that two readers could see differently.
 */
#ifndef CS_CODEC_NEWC_H
#define CS_CODEC_NEWC_H

#include "base/bytes.h"

#define CS_NEWC_PATH_MAX 1023

typedef struct cs_newc_entry {
    const char *path; /* relative, without leading "/" or "./", 1..1023 bytes, no empty, "." or ".." part */
    uint32_t mode; /* type and permission bits: S_IFREG, S_IFDIR, S_IFLNK or S_IFCHR; set-id and sticky bits allowed */
    cs_slice data; /* contents, or target of a symbolic link; empty for directories and devices; < 4 GiB */
    uint32_t rdev_major, rdev_minor; /* of a device, else 0 */
} cs_newc_entry;

/*
 * cs_newc_put - append the whole archive with its trailer. The entries must be in strictly ascending bytewise order of
 * path ("a" before "a/b"), so that there is one archive per tree. CS_E_FORMAT (order, path, mode) | CS_E_RANGE | CS_E_NO_MEMORY;
 * on error *out is as before.
 */
CS_MUST cs_err cs_newc_put(cs_buf *out, const cs_newc_entry *entries, size_t num_entries);

/* What one header says. */
typedef struct cs_newc_file {
    cs_slice path; /* "." or as of cs_newc_entry; "./" in front is left out. Bytes of the archive, no NUL among them */
    cs_slice data;
    uint32_t mode, uid, gid, num_links, mtime, rdev_major, rdev_minor;
} cs_newc_file;

typedef struct cs_newc {
    cs_slice archive; /* what the entries point into */
    size_t at;
} cs_newc;

static inline cs_newc cs_newc_of(cs_slice archive)
{
    return (cs_newc){archive, 0};
}
/*
 * cs_newc_next - the next entry; *out_more is false (and *out unchanged) behind the last one. Refused: another form of cpio, a path
 * that is absolute or has an empty or ".." part, directories and devices with contents, padding that is not zero, and anything but
 * zero bytes behind the trailer (a kernel would read a second archive there). Paths may be there twice: a kernel takes the last.
 * CS_E_FORMAT; the reader is then as before.
 */
CS_MUST cs_err cs_newc_next(cs_newc *r, cs_newc_file *out, bool *out_more);
/* cs_newc_compressed - the name of the compression that these bytes begin with ("gzip", ...); NULL: none that is known. */
const char *cs_newc_compressed(cs_slice ramdisk);

#endif
