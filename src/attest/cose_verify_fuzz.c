/*
 * Target: cs_cose_verify
 * The first byte chooses algorithm and key; nobody has signed, so no signature of any shape is accepted.
 */
#include <openssl/ec.h>
#include <stdlib.h>

#include "attest/cose_verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t algs[] = {CS_COSE_ES256, CS_COSE_ES384, CS_COSE_ES512, CS_COSE_EDDSA, 0};
    static EVP_PKEY *keys[4];

    if (keys[0] == NULL) {
        keys[0] = EVP_EC_gen("P-256");
        keys[1] = EVP_EC_gen("P-384");
        keys[2] = EVP_EC_gen("P-521");
        keys[3] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    if (size > 0 && cs_cose_verify(keys[data[0] & 3], algs[(data[0] >> 2) % 5], cs_slice_of("tbs", 3),
                                   cs_slice_of(data + 1, size - 1)) == CS_OK) {
        abort();
    }
    return 0;
}
