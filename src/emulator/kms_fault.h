/*
 * Faults of KMS that a test asks for: DIR/kms-fault.json, read at every request of KMS, so that a shell can set and remove it.
 * Its members and what each fault does: docs/emulator.md. Remembered is only how many requests the file has met.
 */
#ifndef CS_EMULATOR_KMS_FAULT_H
#define CS_EMULATOR_KMS_FAULT_H

#include "base/bytes.h"

#define CS_EMU_FAULT_MAX_MS 120000u

typedef enum cs_emu_fault {
    CS_EMU_FAULT_NONE,
    CS_EMU_FAULT_SLOW,
    CS_EMU_FAULT_DOWN,
    CS_EMU_FAULT_THROTTLE,
    CS_EMU_FAULT_DENY,
    CS_EMU_FAULT_INTERNAL,
    CS_EMU_FAULT_NO_JSON,
    CS_EMU_FAULT_EMPTY,
    CS_EMU_FAULT_FOREIGN_KEY,
    CS_EMU_FAULT_FORGED,
    CS_EMU_FAULT_GARBLED,
    CS_EMU_FAULT_OTHER_RECIPIENT,
    CS_EMU_FAULT_PLAINTEXT,
    CS_EMU_FAULT_BOTH,
} cs_emu_fault;

/* Part of the state: the file as it was last, and the requests that it has met since. */
typedef struct cs_emu_fault_memory {
    char text[512];
    uint64_t met;
} cs_emu_fault_memory;

/*
 * cs_emu_fault_of - what a request of operation op meets; attested: it has a Recipient. *out_ms: how long the answer of SLOW waits.
 * CS_E_FORMAT: the file is there and is no fault (a test that set it must hear of it) | CS_E_IO.
 */
CS_MUST cs_err cs_emu_fault_of(cs_emu_fault *out, uint32_t *out_ms, cs_emu_fault_memory *memory, const char *dir,
                               const char *op, bool attested);

#endif
