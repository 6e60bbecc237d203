/*
 * Target: cs_emu_s3_unchunk
 * Target: cs_emu_s3_parse_parts
 * Target: cs_emu_s3_parse_delete
 * Target: cs_emu_s3_parse_range
 * The first byte chooses.
 */
#include <stdint.h>
#include <stdlib.h>

#include "emulator/s3_call.h"
#include "emulator/s3_chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unchunk(cs_slice in, const cs_emu_chunk_signer *signer)
{
    cs_emu_trailers t;
    cs_buf out = cs_buf_heap(65536);
    if (cs_emu_s3_unchunk(&out, in, signer, &t) == CS_OK && out.len > in.len) {
        abort();
    }
    cs_buf_free(&out);
}

static void range(cs_slice in)
{
    uint64_t from = 0, to = 0;
    if (cs_emu_s3_parse_range(in, 1000, &from, &to) == CS_EMU_RANGE_OK && (from > to || to >= 1000)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cs_emu_chunk_signer signer = {"secret", "20260102", "20260102T030405Z", "us-east-1", "00"};
    static cs_emu_s3_part part[8];
    json_t *keys = NULL;
    bool quiet;
    size_t num = 0;
    if (size == 0) {
        return 0;
    }
    cs_slice in = cs_slice_of(data + 1, size - 1);
    switch (data[0] % 5) {
    case 0:
        unchunk(in, NULL);
        break;
    case 1:
        unchunk(in, &signer);
        break;
    case 2:
        if (cs_emu_s3_parse_parts(part, 8, &num, in) == CS_OK && (num == 0 || num > 8)) {
            abort();
        }
        break;
    case 3:
        if (cs_emu_s3_parse_delete(&keys, &quiet, in) == CS_OK) {
            json_decref(keys);
        }
        break;
    default:
        range(in);
        break;
    }
    return 0;
}
