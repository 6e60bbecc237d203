/*
 * Driver "qemu": an enclave in QEMU's own emulation of Nitro Enclaves, for tests on machines without enclaves: the kernel's own nsm
 * driver, another NSM model, real virtio-vsock. Not isolation and not attestation: QEMU signs nothing, KMS refuses its documents.
 * vhost-device-vsock, from PATH, carries vsock (hybrid.h). Everything of one enclave is in DIR/qemu-CID. Its console goes to
 * DIR/qemu-CID.console. Source: specs/real-boot.md, option 5.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/launch_table.h"
#include "base/log.h"
#include "host/driver.h"
#include "host/host.h"
#include "host/hybrid.h"

#define DAEMON "vhost-device-vsock"
#define PORT_HEARTBEAT 9000u
#define HEARTBEAT 0xb7
#define POLL_MS 10u
#define PROBE_MS 2000u
#define PATH_LEN 108 /* of a unix socket */
#define PARENT_PREFIX "parent-"

/* The start is complete when the first one listens: sign-init opens all before it starts a program. It minds an empty connection least. */
static const uint32_t enclave_ports[] = {50051, 7100, 7101, 7102};
#define NUM_PORTS (sizeof enclave_ports / sizeof *enclave_ports)

struct cs_driver {
    cs_driver_opts o;
    const cs_driver_events *ev;
    void *cookie;
    enum { DAEMON_STARTS, BOOTS, BEATEN, RUNNING, DONE } state;
    cs_task *daemon, *vm;
    cs_timer *timer; /* polls of the start, its deadline, and reports that must come from the loop */
    uint64_t begun_ms;
    cs_listener *beat, *console;
    cs_watch *beat_watch;
    int beat_fd;
    cs_logs *logs;
    cs_hybrid *probe;
    cs_hybrid_relay *relays[NUM_PORTS];
    bool stop_wanted;
    cs_err begin_err; /* of what could not be opened; said from the loop */
    char detail[CS_DRIVER_TEXT];
    char dir[PATH_LEN], id[32]; /* of this enclave */
};

/* ---------------------------------------------------------------- its folder */

static void unix_at(cs_endpoint *out, const cs_driver *d, const char *name)
{
    *out = (cs_endpoint){.scheme = CS_EP_UNIX};
    (void)snprintf(out->host, sizeof out->host, "%s/%s", d->dir, name);
}

/* What the guest dials at the parent arrives at vm.vsock_PORT: links to the listeners that are there. */
static cs_err link_parent_ports(cs_driver *d)
{
    char link[2 * PATH_LEN], from[PATH_MAX], folder[PATH_MAX];
    DIR *dir = opendir(d->o.vsock_dir);
    const struct dirent *e;
    cs_err err = dir != NULL && realpath(d->o.vsock_dir, folder) != NULL ? CS_OK : CS_E_IO;

    while (err == CS_OK && (e = readdir(dir)) != NULL) {
        const char *port = e->d_name + sizeof PARENT_PREFIX - 1;
        size_t len = strspn(strncmp(e->d_name, PARENT_PREFIX, sizeof PARENT_PREFIX - 1) == 0 ? port : "", "0123456789");
        if (len == 0 || len > 10 || strcmp(port + len, ".sock") != 0) {
            continue;
        }
        (void)snprintf(link, sizeof link, "%s/vm.vsock_%.*s", d->dir, (int)len, port);
        int n = snprintf(from, sizeof from, "%s/%s", folder, e->d_name);
        err = n > 0 && (size_t)n < sizeof from && symlink(from, link) == 0 ? CS_OK : CS_E_IO;
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return err;
}

/* Sockets and links of our own making, and of an earlier run that was killed; nothing else. */
static void remove_dir(const cs_driver *d)
{
    char path[PATH_MAX];
    DIR *dir = opendir(d->dir);
    const struct dirent *e;
    struct stat st;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        (void)snprintf(path, sizeof path, "%s/%s", d->dir, e->d_name);
        if (lstat(path, &st) == 0 && (S_ISSOCK(st.st_mode) || S_ISLNK(st.st_mode))) {
            (void)unlink(path);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    (void)rmdir(d->dir);
}

static cs_err make_dir(cs_driver *d)
{
    int n = snprintf(d->dir, sizeof d->dir, "%s/qemu-%u", d->o.dir, d->o.cid);

    /* a comma ends a word of QEMU's and the daemon's options */
    if (n < 0 || (size_t)n > sizeof d->dir - sizeof "/vm.vsock_4294967295" || strchr(d->dir, ',') != NULL) {
        return CS_E_RANGE;
    }
    remove_dir(d);
    return mkdir(d->dir, 0700) == 0 ? link_parent_ports(d) : CS_E_IO;
}

/* ---------------------------------------------------------------- the end */

/* Ends all of it; what waits in here never calls back. */
static void tear_down(cs_driver *d)
{
    cs_hybrid_free(d->probe);
    for (size_t i = 0; i < NUM_PORTS; i++) {
        cs_hybrid_relay_free(d->relays[i]);
        d->relays[i] = NULL;
    }
    cs_watch_free(d->beat_watch);
    if (d->beat_fd >= 0) {
        (void)close(d->beat_fd);
    }
    cs_listener_free(d->beat);
    cs_listener_free(d->console);
    cs_task_free(d->vm);
    cs_task_free(d->daemon);
    cs_logs_free(d->logs);
    d->probe = NULL;
    d->beat_watch = NULL;
    d->beat_fd = -1;
    d->beat = d->console = NULL;
    d->vm = d->daemon = NULL;
    d->logs = NULL;
    if (d->dir[0] != '\0') {
        remove_dir(d);
    }
}

/* It has ended, or could not be started; said now: the caller is the loop. */
static void failed(cs_driver *d, cs_err err)
{
    bool ran = d->state == RUNNING;

    if (d->state == DONE) {
        return;
    }
    tear_down(d);
    cs_timer_stop(d->timer);
    d->state = DONE;
    if (d->stop_wanted) {
        d->ev->stopped(d->cookie, CS_OK, "");
    } else if (ran) {
        d->ev->ended(d->cookie, d->detail);
    } else {
        d->ev->started(d->cookie, err, d->detail);
    }
}

/* Who ended, and the first line of what it said. */
static void set_detail(cs_driver *d, const char *who, const cs_task_end *end)
{
    size_t len = 0;

    if (end->status == 127 && end->err_out.len == 0) {
        (void)snprintf(d->detail, sizeof d->detail, "%.150s is not there", who);
        return;
    }
    while (len < end->err_out.len && len < 150 && end->err_out.p[len] >= ' ' && end->err_out.p[len] < 0x7f) {
        len++;
    }
    (void)snprintf(d->detail, sizeof d->detail, "%s ended with status %d%s%.*s", who, end->status, len > 0 ? ": " : "",
                   (int)len, len > 0 ? (const char *)end->err_out.p : "");
}

static void on_vm_end(void *cookie, const cs_task_end *end)
{
    cs_driver *d = cookie;

    d->vm = NULL;
    bool missing = end->status == 127 && end->err_out.len == 0;
    set_detail(d, missing ? d->o.tool : "QEMU", end);
    failed(d, end->status == 0 || d->state == RUNNING ? CS_E_ENCLAVE_DIED : CS_E_QEMU);
}

static void on_daemon_end(void *cookie, const cs_task_end *end)
{
    cs_driver *d = cookie;

    d->daemon = NULL;
    set_detail(d, DAEMON, end);
    failed(d, CS_E_QEMU);
}

/* ---------------------------------------------------------------- heartbeat, then a port */

static void on_probe(void *cookie, cs_err err, int fd)
{
    cs_driver *d = cookie;

    d->probe = NULL;
    if (err != CS_OK) {
        return; /* the timer asks again */
    }
    (void)close(fd);
    cs_timer_stop(d->timer);
    d->state = RUNNING;
    (void)snprintf(d->detail, sizeof d->detail, "booted in %llu ms",
                   (unsigned long long)(cs_clock_mono_ms() - d->begun_ms));
    d->ev->started(d->cookie, CS_OK, d->detail);
}

static void probe(cs_driver *d)
{
    cs_endpoint at;

    unix_at(&at, d, "vm.vsock");
    (void)!cs_hybrid_dial(&d->probe, d->o.loop, &at, enclave_ports[0], PROBE_MS, on_probe, d);
}

static void on_beat_byte(void *cookie, unsigned ready)
{
    cs_driver *d = cookie;
    uint8_t b = 0;

    (void)ready;
    ssize_t n = recv(d->beat_fd, &b, 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    bool good = n == 1 && b == HEARTBEAT && send(d->beat_fd, &b, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
    cs_watch_free(d->beat_watch);
    d->beat_watch = NULL;
    (void)close(d->beat_fd);
    d->beat_fd = -1;
    if (!good) {
        (void)snprintf(d->detail, sizeof d->detail, "no heartbeat: another byte on port %u", PORT_HEARTBEAT);
        failed(d, CS_E_NITRO_BOOT);
        return;
    }
    cs_listener_free(d->beat); /* as nitro-cli: during the start only */
    d->beat = NULL;
    d->state = BEATEN;
}

static void on_beat(void *cookie, int fd, const cs_ep_peer *peer)
{
    cs_driver *d = cookie;

    (void)peer;
    if (d->beat_fd >= 0 || cs_watch_new(&d->beat_watch, d->o.loop, fd, on_beat_byte, d) != CS_OK) {
        (void)close(fd);
        return;
    }
    d->beat_fd = fd;
    cs_watch_set(d->beat_watch, CS_WATCH_READ);
}

/* ---------------------------------------------------------------- start */

static void on_console(void *cookie, int fd, const cs_ep_peer *peer)
{
    cs_driver *d = cookie;

    (void)peer;
    if (cs_logs_socket(d->logs, fd) != CS_OK) {
        (void)close(fd);
    }
}

static cs_err listen_at(cs_listener **out, cs_driver *d, const char *name, cs_accept_fn *fn)
{
    cs_endpoint at;
    int fd = -1;

    unix_at(&at, d, name);
    CS_TRY(cs_endpoint_listen(&fd, &at, 4));
    cs_err err = cs_listener_new(out, d->o.loop, fd, CS_EP_CID_ANY, fn, d);
    if (err != CS_OK) {
        (void)close(fd);
    }
    return err;
}

static cs_err start_daemon(cs_driver *d)
{
    char vm[3 * PATH_LEN];
    const char *argv[] = {DAEMON, "--vm", vm, NULL};

    (void)snprintf(vm, sizeof vm, "guest-cid=%u,socket=%s/vhost.sock,uds-path=%s/vm.vsock", d->o.cid, d->dir, d->dir);
    return cs_task_exec(&d->daemon, d->o.tasks, argv, UINT32_MAX, on_daemon_end, d);
}

static cs_err start_vm(cs_driver *d)
{
    char machine[64], memory[24], cpus[24], vhost[2 * PATH_LEN], console[2 * PATH_LEN];
    const char *argv[] = {d->o.tool,
                          "-M",
                          machine,
                          "-accel",
                          "tcg",
                          "-cpu",
                          "max",
                          "-m",
                          memory,
                          "-smp",
                          cpus,
                          "-kernel",
                          d->o.eif,
                          "-nodefaults",
                          "-display",
                          "none",
                          "-no-reboot",
                          "-chardev",
                          vhost,
                          "-chardev",
                          console,
                          "-serial",
                          "chardev:console",
                          "-L",
                          "/usr/share/seabios",
                          "-L",
                          "/usr/share/qemu",
                          NULL};

    (void)snprintf(machine, sizeof machine, "nitro-enclave,vsock=vhost,id=%s", d->id);
    (void)snprintf(memory, sizeof memory, "%llu", (unsigned long long)d->o.memory_mib);
    (void)snprintf(cpus, sizeof cpus, "%llu", (unsigned long long)d->o.cpu_count);
    (void)snprintf(vhost, sizeof vhost, "socket,id=vhost,path=%s/vhost.sock", d->dir);
    (void)snprintf(console, sizeof console, "socket,id=console,path=%s/console.sock", d->dir);
    return cs_task_exec(&d->vm, d->o.tasks, argv, UINT32_MAX, on_vm_end, d);
}

/* Everything polls, so that the one timer is the start's deadline too. */
static void on_timer(void *cookie)
{
    cs_driver *d = cookie;
    cs_endpoint vhost;

    if (d->stop_wanted || d->begin_err != CS_OK) {
        failed(d, d->begin_err);
        return;
    }
    if (cs_clock_mono_ms() - d->begun_ms > d->o.start_ms) {
        (void)snprintf(d->detail, sizeof d->detail, "the enclave %s within %u ms; %.100s.console",
                       d->state == BEATEN ? "does not listen" : "has sent no heartbeat", d->o.start_ms, d->dir);
        failed(d, CS_E_NITRO_BOOT);
        return;
    }
    if (d->state == BEATEN && d->probe == NULL) {
        probe(d);
    }
    unix_at(&vhost, d, "vhost.sock");
    if (d->state == DAEMON_STARTS && access(vhost.host, F_OK) == 0) {
        cs_err err = start_vm(d);
        if (err != CS_OK) {
            failed(d, err);
            return;
        }
        d->state = BOOTS;
    }
    cs_timer_start(d->timer, POLL_MS, 0);
}

static void qemu_enclave_port(const cs_driver *d, cs_endpoint *out, uint32_t port)
{
    char name[32];

    (void)snprintf(name, sizeof name, "enclave-%u.sock", port);
    unix_at(out, d, name);
}

static cs_err open_all(cs_driver *d)
{
    char file[2 * PATH_LEN];
    cs_endpoint at, daemon;

    CS_TRY(make_dir(d));
    (void)snprintf(file, sizeof file, "%s.console", d->dir);
    CS_TRY(cs_logs_new(&d->logs, d->o.loop, file, false));
    CS_TRY(listen_at(&d->beat, d, "vm.vsock_9000", on_beat));
    CS_TRY(listen_at(&d->console, d, "console.sock", on_console));
    unix_at(&daemon, d, "vm.vsock");
    for (size_t i = 0; i < NUM_PORTS; i++) {
        qemu_enclave_port(d, &at, enclave_ports[i]);
        CS_TRY(cs_hybrid_relay_new(&d->relays[i], d->o.loop, &at, &daemon, enclave_ports[i]));
    }
    return start_daemon(d);
}

static void qemu_free(cs_driver *d)
{
    if (d == NULL) {
        return;
    }
    tear_down(d);
    cs_timer_free(d->timer);
    free(d);
}

static cs_err qemu_start(cs_driver **out, const cs_driver_opts *o, const cs_driver_events *ev, void *cookie)
{
    cs_driver *d = calloc(1, sizeof *d);

    if (d == NULL) {
        return CS_E_NO_MEMORY;
    }
    *d = (cs_driver){.o = *o, .ev = ev, .cookie = cookie, .beat_fd = -1, .begun_ms = cs_clock_mono_ms()};
    (void)snprintf(d->id, sizeof d->id, "qemu-%u", o->cid);
    cs_err err = o->vsock_dir == NULL || o->debug ? CS_E_UNSUPPORTED : cs_timer_new(&d->timer, o->loop, on_timer, d);
    if (err != CS_OK) {
        qemu_free(d);
        return err;
    }
    d->begin_err = open_all(d);
    if (d->begin_err != CS_OK) {
        (void)snprintf(d->detail, sizeof d->detail, "sockets and links in %.150s", d->dir);
    }
    cs_timer_start(d->timer, POLL_MS, 0);
    *out = d;
    return CS_OK;
}

/* ---------------------------------------------------------------- the rest */

static uint32_t qemu_cid(const cs_driver *d)
{
    return d->o.cid; /* seen by nobody: its connections come from unix sockets */
}

static const char *qemu_id(const cs_driver *d)
{
    return d->id;
}

/* The end of the process is seen at once: there is nothing to look at. */
static void qemu_look(cs_driver *d)
{
    (void)d;
}

static void qemu_stop(cs_driver *d)
{
    d->stop_wanted = true;
    cs_timer_start(d->timer, 0, 0); /* nothing in there needs an orderly end: all of it is memory */
}

const cs_driver_ops cs_driver_qemu = {.name = "qemu",
                                      .answers_lost = true,
                                      .start = qemu_start,
                                      .enclave_port = qemu_enclave_port,
                                      .cid = qemu_cid,
                                      .id = qemu_id,
                                      .look = qemu_look,
                                      .stop = qemu_stop,
                                      .free = qemu_free};
