/* The export file: what goes out comes in again, whole and as it was, on both databases (store_test.c); anything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>

#include "base/text.h"
#include "store/store_file.h"
#include "store/store_testlib.h"

#define NUM 300 /* more than a page */
#define SIZE (256 * 1024)

static char exported[SIZE];
static size_t exported_len;

static cs_sql *connect_to(test_store *t)
{
    char why[256];
    cs_sql *db = NULL;
    cs_store_config c = t->config;

    assert_int_equal(cs_store_config_fit(&c, why), CS_OK);
    assert_int_equal(cs_store_driver(c.dsn)->open(&db, &c, true, why), CS_OK);
    return db;
}

static FILE *file_of(const char *bytes, size_t len)
{
    FILE *f = tmpfile();

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    return f;
}

static void fill(test_store *t)
{
    static char name[NUM][16];
    cs_tee_row rows[100];

    for (size_t i = 0; i < NUM; i++) {
        (void)snprintf(name[i], sizeof name[i], "wallet-%03u", (unsigned)i);
        rows[i % 100] = test_row(name[i], 1, "blob");
        if (i == 7) {
            rows[7].alg = CS_TEE_DATA;
            rows[7].public_key = CS_SLICE_NULL;
        }
        if (i % 100 == 99) {
            (void)test_do(t, CS_STORE_APPLY, &(cs_store_in){.rows = rows, .num = 100}, CS_OK);
        }
    }
}

/* The rows of the store as a file, in `exported`. */
static void export_all(test_store *t)
{
    FILE *f = tmpfile();
    cs_store_file told;
    cs_sql *db = connect_to(t);

    assert_non_null(f);
    assert_int_equal(cs_store_export(db, f, &told), CS_OK);
    assert_int_equal(told.rows, NUM);
    rewind(f);
    exported_len = fread(exported, 1, sizeof exported - 1, f);
    exported[exported_len] = '\0';
    (void)fclose(f);
    db->driver->close(db);
}

static cs_err take(test_store *t, const char *bytes, size_t len, bool replace, cs_store_file *told)
{
    FILE *f = file_of(bytes, len);
    cs_sql *db = connect_to(t);
    cs_err err = cs_store_take(db, f, replace, told);

    assert_true(err == CS_OK || told->why[0] != '\0');
    db->driver->close(db);
    (void)fclose(f);
    return err;
}

static void again(test_store *t)
{
    cs_store_close(t->store);
    t->store = NULL;
    test_empty(t);
    test_open(t);
}

static int begin_filled(void **state)
{
    (void)test_begin(state);
    fill(*state);
    export_all(*state);
    return 0;
}

static void export_and_import_give_the_same_store(void **state)
{
    static char first[SIZE];
    test_store *t = *state;
    cs_store_file told;

    memcpy(first, exported, exported_len + 1);
    again(t);
    assert_int_equal(take(t, first, strlen(first), false, &told), CS_OK);
    assert_int_equal(told.stored, NUM);
    test_expect(t, "wallet-299", 1, "blob");
    export_all(t);
    /* all rows with their times; the first line has another time, and the last one its digest */
    char *a = strchr(first, '\n'), *b = strchr(exported, '\n');
    char *end = strstr(a, "{\"rows\":");
    assert_memory_equal(a, b, (size_t)(end - a));
    assert_int_equal(take(t, first, strlen(first), false, &told), CS_OK); /* again: nothing to do */
    assert_int_equal(told.stored, 0);
}

static void import_refuses_another_version_as_a_whole_unless_told(void **state)
{
    test_store *t = *state;
    cs_store_file told;
    cs_tee_row newer = test_row("wallet-290", 2, "rotated");

    again(t);
    cs_tee_row one = test_row("wallet-290", 1, "blob");
    assert_int_equal(test_put(t, &one), CS_OK);
    assert_int_equal(test_put(t, &newer), CS_OK);
    assert_int_equal(take(t, exported, exported_len, false, &told), CS_E_SEAL_VERSION);
    assert_non_null(strstr(told.why, "wallet-290"));
    assert_int_equal(test_counts(t).rows, 1); /* nothing of it */
    assert_int_equal(take(t, exported, exported_len, true, &told), CS_OK);
    assert_int_equal(test_counts(t).rows, NUM);
    test_expect(t, "wallet-290", 1, "blob");
}

static void refused(test_store *t, const char *bytes, size_t len)
{
    cs_store_file told;

    assert_int_equal(take(t, bytes, len, false, &told), CS_E_FORMAT);
    assert_int_equal(test_counts(t).rows, 0);
}

static void import_takes_nothing_of_a_file_that_was_changed(void **state)
{
    static char bytes[2 * SIZE];
    test_store *t = *state;

    again(t);
    for (size_t cut = 1; cut < exported_len; cut += 1 + exported_len / 40) { /* the end is missing */
        refused(t, exported, exported_len - cut);
    }
    for (size_t at = 0; at < exported_len; at += 1 + exported_len / 60) { /* one byte is another one */
        memcpy(bytes, exported, exported_len);
        bytes[at] ^= 1;
        refused(t, bytes, exported_len);
    }
    /* a row is missing, two are swapped, one is there twice, something behind the end */
    char *row = strchr(exported, '\n') + 1, *next = strchr(row, '\n') + 1, *third = strchr(next, '\n') + 1;
    size_t head = (size_t)(row - exported), one = (size_t)(next - row), two = (size_t)(third - next);
    (void)snprintf(bytes, sizeof bytes, "%.*s%s", (int)head, exported, next);
    refused(t, bytes, strlen(bytes));
    (void)snprintf(bytes, sizeof bytes, "%.*s%.*s%.*s%s", (int)head, exported, (int)two, next, (int)one, row, third);
    refused(t, bytes, strlen(bytes));
    (void)snprintf(bytes, sizeof bytes, "%.*s%.*s%s", (int)head, exported, (int)one, row, row);
    refused(t, bytes, strlen(bytes));
    (void)snprintf(bytes, sizeof bytes, "%s\n", exported);
    refused(t, bytes, strlen(bytes));
    refused(t, "", 0);
    memcpy(bytes, exported, exported_len);
    bytes[head + one / 2] = '\0';
    refused(t, bytes, exported_len);
}

static void import_refuses_a_record_that_stands_there_twice(void **state)
{
    test_store *t = *state;
    cs_store_file told;
    char bytes[2048], sum[65];
    uint8_t hash[32];
    unsigned len = 0;
    char *row = strchr(exported, '\n') + 1, *next = strchr(row, '\n') + 1;

    (void)snprintf(bytes, sizeof bytes, "%.*s%.*s", (int)(next - exported), exported, (int)(next - row), row);
    assert_int_equal(EVP_Digest(bytes, strlen(bytes), hash, &len, EVP_sha256(), NULL), 1);
    cs_hex_encode(sum, cs_slice_of(hash, sizeof hash));
    size_t n = strlen(bytes);
    (void)snprintf(bytes + n, sizeof bytes - n, "{\"rows\":2,\"sha256\":\"%s\"}\n", sum); /* the digest is right */
    again(t);
    assert_int_equal(take(t, bytes, strlen(bytes), false, &told), CS_E_FORMAT);
    assert_non_null(strstr(told.why, "twice"));
    assert_int_equal(test_counts(t).rows, 0);
}

static void lines_are_parsed_strictly(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"id\":\"a\"}",
        "{\"id\":\"a "
        "b\",\"ciphertext_blob\":\"YQ==\",\"data_key_ciphertext\":\"YQ==\",\"kms_key_id\":\"k\",\"version\":1,"
        "\"algorithm\":\"data\",\"public_key\":\"\",\"created_at\":\"1970-01-01T00:00:00.000Z\"}",
        "{\"id\":\"a\",\"ciphertext_blob\":\"YQ=\",\"data_key_ciphertext\":\"YQ==\",\"kms_key_id\":\"k\",\"version\":1,"
        "\"algorithm\":\"data\",\"public_key\":\"\",\"created_at\":\"1970-01-01T00:00:00.000Z\"}",
        "{\"id\":\"a\",\"ciphertext_blob\":\"\",\"data_key_ciphertext\":\"YQ==\",\"kms_key_id\":\"k\",\"version\":1,"
        "\"algorithm\":\"data\",\"public_key\":\"\",\"created_at\":\"1970-01-01T00:00:00.000Z\"}",
        "{\"id\":\"a\",\"ciphertext_blob\":\"YQ==\",\"data_key_ciphertext\":\"YQ==\",\"kms_key_id\":\"k\",\"version\":"
        "0,\"algorithm\":\"data\",\"public_key\":\"\",\"created_at\":\"1970-01-01T00:00:00.000Z\"}",
        "{\"id\":\"a\",\"ciphertext_blob\":\"YQ==\",\"data_key_ciphertext\":\"YQ==\",\"kms_key_id\":\"k\",\"version\":"
        "1,\"algorithm\":\"rsa\",\"public_key\":\"\",\"created_at\":\"1970-01-01T00:00:00.000Z\"}",
        "{\"id\":\"a\",\"ciphertext_blob\":\"YQ==\",\"data_key_ciphertext\":\"YQ==\",\"kms_key_id\":\"k\",\"version\":"
        "1,\"algorithm\":\"data\",\"public_key\":\"0\",\"created_at\":\"1970-01-01T00:00:00.000Z\"}",
        "{\"id\":\"a\",\"ciphertext_blob\":\"YQ==\",\"data_key_ciphertext\":\"YQ==\",\"kms_key_id\":\"k\",\"version\":"
        "1,\"algorithm\":\"data\",\"public_key\":\"\",\"created_at\":\"today\"}",
        "{\"id\":\"a\",\"ciphertext_blob\":\"YQ==\",\"data_key_ciphertext\":\"YQ==\",\"kms_key_id\":\"k\",\"version\":"
        "1,\"algorithm\":\"data\",\"public_key\":\"\",\"created_at\":\"1970-01-01T00:00:00.000Z\"} x",
    };
    cs_store_mem m = {.first = NULL};
    cs_store_row row;
    char line[512];

    (void)state;
    (void)snprintf(line, sizeof line, "%s", bad[11]);
    line[strlen(line) - 2] = '\0';
    assert_int_equal(cs_store_line_parse(&m, &row, cs_slice_str(line)), CS_OK); /* what the others are made of */
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_not_equal(cs_store_line_parse(&m, &row, cs_slice_str(bad[i])), CS_OK);
    }
    for (char *at = strstr(line, "\"k\"") + 1, c = 1; c != 0; c = (char)(c + 1)) { /* a KMS key is printable */
        *at = c;
        bool fine = c > ' ' && c != 0x7f && c != '"' && c != '\\';
        assert_int_equal(cs_store_line_parse(&m, &row, cs_slice_str(line)) == CS_OK, fine);
    }
    cs_store_mem_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_filled, test_end)
        TEST(export_and_import_give_the_same_store),
        TEST(import_refuses_another_version_as_a_whole_unless_told),
        TEST(import_takes_nothing_of_a_file_that_was_changed),
        TEST(import_refuses_a_record_that_stands_there_twice),
        cmocka_unit_test(lines_are_parsed_strictly),
    };
    return cmocka_run_group_tests(tests, test_group_begin, test_group_end);
}
