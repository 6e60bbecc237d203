/* Enclave images as files of the commands: written, and their measurements as nitro-cli prints them. */
#ifndef CS_TOOLS_IMAGE_FILE_H
#define CS_TOOLS_IMAGE_FILE_H

#include <stdio.h>

#include "attest/pcr.h"

/*
 * cs_image_file_write - the whole file or nothing, mode 0666 without the umask's bits; the last folder of path is made when it is missing.
 * CS_E_IO | CS_E_RANGE (path too long).
 */
CS_MUST cs_err cs_image_file_write(const char *path, cs_slice bytes);
/* cs_image_print_measurements - {"Measurements": ...} in nitro-cli's layout; pcr8 NULL: not signed. CS_E_IO. */
CS_MUST cs_err cs_image_print_measurements(FILE *out, const cs_pcr pcr[3], const cs_pcr *pcr8);

#endif
