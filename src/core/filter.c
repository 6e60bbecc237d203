#include "core/filter.h"

#include <unistd.h>

#include "core/platform.h"

/* Its links, besides what every program may; recvfrom and sendto are how glibc makes recv and send. */
static const cs_sandbox_rule links[] = {
    CS_ALLOW(SYS_recvmsg), CS_ALLOW(SYS_sendmsg), CS_ALLOW(SYS_recvfrom), CS_ALLOW(SYS_sendto), CS_ALLOW(SYS_ppoll),
#ifdef SYS_poll
    CS_ALLOW(SYS_poll),
#endif
};

void cs_filter_make(cs_sandbox *out, const cs_filter_args *args)
{
    /* the one ioctl of the device, on the descriptor that was opened before */
    const cs_sandbox_rule device[] = {CS_ALLOW_IF2(SYS_ioctl, 0, args->nsm_fd, 1, CS_NSM_IOCTL)};

    cs_sandbox_init(out, args->program, args->action, STDERR_FILENO);
    cs_sandbox_add(out, links, sizeof links / sizeof *links);
    cs_sandbox_add(out, device, args->device ? 1 : 0);
}
