/*
 * Channels with clients: Noise_KK secret, OT state, the session names that were used. A channel is half open until its OT set-up
 * is complete; there are few of those, and they never displace a complete one. Source: docs/formats/party-session.md.
 */
#ifndef CS_CORE_CHANNELS_H
#define CS_CORE_CHANNELS_H

#include "core/ops/peers.h"
#include "secret/channel.h"

#define CS_CHANNELS_MAX 1024u
#define CS_CHANNELS_HALF_OPEN 64u
#define CS_CHANNELS_PEER 128u /* of one identity pair: a client cannot take all of them from the others */
#define CS_CHANNELS_HALF_OPEN_PEER 32u
#define CS_CHANNEL_LIFE_MS (24u * 3600u * 1000u)
#define CS_CHANNEL_NAMES_MAX (1u << 20) /* sessions in a channel */
#define CS_NAMES_KEY 16u                /* SipHash */

/* The OT state of one set-up, shared by the channel and the sessions in it: a renewal must not pull it from under them. */
typedef struct cs_pair_ref {
    cs_mpc_pair *pair;
    unsigned refs;
} cs_pair_ref;

typedef struct cs_names {
    cs_channel_id *slots; /* open addressing; used[i] says which are taken */
    uint8_t *used;
    size_t cap, num;
    uint8_t key[CS_NAMES_KEY]; /* of the hash that places the names: random, never shown */
} cs_names;

typedef struct cs_chan {
    cs_channel *secret; /* arena */
    cs_peer *peer;
    cs_pair_ref *pair; /* NULL: half open */
    cs_names names;
    uint64_t opened_ms;
    unsigned streams;            /* that point here */
    struct cs_chan *next, *prev; /* most recently used first */
} cs_chan;

typedef struct cs_channels {
    cs_chan *first, *last;
    size_t num, half_open;
    uint64_t renewals, evicted;
} cs_channels;

const uint8_t *cs_chan_enclave32(const cs_chan *ch);
const uint8_t *cs_chan_client32(const cs_chan *ch);

/* cs_channels_find - by name, and now the most recently used one; NULL. */
cs_chan *cs_channels_find(cs_channels *t, const cs_channel_id *id);
/*
 * cs_channels_add - a half-open channel with the secret (in the arena, transferred on CS_OK) of an accepted handshake. When there
 * are too many (of half-open ones, or of all; of this peer, or of everybody), the least recently used of those without streams
 * goes. CS_E_SESSION_LIMIT (all are in use) | CS_E_ENTROPY | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_channels_add(cs_channels *t, cs_chan **out, cs_peer *peer, cs_channel *secret, uint64_t now_ms);
/* cs_channels_remove - wipes; no stream may point at it. */
void cs_channels_remove(cs_channels *t, cs_chan *ch);
/* cs_chan_complete - a new OT state (transferred), the first or a renewal. CS_E_NO_MEMORY: pair is freed. */
CS_MUST cs_err cs_chan_complete(cs_channels *t, cs_chan *ch, cs_mpc_pair *pair);
/* cs_pair_take, cs_pair_drop - one reference more, one less (NULL is fine); the last one frees the OT state. */
cs_pair_ref *cs_pair_take(cs_pair_ref *r);
void cs_pair_drop(cs_pair_ref *r);
/*
 * cs_chan_name_used - true when the session name was used in this channel. cs_chan_name_add - after its first frame was found
 * authentic. CS_E_CHANNEL_UNKNOWN (the channel is used up) | CS_E_NO_MEMORY.
 */
bool cs_chan_name_used(const cs_chan *ch, const cs_channel_id *name);
CS_MUST cs_err cs_chan_name_add(cs_chan *ch, const cs_channel_id *name);
/* cs_chan_expired - older than CS_CHANNEL_LIFE_MS. */
bool cs_chan_expired(const cs_chan *ch, uint64_t now_ms);

#endif
