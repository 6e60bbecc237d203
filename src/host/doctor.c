/* sign-host doctor: options, the table of checks, the loop over them with a deadline for each. See doctor.h. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "host/doctor.h"
#include "host/host.h"
#include "host/settings.h"

#define GRACE_MS 1500u /* what a check may overrun before the report ends without it */
#define REPORT_MAX ((size_t)1 << 18)

/* ---------------------------------------------------------------- the table */

/* In the order of the report; `needs` are rows before it whose findings a check uses. */
static const struct {
    cs_doctor_row row;
    const char *needs[3];
} table[] = {
    {{"image", "the enclave image is whole; its PCR0", cs_doctor_image_load}, {NULL}},
    {{"enclave", "what runs now, as attested", cs_doctor_enclave_look}, {NULL}},
    {{"debug", "debug mode, of what runs and of what the image allows", cs_doctor_enclave_debug}, {"image", "enclave"}},
    {{"running", "the enclave that runs is this image", cs_doctor_enclave_image}, {"image", "enclave"}},
    {{"device", "/dev/nitro_enclaves", cs_doctor_host_device}, {NULL}},
    {{"nitro-cli", "nitro-cli is there", cs_doctor_host_nitro_cli}, {NULL}},
    {{"allocator", "allocator.yaml against MEMORY_MIB and CPU_COUNT", cs_doctor_host_allocator}, {NULL}},
    {{"cpus", "the pool of CPUs", cs_doctor_host_cpus}, {NULL}},
    {{"hugepages", "free huge pages against MEMORY_MIB", cs_doctor_host_hugepages}, {"enclave"}},
    {{"memory", "MEMORY_MIB against 4 times the image", cs_doctor_host_memory}, {"image"}},
    {{"clock", "clock source and synchronisation", cs_doctor_host_clock}, {NULL}},
    {{"entropy", "entropy of the kernel", cs_doctor_host_entropy}, {NULL}},
    {{"imds", "instance metadata: version 2, hop limit", cs_doctor_aws_imds}, {NULL}},
    {{"credentials", "the role's credentials and their end", cs_doctor_aws_credentials}, {NULL}},
    {{"age-key", "S3: the sealed age identity", cs_doctor_aws_age_key}, {"credentials"}},
    {{"shares", "S3: the sealed share file", cs_doctor_aws_shares}, {"credentials"}},
    {{"allow-list", "the KMS proxy's allow-list", cs_doctor_kms_allowlist}, {"image"}},
    {{"kms", "TLS to KMS with the image's roots", cs_doctor_kms_reach}, {"image"}},
    {{"skew", "this clock against S3's and KMS's", cs_doctor_aws_skew}, {"kms"}},
    {{"negative", "KMS must refuse to decrypt without attestation", cs_doctor_kms_negative},
     {"image", "credentials", "age-key"}},
    {{"policy", "the key policy's PCRs against the image's, section by section", cs_doctor_kms_policy},
     {"image", "credentials"}},
    {{"expected", "the image against --expected, section by section", cs_doctor_image_expected}, {"image"}},
    {{"roots", "age of the roots for KMS in the image", cs_doctor_image_roots}, {"image"}},
    {{"signer", "age of the certificate that signed the image", cs_doctor_image_signer}, {"image"}},
};
#define NUM (sizeof table / sizeof table[0])

/* ---------------------------------------------------------------- the report, and who ends it when a check hangs */

typedef struct report {
    cs_doctor d;
    cs_doctor_row rows[NUM];
    cs_doctor_line lines[NUM];
    bool wanted[NUM], shown[NUM]; /* to be run; in the report */
    bool done[NUM];               /* in the report so far */
    bool json, colour;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    size_t at; /* the check that runs now; NUM: none */
} report;

static void finish(report *r)
{
    cs_buf out = cs_buf_heap(REPORT_MAX);

    if (!r->json) {
        cs_doctor_report_end(r->lines, r->done, NUM, r->colour);
    } else if (cs_doctor_report_json(&out, r->rows, r->lines, r->done, NUM) == CS_OK) {
        (void)fwrite(out.p, 1, out.len, stdout);
        (void)fflush(stdout);
    }
    cs_buf_free(&out);
}

/* The lock is held: the check is late beyond its own deadlines, so the process ends with what there is. */
static void give_up(report *r)
{
    cs_doctor_line late = {.took_ms = r->d.deadline_ms + GRACE_MS};
    size_t i = r->at;

    cs_doctor_report_say(&late, CS_DOCTOR_FAIL, CS_E_TIMEOUT, "the check did not end; what follows was not looked at");
    r->lines[i] = late; /* the check may still write into its line: it has one of its own */
    r->done[i] = true;
    if (!r->json) {
        cs_doctor_report_line(&r->rows[i], &late, r->colour);
    }
    finish(r);
    _exit(1);
}

static void *watch(void *cookie)
{
    report *r = cookie;
    size_t seen = NUM;
    uint64_t since = 0;

    (void)pthread_mutex_lock(&r->lock);
    for (;;) {
        struct timespec until;
        if (r->at != seen) {
            seen = r->at;
            since = cs_clock_mono_ms();
        }
        if (seen != NUM && cs_clock_mono_ms() - since >= r->d.deadline_ms + GRACE_MS) {
            give_up(r);
        }
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100 * 1000 * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&r->moved, &r->lock, &until);
    }
    return NULL;
}

/* What the image says comes before the defaults of the environment. */
static void settle(cs_doctor *d, const cs_args *a)
{
    static char arn[CS_DOCTOR_FILE_MAX / 16], host[254], region[65];

    if (d->key_arn == NULL && cs_doctor_image_text(arn, sizeof arn, &d->img, "kms", "keyArn")) {
        d->key_arn = arn;
    }
    if (cs_doctor_image_text(region, sizeof region, &d->img, "kms", "region") && region[0] != '\0') {
        d->kms_region = region;
    }
    if (cs_doctor_image_text(host, sizeof host, &d->img, "kms", "host") && host[0] != '\0') {
        (void)snprintf(d->kms_host, sizeof d->kms_host, "%s", host);
        if (cs_args_str(a, "kms-endpoint") == NULL && cs_args_str(a, "kms-proxy-dest-host") == NULL) {
            (void)snprintf(d->kms.host, sizeof d->kms.host, "%s", host);
        }
    }
}

static void run_one(report *r, size_t i, const cs_args *a)
{
    cs_doctor_line line = {.status = CS_DOCTOR_SKIP};
    uint64_t start = cs_clock_mono_ms();

    r->d.check_ends_ms = start + r->d.deadline_ms;
    (void)pthread_mutex_lock(&r->lock);
    r->at = i;
    (void)pthread_mutex_unlock(&r->lock);
    r->rows[i].run(&r->d, &line);
    line.took_ms = (uint32_t)(cs_clock_mono_ms() - start);
    (void)pthread_mutex_lock(&r->lock);
    r->at = NUM;
    r->lines[i] = line;
    r->done[i] = r->shown[i];
    if (r->shown[i] && !r->json) {
        cs_doctor_report_line(&r->rows[i], &r->lines[i], r->colour);
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (r->rows[i].run == cs_doctor_image_load) {
        settle(&r->d, a);
    }
}

/* ---------------------------------------------------------------- options */

static size_t row_named(const char *name)
{
    size_t i = 0;

    while (i < NUM && strcmp(table[i].row.name, name) != 0) {
        i++;
    }
    return i;
}

/* --only NAME...: those, and silently what they need. */
static int choose(report *r, const cs_args *a)
{
    bool all = true;

    for (size_t k = 0; k < a->num_many; k++) {
        size_t i = row_named(a->many[k]);
        if (i == NUM) {
            return cs_usage_error(a, "--only %s: no such check (--list shows them)", a->many[k]);
        }
        r->shown[i] = true;
        all = false;
    }
    for (size_t i = NUM; i-- > 0;) {
        r->rows[i] = table[i].row;
        r->shown[i] = r->shown[i] || all;
        r->wanted[i] = r->wanted[i] || r->shown[i];
        for (size_t k = 0; r->wanted[i] && k < 3 && table[i].needs[k] != NULL; k++) {
            r->wanted[row_named(table[i].needs[k])] = true; /* a row before this one */
        }
    }
    return 0;
}

static cs_err endpoint_of(cs_endpoint *out, const char *host, uint64_t port)
{
    char text[CS_EP_TEXT_MAX];
    bool v6 = strchr(host, ':') != NULL && host[0] != '[';
    int n =
        snprintf(text, sizeof text, "tcp:%s%s%s:%llu", v6 ? "[" : "", host, v6 ? "]" : "", (unsigned long long)port);

    return n > 0 && (size_t)n < sizeof text ? cs_endpoint_parse(out, cs_slice_str(text)) : CS_E_RANGE;
}

static int kms_of(cs_doctor *d, const cs_args *a)
{
    const char *whole = cs_args_str(a, "kms-endpoint"), *host = cs_args_str(a, "kms-proxy-dest-host");

    d->proxy_host = host;
    d->proxy_port = (uint16_t)cs_args_u64(a, "kms-proxy-dest-port");
    int n = snprintf(d->kms_host, sizeof d->kms_host, "kms.%s.amazonaws.com", d->region);
    cs_err err;

    if (n < 0 || (size_t)n >= sizeof d->kms_host) {
        return cs_usage_error(a, "--region is too long");
    }
    if (whole != NULL) {
        err = cs_endpoint_parse(&d->kms, cs_slice_str(whole));
        err = err == CS_OK && d->kms.scheme == CS_EP_VSOCK ? CS_E_UNSUPPORTED : err;
    } else {
        err = endpoint_of(&d->kms, host != NULL ? host : d->kms_host, cs_args_u64(a, "kms-proxy-dest-port"));
    }
    return err == CS_OK ? 0
                        : cs_usage_error(a, "no endpoint of KMS: %s",
                                         whole != NULL  ? whole
                                         : host != NULL ? host
                                                        : d->region);
}

static int grpc_of(cs_doctor *d, const cs_args *a)
{
    const char *whole = cs_args_str(a, "grpc"), *dir = cs_args_str(a, "dir");
    cs_err err = CS_OK;

    d->grpc_given = whole != NULL || dir != NULL;
    if (whole != NULL) {
        err = cs_endpoint_parse(&d->grpc, cs_slice_str(whole));
    } else if (dir != NULL) {
        if (!cs_run_dir_held(dir) || cs_run_file_read(&d->grpc, NULL, dir) != CS_OK) {
            d->grpc_given = false; /* nothing runs there: the row `enclave` says it */
            err = endpoint_of(&d->grpc, "127.0.0.1", cs_args_u64(a, "host-grpc-port"));
        }
    } else {
        err = endpoint_of(&d->grpc, "127.0.0.1", cs_args_u64(a, "host-grpc-port"));
    }
    return err == CS_OK ? 0 : cs_usage_error(a, "no endpoint: %s", whole != NULL ? whole : "gRPC");
}

static int settings(report *r, const cs_args *a)
{
    const char *driver = cs_args_str(a, "driver");
    int status;

    r->d = (cs_doctor){.root = cs_args_str(a, "root") != NULL ? cs_args_str(a, "root") : "",
                       .local = strcmp(driver, "local") == 0,
                       .eif = cs_args_str(a, "eif"),
                       .image = cs_args_str(a, "image"),
                       .expected = cs_args_str(a, "expected"),
                       .policy_file = cs_args_str(a, "policy"),
                       .allowlist = cs_args_str(a, "allow-list"),
                       .nsm_root = cs_args_str(a, "nsm-root"),
                       .nitro_cli = cs_args_str(a, "nitro-cli"),
                       .imds = cs_args_str(a, "imds-endpoint"),
                       .s3 = cs_args_str(a, "s3-endpoint"),
                       .ca_file = cs_args_str(a, "ca"),
                       .region = cs_args_str(a, "region"),
                       .kms_region = cs_args_str(a, "region"),
                       .age_uri = cs_args_str(a, "age-key-uri"),
                       .shares_uri = cs_args_str(a, "key-shares-uri"),
                       .key_arn = cs_args_str(a, "key-arn"),
                       .memory_mib = cs_args_u64(a, "memory-mib"),
                       .cpu_count = cs_args_u64(a, "cpu-count"),
                       .deadline_ms = (uint32_t)cs_args_u64(a, "timeout-ms"),
                       .skew_ms = {CS_DOCTOR_SKEW_UNKNOWN, CS_DOCTOR_SKEW_UNKNOWN}};
    if (!r->d.local && strcmp(driver, "nitro") != 0) {
        return cs_usage_error(a, "--driver is nitro or local, not %s", driver);
    }
    if (r->d.eif != NULL && r->d.image != NULL) {
        return cs_usage_error(a, "give --eif or --image, not both");
    }
    if ((status = kms_of(&r->d, a)) != 0 || (status = grpc_of(&r->d, a)) != 0) {
        return status;
    }
    return choose(r, a);
}

const cs_opt cs_doctor_opts[] = {
    {.name = "json", .letter = 'j', .kind = CS_OPT_FLAG, .help = "the report as one JSON object"},
    {.name = "only", .kind = CS_OPT_MANY, .arg = "CHECK", .help = "this check only"},
    {.name = "list", .kind = CS_OPT_FLAG, .help = "name the checks and end"},
    {.name = "timeout-ms",
     .kind = CS_OPT_U64,
     .arg = "MS",
     .help = "deadline of each check",
     .def = "5000",
     .min = 100,
     .max = 60000},
    CS_HOST_TEXT_OPT("driver", "NAME", NULL, "nitro", "nitro, or local (no device, no allocator)"),
    CS_HOST_TEXT_OPT("eif", "FILE", "EIF_PATH", NULL,
                     "the enclave image (default: target/sign-service.enclave.eif, if it is there)"),
    CS_HOST_TEXT_OPT("image", "DIR", NULL, NULL, "a simulated image instead (sign-host image build)"),
    CS_HOST_TEXT_OPT("expected", "FILE", NULL, NULL,
                     "measurements (JSON of the build) or another EIF to compare the image with"),
    CS_HOST_TEXT_OPT("policy", "FILE", NULL, NULL, "the key policy, where the role may not read it"),
    CS_HOST_TEXT_OPT("key-arn", "ARN", "KMS_KEY_ARN", NULL, "the KMS key (default: the image's kms.keyArn)"),
    CS_HOST_TEXT_OPT("allow-list", "FILE", NULL, NULL,
                     "the KMS proxy's allow-list (default: /etc/nitro_enclaves/vsock-proxy.yaml)"),
    CS_HOST_TEXT_OPT("nitro-cli", "PATH", "NITRO_CLI", "nitro-cli", "the program"),
    CS_HOST_TEXT_OPT("dir", "DIR", NULL, NULL, "run directory of a sign-host that runs: where its gRPC is"),
    CS_HOST_TEXT_OPT("grpc", "ENDPOINT", NULL, NULL, "the enclave's gRPC (default: tcp:127.0.0.1:HOST_GRPC_PORT)"),
    CS_HOST_TEXT_OPT("nsm-root", "PEM", "NSM_ROOT_PEM", NULL,
                     "root of attestation documents instead of AWS's (the emulator's; tests only)"),
    CS_HOST_TEXT_OPT("root", "DIR", NULL, NULL, "look below DIR instead of / for /dev, /etc, /proc and /sys (tests)"),
    CS_HOST_TEXT_OPT("age-key-uri", "S3URI", "AGE_KEY_S3_URI", NULL, "KMS-encrypted age identity"),
    CS_HOST_TEXT_OPT("key-shares-uri", "S3URI", "KEY_SHARES_S3_URI", NULL, "age-encrypted shares"),
    CS_HOST_TEXT_OPT("region", "REGION", "AWS_REGION", "us-east-1", "AWS region"),
    {.name = "cpu-count",
     .kind = CS_OPT_U64,
     .arg = "N",
     .help = "vCPUs of the enclave",
     .env = "CPU_COUNT",
     .def = "2",
     .min = 1,
     .max = 1024},
    {.name = "memory-mib",
     .kind = CS_OPT_U64,
     .arg = "MIB",
     .help = "memory of the enclave",
     .env = "MEMORY_MIB",
     .def = "512",
     .min = 64,
     .max = 16777216},
    CS_HOST_TEXT_OPT("kms-proxy-dest-host", "HOST", "KMS_PROXY_DEST_HOST", NULL, "where the KMS proxy connects to"),
    CS_HOST_TCP_OPT("kms-proxy-dest-port", "KMS_PROXY_DEST_PORT", "443", "port of the KMS proxy's destination"),
    CS_HOST_TEXT_OPT("kms-endpoint", "ENDPOINT", NULL, NULL, "both in one, or unix:PATH: a proxy's socket"),
    CS_HOST_TCP_OPT("host-grpc-port", "HOST_GRPC_PORT", "50051", "TCP port of gRPC on 127.0.0.1"),
    CS_HOST_TEXT_OPT("imds-endpoint", "URL", "IMDS_ENDPOINT", NULL,
                     "instance metadata (default: http://169.254.169.254)"),
    CS_HOST_TEXT_OPT("s3-endpoint", "URL", "S3_ENDPOINT", NULL, "S3, path style (default: AWS)"),
    CS_HOST_TEXT_OPT("ca", "PEM", "AWS_CA_BUNDLE", NULL, "roots for S3 and, without an image, for KMS"),
    {0},
};

const char cs_doctor_text[] =
    "Looks at everything that a start needs, one line each: ok, warn, fail or skip, with cause and fix. Changes "
    "nothing, keeps\n"
    "nothing. The negative test asks KMS for a dry run of Decrypt without attestation: it must be denied.\n\n"
    "Example:\n"
    "  sign-host doctor --eif target/sign-service.enclave.eif\n"
    "  sign-host doctor --json --only negative --only policy";

/* ---------------------------------------------------------------- the command */

static int list_checks(void)
{
    for (size_t i = 0; i < NUM; i++) {
        (void)printf("%-12s %s\n", table[i].row.name, table[i].row.what);
    }
    return 0;
}

int cs_doctor_main(const cs_args *a)
{
    static report r; /* the watching thread reads it until the process ends */
    pthread_t watcher;

    if (cs_args_flag(a, "list")) {
        return list_checks();
    }
    int status = settings(&r, a);
    if (status != 0) {
        return status;
    }
    r.json = cs_args_flag(a, "json");
    r.colour = !r.json && isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == NULL;
    r.at = NUM;
    (void)pthread_mutex_init(&r.lock, NULL);
    (void)pthread_cond_init(&r.moved, NULL);
    if (pthread_create(&watcher, NULL, watch, &r) != 0 || pthread_detach(watcher) != 0) {
        return cs_refuse(a, CS_E_NO_MEMORY, r.json, NULL);
    }
    for (size_t i = 0; i < NUM; i++) {
        if (r.wanted[i]) {
            run_one(&r, i, a);
        }
    }
    finish(&r);
    cs_aws_creds_wipe(&r.d.creds);
    cs_buf_free(&r.d.age_key);
    return cs_doctor_report_failed(r.lines, r.done, NUM) ? 1 : 0;
}
