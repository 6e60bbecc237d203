/*
 * A local enclave: what sign-init does inside a real one, with the same launch table. Opens listeners and links, asks the
 * emulator for an NSM, starts the programs of the image, restarts what may be restarted, halts when sign-core dies.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/log.h"
#include "base/restarts.h"
#include "base/text.h"
#include "host/host.h"

#define STOP_MS 5000u
#define ARGS_MAX 24
#define NSM_ANSWER_MS 5000

struct program {
    pid_t pid; /* 0: not running */
    cs_restarts restarts;
    cs_timer *again; /* the wait before a restart */
    cs_enclave *owner;
};

struct cs_enclave {
    cs_loop *loop;
    cs_enclave_opts opts;
    cs_image *image;
    cs_logs *logs;
    cs_proxy *kms, *egress;
    cs_endpoint grpc;
    int nsm_control;
    char nsm[CS_HOST_PATH_MAX];
    int ends[CS_LAUNCH_NUM_ENDS];
    int listeners[CS_LAUNCH_NUM_PROGRAMS][8];
    struct program programs[CS_LAUNCH_NUM_PROGRAMS];
    cs_loop_fn *on_halt;
    void *cookie;
    bool stopping, halted;
};

_Static_assert(CS_LAUNCH_NUM_FDS <= 8, "listeners has room for 8");

/* ---------------------------------------------------------------- the NSM instance */

static cs_err nsm_request(cs_buf *line, const cs_enclave *e)
{
    static const char *const index[] = {"0", "1", "2"};
    static const cs_pcr zero;
    const cs_pcr *pcrs = cs_image_pcrs(e->image);
    cs_jw w = cs_jw_begin(line);

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "op", "create");
    cs_jw_cstr(&w, "module_id", "i-1234567890abcdef0-enc0123456789abcdef");
    cs_jw_object(&w, "pcrs");
    for (int i = 0; i < 3; i++) {
        /* a debug enclave has zeros here and keeps the others (specs/nitro-kms.md 5.5) */
        cs_jw_hex(&w, index[i], cs_slice_of((e->opts.debug ? &zero : &pcrs[i])->b, CS_PCR_LEN));
    }
    cs_jw_close_object(&w);
    cs_jw_bool(&w, "debug", e->opts.debug);
    cs_jw_close_object(&w);
    CS_TRY(cs_jw_end(&w));
    return cs_put_u8(line, '\n');
}

/* The answer is one line: {"nsm":"/path"}. */
static cs_err nsm_answer(char path[CS_HOST_PATH_MAX], int fd)
{
    char line[2 * CS_HOST_PATH_MAX] = {0};
    size_t len = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};

    while (len < sizeof line - 1 && memchr(line, '\n', len) == NULL) {
        if (poll(&p, 1, NSM_ANSWER_MS) != 1) {
            return CS_E_TIMEOUT;
        }
        ssize_t n = read(fd, line + len, sizeof line - 1 - len);
        if (n <= 0) {
            return CS_E_NSM;
        }
        len += (size_t)n;
    }
    const char *at = strstr(line, "\"nsm\":\"");
    const char *end = at != NULL ? strchr(at + 7, '"') : NULL;
    if (end == NULL || (size_t)(end - at - 7) >= CS_HOST_PATH_MAX) {
        return CS_E_NSM;
    }
    memcpy(path, at + 7, (size_t)(end - at - 7));
    path[end - at - 7] = '\0';
    return CS_OK;
}

static cs_err open_nsm(cs_enclave *e)
{
    uint8_t mem[1024];
    cs_buf line = cs_buf_wrap(mem, sizeof mem);
    cs_endpoint control = {.scheme = CS_EP_UNIX};

    (void)snprintf(control.host, sizeof control.host, "%s", e->opts.nsm_control);
    CS_TRY(nsm_request(&line, e));
    CS_TRY(cs_endpoint_connect(&e->nsm_control, &control, NSM_ANSWER_MS));
    if (send(e->nsm_control, line.p, line.len, MSG_NOSIGNAL) != (ssize_t)line.len) {
        return CS_E_NSM;
    }
    return nsm_answer(e->nsm, e->nsm_control);
}

/* ---------------------------------------------------------------- links and listeners */

static cs_err open_links(cs_enclave *e)
{
    for (int i = 0; i < CS_LAUNCH_NUM_ENDS; i += 2) {
        /* room for several 43 kB messages in the kernel, so that neither side waits for the other at every one */
        int room = 1 << 20;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, &e->ends[i]) != 0) {
            return CS_E_IO;
        }
        (void)setsockopt(e->ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        (void)setsockopt(e->ends[i + 1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    }
    return CS_OK;
}

static cs_endpoint local_socket(const cs_enclave *e, const char *side, uint32_t number)
{
    cs_endpoint ep = {.scheme = CS_EP_UNIX};

    (void)snprintf(ep.host, sizeof ep.host, "%s/%s-%u.sock", e->opts.dir, side, cs_host_port(&e->opts.ports, number));
    return ep;
}

uint32_t cs_host_port(const cs_host_ports *p, uint32_t number)
{
    const uint32_t rows[][2] = {
        {7100, p->credentials},
        {7101, p->age},
        {7102, p->shares},
        {CS_LAUNCH_PORT_KMS_PROXY, p->kms_proxy},
        {CS_LAUNCH_PORT_EGRESS, p->egress},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i][0] == number && rows[i][1] != 0) {
            return rows[i][1];
        }
    }
    return number;
}

/* One port of the parent that leads somewhere. Rooms keep connections open, most of them silent most of the time. */
static cs_err open_proxy(cs_proxy **out, cs_enclave *e, uint32_t number, const cs_endpoint *to, const cs_proxy_opts *o)
{
    cs_endpoint parent = local_socket(e, "parent", number);
    int fd = -1;

    if (to->scheme == 0) {
        return CS_OK;
    }
    CS_TRY(cs_endpoint_listen(&fd, &parent, 128));
    cs_err err = cs_proxy_new(out, e->loop, fd, to, o);
    if (err != CS_OK) {
        (void)close(fd);
    }
    return err;
}

static cs_err open_proxies(cs_enclave *e)
{
    static const cs_proxy_opts kms = {.name = "kms", .conns_max = 16, .idle_ms = 60000},
                               egress = {.name = "gateway", .conns_max = 4096, .idle_ms = 300000};

    CS_TRY(open_proxy(&e->kms, e, CS_LAUNCH_PORT_KMS_PROXY, &e->opts.kms, &kms));
    return open_proxy(&e->egress, e, CS_LAUNCH_PORT_EGRESS, &e->opts.egress, &egress);
}

static cs_err open_listeners(cs_enclave *e)
{
    for (size_t i = 0; i < CS_LAUNCH_NUM_FDS; i++) {
        if (cs_launch_fds[i].kind != CS_LAUNCH_FD_LISTEN) {
            continue;
        }
        bool grpc = cs_launch_fds[i].number == 50051;
        cs_endpoint ep = grpc ? e->opts.grpc : local_socket(e, "enclave", cs_launch_fds[i].number);
        int *fd = &e->listeners[cs_launch_fds[i].program][i % 8];
        CS_TRY(cs_endpoint_listen(fd, &ep, 128));
        if (grpc) {
            CS_TRY(cs_endpoint_bound(&e->grpc, *fd));
        }
    }
    return open_proxies(e);
}

static void remove_sockets(const cs_enclave *e)
{
    for (size_t i = 0; i < CS_LAUNCH_NUM_FDS; i++) {
        if (cs_launch_fds[i].kind == CS_LAUNCH_FD_LISTEN && cs_launch_fds[i].number != 50051) {
            cs_endpoint ep = local_socket(e, "enclave", cs_launch_fds[i].number);
            (void)unlink(ep.host);
        }
    }
    static const uint32_t parents[] = {CS_LAUNCH_PORT_KMS_PROXY, CS_LAUNCH_PORT_EGRESS};
    for (size_t i = 0; i < sizeof parents / sizeof *parents; i++) {
        cs_endpoint parent = local_socket(e, "parent", parents[i]);
        (void)unlink(parent.host);
    }
    if (e->grpc.scheme == CS_EP_UNIX) {
        (void)unlink(e->grpc.host);
    }
}

/* ---------------------------------------------------------------- programs */

/* The option list and the inherited descriptors of one program. */
struct command {
    const char *argv[ARGS_MAX];
    char text[ARGS_MAX][16];
    int fds[ARGS_MAX];
    size_t num_args, num_fds;
};

static void add_fd(struct command *c, const char *option, int fd)
{
    (void)snprintf(c->text[c->num_fds], sizeof c->text[0], "%d", fd);
    c->argv[c->num_args++] = option;
    c->argv[c->num_args++] = c->text[c->num_fds];
    c->fds[c->num_fds++] = fd;
}

static void make_command(struct command *c, const cs_enclave *e, cs_launch_program p, int config_fd)
{
    static char nsm[CS_HOST_PATH_MAX + 8];

    *c = (struct command){0};
    c->argv[c->num_args++] = cs_launch_programs[p].local;
    add_fd(c, "--config-fd", config_fd);
    for (size_t i = 0; i < CS_LAUNCH_NUM_FDS; i++) {
        if (cs_launch_fds[i].program == p) {
            bool link = cs_launch_fds[i].kind == CS_LAUNCH_FD_LINK;
            add_fd(c, cs_launch_fds[i].option, link ? e->ends[cs_launch_fds[i].number] : e->listeners[p][i % 8]);
        }
    }
    if (p == CS_LAUNCH_CORE) {
        (void)snprintf(nsm, sizeof nsm, "unix:%s", e->nsm);
        c->argv[c->num_args++] = "--nsm";
        c->argv[c->num_args++] = nsm;
    } else {
        c->argv[c->num_args++] = "--local-dir";
        c->argv[c->num_args++] = e->opts.dir;
    }
}

static cs_err start_program(cs_enclave *e, cs_launch_program p)
{
    char path[CS_HOST_PATH_MAX];
    struct command c;
    cs_slice section;
    int config = -1, log_fd = -1;
    cs_err err;

    CS_TRY(cs_image_section(&section, e->image, cs_launch_programs[p].section));
    CS_TRY(cs_config_memfd(&config, section));
    err = cs_logs_pipe(e->logs, &log_fd);
    if (err == CS_OK) {
        make_command(&c, e, p, config);
        (void)snprintf(path, sizeof path, "%s/bin/%s", e->opts.image, cs_launch_programs[p].local);
        err = cs_spawn_start(&e->programs[p].pid, &(cs_spawn){path, c.argv, c.fds, c.num_fds, log_fd});
        (void)close(log_fd);
    }
    (void)close(config);
    if (err == CS_OK) {
        cs_log(CS_LOG_INFO, "started", CS_LC("what", cs_launch_programs[p].local), CS_LU("pid", e->programs[p].pid));
    } else {
        cs_log_err(CS_LOG_ERROR, "start_failed", err, CS_LC("what", cs_launch_programs[p].local));
    }
    return err;
}

static void halt(cs_enclave *e, cs_launch_program because)
{
    if (e->halted) {
        return;
    }
    e->halted = true;
    /* our copies of core's ends: without them the others see at once that core has gone, and end without a drain */
    for (int end = CS_LAUNCH_SERVICE_CORE_END; end < CS_LAUNCH_NUM_ENDS; end += 2) {
        if (e->ends[end] >= 0) {
            (void)close(e->ends[end]);
            e->ends[end] = -1;
        }
    }
    cs_log_err(CS_LOG_ERROR, "enclave_halted", CS_E_LAUNCH, CS_LC("because", cs_launch_programs[because].local));
    e->on_halt(e->cookie);
}

static void on_again(void *cookie)
{
    struct program *p = cookie;
    cs_enclave *e = p->owner;
    cs_launch_program which = (cs_launch_program)(p - e->programs);

    if (!e->stopping && !e->halted && start_program(e, which) != CS_OK) {
        halt(e, which);
    }
}

void cs_enclave_child_ended(cs_enclave *e, pid_t pid, int status)
{
    for (int i = 0; i < CS_LAUNCH_NUM_PROGRAMS; i++) {
        struct program *p = &e->programs[i];
        uint32_t delay = 0;

        if (p->pid != pid) {
            continue;
        }
        p->pid = 0;
        cs_log(CS_LOG_WARN, "ended", CS_LC("what", cs_launch_programs[i].local),
               CS_LB("by_signal", WIFSIGNALED(status)),
               CS_LU("status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)));
        if (e->stopping || e->halted) {
            return;
        }
        if (cs_launch_programs[i].restart && cs_restarts_next(&p->restarts, cs_clock_mono_ms(), &delay) == CS_OK) {
            cs_timer_start(p->again, delay, 0);
        } else {
            halt(e, (cs_launch_program)i);
        }
        return;
    }
}

pid_t cs_enclave_pid(const cs_enclave *e, cs_launch_program p)
{
    return e->programs[p].pid;
}

const cs_endpoint *cs_enclave_grpc(const cs_enclave *e)
{
    return &e->grpc;
}

const cs_pcr *cs_enclave_pcrs(const cs_enclave *e)
{
    return cs_image_pcrs(e->image);
}

cs_err cs_enclave_start(cs_enclave **out, cs_loop *l, const cs_enclave_opts *o, cs_loop_fn *on_halt, void *cookie)
{
    cs_enclave *e = calloc(1, sizeof *e);
    char log_file[CS_HOST_PATH_MAX];

    if (e == NULL) {
        return CS_E_NO_MEMORY;
    }
    *e = (cs_enclave){.loop = l, .opts = *o, .nsm_control = -1, .on_halt = on_halt, .cookie = cookie};
    memset(e->ends, -1, sizeof e->ends);
    memset(e->listeners, -1, sizeof e->listeners);
    (void)snprintf(log_file, sizeof log_file, "%s/enclave.log", o->dir);
    cs_err err = cs_image_load(&e->image, o->image);
    if (err == CS_OK) {
        err = cs_logs_new(&e->logs, l, log_file, o->verbose);
    }
    if (err == CS_OK) {
        err = open_nsm(e);
    }
    if (err == CS_OK) {
        err = open_links(e);
    }
    if (err == CS_OK) {
        err = open_listeners(e);
    }
    for (int p = 0; err == CS_OK && p < CS_LAUNCH_NUM_PROGRAMS; p++) {
        e->programs[p].owner = e;
        err = cs_timer_new(&e->programs[p].again, l, on_again, &e->programs[p]);
        if (err == CS_OK) {
            err = start_program(e, (cs_launch_program)p);
        }
    }
    if (err != CS_OK) {
        cs_enclave_stop(e);
        return err;
    }
    *out = e;
    return CS_OK;
}

/* Asks one program to end and waits for it; the front first, so that nothing new comes in while core stops. */
static void stop_program(cs_enclave *e, struct program *p)
{
    uint64_t deadline = cs_clock_mono_ms() + STOP_MS;

    if (p->pid <= 0) {
        return;
    }
    (void)kill(p->pid, SIGTERM);
    while (waitpid(p->pid, NULL, WNOHANG) == 0) {
        if (cs_clock_mono_ms() > deadline) {
            (void)kill(p->pid, SIGKILL);
            (void)waitpid(p->pid, NULL, 0);
            break;
        }
        cs_logs_read(e->logs); /* a program that cannot write its last words would not end */
        (void)poll(NULL, 0, 5);
    }
    p->pid = 0;
}

void cs_enclave_stop(cs_enclave *e)
{
    if (e == NULL) {
        return;
    }
    e->stopping = true;
    for (int p = CS_LAUNCH_NUM_PROGRAMS - 1; p >= 0; p--) {
        stop_program(e, &e->programs[p]);
        cs_timer_free(e->programs[p].again);
    }
    cs_proxy_free(e->kms);
    cs_proxy_free(e->egress);
    if (e->nsm_control >= 0) {
        remove_sockets(e);
        (void)close(e->nsm_control);
    }
    for (int i = 0; i < CS_LAUNCH_NUM_ENDS; i++) {
        if (e->ends[i] >= 0) {
            (void)close(e->ends[i]);
        }
    }
    for (size_t i = 0; i < CS_LAUNCH_NUM_FDS; i++) {
        int fd = e->listeners[cs_launch_fds[i].program][i % 8];
        if (cs_launch_fds[i].kind == CS_LAUNCH_FD_LISTEN && fd >= 0) {
            (void)close(fd);
        }
    }
    cs_logs_free(e->logs);
    cs_image_free(e->image);
    free(e);
}
