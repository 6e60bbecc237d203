/*
 * Inside the MPC core: sizes, message layouts, states. Contracts of the pieces; the contract for users is mpc.h.
 * Names follow mpc.md 2: Bob is OT-extension receiver (bits beta), Alice the sender (Delta).
 */
#ifndef CS_SECRET_MPC_INT_H
#define CS_SECRET_MPC_INT_H

#include <pthread.h>

#include "secret/accel.h"
#include "secret/group.h"
#include "secret/mpc/mpc.h"
#include "secret/th.h"

/* ---------------------------------------------------------------- sizes and layouts [mpc-wire.md 4] */

#define XI CS_EXT_COLS /* 416 OTs of one RVOLE */
#define SLOTS 3u
#define TREES 32u
#define LAMBDA 128u
#define BETA_LEN 52u
#define XHAT_LEN CS_EXT_ROW
#define U_LEN (TREES * CS_EXT_ROW)
#define COLS_LEN (XI * 16u)
#define AT_LEN (XI * SLOTS * 32u)
#define SLOTS_LEN (LAMBDA * 66u)
#define PPRF_LEN (TREES * 160u)
#define TREE_LEN 256u /* 16 leaves */
#define LEAVES_LEN (TREES * TREE_LEN)
#define HEADER_LEN 40u
#define VERSION 1u

enum { TYPE_O1 = 1, TYPE_O2, TYPE_O3, TYPE_O4, TYPE_O5, TYPE_M1 = 0x11, TYPE_M2, TYPE_M3, TYPE_M4 };

/* offsets; the blocks of Bob and Alice are at different places in M1, M2, M3 */
enum { O1_NONCE = 40, O1_END = 72 };
enum { O2_NONCE = 40, O2_A = 72, O2_POK = 105, O2_END = 170 };
enum { O3_PSID = 40, O3_A = 72, O3_POK = 105, O3_SLOTS = 170, O3_END = 8618 };
enum { O4_PSID = 40, O4_SLOTS = 72, O4_PPRF = 8520, O4_END = 13640 };
enum { O5_PSID = 40, O5_PPRF = 72, O5_END = 5192 };
enum { BOB_CTR = 0, BOB_XID = 8, BOB_U = 40, BOB_X = 2600, BOB_HT = 2616, BOB_END = 2648 };
enum {
    ALICE_AT = 0,
    ALICE_ETA = 39936,
    ALICE_MU = 39968,
    ALICE_GU = 40000,
    ALICE_GV = 40033,
    ALICE_PSI = 40066,
    ALICE_PK = 40098,
    ALICE_END = 40131
};
enum { M1_NONCE = 40, M1_COM = 72, M1_BOB = 104, M1_END = 2752 };
enum { M2_SSID = 40, M2_NONCE = 72, M2_R = 104, M2_BOB = 137, M2_ALICE = 2785, M2_END = 42916 };
enum { M3_SSID = 40, M3_R = 72, M3_SALT = 105, M3_ALICE = 137, M3_W = 40268, M3_U = 40300, M3_END = 40332 };
enum { M4_SSID = 40, M4_R = 72, M4_S = 104, M4_RECID = 136, M4_END = 137 };
_Static_assert(O1_END == CS_MPC_O1_LEN && O2_END == CS_MPC_O2_LEN && O3_END == CS_MPC_O3_LEN, "layout");
_Static_assert(O4_END == CS_MPC_O4_LEN && O5_END == CS_MPC_O5_LEN && M1_END == CS_MPC_M1_LEN, "layout");
_Static_assert(M2_END == CS_MPC_M2_LEN && M3_END == CS_MPC_M3_LEN && M4_END == CS_MPC_M4_LEN, "layout");
_Static_assert(M1_BOB + BOB_END == M1_END && M2_BOB + BOB_END == M2_ALICE && M2_ALICE + ALICE_END == M2_END, "layout");

/* A step's result: a check that failed, or CS_MPC_CHK_NONE. Local failures are cs_err. */
typedef cs_mpc_check chk;
#define CHK(x)                                                                                                         \
    do {                                                                                                               \
        chk chk_ = (x);                                                                                                \
        if (chk_ != CS_MPC_CHK_NONE) {                                                                                 \
            return chk_;                                                                                               \
        }                                                                                                              \
    } while (0)

/* cs_mpc_header - the 40 bytes. cs_mpc_header_check - HEADER, then LENGTH. */
void cs_mpc_header(uint8_t out[HEADER_LEN], unsigned type, unsigned from, unsigned to, const uint8_t rid[32]);
chk cs_mpc_header_check(cs_slice m, unsigned type, unsigned from, unsigned to, const uint8_t rid[32], size_t len);
/* cs_mpc_verdict_set - fill v (may be NULL) for a failed check and give the error that the caller returns. */
cs_err cs_mpc_verdict_set(cs_mpc_verdict *v, cs_mpc_class cls, chk c, unsigned culprit);

/* ---------------------------------------------------------------- base OT and trees [mpc.md 2.3, 2.4] */

/* Bob's side of one direction while the set-up runs. */
typedef struct bot_sender {
    cs_sc a;
    uint8_t a33[33];
} bot_sender;
/* Alice's side. */
typedef struct bot_receiver {
    uint8_t choice[16];
    uint8_t keys[LAMBDA][16];
} bot_receiver;

CS_MUST cs_err cs_bot_sender_start(bot_sender *b, uint8_t out_a[33], uint8_t out_pok[65], const cs_drbg *d,
                                   const uint8_t osid[32]);
/* cs_bot_receiver_run - verifies A and its proof, makes the slots (SLOTS_LEN). err: local failure only. */
CS_MUST cs_err cs_bot_receiver_run(chk *c, bot_receiver *r, uint8_t *out_slots, const cs_drbg *d,
                                   const uint8_t osid[32], const uint8_t *a_pok);
/* cs_bot_sender_finish - keys[2 i + c] of all instances. */
chk cs_bot_sender_finish(uint8_t keys[2 * LAMBDA][16], const bot_sender *b, const uint8_t osid[32],
                         const uint8_t *slots);

/* cs_pprf_build - one tree: 16 leaves and the 160-byte message. keys: [2 i + c] of the four base OTs. */
void cs_pprf_build(uint8_t leaves[TREE_LEN], uint8_t msg[160], const uint8_t osid[32], unsigned tree,
                   const uint8_t keys[8][16]);
/*
 * cs_pprf_open - Alice: choice: her four bits, first digit in bit 0; keys: her four keys. leaves: zero at the hole;
 * *out_y: the hole, secret. PPRF when s~ does not fit.
 */
chk cs_pprf_open(uint8_t leaves[TREE_LEN], uint8_t *out_y, const uint8_t osid[32], unsigned tree, unsigned choice,
                 const uint8_t keys[4][16], const uint8_t msg[160]);

/* ---------------------------------------------------------------- one direction of a pair */

/* Bob: all leaves. Alice: leaves (zero at the hole), Delta. gadget is public. */
typedef struct ot_half {
    uint8_t osid[32];
    uint8_t delta[16];
    uint8_t leaves[LEAVES_LEN];
    cs_sc gadget[XI];
} ot_half;

void cs_mpc_gadget(cs_sc g[XI], const uint8_t osid[32]);

/* ---------------------------------------------------------------- extension and RVOLE [mpc.md 2.4, 2.5] */

/* Working memory of a step, from the arena, wiped when freed. */
typedef struct scratch {
    uint8_t rows[CS_EXT_ROWS * CS_EXT_ROW];
    uint8_t streams[16 * CS_EXT_ROW];
    uint8_t folds[CS_EXT_ROWS * 16];
    uint8_t cols[COLS_LEN];  /* w of this step */
    uint8_t other[COLS_LEN]; /* w xor Delta */
    uint8_t pads[XI * CS_PAD_LEN];
    uint8_t pads1[XI * CS_PAD_LEN];
    uint8_t blocks[XI * 64];
    uint8_t keys[XI * 32];
    cs_sc p0[XI * SLOTS];
    uint8_t mu[XI * 32];
} scratch;

/* cs_ext_bob - writes u, x, h_t at BOB_U.. of block and v (COLS_LEN). xhat: beta || dummy || check. */
void cs_ext_bob(uint8_t *block, uint8_t *v, scratch *w, const ot_half *ot, const uint8_t xid[32],
                const uint8_t xhat[80]);
/* cs_ext_alice - checks block, w->cols = columns. OT_CHECK. */
chk cs_ext_alice(scratch *w, const ot_half *ot, const uint8_t xid[32], const uint8_t *block);
/* cs_ext_chi - 64 bytes: the four coefficients. */
void cs_ext_chi(uint8_t chi[64], const uint8_t xid[32], const uint8_t *u);
/* cs_mpc_bob_input - b = sum beta_j g_j. */
void cs_mpc_bob_input(cs_sc *b, const cs_sc g[XI], const uint8_t beta[BETA_LEN]);
/* cs_mpc_pads - 416 x 96 bytes of pad stream from columns; uses w->blocks and w->keys. */
void cs_mpc_pads(uint8_t *out, scratch *w, const uint8_t rsid[32], const uint8_t *cols);

typedef struct rvole_io {
    cs_sc in[SLOTS]; /* Alice: a_1, a_2, ahat */
    cs_sc out[2];    /* Alice: c_u, c_v; Bob: d_u, d_v */
    cs_sc theta[2];
} rvole_io;
CS_SECRET_DECLARE(rvole_io)

/* cs_rvole_alice - writes at, eta, mu at ALICE_AT.. of block from w->cols. */
void cs_rvole_alice(uint8_t *block, rvole_io *io, scratch *w, const ot_half *ot, const uint8_t rsid[32]);
/* cs_rvole_ranges - MALFORMED_SCALAR when an element of at or eta is >= q. */
chk cs_rvole_ranges(const uint8_t *block);
/* cs_rvole_bob - d from v and beta; MU. */
chk cs_rvole_bob(rvole_io *io, scratch *w, const ot_half *ot, const uint8_t rsid[32], const uint8_t *v,
                 const uint8_t beta[BETA_LEN], const uint8_t *block);

/* ---------------------------------------------------------------- peers, pairs */

#define CTR_WINDOW 2048u /* accepted counters below the highest one are remembered */

struct cs_mpc_peer {
    pthread_mutex_t lock; /* of the ban, all lists and counters below */
    uint8_t me[32], peer[32];
    cs_mpc_check banned;
    cs_mpc_pair *pairs; /* all set-ups, also unfinished ones */
    size_t sessions;    /* not freed yet */
};

struct cs_mpc_pair {
    cs_mpc_peer *peer;
    cs_mpc_pair *next;
    cs_mpc_sign2 *live; /* sessions that refer to this pair */
    unsigned busy;      /* steps that use ot right now: its memory goes when this is 0 */
    bool dead, freed;
    uint8_t psid[32];
    uint64_t next_ctr;
    uint64_t highest; /* accepted counters of the peer */
    uint64_t seen[CTR_WINDOW / 64];
    ot_half *alice, *bob; /* arena; NULL when gone */
};

/* cs_mpc_pair_new - empty, listed with its peer; CS_E_PEER_BANNED | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_mpc_pair_new(cs_mpc_pair **out, cs_mpc_peer *peer);
/* cs_mpc_pair_ids - psid and both osids from chan and nonces. */
void cs_mpc_pair_ids(cs_mpc_pair *p, cs_mpc_role role, const uint8_t chan[32], const uint8_t my_nonce[32],
                     const uint8_t peer_nonce[32]);
/* cs_mpc_pair_ban - under no lock: the ban and everything that goes with it. */
void cs_mpc_pair_ban(cs_mpc_peer *peer, cs_mpc_check why);
/*
 * cs_mpc_pair_enter - a step of a set-up begins; false when the pair is dead. cs_mpc_pair_leave - ends it; frees what became
 * dead meanwhile; false when the ban fell meanwhile: nothing may leave. (Sessions: sign2_int.h.)
 */
bool cs_mpc_pair_enter(cs_mpc_pair *p);
bool cs_mpc_pair_leave(cs_mpc_pair *p);
/* Counters: own ones count from 1. cs_mpc_ctr_seen - also true below the window. cs_mpc_ctr_add - false when seen meanwhile. */
uint64_t cs_mpc_pair_take_ctr(cs_mpc_pair *p);
bool cs_mpc_ctr_seen(cs_mpc_pair *p, uint64_t ctr);
CS_MUST bool cs_mpc_ctr_add(cs_mpc_pair *p, uint64_t ctr);

/* ---------------------------------------------------------------- keys */

/* cs_mpc_derive_pt - cs_mpc_derive as a point; cs_pt_init was called. */
CS_MUST cs_err cs_mpc_derive_pt(cs_pt *out, cs_sc *out_delta, uint8_t out_cc32[32], const cs_mpc_key *k,
                                const uint32_t *path, size_t path_len);
/* cs_mpc_lagrange - coefficient at 0 of party i over the distinct ids (public). */
void cs_mpc_lagrange(cs_sc *out, uint16_t i, const uint16_t *ids, size_t num_ids);
/* cs_mpc_zero_share - zeta of party k->index over the signers. */
void cs_mpc_zero_share(cs_sc *out, const cs_mpc_key *k, const uint8_t ssid[32], const uint16_t *ids, size_t num_ids);
/* cs_mpc_zero_term - +-H2S("zero", seed, ssid): the part of one peer. */
void cs_mpc_zero_term(cs_sc *out, const cs_secret32 *seed, const uint8_t ssid[32], bool peer_is_lower);
/* cs_mpc_rid - the hash behind cs_mpc_request_id, for any number of ascending signers. */
void cs_mpc_rid(uint8_t out[32], const cs_mpc_request *r, const uint16_t *ids, size_t num_ids, const uint8_t pk33[33]);

#endif
