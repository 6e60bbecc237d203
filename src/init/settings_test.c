/* Tests of init/settings: the compiled configuration as sign-init takes it. Source: docs/formats/config.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "codec/cbor.h"
#include "init/settings.h"

/* One change to a good configuration. */
typedef struct change {
    const char *drop_section, *add_section, *drop_key, *add_key, *level, *filter;
    uint64_t cid;
    size_t num_clocks;
    const char *clock;
    bool section_is_text, cid_is_text, bytes_behind;
} change;

#define MUST(x) assert_int_equal((x), CS_OK)

static bool is(const char *a, const char *b)
{
    return a != NULL && strcmp(a, b) == 0;
}

static void put_init(cs_buf *b, const change *c)
{
    static const char *const keys[] = {"level", "parentCid", "clockSources", "systemCallFilter"};

    MUST(cs_cbor_put_map(b, 4u - (c->drop_key != NULL) + (c->add_key != NULL)));
    for (size_t i = 0; i < 4; i++) {
        if (is(c->drop_key, keys[i])) {
            continue;
        }
        MUST(cs_cbor_put_text(b, keys[i]));
        if (i == 0) {
            MUST(cs_cbor_put_text(b, c->level != NULL ? c->level : "warn"));
        } else if (i == 1 && !c->cid_is_text) {
            MUST(cs_cbor_put_uint(b, c->cid));
        } else if (i == 2) {
            MUST(cs_cbor_put_array(b, c->num_clocks));
            for (size_t k = 0; k < c->num_clocks; k++) {
                MUST(cs_cbor_put_text(b, c->clock != NULL ? c->clock : k == 0 ? "kvm-clock" : "tsc"));
            }
        } else {
            MUST(cs_cbor_put_text(b, i == 1 ? "3" : c->filter != NULL ? c->filter : "kill"));
        }
    }
    if (c->add_key != NULL) {
        MUST(cs_cbor_put_text(b, c->add_key));
        MUST(cs_cbor_put_uint(b, 1));
    }
}

static cs_slice make(const change *c)
{
    static const char *const sections[] = {"kms", "core", "host", "init", "service"};
    static uint8_t mem[4096];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    MUST(cs_cbor_put_map(&b, 5u - (c->drop_section != NULL) + (c->add_section != NULL)));
    for (size_t i = 0; i < 5; i++) {
        if (is(c->drop_section, sections[i])) {
            continue;
        }
        MUST(cs_cbor_put_text(&b, sections[i]));
        if (i == 3) {
            put_init(&b, c);
        } else if (i == 1 && c->section_is_text) {
            MUST(cs_cbor_put_text(&b, "core"));
        } else {
            MUST(cs_cbor_put_map(&b, 1));
            MUST(cs_cbor_put_text(&b, sections[i]));
            MUST(cs_cbor_put_uint(&b, i));
        }
    }
    if (c->add_section != NULL) {
        MUST(cs_cbor_put_text(&b, c->add_section));
        MUST(cs_cbor_put_map(&b, 0));
    }
    if (c->bytes_behind) {
        MUST(cs_put_u8(&b, 0));
    }
    return cs_buf_slice(&b);
}

static void test_a_compiled_configuration_is_read(void **state)
{
    cs_init_settings s;

    MUST(cs_init_settings_read(&s, NULL, make(&(change){.cid = 3, .num_clocks = 2})));
    assert_true(s.parent_cid == 3 && s.num_clock_sources == 2 && s.level == CS_LOG_WARN && !s.trap);
    assert_true(cs_slice_eq_str(s.clock_sources[0], "kvm-clock") && cs_slice_eq_str(s.clock_sources[1], "tsc"));
    /* a1, text of 4, "core", 1 */
    assert_int_equal(s.section[CS_LAUNCH_CORE].len, 7);
    assert_memory_equal(s.section[CS_LAUNCH_CORE].p,
                        "\xa1\x64"
                        "core\x01",
                        7);
    assert_memory_equal(s.section[CS_LAUNCH_KMS].p,
                        "\xa1\x63"
                        "kms\x00",
                        6);
    assert_memory_equal(s.section[CS_LAUNCH_SERVICE].p,
                        "\xa1\x67"
                        "service\x04",
                        10);
    MUST(cs_init_settings_read(&s, NULL, make(&(change){.cid = 1, .num_clocks = 16, .filter = "trap"})));
    assert_true(s.trap && s.num_clock_sources == 16 && s.parent_cid == 1);
}

static void test_whatever_is_not_documented_is_refused(void **state)
{
    static const struct {
        change c;
        const char *bad;
    } rows[] = {
        {{.cid = 3, .num_clocks = 1, .drop_section = "core"}, "core"},
        {{.cid = 3, .num_clocks = 1, .drop_section = "kms"}, "kms"},
        {{.cid = 3, .num_clocks = 1, .drop_section = "service"}, "service"},
        {{.cid = 3, .num_clocks = 1, .drop_section = "init"}, "init"},
        {{.cid = 3, .num_clocks = 1, .add_section = "other"}, ""},
        {{.cid = 3, .num_clocks = 1, .add_section = "core"}, ""}, /* twice */
        {{.cid = 3, .num_clocks = 1, .section_is_text = true}, ""},
        {{.cid = 3, .num_clocks = 1, .drop_key = "level"}, "level"},
        {{.cid = 3, .num_clocks = 1, .drop_key = "parentCid"}, "parentCid"},
        {{.cid = 3, .num_clocks = 1, .drop_key = "clockSources"}, "clockSources"},
        {{.cid = 3, .num_clocks = 1, .drop_key = "systemCallFilter"}, "systemCallFilter"},
        {{.cid = 3, .num_clocks = 1, .add_key = "unknown"}, "init"},
        {{.cid = 3, .num_clocks = 1, .add_key = "level"}, ""}, /* twice */
        {{.cid = 0, .num_clocks = 1}, "parentCid"},
        {{.cid = UINT32_MAX, .num_clocks = 1}, "parentCid"},
        {{.cid = (uint64_t)1 << 32 | 3, .num_clocks = 1}, "parentCid"},
        {{.cid_is_text = true, .num_clocks = 1}, "parentCid"},
        {{.cid = 3, .num_clocks = 0}, "clockSources"},
        {{.cid = 3, .num_clocks = 17}, "clockSources"},
        {{.cid = 3, .num_clocks = 1, .clock = ""}, "clockSources"},
        {{.cid = 3, .num_clocks = 1, .clock = "a-name-of-more-than-thirty-two-by"}, "clockSources"},
        {{.cid = 3, .num_clocks = 1, .level = "loud"}, "level"},
        {{.cid = 3, .num_clocks = 1, .filter = "off"}, "systemCallFilter"},
        {{.cid = 3, .num_clocks = 1, .bytes_behind = true}, ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cs_init_settings s = {.parent_cid = 77};
        const char *bad = "none";

        if (cs_init_settings_read(&s, &bad, make(&rows[i].c)) != CS_E_CONFIG || strcmp(bad, rows[i].bad) != 0 ||
            s.parent_cid != 77) {
            fail_msg("row %zu: \"%s\"", i, bad);
        }
    }
}

static void test_broken_bytes_are_refused(void **state)
{
    cs_slice good = make(&(change){.cid = 3, .num_clocks = 2});
    static uint8_t big[CS_INIT_CONFIG_MAX + 1];
    cs_init_settings s;

    for (size_t len = 0; len < good.len; len++) {
        assert_int_equal(cs_init_settings_read(&s, NULL, cs_slice_of(good.p, len)), CS_E_CONFIG);
    }
    assert_int_equal(cs_init_settings_read(&s, NULL, cs_slice_of(big, sizeof big)), CS_E_CONFIG);
    assert_int_equal(cs_init_settings_read(&s, NULL, cs_slice_str("enclave: {parentCid: 3}\n")), CS_E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_compiled_configuration_is_read),
        cmocka_unit_test(test_whatever_is_not_documented_is_refused),
        cmocka_unit_test(test_broken_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
