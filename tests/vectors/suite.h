/*
 * Runner of external test vectors: one suite per folder, counted case by case.
 * A suite is `void cs_suite_NAME(cs_suite *s, const char *dir)`, entered in suites.h under its folder's name. It counts
 * every case exactly once: pass, fail or skip. Each suite runs in a process of its own, so that a crash fails one suite.
 */
#ifndef CS_TESTS_SUITE_H
#define CS_TESTS_SUITE_H

#include <jansson.h>

#include "base/bytes.h"

typedef struct cs_suite {
    const char *name;
    unsigned passed, failed, skipped;
} cs_suite;

void cs_suite_pass(cs_suite *s);
/* cs_suite_fail - file and what (e.g. "tcId 17: accepted") are printed on stderr. */
void cs_suite_fail(cs_suite *s, const char *file, const char *what);
__attribute__((format(printf, 3, 4))) void cs_suite_failf(cs_suite *s, const char *file, const char *fmt, ...);
/* cs_suite_skip - one case whose component does not exist; why is printed once for each different text. */
void cs_suite_skip(cs_suite *s, const char *why);
/* cs_suite_skip_many - the same for n cases at once. */
void cs_suite_skip_many(cs_suite *s, unsigned n, const char *why);
/* cs_suite_check - pass or fail by ok. */
void cs_suite_check(cs_suite *s, bool ok, const char *file, const char *what);

/* cs_suite_read - whole file (<= 64 MiB) into out, which becomes a heap buffer; free with cs_buf_free. CS_E_IO. */
CS_MUST cs_err cs_suite_read(const char *path, cs_buf *out);
/* cs_suite_path - "dir/name" in out; too long aborts. */
#define CS_SUITE_PATH 4096
void cs_suite_path(char out[CS_SUITE_PATH], const char *dir, const char *name);
/* cs_suite_json - parsed file (NUL allowed in strings) or NULL after counting a failure; json_decref by the caller. */
json_t *cs_suite_json(cs_suite *s, const char *path);
/* cs_suite_str - text of obj[key]; "" when absent or no string. Borrowed. */
const char *cs_suite_str(const json_t *obj, const char *key);
/* cs_suite_hex - bytes of the hex string obj[key] in a heap buffer (freed by the caller); CS_E_FORMAT. */
CS_MUST cs_err cs_suite_hex(const json_t *obj, const char *key, cs_buf *out);
/* cs_suite_hex_text - the same from a C string. */
CS_MUST cs_err cs_suite_hex_text(const char *hex, cs_buf *out);

/*
 * cs_suite_walk - fn for every regular file below dir whose name ends with suffix, in name order. README.txt is left out. A file of
 * which fn counts nothing is a failure. cs_suite_visit - the same, for files that are no cases of their own.
 */
typedef void cs_suite_file_fn(cs_suite *s, const char *path, void *cookie);
void cs_suite_walk(cs_suite *s, const char *dir, const char *suffix, cs_suite_file_fn *fn, void *cookie);
void cs_suite_visit(cs_suite *s, const char *dir, const char *suffix, cs_suite_file_fn *fn, void *cookie);
/* cs_suite_looked_at - this file is known; cs_suite_read and cs_suite_walk say so themselves. */
void cs_suite_looked_at(const char *path);
/* cs_suite_leftovers - at the end of a suite: files that nothing looked at are skips with their names; no case at all fails. */
void cs_suite_leftovers(cs_suite *s, const char *dir);

#endif
