/* JSON shapes of the TEE service. See tee_json.h. */
#include "gateway/tee_json.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_out.h"
#include "base/text.h"

#define NAME_MAX_BYTES 32u

/* ---------------------------------------------------------------- requests */

typedef struct reading {
    const char **what;
    cs_buf pool; /* decoded bytes: as many as the JSON has at most, so that it never moves */
} reading;

static cs_err read_text(cs_slice *out, const json_t *v)
{
    if (!json_is_string(v)) {
        return CS_E_FORMAT;
    }
    *out = cs_slice_of(json_string_value(v), json_string_length(v));
    return CS_OK;
}

static cs_err read_bytes(reading *r, cs_slice *out, const json_t *v)
{
    size_t before = r->pool.len;
    cs_slice text;
    CS_TRY(read_text(&text, v));
    CS_TRY(cs_b64_get(&r->pool, text, CS_B64_STD));
    *out = cs_slice_of(r->pool.p + before, r->pool.len - before);
    return CS_OK;
}

/* A number, or its digits as text: protobuf's own JSON writes 64-bit numbers so. */
static cs_err read_number(uint64_t *out, const json_t *v, uint64_t max)
{
    if (json_is_string(v)) {
        return cs_parse_u64(cs_slice_str(json_string_value(v)), max, out);
    }
    if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max) {
        return json_is_integer(v) ? CS_E_RANGE : CS_E_FORMAT;
    }
    *out = (uint64_t)json_integer_value(v);
    return CS_OK;
}

static cs_err read_flag(bool *out, const json_t *v)
{
    *out = json_is_true(v);
    return json_is_boolean(v) ? CS_OK : CS_E_FORMAT;
}

static cs_err read_records(cs_slice *out, size_t *out_num, const json_t *v)
{
    size_t num = json_array_size(v);
    if (!json_is_array(v)) {
        return CS_E_FORMAT;
    }
    if (num > CS_TEE_ROWS_MAX) {
        return CS_E_TOO_LARGE;
    }
    for (size_t i = 0; i < num; i++) {
        CS_TRY(read_text(&out[i], json_array_get(v, i)));
    }
    *out_num = num;
    return CS_OK;
}

static cs_err read_approval(reading *r, cs_tee_approval *out, const json_t *v)
{
    cs_slice signature;
    if (json_object_size(v) != 2) { /* of anything but an object: 0 */
        return CS_E_FORMAT;
    }
    CS_TRY(read_text(&out->approver, json_object_get(v, "approver")));
    CS_TRY(read_bytes(r, &signature, json_object_get(v, "signature")));
    out->sig64 = signature.p;
    return signature.len == 64 ? CS_OK : CS_E_FORMAT;
}

static cs_err read_approvals(reading *r, cs_tee_named *n, const json_t *v)
{
    size_t num = json_array_size(v);
    if (!json_is_array(v)) {
        return CS_E_FORMAT;
    }
    if (num > CS_TEE_APPROVALS_MAX) {
        return CS_E_TOO_LARGE;
    }
    for (size_t i = 0; i < num; i++) {
        CS_TRY(read_approval(r, &n->approval[i], json_array_get(v, i)));
        n->num_approvals++;
    }
    return CS_OK;
}

static cs_err read_auth_member(reading *r, cs_tee_named *n, const char *key, const json_t *v)
{
    static const char *const names[] = {"auth.request_id", "auth.time_ms", "auth.caller", "auth.signature",
                                        "auth.approvals"};
    size_t which = 0;
    while (which < 5 && strcmp(names[which] + 5, key) != 0) {
        which++;
    }
    *r->what = which < 5 ? names[which] : "auth: unknown member";
    switch (which) {
    case 0:
        return read_bytes(r, &n->id, v);
    case 1:
        return read_number(&n->time_ms, v, INT64_MAX);
    case 2:
        return read_text(&n->caller, v);
    case 3:
        return read_bytes(r, &n->signature, v);
    case 4:
        return read_approvals(r, n, v);
    default:
        return CS_E_FORMAT;
    }
}

static cs_err read_auth(reading *r, cs_tee_named *n, json_t *auth)
{
    const char *key;
    json_t *v;
    *r->what = "auth";
    if (!json_is_object(auth)) {
        return CS_E_FORMAT;
    }
    json_object_foreach(auth, key, v)
    {
        CS_TRY(read_auth_member(r, n, key, v));
    }
    return CS_OK;
}

static cs_err read_alg(uint64_t *out, const json_t *v)
{
    cs_tee_alg alg = CS_TEE_DATA;
    cs_slice name;
    CS_TRY(read_text(&name, v));
    CS_TRY(cs_tee_alg_of(name, &alg));
    *out = (uint64_t)alg;
    return CS_OK;
}

static cs_err read_member(reading *r, cs_tee_named *n, const cs_tee_member *m, const json_t *v)
{
    cs_tee_field *to = &n->f[m->at];
    bool flag = false;

    switch (m->kind) {
    case CS_TEE_M_TEXT:
        return read_text(&to->s, v);
    case CS_TEE_M_BYTES:
        return read_bytes(r, &to->s, v);
    case CS_TEE_M_UINT:
        return read_number(&to->u, v, UINT32_MAX);
    case CS_TEE_M_BOOL:
        CS_TRY(read_flag(&flag, v));
        to->u = flag ? 1 : 0;
        return CS_OK;
    case CS_TEE_M_ALG:
        return read_alg(&to->u, v);
    case CS_TEE_M_DIGEST:
    case CS_TEE_M_MESSAGE:
        if (n->has_input) { /* one of the two */
            return CS_E_FORMAT;
        }
        n->has_input = true;
        n->f[2].u = m->kind == CS_TEE_M_MESSAGE ? 1 : 0;
        return read_bytes(r, &to->s, v);
    case CS_TEE_M_RECORDS:
        return read_records(n->records, &n->num_records, v);
    case CS_TEE_M_DATA_KEY:
        return read_bytes(r, &n->data_key, v);
    case CS_TEE_M_KMS_KEY:
        return read_text(&n->kms_key, v);
    default:
        return CS_E_INTERNAL;
    }
}

static cs_err read_named(reading *r, cs_tee_named *n, json_t *doc)
{
    const char *key;
    json_t *v;
    json_object_foreach(doc, key, v)
    {
        if (n->shape->auth && strcmp(key, "auth") == 0) {
            CS_TRY(read_auth(r, n, v));
            continue;
        }
        const cs_tee_member *m = n->shape->in;
        while (m->name != NULL && strcmp(m->name, key) != 0) {
            m++;
        }
        *r->what = m->name != NULL ? m->name : "unknown member";
        CS_TRY(m->name != NULL ? read_member(r, n, m, v) : CS_E_FORMAT);
    }
    return CS_OK;
}

/* What the two kinds of request have in common: a document that is an object, and room for its bytes. */
static cs_err open_doc(reading *r, json_t **doc, cs_slice json)
{
    json_error_t e;
    *r->what = "JSON";
    if (json.len > CS_TEE_JSON_MAX) {
        return CS_E_TOO_LARGE;
    }
    *doc = json_loadb((const char *)json.p, json.len, JSON_REJECT_DUPLICATES, &e);
    void *mem = malloc(json.len + 1);
    r->pool = cs_buf_wrap(mem, json.len);
    if (mem == NULL) {
        return CS_E_NO_MEMORY;
    }
    return json_is_object(*doc) ? CS_OK : CS_E_FORMAT;
}

static void close_doc(reading *r, json_t *doc)
{
    free(r->pool.p);
    json_decref(doc);
}

cs_err cs_tee_json_named(cs_tee_ask *out, const char **what, const cs_tee_shape *shape, cs_slice json)
{
    cs_tee_named n = {.shape = shape};
    reading r = {.what = what};
    json_t *doc = NULL;

    cs_err err = open_doc(&r, &doc, json);
    if (err == CS_OK) {
        err = read_named(&r, &n, doc);
    }
    if (err == CS_OK) {
        err = cs_tee_ask_named(out, what, &n);
    }
    close_doc(&r, doc);
    return err;
}

static cs_err read_given_member(reading *r, cs_tee_given *g, const char *key, const json_t *v)
{
    static const char *const names[] = {"call",       "sealed",  "operation",           "caller",
                                        "request_id", "records", "data_key_ciphertext", "kms_key_id"};
    size_t which = 0;
    while (which < 8 && strcmp(names[which], key) != 0) {
        which++;
    }
    *r->what = which < 8 ? names[which] : "unknown member";
    switch (which) {
    case 0:
        return read_bytes(r, &g->call, v);
    case 1:
        return read_flag(&g->sealed, v);
    case 2:
        return read_text(&g->operation, v);
    case 3:
        return read_text(&g->caller, v);
    case 4:
        return read_bytes(r, &g->id, v);
    case 5:
        return read_records(g->records, &g->num_records, v);
    case 6:
        return read_bytes(r, &g->data_key, v);
    case 7:
        return read_text(&g->kms_key, v);
    default:
        return CS_E_FORMAT;
    }
}

static cs_err read_given(reading *r, cs_tee_given *g, json_t *doc)
{
    const char *key;
    json_t *v;
    json_object_foreach(doc, key, v)
    {
        CS_TRY(read_given_member(r, g, key, v));
    }
    return CS_OK;
}

cs_err cs_tee_json_given(cs_tee_ask *out, const char **what, cs_slice json)
{
    cs_tee_given g = {0};
    reading r = {.what = what};
    json_t *doc = NULL;

    cs_err err = open_doc(&r, &doc, json);
    if (err == CS_OK) {
        err = read_given(&r, &g, doc);
    }
    if (err == CS_OK) {
        err = cs_tee_ask_given(out, what, &g);
    }
    close_doc(&r, doc);
    return err;
}

const cs_tee_op_row *cs_tee_json_operation(cs_slice name)
{
    for (unsigned i = 1; i <= CS_TEE_NUM_OPS; i++) {
        const cs_tee_op_row *row = cs_tee_op_of(i);
        char snake[NAME_MAX_BYTES];
        size_t n = 0;
        for (const char *p = row->name; *p != '\0' && n + 2 < sizeof snake; p++) {
            if (isupper((unsigned char)*p) && p != row->name) {
                snake[n++] = '_';
            }
            snake[n++] = (char)tolower((unsigned char)*p);
        }
        snake[n] = '\0';
        if (cs_slice_eq_str(name, row->name) || cs_slice_eq_str(name, snake)) {
            return row;
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------- replies */

static void put_rotated(cs_jw *w, const char *name, const cs_tee_told *t)
{
    cs_tee_iter it = cs_tee_iter_of(t->reply.rows);
    cs_tee_row row;
    cs_jw_array(w, name);
    while (cs_tee_rows_next(&it, &row)) {
        cs_jw_object(w, NULL);
        cs_jw_str(w, "record", row.record);
        cs_jw_str(w, "code", row.code);
        cs_jw_u64(w, "version", row.version);
        cs_jw_close_object(w);
    }
    cs_jw_close_array(w);
}

static cs_err put_member(cs_jw *w, const cs_tee_member *m, const cs_tee_ask *ask, const cs_tee_told *t)
{
    const cs_tee_field *f = &t->result.f[m->at];
    const char *alg = cs_tee_alg_name(m->kind == CS_TEE_M_ASKED ? ask->alg : f->u);

    switch (m->kind) {
    case CS_TEE_M_TEXT:
        cs_jw_str(w, m->name, f->s);
        return CS_OK;
    case CS_TEE_M_BYTES:
        cs_jw_b64(w, m->name, f->s);
        return CS_OK;
    case CS_TEE_M_UINT:
        cs_jw_u64(w, m->name, f->u);
        return CS_OK;
    case CS_TEE_M_ALG:
    case CS_TEE_M_ASKED:
        cs_jw_cstr(w, m->name, alg != NULL ? alg : "");
        return alg != NULL ? CS_OK : CS_E_UPSTREAM;
    case CS_TEE_M_SEALED:
        cs_jw_b64(w, m->name, t->reply.result);
        return CS_OK;
    case CS_TEE_M_ROTATED:
        put_rotated(w, m->name, t);
        return CS_OK;
    default:
        return CS_E_INTERNAL;
    }
}

static void put_audit(cs_jw *w, const cs_tee_told *t)
{
    if (t->has_entry) {
        cs_jw_object(w, "audit");
        cs_jw_b64(w, "entry", t->reply.entry);
        cs_jw_b64(w, "signature", t->reply.entry_sig);
        cs_jw_u64(w, "counter", t->entry.counter);
        cs_jw_b64(w, "hash", cs_slice_of(t->hash32, sizeof t->hash32));
        cs_jw_close_object(w);
    }
}

cs_err cs_tee_json_told(cs_buf *out, const cs_tee_ask *ask, cs_slice reply)
{
    cs_jw w = cs_jw_begin(out);
    cs_tee_told t;

    CS_TRY(cs_tee_told_read(&t, ask, reply));
    if (t.reply.sealed != (ask->shape->out[0].kind == CS_TEE_M_SEALED)) {
        return CS_E_UPSTREAM;
    }
    cs_jw_object(&w, NULL);
    for (const cs_tee_member *m = ask->shape->out; m->name != NULL; m++) {
        CS_TRY(put_member(&w, m, ask, &t));
    }
    put_audit(&w, &t);
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}

cs_err cs_tee_json_reply(cs_buf *out, cs_slice reply)
{
    cs_jw w = cs_jw_begin(out);
    cs_jw_object(&w, NULL);
    cs_jw_b64(&w, "reply", reply);
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}

cs_err cs_tee_json_refusal(cs_buf *out, cs_err e, const char *detail, cs_slice reply)
{
    static const cs_tee_ask nothing = {0};
    cs_jw w = cs_jw_begin(out);
    cs_tee_told t = {0};

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "code", cs_err_code(e));
    cs_jw_cstr(&w, "cause", cs_err_cause(e));
    cs_jw_cstr(&w, "fix", cs_err_fix(e));
    if (detail[0] != '\0') {
        cs_jw_cstr(&w, "detail", detail);
    }
    if (reply.len > 0 && cs_tee_told_read(&t, &nothing, reply) == CS_OK) {
        put_audit(&w, &t);
    }
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}
