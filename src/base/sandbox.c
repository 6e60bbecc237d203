#include "base/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
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

#define CODE_MAX 1024
#define NO_CALL 0x3fffffffL /* no system call has this number, no table allows it */

bool cs_sandbox_possible(void)
{
#ifdef SANITIZED
    return false;
#else
    return true;
#endif
}

cs_err cs_sandbox_action_of(cs_sandbox_action *out, const char *text)
{
    if (strcmp(text, "kill") != 0 && strcmp(text, "trap") != 0) {
        return CS_E_USAGE;
    }
    *out = text[0] == 'k' ? CS_SANDBOX_KILL : CS_SANDBOX_TRAP;
    return CS_OK;
}

/* ---------------------------------------------------------------- the table */

void cs_sandbox_add(cs_sandbox *s, const cs_sandbox_rule *rules, size_t num)
{
    if (num > CS_SANDBOX_RULES_MAX - s->num) {
        abort();
    }
    memcpy(s->rule + s->num, rules, num * sizeof *rules);
    s->num += num;
}

void cs_sandbox_init(cs_sandbox *s, const char *program, cs_sandbox_action action, int log_fd)
{
    const cs_sandbox_rule common[] = {
        CS_ALLOW(SYS_read),
        CS_ALLOW(SYS_write),
        CS_ALLOW(SYS_writev),
        CS_ALLOW(SYS_close),
        CS_ALLOW(SYS_clock_gettime),
        CS_ALLOW(SYS_futex),
        CS_ALLOW(SYS_getrandom),
        CS_ALLOW(SYS_getpid), /* OpenSSL asks before each draw */
        CS_ALLOW(SYS_gettid),
        CS_ALLOW(SYS_brk),
        CS_ALLOW(SYS_munmap),
        CS_ALLOW(SYS_madvise),
        CS_ALLOW_WITHOUT(SYS_mmap, 2, PROT_EXEC), /* no code but ours */
        CS_ALLOW(SYS_rt_sigreturn),
        CS_ALLOW(SYS_restart_syscall),
        CS_ALLOW(SYS_exit),
        CS_ALLOW(SYS_exit_group),
        CS_ALLOW(SYS_rt_sigprocmask),                                /* abort() */
        CS_ALLOW_IF2(SYS_tgkill, 0, (unsigned)getpid(), 2, SIGABRT), /* abort() */
#ifdef SYS_time
        CS_ALLOW(SYS_time), /* what time() becomes where the vdso cannot read the clock */
#endif
        CS_ALLOW(SYS_gettimeofday), /* the same */
    };

    *s = (cs_sandbox){.program = program, .action = action, .log_fd = log_fd};
    cs_sandbox_add(s, common, sizeof common / sizeof *common);
}

/* ---------------------------------------------------------------- the filter */

typedef struct code {
    struct sock_filter at[CODE_MAX];
    unsigned short len;
} code;

static void put(code *c, struct sock_filter f)
{
    if (c->len < CODE_MAX) {
        c->at[c->len++] = f;
    }
}

#define LOAD(off) ((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(off)))
#define JUMP(test, value, yes, no) ((struct sock_filter)BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), (yes), (no)))
#define RETURN(what) ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (what)))
#define NUMBER offsetof(struct seccomp_data, nr)
/* little endian: the low half comes first */
#define ARGUMENT(n) (offsetof(struct seccomp_data, args) + (size_t)(n)*8u)

/* The accumulator holds the number before and behind each rule. */
static void put_rule(code *c, const cs_sandbox_rule *r)
{
    unsigned tests = (r->where[0].test != CS_SANDBOX_ANY) + (r->where[1].test != CS_SANDBOX_ANY);
    /* behind the first jump: two for each test, the verdict, and the number again when an argument was loaded */
    unsigned left = 2 * tests + 1;

    put(c, JUMP(BPF_JEQ, r->number, 0, (unsigned char)(left + (tests > 0))));
    for (unsigned i = 0; i < 2; i++) {
        if (r->where[i].test == CS_SANDBOX_ANY) {
            continue;
        }
        left -= 2;
        put(c, LOAD(ARGUMENT(r->where[i].arg)));
        if (r->where[i].test == CS_SANDBOX_IS) {
            put(c, JUMP(BPF_JEQ, r->where[i].value, 0, (unsigned char)left));
        } else {
            put(c, JUMP(BPF_JSET, r->where[i].value, (unsigned char)left, 0));
        }
    }
    put(c, RETURN(r->err == 0 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | (unsigned)r->err));
    if (tests > 0) {
        put(c, LOAD(NUMBER));
    }
}

/* Kernels before 4.14 know to kill a thread only. */
static unsigned kill_verdict(void)
{
    unsigned process = SECCOMP_RET_KILL_PROCESS;

    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &process) == 0 ? process : SECCOMP_RET_KILL;
}

static void build(code *c, const cs_sandbox *s)
{
    unsigned killed = kill_verdict();

    c->len = 0;
    put(c, LOAD(offsetof(struct seccomp_data, arch)));
    put(c, JUMP(BPF_JEQ, ARCH, 1, 0));
    put(c, RETURN(killed));
    put(c, LOAD(NUMBER));
    for (size_t i = 0; i < s->num; i++) {
        put_rule(c, &s->rule[i]);
    }
    put(c, RETURN(s->action == CS_SANDBOX_TRAP ? SECCOMP_RET_TRAP : killed));
}

/* ---------------------------------------------------------------- the trap */

static const char *trap_program;
static int trap_fd;

static size_t append(char *line, size_t len, size_t cap, const char *text)
{
    for (; *text != '\0' && len < cap; text++) {
        line[len++] = *text;
    }
    return len;
}

static size_t append_number(char *line, size_t len, size_t cap, unsigned n)
{
    char digits[12];
    size_t at = sizeof digits - 1;

    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return append(line, len, cap, digits + at);
}

/* Async-signal-safe. Comes once (SA_RESETHAND): the second forbidden call, ours, is the end. */
static void on_sigsys(int sig, siginfo_t *info, void *context)
{
    char line[320];
    size_t len = 0, cap = sizeof line;
    unsigned number = (unsigned)info->si_syscall;

    (void)sig;
    (void)context;
    len = append(line, len, cap, "{\"level\":\"error\",\"program\":\"");
    len = append(line, len, cap, trap_program);
    len = append(line, len, cap, "\",\"event\":\"forbidden_call\",\"code\":\"SYSTEM_CALL\",\"number\":");
    len = append_number(line, len, cap, number);
    len = append(line, len, cap, ",\"name\":\"");
    len = append(line, len, cap, cs_sandbox_call_name((long)number));
    len = append(line, len, cap, "\"}\n");
    (void)!write(trap_fd, line, len);
    (void)syscall(NO_CALL);
    _exit(128 + SIGSYS);
}

static bool take_trap(const cs_sandbox *s)
{
    struct sigaction sa = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | (int)SA_RESETHAND};
    sigset_t set;

    trap_program = s->program;
    trap_fd = s->log_fd;
    return sigemptyset(&set) == 0 && sigaddset(&set, SIGSYS) == 0 && sigprocmask(SIG_UNBLOCK, &set, NULL) == 0 &&
           sigaction(SIGSYS, &sa, NULL) == 0;
}

/* ---------------------------------------------------------------- installing */

/*
 * For all threads of the process: those that were made before would otherwise stay outside. A kernel without SYS_seccomp (before 3.17)
 * takes the older call, which is for one thread: only a program without others may go on then.
 */
static bool set_filter(const struct sock_fprog *prog)
{
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, prog) == 0) {
        return true;
    }
    return errno == ENOSYS && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, prog) == 0;
}

cs_err cs_sandbox_install(const cs_sandbox *s)
{
    static code c;
    struct sock_fprog prog = {.filter = c.at};

    if (!cs_sandbox_possible()) {
        return CS_OK;
    }
    tzset(); /* the first gmtime() would open the file of the time zone; OpenSSL compares certificates' times with it */
    build(&c, s);
    prog.len = c.len;
    if (c.len == CODE_MAX || (s->action == CS_SANDBOX_TRAP && !take_trap(s)) ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !set_filter(&prog)) {
        return CS_E_INTERNAL;
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- the test of itself */

/* Calls that do not come back when they are allowed. */
static bool ends_the_process(uint64_t number)
{
    return number == SYS_exit || number == SYS_exit_group || number == SYS_rt_sigreturn;
}

static bool has_plain_rule(const cs_sandbox *s, uint64_t number)
{
    for (size_t i = 0; i < s->num; i++) {
        if (s->rule[i].number == number && s->rule[i].where[0].test == CS_SANDBOX_ANY) {
            return true;
        }
    }
    return false;
}

int cs_sandbox_selftest(const cs_sandbox *s, uint64_t number)
{
    if (!cs_sandbox_possible()) {
        (void)fprintf(stderr, "%s: a build with sanitizers has no system call filter\n", s->program);
        return CS_SANDBOX_ALLOWED_STATUS;
    }
    if (cs_sandbox_install(s) != CS_OK) {
        (void)fprintf(stderr, "%s: the system call filter cannot be installed\n", s->program);
        return 1;
    }
    if (!ends_the_process(number) || !has_plain_rule(s, number)) {
        (void)syscall((long)number, -1L, -1L, -1L, -1L, -1L, -1L);
    }
    (void)fprintf(stderr, "%s: system call %llu (%s) is allowed\n", s->program, (unsigned long long)number,
                  cs_sandbox_call_name((long)number));
    return CS_SANDBOX_ALLOWED_STATUS;
}
