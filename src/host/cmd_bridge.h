/* The commands `sign-host bridge`, `proxy` and `allowlist`. */
#ifndef CS_HOST_CMD_BRIDGE_H
#define CS_HOST_CMD_BRIDGE_H

#include "base/opts.h"

extern const cs_opt cs_host_bridge_opts[], cs_host_proxy_opts[], cs_host_allowlist_opts[];
extern const char cs_host_bridge_text[], cs_host_proxy_text[], cs_host_allowlist_text[];
int cs_host_bridge(const cs_args *a);
int cs_host_proxy(const cs_args *a);
int cs_host_allowlist(const cs_args *a);

#endif
