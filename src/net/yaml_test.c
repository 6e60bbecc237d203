/* The strict subset of YAML: what is read, with its lines; and one refusal per fault, with its code, line and words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/yaml.h"

static const char *const known[] = {"server.host", "server.port",   "server.origins",
                                    "kms.context", "logging.level", NULL};
static cs_yaml_fault fault;

static cs_yaml *good(const char *text)
{
    cs_yaml *y = NULL;

    assert_int_equal(cs_yaml_read(&y, &fault, cs_slice_str(text), known), CS_OK);
    return y;
}

static void texts_lists_and_maps_are_read_with_their_lines(void **state)
{
    cs_yaml *y = good("# comment\nserver:\n  host: 'a b'\n  origins:\n    - x\n    - \"y\\n\\u00e9\"\n"
                      "kms: {context: {k: v, l: }}\nlogging:\n  level: |\n    two\n    lines\n");
    const cs_yaml_entry *e = cs_yaml_get(y, "server.host");

    (void)state;
    assert_true(e->kind == CS_YAML_TEXT && e->line == 3 && e->num_items == 1 && e->items[0].name == NULL);
    assert_string_equal(e->items[0].text, "a b");
    e = cs_yaml_get(y, "server.origins");
    assert_true(e->kind == CS_YAML_LIST && e->line == 4 && e->num_items == 2 && e->items[1].line == 6);
    assert_string_equal(e->items[1].text, "y\n\xc3\xa9");
    e = cs_yaml_get(y, "kms.context");
    assert_true(e->kind == CS_YAML_MAP && e->num_items == 2);
    assert_string_equal(e->items[0].name, "k");
    assert_string_equal(e->items[0].text, "v");
    assert_true(!e->items[0].null && e->items[1].null && e->items[1].text[0] == '\0');
    assert_string_equal(cs_yaml_get(y, "logging.level")->items[0].text, "two\nlines\n");
    assert_null(cs_yaml_get(y, "server.port"));
    cs_yaml_free(y);
    cs_yaml_free(NULL);
}

static void nothing_is_told_from_a_quoted_nothing(void **state)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++) {
        (void)snprintf(text, sizeof text, "server: {host: %s}\n", nulls[i]);
        cs_yaml *y = good(text);
        assert_true(cs_yaml_get(y, "server.host")->items[0].null);
        assert_string_equal(cs_yaml_get(y, "server.host")->items[0].text, "");
        cs_yaml_free(y);
        (void)snprintf(text, sizeof text, "server: {host: '%s'}\n", nulls[i]);
        y = good(text);
        assert_false(cs_yaml_get(y, "server.host")->items[0].null);
        assert_string_equal(cs_yaml_get(y, "server.host")->items[0].text, nulls[i]);
        cs_yaml_free(y);
    }
}

static void values_have_defaults_lengths_and_ranges(void **state)
{
    cs_yaml *y = good("server: {host: abc, port: 8080, origins: []}\nlogging: {}\n");
    const char *text = NULL;
    uint64_t v = 7;

    (void)state;
    assert_int_equal(cs_yaml_text(&text, y, &fault, "server.host", "d", 1, 3), CS_OK);
    assert_string_equal(text, "abc");
    assert_int_equal(cs_yaml_text(&text, y, &fault, "logging.level", "d", 1, 3), CS_OK);
    assert_string_equal(text, "d");
    assert_int_equal(cs_yaml_text(&text, y, &fault, "server.host", "d", 1, 2), CS_E_CONFIG);
    assert_string_equal(fault.text, "server.host: text of 1 to 2 bytes is wanted");
    assert_int_equal(cs_yaml_text(&text, y, &fault, "server.origins", "d", 1, 2), CS_E_CONFIG);
    assert_string_equal(fault.text, "server.origins: one value is wanted");
    assert_int_equal(cs_yaml_u64(&v, y, &fault, "server.origins", 1, 1, 2), CS_E_CONFIG);
    assert_int_equal(cs_yaml_u64(&v, y, &fault, "server.host", 1, 1, 2), CS_E_CONFIG);
    assert_int_equal(cs_yaml_u64(&v, y, &fault, "server.port", 1, 8081, 9000), CS_E_CONFIG);
    assert_string_equal(fault.text, "server.port: a number of 8081 to 9000 is wanted");
    assert_int_equal(v, 7);
    assert_int_equal(cs_yaml_u64(&v, y, &fault, "server.port", 1, 1, 65535), CS_OK);
    assert_int_equal(v, 8080);
    assert_int_equal(cs_yaml_u64(&v, y, &fault, "logging.level", 5, 1, 65535), CS_OK);
    assert_int_equal(v, 5);
    cs_yaml_free(y);
}

static void each_fault_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text;
        cs_err err;
        unsigned line;
        const char *says;
    } rows[] = {
        {"", CS_E_CONFIG, 1, "not a map"},
        {"- a\n", CS_E_CONFIG, 1, "not a map"},
        {"server\n", CS_E_CONFIG, 1, "not a map"},
        {"a: [\n", CS_E_CONFIG_KEY, 1, "unknown key a;"},
        {"server: {host: [\n", CS_E_CONFIG, 2, "not YAML"},
        {"server: {host: \xff}\n", CS_E_CONFIG, 1, "not YAML"},
        {"\xff\xfes\0e\0", CS_E_CONFIG, 1, "not YAML"},
        {"\nserver:\n  prot: 1\n", CS_E_CONFIG_KEY, 3, "unknown key server.prot; the nearest known one is server.port"},
        {"sever: {}\n", CS_E_CONFIG_KEY, 1, "unknown key sever; the nearest known one is server"},
        {"server.prt: 1\n", CS_E_CONFIG_KEY, 1, "unknown key server.prt; the nearest known one is server.port"},
        {"? [a]\n: b\n", CS_E_CONFIG_KEY, 1, "unknown key ?"},
        {"server:\n  ? {a: b}\n  : c\n", CS_E_CONFIG_KEY, 2, "unknown key server.?"},
        {"server: {\"a\\nb\": c}\n", CS_E_CONFIG_KEY, 1, "unknown key server.a?b;"},
        {"<<: {a: b}\n", CS_E_CONFIG_KEY, 1, "unknown key <<"},
        {"server: a\n", CS_E_CONFIG, 1, "server: keys are wanted"},
        {"server:\nlogging: {}\n", CS_E_CONFIG, 1, "server: keys are wanted"},
        {"server: {}\nserver: {}\n", CS_E_CONFIG, 2, "server is there twice"},
        {"server:\n  host: a\n  port: 1\n  host: a\n", CS_E_CONFIG, 4, "server.host is there twice"},
        {"kms:\n  context:\n    a: b\n    a: c\n", CS_E_CONFIG, 4, "kms.context: an entry is there twice"},
        {"kms: {context: {[a]: b}}\n", CS_E_CONFIG, 1, "kms.context: a name is wanted"},
        {"kms: {context: {a: {b: c}}}\n", CS_E_CONFIG, 1, "kms.context: too deep"},
        {"server: {origins: [[a]]}\n", CS_E_CONFIG, 1, "server.origins: too deep"},
        {"server: {host: &x a}\n", CS_E_CONFIG, 1, "an anchor"},
        {"server: &x {host: a}\n", CS_E_CONFIG, 1, "an anchor"},
        {"server: {origins: &x [a]}\n", CS_E_CONFIG, 1, "an anchor"},
        {"server:\n  host: *x\n", CS_E_CONFIG, 2, "an alias"},
        {"server: {host: !!str a}\n", CS_E_CONFIG, 1, "a tag"},
        {"server: !x {host: a}\n", CS_E_CONFIG, 1, "a tag"},
        {"server: {origins: !x [a]}\n", CS_E_CONFIG, 1, "a tag"},
        {"server: {host: \"a\\0b\"}\n", CS_E_CONFIG, 1, "server.host: a NUL byte"},
        {"server: {\"a\\0b\": c}\n", CS_E_CONFIG, 1, "server: a NUL byte"},
        {"server: {host: a}\n---\nserver: {port: 1}\n", CS_E_CONFIG, 2, "one YAML document"},
        {"server: {host: a}\n---\n", CS_E_CONFIG, 2, "one YAML document"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cs_yaml *y = NULL;
        cs_err err = cs_yaml_read(&y, &fault, cs_slice_str(rows[i].text), known);
        if (err != rows[i].err || fault.line != rows[i].line || strstr(fault.text, rows[i].says) == NULL || y != NULL) {
            fail_msg("row %zu: %s, line %u, \"%s\"", i, cs_err_code(err), fault.line, fault.text);
        }
    }
}

static void too_much_of_anything_is_refused(void **state)
{
    static char text[CS_YAML_MAX + 2];
    cs_yaml *y = NULL;

    (void)state;
    memset(text, '#', CS_YAML_MAX + 1);
    assert_int_equal(cs_yaml_read(&y, &fault, cs_slice_str(text), known), CS_E_TOO_LARGE);
    assert_int_equal(fault.line, 0);
    for (unsigned n = CS_YAML_ITEMS; n <= CS_YAML_ITEMS + 1; n++) {
        char *p = text + sprintf(text, "server: {origins: [");
        for (unsigned i = 0; i < n; i++) {
            p += sprintf(p, "'',");
        }
        (void)sprintf(p, "]}\n");
        assert_int_equal(cs_yaml_read(&y, &fault, cs_slice_str(text), known),
                         n == CS_YAML_ITEMS ? CS_OK : CS_E_TOO_LARGE);
        if (n == CS_YAML_ITEMS) {
            cs_yaml_free(y);
        }
    }
    /* nesting without an end */
    memset(text, '[', CS_YAML_MAX);
    memcpy(text, "kms: {context: ", 15);
    text[CS_YAML_MAX] = '\0';
    assert_int_equal(cs_yaml_read(&y, &fault, cs_slice_str(text), known), CS_E_CONFIG);
    /* the escapes that grow most */
    char *p = text + sprintf(text, "server: {host: \"");
    while (p < text + CS_YAML_MAX - 4) {
        p += sprintf(p, "\\L");
    }
    (void)sprintf(p, "\"}");
    assert_int_equal(cs_yaml_read(&y, &fault, cs_slice_str(text), known), CS_OK);
    cs_yaml_free(y);
    y = NULL;
    assert_int_equal(cs_yaml_read(&y, &fault, cs_slice_str("a: b"), (const char *const[]){NULL}), CS_E_INTERNAL);
    assert_null(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_lists_and_maps_are_read_with_their_lines),
        cmocka_unit_test(nothing_is_told_from_a_quoted_nothing),
        cmocka_unit_test(values_have_defaults_lengths_and_ranges),
        cmocka_unit_test(each_fault_is_refused_with_its_line),
        cmocka_unit_test(too_much_of_anything_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
