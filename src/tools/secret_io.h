/*
 * Files of the tools: secrets are read straight into the arena; files are written 0600 and appear whole or not at all;
 * passphrases come from a file or from the terminal, never from arguments or the environment.
 */
#ifndef CS_TOOLS_SECRET_IO_H
#define CS_TOOLS_SECRET_IO_H

#include "base/bytes.h"
#include "secret/age.h"
#include "secret/mem.h"

/* cs_tool_arena - the process's arena, size bytes at least (only touched pages cost memory); a warning when it cannot be locked. */
CS_MUST cs_err cs_tool_arena(size_t size);
/* cs_tool_read - the file ("-": standard input), at most max bytes, into a new arena buffer: cs_secret_buf_free. CS_E_IO | CS_E_TOO_LARGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_tool_read(cs_buf *out, const char *path, size_t max);
/* cs_tool_size - bytes of a regular file; 0 when unknown. */
size_t cs_tool_size(const char *path);

/* A file under way: path.tmp-RANDOM beside its final name, mode 0600. */
typedef struct cs_tool_file {
    char *tmp, *path;
    int fd;
} cs_tool_file;
/* cs_tool_create - CS_E_EXISTS (path is there and not force) | CS_E_IO. */
CS_MUST cs_err cs_tool_create(cs_tool_file *f, const char *path, bool force);
/* cs_tool_write - an age sink too: cookie is the cs_tool_file. */
CS_MUST cs_err cs_tool_write(void *file, cs_slice piece);
/*
 * cs_tool_seal - cs_tool_create, and the text in it, sealed to `to` (NULL: as it is); commit or abandon it. As cs_tool_create, and
 * errors of age.
 */
CS_MUST cs_err cs_tool_seal(cs_tool_file *f, const char *path, bool force, cs_slice text, const cs_age_to *to);
/* cs_tool_commit - sync, then the final name; without force an existing file is never replaced. CS_E_EXISTS | CS_E_IO. */
CS_MUST cs_err cs_tool_commit(cs_tool_file *f, bool force);
/* cs_tool_abandon - removes what is not committed; a committed or zero file is left alone. */
void cs_tool_abandon(cs_tool_file *f);

/*
 * cs_tool_passphrase - first line of path; path NULL: asked on the terminal (twice when confirm). Arena buffer.
 * CS_E_USAGE (no file and no terminal, empty, not the same twice) | CS_E_IO.
 */
CS_MUST cs_err cs_tool_passphrase(cs_buf *out, const char *path, bool confirm);
/* cs_tool_publisher - the 32-byte seed of a publisher key file (64 hex digits). CS_E_FORMAT | CS_E_IO. */
CS_MUST cs_err cs_tool_publisher(cs_secret32 *out_seed, const char *path);

#endif
