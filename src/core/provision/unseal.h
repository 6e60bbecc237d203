/* From KMS's answer and the sealed share file to a share set. Intermediates are wiped on every way out. */
#ifndef CS_CORE_UNSEAL_H
#define CS_CORE_UNSEAL_H

#include "core/provision/rsa.h"
#include "secret/share/share.h"

typedef struct cs_unseal_args {
    EVP_PKEY *rsa;
    cs_slice envelope; /* CiphertextForRecipient, untrusted */
    cs_slice file;     /* the age file of the shares, untrusted */
    const cs_share_policy *policy;
} cs_unseal_args;

/*
 * cs_unseal - CMS -> age identity file -> age -> signature, publisher, generation, hash -> set. *what (static text, no value) says
 * more about a malformed file, else "". Returns the errors of cs_cms_open, cs_age_identity_file, cs_age_dec_push and
 * cs_share_load; CS_E_SHARES_LIMIT when the arena is full.
 */
CS_MUST cs_err cs_unseal(cs_share_set **out, const char **what, const cs_unseal_args *args);

#endif
