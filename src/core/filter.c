#include "core/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "core/platform.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

bool cs_filter_possible(void)
{
#ifdef SANITIZED
    return false;
#else
    return true;
#endif
}

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "no system call filter for this architecture"
#endif

/*
 * What a running core needs: its links (read, write, recvmsg, sendmsg, poll), the log (write), memory without execution, time,
 * random numbers, its end. recvfrom and sendto are how glibc makes recv and send; OpenSSL asks for getpid before each draw.
 * SYS_time: what time() becomes where the vdso cannot read the clock.
 */
static const unsigned allowed[] = {
    SYS_read,         SYS_write,           SYS_recvmsg,       SYS_sendmsg, SYS_recvfrom,
    SYS_sendto,       SYS_ppoll,           SYS_futex,         SYS_munmap,  SYS_brk,
    SYS_madvise,      SYS_getrandom,       SYS_clock_gettime, SYS_exit,    SYS_exit_group,
    SYS_rt_sigreturn, SYS_restart_syscall, SYS_close,         SYS_getpid,
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

#define LOAD(field)                                                                                                    \
    ((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field)))
#define IF_NOT(value, skip) ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip)))
#define IF_BITS(bits, skip) ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bits), (skip), 0))
#define RET(what) ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (what)))
#define ARG_LOW(n) args[n] /* little endian: the low half comes first */

static void put_allowed(program *p)
{
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        put(p, IF_NOT(allowed[i], 1));
        put(p, RET(SECCOMP_RET_ALLOW));
    }
}

/* mmap without PROT_EXEC: no code but ours. */
static void put_mmap(program *p)
{
    put(p, IF_NOT(SYS_mmap, 4));
    put(p, LOAD(ARG_LOW(2)));
    put(p, IF_BITS(PROT_EXEC, 1));
    put(p, RET(SECCOMP_RET_ALLOW));
    put(p, RET(SECCOMP_RET_KILL_PROCESS));
}

/* The one ioctl of the device, on the descriptor that was opened before. */
static void put_ioctl(program *p, int fd)
{
    put(p, IF_NOT(SYS_ioctl, 6));
    put(p, LOAD(ARG_LOW(0)));
    put(p, IF_NOT((unsigned)fd, 3));
    put(p, LOAD(ARG_LOW(1)));
    put(p, IF_NOT((unsigned)CS_NSM_IOCTL, 1));
    put(p, RET(SECCOMP_RET_ALLOW));
    put(p, RET(SECCOMP_RET_KILL_PROCESS));
}

cs_err cs_filter_install(const cs_filter_args *args)
{
    program p = {.len = 0};
    struct sock_fprog prog = {.filter = p.code};

    put(&p, LOAD(arch));
    put(&p, ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0)));
    put(&p, RET(SECCOMP_RET_KILL_PROCESS));
    put(&p, LOAD(nr));
    put_allowed(&p);
    put_mmap(&p);
    if (args->device) {
        put_ioctl(&p, args->nsm_fd);
    }
    put(&p, RET(SECCOMP_RET_KILL_PROCESS));
    prog.len = p.len;
    if (p.len == MAX_CODE || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0) {
        return CS_E_INTERNAL;
    }
    return CS_OK;
}
