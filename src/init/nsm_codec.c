#include "init/nsm_codec.h"

#include <string.h>

#include "codec/cbor.h"

#define LAX (CS_CBOR_INDEFINITE | CS_CBOR_LAX_INT) /* the module's encoder is not bound to one form */
#define NAME_MAX_LEN 40

cs_err cs_init_put_get_random(cs_buf *out)
{
    return cs_cbor_put_text(out, "GetRandom");
}

cs_err cs_init_put_describe_pcr(cs_buf *out, unsigned index)
{
    size_t before = out->len;
    cs_err err = index > 31 ? CS_E_RANGE : cs_cbor_put_map(out, 1);

    if (err == CS_OK) {
        err = cs_cbor_put_text(out, "DescribePCR");
    }
    if (err == CS_OK) {
        err = cs_cbor_put_map(out, 1);
    }
    if (err == CS_OK) {
        err = cs_cbor_put_text(out, "index");
    }
    if (err == CS_OK) {
        err = cs_cbor_put_uint(out, index);
    }
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

static bool next_is(cs_cbor *c, const char *name)
{
    char mem[NAME_MAX_LEN];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    return cs_cbor_text_copy(c, &b) == CS_OK && cs_slice_eq_str(cs_buf_slice(&b), name);
}

/* The one-entry map {what: {...}}; c is left in the inner map. */
static bool open_response(cs_cbor *c, cs_cbor_iter *it, cs_slice response, const char *what)
{
    cs_cbor_iter outer;

    if (response.len > CS_INIT_NSM_RESPONSE_MAX || cs_cbor_check(response, LAX) != CS_OK) {
        return false;
    }
    *c = cs_cbor_of(response, LAX);
    return cs_cbor_map(c, &outer) == CS_OK && cs_cbor_more(c, &outer) && next_is(c, what) &&
           cs_cbor_map(c, it) == CS_OK;
}

static bool all_the_same(const uint8_t *p, size_t len)
{
    for (size_t i = 1; i < len; i++) {
        if (p[i] != p[0]) {
            return false;
        }
    }
    return len > 1;
}

cs_err cs_init_read_random(cs_buf *out, cs_slice response)
{
    size_t before = out->len;
    cs_cbor_iter it;
    cs_cbor c;

    if (!open_response(&c, &it, response, "GetRandom") || !cs_cbor_more(&c, &it) || !next_is(&c, "random")) {
        return CS_E_NSM;
    }
    cs_err err = cs_cbor_bytes_copy(&c, out);
    size_t len = out->len - before;
    if (err == CS_OK && (len > CS_INIT_NSM_RANDOM_MAX || cs_cbor_more(&c, &it))) {
        err = CS_E_NSM;
    } else if (err == CS_OK && (len == 0 || all_the_same(out->p + before, len))) {
        err = CS_E_ENTROPY;
    } else if (err == CS_E_FORMAT) {
        err = CS_E_NSM;
    }
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

cs_err cs_init_read_pcr(uint8_t out[CS_INIT_PCR_BYTES], cs_slice response)
{
    uint8_t value[CS_INIT_PCR_BYTES];
    bool have_lock = false, have_data = false, locked;
    cs_cbor_iter it;
    cs_cbor c;

    if (!open_response(&c, &it, response, "DescribePCR")) {
        return CS_E_NSM;
    }
    while (cs_cbor_more(&c, &it)) {
        cs_buf b = cs_buf_wrap(value, sizeof value);
        cs_cbor before = c;

        if (!have_lock && next_is(&c, "lock")) {
            have_lock = cs_cbor_bool(&c, &locked) == CS_OK;
        } else {
            c = before;
            have_data =
                !have_data && next_is(&c, "data") && cs_cbor_bytes_copy(&c, &b) == CS_OK && b.len == sizeof value;
            if (!have_data) {
                return CS_E_NSM;
            }
        }
        if (!have_lock && !have_data) {
            return CS_E_NSM;
        }
    }
    if (!have_lock || !have_data) {
        return CS_E_NSM;
    }
    memcpy(out, value, sizeof value);
    return CS_OK;
}
