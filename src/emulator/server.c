/* See server.h. */
#include "emulator/server.h"

#include <errno.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "emulator/nsm_server.h"
#include "emulator/reply.h"
#include "net/tls.h"

typedef enum service { SERVICE_IMDS, SERVICE_S3, SERVICE_KMS, NUM_SERVICES } service;

typedef struct endpoint {
    cs_emu_server *server;
    service kind;
    cs_http1_server *http;
    uint32_t port;
} endpoint;

/* A reply that goes out later. */
typedef struct delayed {
    struct delayed *next;
    cs_emu_server *server;
    cs_timer *timer;
    cs_http1_conn *conn;
    cs_emu_reply reply;
} delayed;

struct cs_emu_server {
    cs_loop *loop;
    delayed *later;
    cs_emu_state state;
    cs_emu_imds imds;
    cs_emu_cert ca, tls, nsm_root;
    cs_tls_ctx *tls_ctx;
    endpoint ep[NUM_SERVICES];
    cs_emu_nsm_server *nsm;
};

static void split_target(cs_emu_request *q, cs_slice target)
{
    size_t n = 0;
    while (n < target.len && target.p[n] != '?') {
        n++;
    }
    q->sig.path = cs_slice_of(target.p, n);
    q->sig.query = n < target.len ? cs_slice_of(target.p + n + 1, target.len - n - 1) : CS_SLICE_NULL;
}

static void send_reply(cs_http1_conn *conn, const cs_emu_reply *r)
{
    cs_http1_header h[CS_EMU_REPLY_HEADERS + 1];
    char date[64] = "";
    struct tm tm;
    time_t now = (time_t)(cs_clock_wall_ms() / 1000);
    for (size_t i = 0; i < r->num_headers; i++) {
        h[i] = (cs_http1_header){cs_slice_str(r->header[i].name), cs_slice_str(r->header[i].value)};
    }
    if (gmtime_r(&now, &tm) != NULL && strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0) {
        h[r->num_headers] = (cs_http1_header){cs_slice_str("Date"), cs_slice_str(date)};
    }
    cs_http1_respond(conn, r->status, h, r->num_headers + (date[0] != '\0' ? 1 : 0), cs_buf_slice(&r->body));
}

static void delayed_free(delayed *d)
{
    delayed **at = &d->server->later;
    while (*at != d) {
        at = &(*at)->next;
    }
    *at = d->next;
    cs_timer_free(d->timer);
    cs_buf_free(&d->reply.body);
    free(d);
}

static void on_delay_over(void *cookie)
{
    delayed *d = cookie;
    cs_http1_conn_on_gone(d->conn, NULL, NULL);
    send_reply(d->conn, &d->reply);
    delayed_free(d);
}

static void on_asker_gone(void *cookie)
{
    delayed_free(cookie);
}

/* Later: the reply is taken. At once when there is no memory. */
static void send_later(cs_emu_server *s, cs_http1_conn *conn, cs_emu_reply *reply)
{
    delayed *d = calloc(1, sizeof *d);
    if (d == NULL || cs_timer_new(&d->timer, s->loop, on_delay_over, d) != CS_OK) {
        free(d);
        send_reply(conn, reply);
        return;
    }
    d->next = s->later;
    s->later = d;
    d->server = s;
    d->conn = conn;
    d->reply = *reply;
    reply->body = cs_buf_heap(0); /* transferred */
    cs_http1_conn_on_gone(conn, on_asker_gone, d);
    cs_timer_start(d->timer, d->reply.delay_ms, 0);
}

static bool has(cs_slice text, const char *part)
{
    return text.len > 0 && memmem(text.p, text.len, part, strlen(part)) != NULL;
}

/*
 * One endpoint stands for all three services, on either port, so that one --endpoint-url (or AWS_ENDPOINT_URL) is enough. What tells
 * them apart: KMS names its operation in a header; else the service that the request is signed for; unsigned, STS is a form, and
 * what is posted to / of the TLS port can only have been meant for KMS.
 */
static void serve_aws(cs_emu_state *s, cs_emu_reply *reply, cs_emu_request *q)
{
    cs_slice target = CS_SLICE_NULL, type = CS_SLICE_NULL, auth = CS_SLICE_NULL;
    (void)cs_sigv4_header_find(&q->sig, "content-type", &type);
    (void)cs_sigv4_header_find(&q->sig, "authorization", &auth);
    bool root = cs_slice_eq_str(q->sig.path, "/"), post = cs_slice_eq_str(q->sig.method, "POST");
    bool s3 = has(auth, "/s3/aws4_request"), sts = has(auth, "/sts/aws4_request");
    if (!s3 && !sts) {
        sts = root && ((post && has(type, "application/x-www-form-urlencoded")) || has(q->sig.query, "Action="));
    }
    if (cs_sigv4_header_find(&q->sig, "x-amz-target", &target) || (!s3 && !sts && !q->plain_http && root && post)) {
        cs_emu_kms(s, reply, q);
    } else if (sts) {
        cs_emu_sts(s, reply, q);
    } else {
        cs_emu_s3(s, reply, q);
    }
}

static void on_request(void *cookie, cs_http1_conn *conn, const cs_http1_msg *m)
{
    cs_sigv4_header headers[CS_HTTP1_HEADERS];
    endpoint *ep = cookie;
    cs_emu_request q = {.body = m->body};
    cs_emu_reply reply = {.status = 500, .body = cs_buf_heap(CS_EMU_MAX_BODY)};
    for (size_t i = 0; i < m->num_headers; i++) {
        headers[i] = (cs_sigv4_header){m->headers[i].name, m->headers[i].value};
    }
    q.sig.method = m->method;
    q.sig.headers = headers;
    q.sig.num_headers = m->num_headers;
    split_target(&q, m->target);
    q.plain_http = ep->kind != SERVICE_KMS;
    if (ep->kind == SERVICE_IMDS) {
        cs_emu_imds_serve(&ep->server->imds, &ep->server->state, &reply, &q);
    } else {
        serve_aws(&ep->server->state, &reply, &q);
    }
    if (reply.dropped) {
        cs_http1_conn_close(conn);
    } else if (reply.delay_ms > 0) {
        send_later(ep->server, conn, &reply);
    } else {
        send_reply(conn, &reply);
    }
    cs_buf_free(&reply.body);
}

static cs_err listen_service(cs_emu_server *s, cs_loop *l, service kind, uint16_t port)
{
    cs_endpoint ep = {.scheme = CS_EP_TCP, .port = port, .host = "127.0.0.1"}, bound;
    cs_http1_server_opts o = {.cid = CS_EP_CID_ANY};
    int fd = -1;
    o.limits.body_max = kind == SERVICE_IMDS ? 4096 : CS_EMU_MAX_BODY;
    if (kind == SERVICE_KMS) {
        o.tls = s->tls_ctx;
        o.tls_wrap = cs_tls_accept;
    }
    CS_TRY(cs_endpoint_listen(&fd, &ep, 64));
    cs_err err = cs_endpoint_bound(&bound, fd);
    if (err != CS_OK) {
        close(fd);
        return err;
    }
    s->ep[kind] = (endpoint){s, kind, NULL, bound.port};
    return cs_http1_server_new(&s->ep[kind].http, l, fd, &o, on_request, &s->ep[kind]);
}

/* A stored certificate, or a fresh one that is stored. */
static cs_err load_or_issue(cs_emu_cert *out, const char *dir, const char *name, const cs_emu_cert *issuer,
                            const cs_emu_cert_spec *spec)
{
    cs_err err = cs_emu_cert_load(out, dir, name);
    if (err != CS_E_NOT_FOUND) {
        return err;
    }
    err = spec != NULL ? cs_emu_cert_issue(out, issuer, spec)
                       : cs_emu_root_issue(out, (int64_t)(cs_clock_wall_ms() / 1000));
    return err == CS_OK ? cs_emu_cert_save(out, dir, name) : err;
}

static cs_err open_pki(cs_emu_server *s, const char *dir)
{
    char names[512];
    int64_t now = (int64_t)(cs_clock_wall_ms() / 1000), year = 365 * 86400;
    cs_buf der = cs_buf_heap(4096);
    snprintf(names, sizeof names,
             "DNS:kms.%s.amazonaws.com,DNS:sts.%s.amazonaws.com,DNS:s3.%s.amazonaws.com,DNS:localhost,DNS:*.localhost,"
             "IP:127.0.0.1",
             s->state.o.region, s->state.o.region, s->state.o.region);
    const cs_emu_cert_spec ca = {
        "Countersign emulator CA", false, true, 0, "critical,keyCertSign,cRLSign", NULL, true, now - 3600, 10 * year};
    const cs_emu_cert_spec leaf = {"kms", false, false, -1, "critical,digitalSignature", names, true, now - 3600, year};
    CS_TRY(load_or_issue(&s->ca, dir, "ca", NULL, &ca));
    CS_TRY(cs_emu_cert_issue(&s->tls, &s->ca, &leaf)); /* region and time may have changed: made at every start */
    CS_TRY(load_or_issue(&s->nsm_root, dir, "nsm-root", NULL, NULL));
    cs_err err = cs_emu_cert_der(&der, &s->nsm_root);
    if (err == CS_OK) {
        s->state.nsm_root_der = der.p; /* transferred */
        s->state.nsm_root_len = der.len;
    }
    return err;
}

static cs_err make_tls(cs_emu_server *s)
{
    BIO *chain = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
    char *chain_pem = NULL, *key_pem = NULL;
    bool ok = chain != NULL && key != NULL && PEM_write_bio_X509(chain, s->tls.cert) == 1 &&
              PEM_write_bio_X509(chain, s->ca.cert) == 1 &&
              PEM_write_bio_PrivateKey(key, s->tls.key, NULL, NULL, 0, NULL, NULL) == 1;
    long chain_len = ok ? BIO_get_mem_data(chain, &chain_pem) : 0, key_len = ok ? BIO_get_mem_data(key, &key_pem) : 0;
    cs_err err = ok ? cs_tls_server_new(&s->tls_ctx, cs_slice_of(chain_pem, (size_t)chain_len),
                                        cs_slice_of(key_pem, (size_t)key_len))
                    : CS_E_INTERNAL;
    BIO_free(chain);
    BIO_free(key);
    return err;
}

static cs_err make_buckets(const cs_emu_server_opts *o)
{
    char path[4096];
    for (size_t i = 0; i < o->num_buckets; i++) {
        snprintf(path, sizeof path, "%s/s3/%s", o->state.dir, o->buckets[i]);
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            return CS_E_IO;
        }
    }
    return CS_OK;
}

static cs_err make_roles(const cs_emu_server *s, const cs_emu_server_opts *o)
{
    for (size_t i = 0; i < o->num_roles; i++) {
        CS_TRY(cs_emu_role_make(&s->state, o->roles[i]));
    }
    return CS_OK;
}

static json_t *url(const char *scheme, uint32_t port)
{
    return json_sprintf("%s://%s:%u", scheme, strcmp(scheme, "https") == 0 ? "localhost" : "127.0.0.1", port);
}

static cs_err write_description(const cs_emu_server *s)
{
    char path[4096];
    const cs_emu_state *st = &s->state;
    json_t *j = json_pack(
        "{s:I,s:o,s:o,s:o,s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "pid", (json_int_t)getpid(),
        "imds", url("http", s->ep[SERVICE_IMDS].port), "s3", url("http", s->ep[SERVICE_S3].port), "kms",
        url("https", s->ep[SERVICE_KMS].port), "sts", url("https", s->ep[SERVICE_KMS].port), "kms_connect",
        json_sprintf("tcp:127.0.0.1:%u", s->ep[SERVICE_KMS].port), "kms_port", (json_int_t)s->ep[SERVICE_KMS].port,
        "ca", json_sprintf("%s/ca.pem", st->o.dir), "nsm_root", json_sprintf("%s/nsm-root.pem", st->o.dir), "trail",
        st->o.trail != NULL ? json_string(st->o.trail) : json_sprintf("%s/trail.jsonl", st->o.dir), "nsm_control",
        json_sprintf("%s/nsm-control.sock", st->o.dir), "region", st->o.region, "account", st->o.account, "role",
        st->o.role, "role_arn", st->role_arn, "instance_id", st->o.instance_id, "access_key_id",
        st->admin.access_key_id, "secret_access_key", st->admin.secret);
    char *text = j != NULL ? json_dumps(j, JSON_INDENT(1)) : NULL;
    snprintf(path, sizeof path, "%s/emulator.json", st->o.dir);
    cs_err err = text != NULL ? cs_emu_file_write(path, cs_slice_str(text)) : CS_E_NO_MEMORY;
    free(text);
    json_decref(j);
    return err;
}

static cs_err start(cs_emu_server *s, cs_loop *l, const cs_emu_server_opts *o)
{
    CS_TRY(cs_emu_state_open(&s->state, &o->state));
    CS_TRY(open_pki(s, o->state.dir));
    CS_TRY(make_tls(s));
    CS_TRY(make_buckets(o));
    CS_TRY(make_roles(s, o));
    CS_TRY(listen_service(s, l, SERVICE_IMDS, o->imds_port));
    CS_TRY(listen_service(s, l, SERVICE_S3, o->s3_port));
    CS_TRY(listen_service(s, l, SERVICE_KMS, o->kms_port));
    CS_TRY(cs_emu_nsm_server_new(&s->nsm, l, o->state.dir, &s->nsm_root));
    return write_description(s); /* last: whoever waits for this file finds everything listening */
}

cs_err cs_emu_server_new(cs_emu_server **out, cs_loop *l, const cs_emu_server_opts *opts)
{
    cs_emu_server *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return CS_E_NO_MEMORY;
    }
    s->loop = l;
    cs_err err = start(s, l, opts);
    if (err != CS_OK) {
        cs_emu_server_free(s);
        return err;
    }
    *out = s;
    return CS_OK;
}

void cs_emu_server_free(cs_emu_server *s)
{
    if (s == NULL) {
        return;
    }
    while (s->later != NULL) {
        cs_http1_conn_close(s->later->conn);
        delayed_free(s->later);
    }
    cs_emu_nsm_server_free(s->nsm);
    for (int i = 0; i < NUM_SERVICES; i++) {
        if (s->ep[i].http != NULL) {
            cs_http1_server_free(s->ep[i].http);
        }
    }
    if (s->tls_ctx != NULL) {
        cs_tls_ctx_free(s->tls_ctx);
    }
    cs_emu_cert_cleanup(&s->ca);
    cs_emu_cert_cleanup(&s->tls);
    cs_emu_cert_cleanup(&s->nsm_root);
    cs_emu_state_close(&s->state);
    free(s);
}
