/* sign-host: commands. See host.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/log.h"
#include "base/opts.h"
#include "base/text.h"
#include "host/host.h"

/* ---------------------------------------------------------------- run */

/* One local run. */
struct run {
    cs_loop *loop;
    cs_enclave *enclave;
    pid_t preload; /* the injecting child, 0 when it has ended */
    cs_err outcome;
    bool keep, halted, stopping;
};

static void on_stop(void *cookie)
{
    struct run *r = cookie;

    r->stopping = true;
    cs_loop_stop(r->loop);
}

static void on_halt(void *cookie)
{
    struct run *r = cookie;

    r->halted = true;
    cs_loop_stop(r->loop);
}

static void preload_ended(struct run *r, int status)
{
    r->preload = 0;
    r->outcome = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? CS_OK : CS_E_NOT_SERVING;
    if (r->outcome != CS_OK && !r->keep) {
        cs_loop_stop(r->loop);
    }
}

static void on_child(void *cookie)
{
    struct run *r = cookie;
    int status = 0;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == r->preload) {
            preload_ended(r, status);
        } else {
            cs_enclave_child_ended(r->enclave, pid, status);
        }
    }
}

static cs_err endpoint_arg(cs_endpoint *out, const cs_args *a, const char *name)
{
    const char *text = cs_args_str(a, name);

    return text == NULL ? CS_E_USAGE : cs_endpoint_parse(out, cs_slice_str(text));
}

static cs_preload_opts preload_opts(const cs_args *a)
{
    return (cs_preload_opts){
        .dir = cs_args_str(a, "dir"),
        .imds = cs_args_str(a, "imds-endpoint"),
        .s3 = cs_args_str(a, "s3-endpoint"),
        .ca_file = cs_args_str(a, "ca-file"),
        .region = cs_args_str(a, "region"),
        .age_uri = cs_args_str(a, "age-key-uri"),
        .shares_uri = cs_args_str(a, "key-shares-uri"),
        .order = cs_args_str(a, "order"),
    };
}

/* The blocking injection runs in a child of its own, so that the proxy, the logs and the supervision go on meanwhile. */
static cs_err start_injection(struct run *r, cs_preload *p, const cs_preload_opts *o)
{
    (void)fflush(stdout);
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        return CS_E_LAUNCH;
    }
    if (pid == 0) {
        (void)signal(SIGTERM, SIG_DFL);
        (void)signal(SIGINT, SIG_DFL);
        /* no orphan, whatever ends the launcher: it would hold the directory's lock and the listeners */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        cs_err err = cs_preload_inject(p, o);
        cs_preload_free(p);
        if (err != CS_OK) {
            (void)fprintf(stderr, "sign-host: %s: %s; %s\n", cs_err_code(err), cs_err_cause(err), cs_err_fix(err));
        }
        (void)fflush(stdout);
        _exit(err == CS_OK ? 0 : 1);
    }
    r->preload = pid;
    return CS_OK;
}

/* Two descriptors for each connection of the egress proxy. */
static void raise_fd_limit(void)
{
    struct rlimit fds = {0};

    if (getrlimit(RLIMIT_NOFILE, &fds) == 0) {
        rlim_t want = fds.rlim_max < 16384 ? fds.rlim_max : 16384;
        fds.rlim_cur = fds.rlim_cur < want ? want : fds.rlim_cur;
        (void)setrlimit(RLIMIT_NOFILE, &fds);
    }
}

static cs_err start(struct run *r, const cs_args *a, cs_preload *p, cs_preload_opts *po)
{
    cs_enclave_opts eo = {
        .image = cs_args_str(a, "image"),
        .dir = po->dir,
        .nsm_control = cs_args_str(a, "nsm-control"),
        .debug = cs_args_flag(a, "debug-mode"),
        .verbose = cs_args_flag(a, "verbose"),
    };
    cs_signal *s = NULL; /* live as long as the process */
    bool preload = !cs_args_flag(a, "no-preload");

    CS_TRY(endpoint_arg(&eo.grpc, a, "listen"));
    CS_TRY(endpoint_arg(&eo.kms, a, "kms-endpoint"));
    CS_TRY(endpoint_arg(&eo.egress, a, "egress"));
    CS_TRY(cs_run_dir_lock(po->dir));
    if (preload) {
        CS_TRY(cs_preload_fetch(p, po));
    }
    CS_TRY(cs_loop_new(&r->loop));
    CS_TRY(cs_signal_new(&s, r->loop, SIGTERM, on_stop, r));
    CS_TRY(cs_signal_new(&s, r->loop, SIGINT, on_stop, r));
    CS_TRY(cs_signal_new(&s, r->loop, SIGCHLD, on_child, r));
    uint64_t begun = cs_clock_mono_ms();
    cs_err err = cs_enclave_start(&r->enclave, r->loop, &eo, on_halt, r);
    cs_phase("start enclave", begun, err, eo.debug ? "DEBUG MODE" : "");
    CS_TRY(err);
    CS_TRY(cs_run_file_write(po->dir, r->enclave));
    po->grpc = cs_enclave_grpc(r->enclave);
    return preload ? start_injection(r, p, po) : CS_OK;
}

static int cmd_run(const cs_args *a)
{
    struct run r = {.keep = cs_args_flag(a, "keep")};
    cs_preload_opts po = preload_opts(a);
    cs_preload p = {0};

    raise_fd_limit();
    cs_log_init("sign-host", cs_args_flag(a, "verbose") ? CS_LOG_INFO : CS_LOG_ERROR, STDERR_FILENO);
    if (strcmp(cs_args_str(a, "driver"), "local") != 0) {
        return cs_refuse(a, CS_E_NOT_IMPLEMENTED, false, "not implemented: only --driver local exists in this version");
    }
    static const char *const needed[] = {"image", "dir", "nsm-control", "kms-endpoint"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (cs_args_str(a, needed[i]) == NULL) {
            return cs_usage_error(a, "--%s is required", needed[i]);
        }
    }
    if (!cs_args_flag(a, "no-preload") && (po.age_uri == NULL || po.shares_uri == NULL)) {
        return cs_usage_error(a, "--age-key-uri and --key-shares-uri (AGE_KEY_S3_URI, KEY_SHARES_S3_URI) are required");
    }
    cs_err err = start(&r, a, &p, &po);
    cs_preload_free(&p);
    if (err == CS_OK) {
        cs_loop_run(r.loop);
        err = r.halted ? CS_E_LAUNCH : r.outcome;
    }
    if (r.preload > 0) {
        (void)kill(r.preload, SIGKILL);
        (void)waitpid(r.preload, NULL, 0);
    }
    cs_enclave_stop(r.enclave);
    if (r.enclave != NULL) {
        char path[CS_HOST_PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/run.json", po.dir);
        (void)unlink(path);
    }
    return err == CS_OK || r.stopping ? 0 : cs_refuse(a, err, false, "the enclave has been stopped");
}

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
    char self[CS_HOST_PATH_MAX] = "";
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = n > 0 ? strrchr(self, '/') : NULL;

    if (slash == NULL || cs_args_str(a, "config") == NULL) {
        return cs_usage_error(a, "--config is required");
    }
    *slash = '\0';
    cs_err err = cs_image_build(a->pos[0], self, cs_args_str(a, "config"));
    return err == CS_OK ? 0 : cs_refuse(a, err, false, a->pos[0]);
}

/* ---------------------------------------------------------------- inject, status, stop */

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
    (void)snprintf(to.host, sizeof to.host, "%s/enclave-%u.sock", dir, port);
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

    if (cs_args_str(a, "dir") == NULL) {
        return cs_usage_error(a, "--dir is required");
    }
    int sent = inject_one(a, 7100, "credentials", &worst) + inject_one(a, 7101, "age-key", &worst) +
               inject_one(a, 7102, "shares", &worst);
    if (sent == 0) {
        return cs_usage_error(a, "give --credentials, --age-key or --shares");
    }
    return worst == CS_OK ? 0 : cs_refuse(a, worst, false, NULL);
}

static int cmd_status(const cs_args *a)
{
    cs_buf json = cs_buf_heap((size_t)1 << 20);
    cs_endpoint grpc;

    if (cs_args_str(a, "dir") == NULL) {
        return cs_usage_error(a, "--dir is required");
    }
    cs_err err = cs_run_file_read(&grpc, NULL, cs_args_str(a, "dir"));
    if (err == CS_OK) {
        err = cs_host_status(&json, NULL, &grpc, 5000);
    }
    if (err == CS_OK) {
        (void)printf("%.*s\n", (int)json.len, (const char *)json.p);
    }
    cs_buf_free(&json);
    return err == CS_OK ? 0 : cs_refuse(a, err, false, "no enclave answers");
}

static int cmd_stop(const cs_args *a)
{
    char pid_text[24];
    cs_endpoint grpc;

    if (cs_args_str(a, "dir") == NULL) {
        return cs_usage_error(a, "--dir is required");
    }
    const char *dir = cs_args_str(a, "dir");
    cs_err err = cs_run_dir_held(dir) ? cs_run_file_read(&grpc, pid_text, dir) : CS_E_NOT_FOUND;
    pid_t pid = err == CS_OK ? (pid_t)strtol(pid_text, NULL, 10) : 0;
    if (pid <= 1 || kill(pid, SIGTERM) != 0) {
        return cs_refuse(a, CS_E_NOT_FOUND, false, "no enclave runs in this directory");
    }
    for (int i = 0; i < 1000 && cs_run_dir_held(dir); i++) {
        (void)usleep(20000);
    }
    return cs_run_dir_held(dir) ? cs_refuse(a, CS_E_TIMEOUT, false, NULL) : 0;
}

/* ---------------------------------------------------------------- options */

#define OPT_DIR                                                                                                        \
    {                                                                                                                  \
        .name = "dir", .letter = 'd', .kind = CS_OPT_STR, .arg = "DIR",                                                \
        .help = "run directory (sockets, log, run.json)"                                                               \
    }

static const cs_opt run_opts[] = {
    {.name = "driver", .kind = CS_OPT_STR, .arg = "NAME", .help = "how the enclave is run", .def = "local"},
    {.name = "image", .kind = CS_OPT_STR, .arg = "DIR", .help = "simulated image (sign-host image build)"},
    OPT_DIR,
    {.name = "nsm-control", .kind = CS_OPT_STR, .arg = "PATH", .help = "control socket of sign-emulator's NSM model"},
    {.name = "listen",
     .kind = CS_OPT_STR,
     .arg = "ENDPOINT",
     .help = "where gRPC listens",
     .def = "tcp:127.0.0.1:50051"},
    {.name = "kms-endpoint", .kind = CS_OPT_STR, .arg = "ENDPOINT", .help = "where the KMS proxy connects to"},
    {.name = "egress",
     .kind = CS_OPT_STR,
     .arg = "ENDPOINT",
     .help = "the gateway's HTTP: where sign-service's port 8080 leads",
     .def = "tcp:127.0.0.1:8080"},
    {.name = "imds-endpoint",
     .kind = CS_OPT_STR,
     .arg = "URL",
     .help = "instance metadata service (default: AWS's)",
     .env = "IMDS_ENDPOINT"},
    {.name = "s3-endpoint", .kind = CS_OPT_STR, .arg = "URL", .help = "S3 (default: AWS's)", .env = "S3_ENDPOINT"},
    {.name = "ca-file", .kind = CS_OPT_STR, .arg = "PEM", .help = "roots for S3 over TLS", .env = "AWS_CA_BUNDLE"},
    {.name = "region",
     .kind = CS_OPT_STR,
     .arg = "REGION",
     .help = "AWS region",
     .env = "AWS_REGION",
     .def = "us-east-1"},
    {.name = "age-key-uri",
     .kind = CS_OPT_STR,
     .arg = "S3URI",
     .help = "KMS-encrypted age identity",
     .env = "AGE_KEY_S3_URI"},
    {.name = "key-shares-uri",
     .kind = CS_OPT_STR,
     .arg = "S3URI",
     .help = "age-encrypted shares",
     .env = "KEY_SHARES_S3_URI"},
    {.name = "order",
     .kind = CS_OPT_STR,
     .arg = "LETTERS",
     .help = "injections to make: k credentials, a age key, s shares",
     .def = "kas"},
    {.name = "no-preload", .kind = CS_OPT_FLAG, .help = "start only; inject later (sign-host inject, socat)"},
    {.name = "keep", .kind = CS_OPT_FLAG, .help = "stay up when the preload is refused"},
    {.name = "debug-mode", .kind = CS_OPT_FLAG, .help = "simulate a debug enclave: PCR0, 1 and 2 are zero"},
    {.name = "verbose", .letter = 'v', .kind = CS_OPT_FLAG, .help = "show the enclave's log on standard error"},
    {0},
};

static const cs_opt image_opts[] = {
    {.name = "config", .kind = CS_OPT_STR, .arg = "CBOR", .help = "compiled configuration (signctl config compile)"},
    {0},
};

static const cs_opt inject_opts[] = {
    OPT_DIR,
    {.name = "credentials",
     .kind = CS_OPT_STR,
     .arg = "FILE",
     .help = "credentials JSON for 7100 (- for standard input)"},
    {.name = "age-key", .kind = CS_OPT_STR, .arg = "FILE", .help = "age-private.key.enc for 7101"},
    {.name = "shares", .kind = CS_OPT_STR, .arg = "FILE", .help = "service_key_shares.json.age for 7102"},
    {0},
};

static const cs_opt dir_opts[] = {OPT_DIR, {0}};
static const cs_opt no_opts[] = {{0}};

static const cs_cmd commands[] = {
    {.name = "run",
     .synopsis = "--image DIR --dir DIR --nsm-control PATH --kms-endpoint ENDPOINT [OPTION...]",
     .summary = "run an enclave and preload its shares",
     .text =
         "Fetches credentials (IMDSv2) and the two objects (S3), starts the enclave's programs from the image, injects "
         "on\n"
         "7100, 7101 and 7102, and stays until SIGTERM. Exit status 1 when the preload is refused (without --keep).\n\n"
         "Example:\n"
         "  sign-host run --image image --dir run --nsm-control emu/nsm-control.sock --kms-endpoint tcp:127.0.0.1:8443 "
         "\\\n"
         "    --imds-endpoint http://127.0.0.1:8001 --s3-endpoint http://127.0.0.1:9000 \\\n"
         "    --age-key-uri s3://b/age-private.key.enc --key-shares-uri s3://b/service_key_shares.json.age",
     .opts = run_opts,
     .run = cmd_run},
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
     .synopsis = "--dir DIR [--credentials FILE] [--age-key FILE] [--shares FILE]",
     .summary = "inject into a running enclave (a new pair of 7101 and 7102 is a reload)",
     .opts = inject_opts,
     .run = cmd_inject},
    {.name = "status",
     .synopsis = "--dir DIR",
     .summary = "the enclave's status, JSON",
     .opts = dir_opts,
     .run = cmd_status},
    {.name = "stop",
     .synopsis = "--dir DIR",
     .summary = "stop the enclave of a run directory",
     .opts = dir_opts,
     .run = cmd_stop},
    {0},
};

int main(int argc, char **argv)
{
    return cs_cmd_main("sign-host", "the parent instance's side of Countersign", commands, argc, argv);
}
