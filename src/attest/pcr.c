/* PCR values, see pcr.h. */
#include "attest/pcr.h"

#include <openssl/evp.h>
#include <string.h>

/* SHA-384 over a list of parts. */
static cs_err hash(cs_pcr *out, const cs_slice *parts, size_t num_parts)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    cs_err err = CS_E_NO_MEMORY; /* hashing can fail in no other way */

    if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha384(), NULL) != 1) {
        goto out;
    }
    for (size_t i = 0; i < num_parts; i++) {
        if (parts[i].len > 0 && EVP_DigestUpdate(ctx, parts[i].p, parts[i].len) != 1) {
            goto out;
        }
    }
    if (EVP_DigestFinal_ex(ctx, out->b, NULL) == 1) {
        err = CS_OK;
    }
out:
    EVP_MD_CTX_free(ctx);
    return err;
}

cs_err cs_pcr_extend(cs_pcr *pcr, cs_slice data)
{
    const cs_pcr old = *pcr;
    const cs_slice parts[] = {cs_slice_of(old.b, sizeof old.b), data};

    return hash(pcr, parts, 2);
}

cs_err cs_pcr_of_string(cs_pcr *out, cs_slice text)
{
    *out = (cs_pcr){{0}};
    return cs_pcr_extend(out, text);
}

cs_err cs_pcr_of_file(cs_pcr *out, cs_slice data)
{
    cs_pcr inner;

    CS_TRY(hash(&inner, &data, 1));
    return cs_pcr_of_string(out, cs_slice_of(inner.b, sizeof inner.b));
}

/* Feeds the sections that belong to PCR index. */
static cs_err hash_sections(cs_pcr *out, int index, const cs_pcr_section *sections, size_t num_sections)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    cs_err err = CS_E_NO_MEMORY; /* hashing can fail in no other way */
    size_t num_ramdisks = 0;

    if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha384(), NULL) != 1) {
        goto out;
    }
    for (size_t i = 0; i < num_sections; i++) {
        bool customer = sections[i].kind == CS_PCR_RAMDISK && num_ramdisks++ > 0; /* behind the bootstrap ramdisk */
        bool measured = index == 0 || customer == (index == 2);

        if (measured && sections[i].body.len > 0 &&
            EVP_DigestUpdate(ctx, sections[i].body.p, sections[i].body.len) != 1) {
            goto out;
        }
    }
    if (EVP_DigestFinal_ex(ctx, out->b, NULL) == 1) {
        err = CS_OK;
    }
out:
    EVP_MD_CTX_free(ctx);
    return err;
}

cs_err cs_pcr_image(cs_pcr out[3], const cs_pcr_section *sections, size_t num_sections)
{
    for (int i = 0; i < 3; i++) {
        cs_pcr inner;

        CS_TRY(hash_sections(&inner, i, sections, num_sections));
        CS_TRY(cs_pcr_of_string(&out[i], cs_slice_of(inner.b, sizeof inner.b)));
    }
    return CS_OK;
}

bool cs_pcr_is_zero(const cs_pcr *pcr)
{
    static const cs_pcr zero;

    return memcmp(pcr, &zero, sizeof zero) == 0;
}
