/*
 * Target: cs_hpke_open_once, cs_hpke_open, cs_hpke_receive
 * The first byte chooses AEAD and mode, the rest is what a stranger sends: nothing of it may be opened. In the
 * modes without a
 * sender's key the fuzzer could seal for itself, but it does not know how; a message that opens is therefore a
 * defect.
 */
#include <stdlib.h>

#include "secret/hpke.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t secret[32] = {1, 2, 3}, sender[32] = {9}, psk[32] = {4};
    static const cs_hpke_aead aeads[4] = {CS_HPKE_AES128_GCM, CS_HPKE_AES256_GCM, CS_HPKE_CHACHA20_POLY1305,
                                          CS_HPKE_EXPORT_ONLY};
    static uint8_t mem[4096];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_hpke c;
    if (len < 1) {
        return 0;
    }
    cs_hpke_args a = {.aead = aeads[data[0] & 3], .info = cs_slice_str("fuzz")};
    if ((data[0] & 4) != 0) {
        a.psk = cs_slice_of(psk, sizeof psk);
        a.psk_id = cs_slice_str("id");
    }
    a.auth_public32 = (data[0] & 8) != 0 ? sender : NULL;
    cs_slice in = cs_slice_of(data + 1, len - 1);
    if (cs_hpke_open_once(&out, secret, &a, CS_SLICE_NULL, in) == CS_OK || out.len != 0) {
        abort();
    }
    if (in.len >= CS_HPKE_ENC && cs_hpke_receive(&c, in.p, secret, &a) == CS_OK) {
        cs_slice rest = cs_slice_of(in.p + CS_HPKE_ENC, in.len - CS_HPKE_ENC);
        if (cs_hpke_open(&c, &out, CS_SLICE_NULL, rest) == CS_OK || out.len != 0 || c.seq != 0) {
            abort();
        }
    }
    return 0;
}
