/* signctl tee rotate: records are encrypted anew inside the enclave, in batches, with a place to go on from after a crash. */
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "rpc/tee_rpc.h"
#include "tools/cmds.h"
#include "tools/json_lines.h"
#include "tools/secret_io.h"
#include "tools/tee_rotate.h"

#define LIST_MAX ((size_t)1 << 30)
#define STATE_MAX 4096u

typedef struct rotate_job {
    cs_tee_rotation r;
    cs_buf list; /* text of --records: each line ends with NUL here */
    char **record;
    size_t num_records;
    char list_hash[65]; /* of the list, for the state */
} rotate_job;

/* ---------------------------------------------------------------- records */

static cs_err add_record(rotate_job *j, char *name)
{
    if (!cs_tee_record_valid(cs_slice_str(name))) {
        return CS_E_RANGE;
    }
    if ((j->num_records & (j->num_records - 1)) == 0) { /* a power of two: full */
        char **more = realloc(j->record, (j->num_records * 2 + 1) * sizeof *more);
        if (more == NULL) {
            return CS_E_NO_MEMORY;
        }
        j->record = more;
    }
    j->record[j->num_records++] = name;
    return CS_OK;
}

/* One record a line; empty lines are passed over. */
static cs_err read_list(rotate_job *j, const char *path)
{
    j->r.open.detail = path;
    j->list = cs_buf_heap(LIST_MAX);
    CS_TRY(cs_tfile_read(&j->list, path));
    CS_TRY(cs_put_u8(&j->list, '\n'));
    for (size_t from = 0, i = 0; i < j->list.len; i++) {
        if (j->list.p[i] != '\n') {
            continue;
        }
        j->list.p[i] = '\0';
        if (i > from) {
            j->r.open.detail = "--records: one record a line, 1 to 128 bytes of printable ASCII";
            CS_TRY(add_record(j, (char *)j->list.p + from));
        }
        from = i + 1;
    }
    j->r.open.detail = "--records: no record in it";
    return j->num_records > 0 ? CS_OK : CS_E_USAGE;
}

static cs_err read_records(rotate_job *j, const cs_args *a)
{
    const char *path = cs_args_str(a, "records");

    j->r.open.detail = "give records, or --records FILE, not both";
    if ((path == NULL) == (a->num_pos == 0)) {
        return CS_E_USAGE;
    }
    if (path != NULL) {
        CS_TRY(read_list(j, path));
    }
    for (size_t i = 0; i < a->num_pos; i++) {
        j->r.open.detail = a->pos[i];
        CS_TRY(add_record(j, (char *)(uintptr_t)a->pos[i]));
    }
    j->r.open.detail = NULL;
    return CS_OK;
}

/* ---------------------------------------------------------------- where to go on */

static cs_err hash_list(rotate_job *j)
{
    uint8_t hash32[32];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; ok && i < j->num_records; i++) {
        ok = EVP_DigestUpdate(ctx, j->record[i], strlen(j->record[i]) + 1) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(ctx, hash32, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    cs_hex_encode(j->list_hash, cs_slice_of(hash32, sizeof hash32));
    return ok ? CS_OK : CS_E_NO_MEMORY;
}

/* A state of the same list: those that are done are passed over. */
static cs_err read_state(rotate_job *j, const char *path)
{
    cs_buf text = cs_buf_heap(STATE_MAX);
    json_t *doc = NULL;
    json_int_t done = 0;
    const char *hash;
    cs_err err;

    if (path == NULL) {
        return CS_OK;
    }
    CS_TRY(hash_list(j));
    if (access(path, F_OK) != 0) {
        return CS_OK;
    }
    j->r.open.detail = path;
    err = cs_tfile_read(&text, path);
    if (err == CS_OK) {
        doc = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
        hash = json_string_value(json_object_get(doc, "list"));
        done = json_integer_value(json_object_get(doc, "done"));
        err = hash == NULL || strcmp(hash, j->list_hash) != 0 ? CS_E_STATE
              : done < 0 || (uint64_t)done > j->num_records   ? CS_E_FORMAT
                                                              : CS_OK;
    }
    json_decref(doc);
    cs_buf_free(&text);
    if (err == CS_E_STATE) {
        j->r.open.detail = "--state: it is of another list of records; remove it to begin anew";
    } else if (err == CS_OK) {
        j->r.done = (size_t)done;
        j->r.open.detail = NULL;
    }
    return err;
}

static cs_err write_state(rotate_job *j, const char *path)
{
    char text[256];
    int n = snprintf(text, sizeof text, "{\"list\":\"%s\",\"done\":%zu,\"records\":%zu}\n", j->list_hash,
                     (size_t)j->r.done, j->num_records);
    cs_tool_file f = {.fd = -1};
    cs_err err;

    if (path == NULL) {
        return CS_OK;
    }
    j->r.open.detail = path;
    err = cs_tool_create(&f, path, true);
    if (err == CS_OK && (err = cs_tool_write(&f, cs_slice_of(text, (size_t)n))) == CS_OK) {
        err = cs_tool_commit(&f, true);
    }
    cs_tool_abandon(&f);
    j->r.open.detail = err == CS_OK ? NULL : path;
    return err;
}

/* ---------------------------------------------------------------- rotation */

static cs_err rotate_list(rotate_job *j, const char *state)
{
    j->r.total = j->num_records;
    while (j->r.done < j->num_records) {
        size_t num = 0;
        CS_TRY(cs_tee_rotation_step(&j->r, &num, (const char *const *)&j->record[j->r.done],
                                    j->num_records - (size_t)j->r.done));
        CS_TRY(write_state(j, state));
        cs_tee_rotation_show(&j->r);
    }
    return CS_OK;
}

static cs_err print(const rotate_job *j)
{
    cs_buf out = cs_buf_heap(8192);
    cs_jw w = cs_jw_begin(&out);
    cs_err err;

    cs_jw_object(&w, NULL);
    cs_tee_rotation_put(&w, &j->r);
    cs_jw_u64(&w, "passed_over", j->r.done - j->r.rotated - j->r.failed);
    cs_tee_put_audit(&w, &j->r.open);
    cs_jw_close_object(&w);
    err = cs_jw_end(&w);
    if (err == CS_OK) {
        err = cs_json_print(cs_buf_slice(&out), !cs_args_flag(j->r.open.args, "json"));
    }
    cs_buf_free(&out);
    return err;
}

static cs_err rotate(rotate_job *j, const cs_args *a)
{
    const char *state = cs_args_str(a, "state");

    j->r.open.args = a;
    if (cs_args_flag(a, "all")) {
        return cs_tee_rotation_all(&j->r, a);
    }
    CS_TRY(read_records(j, a));
    CS_TRY(read_state(j, state));
    CS_TRY(cs_tee_open_all(&j->r.open, a, true));
    if (j->r.open.call.request_id != NULL && j->num_records > COUNTERSIGN_TEE_RECORDS_MAX) {
        j->r.open.detail = "--request-id, --body and --approval are of one call: at most 256 records";
        return CS_E_USAGE;
    }
    cs_tee_rotation_begin(&j->r, a);
    if (j->r.open.call.body != NULL) {
        cs_err err = CS_OK;
        uint32_t none = 0;
        if (countersign_tee_rotate(j->r.open.tee, &j->r.open.call, (const char *const *)j->record, j->num_records,
                                   cs_args_str(a, "kms-key"), j->r.key_rows != UINT64_MAX, &none, NULL,
                                   &j->r.open.error) != 0) {
            return cs_tee_failed(&j->r.open);
        }
        return cs_tee_only_body(&j->r.open, &err) ? err : CS_E_INTERNAL;
    }
    CS_TRY(rotate_list(j, state));
    CS_TRY(print(j));
    j->r.open.detail = "records that are named above were not rotated: they are as they were, and readable";
    return j->r.failed == 0 ? CS_OK : CS_E_STATE;
}

static int run_rotate(const cs_args *a)
{
    static rotate_job j;
    cs_err err = rotate(&j, a);
    int status = cs_tee_end(&j.r.open, err);

    cs_buf_free(&j.list);
    free(j.record);
    return status;
}

static const cs_opt rotate_opts[] = {
    {"records", 0, CS_OPT_STR, "FILE", "the records, one a line; - reads standard input", NULL, NULL, 0, 0},
    {"all", 0, CS_OPT_FLAG, NULL, "all records of the gateway's store, those under one data key together", NULL, NULL,
     0, 0},
    {"old-kms-key", 0, CS_OPT_STR, "ARN", "--all: only those under this KMS key", NULL, NULL, 0, 0},
    {"old-data-key", 0, CS_OPT_STR, "BASE64", "--all: only those under this data key (its ciphertext)", NULL, NULL, 0,
     0},
    {"before", 0, CS_OPT_U64, "MS", "--all: only those last changed before (ms since 1970); default: now", NULL, NULL,
     1, 0},
    {"count", 0, CS_OPT_FLAG, NULL, "--all: only say how many that are", NULL, NULL, 0, 0},
    {"kms-key", 0, CS_OPT_STR, "ARN", "encrypt under this KMS key; default: the first one that the image allows", NULL,
     NULL, 0, 0},
    {"rows-per-key", 0, CS_OPT_U64, "N", "a new data key for so many rows", NULL, "10000", 1, 1000000},
    {"keep-data-key", 0, CS_OPT_FLAG, NULL, "no new data key: that of the gateway's last rotation", NULL, NULL, 0, 0},
    {"batch", 0, CS_OPT_U64, "N", "records of one call; less where they are under several data keys", NULL, "256", 1,
     COUNTERSIGN_TEE_RECORDS_MAX},
    {"state", 0, CS_OPT_STR, "FILE", "keep there how far it came, and go on from there", NULL, NULL, 0, 0},
    CS_TEE_CALLER_OPTS CS_TEE_LINK_OPTS{0}};

const cs_cmd cs_cmds_tee_rotate[] = {
    {"tee rotate",
     "(RECORD... | --records FILE | --all) [--state FILE] [--kms-key ARN] -i FILE -g ENDPOINT (--allowed IMAGE... | "
     "--any-pcrs)",
     "encrypt records anew inside the enclave, under a new data key or KMS key",
     "Each record stays readable at every moment: the new ciphertext replaces the old one in one step, or nothing "
     "changes.\n"
     "Records that could not be rotated are named on standard error, and the exit status is 1. After a crash the same "
     "command\n"
     "with the same --state goes on where it was.\n"
     "--all walks the store: what was changed since the rotation began is passed over, with --kms-key also what is "
     "under that key\n"
     "already (unless --old-kms-key says otherwise). Of each page one key is used afterwards and compared. At the end "
     "the rows\n"
     "that are left are counted; the state is removed when there are none.\n\n"
     "examples:\n"
     "    signctl tee rotate wallet-7 wallet-8 -i alice.json --env build/run/endpoints.env\n"
     "    signctl tee rotate --all --state rotation.state -i alice.json --env build/run/endpoints.env\n"
     "    signctl tee rotate --records all.txt --state rotation.state --kms-key arn:aws:kms:... -i alice.json --env "
     "build/run/endpoints.env",
     rotate_opts, 0, 256, run_rotate},
    {0},
};
