/* Enclave images as files of the commands: read with all that is shown of them, written, and measurements as nitro-cli prints them. */
#ifndef CS_TOOLS_IMAGE_FILE_H
#define CS_TOOLS_IMAGE_FILE_H

#include <stdio.h>

#include "attest/eif_signature.h"
#include "codec/newc.h"

typedef struct cs_image_file {
    cs_buf file;
    cs_eif eif;
    cs_pcr pcr[3];
    cs_err crc;           /* CS_OK | CS_E_EIF_CRC */
    bool is_signed;       /* there is a signature section */
    cs_err signature;     /* when it is: CS_OK (verified) | CS_E_EIF_SIGNATURE | CS_E_EIF_FORMAT (not readable) */
    cs_eif_signed signer; /* certificate NULL: none, or not readable */
} cs_image_file;

/*
 * cs_image_file_read - what cs_tfile_read and cs_eif_parse say, but a wrong checksum or signature is no reason to show nothing: see
 * cs_image_file_verdict. Free with cs_image_file_cleanup, after an error too.
 */
CS_MUST cs_err cs_image_file_read(cs_image_file *out, const char *path);
/* cs_image_file_verdict - CS_OK, or why the image must not be used although it can be shown. */
CS_MUST cs_err cs_image_file_verdict(const cs_image_file *i);
void cs_image_file_cleanup(cs_image_file *i);

/* Whether the signing certificate is within its validity now: a hypervisor refuses to run an image when it is not. */
typedef enum cs_image_validity { CS_IMAGE_VALID, CS_IMAGE_NOT_YET, CS_IMAGE_EXPIRED } cs_image_validity;
cs_image_validity cs_image_validity_now(const X509 *certificate);

/* The files of a ramdisk, by path; of a path that is there twice the last one, as a kernel has it. */
typedef struct cs_image_tree {
    cs_newc_file *files;
    size_t num;
    const char *compressed; /* name of the compression: then there are no files */
    bool readable;          /* an archive that cs_newc_next reads to its end */
} cs_image_tree;
/* cs_image_tree_read - slices of ramdisk. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_image_tree_read(cs_image_tree *out, cs_slice ramdisk);
void cs_image_tree_cleanup(cs_image_tree *t);

/*
 * cs_image_file_write - the whole file or nothing: a new one of mode 0666 without the umask's bits, one that is there keeps its mode, and a
 * symbolic link to it stays. The last folder of path is made when it is missing.
 * CS_E_IO | CS_E_RANGE (path too long).
 */
CS_MUST cs_err cs_image_file_write(const char *path, cs_slice bytes);
/* cs_image_print_measurements - {"Measurements": ...} in nitro-cli's layout; pcr8 NULL: not signed. CS_E_IO. */
CS_MUST cs_err cs_image_print_measurements(FILE *out, const cs_pcr pcr[3], const cs_pcr *pcr8);

#endif
