/* Allow-lists: the YAML file and what it allows. See allowlist.h. Events of libyaml, never its document tree. */
#include "host/allowlist.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/text.h"
#include "host/allowlist_int.h"

#define DEPTH_MAX 32

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool have_event;
    cs_allowlist *list;
    cs_allowlist_fault *fault;
} reader;

__attribute__((format(printf, 3, 4))) static cs_err fail(const reader *r, cs_err err, const char *fmt, ...)
{
    va_list args;

    r->fault->line = (unsigned)r->event.start_mark.line + 1;
    va_start(args, fmt);
    (void)vsnprintf(r->fault->text, sizeof r->fault->text, fmt, args);
    va_end(args);
    for (char *p = r->fault->text; *p != '\0'; p++) {
        *p = *p < 0x20 || *p > 0x7e ? '?' : *p;
    }
    return err;
}

/* ---------------------------------------------------------------- events */

static bool shares(const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_ALIAS_EVENT:
        return true;
    case YAML_SCALAR_EVENT:
        return e->data.scalar.anchor != NULL || e->data.scalar.tag != NULL;
    case YAML_SEQUENCE_START_EVENT:
        return e->data.sequence_start.anchor != NULL || e->data.sequence_start.tag != NULL;
    case YAML_MAPPING_START_EVENT:
        return e->data.mapping_start.anchor != NULL || e->data.mapping_start.tag != NULL;
    default:
        return false;
    }
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
        r->event.start_mark = r->parser.problem_mark;
        return fail(r, CS_E_ALLOWLIST, "not YAML: %s", r->parser.problem);
    }
    r->have_event = true;
    return shares(&r->event) ? fail(r, CS_E_ALLOWLIST, "anchors, aliases and tags are not read: write it out") : CS_OK;
}

/* Passes over the value that the current event begins. */
static cs_err skip(reader *r)
{
    unsigned depth = 0;

    for (;;) {
        yaml_event_type_t type = r->event.type;
        if (type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT) {
            depth++;
        } else if (type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT) {
            depth--;
        }
        if (depth == 0) {
            return CS_OK;
        }
        if (depth > DEPTH_MAX) {
            return fail(r, CS_E_ALLOWLIST, "nested too deep");
        }
        CS_TRY(next(r));
    }
}

static cs_slice text_of(const reader *r)
{
    return cs_slice_of(r->event.data.scalar.value, r->event.data.scalar.length);
}

static bool is_key(const reader *r, const char *name)
{
    return r->event.type == YAML_SCALAR_EVENT && cs_slice_eq_str(text_of(r), name);
}

static bool is_plain(const reader *r)
{
    return r->event.type == YAML_SCALAR_EVENT && r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* ---------------------------------------------------------------- an entry */

/* Unquoted words that YAML takes for something that is no text: null, a boolean, a number. */
static bool is_no_text(cs_slice s)
{
    static const char *const words[] = {"",     "~",    "null",  "Null",  "NULL", "true",
                                        "True", "TRUE", "false", "False", "FALSE"};
    char number[64], *end = number;

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (cs_slice_eq_str(s, words[i])) {
            return true;
        }
    }
    if (s.len >= sizeof number) {
        return false;
    }
    memcpy(number, s.p, s.len);
    number[s.len] = '\0';
    (void)strtod(number, &end); /* "10.0.0.1" is not used up; "12" and "1.5" are */
    return *end == '\0';
}

static cs_err read_address(reader *r, cs_allowed *entry)
{
    if (r->event.type != YAML_SCALAR_EVENT || (is_plain(r) && is_no_text(text_of(r)))) {
        return fail(r, CS_E_ALLOWLIST, "address: a name or an address is wanted");
    }
    cs_slice s = text_of(r);
    if (s.len == 0 || s.len >= sizeof entry->host || memchr(s.p, '\0', s.len) != NULL) {
        return fail(r, CS_E_ALLOWLIST, "address: 1 to %zu bytes are wanted", sizeof entry->host - 1);
    }
    memcpy(entry->host, s.p, s.len);
    return CS_OK;
}

static cs_err read_port(reader *r, cs_allowed *entry)
{
    uint64_t port = 0;

    if (!is_plain(r) || cs_parse_u64(text_of(r), UINT16_MAX, &port) != CS_OK || port == 0) {
        return fail(r, CS_E_ALLOWLIST, "port: an integer from 1 to 65535 is wanted");
    }
    entry->port = (uint16_t)port;
    return CS_OK;
}

/* The current event begins a value of an entry's map, `key` is its name. */
static cs_err read_member(reader *r, cs_allowed *entry, bool address, bool port)
{
    if ((address && entry->host[0] != '\0') || (port && entry->port != 0)) {
        return fail(r, CS_E_ALLOWLIST, "%s is there twice", address ? "address" : "port");
    }
    if (address) {
        return read_address(r, entry);
    }
    return port ? read_port(r, entry) : skip(r);
}

static cs_err read_entry(reader *r)
{
    cs_allowed entry = {0};

    if (r->event.type != YAML_MAPPING_START_EVENT) {
        return fail(r, CS_E_ALLOWLIST, "an entry {address: HOST, port: N} is wanted");
    }
    CS_TRY(next(r));
    while (r->event.type != YAML_MAPPING_END_EVENT) {
        bool address = is_key(r, "address"), port = is_key(r, "port");
        CS_TRY(skip(r)); /* the key; it may be anything */
        CS_TRY(next(r));
        CS_TRY(read_member(r, &entry, address, port));
        CS_TRY(next(r));
    }
    if (entry.host[0] == '\0' || entry.port == 0) {
        return fail(r, CS_E_ALLOWLIST, "an entry without %s", entry.host[0] == '\0' ? "address" : "port");
    }
    cs_err err = cs_allowlist_add(r->list, &entry);
    return err == CS_E_TOO_LARGE ? fail(r, err, "more than %u entries", CS_ALLOWLIST_ENTRIES) : err;
}

static cs_err read_entries(reader *r)
{
    if (r->event.type != YAML_SEQUENCE_START_EVENT) {
        return fail(r, CS_E_ALLOWLIST, "allowlist: a list is wanted");
    }
    CS_TRY(next(r));
    while (r->event.type != YAML_SEQUENCE_END_EVENT) {
        CS_TRY(read_entry(r));
        CS_TRY(next(r));
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- the file */

static cs_err read_root(reader *r)
{
    bool found = false;

    CS_TRY(next(r)); /* the stream starts */
    CS_TRY(next(r));
    if (r->event.type == YAML_DOCUMENT_START_EVENT) {
        CS_TRY(next(r));
    }
    if (r->event.type != YAML_MAPPING_START_EVENT) {
        return fail(r, CS_E_ALLOWLIST, "there is no allowlist");
    }
    CS_TRY(next(r));
    while (r->event.type != YAML_MAPPING_END_EVENT) {
        bool here = is_key(r, "allowlist");
        CS_TRY(skip(r));
        CS_TRY(next(r));
        if (here && found) {
            return fail(r, CS_E_ALLOWLIST, "allowlist is there twice");
        }
        CS_TRY(here ? read_entries(r) : skip(r));
        found = found || here;
        CS_TRY(next(r));
    }
    if (!found) {
        return fail(r, CS_E_ALLOWLIST, "there is no allowlist");
    }
    CS_TRY(next(r)); /* the document ends */
    CS_TRY(next(r));
    return r->event.type == YAML_STREAM_END_EVENT ? CS_OK : fail(r, CS_E_ALLOWLIST, "one YAML document is wanted");
}

cs_err cs_allowlist_read(cs_allowlist **out, cs_allowlist_fault *fault, cs_slice yaml)
{
    reader r = {.fault = fault};

    *fault = (cs_allowlist_fault){0};
    if (yaml.len > CS_ALLOWLIST_BYTES) {
        (void)snprintf(fault->text, sizeof fault->text, "the file is longer than %zu bytes", CS_ALLOWLIST_BYTES);
        return CS_E_TOO_LARGE;
    }
    r.list = calloc(1, sizeof *r.list);
    if (r.list == NULL) {
        return CS_E_NO_MEMORY;
    }
    if (yaml_parser_initialize(&r.parser) == 0) {
        free(r.list);
        return CS_E_NO_MEMORY;
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, yaml.len > 0 ? yaml.p : (const uint8_t *)"", yaml.len);
    cs_err err = read_root(&r);
    if (r.have_event) {
        yaml_event_delete(&r.event);
    }
    yaml_parser_delete(&r.parser);
    if (err != CS_OK) {
        cs_allowlist_free(r.list);
        return err;
    }
    *out = r.list;
    return CS_OK;
}

cs_err cs_allowlist_add(cs_allowlist *a, const cs_allowed *entry)
{
    if (a->num == CS_ALLOWLIST_ENTRIES) {
        return CS_E_TOO_LARGE;
    }
    if (a->num == a->cap) {
        size_t cap = a->cap == 0 ? 128 : 2 * a->cap;
        cs_allowed *more = realloc(a->entries, cap * sizeof *more);
        if (more == NULL) {
            return CS_E_NO_MEMORY;
        }
        a->entries = more;
        a->cap = cap;
    }
    a->entries[a->num++] = *entry;
    return CS_OK;
}

size_t cs_allowlist_num(const cs_allowlist *a)
{
    return a->num;
}

const cs_allowed *cs_allowlist_at(const cs_allowlist *a, size_t i)
{
    return &a->entries[i];
}

void cs_allowlist_free(cs_allowlist *a)
{
    if (a != NULL) {
        free(a->entries);
        free(a);
    }
}
