/* Suite mpc-model: values of its JSON files. */
#include <string.h>

#include "mpc_model.h"

unsigned cs_mm_u(const json_t *obj, const char *key)
{
    return (unsigned)json_integer_value(json_object_get(obj, key));
}

bool cs_mm_fixed_text(uint8_t *out, size_t len, const json_t *str)
{
    cs_buf b = {0};
    memset(out, 0, len);
    bool ok = json_is_string(str) && cs_suite_hex_text(json_string_value(str), &b) == CS_OK && b.len == len;
    if (ok) {
        memcpy(out, b.p, len);
    }
    cs_buf_free(&b);
    return ok;
}

bool cs_mm_fixed(uint8_t *out, size_t len, const json_t *obj, const char *key)
{
    return cs_mm_fixed_text(out, len, json_object_get(obj, key));
}

bool cs_mm_same_text(const json_t *str, cs_slice got)
{
    cs_buf b = {0};
    bool ok = json_is_string(str) && cs_suite_hex_text(json_string_value(str), &b) == CS_OK &&
              cs_slice_eq(cs_buf_slice(&b), got);
    cs_buf_free(&b);
    return ok;
}

bool cs_mm_same(const json_t *obj, const char *key, cs_slice got)
{
    return cs_mm_same_text(json_object_get(obj, key), got);
}

size_t cs_mm_path(uint32_t out[CS_MPC_MAX_PATH], const json_t *array)
{
    size_t n = json_array_size(array) < CS_MPC_MAX_PATH ? json_array_size(array) : CS_MPC_MAX_PATH;
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint32_t)json_integer_value(json_array_get(array, i));
    }
    return n;
}

bool cs_mm_key(cs_mpc_key *out, cs_mpc_parties *parties, const json_t *share)
{
    uint8_t pk[33], cc[32], sk[32], zero[32 * CS_MPC_MAX_PARTIES];
    char name[8];
    bool ok = true;
    size_t at = 0;
    memset(parties, 0, sizeof *parties);
    parties->n = (uint16_t)cs_mm_u(share, "n");
    parties->t = (uint16_t)cs_mm_u(share, "t");
    cs_mpc_key_args a = {.parties = parties,
                         .epoch = cs_mm_u(share, "epoch"),
                         .index = (uint16_t)cs_mm_u(share, "id"),
                         .pk33 = pk,
                         .cc32 = cc,
                         .s32 = sk,
                         .zero = zero};
    if (parties->n > CS_MPC_MAX_PARTIES) {
        return false;
    }
    for (unsigned i = 1; i <= parties->n; i++) {
        (void)snprintf(name, sizeof name, "%u", i);
        ok = cs_mm_fixed(parties->idkey[i - 1], 32, json_object_get(share, "idkeys"), name) && ok;
        if (i != a.index) {
            ok = cs_mm_fixed(zero + 32 * at++, 32, json_object_get(share, "zero"), name) && ok;
        }
    }
    ok = cs_mm_fixed(pk, 33, share, "pk") && cs_mm_fixed(cc, 32, share, "cc") && cs_mm_fixed(sk, 32, share, "s") && ok;
    return ok && cs_mpc_key_init(out, &a) == CS_OK;
}
