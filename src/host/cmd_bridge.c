/* sign-host bridge: connections between TCP, vsock and unix sockets, any to any, several pairs in one process. */
#include "host/cmd_bridge.h"

#include <stdio.h>
#include <string.h>

#include "host/forward.h"

/* The values of one option in their order; returns how many. */
static size_t values(const char *out[CS_OPT_MAX_MANY], const cs_args *a, const char *name)
{
    size_t num = 0;

    for (size_t i = 0; i < a->num_many; i++) {
        if (strcmp(a->cmd->opts[a->many_opt[i]].name, name) == 0) {
            out[num++] = a->many[i];
        }
    }
    return num;
}

static cs_err parse_pair(cs_forward_pair *pair, const char *from, const char *to)
{
    CS_TRY(cs_endpoint_parse(&pair->from, cs_slice_str(from)));
    CS_TRY(cs_endpoint_parse(&pair->to, cs_slice_str(to)));
    (void)snprintf(pair->name, sizeof pair->name, "%s>%s", from, to);
    return CS_OK;
}

int cs_host_bridge(const cs_args *a)
{
    static cs_forward_pair pairs[CS_FORWARD_PAIRS];
    const char *from[CS_OPT_MAX_MANY], *to[CS_OPT_MAX_MANY];
    size_t num = values(from, a, "listen"), num_to = values(to, a, "to");

    if (num == 0 || num != num_to) {
        return cs_usage_error(a, "give --listen ENDPOINT --to ENDPOINT, once or several times");
    }
    for (size_t i = 0; i < num; i++) {
        if (parse_pair(&pairs[i], from[i], to[i]) != CS_OK) {
            return cs_usage_error(a, "%s, %s: an endpoint is vsock:CID:PORT, tcp:HOST:PORT or unix:/path", from[i],
                                  to[i]);
        }
        if (pairs[i].to.scheme == CS_EP_VSOCK && pairs[i].to.cid == CS_EP_CID_ANY) {
            return cs_usage_error(a, "--to %s: name the enclave's CID", to[i]);
        }
    }
    return cs_forward_run(a, pairs, num, (unsigned)cs_args_u64(a, "max-connections"), 0);
}

const cs_opt cs_host_bridge_opts[] = {
    {.name = "listen",
     .kind = CS_OPT_MANY,
     .arg = "ENDPOINT",
     .help = "where connections come from: vsock:any:PORT, tcp:HOST:PORT, unix:/path"},
    {.name = "to",
     .kind = CS_OPT_MANY,
     .arg = "ENDPOINT",
     .help = "where those of the --listen before it go: vsock:CID:PORT, tcp:HOST:PORT, unix:/path"},
    {.name = "max-connections",
     .kind = CS_OPT_U64,
     .arg = "N",
     .help = "of each pair at once; one more is refused",
     .def = "16384",
     .min = 1,
     .max = 1000000},
    CS_FORWARD_OPTS,
    {0},
};

const char cs_host_bridge_text[] =
    "Stands in for the socat bridges: the first --listen goes to the first --to, the second to the second. Half-close\n"
    "passes both ways, a reset is passed on, a side that does not read stops the other.\n\n"
    "Example (ingress and egress of an enclave with CID 16):\n"
    "  sign-host bridge --listen tcp:0.0.0.0:50051 --to vsock:16:50051 \\\n"
    "    --listen vsock:any:8080 --to tcp:sign-gateway:8080";
