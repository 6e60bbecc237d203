/*
 * The one ioctl of /dev/nsm as a device in user space sees it: what to ask the kernel for next, or the request. Pure: no FUSE, no
 * device. The kernel hands over the caller's memory in steps, because the ioctl's structure points to two further buffers.
 * Source: linux uapi nsm.h, specs/nitro-kms.md 4.1.
 */
#ifndef CS_EMULATOR_NSM_IOCTL_H
#define CS_EMULATOR_NSM_IOCTL_H

#include <sys/uio.h>

#include "base/bytes.h"

#define CS_NSM_IOCTL_NUMBER 0xC0200A00u /* _IOWR(0x0A, 0, struct nsm_raw) */
#define CS_NSM_RAW_LEN 32u /* request address, length, response address, length: 4 x u64, the machine's order */

typedef enum cs_nsm_ioctl_act {
    CS_NSM_IOCTL_RETRY, /* ask the kernel again, with in and out */
    CS_NSM_IOCTL_CALL,  /* request is whole: answer it */
    CS_NSM_IOCTL_FAIL,  /* the caller gets error */
} cs_nsm_ioctl_act;

typedef struct cs_nsm_ioctl {
    cs_nsm_ioctl_act act;
    int error; /* errno: EINVAL (another ioctl, half a structure, changed meanwhile), EMSGSIZE (request over 4096 bytes) */
    struct iovec in[2], out[2]; /* RETRY: the caller's memory, never read here */
    int num_in, num_out;
    cs_slice request; /* CALL: points into data */
    size_t room;      /* CALL: bytes that the caller's response buffer takes, at most 12288 */
    uint8_t raw[CS_NSM_RAW_LEN];
} cs_nsm_ioctl;

/*
 * cs_nsm_ioctl_next - the next step of an ioctl with that number and argument (address in the caller). data: what the kernel has
 * given so far, out_len: how much it takes back; both 0 at first.
 */
void cs_nsm_ioctl_next(cs_nsm_ioctl *out, uint32_t number, void *arg, cs_slice data, size_t out_len);
/* cs_nsm_ioctl_done - the structure to give back: raw with the length of the response (cut to the room there is). Returns that length. */
size_t cs_nsm_ioctl_done(cs_nsm_ioctl *io, size_t response_len);

#endif
