/*
 * The guarded arena: one mapping [guard page | blocks | guard page], first-fit free list with boundary tags in front of each
 * block. Block headers lie inside the locked memory; a broken header aborts. Simple rather than fast: hot paths allocate
 * once per session.
 */
#include "secret/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

void cs_wipe(void *p, size_t len)
{
    if (len > 0) {
        explicit_bzero(p, len);
    }
}

int cs_ct_eq(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a, *y = b;
    uint8_t d = 0;
    for (size_t i = 0; i < len; i++) {
        d |= (uint8_t)(x[i] ^ y[i]);
    }
    return (int)(1 & (((uint32_t)d - 1) >> 8));
}

int cs_ct_is_zero(const void *p, size_t len)
{
    const volatile uint8_t *x = p;
    uint8_t d = 0;
    for (size_t i = 0; i < len; i++) {
        d |= x[i];
    }
    return (int)(1 & (((uint32_t)d - 1) >> 8));
}

void cs_ct_cmov(void *p, const void *q, size_t len, unsigned bit)
{
    uint8_t m = (uint8_t)cs_ct_mask(bit);
    uint8_t *a = p;
    const uint8_t *b = q;
    for (size_t i = 0; i < len; i++) {
        a[i] = (uint8_t)(a[i] ^ (m & (a[i] ^ b[i])));
    }
}

#define ALIGN 64u
#define MAGIC_USED 0x43537573656421aaull
#define MAGIC_FREE 0x4353667265652155ull

/* 64 bytes, so that blocks stay aligned */
typedef struct block {
    uint64_t magic;
    size_t len;  /* bytes behind this header, a multiple of ALIGN */
    size_t prev; /* len of the block before, or 0 for the first */
    struct block *next_free, *prev_free;
    uint8_t pad[24];
} block;
_Static_assert(sizeof(block) == ALIGN, "header is one alignment unit");

static struct {
    uint8_t *base;
    size_t size, used, peak;
    bool locked;
    unsigned fail_in; /* tests */
    block *free_list;
    pthread_mutex_t lock;
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

cs_err cs_arena_init(size_t size, bool require_lock)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (arena.base != NULL) {
        return CS_E_STATE;
    }
    if (size > SIZE_MAX / 2 || size < page) {
        return CS_E_NO_MEMORY;
    }
    size = (size + page - 1) / page * page;
    uint8_t *m = mmap(NULL, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) {
        return CS_E_NO_MEMORY;
    }
    if (mprotect(m + page, size, PROT_READ | PROT_WRITE) != 0) {
        (void)munmap(m, size + 2 * page);
        return CS_E_NO_MEMORY;
    }
    /* MLOCK_ONFAULT: pages are locked when first used, so a large arena costs only what it holds */
    bool locked = mlock2(m + page, size, MLOCK_ONFAULT) == 0;
    if (!locked && require_lock) {
        (void)munmap(m, size + 2 * page);
        return CS_E_NO_MEMORY;
    }
    (void)madvise(m + page, size, MADV_DONTDUMP);
    (void)madvise(m + page, size, MADV_WIPEONFORK);
    arena.base = m + page;
    arena.size = size;
    arena.locked = locked;
    block *b = (block *)(void *)arena.base;
    *b = (block){.magic = MAGIC_FREE, .len = size - sizeof *b};
    arena.free_list = b;
    return CS_OK;
}

bool cs_arena_locked(void)
{
    return arena.locked;
}

static size_t locked_read(const size_t *what)
{
    (void)pthread_mutex_lock(&arena.lock);
    size_t value = *what;
    (void)pthread_mutex_unlock(&arena.lock);
    return value;
}

size_t cs_arena_used(void)
{
    return locked_read(&arena.used);
}

size_t cs_arena_peak(void)
{
    return locked_read(&arena.peak);
}

size_t cs_arena_size(void)
{
    return arena.size;
}

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#define TRIM_MIN ((size_t)256 << 10) /* smaller blocks are used again soon */

size_t cs_arena_trim(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t given = 0;
    (void)pthread_mutex_lock(&arena.lock);
    for (block *b = arena.free_list; b != NULL; b = b->next_free) {
        if (b->len < TRIM_MIN) {
            continue;
        }
        /* whole pages behind the header: base is the start of a page */
        size_t from = (size_t)((uint8_t *)(b + 1) - arena.base), to = from + b->len;
        from = (from + page - 1) / page * page;
        to = to / page * page;
        if (madvise(arena.base + from, to - from, arena.locked ? MADV_DONTNEED_LOCKED : MADV_DONTNEED) == 0) {
            given += to - from;
        }
    }
    (void)pthread_mutex_unlock(&arena.lock);
    return given;
}

static block *next_of(block *b)
{
    uint8_t *n = (uint8_t *)(b + 1) + b->len;
    return n < arena.base + arena.size ? (block *)(void *)n : NULL;
}

static block *prev_of(block *b)
{
    return b->prev == 0 ? NULL : (block *)(void *)((uint8_t *)b - b->prev - sizeof *b);
}

static void unlink_free(block *b)
{
    if (b->magic != MAGIC_FREE) {
        abort();
    }
    if (b->prev_free != NULL) {
        b->prev_free->next_free = b->next_free;
    } else {
        arena.free_list = b->next_free;
    }
    if (b->next_free != NULL) {
        b->next_free->prev_free = b->prev_free;
    }
}

static void push_free(block *b)
{
    b->magic = MAGIC_FREE;
    b->prev_free = NULL;
    b->next_free = arena.free_list;
    if (b->next_free != NULL) {
        b->next_free->prev_free = b;
    }
    arena.free_list = b;
}

static void set_next_prev(block *b)
{
    block *n = next_of(b);
    if (n != NULL) {
        n->prev = b->len;
    }
}

unsigned cs_secret_fail_for_tests(unsigned nth)
{
    (void)pthread_mutex_lock(&arena.lock);
    unsigned left = arena.fail_in;
    arena.fail_in = nth;
    (void)pthread_mutex_unlock(&arena.lock);
    return left;
}

void *cs_secret_alloc(size_t len)
{
    void *out = NULL;
    if (len == 0 || len > arena.size) {
        return NULL;
    }
    len = (len + ALIGN - 1) / ALIGN * ALIGN;
    (void)pthread_mutex_lock(&arena.lock);
    block *b = arena.fail_in > 0 && --arena.fail_in == 0 ? NULL : arena.free_list;
    while (b != NULL && b->len < len) {
        b = b->next_free;
    }
    if (b != NULL) {
        unlink_free(b);
        if (b->len - len >= 2 * sizeof *b) {
            size_t rest = b->len - len - sizeof *b;
            b->len = len;
            block *n = next_of(b);
            *n = (block){.len = rest, .prev = len};
            push_free(n);
            set_next_prev(n);
        }
        b->magic = MAGIC_USED;
        arena.used += b->len + sizeof *b;
        arena.peak = arena.used > arena.peak ? arena.used : arena.peak;
        out = b + 1;
    }
    (void)pthread_mutex_unlock(&arena.lock);
    return out;
}

static block *merge(block *a, block *b)
{
    a->len += b->len + sizeof *b;
    cs_wipe(b, sizeof *b);
    set_next_prev(a);
    return a;
}

void cs_secret_free(void *p)
{
    if (p == NULL) {
        return;
    }
    block *b = (block *)p - 1;
    if ((uint8_t *)b < arena.base || (uint8_t *)p >= arena.base + arena.size || b->magic != MAGIC_USED) {
        abort(); /* not ours, or freed twice */
    }
    cs_wipe(p, b->len);
    (void)pthread_mutex_lock(&arena.lock);
    arena.used -= b->len + sizeof *b;
    block *n = next_of(b), *pr = prev_of(b);
    if (n != NULL && n->magic == MAGIC_FREE) {
        unlink_free(n);
        b = merge(b, n);
    }
    if (pr != NULL && pr->magic == MAGIC_FREE) {
        unlink_free(pr);
        b = merge(pr, b);
    }
    push_free(b);
    (void)pthread_mutex_unlock(&arena.lock);
}

cs_err cs_secret_buf(cs_buf *out, size_t max)
{
    void *p = cs_secret_alloc(max);
    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    *out = cs_buf_wrap(p, max);
    return CS_OK;
}

void cs_secret_buf_free(cs_buf *b)
{
    cs_secret_free(b->p);
    *b = (cs_buf){0};
}

void cs_harden_process(void)
{
    struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
