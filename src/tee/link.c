#include "tee/link.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "net/h2/grpc.h"
#include "net/tls.h"

/* A call; on the stack of the thread that waits for it. */
typedef struct job {
    struct job *next;
    cs_tee_link *link;
    size_t conn;
    const cs_tee_post *post;
    cs_buf *answer;
    unsigned answers;
    cs_err err;
    bool done;
    pthread_cond_t told;
} job;

typedef struct connection {
    cs_grpc_client *client;
    size_t busy;
} connection;

struct cs_tee_link {
    cs_loop *loop;
    cs_async *wake;
    cs_tls_ctx *tls;
    char server_name[CS_EP_HOST_MAX];
    connection conn[CS_TEE_CONNECTIONS_MAX];
    size_t num_conns;
    atomic_uint_fast64_t opened;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* below */
    job *first, **last;
    bool stopping;
};

/* ---------------------------------------------------------------- on the loop's thread */

static void finish(job *j, cs_err err)
{
    cs_tee_link *l = j->link;

    (void)pthread_mutex_lock(&l->lock);
    j->err = err;
    j->done = true;
    (void)pthread_cond_signal(&j->told); /* j is gone once the lock is */
    (void)pthread_mutex_unlock(&l->lock);
}

static void on_message(cs_grpc_call *c, void *cookie, cs_slice message)
{
    job *j = cookie;
    cs_err err = j->answers++ == 0 ? cs_put_slice(j->answer, message) : CS_E_FORMAT;

    if (err != CS_OK && j->err == CS_OK) {
        j->err = err == CS_E_RANGE ? CS_E_TOO_LARGE : err;
    }
}

static void on_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *result)
{
    job *j = cookie;
    cs_err err = result->err != CS_OK ? result->err : j->err;

    j->link->conn[j->conn].busy--;
    finish(j, err == CS_OK && j->answers != 1 ? CS_E_FORMAT : err);
}

static cs_err open_call(cs_grpc_call **out, cs_tee_link *l, job *j)
{
    static const cs_grpc_call_events events = {on_message, NULL, on_end};
    const cs_trace *t = j->post->trace;
    uint8_t mem[CS_TRACE_PARENT_LEN];
    cs_buf parent = cs_buf_wrap(mem, sizeof mem);
    cs_grpc_header headers[2];
    cs_grpc_begin begin = {.path = j->post->path, .timeout_ms = j->post->timeout_ms, .headers = headers};

    if (t != NULL) {
        CS_TRY(cs_trace_parent_put(&parent, t));
        headers[begin.num_headers++] = (cs_grpc_header){"traceparent", cs_buf_slice(&parent)};
        if (t->state_len > 0) {
            headers[begin.num_headers++] = (cs_grpc_header){"tracestate", cs_trace_state(t)};
        }
    }
    return cs_grpc_call_with(out, l->conn[j->conn].client, &begin, &events, j);
}

static void start(cs_tee_link *l, job *j)
{
    cs_grpc_call *call = NULL;
    cs_err err;

    j->conn = 0;
    for (size_t i = 1; i < l->num_conns; i++) {
        j->conn = l->conn[i].busy < l->conn[j->conn].busy ? i : j->conn;
    }
    err = open_call(&call, l, j);
    if (err == CS_OK && (err = cs_grpc_send(call, &j->post->request, 1)) != CS_OK) {
        cs_grpc_cancel(call);
    }
    if (err != CS_OK) {
        finish(j, err);
        return;
    }
    l->conn[j->conn].busy++;
    cs_grpc_end(call);
}

static void close_all(cs_tee_link *l)
{
    for (size_t i = 0; i < l->num_conns; i++) {
        cs_grpc_client_free(l->conn[i].client); /* its calls end here */
        l->conn[i].client = NULL;
    }
    cs_async_free(l->wake);
    l->wake = NULL;
    cs_loop_stop(l->loop);
}

static void on_wake(void *cookie)
{
    cs_tee_link *l = cookie;
    job *j, *next;
    bool stopping;

    (void)pthread_mutex_lock(&l->lock);
    j = l->first;
    l->first = NULL;
    l->last = &l->first;
    stopping = l->stopping;
    (void)pthread_mutex_unlock(&l->lock);
    for (; j != NULL; j = next) {
        next = j->next;
        if (stopping) {
            finish(j, CS_E_CLOSED);
        } else {
            start(l, j);
        }
    }
    if (stopping) {
        close_all(l);
    }
}

static void *run(void *cookie)
{
    cs_tee_link *l = cookie;

    cs_loop_run(l->loop);
    return NULL;
}

/* Each new connection comes by here. */
static cs_err on_stream(struct cs_stream *s, void *cookie)
{
    cs_tee_link *l = cookie;

    atomic_fetch_add(&l->opened, 1);
    return l->tls != NULL ? cs_tls_connect(s, l->tls, l->server_name) : CS_OK;
}

/* ---------------------------------------------------------------- making and freeing */

static bool is_loopback(const cs_endpoint *ep)
{
    return ep->scheme != CS_EP_TCP || strcmp(ep->host, "localhost") == 0 || strcmp(ep->host, "::1") == 0 ||
           strncmp(ep->host, "127.", 4) == 0;
}

static cs_err set_tls(cs_tee_link *l, const cs_tee_link_config *c)
{
    const char *name = c->server_name != NULL ? c->server_name : c->gateway.host;

    if (c->roots_pem.len == 0) {
        bool tells = c->authorization != NULL && !is_loopback(&c->gateway);
        return c->cert_pem.len > 0 || tells ? CS_E_USAGE : CS_OK;
    }
    if (strlen(name) >= sizeof l->server_name) {
        return CS_E_RANGE;
    }
    memcpy(l->server_name, name, strlen(name) + 1);
    CS_TRY(cs_tls_client_new(&l->tls, c->roots_pem));
    CS_TRY(cs_tls_set_alpn(l->tls, "h2"));
    return c->cert_pem.len > 0 ? cs_tls_set_identity(l->tls, c->cert_pem, c->key_pem) : CS_OK;
}

static cs_err start_thread(cs_tee_link *l)
{
    sigset_t all, before;
    int rc;

    (void)sigfillset(&all); /* signals are the program's own threads' */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&l->thread, NULL, run, l);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    l->running = rc == 0;
    return rc == 0 ? CS_OK : CS_E_NO_MEMORY;
}

static cs_err open_link(cs_tee_link *l, const cs_tee_link_config *c)
{
    const cs_grpc_opts opts = {.message_max = CS_TEE_MESSAGE_MAX,
                               .on_stream = on_stream,
                               .stream_cookie = l,
                               .authorization = c->authorization};

    CS_TRY(set_tls(l, c));
    CS_TRY(cs_loop_new(&l->loop));
    CS_TRY(cs_async_new(&l->wake, l->loop, on_wake, l));
    for (; l->num_conns < c->connections; l->num_conns++) {
        CS_TRY(cs_grpc_client_new(&l->conn[l->num_conns].client, l->loop, &c->gateway, &opts));
    }
    return start_thread(l);
}

cs_err cs_tee_link_new(cs_tee_link **out, const cs_tee_link_config *config)
{
    cs_tee_link *l;
    cs_err err;

    if (config->connections < 1 || config->connections > CS_TEE_CONNECTIONS_MAX) {
        return CS_E_RANGE;
    }
    l = calloc(1, sizeof *l);
    if (l == NULL) {
        return CS_E_NO_MEMORY;
    }
    l->last = &l->first;
    (void)pthread_mutex_init(&l->lock, NULL);
    err = open_link(l, config);
    if (err != CS_OK) {
        cs_tee_link_free(l);
        return err;
    }
    *out = l; /* transferred */
    return CS_OK;
}

void cs_tee_link_free(cs_tee_link *l)
{
    if (l == NULL) {
        return;
    }
    if (l->running) {
        (void)pthread_mutex_lock(&l->lock);
        l->stopping = true;
        cs_async_send(l->wake); /* within the lock: the thread frees it once it has seen stopping */
        (void)pthread_mutex_unlock(&l->lock);
        (void)pthread_join(l->thread, NULL);
    } else if (l->loop != NULL) {
        close_all(l);
    }
    if (l->loop != NULL) {
        cs_loop_free(l->loop);
    }
    cs_tls_ctx_free(l->tls);
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
}

/* ---------------------------------------------------------------- any thread */

cs_err cs_tee_link_call(cs_tee_link *l, cs_buf *answer, const cs_tee_post *post)
{
    job j = {.link = l, .post = post, .answer = answer};

    (void)pthread_cond_init(&j.told, NULL);
    (void)pthread_mutex_lock(&l->lock);
    *l->last = &j;
    /* cppcheck-suppress autoVariables ; on_wake takes it out, and this waits until it is done */
    l->last = &j.next;
    (void)pthread_mutex_unlock(&l->lock);
    cs_async_send(l->wake);
    (void)pthread_mutex_lock(&l->lock);
    while (!j.done) {
        (void)pthread_cond_wait(&j.told, &l->lock);
    }
    (void)pthread_mutex_unlock(&l->lock);
    (void)pthread_cond_destroy(&j.told);
    return j.err;
}

uint64_t cs_tee_link_reconnects(const cs_tee_link *l)
{
    uint64_t opened = atomic_load(&l->opened);

    return opened > l->num_conns ? opened - l->num_conns : 0;
}
