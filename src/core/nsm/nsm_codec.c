#include "core/nsm/nsm_codec.h"

#include <string.h>

#include "codec/cbor.h"

cs_err cs_nsm_put_describe_pcr(cs_buf *out, unsigned index)
{
    if (index > 31) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_cbor_put_map(out, 1));
    CS_TRY(cs_cbor_put_text(out, "DescribePCR"));
    CS_TRY(cs_cbor_put_map(out, 1));
    CS_TRY(cs_cbor_put_text(out, "index"));
    return cs_cbor_put_uint(out, index);
}

static cs_err put_optional(cs_buf *out, const char *key, cs_slice v)
{
    CS_TRY(cs_cbor_put_text(out, key));
    return v.p == NULL ? cs_cbor_put_null(out) : cs_cbor_put_bytes(out, v);
}

cs_err cs_nsm_put_attestation(cs_buf *out, const cs_nsm_doc_args *args)
{
    if (args->nonce.len > CS_NSM_NONCE_MAX || args->public_key.len > CS_NSM_PUBLIC_KEY_MAX ||
        args->user_data.len > CS_NSM_USER_DATA_MAX) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_cbor_put_map(out, 1));
    CS_TRY(cs_cbor_put_text(out, "Attestation"));
    CS_TRY(cs_cbor_put_map(out, 3));
    /* deterministic order: by length of the key */
    CS_TRY(put_optional(out, "nonce", args->nonce));
    CS_TRY(put_optional(out, "user_data", args->user_data));
    return put_optional(out, "public_key", args->public_key);
}

/* Text into a fixed string; names of the module are short. */
static cs_err read_name(cs_cbor *c, char *name, size_t cap)
{
    cs_buf b = cs_buf_wrap(name, cap - 1);

    CS_TRY(cs_cbor_text_copy(c, &b));
    name[b.len] = '\0';
    return CS_OK;
}

/* The code of an error goes into logs: letters only. */
static void take_code(char *code, const char *name)
{
    size_t n = strlen(name);

    if (code == NULL || n >= CS_NSM_CODE_MAX ||
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != n) {
        return;
    }
    memcpy(code, name, n + 1);
}

#define NAME_MAX_LEN 40

/* The one-entry map {what: ...}; c is left at its value. The module's encoder is not bound to one form of lengths. */
static cs_err open_response(cs_cbor *c, cs_slice response, const char *what, char *code)
{
    char name[NAME_MAX_LEN];
    cs_cbor_iter it;

    if (code != NULL) {
        code[0] = '\0';
    }
    if (response.len > CS_NSM_RESPONSE_MAX || cs_cbor_check(response, CS_CBOR_INDEFINITE | CS_CBOR_LAX_INT) != CS_OK) {
        return CS_E_NSM;
    }
    *c = cs_cbor_of(response, CS_CBOR_INDEFINITE | CS_CBOR_LAX_INT);
    if (cs_cbor_map(c, &it) != CS_OK || !cs_cbor_more(c, &it) || read_name(c, name, sizeof name) != CS_OK) {
        return CS_E_NSM;
    }
    if (strcmp(name, "Error") == 0) {
        if (read_name(c, name, sizeof name) == CS_OK) {
            take_code(code, name);
        }
        return CS_E_NSM;
    }
    return strcmp(name, what) == 0 ? CS_OK : CS_E_NSM;
}

static cs_err read_pcr(cs_cbor *c, cs_nsm_pcr *out)
{
    cs_cbor_iter it;
    unsigned seen = 0;

    CS_TRY(cs_cbor_map(c, &it));
    while (cs_cbor_more(c, &it)) {
        char key[NAME_MAX_LEN];
        cs_buf b = cs_buf_wrap(out->value, sizeof out->value);

        CS_TRY(read_name(c, key, sizeof key));
        if (strcmp(key, "lock") == 0) {
            CS_TRY(cs_cbor_bool(c, &out->locked));
            seen |= 1;
        } else if (strcmp(key, "data") == 0) {
            CS_TRY(cs_cbor_bytes_copy(c, &b));
            if (b.len != sizeof out->value) {
                return CS_E_FORMAT;
            }
            seen |= 2;
        } else {
            return CS_E_FORMAT;
        }
    }
    return seen == 3 ? CS_OK : CS_E_FORMAT;
}

cs_err cs_nsm_read_pcr(cs_nsm_pcr *out, char code[CS_NSM_CODE_MAX], cs_slice response)
{
    cs_nsm_pcr pcr = {0};
    cs_cbor c;

    CS_TRY(open_response(&c, response, "DescribePCR", code));
    if (read_pcr(&c, &pcr) != CS_OK) {
        return CS_E_NSM;
    }
    *out = pcr;
    return CS_OK;
}

cs_err cs_nsm_read_document(cs_buf *out, char code[CS_NSM_CODE_MAX], cs_slice response)
{
    char key[NAME_MAX_LEN];
    cs_cbor c;
    cs_cbor_iter it;
    size_t before = out->len;
    cs_err err;

    CS_TRY(open_response(&c, response, "Attestation", code));
    if (cs_cbor_map(&c, &it) != CS_OK || !cs_cbor_more(&c, &it) || read_name(&c, key, sizeof key) != CS_OK ||
        strcmp(key, "document") != 0) {
        return CS_E_NSM;
    }
    err = cs_cbor_bytes_copy(&c, out);
    if (err == CS_OK && out->len == before) {
        return CS_E_NSM; /* an empty document */
    }
    return err == CS_E_FORMAT ? CS_E_NSM : err;
}
