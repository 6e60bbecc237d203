/*
 * The flows of a bridge: frames of the request's clients become numbered streams to core, what core sends is broadcast. Anybody may
 * write to a room, so nothing here is trusted: a body costs no memory, a request has at most CS_BRIDGE_STREAMS streams, and one of
 * which core has not answered anything gives way to a new one.
 */
#include <string.h>

#include "base/log.h"
#include "codec/roomframe.h"
#include "service/room_int.h"

#define HS1_LEN 129u
#define CHANNEL_AT 1u
#define SESSION_AT 17u
#define DATA_HEAD 41u
#define DATA_TAG 16u
enum { KIND_HS1 = 1, KIND_DATA = 3 };

void cs_flow_free(cs_flow *f, bool tell_core)
{
    cs_service *s = f->bridge->service;

    (void)cs_idmap_take(&s->rooms->flows, f->id);
    if (tell_core) {
        cs_service_send_end(s, CS_RPC_PARTY_CLOSE, f->id);
    }
    f->bridge = NULL;
}

/* ---- room -> core ---- */

cs_err cs_room_head_parse(cs_room_head *out, cs_slice frame)
{
    bool hs1 = frame.len == HS1_LEN && frame.p[0] == KIND_HS1;

    if (!hs1 && (frame.len <= DATA_HEAD + DATA_TAG || frame.p[0] != KIND_DATA)) {
        return CS_E_FORMAT;
    }
    *out =
        (cs_room_head){.hs1 = hs1, .channel16 = frame.p + CHANNEL_AT, .session16 = hs1 ? NULL : frame.p + SESSION_AT};
    return CS_OK;
}

static bool same_name(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, CS_FLOW_NAME) == 0;
}

/*
 * The flow that a frame belongs to. A set-up flow takes all unknown sessions of its channel until core has answered one of
 * them: a stranger who names another one first gains nothing.
 */
static cs_flow *flow_of(cs_bridge *b, const cs_room_head *h)
{
    cs_flow *set_up = NULL;

    for (size_t i = 0; i < CS_BRIDGE_STREAMS; i++) {
        cs_flow *f = &b->flows[i];

        if (f->bridge == NULL || !same_name(f->channel, h->channel16)) {
            continue;
        }
        if (h->hs1 ? f->set_up : f->bound && same_name(f->session, h->session16)) {
            return f;
        }
        if (f->set_up && !f->bound) {
            set_up = f;
        }
    }
    return h->hs1 ? NULL : set_up;
}

/* A free slot, or that of the flow that has proven least, the oldest of such. */
static cs_flow *free_slot(cs_bridge *b)
{
    cs_flow *least = NULL;

    for (size_t i = 0; i < CS_BRIDGE_STREAMS; i++) {
        cs_flow *f = &b->flows[i];

        if (f->bridge == NULL) {
            return f;
        }
        if (f->proven != CS_SAID_DATA &&
            (least == NULL || f->proven < least->proven || (f->proven == least->proven && f->opened < least->opened))) {
            least = f;
        }
    }
    if (least != NULL) {
        cs_flow_free(least, true);
    }
    return least;
}

static cs_flow *flow_open(cs_bridge *b, const cs_room_head *h)
{
    cs_service *s = b->service;
    cs_flow *f = free_slot(b);

    if (f == NULL) {
        return NULL;
    }
    cs_rpc_frame open = cs_bridge_frame(b, CS_RPC_PARTY_ROOM, ++s->next_id);
    *f = (cs_flow){.bridge = b, .id = open.id, .opened = ++b->num_flows, .set_up = h->hs1, .bound = !h->hs1};
    memcpy(f->channel, h->channel16, CS_FLOW_NAME);
    if (!h->hs1) {
        memcpy(f->session, h->session16, CS_FLOW_NAME);
    }
    if (cs_idmap_put(&s->rooms->flows, f->id, f) != CS_OK) {
        f->bridge = NULL;
        return NULL;
    }
    if (cs_service_send(s, &open) != CS_OK) {
        cs_flow_free(f, false);
        return NULL;
    }
    return f;
}

void cs_flow_body(cs_bridge *b, cs_slice bytes)
{
    cs_service *s = b->service;
    cs_room_body body;
    cs_room_head head;

    if (cs_room_body_parse(&body, bytes) != CS_OK || !cs_slice_eq(body.account_id, cs_bridge_account(b)) ||
        !cs_slice_eq(body.execution_id, cs_bridge_execution(b)) || cs_room_head_parse(&head, body.frame) != CS_OK) {
        return; /* of another request, or noise */
    }
    if (s->core_gone || s->core == NULL || cs_link_full(s->core)) {
        return; /* rooms may lose messages; streams of gRPC may not, and need the rest of the queue */
    }
    cs_flow *f = flow_of(b, &head);
    if (f == NULL) {
        f = flow_open(b, &head);
    }
    if (f != NULL) {
        cs_rpc_frame data = {.type = CS_RPC_PARTY_DATA, .id = f->id};
        data.f[0].s = body.frame;
        cs_err err = cs_service_send(s, &data);
        if (err != CS_OK) {
            cs_log_err(CS_LOG_DEBUG, "room_drop", err);
        }
    }
}

/* ---- core -> room ---- */

static void broadcast(cs_bridge *b, cs_slice frame)
{
    uint8_t mem[CS_ROOM_HEAD_MAX];
    cs_buf head = cs_buf_wrap(mem, sizeof mem);
    cs_err err = cs_room_head_put(&head, cs_bridge_account(b), cs_bridge_execution(b));

    if (err == CS_OK) {
        const cs_slice parts[] = {cs_buf_slice(&head), frame};
        err = cs_room_send(b->room, parts, 2);
    }
    if (err != CS_OK) { /* the session of the client ends in silence */
        cs_log_err(CS_LOG_WARN, "room_send", err);
    }
}

void cs_flow_send(cs_flow *f, cs_slice frame)
{
    cs_bridge *b = f->bridge;

    if (frame.len > DATA_HEAD && frame.p[0] == KIND_DATA) {
        b->heard = cs_loop_now(b->service->loop); /* not HS2: a handshake can be played again */
        f->proven = CS_SAID_DATA;
        f->bound = true;
        memcpy(f->session, frame.p + SESSION_AT, CS_FLOW_NAME);
    } else if (f->proven == CS_SAID_NOTHING) {
        f->proven = CS_SAID_HS2;
    }
    broadcast(b, frame);
}

/* The client is told only what makes it do something: set up a new channel, or say more about the silence that follows. */
static bool is_told(cs_err err)
{
    return err == CS_E_CHANNEL_UNKNOWN || err == CS_E_CHANNEL_AUTH || err == CS_E_NOT_SERVING ||
           err == CS_E_SESSION_LIMIT;
}

/* What became of a session; told when nothing better follows. */
static bool is_verdict(cs_err err)
{
    return err == CS_E_ABORT_SESSION || err == CS_E_EPOCH || err == CS_E_EXECUTION_CONFLICT;
}

void cs_flow_end(cs_flow *f, cs_err err)
{
    cs_bridge *b = f->bridge;
    static const uint8_t none[CS_FLOW_NAME];
    uint8_t mem[CS_ROOM_END_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    const cs_room_end end = {
        .channel16 = f->channel, .session16 = f->set_up ? none : f->session, .code = cs_slice_str(cs_err_code(err))};

    /* core refuses an authentic session in it; what is played again ends without a word */
    b->why = f->proven == CS_SAID_DATA && is_verdict(err) ? err : b->why;
    if (is_told(err) && b->ends < CS_BRIDGE_ENDS_MAX && cs_room_end_put(&out, &end) == CS_OK) {
        b->ends++;
        broadcast(b, cs_buf_slice(&out));
    }
    cs_flow_free(f, false);
}
