/* Where log lines go: the programs' pipes and sign-init's own lines to the console and to the backlog of the stream. */
#ifndef CS_INIT_LOGS_H
#define CS_INIT_LOGS_H

#include "init/backlog.h"
#include "init/stream.h"

typedef struct cs_init_logs {
    int console; /* non-blocking: what it does not take is lost there, not in the stream */
    bool torn;   /* the console's last line is not whole */
    cs_backlog backlog;
    cs_log_stream stream;
    struct cs_init_source {
        int fd; /* read end of the program's standard error, -1 */
        unsigned number;
        struct cs_init_logs *owner;
        cs_lines lines;
    } source[CS_LAUNCH_NUM_PROGRAMS];
} cs_init_logs;

/* cs_init_logs_open - own lines (base/log.h) go here from now on, and to standard error. */
void cs_init_logs_open(cs_init_logs *g);
/*
 * cs_init_logs_console - a view of standard error of our own, that does not block and leaves the flags of whoever shares it alone;
 * needs /proc. Without one standard error itself is used.
 */
void cs_init_logs_console(cs_init_logs *g);
/* cs_init_logs_pipe - for the standard error of a program that is about to start; the caller closes it. CS_E_LAUNCH. */
CS_MUST cs_err cs_init_logs_pipe(cs_init_logs *g, cs_launch_program p, int *out_write_fd);
/* cs_init_logs_read - take at most one line's worth. False: nothing was there. */
bool cs_init_logs_read(cs_init_logs *g, cs_launch_program p);
/* cs_init_logs_ended - the program has ended: its last words, then its pipe is closed. */
void cs_init_logs_ended(cs_init_logs *g, cs_launch_program p);

#endif
