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

/* The section with one key left out (or "") and the host and port given. */
static cs_err read_section(const char *without, const char *host, uint64_t port)
{
    static const char *const names[] = {"ca",     "host",      "level",     "keyArn",
                                        "region", "parentCid", "proxyPort", "encryptionContext"};
    b = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_cbor_put_map(&b, without[0] != '\0' ? 7 : 8), CS_OK);
    for (int i = 0; i < 8; i++) {
        if (strcmp(names[i], without) == 0) {
            continue;
        }
        if (i == 0 || i >= 5) {
            assert_int_equal(cs_cbor_put_text(&b, names[i]), CS_OK);
        }
        switch (i) {
        case 0:
            assert_int_equal(cs_cbor_put_bytes(&b, cs_slice_str("PEM")), CS_OK);
            break;
        case 5:
            assert_int_equal(cs_cbor_put_uint(&b, 3), CS_OK);
            break;
        case 6:
            assert_int_equal(cs_cbor_put_uint(&b, port), CS_OK);
            break;
        case 7:
            assert_int_equal(cs_cbor_put_map(&b, 1), CS_OK);
            put_text("app", "sign");
            break;
        default:
            put_text(names[i], i == 1 ? host : (i == 2 ? "info" : "x"));
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
}

static void names_the_key_that_is_missing_or_wrong(void **state)
{
    static const char *const names[] = {"ca",     "host",      "level",     "keyArn",
                                        "region", "parentCid", "proxyPort", "encryptionContext"};
    for (int i = 0; i < 8; i++) {
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
        cmocka_unit_test(names_the_key_that_is_missing_or_wrong),
        cmocka_unit_test(refuses_what_is_no_section),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
