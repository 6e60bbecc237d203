/*
 * Endpoints: one syntax for every address that a program listens on or dials.
 *
 *   vsock:CID:PORT    CID a number, "any" (listen only) or "parent"; PORT 1..2^32-2
 *   unix:/path        absolute, at most 107 bytes
 *   tcp:HOST:PORT     HOST an IPv4 address, an IPv6 address in [ ], or a name (host programs only); PORT 0..65535,
 *                     0 to listen on any free port
 *
 * What a program accepts is decided at link time: each links exactly one of lib_ep_enclave (vsock only), lib_ep_host (all,
 * with names) or lib_ep_local (the *-local variants: "vsock:parent:PORT" becomes a unix socket of a directory). Enclave
 * programs therefore hold no getaddrinfo and cannot be talked into another address family.
 * Source: architecture 4, specs/dependencies.md 12, specs/nitro-kms.md 8.1.
 */
#ifndef CS_NET_ENDPOINT_H
#define CS_NET_ENDPOINT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/bytes.h"

#define CS_EP_CID_ANY 0xffffffffu
#define CS_EP_CID_PARENT 3u
#define CS_EP_HOST_MAX 254 /* with NUL: a DNS name, or a path of 107 bytes */
#define CS_EP_TEXT_MAX 300

typedef enum cs_ep_scheme { CS_EP_VSOCK = 1, CS_EP_UNIX = 2, CS_EP_TCP = 4 } cs_ep_scheme;

typedef struct cs_endpoint {
    cs_ep_scheme scheme;
    bool parent;               /* vsock: was written "parent"; cid is 3 until cs_endpoint_set_parent */
    uint32_t cid;              /* vsock */
    uint32_t port;             /* vsock, tcp */
    char host[CS_EP_HOST_MAX]; /* unix: path; tcp: host without brackets; NUL-terminated */
} cs_endpoint;

/* What the program accepts: defined once per program by the lib_ep_* it links. */
typedef struct cs_ep_rules {
    unsigned schemes;               /* bits of cs_ep_scheme that may be parsed, adopted and dialled */
    unsigned inherit;               /* bits of cs_ep_scheme that an inherited listener may have */
    cs_err (*map)(cs_endpoint *ep); /* rewrites an endpoint before it is used, or NULL */
    /* names to an address, or NULL: then only numeric hosts; blocking */
    cs_err (*resolve)(struct sockaddr_storage *out, socklen_t *out_len, const char *host, uint16_t port);
} cs_ep_rules;
extern const cs_ep_rules cs_ep_rules_linked;

/*
 * cs_endpoint_parse - out is written on CS_OK only. CS_E_FORMAT (syntax) | CS_E_RANGE (number, length of a path) |
 * CS_E_UNSUPPORTED (a scheme, or a name, that this program does not accept).
 */
CS_MUST cs_err cs_endpoint_parse(cs_endpoint *out, cs_slice text);
/* cs_endpoint_format - append the text form, which parses to the same endpoint. CS_E_RANGE. */
CS_MUST cs_err cs_endpoint_format(cs_buf *out, const cs_endpoint *ep);
/* cs_endpoint_set_parent - put the measured enclave.parentCid into an endpoint written "parent"; others are unchanged. */
void cs_endpoint_set_parent(cs_endpoint *ep, uint32_t parent_cid);

/*
 * cs_endpoint_listen - a listening socket, non-blocking and close-on-exec, owned by the caller. unix: mode 0600; a socket
 * file that nobody listens on is replaced, anything else in the way is CS_E_EXISTS. tcp: SO_REUSEADDR.
 * CS_E_USAGE (parent) | CS_E_EXISTS (in use) | CS_E_IO | CS_E_UNSUPPORTED.
 */
CS_MUST cs_err cs_endpoint_listen(int *out_fd, const cs_endpoint *ep, int backlog);
/* cs_endpoint_bound - the local address of a listener (the real port when 0 was asked for). CS_E_IO. */
CS_MUST cs_err cs_endpoint_bound(cs_endpoint *out, int fd);
/*
 * cs_endpoint_adopt - check an inherited listener: a listening SOCK_STREAM socket of a family that the program's rules
 * allow; sets non-blocking and close-on-exec. CS_E_IO (no such socket) | CS_E_UNSUPPORTED.
 */
CS_MUST cs_err cs_endpoint_adopt(cs_ep_scheme *out_scheme, int fd);

/*
 * cs_endpoint_connect - blocking connect with a deadline. The socket is non-blocking, close-on-exec, TCP_NODELAY for tcp.
 * CS_E_USAGE (any) | CS_E_CONNECT | CS_E_TIMEOUT | CS_E_UNSUPPORTED. The loop's form is cs_dial (net/loop.h).
 */
CS_MUST cs_err cs_endpoint_connect(int *out_fd, const cs_endpoint *ep, uint32_t timeout_ms);
/*
 * cs_endpoint_connect_begin - start; *out_pending when the caller must wait for writability and then call
 * cs_endpoint_connect_end (CS_E_CONNECT when it failed; the caller closes the descriptor). errno says why on CS_E_CONNECT: EAGAIN
 * of a unix socket is one whose backlog is full.
 */
CS_MUST cs_err cs_endpoint_connect_begin(int *out_fd, bool *out_pending, const cs_endpoint *ep);
CS_MUST cs_err cs_endpoint_connect_end(int fd);

typedef struct cs_ep_peer {
    cs_ep_scheme scheme;
    uint32_t cid;  /* vsock */
    uint32_t port; /* vsock, tcp */
    uint32_t uid;  /* unix: SO_PEERCRED */
} cs_ep_peer;

/* cs_endpoint_accept - one connection, non-blocking, close-on-exec. CS_E_NOT_FOUND: none is waiting. CS_E_IO. */
CS_MUST cs_err cs_endpoint_accept(int *out_fd, cs_ep_peer *out_peer, int listen_fd);
/* cs_ep_peer_check - a vsock peer must have this cid (any when CS_EP_CID_ANY); others pass. CS_E_AUTH. */
CS_MUST cs_err cs_ep_peer_check(const cs_ep_peer *peer, uint32_t cid);

#endif
