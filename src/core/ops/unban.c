#include "base/clock.h"
#include "base/log.h"
#include "core/ops/ops.h"
#include "core/pipeline/respond.h"

/* Each lie shows a little of the OT state with some luck: a client that is caught again and again gets no further tries. */
static bool lifted_too_often(const cs_peer *r)
{
    const uint64_t oldest = r->lifted_ms[r->next_lift];

    return oldest != 0 && cs_clock_mono_ms() - oldest < CS_PEER_LIFTS_MS;
}

static void lift(cs_peer *r)
{
    r->banned = false;
    r->lifted_ms[r->next_lift] = cs_clock_mono_ms();
    r->next_lift = (r->next_lift + 1) % CS_PEER_LIFTS;
    cs_mpc_peer_unban(r->mpc);
}

/* No order works twice: later than the ban it ends and than the last one taken for the key. */
static cs_err check_time(const cs_core *c, const cs_unban *u)
{
    bool banned = false, too_often = false;

    for (const cs_peer *r = c->peers.first; r != NULL; r = r->next) {
        if (!cs_ct_eq(r->peer32, u->key32, 32)) {
            continue;
        }
        if (u->time_s <= r->order_s || (r->banned && u->time_s * 1000 < r->banned_wall_ms)) {
            return CS_E_UNBAN;
        }
        banned |= r->banned;
        too_often |= lifted_too_often(r);
    }
    if (!banned) {
        return CS_E_NOT_FOUND; /* nothing to lift */
    }
    return too_often ? CS_E_UNBAN_LIMIT : CS_OK;
}

void cs_op_unban(cs_core *c, const cs_permit *p)
{
    const cs_rpc_frame *f = cs_permit_frame(p);
    cs_unban_check check = {.publishers = c->config->publisher,
                            .num_publishers = c->config->num_publishers,
                            .now_s = cs_clock_wall_ms() / 1000};
    cs_unban u;
    cs_err err = cs_unban_verify(&u, f->f[0].s, &check);

    if (err == CS_OK) {
        err = check_time(c, &u);
    }
    if (err != CS_OK) {
        cs_log_err(CS_LOG_WARN, "unban", err);
        cs_respond_reply(c, f->id, err, CS_SLICE_NULL);
        return;
    }
    for (cs_peer *r = c->peers.first; r != NULL; r = r->next) {
        if (cs_ct_eq(r->peer32, u.key32, 32)) {
            r->order_s = u.time_s;
            if (r->banned) {
                lift(r);
                c->peers.unbans++;
            }
        }
    }
    cs_log(CS_LOG_WARN, "unban", CS_LC("code", "OK"), CS_LHEX("peer", cs_slice_of(u.key32, 32)));
    cs_respond_reply(c, f->id, CS_OK, CS_SLICE_NULL);
}
