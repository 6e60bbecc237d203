#include "core/provision/rsa.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>

cs_err cs_rsa_make(cs_rsa *r)
{
    cs_rsa made = {0};
    uint8_t *p = made.spki;
    int len = 0;

    if (r->key != NULL) {
        return CS_OK;
    }
    made.key = EVP_RSA_gen(CS_RSA_BITS);
    if (made.key == NULL) {
        return CS_E_NO_MEMORY;
    }
    len = i2d_PUBKEY(made.key, NULL);
    if (len <= 0 || len > CS_RSA_SPKI_MAX || i2d_PUBKEY(made.key, &p) != len) {
        EVP_PKEY_free(made.key);
        return CS_E_INTERNAL;
    }
    made.spki_len = (size_t)len;
    *r = made;
    return CS_OK;
}

void cs_rsa_wipe(cs_rsa *r)
{
    EVP_PKEY_free(r->key); /* clears the private numbers; the allocator wipes the rest */
    *r = (cs_rsa){0};
}
