/*
 * WPT forgiving-base64 (vectors/base64), for a strict decoder: a row is accepted exactly when its input is the one canonical
 * encoding of its bytes, by the padded decoder or the unpadded one; everything else is refused. One case a row.
 */
#include <string.h>

#include "base/text.h"
#include "suite.h"

void cs_suite_base64(cs_suite *s, const char *dir);

#define MAX_ROW 4096

static bool row_bytes(const json_t *list, cs_buf *out)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (cs_put_u8(out, (uint8_t)json_integer_value(json_array_get(list, i))) != CS_OK) {
            return false;
        }
    }
    return true;
}

/* expected NULL: no decoder may take it. */
static bool decoder_ok(cs_slice input, const cs_buf *expected, cs_b64 kind)
{
    uint8_t mem[MAX_ROW], canonical_mem[MAX_ROW];
    cs_buf out = cs_buf_wrap(mem, sizeof mem), canonical = cs_buf_wrap(canonical_mem, sizeof canonical_mem);
    cs_err err = cs_b64_get(&out, input, kind);

    if (expected == NULL || cs_b64_put(&canonical, cs_buf_slice(expected), kind) != CS_OK ||
        !cs_slice_eq(cs_buf_slice(&canonical), input)) {
        return err == CS_E_FORMAT && out.len == 0;
    }
    return err == CS_OK && cs_slice_eq(cs_buf_slice(&out), cs_buf_slice(expected));
}

static void check_row(cs_suite *s, const char *path, size_t i, const json_t *row)
{
    const json_t *text = json_array_get(row, 0), *bytes = json_array_get(row, 1);
    cs_slice input = cs_slice_of(json_string_value(text), json_string_length(text));
    uint8_t mem[MAX_ROW];
    cs_buf expected = cs_buf_wrap(mem, sizeof mem);

    if (!json_is_string(text) || (!json_is_array(bytes) && !json_is_null(bytes)) || !row_bytes(bytes, &expected)) {
        cs_suite_failf(s, path, "row %zu is not [string, bytes or null]", i);
        return;
    }
    if (decoder_ok(input, json_is_null(bytes) ? NULL : &expected, CS_B64_STD) &&
        decoder_ok(input, json_is_null(bytes) ? NULL : &expected, CS_B64_STD_RAW)) {
        cs_suite_pass(s);
    } else {
        cs_suite_failf(s, path, "row %zu", i);
    }
}

static void check_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *rows = cs_suite_json(s, path);

    for (size_t i = 0; i < json_array_size(rows); i++) {
        check_row(s, path, i, json_array_get(rows, i));
    }
    json_decref(rows);
}

void cs_suite_base64(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", check_file, NULL);
}
