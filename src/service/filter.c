/* See filter.h. */
#include "service/filter.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* The loop (epoll, libuv's signal pipe), accepted sockets, the packet link, growing memory. */
static const cs_sandbox_rule rules[] = {
    CS_ALLOW(SYS_readv),
    CS_ALLOW(SYS_recvfrom),
    CS_ALLOW(SYS_sendto),
    CS_ALLOW(SYS_recvmsg),
    CS_ALLOW(SYS_sendmsg),
    CS_ALLOW(SYS_recvmmsg),
    CS_ALLOW(SYS_sendmmsg),
    CS_ALLOW(SYS_accept4),
    CS_ALLOW(SYS_shutdown),
    CS_ALLOW(SYS_getsockopt),
    CS_ALLOW(SYS_setsockopt),
    CS_ALLOW(SYS_getsockname),
    CS_ALLOW(SYS_getpeername),
    CS_ALLOW(SYS_epoll_ctl),
    CS_ALLOW(SYS_epoll_pwait),
#ifdef SYS_epoll_wait
    CS_ALLOW(SYS_epoll_wait),
#endif
    CS_ALLOW(SYS_ppoll),
#ifdef SYS_poll
    CS_ALLOW(SYS_poll),
#endif
    CS_ALLOW(SYS_mremap),
    CS_ALLOW_WITHOUT(SYS_mprotect, 2, PROT_EXEC),
    CS_ALLOW_IF(SYS_ioctl, 1, FIONBIO), /* how libuv makes a socket non-blocking */
};

void cs_service_filter_make(cs_sandbox *out, const char *program, cs_sandbox_action action, int family)
{
    const cs_sandbox_rule dial[] = {CS_ALLOW_IF(SYS_socket, 0, family), CS_ALLOW(SYS_connect)};

    cs_sandbox_init(out, program, action, STDERR_FILENO);
    cs_sandbox_add(out, rules, sizeof rules / sizeof *rules);
    cs_sandbox_add(out, dial, family == CS_SERVICE_NO_DIAL ? 0 : 2);
}
