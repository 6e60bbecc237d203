/*
 * Names to addresses without holding up the loop: each lookup blocks in a thread of its own, with the system's resolver (so that
 * /etc/hosts, nsswitch and a private DNS count). A lookup that nobody waits for any more ends by itself.
 */
#ifndef CS_HOST_RESOLVE_H
#define CS_HOST_RESOLVE_H

#include "net/loop.h"

#define CS_ADDRS_MAX 16

/* Addresses in text form, e.g. "192.0.2.1", "2001:db8::1", in the order in which to try them. */
typedef struct cs_addrs {
    size_t num;
    struct {
        bool v6;
        char text[46];
    } a[CS_ADDRS_MAX];
} cs_addrs;

/*
 * A lookup: blocking, called in threads. family: 0, 4 or 6. Only out is written, on CS_OK only and then with at least one address.
 * CS_E_DNS | CS_E_NO_MEMORY.
 */
typedef cs_err cs_lookup_fn(cs_addrs *out, const char *host, int family);
/* cs_lookup_system - getaddrinfo. IPv6 and IPv4 take turns, first what the system prefers [RFC8305 4]; numeric hosts stay. */
CS_MUST cs_err cs_lookup_system(cs_addrs *out, const char *host, int family);
/* cs_addrs_numeric - true when host is an address and not a name; *out has it when it is of the family, else nothing. */
bool cs_addrs_numeric(cs_addrs *out, const char *host, int family);
bool cs_addrs_has(const cs_addrs *a, const char *text);

typedef struct cs_resolve cs_resolve;
/* Called once on the loop. The object frees itself before. */
typedef void cs_resolve_fn(void *cookie, cs_err err, const cs_addrs *addrs);
/* cs_resolve_new - lookup NULL: cs_lookup_system. CS_E_NO_MEMORY (also: no thread). */
CS_MUST cs_err cs_resolve_new(cs_resolve **out, cs_loop *l, const char *host, int family, cs_lookup_fn *lookup,
                              cs_resolve_fn *fn, void *cookie);
/* cs_resolve_free - nobody waits for it any more. */
void cs_resolve_free(cs_resolve *r);

#endif
