/*
 * sign-init: PID 1 of the enclave. Mounts, entropy, clock, heartbeat, listeners, links, measured sections; starts sign-core, sign-kms
 * and sign-service, reaps and restarts them; carries their logs to the parent. One thread, one poll loop. It holds the measured
 * configuration and nothing secret but the seed on its way into the kernel's pool. Source: docs/formats/image.md, launch.md.
 */
#ifndef CS_INIT_INIT_H
#define CS_INIT_INIT_H

#include "init/logs.h"
#include "init/settings.h"
#include "init/super.h"

#define CS_INIT_LISTENERS_MAX 8
#define CS_INIT_PORT_HEARTBEAT 9000u
#define CS_INIT_PORT_LOGS 7110u

/* Whatever the programs inherit. Numbers below 1024; -1: not open. */
typedef struct cs_init_fds {
    int config[CS_LAUNCH_NUM_PROGRAMS];
    int ends[CS_LAUNCH_NUM_ENDS];
    int listeners[CS_INIT_LISTENERS_MAX]; /* by row of CS_LAUNCH_FDS */
    int null;
} cs_init_fds;

typedef struct cs_init {
    bool pid1;       /* the kernel started it (or a namespace is its world) */
    const char *why; /* what the last step that failed says about it; static */
    int why_errno;
    bool have_settings;
    cs_init_settings settings;
    cs_buf config; /* the bytes that settings borrow */
    int nsm;       /* /dev/nsm, -1 */
    cs_init_fds fds;
    cs_init_logs logs;
    cs_super super;
} cs_init;

/* ---- boot.c: everything before the programs ---- */
/* cs_init_boot - the steps in order; the one that fails is logged (`boot_failed`: code, step, why) and its error returned. */
CS_MUST cs_err cs_init_boot(cs_init *in);

/* ---- kernel.c: what is asked of the kernel, once; each sets in->why on error ---- */
/*
 * cs_init_stdio - open standard streams stay, others become /dev/console or /dev/null. cs_init_close_others - what else was open at the
 * start is not ours; from then on sign-init opens nothing that survives exec, so that a program inherits what it is given.
 */
void cs_init_stdio(void);
void cs_init_close_others(void);
CS_MUST cs_err cs_init_mount(cs_init *in);       /* /proc, /sys, /dev; what is there already is accepted. CS_E_BOOT */
CS_MUST cs_err cs_init_module(cs_init *in);      /* /nsm.ko, when there is one. CS_E_BOOT */
CS_MUST cs_err cs_init_limits(cs_init *in);      /* descriptors that the front may open. CS_E_BOOT */
CS_MUST cs_err cs_init_clock(cs_init *in);       /* CS_E_CLOCK_SOURCE | CS_E_BOOT */
CS_MUST cs_err cs_init_read_config(cs_init *in); /* CS_E_IO | CS_E_TOO_LARGE | CS_E_CONFIG */

/* ---- nsm.c ---- */
CS_MUST cs_err cs_init_open_nsm(cs_init *in); /* CS_E_NSM */
CS_MUST cs_err
cs_init_seed(cs_init *in); /* 256 bytes or more from NSM into the kernel's pool, credited. CS_E_NSM | CS_E_ENTROPY */
/* cs_init_say_measured - log PCR0, PCR1, PCR2. CS_E_NSM. */
CS_MUST cs_err cs_init_say_measured(cs_init *in);

/* ---- sockets.c ---- */
/* cs_init_dial - begin a connection to a port of the parent: a non-blocking, close-on-exec socket, or -1 (errno). */
int cs_init_dial(uint32_t cid, uint32_t port);
/*
 * cs_init_heartbeat_over - the heartbeat over connections that dial begins: writes B7, reads B7. Tries again until one is made, all in
 * at most wait_ms. CS_E_HEARTBEAT; *why then says how it failed.
 */
CS_MUST cs_err cs_init_heartbeat_over(int (*dial)(void *cookie), void *cookie, uint32_t wait_ms, const char **why);
CS_MUST cs_err cs_init_heartbeat(cs_init *in); /* CS_E_HEARTBEAT */
CS_MUST cs_err cs_init_listen(cs_init *in);    /* CS_E_BOOT */
CS_MUST cs_err cs_init_link(cs_init *in);      /* CS_E_BOOT */

/* ---- spawn.c ---- */
/* cs_init_sections - a sealed memfd for each program's section. CS_E_BOOT. */
CS_MUST cs_err cs_init_sections(cs_init *in);
/* cs_init_spawn - start one program with what the launch table gives it; err_fd becomes its standard error. CS_E_LAUNCH. */
CS_MUST cs_err cs_init_spawn(cs_init *in, cs_launch_program p, int err_fd, pid_t *out);

/* ---- run.c ---- */
/* cs_init_run - boot, supervise until the end, last record, halt. Does not return as PID 1; else the exit status. */
int cs_init_run(cs_init *in);

#endif
