/* What the codecs around a TEE request refuse: calls, attachments, replies, results, entries; and the tables. */
#include "rpc/tee_test.h"

/* ---- calls */

static cs_err call_with(size_t sig_len, size_t num, cs_slice approver, size_t approval_len)
{
    cs_buf out = fresh(), again = cs_buf_wrap(mem2, sizeof mem2);
    cs_tee_call c, w = {.body = B(3), .signature = B(sig_len), .num_approvals = num};
    cbor(&out, "[bb[", N(3), B(3), B(sig_len), N(num));
    for (size_t i = 0; i < num; i++) {
        cbor(&out, "[tb", N(2), approver, B(approval_len));
        if (i < CS_TEE_APPROVALS_MAX) {
            w.approval[i] = (cs_tee_approval){approver, bytes};
        }
    }
    cs_err err = cs_tee_call_decode(&c, cs_buf_slice(&out));
    cs_err wrote = cs_tee_call_encode(&again, &w);
    assert_int_equal(wrote, err == CS_OK || approval_len != 64 ? CS_OK : CS_E_RANGE);
    assert_true(wrote == CS_OK || again.len == 0);
    return err;
}

static void calls_have_whole_signatures_and_few_approvals(void **state)
{
    static char name[66];
    cs_tee_call c;
    (void)state;
    memset(name, 'n', 65);
    assert_int_equal(call_with(0, 0, txt("a"), 64), CS_OK);
    assert_int_equal(call_with(64, 16, txt("a"), 64), CS_OK);
    assert_int_equal(call_with(64, 17, txt("a"), 64), CS_E_FORMAT);
    assert_int_equal(call_with(63, 0, txt("a"), 64), CS_E_FORMAT);
    assert_int_equal(call_with(65, 0, txt("a"), 64), CS_E_FORMAT);
    assert_int_equal(call_with(1, 0, txt("a"), 64), CS_E_FORMAT);
    assert_int_equal(call_with(64, 1, txt("a"), 63), CS_E_FORMAT);
    assert_int_equal(call_with(64, 1, txt("a"), 65), CS_E_FORMAT);
    assert_int_equal(call_with(64, 1, txt("a"), 0), CS_E_FORMAT);
    assert_int_equal(call_with(64, 1, txt(""), 64), CS_E_FORMAT);
    assert_int_equal(call_with(64, 1, txt("a b"), 64), CS_E_FORMAT);
    assert_int_equal(call_with(64, 1, cs_slice_of(name, 64), 64), CS_OK);
    assert_int_equal(call_with(64, 1, cs_slice_of(name, 65), 64), CS_E_FORMAT);
    assert_int_equal(cs_tee_call_decode(&c, cs_slice_of(mem2, CS_TEE_BODY_MAX + 4097)), CS_E_TOO_LARGE);
}

/* ---- rows and attachments */

static const cs_tee_row good_row = {
    {(const uint8_t *)"r", 1}, {(const uint8_t *)"OK", 2},   1, {(const uint8_t *)"arn", 3},
    {(const uint8_t *)"d", 1}, {(const uint8_t *)"blob", 4}, 1, {(const uint8_t *)"p", 1}};

static void put_row(cs_buf *out, const cs_tee_row *r)
{
    cbor(out, "[ttutbbub", N(8), r->record, r->code, r->version, r->kms_key, r->data_key, r->blob, r->alg,
         r->public_key);
}

static cs_err row_as(const cs_tee_row *r)
{
    cs_buf out = fresh(), again = cs_buf_wrap(mem2, sizeof mem2);
    cs_tee_attached a, none = {.num_rows = 0};
    cbor(&out, "{t[", N(1), txt("rows"), N(1));
    put_row(&out, r);
    cs_err err = cs_tee_attached_decode(&a, cs_buf_slice(&out));
    assert_int_equal(cs_tee_attached_encode(&again, &none, r, 1), err == CS_OK ? CS_OK : CS_E_RANGE);
    assert_true(err == CS_OK || again.len == 0);
    return err;
}

static cs_tee_row changed;
#define ROW(member, value) (changed = good_row, changed.member = value, row_as(&changed))

static void rows_name_a_record_and_a_data_key_with_its_kms_key(void **state)
{
    static char name[2050];
    (void)state;
    memset(name, 'k', sizeof name - 1);
    assert_int_equal(row_as(&good_row), CS_OK);
    assert_int_equal(ROW(record, txt("")), CS_E_FORMAT);
    assert_int_equal(ROW(record, txt("a b")), CS_E_FORMAT);
    assert_int_equal(ROW(record, cs_slice_of(name, 129)), CS_E_FORMAT);
    assert_int_equal(ROW(code, txt("")), CS_E_FORMAT);
    assert_int_equal(ROW(code, txt("a\"")), CS_E_FORMAT);
    assert_int_equal(ROW(code, cs_slice_of(name, 64)), CS_OK);
    assert_int_equal(ROW(code, cs_slice_of(name, 65)), CS_E_FORMAT);
    assert_int_equal(ROW(version, 0), CS_OK);
    assert_int_equal(ROW(version, N(UINT32_MAX) + 1), CS_E_FORMAT);
    assert_int_equal(ROW(alg, 0), CS_OK);
    assert_int_equal(ROW(alg, 5), CS_E_FORMAT);
    assert_int_equal(ROW(kms_key, txt("")), CS_E_FORMAT);
    assert_int_equal(ROW(kms_key, txt("a b")), CS_E_FORMAT);
    assert_int_equal(ROW(kms_key, cs_slice_of(name, 2048)), CS_OK);
    assert_int_equal(ROW(kms_key, cs_slice_of(name, 2049)), CS_E_FORMAT);
    assert_int_equal(ROW(data_key, txt("")), CS_E_FORMAT);
    cs_tee_row r = good_row;
    r.kms_key = r.data_key = CS_SLICE_NULL; /* those of the row before */
    assert_int_equal(row_as(&r), CS_OK);
}

static cs_err attached(const cs_buf *b)
{
    cs_tee_attached a;
    return cs_tee_attached_decode(&a, cs_buf_slice(b));
}

static void attachments_come_once_and_in_order(void **state)
{
    static cs_tee_row rows[257];
    cs_tee_attached none = {.num_rows = 0};
    cs_buf out = fresh();
    (void)state;
    cbor(&out, "{tbtt", N(2), txt("new"), B(1), txt("kms_key"), txt("k"));
    assert_int_equal(attached(&out), CS_OK);
    out.len = 0;
    cbor(&out, "{tttb", N(2), txt("kms_key"), txt("k"), txt("new"), B(1)); /* order */
    assert_int_equal(attached(&out), CS_E_FORMAT);
    out.len = 0;
    cbor(&out, "{tbtb", N(2), txt("new"), B(1), txt("new"), B(1)); /* twice */
    assert_int_equal(attached(&out), CS_E_FORMAT);
    out.len = 0;
    cbor(&out, "{t[t[", N(2), txt("rows"), N(0), txt("rows"), N(0));
    assert_int_equal(attached(&out), CS_E_FORMAT);
    out.len = 0;
    cbor(&out, "{tb", N(1), txt("other"), B(1)); /* unknown */
    assert_int_equal(attached(&out), CS_E_FORMAT);
    out.len = 0;
    cbor(&out, "{bb", N(1), txt("new"), B(1)); /* a key that is no text */
    assert_int_equal(attached(&out), CS_E_FORMAT);
    out.len = 0;
    cbor(&out, "{tt", N(1), txt("new"), txt("text"));
    assert_int_equal(attached(&out), CS_E_FORMAT);
    static const char *const empty[] = {"new", "data_key"};
    for (size_t i = 0; i < 2; i++) {
        out.len = 0;
        cbor(&out, "{tb", N(1), txt(empty[i]), B(0)); /* empty is left out */
        assert_int_equal(attached(&out), CS_E_FORMAT);
    }
    out.len = 0;
    cbor(&out, "{tt", N(1), txt("kms_key"), txt(""));
    assert_int_equal(attached(&out), CS_E_FORMAT);
    out.len = 0;
    cbor(&out, "{t[", N(1), txt("rows"), N(0));
    assert_int_equal(attached(&out), CS_E_FORMAT);
    assert_int_equal(attached(&(cs_buf){mem2, 256 * 1024 + 1, sizeof mem2, sizeof mem2, false}), CS_E_TOO_LARGE);
    for (size_t i = 0; i < 257; i++) {
        rows[i] = good_row;
    }
    for (size_t n = 256; n <= 257; n++) {
        out.len = 0;
        cbor(&out, "{t[", N(1), txt("rows"), N(n));
        for (size_t i = 0; i < n; i++) {
            put_row(&out, &rows[i]);
        }
        assert_int_equal(attached(&out), n == 256 ? CS_OK : CS_E_FORMAT);
        out.len = 0;
        assert_int_equal(cs_tee_attached_encode(&out, &none, rows, n), n == 256 ? CS_OK : CS_E_RANGE);
    }
    assert_int_equal(out.len, 0);
}

/* ---- replies, results, entries */

static cs_err reply(const char *code, uint64_t sealed, size_t result, size_t entry, size_t sig)
{
    cs_buf out = fresh(), again = cs_buf_wrap(mem2, sizeof mem2);
    cs_tee_reply r, w = {cs_slice_str(code), B(result), CS_SLICE_NULL, B(entry), B(sig), 0, sealed == 1};
    cbor(&out, "[tub[bb", N(6), txt(code), sealed, B(result), N(0), B(entry), B(sig));
    cs_err err = cs_tee_reply_decode(&r, cs_buf_slice(&out));
    if (sealed <= 1) {
        assert_int_equal(cs_tee_reply_encode(&again, &w, NULL, 0), err == CS_OK ? CS_OK : CS_E_RANGE);
    }
    return err;
}

static void replies_are_a_result_or_a_refusal(void **state)
{
    cs_tee_reply r;
    (void)state;
    assert_int_equal(reply("OK", 0, 1, 1, 64), CS_OK);
    assert_int_equal(reply("OK", 1, 1, 1, 64), CS_OK);
    assert_int_equal(reply("OK", 2, 1, 1, 64), CS_E_FORMAT);
    assert_int_equal(reply("OK", 0, 0, 1, 64), CS_E_FORMAT);
    assert_int_equal(reply("RANGE", 0, 0, 1, 64), CS_OK);
    assert_int_equal(reply("RANGE", 0, 0, 0, 0), CS_OK);
    assert_int_equal(reply("RANGE", 0, 1, 1, 64), CS_E_FORMAT);
    assert_int_equal(reply("RANGE", 1, 0, 1, 64), CS_E_FORMAT);
    assert_int_equal(reply("OK", 0, 1, 1, 63), CS_E_FORMAT);
    assert_int_equal(reply("OK", 0, 1, 1, 0), CS_E_FORMAT);
    assert_int_equal(reply("OK", 0, 1, 0, 64), CS_E_FORMAT);
    assert_int_equal(reply("", 0, 0, 0, 0), CS_E_FORMAT);
    assert_int_equal(reply("A B", 0, 0, 0, 0), CS_E_FORMAT);
    assert_int_equal(cs_tee_reply_decode(&r, cs_slice_of(mem2, 256 * 1024 + 1)), CS_E_TOO_LARGE);
}

static cs_err result(uint64_t op, const cs_tee_field *f)
{
    cs_buf out = fresh();
    cs_tee_result w, r;
    const cs_tee_op_row *row = cs_tee_op_of(op);
    memcpy(w.f, f, sizeof w.f);
    cs_err wrote = cs_tee_result_encode(&out, row, &w);
    assert_true(wrote == CS_OK || out.len == 0);
    out.len = 0;
    cbor(&out, "[", N(strlen(row->out)));
    for (size_t i = 0; row->out[i] != '\0'; i++) {
        const char kind[2] = {row->out[i], '\0'};
        if (kind[0] == 'u') {
            cbor(&out, kind, f[i].u);
        } else {
            cbor(&out, kind, f[i].s);
        }
    }
    cs_err err = cs_tee_result_decode(&r, row, cs_buf_slice(&out));
    assert_int_equal(wrote, err == CS_OK ? CS_OK : CS_E_RANGE);
    return err;
}

#define RESULT(op, ...) result(op, (cs_tee_field[CS_TEE_MAX_FIELDS]){__VA_ARGS__})

static void results_have_the_lengths_of_their_fields(void **state)
{
    (void)state;
    assert_int_equal(RESULT(1, S(B(64)), U(3), S(B(33))), CS_OK);
    assert_int_equal(RESULT(1, S(B(63)), U(0), S(B(33))), CS_E_FORMAT);
    assert_int_equal(RESULT(1, S(B(65)), U(0), S(B(33))), CS_E_FORMAT);
    assert_int_equal(RESULT(1, S(B(64)), U(4), S(B(33))), CS_E_FORMAT);
    assert_int_equal(RESULT(1, S(B(64)), U(0), S(B(31))), CS_E_FORMAT);
    assert_int_equal(RESULT(1, S(B(64)), U(0), S(B(34))), CS_E_FORMAT);
    assert_int_equal(RESULT(2, S(B(CS_TEE_DATA_MAX + 1))), CS_E_FORMAT);
    assert_int_equal(RESULT(2, S(B(0))), CS_OK);
    assert_int_equal(RESULT(3, U(0)), CS_E_FORMAT);
    assert_int_equal(RESULT(3, U(N(UINT32_MAX) + 1)), CS_E_FORMAT);
    assert_int_equal(RESULT(4, S(B(CS_TEE_DATA_MAX + 1)), U(1)), CS_E_FORMAT);
    assert_int_equal(RESULT(4, S(B(1)), U(0)), CS_E_FORMAT);
    assert_int_equal(RESULT(5, S(B(0))), CS_E_FORMAT);
    assert_int_equal(RESULT(6, S(B(65))), CS_E_FORMAT);
    assert_int_equal(RESULT(7, S(B(32)), U(0)), CS_E_FORMAT);
    assert_int_equal(RESULT(7, S(B(32)), U(5)), CS_E_FORMAT);
    assert_int_equal(RESULT(8, U(257)), CS_E_FORMAT);
    assert_int_equal(RESULT(9, S(B(0))), CS_E_FORMAT);
    assert_int_equal(RESULT(10, T("")), CS_E_FORMAT);
    cs_tee_result r;
    assert_int_equal(cs_tee_result_decode(&r, cs_tee_op_of(2), cs_slice_of(mem2, 256 * 1024 + 1)), CS_E_TOO_LARGE);
}

static cs_err entry(uint64_t op, cs_slice caller, cs_slice record, const char *code)
{
    cs_buf out = fresh();
    cs_tee_entry e = {.boot16 = bytes,
                      .previous32 = bytes,
                      .request_id16 = bytes,
                      .request_hash32 = bytes,
                      .pcr_digest32 = bytes,
                      .result_hash32 = bytes,
                      .caller = caller,
                      .record = record,
                      .code = cs_slice_str(code),
                      .op = op};
    return cs_tee_entry_encode(&out, &e); /* it decodes what it wrote */
}

static void entries_hold_names_only(void **state)
{
    static char name[130];
    cs_tee_entry e;
    (void)state;
    memset(name, 'n', 129);
    assert_int_equal(entry(1, txt(""), txt(""), "OK"), CS_OK);
    assert_int_equal(entry(10, cs_slice_of(name, 64), cs_slice_of(name, 128), "CALLER_RATE"), CS_OK);
    assert_int_equal(entry(0, txt(""), txt(""), "OK"), CS_E_RANGE);
    assert_int_equal(entry(11, txt(""), txt(""), "OK"), CS_E_RANGE);
    assert_int_equal(entry(1, cs_slice_of(name, 65), txt(""), "OK"), CS_E_RANGE);
    assert_int_equal(entry(1, txt("a\n"), txt(""), "OK"), CS_E_RANGE);
    assert_int_equal(entry(1, txt(""), cs_slice_of(name, 129), "OK"), CS_E_RANGE);
    assert_int_equal(entry(1, txt(""), txt("\"}"), "OK"), CS_E_RANGE);
    assert_int_equal(entry(1, txt(""), txt(""), ""), CS_E_RANGE);
    assert_int_equal(cs_tee_entry_decode(&e, B(1025)), CS_E_TOO_LARGE);
}

static void what_core_vouches_for_has_its_kind_and_version(void **state)
{
    cs_buf out = fresh();
    cs_tee_vouch v;
    (void)state;
    cbor(&out, "[utbbb", N(5), N(1), txt("tee"), B(32), B(32), B(16));
    assert_int_equal(cs_tee_vouch_decode(&v, cs_buf_slice(&out)), CS_OK);
    const struct {
        uint64_t version;
        const char *kind;
        size_t a, b, c;
    } bad[] = {{2, "tee", 32, 32, 16}, {1, "Tee", 32, 32, 16}, {1, "", 32, 32, 16},
               {1, "tee", 31, 32, 16}, {1, "tee", 32, 33, 16}, {1, "tee", 32, 32, 15}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        out.len = 0;
        cbor(&out, "[utbbb", N(5), bad[i].version, txt(bad[i].kind), B(bad[i].a), B(bad[i].b), B(bad[i].c));
        assert_int_equal(cs_tee_vouch_decode(&v, cs_buf_slice(&out)), CS_E_FORMAT);
    }
}

/* ---- tables, iterators, full buffers */

static void tables_agree_with_themselves(void **state)
{
    cs_tee_alg alg;
    (void)state;
    for (uint64_t op = 1; op <= CS_TEE_NUM_OPS; op++) {
        const cs_tee_op_row *row = cs_tee_op_of(op);
        assert_int_equal(row->op, op);
        assert_ptr_equal(cs_tee_op_named(txt(row->name)), row);
        assert_true(strlen(row->in) <= CS_TEE_MAX_FIELDS && strlen(row->out) <= CS_TEE_MAX_FIELDS);
    }
    assert_null(cs_tee_op_of(0));
    assert_null(cs_tee_op_of(CS_TEE_NUM_OPS + 1));
    assert_null(cs_tee_op_of((1ull << 32) + 1));
    assert_null(cs_tee_op_named(txt("sign")));
    assert_null(cs_tee_op_named(txt("Signs")));
    assert_null(cs_tee_op_named(CS_SLICE_NULL));
    for (uint64_t i = 0; i <= 4; i++) {
        assert_int_equal(cs_tee_alg_of(txt(cs_tee_alg_name(i)), &alg), CS_OK);
        assert_int_equal(alg, i);
    }
    assert_null(cs_tee_alg_name(5));
    assert_null(cs_tee_alg_name(UINT64_MAX));
    assert_int_equal(cs_tee_alg_of(txt("ECDSA"), &alg), CS_E_ALGORITHM);
}

static void an_iterator_over_nothing_ends(void **state)
{
    cs_tee_iter it = cs_tee_iter_of(CS_SLICE_NULL);
    cs_tee_row row;
    cs_slice record;
    (void)state;
    assert_false(cs_tee_rows_next(&it, &row));
    assert_false(cs_tee_records_next(&it, &record));
    it = cs_tee_iter_of(txt("x"));
    assert_false(cs_tee_rows_next(&it, &row));
    it = cs_tee_iter_of(txt("\x80"));
    assert_false(cs_tee_rows_next(&it, &row));
}

static void a_full_buffer_is_as_before(void **state)
{
    cs_tee_row rows[2] = {good_row, good_row};
    cs_tee_attached a = {txt("d"), txt("k"), txt("n"), CS_SLICE_NULL, 0};
    cs_tee_reply r = {txt("OK"), B(9), CS_SLICE_NULL, B(9), B(64), 0, true};
    cs_tee_call c = {B(9), B(64), {{txt("a"), bytes}}, 1};
    cs_tee_vouch v = {bytes, bytes, bytes};
    cs_buf out = fresh();
    size_t need[4];
    (void)state;
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned kind = 0; kind < 4; kind++) {
            for (size_t cap = turn == 0 ? sizeof mem : 0; turn == 0 ? cap == sizeof mem : cap <= need[kind]; cap++) {
                out = cs_buf_wrap(mem, cap);
                cs_err err = kind == 0   ? cs_tee_attached_encode(&out, &a, rows, 2)
                             : kind == 1 ? cs_tee_reply_encode(&out, &r, rows, 2)
                             : kind == 2 ? cs_tee_call_encode(&out, &c)
                                         : cs_tee_vouch_encode(&out, &v);
                if (turn == 0) {
                    assert_int_equal(err, CS_OK);
                    need[kind] = out.len;
                } else {
                    assert_int_equal(err, cap < need[kind] ? CS_E_RANGE : CS_OK);
                    assert_int_equal(out.len, cap < need[kind] ? 0 : cap);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_have_whole_signatures_and_few_approvals),
        cmocka_unit_test(rows_name_a_record_and_a_data_key_with_its_kms_key),
        cmocka_unit_test(attachments_come_once_and_in_order),
        cmocka_unit_test(replies_are_a_result_or_a_refusal),
        cmocka_unit_test(results_have_the_lengths_of_their_fields),
        cmocka_unit_test(entries_hold_names_only),
        cmocka_unit_test(what_core_vouches_for_has_its_kind_and_version),
        cmocka_unit_test(tables_agree_with_themselves),
        cmocka_unit_test(an_iterator_over_nothing_ends),
        cmocka_unit_test(a_full_buffer_is_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
