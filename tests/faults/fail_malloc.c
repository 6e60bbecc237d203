/*
 * Test only, for LD_PRELOAD: the C library's allocator, with chosen requests of the process refused. Never part of a program.
 * CS_FAIL_MAP names a file of four 64-bit numbers {seen, from, to, libuv} that is mapped: `seen` counts malloc, calloc and realloc;
 * those numbered from (1 and more) up to but not including `to` are refused. Another process changes the numbers while this one
 * runs; no system call is made for it, so that programs under their filter can be driven too. Threads share the counter. `libuv`
 * becomes 1 when the process ends by an abort() that stands in libuv itself, where nothing of ours can prevent it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t len);
void *__libc_calloc(size_t num, size_t len);
void *__libc_realloc(void *p, size_t len);
void *malloc(size_t len);
void *calloc(size_t num, size_t len);
void *realloc(void *p, size_t len);

typedef struct orders {
    _Atomic uint64_t seen, from, to, libuv;
} orders;

static orders *map;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CS_FAIL_MAP");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    void *m = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *map, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (m != MAP_FAILED) {
        map = m;
    }
}

static int refuse(void)
{
    if (map == NULL) {
        return 0;
    }
    uint64_t n = atomic_fetch_add(&map->seen, 1) + 1;
    if (n < atomic_load(&map->from) || n >= atomic_load(&map->to)) {
        return 0;
    }
    errno = ENOMEM;
    return 1;
}

/* the C library's own, but it notes whose call it was */
void abort(void)
{
    Dl_info who;
    if (map != NULL) {
        atomic_store(&map->from, 0);
        atomic_store(&map->to, 0);
        if (dladdr(__builtin_return_address(0), &who) != 0 && strstr(who.dli_fname, "libuv.so") != NULL) {
            atomic_store(&map->libuv, 1);
        }
    }
    (void)signal(SIGABRT, SIG_DFL);
    (void)raise(SIGABRT);
    _exit(134);
}

void *malloc(size_t len)
{
    return refuse() ? NULL : __libc_malloc(len);
}

void *calloc(size_t num, size_t len)
{
    return refuse() ? NULL : __libc_calloc(num, len);
}

void *realloc(void *p, size_t len)
{
    return refuse() ? NULL : __libc_realloc(p, len);
}
