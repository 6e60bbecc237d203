/* Files of signctl's commands, see tool_file.h. */
#include "tools/tool_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Unbuffered reads: stdio would leave copies of secrets behind. */
static cs_err open_input(const char *path, int *fd)
{
    *fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (*fd >= 0) {
        return CS_OK;
    }
    return errno == ENOENT ? CS_E_NOT_FOUND : CS_E_IO;
}

static void close_input(int fd)
{
    if (fd > STDIN_FILENO) {
        (void)close(fd);
    }
}

/* Up to len bytes at p; *got 0 at the end. */
static cs_err read_some(int fd, uint8_t *p, size_t len, size_t *got)
{
    ssize_t n;

    do {
        n = read(fd, p, len);
    } while (n < 0 && errno == EINTR);
    *got = n > 0 ? (size_t)n : 0;
    return n < 0 ? CS_E_IO : CS_OK;
}

#define PIECE 65536

/* Room for the next read: as much as the buffer's maximum leaves, one byte more to see that a file is too long. */
static cs_err read_piece(int fd, cs_buf *out, size_t *got)
{
    size_t room = out->max - out->len < PIECE ? out->max - out->len : PIECE, before = out->len;
    uint8_t *p = NULL, extra;
    cs_err err;

    if (room == 0) {
        CS_TRY(read_some(fd, &extra, 1, got));
        return *got == 0 ? CS_OK : CS_E_TOO_LARGE;
    }
    CS_TRY(cs_put_space(out, &p, room));
    err = read_some(fd, p, room, got);
    out->len = before + *got;
    return err;
}

cs_err cs_tfile_read(cs_buf *out, const char *path)
{
    size_t got = 1;
    cs_err err;
    int fd;

    CS_TRY(open_input(path, &fd));
    do {
        err = read_piece(fd, out, &got);
    } while (err == CS_OK && got > 0);
    close_input(fd);
    return err;
}

cs_err cs_tfile_stream(cs_buf *buf, const char *path, cs_err (*fn)(void *cookie, cs_slice piece), void *cookie)
{
    size_t got = 1;
    cs_err err;
    int fd;

    CS_TRY(open_input(path, &fd));
    do {
        buf->len = 0;
        err = read_piece(fd, buf, &got);
        if (err == CS_OK && got > 0) {
            err = fn(cookie, cs_buf_slice(buf));
        }
    } while (err == CS_OK && got > 0);
    close_input(fd);
    return err;
}

/* No copy of a secret in stdio's buffer. */
static cs_err use_file(cs_tfile_out *o, int fd)
{
    o->file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (o->file == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return CS_E_IO;
    }
    (void)setvbuf(o->file, NULL, _IONBF, 0);
    return CS_OK;
}

cs_err cs_tfile_out_open(cs_tfile_out *o, const char *path, bool keep_existing)
{
    struct stat st;
    bool exists;
    cs_err err;
    int n, fd;

    memset(o, 0, sizeof *o);
    if (path == NULL || strcmp(path, "-") == 0) {
        return use_file(o, dup(STDOUT_FILENO));
    }
    exists = stat(path, &st) == 0;
    if (exists && keep_existing) {
        return CS_E_EXISTS;
    }
    if (exists && !S_ISREG(st.st_mode)) { /* a device or pipe is written to, not replaced */
        return use_file(o, open(path, O_WRONLY | O_CLOEXEC));
    }
    n = snprintf(o->temp, sizeof o->temp, "%s.%ld.part", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof o->temp) {
        return CS_E_RANGE;
    }
    fd = open(o->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    err = use_file(o, fd);
    if (err != CS_OK) {
        if (fd >= 0) {
            (void)unlink(o->temp); /* ours, and nobody else would remove it */
        }
        return err;
    }
    o->path = path;
    o->keep_existing = keep_existing;
    return CS_OK;
}

cs_err cs_tfile_out_write(void *cookie, cs_slice piece)
{
    cs_tfile_out *o = cookie;

    return piece.len == 0 || fwrite(piece.p, 1, piece.len, o->file) == piece.len ? CS_OK : CS_E_IO;
}

cs_err cs_tfile_out_commit(cs_tfile_out *o)
{
    bool ok = fflush(o->file) == 0;
    int rc;

    if (o->path == NULL) {
        ok = fclose(o->file) == 0 && ok;
        o->file = NULL;
        return ok ? CS_OK : CS_E_IO;
    }
    ok = ok && fsync(fileno(o->file)) == 0;
    ok = fclose(o->file) == 0 && ok;
    o->file = NULL;
    /* link fails when the name exists, rename replaces it: both at once for every reader */
    rc = !ok ? -1 : o->keep_existing ? link(o->temp, o->path) : rename(o->temp, o->path);
    if (rc != 0 || o->keep_existing) {
        int saved = errno;

        (void)unlink(o->temp);
        errno = saved;
    }
    o->path = NULL;
    if (rc == 0) {
        return CS_OK;
    }
    return ok && errno == EEXIST ? CS_E_EXISTS : CS_E_IO;
}

void cs_tfile_out_close(cs_tfile_out *o)
{
    if (o->file != NULL) {
        (void)fclose(o->file);
        if (o->path != NULL) {
            (void)unlink(o->temp);
        }
    }
    o->file = NULL;
}

cs_err cs_tfile_out_all(cs_tfile_out *o, cs_slice bytes)
{
    cs_err err = cs_tfile_out_write(o, bytes);

    if (err == CS_OK) {
        err = cs_tfile_out_commit(o);
    }
    cs_tfile_out_close(o);
    return err;
}
