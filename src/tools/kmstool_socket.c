/* kmstool_enclave_cli-emulated: the module is a model behind a unix socket, vsock ports are sockets of a folder. Never shipped. */
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "emulator/local_endpoint.h"
#include "tools/kmstool.h"

#define RESPONSE_MAX 0x3000u

static int socket_fd = -1;

static cs_err socket_open(const char *nsm, const char *local_dir)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = 10};

    if (nsm == NULL || local_dir == NULL || strncmp(nsm, "unix:/", 6) != 0 || strlen(nsm + 5) >= sizeof sa.sun_path) {
        return CS_E_USAGE;
    }
    CS_TRY(cs_local_endpoint_set_dir(local_dir));
    memcpy(sa.sun_path, nsm + 5, strlen(nsm + 5) + 1);
    socket_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (socket_fd < 0 || setsockopt(socket_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        connect(socket_fd, (const struct sockaddr *)&sa, sizeof sa) != 0) {
        return CS_E_NSM;
    }
    return CS_OK;
}

static cs_err socket_call(cs_slice request, cs_buf *response)
{
    static uint8_t full[RESPONSE_MAX + 1];
    ssize_t n = write(socket_fd, request.p, request.len);

    if (n < 0 || (size_t)n != request.len) {
        return CS_E_NSM;
    }
    n = read(socket_fd, full, sizeof full);
    if (n <= 0 || (size_t)n > RESPONSE_MAX) {
        return CS_E_NSM;
    }
    return cs_put(response, full, (size_t)n) == CS_OK ? CS_OK : CS_E_NSM;
}

const cs_kmstool_platform cs_kmstool_platform_linked = {"kmstool_enclave_cli-emulated", true, socket_open, socket_call};
