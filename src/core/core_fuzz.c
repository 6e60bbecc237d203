/*
 * Target: cs_core_frame, cs_request_decode
 * A core in WAITING takes a sequence of frames: u8 link and step, u16 length, bytes; lengths over the rest are cut. Whatever comes,
 * it neither serves nor stops, and every frame that it sends decodes.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/core.h"
#include "core/pipeline/request.h"
#include "secret/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t now_ms;

static uint64_t fake_wall(void)
{
    return 1800000000000 + now_ms;
}

static uint64_t fake_mono(void)
{
    return now_ms * 1000000;
}

/* A module that knows nothing but a PCR. */
static cs_err nsm_call(void *ctx, cs_slice request, cs_buf *response)
{
    static const uint8_t head[] = "\xa1\x6b"
                                  "DescribePCR"
                                  "\xa2\x64"
                                  "lock"
                                  "\xf5\x64"
                                  "data"
                                  "\x58\x30";
    static const uint8_t pcr[48] = {1};

    CS_TRY(cs_put(response, head, sizeof head - 1));
    return cs_put(response, pcr, sizeof pcr);
}

static void take(void *ctx, cs_core_link link, cs_slice frame)
{
    cs_rpc_frame f;

    if (cs_rpc_decode(&f, frame) != CS_OK) {
        abort();
    }
}

static cs_core *make(void)
{
    static cs_core_config config;
    static const cs_nsm nsm = {.call = nsm_call};
    static const cs_clock_source clock = {fake_wall, fake_mono};
    cs_core_args args = {.config = &config, .nsm = &nsm, .io = {NULL, take}};
    cs_core *core = NULL;

    config = (cs_core_config){
        .max_bytes = 1 << 20, .sessions = 8, .silence_ms = 1000, .arena_mib = 16, .debug_allowed = true};
    config.region = config.key_arn = cs_slice_str("x");
    cs_log_init("fuzz", CS_LOG_ERROR, -1);
    cs_clock_set_for_tests(&clock);
    if (cs_arena_init((size_t)16 << 20, false) != CS_OK || cs_core_new(&core, &args) != CS_OK) {
        abort();
    }
    return core;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_core *core;
    cs_reader r = cs_reader_of(cs_slice_of(data, size));
    uint8_t step;
    uint16_t len;
    cs_slice frame;

    core = core == NULL ? make() : core;
    while (cs_read_u8(&r, &step) == CS_OK && cs_read_u16(&r, &len) == CS_OK) {
        if (cs_read_slice(&r, &frame, len < r.left ? len : r.left) != CS_OK) {
            abort();
        }
        if (cs_core_frame(core, (cs_core_link)(step & 1), frame) == CS_OK && cs_core_phase(core) >= CS_PHASE_SERVING) {
            abort();
        }
        if ((step & 0x80) != 0) {
            now_ms += 20000;
            cs_core_tick(core);
        }
    }
    return 0;
}
