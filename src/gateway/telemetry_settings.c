/* The settings `telemetry:`. See telemetry.h and docs/formats/gateway-config.md. */
#include <stdio.h>
#include <string.h>

#include "gateway/telemetry.h"

#define OTLP_SECONDS 5
#define POLL_SECONDS 5

const char *const cs_telemetry_keys[] = {"telemetry.listen",      "telemetry.otlpEndpoint", "telemetry.otlpCaFile",
                                         "telemetry.otlpSeconds", "telemetry.pollSeconds",  NULL};

void cs_telemetry_config_default(cs_telemetry_config *out)
{
    *out = (cs_telemetry_config){
        .listen = CS_TEL_LISTEN, .otlp_ms = OTLP_SECONDS * 1000u, .poll_ms = POLL_SECONDS * 1000u};
}

cs_err cs_telemetry_endpoint(cs_endpoint *out, const char *text)
{
    char whole[CS_EP_TEXT_MAX + 8];

    if (cs_endpoint_parse(out, cs_slice_str(text)) == CS_OK) {
        return CS_OK;
    }
    (void)snprintf(whole, sizeof whole, "tcp:%s", text);
    return cs_endpoint_parse(out, cs_slice_str(whole));
}

/* scheme://host[:port][/path], printable, without what would need escaping, a user or a query */
static bool url_ok(const char *url)
{
    const char *host = strncmp(url, "http://", 7) == 0 ? url + 7 : strncmp(url, "https://", 8) == 0 ? url + 8 : "";

    for (const char *p = host; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~' || strchr("@?#%\"\\", *p) != NULL) {
            return false;
        }
    }
    return *host != '\0' && *host != '/' && *host != ':';
}

cs_err cs_telemetry_config_check(const cs_telemetry_config *c, cs_yaml_fault *fault)
{
    cs_endpoint at;

    if (strcmp(c->listen, CS_TEL_OFF) != 0 && cs_telemetry_endpoint(&at, c->listen) != CS_OK) {
        return cs_yaml_fail(fault, 0, CS_E_CONFIG,
                            "telemetry.listen: HOST:PORT, an endpoint (tcp:HOST:PORT, unix:/PATH) or off");
    }
    if (c->otlp[0] != '\0' && !url_ok(c->otlp)) {
        return cs_yaml_fail(fault, 0, CS_E_CONFIG, "telemetry.otlpEndpoint: http://HOST:PORT or https://HOST:PORT");
    }
    return CS_OK;
}

static cs_err read_text(char *out, size_t max, const cs_yaml *y, cs_yaml_fault *fault, const char *key)
{
    const char *text = NULL;

    CS_TRY(cs_yaml_text(&text, y, fault, key, out, 0, max - 1));
    if (text != out) {
        (void)snprintf(out, max, "%s", text);
    }
    return CS_OK;
}

cs_err cs_telemetry_config_file(cs_telemetry_config *io, cs_yaml_fault *fault, const cs_yaml *y)
{
    cs_telemetry_config c = *io;
    uint64_t otlp = c.otlp_ms / 1000, poll = c.poll_ms / 1000;

    CS_TRY(read_text(c.listen, sizeof c.listen, y, fault, "telemetry.listen"));
    CS_TRY(read_text(c.otlp, sizeof c.otlp, y, fault, "telemetry.otlpEndpoint"));
    CS_TRY(read_text(c.otlp_ca, sizeof c.otlp_ca, y, fault, "telemetry.otlpCaFile"));
    CS_TRY(cs_yaml_u64(&otlp, y, fault, "telemetry.otlpSeconds", otlp, 1, 3600));
    CS_TRY(cs_yaml_u64(&poll, y, fault, "telemetry.pollSeconds", poll, 1, 3600));
    c.listen_set = c.listen_set || cs_yaml_get(y, "telemetry.listen") != NULL;
    c.otlp_ms = otlp * 1000;
    c.poll_ms = poll * 1000;
    CS_TRY(cs_telemetry_config_check(&c, fault));
    *io = c;
    return CS_OK;
}

cs_err cs_telemetry_config_print(cs_buf *out, const cs_telemetry_config *c)
{
    return cs_put_fmt(
        out,
        "telemetry:\n  listen: \"%s\"\n  otlpEndpoint: \"%s\"\n  otlpCaFile: \"%s\"\n  otlpSeconds: %llu\n"
        "  pollSeconds: %llu\n",
        c->listen, c->otlp, c->otlp_ca, (unsigned long long)(c->otlp_ms / 1000),
        (unsigned long long)(c->poll_ms / 1000));
}
