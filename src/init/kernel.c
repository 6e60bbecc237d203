/* See init.h. Each call here is made once, at the start. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "init/init.h"

#define CONFIG_FILE "/etc/countersign/config.cbor"
#define CLOCK_FILE "/sys/devices/system/clocksource/clocksource0/current_clocksource"
#define MODULE_FILE "/nsm.ko"
#define FDS_START 1024    /* the limit of descriptors that a kernel starts with */
#define FDS_WANTED 65536u /* the front raises its own limit up to this one */

static cs_err fail(cs_init *in, cs_err err, const char *why)
{
    in->why = why;
    in->why_errno = errno;
    return err;
}

void cs_init_stdio(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            continue;
        }
        int got = open("/dev/console", O_RDWR | O_NOCTTY);
        if (got < 0) {
            got = open("/dev/null", O_RDWR);
        }
        if (got >= 0 && got != fd) { /* the lowest free number is fd: this does not happen */
            (void)close(got);
        }
    }
}

void cs_init_close_others(void)
{
    /* one call since Linux 5.9; before, one for each descriptor that there might be */
    if (syscall(SYS_close_range, 3U, ~0U, 0U) != 0) {
        for (int fd = 3; fd < FDS_START; fd++) {
            (void)close(fd);
        }
    }
}

static bool is_null_device(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

static bool is_filesystem(const char *path, unsigned long magic)
{
    struct statfs st;

    return statfs(path, &st) == 0 && (unsigned long)st.f_type == magic;
}

cs_err cs_init_mount(cs_init *in)
{
    const unsigned long quiet = MS_NOSUID | MS_NOEXEC;

    if (mount("proc", "/proc", "proc", quiet | MS_NODEV, NULL) != 0 && !is_filesystem("/proc", PROC_SUPER_MAGIC)) {
        return fail(in, CS_E_BOOT, "/proc cannot be mounted");
    }
    if (mount("sysfs", "/sys", "sysfs", quiet | MS_NODEV, NULL) != 0 && !is_filesystem("/sys", SYSFS_MAGIC)) {
        return fail(in, CS_E_BOOT, "/sys cannot be mounted");
    }
    if (mount("devtmpfs", "/dev", "devtmpfs", quiet, "mode=0755") != 0 && !is_null_device("/dev/null")) {
        return fail(in, CS_E_BOOT, "/dev cannot be mounted");
    }
    cs_init_stdio();
    cs_init_logs_console(&in->logs);
    return CS_OK;
}

cs_err cs_init_module(cs_init *in)
{
    int fd = open(MODULE_FILE, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT) {
        return CS_OK;
    }
    if (fd < 0) {
        return fail(in, CS_E_BOOT, "/nsm.ko cannot be opened");
    }
    long rc = syscall(SYS_finit_module, fd, "", 0);
    if (rc != 0 && errno == EEXIST) {
        rc = 0;
    }
    cs_err err = rc == 0 ? CS_OK : fail(in, CS_E_BOOT, "/nsm.ko cannot be loaded");
    (void)close(fd);
    if (err == CS_OK) {
        (void)unlink(MODULE_FILE);
    }
    return err;
}

cs_err cs_init_limits(cs_init *in)
{
    struct rlimit now, want;

    if (getrlimit(RLIMIT_NOFILE, &now) != 0) {
        return fail(in, CS_E_BOOT, "limit of descriptors");
    }
    want = now;
    want.rlim_cur = now.rlim_cur < 1024 ? now.rlim_cur : 1024;
    want.rlim_max = now.rlim_max < FDS_WANTED ? FDS_WANTED : now.rlim_max;
    /* one that may not be raised is the front's to live with: it takes fewer connections */
    if (setrlimit(RLIMIT_NOFILE, &want) != 0) {
        want.rlim_max = now.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &want);
    }
    return CS_OK;
}

/* At most cap bytes of a file; *out_len what there is. */
static cs_err read_small(const char *path, char *out, size_t cap, size_t *out_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, cap) : -1;

    if (fd >= 0) {
        int why = errno;
        (void)close(fd);
        errno = why;
    }
    if (n < 0) {
        return CS_E_IO;
    }
    *out_len = (size_t)n;
    return CS_OK;
}

cs_err cs_init_clock(cs_init *in)
{
    static char name[64];
    size_t len = 0;

    if (read_small(CLOCK_FILE, name, sizeof name - 1, &len) != CS_OK) {
        return fail(in, CS_E_BOOT, CLOCK_FILE);
    }
    len = len > 0 && name[len - 1] == '\n' ? len - 1 : len;
    name[len] = '\0';
    for (size_t i = 0; i < in->settings.num_clock_sources; i++) {
        if (cs_slice_eq(cs_slice_of(name, len), in->settings.clock_sources[i])) {
            cs_log(CS_LOG_INFO, "clock_source", CS_LC("name", name));
            return CS_OK;
        }
    }
    errno = 0;
    return fail(in, CS_E_CLOCK_SOURCE, name);
}

cs_err cs_init_read_config(cs_init *in)
{
    static char why[64];
    int fd = open(CONFIG_FILE, O_RDONLY | O_CLOEXEC);
    const char *bad = "";
    cs_err err = fd >= 0 ? CS_OK : CS_E_IO;

    in->config = cs_buf_heap(CS_INIT_CONFIG_MAX);
    while (err == CS_OK) {
        uint8_t chunk[16384];
        ssize_t n = read(fd, chunk, sizeof chunk);

        if (n == 0) {
            break;
        }
        if (n > 0) {
            err = cs_put(&in->config, chunk, (size_t)n);
        } else if (errno != EINTR) {
            err = CS_E_IO;
        }
    }
    if (fd >= 0) {
        int keep = errno;
        (void)close(fd);
        errno = keep;
    }
    if (err != CS_OK) {
        return fail(in, err == CS_E_RANGE ? CS_E_TOO_LARGE : err, CONFIG_FILE);
    }
    err = cs_init_settings_read(&in->settings, &bad, cs_buf_slice(&in->config));
    if (err != CS_OK) {
        cs_buf text = cs_buf_wrap(why, sizeof why - 1);

        errno = 0;
        if (cs_put_str(&text, bad[0] != '\0' ? "config.cbor: " : "config.cbor is not a compiled configuration") !=
                CS_OK ||
            cs_put_str(&text, bad) != CS_OK) {
            return fail(in, err, CONFIG_FILE);
        }
        return fail(in, err, why);
    }
    in->have_settings = true;
    cs_log_init("sign-init", in->settings.level, STDERR_FILENO);
    return CS_OK;
}
