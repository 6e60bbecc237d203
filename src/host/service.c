/* Life of the service: start, restart with back-off, replacement, stop. See service.h. */
#include "host/service.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "host/eif_file.h"
#include "host/service_int.h"

#define DRAIN_TURN_MS 50u
#define LEASE_RETRY_MS 10000u
#define CID_TRIES 8u
#define LEASE_MIN_MS 1000u
#define LEASE_MAX_MS                                                                                                   \
    60000u /* a sign-kms that was started again has none: nobody inside an enclave is believed who says so */

static const cs_instance_events events;

static void tell(cs_service *s, const char *text)
{
    char line[CS_DRIVER_TEXT + 32];

    (void)printf("sign-host: %s\n", text);
    (void)fflush(stdout);
    (void)snprintf(line, sizeof line, "STATUS=%s", text);
    cs_notify_say(s->notify, line);
    cs_service_write_run(s);
}

/* ---------------------------------------------------------------- start and restart */

static void leave(cs_service *s, cs_err err, const char *detail)
{
    s->outcome = err;
    (void)snprintf(s->why, sizeof s->why, "%s", detail);
    s->stopping = true;
    cs_loop_stop(s->loop);
}

static void again_later(cs_service *s, cs_err err, const char *detail)
{
    char text[CS_DRIVER_TEXT];

    s->last = err;
    (void)snprintf(text, sizeof text, "%s: %.120s; starts again in %u.%u s", cs_err_code(err), detail,
                   s->backoff_ms / 1000, s->backoff_ms / 100 % 10);
    cs_log_err(CS_LOG_ERROR, "enclave_down", err, CS_LC("detail", detail), CS_LU("again_ms", s->backoff_ms));
    cs_timer_start(s->again, s->backoff_ms, 0);
    s->backoff_ms = 2 * s->backoff_ms < CS_SERVICE_BACKOFF_MAX_MS ? 2 * s->backoff_ms : CS_SERVICE_BACKOFF_MAX_MS;
    tell(s, text);
}

/* The file may be another one by now: that is started, but not without a word; a damaged one is not. */
static cs_err check_image(cs_service *s)
{
    cs_eif_file eif;

    CS_TRY(cs_eif_file_read(&eif, s->now.driver.eif));
    if (s->now.driver.memory_mib < cs_eif_file_memory(&eif)) {
        return CS_E_NITRO_MEMORY;
    }
    if (memcmp(&eif.pcr[0], &s->pcr0, sizeof s->pcr0) != 0 && !cs_pcr_is_zero(&s->pcr0)) {
        cs_log(CS_LOG_WARN, "image_changed", CS_LC("eif", s->now.driver.eif),
               CS_LHEX("pcr0", cs_slice_of(eif.pcr[0].b, CS_PCR_LEN)));
    }
    s->pcr0 = eif.pcr[0];
    return CS_OK;
}

static void on_again(void *cookie)
{
    cs_service *s = cookie;

    if (s->stopping || s->active != NULL) {
        return;
    }
    s->restarts++;
    cs_err err = check_image(s);
    if (err == CS_OK) {
        err = cs_instance_new(&s->active, &s->now, &events, s);
    }
    if (err != CS_OK) {
        again_later(s, err, s->now.driver.eif);
    }
}

bool cs_service_admits(const cs_service *s, const cs_ep_peer *peer)
{
    const cs_instance *all[] = {s->active, s->next, s->old};

    if (peer->scheme != CS_EP_VSOCK) {
        return true; /* unix sockets of tests: mode 0600 */
    }
    for (size_t i = 0; i < 3; i++) {
        uint32_t cid = s->o.peer_cid != 0 || all[i] == NULL ? s->o.peer_cid : cs_instance_cid(all[i]);
        if (all[i] != NULL && peer->cid == cid) {
            return true;
        }
    }
    return false;
}

/* ---------------------------------------------------------------- drain and stop */

/* Ends what is to end now: the replaced enclave, or at a stop all of them. */
static void stop_drained(cs_service *s)
{
    cs_timer_stop(s->drain);
    cs_service_ports_cut(s->ports);
    cs_instance *all[] = {s->old, s->stopping ? s->active : NULL, s->stopping ? s->next : NULL};
    for (size_t i = 0; i < 3; i++) {
        if (all[i] != NULL) {
            cs_instance_stop(all[i]);
        }
    }
    if (s->stopping && s->active == NULL && s->next == NULL && s->old == NULL) {
        cs_loop_stop(s->loop);
    }
}

static void on_drain(void *cookie)
{
    cs_service *s = cookie;
    unsigned open = s->stopping ? cs_service_ports_clients(s->ports) : cs_service_ports_draining(s->ports);

    if (open == 0 || cs_clock_mono_ms() >= s->drain_until_ms) {
        stop_drained(s);
    }
}

static void begin_drain(cs_service *s)
{
    s->drain_until_ms = cs_clock_mono_ms() + s->o.drain_ms;
    cs_timer_start(s->drain, 0, DRAIN_TURN_MS);
}

static void on_stop(void *cookie)
{
    cs_service *s = cookie;

    if (s->stopping) { /* asked twice: at once */
        s->drain_until_ms = 0;
        return;
    }
    s->stopping = true;
    cs_notify_say(s->notify, "STOPPING=1");
    tell(s, "stopping");
    cs_timer_stop(s->again);
    cs_timer_stop(s->lease);
    cs_service_ports_close(s->ports);
    cs_control_done(s->control, 0, CS_E_CLOSED, "sign-host is being stopped");
    if (s->next != NULL) {
        cs_instance_stop(s->next);
    }
    if (s->active != NULL && cs_instance_state_of(s->active) != CS_INST_SERVING) {
        s->drain_until_ms = 0;
        cs_timer_start(s->drain, 0, DRAIN_TURN_MS);
        return;
    }
    begin_drain(s);
}

/* ---------------------------------------------------------------- lease and reload */

static void set_lease(cs_service *s)
{
    uint64_t expires = s->active != NULL ? cs_instance_expires_ms(s->active) : 0, now = cs_clock_wall_ms();
    uint64_t left = expires > now ? expires - now : 0;

    if (s->o.lease_ms != 0 && expires != 0) { /* half-way, when they live no longer than that */
        uint64_t after = left > 2 * s->o.lease_ms ? left - s->o.lease_ms : left / 2;
        after = after < LEASE_MAX_MS ? after : LEASE_MAX_MS;
        cs_timer_start(s->lease, after > LEASE_MIN_MS ? after : LEASE_MIN_MS, 0);
    }
}

static void on_lease(void *cookie)
{
    cs_service *s = cookie;

    if (s->active == NULL || cs_instance_reload(s->active, "k") != CS_OK) {
        cs_timer_start(s->lease, LEASE_RETRY_MS, 0);
    }
}

cs_err cs_service_reload(cs_service *s)
{
    if (s->active == NULL || s->stopping) {
        return CS_E_NOT_SERVING;
    }
    return cs_instance_reload(s->active, s->now.preload.order);
}

static void on_hup(void *cookie)
{
    cs_service *s = cookie;

    cs_err err = cs_service_reload(s);
    if (err != CS_OK) {
        cs_log_err(CS_LOG_WARN, "reload", err, CS_LC("by", "SIGHUP"));
    }
}

/* An injection that broke off where the enclave asks KMS: what stands between is known here. */
static cs_err because(const cs_service *s, const cs_instance *i, cs_err err, char text[CS_DRIVER_TEXT])
{
    char from[CS_DRIVER_TEXT], why[CS_DRIVER_TEXT] = "";
    bool broken = err == CS_E_CLOSED || err == CS_E_CONNECT || err == CS_E_IO || err == CS_E_TIMEOUT;
    cs_err found = broken && cs_instance_fetched(i) ? cs_service_ports_kms(s->ports, why) : CS_OK;

    if (found == CS_OK) {
        return err;
    }
    (void)snprintf(from, sizeof from, "%s", text);
    (void)snprintf(text, CS_DRIVER_TEXT, "%.150s (%.60s)", why, from);
    return found;
}

static void on_reloaded(void *cookie, cs_instance *i, cs_err err, const char *said)
{
    cs_service *s = cookie;
    char detail[CS_DRIVER_TEXT];

    (void)snprintf(detail, sizeof detail, "%s", said);
    err = because(s, i, err, detail);
    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "reload", err, CS_LC("detail", detail));
        cs_timer_start(s->lease, LEASE_RETRY_MS, 0);
    } else {
        set_lease(s);
    }
    if (i == s->active) {
        cs_service_write_run(s);
        cs_control_done(s->control, 'r', err, detail);
    }
}

/* ---------------------------------------------------------------- enclaves come and go */

static void on_started(void *cookie, cs_instance *i)
{
    (void)i;
    cs_service_write_run(cookie); /* so that whoever comes after a kill knows whom to end */
}

/* The replacement serves: what is new goes to it, what is open may end where it is. */
static void switch_over(cs_service *s)
{
    s->old = s->active;
    s->active = s->next;
    s->next = NULL;
    s->now = *cs_instance_options(s->active);
    memset(&s->pcr0, 0, sizeof s->pcr0); /* the next start's, whatever it is */
    s->replacements++;
    if (s->old != NULL) {
        begin_drain(s);
    } else {
        cs_service_ports_cut(s->ports);
        cs_control_done(s->control, 'b', CS_OK, "");
    }
}

static void on_up(void *cookie, cs_instance *i)
{
    cs_service *s = cookie;
    cs_endpoint grpc;
    char text[CS_DRIVER_TEXT];

    cs_instance_grpc(i, &grpc);
    cs_err err = cs_service_ports_to(s->ports, &grpc);
    if (err != CS_OK) { /* no descriptor, no memory: this one cannot be reached */
        cs_log_err(CS_LOG_ERROR, "ingress", err, CS_LC("enclave", cs_instance_id(i)));
        cs_instance_stop(i);
        return;
    }
    if (i == s->next) {
        switch_over(s);
    }
    s->served = true;
    s->last = CS_OK;
    set_lease(s);
    (void)snprintf(text, sizeof text, "enclave %.100s (CID %u) %s%s", s->now.driver.name, cs_instance_cid(i),
                   s->now.no_preload ? "answers" : "serves", s->now.driver.debug ? ", DEBUG MODE" : "");
    cs_notify_say(s->notify, "READY=1");
    tell(s, text);
}

static void active_down(cs_service *s, cs_err err, const char *detail, uint64_t lived_ms)
{
    if (s->stopping) {
        return;
    }
    err = err != CS_OK ? err : CS_E_ENCLAVE_DIED;
    if (!s->served && !s->o.keep) {
        leave(s, err, detail);
        return;
    }
    if (lived_ms >= CS_SERVICE_STABLE_MS) {
        s->backoff_ms = s->o.restart_ms;
    }
    if (s->next != NULL) { /* its replacement is on its way */
        s->last = err;
        tell(s, "the enclave ended while its replacement starts");
        return;
    }
    again_later(s, err, detail);
}

/* A replacement takes the next CID that is free. */
static bool other_cid(cs_service *s, cs_err err, cs_instance_opts *tried)
{
    tried->driver.cid++;
    return err == CS_E_NITRO_CID && s->cid_tries++ < CID_TRIES && cs_instance_new(&s->next, tried, &events, s) == CS_OK;
}

static void on_down(void *cookie, cs_instance *i, cs_err err, const char *detail)
{
    cs_service *s = cookie;
    uint64_t since = cs_instance_since_ms(i), lived = since != 0 ? cs_clock_mono_ms() - since : 0;
    char text[CS_DRIVER_TEXT];

    (void)snprintf(text, sizeof text, "%s", detail);
    cs_instance **slot = i == s->active ? &s->active : i == s->next ? &s->next : &s->old;
    bool active = slot == &s->active, next = slot == &s->next;
    cs_instance_opts tried = *cs_instance_options(i);
    err = because(s, i, err, text);
    *slot = NULL;
    cs_instance_free(i);
    if (next && !s->stopping && other_cid(s, err, &tried)) {
        return;
    }
    if (active) {
        active_down(s, err, text, lived);
    } else if (next && !s->stopping) {
        cs_control_done(s->control, 'b', err != CS_OK ? err : CS_E_ENCLAVE_DIED, text);
        tell(s, "the replacement failed; the enclave before it serves on");
        if (s->active == NULL) {
            again_later(s, s->last, "the enclave and its replacement ended");
        }
    } else if (!next && !s->stopping) {
        cs_timer_stop(s->drain);
        cs_service_ports_cut(s->ports);
        cs_control_done(s->control, 'b', CS_OK, "");
        tell(s, "the enclave has been replaced");
    }
    if (s->stopping && s->active == NULL && s->next == NULL && s->old == NULL) {
        cs_loop_stop(s->loop);
    }
    cs_service_write_run(s);
}

static const cs_instance_events events = {.started = on_started, .up = on_up, .down = on_down, .reloaded = on_reloaded};

/* ---------------------------------------------------------------- replacement */

/* The texts of the replacement live as long as it may be restarted: one of two places, in turn. */
static void apply(cs_service *s, cs_instance_opts *o, const cs_service_change *c)
{
    cs_service_change *mine = &s->change[s->now.driver.eif == s->change[0].eif];
    const char *name = s->now.driver.name;

    *mine = *c;
    (void)snprintf(mine->name, sizeof mine->name, "%.128s%s", s->o.base_name,
                   strcmp(name, s->o.base_name) == 0 ? "-2" : "");
    o->driver.eif = mine->eif;
    o->driver.name = mine->name;
    o->driver.memory_mib = c->memory_mib;
    o->driver.cpu_count = c->cpu_count;
    o->driver.debug = c->debug;
    o->driver.cid = s->now.driver.cid == s->o.instance.driver.cid ? s->now.driver.cid + 1 : s->o.instance.driver.cid;
    if (mine->age_uri[0] != '\0') {
        o->preload.age_uri = mine->age_uri;
    }
    if (mine->shares_uri[0] != '\0') {
        o->preload.shares_uri = mine->shares_uri;
    }
}

cs_err cs_service_replace(cs_service *s, const cs_service_change *c, char why[CS_DRIVER_TEXT])
{
    cs_instance_opts o = s->now;

    (void)snprintf(why, CS_DRIVER_TEXT, "nothing has been changed");
    if (s->stopping || s->next != NULL || s->old != NULL ||
        (s->active != NULL && cs_instance_state_of(s->active) != CS_INST_SERVING)) {
        return CS_E_REPLACE_BUSY;
    }
    apply(s, &o, c);
    s->cid_tries = 0;
    cs_timer_stop(s->again);
    cs_err err = cs_instance_new(&s->next, &o, &events, s);
    if (err == CS_OK) {
        tell(s, "starting a replacement");
    }
    return err;
}

/* ---------------------------------------------------------------- run */

static cs_err open_service(cs_service *s)
{
    static const struct {
        int number;
        cs_loop_fn *fn;
    } rows[] = {{SIGTERM, on_stop}, {SIGINT, on_stop}, {SIGHUP, on_hup}};

    CS_TRY(cs_loop_new(&s->loop));
    CS_TRY(cs_tasks_new(&s->tasks, s->loop));
    s->now.driver.loop = s->loop;
    s->now.driver.tasks = s->tasks;
    for (size_t i = 0; i < 3; i++) {
        CS_TRY(cs_signal_new(&s->signals[i], s->loop, rows[i].number, rows[i].fn, s));
    }
    CS_TRY(cs_timer_new(&s->again, s->loop, on_again, s));
    CS_TRY(cs_timer_new(&s->drain, s->loop, on_drain, s));
    CS_TRY(cs_timer_new(&s->lease, s->loop, on_lease, s));
    CS_TRY(cs_notify_new(&s->notify, s->loop));
    CS_TRY(cs_service_ports_open(&s->ports, s, s->why));
    (void)snprintf(s->why, sizeof s->why, "the control socket in %.150s", s->o.dir);
    CS_TRY(cs_control_new(&s->control, s));
    s->why[0] = '\0';
    cs_service_write_run(s);
    CS_TRY(check_image(s));
    return cs_instance_new(&s->active, &s->now, &events, s);
}

static cs_loop *last_loop;

static void close_service(cs_service *s)
{
    char path[CS_HOST_PATH_MAX];

    cs_control_free(s->control);
    cs_instance_free(s->active);
    cs_instance_free(s->next);
    cs_instance_free(s->old);
    cs_service_ports_free(s->ports);
    cs_notify_free(s->notify);
    cs_timer_free(s->again);
    cs_timer_free(s->drain);
    cs_timer_free(s->lease);
    for (size_t i = 0; i < 3; i++) {
        cs_signal_free(s->signals[i]);
    }
    cs_tasks_free(s->tasks);
    (void)snprintf(path, sizeof path, "%s/run.json", s->o.dir);
    (void)unlink(path);
    /* not freed: last bytes to a peer that does not read may still wait in it, for minutes; the process ends now */
    last_loop = s->loop;
}

cs_err cs_service_run(const cs_service_opts *o, char why[CS_DRIVER_TEXT])
{
    cs_service *s = calloc(1, sizeof *s);

    if (s == NULL) {
        return CS_E_NO_MEMORY;
    }
    *s = (cs_service){.o = *o, .now = o->instance, .backoff_ms = o->restart_ms};
    s->begun_ms = cs_clock_mono_ms();
    cs_err err = open_service(s);
    if (err == CS_OK) {
        cs_loop_run(s->loop);
        err = s->outcome;
    }
    (void)snprintf(why, CS_DRIVER_TEXT, "%s", s->why);
    close_service(s);
    free(s);
    return err;
}
