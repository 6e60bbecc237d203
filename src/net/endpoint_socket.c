/* Endpoints: sockets. See endpoint.h. */
#include "net/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

typedef struct address {
    struct sockaddr_storage ss;
    socklen_t len;
} address;

static void to_vsock(address *a, const cs_endpoint *ep)
{
    struct sockaddr_vm vm = {.svm_family = AF_VSOCK, .svm_port = ep->port, .svm_cid = ep->cid};
    memcpy(&a->ss, &vm, sizeof vm);
    a->len = sizeof vm;
}

/* A path that is cut would be another socket. */
static cs_err to_unix(address *a, const cs_endpoint *ep)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strnlen(ep->host, sizeof ep->host) >= sizeof un.sun_path) {
        return CS_E_RANGE;
    }
    memcpy(un.sun_path, ep->host, strnlen(ep->host, sizeof un.sun_path - 1));
    memcpy(&a->ss, &un, sizeof un);
    a->len = sizeof un;
    return CS_OK;
}

static cs_err to_tcp(address *a, const cs_endpoint *ep)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)ep->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)ep->port)};
    if (inet_pton(AF_INET, ep->host, &in4.sin_addr) == 1) {
        memcpy(&a->ss, &in4, sizeof in4);
        a->len = sizeof in4;
        return CS_OK;
    }
    if (inet_pton(AF_INET6, ep->host, &in6.sin6_addr) == 1) {
        memcpy(&a->ss, &in6, sizeof in6);
        a->len = sizeof in6;
        return CS_OK;
    }
    if (cs_ep_rules_linked.resolve == NULL) {
        return CS_E_UNSUPPORTED;
    }
    return cs_ep_rules_linked.resolve(&a->ss, &a->len, ep->host, (uint16_t)ep->port);
}

/* The program's rules come first: an endpoint may have been made without the parser. */
static cs_err prepare(address *a, cs_endpoint *ep)
{
    if ((cs_ep_rules_linked.schemes & (unsigned)ep->scheme) == 0) {
        return CS_E_UNSUPPORTED;
    }
    if (cs_ep_rules_linked.map != NULL) {
        CS_TRY(cs_ep_rules_linked.map(ep));
    }
    memset(a, 0, sizeof *a);
    switch (ep->scheme) {
    case CS_EP_VSOCK:
        to_vsock(a, ep);
        return CS_OK;
    case CS_EP_UNIX:
        return to_unix(a, ep);
    case CS_EP_TCP:
        return to_tcp(a, ep);
    }
    return CS_E_INTERNAL;
}

static int open_socket(const address *a)
{
    return socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* A socket file that refuses connections has no listener: left over from a program that ended. */
static cs_err remove_stale(const address *a, const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? CS_OK : CS_E_IO;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return CS_E_EXISTS;
    }
    int fd = open_socket(a);
    if (fd < 0) {
        return CS_E_IO;
    }
    int rc = connect(fd, (const struct sockaddr *)&a->ss, a->len);
    int why = errno;
    close(fd);
    if (rc == 0 || why != ECONNREFUSED) {
        return CS_E_EXISTS;
    }
    return unlink(path) == 0 || errno == ENOENT ? CS_OK : CS_E_IO;
}

static cs_err bind_listen(int fd, const address *a, const cs_endpoint *ep, int backlog)
{
    int on = 1;
    if (ep->scheme == CS_EP_TCP && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
        return CS_E_IO;
    }
    /* fchmod before bind sets the mode of the socket file without touching the process's umask */
    if (ep->scheme == CS_EP_UNIX && fchmod(fd, 0600) != 0) {
        return CS_E_IO;
    }
    if (bind(fd, (const struct sockaddr *)&a->ss, a->len) != 0) {
        return errno == EADDRINUSE ? CS_E_EXISTS : CS_E_IO;
    }
    return listen(fd, backlog) == 0 ? CS_OK : CS_E_IO;
}

cs_err cs_endpoint_listen(int *out_fd, const cs_endpoint *ep, int backlog)
{
    cs_endpoint mine = *ep;
    address a;
    if (ep->parent) {
        return CS_E_USAGE;
    }
    CS_TRY(prepare(&a, &mine));
    if (mine.scheme == CS_EP_UNIX) {
        CS_TRY(remove_stale(&a, mine.host));
    }
    int fd = open_socket(&a);
    if (fd < 0) {
        return CS_E_IO;
    }
    cs_err err = bind_listen(fd, &a, &mine, backlog);
    if (err != CS_OK) {
        close(fd);
        return err;
    }
    *out_fd = fd;
    return CS_OK;
}

static cs_err scheme_of(cs_ep_scheme *out, int family)
{
    switch (family) {
    case AF_VSOCK:
        *out = CS_EP_VSOCK;
        return CS_OK;
    case AF_UNIX:
        *out = CS_EP_UNIX;
        return CS_OK;
    case AF_INET:
    case AF_INET6:
        *out = CS_EP_TCP;
        return CS_OK;
    default:
        return CS_E_UNSUPPORTED;
    }
}

cs_err cs_endpoint_bound(cs_endpoint *out, int fd)
{
    address a = {.len = sizeof a.ss};
    cs_endpoint ep = {0};
    if (getsockname(fd, (struct sockaddr *)&a.ss, &a.len) != 0) {
        return CS_E_IO;
    }
    CS_TRY(scheme_of(&ep.scheme, a.ss.ss_family));
    if (a.ss.ss_family == AF_VSOCK) {
        struct sockaddr_vm vm;
        memcpy(&vm, &a.ss, sizeof vm);
        ep.cid = vm.svm_cid;
        ep.port = vm.svm_port;
    } else if (a.ss.ss_family == AF_UNIX) {
        struct sockaddr_un un;
        memcpy(&un, &a.ss, sizeof un);
        memcpy(ep.host, un.sun_path, strnlen(un.sun_path, sizeof un.sun_path));
    } else if (a.ss.ss_family == AF_INET) {
        struct sockaddr_in in4;
        memcpy(&in4, &a.ss, sizeof in4);
        ep.port = ntohs(in4.sin_port);
        inet_ntop(AF_INET, &in4.sin_addr, ep.host, sizeof ep.host);
    } else {
        struct sockaddr_in6 in6;
        memcpy(&in6, &a.ss, sizeof in6);
        ep.port = ntohs(in6.sin6_port);
        inet_ntop(AF_INET6, &in6.sin6_addr, ep.host, sizeof ep.host);
    }
    *out = ep;
    return CS_OK;
}

cs_err cs_endpoint_adopt(cs_ep_scheme *out_scheme, int fd)
{
    int type = 0;
    int listening = 0;
    int family = 0;
    socklen_t len = sizeof(int);
    cs_ep_scheme scheme;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || listening == 0 ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) != 0) {
        return CS_E_IO;
    }
    CS_TRY(scheme_of(&scheme, family));
    if ((cs_ep_rules_linked.inherit & (unsigned)scheme) == 0) {
        return CS_E_UNSUPPORTED;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return CS_E_IO;
    }
    *out_scheme = scheme;
    return CS_OK;
}

cs_err cs_endpoint_connect_begin(int *out_fd, bool *out_pending, const cs_endpoint *ep)
{
    cs_endpoint mine = *ep;
    address a;
    int on = 1;
    if (ep->scheme == CS_EP_VSOCK && ep->cid == CS_EP_CID_ANY) {
        return CS_E_USAGE;
    }
    CS_TRY(prepare(&a, &mine));
    int fd = open_socket(&a);
    if (fd < 0) {
        return CS_E_CONNECT;
    }
    if (mine.scheme == CS_EP_TCP) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    int rc;
    do {
        rc = connect(fd, (const struct sockaddr *)&a.ss, a.len);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 && errno != EINPROGRESS) {
        int why = errno;
        close(fd);
        errno = why;
        return CS_E_CONNECT;
    }
    *out_fd = fd;
    *out_pending = rc != 0;
    return CS_OK;
}

cs_err cs_endpoint_connect_end(int fd)
{
    int why = 0;
    socklen_t len = sizeof why;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) == 0 && why == 0 ? CS_OK : CS_E_CONNECT;
}

cs_err cs_endpoint_connect(int *out_fd, const cs_endpoint *ep, uint32_t timeout_ms)
{
    int fd = -1;
    bool pending = false;
    uint64_t deadline = cs_clock_mono_ms() + timeout_ms;
    CS_TRY(cs_endpoint_connect_begin(&fd, &pending, ep));
    while (pending) {
        uint64_t now = cs_clock_mono_ms();
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        int rc = poll(&p, 1, now < deadline ? (int)(deadline - now) : 0);
        if (rc == 0 || (rc < 0 && errno != EINTR)) {
            close(fd);
            return rc == 0 ? CS_E_TIMEOUT : CS_E_CONNECT;
        }
        pending = rc < 0;
    }
    cs_err err = cs_endpoint_connect_end(fd);
    if (err != CS_OK) {
        close(fd);
        return err;
    }
    *out_fd = fd;
    return CS_OK;
}

static void read_peer(cs_ep_peer *out, const address *a, int fd)
{
    cs_ep_peer peer = {.scheme = CS_EP_UNIX};
    if (a->ss.ss_family == AF_VSOCK) {
        struct sockaddr_vm vm;
        memcpy(&vm, &a->ss, sizeof vm);
        peer = (cs_ep_peer){.scheme = CS_EP_VSOCK, .cid = vm.svm_cid, .port = vm.svm_port};
    } else if (a->ss.ss_family == AF_UNIX) {
        struct ucred cred = {.uid = UINT32_MAX};
        socklen_t len = sizeof cred;
        (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
        peer.uid = cred.uid;
    } else {
        struct sockaddr_in in4; /* the port lies at the same place in sockaddr_in6 */
        memcpy(&in4, &a->ss, sizeof in4);
        peer = (cs_ep_peer){.scheme = CS_EP_TCP, .port = ntohs(in4.sin_port)};
    }
    *out = peer;
}

cs_err cs_endpoint_accept(int *out_fd, cs_ep_peer *out_peer, int listen_fd)
{
    address a = {.len = sizeof a.ss};
    int on = 1;
    int fd;
    do {
        fd = accept4(listen_fd, (struct sockaddr *)&a.ss, &a.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK ? CS_E_NOT_FOUND : CS_E_IO;
    }
    read_peer(out_peer, &a, fd);
    if (out_peer->scheme == CS_EP_TCP) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    *out_fd = fd;
    return CS_OK;
}

cs_err cs_ep_peer_check(const cs_ep_peer *peer, uint32_t cid)
{
    return peer->scheme != CS_EP_VSOCK || cid == CS_EP_CID_ANY || peer->cid == cid ? CS_OK : CS_E_AUTH;
}
