/*
 * age v1 files (age-encryption.org/v1): X25519 and passphrase (scrypt) recipients, binary and ASCII armor, streamed.
 * Strict as the reference implementation: canonical base64, no stray white space or CR in headers, unknown stanzas skipped.
 * Plaintext is handed out chunk by chunk (<= 64 KiB), each after its tag was verified; buffers are in the locked arena.
 * No I/O. Needs cs_arena_init. Source: age specification of C2SP, CCTV age test vectors.
 */
#ifndef CS_SECRET_AGE_H
#define CS_SECRET_AGE_H

#include "secret/mem.h"

#define CS_AGE_MAX_HEADER 65552   /* bytes of a header that are accepted */
#define CS_AGE_MAX_WORK_FACTOR 20 /* scrypt: 2^20 * 1 KiB = 1 GiB */
#define CS_AGE_WORK_FACTOR 18     /* used when encrypting */
#define CS_AGE_MAX_RECIPIENTS 64
#define CS_AGE_IDENTITY_TEXT_LEN 74  /* "AGE-SECRET-KEY-1..." */
#define CS_AGE_RECIPIENT_TEXT_LEN 62 /* "age1..." */

/* An X25519 recipient: public. */
typedef struct cs_age_recipient {
    uint8_t b[32];
} cs_age_recipient;

/* An X25519 identity: secret. */
typedef struct cs_age_identity {
    uint8_t scalar[32];
    cs_age_recipient recipient;
} cs_age_identity;
CS_SECRET_DECLARE(cs_age_identity)

/* cs_age_identity_generate - CS_E_ENTROPY. */
CS_MUST cs_err cs_age_identity_generate(cs_age_identity *out);
/* cs_age_identity_parse - text: exactly one AGE-SECRET-KEY-1 string in upper case, no white space. CS_E_AGE_IDENTITY, *out wiped. */
CS_MUST cs_err cs_age_identity_parse(cs_age_identity *out, cs_slice text);
/*
 * cs_age_identity_file - up to max identities from the lines of an identity file (LF or CRLF): empty lines and lines that begin
 * with "#" are skipped, as are post-quantum identities, which match nothing here. text may be secret. CS_E_AGE_IDENTITY (a line
 * is something else, or no identity at all) | CS_E_TOO_LARGE; identities wiped on error.
 */
CS_MUST cs_err cs_age_identity_file(cs_age_identity *out, size_t *out_num, size_t max, cs_slice text);
/* cs_age_identity_put - append the text form (74 bytes, secret). CS_E_RANGE. */
CS_MUST cs_err cs_age_identity_put(cs_buf *out, const cs_age_identity *id);
/* cs_age_recipient_parse - text: exactly one age1 string. CS_E_AGE_IDENTITY. */
CS_MUST cs_err cs_age_recipient_parse(cs_age_recipient *out, cs_slice text);
CS_MUST cs_err cs_age_recipient_put(cs_buf *out, const cs_age_recipient *r);

/*
 * cs_age_sink - takes one piece of output (plaintext when decrypting: secret, valid during the call; file bytes when
 * encrypting). An error ends the operation and is returned by it.
 */
typedef cs_err cs_age_sink(void *cookie, cs_slice piece);

/* What may open a file. Borrowed until the decryption ends. */
typedef struct cs_age_keys {
    const cs_age_identity *identities;
    size_t num_identities;
    cs_slice passphrase; /* empty: none */
} cs_age_keys;

typedef struct cs_age_dec cs_age_dec;

/* cs_age_dec_new - binary and armored files are told apart by themselves. CS_E_NO_MEMORY (about 136 KiB of the arena). */
CS_MUST cs_err cs_age_dec_new(cs_age_dec **out, const cs_age_keys *keys, cs_age_sink *sink, void *cookie);
/*
 * cs_age_dec_push - the next bytes of the file, any number. After an error every later call gives the same error.
 * CS_E_AGE_HEADER | CS_E_AGE_NO_MATCH | CS_E_AGE_HMAC | CS_E_AGE_PAYLOAD | CS_E_AGE_ARMOR | CS_E_NO_MEMORY (scrypt) | the sink's.
 * What the sink received before an error was authentic but is not the whole file: the caller discards it.
 */
CS_MUST cs_err cs_age_dec_push(cs_age_dec *d, cs_slice bytes);
/* cs_age_dec_finish - the file ends here; CS_OK only when it was whole. Errors as above. */
CS_MUST cs_err cs_age_dec_finish(cs_age_dec *d);
/* cs_age_dec_free - wipes. NULL is fine. */
void cs_age_dec_free(cs_age_dec *d);
/* cs_age_decrypt - whole file in memory, appended to out (secret memory); on error out is wiped back to its length before. */
CS_MUST cs_err cs_age_decrypt(cs_buf *out, cs_slice file, const cs_age_keys *keys);

/* Whom to encrypt to: recipients, or a passphrase alone. */
typedef struct cs_age_to {
    const cs_age_recipient *recipients;
    size_t num_recipients; /* 1..CS_AGE_MAX_RECIPIENTS, 0 with a passphrase */
    cs_slice passphrase;   /* secret */
    unsigned work_factor;  /* scrypt: 1..CS_AGE_MAX_WORK_FACTOR; 0 means CS_AGE_WORK_FACTOR */
    bool armor;
} cs_age_to;

typedef struct cs_age_enc cs_age_enc;

/* cs_age_enc_new - writes the header to the sink. CS_E_USAGE (to) | CS_E_NO_MEMORY | CS_E_ENTROPY | CS_E_AGE_IDENTITY (low order). */
CS_MUST cs_err cs_age_enc_new(cs_age_enc **out, const cs_age_to *to, cs_age_sink *sink, void *cookie);
CS_MUST cs_err cs_age_enc_push(cs_age_enc *e, cs_slice plaintext);
/* cs_age_enc_finish - the last chunk; without it the file is truncated. */
CS_MUST cs_err cs_age_enc_finish(cs_age_enc *e);
void cs_age_enc_free(cs_age_enc *e);

#endif
