/* sign-host: commands. See host.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/measured.h"
#include "base/json_out.h"
#include "base/log.h"
#include "base/opts.h"
#include "base/text.h"
#include "host/cmd_bridge.h"
#include "host/cmd_service.h"
#include "host/doctor.h"
#include "host/run.h"

/* ---------------------------------------------------------------- pcrs, image */

static int cmd_pcrs(const cs_args *a)
{
    static const char *const names[] = {"PCR0", "PCR1", "PCR2"};
    uint8_t mem[1024];
    cs_buf json = cs_buf_wrap(mem, sizeof mem);
    cs_image *image = NULL;
    cs_err err = cs_image_load(&image, a->pos[0]);

    if (err != CS_OK) {
        return cs_refuse(a, err, false, a->pos[0]);
    }
    cs_jw w = cs_jw_begin(&json);
    cs_jw_object(&w, NULL);
    cs_jw_object(&w, "Measurements");
    cs_jw_cstr(&w, "HashAlgorithm", "Sha384 { ... }"); /* as nitro-cli prints it */
    for (int i = 0; i < 3; i++) {
        cs_jw_hex(&w, names[i], cs_slice_of(cs_image_pcrs(image)[i].b, CS_PCR_LEN));
    }
    cs_jw_close_object(&w);
    cs_jw_close_object(&w);
    cs_image_free(image);
    if (cs_jw_end(&w) != CS_OK) {
        return cs_refuse(a, CS_E_INTERNAL, false, NULL);
    }
    (void)printf("%.*s\n", (int)json.len, (const char *)json.p);
    return 0;
}

static int cmd_image(const cs_args *a)
{
    char self[CS_HOST_PATH_MAX];

    if (cs_args_str(a, "config") == NULL) {
        return cs_usage_error(a, "--config is required");
    }
    cs_err err = cs_program_dir(self);
    if (err == CS_OK) {
        err = cs_image_build(a->pos[0], self, cs_args_str(a, "config"));
    }
    return err == CS_OK ? 0 : cs_refuse(a, err, false, a->pos[0]);
}

/* ---------------------------------------------------------------- inject */

static void print_answer(unsigned port, cs_err err, const char *detail)
{
    uint8_t mem[1024];
    cs_buf json = cs_buf_wrap(mem, sizeof mem);
    cs_jw w = cs_jw_begin(&json);

    cs_jw_object(&w, NULL);
    cs_jw_u64(&w, "port", port);
    cs_jw_cstr(&w, "code", cs_err_code(err));
    cs_jw_cstr(&w, "detail", detail);
    cs_jw_close_object(&w);
    if (cs_jw_end(&w) == CS_OK) {
        (void)printf("%.*s\n", (int)json.len, (const char *)json.p);
    }
    (void)fflush(stdout);
}

static int inject_one(const cs_args *a, unsigned port, const char *option, cs_err *worst)
{
    const char *file = cs_args_str(a, option), *dir = cs_args_str(a, "dir");
    cs_endpoint to = {.scheme = CS_EP_UNIX};
    cs_inject_answer answer = {0};
    cs_buf bytes = {0};

    if (file == NULL) {
        return 0;
    }
    const cs_host_ports ports = cs_host_inject_ports(a);
    if (cs_args_str(a, "cid") != NULL) {
        to = (cs_endpoint){
            .scheme = CS_EP_VSOCK, .cid = (uint32_t)cs_args_u64(a, "cid"), .port = cs_host_port(&ports, port)};
    } else {
        (void)snprintf(to.host, sizeof to.host, "%s/enclave-%u.sock", dir, (unsigned)cs_host_port(&ports, port));
    }
    cs_err err = cs_read_whole(&bytes, file);
    if (err == CS_OK) {
        err = cs_inject_send(&answer, &to, cs_buf_slice(&bytes), 5000, 130000);
    }
    cs_buf_free(&bytes);
    err = err == CS_OK ? answer.code : err;
    print_answer(port, err, answer.detail);
    if (*worst == CS_OK) {
        *worst = err;
    }
    return 1;
}

/* Credentials first, then each file; the first of a pair is answered at once, so that one command can send both in turn. */
static int cmd_inject(const cs_args *a)
{
    cs_err worst = CS_OK;

    if ((cs_args_str(a, "dir") == NULL) == (cs_args_str(a, "cid") == NULL)) {
        return cs_usage_error(a, "one of --dir (a local run) and --cid (an enclave) is required");
    }
    int sent = inject_one(a, 7100, "credentials", &worst) + inject_one(a, 7101, "age-key", &worst) +
               inject_one(a, 7102, "shares", &worst);
    if (sent == 0) {
        return cs_usage_error(a, "give --credentials, --age-key or --shares");
    }
    return worst == CS_OK ? 0 : cs_refuse(a, worst, false, NULL);
}

/* ---------------------------------------------------------------- options */

#define OPT_DIR                                                                                                        \
    {                                                                                                                  \
        .name = "dir", .letter = 'd', .kind = CS_OPT_STR, .arg = "DIR",                                                \
        .help = "run directory (sockets, log, run.json)"                                                               \
    }

static const cs_opt image_opts[] = {
    {.name = "config", .kind = CS_OPT_STR, .arg = "CBOR", .help = "compiled configuration (signctl config compile)"},
    {0},
};

static const cs_opt inject_opts[] = {
    OPT_DIR,
    {.name = "cid",
     .kind = CS_OPT_U64,
     .arg = "CID",
     .help = "context id of an enclave, instead of --dir",
     .min = 4,
     .max = UINT32_MAX - 1},
    {.name = "credentials",
     .kind = CS_OPT_STR,
     .arg = "FILE",
     .help = "credentials JSON for 7100 (- for standard input)"},
    {.name = "age-key", .kind = CS_OPT_STR, .arg = "FILE", .help = "age-private.key.enc for 7101"},
    {.name = "shares", .kind = CS_OPT_STR, .arg = "FILE", .help = "service_key_shares.json.age for 7102"},
    CS_HOST_INJECT_OPTS,
    {0},
};

static const cs_opt no_opts[] = {{0}};

static const cs_cmd commands[] = {
    {.name = "run",
     .synopsis = "[--driver nitro] [--eif FILE] [--replace] | --driver local --config FILE|--image DIR --dir DIR "
                 "--nsm-control PATH",
     .summary = "run an enclave and preload its shares",
     .text = cs_host_run_text,
     .opts = cs_host_run_opts,
     .run = cs_host_run},
    {.name = "image build",
     .synopsis = "--config CBOR DIR",
     .summary = "make a simulated image from the programs beside this one",
     .opts = image_opts,
     .min_args = 1,
     .max_args = 1,
     .run = cmd_image},
    {.name = "pcrs",
     .synopsis = "DIR",
     .summary = "print PCR0, PCR1 and PCR2 of a simulated image",
     .opts = no_opts,
     .min_args = 1,
     .max_args = 1,
     .run = cmd_pcrs},
    {.name = "inject",
     .synopsis = "--dir DIR|--cid CID [--credentials FILE] [--age-key FILE] [--shares FILE]",
     .summary = "inject into a running enclave (a new pair of 7101 and 7102 is a reload)",
     .opts = inject_opts,
     .run = cmd_inject},
    {.name = "proxy",
     .synopsis = "[-4|-6] [-w N] [--config FILE] LOCAL_PORT REMOTE_ADDR REMOTE_PORT",
     .summary = "pass connections of enclaves on to one allowed destination (as vsock-proxy does)",
     .text = cs_host_proxy_text,
     .opts = cs_host_proxy_opts,
     .min_args = 3,
     .max_args = 3,
     .run = cs_host_proxy},
    {.name = "bridge",
     .synopsis = "--listen ENDPOINT --to ENDPOINT [--listen ENDPOINT --to ENDPOINT...]",
     .summary = "pass connections on between TCP, vsock and unix sockets",
     .text = cs_host_bridge_text,
     .opts = cs_host_bridge_opts,
     .run = cs_host_bridge},
    {.name = "allowlist",
     .synopsis = "[--config FILE] [HOST PORT]",
     .summary = "print the proxy's allow-list, or ask it",
     .text = cs_host_allowlist_text,
     .opts = cs_host_allowlist_opts,
     .max_args = 2,
     .run = cs_host_allowlist},
    {.name = "status",
     .synopsis = "[--dir DIR] [--json]",
     .summary = "what runs, its PCRs as attested, connections, credentials",
     .text = cs_host_status_text,
     .opts = cs_host_status_opts,
     .run = cs_host_cmd_status},
    {.name = "stop",
     .synopsis = "[--dir DIR]",
     .summary = "stop the enclave of a run directory",
     .text = cs_host_stop_text,
     .opts = cs_host_stop_opts,
     .run = cs_host_cmd_stop},
    {.name = "reload",
     .synopsis = "[--dir DIR]",
     .summary = "fetch and inject again, without a restart",
     .text = cs_host_reload_text,
     .opts = cs_host_reload_opts,
     .run = cs_host_cmd_reload},
    {.name = "console",
     .synopsis = "[--dir DIR]",
     .summary = "console of an enclave in debug mode",
     .text = cs_host_console_text,
     .opts = cs_host_console_opts,
     .run = cs_host_cmd_console},
    {.name = "doctor",
     .synopsis = "[--eif FILE] [--json] [OPTION...]",
     .summary = "look at everything that a start needs; cause and fix of what is wrong",
     .text = cs_doctor_text,
     .opts = cs_doctor_opts,
     .run = cs_doctor_main},
    {0},
};

int main(int argc, char **argv)
{
    (void)signal(SIGXFSZ, SIG_IGN); /* a log that may not grow ends no enclave */
    cs_cmd_on_version(cs_measured_version);
    return cs_cmd_main("sign-host", "the parent instance's side of Countersign", commands, argc, argv);
}
