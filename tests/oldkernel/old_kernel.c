/*
 * cs-old-kernel COMMAND...: runs a command as if the kernel were Linux 4.14, AWS's for enclaves: every system call that came later
 * fails with ENOSYS, and later values of madvise, prctl and getrandom with EINVAL. `cs-old-kernel --check` tries it on itself.
 * For tests; what is inherited by the command's children too is the point.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define LAST_CALL 332u /* statx, Linux 4.11; 333 came with 4.18 */
#else
#define ARCH AUDIT_ARCH_AARCH64
#define LAST_CALL 291u
#endif
#define LAST_MADVISE 18u        /* MADV_WIPEONFORK, Linux 4.14 */
#define FIRST_POISON 100u       /* MADV_HWPOISON and MADV_SOFT_OFFLINE are older */
#define LAST_PRCTL 47u          /* PR_CAP_AMBIENT, Linux 4.3; 50 and more came later */
#define NAME_MEMORY 0x53564d41u /* PR_SET_VMA, Linux 5.17 */
#define OLD_GETRANDOM 3u        /* GRND_NONBLOCK, GRND_RANDOM */

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define IF(test, value, yes, no) BPF_JUMP(BPF_JMP | (test) | BPF_K, (unsigned)(value), (yes), (no))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define FAIL(e) RETURN(SECCOMP_RET_ERRNO | (e))

static int become_old(void)
{
    struct sock_filter code[] = {
        LOAD(arch),
        IF(BPF_JEQ, ARCH, 1, 0),
        FAIL(ENOSYS),
        LOAD(nr),
        IF(BPF_JGT, LAST_CALL, 0, 1),
        FAIL(ENOSYS),
        IF(BPF_JEQ, SYS_madvise, 0, 5),
        LOAD(args[2]),
        IF(BPF_JGT, LAST_MADVISE, 0, 2),
        IF(BPF_JGE, FIRST_POISON, 1, 0),
        FAIL(EINVAL),
        RETURN(SECCOMP_RET_ALLOW),
        IF(BPF_JEQ, SYS_prctl, 0, 6),
        LOAD(args[0]),
        IF(BPF_JEQ, NAME_MEMORY, 2, 0),
        IF(BPF_JGT, LAST_PRCTL, 0, 2),
        IF(BPF_JGT, 255, 1, 0), /* PR_SET_PTRACER and the like are names, not numbers */
        FAIL(EINVAL),
        RETURN(SECCOMP_RET_ALLOW),
        IF(BPF_JEQ, SYS_getrandom, 0, 3),
        LOAD(args[2]),
        IF(BPF_JSET, ~OLD_GETRANDOM, 0, 1),
        FAIL(EINVAL),
        RETURN(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {.len = sizeof code / sizeof *code, .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0 ? 0
                                                                                                                 : -1;
}

static int expect(const char *what, long rc, int want)
{
    int got = rc >= 0 ? 0 : errno;

    (void)printf("%s %s: %s\n", got == want ? "ok" : "not ok", what, strerror(got));
    return got == want ? 0 : 1;
}

static int check(void)
{
    char buf[256], page[1];
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int bad = expect("statx, the last call", syscall(SYS_statx, 0, "", 0x1000 /* AT_EMPTY_PATH */, 0, buf), 0);

    bad += expect("rseq", syscall(SYS_rseq, NULL, 0, 0, 0), ENOSYS);
    bad += expect("clone3", syscall(SYS_clone3, NULL, 0), ENOSYS);
    bad += expect("close_range", syscall(SYS_close_range, 1000, 1000, 0), ENOSYS);
    bad += expect("openat2", syscall(SYS_openat2, 0, "", NULL, 0), ENOSYS);
    bad += expect("madvise 18", madvise(p, 4096, 18), 0);
    bad += expect("madvise 20", madvise(p, 4096, 20), EINVAL);
    bad += expect("madvise 4", madvise(p, 4096, MADV_DONTNEED), 0);
    bad += expect("prctl 3", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
    bad += expect("prctl 56", prctl(56, 0, 0, 0, 0), EINVAL);
    bad += expect("prctl PR_SET_VMA", prctl((int)NAME_MEMORY, 0, p, 4096, "x"), EINVAL);
    bad += expect("getrandom 1", syscall(SYS_getrandom, page, 1, 1), 0);
    bad += expect("getrandom 4", syscall(SYS_getrandom, page, 1, 4), EINVAL);
    return bad == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: cs-old-kernel COMMAND... | --check\n");
        return 2;
    }
    if (become_old() != 0) {
        perror("cs-old-kernel: seccomp");
        return 1;
    }
    if (strcmp(argv[1], "--check") == 0) {
        return check();
    }
    (void)execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 127;
}
