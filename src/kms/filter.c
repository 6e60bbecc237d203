/* See filter.h. */
#include "kms/filter.h"

#include <sys/mman.h>

void cs_kms_filter_make(cs_sandbox *out, const char *program, cs_sandbox_action action, int log_fd, int family)
{
    /* Sockets that are there, one that is dialled, growing memory. No files, no programs. */
    const cs_sandbox_rule rules[] = {
        CS_ALLOW_IF(SYS_socket, 0, family),
        CS_ALLOW(SYS_connect),
        CS_ALLOW(SYS_accept4),
        CS_ALLOW(SYS_recvfrom),
        CS_ALLOW(SYS_sendto),
        CS_ALLOW(SYS_recvmsg),
        CS_ALLOW(SYS_sendmsg),
        CS_ALLOW(SYS_getsockopt),
        CS_ALLOW(SYS_setsockopt),
        CS_ALLOW(SYS_getsockname),
        CS_ALLOW(SYS_getpeername),
        CS_ALLOW(SYS_shutdown),
        CS_ALLOW(SYS_fcntl),
        CS_ALLOW(SYS_ppoll),
#ifdef SYS_poll
        CS_ALLOW(SYS_poll),
#endif
        CS_ALLOW(SYS_mremap),
        CS_ALLOW_WITHOUT(SYS_mprotect, 2, PROT_EXEC),
    };

    cs_sandbox_init(out, program, action, log_fd);
    cs_sandbox_add(out, rules, sizeof rules / sizeof *rules);
}
