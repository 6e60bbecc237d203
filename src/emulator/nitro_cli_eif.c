/* The image file, and describe-eif. See nitro_cli.h. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "emulator/nitro_cli.h"
#include "emulator/ns_enclave.h"

cs_err cs_nitro_image_read(cs_nitro_image *out, const char *path)
{
    *out = (cs_nitro_image){0};
    CS_TRY(cs_ns_read_image(&out->bytes, path));
    out->parsed = cs_eif_parse(&out->eif, out->bytes);
    return out->parsed == CS_OK || out->parsed == CS_E_EIF_CRC ? cs_eif_measure(out->pcr, &out->eif) : CS_OK;
}

void cs_nitro_image_free(cs_nitro_image *i)
{
    cs_ns_free_image(i->bytes);
    *i = (cs_nitro_image){0};
}

json_t *cs_nitro_measurements(const cs_pcr pcr[3])
{
    char hex[3][2 * CS_PCR_LEN + 1];

    for (int i = 0; i < 3; i++) {
        cs_hex_encode(hex[i], cs_slice_of(pcr[i].b, CS_PCR_LEN));
    }
    return json_pack("{s:s,s:s,s:s,s:s}", "HashAlgorithm", "Sha384 { ... }", "PCR0", hex[0], "PCR1", hex[1], "PCR2",
                     hex[2]);
}

int cs_nitro_describe_eif(const char *path)
{
    cs_nitro_image image;

    if (cs_nitro_image_read(&image, path) != CS_OK) {
        cs_nitro_image_free(&image);
        return cs_nitro_fail(19, "File operation failure. Failed to open the EIF file.");
    }
    if (image.parsed != CS_OK && image.parsed != CS_E_EIF_CRC) {
        cs_nitro_image_free(&image);
        return cs_nitro_fail(35, "EIF parsing error. Such error appears when attempting to fill a memory region with a "
                                 "section of the EIF file.");
    }
    const cs_eif_section *meta = cs_eif_find(&image.eif, CS_EIF_METADATA);
    json_t *m = meta != NULL ? json_loadb((const char *)meta->body.p, meta->body.len, 0, NULL) : NULL;
    json_t *j =
        json_pack("{s:i,s:o,s:b,s:b,s:O*,s:O*,s:o*}", "EifVersion", image.eif.version, "Measurements",
                  cs_nitro_measurements(image.pcr), "IsSigned", cs_eif_find(&image.eif, CS_EIF_SIGNATURE) != NULL,
                  "CheckCRC", image.parsed == CS_OK, "ImageName", json_object_get(m, "ImageName"), "ImageVersion",
                  json_object_get(m, "ImageVersion"), "Metadata", m);
    (void)json_dumpf(j, stdout, JSON_INDENT(2));
    (void)putchar('\n');
    json_decref(j);
    cs_nitro_image_free(&image);
    return 0;
}
