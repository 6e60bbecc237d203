/* kmstool_enclave_cli: /dev/nsm, used by one ioctl. Source: specs/nitro-kms.md 4.1. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "tools/kmstool.h"

#define NSM_IOCTL 0xC0200A00ul /* _IOWR(0x0A, 0, struct nsm_raw) */
#define RESPONSE_MAX 0x3000u   /* a shorter buffer is filled and the rest dropped, without a word */

struct nsm_raw {
    uint64_t request, request_len, response, response_len;
};
_Static_assert(sizeof(struct nsm_raw) == 32, "the ioctl number carries the size");

static int device_fd = -1;

static cs_err device_open(const char *nsm, const char *local_dir)
{
    device_fd = open("/dev/nsm", O_RDWR | O_CLOEXEC);
    return device_fd >= 0 ? CS_OK : CS_E_NSM;
}

static cs_err device_call(cs_slice request, cs_buf *response)
{
    static uint8_t full[RESPONSE_MAX];
    struct nsm_raw raw = {(uint64_t)(uintptr_t)request.p, request.len, (uint64_t)(uintptr_t)full, sizeof full};
    int rc;

    do {
        rc = ioctl(device_fd, NSM_IOCTL, &raw);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 || raw.response_len > sizeof full) {
        return CS_E_NSM;
    }
    return cs_put(response, full, (size_t)raw.response_len) == CS_OK ? CS_OK : CS_E_NSM;
}

const cs_kmstool_platform cs_kmstool_platform_linked = {"kmstool_enclave_cli", false, device_open, device_call};
