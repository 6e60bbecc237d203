/* sign-host stop, reload, console. See cmd_service.h. */
#include "host/cmd_service.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "host/ask.h"
#include "host/host.h"
#include "host/orphans.h"
#include "host/run_remote.h"
#include "net/aws/json.h"

#define STOP_MS 150000u
#define RELOAD_MS 400000u

#define OPT_DIR                                                                                                        \
    {                                                                                                                  \
        .name = "dir", .letter = 'd', .kind = CS_OPT_STR, .arg = "DIR",                                                \
        .help = "run directory (default /run/sign-host, or sign-host in XDG_RUNTIME_DIR)"                              \
    }
#define OPT_TOOL                                                                                                       \
    {                                                                                                                  \
        .name = "nitro-cli", .kind = CS_OPT_STR, .arg = "PATH", .help = "the program", .env = "NITRO_CLI",             \
        .def = "nitro-cli"                                                                                             \
    }

/* ---------------------------------------------------------------- stop */

/* Nobody holds the directory: what a killed sign-host left, and, when asked for by name, any enclave so called. */
static int stop_orphans(const cs_args *a, const char *dir)
{
    const char *name = cs_args_str(a, "enclave-name"), *tool = cs_args_str(a, "nitro-cli");
    unsigned ended = 0, named = 0;
    char path[CS_HOST_PATH_MAX];

    cs_err err = cs_orphans_end(&ended, dir, tool);
    if (err == CS_OK && name != NULL) {
        err = cs_orphans_end_named(&named, name, tool);
    }
    if (err != CS_OK) {
        return cs_refuse(a, err, false, "an enclave may still run: nitro-cli describe-enclaves");
    }
    (void)snprintf(path, sizeof path, "%.480s/run.json", dir);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%.480s/control.sock", dir);
    (void)unlink(path);
    return ended + named > 0 ? 0 : cs_refuse(a, CS_E_NOT_FOUND, false, "no enclave runs in this directory");
}

int cs_host_cmd_stop(const cs_args *a)
{
    const char *dir = cs_host_dir(a);
    char pid_text[24];
    cs_endpoint grpc;
    uint64_t until = cs_clock_mono_ms() + STOP_MS;

    if (!cs_run_dir_held(dir)) {
        return stop_orphans(a, dir);
    }
    cs_err err = cs_run_file_read(&grpc, pid_text, dir);
    pid_t pid = err == CS_OK ? (pid_t)strtol(pid_text, NULL, 10) : 0;
    if (pid <= 1 || kill(pid, SIGTERM) != 0) {
        return cs_refuse(a, CS_E_NOT_FOUND, false, "no enclave runs in this directory");
    }
    if (cs_args_flag(a, "now")) { /* the second request is not to wait for connections */
        (void)usleep(50000);
        (void)kill(pid, SIGTERM);
    }
    while (cs_run_dir_held(dir) && cs_clock_mono_ms() < until) {
        (void)usleep(20000);
    }
    return cs_run_dir_held(dir) ? cs_refuse(a, CS_E_TIMEOUT, false, NULL) : 0;
}

/* ---------------------------------------------------------------- reload */

int cs_host_cmd_reload(const cs_args *a)
{
    cs_buf answer = cs_buf_heap(4096);
    char detail[256] = "";
    cs_err code = CS_OK;
    cs_err err = cs_host_ask(&answer, cs_host_dir(a), cs_slice_str("{\"op\":\"reload\"}"), RELOAD_MS);

    if (err == CS_OK) {
        err = cs_host_answer(&code, detail, cs_buf_slice(&answer));
    }
    cs_buf_free(&answer);
    err = err != CS_OK ? err : code;
    if (err != CS_OK) {
        return cs_refuse(a, err, false, detail[0] != '\0' ? detail : "the shares in service stay");
    }
    (void)printf("sign-host: reloaded\n");
    return 0;
}

/* ---------------------------------------------------------------- console */

static cs_err ask_enclave(char id[160], bool *debug, const char *dir)
{
    cs_buf json = cs_buf_heap(65536), text = cs_buf_wrap(id, 159);
    cs_json_field f[] = {{.key = "enclave_id", .kind = CS_JSON_STRING, .out = &text},
                         {.key = "debug_mode", .kind = CS_JSON_BOOL}};

    memset(id, 0, 160);
    cs_err err = cs_host_ask(&json, dir, cs_slice_str("{\"op\":\"status\"}"), 5000);
    if (err == CS_OK && json.len > 0) {
        err = cs_json_read(cs_slice_of(json.p, json.len - 1), f, 2);
    }
    *debug = err == CS_OK && f[1].seen && cs_slice_eq_str(f[1].raw, "true");
    cs_buf_free(&json);
    return err != CS_OK ? err : id[0] != '\0' ? CS_OK : CS_E_NITRO_GONE;
}

int cs_host_cmd_console(const cs_args *a)
{
    const char *tool = cs_args_str(a, "nitro-cli"), *timeout = cs_args_str(a, "disconnect-timeout");
    char id[160];
    bool debug = false;
    cs_err err = ask_enclave(id, &debug, cs_host_dir(a));

    if (err != CS_OK) {
        return cs_refuse(a, err, false, cs_host_dir(a));
    }
    if (!debug) {
        return cs_refuse(a, CS_E_NITRO_CONSOLE, false,
                         "nitro-cli would say E44: an enclave that runs in production has no console");
    }
    const char *argv[] = {tool,    "console", "--enclave-id", id, timeout != NULL ? "--disconnect-timeout" : NULL,
                          timeout, NULL};
    (void)execvp(tool, (char *const *)(uintptr_t)argv);
    return cs_refuse(a, CS_E_NITRO_CLI, false, tool);
}

/* ---------------------------------------------------------------- options */

const cs_opt cs_host_stop_opts[] = {
    OPT_DIR,
    {.name = "now", .kind = CS_OPT_FLAG, .help = "do not wait for open connections"},
    {.name = "enclave-name",
     .kind = CS_OPT_STR,
     .arg = "NAME",
     .help = "when no sign-host runs in DIR: end the enclaves NAME and NAME-2, whoever started them"},
    OPT_TOOL,
    {0},
};
const char cs_host_stop_text[] = "Ends the sign-host that holds DIR: open connections may end (--drain-seconds of "
                                 "run), the enclave is terminated, nothing\n"
                                 "is left. Where that sign-host was killed, the enclaves that it left are terminated. "
                                 "Exit status 1 when there is nothing to end.\n\n"
                                 "Example:\n"
                                 "  sign-host stop --dir /run/sign-host";
const cs_opt cs_host_reload_opts[] = {OPT_DIR, {0}};
const char cs_host_reload_text[] =
    "The sign-host that holds DIR fetches credentials and both objects again and injects them. Either the new shares "
    "serve\n"
    "afterwards or the old ones (exit status 1, with the code). SIGHUP does the same.\n\n"
    "Example:\n"
    "  sign-host reload --dir /run/sign-host";
const cs_opt cs_host_console_opts[] = {
    OPT_DIR,
    OPT_TOOL,
    {.name = "disconnect-timeout", .kind = CS_OPT_STR, .arg = "S", .help = "give up after so many seconds"},
    {0},
};
const char cs_host_console_text[] = "The console of the enclave, by nitro-cli: in debug mode only (run --debug-mode), "
                                    "which no production key allows. The log\n"
                                    "of an enclave in production is the file of run --console-log.\n\n"
                                    "Example:\n"
                                    "  sign-host console --dir /run/sign-host --disconnect-timeout 10";
