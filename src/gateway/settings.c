/* The gateway's configuration. See settings.h. */
#include "gateway/settings.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define MIB (1024u * 1024u)
#define URL_MAX 300
#define SERVICE_PORT 50051

/* Numbers: name, range, default, and where they go. scale: what one of the file's units is here. */
typedef struct number {
    const char *key;
    uint64_t min, max, def, scale;
    size_t at, size;
} number;

#define TO(field) offsetof(cs_gate_config, field), sizeof(((cs_gate_config *)NULL)->field)

static const number numbers[] = {
    {"rooms.max", 1, 1000000, 10000, 1, TO(rooms.rooms)},
    {"rooms.messagesPerRoom", 16, 65536, 8192, 1, TO(rooms.messages)},
    {"rooms.bytesPerRoom", 256u * 1024u, 1024u * MIB, 32u * MIB, 1, TO(rooms.bytes)},
    {"rooms.bytes", MIB, 65536ull * MIB, 256u * MIB, 1, TO(rooms.bytes_all)},
    {"rooms.subscribersPerRoom", 2, 65536, 2048, 1, TO(rooms.subscribers)},
    {"rooms.subscribers", 2, 65536, 4096, 1, TO(rooms.subscribers_all)},
    {"rooms.idleSeconds", 1, 3600, 10, 1000, TO(rooms.idle_ms)},
    {"rooms.maxSeconds", 10, 86400, 600, 1000, TO(rooms.max_ms)},
    {"limits.httpConnections", 16, 65536, 8192, 1, TO(http_conns)},
    {"limits.requestBytes", MIB, 65536ull * MIB, 256u * MIB, 1, TO(request_bytes)},
    {"limits.grpcConnections", 1, 65536, 1024, 1, TO(grpc_conns)},
    {"limits.calls", 1, 65536, 4096, 1, TO(calls)},
    {"limits.callBytes", MIB, 65536ull * MIB, 256u * MIB, 1, TO(call_bytes)},
    {"limits.attestations", 1, 1024, 64, 1, TO(attests)},
    {"limits.drainSeconds", 0, 600, 10, 1000, TO(drain_ms)},
    {"sign_service.connections", 1, 64, 4, 1, TO(service_conns)},
    {"sign_service.waitMilliseconds", 0, 60000, 2000, 1, TO(service_wait_ms)},
};
#define NUM_NUMBERS (sizeof numbers / sizeof *numbers)

static const char *const texts[] = {"server.host", "server.port",      "server.cors_origins", "grpc.host",
                                    "grpc.port",   "sign_service.url", "logging.level",       "logging.format"};
#define NUM_TEXTS (sizeof texts / sizeof *texts)

static void store(cs_gate_config *c, const number *n, uint64_t v)
{
    uint8_t *at = (uint8_t *)c + n->at;
    size_t as_size = (size_t)(v * n->scale);
    uint64_t as_u64 = v * n->scale;
    memcpy(at, n->size == sizeof as_u64 ? (const void *)&as_u64 : (const void *)&as_size, n->size);
}

static cs_err address(cs_endpoint *out, const char *host, uint64_t port)
{
    char text[URL_MAX];
    bool v6 = strchr(host, ':') != NULL && host[0] != '[';
    int n = snprintf(text, sizeof text, v6 ? "tcp:[%s]:%llu" : "tcp:%s:%llu", host, (unsigned long long)port);
    return n > 0 && (size_t)n < sizeof text ? cs_endpoint_parse(out, cs_slice_str(text)) : CS_E_RANGE;
}

void cs_gate_settings_default(cs_gate_config *out)
{
    *out = (cs_gate_config){.log_level = CS_LOG_INFO};
    cs_tee_settings_default(&out->tee);
    cs_telemetry_config_default(&out->telemetry);
    for (size_t i = 0; i < NUM_NUMBERS; i++) {
        store(out, &numbers[i], numbers[i].def);
    }
    out->rooms.subscriber_queue = 768u * 1024u; /* with what the connection holds: 1 MiB */
    if (address(&out->http, "0.0.0.0", 8080) != CS_OK || address(&out->grpc, "0.0.0.0", 50050) != CS_OK ||
        address(&out->service, "127.0.0.1", SERVICE_PORT) != CS_OK) {
        *out = (cs_gate_config){0}; /* cannot be: these are addresses of every host program */
    }
}

void cs_gate_settings_fit(cs_gate_config *io)
{
    size_t most = (size_t)(io->http_conns - io->http_conns / 4);
    io->rooms.subscribers_all = io->rooms.subscribers_all < most ? io->rooms.subscribers_all : most;
}

/* "http://HOST[:PORT]" to "tcp:HOST:PORT"; a path, a user or a query have no meaning here. */
static cs_err parse_url(cs_endpoint *out, cs_slice rest)
{
    char text[URL_MAX];
    while (rest.len > 0 && rest.p[rest.len - 1] == '/') {
        rest.len--;
    }
    if (rest.len == 0 || rest.len > URL_MAX - 16) {
        return CS_E_FORMAT;
    }
    for (size_t i = 0; i < rest.len; i++) {
        if (strchr("/@?#% ", rest.p[i]) != NULL) {
            return CS_E_FORMAT;
        }
    }
    const uint8_t *close = memchr(rest.p, ']', rest.len);
    const uint8_t *from = close != NULL ? close : rest.p;
    bool port = memchr(from, ':', rest.len - (size_t)(from - rest.p)) != NULL;
    snprintf(text, sizeof text, port ? "tcp:%.*s" : "tcp:%.*s:%d", (int)rest.len, (const char *)rest.p, SERVICE_PORT);
    return cs_endpoint_parse(out, cs_slice_str(text));
}

cs_err cs_gate_service_parse(cs_endpoint *out, cs_slice text)
{
    static const char http[] = "http://", https[] = "https://";
    if (text.len >= sizeof http - 1 && memcmp(text.p, http, sizeof http - 1) == 0) {
        return parse_url(out, cs_slice_of(text.p + sizeof http - 1, text.len - (sizeof http - 1)));
    }
    if (text.len >= sizeof https - 1 && memcmp(text.p, https, sizeof https - 1) == 0) {
        return CS_E_UNSUPPORTED;
    }
    return cs_endpoint_parse(out, text);
}

/* ---- the file ---- */

static cs_err read_numbers(cs_gate_config *c, const cs_yaml *y, cs_yaml_fault *fault)
{
    for (size_t i = 0; i < NUM_NUMBERS; i++) {
        const number *n = &numbers[i];
        uint64_t v = 0;
        if (cs_yaml_get(y, n->key) != NULL) {
            CS_TRY(cs_yaml_u64(&v, y, fault, n->key, n->def, n->min, n->max));
            store(c, n, v);
        }
    }
    return CS_OK;
}

static unsigned line_of(const cs_yaml *y, const char *key)
{
    const cs_yaml_entry *e = cs_yaml_get(y, key);
    return e != NULL ? e->line : 0;
}

static cs_err read_address(cs_endpoint *io, const cs_yaml *y, cs_yaml_fault *fault, const char *group)
{
    char host_key[32], port_key[32];
    const char *host = NULL;
    uint64_t port = io->port;
    snprintf(host_key, sizeof host_key, "%s.host", group);
    snprintf(port_key, sizeof port_key, "%s.port", group);
    CS_TRY(cs_yaml_text(&host, y, fault, host_key, io->host, 1, CS_EP_HOST_MAX - 1));
    CS_TRY(cs_yaml_u64(&port, y, fault, port_key, port, 0, 65535));
    if (address(io, host, port) != CS_OK) {
        return cs_yaml_fail(fault, line_of(y, host_key), CS_E_CONFIG, "%s: not an address or name", host_key);
    }
    return CS_OK;
}

/* "*", or scheme://host[:port] as a browser sends it: no path, no white space. */
static bool origin_ok(const char *text)
{
    const char *host = strstr(text, "://");
    if (strcmp(text, "*") == 0) {
        return true;
    }
    if (host == NULL || host == text || host[3] == '\0' || strlen(text) >= CS_GATE_ORIGIN_LEN) {
        return false;
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\\' || *p == ',') {
            return false;
        }
    }
    return strchr(host + 3, '/') == NULL;
}

static cs_err read_origins(cs_gate_config *c, const cs_yaml *y, cs_yaml_fault *fault)
{
    const cs_yaml_entry *e = cs_yaml_get(y, "server.cors_origins");
    if (e == NULL || (e->kind == CS_YAML_TEXT && e->items[0].null)) {
        return CS_OK;
    }
    if (e->kind == CS_YAML_MAP || e->num_items > CS_GATE_ORIGINS_MAX) {
        return cs_yaml_fail(fault, e->line, CS_E_CONFIG, "server.cors_origins: a list of at most %d origins",
                            CS_GATE_ORIGINS_MAX);
    }
    c->num_origins = 0;
    for (size_t i = 0; i < e->num_items; i++) {
        const cs_yaml_item *item = &e->items[i];
        if (!origin_ok(item->text)) {
            return cs_yaml_fail(fault, item->line, CS_E_CONFIG,
                                "server.cors_origins: an origin is \"*\" or scheme://host[:port], without a path");
        }
        snprintf(c->origins[c->num_origins++], CS_GATE_ORIGIN_LEN, "%s", item->text);
    }
    return CS_OK;
}

static cs_err read_service(cs_gate_config *c, const cs_yaml *y, cs_yaml_fault *fault)
{
    const char *url = NULL;
    if (cs_yaml_get(y, "sign_service.url") == NULL) {
        return CS_OK;
    }
    CS_TRY(cs_yaml_text(&url, y, fault, "sign_service.url", "", 1, URL_MAX));
    if (cs_gate_service_parse(&c->service, cs_slice_str(url)) != CS_OK) {
        return cs_yaml_fail(
            fault, line_of(y, "sign_service.url"), CS_E_CONFIG,
            "sign_service.url: http://HOST[:PORT], or an endpoint (tcp:HOST:PORT, unix:/PATH, vsock:CID:PORT)");
    }
    c->service_set = true;
    return CS_OK;
}

static cs_err read_logging(cs_gate_config *c, const cs_yaml *y, cs_yaml_fault *fault)
{
    const char *level = NULL, *format = NULL;
    CS_TRY(cs_yaml_text(&format, y, fault, "logging.format", "json", 1, 16));
    if (strcmp(format, "json") != 0) {
        return cs_yaml_fail(fault, line_of(y, "logging.format"), CS_E_CONFIG, "logging.format: only json is possible");
    }
    if (cs_yaml_get(y, "logging.level") == NULL) {
        return CS_OK;
    }
    CS_TRY(cs_yaml_text(&level, y, fault, "logging.level", "info", 1, 16));
    /* the seed system's names of levels are taken too */
    level = strcmp(level, "warning") == 0 ? "warn" : strcmp(level, "trace") == 0 ? "debug" : level;
    if (cs_log_level_of(cs_slice_str(level), &c->log_level) != CS_OK) {
        return cs_yaml_fail(fault, line_of(y, "logging.level"), CS_E_CONFIG,
                            "logging.level: debug, info, warn or error (trace is debug, warning is warn)");
    }
    return CS_OK;
}

static cs_err read_all(cs_gate_config *c, const cs_yaml *y, cs_yaml_fault *fault)
{
    CS_TRY(read_numbers(c, y, fault));
    CS_TRY(read_address(&c->http, y, fault, "server"));
    CS_TRY(read_address(&c->grpc, y, fault, "grpc"));
    CS_TRY(read_origins(c, y, fault));
    CS_TRY(read_service(c, y, fault));
    CS_TRY(read_logging(c, y, fault));
    CS_TRY(cs_telemetry_config_file(&c->telemetry, fault, y));
    return cs_tee_settings_file(&c->tee, fault, y);
}

size_t cs_gate_num_keys(void)
{
    return NUM_NUMBERS + NUM_TEXTS + CS_TEL_NUM_KEYS + cs_tee_num_keys();
}

const char *cs_gate_key(size_t i)
{
    if (i >= NUM_TEXTS + NUM_NUMBERS + CS_TEL_NUM_KEYS) {
        return cs_tee_key(i - NUM_TEXTS - NUM_NUMBERS - CS_TEL_NUM_KEYS);
    }
    if (i >= NUM_TEXTS + NUM_NUMBERS) {
        return cs_telemetry_keys[i - NUM_TEXTS - NUM_NUMBERS];
    }
    return i < NUM_TEXTS ? texts[i] : numbers[i - NUM_TEXTS].key;
}

cs_err cs_gate_settings_read(cs_gate_config *io, cs_yaml_fault *fault, cs_slice yaml)
{
    const char *known[CS_YAML_ENTRIES + 1] = {NULL};
    cs_gate_config c = *io;
    cs_yaml *y = NULL;
    for (size_t i = 0; i < cs_gate_num_keys(); i++) {
        known[i] = cs_gate_key(i);
    }
    CS_TRY(cs_yaml_read(&y, fault, yaml, known));
    cs_err err = read_all(&c, y, fault);
    cs_yaml_free(y);
    if (err == CS_OK) {
        *io = c;
    }
    return err;
}

/* ---- print ---- */

static cs_err put_address(cs_buf *out, const char *group, const cs_endpoint *ep)
{
    CS_TRY(cs_put_fmt(out, "%s:\n", group));
    if (ep->scheme == CS_EP_TCP) {
        return cs_put_fmt(out, "  host: \"%s\"\n  port: %u\n", ep->host, ep->port);
    }
    CS_TRY(cs_put_str(out, "  # by flag or environment: "));
    CS_TRY(cs_endpoint_format(out, ep));
    return cs_put_str(out, "\n");
}

static cs_err put_numbers(cs_buf *out, const cs_gate_config *c, const char *group)
{
    size_t len = strlen(group);
    for (size_t i = 0; i < NUM_NUMBERS; i++) {
        const number *n = &numbers[i];
        const uint8_t *at = (const uint8_t *)c + n->at;
        uint64_t v = 0;
        size_t as_size = 0;
        if (strncmp(n->key, group, len) != 0 || n->key[len] != '.') {
            continue;
        }
        memcpy(n->size == sizeof v ? (void *)&v : (void *)&as_size, at, n->size);
        v = n->size == sizeof v ? v : as_size;
        CS_TRY(cs_put_fmt(out, "  %s: %llu\n", n->key + len + 1, (unsigned long long)(v / n->scale)));
    }
    return CS_OK;
}

cs_err cs_gate_settings_print(cs_buf *out, const cs_gate_config *c)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    CS_TRY(put_address(out, "server", &c->http));
    CS_TRY(cs_put_str(out, "  cors_origins: ["));
    for (size_t i = 0; i < c->num_origins; i++) {
        CS_TRY(cs_put_fmt(out, "%s\"%s\"", i > 0 ? ", " : "", c->origins[i]));
    }
    CS_TRY(cs_put_str(out, "]\n"));
    CS_TRY(put_address(out, "grpc", &c->grpc));
    CS_TRY(cs_put_str(out, "sign_service:\n  url: \""));
    CS_TRY(cs_endpoint_format(out, &c->service));
    CS_TRY(cs_put_str(out, "\"\n"));
    CS_TRY(put_numbers(out, c, "sign_service"));
    CS_TRY(cs_put_fmt(out, "logging:\n  level: %s\n  format: json\nrooms:\n", levels[c->log_level]));
    CS_TRY(put_numbers(out, c, "rooms"));
    CS_TRY(cs_put_str(out, "limits:\n"));
    CS_TRY(put_numbers(out, c, "limits"));
    CS_TRY(cs_telemetry_config_print(out, &c->telemetry));
    return cs_tee_settings_print(out, &c->tee);
}
