/* See image_file.h. */
#include "tools/image_file.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "tools/tool_file.h"

#define FILE_MAX ((size_t)1 << 31)

/* A pipe that a shell has made, <(command), has a writer and no name: it leads to no path. */
static bool named_pipe(const char *path)
{
    char target[PATH_MAX];
    struct stat st;

    return stat(path, &st) == 0 && S_ISFIFO(st.st_mode) && realpath(path, target) != NULL;
}

cs_err cs_image_file_read(cs_image_file *out, const char *path)
{
    const cs_eif_section *s;

    *out = (cs_image_file){.file = cs_buf_heap(FILE_MAX)};
    if (named_pipe(path)) {
        return CS_E_IO; /* to open one that nobody writes to would wait for ever */
    }
    CS_TRY(cs_tfile_read(&out->file, path));
    out->crc = cs_eif_parse(&out->eif, cs_buf_slice(&out->file));
    if (out->crc != CS_OK && out->crc != CS_E_EIF_CRC) {
        return out->crc;
    }
    CS_TRY(cs_eif_measure(out->pcr, &out->eif));
    s = cs_eif_find(&out->eif, CS_EIF_SIGNATURE);
    if (s != NULL) {
        out->is_signed = true;
        out->signature = cs_eif_signature_check(&out->signer, s->body, &out->pcr[0]);
    }
    return out->signature == CS_E_NO_MEMORY ? CS_E_NO_MEMORY : CS_OK;
}

cs_err cs_image_file_verdict(const cs_image_file *i)
{
    return i->crc != CS_OK ? i->crc : i->signature;
}

void cs_image_file_cleanup(cs_image_file *i)
{
    cs_eif_signed_cleanup(&i->signer);
    cs_buf_free(&i->file);
}

cs_image_validity cs_image_validity_now(const X509 *certificate)
{
    if (X509_cmp_current_time(X509_get0_notBefore(certificate)) >= 0) {
        return CS_IMAGE_NOT_YET;
    }
    return X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0 ? CS_IMAGE_EXPIRED : CS_IMAGE_VALID;
}

/* ---------------------------------------------------------------- files of a ramdisk */

static int by_path(const void *a, const void *b)
{
    const cs_newc_file *x = a, *y = b;
    const size_t len = x->path.len < y->path.len ? x->path.len : y->path.len;
    int order = memcmp(x->path.p, y->path.p, len);

    if (order == 0) {
        order = x->path.len < y->path.len ? -1 : x->path.len > y->path.len;
    }
    /* as they follow in the archive */
    return order != 0 ? order : x->path.p < y->path.p ? -1 : 1;
}

/* Entries of one path stand side by side: the last one counts. */
static size_t keep_last(cs_newc_file *files, size_t num)
{
    size_t kept = 0;

    for (size_t i = 0; i < num; i++) {
        if (i + 1 == num || !cs_slice_eq(files[i].path, files[i + 1].path)) {
            files[kept++] = files[i];
        }
    }
    return kept;
}

static cs_err add_file(cs_image_tree *t, size_t *room, const cs_newc_file *f)
{
    if (t->num == *room) {
        size_t wanted = *room == 0 ? 64 : 2 * *room;
        cs_newc_file *more = reallocarray(t->files, wanted, sizeof *more);
        if (more == NULL) {
            return CS_E_NO_MEMORY;
        }
        t->files = more;
        *room = wanted;
    }
    t->files[t->num++] = *f;
    return CS_OK;
}

cs_err cs_image_tree_read(cs_image_tree *out, cs_slice ramdisk)
{
    cs_newc r = cs_newc_of(ramdisk);
    cs_newc_file f;
    size_t room = 0;
    bool more = true;
    cs_err err = CS_OK;

    *out = (cs_image_tree){.compressed = cs_newc_compressed(ramdisk)};
    while (out->compressed == NULL && more && (err = cs_newc_next(&r, &f, &more)) == CS_OK) {
        if (more && (err = add_file(out, &room, &f)) != CS_OK) {
            cs_image_tree_cleanup(out);
            return err;
        }
    }
    out->readable = out->compressed == NULL && err == CS_OK;
    if (out->num > 0) {
        qsort(out->files, out->num, sizeof *out->files, by_path);
        out->num = keep_last(out->files, out->num);
    }
    return CS_OK;
}

void cs_image_tree_cleanup(cs_image_tree *t)
{
    free(t->files);
    *t = (cs_image_tree){0};
}

/* ---------------------------------------------------------------- output */

/* What a file that is replaced had; images are no secrets: others may read a new one, as the umask says. */
static mode_t mode_for(const char *path)
{
    const mode_t mask = umask(022);
    struct stat st;

    (void)umask(mask);
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        return st.st_mode & 0777;
    }
    return 0666 & ~mask;
}

static cs_err make_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char dir[4096];

    if (slash == NULL || slash == path) {
        return CS_OK;
    }
    if ((size_t)(slash - path) >= sizeof dir) {
        return CS_E_RANGE;
    }
    memcpy(dir, path, (size_t)(slash - path));
    dir[slash - path] = '\0';
    return mkdir(dir, 0777) == 0 || errno == EEXIST ? CS_OK : CS_E_IO;
}

cs_err cs_image_file_write(const char *path, cs_slice bytes)
{
    cs_tfile_out out = {0};
    cs_err err = make_folder(path);
    char target[PATH_MAX];

    if (err == CS_OK && realpath(path, target) != NULL) {
        path = target; /* what a link names is replaced, not the link */
    }
    if (err == CS_OK) {
        err = cs_tfile_out_open(&out, path, false);
    }
    if (err == CS_OK && out.path != NULL && fchmod(fileno(out.file), mode_for(path)) != 0) {
        err = CS_E_IO;
    }
    if (err == CS_OK) {
        return cs_tfile_out_all(&out, bytes);
    }
    cs_tfile_out_close(&out);
    return err;
}

cs_err cs_image_print_measurements(FILE *out, const cs_pcr pcr[3], const cs_pcr *pcr8)
{
    char hex[2 * CS_PCR_LEN + 1];
    bool ok = fputs("{\n  \"Measurements\": {\n    \"HashAlgorithm\": \"Sha384 { ... }\"", out) >= 0;

    for (unsigned i = 0; i < 3; i++) {
        cs_hex_encode(hex, cs_slice_of(pcr[i].b, CS_PCR_LEN));
        ok = ok && fprintf(out, ",\n    \"PCR%u\": \"%s\"", i, hex) > 0;
    }
    if (pcr8 != NULL) {
        cs_hex_encode(hex, cs_slice_of(pcr8->b, CS_PCR_LEN));
        ok = ok && fprintf(out, ",\n    \"PCR8\": \"%s\"", hex) > 0;
    }
    ok = ok && fputs("\n  }\n}\n", out) >= 0 && fflush(out) == 0;
    return ok ? CS_OK : CS_E_IO;
}
