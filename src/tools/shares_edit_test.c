/* Share files with other sealing roots and callers, on files of the dealer; and files with callers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "party/deal.h"
#include "rpc/tee_rpc.h"
#include "secret/noise.h"
#include "secret/share/share.h"
#include "tools/caller_file.h"
#include "tools/shares_edit.h"

static const cs_share_policy lax = {.allow_unsigned = true, .grant_of = cs_tee_grant_of};
static uint8_t x25519[32];

static int start(void **state)
{
    static const uint8_t secret[32] = {3};
    cs_x25519_base(x25519, secret);
    return cs_arena_init((size_t)128 << 20, false) == CS_OK ? 0 : -1;
}

static cs_sharefile_caller caller_of(const char *id, uint8_t seed, const char *operation)
{
    cs_sharefile_caller c = {.id = cs_slice_str(id), .num_operations = 1, .num_records = 1};
    const uint8_t seed32[32] = {seed, 1};
    cs_publisher_public(c.ed25519, seed32);
    memcpy(c.x25519, x25519, 32);
    c.operation[0] = cs_slice_str(operation);
    c.record[0] = cs_slice_str("*");
    return c;
}

static cs_deal *deal(unsigned accounts, const cs_deal_tee *tee, cs_slice file[2])
{
    cs_deal *d = NULL;
    uint8_t pk[33];
    assert_int_equal(cs_deal_new_tee(&d, accounts, tee), CS_OK);
    for (unsigned i = 0; i < accounts; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "account-%u", i + 1);
        assert_int_equal(cs_deal_add(d, cs_slice_str(id), NULL, pk), CS_OK);
    }
    assert_int_equal(cs_deal_finish(d, 7, NULL, &file[0], &file[1]), CS_OK);
    return d;
}

static cs_slice body_of(cs_slice file)
{
    cs_sharefile_header h;
    assert_int_equal(cs_sharefile_header_parse(&h, file), CS_OK);
    return h.body;
}

/* the set of the edited file; NULL when it is refused, by whom it may be */
static cs_err edited(cs_share_set **out, cs_slice body, const cs_shares_edit *e)
{
    cs_buf text = {0};
    cs_slice file;
    *out = NULL;
    cs_err err = cs_shares_edit_apply(&text, NULL, body, e);
    assert_true((text.p != NULL) == (err == CS_OK));
    if (err == CS_OK) {
        assert_int_equal(cs_deal_sign(&file, &text, 8, NULL), CS_OK);
        err = cs_share_load(out, file, &lax, NULL);
    }
    cs_secret_buf_free(&text);
    return err;
}

static void the_dealer_gives_roots_and_callers_to_the_service_alone(void **state)
{
    const cs_sharefile_caller c[2] = {caller_of("a", 1, "Sign"), caller_of("b", 2, "Approve")};
    cs_slice file[2];
    cs_share_set *s = NULL;
    cs_deal *d = deal(2, &(cs_deal_tee){true, c, 2}, file);
    assert_int_equal(cs_share_load(&s, file[1], &lax, NULL), CS_OK);
    assert_int_equal(cs_share_count(s), 2);
    assert_int_equal(cs_share_num_callers(s), 2);
    assert_int_equal(cs_share_roots(s).num, 1);
    assert_memory_equal(cs_share_roots(s).root[0].id, cs_deal_root_id(d), 4);
    cs_share_free(s);
    assert_int_equal(cs_share_load(&s, file[0], &(cs_share_policy){.allow_unsigned = true}, NULL), CS_OK);
    assert_true(cs_share_roots(s).num == 0 && cs_share_num_callers(s) == 0);
    cs_share_free(s);
    cs_deal_free(d);
    d = deal(1, &(cs_deal_tee){0}, file);
    assert_null(cs_deal_root_id(d));
    cs_deal_free(d);
    const cs_sharefile_caller twice[2] = {caller_of("a", 1, "Sign"), caller_of("b", 1, "Sign")};
    uint8_t pk[33];
    assert_int_equal(cs_deal_new_tee(&d, 1, &(cs_deal_tee){true, twice, 2}), CS_OK);
    assert_int_equal(cs_deal_add(d, cs_slice_str("x"), NULL, pk), CS_OK);
    assert_int_equal(cs_deal_finish(d, 1, NULL, &file[0], &file[1]), CS_E_SHARES_DUPLICATE);
    cs_deal_free(d);
}

static void an_edit_changes_what_it_names_and_nothing_else(void **state)
{
    const cs_sharefile_caller c[3] = {caller_of("a", 1, "Sign"), caller_of("b", 2, "Seal"), caller_of("c", 3, "Stats")};
    const cs_sharefile_caller next[2] = {caller_of("d", 4, "Import"), caller_of("b", 5, "Rotate")};
    const cs_slice removed[1] = {cs_slice_str("a")};
    cs_slice file[2];
    cs_share_set *s = NULL, *t = NULL;
    const size_t used = cs_arena_used();
    cs_deal *d = deal(3, &(cs_deal_tee){true, c, 3}, file);
    assert_int_equal(cs_share_load(&s, file[1], &lax, NULL), CS_OK);
    assert_int_equal(
        edited(
            &t, body_of(file[1]),
            &(cs_shares_edit){
                .add_root = true, .caller = next, .num_caller = 2, .remove_caller = removed, .num_remove_caller = 1}),
        CS_OK);
    assert_int_equal(cs_share_roots(t).num, 2);
    assert_memory_equal(&cs_share_roots(t).root[1], &cs_share_roots(s).root[0], sizeof(cs_seal_root));
    assert_memory_not_equal(cs_share_roots(t).root[0].secret.b, cs_share_roots(t).root[1].secret.b, 32);
    assert_int_equal(cs_share_num_callers(t), 3); /* b, c, d */
    assert_null(cs_share_caller(t, removed[0]));
    const cs_caller *b = cs_share_caller(t, cs_slice_str("b"));
    assert_true(b != NULL && b->index == 0 && cs_caller_may(b, CS_TEE_ROTATE) && !cs_caller_may(b, CS_TEE_SEAL));
    assert_memory_equal(b->ed25519, next[1].ed25519, 32);
    assert_int_equal(cs_share_caller(t, cs_slice_str("c"))->index, 1);
    assert_int_equal(cs_share_caller(t, cs_slice_str("d"))->index, 2);
    assert_int_equal(cs_share_count(t), 3);
    for (unsigned k = 1; k <= 3; k++) {
        char id[32];
        (void)snprintf(id, sizeof id, "account-%u", k);
        const cs_mpc_key *was = cs_share_find(s, cs_slice_str(id)), *is = cs_share_find(t, cs_slice_str(id));
        assert_memory_equal(&was->s, &is->s, sizeof was->s);
        assert_memory_equal(was->kid32, is->kid32, 32);
        assert_memory_equal(was->zero1.b, is->zero1.b, 32);
    }
    cs_share_free(t);
    cs_share_free(s);
    cs_deal_free(d);
    assert_int_equal(cs_arena_used(), used);
}

static void what_is_to_go_must_be_there(void **state)
{
    const cs_sharefile_caller c[1] = {caller_of("a", 1, "Sign")};
    const cs_slice gone[1] = {cs_slice_str("b")};
    static const uint8_t none[1][4] = {{0}};
    cs_slice file[2];
    cs_share_set *t = NULL;
    cs_sharefile_fault fault = {0};
    cs_buf text = {0};
    cs_deal *d = deal(1, &(cs_deal_tee){true, c, 1}, file);
    assert_int_equal(edited(&t, body_of(file[1]), &(cs_shares_edit){.remove_caller = gone, .num_remove_caller = 1}),
                     CS_E_NOT_FOUND);
    assert_int_equal(edited(&t, body_of(file[1]), &(cs_shares_edit){.remove_root = none, .num_remove_root = 1}),
                     CS_E_NOT_FOUND);
    assert_int_equal(cs_shares_edit_apply(&text, &fault, body_of(file[1]),
                                          &(cs_shares_edit){.remove_root = none, .num_remove_root = 1}),
                     CS_E_NOT_FOUND);
    assert_non_null(strstr(fault.what, "sealing root"));
    uint8_t id[1][4];
    memcpy(id[0], cs_deal_root_id(d), 4);
    const cs_shares_edit without = {.remove_root = (const uint8_t(*)[4])id, .num_remove_root = 1};
    assert_int_equal(edited(&t, body_of(file[1]), &without), CS_OK);
    assert_int_equal(cs_share_roots(t).num, 0);
    cs_share_free(t);
    cs_deal_free(d);
}

static void a_new_file_has_a_root_and_no_accounts(void **state)
{
    const cs_sharefile_caller c[1] = {caller_of("a", 1, "Sign")};
    cs_share_set *t = NULL;
    assert_int_equal(edited(&t, CS_SLICE_NULL, &(cs_shares_edit){.add_root = true, .caller = c, .num_caller = 1}),
                     CS_OK);
    assert_true(cs_share_count(t) == 0 && cs_share_num_callers(t) == 1 && cs_share_roots(t).num == 1);
    cs_share_free(t);
    assert_int_equal(edited(&t, CS_SLICE_NULL, &(cs_shares_edit){0}), CS_E_RANGE);
    assert_int_equal(edited(&t, CS_SLICE_NULL, &(cs_shares_edit){.caller = c, .num_caller = 1}), CS_E_RANGE);
}

/* several enclaves: all can open with the new root before the first seals with it */
static void a_root_comes_last_and_goes_first_later(void **state)
{
    cs_buf text[3] = {0};
    cs_slice file[3], body = CS_SLICE_NULL;
    cs_share_set *s[3] = {0};
    uint8_t id[4] = {0};
    cs_shares_edit e[3] = {{.add_root = true}, {.add_root_last = true}, {.first_root = id}};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(cs_shares_edit_apply(&text[i], NULL, body, &e[i]), CS_OK);
        assert_int_equal(cs_deal_sign(&file[i], &text[i], i, NULL), CS_OK);
        assert_int_equal(cs_share_load(&s[i], file[i], &lax, NULL), CS_OK);
        body = body_of(file[i]);
        memcpy(id, cs_share_roots(s[i]).root[cs_share_roots(s[i]).num - 1].id, 4);
    }
    const cs_seal_root *a = cs_share_roots(s[1]).root, *b = cs_share_roots(s[2]).root;
    assert_true(cs_share_roots(s[1]).num == 2 && cs_share_roots(s[2]).num == 2);
    assert_memory_equal(&a[0], cs_share_roots(s[0]).root, sizeof *a);
    assert_memory_equal(&a[0], &b[1], sizeof *a);
    assert_memory_equal(&a[1], &b[0], sizeof *a);
    cs_share_set *none = NULL;
    id[0] ^= 1;
    assert_int_equal(edited(&none, body, &(cs_shares_edit){.first_root = id}), CS_E_NOT_FOUND);
    for (unsigned i = 0; i < 3; i++) {
        cs_share_free(s[i]);
        cs_secret_buf_free(&text[i]);
    }
}

static void eight_roots_are_all(void **state)
{
    cs_slice body = CS_SLICE_NULL;
    cs_buf text[9] = {0};
    for (unsigned i = 0; i < 9; i++) {
        cs_err err = cs_shares_edit_apply(&text[i], NULL, body, &(cs_shares_edit){.add_root = true});
        assert_int_equal(err, i < 8 ? CS_OK : CS_E_SHARES_LIMIT);
        if (err == CS_OK) {
            body = cs_slice_of(text[i].p + CS_SHAREFILE_HEADER_MAX, text[i].len - CS_SHAREFILE_HEADER_MAX);
        }
    }
    cs_buf more = {0};
    assert_int_equal(cs_shares_edit_apply(&more, NULL, body, &(cs_shares_edit){.add_root_last = true}),
                     CS_E_SHARES_LIMIT);
    for (unsigned i = 0; i < 9; i++) {
        cs_secret_buf_free(&text[i]);
    }
}

static void every_request_for_memory_may_fail(void **state)
{
    const cs_sharefile_caller c[1] = {caller_of("a", 1, "Sign")};
    for (unsigned nth = 1;; nth++) {
        const size_t used = cs_arena_used();
        (void)cs_secret_fail_for_tests(nth);
        cs_buf text = {0};
        cs_err err = cs_shares_edit_apply(&text, NULL, CS_SLICE_NULL,
                                          &(cs_shares_edit){.add_root = true, .caller = c, .num_caller = 1});
        const bool over = cs_secret_fail_for_tests(0) != 0;
        cs_secret_buf_free(&text);
        assert_int_equal(cs_arena_used(), used);
        if (over) {
            assert_int_equal(err, CS_OK);
            assert_true(nth > 2);
            return;
        }
        assert_int_equal(err, CS_E_NO_MEMORY);
    }
}

static cs_buf text_of(const char *s)
{
    cs_buf b = cs_buf_heap(1 << 20);
    assert_int_equal(cs_put_str(&b, s), CS_OK);
    return b;
}

#define KEYS                                                                                                           \
    "\"ed25519\":\"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\","                                \
    "\"x25519\":\"8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a\""
#define ONE(id, op) "{\"id\":\"" id "\"," KEYS ",\"operations\":[\"" op "\"],\"records\":[\"x\"]}"

static void files_of_callers_hold_one_or_several(void **state)
{
    static const struct {
        const char *text;
        size_t num; /* 0: refused */
        cs_err err;
        const char *says;
    } rows[] = {
        {ONE("a", "Sign"), 1, CS_OK, ""},
        {ONE("a", "Sign") "\n", 1, CS_OK, ""},
        {"\n" ONE("a", "Sign") "\n\n" ONE("b", "Approve") " ", 2, CS_OK, ""},
        {ONE("a", "Sign") ONE("b", "Seal"), 2, CS_OK, ""},
        {"", 0, CS_E_SHARES_FORMAT, "f: at byte 0: an object is expected"},
        {"[" ONE("a", "Sign") "]", 0, CS_E_SHARES_FORMAT, "an object is expected"},
        {ONE("a", "sign"), 0, CS_E_SHARES_ACCOUNT, "f: sign is no operation"},
        {ONE("a", "Sign") "x", 0, CS_E_SHARES_FORMAT, "an object is expected"},
        {"{\"id\":\"a\",\"ed25519_seed\":\"00\"}", 0, CS_E_SHARES_FORMAT, "unknown key"},
        {"{\"id\":\"a\"", 0, CS_E_SHARES_FORMAT, "'}' is expected"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cs_caller_list l = {0};
        cs_err err = cs_caller_list_add(&l, text_of(rows[i].text), "f");
        assert_int_equal(err, rows[i].err);
        assert_non_null(strstr(l.detail, rows[i].says));
        assert_true(err != CS_OK || l.num == rows[i].num);
        cs_caller_list_free(&l);
        assert_true(l.caller == NULL && l.num == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dealer_gives_roots_and_callers_to_the_service_alone),
        cmocka_unit_test(an_edit_changes_what_it_names_and_nothing_else),
        cmocka_unit_test(what_is_to_go_must_be_there),
        cmocka_unit_test(a_new_file_has_a_root_and_no_accounts),
        cmocka_unit_test(a_root_comes_last_and_goes_first_later),
        cmocka_unit_test(eight_roots_are_all),
        cmocka_unit_test(every_request_for_memory_may_fail),
        cmocka_unit_test(files_of_callers_hold_one_or_several),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
