/* Headers, verdicts, names. */
#include <string.h>

#include "secret/mpc/mpc_int.h"

static const struct {
    cs_mpc_class cls;
    const char *text;
} checks[CS_MPC_NUM_CHECKS] = {
#define ROW(name, cls, text) {CS_MPC_##cls, text},
    CS_MPC_CHECKS(ROW)
#undef ROW
};

const char *cs_mpc_class_name(cs_mpc_class c)
{
    static const char *const names[] = {"OK", "DROP", "ABORT_SESSION", "BAN"};
    return (unsigned)c < 4 ? names[c] : "";
}

const char *cs_mpc_check_name(cs_mpc_check c)
{
    return (unsigned)c < CS_MPC_NUM_CHECKS ? checks[c].text : "";
}

cs_mpc_class cs_mpc_check_class(cs_mpc_check c)
{
    return (unsigned)c < CS_MPC_NUM_CHECKS ? checks[c].cls : CS_MPC_ABORT;
}

cs_err cs_mpc_verdict_set(cs_mpc_verdict *v, cs_mpc_class cls, chk c, unsigned culprit)
{
    if (v != NULL) {
        *v = (cs_mpc_verdict){cls, c, (uint16_t)culprit};
    }
    return cls == CS_MPC_FINE   ? CS_OK
           : cls == CS_MPC_DROP ? CS_E_STATE
           : cls == CS_MPC_BAN  ? CS_E_PEER_BANNED
                                : CS_E_ABORT_SESSION;
}

void cs_mpc_header(uint8_t out[HEADER_LEN], unsigned type, unsigned from, unsigned to, const uint8_t rid[32])
{
    out[0] = VERSION;
    out[1] = (uint8_t)type;
    cs_store_u16(out + 2, (uint16_t)from);
    cs_store_u16(out + 4, (uint16_t)to);
    cs_store_u16(out + 6, 0);
    memcpy(out + 8, rid, 32);
}

chk cs_mpc_header_check(cs_slice m, unsigned type, unsigned from, unsigned to, const uint8_t rid[32], size_t len)
{
    uint8_t want[HEADER_LEN];
    cs_mpc_header(want, type, from, to, rid);
    if (m.len < HEADER_LEN || !cs_slice_eq(cs_slice_of(m.p, HEADER_LEN), cs_slice_of(want, HEADER_LEN))) {
        return CS_MPC_CHK_HEADER;
    }
    return m.len == len ? CS_MPC_CHK_NONE : CS_MPC_CHK_LENGTH;
}

cs_err cs_mpc_message_rid(uint8_t out_rid32[32], cs_slice msg)
{
    if (msg.len < HEADER_LEN) {
        return CS_E_FORMAT;
    }
    memcpy(out_rid32, msg.p + 8, 32);
    return CS_OK;
}
