/*
 * Share files with other sealing roots and callers: what stands in a file is written again, one entry at a time, with what is to be
 * added, replaced and left out. Bytes in, bytes out, all of it in the arena.
 */
#ifndef CS_TOOLS_SHARES_EDIT_H
#define CS_TOOLS_SHARES_EDIT_H

#include "codec/sharefile.h"

typedef struct cs_shares_edit {
    bool add_root;      /* a fresh one, in front: it seals from now on */
    bool add_root_last; /* a fresh one, behind the others: it opens what another enclave may seal with it later */
    const uint8_t *first_root; /* 4 bytes: the root of this id is to be the first; NULL: the order stays */
    const uint8_t (*remove_root)[4];
    size_t num_remove_root;
    const cs_sharefile_caller *caller; /* each is added, or takes the place of the one with its id */
    size_t num_caller;
    const cs_slice *remove_caller;
    size_t num_remove_caller;
} cs_shares_edit;

/*
 * cs_shares_edit_apply - a new body in *out: arena memory of the callee, behind CS_SHAREFILE_HEADER_MAX free bytes, as cs_deal_sign
 * takes it; cs_secret_buf_free. body: of a file that was verified (cs_share_load), or empty for a new one. fault may be NULL.
 * CS_E_NOT_FOUND (a root or caller that is named is not there) | CS_E_SHARES_LIMIT (more roots or callers than may be) | CS_E_RANGE
 * (neither parties nor roots are left) | CS_E_ENTROPY | CS_E_NO_MEMORY | errors of cs_sharefile_parse. What only a reader finds
 * (callers with one key) is found by loading the outcome.
 */
CS_MUST cs_err cs_shares_edit_apply(cs_buf *out, cs_sharefile_fault *fault, cs_slice body, const cs_shares_edit *e);

#endif
