/*
 * The Noise handshake engine: patterns KK, IK and XX over 25519 and ChaChaPoly. The product uses KK with SHA-256 and empty
 * payloads (secret/channel.h); the other patterns and hashes exist so that the whole engine is held to external vectors.
 * No heap, no I/O. Source: The Noise Protocol Framework, revision 34, sections 5 and 7.
 */
#ifndef CS_SECRET_NOISE_H
#define CS_SECRET_NOISE_H

#include "base/bytes.h"
#include "secret/mem.h"

#define CS_NOISE_KEY 32
#define CS_NOISE_TAG 16
#define CS_NOISE_MAX_MESSAGE 65535 /* Noise section 3 */

/* A 32-byte hash with a block of 64 bytes (SHA-256, BLAKE2s). name: as in the protocol name. */
typedef struct cs_noise_hash {
    const char *name;
    void (*digest)(uint8_t out[32], const cs_slice *parts, size_t num_parts);
} cs_noise_hash;
extern const cs_noise_hash cs_noise_sha256;

typedef enum cs_noise_pattern { CS_NOISE_KK, CS_NOISE_IK, CS_NOISE_XX } cs_noise_pattern;

/* One direction of a cipher: key and counter. The zero state has no key. */
typedef struct cs_noise_cipher {
    cs_secret32 key;
    uint64_t n;
    bool has_key;
} cs_noise_cipher;
CS_SECRET_DECLARE(cs_noise_cipher)

/* State of one handshake; secret as a whole. Fields are the engine's own. */
typedef struct cs_noise {
    const cs_noise_hash *hash;
    cs_noise_pattern pattern;
    bool initiator, failed;
    unsigned next, num_messages;
    uint8_t h[32]; /* public */
    cs_secret32 ck;
    cs_noise_cipher cipher;
    cs_secret32 s, e;
    uint8_t s_pub[32], e_pub[32], rs[32], re[32];
    bool has_s, has_e, has_rs, has_re, fixed_e;
} cs_noise;
CS_SECRET_DECLARE(cs_noise)

typedef struct cs_noise_args {
    cs_noise_pattern pattern;
    const cs_noise_hash *hash; /* NULL: cs_noise_sha256 */
    bool initiator;
    cs_slice prologue;
    const uint8_t *s32;        /* own static private key; secret */
    const uint8_t *rs32;       /* peer's static public key where the pattern knows it before; else NULL */
    const uint8_t *unsafe_e32; /* tests: the ephemeral private key; production: NULL (fresh from cs_random) */
} cs_noise_args;

/* cs_noise_init - CS_E_USAGE when a key that the pattern needs is missing (or one is given that it does not know). */
CS_MUST cs_err cs_noise_init(cs_noise *n, const cs_noise_args *args);
/*
 * cs_noise_write - append the next message with payload. CS_E_STATE (not our turn, finished, failed) | CS_E_AUTH (a DH result
 * of low order) | CS_E_ENTROPY | CS_E_RANGE (out). On error the handshake is wiped and out is as before.
 * cs_noise_read - the peer's next message, whole; appends the payload to out. CS_E_STATE | CS_E_FORMAT (length) | CS_E_AUTH
 * (tag, low-order key) | CS_E_RANGE (out). On error the handshake is wiped, out is as before: a handshake has one try.
 */
CS_MUST cs_err cs_noise_write(cs_noise *n, cs_buf *out, cs_slice payload);
CS_MUST cs_err cs_noise_read(cs_noise *n, cs_buf *out, cs_slice message);
/* cs_noise_done - all handshake messages are through. */
bool cs_noise_done(const cs_noise *n);
/* cs_noise_remote_static - the peer's static public key once known, else NULL. Public. */
const uint8_t *cs_noise_remote_static(const cs_noise *n);
/*
 * After done: cs_noise_handshake_hash - the channel binding h (public). cs_noise_chaining_key - the final ck, secret, input of
 * the channel's own key schedule. cs_noise_split - transport ciphers of this side. CS_E_STATE before done.
 */
CS_MUST cs_err cs_noise_handshake_hash(const cs_noise *n, uint8_t out32[32]);
CS_MUST cs_err cs_noise_chaining_key(const cs_noise *n, cs_secret32 *out);
CS_MUST cs_err cs_noise_split(const cs_noise *n, cs_noise_cipher *out_send, cs_noise_cipher *out_receive);
/* cs_noise_seal, cs_noise_open - one transport message. CS_E_AUTH | CS_E_FORMAT | CS_E_RANGE | CS_E_STATE (counter used up). */
CS_MUST cs_err cs_noise_seal(cs_noise_cipher *c, cs_buf *out, cs_slice aad, cs_slice plain);
CS_MUST cs_err cs_noise_open(cs_noise_cipher *c, cs_buf *out, cs_slice aad, cs_slice sealed);

/* cs_x25519_base - public key of a private key. cs_x25519 - CS_E_AUTH when the result is zero (peer's point of low order). */
void cs_x25519_base(uint8_t out32[32], const uint8_t private32[32]);
CS_MUST cs_err cs_x25519(cs_secret32 *out, const uint8_t private32[32], const uint8_t public32[32]);
/* cs_hmac_sha256 - over parts; key 0..64 bytes. cs_hkdf_expand_sha256 - RFC 5869, out_len <= 255 * 32. Both secret in, secret out. */
void cs_hmac_sha256(uint8_t out32[32], cs_slice key, const cs_slice *parts, size_t num_parts);
void cs_hkdf_expand_sha256(uint8_t *out, size_t out_len, const uint8_t prk32[32], const cs_slice *info,
                           size_t num_info);

#endif
