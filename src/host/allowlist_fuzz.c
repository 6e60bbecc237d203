/*
 * Target: cs_allowlist_read
 * Any bytes as a file: what is read has a host and a port in every entry, and allows just its own hosts; a refusal says why.
 */
#include <stdlib.h>
#include <string.h>

#include "host/allowlist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_allowlist *a = NULL;
    cs_allowlist_fault fault;

    cs_err err = cs_allowlist_read(&a, &fault, cs_slice_of(data, size));
    if (err != CS_OK) {
        if (a != NULL || (err != CS_E_NO_MEMORY && fault.text[0] == '\0')) {
            abort();
        }
        return 0;
    }
    for (size_t i = 0; i < cs_allowlist_num(a); i++) {
        const cs_allowed *e = cs_allowlist_at(a, i);
        size_t len = strnlen(e->host, sizeof e->host);
        if (len == 0 || len == sizeof e->host || e->port == 0 || !cs_allowlist_has(a, e->host, e->port)) {
            abort();
        }
    }
    if (cs_allowlist_has(a, "", 443) || cs_allowlist_num(a) > CS_ALLOWLIST_ENTRIES) {
        abort();
    }
    cs_allowlist_free(a);
    return 0;
}
