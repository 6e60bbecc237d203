#include "driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/clock.h"
#include "base/log.h"
#include "codec/cbor.h"
#include "emulator/recipient.h"
#include "secret/noise.h"

const char *const account_name[NUM_ACCOUNTS] = {"alpha", "beta", "gamma"};
const unsigned family_of[NUM_ACCOUNTS] = {0, 0, 1};
uint64_t mono_ms = 1000000, wall_ms = 1800000000000;

static uint64_t fake_wall(void)
{
    return wall_ms;
}

static uint64_t fake_mono(void)
{
    return mono_ms * 1000000;
}

static const cs_clock_source fake_clock = {fake_wall, fake_mono};

#define OK(x) assert_int_equal((x), CS_OK)

/* ---------------------------------------------------------------- security module */

static void read_optional(cs_cbor *c, uint8_t *out, size_t cap, size_t *out_len)
{
    cs_slice s;

    *out_len = 0;
    if (cs_cbor_null(c) == CS_OK) {
        return;
    }
    OK(cs_cbor_bytes(c, &s));
    assert_true(s.len <= cap);
    if (s.len > 0 && out != NULL) { /* the second for gcc, which does not see that cap is 0 then */
        memcpy(out, s.p, s.len);
    }
    *out_len = s.len;
}

static cs_err answer_document(world *w, cs_cbor *c, cs_buf *response)
{
    uint8_t text[64];
    cs_buf doc = cs_buf_wrap(text, sizeof text);
    cs_cbor_iter it;
    cs_slice key;

    OK(cs_cbor_map(c, &it));
    while (cs_cbor_more(c, &it)) {
        OK(cs_cbor_text(c, &key));
        if (cs_slice_eq_str(key, "public_key")) {
            read_optional(c, w->spki, sizeof w->spki, &w->spki_len);
        } else if (cs_slice_eq_str(key, "nonce")) {
            read_optional(c, w->nonce, sizeof w->nonce, &w->nonce_len);
        } else {
            read_optional(c, w->user_data, sizeof w->user_data, &w->user_len);
        }
    }
    OK(cs_put_fmt(&doc, "document %u", (unsigned)++w->documents));
    OK(cs_cbor_put_map(response, 1));
    OK(cs_cbor_put_text(response, "Attestation"));
    OK(cs_cbor_put_map(response, 1));
    OK(cs_cbor_put_text(response, "document"));
    return cs_cbor_put_bytes(response, cs_buf_slice(&doc));
}

static cs_err nsm_call(void *ctx, cs_slice request, cs_buf *response)
{
    world *w = ctx;
    cs_cbor c = cs_cbor_of(request, CS_CBOR_STRICT);
    cs_cbor_iter it;
    cs_slice name;

    OK(cs_cbor_map(&c, &it));
    OK(cs_cbor_text(&c, &name));
    if (w->nsm_fails) {
        OK(cs_cbor_put_map(response, 1));
        OK(cs_cbor_put_text(response, "Error"));
        return cs_cbor_put_text(response, "InternalError");
    }
    if (cs_slice_eq_str(name, "Attestation")) {
        return answer_document(w, &c, response);
    }
    OK(cs_cbor_put_map(response, 1));
    OK(cs_cbor_put_text(response, "DescribePCR"));
    OK(cs_cbor_put_map(response, 2));
    OK(cs_cbor_put_text(response, "data"));
    OK(cs_cbor_put_bytes(response, cs_slice_of(w->pcr, sizeof w->pcr)));
    OK(cs_cbor_put_text(response, "lock"));
    return cs_cbor_put_bool(response, true);
}

/* ---------------------------------------------------------------- frames */

static void take_frame(void *ctx, cs_core_link link, cs_slice frame)
{
    world *w = ctx;
    packet *p = malloc(sizeof *p + frame.len);

    assert_non_null(p);
    p->next = NULL;
    p->link = link;
    p->len = frame.len;
    memcpy(p->bytes, frame.p, frame.len);
    *(w->last == NULL ? &w->first : &w->last->next) = p;
    w->last = p;
}

cs_err give(world *w, cs_core_link link, const cs_rpc_frame *f)
{
    static uint8_t mem[CS_RPC_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    OK(cs_rpc_encode(&b, f));
    return cs_core_frame(w->core, link, cs_buf_slice(&b));
}

void give1(world *w, cs_core_link link, cs_rpc_type type, uint64_t id, cs_slice field)
{
    cs_rpc_frame f = {.type = type, .id = id};

    f.f[0].s = field;
    OK(give(w, link, &f));
}

bool none(const world *w, cs_core_link link)
{
    const packet *p = w->first;

    while (p != NULL && p->link != link) {
        p = p->next;
    }
    return p == NULL;
}

/* The next frame to that link, of that type (0: any). */
static cs_rpc_frame next_of(world *w, cs_core_link link, cs_rpc_type type)
{
    packet **at = &w->first, *p = w->first, *before = NULL;
    cs_rpc_frame f = {0};

    while (p != NULL &&
           (p->link != link ||
            ((unsigned)type != 0 && (cs_rpc_decode(&f, cs_slice_of(p->bytes, p->len)) != CS_OK || f.type != type)))) {
        before = p;
        at = &p->next;
        p = p->next;
    }
    assert_non_null(p);
    *at = p->next;
    w->last = w->last == p ? before : w->last;
    free(w->held);
    w->held = p;
    OK(cs_rpc_decode(&f, cs_slice_of(p->bytes, p->len)));
    return f;
}

cs_rpc_frame next(world *w, cs_core_link link)
{
    return next_of(w, link, (cs_rpc_type)0);
}

void expect_reply(world *w, uint64_t id, cs_err code)
{
    cs_rpc_frame f = next(w, CS_LINK_SERVICE);

    assert_string_equal(cs_rpc_name(f.type), "REPLY");
    assert_int_equal(f.id, id);
    if (!cs_slice_eq_str(f.f[0].s, cs_err_code(code))) {
        fail_msg("%.*s instead of %s", (int)f.f[0].s.len, (const char *)f.f[0].s.p, cs_err_code(code));
    }
}

void expect_end(world *w, uint64_t id, cs_err code)
{
    cs_rpc_frame f = next(w, CS_LINK_SERVICE);

    assert_string_equal(cs_rpc_name(f.type), "PARTY_END");
    assert_int_equal(f.id, id);
    if (!cs_slice_eq_str(f.f[0].s, cs_err_code(code))) {
        fail_msg("%.*s instead of %s", (int)f.f[0].s.len, (const char *)f.f[0].s.p, cs_err_code(code));
    }
}

const char *status(world *w)
{
    static char text[32768];
    cs_rpc_frame f = {.type = CS_RPC_STATUS, .id = 999999};

    OK(give(w, CS_LINK_SERVICE, &f));
    f = next_of(w, CS_LINK_SERVICE, CS_RPC_STATUS_REPLY);
    assert_true(f.f[0].s.len > 0 && f.f[0].s.len < sizeof text);
    memcpy(text, f.f[0].s.p, f.f[0].s.len);
    text[f.f[0].s.len] = '\0';
    return text;
}

void has(world *w, const char *text)
{
    const char *s = status(w);

    if (strstr(s, text) == NULL) {
        fail_msg("status has no %s: %s", text, s);
    }
}

void tick_ms(world *w, uint64_t ms)
{
    mono_ms += ms;
    wall_ms += ms;
    cs_core_tick(w->core);
}

/* ---------------------------------------------------------------- world */

static void make_keys(world *w)
{
    OK(cs_age_identity_generate(w->age));
    for (unsigned i = 0; i < NUM_FAMILIES; i++) {
        memset(w->client_key[i], (int)(0x11 + i), 32);
        memset(w->enclave_key[i], (int)(0x31 + i), 32);
        cs_x25519_base(w->client_pub[i], w->client_key[i]);
        cs_x25519_base(w->enclave_pub[i], w->enclave_key[i]);
        w->parties[i].n = w->parties[i].t = 2;
        memcpy(w->parties[i].idkey[0], w->client_pub[i], 32);
        memcpy(w->parties[i].idkey[1], w->enclave_pub[i], 32);
        OK(cs_mpc_peer_new(&w->peer[i], w->client_pub[i], w->enclave_pub[i]));
    }
    for (unsigned a = 0; a < NUM_ACCOUNTS; a++) {
        OK(cs_mpc_deal2(w->key[a], &w->parties[family_of[a]], NULL, NULL));
    }
}

world *world_new(void)
{
    static bool once;
    world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    if (!once) {
        once = true;
        assert_true(sodium_init() >= 0);
        OK(cs_arena_init((size_t)48 << 20, false));
        cs_log_init("test", CS_LOG_ERROR, getenv("CS_TEST_LOG") == NULL ? -1 : 2);
    }
    cs_clock_set_for_tests(&fake_clock);
    memset(w->pcr, 0xa5, sizeof w->pcr);
    memset(w->publisher_seed, 0x77, sizeof w->publisher_seed);
    w->age = cs_secret_alloc(sizeof *w->age);
    w->key = cs_secret_alloc(NUM_ACCOUNTS * sizeof *w->key);
    assert_true(w->age != NULL && w->key != NULL);
    make_keys(w);
    w->config = (cs_core_config){.require_signed = true,
                                 .max_bytes = 1 << 20,
                                 .sessions = 64,
                                 .silence_ms = 10000,
                                 .arena_mib = 48,
                                 .num_publishers = 1,
                                 .min_generation = 3};
    w->config.region = cs_slice_str("eu-central-1");
    w->config.key_arn = cs_slice_str(KEY_ARN);
    w->config.num_context = 1;
    w->config.context_key[0] = cs_slice_str("app");
    w->config.context_value[0] = cs_slice_str("countersign");
    cs_publisher_public(w->config.publisher[0], w->publisher_seed);
    w->nsm = (cs_nsm){.ctx = w, .call = nsm_call, .fd = -1};
    w->next_id = 1;
    world_core(w);
    return w;
}

void world_core(world *w)
{
    cs_core_args args = {.config = &w->config, .nsm = &w->nsm, .io = {w, take_frame}, .emulated = true};

    cs_core_free(w->core);
    w->core = NULL;
    OK(cs_core_new(&w->core, &args));
}

void world_free(world *w)
{
    cs_core_free(w->core);
    for (unsigned a = 0; a < NUM_ACCOUNTS; a++) {
        cs_mpc_key_wipe(&w->key[a][0]);
        cs_mpc_key_wipe(&w->key[a][1]);
    }
    /* the client's cs_mpc_peer stay: after a failed assertion their set-ups are still there, and freeing would hide it */
    while (w->first != NULL) {
        packet *p = w->first;

        w->first = p->next;
        free(p);
    }
    free(w->held);
    cs_secret_free(w->age);
    cs_secret_free(w->key);
    free(w);
}

/* ---------------------------------------------------------------- publisher and KMS */

#define FILE_MAX ((size_t)4 << 20)

static void put_more(world *w, cs_sharefile_writer *fw, const recipe *r)
{
    const cs_mpc_key *k = &w->key[0][1];
    cs_sharefile_account acc = {.epoch = r->epoch};

    memcpy(acc.public_key33, k->pk33, 33);
    memcpy(acc.chain_code32, k->cc32, 32);
    memcpy(acc.zero_seeds[0], cs_mpc_key_zero(k, 1)->b, 32);
    for (unsigned i = 1; i <= r->more; i++) {
        cs_buf id = cs_buf_wrap(acc.id, sizeof acc.id);

        OK(cs_put_fmt(&id, "more-%u", i));
        acc.id_len = id.len;
        memset(acc.share32, 0, 32);
        if (i != r->broken) {
            cs_sc_to_be(acc.share32, &k->s);
        }
        OK(cs_sharefile_put_account(fw, &acc, 2, 2));
    }
}

static void put_accounts(world *w, cs_buf *out, const recipe *r)
{
    cs_sharefile_writer fw = cs_sharefile_write(out);
    cs_sharefile_parties p = {.index = 2, .n = 2, .t = 2};

    for (unsigned i = 0; i < NUM_FAMILIES; i++) {
        memcpy(p.static_key32, w->enclave_key[i], 32);
        memcpy(p.static_keys[0], w->client_pub[i], 32);
        memcpy(p.static_keys[1], w->enclave_pub[i], 32);
        if (i == 1 && r->third) {
            p.n = 3;
            memcpy(p.static_keys[0], w->client_pub[0], 32);
            memcpy(p.static_keys[2], w->client_pub[1], 32);
        }
        if (i == 1 || !r->only_second_family) {
            OK(cs_sharefile_put_parties(&fw, &p));
        }
    }
    if (w->put_tee != NULL) {
        w->put_tee(w, &fw);
    }
    for (unsigned a = 0; a < NUM_ACCOUNTS + (r->twice ? 1u : 0u); a++) {
        unsigned i = a % NUM_ACCOUNTS;
        const cs_mpc_key *k = &w->key[i][1];
        cs_sharefile_account acc = {.id_len = strlen(account_name[i]), .parties = family_of[i], .epoch = r->epoch};

        if ((i == 0 && r->without_alpha) || (family_of[i] == 0 && r->only_second_family)) {
            continue;
        }
        if (r->only_second_family) {
            acc.parties = 0;
        }
        memcpy(acc.id, account_name[i], acc.id_len);
        memcpy(acc.public_key33, k->pk33, 33);
        memcpy(acc.chain_code32, k->cc32, 32);
        cs_sc_to_be(acc.share32, &k->s);
        memcpy(acc.zero_seeds[0], cs_mpc_key_zero(k, 1)->b, 32);
        memcpy(acc.zero_seeds[1], cs_mpc_key_zero(k, 1)->b, 32);
        OK(cs_sharefile_put_account(&fw, &acc, family_of[i] == 1 && r->third ? 3 : 2, 2));
    }
    put_more(w, &fw, r);
    OK(cs_sharefile_put_end(&fw));
}

cs_slice share_file(world *w, const recipe *r)
{
    static uint8_t mem[FILE_MAX], body_mem[FILE_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem), body = cs_buf_wrap(body_mem, sizeof body_mem);
    uint8_t hash[32], sig[64], pub[32], seed[32];

    memcpy(seed, w->publisher_seed, 32);
    seed[0] ^= r->other_publisher;
    cs_publisher_public(pub, seed);
    put_accounts(w, &body, r);
    (void)crypto_hash_sha256(hash, body.p, body.len);
    OK(cs_sharefile_header_put(&out, r->generation, r->unsigned_file ? NULL : pub, hash));
    cs_publisher_sign(sig, seed, cs_buf_slice(&out));
    sig[5] ^= r->bad_signature;
    OK(cs_sharefile_header_end(&out, r->unsigned_file ? NULL : sig));
    OK(cs_put_slice(&out, cs_buf_slice(&body)));
    out.p[out.len - 3] ^= r->bad_body;
    return cs_buf_slice(&out);
}

static cs_err put_piece(void *cookie, cs_slice piece)
{
    return cs_put_slice(cookie, piece);
}

cs_slice sealed_file(world *w, const recipe *r)
{
    static uint8_t mem[FILE_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_age_identity other = *w->age;
    cs_age_to to = {.recipients = &w->age->recipient, .num_recipients = 1};
    cs_age_enc *enc = NULL;

    if (r->other_recipient) {
        OK(cs_age_identity_generate(&other));
        to.recipients = &other.recipient;
    }
    OK(cs_age_enc_new(&enc, &to, put_piece, &out));
    OK(cs_age_enc_push(enc, share_file(w, r)));
    OK(cs_age_enc_finish(enc));
    cs_age_enc_free(enc);
    out.len -= r->cut ? 20 : 0;
    out.p[out.len - 9] ^= r->flip;
    return cs_buf_slice(&out);
}

void credentials(world *w, cs_cred_state s)
{
    cs_rpc_frame f = {.type = CS_RPC_CRED_STATE};

    f.f[0].u = (uint64_t)s;
    f.f[1].u = wall_ms + 3600000;
    OK(give(w, CS_LINK_KMS, &f));
}

void inject_age(world *w, uint64_t id)
{
    give1(w, CS_LINK_SERVICE, CS_RPC_INJECT_AGE, id, cs_slice_str("KMS ciphertext of the age identity"));
}

void inject_shares(world *w, uint64_t id, cs_slice file)
{
    cs_rpc_frame f = {.type = CS_RPC_SHARES_BEGIN, .id = id};
    size_t half = file.len / 2, most = half > 0 && half < CS_RPC_CHUNK ? half : CS_RPC_CHUNK;

    OK(give(w, CS_LINK_SERVICE, &f));
    for (size_t at = 0; at < file.len; at += most) {
        give1(w, CS_LINK_SERVICE, CS_RPC_SHARES_CHUNK, id,
              cs_slice_of(file.p + at, at + most < file.len ? most : file.len - at));
    }
    f.type = CS_RPC_SHARES_END;
    OK(give(w, CS_LINK_SERVICE, &f));
}

static cs_slice identity_text(world *w, const kms_answer *k)
{
    static uint8_t mem[512];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_age_identity other;

    OK(cs_age_identity_generate(&other));
    OK(cs_put_str(&b, "# created: 2026-11-21T08:00:00Z\n# public key: age1...\n"));
    if (k->not_an_identity) {
        OK(cs_put_str(&b, "something else\n"));
        return cs_buf_slice(&b);
    }
    OK(cs_age_identity_put(&b, k->other_identity ? &other : w->age));
    OK(cs_put_str(&b, "\n"));
    return cs_buf_slice(&b);
}

void answer_kms(world *w, const kms_answer *k)
{
    static uint8_t mem[8192];
    cs_buf envelope = cs_buf_wrap(mem, sizeof mem);
    cs_rpc_frame call = next(w, CS_LINK_KMS), f = {.type = CS_RPC_KMS_REPLY, .id = call.id};

    assert_string_equal(cs_rpc_name(call.type), "KMS_CALL");
    assert_int_equal(call.f[0].u, CS_KMS_DECRYPT);
    assert_true(cs_slice_eq_str(call.f[1].s, KEY_ARN));
    assert_true(cs_slice_eq_str(call.f[2].s, "KMS ciphertext of the age identity"));
    assert_true(call.f[3].s.len > 0);
    assert_int_equal(call.f[4].m.num, 1);
    assert_true(w->spki_len > 256);
    OK(cs_emu_recipient_seal(&envelope, cs_slice_of(w->spki, w->spki_len), identity_text(w, k),
                             CS_EMU_CMS_CONSTRUCTED));
    envelope.len -= k->cut ? 7 : 0;
    mem[envelope.len / 2] ^= k->garbage;
    f.f[0].s = cs_slice_str(cs_err_code(k->code));
    f.f[1].s = cs_slice_str(k->type == NULL ? "" : k->type);
    f.f[2].u = k->code == CS_OK ? 200 : 400;
    f.f[3].s = cs_slice_str(k->key_id == NULL ? KEY_ARN : k->key_id);
    f.f[4].s = k->no_envelope ? CS_SLICE_NULL : cs_buf_slice(&envelope);
    OK(give(w, CS_LINK_KMS, &f));
}

cs_err inject_both(world *w, const recipe *r, const kms_answer *k)
{
    uint64_t id = w->next_id += 2;
    char code[64] = "";
    cs_rpc_frame f;

    inject_age(w, id);
    expect_reply(w, id, CS_OK);
    inject_shares(w, id + 1, sealed_file(w, r));
    if (!none(w, CS_LINK_KMS)) {
        answer_kms(w, k);
    }
    f = next(w, CS_LINK_SERVICE);
    assert_string_equal(cs_rpc_name(f.type), "REPLY");
    assert_int_equal(f.id, id + 1);
    memcpy(code, f.f[0].s.p, f.f[0].s.len);
    return cs_err_from_code(code);
}

void serve(world *w, uint64_t generation)
{
    cs_rpc_frame f;

    credentials(w, CS_CRED_PRESENT);
    OK(inject_both(w, &(recipe){.generation = generation}, &(kms_answer){0}));
    assert_int_equal(cs_core_phase(w->core), CS_PHASE_SERVING);
    f = next(w, CS_LINK_KMS);
    assert_string_equal(cs_rpc_name(f.type), "CRED_WIPE");
}
