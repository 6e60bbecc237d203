/* See eif_config.h. */
#include "attest/eif_config.h"

#include "codec/cbor.h"
#include "codec/newc.h"

static bool is_config(cs_slice name)
{
    return cs_slice_eq_str(name, "etc/countersign/config.cbor") ||
           cs_slice_eq_str(name, "rootfs/etc/countersign/config.cbor");
}

/* The last one counts, as it does for a kernel that unpacks them in order. */
static cs_err find(cs_slice *out, cs_slice archive)
{
    cs_newc r = cs_newc_of(archive);
    cs_newc_file file;
    cs_err err = CS_E_NOT_FOUND;
    bool more = true;

    if (cs_newc_compressed(archive) != NULL) {
        return CS_E_NOT_FOUND;
    }
    for (;;) {
        if (cs_newc_next(&r, &file, &more) != CS_OK) {
            return CS_E_EIF_FORMAT;
        }
        if (!more) {
            return err;
        }
        if (is_config(file.path)) {
            *out = file.data;
            err = CS_OK;
        }
    }
}

cs_err cs_eif_config(cs_slice *out, const cs_eif *eif)
{
    cs_err err = CS_E_NOT_FOUND;
    size_t ramdisk = 0;

    for (size_t i = 0; err == CS_E_NOT_FOUND && i < eif->num_sections; i++) {
        if (eif->sections[i].type == CS_EIF_RAMDISK && ramdisk++ > 0) {
            err = find(out, eif->sections[i].body);
        }
    }
    return err;
}

static cs_err find_key(cs_slice *out, cs_slice map, const char *key)
{
    cs_cbor c = cs_cbor_of(map, CS_CBOR_STRICT);
    cs_cbor_iter it;
    cs_slice name, value;

    if (cs_cbor_map(&c, &it) != CS_OK) {
        return CS_E_CONFIG;
    }
    while (cs_cbor_more(&c, &it)) {
        if (cs_cbor_text(&c, &name) != CS_OK || cs_cbor_skip(&c, &value) != CS_OK) {
            return CS_E_CONFIG;
        }
        if (cs_slice_eq_str(name, key)) {
            *out = value;
            return CS_OK;
        }
    }
    return CS_E_NOT_FOUND;
}

cs_err cs_eif_config_uint(uint64_t *out, cs_slice config, const char *section, const char *key)
{
    cs_slice map, value;

    if (cs_cbor_check(config, CS_CBOR_STRICT) != CS_OK) {
        return CS_E_CONFIG;
    }
    CS_TRY(find_key(&map, config, section));
    CS_TRY(find_key(&value, map, key));
    cs_cbor c = cs_cbor_of(value, CS_CBOR_STRICT);
    return cs_cbor_uint(&c, out) == CS_OK ? CS_OK : CS_E_CONFIG;
}
