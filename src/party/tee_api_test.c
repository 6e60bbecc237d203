/* The installed API of the TEE service against a small gateway and enclave: what is refused before anything is sent, lies, repetitions, restarts, threads,
 * no memory. The peer in another language is tests/interop/tee_client.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "countersign/tee.h"
#include "party/testtee.h"
#include "secret/rng.h"
#include "tee/retry.h"

#define IDENTITY                                                                                                       \
    "{\"id\":\"alice\",\"ed25519_seed\":\"0101010101010101010101010101010101010101010101010101010101010101\","         \
    "\"x25519_secret\":\"0202020202020202020202020202020202020202020202020202020202020202\"}"
#define THREADS 8
#define ROUNDS 40

static cs_tee_identity *alice;
static testtee *peer;
static char identity_file[64] = "/tmp/cs-tee-api.XXXXXX";

static int start(void **state)
{
    int fd = mkstemp(identity_file); /* mode 0600 */
    bool ok = fd >= 0 && write(fd, IDENTITY, sizeof IDENTITY - 1) == (ssize_t)(sizeof IDENTITY - 1) && close(fd) == 0 &&
              cs_arena_init((size_t)64 << 20, false) == CS_OK && cs_tee_identity_read(&alice, identity_file) == CS_OK;

    peer = ok ? testtee_new(alice) : NULL;
    return peer != NULL ? 0 : -1;
}

static int stop(void **state)
{
    testtee_free(peer);
    cs_secret_free(alice);
    return unlink(identity_file);
}

static countersign_tee_options options(void)
{
    return (countersign_tee_options){.gateway = testtee_address(peer),
                                     .identity_file = identity_file,
                                     .root_pem = testtee_root_pem(),
                                     .any_pcrs = 1,
                                     .timeout_ms = 20000};
}

static countersign_tee *open_tee(const countersign_tee_options *o)
{
    countersign_tee *t = NULL;
    countersign_error e;

    assert_int_equal(countersign_tee_open(&t, o, &e), 0);
    return t;
}

static void refused(const countersign_tee_options *o, const char *code)
{
    countersign_tee *t = NULL;
    countersign_error e;

    assert_int_equal(countersign_tee_open(&t, o, &e), -1);
    assert_string_equal(e.code, code);
    assert_null(t);
}

static void bad_options_are_refused(void **state)
{
    const char *zero[] = {
        "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"};
    countersign_tee_options o = options();

    o.any_pcrs = 0;
    refused(&o, "ATT_NO_POLICY");
    o.allowed = zero;
    o.num_allowed = 1;
    refused(&o, "ATT_DEBUG");
    o = options();
    o.gateway = NULL;
    refused(&o, "FORMAT");
    o = options();
    o.gateway = "http://x";
    refused(&o, "FORMAT");
    o = options();
    o.root_pem = "nothing";
    refused(&o, "CONFIG");
    o = options();
    o.identity_file = "/nowhere";
    refused(&o, "IO");
    o = options();
    assert_int_equal(chmod(identity_file, 0604), 0);
    refused(&o, "IO");
    assert_int_equal(chmod(identity_file, 0600), 0);
    o.connections = 17;
    refused(&o, "RANGE");
    o = options();
    o.cert_pem = "x";
    refused(&o, "USAGE");
    o.key_pem = "x";
    refused(&o, "USAGE"); /* without ca_pem */
    o.ca_pem = "x";
    refused(&o, "FORMAT");
    o = options();
    o.token = "two words";
    refused(&o, "FORMAT");
    o.token = "";
    refused(&o, "RANGE");
    o.token = "x";
    o.gateway = "tcp:192.0.2.1:1";
    refused(&o, "USAGE");
}

static const char *sign(countersign_tee *t, const countersign_tee_call *call, countersign_tee_signature *out)
{
    static _Thread_local countersign_error e;

    return countersign_tee_sign(t, call, "r", COUNTERSIGN_TEE_ED25519, COUNTERSIGN_TEE_MESSAGE, "m", 1, out, &e) == 0
               ? "OK"
               : e.code;
}

static const char *seal(countersign_tee *t, const countersign_tee_call *call)
{
    static _Thread_local countersign_error e;

    return countersign_tee_seal(t, call, "r", 1, "secret", 6, NULL, &e) == 0 ? "OK" : e.code;
}

static const char *unseal(countersign_tee *t, size_t cap, size_t *len)
{
    static _Thread_local countersign_error e;
    char out[64];

    const char *code = countersign_tee_unseal(t, NULL, "r", 0, out, cap, len, NULL, &e) == 0 ? "OK" : e.code;
    assert_true(strcmp(code, "OK") != 0 || memcmp(out, "secret", 6) == 0);
    return code;
}

static void bad_arguments_are_refused_before_anything_is_sent(void **state)
{
    const countersign_tee_options o = options();
    countersign_tee *t = open_tee(&o);
    countersign_tee_signature sig;
    countersign_tee_public_key key;
    countersign_error e;
    const char *twice[] = {"a", "a"};
    countersign_tee_approval many[COUNTERSIGN_TEE_APPROVALS_MAX + 1] = {{.approver = "b"}};
    countersign_tee_call call = {.approvals = many, .num_approvals = COUNTERSIGN_TEE_APPROVALS_MAX + 1};
    unsigned before = testtee_calls(peer);
    uint32_t n;
    static uint8_t big[COUNTERSIGN_TEE_DATA_MAX + 1];

#define REFUSED(code_, call_)                                                                                          \
    do {                                                                                                               \
        assert_int_equal((call_), -1);                                                                                 \
        assert_string_equal(e.code, code_);                                                                            \
    } while (0)
    REFUSED("RANGE", countersign_tee_generate(t, NULL, "", COUNTERSIGN_TEE_ED25519, &key, &e));
    REFUSED("RANGE", countersign_tee_generate(t, NULL, NULL, COUNTERSIGN_TEE_ED25519, &key, &e));
    REFUSED("RANGE", countersign_tee_generate(t, NULL, "a b", COUNTERSIGN_TEE_ED25519, &key, &e));
    REFUSED("ALGORITHM", countersign_tee_generate(t, NULL, "a", COUNTERSIGN_TEE_DATA, &key, &e));
    REFUSED("ALGORITHM", countersign_tee_generate(t, NULL, "a", (countersign_tee_algorithm)9, &key, &e));
    REFUSED("RANGE", countersign_tee_generate(t, &call, "a", COUNTERSIGN_TEE_ED25519, &key, &e));
    REFUSED("DIGEST_LENGTH",
            countersign_tee_sign(t, NULL, "a", COUNTERSIGN_TEE_ECDSA_P256, COUNTERSIGN_TEE_DIGEST, big, 31, &sig, &e));
    REFUSED("ALGORITHM",
            countersign_tee_sign(t, NULL, "a", COUNTERSIGN_TEE_ED25519, COUNTERSIGN_TEE_DIGEST, big, 32, &sig, &e));
    REFUSED("RANGE", countersign_tee_seal(t, NULL, "a", 0, "", 0, NULL, &e));
    REFUSED("RANGE", countersign_tee_seal(t, NULL, "a", 1, big, sizeof big, NULL, &e));
    REFUSED("RANGE", countersign_tee_rotate(t, NULL, twice, 2, NULL, 1, &n, NULL, &e));
    REFUSED("RANGE", countersign_tee_rotate(t, NULL, twice, 0, NULL, 1, &n, NULL, &e));
    REFUSED("RANGE", countersign_tee_rotate(t, NULL, twice, 257, NULL, 1, &n, NULL, &e));
    assert_int_equal(testtee_calls(peer), before);
    countersign_tee_close(t);
    countersign_tee_options anonymous = options();
    anonymous.identity_file = NULL;
    t = open_tee(&anonymous);
    assert_string_equal(sign(t, NULL, &sig), "USAGE");
    char stats[64];
    assert_int_equal(countersign_tee_stats(t, NULL, stats, sizeof stats, &e), 0);
    REFUSED("RANGE", countersign_tee_stats(t, NULL, stats, 2, &e));
    countersign_tee_close(t);
}

static void count_audit(void *cookie, const countersign_tee_audit *audit)
{
    countersign_tee_audit *last = cookie;

    assert_true(audit->audited && audit->counter > last->counter && audit->entry_len > 100);
    assert_string_equal(audit->code, "OK");
    *last = *audit;
}

static void calls_are_answered_and_audited(void **state)
{
    countersign_tee_options o = options();
    countersign_tee_audit last = {0}, mine;
    countersign_tee_call call = {.audit = &mine};
    countersign_tee_signature sig;
    size_t len = 0;

    o.on_audit = count_audit;
    o.audit_cookie = &last;
    for (int all = 0; all < 2; all++) {
        o.seal_all = all;
        last = (countersign_tee_audit){0};
        countersign_tee *t = open_tee(&o);
        assert_string_equal(sign(t, &call, &sig), "OK");
        assert_memory_equal(&mine, &last, offsetof(countersign_tee_audit, entry));
        assert_string_equal(seal(t, &call), "OK");
        assert_string_equal(mine.operation, "Seal");
        assert_int_equal(mine.attempts, 1);
        call.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_string_equal(sign(t, &call, &sig), "OK");
        assert_int_equal(mine.trace_id[0], 0x4b);
        assert_int_equal(mine.trace_id[15], 0x36);
        call.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736";
        assert_string_equal(sign(t, &call, &sig), "FORMAT");
        call.traceparent = NULL;
        assert_string_equal(unseal(t, 6, &len), "OK");
        assert_int_equal(len, 6);
        assert_string_equal(unseal(t, 5, &len), "RANGE");
        assert_int_equal(len, 6);
        countersign_tee_close(t);
    }
}

static void lies_are_found(void **state)
{
    static const struct {
        testtee_fault fault;
        const char *sign, *unseal;
    } rows[] = {{TESTTEE_RESULT, "AUDIT_CHAIN", "AUDIT_CHAIN"},
                {TESTTEE_NO_ENTRY, "AUDIT_CHAIN", "AUDIT_CHAIN"},
                {TESTTEE_SIGNATURE, "AUDIT_CHAIN", "AUDIT_CHAIN"},
                {TESTTEE_COUNTER, "AUDIT_CHAIN", "AUDIT_CHAIN"},
                {TESTTEE_OTHER_BODY, "AUDIT_CHAIN", "AUDIT_CHAIN"},
                {TESTTEE_CODE, "AUDIT_CHAIN", "AUDIT_CHAIN"},
                {TESTTEE_CLEAR, "OK", "FORMAT"},
                {TESTTEE_OTHER_BOOT, "AUDIT_CHAIN", "AUDIT_CHAIN"},
                {TESTTEE_PCR_DIGEST, "AUDIT_CHAIN", "AUDIT_CHAIN"},
                {TESTTEE_BAD_SEALING, "OK", "AUTH"}};
    const countersign_tee_options o = options();
    countersign_tee *t = open_tee(&o);
    countersign_tee_signature sig;
    size_t len;

    assert_string_equal(seal(t, NULL), "OK");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        testtee_set(peer, rows[i].fault);
        assert_string_equal(sign(t, NULL, &sig), rows[i].sign);
        assert_string_equal(unseal(t, 64, &len), rows[i].unseal);
        testtee_set(peer, TESTTEE_GOOD);
        assert_string_equal(unseal(t, 64, &len), "OK"); /* the client goes on */
    }
    countersign_tee_close(t);
}

static void what_may_pass_is_tried_again(void **state)
{
    countersign_tee_options o = options();
    countersign_tee *t = open_tee(&o);
    countersign_tee_audit audit;
    countersign_tee_call call = {.audit = &audit};
    unsigned before;

    testtee_busy(peer, 3);
    assert_string_equal(seal(t, &call), "OK");
    assert_int_equal(audit.attempts, 4);
    countersign_tee_close(t);
    o.retries = UINT32_MAX; /* none */
    t = open_tee(&o);
    before = testtee_calls(peer);
    testtee_busy(peer, 1);
    assert_string_equal(seal(t, &call), "TEE_BUSY");
    assert_int_equal(testtee_calls(peer) - before, 1);
    countersign_tee_close(t);
    assert_int_equal(cs_tee_backoff_ms(CS_E_CLOSED, 2), 50);
    assert_int_equal(cs_tee_backoff_ms(CS_E_CLOSED, 4), 200);
    assert_int_equal(cs_tee_backoff_ms(CS_E_CLOSED, 1000), 2000);
    assert_int_equal(cs_tee_backoff_ms(CS_E_TEE_BUSY, 2), 100);
    assert_int_equal(cs_tee_backoff_ms(CS_E_TEE_GATE, 3), 500);
    assert_int_equal(cs_tee_backoff_ms(CS_E_NSM, 2), 500);
}

static void a_restarted_enclave_is_attested_before_anything_is_sealed_to_it(void **state)
{
    const countersign_tee_options o = options();
    countersign_tee *t = open_tee(&o);
    countersign_tee_audit one, two;
    countersign_tee_call call = {.audit = &one};
    const uint8_t id[16] = {9};

    assert_string_equal(seal(t, &call), "OK");
    testtee_restart(peer);
    call.audit = &two;
    assert_string_equal(seal(t, &call), "OK");
    assert_memory_not_equal(one.boot, two.boot, 16);
    testtee_restart(peer);
    call.request_id = id;
    assert_string_equal(seal(t, &call), "CHANNEL_UNKNOWN");
    assert_string_equal(seal(t, &call), "OK"); /* the gateway of this test keeps nothing */
    testtee_restart(peer);
    countersign_tee_signature sig;
    assert_string_equal(sign(t, NULL, &sig), "OK"); /* in clear: the entry's boot is asked for its document */
    countersign_tee_close(t);
}

static void *caller_thread(void *cookie)
{
    countersign_tee *t = cookie;
    countersign_tee_signature sig;
    countersign_tee_audit audit;
    countersign_tee_call call = {.audit = &audit};
    uint64_t last = 0;
    uintptr_t failed = 0;
    size_t len;

    for (int i = 0; i < ROUNDS; i++) {
        failed += strcmp(sign(t, &call, &sig), "OK") != 0 || audit.counter <= last;
        last = audit.counter;
        failed += strcmp(seal(t, &call), "OK") != 0 || audit.counter <= last;
        last = audit.counter;
        failed += strcmp(unseal(t, 64, &len), "OK") != 0;
    }
    return (void *)failed;
}

static void threads_share_a_client(void **state)
{
    const countersign_tee_options o = options();
    countersign_tee *t = open_tee(&o);
    pthread_t thread[THREADS];
    void *failed = NULL;

    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, caller_thread, t), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], &failed), 0);
        assert_null(failed);
    }
    countersign_tee_close(t);
}

static void without_memory_or_entropy_a_call_is_refused(void **state)
{
    const countersign_tee_options o = options();
    countersign_tee *t = open_tee(&o);
    size_t len;

    assert_string_equal(seal(t, NULL), "OK");
    for (unsigned n = 1; n < 20; n++) {
        (void)cs_secret_fail_for_tests(n);
        const char *code = seal(t, NULL);
        bool met = cs_secret_fail_for_tests(0) == 0;
        assert_string_equal(code, met ? "NO_MEMORY" : "OK");
        (void)cs_secret_fail_for_tests(n);
        code = unseal(t, 64, &len);
        met = cs_secret_fail_for_tests(0) == 0;
        assert_string_equal(code, met ? "NO_MEMORY" : "OK");
    }
    (void)cs_random_fail_for_tests(1);
    assert_string_equal(seal(t, NULL), "ENTROPY");
    (void)cs_random_fail_for_tests(0);
    assert_string_equal(seal(t, NULL), "OK");
    countersign_tee_close(t);
}

static void bodies_are_made_and_approved(void **state)
{
    const countersign_tee_options o = options();
    countersign_tee *t = open_tee(&o);
    static uint8_t body[COUNTERSIGN_TEE_BODY_MAX];
    const uint8_t id[16] = {1};
    size_t len = 0;
    countersign_tee_call call = {
        .request_id = id, .time_ms = 5, .body = body, .body_cap = sizeof body, .body_len = &len};
    countersign_tee_approval approval;
    countersign_tee_signature sig;
    countersign_error e;
    unsigned before = testtee_calls(peer);

    assert_string_equal(sign(t, &call, &sig), "OK");
    assert_true(len > 30 && len < 64);
    assert_int_equal(testtee_calls(peer), before);
    assert_int_equal(countersign_tee_approve(t, body, len, &approval, &e), -1);
    assert_string_equal(e.code, "RANGE"); /* its own */
    assert_int_equal(countersign_tee_approve(t, body, len - 1, &approval, &e), -1);
    assert_string_equal(e.code, "FORMAT");
    body[22] ^= 1; /* a letter of the caller's name */
    assert_int_equal(countersign_tee_approve(t, body, len, &approval, &e), 0);
    assert_string_equal(approval.approver, "alice");
    call.body_cap = 10;
    assert_string_equal(sign(t, &call, &sig), "RANGE");
    call.time_ms = 0;
    assert_string_equal(sign(t, &call, &sig), "USAGE");
    countersign_tee_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(bad_arguments_are_refused_before_anything_is_sent),
        cmocka_unit_test(calls_are_answered_and_audited),
        cmocka_unit_test(lies_are_found),
        cmocka_unit_test(what_may_pass_is_tried_again),
        cmocka_unit_test(a_restarted_enclave_is_attested_before_anything_is_sealed_to_it),
        cmocka_unit_test(threads_share_a_client),
        cmocka_unit_test(without_memory_or_entropy_a_call_is_refused),
        cmocka_unit_test(bodies_are_made_and_approved),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
