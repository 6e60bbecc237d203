/* Images in memory. See ns_enclave.h. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "emulator/ns_enclave.h"

static bool read_all(uint8_t *to, size_t len, int fd)
{
    while (len > 0) {
        ssize_t n = read(fd, to, len);
        if (n <= 0) {
            return false;
        }
        to += n;
        len -= (size_t)n;
    }
    return true;
}

/* Present at once and then read-only: see ns_enclave.h. */
cs_err cs_ns_read_image(cs_slice *out, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return CS_E_NOT_FOUND;
    }
    size_t len = fstat(fd, &st) == 0 && st.st_size > 0 ? (size_t)st.st_size : 0;
    void *p = len > 0 ? mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)
                      : MAP_FAILED;
    bool ok = p != MAP_FAILED && read_all(p, len, fd) && mprotect(p, len, PROT_READ) == 0;
    (void)close(fd);
    if (!ok) {
        return CS_E_IO;
    }
    *out = cs_slice_of(p, len);
    return CS_OK;
}

void cs_ns_free_image(cs_slice image)
{
    if (image.len > 0) {
        (void)munmap((void *)(uintptr_t)image.p, image.len);
    }
}
