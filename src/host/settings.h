/*
 * The environment variables of seeds 000 and 002, each with its default and range: one table, from which come the options of
 * `sign-host run`, its --help and the checks. Order: option, environment, configuration file, default.
 */
#ifndef CS_HOST_SETTINGS_H
#define CS_HOST_SETTINGS_H

#include "base/opts.h"
#include "host/host.h"

#define CS_HOST_PORT_OPT(name_, env_, def_, help_)                                                                     \
    {                                                                                                                  \
        .name = (name_), .kind = CS_OPT_U64, .arg = "PORT", .help = (help_), .env = (env_), .def = (def_), .min = 1,   \
        .max = UINT32_MAX - 1                                                                                          \
    }
#define CS_HOST_TCP_OPT(name_, env_, def_, help_)                                                                      \
    {                                                                                                                  \
        .name = (name_), .kind = CS_OPT_U64, .arg = "PORT", .help = (help_), .env = (env_), .def = (def_), .min = 1,   \
        .max = 65535                                                                                                   \
    }
#define CS_HOST_TEXT_OPT(name_, arg_, env_, def_, help_)                                                               \
    {                                                                                                                  \
        .name = (name_), .kind = CS_OPT_STR, .arg = (arg_), .help = (help_), .env = (env_), .def = (def_)              \
    }

/* The three injectors: of `run` and of `inject`. */
#define CS_HOST_INJECT_OPTS                                                                                            \
    CS_HOST_PORT_OPT("aws-creds-vsock-port", "AWS_CREDS_VSOCK_PORT", "7100",                                           \
                     "injector of credentials; locally DIR/enclave-PORT.sock"),                                        \
        CS_HOST_PORT_OPT("age-key-vsock-port", "AGE_KEY_VSOCK_PORT", "7101",                                           \
                         "injector of the age identity; locally DIR/enclave-PORT.sock"),                               \
        CS_HOST_PORT_OPT("key-shares-vsock-port", "KEY_SHARES_VSOCK_PORT", "7102",                                     \
                         "injector of the shares; locally DIR/enclave-PORT.sock")

/* What has no default here has one in the measured configuration, or is made of others: the help says which. */
#define CS_HOST_SEED_OPTS                                                                                              \
    CS_HOST_TEXT_OPT("age-key-uri", "S3URI", "AGE_KEY_S3_URI", NULL,                                                   \
                     "KMS-encrypted age identity; required unless --no-preload or a key share file"),                  \
        CS_HOST_TEXT_OPT("key-shares-uri", "S3URI", "KEY_SHARES_S3_URI", NULL,                                         \
                         "age-encrypted shares; required unless --no-preload or a key share file"),                    \
        CS_HOST_TEXT_OPT("region", "REGION", "AWS_REGION", "us-east-1", "AWS region of S3 and of the KMS proxy"),      \
        {.name = "enclave-cid",                                                                                        \
         .kind = CS_OPT_U64,                                                                                           \
         .arg = "CID",                                                                                                 \
         .help = "context id of the enclave (nitro)",                                                                  \
         .env = "ENCLAVE_CID",                                                                                         \
         .def = "16",                                                                                                  \
         .min = 4,                                                                                                     \
         .max = UINT32_MAX - 1},                                                                                       \
        {.name = "cpu-count",                                                                                          \
         .kind = CS_OPT_U64,                                                                                           \
         .arg = "N",                                                                                                   \
         .help = "vCPUs of the enclave (nitro)",                                                                       \
         .env = "CPU_COUNT",                                                                                           \
         .def = "2",                                                                                                   \
         .min = 1,                                                                                                     \
         .max = 1024},                                                                                                 \
        {.name = "memory-mib",                                                                                         \
         .kind = CS_OPT_U64,                                                                                           \
         .arg = "MIB",                                                                                                 \
         .help = "memory of the enclave, at least four times the image (nitro)",                                       \
         .env = "MEMORY_MIB",                                                                                          \
         .def = "512",                                                                                                 \
         .min = 64,                                                                                                    \
         .max = 16777216},                                                                                             \
        CS_HOST_PORT_OPT("kms-proxy-port", "KMS_PROXY_PORT", NULL,                                                     \
                         "port of the parent that leads to KMS; locally DIR/parent-PORT.sock (default: "               \
                         "kms.proxyPort of the configuration, 5000)"),                                                 \
        CS_HOST_TEXT_OPT("kms-proxy-dest-host", "HOST", "KMS_PROXY_DEST_HOST", NULL,                                   \
                         "where the KMS proxy connects to (default: kms.REGION.amazonaws.com)"),                       \
        CS_HOST_TCP_OPT("kms-proxy-dest-port", "KMS_PROXY_DEST_PORT", "443", "port of the KMS proxy's destination"),   \
        {.name = "kms-proxy-enable",                                                                                   \
         .kind = CS_OPT_U64,                                                                                           \
         .arg = "0|1",                                                                                                 \
         .help = "0: start no KMS proxy",                                                                              \
         .env = "KMS_PROXY_ENABLE",                                                                                    \
         .def = "1",                                                                                                   \
         .min = 0,                                                                                                     \
         .max = 1},                                                                                                    \
        CS_HOST_INJECT_OPTS,                                                                                           \
        CS_HOST_TCP_OPT(                                                                                               \
            "host-grpc-port", "HOST_GRPC_PORT", NULL,                                                                  \
            "TCP port of gRPC, nitro: on all interfaces, local: on 127.0.0.1 (default: server.port of the "            \
            "configuration, 50051)"),                                                                                  \
        CS_HOST_PORT_OPT("host-egress-vsock-port", "HOST_EGRESS_VSOCK_PORT", NULL,                                     \
                         "port of the parent that leads to the gateway; locally DIR/parent-PORT.sock (default: "       \
                         "gateway.egressPort of the configuration, 8080)"),                                            \
        CS_HOST_TEXT_OPT("host-egress-target-host", "HOST", "HOST_EGRESS_TARGET_HOST", "127.0.0.1",                    \
                         "host of the gateway's HTTP"),                                                                \
        CS_HOST_TCP_OPT("host-egress-target-port", "HOST_EGRESS_TARGET_PORT", "8080", "port of the gateway's HTTP"),   \
        CS_HOST_TEXT_OPT("readiness-sleep-seconds", "S", "READINESS_SLEEP_SECONDS", NULL,                              \
                         "accepted and ignored: readiness is seen by handshake"),                                      \
        CS_HOST_TEXT_OPT("key-share-file", "PATH", "SIGN_SERVICE_KEY_SHARE_FILE", NULL,                                \
                         "share file in the clear, local runs only (default: mpc.key_share_file)")

/* What the measured configuration of an image says to the host. */
typedef struct cs_host_measured {
    uint64_t kms_proxy, egress, server_port;
    bool key_share_file; /* one is named */
    bool lease;          /* lease of the kms section, tee.enabled: sign-kms keeps credentials, which must be renewed */
    const char *
        address; /* not measured: where gRPC listens for --host-grpc-port; loopback, unless the driver says otherwise */
} cs_host_measured;
/* cs_host_measured_read - of IMAGE/config.cbor; what it does not have is as in the launch table. CS_E_IO | CS_E_NOT_FOUND | CS_E_CONFIG. */
CS_MUST cs_err cs_host_measured_read(cs_host_measured *out, const char *image);
/* cs_host_measured_of - the same of the bytes of a config.cbor; empty: the launch table's. CS_E_CONFIG. */
CS_MUST cs_err cs_host_measured_of(cs_host_measured *out, cs_slice config);

/*
 * cs_host_settings - the parts of *o and *ports that options, environment and m decide: listener, proxies, ports.
 * CS_E_CONFIG: a port was given that the image does not dial, or no region or URL of AWS; CS_E_USAGE: --order; CS_E_FORMAT, CS_E_RANGE, CS_E_UNSUPPORTED: no endpoint. *why (a text
 * of at most 200 bytes) says which.
 */
CS_MUST cs_err cs_host_settings(cs_enclave_opts *o, char why[200], const cs_args *a, const cs_host_measured *m);
/* cs_host_inject_ports - the three of CS_HOST_INJECT_OPTS. */
cs_host_ports cs_host_inject_ports(const cs_args *a);
/* cs_host_preload_opts - what options and environment of `run` say of the preload, whatever the driver; texts are borrowed. */
cs_preload_opts cs_host_preload_opts(const cs_args *a);

/*
 * cs_host_compile - compile the YAML file `config` with the signctl that stands beside this program, with what options and
 * environment say before it (kms-proxy-port, host-egress-vsock-port, key-share-file), and build DIR/image with it; *image is its path.
 * CS_E_LAUNCH (no signctl) | CS_E_CONFIG (it has said why on standard error) | CS_E_RANGE | what cs_image_build says.
 */
CS_MUST cs_err cs_host_compile(char image[CS_HOST_PATH_MAX], const char *config, const char *dir, const cs_args *a);
/* cs_program_dir - the folder of this program, without a slash at the end. CS_E_IO. */
CS_MUST cs_err cs_program_dir(char out[CS_HOST_PATH_MAX]);

#endif
