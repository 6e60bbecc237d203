/* tee.allowedPCRs to a policy. See tee_settings.h. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "gateway/tee_settings.h"

#define FILE_MAX (64u * 1024u)
#define HEX_LEN (2 * CS_PCR_LEN)

static cs_err bad(cs_yaml_fault *fault, size_t i, const char *why)
{
    return cs_yaml_fail(fault, 0, CS_E_CONFIG, "tee.allowedPCRs, entry %zu: %s", i + 1, why);
}

static bool is_file(const char *entry)
{
    return strspn(entry, "0123456789abcdefABCDEF") < HEX_LEN;
}

/* A zero PCR3 is no role, a zero PCR8 no signature: nothing to hold them to. */
static cs_err bind(cs_att_tuple *t, unsigned n, const json_t *v)
{
    char text[8 + HEX_LEN + 1];
    const char *hex = json_string_value(v);
    if (hex == NULL || strlen(hex) != HEX_LEN) {
        return CS_E_FORMAT;
    }
    if (n > 2 && strspn(hex, "0") == HEX_LEN) {
        return CS_OK;
    }
    (void)snprintf(text, sizeof text, "%u=%s", n, hex);
    return cs_att_tuple_set_text(t, cs_slice_str(text));
}

static cs_err from_json(cs_att_tuple *t, const json_t *doc)
{
    const json_t *m = json_object_get(doc, "Measurements");
    char name[8];
    m = m != NULL ? m : doc;
    for (unsigned n = 0; n < 16; n++) {
        (void)snprintf(name, sizeof name, "PCR%u", n);
        const json_t *v = json_object_get(m, name);
        if (v != NULL) {
            CS_TRY(bind(t, n, v));
        }
    }
    return (t->mask & 7u) == 7u ? CS_OK : CS_E_FORMAT;
}

static cs_err from_file(cs_att_tuple *t, cs_yaml_fault *fault, size_t i, const char *path)
{
    static char bytes[FILE_MAX + 1];
    char why[160];
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        (void)snprintf(why, sizeof why, "neither hex of PCRs nor a file that can be read (%s): %.80s", strerror(errno),
                       path);
        return bad(fault, i, why);
    }
    size_t len = fread(bytes, 1, sizeof bytes, f);
    bool ok = ferror(f) == 0 && len <= FILE_MAX;
    (void)fclose(f);
    json_t *doc = ok ? json_loadb(bytes, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    cs_err err = json_is_object(doc) ? from_json(t, doc) : CS_E_FORMAT;
    json_decref(doc);
    return err == CS_OK ? CS_OK
                        : bad(fault, i, "the file has no Measurements with PCR0, PCR1 and PCR2, none of them zero");
}

cs_err cs_tee_policy_read(cs_att_policy *out, size_t *out_bare, cs_yaml_fault *fault, const cs_tee_config *c)
{
    cs_att_policy p = {0};
    *fault = (cs_yaml_fault){0};
    *out_bare = 0;
    for (size_t i = 0; i < c->num_pcrs; i++) {
        cs_att_tuple t = {0};
        if (is_file(c->pcrs[i])) {
            CS_TRY(from_file(&t, fault, i, c->pcrs[i]));
        } else {
            cs_err err = cs_att_tuple_parse(&t, cs_slice_str(c->pcrs[i]));
            err = err == CS_OK && t.mask != 1 && (t.mask & 7u) != 7u ? CS_E_FORMAT : err;
            if (err != CS_OK) {
                return bad(fault, i,
                           err == CS_E_ATT_DEBUG || err == CS_E_RANGE
                               ? "a value of zeros names a debug enclave, no role or no signature"
                               : "PCR0:PCR1:PCR2[:PCR3=..][:PCR8=..], each 96 hex digits, is wanted");
            }
            *out_bare += t.mask == 1 ? 1 : 0;
        }
        CS_TRY(cs_att_policy_add(&p, &t));
    }
    if (p.num_tuples == 0) {
        return cs_yaml_fail(fault, 0, CS_E_ATT_NO_POLICY, "tee.allowedPCRs is empty: no enclave would be accepted");
    }
    *out = p;
    return CS_OK;
}
