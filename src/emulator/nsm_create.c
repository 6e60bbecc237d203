/* The line that asks for an instance of the NSM model. See nsm_server.h. */
#include <jansson.h>
#include <string.h>

#include "base/text.h"
#include "emulator/nsm_server.h"

static cs_err parse_pcrs(cs_nsm_model *m, json_t *pcrs)
{
    const char *index;
    json_t *v;
    json_object_foreach(pcrs, index, v)
    {
        uint64_t i = 0;
        if (!json_is_string(v) || cs_parse_u64(cs_slice_str(index), 15, &i) != CS_OK ||
            cs_hex_decode(m->pcr[i], CS_NSM_PCR_LEN, cs_slice_str(json_string_value(v))) != CS_OK) {
            return CS_E_FORMAT;
        }
    }
    return CS_OK;
}

cs_err cs_emu_nsm_create_parse(cs_nsm_model *m, cs_slice line, const cs_emu_cert *root)
{
    const char *op = NULL, *module_id = NULL;
    json_t *pcrs = NULL;
    int debug = 0;
    json_t *j = json_loadb((const char *)line.p, line.len, JSON_REJECT_DUPLICATES, NULL);
    bool ok = j != NULL &&
              json_unpack(j, "{s:s,s:s,s:o,s?b !}", "op", &op, "module_id", &module_id, "pcrs", &pcrs, "debug",
                          &debug) == 0 &&
              strcmp(op, "create") == 0 && module_id[0] != '\0' && strlen(module_id) <= 64 && json_is_object(pcrs);
    if (ok) {
        cs_nsm_model_init(m, module_id, root);
        ok = parse_pcrs(m, pcrs) == CS_OK;
    }
    for (int i = 0; ok && debug && i < 3; i++) { /* [nitro-kms.md 5.5] */
        memset(m->pcr[i], 0, CS_NSM_PCR_LEN);
    }
    json_decref(j);
    return ok ? CS_OK : CS_E_FORMAT;
}
