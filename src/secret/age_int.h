/* Parts of age shared by its files; not for others. */
#ifndef CS_SECRET_AGE_INT_H
#define CS_SECRET_AGE_INT_H

#include "secret/age.h"

#define AGE_CHUNK 65536
#define AGE_TAG 16
#define AGE_FILE_KEY 16
#define AGE_MAC 32
#define AGE_NONCE 16
#define AGE_COLUMNS 64 /* of base64, in stanza bodies and armor */
#define AGE_VERSION_LINE "age-encryption.org/v1\n"

/* The STREAM state: ChaCha20-Poly1305 with a nonce of an 11-byte counter and a last-chunk flag. */
typedef struct age_stream {
    uint8_t key[32];
    uint64_t counter;
} age_stream;

/* cs_age_stream_init - payload key = HKDF-SHA256(file key, nonce, "payload"). */
void cs_age_stream_init(age_stream *s, const cs_secret16 *file_key, const uint8_t nonce[AGE_NONCE]);
/* cs_age_stream_open - chunk: ciphertext and tag; plain (chunk.len - AGE_TAG bytes, not overlapping) is zeroed when not authentic. */
bool cs_age_stream_open(uint8_t *plain, const age_stream *s, cs_slice chunk, bool last);
/* cs_age_stream_seal - in place: len bytes of plaintext; the tag is written behind them. */
bool cs_age_stream_seal(const age_stream *s, uint8_t *chunk, size_t len, bool last);

/* cs_age_header_mac - HMAC-SHA256 under HKDF(file key, "", "header") over the header up to and including "---". */
void cs_age_header_mac(uint8_t out[AGE_MAC], const cs_secret16 *file_key, cs_slice header);

/* Wrapping of the file key: body is 32 bytes (file key and tag). */
/* cs_age_x25519_unwrap - CS_E_AGE_NO_MATCH (another recipient's) | CS_E_AGE_HEADER (low-order share). */
CS_MUST cs_err cs_age_x25519_unwrap(cs_secret16 *out, const cs_age_identity *id, const uint8_t share[32],
                                    const uint8_t body[32]);
/* cs_age_x25519_wrap - CS_E_ENTROPY | CS_E_AGE_IDENTITY. */
CS_MUST cs_err cs_age_x25519_wrap(uint8_t share[32], uint8_t body[32], const cs_age_recipient *to,
                                  const cs_secret16 *file_key);
/* cs_age_scrypt_key - the wrapping key of a passphrase. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_age_scrypt_key(cs_secret32 *out, cs_slice passphrase, const uint8_t salt[16], unsigned work_factor);
/* cs_age_unwrap, cs_age_wrap - ChaCha20-Poly1305 with a zero nonce; cs_age_unwrap is true when authentic. */
bool cs_age_unwrap(cs_secret16 *out, const cs_secret32 *key, const uint8_t body[32]);
void cs_age_wrap(uint8_t body[32], const cs_secret32 *key, const cs_secret16 *file_key);

/*
 * cs_age_header_open - header: from the version line to the LF behind the MAC. Finds the file key and checks the MAC.
 * CS_E_AGE_HEADER | CS_E_AGE_NO_MATCH | CS_E_AGE_HMAC | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_age_header_open(cs_secret16 *out_file_key, cs_slice header, const cs_age_keys *keys);

/* The armor reader: takes file bytes, gives decoded bytes. */
typedef struct age_armor {
    int state;
    uint8_t line[AGE_COLUMNS + 1]; /* the line being read, without its end; one more for a CR */
    size_t line_len;
    uint8_t held[48]; /* the last, short line: given out when the closing line is right */
    size_t held_len;
    size_t num_space; /* white space outside */
} age_armor;

typedef cs_err cs_age_bytes_fn(void *cookie, cs_slice bytes);
/* cs_age_armor_push, cs_age_armor_finish - CS_E_AGE_ARMOR or what next returns. */
CS_MUST cs_err cs_age_armor_push(age_armor *a, cs_slice bytes, cs_age_bytes_fn *next, void *cookie);
CS_MUST cs_err cs_age_armor_finish(age_armor *a, cs_age_bytes_fn *next, void *cookie);

#endif
