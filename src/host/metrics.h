/*
 * Metrics of proxies in Prometheus' text format, over HTTP on this machine: GET /metrics, and GET /healthz ("ok").
 * Names: countersign_proxy_*; labels proxy, result, direction. No addresses of peers, no contents.
 */
#ifndef CS_HOST_METRICS_H
#define CS_HOST_METRICS_H

#include "host/proxy.h"

/* cs_metrics_put - append the figures of all proxies; those of one name (threads of one proxy) are added up. CS_E_NO_MEMORY | CS_E_TOO_LARGE. */
CS_MUST cs_err cs_metrics_put(cs_buf *out, cs_proxy *const *proxies, size_t num_proxies);

typedef struct cs_metrics cs_metrics;
/*
 * cs_metrics_new - listens; tcp must be a loopback address (CS_E_USAGE): the figures need no authentication. proxies are borrowed.
 * Errors of cs_endpoint_listen.
 */
CS_MUST cs_err cs_metrics_new(cs_metrics **out, cs_loop *l, const cs_endpoint *at, cs_proxy *const *proxies,
                              size_t num_proxies);
void cs_metrics_free(cs_metrics *m);

#endif
