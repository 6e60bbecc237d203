/* The state of one core. For the files of core/ only. */
#ifndef CS_CORE_CORE_INT_H
#define CS_CORE_CORE_INT_H

#include "core/core.h"
#include "core/ops/channels.h"
#include "core/ops/peers.h"
#include "core/ops/streams.h"
#include "core/ops/waits.h"
#include "core/policy/answers.h"
#include "core/policy/authorise.h"
#include "core/provision/load.h"
#include "secret/share/share.h"

#define CS_BOOT_ID_LEN 16
#define CS_STATUS_PCRS 6 /* 0, 1, 2, 3, 4, 8 */

typedef struct cs_counters {
    uint64_t frames[CS_NUM_LINKS];
    uint64_t refused;    /* frames that authorise refused */
    uint64_t signatures; /* made by this boot */
    uint64_t answers;    /* given again from memory */
    uint64_t superseded; /* sessions replaced by a retry of the same triple */
    uint64_t sessions;   /* begun */
    uint64_t silent;     /* ended by the silence deadline */
    uint64_t gone;       /* closed by the client before the end */
    uint64_t tags;       /* frames whose tag, counter or name did not fit */
    uint64_t handshakes, setups;
    uint64_t aborts[CS_MPC_NUM_CHECKS]; /* by check, also drops and bans */
    uint64_t loads_ok, loads_failed;
} cs_counters;

struct cs_core {
    const cs_core_config *config;
    const cs_nsm *nsm;
    cs_core_io io;
    bool emulated, filtered, debug;
    bool down[CS_NUM_LINKS];
    cs_phase phase;
    uint8_t boot[CS_BOOT_ID_LEN];
    cs_nsm_pcr pcr[CS_STATUS_PCRS];
    uint64_t started_ms;
    bool key_tried;    /* the key for the first load was made ahead, or could not be */
    cs_share_set *set; /* NULL before the first load */
    cs_load load;
    cs_streams streams;
    cs_channels channels;
    cs_peers peers;
    cs_answers answers;
    cs_waits waits;
    cs_permits *permits;
    cs_counters counters;
    struct cs_tee *tee; /* NULL: off in the configuration */
    uint8_t *plain;     /* CS_FRAME_MAX_PLAIN bytes of the arena: the plaintext of the frame at hand */
    uint8_t *out;       /* CS_RPC_MAX bytes of the arena: the frame being written */
};

#endif
