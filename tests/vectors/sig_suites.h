/* Parts of the signatures suite. Each counts the cases of one file. */
#ifndef CS_TESTS_SIG_SUITES_H
#define CS_TESTS_SIG_SUITES_H

#include "suite.h"

/* cs_sig_fixed - exactly len bytes of hex; false otherwise. */
bool cs_sig_fixed(uint8_t *out, size_t len, const char *hex);
void cs_sig_nist(cs_suite *s, const char *path, char *text);
void cs_sig_k1(cs_suite *s, const char *path, const json_t *root);
/* cs_sig_rfc6979 - nonces (k0, k1, k15) and signatures of nested objects with a key, a message, k, r and s. */
void cs_sig_rfc6979(cs_suite *s, const char *path, const json_t *root);

#endif
