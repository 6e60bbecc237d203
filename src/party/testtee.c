#include "party/testtee.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/testdoc.h"
#include "base/clock.h"
#include "net/countersign.pb-c.h"
#include "net/h2/grpc.h"
#include "secret/hpke.h"
#include "secret/rng.h"
#include "secret/sign/ed25519.h"

#define MUST(x) ((x) ? (void)0 : abort())
#define MAX (512u * 1024u)

struct testtee {
    const cs_tee_identity *caller;
    uint8_t caller_x25519[32];
    cs_loop *loop;
    cs_async *stop;
    cs_grpc_server *server;
    pthread_t thread;
    char address[CS_EP_TEXT_MAX];
    atomic_int fault;
    atomic_uint busy, restarts, calls;
    /* the enclave; on its thread */
    cs_secret32 request_secret, audit_seed, key_seed;
    uint8_t request_key[32], audit_key[32], key[32], boot[16], previous[32];
    uint8_t pcr_digest[32];
    uint64_t counter;
    uint8_t stored[64];
    size_t stored_len;
};

static void sha256(uint8_t out[32], const cs_slice *parts, size_t num)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    MUST(EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < num; i++) {
        MUST(EVP_DigestUpdate(ctx, parts[i].p, parts[i].len) == 1);
    }
    MUST(EVP_DigestFinal_ex(ctx, out, NULL) == 1);
    EVP_MD_CTX_free(ctx);
}

static void boot(testtee *t)
{
    uint8_t ikm[32];

    MUST(cs_random(ikm, sizeof ikm) == CS_OK && cs_random(&t->audit_seed, 32) == CS_OK &&
         cs_random(t->boot, 16) == CS_OK);
    MUST(cs_hpke_derive_key_pair(&t->request_secret, t->request_key, cs_slice_of(ikm, sizeof ikm)) == CS_OK);
    cs_ed25519_public(t->audit_key, &t->audit_seed);
    memset(t->previous, 0, sizeof t->previous);
    t->counter = 0;
}

/* The image that the documents speak of. */
static void image(testtee *t)
{
    static cs_att_doc doc;

    MUST(cs_att_doc_parse(&doc, testdoc_build(&(testdoc){0})) == CS_OK);
    sha256(t->pcr_digest,
           (cs_slice[]){cs_slice_of(doc.claims.pcr[0].b, 48), cs_slice_of(doc.claims.pcr[1].b, 48),
                        cs_slice_of(doc.claims.pcr[2].b, 48)},
           3);
}

/* ---------------------------------------------------------------- the audit entry */

static void put_entry(testtee *t, cs_tee_reply *r, cs_buf *entry, uint8_t sig[64], const cs_tee_request *q,
                      cs_slice body, testtee_fault fault)
{
    uint8_t request32[32], result32[32], pcr32[32], signed32[32], other_boot[16] = {1};
    cs_tee_entry e = {.counter = fault == TESTTEE_COUNTER ? t->counter : ++t->counter,
                      .time_ms = cs_clock_wall_ms(),
                      .boot16 = fault == TESTTEE_OTHER_BOOT ? other_boot : t->boot,
                      .previous32 = t->previous,
                      .request_id16 = q->id16,
                      .request_hash32 = request32,
                      .result_hash32 = result32,
                      .pcr_digest32 = pcr32,
                      .caller = q->caller,
                      .op = (uint64_t)q->row->op,
                      .code = r->code};

    memcpy(pcr32, t->pcr_digest, sizeof pcr32);
    pcr32[0] ^= fault == TESTTEE_PCR_DIGEST;
    sha256(request32, &body, 1);
    request32[0] ^= fault == TESTTEE_OTHER_BODY;
    sha256(result32, &r->result, 1);
    MUST(cs_tee_entry_encode(entry, &e) == CS_OK);
    sha256(signed32, (cs_slice[]){cs_slice_str(CS_TEE_AUDIT_SIGNED), cs_buf_slice(entry)}, 2);
    cs_ed25519_sign(sig, &t->audit_seed, cs_slice_of(signed32, 32));
    sha256(t->previous, (cs_slice[]){cs_slice_str(CS_TEE_AUDIT_LINK), cs_buf_slice(entry), cs_slice_of(sig, 64)}, 3);
    sig[5] ^= fault == TESTTEE_SIGNATURE;
    r->entry = cs_buf_slice(entry);
    r->entry_sig = cs_slice_of(sig, 64);
}

/* ---------------------------------------------------------------- operations */

static cs_slice document(testtee *t, cs_slice nonce)
{
    static uint8_t mem[256];
    cs_buf user_data = cs_buf_wrap(mem, sizeof mem);

    MUST(cs_tee_vouch_encode(&user_data, &(cs_tee_vouch){t->request_key, t->audit_key, t->boot}) == CS_OK);
    return testdoc_build(
        &(testdoc){.timestamp_s = cs_clock_wall_ms() / 1000, .nonce = nonce, .user_data = cs_buf_slice(&user_data)});
}

static void execute(testtee *t, cs_tee_result *out, const cs_tee_request *q, uint8_t sig[64])
{
    switch (q->row->op) {
    case CS_TEE_ATTEST:
        out->f[0].s = document(t, q->f[0].s);
        break;
    case CS_TEE_SIGN:
        cs_ed25519_sign(sig, &t->key_seed, q->f[3].s);
        out->f[0].s = cs_slice_of(sig, 64);
        out->f[2].s = cs_slice_of(t->key, 32);
        break;
    case CS_TEE_GENERATE:
        out->f[0].s = cs_slice_of(t->key, 32);
        break;
    case CS_TEE_SEAL:
        MUST(q->f[2].s.len <= sizeof t->stored);
        memcpy(t->stored, q->f[2].s.p, q->f[2].s.len);
        t->stored_len = q->f[2].s.len;
        out->f[0].u = q->f[1].u;
        break;
    case CS_TEE_UNSEAL:
        out->f[0].s = cs_slice_of(t->stored, t->stored_len);
        out->f[1].u = 1;
        break;
    default:
        out->f[0].s = cs_slice_str("{}");
        break;
    }
}

static void reply(testtee *t, cs_buf *out, const cs_tee_call *call, bool sealed)
{
    const cs_hpke_args args = {.aead = CS_HPKE_CHACHA20_POLY1305, .info = cs_slice_str("countersign-tee-reply-1")};
    testtee_fault fault = (testtee_fault)atomic_load(&t->fault);
    cs_buf plain = cs_buf_heap(MAX), result = cs_buf_heap(MAX), entry = cs_buf_heap(4096);
    cs_tee_reply r = {.code = cs_slice_str("OK")};
    uint8_t sig[64], entry_sig[64], other[32];
    cs_tee_result values = {0};
    cs_tee_request q;

    MUST(cs_tee_request_decode(&q, call->body) == CS_OK);
    fault = q.row->op == CS_TEE_ATTEST ? TESTTEE_GOOD : fault;
    execute(t, &values, &q, sig);
    MUST(cs_tee_result_encode(&plain, q.row, &values) == CS_OK);
    r.sealed = (sealed || (q.row->flags & CS_TEE_SECRET_OUT) != 0) && fault != TESTTEE_CLEAR;
    memcpy(other, t->caller_x25519, 32);
    other[3] ^= fault == TESTTEE_BAD_SEALING;
    if (r.sealed) {
        MUST(cs_hpke_seal_once(&result, other, &args, cs_slice_of(q.id16, 16), cs_buf_slice(&plain)) == CS_OK);
    }
    r.result = r.sealed ? cs_buf_slice(&result) : cs_buf_slice(&plain);
    put_entry(t, &r, &entry, entry_sig, &q, call->body, fault);
    if (fault == TESTTEE_RESULT) {
        (r.sealed ? result.p : plain.p)[r.result.len - 1] ^= 1;
    } else if (fault == TESTTEE_NO_ENTRY) {
        r.entry = r.entry_sig = CS_SLICE_NULL;
    } else if (fault == TESTTEE_CODE) {
        r.code = cs_slice_str("SEAL_OPEN");
        r.result = CS_SLICE_NULL;
        r.sealed = false;
    }
    MUST(cs_tee_reply_encode(out, &r, NULL, 0) == CS_OK);
    cs_buf_free(&entry);
    cs_buf_free(&result);
    cs_buf_free(&plain);
}

/* ---------------------------------------------------------------- the gateway */

static void answer(testtee *t, cs_buf *out, const Countersign__V1__TeeCall *m)
{
    const cs_hpke_args args = {.aead = CS_HPKE_CHACHA20_POLY1305, .info = cs_slice_str("countersign-tee-request-1")};
    cs_buf plain = cs_buf_heap(MAX);
    cs_slice bytes = cs_slice_of(m->call.data, m->call.len);
    cs_tee_call call;

    if (m->sealed && cs_hpke_open_once(&plain, t->request_secret.b, &args, CS_SLICE_NULL, bytes) != CS_OK) {
        MUST(cs_tee_reply_encode(out, &(cs_tee_reply){.code = cs_slice_str("FORMAT")}, NULL, 0) == CS_OK);
    } else {
        MUST(cs_tee_call_decode(&call, m->sealed ? cs_buf_slice(&plain) : bytes) == CS_OK);
        reply(t, out, &call, m->sealed != 0);
    }
    cs_buf_free(&plain);
}

static void on_call(cs_grpc_call *c, cs_slice message)
{
    testtee *t = cs_grpc_call_server_cookie(c);
    Countersign__V1__TeeCall *m = countersign__v1__tee_call__unpack(NULL, message.len, message.p);
    Countersign__V1__TeeReply out = COUNTERSIGN__V1__TEE_REPLY__INIT;
    cs_buf bytes = cs_buf_heap(MAX);
    bool attest;
    uint8_t *packed;
    cs_slice part;

    MUST(m != NULL);
    attest = strcmp(m->operation, "Attest") == 0;
    if (atomic_load(&t->restarts) > 0) {
        atomic_store(&t->restarts, 0);
        boot(t);
    }
    atomic_fetch_add(&t->calls, !attest);
    if (!attest && atomic_load(&t->busy) > 0) {
        atomic_fetch_sub(&t->busy, 1);
        cs_grpc_finish(c, CS_E_TEE_BUSY, NULL);
    } else {
        answer(t, &bytes, m);
        out.reply = (ProtobufCBinaryData){bytes.len, bytes.p};
        packed = malloc(countersign__v1__tee_reply__get_packed_size(&out));
        part = cs_slice_of(packed, countersign__v1__tee_reply__pack(&out, packed));
        MUST(cs_grpc_send(c, &part, 1) == CS_OK);
        cs_grpc_finish(c, CS_OK, NULL);
        free(packed);
    }
    cs_buf_free(&bytes);
    countersign__v1__tee_call__free_unpacked(m, NULL);
}

static void on_stop(void *cookie)
{
    testtee *t = cookie;

    cs_grpc_server_free(t->server);
    cs_async_free(t->stop);
    cs_loop_stop(t->loop);
}

static void *run(void *cookie)
{
    testtee *t = cookie;

    cs_loop_run(t->loop);
    return NULL;
}

testtee *testtee_new(const cs_tee_identity *caller)
{
    static const cs_grpc_method methods[] = {{.path = "/countersign.v1.Tee/Call", .on_message = on_call}, {0}};
    const cs_grpc_opts opts = {.message_max = MAX};
    testtee *t = calloc(1, sizeof *t);
    cs_buf text = cs_buf_wrap(t->address, sizeof t->address - 1);
    cs_endpoint ep;
    int fd = -1;

    t->caller = caller;
    MUST(cs_random(&t->key_seed, 32) == CS_OK);
    cs_ed25519_public(t->key, &t->key_seed);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, caller->x25519_secret.b, 32);
    size_t len = 32;
    MUST(key != NULL && EVP_PKEY_get_raw_public_key(key, t->caller_x25519, &len) == 1);
    EVP_PKEY_free(key);
    image(t);
    boot(t);
    MUST(cs_endpoint_parse(&ep, cs_slice_str("tcp:127.0.0.1:0")) == CS_OK && cs_endpoint_listen(&fd, &ep, 64) == CS_OK);
    MUST(cs_endpoint_bound(&ep, fd) == CS_OK && cs_endpoint_format(&text, &ep) == CS_OK);
    MUST(cs_loop_new(&t->loop) == CS_OK && cs_async_new(&t->stop, t->loop, on_stop, t) == CS_OK);
    MUST(cs_grpc_server_new(&t->server, t->loop, fd, methods, &opts, t) == CS_OK);
    MUST(pthread_create(&t->thread, NULL, run, t) == 0);
    return t;
}

void testtee_free(testtee *t)
{
    cs_async_send(t->stop);
    (void)pthread_join(t->thread, NULL);
    cs_loop_free(t->loop);
    free(t);
}

const char *testtee_address(const testtee *t)
{
    return t->address;
}

const char *testtee_root_pem(void)
{
    static char text[4096];
    cs_slice der = testdoc_root();
    const unsigned char *p = der.p;
    X509 *cert = d2i_X509(NULL, &p, (long)der.len);
    BIO *bio = BIO_new(BIO_s_mem());

    MUST(cert != NULL && PEM_write_bio_X509(bio, cert) == 1);
    int n = BIO_read(bio, text, sizeof text - 1);
    MUST(n > 0);
    text[n] = '\0';
    BIO_free(bio);
    X509_free(cert);
    return text;
}

void testtee_set(testtee *t, testtee_fault fault)
{
    atomic_store(&t->fault, (int)fault);
}

void testtee_busy(testtee *t, unsigned calls)
{
    atomic_store(&t->busy, calls);
}

void testtee_restart(testtee *t)
{
    atomic_store(&t->restarts, 1);
}

unsigned testtee_calls(const testtee *t)
{
    return atomic_load(&((testtee *)(uintptr_t)t)->calls);
}
