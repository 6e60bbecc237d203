/*
 * The set of accounts, sealing roots and callers of one share file: verified, parsed into the arena, found by their ids.
 * A set is built whole or not at all; a reload builds a second one and swaps. Read-only once loaded.
 * Source: docs/formats/share-file.md, architecture section 2.
 */
#ifndef CS_SECRET_SHARE_H
#define CS_SECRET_SHARE_H

#include "base/bytes.h"
#include "codec/hello.h"
#include "codec/sharefile.h"
#include "secret/mem.h"
#include "secret/mpc/mpc.h"
#include "secret/seal.h"

/* One own identity: a set of parties and the static key of our place in it. In the arena; lives as long as its share set. */
typedef struct cs_share_party {
    cs_mpc_parties parties;
    uint16_t index;         /* ours */
    cs_secret32 static_key; /* X25519 private key */
    uint8_t static_pub[32];
} cs_share_party;

typedef struct cs_share_set cs_share_set;

/* What is accepted. The zero value refuses everything: no publisher. */
typedef struct cs_share_policy {
    const uint8_t (*publishers)[32]; /* Ed25519 public keys */
    size_t num_publishers;
    bool allow_unsigned;     /* requireSignedShares: false; also accepts signatures of unknown publishers (client) */
    uint64_t min_generation; /* lower ones are CS_E_SHARES_GENERATION */
    /*
     * The bit of an operation that callers are given by name, 0: no such operation. The table is not of this zone: programs that
     * take a service's file give cs_tee_grant_of (rpc/tee_rpc.h). NULL: a file with callers is CS_E_SHARES_ACCOUNT.
     */
    uint32_t (*grant_of)(cs_slice operation);
} cs_share_policy;

/* A caller of the TEE service. Public; lives as long as its share set. */
typedef struct cs_caller {
    uint32_t index;       /* position in the file, 0..cs_share_num_callers - 1: for tables beside the set */
    uint32_t grants;      /* bits of policy.grant_of */
    uint32_t rate, burst; /* requests a second, requests at once; both 0: no limit */
    uint8_t ed25519[32];  /* a point of the prime-order group: no two callers have the same */
    uint8_t x25519[32];   /* not of low order */
    cs_slice id;
    cs_slice records; /* patterns, for cs_caller_record: each a byte of length and the text */
} cs_caller;

/*
 * cs_share_verify - header, publisher, signature, hash over the whole rest, generation; in this order. *out is set on CS_OK
 * only. CS_E_SHARES_FORMAT | CS_E_SHARES_UNSIGNED | CS_E_SHARES_SIGNATURE (publisher, signature or hash) | CS_E_SHARES_GENERATION.
 */
CS_MUST cs_err cs_share_verify(cs_sharefile_header *out, cs_slice file, const cs_share_policy *policy);
/*
 * cs_share_load - verify, then parse into a new set in the arena. file: the whole plaintext, secret, borrowed. fault may be
 * NULL. As above and CS_E_SHARES_ACCOUNT (range, not a point, parties, operation) |
 * CS_E_SHARES_DUPLICATE (account, root, caller or a caller's Ed25519 key) | CS_E_SHARES_LIMIT (arena full).
 */
CS_MUST cs_err cs_share_load(cs_share_set **out, cs_slice file, const cs_share_policy *policy,
                             cs_sharefile_fault *fault);
/*
 * The same for a file that is too large to hold as plaintext: it is given twice, in pieces of any size, first to be checked,
 * then to be parsed. Nothing is parsed before cs_share_loader_checked returned CS_OK. Memory: about 90 kB of the arena and the
 * set. Errors are those of cs_share_load, in the same order, but the publisher and the signature of the header are checked when
 * the header is there; CS_E_SHARES_LIMIT (arena full); CS_E_STATE (wrong order). Sticky. policy->publishers is borrowed.
 *   new -> check... -> checked -> build... -> take
 */
typedef struct cs_share_loader cs_share_loader;
CS_MUST cs_err cs_share_loader_new(cs_share_loader **out, const cs_share_policy *policy);
CS_MUST cs_err cs_share_loader_check(cs_share_loader *l, cs_slice piece);
/* cs_share_loader_checked - the file was whole: publisher, signature, hash over the whole rest, generation. */
CS_MUST cs_err cs_share_loader_checked(cs_share_loader *l);
CS_MUST cs_err cs_share_loader_build(cs_share_loader *l, cs_slice piece);
/* cs_share_loader_take - the set, transferred; CS_E_SHARES_SIGNATURE when the second file was not the first. */
CS_MUST cs_err cs_share_loader_take(cs_share_set **out, cs_share_loader *l);
/* cs_share_loader_fault - where and what, after an error of build or take; else zero. */
cs_sharefile_fault cs_share_loader_fault(const cs_share_loader *l);
/* cs_share_loader_free - at any time; wipes. NULL is fine. */
void cs_share_loader_free(cs_share_loader *l);

/*
 * Who keeps a pointer into a set beyond the call in which it was found (a worker thread) holds the set; each hold and each load is
 * ended by one cs_share_free. The last one wipes all, NULL is fine; cs_mpc_key, cs_share_party, cs_caller and cs_seal_root
 * pointers into it are dead then. From any thread, as long as the holder holds.
 */
cs_share_set *cs_share_hold(cs_share_set *s);
void cs_share_free(cs_share_set *s);

/* cs_share_find - the key of an account, or NULL. Time depends on the id, which is public. */
const cs_mpc_key *cs_share_find(const cs_share_set *s, cs_slice account_id);
/* cs_share_party_of - the identity of a key of this set. cs_share_party_at - by position, NULL at the end. */
const cs_share_party *cs_share_party_of(const cs_share_set *s, const cs_mpc_key *k);
const cs_share_party *cs_share_party_at(const cs_share_set *s, size_t i);
/*
 * cs_share_party_by_keys - the identity whose own static public key is own32 and that has peer32 among its other parties; NULL.
 * For HS1: own32 = enclave key, peer32 = client key. *out_peer (may be NULL): the peer's index.
 */
const cs_share_party *cs_share_party_by_keys(const cs_share_set *s, const uint8_t own32[32], const uint8_t peer32[32],
                                             uint16_t *out_peer);

/* cs_share_roots - the sealing roots in file order, none to CS_SEAL_ROOTS_MAX, no two of one id; they live as long as the set. */
cs_seal_roots cs_share_roots(const cs_share_set *s);
/* cs_share_caller - by id, or NULL; time depends on the id, which is public. cs_share_caller_at - by index; NULL at the end. */
const cs_caller *cs_share_caller(const cs_share_set *s, cs_slice id);
const cs_caller *cs_share_caller_at(const cs_share_set *s, size_t index);
/* cs_caller_may - bit `op` (0..31) of its grants. cs_caller_record - the record is one of its patterns, or begins like one. */
bool cs_caller_may(const cs_caller *c, unsigned op);
bool cs_caller_record(const cs_caller *c, cs_slice record);
size_t cs_share_num_callers(const cs_share_set *s);

size_t cs_share_count(const cs_share_set *s);
size_t cs_share_num_parties(const cs_share_set *s);
uint64_t cs_share_generation(const cs_share_set *s);
/* cs_share_publisher - 32 bytes, or NULL when the file is unsigned. cs_share_bytes - arena bytes held. */
const uint8_t *cs_share_publisher(const cs_share_set *s);
size_t cs_share_bytes(const cs_share_set *s);
/* cs_share_each - accounts in file order; fn returns false to stop. */
typedef bool cs_share_each_fn(void *cookie, cs_slice account_id, const cs_mpc_key *k);
void cs_share_each(const cs_share_set *s, cs_share_each_fn *fn, void *cookie);

/* cs_hello_label - the request label: SHA-256 of cs_hello_label_input. CS_E_RANGE. */
CS_MUST cs_err cs_hello_label(uint8_t out32[32], const cs_hello *h);

/* Publisher signatures: Ed25519 (RFC 8032). seed32 is the private key, secret. */
void cs_publisher_public(uint8_t out32[32], const uint8_t seed32[32]);
void cs_publisher_sign(uint8_t out64[64], const uint8_t seed32[32], cs_slice message);
/* cs_publisher_verify - CS_OK | CS_E_AUTH. Strict (no small-order keys, s reduced). */
CS_MUST cs_err cs_publisher_verify(const uint8_t public32[32], const uint8_t sig64[64], cs_slice message);

/*
 * An unban order (docs/formats/unban.md): one line "countersign-unban/1 publisher=... key=... time=... sig=...".
 * cs_unban_put - writes it. cs_unban_verify - shape, publisher on the list, signature, time at most 300 s after
 * now_s. The caller refuses an order whose time is not after the ban and after the last order taken for this key: no order
 * works twice.
 * CS_E_UNBAN; *out is set on CS_OK only.
 */
#define CS_UNBAN_MAX 512
typedef struct cs_unban {
    uint8_t key32[32]; /* static public key of the client whose ban ends */
    uint64_t time_s;   /* when the order was made, seconds since 1970 UTC */
} cs_unban;
typedef struct cs_unban_check {
    const uint8_t (*publishers)[32];
    size_t num_publishers;
    uint64_t now_s;
} cs_unban_check;
CS_MUST cs_err cs_unban_put(cs_buf *out, const uint8_t seed32[32], const cs_unban *u);
CS_MUST cs_err cs_unban_verify(cs_unban *out, cs_slice order, const cs_unban_check *check);

#endif
