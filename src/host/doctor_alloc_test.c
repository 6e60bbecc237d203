/* allocator.yaml and CPU lists: what the shipped file looks like, and each refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "host/doctor_alloc.h"

static cs_err parse(cs_doctor_alloc *out, unsigned *line, const char *text)
{
    return cs_doctor_alloc_parse(out, line, cs_slice_str(text));
}

static void alloc_reads_the_shipped_form(void **state)
{
    cs_doctor_alloc a;
    unsigned line = 9;

    (void)state;
    assert_int_equal(parse(&a, &line,
                           "---\n# Enclave configuration file.\n#\n# How much memory to allocate (MiB).\n"
                           "memory_mib: 512\n#\n# How many CPUs.\ncpu_count: 2\n#\n# cpu_pool: 2,3,6-9\n"),
                     CS_OK);
    assert_int_equal(a.memory_mib, 512);
    assert_int_equal(a.cpu_count, 2);
    assert_false(a.has_pool);
    assert_int_equal(line, 0);
    assert_int_equal(parse(&a, &line, "# first\n\n---\r\nmemory_mib:  3072 # 3 GiB\r\ncpu_pool: 2,3,6-9\r\n"), CS_OK);
    assert_int_equal(a.memory_mib, 3072);
    assert_true(a.has_pool);
    assert_int_equal(a.cpu_count, 6);
    assert_int_equal(cs_doctor_alloc_count(&a.pool), 6);
    assert_int_equal(parse(&a, &line, "---\nmemory_mib: 64\ncpu_count: 1"), CS_OK); /* no LF at the end */
}

static void alloc_refuses(void **state)
{
    static const struct {
        const char *text;
        cs_err err;
        unsigned line;
    } rows[] = {
        {"", CS_E_FORMAT, 0},
        {"memory_mib: 512\ncpu_count: 2\n", CS_E_FORMAT, 1},                       /* no --- */
        {" ---\nmemory_mib: 512\ncpu_count: 2\n", CS_E_FORMAT, 1},                 /* indented */
        {"---\n", CS_E_FORMAT, 0},                                                 /* nothing */
        {"---\nmemory_mib: 512\n", CS_E_FORMAT, 0},                                /* no CPUs */
        {"---\ncpu_count: 2\n", CS_E_FORMAT, 0},                                   /* no memory */
        {"---\nmemory_mib: 512\ncpu_count: 2\ncpu_pool: 1,2\n", CS_E_FORMAT, 0},   /* conflict */
        {"---\nmemory_mib: 512\nmemory_mib: 512\ncpu_count: 2\n", CS_E_FORMAT, 3}, /* twice */
        {"---\nmemory_mib: 512\ncpu_pool: 1\ncpu_pool: 2\n", CS_E_FORMAT, 4},      /* twice */
        {"---\nmemory: 512\ncpu_count: 2\n", CS_E_CONFIG_KEY, 2},                  /* another key */
        {"---\nmemory_mib:512\ncpu_count: 2\n", CS_E_FORMAT, 2},                   /* no blank */
        {"---\n  memory_mib: 512\ncpu_count: 2\n", CS_E_FORMAT, 2},                /* nested */
        {"---\nmemory_mib: 512M\ncpu_count: 2\n", CS_E_FORMAT, 2},                 /* a unit */
        {"---\nmemory_mib: 0\ncpu_count: 2\n", CS_E_RANGE, 2},                     /* nothing */
        {"---\nmemory_mib: 4294967296\ncpu_count: 2\n", CS_E_RANGE, 2},            /* too much */
        {"---\nmemory_mib: 512\ncpu_count: -1\n", CS_E_FORMAT, 3},                 /* negative */
        {"---\nmemory_mib: 512\ncpu_count: \"2\"\n", CS_E_FORMAT, 3},              /* quoted */
        {"---\nmemory_mib: 512\ncpu_pool: 2, 3\n", CS_E_FORMAT, 3},                /* blank in the list */
        {"---\nmemory_mib: 512\ncpu_count: 2\n---\n", CS_E_FORMAT, 4},             /* second document */
        {"---\nmemory_mib:\ncpu_count: 2\n", CS_E_FORMAT, 2},                      /* no value */
        {"---\n: 512\ncpu_count: 2\n", CS_E_CONFIG_KEY, 2},                        /* no key */
    };
    cs_doctor_alloc a, before;
    unsigned line;

    (void)state;
    memset(&before, 0x5a, sizeof before);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        a = before;
        assert_int_equal(parse(&a, &line, rows[i].text), rows[i].err);
        assert_int_equal(line, rows[i].line);
        assert_memory_equal(&a, &before, sizeof a);
    }
    static char large[CS_DOCTOR_ALLOC_MAX + 2];
    memset(large, '\n', sizeof large - 1);
    assert_int_equal(parse(&a, &line, large), CS_E_TOO_LARGE);
    memset(large, '#', 5000);
    large[5000] = '\0';
    assert_int_equal(parse(&a, &line, large), CS_E_FORMAT); /* a line without end */
}

static void alloc_lists_cpus(void **state)
{
    static const char *const bad[] = {"",    "\n",    ",", "1,", ",1", "1,,2", "1-",    "-1", "3-1", "1-2-3",
                                      "1,1", "1-3,2", "a", "01", "1 ", " 1",   "1\n\n", "+1", "0x1", "1-3,0-1"};
    cs_doctor_cpus c, before;

    (void)state;
    assert_int_equal(cs_doctor_alloc_cpus(&c, cs_slice_str("0\n")), CS_OK);
    assert_int_equal(cs_doctor_alloc_count(&c), 1);
    assert_int_equal(cs_doctor_alloc_cpus(&c, cs_slice_str("1,17,5-7")), CS_OK);
    assert_int_equal(cs_doctor_alloc_count(&c), 5);
    assert_int_equal(c.bit[0], 1u << 1 | 1u << 17 | 7u << 5);
    assert_int_equal(cs_doctor_alloc_cpus(&c, cs_slice_str("0-1023")), CS_OK);
    assert_int_equal(cs_doctor_alloc_count(&c), 1024);
    assert_int_equal(cs_doctor_alloc_cpus(&c, cs_slice_str("1024")), CS_E_RANGE);
    assert_int_equal(cs_doctor_alloc_cpus(&c, cs_slice_str("1-99999999999999999999")), CS_E_RANGE);
    before = c;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(cs_doctor_alloc_cpus(&c, cs_slice_str(bad[i])), CS_E_FORMAT);
        assert_memory_equal(&c, &before, sizeof c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alloc_reads_the_shipped_form),
        cmocka_unit_test(alloc_refuses),
        cmocka_unit_test(alloc_lists_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
