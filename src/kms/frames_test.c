#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kms/call.h"
#include "net/io.h"

#define S(x) cs_slice_str(x)

static cs_kms_config config(void)
{
    cs_kms_config c = {.region = S("us-east-1"), .key_arn = S("arn:pinned")};
    return c;
}

static cs_rpc_frame frame(uint64_t op, const char *arn)
{
    cs_rpc_frame f = {.type = CS_RPC_KMS_CALL, .id = 7};
    f.f[0].u = op;
    f.f[1].s = S(arn);
    f.f[2].s = S("blob");
    f.f[3].s = S("doc");
    f.f[4].m.key[0] = S("app");
    f.f[4].m.value[0] = S("sign");
    f.f[4].m.num = 1;
    return f;
}

static void calls_become_parameters(void **state)
{
    cs_kms_config c = config();
    cs_rpc_frame f = frame(CS_KMS_DECRYPT, "arn:pinned");
    cs_kms_params p;
    assert_int_equal(cs_kms_params_of(&p, &c, &f), CS_OK);
    assert_int_equal(p.action, CS_KMS_ACT_DECRYPT);
    assert_true(cs_slice_eq_str(p.ciphertext, "blob") && cs_slice_eq_str(p.document, "doc"));
    assert_int_equal(p.num_context, 1);
    f = frame(CS_KMS_GENERATE_RANDOM, "");
    assert_int_equal(cs_kms_params_of(&p, &c, &f), CS_OK);
}

static void other_operations_and_keys_are_refused(void **state)
{
    cs_kms_config c = config();
    cs_rpc_frame f = frame(4, "arn:pinned");
    cs_kms_params p;
    assert_int_equal(cs_kms_params_of(&p, &c, &f), CS_E_UNSUPPORTED);
    f = frame(0, "arn:pinned");
    assert_int_equal(cs_kms_params_of(&p, &c, &f), CS_E_UNSUPPORTED);
    f = frame(CS_KMS_DECRYPT, "arn:other");
    assert_int_equal(cs_kms_params_of(&p, &c, &f), CS_E_KMS_KEY_LIST);
    f = frame(CS_KMS_GENERATE_DATA_KEY, "");
    assert_int_equal(cs_kms_params_of(&p, &c, &f), CS_E_KMS_KEY_LIST);
}

static void each_key_of_the_list_is_asked_under_its_own_name(void **state)
{
    cs_kms_config c = config();
    cs_rpc_frame f = frame(CS_KMS_GENERATE_DATA_KEY, "arn:tee-2");
    cs_kms_params p;
    c.tee_key_arn[0] = S("arn:tee-1");
    c.tee_key_arn[1] = S("arn:tee-2");
    c.num_tee_key_arns = 2;
    c.lease = true;
    assert_int_equal(cs_kms_params_of(&p, &c, &f), CS_OK);
    assert_true(cs_slice_eq_str(p.key_id, "arn:tee-2")); /* what the answer's KeyId must be, too */
    c.num_tee_key_arns = 1;
    assert_int_equal(cs_kms_params_of(&p, &c, &f), CS_E_KMS_KEY_LIST);
}

static void replies_carry_the_refusal_and_nothing_else(void **state)
{
    static cs_kms_outcome o;
    uint8_t mem[256];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_rpc_frame f;
    o.err = CS_E_KMS_DENIED;
    o.status = 400;
    strcpy(o.answer.type, "AccessDeniedException");
    o.answer.for_recipient_len = 5;
    assert_int_equal(cs_kms_put_reply(&b, 7, &o), CS_OK);
    assert_int_equal(cs_rpc_decode(&f, cs_buf_slice(&b)), CS_OK);
    assert_int_equal(f.id, 7);
    assert_true(cs_slice_eq_str(f.f[0].s, "KMS_DENIED") && cs_slice_eq_str(f.f[1].s, "AccessDeniedException"));
    assert_int_equal(f.f[2].u, 400);
    assert_int_equal(f.f[4].s.len, 0);
}

static void only_what_may_pass_is_tried_again_and_not_for_ever(void **state)
{
    /* the longest call: back-off, connect, handshake, answer, after the last moment that a try may begin */
    assert_true(CS_KMS_LAST_TRY_MS + CS_KMS_BACKOFF_MAX_MS + CS_KMS_STALE_MS + CS_IO_CONNECT_MS + CS_IO_HANDSHAKE_MS +
                    CS_IO_READ_MS <
                30000);
    assert_true(cs_kms_try_again(CS_E_KMS_THROTTLED, 1, 0));
    assert_true(cs_kms_try_again(CS_E_TIMEOUT, CS_KMS_TRIES - 1, CS_KMS_LAST_TRY_MS - 1));
    assert_false(cs_kms_try_again(CS_E_TIMEOUT, 1, CS_KMS_LAST_TRY_MS));
    assert_false(cs_kms_try_again(CS_E_TIMEOUT, CS_KMS_TRIES, 0));
    assert_false(cs_kms_try_again(CS_E_KMS_DENIED, 1, 0));
    assert_false(cs_kms_try_again(CS_E_KMS_ANSWER, 1, 0));
    assert_false(cs_kms_try_again(CS_OK, 1, 0));
}

static void dates_of_http_are_read(void **state)
{
    uint64_t ms = 0;
    assert_int_equal(cs_kms_parse_date(S("Fri, 02 Jan 2026 03:04:05 GMT"), &ms), CS_OK);
    assert_int_equal(ms, 1767323045000ull);
    assert_int_equal(cs_kms_parse_date(S("Fri, 02 Jan 2026 03:04:05 UTC"), &ms), CS_E_FORMAT);
    assert_int_equal(cs_kms_parse_date(S("Fri, 02 Foo 2026 03:04:05 GMT"), &ms), CS_E_FORMAT);
    assert_int_equal(cs_kms_parse_date(S("Fri, 02 Jan 2026 99:04:05 GMT"), &ms), CS_E_FORMAT);
    assert_int_equal(cs_kms_parse_date(S("yesterday"), &ms), CS_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_become_parameters),
        cmocka_unit_test(other_operations_and_keys_are_refused),
        cmocka_unit_test(each_key_of_the_list_is_asked_under_its_own_name),
        cmocka_unit_test(replies_carry_the_refusal_and_nothing_else),
        cmocka_unit_test(only_what_may_pass_is_tried_again_and_not_for_ever),
        cmocka_unit_test(dates_of_http_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
