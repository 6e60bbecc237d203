/* See conns.h. */
#include "kms/conns.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

struct cs_kms_conns {
    const cs_kms_config *config;
    cs_tls_ctx *tls;
    pthread_mutex_t lock;
    pthread_cond_t stopping;
    bool stopped;
    cs_kms_conn kept[CS_KMS_CONNS]; /* the last one was used last */
    size_t num_kept;
    int in_use[CS_KMS_CONNS]; /* descriptors that stop shuts down; -1: free */
};

cs_err cs_kms_conns_new(cs_kms_conns **out, const cs_kms_config *config, cs_tls_ctx *tls)
{
    pthread_condattr_t monotonic;
    cs_kms_conns *c = calloc(1, sizeof *c);

    if (c == NULL || pthread_condattr_init(&monotonic) != 0) {
        free(c);
        return CS_E_NO_MEMORY;
    }
    c->config = config;
    c->tls = tls;
    for (size_t i = 0; i < CS_KMS_CONNS; i++) {
        c->in_use[i] = -1;
    }
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->stopping, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    *out = c;
    return CS_OK;
}

/* Replaces a descriptor of in_use by another; with the lock. False when there is none (or no place). */
static bool replace(cs_kms_conns *c, int old, int now)
{
    for (size_t i = 0; i < CS_KMS_CONNS; i++) {
        if (c->in_use[i] == old) {
            c->in_use[i] = now;
            return true;
        }
    }
    return false;
}

static size_t num_in_use(const cs_kms_conns *c)
{
    size_t n = 0;

    for (size_t i = 0; i < CS_KMS_CONNS; i++) {
        n += c->in_use[i] >= 0;
    }
    return n;
}

static bool is_stopped(cs_kms_conns *c)
{
    (void)pthread_mutex_lock(&c->lock);
    bool stopped = c->stopped;
    (void)pthread_mutex_unlock(&c->lock);
    return stopped;
}

/* Enters a descriptor, so that stop reaches it; false after stop. */
static bool enter(cs_kms_conns *c, int fd)
{
    (void)pthread_mutex_lock(&c->lock);
    bool ok = !c->stopped && replace(c, -1, fd);
    (void)pthread_mutex_unlock(&c->lock);
    return ok;
}

void cs_kms_conns_drop(cs_kms_conns *c, cs_kms_conn *conn)
{
    (void)pthread_mutex_lock(&c->lock);
    (void)replace(c, conn->io.fd, -1); /* before the descriptor can be another's */
    (void)pthread_mutex_unlock(&c->lock);
    cs_io_close(&conn->io);
}

/* Between requests KMS says nothing: what can be read is its end, or nothing that belongs to us. */
static bool seems_alive(const cs_kms_conn *conn, uint64_t now)
{
    struct pollfd p = {.fd = conn->io.fd, .events = POLLIN};

    return now - conn->used_ms < CS_KMS_KEEP_MS && now - conn->born_ms < CS_KMS_CONN_LIFE_MS && poll(&p, 1, 0) == 0;
}

/* The kept connection used last that seems alive; the dead ones above it are closed. */
static bool take_kept(cs_kms_conn *out, cs_kms_conns *c)
{
    bool found = false;

    (void)pthread_mutex_lock(&c->lock);
    while (!found && c->num_kept > 0) {
        *out = c->kept[--c->num_kept];
        found = !c->stopped && seems_alive(out, cs_clock_mono_ms()) && replace(c, -1, out->io.fd);
        if (!found) {
            cs_io_close(&out->io);
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
    return found;
}

static cs_err dial(cs_kms_conn *out, cs_kms_conns *c)
{
    char text[CS_EP_TEXT_MAX];
    cs_endpoint ep;

    (void)snprintf(text, sizeof text, "vsock:parent:%u", c->config->proxy_port);
    CS_TRY(cs_endpoint_parse(&ep, cs_slice_str(text)));
    cs_endpoint_set_parent(&ep, c->config->parent_cid);
    CS_TRY(cs_io_connect(&out->io, &ep, CS_IO_CONNECT_MS));
    if (!enter(c, out->io.fd)) {
        cs_io_close(&out->io);
        return CS_E_CLOSED;
    }
    cs_err err = cs_tls_connect_io(&out->io, c->tls, c->config->host, CS_IO_HANDSHAKE_MS);
    if (err != CS_OK) {
        cs_log_err(CS_LOG_WARN, "kms-tls", err, CS_LC("reason", err == CS_E_TLS ? cs_tls_last_error() : ""));
        cs_kms_conns_drop(c, out);
    }
    return err;
}

cs_err cs_kms_conns_take(cs_kms_conn *out, cs_kms_conns *c, bool fresh)
{
    *out = (cs_kms_conn){.io = {.fd = -1}};
    if (!fresh && take_kept(out, c)) {
        return CS_OK;
    }
    *out = (cs_kms_conn){.io = {.fd = -1}};
    if (is_stopped(c)) {
        return CS_E_CLOSED;
    }
    CS_TRY(dial(out, c));
    out->born_ms = cs_clock_mono_ms();
    return CS_OK;
}

void cs_kms_conns_give(cs_kms_conns *c, cs_kms_conn *conn)
{
    bool keep = false;

    (void)pthread_mutex_lock(&c->lock);
    (void)replace(c, conn->io.fd, -1);
    if (!c->stopped && c->num_kept + num_in_use(c) < CS_KMS_CONNS) {
        conn->used_ms = cs_clock_mono_ms();
        conn->kept = keep = true;
        c->kept[c->num_kept++] = *conn; /* transferred */
    }
    (void)pthread_mutex_unlock(&c->lock);
    if (!keep) {
        cs_io_close(&conn->io);
    }
}

uint64_t cs_kms_conns_tidy(cs_kms_conns *c, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;
    size_t left = 0;

    (void)pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->num_kept; i++) {
        uint64_t end = c->kept[i].used_ms + CS_KMS_KEEP_MS;
        if (end <= now_ms) {
            cs_io_close(&c->kept[i].io);
            continue;
        }
        next = end - now_ms < next ? end - now_ms : next;
        c->kept[left++] = c->kept[i];
    }
    c->num_kept = left;
    (void)pthread_mutex_unlock(&c->lock);
    return next;
}

void cs_kms_conns_pause(cs_kms_conns *c, uint32_t ms)
{
    struct timespec end;

    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    uint64_t ns = (uint64_t)end.tv_nsec + (uint64_t)ms % 1000 * 1000000u;
    end.tv_sec += (time_t)(ms / 1000 + ns / 1000000000u);
    end.tv_nsec = (long)(ns % 1000000000u);
    (void)pthread_mutex_lock(&c->lock);
    while (!c->stopped && pthread_cond_timedwait(&c->stopping, &c->lock, &end) != ETIMEDOUT) {
    }
    (void)pthread_mutex_unlock(&c->lock);
}

void cs_kms_conns_stop(cs_kms_conns *c)
{
    (void)pthread_mutex_lock(&c->lock);
    c->stopped = true;
    for (size_t i = 0; i < CS_KMS_CONNS; i++) {
        if (c->in_use[i] >= 0) {
            (void)shutdown(c->in_use[i], SHUT_RDWR);
        }
    }
    (void)pthread_cond_broadcast(&c->stopping);
    (void)pthread_mutex_unlock(&c->lock);
}

void cs_kms_conns_free(cs_kms_conns *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < c->num_kept; i++) {
        cs_io_close(&c->kept[i].io);
    }
    (void)pthread_cond_destroy(&c->stopping);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}
