/* The system call filter: installed when everything is open; from then on core can only use what it has. */
#ifndef CS_CORE_FILTER_H
#define CS_CORE_FILTER_H

#include "base/err.h"

typedef struct cs_filter_args {
    int nsm_fd;
    bool device; /* the module is a device: one ioctl on nsm_fd is allowed */
} cs_filter_args;

/* cs_filter_possible - false in builds (sanitizers) whose run-time needs more system calls. */
bool cs_filter_possible(void);
/* cs_filter_install - no_new_privs and a seccomp filter: any other call kills the process. CS_E_INTERNAL. */
CS_MUST cs_err cs_filter_install(const cs_filter_args *args);

#endif
