/*
 * signctl tee adopt: rows of an application's table that hold private keys or secrets in the clear become sealed ones, in place. This program reads a row's
 * plaintext, seals it to the attested enclave, and the gateway stores the ciphertext and empties the column in one transaction. What was done is not asked
 * again, so that after a crash the same command goes on.
 */
#include "tools/tee_adopt.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "store/store_plain.h"
#include "rpc/tee_rpc.h"
#include "secret/sign/scheme.h"
#include "tools/json_lines.h"
#include "tools/tee_open.h"

typedef struct adoption {
    cs_tee_open open;
    const cs_scheme *scheme; /* NULL: data */
    countersign_tee_algorithm algorithm;
    uint64_t total, adopted, failed, left;
    uint64_t began_ns;
    char record[CS_TEE_RECORD_MAX + 1];
} adoption;

static void show(const adoption *d)
{
    uint64_t done = d->adopted + d->failed;
    double seconds = (double)(cs_clock_mono_ns() - d->began_ns) / 1e9;

    if (isatty(STDERR_FILENO) != 0) {
        fprintf(stderr, "\r%llu of %llu, %.0f a second, %llu failed %s", (unsigned long long)done,
                (unsigned long long)d->total, seconds > 0 ? (double)done / seconds : 0.0, (unsigned long long)d->failed,
                done >= d->total ? "\n" : "");
    }
}

static void give_up(adoption *d, const char *code)
{
    d->failed++;
    fprintf(stderr, "%s%s: %s\n", isatty(STDERR_FILENO) != 0 ? "\r\033[K" : "", d->record, code);
}

/* 64 hex digits, with or without 0x, or 44 characters of base64. */
static cs_err private_key(cs_secret32 *out, cs_slice text)
{
    cs_buf to = cs_buf_wrap(out->b, sizeof out->b);

    if (text.len == 66 && text.p[0] == '0' && (text.p[1] == 'x' || text.p[1] == 'X')) {
        text = cs_slice_of(text.p + 2, 64);
    }
    if (text.len == 64) {
        return cs_hex_decode_ct(out->b, sizeof out->b, text.p) != 0 ? CS_OK : CS_E_FORMAT;
    }
    return text.len == 44 && cs_b64_get(&to, text, CS_B64_STD) == CS_OK && to.len == sizeof out->b ? CS_OK
                                                                                                   : CS_E_FORMAT;
}

/* The enclave's key of this record is the one that was in the clear. */
static cs_err compare(const countersign_tee_public_key *key, const cs_scheme_public *wanted)
{
    return key->len == wanted->len && memcmp(key->bytes, wanted->b, key->len) == 0 ? CS_OK : CS_E_SEAL_OPEN;
}

static cs_err adopt_key(adoption *d, cs_slice text)
{
    CS_SECRET(cs_secret32) key = {{0}};
    cs_scheme_public wanted = {.len = 0};
    countersign_tee_public_key got = {.len = 0};
    cs_err err = private_key(&key, text);

    if (err == CS_OK && (err = cs_scheme_check_key(d->scheme, &key)) == CS_OK) {
        err = cs_scheme_public_key(d->scheme, &wanted, &key);
    }
    CS_TRY(err);
    if (countersign_tee_import(d->open.tee, NULL, d->record, d->algorithm, key.b, &got, &d->open.error) == 0) {
        return compare(&got, &wanted);
    }
    err = cs_tee_failed(&d->open);
    if (err == CS_E_EXISTS && /* an answer that was lost */
        countersign_tee_public_key_of(d->open.tee, NULL, d->record, &got, &d->open.error) == 0) {
        return compare(&got, &wanted);
    }
    return err;
}

static cs_err adopt_data(adoption *d, cs_slice text)
{
    uint32_t version = 0;

    return countersign_tee_seal(d->open.tee, NULL, d->record, 1, text.p, text.len, &version, &d->open.error) == 0
               ? CS_OK
               : cs_tee_failed(&d->open);
}

/* What is the fault of one row does not stop the others. */
static bool of_row(cs_err e)
{
    return e == CS_E_FORMAT || e == CS_E_RANGE || e == CS_E_TOO_LARGE || e == CS_E_CALLER_RECORD;
}

static cs_err adopt_row(void *cookie, cs_slice record, cs_slice text)
{
    adoption *d = cookie;
    cs_err err = cs_tee_record_valid(record) ? CS_OK : CS_E_RANGE;

    (void)snprintf(d->record, sizeof d->record, "%.*s", (int)(record.len < 128 ? record.len : 128),
                   (const char *)record.p);
    if (err == CS_OK) {
        err = d->scheme != NULL ? adopt_key(d, text) : adopt_data(d, text);
    }
    if (err == CS_OK) {
        d->adopted++;
    } else if (of_row(err)) {
        give_up(d, cs_err_code(err));
    } else {
        d->open.detail = err == CS_E_EXISTS
                             ? "the gateway does not seal rows in place: its tee.store.adoptColumn is the column"
                             : d->record;
        return err;
    }
    show(d);
    return CS_OK;
}

/* ---------------------------------------------------------------- the command */

static cs_err read_kind(adoption *d, const cs_args *a)
{
    const char *name = cs_args_str(a, "algorithm");
    cs_tee_alg alg = CS_TEE_DATA;

    d->open.args = a;
    d->open.detail = "--column NAME is needed";
    CS_TRY(cs_args_str(a, "column") != NULL ? CS_OK : CS_E_USAGE);
    d->open.detail = "--algorithm NAME is needed: ecdsa-secp256k1, ecdsa-p256, ed25519, schnorr-bip340, or data";
    CS_TRY(name != NULL ? cs_tee_alg_of(cs_slice_str(name), &alg) : CS_E_USAGE);
    d->open.detail = NULL;
    d->algorithm = (countersign_tee_algorithm)alg;
    d->scheme = alg != CS_TEE_DATA ? cs_scheme_of((uint64_t)alg) : NULL;
    return CS_OK;
}

static cs_err print(const adoption *d)
{
    cs_buf out = cs_buf_heap(8192);
    cs_jw w = cs_jw_begin(&out);
    cs_err err;

    cs_jw_object(&w, NULL);
    cs_jw_u64(&w, "rows", d->total);
    cs_jw_u64(&w, "adopted", d->adopted);
    cs_jw_u64(&w, "failed", d->failed);
    cs_jw_u64(&w, "left", d->left);
    cs_jw_double(&w, "seconds", (double)(cs_clock_mono_ns() - d->began_ns) / 1e9);
    cs_jw_close_object(&w);
    err = cs_jw_end(&w);
    if (err == CS_OK) {
        err = cs_json_print(cs_buf_slice(&out), !cs_args_flag(d->open.args, "json"));
    }
    cs_buf_free(&out);
    return err;
}

static cs_err adopt(adoption *d, struct cs_sql *db)
{
    const char *column = cs_args_str(d->open.args, "column");
    uint64_t seen = 0;
    bool count = cs_args_flag(d->open.args, "count");

    d->began_ns = cs_clock_mono_ns();
    d->open.detail = "--column: of the table keys";
    CS_TRY(cs_store_plain_each(db, column, NULL, NULL, &d->total));
    d->left = d->total;
    if (count) {
        return print(d);
    }
    d->open.detail = NULL;
    CS_TRY(cs_tee_open_all(&d->open, d->open.args, true));
    CS_TRY(cs_store_plain_each(db, column, adopt_row, d, &seen));
    CS_TRY(cs_store_plain_each(db, column, NULL, NULL, &d->left));
    CS_TRY(print(d));
    d->open.detail = "rows that are left are still in the clear";
    return d->left == 0 && d->failed == 0 ? CS_OK : CS_E_STATE;
}

int cs_tee_adopt_run(const cs_args *a)
{
    static adoption d;
    struct cs_sql *db = NULL;
    int lock = -1;
    cs_err err = read_kind(&d, a);
    int rc = err == CS_OK ? cs_store_cmd_connect(a, true, &db, &lock) : 0;

    if (rc != 0) {
        cs_tee_close(&d.open);
        return rc;
    }
    if (err == CS_OK) {
        err = adopt(&d, db);
        cs_store_cmd_disconnect(db, lock);
    }
    return cs_tee_end(&d.open, err);
}
