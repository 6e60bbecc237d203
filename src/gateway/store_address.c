/* Where the store is, as the gateway's own configuration says: for the store's commands of sign-gateway. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "gateway/settings.h"

static size_t read_bytes(uint8_t *out, size_t max, const char *path)
{
    size_t len = 0, n = 1;
    FILE *f = fopen(path, "re");

    while (f != NULL && len < max && (n = fread(out + len, 1, max - len, f)) > 0) {
        len += n;
    }
    bool read = f != NULL && ferror(f) == 0;
    if (f != NULL) {
        (void)fclose(f);
    }
    return read ? len : SIZE_MAX;
}

int cs_gate_store_address(const cs_args *a, const char *path, char dsn[CS_STORE_DSN_MAX])
{
    static uint8_t bytes[CS_YAML_MAX + 1];
    static cs_gate_config c;
    cs_yaml_fault fault = {0};
    char text[1024];
    size_t len = read_bytes(bytes, sizeof bytes, path);

    if (len == SIZE_MAX) {
        return cs_refuse(a, CS_E_IO, cs_args_flag(a, "json"), path);
    }
    cs_gate_settings_default(&c);
    cs_err err = cs_gate_settings_read(&c, &fault, cs_slice_of(bytes, len));
    err = err == CS_OK ? cs_tee_settings_env(&c.tee, &fault, environ) : err;
    if (err != CS_OK) {
        (void)snprintf(text, sizeof text, "%.700s:%u: %.250s", path, fault.line, fault.text);
        return cs_refuse(a, err, cs_args_flag(a, "json"), text);
    }
    bool pg = strcmp(c.tee.store_driver, "postgres") == 0;
    int n = snprintf(dsn, CS_STORE_DSN_MAX, "%s%s", pg ? "" : "sqlite:", pg ? c.tee.store_dsn : c.tee.store_path);
    return n > 0 && n < CS_STORE_DSN_MAX ? 0 : cs_usage_error(a, "tee.store: the address is too long");
}
