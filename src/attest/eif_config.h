/*
 * The measured configuration inside an enclave image: the file etc/countersign/config.cbor of its application ramdisk
 * (docs/formats/image.md). Pure. Read by the parent host, so that both sides agree on ports; nothing here is trusted by the enclave.
 */
#ifndef CS_ATTEST_EIF_CONFIG_H
#define CS_ATTEST_EIF_CONFIG_H

#include "attest/eif.h"

/*
 * cs_eif_config - *out points into the image. Images that AWS's tools made of a container have it below rootfs/. CS_E_NOT_FOUND (a second
 * ramdisk without that file, or compressed) | CS_E_EIF_FORMAT (an archive that cs_newc_next refuses).
 */
CS_MUST cs_err cs_eif_config(cs_slice *out, const cs_eif *eif);
/* cs_eif_config_uint - KEY of SECTION of a config.cbor. CS_E_NOT_FOUND | CS_E_CONFIG (not the compiled form, or not a number). */
CS_MUST cs_err cs_eif_config_uint(uint64_t *out, cs_slice config, const char *section, const char *key);

#endif
