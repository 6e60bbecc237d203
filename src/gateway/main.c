/* sign-gateway: options, set-up, one loop, and its end. See gateway.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/opts.h"
#include "gateway/gateway.h"
#include "gateway/message.h"
#include "gateway/public.h"
#include "gateway/settings.h"
#include "gateway/tee.h"
#include "gateway/tee_json.h"
#include "store/store_cmd.h"

#define TICK_MS 250
#define FDS_RESERVED 64u
#define SETTLE_MS 20
#define LINGER_MS 500 /* the last answers and ends of streams go out */
#define BACKLOG 1024
#define SEND_BUFFER (256 * 1024) /* a subscriber that does not read holds no more of the system's memory */

/*
 * A call's queue: reading of one side stops at half of it; what its window (1 MiB) still lets through and one message must fit
 * behind that.
 */
#define CALL_QUEUE (3u * 1024u * 1024u)

static cs_gate gate;
static cs_public public_side;
static cs_timer *tick, *patience, *settle;
static bool closing;
static unsigned tick_count;

/* ---- the end ---- */

static void stop(void *cookie)
{
    (void)cookie;
    cs_loop_stop(gate.loop);
}

/* No call is under way any more, or patience is at its end: the rooms close. */
static void close_rooms(void *cookie)
{
    (void)cookie;
    if (closing) {
        return;
    }
    closing = true;
    cs_timer_stop(settle);
    cs_gate_subs_end(&gate);
    cs_http1_server_drain(gate.http);
    cs_timer_free(patience);
    patience = NULL;
    if (cs_timer_new(&patience, gate.loop, stop, NULL) == CS_OK) {
        cs_timer_start(patience, LINGER_MS, 0);
    } else {
        stop(NULL);
    }
}

/* gRPC has nothing under way any more; calls of the TEE service over HTTP, and answers on their way to the store, may. */
static void on_calls_ended(void *cookie)
{
    (void)cookie;
    if (cs_tee_under_way(gate.tee) > 0) {
        cs_timer_start(settle, SETTLE_MS, 0);
    } else {
        close_rooms(NULL);
    }
}

/* SIGTERM: no new calls, those under way end; they need their rooms until then. A second signal ends it at once. */
static void on_terminate(void *cookie)
{
    (void)cookie;
    if (gate.draining) {
        stop(NULL);
        return;
    }
    gate.draining = true;
    cs_log(CS_LOG_INFO, "draining");
    cs_timer_start(patience, gate.config.drain_ms, 0);
    cs_gate_watches_end(&gate);
    cs_grpc_server_drain(gate.grpc, on_calls_ended, NULL);
}

static void on_tick(void *cookie)
{
    (void)cookie;
    cs_rooms_tick(gate.rooms, cs_loop_now(gate.loop));
    if (++tick_count % (1000 / TICK_MS) == 0) {
        cs_gate_sub_tick(&gate);
    }
}

/* ---- set-up ---- */

/* Raises the soft limit of descriptors, and takes connections back to what it allows. */
static void fit_connections(cs_gate_config *c)
{
    struct rlimit fds = {0};
    uint64_t all = c->http_conns + c->grpc_conns;
    rlim_t want = all + c->service_conns + FDS_RESERVED;
    if (getrlimit(RLIMIT_NOFILE, &fds) != 0) {
        return;
    }
    fds.rlim_cur = fds.rlim_max < want ? fds.rlim_max : want;
    (void)setrlimit(RLIMIT_NOFILE, &fds);
    (void)getrlimit(RLIMIT_NOFILE, &fds);
    if (fds.rlim_cur >= want) {
        return;
    }
    uint64_t have = fds.rlim_cur > c->service_conns + 2u * FDS_RESERVED ? fds.rlim_cur - c->service_conns - FDS_RESERVED
                                                                        : FDS_RESERVED;
    c->http_conns = c->http_conns * have / all + 1;
    c->grpc_conns = c->grpc_conns * have / all + 1;
    cs_log(CS_LOG_WARN, "descriptors", CS_LU("limit", fds.rlim_cur), CS_LU("wanted", want),
           CS_LU("http_connections", c->http_conns), CS_LU("grpc_connections", c->grpc_conns));
}

static void on_service_up(void *cookie)
{
    (void)cookie;
    cs_tee_service_up(gate.tee);
}

static void on_service_change(void *cookie)
{
    (void)cookie;
    cs_log(CS_LOG_INFO, "service", CS_LB("serving", cs_pool_serving(gate.pool)),
           CS_LU("connections", cs_pool_up(gate.pool)));
    cs_gate_health_changed(&gate);
    if (!cs_pool_serving(gate.pool)) {
        cs_tee_service_down(gate.tee);
    }
}

static cs_err listen_on(int *out_fd, cs_endpoint *ep)
{
    CS_TRY(cs_endpoint_listen(out_fd, ep, BACKLOG));
    cs_err err = cs_endpoint_bound(ep, *out_fd);
    if (err != CS_OK) {
        close(*out_fd);
    }
    return err;
}

static cs_err open_http(void)
{
    int fd = -1;
    cs_http1_server_opts o = {
        .limits = {.body_max = gate.config.tee.enabled ? CS_TEE_JSON_MAX : CS_MESSAGE_JSON_MAX,
                   .conns_max = (unsigned)gate.config.http_conns},
        .cid = CS_EP_CID_ANY,
        .refuse = cs_gate_http_refuse,
        .held_max = (size_t)gate.config.request_bytes,
        .send_buffer = SEND_BUFFER,
        .tls = public_side.http,
        .tls_wrap = cs_tls_accept,
    };
    CS_TRY(listen_on(&fd, &gate.config.http));
    cs_err err = cs_http1_server_new(&gate.http, gate.loop, fd, &o, cs_gate_http, &gate);
    if (err != CS_OK) {
        close(fd);
    }
    return err;
}

static cs_err open_grpc(void)
{
    cs_grpc_method methods[32] = {{0}};
    size_t n = 0;
    int fd = -1;
    cs_grpc_opts o = {.calls_max = (unsigned)gate.config.calls,
                      .conns_max = (unsigned)gate.config.grpc_conns,
                      .queue_max = CALL_QUEUE,
                      .on_stream = cs_public_wrap,
                      .stream_cookie = public_side.grpc};
    for (const cs_grpc_method *m = cs_gate_proxy_methods; m->path != NULL; m++) {
        methods[n++] = *m;
    }
    for (const cs_grpc_method *m = cs_gate_health_methods; m->path != NULL; m++) {
        methods[n++] = *m;
    }
    for (const cs_grpc_method *m = cs_tee_grpc_methods; m->path != NULL; m++) {
        methods[n++] = *m;
    }
    CS_TRY(listen_on(&fd, &gate.config.grpc));
    cs_err err = cs_grpc_server_new(&gate.grpc, gate.loop, fd, methods, &o, &gate);
    if (err != CS_OK) {
        close(fd);
    }
    return err;
}

static cs_err set_up_telemetry(void)
{
    char why[256] = "";
    cs_err err = cs_telemetry_new(&gate.telemetry, gate.loop, gate.pool, &gate.config.telemetry, why);
    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "telemetry", err, CS_LC("why", why));
    }
    return err;
}

static cs_err set_up_tee(void)
{
    char why[256] = "";
    cs_err err = cs_public_open(&public_side, &gate.config, why);
    gate.public_side = &public_side;
    if (err == CS_OK) {
        err = cs_tee_open(&gate.tee, &gate, why);
    }
    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "tee", err, CS_LC("why", why));
    }
    return err;
}

static cs_err set_up(void)
{
    cs_signal *term = NULL, *interrupt = NULL; /* live as long as the process */
    cs_pool_config pool = {.service = gate.config.service,
                           .conns = (unsigned)gate.config.service_conns,
                           .wait_ms = (uint32_t)gate.config.service_wait_ms,
                           .queue_max = CALL_QUEUE,
                           .on_change = on_service_change,
                           .on_up = on_service_up};
    fit_connections(&gate.config);
    cs_gate_settings_fit(&gate.config);
    CS_TRY(cs_loop_new(&gate.loop));
    CS_TRY(cs_rooms_new(&gate.rooms, &gate.config.rooms));
    CS_TRY(cs_pool_new(&gate.pool, gate.loop, &pool));
    CS_TRY(set_up_telemetry());
    CS_TRY(set_up_tee());
    CS_TRY(open_http());
    CS_TRY(open_grpc());
    CS_TRY(cs_timer_new(&tick, gate.loop, on_tick, NULL));
    cs_timer_start(tick, TICK_MS, TICK_MS);
    CS_TRY(cs_timer_new(&patience, gate.loop, close_rooms, NULL));
    CS_TRY(cs_timer_new(&settle, gate.loop, on_calls_ended, NULL));
    CS_TRY(cs_signal_new(&term, gate.loop, SIGTERM, on_terminate, NULL));
    return cs_signal_new(&interrupt, gate.loop, SIGINT, on_terminate, NULL);
}

/* The addresses that are listened on, as lines NAME=ENDPOINT: for scripts, when a port was 0. Complete or not there. */
static cs_err write_endpoints(const char *path)
{
    char temporary[4096];
    uint8_t mem[3 * CS_EP_TEXT_MAX + 64];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    CS_TRY(cs_put_str(&out, "GATEWAY_GRPC="));
    CS_TRY(cs_endpoint_format(&out, &gate.config.grpc));
    CS_TRY(cs_put_str(&out, "\nGATEWAY_HTTP="));
    CS_TRY(cs_endpoint_format(&out, &gate.config.http));
    if (cs_telemetry_at(gate.telemetry) != NULL) {
        CS_TRY(cs_put_str(&out, "\nMETRICS="));
        CS_TRY(cs_endpoint_format(&out, cs_telemetry_at(gate.telemetry)));
    }
    CS_TRY(cs_put_str(&out, "\n"));
    int n = snprintf(temporary, sizeof temporary, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof temporary) {
        return CS_E_RANGE;
    }
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return CS_E_IO;
    }
    bool ok = write(fd, out.p, out.len) == (ssize_t)out.len;
    ok = close(fd) == 0 && ok;
    return ok && rename(temporary, path) == 0 ? CS_OK : CS_E_IO;
}

static void log_ready(void)
{
    uint8_t text[3][CS_EP_TEXT_MAX];
    cs_slice s[3] = {{0}};
    const cs_endpoint *ep[3] = {&gate.config.http, &gate.config.grpc, &gate.config.service};
    for (int i = 0; i < 3; i++) {
        cs_buf b = cs_buf_wrap(text[i], sizeof text[i]);
        if (cs_endpoint_format(&b, ep[i]) == CS_OK) {
            s[i] = cs_buf_slice(&b);
        }
    }
    cs_log(CS_LOG_INFO, "ready", CS_LSTR("http", s[0]), CS_LSTR("grpc", s[1]), CS_LSTR("service", s[2]));
}

/* ---- options ---- */

/* The file that was named, or the usual one when it exists. */
static int read_file(const cs_args *a, cs_gate_config *c)
{
    static uint8_t bytes[CS_YAML_MAX + 1];
    const char *named = a->num_pos > 0 ? a->pos[0] : cs_args_str(a, "config");
    const char *path = named != NULL ? named : CS_GATE_CONFIG_FILE;
    cs_yaml_fault fault = {0};
    size_t len = 0, n = 1;
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return named == NULL && errno == ENOENT ? 0 : cs_refuse(a, CS_E_IO, false, path);
    }
    while (len < sizeof bytes && (n = fread(bytes + len, 1, sizeof bytes - len, f)) > 0) {
        len += n;
    }
    bool failed = ferror(f) != 0;
    (void)fclose(f);
    if (failed) {
        return cs_refuse(a, CS_E_IO, false, path);
    }
    cs_err err = cs_gate_settings_read(c, &fault, cs_slice_of(bytes, len));
    if (err != CS_OK) {
        char text[4096];
        snprintf(text, sizeof text, "%s:%u: %s", path, fault.line, fault.text);
        return cs_refuse(a, err, false, text);
    }
    return 0;
}

static int take_endpoint(const cs_args *a, const char *name, cs_endpoint *out, bool service)
{
    const char *text = cs_args_str(a, name);
    if (text == NULL) {
        return 0;
    }
    cs_err err = service ? cs_gate_service_parse(out, cs_slice_str(text)) : cs_endpoint_parse(out, cs_slice_str(text));
    return err == CS_OK ? 0
                        : cs_usage_error(a, "--%s: not %s: %s", name,
                                         service ? "an endpoint or http://HOST[:PORT]" : "an endpoint", text);
}

static int take_text(const cs_args *a, const char *name, char *out, size_t max)
{
    const char *text = cs_args_str(a, name);
    if (text == NULL) {
        return 0;
    }
    int n = snprintf(out, max, "%s", text);
    return n >= 0 && (size_t)n < max ? 0 : cs_usage_error(a, "--%s: too long", name);
}

static int configure_telemetry(const cs_args *a, cs_telemetry_config *c)
{
    cs_yaml_fault fault = {0};
    int rc = take_text(a, "listen-metrics", c->listen, sizeof c->listen);
    if (rc != 0 || (rc = take_text(a, "otlp", c->otlp, sizeof c->otlp)) != 0) {
        return rc;
    }
    c->listen_set = c->listen_set || cs_args_str(a, "listen-metrics") != NULL;
    cs_err err = cs_telemetry_config_check(c, &fault);
    return err == CS_OK ? 0 : cs_refuse(a, err, false, fault.text);
}

/* Behind the file: environment, flags, and what several values must be together. */
static int configure_tee(const cs_args *a, cs_gate_config *c)
{
    char service[64];
    cs_yaml_fault fault = {0};
    bool warned = false;
    cs_err err = cs_tee_settings_env(&c->tee, &fault, environ);
    for (size_t i = 0; err == CS_OK && i < a->num_many; i++) {
        err = cs_tee_settings_set(&c->tee, &fault, a->many[i]);
    }
    if (err == CS_OK) {
        err = cs_tee_settings_finish(&c->tee, &fault, &warned);
    }
    if (err != CS_OK) {
        return cs_refuse(a, err, false, fault.text);
    }
    if (c->tee.enabled && c->tee.enclave_cid_set && !c->service_set && cs_args_str(a, "service") == NULL) {
        (void)snprintf(service, sizeof service, "vsock:%llu:50051", (unsigned long long)c->tee.enclave_cid);
        if (cs_gate_service_parse(&c->service, cs_slice_str(service)) != CS_OK) {
            return cs_usage_error(a, "tee.enclaveCID: not a CID");
        }
    }
    if (warned) {
        (void)fprintf(stderr, "sign-gateway: warning: tee.requestTimeoutSeconds is not positive: 5 is used\n");
    }
    return 0;
}

static int configure(const cs_args *a, cs_gate_config *c)
{
    const char *level = cs_args_str(a, "log-level");
    int rc;
    cs_gate_settings_default(c);
    if (a->num_pos > 0 && cs_args_str(a, "config") != NULL) {
        return cs_usage_error(a, "the file is named twice");
    }
    if ((rc = read_file(a, c)) != 0 || (rc = take_endpoint(a, "listen-http", &c->http, false)) != 0 ||
        (rc = take_endpoint(a, "listen-grpc", &c->grpc, false)) != 0 ||
        (rc = take_endpoint(a, "service", &c->service, true)) != 0) {
        return rc;
    }
    if (level != NULL && cs_log_level_of(cs_slice_str(level), &c->log_level) != CS_OK) {
        return cs_usage_error(a, "--log-level: debug, info, warn or error");
    }
    rc = configure_telemetry(a, &c->telemetry);
    return rc != 0 ? rc : configure_tee(a, c);
}

static int print_config(const cs_args *a)
{
    cs_buf out = cs_buf_heap(CS_YAML_MAX);
    cs_err err = cs_gate_settings_print(&out, &gate.config);
    if (err == CS_OK && (fwrite(out.p, 1, out.len, stdout) != out.len || fflush(stdout) != 0)) {
        err = CS_E_IO;
    }
    cs_buf_free(&out);
    return err == CS_OK ? 0 : cs_refuse(a, err, false, "the configuration");
}

static int run(const cs_args *a)
{
    const char *ports = cs_args_str(a, "print-ports");
    int rc = configure(a, &gate.config);
    if (rc != 0) {
        return rc;
    }
    if (cs_args_flag(a, "print-config")) {
        return print_config(a);
    }
    cs_log_init("sign-gateway", gate.config.log_level, STDERR_FILENO);
    (void)signal(SIGXFSZ, SIG_IGN); /* a database that may not grow is an error of the store */
    cs_err err = set_up();
    if (err == CS_OK && ports != NULL) {
        err = write_endpoints(ports);
    }
    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "start_failed", err);
        return 1;
    }
    log_ready();
    cs_loop_run(gate.loop);
    cs_tee_free(gate.tee); /* what the store was given is stored */
    cs_telemetry_close(gate.telemetry);
    cs_rooms_stats stats;
    cs_rooms_stats_get(gate.rooms, &stats);
    cs_log(CS_LOG_INFO, "stopped", CS_LU("messages", stats.messages), CS_LU("rooms_forgotten", stats.forgotten));
    return 0;
}

static const cs_opt options[] = {
    {.name = "config",
     .letter = 'c',
     .kind = CS_OPT_STR,
     .arg = "FILE",
     .help = "configuration file; without one " CS_GATE_CONFIG_FILE " is read when it exists",
     .env = "SIGN_GATEWAY_CONFIG"},
    {.name = "listen-http",
     .kind = CS_OPT_STR,
     .arg = "ENDPOINT",
     .help = "HTTP of the rooms (file: server.host, server.port; default tcp:0.0.0.0:8080)",
     .env = "SIGN_GATEWAY_LISTEN_HTTP"},
    {.name = "listen-grpc",
     .kind = CS_OPT_STR,
     .arg = "ENDPOINT",
     .help = "gRPC (file: grpc.host, grpc.port; default tcp:0.0.0.0:50050)",
     .env = "SIGN_GATEWAY_LISTEN_GRPC"},
    {.name = "service",
     .kind = CS_OPT_STR,
     .arg = "URL",
     .help = "sign-service: http://HOST[:PORT] or an endpoint (file: sign_service.url; default http://127.0.0.1:50051)",
     .env = "SIGN_GATEWAY_SERVICE"},
    {.name = "listen-metrics",
     .kind = CS_OPT_STR,
     .arg = "ENDPOINT",
     .help = "Prometheus metrics over HTTP, or off (file: telemetry.listen; default " CS_TEL_LISTEN ")",
     .env = "SIGN_GATEWAY_LISTEN_METRICS"},
    {.name = "otlp",
     .kind = CS_OPT_STR,
     .arg = "URL",
     .help = "send spans and metrics to this OTLP collector, http(s)://HOST:PORT (file: telemetry.otlpEndpoint)",
     .env = "SIGN_GATEWAY_OTLP"},
    {.name = "log-level",
     .kind = CS_OPT_STR,
     .arg = "LEVEL",
     .help = "debug, info, warn or error (file: logging.level; default info)",
     .env = "SIGN_GATEWAY_LOG_LEVEL"},
    {.name = "set",
     .kind = CS_OPT_MANY,
     .arg = "KEY=VALUE",
     .help = "a setting of the TEE service, e.g. tee.enabled=true; lists by comma (environment: APP_TEE_...)"},
    {.name = "print-config",
     .kind = CS_OPT_FLAG,
     .help = "print the effective configuration as YAML, passwords masked, and end"},
    {.name = "print-ports",
     .kind = CS_OPT_STR,
     .arg = "FILE",
     .help = "write GATEWAY_GRPC, GATEWAY_HTTP and METRICS=ENDPOINT when everything listens"},
    {0},
};

static const cs_cmd commands[] = {
    {.name = "",
     .synopsis = "[OPTION...] [CONFIG.yaml]",
     .summary = "gRPC and rooms over HTTP in front of sign-service",
     .text =
         "Flags go before the environment, the environment before the file, the file before the defaults. Addresses "
         "are\n"
         "tcp:HOST:PORT (port 0: any free one), unix:/PATH or vsock:CID:PORT. JSON lines with metadata go to standard\n"
         "error. SIGTERM lets the calls under way end (limits.drainSeconds), then closes the rooms; a second one ends\n"
         "it at once. The file's names are in docs/formats/gateway-config.md.\n\n"
         "Examples:\n"
         "  sign-gateway\n"
         "  sign-gateway --service http://127.0.0.1:50051 --listen-http tcp:127.0.0.1:8080\n"
         "  sign-gateway --listen-grpc tcp:127.0.0.1:0 --listen-http tcp:127.0.0.1:0 --print-ports ports.env\n"
         "  SIGN_GATEWAY_SERVICE=vsock:16:50051 sign-gateway /app/config/sign-gateway.yaml",
     .opts = options,
     .max_args = 1,
     .run = run},
    CS_STORE_CMDS,
    {0},
};

int main(int argc, char **argv)
{
    cs_store_cmd_config = cs_gate_store_address;
    return cs_cmd_main("sign-gateway", "gateway of Countersign", commands, argc, argv);
}
