/* The gateway's file: the seeds' keys, our own, and one refusal per fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "gateway/settings.h"

static void defaults_are_the_documented_ones(void **state)
{
    static cs_gate_config c;
    (void)state;
    cs_gate_settings_default(&c);
    assert_string_equal(c.http.host, "0.0.0.0");
    assert_int_equal(c.http.port, 8080);
    assert_int_equal(c.grpc.port, 50050);
    assert_string_equal(c.service.host, "127.0.0.1");
    assert_int_equal(c.service.port, 50051);
    assert_int_equal(c.num_origins, 0);
    assert_int_equal(c.rooms.rooms, 10000);
    assert_int_equal(c.rooms.messages, 8192);
    assert_int_equal(c.rooms.bytes, 32 << 20);
    assert_int_equal(c.rooms.bytes_all, 256 << 20);
    assert_int_equal(c.rooms.subscribers, 2048);
    assert_int_equal(c.rooms.subscribers_all, 4096);
    assert_int_equal(c.rooms.idle_ms, 10000);
    assert_int_equal(c.rooms.max_ms, 600000);
}

static void a_file_is_laid_over_the_defaults(void **state)
{
    static cs_gate_config c;
    cs_yaml_fault fault;
    (void)state;
    cs_gate_settings_default(&c);
    assert_int_equal(cs_gate_settings_read(&c, &fault,
                                           cs_slice_str("server:\n  host: ::1\n  port: 18080\n"
                                                        "  cors_origins: [https://a.example, 'http://b:3000', '*']\n"
                                                        "grpc: {port: 0}\n"
                                                        "sign_service: {url: 'http://service:6000/'}\n"
                                                        "logging: {level: debug, format: json}\n"
                                                        "rooms: {max: 5, idleSeconds: 3}\n"
                                                        "limits: {calls: 7}\n")),
                     CS_OK);
    assert_string_equal(c.http.host, "::1");
    assert_int_equal(c.http.port, 18080);
    assert_int_equal(c.num_origins, 3);
    assert_string_equal(c.origins[1], "http://b:3000");
    assert_string_equal(c.grpc.host, "0.0.0.0");
    assert_int_equal(c.grpc.port, 0);
    assert_string_equal(c.service.host, "service");
    assert_int_equal(c.service.port, 6000);
    assert_int_equal(c.log_level, CS_LOG_DEBUG);
    assert_int_equal(c.rooms.rooms, 5);
    assert_int_equal(c.rooms.idle_ms, 3000);
    assert_int_equal(c.rooms.messages, 8192);
    assert_int_equal(c.calls, 7);
}

static void faults_name_the_key(void **state)
{
    static const struct {
        const char *text;
        cs_err err;
        const char *word;
    } bad[] = {
        {"server: {prot: 1}\n", CS_E_CONFIG_KEY, "server.port"},
        {"severs: {port: 1}\n", CS_E_CONFIG_KEY, "server"},
        {"server: {port: 65536}\n", CS_E_CONFIG, "server.port"},
        {"server: {port: x}\n", CS_E_CONFIG, "server.port"},
        {"server: {host: 'a b'}\n", CS_E_CONFIG, "server.host"},
        {"server: {cors_origins: {a: b}}\n", CS_E_CONFIG, "server.cors_origins"},
        {"server: {cors_origins: [a.example]}\n", CS_E_CONFIG, "server.cors_origins"},
        {"server: {cors_origins: ['https://a.example/']}\n", CS_E_CONFIG, "server.cors_origins"},
        {"server: {cors_origins: [\"https://a\\r\\nb: c\"]}\n", CS_E_CONFIG, "server.cors_origins"},
        {"sign_service: {url: 'https://a:1'}\n", CS_E_CONFIG, "sign_service.url"},
        {"sign_service: {url: 'http://a:1/x'}\n", CS_E_CONFIG, "sign_service.url"},
        {"sign_service: {url: 'http://u@a:1'}\n", CS_E_CONFIG, "sign_service.url"},
        {"sign_service: {url: 'http://'}\n", CS_E_CONFIG, "sign_service.url"},
        {"sign_service: {url: 'http://a:99999'}\n", CS_E_CONFIG, "sign_service.url"},
        {"logging: {level: loud}\n", CS_E_CONFIG, "logging.level"},
        {"logging: {format: text}\n", CS_E_CONFIG, "logging.format"},
        {"rooms: {max: 0}\n", CS_E_CONFIG, "rooms.max"},
        {"rooms: {idleSeconds: 3601}\n", CS_E_CONFIG, "rooms.idleSeconds"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        static cs_gate_config c, before;
        cs_yaml_fault fault = {0};
        cs_gate_settings_default(&c);
        before = c;
        cs_err err = cs_gate_settings_read(&c, &fault, cs_slice_str(bad[i].text));
        if (err != bad[i].err || strstr(fault.text, bad[i].word) == NULL) {
            fail_msg("%s: %s: %s", bad[i].text, cs_err_code(err), fault.text);
        }
        assert_memory_equal(&c, &before, sizeof c);
    }
}

static void services_are_urls_or_endpoints(void **state)
{
    cs_endpoint ep;
    (void)state;
    assert_int_equal(cs_gate_service_parse(&ep, cs_slice_str("http://[::1]")), CS_OK);
    assert_string_equal(ep.host, "::1");
    assert_int_equal(ep.port, 50051);
    assert_int_equal(cs_gate_service_parse(&ep, cs_slice_str("http://[::1]:7")), CS_OK);
    assert_int_equal(ep.port, 7);
    assert_int_equal(cs_gate_service_parse(&ep, cs_slice_str("unix:/a/b")), CS_OK);
    assert_int_equal(ep.scheme, CS_EP_UNIX);
    assert_int_equal(cs_gate_service_parse(&ep, cs_slice_str("vsock:16:50051")), CS_OK);
    assert_int_equal(cs_gate_service_parse(&ep, cs_slice_str("https://a")), CS_E_UNSUPPORTED);
    assert_int_not_equal(cs_gate_service_parse(&ep, cs_slice_str("a:1")), CS_OK);
}

/* deploy/config/sign-gateway.yaml has every key, each with its default. */
static void the_example_is_the_defaults(void **state)
{
    static char text[CS_YAML_MAX];
    static cs_gate_config c, d;
    cs_yaml_fault fault;
    FILE *f = fopen(CS_SOURCE_ROOT "/deploy/config/sign-gateway.yaml", "re");

    (void)state;
    assert_non_null(f);
    size_t len = fread(text, 1, sizeof text, f);
    (void)fclose(f);
    cs_gate_settings_default(&d);
    cs_gate_settings_default(&c);
    assert_int_equal(cs_gate_settings_read(&c, &fault, cs_slice_of(text, len)), CS_OK);
    assert_memory_equal(&c.rooms, &d.rooms, sizeof c.rooms);
    assert_true(c.http.port == d.http.port && strcmp(c.http.host, d.http.host) == 0 && c.grpc.port == d.grpc.port &&
                strcmp(c.grpc.host, d.grpc.host) == 0 && c.service.port == d.service.port &&
                strcmp(c.service.host, d.service.host) == 0 && c.num_origins == 0);
    assert_true(c.http_conns == d.http_conns && c.grpc_conns == d.grpc_conns && c.calls == d.calls &&
                c.call_bytes == d.call_bytes && c.request_bytes == d.request_bytes && c.attests == d.attests &&
                c.drain_ms == d.drain_ms && c.service_conns == d.service_conns &&
                c.service_wait_ms == d.service_wait_ms && c.log_level == d.log_level);
    assert_true(c.tee.given && c.tee.enabled_set && c.tee.enclave_cid_set);
    c.tee.given = c.tee.enabled_set = c.tee.enclave_cid_set = false;
    assert_memory_equal(&c.tee, &d.tee, sizeof c.tee);
    for (size_t i = 0; i < cs_gate_num_keys(); i++) {
        const char *name = strchr(cs_gate_key(i), '.') + 1;
        char line[64];
        (void)snprintf(line, sizeof line, "\n  %s:", name);
        assert_non_null(strstr(text, line));
    }
    for (size_t i = 0; cs_tee_setting(i) != NULL; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, " %s:", strrchr(cs_tee_setting(i), '.') + 1);
        assert_non_null(strstr(text, line));
    }
}

static void names_of_levels_are_also_those_of_the_seed(void **state)
{
    static cs_gate_config c;
    cs_yaml_fault fault;

    (void)state;
    cs_gate_settings_default(&c);
    assert_int_equal(cs_gate_settings_read(&c, &fault, cs_slice_str("logging: {level: warning}\n")), CS_OK);
    assert_int_equal(c.log_level, CS_LOG_WARN);
    assert_int_equal(cs_gate_settings_read(&c, &fault, cs_slice_str("logging: {level: trace}\n")), CS_OK);
    assert_int_equal(c.log_level, CS_LOG_DEBUG);
}

/* Or those who subscribe and stay would keep everybody else out. */
static void event_streams_never_take_all_connections(void **state)
{
    static cs_gate_config c;

    (void)state;
    cs_gate_settings_default(&c);
    cs_gate_settings_fit(&c);
    assert_int_equal(c.rooms.subscribers_all, 4096); /* as documented */
    c.http_conns = 700;                              /* ulimit -n 1024 */
    cs_gate_settings_fit(&c);
    assert_int_equal(c.rooms.subscribers_all, 525);
    c.http_conns = 1;
    cs_gate_settings_fit(&c);
    assert_int_equal(c.rooms.subscribers_all, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_documented_ones),
        cmocka_unit_test(a_file_is_laid_over_the_defaults),
        cmocka_unit_test(faults_name_the_key),
        cmocka_unit_test(services_are_urls_or_endpoints),
        cmocka_unit_test(the_example_is_the_defaults),
        cmocka_unit_test(names_of_levels_are_also_those_of_the_seed),
        cmocka_unit_test(event_streams_never_take_all_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
