/* The two packet links of core: poll, batched reads, writes that wait in a queue when the socket is full. */
#ifndef CS_CORE_LINKS_H
#define CS_CORE_LINKS_H

#include "core/core.h"

typedef struct cs_links cs_links;

/* cs_links_new - the descriptors are taken. CS_E_NO_MEMORY | CS_E_IO (not SOCK_SEQPACKET sockets). */
CS_MUST cs_err cs_links_new(cs_links **out, int service_fd, int kms_fd);
/* cs_links_io - what a core sends through. */
cs_core_io cs_links_io(cs_links *l);
/*
 * cs_links_run - until *stop (set by a signal handler; the signals must be blocked outside) or the link to sign-service ends.
 * CS_OK | CS_E_FORMAT, CS_E_TOO_LARGE (sign-service sent what is no frame) | CS_E_IO.
 */
CS_MUST cs_err cs_links_run(cs_links *l, cs_core *c, const volatile int *stop);
/* cs_links_flush - try for at most a second to send what waits. */
void cs_links_flush(cs_links *l);
void cs_links_free(cs_links *l);

#endif
