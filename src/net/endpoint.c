/* Endpoints: text form. Sockets are in endpoint_socket.c. See endpoint.h. */
#include "net/endpoint.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/text.h"

#define UNIX_PATH_MAX 107

static cs_err parse_number(uint32_t *out, cs_slice text, uint32_t max)
{
    uint64_t v = 0;
    CS_TRY(cs_parse_u64(text, max, &v));
    *out = (uint32_t)v;
    return CS_OK;
}

/* The last ':' splits off the port, so that an IPv6 host in brackets may hold colons. */
static cs_err split_port(cs_slice *head, cs_slice *port, cs_slice text)
{
    for (size_t i = text.len; i > 0; i--) {
        if (text.p[i - 1] == ':') {
            *head = cs_slice_of(text.p, i - 1);
            *port = cs_slice_of(text.p + i, text.len - i);
            return CS_OK;
        }
    }
    return CS_E_FORMAT;
}

static cs_err parse_vsock(cs_endpoint *ep, cs_slice rest)
{
    cs_slice cid;
    cs_slice port;
    CS_TRY(split_port(&cid, &port, rest));
    if (cs_slice_eq_str(cid, "any")) {
        ep->cid = CS_EP_CID_ANY;
    } else if (cs_slice_eq_str(cid, "parent")) {
        ep->cid = CS_EP_CID_PARENT;
        ep->parent = true;
    } else {
        CS_TRY(parse_number(&ep->cid, cid, CS_EP_CID_ANY - 1));
    }
    CS_TRY(parse_number(&ep->port, port, UINT32_MAX - 1));
    return ep->port == 0 ? CS_E_RANGE : CS_OK;
}

static cs_err parse_unix(cs_endpoint *ep, cs_slice path)
{
    if (path.len < 2 || path.p[0] != '/' || memchr(path.p, 0, path.len) != NULL) {
        return CS_E_FORMAT;
    }
    if (path.len > UNIX_PATH_MAX) {
        return CS_E_RANGE;
    }
    memcpy(ep->host, path.p, path.len);
    return CS_OK;
}

static bool name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
}

static cs_err check_host(const char *host, bool brackets)
{
    uint8_t addr[16];
    if (brackets) {
        return inet_pton(AF_INET6, host, addr) == 1 ? CS_OK : CS_E_FORMAT;
    }
    bool letters = false;
    for (const char *c = host; *c != '\0'; c++) {
        if (!name_byte((uint8_t)*c)) {
            return CS_E_FORMAT;
        }
        letters = letters || !((*c >= '0' && *c <= '9') || *c == '.');
    }
    if (host[0] == '.' || host[0] == '-') {
        return CS_E_FORMAT;
    }
    if (!letters) { /* digits and dots only: an address or nothing (127.1 is no address here) */
        return inet_pton(AF_INET, host, addr) == 1 ? CS_OK : CS_E_FORMAT;
    }
    return cs_ep_rules_linked.resolve != NULL ? CS_OK : CS_E_UNSUPPORTED;
}

static cs_err parse_tcp(cs_endpoint *ep, cs_slice rest)
{
    cs_slice host;
    cs_slice port;
    CS_TRY(split_port(&host, &port, rest));
    bool brackets = host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']';
    if (brackets) {
        host = cs_slice_of(host.p + 1, host.len - 2);
    }
    if (host.len == 0 || memchr(host.p, 0, host.len) != NULL) {
        return CS_E_FORMAT;
    }
    if (host.len >= CS_EP_HOST_MAX) {
        return CS_E_RANGE;
    }
    memcpy(ep->host, host.p, host.len);
    CS_TRY(check_host(ep->host, brackets));
    return parse_number(&ep->port, port, 65535);
}

static bool take_prefix(cs_slice *rest, cs_slice text, const char *prefix)
{
    size_t n = strlen(prefix);
    if (text.len < n || memcmp(text.p, prefix, n) != 0) {
        return false;
    }
    *rest = cs_slice_of(text.p + n, text.len - n);
    return true;
}

cs_err cs_endpoint_parse(cs_endpoint *out, cs_slice text)
{
    static const struct {
        const char *prefix;
        cs_ep_scheme scheme;
        cs_err (*parse)(cs_endpoint *ep, cs_slice rest);
    } schemes[] = {
        {"vsock:", CS_EP_VSOCK, parse_vsock}, {"unix:", CS_EP_UNIX, parse_unix}, {"tcp:", CS_EP_TCP, parse_tcp}};
    if (text.len > CS_EP_TEXT_MAX) {
        return CS_E_RANGE;
    }
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        cs_slice rest;
        if (take_prefix(&rest, text, schemes[i].prefix)) {
            cs_endpoint ep = {.scheme = schemes[i].scheme};
            if ((cs_ep_rules_linked.schemes & (unsigned)ep.scheme) == 0) {
                return CS_E_UNSUPPORTED;
            }
            CS_TRY(schemes[i].parse(&ep, rest));
            *out = ep;
            return CS_OK;
        }
    }
    return CS_E_FORMAT;
}

cs_err cs_endpoint_format(cs_buf *out, const cs_endpoint *ep)
{
    switch (ep->scheme) {
    case CS_EP_VSOCK:
        if (ep->parent) {
            return cs_put_fmt(out, "vsock:parent:%u", ep->port);
        }
        if (ep->cid == CS_EP_CID_ANY) {
            return cs_put_fmt(out, "vsock:any:%u", ep->port);
        }
        return cs_put_fmt(out, "vsock:%u:%u", ep->cid, ep->port);
    case CS_EP_UNIX:
        return cs_put_fmt(out, "unix:%s", ep->host);
    case CS_EP_TCP:
        return strchr(ep->host, ':') != NULL ? cs_put_fmt(out, "tcp:[%s]:%u", ep->host, ep->port)
                                             : cs_put_fmt(out, "tcp:%s:%u", ep->host, ep->port);
    }
    return CS_E_INTERNAL;
}

void cs_endpoint_set_parent(cs_endpoint *ep, uint32_t parent_cid)
{
    if (ep->scheme == CS_EP_VSOCK && ep->parent) {
        ep->cid = parent_cid;
    }
}
