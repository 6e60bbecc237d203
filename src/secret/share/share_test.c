/* Account sets and publisher signatures, on files made by the dealer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "party/deal.h"
#include "secret/noise.h"
#include "secret/share/share.h"

static const uint8_t seed[32] = {9, 9, 9}, other_seed[32] = {8};
static uint8_t publishers[1][32];
/* ISO C before C2X does not add const to arrays behind a pointer by itself */
#define LIST(p) ((const uint8_t(*)[32])(p))
static const cs_share_policy strict = {.publishers = LIST(publishers), .num_publishers = 1};
static const cs_share_policy lax = {.allow_unsigned = true};

static int start(void **state)
{
    cs_publisher_public(publishers[0], seed);
    return cs_arena_init((size_t)128 << 20, false) == CS_OK ? 0 : -1;
}

static cs_deal *deal(unsigned accounts, uint64_t generation, const uint8_t *by, cs_slice *client, cs_slice *service)
{
    cs_deal *d = NULL;
    uint8_t pk[33];
    assert_int_equal(cs_deal_new(&d, accounts), CS_OK);
    for (unsigned i = 0; i < accounts; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "account-%u", i + 1);
        assert_int_equal(cs_deal_add(d, cs_slice_str(id), NULL, pk), CS_OK);
    }
    assert_int_equal(cs_deal_finish(d, generation, by, client, service), CS_OK);
    return d;
}

static void both_files_of_a_dealer_load(void **state)
{
    cs_slice file[2];
    cs_share_set *s[2] = {0};
    uint16_t peer = 0;
    size_t used = cs_arena_used();
    cs_deal *d = deal(100, 7, seed, &file[0], &file[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cs_share_load(&s[i], file[i], &strict, NULL), CS_OK);
        assert_int_equal(cs_share_count(s[i]), 100);
        assert_int_equal(cs_share_generation(s[i]), 7);
        assert_memory_equal(cs_share_publisher(s[i]), publishers[0], 32);
        assert_null(cs_share_find(s[i], cs_slice_str("account-101")));
        assert_null(cs_share_find(s[i], CS_SLICE_NULL));
        assert_int_equal(cs_share_party_at(s[i], 0)->index, i + 1);
        assert_null(cs_share_party_at(s[i], 1));
    }
    for (unsigned k = 1; k <= 100; k++) {
        char id[32];
        (void)snprintf(id, sizeof id, "account-%u", k);
        const cs_mpc_key *a = cs_share_find(s[0], cs_slice_str(id)), *b = cs_share_find(s[1], cs_slice_str(id));
        assert_true(a != NULL && b != NULL && a->index == 1 && b->index == 2);
        assert_memory_equal(a->kid32, b->kid32, 32);
        assert_memory_equal(a->zero1.b, b->zero1.b, 32);
        assert_memory_not_equal(&a->s, &b->s, 32);
        assert_ptr_equal(cs_share_party_of(s[0], a), cs_share_party_at(s[0], 0));
    }
    const cs_share_party *p = cs_share_party_at(s[0], 0), *q = cs_share_party_at(s[1], 0);
    assert_ptr_equal(cs_share_party_by_keys(s[1], q->static_pub, p->static_pub, &peer), q);
    assert_int_equal(peer, 1);
    assert_null(cs_share_party_by_keys(s[1], p->static_pub, q->static_pub, NULL));
    assert_null(cs_share_party_by_keys(s[1], q->static_pub, q->static_pub, NULL));
    cs_share_free(s[0]);
    cs_share_free(s[1]);
    cs_deal_free(d);
    assert_int_equal(cs_arena_used(), used);
}

static bool count_each(void *cookie, cs_slice id, const cs_mpc_key *k)
{
    unsigned *n = cookie;
    return ++*n < 5;
}

static void iteration_follows_the_file_and_stops(void **state)
{
    cs_slice c, f;
    cs_share_set *s = NULL;
    unsigned n = 0;
    cs_deal *d = deal(10, 1, NULL, &c, &f);
    assert_int_equal(cs_share_load(&s, f, &lax, NULL), CS_OK);
    assert_null(cs_share_publisher(s));
    cs_share_each(s, count_each, &n);
    assert_int_equal(n, 5);
    cs_share_free(s);
    cs_deal_free(d);
}

typedef cs_err feed_fn(cs_share_loader *l, cs_slice piece);

static cs_err feed(cs_share_loader *l, feed_fn *fn, cs_slice file, size_t size)
{
    cs_err err = CS_OK;
    while (err == CS_OK && file.len > 0) {
        size_t n = file.len < size ? file.len : size;
        err = fn(l, cs_slice_of(file.p, n));
        file = cs_slice_of(file.p + n, file.len - n);
    }
    return err;
}

/* twice in pieces of that size */
static cs_err load_pieces(cs_share_set **out, cs_slice file, const cs_share_policy *policy, size_t size)
{
    cs_share_loader *l = NULL;
    cs_err err = cs_share_loader_new(&l, policy);
    err = err == CS_OK ? feed(l, cs_share_loader_check, file, size) : err;
    err = err == CS_OK ? cs_share_loader_checked(l) : err;
    err = err == CS_OK ? feed(l, cs_share_loader_build, file, size) : err;
    err = err == CS_OK ? cs_share_loader_take(out, l) : err;
    cs_share_loader_free(l);
    return err;
}

static cs_err load(cs_slice file, const cs_share_policy *policy)
{
    cs_share_set *s = NULL;
    size_t used = cs_arena_used();
    cs_err err = cs_share_load(&s, file, policy, NULL);
    cs_share_free(s);
    assert_int_equal(cs_arena_used(), used);
    for (size_t size = 3; size < 4000; size *= 33) { /* in pieces it is the same */
        s = NULL;
        assert_int_equal(load_pieces(&s, file, policy, size), err);
        cs_share_free(s);
        assert_int_equal(cs_arena_used(), used);
    }
    return err;
}

static void publishers_signatures_and_generations_are_checked(void **state)
{
    cs_slice c, f;
    cs_share_policy p = strict;
    uint8_t other[1][32];
    cs_deal *d = deal(2, 7, NULL, &c, &f);
    assert_int_equal(load(f, &strict), CS_E_SHARES_UNSIGNED);
    assert_int_equal(load(f, &lax), CS_OK);
    assert_int_equal(load(f, &(cs_share_policy){0}), CS_E_SHARES_UNSIGNED);
    cs_deal_free(d);
    d = deal(2, 7, other_seed, &c, &f);
    assert_int_equal(load(f, &strict), CS_E_SHARES_SIGNATURE);
    assert_int_equal(load(f, &lax), CS_OK);
    cs_deal_free(d);
    d = deal(2, 7, seed, &c, &f);
    cs_publisher_public(other[0], other_seed);
    assert_int_equal(load(f, &strict), CS_OK);
    p.publishers = LIST(other);
    assert_int_equal(load(f, &p), CS_E_SHARES_SIGNATURE);
    p = strict;
    p.min_generation = 7;
    assert_int_equal(load(f, &p), CS_OK);
    p.min_generation = 8;
    assert_int_equal(load(f, &p), CS_E_SHARES_GENERATION);
    cs_deal_free(d);
}

/* one changed byte anywhere is refused before anything is parsed, also without a list of publishers */
static void every_changed_byte_is_refused(void **state)
{
    cs_slice c, f;
    cs_deal *d = deal(1, 7, seed, &c, &f);
    uint8_t *bytes = (uint8_t *)(uintptr_t)f.p;
    for (size_t i = 0; i < f.len; i++) {
        bytes[i] ^= 1;
        cs_err err = load(f, &strict), e2 = load(f, &lax);
        assert_true(err == CS_E_SHARES_FORMAT || err == CS_E_SHARES_SIGNATURE || err == CS_E_SHARES_UNSIGNED);
        assert_int_not_equal(e2, CS_OK);
        bytes[i] ^= 1;
    }
    assert_int_equal(load(cs_slice_of(f.p, f.len - 1), &strict), CS_E_SHARES_SIGNATURE);
    assert_int_equal(load(f, &strict), CS_OK);
    cs_deal_free(d);
}

/* the body with a change, unsigned, with its right hash */
static cs_err changed(cs_slice file, const char *from, const char *to)
{
    cs_sharefile_header h;
    uint8_t hash[32];
    cs_buf out = cs_buf_heap(1 << 20), body = cs_buf_heap(1 << 20);
    assert_int_equal(cs_sharefile_header_parse(&h, file), CS_OK);
    const uint8_t *at = memmem(h.body.p, h.body.len, from, strlen(from));
    assert_non_null(at);
    size_t before = (size_t)(at - h.body.p), after = before + strlen(from);
    assert_int_equal(cs_put(&body, h.body.p, before), CS_OK);
    assert_int_equal(cs_put_str(&body, to), CS_OK);
    assert_int_equal(cs_put(&body, h.body.p + after, h.body.len - after), CS_OK);
    cs_noise_sha256.digest(hash, (cs_slice[]){cs_buf_slice(&body)}, 1);
    assert_int_equal(cs_sharefile_header_put(&out, 7, NULL, hash), CS_OK);
    assert_int_equal(cs_sharefile_header_end(&out, NULL), CS_OK);
    assert_int_equal(cs_put_slice(&out, cs_buf_slice(&body)), CS_OK);
    cs_err err = load(cs_buf_slice(&out), &lax);
    cs_buf_free(&out);
    cs_buf_free(&body);
    return err;
}

static void a_loader_keeps_its_order_and_parses_only_what_it_checked(void **state)
{
    static const cs_share_policy later = {.publishers = LIST(publishers), .num_publishers = 1, .min_generation = 8};
    cs_slice c, f, c2, f2;
    cs_deal *d = deal(300, 7, seed, &c, &f), *d2 = deal(300, 7, seed, &c2, &f2);
    size_t used = cs_arena_used();
    cs_share_set *s = NULL;
    for (unsigned k = 0; k < 7; k++) {
        cs_share_loader *l = NULL;
        cs_err err;
        assert_int_equal(cs_share_loader_new(&l, k == 6 ? &later : &strict), CS_OK);
        if (k == 0) { /* nothing is parsed before the check */
            assert_int_equal(cs_share_loader_build(l, f), CS_E_STATE);
            assert_int_equal(cs_share_loader_take(&s, l), CS_E_STATE);
            assert_int_equal(cs_share_loader_checked(l), CS_E_SHARES_FORMAT);
        } else {
            assert_int_equal(feed(l, cs_share_loader_check, f, 1000), CS_OK);
            err = cs_share_loader_checked(l);
            assert_int_equal(err, k == 6 ? CS_E_SHARES_GENERATION : CS_OK);
        }
        if (k == 1) { /* another file, well signed, the second time */
            err = feed(l, cs_share_loader_build, f2, 1000);
            assert_int_equal(err == CS_OK ? cs_share_loader_take(&s, l) : err, CS_E_SHARES_SIGNATURE);
        } else if (k == 2) { /* less */
            assert_int_equal(feed(l, cs_share_loader_build, cs_slice_of(f.p, f.len - 1), 1000), CS_OK);
            assert_int_equal(cs_share_loader_take(&s, l), CS_E_SHARES_SIGNATURE);
        } else if (k == 3) { /* more */
            assert_int_equal(feed(l, cs_share_loader_build, f, 1000), CS_OK);
            assert_int_equal(cs_share_loader_build(l, cs_slice_str(" ")), CS_OK);
            assert_int_equal(cs_share_loader_take(&s, l), CS_E_SHARES_SIGNATURE);
        } else if (k == 4) { /* freed half-way */
            assert_int_equal(feed(l, cs_share_loader_build, cs_slice_of(f.p, f.len / 2), 1000), CS_OK);
        } else if (k == 5) { /* taken once */
            assert_int_equal(cs_share_loader_check(l, f), CS_E_STATE);
            assert_int_equal(feed(l, cs_share_loader_build, f, 1000), CS_OK);
            assert_int_equal(cs_share_loader_take(&s, l), CS_OK);
            assert_int_equal(cs_share_loader_take(&s, l), CS_E_STATE);
            assert_int_equal(cs_share_count(s), 300);
            cs_share_free(s);
            s = NULL;
        }
        assert_int_not_equal(cs_share_loader_build(l, f), CS_OK); /* an error stays */
        cs_share_loader_free(l);
        assert_null(s);
        assert_int_equal(cs_arena_used(), used);
    }
    cs_deal_free(d);
    cs_deal_free(d2);
}

static void accounts_are_checked(void **state)
{
    cs_slice c, f;
    char zeros[80], share[80], order[80];
    cs_deal *d = deal(2, 7, NULL, &c, &f);
    assert_int_equal(changed(f, "account-2", "account-3"), CS_OK);
    assert_int_equal(changed(f, "account-2", "account-1"), CS_E_SHARES_DUPLICATE);
    const char *s = (const char *)memmem(f.p, f.len, "\"share\":\"", 9);
    (void)snprintf(share, sizeof share, "%.*s", 9 + 64, s);
    (void)snprintf(zeros, sizeof zeros, "\"share\":\"%064d", 0);
    (void)snprintf(order, sizeof order, "\"share\":\"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    assert_int_equal(changed(f, share, zeros), CS_E_SHARES_ACCOUNT);
    assert_int_equal(changed(f, share, order), CS_E_SHARES_ACCOUNT);
    assert_int_equal(changed(f, "\"public_key\":\"0", "\"public_key\":\"1"), CS_E_SHARES_ACCOUNT);
    assert_int_equal(changed(f, "\"index\":2", "\"index\":1"), CS_E_SHARES_ACCOUNT);
    assert_int_equal(changed(f, "\"epoch\":0", "\"epochs\":0"), CS_E_SHARES_FORMAT);
    cs_deal_free(d);
}

static void dealers_refuse_what_cannot_be_shared(void **state)
{
    cs_deal *d = NULL;
    cs_slice c, f;
    uint8_t pk[33], zero[32] = {0}, one[32] = {[31] = 1};
    char hex[67];
    assert_int_equal(cs_deal_new(&d, 2), CS_OK);
    assert_int_equal(cs_deal_add(d, cs_slice_str("a/b"), NULL, pk), CS_E_SHARES_ACCOUNT);
    assert_int_equal(cs_deal_add(d, cs_slice_str("a"), zero, pk), CS_E_SHARES_ACCOUNT);
    assert_int_equal(cs_deal_add(d, cs_slice_str("a"), one, pk), CS_OK);
    cs_hex_encode(hex, cs_slice_of(pk, 33));
    assert_string_equal(hex, "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
    assert_int_equal(cs_deal_add(d, cs_slice_str("a"), NULL, pk), CS_OK);
    assert_int_equal(cs_deal_add(d, cs_slice_str("b"), NULL, pk), CS_E_SHARES_LIMIT);
    assert_int_equal(cs_deal_finish(d, 1, NULL, &c, &f), CS_E_SHARES_DUPLICATE);
    cs_deal_free(d);
}

static void a_full_arena_refuses_the_file_and_frees_all(void **state)
{
    cs_slice c, f;
    cs_deal *d = deal(1000, 1, NULL, &c, &f);
    size_t size = (size_t)64 << 20;
    void *block[8] = {0};
    unsigned n = 0;
    while (size > 200000 && n < 8) { /* leave less than the set needs */
        void *p = cs_secret_alloc(size);
        if (p != NULL) {
            block[n++] = p;
        } else {
            size /= 2;
        }
    }
    cs_err err = load(f, &lax);
    for (unsigned i = 0; i < n; i++) {
        cs_secret_free(block[i]);
    }
    assert_true(err == CS_E_SHARES_LIMIT || err == CS_OK);
    for (unsigned nth = 1;; nth++) { /* every request of the loader in turn */
        cs_share_set *s = NULL;
        size_t used = cs_arena_used();
        (void)cs_secret_fail_for_tests(nth);
        err = load_pieces(&s, f, &lax, 1000);
        if (cs_secret_fail_for_tests(0) != 0) {
            assert_int_equal(err, CS_OK);
            assert_true(nth > 4);
            cs_share_free(s);
            break;
        }
        assert_int_equal(err, CS_E_SHARES_LIMIT);
        assert_int_equal(cs_arena_used(), used);
    }
    assert_int_equal(load(f, &lax), CS_OK);
    cs_deal_free(d);
}

static void a_file_without_accounts_is_refused(void **state)
{
    static const char file[] = "countersign-shares/1 generation=1 publisher=none "
                               "sha256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\n{}";
    assert_int_equal(load(cs_slice_str(file), &lax), CS_E_SHARES_FORMAT);
}

static void accounts_are_compact(void **state)
{
    cs_slice c, f;
    cs_share_set *s = NULL;
    cs_deal *d = deal(5000, 1, NULL, &c, &f);
    assert_int_equal(cs_share_load(&s, f, &lax, NULL), CS_OK);
    assert_true(cs_share_bytes(s) / 5000 < 400); /* 100,000 accounts below 40 MB */
    cs_share_free(s);
    cs_deal_free(d);
}

static void unban_orders_are_checked(void **state)
{
    uint8_t mem[CS_UNBAN_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_unban u = {.time_s = 1000}, got;
    cs_unban_check check = {LIST(publishers), 1, 900};
    memset(u.key32, 0x42, 32);
    assert_int_equal(cs_unban_put(&b, seed, &u), CS_OK);
    assert_int_equal(cs_unban_verify(&got, cs_buf_slice(&b), &check), CS_OK);
    assert_true(got.time_s == 1000 && got.key32[31] == 0x42);
    for (size_t i = 0; i < b.len; i++) {
        mem[i] ^= 1;
        assert_int_equal(cs_unban_verify(&got, cs_buf_slice(&b), &check), CS_E_UNBAN);
        mem[i] ^= 1;
        assert_int_equal(cs_unban_verify(&got, cs_slice_of(mem, i), &check), CS_E_UNBAN);
    }
    check.now_s = 600; /* more than 300 s ahead */
    assert_int_equal(cs_unban_verify(&got, cs_buf_slice(&b), &check), CS_E_UNBAN);
    check = (cs_unban_check){LIST(publishers), 0, 900};
    assert_int_equal(cs_unban_verify(&got, cs_buf_slice(&b), &check), CS_E_UNBAN);
    check.num_publishers = 1;
    b.len = 0;
    assert_int_equal(cs_unban_put(&b, other_seed, &u), CS_OK);
    assert_int_equal(cs_unban_verify(&got, cs_buf_slice(&b), &check), CS_E_UNBAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_files_of_a_dealer_load),
        cmocka_unit_test(iteration_follows_the_file_and_stops),
        cmocka_unit_test(publishers_signatures_and_generations_are_checked),
        cmocka_unit_test(every_changed_byte_is_refused),
        cmocka_unit_test(a_loader_keeps_its_order_and_parses_only_what_it_checked),
        cmocka_unit_test(accounts_are_checked),
        cmocka_unit_test(dealers_refuse_what_cannot_be_shared),
        cmocka_unit_test(a_full_arena_refuses_the_file_and_frees_all),
        cmocka_unit_test(a_file_without_accounts_is_refused),
        cmocka_unit_test(accounts_are_compact),
        cmocka_unit_test(unban_orders_are_checked),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
