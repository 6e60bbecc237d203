/*
 * Log lines that wait for the parent: one bounded ring for each source, so that a program that writes without end loses its own
 * lines and nobody else's. Lines come out in the order in which they came in. Pure.
 */
#ifndef CS_INIT_BACKLOG_H
#define CS_INIT_BACKLOG_H

#include "base/launch_table.h"
#include "init/lines.h"

#define CS_BACKLOG_BYTES 65536u                /* of one source */
#define CS_BACKLOG_INIT CS_LAUNCH_NUM_PROGRAMS /* the source that is sign-init itself */
#define CS_BACKLOG_SOURCES (CS_LAUNCH_NUM_PROGRAMS + 1)

typedef struct cs_backlog {
    struct cs_backlog_ring {
        size_t first, used;
        uint64_t dropped;
        uint8_t bytes[CS_BACKLOG_BYTES];
    } ring[CS_BACKLOG_SOURCES];
    uint64_t next; /* number of the next line */
} cs_backlog;

typedef struct cs_backlog_line {
    unsigned source;
    uint64_t dropped; /* lines of this source that were lost since the last one that was taken */
    size_t len;
    uint8_t bytes[CS_LINE_MAX + 1];
} cs_backlog_line;

/* cs_backlog_put - keep a line of 1 to CS_LINE_MAX + 1 bytes (else ignored); the oldest of the source give way. */
void cs_backlog_put(cs_backlog *b, unsigned source, cs_slice line);
/* cs_backlog_take - the oldest line; false: there is none. */
bool cs_backlog_take(cs_backlog *b, cs_backlog_line *out);

#endif
