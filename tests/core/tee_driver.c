#include "tee_driver.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/cbor.h"
#include "core/tee/keys.h"
#include "emulator/recipient.h"
#include "secret/hpke.h"
#include "secret/noise.h"
#include "secret/rng.h"
#include "secret/sign/ed25519.h"
#include "secret/th.h"

#define OK(x) assert_int_equal((x), CS_OK)

static tee_world *current; /* the writer of share files has no cookie */

/* ---------------------------------------------------------------- share file */

static void put_people(world *w, cs_sharefile_writer *fw)
{
    static const char *const all[] = {"Sign",   "Decrypt",   "Seal",   "Unseal", "Generate",
                                      "Import", "PublicKey", "Rotate", "Attest", "Stats"};
    tee_world *t = current;

    (void)w;
    if (t->num_roots > 0) {
        OK(cs_sharefile_put_sealing(fw, (const uint8_t(*)[32])t->roots, t->num_roots));
    }
    for (int i = 0; i < NOBODY; i++) {
        cs_sharefile_caller c = {.id = cs_slice_str(t->who[i].id)};

        if (i == DAVE && t->without_dave) {
            continue;
        }
        memcpy(c.ed25519, t->who[i].sign_pub, 32);
        memcpy(c.x25519, t->who[i].seal_pub, 32);
        c.record[c.num_records++] = cs_slice_str(i == DAVE ? "only-this" : "wallet-*");
        if (i == ALICE) {
            for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
                c.operation[c.num_operations++] = cs_slice_str(all[k]);
            }
        } else {
            c.operation[c.num_operations++] = cs_slice_str(i == DAVE ? "Sign" : "Approve");
        }
        if (i == DAVE) {
            c.rate = 1;
            c.burst = 2;
        }
        OK(cs_sharefile_put_caller(fw, &c));
    }
}

static void make_people(tee_world *t)
{
    static const char *const ids[NUM_PEOPLE] = {"alice", "bob", "carol", "dave", "mallory"};

    for (int i = 0; i < NUM_PEOPLE; i++) {
        person *p = &t->who[i];

        p->id = ids[i];
        memset(p->sign_key.b, 0x40 + i, 32);
        memset(p->seal_key, 0x60 + i, 32);
        cs_ed25519_public(p->sign_pub, &p->sign_key);
        cs_x25519_base(p->seal_pub, p->seal_key);
    }
    memset(t->roots[0], 0x91, 32);
    memset(t->roots[1], 0x92, 32);
    memset(t->roots[2], 0x93, 32);
    t->num_roots = 1;
}

/* ---------------------------------------------------------------- world */

tee_world *tee_world_new(void (*config)(cs_core_config *c))
{
    tee_world *t = calloc(1, sizeof *t);

    assert_non_null(t);
    make_people(t);
    current = t;
    t->w = world_new();
    t->w->put_tee = put_people;
    t->w->config.tee_enabled = true;
    t->w->config.tee_key_arns[0] = cs_slice_str(KEY_ARN);
    t->w->config.tee_key_arns[1] = cs_slice_str(OTHER_ARN);
    t->w->config.num_tee_key_arns = 2;
    t->w->config.tee_cache_entries = 1024;
    t->w->config.tee_workers = 2;
    t->w->config.tee_queue = 16;
    t->w->config.tee_window_seconds = 60;
    if (config != NULL) {
        config(&t->w->config);
    }
    tee_restart(t, 7);
    return t;
}

void tee_world_free(tee_world *t)
{
    world_free(t->w);
    free(t);
}

/* Both files, as `serve` does, but credentials stay. */
void tee_restart(tee_world *t, uint64_t generation)
{
    world_core(t->w);
    while (!none(t->w, CS_LINK_SERVICE)) {
        (void)next(t->w, CS_LINK_SERVICE);
    }
    while (!none(t->w, CS_LINK_KMS)) {
        (void)next(t->w, CS_LINK_KMS);
    }
    credentials(t->w, CS_CRED_PRESENT);
    OK(inject_both(t->w, &(recipe){.generation = generation}, &(kms_answer){0}));
    assert_int_equal(cs_core_phase(t->w->core), CS_PHASE_SERVING);
    assert_true(none(t->w, CS_LINK_KMS)); /* no CRED_WIPE */
    t->spki_len = 0;
    t->counter = 0;
    memset(t->head, 0, sizeof t->head);
    tee_learn(t);
}

void tee_learn(tee_world *t)
{
    const uint8_t nonce[16] = {1};
    cs_tee_vouch v;

    give1(t->w, CS_LINK_SERVICE, CS_RPC_ATTEST, 999, cs_slice_of(nonce, sizeof nonce));
    assert_int_equal(next(t->w, CS_LINK_SERVICE).type, CS_RPC_ATTEST_REPLY);
    OK(cs_tee_vouch_decode(&v, cs_slice_of(t->w->user_data, t->w->user_len)));
    memcpy(t->audit_key, v.audit_key32, 32);
    memcpy(t->request_key, v.request_key32, 32);
    memcpy(t->boot, v.boot16, 16);
}

/* ---------------------------------------------------------------- requests */

static void fields_of(cs_tee_request *r, const tee_ask *a, cs_buf *records)
{
    const char *in = r->row->in;
    unsigned u = 0, b = 0;

    for (size_t i = 0; in[i] != '\0'; i++) {
        if (in[i] == 'T') {
            OK(cs_tee_records_encode(records, a->records, a->num_records));
            r->records = cs_buf_slice(records);
        } else if (in[i] == 'u') {
            r->f[i].u = u++ == 0 ? a->u1 : a->u2;
        } else if (in[i] == 't') {
            r->f[i].s = a->record;
        } else {
            r->f[i].s = b++ == 0 ? a->bytes : a->more;
        }
    }
}

cs_slice tee_body(tee_world *t, const tee_ask *a)
{
    static uint8_t mem[CS_TEE_BODY_MAX], list[CS_TEE_BODY_MAX];
    static uint8_t id[16];
    cs_buf b = cs_buf_wrap(mem, sizeof mem), records = cs_buf_wrap(list, sizeof list);
    cs_tee_request r = {.row = cs_tee_op_of((uint64_t)a->op), .id16 = id};

    cs_store_u64(id + 8, a->id != 0 ? a->id : ++t->next_id);
    r.time_ms = (uint64_t)((int64_t)wall_ms - a->late_ms);
    r.caller = cs_slice_str(a->as != NULL ? a->as : a->who == NOBODY ? "" : t->who[a->who].id);
    fields_of(&r, a, &records);
    OK(cs_tee_request_encode(&b, &r));
    return cs_buf_slice(&b);
}

static void sign_as(uint8_t out64[64], const person *p, const char *label, cs_slice body)
{
    static uint8_t mem[CS_TEE_BODY_MAX + 64];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    OK(cs_put_str(&b, label));
    OK(cs_put_slice(&b, body));
    cs_ed25519_sign(out64, &p->sign_key, cs_buf_slice(&b));
}

static cs_slice call_of(tee_world *t, const tee_ask *a)
{
    static uint8_t mem[CS_TEE_BODY_MAX + 4096], sig[64], approvals[4][64];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_tee_call call = {.body = tee_body(t, a)};

    if (a->who != NOBODY && !a->no_signature) {
        sign_as(sig, &t->who[a->who], "countersign-tee-request-1\n", call.body);
        sig[3] ^= a->bad_signature;
        call.signature = cs_slice_of(sig, sizeof sig);
    }
    for (unsigned i = 0; i < 4 && a->approve[i] != 0; i++) {
        const person *p = &t->who[a->approve[i] - 1];

        sign_as(approvals[i], p, "countersign-tee-approval-1\n", call.body);
        approvals[i][5] ^= a->bad_approval;
        call.approval[call.num_approvals++] = (cs_tee_approval){cs_slice_str(p->id), approvals[i]};
    }
    OK(cs_tee_call_encode(&b, &call));
    return cs_buf_slice(&b);
}

cs_slice tee_frame(tee_world *t, uint64_t *out_id, const tee_ask *a)
{
    static uint8_t whole[CS_RPC_MAX];
    static uint8_t mem[CS_TEE_BODY_MAX + 8192], att[CS_RPC_MAX];
    const cs_hpke_args args = {.aead = CS_HPKE_CHACHA20_POLY1305, .info = cs_slice_str("countersign-tee-request-1")};
    cs_buf sealed = cs_buf_wrap(mem, sizeof mem), attached = cs_buf_wrap(att, sizeof att),
           frame = cs_buf_wrap(whole, sizeof whole);
    cs_rpc_frame f = {.type = CS_RPC_TEE_CALL, .id = t->w->next_id++};
    uint8_t to[32];

    memcpy(to, t->request_key, 32);
    if (a->other_boot) {
        cs_x25519_base(to, t->who[BOB].seal_key);
    }
    f.f[0].u = a->sealed;
    f.f[1].s = call_of(t, a);
    if (a->sealed) {
        OK(cs_hpke_seal_once(&sealed, to, &args, CS_SLICE_NULL, f.f[1].s));
        f.f[1].s = cs_buf_slice(&sealed);
    }
    f.f[1].s.len -= a->garbage;
    OK(cs_tee_attached_encode(&attached, &a->attached, a->rows, a->num_rows));
    attached.len -= a->bad_attachments;
    f.f[2].s = cs_buf_slice(&attached);
    OK(cs_rpc_encode(&frame, &f));
    *out_id = f.id;
    return cs_buf_slice(&frame);
}

uint64_t tee_send(tee_world *t, const tee_ask *a)
{
    uint64_t id = 0;
    const cs_slice frame = tee_frame(t, &id, a);

    (void)cs_secret_fail_for_tests(t->fail_in);
    (void)cs_random_fail_for_tests(t->random_fail_in);
    OK(cs_core_frame(t->w->core, CS_LINK_SERVICE, frame));
    return id;
}

/* ---------------------------------------------------------------- KMS */

cs_rpc_frame kms_next(tee_world *t)
{
    cs_rpc_frame call = next(t->w, CS_LINK_KMS);

    assert_string_equal(cs_rpc_name(call.type), "KMS_CALL");
    assert_true((call.id & CS_KEYS_CALL) != 0);
    assert_int_equal(call.f[4].m.num, 1);
    t->kms_calls++;
    if (t->w->spki_len > 0) { /* documents of Attest have none */
        memcpy(t->spki, t->w->spki, t->w->spki_len);
        t->spki_len = t->w->spki_len;
    }
    return call;
}

/* The ciphertext of a data key is its KMS key and the key itself: this KMS keeps no secrets. */
void kms_reply(tee_world *t, const cs_rpc_frame *call)
{
    static uint8_t mem[8192], blob[2200];
    uint8_t key[33] = {0};
    const kms_fault *x = &t->fault;
    cs_buf envelope = cs_buf_wrap(mem, sizeof mem), b = cs_buf_wrap(blob, sizeof blob);
    cs_rpc_frame f = {.type = CS_RPC_KMS_REPLY, .id = call->id};
    cs_err code = x->code;

    if (call->f[0].u == CS_KMS_GENERATE_DATA_KEY) {
        assert_int_equal(call->f[2].s.len, 0);
        memset(key, (int)++t->kms_generated, 31);
        OK(cs_put_slice(&b, call->f[1].s));
        OK(cs_put(&b, key, 32));
        key[0] ^= x->another_key;
    } else {
        const cs_slice in = call->f[2].s;
        size_t arn = call->f[1].s.len;

        assert_int_equal(call->f[0].u, CS_KMS_DECRYPT);
        if (in.len == arn + 32 && cs_slice_eq(cs_slice_of(in.p, arn), call->f[1].s)) {
            memcpy(key, in.p + arn, 32);
        } else {
            code = code == CS_OK ? CS_E_KMS_CIPHERTEXT : code;
        }
    }
    OK(cs_emu_recipient_seal(&envelope, cs_slice_of(t->spki, t->spki_len),
                             cs_slice_of(key, x->short_key  ? 31
                                              : x->long_key ? 33
                                                            : 32),
                             CS_EMU_CMS_CONSTRUCTED));
    mem[envelope.len / 2] ^= x->forged;
    f.f[0].s = cs_slice_str(cs_err_code(code));
    f.f[1].s = cs_slice_str(code == CS_OK ? "" : "SomeException");
    f.f[2].u = code == CS_OK ? 200 : 400;
    f.f[3].s = x->key_id != NULL ? cs_slice_str(x->key_id) : call->f[1].s;
    f.f[4].s = x->no_envelope ? CS_SLICE_NULL : cs_buf_slice(&envelope);
    f.f[5].s = x->no_blob ? CS_SLICE_NULL : cs_buf_slice(&b);
    OK(give(t->w, CS_LINK_KMS, &f));
}

void kms_answer_one(tee_world *t)
{
    static cs_rpc_frame call;

    call = kms_next(t);
    kms_reply(t, &call);
}

/* ---------------------------------------------------------------- replies */

void tee_turn(tee_world *t, int ms)
{
    struct pollfd p = {.fd = cs_core_fd(t->w->core), .events = POLLIN};

    (void)poll(&p, 1, ms);
    cs_core_tick(t->w->core);
}

uint64_t jobs_under_way(tee_world *t)
{
    const char *s = strstr(status(t->w), "\"queue\":");

    assert_non_null(s);
    return strtoull(s + strlen("\"queue\":"), NULL, 10);
}

void tee_settle(tee_world *t)
{
    for (unsigned quiet = 0; quiet < 3;) {
        struct pollfd p = {.fd = cs_core_fd(t->w->core), .events = POLLIN};

        quiet = poll(&p, 1, 60) > 0 ? 0 : quiet + 1;
        cs_core_tick(t->w->core);
        while (!t->kms_silent && !none(t->w, CS_LINK_KMS)) {
            kms_answer_one(t);
            quiet = 0;
        }
    }
}

static void check_entry(tee_world *t, tee_answer *a)
{
    const cs_tee_reply *r = &a->reply;
    uint8_t digest[32], nothing[3 * 48];
    cs_sha256 h;

    OK(cs_tee_entry_decode(&a->entry, r->entry));
    assert_int_equal(a->entry.counter, t->counter + 1);
    assert_memory_equal(a->entry.previous32, t->head, 32);
    assert_memory_equal(a->entry.boot16, t->boot, 16);
    assert_true(cs_slice_eq(a->entry.code, r->code));
    for (unsigned i = 0; i < 3; i++) {
        memcpy(nothing + 48 * i, t->w->pcr, 48);
    }
    cs_sha256_init(&h);
    cs_sha256_put(&h, nothing, sizeof nothing);
    cs_sha256_end(&h, digest);
    assert_memory_equal(a->entry.pcr_digest32, digest, 32);
    cs_sha256_init(&h);
    cs_sha256_put(&h, r->result.p, r->result.len);
    cs_sha256_end(&h, digest);
    assert_memory_equal(a->entry.result_hash32, digest, 32);
    cs_sha256_init(&h);
    cs_sha256_put(&h, CS_TEE_AUDIT_SIGNED, strlen(CS_TEE_AUDIT_SIGNED));
    cs_sha256_put(&h, r->entry.p, r->entry.len);
    cs_sha256_end(&h, digest);
    OK(cs_ed25519_verify(t->audit_key, r->entry_sig.p, cs_slice_of(digest, 32)));
    cs_sha256_init(&h);
    cs_sha256_put(&h, CS_TEE_AUDIT_LINK, strlen(CS_TEE_AUDIT_LINK));
    cs_sha256_put(&h, r->entry.p, r->entry.len);
    cs_sha256_put(&h, r->entry_sig.p, r->entry_sig.len);
    cs_sha256_end(&h, t->head);
    t->counter++;
}

static const cs_tee_op_row *op_of(const tee_answer *a)
{
    return a->reply.entry.len > 0 ? cs_tee_op_of(a->entry.op) : NULL;
}

/* Alice's result, with her key; the only one who gets sealed ones here. */
static cs_slice open_result(tee_world *t, const tee_answer *a)
{
    static uint8_t mem[CS_RPC_MAX];
    const cs_hpke_args args = {.aead = CS_HPKE_CHACHA20_POLY1305, .info = cs_slice_str("countersign-tee-reply-1")};
    cs_buf plain = cs_buf_wrap(mem, sizeof mem);

    if (!a->reply.sealed) {
        return a->reply.result;
    }
    OK(cs_hpke_open_once(&plain, t->who[ALICE].seal_key, &args, cs_slice_of(a->entry.request_id16, 16),
                         a->reply.result));
    return cs_buf_slice(&plain);
}

void tee_wait(tee_world *t, tee_answer *out)
{
    cs_rpc_frame f;
    cs_tee_iter it;
    char code[65] = "";

    memset(out, 0, sizeof *out);
    for (unsigned i = 0; none(t->w, CS_LINK_SERVICE); i++) {
        if (!t->kms_silent && !none(t->w, CS_LINK_KMS)) {
            kms_answer_one(t);
        } else {
            tee_turn(t, 100);
        }
        assert_true(i < 3000);
    }
    f = next(t->w, CS_LINK_SERVICE);
    assert_string_equal(cs_rpc_name(f.type), "TEE_REPLY");
    out->frame = f.id;
    OK(cs_tee_reply_decode(&out->reply, f.f[0].s));
    memcpy(code, out->reply.code.p, out->reply.code.len);
    out->code = strcmp(code, "OK") == 0 ? CS_OK : cs_err_from_code(code);
    out->sealed = out->reply.sealed;
    if (out->reply.entry.len > 0) {
        check_entry(t, out);
    }
    it = cs_tee_iter_of(out->reply.rows);
    while (out->num_rows < out->reply.num_rows && cs_tee_rows_next(&it, &out->row[out->num_rows])) {
        out->num_rows++;
    }
    assert_int_equal(out->num_rows, out->reply.num_rows);
    if (out->code == CS_OK) {
        assert_non_null(op_of(out)); /* what is done is in the log */
        OK(cs_tee_result_decode(&out->result, op_of(out), open_result(t, out)));
    } else {
        assert_true(out->reply.result.len == 0 && out->num_rows == 0 && !out->sealed);
    }
}

cs_err tee_call(tee_world *t, tee_answer *out, const tee_ask *a)
{
    const uint64_t id = tee_send(t, a);

    tee_wait(t, out);
    assert_int_equal(out->frame, id);
    return out->code;
}

/* ---------------------------------------------------------------- rows */

static cs_slice copy(uint8_t *to, cs_slice s)
{
    memcpy(to, s.p, s.len);
    return cs_slice_of(to, s.len);
}

void keep_row(kept_row *out, const tee_answer *a, size_t i)
{
    assert_true(i < a->num_rows);
    out->row = a->row[i];
    out->row.record = copy(out->mem[0], out->row.record);
    out->row.kms_key = copy(out->mem[0] + 256, out->row.kms_key);
    out->row.data_key = copy(out->mem[1], out->row.data_key);
    out->row.blob = copy(out->mem[2], out->row.blob);
    out->row.public_key = copy(out->mem[3], out->row.public_key);
    out->row.code = cs_slice_str("OK");
}

void generate(tee_world *t, kept_row *out, const char *record, cs_tee_alg alg)
{
    static tee_answer a;

    OK(tee_call(t, &a, &(tee_ask){.op = CS_TEE_GENERATE, .record = cs_slice_str(record), .u1 = (uint64_t)alg}));
    keep_row(out, &a, 0);
}

void seal(tee_world *t, kept_row *out, const char *record, cs_slice plain)
{
    static tee_answer a;

    OK(tee_call(
        t, &a, &(tee_ask){.op = CS_TEE_SEAL, .record = cs_slice_str(record), .u1 = 1, .bytes = plain, .sealed = true}));
    keep_row(out, &a, 0);
}
