#include "tools/tee_rotate.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define BAR 32u

void cs_tee_rotation_begin(cs_tee_rotation *r, const cs_args *a)
{
    bool keep = cs_args_flag(a, "keep-data-key");

    r->batch = (size_t)cs_args_u64(a, "batch");
    r->key_rows = keep ? UINT64_MAX : cs_args_u64(a, "rows-per-key");
    r->on_key = keep ? 0 : UINT64_MAX;
    r->began_ns = cs_clock_mono_ns();
}

static double seconds_of(const cs_tee_rotation *r)
{
    return (double)(cs_clock_mono_ns() - r->began_ns) / 1e9;
}

void cs_tee_rotation_show(const cs_tee_rotation *r)
{
    double seconds = seconds_of(r), part = r->total > 0 ? (double)r->done / (double)r->total : 1.0;
    unsigned full = (unsigned)((double)BAR * (part < 1.0 ? part : 1.0));
    char bar[BAR + 1];

    if (isatty(STDERR_FILENO) == 0) {
        return;
    }
    memset(bar, '.', BAR);
    memset(bar, '#', full);
    bar[BAR] = '\0';
    fprintf(stderr, "\r[%s] %llu of %llu, %.0f a second, %llu failed ", bar, (unsigned long long)r->done,
            (unsigned long long)r->total, seconds > 0 ? (double)(r->rotated + r->failed) / seconds : 0.0,
            (unsigned long long)r->failed);
    if (r->done >= r->total) {
        fputc('\n', stderr);
    }
}

void cs_tee_rotation_put(cs_jw *w, const cs_tee_rotation *r)
{
    double seconds = seconds_of(r);

    cs_jw_u64(w, "records", r->total);
    cs_jw_u64(w, "rotated", r->rotated);
    cs_jw_u64(w, "failed", r->failed);
    cs_jw_u64(w, "calls", r->calls);
    cs_jw_u64(w, "new_data_keys", r->data_keys);
    cs_jw_double(w, "seconds", seconds);
    cs_jw_double(w, "rows_per_second", seconds > 0 ? (double)r->rotated / seconds : 0.0);
}

/*
 * What may be the fault of one record, or of records that do not go together (they must be under one data key): a smaller batch tells. All else
 * would be refused again.
 */
static bool of_records(cs_err e)
{
    switch (e) {
    case CS_E_FORMAT:
    case CS_E_RANGE:
    case CS_E_NOT_FOUND:
    case CS_E_TOO_LARGE:
    case CS_E_SEAL_OPEN:
    case CS_E_SEAL_ROOT:
    case CS_E_SEAL_VERSION:
    case CS_E_KMS_CIPHERTEXT:
    case CS_E_KMS_KEY:
    case CS_E_KMS_KEY_ID:
    case CS_E_CALLER_RECORD:
        return true;
    default:
        return false;
    }
}

static void give_up(cs_tee_rotation *r, const char *record, const char *code)
{
    r->failed++;
    fprintf(stderr, "%s%s: %s\n", isatty(STDERR_FILENO) != 0 ? "\r\033[K" : "", record, code);
}

/* One call; the rows that were not rotated are named. */
static cs_err rotate_batch(cs_tee_rotation *r, const char *const *records, size_t num)
{
    static countersign_error rows[COUNTERSIGN_TEE_RECORDS_MAX];
    bool fresh = r->on_key >= r->key_rows;
    uint32_t rotated = 0, ok = 0;

    r->calls++;
    if (countersign_tee_rotate(r->open.tee, &r->open.call, records, num, cs_args_str(r->open.args, "kms-key"), fresh,
                               &rotated, rows, &r->open.error) != 0) {
        return cs_tee_failed(&r->open);
    }
    for (size_t i = 0; i < num; i++) {
        if (strcmp(rows[i].code, "OK") != 0) {
            give_up(r, records[i], rows[i].code);
        } else {
            ok++;
        }
    }
    /* rows that the store refused (changed meanwhile) are among those that core rotated */
    if (ok > rotated) {
        return CS_E_FORMAT; /* the answer does not agree with itself */
    }
    r->data_keys += fresh;
    r->on_key = (fresh ? 0 : r->on_key) + ok;
    r->rotated += ok;
    return CS_OK;
}

static size_t min_size(uint64_t a, uint64_t b)
{
    return (size_t)(a < b ? a : b);
}

cs_err cs_tee_rotation_step(cs_tee_rotation *r, size_t *out_num, const char *const *records, size_t num)
{
    size_t n = min_size(r->batch, num);
    cs_err err = CS_OK;

    for (;;) {
        bool fresh = r->on_key >= r->key_rows;
        n = fresh ? n : min_size(n, r->key_rows - r->on_key);
        err = rotate_batch(r, records, n);
        if (err == CS_E_NOT_FOUND && !fresh && r->key_rows != UINT64_MAX) {
            r->on_key = UINT64_MAX; /* the gateway was started anew and has no key of a rotation at hand */
        } else if (err != CS_OK && of_records(err) && n > 1) {
            n = r->batch = n / 2;
        } else {
            break;
        }
    }
    if (err != CS_OK && !of_records(err)) {
        return err;
    }
    if (err != CS_OK) {
        give_up(r, records[0], cs_err_code(err));
    }
    r->done += n;
    r->batch = min_size(r->batch * 2, (size_t)cs_args_u64(r->open.args, "batch"));
    *out_num = n;
    return CS_OK;
}
