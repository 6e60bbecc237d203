/*
 * What the commands that talk to a service share: its address, the client's shares, the conditions on its attestation, and a
 * participant on a loop. Values come from options, else from --env FILE (lines KEY=VALUE, as `make up` writes them) or the
 * environment: SIGN_SERVICE_GRPC, GATEWAY_GRPC, GATEWAY_HTTP, CLIENT_SHARES, ACCOUNT_ID, NSM_ROOT_PEM (a file); PCR0, PCR1, PCR2 from --env only,
 * ATTESTATION_PCRS ("0=HEX,1=HEX") from the environment only. Without --env, build/run/endpoints.env below the current folder stands for
 * it when it exists and no other address was given than the one that is in it.
 */
#ifndef CS_TOOLS_PARTY_OPEN_H
#define CS_TOOLS_PARTY_OPEN_H

#include "base/opts.h"
#include "party/client.h"

/* Rows for the option tables; the order is free. */
#define CS_PARTY_SERVICE_OPT                                                                                           \
    {"service", 's', CS_OPT_STR, "ENDPOINT", "the service, e.g. tcp:127.0.0.1:50051", "SIGN_SERVICE_GRPC", NULL, 0, 0},
#define CS_PARTY_ENV_OPT                                                                                               \
    {"env",                                                                                                            \
     0,                                                                                                                \
     CS_OPT_STR,                                                                                                       \
     "FILE",                                                                                                           \
     "take what is not given from these KEY=VALUE lines; default: build/run/endpoints.env of `make up`",               \
     NULL,                                                                                                             \
     NULL,                                                                                                             \
     0,                                                                                                                \
     0},
#define CS_PARTY_OPTS CS_PARTY_SERVICE_OPT CS_PARTY_ENV_OPT
/* shares, attestation, attempts: of commands that sign */
#define CS_PARTY_SHARE_OPTS                                                                                             \
    {"shares", 0, CS_OPT_STR, "FILE", "the client's share file, plain or .age", "CLIENT_SHARES", NULL, 0, 0},           \
        {"passphrase-file", 0, CS_OPT_STR, "FILE", "passphrase of the share file in its first line", NULL, NULL, 0, 0}, \
        {"root",         0,    CS_OPT_STR, "PEM", "attestation root; default: AWS Nitro Enclaves root G1",              \
         "NSM_ROOT_PEM", NULL, 0,          0},                                                                          \
        {"pcr", 'p',  CS_OPT_MANY, "N=HEX", "a PCR that the enclave must have; default: ATTESTATION_PCRS",              \
         NULL,  NULL, 0,           0},                                                                                  \
        {"any-pcrs", 0, CS_OPT_FLAG, NULL, "accept any image: development only", NULL, NULL, 0, 0},                     \
        {"allow-debug", 0, CS_OPT_FLAG, NULL, "accept an enclave in debug mode: development only", NULL, NULL, 0, 0},   \
        {"timeout-ms", 0, CS_OPT_U64, "MS", "of one attempt", NULL, "15000", 100, 600000},                              \
        {"retries", 0, CS_OPT_U64, "N", "further attempts after an aborted session", NULL, "1", 0, 10},
#define CS_PARTY_SIGN_OPTS CS_PARTY_OPTS CS_PARTY_SHARE_OPTS
#define CS_PARTY_GATEWAY_GRPC_OPT                                                                                      \
    {"gateway-grpc", 0,    CS_OPT_STR, "ENDPOINT", "the gateway's gRPC, e.g. tcp:127.0.0.1:50050",                     \
     "GATEWAY_GRPC", NULL, 0,          0},

/* How the enclave's party is reached. */
typedef enum cs_party_path {
    CS_PARTY_DIRECT,  /* Session streams of the service: --service, SIGN_SERVICE_GRPC */
    CS_PARTY_THROUGH, /* the same, passed through by the gateway: --gateway-grpc, GATEWAY_GRPC */
    CS_PARTY_ROOMS,   /* rooms of the gateway: --gateway, GATEWAY_HTTP */
    CS_PARTY_TEE,     /* no party: the gateway's TEE service (tools/tee_open.h): --gateway, TEE_GRPC */
} cs_party_path;

typedef struct cs_party_open {
    const cs_args *args;
    cs_party_path path;  /* set by the caller before cs_party_env */
    cs_buf env;          /* text of --env */
    cs_endpoint service; /* not with CS_PARTY_ROOMS */
    char gateway[4096];  /* URL; CS_PARTY_ROOMS */
    cs_share_set *shares;
    cs_att_options att;
    cs_att_policy policy;
    cs_buf root_der;
    cs_loop *loop;
    cs_pclient *client;
    const char *detail;  /* which option or file an error is about */
    char text[16][4096]; /* values from --env */
    unsigned num_text;
} cs_party_open;

/* cs_party_value - option `name`, else KEY of --env; NULL: neither. */
const char *cs_party_value(cs_party_open *o, const char *name, const char *key);
/* cs_party_env - read --env (or its default) and the address that the path needs. CS_E_USAGE names the option in detail. */
CS_MUST cs_err cs_party_env(cs_party_open *o, const cs_args *a);
/*
 * cs_party_endpoint - an address from option `name`, else KEY of --env: an endpoint, or HOST:PORT. CS_E_USAGE | errors of
 * cs_endpoint_parse.
 */
CS_MUST cs_err cs_party_endpoint(cs_party_open *o, cs_endpoint *out, const char *name, const char *key);
/* cs_party_start - everything above: arena, shares, policy, loop, participant. */
CS_MUST cs_err cs_party_start(cs_party_open *o, const cs_args *a);
/* cs_party_stop - frees all; the zero state is fine. */
void cs_party_stop(cs_party_open *o);

#endif
