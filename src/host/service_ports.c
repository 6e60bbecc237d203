/* Listeners and bridges of the service: gRPC from outside to the enclave, KMS and gateway for it, its log. See service_int.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "host/service_int.h"

#define LOG_CONNS 16
#define KMS_CONNS 64u
#define EGRESS_CONNS 4096u
#define INGRESS_CONNS 10240u

struct cs_service_ports {
    cs_service *s;
    int grpc_fd;       /* the listener; each bridge has a copy of its own */
    cs_endpoint where; /* as bound */
    cs_proxy *ingress, *before;
    cs_endpoint to;
    cs_proxy *kms, *egress;
    atomic_uint clients; /* of ingress and before */
    unsigned
        clients_max; /* so that whoever connects from outside takes no descriptor of KMS, control socket, restart */
    cs_listener *log;
    cs_logs *logs;
    uint64_t log_total;
};

static bool admit(void *cookie, const cs_ep_peer *peer)
{
    return cs_service_admits(cookie, peer);
}

/* A parent's port that leads somewhere. */
static cs_err open_port(cs_proxy **out, cs_service *s, uint32_t port, const cs_endpoint *to, const cs_proxy_opts *o)
{
    cs_endpoint at;
    int fd = -1;

    if (to->scheme == 0) {
        return CS_OK;
    }
    cs_driver_parent_port(&at, s->o.instance.driver.vsock_dir, port);
    CS_TRY(cs_endpoint_listen(&fd, &at, 128));
    cs_err err = cs_proxy_new(out, s->loop, fd, to, o);
    if (err != CS_OK) {
        (void)close(fd);
    }
    return err;
}

static void on_log(void *cookie, int fd, const cs_ep_peer *peer)
{
    cs_service_ports *p = cookie;

    if (!cs_service_admits(p->s, peer) || cs_logs_socket(p->logs, fd) != CS_OK) {
        cs_log_err(CS_LOG_WARN, "log_peer", CS_E_AUTH, CS_LU("cid", peer->cid));
        (void)close(fd);
        return;
    }
    p->log_total++;
}

/* The enclave says that it halts, or its log has ended: see whether it is still there. */
static void on_halt_line(void *cookie)
{
    cs_service *s = cookie;

    if (s->active != NULL) {
        cs_instance_look(s->active);
    }
    if (s->next != NULL) {
        cs_instance_look(s->next);
    }
}

static cs_err open_log(cs_service_ports *p)
{
    cs_endpoint at;
    int fd = -1;

    CS_TRY(cs_logs_new(&p->logs, p->s->loop, p->s->o.console_log, p->s->o.verbose));
    cs_logs_watch(p->logs, on_halt_line, p->s);
    cs_driver_parent_port(&at, p->s->o.instance.driver.vsock_dir, 7110);
    CS_TRY(cs_endpoint_listen(&fd, &at, LOG_CONNS));
    cs_err err = cs_listener_new(&p->log, p->s->loop, fd, CS_EP_CID_ANY, on_log, p);
    if (err != CS_OK) {
        (void)close(fd);
    }
    return err;
}

static cs_err open_all(cs_service_ports *p, char why[CS_DRIVER_TEXT])
{
    cs_service *s = p->s;
    unsigned pairs = cs_proxy_fitting(INGRESS_CONNS + EGRESS_CONNS + KMS_CONNS, 1);
    unsigned outward = pairs / 4 < EGRESS_CONNS ? pairs / 4 : EGRESS_CONNS;
    const cs_proxy_opts kms = {.name = "kms", .conns_max = KMS_CONNS, .idle_ms = 60000, .admit = admit, .cookie = s},
                        egress = {
                            .name = "gateway", .conns_max = outward, .idle_ms = 300000, .admit = admit, .cookie = s};

    p->clients_max = pairs > outward + KMS_CONNS ? pairs - outward - KMS_CONNS : 1;
    p->clients_max = p->clients_max < INGRESS_CONNS ? p->clients_max : INGRESS_CONNS;

    (void)snprintf(why, CS_DRIVER_TEXT, "the listener of gRPC (HOST_GRPC_PORT, --listen)");
    CS_TRY(cs_endpoint_listen(&p->grpc_fd, &s->o.grpc, 512));
    CS_TRY(cs_endpoint_bound(&p->where, p->grpc_fd));
    (void)snprintf(why, CS_DRIVER_TEXT, "the console log %.150s", s->o.console_log);
    CS_TRY(open_log(p));
    (void)snprintf(why, CS_DRIVER_TEXT, "port %u of the parent (KMS)",
                   cs_host_port(&s->o.ports, CS_LAUNCH_PORT_KMS_PROXY));
    CS_TRY(open_port(&p->kms, s, cs_host_port(&s->o.ports, CS_LAUNCH_PORT_KMS_PROXY), &s->o.kms, &kms));
    (void)snprintf(why, CS_DRIVER_TEXT, "port %u of the parent (gateway)",
                   cs_host_port(&s->o.ports, CS_LAUNCH_PORT_EGRESS));
    CS_TRY(open_port(&p->egress, s, cs_host_port(&s->o.ports, CS_LAUNCH_PORT_EGRESS), &s->o.egress, &egress));
    why[0] = '\0';
    return CS_OK;
}

cs_err cs_service_ports_open(cs_service_ports **out, cs_service *s, char why[CS_DRIVER_TEXT])
{
    cs_service_ports *p = calloc(1, sizeof *p);

    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    p->s = s;
    p->grpc_fd = -1;
    cs_err err = open_all(p, why);
    if (err != CS_OK) {
        cs_service_ports_free(p);
        return err;
    }
    *out = p;
    return CS_OK;
}

static bool same(const cs_endpoint *a, const cs_endpoint *b)
{
    return a->scheme == b->scheme && a->cid == b->cid && a->port == b->port && strcmp(a->host, b->host) == 0;
}

cs_err cs_service_ports_to(cs_service_ports *p, const cs_endpoint *grpc)
{
    const cs_proxy_opts o = {
        .name = "enclave", .conns_max = p->clients_max, .idle_ms = 600000, .together = &p->clients};
    cs_proxy *fresh = NULL;

    if (p->ingress != NULL && same(&p->to, grpc)) {
        return CS_OK;
    }
    int fd = dup(p->grpc_fd);
    cs_err err = fd >= 0 ? cs_proxy_new(&fresh, p->s->loop, fd, grpc, &o) : CS_E_IO;
    if (err != CS_OK) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return err;
    }
    cs_proxy_free(p->before);
    p->before = p->ingress;
    if (p->before != NULL) {
        cs_proxy_close(p->before);
    }
    p->ingress = fresh;
    p->to = *grpc;
    return CS_OK;
}

unsigned cs_service_ports_draining(const cs_service_ports *p)
{
    return cs_proxy_open(p->before);
}

void cs_service_ports_cut(cs_service_ports *p)
{
    cs_proxy_free(p->before);
    p->before = NULL;
}

void cs_service_ports_close(cs_service_ports *p)
{
    if (p->ingress != NULL) {
        cs_proxy_close(p->ingress);
    }
    if (p->grpc_fd >= 0) {
        (void)close(p->grpc_fd);
        p->grpc_fd = -1;
    }
}

unsigned cs_service_ports_clients(const cs_service_ports *p)
{
    return cs_proxy_open(p->ingress) + cs_proxy_open(p->before);
}

const cs_endpoint *cs_service_ports_where(const cs_service_ports *p)
{
    return &p->where;
}

size_t cs_service_ports_list(const cs_service_ports *p, cs_service_bridge out[8])
{
    out[0] = (cs_service_bridge){"grpc", cs_proxy_open(p->ingress), cs_proxy_total(p->ingress)};
    out[1] = (cs_service_bridge){"draining", cs_proxy_open(p->before), cs_proxy_total(p->before)};
    out[2] = (cs_service_bridge){"kms", cs_proxy_open(p->kms), cs_proxy_total(p->kms)};
    out[3] = (cs_service_bridge){"egress", cs_proxy_open(p->egress), cs_proxy_total(p->egress)};
    out[4] = (cs_service_bridge){"log", 0, p->log_total};
    return 5;
}

cs_err cs_service_ports_kms(const cs_service_ports *p, char why[CS_DRIVER_TEXT])
{
    uint8_t mem[CS_EP_TEXT_MAX];
    cs_buf to = cs_buf_wrap(mem, sizeof mem);
    cs_err err = cs_proxy_trouble(p->kms);

    if (p->kms == NULL) {
        (void)snprintf(why, CS_DRIVER_TEXT, "KMS_PROXY_ENABLE is 0: nothing of this program leads to KMS");
        return CS_E_CONNECT;
    }
    if (err != CS_OK && cs_endpoint_format(&to, &p->s->o.kms) == CS_OK) {
        (void)snprintf(why, CS_DRIVER_TEXT, "the way to KMS, %.*s", (int)to.len, (const char *)to.p);
    }
    return err;
}

static void remove_socket(const cs_service *s, uint32_t port)
{
    cs_endpoint at;

    cs_driver_parent_port(&at, s->o.instance.driver.vsock_dir, port);
    if (at.scheme == CS_EP_UNIX) {
        (void)unlink(at.host);
    }
}

void cs_service_ports_free(cs_service_ports *p)
{
    if (p == NULL) {
        return;
    }
    if (p->log != NULL) {
        remove_socket(p->s, 7110);
    }
    if (p->kms != NULL) {
        remove_socket(p->s, cs_host_port(&p->s->o.ports, CS_LAUNCH_PORT_KMS_PROXY));
    }
    if (p->egress != NULL) {
        remove_socket(p->s, cs_host_port(&p->s->o.ports, CS_LAUNCH_PORT_EGRESS));
    }
    if (p->where.scheme == CS_EP_UNIX) {
        (void)unlink(p->where.host);
    }
    cs_listener_free(p->log);
    cs_logs_free(p->logs);
    cs_proxy_free(p->before);
    cs_proxy_free(p->ingress);
    cs_proxy_free(p->kms);
    cs_proxy_free(p->egress);
    if (p->grpc_fd >= 0) {
        (void)close(p->grpc_fd);
    }
    free(p);
}
