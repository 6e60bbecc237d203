/* See eif_file.h. */
#include "host/eif_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attest/eif_config.h"

#define MEMORY_MIN_MIB 64u

static cs_err look(cs_eif_file *out, cs_slice bytes)
{
    cs_eif eif;
    cs_slice config = CS_SLICE_NULL;

    CS_TRY(cs_eif_parse(&eif, bytes));
    CS_TRY(cs_eif_measure(out->pcr, &eif));
    cs_err err = cs_eif_config(&config, &eif);
    if (err != CS_OK && err != CS_E_NOT_FOUND) {
        return err;
    }
    out->has_config = err == CS_OK;
    return cs_host_measured_of(&out->measured, config);
}

/*
 * A copy, for a mapping of the file would end us when the file is cut meanwhile. Made present at once and then read-only, in two calls
 * for thousands of page faults.
 */
static cs_err read_all(cs_slice *out, int fd, size_t len)
{
    uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    size_t have = 0;

    if (p == MAP_FAILED) {
        return CS_E_NO_MEMORY;
    }
    while (have < len) {
        ssize_t n = read(fd, p + have, len - have);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        have += (size_t)n;
    }
    if (have < len || mprotect(p, len, PROT_READ) != 0) {
        (void)munmap(p, len);
        return CS_E_IO;
    }
    *out = cs_slice_of(p, len);
    return CS_OK;
}

cs_err cs_eif_file_read(cs_eif_file *out, const char *path)
{
    char full[PATH_MAX];
    struct stat st;

    memset(out, 0, sizeof *out);
    if (realpath(path, full) == NULL) {
        return errno == ENOENT || errno == ENOTDIR ? CS_E_NOT_FOUND : CS_E_IO;
    }
    int n = snprintf(out->path, sizeof out->path, "%s", full);
    if (n < 0 || (size_t)n >= sizeof out->path) {
        return CS_E_RANGE;
    }
    int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused below, not waited for */
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return CS_E_IO;
    }
    cs_err err = st.st_size == 0 ? CS_E_EIF_FORMAT : (uint64_t)st.st_size > CS_EIF_FILE_MAX ? CS_E_TOO_LARGE : CS_OK;
    cs_slice bytes = CS_SLICE_NULL;
    if (err == CS_OK) {
        err = read_all(&bytes, fd, (size_t)st.st_size);
    }
    (void)close(fd);
    CS_TRY(err);
    out->bytes = bytes.len;
    err = look(out, bytes);
    (void)munmap((void *)(uintptr_t)bytes.p, bytes.len);
    return err;
}

uint64_t cs_eif_file_memory(const cs_eif_file *f)
{
    uint64_t mib = (4 * f->bytes + ((1u << 20) - 1)) >> 20;

    return mib < MEMORY_MIN_MIB ? MEMORY_MIN_MIB : mib;
}
