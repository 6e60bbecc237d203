/* A small enclave for tests: frames in, frames out, on the real channel and MPC code. Linked by tests only. */
#ifndef CS_PARTY_TESTENCLAVE_H
#define CS_PARTY_TESTENCLAVE_H

#include "party/session.h"

typedef struct testenclave testenclave;

/* testenclave_new - the service's side of a deal with one identity. Fails the process when memory is short. */
testenclave *testenclave_new(const cs_share_set *service);
/*
 * testenclave_on - one frame; the answer, if there is one, is appended to out. CS_E_STATE: dropped, as nothing it knows.
 * CS_E_CHANNEL_UNKNOWN. Any other error: a broken test.
 */
cs_err testenclave_on(testenclave *e, cs_buf *out, cs_slice frame);
/* testenclave_restart - channels, sessions and answers are gone. */
void testenclave_restart(testenclave *e);
/* testenclave_signed - signatures made (stored answers are not counted). testenclave_setups - channels completed. */
unsigned testenclave_signed(const testenclave *e);
unsigned testenclave_setups(const testenclave *e);
void testenclave_free(testenclave *e);

#endif
