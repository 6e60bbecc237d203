/* The checksums that S3 clients send with a body: CRC-32, CRC-32C, CRC-64/NVME, SHA-1 and SHA-256, in base64. Pure. */
#ifndef CS_EMULATOR_S3_CHECKSUM_H
#define CS_EMULATOR_S3_CHECKSUM_H

#include "base/bytes.h"

typedef enum cs_emu_sum {
    CS_EMU_CRC32,
    CS_EMU_CRC32C,
    CS_EMU_CRC64NVME,
    CS_EMU_SHA1,
    CS_EMU_SHA256,
    CS_EMU_NUM_SUMS
} cs_emu_sum;

/* cs_emu_sum_name - "crc32", ...: what follows "x-amz-checksum-" in headers. */
const char *cs_emu_sum_name(cs_emu_sum kind);
/* cs_emu_sum_of - base64 of the checksum (at most 44 characters and NUL). CS_E_INTERNAL. */
CS_MUST cs_err cs_emu_sum_of(char out[48], cs_emu_sum kind, cs_slice body);

/* Checksums by kind; "" when there is none. */
typedef struct cs_emu_s3_sums {
    char text[CS_EMU_NUM_SUMS][48];
} cs_emu_s3_sums;

#endif
