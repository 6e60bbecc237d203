/* The service section: every key, its range, and what is refused with which code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/limits.h"
#include "codec/cbor.h"
#include "service/service.h"

static uint8_t mem[4096];

/* What a row says in the place of a default; NULL: as it is. */
typedef struct values {
    uint64_t cid, max, sessions, index, egress, silence;
    const char *url, *level;
} values;

static const values good = {3, 1u << 20, 64, 1, 8080, 500, "http://gateway:8080/x", "warn"};

static cs_err put_values(cs_buf *b, const values *v)
{
    CS_TRY(cs_cbor_put_map(b, 8));
    CS_TRY(cs_cbor_put_text(b, "level"));
    CS_TRY(cs_cbor_put_text(b, v->level));
    CS_TRY(cs_cbor_put_text(b, "maxBytes"));
    CS_TRY(cs_cbor_put_uint(b, v->max));
    CS_TRY(cs_cbor_put_text(b, "sessions"));
    CS_TRY(cs_cbor_put_uint(b, v->sessions));
    CS_TRY(cs_cbor_put_text(b, "parentCid"));
    CS_TRY(cs_cbor_put_uint(b, v->cid));
    CS_TRY(cs_cbor_put_text(b, "silenceMs"));
    CS_TRY(cs_cbor_put_uint(b, v->silence));
    CS_TRY(cs_cbor_put_text(b, "egressPort"));
    CS_TRY(cs_cbor_put_uint(b, v->egress));
    CS_TRY(cs_cbor_put_text(b, "gatewayUrl"));
    CS_TRY(cs_cbor_put_text(b, v->url));
    CS_TRY(cs_cbor_put_text(b, "serverIndex"));
    return cs_cbor_put_uint(b, v->index);
}

static cs_err read_values(cs_service_config *out, const values *v)
{
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(put_values(&b, v), CS_OK);
    return cs_service_config_read(out, cs_buf_slice(&b));
}

static void all_keys_are_read(void **state)
{
    cs_service_config c;

    (void)state;
    assert_int_equal(read_values(&c, &good), CS_OK);
    assert_true(c.parent_cid == 3 && c.shares_max == 1u << 20 && c.sessions_max == 64 && c.server_index == 1 &&
                c.egress_port == 8080 && c.silence_ms == 500);
    assert_int_equal(c.log_level, CS_LOG_WARN);
    assert_string_equal(c.gateway_url, "http://gateway:8080/x");
    values off = good;
    off.url = "";
    off.index = 0;
    assert_int_equal(read_values(&c, &off), CS_OK);
    assert_true(c.gateway_url[0] == '\0' && c.server_index == 0);
}

static void values_outside_their_range_are_refused(void **state)
{
    static char long_url[CS_SERVICE_URL_MAX + 2];
    cs_service_config c = {.parent_cid = 77};

    (void)state;
    memset(long_url, 'a', CS_SERVICE_URL_MAX + 1);
    memcpy(long_url, "http://", 7);
    const values bad[] = {
        {0, 1024, 1, 1, 8080, 100, "", "info"},
        {3, 1023, 1, 1, 8080, 100, "", "info"},
        {3, CS_SHARES_MAX + 1, 1, 1, 8080, 100, "", "info"},
        {3, 1024, 65537, 1, 8080, 100, "", "info"},
        {3, 1024, 1, 2, 8080, 100, "", "info"},
        {3, 1024, 1, 1, 0, 100, "", "info"},
        {3, 1024, 1, 1, UINT32_MAX, 100, "", "info"},
        {3, 1024, 1, 1, 8080, 100, "https://a:1", "info"},
        {3, 1024, 1, 1, 8080, 100, "http://", "info"},
        {3, 1024, 1, 1, 8080, 100, "http://a:1/\r\nX: y", "info"},
        {3, 1024, 1, 1, 8080, 100, "http://a:1/ b", "info"},
        {3, 1024, 1, 1, 8080, 100, "http://\xc3\xa9:1", "info"},
        {3, 1024, 1, 1, 8080, 100, long_url, "info"},
        {3, 1024, 1, 1, 8080, 99, "", "info"},
        {3, 1024, 1, 1, 8080, 600001, "", "info"},
        {3, 1024, 1, 1, 8080, 100, "", "loud"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (read_values(&c, &bad[i]) != CS_E_CONFIG || c.parent_cid != 77) {
            fail_msg("row %zu was not refused", i);
        }
    }
    long_url[CS_SERVICE_URL_MAX] = '\0';
    assert_int_equal(read_values(&c, &(values){3, 1024, 1, 1, 8080, 100, long_url, "info"}), CS_OK);
    assert_int_equal(read_values(&c, &(values){3, CS_SHARES_MAX, 1, 1, 8080, 100, long_url, "info"}), CS_OK);
}

static void a_key_too_many_twice_or_missing_is_refused(void **state)
{
    cs_service_config c;
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    (void)state;
    assert_int_equal(put_values(&b, &good), CS_OK);
    mem[0]++; /* nine entries */
    assert_int_equal(cs_cbor_put_text(&b, "zzzzzzzzzzzz"), CS_OK);
    assert_int_equal(cs_cbor_put_uint(&b, 1), CS_OK);
    assert_int_equal(cs_service_config_read(&c, cs_buf_slice(&b)), CS_E_CONFIG_KEY);
    b.len = 0;
    assert_int_equal(put_values(&b, &good), CS_OK);
    mem[0]--;
    assert_int_equal(cs_service_config_read(&c, cs_buf_slice(&b)), CS_E_CONFIG);
    mem[0]++;
    for (size_t n = 0; n < b.len; n++) {
        assert_int_not_equal(cs_service_config_read(&c, cs_slice_of(mem, n)), CS_OK);
    }
    assert_int_equal(cs_put_u8(&b, 0), CS_OK);
    assert_int_equal(cs_service_config_read(&c, cs_buf_slice(&b)), CS_E_CONFIG);
    b.len = 0;
    assert_int_equal(cs_cbor_put_map(&b, 2), CS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cs_cbor_put_text(&b, "parentCid"), CS_OK);
        assert_int_equal(cs_cbor_put_uint(&b, 3), CS_OK);
    }
    assert_int_equal(cs_service_config_read(&c, cs_buf_slice(&b)), CS_E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_keys_are_read),
        cmocka_unit_test(values_outside_their_range_are_refused),
        cmocka_unit_test(a_key_too_many_twice_or_missing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
