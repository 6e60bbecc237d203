/*
 * The operations of the inner loops, chosen once at run time: one table, one entry per operation, portable constant-time
 * code as fallback for each. Nothing here branches on or indexes by the data.
 * Sizes are those of suite DKLS23-S256-v1 [mpc-wire.md 4, 5].
 */
#ifndef CS_SECRET_ACCEL_H
#define CS_SECRET_ACCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CS_EXT_ROW 80u /* bytes of a row: 640 columns */
#define CS_EXT_ROWS 128u
#define CS_EXT_COLS 416u
#define CS_EXT_LEAVES 16u
#define CS_PAD_LEN 96u

typedef struct cs_accel {
    /* h = SHA-256 compression of n 64-byte blocks */
    void (*sha256)(uint32_t h[8], const uint8_t *p, size_t n);
    /* out[32 i] = compression of block i alone, from the state mid, big endian */
    void (*sha256_many)(uint8_t *out, const uint32_t mid[8], const uint8_t *blocks, size_t n);
    /* out = n blocks AES-128(key, iv), AES(key, iv+1), ...; 128-bit big-endian counter, wrapping */
    void (*aes_ctr)(uint8_t *out, const uint8_t key[16], const uint8_t iv[16], size_t n);
    /* out[96 i] = 6 blocks of AES-CTR(keys[32 i .. +16], keys[32 i + 16 .. +16]) */
    void (*pads)(uint8_t *out, const uint8_t *keys, size_t n);
    /* out[80 y] = the stream of leaf y [mpc-wire.md 5]: key AES(leaf, h) xor h, initial counter iv; hiv = h || iv */
    void (*leaves)(uint8_t out[16 * 80], const uint8_t leaf[16 * 16], const uint8_t hiv[32]);
    /* out[16 i] = sum chi_m block_m + block_5 of row i (80 bytes), in GF(2^128) */
    void (*folds)(uint8_t *out, const uint8_t chi[64], const uint8_t *rows, size_t n);
    /* cols: 416 columns of 16 bytes from 128 rows of 80 bytes: bit i of column j = bit j of row i */
    void (*transpose)(uint8_t *cols, const uint8_t *rows);
} cs_accel;

/* cs_accel_get - the table for this CPU. */
const cs_accel *cs_accel_get(void);
/* cs_accel_portable - the table without any CPU extension: reference of the tests. */
const cs_accel *cs_accel_portable(void);
/* cs_accel_force_portable_for_tests - cs_accel_get gives the portable table from now on. */
void cs_accel_force_portable_for_tests(bool on);

#if defined(__x86_64__)
/* cs_accel_x86 - put the entries that this CPU can do into t. */
void cs_accel_x86(cs_accel *t);
#endif

#endif
