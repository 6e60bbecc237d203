/* Requests of the NSM model. See nsm_model.h. */
#include "emulator/nsm_model.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "codec/cbor.h"

/* Names of the errors as NSM sends them. */
#define INVALID_ARGUMENT "InvalidArgument"
#define INVALID_INDEX "InvalidIndex"
#define READ_ONLY "ReadOnlyIndex"
#define INVALID_OPERATION "InvalidOperation"
#define TOO_LARGE "InputTooLarge"
#define INTERNAL "InternalError"

void cs_nsm_model_init(cs_nsm_model *m, const char *module_id, const cs_emu_cert *root)
{
    memset(m, 0, sizeof *m);
    snprintf(m->module_id, sizeof m->module_id, "%s", module_id);
    m->locked = 0xffff;
    m->root = root;
}

void cs_nsm_model_cleanup(cs_nsm_model *m)
{
    cs_emu_chain_cleanup(&m->chain);
}

/* The fields that any request may carry; present says which came. */
enum { F_INDEX = 1, F_RANGE = 2, F_DATA = 4, F_USER_DATA = 8, F_NONCE = 16, F_PUBLIC_KEY = 32 };

typedef struct fields {
    unsigned present;
    uint64_t index, range;
    cs_slice data, user_data, nonce, public_key;
} fields;

static cs_err bytes_or_null(cs_cbor *c, cs_slice *out)
{
    if (cs_cbor_peek(c) == CS_CBOR_SIMPLE) {
        *out = CS_SLICE_NULL;
        return cs_cbor_null(c);
    }
    CS_TRY(cs_cbor_bytes(c, out));
    if (out->p == NULL) {
        out->p = (const uint8_t *)""; /* empty, not null */
    }
    return CS_OK;
}

static cs_err parse_field(cs_cbor *c, fields *f)
{
    cs_slice key;
    unsigned bit;
    CS_TRY(cs_cbor_text(c, &key));
    if (cs_slice_eq_str(key, "index")) {
        bit = F_INDEX;
        CS_TRY(cs_cbor_uint(c, &f->index));
    } else if (cs_slice_eq_str(key, "range")) {
        bit = F_RANGE;
        CS_TRY(cs_cbor_uint(c, &f->range));
    } else if (cs_slice_eq_str(key, "data")) {
        bit = F_DATA;
        CS_TRY(cs_cbor_bytes(c, &f->data));
    } else if (cs_slice_eq_str(key, "user_data")) {
        bit = F_USER_DATA;
        CS_TRY(bytes_or_null(c, &f->user_data));
    } else if (cs_slice_eq_str(key, "nonce")) {
        bit = F_NONCE;
        CS_TRY(bytes_or_null(c, &f->nonce));
    } else if (cs_slice_eq_str(key, "public_key")) {
        bit = F_PUBLIC_KEY;
        CS_TRY(bytes_or_null(c, &f->public_key));
    } else {
        return CS_E_FORMAT;
    }
    if (f->present & bit) {
        return CS_E_FORMAT;
    }
    f->present |= bit;
    return CS_OK;
}

static const char *put_name_map(cs_buf *out, const char *name, uint64_t fields_num)
{
    bool ok = cs_cbor_put_map(out, 1) == CS_OK && cs_cbor_put_text(out, name) == CS_OK &&
              cs_cbor_put_map(out, fields_num) == CS_OK;
    return ok ? NULL : INTERNAL;
}

static const char *ok_or_internal(bool ok)
{
    return ok ? NULL : INTERNAL;
}

static const char *describe_pcr(cs_nsm_model *m, const fields *f, cs_buf *out)
{
    if (f->index >= CS_NSM_MAX_PCRS) {
        return INVALID_INDEX;
    }
    return ok_or_internal(put_name_map(out, "DescribePCR", 2) == NULL && cs_cbor_put_text(out, "data") == CS_OK &&
                          cs_cbor_put_bytes(out, cs_slice_of(m->pcr[f->index], CS_NSM_PCR_LEN)) == CS_OK &&
                          cs_cbor_put_text(out, "lock") == CS_OK &&
                          cs_cbor_put_bool(out, m->locked >> f->index & 1) == CS_OK);
}

static const char *extend_pcr(cs_nsm_model *m, const fields *f, cs_buf *out)
{
    uint8_t md[CS_NSM_PCR_LEN];
    unsigned len = 0;
    if (f->index >= CS_NSM_MAX_PCRS) {
        return INVALID_INDEX;
    }
    if (m->locked >> f->index & 1) {
        return READ_ONLY;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha384(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, m->pcr[f->index], CS_NSM_PCR_LEN) == 1 &&
              EVP_DigestUpdate(ctx, f->data.p, f->data.len) == 1 && EVP_DigestFinal_ex(ctx, md, &len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok) {
        return INTERNAL;
    }
    memcpy(m->pcr[f->index], md, sizeof md);
    return ok_or_internal(put_name_map(out, "ExtendPCR", 1) == NULL && cs_cbor_put_text(out, "data") == CS_OK &&
                          cs_cbor_put_bytes(out, cs_slice_of(md, sizeof md)) == CS_OK);
}

static const char *lock_pcr(cs_nsm_model *m, const fields *f, cs_buf *out)
{
    if (f->index >= CS_NSM_MAX_PCRS) {
        return INVALID_INDEX;
    }
    if (m->locked >> f->index & 1) {
        return READ_ONLY;
    }
    m->locked |= 1u << f->index;
    return ok_or_internal(cs_cbor_put_text(out, "LockPCR") == CS_OK);
}

static const char *lock_pcrs(cs_nsm_model *m, const fields *f, cs_buf *out)
{
    if (f->range > CS_NSM_MAX_PCRS) {
        return INVALID_INDEX;
    }
    m->locked |= f->range == 32 ? UINT32_MAX : (1u << f->range) - 1;
    return ok_or_internal(cs_cbor_put_text(out, "LockPCRs") == CS_OK);
}

static const char *describe_nsm(cs_nsm_model *m, const fields *f, cs_buf *out)
{
    uint64_t num = (uint64_t)__builtin_popcount(m->locked);
    bool ok = put_name_map(out, "DescribeNSM", 7) == NULL && cs_cbor_put_text(out, "digest") == CS_OK &&
              cs_cbor_put_text(out, "SHA384") == CS_OK && cs_cbor_put_text(out, "max_pcrs") == CS_OK &&
              cs_cbor_put_uint(out, CS_NSM_MAX_PCRS) == CS_OK && cs_cbor_put_text(out, "module_id") == CS_OK &&
              cs_cbor_put_text(out, m->module_id) == CS_OK && cs_cbor_put_text(out, "locked_pcrs") == CS_OK &&
              cs_cbor_put_array(out, num) == CS_OK;
    for (unsigned i = 0; i < CS_NSM_MAX_PCRS && ok; i++) {
        ok = !(m->locked >> i & 1) || cs_cbor_put_uint(out, i) == CS_OK;
    }
    ok = ok && cs_cbor_put_text(out, "version_major") == CS_OK && cs_cbor_put_uint(out, 1) == CS_OK &&
         cs_cbor_put_text(out, "version_minor") == CS_OK && cs_cbor_put_uint(out, 0) == CS_OK &&
         cs_cbor_put_text(out, "version_patch") == CS_OK && cs_cbor_put_uint(out, 0) == CS_OK;
    return ok_or_internal(ok);
}

static const char *get_random(cs_nsm_model *m, const fields *f, cs_buf *out)
{
    uint8_t r[256];
    return ok_or_internal(RAND_bytes(r, sizeof r) == 1 && put_name_map(out, "GetRandom", 1) == NULL &&
                          cs_cbor_put_text(out, "random") == CS_OK &&
                          cs_cbor_put_bytes(out, cs_slice_of(r, sizeof r)) == CS_OK);
}

static const char *attestation(cs_nsm_model *m, const fields *f, cs_buf *out)
{
    cs_buf doc = cs_buf_heap(CS_NSM_MAX_RESPONSE);
    cs_nsm_attest_fields a = {f->user_data, f->nonce, f->public_key};
    const char *refusal = NULL;
    if (f->user_data.len > CS_NSM_MAX_USER_DATA || f->nonce.len > CS_NSM_MAX_NONCE ||
        f->public_key.len > CS_NSM_MAX_PUBLIC_KEY) {
        return TOO_LARGE;
    }
    bool ok = cs_nsm_attest(&doc, m, &a) == CS_OK && put_name_map(out, "Attestation", 1) == NULL &&
              cs_cbor_put_text(out, "document") == CS_OK && cs_cbor_put_bytes(out, cs_buf_slice(&doc)) == CS_OK;
    refusal = ok ? NULL : INTERNAL;
    cs_buf_free(&doc);
    return refusal;
}

typedef struct operation {
    const char *name;
    bool unit; /* a bare text string */
    unsigned required, allowed;
    const char *(*run)(cs_nsm_model *m, const fields *f, cs_buf *out); /* NULL, or the error's name */
} operation;

static const operation operations[] = {
    {"DescribePCR", false, F_INDEX, F_INDEX, describe_pcr},
    {"ExtendPCR", false, F_INDEX | F_DATA, F_INDEX | F_DATA, extend_pcr},
    {"LockPCR", false, F_INDEX, F_INDEX, lock_pcr},
    {"LockPCRs", false, F_RANGE, F_RANGE, lock_pcrs},
    {"DescribeNSM", true, 0, 0, describe_nsm},
    {"Attestation", false, 0, F_USER_DATA | F_NONCE | F_PUBLIC_KEY, attestation},
    {"GetRandom", true, 0, 0, get_random},
};

static const operation *find(cs_slice name, bool unit)
{
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (operations[i].unit == unit && cs_slice_eq_str(name, operations[i].name)) {
            return &operations[i];
        }
    }
    return NULL;
}

static const char *dispatch(cs_nsm_model *m, cs_slice request, cs_buf *out)
{
    cs_cbor c = cs_cbor_of(request, CS_CBOR_STRICT);
    cs_cbor_iter outer, inner;
    cs_slice name = CS_SLICE_NULL;
    fields f = {0};
    bool unit = cs_cbor_peek(&c) == CS_CBOR_TEXT;
    if (!unit && (cs_cbor_map(&c, &outer) != CS_OK || outer.left != 1)) {
        return INVALID_OPERATION;
    }
    if (cs_cbor_text(&c, &name) != CS_OK) {
        return INVALID_OPERATION;
    }
    const operation *op = find(name, unit);
    if (op == NULL) {
        return INVALID_OPERATION;
    }
    if (!unit) {
        if (cs_cbor_map(&c, &inner) != CS_OK) {
            return INVALID_ARGUMENT;
        }
        while (cs_cbor_more(&c, &inner)) {
            if (parse_field(&c, &f) != CS_OK) {
                return INVALID_ARGUMENT;
            }
        }
    }
    if (cs_cbor_end(&c) != CS_OK || (f.present & op->required) != op->required || (f.present & ~op->allowed) != 0) {
        return INVALID_ARGUMENT;
    }
    return op->run(m, &f, out);
}

cs_err cs_nsm_model_handle(cs_nsm_model *m, cs_slice request, cs_buf *response)
{
    const char *error = request.len > CS_NSM_MAX_REQUEST ? TOO_LARGE : dispatch(m, request, response);
    if (error == NULL) {
        return CS_OK;
    }
    response->len = 0;
    CS_TRY(cs_cbor_put_map(response, 1));
    CS_TRY(cs_cbor_put_text(response, "Error"));
    return cs_cbor_put_text(response, error);
}
