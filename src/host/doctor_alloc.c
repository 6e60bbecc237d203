/* See doctor_alloc.h. */
#include "host/doctor_alloc.h"

#include <string.h>

#include "base/text.h"

#define LINE_MAX_BYTES 4096u

/* ---------------------------------------------------------------- lists of CPUs */

static cs_err add(cs_doctor_cpus *c, uint64_t first, uint64_t last)
{
    if (last < first) {
        return CS_E_FORMAT;
    }
    for (uint64_t n = first; n <= last; n++) {
        if ((c->bit[n / 64] >> (n % 64) & 1) != 0) {
            return CS_E_FORMAT;
        }
        c->bit[n / 64] |= UINT64_C(1) << (n % 64);
    }
    return CS_OK;
}

/* "7" or "3-5" */
static cs_err add_range(cs_doctor_cpus *c, cs_slice item)
{
    const uint8_t *dash = item.len > 0 ? memchr(item.p, '-', item.len) : NULL;
    size_t n = dash != NULL ? (size_t)(dash - item.p) : item.len;
    uint64_t first, last;

    CS_TRY(cs_parse_u64(cs_slice_of(item.p, n), CS_DOCTOR_CPUS - 1, &first));
    last = first;
    if (dash != NULL) {
        CS_TRY(cs_parse_u64(cs_slice_of(dash + 1, item.len - n - 1), CS_DOCTOR_CPUS - 1, &last));
    }
    return add(c, first, last);
}

cs_err cs_doctor_alloc_cpus(cs_doctor_cpus *out, cs_slice text)
{
    cs_doctor_cpus c = {{0}};

    if (text.len > 0 && text.p[text.len - 1] == '\n') {
        text.len--;
    }
    if (text.len == 0) {
        return CS_E_FORMAT;
    }
    for (;;) {
        const uint8_t *comma = text.len > 0 ? memchr(text.p, ',', text.len) : NULL;
        size_t n = comma != NULL ? (size_t)(comma - text.p) : text.len;
        CS_TRY(add_range(&c, cs_slice_of(text.p, n)));
        if (comma == NULL) {
            break;
        }
        text = cs_slice_of(comma + 1, text.len - n - 1);
    }
    *out = c;
    return CS_OK;
}

unsigned cs_doctor_alloc_count(const cs_doctor_cpus *c)
{
    unsigned n = 0;

    for (size_t i = 0; i < CS_DOCTOR_CPUS / 64; i++) {
        n += (unsigned)__builtin_popcountll(c->bit[i]);
    }
    return n;
}

/* ---------------------------------------------------------------- allocator.yaml */

typedef struct reading {
    cs_doctor_alloc a;
    bool begun, memory, count; /* "---" was there; the keys */
} reading;

/* Without a comment: "#" at the start or behind a blank. */
static cs_slice uncomment(cs_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '#' && (i == 0 || s.p[i - 1] == ' ' || s.p[i - 1] == '\t')) {
            s.len = i;
        }
    }
    return s;
}

static cs_err number(uint64_t *out, bool *seen, cs_slice value)
{
    if (*seen) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_parse_u64(value, UINT32_MAX, out));
    *seen = true;
    return *out > 0 ? CS_OK : CS_E_RANGE;
}

static cs_err take(reading *r, cs_slice key, cs_slice value)
{
    if (cs_slice_eq_str(key, "memory_mib")) {
        return number(&r->a.memory_mib, &r->memory, value);
    }
    if (cs_slice_eq_str(key, "cpu_count")) {
        return number(&r->a.cpu_count, &r->count, value);
    }
    if (!cs_slice_eq_str(key, "cpu_pool")) {
        return CS_E_CONFIG_KEY;
    }
    if (r->a.has_pool) {
        return CS_E_FORMAT;
    }
    r->a.has_pool = true;
    return cs_doctor_alloc_cpus(&r->a.pool, value);
}

static cs_err take_line(reading *r, cs_slice line)
{
    cs_slice s = uncomment(line);
    bool indented = s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t');

    s = cs_trim(s, " \t\r");
    if (s.len == 0) {
        return CS_OK;
    }
    if (!r->begun) {
        r->begun = cs_slice_eq_str(s, "---");
        return r->begun && !indented ? CS_OK : CS_E_FORMAT;
    }
    const uint8_t *colon = memchr(s.p, ':', s.len);
    if (indented || colon == NULL || colon + 1 == s.p + s.len || colon[1] != ' ') {
        return CS_E_FORMAT;
    }
    size_t n = (size_t)(colon - s.p);
    return take(r, cs_slice_of(s.p, n), cs_trim(cs_slice_of(colon + 1, s.len - n - 1), " \t\r"));
}

cs_err cs_doctor_alloc_parse(cs_doctor_alloc *out, unsigned *line, cs_slice text)
{
    reading r = {.begun = false};

    *line = 0;
    if (text.len > CS_DOCTOR_ALLOC_MAX) {
        return CS_E_TOO_LARGE;
    }
    while (text.len > 0) {
        const uint8_t *lf = memchr(text.p, '\n', text.len);
        size_t n = lf != NULL ? (size_t)(lf - text.p) : text.len;
        (*line)++;
        if (n > LINE_MAX_BYTES) {
            return CS_E_FORMAT;
        }
        CS_TRY(take_line(&r, cs_slice_of(text.p, n)));
        text = lf != NULL ? cs_slice_of(lf + 1, text.len - n - 1) : CS_SLICE_NULL;
    }
    *line = 0;
    if (!r.begun || !r.memory || r.count == r.a.has_pool) {
        return CS_E_FORMAT;
    }
    if (r.a.has_pool) {
        r.a.cpu_count = cs_doctor_alloc_count(&r.a.pool);
    }
    *out = r.a;
    return CS_OK;
}
