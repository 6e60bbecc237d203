/*
 * nitro-cli-emulated: stands for AWS's nitro-cli in tests; never installed. The same commands, flags, JSON on standard output, progress and
 * E-codes on standard error, exit status. Behind it one process per "enclave" (as nitro-cli has), which plays the hypervisor:
 * heartbeat port, security module, console; what runs in the enclave is one of two back ends.
 *   local      config.cbor and PCRs come from the image file; the *-local programs run below `sign-host run --driver local`
 *   namespace  the image's ramdisks are unpacked and its /init is run in namespaces (emulator/ns_enclave.h), on AF_VSOCK, where CID 1 is
 *              both sides (sign-host run --peer-cid 1); one at a time; needs root, as in the guest of the boot test
 * Files: nitro_cli.c (commands), nitro_cli_run.c (run-enclave), nitro_cli_vm.c (the process of one enclave), nitro_cli_local.c (back
 * end local), nitro_cli_ns.c (back end namespace), nitro_cli_state.c (what runs, faults), nitro_cli_eif.c (describe-eif and the image file).
 *
 * Environment: NITRO_FAKE_DIR (state and sockets, required), NITRO_FAKE_BACKEND (local), NITRO_FAKE_NSM_CONTROL (sign-emulator's control
 * socket; namespace: the root in the socket's folder signs documents), NITRO_FAKE_FAIL (faults, see nitro_cli_state.c), NITRO_FAKE_DELAY_MS (of each command), NITRO_FAKE_BOOT_MS (how long run-enclave waits
 * for the heartbeat; 180000).
 * NITRO_FAKE_ROLE (ARN) and NITRO_FAKE_INSTANCE: PCR3 and PCR4 of the back end namespace.
 * Source: specs/nitro-kms.md 8.3.
 */
#ifndef CS_EMULATOR_NITRO_CLI_H
#define CS_EMULATOR_NITRO_CLI_H

#include <jansson.h>
#include <sys/types.h>

#include "attest/eif.h"

#define CS_NITRO_PATH 256
#define CS_NITRO_MAX 16 /* enclaves at once */

/* One enclave. Kept as DIR/nitro/ID.json while its process lives. */
typedef struct cs_nitro_vm {
    char id[64], name[128], eif[CS_NITRO_PATH];
    uint32_t cid;
    uint64_t memory_mib, cpus;
    bool debug;
    pid_t pid;
    cs_pcr pcr[3]; /* of the file */
} cs_nitro_vm;

/* ---- nitro_cli_state.c ---- */
/* cs_nitro_dir - NITRO_FAKE_DIR; exits with a message when it is not set. cs_nitro_path - DIR/nitro/NAME. */
const char *cs_nitro_dir(void);
void cs_nitro_path(char out[CS_NITRO_PATH], const char *name);
/* cs_nitro_lock - serialises what changes the list; returns a descriptor to close. */
int cs_nitro_lock(void);
/* cs_nitro_list - the enclaves whose process lives; files of dead ones are removed. */
size_t cs_nitro_list(cs_nitro_vm out[CS_NITRO_MAX]);
CS_MUST cs_err cs_nitro_save(const cs_nitro_vm *vm);
void cs_nitro_remove(const cs_nitro_vm *vm);
json_t *cs_nitro_describe(const cs_nitro_vm *vm, bool with_state);
/* cs_nitro_fault - the fault asked for this command, "" when none; counts down limited ones. */
const char *cs_nitro_fault(const char *command);
/* cs_nitro_ms - a number of the environment. */
uint64_t cs_nitro_ms(const char *variable, uint64_t otherwise);

/* Prints `[ Enn ] text` and the pointer to the documentation; returns the exit status, nn. */
int cs_nitro_fail(int code, const char *text);
/* The same of an error in an enclave's process: its code first, then the command's own E39; returns 39. */
int cs_nitro_fail_wrapped(int code, const char *text);

/* ---- nitro_cli_eif.c ---- */
typedef struct cs_nitro_image {
    cs_slice bytes;
    cs_eif eif;
    cs_err parsed; /* CS_OK, CS_E_EIF_CRC, ... */
    cs_pcr pcr[3];
} cs_nitro_image;
/* cs_nitro_image_read - CS_E_NOT_FOUND | CS_E_IO; what parsing said is in ->parsed. */
CS_MUST cs_err cs_nitro_image_read(cs_nitro_image *out, const char *path);
void cs_nitro_image_free(cs_nitro_image *i);
json_t *cs_nitro_measurements(const cs_pcr pcr[3]);
int cs_nitro_describe_eif(const char *path);

/* ---- nitro_cli_run.c, nitro_cli_vm.c ---- */
/* cs_nitro_run - run-enclave with checked arguments; returns the exit status. */
int cs_nitro_run(cs_nitro_vm *vm, bool attach_console);
/*
 * cs_nitro_vm_main - the process of one enclave: starts it ("silent", "die": faults), answers on result_fd ("E36 text" or "OK"), then serves terminate and
 * console until it has ended. Does not return.
 */
_Noreturn void cs_nitro_vm_main(cs_nitro_vm *vm, const char *fault, int result_fd);
/* cs_nitro_ask - one command to an enclave's process; the answer goes to out_fd until end of file. CS_E_CONNECT. */
CS_MUST cs_err cs_nitro_ask(const cs_nitro_vm *vm, const char *command, int out_fd);

/* ---- back ends ---- */
/*
 * start: the process that is the enclave (its group dies with it); its standard output and error are out_fd. heartbeat: whether it says
 * B7 on port 9000. logs: its lines must be carried to port 7110 (what runs in it cannot). cleanup: once, when it has ended.
 */
typedef struct cs_nitro_backend {
    const char *name;
    bool logs, unix_ports;
    cs_err (*start)(pid_t *out, const cs_nitro_vm *vm, int out_fd, bool heartbeat);
    void (*cleanup)(const cs_nitro_vm *vm);
} cs_nitro_backend;
extern const cs_nitro_backend cs_nitro_backend_local, cs_nitro_backend_namespace;
/* cs_nitro_backend_chosen - by NITRO_FAKE_BACKEND; exits with a message for a name that is none. */
const cs_nitro_backend *cs_nitro_backend_chosen(void);
/* cs_nitro_local_nsm - a connection of the local run to its security module's control socket: answered with the image's PCRs. */
void cs_nitro_local_nsm(const cs_nitro_vm *vm, int fd_take);
/* cs_nitro_socket - a listening unix socket at path; -1 when it is taken. cs_nitro_connect - to one; -1. */
int cs_nitro_socket(const char *path);
int cs_nitro_connect(const char *path);
/* cs_nitro_vsock - a listener on a vsock port of any CID; -1. */
int cs_nitro_vsock(uint32_t port);

#endif
