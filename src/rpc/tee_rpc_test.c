/*
 * Messages of the TEE service against those of another encoder (tests/interop/tee_wire.txt): ours has the same bytes, reads them back,
 * and takes them in no other form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "rpc/tee_rpc.h"
#include "secret/hpke.h"
#include "secret/sign/ed25519.h"
#include "secret/th.h"

#define ARN "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
#define TIME 1767225600000u
#define GOLDEN_MAX 64u

typedef struct golden {
    char kind[16], name[32];
    uint8_t *bytes; /* each in memory of its own size: a read behind the end is seen by ASan */
    size_t len;
} golden;

static golden all[GOLDEN_MAX];
static size_t num_all;
static uint8_t count[256]; /* 0, 1, 2, ... */
static uint8_t mem[CS_TEE_BODY_MAX * 2];

static int setup(void **state)
{
    static char line[16384], hex[16384];
    FILE *f = fopen(CS_SOURCE_ROOT "/tests/interop/tee_wire.txt", "re");
    (void)state;
    for (size_t i = 0; i < sizeof count; i++) {
        count[i] = (uint8_t)i;
    }
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        golden *g = &all[num_all];
        if (line[0] == '#') {
            continue;
        }
        if (num_all == GOLDEN_MAX || sscanf(line, "%15s %31s %16383s", g->kind, g->name, hex) != 3) {
            return -1;
        }
        g->len = strlen(hex) / 2;
        g->bytes = malloc(g->len);
        if (g->bytes == NULL || cs_hex_decode(g->bytes, g->len, cs_slice_str(hex)) != CS_OK) {
            return -1;
        }
        num_all++;
    }
    return f == NULL || fclose(f) != 0 || num_all < 30 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < num_all; i++) {
        free(all[i].bytes);
    }
    return 0;
}

static cs_slice want(const char *kind, const char *name)
{
    for (size_t i = 0; i < num_all; i++) {
        if (strcmp(all[i].kind, kind) == 0 && strcmp(all[i].name, name) == 0) {
            return cs_slice_of(all[i].bytes, all[i].len);
        }
    }
    fail_msg("no %s %s", kind, name);
    return CS_SLICE_NULL;
}

static void same(cs_slice a, cs_slice b)
{
    assert_int_equal(a.len, b.len);
    assert_true(cs_slice_eq(a, b));
}

/* ---- decode, and encode what was decoded */

static size_t rows_of(cs_tee_row rows[CS_TEE_ROWS_MAX], cs_slice array, size_t num)
{
    cs_tee_iter it = cs_tee_iter_of(array);
    size_t n = 0;
    while (n < CS_TEE_ROWS_MAX && cs_tee_rows_next(&it, &rows[n])) {
        n++;
    }
    assert_int_equal(n, num);
    return n;
}

static bool zero(const void *p, size_t len)
{
    const uint8_t *b = p;
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++) {
        any |= b[i];
    }
    return any == 0;
}

/* One decoder and its encoder: what decodes has one encoding, what does not leaves nothing. */
#define TURN(type, decode, encode)                                                                                     \
    do {                                                                                                               \
        type v_;                                                                                                       \
        memset(&v_, 0xff, sizeof v_);                                                                                  \
        err = decode;                                                                                                  \
        if (err == CS_OK) {                                                                                            \
            assert_int_equal(encode, CS_OK);                                                                           \
        } else {                                                                                                       \
            assert_true(zero(&v_, sizeof v_));                                                                         \
        }                                                                                                              \
    } while (0)

static cs_err turn(const golden *g, cs_slice in)
{
    static cs_tee_row rows[CS_TEE_ROWS_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_err err = CS_E_STATE;
    if (strcmp(g->kind, "request") == 0) {
        TURN(cs_tee_request, cs_tee_request_decode(&v_, in), cs_tee_request_encode(&out, &v_));
    } else if (strcmp(g->kind, "call") == 0) {
        TURN(cs_tee_call, cs_tee_call_decode(&v_, in), cs_tee_call_encode(&out, &v_));
    } else if (strcmp(g->kind, "attached") == 0) {
        TURN(cs_tee_attached, cs_tee_attached_decode(&v_, in),
             cs_tee_attached_encode(&out, &v_, rows, rows_of(rows, v_.rows, v_.num_rows)));
    } else if (strcmp(g->kind, "reply") == 0) {
        TURN(cs_tee_reply, cs_tee_reply_decode(&v_, in),
             cs_tee_reply_encode(&out, &v_, rows, rows_of(rows, v_.rows, v_.num_rows)));
    } else if (strcmp(g->kind, "result") == 0) {
        const cs_tee_op_row *row = cs_tee_op_of((uint64_t)atoi(g->name));
        TURN(cs_tee_result, cs_tee_result_decode(&v_, row, in), cs_tee_result_encode(&out, row, &v_));
    } else if (strcmp(g->kind, "entry") == 0) {
        TURN(cs_tee_entry, cs_tee_entry_decode(&v_, in), cs_tee_entry_encode(&out, &v_));
    } else if (strcmp(g->kind, "vouch") == 0) {
        TURN(cs_tee_vouch, cs_tee_vouch_decode(&v_, in), cs_tee_vouch_encode(&out, &v_));
    }
    if (err == CS_OK) {
        same(cs_buf_slice(&out), in);
    }
    return err;
}

/* turn() over a copy that has exactly its size */
static cs_err turn_copy(const golden *g, cs_slice in)
{
    uint8_t *copy = malloc(in.len > 0 ? in.len : 1);
    assert_non_null(copy);
    if (in.len > 0) {
        memcpy(copy, in.p, in.len);
    }
    cs_err err = turn(g, cs_slice_of(copy, in.len));
    free(copy);
    return err;
}

static bool is_message(const golden *g)
{
    return strcmp(g->kind, "sig") != 0 && strcmp(g->kind, "hash") != 0 && strcmp(g->kind, "sealed") != 0;
}

static void each_message_reads_and_writes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < num_all; i++) {
        if (is_message(&all[i])) {
            assert_int_equal(turn(&all[i], cs_slice_of(all[i].bytes, all[i].len)), CS_OK);
        }
    }
}

static void shortened_or_lengthened_is_refused(void **state)
{
    static uint8_t longer[4096];
    (void)state;
    for (size_t i = 0; i < num_all; i++) {
        const golden *g = &all[i];
        if (!is_message(g)) {
            continue;
        }
        for (size_t n = 0; n < g->len; n++) {
            assert_int_equal(turn_copy(g, cs_slice_of(g->bytes, n)), CS_E_FORMAT);
        }
        memcpy(longer, g->bytes, g->len);
        for (unsigned b = 0; b < 256; b++) {
            longer[g->len] = (uint8_t)b;
            assert_int_equal(turn_copy(g, cs_slice_of(longer, g->len + 1)), CS_E_FORMAT);
        }
    }
}

static void a_flipped_bit_is_another_message_or_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < num_all; i++) {
        golden *g = &all[i];
        for (size_t bit = 0; is_message(g) && bit < g->len * 8; bit++) {
            g->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            (void)turn(g, cs_slice_of(g->bytes, g->len)); /* asserts that there is one encoding */
            g->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

/* ---- the same values in encodings that are not the shortest, and of indefinite length */

/* Places of the heads of in, one level of strings not descended into; returns how many. */
static size_t heads(size_t at[256], cs_slice in)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len;) {
        uint8_t major = in.p[i] >> 5, info = in.p[i] & 31;
        size_t extra = info < 24 ? 0 : (size_t)1 << (info - 24);
        uint64_t arg = info < 24 ? info : 0;
        assert_true(n < 256);
        at[n++] = i;
        for (size_t k = 0; k < extra; k++) {
            arg = arg << 8 | in.p[i + 1 + k];
        }
        i += 1 + extra + (major == 2 || major == 3 ? (size_t)arg : 0);
    }
    return n;
}

static void longer_heads_and_indefinite_lengths_are_refused(void **state)
{
    static uint8_t other[4096];
    (void)state;
    for (size_t i = 0; i < num_all; i++) {
        const golden *g = &all[i];
        size_t at[256];
        size_t n = is_message(g) ? heads(at, cs_slice_of(g->bytes, g->len)) : 0;
        for (size_t k = 0; k < n; k++) {
            const uint8_t *p = g->bytes + at[k];
            size_t info = p[0] & 31, extra = info < 24 ? 0 : (size_t)1 << (info - 24);
            for (size_t wide = extra == 0 ? 1 : extra * 2; wide <= 8; wide *= 2) { /* 1, 2, 4, 8 bytes of argument */
                size_t len = at[k];
                memcpy(other, g->bytes, len);
                other[len++] = (uint8_t)((p[0] & 0xe0) | (24 + (wide == 1 ? 0 : wide == 2 ? 1 : wide == 4 ? 2 : 3)));
                memset(other + len, 0, wide);
                if (extra == 0) {
                    other[len + wide - 1] = (uint8_t)info;
                } else {
                    memcpy(other + len + wide - extra, p + 1, extra);
                }
                len += wide;
                memcpy(other + len, p + 1 + extra, g->len - at[k] - 1 - extra);
                len += g->len - at[k] - 1 - extra;
                assert_int_equal(turn_copy(g, cs_slice_of(other, len)), CS_E_FORMAT);
            }
            if (p[0] >> 5 >= 2) { /* without its break, and with it at the end */
                memcpy(other, g->bytes, g->len);
                other[at[k]] |= 31;
                other[g->len] = 0xff;
                assert_int_equal(turn_copy(g, cs_slice_of(other, g->len)), CS_E_FORMAT);
                assert_int_equal(turn_copy(g, cs_slice_of(other, g->len + 1)), CS_E_FORMAT);
            }
        }
    }
}

/* ---- the same bytes from values */

static void request_is(const char *name, cs_tee_op op, const char *caller, const cs_tee_field *f, cs_slice records)
{
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_tee_request r = {cs_tee_op_of((uint64_t)op), count, TIME, cs_slice_str(caller), {{0}}, records};
    if (f != NULL) {
        memcpy(r.f, f, sizeof r.f);
    }
    assert_int_equal(cs_tee_request_encode(&out, &r), CS_OK);
    same(cs_buf_slice(&out), want("request", name));
}

#define S(x)                                                                                                           \
    {                                                                                                                  \
        .s = x                                                                                                         \
    }
#define T(x)                                                                                                           \
    {                                                                                                                  \
        .s = cs_slice_str(x)                                                                                           \
    }
#define U(x)                                                                                                           \
    {                                                                                                                  \
        .u = x                                                                                                         \
    }
#define F(...) ((cs_tee_field[CS_TEE_MAX_FIELDS]){__VA_ARGS__})

static void requests_have_the_bytes_of_another_encoder(void **state)
{
    static const uint8_t zeros[64];
    uint8_t a[64];
    cs_buf records = cs_buf_wrap(a, sizeof a);
    cs_slice two[] = {cs_slice_str("wallet-7"), cs_slice_str("wallet-8")};
    const char *w = "wallet-7", *c = "backend-1";
    cs_slice digest = cs_slice_of(count, 32);
    (void)state;
    request_is("sign", CS_TEE_SIGN, c, F(T(w), U(1), U(0), S(digest)), CS_SLICE_NULL);
    request_is("sign-message", CS_TEE_SIGN, c, F(T(w), U(3), U(1), T("pay 3 to wallet-8")), CS_SLICE_NULL);
    request_is("decrypt", CS_TEE_DECRYPT, c, F(T(w), T("context"), S(cs_slice_of(zeros, 33))), CS_SLICE_NULL);
    request_is("seal", CS_TEE_SEAL, c, F(T(w), U(2), T("some data")), CS_SLICE_NULL);
    request_is("unseal", CS_TEE_UNSEAL, c, F(T(w), U(0)), CS_SLICE_NULL);
    request_is("generate", CS_TEE_GENERATE, c, F(T(w), U(2)), CS_SLICE_NULL);
    request_is("import", CS_TEE_IMPORT, c, F(T(w), U(4), S(cs_slice_of(count + 1, 32))), CS_SLICE_NULL);
    request_is("public-key", CS_TEE_PUBLIC_KEY, "", F(T(w)), CS_SLICE_NULL);
    assert_int_equal(cs_tee_records_encode(&records, two, 2), CS_OK);
    request_is("rotate", CS_TEE_ROTATE, c, F({0}, T(""), U(1)), cs_buf_slice(&records));
    records.len = 0;
    assert_int_equal(cs_tee_records_encode(&records, two, 1), CS_OK);
    request_is("rotate-to", CS_TEE_ROTATE, c, F({0}, T(ARN), U(0)), cs_buf_slice(&records));
    request_is("attest", CS_TEE_ATTEST, "", F(S(digest)), CS_SLICE_NULL);
    request_is("stats", CS_TEE_STATS, "", NULL, CS_SLICE_NULL);
}

static void a_request_says_what_it_was_made_of(void **state)
{
    cs_tee_request r;
    cs_slice record;
    (void)state;
    assert_int_equal(cs_tee_request_decode(&r, want("request", "rotate")), CS_OK);
    assert_int_equal(r.row->op, CS_TEE_ROTATE);
    assert_memory_equal(r.id16, count, 16);
    assert_int_equal(r.time_ms, TIME);
    assert_true(cs_slice_eq_str(r.caller, "backend-1"));
    cs_tee_iter it = cs_tee_iter_of(r.records);
    assert_true(cs_tee_records_next(&it, &record) && cs_slice_eq_str(record, "wallet-7"));
    assert_true(cs_tee_records_next(&it, &record) && cs_slice_eq_str(record, "wallet-8"));
    assert_false(cs_tee_records_next(&it, &record));
    assert_int_equal(r.f[1].s.len, 0);
    assert_int_equal(r.f[2].u, 1);
}

static void results_have_the_bytes_of_another_encoder(void **state)
{
    cs_tee_field *fields[] = {NULL,
                              F(S(cs_slice_of(count, 64)), U(1), S(CS_SLICE_NULL)),
                              F(T("plain")),
                              F(U(2)),
                              F(T("plain"), U(4294967295u)),
                              F(S(CS_SLICE_NULL)),
                              F(S(cs_slice_of(count, 32))),
                              F(S(cs_slice_of(count, 32)), U(4)),
                              F(U(256)),
                              F(T("document")),
                              F(T("{\"calls\":0}"))};
    uint8_t public33[33] = {2};
    (void)state;
    memcpy(public33 + 1, count, 32);
    fields[1][2].s = fields[5][0].s = cs_slice_of(public33, 33);
    for (uint64_t op = 1; op <= CS_TEE_NUM_OPS; op++) {
        cs_buf out = cs_buf_wrap(mem, sizeof mem);
        cs_tee_result r;
        char name[4];
        memcpy(r.f, fields[op], sizeof r.f);
        (void)snprintf(name, sizeof name, "%u", (unsigned)op);
        assert_int_equal(cs_tee_result_encode(&out, cs_tee_op_of(op), &r), CS_OK);
        same(cs_buf_slice(&out), want("result", name));
    }
}

/* ---- signatures and sealing over those bytes, by our own code */

static void signed_by(cs_slice sig, uint8_t seed_from, const char *label, cs_slice message)
{
    static uint8_t text[1024];
    cs_buf b = cs_buf_wrap(text, sizeof text);
    cs_secret32 seed;
    uint8_t got[64];
    for (unsigned i = 0; i < 32; i++) {
        seed.b[i] = (uint8_t)(seed_from + i);
    }
    assert_int_equal(cs_put_str(&b, label), CS_OK);
    assert_int_equal(cs_put_slice(&b, message), CS_OK);
    cs_ed25519_sign(got, &seed, cs_buf_slice(&b));
    same(sig, cs_slice_of(got, 64));
}

static void hash_of(uint8_t out[32], const char *label, cs_slice a, cs_slice b)
{
    cs_sha256 h;
    cs_sha256_init(&h);
    cs_sha256_put(&h, label, strlen(label));
    cs_sha256_put(&h, a.p, a.len);
    if (b.len > 0) {
        cs_sha256_put(&h, b.p, b.len);
    }
    cs_sha256_end(&h, out);
}

static void signatures_and_hashes_are_those_of_another_implementation(void **state)
{
    cs_slice request = want("request", "sign"), entry = want("entry", "sign");
    uint8_t digest[32];
    (void)state;
    signed_by(want("sig", "request"), 0, "countersign-tee-request-1\n", request);
    signed_by(want("sig", "approval"), 32, "countersign-tee-approval-1\n", request);
    hash_of(digest, CS_TEE_AUDIT_SIGNED, entry, CS_SLICE_NULL);
    signed_by(want("sig", "entry"), 64, "", cs_slice_of(digest, 32));
    hash_of(digest, CS_TEE_AUDIT_LINK, entry, want("sig", "entry"));
    same(want("hash", "entry"), cs_slice_of(digest, 32));
}

static void opens(const char *name, const char *info, cs_slice aad, cs_slice plain)
{
    cs_hpke_args args = {.aead = CS_HPKE_CHACHA20_POLY1305, .info = cs_slice_str(info)};
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_hpke_open_once(&out, count + 96, &args, aad, want("sealed", name)), CS_OK);
    same(cs_buf_slice(&out), plain);
}

static void sealed_by_another_implementation_opens(void **state)
{
    (void)state;
    opens("call", "countersign-tee-request-1", CS_SLICE_NULL, want("call", "sign"));
    opens("result", "countersign-tee-reply-1", cs_slice_of(count, 16), want("result", "1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_message_reads_and_writes_back),
        cmocka_unit_test(shortened_or_lengthened_is_refused),
        cmocka_unit_test(a_flipped_bit_is_another_message_or_none),
        cmocka_unit_test(longer_heads_and_indefinite_lengths_are_refused),
        cmocka_unit_test(requests_have_the_bytes_of_another_encoder),
        cmocka_unit_test(a_request_says_what_it_was_made_of),
        cmocka_unit_test(results_have_the_bytes_of_another_encoder),
        cmocka_unit_test(signatures_and_hashes_are_those_of_another_implementation),
        cmocka_unit_test(sealed_by_another_implementation_opens),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
