/*
 * Enclave image files (EIF): read, measured and written as bytes. Pure. The header's table of offsets and the sequence of section
 * headers say the same thing twice; tools of AWS walk the sequence, others may use the table: here both must agree.
 * Source: specs/nitro-kms.md 6 and 7.1.
 */
#ifndef CS_ATTEST_EIF_H
#define CS_ATTEST_EIF_H

#include "attest/pcr.h"

#define CS_EIF_HEADER_LEN 548u
#define CS_EIF_SECTION_HEADER_LEN 12u
#define CS_EIF_MAX_SECTIONS 32u
#define CS_EIF_VERSION 4u
#define CS_EIF_ARM64 1u /* in flags */

typedef enum cs_eif_type {
    CS_EIF_KERNEL = 1,
    CS_EIF_CMDLINE = 2,
    CS_EIF_RAMDISK = 3,
    CS_EIF_SIGNATURE = 4,
    CS_EIF_METADATA = 5,
} cs_eif_type;

typedef struct cs_eif_section {
    cs_eif_type type;
    cs_slice body;
} cs_eif_section;

typedef struct cs_eif {
    uint16_t version, flags;
    uint64_t default_mem, default_cpus;
    cs_eif_section sections[CS_EIF_MAX_SECTIONS];
    size_t num_sections;
    uint32_t crc; /* as the file says */
} cs_eif;

/* cs_eif_type_name - "kernel", "cmdline", ...; NULL for other numbers. */
const char *cs_eif_type_name(cs_eif_type t);
/*
 * cs_eif_parse - slices point into file. Exactly one kernel and one cmdline, at least one ramdisk, at most one metadata and one
 * signature section; nothing behind the last section. CS_E_EIF_FORMAT (not an EIF, flags, bytes behind) | CS_E_EIF_TRUNCATED |
 * CS_E_EIF_SECTIONS (how many of which kind) | CS_E_EIF_TABLE (the table and the sequence differ: overlaps, gaps, sizes) |
 * CS_E_UNSUPPORTED (version) | CS_E_EIF_CRC (all else is well formed; *out is written then too, for showing).
 */
CS_MUST cs_err cs_eif_parse(cs_eif *out, cs_slice file);
/* cs_eif_measure - PCR0, PCR1, PCR2. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_eif_measure(cs_pcr out[3], const cs_eif *eif);
/*
 * cs_eif_write - append the whole file; version is 4 and crc is computed, whatever eif says. CS_E_EIF_FORMAT | CS_E_EIF_SECTIONS (what
 * cs_eif_parse would refuse) | CS_E_RANGE | CS_E_NO_MEMORY; out is then as before.
 */
CS_MUST cs_err cs_eif_write(cs_buf *out, const cs_eif *eif);
/* cs_eif_find - the first section of that type; NULL: none. */
const cs_eif_section *cs_eif_find(const cs_eif *eif, cs_eif_type t);

/*
 * The signature section: who signed PCR0 (register 0) of this image. Bytes are written by serde as arrays of integers.
 * certificate: PEM text, as found, in mem; signature: COSE_Sign1, untagged, in mem.
 */
typedef struct cs_eif_signature {
    cs_slice certificate_pem;
    cs_slice cose;
} cs_eif_signature;
/*
 * cs_eif_signature_parse - exactly one entry; mem gets the bytes (at most the section's length). Nothing is verified.
 * CS_E_EIF_FORMAT | CS_E_RANGE (mem) | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_eif_signature_parse(cs_eif_signature *out, cs_buf *mem, cs_slice section);

#endif
