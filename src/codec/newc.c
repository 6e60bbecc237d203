/* newc cpio, see newc.h. Source: cpio(5) "New ASCII Format"; Linux Documentation/driver-api/early-userspace/buffer-format. */
#include "codec/newc.h"

#include <string.h>
#include <sys/stat.h>

#define HEADER_LEN 110u /* magic and 13 numbers of 8 hex digits */
#define NUM_FIELDS 13u

static const char trailer_name[] = "TRAILER!!!";

static cs_err pad4(cs_buf *out, size_t start)
{
    static const uint8_t zero[3];

    return cs_put(out, zero, (4 - (out->len - start) % 4) % 4);
}

static cs_err put_entry(cs_buf *out, size_t start, const cs_newc_entry *e, uint32_t ino)
{
    size_t name_len = strlen(e->path) + 1;
    unsigned num_links = S_ISDIR(e->mode) ? 2 : 1;

    /* ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check */
    CS_TRY(cs_put_fmt(out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", ino, e->mode, 0U, 0U,
                      num_links, 0U, (unsigned)e->data.len, 0U, 0U, e->rdev_major, e->rdev_minor, (unsigned)name_len,
                      0U));
    CS_TRY(cs_put(out, e->path, name_len));
    CS_TRY(pad4(out, start));
    CS_TRY(cs_put_slice(out, e->data));
    return pad4(out, start);
}

/* Relative, and no part of it is empty, "." or "..". */
static bool path_ok(cs_slice path)
{
    size_t start = 0;

    if (path.len == 0 || path.len > CS_NEWC_PATH_MAX || memchr(path.p, '\0', path.len) != NULL) {
        return false;
    }
    for (size_t i = 0; i <= path.len; i++) {
        if (i < path.len && path.p[i] != '/') {
            continue;
        }
        cs_slice part = cs_slice_of(path.p + start, i - start);
        if (part.len == 0 || cs_slice_eq_str(part, ".") || cs_slice_eq_str(part, "..")) {
            return false;
        }
        start = i + 1;
    }
    return true;
}

static bool entry_ok(const cs_newc_entry *e)
{
    bool with_data = S_ISREG(e->mode) || S_ISLNK(e->mode);
    bool type_ok = with_data || ((S_ISDIR(e->mode) || S_ISCHR(e->mode)) && e->data.len == 0);
    bool device_ok = S_ISCHR(e->mode) || (e->rdev_major == 0 && e->rdev_minor == 0);

    return type_ok && device_ok && e->mode <= 0177777 && e->data.len <= UINT32_MAX &&
           strnlen(e->path, CS_NEWC_PATH_MAX + 1) <= CS_NEWC_PATH_MAX && path_ok(cs_slice_str(e->path)) &&
           strcmp(e->path, trailer_name) != 0;
}

static cs_err put_all(cs_buf *out, const cs_newc_entry *entries, size_t num_entries)
{
    static const cs_newc_entry trailer = {.path = trailer_name};
    size_t start = out->len;

    for (size_t i = 0; i < num_entries; i++) {
        if (!entry_ok(&entries[i]) || i >= UINT32_MAX || (i > 0 && strcmp(entries[i - 1].path, entries[i].path) >= 0)) {
            return CS_E_FORMAT;
        }
        CS_TRY(put_entry(out, start, &entries[i], (uint32_t)(i + 1)));
    }
    return put_entry(out, start, &trailer, 0);
}

cs_err cs_newc_put(cs_buf *out, const cs_newc_entry *entries, size_t num_entries)
{
    size_t len = out->len;
    cs_err err = put_all(out, entries, num_entries);

    if (err != CS_OK) {
        out->len = len;
    }
    return err;
}

/* ---------------------------------------------------------------- reading */

static cs_err read_hex(cs_reader *r, uint32_t *out)
{
    uint32_t v = 0;
    cs_slice digits;

    CS_TRY(cs_read_slice(r, &digits, 8));
    for (size_t i = 0; i < digits.len; i++) {
        const uint8_t c = digits.p[i];
        if (c >= '0' && c <= '9') {
            v = v << 4 | (uint32_t)(c - '0');
        } else if ((c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f')) {
            v = v << 4 | ((uint32_t)(c | 0x20) - 'a' + 10);
        } else {
            return CS_E_FORMAT;
        }
    }
    *out = v;
    return CS_OK;
}

static bool all_zero(cs_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] != 0) {
            return false;
        }
    }
    return true;
}

/* The archive's bytes up to the next multiple of four. */
static cs_err read_padding(cs_reader *r, const cs_slice *archive)
{
    cs_slice pad;

    CS_TRY(cs_read_slice(r, &pad, (4 - (archive->len - r->left) % 4) % 4));
    return all_zero(pad) ? CS_OK : CS_E_FORMAT;
}

static cs_err read_name(cs_reader *r, cs_slice *out, uint32_t size)
{
    if (size < 2 || size > CS_NEWC_PATH_MAX + 3) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_read_slice(r, out, size));
    out->len--;
    return out->p[out->len] == 0 ? CS_OK : CS_E_FORMAT;
}

static cs_err check_file(cs_newc_file *f)
{
    if (f->path.len > 2 && f->path.p[0] == '.' && f->path.p[1] == '/') {
        f->path = cs_slice_of(f->path.p + 2, f->path.len - 2);
    }
    if (!path_ok(f->path) && !cs_slice_eq_str(f->path, ".")) {
        return CS_E_FORMAT;
    }
    return f->data.len == 0 || S_ISREG(f->mode) || S_ISLNK(f->mode) ? CS_OK : CS_E_FORMAT;
}

cs_err cs_newc_next(cs_newc *r, cs_newc_file *out, bool *out_more)
{
    cs_reader rd = cs_reader_of(cs_slice_of(r->archive.p + r->at, r->archive.len - r->at));
    uint32_t v[NUM_FIELDS] = {0};
    cs_newc_file f = {0};
    cs_slice magic;

    if (rd.left < HEADER_LEN) {
        return CS_E_FORMAT; /* the trailer is missing */
    }
    CS_TRY(cs_read_slice(&rd, &magic, 6));
    if (!cs_slice_eq_str(magic, "070701")) {
        return CS_E_FORMAT;
    }
    for (size_t i = 0; i < NUM_FIELDS; i++) {
        CS_TRY(read_hex(&rd, &v[i]));
    }
    f = (cs_newc_file){.mode = v[1],
                       .uid = v[2],
                       .gid = v[3],
                       .num_links = v[4],
                       .mtime = v[5],
                       .rdev_major = v[9],
                       .rdev_minor = v[10]};
    CS_TRY(read_name(&rd, &f.path, v[11]));
    CS_TRY(read_padding(&rd, &r->archive));
    CS_TRY(cs_read_slice(&rd, &f.data, v[6]));
    if (cs_slice_eq_str(f.path, trailer_name)) {
        if (f.data.len > 0 || !all_zero(cs_slice_of(rd.p, rd.left))) {
            return CS_E_FORMAT;
        }
        *out_more = false;
        return CS_OK;
    }
    CS_TRY(read_padding(&rd, &r->archive));
    CS_TRY(check_file(&f));
    r->at = r->archive.len - rd.left;
    *out = f;
    *out_more = true;
    return CS_OK;
}

const char *cs_newc_compressed(cs_slice ramdisk)
{
    static const struct {
        const char *name, *magic;
        size_t len;
    } known[] = {{"gzip", "\x1f\x8b", 2},
                 {"xz",
                  "\xfd"
                  "7zXZ",
                  5},
                 {"zstd", "\x28\xb5\x2f\xfd", 4},
                 {"lz4", "\x02\x21\x4c\x18", 4},
                 {"lzop", "\x89LZO", 4},
                 {"bzip2", "BZh", 3},
                 {"lzma", "\x5d\x00\x00", 3}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (ramdisk.len >= known[i].len && memcmp(ramdisk.p, known[i].magic, known[i].len) == 0) {
            return known[i].name;
        }
    }
    return NULL;
}
