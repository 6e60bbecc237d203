/* How large the two sealed objects may be, wherever they pass: S3, injectors, configuration, core. One number each. */
#ifndef CS_BASE_LIMITS_H
#define CS_BASE_LIMITS_H

#define CS_SHARES_MAX ((size_t)256 << 20)    /* the sealed share file; shares.maxBytes may only lower it */
#define CS_SHARES_MIN ((size_t)1024)         /* of shares.maxBytes */
#define CS_AGE_KEY_MAX ((size_t)64 << 10)    /* the KMS-encrypted age identity, as an object */
#define CS_KMS_CIPHERTEXT_MAX ((size_t)6144) /* of which KMS decrypts no more than this: its own limit */

#endif
