/* The client of the driver: channel, OT set-up, signing sessions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver.h"

#define OK(x) assert_int_equal((x), CS_OK)

void named(cs_rpc_frame *f, const ask *a)
{
    static uint8_t digest[32];

    memset(digest, a->digest_byte, sizeof digest);
    f->f[0].s = cs_slice_str(account_name[a->account]);
    f->f[1].u = (uint64_t)a->tx_id;
    f->f[2].s = cs_slice_str(a->execution == NULL ? "e" : a->execution);
    f->f[3].s = cs_slice_of(digest, sizeof digest);
}

uint64_t wait_for(world *w, const ask *a)
{
    cs_rpc_frame f = {.type = CS_RPC_SIGN_WAIT, .id = ++w->next_id};

    named(&f, a);
    OK(give(w, CS_LINK_SERVICE, &f));
    return f.id;
}

void expect_signature(world *w, uint64_t id, cs_err code, const cs_mpc_signature *sig, bool remembered)
{
    cs_rpc_frame f = next(w, CS_LINK_SERVICE);

    assert_string_equal(cs_rpc_name(f.type), "SIGN_REPLY");
    assert_int_equal(f.id, id);
    assert_true(cs_slice_eq_str(f.f[0].s, cs_err_code(code)));
    assert_int_equal(f.f[2].u, remembered);
    if (code != CS_OK) {
        assert_int_equal(f.f[1].s.len, 0);
        return;
    }
    assert_int_equal(f.f[1].s.len, 65);
    assert_memory_equal(f.f[1].s.p, sig->r, 32);
    assert_memory_equal(f.f[1].s.p + 32, sig->s, 32);
    assert_int_equal(f.f[1].s.p[64], sig->recid);
}

uint64_t open_stream(world *w)
{
    cs_rpc_frame f = {.type = w->room != NULL ? CS_RPC_PARTY_ROOM : CS_RPC_PARTY_OPEN, .id = ++w->next_id};

    if (w->room != NULL) {
        named(&f, w->room);
    }
    OK(give(w, CS_LINK_SERVICE, &f));
    return f.id;
}

static cs_err end_code(const cs_rpc_frame *f)
{
    char code[64] = "";

    assert_string_equal(cs_rpc_name(f->type), "PARTY_END");
    memcpy(code, f->f[0].s.p, f->f[0].s.len);
    return cs_err_from_code(code);
}

cs_err client_handshake(world *w, client *cl, unsigned family, uint64_t stream)
{
    uint8_t hs1[CS_FRAME_HS1_LEN];
    cs_rpc_frame f;

    *cl = (client){.family = family};
    OK(cs_channel_start(&cl->ch, hs1, w->client_key[family], w->enclave_pub[family]));
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, stream, cs_slice_of(hs1, sizeof hs1));
    f = next(w, CS_LINK_SERVICE);
    if (f.type != CS_RPC_PARTY_SEND) {
        return end_code(&f);
    }
    OK(cs_channel_finish(&cl->ch, f.f[0].s));
    return CS_OK;
}

cs_err client_ot(world *w, client *cl, uint64_t stream)
{
    static uint8_t mem[CS_MPC_SETUP_MAX_LEN];
    cs_mpc_setup_args args = {.peer = w->peer[cl->family],
                              .role = CS_MPC_INITIATOR,
                              .chan32 = cl->ch.chan32,
                              .secret32 = w->client_key[cl->family]};
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    session s = {.stream = stream};
    cs_mpc_setup *setup = NULL;
    cs_mpc_verdict v;

    OK(cs_csession_init(&s.cs, &cl->ch, NULL));
    OK(cs_mpc_setup_new(&setup, &args));
    OK(cs_mpc_setup_start(setup, &out, &v));
    while (!cs_mpc_setup_done(setup)) {
        session_send(w, &s, CS_DATA_OT, cs_buf_slice(&out));
        out.len = 0;
        OK(cs_mpc_setup_on(setup, session_get(w, &s, CS_DATA_OT), &out, &v));
    }
    session_send(w, &s, CS_DATA_OT, cs_buf_slice(&out));
    (void)session_get(w, &s, CS_DATA_OT_DONE);
    cs_mpc_pair_free(cl->pair);
    cl->pair = cs_mpc_setup_take(setup);
    assert_non_null(cl->pair);
    cs_mpc_setup_free(setup);
    cs_csession_wipe(&s.cs);
    expect_end(w, stream, CS_OK);
    return CS_OK;
}

cs_err client_connect(world *w, client *cl, unsigned family)
{
    uint64_t stream = open_stream(w);
    cs_err err = client_handshake(w, cl, family, stream);

    return err != CS_OK ? err : client_ot(w, cl, stream);
}

void client_free(client *cl)
{
    cs_mpc_pair_free(cl->pair);
    cs_channel_wipe(&cl->ch);
    *cl = (client){0};
}

void session_send(world *w, session *s, cs_data_kind kind, cs_slice payload)
{
    static uint8_t mem[CS_FRAME_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    OK(cs_csession_seal_msg(&s->cs, &b, kind, payload));
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, s->stream, cs_buf_slice(&b));
}

cs_slice session_get(world *w, session *s, cs_data_kind kind)
{
    static uint8_t mem[CS_FRAME_MAX];
    cs_rpc_frame f = next(w, CS_LINK_SERVICE);
    size_t len = 0;

    assert_string_equal(cs_rpc_name(f.type), "PARTY_SEND");
    assert_int_equal(f.id, s->stream);
    OK(cs_csession_open(&s->cs, mem, sizeof mem, &len, f.f[0].s));
    assert_int_equal(mem[0], kind);
    return cs_slice_of(mem + 1, len - 1);
}

void session_refused(world *w, session *s, cs_err code)
{
    cs_slice text = session_get(w, s, CS_DATA_REFUSED);

    assert_true(cs_slice_eq_str(text, cs_err_code(code)));
    expect_end(w, s->stream, code);
}

void session_hello(world *w, client *cl, session *s, const ask *a)
{
    static uint8_t mem[8192], m1[CS_MPC_M1_LEN];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_hello h = {.account_id = cs_slice_str(account_name[a->account]),
                  .tx_id = a->tx_id,
                  .epoch = a->epoch,
                  .execution_id = cs_slice_str(a->execution == NULL ? "e" : a->execution),
                  .path_len = a->path_len};
    uint8_t label[32];
    cs_mpc_verdict v;

    memset(h.digest32, a->digest_byte, 32);
    memcpy(h.path, a->path, a->path_len * sizeof a->path[0]);
    OK(cs_hello_label(label, &h));
    cs_mpc_request rq = {.key = &w->key[a->account][0],
                         .peer = 2,
                         .digest32 = h.digest32,
                         .label32 = label,
                         .path = h.path,
                         .path_len = h.path_len};
    *s = (session){0};
    memcpy(s->digest, h.digest32, 32);
    OK(cs_csession_init(&s->cs, &cl->ch, NULL));
    if (family_of[a->account] == cl->family) {
        OK(cs_mpc_sign2_new(&s->sign, cl->pair, &rq));
        OK(cs_mpc_sign2_m1(s->sign, m1, &v));
    }
    OK(cs_put_u16(&b, 0));
    OK(a->raw_hello.p != NULL ? cs_put_slice(&b, a->raw_hello) : cs_hello_put(&b, &h));
    cs_store_u16(b.p, (uint16_t)(b.len - 2));
    OK(cs_put(&b, m1, sizeof m1));
    s->stream = open_stream(w);
    session_send(w, s, CS_DATA_HELLO, cs_buf_slice(&b));
}

void session_m3(world *w, session *s)
{
    static uint8_t m3[CS_MPC_M3_LEN];
    cs_mpc_verdict v;

    OK(cs_mpc_sign2_on_m2(s->sign, session_get(w, s, CS_DATA_MSG), m3, &v));
    session_send(w, s, CS_DATA_MSG, cs_slice_of(m3, sizeof m3));
}

cs_err session_m4(world *w, session *s, cs_mpc_signature *sig)
{
    cs_mpc_verdict v;
    cs_err err = cs_mpc_sign2_on_m4(s->sign, session_get(w, s, CS_DATA_MSG), sig, &v);

    expect_end(w, s->stream, CS_OK);
    return err;
}

void session_free(session *s)
{
    cs_mpc_sign2_free(s->sign);
    cs_csession_wipe(&s->cs);
    *s = (session){0};
}

bool sign_once(world *w, client *cl, const ask *a)
{
    cs_mpc_signature sig;
    session s;
    cs_err err;

    session_hello(w, cl, &s, a);
    session_m3(w, &s);
    err = session_m4(w, &s, &sig);
    session_free(&s);
    return err == CS_OK;
}
