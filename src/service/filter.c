/* See filter.h. */
#include "service/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "no system call filter for this architecture"
#endif

/*
 * The loop (epoll, libuv's signal pipe), accepted sockets, the packet link, the log, memory, time, the end.
 * SYS_time: what time() becomes where the vdso cannot read the clock.
 */
static const unsigned allowed[] = {
    SYS_read,         SYS_write,           SYS_readv,      SYS_writev,        SYS_recvfrom,    SYS_sendto,
    SYS_recvmsg,      SYS_sendmsg,         SYS_recvmmsg,   SYS_sendmmsg,      SYS_accept4,     SYS_shutdown,
    SYS_close,        SYS_getsockopt,      SYS_setsockopt, SYS_getsockname,   SYS_getpeername, SYS_epoll_ctl,
    SYS_epoll_pwait,  SYS_ppoll,           SYS_brk,        SYS_munmap,        SYS_mremap,      SYS_madvise,
    SYS_futex,        SYS_getpid,          SYS_gettid,     SYS_clock_gettime, SYS_getrandom,   SYS_rt_sigprocmask,
    SYS_rt_sigreturn, SYS_restart_syscall, SYS_tgkill,     SYS_exit,          SYS_exit_group,
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
#ifdef SYS_time
    SYS_time,
#endif
#ifdef SYS_poll
    SYS_poll,
#endif
};

#define MAX_CODE 128

typedef struct program {
    struct sock_filter code[MAX_CODE];
    unsigned short len;
} program;

static void put(program *p, struct sock_filter f)
{
    if (p->len < MAX_CODE) {
        p->code[p->len++] = f;
    }
}

static void load(program *p, size_t at)
{
    put(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)at));
}

static void allow_if_equal(program *p, unsigned value)
{
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
    put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

/* Low word of argument n on little endian. */
#define ARG(n) (offsetof(struct seccomp_data, args) + (size_t)(n)*8u)

static void build(program *p, int family)
{
    const struct sock_filter kill = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    const struct sock_filter deny = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    load(p, offsetof(struct seccomp_data, arch));
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
    put(p, kill);
    load(p, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        allow_if_equal(p, allowed[i]);
    }
    /* mmap and mprotect without execution; ioctl only to make a socket non-blocking */
    for (int i = 0; i < 2; i++) {
        put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, i == 0 ? SYS_mmap : SYS_mprotect, 0, 4));
        load(p, ARG(2));
        put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0));
        put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
        put(p, deny);
    }
    if (family != CS_SERVICE_NO_DIAL) {
        allow_if_equal(p, SYS_connect);
        put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 4));
        load(p, ARG(0));
        allow_if_equal(p, (unsigned)family);
        put(p, deny);
    }
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3));
    load(p, ARG(1));
    allow_if_equal(p, FIONBIO);
    put(p, deny);
}

cs_err cs_service_filter_install(int family)
{
#ifdef SANITIZED
    (void)family;
    return CS_OK;
#else
    program p = {.len = 0};
    build(&p, family);
    struct sock_fprog prog = {.len = p.len, .filter = p.code};
    if (p.len == 0 || p.len >= MAX_CODE || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0) {
        return CS_E_INTERNAL;
    }
    return CS_OK;
#endif
}
