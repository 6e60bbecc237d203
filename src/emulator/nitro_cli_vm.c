/*
 * The process of one enclave, as nitro-cli keeps one: heartbeat, control socket (terminate, console), console ring, and for the back end
 * "local" also the log stream and the security module. Ends with the enclave, and when NITRO_FAKE_DIR is removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "emulator/nitro_cli.h"

#define TURN_MS 50
#define RING 65536
#define CONSOLES 4
#define HEARTBEAT_PORT 9000u

struct vm {
    cs_nitro_vm *d;
    const cs_nitro_backend *backend;
    pid_t pid;
    int result, heartbeat, control, nsm, out, log;
    int consoles[CONSOLES];
    bool ready, die;
    char ring[RING], pending[RING]; /* console; log lines that port 7110 has not had */
    size_t ring_len, pending_len;
    char control_path[CS_NITRO_PATH];
};

static struct sockaddr_un address(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    (void)snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    return un;
}

int cs_nitro_connect(const char *path)
{
    struct sockaddr_un un = address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&un, sizeof un) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int cs_nitro_socket(const char *path)
{
    struct sockaddr_un un = address(path);
    int live = cs_nitro_connect(path), fd = -1;

    if (live >= 0) {
        (void)close(live);
        return -1;
    }
    (void)unlink(path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (bind(fd, (const struct sockaddr *)&un, sizeof un) != 0 || listen(fd, 16) != 0)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static void heartbeat_path(char out[CS_NITRO_PATH])
{
    (void)snprintf(out, CS_NITRO_PATH, "%s/parent-9000.sock", cs_nitro_dir());
}

/* ---------------------------------------------------------------- ends */

static void close_heartbeat(struct vm *v)
{
    char path[CS_NITRO_PATH];

    if (v->heartbeat >= 0) {
        heartbeat_path(path);
        if (v->backend->unix_ports) {
            (void)unlink(path);
        }
        (void)close(v->heartbeat);
        v->heartbeat = -1;
    }
}

static void answer(struct vm *v, const char *text)
{
    if (v->result >= 0) {
        (void)!write(v->result, text, strlen(text));
        (void)close(v->result);
        v->result = -1;
    }
}

static void send_log(struct vm *v);

static _Noreturn void finish(struct vm *v, int status)
{
    if (v->pid > 0) {
        (void)kill(-v->pid, SIGKILL);
        (void)kill(v->pid, SIGKILL);
        (void)waitpid(v->pid, NULL, 0);
    }
    close_heartbeat(v);
    (void)unlink(v->control_path);
    cs_nitro_remove(v->d);
    v->backend->cleanup(v->d);
    _exit(status);
}

static void halted(struct vm *v, const char *why)
{
    char line[200];
    int n = snprintf(line, sizeof line,
                     "{\"level\":\"error\",\"program\":\"sign-init\",\"event\":\"halt\",\"reason\":\"%s\"}\n", why);

    if (v->backend->logs && v->pending_len + (size_t)n < sizeof v->pending) {
        memcpy(v->pending + v->pending_len, line, (size_t)n);
        v->pending_len += (size_t)n;
        send_log(v);
    }
    answer(v, "E36 Enclave boot failure. The enclave ended before it was ready.\n");
    finish(v, 0);
}

/* ---------------------------------------------------------------- heartbeat */

static void on_heartbeat(struct vm *v)
{
    uint8_t byte = 0;
    int fd = accept4(v->heartbeat, NULL, NULL, SOCK_CLOEXEC);
    struct timeval second = {.tv_sec = 1};

    if (fd < 0) {
        return;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    if (read(fd, &byte, 1) == 1 && byte == 0xb7 && write(fd, &byte, 1) == 1) {
        close_heartbeat(v);
        v->ready = true;
        answer(v, "OK\n");
        if (v->die) {
            (void)kill(-v->pid, SIGKILL);
        }
    }
    (void)close(fd);
}

/* ---------------------------------------------------------------- console and log */

static void keep(char *ring, size_t *len, const char *p, size_t n)
{
    if (*len + n > RING) {
        size_t drop = *len + n - RING;
        memmove(ring, ring + drop, *len - drop);
        *len -= drop;
    }
    memcpy(ring + *len, p, n);
    *len += n;
}

static void send_log(struct vm *v)
{
    char path[CS_NITRO_PATH];

    if (v->log < 0) {
        (void)snprintf(path, sizeof path, "%s/parent-7110.sock", cs_nitro_dir());
        v->log = cs_nitro_connect(path);
    }
    while (v->log >= 0 && v->pending_len > 0) {
        ssize_t n = send(v->log, v->pending, v->pending_len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            (void)close(v->log);
            v->log = -1;
            return;
        }
        memmove(v->pending, v->pending + n, v->pending_len - (size_t)n);
        v->pending_len -= (size_t)n;
    }
}

static void on_output(struct vm *v)
{
    char block[8192];
    ssize_t n = read(v->out, block, sizeof block);

    if (n <= 0) {
        if (n == 0) {
            (void)close(v->out);
            v->out = -1;
        }
        return;
    }
    keep(v->ring, &v->ring_len, block, (size_t)n);
    for (int i = 0; i < CONSOLES; i++) {
        if (v->consoles[i] >= 0 && send(v->consoles[i], block, (size_t)n, MSG_NOSIGNAL) < 0) {
            (void)close(v->consoles[i]);
            v->consoles[i] = -1;
        }
    }
    if (v->backend->logs) {
        keep(v->pending, &v->pending_len, block, (size_t)n);
    }
}

/* ---------------------------------------------------------------- control */

static void add_console(struct vm *v, int fd)
{
    for (int i = 0; i < CONSOLES; i++) {
        if (v->consoles[i] < 0) {
            v->consoles[i] = fd;
            (void)!send(fd, v->ring, v->ring_len, MSG_NOSIGNAL);
            return;
        }
    }
    (void)close(fd);
}

static void on_control(struct vm *v)
{
    char word[32] = "";
    struct timeval second = {.tv_sec = 1};
    int fd = accept4(v->control, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0) {
        return;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    ssize_t n = read(fd, word, sizeof word - 1);
    if (n > 0 && strcmp(word, "terminate") == 0) {
        cs_nitro_remove(v->d);
        (void)kill(-v->pid, SIGKILL);
        (void)kill(v->pid, SIGKILL);
        (void)waitpid(v->pid, NULL, 0);
        v->pid = 0;
        (void)!send(fd, "OK\n", 3, MSG_NOSIGNAL);
        finish(v, 0);
    }
    if (n > 0 && strcmp(word, "console") == 0 && v->d->debug) {
        add_console(v, fd);
        return;
    }
    (void)close(fd);
}

cs_err cs_nitro_ask(const cs_nitro_vm *vm, const char *command, int out_fd)
{
    char name[80], path[CS_NITRO_PATH], block[4096];
    ssize_t n;

    (void)snprintf(name, sizeof name, "%s.sock", vm->id);
    cs_nitro_path(path, name);
    int fd = cs_nitro_connect(path);
    if (fd < 0) {
        return CS_E_CONNECT;
    }
    (void)!write(fd, command, strlen(command));
    while ((n = read(fd, block, sizeof block)) > 0) {
        (void)!write(out_fd, block, (size_t)n);
    }
    (void)close(fd);
    return CS_OK;
}

/* ---------------------------------------------------------------- the process */

static void turn(struct vm *v, uint64_t deadline)
{
    struct pollfd p[] = {{v->heartbeat, POLLIN, 0}, {v->control, POLLIN, 0}, {v->out, POLLIN, 0}, {v->nsm, POLLIN, 0}};

    if (poll(p, sizeof p / sizeof *p, TURN_MS) > 0) {
        if ((p[0].revents & POLLIN) != 0) {
            on_heartbeat(v);
        }
        if ((p[2].revents & (POLLIN | POLLHUP)) != 0) {
            on_output(v);
        }
        if ((p[3].revents & POLLIN) != 0) {
            cs_nitro_local_nsm(v->d, accept4(v->nsm, NULL, NULL, SOCK_CLOEXEC));
        }
        if ((p[1].revents & POLLIN) != 0) {
            on_control(v);
        }
    }
    send_log(v);
    if (!v->ready && cs_clock_mono_ms() > deadline) {
        answer(v, "E36 Enclave boot failure. Such error appears when attempting to receive the `ready` signal from a "
                  "freshly booted enclave.\n");
        finish(v, 0);
    }
    if (access(cs_nitro_dir(), F_OK) != 0) {
        finish(v, 0);
    }
    if (waitpid(v->pid, NULL, WNOHANG) == v->pid) {
        v->pid = 0;
        while (v->out >= 0 && poll(&(struct pollfd){v->out, POLLIN, 0}, 1, 0) > 0) {
            on_output(v);
        }
        halted(v, "the first program of the enclave ended");
    }
}

static void detach(const cs_nitro_vm *vm)
{
    char name[80], path[CS_NITRO_PATH];

    (void)setsid();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)snprintf(name, sizeof name, "%s.log", vm->id);
    cs_nitro_path(path, name);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
    (void)dup2(log >= 0 ? log : null, STDERR_FILENO);
    if (log > STDERR_FILENO) {
        (void)close(log);
    }
    if (null > STDERR_FILENO) {
        (void)close(null);
    }
}

static void open_heartbeat(struct vm *v)
{
    char path[CS_NITRO_PATH];

    heartbeat_path(path);
    v->heartbeat = v->backend->unix_ports ? cs_nitro_socket(path) : cs_nitro_vsock(HEARTBEAT_PORT);
    if (v->heartbeat < 0) { /* two starts at once [nitro-kms.md 8.3, issue 516] */
        answer(v, "E36 Enclave boot failure. Could not bind the heartbeat port.\n");
        _exit(1);
    }
}

static void open_ports(struct vm *v)
{
    char path[CS_NITRO_PATH], name[80];

    (void)snprintf(name, sizeof name, "%s.sock", v->d->id);
    cs_nitro_path(v->control_path, name);
    v->control = cs_nitro_socket(v->control_path);
    if (v->backend->unix_ports) {
        (void)snprintf(path, sizeof path, "%s/%u/nsm.sock", cs_nitro_dir(), v->d->cid);
        v->nsm = cs_nitro_socket(path);
    }
}

static void make_dir(const struct vm *v)
{
    char path[CS_NITRO_PATH];

    (void)snprintf(path, sizeof path, "%s/%u", cs_nitro_dir(), v->d->cid);
    (void)mkdir(path, 0700);
}

_Noreturn void cs_nitro_vm_main(cs_nitro_vm *vm, const char *fault, int result_fd)
{
    static struct vm v;
    int out[2];
    uint64_t deadline = cs_clock_mono_ms() + cs_nitro_ms("NITRO_FAKE_BOOT_MS", 180000);

    bool silent = strcmp(fault, "silent") == 0;

    v = (struct vm){
        .d = vm, .backend = cs_nitro_backend_chosen(), .result = result_fd, .heartbeat = -1, .nsm = -1, .log = -1};
    memset(v.consoles, -1, sizeof v.consoles);
    v.die = strcmp(fault, "die") == 0;
    detach(vm);
    vm->pid = getpid();
    make_dir(&v);
    if (v.backend->unix_ports || !silent) {
        open_heartbeat(&v);
    }
    open_ports(&v);
    if (cs_nitro_save(vm) != CS_OK || pipe2(out, O_CLOEXEC) != 0) {
        answer(&v, "E07 File operation failure.\n");
        finish(&v, 1);
    }
    v.out = out[0];
    cs_err err = v.backend->start(&v.pid, vm, out[1], !silent);
    (void)close(out[1]);
    if (err != CS_OK) {
        (void)fprintf(stderr, "back end %s: %s\n", v.backend->name, cs_err_code(err));
        answer(&v, "E35 EIF parsing error.\n");
        finish(&v, 1);
    }
    for (;;) {
        turn(&v, deadline);
    }
}
