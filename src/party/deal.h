/*
 * The dealer of `signctl keygen`: fresh or imported keys, split between the client (party 1) and the enclave (party 2), as a
 * pair of share files in memory. All state is in the arena; no I/O. Source: docs/formats/share-file.md.
 */
#ifndef CS_PARTY_DEAL_H
#define CS_PARTY_DEAL_H

#include "base/bytes.h"
#include "codec/sharefile.h"
#include "secret/mem.h"

#define CS_DEAL_CLIENT 1u
#define CS_DEAL_SERVICE 2u
#define CS_DEAL_ACCOUNT_BYTES 640u /* at most, in one file, with the longest account id */

#define CS_DEAL_CALLER_BYTES 8192u /* at most, in the service's file */

typedef struct cs_deal cs_deal;

/* What the service's file has besides accounts, for the TEE service. Borrowed until cs_deal_new_tee has returned. */
typedef struct cs_deal_tee {
    bool root; /* a fresh sealing root */
    const cs_sharefile_caller *callers;
    size_t num_callers;
} cs_deal_tee;

/* cs_deal_new - fresh static keys; room for max_accounts. CS_E_NO_MEMORY (2 * CS_DEAL_ACCOUNT_BYTES each in the arena) | CS_E_ENTROPY. */
CS_MUST cs_err cs_deal_new(cs_deal **out, size_t max_accounts);
/* cs_deal_new_tee - the same; CS_E_RANGE: a caller that cannot be written. What the file's readers refuse, cs_deal_finish refuses. */
CS_MUST cs_err cs_deal_new_tee(cs_deal **out, size_t max_accounts, const cs_deal_tee *tee);
/* cs_deal_root_id - of the fresh root: public; NULL when there is none. */
const uint8_t *cs_deal_root_id(const cs_deal *d);
/*
 * cs_deal_add - one account: import32 (private key, big endian, secret) or NULL for a fresh key. out_pk33: its public key.
 * CS_E_SHARES_ACCOUNT (id, import out of range) | CS_E_SHARES_LIMIT (more than max_accounts) | CS_E_ENTROPY | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_deal_add(cs_deal *d, cs_slice account_id, const uint8_t *import32, uint8_t out_pk33[33]);
/*
 * cs_deal_finish - the two files, signed by publisher_seed32 (NULL: unsigned); slices are secret and live as long as d. Both
 * are loaded again as a reader would before they are given out: CS_E_SHARES_DUPLICATE (an account twice) and the like.
 */
CS_MUST cs_err cs_deal_finish(cs_deal *d, uint64_t generation, const uint8_t *publisher_seed32, cs_slice *out_client,
                              cs_slice *out_service);
void cs_deal_free(cs_deal *d);

/*
 * cs_deal_sign - the share file whose body stands in *file behind CS_SHAREFILE_HEADER_MAX free bytes: the header, signed by seed32
 * (NULL: unsigned), is put right in front of it. *out points into *file.
 */
CS_MUST cs_err cs_deal_sign(cs_slice *out, cs_buf *file, uint64_t generation, const uint8_t *seed32);

#endif
