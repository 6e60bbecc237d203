/* Sockets of sign-init: AF_VSOCK towards the parent, packet links between the programs. See init.h. */
#include <sys/socket.h> /* before the next one, which needs it */

#include <errno.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "init/init.h"

#define HEARTBEAT_BYTE 0xB7u
#define HEARTBEAT_MS 10000u
#define HEARTBEAT_STEP_MS 100u
#define BACKLOG 128
#define LINK_ROOM (1 << 20) /* several 43 kB messages in the kernel, so that neither side waits at each */

_Static_assert(CS_LAUNCH_NUM_FDS <= CS_INIT_LISTENERS_MAX, "listeners has a row for each");

static int vsock(void)
{
    return socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int cs_init_dial(uint32_t cid, uint32_t port)
{
    struct sockaddr_vm to = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
    int fd = vsock(), rc;

    if (fd < 0) {
        return -1;
    }
    do {
        rc = connect(fd, (const struct sockaddr *)&to, sizeof to);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 && errno != EINPROGRESS) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static bool ready(int fd, short events, uint64_t deadline)
{
    for (;;) {
        uint64_t now = cs_clock_mono_ms();
        struct pollfd p = {.fd = fd, .events = events};
        int rc = now < deadline ? poll(&p, 1, (int)(deadline - now)) : 0;

        if (rc >= 0 || errno != EINTR) {
            return rc == 1;
        }
    }
}

static bool connected(int fd, uint64_t deadline)
{
    int why = 0;
    socklen_t len = sizeof why;

    return fd >= 0 && ready(fd, POLLOUT, deadline) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) == 0 && why == 0;
}

/* NULL: the parent answered as it should. */
static const char *exchange(int fd, uint64_t deadline)
{
    uint8_t byte = HEARTBEAT_BYTE;

    if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1) {
        return "the connection broke";
    }
    byte = 0;
    if (!ready(fd, POLLIN, deadline)) {
        return "no answer";
    }
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
    if (n != 1) {
        return "closed without an answer";
    }
    return byte == HEARTBEAT_BYTE ? NULL : "another byte than B7";
}

cs_err cs_init_heartbeat_over(int (*dial)(void *cookie), void *cookie, uint32_t wait_ms, const char **why)
{
    uint64_t deadline = cs_clock_mono_ms() + wait_ms;

    *why = "no connection";
    do {
        int fd = dial(cookie);

        if (connected(fd, deadline)) {
            *why = exchange(fd, deadline);
            (void)close(fd);
            return *why == NULL ? CS_OK : CS_E_HEARTBEAT;
        }
        if (fd >= 0) {
            (void)close(fd);
        }
        (void)poll(NULL, 0, HEARTBEAT_STEP_MS);
    } while (cs_clock_mono_ms() < deadline);
    return CS_E_HEARTBEAT;
}

static int dial_heartbeat(void *cookie)
{
    const cs_init *in = cookie;

    return cs_init_dial(in->settings.parent_cid, CS_INIT_PORT_HEARTBEAT);
}

cs_err cs_init_heartbeat(cs_init *in)
{
    cs_err err = cs_init_heartbeat_over(dial_heartbeat, in, HEARTBEAT_MS, &in->why);

    in->why_errno = 0;
    if (err == CS_OK) {
        cs_log(CS_LOG_INFO, "heartbeat");
    }
    return err;
}

static int listen_on(uint32_t port)
{
    struct sockaddr_vm at = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    int fd = vsock();

    if (fd >= 0 && (bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0)) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

cs_err cs_init_listen(cs_init *in)
{
    for (size_t i = 0; i < CS_LAUNCH_NUM_FDS; i++) {
        if (cs_launch_fds[i].kind != CS_LAUNCH_FD_LISTEN) {
            continue;
        }
        in->fds.listeners[i] = listen_on(cs_launch_fds[i].number);
        if (in->fds.listeners[i] < 0) {
            in->why = "a vsock port cannot be listened on";
            in->why_errno = errno;
            return CS_E_BOOT;
        }
    }
    return CS_OK;
}

cs_err cs_init_link(cs_init *in)
{
    for (int i = 0; i < CS_LAUNCH_NUM_ENDS; i += 2) {
        int room = LINK_ROOM, *ends = &in->fds.ends[i];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
            in->why = "a link between programs";
            in->why_errno = errno;
            return CS_E_BOOT;
        }
        for (int side = 0; side < 2; side++) {
            (void)setsockopt(ends[side], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        }
    }
    return CS_OK;
}
