#include "secret/sign/ed25519.h"

#include <sodium.h>

/* libsodium's form of a private key: seed and public key */
typedef struct expanded {
    uint8_t b[crypto_sign_SECRETKEYBYTES];
} expanded;
CS_SECRET_DECLARE(expanded)

void cs_ed25519_public(uint8_t out32[32], const cs_secret32 *seed)
{
    CS_SECRET(expanded) k = {{0}};
    (void)crypto_sign_seed_keypair(out32, k.b, seed->b);
    CS_CT_PUBLIC(out32, 32, "the public key");
}

void cs_ed25519_sign(uint8_t out64[64], const cs_secret32 *seed, cs_slice message)
{
    CS_SECRET(expanded) k = {{0}};
    uint8_t public32[32];
    (void)crypto_sign_seed_keypair(public32, k.b, seed->b);
    (void)crypto_sign_detached(out64, NULL, message.p, message.len, k.b);
    CS_CT_PUBLIC(out64, 64, "the signature");
}

cs_err cs_ed25519_verify(const uint8_t public32[32], const uint8_t sig64[64], cs_slice message)
{
    return crypto_sign_verify_detached(sig64, message.p, message.len, public32) == 0 ? CS_OK : CS_E_AUTH;
}
