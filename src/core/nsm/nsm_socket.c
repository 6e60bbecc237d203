/*
 * sign-core-emulated only: the module is a model behind a unix socket (docs/formats/launch.md). One request a packet, one
 * response a packet.
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/platform.h"

static int socket_fd = -1;

static cs_err socket_call(void *ctx, cs_slice request, cs_buf *response)
{
    static uint8_t full[CS_NSM_RESPONSE_MAX + 1];
    const int fd = *(const int *)ctx;
    ssize_t n = write(fd, request.p, request.len);

    if (n < 0 || (size_t)n != request.len) {
        return CS_E_NSM;
    }
    n = read(fd, full, sizeof full);
    if (n <= 0 || (size_t)n > CS_NSM_RESPONSE_MAX) {
        return CS_E_NSM;
    }
    return cs_put(response, full, (size_t)n) == CS_OK ? CS_OK : CS_E_NSM;
}

static cs_err socket_open(cs_nsm *out, const cs_args *args)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = 10};
    const char *text = cs_args_str(args, "nsm");

    if (text == NULL || strncmp(text, "unix:/", 6) != 0 || strlen(text + 5) >= sizeof sa.sun_path) {
        return CS_E_USAGE;
    }
    memcpy(sa.sun_path, text + 5, strlen(text + 5) + 1);
    socket_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (socket_fd < 0 || setsockopt(socket_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        connect(socket_fd, (const struct sockaddr *)&sa, sizeof sa) != 0) {
        return CS_E_NSM;
    }
    *out = (cs_nsm){.ctx = &socket_fd, .call = socket_call, .fd = socket_fd};
    return CS_OK;
}

const cs_core_platform cs_platform = {
    .program = "sign-core-emulated",
    .about = "sign-core with an emulated security module: for laptops and tests, never for real keys",
    .emulated = true,
    .require_lock = false,
    .open_nsm = socket_open,
    .load_shares = cs_platform_load_shares,
};

const cs_opt cs_platform_opts[] = {
    CS_CORE_OPTS,
    {"nsm", 0, CS_OPT_STR, "unix:/PATH", "socket of the emulated security module", NULL, NULL, 0, 0},
    {0},
};
