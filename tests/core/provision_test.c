/* Provisioning: two files in any order, every refusal with its code, transactional reloads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

#include "driver.h"

static int setup(void **state)
{
    *state = world_new();
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

/* the code of the next reply, which is to that id */
static cs_err reply_code(world *w, uint64_t id)
{
    cs_rpc_frame f = next(w, CS_LINK_SERVICE);
    char code[64] = "";

    assert_string_equal(cs_rpc_name(f.type), "REPLY");
    assert_int_equal(f.id, id);
    assert_true(f.f[0].s.len < sizeof code);
    memcpy(code, f.f[0].s.p, f.f[0].s.len);
    return cs_err_from_code(code);
}

static void expect_phase(world *w, cs_phase p)
{
    assert_string_equal(cs_phase_name(cs_core_phase(w->core)), cs_phase_name(p));
}

static void test_files_and_credentials_may_come_in_any_order(void **state)
{
    static const char *const orders[] = {"cas", "csa", "acs", "sca", "asc", "sac"};
    world *w = *state;

    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        uint64_t last = 0;

        world_core(w);
        for (const char *p = orders[i]; *p != '\0'; p++) {
            if (*p == 'c') {
                credentials(w, CS_CRED_PRESENT);
                continue;
            }
            if (*p == 'a') {
                inject_age(w, 10);
            } else {
                inject_shares(w, 11, sealed_file(w, &(recipe){.generation = 7}));
            }
            if (last == 0) {
                expect_reply(w, *p == 'a' ? 10 : 11, CS_OK); /* received, waiting for the other */
                expect_phase(w, CS_PHASE_WAITING);
            }
            last = *p == 'a' ? 10 : 11;
        }
        expect_phase(w, CS_PHASE_UNSEALING);
        assert_true(none(w, CS_LINK_SERVICE));
        answer_kms(w, &(kms_answer){0});
        expect_reply(w, last, CS_OK);
        expect_phase(w, CS_PHASE_SERVING);
        assert_string_equal(cs_rpc_name(next(w, CS_LINK_KMS).type), "CRED_WIPE");
    }
    has(w, "\"generation\":7");
    has(w, "\"accounts\":3");
    has(w, "\"parties\":2");
    has(w, "\"stage\":\"idle\"");
}

static void test_the_document_of_the_call_holds_the_rsa_key_and_is_fresh(void **state)
{
    world *w = *state;
    uint8_t first[1024];
    size_t len;

    credentials(w, CS_CRED_PRESENT);
    assert_int_equal(inject_both(w, &(recipe){.generation = 7}, &(kms_answer){.code = CS_E_KMS_THROTTLED}),
                     CS_E_KMS_THROTTLED);
    memcpy(first, w->spki, w->spki_len);
    len = w->spki_len;
    assert_true(len > 256);
    assert_int_equal(w->documents, 1);
    assert_int_equal(inject_both(w, &(recipe){.generation = 7}, &(kms_answer){0}), CS_OK);
    assert_int_equal(w->documents, 2);
    assert_true(w->spki_len != len || memcmp(first, w->spki, len) != 0); /* a load that is over leaves no key */
}

static void test_each_fault_of_a_load_has_its_code_and_core_waits_on(void **state)
{
    static const struct {
        recipe r;
        kms_answer k;
        cs_err code;
    } rows[] = {
        {.r = {.generation = 7},
         .k = {.code = CS_E_KMS_DENIED, .type = "AccessDeniedException"},
         .code = CS_E_KMS_DENIED},
        {.r = {.generation = 7},
         .k = {.code = CS_E_KMS_CIPHERTEXT, .type = "InvalidCiphertextException"},
         .code = CS_E_KMS_CIPHERTEXT},
        {.r = {.generation = 7}, .k = {.code = CS_E_CRED_EXPIRED}, .code = CS_E_CRED_EXPIRED},
        {.r = {.generation = 7},
         .k = {.key_id = "arn:aws:kms:eu-central-1:111122223333:key/other"},
         .code = CS_E_KMS_KEY_ID},
        {.r = {.generation = 7}, .k = {.key_id = ""}, .code = CS_E_KMS_KEY_ID},
        {.r = {.generation = 7}, .k = {.no_envelope = true}, .code = CS_E_KMS_PLAINTEXT},
        {.r = {.generation = 7}, .k = {.garbage = true}, .code = CS_E_CMS},
        {.r = {.generation = 7}, .k = {.cut = true}, .code = CS_E_CMS},
        {.r = {.generation = 7}, .k = {.not_an_identity = true}, .code = CS_E_AGE_IDENTITY},
        {.r = {.generation = 7}, .k = {.other_identity = true}, .code = CS_E_AGE_NO_MATCH},
        {.r = {.generation = 7, .other_recipient = true}, .code = CS_E_AGE_NO_MATCH},
        {.r = {.generation = 7, .cut = true}, .code = CS_E_AGE_PAYLOAD},
        {.r = {.generation = 7, .flip = true}, .code = CS_E_AGE_PAYLOAD},
        {.r = {.generation = 7, .unsigned_file = true}, .code = CS_E_SHARES_UNSIGNED},
        {.r = {.generation = 7, .other_publisher = true}, .code = CS_E_SHARES_SIGNATURE},
        {.r = {.generation = 7, .bad_signature = true}, .code = CS_E_SHARES_SIGNATURE},
        {.r = {.generation = 7, .bad_body = true}, .code = CS_E_SHARES_SIGNATURE},
        {.r = {.generation = 2}, .code = CS_E_SHARES_GENERATION}, /* minGeneration is 3 */
        {.r = {.generation = 7, .twice = true}, .code = CS_E_SHARES_DUPLICATE},
    };
    world *w = *state;
    size_t used = 0;

    credentials(w, CS_CRED_PRESENT);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cs_err code = inject_both(w, &rows[i].r, &rows[i].k);

        if (code != rows[i].code) {
            fail_msg("row %zu: %s instead of %s", i, cs_err_code(code), cs_err_code(rows[i].code));
        }
        expect_phase(w, CS_PHASE_WAITING);
        has(w, cs_err_code(rows[i].code));
        assert_true(none(w, CS_LINK_KMS)); /* the credentials stay for the next try */
        used = used == 0 ? cs_arena_used() : used;
        assert_true(cs_arena_used() <= used + 4096); /* nothing of a failed load stays */
    }
    assert_int_equal(inject_both(w, &(recipe){.generation = 3}, &(kms_answer){0}), CS_OK);
    expect_phase(w, CS_PHASE_SERVING);
}

static void test_the_type_that_kms_gave_reaches_the_injector_cleaned(void **state)
{
    world *w = *state;
    cs_rpc_frame f;

    credentials(w, CS_CRED_PRESENT);
    inject_age(w, 1);
    expect_reply(w, 1, CS_OK);
    inject_shares(w, 2, sealed_file(w, &(recipe){.generation = 7}));
    answer_kms(w, &(kms_answer){.code = CS_E_KMS_DENIED, .type = "AccessDenied\nException\x7f"});
    f = next(w, CS_LINK_SERVICE);
    assert_true(cs_slice_eq_str(f.f[0].s, "KMS_DENIED"));
    assert_true(cs_slice_eq_str(f.f[1].s, "AccessDenied?Exception?"));
    /* a code that is none is no success either */
    inject_age(w, 3);
    expect_reply(w, 3, CS_OK);
    inject_shares(w, 4, sealed_file(w, &(recipe){.generation = 7}));
    f = next(w, CS_LINK_KMS);
    f = (cs_rpc_frame){.type = CS_RPC_KMS_REPLY, .id = f.id};
    f.f[0].s = cs_slice_str("NO_SUCH_CODE");
    assert_int_equal(give(w, CS_LINK_KMS, &f), CS_OK);
    f = next(w, CS_LINK_SERVICE);
    assert_false(cs_slice_eq_str(f.f[0].s, "OK"));
    expect_phase(w, CS_PHASE_WAITING);
}

static void start_load(world *w, uint64_t id)
{
    inject_age(w, id);
    expect_reply(w, id, CS_OK);
    inject_shares(w, id + 1, sealed_file(w, &(recipe){.generation = 7}));
}

static void test_credentials_are_waited_for_then_refused(void **state)
{
    world *w = *state;

    start_load(w, 1);
    expect_phase(w, CS_PHASE_UNSEALING);
    has(w, "waiting for credentials");
    tick_ms(w, 29999);
    assert_true(none(w, CS_LINK_SERVICE));
    tick_ms(w, 1);
    expect_reply(w, 2, CS_E_CRED_MISSING);
    expect_phase(w, CS_PHASE_WAITING);
    start_load(w, 3);
    credentials(w, CS_CRED_EXPIRED);
    expect_reply(w, 4, CS_E_CRED_EXPIRED);
    start_load(w, 5); /* known to be expired: at once */
    expect_reply(w, 6, CS_E_CRED_EXPIRED);
    expect_phase(w, CS_PHASE_WAITING);
}

static void test_a_kms_that_does_not_answer_ends_the_load_and_a_late_answer_is_nobodys(void **state)
{
    world *w = *state;
    cs_rpc_frame call, late = {.type = CS_RPC_KMS_REPLY};

    credentials(w, CS_CRED_PRESENT);
    start_load(w, 1);
    call = next(w, CS_LINK_KMS);
    tick_ms(w, 30000);
    expect_reply(w, 2, CS_E_TIMEOUT);
    expect_phase(w, CS_PHASE_WAITING);
    late.id = call.id;
    late.f[0].s = cs_slice_str("OK");
    late.f[3].s = cs_slice_str(KEY_ARN);
    late.f[4].s = cs_slice_str("x");
    assert_int_equal(give(w, CS_LINK_KMS, &late), CS_OK);
    start_load(w, 3);
    assert_int_equal(give(w, CS_LINK_KMS, &late), CS_OK); /* of the call before */
    expect_phase(w, CS_PHASE_UNSEALING);
    assert_true(none(w, CS_LINK_SERVICE));
    answer_kms(w, &(kms_answer){0});
    expect_reply(w, 4, CS_OK);
}

static void test_the_end_of_sign_kms_ends_the_load_but_not_core(void **state)
{
    world *w = *state;

    start_load(w, 1);
    cs_core_link_down(w->core, CS_LINK_KMS);
    expect_reply(w, 2, CS_E_KMS_UNAVAILABLE);
    start_load(w, 3);
    expect_reply(w, 4, CS_E_KMS_UNAVAILABLE);
    expect_phase(w, CS_PHASE_WAITING);
    has(w, "\"kms_link\":false");
}

static void test_a_half_pair_is_forgotten_after_a_minute(void **state)
{
    world *w = *state;

    inject_age(w, 1);
    expect_reply(w, 1, CS_OK);
    tick_ms(w, 60000);
    has(w, "INJECT_PAIR");
    inject_shares(w, 2, sealed_file(w, &(recipe){.generation = 7}));
    expect_reply(w, 2, CS_OK); /* a first one again */
    expect_phase(w, CS_PHASE_WAITING);
}

static void test_a_second_file_that_is_slow_is_waited_for_while_it_flows(void **state)
{
    world *w = *state;
    cs_slice file = sealed_file(w, &(recipe){.generation = 7});
    cs_rpc_frame f = {.type = CS_RPC_SHARES_BEGIN, .id = 2};

    credentials(w, CS_CRED_PRESENT);
    inject_age(w, 1);
    expect_reply(w, 1, CS_OK);
    assert_int_equal(give(w, CS_LINK_SERVICE, &f), CS_OK);
    for (size_t i = 0; i < file.len; i += 100) {
        size_t n = file.len - i < 100 ? file.len - i : 100;

        give1(w, CS_LINK_SERVICE, CS_RPC_SHARES_CHUNK, 2, cs_slice_of(file.p + i, n));
        tick_ms(w, 50000);
    }
    f.type = CS_RPC_SHARES_END;
    assert_int_equal(give(w, CS_LINK_SERVICE, &f), CS_OK);
    answer_kms(w, &(kms_answer){0});
    expect_reply(w, 2, CS_OK);
}

static void test_an_upload_that_stops_is_forgotten_after_a_minute(void **state)
{
    world *w = *state;
    cs_rpc_frame f = {.type = CS_RPC_SHARES_BEGIN, .id = 2};

    tick_ms(w, 100); /* the key for the first load */
    assert_int_equal(give(w, CS_LINK_SERVICE, &f), CS_OK);
    give1(w, CS_LINK_SERVICE, CS_RPC_SHARES_CHUNK, 2, cs_slice_str("piece"));
    assert_int_equal(cs_core_wait_ms(w->core), 60000);
    tick_ms(w, 60000);
    f.type = CS_RPC_SHARES_END;
    assert_int_equal(give(w, CS_LINK_SERVICE, &f), CS_OK);
    expect_reply(w, 2, CS_E_INJECT_PHASE);
    expect_phase(w, CS_PHASE_WAITING);
}

static void upload(world *w, cs_rpc_type type, uint64_t id)
{
    assert_int_equal(give(w, CS_LINK_SERVICE, &(cs_rpc_frame){.type = type, .id = id}), CS_OK);
}

/* an upload of len bytes: what its end answers */
static cs_err upload_of(world *w, uint64_t id, size_t len)
{
    static uint8_t big[CS_RPC_CHUNK];

    upload(w, CS_RPC_SHARES_BEGIN, id);
    for (size_t n; len > 0; len -= n) {
        n = len < sizeof big ? len : sizeof big;
        give1(w, CS_LINK_SERVICE, CS_RPC_SHARES_CHUNK, id, cs_slice_of(big, n));
    }
    upload(w, CS_RPC_SHARES_END, id);
    return reply_code(w, id);
}

static void test_files_of_the_wrong_size_are_refused(void **state)
{
    static uint8_t big[CS_AGE_KEY_MAX + 1];
    world *w = *state;

    give1(w, CS_LINK_SERVICE, CS_RPC_INJECT_AGE, 9, cs_slice_of(big, sizeof big));
    expect_reply(w, 9, CS_E_TOO_LARGE);
    give1(w, CS_LINK_SERVICE, CS_RPC_INJECT_AGE, 9, cs_slice_of(big, 0));
    expect_reply(w, 9, CS_E_INJECT_EMPTY);
    has(w, "\"stage\":\"idle\"");
    assert_int_equal(upload_of(w, 1, (size_t)w->config.max_bytes + 1), CS_E_TOO_LARGE);
    assert_int_equal(upload_of(w, 2, 0), CS_E_INJECT_EMPTY);
    has(w, "\"stage\":\"idle\"");
    /* an end without a beginning, of another injection, after a cancel */
    upload(w, CS_RPC_SHARES_END, 3);
    expect_reply(w, 3, CS_E_INJECT_PHASE);
    upload(w, CS_RPC_SHARES_BEGIN, 3);
    upload(w, CS_RPC_SHARES_CANCEL, 3);
    upload(w, CS_RPC_SHARES_END, 3);
    expect_reply(w, 3, CS_E_INJECT_PHASE);
    expect_phase(w, CS_PHASE_WAITING);
}

static void test_files_of_exactly_the_largest_size_are_taken(void **state)
{
    static uint8_t big[CS_AGE_KEY_MAX];
    world *w = *state;
    cs_rpc_frame call;

    credentials(w, CS_CRED_PRESENT);
    assert_int_equal(upload_of(w, 1, (size_t)w->config.max_bytes), CS_OK);
    give1(w, CS_LINK_SERVICE, CS_RPC_INJECT_AGE, 2, cs_slice_of(big, CS_KMS_CIPHERTEXT_MAX));
    expect_phase(w, CS_PHASE_UNSEALING);
    call = next(w, CS_LINK_KMS);
    assert_int_equal(call.f[2].s.len, CS_KMS_CIPHERTEXT_MAX);
    tick_ms(w, 30000);
    expect_reply(w, 2, CS_E_TIMEOUT);
    /* an object that may be, but that KMS would not decrypt: it is not asked */
    give1(w, CS_LINK_SERVICE, CS_RPC_INJECT_AGE, 3, cs_slice_of(big, sizeof big));
    expect_reply(w, 3, CS_OK);
    assert_int_equal(upload_of(w, 4, 100), CS_E_KMS_CIPHERTEXT);
    assert_true(none(w, CS_LINK_KMS));
    expect_phase(w, CS_PHASE_WAITING);
    has(w, "\"stage\":\"idle\"");
}

static void test_an_upload_that_breaks_off_leaves_the_file_that_was_there(void **state)
{
    static uint8_t big[CS_RPC_CHUNK];
    world *w = *state;

    credentials(w, CS_CRED_PRESENT);
    inject_shares(w, 1, sealed_file(w, &(recipe){.generation = 7}));
    expect_reply(w, 1, CS_OK);
    upload(w, CS_RPC_SHARES_BEGIN, 2); /* the injector goes away */
    give1(w, CS_LINK_SERVICE, CS_RPC_SHARES_CHUNK, 2, cs_slice_str("piece"));
    upload(w, CS_RPC_SHARES_CANCEL, 2);
    upload(w, CS_RPC_SHARES_BEGIN, 3); /* nothing */
    upload(w, CS_RPC_SHARES_END, 3);
    expect_reply(w, 3, CS_E_INJECT_EMPTY);
    upload(w, CS_RPC_SHARES_BEGIN, 4); /* too much */
    for (unsigned i = 0; i < 6; i++) {
        give1(w, CS_LINK_SERVICE, CS_RPC_SHARES_CHUNK, 4, cs_slice_of(big, sizeof big));
    }
    upload(w, CS_RPC_SHARES_END, 4);
    expect_reply(w, 4, CS_E_TOO_LARGE);
    inject_age(w, 5);
    answer_kms(w, &(kms_answer){0});
    expect_reply(w, 5, CS_OK);
    has(w, "\"generation\":7");
}

static void test_a_whole_file_takes_the_place_of_the_one_before(void **state)
{
    world *w = *state;

    credentials(w, CS_CRED_PRESENT);
    inject_shares(w, 1, sealed_file(w, &(recipe){.generation = 7}));
    expect_reply(w, 1, CS_OK);
    inject_shares(w, 2, sealed_file(w, &(recipe){.generation = 8}));
    expect_reply(w, 2, CS_OK);
    inject_age(w, 3);
    answer_kms(w, &(kms_answer){0});
    expect_reply(w, 3, CS_OK);
    has(w, "\"generation\":8");
}

/* what was refused while the pair was unsealed may not leave a hole in a file */
static void test_an_upload_that_is_overtaken_by_a_pair_is_refused_whole(void **state)
{
    world *w = *state;
    cs_slice file;

    credentials(w, CS_CRED_PRESENT);
    inject_shares(w, 1, sealed_file(w, &(recipe){.generation = 7}));
    expect_reply(w, 1, CS_OK);
    file = sealed_file(w, &(recipe){.generation = 8});
    upload(w, CS_RPC_SHARES_BEGIN, 2);
    give1(w, CS_LINK_SERVICE, CS_RPC_SHARES_CHUNK, 2, cs_slice_of(file.p, 100));
    inject_age(w, 3);
    expect_phase(w, CS_PHASE_UNSEALING);
    give1(w, CS_LINK_SERVICE, CS_RPC_SHARES_CHUNK, 2, cs_slice_of(file.p + 100, 100));
    answer_kms(w, &(kms_answer){0});
    expect_reply(w, 3, CS_OK);
    give1(w, CS_LINK_SERVICE, CS_RPC_SHARES_CHUNK, 2, cs_slice_of(file.p + 200, 100));
    upload(w, CS_RPC_SHARES_END, 2);
    expect_reply(w, 2, CS_E_INJECT_PHASE);
    has(w, "\"generation\":7");
    has(w, "\"stage\":\"idle\"");
}

static void test_chunks_of_no_upload_keep_nothing_alive(void **state)
{
    world *w = *state;

    inject_age(w, 1);
    expect_reply(w, 1, CS_OK);
    tick_ms(w, 59999);
    give1(w, CS_LINK_SERVICE, CS_RPC_SHARES_CHUNK, 77, cs_slice_str("stray"));
    tick_ms(w, 1);
    has(w, "INJECT_PAIR");
    has(w, "\"stage\":\"idle\"");
}

static void test_nothing_is_injected_while_files_are_unsealed(void **state)
{
    world *w = *state;

    credentials(w, CS_CRED_PRESENT);
    start_load(w, 1);
    inject_age(w, 20);
    expect_reply(w, 20, CS_E_INJECT_PHASE);
    inject_shares(w, 21, sealed_file(w, &(recipe){.generation = 9}));
    expect_reply(w, 21, CS_E_INJECT_PHASE);
    answer_kms(w, &(kms_answer){0});
    expect_reply(w, 2, CS_OK);
    has(w, "\"generation\":7");
}

static void test_a_debug_enclave_unseals_only_when_it_is_allowed_to(void **state)
{
    world *w = *state;

    memset(w->pcr, 0, sizeof w->pcr);
    world_core(w);
    credentials(w, CS_CRED_PRESENT);
    assert_int_equal(inject_both(w, &(recipe){.generation = 7}, &(kms_answer){0}), CS_E_ATT_DEBUG);
    expect_phase(w, CS_PHASE_WAITING);
    assert_int_equal(w->documents, 0);
    has(w, "\"debug\":true");
    w->config.debug_allowed = true;
    assert_int_equal(inject_both(w, &(recipe){.generation = 7}, &(kms_answer){0}), CS_OK);
    has(w, "\"debug\":true");
}

static void test_unsigned_files_load_only_when_signatures_are_not_required(void **state)
{
    world *w = *state;

    w->config.require_signed = false;
    credentials(w, CS_CRED_PRESENT);
    assert_int_equal(inject_both(w, &(recipe){.generation = 7, .unsigned_file = true}, &(kms_answer){0}), CS_OK);
    has(w, "\"publisher\":null");
}

static void test_a_module_that_fails_ends_the_load(void **state)
{
    world *w = *state;

    credentials(w, CS_CRED_PRESENT);
    w->nsm_fails = true;
    assert_int_equal(inject_both(w, &(recipe){.generation = 7}, &(kms_answer){0}), CS_E_NSM);
    expect_phase(w, CS_PHASE_WAITING);
    w->nsm_fails = false;
    assert_int_equal(inject_both(w, &(recipe){.generation = 7}, &(kms_answer){0}), CS_OK);
}

static void test_shares_that_do_not_fit_the_arena_are_refused(void **state)
{
    world *w = *state;
    static void *hoard[4096];
    size_t num = 0;

    credentials(w, CS_CRED_PRESENT);
    inject_age(w, 1);
    expect_reply(w, 1, CS_OK);
    inject_shares(w, 2, sealed_file(w, &(recipe){.generation = 7}));
    for (size_t len = (size_t)16 << 20; len >= 64; len /= 2) {
        while (num < 4096 && (hoard[num] = cs_secret_alloc(len)) != NULL) {
            num++;
        }
    }
    {
        cs_rpc_frame call = next(w, CS_LINK_KMS), f = {.type = CS_RPC_KMS_REPLY, .id = call.id};

        f.f[0].s = cs_slice_str("OK");
        f.f[3].s = cs_slice_str(KEY_ARN);
        f.f[4].s = cs_slice_str("whatever");
        assert_int_equal(give(w, CS_LINK_KMS, &f), CS_OK);
    }
    while (num > 0) {
        cs_secret_free(hoard[--num]);
    }
    expect_reply(w, 2, CS_E_SHARES_LIMIT);
    expect_phase(w, CS_PHASE_WAITING);
    assert_int_equal(inject_both(w, &(recipe){.generation = 7}, &(kms_answer){0}), CS_OK);
}

/* Every amount of memory that is left, from none to enough: one code, and everything as before. */
static void test_a_load_that_runs_out_of_memory_anywhere_ends_in_one_code(void **state)
{
    world *w = *state;
    cs_err code = CS_E_INTERNAL;
    unsigned refused = 0;

    credentials(w, CS_CRED_PRESENT);
    for (size_t left = 64; code != CS_OK && left < (size_t)16 << 20; left += left / 4 + 64) {
        void *hoard[64];
        size_t num = 0;
        void *gap;

        inject_age(w, 1);
        expect_reply(w, 1, CS_OK);
        inject_shares(w, 2, sealed_file(w, &(recipe){.generation = 7}));
        gap = cs_secret_alloc(left); /* the only room there will be */
        assert_non_null(gap);
        for (size_t len = (size_t)32 << 20; len >= 64; len /= 2) {
            while (num < 64 && (hoard[num] = cs_secret_alloc(len)) != NULL) {
                num++;
            }
        }
        cs_secret_free(gap);
        answer_kms(w, &(kms_answer){0});
        while (num > 0) {
            cs_secret_free(hoard[--num]);
        }
        code = reply_code(w, 2);
        if (code != CS_OK && code != CS_E_SHARES_LIMIT) {
            fail_msg("%zu bytes left: %s", left, cs_err_code(code));
        }
        refused += code != CS_OK;
        expect_phase(w, code == CS_OK ? CS_PHASE_SERVING : CS_PHASE_WAITING);
    }
    assert_true(code == CS_OK && refused > 10);
}

static void test_without_publishers_nothing_is_loaded(void **state)
{
    world *w = *state;

    w->config.num_publishers = 0;
    credentials(w, CS_CRED_PRESENT);
    assert_int_equal(inject_both(w, &(recipe){.generation = 7}, &(kms_answer){0}), CS_E_SHARES_SIGNATURE);
    assert_int_equal(inject_both(w, &(recipe){.generation = 7, .unsigned_file = true}, &(kms_answer){0}),
                     CS_E_SHARES_UNSIGNED);
    expect_phase(w, CS_PHASE_WAITING);
}

static void test_pieces_of_a_file_that_is_refused_do_not_flood_the_log(void **state)
{
    static char text[65536];
    world *w = *state;
    int fd[2];
    ssize_t n;
    unsigned lines = 0;

    credentials(w, CS_CRED_PRESENT);
    start_load(w, 1);
    assert_int_equal(pipe(fd), 0);
    cs_log_init("test", CS_LOG_INFO, fd[1]);
    upload(w, CS_RPC_SHARES_BEGIN, 9);
    for (unsigned i = 0; i < 50; i++) {
        give1(w, CS_LINK_SERVICE, CS_RPC_SHARES_CHUNK, 9, cs_slice_str("piece"));
    }
    upload(w, CS_RPC_SHARES_END, 9);
    cs_log_init("test", CS_LOG_ERROR, -1);
    (void)close(fd[1]);
    while ((n = read(fd[0], text, sizeof text)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            lines += text[i] == '\n';
        }
    }
    (void)close(fd[0]);
    assert_int_equal(lines, 2); /* its beginning and its end */
    expect_reply(w, 9, CS_E_INJECT_PHASE);
    has(w, "\"refused\":52");
}

/* ---------------------------------------------------------------- reload */

static void test_an_older_or_forged_file_is_refused_while_signing_goes_on(void **state)
{
    static const struct {
        recipe r;
        cs_err code;
    } rows[] = {
        {{.generation = 6}, CS_E_SHARES_GENERATION},
        {{.generation = 8, .other_publisher = true}, CS_E_SHARES_SIGNATURE},
        {{.generation = 8, .bad_body = true}, CS_E_SHARES_SIGNATURE},
        {{.generation = 8, .unsigned_file = true}, CS_E_SHARES_UNSIGNED},
        {{.generation = 8, .flip = true}, CS_E_AGE_PAYLOAD},
        {{.generation = 8, .twice = true}, CS_E_SHARES_DUPLICATE},
    };
    world *w = *state;
    client cl;
    session s;
    cs_mpc_signature sig;

    serve(w, 7);
    credentials(w, CS_CRED_PRESENT);
    assert_int_equal(client_connect(w, &cl, 0), CS_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t id = w->next_id += 10;
        ask a = {.account = 0, .tx_id = (int64_t)i};

        session_hello(w, &cl, &s, &a); /* begun before, finished in the middle of the reload */
        inject_age(w, id);
        {
            cs_rpc_frame m2 = next(w, CS_LINK_SERVICE);
            static uint8_t copy[CS_FRAME_MAX], m2_plain[CS_FRAME_MAX], m3[CS_MPC_M3_LEN];
            size_t len = m2.f[0].s.len;
            cs_mpc_verdict v;

            memcpy(copy, m2.f[0].s.p, len);
            expect_reply(w, id, CS_OK);
            inject_shares(w, id + 1, sealed_file(w, &rows[i].r));
            expect_phase(w, CS_PHASE_RELOADING);
            assert_int_equal(cs_csession_open(&s.cs, m2_plain, sizeof m2_plain, &len, cs_slice_of(copy, len)), CS_OK);
            assert_int_equal(cs_mpc_sign2_on_m2(s.sign, cs_slice_of(m2_plain + 1, len - 1), m3, &v), CS_OK);
            session_send(w, &s, CS_DATA_MSG, cs_slice_of(m3, sizeof m3));
        }
        assert_int_equal(session_m4(w, &s, &sig), CS_OK);
        session_free(&s);
        answer_kms(w, &(kms_answer){0});
        expect_reply(w, id + 1, rows[i].code);
        expect_phase(w, CS_PHASE_SERVING);
        has(w, "\"generation\":7");
    }
    assert_true(sign_once(w, &cl, &(ask){.account = 1, .tx_id = 50}));
    client_free(&cl);
}

static void test_a_reload_swaps_the_set_and_keeps_channels_whose_keys_stay(void **state)
{
    world *w = *state;
    client a, b;
    session s;

    serve(w, 7);
    assert_int_equal(client_connect(w, &a, 0), CS_OK);
    assert_int_equal(client_connect(w, &b, 1), CS_OK);
    session_hello(w, &a, &s, &(ask){.account = 0, .tx_id = 1});
    (void)session_get(w, &s, CS_DATA_MSG);
    credentials(w, CS_CRED_PRESENT);
    /* alpha goes: its live session ends, beta signs on in the same channel */
    inject_age(w, 500);
    expect_reply(w, 500, CS_OK);
    inject_shares(w, 501, sealed_file(w, &(recipe){.generation = 8, .without_alpha = true}));
    answer_kms(w, &(kms_answer){0});
    session_refused(w, &s, CS_E_ABORT_SESSION);
    expect_reply(w, 501, CS_OK);
    session_free(&s);
    has(w, "\"generation\":8");
    has(w, "\"accounts\":2");
    session_hello(w, &a, &s, &(ask){.account = 0, .tx_id = 2});
    session_refused(w, &s, CS_E_ACCOUNT_UNKNOWN);
    session_free(&s);
    assert_true(sign_once(w, &a, &(ask){.account = 1, .tx_id = 3}));
    /* the first family goes: so does its channel */
    credentials(w, CS_CRED_PRESENT);
    inject_age(w, 600);
    expect_reply(w, 600, CS_OK);
    inject_shares(w, 601,
                  sealed_file(w, &(recipe){.generation = 8, .only_second_family = true})); /* the same generation */
    (void)next(w, CS_LINK_KMS); /* CRED_WIPE of the load before */
    answer_kms(w, &(kms_answer){0});
    expect_reply(w, 601, CS_OK);
    has(w, "\"open\":1");
    session_hello(w, &a, &s, &(ask){.account = 1, .tx_id = 4});
    expect_end(w, s.stream, CS_E_CHANNEL_UNKNOWN);
    session_free(&s);
    assert_true(sign_once(w, &b, &(ask){.account = 2, .tx_id = 5}));
    client_free(&a);
    client_free(&b);
}

static uint8_t held_m3[CS_MPC_M3_LEN];

/* takes M2; M3 is made, but not sent */
static void session_m3_hold(world *w, session *s)
{
    cs_slice m2 = session_get(w, s, CS_DATA_MSG);
    cs_mpc_verdict v;

    assert_int_equal(cs_mpc_sign2_on_m2(s->sign, m2, held_m3, &v), CS_OK);
}

static void test_a_session_of_an_account_that_stays_is_finished_in_the_new_set(void **state)
{
    world *w = *state;
    cs_mpc_signature sig;
    client cl;
    session s;

    serve(w, 7);
    credentials(w, CS_CRED_PRESENT);
    assert_int_equal(client_connect(w, &cl, 0), CS_OK);
    inject_age(w, 700);
    expect_reply(w, 700, CS_OK);
    inject_shares(w, 701, sealed_file(w, &(recipe){.generation = 8}));
    session_hello(w, &cl, &s, &(ask){.account = 1, .tx_id = 1});
    session_m3_hold(w, &s);
    answer_kms(w, &(kms_answer){0}); /* the set that the session began with is gone */
    expect_reply(w, 701, CS_OK);
    has(w, "\"generation\":8");
    session_send(w, &s, CS_DATA_MSG, cs_slice_of(held_m3, sizeof held_m3));
    assert_int_equal(session_m4(w, &s, &sig), CS_OK);
    session_free(&s);
    client_free(&cl);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_files_and_credentials_may_come_in_any_order),
        T(test_the_document_of_the_call_holds_the_rsa_key_and_is_fresh),
        T(test_each_fault_of_a_load_has_its_code_and_core_waits_on),
        T(test_the_type_that_kms_gave_reaches_the_injector_cleaned),
        T(test_credentials_are_waited_for_then_refused),
        T(test_a_kms_that_does_not_answer_ends_the_load_and_a_late_answer_is_nobodys),
        T(test_the_end_of_sign_kms_ends_the_load_but_not_core),
        T(test_a_half_pair_is_forgotten_after_a_minute),
        T(test_a_second_file_that_is_slow_is_waited_for_while_it_flows),
        T(test_an_upload_that_stops_is_forgotten_after_a_minute),
        T(test_files_of_the_wrong_size_are_refused),
        T(test_files_of_exactly_the_largest_size_are_taken),
        T(test_an_upload_that_breaks_off_leaves_the_file_that_was_there),
        T(test_a_whole_file_takes_the_place_of_the_one_before),
        T(test_an_upload_that_is_overtaken_by_a_pair_is_refused_whole),
        T(test_chunks_of_no_upload_keep_nothing_alive),
        T(test_nothing_is_injected_while_files_are_unsealed),
        T(test_a_debug_enclave_unseals_only_when_it_is_allowed_to),
        T(test_unsigned_files_load_only_when_signatures_are_not_required),
        T(test_a_module_that_fails_ends_the_load),
        T(test_shares_that_do_not_fit_the_arena_are_refused),
        T(test_a_load_that_runs_out_of_memory_anywhere_ends_in_one_code),
        T(test_without_publishers_nothing_is_loaded),
        T(test_pieces_of_a_file_that_is_refused_do_not_flood_the_log),
        T(test_an_older_or_forged_file_is_refused_while_signing_goes_on),
        T(test_a_session_of_an_account_that_stays_is_finished_in_the_new_set),
        T(test_a_reload_swaps_the_set_and_keeps_channels_whose_keys_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
