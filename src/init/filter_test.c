/* The filter of sign-init: it starts, hears of and ends programs, and programs can set themselves up; each case is a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/filter.h"

/* No filter under the sanitizers, and none for an emulated processor (qemu-user). */
static bool no_filter(void)
{
    unsigned allow = SECCOMP_RET_ALLOW;

    return !cs_sandbox_possible() || syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &allow) != 0;
}

static int in_child(void (*fn)(void))
{
    int status = -1;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        static cs_sandbox s;

        cs_init_filter_make(&s, false);
        if (cs_sandbox_install(&s) != CS_OK) {
            _exit(99);
        }
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void start_and_end_a_program(void)
{
    int status = -1, ends[2];
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) != 0 || (child = fork()) < 0) {
        _exit(1);
    }
    if (child == 0) {
        (void)setsid();
        (void)dup2(ends[1], 2);
        (void)execl("/bin/sleep", "sleep", "100", (char *)NULL);
        _exit(2);
    }
    if (kill(child, SIGTERM) != 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status)) {
        _exit(3);
    }
}

static void set_up_as_a_program_does(void)
{
    static cs_sandbox narrower;
    int pair[2];
    void *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (open("/dev/null", O_RDWR | O_CLOEXEC) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0 ||
        p == MAP_FAILED || mlock(p, 4096) != 0 || mprotect(p, 4096, PROT_READ) != 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        _exit(1);
    }
    (void)isatty(0);
    (void)socket(AF_VSOCK, SOCK_STREAM, 0);
    cs_sandbox_init(&narrower, "sign-test", CS_SANDBOX_KILL, 2);
    if (cs_sandbox_install(&narrower) != CS_OK) {
        _exit(2);
    }
    (void)getpid();
}

static void *nothing(void *arg)
{
    return arg;
}

/* As sign-kms and sign-core do before they have their own filter. clone3, which hides its flags, is as in a kernel that has none. */
static void make_a_thread(void)
{
    pthread_t thread;

    if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS || pthread_create(&thread, NULL, nothing, NULL) != 0 ||
        pthread_join(thread, NULL) != 0) {
        _exit(1);
    }
}

static void broken_invariant(void)
{
    abort();
}

static void test_programs_can_be_started_set_up_and_ended(void **state)
{
    if (no_filter()) {
        skip();
    }
    assert_int_equal(in_child(start_and_end_a_program), 0);
    assert_int_equal(in_child(set_up_as_a_program_does), 0);
    assert_int_equal(in_child(make_a_thread), 0);
    int status = in_child(broken_invariant);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void do_mount(void)
{
    (void)mount("proc", "/nowhere", "proc", 0, NULL);
}
static void do_umount(void)
{
    (void)umount("/nowhere");
}
static void do_ptrace(void)
{
    (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static void do_module(void)
{
    (void)syscall(SYS_finit_module, -1, "", 0);
}
static void do_unshare(void)
{
    (void)unshare(0);
}
static void do_namespaces(void)
{
    (void)syscall(SYS_clone, CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);
}
static void do_bpf(void)
{
    (void)syscall(SYS_bpf, -1, NULL, 0);
}
static void do_inet(void)
{
    (void)!socket(AF_INET, SOCK_STREAM, 0);
}
static void do_netlink(void)
{
    (void)!socket(AF_NETLINK, SOCK_RAW, 0);
}
static void do_packet(void)
{
    (void)!socket(AF_PACKET, SOCK_RAW, 0);
}
static void do_code(void)
{
    (void)!mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static void do_read_memory(void)
{
    (void)syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}
static void do_listen(void)
{
    (void)listen(0, 1);
}

static void test_what_no_program_of_an_enclave_does_ends_it(void **state)
{
    static void (*const cases[])(void) = {
        do_mount, do_umount,  do_ptrace, do_module, do_unshare,     do_namespaces, do_bpf,
        do_inet,  do_netlink, do_packet, do_code,   do_read_memory, do_listen,
    };
    static const long more[] = {
        SYS_kexec_load,
        SYS_init_module,
        SYS_delete_module,
        SYS_perf_event_open,
        SYS_keyctl,
        SYS_add_key,
        SYS_swapon,
        SYS_acct,
        SYS_quotactl,
        SYS_userfaultfd,
        SYS_process_vm_writev,
        SYS_setns,
        SYS_open_by_handle_at,
        SYS_io_uring_setup,
        SYS_pivot_root,
        SYS_chroot,
        SYS_settimeofday,
        SYS_clock_settime,
        SYS_memfd_create,
        SYS_bind,
        SYS_unlinkat,
        SYS_setuid,
#ifdef SYS_iopl
        SYS_iopl,
        SYS_ioperm,
#endif
    };

    if (no_filter()) {
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = in_child(cases[i]);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
            fail_msg("case %zu: status %x", i, status);
        }
    }
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        static cs_sandbox s;

        cs_init_filter_make(&s, false);
        for (size_t k = 0; k < s.num; k++) {
            if (s.rule[k].number == (unsigned)more[i]) {
                fail_msg("%s is in the table", cs_sandbox_call_name(more[i]));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_programs_can_be_started_set_up_and_ended),
        cmocka_unit_test(test_what_no_program_of_an_enclave_does_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
