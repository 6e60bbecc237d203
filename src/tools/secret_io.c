#include "tools/secret_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/text.h"
#include "codec/sharefile.h"
#include "secret/rng.h"

#define MAX_PASSPHRASE 1024u

cs_err cs_tool_arena(size_t size)
{
    cs_harden_process();
    CS_TRY(cs_arena_init(size, false));
    if (!cs_arena_locked()) {
        fprintf(stderr, "warning: memory for secrets could not be locked (ulimit -l); it may reach the swap device\n");
    }
    return CS_OK;
}

size_t cs_tool_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size : 0;
}

static cs_err read_all(cs_buf *out, int fd)
{
    for (;;) {
        if (out->len == out->cap) {
            uint8_t more;
            ssize_t n = read(fd, &more, 1);
            return n == 0 ? CS_OK : n > 0 ? CS_E_TOO_LARGE : CS_E_IO;
        }
        ssize_t n = read(fd, out->p + out->len, out->cap - out->len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0 ? CS_OK : CS_E_IO;
        }
        out->len += (size_t)n;
    }
}

cs_err cs_tool_read(cs_buf *out, const char *path, size_t max)
{
    size_t known = strcmp(path, "-") == 0 ? 0 : cs_tool_size(path);
    *out = (cs_buf){0};
    if (known > max) {
        return CS_E_TOO_LARGE;
    }
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return CS_E_IO;
    }
    cs_err err = cs_secret_buf(out, known > 0 ? known : max);
    if (err == CS_OK) {
        err = read_all(out, fd);
    }
    if (fd != STDIN_FILENO) {
        (void)close(fd);
    }
    if (err != CS_OK) {
        cs_secret_buf_free(out);
    }
    return err;
}

cs_err cs_tool_create(cs_tool_file *f, const char *path, bool force)
{
    uint8_t name[8];
    char hex[17];
    struct stat st;
    *f = (cs_tool_file){.fd = -1};
    if (!force && lstat(path, &st) == 0) {
        return CS_E_EXISTS;
    }
    CS_TRY(cs_random(name, sizeof name));
    cs_hex_encode(hex, cs_slice_of(name, sizeof name));
    f->path = strdup(path);
    if (f->path == NULL || asprintf(&f->tmp, "%s.tmp-%s", path, hex) < 0) {
        f->tmp = NULL;
        cs_tool_abandon(f);
        return CS_E_NO_MEMORY;
    }
    f->fd = open(f->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f->fd < 0) {
        cs_tool_abandon(f);
        return CS_E_IO;
    }
    return CS_OK;
}

cs_err cs_tool_write(void *file, cs_slice piece)
{
    cs_tool_file *f = file;
    while (piece.len > 0) {
        ssize_t n = write(f->fd, piece.p, piece.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return CS_E_IO;
        }
        piece = cs_slice_of(piece.p + n, piece.len - (size_t)n);
    }
    return CS_OK;
}

cs_err cs_tool_seal(cs_tool_file *f, const char *path, bool force, cs_slice text, const cs_age_to *to)
{
    cs_age_enc *enc = NULL;
    CS_TRY(cs_tool_create(f, path, force));
    if (to == NULL) {
        return cs_tool_write(f, text);
    }
    cs_err err = cs_age_enc_new(&enc, to, cs_tool_write, f);
    if (err == CS_OK) {
        err = cs_age_enc_push(enc, text);
    }
    if (err == CS_OK) {
        err = cs_age_enc_finish(enc);
    }
    cs_age_enc_free(enc);
    return err;
}

cs_err cs_tool_commit(cs_tool_file *f, bool force)
{
    if (fsync(f->fd) != 0 || close(f->fd) != 0) {
        f->fd = -1;
        cs_tool_abandon(f);
        return CS_E_IO;
    }
    f->fd = -1;
    if (renameat2(AT_FDCWD, f->tmp, AT_FDCWD, f->path, force ? 0 : RENAME_NOREPLACE) != 0) {
        cs_err err = errno == EEXIST ? CS_E_EXISTS : CS_E_IO;
        cs_tool_abandon(f);
        return err;
    }
    free(f->tmp);
    f->tmp = NULL;
    cs_tool_abandon(f);
    return CS_OK;
}

void cs_tool_abandon(cs_tool_file *f)
{
    if (f->fd > 0) {
        (void)close(f->fd);
    }
    if (f->tmp != NULL) {
        (void)unlink(f->tmp);
    }
    free(f->tmp);
    free(f->path);
    *f = (cs_tool_file){.fd = -1};
}

/* one line from the terminal without echo */
static cs_err ask(cs_buf *out, int tty, const char *prompt)
{
    struct termios old, quiet;
    uint8_t c = 0;
    CS_TRY(cs_secret_buf(out, MAX_PASSPHRASE));
    if (tcgetattr(tty, &old) != 0) {
        cs_secret_buf_free(out);
        return CS_E_IO;
    }
    quiet = old;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    (void)tcsetattr(tty, TCSAFLUSH, &quiet);
    (void)!write(tty, prompt, strlen(prompt));
    cs_err err = CS_OK;
    while (err == CS_OK && read(tty, &c, 1) == 1 && c != '\n') {
        err = cs_put_u8(out, c);
    }
    cs_wipe(&c, 1);
    (void)tcsetattr(tty, TCSAFLUSH, &old);
    (void)!write(tty, "\n", 1);
    if (err == CS_OK && out->len == 0) {
        err = CS_E_USAGE;
    }
    if (err != CS_OK) {
        cs_secret_buf_free(out);
    }
    return err;
}

static cs_err from_terminal(cs_buf *out, bool confirm)
{
    cs_buf again = {0};
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (tty < 0) {
        return CS_E_USAGE;
    }
    cs_err err = ask(out, tty, "Passphrase: ");
    if (err == CS_OK && confirm) {
        err = ask(&again, tty, "Again: ");
        if (err == CS_OK && !(again.len == out->len && cs_ct_eq(again.p, out->p, out->len))) {
            err = CS_E_USAGE;
        }
        cs_secret_buf_free(&again);
        if (err != CS_OK) {
            cs_secret_buf_free(out);
        }
    }
    (void)close(tty);
    return err;
}

cs_err cs_tool_passphrase(cs_buf *out, const char *path, bool confirm)
{
    if (path == NULL) {
        return from_terminal(out, confirm);
    }
    CS_TRY(cs_tool_read(out, path, MAX_PASSPHRASE));
    size_t len = 0;
    while (len < out->len && out->p[len] != '\n' && out->p[len] != '\r') {
        len++;
    }
    out->len = len;
    if (len == 0) {
        cs_secret_buf_free(out);
        return CS_E_USAGE;
    }
    return CS_OK;
}

cs_err cs_tool_publisher(cs_secret32 *out_seed, const char *path)
{
    cs_buf text;
    CS_TRY(cs_tool_read(&text, path, 256));
    bool ok = (text.len == 64 || (text.len == 65 && text.p[64] == '\n')) && cs_hex_decode_ct(out_seed->b, 32, text.p);
    cs_secret_buf_free(&text);
    if (!ok) {
        cs_wipe(out_seed, sizeof *out_seed);
    }
    return ok ? CS_OK : CS_E_FORMAT;
}
