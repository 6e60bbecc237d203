/* Settings of the TEE service: where values come from and in which order, what is refused, what is printed, and policies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/settings.h"
#include "gateway/tee_settings.h"

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
#define HEX_0 "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"

static cs_gate_config c;
static cs_yaml_fault fault;

static cs_err file(const char *yaml)
{
    cs_gate_settings_default(&c);
    return cs_gate_settings_read(&c, &fault, cs_slice_str(yaml));
}

static cs_err env1(char *assignment)
{
    char *const list[] = {assignment, NULL};
    return cs_tee_settings_env(&c.tee, &fault, list);
}

static cs_err finish(void)
{
    bool warned;
    return cs_tee_settings_finish(&c.tee, &fault, &warned);
}

static void the_seeds_section_is_taken(void **state)
{
    assert_int_equal(file("tee:\n  enabled: true\n  enclaveCID: 17\n  vsock:\n    kmsPort: 8100\n    imdsPort: 8101\n"
                          "    stsPort: 8102\n  kmsKeyARN: \"arn\"\n  allowedPCRs: [\"" HEX_A "\"]\n"
                          "  requestTimeoutSeconds: 7\n"),
                     CS_OK);
    assert_true(c.tee.enabled && c.tee.enclave_cid == 17 && c.tee.kms_port == 8100 && c.tee.imds_port == 8101 &&
                c.tee.sts_port == 8102 && c.tee.num_pcrs == 1 && c.tee.timeout_s == 7);
    assert_string_equal(c.tee.kms_key_arn, "arn");
    assert_int_equal(finish(), CS_OK);
}

static void it_is_off_without_a_word_and_on_with_one(void **state)
{
    assert_int_equal(file("grpc: {port: 1}\n"), CS_OK);
    assert_int_equal(finish(), CS_OK);
    assert_false(c.tee.enabled);
    assert_int_equal(file("tee: {allowedPCRs: [\"" HEX_A "\"]}\n"), CS_OK);
    assert_int_equal(finish(), CS_OK);
    assert_true(c.tee.enabled); /* the seed's default */
    assert_int_equal(file("tee: {enabled: false}\n"), CS_OK);
    assert_int_equal(env1("APP_TEE_ENCLAVECID=20"), CS_OK);
    assert_int_equal(finish(), CS_OK);
    assert_false(c.tee.enabled);
    assert_int_equal(file(""), CS_E_CONFIG); /* as before: a file is a map */
    cs_gate_settings_default(&c);
    assert_int_equal(env1("MPC_TLS_CERT_FILE=/x"), CS_OK);
    assert_int_equal(env1("MPC_TLS_KEY_FILE=/y"), CS_OK);
    assert_int_equal(finish(), CS_OK);
    assert_false(c.tee.enabled); /* TLS is for rooms, too */
}

static void an_empty_list_refuses(void **state)
{
    assert_int_equal(file("tee: {enabled: true}\n"), CS_OK);
    assert_int_equal(finish(), CS_E_ATT_NO_POLICY);
    assert_non_null(strstr(fault.text, "tee.allowedPCRs"));
    assert_int_equal(file("tee: {enabled: true, allowedPCRs: [\"" HEX_A "\"]}\n"), CS_OK);
    assert_int_equal(env1("APP_TEE_ALLOWEDPCRS="), CS_OK); /* the environment goes before the file */
    assert_int_equal(finish(), CS_E_ATT_NO_POLICY);
}

static void flags_go_before_the_environment_and_that_before_the_file(void **state)
{
    assert_int_equal(file("tee: {requestTimeoutSeconds: 1, enclaveCID: 11, maxCalls: 5}\n"), CS_OK);
    assert_int_equal(env1("APP_TEE_REQUESTTIMEOUTSECONDS=2"), CS_OK);
    assert_int_equal(env1("APP_TEE_ENCLAVECID=12"), CS_OK);
    assert_int_equal(cs_tee_settings_set(&c.tee, &fault, "tee.requestTimeoutSeconds=3"), CS_OK);
    assert_true(c.tee.timeout_s == 3 && c.tee.enclave_cid == 12 && c.tee.calls == 5);
    assert_int_equal(env1("APP_TEE_VSOCK_KMSPORT=9"), CS_OK);
    assert_int_equal(env1("APP_TEE_STORE_DRIVER=postgres"), CS_OK);
    assert_int_equal(env1("APP_TEE_ALLOWEDPCRS=a, b"), CS_OK);
    assert_true(c.tee.kms_port == 9 && c.tee.num_pcrs == 2);
    assert_string_equal(c.tee.pcrs[1], "b");
    assert_int_equal(env1("APP_OTHER=1"), CS_OK);
    assert_int_equal(env1("PATH=1"), CS_OK);
}

static void a_timeout_that_is_not_positive_becomes_five(void **state)
{
    static const char *const texts[] = {"0", "-1", "-9223372036854775807"};
    for (size_t i = 0; i < 3; i++) {
        char text[96];
        bool warned = false;
        (void)snprintf(text, sizeof text, "tee: {enabled: false, requestTimeoutSeconds: %s}\n", texts[i]);
        assert_int_equal(file(text), CS_OK);
        assert_int_equal(cs_tee_settings_finish(&c.tee, &fault, &warned), CS_OK);
        assert_true(warned && c.tee.timeout_s == 5);
    }
}

static void unknown_names_are_refused_with_the_nearest(void **state)
{
    assert_int_equal(file("tee: {enclaveCid: 16}\n"), CS_E_CONFIG_KEY);
    assert_non_null(strstr(fault.text, "tee.enclaveCID"));
    assert_int_equal(file("tee:\n  vsock: {kmsport: 1}\n"), CS_E_CONFIG_KEY);
    assert_non_null(strstr(fault.text, "tee.vsock.kmsPort"));
    assert_int_equal(fault.line, 2);
    assert_int_equal(env1("APP_TEE_ENCLAVE_CID=1"), CS_E_CONFIG_KEY);
    assert_non_null(strstr(fault.text, "APP_TEE_ENCLAVECID"));
    assert_int_equal(cs_tee_settings_set(&c.tee, &fault, "tee.enable=true"), CS_E_CONFIG_KEY);
    assert_int_equal(cs_tee_settings_set(&c.tee, &fault, "grpc.port=1"), CS_E_CONFIG_KEY);
    assert_int_equal(cs_tee_settings_set(&c.tee, &fault, "tee.enabled"), CS_E_CONFIG);
}

static void wrong_values_are_refused(void **state)
{
    static const char *const bad[] = {"enabled: maybe",
                                      "enclaveCID: 2",
                                      "enclaveCID: 4294967295",
                                      "enclaveCID: x",
                                      "vsock: 8000",
                                      "vsock: {kmsPort: 0}",
                                      "vsock: [1]",
                                      "allowedPCRs: x: 1",
                                      "allowedPCRs: {a: b}",
                                      "allowedPCRs: [\"\"]",
                                      "requestTimeoutSeconds: 1.5",
                                      "requestTimeoutSeconds: 3601",
                                      "requestTimeoutSeconds: --1",
                                      "idempotencySeconds: 1",
                                      "store: {driver: mysql}",
                                      "store: sqlite",
                                      "maxCalls: 0",
                                      "kmsKeyARN: \"a\\nb\"",
                                      "attestationRoot: [a]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "tee:\n  %s\n", bad[i]);
        assert_int_equal(file(text), CS_E_CONFIG);
    }
}

static void what_belongs_together_is_asked_for_together(void **state)
{
    static const char *const bad[] = {"tee: {enabled: false, tls: {certFile: /a}}\n",
                                      "tee: {enabled: false, tls: {keyFile: /a}}\n",
                                      "tee: {enabled: false, tls: {caFile: /a}}\n",
                                      "tee: {enabled: false, tokens: {keys: /k, issuer: i}}\n",
                                      "tee: {allowedPCRs: [\"" HEX_A "\"], store: {driver: postgres}}\n",
                                      "tee: {allowedPCRs: [\"" HEX_A "\"], store: {path: \"\"}}\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(file(bad[i]), CS_OK);
        assert_int_equal(finish(), CS_E_CONFIG);
    }
}

static void what_is_printed_reads_back_and_has_no_password(void **state)
{
    static cs_gate_config again;
    uint8_t mem[32768];
    cs_buf out = cs_buf_wrap(mem, sizeof mem - 1);
    assert_int_equal(file("tee:\n  enabled: true\n  allowedPCRs: [\"" HEX_A "\", \"/a \\\"b\\\\\"]\n  maxCalls: 7\n"
                          "  store: {driver: postgres, dsn: \"postgresql://me@h/db\"}\nserver: {port: 9}\n"),
                     CS_OK);
    assert_int_equal(cs_gate_settings_print(&out, &c), CS_OK);
    cs_gate_settings_default(&again);
    assert_int_equal(cs_gate_settings_read(&again, &fault, cs_buf_slice(&out)), CS_OK);
    again.tee.enclave_cid_set = false;
    again.service_set = false;
    assert_memory_equal(&again.tee, &c.tee, sizeof c.tee);
    assert_int_equal(again.http.port, 9);
    static const char *const dsns[] = {"postgresql://me:hunter2@h/db", "host=h password=hunter2 user=me",
                                       "postgresql://h/db?password=hunter2&x=1", "host=h password='hunter2 x'"};
    for (size_t i = 0; i < 4; i++) {
        char text[128];
        out = cs_buf_wrap(mem, sizeof mem - 1);
        (void)snprintf(text, sizeof text, "tee.store.dsn=%s", dsns[i]);
        assert_int_equal(cs_tee_settings_set(&c.tee, &fault, text), CS_OK);
        assert_int_equal(cs_gate_settings_print(&out, &c), CS_OK);
        mem[out.len] = 0;
        assert_null(strstr((char *)mem, "hunter2"));
        assert_non_null(strstr((char *)mem, "***"));
    }
}

/* ---- policies */

static cs_err policy(cs_att_policy *p, size_t *bare, const char *entries)
{
    char text[4096];
    cs_gate_settings_default(&c);
    (void)snprintf(text, sizeof text, "tee.allowedPCRs=%s", entries);
    assert_int_equal(cs_tee_settings_set(&c.tee, &fault, text), CS_OK);
    return cs_tee_policy_read(p, bare, &fault, &c.tee);
}

static void policies_are_read_in_each_form(void **state)
{
    static cs_att_policy p;
    size_t bare = 9;
    assert_int_equal(policy(&p, &bare, HEX_A ":" HEX_B ":" HEX_A), CS_OK);
    assert_true(p.num_tuples == 1 && p.tuple[0].mask == 7 && bare == 0);
    assert_int_equal(policy(&p, &bare, HEX_A ":" HEX_B ":" HEX_A ":PCR3=" HEX_B ":PCR8=" HEX_A "," HEX_B), CS_OK);
    assert_true(p.num_tuples == 2 && p.tuple[0].mask == 0x10f && p.tuple[1].mask == 1 && bare == 1);
}

static void policies_that_say_nothing_are_refused(void **state)
{
    static const char *const bad[] = {HEX_0,
                                      HEX_A ":" HEX_A,
                                      HEX_A ":" HEX_A ":" HEX_A ":PCR3=" HEX_0,
                                      HEX_A ":" HEX_A ":" HEX_A ":" HEX_A,
                                      HEX_A "a",
                                      HEX_A ":" HEX_A ":" HEX_A ":PCR40=" HEX_A,
                                      "/nonexistent/pcrs.json",
                                      "abc"};
    static cs_att_policy p;
    size_t bare;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(policy(&p, &bare, bad[i]), CS_E_CONFIG);
        assert_non_null(strstr(fault.text, "entry 1"));
    }
    cs_gate_settings_default(&c);
    assert_int_equal(cs_tee_policy_read(&p, &bare, &fault, &c.tee), CS_E_ATT_NO_POLICY);
}

static cs_err policy_of_file(cs_att_policy *p, const char *json)
{
    char path[] = "/tmp/cs-pcrs.XXXXXX";
    size_t bare;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    bool written = write(fd, json, strlen(json)) == (ssize_t)strlen(json);
    assert_int_equal(close(fd), 0);
    assert_true(written);
    cs_err err = policy(p, &bare, path);
    (void)unlink(path);
    return err;
}

static void files_of_measurements_are_read(void **state)
{
    static cs_att_policy p;
    assert_int_equal(policy_of_file(&p, "{\"Measurements\":{\"HashAlgorithm\":\"Sha384 { ... }\",\"PCR0\":\"" HEX_A
                                        "\",\"PCR1\":\"" HEX_A "\",\"PCR2\":\"" HEX_A "\",\"PCR3\":\"" HEX_0
                                        "\",\"PCR8\":\"" HEX_B "\"}}"),
                     CS_OK);
    assert_int_equal(p.tuple[0].mask, 0x107);
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}",
                                      "{\"PCR0\":\"" HEX_A "\"}",
                                      "{\"PCR0\":\"" HEX_0 "\",\"PCR1\":\"" HEX_A "\",\"PCR2\":\"" HEX_A "\"}",
                                      "{\"PCR0\":5,\"PCR1\":\"" HEX_A "\",\"PCR2\":\"" HEX_A "\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(policy_of_file(&p, bad[i]), CS_E_CONFIG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_seeds_section_is_taken),
        cmocka_unit_test(it_is_off_without_a_word_and_on_with_one),
        cmocka_unit_test(an_empty_list_refuses),
        cmocka_unit_test(flags_go_before_the_environment_and_that_before_the_file),
        cmocka_unit_test(a_timeout_that_is_not_positive_becomes_five),
        cmocka_unit_test(unknown_names_are_refused_with_the_nearest),
        cmocka_unit_test(wrong_values_are_refused),
        cmocka_unit_test(what_belongs_together_is_asked_for_together),
        cmocka_unit_test(what_is_printed_reads_back_and_has_no_password),
        cmocka_unit_test(policies_are_read_in_each_form),
        cmocka_unit_test(policies_that_say_nothing_are_refused),
        cmocka_unit_test(files_of_measurements_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
