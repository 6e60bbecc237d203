/* Ramdisks onto a file system. Runs in a process whose root directory is that file system. See ns_enclave.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "codec/newc.h"
#include "emulator/ns_enclave.h"

#define PATH_LEN (CS_NEWC_PATH_MAX + 2)

static cs_err write_all(int fd, cs_slice data)
{
    while (data.len > 0) {
        ssize_t n = write(fd, data.p, data.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return CS_E_IO;
        }
        data = cs_slice_of(data.p + n, data.len - (size_t)n);
    }
    return CS_OK;
}

static cs_err put_regular(const char *path, const cs_newc_file *f)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, f->mode & 07777);

    if (fd < 0) {
        return CS_E_IO;
    }
    cs_err err = write_all(fd, f->data);
    return close(fd) == 0 ? err : CS_E_IO;
}

static cs_err put_link(const char *path, const cs_newc_file *f)
{
    char target[4096];

    if (f->data.len == 0 || f->data.len >= sizeof target || memchr(f->data.p, '\0', f->data.len) != NULL) {
        return CS_E_FORMAT;
    }
    memcpy(target, f->data.p, f->data.len);
    target[f->data.len] = '\0';
    return symlink(target, path) == 0 ? CS_OK : CS_E_IO;
}

static cs_err put_file(const cs_newc_file *f)
{
    char path[PATH_LEN];

    (void)snprintf(path, sizeof path, "/%.*s", (int)f->path.len, (const char *)f->path.p);
    if (S_ISDIR(f->mode)) {
        if (mkdir(path, f->mode & 07777) == 0) {
            return CS_OK;
        }
        return errno == EEXIST && chmod(path, f->mode & 07777) == 0 ? CS_OK : CS_E_IO;
    }
    if (unlink(path) != 0 && errno != ENOENT) { /* the later of two files of one name is the one that counts */
        return CS_E_IO;
    }
    if (S_ISREG(f->mode)) {
        return put_regular(path, f);
    }
    if (S_ISLNK(f->mode)) {
        return put_link(path, f);
    }
    return mknod(path, f->mode, makedev(f->rdev_major, f->rdev_minor)) == 0 ? CS_OK : CS_E_IO;
}

cs_err cs_ns_unpack(cs_slice ramdisk)
{
    cs_newc r = cs_newc_of(ramdisk);
    cs_newc_file f;
    bool more = true;

    if (cs_newc_compressed(ramdisk) != NULL) {
        return CS_E_UNSUPPORTED;
    }
    (void)umask(0);
    for (;;) {
        CS_TRY(cs_newc_next(&r, &f, &more));
        if (!more) {
            return CS_OK;
        }
        CS_TRY(put_file(&f));
    }
}
