/* mpc.Participant/SignTx between a caller, a core and a gateway that the test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "codec/roomframe.h"
#include "net/mpc.pb-c.h"
#include "service/room.h"

#define PATIENCE_MS 10000u
#define FRAME_LEN 100u
#define SUBS 8u
#define ANSWER_ID "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"id\":0}"
#define SUBSCRIBED "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

struct world {
    cs_service s;
    cs_timer *beat; /* so that turns end */
    cs_grpc_client *g;
    char dir[64];
    int core, listen;
    /* the gateway: subscriptions, and the one connection for broadcasts; what was posted last */
    int subs[SUBS], posts;
    unsigned num_subs, num_posts, next_id;
    int fresh[16]; /* connections on which no request was read yet */
    size_t num_fresh;
    bool slow; /* subscriptions are not answered */
    char post[4096], sub_head[4096];
};

struct caller {
    cs_grpc_call *call;
    bool over;
    cs_err err;
    cs_grpc_status status;
    uint8_t r, s;
    unsigned v, messages;
};

static void beat(void *cookie)
{
    (void)cookie;
}

static void at(cs_endpoint *ep, const struct world *w, const char *name)
{
    *ep = (cs_endpoint){.scheme = CS_EP_UNIX};
    (void)snprintf(ep->host, sizeof ep->host, "%s/%s", w->dir, name);
}

static int listener(const struct world *w, const char *name)
{
    cs_endpoint ep;
    int fd = -1;

    at(&ep, w, name);
    assert_int_equal(cs_endpoint_listen(&fd, &ep, 64), CS_OK);
    return fd;
}

static void set_up(struct world *w, uint64_t sessions, uint64_t silence_ms, bool rooms)
{
    cs_grpc_method methods[] = {cs_service_sign_tx_method, cs_service_party_method, {0}};
    cs_endpoint ep;
    int pair[2];

    *w = (struct world){.dir = "/tmp/sroom.XXXXXX", .listen = -1, .posts = -1};
    memset(w->subs, -1, sizeof w->subs);
    assert_non_null(mkdtemp(w->dir));
    cs_log_init("room_test", CS_LOG_ERROR, STDERR_FILENO);
    w->s.config = (cs_service_config){
        .parent_cid = 3, .shares_max = 1024, .sessions_max = sessions, .silence_ms = silence_ms, .server_index = 1};
    (void)strcpy(w->s.config.gateway_url, rooms ? "http://gw:8080" : "");
    assert_int_equal(cs_loop_new(&w->s.loop), CS_OK);
    assert_int_equal(cs_timer_new(&w->beat, w->s.loop, beat, NULL), CS_OK);
    cs_timer_start(w->beat, 2, 2);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    w->core = pair[0];
    assert_int_equal(cs_service_core_open(&w->s, pair[1]), CS_OK);
    w->listen = listener(w, "gw");
    at(&ep, w, "gw");
    if (rooms) {
        assert_int_equal(cs_service_rooms_open(&w->s, &ep), CS_OK);
    }
    assert_int_equal(cs_grpc_server_new(&w->s.grpc, w->s.loop, listener(w, "grpc"), methods, NULL, &w->s), CS_OK);
    at(&ep, w, "grpc");
    assert_int_equal(cs_grpc_client_new(&w->g, w->s.loop, &ep, NULL), CS_OK);
}

static void tear_down(struct world *w)
{
    static const char *const names[] = {"grpc", "gw"};

    cs_grpc_client_free(w->g);
    cs_grpc_server_free(w->s.grpc);
    cs_service_rooms_close(&w->s);
    w->s.core_gone = true;
    cs_service_core_close(&w->s);
    cs_idmap_free(&w->s.streams);
    cs_timer_free(w->beat);
    cs_loop_free(w->s.loop);
    for (size_t i = 0; i < 2; i++) {
        cs_endpoint ep;
        at(&ep, w, names[i]);
        (void)unlink(ep.host);
    }
    (void)rmdir(w->dir);
    for (size_t i = 0; i < SUBS; i++) {
        if (w->subs[i] >= 0) {
            close(w->subs[i]);
        }
    }
    for (size_t i = 0; i < w->num_fresh; i++) {
        close(w->fresh[i]);
    }
    if (w->posts >= 0) {
        close(w->posts);
    }
    if (w->listen >= 0) {
        close(w->listen);
    }
    close(w->core);
}

/* ---- the gateway ---- */

static bool is_closed(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

/* One whole request when it is there. */
static bool read_request(int fd, char *out, size_t cap)
{
    ssize_t n = recv(fd, out, cap - 1, MSG_DONTWAIT | MSG_PEEK);
    if (n <= 0) {
        return false;
    }
    out[n] = '\0';
    const char *end = strstr(out, "\r\n\r\n");
    const char *length = strstr(out, "Content-Length: ");
    if (end == NULL) {
        return false;
    }
    size_t want = (size_t)(end + 4 - out) + (length != NULL ? strtoul(length + 16, NULL, 10) : 0);
    assert_true(want < cap);
    if ((size_t)n < want) {
        return false;
    }
    assert_int_equal(recv(fd, out, want, 0), (ssize_t)want);
    out[want] = '\0';
    return true;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* A turn of everybody: subscriptions are accepted, broadcasts answered. */
static void turn(struct world *w)
{
    cs_ep_peer peer;
    int fd = -1;
    char req[4096] = "";

    (void)cs_loop_run_once(w->s.loop, true);
    while (w->listen >= 0 && cs_endpoint_accept(&fd, &peer, w->listen) == CS_OK) {
        assert_true(w->num_fresh < 16);
        w->fresh[w->num_fresh++] = fd;
    }
    for (size_t i = 0; i < w->num_fresh; i++) {
        bool sub = !w->slow && read_request(w->fresh[i], req, sizeof req) && strncmp(req, "GET ", 4) == 0;
        if (!sub && !is_closed(w->fresh[i]) && strncmp(req, "POST ", 5) != 0) {
            continue; /* nothing yet */
        }
        if (sub) {
            assert_true(w->num_subs < SUBS);
            (void)snprintf(w->sub_head, sizeof w->sub_head, "%s", req);
            w->subs[w->num_subs++] = w->fresh[i];
            say(w->fresh[i], SUBSCRIBED);
        } else if (strncmp(req, "POST ", 5) == 0) {
            w->num_posts++;
            (void)snprintf(w->post, sizeof w->post, "%s", req);
            say(w->fresh[i], ANSWER_ID);
            if (w->posts >= 0) {
                close(w->posts);
            }
            w->posts = w->fresh[i];
        } else {
            close(w->fresh[i]);
        }
        w->fresh[i--] = w->fresh[--w->num_fresh];
        req[0] = '\0';
    }
    if (w->posts >= 0 && read_request(w->posts, req, sizeof req)) {
        w->num_posts++;
        (void)snprintf(w->post, sizeof w->post, "%s", req);
        say(w->posts, ANSWER_ID);
    }
}

#define TURN_UNTIL(w, cond)                                                                                            \
    do {                                                                                                               \
        uint64_t end_ = cs_clock_mono_ms() + PATIENCE_MS;                                                              \
        bool met_ = false;                                                                                             \
        while (!(met_ = (cond)) && cs_clock_mono_ms() < end_) {                                                        \
            turn(w);                                                                                                   \
        }                                                                                                              \
        assert_true(met_);                                                                                             \
    } while (0)

static void turns(struct world *w, int num)
{
    while (num-- > 0) {
        turn(w);
    }
}

/* A body into a room by anybody. */
static void room_says(struct world *w, unsigned sub, const char *account, const char *execution, cs_slice frame)
{
    uint8_t mem[4096];
    char text[8192], head[32];
    cs_buf body = cs_buf_wrap(mem, sizeof mem), event = cs_buf_wrap(text, sizeof text);

    assert_int_equal(cs_room_head_put(&body, cs_slice_str(account), cs_slice_str(execution)), CS_OK);
    assert_int_equal(cs_put_slice(&body, frame), CS_OK);
    assert_int_equal(cs_put_fmt(&event, "id: %u\nevent: new-message\ndata: {\"sender\":0,\"receiver\":null,\"body\":\"",
                                w->next_id++),
                     CS_OK);
    assert_int_equal(cs_b64_put(&event, cs_buf_slice(&body), CS_B64_URL), CS_OK);
    assert_int_equal(cs_put(&event, "\"}\n\n\0", 5), CS_OK);
    (void)snprintf(head, sizeof head, "%zx\r\n", event.len - 1);
    say(w->subs[sub], head);
    say(w->subs[sub], text);
    say(w->subs[sub], "\r\n");
}

/* The frame of the last broadcast, whose head must be ours. */
static void posted(const struct world *w, const char *account, const char *execution, cs_slice want)
{
    static uint8_t mem[4096];
    const char *at_body = strstr(w->post, "{\"sender\":1,\"receiver\":null,\"body\":\"");
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_room_body body;

    assert_non_null(at_body);
    at_body += strlen("{\"sender\":1,\"receiver\":null,\"body\":\"");
    assert_int_equal(cs_b64_get(&b, cs_slice_of(at_body, strcspn(at_body, "\"")), CS_B64_URL), CS_OK);
    assert_int_equal(cs_room_body_parse(&body, cs_buf_slice(&b)), CS_OK);
    assert_true(cs_slice_eq_str(body.account_id, account));
    assert_true(cs_slice_eq_str(body.execution_id, execution));
    assert_true(cs_slice_eq(body.frame, want));
}

/* ---- core ---- */

static cs_rpc_frame core_gets(struct world *w, cs_rpc_type type)
{
    static uint8_t packet[CS_RPC_MAX];
    cs_rpc_frame frame;
    ssize_t n = -1;

    TURN_UNTIL(w, (n = recv(w->core, packet, sizeof packet, MSG_DONTWAIT)) >= 0);
    assert_int_equal(cs_rpc_decode(&frame, cs_slice_of(packet, (size_t)n)), CS_OK);
    assert_int_equal(frame.type, type);
    return frame;
}

static void core_gets_nothing(struct world *w)
{
    uint8_t c;

    turns(w, 12);
    assert_int_equal(recv(w->core, &c, 1, MSG_DONTWAIT), -1);
}

static void core_says(const struct world *w, cs_rpc_type type, uint64_t id, cs_slice first, cs_slice second, uint64_t u)
{
    static uint8_t mem[CS_RPC_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_rpc_frame f = {.type = type, .id = id};

    f.f[0].s = first;
    f.f[1].s = second;
    f.f[2].u = u;
    assert_int_equal(cs_rpc_encode(&b, &f), CS_OK);
    assert_int_equal(send(w->core, b.p, b.len, 0), (ssize_t)b.len);
}

static void core_signs(const struct world *w, uint64_t id, bool remembered)
{
    uint8_t sig[CS_SIGNATURE_LEN];

    memset(sig, 0x11, 32);
    memset(sig + 32, 0x22, 32);
    sig[64] = 1;
    core_says(w, CS_RPC_SIGN_REPLY, id, cs_slice_str("OK"), cs_slice_of(sig, sizeof sig), remembered);
}

static void core_ends(const struct world *w, uint64_t id, const char *code)
{
    core_says(w, CS_RPC_PARTY_END, id, cs_slice_str(code), CS_SLICE_NULL, 0);
}

/* ---- the caller ---- */

static void caller_message(cs_grpc_call *c, void *cookie, cs_slice m)
{
    struct caller *k = cookie;
    Mpc__SignatureMessage *sig = mpc__signature_message__unpack(NULL, m.len, m.p);

    (void)c;
    assert_non_null(sig);
    assert_int_equal(sig->r.len, 32);
    assert_int_equal(sig->s.len, 32);
    k->r = sig->r.data[31];
    k->s = sig->s.data[0];
    k->v = sig->v;
    k->messages++;
    mpc__signature_message__free_unpacked(sig, NULL);
}

static void caller_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *r)
{
    struct caller *k = cookie;

    (void)c;
    k->over = true;
    k->err = r->err;
    k->status = r->status;
}

static const cs_grpc_call_events caller_events = {.on_message = caller_message, .on_end = caller_end};

static void call_bytes(struct world *w, struct caller *k, cs_slice bytes)
{
    *k = (struct caller){0};
    assert_int_equal(cs_grpc_call_new(&k->call, w->g, "/mpc.Participant/SignTx", 0, &caller_events, k), CS_OK);
    assert_int_equal(cs_grpc_send(k->call, &bytes, 1), CS_OK);
    cs_grpc_end(k->call);
}

typedef struct ask {
    int32_t tx_id;
    const char *execution, *account;
    int chain;
    size_t digest_len;
    uint8_t digest;
} ask;
static const ask usual = {7, "exec", "acc", 0, 32, 0xd1};

static size_t pack(uint8_t bytes[1024], const ask *a)
{
    Mpc__SignMessage m = MPC__SIGN_MESSAGE__INIT;
    uint8_t digest[64];

    memset(digest, a->digest, sizeof digest);
    m.tx_id = a->tx_id;
    m.execution_id = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)a->execution, .len = strlen(a->execution)};
    m.chain = (Mpc__Chain)a->chain;
    m.data = (ProtobufCBinaryData){.data = digest, .len = a->digest_len};
    m.account_id = (char *)(uintptr_t)a->account;
    return mpc__sign_message__pack(&m, bytes);
}

static void call(struct world *w, struct caller *k, const ask *a)
{
    uint8_t bytes[1024];
    size_t len = pack(bytes, a);

    call_bytes(w, k, cs_slice_of(bytes, len));
}

/* A frame with these names; what follows is noise. */
static cs_slice frame(uint8_t *mem, uint8_t kind, uint8_t channel, uint8_t session)
{
    memset(mem, 0xee, 129);
    mem[0] = kind;
    memset(mem + 1, channel, 16);
    if (kind == 3) {
        memset(mem + 17, session, 16);
    }
    return cs_slice_of(mem, kind == 1 ? 129 : kind == 2 ? 65 : FRAME_LEN);
}

/* The call is made, core and the gateway have heard of it; the id of SIGN_WAIT. */
static uint64_t begun(struct world *w, struct caller *k, const ask *a)
{
    unsigned subs = w->num_subs;

    call(w, k, a);
    cs_rpc_frame f = core_gets(w, CS_RPC_SIGN_WAIT);
    uint64_t id = f.id;
    assert_true(cs_slice_eq_str(f.f[0].s, a->account));
    assert_int_equal(f.f[1].u, (uint64_t)(int64_t)a->tx_id);
    assert_true(cs_slice_eq_str(f.f[2].s, a->execution));
    assert_int_equal(f.f[3].s.len, 32);
    assert_int_equal(f.f[3].s.p[31], a->digest);
    TURN_UNTIL(w, w->num_subs == subs + 1);
    return id;
}

/* A stream is opened for the request, and its first frame follows; its id. */
static uint64_t opened(struct world *w, const ask *a, cs_slice want)
{
    cs_rpc_frame f = core_gets(w, CS_RPC_PARTY_ROOM);
    uint64_t id = f.id;

    assert_true(cs_slice_eq_str(f.f[0].s, a->account));
    assert_int_equal(f.f[1].u, (uint64_t)(int64_t)a->tx_id);
    assert_true(cs_slice_eq_str(f.f[2].s, a->execution));
    assert_int_equal(f.f[3].s.p[0], a->digest);
    f = core_gets(w, CS_RPC_PARTY_DATA);
    assert_int_equal(f.id, id);
    assert_true(cs_slice_eq(f.f[0].s, want));
    return id;
}

static void core_gets_data(struct world *w, uint64_t id, cs_slice want)
{
    cs_rpc_frame f = core_gets(w, CS_RPC_PARTY_DATA);
    assert_int_equal(f.id, id);
    assert_true(cs_slice_eq(f.f[0].s, want));
}

/* ---- tests ---- */

static void a_request_is_bridged_and_answered(void **state)
{
    struct world w;
    struct caller k;
    uint8_t mem[256];

    (void)state;
    set_up(&w, 64, 5000, true);
    uint64_t wait = begun(&w, &k, &(ask){-2147483647 - 1, "exec", "acc", 1, 32, 0xd1});
    const ask a = {-2147483647 - 1, "exec", "acc", 1, 32, 0xd1};
    static const char line[] = "GET /rooms/signing_-2147483648/subscribe?not_from=1&prefix=AQNhY2MEZXhl HTTP/1.1\r\n";
    assert_memory_equal(w.sub_head, line, sizeof line - 1);
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xc1, 0x51));
    uint64_t id = opened(&w, &a, frame(mem, 3, 0xc1, 0x51));
    core_says(&w, CS_RPC_PARTY_SEND, id, frame(mem, 3, 0xc1, 0x51), CS_SLICE_NULL, 0);
    TURN_UNTIL(&w, w.num_posts == 1);
    assert_memory_equal(w.post, "POST /rooms/signing_-2147483648/broadcast ", 42);
    posted(&w, "acc", "exec", frame(mem, 3, 0xc1, 0x51));
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xc1, 0x51));
    core_gets_data(&w, id, frame(mem, 3, 0xc1, 0x51));
    /* M4, the reply and the end in one go: M4 still goes out */
    core_says(&w, CS_RPC_PARTY_SEND, id, frame(mem, 3, 0xc1, 0x51), CS_SLICE_NULL, 0);
    core_signs(&w, wait, false);
    core_ends(&w, id, "OK");
    TURN_UNTIL(&w, k.over);
    assert_int_equal(k.err, CS_OK);
    assert_int_equal(k.messages, 1);
    assert_true(k.r == 0x11 && k.s == 0x22 && k.v == 1);
    TURN_UNTIL(&w, w.num_posts == 2);
    TURN_UNTIL(&w, is_closed(w.subs[0])); /* left */
    (void)core_gets(&w, CS_RPC_PARTY_CLOSE);
    core_gets_nothing(&w);
    tear_down(&w);
}

static void requests_that_are_none(void **state)
{
    static char long_name[130];
    static const struct {
        ask a;
        cs_err err;
        cs_grpc_status status;
    } cases[] = {
        {{7, "", "acc", 0, 32, 1}, CS_E_RANGE, CS_GRPC_OUT_OF_RANGE},
        {{7, "0123456789012345678901234567890123456789012345678901234567890123x", "acc", 0, 32, 1},
         CS_E_RANGE,
         CS_GRPC_OUT_OF_RANGE},
        {{7, "e", "acc", 2, 32, 1}, CS_E_RANGE, CS_GRPC_OUT_OF_RANGE},
        {{7, "e", "acc", -1, 32, 1}, CS_E_RANGE, CS_GRPC_OUT_OF_RANGE},
        {{7, "e", "acc", 0, 31, 1}, CS_E_DIGEST_LENGTH, CS_GRPC_INVALID_ARGUMENT},
        {{7, "e", "acc", 0, 0, 1}, CS_E_DIGEST_LENGTH, CS_GRPC_INVALID_ARGUMENT},
        {{7, "e", "acc", 0, 33, 1}, CS_E_DIGEST_LENGTH, CS_GRPC_INVALID_ARGUMENT},
        {{7, "e", "", 0, 32, 1}, CS_E_ACCOUNT_UNKNOWN, CS_GRPC_NOT_FOUND},
        {{7, "e", "a\"b", 0, 32, 1}, CS_E_ACCOUNT_UNKNOWN, CS_GRPC_NOT_FOUND},
        {{7, "e", long_name, 0, 32, 1}, CS_E_ACCOUNT_UNKNOWN, CS_GRPC_NOT_FOUND},
    };
    struct world w;
    struct caller k;

    (void)state;
    memset(long_name, 'n', 129);
    set_up(&w, 64, 5000, true);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        call(&w, &k, &cases[i].a);
        TURN_UNTIL(&w, k.over);
        assert_int_equal(k.err, cases[i].err);
        assert_int_equal(k.status, cases[i].status);
    }
    /* an account with a NUL in it: field 5 again, and the last one counts */
    uint8_t packed[1024];
    size_t len = pack(packed, &usual);
    memcpy(packed + len,
           "\x2a\x05"
           "acc\0x",
           7);
    call_bytes(&w, &k, cs_slice_of(packed, len + 7));
    TURN_UNTIL(&w, k.over);
    assert_int_equal(k.err, CS_E_ACCOUNT_UNKNOWN);
    call_bytes(&w, &k, cs_slice_str("\xff\xff"));
    TURN_UNTIL(&w, k.over);
    assert_int_equal(k.status, CS_GRPC_INTERNAL);
    core_gets_nothing(&w);
    assert_int_equal(w.num_subs, 0);
    tear_down(&w);
    set_up(&w, 64, 5000, false);
    call(&w, &k, &usual);
    TURN_UNTIL(&w, k.over);
    assert_int_equal(k.err, CS_E_ROOMS_OFF);
    assert_int_equal(k.status, CS_GRPC_FAILED_PRECONDITION);
    tear_down(&w);
}

static void what_is_not_of_this_request_never_reaches_core(void **state)
{
    struct world w;
    struct caller k;
    uint8_t mem[256];

    (void)state;
    set_up(&w, 64, 5000, true);
    (void)begun(&w, &k, &usual);
    room_says(&w, 0, "other", "exec", frame(mem, 3, 1, 1));
    room_says(&w, 0, "acc", "exec2", frame(mem, 3, 1, 1));
    room_says(&w, 0, "acc", "exec", frame(mem, 2, 1, 1)); /* HS2 and END are the enclave's */
    room_says(&w, 0, "acc", "exec", frame(mem, 5, 1, 1));
    room_says(&w, 0, "acc", "exec", frame(mem, 0, 1, 1));
    room_says(&w, 0, "acc", "exec", frame(mem, 0xff, 1, 1));
    room_says(&w, 0, "acc", "exec", cs_slice_of(frame(mem, 3, 1, 1).p, 57)); /* a tag and nothing */
    room_says(&w, 0, "acc", "exec", cs_slice_of(frame(mem, 1, 1, 1).p, 128));
    room_says(&w, 0, "acc", "exec", cs_slice_of("x", 1));
    core_gets_nothing(&w);
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 1, 1)); /* it still works */
    (void)opened(&w, &usual, frame(mem, 3, 1, 1));
    tear_down(&w);
}

/* The set-up: HS1, then the session of its OT messages is the one that core answers, whatever strangers name before. */
static void a_set_up_is_one_stream_whatever_strangers_send(void **state)
{
    struct world w;
    struct caller k;
    uint8_t mem[256];

    (void)state;
    set_up(&w, 64, 5000, true);
    (void)begun(&w, &k, &usual);
    room_says(&w, 0, "acc", "exec", frame(mem, 1, 0xc1, 0));
    uint64_t id = opened(&w, &usual, frame(mem, 1, 0xc1, 0));
    core_says(&w, CS_RPC_PARTY_SEND, id, frame(mem, 2, 0xc1, 0), CS_SLICE_NULL, 0);
    TURN_UNTIL(&w, w.num_posts == 1);
    posted(&w, "acc", "exec", frame(mem, 2, 0xc1, 0));
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xc1, 0x99)); /* a stranger */
    core_gets_data(&w, id, frame(mem, 3, 0xc1, 0x99));
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xc1, 0x51)); /* O1 */
    core_gets_data(&w, id, frame(mem, 3, 0xc1, 0x51));
    room_says(&w, 0, "acc", "exec", frame(mem, 1, 0xc1, 0)); /* twice */
    core_gets_data(&w, id, frame(mem, 1, 0xc1, 0));
    core_says(&w, CS_RPC_PARTY_SEND, id, frame(mem, 3, 0xc1, 0x51), CS_SLICE_NULL, 0); /* O2 */
    TURN_UNTIL(&w, w.num_posts == 2);
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xc1, 0x51));
    core_gets_data(&w, id, frame(mem, 3, 0xc1, 0x51));
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xc1, 0x52)); /* the signing session */
    assert_true(opened(&w, &usual, frame(mem, 3, 0xc1, 0x52)) != id);
    tear_down(&w);
}

static void a_flood_of_sessions_takes_sixteen_streams_and_none_that_core_answered(void **state)
{
    struct world w;
    struct caller k;
    uint8_t mem[256];
    uint64_t ids[40], good, shaken;

    (void)state;
    set_up(&w, 64, 5000, true);
    (void)begun(&w, &k, &usual);
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xc1, 0x51));
    good = opened(&w, &usual, frame(mem, 3, 0xc1, 0x51));
    core_says(&w, CS_RPC_PARTY_SEND, good, frame(mem, 3, 0xc1, 0x51), CS_SLICE_NULL, 0);
    room_says(&w, 0, "acc", "exec", frame(mem, 1, 0xc2, 0));
    shaken = opened(&w, &usual, frame(mem, 1, 0xc2, 0));
    core_says(&w, CS_RPC_PARTY_SEND, shaken, frame(mem, 2, 0xc2, 0), CS_SLICE_NULL, 0);
    TURN_UNTIL(&w, w.num_posts == 2);
    for (unsigned i = 0; i < 40; i++) {
        room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xc9, (uint8_t)i));
        if (i >= 14) { /* the oldest silent one gives way */
            assert_int_equal(core_gets(&w, CS_RPC_PARTY_CLOSE).id, ids[i - 14]);
        }
        ids[i] = opened(&w, &usual, frame(mem, 3, 0xc9, (uint8_t)i));
    }
    /* when core has answered on all of these, the one that is only shaken gives way, then nobody */
    for (unsigned i = 26; i < 40; i++) {
        core_says(&w, CS_RPC_PARTY_SEND, ids[i], frame(mem, 3, 0xc9, (uint8_t)i), CS_SLICE_NULL, 0);
        TURN_UNTIL(&w, w.num_posts == 3 + i - 26);
    }
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xca, 1));
    assert_int_equal(core_gets(&w, CS_RPC_PARTY_CLOSE).id, shaken);
    uint64_t last = opened(&w, &usual, frame(mem, 3, 0xca, 1));
    core_says(&w, CS_RPC_PARTY_SEND, last, frame(mem, 3, 0xca, 1), CS_SLICE_NULL, 0);
    TURN_UNTIL(&w, w.num_posts == 17);
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xcb, 1));
    core_gets_nothing(&w);
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xc1, 0x51));
    core_gets_data(&w, good, frame(mem, 3, 0xc1, 0x51));
    tear_down(&w);
}

static void refusals_of_core_are_told_to_the_client_a_bounded_number_of_times(void **state)
{
    static const char *const told[] = {"CHANNEL_UNKNOWN", "CHANNEL_AUTH", "NOT_SERVING", "SESSION_LIMIT"};
    static const char *const silent[] = {"ABORT_SESSION", "PEER_BANNED", "OK", "PEER_SILENT", "nonsense"};
    static const uint8_t zero[16];
    struct world w;
    struct caller k;
    uint8_t mem[256], end[CS_ROOM_END_MAX], name[16], channel[16];

    (void)state;
    set_up(&w, 64, 5000, true);
    (void)begun(&w, &k, &usual);
    for (unsigned i = 0; i < 40; i++) {
        uint8_t kind = i % 2 == 0 ? 3 : 1;
        cs_buf b = cs_buf_wrap(end, sizeof end);

        memset(name, (int)i, sizeof name);
        memset(channel, 0xc1, sizeof channel);
        room_says(&w, 0, "acc", "exec", frame(mem, kind, 0xc1, (uint8_t)i));
        uint64_t id = opened(&w, &usual, frame(mem, kind, 0xc1, (uint8_t)i));
        core_ends(&w, id, told[i % 4]);
        if (i < CS_BRIDGE_ENDS_MAX) {
            TURN_UNTIL(&w, w.num_posts == i + 1);
            const cs_room_end e = {channel, kind == 1 ? zero : name, cs_slice_str(told[i % 4])};
            assert_int_equal(cs_room_end_put(&b, &e), CS_OK);
            posted(&w, "acc", "exec", cs_buf_slice(&b));
        } else {
            turns(&w, 10); /* core is heard before the next handshake of the same channel comes */
        }
    }
    turns(&w, 10);
    assert_int_equal(w.num_posts, CS_BRIDGE_ENDS_MAX);
    tear_down(&w);
    set_up(&w, 64, 5000, true);
    (void)begun(&w, &k, &usual);
    for (unsigned i = 0; i < 5; i++) {
        room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xc1, (uint8_t)i));
        core_ends(&w, opened(&w, &usual, frame(mem, 3, 0xc1, (uint8_t)i)), silent[i]);
    }
    turns(&w, 10);
    assert_int_equal(w.num_posts, 0);
    assert_false(k.over); /* a retry may come */
    tear_down(&w);
}

static void two_requests_share_a_room_and_nothing_else(void **state)
{
    const ask other = {7, "exec", "acc2", 0, 32, 0xd2};
    struct world w;
    struct caller k, l;
    uint8_t mem[256];

    (void)state;
    set_up(&w, 64, 5000, true);
    uint64_t wait = begun(&w, &k, &usual), wait2 = begun(&w, &l, &other);
    for (unsigned i = 0; i < 2; i++) { /* both hear all */
        room_says(&w, i, "acc", "exec", frame(mem, 3, 0xc1, 0x51));
        room_says(&w, i, "acc2", "exec", frame(mem, 3, 0xc1, 0x52));
        (void)opened(&w, i == 0 ? &usual : &other, frame(mem, 3, 0xc1, i == 0 ? 0x51 : 0x52));
        core_gets_nothing(&w);
    }
    core_signs(&w, wait2, false);
    TURN_UNTIL(&w, l.over);
    assert_int_equal(l.err, CS_OK);
    assert_false(k.over);
    core_says(&w, CS_RPC_SIGN_REPLY, wait, cs_slice_str("PEER_BANNED"), CS_SLICE_NULL, 0);
    TURN_UNTIL(&w, k.over);
    assert_int_equal(k.err, CS_E_PEER_BANNED);
    assert_int_equal(k.status, CS_GRPC_PERMISSION_DENIED);
    tear_down(&w);
}

static void the_same_request_twice_at_once_is_one(void **state)
{
    const ask conflict = {7, "exec", "acc", 0, 32, 0xd2};
    struct world w;
    struct caller k, l, m;

    (void)state;
    set_up(&w, 64, 5000, true);
    uint64_t wait = begun(&w, &k, &usual);
    call(&w, &l, &usual);
    core_gets_nothing(&w);
    assert_int_equal(w.num_subs, 1);
    call(&w, &m, &conflict);
    TURN_UNTIL(&w, m.over);
    assert_int_equal(m.err, CS_E_EXECUTION_CONFLICT);
    cs_grpc_cancel(k.call); /* one goes, the other still waits */
    core_gets_nothing(&w);
    core_signs(&w, wait, false);
    TURN_UNTIL(&w, l.over);
    assert_int_equal(l.err, CS_OK);
    assert_int_equal(l.messages, 1);
    tear_down(&w);
}

static void silence_ends_a_call_and_core_is_told(void **state)
{
    struct world w;
    struct caller k;
    uint8_t mem[256];

    (void)state;
    set_up(&w, 64, 150, true);
    uint64_t wait = begun(&w, &k, &usual);
    assert_int_equal(core_gets(&w, CS_RPC_SIGN_CANCEL).id, wait);
    TURN_UNTIL(&w, k.over);
    assert_int_equal(k.err, CS_E_PEER_SILENT);
    assert_int_equal(k.status, CS_GRPC_DEADLINE_EXCEEDED);
    TURN_UNTIL(&w, is_closed(w.subs[0]));
    core_signs(&w, wait, false); /* too late: for nobody */
    turns(&w, 5);
    /* a session that was aborted says more; a frame of an old one, which anybody may play again, does not */
    wait = begun(&w, &k, &usual);
    room_says(&w, 1, "acc", "exec", frame(mem, 3, 0xc1, 0x51));
    core_ends(&w, opened(&w, &usual, frame(mem, 3, 0xc1, 0x51)), "ABORT_SESSION");
    assert_int_equal(core_gets(&w, CS_RPC_SIGN_CANCEL).id, wait);
    TURN_UNTIL(&w, k.over);
    assert_int_equal(k.err, CS_E_PEER_SILENT);
    wait = begun(&w, &k, &usual);
    room_says(&w, 2, "acc", "exec", frame(mem, 3, 0xc1, 0x52));
    uint64_t id = opened(&w, &usual, frame(mem, 3, 0xc1, 0x52));
    core_says(&w, CS_RPC_PARTY_SEND, id, frame(mem, 3, 0xc1, 0x52), CS_SLICE_NULL, 0); /* REFUSED, sealed */
    core_ends(&w, id, "ABORT_SESSION");
    assert_int_equal(core_gets(&w, CS_RPC_SIGN_CANCEL).id, wait);
    TURN_UNTIL(&w, k.over);
    assert_int_equal(k.err, CS_E_ABORT_SESSION);
    tear_down(&w);
}

static void a_handshake_alone_is_silence_too(void **state)
{
    struct world w;
    struct caller k;
    uint8_t mem[256];
    uint64_t until = 0;

    (void)state;
    set_up(&w, 64, 200, true);
    (void)begun(&w, &k, &usual);
    until = cs_clock_mono_ms() + PATIENCE_MS;
    room_says(&w, 0, "acc", "exec", frame(mem, 1, 0xc1, 0));
    uint64_t id = opened(&w, &usual, frame(mem, 1, 0xc1, 0));
    while (!k.over && cs_clock_mono_ms() < until) { /* played again and again */
        core_says(&w, CS_RPC_PARTY_SEND, id, frame(mem, 2, 0xc1, 0), CS_SLICE_NULL, 0);
        turns(&w, 10);
    }
    assert_true(k.over);
    assert_int_equal(k.err, CS_E_PEER_SILENT);
    tear_down(&w);
}

static void a_caller_that_leaves_ends_everything(void **state)
{
    struct world w;
    struct caller k;
    uint8_t mem[256];

    (void)state;
    set_up(&w, 64, 5000, true);
    uint64_t wait = begun(&w, &k, &usual);
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xc1, 0x51));
    uint64_t id = opened(&w, &usual, frame(mem, 3, 0xc1, 0x51));
    cs_grpc_cancel(k.call);
    assert_int_equal(core_gets(&w, CS_RPC_PARTY_CLOSE).id, id);
    assert_int_equal(core_gets(&w, CS_RPC_SIGN_CANCEL).id, wait);
    TURN_UNTIL(&w, is_closed(w.subs[0]));
    core_says(&w, CS_RPC_PARTY_SEND, id, frame(mem, 3, 0xc1, 0x51), CS_SLICE_NULL, 0); /* was on its way */
    core_ends(&w, id, "OK");
    turns(&w, 10);
    assert_int_equal(w.num_posts, 0);
    tear_down(&w);
}

static void a_remembered_answer_is_told_at_once_and_served_in_the_room(void **state)
{
    struct world w;
    struct caller k, l;
    uint8_t mem[256];

    (void)state;
    set_up(&w, 64, 150, true);
    /* not before we are in the room: else the gateway forgets it with what the client has sent */
    w.slow = true;
    call(&w, &k, &usual);
    core_signs(&w, core_gets(&w, CS_RPC_SIGN_WAIT).id, true);
    turns(&w, 20);
    assert_false(k.over);
    w.slow = false;
    TURN_UNTIL(&w, k.over);
    assert_int_equal(k.err, CS_OK);
    for (uint64_t end = cs_clock_mono_ms() + 250; cs_clock_mono_ms() < end;) {
        turn(&w); /* longer than the silence of calls */
    }
    assert_false(is_closed(w.subs[0]));
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xc1, 0x51));
    uint64_t id = opened(&w, &usual, frame(mem, 3, 0xc1, 0x51));
    core_says(&w, CS_RPC_PARTY_SEND, id, frame(mem, 3, 0xc1, 0x51), CS_SLICE_NULL, 0);
    core_ends(&w, id, "OK");
    TURN_UNTIL(&w, w.num_posts == 1);
    call(&w, &l, &usual); /* again: known here */
    TURN_UNTIL(&w, l.over);
    assert_int_equal(l.err, CS_OK);
    assert_int_equal(l.v, 1);
    core_gets_nothing(&w);
    tear_down(&w);
}

static void a_remembered_answer_does_not_wait_long_for_a_gateway(void **state)
{
    struct world w;
    struct caller k, l;

    (void)state;
    set_up(&w, 64, 5000, true);
    w.slow = true;
    call(&w, &k, &usual);
    call(&w, &l, &usual);
    core_signs(&w, core_gets(&w, CS_RPC_SIGN_WAIT).id, true);
    TURN_UNTIL(&w, k.over && l.over);
    assert_int_equal(k.err, CS_OK);
    assert_int_equal(l.err, CS_OK);
    tear_down(&w);
}

static void requests_are_bounded_and_who_lingers_gives_way(void **state)
{
    struct world w;
    struct caller k[3];
    ask a[3] = {usual, usual, usual};

    (void)state;
    set_up(&w, 2, 5000, true);
    for (int i = 0; i < 3; i++) {
        a[i].tx_id = i;
    }
    uint64_t first = begun(&w, &k[0], &a[0]);
    (void)begun(&w, &k[1], &a[1]);
    call(&w, &k[2], &a[2]);
    TURN_UNTIL(&w, k[2].over);
    assert_int_equal(k[2].err, CS_E_SESSION_LIMIT);
    core_gets_nothing(&w);
    core_signs(&w, first, true);
    TURN_UNTIL(&w, k[0].over);
    assert_false(is_closed(w.subs[0]));
    (void)begun(&w, &k[2], &a[2]); /* k[0]'s request was remembered: it lingers */
    TURN_UNTIL(&w, is_closed(w.subs[0]));
    tear_down(&w);
}

static void a_gateway_that_breaks_is_met_again_and_one_that_stays_away_is_told(void **state)
{
    struct world w;
    struct caller k;
    uint8_t mem[256];
    cs_endpoint ep;

    (void)state;
    set_up(&w, 64, 1000, true);
    (void)begun(&w, &k, &usual);
    room_says(&w, 0, "acc", "exec", frame(mem, 3, 0xc1, 0x51));
    uint64_t id = opened(&w, &usual, frame(mem, 3, 0xc1, 0x51));
    close(w.subs[0]);
    w.subs[0] = -1;
    TURN_UNTIL(&w, w.num_subs == 2);
    assert_non_null(strstr(w.sub_head, "\r\nLast-Event-ID: 0\r\n"));
    room_says(&w, 1, "acc", "exec", frame(mem, 3, 0xc1, 0x51));
    core_gets_data(&w, id, frame(mem, 3, 0xc1, 0x51)); /* the same stream goes on */
    core_says(&w, CS_RPC_PARTY_SEND, id, frame(mem, 3, 0xc1, 0x51), CS_SLICE_NULL, 0);
    TURN_UNTIL(&w, w.num_posts == 1);
    close(w.listen);
    w.listen = -1;
    at(&ep, &w, "gw");
    (void)unlink(ep.host);
    close(w.subs[1]);
    w.subs[1] = -1;
    TURN_UNTIL(&w, k.over);
    assert_int_equal(k.err, CS_E_UPSTREAM);
    assert_int_equal(k.status, CS_GRPC_UNAVAILABLE);
    assert_int_equal(core_gets(&w, CS_RPC_PARTY_CLOSE).id, id);
    (void)core_gets(&w, CS_RPC_SIGN_CANCEL);
    tear_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_bridged_and_answered),
        cmocka_unit_test(requests_that_are_none),
        cmocka_unit_test(what_is_not_of_this_request_never_reaches_core),
        cmocka_unit_test(a_set_up_is_one_stream_whatever_strangers_send),
        cmocka_unit_test(a_flood_of_sessions_takes_sixteen_streams_and_none_that_core_answered),
        cmocka_unit_test(refusals_of_core_are_told_to_the_client_a_bounded_number_of_times),
        cmocka_unit_test(two_requests_share_a_room_and_nothing_else),
        cmocka_unit_test(the_same_request_twice_at_once_is_one),
        cmocka_unit_test(silence_ends_a_call_and_core_is_told),
        cmocka_unit_test(a_handshake_alone_is_silence_too),
        cmocka_unit_test(a_caller_that_leaves_ends_everything),
        cmocka_unit_test(a_remembered_answer_is_told_at_once_and_served_in_the_room),
        cmocka_unit_test(a_remembered_answer_does_not_wait_long_for_a_gateway),
        cmocka_unit_test(requests_are_bounded_and_who_lingers_gives_way),
        cmocka_unit_test(a_gateway_that_breaks_is_met_again_and_one_that_stays_away_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
