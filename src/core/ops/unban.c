#include "base/clock.h"
#include "base/log.h"
#include "core/ops/ops.h"
#include "core/pipeline/respond.h"

/* No order works twice: later than the ban it ends and than the last one taken for the key. */
static cs_err check_time(const cs_core *c, const cs_unban *u)
{
    bool banned = false;

    for (const cs_peer *r = c->peers.first; r != NULL; r = r->next) {
        if (!cs_ct_eq(r->peer32, u->key32, 32)) {
            continue;
        }
        if (u->time_s <= r->order_s || (r->banned && u->time_s * 1000 < r->banned_wall_ms)) {
            return CS_E_UNBAN;
        }
        banned |= r->banned;
    }
    return banned ? CS_OK : CS_E_NOT_FOUND; /* nothing to lift */
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
                r->banned = false;
                cs_mpc_peer_unban(r->mpc);
                c->peers.unbans++;
            }
        }
    }
    cs_log(CS_LOG_WARN, "unban", CS_LC("code", "OK"), CS_LHEX("peer", cs_slice_of(u.key32, 32)));
    cs_respond_reply(c, f->id, CS_OK, CS_SLICE_NULL);
}
