/* What nitro-cli says, and what somebody else might say in its place. */
#include "host/nitro_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char run_json[] =
    "{\n  \"EnclaveName\": \"sign-service-enclave\",\n  \"EnclaveID\": \"i-1234567890abcdef0-enc0123456789abcdef\",\n"
    "  \"ProcessID\": 4711,\n  \"EnclaveCID\": 16,\n  \"NumberOfCPUs\": 2,\n  \"CPUIDs\": [1, 3],\n  \"MemoryMiB\": "
    "512\n}\n";

static void what_run_enclave_prints_is_read(void **state)
{
    cs_nitro_enclave e;

    (void)state;
    assert_int_equal(cs_nitro_parse_run(&e, cs_slice_str(run_json)), CS_OK);
    assert_string_equal(e.name, "sign-service-enclave");
    assert_string_equal(e.id, "i-1234567890abcdef0-enc0123456789abcdef");
    assert_int_equal(e.cid, 16);
    assert_int_equal(e.memory_mib, 512);
    assert_int_equal(e.cpus, 2);
}

static void what_is_not_its_answer_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"EnclaveID\":\"i-1\"}",
        "{\"EnclaveCID\":16}",
        "{\"EnclaveID\":\"i-1\",\"EnclaveCID\":\"16\"}",
        "{\"EnclaveID\":\"i-1\",\"EnclaveCID\":-1}",
        "{\"EnclaveID\":\"i-1\",\"EnclaveCID\":3}",          /* the parent itself */
        "{\"EnclaveID\":\"i-1\",\"EnclaveCID\":4294967295}", /* any */
        "{\"EnclaveID\":\"--all\",\"EnclaveCID\":16}",       /* would be an option of terminate-enclave */
        "{\"EnclaveID\":\"a b\",\"EnclaveCID\":16}",
        "{\"EnclaveID\":\"\\u002d\",\"EnclaveCID\":16}",
        "{\"EnclaveID\":\"\",\"EnclaveCID\":16}",
        "{\"EnclaveID\":\"i-1\",\"EnclaveCID\":16,\"EnclaveCID\":17}",
        "{\"EnclaveID\":\"i-1\",\"EnclaveCID\":16} x",
        "{\"EnclaveID\":\"i-1\",\"EnclaveCID\":16",
        "{\"EnclaveID\":\"i-1\",\"EnclaveCID\":16,}",
    };
    cs_nitro_enclave e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memset(&e, 0x5a, sizeof e);
        assert_int_equal(cs_nitro_parse_run(&e, cs_slice_str(bad[i])), CS_E_NITRO_ANSWER);
        assert_int_equal(e.cid, 0x5a5a5a5a); /* unchanged */
    }
}

static void the_list_has_states_and_modes(void **state)
{
    static const char json[] =
        "[{\"EnclaveName\":\"a\",\"EnclaveID\":\"i-1\",\"EnclaveCID\":16,\"State\":\"RUNNING\",\"Flags\":\"DEBUG_"
        "MODE\","
        "\"Measurements\":{\"PCR0\":\"00\"}},"
        "{\"EnclaveName\":\"x \\u0022\",\"EnclaveID\":\"i-2\",\"EnclaveCID\":17,\"State\":\"TERMINATING\",\"Flags\":"
        "\"NONE\"},{\"EnclaveID\":\"i-3\",\"EnclaveCID\":18,\"State\":\"EMPTY\"}]";
    cs_nitro_enclave e[3];
    size_t num = 9;

    (void)state;
    assert_int_equal(cs_nitro_parse_list(e, &num, 3, cs_slice_str(json)), CS_OK);
    assert_int_equal(num, 3);
    assert_true(e[0].debug && e[0].state == CS_NITRO_RUNNING);
    assert_true(!e[1].debug && e[1].state == CS_NITRO_TERMINATING);
    assert_string_equal(e[1].name, ""); /* a name that we would not give is nobody's of ours */
    assert_int_equal(e[2].state, CS_NITRO_OTHER);
    assert_int_equal(cs_nitro_parse_list(e, &num, 2, cs_slice_str(json)), CS_E_NITRO_ANSWER); /* more than fit */
    assert_int_equal(cs_nitro_parse_list(e, &num, 3, cs_slice_str("[]\n")), CS_OK);
    assert_int_equal(num, 0);
    assert_int_equal(cs_nitro_parse_list(e, &num, 3, cs_slice_str("[{\"EnclaveName\": ")), CS_E_NITRO_ANSWER);
}

static void the_first_code_is_the_cause(void **state)
{
    char text[200];
    int code = 0;

    (void)state;
    assert_int_equal(
        cs_nitro_error(&code, text,
                       cs_slice_str("Start allocating memory...\n[ E26 ] Insufficient memory requested.\n"
                                    "\nFailed connections: 1\n[ E39 ] Enclave process connection failure.")),
        CS_E_NITRO_MEMORY);
    assert_int_equal(code, 26);
    assert_string_equal(text, "Insufficient memory requested.");
    assert_int_equal(cs_nitro_error(&code, text, cs_slice_str("[ E39 ] x")), CS_E_NITRO);
    assert_int_equal(code, 39);
}

static void without_a_code_the_first_line_is_told(void **state)
{
    char text[200];
    int code = 0;

    (void)state;
    assert_int_equal(cs_nitro_error(&code, text, cs_slice_str("Failed connections: 1\nmore")), CS_E_NITRO);
    assert_int_equal(code, -1);
    assert_string_equal(text, "Failed connections: 1");
    assert_int_equal(cs_nitro_error(&code, text, cs_slice_str("[ E3 ] a\n[ Exx ] b\n[ E361 ] c\x1b[31m")), CS_E_NITRO);
    assert_int_equal(code, -1);
    assert_int_equal(cs_nitro_error(&code, text, cs_slice_str("[ E44 ] a\x1b[31mb")), CS_E_NITRO_CONSOLE);
    assert_string_equal(text, "a?[31mb");
    assert_int_equal(cs_nitro_error(&code, text, CS_SLICE_NULL), CS_E_NITRO);
    assert_string_equal(text, "");
}

static void every_code_has_an_error_of_ours(void **state)
{
    static const struct {
        int code;
        cs_err err;
    } rows[] = {
        {1, CS_E_NITRO_ARGUMENT}, {11, CS_E_NITRO_GONE},      {19, CS_E_NITRO_DEVICE},    {21, CS_E_NITRO_CPUS},
        {22, CS_E_NITRO_CPUS},    {26, CS_E_NITRO_MEMORY},    {27, CS_E_NITRO_HUGEPAGES}, {29, CS_E_NITRO_START},
        {33, CS_E_NITRO_START},   {35, CS_E_NITRO_IMAGE},     {36, CS_E_NITRO_BOOT},      {44, CS_E_NITRO_CONSOLE},
        {58, CS_E_NITRO_NAME},    {59, CS_E_NITRO_SIGNATURE}, {39, CS_E_NITRO},           {99, CS_E_NITRO}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(cs_nitro_err_of(rows[i].code), rows[i].err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_run_enclave_prints_is_read),       cmocka_unit_test(what_is_not_its_answer_is_refused),
        cmocka_unit_test(the_list_has_states_and_modes),         cmocka_unit_test(the_first_code_is_the_cause),
        cmocka_unit_test(without_a_code_the_first_line_is_told), cmocka_unit_test(every_code_has_an_error_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
