/*
 * sign-core: set up, close the door (system call filter), serve. Opens nothing but what it inherits and the security module.
 * Exit status: 0 stopped in order, 1 refused to start or broken link, 2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "core/filter.h"
#include "core/links.h"
#include "core/platform.h"
#include "secret/mem.h"

static volatile int stop;

static void on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

/* OpenSSL's memory is the arena: whatever it holds is locked and wiped when freed. The length stands before the block. */
#define HEADER 16

static void *arena_malloc(size_t len, const char *file, int line)
{
    uint8_t *p = len == 0 || len > SIZE_MAX - HEADER ? NULL : cs_secret_alloc(len + HEADER);

    if (p == NULL) {
        return NULL;
    }
    memcpy(p, &len, sizeof len);
    return p + HEADER;
}

static void arena_free(void *p, const char *file, int line)
{
    cs_secret_free(p == NULL ? NULL : (uint8_t *)p - HEADER);
}

static void *arena_realloc(void *p, size_t len, const char *file, int line)
{
    size_t old = 0;
    void *bigger = NULL;

    if (p == NULL) {
        return arena_malloc(len, file, line);
    }
    if (len == 0) {
        arena_free(p, file, line);
        return NULL;
    }
    memcpy(&old, (uint8_t *)p - HEADER, sizeof old);
    bigger = arena_malloc(len, file, line);
    if (bigger != NULL) {
        memcpy(bigger, p, old < len ? old : len);
        arena_free(p, file, line);
    }
    return bigger;
}

static cs_err read_config(cs_core_config *out, int fd)
{
    static uint8_t mem[CS_CONFIG_MAX_BYTES + 1]; /* the configuration borrows from it */
    const char *bad = "";
    size_t len = 0;
    cs_err err;

    while (len < sizeof mem) {
        ssize_t n = pread(fd, mem + len, sizeof mem - len, (off_t)len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            cs_log_err(CS_LOG_ERROR, "config", CS_E_IO);
            return CS_E_IO;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    err = cs_core_config_read(out, &bad, cs_slice_of(mem, len));
    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "config", err, CS_LC("key", bad));
    }
    (void)close(fd);
    return err;
}

static cs_err make_arena(const cs_core_config *config)
{
    cs_err err = cs_arena_init((size_t)config->arena_mib << 20, cs_platform.require_lock);

    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "arena", err, CS_LU("mib", config->arena_mib),
                   CS_LB("lock_required", cs_platform.require_lock));
        return err;
    }
    if (!cs_arena_locked()) {
        cs_log(CS_LOG_WARN, "arena_not_locked", CS_LC("fix", "raise RLIMIT_MEMLOCK: secrets could be swapped out"));
    }
    if (CRYPTO_set_mem_functions(arena_malloc, arena_realloc, arena_free) != 1 ||
        OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1 || sodium_init() < 0) {
        cs_log_err(CS_LOG_ERROR, "crypto", CS_E_INTERNAL);
        return CS_E_INTERNAL;
    }
    return CS_OK;
}

/* SIGTERM and SIGINT arrive only inside ppoll. */
static void take_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal};
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)sigaction(SIGTERM, &sa, NULL);
    (void)sigaction(SIGINT, &sa, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

static cs_err serve(const cs_core_config *config, const cs_nsm *nsm, cs_links *links, const cs_sandbox *filter)
{
    cs_core_args args = {.config = config,
                         .nsm = nsm,
                         .io = cs_links_io(links),
                         .emulated = cs_platform.emulated,
                         .filtered = cs_sandbox_possible()};
    cs_core *core = NULL;
    cs_err err = cs_core_new(&core, &args);

    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "start", err);
        return err;
    }
    if (config->key_share_file[0] != '\0' && (err = cs_platform.load_shares(core, config)) != CS_OK) {
        cs_core_free(core); /* it has said why */
        return err;
    }
    if (!args.filtered) {
        cs_log(CS_LOG_WARN, "no_filter", CS_LC("why", "a build with sanitizers"));
    } else if ((err = cs_sandbox_install(filter)) != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "filter", err);
        cs_core_free(core);
        return err;
    }
    err = cs_links_run(links, core, &stop);
    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "link_broken", err);
    }
    cs_core_stop(core);
    cs_links_flush(links);
    cs_core_free(core);
    return err;
}

static cs_err make_filter(cs_sandbox *out, const cs_args *a, int nsm_fd)
{
    cs_filter_args args = {.program = cs_platform.program, .nsm_fd = nsm_fd, .device = !cs_platform.emulated};

    CS_TRY(cs_sandbox_action_of(&args.action, cs_args_str(a, "system-call-filter")));
    cs_filter_make(out, &args);
    return CS_OK;
}

static int run(const cs_args *a)
{
    static cs_core_config config;
    static cs_sandbox filter;
    cs_nsm nsm = {0};
    cs_links *links = NULL;
    cs_err err;

    if (cs_platform.load_shares == NULL && cs_args_str(a, "key-share-file") != NULL) {
        return cs_refuse(a, CS_E_KEY_SHARE_FILE, false, "SIGN_SERVICE_KEY_SHARE_FILE: this program opens no file");
    }
    if (make_filter(&filter, a, -1) != CS_OK) {
        return cs_usage_error(a, "--system-call-filter: kill or trap is wanted");
    }
    if (cs_args_str(a, "selftest-forbidden") != NULL) {
        return cs_sandbox_selftest(&filter, cs_args_u64(a, "selftest-forbidden"));
    }
    if (cs_args_str(a, "config-fd") == NULL || cs_args_str(a, "link-service") == NULL ||
        cs_args_str(a, "link-kms") == NULL) {
        return cs_usage_error(a,
                              "--config-fd, --link-service and --link-kms are required: sign-init starts this program");
    }
    cs_harden_process();
    take_signals();
    cs_log_init(cs_platform.program, CS_LOG_INFO, 2);
    err = read_config(&config, (int)cs_args_u64(a, "config-fd"));
    if (err == CS_OK && config.key_share_file[0] != '\0' && cs_platform.load_shares == NULL) {
        err = CS_E_KEY_SHARE_FILE;
        cs_log_err(CS_LOG_ERROR, "config", err, CS_LC("key", "keyShareFile"));
    }
    if (err == CS_OK) {
        cs_log_init(cs_platform.program, config.level, 2);
        err = make_arena(&config);
    }
    if (err == CS_OK && (err = cs_platform.open_nsm(&nsm, a)) != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "nsm_open", err);
    }
    if (err == CS_OK &&
        (err = cs_links_new(&links, (int)cs_args_u64(a, "link-service"), (int)cs_args_u64(a, "link-kms"))) != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "links", err);
    }
    if (err == CS_OK && (err = make_filter(&filter, a, nsm.fd)) == CS_OK) {
        err = serve(&config, &nsm, links, &filter);
    }
    cs_links_free(links);
    return err == CS_OK ? 0 : err == CS_E_USAGE ? 2 : 1;
}

int main(int argc, char **argv)
{
    const cs_cmd cmds[] = {
        {.name = "",
         .synopsis = "--config-fd N --link-service N --link-kms N",
         .summary = cs_platform.about,
         .opts = cs_platform_opts,
         .run = run},
        {0},
    };

    return cs_cmd_main(cs_platform.program, cs_platform.about, cmds, argc, argv);
}
