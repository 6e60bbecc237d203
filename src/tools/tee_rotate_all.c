/* signctl tee rotate --all: a walk through the gateway's store. What it has to know after a crash is when it began; the store knows the rest. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "tools/json_lines.h"
#include "tools/secret_io.h"
#include "tools/tee_rotate.h"

#define STATE_MAX 16384u
#define DATA_KEY_MAX 6144u

typedef struct walk {
    cs_tee_rotation *r;
    const cs_args *a;
    cs_buf data_key; /* --old-data-key */
    countersign_tee_filter filter;
    countersign_tee_list list;
    countersign_tee_row rows[COUNTERSIGN_TEE_RECORDS_MAX];
    uint64_t sampled, left;
} walk;

/* ---------------------------------------------------------------- which rows */

static cs_err read_filter(walk *w)
{
    const char *key = cs_args_str(w->a, "old-data-key"), *old = cs_args_str(w->a, "old-kms-key");

    w->r->open.detail = "--all: no records beside it";
    if (w->a->num_pos > 0 || cs_args_str(w->a, "records") != NULL || cs_args_str(w->a, "request-id") != NULL ||
        cs_args_str(w->a, "body") != NULL) {
        return CS_E_USAGE;
    }
    w->data_key = cs_buf_heap(DATA_KEY_MAX);
    w->r->open.detail = "--old-data-key: the ciphertext of a data key in base64";
    if (key != NULL) {
        CS_TRY(cs_b64_get(&w->data_key, cs_slice_str(key), CS_B64_STD));
    }
    w->r->open.detail = NULL;
    w->filter = (countersign_tee_filter){.kms_key = old,
                                         .not_kms_key = old == NULL ? cs_args_str(w->a, "kms-key") : NULL,
                                         .data_key = w->data_key.p,
                                         .data_key_len = w->data_key.len,
                                         .changed_before_ms = cs_args_u64(w->a, "before")};
    return CS_OK;
}

static cs_err ask(walk *w, const char *after, size_t limit)
{
    return countersign_tee_rows(w->r->open.tee, &w->filter, after, limit, w->rows, &w->list, &w->r->open.error) == 0
               ? CS_OK
               : cs_tee_failed(&w->r->open);
}

/* ---------------------------------------------------------------- the state: when it began, and of which rows */

static json_t *text_or_null(const char *s)
{
    return s != NULL ? json_string(s) : json_null();
}

static json_t *wanted(const walk *w)
{
    const cs_args *a = w->a;

    return json_pack("{s:o, s:o, s:o}", "kms_key", text_or_null(cs_args_str(a, "kms-key")), "old_kms_key",
                     text_or_null(cs_args_str(a, "old-kms-key")), "old_data_key",
                     text_or_null(cs_args_str(a, "old-data-key")));
}

static cs_err take_state(walk *w, const char *path)
{
    cs_buf text = cs_buf_heap(STATE_MAX);
    json_t *doc = NULL, *want = wanted(w);
    cs_err err = cs_tfile_read(&text, path);

    w->r->open.detail = path;
    if (err == CS_OK) {
        doc = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
        json_int_t before = json_integer_value(json_object_get(doc, "before_ms"));
        err = want == NULL                                                                          ? CS_E_NO_MEMORY
              : before <= 0                                                                         ? CS_E_FORMAT
              : json_equal(json_object_get(doc, "all"), want) != 1                                  ? CS_E_STATE
              : w->filter.changed_before_ms != 0 && w->filter.changed_before_ms != (uint64_t)before ? CS_E_STATE
                                                                                                    : CS_OK;
        w->filter.changed_before_ms = err == CS_OK ? (uint64_t)before : 0;
    }
    if (err == CS_E_STATE) {
        w->r->open.detail = "--state: it is of another rotation; remove it to begin anew";
    } else if (err == CS_OK) {
        w->r->open.detail = NULL;
    }
    json_decref(doc);
    json_decref(want);
    cs_buf_free(&text);
    return err;
}

static cs_err keep_state(walk *w, const char *path)
{
    json_t *doc = json_pack("{s:o, s:I}", "all", wanted(w), "before_ms", (json_int_t)w->filter.changed_before_ms);
    char *text = doc != NULL ? json_dumps(doc, JSON_COMPACT) : NULL;
    cs_tool_file f = {.fd = -1};
    cs_err err = text != NULL ? cs_tool_create(&f, path, true) : CS_E_NO_MEMORY;

    w->r->open.detail = path;
    if (err == CS_OK && (err = cs_tool_write(&f, cs_slice_str(text))) == CS_OK) {
        err = cs_tool_commit(&f, true);
    }
    cs_tool_abandon(&f);
    free(text);
    json_decref(doc);
    w->r->open.detail = err == CS_OK ? NULL : path;
    return err;
}

/* When it began, by the gateway's clock: rows that were changed later are done. */
static cs_err begin(walk *w)
{
    const char *path = cs_args_str(w->a, "state");

    if (path != NULL && access(path, F_OK) == 0) {
        CS_TRY(take_state(w, path));
    }
    CS_TRY(ask(w, NULL, 0));
    if (w->filter.changed_before_ms == 0) {
        w->filter.changed_before_ms = w->list.now_ms;
        CS_TRY(path != NULL && !cs_args_flag(w->a, "count") ? keep_state(w, path) : CS_OK);
    }
    w->r->total = w->left = w->list.matching;
    return CS_OK;
}

/* ---------------------------------------------------------------- the walk */

/* One key of the page is used: what is stored now opens, and is the same key. */
static cs_err sample(walk *w)
{
    size_t i = 0;
    countersign_tee_public_key key;

    while (i < w->list.num_rows && w->rows[i].public_key.len == 0) {
        i++;
    }
    if (i == w->list.num_rows) {
        return CS_OK; /* data only: its owner alone can read it */
    }
    w->r->open.detail = w->rows[i].record;
    if (countersign_tee_public_key_of(w->r->open.tee, NULL, w->rows[i].record, &key, &w->r->open.error) != 0) {
        return cs_tee_failed(&w->r->open);
    }
    if (key.algorithm != w->rows[i].public_key.algorithm || key.len != w->rows[i].public_key.len ||
        memcmp(key.bytes, w->rows[i].public_key.bytes, key.len) != 0) {
        return CS_E_SEAL_OPEN;
    }
    w->r->open.detail = NULL;
    w->sampled++;
    return CS_OK;
}

static cs_err rotate_page(walk *w)
{
    static const char *records[COUNTERSIGN_TEE_RECORDS_MAX];
    const size_t num = w->list.num_rows;
    const uint64_t failed = w->r->failed;

    for (size_t i = 0; i < num; i++) {
        records[i] = w->rows[i].record;
    }
    for (size_t at = 0; at < num;) {
        size_t n = 0;
        CS_TRY(cs_tee_rotation_step(w->r, &n, &records[at], num - at));
        at += n;
        cs_tee_rotation_show(w->r);
    }
    return w->r->failed == failed ? sample(w) : CS_OK; /* one that failed need not open */
}

static cs_err walk_all(walk *w)
{
    char after[COUNTERSIGN_TEE_AFTER_MAX] = "";
    size_t limit = COUNTERSIGN_TEE_RECORDS_MAX;
    bool more = true;

    while (more) {
        cs_err err = ask(w, after, limit);
        if (err == CS_E_TOO_LARGE && limit > 1) {
            limit /= 2; /* long data keys: fewer rows fit */
            continue;
        }
        CS_TRY(err);
        memcpy(after, w->list.next, sizeof after);
        more = after[0] != '\0';
        if (w->list.num_rows > 0) {
            CS_TRY(rotate_page(w));
        }
    }
    CS_TRY(ask(w, NULL, 0));
    w->left = w->list.matching;
    return CS_OK;
}

static cs_err print(const walk *w)
{
    cs_buf out = cs_buf_heap(8192);
    cs_jw j = cs_jw_begin(&out);
    cs_err err;

    cs_jw_object(&j, NULL);
    cs_tee_rotation_put(&j, w->r);
    cs_jw_u64(&j, "sampled", w->sampled);
    cs_jw_u64(&j, "left", w->left);
    cs_jw_u64(&j, "before_ms", w->filter.changed_before_ms);
    cs_jw_close_object(&j);
    err = cs_jw_end(&j);
    if (err == CS_OK) {
        err = cs_json_print(cs_buf_slice(&out), !cs_args_flag(w->a, "json"));
    }
    cs_buf_free(&out);
    return err;
}

static cs_err rotate(walk *w)
{
    const char *state = cs_args_str(w->a, "state");

    CS_TRY(read_filter(w));
    CS_TRY(cs_tee_open_all(&w->r->open, w->a, true));
    cs_tee_rotation_begin(w->r, w->a);
    CS_TRY(begin(w));
    if (cs_args_flag(w->a, "count")) {
        return print(w);
    }
    CS_TRY(walk_all(w));
    CS_TRY(print(w));
    if (w->left > 0 || w->r->failed > 0) {
        w->r->open.detail = "rows that are left were not rotated: they are as they were; see above";
        return CS_E_STATE;
    }
    if (state != NULL) {
        (void)unlink(state); /* the next one is another rotation */
    }
    return CS_OK;
}

cs_err cs_tee_rotation_all(cs_tee_rotation *r, const cs_args *a)
{
    static walk w; /* an error's detail may be in it */
    cs_err err;

    w = (walk){.r = r, .a = a};
    err = rotate(&w);
    cs_buf_free(&w.data_key);
    return err;
}
