#include "party/api_att.h"

#include <openssl/pem.h>
#include <string.h>

countersign_error cs_api_error(cs_err e)
{
    return (countersign_error){cs_err_code(e), cs_err_cause(e), cs_err_fix(e), cs_err_retry(e)};
}

int cs_api_result(countersign_error *err, cs_err e)
{
    if (err != NULL) {
        *err = cs_api_error(e);
    }
    return e == CS_OK ? 0 : -1;
}

static cs_err set_policy(cs_api_att *a, const cs_api_images *images)
{
    cs_att_tuple tuple = {0};

    for (size_t i = 0; i < images->num_pcrs; i++) {
        CS_TRY(cs_att_tuple_set_text(&tuple, cs_slice_str(images->pcrs[i])));
    }
    if (images->num_pcrs > 0) {
        CS_TRY(cs_att_policy_add(&a->policy, &tuple));
    }
    for (size_t i = 0; i < images->num_allowed; i++) {
        CS_TRY(cs_att_tuple_parse(&tuple, cs_slice_str(images->allowed[i])));
        CS_TRY(cs_att_policy_add(&a->policy, &tuple));
    }
    if (a->policy.num_tuples == 0 && !images->any_pcrs) {
        return CS_E_ATT_NO_POLICY;
    }
    a->options.allow_debug = images->allow_debug != 0;
    a->options.any_pcrs = a->policy.num_tuples == 0;
    a->options.policy = a->policy.num_tuples > 0 ? &a->policy : NULL;
    return CS_OK;
}

static cs_err set_root(cs_api_att *a, const char *pem)
{
    BIO *bio = pem != NULL ? BIO_new_mem_buf(pem, -1) : NULL;
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    uint8_t *der = NULL;
    int len = cert != NULL ? i2d_X509(cert, &der) : 0;
    bool ok = pem == NULL || (len > 0 && len <= CS_API_ROOT_MAX);

    if (ok && len > 0) {
        memcpy(a->root_der, der, (size_t)len);
        a->options.root_der = cs_slice_of(a->root_der, (size_t)len);
    }
    OPENSSL_free(der);
    X509_free(cert);
    BIO_free(bio);
    return ok ? CS_OK : CS_E_CONFIG;
}

cs_err cs_api_att_init(cs_api_att *out, const cs_api_images *images)
{
    *out = (cs_api_att){0};
    CS_TRY(set_policy(out, images));
    return set_root(out, images->root_pem);
}
