/* Attestation documents made for tests: own root, one fault at a time. Linked by tests only. */
#ifndef CS_ATTEST_TESTDOC_H
#define CS_ATTEST_TESTDOC_H

#include "attest/verify.h"

#define TESTDOC_TIME_S                                                                                                 \
    1700000000U /* of the document; every certificate is valid from an hour before to an hour after */

typedef enum testdoc_fault {
    TESTDOC_GOOD,
    TESTDOC_OTHER_ROOT,   /* another root of the same name, in the document and above its chain */
    TESTDOC_ROOT_SWAPPED, /* the right root in the document, the chain hangs on another of the same name */
    TESTDOC_ROOT_MISSING, /* the bundle begins with the intermediate */
    TESTDOC_CA_NOT_CA,
    TESTDOC_CA_NO_CONSTRAINTS,
    TESTDOC_CA_NO_CERT_SIGN,
    TESTDOC_CA_NO_USAGE,
    TESTDOC_CA_PATHLEN,  /* pathlen 0 above another CA */
    TESTDOC_CA_CRITICAL, /* an unknown critical extension */
    TESTDOC_CA_EXPIRED,
    TESTDOC_CA_SHA256, /* signed with ecdsa-with-SHA256 */
    TESTDOC_CA_P256,   /* the key below is on P-256 */
    TESTDOC_CA_OTHER_ISSUER_NAME,
    TESTDOC_CA_OTHER_ISSUER_KEY,
    TESTDOC_CA_VERSION_1,
    TESTDOC_CA_TRAILING, /* a byte behind the certificate */
    TESTDOC_LEAF_IS_CA,
    TESTDOC_LEAF_NO_SIGNATURE_USAGE,
    TESTDOC_LEAF_NOT_YET,
    TESTDOC_LEAF_EXPIRED,
    TESTDOC_LEAF_GARBAGE,
    TESTDOC_BAD_SIGNATURE,
    TESTDOC_OTHER_SIGNER,
    TESTDOC_ES256_HEADER,
    TESTDOC_ALG_UNPROTECTED,
    TESTDOC_TAGGED,     /* good, with tag 18 */
    TESTDOC_INDEFINITE, /* good, indefinite map */
    TESTDOC_NUM,
} testdoc_fault;

typedef struct testdoc {
    testdoc_fault fault;
    uint64_t timestamp_s;                  /* 0: TESTDOC_TIME_S; certificates move with it */
    bool debug;                            /* PCR0-2 zero */
    bool zero_pcr1;                        /* only PCR1 zero */
    cs_slice nonce, public_key, user_data; /* p NULL: null in the document */
    const char *extra_key;                 /* one more key with the value 1; NULL: none */
} testdoc;

/* testdoc_root - DER of the root of all documents of this process. */
cs_slice testdoc_root(void);
/* testdoc_build - a new document; static memory, valid until the next call. */
cs_slice testdoc_build(const testdoc *t);
/* testdoc_wrap - a signed-looking COSE_Sign1 around any payload. */
cs_slice testdoc_wrap(cs_slice payload);

#endif
