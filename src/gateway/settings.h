/*
 * What the gateway is told: flags over environment over file over defaults. The file is docs/formats/gateway-config.md; a name
 * that it does not know is refused with the nearest one that it knows.
 */
#ifndef CS_GATEWAY_SETTINGS_H
#define CS_GATEWAY_SETTINGS_H

#include "base/opts.h"
#include "store/store.h"
#include "gateway/gateway.h"
#include "net/yaml.h"

#define CS_GATE_CONFIG_FILE "/app/config/sign-gateway.yaml"

/* cs_gate_settings_default - every value. */
void cs_gate_settings_default(cs_gate_config *out);
/* cs_gate_settings_read - lays the text of a file over what is there. CS_E_CONFIG | CS_E_CONFIG_KEY | CS_E_TOO_LARGE |
 * CS_E_NO_MEMORY; *fault says more (but for the last), and *io is as it was. */
CS_MUST cs_err cs_gate_settings_read(cs_gate_config *io, cs_yaml_fault *fault, cs_slice yaml);
/*
 * cs_gate_settings_fit - takes what cannot be back to what can, once connections are what the limit of descriptors allows: event
 * streams last, so they get three quarters of the HTTP connections at most, and the others stay for requests.
 */
void cs_gate_settings_fit(cs_gate_config *io);
/* cs_gate_key - the names that a file may have, "group.name", by position below cs_gate_num_keys. */
size_t cs_gate_num_keys(void);
const char *cs_gate_key(size_t i);
/* cs_gate_settings_print - append all of it as a file that reads back to the same; passwords are masked. CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_gate_settings_print(cs_buf *out, const cs_gate_config *c);
/* cs_gate_service_parse - "http://HOST[:PORT]" (50051), or an endpoint. CS_E_FORMAT | CS_E_RANGE | CS_E_UNSUPPORTED. */
CS_MUST cs_err cs_gate_service_parse(cs_endpoint *out, cs_slice text);

/*
 * cs_gate_store_address - tee.store of the file at path and of the environment, for cs_store_cmd_config. 0, or the exit status: then it
 * was said why.
 */
int cs_gate_store_address(const cs_args *a, const char *path, char dsn[CS_STORE_DSN_MAX]);

#endif
