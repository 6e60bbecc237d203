/*
 * An enclave image run without a hypervisor: its ramdisks unpacked into a file system of its own, its /init as process 1 of new PID
 * and mount namespaces, and the security module as /dev/nsm (nsm-device) with the registers that the image measures. For guests of
 * the boot tests: needs root, the modules cuse and vsock, and there is one at a time, for there is one /dev/nsm. The kernel and the
 * command line of the image are measured but not run.
 *
 * Not here: what the parent of an enclave serves (heartbeat, log, KMS); the caller does that.
 */
#ifndef CS_EMULATOR_NS_ENCLAVE_H
#define CS_EMULATOR_NS_ENCLAVE_H

#include <sys/types.h>

#include "attest/eif.h"

typedef struct cs_ns_enclave {
    pid_t pid; /* /init; a child of the caller, who may wait for it */
    int pidfd;
    pid_t device_pid; /* nsm-device */
    cs_pcr pcr[3];    /* of the image, whatever the device says in debug mode */
    char step[64];    /* what start was doing, for messages */
} cs_ns_enclave;

typedef struct cs_ns_enclave_opts {
    cs_slice eif;           /* the whole file */
    const char *emulator;   /* folder of sign-emulator, whose root signs documents */
    const char *nsm_device; /* the program */
    const char *module_id;  /* 1 to 64 characters */
    const char *role_arn;   /* PCR3; NULL: zero */
    const char *instance;   /* PCR4; NULL: zero */
    const char *under;      /* a static program that execs its argument, in front of /init; NULL: none */
    bool debug;             /* PCR0, 1 and 2 of documents are zero */
    int console_fd; /* writing end of a pipe, for what is written to the console; borrowed. Read the other end: a full
                             * pipe stops whoever writes */
} cs_ns_enclave_opts;

/*
 * cs_ns_enclave_start - returns when /init runs. The caller's process must have one thread. CS_E_EIF_FORMAT | CS_E_EIF_CRC |
 * CS_E_UNSUPPORTED (EIF version, compressed ramdisk) | CS_E_FORMAT (an archive that a kernel would not unpack) | CS_E_EXISTS (another
 * enclave's device) | CS_E_NSM (the device did not come: module cuse) | CS_E_LAUNCH (namespaces, mounts, /init); nothing is left behind then.
 * When the caller ends, so does the enclave.
 */
CS_MUST cs_err cs_ns_enclave_start(cs_ns_enclave *out, const cs_ns_enclave_opts *o);
/*
 * cs_ns_enclave_end - how it ended, from waitpid's status: "reboot" (sign-init halted), "power-off", "exit N", "signal N". Static text.
 */
const char *cs_ns_enclave_end(int wait_status);
/* cs_ns_enclave_cleanup - kills every process of the enclave, and the device; waits for both. The zero state is allowed. */
void cs_ns_enclave_cleanup(cs_ns_enclave *e);

/*
 * cs_ns_read_image - the whole file, read-only, to be given back by cs_ns_free_image. It is made present at once and its protection is changed
 * then: user-mode Linux pays a tenth of a millisecond for each page that is met by a fault, and next to nothing for pages that a
 * change of protection covers. CS_E_NOT_FOUND | CS_E_IO.
 */
CS_MUST cs_err cs_ns_read_image(cs_slice *out, const char *path);
void cs_ns_free_image(cs_slice image);

/* cs_ns_unpack - a ramdisk below the current root directory, as the kernel does it. CS_E_FORMAT | CS_E_UNSUPPORTED | CS_E_IO. */
CS_MUST cs_err cs_ns_unpack(cs_slice ramdisk);

#endif
