/* Bytes of a program's log to whole lines. Pure. */
#ifndef CS_INIT_LINES_H
#define CS_INIT_LINES_H

#include "base/bytes.h"

#define CS_LINE_MAX 8192u /* bytes without LF; a longer line is cut into lines (docs/formats/launch.md) */

typedef struct cs_lines {
    size_t len;
    uint8_t bytes[CS_LINE_MAX + 1];
} cs_lines;

/* A line with its LF, 1 to CS_LINE_MAX + 1 bytes. */
typedef void cs_lines_fn(void *cookie, cs_slice line);

/* cs_lines_feed - give out each line that `in` completes or cuts, keep the rest. */
void cs_lines_feed(cs_lines *l, cs_slice in, cs_lines_fn *fn, void *cookie);
/* cs_lines_end - what is left becomes a line. */
void cs_lines_end(cs_lines *l, cs_lines_fn *fn, void *cookie);

#endif
