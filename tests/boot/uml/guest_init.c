/*
 * PID 1 of the boot test's guest (user-mode Linux): makes the guest a small machine that runs the programs of the host's build
 * tree, runs one script there and powers off. Static, because the guest's first file system holds nothing else. For tests only.
 *
 * Words of the kernel's command line that the kernel does not know come as environment variables:
 *   CS_ROOT=DIR    repository, read-only in the guest
 *   CS_RUN=DIR     folder of this run, written to by guest and host
 *   CS_ONLY=WORD   handed to the script; may be left out
 *   CS_SCRIPT=FILE run by bash; what it prints is the console's, its exit status goes to CS_RUN/status
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define PATH_LEN 4096

/* vsock before its transports; loopback is what both sides meet on; fuse before cuse */
static const char *const modules[] = {"vsock", "vmw_vsock_virtio_transport_common", "vsock_loopback", "fuse", "cuse"};

/* Nobody is left to tell but the console: the host sees that CS_RUN/status is missing. */
static void stop(const char *what)
{
    (void)fprintf(stderr, "guest: %s: %s\n", what, strerror(errno));
    (void)fflush(NULL);
    sync();
    (void)reboot(RB_POWER_OFF);
    _exit(1);
}

static void must(int rc, const char *what)
{
    if (rc < 0) {
        stop(what);
    }
}

static const char *word(const char *name)
{
    const char *v = getenv(name);

    if (v == NULL || v[0] != '/') {
        errno = EINVAL;
        stop(name);
    }
    return v;
}

static void load_modules(void)
{
    char path[PATH_LEN];

    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        (void)snprintf(path, sizeof path, "/mod/%s.ko", modules[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        must(fd, path);
        must((int)syscall(SYS_finit_module, fd, "", 0), path);
        (void)close(fd);
    }
}

/* The console as a pipe: no carriage returns. */
static void plain_console(void)
{
    struct termios t;

    if (tcgetattr(1, &t) == 0) {
        t.c_oflag &= ~(tcflag_t)OPOST;
        (void)tcsetattr(1, TCSANOW, &t);
    }
}

static void loopback_up(void)
{
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    must(fd, "socket");
    must(ioctl(fd, SIOCSIFFLAGS, &r), "lo");
    (void)close(fd);
}

static void make_dirs(char *path)
{
    for (char *p = strchr(path + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
        *p = '\0';
        (void)mkdir(path, 0755);
        *p = '/';
    }
    (void)mkdir(path, 0755); /* when it cannot be made, the mount says so */
}

static void mount_host(const char *dir, unsigned long flags)
{
    char target[PATH_LEN];

    (void)snprintf(target, sizeof target, "/root%s", dir);
    make_dirs(target);
    must(mount("none", target, "hostfs", flags, dir), target);
}

/* The host's files below /root, then / of everything that follows. */
static void switch_root(void)
{
    (void)mkdir("/root", 0755);
    must(mount("none", "/root", "hostfs", MS_RDONLY, "/"), "hostfs");
    must(mount("dev", "/root/dev", "devtmpfs", 0, NULL), "/dev");
    must(mount("proc", "/root/proc", "proc", 0, NULL), "/proc");
    must(mount("sys", "/root/sys", "sysfs", 0, NULL), "/sys");
    must(mount("tmp", "/root/tmp", "tmpfs", 0, "mode=1777"), "/tmp");
    must(mount("run", "/root/run", "tmpfs", 0, "mode=755"), "/run");
    (void)symlink("/proc/self/fd", "/root/dev/fd"); /* as udev does */
    (void)mkdir("/root/dev/shm", 0755);
    must(mount("shm", "/root/dev/shm", "tmpfs", 0, "mode=1777"), "/dev/shm");
    mount_host(word("CS_ROOT"), MS_RDONLY); /* again, for they may lie below what has just been covered */
    mount_host(word("CS_RUN"), 0);
    must(chdir("/root"), "/root");
    must(mount(".", "/", NULL, MS_MOVE, NULL), "move");
    must(chroot("."), "chroot");
    must(chdir("/"), "/");
}

static void copy_file(int from_dir, int to_dir, const char *name, mode_t mode)
{
    static char block[65536];
    int from = openat(from_dir, name, O_RDONLY | O_CLOEXEC),
        to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    ssize_t n = 0;

    must(from, name);
    must(to, name);
    while ((n = read(from, block, sizeof block)) > 0) {
        must(write(to, block, (size_t)n) == n ? 0 : -1, name);
    }
    must((int)n, name);
    (void)close(from);
    (void)close(to);
}

/* Files and folders below `from`; the descriptors are this function's. */
static void copy_dir(int from, int to)
{
    DIR *d = fdopendir(from);
    struct dirent *e;

    must(d == NULL ? -1 : 0, "folder");
    while ((e = readdir(d)) != NULL) {
        struct stat st;

        if (e->d_name[0] == '.') {
            continue;
        }
        must(fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW), e->d_name);
        if (S_ISREG(st.st_mode)) {
            copy_file(from, to, e->d_name, st.st_mode & 0777);
        } else if (S_ISDIR(st.st_mode)) {
            must(mkdirat(to, e->d_name, st.st_mode & 0777), e->d_name);
            copy_dir(openat(from, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                     openat(to, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        }
    }
    (void)closedir(d);
    (void)close(to);
}

/* What the script would need five processes for, each of which costs the guest 100 ms: /tmp/run with a copy of CS_RUN/emu. */
static void make_run(void)
{
    char path[PATH_LEN];

    (void)snprintf(path, sizeof path, "%s/emu", word("CS_RUN"));
    int from = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    must(mkdir("/tmp/run", 0755), "/tmp/run");
    must(mkdir("/tmp/run/nitro", 0755), "/tmp/run/nitro");
    if (from >= 0) {
        must(mkdir("/tmp/run/emu", 0700), "/tmp/run/emu");
        copy_dir(from, open("/tmp/run/emu", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        (void)unlink("/tmp/run/emu/emulator.json"); /* of the emulator that made the folder */
    }
}

/* Never returns. */
static void run_script(void)
{
    static const char *const names[] = {"CS_ROOT", "CS_BIN", "CS_RUN"};
    const char *only = getenv("CS_ONLY");
    static char bash[] = "/bin/bash", path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                home[] = "HOME=/tmp";
    static char script[PATH_LEN], words[3][PATH_LEN + 16], part[64];
    char *argv[] = {bash, script, NULL}, *envp[] = {path, home, words[0], words[1], words[2], part, NULL};

    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(words[i], sizeof words[i], "%s=%s", names[i], word(names[i]));
    }
    (void)snprintf(part, sizeof part, "CS_ONLY=%s", only != NULL ? only : "");
    (void)snprintf(script, sizeof script, "%s", word("CS_SCRIPT"));
    (void)setsid();
    execve(bash, argv, envp);
    stop(bash);
}

static pid_t start_script(void)
{
    pid_t pid = fork();

    must(pid, "fork");
    if (pid == 0) {
        run_script();
    }
    return pid;
}

static int reap_until(pid_t script)
{
    int status = 0;

    for (;;) {
        pid_t pid = wait(&status);
        if (pid == script) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        if (pid < 0 && errno != EINTR) {
            stop("wait");
        }
    }
}

static void tell(int status)
{
    char path[PATH_LEN];

    (void)snprintf(path, sizeof path, "%s/status", word("CS_RUN"));
    FILE *f = fopen(path, "we");
    if (f == NULL) {
        stop(path);
    }
    (void)fprintf(f, "%d\n", status);
    (void)fclose(f);
}

int main(void)
{
    struct rlimit locked = {RLIM_INFINITY, RLIM_INFINITY};

    (void)mkdir("/dev", 0755);
    (void)mount("dev", "/dev", "devtmpfs", 0, NULL); /* the kernel may have done it */
    plain_console();
    load_modules();
    loopback_up();
    (void)setrlimit(RLIMIT_MEMLOCK, &locked);
    switch_root();
    make_run();
    tell(reap_until(start_script()));
    sync();
    must(reboot(RB_POWER_OFF), "power off");
    return 1;
}
