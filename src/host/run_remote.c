/* See run_remote.h. */
#include "host/run_remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json_out.h"
#include "base/log.h"
#include "host/ask.h"
#include "host/eif_file.h"
#include "host/orphans.h"
#include "host/service.h"
#include "net/aws/s3.h"

#define REPLACE_MS 900000u
#define LEASE_MS (5u * 60u * 1000u)

static const cs_driver_ops *const drivers[] = {&cs_driver_nitro, &cs_driver_qemu};

const cs_driver_ops *cs_host_driver_of(const char *name)
{
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++) {
        if (strcmp(drivers[i]->name, name) == 0) {
            return drivers[i];
        }
    }
    return NULL;
}

const char *cs_host_dir(const cs_args *a)
{
    static char own[CS_HOST_PATH_MAX];
    const char *given = cs_args_str(a, "dir"), *runtime = getenv("XDG_RUNTIME_DIR");

    if (given != NULL) {
        return given;
    }
    if (geteuid() == 0 || access("/run/sign-host", W_OK | X_OK) == 0 || runtime == NULL || runtime[0] != '/') {
        return "/run/sign-host";
    }
    (void)snprintf(own, sizeof own, "%.400s/sign-host", runtime);
    return own;
}

/* ---------------------------------------------------------------- replacement: asked of the one that runs */

static cs_err replace_line(cs_buf *out, const cs_args *a, const cs_eif_file *eif)
{
    cs_jw w = cs_jw_begin(out);

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "op", "replace");
    cs_jw_cstr(&w, "eif", eif->path);
    if (cs_args_str(a, "age-key-uri") != NULL) {
        cs_jw_cstr(&w, "age_uri", cs_args_str(a, "age-key-uri"));
    }
    if (cs_args_str(a, "key-shares-uri") != NULL) {
        cs_jw_cstr(&w, "shares_uri", cs_args_str(a, "key-shares-uri"));
    }
    cs_jw_u64(&w, "memory_mib", cs_args_u64(a, "memory-mib"));
    cs_jw_u64(&w, "cpu_count", cs_args_u64(a, "cpu-count"));
    cs_jw_bool(&w, "debug", cs_args_flag(a, "debug-mode"));
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}

static int replace(const cs_args *a, const cs_eif_file *eif)
{
    uint8_t mem[4096];
    cs_buf line = cs_buf_wrap(mem, sizeof mem), answer = cs_buf_heap(4096);
    char detail[256] = "";
    cs_err code = CS_OK, err = replace_line(&line, a, eif);

    if (err == CS_OK) {
        err = cs_host_ask(&answer, cs_host_dir(a), cs_buf_slice(&line), REPLACE_MS);
    }
    if (err == CS_OK) {
        err = cs_host_answer(&code, detail, cs_buf_slice(&answer));
    }
    cs_buf_free(&answer);
    err = err != CS_OK ? err : code;
    if (err != CS_OK) {
        return cs_refuse(a, err, false, detail[0] != '\0' ? detail : "the enclave that runs, if any, serves on");
    }
    (void)printf("sign-host: replaced\n");
    return 0;
}

/* ---------------------------------------------------------------- run */

/* The enclave's own injectors are part of what is measured: another number leads nowhere. */
static cs_err check_injectors(char why[200], const cs_host_ports *p)
{
    const uint32_t got[] = {p->credentials, p->age, p->shares};

    for (uint32_t k = 0; k < 3; k++) {
        if (got[k] != 7100 + k) {
            (void)snprintf(why, 200, "an enclave listens for injections on 7100, 7101 and 7102, not on %u", got[k]);
            return CS_E_CONFIG;
        }
    }
    return CS_OK;
}

static cs_err check_uris(char why[200], const cs_args *a)
{
    static const char *const rows[][2] = {{"age-key-uri", "AGE_KEY_S3_URI"}, {"key-shares-uri", "KEY_SHARES_S3_URI"}};

    for (int k = 0; k < 2; k++) {
        const char *uri = cs_args_str(a, rows[k][0]);
        cs_s3_uri parsed;
        if (uri == NULL) {
            (void)snprintf(why, 200, "%s (--%s) is required", rows[k][1], rows[k][0]);
            return CS_E_USAGE;
        }
        if (cs_s3_parse_uri(&parsed, uri) != CS_OK) {
            (void)snprintf(why, 200, "%s: %.120s", rows[k][1], uri);
            return CS_E_S3_URI;
        }
    }
    return CS_OK;
}

static cs_err check_memory(char why[200], const cs_args *a, const cs_eif_file *eif)
{
    uint64_t asked = cs_args_u64(a, "memory-mib"), least = cs_eif_file_memory(eif);

    if (asked >= least) {
        return CS_OK;
    }
    (void)snprintf(why, 200, "MEMORY_MIB is %llu; an image of %llu bytes needs %llu", (unsigned long long)asked,
                   (unsigned long long)eif->bytes, (unsigned long long)least);
    return CS_E_NITRO_MEMORY;
}

/* It becomes an argument of nitro-cli, and a name in lists. */
static bool name_valid(const char *name)
{
    size_t n = strlen(name);

    return n > 0 && n <= 100 && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == n;
}

static cs_err make_parents(const char *path)
{
    char dir[CS_HOST_PATH_MAX];

    (void)snprintf(dir, sizeof dir, "%s", path);
    for (char *at = strchr(dir + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
            return CS_E_IO;
        }
        *at = '/';
    }
    return CS_OK;
}

static cs_service_opts service_opts(const cs_args *a, const cs_driver_ops *ops, const cs_eif_file *eif)
{
    bool qemu = ops == &cs_driver_qemu;
    const char *tool = cs_args_str(a, qemu ? "qemu" : "nitro-cli"), *vsock_dir = cs_args_str(a, "vsock-dir");
    cs_preload_opts preload = cs_host_preload_opts(a);

    preload.answers_lost = ops->answers_lost;
    return (cs_service_opts){
        .instance = {.ops = ops,
                     .driver = {.eif = eif->path,
                                .name = cs_args_str(a, "enclave-name"),
                                .cid = (uint32_t)cs_args_u64(a, "enclave-cid"),
                                .memory_mib = cs_args_u64(a, "memory-mib"),
                                .cpu_count = cs_args_u64(a, "cpu-count"),
                                .debug = cs_args_flag(a, "debug-mode"),
                                .tool = tool,
                                .dir = cs_host_dir(a),
                                .peer_cid = (uint32_t)cs_args_u64(a, "peer-cid"),
                                .vsock_dir = vsock_dir != NULL || !qemu ? vsock_dir : cs_host_dir(a),
                                .start_ms = (uint32_t)cs_args_u64(a, "start-seconds") * 1000u},
                     .preload = preload,
                     .no_preload = cs_args_flag(a, "no-preload")},
        .base_name = cs_args_str(a, "enclave-name"),
        .console_log = cs_args_str(a, "console-log"),
        .dir = cs_host_dir(a),
        .peer_cid = (uint32_t)cs_args_u64(a, "peer-cid"),
        .drain_ms = (uint32_t)cs_args_u64(a, "drain-seconds") * 1000u,
        .restart_ms = (uint32_t)cs_args_u64(a, "restart-ms"),
        .lease_ms = cs_args_flag(a, "renew-credentials") || eif->measured.lease ? LEASE_MS : 0,
        .keep = cs_args_flag(a, "keep"),
        .verbose = cs_args_flag(a, "verbose"),
    };
}

static cs_err prepare(cs_service_opts *o, char why[200], const cs_args *a, cs_eif_file *eif)
{
    cs_enclave_opts eo = {0};
    unsigned orphans = 0;

    eif->measured.address = "0.0.0.0"; /* as the scripts that this program replaces */
    CS_TRY(cs_host_settings(&eo, why, a, &eif->measured));
    o->grpc = eo.grpc;
    o->kms = eo.kms;
    o->egress = eo.egress;
    o->ports = eo.ports;
    if (o->instance.ops == &cs_driver_qemu && o->instance.driver.debug) {
        (void)snprintf(why, 200, "--debug-mode: QEMU's machine has none: its registers are never zero");
        return CS_E_USAGE;
    }
    CS_TRY(check_injectors(why, &eo.ports));
    if (eif->measured.key_share_file) {
        (void)snprintf(why, 200, "mpc.key_share_file is measured in the image");
        return CS_E_KEY_SHARE_FILE;
    }
    if (!cs_args_flag(a, "no-preload")) {
        CS_TRY(check_uris(why, a));
    }
    (void)snprintf(why, 200, "the folder of %.150s", o->console_log);
    CS_TRY(make_parents(o->console_log));
    (void)snprintf(why, 200, "%.150s", o->dir);
    if (o->instance.ops == &cs_driver_nitro) { /* others run in processes of ours, which end with us */
        CS_TRY(cs_orphans_end(&orphans, o->dir, o->instance.driver.tool));
    }
    CS_TRY(cs_run_dir_lock(o->dir));
    why[0] = '\0';
    return CS_OK;
}

static int refuse(const cs_args *a, cs_err err, const char *why)
{
    if (err == CS_E_USAGE) {
        return cs_usage_error(a, "%s", why);
    }
    return cs_refuse(a, err, false, why[0] != '\0' ? why : NULL);
}

int cs_host_run_remote(const cs_args *a, const cs_driver_ops *ops)
{
    static cs_eif_file eif;
    char why[CS_DRIVER_TEXT] = "";
    if (!name_valid(cs_args_str(a, "enclave-name"))) {
        return cs_usage_error(a, "--enclave-name: letters, digits, '-', '_' and '.', at most 100");
    }
    cs_err err = cs_eif_file_read(&eif, cs_args_str(a, "eif"));
    if (err != CS_OK) {
        return refuse(a, err, cs_args_str(a, "eif"));
    }
    if (!eif.has_config) {
        (void)fprintf(stderr, "sign-host: %s has no measured configuration of ours; default ports are assumed\n",
                      eif.path);
    }
    err = check_memory(why, a, &eif);
    if (err != CS_OK) {
        return refuse(a, err, why);
    }
    if (cs_args_flag(a, "replace")) {
        return replace(a, &eif);
    }
    cs_service_opts o = service_opts(a, ops, &eif);
    err = prepare(&o, why, a, &eif);
    if (err == CS_OK) {
        err = cs_service_run(&o, why);
    }
    return err == CS_OK ? 0 : refuse(a, err, why);
}
