#include "core/provision/load.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/core_int.h"
#include "core/ops/party.h"
#include "core/pipeline/respond.h"
#include "core/provision/unseal.h"
#include "core/tee/keys.h"
#include "core/tee/tee.h"
#include "rpc/tee_rpc.h"

static void drop_files(cs_load *l)
{
    cs_unseal_free(l->work); /* it reads from `shares` */
    l->work = NULL;
    cs_wipe(l->age, sizeof l->age);
    l->age_len = 0;
    cs_staging_drop(&l->shares);
    l->stage = CS_LOAD_IDLE;
}

void cs_load_cleanup(cs_load *l)
{
    drop_files(l);
    cs_staging_drop(&l->upload);
    cs_rsa_wipe(&l->rsa);
}

void cs_load_remember(cs_load *l, cs_err err, cs_slice detail)
{
    size_t n = detail.len < sizeof l->last_detail - 1 ? detail.len : sizeof l->last_detail - 1;

    l->last = err;
    l->last_ms = cs_clock_wall_ms();
    for (size_t i = 0; i < n; i++) {
        l->last_detail[i] = detail.p[i] >= 0x20 && detail.p[i] < 0x7f ? (char)detail.p[i] : '?';
    }
    l->last_detail[n] = '\0';
}

/* With the MPC service alone nothing needs the credentials any more; the TEE service asks KMS for its data keys. */
static void release_credentials(cs_core *c)
{
    if (c->tee == NULL) {
        cs_respond_frame(c, CS_LINK_KMS, &(cs_rpc_frame){.type = CS_RPC_CRED_WIPE, .id = c->load.call_id});
    } else {
        cs_tee_loaded(c->tee);
    }
}

/* The load is over. What was unsealed is in `set` (transferred) or there is an error and everything is as before. */
static void finish(cs_core *c, cs_err err, cs_slice detail, cs_share_set *set)
{
    cs_load *l = &c->load;
    cs_share_set *old = c->set;

    cs_load_remember(l, err, detail);
    drop_files(l);
    cs_rsa_wipe(&l->rsa);
    if (err == CS_OK) {
        c->set = set;
        cs_party_recheck(c);
        cs_share_free(old);
        c->counters.loads_ok++;
        release_credentials(c);
        cs_log(CS_LOG_INFO, "load", CS_LC("code", "OK"), CS_LU("generation", cs_share_generation(c->set)),
               CS_LU("accounts", cs_share_count(c->set)), CS_LU("verify_cpu_ms", l->cpu_ns[0] / 1000000),
               CS_LU("parse_cpu_ms", l->cpu_ns[1] / 1000000));
    } else {
        c->counters.loads_failed++;
        cs_log_err(CS_LOG_WARN, "load", err, CS_LC("detail", l->last_detail));
    }
    if (c->phase == CS_PHASE_UNSEALING || c->phase == CS_PHASE_RELOADING) {
        cs_phase_go(&c->phase, c->set != NULL ? CS_PHASE_SERVING : CS_PHASE_WAITING);
    }
    if (c->phase == CS_PHASE_WAITING && cs_rsa_make(&l->rsa) != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "rsa", CS_E_NO_MEMORY); /* tried again by the next load */
    }
    /* the old set, or what there was of a new one: else every reload would need its memory beside the next file */
    (void)cs_arena_trim();
    cs_respond_reply(c, l->waiting_id, err, cs_slice_str(l->last_detail));
}

static void fail(cs_core *c, cs_err err, const char *detail)
{
    finish(c, err, cs_slice_str(detail), NULL);
}

/* A fresh document for this call, and the call. */
static void call_kms(cs_core *c)
{
    cs_load *l = &c->load;
    static uint8_t mem[CS_NSM_RESPONSE_MAX];
    cs_buf doc = cs_buf_wrap(mem, sizeof mem);
    cs_nsm_doc_args args = {.public_key = cs_slice_of(l->rsa.spki, l->rsa.spki_len)};
    static cs_rpc_frame f; /* a map of 16 entries is too large to keep on the stack of every caller */
    cs_err err = cs_nsm_document(c->nsm, &doc, &args);

    if (err != CS_OK) {
        fail(c, err, "");
        return;
    }
    f = (cs_rpc_frame){.type = CS_RPC_KMS_CALL, .id = ++l->call_id};
    f.f[0].u = CS_KMS_DECRYPT;
    f.f[1].s = c->config->key_arn;
    f.f[2].s = cs_slice_of(l->age, l->age_len);
    f.f[3].s = cs_buf_slice(&doc);
    f.f[4].m.num = c->config->num_context;
    for (size_t i = 0; i < c->config->num_context; i++) {
        f.f[4].m.key[i] = c->config->context_key[i];
        f.f[4].m.value[i] = c->config->context_value[i];
    }
    l->stage = CS_LOAD_KMS;
    l->deadline_ms = cs_clock_mono_ms() + CS_KMS_MS;
    cs_respond_frame(c, CS_LINK_KMS, &f);
}

/* Credentials decide: go on, wait for them, or refuse. */
static void with_credentials(cs_core *c)
{
    cs_load *l = &c->load;

    switch (l->cred) {
    case CS_CRED_PRESENT:
        call_kms(c);
        break;
    case CS_CRED_EXPIRED:
        fail(c, CS_E_CRED_EXPIRED, "");
        break;
    default:
        l->stage = CS_LOAD_CRED;
        l->deadline_ms = cs_clock_mono_ms() + CS_CRED_MS;
        cs_log(CS_LOG_INFO, "waiting_for_credentials", CS_LU("port", 7100));
    }
}

/* Both files are here. */
static void start(cs_core *c, uint64_t id)
{
    cs_load *l = &c->load;
    cs_err err = CS_OK;

    l->waiting_id = id;
    l->cpu_ns[0] = l->cpu_ns[1] = 0;
    cs_staging_drop(&l->upload); /* one that would have replaced the file: its chunks are refused from now on */
    if (c->debug && !c->config->debug_allowed) {
        err = CS_E_ATT_DEBUG; /* its parent could read the memory */
    } else if (l->age_len > CS_KMS_CIPHERTEXT_MAX) {
        err = CS_E_KMS_CIPHERTEXT; /* what KMS would say of it */
    } else if (c->down[CS_LINK_KMS]) {
        err = CS_E_KMS_UNAVAILABLE;
    } else {
        err = cs_rsa_make(&l->rsa);
    }
    if (err != CS_OK) {
        fail(c, err, "");
        return;
    }
    cs_phase_go(&c->phase, c->set == NULL ? CS_PHASE_UNSEALING : CS_PHASE_RELOADING);
    with_credentials(c);
}

/* One file has come; the other one starts the load. */
static void arrived(cs_core *c, uint64_t id)
{
    cs_load *l = &c->load;

    if (l->age_len > 0 && l->shares.whole) {
        start(c, id);
        return;
    }
    l->stage = CS_LOAD_HALF;
    l->deadline_ms = cs_clock_mono_ms() + CS_PAIR_MS;
    cs_log(CS_LOG_INFO, "injected", CS_LC("file", l->age_len > 0 ? "age" : "shares"));
    cs_respond_reply(c, id, CS_OK, cs_slice_str("received, waiting for the other file"));
}

void cs_op_inject_age(cs_core *c, const cs_permit *p)
{
    const cs_rpc_frame *f = cs_permit_frame(p);
    cs_load *l = &c->load;

    if (f->f[0].s.len > sizeof l->age) {
        cs_respond_reply(c, f->id, CS_E_TOO_LARGE, CS_SLICE_NULL);
        return;
    }
    memcpy(l->age, f->f[0].s.p, f->f[0].s.len);
    l->age_len = f->f[0].s.len;
    arrived(c, f->id);
}

void cs_op_shares_begin(cs_core *c, const cs_permit *p)
{
    cs_staging_begin(&c->load.upload, cs_permit_frame(p)->id, (size_t)c->config->max_bytes);
    c->load.upload_ms = cs_clock_mono_ms();
}

void cs_op_shares_chunk(cs_core *c, const cs_permit *p)
{
    if (!cs_staging_chunk(&c->load.upload, cs_permit_frame(p)->id, cs_permit_frame(p)->f[0].s)) {
        return; /* of no upload, or of one that will be refused: keeps nothing alive */
    }
    c->load.upload_ms = cs_clock_mono_ms();
    if (c->load.stage == CS_LOAD_HALF) {
        c->load.deadline_ms = c->load.upload_ms + CS_PAIR_MS; /* the second file is coming */
    }
}

void cs_op_shares_end(cs_core *c, const cs_permit *p)
{
    const uint64_t id = cs_permit_frame(p)->id;
    cs_load *l = &c->load;
    cs_err err = cs_staging_end(&l->upload, id);

    if (err != CS_OK) {
        cs_log_err(CS_LOG_WARN, "inject_refused", err, CS_LC("file", "shares"));
        cs_respond_reply(c, id, err, CS_SLICE_NULL);
        return;
    }
    /* only now does it take the place of one that came before */
    cs_staging_drop(&l->shares);
    l->shares = l->upload;
    l->upload = (cs_staging){0};
    arrived(c, id);
}

void cs_op_shares_cancel(cs_core *c, const cs_permit *p)
{
    if (c->load.upload.open && c->load.upload.id == cs_permit_frame(p)->id) {
        cs_staging_drop(&c->load.upload);
    }
}

void cs_op_cred_state(cs_core *c, const cs_permit *p)
{
    const cs_rpc_frame *f = cs_permit_frame(p);

    c->load.cred = f->f[0].u > CS_CRED_EXPIRED ? CS_CRED_NONE : (cs_cred_state)f->f[0].u;
    c->load.cred_expiry_ms = f->f[1].u;
    if (c->load.stage == CS_LOAD_CRED && c->load.cred != CS_CRED_NONE) {
        with_credentials(c);
    }
}

cs_err cs_load_check_reply(const cs_rpc_frame *f, cs_slice key_arn)
{
    char code[40];
    cs_buf b = cs_buf_wrap(code, sizeof code - 1);

    if (!cs_slice_eq_str(f->f[0].s, cs_err_code(CS_OK))) {
        if (cs_put_slice(&b, f->f[0].s) != CS_OK) {
            return CS_E_KMS_ANSWER;
        }
        code[b.len] = '\0';
        return cs_err_from_code(code) == CS_OK ? CS_E_KMS_ANSWER : cs_err_from_code(code);
    }
    if (!cs_slice_eq(f->f[3].s, key_arn)) {
        return CS_E_KMS_KEY_ID;
    }
    return f->f[4].s.len == 0 ? CS_E_KMS_PLAINTEXT : CS_OK;
}

void cs_load_policy(cs_share_policy *out, const cs_core *c)
{
    *out = (cs_share_policy){.publishers = c->config->publisher,
                             .num_publishers = c->config->num_publishers,
                             .allow_unsigned = !c->config->require_signed,
                             .min_generation = c->config->min_generation,
                             .grant_of = cs_tee_grant_of};
    if (c->set != NULL && cs_share_generation(c->set) > out->min_generation) {
        out->min_generation = cs_share_generation(c->set);
    }
}

/* One slice. Between two of them the old set, if there is one, serves on. */
static void work(cs_core *c)
{
    cs_load *l = &c->load;
    cs_share_set *set = NULL;
    cs_err err = cs_unseal_step(l->work, &set);

    l->cpu_ns[0] = cs_unseal_cpu_ns(l->work, 1);
    l->cpu_ns[1] = cs_unseal_cpu_ns(l->work, 2);
    if (err != CS_OK) {
        finish(c, err, cs_slice_str(cs_unseal_what(l->work)), NULL);
    } else if (set != NULL) {
        finish(c, CS_OK, CS_SLICE_NULL, set);
    }
}

void cs_op_kms_reply(cs_core *c, const cs_permit *p)
{
    const cs_rpc_frame *f = cs_permit_frame(p);
    cs_load *l = &c->load;
    cs_unseal_args args = {.rsa = l->rsa.key, .envelope = f->f[4].s, .file = &l->shares};
    cs_err err;

    if ((f->id & CS_KEYS_CALL) != 0) {
        if (c->tee != NULL) {
            cs_tee_kms_reply(c->tee, f);
        }
        return;
    }
    if (l->stage != CS_LOAD_KMS || f->id != l->call_id) {
        return; /* an answer that came too late */
    }
    err = cs_load_check_reply(f, c->config->key_arn);
    if (err != CS_OK) {
        finish(c, err, f->f[1].s, NULL);
        return;
    }
    cs_load_policy(&args.policy, c);
    err = cs_unseal_new(&l->work, &args);
    cs_rsa_wipe(&l->rsa); /* the envelope was all it was for */
    if (err != CS_OK) {
        fail(c, err, "");
        return;
    }
    l->stage = CS_LOAD_OPEN;
    work(c); /* small files need no second slice */
}

void cs_load_link_down(cs_core *c)
{
    c->load.cred = CS_CRED_NONE;
    if (c->load.stage == CS_LOAD_CRED || c->load.stage == CS_LOAD_KMS) {
        fail(c, CS_E_KMS_UNAVAILABLE, "the link to sign-kms has ended");
    }
}

/* An upload that neither goes on nor ends: its sign-service is gone. */
static uint64_t upload_deadline(const cs_load *l)
{
    return l->upload.open ? l->upload_ms + CS_PAIR_MS : UINT64_MAX;
}

uint64_t cs_load_deadline(const cs_load *l)
{
    uint64_t stage = l->stage == CS_LOAD_IDLE ? UINT64_MAX : l->stage == CS_LOAD_OPEN ? 0 : l->deadline_ms;

    return upload_deadline(l) < stage ? upload_deadline(l) : stage;
}

void cs_load_tick(cs_core *c, uint64_t now_ms)
{
    cs_load *l = &c->load;

    if (now_ms >= upload_deadline(l)) {
        cs_log_err(CS_LOG_WARN, "inject_refused", CS_E_TIMEOUT, CS_LC("file", "shares"));
        cs_staging_drop(&l->upload);
    }
    if (l->stage == CS_LOAD_OPEN) {
        work(c);
        return;
    }
    if (l->stage == CS_LOAD_IDLE || now_ms < l->deadline_ms) {
        return;
    }
    switch (l->stage) {
    case CS_LOAD_HALF: /* its injector has been answered: the log and status tell */
        cs_load_remember(l, CS_E_INJECT_PAIR, CS_SLICE_NULL);
        cs_log_err(CS_LOG_WARN, "load", CS_E_INJECT_PAIR);
        drop_files(l);
        break;
    case CS_LOAD_CRED:
        fail(c, CS_E_CRED_MISSING, "");
        break;
    default:
        fail(c, CS_E_TIMEOUT, "KMS did not answer");
    }
}
