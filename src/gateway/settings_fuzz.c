/*
 * Target: cs_gate_settings_read, cs_gate_service_parse
 * Any bytes as a configuration file, and as a service: what is refused leaves everything as it was.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_gate_config c, before;
    cs_yaml_fault fault = {0};
    cs_endpoint ep;
    cs_gate_settings_default(&c);
    before = c;
    cs_err err = cs_gate_settings_read(&c, &fault, cs_slice_of(data, size));
    if (err != CS_OK && memcmp(&c, &before, sizeof c) != 0) {
        abort();
    }
    if (err == CS_OK && (c.rooms.rooms < 1 || c.http_conns < 16 || c.num_origins > CS_GATE_ORIGINS_MAX)) {
        abort();
    }
    if (cs_gate_service_parse(&ep, cs_slice_of(data, size)) == CS_OK && ep.host[0] == '\0' &&
        ep.scheme != CS_EP_VSOCK) {
        abort();
    }
    return 0;
}
