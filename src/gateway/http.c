/* HTTP of the gateway: which request is whose, and what all answers have. See docs/formats/rooms.md. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json_out.h"
#include "gateway/gateway.h"
#include "gateway/message.h"
#include "gateway/tee.h"

#define ANSWER_MAX 2048

/* ---- answers ---- */

void cs_gate_headers_add(cs_gate_headers *h, const char *name, const char *value)
{
    if (h->num < sizeof h->h / sizeof *h->h) {
        h->h[h->num++] = (cs_http1_header){cs_slice_str(name), cs_slice_str(value)};
    }
}

/* The origin that may read the answer: "*", or the request's own when it is listed. p NULL: none. */
static cs_slice allowed_origin(const cs_gate *g, const cs_http1_msg *request)
{
    cs_slice origin = request != NULL ? cs_http1_header_get(request, "origin") : CS_SLICE_NULL;
    for (size_t i = 0; origin.p != NULL && i < g->config.num_origins; i++) {
        if (strcmp(g->config.origins[i], "*") == 0) {
            return cs_slice_str("*");
        }
        if (cs_slice_eq_str(origin, g->config.origins[i])) {
            return origin;
        }
    }
    return CS_SLICE_NULL;
}

void cs_gate_headers_init(cs_gate_headers *h, const cs_gate *g, const cs_http1_msg *request, const char *content_type)
{
    cs_slice origin = allowed_origin(g, request);
    *h = (cs_gate_headers){0};
    if (content_type != NULL) {
        cs_gate_headers_add(h, "Content-Type", content_type);
    }
    cs_gate_headers_add(h, "Cache-Control", "no-store");
    cs_gate_headers_add(h, "X-Content-Type-Options", "nosniff");
    if (g->config.num_origins > 0) {
        cs_gate_headers_add(h, "Vary", "Origin");
    }
    if (origin.p != NULL) {
        h->h[h->num++] = (cs_http1_header){cs_slice_str("Access-Control-Allow-Origin"), origin};
    }
}

static void answer(const cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, unsigned status, cs_slice json)
{
    cs_gate_headers h;
    cs_gate_headers_init(&h, g, request, "application/json");
    cs_http1_respond(conn, status, h.h, h.num, json);
}

unsigned cs_gate_http_status(cs_err err)
{
    switch (err) {
    case CS_E_TOO_LARGE:
        return 413;
    case CS_E_ROOM_FULL:
    case CS_E_SESSION_LIMIT:
        return 429;
    case CS_E_ROOM_LIMIT:
    case CS_E_NO_MEMORY:
        return 503;
    default:
        break;
    }
    switch (cs_err_grpc(err)) {
    case CS_GRPC_INVALID_ARGUMENT:
    case CS_GRPC_OUT_OF_RANGE:
        return 400;
    case CS_GRPC_UNAUTHENTICATED:
    case CS_GRPC_PERMISSION_DENIED:
        return 403;
    case CS_GRPC_NOT_FOUND:
        return 404;
    case CS_GRPC_FAILED_PRECONDITION:
    case CS_GRPC_ABORTED:
    case CS_GRPC_ALREADY_EXISTS:
        return 409;
    case CS_GRPC_RESOURCE_EXHAUSTED:
        return 429;
    case CS_GRPC_UNIMPLEMENTED:
        return 501;
    case CS_GRPC_UNAVAILABLE:
        return 503;
    case CS_GRPC_DEADLINE_EXCEEDED:
        return 504;
    default:
        return 500;
    }
}

static void put_refusal(cs_buf *out, cs_err err)
{
    cs_jw w = cs_jw_begin(out);
    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "code", cs_err_code(err));
    cs_jw_cstr(&w, "cause", cs_err_cause(err));
    cs_jw_cstr(&w, "fix", cs_err_fix(err));
    cs_jw_close_object(&w);
    if (cs_jw_end(&w) != CS_OK) {
        out->len = 0;
    }
}

static void refuse_with(const cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, unsigned status, cs_err err,
                        const char *allow)
{
    uint8_t mem[ANSWER_MAX];
    cs_buf body = cs_buf_wrap(mem, sizeof mem);
    cs_gate_headers h;
    put_refusal(&body, err);
    cs_gate_headers_init(&h, g, request, "application/json");
    if (allow != NULL) {
        cs_gate_headers_add(&h, "Allow", allow);
    }
    cs_http1_respond(conn, status, h.h, h.num, cs_buf_slice(&body));
}

void cs_gate_refuse(const cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, unsigned status, cs_err err)
{
    refuse_with(g, conn, request, status != 0 ? status : cs_gate_http_status(err), err, NULL);
}

/* What the HTTP server itself refuses: there may be no whole request, so nothing of it is used. */
void cs_gate_http_refuse(cs_http1_conn *conn, unsigned status, cs_err err)
{
    uint8_t mem[ANSWER_MAX];
    cs_buf body = cs_buf_wrap(mem, sizeof mem);
    cs_http1_header type = {cs_slice_str("Content-Type"), cs_slice_str("application/json")};
    put_refusal(&body, err);
    cs_http1_respond(conn, status, &type, 1, cs_buf_slice(&body));
}

static void answer_options(const cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, const char *allow)
{
    cs_gate_headers h;
    cs_gate_headers_init(&h, g, request, NULL);
    cs_gate_headers_add(&h, "Allow", allow);
    if (allowed_origin(g, request).p != NULL &&
        cs_http1_header_get(request, "access-control-request-method").p != NULL) {
        cs_gate_headers_add(&h, "Access-Control-Allow-Methods", allow);
        cs_gate_headers_add(&h, "Access-Control-Allow-Headers",
                            "Authorization, Content-Type, Last-Event-ID, Cache-Control");
        cs_gate_headers_add(&h, "Access-Control-Max-Age", "600");
    }
    cs_http1_respond(conn, 204, h.h, h.num, CS_SLICE_NULL);
}

/* ---- rooms ---- */

/* One request that a broker answers; on the stack, as the broker in memory answers at once. */
typedef struct asked {
    cs_gate *gate;
    cs_http1_conn *conn;
    const cs_http1_msg *request;
    const char *name; /* of the answer's member */
    cs_message message;
} asked;

static void on_answer(void *cookie, cs_err err, uint64_t n)
{
    asked *a = cookie;
    char json[64];
    if (err != CS_OK) {
        cs_gate_refuse(a->gate, a->conn, a->request, 0, err);
        return;
    }
    snprintf(json, sizeof json, "{\"%s\":%llu}", a->name, (unsigned long long)n);
    answer(a->gate, a->conn, a->request, 200, cs_slice_str(json));
}

static cs_room_text *render(void *cookie, uint64_t id)
{
    const asked *a = cookie;
    cs_room_text *t = cs_room_text_new(a->message.body.len + CS_MESSAGE_EVENT_OVERHEAD, a->message.sender);
    if (t == NULL) {
        return NULL;
    }
    cs_buf out = cs_buf_wrap(t->bytes, t->len);
    size_t body_at = 0;
    if (cs_message_event(&out, &body_at, &a->message, id) != CS_OK) {
        cs_room_text_release(t);
        return NULL;
    }
    t->len = out.len;
    t->body_at = (uint16_t)body_at; /* below CS_MESSAGE_EVENT_OVERHEAD */
    return t;
}

/*
 * application/json, with parameters or without. Only a browser must say so: it asks before it sends that type across origins
 * (CORS preflight), and not for those of forms. Other clients send JSON under any name or none.
 */
static bool type_ok(const cs_http1_msg *request)
{
    static const char type[] = "application/json";
    size_t n = sizeof type - 1;
    cs_slice v = cs_http1_header_get(request, "content-type");
    if (cs_http1_header_get(request, "origin").p == NULL) {
        return true;
    }
    return v.p != NULL && v.len >= n && strncasecmp((const char *)v.p, type, n) == 0 &&
           (v.len == n || v.p[n] == ';' || v.p[n] == ' ' || v.p[n] == '\t');
}

static void broadcast(cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, cs_slice room, cs_slice query)
{
    asked a = {.gate = g, .conn = conn, .request = request, .name = "id"};
    (void)query;
    if (!type_ok(request)) {
        cs_gate_refuse(g, conn, request, 415, CS_E_UNSUPPORTED);
        return;
    }
    cs_err err = cs_message_parse(&a.message, request->body);
    if (err != CS_OK) {
        cs_gate_refuse(g, conn, request, 0, err);
        return;
    }
    cs_room_post post = {a.message.body.len + CS_MESSAGE_EVENT_OVERHEAD, render, &a};
    cs_rooms_publish(g->rooms, room, cs_loop_now(g->loop), &post, on_answer, &a);
}

static void unique_index(cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, cs_slice room, cs_slice query)
{
    asked a = {.gate = g, .conn = conn, .request = request, .name = "unique_idx"};
    (void)query;
    cs_rooms_unique(g->rooms, room, cs_loop_now(g->loop), on_answer, &a);
}

static void health(cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, cs_slice room, cs_slice query)
{
    bool serving = cs_gate_serving(g);
    (void)room;
    (void)query;
    answer(g, conn, request, serving ? 200 : 503,
           cs_slice_str(serving ? "{\"status\":\"SERVING\"}" : "{\"status\":\"NOT_SERVING\"}"));
}

static void attest(cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, cs_slice room, cs_slice query)
{
    (void)room;
    (void)query;
    if (!type_ok(request)) {
        cs_gate_refuse(g, conn, request, 415, CS_E_UNSUPPORTED);
    } else {
        cs_gate_attest(g, conn, request);
    }
}

static void tee(cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, cs_slice name, cs_slice query)
{
    if (!cs_slice_eq_str(request->method, "GET") && !type_ok(request)) {
        cs_gate_refuse(g, conn, request, 415, CS_E_UNSUPPORTED);
    } else {
        cs_tee_http(g, conn, request, name, query);
    }
}

/* ---- routes ---- */

typedef struct route {
    const char *path; /* of a room: what stands behind its name */
    bool get, query;
    void (*run)(cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, cs_slice room, cs_slice query);
} route;

static const route plain_routes[] = {{"/health", true, false, health}, {"/v1/attest", false, false, attest}, {0}};
static const route tee_get = {"", true, true, tee}, tee_post = {"", false, false, tee};
static const route room_routes[] = {
    {"/subscribe", true, true, cs_gate_subscribe},
    {"/broadcast", false, false, broadcast},
    {"/issue_unique_idx", false, false, unique_index},
    {0},
};

static const route *find(const route *table, cs_slice path)
{
    for (const route *r = table; r->path != NULL; r++) {
        if (cs_slice_eq_str(path, r->path)) {
            return r;
        }
    }
    return NULL;
}

/* /v1/tee/{name}: one of the names may be asked with GET, too. */
static const route *find_tee(cs_slice *name, cs_slice path, const cs_http1_msg *request)
{
    static const char prefix[] = "/v1/tee/";
    size_t n = sizeof prefix - 1;
    if (path.len <= n || memcmp(path.p, prefix, n) != 0) {
        return NULL;
    }
    *name = cs_slice_of(path.p + n, path.len - n);
    return cs_slice_eq_str(*name, "attest") && cs_slice_eq_str(request->method, "GET") ? &tee_get : &tee_post;
}

/* Takes the room's name out of the path: *path is what follows. False: not below /rooms/. */
static bool take_room(cs_slice *room, cs_slice *path)
{
    static const char prefix[] = "/rooms/";
    size_t n = sizeof prefix - 1;
    if (path->len < n || memcmp(path->p, prefix, n) != 0) {
        return false;
    }
    cs_slice rest = cs_slice_of(path->p + n, path->len - n);
    const uint8_t *slash = memchr(rest.p, '/', rest.len);
    size_t len = slash != NULL ? (size_t)(slash - rest.p) : rest.len;
    *room = cs_slice_of(rest.p, len);
    *path = cs_slice_of(rest.p + len, rest.len - len);
    return true;
}

void cs_gate_http(void *gate, cs_http1_conn *conn, const cs_http1_msg *request)
{
    cs_gate *g = gate;
    cs_slice path = request->target, query = CS_SLICE_NULL, room = CS_SLICE_NULL;
    const uint8_t *mark = memchr(path.p, '?', path.len);
    if (mark != NULL) {
        size_t at = (size_t)(mark - path.p);
        query = cs_slice_of(path.p + at + 1, path.len - at - 1);
        path.len = at;
    }
    bool of_room = take_room(&room, &path);
    const route *r = find(of_room ? room_routes : plain_routes, path);
    if (r == NULL && !of_room) {
        r = find_tee(&room, path, request);
    }
    if (r == NULL) {
        cs_gate_refuse(g, conn, request, 404, CS_E_NOT_FOUND);
        return;
    }
    const char *allow = r->get ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
    bool get = cs_slice_eq_str(request->method, "GET") || cs_slice_eq_str(request->method, "HEAD");
    if (cs_slice_eq_str(request->method, "OPTIONS")) {
        answer_options(g, conn, request, allow);
    } else if (r->get ? !get : !cs_slice_eq_str(request->method, "POST")) {
        refuse_with(g, conn, request, 405, CS_E_USAGE, allow);
    } else if ((of_room && !cs_rooms_name_ok(room)) || (query.p != NULL && !r->query)) {
        cs_gate_refuse(g, conn, request, 400, CS_E_USAGE);
    } else {
        r->run(g, conn, request, room, query);
    }
}
