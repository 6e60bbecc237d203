/* Keccak-f[1600], rate 136, capacity 512, padding 0x01 .. 0x80 (the original submission). Source: The Keccak reference 3.0. */
#include <string.h>

#include "party/eth.h"

#define RATE 136u

static uint64_t rol(uint64_t x, unsigned n)
{
    return n == 0 ? x : x << n | x >> (64 - n);
}

/* round constants by the LFSR of the reference, section 1.2 */
static uint64_t round_constant(uint8_t *lfsr)
{
    uint64_t rc = 0;
    for (unsigned j = 0; j < 7; j++) {
        if (*lfsr & 1) {
            rc ^= (uint64_t)1 << ((1u << j) - 1);
        }
        *lfsr = (uint8_t)(*lfsr & 0x80 ? *lfsr << 1 ^ 0x71 : *lfsr << 1);
    }
    return rc;
}

static void theta(uint64_t a[25])
{
    uint64_t c[5];
    for (unsigned x = 0; x < 5; x++) {
        c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    }
    for (unsigned i = 0; i < 25; i++) {
        a[i] ^= c[(i % 5 + 4) % 5] ^ rol(c[(i % 5 + 1) % 5], 1);
    }
}

static void rho_pi(uint64_t a[25])
{
    unsigned x = 1, y = 0;
    uint64_t lane = a[1];
    for (unsigned t = 0; t < 24; t++) {
        unsigned nx = y, ny = (2 * x + 3 * y) % 5;
        uint64_t next = a[nx + 5 * ny];
        a[nx + 5 * ny] = rol(lane, ((t + 1) * (t + 2) / 2) % 64);
        lane = next;
        x = nx;
        y = ny;
    }
}

static void chi(uint64_t a[25])
{
    for (unsigned y = 0; y < 25; y += 5) {
        uint64_t row[5];
        memcpy(row, a + y, sizeof row);
        for (unsigned x = 0; x < 5; x++) {
            a[y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]);
        }
    }
}

static void permute(uint64_t a[25])
{
    uint8_t lfsr = 1;
    for (unsigned round = 0; round < 24; round++) {
        theta(a);
        rho_pi(a);
        chi(a);
        a[0] ^= round_constant(&lfsr);
    }
}

static void absorb(uint64_t a[25], unsigned *at, uint8_t byte)
{
    a[*at / 8] ^= (uint64_t)byte << (8 * (*at % 8));
    if (++*at == RATE) {
        permute(a);
        *at = 0;
    }
}

void cs_keccak256(uint8_t out32[32], const cs_slice *parts, size_t num_parts)
{
    uint64_t a[25] = {0};
    unsigned at = 0;
    for (size_t i = 0; i < num_parts; i++) {
        for (size_t k = 0; k < parts[i].len; k++) {
            absorb(a, &at, parts[i].p[k]);
        }
    }
    a[at / 8] ^= (uint64_t)0x01 << (8 * (at % 8));
    a[(RATE - 1) / 8] ^= (uint64_t)0x80 << 56;
    permute(a);
    for (unsigned i = 0; i < 32; i++) {
        out32[i] = (uint8_t)(a[i / 8] >> (8 * (i % 8)));
    }
}
