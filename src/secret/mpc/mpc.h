/*
 * Two-party threshold ECDSA on secp256k1: DKLs23 with SoftSpoken OT (suite DKLS23-S256-v1).
 *
 * Bytes in, bytes out: no I/O, no clock, no log. The caller moves messages inside an authenticated, encrypted channel with one
 * key per direction (never in a handshake payload) and looks sessions up; this code checks everything else.
 * Lifetime: cs_mpc_peer (identity pair, carries the ban) > cs_mpc_pair (OT state of one set-up) > cs_mpc_sign2 (one signature).
 * All state is in the arena of secret/mem.h; nothing of it may ever be stored.
 *
 * Every step that takes a message returns CS_OK or, with the reason in *v:
 *   CS_E_STATE          DROP: the message belongs to no state of ours; nothing has changed, nothing is to be answered
 *   CS_E_ABORT_SESSION  the session is wiped; a retry is a new session
 *   CS_E_PEER_BANNED    BAN: session wiped; all sessions and set-ups of the identity pair are gone and it is refused from now on
 *   CS_E_ENTROPY, CS_E_NO_MEMORY, CS_E_RANGE   our own failure: session wiped (v->check NONE)
 * Towards the peer all authenticated failures must look alike ("aborted"); class and check are for the log.
 * On any error the output buffer holds no message (it is wiped).
 *
 * Threads: objects of different identity pairs are independent. Objects of one identity pair may be used from several
 * threads, one thread at a time per session or set-up; the ban is set and tested under the lock of the cs_mpc_peer.
 * Source: specs mpc.md 2, mpc-wire.md.
 */
#ifndef CS_SECRET_MPC_H
#define CS_SECRET_MPC_H

#include "base/bytes.h"
#include "secret/mem.h"
#include "secret/sc.h"

/* ---------------------------------------------------------------- verdicts */

typedef enum cs_mpc_class {
    CS_MPC_FINE = 0,
    CS_MPC_DROP,
    CS_MPC_ABORT, /* "ABORT_SESSION" */
    CS_MPC_BAN,
} cs_mpc_class;

/* Every check [mpc-wire.md 6]: name, class with two signers, id as text. "banned" is DROP on input, ABORT_SESSION on output. */
#define CS_MPC_CHECKS(X)                                                                                               \
    X(NONE, FINE, "")                                                                                                  \
    X(PHASE, DROP, "phase")                                                                                            \
    X(HEADER, DROP, "header")                                                                                          \
    X(LENGTH, ABORT, "length")                                                                                         \
    X(BANNED, DROP, "banned")                                                                                          \
    X(CTR_REPLAY, DROP, "ctr-replay")                                                                                  \
    X(PSID, ABORT, "psid")                                                                                             \
    X(SSID, ABORT, "ssid")                                                                                             \
    X(XID, ABORT, "xid")                                                                                               \
    X(MALFORMED_POINT, ABORT, "malformed-point")                                                                       \
    X(MALFORMED_SCALAR, ABORT, "malformed-scalar")                                                                     \
    X(POK, ABORT, "pok")                                                                                               \
    X(SLOTS_EQUAL, ABORT, "slots-equal")                                                                               \
    X(SLOT_INFINITY, ABORT, "slot-infinity")                                                                           \
    X(COM, ABORT, "com")                                                                                               \
    X(R, ABORT, "R")                                                                                                   \
    X(PPRF, BAN, "pprf")                                                                                               \
    X(OT_CHECK, BAN, "ot-check")                                                                                       \
    X(MU, BAN, "mu")                                                                                                   \
    X(GAMMA_U, BAN, "gamma-u")                                                                                         \
    X(GAMMA_V, BAN, "gamma-v")                                                                                         \
    X(PK_SUM, BAN, "pk-sum")                                                                                           \
    X(BAD_SIGNATURE, BAN, "bad-signature")

typedef enum cs_mpc_check {
#define CS_MPC_CHECK_ROW(name, cls, text) CS_MPC_CHK_##name,
    CS_MPC_CHECKS(CS_MPC_CHECK_ROW)
#undef CS_MPC_CHECK_ROW
        CS_MPC_NUM_CHECKS
} cs_mpc_check;

/* Why a step failed. All fields public: may be logged, must not be sent. */
typedef struct cs_mpc_verdict {
    cs_mpc_class cls;
    cs_mpc_check check;
    uint16_t culprit; /* party index of the peer (OT set-up: its role); 0: nobody can be named */
} cs_mpc_verdict;

/* cs_mpc_class_name, cs_mpc_check_name - "DROP" "ABORT_SESSION" "BAN"; "ot-check" ...; static. */
const char *cs_mpc_class_name(cs_mpc_class c);
const char *cs_mpc_check_name(cs_mpc_check c);
/* cs_mpc_check_class - the class of the table. */
cs_mpc_class cs_mpc_check_class(cs_mpc_check c);

/* ---------------------------------------------------------------- identity pairs and bans */

/* Own and peer's static X25519 public key, the ban, and the list of set-ups made with it. Outlives every set-up. */
typedef struct cs_mpc_peer cs_mpc_peer;

/*
 * cs_mpc_peer_new - in the arena. CS_E_NO_MEMORY; CS_E_FORMAT when the two keys are equal (both directions of a pair
 * would be one). Keep it as long as the process lives, so that a ban stays; one per (own key, peer key).
 */
CS_MUST cs_err cs_mpc_peer_new(cs_mpc_peer **out, const uint8_t me32[32], const uint8_t peer32[32]);
/* cs_mpc_peer_free - all set-ups (also unfinished ones), pairs and sessions of it must have been freed before: else aborts. */
void cs_mpc_peer_free(cs_mpc_peer *p);
/* cs_mpc_peer_banned - the check that caused the ban, or CS_MPC_CHK_NONE. cs_mpc_peer_key - the peer's 32 bytes. */
cs_mpc_check cs_mpc_peer_banned(cs_mpc_peer *p);
const uint8_t *cs_mpc_peer_key(const cs_mpc_peer *p);
/* cs_mpc_peer_ban - ban by decision of the caller: wipes every session and OT state of the pair. check: what is recorded. */
void cs_mpc_peer_ban(cs_mpc_peer *p, cs_mpc_check check);
/* cs_mpc_peer_unban - after an authorised order only. What the ban wiped stays gone: a new channel and OT set-up are needed. */
void cs_mpc_peer_unban(cs_mpc_peer *p);

/* ---------------------------------------------------------------- OT set-up */

#define CS_MPC_O1_LEN 72u
#define CS_MPC_O2_LEN 170u
#define CS_MPC_O3_LEN 8618u
#define CS_MPC_O4_LEN 13640u
#define CS_MPC_O5_LEN 5192u
#define CS_MPC_SETUP_MAX_LEN CS_MPC_O4_LEN /* longest set-up message */

typedef enum cs_mpc_role { CS_MPC_INITIATOR = 1, CS_MPC_RESPONDER = 2 } cs_mpc_role;

/* OT state of one set-up (one channel): both directions, counters, replay window, live sessions. Made by cs_mpc_setup_take. */
typedef struct cs_mpc_pair cs_mpc_pair;
/* A set-up under way: O1 (initiator) -> O2 -> O3 -> O4 -> O5. */
typedef struct cs_mpc_setup cs_mpc_setup;

typedef struct cs_mpc_setup_args {
    cs_mpc_peer *peer; /* borrowed, must outlive the pair */
    cs_mpc_role role;
    const uint8_t *chan32;        /* handshake hash of the complete Noise_KK handshake, public */
    const uint8_t *secret32;      /* own Noise static private key: only mixed into the seed of this step; secret */
    const uint8_t *unsafe_seed32; /* tests: the seed of the labelled draws itself; production: NULL */
} cs_mpc_setup_args;

/*
 * cs_mpc_setup_new - CS_E_PEER_BANNED | CS_E_ENTROPY | CS_E_NO_MEMORY (about 50 kB of arena; the pair keeps 44 kB). Nothing of args is kept but peer.
 * cs_mpc_setup_start - initiator: writes O1 to out (appends CS_MPC_O1_LEN bytes); CS_E_STATE when not the first step.
 * cs_mpc_setup_on - takes the one message that is due (responder: O1, O3, O5; initiator: O2, O4), appends the answer if
 *   there is one. out needs CS_MPC_SETUP_MAX_LEN bytes of room; CS_E_RANGE (set-up wiped) otherwise. CPU: 10 ms and more.
 * cs_mpc_setup_done - true when the pair is complete: initiator after O4 (O5 is then in out), responder after O5.
 * cs_mpc_setup_take - the pair, once; NULL before it is done or after a ban. The caller owns it (transferred).
 * cs_mpc_setup_free - wipes; NULL is fine.
 */
CS_MUST cs_err cs_mpc_setup_new(cs_mpc_setup **out, const cs_mpc_setup_args *args);
CS_MUST cs_err cs_mpc_setup_start(cs_mpc_setup *s, cs_buf *out, cs_mpc_verdict *v);
CS_MUST cs_err cs_mpc_setup_on(cs_mpc_setup *s, cs_slice msg, cs_buf *out, cs_mpc_verdict *v);
bool cs_mpc_setup_done(const cs_mpc_setup *s);
cs_mpc_pair *cs_mpc_setup_take(cs_mpc_setup *s);
void cs_mpc_setup_free(cs_mpc_setup *s);

/*
 * cs_mpc_pair_free - ends the set-up: live sessions of it are wiped (they answer DROP "phase" from then on and must still be
 *   freed by their owner, before or after); NULL is fine.
 * cs_mpc_pair_usable - false after a ban.  cs_mpc_pair_used - extensions made so far (ours); renew before 2^20.
 * cs_mpc_pair_live - sessions in this set-up that have secrets.  cs_mpc_pair_peer - the identity pair.
 */
void cs_mpc_pair_free(cs_mpc_pair *p);
bool cs_mpc_pair_usable(cs_mpc_pair *p);
uint64_t cs_mpc_pair_used(cs_mpc_pair *p);
size_t cs_mpc_pair_live(cs_mpc_pair *p);
cs_mpc_peer *cs_mpc_pair_peer(const cs_mpc_pair *p);

/* ---------------------------------------------------------------- keys */

#define CS_MPC_MAX_PARTIES 16u
#define CS_MPC_MAX_PATH 10u

/* The parties of a key: public; one object is shared by all keys of the same parties (10^5 keys point at it). */
typedef struct cs_mpc_parties {
    uint16_t n, t;                         /* 2 <= t <= n <= CS_MPC_MAX_PARTIES */
    uint8_t idkey[CS_MPC_MAX_PARTIES][32]; /* static X25519 public keys of parties 1..n, all different */
} cs_mpc_parties;

/* cs_mpc_parties_check - CS_OK or CS_E_SHARES_ACCOUNT. */
CS_MUST cs_err cs_mpc_parties_check(const cs_mpc_parties *p);

/*
 * One party's share of one key at one epoch: a value of about 200 bytes, to be placed by the caller in arena memory (arrays
 * are fine). s and the zero seeds are secret. Filled by cs_mpc_key_init or cs_mpc_deal; do not write the fields.
 */
typedef struct cs_mpc_key {
    const cs_mpc_parties *parties; /* borrowed */
    uint32_t epoch;
    uint16_t index;   /* own index, 1..n */
    uint8_t pk33[33]; /* group public key, compressed */
    uint8_t cc32[32]; /* BIP-32 chain code */
    uint8_t kid32[32];
    cs_sc s;
    cs_secret32 zero1;      /* zero seed shared with the first other party */
    cs_secret32 *zero_more; /* n > 2: the n - 2 further ones in ascending party order, arena; n = 2: NULL */
} cs_mpc_key;

typedef struct cs_mpc_key_args {
    const cs_mpc_parties *parties;
    uint32_t epoch;
    uint16_t index;
    const uint8_t *pk33, *cc32;
    const uint8_t *s32;  /* big endian, 1..q-1; secret */
    const uint8_t *zero; /* 32 (n - 1) bytes: seeds shared with the other parties, ascending; secret */
} cs_mpc_key_args;

/*
 * cs_mpc_key_init - checks ranges and that pk33 is a point, computes kid32. CS_E_SHARES_ACCOUNT (key zeroed) | CS_E_NO_MEMORY.
 * cs_mpc_key_zero - the seed shared with party j (1..n, not the own index).
 * cs_mpc_key_wipe - wipes and frees; the zero state is fine.
 */
CS_MUST cs_err cs_mpc_key_init(cs_mpc_key *k, const cs_mpc_key_args *args);
const cs_secret32 *cs_mpc_key_zero(const cs_mpc_key *k, uint16_t j);
void cs_mpc_key_wipe(cs_mpc_key *k);

/*
 * cs_mpc_deal - trusted dealer: shares of one key for parties 1..n in out[0..n-1], epoch 0. import32: the secret to share
 * (big endian, 1..q-1), e.g. a derived child key, or NULL for a fresh one. unsafe_seed32: tests only, else NULL.
 * CS_E_RANGE (import32) | CS_E_SHARES_ACCOUNT (parties) | CS_E_ENTROPY | CS_E_NO_MEMORY; out is then wiped.
 * cs_mpc_deal2 - the same for n = t = 2 (parties->n and t must say so).
 */
CS_MUST cs_err cs_mpc_deal(cs_mpc_key *out, const cs_mpc_parties *parties, const uint8_t *import32,
                           const uint8_t *unsafe_seed32);
CS_MUST cs_err cs_mpc_deal2(cs_mpc_key out[2], const cs_mpc_parties *parties, const uint8_t *import32,
                            const uint8_t *unsafe_seed32);

/*
 * cs_mpc_derive - BIP-32 non-hardened: derived public key (33 bytes) and, when not NULL, the sum of the tweaks and the child
 * chain code. CS_E_RANGE: hardened or out-of-range index, path longer than CS_MPC_MAX_PATH, or an invalid child (2^-127).
 */
CS_MUST cs_err cs_mpc_derive(uint8_t out_pk33[33], cs_sc *out_delta, uint8_t *out_cc32, const cs_mpc_key *k,
                             const uint32_t *path, size_t path_len);

/* ---------------------------------------------------------------- signing, two signers, sequential */

#define CS_MPC_M1_LEN 2752u
#define CS_MPC_M2_LEN 42916u
#define CS_MPC_M3_LEN 40332u
#define CS_MPC_M4_LEN 137u

/* What is to be signed; both parties must hold the same (it is hashed into rid). */
typedef struct cs_mpc_request {
    const cs_mpc_key *key;   /* t = 2; borrowed during cs_mpc_sign2_new only */
    uint16_t peer;           /* the other signer's index (n = 2: 3 - key->index) */
    const uint8_t *digest32; /* the message hash, authorised by the caller */
    const uint8_t *label32;  /* name of the request, agreed by both; never reused for another digest */
    const uint32_t *path;    /* BIP-32, non-hardened; may be NULL when path_len is 0 */
    size_t path_len;
    const uint8_t *unsafe_seed32; /* tests only, else NULL */
} cs_mpc_request;

typedef struct cs_mpc_signature {
    uint8_t r[32], s[32]; /* big endian, s is low */
    uint8_t recid;        /* 0..3 */
    uint8_t pk33[33];     /* the (derived) key that it verifies under; it was verified */
} cs_mpc_signature;

/* cs_mpc_request_id - rid, and the derived key when not NULL. Same errors as cs_mpc_derive; CS_E_RANGE for a wrong peer. */
CS_MUST cs_err cs_mpc_request_id(uint8_t out_rid32[32], uint8_t *out_pk33, const cs_mpc_request *r);
/* cs_mpc_message_rid - the rid of an M1..M4 by its place only (for looking up a session); CS_E_FORMAT when too short. */
CS_MUST cs_err cs_mpc_message_rid(uint8_t out_rid32[32], cs_slice msg);

/* One signature of one party; about 9 kB of arena while it lives, and 200 kB more during a step. */
typedef struct cs_mpc_sign2 cs_mpc_sign2;

/*
 * cs_mpc_sign2_new - a session in the OT state of pair (whose idkeys must be those of the two signers). CS_E_PEER_BANNED |
 * CS_E_KEY_MISMATCH (idkeys of the pair) | CS_E_RANGE (request) | CS_E_ENTROPY | CS_E_NO_MEMORY.
 * pair is borrowed until the session is freed or the pair is.
 */
CS_MUST cs_err cs_mpc_sign2_new(cs_mpc_sign2 **out, cs_mpc_pair *pair, const cs_mpc_request *r);
const uint8_t *cs_mpc_sign2_rid(const cs_mpc_sign2 *s);
/*
 * Initiator: m1, on_m2, on_m4. Responder: on_m1, on_m3. Each works once, in this order; out buffers hold exactly the length in
 * the name. A responder that accepts an M1 wipes an older session of the same pair and rid. on_m3 and on_m4 end the session.
 * The caller must have authorised the request before on_m1: M2 carries the responder's contribution.
 */
CS_MUST cs_err cs_mpc_sign2_m1(cs_mpc_sign2 *s, uint8_t out[CS_MPC_M1_LEN], cs_mpc_verdict *v);
CS_MUST cs_err cs_mpc_sign2_on_m1(cs_mpc_sign2 *s, cs_slice m1, uint8_t out[CS_MPC_M2_LEN], cs_mpc_verdict *v);
CS_MUST cs_err cs_mpc_sign2_on_m2(cs_mpc_sign2 *s, cs_slice m2, uint8_t out[CS_MPC_M3_LEN], cs_mpc_verdict *v);
CS_MUST cs_err cs_mpc_sign2_on_m3(cs_mpc_sign2 *s, cs_slice m3, uint8_t out[CS_MPC_M4_LEN], cs_mpc_signature *sig,
                                  cs_mpc_verdict *v);
CS_MUST cs_err cs_mpc_sign2_on_m4(cs_mpc_sign2 *s, cs_slice m4, cs_mpc_signature *sig, cs_mpc_verdict *v);
/* cs_mpc_sign2_free - wipes; NULL is fine. */
void cs_mpc_sign2_free(cs_mpc_sign2 *s);

#endif
