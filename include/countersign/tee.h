/*
 * libcountersign: client of the TEE service. An application keeps ciphertext only; keys are used inside an enclave.
 *
 * A client talks to one gateway. Before it sends anything it asks the enclave for its attestation document, verifies it against the caller's
 * list of images, and knows then to whom it seals and who signs the audit log. Requests are signed by the caller; what holds a secret is
 * sealed to the enclave, and answers that hold one come sealed to the caller. The audit entry of every answer is verified: it says that the
 * attested enclave did this very request and gave this very result.
 *
 * Threads: all functions may be called from several threads with one client, but countersign_tee_close. Calls block.
 * Secrets (identity, TLS key, token, bodies) are in one locked arena of the process (`arena_bytes` of the first client or party that is opened)
 * and wiped. Nothing is written anywhere. What the caller gives is borrowed for the call. Link with -lcountersign.
 */
#ifndef COUNTERSIGN_TEE_H
#define COUNTERSIGN_TEE_H

#include "countersign/party.h"

#ifdef __cplusplus
extern "C" {
#endif

#define COUNTERSIGN_TEE_ID 16u
#define COUNTERSIGN_TEE_DATA_MAX 65536u   /* bytes of one Seal or Decrypt */
#define COUNTERSIGN_TEE_BODY_MAX 131072u  /* bytes of one request */
#define COUNTERSIGN_TEE_RECORDS_MAX 256u  /* records of one Rotate */
#define COUNTERSIGN_TEE_APPROVALS_MAX 16u /* approvals of one request */

typedef struct countersign_tee countersign_tee;

/* What is known of a call. All of it is public. Times are milliseconds since 1970. */
typedef struct countersign_tee_audit {
    uint8_t request_id[COUNTERSIGN_TEE_ID];
    uint64_t time_ms;  /* of the request */
    uint32_t attempts; /* how often it was sent, 1.. */
    int audited; /* 1: an audit entry came and was verified, and the members below are set; refusals may have none */
    uint8_t boot[16];       /* which boot of the enclave */
    uint64_t counter;       /* the head of its log ... */
    uint8_t head[32];       /* ... is this entry: counter and hash; keep it to prove later that the log was not cut */
    uint64_t entry_time_ms; /* by the enclave's clock */
    uint8_t entry[1024];    /* the entry, docs/formats/tee.md */
    size_t entry_len;
    uint8_t entry_signature[64]; /* by the boot's audit key */
    const char *operation;       /* "Sign", ...; static */
    const char *code;            /* "OK", or why it was refused; static */
    uint8_t
        trace_id[16]; /* of the request (W3C Trace Context): the same in the gateway's spans and the service's log */
} countersign_tee_audit;

/* Options that are not set must be zero. The structure may grow at its end (as in party.h). */
typedef struct countersign_tee_options {
    const char *gateway; /* "tcp:HOST:PORT" or "unix:/path" */
    const char *
        ca_pem; /* TLS: text of the certificates that vouch for the gateway; NULL: plain, for loopback and unix sockets */
    const char *cert_pem;    /* TLS: the client's own certificate, leaf first; NULL: none */
    const char *key_pem;     /* TLS: its private key; secret; NULL: none */
    const char *server_name; /* TLS: name that the gateway's certificate must have; NULL: HOST */
    const char
        *token; /* bearer token for the gateway; secret; copied; NULL: none. Refused over plain TCP beyond loopback */
    const char *
        identity_file; /* the caller's identity, as `signctl caller new` writes it: JSON, readable by its owner only. NULL: no caller,
                                  then only attest, public_key and stats work */
    const char *root_pem;    /* text of the attestation root certificate; NULL: AWS Nitro Enclaves root G1 */
    const char *const *pcrs; /* "N=HEX": PCRs that the enclave must have, all of them; one image. NULL: allowed */
    size_t num_pcrs;
    const char *const
        *allowed; /* images that are accepted: "PCR0:PCR1:PCR2[:PCR3=..][:PCR8=..]" in hex, each at most 16 entries */
    size_t num_allowed; /* 0 and no pcrs only together with any_pcrs */
    int any_pcrs;       /* 1: accept any image; development only */
    int allow_debug;    /* 1: accept an enclave in debug mode; development only */
    int seal_all; /* 1: seal every request of the caller, not only those with a secret: gateway and host then see only operation, record and id */
    uint32_t timeout_ms; /* of a whole call, its attempts and waits; 0: 15,000 */
    uint32_t attempt_ms; /* of one attempt; 0: 6,000 */
    uint32_t
        retries; /* attempts after the first, for errors that may pass; the same bytes and request id. UINT32_MAX: none; 0: 4 */
    uint32_t connections; /* 1..16; 0: 2 */
    uint32_t
        attest_every_ms; /* the attestation is verified again when it is older; 0: one hour. Also after each reconnect */
    size_t arena_bytes;  /* 0: 8 MiB */
    /*
     * Called for each answer, also for refusals that reached the enclave, after it was verified, in the thread of the call and before the
     * call returns; the entry is valid during the call. NULL: none. It must not use the client.
     */
    void (*on_audit)(void *cookie, const countersign_tee_audit *audit);
    void *audit_cookie;
} countersign_tee_options;

/*
 * countersign_tee_open - reads the identity and starts a thread of its own for the connections; nothing is awaited (the first call verifies the
 * attestation). Returns 0, or -1 with *err (may be NULL): ATT_NO_POLICY; CONFIG (root_pem); FORMAT, RANGE, UNSUPPORTED (gateway, pcrs, allowed, identity,
 * PEM texts, numbers); USAGE (certificate without ca_pem or key, token over plain TCP); IO (identity_file: missing, or readable by others
 * than its owner); NO_MEMORY. *out is owned by the caller: countersign_tee_close.
 */
int countersign_tee_open(countersign_tee **out, const countersign_tee_options *options, countersign_error *err);
/* countersign_tee_close - no call may be under way; wipes and frees; NULL is fine. */
void countersign_tee_close(countersign_tee *tee);

/* An approval: `approver` is another caller with operation Approve. */
typedef struct countersign_tee_approval {
    const char *approver; /* 1..64 bytes */
    uint8_t signature[64];
} countersign_tee_approval;

/* How one call is made. NULL where a function takes it: all zero. */
typedef struct countersign_tee_call {
    const uint8_t *
        request_id; /* 16 bytes; the same request with the same id and time_ms is one request, however often it is sent: it is
                                  done once, and its answer is given again. NULL: fresh random bytes */
    uint64_t time_ms;    /* of the request; 0: now. The enclave accepts a minute or so around its own clock */
    uint32_t timeout_ms; /* 0: that of the client */
    const countersign_tee_approval *approvals;
    size_t num_approvals; /* 0..16 */
    /*
     * Not NULL: nothing is sent; the request's body is written here, for approvers (countersign_tee_approve), and *body_len is set. request_id and
     * time_ms must be given, so that the call that follows makes the same body. RANGE: body_cap is too small (131,072 are always enough).
     * The body holds what the call is given, secrets too.
     */
    uint8_t *body;
    size_t body_cap;
    size_t *body_len;
    countersign_tee_audit *audit; /* set when the call returns, also on -1 (as far as it came); NULL: not wanted */
    const char *
        traceparent; /* W3C Trace Context of the caller's own span, which the request then belongs to (else FORMAT); NULL: a new trace */
} countersign_tee_call;

typedef enum countersign_tee_algorithm {
    COUNTERSIGN_TEE_DATA = 0, /* not a key: what Seal stored */
    COUNTERSIGN_TEE_ECDSA_SECP256K1 = 1,
    COUNTERSIGN_TEE_ECDSA_P256 = 2,
    COUNTERSIGN_TEE_ED25519 = 3,
    COUNTERSIGN_TEE_SCHNORR_BIP340 = 4,
} countersign_tee_algorithm;

typedef struct countersign_tee_public_key {
    countersign_tee_algorithm algorithm;
    uint8_t bytes[33]; /* compressed; 32 bytes for ed25519 and schnorr-bip340 (x only) */
    size_t len;        /* 32 or 33; 0 for data */
} countersign_tee_public_key;

typedef struct countersign_tee_signature {
    uint8_t bytes[64];    /* r || s (s is low on secp256k1), R || S, or BIP-340's */
    uint32_t recovery_id; /* secp256k1: 0..3; else 0 */
    countersign_tee_public_key public_key;
} countersign_tee_signature;

typedef enum countersign_tee_input { COUNTERSIGN_TEE_DIGEST = 0, COUNTERSIGN_TEE_MESSAGE = 1 } countersign_tee_input;

/*
 * All calls below return 0, or -1 with *err (may be NULL); outputs are written on 0 only. record: 1..128 bytes of printable ASCII without quote,
 * backslash and space. `call` may be NULL.
 *
 * Refused here, before anything is sent: RANGE, FORMAT, TOO_LARGE, ALGORITHM, DIGEST_LENGTH (arguments), USAGE (the client has no identity),
 * NO_MEMORY. By attestation: ATT_*. On the way: CONNECT, CLOSED, TIMEOUT, TLS, TEE_TIMEOUT, TEE_BUSY, TEE_GATE, TOKEN. By the enclave or gateway: the rows "TEE
 * service", "KMS" and "general" of `signctl errors`. AUDIT_CHAIN: the answer is not one of the attested enclave to this request, or its log does
 * not move on; do not use the answer. CHANNEL_UNKNOWN: the enclave was restarted before it could open the sealed request, and request_id was
 * given: nothing was done; make the request again with a fresh id (with an id of the client's own that happens by itself).
 * AUTH: a sealed answer does not open with the identity's key. TIMEOUT says nothing about what was done: call again with the same request_id and time_ms.
 */

/*
 * countersign_tee_sign - payload: 32 bytes for COUNTERSIGN_TEE_DIGEST, else a message of up to about 128 KiB (hashed with SHA-256 for ECDSA;
 * Ed25519 signs messages only). The signature is verified under public_key before it is given out. BAD_SIGNATURE: it does not verify.
 */
int countersign_tee_sign(countersign_tee *tee, const countersign_tee_call *call, const char *record,
                         countersign_tee_algorithm algorithm, countersign_tee_input input, const void *payload,
                         size_t payload_len, countersign_tee_signature *out, countersign_error *err);
/* countersign_tee_generate - a new private key under this record. EXISTS: there is one. */
int countersign_tee_generate(countersign_tee *tee, const countersign_tee_call *call, const char *record,
                             countersign_tee_algorithm algorithm, countersign_tee_public_key *out,
                             countersign_error *err);
/* countersign_tee_import - the same with a private key of the caller; private_key is secret, and travels sealed to the enclave only. */
int countersign_tee_import(countersign_tee *tee, const countersign_tee_call *call, const char *record,
                           countersign_tee_algorithm algorithm, const uint8_t private_key[32],
                           countersign_tee_public_key *out, countersign_error *err);
/* countersign_tee_public_key_of - works without an identity. */
int countersign_tee_public_key_of(countersign_tee *tee, const countersign_tee_call *call, const char *record,
                                  countersign_tee_public_key *out, countersign_error *err);
/*
 * countersign_tee_seal - plaintext (secret) of up to 65,536 bytes becomes ciphertext in the gateway's store. version: 1 for a new record, else the
 * stored one + 1. *out_version (may be NULL): what is stored now. SEAL_VERSION, EXISTS: another version is stored.
 */
int countersign_tee_seal(countersign_tee *tee, const countersign_tee_call *call, const char *record, uint32_t version,
                         const void *plaintext, size_t plaintext_len, uint32_t *out_version, countersign_error *err);
/*
 * countersign_tee_unseal - version 0: whichever is stored. out (secret, the caller wipes it) has out_cap bytes; RANGE when that is too small:
 * *out_len is set then too. out_version may be NULL.
 */
int countersign_tee_unseal(countersign_tee *tee, const countersign_tee_call *call, const char *record, uint32_t version,
                           void *out, size_t out_cap, size_t *out_len, uint32_t *out_version, countersign_error *err);
/*
 * countersign_tee_decrypt - what others encrypted with AES-256-GCM under a data key of KMS: ciphertext = nonce 12 || ciphertext || tag 16, aad their
 * associated data, data_key the CiphertextBlob, kms_key its ARN (of the measured list). record names it for policy and log. out as for unseal.
 */
typedef struct countersign_tee_foreign {
    const void *data_key;
    size_t data_key_len;
    const char *kms_key;
    const void *aad; /* at most 65,536 bytes */
    size_t aad_len;
    const void *ciphertext; /* 28..65,564 bytes */
    size_t ciphertext_len;
} countersign_tee_foreign;
int countersign_tee_decrypt(countersign_tee *tee, const countersign_tee_call *call, const char *record,
                            const countersign_tee_foreign *in, void *out, size_t out_cap, size_t *out_len,
                            countersign_error *err);
/*
 * countersign_tee_rotate - encrypts 1..256 records anew inside the enclave: fresh 1 under a new data key of kms_key (NULL or "": the first allowed one), 0 under
 * the data key that the gateway has from its last rotation. *out_rotated: how many are stored anew. row_errors (may be NULL): num_records
 * entries, code "OK" where a record was rotated; what was not is as it was and still readable.
 */
int countersign_tee_rotate(countersign_tee *tee, const countersign_tee_call *call, const char *const *records,
                           size_t num_records, const char *kms_key, int fresh, uint32_t *out_rotated,
                           countersign_error *row_errors, countersign_error *err);
/*
 * countersign_tee_rows - which records the gateway's store holds, for a rotation of all of them: pages of up to 256, those under one data key together. It is
 * the gateway that says so, not the enclave; nothing of it is signed. Members of the filter that are NULL or 0 are no condition. after: NULL or ""
 * for the first page, else `next` of the page before. out has room for `limit` rows (1..256); limit 0: only *out_list is set, with `matching`.
 * FORMAT: what came is not such a page.
 */
#define COUNTERSIGN_TEE_AFTER_MAX 16384u
typedef struct countersign_tee_filter {
    const char *kms_key;        /* under this KMS key */
    const char *not_kms_key;    /* under any but this */
    const void *data_key;       /* under this data key (KMS's ciphertext of it) */
    size_t data_key_len;        /* at most 6,144 */
    uint64_t changed_before_ms; /* last changed before, by the gateway's clock */
} countersign_tee_filter;
typedef struct countersign_tee_row {
    char record[129];
    uint32_t version;
    uint64_t changed_ms;
    uint8_t data_key_sha256[32];           /* of its ciphertext: which rows share one */
    countersign_tee_public_key public_key; /* as it is stored; len 0 for data */
} countersign_tee_row;
typedef struct countersign_tee_list {
    size_t num_rows;
    char next[COUNTERSIGN_TEE_AFTER_MAX]; /* "": that was the last page */
    uint64_t now_ms;                      /* the gateway's clock */
    uint64_t matching;                    /* limit 0: how many rows match the filter */
} countersign_tee_list;
int countersign_tee_rows(countersign_tee *tee, const countersign_tee_filter *filter, const char *after, size_t limit,
                         countersign_tee_row *out, countersign_tee_list *out_list, countersign_error *err);
/*
 * countersign_tee_attest - a document over the caller's nonce (16..512 bytes), verified as this client verifies it; at most 16,384 bytes. The client uses
 * the keys in it from now on. RANGE: out_cap.
 */
int countersign_tee_attest(countersign_tee *tee, const countersign_tee_call *call, const void *nonce, size_t nonce_len,
                           void *out, size_t out_cap, size_t *out_len, countersign_error *err);
/* countersign_tee_stats - JSON text, NUL-terminated. RANGE: out_cap (65,536 are enough). */
int countersign_tee_stats(countersign_tee *tee, const countersign_tee_call *call, char *out, size_t out_cap,
                          countersign_error *err);
/*
 * countersign_tee_approve - the client's identity approves the request whose body this is: look at it first (docs/formats/tee.md; `signctl tee approve`
 * shows it). Nothing is sent; out->approver is valid as long as the client. FORMAT: not a body. USAGE: no identity.
 * RANGE: the body is the identity's own request.
 */
int countersign_tee_approve(countersign_tee *tee, const void *body, size_t body_len, countersign_tee_approval *out,
                            countersign_error *err);

#ifdef __cplusplus
}
#endif

#endif
