/* The guarded arena, constant-time helpers and the random source. */
#include "secret/mem.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "secret/rng.h"

#define ARENA_BYTES ((size_t)1 << 20)

static int setup(void **state)
{
    (void)state;
    return cs_arena_init(ARENA_BYTES, false) == CS_OK ? 0 : -1;
}

static void arena_refuses_second_init(void **state)
{
    (void)state;
    assert_int_equal(cs_arena_init(ARENA_BYTES, false), CS_E_STATE);
}

static void alloc_is_zeroed_and_aligned(void **state)
{
    (void)state;
    for (size_t len = 1; len < 5000; len += 97) {
        uint8_t *p = cs_secret_alloc(len);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        assert_true(cs_ct_is_zero(p, len));
        memset(p, 0xa5, len);
        cs_secret_free(p);
    }
    assert_int_equal(cs_arena_used(), 0);
}

static void free_wipes(void **state)
{
    (void)state;
    uint8_t *p = cs_secret_alloc(256);
    memset(p, 0x5a, 256);
    cs_secret_free(p);
    /* the block is still mapped: what was behind the header must be gone */
    for (size_t i = 0; i < 256; i++) {
        assert_int_not_equal(p[i], 0x5a);
    }
}

static void full_arena_gives_null_and_recovers(void **state)
{
    (void)state;
    void *p[64];
    size_t n = 0;
    while (n < 64 && (p[n] = cs_secret_alloc(40000)) != NULL) {
        n++;
    }
    assert_true(n > 10 && n < 64);
    assert_null(cs_secret_alloc(ARENA_BYTES));
    assert_null(cs_secret_alloc(ARENA_BYTES * 2));
    assert_null(cs_secret_alloc(0));
    for (size_t i = 0; i < n; i += 2) {
        cs_secret_free(p[i]);
    }
    for (size_t i = 1; i < n; i += 2) {
        cs_secret_free(p[i]);
    }
    assert_int_equal(cs_arena_used(), 0);
    void *all = cs_secret_alloc(ARENA_BYTES - 64); /* everything merged again */
    assert_non_null(all);
    cs_secret_free(all);
    cs_secret_free(NULL);
}

static size_t resident(uint8_t *p, size_t len)
{
    static unsigned char vec[ARENA_BYTES / 4096 + 2];
    uint8_t *first = (uint8_t *)(((uintptr_t)p + 4095) / 4096 * 4096);
    size_t pages = (len - (size_t)(first - p)) / 4096, n = 0;
    assert_int_equal(mincore(first, pages * 4096, vec), 0);
    for (size_t i = 0; i < pages; i++) {
        n += vec[i] & 1;
    }
    return n;
}

static void trimmed_memory_is_given_back_and_comes_back_as_zeros(void **state)
{
    (void)state;
    const size_t len = 600000;
    uint8_t *small = cs_secret_alloc(64), *p = cs_secret_alloc(len), *behind = cs_secret_alloc(64);
    memset(small, 0x11, 64);
    memset(p, 0x5a, len);
    memset(behind, 0x22, 64);
    size_t before = resident(p, len);
    assert_true(before * 4096 > len - 8192);
    cs_secret_free(p);
    size_t given = cs_arena_trim();
    if (given > 0) { /* 0: locked, and a kernel before 5.18 */
        assert_true(given > len - 8192 && given < ARENA_BYTES);
        assert_true(resident(p, len) <= 1);
    } else {
        assert_true(cs_arena_locked());
    }
    assert_true(small[63] == 0x11 && behind[0] == 0x22);
    uint8_t *q = cs_secret_alloc(len);
    assert_ptr_equal(p, q);
    assert_true(cs_ct_is_zero(q, len));
    memset(q, 0x33, len);
    cs_secret_free(q);
    cs_secret_free(behind);
    cs_secret_free(small);
    assert_int_equal(cs_arena_used(), 0);
    uint8_t *all = cs_secret_alloc(ARENA_BYTES - 64); /* the list is whole */
    assert_non_null(all);
    assert_true(cs_ct_is_zero(all, ARENA_BYTES - 64));
    cs_secret_free(all);
}

static void random_pattern_keeps_blocks_apart(void **state)
{
    (void)state;
    struct {
        uint8_t *p;
        size_t len;
        uint8_t fill;
    } b[100] = {0};
    srand(7);
    for (int round = 0; round < 20000; round++) {
        size_t i = (size_t)rand() % 100;
        if (b[i].p != NULL) {
            for (size_t k = 0; k < b[i].len; k++) {
                assert_int_equal(b[i].p[k], b[i].fill);
            }
            cs_secret_free(b[i].p);
            b[i].p = NULL;
        } else {
            b[i].len = 1 + (size_t)rand() % 9000;
            b[i].fill = (uint8_t)(1 + round % 255);
            b[i].p = cs_secret_alloc(b[i].len);
            if (b[i].p != NULL) {
                assert_true(cs_ct_is_zero(b[i].p, b[i].len));
                memset(b[i].p, b[i].fill, b[i].len);
            }
        }
    }
    for (size_t i = 0; i < 100; i++) {
        cs_secret_free(b[i].p);
    }
    assert_int_equal(cs_arena_used(), 0);
}

static int signal_of(void (*fn)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        fn();
        _exit(0);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : (WIFEXITED(status) && WEXITSTATUS(status) != 0 ? -1 : 0);
}

static void free_twice(void)
{
    /* the parent's arena is wiped by the fork (MADV_WIPEONFORK), so any old block looks like one that is not ours */
    void *p = malloc(64);
    cs_secret_free(p);
}

static void foreign_pointer_aborts(void **state)
{
    (void)state;
    assert_int_not_equal(signal_of(free_twice), 0);
}

static void *fork_secret;
static void look(void)
{
    _exit(cs_ct_is_zero(fork_secret, 32) ? 0 : 3);
}

static void child_sees_no_secrets(void **state)
{
    (void)state;
    fork_secret = cs_secret_alloc(32);
    memset(fork_secret, 0x77, 32);
    assert_int_equal(signal_of(look), 0);
    cs_secret_free(fork_secret);
}

static void ct_helpers(void **state)
{
    (void)state;
    uint8_t a[33], b[33], z[33] = {0};
    for (size_t i = 0; i < 33; i++) {
        a[i] = b[i] = (uint8_t)(i + 1);
    }
    assert_int_equal(cs_ct_eq(a, b, 33), 1);
    assert_int_equal(cs_ct_eq(a, b, 0), 1);
    for (size_t i = 0; i < 33; i++) {
        for (int bit = 0; bit < 8; bit++) {
            b[i] ^= (uint8_t)(1 << bit);
            assert_int_equal(cs_ct_eq(a, b, 33), 0);
            b[i] ^= (uint8_t)(1 << bit);
            z[i] = (uint8_t)(1 << bit);
            assert_int_equal(cs_ct_is_zero(z, 33), 0);
            z[i] = 0;
        }
    }
    assert_int_equal(cs_ct_is_zero(z, 33), 1);
    cs_ct_cmov(z, a, 33, 0);
    assert_int_equal(cs_ct_is_zero(z, 33), 1);
    cs_ct_cmov(z, a, 33, 1);
    assert_memory_equal(z, a, 33);
    assert_true(cs_ct_mask(1) == UINT64_MAX && cs_ct_mask(0) == 0);
}

static void secret_local_wipes_itself(void **state)
{
    (void)state;
    cs_secret32 k;
    memset(k.b, 0x3c, sizeof k.b);
    cs_autowipe_cs_secret32(&k); /* what CS_SECRET runs at the end of the scope */
    assert_true(cs_ct_is_zero(k.b, sizeof k.b));
}

static void random_differs_and_failure_is_reported(void **state)
{
    (void)state;
    uint8_t a[32], b[32];
    assert_int_equal(cs_random(a, sizeof a), CS_OK);
    assert_int_equal(cs_random(b, sizeof b), CS_OK);
    assert_memory_not_equal(a, b, sizeof a);
    cs_random_fail_for_tests(2);
    assert_int_equal(cs_random(a, sizeof a), CS_OK);
    assert_int_equal(cs_random(b, sizeof b), CS_E_ENTROPY);
    assert_true(cs_ct_is_zero(b, sizeof b));
    assert_int_equal(cs_random(b, sizeof b), CS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_refuses_second_init),
        cmocka_unit_test(alloc_is_zeroed_and_aligned),
        cmocka_unit_test(free_wipes),
        cmocka_unit_test(full_arena_gives_null_and_recovers),
        cmocka_unit_test(trimmed_memory_is_given_back_and_comes_back_as_zeros),
        cmocka_unit_test(random_pattern_keeps_blocks_apart),
        cmocka_unit_test(foreign_pointer_aborts),
        cmocka_unit_test(child_sees_no_secrets),
        cmocka_unit_test(ct_helpers),
        cmocka_unit_test(secret_local_wipes_itself),
        cmocka_unit_test(random_differs_and_failure_is_reported),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
