/* See yaml.h. Events of libyaml, never its document tree: nothing is expanded, and what is refused is refused where it stands. */
#include "net/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/text.h"

#define PATH_MAX_BYTES 160

struct cs_yaml {
    cs_yaml_entry entries[CS_YAML_ENTRIES];
    cs_yaml_item items[CS_YAML_ITEMS];
    const char *groups[CS_YAML_ENTRIES];
    size_t num_entries, num_items, num_groups;
    size_t pool_len, pool_cap;
    char pool[]; /* all texts, each with its NUL */
};

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool have_event;
    cs_yaml *y;
    cs_yaml_fault *fault;
    const char *const *known;
} reader;

static cs_err vfail(cs_yaml_fault *fault, unsigned line, cs_err err, const char *fmt, va_list args)
{
    fault->line = line;
    (void)vsnprintf(fault->text, sizeof fault->text, fmt, args);
    /* what the file says may be any bytes: keep the message one printable line */
    for (char *p = fault->text; *p != '\0'; p++) {
        *p = *p < 0x20 || *p > 0x7e ? '?' : *p;
    }
    return err;
}

cs_err cs_yaml_fail(cs_yaml_fault *fault, unsigned line, cs_err err, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    err = vfail(fault, line, err, fmt, args);
    va_end(args);
    return err;
}

static unsigned line_of(const reader *r)
{
    return (unsigned)r->event.start_mark.line + 1;
}

/* A fault at the current event. */
__attribute__((format(printf, 3, 4))) static cs_err fail_here(const reader *r, cs_err err, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    err = vfail(r->fault, line_of(r), err, fmt, args);
    va_end(args);
    return err;
}

/* ---------------------------------------------------------------- events */

static cs_err refuse_sharing(const reader *r)
{
    const yaml_event_t *e = &r->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;

    switch (e->type) {
    case YAML_ALIAS_EVENT:
        return fail_here(r, CS_E_CONFIG, "an alias (*name): write the value out");
    case YAML_SCALAR_EVENT:
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor != NULL) {
        return fail_here(r, CS_E_CONFIG, "an anchor (&name): write the value out");
    }
    return tag != NULL ? fail_here(r, CS_E_CONFIG, "a tag (!name): types are fixed, leave it out") : CS_OK;
}

static cs_err next(reader *r)
{
    if (r->have_event) {
        yaml_event_delete(&r->event);
        r->have_event = false;
    }
    if (yaml_parser_parse(&r->parser, &r->event) == 0) {
        /* libyaml sets no error on some of its failed allocations; a fault of the text always has a description */
        if (r->parser.error == YAML_MEMORY_ERROR || r->parser.problem == NULL) {
            return CS_E_NO_MEMORY;
        }
        return cs_yaml_fail(r->fault, (unsigned)r->parser.problem_mark.line + 1, CS_E_CONFIG, "not YAML: %s",
                            r->parser.problem);
    }
    r->have_event = true;
    return refuse_sharing(r);
}

/* The current event's text, kept; it must be a scalar. about: the key, for the message. */
static cs_err keep(reader *r, const char **out, const char *about)
{
    const yaml_char_t *text = r->event.data.scalar.value;
    size_t len = r->event.data.scalar.length;
    cs_yaml *y = r->y;

    if (memchr(text, '\0', len) != NULL) {
        return fail_here(r, CS_E_CONFIG, "%s: a NUL byte", about);
    }
    if (len >= y->pool_cap - y->pool_len) {
        return fail_here(r, CS_E_TOO_LARGE, "%s: the texts are too long", about);
    }
    *out = memcpy(y->pool + y->pool_len, text, len);
    y->pool[y->pool_len + len] = '\0';
    y->pool_len += len + 1;
    return CS_OK;
}

/* Unquoted, and one of the forms that say "nothing". */
static bool is_null(const yaml_event_t *e)
{
    static const char *const forms[] = {"", "~", "null", "Null", "NULL"};
    bool found = false;

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        found |= strcmp((const char *)e->data.scalar.value, forms[i]) == 0;
    }
    return found && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* The current scalar as one more item of the entry that is being read. */
static cs_err add_item(reader *r, const char *name, const char *about)
{
    cs_yaml *y = r->y;
    const char *text = "";

    if (r->event.type != YAML_SCALAR_EVENT) {
        return fail_here(r, CS_E_CONFIG, "%s: too deep: one text is wanted here", about);
    }
    if (y->num_items == CS_YAML_ITEMS) {
        return fail_here(r, CS_E_TOO_LARGE, "%s: more than %u values", about, CS_YAML_ITEMS);
    }
    CS_TRY(keep(r, &text, about));
    bool null = is_null(&r->event);
    y->items[y->num_items++] = (cs_yaml_item){name, null ? "" : text, line_of(r), null};
    return CS_OK;
}

/* ---------------------------------------------------------------- names */

static bool is_group(const reader *r, const char *name)
{
    size_t len = strlen(name);

    for (const char *const *k = r->known; *k != NULL; k++) {
        if (strncmp(*k, name, len) == 0 && (*k)[len] == '.') {
            return true;
        }
    }
    return false;
}

const char *cs_yaml_nearest(const char *const *known, const char *name)
{
    const char *best = known[0];
    char word[CS_EDIT_MAX + 1];
    size_t least = SIZE_MAX;

    (void)snprintf(word, sizeof word, "%s", name);
    for (const char *const *k = known; *k != NULL; k++) {
        size_t d = cs_edit_distance(word, *k);
        if (d < least) {
            least = d;
            best = *k;
        }
    }
    return best;
}

static cs_err unknown_key(const reader *r, const char *path)
{
    return fail_here(r, CS_E_CONFIG_KEY, "unknown key %.80s; the nearest known one is %s", path,
                     cs_yaml_nearest(r->known, path));
}

/* The name of a group is compared with those of the known groups, unless it is written like a whole name. */
static cs_err unknown_group(const reader *r, const char *name)
{
    char word[CS_EDIT_MAX + 1], group[CS_EDIT_MAX + 1], best[CS_EDIT_MAX + 1] = "";
    size_t least = SIZE_MAX;

    if (strchr(name, '.') != NULL) {
        return unknown_key(r, name);
    }
    (void)snprintf(word, sizeof word, "%s", name);
    for (const char *const *k = r->known; *k != NULL; k++) {
        (void)snprintf(group, sizeof group, "%.*s", (int)strcspn(*k, "."), *k);
        size_t d = cs_edit_distance(word, group);
        if (d < least) {
            least = d;
            memcpy(best, group, sizeof best);
        }
    }
    return fail_here(r, CS_E_CONFIG_KEY, "unknown key %.80s; the nearest known one is %s", name, best);
}

/* ---------------------------------------------------------------- the tree */

/* Items until the list ends. */
static cs_err read_list(reader *r, const char *about)
{
    CS_TRY(next(r));
    while (r->event.type != YAML_SEQUENCE_END_EVENT) {
        CS_TRY(add_item(r, NULL, about));
        CS_TRY(next(r));
    }
    return CS_OK;
}

static cs_err read_map(reader *r, const char *about, size_t first)
{
    cs_yaml *y = r->y;
    const char *name = "";

    CS_TRY(next(r));
    while (r->event.type != YAML_MAPPING_END_EVENT) {
        if (r->event.type != YAML_SCALAR_EVENT) {
            return fail_here(r, CS_E_CONFIG, "%s: a name is wanted here", about);
        }
        CS_TRY(keep(r, &name, about));
        for (size_t i = first; i < y->num_items; i++) {
            if (strcmp(y->items[i].name, name) == 0) {
                return fail_here(r, CS_E_CONFIG, "%s: an entry is there twice", about);
            }
        }
        CS_TRY(next(r));
        CS_TRY(add_item(r, name, about));
        CS_TRY(next(r));
    }
    return CS_OK;
}

/* The current event begins the value of `key`. */
static cs_err read_value(reader *r, const char *key, unsigned line)
{
    cs_yaml *y = r->y;
    size_t first = y->num_items;
    cs_yaml_kind kind = CS_YAML_TEXT;

    if (y->num_entries == CS_YAML_ENTRIES) {
        return fail_here(r, CS_E_TOO_LARGE, "more than %u keys", CS_YAML_ENTRIES);
    }
    if (r->event.type == YAML_SEQUENCE_START_EVENT) {
        kind = CS_YAML_LIST;
        CS_TRY(read_list(r, key));
    } else if (r->event.type == YAML_MAPPING_START_EVENT) {
        kind = CS_YAML_MAP;
        CS_TRY(read_map(r, key, first));
    } else {
        CS_TRY(add_item(r, NULL, key));
    }
    y->entries[y->num_entries++] = (cs_yaml_entry){key, kind, line, y->items + first, y->num_items - first};
    return CS_OK;
}

/* The current event is the first part of a name below `group`. */
static cs_err read_name(reader *r, const char *group)
{
    unsigned line = line_of(r);
    char path[PATH_MAX_BYTES];
    const char *last = "?";

    if (r->event.type == YAML_SCALAR_EVENT) {
        CS_TRY(keep(r, &last, group));
    }
    (void)snprintf(path, sizeof path, "%s.%s", group, last);
    const char *const *k = r->known;
    while (*k != NULL && strcmp(*k, path) != 0) {
        k++;
    }
    if (*k == NULL) {
        return unknown_key(r, path);
    }
    if (cs_yaml_get(r->y, *k) != NULL) {
        return fail_here(r, CS_E_CONFIG, "%s is there twice", path);
    }
    CS_TRY(next(r));
    return read_value(r, *k, line);
}

/* The current event is a name of the root. */
static cs_err read_group(reader *r)
{
    cs_yaml *y = r->y;
    const char *name = "?";

    if (r->event.type == YAML_SCALAR_EVENT) {
        CS_TRY(keep(r, &name, "the file"));
    }
    if (!is_group(r, name)) {
        return unknown_group(r, name);
    }
    for (size_t i = 0; i < y->num_groups; i++) {
        /* what a second one adds would be easy to overlook */
        if (strcmp(y->groups[i], name) == 0) {
            return fail_here(r, CS_E_CONFIG, "%s is there twice", name);
        }
    }
    y->groups[y->num_groups++] =
        name; /* as many as there are known groups at most, and those are bounded by the caller */
    CS_TRY(next(r));
    if (r->event.type != YAML_MAPPING_START_EVENT) {
        return fail_here(r, CS_E_CONFIG, "%s: keys are wanted below it", name);
    }
    CS_TRY(next(r));
    while (r->event.type != YAML_MAPPING_END_EVENT) {
        CS_TRY(read_name(r, name));
        CS_TRY(next(r));
    }
    return CS_OK;
}

static cs_err read_file(reader *r)
{
    CS_TRY(next(r)); /* the stream starts */
    CS_TRY(next(r));
    if (r->event.type == YAML_DOCUMENT_START_EVENT) {
        CS_TRY(next(r));
    }
    if (r->event.type != YAML_MAPPING_START_EVENT) {
        return fail_here(r, CS_E_CONFIG, "the file is not a map of keys");
    }
    CS_TRY(next(r));
    while (r->event.type != YAML_MAPPING_END_EVENT) {
        CS_TRY(read_group(r));
        CS_TRY(next(r));
    }
    CS_TRY(next(r)); /* the document ends */
    CS_TRY(next(r));
    return r->event.type == YAML_STREAM_END_EVENT ? CS_OK : fail_here(r, CS_E_CONFIG, "one YAML document is wanted");
}

cs_err cs_yaml_read(cs_yaml **out, cs_yaml_fault *fault, cs_slice text, const char *const *known)
{
    reader r = {.fault = fault, .known = known};
    size_t num_known = 0;

    *fault = (cs_yaml_fault){0};
    while (known[num_known] != NULL) {
        num_known++;
    }
    if (text.len > CS_YAML_MAX) {
        return cs_yaml_fail(fault, 0, CS_E_TOO_LARGE, "the file is longer than %u bytes", CS_YAML_MAX);
    }
    if (num_known == 0 || num_known > CS_YAML_ENTRIES) {
        return cs_yaml_fail(fault, 0, CS_E_INTERNAL, "between 1 and %u names are known", CS_YAML_ENTRIES);
    }
    /* an escape of two bytes becomes at most three; each text has a NUL, and may be empty */
    size_t cap = 2 * text.len + 3 * CS_YAML_ITEMS;
    r.y = calloc(1, sizeof *r.y + cap);
    if (r.y == NULL) {
        return CS_E_NO_MEMORY;
    }
    r.y->pool_cap = cap;
    if (yaml_parser_initialize(&r.parser) == 0) {
        free(r.y);
        return CS_E_NO_MEMORY;
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, text.len > 0 ? text.p : (const uint8_t *)"", text.len);
    cs_err err = read_file(&r);
    if (r.have_event) {
        yaml_event_delete(&r.event);
    }
    yaml_parser_delete(&r.parser);
    if (err != CS_OK) {
        free(r.y);
        return err;
    }
    *out = r.y;
    return CS_OK;
}

void cs_yaml_free(cs_yaml *y)
{
    free(y);
}

/* ---------------------------------------------------------------- values */

const cs_yaml_entry *cs_yaml_get(const cs_yaml *y, const char *key)
{
    for (size_t i = 0; i < y->num_entries; i++) {
        if (strcmp(y->entries[i].key, key) == 0) {
            return &y->entries[i];
        }
    }
    return NULL;
}

cs_err cs_yaml_text(const char **out, const cs_yaml *y, cs_yaml_fault *fault, const char *key, const char *def,
                    size_t min, size_t max)
{
    const cs_yaml_entry *e = cs_yaml_get(y, key);

    if (e == NULL) {
        *out = def;
        return CS_OK;
    }
    if (e->kind != CS_YAML_TEXT) {
        return cs_yaml_fail(fault, e->line, CS_E_CONFIG, "%s: one value is wanted", key);
    }
    size_t len = strlen(e->items[0].text);
    if (len < min || len > max) {
        return cs_yaml_fail(fault, e->line, CS_E_CONFIG, "%s: text of %zu to %zu bytes is wanted", key, min, max);
    }
    *out = e->items[0].text;
    return CS_OK;
}

cs_err cs_yaml_u64(uint64_t *out, const cs_yaml *y, cs_yaml_fault *fault, const char *key, uint64_t def, uint64_t min,
                   uint64_t max)
{
    const cs_yaml_entry *e = cs_yaml_get(y, key);
    uint64_t v = def;

    if (e != NULL && e->kind != CS_YAML_TEXT) {
        return cs_yaml_fail(fault, e->line, CS_E_CONFIG, "%s: one value is wanted", key);
    }
    if (e != NULL && (cs_parse_u64(cs_slice_str(e->items[0].text), max, &v) != CS_OK || v < min)) {
        return cs_yaml_fail(fault, e->line, CS_E_CONFIG, "%s: a number of %llu to %llu is wanted", key,
                            (unsigned long long)min, (unsigned long long)max);
    }
    *out = v;
    return CS_OK;
}
