#include "core/pipeline/phase.h"

#include <stdlib.h>

#include "base/log.h"

static const char *const names[] = {
#define CS_PHASE_ROW(name) #name,
    CS_PHASES(CS_PHASE_ROW)
#undef CS_PHASE_ROW
};

static const struct {
    cs_phase from, to;
} edges[] = {
#define CS_EDGE_ROW(a, b) {CS_PHASE_##a, CS_PHASE_##b},
    CS_PHASE_EDGES(CS_EDGE_ROW)
#undef CS_EDGE_ROW
};

const char *cs_phase_name(cs_phase p)
{
    return p < CS_NUM_PHASES ? names[p] : "?";
}

bool cs_phase_edge(cs_phase from, cs_phase to)
{
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        if (edges[i].from == from && edges[i].to == to) {
            return true;
        }
    }
    return false;
}

void cs_phase_go(cs_phase *p, cs_phase to)
{
    if (!cs_phase_edge(*p, to)) {
        abort();
    }
    cs_log(CS_LOG_INFO, "phase", CS_LC("from", cs_phase_name(*p)), CS_LC("phase", cs_phase_name(to)));
    *p = to;
}
