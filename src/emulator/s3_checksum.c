/* See s3_checksum.h. */
#include "emulator/s3_checksum.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/text.h"

static const char *const names[CS_EMU_NUM_SUMS] = {"crc32", "crc32c", "crc64nvme", "sha1", "sha256"};

const char *cs_emu_sum_name(cs_emu_sum kind)
{
    return names[kind];
}

/* All three are reflected, begin with ones and end inverted; poly is reflected too. One byte at a time by a table made here. */
static uint64_t crc(uint64_t poly, uint64_t ones, cs_slice body)
{
    uint64_t table[256], v = ones;
    for (unsigned i = 0; i < 256; i++) {
        uint64_t t = i;
        for (int bit = 0; bit < 8; bit++) {
            t = t & 1 ? t >> 1 ^ poly : t >> 1;
        }
        table[i] = t;
    }
    for (size_t i = 0; i < body.len; i++) {
        v = table[(v ^ body.p[i]) & 0xff] ^ v >> 8;
    }
    return v ^ ones;
}

cs_err cs_emu_sum_of(char out[48], cs_emu_sum kind, cs_slice body)
{
    uint8_t raw[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    cs_buf b = cs_buf_wrap(out, 47);
    switch (kind) {
    case CS_EMU_CRC32:
        cs_store_u32(raw, (uint32_t)crc(0xedb88320u, UINT32_MAX, body));
        n = 4;
        break;
    case CS_EMU_CRC32C:
        cs_store_u32(raw, (uint32_t)crc(0x82f63b78u, UINT32_MAX, body));
        n = 4;
        break;
    case CS_EMU_CRC64NVME:
        cs_store_u64(raw, crc(0x9a6c9329ac4bc9b5u, UINT64_MAX, body));
        n = 8;
        break;
    default:
        if (EVP_Digest(body.p, body.len, raw, &n, kind == CS_EMU_SHA1 ? EVP_sha1() : EVP_sha256(), NULL) != 1) {
            return CS_E_INTERNAL;
        }
        break;
    }
    CS_TRY(cs_b64_put(&b, cs_slice_of(raw, n), CS_B64_STD));
    out[b.len] = '\0';
    return CS_OK;
}
