/*
 * Allow-lists in the form of vsock-proxy's vsock-proxy.yaml: a list `allowlist` of {address: HOST, port: N}. Its rules: a file without
 * the list, an entry without an address, or a port that is missing or no integer: the whole file is refused. A host is allowed
 * when an entry has the same port and the same text (no wildcards, no suffixes), or an address that the host has, too.
 * Unknown keys are passed over, as vsock-proxy does; they can allow nothing. Stricter than it: no anchors, aliases or tags, no key
 * twice, port 1 to 65535. Source: specs/nitro-kms.md 8.2.
 */
#ifndef CS_HOST_ALLOWLIST_H
#define CS_HOST_ALLOWLIST_H

#include "host/resolve.h"

#define CS_ALLOWLIST_FILE "/etc/nitro_enclaves/vsock-proxy.yaml"
#define CS_ALLOWLIST_BYTES ((size_t)1 << 20)
#define CS_ALLOWLIST_ENTRIES 4096u

typedef struct cs_allowlist cs_allowlist;
typedef struct cs_allowed {
    char host[CS_EP_HOST_MAX]; /* name or address, as written */
    uint16_t port;
} cs_allowed;

/* Why a file is refused: one printable line; line 0 when it is about the whole file. */
typedef struct cs_allowlist_fault {
    unsigned line;
    char text[200];
} cs_allowlist_fault;

/* cs_allowlist_read - CS_E_ALLOWLIST | CS_E_TOO_LARGE | CS_E_NO_MEMORY; *fault says more on the first two. */
CS_MUST cs_err cs_allowlist_read(cs_allowlist **out, cs_allowlist_fault *fault, cs_slice yaml);
/*
 * cs_allowlist_builtin - KMS and KMS-FIPS of every region (with the right suffix in China), STS, and the instance metadata service
 * (169.254.169.254 and fd00:ec2::254, port 80). region: of that one alone; NULL: all. CS_E_NO_MEMORY | CS_E_NOT_FOUND (region).
 */
CS_MUST cs_err cs_allowlist_builtin(cs_allowlist **out, const char *region);
size_t cs_allowlist_num(const cs_allowlist *a);
const cs_allowed *cs_allowlist_at(const cs_allowlist *a, size_t i);
/* cs_allowlist_put - append as YAML, readable by cs_allowlist_read and vsock-proxy. CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_allowlist_put(cs_buf *out, const cs_allowlist *a);

/* cs_allowlist_has - an entry has this very host and port. */
bool cs_allowlist_has(const cs_allowlist *a, const char *host, uint16_t port);
/*
 * cs_allowlist_find - the same, or through equal addresses: then *out_only has the addresses that host may lead to; else it is
 * empty (num 0). Looks names up (blocking, several at once) when the text alone does not decide. CS_E_PROXY_DENIED | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_allowlist_find(cs_addrs *out_only, const cs_allowlist *a, const cs_endpoint *host, int family,
                                 cs_lookup_fn *lookup);
void cs_allowlist_free(cs_allowlist *a);

#endif
