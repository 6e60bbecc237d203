/*
 * sign-kms: holds AWS credentials and the TLS session to KMS, nothing else. It sees ciphertext only: every answer of KMS is
 * encrypted to sign-core's key. Source: architecture 1, 2; docs/formats/launch.md.
 */
#include <malloc.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kms/filter.h"
#include "kms/platform.h"
#include "kms/server.h"

static void harden(void)
{
    static const struct rlimit none = {0, 0};
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
}

static cs_err read_section(cs_buf *out, int fd)
{
    uint8_t chunk[4096];
    off_t at = 0;
    for (;;) {
        ssize_t n = pread(fd, chunk, sizeof chunk, at);
        if (n < 0) {
            return CS_E_IO;
        }
        if (n == 0) {
            (void)close(fd);
            return out->len > 0 ? CS_OK : CS_E_CONFIG;
        }
        CS_TRY(cs_put(out, chunk, (size_t)n));
        at += n;
    }
}

static bool is_packet_socket(int fd)
{
    int type = 0;
    socklen_t len = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

/* SIGTERM and SIGINT as something to poll. */
static int open_stop_fd(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)signal(SIGPIPE, SIG_IGN);
    return sigprocmask(SIG_BLOCK, &set, NULL) == 0 ? signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK) : -1;
}

typedef struct parts {
    cs_buf section;
    cs_kms_config config;
    cs_kms_hold *hold;
    cs_tls_ctx *tls;
    cs_kms_server_opts o;
    cs_kms_server *server;
    cs_sandbox filter;
} parts;

static cs_err set_up(parts *p, const cs_args *a, const char **detail)
{
    const char *bad = "";
    bool locked = false;
    cs_ep_scheme scheme;
    if (cs_kms_platform_linked.prepare != NULL) {
        CS_TRY(cs_kms_platform_linked.prepare(a));
    }
    *detail = "--config-fd";
    CS_TRY(read_section(&p->section, (int)cs_args_u64(a, "config-fd")));
    cs_err err = cs_kms_config_read(&p->config, &bad, cs_buf_slice(&p->section));
    if (err != CS_OK) {
        *detail = bad[0] != '\0' ? bad : "kms section";
        return err;
    }
    cs_log_init(cs_kms_platform_linked.program, p->config.level, (int)cs_args_u64(a, "log-fd"));
    *detail = "--link-core";
    p->o.link_fd = (int)cs_args_u64(a, "link-core");
    if (!is_packet_socket(p->o.link_fd)) {
        return CS_E_USAGE;
    }
    *detail = "--listen-credentials";
    p->o.listen_fd = (int)cs_args_u64(a, "listen-credentials");
    CS_TRY(cs_endpoint_adopt(&scheme, p->o.listen_fd));
    *detail = "locked memory";
    CS_TRY(cs_kms_hold_new(&p->hold, cs_kms_platform_linked.require_lock, &locked));
    if (!locked) {
        cs_log(CS_LOG_WARN, "memory-not-locked");
    }
    *detail = "openssl"; /* no configuration file is looked for, whatever environment and image say */
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1) {
        return CS_E_INTERNAL;
    }
    *detail = "ca";
    CS_TRY(cs_tls_client_new(&p->tls, p->config.ca));
    *detail = "signals";
    p->o.stop_fd = open_stop_fd();
    p->o.config = &p->config;
    p->o.hold = p->hold;
    p->o.tls = p->tls;
    if (p->o.stop_fd < 0) {
        return CS_E_INTERNAL;
    }
    *detail = "threads";
    (void)mallopt(M_ARENA_MAX, 1); /* glibc counts the processors before it makes more, which the filter forbids */
    CS_TRY(cs_kms_server_new(&p->server, &p->o));
    *detail = "system call filter";
    return cs_sandbox_install(&p->filter);
}

static int run(const cs_args *a)
{
    static parts p;
    const char *detail = "";
    static const char *const needed[] = {"config-fd", "link-core", "listen-credentials"};
    cs_sandbox_action action;
    p.section = cs_buf_heap(CS_KMS_CONFIG_MAX);
    if (cs_sandbox_action_of(&action, cs_args_str(a, "system-call-filter")) != CS_OK) {
        return cs_usage_error(a, "--system-call-filter: kill or trap is wanted");
    }
    cs_kms_filter_make(&p.filter, a->program, action, (int)cs_args_u64(a, "log-fd"), cs_kms_platform_linked.family);
    if (cs_args_str(a, "selftest-forbidden") != NULL) {
        return cs_sandbox_selftest(&p.filter, cs_args_u64(a, "selftest-forbidden"));
    }
    for (size_t i = 0; i < 3; i++) {
        if (cs_args_str(a, needed[i]) == NULL) {
            return cs_usage_error(a, "--%s is needed", needed[i]);
        }
    }
    harden();
    cs_err err = set_up(&p, a, &detail);
    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "start", err, CS_LC("about", detail));
    } else {
        cs_log(CS_LOG_INFO, "started", CS_LSTR("region", p.config.region), CS_LSTR("key", p.config.key_arn));
        err = cs_kms_server_run(p.server);
        if (err != CS_OK) {
            cs_log_err(CS_LOG_ERROR, "ended", err);
        }
    }
    cs_kms_server_free(p.server);
    cs_kms_hold_free(p.hold);
    if (p.tls != NULL) {
        cs_tls_ctx_free(p.tls);
    }
    cs_buf_free(&p.section);
    return err == CS_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    const cs_cmd cmds[] = {
        {"", "--config-fd N --link-core N --listen-credentials N", "started by sign-init or sign-host", NULL,
         cs_kms_platform_opts, 0, 0, run},
        {NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
    };
    return cs_cmd_main(cs_kms_platform_linked.program, cs_kms_platform_linked.about, cmds, argc, argv);
}
