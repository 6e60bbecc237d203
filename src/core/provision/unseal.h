/*
 * From KMS's answer and the sealed share file to a share set, in slices of a few milliseconds, so that a core that serves goes on
 * serving. The file is decrypted twice: first to check the signature over the whole, then to parse, account by account; its
 * plaintext never exists as a whole. Intermediates are wiped on every way out.
 */
#ifndef CS_CORE_UNSEAL_H
#define CS_CORE_UNSEAL_H

#include "core/provision/rsa.h"
#include "core/provision/staging.h"
#include "secret/share/share.h"

/* Bytes of the file in one slice of the first pass; the second takes a quarter. 2 to 4 ms. */
#define CS_UNSEAL_SLICE ((size_t)1 << 20)

typedef struct cs_unseal_args {
    EVP_PKEY *rsa;     /* only during cs_unseal_new */
    cs_slice envelope; /* CiphertextForRecipient, untrusted; only during cs_unseal_new */
    cs_staging
        *file; /* the age file of the shares, untrusted; borrowed until the end, and emptied by the second pass */
    cs_share_policy policy; /* publishers: borrowed until the end */
} cs_unseal_args;

typedef struct cs_unseal cs_unseal;

/* cs_unseal_new - CMS -> age identity file. Errors of cs_cms_open and cs_age_identity_file; CS_E_SHARES_LIMIT (arena full). */
CS_MUST cs_err cs_unseal_new(cs_unseal **out, const cs_unseal_args *args);
/*
 * cs_unseal_step - one slice. *set is the set (transferred) when it is complete, else NULL: go on. An error is the end.
 * Errors of cs_age_dec_push and cs_share_load; CS_E_SHARES_LIMIT when the arena is full.
 */
CS_MUST cs_err cs_unseal_step(cs_unseal *u, cs_share_set **set);
/* cs_unseal_what - static text, no value: more about a malformed file, else "". */
const char *cs_unseal_what(const cs_unseal *u);
/* cs_unseal_progress - bytes of the file done in this pass (1: check, 2: parse) and how many there are. */
size_t cs_unseal_progress(const cs_unseal *u, unsigned *out_pass, size_t *out_total);
/* cs_unseal_cpu_ns - thread time of a pass (1, 2) so far. */
uint64_t cs_unseal_cpu_ns(const cs_unseal *u, unsigned pass);
/* cs_unseal_free - at any time; NULL is fine. */
void cs_unseal_free(cs_unseal *u);

#endif
