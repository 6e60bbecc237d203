/* The system call filter: installed when everything is open; from then on core can only use what it has. */
#ifndef CS_CORE_FILTER_H
#define CS_CORE_FILTER_H

#include "base/sandbox.h"

typedef struct cs_filter_args {
    const char *program;
    cs_sandbox_action action;
    int nsm_fd;
    bool device; /* the module is a device: one ioctl on nsm_fd is allowed */
} cs_filter_args;

/* cs_filter_make - the filter, not yet installed: any other call ends the process. */
void cs_filter_make(cs_sandbox *out, const cs_filter_args *args);

#endif
