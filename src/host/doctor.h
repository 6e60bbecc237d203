/*
 * sign-host doctor: one look at everything that a start needs, one line each: ok, warn, fail or skip, with the cause and what to do.
 * A table of checks (doctor.c) that share what they found; each is bounded in time. Ciphertext and AWS credentials only: the negative test asks
 * KMS with DryRun, so that no plaintext is made, and wipes whatever comes.
 * Files: doctor.c (options, table, report), doctor_report.c (lines), doctor_host.c (device, allocator, huge pages, clock, entropy),
 * doctor_aws.c (IMDS, S3), doctor_kms.c (KMS, negative test, policy), doctor_image.c (image, certificates, PCRs), doctor_enclave.c
 * (what runs), doctor_alloc.c, doctor_policy.c (parsers).
 */
#ifndef CS_HOST_DOCTOR_H
#define CS_HOST_DOCTOR_H

#include "attest/eif.h"
#include "base/opts.h"
#include "net/aws/creds.h"
#include "net/endpoint.h"

#define CS_DOCTOR_TEXT 360
#define CS_DOCTOR_PATH 512
#define CS_DOCTOR_FILE_MAX 65536u /* of files of the system; an image may have CS_DOCTOR_IMAGE_MAX */
#define CS_DOCTOR_IMAGE_MAX ((size_t)1 << 30)
#define CS_DOCTOR_SKEW_UNKNOWN INT64_MIN

typedef enum cs_doctor_status { CS_DOCTOR_OK, CS_DOCTOR_WARN, CS_DOCTOR_FAIL, CS_DOCTOR_SKIP } cs_doctor_status;

/* What a check found. code: CS_OK, or the row of the error table that has cause and fix. text: what was seen, without secrets. */
typedef struct cs_doctor_line {
    cs_doctor_status status;
    cs_err code;
    char text[CS_DOCTOR_TEXT];
    uint32_t took_ms;
} cs_doctor_line;

/* The image as a whole, from --eif or --image. Slices point into file. */
typedef struct cs_doctor_image {
    bool loaded;   /* pcr and config may be used */
    bool is_eif;   /* eif, size and the signature may be used */
    uint64_t size; /* bytes of the EIF */
    cs_pcr pcr[3];
    bool is_signed;
    cs_pcr pcr8; /* is_signed */
    cs_buf file; /* the EIF, or config.cbor of a simulated image */
    cs_eif eif;
    cs_slice config; /* config.cbor; empty: not found */
} cs_doctor_image;

/* Settings, and what earlier checks found for later ones. */
typedef struct cs_doctor {
    /* settings; texts are borrowed */
    const char *root; /* "" or a folder that stands for / */
    bool local;       /* driver local: no enclave device, no allocator */
    const char *eif, *image, *expected, *policy_file, *allowlist, *nsm_root, *nitro_cli;
    const char *imds, *s3, *ca_file, *region, *kms_region, *age_uri, *shares_uri, *key_arn;
    char kms_host[254];     /* name of the certificate and of the Host header */
    cs_endpoint kms;        /* where it is dialled */
    const char *proxy_host; /* what the KMS proxy is told to connect to; NULL: kms_host */
    uint16_t proxy_port;
    cs_endpoint grpc;
    bool grpc_given;
    uint64_t memory_mib, cpu_count;
    uint32_t deadline_ms; /* of one check */

    /* found */
    uint64_t check_ends_ms; /* monotonic */
    cs_doctor_image img;
    bool have_creds;
    cs_aws_creds creds;
    cs_buf age_key;     /* ciphertext */
    int64_t skew_ms[2]; /* ours minus S3's and KMS's clock; CS_DOCTOR_SKEW_UNKNOWN */
    bool enclave_runs, enclave_attested, enclave_debug;
    cs_pcr enclave_pcr[3];
} cs_doctor;

typedef void cs_doctor_run(cs_doctor *d, cs_doctor_line *l);

/* ---- doctor.c ---- */
extern const cs_opt cs_doctor_opts[];
extern const char cs_doctor_text[];
/* cs_doctor_main - the command. Exit status 0, 1 (a line says fail), 2 (usage). */
int cs_doctor_main(const cs_args *a);

/* ---- doctor_report.c ---- */
/* cs_doctor_report_say - fill a line. */
__attribute__((format(printf, 4, 5))) void cs_doctor_report_say(cs_doctor_line *l, cs_doctor_status s, cs_err code,
                                                                const char *fmt, ...);
typedef struct cs_doctor_row {
    const char *name; /* stable: --only, JSON */
    const char *what; /* one phrase for --list */
    cs_doctor_run *run;
} cs_doctor_row;
/* cs_doctor_report_line - one check on standard output. */
void cs_doctor_report_line(const cs_doctor_row *row, const cs_doctor_line *l, bool colour);
/* cs_doctor_report_end - the last line of the screen. */
void cs_doctor_report_end(const cs_doctor_line *lines, const bool *ran, size_t num, bool colour);
/* cs_doctor_report_json - the whole report as one JSON object and LF. CS_E_NO_MEMORY | CS_E_RANGE. */
CS_MUST cs_err cs_doctor_report_json(cs_buf *out, const cs_doctor_row *rows, const cs_doctor_line *lines,
                                     const bool *ran, size_t num);
/* cs_doctor_report_failed - some line says fail. */
bool cs_doctor_report_failed(const cs_doctor_line *lines, const bool *ran, size_t num);

/* ---- doctor_host.c: the parent's own files ---- */
/*
 * cs_doctor_host_file - a regular file below the root, at most max bytes; opened without waiting for what is no file.
 * CS_E_NOT_FOUND | CS_E_IO | CS_E_FORMAT (no regular file) | CS_E_TOO_LARGE | CS_E_NO_MEMORY. out is as before on errors.
 */
CS_MUST cs_err cs_doctor_host_file(cs_buf *out, const char *root, const char *path, size_t max);
void cs_doctor_host_device(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_host_nitro_cli(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_host_allocator(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_host_cpus(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_host_hugepages(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_host_memory(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_host_clock(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_host_entropy(cs_doctor *d, cs_doctor_line *l);

/* ---- doctor_image.c ---- */
void cs_doctor_image_load(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_image_expected(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_image_roots(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_image_signer(cs_doctor *d, cs_doctor_line *l);
/* cs_doctor_image_text - a text of a section of the measured configuration; false: not there or longer than cap - 1. */
bool cs_doctor_image_text(char *out, size_t cap, const cs_doctor_image *i, const char *section, const char *key);
/* cs_doctor_image_flag - a boolean of it; false: not there. cs_doctor_image_value - the CBOR of any; p NULL: not there. */
bool cs_doctor_image_flag(const cs_doctor_image *i, const char *section, const char *key);
cs_slice cs_doctor_image_value(const cs_doctor_image *i, const char *section, const char *key);
/* cs_doctor_image_roots_pem - the roots that sign-kms accepts; empty: no configuration. */
cs_slice cs_doctor_image_roots_pem(const cs_doctor_image *i);
void cs_doctor_image_free(cs_doctor_image *i);
/*
 * cs_doctor_image_explain - which sections of an image two sets of measurements say to differ: "PCR0 and PCR2 differ, PCR1 is equal: ...".
 * known: bit n: want[n] is given (n 0, 1, 2). differ: bit n: it is another than the image's.
 */
void cs_doctor_image_explain(char *out, size_t cap, unsigned known, unsigned differ);

/* ---- doctor_aws.c ---- */
void cs_doctor_aws_imds(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_aws_credentials(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_aws_age_key(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_aws_shares(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_aws_skew(cs_doctor *d, cs_doctor_line *l);
/* cs_doctor_aws_left - milliseconds of this check's time, at least 1, at most max. */
uint32_t cs_doctor_aws_left(const cs_doctor *d, uint32_t max);
/* cs_doctor_aws_date - on_header of cs_curl_reply: notes a Date header; cookie: int64_t *skew_ms. */
void cs_doctor_aws_date(void *cookie, cs_slice name, cs_slice value);

/* ---- doctor_kms.c ---- */
void cs_doctor_kms_reach(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_kms_negative(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_kms_policy(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_kms_allowlist(cs_doctor *d, cs_doctor_line *l);

/* ---- doctor_enclave.c ---- */
void cs_doctor_enclave_look(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_enclave_debug(cs_doctor *d, cs_doctor_line *l);
void cs_doctor_enclave_image(cs_doctor *d, cs_doctor_line *l);

#endif
