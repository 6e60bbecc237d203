/*
 * Identity pairs (own static key, client's static key) and their bans. A record lives as long as the process, whatever is
 * reloaded: a ban ends with a restart or an order signed by a publisher (docs/formats/unban.md).
 */
#ifndef CS_CORE_PEERS_H
#define CS_CORE_PEERS_H

#include "secret/mpc/mpc.h"

#define CS_PEERS_MAX 65536u
#define CS_PEER_LIFTS 3u /* bans of one key that can be lifted within CS_PEER_LIFTS_MS [mpc.md 2.12] */
#define CS_PEER_LIFTS_MS (24u * 3600u * 1000u)

typedef struct cs_peer {
    uint8_t own32[32], peer32[32];
    cs_mpc_peer *mpc;
    bool banned;
    cs_mpc_check check;                /* what the last ban was for */
    uint64_t banned_wall_ms;           /* when */
    uint64_t bans;                     /* in this boot */
    uint64_t order_s;                  /* time of the last unban order taken for this key */
    uint64_t lifted_ms[CS_PEER_LIFTS]; /* when its last bans were lifted, monotonic; a ring, 0: never */
    unsigned next_lift;
    struct cs_peer *next;
} cs_peer;

typedef struct cs_peers {
    cs_peer *first;
    size_t num;
    uint64_t bans, unbans;
} cs_peers;

/* cs_peers_get - found or made. CS_E_SESSION_LIMIT (table full) | CS_E_NO_MEMORY | CS_E_FORMAT (equal keys). */
CS_MUST cs_err cs_peers_get(cs_peers *p, cs_peer **out, const uint8_t own32[32], const uint8_t peer32[32]);
/* cs_peers_banned - a ban stands against the client's static key, in whichever pair it lied. */
bool cs_peers_banned(const cs_peers *p, const uint8_t peer32[32]);
void cs_peers_cleanup(cs_peers *p);

#endif
