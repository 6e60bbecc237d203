/*
 * Child processes of the loop: programs with captured output and a deadline, and functions of ours that block. None is left behind: a
 * task that is freed is killed, and all die with this process (PR_SET_PDEATHSIG), but what a program itself has put in the background.
 */
#ifndef CS_HOST_TASK_H
#define CS_HOST_TASK_H

#include <sys/types.h>

#include "net/loop.h"

#define CS_TASK_OUT_MAX ((size_t)256 << 10) /* of standard output, kept; more is CS_E_TOO_LARGE */
#define CS_TASK_ERR_MAX ((size_t)64 << 10)  /* of standard error, the first bytes */

typedef struct cs_tasks cs_tasks;
typedef struct cs_task cs_task;

/* How a task ended. Slices are valid during the call. */
typedef struct cs_task_end {
    cs_err
        err; /* CS_OK: it exited by itself; CS_E_TIMEOUT: killed at its deadline; CS_E_TOO_LARGE; CS_E_LAUNCH: no such program */
    int status; /* exit status; 128 + signal */
    cs_slice out, err_out;
} cs_task_end;
typedef void cs_task_fn(void *cookie, const cs_task_end *end); /* the task is gone afterwards */

/* cs_tasks_new - takes SIGCHLD of the loop for its own children only. */
CS_MUST cs_err cs_tasks_new(cs_tasks **out, cs_loop *l);
/* cs_tasks_free - kills what runs. */
void cs_tasks_free(cs_tasks *t);

/* cs_task_exec - argv[0] is looked for in PATH; the environment is ours; standard input is empty. done is called later, once. */
CS_MUST cs_err cs_task_exec(cs_task **out, cs_tasks *t, const char *const *argv, uint32_t timeout_ms, cs_task_fn *done,
                            void *cookie);
/*
 * cs_task_fork - child(arg, in_fd, out_fd) in a process of its own; what it returns is the exit status. What it writes to out_fd comes line
 * by line to on_line (without LF); cs_task_tell writes to in_fd, whose end of file says that nobody waits any more.
 */
CS_MUST cs_err cs_task_fork(cs_task **out, cs_tasks *t, int (*child)(void *arg, int in_fd, int out_fd), void *arg,
                            void (*on_line)(void *cookie, const char *line), cs_task_fn *done, void *cookie);
CS_MUST cs_err cs_task_tell(cs_task *task, const void *p, size_t len);
/* cs_task_free - ends it without a call of done; its process has been reaped when this returns. */
void cs_task_free(cs_task *task);

#endif
