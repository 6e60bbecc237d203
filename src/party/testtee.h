/* A gateway and an enclave of the TEE service for tests: gRPC on loopback in a thread of its own, one caller, as much as a client sees. */
#ifndef CS_PARTY_TESTTEE_H
#define CS_PARTY_TESTTEE_H

#include <stdatomic.h>

#include "net/endpoint.h"
#include "party/tee_identity.h"

typedef enum testtee_fault {
    TESTTEE_GOOD,
    TESTTEE_RESULT,      /* another result than the entry says */
    TESTTEE_NO_ENTRY,    /* no audit entry */
    TESTTEE_SIGNATURE,   /* a wrong signature of the entry */
    TESTTEE_COUNTER,     /* the same counter again */
    TESTTEE_OTHER_BODY,  /* an entry about another request */
    TESTTEE_CODE,        /* a refusal that the entry does not say */
    TESTTEE_CLEAR,       /* a secret answer that is not sealed */
    TESTTEE_OTHER_BOOT,  /* entries of a boot that never attested itself */
    TESTTEE_PCR_DIGEST,  /* entries of another image */
    TESTTEE_BAD_SEALING, /* sealed to somebody else */
} testtee_fault;

typedef struct testtee testtee;

testtee *testtee_new(const cs_tee_identity *caller);
void testtee_free(testtee *t);
const char *testtee_address(const testtee *t); /* "tcp:127.0.0.1:PORT" */
const char *testtee_root_pem(void);
/* What goes wrong from now on (not with Attest); how many calls are TEE_BUSY before; the next call finds a restarted enclave. */
void testtee_set(testtee *t, testtee_fault fault);
void testtee_busy(testtee *t, unsigned calls);
void testtee_restart(testtee *t);
unsigned testtee_calls(const testtee *t); /* so far, without Attest */

#endif
