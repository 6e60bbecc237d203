/* Tests of attest/doc: what a payload may be, and every way in which it may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "attest/testdoc.h"
#include "base/text.h"

static cs_att_doc doc;
static cs_slice last_document; /* of parse_members */

/* One member of the payload, both parts in hex; value NULL leaves it out. */
typedef struct member {
    const char *key, *value;
} member;

enum { MODULE_ID, DIGEST, TIMESTAMP, PCRS, CERTIFICATE, CABUNDLE, PUBLIC_KEY, USER_DATA, NONCE, NUM_MEMBERS };

#define PCR_ZERO "5830000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"

static const member good[NUM_MEMBERS] = {
    {"696d6f64756c655f6964", "6161"}, {"66646967657374", "66534841333834"}, {"6974696d657374616d70", "01"},
    {"6470637273", "a100" PCR_ZERO},  {"6b6365727469666963617465", "4101"}, {"68636162756e646c65", "814102"},
    {"6a7075626c69635f6b6579", "f6"}, {"69757365725f64617461", "f6"},       {"656e6f6e6365", "f6"},
};

static void put_hex_text(cs_buf *b, const char *hex)
{
    uint8_t *p = NULL;

    assert_int_equal(cs_put_space(b, &p, strlen(hex) / 2), CS_OK);
    assert_int_equal(cs_hex_decode(p, strlen(hex) / 2, cs_slice_str(hex)), CS_OK);
}

static cs_err parse_members(const member *m, size_t num)
{
    static uint8_t mem[CS_ATT_MAX_DOC];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_put_u8(&b, 0xbf), CS_OK);
    for (size_t i = 0; i < num; i++) {
        if (m[i].value != NULL) {
            put_hex_text(&b, m[i].key);
            put_hex_text(&b, m[i].value);
        }
    }
    assert_int_equal(cs_put_u8(&b, 0xff), CS_OK);
    last_document = testdoc_wrap(cs_buf_slice(&b));
    return cs_att_doc_parse(&doc, last_document);
}

/* The good payload with one value replaced. */
static cs_err parse_with(int which, const char *value)
{
    member m[NUM_MEMBERS];

    memcpy(m, good, sizeof m);
    m[which].value = value;
    return parse_members(m, NUM_MEMBERS);
}

static void test_the_smallest_payload_is_taken(void **state)
{
    assert_int_equal(parse_members(good, NUM_MEMBERS), CS_OK);
    assert_string_equal(doc.claims.module_id, "a");
    assert_int_equal(doc.claims.pcr_mask, 1);
    assert_int_equal(doc.num_cabundle, 1);
    assert_true(cs_att_is_debug(&doc.claims));
}

static void test_optional_fields_may_be_absent_null_empty_or_up_to_1024_bytes(void **state)
{
    static const int fields[] = {PUBLIC_KEY, USER_DATA, NONCE};
    char longest[2 * (3 + 1025) + 1];

    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(parse_with(fields[i], NULL), CS_OK);
        assert_int_equal(parse_with(fields[i], "40"), CS_OK);
        assert_int_equal(parse_with(fields[i], "5f41014102ff"), CS_OK);
        assert_int_equal(parse_with(fields[i], "f5"), CS_E_ATT_FORMAT);
        assert_int_equal(parse_with(fields[i], "f7"), CS_E_ATT_FORMAT);
        assert_int_equal(parse_with(fields[i], "6161"), CS_E_ATT_FORMAT);
        memset(longest, '0', sizeof longest);
        memcpy(longest, "590400", 6);
        longest[2 * (3 + 1024)] = '\0';
        assert_int_equal(parse_with(fields[i], longest), CS_OK);
        memset(longest, '0', sizeof longest);
        memcpy(longest, "590401", 6);
        longest[2 * (3 + 1025)] = '\0';
        assert_int_equal(parse_with(fields[i], longest), CS_E_ATT_FORMAT);
    }
    assert_int_equal(parse_with(PUBLIC_KEY, "40"), CS_OK);
    assert_true(doc.claims.public_key.present && doc.claims.public_key.len == 0);
}

static void test_required_fields_may_not_be_absent_or_null(void **state)
{
    for (int i = 0; i < PUBLIC_KEY; i++) {
        assert_int_equal(parse_with(i, NULL), CS_E_ATT_FORMAT);
        assert_int_equal(parse_with(i, "f6"), CS_E_ATT_FORMAT);
    }
}

static void test_values_outside_of_their_range_are_refused(void **state)
{
    static const struct {
        int field;
        const char *value;
    } rows[] = {
        {MODULE_ID, "60"},          /* empty */
        {MODULE_ID, "620a61"},      /* line feed */
        {MODULE_ID, "62c3a9"},      /* not ASCII */
        {MODULE_ID, "4161"},        /* bytes */
        {DIGEST, "66534841323536"}, /* SHA256 */
        {DIGEST, "66736861333834"}, /* lower case */
        {TIMESTAMP, "00"},
        {TIMESTAMP, "20"},     /* -1 */
        {TIMESTAMP, "f93c00"}, /* 1.0 */
        {PCRS, "a0"},
        {PCRS, "a11820" PCR_ZERO},                                                          /* PCR32 */
        {PCRS, "a120" PCR_ZERO},                                                            /* PCR-1 */
        {PCRS, "a200" PCR_ZERO "00" PCR_ZERO},                                              /* twice */
        {PCRS, "a2001800" PCR_ZERO},                                                        /* no value */
        {PCRS, "a1004100"},                                                                 /* one byte */
        {PCRS, "a10058200000000000000000000000000000000000000000000000000000000000000000"}, /* SHA-256 */
        {CERTIFICATE, "40"},
        {CABUNDLE, "80"},
        {CABUNDLE, "8140"},
        {CABUNDLE, "89410141014101410141014101410141014101"}, /* nine */
        {CABUNDLE, "4101"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {

        assert_int_equal(parse_with(rows[i].field, rows[i].value), CS_E_ATT_FORMAT);
    }
}

static void test_keys_twice_are_refused_known_or_not(void **state)
{
    member m[NUM_MEMBERS + 2];

    memcpy(m, good, sizeof good);
    m[NUM_MEMBERS] = (member){"6178", "01"};
    m[NUM_MEMBERS + 1] = (member){"6179", "8101"};
    assert_int_equal(parse_members(m, NUM_MEMBERS + 2), CS_OK);
    m[NUM_MEMBERS + 1] = (member){"7f6178ff", "01"}; /* the same text in chunks */
    assert_int_equal(parse_members(m, NUM_MEMBERS + 2), CS_E_ATT_FORMAT);
    m[NUM_MEMBERS + 1] = good[NONCE];
    assert_int_equal(parse_members(m, NUM_MEMBERS + 2), CS_E_ATT_FORMAT);
    m[NUM_MEMBERS + 1] = (member){"01", "01"}; /* a key that is no text */
    assert_int_equal(parse_members(m, NUM_MEMBERS + 2), CS_E_ATT_FORMAT);
    m[NUM_MEMBERS + 1] = (member){"617a", "ff"}; /* a value that is none */
    assert_int_equal(parse_members(m, NUM_MEMBERS + 2), CS_E_ATT_FORMAT);
}

static void test_documents_that_are_cut_longer_or_too_long_are_refused(void **state)
{
    static uint8_t mem[CS_ATT_MAX_DOC + 1];
    cs_slice whole;

    assert_int_equal(parse_members(good, NUM_MEMBERS), CS_OK);
    whole = last_document;
    memcpy(mem, whole.p, whole.len);
    for (size_t len = 0; len < whole.len; len++) {
        assert_int_equal(cs_att_doc_parse(&doc, cs_slice_of(mem, len)), CS_E_ATT_FORMAT);
    }
    assert_int_equal(cs_att_doc_parse(&doc, cs_slice_of(mem, whole.len)), CS_OK);
    assert_int_equal(cs_att_doc_parse(&doc, cs_slice_of(mem, whole.len + 1)), CS_E_ATT_FORMAT);
    assert_int_equal(cs_att_doc_parse(&doc, cs_slice_of(mem, sizeof mem)), CS_E_ATT_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_smallest_payload_is_taken),
        cmocka_unit_test(test_optional_fields_may_be_absent_null_empty_or_up_to_1024_bytes),
        cmocka_unit_test(test_required_fields_may_not_be_absent_or_null),
        cmocka_unit_test(test_values_outside_of_their_range_are_refused),
        cmocka_unit_test(test_keys_twice_are_refused_known_or_not),
        cmocka_unit_test(test_documents_that_are_cut_longer_or_too_long_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
