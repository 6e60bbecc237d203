/*
 * Target: cs_frame_parse, cs_channel_accept, cs_csession_open
 * Nothing that was not sealed is opened; a handshake of arbitrary bytes does not complete.
 */
#include <stdlib.h>
#include <string.h>

#include "secret/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t key[32] = {1, 2, 3};
    static uint8_t out[CS_FRAME_MAX];
    uint8_t hs2[CS_FRAME_HS2_LEN];
    cs_frame f;
    cs_channel c;
    size_t got = 0;
    if (cs_frame_parse(&f, cs_slice_of(data, len)) != CS_OK) {
        return 0;
    }
    if (f.kind == CS_FRAME_HS1 && cs_channel_accept(&c, hs2, cs_slice_of(data, len), key) == CS_OK) {
        abort();
    }
    if (f.kind == CS_FRAME_DATA) {
        cs_csession s = {.channel = f.channel, .name = f.session, .next_receive = f.counter, .alive = true};
        if (f.rest.len > len ||
            cs_csession_open(&s, out, sizeof out, &got, cs_slice_of(data, len)) != CS_E_ABORT_SESSION) {
            abort();
        }
    }
    return 0;
}
