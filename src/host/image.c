/*
 * The simulated image of local runs: a directory that stands for the customer ramdisk. PCRs follow specs/nitro-kms.md 6 over
 * kernel (empty), cmdline "simulated", ramdisk 0 = the bytes of bin/sign-init, ramdisk 1 = the deterministic newc archive of
 * the directory. The programs are run from it, so what is measured is what runs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/cbor.h"
#include "codec/newc.h"
#include "host/host.h"

#define ENTRIES_MAX 256
#define FILE_MAX ((size_t)64 << 20)
#define ARCHIVE_MAX ((size_t)256 << 20)

struct cs_image {
    cs_newc_entry entries[ENTRIES_MAX];
    cs_buf contents[ENTRIES_MAX];
    size_t num;
    cs_pcr pcrs[3];
    cs_slice config;
};

static cs_err read_file(cs_buf *out, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t block[65536];
    cs_err err = CS_OK;
    ssize_t n = 0;

    if (fd < 0) {
        return errno == ENOENT ? CS_E_NOT_FOUND : CS_E_IO;
    }
    *out = cs_buf_heap(FILE_MAX);
    while (err == CS_OK && (n = read(fd, block, sizeof block)) > 0) {
        err = cs_put(out, block, (size_t)n);
    }
    (void)close(fd);
    if (err == CS_OK && n < 0) {
        err = CS_E_IO;
    }
    return err == CS_E_RANGE ? CS_E_TOO_LARGE : err;
}

/* One file or directory below the image; rel is copied. */
static cs_err add_entry(cs_image *i, const char *dir, const char *rel)
{
    char path[2 * CS_HOST_PATH_MAX];
    struct stat st;
    size_t k = i->num;

    if (k == ENTRIES_MAX) {
        return CS_E_TOO_LARGE;
    }
    (void)snprintf(path, sizeof path, "%s/%s", dir, rel);
    if (lstat(path, &st) != 0) {
        return CS_E_IO;
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        return CS_E_FORMAT; /* links and devices have no place in an image */
    }
    i->entries[k].path = strdup(rel);
    if (i->entries[k].path == NULL) {
        return CS_E_NO_MEMORY;
    }
    i->num++;
    /* permissions as the umask left them must not change the measurement: 0755 for what can be run or entered, else 0644 */
    bool open_mode = S_ISDIR(st.st_mode) || (st.st_mode & S_IXUSR) != 0;
    i->entries[k].mode = (st.st_mode & S_IFMT) | (open_mode ? 0755u : 0644u);
    if (S_ISREG(st.st_mode)) {
        CS_TRY(read_file(&i->contents[k], path));
        i->entries[k].data = cs_buf_slice(&i->contents[k]);
    }
    return CS_OK;
}

static cs_err walk(cs_image *i, const char *dir, const char *rel)
{
    char path[2 * CS_HOST_PATH_MAX];
    cs_err err = CS_OK;

    (void)snprintf(path, sizeof path, "%s/%s", dir, rel);
    DIR *d = opendir(path);
    if (d == NULL) {
        return errno == ENOENT ? CS_E_NOT_FOUND : CS_E_IO;
    }
    for (const struct dirent *e; err == CS_OK && (e = readdir(d)) != NULL;) {
        char below[CS_HOST_PATH_MAX];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        int n = snprintf(below, sizeof below, "%s%s%s", rel, rel[0] != '\0' ? "/" : "", e->d_name);
        if (n < 0 || (size_t)n >= sizeof below) {
            err = CS_E_TOO_LARGE;
            break;
        }
        size_t k = i->num;
        err = add_entry(i, dir, below);
        if (err == CS_OK && S_ISDIR(i->entries[k].mode)) {
            err = walk(i, dir, below);
        }
    }
    (void)closedir(d);
    return err;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const cs_newc_entry *)a)->path, ((const cs_newc_entry *)b)->path);
}

static const cs_newc_entry *find(const cs_image *i, const char *path)
{
    for (size_t k = 0; k < i->num; k++) {
        if (strcmp(i->entries[k].path, path) == 0) {
            return &i->entries[k];
        }
    }
    return NULL;
}

static cs_err measure(cs_image *i)
{
    const cs_newc_entry *init = find(i, "bin/sign-init"), *config = find(i, "config.cbor");
    cs_buf archive = cs_buf_heap(ARCHIVE_MAX);

    if (init == NULL || config == NULL) {
        return CS_E_NOT_FOUND;
    }
    i->config = config->data;
    cs_err err = cs_newc_put(&archive, i->entries, i->num);
    if (err == CS_OK) {
        const cs_pcr_section sections[] = {
            {CS_PCR_KERNEL, CS_SLICE_NULL},
            {CS_PCR_CMDLINE, cs_slice_str("simulated")},
            {CS_PCR_RAMDISK, init->data},
            {CS_PCR_RAMDISK, cs_buf_slice(&archive)},
        };
        err = cs_pcr_image(i->pcrs, sections, sizeof sections / sizeof *sections);
    }
    cs_buf_free(&archive);
    return err;
}

cs_err cs_image_load(cs_image **out, const char *dir)
{
    cs_image *i = calloc(1, sizeof *i);
    cs_slice section;

    if (i == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_err err = walk(i, dir, "");
    if (err == CS_OK) {
        qsort(i->entries, i->num, sizeof *i->entries, by_path);
        err = measure(i);
    }
    if (err == CS_OK) {
        err = cs_image_section(&section, i, "core");
    }
    if (err != CS_OK) {
        cs_image_free(i);
        return err;
    }
    *out = i;
    return CS_OK;
}

const cs_pcr *cs_image_pcrs(const cs_image *i)
{
    return i->pcrs;
}

cs_err cs_config_section(cs_slice *out, cs_slice config, const char *section)
{
    cs_cbor c = cs_cbor_of(config, CS_CBOR_STRICT);
    cs_cbor_iter it;
    cs_slice name, value;

    if (cs_cbor_check(config, CS_CBOR_STRICT) != CS_OK || cs_cbor_map(&c, &it) != CS_OK) {
        return CS_E_CONFIG;
    }
    while (cs_cbor_more(&c, &it)) {
        if (cs_cbor_text(&c, &name) != CS_OK || cs_cbor_skip(&c, &value) != CS_OK) {
            return CS_E_CONFIG;
        }
        if (cs_slice_eq_str(name, section)) {
            *out = value;
            return CS_OK;
        }
    }
    return CS_E_CONFIG;
}

cs_err cs_image_section(cs_slice *out, const cs_image *i, const char *section)
{
    return cs_config_section(out, i->config, section);
}

void cs_image_free(cs_image *i)
{
    if (i == NULL) {
        return;
    }
    for (size_t k = 0; k < i->num; k++) {
        free((char *)(uintptr_t)i->entries[k].path);
    }
    for (size_t k = 0; k < ENTRIES_MAX; k++) {
        cs_buf_free(&i->contents[k]);
    }
    free(i);
}

static cs_err copy_file(const char *to, const char *from, mode_t mode)
{
    cs_buf data = {0};
    cs_err err = read_file(&data, from);

    if (err == CS_OK) {
        int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        err = fd < 0 ? (errno == EEXIST ? CS_E_EXISTS : CS_E_IO) : CS_OK;
        for (size_t at = 0; err == CS_OK && at < data.len;) {
            ssize_t n = write(fd, data.p + at, data.len - at);
            err = n <= 0 ? CS_E_IO : CS_OK;
            at += n > 0 ? (size_t)n : 0;
        }
        if (fd >= 0 && (fchmod(fd, mode) != 0 || close(fd) != 0)) {
            err = CS_E_IO;
        }
    }
    cs_buf_free(&data);
    return err;
}

#define CS_LAUNCH_ROW(id, name, local, section, restart) local,
static const char *const programs[] = {CS_LAUNCH_PROGRAMS(CS_LAUNCH_ROW) "sign-init"};
#undef CS_LAUNCH_ROW

cs_err cs_image_remove(const char *dir)
{
    char path[CS_HOST_PATH_MAX + 64];

    for (size_t k = 0; k < sizeof programs / sizeof *programs; k++) {
        (void)snprintf(path, sizeof path, "%s/bin/%s", dir, programs[k]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/config.cbor", dir);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/bin", dir);
    if ((rmdir(path) != 0 && errno != ENOENT) || (rmdir(dir) != 0 && errno != ENOENT)) {
        return CS_E_EXISTS;
    }
    return CS_OK;
}

cs_err cs_image_build(const char *dir, const char *program_dir, const char *config_cbor)
{
    char to[CS_HOST_PATH_MAX], from[CS_HOST_PATH_MAX];

    (void)snprintf(to, sizeof to, "%s/bin", dir);
    if ((mkdir(dir, 0755) != 0 && errno != EEXIST) || mkdir(to, 0755) != 0) {
        return errno == EEXIST ? CS_E_EXISTS : CS_E_IO;
    }
    for (size_t k = 0; k < sizeof programs / sizeof *programs; k++) {
        (void)snprintf(to, sizeof to, "%s/bin/%s", dir, programs[k]);
        (void)snprintf(from, sizeof from, "%s/%s", program_dir, programs[k]);
        CS_TRY(copy_file(to, from, 0755));
    }
    (void)snprintf(to, sizeof to, "%s/config.cbor", dir);
    return copy_file(to, config_cbor, 0644);
}
