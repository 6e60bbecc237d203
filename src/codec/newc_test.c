/* Tests of codec/newc: format bytes, determinism rules, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "codec/newc.h"

static uint8_t mem[8192];

static void test_an_archive_has_the_documented_bytes(void **state)
{
    static const cs_newc_entry entries[] = {{"d", S_IFDIR | 0755, {NULL, 0}, 0, 0},
                                            {"d/f", S_IFREG | 0644, {(const uint8_t *)"hello", 5}, 0, 0}};
    static const char want[] = "070701"
                               "00000001"
                               "000041ED"
                               "00000000"
                               "00000000"
                               "00000002"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000002"
                               "00000000"
                               "d\0"
                               "070701"
                               "00000002"
                               "000081A4"
                               "00000000"
                               "00000000"
                               "00000001"
                               "00000000"
                               "00000005"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000004"
                               "00000000"
                               "d/f\0\0\0"
                               "hello\0\0\0"
                               "070701"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000001"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "00000000"
                               "0000000B"
                               "00000000"
                               "TRAILER!!!\0\0\0";
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_newc_put(&out, entries, 2), CS_OK);
    assert_int_equal(out.len, sizeof want); /* the literal's own NUL is the last byte of padding */
    assert_memory_equal(out.p, want, sizeof want);
}

static void refuse(const cs_newc_entry *entries, size_t num)
{
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_put_u8(&out, 1), CS_OK);
    assert_int_equal(cs_newc_put(&out, entries, num), CS_E_FORMAT);
    assert_int_equal(out.len, 1);
}

static void test_entries_out_of_order_or_twice_are_refused(void **state)
{
    static const cs_newc_entry down[] = {{"b", S_IFREG, {0}, 0, 0}, {"a", S_IFREG, {0}, 0, 0}};
    static const cs_newc_entry twice[] = {{"a", S_IFREG, {0}, 0, 0}, {"a", S_IFREG, {0}, 0, 0}};

    refuse(down, 2);
    refuse(twice, 2);
}

static void test_paths_that_are_not_plain_are_refused(void **state)
{
    static const char *const paths[] = {"", "/a", "a/", "a//b", ".", "./a", "a/..", "../a", "a/./b"};

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        refuse(&(cs_newc_entry){paths[i], S_IFREG | 0644, {0}, 0, 0}, 1);
    }
}

static void test_what_is_no_file_of_a_ramdisk_is_refused(void **state)
{
    refuse(&(cs_newc_entry){"disk", S_IFBLK | 0600, {0}, 8, 0}, 1);
    refuse(&(cs_newc_entry){"pipe", S_IFIFO | 0600, {0}, 0, 0}, 1);
    refuse(&(cs_newc_entry){"dir", S_IFDIR | 0755, {(const uint8_t *)"x", 1}, 0, 0}, 1);
    refuse(&(cs_newc_entry){"console", S_IFCHR | 0600, {(const uint8_t *)"x", 1}, 5, 1}, 1);
    refuse(&(cs_newc_entry){"file", S_IFREG | 0600, {0}, 5, 1}, 1);
    refuse(&(cs_newc_entry){"TRAILER!!!", S_IFREG | 0600, {0}, 0, 0}, 1);
}

static void test_an_archive_that_does_not_fit_leaves_the_buffer(void **state)
{
    cs_buf out = cs_buf_wrap(mem, 200);

    assert_int_equal(cs_newc_put(&out, &(cs_newc_entry){"a", S_IFREG | 0644, {0}, 0, 0}, 1), CS_E_RANGE);
    assert_int_equal(out.len, 0);
}

/* ---------------------------------------------------------------- reading */

static const cs_newc_entry tree[] = {{"d", S_IFDIR | 0755, {NULL, 0}, 0, 0},
                                     {"d/c", S_IFCHR | 0600, {NULL, 0}, 5, 1},
                                     {"d/f", S_IFREG | 0644, {(const uint8_t *)"hello", 5}, 0, 0},
                                     {"l", S_IFLNK | 0777, {(const uint8_t *)"/d/f", 4}, 0, 0}};
#define NUM_TREE (sizeof tree / sizeof *tree)

static cs_buf tree_archive(void)
{
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_newc_put(&out, tree, NUM_TREE), CS_OK);
    return out;
}

/* What a reader says at the end: CS_OK, or the error; *out_num entries came before. */
static cs_err read_all(cs_slice archive, size_t *out_num)
{
    cs_newc r = cs_newc_of(archive);
    cs_newc_file f;
    bool more = true;
    cs_err err = CS_OK;

    for (*out_num = 0; err == CS_OK && more; *out_num += err == CS_OK && more ? 1 : 0) {
        err = cs_newc_next(&r, &f, &more);
    }
    return err;
}

static void test_what_was_written_is_read(void **state)
{
    cs_buf b = tree_archive();
    cs_newc r = cs_newc_of(cs_buf_slice(&b));
    cs_newc_file f = {0};
    bool more = false;

    for (size_t i = 0; i < NUM_TREE; i++) {
        assert_int_equal(cs_newc_next(&r, &f, &more), CS_OK);
        assert_true(more);
        assert_true(cs_slice_eq_str(f.path, tree[i].path));
        assert_true(cs_slice_eq(f.data, tree[i].data));
        assert_int_equal(f.mode, tree[i].mode);
        assert_int_equal(f.rdev_major, tree[i].rdev_major);
        assert_int_equal(f.rdev_minor, tree[i].rdev_minor);
        assert_int_equal(f.uid | f.gid | f.mtime, 0);
    }
    assert_int_equal(cs_newc_next(&r, &f, &more), CS_OK);
    assert_false(more);
}

static void test_an_archive_cut_anywhere_is_refused(void **state)
{
    cs_buf b = tree_archive();
    size_t num;

    for (size_t len = 0; len + 3 < b.len; len++) { /* the last three bytes are padding of the trailer */
        assert_int_equal(read_all(cs_slice_of(b.p, len), &num), CS_E_FORMAT);
    }
    assert_int_equal(read_all(cs_slice_of(b.p, b.len), &num), CS_OK);
    assert_int_equal(num, NUM_TREE);
}

static void test_zeros_behind_the_trailer_are_padding_and_nothing_else_is(void **state)
{
    cs_buf b = tree_archive();
    const size_t len = b.len;
    size_t num;

    memset(mem + len, 0, 512);
    assert_int_equal(read_all(cs_slice_of(mem, len + 512), &num), CS_OK);
    mem[len + 511] = 1;
    assert_int_equal(read_all(cs_slice_of(mem, len + 512), &num), CS_E_FORMAT);
    memmove(mem + len, mem, len); /* a second archive, which a kernel would unpack too */
    assert_int_equal(read_all(cs_slice_of(mem, 2 * len), &num), CS_E_FORMAT);
}

/* One entry with this name and data, as bytes; the numbers of its header can be changed. */
static cs_slice one(const char *name, size_t name_len, unsigned mode, const char *data)
{
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    static const char zero[4];

    assert_int_equal(cs_put_fmt(&b, "070701%08x%08x%032x%08x%032x%08x%08x", 1, mode, 0, (unsigned)strlen(data), 0,
                                (unsigned)name_len, 0),
                     CS_OK);
    assert_int_equal(cs_put(&b, name, name_len), CS_OK);
    assert_int_equal(cs_put(&b, zero, (4 - b.len % 4) % 4), CS_OK);
    assert_int_equal(cs_put_str(&b, data), CS_OK);
    assert_int_equal(cs_put(&b, zero, (4 - b.len % 4) % 4), CS_OK);
    return cs_buf_slice(&b);
}

static cs_err next_of(cs_slice archive, cs_newc_file *f)
{
    cs_newc r = cs_newc_of(archive);
    bool more = false;

    return cs_newc_next(&r, f, &more);
}

static void test_names_of_other_tools(void **state)
{
    cs_newc_file f;

    assert_int_equal(next_of(one(".", 2, S_IFDIR | 0755, ""), &f), CS_OK);
    assert_true(cs_slice_eq_str(f.path, "."));
    assert_int_equal(next_of(one("./a/b", 6, S_IFREG | 0644, "x"), &f), CS_OK);
    assert_true(cs_slice_eq_str(f.path, "a/b"));
}

static void test_names_that_lead_elsewhere_are_refused(void **state)
{
    static const char *const names[] = {"/a", "../a", "a/../b", "a//b", "a/", "a/.", "..", "././a"};
    cs_newc_file f = {0};
    char longer[CS_NEWC_PATH_MAX + 2];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(next_of(one(names[i], strlen(names[i]) + 1, S_IFREG, ""), &f), CS_E_FORMAT);
    }
    assert_int_equal(next_of(one("a\0b", 4, S_IFREG, ""), &f), CS_E_FORMAT);
    assert_int_equal(next_of(one("a", 1, S_IFREG, ""), &f), CS_E_FORMAT); /* no NUL */
    assert_int_equal(next_of(one("", 1, S_IFREG, ""), &f), CS_E_FORMAT);
    assert_int_equal(next_of(one("", 0, S_IFREG, ""), &f), CS_E_FORMAT);
    memset(longer, 'a', sizeof longer);
    longer[CS_NEWC_PATH_MAX + 1] = '\0';
    assert_int_equal(next_of(one(longer, CS_NEWC_PATH_MAX + 2, S_IFREG, ""), &f), CS_E_FORMAT);
    assert_null(f.path.p);
}

static void test_headers_that_are_wrong_are_refused(void **state)
{
    cs_newc_file f;
    cs_slice good = one("a", 2, S_IFREG | 0644, "x");

    assert_int_equal(next_of(good, &f), CS_OK);
    mem[5] = '2'; /* with checksum: another form */
    assert_int_equal(next_of(good, &f), CS_E_FORMAT);
    mem[5] = '1';
    for (size_t i = 6; i < 110; i++) {
        const uint8_t was = mem[i];
        mem[i] = 'g';
        assert_int_equal(next_of(good, &f), CS_E_FORMAT);
        mem[i] = was;
    }
    mem[good.len - 1] = 1; /* padding */
    assert_int_equal(next_of(good, &f), CS_E_FORMAT);
    assert_int_equal(next_of(one("d", 2, S_IFDIR | 0755, "x"), &f), CS_E_FORMAT);
    assert_int_equal(next_of(one("TRAILER!!!", 11, 0, "x"), &f), CS_E_FORMAT);
    good = one("a", 2, S_IFREG | 0644, "x");
    memcpy(mem + 6 + 48, "FFFFFFFF", 8); /* size of the contents */
    assert_int_equal(next_of(good, &f), CS_E_FORMAT);
}

static void test_compressed_ramdisks_are_named(void **state)
{
    assert_string_equal(cs_newc_compressed(cs_slice_of("\x1f\x8b\x08", 3)), "gzip");
    assert_string_equal(cs_newc_compressed(cs_slice_of("\x28\xb5\x2f\xfd", 4)), "zstd");
    assert_null(cs_newc_compressed(cs_slice_of("\x1f", 1)));
    assert_null(cs_newc_compressed(cs_slice_str("070701")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_archive_has_the_documented_bytes),
        cmocka_unit_test(test_entries_out_of_order_or_twice_are_refused),
        cmocka_unit_test(test_paths_that_are_not_plain_are_refused),
        cmocka_unit_test(test_what_is_no_file_of_a_ramdisk_is_refused),
        cmocka_unit_test(test_an_archive_that_does_not_fit_leaves_the_buffer),
        cmocka_unit_test(test_what_was_written_is_read),
        cmocka_unit_test(test_an_archive_cut_anywhere_is_refused),
        cmocka_unit_test(test_zeros_behind_the_trailer_are_padding_and_nothing_else_is),
        cmocka_unit_test(test_names_of_other_tools),
        cmocka_unit_test(test_names_that_lead_elsewhere_are_refused),
        cmocka_unit_test(test_headers_that_are_wrong_are_refused),
        cmocka_unit_test(test_compressed_ramdisks_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
