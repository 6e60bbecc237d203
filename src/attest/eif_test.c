#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "attest/eif.h"
#include "base/text.h"

static uint8_t mem[2048];

/* specs/nitro-kms.md Appendix A.2 */
static cs_eif toy(void)
{
    return (cs_eif){.default_mem = 1u << 30,
                    .default_cpus = 2,
                    .num_sections = 5,
                    .sections = {{CS_EIF_KERNEL, cs_slice_str("KERNEL")},
                                 {CS_EIF_CMDLINE, cs_slice_str("reboot=k")},
                                 {CS_EIF_METADATA, cs_slice_str("{}")},
                                 {CS_EIF_RAMDISK, cs_slice_str("RAMDISK0")},
                                 {CS_EIF_RAMDISK, cs_slice_str("RAMDISK1")}}};
}

static cs_buf toy_file(void)
{
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    const cs_eif e = toy();

    assert_int_equal(cs_eif_write(&b, &e), CS_OK);
    return b;
}

static void assert_hex(const uint8_t *p, size_t len, const char *hex)
{
    char text[200];
    cs_buf b = cs_buf_wrap(text, sizeof text);

    assert_int_equal(cs_put_hex(&b, cs_slice_of(p, len)), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&b), hex));
}

static void the_toy_image_is_byte_for_byte_the_published_one(void **state)
{
    cs_buf b = toy_file();
    uint8_t hash[32];

    assert_int_equal(b.len, 640);
    assert_int_equal(cs_load_u32(b.p + 544), 0x4e46d08c);
    SHA256(b.p, b.len, hash);
    assert_hex(hash, 32, "3721847e30e4fbfb36eba6c274bd82845e0c9682bbe14f9e1ba0cb8d28857e01");
}

static void its_measurements_are_the_published_ones(void **state)
{
    cs_buf b = toy_file();
    cs_pcr pcrs[3];
    cs_eif e;

    assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_OK);
    assert_int_equal(e.num_sections, 5);
    assert_int_equal(e.version, 4);
    assert_true(cs_slice_eq_str(cs_eif_find(&e, CS_EIF_METADATA)->body, "{}"));
    assert_null(cs_eif_find(&e, CS_EIF_SIGNATURE));
    assert_int_equal(cs_eif_measure(pcrs, &e), CS_OK);
    assert_hex(pcrs[0].b, 48,
               "c99e06f7cf61cdc63c6defae7cc6db06364ff5b60d5a650c7106576d947567b4b165701349d71a32645bee9eb0cbd18b");
    assert_hex(pcrs[1].b, 48,
               "34c02e2c8aa177433fd41cb194e37d9079e14aaca4f1a8a87c0b49ab145f91d535ed8be25542ca2722f572e3b97b6a82");
    assert_hex(pcrs[2].b, 48,
               "5f699ae4300525c628f5c96fc521729dd6ca1a2c07cb07b69e7ae9e3fa935cfd7cc83b3e26d89201a486d9db2405c562");
}

static void every_cut_and_every_longer_file_is_refused(void **state)
{
    cs_buf b = toy_file();
    cs_eif e;

    for (size_t n = 0; n < b.len; n++) {
        assert_int_equal(cs_eif_parse(&e, cs_slice_of(b.p, n)), n < 4 ? CS_E_EIF_FORMAT : CS_E_EIF_TRUNCATED);
    }
    b.p[b.len] = 0;
    assert_int_equal(cs_eif_parse(&e, cs_slice_of(b.p, b.len + 1)), CS_E_EIF_FORMAT);
}

static void every_flipped_bit_is_noticed(void **state)
{
    cs_buf b = toy_file();
    cs_eif e;

    for (size_t i = 0; i < b.len * 8; i++) {
        cs_err err;
        b.p[i / 8] ^= (uint8_t)(1u << i % 8);
        err = cs_eif_parse(&e, cs_buf_slice(&b));
        assert_true(err == CS_E_EIF_FORMAT || err == CS_E_EIF_CRC || err == CS_E_UNSUPPORTED || err == CS_E_EIF_TABLE ||
                    err == CS_E_EIF_TRUNCATED || err == CS_E_EIF_SECTIONS);
        b.p[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}

/* Two ways to read one file would be two images. */
static void tables_that_disagree_with_the_sequence_are_refused(void **state)
{
    static const size_t fields[] = {28, 28 + 8, 28 + 4 * 8, 284, 284 + 4 * 8, 28 + 5 * 8, 284 + 31 * 8};
    cs_buf b = toy_file();
    cs_eif e;

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint64_t old = cs_load_u64(b.p + fields[i]);
        cs_store_u64(b.p + fields[i], old + 1);
        assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_E_EIF_TABLE);
        cs_store_u64(b.p + fields[i], UINT64_MAX);
        assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_E_EIF_TABLE);
        cs_store_u64(b.p + fields[i], old);
    }
    assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_OK);
}

static void a_section_too_many_or_too_few_is_neither_read_nor_written(void **state)
{
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    for (size_t i = 0; i < 5; i++) {
        cs_eif e = toy();
        cs_err expected =
            i == 2 || i == 3 ? CS_OK : CS_E_EIF_SECTIONS; /* metadata, and one of two ramdisks, may be missing */
        for (size_t k = i; k + 1 < e.num_sections; k++) {
            e.sections[k] = e.sections[k + 1];
        }
        e.num_sections--;
        b.len = 0;
        assert_int_equal(cs_eif_write(&b, &e), i == 4 ? CS_OK : expected);
        e = toy();
        e.sections[e.num_sections++] = e.sections[i];
        b.len = 0;
        assert_int_equal(cs_eif_write(&b, &e), i >= 3 ? CS_OK : CS_E_EIF_SECTIONS);
    }
    cs_eif e = toy();
    e.sections[0].type = (cs_eif_type)6;
    b.len = 0;
    assert_int_equal(cs_eif_write(&b, &e), CS_E_EIF_SECTIONS);
    assert_int_equal(b.len, 0);
    e = toy();
    b = cs_buf_wrap(mem, 639);
    assert_int_equal(cs_eif_write(&b, &e), CS_E_RANGE);
    assert_int_equal(b.len, 0);
}

/* Sections as they stand in the file, one after the other; what the header says of them can be changed. */
static void what_the_header_counts_is_held_against_the_sections(void **state)
{
    cs_buf b = toy_file();
    cs_eif e;

    cs_store_u16(b.p + 26, 33);
    assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_E_EIF_SECTIONS);
    cs_store_u16(b.p + 26, 4);
    assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_E_EIF_TABLE);
    cs_store_u16(b.p + 26, 6);
    assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_E_EIF_TABLE);
    b = toy_file();
    cs_store_u16(b.p + 566, CS_EIF_KERNEL); /* the command line becomes a second kernel */
    assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_E_EIF_SECTIONS);
    b = toy_file();
    cs_store_u64(b.p + 28 + 8, 548); /* the second section lies over the first */
    assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_E_EIF_TABLE);
    b = toy_file();
    cs_store_u16(b.p + 548 + 2, 1); /* flags of a section */
    assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_E_EIF_FORMAT);
    b = toy_file();
    cs_store_u64(b.p + 284 + 4 * 8, 1u << 20);
    cs_store_u64(b.p + 620 + 4, 1u << 20); /* both say that the last section is longer than the file */
    assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_E_EIF_TRUNCATED);
}

static void old_and_new_versions_are_told_apart(void **state)
{
    cs_buf b = toy_file();
    cs_eif e;

    cs_store_u16(b.p + 4, 1);
    assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_E_UNSUPPORTED);
    cs_store_u16(b.p + 4, 5);
    assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_E_UNSUPPORTED);
    cs_store_u16(b.p + 4, 3);
    assert_int_equal(cs_eif_parse(&e, cs_buf_slice(&b)), CS_E_EIF_CRC);
}

/* [{"signing_certificate": [45, 66], "signature": [132]}] */
static const uint8_t serde[] = "\x81\xa2\x73signing_certificate\x82\x18\x2d\x18\x42\x69signature\x81\x18\x84";
#define SERDE_LEN (sizeof serde - 1)

static void a_signature_section_is_read_as_serde_writes_it(void **state)
{
    uint8_t out[16];
    cs_buf m = cs_buf_wrap(out, sizeof out);
    cs_eif_signature s;

    assert_int_equal(cs_eif_signature_parse(&s, &m, cs_slice_of(serde, SERDE_LEN)), CS_OK);
    assert_true(cs_slice_eq_str(s.certificate_pem, "-B"));
    assert_int_equal(s.cose.len, 1);
    assert_int_equal(s.cose.p[0], 0x84);
    for (size_t n = 0; n < SERDE_LEN; n++) {
        m.len = 0;
        assert_int_equal(cs_eif_signature_parse(&s, &m, cs_slice_of(serde, n)), CS_E_EIF_FORMAT);
    }
    m = cs_buf_wrap(out, 2);
    assert_int_equal(cs_eif_signature_parse(&s, &m, cs_slice_of(serde, SERDE_LEN)), CS_E_RANGE);
}

static void a_signature_section_of_another_shape_is_refused(void **state)
{
    static const char *const bad[] = {
        "\x80",
        "\x81\xa0",
        "\x81\x80",
        "\x81\xa1\x73signing_certificate\x80",
        "\x81\xa2\x73signing_certificate\x81\x19\x01\x00\x69signature\x80",
        "\x81\xa2\x69signature\x80\x73signing_certificate\x80",
        "\x81\xa3\x73signing_certificate\x80\x69signature\x80\x61x\x80",
        "\x82\xa2\x73signing_certificate\x80\x69signature\x80\xa2\x73signing_certificate\x80\x69signature\x80",
    };
    uint8_t out[64];
    cs_eif_signature s;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cs_buf m = cs_buf_wrap(out, sizeof out);
        size_t len = i == 4 ? 44 : strlen(bad[i]);
        assert_int_equal(cs_eif_signature_parse(&s, &m, cs_slice_of(bad[i], len)), CS_E_EIF_FORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_toy_image_is_byte_for_byte_the_published_one),
        cmocka_unit_test(its_measurements_are_the_published_ones),
        cmocka_unit_test(every_cut_and_every_longer_file_is_refused),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(tables_that_disagree_with_the_sequence_are_refused),
        cmocka_unit_test(a_section_too_many_or_too_few_is_neither_read_nor_written),
        cmocka_unit_test(what_the_header_counts_is_held_against_the_sections),
        cmocka_unit_test(old_and_new_versions_are_told_apart),
        cmocka_unit_test(a_signature_section_is_read_as_serde_writes_it),
        cmocka_unit_test(a_signature_section_of_another_shape_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
