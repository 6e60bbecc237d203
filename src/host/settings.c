/* See settings.h. */
#include "host/settings.h"

#include <stdio.h>
#include <string.h>

#include "codec/cbor.h"
#include "net/aws/region.h"
#include "net/aws/s3.h"

#define CONFIG_MAX ((size_t)1 << 20)

/* ---------------------------------------------------------------- the measured side */

/* The value of a key of a section; CS_E_NOT_FOUND when it is not there. */
static cs_err find(cs_slice *out, cs_slice section, const char *key)
{
    cs_cbor c = cs_cbor_of(section, CS_CBOR_STRICT);
    cs_cbor_iter it;
    cs_slice name, value;

    CS_TRY(cs_cbor_map(&c, &it));
    while (cs_cbor_more(&c, &it)) {
        CS_TRY(cs_cbor_text(&c, &name));
        CS_TRY(cs_cbor_skip(&c, &value));
        if (cs_slice_eq_str(name, key)) {
            *out = value;
            return CS_OK;
        }
    }
    return CS_E_NOT_FOUND;
}

static cs_err find_port(uint64_t *out, cs_slice config, const char *section, const char *key)
{
    cs_slice map, value;

    if (cs_config_section(&map, config, section) != CS_OK || find(&value, map, key) != CS_OK) {
        return CS_OK; /* an image of before, or of a test */
    }
    cs_cbor c = cs_cbor_of(value, CS_CBOR_STRICT);
    CS_TRY(cs_cbor_uint(&c, out));
    return *out >= 1 && *out <= UINT32_MAX - 1 ? CS_OK : CS_E_CONFIG;
}

static cs_err read_measured(cs_host_measured *out, cs_slice config)
{
    cs_slice core, path, kms, lease;

    CS_TRY(find_port(&out->kms_proxy, config, "kms", "proxyPort"));
    CS_TRY(find_port(&out->egress, config, "service", "egressPort"));
    CS_TRY(find_port(&out->server_port, config, "host", "port"));
    if (cs_config_section(&kms, config, "kms") == CS_OK && find(&lease, kms, "lease") == CS_OK) {
        cs_cbor c = cs_cbor_of(lease, CS_CBOR_STRICT);
        CS_TRY(cs_cbor_bool(&c, &out->lease));
    }
    CS_TRY(cs_config_section(&core, config, "core"));
    if (find(&path, core, "keyShareFile") == CS_OK) {
        cs_cbor c = cs_cbor_of(path, CS_CBOR_STRICT);
        CS_TRY(cs_cbor_text(&c, &path));
        out->key_share_file = path.len > 0;
    }
    return out->server_port <= 65535 ? CS_OK : CS_E_CONFIG;
}

cs_err cs_host_measured_of(cs_host_measured *out, cs_slice config)
{
    *out = (cs_host_measured){.kms_proxy = CS_LAUNCH_PORT_KMS_PROXY,
                              .egress = CS_LAUNCH_PORT_EGRESS,
                              .server_port = 50051,
                              .address = "127.0.0.1"};
    if (config.len == 0) {
        return CS_OK;
    }
    return config.len <= CONFIG_MAX && read_measured(out, config) == CS_OK ? CS_OK : CS_E_CONFIG;
}

cs_err cs_host_measured_read(cs_host_measured *out, const char *image)
{
    char path[CS_HOST_PATH_MAX];
    cs_buf bytes = {0};

    int n = snprintf(path, sizeof path, "%s/config.cbor", image);
    if (n < 0 || (size_t)n >= sizeof path) {
        return CS_E_RANGE;
    }
    cs_err err = cs_read_whole(&bytes, path);
    if (err == CS_OK) {
        err = bytes.len > 0 ? cs_host_measured_of(out, cs_buf_slice(&bytes)) : CS_E_CONFIG;
    }
    cs_buf_free(&bytes);
    return err;
}

/* ---------------------------------------------------------------- options and environment */

static cs_err endpoint(cs_endpoint *out, char why[200], const char *about, const char *text)
{
    cs_err err = cs_endpoint_parse(out, cs_slice_str(text));

    if (err != CS_OK) {
        (void)snprintf(why, 200, "%s: %.120s is no endpoint (tcp:HOST:PORT, unix:/PATH)", about, text);
    }
    return err;
}

/* An option that gives the whole endpoint, or host and port of two. */
static cs_err tcp(cs_endpoint *out, char why[200], const char *about, const char *host, uint64_t port)
{
    char text[CS_EP_TEXT_MAX];
    bool v6 = strchr(host, ':') != NULL && host[0] != '[';
    int n =
        snprintf(text, sizeof text, "tcp:%s%s%s:%llu", v6 ? "[" : "", host, v6 ? "]" : "", (unsigned long long)port);

    if (n < 0 || (size_t)n >= sizeof text) {
        (void)snprintf(why, 200, "%s: the name is too long", about);
        return CS_E_RANGE;
    }
    return endpoint(out, why, about, text);
}

static cs_err grpc_listener(cs_enclave_opts *o, char why[200], const cs_args *a, const cs_host_measured *m)
{
    const char *listen = cs_args_str(a, "listen");
    bool given = cs_args_str(a, "host-grpc-port") != NULL;

    return listen != NULL ? endpoint(&o->grpc, why, "--listen", listen)
                          : tcp(&o->grpc, why, "HOST_GRPC_PORT", m->address,
                                given ? cs_args_u64(a, "host-grpc-port") : m->server_port);
}

static cs_err kms_destination(cs_enclave_opts *o, char why[200], const cs_args *a)
{
    const char *whole = cs_args_str(a, "kms-endpoint"), *host = cs_args_str(a, "kms-proxy-dest-host");
    char name[160];

    if (cs_args_u64(a, "kms-proxy-enable") == 0) {
        o->kms = (cs_endpoint){0};
        return CS_OK;
    }
    if (whole != NULL) {
        return endpoint(&o->kms, why, "--kms-endpoint", whole);
    }
    const char *region = cs_args_str(a, "region");
    (void)snprintf(name, sizeof name, "kms.%.100s.%s", region, cs_aws_suffix(region));
    return tcp(&o->kms, why, "KMS_PROXY_DEST_HOST", host != NULL ? host : name, cs_args_u64(a, "kms-proxy-dest-port"));
}

static cs_err gateway_destination(cs_enclave_opts *o, char why[200], const cs_args *a)
{
    const char *whole = cs_args_str(a, "egress");

    if (whole != NULL && strcmp(whole, "none") == 0) {
        return CS_OK;
    }
    return whole != NULL ? endpoint(&o->egress, why, "--egress", whole)
                         : tcp(&o->egress, why, "HOST_EGRESS_TARGET_HOST", cs_args_str(a, "host-egress-target-host"),
                               cs_args_u64(a, "host-egress-target-port"));
}

/* A port of the parent: the enclave dials the measured one, so another one would lead nowhere. */
static cs_err parent_port(uint32_t *out, char why[200], const cs_args *a, const char *option, const char *variable,
                          uint64_t measured)
{
    uint64_t port = cs_args_str(a, option) != NULL ? cs_args_u64(a, option) : measured;

    *out = (uint32_t)port;
    if (port == measured) {
        return CS_OK;
    }
    (void)snprintf(why, 200, "%s: the image's configuration dials %llu, not %llu (start with --config to compile it)",
                   variable, (unsigned long long)measured, (unsigned long long)port);
    return CS_E_CONFIG;
}

cs_preload_opts cs_host_preload_opts(const cs_args *a)
{
    return (cs_preload_opts){
        .ports = cs_host_inject_ports(a),
        .imds = cs_args_str(a, "imds-endpoint"),
        .s3 = cs_args_str(a, "s3-endpoint"),
        .ca_file = cs_args_str(a, "ca-file"),
        .region = cs_args_str(a, "region"),
        .age_uri = cs_args_str(a, "age-key-uri"),
        .shares_uri = cs_args_str(a, "key-shares-uri"),
        .order = cs_args_str(a, "order"),
    };
}

cs_host_ports cs_host_inject_ports(const cs_args *a)
{
    return (cs_host_ports){
        .credentials = (uint32_t)cs_args_u64(a, "aws-creds-vsock-port"),
        .age = (uint32_t)cs_args_u64(a, "age-key-vsock-port"),
        .shares = (uint32_t)cs_args_u64(a, "key-shares-vsock-port"),
    };
}

/* Letters of "kas", each at most once. */
static bool order_valid(const char *order)
{
    size_t n = strlen(order);

    for (size_t i = 0; i < n; i++) {
        if (strchr("kas", order[i]) == NULL || strchr(order + i + 1, order[i]) != NULL) {
            return false;
        }
    }
    return true;
}

/* What becomes part of a URL later, where a fault of it would look like one of the object or of KMS. */
static cs_err check_aws(char why[200], const cs_args *a)
{
    static const char *const urls[][2] = {{"s3-endpoint", "S3_ENDPOINT"}, {"imds-endpoint", "IMDS_ENDPOINT"}};
    static const cs_s3_uri any = {.bucket = "bucket", .key = "key"};
    const char *region = cs_args_str(a, "region"), *order = cs_args_str(a, "order");
    cs_s3_address at;

    if (!order_valid(order)) {
        (void)snprintf(why, 200, "--order %.60s: the letters k, a and s, each at most once", order);
        return CS_E_USAGE;
    }
    if (!cs_aws_region_valid(region)) {
        (void)snprintf(why, 200, "AWS_REGION: %.120s is no name of a region (us-east-1)", region);
        return CS_E_CONFIG;
    }
    for (size_t i = 0; i < 2; i++) {
        const char *url = cs_args_str(a, urls[i][0]);
        if (url != NULL && cs_s3_address_of(&at, &any, region, url) != CS_OK) {
            (void)snprintf(why, 200, "%s: %.120s is not http://HOST[:PORT] or https://HOST[:PORT]", urls[i][1], url);
            return CS_E_CONFIG;
        }
    }
    return CS_OK;
}

cs_err cs_host_settings(cs_enclave_opts *o, char why[200], const cs_args *a, const cs_host_measured *m)
{
    cs_host_ports p = cs_host_inject_ports(a);

    why[0] = '\0';
    CS_TRY(check_aws(why, a));
    CS_TRY(grpc_listener(o, why, a, m));
    CS_TRY(kms_destination(o, why, a));
    CS_TRY(gateway_destination(o, why, a));
    CS_TRY(parent_port(&p.kms_proxy, why, a, "kms-proxy-port", "KMS_PROXY_PORT", m->kms_proxy));
    CS_TRY(parent_port(&p.egress, why, a, "host-egress-vsock-port", "HOST_EGRESS_VSOCK_PORT", m->egress));
    const uint32_t all[] = {p.credentials, p.age, p.shares};
    for (int i = 0; i < 3; i++) {
        if (all[i] == all[(i + 1) % 3]) {
            (void)snprintf(why, 200, "two of the injectors have port %u", (unsigned)all[i]);
            return CS_E_CONFIG;
        }
    }
    if (p.kms_proxy == p.egress) {
        (void)snprintf(why, 200, "KMS_PROXY_PORT and HOST_EGRESS_VSOCK_PORT are both %u", (unsigned)p.egress);
        return CS_E_CONFIG;
    }
    o->ports = p;
    return CS_OK;
}
