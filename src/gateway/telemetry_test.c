/* Core's figures from a status document, and the settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/telemetry_int.h"

static cs_err read_text(cs_tel_core_figures *out, const char *json)
{
    return cs_tel_core_read(out, cs_slice_str(json));
}

static void figures_of_core_are_read(void **state)
{
    cs_tel_core_figures f;
    (void)state;
    assert_int_equal(read_text(&f, "{\"phase\":\"SERVING\",\"load\":{\"credentials\":\"present\",\"credentials_expire_"
                                   "ms\":1500},\"tee\":{\"queue\":3,"
                                   "\"calls\":{\"Sign\":4,\"unreadable\":2},\"codes\":{\"CALLER_AUTH\":5,\"NO_SUCH_"
                                   "CODE\":6},\"latency\":{\"sum_us\":2500000,"
                                   "\"up_to_us\":[125,250],\"count\":[1,2,3]},\"kms\":{\"calls\":7,\"latency_sum_ms\":"
                                   "9,\"up_to_us\":[1000],\"count\":[1,0]}}}"),
                     CS_OK);
    assert_true(f.up && f.has_tee);
    assert_string_equal(f.phase, "SERVING");
    assert_string_equal(f.credentials, "present");
    assert_int_equal(f.credentials_expire_ms, 1500);
    assert_int_equal(f.queue, 3);
    assert_int_equal(f.calls[CS_TEE_SIGN], 4);
    assert_int_equal(f.unreadable, 2);
    assert_int_equal(f.codes[CS_E_CALLER_AUTH], 5);
    assert_int_equal(f.latency.num, 2);
    assert_int_equal(f.latency.counts[2], 3);
    assert_true(f.latency.bounds[0] == 125 / 1e6 && f.latency.sum == 2.5);
    assert_int_equal(f.kms_calls, 7);
    assert_int_equal(f.kms_latency.num, 1);
}

static void what_is_not_there_or_makes_no_sense_is_nothing(void **state)
{
    cs_tel_core_figures f = {.queue = 9};
    (void)state;
    assert_int_equal(read_text(&f, ""), CS_E_FORMAT);
    assert_int_equal(read_text(&f, "[]"), CS_E_FORMAT);
    assert_int_equal(read_text(&f, "{\"a\":1,\"a\":2}"), CS_E_FORMAT);
    assert_int_equal(f.queue, 9); /* as before */
    assert_int_equal(read_text(&f, "{\"tee\":null,\"phase\":\"A name longer than any that there is\"}"), CS_OK);
    assert_false(f.has_tee);
    assert_string_equal(f.phase, "");
    assert_int_equal(f.queue, 0);
    static const char *const histograms[] = {"{\"up_to_us\":[],\"count\":[1]}", "{\"up_to_us\":[1,2],\"count\":[1,2]}",
                                             "{\"up_to_us\":[2,2],\"count\":[1,2,3]}",
                                             "{\"up_to_us\":[2,1],\"count\":[1,2,3]}", "7"};
    for (size_t i = 0; i < sizeof histograms / sizeof *histograms; i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "{\"tee\":{\"queue\":-1,\"latency\":%s}}", histograms[i]);
        assert_int_equal(read_text(&f, text), CS_OK);
        assert_int_equal(f.latency.num, 0);
        assert_int_equal(f.queue, 0);
    }
}

static cs_err check_config(const char *listen, const char *otlp)
{
    cs_telemetry_config c;
    cs_yaml_fault fault = {0};
    cs_telemetry_config_default(&c);
    (void)snprintf(c.listen, sizeof c.listen, "%s", listen);
    (void)snprintf(c.otlp, sizeof c.otlp, "%s", otlp);
    cs_err err = cs_telemetry_config_check(&c, &fault);
    assert_true(err == CS_OK || strstr(fault.text, "telemetry.") == fault.text);
    return err;
}

static void addresses_are_checked_when_they_are_set(void **state)
{
    static const char *const wrong[] = {"127.0.0.1:4318",     "ftp://x",    "http://",    "http:///x",
                                        "http://user:word@x", "http://x?y", "http://x y", "https://:1"};
    (void)state;
    assert_int_equal(check_config("127.0.0.1:0", ""), CS_OK);
    assert_int_equal(check_config("[::1]:9464", "http://127.0.0.1:4318"), CS_OK);
    assert_int_equal(check_config("unix:/run/metrics", "https://collector.example/otlp"), CS_OK);
    assert_int_equal(check_config("off", ""), CS_OK);
    assert_int_equal(check_config("", ""), CS_E_CONFIG);
    assert_int_equal(check_config("127.0.0.1:99999", ""), CS_E_CONFIG);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(check_config("off", wrong[i]), CS_E_CONFIG);
    }
}

static void calls_that_are_not_counted_need_no_telemetry(void **state)
{
    cs_trace_headers h = {0};
    cs_grpc_header headers[CS_TEL_HEADERS];
    uint8_t mem[CS_TRACE_PARENT_LEN];
    (void)state;
    assert_null(cs_tel_begin(NULL, CS_TEL_HTTP, &h));
    assert_null(cs_tel_core(NULL, NULL));
    assert_null(cs_tel_trace(NULL));
    assert_int_equal(cs_tel_headers(headers, mem, NULL), 0);
    cs_tel_ask(NULL, 1, NULL);
    cs_tel_end(NULL, CS_OK);
    cs_tel_gone(NULL);
    cs_telemetry_gate(NULL, CS_TEL_GATE_OPEN);
    cs_telemetry_gate_checked(NULL, CS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_of_core_are_read),
        cmocka_unit_test(what_is_not_there_or_makes_no_sense_is_nothing),
        cmocka_unit_test(addresses_are_checked_when_they_are_set),
        cmocka_unit_test(calls_that_are_not_counted_need_no_telemetry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
