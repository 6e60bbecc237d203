/* PCR values of enclave images, as the hypervisor computes them. Public data. Source: specs/nitro-kms.md 6. */
#ifndef CS_ATTEST_PCR_H
#define CS_ATTEST_PCR_H

#include "base/bytes.h"

#define CS_PCR_LEN 48 /* SHA-384 */

typedef struct cs_pcr {
    uint8_t b[CS_PCR_LEN];
} cs_pcr;

/* cs_pcr_extend - *pcr = SHA-384(*pcr || data), as NSM's ExtendPCR does. PCR3 and PCR4 are this over a zero *pcr with the
 * role ARN or instance id (ASCII, no NUL). CS_E_NO_MEMORY when the hash fails. */
CS_MUST cs_err cs_pcr_extend(cs_pcr *pcr, cs_slice data);
/* cs_pcr_of_string - PCR3 of a role ARN, PCR4 of an instance id: SHA-384(zeros || text). */
CS_MUST cs_err cs_pcr_of_string(cs_pcr *out, cs_slice text);
/* cs_pcr_of_file - SHA-384(zeros || SHA-384(data)): PCR8 of a signing certificate's DER, or `nitro-cli pcr --input`. */
CS_MUST cs_err cs_pcr_of_file(cs_pcr *out, cs_slice data);

typedef enum cs_pcr_section_kind { CS_PCR_KERNEL, CS_PCR_CMDLINE, CS_PCR_RAMDISK } cs_pcr_section_kind;

typedef struct cs_pcr_section {
    cs_pcr_section_kind kind;
    cs_slice body;
} cs_pcr_section;

/*
 * cs_pcr_image - PCR0, PCR1, PCR2 from the measured sections in file order: 0 over all, 1 over all but the second and later
 * ramdisks, 2 over those. Bodies only; cmdline without NUL or newline. CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_pcr_image(cs_pcr out[3], const cs_pcr_section *sections, size_t num_sections);
/* cs_pcr_is_zero - all bytes zero. */
bool cs_pcr_is_zero(const cs_pcr *pcr);

#endif
