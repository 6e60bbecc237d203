/* Pages of the gateway's list of records (countersign.v1.Tee/Records): what there is to rotate. The gateway's word only: nothing is attested. */
#ifndef CS_TEE_ROWS_H
#define CS_TEE_ROWS_H

#include "tee/retry.h"

#define CS_TEE_PAGE_MAX 256u
#define CS_TEE_AFTER_MAX 16384u

/* Which rows; members that are empty or 0 are no condition. Slices borrow. */
typedef struct cs_tee_page_ask {
    cs_slice after; /* cs_tee_page.next of the page before */
    uint32_t limit; /* 1..CS_TEE_PAGE_MAX; 0: only `matching` */
    cs_slice kms_key, not_kms_key, data_key;
    uint64_t changed_before_ms;
} cs_tee_page_ask;

typedef struct cs_tee_page_row {
    cs_slice record, kms_key;
    uint64_t version, alg, changed_ms;
    uint8_t data_key_hash32[32];
    cs_slice public_key;
} cs_tee_page_row;

/* Valid until cs_tee_page_free; the zero state is empty. */
typedef struct cs_tee_page {
    const cs_tee_page_row *rows;
    size_t num_rows;
    cs_slice next; /* empty: the last page */
    uint64_t now_ms, matching;
    void *message; /* internal */
} cs_tee_page;

/*
 * cs_tee_page_get - one page, asked for again after what may pass. CS_E_FORMAT (what came is no page of at most limit valid records) | CS_E_NO_MEMORY |
 * errors of cs_tee_link_call.
 */
CS_MUST cs_err cs_tee_page_get(cs_tee_link *l, cs_tee_page *out, const cs_tee_page_ask *ask, const cs_tee_patience *p);
/* cs_tee_page_read - a TeeRecordsReply (untrusted). Errors as above, of the message only. */
CS_MUST cs_err cs_tee_page_read(cs_tee_page *out, cs_slice message, uint32_t limit);
void cs_tee_page_free(cs_tee_page *page);

#endif
