/* The pure parts of a call: frames of sign-core and KMS's clock. See call.h. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "kms/call.h"

#define RANDOM_BYTES 32

cs_err cs_kms_parse_date(cs_slice text, uint64_t *out_ms)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char rfc[24];
    if (text.len != 29 || memcmp(text.p + 25, " GMT", 4) != 0) {
        return CS_E_FORMAT;
    }
    int month = 0;
    while (month < 12 && memcmp(text.p + 8, months + (size_t)(3 * month), 3) != 0) {
        month++;
    }
    if (month == 12) {
        return CS_E_FORMAT;
    }
    snprintf(rfc, sizeof rfc, "%.4s-%02d-%.2sT%.8sZ", (const char *)text.p + 12, month + 1, (const char *)text.p + 5,
             (const char *)text.p + 17);
    return cs_parse_rfc3339(cs_slice_str(rfc), out_ms);
}

bool cs_kms_try_again(cs_err e, unsigned tries, uint64_t elapsed_ms)
{
    bool may_pass = e == CS_E_KMS_THROTTLED || e == CS_E_KMS_UNAVAILABLE || e == CS_E_CONNECT || e == CS_E_CLOSED ||
                    e == CS_E_TIMEOUT || e == CS_E_IO;
    return may_pass && tries < CS_KMS_TRIES && elapsed_ms < CS_KMS_LAST_TRY_MS;
}

cs_err cs_kms_params_of(cs_kms_params *out, const cs_kms_config *config, const cs_rpc_frame *f)
{
    static const struct {
        uint64_t op;
        cs_kms_action action;
    } rows[] = {{CS_KMS_DECRYPT, CS_KMS_ACT_DECRYPT},
                {CS_KMS_GENERATE_DATA_KEY, CS_KMS_ACT_GENERATE_DATA_KEY},
                {CS_KMS_GENERATE_RANDOM, CS_KMS_ACT_GENERATE_RANDOM}};
    size_t i = 0;
    while (i < 3 && rows[i].op != f->f[0].u) {
        i++;
    }
    if (i == 3) {
        return CS_E_UNSUPPORTED;
    }
    if (rows[i].action != CS_KMS_ACT_GENERATE_RANDOM && !cs_kms_config_allows(config, f->f[1].s)) {
        return CS_E_KMS_KEY_LIST;
    }
    *out = (cs_kms_params){.action = rows[i].action,
                           .key_id = f->f[1].s,
                           .ciphertext = f->f[2].s,
                           .document = f->f[3].s,
                           .num_bytes = RANDOM_BYTES,
                           .num_context = f->f[4].m.num};
    for (size_t n = 0; n < out->num_context; n++) {
        out->context_key[n] = f->f[4].m.key[n];
        out->context_value[n] = f->f[4].m.value[n];
    }
    return CS_OK;
}

cs_err cs_kms_put_reply(cs_buf *out, uint64_t id, const cs_kms_outcome *o)
{
    cs_rpc_frame f = {.type = CS_RPC_KMS_REPLY, .id = id};
    bool ok = o->err == CS_OK;
    f.f[0].s = cs_slice_str(cs_err_code(o->err));
    f.f[1].s = cs_slice_str(o->answer.type);
    f.f[2].u = (uint64_t)o->status;
    f.f[3].s = ok ? cs_slice_str(o->answer.key_id) : CS_SLICE_NULL;
    f.f[4].s = ok ? cs_slice_of(o->answer.for_recipient, o->answer.for_recipient_len) : CS_SLICE_NULL;
    f.f[5].s = ok ? cs_slice_of(o->answer.ciphertext, o->answer.ciphertext_len) : CS_SLICE_NULL;
    return cs_rpc_encode(out, &f);
}
