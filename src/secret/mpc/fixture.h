/* Tests of the MPC core: two parties with key, set-up and sessions in one process. Not part of any program. */
#ifndef CS_SECRET_MPC_FIXTURE_H
#define CS_SECRET_MPC_FIXTURE_H

#include "secret/mpc/sign2_int.h"

/* Party 0 is index 1, party 1 is index 2. */
typedef struct fixture {
    cs_mpc_parties parties;
    cs_mpc_key key[2];
    cs_mpc_peer *peer[2];
    cs_mpc_pair *pair[2];
} fixture;

/* Changes one message on its way; msg is a copy of cap bytes room. */
typedef void fx_tamper(uint8_t *msg, size_t *len, void *cookie);

/* What a run ended with; party: who failed (0 or 1), -1 nobody. */
typedef struct fx_end {
    cs_err err;
    int party;
    cs_mpc_verdict v;
    cs_mpc_signature sig[2];
} fx_end;

/* fx_init - fresh key, identities and set-up; aborts when something fails. fx_end frees all of it. */
void fx_init(fixture *f);
void fx_cleanup(fixture *f);
/* fx_setup - another set-up between the same identities with message `at` (0..4) changed by fn; pairs in out on success. */
fx_end fx_setup(fixture *f, cs_mpc_pair *out[2], int at, fx_tamper *fn, void *cookie);
/* fx_sessions - one session each; party `first` is the initiator. */
void fx_sessions(fixture *f, cs_mpc_sign2 *s[2], const char *label, unsigned first);
/* fx_step - message i (0: M1 ... 3: M4) arrives at s; out: the answer. */
cs_err fx_step(cs_mpc_sign2 *s, unsigned i, cs_slice in, uint8_t *out, cs_mpc_signature *sig, cs_mpc_verdict *v);
/* fx_sign - a whole run with party 0 first and message `at` changed by fn (at -1: none). Checks that a failed party sent nothing. */
fx_end fx_sign(fixture *f, const char *label, int at, fx_tamper *fn, void *cookie);
extern const size_t fx_len[4];

/* fx_flip - a tamper function: cookie is an fx_byte. */
typedef struct fx_byte {
    size_t offset;
    uint8_t mask;
} fx_byte;
fx_tamper fx_flip;

#endif
