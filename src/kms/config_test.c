#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/cbor.h"
#include "kms/config.h"

static uint8_t mem[4096];
static cs_buf b;
static cs_kms_config c;
static const char *bad;

static void put_text(const char *key, const char *value)
{
    assert_int_equal(cs_cbor_put_text(&b, key), CS_OK);
    assert_int_equal(cs_cbor_put_text(&b, value), CS_OK);
}

static const char *const names[] = {"ca",     "host",      "level",     "lease",         "keyArn",
                                    "region", "parentCid", "proxyPort", "teeKmsKeyArns", "encryptionContext"};
#define NUM (sizeof names / sizeof *names)

static unsigned num_arns = 2;
static bool lease = true;

static void put_value(const char *name, const char *host, uint64_t port)
{
    if (strcmp(name, "ca") == 0) {
        assert_int_equal(cs_cbor_put_bytes(&b, cs_slice_str("PEM")), CS_OK);
    } else if (strcmp(name, "lease") == 0) {
        assert_int_equal(cs_cbor_put_bool(&b, lease), CS_OK);
    } else if (strcmp(name, "parentCid") == 0) {
        assert_int_equal(cs_cbor_put_uint(&b, 3), CS_OK);
    } else if (strcmp(name, "proxyPort") == 0) {
        assert_int_equal(cs_cbor_put_uint(&b, port), CS_OK);
    } else if (strcmp(name, "teeKmsKeyArns") == 0) {
        assert_int_equal(cs_cbor_put_array(&b, num_arns), CS_OK);
        for (unsigned i = 0; i < num_arns; i++) {
            assert_int_equal(cs_cbor_put_text(&b, i == 0 ? "y" : "z"), CS_OK);
        }
    } else if (strcmp(name, "encryptionContext") == 0) {
        assert_int_equal(cs_cbor_put_map(&b, 1), CS_OK);
        put_text("app", "sign");
    } else {
        assert_int_equal(cs_cbor_put_text(&b, strcmp(name, "host") == 0    ? host
                                              : strcmp(name, "level") == 0 ? "info"
                                                                           : "x"),
                         CS_OK);
    }
}

/* The section with one key left out (or "") and the host and port given. */
static cs_err read_section(const char *without, const char *host, uint64_t port)
{
    b = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_cbor_put_map(&b, without[0] != '\0' ? NUM - 1 : NUM), CS_OK);
    for (size_t i = 0; i < NUM; i++) {
        if (strcmp(names[i], without) != 0) {
            assert_int_equal(cs_cbor_put_text(&b, names[i]), CS_OK);
            put_value(names[i], host, port);
        }
    }
    return cs_kms_config_read(&c, &bad, cs_buf_slice(&b));
}

static void reads_a_whole_section(void **state)
{
    assert_int_equal(read_section("", "kms.us-east-1.amazonaws.com", 5000), CS_OK);
    assert_string_equal(c.host, "kms.us-east-1.amazonaws.com");
    assert_int_equal(c.proxy_port, 5000);
    assert_int_equal(c.parent_cid, 3);
    assert_int_equal(c.num_context, 1);
    assert_int_equal(c.level, CS_LOG_INFO);
    assert_true(c.lease && c.num_tee_key_arns == 2 && cs_slice_eq_str(c.tee_key_arn[1], "z"));
}

/* without a lease there is no TEE service, whatever its list says */
static void only_keys_of_the_list_may_be_asked_for(void **state)
{
    for (unsigned on = 0; on < 2; on++) {
        lease = on == 1;
        assert_int_equal(read_section("", "h", 1), CS_OK);
        assert_true(cs_kms_config_allows(&c, cs_slice_str("x")));
        assert_int_equal(cs_kms_config_allows(&c, cs_slice_str("y")), lease);
        assert_int_equal(cs_kms_config_allows(&c, cs_slice_str("z")), lease);
        assert_false(cs_kms_config_allows(&c, cs_slice_str("")));
        assert_false(cs_kms_config_allows(&c, cs_slice_str("xy")));
    }
    num_arns = 17;
    assert_int_equal(read_section("", "h", 1), CS_E_CONFIG);
    assert_string_equal(bad, "teeKmsKeyArns");
    num_arns = 0;
    assert_int_equal(read_section("", "h", 1), CS_OK);
    assert_true(cs_kms_config_allows(&c, cs_slice_str("x")) && !cs_kms_config_allows(&c, cs_slice_str("y")));
    num_arns = 2;
}

static void names_the_key_that_is_missing_or_wrong(void **state)
{
    for (size_t i = 0; i < NUM; i++) {
        assert_int_equal(read_section(names[i], "h", 1), CS_E_CONFIG);
        assert_string_equal(bad, names[i]);
    }
    assert_int_equal(read_section("", "h", 0), CS_E_CONFIG);
    assert_string_equal(bad, "proxyPort");
    assert_int_equal(read_section("", "h\r\nX: y", 1), CS_E_CONFIG);
    assert_string_equal(bad, "host");
}

static void refuses_what_is_no_section(void **state)
{
    static uint8_t big[CS_KMS_CONFIG_MAX + 1];
    assert_int_equal(cs_kms_config_read(&c, &bad, CS_SLICE_NULL), CS_E_CONFIG);
    assert_int_equal(cs_kms_config_read(&c, NULL, cs_slice_str("x")), CS_E_CONFIG);
    assert_int_equal(cs_kms_config_read(&c, &bad, cs_slice_of(big, sizeof big)), CS_E_CONFIG);
    assert_int_equal(read_section("", "h", 1), CS_OK);
    mem[4] ^= 1; /* an unknown key */
    assert_int_equal(cs_kms_config_read(&c, &bad, cs_buf_slice(&b)), CS_E_CONFIG);
    assert_int_equal(read_section("", "h", 1), CS_OK);
    mem[b.len] = 0xf6; /* something behind */
    assert_int_equal(cs_kms_config_read(&c, &bad, cs_slice_of(mem, b.len + 1)), CS_E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_whole_section),
        cmocka_unit_test(only_keys_of_the_list_may_be_asked_for),
        cmocka_unit_test(names_the_key_that_is_missing_or_wrong),
        cmocka_unit_test(refuses_what_is_no_section),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
