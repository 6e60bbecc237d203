/* Tests of core/config: every key, every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "codec/cbor.h"
#include "core/config.h"

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

typedef struct entry {
    const char *key;
    enum { BOOL, UINT, TEXT, LIST, EMPTY, MAP, COUNT, NUL } kind;
    uint64_t u;
    const char *t;
} entry;

#define NUM 21
static const entry good[NUM] = {
    {"level", TEXT, 0, "warn"},
    {"keyArn", TEXT, 0, "arn:x"},
    {"region", TEXT, 0, "eu-central-1"},
    {"arenaMiB", UINT, 64, NULL},
    {"maxBytes", UINT, 4096, NULL},
    {"sessions", UINT, 10, NULL},
    {"teeQueue", UINT, 7, NULL},
    {"silenceMs", UINT, 500, NULL},
    {"publishers", LIST, 0, HEX64},
    {"teeEnabled", BOOL, 1, NULL},
    {"teeWorkers", UINT, 2, NULL},
    {"debugAllowed", BOOL, 0, NULL},
    {"keyShareFile", TEXT, 0, "/x"},
    {"minGeneration", UINT, 9, NULL},
    {"teeKmsKeyArns", LIST, 0, "arn:y"},
    {"encryptionContext", MAP, 0, "k"},
    {"teeWindowSeconds", UINT, 30, NULL},
    {"teeRequireApproval", COUNT, 2, "Import"},
    {"requireSignedShares", BOOL, 1, NULL},
    {"teeDataKeyCacheEntries", UINT, 11, NULL},
    {"teeDataKeyCacheSeconds", UINT, 12, NULL},
};

static void put(cs_buf *b, const entry *e)
{
    assert_int_equal(cs_cbor_put_text(b, e->key), CS_OK);
    switch (e->kind) {
    case BOOL:
        assert_int_equal(cs_cbor_put_bool(b, e->u != 0), CS_OK);
        break;
    case UINT:
        assert_int_equal(cs_cbor_put_uint(b, e->u), CS_OK);
        break;
    case TEXT:
        assert_int_equal(cs_cbor_put_text(b, e->t), CS_OK);
        break;
    case LIST:
        assert_int_equal(cs_cbor_put_array(b, 1), CS_OK);
        assert_int_equal(cs_cbor_put_text(b, e->t), CS_OK);
        break;
    case EMPTY:
        assert_int_equal(cs_cbor_put_array(b, 0), CS_OK);
        break;
    case COUNT:
        assert_int_equal(cs_cbor_put_map(b, 1), CS_OK);
        assert_int_equal(cs_cbor_put_text(b, e->t), CS_OK);
        assert_int_equal(cs_cbor_put_uint(b, e->u), CS_OK);
        break;
    case MAP:
        assert_int_equal(cs_cbor_put_map(b, 1), CS_OK);
        assert_int_equal(cs_cbor_put_text(b, e->t), CS_OK);
        assert_int_equal(cs_cbor_put_text(b, "v"), CS_OK);
        break;
    default:
        assert_int_equal(cs_cbor_put_null(b), CS_OK);
    }
}

static cs_slice section(const entry *entries, size_t num)
{
    static uint8_t mem[2048];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_cbor_put_map(&b, num), CS_OK);
    for (size_t i = 0; i < num; i++) {
        put(&b, &entries[i]);
    }
    return cs_buf_slice(&b);
}

static void test_a_whole_section_is_read(void **state)
{
    cs_core_config c;
    const char *bad = "x";

    assert_int_equal(cs_core_config_read(&c, &bad, section(good, NUM)), CS_OK);
    assert_string_equal(bad, "");
    assert_true(!c.debug_allowed && c.require_signed && c.level == CS_LOG_WARN);
    assert_true(c.arena_mib == 64 && c.max_bytes == 4096 && c.sessions == 10 && c.silence_ms == 500 &&
                c.min_generation == 9);
    assert_true(cs_slice_eq_str(c.region, "eu-central-1") && cs_slice_eq_str(c.key_arn, "arn:x"));
    assert_int_equal(c.num_context, 1);
    assert_true(cs_slice_eq_str(c.context_key[0], "k") && cs_slice_eq_str(c.context_value[0], "v"));
    assert_int_equal(c.num_publishers, 1);
    assert_int_equal(c.publisher[0][1], 0x11);
    assert_string_equal(c.key_share_file, "/x");
    assert_true(c.tee_enabled && c.tee_queue == 7 && c.tee_workers == 2 && c.tee_window_seconds == 30);
    assert_true(c.tee_cache_entries == 11 && c.tee_cache_seconds == 12);
    assert_true(c.num_tee_key_arns == 1 && cs_slice_eq_str(c.tee_key_arns[0], "arn:y"));
    for (unsigned op = 0; op <= CS_TEE_NUM_OPS; op++) {
        assert_int_equal(c.tee_approvals[op], op == CS_TEE_IMPORT ? 2 : 0);
    }
}

static void test_without_a_list_the_tee_has_the_key_of_the_age_identity(void **state)
{
    cs_core_config c;
    entry e[NUM];

    memcpy(e, good, sizeof good);
    for (size_t i = 0; i < NUM; i++) {
        if (strcmp(e[i].key, "teeKmsKeyArns") == 0) {
            e[i].kind = EMPTY;
        }
    }
    assert_int_equal(cs_core_config_read(&c, NULL, section(e, NUM)), CS_OK);
    assert_true(c.num_tee_key_arns == 1 && cs_slice_eq_str(c.tee_key_arns[0], "arn:x"));
}

static void test_a_missing_unknown_or_repeated_key_is_refused_by_name(void **state)
{
    cs_core_config c;
    const char *bad;
    entry e[NUM + 1];

    for (size_t i = 0; i < NUM; i++) {
        memcpy(e, good, sizeof good);
        e[i] = e[NUM - 1];
        assert_int_equal(cs_core_config_read(&c, &bad, section(e, NUM - 1)), CS_E_CONFIG);
        assert_string_equal(bad, good[i].key);
    }
    memcpy(e, good, sizeof good);
    e[NUM] = (entry){"zzzzzzzzzzzzzzzzzzzzzzz", UINT, 1, NULL};
    assert_int_equal(cs_core_config_read(&c, &bad, section(e, NUM + 1)), CS_E_CONFIG);
    assert_string_equal(bad, "unknown key");
    e[NUM] = good[3];
    assert_int_equal(cs_core_config_read(&c, &bad, section(e, NUM + 1)), CS_E_CONFIG);
}

static void test_values_of_the_wrong_type_or_range_are_refused_by_key(void **state)
{
    static const entry wrong[] = {
        {"keyShareFile", TEXT, 0, "x"},
        {"keyShareFile", UINT, 0, NULL},
        {"arenaMiB", UINT, 3, NULL},
        {"arenaMiB", TEXT, 0, "64"},
        {"maxBytes", UINT, 1023, NULL},
        {"maxBytes", UINT, CS_SHARES_MAX + 1, NULL},
        {"sessions", UINT, 0, NULL},
        {"sessions", UINT, 65537, NULL},
        {"silenceMs", UINT, 99, NULL},
        {"silenceMs", NUL, 0, NULL},
        {"publishers", LIST, 0, "00"},
        {"publishers", TEXT, 0, HEX64},
        {"debugAllowed", UINT, 0, NULL},
        {"region", TEXT, 0, ""},
        {"keyArn", UINT, 0, NULL},
        {"level", TEXT, 0, "loud"},
        {"minGeneration", BOOL, 0, NULL},
        {"encryptionContext", LIST, 0, "k"},
        {"requireSignedShares", NUL, 0, NULL},
        {"teeQueue", UINT, 0, NULL},
        {"teeQueue", UINT, 65537, NULL},
        {"teeEnabled", UINT, 1, NULL},
        {"teeWorkers", UINT, 65, NULL},
        {"teeKmsKeyArns", LIST, 0, ""},
        {"teeKmsKeyArns", TEXT, 0, "arn:y"},
        {"teeWindowSeconds", UINT, 4, NULL},
        {"teeWindowSeconds", UINT, 601, NULL},
        {"teeRequireApproval", COUNT, 2, "Imports"},
        {"teeRequireApproval", COUNT, 2, "Approve"},
        {"teeRequireApproval", COUNT, 0, "Import"},
        {"teeRequireApproval", COUNT, 17, "Import"},
        {"teeRequireApproval", MAP, 0, "Import"},
        {"teeDataKeyCacheEntries", UINT, 0, NULL},
        {"teeDataKeyCacheEntries", UINT, 65537, NULL},
        {"teeDataKeyCacheSeconds", UINT, 3601, NULL},
    };
    cs_core_config c;
    const char *bad;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        entry e[NUM];

        memcpy(e, good, sizeof good);
        for (size_t k = 0; k < NUM; k++) {
            if (strcmp(e[k].key, wrong[i].key) == 0) {
                e[k] = wrong[i];
            }
        }
        assert_int_equal(cs_core_config_read(&c, &bad, section(e, NUM)), CS_E_CONFIG);
        assert_string_equal(bad, wrong[i].key);
    }
}

static void test_bytes_that_are_no_section_are_refused(void **state)
{
    static uint8_t big[CS_CONFIG_MAX_BYTES + 1];
    cs_core_config c;
    cs_slice whole = section(good, NUM);

    assert_int_equal(cs_core_config_read(&c, NULL, CS_SLICE_NULL), CS_E_CONFIG);
    assert_int_equal(cs_core_config_read(&c, NULL, cs_slice_of("\x80", 1)), CS_E_CONFIG);
    assert_int_equal(cs_core_config_read(&c, NULL, cs_slice_of("\xa1\x01\x01", 3)), CS_E_CONFIG);
    assert_int_equal(cs_core_config_read(&c, NULL, cs_slice_of(big, sizeof big)), CS_E_CONFIG);
    for (size_t n = 0; n < whole.len; n++) {
        assert_int_equal(cs_core_config_read(&c, NULL, cs_slice_of(whole.p, n)), CS_E_CONFIG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_section_is_read),
        cmocka_unit_test(test_without_a_list_the_tee_has_the_key_of_the_age_identity),
        cmocka_unit_test(test_a_missing_unknown_or_repeated_key_is_refused_by_name),
        cmocka_unit_test(test_values_of_the_wrong_type_or_range_are_refused_by_key),
        cmocka_unit_test(test_bytes_that_are_no_section_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
