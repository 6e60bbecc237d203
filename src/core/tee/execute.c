/* Second stage of a call, on a worker: with a permit only. Reads its job and the share set that it holds, writes the job. */
#include <string.h>

#include "core/tee/work.h"
#include "secret/hpke.h"
#include "secret/th.h"

#define HPKE_OVERHEAD (CS_HPKE_ENC + CS_HPKE_TAG)
#define RESULT_HEAD 64u /* CBOR around the fields, and short ones */

typedef cs_err operation(cs_tee_work *w);

static cs_err only_row(const cs_tee_work *w, const cs_tee_row **row, const cs_key_want **key)
{
    return cs_tee_permit_row(w->permit, 0, row, key);
}

static cs_slice pub_of(const cs_tee_work *w)
{
    return cs_slice_of(w->pub.b, w->pub.len);
}

static cs_err op_sign(cs_tee_work *w)
{
    CS_SECRET(cs_secret32) key = {{0}};
    CS_SECRET(cs_secret32) aux = {{0}};
    const cs_tee_request *r = &w->job->r;
    const cs_scheme_input in = {.is_digest = r->f[2].u == 0, .payload = r->f[3].s, .aux32 = &aux};
    const cs_scheme *scheme = NULL;
    const cs_key_want *want = NULL;
    const cs_tee_row *row = NULL;

    CS_TRY(only_row(w, &row, &want));
    if (r->f[1].u != row->alg) {
        return CS_E_ALGORITHM;
    }
    CS_TRY(cs_tee_open_key(w, &key, &scheme, row, want));
    if (row->alg == CS_TEE_BIP340) {
        cs_scheme_aux(&aux, &key, w->job->call.body);
    }
    CS_TRY(cs_scheme_sign(scheme, &w->sig, &key, &in));
    CS_TRY(cs_scheme_public_key(scheme, &w->pub, &key));
    w->result.f[0].s = cs_slice_of(w->sig.b, sizeof w->sig.b);
    w->result.f[1].u = w->sig.recid;
    w->result.f[2].s = pub_of(w);
    return CS_OK;
}

static cs_err op_decrypt(cs_tee_work *w)
{
    const cs_tee_request *r = &w->job->r;
    const cs_key_want *key = cs_tee_permit_key(w->permit);

    CS_TRY(key->err);
    CS_TRY(cs_secret_buf(&w->data, r->f[2].s.len));
    CS_TRY(cs_seal_open_raw(&w->data, &key->key, r->f[1].s, r->f[2].s));
    w->result.f[0].s = cs_buf_slice(&w->data);
    return CS_OK;
}

static cs_err op_seal(cs_tee_work *w)
{
    const cs_tee_request *r = &w->job->r;
    cs_tee_row *row = &w->job->row[0];

    *row = (cs_tee_row){.record = r->f[0].s, .version = r->f[1].u, .alg = CS_TEE_DATA};
    CS_TRY(cs_tee_seal_row(w, row, cs_tee_permit_key(w->permit), r->f[2].s));
    w->job->num_rows = 1;
    w->result.f[0].u = row->version;
    return CS_OK;
}

static cs_err op_unseal(cs_tee_work *w)
{
    const cs_tee_request *r = &w->job->r;
    const cs_tee_row *row = NULL;
    const cs_key_want *key = NULL;

    CS_TRY(only_row(w, &row, &key));
    if (row->alg != CS_TEE_DATA) {
        return CS_E_ALGORITHM; /* a private key never leaves */
    }
    if (r->f[1].u != 0 && r->f[1].u != row->version) {
        return CS_E_SEAL_VERSION;
    }
    CS_TRY(cs_secret_buf(&w->data, row->blob.len));
    CS_TRY(cs_tee_open_row(w, &w->data, row, key));
    w->result.f[0].s = cs_buf_slice(&w->data);
    w->result.f[1].u = row->version;
    return CS_OK;
}

/* A private key that is new here becomes version 1 of its record. */
static cs_err store_key(cs_tee_work *w, const cs_scheme *scheme, const cs_secret32 *key)
{
    const cs_tee_request *r = &w->job->r;
    cs_tee_row *row = &w->job->row[0];

    CS_TRY(cs_scheme_public_key(scheme, &w->pub, key));
    *row = (cs_tee_row){.record = r->f[0].s, .version = 1, .alg = r->f[1].u};
    CS_TRY(cs_tee_seal_row(w, row, cs_tee_permit_key(w->permit), cs_slice_of(key->b, sizeof key->b)));
    w->job->pub = w->pub;
    row->public_key = cs_slice_of(w->job->pub.b, w->job->pub.len);
    w->job->num_rows = 1;
    w->result.f[0].s = pub_of(w);
    return CS_OK;
}

static cs_err op_generate(cs_tee_work *w)
{
    CS_SECRET(cs_secret32) key = {{0}};
    const cs_scheme *scheme = cs_scheme_of(w->job->r.f[1].u);

    CS_TRY(scheme == NULL ? CS_E_ALGORITHM : cs_scheme_generate(scheme, &key));
    return store_key(w, scheme, &key);
}

static cs_err op_import(cs_tee_work *w)
{
    CS_SECRET(cs_secret32) key = {{0}};
    const cs_tee_request *r = &w->job->r;
    const cs_scheme *scheme = cs_scheme_of(r->f[1].u);

    if (scheme == NULL || r->f[2].s.len != sizeof key.b) {
        return CS_E_ALGORITHM;
    }
    memcpy(key.b, r->f[2].s.p, sizeof key.b);
    CS_TRY(cs_scheme_check_key(scheme, &key));
    return store_key(w, scheme, &key);
}

static cs_err op_public_key(cs_tee_work *w)
{
    CS_SECRET(cs_secret32) key = {{0}};
    const cs_scheme *scheme = NULL;
    const cs_key_want *want = NULL;
    const cs_tee_row *row = NULL;

    CS_TRY(only_row(w, &row, &want));
    CS_TRY(cs_tee_open_key(w, &key, &scheme, row, want));
    CS_TRY(cs_scheme_public_key(scheme, &w->pub, &key));
    w->result.f[0].s = pub_of(w);
    w->result.f[1].u = row->alg;
    return CS_OK;
}

/* What the main thread has made. */
static cs_err op_given(cs_tee_work *w)
{
    w->result.f[0].s = cs_buf_slice(&w->job->given);
    return CS_OK;
}

static operation *const operations[CS_TEE_NUM_OPS + 1] = {
    [CS_TEE_SIGN] = op_sign,         [CS_TEE_DECRYPT] = op_decrypt,       [CS_TEE_SEAL] = op_seal,
    [CS_TEE_UNSEAL] = op_unseal,     [CS_TEE_GENERATE] = op_generate,     [CS_TEE_IMPORT] = op_import,
    [CS_TEE_ROTATE] = cs_tee_rotate, [CS_TEE_PUBLIC_KEY] = op_public_key, [CS_TEE_ATTEST] = op_given,
    [CS_TEE_STATS] = op_given,
};

/* ---------------------------------------------------------------- room, and the reply's result */

/* Of the plaintext fields of a result: what comes in bounds what goes out. */
static size_t result_room(const cs_tee_job *j)
{
    return RESULT_HEAD + CS_SCHEME_SIG + CS_SCHEME_PUBLIC_MAX + j->given.len + j->attached_bytes.len +
           (j->r.row->op == CS_TEE_DECRYPT ? j->r.f[2].s.len : 0);
}

/* A blob is as long as the one that it was made of, or as its plaintext and the head. */
static size_t blob_room(const cs_tee_job *j)
{
    return j->r.row->op == CS_TEE_ROTATE ? j->attached_bytes.len
           : j->r.row->op == CS_TEE_SEAL ? j->r.f[2].s.len + CS_SEAL_OVERHEAD
                                         : CS_SEAL_KEY + CS_SEAL_OVERHEAD;
}

static cs_err make_room(cs_tee_job *j)
{
    const size_t result = result_room(j), rows = j->r.row->op == CS_TEE_ROTATE ? cs_tee_permit_rows(j->permit) : 1;

    CS_TRY(cs_secret_buf(&j->plain, result));
    CS_TRY(cs_secret_buf(&j->out, blob_room(j) + result + HPKE_OVERHEAD));
    j->row = cs_secret_alloc(rows * sizeof *j->row);
    return j->row == NULL ? CS_E_NO_MEMORY : CS_OK;
}

/* To the caller's registered key and nobody else's. Without a caller there is neither a key nor a secret. */
static cs_err seal_result(cs_tee_job *j)
{
    const cs_hpke_args args = {.aead = CS_HPKE_CHACHA20_POLY1305, .info = cs_slice_str("countersign-tee-reply-1")};
    const size_t before = j->out.len;

    CS_TRY(cs_hpke_seal_once(&j->out, j->caller->x25519, &args, cs_slice_of(j->r.id16, CS_TEE_ID_LEN),
                             cs_buf_slice(&j->plain)));
    j->result = cs_slice_of(j->out.p + before, j->out.len - before);
    j->reply_sealed = true;
    return CS_OK;
}

static cs_err make_result(cs_tee_work *w)
{
    cs_tee_job *j = w->job;
    const bool secret = (j->r.row->flags & CS_TEE_SECRET_OUT) != 0;
    cs_sha256 h;

    CS_TRY(cs_tee_result_encode(&j->plain, j->r.row, &w->result));
    j->result = cs_buf_slice(&j->plain);
    if (secret && j->caller == NULL) {
        return CS_E_INTERNAL; /* admit lets none through */
    }
    if (secret || (j->sealed && j->caller != NULL)) {
        CS_TRY(seal_result(j));
    }
    cs_sha256_init(&h);
    cs_sha256_put(&h, j->result.p, j->result.len);
    cs_sha256_end(&h, j->result_hash32);
    return CS_OK;
}

cs_err cs_tee_execute(const cs_tee_permit *p)
{
    cs_tee_work w = {.permit = p, .job = cs_tee_permit_job(p)};
    cs_err err = make_room(w.job);

    if (err == CS_OK) {
        err = operations[w.job->r.row->op](&w);
    }
    if (err == CS_OK) {
        err = make_result(&w);
    }
    cs_secret_buf_free(&w.data);
    return err;
}
