/* /dev/nsm: opened before the system call filter is installed, used by one ioctl. Source: specs/nitro-kms.md 4.1. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "core/platform.h"

struct nsm_iovec {
    uint64_t addr;
    uint64_t len;
};

struct nsm_raw {
    struct nsm_iovec request;
    struct nsm_iovec response;
};

_Static_assert(sizeof(struct nsm_raw) == 32, "the ioctl number carries the size");

static int device_fd = -1;

static cs_err device_call(void *ctx, cs_slice request, cs_buf *response)
{
    /* a response longer than the buffer is silently cut by the driver: always give it the full size */
    static uint8_t full[CS_NSM_RESPONSE_MAX];
    struct nsm_raw raw = {{(uint64_t)(uintptr_t)request.p, request.len}, {(uint64_t)(uintptr_t)full, sizeof full}};
    int rc;

    do {
        rc = ioctl(*(const int *)ctx, CS_NSM_IOCTL, &raw);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 || raw.response.len > sizeof full) {
        return CS_E_NSM;
    }
    return cs_put(response, full, (size_t)raw.response.len) == CS_OK ? CS_OK : CS_E_NSM;
}

static cs_err device_open(cs_nsm *out, const cs_args *args)
{
    device_fd = open("/dev/nsm", O_RDWR | O_CLOEXEC);
    if (device_fd < 0) {
        return CS_E_NSM;
    }
    *out = (cs_nsm){.ctx = &device_fd, .call = device_call, .fd = device_fd};
    return CS_OK;
}

const cs_core_platform cs_platform = {
    .program = "sign-core",
    .about = "holds the key shares of an enclave and signs with the other party",
    .emulated = false,
    .require_lock = true,
    .open_nsm = device_open,
};

const cs_opt cs_platform_opts[] = {
    CS_CORE_OPTS,
    {.name = "key-share-file",
     .kind = CS_OPT_STR,
     .arg = "PATH",
     .help = "refused: shares in the clear are for local runs only",
     .env = "SIGN_SERVICE_KEY_SHARE_FILE"},
    {0},
};
