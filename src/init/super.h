/*
 * Supervision: which program runs, is started again, or ends the enclave. Decides and logs; starting and signalling are the
 * caller's. The same rules as those of sign-host's local runs (docs/formats/launch.md).
 */
#ifndef CS_INIT_SUPER_H
#define CS_INIT_SUPER_H

#include <sys/types.h>

#include "base/restarts.h"

#define CS_SUPER_STOP_MS 5000u /* from SIGTERM to SIGKILL */

typedef struct cs_super_ops {
    /* begin one program; *out its process. Any error halts the enclave. */
    cs_err (*start)(void *cookie, cs_launch_program p, pid_t *out);
    void (*signal)(void *cookie, pid_t pid, int sig);
    void *cookie;
} cs_super_ops;

typedef struct cs_super {
    cs_super_ops ops;
    struct cs_super_program {
        pid_t pid;      /* 0: does not run */
        uint64_t again; /* ms when it is started again; 0: not */
        cs_restarts restarts;
    } program[CS_LAUNCH_NUM_PROGRAMS];
    bool stopping;
    int asked; /* the program that was asked to end last; stopping goes from the last of the table to the first */
    uint64_t deadline;   /* of that one; UINT64_MAX once it was killed */
    cs_err reason;       /* of stopping: CS_OK when it was asked for */
    const char *because; /* the program that ended it all, or NULL */
} cs_super;

/* cs_super_start - all programs in order; one that cannot be started begins the stop (reason CS_E_LAUNCH). */
void cs_super_start(cs_super *s, const cs_super_ops *ops, uint64_t now_ms);
/* cs_super_ended - to be called for every process that was reaped; strangers are ignored. */
void cs_super_ended(cs_super *s, pid_t pid, int status, uint64_t now_ms);
/* cs_super_stop - end all in order, front first. The first reason stays. */
void cs_super_stop(cs_super *s, cs_err reason, const char *because, uint64_t now_ms);
/* cs_super_tick - do what is due; ms until the next call, -1: none is needed. */
int cs_super_tick(cs_super *s, uint64_t now_ms);
/* cs_super_finished - stopping, and no program runs. */
bool cs_super_finished(const cs_super *s);
/* cs_super_name - of a program; "" for a process that is none of them. */
const char *cs_super_name(const cs_super *s, pid_t pid);

#endif
