/*
 * Hybrid public key encryption: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and an AEAD, in the modes base, psk,
 * auth and auth_psk.
 * The product's suite is CS_HPKE_CHACHA20_POLY1305; the others exist so that the code is held to external vectors.
 * No heap of its own, no I/O. Source: RFC 9180.
 */
#ifndef CS_SECRET_HPKE_H
#define CS_SECRET_HPKE_H

#include "base/bytes.h"
#include "secret/mem.h"

#define CS_HPKE_ENC 32 /* the encapsulated key: an X25519 public key */
#define CS_HPKE_TAG 16
#define CS_HPKE_NONCE 12
#define CS_HPKE_PSK_MIN 32                       /* [RFC9180 9.5] */
#define CS_HPKE_EXPORT_MAX (255u * 32u)          /* [RFC9180 5.3] */
#define CS_HPKE_MESSAGE_MAX ((size_t)256u << 20) /* of a message, of its aad and of every other input */

/* Numbers of RFC 9180, section 7.3. */
typedef enum cs_hpke_aead {
    CS_HPKE_AES128_GCM = 1,
    CS_HPKE_AES256_GCM = 2,
    CS_HPKE_CHACHA20_POLY1305 = 3,
    CS_HPKE_EXPORT_ONLY = 0xffff,
} cs_hpke_aead;

/*
 * One context, of the sender or of the receiver; secret as a whole. Fields are the module's own. The zero state
 * is unusable.
 */
typedef struct cs_hpke {
    cs_hpke_aead aead;
    bool sender;
    uint64_t seq;
    cs_secret32 key; /* its first 16 or 32 bytes */
    uint8_t base_nonce[CS_HPKE_NONCE];
    cs_secret32 exporter;
} cs_hpke;
CS_SECRET_DECLARE(cs_hpke)

/* Intermediate values, for tests only; secret. */
typedef struct cs_hpke_trace {
    uint8_t shared_secret[32], key_schedule_context[65], secret[32];
} cs_hpke_trace;

/*
 * What both sides agree on. The mode follows from it: psk given or not, sender's key given or not. At the sender
 * auth_secret32 is
 * its private key, at the receiver auth_public32 the sender's public key; the other one is NULL.
 */
typedef struct cs_hpke_args {
    cs_hpke_aead aead;
    cs_slice info;
    cs_slice psk, psk_id; /* both or none; psk is secret, of at least CS_HPKE_PSK_MIN bytes */
    const uint8_t *auth_secret32;
    const uint8_t *auth_public32;
    const uint8_t *unsafe_e32;   /* tests: the ephemeral private key; production: NULL (fresh from cs_random) */
    cs_hpke_trace *unsafe_trace; /* tests; production: NULL */
} cs_hpke_args;

/*
 * cs_hpke_derive_key_pair - DeriveKeyPair [RFC9180 7.1.3] from ikm, secret, of at least 32 bytes of entropy. The
 * public key is
 * public. CS_E_RANGE (shorter).
 */
CS_MUST cs_err cs_hpke_derive_key_pair(cs_secret32 *out_secret, uint8_t out_public32[32], cs_slice ikm);
/*
 * cs_hpke_send - a context to the owner of receiver32 (public); enc goes to it in clear. CS_E_AUTH (a public key
 * of low order) |
 * CS_E_USAGE (args) | CS_E_RANGE (psk too short) | CS_E_UNSUPPORTED (aead) | CS_E_TOO_LARGE | CS_E_ENTROPY.
 * cs_hpke_receive - the same from enc and the receiver's private key. On error out is wiped. A wrong enc, key,
 * psk or info shows
 * when the first message is opened.
 */
CS_MUST cs_err cs_hpke_send(cs_hpke *out, uint8_t out_enc[CS_HPKE_ENC], const uint8_t receiver32[32],
                            const cs_hpke_args *args);
CS_MUST cs_err cs_hpke_receive(cs_hpke *out, const uint8_t enc[CS_HPKE_ENC], const uint8_t secret32[32],
                               const cs_hpke_args *args);
/*
 * cs_hpke_seal - append ciphertext and tag of the next message; cs_hpke_open - append the plaintext of the next
 * one. Messages
 * must be opened in the order in which they were sealed; a failed one does not count. plain and sealed do not
 * overlap out.
 * CS_E_STATE (wrong side, export only, the counter is used up) | CS_E_AUTH | CS_E_FORMAT (shorter than a tag) |
 * CS_E_TOO_LARGE |
 * CS_E_RANGE, CS_E_NO_MEMORY (out). On error out is as before.
 */
CS_MUST cs_err cs_hpke_seal(cs_hpke *c, cs_buf *out, cs_slice aad, cs_slice plain);
CS_MUST cs_err cs_hpke_open(cs_hpke *c, cs_buf *out, cs_slice aad, cs_slice sealed);
/*
 * cs_hpke_export - len bytes of a secret for another use, bound to context [RFC9180 5.3]; the same on both
 * sides. CS_E_RANGE (len
 * over CS_HPKE_EXPORT_MAX) | CS_E_STATE (no context) | CS_E_TOO_LARGE.
 */
CS_MUST cs_err cs_hpke_export(const cs_hpke *c, uint8_t *out, size_t len, cs_slice context);

/*
 * One message for one receiver [RFC9180 6.1]: enc || ciphertext || tag appended to out, and back. Errors of the
 * functions above;
 * cs_hpke_open_once gives CS_E_AUTH for everything that a forger could have sent.
 */
CS_MUST cs_err cs_hpke_seal_once(cs_buf *out, const uint8_t receiver32[32], const cs_hpke_args *args, cs_slice aad,
                                 cs_slice plain);
CS_MUST cs_err cs_hpke_open_once(cs_buf *out, const uint8_t secret32[32], const cs_hpke_args *args, cs_slice aad,
                                 cs_slice sealed);

#endif
