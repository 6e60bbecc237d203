/*
 * What an enclave image holds (docs/formats/image.md): the two ramdisks, the metadata and their order. Pure: bytes in, bytes out, so that
 * the same parts are the same image anywhere.
 */
#ifndef CS_TOOLS_IMAGE_LAYOUT_H
#define CS_TOOLS_IMAGE_LAYOUT_H

#include "attest/eif.h"

#define CS_IMAGE_PROGRAMS 4
#define CS_IMAGE_RAMDISK1_MAX 16000000u /* bytes: the application's ramdisk */
#define CS_IMAGE_CMDLINE_MAX 2047u      /* COMMAND_LINE_SIZE of the kernel, without NUL */

typedef struct cs_image_parts {
    cs_slice kernel;                     /* bzImage */
    cs_slice cmdline;                    /* space around it is not taken */
    cs_slice nsm_ko;                     /* empty: the kernel has the driver */
    cs_slice program[CS_IMAGE_PROGRAMS]; /* as linked, in the order of cs_image_program */
    cs_slice config, yaml, ca;           /* compiled configuration, its source, PEM roots */
    const char *name, *version;          /* of the metadata, not measured */
    uint64_t build_time;                 /* seconds, for the metadata */
} cs_image_parts;

typedef struct cs_image_made {
    cs_eif eif; /* slices of the parts and of what follows */
    cs_buf metadata, ramdisk[2];
} cs_image_made;

/* cs_image_program - name of the i-th program; NULL behind the last one. */
const char *cs_image_program(size_t i);
/*
 * cs_image_make - an image without signature. The parts must outlive it. CS_E_IMAGE_KERNEL (not a bzImage, or no valid command line) |
 * CS_E_IMAGE_PROGRAM (*out_what: its name) | CS_E_IMAGE_SIZE (ramdisk 1) | CS_E_NO_MEMORY. Free with cs_image_made_cleanup, after an
 * error too.
 */
CS_MUST cs_err cs_image_make(cs_image_made *out, const char **out_what, const cs_image_parts *parts);
void cs_image_made_cleanup(cs_image_made *m);

#endif
