/*
 * The system call filter of the enclave programs (seccomp): a table of what a program may do once it is set up; whatever else it
 * tries ends it. Programs keep their tables, this keeps the mechanism.
 *
 * Arguments are compared by their low 32 bits: those that tables rule (descriptors, families, commands, protections, flags of
 * clone) are ints for the kernel. Pointers cannot be ruled.
 */
#ifndef CS_BASE_SANDBOX_H
#define CS_BASE_SANDBOX_H

#include <sys/syscall.h>

#include "base/opts.h"

#define CS_SANDBOX_RULES_MAX 160
#define CS_SANDBOX_ALLOWED_STATUS 3 /* exit status of --selftest-forbidden for a call that is allowed */

typedef enum cs_sandbox_action {
    CS_SANDBOX_KILL, /* the process ends by SIGSYS */
    CS_SANDBOX_TRAP, /* it prints the call first; for test images */
} cs_sandbox_action;

/* One call. The rules of a call are alternatives; the first that fits decides. */
typedef struct cs_sandbox_rule {
    unsigned number;
    int err; /* 0: allowed; else the call fails with this errno, for calls that a library tries and can do without */
    struct {
        enum { CS_SANDBOX_ANY, CS_SANDBOX_IS, CS_SANDBOX_WITHOUT } test; /* equal to value; no bit of value set */
        unsigned arg;                                                    /* 0..5 */
        uint32_t value;
    } where[2]; /* both must hold */
} cs_sandbox_rule;

#define CS_ALLOW(nr)                                                                                                   \
    {                                                                                                                  \
        .number = (nr)                                                                                                 \
    }
#define CS_ALLOW_IF(nr, n, v)                                                                                          \
    {                                                                                                                  \
        .number = (nr), .where = { {CS_SANDBOX_IS, (n), (uint32_t)(v)} }                                               \
    }
#define CS_ALLOW_IF2(nr, n, v, m, w)                                                                                   \
    {                                                                                                                  \
        .number = (nr), .where = { {CS_SANDBOX_IS, (n), (uint32_t)(v)}, {CS_SANDBOX_IS, (m), (uint32_t)(w)} }          \
    }
#define CS_ALLOW_WITHOUT(nr, n, v)                                                                                     \
    {                                                                                                                  \
        .number = (nr), .where = { {CS_SANDBOX_WITHOUT, (n), (uint32_t)(v)} }                                          \
    }
#define CS_FAIL(nr, e)                                                                                                 \
    {                                                                                                                  \
        .number = (nr), .err = (e)                                                                                     \
    }

typedef struct cs_sandbox {
    const char *program; /* in the line that a trap prints; borrowed for good */
    cs_sandbox_action action;
    int log_fd; /* where a trap prints */
    size_t num;
    cs_sandbox_rule rule[CS_SANDBOX_RULES_MAX];
} cs_sandbox;

/* cs_sandbox_possible - false in builds (sanitizers) whose run-time needs more system calls. */
bool cs_sandbox_possible(void);
/* cs_sandbox_action_of - "kill", "trap"; CS_E_USAGE. */
CS_MUST cs_err cs_sandbox_action_of(cs_sandbox_action *out, const char *text);
/*
 * cs_sandbox_init - the rules that every program has: reading and writing what is open, memory without execution, time, random numbers,
 * its own end (also by abort).
 */
void cs_sandbox_init(cs_sandbox *s, const char *program, cs_sandbox_action action, int log_fd);
/* cs_sandbox_add - further rules, behind those that are there. More than fit is a bug and aborts. */
void cs_sandbox_add(cs_sandbox *s, const cs_sandbox_rule *rules, size_t num);
/*
 * cs_sandbox_install - no_new_privs and the filter, for all threads of the process and what it starts, for good. Does nothing (CS_OK) where it is not
 * possible. CS_E_INTERNAL.
 */
CS_MUST cs_err cs_sandbox_install(const cs_sandbox *s);
/* cs_sandbox_call_name - "openat"; "unknown" for a number that has no name here. Static. */
const char *cs_sandbox_call_name(long number);

/* Options of programs with a filter, and what they do. */
#define CS_SANDBOX_OPT_SELFTEST                                                                                        \
    {                                                                                                                  \
        .name = "selftest-forbidden", .kind = CS_OPT_U64, .arg = "N",                                                  \
        .help = "install the filter, make system call N; ends by SIGSYS when it is forbidden, else with status 3",     \
        .max = UINT32_MAX                                                                                              \
    }
#define CS_SANDBOX_OPTS                                                                                                \
    {.name = "system-call-filter",                                                                                     \
     .kind = CS_OPT_STR,                                                                                               \
     .arg = "ACTION",                                                                                                  \
     .help = "what a forbidden system call does: kill, or trap (prints it first; test images)",                        \
     .def = "kill"},                                                                                                   \
        CS_SANDBOX_OPT_SELFTEST
/*
 * cs_sandbox_selftest - install s and make call `number` with all arguments -1, which no rule of an argument allows. Does not return for
 * a call that is forbidden; else prints so and returns CS_SANDBOX_ALLOWED_STATUS.
 */
int cs_sandbox_selftest(const cs_sandbox *s, uint64_t number);

#endif
