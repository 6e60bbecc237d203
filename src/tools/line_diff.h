/* What changed between two texts of lines, in the unified form of diff -u. */
#ifndef CS_TOOLS_LINE_DIFF_H
#define CS_TOOLS_LINE_DIFF_H

#include "base/bytes.h"

#define CS_DIFF_MAX_LINES 4096
#define CS_DIFF_CONTEXT 3

/*
 * cs_line_diff - append "--- NAME", "+++ NAME" and hunks with CS_DIFF_CONTEXT lines around; nothing when the texts are equal. colour: red,
 * green and cyan of a terminal. CS_E_TOO_LARGE (more than CS_DIFF_MAX_LINES lines) | CS_E_NO_MEMORY | CS_E_RANGE (out).
 */
typedef struct cs_diff_names {
    const char *before, *after;
} cs_diff_names;
CS_MUST cs_err cs_line_diff(cs_buf *out, const char *before, const char *after, const cs_diff_names *names,
                            bool colour);

#endif
