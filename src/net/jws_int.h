/* Inside of jws*.c. */
#ifndef CS_NET_JWS_INT_H
#define CS_NET_JWS_INT_H

#include <openssl/evp.h>

#include "net/jws.h"

#define CS_JWS_KID_MAX 127

typedef enum cs_jws_kind { CS_JWS_ED25519, CS_JWS_P256 } cs_jws_kind;

typedef struct cs_jws_key {
    cs_jws_kind kind;
    EVP_PKEY *key;
    char kid[CS_JWS_KID_MAX + 1]; /* "": none */
} cs_jws_key;

struct cs_jws_keys {
    size_t num;
    cs_jws_key key[CS_JWS_KEYS_MAX];
};

#endif
