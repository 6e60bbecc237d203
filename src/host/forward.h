/* What the commands `proxy` and `bridge` have in common: options, listeners, metrics, signals and the drain at the end. */
#ifndef CS_HOST_FORWARD_H
#define CS_HOST_FORWARD_H

#include "base/opts.h"
#include "host/proxy.h"

#define CS_FORWARD_PAIRS (CS_OPT_MAX_MANY / 2)
#define CS_FORWARD_THREADS 16

typedef struct cs_forward_pair {
    cs_endpoint from, to;
    char name[2 * CS_EP_TEXT_MAX + 2];
    cs_addrs only; /* num 0: all addresses */
} cs_forward_pair;

#define CS_FORWARD_OPTS                                                                                                \
    {.name = "connect-ms",                                                                                             \
     .kind = CS_OPT_U64,                                                                                               \
     .arg = "MS",                                                                                                      \
     .help = "time for a connection to the destination: lookup and all its addresses",                                 \
     .def = "3000",                                                                                                    \
     .min = 10,                                                                                                        \
     .max = 600000},                                                                                                   \
        {.name = "idle-ms",                                                                                            \
         .kind = CS_OPT_U64,                                                                                           \
         .arg = "MS",                                                                                                  \
         .help = "silence in both directions that ends a connection; 0: never",                                        \
         .def = "60000",                                                                                               \
         .max = 86400000},                                                                                             \
        {.name = "drain-ms",                                                                                           \
         .kind = CS_OPT_U64,                                                                                           \
         .arg = "MS",                                                                                                  \
         .help = "after SIGTERM: how long open connections may go on",                                                 \
         .def = "30000",                                                                                               \
         .max = 3600000},                                                                                              \
        {.name = "peer-cid",                                                                                           \
         .kind = CS_OPT_STR,                                                                                           \
         .arg = "CID",                                                                                                 \
         .help = "vsock peer that may connect, or \"any\" (default: every enclave, CID 4 and above)"},                 \
        {.name = "threads",                                                                                            \
         .kind = CS_OPT_U64,                                                                                           \
         .arg = "N",                                                                                                   \
         .help = "threads (default: one for each CPU, at most 4)",                                                     \
         .max = CS_FORWARD_THREADS},                                                                                   \
        {.name = "metrics",                                                                                            \
         .kind = CS_OPT_STR,                                                                                           \
         .arg = "ENDPOINT",                                                                                            \
         .help = "Prometheus metrics over HTTP, e.g. tcp:127.0.0.1:9464 (loopback or unix only)"},                     \
        {.name = "log-level",                                                                                          \
         .kind = CS_OPT_STR,                                                                                           \
         .arg = "LEVEL",                                                                                               \
         .help = "debug, info, warn or error",                                                                         \
         .def = "info"},                                                                                               \
    {                                                                                                                  \
        .name = "vsock-dir", .kind = CS_OPT_STR, .arg = "DIR",                                                         \
        .help = "tests and emulator only: unix sockets below DIR stand for vsock (parent-PORT.sock, "                  \
                "CID/enclave-PORT.sock)"                                                                               \
    }

/*
 * cs_forward_run - until SIGTERM or SIGINT (drains; a second signal ends at once). conns_max: of each pair. Returns the exit
 * status: 0 ended by a signal, 1 with code, cause and fix on standard error, 2 usage.
 */
int cs_forward_run(const cs_args *a, const cs_forward_pair *pairs, size_t num_pairs, unsigned conns_max, int family);

#endif
