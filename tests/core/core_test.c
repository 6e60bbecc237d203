/* The pipeline itself: phases, the table of operations, frames that end the link, attestation, status, stopping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/pipeline/request.h"
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

static void test_phases_have_these_edges_and_no_other(void **state)
{
    static const char *const edges[] = {"WAITING UNSEALING", "UNSEALING WAITING", "UNSEALING SERVING",
                                        "SERVING RELOADING", "RELOADING SERVING", "WAITING STOPPED",
                                        "UNSEALING STOPPED", "SERVING STOPPED",   "RELOADING STOPPED"};
    size_t num = 0;

    for (unsigned a = 0; a < CS_NUM_PHASES; a++) {
        for (unsigned b = 0; b < CS_NUM_PHASES; b++) {
            char name[64];
            cs_buf t = cs_buf_wrap(name, sizeof name - 1);
            bool listed = false;

            assert_int_equal(cs_put_fmt(&t, "%s %s", cs_phase_name((cs_phase)a), cs_phase_name((cs_phase)b)), CS_OK);
            name[t.len] = '\0';
            for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
                listed |= strcmp(edges[i], name) == 0;
            }
            assert_int_equal(cs_phase_edge((cs_phase)a, (cs_phase)b), listed);
            num += listed;
        }
    }
    assert_int_equal(num, sizeof edges / sizeof edges[0]);
}

/* A frame of each operation that passes the size checks. */
static cs_rpc_frame frame_of(cs_op op)
{
    cs_rpc_frame f = {.type = cs_op_table[op].type, .id = 40 + op};

    if (op == CS_OP_ATTEST) {
        f.f[0].s = cs_slice_str("0123456789abcdef");
    } else if (op == CS_OP_INJECT_AGE || op == CS_OP_UNBAN || op == CS_OP_SHARES_CHUNK) {
        f.f[0].s = cs_slice_str("x");
    }
    return f;
}

static void bring_to(world *w, cs_phase p)
{
    world_core(w);
    if (p == CS_PHASE_SERVING || p == CS_PHASE_RELOADING) {
        serve(w, 7);
    }
    if (p == CS_PHASE_UNSEALING || p == CS_PHASE_RELOADING) {
        credentials(w, CS_CRED_PRESENT);
        inject_age(w, 1);
        inject_shares(w, 2, sealed_file(w, &(recipe){.generation = 7}));
        (void)next(w, CS_LINK_SERVICE);
        (void)next(w, CS_LINK_KMS);
    }
    if (p == CS_PHASE_STOPPED) {
        cs_core_stop(w->core);
    }
    assert_int_equal(cs_core_phase(w->core), p);
}

static void test_each_operation_is_refused_in_the_phases_it_has_no_place_in(void **state)
{
    /* rows: WAITING UNSEALING SERVING RELOADING STOPPED; "+" allowed */
    static const char *const table[CS_NUM_OPS] = {
        [CS_OP_PARTY_OPEN] = "--++-",    [CS_OP_PARTY_DATA] = "--++-",   [CS_OP_PARTY_CLOSE] = "++++-",
        [CS_OP_ATTEST] = "++++-",        [CS_OP_STATUS] = "+++++",       [CS_OP_INJECT_AGE] = "+-+--",
        [CS_OP_SHARES_BEGIN] = "+-+--",  [CS_OP_SHARES_CHUNK] = "+-+--", [CS_OP_SHARES_END] = "+-+--",
        [CS_OP_SHARES_CANCEL] = "++++-", [CS_OP_UNBAN] = "--++-",        [CS_OP_KMS_REPLY] = "-+++-",
        [CS_OP_CRED_STATE] = "++++-",    [CS_OP_PARTY_ROOM] = "--++-",   [CS_OP_SIGN_WAIT] = "--++-",
        [CS_OP_SIGN_CANCEL] = "++++-",   [CS_OP_TEE_CALL] = "--++-",     [CS_OP_TEE_ENTRIES] = "++++-",
    };
    world *w = *state;

    for (unsigned p = 0; p < CS_NUM_PHASES; p++) {
        for (unsigned op = 0; op < CS_NUM_OPS; op++) {
            const cs_op_row *row = &cs_op_table[op];
            cs_rpc_frame f = frame_of((cs_op)op), answer;

            assert_int_equal((row->phases >> p & 1) != 0, table[op][p] == '+');
            if (table[op][p] == '+') {
                continue;
            }
            bring_to(w, (cs_phase)p);
            assert_int_equal(give(w, row->link, &f), CS_OK);
            assert_int_equal(cs_core_phase(w->core), p);
            if ((unsigned)row->answer == 0) {
                assert_true(none(w, CS_LINK_SERVICE));
                continue;
            }
            answer = next(w, CS_LINK_SERVICE);
            assert_int_equal(answer.type, row->answer);
            assert_int_equal(answer.id, f.id);
            if (answer.type == CS_RPC_TEE_REPLY) { /* its field is a message of its own */
                cs_tee_reply reply;

                assert_int_equal(cs_tee_reply_decode(&reply, answer.f[0].s), CS_OK);
                answer.f[0].s = reply.code;
            }
            assert_true(cs_slice_eq_str(answer.f[0].s, cs_err_code(row->refusal)));
        }
    }
}

static void test_a_frame_of_the_wrong_link_or_of_no_kind_ends_the_link(void **state)
{
    world *w = *state;
    cs_rpc_frame reply = {.type = CS_RPC_KMS_REPLY}, open = {.type = CS_RPC_PARTY_OPEN},
                 send = {.type = CS_RPC_PARTY_SEND};
    static uint8_t big[CS_RPC_MAX + 1];

    assert_int_equal(give(w, CS_LINK_SERVICE, &reply), CS_E_FORMAT);
    assert_int_equal(give(w, CS_LINK_KMS, &open), CS_E_FORMAT);
    assert_int_equal(give(w, CS_LINK_SERVICE, &send), CS_E_FORMAT);
    assert_int_equal(cs_core_frame(w->core, CS_LINK_SERVICE, CS_SLICE_NULL), CS_E_FORMAT);
    assert_int_equal(cs_core_frame(w->core, CS_LINK_SERVICE, cs_slice_str("junk")), CS_E_FORMAT);
    assert_int_equal(cs_core_frame(w->core, CS_LINK_SERVICE, cs_slice_of(big, sizeof big)), CS_E_TOO_LARGE);
    assert_true(none(w, CS_LINK_SERVICE));
}

static cs_rpc_frame attest(world *w, size_t nonce_len, const char *account)
{
    static uint8_t nonce[600];
    cs_rpc_frame f = {.type = CS_RPC_ATTEST, .id = 3};

    memset(nonce, 0x42, sizeof nonce);
    f.f[0].s = cs_slice_of(nonce, nonce_len);
    f.f[1].s = cs_slice_str(account);
    assert_int_equal(give(w, CS_LINK_SERVICE, &f), CS_OK);
    f = next(w, CS_LINK_SERVICE);
    assert_string_equal(cs_rpc_name(f.type), "ATTEST_REPLY");
    assert_int_equal(f.id, 3);
    return f;
}

/* Core answers before it has a key for a load; the key is made when nothing else is to be done, once. */
static void test_the_key_of_the_first_load_is_made_while_core_waits(void **state)
{
    world *w = *state;

    assert_int_equal(cs_core_phase(w->core), CS_PHASE_WAITING);
    assert_int_equal(cs_core_wait_ms(w->core), 100);
    tick_ms(w, 99);
    assert_int_equal(cs_core_wait_ms(w->core), 1);
    tick_ms(w, 1);
    assert_int_equal(cs_core_wait_ms(w->core), 60000);
    (void)attest(w, 16, "");
    assert_true(w->spki_len > 256);
}

static void test_the_document_vouches_for_the_key_of_the_accounts_parties(void **state)
{
    world *w = *state;
    cs_rpc_frame f = attest(w, 16, "");

    assert_true(cs_slice_eq_str(f.f[0].s, "OK"));
    assert_true(cs_slice_eq_str(f.f[1].s, "document 1"));
    assert_true(w->spki_len > 256); /* the RSA key, while it exists */
    assert_int_equal(w->nonce_len, 16);
    assert_true(cs_slice_eq_str(attest(w, 16, "alpha").f[0].s, "NOT_SERVING"));
    serve(w, 7);
    assert_true(cs_slice_eq_str(attest(w, 512, "alpha").f[0].s, "OK"));
    assert_int_equal(w->spki_len, 32);
    assert_memory_equal(w->spki, w->enclave_pub[0], 32);
    assert_int_equal(w->nonce_len, 512);
    assert_true(cs_slice_eq_str(attest(w, 16, "gamma").f[0].s, "OK"));
    assert_memory_equal(w->spki, w->enclave_pub[1], 32);
    assert_true(cs_slice_eq_str(attest(w, 16, "").f[0].s, "OK"));
    assert_int_equal(w->spki_len, 0); /* the load is over: the key is gone */
    assert_true(cs_slice_eq_str(attest(w, 16, "nobody").f[0].s, "ACCOUNT_UNKNOWN"));
    assert_true(cs_slice_eq_str(attest(w, 16, "a/b").f[0].s, "FORMAT"));
    assert_true(cs_slice_eq_str(attest(w, 15, "alpha").f[0].s, "RANGE"));
    f = attest(w, 513, "alpha");
    assert_true(cs_slice_eq_str(f.f[0].s, "RANGE"));
    assert_int_equal(f.f[1].s.len, 0);
    w->nsm_fails = true;
    assert_true(cs_slice_eq_str(attest(w, 16, "alpha").f[0].s, "NSM"));
}

static void test_status_says_what_it_must_and_no_secret(void **state)
{
    world *w = *state;
    char hex[65];

    has(w, "\"phase\":\"WAITING\"");
    has(w, "\"generation\":0");
    serve(w, 7);
    has(w, "\"phase\":\"SERVING\"");
    has(w, "\"emulated\":true");
    has(w, "\"debug\":false");
    has(w, "\"memory\":{\"locked\":");
    has(w, "\"pcrs\":{\"0\":\"a5a5");
    has(w, "\"boot\":\"");
    has(w, "\"version\":\"");
    has(w, "\"last\":\"OK\"");
    for (unsigned i = 0; i < 32; i++) {
        static const char digits[] = "0123456789abcdef";

        hex[2 * i] = digits[w->enclave_key[0][i] >> 4];
        hex[2 * i + 1] = digits[w->enclave_key[0][i] & 15];
    }
    hex[64] = '\0';
    assert_null(strstr(status(w), hex));
}

static void test_stopping_ends_the_streams_and_leaves_nothing_in_the_arena(void **state)
{
    world *w = *state;
    client cl;
    session s;
    size_t before, after;

    serve(w, 7);
    assert_int_equal(client_connect(w, &cl, 0), CS_OK);
    session_hello(w, &cl, &s, &(ask){.account = 0, .tx_id = 1});
    (void)session_get(w, &s, CS_DATA_MSG);
    session_free(&s);
    client_free(&cl);
    before = cs_arena_used();
    cs_core_stop(w->core);
    expect_end(w, w->next_id, CS_E_CLOSED);
    assert_int_equal(cs_core_phase(w->core), CS_PHASE_STOPPED);
    after = cs_arena_used();
    assert_true(after < before);
    has(w, "\"phase\":\"STOPPED\"");
    has(w, "\"streams\":0");
    cs_core_stop(w->core); /* twice is fine */
    cs_core_free(w->core);
    w->core = NULL;
    /* the world's own keys, and its two cs_mpc_peer */
    assert_true(cs_arena_used() <= after);
}

static void test_a_core_without_a_module_does_not_start(void **state)
{
    world *w = *state;
    cs_core_args args = {.config = &w->config, .nsm = &w->nsm, .io = {w, NULL}};
    cs_core *core = NULL;
    size_t used = cs_arena_used();

    w->nsm_fails = true;
    assert_int_equal(cs_core_new(&core, &args), CS_E_NSM);
    assert_null(core);
    assert_int_equal(cs_arena_used(), used);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_phases_have_these_edges_and_no_other),
        T(test_each_operation_is_refused_in_the_phases_it_has_no_place_in),
        T(test_a_frame_of_the_wrong_link_or_of_no_kind_ends_the_link),
        T(test_the_key_of_the_first_load_is_made_while_core_waits),
        T(test_the_document_vouches_for_the_key_of_the_accounts_parties),
        T(test_status_says_what_it_must_and_no_secret),
        T(test_stopping_ends_the_streams_and_leaves_nothing_in_the_arena),
        T(test_a_core_without_a_module_does_not_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
