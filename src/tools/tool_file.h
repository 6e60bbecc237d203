/* Files of signctl's commands: whole inputs, and outputs that appear only when they are complete. */
#ifndef CS_TOOLS_TOOL_FILE_H
#define CS_TOOLS_TOOL_FILE_H

#include <stdio.h>

#include "base/opts.h"

/*
 * cs_tfile_read - append the whole of a file, or of standard input for "-", to out, which bounds it.
 * CS_E_NOT_FOUND | CS_E_IO | CS_E_TOO_LARGE. Secret files are read into secret memory by giving such a buffer.
 */
CS_MUST cs_err cs_tfile_read(cs_buf *out, const char *path);
/* cs_tfile_stream - the same in pieces of up to 64 KiB, each to fn; buf (given by the caller) holds one piece and bounds it. */
CS_MUST cs_err cs_tfile_stream(cs_buf *buf, const char *path, cs_err (*fn)(void *cookie, cs_slice piece), void *cookie);

/*
 * An output file: written beside its place under a temporary name, mode 0600, and moved there by commit. path NULL or "-" is
 * standard output, where pieces go at once, as they do to a device or pipe.
 */
typedef struct cs_tfile_out {
    const char *path; /* NULL: no temporary file; what is written is there at once */
    char temp[4096];
    FILE *file;
    bool keep_existing; /* commit refuses to replace a file: CS_E_EXISTS */
} cs_tfile_out;

/* cs_tfile_out_open - CS_E_IO | CS_E_EXISTS (keep_existing) | CS_E_RANGE (path too long). */
CS_MUST cs_err cs_tfile_out_open(cs_tfile_out *o, const char *path, bool keep_existing);
/* cs_tfile_out_write - a cookie function for streams: cookie is the cs_tfile_out. CS_E_IO. */
CS_MUST cs_err cs_tfile_out_write(void *cookie, cs_slice piece);
/* cs_tfile_out_commit - the file is complete: flush, sync and move. CS_E_IO | CS_E_EXISTS. */
CS_MUST cs_err cs_tfile_out_commit(cs_tfile_out *o);
/* cs_tfile_out_all - these bytes and nothing else: write, commit, close; closed in any case. CS_E_IO | CS_E_EXISTS. */
CS_MUST cs_err cs_tfile_out_all(cs_tfile_out *o, cs_slice bytes);
/* cs_tfile_out_close - drops what was not committed. The zero state is fine. */
void cs_tfile_out_close(cs_tfile_out *o);

#endif
