/* sign-host proxy: what vsock-proxy does, with its arguments and its allow-list; sign-host allowlist. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json_out.h"
#include "base/text.h"
#include "host/allowlist.h"
#include "host/cmd_bridge.h"
#include "host/forward.h"
#include "host/host.h"

/* ---------------------------------------------------------------- the allow-list */

/* The file that was named, or the machine's, or the list that is built in. *out_file: which file, NULL: none. */
static cs_err load(cs_allowlist **out, const char **out_file, char why[300], const cs_args *a)
{
    const char *file = cs_args_str(a, "config");
    cs_allowlist_fault fault = {0};
    cs_buf text = {0};

    if (file == NULL && !cs_args_flag(a, "builtin") && access(CS_ALLOWLIST_FILE, F_OK) == 0) {
        file = CS_ALLOWLIST_FILE;
    }
    *out_file = file;
    if (file == NULL) {
        return cs_allowlist_builtin(out, NULL);
    }
    (void)snprintf(why, 300, "%.250s", file);
    cs_err err = cs_read_whole(&text, file);
    if (err == CS_OK) {
        err = cs_allowlist_read(out, &fault, cs_buf_slice(&text));
    }
    cs_buf_free(&text);
    if (fault.text[0] != '\0') {
        (void)snprintf(why, 300, "%.60s, line %u: %.200s", file, fault.line, fault.text);
    }
    return err;
}

/* HOST and PORT as vsock-proxy takes them: a name or an address without brackets. */
static int parse_target(cs_endpoint *out, const cs_args *a, const char *host, const char *port)
{
    uint64_t number = 0;
    char text[CS_EP_TEXT_MAX];

    if (cs_parse_u64(cs_slice_str(port), UINT16_MAX, &number) != CS_OK || number == 0) {
        return cs_usage_error(a, "the remote port is a number from 1 to 65535, not %.40s", port);
    }
    bool v6 = strchr(host, ':') != NULL && host[0] != '[';
    (void)snprintf(text, sizeof text, "tcp:%s%.260s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
    if (cs_endpoint_parse(out, cs_slice_str(text)) != CS_OK) {
        return cs_usage_error(a, "%.80s is no host name or address", host);
    }
    return 0;
}

static int family_of(const cs_args *a)
{
    int family = cs_args_flag(a, "ipv4") ? 4 : 0;

    return cs_args_flag(a, "ipv6") ? 6 : family;
}

/* Exit status 0 when the destination is allowed; only gets the addresses that it may lead to. */
static int check_allowed(cs_addrs *only, const cs_args *a, const cs_endpoint *to)
{
    cs_allowlist *list = NULL;
    const char *file = NULL;
    char why[300] = "", detail[CS_EP_TEXT_MAX + 300] = "";

    cs_err err = load(&list, &file, why, a);
    if (err == CS_OK) {
        err = cs_allowlist_find(only, list, to, family_of(a), NULL);
        (void)snprintf(why, sizeof why, "the given address and port are not allowed by %.200s",
                       file != NULL ? file : "the list that is built in");
        (void)snprintf(detail, sizeof detail, "%s port %u: %.280s", to->host, (unsigned)to->port, why);
    } else {
        (void)snprintf(detail, sizeof detail, "%s", why);
    }
    cs_allowlist_free(list);
    return err == CS_OK ? 0 : cs_refuse(a, err, false, detail[0] != '\0' ? detail : NULL);
}

/* ---------------------------------------------------------------- proxy */

static int parse_listen(cs_endpoint *out, const cs_args *a)
{
    const char *at = cs_args_str(a, "listen");
    uint64_t port = 0;

    if (cs_parse_u64(cs_slice_str(a->pos[0]), UINT32_MAX - 1, &port) != CS_OK || port == 0) {
        return cs_usage_error(a, "the local port is a vsock port from 1 to 4294967294, not %.40s", a->pos[0]);
    }
    *out = (cs_endpoint){.scheme = CS_EP_VSOCK, .cid = CS_EP_CID_ANY, .port = (uint32_t)port};
    if (at != NULL && cs_endpoint_parse(out, cs_slice_str(at)) != CS_OK) {
        return cs_usage_error(a, "--listen %.200s: an endpoint is vsock:any:PORT, tcp:HOST:PORT or unix:/path", at);
    }
    return 0;
}

int cs_host_proxy(const cs_args *a)
{
    static cs_forward_pair pair;
    int status = parse_listen(&pair.from, a);

    if (status == 0) {
        status = parse_target(&pair.to, a, a->pos[1], a->pos[2]);
    }
    if (status == 0 && cs_args_flag(a, "ipv4") && cs_args_flag(a, "ipv6")) {
        status = cs_usage_error(a, "-4 and -6 exclude each other");
    }
    if (status == 0) {
        status = check_allowed(&pair.only, a, &pair.to);
    }
    if (status != 0) {
        return status;
    }
    (void)snprintf(pair.name, sizeof pair.name, "%s:%u", pair.to.host, (unsigned)pair.to.port);
    return cs_forward_run(a, &pair, 1, (unsigned)cs_args_u64(a, "num_workers"), family_of(a));
}

#define ALLOWLIST_OPTS                                                                                                 \
    {.name = "config",                                                                                                 \
     .kind = CS_OPT_STR,                                                                                               \
     .arg = "FILE",                                                                                                    \
     .help = "allow-list in vsock-proxy's form (default: " CS_ALLOWLIST_FILE                                           \
             " where it is, else the list that is built in)"},                                                         \
    {                                                                                                                  \
        .name = "builtin", .kind = CS_OPT_FLAG, .help = "the list that is built in, even where that file is"           \
    }
#define FAMILY_OPTS                                                                                                    \
    {.name = "ipv4", .letter = '4', .kind = CS_OPT_FLAG, .help = "IPv4 addresses only"},                               \
    {                                                                                                                  \
        .name = "ipv6", .letter = '6', .kind = CS_OPT_FLAG, .help = "IPv6 addresses only"                              \
    }

const cs_opt cs_host_proxy_opts[] = {
    FAMILY_OPTS,
    {.name = "num_workers",
     .letter = 'w',
     .kind = CS_OPT_U64,
     .arg = "N",
     .help = "connections at once; one more is refused, not queued",
     .def = "16384",
     .min = 1,
     .max = 1000000},
    ALLOWLIST_OPTS,
    {.name = "listen",
     .kind = CS_OPT_STR,
     .arg = "ENDPOINT",
     .help = "instead of vsock:any:LOCAL_PORT, e.g. unix:/path or tcp:127.0.0.1:8000 (tests)"},
    CS_FORWARD_OPTS,
    {0},
};

const char cs_host_proxy_text[] =
    "Stands in for vsock-proxy: takes connections of enclaves on the vsock port LOCAL_PORT and passes them on to one\n"
    "destination, which the allow-list must have. TLS runs end to end through it. Differences: "
    "docs/guides/proxy.md.\n\n"
    "Examples:\n"
    "  sign-host proxy 8000 kms.us-east-1.amazonaws.com 443\n"
    "  sign-host proxy 8001 169.254.169.254 80\n"
    "  sign-host proxy -4 -w 64 --config allow.yaml --metrics tcp:127.0.0.1:9464 8002 sts.eu-west-1.amazonaws.com 443";

/* ---------------------------------------------------------------- allowlist */

static int print_list(const cs_args *a)
{
    cs_buf text = cs_buf_heap(CS_ALLOWLIST_BYTES);
    cs_allowlist *list = NULL;
    const char *region = cs_args_str(a, "region"), *file = NULL;
    char why[300] = "";

    cs_err err = region != NULL ? cs_allowlist_builtin(&list, region) : load(&list, &file, why, a);
    if (err == CS_OK) {
        err = cs_allowlist_put(&text, list);
    }
    if (err == CS_OK) {
        (void)printf("%.*s", (int)text.len, (const char *)text.p);
    }
    cs_allowlist_free(list);
    cs_buf_free(&text);
    return err == CS_OK ? 0 : cs_refuse(a, err, false, why[0] != '\0' ? why : region);
}

int cs_host_allowlist(const cs_args *a)
{
    cs_endpoint to = {0};
    cs_addrs only = {0};

    if (a->num_pos == 0) {
        return print_list(a);
    }
    if (a->num_pos != 2) {
        return cs_usage_error(a, "give a host and a port, or none of both");
    }
    int status = parse_target(&to, a, a->pos[0], a->pos[1]);
    if (status == 0) {
        status = check_allowed(&only, a, &to);
    }
    if (status == 0) {
        (void)printf("allowed\n");
    }
    return status;
}

const cs_opt cs_host_allowlist_opts[] = {
    ALLOWLIST_OPTS,
    {.name = "region", .kind = CS_OPT_STR, .arg = "REGION", .help = "of the built-in list: what this region needs"},
    FAMILY_OPTS,
    {0},
};

const char cs_host_allowlist_text[] = "Without arguments prints the allow-list that `proxy` goes by, as YAML that "
                                      "vsock-proxy reads, too. With a host and a\n"
                                      "port: exit status 0 when they are allowed, 1 when not.\n\n"
                                      "Examples:\n"
                                      "  sign-host allowlist --region eu-west-1 >vsock-proxy.yaml\n"
                                      "  sign-host allowlist --config vsock-proxy.yaml kms.eu-west-1.amazonaws.com 443";
