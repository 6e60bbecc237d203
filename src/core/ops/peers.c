#include "core/ops/peers.h"

#include <stdlib.h>
#include <string.h>

cs_err cs_peers_get(cs_peers *p, cs_peer **out, const uint8_t own32[32], const uint8_t peer32[32])
{
    cs_peer *r = p->first;
    cs_err err;

    while (r != NULL && !(cs_ct_eq(r->own32, own32, 32) && cs_ct_eq(r->peer32, peer32, 32))) {
        r = r->next;
    }
    if (r != NULL) {
        *out = r;
        return CS_OK;
    }
    if (p->num == CS_PEERS_MAX) {
        return CS_E_SESSION_LIMIT;
    }
    r = calloc(1, sizeof *r);
    if (r == NULL) {
        return CS_E_NO_MEMORY;
    }
    err = cs_mpc_peer_new(&r->mpc, own32, peer32);
    if (err != CS_OK) {
        free(r);
        return err;
    }
    memcpy(r->own32, own32, 32);
    memcpy(r->peer32, peer32, 32);
    r->next = p->first;
    p->first = r;
    p->num++;
    *out = r;
    return CS_OK;
}

bool cs_peers_banned(const cs_peers *p, const uint8_t peer32[32])
{
    for (const cs_peer *r = p->first; r != NULL; r = r->next) {
        if (r->banned && cs_ct_eq(r->peer32, peer32, 32)) {
            return true;
        }
    }
    return false;
}

void cs_peers_cleanup(cs_peers *p)
{
    while (p->first != NULL) {
        cs_peer *r = p->first;

        p->first = r->next;
        cs_mpc_peer_free(r->mpc);
        free(r);
    }
    *p = (cs_peers){0};
}
