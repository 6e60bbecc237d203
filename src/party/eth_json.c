#include "party/eth_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define MAX_BYTES (128u * 1024u)

static cs_err bad(cs_eth_tx_file *f, const char *field, const char *why)
{
    (void)snprintf(f->bad, sizeof f->bad, "%s: %s", field, why);
    return CS_E_FORMAT;
}

static cs_slice text_of(const json_t *v)
{
    return cs_slice_of(json_string_value(v), json_string_length(v));
}

static cs_err get_number(cs_eth_tx_file *f, cs_u256 *out, const json_t *object, const char *field, bool required)
{
    const json_t *v = json_object_get(object, field);
    memset(out, 0, sizeof *out);
    if (v == NULL) {
        return required ? bad(f, field, "missing") : CS_OK;
    }
    if (json_is_integer(v) && json_integer_value(v) >= 0) {
        cs_u256_from_u64(out, (uint64_t)json_integer_value(v));
        return CS_OK;
    }
    if (!json_is_string(v)) {
        return bad(f, field, "not a number from 0 or a string of one");
    }
    cs_err err = cs_u256_parse(out, text_of(v));
    if (err != CS_OK) {
        return bad(f, field, err == CS_E_RANGE ? "above 2^256 - 1" : "neither decimal nor 0x hex");
    }
    return CS_OK;
}

static cs_err fits_u64(cs_eth_tx_file *f, const cs_u256 *v, const char *field)
{
    uint64_t n = 0;
    return cs_u256_u64(&n, v) == CS_OK ? CS_OK : bad(f, field, "above 2^64 - 1");
}

/* "0x" and whole bytes, appended to f->bytes; exact_len 0: any */
static cs_err get_bytes(cs_eth_tx_file *f, const json_t *v, const char *field, size_t exact_len)
{
    cs_slice t = json_is_string(v) ? text_of(v) : CS_SLICE_NULL;
    uint8_t *at = NULL;
    if (t.len < 2 || t.len % 2 != 0 || t.p[0] != '0' || t.p[1] != 'x' ||
        (exact_len > 0 && t.len != 2 + 2 * exact_len)) {
        return bad(f, field, "not 0x and whole bytes of hex of the right length");
    }
    size_t len = t.len / 2 - 1;
    if (len == 0) {
        return CS_OK;
    }
    cs_err err = cs_put_space(&f->bytes, &at, len);
    if (err != CS_OK) {
        return err == CS_E_RANGE ? bad(f, field, "too long") : err;
    }
    return cs_hex_decode(at, len, cs_slice_of(t.p + 2, 2 * len)) == CS_OK ? CS_OK : bad(f, field, "not hex");
}

static cs_err get_to(cs_eth_tx_file *f, const json_t *object)
{
    const json_t *v = json_object_get(object, "to");
    if (v == NULL) {
        return bad(f, "to", "missing (null creates a contract)");
    }
    if (json_is_null(v)) {
        return CS_OK;
    }
    if (!json_is_string(v) || cs_eth_address_parse(&f->tx.to, text_of(v)) != CS_OK) {
        return bad(f, "to", "not an address, or its checksum is wrong");
    }
    f->tx.has_to = true;
    return CS_OK;
}

static cs_err access_entry(cs_eth_tx_file *f, cs_eth_access *out, const json_t *entry)
{
    const json_t *address = json_object_get(entry, "address"), *keys = json_object_get(entry, "storageKeys");
    if (json_object_size(entry) != 2 || !json_is_string(address) || !json_is_array(keys) ||
        cs_eth_address_parse(&out->address, text_of(address)) != CS_OK) {
        return bad(f, "accessList", "entries are {address, storageKeys}");
    }
    for (size_t k = 0; k < json_array_size(keys); k++) {
        CS_TRY(get_bytes(f, json_array_get(keys, k), "accessList.storageKeys", 32));
    }
    out->keys.len = 32 * json_array_size(keys);
    return CS_OK;
}

static cs_err get_blobs(cs_eth_tx_file *f, const json_t *object)
{
    const json_t *list = json_object_get(object, "blobVersionedHashes");
    if (!json_is_array(list)) {
        return bad(f, "blobVersionedHashes", "not an array");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        CS_TRY(get_bytes(f, json_array_get(list, i), "blobVersionedHashes", 32));
    }
    return CS_OK;
}

static cs_err get_access(cs_eth_tx_file *f, const json_t *object)
{
    const json_t *list = json_object_get(object, "accessList");
    size_t n = json_array_size(list), data_len = f->bytes.len;
    if (list != NULL && !json_is_array(list)) {
        return bad(f, "accessList", "not an array");
    }
    if (n > 0) {
        f->access = calloc(n, sizeof *f->access);
        if (f->access == NULL) {
            return CS_E_NO_MEMORY;
        }
    }
    for (size_t i = 0; i < n; i++) {
        CS_TRY(access_entry(f, &f->access[i], json_array_get(list, i)));
    }
    size_t blobs_at = f->bytes.len;
    if (f->tx.type == CS_ETH_4844) {
        CS_TRY(get_blobs(f, object));
    }
    /* the buffer does not move any more: now the slices can point into it */
    if (f->bytes.len > blobs_at) {
        f->tx.blob_hashes = cs_slice_of(f->bytes.p + blobs_at, f->bytes.len - blobs_at);
    }
    f->tx.data = cs_slice_of(f->bytes.p, data_len);
    for (size_t i = 0, at = data_len; i < n; i++) {
        f->access[i].keys.p = f->access[i].keys.len > 0 ? f->bytes.p + at : NULL; /* bytes may be empty */
        at += f->access[i].keys.len;
    }
    f->tx.access = f->access;
    f->tx.num_access = n;
    return CS_OK;
}

static cs_err get_prices(cs_eth_tx_file *f, const json_t *object)
{
    if (f->tx.type == CS_ETH_LEGACY || f->tx.type == CS_ETH_2930) {
        return get_number(f, &f->tx.gas_price, object, "gasPrice", true);
    }
    if (f->tx.type == CS_ETH_4844) {
        CS_TRY(get_number(f, &f->tx.max_blob_fee, object, "maxFeePerBlobGas", true));
    }
    CS_TRY(get_number(f, &f->tx.max_priority_fee, object, "maxPriorityFeePerGas", true));
    return get_number(f, &f->tx.max_fee, object, "maxFeePerGas", true);
}

cs_err cs_eth_tx_of(cs_eth_tx_file *f, const json_t *object, cs_eth_type type)
{
    const json_t *data = json_object_get(object, "data");
    memset(f, 0, sizeof *f);
    f->bytes = cs_buf_heap(MAX_BYTES);
    f->tx.type = type;
    if (!json_is_object(object)) {
        return bad(f, "file", "not a JSON object");
    }
    CS_TRY(get_number(f, &f->tx.chain_id, object, "chainId", type != CS_ETH_LEGACY));
    CS_TRY(get_number(f, &f->tx.nonce, object, "nonce", true));
    CS_TRY(fits_u64(f, &f->tx.nonce, "nonce"));
    CS_TRY(get_prices(f, object));
    CS_TRY(get_number(f, &f->tx.gas_limit, object, "gasLimit", true));
    CS_TRY(fits_u64(f, &f->tx.gas_limit, "gasLimit"));
    CS_TRY(get_to(f, object));
    CS_TRY(get_number(f, &f->tx.value, object, "value", false));
    if (data != NULL) {
        CS_TRY(get_bytes(f, data, "data", 0));
    }
    return get_access(f, object);
}

static cs_err known_fields(cs_eth_tx_file *f, const json_t *object)
{
    static const char *const known[] = {"type",         "chainId",   "nonce", "maxPriorityFeePerGas",
                                        "maxFeePerGas", "gasLimit",  "to",    "value",
                                        "data",         "accessList"};
    const json_t *type = json_object_get(object, "type");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            found = found || strcmp(name, known[i]) == 0;
        }
        if (!found) {
            return bad(f, name, "unknown field");
        }
    }
    if (type != NULL && !(json_is_integer(type) && json_integer_value(type) == 2) &&
        strcmp(json_is_string(type) ? json_string_value(type) : "", "0x2") != 0) {
        return bad(f, "type", "not 2");
    }
    return CS_OK;
}

static cs_err sane(cs_eth_tx_file *f)
{
    if (cs_u256_is_zero(&f->tx.chain_id)) {
        return bad(f, "chainId", "is 0");
    }
    if (memcmp(&f->tx.max_priority_fee, &f->tx.max_fee, sizeof(cs_u256)) > 0) {
        return bad(f, "maxPriorityFeePerGas", "above maxFeePerGas");
    }
    if (!f->tx.has_to && f->tx.data.len == 0) {
        return bad(f, "data", "empty, and to is null");
    }
    return CS_OK;
}

cs_err cs_eth_tx_parse(cs_eth_tx_file *f, cs_slice json_text)
{
    json_error_t why;
    memset(f, 0, sizeof *f);
    json_t *object = json_loadb((const char *)json_text.p, json_text.len, JSON_REJECT_DUPLICATES, &why);
    if (object == NULL) {
        return bad(f, "file", "not JSON, or a field comes twice");
    }
    cs_err err = cs_eth_tx_of(f, object, CS_ETH_1559);
    if (err == CS_OK) {
        err = known_fields(f, object);
    }
    if (err == CS_OK) {
        err = sane(f);
    }
    json_decref(object);
    return err;
}

void cs_eth_tx_cleanup(cs_eth_tx_file *f)
{
    free(f->access);
    cs_buf_free(&f->bytes);
    f->access = NULL;
}
