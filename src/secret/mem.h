/*
 * Memory for secrets.
 *
 * Large or long-lived secrets live in one guarded arena: locked (mlock), excluded from core dumps, between two inaccessible
 * pages, wiped when freed. Small locals are declared with CS_SECRET and wiped on every exit of their scope.
 * No secret is ever a bare array: give it a type with CS_SECRET_TYPE or one of the crypto types.
 * Source: STYLE.md 18-22.
 */
#ifndef CS_SECRET_MEM_H
#define CS_SECRET_MEM_H

#include "base/bytes.h"

/* cs_wipe - zero len bytes, not removed by the compiler. */
void cs_wipe(void *p, size_t len);
/* cs_ct_eq - 1 when a and b are equal, else 0; constant time in len. */
int cs_ct_eq(const void *a, const void *b, size_t len);
/* cs_ct_is_zero - 1 when all len bytes are zero, else 0; constant time. */
int cs_ct_is_zero(const void *p, size_t len);
/* cs_ct_cmov - p = q when bit is 1, p when bit is 0 (bit is 0 or 1); constant time. */
void cs_ct_cmov(void *p, const void *q, size_t len, unsigned bit);
/* cs_ct_mask - all ones when bit is 1, zero when 0; with a barrier so that the compiler makes no branch of it. */
static inline uint64_t cs_ct_mask(unsigned bit)
{
    uint64_t m = (uint64_t)0 - (uint64_t)(bit & 1);
    __asm__("" : "+r"(m));
    return m;
}

/* The arena. One per process. All calls but cs_arena_init from any thread: it has a lock inside. */
/*
 * cs_arena_init - reserve size bytes (rounded up to pages). require_lock: fail when mlock is refused; otherwise go on
 * unlocked and cs_arena_locked() says so. CS_E_NO_MEMORY | CS_E_STATE (called twice).
 */
CS_MUST cs_err cs_arena_init(size_t size, bool require_lock);
bool cs_arena_locked(void);
/* cs_arena_used, cs_arena_peak, cs_arena_size - bytes. */
size_t cs_arena_used(void);
size_t cs_arena_peak(void);
size_t cs_arena_size(void);
/*
 * cs_arena_trim - gives the pages of large free blocks back to the system: they were wiped when they became free, come back as
 * zeros and, in a locked arena, locked. Bytes given back; 0 when the kernel cannot do that to locked memory (before Linux 5.18).
 */
size_t cs_arena_trim(void);
/* cs_secret_alloc - len zeroed bytes, aligned to 64, from the arena; NULL when it is full. cs_secret_free wipes; NULL is fine. */
void *cs_secret_alloc(size_t len);
/*
 * cs_secret_fail_for_tests - make the nth cs_secret_alloc from now fail (1 = next; 0 = never). Returns what was left of the
 * order before: 0 when it has been carried out, or there was none.
 */
unsigned cs_secret_fail_for_tests(unsigned nth);
void cs_secret_free(void *p);
/* cs_secret_buf - a fixed cs_buf of max bytes in the arena; free with cs_secret_buf_free. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_secret_buf(cs_buf *out, size_t max);
void cs_secret_buf_free(cs_buf *b);
/* cs_harden_process - no core dumps, not ptrace-able (PR_SET_DUMPABLE 0, RLIMIT_CORE 0). */
void cs_harden_process(void);

/* CS_SECRET(type) name = {0}; - a local that is wiped when its scope ends. */
#define CS_SECRET_DECLARE(type)                                                                                        \
    static inline __attribute__((unused)) void cs_autowipe_##type(type *p)                                             \
    {                                                                                                                  \
        cs_wipe(p, sizeof *p);                                                                                         \
    }
#define CS_SECRET(type) __attribute__((cleanup(cs_autowipe_##type))) type

/* Fixed-size secrets. */
typedef struct cs_secret16 {
    uint8_t b[16];
} cs_secret16;
typedef struct cs_secret32 {
    uint8_t b[32];
} cs_secret32;
typedef struct cs_secret64 {
    uint8_t b[64];
} cs_secret64;
CS_SECRET_DECLARE(cs_secret16)
CS_SECRET_DECLARE(cs_secret32)
CS_SECRET_DECLARE(cs_secret64)

/*
 * Marks for the constant-time run (make ctime, built with CS_CTIME): where a secret is born and where it stops being one.
 * The reason is mandatory. They are nothing in other builds.
 */
#ifdef CS_CTIME
#include <valgrind/memcheck.h>
#define CS_CT_SECRET(p, n) ((void)VALGRIND_MAKE_MEM_UNDEFINED((p), (n)))
#define CS_CT_PUBLIC(p, n, why) ((void)sizeof("" why), (void)VALGRIND_MAKE_MEM_DEFINED((p), (n)))
#else
#define CS_CT_SECRET(p, n) ((void)(p), (void)(n))
#define CS_CT_PUBLIC(p, n, why) ((void)sizeof("" why), (void)(p), (void)(n))
#endif

#endif
