/* sign-service: options, configuration, set-up, one loop. See service.h and docs/formats/launch.md. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/opts.h"
#include "service/filter.h"
#include "service/platform.h"
#include "service/service.h"

#define CONFIG_MAX 65536
#define CALLS_MAX 8192u
#define CONNS_MAX 4096u /* or what the limit of descriptors leaves, see connections_max */
#define FDS_RESERVED 64u
#define DRAIN_MS 4000u /* before the launcher loses its patience (5 s) */

static cs_service service;
static cs_timer *drain_timer;

static void stop(void *cookie)
{
    (void)cookie;
    cs_loop_stop(service.loop);
}

/* SIGTERM: take no new calls, let those under way end, at most DRAIN_MS. */
static void on_terminate(void *cookie)
{
    (void)cookie;
    cs_log(CS_LOG_INFO, "draining");
    cs_grpc_server_drain(service.grpc, stop, NULL);
    cs_timer_start(drain_timer, DRAIN_MS, 0);
}

static cs_err read_config(int fd)
{
    static uint8_t bytes[CONFIG_MAX];
    size_t len = 0;
    ssize_t n = 1;

    while (len < sizeof bytes && (n = pread(fd, bytes + len, sizeof bytes - len, (off_t)len)) > 0) {
        len += (size_t)n;
    }
    (void)close(fd);
    if (n != 0) {
        return CS_E_CONFIG;
    }
    return cs_service_config_read(&service.config, cs_slice_of(bytes, len));
}

/*
 * Raises the soft limit of descriptors; before the filter. What is not for connections: the link, listeners, injectors, the
 * loop, and the subscription of each request in a room.
 */
static unsigned connections_max(void)
{
    struct rlimit fds = {0};
    bool rooms = service.config.gateway_url[0] != '\0';
    rlim_t reserved = FDS_RESERVED + (rooms ? service.config.sessions_max + CS_SERVICE_ROOM_CONNS : 0);
    rlim_t want = CONNS_MAX + reserved;

    if (getrlimit(RLIMIT_NOFILE, &fds) != 0) {
        return 0;
    }
    fds.rlim_cur = fds.rlim_max < want ? fds.rlim_max : want;
    (void)setrlimit(RLIMIT_NOFILE, &fds);
    (void)getrlimit(RLIMIT_NOFILE, &fds);
    return fds.rlim_cur >= want                     ? CONNS_MAX
           : fds.rlim_cur > reserved + FDS_RESERVED ? (unsigned)(fds.rlim_cur - reserved)
                                                    : FDS_RESERVED;
}

static cs_err open_grpc(int fd)
{
    cs_grpc_method methods[] = {
        cs_service_party_method,        cs_service_sign_tx_method,
        cs_service_attest_method,       cs_service_status_method,
        cs_service_unban_method,        cs_service_health_check_method,
        cs_service_health_watch_method, cs_service_tee_method,
        cs_service_tee_entries_method,  {0},
    };
    cs_grpc_opts opts = {
        .calls_max = CALLS_MAX, .conns_max = connections_max(), .cid = (uint32_t)service.config.parent_cid};
    cs_ep_scheme scheme;

    CS_TRY(cs_endpoint_adopt(&scheme, fd));
    return cs_grpc_server_new(&service.grpc, service.loop, fd, methods, &opts, &service);
}

static cs_err open_injector(cs_injector **out, cs_inject_kind kind, int fd)
{
    cs_ep_scheme scheme;

    CS_TRY(cs_endpoint_adopt(&scheme, fd));
    return cs_injector_new(out, &service, kind, fd);
}

static cs_err make_filter(cs_sandbox *out, const cs_args *a, int family)
{
    cs_sandbox_action action;

    CS_TRY(cs_sandbox_action_of(&action, cs_args_str(a, "system-call-filter")));
    cs_service_filter_make(out, a->program, action, family);
    return CS_OK;
}

static cs_err set_up(const cs_args *a)
{
    cs_signal *term = NULL, *interrupt = NULL; /* live as long as the process */

    if (cs_service_platform_linked.prepare != NULL) {
        CS_TRY(cs_service_platform_linked.prepare(a));
    }
    CS_TRY(read_config((int)cs_args_u64(a, "config-fd")));
    service.egress = (cs_endpoint){.scheme = CS_EP_VSOCK, .parent = true, .port = (uint32_t)service.config.egress_port};
    cs_endpoint_set_parent(&service.egress, (uint32_t)service.config.parent_cid);
    cs_log_init(a->program, service.config.log_level, STDERR_FILENO);
    CS_TRY(cs_loop_new(&service.loop));
    CS_TRY(cs_service_core_open(&service, (int)cs_args_u64(a, "link-core")));
    if (service.config.gateway_url[0] != '\0') {
        CS_TRY(cs_service_rooms_open(&service, &service.egress));
    }
    CS_TRY(open_grpc((int)cs_args_u64(a, "listen-grpc")));
    CS_TRY(open_injector(&service.inject_age, CS_INJECT_AGE, (int)cs_args_u64(a, "listen-age")));
    CS_TRY(open_injector(&service.inject_shares, CS_INJECT_SHARES, (int)cs_args_u64(a, "listen-shares")));
    CS_TRY(cs_timer_new(&drain_timer, service.loop, stop, NULL));
    CS_TRY(cs_signal_new(&term, service.loop, SIGTERM, on_terminate, NULL));
    CS_TRY(cs_signal_new(&interrupt, service.loop, SIGINT, on_terminate, NULL));
    /* everything is open: from here on only what is there, and the way to the rooms when there are any */
    static cs_sandbox filter;
    bool rooms = service.config.gateway_url[0] != '\0';
    CS_TRY(make_filter(&filter, a, rooms ? cs_service_platform_linked.family : CS_SERVICE_NO_DIAL));
    return cs_sandbox_install(&filter);
}

static int run(const cs_args *a)
{
    static const char *const needed[] = {"config-fd", "link-core", "listen-grpc", "listen-age", "listen-shares"};

    cs_log_init(a->program, CS_LOG_INFO, STDERR_FILENO);
    if (cs_service_platform_linked.shipped && cs_args_str(a, "key-share-file") != NULL) {
        return cs_refuse(a, CS_E_KEY_SHARE_FILE, false, "SIGN_SERVICE_KEY_SHARE_FILE: this program never sees shares");
    }
    static cs_sandbox widest;
    if (make_filter(&widest, a, cs_service_platform_linked.family) != CS_OK) {
        return cs_usage_error(a, "--system-call-filter: kill or trap is wanted");
    }
    if (cs_args_str(a, "selftest-forbidden") != NULL) {
        return cs_sandbox_selftest(&widest, cs_args_u64(a, "selftest-forbidden"));
    }
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (cs_args_str(a, needed[i]) == NULL) {
            return cs_usage_error(a, "--%s is required: this program is started by sign-init", needed[i]);
        }
    }
    cs_err err = set_up(a);
    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "start_failed", err);
        return 1;
    }
    cs_log(CS_LOG_INFO, "ready");
    cs_loop_run(service.loop);
    cs_log(CS_LOG_INFO, "stopped", CS_LB("core_gone", service.core_gone));
    return service.core_gone ? 1 : 0;
}

int main(int argc, char **argv)
{
    const cs_cmd commands[] = {
        {.name = "",
         .synopsis = "--config-fd FD --link-core FD --listen-grpc FD --listen-age FD --listen-shares FD",
         .summary = "front of the enclave: gRPC and the share injectors",
         .text = "Started by sign-init (in an enclave) or sign-host run --driver local; descriptors are inherited\n"
                 "(docs/formats/launch.md). Speaks gRPC on the listener, frames to sign-core on the link, dials the "
                 "egress\n"
                 "bridge when the configuration names a gateway, and writes\n"
                 "JSON lines to standard error. Holds no keys and no credentials.",
         .opts = cs_service_platform_opts,
         .run = run},
        {0},
    };

    return cs_cmd_main(program_invocation_short_name, "front of the enclave", commands, argc, argv);
}
