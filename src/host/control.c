/*
 * DIR/control.sock (mode 0600): what `sign-host status`, `reload` and `run --replace` ask of the sign-host that runs there. One line of
 * JSON each way. And run.json.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/text.h"
#include "host/service_int.h"
#include "net/aws/json.h"
#include "net/stream.h"

#define LINE 8192u
#define PEERS 16
#define IDLE_MS 5000u

struct peer {
    cs_control *owner;
    cs_stream *stream;
    cs_timer *idle; /* a question must come in this time */
    cs_buf line;
    char waits; /* for the end of a reload ('r') or replacement ('b'); 0: for nothing */
};

struct cs_control {
    cs_service *s;
    cs_listener *listener;
    char path[CS_HOST_PATH_MAX];
    struct peer peers[PEERS];
};

/* ---------------------------------------------------------------- answers */

static void drop(struct peer *p)
{
    cs_stream_free(p->stream);
    cs_timer_free(p->idle);
    cs_buf_free(&p->line);
    *p = (struct peer){.owner = p->owner};
}

static void answer(struct peer *p, const cs_buf *json)
{
    cs_stream *stream = p->stream;

    if (cs_stream_write(stream, cs_buf_slice(json)) == CS_OK && cs_stream_write(stream, cs_slice_str("\n")) == CS_OK) {
        p->stream = NULL;
        cs_stream_free_when_sent(stream, IDLE_MS);
    }
    drop(p);
}

static void answer_code(struct peer *p, cs_err err, const char *detail)
{
    uint8_t mem[1024];
    cs_buf json = cs_buf_wrap(mem, sizeof mem);
    cs_jw w = cs_jw_begin(&json);

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "code", cs_err_code(err));
    cs_jw_cstr(&w, "detail", detail);
    cs_jw_close_object(&w);
    if (cs_jw_end(&w) != CS_OK) {
        drop(p);
        return;
    }
    answer(p, &json);
}

void cs_control_done(cs_control *c, char what, cs_err err, const char *detail)
{
    for (int i = 0; c != NULL && i < PEERS; i++) {
        if (c->peers[i].waits != 0 && (what == 0 || c->peers[i].waits == what)) {
            answer_code(&c->peers[i], err, detail);
        }
    }
}

/* ---------------------------------------------------------------- status, run.json */

/* Its members have other names in the list of enclaves and beside those of the host. */
typedef struct names {
    const char *name, *id, *grpc;
} names;

static void put_enclave(cs_jw *w, const cs_instance *i, const names *n)
{
    uint8_t mem[CS_EP_TEXT_MAX];
    cs_buf text = cs_buf_wrap(mem, sizeof mem);
    const cs_instance_opts *o = cs_instance_options(i);
    cs_endpoint grpc;

    cs_instance_grpc(i, &grpc);
    cs_jw_cstr(w, n->name, o->driver.name);
    cs_jw_cstr(w, n->id, cs_instance_id(i));
    cs_jw_u64(w, "cid", cs_instance_cid(i));
    cs_jw_cstr(w, "eif", o->driver.eif);
    cs_jw_bool(w, "debug_mode", o->driver.debug);
    if (cs_endpoint_format(&text, &grpc) == CS_OK) {
        cs_jw_str(w, n->grpc, cs_buf_slice(&text));
    }
    if (cs_instance_since_ms(i) != 0) {
        cs_jw_u64(w, "uptime_ms", cs_clock_mono_ms() - cs_instance_since_ms(i));
    }
}

static void put_instance(cs_jw *w, const char *role, const cs_instance *i)
{
    static const names listed = {"name", "id", "grpc"};

    if (i == NULL) {
        return;
    }
    cs_jw_object(w, NULL);
    cs_jw_cstr(w, "role", role);
    cs_jw_cstr(w, "state", cs_instance_state_name(cs_instance_state_of(i)));
    put_enclave(w, i, &listed);
    cs_jw_close_object(w);
}

static void put_instances(cs_jw *w, const cs_service *s)
{
    cs_jw_array(w, "enclaves");
    put_instance(w, "active", s->active);
    put_instance(w, "replacement", s->next);
    put_instance(w, "draining", s->old);
    cs_jw_close_array(w);
}

static void put_where(cs_jw *w, const cs_service *s)
{
    uint8_t mem[CS_EP_TEXT_MAX];
    cs_buf text = cs_buf_wrap(mem, sizeof mem);

    cs_jw_u64(w, "pid", (uint64_t)getpid());
    cs_jw_cstr(w, "driver", s->now.ops->name);
    if (cs_endpoint_format(&text, cs_service_ports_where(s->ports)) == CS_OK) {
        cs_jw_str(w, "grpc", cs_buf_slice(&text));
    }
    cs_jw_cstr(w, "tool", s->now.driver.tool);
    cs_jw_cstr(w, "base_name", s->o.base_name);
}

/* Of the enclave that serves, flat: what `sign-host status` reads. */
static void put_active(cs_jw *w, const cs_instance *i)
{
    static const names flat = {"enclave_name", "enclave_id", "enclave_grpc"};
    uint8_t mem[CS_EP_TEXT_MAX];
    cs_buf text = cs_buf_wrap(mem, sizeof mem);

    if (i == NULL) {
        return;
    }
    put_enclave(w, i, &flat);
    if (cs_instance_expires_ms(i) != 0 && cs_put_rfc3339(&text, cs_instance_expires_ms(i)) == CS_OK) {
        cs_jw_str(w, "credentials_expire", cs_buf_slice(&text));
    }
}

static cs_err put_status(cs_buf *out, const cs_service *s)
{
    cs_service_bridge bridges[8];
    size_t num = cs_service_ports_list(s->ports, bridges);
    cs_jw w = cs_jw_begin(out);

    cs_jw_object(&w, NULL);
    put_where(&w, s);
    cs_jw_cstr(&w, "state",
               s->stopping         ? "STOPPING"
               : s->active == NULL ? "WAITING_TO_RESTART"
                                   : cs_instance_state_name(cs_instance_state_of(s->active)));
    cs_jw_u64(&w, "host_uptime_ms", cs_clock_mono_ms() - s->begun_ms);
    cs_jw_u64(&w, "restarts", s->restarts);
    cs_jw_u64(&w, "replacements", s->replacements);
    cs_jw_cstr(&w, "last_error", cs_err_code(s->last));
    put_active(&w, s->active);
    put_instances(&w, s);
    cs_jw_array(&w, "bridges");
    for (size_t i = 0; i < num; i++) {
        cs_jw_object(&w, NULL);
        cs_jw_cstr(&w, "name", bridges[i].name);
        cs_jw_u64(&w, "open", bridges[i].open);
        cs_jw_u64(&w, "total", bridges[i].total);
        cs_jw_close_object(&w);
    }
    cs_jw_close_array(&w);
    for (size_t i = 0; i < num; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "open_%s", bridges[i].name);
        cs_jw_u64(&w, key, bridges[i].open);
    }
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}

void cs_service_write_run(const cs_service *s)
{
    char path[CS_HOST_PATH_MAX], tmp[CS_HOST_PATH_MAX + 8];
    cs_buf json = cs_buf_heap(16384);
    cs_jw w = cs_jw_begin(&json);

    cs_jw_object(&w, NULL);
    put_where(&w, s);
    put_instances(&w, s);
    cs_jw_close_object(&w);
    bool ok = cs_jw_end(&w) == CS_OK && cs_put_u8(&json, '\n') == CS_OK;
    (void)snprintf(path, sizeof path, "%s/run.json", s->o.dir);
    (void)snprintf(tmp, sizeof tmp, "%s.new", path);
    int fd = ok ? open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    ok = fd >= 0 && write(fd, json.p, json.len) == (ssize_t)json.len;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (!ok || rename(tmp, path) != 0) {
        (void)unlink(tmp);
    }
    cs_buf_free(&json);
}

/* ---------------------------------------------------------------- questions */

/* Absent members of a replacement are as they are now. */
static cs_err read_change(cs_service_change *c, const cs_service *s, const cs_json_field *f)
{
    const cs_driver_opts *now = &s->now.driver;

    if (!f[1].seen) {
        (void)snprintf(c->eif, sizeof c->eif, "%s", now->eif);
    }
    c->memory_mib = now->memory_mib;
    c->cpu_count = now->cpu_count;
    c->debug = f[6].seen && cs_slice_eq_str(f[6].raw, "true");
    if ((f[4].seen && cs_parse_u64(f[4].raw, 16777216, &c->memory_mib) != CS_OK) ||
        (f[5].seen && cs_parse_u64(f[5].raw, 1024, &c->cpu_count) != CS_OK)) {
        return CS_E_FORMAT;
    }
    return c->eif[0] == '/' ? CS_OK : CS_E_FORMAT;
}

static void on_question(struct peer *p, cs_slice line)
{
    cs_service *s = p->owner->s;
    cs_service_change c = {{0}, {0}, {0}, {0}, 0, 0, false};
    char op_text[16] = "", why[CS_DRIVER_TEXT] = "";
    cs_buf op = cs_buf_wrap(op_text, sizeof op_text - 1), eif = cs_buf_wrap(c.eif, sizeof c.eif - 1),
           age = cs_buf_wrap(c.age_uri, sizeof c.age_uri - 1),
           shares = cs_buf_wrap(c.shares_uri, sizeof c.shares_uri - 1);
    cs_json_field f[] = {
        {.key = "op", .kind = CS_JSON_STRING, .out = &op, .required = true},
        {.key = "eif", .kind = CS_JSON_STRING, .out = &eif},
        {.key = "age_uri", .kind = CS_JSON_STRING, .out = &age},
        {.key = "shares_uri", .kind = CS_JSON_STRING, .out = &shares},
        {.key = "memory_mib", .kind = CS_JSON_NUMBER},
        {.key = "cpu_count", .kind = CS_JSON_NUMBER},
        {.key = "debug", .kind = CS_JSON_BOOL},
    };
    cs_err err = cs_json_read(line, f, sizeof f / sizeof *f);

    if (err == CS_OK && strcmp(op_text, "status") == 0) {
        cs_buf json = cs_buf_heap(32768);
        err = put_status(&json, s);
        if (err == CS_OK) {
            answer(p, &json);
        }
        cs_buf_free(&json);
        if (err == CS_OK) {
            return;
        }
    } else if (err == CS_OK && strcmp(op_text, "reload") == 0) {
        err = cs_service_reload(s);
        p->waits = (char)(err == CS_OK ? 'r' : 0);
    } else if (err == CS_OK && strcmp(op_text, "replace") == 0) {
        err = read_change(&c, s, f);
        if (err == CS_OK) {
            err = cs_service_replace(s, &c, why);
        }
        p->waits = (char)(err == CS_OK ? 'b' : 0);
    } else {
        err = CS_E_FORMAT;
    }
    if (err != CS_OK) {
        answer_code(p, err, why);
    } else {
        cs_timer_stop(p->idle);
    }
}

static void on_data(void *cookie, cs_slice data)
{
    struct peer *p = cookie;

    if (p->waits != 0 || cs_put_slice(&p->line, data) != CS_OK) {
        drop(p);
        return;
    }
    const uint8_t *end = memchr(p->line.p, '\n', p->line.len);
    if (end != NULL) {
        cs_stream_read(p->stream, true);
        on_question(p, cs_slice_of(p->line.p, (size_t)(end - p->line.p)));
    }
}

static void on_gone(void *cookie, cs_err err)
{
    (void)err;
    drop(cookie); /* what it asked for goes on */
}

static void on_idle(void *cookie)
{
    drop(cookie);
}

static void on_accept(void *cookie, int fd, const cs_ep_peer *peer)
{
    static const cs_stream_events stream_events = {.on_data = on_data, .on_close = on_gone};
    cs_control *c = cookie;
    struct peer *p = NULL;

    for (int i = 0; i < PEERS && p == NULL; i++) {
        p = c->peers[i].stream == NULL ? &c->peers[i] : NULL;
    }
    bool ours = peer->uid == 0 || peer->uid == geteuid();
    if (p == NULL || !ours || cs_stream_new(&p->stream, c->s->loop, fd, NULL, &stream_events, p) != CS_OK) {
        (void)close(fd);
        return;
    }
    p->owner = c;
    p->line = cs_buf_heap(LINE);
    if (cs_timer_new(&p->idle, c->s->loop, on_idle, p) != CS_OK) {
        drop(p);
        return;
    }
    cs_timer_start(p->idle, IDLE_MS, 0);
    cs_stream_read(p->stream, true);
}

cs_err cs_control_new(cs_control **out, cs_service *s)
{
    cs_control *c = calloc(1, sizeof *c);
    cs_endpoint at = {.scheme = CS_EP_UNIX};
    int fd = -1;

    if (c == NULL) {
        return CS_E_NO_MEMORY;
    }
    c->s = s;
    int n = snprintf(at.host, sizeof at.host, "%s/control.sock", s->o.dir);
    cs_err err = n > 0 && n < 108 ? cs_endpoint_listen(&fd, &at, 16) : CS_E_RANGE;
    if (err == CS_OK) {
        (void)snprintf(c->path, sizeof c->path, "%s", at.host);
        err = cs_listener_new(&c->listener, s->loop, fd, CS_EP_CID_ANY, on_accept, c);
    }
    if (err != CS_OK) {
        free(c);
        return err;
    }
    *out = c;
    return CS_OK;
}

void cs_control_free(cs_control *c)
{
    if (c == NULL) {
        return;
    }
    for (int i = 0; i < PEERS; i++) {
        if (c->peers[i].stream != NULL) {
            drop(&c->peers[i]);
        }
    }
    cs_listener_free(c->listener);
    (void)unlink(c->path);
    free(c);
}
