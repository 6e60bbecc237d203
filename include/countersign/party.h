/*
 * libcountersign: the client's party of a Countersign signing service.
 *
 * A party holds the client's shares of one share file and talks to one service, directly or in rooms of a gateway. It verifies the enclave's attestation before it
 * makes a channel, keeps one channel per identity for all its signatures, makes it again when the enclave was restarted, and
 * verifies every signature before it gives it out.
 *
 * One party belongs to one thread at a time. Secrets are in one locked arena of the process (`arena_bytes` of the first party
 * that is opened); they are wiped when the party is closed. Nothing is written anywhere.
 * Link with -lcountersign.
 */
#ifndef COUNTERSIGN_PARTY_H
#define COUNTERSIGN_PARTY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why something was refused. All strings are static, never NULL, and hold nothing of a request. */
typedef struct countersign_error {
    const char *code;  /* stable, e.g. "ATT_PCR"; `signctl errors CODE` explains it; "OK" when there was none */
    const char *cause; /* one sentence */
    const char *fix;   /* one sentence */
    int retry;         /* 1: the same request may succeed later */
} countersign_error;

typedef struct countersign_party countersign_party;

typedef struct countersign_party_options {
    const char *service;     /* "tcp:HOST:PORT" or "unix:/path" */
    const void *shares;      /* the client's share file, plain or sealed by age with a passphrase; secret; copied */
    size_t shares_len;       /* bytes, at most 256 MiB */
    const void *passphrase;  /* secret; NULL for a plain file */
    size_t passphrase_len;   /* bytes, at most 1024 */
    const char *root_pem;    /* text of the attestation root certificate; NULL: AWS Nitro Enclaves root G1 */
    const char *const *pcrs; /* "N=HEX": PCRs that the enclave must have, all of them */
    size_t num_pcrs;         /* 0 only together with any_pcrs */
    int any_pcrs;            /* 1: accept any image; development only */
    int allow_debug;         /* 1: accept an enclave in debug mode; development only */
    uint32_t timeout_ms;     /* of one attempt; 0: 15,000 */
    uint32_t retries;        /* further attempts after an aborted session, each over the same request */
    size_t arena_bytes;      /* 0: 64 MiB and three times shares_len */
    /*
     * "http://HOST[:PORT][/PREFIX]": meet the enclave's party in rooms of this gateway (`service` is not read then). Somebody sends the
     * same request to the gateway's mpc.SignGateway/SignTx; tx_id is of 32 bits and path is empty. NULL: directly.
     */
    const char *gateway_url;
} countersign_party_options;

/*
 * countersign_party_open - loads the shares; does not talk to the service yet (the first signature does).
 * Options that are not set must be zero. The structure may grow at its end in a later version: callers are compiled against the
 * header of the library that they run with until version 1.
 * Returns 0, or -1 with *err (may be NULL): ATT_NO_POLICY, CONFIG (root_pem), FORMAT, RANGE and UNSUPPORTED (service, gateway_url,
 * pcrs), AGE_*, SHARES_*, NO_MEMORY. *out is owned by the caller: countersign_party_close.
 */
int countersign_party_open(countersign_party **out, const countersign_party_options *options, countersign_error *err);

/* What is to be signed. The strings are borrowed during the call. */
typedef struct countersign_request {
    const char *account_id;
    int64_t tx_id;
    const uint8_t
        *execution_id; /* 1..64 bytes; the same triple (account, tx, execution) gives the same signature until the
                                    enclave restarts, with another digest or path it is refused (EXECUTION_CONFLICT) */
    size_t execution_id_len;
    uint8_t digest[32];
    const uint32_t *path; /* BIP-32 below the account's key, not hardened (each below 2^31); may be NULL */
    size_t path_len;      /* 0..10 */
} countersign_request;

/* An ECDSA signature over secp256k1, verified under public_key. Big endian; s is low. */
typedef struct countersign_signature {
    uint8_t r[32], s[32];
    uint8_t recid;          /* 0..3: bit 0 parity of R.y, bit 1 x(R) >= n */
    uint8_t public_key[33]; /* compressed; of the path's key */
    uint32_t attempts;      /* sessions that it took */
} countersign_signature;

/*
 * countersign_party_sign - one signature; blocks until it is there or refused. Returns 0, or -1 with *err (may be NULL):
 * ACCOUNT_UNKNOWN, RANGE, ATT_*, CHANNEL_AUTH, EXECUTION_CONFLICT, EPOCH, ABORT_SESSION, PEER_BANNED (a party lied: do not
 * retry), PEER_SILENT, NOT_SERVING, TIMEOUT, CLOSED, BAD_SIGNATURE; in rooms also CONNECT, UPSTREAM, ROOM_*, SESSION_LIMIT. out is
 * written on 0 only.
 */
int countersign_party_sign(countersign_party *party, const countersign_request *request, countersign_signature *out,
                           countersign_error *err);
/*
 * countersign_party_sign_many - num requests side by side in the same channel. out and errs have num entries; errs[i].code is
 * "OK" where out[i] holds a signature. Returns how many failed, 0..num.
 */
size_t countersign_party_sign_many(countersign_party *party, const countersign_request *requests, size_t num,
                                   countersign_signature *out, countersign_error *errs);

/* countersign_party_close - wipes and frees; NULL is fine. */
void countersign_party_close(countersign_party *party);

#ifdef __cplusplus
}
#endif

#endif
