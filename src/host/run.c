/* sign-host run: one local run from the configuration to the end. Other drivers are not there yet. */
#include "host/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "host/local_lease.h"
#include "host/proxy.h"
#include "host/run_remote.h"

#define LOCAL_CONNS 32000u

/* One local run. */
struct run {
    cs_loop *loop;
    cs_enclave *enclave;
    pid_t preload;             /* the injecting child, 0 when it has ended */
    pid_t lease;               /* the child that renews credentials, 0: none */
    const cs_preload_opts *po; /* what it was started with */
    cs_err outcome;
    bool keep, halted, stopping;
    char image[CS_HOST_PATH_MAX];
    cs_host_measured measured;
    char why[200]; /* detail of a refusal */
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

static void end_child(pid_t pid)
{
    if (pid > 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
}

/* A sign-kms that is started again has no credentials: they are fetched at once. */
static void renew_now(struct run *r)
{
    if (r->lease == 0) {
        return;
    }
    end_child(r->lease);
    r->lease = 0;
    cs_err err = cs_local_lease_start(&r->lease, r->po, 0);
    if (err != CS_OK) {
        cs_log_err(CS_LOG_WARN, "renew_credentials", err);
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
        } else if (pid == r->lease) {
            r->lease = 0;
        } else {
            cs_enclave_child_ended(r->enclave, pid, status);
            renew_now(r);
        }
    }
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

/* The image: the one that was given, or one that is compiled and built now. What it says decides what is preloaded. */
static cs_err prepare_image(struct run *r, const cs_args *a)
{
    const char *config = cs_args_str(a, "config"), *image = cs_args_str(a, "image");
    uint64_t begun = cs_clock_mono_ms();

    if (config == NULL) {
        (void)snprintf(r->image, sizeof r->image, "%s", image);
    } else {
        cs_err err = cs_host_compile(r->image, config, cs_args_str(a, "dir"), a);
        cs_phase("compile, build image", begun, err, "");
        CS_TRY(err);
    }
    return cs_host_measured_read(&r->measured, r->image);
}

static cs_err start_enclave(struct run *r, const cs_enclave_opts *eo)
{
    cs_signal *s = NULL; /* live as long as the process */

    CS_TRY(cs_loop_new(&r->loop));
    CS_TRY(cs_signal_new(&s, r->loop, SIGTERM, on_stop, r));
    CS_TRY(cs_signal_new(&s, r->loop, SIGINT, on_stop, r));
    CS_TRY(cs_signal_new(&s, r->loop, SIGCHLD, on_child, r));
    uint64_t begun = cs_clock_mono_ms();
    cs_err err = cs_enclave_start(&r->enclave, r->loop, eo, on_halt, r);
    cs_phase("start enclave", begun, err, eo->debug ? "DEBUG MODE" : "");
    CS_TRY(err);
    return cs_run_file_write(eo->dir, r->enclave);
}

static cs_err start(struct run *r, const cs_args *a, cs_preload *p, cs_preload_opts *po)
{
    cs_enclave_opts eo = {
        .image = r->image,
        .dir = po->dir,
        .nsm_control = cs_args_str(a, "nsm-control"),
        .debug = cs_args_flag(a, "debug-mode"),
        .verbose = cs_args_flag(a, "verbose"),
    };
    bool preload = !cs_args_flag(a, "no-preload");

    CS_TRY(cs_run_dir_lock(po->dir));
    CS_TRY(prepare_image(r, a));
    CS_TRY(cs_host_settings(&eo, r->why, a, &r->measured));
    if (r->measured.key_share_file) {
        po->order = ""; /* core loads it: nothing to fetch or inject, only to wait for */
    } else if (preload && (po->age_uri == NULL || po->shares_uri == NULL)) {
        (void)snprintf(r->why, sizeof r->why, "AGE_KEY_S3_URI and KEY_SHARES_S3_URI are required, or a key share file");
        return CS_E_USAGE;
    } else if (preload) {
        CS_TRY(cs_preload_fetch(p, po));
    }
    CS_TRY(start_enclave(r, &eo));
    po->grpc = cs_enclave_grpc(r->enclave);
    if (!preload) {
        return CS_OK;
    }
    CS_TRY(start_injection(r, p, po));
    r->po = po;
    return r->measured.lease ? cs_local_lease_start(&r->lease, po, p->expires_ms) : CS_OK;
}

static int supervise(struct run *r, const cs_args *a, cs_err err)
{
    const char *dir = cs_args_str(a, "dir");
    char path[CS_HOST_PATH_MAX];

    if (err == CS_OK) {
        cs_loop_run(r->loop);
        err = r->halted ? CS_E_LAUNCH : r->outcome;
        (void)snprintf(r->why, sizeof r->why, "the enclave has been stopped; its log: %.140s/enclave.log", dir);
    }
    end_child(r->preload);
    end_child(r->lease);
    cs_enclave_stop(r->enclave);
    if (r->enclave != NULL) {
        (void)snprintf(path, sizeof path, "%s/run.json", dir);
        (void)unlink(path);
    }
    if (err == CS_OK || r->stopping) {
        return 0;
    }
    if (err == CS_E_USAGE) {
        return cs_usage_error(a, "%s", r->why);
    }
    return cs_refuse(a, err, false, r->why[0] != '\0' ? r->why : "nothing has been started");
}

/* Only a local run may have shares in the clear: said before anything else of a driver. */
static int other_driver(const cs_args *a, const char *name)
{
    if (cs_args_str(a, "key-share-file") != NULL) {
        return cs_refuse(
            a, CS_E_KEY_SHARE_FILE, false,
            "SIGN_SERVICE_KEY_SHARE_FILE: the programs of an enclave open no file, and its parent must not see shares");
    }
    const cs_driver_ops *ops = cs_host_driver_of(name);
    if (ops == NULL) {
        return cs_usage_error(a, "--driver %s: there are nitro, local and qemu", name);
    }
    return cs_host_run_remote(a, ops);
}

/* Without --driver: an enclave where this machine can have one. A laptop has to say that it is one. */
static const char *driver_name(const cs_args *a)
{
    const char *given = cs_args_str(a, "driver");

    return given != NULL ? given : access("/dev/nitro_enclaves", F_OK) == 0 ? "nitro" : "";
}

static int check_usage(const cs_args *a)
{
    static const char *const needed[] = {"dir", "nsm-control"};

    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (cs_args_str(a, needed[i]) == NULL) {
            return cs_usage_error(a, "--%s is required", needed[i]);
        }
    }
    if ((cs_args_str(a, "config") == NULL) == (cs_args_str(a, "image") == NULL)) {
        return cs_usage_error(a, "one of --config and --image is required");
    }
    if (cs_args_str(a, "config") == NULL && cs_args_str(a, "key-share-file") != NULL) {
        return cs_usage_error(
            a, "--key-share-file (SIGN_SERVICE_KEY_SHARE_FILE) needs --config: an image is measured with "
               "its configuration");
    }
    return 0;
}

int cs_host_run(const cs_args *a)
{
    struct run r = {.keep = cs_args_flag(a, "keep")};
    cs_preload_opts po = cs_host_preload_opts(a);
    cs_preload p = {0};

    cs_log_init("sign-host", cs_args_flag(a, "verbose") ? CS_LOG_INFO : CS_LOG_WARN, STDERR_FILENO);
    if (cs_args_str(a, "readiness-sleep-seconds") != NULL) {
        (void)fprintf(stderr,
                      "sign-host: READINESS_SLEEP_SECONDS is accepted and ignored: readiness is seen by handshake\n");
    }
    const char *driver = driver_name(a);
    if (driver[0] == '\0') {
        return cs_refuse(a, CS_E_NITRO_DEVICE, false,
                         "there is no /dev/nitro_enclaves; without an enclave: --driver local");
    }
    if (strcmp(driver, "local") != 0) {
        return other_driver(a, driver);
    }
    int status = check_usage(a);
    if (status != 0) {
        return status;
    }
    (void)cs_proxy_fitting(LOCAL_CONNS, 1); /* raises the limit, which the programs inherit */
    po.dir = cs_args_str(a, "dir");
    cs_err err = start(&r, a, &p, &po);
    cs_preload_free(&p);
    return supervise(&r, a, err);
}

const cs_opt cs_host_run_opts[] = {
    {.name = "driver",
     .kind = CS_OPT_STR,
     .arg = "NAME",
     .help = "how the enclave is run: nitro (default where /dev/nitro_enclaves is), local, qemu"},
    {.name = "eif",
     .kind = CS_OPT_STR,
     .arg = "FILE",
     .help = "nitro: enclave image",
     .env = "EIF_PATH",
     .def = "target/sign-service.enclave.eif"},
    {.name = "enclave-name",
     .kind = CS_OPT_STR,
     .arg = "NAME",
     .help = "nitro: name of the enclave; its replacement is NAME-2",
     .env = "ENCLAVE_NAME",
     .def = "sign-service-enclave"},
    {.name = "replace",
     .kind = CS_OPT_FLAG,
     .help =
         "nitro: start the image beside the one that runs in DIR, preload it, switch over, drain and end the old one"},
    {.name = "nitro-cli",
     .kind = CS_OPT_STR,
     .arg = "PATH",
     .help = "nitro: the program",
     .env = "NITRO_CLI",
     .def = "nitro-cli"},
    {.name = "qemu",
     .kind = CS_OPT_STR,
     .arg = "PATH",
     .help = "qemu: the program, with the machine nitro-enclave (tests only; needs vhost-device-vsock in PATH)",
     .def = "qemu-system-x86_64"},
    {.name = "console-log",
     .kind = CS_OPT_STR,
     .arg = "FILE",
     .help = "nitro: log of the enclave (port 7110), FILE.1 above 32 MiB",
     .def = "target/sign-service-enclave-console.log"},
    {.name = "drain-seconds",
     .kind = CS_OPT_U64,
     .arg = "S",
     .help = "nitro: how long open connections may go on at a stop or replacement",
     .def = "10",
     .min = 0,
     .max = 3600},
    {.name = "start-seconds",
     .kind = CS_OPT_U64,
     .arg = "S",
     .help = "nitro: how long nitro-cli may take to start an enclave (it waits for its heartbeat for 180 s)",
     .def = "200",
     .min = 1,
     .max = 3600},
    {.name = "restart-ms",
     .kind = CS_OPT_U64,
     .arg = "MS",
     .help = "nitro: first wait before an enclave that ended is started again; doubles up to 60 s",
     .def = "1000",
     .min = 10,
     .max = 60000},
    {.name = "renew-credentials",
     .kind = CS_OPT_FLAG,
     .help = "nitro: push fresh credentials on 7100 before they expire (default: when the image keeps them)"},
    {.name = "vsock-dir", .kind = CS_OPT_STR, .arg = "DIR", .help = "tests only: unix sockets of DIR instead of vsock"},
    {.name = "peer-cid",
     .kind = CS_OPT_U64,
     .arg = "CID",
     .help = "tests only: the CID of the enclave's vsock ports and of what it dials, instead of nitro-cli's",
     .def = "0",
     .min = 0,
     .max = UINT32_MAX - 1},
    {.name = "config",
     .kind = CS_OPT_STR,
     .arg = "FILE",
     .help = "YAML configuration: compiled, and the simulated image built in DIR/image"},
    {.name = "image",
     .kind = CS_OPT_STR,
     .arg = "DIR",
     .help = "simulated image that is there (sign-host image build)"},
    {.name = "dir",
     .letter = 'd',
     .kind = CS_OPT_STR,
     .arg = "DIR",
     .help = "run directory (nitro: default /run/sign-host, or sign-host in XDG_RUNTIME_DIR)"},
    {.name = "nsm-control", .kind = CS_OPT_STR, .arg = "PATH", .help = "control socket of sign-emulator's NSM model"},
    {.name = "listen", .kind = CS_OPT_STR, .arg = "ENDPOINT", .help = "where gRPC listens, instead of host-grpc-port"},
    {.name = "kms-endpoint",
     .kind = CS_OPT_STR,
     .arg = "ENDPOINT",
     .help = "where the KMS proxy connects to, instead of kms-proxy-dest-host and -port"},
    {.name = "egress",
     .kind = CS_OPT_STR,
     .arg = "ENDPOINT",
     .help = "the gateway's HTTP, instead of host-egress-target-host and -port; none: no egress"},
    CS_HOST_SEED_OPTS,
    {.name = "imds-endpoint",
     .kind = CS_OPT_STR,
     .arg = "URL",
     .help = "instance metadata service (default: AWS's)",
     .env = "IMDS_ENDPOINT"},
    {.name = "s3-endpoint", .kind = CS_OPT_STR, .arg = "URL", .help = "S3 (default: AWS's)", .env = "S3_ENDPOINT"},
    {.name = "ca-file", .kind = CS_OPT_STR, .arg = "PEM", .help = "roots for S3 over TLS", .env = "AWS_CA_BUNDLE"},
    {.name = "order",
     .kind = CS_OPT_STR,
     .arg = "LETTERS",
     .help = "injections to make: k credentials, a age key, s shares",
     .def = "kas"},
    {.name = "no-preload", .kind = CS_OPT_FLAG, .help = "start only; inject later (sign-host inject, socat)"},
    {.name = "keep",
     .kind = CS_OPT_FLAG,
     .help = "stay up when the preload is refused (nitro: go on trying, as a service does)"},
    {.name = "debug-mode",
     .kind = CS_OPT_FLAG,
     .help = "debug enclave: PCR0, 1 and 2 are zero, its console can be read"},
    {.name = "verbose", .letter = 'v', .kind = CS_OPT_FLAG, .help = "show the enclave's log on standard error"},
    {0},
};

const char cs_host_run_text[] =
    "nitro: checks the image (--eif), fetches credentials (IMDSv2) and the two objects (S3), opens the bridges, starts "
    "the\n"
    "enclave by nitro-cli, injects on 7100, 7101 and 7102 and stays: an enclave that ends is started again. --replace "
    "asks the\n"
    "sign-host that runs in DIR for another image beside the one in service.\n"
    "local: compiles the configuration (--config), starts the enclave's programs from the image, injects and stays; no "
    "enclave.\n"
    "Until SIGTERM. Exit status 1 when the preload is refused (without --keep), with the reason's code. With a key "
    "share file\n"
    "(mpc.key_share_file) nothing is fetched or injected.\n\n"
    "The environment variables above are those of the scripts that this program replaces; an option comes before a\n"
    "variable, a variable before the configuration file. An empty variable is one that is not set.\n\n"
    "Examples:\n"
    "  sign-host run --eif target/sign-service.enclave.eif \\\n"
    "    --age-key-uri s3://b/age-private.key.enc --key-shares-uri s3://b/service_key_shares.json.age\n"
    "  sign-host run --replace --eif new.eif\n"
    "  sign-host run --driver local --config sign-service.yaml --dir run --nsm-control emu/nsm-control.sock \\\n"
    "    --kms-endpoint tcp:127.0.0.1:8443 --imds-endpoint http://127.0.0.1:8001 --s3-endpoint http://127.0.0.1:9000 "
    "\\\n"
    "    --age-key-uri s3://b/age-private.key.enc --key-shares-uri s3://b/service_key_shares.json.age";
