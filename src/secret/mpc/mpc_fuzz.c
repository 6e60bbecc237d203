/*
 * Messages of the OT set-up and of a signature, from a peer that says anything.
 * Target: cs_mpc_sign2_on_m2
 * Input: a byte that says which message (0..3: M1..M4, 4..8: O1..O5), then a patch list (u16 place, u8 mask) over the true
 * message of that state; with bit 7 of the first byte set, the rest is the message itself.
 * Whatever comes, the state ends as the contract says: no answer after a failure, nothing left of the session, a ban takes
 * the pair. A run starts from a set-up that is made once.
 */
#include <stdlib.h>
#include <string.h>

#include "secret/mpc/fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static fixture fx;

typedef struct patch {
    cs_slice in;
    bool whole;
} patch;

static void apply(uint8_t *msg, size_t *len, void *cookie)
{
    const patch *p = cookie;
    cs_reader r = cs_reader_of(p->in);
    if (p->whole) {
        *len = p->in.len < *len + 1 ? p->in.len : *len + 1;
        if (*len > 0) {
            memcpy(msg, p->in.p, *len);
        }
        return;
    }
    while (r.left >= 3) {
        uint16_t at = 0;
        uint8_t mask = 0;
        if (cs_read_u16(&r, &at) != CS_OK || cs_read_u8(&r, &mask) != CS_OK) {
            abort();
        }
        msg[at % *len] ^= mask;
    }
}

static void check(const fx_end *e)
{
    bool banned =
        cs_mpc_peer_banned(fx.peer[0]) != CS_MPC_CHK_NONE || cs_mpc_peer_banned(fx.peer[1]) != CS_MPC_CHK_NONE;
    if (banned != (e->err == CS_E_PEER_BANNED) || (e->err == CS_OK) != (e->party < 0)) {
        abort();
    }
    if (banned) {
        fx_cleanup(&fx);
        fx_init(&fx);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool ready;
    cs_mpc_pair *out[2];
    if (!ready) {
        if (cs_arena_init((size_t)16 << 20, false) != CS_OK) {
            abort();
        }
        fx_init(&fx);
        ready = true;
    }
    if (len == 0) {
        return 0;
    }
    patch p = {cs_slice_of(data + 1, len - 1), (data[0] & 0x80) != 0};
    unsigned which = (data[0] & 0x7f) % 16;
    fx_end e;
    if (which < 4 || which > 8) { /* a set-up costs 40 ms: fewer of them */
        e = fx_sign(&fx, "fuzz", (int)(which % 4), apply, &p);
    } else {
        e = fx_setup(&fx, out, (int)(which - 4), apply, &p);
        if (e.err == CS_OK) {
            cs_mpc_pair_free(out[0]);
            cs_mpc_pair_free(out[1]);
        }
    }
    check(&e);
    return 0;
}
