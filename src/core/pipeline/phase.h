/*
 * The phases of core and the only edges between them (architecture 2): one table. WAITING for injection, UNSEALING the first
 * pair of files, SERVING, RELOADING (the old set serves on), STOPPED.
 */
#ifndef CS_CORE_PHASE_H
#define CS_CORE_PHASE_H

#include <stdbool.h>

#define CS_PHASES(X) X(WAITING) X(UNSEALING) X(SERVING) X(RELOADING) X(STOPPED)

typedef enum cs_phase {
#define CS_PHASE_ROW(name) CS_PHASE_##name,
    CS_PHASES(CS_PHASE_ROW)
#undef CS_PHASE_ROW
        CS_NUM_PHASES
} cs_phase;

/* A load that fails goes back to where it came from. */
#define CS_PHASE_EDGES(X)                                                                                              \
    X(WAITING, UNSEALING)                                                                                              \
    X(UNSEALING, WAITING)                                                                                              \
    X(UNSEALING, SERVING)                                                                                              \
    X(SERVING, RELOADING)                                                                                              \
    X(RELOADING, SERVING)                                                                                              \
    X(WAITING, STOPPED)                                                                                                \
    X(UNSEALING, STOPPED)                                                                                              \
    X(SERVING, STOPPED)                                                                                                \
    X(RELOADING, STOPPED)

/* Sets of phases, for the operation table. */
#define CS_IN(phase) (1u << CS_PHASE_##phase)
#define CS_IN_ANY (CS_IN(WAITING) | CS_IN(UNSEALING) | CS_IN(SERVING) | CS_IN(RELOADING))

/* cs_phase_name - "SERVING". cs_phase_edge - true when the table has the edge. */
const char *cs_phase_name(cs_phase p);
bool cs_phase_edge(cs_phase from, cs_phase to);
/* cs_phase_go - *p = to, logged; an edge that is not in the table is a broken invariant and aborts. */
void cs_phase_go(cs_phase *p, cs_phase to);

#endif
