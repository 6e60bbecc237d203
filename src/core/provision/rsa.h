/* The RSA key that KMS encrypts its answers to: made in this boot, known to nobody else, wiped when the load is over. */
#ifndef CS_CORE_RSA_H
#define CS_CORE_RSA_H

#include <openssl/evp.h>

#include "base/bytes.h"

#define CS_RSA_BITS 2048
#define CS_RSA_SPKI_MAX 400

typedef struct cs_rsa {
    EVP_PKEY *key;                 /* in the arena, by the allocator of core; NULL: there is none */
    uint8_t spki[CS_RSA_SPKI_MAX]; /* SubjectPublicKeyInfo, DER */
    size_t spki_len;
} cs_rsa;

/* cs_rsa_make - nothing when there is a key. CS_E_NO_MEMORY | CS_E_INTERNAL. About 100 ms. */
CS_MUST cs_err cs_rsa_make(cs_rsa *r);
/* cs_rsa_wipe - the zero state is fine. */
void cs_rsa_wipe(cs_rsa *r);

#endif
