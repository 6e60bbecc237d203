/* Sockets of the NSM model. See nsm_server.h. */
#include "emulator/nsm_server.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "net/link.h"
#include "net/stream.h"

#define MAX_LINE 16384

typedef struct peer peer;
typedef struct instance instance;

/* One connection on an instance's socket. */
struct peer {
    instance *in;
    cs_link *link;
    peer *next;
};

/* One enclave; lives as long as its control connection. */
struct instance {
    cs_emu_nsm_server *server;
    cs_stream *control;
    cs_buf line;
    bool created;
    cs_nsm_model model;
    char path[108];
    cs_listener *listener;
    peer *peers;
    instance *next;
};

struct cs_emu_nsm_server {
    cs_loop *loop;
    const char *dir;
    const cs_emu_cert *root;
    cs_listener *control;
    unsigned count;
    instance *instances;
};

static void peer_drop(peer *p)
{
    cs_link_free(p->link);
    free(p);
}

static void peer_free(peer *p)
{
    for (peer **at = &p->in->peers; *at != NULL; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            break;
        }
    }
    peer_drop(p);
}

static void instance_drop(instance *in)
{
    if (in->created) { /* the address first: who is cut off must not find it again */
        unlink(in->path);
        cs_log(CS_LOG_INFO, "nsm-instance-ended", CS_LC("moduleId", in->model.module_id));
    }
    cs_listener_free(in->listener);
    while (in->peers != NULL) {
        peer *p = in->peers;
        in->peers = p->next;
        peer_drop(p);
    }
    cs_nsm_model_cleanup(&in->model);
    cs_stream_free(in->control);
    cs_buf_free(&in->line);
    free(in);
}

static void instance_free(instance *in)
{
    for (instance **at = &in->server->instances; *at != NULL; at = &(*at)->next) {
        if (*at == in) {
            *at = in->next;
            break;
        }
    }
    instance_drop(in);
}

static void on_packet(void *cookie, cs_slice packet)
{
    static uint8_t mem[CS_NSM_MAX_RESPONSE];
    peer *p = cookie;
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    if (cs_nsm_model_handle(&p->in->model, packet, &out) != CS_OK ||
        cs_link_send(p->link, cs_buf_slice(&out)) != CS_OK) {
        peer_free(p);
    }
}

static void on_link_close(void *cookie, cs_err err)
{
    peer_free(cookie);
}

static void on_peer(void *cookie, int fd, const cs_ep_peer *from)
{
    static const cs_link_events events = {on_packet, NULL, on_link_close};
    instance *in = cookie;
    peer *p = calloc(1, sizeof *p);
    if (p == NULL || cs_link_new(&p->link, in->server->loop, fd, 0, &events, p) != CS_OK) {
        close(fd);
        free(p);
        return;
    }
    p->in = in;
    p->next = in->peers;
    in->peers = p;
}

/* A SOCK_SEQPACKET listener: one request a packet, as one ioctl is one request. */
static cs_err listen_packets(int *out_fd, const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path) {
        return CS_E_RANGE;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return CS_E_IO;
    }
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || chmod(path, 0600) != 0 || listen(fd, 8) != 0) {
        close(fd);
        return CS_E_IO;
    }
    *out_fd = fd;
    return CS_OK;
}

static cs_err open_instance(instance *in, cs_slice line)
{
    int fd = -1;
    CS_TRY(cs_emu_nsm_create_parse(&in->model, line, in->server->root));
    int n = snprintf(in->path, sizeof in->path, "%s/nsm-%u.sock", in->server->dir, in->server->count);
    if (n < 0 || (size_t)n >= sizeof in->path) {
        return CS_E_RANGE;
    }
    CS_TRY(listen_packets(&fd, in->path));
    in->server->count++;
    in->created = true;
    cs_err err = cs_listener_new(&in->listener, in->server->loop, fd, CS_EP_CID_ANY, on_peer, in);
    if (err != CS_OK) {
        close(fd);
    }
    return err;
}

static void answer_line(instance *in, const char *member, const char *value)
{
    char *text = NULL;
    json_t *j = json_pack("{s:s}", member, value);
    text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
    if (text != NULL && cs_stream_write(in->control, cs_slice_str(text)) == CS_OK) {
        (void)!cs_stream_write(in->control, cs_slice_str("\n"));
    }
    free(text);
    json_decref(j);
}

static void on_control_data(void *cookie, cs_slice data)
{
    instance *in = cookie;
    if (in->created || cs_put_slice(&in->line, data) != CS_OK) {
        instance_free(in); /* one line is all that is said here */
        return;
    }
    uint8_t *end = memchr(in->line.p, '\n', in->line.len);
    if (end == NULL) {
        return;
    }
    cs_err err = open_instance(in, cs_slice_of(in->line.p, (size_t)(end - in->line.p)));
    if (err == CS_OK) {
        cs_log(CS_LOG_INFO, "nsm-instance", CS_LC("moduleId", in->model.module_id), CS_LC("socket", in->path),
               CS_LHEX("pcr0", cs_slice_of(in->model.pcr[0], CS_NSM_PCR_LEN)));
        answer_line(in, "nsm", in->path);
    } else {
        answer_line(in, "error", cs_err_code(err));
    }
}

static void on_control_close(void *cookie, cs_err err)
{
    instance_free(cookie);
}

static void on_control(void *cookie, int fd, const cs_ep_peer *from)
{
    static const cs_stream_events events = {.on_data = on_control_data, .on_close = on_control_close};
    cs_emu_nsm_server *s = cookie;
    instance *in = calloc(1, sizeof *in);
    if (in == NULL || cs_stream_new(&in->control, s->loop, fd, NULL, &events, in) != CS_OK) {
        close(fd);
        free(in);
        return;
    }
    in->server = s;
    in->line = cs_buf_heap(MAX_LINE);
    in->next = s->instances;
    s->instances = in;
    cs_stream_read(in->control, true);
}

cs_err cs_emu_nsm_server_new(cs_emu_nsm_server **out, cs_loop *l, const char *dir, const cs_emu_cert *root)
{
    cs_endpoint ep = {.scheme = CS_EP_UNIX};
    int fd = -1;
    cs_emu_nsm_server *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return CS_E_NO_MEMORY;
    }
    *s = (cs_emu_nsm_server){.loop = l, .dir = dir, .root = root};
    int n = snprintf(ep.host, sizeof ep.host, "%s/nsm-control.sock", dir);
    cs_err err = n >= 0 && (size_t)n < sizeof ep.host ? cs_endpoint_listen(&fd, &ep, 16) : CS_E_RANGE;
    if (err == CS_OK) {
        err = cs_listener_new(&s->control, l, fd, CS_EP_CID_ANY, on_control, s);
    }
    if (err != CS_OK) {
        if (fd >= 0) {
            close(fd);
        }
        free(s);
        return err;
    }
    *out = s;
    return CS_OK;
}

void cs_emu_nsm_server_free(cs_emu_nsm_server *s)
{
    if (s == NULL) {
        return;
    }
    while (s->instances != NULL) {
        instance *in = s->instances;
        s->instances = in->next;
        instance_drop(in);
    }
    cs_listener_free(s->control);
    free(s);
}
