/* Allow-lists: vsock-proxy's rules, and what is refused as a whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/allowlist.h"

static cs_err read_text(cs_allowlist **a, const char *text, cs_allowlist_fault *fault)
{
    return cs_allowlist_read(a, fault, cs_slice_str(text));
}

static void both_forms_of_a_list_are_read(void **state)
{
    static const char *const texts[] = {
        "allowlist:\n- {address: kms.eu-west-1.amazonaws.com, port: 443}\n- {address: 169.254.169.254, port: 80}\n",
        "---\n# a comment\nother: [1, {a: b}]\nallowlist:\n  - address: \"kms.eu-west-1.amazonaws.com\"\n    port: "
        "443\n"
        "    note: {x: [y]}\n  - port: 80\n    address: 169.254.169.254\n",
        "{\"allowlist\": [{\"address\": \"kms.eu-west-1.amazonaws.com\", \"port\": 443}, {\"address\": "
        "\"169.254.169.254\", \"port\": 80}]}"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cs_allowlist *a = NULL;
        cs_allowlist_fault fault;
        assert_int_equal(read_text(&a, texts[i], &fault), CS_OK);
        assert_int_equal(cs_allowlist_num(a), 2);
        assert_true(cs_allowlist_has(a, "kms.eu-west-1.amazonaws.com", 443));
        assert_true(cs_allowlist_has(a, "169.254.169.254", 80));
        cs_allowlist_free(a);
    }
}

static void only_the_very_host_and_port_are_allowed(void **state)
{
    static const struct {
        const char *host;
        uint16_t port;
    } refused[] = {{"kms.eu-west-1.amazonaws.com", 80},
                   {"kms.eu-west-1.amazonaws.com.", 443},
                   {".kms.eu-west-1.amazonaws.com", 443},
                   {"a.kms.eu-west-1.amazonaws.com", 443},
                   {"kms.eu-west-1.amazonaws.com.cn", 443},
                   {"KMS.eu-west-1.amazonaws.com", 443},
                   {"eu-west-1.amazonaws.com", 443},
                   {"kms.eu-west-2.amazonaws.com", 443},
                   {"", 443},
                   {"*", 443}};
    cs_allowlist *a = NULL;
    cs_allowlist_fault fault;

    assert_int_equal(read_text(&a, "allowlist: [{address: kms.eu-west-1.amazonaws.com, port: 443}]", &fault), CS_OK);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_false(cs_allowlist_has(a, refused[i].host, refused[i].port));
    }
    cs_allowlist_free(a);
    assert_int_equal(read_text(&a, "allowlist: []", &fault), CS_OK); /* an empty list allows nothing */
    assert_false(cs_allowlist_has(a, "kms.eu-west-1.amazonaws.com", 443));
    cs_allowlist_free(a);
}

static void a_file_with_a_fault_is_refused_whole_with_its_line(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
    } bad[] = {
        {"", 1},
        {"- a", 1},
        {"other: 1\n", 2},
        {"allowlist:\n", 1},
        {"allowlist: yes\n", 1},
        {"allowlist: {address: a, port: 1}\n", 1},
        {"allowlist: [a]\n", 1},
        {"allowlist:\n- {address: a, port: 443}\n- {port: 443}\n", 3},
        {"allowlist:\n- {address: a}\n", 2},
        {"allowlist:\n- {address: , port: 443}\n", 2},
        {"allowlist:\n- {address: 12, port: 443}\n", 2},
        {"allowlist:\n- {address: ~, port: 443}\n", 2},
        {"allowlist:\n- {address: true, port: 443}\n", 2},
        {"allowlist:\n- {address: [a], port: 443}\n", 2},
        {"allowlist:\n- {address: a, port: \"443\"}\n", 2},
        {"allowlist:\n- {address: a, port: https}\n", 2},
        {"allowlist:\n- {address: a, port: 443.0}\n", 2},
        {"allowlist:\n- {address: a, port: -1}\n", 2},
        {"allowlist:\n- {address: a, port: 0}\n", 2},
        {"allowlist:\n- {address: a, port: 65536}\n", 2},
        {"allowlist:\n- {address: a, port: 65979}\n", 2}, /* 443 when cut to 16 bits */
        {"allowlist:\n- {address: a, port: 443, port: 444}\n", 2},
        {"allowlist:\n- {address: a, address: b, port: 443}\n", 2},
        {"allowlist: []\nallowlist: [{address: a, port: 1}]\n", 2},
        {"allowlist: &x\n- *x\n", 1},
        {"allowlist:\n- !!map {address: a, port: 1}\n", 2},
        {"allowlist: []\n---\nallowlist: []\n", 2},
        {"allowlist: [\n", 2},
        {"\tallowlist: []\n", 1},
        {"x: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\nallowlist: []\n", 1},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cs_allowlist *a = NULL;
        cs_allowlist_fault fault;
        if (read_text(&a, bad[i].text, &fault) != CS_E_ALLOWLIST) {
            fail_msg("case %zu was not refused: %s", i, bad[i].text);
        }
        assert_null(a);
        if (fault.line != bad[i].line || fault.text[0] == '\0') {
            fail_msg("case %zu: line %u, %s", i, fault.line, fault.text);
        }
    }
}

static void what_is_too_large_is_refused(void **state)
{
    cs_buf big = cs_buf_heap((size_t)4 << 20);
    cs_allowlist *a = NULL;
    cs_allowlist_fault fault;

    assert_int_equal(cs_put_str(&big, "allowlist:\n"), CS_OK);
    for (unsigned i = 0; i <= CS_ALLOWLIST_ENTRIES; i++) {
        assert_int_equal(cs_put_fmt(&big, "- {address: h%u, port: 1}\n", i), CS_OK);
    }
    assert_int_equal(cs_allowlist_read(&a, &fault, cs_buf_slice(&big)), CS_E_TOO_LARGE);
    while (big.len <= CS_ALLOWLIST_BYTES) {
        assert_int_equal(cs_put_str(&big, "# ................................................................\n"),
                         CS_OK);
    }
    assert_int_equal(cs_allowlist_read(&a, &fault, cs_buf_slice(&big)), CS_E_TOO_LARGE);
    assert_null(a);
    cs_buf_free(&big);
}

static void the_list_that_is_built_in_reads_itself_back(void **state)
{
    cs_allowlist *a = NULL, *b = NULL;
    cs_allowlist_fault fault;
    cs_buf text = cs_buf_heap((size_t)1 << 20);

    assert_int_equal(cs_allowlist_builtin(&a, NULL), CS_OK);
    assert_int_equal(cs_allowlist_put(&text, a), CS_OK);
    assert_int_equal(cs_allowlist_read(&b, &fault, cs_buf_slice(&text)), CS_OK);
    assert_int_equal(cs_allowlist_num(a), cs_allowlist_num(b));
    for (size_t i = 0; i < cs_allowlist_num(a); i++) {
        assert_true(cs_allowlist_has(b, cs_allowlist_at(a, i)->host, cs_allowlist_at(a, i)->port));
    }
    assert_true(cs_allowlist_has(a, "kms.cn-north-1.amazonaws.com.cn", 443));
    assert_false(cs_allowlist_has(a, "kms.cn-north-1.amazonaws.com", 443));
    assert_true(cs_allowlist_has(a, "kms-fips.us-gov-west-1.amazonaws.com", 443));
    assert_true(cs_allowlist_has(a, "sts.eu-central-1.amazonaws.com", 443));
    assert_true(cs_allowlist_has(a, "169.254.169.254", 80));
    assert_false(cs_allowlist_has(a, "s3.eu-central-1.amazonaws.com", 443));
    cs_allowlist_free(a);
    cs_allowlist_free(b);
    cs_buf_free(&text);
    assert_int_equal(cs_allowlist_builtin(&a, "eu-central-1"), CS_OK);
    assert_false(cs_allowlist_has(a, "kms.eu-west-1.amazonaws.com", 443));
    cs_allowlist_free(a);
    a = NULL;
    assert_int_equal(cs_allowlist_builtin(&a, "eu-central-9"), CS_E_NOT_FOUND);
    assert_null(a);
}

/* ---------------------------------------------------------------- equal addresses */

static cs_err look_up(cs_addrs *out, const char *host, int family)
{
    static const struct {
        const char *name, *addr;
    } rows[] = {{"kms.example", "192.0.2.7"}, {"alias.example", "192.0.2.7"}, {"other.example", "192.0.2.8"}};

    if (cs_addrs_numeric(out, host, family)) {
        return out->num > 0 ? CS_OK : CS_E_DNS;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(host, rows[i].name) == 0 && family != 6) {
            return cs_addrs_numeric(out, rows[i].addr, family) ? CS_OK : CS_E_DNS;
        }
    }
    return CS_E_DNS;
}

static cs_err find(cs_addrs *only, const cs_allowlist *a, const char *host, uint32_t port, int family)
{
    cs_endpoint to = {.scheme = CS_EP_TCP, .port = port};
    (void)snprintf(to.host, sizeof to.host, "%s", host);
    return cs_allowlist_find(only, a, &to, family, look_up);
}

static void equal_addresses_are_allowed_and_pinned(void **state)
{
    cs_allowlist *a = NULL;
    cs_allowlist_fault fault;
    cs_addrs only = {.num = 9};

    assert_int_equal(read_text(&a,
                               "allowlist:\n- {address: kms.example, port: 443}\n- {address: gone.example, port: 443}\n"
                               "- {address: 192.0.2.9, port: 443}\n- {address: other.example, port: 80}\n",
                               &fault),
                     CS_OK);
    assert_int_equal(find(&only, a, "kms.example", 443, 0), CS_OK);
    assert_int_equal(only.num, 0); /* by its name: wherever that leads */
    assert_int_equal(find(&only, a, "alias.example", 443, 0), CS_OK);
    assert_int_equal(only.num, 1);
    assert_string_equal(only.a[0].text, "192.0.2.7");
    assert_int_equal(find(&only, a, "192.0.2.7", 443, 0), CS_OK);
    assert_int_equal(find(&only, a, "192.0.2.9", 443, 4), CS_OK);
    only.num = 9;
    assert_int_equal(find(&only, a, "other.example", 443, 0), CS_E_PROXY_DENIED); /* another port */
    assert_int_equal(find(&only, a, "alias.example", 80, 0), CS_E_PROXY_DENIED);
    assert_int_equal(find(&only, a, "alias.example", 443, 6), CS_E_PROXY_DENIED);
    assert_int_equal(find(&only, a, "nowhere.example", 443, 0), CS_E_PROXY_DENIED);
    assert_int_equal(find(&only, a, "192.0.2.10", 443, 0), CS_E_PROXY_DENIED);
    assert_int_equal(only.num, 9);
    cs_allowlist_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_of_a_list_are_read),
        cmocka_unit_test(only_the_very_host_and_port_are_allowed),
        cmocka_unit_test(a_file_with_a_fault_is_refused_whole_with_its_line),
        cmocka_unit_test(what_is_too_large_is_refused),
        cmocka_unit_test(the_list_that_is_built_in_reads_itself_back),
        cmocka_unit_test(equal_addresses_are_allowed_and_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
