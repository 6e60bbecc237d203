/*
 * What the commands of the TEE service share: the gateway, the caller's identity, which enclaves are accepted, how a call is made. Values
 * come from options, else from --env FILE or the environment: TEE_GRPC, TEE_CALLER, NSM_ROOT_PEM, PCR0..2 (--env only), ATTESTATION_PCRS.
 * Secrets come by file, never by argument.
 */
#ifndef CS_TOOLS_TEE_OPEN_H
#define CS_TOOLS_TEE_OPEN_H

#include "base/json_out.h"
#include "countersign/tee.h"
#include "tools/party_open.h"
#include "tools/tool_file.h"

/* Rows for the option tables: which enclaves are accepted. */
#define CS_TEE_IMAGE_OPTS                                                                                              \
    {                                                                                                                  \
        "root",         0,    CS_OPT_STR, "PEM", "attestation root; default: AWS Nitro Enclaves root G1",              \
        "NSM_ROOT_PEM", NULL, 0,          0},                                                                          \
        {"pcr", 'p', CS_OPT_MANY, "N=HEX", "a PCR that the enclave must have; all of them", NULL, NULL, 0, 0},         \
        {"allowed",                                                                                                    \
         0,                                                                                                            \
         CS_OPT_MANY,                                                                                                  \
         "IMAGE",                                                                                                      \
         "an image that is accepted: PCR0:PCR1:PCR2[:PCR8=..], measurements (pcrs.json) or an .eif; repeat for more",  \
         NULL,                                                                                                         \
         NULL,                                                                                                         \
         0,                                                                                                            \
         0},                                                                                                           \
        {"any-pcrs", 0, CS_OPT_FLAG, NULL, "accept any image: development only", NULL, NULL, 0, 0},                    \
        {"allow-debug", 0, CS_OPT_FLAG, NULL, "accept an enclave in debug mode: development only", NULL, NULL, 0, 0},
/* the gateway and what is believed of it */
#define CS_TEE_LINK_OPTS                                                                                                 \
    {"gateway",  'g',  CS_OPT_STR, "ENDPOINT", "the gateway's TEE service, e.g. tcp:127.0.0.1:50070",                    \
     "TEE_GRPC", NULL, 0,          0},                                                                                   \
        CS_PARTY_ENV_OPT{"ca",     0,    CS_OPT_STR, "PEM", "speak TLS; these certificates vouch for the gateway",       \
                         "TEE_CA", NULL, 0,          0},                                                                 \
        {"cert", 0, CS_OPT_STR, "PEM", "the client's own certificate for TLS", NULL, NULL, 0, 0},                        \
        {"key", 0, CS_OPT_STR, "PEM", "its private key", NULL, NULL, 0, 0},                                              \
        {"server-name", 0, CS_OPT_STR, "NAME", "name in the gateway's certificate; default: HOST", NULL, NULL, 0, 0},    \
        {"token-file", 0, CS_OPT_STR, "FILE", "bearer token in its first line", NULL, NULL, 0, 0},                       \
        CS_TEE_IMAGE_OPTS{"timeout-ms", 0,       CS_OPT_U64, "MS",  "of the whole call, with its repetitions",           \
                          NULL,         "15000", 100,        600000},                                                    \
        {"retries", 0, CS_OPT_U64, "N", "repetitions of the same request after what may pass", NULL, "4", 0, 100},       \
        {"audit", 0,    CS_OPT_STR, "FILE", "append the verified audit entry of each answer (docs/formats/audit.md)",    \
         NULL,    NULL, 0,          0},                                                                                  \
        {"traceparent", 0,    CS_OPT_STR, "TEXT", "W3C trace context that the request belongs to; default: a new trace", \
         "TRACEPARENT", NULL, 0,          0},                                                                            \
        {"json", 0, CS_OPT_FLAG, NULL, "result as JSON", NULL, NULL, 0, 0},
/* of calls that a caller signs */
#define CS_TEE_CALLER_OPTS                                                                                               \
    {                                                                                                                    \
        "identity",   'i',  CS_OPT_STR, "FILE", "the caller's identity, from `signctl caller new`",                      \
        "TEE_CALLER", NULL, 0,          0},                                                                              \
        {"seal-all", 0,    CS_OPT_FLAG, NULL, "seal this request to the enclave even if it has no secret",               \
         NULL,       NULL, 0,           0},                                                                              \
        {"request-id", 0,    CS_OPT_STR, "HEX", "32 hex digits; the same request with the same id is done once",         \
         NULL,         NULL, 0,          0},                                                                             \
        {"time-ms", 0, CS_OPT_U64, "MS", "time of the request since 1970; default: now", NULL, NULL, 1, 0},              \
        {"approval", 0, CS_OPT_MANY, "FILE", "an approval of `signctl tee approve`; repeat for more", NULL, NULL, 0, 0}, \
        {"body",                                                                                                         \
         0,                                                                                                              \
         CS_OPT_STR,                                                                                                     \
         "FILE",                                                                                                         \
         "send nothing; write the request for approvers (needs --request-id and --time-ms)",                             \
         NULL,                                                                                                           \
         NULL,                                                                                                           \
         0,                                                                                                              \
         0},

typedef struct cs_tee_open {
    const cs_args *args;
    countersign_tee *tee;
    countersign_tee_call call; /* for every call of the command; its audit is the member below */
    countersign_tee_audit audit;
    countersign_error error;
    const char *detail; /* which option or file an error is about */
    /* internal */
    cs_party_open env;
    countersign_tee_options options;
    cs_buf root, ca, cert, key, token; /* key and token in the arena */
    char *allowed[CS_OPT_MAX_MANY];
    const char *pcrs[CS_OPT_MAX_MANY];
    uint8_t request_id[COUNTERSIGN_TEE_ID];
    countersign_tee_approval approvals[COUNTERSIGN_TEE_APPROVALS_MAX];
    char approvers[COUNTERSIGN_TEE_APPROVALS_MAX][65];
    cs_buf body; /* arena */
    size_t body_len;
    FILE *audit_file;
} cs_tee_open;

/*
 * cs_tee_open_all - options, files, client; needs_caller: an identity must be given. CS_E_USAGE (detail says what is missing) and errors of
 * countersign_tee_open. cs_tee_close - frees all; the zero state is fine.
 */
CS_MUST cs_err cs_tee_open_all(cs_tee_open *o, const cs_args *a, bool needs_caller);
void cs_tee_close(cs_tee_open *o);
/*
 * cs_tee_open_images - without a client: the options of CS_TEE_IMAGE_OPTS and --env only, into o->options (root_pem, pcrs, allowed, any_pcrs,
 * allow_debug).
 */
CS_MUST cs_err cs_tee_open_images(cs_tee_open *o, const cs_args *a);
/* cs_tee_failed - the error of a call of the API that returned -1. */
CS_MUST cs_err cs_tee_failed(cs_tee_open *o);
/*
 * cs_tee_put_audit - members request_id, attempts, and when there is an entry: boot, counter, head (of the last call).
 * cs_tee_only_body - the call made the body only: writes the file of --body. True when it did (then *err says how that went).
 */
void cs_tee_put_audit(cs_jw *w, const cs_tee_open *o);
bool cs_tee_only_body(cs_tee_open *o, cs_err *err);
/* cs_tee_end - closes, and the exit status: says what was refused. */
int cs_tee_end(cs_tee_open *o, cs_err err);

#endif
