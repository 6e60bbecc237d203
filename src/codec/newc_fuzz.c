/*
 * Target: cs_newc_next
 * Reading ends, everything is inside the input, and paths are such that the writer takes them too.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "codec/newc.h"

static void check(const cs_newc_file *f, cs_slice archive)
{
    cs_buf out = cs_buf_heap(f->data.len + 4096);
    char path[CS_NEWC_PATH_MAX + 1];

    if (f->path.len > CS_NEWC_PATH_MAX || f->path.p < archive.p ||
        (f->data.len > 0 && f->data.p + f->data.len > archive.p + archive.len)) {
        abort();
    }
    memcpy(path, f->path.p, f->path.len);
    path[f->path.len] = '\0';
    cs_newc_entry e = {.path = path, .mode = S_IFREG | (f->mode & 0777), .data = f->data};
    if (strcmp(path, ".") != 0 && strcmp(path, "TRAILER!!!") != 0 && cs_newc_put(&out, &e, 1) != CS_OK) {
        abort();
    }
    cs_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const cs_slice archive = cs_slice_of(data, len);
    cs_newc r = cs_newc_of(archive);
    cs_newc_file f = {0};
    bool more = true;

    (void)cs_newc_compressed(archive);
    while (more && cs_newc_next(&r, &f, &more) == CS_OK) {
        if (more) {
            check(&f, archive);
        }
    }
    return 0;
}
