/* Sealing roots and callers of share sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "rpc/tee_rpc.h"
#include "secret/noise.h"
#include "secret/share/share.h"

static const cs_share_policy lax = {.allow_unsigned = true, .grant_of = cs_tee_grant_of};
static const uint8_t roots[3][32] = {{1}, {2}, {3}};
static uint8_t x25519[32];

static int start(void **state)
{
    static const uint8_t secret[32] = {77};
    cs_x25519_base(x25519, secret);
    return cs_arena_init((size_t)64 << 20, false) == CS_OK ? 0 : -1;
}

static cs_sharefile_caller caller_of(const char *id, uint8_t seed)
{
    cs_sharefile_caller c = {.id = cs_slice_str(id), .rate = 5, .burst = 9};
    const uint8_t seed32[32] = {seed, 1};
    cs_publisher_public(c.ed25519, seed32);
    memcpy(c.x25519, x25519, 32);
    c.operation[c.num_operations++] = cs_slice_str("Sign");
    c.operation[c.num_operations++] = cs_slice_str("Approve");
    c.record[c.num_records++] = cs_slice_str("wallet-*");
    c.record[c.num_records++] = cs_slice_str("lone");
    return c;
}

/* an unsigned file: header and body */
static cs_err load_body(cs_share_set **out, cs_slice body, const cs_share_policy *policy)
{
    uint8_t hash[32];
    cs_buf file = cs_buf_heap(1 << 23);
    cs_share_loader *l = NULL;

    cs_noise_sha256.digest(hash, &body, 1);
    assert_int_equal(cs_sharefile_header_put(&file, 7, NULL, hash), CS_OK);
    assert_int_equal(cs_sharefile_header_end(&file, NULL), CS_OK);
    assert_int_equal(cs_put_slice(&file, body), CS_OK);
    cs_err err = cs_share_loader_new(&l, policy);
    err = err == CS_OK ? cs_share_loader_check(l, cs_buf_slice(&file)) : err;
    err = err == CS_OK ? cs_share_loader_checked(l) : err;
    err = err == CS_OK ? cs_share_loader_build(l, cs_buf_slice(&file)) : err;
    err = err == CS_OK ? cs_share_loader_take(out, l) : err;
    cs_share_loader_free(l);
    cs_buf_free(&file);
    return err;
}

typedef struct made {
    const uint8_t (*root)[32];
    size_t num_roots;
    const cs_sharefile_caller *caller;
    size_t num_callers;
} made;

static cs_err load(cs_share_set **out, const made *m, const cs_share_policy *policy)
{
    static uint8_t mem[1 << 22];
    cs_buf body = cs_buf_wrap(mem, sizeof mem);
    cs_sharefile_writer w = cs_sharefile_write(&body);

    *out = NULL;
    assert_int_equal(cs_sharefile_put_sealing(&w, m->root, m->num_roots), CS_OK);
    for (size_t i = 0; i < m->num_callers; i++) {
        assert_int_equal(cs_sharefile_put_caller(&w, &m->caller[i]), CS_OK);
    }
    assert_int_equal(cs_sharefile_put_end(&w), CS_OK);
    return load_body(out, cs_buf_slice(&body), policy);
}

/* what a file with these callers comes to; nothing is left in the arena */
static cs_err outcome(const cs_sharefile_caller *c, size_t num, const cs_share_policy *policy)
{
    cs_share_set *s = NULL;
    const size_t used = cs_arena_used();
    cs_err err = load(&s, &(made){roots, 1, c, num}, policy);

    assert_true((s != NULL) == (err == CS_OK));
    cs_share_free(s);
    assert_int_equal(cs_arena_used(), used);
    return err;
}

/* SHA-256("countersign-root-1" || 01 00...00) begins with these bytes, by Python's hashlib */
static void roots_keep_their_order(void **state)
{
    static const uint8_t id0[4] = {0xd0, 0xb1, 0x62, 0xd0};
    cs_share_set *s = NULL;
    assert_int_equal(load(&s, &(made){roots, 3, NULL, 0}, &lax), CS_OK);
    const cs_seal_roots got = cs_share_roots(s);
    assert_int_equal(got.num, 3);
    assert_int_equal(cs_share_count(s), 0);
    assert_memory_equal(got.root[0].id, id0, 4);
    for (size_t i = 0; i < 3; i++) {
        assert_memory_equal(got.root[i].secret.b, roots[i], 32);
    }
    assert_null(cs_share_caller(s, cs_slice_str("app")));
    assert_null(cs_share_caller_at(s, 0));
    cs_share_free(s);
}

static void roots_that_are_the_same_are_refused(void **state)
{
    static const uint8_t twice[3][32] = {{1}, {2}, {1}};
    cs_share_set *s = NULL;
    const size_t used = cs_arena_used();
    assert_int_equal(load(&s, &(made){twice, 3, NULL, 0}, &lax), CS_E_SHARES_DUPLICATE);
    assert_null(s);
    assert_int_equal(cs_arena_used(), used);
}

static void callers_have_what_the_file_gives_them(void **state)
{
    cs_sharefile_caller c[2] = {caller_of("app-1", 1), caller_of("app-2", 2)};
    cs_share_set *s = NULL;
    c[1].num_operations = c[1].num_records = 0;
    c[1].rate = c[1].burst = 0;
    assert_int_equal(load(&s, &(made){roots, 1, c, 2}, &lax), CS_OK);
    const cs_caller *a = cs_share_caller(s, cs_slice_str("app-1")), *b = cs_share_caller(s, cs_slice_str("app-2"));
    assert_true(a != NULL && b != NULL && a->index == 0 && b->index == 1);
    assert_true(cs_share_caller_at(s, 0) == a && cs_share_caller_at(s, 1) == b && cs_share_caller_at(s, 2) == NULL);
    assert_null(cs_share_caller(s, cs_slice_str("app-3")));
    assert_null(cs_share_caller(s, cs_slice_str("app-")));
    assert_null(cs_share_caller(s, CS_SLICE_NULL));
    assert_true(cs_slice_eq_str(a->id, "app-1") && a->rate == 5 && a->burst == 9 && b->rate == 0 && b->burst == 0);
    assert_memory_equal(a->ed25519, c[0].ed25519, 32);
    assert_memory_equal(a->x25519, x25519, 32);
    for (unsigned op = 0; op < 40; op++) {
        assert_int_equal(cs_caller_may(a, op), op == CS_TEE_SIGN || op == CS_TEE_APPROVE);
        assert_false(cs_caller_may(b, op));
    }
    static const char *const yes[] = {"wallet-", "wallet-1", "wallet-*", "lone"};
    static const char *const no[] = {"wallet", "Wallet-1", "lone1", "lon", "", "x"};
    for (size_t i = 0; i < 4; i++) {
        assert_true(cs_caller_record(a, cs_slice_str(yes[i])));
        assert_false(cs_caller_record(b, cs_slice_str(yes[i])));
    }
    for (size_t i = 0; i < 6; i++) {
        assert_false(cs_caller_record(a, cs_slice_str(no[i])));
    }
    cs_share_free(s);
}

static void callers_that_are_the_same_are_refused(void **state)
{
    cs_sharefile_caller c[2] = {caller_of("app-1", 1), caller_of("app-2", 2)};
    assert_int_equal(outcome(c, 2, &lax), CS_OK);
    c[1].id = cs_slice_str("app-1");
    assert_int_equal(outcome(c, 2, &lax), CS_E_SHARES_DUPLICATE);
    c[1] = caller_of("app-2", 1); /* one key under two names */
    assert_int_equal(outcome(c, 2, &lax), CS_E_SHARES_DUPLICATE);
}

static void operations_come_from_the_table_that_is_given(void **state)
{
    static const char *const names[] = {"Sign",      "Decrypt", "Seal",   "Unseal", "Generate", "Import",
                                        "PublicKey", "Rotate",  "Attest", "Stats",  "Approve"};
    static const char *const bad[] = {"sign", "Signs", "Sig", "approve", "Delete"};
    cs_sharefile_caller c = caller_of("app-1", 1);
    cs_share_policy deaf = {.allow_unsigned = true};
    for (size_t i = 0; i < 11; i++) {
        c.operation[1] = cs_slice_str(names[i]);
        c.num_operations = 2;
        c.operation[0] = cs_slice_str(i == 0 ? names[1] : names[0]);
        assert_int_equal(outcome(&c, 1, &lax), CS_OK);
    }
    for (size_t i = 0; i < 5; i++) {
        c.operation[1] = cs_slice_str(bad[i]);
        assert_int_equal(outcome(&c, 1, &lax), CS_E_SHARES_ACCOUNT);
    }
    c.num_operations = 1;
    assert_int_equal(outcome(&c, 1, &deaf), CS_E_SHARES_ACCOUNT);
    c.num_operations = 0;
    assert_int_equal(outcome(&c, 1, &deaf), CS_E_SHARES_ACCOUNT);
    assert_int_equal(outcome(&c, 0, &deaf), CS_OK);
}

static void weak_keys_are_refused(void **state)
{
    /* Ed25519: the neutral point, a point of order 2, of order 8, y = p + 1, no point, a point plus one of order 8 */
    static const char *const ed[] = {
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0200000000000000000000000000000000000000000000000000000000000000",
        "da99e28ba529cdde35a25fba9059e78ecaee239f99755b9b1aa4f65df00803e2",
    };
    static const char *const x[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    for (size_t i = 0; i < sizeof ed / sizeof *ed; i++) {
        cs_sharefile_caller c = caller_of("app-1", 1);
        assert_int_equal(cs_hex_decode(c.ed25519, 32, cs_slice_str(ed[i])), CS_OK);
        assert_int_equal(outcome(&c, 1, &lax), CS_E_SHARES_ACCOUNT);
    }
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        cs_sharefile_caller c = caller_of("app-1", 1);
        assert_int_equal(cs_hex_decode(c.x25519, 32, cs_slice_str(x[i])), CS_OK);
        assert_int_equal(outcome(&c, 1, &lax), CS_E_SHARES_ACCOUNT);
    }
}

static void every_caller_of_a_full_file_is_found(void **state)
{
    static cs_sharefile_caller c[CS_SHAREFILE_MAX_CALLERS];
    static char id[CS_SHAREFILE_MAX_CALLERS][16];
    cs_share_set *s = NULL;
    for (unsigned i = 0; i < CS_SHAREFILE_MAX_CALLERS; i++) {
        const uint8_t seed32[32] = {(uint8_t)i, (uint8_t)(i >> 8), 5};
        (void)snprintf(id[i], sizeof id[i], "app-%u", i);
        c[i] = caller_of(id[i], 1);
        cs_publisher_public(c[i].ed25519, seed32);
    }
    assert_int_equal(load(&s, &(made){roots, 1, c, CS_SHAREFILE_MAX_CALLERS}, &lax), CS_OK);
    assert_int_equal(cs_share_num_callers(s), CS_SHAREFILE_MAX_CALLERS);
    for (unsigned i = 0; i < CS_SHAREFILE_MAX_CALLERS; i++) {
        const cs_caller *got = cs_share_caller(s, cs_slice_str(id[i]));
        assert_true(got != NULL && got->index == i && cs_share_caller_at(s, i) == got);
        assert_memory_equal(got->ed25519, c[i].ed25519, 32);
    }
    cs_share_free(s);
}

static void a_set_lives_as_long_as_it_is_held(void **state)
{
    const cs_sharefile_caller c = caller_of("app-1", 1);
    const size_t used = cs_arena_used();
    cs_share_set *s = NULL;
    assert_int_equal(load(&s, &(made){roots, 1, &c, 1}, &lax), CS_OK);
    const cs_caller *a = cs_share_caller(s, c.id);
    cs_share_set *held = cs_share_hold(s);
    assert_ptr_equal(held, s);
    cs_share_free(s); /* a reload took another one */
    assert_true(cs_slice_eq_str(a->id, "app-1"));
    assert_memory_equal(cs_share_roots(held).root[0].secret.b, roots[0], 32);
    assert_int_not_equal(cs_arena_used(), used);
    cs_share_free(held);
    assert_int_equal(cs_arena_used(), used);
}

static void a_full_arena_leaves_nothing_behind(void **state)
{
    const cs_sharefile_caller c = caller_of("app-1", 1);
    for (unsigned nth = 1;; nth++) {
        cs_share_set *s = NULL;
        const size_t used = cs_arena_used();
        (void)cs_secret_fail_for_tests(nth);
        cs_err err = load(&s, &(made){roots, 1, &c, 1}, &lax);
        if (cs_secret_fail_for_tests(0) != 0) {
            assert_int_equal(err, CS_OK);
            assert_true(nth > 4);
            cs_share_free(s);
            return;
        }
        assert_int_equal(err, CS_E_SHARES_LIMIT);
        assert_int_equal(cs_arena_used(), used);
    }
}

static void callers_alone_are_no_file(void **state)
{
    cs_share_set *s = NULL;
    static const char empty[] = "{\"countersign/parties\":[]}";
    assert_int_equal(load_body(&s, cs_slice_str(empty), &lax), CS_E_SHARES_FORMAT);
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_keep_their_order),
        cmocka_unit_test(roots_that_are_the_same_are_refused),
        cmocka_unit_test(callers_have_what_the_file_gives_them),
        cmocka_unit_test(callers_that_are_the_same_are_refused),
        cmocka_unit_test(operations_come_from_the_table_that_is_given),
        cmocka_unit_test(weak_keys_are_refused),
        cmocka_unit_test(every_caller_of_a_full_file_is_found),
        cmocka_unit_test(a_set_lives_as_long_as_it_is_held),
        cmocka_unit_test(a_full_arena_leaves_nothing_behind),
        cmocka_unit_test(callers_alone_are_no_file),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
