/* See server.h. */
#include "kms/server.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/log.h"
#include "net/io.h"

/* The injector that is connected, if any. */
typedef struct injector {
    int fd;                     /* -1: none */
    uint64_t idle_ms, total_ms; /* deadlines, monotonic */
    size_t len;
    uint8_t text[CS_AWS_CREDS_MAX + 1]; /* secret: wiped when it has ended */
} injector;

struct cs_kms_server {
    cs_kms_server_opts o;
    cs_kms_conns *conns;
    cs_kms_pool *pool;
    injector in;
    pthread_mutex_t telling; /* what follows, and that core hears of states in their order */
    bool has_told;           /* core outlives a sign-kms that is restarted, and knows only what it heard */
    cs_cred_state told;      /* what core was last told */
    uint64_t told_expiry_ms;
    uint8_t packet[CS_RPC_MAX];
    cs_kms_outcome refusal;
};

/* A packet goes out whole or not at all, so that several threads may send. */
static cs_err send_frame(const cs_kms_server *s, cs_slice b)
{
    ssize_t n;
    do {
        n = send(s->o.link_fd, b.p, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            CS_TRY(cs_io_wait(s->o.link_fd, true, cs_clock_mono_ms() + CS_IO_READ_MS));
            errno = EINTR; /* again */
        }
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)b.len ? CS_OK : CS_E_CLOSED;
}

static cs_err tell_locked(cs_kms_server *s)
{
    uint8_t mem[64];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_rpc_frame f = {.type = CS_RPC_CRED_STATE};
    uint64_t expiry = 0;
    cs_err got = cs_kms_hold_state(&expiry, s->o.hold, cs_clock_wall_ms());
    cs_cred_state now = got == CS_OK ? CS_CRED_PRESENT : (got == CS_E_CRED_EXPIRED ? CS_CRED_EXPIRED : CS_CRED_NONE);
    if (s->has_told && now == s->told && expiry == s->told_expiry_ms) {
        return CS_OK;
    }
    f.f[0].u = now;
    f.f[1].u = expiry;
    CS_TRY(cs_rpc_encode(&b, &f));
    s->has_told = true;
    s->told = now;
    s->told_expiry_ms = expiry;
    cs_log(CS_LOG_INFO, "credentials",
           CS_LC("state", now == CS_CRED_PRESENT ? "present" : (now == CS_CRED_EXPIRED ? "expired" : "none")),
           CS_LU("expires_ms", expiry));
    return send_frame(s, cs_buf_slice(&b));
}

/* Tell core when the state of the credentials is another than it knows. */
static cs_err tell_state(cs_kms_server *s)
{
    (void)pthread_mutex_lock(&s->telling);
    cs_err err = tell_locked(s);
    (void)pthread_mutex_unlock(&s->telling);
    return err;
}

/* In a thread of the pool. */
static void on_reply(void *cookie, cs_slice frame)
{
    cs_kms_server *s = cookie;
    if (send_frame(s, frame) != CS_OK || tell_state(s) != CS_OK) {
        (void)shutdown(s->o.link_fd, SHUT_RDWR); /* core would wait for an answer that is lost: the loop sees the end */
    }
}

static cs_err refuse(cs_kms_server *s, uint64_t id, cs_err why)
{
    uint8_t mem[256];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    s->refusal.err = why;
    CS_TRY(cs_kms_put_reply(&b, id, &s->refusal));
    return send_frame(s, cs_buf_slice(&b));
}

static cs_err on_frame(cs_kms_server *s, cs_slice packet)
{
    cs_rpc_frame f;
    CS_TRY(cs_rpc_decode(&f, packet));
    if (f.type == CS_RPC_CRED_WIPE) {
        cs_kms_hold_wipe(s->o.hold);
        return tell_state(s);
    }
    if (f.type != CS_RPC_KMS_CALL) {
        return CS_E_FORMAT;
    }
    cs_err err = cs_kms_pool_put(s->pool, packet);
    return err == CS_OK ? CS_OK : refuse(s, f.id, err);
}

static cs_err on_link(cs_kms_server *s)
{
    ssize_t n = recv(s->o.link_fd, s->packet, sizeof s->packet, MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return CS_OK;
    }
    if (n <= 0) {
        return CS_E_CLOSED;
    }
    return (size_t)n > sizeof s->packet ? CS_E_FORMAT : on_frame(s, cs_slice_of(s->packet, (size_t)n));
}

/*
 * Read away what the peer still sends, for a moment: closing over unread bytes resets a connection, and the answer would be lost
 * with it. The bytes may be credentials.
 */
static void drain(cs_io *io, uint64_t deadline_ms)
{
    uint8_t junk[4096];
    size_t n = 0;
    while (cs_io_read(io, junk, sizeof junk, &n, deadline_ms) == CS_OK && n > 0) {
    }
    OPENSSL_cleanse(junk, sizeof junk);
}

/* The one JSON line, then the end. */
static void answer(int fd, cs_err err)
{
    uint8_t mem[1024];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_jw w = cs_jw_begin(&b);
    cs_io io;
    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "code", cs_err_code(err));
    cs_jw_cstr(&w, "cause", cs_err_cause(err));
    cs_jw_cstr(&w, "fix", cs_err_fix(err));
    cs_jw_close_object(&w);
    uint64_t deadline_ms = cs_clock_mono_ms() + CS_KMS_ANSWER_MS;
    cs_io_init(&io, fd);
    if (cs_jw_end(&w) == CS_OK && cs_put_u8(&b, '\n') == CS_OK) {
        /* a peer that does not read its answer does not get it */
        if (cs_io_write(&io, cs_buf_slice(&b), deadline_ms) == CS_OK && shutdown(fd, SHUT_WR) == 0) {
            drain(&io, deadline_ms);
        }
    }
    cs_io_close(&io);
}

static void injector_end(cs_kms_server *s, cs_err err)
{
    OPENSSL_cleanse(s->in.text, sizeof s->in.text);
    answer(s->in.fd, err);
    s->in.fd = -1;
    s->in.len = 0;
    if (err == CS_OK) {
        cs_log(CS_LOG_INFO, "credentials-injected");
    } else {
        cs_log_err(CS_LOG_WARN, "credentials-refused", err);
    }
}

static void on_accept(cs_kms_server *s)
{
    cs_ep_peer peer;
    int fd = -1;
    if (cs_endpoint_accept(&fd, &peer, s->o.listen_fd) != CS_OK) {
        return;
    }
    if (cs_ep_peer_check(&peer, s->o.config->parent_cid) != CS_OK) {
        close(fd);
        return;
    }
    if (s->in.fd >= 0) {
        answer(fd, CS_E_INJECT_BUSY);
        return;
    }
    s->in.fd = fd;
    s->in.len = 0;
    s->in.idle_ms = cs_clock_mono_ms() + CS_KMS_INJECT_IDLE_MS;
    s->in.total_ms = cs_clock_mono_ms() + CS_KMS_INJECT_TOTAL_MS;
}

static void on_injector(cs_kms_server *s)
{
    ssize_t n = recv(s->in.fd, s->in.text + s->in.len, sizeof s->in.text - s->in.len, MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            injector_end(s, CS_E_IO);
        }
        return;
    }
    s->in.len += (size_t)n;
    s->in.idle_ms = cs_clock_mono_ms() + CS_KMS_INJECT_IDLE_MS;
    if (s->in.len > CS_AWS_CREDS_MAX) {
        injector_end(s, CS_E_TOO_LARGE);
    } else if (n == 0) {
        cs_err err = s->in.len == 0
                         ? CS_E_INJECT_EMPTY
                         : cs_kms_hold_put(s->o.hold, cs_slice_of(s->in.text, s->in.len), cs_clock_wall_ms());
        injector_end(s, err);
    }
}

/* Milliseconds to the next deadline: of the injector, of the credentials (so that core hears of their end), of a connection. */
static int next_wait(const cs_kms_server *s)
{
    uint64_t wait = 60000, mono = cs_clock_mono_ms(), wall = cs_clock_wall_ms(), expiry = 0;
    uint64_t tidy = cs_kms_conns_tidy(s->conns, mono);
    (void)cs_kms_hold_state(&expiry, s->o.hold, wall);
    tidy = tidy < CS_KMS_KEEP_MS ? tidy : CS_KMS_KEEP_MS; /* one may be given back meanwhile */
    wait = tidy < wait ? tidy : wait;
    if (s->in.fd >= 0) {
        uint64_t end = s->in.idle_ms < s->in.total_ms ? s->in.idle_ms : s->in.total_ms;
        uint64_t left = end > mono ? end - mono : 0;
        wait = left < wait ? left : wait;
    }
    if (expiry != 0) {
        uint64_t left = expiry > wall ? expiry - wall : 0;
        wait = left < wait ? left : wait;
    }
    return (int)wait + 1;
}

static cs_err turn(cs_kms_server *s, bool *stop)
{
    struct pollfd p[4] = {
        {s->o.link_fd, POLLIN, 0}, {s->o.listen_fd, POLLIN, 0}, {s->o.stop_fd, POLLIN, 0}, {s->in.fd, POLLIN, 0}};
    int n = poll(p, 4, next_wait(s));
    if (n < 0 && errno != EINTR) {
        return CS_E_IO;
    }
    if (n > 0 && p[2].revents != 0) {
        *stop = true;
        return CS_OK;
    }
    if (n > 0 && p[3].revents != 0) {
        on_injector(s);
    }
    if (s->in.fd >= 0 && (cs_clock_mono_ms() >= s->in.idle_ms || cs_clock_mono_ms() >= s->in.total_ms)) {
        injector_end(s, CS_E_TIMEOUT);
    }
    if (n > 0 && p[1].revents != 0) {
        on_accept(s);
    }
    CS_TRY(tell_state(s));
    return n > 0 && p[0].revents != 0 ? on_link(s) : CS_OK;
}

cs_err cs_kms_server_new(cs_kms_server **out, const cs_kms_server_opts *o)
{
    cs_kms_server *s = calloc(1, sizeof *s);
    cs_err err = s == NULL ? CS_E_NO_MEMORY : CS_OK;
    if (err == CS_OK) {
        s->o = *o;
        s->in.fd = -1;
        (void)pthread_mutex_init(&s->telling, NULL);
        err = cs_kms_conns_new(&s->conns, o->config, o->tls);
    }
    if (err == CS_OK) {
        const cs_kms_link link = {o->config, o->hold, s->conns};
        err = cs_kms_pool_new(&s->pool, &link, on_reply, s);
    }
    if (err != CS_OK) {
        cs_kms_server_free(s);
        return err;
    }
    *out = s;
    return CS_OK;
}

cs_err cs_kms_server_run(cs_kms_server *s)
{
    bool stop = false;
    cs_err err = tell_state(s); /* before anything happens: core may know the state of a process that died */
    while (err == CS_OK && !stop) {
        err = turn(s, &stop);
    }
    return err;
}

void cs_kms_server_free(cs_kms_server *s)
{
    if (s == NULL) {
        return;
    }
    cs_kms_hold_wipe(s->o.hold);
    cs_kms_pool_free(s->pool);
    cs_kms_conns_free(s->conns);
    if (s->in.fd >= 0) {
        close(s->in.fd);
    }
    (void)pthread_mutex_destroy(&s->telling);
    OPENSSL_cleanse(s, sizeof *s);
    free(s);
}
