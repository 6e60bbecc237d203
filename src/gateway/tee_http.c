/* HTTP/JSON of the TEE service: POST /v1/tee/{operation}, POST /v1/tee/call, GET /v1/tee/attest (docs/formats/tee-http.md). */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "gateway/tee.h"
#include "gateway/tee_json.h"

#define ANSWER_MAX (1024u * 1024u)
#define NONCE_MAX 512u

typedef struct asked {
    cs_gate *gate;
    cs_http1_conn *conn;
    const cs_http1_msg *request;
    cs_tee_waiter *waiter;
    cs_tee_ask ask; /* operation, shape and algorithm: what the answer needs */
    cs_tel_call *seen;
} asked;

typedef struct where {
    cs_gate *gate;
    cs_http1_conn *conn;
    const cs_http1_msg *request;
    cs_tel_call *seen;
} where;

static void respond(const where *w, unsigned status, cs_slice json)
{
    cs_gate_headers h;
    cs_gate_headers_init(&h, w->gate, w->request, "application/json");
    if (status == 401) {
        cs_gate_headers_add(&h, "WWW-Authenticate", "Bearer");
    }
    cs_http1_respond(w->conn, status, h.h, h.num, json);
}

static void refuse(const where *w, unsigned status, cs_err err, const char *detail, cs_slice reply)
{
    cs_buf out = cs_buf_heap(ANSWER_MAX);
    if (cs_tee_json_refusal(&out, err, detail, reply) != CS_OK) {
        out.len = 0;
    }
    respond(w, status != 0 ? status : err == CS_E_TOKEN ? 401 : cs_gate_http_status(err), cs_buf_slice(&out));
    cs_buf_free(&out);
}

static void on_done(void *cookie, const cs_tee_outcome *o)
{
    asked *a = cookie;
    where w = {a->gate, a->conn, a->request, NULL};
    cs_buf out = cs_buf_heap(ANSWER_MAX);
    cs_err err = o->err;
    if (err == CS_OK) {
        err = a->ask.shape != NULL ? cs_tee_json_told(&out, &a->ask, o->reply) : cs_tee_json_reply(&out, o->reply);
    }
    cs_tel_end(a->seen, err);
    free(a);
    if (err == CS_OK) {
        respond(&w, 200, cs_buf_slice(&out));
    } else {
        refuse(&w, 0, err, o->detail, o->err != CS_OK ? o->reply : CS_SLICE_NULL);
    }
    cs_buf_free(&out);
}

static void on_gone(void *cookie)
{
    asked *a = cookie;
    cs_tee_flow_leave(a->waiter);
    cs_tel_gone(a->seen);
    free(a);
}

static void start(const where *w, cs_tee_ask *ask)
{
    const char *detail = "";
    asked *a = calloc(1, sizeof *a);
    cs_err err = CS_E_NO_MEMORY;
    cs_tee_seen(ask, w->seen);
    if (a != NULL) {
        *a = (asked){.gate = w->gate,
                     .conn = w->conn,
                     .request = w->request,
                     .ask = {.op = ask->op, .shape = ask->shape, .alg = ask->alg},
                     .seen = w->seen};
        err = cs_tee_start(&a->waiter, w->gate->tee, &detail, ask, UINT64_MAX, on_done, a);
    }
    if (err != CS_OK) {
        free(a);
        cs_tee_ask_cleanup(ask);
        cs_tel_end(w->seen, err);
        refuse(w, 0, err, detail, CS_SLICE_NULL);
        return;
    }
    cs_http1_conn_on_gone(w->conn, on_gone, a);
}

/* nonce=BASE64URL, and nothing else */
static cs_err read_nonce(cs_tee_ask *ask, const char **what, cs_slice query)
{
    static const char name[] = "nonce=";
    uint8_t mem[NONCE_MAX];
    cs_buf nonce = cs_buf_wrap(mem, sizeof mem);
    *what = "nonce: 16 to 512 bytes in base64url";
    if (query.len < sizeof name || memcmp(query.p, name, sizeof name - 1) != 0) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_b64_get(&nonce, cs_slice_of(query.p + sizeof name - 1, query.len - (sizeof name - 1)), CS_B64_URL));
    cs_tee_named n = {.shape = cs_tee_shape_of(CS_TEE_ATTEST)};
    n.f[0].s = cs_buf_slice(&nonce);
    return cs_tee_ask_named(ask, what, &n);
}

static cs_err read_ask(cs_tee_ask *ask, const char **what, cs_slice name, const cs_http1_msg *request)
{
    if (cs_slice_eq_str(name, "call") || cs_slice_eq_str(name, "Call")) {
        return cs_tee_json_given(ask, what, request->body);
    }
    const cs_tee_op_row *row = cs_tee_json_operation(name);
    if (row == NULL) {
        return CS_E_NOT_FOUND;
    }
    const cs_tee_shape *shape = cs_tee_shape_of(row->op);
    *what = "made by the caller, sealed, and sent to /v1/tee/call";
    return shape != NULL ? cs_tee_json_named(ask, what, shape, request->body) : CS_E_REQUEST_CLEAR;
}

void cs_tee_http(cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, cs_slice name, cs_slice query)
{
    where w = {g, conn, request, cs_tel_begin_http(g->telemetry, request)};
    const char *what = "";
    cs_tee_ask ask = {0};
    bool get = cs_slice_eq_str(request->method, "GET");
    cs_err err = cs_tee_admit(g->tee, cs_http1_header_get(request, "authorization"), &what);
    if (err == CS_OK && get) {
        err = read_nonce(&ask, &what, query);
    } else if (err == CS_OK) {
        err = read_ask(&ask, &what, name, request);
    }
    if (err != CS_OK) {
        cs_tel_end(w.seen, err);
        refuse(&w, 0, err, what, CS_SLICE_NULL);
        return;
    }
    start(&w, &ask);
}
