/* See filter.h. */
#include "kms/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__) || defined(__cppcheck__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "no system call filter for this architecture"
#endif

/*
 * Sockets that are there, one that is dialled, the log, memory, time, random numbers, the end. No files, no programs.
 * SYS_time: what time() becomes where the vdso cannot read the clock.
 */
static const unsigned allowed[] = {
    SYS_read,          SYS_write,           SYS_recvfrom, SYS_sendto,     SYS_recvmsg,      SYS_sendmsg,
    SYS_ppoll,         SYS_connect,         SYS_accept4,  SYS_getsockopt, SYS_setsockopt,   SYS_getsockname,
    SYS_getpeername,   SYS_shutdown,        SYS_close,    SYS_fcntl,      SYS_munmap,       SYS_mremap,
    SYS_brk,           SYS_madvise,         SYS_futex,    SYS_getpid,     SYS_gettid,       SYS_getrandom,
    SYS_clock_gettime, SYS_clock_nanosleep, SYS_exit,     SYS_exit_group, SYS_rt_sigreturn, SYS_rt_sigprocmask,
    SYS_rt_sigaction,  SYS_restart_syscall,
#ifdef SYS_time
    SYS_time,
#endif
#ifdef SYS_poll
    SYS_poll,
#endif
};

#define NUM_ALLOWED (sizeof allowed / sizeof allowed[0])
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define IF_NOT(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), 0, (skip))
#define RET(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define REFUSE RET(SECCOMP_RET_ERRNO | EPERM)

cs_err cs_kms_filter_install(int family)
{
#ifdef SANITIZED
    (void)family;
    return CS_OK;
#else
    const struct sock_filter head[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
        RET(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
    };
    const struct sock_filter tail[] = {
        /* socket(family, ...) */
        IF_NOT(SYS_socket, 4),
        LOAD(args[0]),
        IF_NOT(family, 1),
        RET(SECCOMP_RET_ALLOW),
        REFUSE,
        /* mmap and mprotect without PROT_EXEC: no code but ours */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
        IF_NOT(SYS_mprotect, 4),
        LOAD(args[2]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0),
        RET(SECCOMP_RET_ALLOW),
        REFUSE,
        REFUSE,
    };
    struct sock_filter code[4 + 2 * NUM_ALLOWED + 12];
    struct sock_fprog prog = {.filter = code};
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++) {
        code[prog.len++] = head[i];
    }
    for (size_t i = 0; i < NUM_ALLOWED; i++) {
        code[prog.len++] = (struct sock_filter)IF_NOT(allowed[i], 1);
        code[prog.len++] = (struct sock_filter)RET(SECCOMP_RET_ALLOW);
    }
    for (size_t i = 0; i < sizeof tail / sizeof tail[0]; i++) {
        code[prog.len++] = tail[i];
    }
    bool ok = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
    return ok ? CS_OK : CS_E_INTERNAL;
#endif
}
