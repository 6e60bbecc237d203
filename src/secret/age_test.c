/* Tests of secret/age: round trips, every documented refusal, nothing released unverified. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "secret/age.h"
#include "secret/rng.h"

#define CHUNK 65536
#define MAX_FILE (4 * CHUNK)

static uint8_t file_mem[MAX_FILE], plain_mem[MAX_FILE], back_mem[MAX_FILE];
static cs_age_identity id, other;

static cs_err append(void *cookie, cs_slice piece)
{
    return cs_put_slice(cookie, piece);
}

static cs_slice plain_of(size_t len)
{
    for (size_t i = 0; i < len; i++) {
        plain_mem[i] = (uint8_t)(i * 31 + i / 256);
    }
    return cs_slice_of(plain_mem, len);
}

static cs_err encrypt(cs_buf *out, const cs_age_to *to, cs_slice plain)
{
    cs_age_enc *e = NULL;
    cs_err err;

    *out = cs_buf_wrap(file_mem, sizeof file_mem);
    CS_TRY(cs_age_enc_new(&e, to, append, out));
    err = cs_age_enc_push(e, plain);
    if (err == CS_OK) {
        err = cs_age_enc_finish(e);
    }
    cs_age_enc_free(e);
    return err;
}

static cs_slice encrypt_to_id(size_t len, bool armor)
{
    cs_age_to to = {.recipients = &id.recipient, .num_recipients = 1, .armor = armor};
    cs_buf out;

    assert_int_equal(encrypt(&out, &to, plain_of(len)), CS_OK);
    return cs_buf_slice(&out);
}

/* Decrypts in pieces of step bytes; out keeps whatever was released. */
static cs_err decrypt_in(cs_buf *out, cs_slice file, const cs_age_keys *keys, size_t step)
{
    cs_reader r = cs_reader_of(file);
    cs_age_dec *d = NULL;
    cs_err err = CS_OK;
    cs_slice piece;

    *out = cs_buf_wrap(back_mem, sizeof back_mem);
    assert_int_equal(cs_age_dec_new(&d, keys, append, out), CS_OK);
    while (err == CS_OK && r.left > 0) {
        assert_int_equal(cs_read_slice(&r, &piece, step < r.left ? step : r.left), CS_OK);
        err = cs_age_dec_push(d, piece);
    }
    if (err == CS_OK) {
        err = cs_age_dec_finish(d);
    } else {
        assert_int_equal(cs_age_dec_push(d, file), err); /* sticky */
        assert_int_equal(cs_age_dec_finish(d), err);
    }
    cs_age_dec_free(d);
    return err;
}

static cs_err decrypt(cs_buf *out, cs_slice file)
{
    const cs_age_keys keys = {.identities = &id, .num_identities = 1};

    return decrypt_in(out, file, &keys, SIZE_MAX);
}

static void test_files_of_every_shape_go_around(void **state)
{
    static const size_t lens[] = {0, 1, 47, 48, 49, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 777};
    const cs_age_keys keys = {.identities = &id, .num_identities = 1};

    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        for (int armor = 0; armor < 2; armor++) {
            cs_slice file = encrypt_to_id(lens[i], armor != 0);
            cs_buf out;

            assert_int_equal(decrypt_in(&out, file, &keys, SIZE_MAX), CS_OK);
            assert_true(cs_slice_eq(cs_buf_slice(&out), plain_of(lens[i])));
            assert_int_equal(decrypt_in(&out, file, &keys, 997), CS_OK);
            assert_true(cs_slice_eq(cs_buf_slice(&out), plain_of(lens[i])));
        }
    }
    assert_int_equal(cs_arena_used(), 0);
}

static void test_a_file_comes_byte_by_byte(void **state)
{
    const cs_age_keys keys = {.identities = &id, .num_identities = 1};
    cs_slice file = encrypt_to_id(100, true);
    cs_buf out;

    assert_int_equal(decrypt_in(&out, file, &keys, 1), CS_OK);
    assert_true(cs_slice_eq(cs_buf_slice(&out), plain_of(100)));
}

static void test_any_of_several_recipients_opens(void **state)
{
    const cs_age_recipient both[] = {other.recipient, id.recipient};
    cs_age_to to = {.recipients = both, .num_recipients = 2};
    cs_age_keys keys = {.identities = &other, .num_identities = 1};
    cs_buf file, out;

    assert_int_equal(encrypt(&file, &to, plain_of(10)), CS_OK);
    assert_int_equal(decrypt(&out, cs_buf_slice(&file)), CS_OK);
    assert_int_equal(decrypt_in(&out, cs_buf_slice(&file), &keys, SIZE_MAX), CS_OK);
}

static void test_another_identity_or_none_does_not_match(void **state)
{
    cs_age_keys keys = {.identities = &other, .num_identities = 1};
    cs_slice file = encrypt_to_id(10, false);
    cs_buf out;

    assert_int_equal(decrypt_in(&out, file, &keys, SIZE_MAX), CS_E_AGE_NO_MATCH);
    assert_int_equal(out.len, 0);
    keys = (cs_age_keys){.passphrase = cs_slice_str("password")};
    assert_int_equal(decrypt_in(&out, file, &keys, SIZE_MAX), CS_E_AGE_NO_MATCH);
    keys = (cs_age_keys){.num_identities = 0};
    assert_int_equal(decrypt_in(&out, file, &keys, SIZE_MAX), CS_E_AGE_NO_MATCH);
}

static void test_passphrases(void **state)
{
    cs_age_to to = {.passphrase = cs_slice_str("correct horse"), .work_factor = 4};
    cs_age_keys keys = {.passphrase = cs_slice_str("correct horse")};
    cs_buf file, out;

    assert_int_equal(encrypt(&file, &to, plain_of(10)), CS_OK);
    assert_int_equal(decrypt_in(&out, cs_buf_slice(&file), &keys, SIZE_MAX), CS_OK);
    keys.passphrase = cs_slice_str("wrong");
    assert_int_equal(decrypt_in(&out, cs_buf_slice(&file), &keys, SIZE_MAX), CS_E_AGE_NO_MATCH);
    assert_int_equal(decrypt(&out, cs_buf_slice(&file)), CS_E_AGE_NO_MATCH);
}

static void test_requests_that_make_no_sense_are_refused(void **state)
{
    const cs_age_to rows[] = {{.num_recipients = 0},
                              {.recipients = &id.recipient, .num_recipients = 1, .passphrase = cs_slice_str("x")},
                              {.recipients = &id.recipient, .num_recipients = CS_AGE_MAX_RECIPIENTS + 1},
                              {.passphrase = cs_slice_str("x"), .work_factor = CS_AGE_MAX_WORK_FACTOR + 1}};
    const cs_age_recipient low_order = {{0}};
    cs_age_to to = {.recipients = &low_order, .num_recipients = 1};
    cs_buf out;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(encrypt(&out, &rows[i], plain_of(1)), CS_E_USAGE);
    }
    assert_int_equal(encrypt(&out, &to, plain_of(1)), CS_E_AGE_IDENTITY);
    assert_int_equal(cs_arena_used(), 0);
}

static void test_a_file_cut_anywhere_is_refused(void **state)
{
    for (int armor = 0; armor < 2; armor++) {
        cs_slice file = encrypt_to_id(100, armor != 0);
        cs_buf out;

        for (size_t len = 0; len + 2 < file.len; len++) { /* the armor's last LF may be missing */
            cs_err err = decrypt(&out, cs_slice_of(file.p, len));

            assert_int_not_equal(err, CS_OK);
            assert_int_equal(out.len, 0);
        }
    }
}

static void test_a_cut_at_a_chunk_boundary_is_refused(void **state)
{
    cs_slice file = encrypt_to_id(2 * CHUNK, false);
    cs_buf out;

    assert_int_equal(decrypt(&out, cs_slice_of(file.p, file.len - CHUNK - 16)), CS_E_AGE_PAYLOAD);
    assert_int_equal(out.len, CHUNK); /* authentic, but not the whole */
    assert_int_equal(cs_age_decrypt(&out, cs_slice_of(file.p, file.len - 1), &(cs_age_keys){&id, 1, CS_SLICE_NULL}),
                     CS_E_AGE_PAYLOAD);
    assert_int_equal(out.len, CHUNK); /* cs_age_decrypt takes back what it appended */
}

static void test_every_flipped_bit_is_refused_and_releases_nothing(void **state)
{
    cs_slice file = encrypt_to_id(40, false);
    cs_buf out;

    for (size_t bit = 0; bit < file.len * 8; bit++) {
        file_mem[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(decrypt(&out, file), CS_OK);
        assert_int_equal(out.len, 0);
        file_mem[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(decrypt(&out, file), CS_OK);
}

static void test_bytes_behind_the_end_are_refused(void **state)
{
    cs_slice file = encrypt_to_id(CHUNK, false);
    cs_buf out;

    file_mem[file.len] = 0;
    assert_int_equal(decrypt(&out, cs_slice_of(file.p, file.len + 1)), CS_E_AGE_PAYLOAD);
    file = encrypt_to_id(10, true);
    memcpy(file_mem + file.len, " \r\n\t", 4);
    assert_int_equal(decrypt(&out, cs_slice_of(file.p, file.len + 4)), CS_OK);
    file_mem[file.len + 3] = 'x';
    assert_int_equal(decrypt(&out, cs_slice_of(file.p, file.len + 4)), CS_E_AGE_ARMOR);
}

#define STANZA "-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\nEmECAEcKN+n/Vs9SbWiV+Hu0r+E8R77DdWYyd83nw7U\n"
#define MAC "--- Vn+54jqiiUCE+WZcEVY3f1sqHjlu/z1LCQ/T7Xm7qI0\n"
#define V1 "age-encryption.org/v1\n"

static void test_malformed_headers_are_refused(void **state)
{
    static const char *const rows[] = {
        V1 MAC,                                                                                /* no stanza */
        "age-encryption.org/v2\n" STANZA MAC,                                                  /* version */
        "age-encryption.org/v1\r\n" STANZA MAC,                                                /* CR */
        V1 "->\n\n" MAC,                                                                       /* no type */
        V1 "-> \n\n" MAC,                                                                      /* empty type */
        V1 "-> a  b\n\n" MAC,                                                                  /* empty argument */
        V1 "-> a \n\n" MAC,                                                                    /* space at the end */
        V1 "-> a\tb\n\n" MAC,                                                                  /* not printable */
        V1 "-> a\n" MAC,                                                                       /* no body */
        V1 "-> a\nAA==\n" MAC,                                                                 /* padding */
        V1 "-> a\nAB\n" MAC,                                                                   /* not canonical */
        V1 "-> a\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" MAC,     /* no short line */
        V1 "-> a\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" MAC, /* long line */
        V1 STANZA "---\n",                                                                     /* no MAC */
        V1 STANZA "---  Vn+54jqiiUCE+WZcEVY3f1sqHjlu/z1LCQ/T7Xm7qI0\n",
        V1 STANZA "--- Vn+54jqiiUCE+WZcEVY3f1sqHjlu/z1LCQ/T7Xm7qI1\n", /* not canonical */
        V1 STANZA "--- Vn+54jqiiUCE+WZcEVY3f1sqHjlu/z1LCQ/T7Xm7\n",    /* short */
        V1 "-> scrypt AAAAAAAAAAAAAAAAAAAAAA 10\n\n" STANZA MAC,       /* a passphrase with others */
        V1 "-> X25519\nEmECAEcKN+n/Vs9SbWiV+Hu0r+E8R77DdWYyd83nw7U\n" MAC,
        V1 "-> X25519 AAAA\nEmECAEcKN+n/Vs9SbWiV+Hu0r+E8R77DdWYyd83nw7U\n" MAC,
        V1 "-> X25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nEmECAEcKN+n/Vs9SbWiV+Hu0r+E8R77DdWYyd83nw7U\n" MAC,
        V1 "-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc x\nEmECAEcKN+n/Vs9SbWiV+Hu0r+E8R77DdWYyd83nw7U\n" MAC,
        V1 "-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\nAAAA\n" MAC,
        "",
        "a",
        "age-encryption.org/v1",
    };
    cs_buf out;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(decrypt(&out, cs_slice_str(rows[i])), CS_E_AGE_HEADER);
    }
    assert_int_equal(decrypt(&out, cs_slice_str(V1 STANZA MAC)), CS_E_AGE_NO_MATCH);
    assert_int_equal(decrypt(&out, cs_slice_str(V1 "-> x25519 TEiF\n\n" MAC)), CS_E_AGE_NO_MATCH);
}

static void test_scrypt_stanzas_are_checked_before_memory_is_taken(void **state)
{
    static const char *const work_factors[] = {
        "21", "63", "0", "-1", "+4", "04", "4x", "18446744073709551617", "99999999999999999999", "0x4", ""};
    const cs_age_keys keys = {.passphrase = cs_slice_str("x")};
    char text[400];
    cs_buf out;

    for (size_t i = 0; i < sizeof work_factors / sizeof work_factors[0]; i++) {
        cs_buf b = cs_buf_wrap(text, sizeof text);

        assert_int_equal(
            cs_put_fmt(&b, V1 "-> scrypt AAAAAAAAAAAAAAAAAAAAAA %s\nEmECAEcKN+n/Vs9SbWiV+Hu0r+E8R77DdWYyd83nw7U\n" MAC,
                       work_factors[i]),
            CS_OK);
        assert_int_equal(decrypt_in(&out, cs_buf_slice(&b), &keys, SIZE_MAX), CS_E_AGE_HEADER);
    }
}

static void test_a_header_that_never_ends_is_refused(void **state)
{
    cs_buf out;

    memset(file_mem, 'a', CS_AGE_MAX_HEADER + 1);
    assert_int_equal(decrypt(&out, cs_slice_of(file_mem, CS_AGE_MAX_HEADER + 1)), CS_E_AGE_HEADER);
}

static void test_malformed_armor_is_refused(void **state)
{
    static const char *const rows[] = {
        "x",
        "\n\n",
        "-----BEGIN AGE ENCRYPTED FILE-----\n",
        "-----BEGIN AGE ENCRYPTED FILE-----\n\n",
        " -----BEGIN AGE ENCRYPTED FILE-----\n",
        "-----BEGIN AGE ENCRYPTED FILE----- \n",
        "-----BEGIN OTHER FILE-----\n",
        "-----BEGIN AGE ENCRYPTED FILE-----\nYQ==\n-----END OTHER-----\n",
        "-----BEGIN AGE ENCRYPTED FILE-----\nYQ\n",
        "-----BEGIN AGE ENCRYPTED FILE-----\nYR==\n",
        "-----BEGIN AGE ENCRYPTED FILE-----\n YQ==\n",
        "-----BEGIN AGE ENCRYPTED FILE-----\nYQ==\nYQ==\n",
        "-----BEGIN AGE ENCRYPTED FILE-----\nYQ==\n-----END AGE ENCRYPTED FILE-----x",
    };
    cs_buf out;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(decrypt(&out, cs_slice_str(rows[i])), CS_E_AGE_ARMOR);
    }
    memset(file_mem, ' ', 2000);
    assert_int_equal(decrypt(&out, cs_slice_of(file_mem, 2000)), CS_E_AGE_ARMOR);
    assert_int_equal(
        decrypt(&out, cs_slice_str("-----BEGIN AGE ENCRYPTED FILE-----\r\nYQ==\r\n-----END AGE ENCRYPTED FILE-----")),
        CS_E_AGE_HEADER); /* the armor is right, "a" is no header */
}

static cs_err failing_sink(void *cookie, cs_slice piece)
{
    return CS_E_TOO_LARGE;
}

static void test_an_error_of_the_sink_is_returned(void **state)
{
    const cs_age_keys keys = {.identities = &id, .num_identities = 1};
    cs_slice file = encrypt_to_id(CHUNK + 1, false);
    cs_age_dec *d = NULL;

    assert_int_equal(cs_age_dec_new(&d, &keys, failing_sink, NULL), CS_OK);
    assert_int_equal(cs_age_dec_push(d, file), CS_E_TOO_LARGE);
    cs_age_dec_free(d);
}

static void test_identities_and_recipients_as_text(void **state)
{
    char mem[CS_AGE_IDENTITY_TEXT_LEN + 1];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_age_identity back;
    cs_age_recipient r;

    assert_int_equal(cs_age_identity_put(&b, &id), CS_OK);
    assert_int_equal(b.len, CS_AGE_IDENTITY_TEXT_LEN);
    assert_int_equal(cs_age_identity_parse(&back, cs_buf_slice(&b)), CS_OK);
    assert_memory_equal(&back, &id, sizeof id);
    mem[20] ^= 1;
    assert_int_equal(cs_age_identity_parse(&back, cs_buf_slice(&b)), CS_E_AGE_IDENTITY);
    b.len = 0;
    assert_int_equal(cs_age_recipient_put(&b, &id.recipient), CS_OK);
    assert_int_equal(b.len, CS_AGE_RECIPIENT_TEXT_LEN);
    assert_int_equal(cs_age_recipient_parse(&r, cs_buf_slice(&b)), CS_OK);
    assert_memory_equal(&r, &id.recipient, sizeof r);
    assert_int_equal(cs_age_identity_parse(&back, cs_buf_slice(&b)), CS_E_AGE_IDENTITY);
}

static void test_identity_files(void **state)
{
    char mem[400];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_age_identity ids[2];
    size_t num = 0;

    assert_int_equal(cs_put_str(&b, "# created\r\n\n"), CS_OK);
    assert_int_equal(cs_age_identity_put(&b, &id), CS_OK);
    assert_int_equal(cs_put_str(&b, "\r\n"), CS_OK);
    assert_int_equal(cs_age_identity_put(&b, &other), CS_OK);
    assert_int_equal(cs_age_identity_file(ids, &num, 2, cs_buf_slice(&b)), CS_OK);
    assert_int_equal(num, 2);
    assert_memory_equal(&ids[1], &other, sizeof other);
    assert_int_equal(cs_age_identity_file(ids, &num, 1, cs_buf_slice(&b)), CS_E_TOO_LARGE);
    assert_int_equal(cs_age_identity_file(ids, &num, 2, cs_slice_str("# nothing\n")), CS_E_AGE_IDENTITY);
    assert_int_equal(cs_age_identity_file(ids, &num, 2, cs_slice_str("garbage\n")), CS_E_AGE_IDENTITY);
    assert_true(cs_ct_is_zero(ids, sizeof ids));
    assert_int_equal(cs_age_identity_file(ids, &num, 2, cs_slice_str("AGE-SECRET-KEY-PQ-1XYZ\n")), CS_OK);
    assert_int_equal(num, 0);
}

static void test_a_failing_random_source_ends_the_encryption(void **state)
{
    cs_age_to to = {.recipients = &id.recipient, .num_recipients = 1};
    cs_age_identity fresh;
    cs_buf out;

    for (unsigned nth = 1; nth <= 3; nth++) {
        cs_random_fail_for_tests(nth);
        assert_int_equal(encrypt(&out, &to, plain_of(1)), CS_E_ENTROPY);
    }
    cs_random_fail_for_tests(1);
    assert_int_equal(cs_age_identity_generate(&fresh), CS_E_ENTROPY);
    cs_random_fail_for_tests(0);
    assert_int_equal(cs_arena_used(), 0);
}

static int setup(void **state)
{
    return cs_arena_init(1 << 20, false) == CS_OK && cs_age_identity_generate(&id) == CS_OK &&
                   cs_age_identity_generate(&other) == CS_OK
               ? 0
               : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_of_every_shape_go_around),
        cmocka_unit_test(test_a_file_comes_byte_by_byte),
        cmocka_unit_test(test_any_of_several_recipients_opens),
        cmocka_unit_test(test_another_identity_or_none_does_not_match),
        cmocka_unit_test(test_passphrases),
        cmocka_unit_test(test_requests_that_make_no_sense_are_refused),
        cmocka_unit_test(test_a_file_cut_anywhere_is_refused),
        cmocka_unit_test(test_a_cut_at_a_chunk_boundary_is_refused),
        cmocka_unit_test(test_every_flipped_bit_is_refused_and_releases_nothing),
        cmocka_unit_test(test_bytes_behind_the_end_are_refused),
        cmocka_unit_test(test_malformed_headers_are_refused),
        cmocka_unit_test(test_scrypt_stanzas_are_checked_before_memory_is_taken),
        cmocka_unit_test(test_a_header_that_never_ends_is_refused),
        cmocka_unit_test(test_malformed_armor_is_refused),
        cmocka_unit_test(test_an_error_of_the_sink_is_returned),
        cmocka_unit_test(test_identities_and_recipients_as_text),
        cmocka_unit_test(test_identity_files),
        cmocka_unit_test(test_a_failing_random_source_ends_the_encryption),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
