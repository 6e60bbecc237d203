/*
 * Target: cs_yaml_read
 * Any bytes as a file: what is read names known keys once each, and every text is inside its limits; a refusal says why.
 */
#include <stdlib.h>
#include <string.h>

#include "net/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const known[] = {"server.host", "server.port",   "server.cors_origins",
                                    "kms.context", "logging.level", NULL};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_yaml *y = NULL;
    cs_yaml_fault fault;
    const char *text;
    uint64_t port = 0;
    size_t items = 0;

    cs_err err = cs_yaml_read(&y, &fault, cs_slice_of(data, size), known);
    if (err != CS_OK) {
        if (y != NULL || (err != CS_E_NO_MEMORY && fault.text[0] == '\0')) {
            abort();
        }
        return 0;
    }
    for (size_t i = 0; known[i] != NULL; i++) {
        const cs_yaml_entry *e = cs_yaml_get(y, known[i]);
        for (size_t k = 0; e != NULL && k < e->num_items; k++) {
            items += 1 + strlen(e->items[k].text);
            if ((e->kind == CS_YAML_MAP) != (e->items[k].name != NULL) ||
                (e->kind == CS_YAML_TEXT && e->num_items != 1)) {
                abort();
            }
        }
    }
    if (items > 4 * size + CS_YAML_ITEMS) {
        abort();
    }
    if (cs_yaml_u64(&port, y, &fault, "server.port", 1, 1, 65535) == CS_OK && (port == 0 || port > 65535)) {
        abort();
    }
    if (cs_yaml_text(&text, y, &fault, "server.host", "h", 1, 64) == CS_OK && (text[0] == '\0' || strlen(text) > 64)) {
        abort();
    }
    cs_yaml_free(y);
    return 0;
}
