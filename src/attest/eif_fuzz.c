/*
 * Target: cs_eif_parse, cs_eif_signature_check
 * What is accepted measures, and what is written of it is read as the same. A signature section is parsed too.
 */
#include <stdlib.h>

#include "attest/eif_signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    cs_buf again = cs_buf_heap(len + CS_EIF_HEADER_LEN), mem = cs_buf_heap(len + 1);
    cs_eif eif, back;
    cs_eif_signature sig;
    cs_err err = cs_eif_parse(&eif, cs_slice_of(data, len));

    if (err == CS_OK || err == CS_E_EIF_CRC) {
        const cs_eif_section *s = cs_eif_find(&eif, CS_EIF_SIGNATURE);
        cs_pcr pcrs[3];
        if (cs_eif_measure(pcrs, &eif) != CS_OK || cs_eif_write(&again, &eif) != CS_OK ||
            cs_eif_parse(&back, cs_buf_slice(&again)) != CS_OK || back.num_sections != eif.num_sections) {
            abort();
        }
        if (s != NULL) {
            (void)cs_eif_signature_parse(&sig, &mem, s->body);
        }
    }
    mem.len = 0;
    (void)cs_eif_signature_parse(&sig, &mem,
                                 cs_slice_of(data, len)); /* the checksum keeps mutations out of the section */
    cs_eif_signed who;
    static const cs_pcr zero;
    if (cs_eif_signature_check(&who, cs_slice_of(data, len), &zero) == CS_OK && who.certificate == NULL) {
        abort();
    }
    cs_eif_signed_cleanup(&who);
    cs_buf_free(&again);
    cs_buf_free(&mem);
    return 0;
}
