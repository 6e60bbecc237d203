/*
 * Identity pairs and set-ups: counters, live sessions, and what a ban takes with it. Everything here is under the lock of the
 * identity pair. A step that runs while the ban falls finishes its arithmetic on memory that is still there, and is refused
 * its output when it leaves.
 */
#include <stdlib.h>
#include <string.h>

#include "secret/mpc/mpc_int.h"
#include "secret/mpc/sign2_int.h"

cs_err cs_mpc_peer_new(cs_mpc_peer **out, const uint8_t me32[32], const uint8_t peer32[32])
{
    if (cs_ct_eq(me32, peer32, 32) == 1) {
        return CS_E_FORMAT;
    }
    cs_mpc_peer *p = cs_secret_alloc(sizeof *p);
    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    (void)pthread_mutex_init(&p->lock, NULL);
    memcpy(p->me, me32, 32);
    memcpy(p->peer, peer32, 32);
    *out = p;
    return CS_OK;
}

void cs_mpc_peer_free(cs_mpc_peer *p)
{
    if (p == NULL) {
        return;
    }
    if (p->pairs != NULL || p->sessions != 0) {
        abort(); /* a bug of the caller: something would point to freed memory */
    }
    (void)pthread_mutex_destroy(&p->lock);
    cs_secret_free(p);
}

cs_mpc_check cs_mpc_peer_banned(cs_mpc_peer *p)
{
    (void)pthread_mutex_lock(&p->lock);
    cs_mpc_check c = p->banned;
    (void)pthread_mutex_unlock(&p->lock);
    return c;
}

const uint8_t *cs_mpc_peer_key(const cs_mpc_peer *p)
{
    return p->peer;
}

void cs_mpc_peer_unban(cs_mpc_peer *p)
{
    (void)pthread_mutex_lock(&p->lock);
    p->banned = CS_MPC_CHK_NONE;
    (void)pthread_mutex_unlock(&p->lock);
}

/* the OT state goes as soon as no step uses it; the pair itself when it was freed by its owner */
static void reap(cs_mpc_pair *p)
{
    if (!p->dead || p->busy > 0) {
        return;
    }
    cs_secret_free(p->alice);
    cs_secret_free(p->bob);
    p->alice = p->bob = NULL;
    if (!p->freed) {
        return;
    }
    for (cs_mpc_pair **at = &p->peer->pairs; *at != NULL; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            break;
        }
    }
    cs_secret_free(p);
}

static void kill_session(cs_mpc_sign2 *s)
{
    s->dead = true;
    s->pair = NULL;
    s->next = NULL;
    if (!s->busy) {
        cs_sign2_wipe(s);
    }
}

static void kill_pair(cs_mpc_pair *p)
{
    p->dead = true;
    for (cs_mpc_sign2 *s = p->live, *next; s != NULL; s = next) {
        next = s->next;
        kill_session(s);
    }
    p->live = NULL;
}

void cs_mpc_pair_ban(cs_mpc_peer *peer, cs_mpc_check why)
{
    (void)pthread_mutex_lock(&peer->lock);
    if (peer->banned == CS_MPC_CHK_NONE) {
        peer->banned = why;
    }
    for (cs_mpc_pair *p = peer->pairs, *next; p != NULL; p = next) {
        next = p->next;
        kill_pair(p);
        reap(p);
    }
    (void)pthread_mutex_unlock(&peer->lock);
}

void cs_mpc_peer_ban(cs_mpc_peer *p, cs_mpc_check check)
{
    cs_mpc_pair_ban(p, check == CS_MPC_CHK_NONE ? CS_MPC_CHK_BANNED : check);
}

cs_err cs_mpc_pair_new(cs_mpc_pair **out, cs_mpc_peer *peer)
{
    cs_mpc_pair *p = cs_secret_alloc(sizeof *p);
    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    p->peer = peer;
    p->next_ctr = 1;
    p->alice = cs_secret_alloc(sizeof *p->alice);
    p->bob = cs_secret_alloc(sizeof *p->bob);
    (void)pthread_mutex_lock(&peer->lock);
    bool banned = peer->banned != CS_MPC_CHK_NONE;
    if (!banned && p->alice != NULL && p->bob != NULL) {
        p->next = peer->pairs;
        peer->pairs = p;
        *out = p;
        p = NULL; /* transferred */
    }
    (void)pthread_mutex_unlock(&peer->lock);
    if (p != NULL) {
        cs_secret_free(p->alice);
        cs_secret_free(p->bob);
        cs_secret_free(p);
        return banned ? CS_E_PEER_BANNED : CS_E_NO_MEMORY;
    }
    return CS_OK;
}

static void osid_of(uint8_t out[32], const uint8_t psid[32], const uint8_t alice[32], const uint8_t bob[32])
{
    cs_sha256 s;
    cs_th_begin(&s, CS_TAG_OSID);
    cs_th_put(&s, psid, 32);
    cs_th_put(&s, alice, 32);
    cs_th_put(&s, bob, 32);
    cs_th_end(&s, out);
}

void cs_mpc_pair_ids(cs_mpc_pair *p, cs_mpc_role role, const uint8_t chan[32], const uint8_t my_nonce[32],
                     const uint8_t peer_nonce[32])
{
    bool first = role == CS_MPC_INITIATOR;
    const uint8_t *me = p->peer->me, *other = p->peer->peer;
    cs_sha256 s;
    cs_th_begin(&s, CS_TAG_PSID);
    cs_th_put(&s, chan, 32);
    cs_th_put(&s, first ? me : other, 32);
    cs_th_put(&s, first ? other : me, 32);
    cs_th_put(&s, first ? my_nonce : peer_nonce, 32);
    cs_th_put(&s, first ? peer_nonce : my_nonce, 32);
    cs_th_end(&s, p->psid);
    osid_of(p->alice->osid, p->psid, me, other);
    osid_of(p->bob->osid, p->psid, other, me);
}

bool cs_mpc_pair_enter(cs_mpc_pair *p)
{
    (void)pthread_mutex_lock(&p->peer->lock);
    bool ok = !p->dead;
    p->busy += ok ? 1 : 0;
    (void)pthread_mutex_unlock(&p->peer->lock);
    return ok;
}

bool cs_mpc_pair_leave(cs_mpc_pair *p)
{
    cs_mpc_peer *peer = p->peer;
    (void)pthread_mutex_lock(&peer->lock);
    p->busy--;
    bool ok = !p->dead;
    reap(p);
    (void)pthread_mutex_unlock(&peer->lock);
    return ok;
}

void cs_mpc_pair_free(cs_mpc_pair *p)
{
    if (p == NULL) {
        return;
    }
    cs_mpc_peer *peer = p->peer;
    (void)pthread_mutex_lock(&peer->lock);
    kill_pair(p);
    p->freed = true;
    reap(p);
    (void)pthread_mutex_unlock(&peer->lock);
}

bool cs_mpc_pair_usable(cs_mpc_pair *p)
{
    (void)pthread_mutex_lock(&p->peer->lock);
    bool ok = !p->dead && p->peer->banned == CS_MPC_CHK_NONE;
    (void)pthread_mutex_unlock(&p->peer->lock);
    return ok;
}

uint64_t cs_mpc_pair_used(cs_mpc_pair *p)
{
    (void)pthread_mutex_lock(&p->peer->lock);
    uint64_t n = p->next_ctr - 1;
    (void)pthread_mutex_unlock(&p->peer->lock);
    return n;
}

size_t cs_mpc_pair_live(cs_mpc_pair *p)
{
    size_t n = 0;
    (void)pthread_mutex_lock(&p->peer->lock);
    for (const cs_mpc_sign2 *s = p->live; s != NULL; s = s->next) {
        n++;
    }
    (void)pthread_mutex_unlock(&p->peer->lock);
    return n;
}

cs_mpc_peer *cs_mpc_pair_peer(const cs_mpc_pair *p)
{
    return p->peer;
}

/* ---------------------------------------------------------------- sessions of a pair */

cs_err cs_sign2_attach(cs_mpc_sign2 *s, cs_mpc_pair *p)
{
    cs_err err = CS_E_PEER_BANNED;
    (void)pthread_mutex_lock(&p->peer->lock);
    if (!p->dead && p->peer->banned == CS_MPC_CHK_NONE) {
        s->peer = p->peer;
        s->pair = p;
        s->next = p->live;
        p->live = s;
        p->peer->sessions++;
        err = CS_OK;
    }
    (void)pthread_mutex_unlock(&p->peer->lock);
    return err;
}

static void unlist(cs_mpc_sign2 *s)
{
    if (s->pair == NULL) {
        return;
    }
    for (cs_mpc_sign2 **at = &s->pair->live; *at != NULL; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    s->pair = NULL;
    s->next = NULL;
}

void cs_sign2_detach(cs_mpc_sign2 *s)
{
    (void)pthread_mutex_lock(&s->peer->lock);
    unlist(s);
    s->peer->sessions--;
    (void)pthread_mutex_unlock(&s->peer->lock);
}

cs_mpc_pair *cs_sign2_enter(cs_mpc_sign2 *s)
{
    (void)pthread_mutex_lock(&s->peer->lock);
    cs_mpc_pair *p = s->pair;
    if (p != NULL && !s->dead && !s->busy) {
        s->busy = true;
        p->busy++;
    } else {
        p = NULL;
    }
    (void)pthread_mutex_unlock(&s->peer->lock);
    return p;
}

bool cs_sign2_leave(cs_mpc_sign2 *s, cs_mpc_pair *p, bool over)
{
    cs_mpc_peer *peer = s->peer;
    (void)pthread_mutex_lock(&peer->lock);
    bool ok = !s->dead && !p->dead && peer->banned == CS_MPC_CHK_NONE;
    s->busy = false;
    if (over || !ok) {
        unlist(s);
        s->dead = true;
        cs_sign2_wipe(s);
    }
    p->busy--;
    reap(p);
    (void)pthread_mutex_unlock(&peer->lock);
    return ok;
}

void cs_sign2_supersede(cs_mpc_sign2 *s, cs_mpc_pair *p)
{
    (void)pthread_mutex_lock(&p->peer->lock);
    s->responder = true;
    for (cs_mpc_sign2 *o = p->live, *next; o != NULL; o = next) {
        next = o->next;
        if (o != s && o->responder && cs_ct_eq(o->rid, s->rid, 32) == 1) {
            unlist(o);
            kill_session(o);
        }
    }
    (void)pthread_mutex_unlock(&p->peer->lock);
}

/* ---------------------------------------------------------------- counters */

uint64_t cs_mpc_pair_take_ctr(cs_mpc_pair *p)
{
    (void)pthread_mutex_lock(&p->peer->lock);
    uint64_t c = p->next_ctr++;
    (void)pthread_mutex_unlock(&p->peer->lock);
    return c;
}

static bool seen(const cs_mpc_pair *p, uint64_t ctr)
{
    if (ctr > p->highest) {
        return false;
    }
    uint64_t at = ctr % CTR_WINDOW;
    return p->highest - ctr >= CTR_WINDOW || (p->seen[at / 64] >> (at % 64) & 1) != 0;
}

bool cs_mpc_ctr_seen(cs_mpc_pair *p, uint64_t ctr)
{
    (void)pthread_mutex_lock(&p->peer->lock);
    bool r = seen(p, ctr);
    (void)pthread_mutex_unlock(&p->peer->lock);
    return r;
}

bool cs_mpc_ctr_add(cs_mpc_pair *p, uint64_t ctr)
{
    (void)pthread_mutex_lock(&p->peer->lock);
    bool fresh = !seen(p, ctr);
    if (fresh) {
        if (ctr > p->highest && ctr - p->highest >= CTR_WINDOW) {
            memset(p->seen, 0, sizeof p->seen);
        } else {
            for (uint64_t c = p->highest + 1; c <= ctr && c > p->highest; c++) {
                p->seen[c % CTR_WINDOW / 64] &= ~((uint64_t)1 << (c % 64));
            }
        }
        p->seen[ctr % CTR_WINDOW / 64] |= (uint64_t)1 << (ctr % 64);
        p->highest = ctr > p->highest ? ctr : p->highest;
    }
    (void)pthread_mutex_unlock(&p->peer->lock);
    return fresh;
}
