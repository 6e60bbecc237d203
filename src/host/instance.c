/* See instance.h. */
#include "host/instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "host/provision.h"

struct cs_instance {
    cs_instance_opts o;
    const cs_instance_events *ev;
    void *cookie;
    cs_instance_state state;
    cs_driver *driver;
    cs_task *provision; /* the first one, or a reload */
    bool reloading, fetched;
    cs_timer *soon; /* down is never said from within a call */
    uint64_t begun_ms, since_ms, expires_ms;
    cs_err err, start_err; /* of the end; of a driver that could not begin */
    char detail[CS_DRIVER_TEXT];
    cs_err provision_err;
    char provision_detail[200];
};

static const char *const names[] = {"FETCHING", "STARTING", "INJECTING", "SERVING", "STOPPING", "ENDED"};

/* ---------------------------------------------------------------- the end */

static void end(cs_instance *i, cs_err err, const char *detail);

static void on_soon(void *cookie)
{
    cs_instance *i = cookie;

    if (i->state == CS_INST_STARTING) {
        end(i, i->start_err, "the driver could not begin");
        return;
    }
    if (i->reloading) { /* whoever waits for it is told first */
        i->reloading = false;
        i->ev->reloaded(i->cookie, i, CS_E_ENCLAVE_DIED, i->detail);
    }
    i->state = CS_INST_ENDED;
    i->ev->down(i->cookie, i, i->err, i->detail);
}

static void say_down(cs_instance *i)
{
    cs_driver *d = i->driver;

    i->driver = NULL;
    i->state = CS_INST_STOPPING;
    if (d != NULL) {
        i->o.ops->free(d);
    }
    cs_timer_start(i->soon, 0, 0);
}

static void set_end(cs_instance *i, cs_err err, const char *detail)
{
    if (i->err == CS_OK) {
        i->err = err;
        (void)snprintf(i->detail, sizeof i->detail, "%s", detail);
    }
}

/* Ends whatever there is of it. */
static void end(cs_instance *i, cs_err err, const char *detail)
{
    if (i->state == CS_INST_STOPPING || i->state == CS_INST_ENDED) {
        return;
    }
    set_end(i, err, detail);
    i->state = CS_INST_STOPPING;
    cs_task_free(i->provision); /* the injecting child is never left */
    i->provision = NULL;
    if (i->driver != NULL) {
        i->o.ops->stop(i->driver);
    } else {
        cs_timer_start(i->soon, 0, 0);
    }
}

/* ---------------------------------------------------------------- the child */

static void go_on(cs_instance *i)
{
    static const uint32_t ports[] = {7100, 7101, 7102};
    cs_provision_go go;

    memset(&go, 0, sizeof go);
    for (int k = 0; k < 3; k++) {
        i->o.ops->enclave_port(i->driver, &go.to[k], cs_host_port(&i->o.preload.ports, ports[k]));
    }
    i->o.ops->enclave_port(i->driver, &go.grpc, 50051);
    (void)!cs_task_tell(i->provision, &go, sizeof go); /* when it has gone, its end says why */
}

static void start_driver(cs_instance *i);

static void on_line(void *cookie, const char *line)
{
    cs_instance *i = cookie;
    uint64_t ms = 0;

    if (line[0] == 'E' && line[1] == ' ') {
        i->provision_err = cs_provision_parse(i->provision_detail, line);
    } else if (line[0] == 'X' && line[1] == ' ') {
        i->expires_ms = cs_parse_u64(cs_slice_str(line + 2), UINT64_MAX, &ms) == CS_OK ? ms : 0;
    } else if (strcmp(line, "F") == 0) {
        i->fetched = true;
        if (i->state == CS_INST_FETCHING) {
            start_driver(i);
        } else if (i->state == CS_INST_SERVING) {
            go_on(i);
        }
    }
}

static void on_provisioned(void *cookie, const cs_task_end *e)
{
    cs_instance *i = cookie;
    cs_err err = e->status == 0 ? CS_OK : i->provision_err != CS_OK ? i->provision_err : CS_E_NOT_SERVING;

    i->provision = NULL;
    if (i->reloading) {
        i->reloading = false;
        i->ev->reloaded(i->cookie, i, err, i->provision_detail);
        return;
    }
    if (err != CS_OK) {
        end(i, err, i->provision_detail);
        return;
    }
    i->state = CS_INST_SERVING;
    i->since_ms = cs_clock_mono_ms();
    i->ev->up(i->cookie, i);
}

static cs_err start_provision(cs_instance *i, const char *order)
{
    cs_preload_opts o = i->o.preload;

    o.order = order;
    i->fetched = false;
    i->provision_err = CS_OK;
    i->provision_detail[0] = '\0';
    return cs_task_fork(&i->provision, i->o.driver.tasks, cs_provision_child, &o, on_line, on_provisioned, i);
}

/* ---------------------------------------------------------------- the driver */

static void on_started(void *cookie, cs_err err, const char *detail)
{
    cs_instance *i = cookie;

    cs_phase("start enclave", i->begun_ms, err, i->o.driver.debug ? "DEBUG MODE" : "");
    if (err != CS_OK) {
        cs_driver *d = i->driver;
        i->driver = NULL;
        char text[CS_DRIVER_TEXT];
        (void)snprintf(text, sizeof text, "%s", detail);
        i->o.ops->free(d);
        end(i, err, text);
        return;
    }
    if (i->state != CS_INST_STARTING) {
        return; /* it is being stopped: stopped follows */
    }
    i->state = CS_INST_INJECTING;
    i->ev->started(i->cookie, i);
    go_on(i);
}

static void on_ended(void *cookie, const char *why)
{
    cs_instance *i = cookie;

    set_end(i, CS_E_ENCLAVE_DIED, why);
    cs_task_free(i->provision);
    i->provision = NULL;
    say_down(i);
}

static void on_stopped(void *cookie, cs_err err, const char *detail)
{
    cs_instance *i = cookie;

    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "terminate", err, CS_LC("enclave", i->o.driver.name), CS_LC("detail", detail));
        set_end(i, err, detail);
    }
    say_down(i);
}

static const cs_driver_events driver_events = {.started = on_started, .ended = on_ended, .stopped = on_stopped};

static void start_driver(cs_instance *i)
{
    i->state = CS_INST_STARTING;
    i->begun_ms = cs_clock_mono_ms();
    cs_err err = i->o.ops->start(&i->driver, &i->o.driver, &driver_events, i);
    if (err != CS_OK) { /* said from the loop: this may be called while the child's lines are read */
        i->start_err = err;
        cs_timer_start(i->soon, 0, 0);
    }
}

/* ---------------------------------------------------------------- the object */

cs_err cs_instance_new(cs_instance **out, const cs_instance_opts *o, const cs_instance_events *ev, void *cookie)
{
    cs_instance *i = calloc(1, sizeof *i);

    if (i == NULL) {
        return CS_E_NO_MEMORY;
    }
    *i = (cs_instance){.o = *o, .ev = ev, .cookie = cookie, .state = CS_INST_FETCHING};
    cs_err err = cs_timer_new(&i->soon, o->driver.loop, on_soon, i);
    if (err == CS_OK) {
        err = start_provision(i, o->no_preload ? "" : o->preload.order);
    }
    if (err != CS_OK) {
        cs_instance_free(i);
        return err;
    }
    *out = i;
    return CS_OK;
}

void cs_instance_stop(cs_instance *i)
{
    end(i, CS_OK, "");
}

cs_err cs_instance_reload(cs_instance *i, const char *order)
{
    if (i->state != CS_INST_SERVING || i->provision != NULL) {
        return CS_E_REPLACE_BUSY;
    }
    CS_TRY(start_provision(i, order));
    i->reloading = true;
    return CS_OK;
}

void cs_instance_look(cs_instance *i)
{
    if (i->driver != NULL) {
        i->o.ops->look(i->driver);
    }
}

cs_instance_state cs_instance_state_of(const cs_instance *i)
{
    return i->state;
}

const char *cs_instance_state_name(cs_instance_state s)
{
    return names[s];
}

uint32_t cs_instance_cid(const cs_instance *i)
{
    return i->driver != NULL ? i->o.ops->cid(i->driver) : i->o.driver.cid;
}

const char *cs_instance_id(const cs_instance *i)
{
    return i->driver != NULL ? i->o.ops->id(i->driver) : "";
}

const cs_instance_opts *cs_instance_options(const cs_instance *i)
{
    return &i->o;
}

void cs_instance_grpc(const cs_instance *i, cs_endpoint *out)
{
    *out = (cs_endpoint){.scheme = CS_EP_VSOCK, .cid = i->o.driver.cid, .port = 50051};
    if (i->driver != NULL) {
        i->o.ops->enclave_port(i->driver, out, 50051);
    }
}

uint64_t cs_instance_expires_ms(const cs_instance *i)
{
    return i->expires_ms;
}

uint64_t cs_instance_since_ms(const cs_instance *i)
{
    return i->since_ms;
}

bool cs_instance_fetched(const cs_instance *i)
{
    return i->fetched;
}

void cs_instance_free(cs_instance *i)
{
    if (i == NULL) {
        return;
    }
    cs_task_free(i->provision);
    if (i->driver != NULL) {
        i->o.ops->free(i->driver);
    }
    cs_timer_free(i->soon);
    free(i);
}
