/*
 * Configuration files: a strict subset of YAML (libyaml's parser) as a flat list of "group.name" entries with line numbers.
 * A file is one map of groups; a group is a map of names; below a name stands one text, a list of texts or a map of texts.
 * Refused: names that the caller does not know (with the nearest known one), anything that is there twice, anchors, aliases,
 * tags, deeper nesting, NUL bytes, a second document, more than the limits below. Texts are UTF-8 as libyaml checked them;
 * types and ranges are the caller's. For host programs and tools: enclave programs read compiled CBOR (docs/formats/config.md).
 * Blocking only in what the caller reads; no files, no globals.
 */
#ifndef CS_NET_YAML_H
#define CS_NET_YAML_H

#include "base/bytes.h"

#define CS_YAML_MAX 65536u   /* bytes of a file */
#define CS_YAML_ENTRIES 128u /* names given, and groups, in one file */
#define CS_YAML_ITEMS 1024u  /* texts of all entries */

/* Where and why: one printable line that names the key; line 0 when it is about the whole file. */
typedef struct cs_yaml_fault {
    unsigned line;
    char text[240];
} cs_yaml_fault;

typedef enum cs_yaml_kind { CS_YAML_TEXT, CS_YAML_LIST, CS_YAML_MAP } cs_yaml_kind;

/* One text. Unquoted nothing, "~" and "null" are nothing (an empty text with null set). */
typedef struct cs_yaml_item {
    const char *name; /* CS_YAML_MAP only; else NULL */
    const char *text;
    unsigned line;
    bool null;
} cs_yaml_item;

typedef struct cs_yaml_entry {
    const char *key; /* the known name, "group.name": the caller's own pointer */
    cs_yaml_kind kind;
    unsigned line;
    const cs_yaml_item *items; /* CS_YAML_TEXT: exactly one */
    size_t num_items;
} cs_yaml_entry;

typedef struct cs_yaml cs_yaml;

/*
 * cs_yaml_read - known: all names "group.name" that may be there, at least one, ends with NULL; must outlive *out.
 * CS_E_TOO_LARGE (bytes or number of things) | CS_E_CONFIG_KEY (unknown name) | CS_E_CONFIG (everything else that is refused)
 * | CS_E_NO_MEMORY. *fault says more on every error but the last; *out is written on CS_OK only, to be freed by the caller.
 */
CS_MUST cs_err cs_yaml_read(cs_yaml **out, cs_yaml_fault *fault, cs_slice text, const char *const *known);
void cs_yaml_free(cs_yaml *y);

/* cs_yaml_get - the entry of a known name; NULL when the file does not have it. */
const cs_yaml_entry *cs_yaml_get(const cs_yaml *y, const char *key);

/* cs_yaml_nearest - the known name (list as in cs_yaml_read) that is most like `name`. */
const char *cs_yaml_nearest(const char *const *known, const char *name);
/* cs_yaml_fail - fill *fault (bytes that cannot be printed become '?') and return err. */
__attribute__((format(printf, 4, 5))) cs_err cs_yaml_fail(cs_yaml_fault *fault, unsigned line, cs_err err,
                                                          const char *fmt, ...);

/*
 * cs_yaml_text, cs_yaml_u64 - the value of a name, or def when the file does not have it. Text: min..max bytes, valid as long
 * as y. Number: decimal, min..max. CS_E_CONFIG with *fault (a list or map, wrong length, no number, range); *out as before.
 */
CS_MUST cs_err cs_yaml_text(const char **out, const cs_yaml *y, cs_yaml_fault *fault, const char *key, const char *def,
                            size_t min, size_t max);
CS_MUST cs_err cs_yaml_u64(uint64_t *out, const cs_yaml *y, cs_yaml_fault *fault, const char *key, uint64_t def,
                           uint64_t min, uint64_t max);

#endif
