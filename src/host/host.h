/*
 * sign-host: the parent instance's side. Sees ciphertext and AWS credentials, never plaintext.
 * Files: main.c (commands), run.c (the command `run`), settings.c (options and environment variables of the seeds), compile.c
 * (configuration to image), image.c (simulated image and its PCRs), enclave.c (launch and supervision of a local enclave),
 * spawn.c (one program), logs.c, proxy.c (byte pumps: KMS, egress), preload.c (IMDS, S3, injection), inject.c (one injection),
 * rundir.c (lock and run.json), status.c (the enclave's status over gRPC).
 */
#ifndef CS_HOST_HOST_H
#define CS_HOST_HOST_H

#include "attest/pcr.h"
#include "base/launch_table.h"
#include "host/proxy.h"

#define CS_HOST_PATH_MAX 512

/* ---- image.c ---- */
typedef struct cs_image cs_image;

/*
 * cs_image_load - read a simulated image: DIR/bin/<program> and DIR/config.cbor, everything below DIR measured.
 * CS_E_IO | CS_E_NOT_FOUND | CS_E_TOO_LARGE | CS_E_CONFIG (config.cbor is not the compiled configuration).
 */
CS_MUST cs_err cs_image_load(cs_image **out, const char *dir);
/* cs_image_pcrs - PCR0, PCR1, PCR2 (architecture 3, local runs). */
const cs_pcr *cs_image_pcrs(const cs_image *i);
/* cs_image_section - the CBOR of one section of config.cbor. CS_E_CONFIG. */
CS_MUST cs_err cs_image_section(cs_slice *out, const cs_image *i, const char *section);
void cs_image_free(cs_image *i);
/* cs_config_section - the same of the bytes of a config.cbor. CS_E_CONFIG. */
CS_MUST cs_err cs_config_section(cs_slice *out, cs_slice config, const char *section);
/* cs_image_remove - what cs_image_build made, if it is there; anything else in the folder stays. CS_E_EXISTS. */
CS_MUST cs_err cs_image_remove(const char *dir);
/* cs_image_build - make DIR from the programs next to this one and a compiled configuration. CS_E_IO | CS_E_EXISTS. */
CS_MUST cs_err cs_image_build(const char *dir, const char *program_dir, const char *config_cbor);

/* ---- spawn.c ---- */
typedef struct cs_spawn {
    const char *path;
    const char *const *argv; /* ends with NULL */
    const int *fds;          /* descriptors to inherit; they keep their numbers */
    size_t num_fds;
    int err_fd; /* becomes standard error */
} cs_spawn;
/* cs_spawn_start - fork and exec with an empty environment; all other descriptors are closed. CS_E_LAUNCH. */
CS_MUST cs_err cs_spawn_start(pid_t *out, const cs_spawn *s);
/* cs_config_memfd - a sealed memfd with the bytes. CS_E_IO. */
CS_MUST cs_err cs_config_memfd(int *out_fd, cs_slice bytes);

/*
 * ---- logs.c: lines of the enclave's programs to a file and, when verbose, standard error ----
 * Whole lines only: one above CS_LOGS_LINE bytes is cut into lines. A file above CS_LOGS_FILE bytes becomes FILE.1, so that a
 * hostile enclave cannot fill the disk.
 */
#define CS_LOGS_LINE 8192
#define CS_LOGS_FILE ((uint64_t)32 << 20)
typedef struct cs_logs cs_logs;
CS_MUST cs_err cs_logs_new(cs_logs **out, cs_loop *l, const char *file, bool verbose);
/* cs_logs_pipe - a descriptor for a program's standard error; the caller closes its copy. */
CS_MUST cs_err cs_logs_pipe(cs_logs *g, int *out_write_fd);
/*
 * cs_logs_socket - lines that come over a connection (taken): of an enclave, so that bytes that a terminal would obey are replaced. CS_E_RANGE
 * (too many), CS_E_NO_MEMORY. cs_logs_watch - seen is called for a line that has the word "halt" in it, and when a connection ends.
 */
CS_MUST cs_err cs_logs_socket(cs_logs *g, int fd_take);
void cs_logs_watch(cs_logs *g, void (*seen)(void *cookie), void *cookie);
/* cs_logs_read - take what is in the pipes now, without the loop. */
void cs_logs_read(cs_logs *g);
void cs_logs_free(cs_logs *g);

/* ---- enclave.c ---- */
/* The vsock ports of seeds 000 and 002; 0: the launch table's. In a local run they name the sockets in the run directory. */
typedef struct cs_host_ports {
    uint32_t credentials, age, shares; /* enclave-PORT.sock: 7100, 7101, 7102 */
    uint32_t kms_proxy, egress;        /* parent-PORT.sock: 5000, 8080 */
} cs_host_ports;
/* cs_host_port - what stands for the port `number` of the launch table. */
uint32_t cs_host_port(const cs_host_ports *p, uint32_t number);
typedef struct cs_enclave_opts {
    const char *image, *dir; /* simulated image; run directory */
    const char *nsm_control; /* the emulator's control socket */
    cs_endpoint grpc, kms;   /* where gRPC listens; where KMS is (scheme 0: no proxy) */
    cs_endpoint egress;      /* the gateway's HTTP (scheme 0: no egress) */
    cs_host_ports ports;
    bool debug, verbose;
} cs_enclave_opts;
typedef struct cs_enclave cs_enclave;
/* on_halt is called once when the enclave has ended by itself. */
CS_MUST cs_err cs_enclave_start(cs_enclave **out, cs_loop *l, const cs_enclave_opts *o, cs_loop_fn *on_halt,
                                void *cookie);
/* cs_enclave_grpc - where it really listens. */
const cs_endpoint *cs_enclave_grpc(const cs_enclave *e);
const cs_pcr *cs_enclave_pcrs(const cs_enclave *e);
/* cs_enclave_child_ended - to be called for every process that was reaped. */
void cs_enclave_child_ended(cs_enclave *e, pid_t pid, int status);
/* cs_enclave_pid - of a program; 0: it does not run now. */
pid_t cs_enclave_pid(const cs_enclave *e, cs_launch_program p);
/* cs_enclave_stop - SIGTERM in order, SIGKILL after 5 s; removes sockets. */
void cs_enclave_stop(cs_enclave *e);

/* ---- rundir.c ---- */
/*
 * cs_run_dir_lock - make DIR and hold its lock until the process ends; what a run that was killed left in run.json is removed.
 * CS_E_EXISTS (another run holds it) | CS_E_IO.
 */
CS_MUST cs_err cs_run_dir_lock(const char *dir);
/* cs_run_dir_held - a launcher holds the directory. Without it run.json names a process that may be anybody's by now. */
bool cs_run_dir_held(const char *dir);
/* cs_run_file_write - DIR/run.json: what scripts need to know of a run; it appears whole. CS_E_IO. */
CS_MUST cs_err cs_run_file_write(const char *dir, const cs_enclave *e);
/* cs_run_file_read - the gRPC endpoint and (may be NULL) the process number of DIR/run.json. CS_E_IO | CS_E_FORMAT. */
CS_MUST cs_err cs_run_file_read(cs_endpoint *out, char pid[24], const char *dir);
/* cs_read_whole - a file, "-" for standard input, at most 256 MiB. CS_E_IO | CS_E_TOO_LARGE. */
CS_MUST cs_err cs_read_whole(cs_buf *out, const char *path);

/* ---- inject.c ---- */
/* The answer of an injector, and what the transport said. */
typedef struct cs_inject_answer {
    cs_err code;
    char detail[128];
} cs_inject_answer;
/*
 * cs_inject_send - connect (again until the port listens, at most wait_ms), send all, read the answer (at most answer_ms).
 * CS_OK: a->code has the enclave's verdict. CS_E_CONNECT | CS_E_TIMEOUT | CS_E_CLOSED | CS_E_IO.
 */
CS_MUST cs_err cs_inject_send(cs_inject_answer *a, const cs_endpoint *to, cs_slice bytes, uint32_t wait_ms,
                              uint32_t answer_ms);

/* ---- preload.c ---- */
typedef struct cs_preload_opts {
    const char *dir; /* run directory, for the injectors' sockets */
    cs_host_ports ports;
    const char *imds, *s3, *ca_file, *region; /* endpoints; NULL: AWS's own */
    const char *age_uri, *shares_uri;
    const cs_endpoint *grpc;
    const char *order;     /* permutation of "kas": credentials, age key, shares; fewer letters inject less */
    bool answers_lost;     /* of the driver: see host/driver.h */
    const cs_endpoint *to; /* where credentials, age key and shares go (3); NULL: the sockets of dir */
    bool json;
} cs_preload_opts;
/* Ciphertext and credentials, on their way. */
typedef struct cs_preload {
    cs_buf credentials, age_key, shares;
    uint64_t expires_ms; /* of the credentials, since 1970 */
    char detail[200];    /* of what failed first, for a person */
} cs_preload;
/* cs_preload_fetch - phases imds and s3, as far as order needs them. Prints each phase with its time on standard output. */
CS_MUST cs_err cs_preload_fetch(cs_preload *p, const cs_preload_opts *o);
/* cs_preload_inject - phases inject, unseal, until SERVING or a refusal; blocking; returns the refusal. */
CS_MUST cs_err cs_preload_inject(cs_preload *p, const cs_preload_opts *o);
void cs_preload_free(cs_preload *p);
/* cs_phase - print one phase with its duration. */
void cs_phase(const char *name, uint64_t started_ms, cs_err err, const char *detail);

/* ---- status.c ---- */
/* cs_host_status - Enclave/Status; json gets the whole document, phase its phase. */
CS_MUST cs_err cs_host_status(cs_buf *json, char phase[32], const cs_endpoint *grpc, uint32_t timeout_ms);

#endif
