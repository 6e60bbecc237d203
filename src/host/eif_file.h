/* The enclave image file as the parent sees it: checked, measured, and what its configuration says of ports. */
#ifndef CS_HOST_EIF_FILE_H
#define CS_HOST_EIF_FILE_H

#include "attest/eif.h"
#include "host/settings.h"

#define CS_EIF_FILE_MAX ((uint64_t)2 << 30)

typedef struct cs_eif_file {
    char path[CS_HOST_PATH_MAX]; /* absolute */
    uint64_t bytes;
    cs_pcr pcr[3];
    bool has_config; /* a measured configuration was found in it */
    cs_host_measured measured;
} cs_eif_file;

/* cs_eif_file_read - CS_E_NOT_FOUND | CS_E_IO | CS_E_TOO_LARGE | CS_E_EIF_FORMAT | CS_E_EIF_CRC | CS_E_UNSUPPORTED | CS_E_CONFIG. */
CS_MUST cs_err cs_eif_file_read(cs_eif_file *out, const char *path);
/* cs_eif_file_memory - MiB that an enclave of it needs at least: four times the file, rounded up, and 64. */
uint64_t cs_eif_file_memory(const cs_eif_file *f);

#endif
