/* Faults of KMS on demand: which requests meet them, and what is no fault. What they do is seen in tests/interop/kms_channel.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "emulator/state.h"

static char dir[64], path[128];
static cs_emu_fault_memory memory;
static cs_emu_fault met;
static uint32_t ms;

static int set_up(void **state)
{
    memory = (cs_emu_fault_memory){.met = 0};
    (void)snprintf(dir, sizeof dir, "/tmp/cs-fault-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/kms-fault.json", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)unlink(path);
    return rmdir(dir);
}

static void set(const char *text)
{
    assert_int_equal(cs_emu_file_write(path, cs_slice_str(text)), CS_OK);
}

static cs_emu_fault ask(const char *op, bool attested)
{
    met = CS_EMU_FAULT_BOTH;
    assert_int_equal(cs_emu_fault_of(&met, &ms, &memory, dir, op, attested), CS_OK);
    return met;
}

static void without_a_file_nothing_is_wrong(void **state)
{
    assert_int_equal(ask("Decrypt", true), CS_EMU_FAULT_NONE);
    set("{\"fault\":\"deny\"}");
    assert_int_equal(ask("Decrypt", true), CS_EMU_FAULT_DENY);
    (void)unlink(path);
    assert_int_equal(ask("Decrypt", true), CS_EMU_FAULT_NONE);
}

static void every_name_is_a_fault_of_its_own(void **state)
{
    static const char *const names[] = {"slow",  "down",        "throttle", "deny",    "internal",        "no-json",
                                        "empty", "foreign-key", "forged",   "garbled", "other-recipient", "plaintext",
                                        "both"};
    for (int i = 0; i < CS_EMU_FAULT_BOTH; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "{\"fault\":\"%s\"}", names[i]);
        set(text);
        assert_int_equal(ask("Decrypt", true), i + 1);
        assert_int_equal(ms, i == 0 ? 1000 : 0);
    }
}

static void only_the_requests_that_are_meant_meet_it(void **state)
{
    set("{\"fault\":\"deny\"}");
    assert_int_equal(ask("Decrypt", false), CS_EMU_FAULT_NONE);
    assert_int_equal(ask("GenerateDataKey", true), CS_EMU_FAULT_DENY);
    set("{\"fault\":\"deny\",\"operation\":\"Decrypt\"}");
    assert_int_equal(ask("Decrypt", false), CS_EMU_FAULT_DENY);
    assert_int_equal(ask("GenerateDataKey", true), CS_EMU_FAULT_NONE);
    set("{\"fault\":\"deny\",\"operation\":\"*\"}");
    assert_int_equal(ask("ListKeys", false), CS_EMU_FAULT_DENY);
}

static void it_counts_from_where_the_file_is_new(void **state)
{
    static const int want[] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0}; /* the third and the sixth */
    for (int round = 0; round < 2; round++) {
        set(round == 0 ? "{\"fault\":\"throttle\",\"every\":3,\"times\":2}"
                       : "{\"fault\":\"throttle\",\"times\":2,\"every\":3}");
        for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
            (void)ask("Encrypt", false); /* others do not count */
            assert_int_equal(ask("Decrypt", true), want[i] ? CS_EMU_FAULT_THROTTLE : CS_EMU_FAULT_NONE);
        }
    }
    set("{\"fault\":\"slow\",\"milliseconds\":7}");
    assert_int_equal(ask("Decrypt", true), CS_EMU_FAULT_SLOW);
    assert_int_equal(ms, 7);
}

static void what_is_no_fault_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "[]",
                                      "{",
                                      "{}",
                                      "{\"fault\":\"\"}",
                                      "{\"fault\":\"slo\"}",
                                      "{\"fault\":1}",
                                      "{\"fault\":\"deny\",\"time\":1}",
                                      "{\"fault\":\"deny\",\"times\":0}",
                                      "{\"fault\":\"deny\",\"every\":0}",
                                      "{\"fault\":\"slow\",\"milliseconds\":0}",
                                      "{\"fault\":\"slow\",\"milliseconds\":120001}",
                                      "{\"fault\":\"deny\",\"fault\":\"slow\"}"};
    char big[1024];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        set(bad[i]);
        assert_int_equal(cs_emu_fault_of(&met, &ms, &memory, dir, "Decrypt", true), CS_E_FORMAT);
        assert_int_equal(met, CS_EMU_FAULT_NONE);
    }
    (void)snprintf(big, sizeof big, "{\"fault\":\"deny\",\"operation\":\"%0600d\"}", 0);
    set(big);
    assert_true(cs_emu_fault_of(&met, &ms, &memory, dir, "Decrypt", true) != CS_OK);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(without_a_file_nothing_is_wrong),
        T(every_name_is_a_fault_of_its_own),
        T(only_the_requests_that_are_meant_meet_it),
        T(it_counts_from_where_the_file_is_new),
        T(what_is_no_fault_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
