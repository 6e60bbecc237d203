/* The client over rooms: the real client and MPC against a small enclave, with a gateway that is this test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/testdoc.h"
#include "base/clock.h"
#include "base/text.h"
#include "net/aws/json.h"
#include "net/room.h"
#include "party/client.h"
#include "party/deal.h"
#include "party/testenclave.h"
#include "party/transport.h"

#define MAX_MESSAGES 4096
#define FLIPS 90 /* bytes of a frame that are flipped one by one */

/* ---- the gateway: one list of messages, shown to members in order */

typedef struct message {
    char room[CS_ROOM_NAME_MAX + 1];
    bool from_client;
    uint8_t *p;
    size_t len;
} message;

struct cs_room {
    cs_room *next;
    char name[CS_ROOM_NAME_MAX + 1];
    const cs_room_events *events;
    void *cookie;
    size_t at;
};

struct cs_gateway_req {
    cs_gateway_fn *fn;
    void *cookie;
    uint8_t body[600];
    size_t len;
};

struct cs_gateway {
    cs_loop *loop;
    cs_defer pump;
    cs_timer *tick; /* stands for the sockets: without one the loop has nothing to wait for */
    cs_room *rooms;
    cs_gateway_req *request;
    message m[MAX_MESSAGES];
    size_t num, served; /* messages; how many the enclave has seen */
};

/* what goes wrong in a test */
static struct {
    bool flip, duplicate, replay, foreign, forge_end, unknown_always, lose;
    const char *deaf_room; /* the enclave hears nothing there */
    const char *deaf_code; /* what somebody says of a set-up there */
    const char *end_code;  /* answered to each session's first frame in the place of an answer */
    unsigned deaf;         /* first frames of sessions that the enclave does not hear */
    unsigned gone;         /* frames that the gateway forgets: the n-th from now */
    cs_err attest, join, send;
    bool wrong_key;
} how;

static cs_gateway *gateway;
static testenclave *enclave;
static cs_deal *dealt;
static cs_share_set *client_set, *service_set;
static cs_loop *loop;
static cs_pclient *client;
static cs_att_options att;
static unsigned attested, joined, left;

cs_err cs_url_parse(cs_url *out, cs_slice text)
{
    *out = (cs_url){.name = "127.0.0.1", .port = 8080};
    return cs_slice_eq_str(text, "http://gateway") ? CS_OK : CS_E_FORMAT;
}

static void pump(void *cookie);

static void tick(void *cookie)
{
    (void)cookie;
}

cs_err cs_gateway_new(cs_gateway **out, const cs_gateway_config *config)
{
    assert_int_equal(config->sender, 0);
    gateway = calloc(1, sizeof *gateway);
    assert_non_null(gateway);
    gateway->loop = config->loop;
    gateway->pump = (cs_defer){.fn = pump, .cookie = gateway};
    assert_int_equal(cs_timer_new(&gateway->tick, config->loop, tick, NULL), CS_OK);
    cs_timer_start(gateway->tick, 1, 1);
    *out = gateway;
    return CS_OK;
}

void cs_gateway_free(cs_gateway *g)
{
    cs_timer_free(g->tick);
    cs_defer_cancel(&g->pump);
    for (size_t i = 0; i < g->num; i++) {
        free(g->m[i].p);
    }
    assert_null(g->rooms); /* whoever joined has left */
    free(g->request);
    free(g);
    gateway = NULL;
}

cs_err cs_gateway_post(cs_gateway_req **out, cs_gateway *g, const char *path, cs_slice json, cs_gateway_fn *fn,
                       void *cookie)
{
    assert_string_equal(path, "/v1/attest");
    assert_null(g->request);
    g->request = calloc(1, sizeof *g->request);
    assert_non_null(g->request);
    *g->request = (cs_gateway_req){.fn = fn, .cookie = cookie, .len = json.len};
    assert_true(json.len < sizeof g->request->body);
    memcpy(g->request->body, json.p, json.len);
    cs_defer_arm(g->loop, &g->pump);
    *out = g->request;
    return CS_OK;
}

void cs_gateway_cancel(cs_gateway_req *r)
{
    assert_ptr_equal(r, gateway->request);
    free(r);
    gateway->request = NULL;
}

cs_err cs_room_join(cs_room **out, cs_gateway *g, const cs_room_args *args)
{
    if (how.join != CS_OK) {
        return how.join;
    }
    cs_room *r = calloc(1, sizeof *r);
    assert_non_null(r);
    strncpy(r->name, args->name, CS_ROOM_NAME_MAX);
    r->events = args->events;
    r->cookie = args->cookie;
    r->next = g->rooms;
    g->rooms = r;
    cs_defer_arm(g->loop, &g->pump);
    joined++;
    *out = r;
    return CS_OK;
}

static void post(const char *room, bool from_client, cs_slice body)
{
    message *m = &gateway->m[gateway->num];
    assert_true(gateway->num < MAX_MESSAGES);
    strncpy(m->room, room, CS_ROOM_NAME_MAX);
    m->from_client = from_client;
    m->p = malloc(body.len > 0 ? body.len : 1);
    assert_non_null(m->p);
    memcpy(m->p, body.p, body.len);
    m->len = body.len;
    gateway->num++;
    cs_defer_arm(gateway->loop, &gateway->pump);
}

cs_err cs_room_send(cs_room *r, const cs_slice *parts, size_t num_parts)
{
    cs_buf body = cs_buf_heap(CS_ROOM_BODY_MAX);
    if (how.send != CS_OK) {
        return how.send;
    }
    for (size_t i = 0; i < num_parts; i++) {
        assert_int_equal(cs_put_slice(&body, parts[i]), CS_OK);
    }
    post(r->name, true, cs_buf_slice(&body));
    cs_buf_free(&body);
    return CS_OK;
}

void cs_room_leave(cs_room *r)
{
    cs_room **at = &gateway->rooms;
    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    free(r);
    left++;
}

/* ---- the enclave in its rooms, and the trouble on the way */

static void put_end(const char *room, const cs_room_body *b, const uint8_t *frame, bool setup, const char *code)
{
    static const uint8_t none[16];
    uint8_t mem[512];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_room_end e = {frame + 1, setup ? none : frame + 17, cs_slice_str(code)};
    assert_int_equal(cs_room_head_put(&out, b->account_id, b->execution_id), CS_OK);
    assert_int_equal(cs_room_end_put(&out, &e), CS_OK);
    post(room, false, cs_buf_slice(&out));
}

static void send_flipped(const char *room, bool from_client, cs_buf *body, size_t head)
{
    size_t len = body->len - head;
    for (size_t i = 0; i < FLIPS + 20; i++) {
        size_t at = i < FLIPS ? i : len - 1 - (i - FLIPS) * (len / 20);
        if (at < len) {
            body->p[head + at] ^= 0x40;
            post(room, from_client, cs_buf_slice(body));
            body->p[head + at] ^= 0x40;
        }
    }
    post(room, from_client, cs_slice_of(body->p, body->len - 1));
}

static void send_noise(const char *room, const cs_room_body *b, cs_slice frame)
{
    uint8_t mem[CS_ROOM_HEAD_MAX];
    cs_buf out = cs_buf_heap(CS_ROOM_BODY_MAX);
    cs_slice heads[] = {cs_slice_str("other"), b->account_id, b->execution_id, cs_slice_str("other")};
    for (size_t i = 0; i < 3; i += 2) {
        out.len = 0;
        assert_int_equal(cs_room_head_put(&out, heads[i], heads[i + 1]), CS_OK);
        assert_int_equal(cs_put_slice(&out, frame), CS_OK);
        post(room, false, cs_buf_slice(&out));
    }
    cs_buf head = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_room_head_put(&head, b->account_id, b->execution_id), CS_OK);
    for (size_t n = 0; n <= head.len; n++) {
        post(room, false, cs_slice_of(mem, n)); /* no frame, half a head, nothing */
    }
    assert_int_equal(cs_put_str(&head, "\x05 not an END"), CS_OK);
    post(room, false, cs_buf_slice(&head));
    cs_buf_free(&out);
}

/* everything that was ever said in the room, once more */
static void replay_all(const char *room)
{
    size_t end = gateway->num;
    for (size_t i = 0; i < end; i++) {
        if (strcmp(gateway->m[i].room, room) == 0) {
            post(room, gateway->m[i].from_client, cs_slice_of(gateway->m[i].p, gateway->m[i].len));
        }
    }
}

/* an answer of the enclave, with what else is in the room */
static void answer(const char *room, const cs_room_body *b, cs_slice frame)
{
    cs_buf out = cs_buf_heap(CS_ROOM_BODY_MAX);
    size_t head;
    assert_int_equal(cs_room_head_put(&out, b->account_id, b->execution_id), CS_OK);
    head = out.len;
    assert_int_equal(cs_put_slice(&out, frame), CS_OK);
    if (how.flip) {
        send_flipped(room, false, &out, head);
    }
    if (how.foreign) {
        send_noise(room, b, frame);
    }
    if (how.forge_end) {
        put_end(room, b, frame.p, frame.p[0] != CS_FRAME_DATA, "ABORT_SESSION");
        put_end(room, b, frame.p, true, "CHANNEL_UNKNOWN"); /* of a set-up that is none */
        put_end(room, b, frame.p, frame.p[0] != CS_FRAME_DATA, "NO_SUCH_CODE");
    }
    if (how.gone > 0 && --how.gone == 0) {
        cs_buf_free(&out);
        return;
    }
    post(room, false, cs_buf_slice(&out));
    if (how.duplicate) {
        post(room, false, cs_buf_slice(&out));
    }
    if (how.replay) {
        replay_all(room);
    }
    cs_buf_free(&out);
}

/* the first frame of a signing session: O1 is shorter */
static bool is_first(cs_slice frame)
{
    return frame.p[0] == CS_FRAME_DATA && frame.len > CS_MPC_M1_LEN && cs_load_u64(frame.p + 33) == 0;
}

static void serve(const message *m)
{
    cs_room_body b;
    cs_buf out = cs_buf_heap(CS_FRAME_MAX);
    if (cs_room_body_parse(&b, cs_slice_of(m->p, m->len)) != CS_OK) {
        return;
    }
    if (how.deaf_room != NULL && strcmp(m->room, how.deaf_room) == 0) {
        if (how.deaf_code != NULL) {
            put_end(m->room, &b, b.frame.p, true, how.deaf_code);
        }
        return;
    }
    if (is_first(b.frame) && how.end_code != NULL) {
        put_end(m->room, &b, b.frame.p, false, how.end_code);
        return;
    }
    if (is_first(b.frame) && how.deaf > 0) {
        how.deaf--;
        return;
    }
    cs_err err = testenclave_on(enclave, &out, b.frame);
    if (err == CS_E_CHANNEL_UNKNOWN) {
        put_end(m->room, &b, b.frame.p, false, "CHANNEL_UNKNOWN");
    } else if (err != CS_E_STATE) {
        assert_int_equal(err, CS_OK);
        if (out.len > 0) {
            answer(m->room, &b, cs_buf_slice(&out));
        }
    }
    cs_buf_free(&out);
}

static void attest(void)
{
    cs_gateway_req r = *gateway->request;
    uint8_t nonce[64], text[200], mem[16384];
    cs_buf nonce64 = cs_buf_wrap(text, sizeof text), raw = cs_buf_wrap(nonce, sizeof nonce);
    cs_buf json = cs_buf_wrap(mem, sizeof mem);
    uint8_t account[200];
    cs_buf id = cs_buf_wrap(account, sizeof account);
    cs_json_field f[] = {{.key = "nonce", .kind = CS_JSON_STRING, .out = &nonce64, .required = true},
                         {.key = "account_id", .kind = CS_JSON_STRING, .out = &id, .required = true}};
    free(gateway->request);
    gateway->request = NULL;
    attested++;
    if (how.attest != CS_OK) {
        r.fn(r.cookie, how.attest, 503, CS_SLICE_NULL);
        return;
    }
    assert_int_equal(cs_json_read(cs_slice_of(r.body, r.len), f, 2), CS_OK);
    assert_int_equal(cs_b64_get(&raw, cs_buf_slice(&nonce64), CS_B64_STD), CS_OK);
    cs_slice key = cs_slice_of(cs_share_party_at(service_set, 0)->static_pub, 32);
    if (how.wrong_key) {
        key = cs_buf_slice(&raw);
    }
    testdoc t = {.timestamp_s = cs_clock_wall_ms() / 1000, .nonce = cs_buf_slice(&raw), .public_key = key};
    assert_int_equal(cs_put_str(&json, "{\"document\":\""), CS_OK);
    assert_int_equal(cs_b64_put(&json, testdoc_build(&t), CS_B64_STD), CS_OK);
    assert_int_equal(cs_put_str(&json, "\"}"), CS_OK);
    r.fn(r.cookie, CS_OK, 200, cs_buf_slice(&json));
}

/* shows one message to one member that has not seen it; false when all have seen all */
static bool show_one(void)
{
    for (cs_room *r = gateway->rooms; r != NULL; r = r->next) {
        while (r->at < gateway->num) {
            const message *m = &gateway->m[r->at++];
            if (!m->from_client && strcmp(m->room, r->name) == 0) {
                r->events->on_body(r->cookie, cs_slice_of(m->p, m->len));
                return true;
            }
        }
    }
    return false;
}

static void pump(void *cookie)
{
    (void)cookie;
    if (gateway->request != NULL) {
        attest();
    }
    if (how.lose && gateway->rooms != NULL) {
        how.lose = false;
        gateway->rooms->events->on_lost(gateway->rooms->cookie, CS_E_CONNECT);
        return;
    }
    for (size_t end = gateway->num; gateway->served < end; gateway->served++) {
        message m = gateway->m[gateway->served];
        if (m.from_client) {
            serve(&m);
        }
    }
    while (show_one()) {
    }
}

/* ---- tests */

typedef struct outcome {
    bool done;
    cs_presult r;
} outcome;

static void on_result(void *cookie, const cs_presult *r)
{
    outcome *o = cookie;
    assert_false(o->done);
    o->done = true;
    o->r = *r;
}

static int start(void **state)
{
    cs_slice c, s;
    uint8_t pk[33];
    const cs_share_policy lax = {.allow_unsigned = true};
    return cs_arena_init((size_t)64 << 20, false) == CS_OK && cs_deal_new(&dealt, 2) == CS_OK &&
                   cs_deal_add(dealt, cs_slice_str("a"), NULL, pk) == CS_OK &&
                   cs_deal_add(dealt, cs_slice_str("b"), NULL, pk) == CS_OK &&
                   cs_deal_finish(dealt, 1, NULL, &c, &s) == CS_OK &&
                   cs_share_load(&client_set, c, &lax, NULL) == CS_OK &&
                   cs_share_load(&service_set, s, &lax, NULL) == CS_OK
               ? 0
               : -1;
}

static void open_client(unsigned retries, uint32_t silence_ms)
{
    cs_pclient_config config = {.loop = loop,
                                .gateway_url = "http://gateway",
                                .shares = client_set,
                                .att = &att,
                                .timeout_ms = 20000,
                                .silence_ms = silence_ms,
                                .retries = retries};
    assert_int_equal(cs_pclient_new(&client, &config), CS_OK);
}

static int fresh(void **state)
{
    memset(&how, 0, sizeof how);
    attested = joined = left = 0;
    enclave = testenclave_new(service_set);
    att = (cs_att_options){.root_der = testdoc_root(), .any_pcrs = true};
    return cs_loop_new(&loop) == CS_OK ? 0 : -1;
}

static int clear(void **state)
{
    cs_pclient_free(client);
    client = NULL;
    assert_null(gateway);
    assert_int_equal(joined, left);
    cs_loop_free(loop);
    testenclave_free(enclave);
    return 0;
}

static cs_pjob *begin(outcome *o, const char *account, int64_t tx, const char *execution)
{
    cs_pjob *job = NULL;
    cs_psign_request r = {.account_id = cs_slice_str(account), .tx_id = tx, .execution_id = cs_slice_str(execution)};
    memset(r.digest32, 0xcd, 32);
    *o = (outcome){0};
    assert_int_equal(cs_pclient_sign(&job, client, &r, on_result, o), CS_OK);
    return job;
}

static void wait_for(const outcome *o)
{
    while (!o->done) {
        assert_true(cs_loop_run_once(loop, true));
    }
}

static void signs(const char *account, int64_t tx, const char *execution)
{
    outcome o;
    uint8_t digest[32];
    memset(digest, 0xcd, 32);
    begin(&o, account, tx, execution);
    wait_for(&o);
    assert_int_equal(o.r.err, CS_OK);
    assert_int_equal(o.r.attempts, 1);
    assert_int_equal(o.r.first_err, CS_OK);
    assert_int_equal(cs_psign_verify(&o.r.sig, digest), CS_OK);
}

static void many_requests_share_a_channel_and_may_share_a_room(void **state)
{
    outcome o[6];
    const char *executions[] = {"x0", "x1", "x2", "x3", "x4", "x5"};
    open_client(0, 0);
    for (int i = 0; i < 6; i++) {
        begin(&o[i], i % 2 ? "a" : "b", -5 + i / 3, executions[i]); /* two rooms, three requests in each */
    }
    for (int i = 0; i < 6; i++) {
        wait_for(&o[i]);
        assert_int_equal(o[i].r.err, CS_OK);
        assert_int_equal(o[i].r.attempts, 1);
    }
    assert_int_equal(testenclave_signed(enclave), 6);
    assert_int_equal(testenclave_setups(enclave), 1);
    assert_int_equal(cs_pclient_channels(client), 1);
    assert_int_equal(attested, 1);
    assert_int_equal(joined, 6); /* a membership is for one request, its set-up and its session */
    assert_int_equal(cs_pclient_busy(client), 0);
}

static void a_membership_is_for_one_request(void **state)
{
    outcome o[20];
    char execution[20][4];
    open_client(0, 0);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(execution[i], sizeof execution[i], "y%d", i);
        begin(&o[i], "a", 3, execution[i]);
    }
    for (int i = 0; i < 20; i++) {
        wait_for(&o[i]);
        assert_int_equal(o[i].r.err, CS_OK);
    }
    assert_int_equal(joined, 20);
    assert_int_equal(testenclave_signed(enclave), 20);
}

static void what_does_not_fit_is_dropped(void **state)
{
    open_client(0, 0);
    how.flip = true;
    signs("a", 1, "x");
    how.flip = false;
    how.duplicate = true;
    signs("a", 2, "x");
    how.duplicate = false;
    how.foreign = true;
    signs("a", 3, "x");
    how.foreign = false;
    how.forge_end = true;
    signs("a", 4, "x");
    assert_int_equal(testenclave_signed(enclave), 4);
    assert_int_equal(cs_pclient_channels(client), 1);
}

static void a_set_up_survives_the_same(void **state)
{
    how.duplicate = how.foreign = how.forge_end = true;
    open_client(0, 0);
    signs("b", 1, "x");
    assert_int_equal(cs_pclient_channels(client), 1);
    assert_int_equal(attested, 1);
}

static void the_room_played_again_at_each_message_changes_nothing(void **state)
{
    how.replay = true;
    open_client(0, 0);
    signs("a", 1, "x");
    signs("b", 1, "y");
    assert_int_equal(cs_pclient_channels(client), 1);
    assert_int_equal(testenclave_signed(enclave), 2);
}

static void a_restarted_enclave_gets_a_new_channel_once(void **state)
{
    outcome o;
    open_client(0, 0);
    signs("a", 1, "x");
    testenclave_restart(enclave);
    begin(&o, "a", 2, "x");
    wait_for(&o);
    assert_int_equal(o.r.err, CS_OK);
    assert_int_equal(o.r.first_err, CS_E_CHANNEL_UNKNOWN);
    assert_int_equal(o.r.attempts, 2);
    assert_int_equal(cs_pclient_channels(client), 2);
    assert_int_equal(attested, 2); /* and its attestation is verified again */
}

static void a_forger_of_ends_costs_one_channel_only(void **state)
{
    outcome o;
    open_client(0, 40);
    signs("a", 1, "x");
    how.end_code = "CHANNEL_UNKNOWN";
    begin(&o, "a", 2, "x");
    wait_for(&o);
    assert_int_equal(o.r.err, CS_E_PEER_SILENT);
    assert_int_equal(o.r.hint, CS_E_CHANNEL_UNKNOWN);
    assert_int_equal(cs_pclient_channels(client), 2);
}

static void silence_is_tried_again_in_a_new_session(void **state)
{
    outcome o;
    open_client(1, 40);
    signs("a", 1, "x");
    how.deaf = 1;
    begin(&o, "a", 2, "x");
    wait_for(&o);
    assert_int_equal(o.r.err, CS_OK);
    assert_int_equal(o.r.attempts, 2);
    assert_int_equal(o.r.first_err, CS_E_PEER_SILENT);
    how.gone = 2; /* M4 is lost: the retry gets the stored answer */
    begin(&o, "a", 3, "x");
    wait_for(&o);
    assert_int_equal(o.r.err, CS_OK);
    assert_int_equal(o.r.attempts, 2);
    assert_int_equal(testenclave_signed(enclave), 3);
}

static void silence_without_retries_says_what_was_heard(void **state)
{
    outcome o;
    open_client(0, 40);
    signs("a", 1, "x");
    how.end_code = "NOT_SERVING";
    begin(&o, "a", 2, "x");
    wait_for(&o);
    assert_int_equal(o.r.err, CS_E_PEER_SILENT);
    assert_int_equal(o.r.hint, CS_E_NOT_SERVING);
    assert_int_equal(cs_pclient_channels(client), 1);
}

static void a_set_up_where_nobody_is_does_not_hold_up_the_others(void **state)
{
    outcome alone, other;
    open_client(0, 200);
    how.deaf_room = "signing_7";
    how.deaf_code = "NOT_SERVING";
    begin(&alone, "a", 7, "x");
    while (joined == 0) {
        assert_true(cs_loop_run_once(loop, true));
    }
    begin(&other, "a", 8, "x");
    wait_for(&alone);
    wait_for(&other);
    assert_int_equal(alone.r.err, CS_E_PEER_SILENT);
    assert_int_equal(alone.r.hint, CS_E_NOT_SERVING); /* the set-up of the other one, which began first, has none */
    assert_int_equal(other.r.err, CS_OK);
}

static void a_lost_room_ends_the_request(void **state)
{
    outcome o;
    open_client(3, 0);
    signs("a", 1, "x");
    how.lose = true;
    begin(&o, "a", 2, "x");
    wait_for(&o);
    assert_int_equal(o.r.err, CS_E_CONNECT);
    signs("a", 2, "x");
}

static void what_the_gateway_refuses_is_told(void **state)
{
    outcome o;
    open_client(0, 0);
    how.attest = CS_E_UPSTREAM;
    begin(&o, "a", 1, "x");
    wait_for(&o);
    assert_int_equal(o.r.err, CS_E_UPSTREAM);
    how.attest = CS_OK;
    how.join = CS_E_SESSION_LIMIT;
    begin(&o, "a", 1, "x");
    wait_for(&o);
    assert_int_equal(o.r.err, CS_E_SESSION_LIMIT);
    how.join = CS_OK;
    how.send = CS_E_RANGE;
    begin(&o, "a", 1, "x");
    wait_for(&o);
    assert_int_equal(o.r.err, CS_E_RANGE);
    how.send = CS_OK;
    signs("a", 1, "x");
}

static void a_wrong_attestation_is_no_channel(void **state)
{
    outcome o;
    open_client(0, 0);
    how.wrong_key = true;
    begin(&o, "a", 1, "x");
    wait_for(&o);
    assert_int_equal(o.r.err, CS_E_ATT_BINDING);
    how.wrong_key = false;
    att.root_der = cs_att_root_g1();
    begin(&o, "a", 1, "x");
    wait_for(&o);
    assert_int_equal(o.r.err, CS_E_ATT_CHAIN);
    assert_int_equal(joined, 0); /* nothing was sent */
}

static void requests_may_be_given_up_at_any_time(void **state)
{
    outcome o, other;
    open_client(0, 0);
    for (unsigned turns = 0; turns < 14; turns++) {
        cs_pjob *job = begin(&o, "a", (int64_t)turns, "x");
        begin(&other, "b", (int64_t)turns, "y");
        for (unsigned i = 0; i < turns && !o.done; i++) {
            (void)cs_loop_run_once(loop, false);
        }
        if (!o.done) {
            cs_pclient_cancel(job);
        }
        wait_for(&other);
        assert_int_equal(other.r.err, CS_OK);
    }
    begin(&o, "a", 99, "x"); /* and one that is under way when all is freed */
    (void)cs_loop_run_once(loop, false);
}

typedef struct couple {
    cs_pjob *job[2];
    unsigned ended;
} couple;

/* the end of one takes the other one with it */
static void on_one(void *cookie, const cs_presult *r)
{
    couple *c = cookie;
    assert_int_not_equal(r->err, CS_OK);
    c->ended++;
    cs_pclient_cancel(c->job[0]); /* requests begin newest first, so this one is still to come */
}

static void begin_couple(couple *c, int64_t tx)
{
    *c = (couple){0};
    for (unsigned i = 0; i < 2; i++) {
        cs_psign_request r = {
            .account_id = cs_slice_str("a"), .tx_id = tx + i, .execution_id = cs_slice_str("x"), .digest32 = {1}};
        assert_int_equal(cs_pclient_sign(&c->job[i], client, &r, on_one, c), CS_OK);
    }
}

static void the_end_of_a_request_may_give_up_another(void **state)
{
    couple c;
    open_client(0, 0);
    /* both wait for a channel that does not come: those who waited are told in the order in which they began */
    how.attest = CS_E_UPSTREAM;
    begin_couple(&c, 1);
    cs_pjob *older = c.job[0];
    c.job[0] = c.job[1]; /* told last */
    c.job[1] = older;
    while (c.ended == 0) {
        assert_true(cs_loop_run_once(loop, true));
    }
    assert_int_equal(cs_pclient_busy(client), 0);
    /* both begin in one turn, and end in it */
    how.attest = CS_OK;
    signs("a", 9, "x");
    how.join = CS_E_SESSION_LIMIT;
    begin_couple(&c, 3);
    while (c.ended == 0) {
        assert_true(cs_loop_run_once(loop, true));
    }
    assert_int_equal(c.ended, 1);
    assert_int_equal(cs_pclient_busy(client), 0);
    how.join = CS_OK;
    signs("a", 10, "x");
}

static void requests_that_fit_no_room_are_refused(void **state)
{
    outcome o;
    cs_pclient *none = NULL;
    cs_pclient_config bad = {.loop = loop, .gateway_url = "ftp://x", .shares = client_set, .att = &att};
    assert_int_equal(cs_pclient_new(&none, &bad), CS_E_FORMAT);
    open_client(0, 0);
    cs_psign_request r = {.account_id = cs_slice_str("a"), .execution_id = cs_slice_str("x")};
    r.tx_id = (int64_t)INT32_MAX + 1;
    assert_int_equal(cs_pclient_sign(NULL, client, &r, on_result, &o), CS_E_RANGE);
    r.tx_id = (int64_t)INT32_MIN - 1;
    assert_int_equal(cs_pclient_sign(NULL, client, &r, on_result, &o), CS_E_RANGE);
    r.tx_id = INT32_MIN;
    r.path_len = 1;
    assert_int_equal(cs_pclient_sign(NULL, client, &r, on_result, &o), CS_E_RANGE);
    signs("a", INT32_MIN, "x");
    signs("a", INT32_MAX, "x");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fresh, clear)
    const struct CMUnitTest tests[] = {
        T(many_requests_share_a_channel_and_may_share_a_room),
        T(a_membership_is_for_one_request),
        T(what_does_not_fit_is_dropped),
        T(a_set_up_survives_the_same),
        T(the_room_played_again_at_each_message_changes_nothing),
        T(a_restarted_enclave_gets_a_new_channel_once),
        T(a_forger_of_ends_costs_one_channel_only),
        T(silence_is_tried_again_in_a_new_session),
        T(silence_without_retries_says_what_was_heard),
        T(a_set_up_where_nobody_is_does_not_hold_up_the_others),
        T(a_lost_room_ends_the_request),
        T(what_the_gateway_refuses_is_told),
        T(a_wrong_attestation_is_no_channel),
        T(requests_may_be_given_up_at_any_time),
        T(the_end_of_a_request_may_give_up_another),
        T(requests_that_fit_no_room_are_refused),
    };
#undef T
    return cmocka_run_group_tests(tests, start, NULL);
}
