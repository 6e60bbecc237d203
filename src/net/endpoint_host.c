/* Rules of host programs and tests: every scheme, and names through the system's resolver. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "net/endpoint.h"

static cs_err resolve(struct sockaddr_storage *out, socklen_t *out_len, const char *host, uint16_t port)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(host, service, &hints, &list) != 0 || list == NULL) {
        return CS_E_CONNECT;
    }
    cs_err err = list->ai_addrlen <= sizeof *out ? CS_OK : CS_E_CONNECT;
    if (err == CS_OK) {
        memcpy(out, list->ai_addr, list->ai_addrlen);
        *out_len = list->ai_addrlen;
    }
    freeaddrinfo(list);
    return err;
}

const cs_ep_rules cs_ep_rules_linked = {
    .schemes = CS_EP_VSOCK | CS_EP_UNIX | CS_EP_TCP,
    .inherit = CS_EP_VSOCK | CS_EP_UNIX | CS_EP_TCP,
    .resolve = resolve,
};
