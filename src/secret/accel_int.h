/* Pieces shared by the files behind accel.h. */
#ifndef CS_SECRET_ACCEL_INT_H
#define CS_SECRET_ACCEL_INT_H

#include <stddef.h>
#include <stdint.h>

extern const uint32_t cs_sha256_k[64];
/* cs_bits_transpose8 - 8x8 bit matrix, byte k = row k. */
uint64_t cs_bits_transpose8(uint64_t x);

/* accel_aes.c: bit-sliced AES-128 without tables; the contracts are those of the table. */
void cs_aes_ctr_portable(uint8_t *out, const uint8_t key[16], const uint8_t iv[16], size_t n);
void cs_aes_pads_portable(uint8_t *out, const uint8_t *keys, size_t n);
void cs_aes_leaves_portable(uint8_t out[16 * 80], const uint8_t leaf[16 * 16], const uint8_t hiv[32]);

#endif
