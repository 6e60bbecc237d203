#include "suite.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"

#define MAX_FILE_BYTES ((size_t)64 << 20)
#define MAX_REASONS 64

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* ---- files that a suite has looked at: a set of hashes of their paths, in the process of the suite */

#define SEEN_SLOTS (1u << 18)
static uint64_t seen_paths[SEEN_SLOTS];
static size_t num_seen_paths;

static uint64_t path_hash(const char *path)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *path != '\0'; path++) {
        h = (h ^ (uint8_t)*path) * 0x100000001b3u;
    }
    return h != 0 ? h : 1;
}

static uint64_t *path_slot(const char *path)
{
    uint64_t h = path_hash(path);
    size_t at = h % SEEN_SLOTS;
    while (seen_paths[at] != 0 && seen_paths[at] != h) {
        at = (at + 1) % SEEN_SLOTS;
    }
    return &seen_paths[at];
}

void cs_suite_looked_at(const char *path)
{
    uint64_t *slot = path_slot(path);
    if (*slot == 0 && num_seen_paths < SEEN_SLOTS / 2) {
        *slot = path_hash(path);
        num_seen_paths++;
    }
}

static void not_looked_at(cs_suite *s, const char *path, void *cookie)
{
    /* inputs of h2spec (tests/interop) and of other cases here, or the same values once more */
    static const char *const known[] = {"/h2spec-cases.txt", "/aws-nitro-root-g1.pem", "/recipient-key.pem",
                                        "/header-signed-request.txt", "/query-signed-request.txt"};
    const char *dir = cookie;
    char why[200];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (ends_with(path, known[i])) {
            return;
        }
    }
    if (*path_slot(path) == 0) {
        (void)snprintf(why, sizeof why, "a file that this suite does not know: %.100s", path + strlen(dir) + 1);
        cs_suite_skip(s, why);
    }
}

void cs_suite_leftovers(cs_suite *s, const char *dir)
{
    cs_suite_visit(s, dir, "", not_looked_at, (void *)(uintptr_t)dir);
    if (s->passed + s->failed + s->skipped == 0) {
        cs_suite_fail(s, dir, "no case at all");
    }
}

void cs_suite_pass(cs_suite *s)
{
    s->passed++;
}

void cs_suite_fail(cs_suite *s, const char *file, const char *what)
{
    s->failed++;
    fprintf(stderr, "%s: %s: %s\n", s->name, file, what);
}

void cs_suite_failf(cs_suite *s, const char *file, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cs_suite_fail(s, file, text);
}

void cs_suite_check(cs_suite *s, bool ok, const char *file, const char *what)
{
    if (ok) {
        cs_suite_pass(s);
    } else {
        cs_suite_fail(s, file, what);
    }
}

void cs_suite_skip_many(cs_suite *s, unsigned n, const char *why)
{
    static char seen[MAX_REASONS][128];
    static size_t num_seen;
    s->skipped += n;
    for (size_t i = 0; i < num_seen; i++) {
        if (strncmp(seen[i], why, sizeof seen[i] - 1) == 0) {
            return;
        }
    }
    if (num_seen < MAX_REASONS) {
        (void)snprintf(seen[num_seen++], sizeof seen[0], "%s", why);
        printf("%s: skipped: %s\n", s->name, why);
    }
}

void cs_suite_skip(cs_suite *s, const char *why)
{
    cs_suite_skip_many(s, 1, why);
}

cs_err cs_suite_read(const char *path, cs_buf *out)
{
    FILE *f = fopen(path, "rb");
    cs_suite_looked_at(path);
    cs_err err = f == NULL ? CS_E_IO : CS_OK;
    *out = cs_buf_heap(MAX_FILE_BYTES);
    while (err == CS_OK) {
        uint8_t part[65536];
        size_t n = fread(part, 1, sizeof part, f);
        if (n == 0) {
            err = ferror(f) ? CS_E_IO : CS_OK;
            break;
        }
        err = cs_put(out, part, n);
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    if (err != CS_OK) {
        cs_buf_free(out);
    }
    return err;
}

void cs_suite_path(char out[CS_SUITE_PATH], const char *dir, const char *name)
{
    int n = snprintf(out, CS_SUITE_PATH, "%s/%s", dir, name);
    if (n < 0 || n >= CS_SUITE_PATH) {
        abort();
    }
}

json_t *cs_suite_json(cs_suite *s, const char *path)
{
    cs_buf text = {0};
    json_error_t why = {0};
    json_t *j = NULL;
    if (cs_suite_read(path, &text) == CS_OK) {
        j = json_loadb((const char *)text.p, text.len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &why);
    }
    cs_buf_free(&text);
    if (j == NULL) {
        cs_suite_failf(s, path, "cannot be read as JSON: %s", why.text);
    }
    return j;
}

const char *cs_suite_str(const json_t *obj, const char *key)
{
    const char *v = json_string_value(json_object_get(obj, key));
    return v != NULL ? v : "";
}

cs_err cs_suite_hex_text(const char *hex, cs_buf *out)
{
    uint8_t *at = NULL;
    size_t len = strlen(hex);
    *out = cs_buf_heap(len / 2 + 1);
    if (len == 0) {
        return CS_OK;
    }
    cs_err err = len % 2 != 0 ? CS_E_FORMAT : cs_put_space(out, &at, len / 2);
    if (err == CS_OK) {
        err = cs_hex_decode(at, len / 2, cs_slice_str(hex));
    }
    if (err != CS_OK) {
        cs_buf_free(out);
    }
    return err;
}

cs_err cs_suite_hex(const json_t *obj, const char *key, cs_buf *out)
{
    const char *v = json_string_value(json_object_get(obj, key));
    *out = (cs_buf){0};
    return v != NULL ? cs_suite_hex_text(v, out) : CS_E_FORMAT;
}

void cs_suite_visit(cs_suite *s, const char *dir, const char *suffix, cs_suite_file_fn *fn, void *cookie)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        char path[CS_SUITE_PATH];
        struct stat st;
        if (name[0] != '.' && strcmp(name, "README.txt") != 0) {
            cs_suite_path(path, dir, name);
            if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
                cs_suite_visit(s, path, suffix, fn, cookie);
            } else if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && ends_with(name, suffix)) {
                fn(s, path, cookie);
            }
        }
        free(list[i]);
    }
    free(list);
}

struct inner {
    cs_suite_file_fn *fn;
    void *cookie;
};

/* a file of which nothing was counted could not be read */
static void counted(cs_suite *s, const char *path, void *cookie)
{
    const struct inner *in = cookie;
    unsigned before = s->passed + s->failed + s->skipped;
    cs_suite_looked_at(path);
    in->fn(s, path, in->cookie);
    if (s->passed + s->failed + s->skipped == before) {
        cs_suite_fail(s, path, "no case in it");
    }
}

void cs_suite_walk(cs_suite *s, const char *dir, const char *suffix, cs_suite_file_fn *fn, void *cookie)
{
    struct inner in = {fn, cookie};
    cs_suite_visit(s, dir, suffix, counted, &in);
}
