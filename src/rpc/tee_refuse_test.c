/* What the codec of TEE requests refuses, each with its documented error. See tee_rpc_test.c for encodings. */
#include "rpc/tee_test.h"

/* ---- requests */

/* A body of operation op with these fields: what it decodes to, and encoding the same values says the same. */
static cs_err request(uint64_t op, cs_slice caller, const cs_tee_field *f, cs_slice records)
{
    cs_buf out = fresh(), again = cs_buf_wrap(mem2, sizeof mem2);
    const cs_tee_op_row *row = cs_tee_op_of(op);
    cs_tee_request r;
    cbor(&out, "[uubut", N(5 + strlen(row->in)), N(1), op, B(16), N(1), caller);
    for (size_t i = 0; row->in[i] != '\0'; i++) {
        if (row->in[i] == 'u') {
            cbor(&out, "u", f[i].u);
        } else {
            const char kind[2] = {row->in[i] == 'T' ? 'r' : row->in[i], '\0'};
            cbor(&out, kind, row->in[i] == 'T' ? records : f[i].s);
        }
    }
    cs_err err = cs_tee_request_decode(&r, cs_buf_slice(&out));
    cs_tee_request w = {row, bytes, 1, caller, {{0}}, records};
    if (f != NULL) {
        memcpy(w.f, f, sizeof w.f);
    }
    assert_int_equal(cs_put_str(&again, "before"), CS_OK);
    if (err == CS_OK) {
        assert_int_equal(cs_tee_request_encode(&again, &w), CS_OK);
    } else {
        assert_int_not_equal(cs_tee_request_encode(&again, &w), CS_OK);
        assert_int_equal(again.len, 6);
        assert_null(r.row);
    }
    return err;
}

#define REQUEST(op, ...) request(op, txt("me"), (cs_tee_field[CS_TEE_MAX_FIELDS]){__VA_ARGS__}, CS_SLICE_NULL)

static void sign_wants_a_scheme_and_its_input(void **state)
{
    (void)state;
    for (uint64_t alg = 1; alg <= 4; alg++) {
        cs_err digest = alg == CS_TEE_ED25519 ? CS_E_ALGORITHM : CS_OK;
        assert_int_equal(REQUEST(1, T("r"), U(alg), U(0), S(B(32))), digest);
        assert_int_equal(REQUEST(1, T("r"), U(alg), U(1), S(B(0))), CS_OK);
        assert_int_equal(REQUEST(1, T("r"), U(alg), U(2), S(B(32))), CS_E_ALGORITHM);
        assert_int_equal(REQUEST(1, T("r"), U(alg), U(UINT64_MAX), S(B(32))), CS_E_ALGORITHM);
        if (digest == CS_OK) {
            assert_int_equal(REQUEST(1, T("r"), U(alg), U(0), S(B(31))), CS_E_DIGEST_LENGTH);
            assert_int_equal(REQUEST(1, T("r"), U(alg), U(0), S(B(33))), CS_E_DIGEST_LENGTH);
            assert_int_equal(REQUEST(1, T("r"), U(alg), U(0), S(B(0))), CS_E_DIGEST_LENGTH);
        }
    }
    assert_int_equal(REQUEST(1, T("r"), U(0), U(0), S(B(32))), CS_E_ALGORITHM);
    assert_int_equal(REQUEST(1, T("r"), U(5), U(0), S(B(32))), CS_E_ALGORITHM);
    assert_int_equal(REQUEST(1, T("r"), U((1ull << 32) + 1), U(0), S(B(32))), CS_E_ALGORITHM);
}

static void other_operations_keep_their_ranges(void **state)
{
    const uint64_t top = UINT32_MAX;
    (void)state;
    assert_int_equal(REQUEST(2, T("r"), S(B(0)), S(B(28))), CS_OK);
    assert_int_equal(REQUEST(2, T("r"), S(B(0)), S(B(27))), CS_E_RANGE);
    assert_int_equal(REQUEST(2, T("r"), S(B(0)), S(B(CS_TEE_DATA_MAX + 28))), CS_OK);
    assert_int_equal(REQUEST(2, T("r"), S(B(0)), S(B(CS_TEE_DATA_MAX + 29))), CS_E_RANGE);
    assert_int_equal(REQUEST(2, T("r"), S(B(CS_TEE_DATA_MAX)), S(B(28))), CS_OK);
    assert_int_equal(REQUEST(2, T("r"), S(B(CS_TEE_DATA_MAX + 1)), S(B(28))), CS_E_RANGE);
    assert_int_equal(REQUEST(3, T("r"), U(0), S(B(1))), CS_E_RANGE);
    assert_int_equal(REQUEST(3, T("r"), U(1), S(B(0))), CS_OK);
    assert_int_equal(REQUEST(3, T("r"), U(top), S(B(CS_TEE_DATA_MAX))), CS_OK);
    assert_int_equal(REQUEST(3, T("r"), U(top + 1), S(B(1))), CS_E_RANGE);
    assert_int_equal(REQUEST(3, T("r"), U(1), S(B(CS_TEE_DATA_MAX + 1))), CS_E_RANGE);
    assert_int_equal(REQUEST(4, T("r"), U(0)), CS_OK);
    assert_int_equal(REQUEST(4, T("r"), U(top)), CS_OK);
    assert_int_equal(REQUEST(4, T("r"), U(top + 1)), CS_E_RANGE);
    for (uint64_t alg = 0; alg <= 5; alg++) {
        cs_err want = alg == 0 || alg == 5 ? CS_E_ALGORITHM : CS_OK;
        assert_int_equal(REQUEST(5, T("r"), U(alg)), want);
        assert_int_equal(REQUEST(6, T("r"), U(alg), S(B(32))), want);
    }
    assert_int_equal(REQUEST(6, T("r"), U(1), S(B(31))), CS_E_RANGE);
    assert_int_equal(REQUEST(6, T("r"), U(1), S(B(33))), CS_E_RANGE);
    assert_int_equal(REQUEST(9, S(B(15))), CS_E_RANGE);
    assert_int_equal(REQUEST(9, S(B(16))), CS_OK);
    assert_int_equal(REQUEST(9, S(B(512))), CS_OK);
    assert_int_equal(REQUEST(9, S(B(513))), CS_E_RANGE);
}

static void names_are_short_and_printable(void **state)
{
    static const char *const bad[] = {"", "a b", "a\"", "a\\", "a\n", "\x7f", "a\xc3\xa9", "\x01", " "};
    static char name[130];
    (void)state;
    memset(name, 'n', 129);
    for (uint64_t op = 1; op <= CS_TEE_NUM_OPS; op++) {
        if (cs_tee_op_of(op)->in[0] != 't') {
            continue;
        }
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            assert_int_equal(REQUEST(op, T(bad[i]), U(1), U(1), S(B(32))), CS_E_RANGE);
        }
        assert_int_equal(REQUEST(op, T(name), U(1), U(1), S(B(32))), CS_E_RANGE);
    }
    assert_false(cs_tee_record_valid(cs_slice_of("a\0b", 3)));
    assert_true(cs_tee_record_valid(cs_slice_of(name, 128)));
    assert_true(cs_tee_record_valid(txt("!#~[]'/:")));
    for (size_t i = 1; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(request(10, txt(bad[i]), NULL, CS_SLICE_NULL), CS_E_RANGE);
    }
    assert_int_equal(request(10, CS_SLICE_NULL, NULL, CS_SLICE_NULL), CS_OK);
    assert_int_equal(request(10, cs_slice_of(name, 64), NULL, CS_SLICE_NULL), CS_OK);
    assert_int_equal(request(10, cs_slice_of(name, 65), NULL, CS_SLICE_NULL), CS_E_RANGE);
}

/* ---- records of Rotate */

static cs_err rotate(size_t num, size_t twice_at)
{
    static uint8_t array[8192];
    cs_buf b = cs_buf_wrap(array, sizeof array);
    cbor(&b, "[", N(num));
    for (size_t i = 0; i < num; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "w-%zu", twice_at != 0 && i == twice_at ? 0 : i);
        cbor(&b, "t", txt(name));
    }
    return request(8, txt("me"), (cs_tee_field[CS_TEE_MAX_FIELDS]){{0}, T(""), U(1)}, cs_buf_slice(&b));
}

static void rotate_takes_1_to_256_records_and_none_twice(void **state)
{
    static uint8_t array[256];
    static char long_name[2050];
    cs_buf b = cs_buf_wrap(array, sizeof array);
    cs_tee_field f[CS_TEE_MAX_FIELDS] = {{0}, T(""), U(1)};
    (void)state;
    assert_int_equal(rotate(0, 0), CS_E_RANGE);
    assert_int_equal(rotate(1, 0), CS_OK);
    assert_int_equal(rotate(256, 0), CS_OK);
    assert_int_equal(rotate(257, 0), CS_E_RANGE);
    assert_int_equal(rotate(2, 1), CS_E_RANGE);
    assert_int_equal(rotate(256, 255), CS_E_RANGE);
    cbor(&b, "[tb", N(2), txt("a"), txt("b")); /* bytes instead of text */
    assert_int_equal(request(8, txt("me"), f, cs_buf_slice(&b)), CS_E_FORMAT);
    b.len = 0;
    cbor(&b, "[[t", N(1), N(1), txt("a"));
    assert_int_equal(request(8, txt("me"), f, cs_buf_slice(&b)), CS_E_FORMAT);
    b.len = 0;
    cbor(&b, "t", txt("a"));
    assert_int_equal(request(8, txt("me"), f, cs_buf_slice(&b)), CS_E_FORMAT);
    b.len = 0;
    cbor(&b, "[t", N(1), txt("a b"));
    assert_int_equal(request(8, txt("me"), f, cs_buf_slice(&b)), CS_E_RANGE);
    b.len = 0;
    cbor(&b, "[t", N(1), txt("a"));
    memset(long_name, 'k', sizeof long_name - 1);
    f[1].s = cs_slice_of(long_name, 2048);
    assert_int_equal(request(8, txt("me"), f, cs_buf_slice(&b)), CS_OK);
    f[1].s = cs_slice_of(long_name, 2049);
    assert_int_equal(request(8, txt("me"), f, cs_buf_slice(&b)), CS_E_RANGE);
    f[1].s = txt("");
    f[2].u = 2;
    assert_int_equal(request(8, txt("me"), f, cs_buf_slice(&b)), CS_E_RANGE);
}

static void records_are_encoded_whole_or_not_at_all(void **state)
{
    static cs_slice many[257];
    static char names[257][8];
    cs_buf out = fresh();
    (void)state;
    for (size_t i = 0; i < 257; i++) {
        (void)snprintf(names[i], sizeof names[i], "%zu", i);
        many[i] = txt(names[i]);
    }
    assert_int_equal(cs_put_str(&out, "before"), CS_OK);
    assert_int_equal(cs_tee_records_encode(&out, many, 0), CS_E_RANGE);
    assert_int_equal(cs_tee_records_encode(&out, many, 257), CS_E_RANGE);
    many[1] = txt("a b");
    assert_int_equal(cs_tee_records_encode(&out, many, 2), CS_E_RANGE);
    many[1] = many[0];
    assert_int_equal(cs_tee_records_encode(&out, many, 2), CS_E_RANGE);
    assert_int_equal(out.len, 6);
    cs_buf small = cs_buf_wrap(mem, 20);
    assert_int_equal(cs_tee_records_encode(&small, many + 2, 200), CS_E_RANGE);
    assert_int_equal(small.len, 0);
    assert_int_equal(cs_tee_records_encode(&out, many + 1, 256), CS_OK);
}

/* ---- the head of a body */

static cs_err head(uint64_t count, uint64_t version, uint64_t op, size_t id_len)
{
    cs_buf out = fresh();
    cs_tee_request r;
    cbor(&out, "[uubut", count, version, op, B(id_len), N(1), txt(""));
    for (uint64_t i = 5; i < count; i++) {
        cbor(&out, "t", txt("r"));
    }
    return cs_tee_request_decode(&r, cs_buf_slice(&out));
}

static void a_head_that_is_not_version_1_is_refused(void **state)
{
    cs_tee_request r;
    cs_buf out = fresh();
    (void)state;
    assert_int_equal(head(6, 1, CS_TEE_PUBLIC_KEY, 16), CS_OK);
    assert_int_equal(head(6, 0, CS_TEE_PUBLIC_KEY, 16), CS_E_FORMAT);
    assert_int_equal(head(6, 2, CS_TEE_PUBLIC_KEY, 16), CS_E_FORMAT);
    assert_int_equal(head(6, (1ull << 32) + 1, CS_TEE_PUBLIC_KEY, 16), CS_E_FORMAT);
    assert_int_equal(head(6, 1, (1ull << 32) + 7, 16), CS_E_FORMAT);
    assert_int_equal(head(6, 1, 0, 16), CS_E_FORMAT);
    assert_int_equal(head(5, 1, 11, 16), CS_E_FORMAT);
    assert_int_equal(head(6, 1, CS_TEE_PUBLIC_KEY, 15), CS_E_FORMAT);
    assert_int_equal(head(6, 1, CS_TEE_PUBLIC_KEY, 17), CS_E_FORMAT);
    assert_int_equal(head(5, 1, CS_TEE_PUBLIC_KEY, 16), CS_E_FORMAT);
    assert_int_equal(head(7, 1, CS_TEE_PUBLIC_KEY, 16), CS_E_FORMAT);
    cbor(&out, "[uubtu", N(5), N(1), N(10), B(16), txt(""), N(1)); /* another order */
    assert_int_equal(cs_tee_request_decode(&r, cs_buf_slice(&out)), CS_E_FORMAT);
    assert_int_equal(cs_tee_request_decode(&r, B(CS_TEE_BODY_MAX + 1)), CS_E_TOO_LARGE);
    assert_int_equal(cs_tee_request_decode(&r, CS_SLICE_NULL), CS_E_FORMAT);
    out.len = 0; /* each field fits, the body does not */
    cbor(&out, "[uubuttbb", N(8), N(1), N(2), B(16), N(1), txt("me"), txt("r"), B(65536), B(65564));
    assert_int_equal(cs_tee_request_decode(&r, cs_buf_slice(&out)), CS_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sign_wants_a_scheme_and_its_input),
        cmocka_unit_test(other_operations_keep_their_ranges),
        cmocka_unit_test(names_are_short_and_printable),
        cmocka_unit_test(rotate_takes_1_to_256_records_and_none_twice),
        cmocka_unit_test(records_are_encoded_whole_or_not_at_all),
        cmocka_unit_test(a_head_that_is_not_version_1_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
