/* The algorithms of the wycheproof suite. */
#ifndef CS_TESTS_WYCHEPROOF_H
#define CS_TESTS_WYCHEPROOF_H

#include "suite.h"

typedef enum wp_verdict {
    WP_ACCEPTED, /* and the output is the expected one */
    WP_REFUSED,
    WP_WRONG,    /* accepted with another output: never right */
    WP_NOT_OURS, /* a variant that no component uses */
    WP_NO_KEY,   /* the file's key cannot be read */
} wp_verdict;

typedef wp_verdict wp_run(const json_t *group, const json_t *test);

wp_run wp_x25519, wp_ed25519, wp_chacha20_poly1305, wp_hkdf_sha256, wp_hmac_sha256, wp_hmac_sha512, wp_aes_cbc,
    wp_aes_gcm, wp_rsa_oaep, wp_ecdsa_der, wp_ecdsa_bitcoin, wp_ecdsa_p1363, wp_jws;

/*
 * wp_bytes - the named hex field; missing or malformed: empty, and wp_broken names it: the case fails. Freed by
 * the caller.
 */
extern const char *wp_broken;
cs_buf wp_bytes(const json_t *obj, const char *key);
/* wp_compare - accepted or wrong. */
wp_verdict wp_compare(cs_slice got, cs_slice expected);

#endif
