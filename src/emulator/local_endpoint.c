/* See local_endpoint.h. */
#include "emulator/local_endpoint.h"

#include <stdio.h>
#include <string.h>

#include "net/endpoint.h"

#define DIR_MAX 80 /* leaves room for "/parent-4294967294.sock" in 107 bytes */

static const char *local_dir;

cs_err cs_local_endpoint_set_dir(const char *dir)
{
    if (dir[0] != '/' || strlen(dir) > DIR_MAX) {
        return CS_E_RANGE;
    }
    local_dir = dir;
    return CS_OK;
}

static cs_err map(cs_endpoint *ep)
{
    if (ep->scheme != CS_EP_VSOCK) {
        return CS_OK;
    }
    if (!ep->parent || local_dir == NULL) {
        return CS_E_UNSUPPORTED;
    }
    cs_endpoint mapped = {.scheme = CS_EP_UNIX};
    snprintf(mapped.host, sizeof mapped.host, "%s/parent-%u.sock", local_dir, ep->port);
    *ep = mapped;
    return CS_OK;
}

const cs_ep_rules cs_ep_rules_linked = {
    .schemes = CS_EP_VSOCK,
    .inherit = CS_EP_VSOCK | CS_EP_UNIX | CS_EP_TCP,
    .map = map,
};
