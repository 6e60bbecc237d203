/*
 * The system call filter of sign-init, installed when all is mounted, seeded and open. Programs inherit it, so it has what they need until
 * they install their own, and what sign-init needs to start, watch and end them. Not in it, among others: mounting, modules, kexec, ptrace
 * and the memory of other processes, namespaces, bpf, perf, keys, userfaultfd, io_uring, files by handle, swap, accounting, quotas, raw
 * ports, and sockets but those of AF_VSOCK and AF_UNIX.
 */
#include <asm/termbits.h>
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init/filter.h"
#include "init/nsm_codec.h"

#define NEW_WORLDS                                                                                                     \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |       \
     CLONE_PTRACE)

/* What sign-init does from here on: start programs, hear of their end, end them, halt. */
static const cs_sandbox_rule own[] = {
    CS_ALLOW_WITHOUT(SYS_clone, 0, NEW_WORLDS),
    CS_FAIL(SYS_clone3,
            ENOSYS), /* its flags are in memory, where no filter sees them: the C library then makes threads by clone */
    CS_ALLOW(SYS_execve),
    CS_ALLOW(SYS_wait4),
    CS_ALLOW(SYS_kill),
    CS_ALLOW(SYS_setsid),
    CS_ALLOW(SYS_pipe2),
    CS_ALLOW(SYS_dup3),
#ifdef SYS_dup2
    CS_ALLOW(SYS_dup2),
#endif
    CS_ALLOW(SYS_reboot),
    CS_ALLOW(SYS_sync),
};

/* What programs do before they have their own filter: the C library's start, their memory, descriptors, limits, the security module. */
static const cs_sandbox_rule start[] = {
#ifdef SYS_arch_prctl
    CS_ALLOW(SYS_arch_prctl),
#endif
    CS_ALLOW(SYS_set_tid_address),
    CS_ALLOW(SYS_set_robust_list),
    CS_ALLOW(SYS_rseq),
    CS_ALLOW(SYS_prlimit64),
    CS_ALLOW(SYS_prctl),
    CS_ALLOW(SYS_seccomp),
    CS_ALLOW_WITHOUT(SYS_mprotect, 2, PROT_EXEC),
    CS_ALLOW(SYS_mremap),
    CS_ALLOW(SYS_mlock),
    CS_ALLOW(SYS_mlock2),
    CS_ALLOW(SYS_munlock),
    CS_ALLOW(SYS_openat),
    CS_ALLOW(SYS_readlinkat),
    CS_ALLOW(SYS_newfstatat),
    CS_ALLOW(SYS_fstat),
#ifdef SYS_open
    CS_ALLOW(SYS_open),
    CS_ALLOW(SYS_readlink),
    CS_ALLOW(SYS_stat),
    CS_ALLOW(SYS_lstat),
    CS_ALLOW(SYS_access),
    CS_ALLOW(SYS_getrlimit),
#endif
    CS_ALLOW(SYS_lseek),
    CS_ALLOW(SYS_pread64),
    CS_ALLOW(SYS_fcntl),
    CS_ALLOW(SYS_dup),
    CS_ALLOW_IF(SYS_ioctl, 1, CS_INIT_NSM_IOCTL),
    CS_ALLOW_IF(SYS_ioctl, 1, FIONBIO),
    CS_ALLOW_IF(SYS_ioctl, 1, TCGETS), /* is it a terminal? */
    CS_ALLOW(SYS_uname),
    CS_ALLOW(SYS_sysinfo),
    CS_ALLOW(SYS_getppid),
    CS_ALLOW(SYS_getuid),
    CS_ALLOW(SYS_geteuid),
    CS_ALLOW(SYS_getgid),
    CS_ALLOW(SYS_getegid),
    CS_ALLOW(SYS_sched_getaffinity),
    CS_ALLOW(SYS_sched_yield),
    CS_ALLOW(SYS_sigaltstack),
    CS_ALLOW(SYS_rt_sigaction),
    CS_ALLOW(SYS_clock_getres),
    CS_ALLOW(SYS_clock_nanosleep),
    CS_ALLOW(SYS_nanosleep),
};

/* Sockets and waiting: sign-init's log stream, and what the programs' own filters have. */
static const cs_sandbox_rule sockets[] = {
    CS_ALLOW_IF(SYS_socket, 0, AF_VSOCK),
    CS_ALLOW_IF(SYS_socket, 0, AF_UNIX),
    CS_ALLOW_IF(SYS_socketpair, 0, AF_UNIX),
    CS_ALLOW(SYS_connect),
    CS_ALLOW(SYS_accept4),
    CS_ALLOW(SYS_sendto),
    CS_ALLOW(SYS_recvfrom),
    CS_ALLOW(SYS_sendmsg),
    CS_ALLOW(SYS_recvmsg),
    CS_ALLOW(SYS_sendmmsg),
    CS_ALLOW(SYS_recvmmsg),
    CS_ALLOW(SYS_shutdown),
    CS_ALLOW(SYS_getsockopt),
    CS_ALLOW(SYS_setsockopt),
    CS_ALLOW(SYS_getsockname),
    CS_ALLOW(SYS_getpeername),
    CS_ALLOW(SYS_readv),
    CS_ALLOW(SYS_ppoll),
    CS_ALLOW(SYS_epoll_create1),
    CS_ALLOW(SYS_epoll_ctl),
    CS_ALLOW(SYS_epoll_pwait),
#ifdef SYS_poll
    CS_ALLOW(SYS_poll),
    CS_ALLOW(SYS_epoll_wait),
#endif
    CS_ALLOW(SYS_eventfd2),
    CS_ALLOW(SYS_signalfd4),
    CS_ALLOW(SYS_timerfd_create),
    CS_ALLOW(SYS_timerfd_settime),
};

/* abort() of a program: whose number it will have is not known here. */
static const cs_sandbox_rule abort_of_programs[] = {CS_ALLOW_IF(SYS_tgkill, 2, SIGABRT)};

void cs_init_filter_make(cs_sandbox *out, bool trap)
{
    cs_sandbox_init(out, "sign-init", trap ? CS_SANDBOX_TRAP : CS_SANDBOX_KILL, STDERR_FILENO);
    cs_sandbox_add(out, own, sizeof own / sizeof *own);
    cs_sandbox_add(out, start, sizeof start / sizeof *start);
    cs_sandbox_add(out, sockets, sizeof sockets / sizeof *sockets);
    cs_sandbox_add(out, abort_of_programs, 1);
}
