/* One blocking unary call. See grpc.h. */
#include "net/h2/grpc.h"

typedef struct unary {
    cs_loop *loop;
    cs_buf *answer, *text;
    bool done, has;
    cs_err err;
} unary;

static void on_message(cs_grpc_call *c, void *cookie, cs_slice message)
{
    unary *u = cookie;
    cs_err err = u->has ? CS_E_FORMAT : cs_put_slice(u->answer, message);
    u->err = u->err == CS_OK ? err : u->err;
    u->has = true;
}

static void on_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *r)
{
    unary *u = cookie;
    u->done = true;
    u->err = r->err != CS_OK ? r->err : u->err;
    if (u->text != NULL && cs_put_slice(u->text, r->message) != CS_OK) {
        u->text->len = 0;
    }
    if (u->err == CS_OK && !u->has) {
        u->err = CS_E_FORMAT;
    }
}

cs_err cs_grpc_unary(cs_buf *answer, cs_buf *text, const cs_endpoint *ep, const char *path, cs_slice request,
                     uint32_t timeout_ms)
{
    static const cs_grpc_call_events events = {on_message, NULL, on_end};
    unary u = {.answer = answer, .text = text};
    cs_grpc_client *client = NULL;
    cs_grpc_call *call = NULL;
    CS_TRY(cs_loop_new(&u.loop));
    cs_err err = cs_grpc_client_new(&client, u.loop, ep, NULL);
    if (err == CS_OK && (err = cs_grpc_call_new(&call, client, path, timeout_ms, &events, &u)) == CS_OK) {
        err = cs_grpc_send(call, &request, 1);
        cs_grpc_end(call);
        while (err == CS_OK && !u.done) {
            (void)cs_loop_run_once(u.loop, true);
        }
        err = err == CS_OK ? u.err : err;
    }
    cs_grpc_client_free(client);
    cs_loop_free(u.loop);
    return err;
}
