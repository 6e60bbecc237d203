/* Shapes of the TEE service: JSON and protobuf of a request make the same call; what is malformed is named; replies come out in both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_out.h"
#include "gateway/tee_json.h"
#include "gateway/tee_pb.h"
#include "net/countersign.pb-c.h"

#define ID64 "AAECAwQFBgcICQoLDA0ODw=="
#define SIG64 "c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzcw=="
#define AUTH "\"auth\":{\"request_id\":\"" ID64 "\",\"time_ms\":5,\"caller\":\"app\",\"signature\":\"" SIG64 "\"}"

static const uint8_t id16[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const char *what;

static cs_err named(cs_tee_ask *a, cs_tee_op op, const char *json)
{
    what = "unset";
    cs_err err = cs_tee_json_named(a, &what, cs_tee_shape_of(op), cs_slice_str(json));
    assert_non_null(what);
    return err;
}

static cs_err refused(cs_tee_op op, const char *json)
{
    cs_tee_ask a = {0};
    cs_err err = named(&a, op, json);
    assert_true(err != CS_OK && a.call.p == NULL && a.op == NULL);
    return err;
}

static void take(cs_tee_request *r, cs_tee_call *call, const cs_tee_ask *a)
{
    assert_int_equal(cs_tee_call_decode(call, cs_buf_slice(&a->call)), CS_OK);
    assert_int_equal(cs_tee_request_decode(r, call->body), CS_OK);
    assert_memory_equal(r->id16, id16, 16);
    assert_true(cs_slice_eq_str(r->caller, "app") && r->time_ms == 5 && call->signature.len == 64);
}

static void json_sign_becomes_the_body(void **state)
{
    cs_tee_request r;
    cs_tee_call call;
    cs_tee_ask a;
    assert_int_equal(
        named(&a, CS_TEE_SIGN, "{" AUTH ",\"record\":\"k\",\"algorithm\":\"ed25519\",\"message\":\"aGk=\"}"), CS_OK);
    take(&r, &call, &a);
    assert_true(r.row->op == CS_TEE_SIGN && r.f[1].u == CS_TEE_ED25519 && r.f[2].u == 1 &&
                cs_slice_eq_str(r.f[3].s, "hi"));
    assert_true(a.num_records == 1 && strcmp(a.caller, "app") == 0 && a.shape != NULL && !a.sealed);
    cs_tee_ask_cleanup(&a);
}

static void json_and_protobuf_make_the_same_call(void **state)
{
    Countersign__V1__TeeAuth auth = COUNTERSIGN__V1__TEE_AUTH__INIT;
    Countersign__V1__TeeRotateRequest m = COUNTERSIGN__V1__TEE_ROTATE_REQUEST__INIT;
    char app[] = "app", one[] = "one", two[] = "two", arn[] = "arn";
    char *records[] = {one, two};
    uint8_t sig[64], bytes[512];
    cs_tee_ask a, b;
    memset(sig, 's', sizeof sig);
    auth.request_id = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t)id16};
    auth.time_ms = 5;
    auth.caller = app;
    auth.signature = (ProtobufCBinaryData){64, sig};
    m.auth = &auth;
    m.n_records = 2;
    m.records = records;
    m.kms_key_id = arn;
    m.fresh = 1;
    size_t len = countersign__v1__tee_rotate_request__pack(&m, bytes);
    assert_int_equal(cs_tee_pb_named(&a, &what, cs_tee_shape_of(CS_TEE_ROTATE), cs_slice_of(bytes, len)), CS_OK);
    assert_int_equal(
        named(&b, CS_TEE_ROTATE, "{\"records\":[\"one\",\"two\"],\"kms_key_id\":\"arn\",\"fresh\":true," AUTH "}"),
        CS_OK);
    assert_true(cs_slice_eq(cs_buf_slice(&a.call), cs_buf_slice(&b.call)) && a.num_records == 2 && a.fresh && b.fresh);
    cs_tee_ask_cleanup(&a);
    cs_tee_ask_cleanup(&b);
}

static void json_without_a_caller_gets_an_id(void **state)
{
    cs_tee_ask a, b;
    cs_tee_request r;
    cs_tee_call call;
    assert_int_equal(named(&a, CS_TEE_PUBLIC_KEY, "{\"record\":\"k\"}"), CS_OK);
    assert_int_equal(named(&b, CS_TEE_PUBLIC_KEY, "{\"record\":\"k\"}"), CS_OK);
    assert_memory_not_equal(a.id, b.id, sizeof a.id);
    assert_int_equal(cs_tee_call_decode(&call, cs_buf_slice(&a.call)), CS_OK);
    assert_int_equal(cs_tee_request_decode(&r, call.body), CS_OK);
    assert_true(r.caller.len == 0 && r.time_ms > 0 && call.signature.len == 0);
    cs_tee_ask_cleanup(&a);
    cs_tee_ask_cleanup(&b);
    assert_int_equal(refused(CS_TEE_SIGN, "{\"record\":\"k\",\"algorithm\":\"ed25519\",\"message\":\"aGk=\"}"),
                     CS_E_FORMAT);
    assert_string_equal(what, "auth.request_id");
}

typedef struct bad_case {
    const char *json, *what;
    cs_err err;
} bad_case;

static void json_names_what_is_wrong(void **state)
{
    static const bad_case cases[] = {
        {"", "JSON", CS_E_FORMAT},
        {"[]", "JSON", CS_E_FORMAT},
        {"{} x", "JSON", CS_E_FORMAT},
        {"{\"record\":\"a\",\"record\":\"a\"}", "JSON", CS_E_FORMAT},
        {"{\"colour\":1}", "unknown member", CS_E_FORMAT},
        {"{\"record\":5}", "record", CS_E_FORMAT},
        {"{\"algorithm\":\"rsa\"}", "algorithm", CS_E_ALGORITHM},
        {"{\"digest\":\"aGk\"}", "digest", CS_E_FORMAT},
        {"{\"digest\":\"aGk=\",\"message\":\"\"}", "message", CS_E_FORMAT},
        {"{\"auth\":[]}", "auth", CS_E_FORMAT},
        {"{\"auth\":{\"x\":1}}", "auth: unknown member", CS_E_FORMAT},
        {"{\"auth\":{\"time_ms\":-1}}", "auth.time_ms", CS_E_RANGE},
        {"{\"auth\":{\"time_ms\":1.5}}", "auth.time_ms", CS_E_FORMAT},
        {"{\"auth\":{\"approvals\":[{\"approver\":\"b\"}]}}", "auth.approvals", CS_E_FORMAT},
        {"{\"auth\":{\"approvals\":[{\"approver\":\"b\",\"signature\":\"AA==\"}]}}", "auth.approvals", CS_E_FORMAT},
        {"{" AUTH ",\"record\":\"k\",\"algorithm\":\"ed25519\"}", "digest or message", CS_E_FORMAT},
        {"{" AUTH ",\"record\":\"k k\",\"algorithm\":\"ed25519\",\"message\":\"aGk=\"}", "", CS_E_RANGE},
        {"{" AUTH ",\"record\":\"k\",\"algorithm\":\"ed25519\",\"digest\":\"aGk=\"}", "", CS_E_ALGORITHM},
        {"{" AUTH ",\"record\":\"k\",\"algorithm\":\"ecdsa-p256\",\"digest\":\"aGk=\"}", "", CS_E_DIGEST_LENGTH},
        {"{\"auth\":{\"request_id\":\"AA==\"},\"record\":\"k\",\"algorithm\":\"ed25519\",\"message\":\"aGk=\"}",
         "auth.request_id", CS_E_FORMAT},
        {"{\"auth\":{\"request_id\":\"" ID64
         "\",\"signature\":\"AA==\"},\"record\":\"k\",\"algorithm\":\"ed25519\",\"message\":\"aGk=\"}",
         "auth.signature", CS_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(refused(CS_TEE_SIGN, cases[i].json), cases[i].err);
        assert_string_equal(what, cases[i].what);
    }
    assert_int_equal(refused(CS_TEE_ROTATE, "{" AUTH ",\"records\":[]}"), CS_E_FORMAT);
    assert_int_equal(refused(CS_TEE_ROTATE, "{" AUTH ",\"records\":[\"a\",\"a\"]}"), CS_E_RANGE);
    assert_int_equal(refused(CS_TEE_ROTATE, "{" AUTH ",\"fresh\":1}"), CS_E_FORMAT);
    assert_int_equal(refused(CS_TEE_UNSEAL, "{" AUTH ",\"version\":4294967296}"), CS_E_RANGE);
    assert_int_equal(refused(CS_TEE_ATTEST, "{\"auth\":{}}"), CS_E_FORMAT); /* it has none */
    assert_int_equal(refused(CS_TEE_ATTEST, "{\"nonce\":\"aGk=\"}"), CS_E_RANGE);
    assert_int_equal(refused(CS_TEE_DECRYPT, "{" AUTH ",\"record\":\"k\",\"data_key_ciphertext\":\"aGk=\"}"),
                     CS_E_FORMAT);
}

static cs_err given(cs_tee_ask *a, const cs_tee_given *g)
{
    cs_err err = cs_tee_ask_given(a, &what, g);
    assert_true(err == CS_OK || a->call.p == NULL);
    return err;
}

static void a_call_says_itself_what_it_is(void **state)
{
    cs_tee_ask made, a;
    assert_int_equal(
        named(&made, CS_TEE_SIGN, "{" AUTH ",\"record\":\"k\",\"algorithm\":\"ed25519\",\"message\":\"aGk=\"}"), CS_OK);
    cs_tee_given g = {.call = cs_buf_slice(&made.call)};
    assert_int_equal(given(&a, &g), CS_OK);
    assert_true(a.op->op == CS_TEE_SIGN && a.shape == NULL && strcmp(a.caller, "app") == 0 &&
                memcmp(a.id, id16, 16) == 0 && cs_slice_eq(cs_buf_slice(&a.records), cs_buf_slice(&made.records)));
    cs_tee_ask_cleanup(&a);
    cs_tee_given lies[4];
    for (size_t i = 0; i < 4; i++) {
        lies[i] = g;
    }
    lies[0].operation = cs_slice_str("Seal");
    lies[1].caller = cs_slice_str("other");
    lies[2].id = cs_slice_str("0123456789abcdef");
    lies[3].records[0] = cs_slice_str("other");
    lies[3].num_records = 1;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(given(&a, &lies[i]), CS_E_FORMAT);
        assert_non_null(strstr(what, "of the call"));
    }
    cs_tee_ask_cleanup(&made);
}

static void a_sealed_call_is_told_what_it_is(void **state)
{
    cs_tee_ask a;
    cs_tee_given g = {.call = cs_slice_str("ciphertext"),
                      .sealed = true,
                      .operation = cs_slice_str("Seal"),
                      .caller = cs_slice_str("app"),
                      .id = cs_slice_of(id16, 16),
                      .num_records = 1};
    g.records[0] = cs_slice_str("k");
    assert_int_equal(given(&a, &g), CS_OK);
    assert_true(a.sealed && a.op->op == CS_TEE_SEAL && a.num_records == 1);
    cs_tee_ask_cleanup(&a);
    g.num_records = 0;
    assert_int_equal(given(&a, &g), CS_E_FORMAT);
    g.num_records = 1;
    g.id.len = 15;
    assert_int_equal(given(&a, &g), CS_E_FORMAT);
    g.id.len = 16;
    g.operation = cs_slice_str("seal");
    assert_int_equal(given(&a, &g), CS_E_FORMAT);
    g.operation = cs_slice_str("Rotate");
    assert_int_equal(given(&a, &g), CS_OK);
    cs_tee_ask_cleanup(&a);
    g.records[0] = cs_slice_str("k k");
    assert_int_equal(given(&a, &g), CS_E_RANGE);
    g.call = CS_SLICE_NULL;
    assert_int_equal(given(&a, &g), CS_E_FORMAT);
}

static void operations_have_two_names(void **state)
{
    static const char *const bad[] = {"", "Sign ", "publickey", "public-key", "PUBLIC_KEY", "call"};
    for (unsigned i = 1; i <= CS_TEE_NUM_OPS; i++) {
        assert_ptr_equal(cs_tee_json_operation(cs_slice_str(cs_tee_op_of(i)->name)), cs_tee_op_of(i));
    }
    assert_int_equal(cs_tee_json_operation(cs_slice_str("public_key"))->op, CS_TEE_PUBLIC_KEY);
    assert_int_equal(cs_tee_json_operation(cs_slice_str("sign"))->op, CS_TEE_SIGN);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(cs_tee_json_operation(cs_slice_str(bad[i])));
    }
}

/* ---- replies */

static cs_slice reply_of(cs_buf *out, cs_tee_op op, const char *code, bool sealed, const cs_tee_result *result)
{
    uint8_t mem[256];
    cs_buf inner = cs_buf_wrap(mem, sizeof mem);
    cs_tee_row row = {.record = cs_slice_str("k"), .code = cs_slice_str("OK"), .version = 2};
    if (result != NULL) {
        assert_int_equal(cs_tee_result_encode(&inner, cs_tee_op_of(op), result), CS_OK);
    }
    cs_tee_reply r = {.code = cs_slice_str(code), .sealed = sealed, .result = cs_buf_slice(&inner)};
    assert_int_equal(cs_tee_reply_encode(out, &r, &row, op == CS_TEE_ROTATE ? 1 : 0), CS_OK);
    return cs_buf_slice(out);
}

static void replies_come_out_in_both_forms(void **state)
{
    uint8_t mem[1024], text[1024], pb[1024];
    cs_buf bytes = cs_buf_wrap(mem, sizeof mem), json = cs_buf_wrap(text, sizeof text - 1),
           out = cs_buf_wrap(pb, sizeof pb);
    cs_tee_ask ask = {.op = cs_tee_op_of(CS_TEE_ROTATE), .shape = cs_tee_shape_of(CS_TEE_ROTATE)};
    cs_tee_result one = {.f = {{.u = 1}}};
    cs_slice reply = reply_of(&bytes, CS_TEE_ROTATE, "OK", false, &one);
    assert_int_equal(cs_tee_json_told(&json, &ask, reply), CS_OK);
    text[json.len] = 0;
    assert_string_equal((char *)text, "{\"rotated\":1,\"rows\":[{\"record\":\"k\",\"code\":\"OK\",\"version\":2}]}");
    assert_int_equal(cs_tee_pb_told(&out, &ask, reply), CS_OK);
    Countersign__V1__TeeRotateReply *m = countersign__v1__tee_rotate_reply__unpack(NULL, out.len, out.p);
    assert_true(m != NULL && m->rotated == 1 && m->n_rows == 1 && strcmp(m->rows[0]->record, "k") == 0 &&
                m->rows[0]->version == 2);
    countersign__v1__tee_rotate_reply__free_unpacked(m, NULL);
}

static void a_sealed_result_is_not_taken_for_a_clear_one(void **state)
{
    uint8_t mem[1024], text[1024];
    cs_tee_result key = {.f = {{.s = cs_slice_str("0123456789abcdef0123456789abcdef")}, {.u = 1}}};
    for (int i = 0; i < 2; i++) {
        cs_buf bytes = cs_buf_wrap(mem, sizeof mem), out = cs_buf_wrap(text, sizeof text);
        cs_tee_op op = i == 0 ? CS_TEE_GENERATE : CS_TEE_UNSEAL;
        cs_tee_ask ask = {.op = cs_tee_op_of(op), .shape = cs_tee_shape_of(op), .alg = 3};
        cs_slice reply = reply_of(&bytes, op, "OK", i == 0, &key);
        assert_int_equal(cs_tee_json_told(&out, &ask, reply), CS_E_UPSTREAM);
        assert_int_equal(cs_tee_pb_told(&out, &ask, reply), CS_E_UPSTREAM);
    }
}

static void refusals_say_what_and_why(void **state)
{
    uint8_t text[1024];
    cs_buf out = cs_buf_wrap(text, sizeof text - 1);
    assert_int_equal(cs_tee_json_refusal(&out, CS_E_TEE_DISABLED, "here \"it\" is", CS_SLICE_NULL), CS_OK);
    text[out.len] = 0;
    assert_non_null(strstr((char *)text, "{\"code\":\"TEE_DISABLED\",\"cause\":\""));
    assert_non_null(strstr((char *)text, "\"detail\":\"here \\\"it\\\" is\"}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_sign_becomes_the_body),
        cmocka_unit_test(json_and_protobuf_make_the_same_call),
        cmocka_unit_test(json_without_a_caller_gets_an_id),
        cmocka_unit_test(json_names_what_is_wrong),
        cmocka_unit_test(a_call_says_itself_what_it_is),
        cmocka_unit_test(a_sealed_call_is_told_what_it_is),
        cmocka_unit_test(operations_have_two_names),
        cmocka_unit_test(replies_come_out_in_both_forms),
        cmocka_unit_test(a_sealed_result_is_not_taken_for_a_clear_one),
        cmocka_unit_test(refusals_say_what_and_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
