/*
 * Driver "nitro": enclaves by nitro-cli. One enclave is found by its EnclaveID, one that is not ours by its EnclaveName; never by its place
 * in the list. Starts of all sign-hosts of a machine are one after the other (lock file): nitro-cli binds port 9000 for each.
 * Source: specs/nitro-kms.md 8.3.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "host/driver.h"
#include "host/nitro_parse.h"

#define DESCRIBE_MS 20000u
#define TERMINATE_MS 60000u
#define POLL_MS 3000u
#define LOCK_POLL_MS 100u
#define LOCK_MS 240000u
#define STOP_TRIES 3

struct cs_driver {
    cs_driver_opts o;
    const cs_driver_events *ev;
    void *cookie;
    enum { LOCKING, LISTING, STARTING, RUNNING, STOPPING, DONE } state;
    cs_timer *timer; /* lock, poll, or a report that must come from the loop */
    cs_task *task;
    int lock;
    uint32_t waited_ms;
    bool stop_wanted, started_said, uncertain;
    unsigned stop_tries, failures;
    cs_nitro_enclave me;
    cs_err outcome; /* to be reported */
    char detail[CS_DRIVER_TEXT];
    char cid_text[16], cpu_text[24], memory_text[24];
};

/* ---------------------------------------------------------------- reports */

static void unlock(cs_driver *d)
{
    if (d->lock >= 0) {
        (void)close(d->lock);
        d->lock = -1;
    }
}

static void report_stopped(cs_driver *d, cs_err err)
{
    d->state = DONE;
    unlock(d);
    cs_timer_stop(d->timer);
    d->ev->stopped(d->cookie, err, d->detail);
}

static void report_started(cs_driver *d, cs_err err)
{
    unlock(d);
    if (d->stop_wanted && err != CS_OK) {
        report_stopped(d, CS_OK); /* it never ran */
        return;
    }
    d->started_said = true;
    if (err != CS_OK) {
        d->state = DONE;
    }
    d->ev->started(d->cookie, err, d->detail);
}

static void terminate(cs_driver *d);

/* ---------------------------------------------------------------- nitro-cli */

static cs_err run_cli(cs_driver *d, const char *const *argv, uint32_t timeout_ms, cs_task_fn *done)
{
    return cs_task_exec(&d->task, d->o.tasks, argv, timeout_ms, done, d);
}

/* What a finished nitro-cli says of itself; CS_OK: exit status 0. */
static cs_err verdict(cs_driver *d, const cs_task_end *end)
{
    int code = -1;
    char text[200];

    if (end->err == CS_E_TIMEOUT) {
        (void)snprintf(d->detail, sizeof d->detail, "nitro-cli did not end in time");
        return CS_E_TIMEOUT;
    }
    if (end->err != CS_OK) {
        (void)snprintf(d->detail, sizeof d->detail, "nitro-cli says too much");
        return CS_E_NITRO_ANSWER;
    }
    if (end->status == 0) {
        return CS_OK;
    }
    if (end->status == 127 && end->err_out.len == 0) {
        (void)snprintf(d->detail, sizeof d->detail, "%.150s", d->o.tool);
        return CS_E_NITRO_CLI;
    }
    cs_err err = cs_nitro_error(&code, text, end->err_out);
    if (code < 0) {
        (void)snprintf(d->detail, sizeof d->detail, "exit status %d: %s", end->status, text);
    } else {
        (void)snprintf(d->detail, sizeof d->detail, "nitro-cli E%02d: %s", code, text);
    }
    return err;
}

static cs_err list(cs_driver *d, cs_task_fn *done)
{
    const char *argv[] = {d->o.tool, "describe-enclaves", NULL};

    return run_cli(d, argv, DESCRIBE_MS, done);
}

/* ---------------------------------------------------------------- running */

static cs_err take_list(cs_driver *d, cs_nitro_enclave all[CS_NITRO_LIST_MAX], size_t *num, const cs_task_end *end)
{
    d->task = NULL;
    CS_TRY(verdict(d, end));
    return cs_nitro_parse_list(all, num, CS_NITRO_LIST_MAX, end->out);
}

static void on_poll_list(void *cookie, const cs_task_end *end)
{
    cs_driver *d = cookie;
    cs_nitro_enclave all[CS_NITRO_LIST_MAX];
    size_t num = 0;
    cs_err err = take_list(d, all, &num, end);

    if (err != CS_OK) {
        /* nothing is known: that is no reason to start a second enclave */
        if (++d->failures % 20 == 1) {
            cs_log_err(CS_LOG_WARN, "describe_enclaves", err, CS_LC("detail", d->detail));
        }
        cs_timer_start(d->timer, POLL_MS, 0);
        return;
    }
    d->failures = 0;
    for (size_t i = 0; i < num; i++) {
        if (strcmp(all[i].id, d->me.id) == 0 && all[i].state == CS_NITRO_RUNNING) {
            cs_timer_start(d->timer, POLL_MS, 0);
            return;
        }
    }
    d->state = DONE;
    d->ev->ended(d->cookie, "nitro-cli lists it no more");
}

static void running(cs_driver *d)
{
    d->state = RUNNING;
    cs_timer_start(d->timer, POLL_MS, 0);
    report_started(d, CS_OK);
}

/* ---------------------------------------------------------------- start */

static void on_run(void *cookie, const cs_task_end *end)
{
    cs_driver *d = cookie;
    cs_nitro_enclave e;

    d->task = NULL;
    cs_err err = verdict(d, end);
    if (err == CS_OK && cs_nitro_parse_run(&e, end->out) != CS_OK) {
        (void)snprintf(d->detail, sizeof d->detail, "run-enclave did not say which enclave it started");
        err = CS_E_NITRO_ANSWER;
    }
    if (err != CS_OK) {
        /* it may run all the same: whatever has our name is ended before anything is said */
        d->outcome = err;
        d->uncertain = err == CS_E_TIMEOUT || err == CS_E_NITRO_ANSWER || err == CS_E_NITRO;
        if (!d->uncertain) {
            report_started(d, err);
            return;
        }
        d->state = STOPPING;
        terminate(d);
        return;
    }
    d->me = e;
    if (e.cid != d->o.cid) {
        cs_log(CS_LOG_WARN, "other_cid", CS_LU("asked", d->o.cid), CS_LU("got", e.cid));
    }
    if (d->stop_wanted) {
        d->state = STOPPING;
        terminate(d);
        return;
    }
    running(d);
}

static cs_err run_enclave(cs_driver *d)
{
    const char *argv[] = {d->o.tool,
                          "run-enclave",
                          "--eif-path",
                          d->o.eif,
                          "--enclave-cid",
                          d->cid_text,
                          "--memory",
                          d->memory_text,
                          "--cpu-count",
                          d->cpu_text,
                          "--enclave-name",
                          d->o.name,
                          d->o.debug ? "--debug-mode" : NULL,
                          NULL};

    (void)snprintf(d->cid_text, sizeof d->cid_text, "%u", d->o.cid);
    (void)snprintf(d->memory_text, sizeof d->memory_text, "%llu", (unsigned long long)d->o.memory_mib);
    (void)snprintf(d->cpu_text, sizeof d->cpu_text, "%llu", (unsigned long long)d->o.cpu_count);
    d->state = STARTING;
    return run_cli(d, argv, d->o.start_ms, on_run);
}

/* Whoever has the name or the CID now would make run-enclave take another name, or fail with an error that does not say why. */
static cs_err free_place(cs_driver *d, const cs_nitro_enclave *all, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        if (all[i].cid == d->o.cid) {
            (void)snprintf(d->detail, sizeof d->detail, "CID %u is that of %.100s (%.60s)", d->o.cid,
                           all[i].name[0] != '\0' ? all[i].name : "an enclave without a name", all[i].id);
            return strcmp(all[i].name, d->o.name) == 0 ? CS_E_ENCLAVE_EXISTS : CS_E_NITRO_CID;
        }
        if (strcmp(all[i].name, d->o.name) == 0) {
            (void)snprintf(d->detail, sizeof d->detail, "%.100s is %.100s", d->o.name, all[i].id);
            return CS_E_ENCLAVE_EXISTS;
        }
    }
    return CS_OK;
}

static void on_first_list(void *cookie, const cs_task_end *end)
{
    cs_driver *d = cookie;
    cs_nitro_enclave all[CS_NITRO_LIST_MAX];
    size_t num = 0;
    cs_err err = take_list(d, all, &num, end);

    if (err == CS_OK) {
        err = free_place(d, all, num);
    }
    if (err == CS_OK && !d->stop_wanted) {
        err = run_enclave(d);
    } else if (err == CS_OK) {
        err = CS_E_NITRO_GONE;
    }
    if (err != CS_OK) {
        report_started(d, err);
    }
}

static void on_timer(void *cookie)
{
    cs_driver *d = cookie;
    cs_err err = CS_OK;

    if (d->state == LOCKING && d->stop_wanted) {
        report_stopped(d, CS_OK);
        return;
    }
    if (d->state == LOCKING && flock(d->lock, LOCK_EX | LOCK_NB) != 0) {
        d->waited_ms += LOCK_POLL_MS;
        if (d->waited_ms < LOCK_MS) {
            cs_timer_start(d->timer, LOCK_POLL_MS, 0);
            return;
        }
        (void)snprintf(d->detail, sizeof d->detail, "another sign-host has been starting an enclave for too long");
        err = CS_E_TIMEOUT;
    } else if (d->state == LOCKING) {
        d->state = LISTING;
        err = list(d, on_first_list);
    } else if (d->state == RUNNING && d->task == NULL) {
        if (list(d, on_poll_list) != CS_OK) {
            cs_timer_start(d->timer, POLL_MS, 0);
        }
        return;
    } else if (d->state == STOPPING && d->task == NULL) {
        terminate(d);
        return;
    }
    if (err != CS_OK) {
        report_started(d, err);
    }
}

/* One that is there is opened without O_CREAT: the kernel refuses that for other users' files in such folders. */
static int open_lock_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0) {
        fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    }
    return fd;
}

/* The lock is the machine's: of /run/lock where that can be written, else of /tmp; of the directory of a test. */
static int open_start_lock(const char *vsock_dir)
{
    char path[512];

    if (vsock_dir != NULL) {
        (void)snprintf(path, sizeof path, "%.480s/start.lock", vsock_dir);
        return open_lock_file(path);
    }
    int fd = open_lock_file("/run/lock/sign-host-start.lock");
    return fd >= 0 ? fd : open_lock_file("/tmp/sign-host-start.lock");
}

static void nitro_free(cs_driver *d)
{
    if (d == NULL) {
        return;
    }
    cs_task_free(d->task);
    cs_timer_free(d->timer);
    unlock(d);
    free(d);
}

static cs_err nitro_start(cs_driver **out, const cs_driver_opts *o, const cs_driver_events *ev, void *cookie)
{
    cs_driver *d = calloc(1, sizeof *d);

    if (d == NULL) {
        return CS_E_NO_MEMORY;
    }
    *d = (cs_driver){.o = *o, .ev = ev, .cookie = cookie, .state = LOCKING, .me = {.cid = o->cid}};
    d->lock = open_start_lock(o->vsock_dir);
    cs_err err = d->lock >= 0 ? cs_timer_new(&d->timer, o->loop, on_timer, d) : CS_E_IO;
    if (err != CS_OK) {
        nitro_free(d);
        return err;
    }
    cs_timer_start(d->timer, 0, 0);
    *out = d;
    return CS_OK;
}

/* ---------------------------------------------------------------- stop */

static void on_last_list(void *cookie, const cs_task_end *end)
{
    cs_driver *d = cookie;
    cs_nitro_enclave all[CS_NITRO_LIST_MAX];
    size_t num = 0;
    char said[CS_DRIVER_TEXT];

    d->task = NULL;
    (void)snprintf(said, sizeof said, "%s", d->detail);
    cs_err err = verdict(d, end);
    if (err == CS_OK) {
        err = cs_nitro_parse_list(all, &num, CS_NITRO_LIST_MAX, end->out);
    }
    bool there = err != CS_OK;
    for (size_t i = 0; err == CS_OK && i < num; i++) {
        bool mine = d->me.id[0] != '\0' ? strcmp(all[i].id, d->me.id) == 0 : strcmp(all[i].name, d->o.name) == 0;
        if (mine) {
            d->me = all[i];
            there = true;
        }
    }
    (void)snprintf(d->detail, sizeof d->detail, "%s", said);
    if (there && ++d->stop_tries < STOP_TRIES) {
        cs_timer_start(d->timer, 500, 0); /* once more */
        return;
    }
    if (d->uncertain) {
        report_started(d, d->outcome);
        return;
    }
    report_stopped(d, there ? CS_E_NITRO : CS_OK);
}

static void on_terminated(void *cookie, const cs_task_end *end)
{
    cs_driver *d = cookie;

    d->task = NULL;
    (void)verdict(d, end);
    /* what counts is the list, whatever terminate-enclave said */
    if (list(d, on_last_list) != CS_OK) {
        report_stopped(d, CS_E_LAUNCH);
    }
}

static void terminate(cs_driver *d)
{
    bool by_id = d->me.id[0] != '\0';
    const char *argv[] = {d->o.tool, "terminate-enclave", by_id ? "--enclave-id" : "--enclave-name",
                          by_id ? d->me.id : d->o.name, NULL};

    d->state = STOPPING;
    cs_timer_stop(d->timer);
    if (run_cli(d, argv, TERMINATE_MS, on_terminated) != CS_OK) {
        report_stopped(d, CS_E_LAUNCH);
    }
}

static void nitro_stop(cs_driver *d)
{
    d->stop_wanted = true;
    if (d->state == RUNNING) {
        cs_task_free(d->task); /* a poll */
        d->task = NULL;
        terminate(d);
    } else if (d->state == LOCKING) {
        cs_timer_start(d->timer, 0, 0);
    }
    /* else when nitro-cli has answered: an enclave that it has begun to start cannot be named before */
}

/* ---------------------------------------------------------------- where and what */

void cs_driver_parent_port(cs_endpoint *out, const char *vsock_dir, uint32_t port)
{
    *out = (cs_endpoint){.scheme = CS_EP_VSOCK, .cid = CS_EP_CID_ANY, .port = port};
    if (vsock_dir != NULL) {
        *out = (cs_endpoint){.scheme = CS_EP_UNIX};
        (void)snprintf(out->host, sizeof out->host, "%.200s/parent-%u.sock", vsock_dir, port);
    }
}

static void nitro_enclave_port(const cs_driver *d, cs_endpoint *out, uint32_t port)
{
    uint32_t cid = d->o.peer_cid != 0 ? d->o.peer_cid : d->me.cid;

    *out = (cs_endpoint){.scheme = CS_EP_VSOCK, .cid = cid, .port = port};
    if (d->o.vsock_dir != NULL) {
        *out = (cs_endpoint){.scheme = CS_EP_UNIX};
        (void)snprintf(out->host, sizeof out->host, "%.200s/%u/enclave-%u.sock", d->o.vsock_dir, d->me.cid, port);
    }
}

static uint32_t nitro_cid(const cs_driver *d)
{
    return d->me.cid;
}

static const char *nitro_id(const cs_driver *d)
{
    return d->me.id;
}

static void nitro_look(cs_driver *d)
{
    if (d->state == RUNNING && d->task == NULL) {
        cs_timer_start(d->timer, 0, 0);
    }
}

const cs_driver_ops cs_driver_nitro = {
    .name = "nitro",
    .start = nitro_start,
    .enclave_port = nitro_enclave_port,
    .cid = nitro_cid,
    .id = nitro_id,
    .look = nitro_look,
    .stop = nitro_stop,
    .free = nitro_free,
};
