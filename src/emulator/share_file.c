/*
 * mpc.key_share_file of local runs: sign-core-emulated opens a share file in the clear, before its system call filter closes the
 * door. Never part of a shipped program: sign-core has no file, and refuses the key.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "core/platform.h"
#include "core/provision/plain.h"
#include "secret/mem.h"

/* All of a file that has `size` bytes and no more, straight into the arena: out has room for one more. */
static cs_err read_all(cs_buf *out, int fd, size_t size)
{
    while (out->len <= size) {
        ssize_t n = read(fd, out->p + out->len, size + 1 - out->len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return CS_E_IO;
        }
        if (n == 0) {
            return out->len == size ? CS_OK : CS_E_IO;
        }
        out->len += (size_t)n;
    }
    return CS_E_IO; /* it grows while we read */
}

static cs_err read_file(cs_buf *out, int fd, uint64_t max)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return CS_E_IO;
    }
    if (st.st_size <= 0) {
        return CS_E_INJECT_EMPTY;
    }
    if ((uint64_t)st.st_size > max) {
        return CS_E_TOO_LARGE;
    }
    if ((st.st_mode & 077) != 0) {
        cs_log(CS_LOG_WARN, "key_share_file_mode", CS_LU("mode", st.st_mode & 0777),
               CS_LC("fix", "chmod 600: others on this machine can read the shares"));
    }
    if (cs_secret_buf(out, (size_t)st.st_size + 1) != CS_OK) {
        return CS_E_SHARES_LIMIT;
    }
    return read_all(out, fd, (size_t)st.st_size);
}

cs_err cs_platform_load_shares(cs_core *core, const cs_core_config *config)
{
    cs_buf file = {0};
    int fd = open(config->key_share_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    cs_err err = fd < 0 ? (errno == ENOENT ? CS_E_NOT_FOUND : CS_E_IO) : read_file(&file, fd, config->max_bytes);

    if (fd >= 0) {
        (void)close(fd);
    }
    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "key_share_file", err, CS_LC("path", config->key_share_file));
    } else {
        cs_log(CS_LOG_WARN, "key_share_file", CS_LC("path", config->key_share_file),
               CS_LC("note", "shares in the clear on this machine: for local runs only"));
        err = cs_load_plain(core, cs_buf_slice(&file));
    }
    cs_secret_buf_free(&file);
    (void)cs_arena_trim();
    return err;
}
