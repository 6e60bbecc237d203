/* See release.h. */
#include "tools/release.h"

#include <stdio.h>
#include <string.h>

#include "attest/eif_signature.h"
#include "attest/policy.h"
#include "base/text.h"
#include "tools/tool_file.h"

#define FILE_MAX ((size_t)1 << 31)
#define HEX_LEN (2u * CS_PCR_LEN)

cs_err cs_release_bind(cs_release *r, unsigned n, const cs_pcr *value)
{
    if (n >= CS_RELEASE_PCRS) {
        return CS_E_RANGE;
    }
    if ((r->mask >> n & 1) != 0 && memcmp(&r->pcr[n], value, sizeof *value) != 0) {
        return CS_E_RANGE;
    }
    r->pcr[n] = *value;
    r->mask |= 1u << n;
    return CS_OK;
}

bool cs_release_eq(const cs_release *a, const cs_release *b)
{
    bool eq = a->mask == b->mask;

    for (unsigned n = 0; n < CS_RELEASE_PCRS; n++) {
        eq = eq && ((a->mask >> n & 1) == 0 || memcmp(&a->pcr[n], &b->pcr[n], CS_PCR_LEN) == 0);
    }
    return eq;
}

static cs_err bind_hex(cs_release *r, unsigned n, cs_slice hex)
{
    cs_pcr pcr;

    CS_TRY(cs_hex_decode(pcr.b, CS_PCR_LEN, hex));
    return cs_release_bind(r, n, &pcr) == CS_OK ? CS_OK : CS_E_FORMAT;
}

static cs_err complete(cs_release *out, const cs_release *r)
{
    for (unsigned n = 0; n < 3; n++) {
        if ((r->mask >> n & 1) != 0 && cs_pcr_is_zero(&r->pcr[n])) {
            return CS_E_ATT_DEBUG;
        }
    }
    if ((r->mask & 1) == 0) {
        return CS_E_FORMAT;
    }
    *out = *r;
    return CS_OK;
}

cs_err cs_release_parse(cs_release *out, const char *text)
{
    cs_att_tuple t;
    cs_release r = {.mask = 0};
    cs_err err = cs_att_tuple_parse(&t, cs_slice_str(text));

    if (err != CS_OK) {
        return err == CS_E_ATT_DEBUG ? err : CS_E_FORMAT;
    }
    if (t.mask >> CS_RELEASE_PCRS != 0) {
        return CS_E_FORMAT;
    }
    memcpy(r.pcr, t.pcr, sizeof r.pcr);
    r.mask = t.mask;
    return complete(out, &r);
}

cs_err cs_release_from_json(cs_release *out, const json_t *doc)
{
    const json_t *m = json_object_get(doc, "Measurements"), *v;
    cs_release r = {.mask = 0};
    char name[8];

    m = m != NULL ? m : doc;
    for (unsigned n = 0; n < CS_RELEASE_PCRS; n++) {
        (void)snprintf(name, sizeof name, "PCR%u", n);
        v = json_object_get(m, name);
        if (v == NULL) {
            continue;
        }
        if (!json_is_string(v)) {
            return CS_E_FORMAT;
        }
        CS_TRY(bind_hex(&r, n, cs_slice_of(json_string_value(v), json_string_length(v))));
        if (n > 2 && cs_pcr_is_zero(&r.pcr[n])) {
            r.mask &= ~(1u << n); /* no role, no signature: nothing to bind */
        }
    }
    return complete(out, &r);
}

static cs_err certificate_pcr(cs_pcr *out, cs_slice pem)
{
    X509 *cert = NULL;
    cs_err err = cs_eif_certificate_read(&cert, out, pem);

    X509_free(cert);
    return err;
}

static cs_err from_signature(cs_release *r, cs_slice section)
{
    cs_buf mem = cs_buf_heap(section.len + 1);
    cs_eif_signature sig;
    cs_pcr pcr;
    cs_err err = section.len > 65536 ? CS_E_EIF_FORMAT : cs_eif_signature_parse(&sig, &mem, section);

    if (err == CS_OK) {
        err = certificate_pcr(&pcr, sig.certificate_pem);
    }
    if (err == CS_OK) {
        err = cs_release_bind(r, 8, &pcr);
    }
    cs_buf_free(&mem);
    return err;
}

static cs_err from_image(cs_release *out, cs_slice file)
{
    cs_eif eif;
    cs_pcr pcr[3];
    cs_release r = {.mask = 0};
    const cs_eif_section *sig;

    CS_TRY(cs_eif_parse(&eif, file));
    CS_TRY(cs_eif_measure(pcr, &eif));
    for (unsigned n = 0; n < 3; n++) {
        CS_TRY(cs_release_bind(&r, n, &pcr[n]));
    }
    if ((sig = cs_eif_find(&eif, CS_EIF_SIGNATURE)) != NULL) {
        CS_TRY(from_signature(&r, sig->body));
    }
    return complete(out, &r);
}

static cs_err from_text(cs_release *out, cs_slice text)
{
    json_t *doc = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
    cs_err err = json_is_object(doc) ? cs_release_from_json(out, doc) : CS_E_FORMAT;

    json_decref(doc);
    return err;
}

cs_err cs_release_read(cs_release *out, const char *arg)
{
    cs_buf file = cs_buf_heap(FILE_MAX);
    cs_err err;

    if (strspn(arg, "0123456789abcdefABCDEF") >= HEX_LEN || strncmp(arg, "PCR0=", 5) == 0) {
        return cs_release_parse(out, arg);
    }
    err = cs_tfile_read(&file, arg);
    if (err == CS_OK) {
        cs_slice s = cs_buf_slice(&file);
        err = s.len >= 4 && memcmp(s.p, ".eif", 4) == 0 ? from_image(out, s) : from_text(out, s);
    }
    cs_buf_free(&file);
    return err;
}
