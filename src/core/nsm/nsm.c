#include "core/nsm/nsm.h"

#include "base/log.h"

cs_err cs_nsm_pcr_of(const cs_nsm *nsm, unsigned index, cs_nsm_pcr *out)
{
    uint8_t req[64], resp[512];
    char code[CS_NSM_CODE_MAX] = "";
    cs_buf q = cs_buf_wrap(req, sizeof req), r = cs_buf_wrap(resp, sizeof resp);
    cs_err err = cs_nsm_put_describe_pcr(&q, index);

    if (err == CS_OK) {
        err = nsm->call(nsm->ctx, cs_buf_slice(&q), &r);
    }
    if (err == CS_OK) {
        err = cs_nsm_read_pcr(out, code, cs_buf_slice(&r));
    }
    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "nsm", err, CS_LC("request", "DescribePCR"), CS_LC("nsm_code", code));
    }
    return err;
}

cs_err cs_nsm_document(const cs_nsm *nsm, cs_buf *out, const cs_nsm_doc_args *args)
{
    static uint8_t req[CS_NSM_REQUEST_MAX], resp[CS_NSM_RESPONSE_MAX]; /* public; one thread */
    char code[CS_NSM_CODE_MAX] = "";
    cs_buf q = cs_buf_wrap(req, sizeof req), r = cs_buf_wrap(resp, sizeof resp);
    cs_err err = cs_nsm_put_attestation(&q, args);

    if (err == CS_OK) {
        err = nsm->call(nsm->ctx, cs_buf_slice(&q), &r);
    }
    if (err == CS_OK) {
        err = cs_nsm_read_document(out, code, cs_buf_slice(&r));
    }
    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "nsm", err, CS_LC("request", "Attestation"), CS_LC("nsm_code", code));
    }
    return err;
}
