/* Deterministic newc cpio, see newc.h. Source: cpio(5) "New ASCII Format"; Linux Documentation/driver-api/early-userspace/buffer-format. */
#include "codec/newc.h"

#include <string.h>
#include <sys/stat.h>

#define MAX_PATH_LEN 1023

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
                      num_links, 0U, (unsigned)e->data.len, 0U, 0U, 0U, 0U, (unsigned)name_len, 0U));
    CS_TRY(cs_put(out, e->path, name_len));
    CS_TRY(pad4(out, start));
    CS_TRY(cs_put_slice(out, e->data));
    return pad4(out, start);
}

static bool path_ok(const char *path)
{
    size_t len = strnlen(path, MAX_PATH_LEN + 1);

    if (len == 0 || len > MAX_PATH_LEN) {
        return false;
    }
    for (const char *part = path;;) {
        size_t part_len = strcspn(part, "/");

        if (part_len == 0 || (part_len == 1 && part[0] == '.') || (part_len == 2 && memcmp(part, "..", 2) == 0)) {
            return false;
        }
        if (part[part_len] == '\0') {
            return true;
        }
        part += part_len + 1;
    }
}

static bool entry_ok(const cs_newc_entry *e)
{
    bool type_ok = S_ISREG(e->mode) || S_ISLNK(e->mode) || (S_ISDIR(e->mode) && e->data.len == 0);

    return type_ok && e->mode <= 0177777 && e->data.len <= UINT32_MAX && path_ok(e->path);
}

static cs_err put_all(cs_buf *out, const cs_newc_entry *entries, size_t num_entries)
{
    static const cs_newc_entry trailer = {.path = "TRAILER!!!"};
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
