#include "tee/rows.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/countersign.pb-c.h"

#define PATH "/countersign.v1.Tee/Records"
#define MESSAGE_MAX (1024u * 1024u)

/* ---------------------------------------------------------------- the request */

static cs_err pack(cs_buf *out, const cs_tee_page_ask *ask)
{
    Countersign__V1__TeeRecordsRequest m = COUNTERSIGN__V1__TEE_RECORDS_REQUEST__INIT;
    char after[CS_TEE_AFTER_MAX], kms_key[CS_TEE_KMS_KEY_MAX + 1], not_kms_key[CS_TEE_KMS_KEY_MAX + 1];
    cs_slice texts[] = {ask->after, ask->kms_key, ask->not_kms_key};
    char *to[] = {after, kms_key, not_kms_key};
    const size_t room[] = {sizeof after, sizeof kms_key, sizeof not_kms_key};
    uint8_t *p = NULL;

    for (size_t i = 0; i < sizeof to / sizeof *to; i++) {
        if (texts[i].len >= room[i]) {
            return CS_E_RANGE;
        }
        if (texts[i].len > 0) {
            memcpy(to[i], texts[i].p, texts[i].len);
        }
        to[i][texts[i].len] = '\0';
    }
    m.after = after;
    m.limit = ask->limit;
    m.count = ask->limit == 0;
    m.kms_key_id = kms_key;
    m.not_kms_key_id = not_kms_key;
    m.data_key_ciphertext = (ProtobufCBinaryData){ask->data_key.len, (uint8_t *)(uintptr_t)ask->data_key.p};
    m.older_than_ms = ask->changed_before_ms;
    CS_TRY(cs_put_space(out, &p, countersign__v1__tee_records_request__get_packed_size(&m)));
    (void)countersign__v1__tee_records_request__pack(&m, p);
    return CS_OK;
}

/* ---------------------------------------------------------------- the reply */

static cs_err hash(uint8_t out32[32], cs_slice data_key)
{
    return EVP_Digest(data_key.p, data_key.len, out32, NULL, EVP_sha256(), NULL) == 1 ? CS_OK : CS_E_INTERNAL;
}

/* before: the row before, whose keys an empty data key repeats; NULL: there is none. */
static cs_err row_of(cs_tee_page_row *out, const Countersign__V1__TeeRecord *m, const cs_tee_page_row *before)
{
    const cs_slice data_key = cs_slice_of(m->data_key_ciphertext.data, m->data_key_ciphertext.len);
    cs_tee_alg alg = CS_TEE_DATA;

    *out = (cs_tee_page_row){.record = cs_slice_str(m->record),
                             .kms_key = cs_slice_str(m->kms_key_id),
                             .version = m->version,
                             .changed_ms = m->updated_ms,
                             .public_key = cs_slice_of(m->public_key.data, m->public_key.len)};
    if (!cs_tee_record_valid(out->record) || m->version == 0 || out->kms_key.len > CS_TEE_KMS_KEY_MAX ||
        (data_key.len == 0 && (before == NULL || out->kms_key.len > 0)) ||
        cs_tee_alg_of(cs_slice_str(m->algorithm), &alg) != CS_OK) {
        return CS_E_FORMAT;
    }
    out->alg = (uint64_t)alg;
    if (data_key.len > 0) {
        return hash(out->data_key_hash32, data_key);
    }
    out->kms_key = before->kms_key;
    memcpy(out->data_key_hash32, before->data_key_hash32, sizeof out->data_key_hash32);
    return CS_OK;
}

static cs_err rows_of(cs_tee_page *out, const Countersign__V1__TeeRecordsReply *m, uint32_t limit)
{
    cs_tee_page_row *rows;

    if (m->n_records > limit || strlen(m->next) >= CS_TEE_AFTER_MAX) {
        return CS_E_FORMAT;
    }
    rows = calloc(m->n_records + 1, sizeof *rows);
    out->rows = rows;
    if (rows == NULL) {
        return CS_E_NO_MEMORY;
    }
    for (size_t i = 0; i < m->n_records; i++) {
        CS_TRY(row_of(&rows[i], m->records[i], i > 0 ? &rows[i - 1] : NULL));
    }
    out->num_rows = m->n_records;
    out->next = cs_slice_str(m->next);
    out->now_ms = m->now_ms;
    out->matching = m->matching;
    return CS_OK;
}

cs_err cs_tee_page_read(cs_tee_page *out, cs_slice message, uint32_t limit)
{
    Countersign__V1__TeeRecordsReply *m = countersign__v1__tee_records_reply__unpack(NULL, message.len, message.p);
    cs_err err;

    *out = (cs_tee_page){.message = m};
    if (m == NULL) {
        return CS_E_FORMAT;
    }
    err = rows_of(out, m, limit);
    if (err != CS_OK) {
        cs_tee_page_free(out);
    }
    return err;
}

void cs_tee_page_free(cs_tee_page *page)
{
    free((void *)(uintptr_t)page->rows);
    if (page->message != NULL) {
        countersign__v1__tee_records_reply__free_unpacked(page->message, NULL);
    }
    *page = (cs_tee_page){0};
}

cs_err cs_tee_page_get(cs_tee_link *l, cs_tee_page *out, const cs_tee_page_ask *ask, const cs_tee_patience *p)
{
    const uint64_t deadline = cs_clock_mono_ms() + p->timeout_ms;
    cs_buf request = cs_buf_heap(MESSAGE_MAX), answer = cs_buf_heap(MESSAGE_MAX);
    cs_err err = ask->limit > CS_TEE_PAGE_MAX ? CS_E_RANGE : pack(&request, ask);
    cs_tee_post post = {.path = PATH, .request = cs_buf_slice(&request)};

    for (unsigned attempt = 1; err == CS_OK; attempt++) {
        uint64_t now = cs_clock_mono_ms(), left = deadline > now ? deadline - now : 1;
        answer.len = 0;
        post.timeout_ms = left < p->attempt_ms ? (uint32_t)left : p->attempt_ms;
        err = cs_tee_link_call(l, &answer, &post);
        if (err == CS_OK || !cs_err_retry(err) || attempt > p->retries || !cs_tee_wait(err, attempt + 1, deadline)) {
            break;
        }
        err = CS_OK;
    }
    if (err == CS_OK) {
        err = cs_tee_page_read(out, cs_buf_slice(&answer), ask->limit);
    }
    cs_buf_free(&request);
    cs_buf_free(&answer);
    return err;
}
