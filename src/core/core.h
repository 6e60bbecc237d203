/*
 * The whole of sign-core as an object without I/O: frames in, frames out, time through base/clock. main.c puts the two links
 * under it; tests drive it directly.
 *
 * One direction inside: frame -> decode (pipeline/request) -> authorise (policy/authorise: the only maker of permits) ->
 * execute (ops/, provision/) -> respond (pipeline/respond). One thread; calls of the TEE service (tee/) have workers beside it, made by
 * cs_core_new when the configuration has it on.
 */
#ifndef CS_CORE_CORE_H
#define CS_CORE_CORE_H

#include "core/config.h"
#include "core/nsm/nsm.h"
#include "core/pipeline/phase.h"
#include "rpc/core_rpc.h"

typedef enum cs_core_link { CS_LINK_SERVICE, CS_LINK_KMS, CS_NUM_LINKS } cs_core_link;

typedef struct cs_core_io {
    void *ctx;
    /* takes one frame; the bytes are the caller's after the call. Never fails: a link that is gone swallows. */
    void (*send)(void *ctx, cs_core_link link, cs_slice frame);
} cs_core_io;

typedef struct cs_core_args {
    const cs_core_config *config; /* these three must outlive the core */
    const cs_nsm *nsm;
    cs_core_io io;
    bool emulated;
    bool filtered; /* a system call filter will be installed: shown in status */
} cs_core_args;

typedef struct cs_core cs_core;

/*
 * cs_core_new - phase WAITING; reads the PCRs. The RSA key is made when core has waited a moment, or by whoever needs it first. The arena must be there (cs_arena_init).
 * CS_E_NSM | CS_E_NO_MEMORY | CS_E_ENTROPY | CS_E_INTERNAL.
 */
CS_MUST cs_err cs_core_new(cs_core **out, const cs_core_args *args);
/* cs_core_free - wipes everything; NULL is fine. */
void cs_core_free(cs_core *c);
/*
 * cs_core_frame - one frame from a link. CS_OK, also when the frame was refused (the refusal has been sent); CS_E_FORMAT or
 * CS_E_TOO_LARGE when it is no frame that this link may carry: the other end is broken or taken over, end the link.
 */
CS_MUST cs_err cs_core_frame(cs_core *c, cs_core_link link, cs_slice bytes);
/* cs_core_link_down - the link has ended: nothing more is sent to it. */
void cs_core_link_down(cs_core *c, cs_core_link link);
/* cs_core_tick - deadlines; call after the frames of a wake-up. cs_core_wait_ms - until the next deadline, at most 60000. */
void cs_core_tick(cs_core *c);
uint64_t cs_core_wait_ms(const cs_core *c);
/* cs_core_fd - when it is readable, cs_core_tick has something to do: what workers have done. -1: there are none. */
int cs_core_fd(const cs_core *c);
/* cs_core_stop - phase STOPPED: every stream ends, secrets are wiped. */
void cs_core_stop(cs_core *c);
cs_phase cs_core_phase(const cs_core *c);

#endif
