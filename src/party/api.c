/* The installed C API (include/countersign/party.h) over party/client.h: its own loop, blocking calls. */
#include "countersign/party.h"

#include <stdlib.h>
#include <string.h>

#include "party/api_att.h"
#include "party/client.h"
#include "secret/age.h"

#define EXPORT CS_API_EXPORT
#define ARENA_BASE ((size_t)64 << 20)
#define MAX_SHARES ((size_t)256 << 20)
#define MAX_PASSPHRASE 1024u

struct countersign_party {
    cs_endpoint service;
    cs_share_set *shares;
    cs_api_att att;
    cs_loop *loop;
    cs_pclient *client;
};

static cs_err load_shares(countersign_party *p, const countersign_party_options *o)
{
    cs_slice file = cs_slice_of(o->shares, o->shares_len);
    cs_buf plain = {0};
    if (file.len > MAX_SHARES || o->passphrase_len > MAX_PASSPHRASE) {
        return CS_E_TOO_LARGE;
    }
    cs_err err = cs_arena_init(o->arena_bytes != 0 ? o->arena_bytes : ARENA_BASE + 3 * file.len, false);
    if (err != CS_OK && err != CS_E_STATE) { /* STATE: the process has its arena already */
        return err;
    }
    if (o->passphrase != NULL) {
        CS_TRY(cs_secret_buf(&plain, file.len > 0 ? file.len : 1));
        err = cs_age_decrypt(&plain, file, &(cs_age_keys){.passphrase = cs_slice_of(o->passphrase, o->passphrase_len)});
        file = cs_buf_slice(&plain);
    } else {
        err = CS_OK;
    }
    if (err == CS_OK) {
        err = cs_share_load(&p->shares, file, &(cs_share_policy){.allow_unsigned = true}, NULL);
    }
    cs_secret_buf_free(&plain);
    return err;
}

static cs_err open_party(countersign_party *p, const countersign_party_options *o)
{
    if (o->gateway_url == NULL) {
        CS_TRY(cs_endpoint_parse(&p->service, cs_slice_str(o->service != NULL ? o->service : "")));
    }
    CS_TRY(cs_api_att_init(&p->att, &(cs_api_images){.pcrs = o->pcrs,
                                                     .num_pcrs = o->num_pcrs,
                                                     .any_pcrs = o->any_pcrs,
                                                     .allow_debug = o->allow_debug,
                                                     .root_pem = o->root_pem}));
    CS_TRY(load_shares(p, o));
    CS_TRY(cs_loop_new(&p->loop));
    return cs_pclient_new(&p->client, &(cs_pclient_config){.loop = p->loop,
                                                           .service = &p->service,
                                                           .gateway_url = o->gateway_url,
                                                           .shares = p->shares,
                                                           .att = &p->att.options,
                                                           .timeout_ms = o->timeout_ms,
                                                           .retries = o->retries});
}

EXPORT int countersign_party_open(countersign_party **out, const countersign_party_options *options,
                                  countersign_error *err)
{
    countersign_party *p = calloc(1, sizeof *p);
    cs_err e = p == NULL ? CS_E_NO_MEMORY : open_party(p, options);
    if (e != CS_OK) {
        countersign_party_close(p);
        return cs_api_result(err, e);
    }
    *out = p; /* transferred */
    return cs_api_result(err, CS_OK);
}

/* one request of a call of sign_many */
typedef struct waiter {
    countersign_signature *out;
    countersign_error *err;
    size_t *left, *failed;
} waiter;

static void on_result(void *cookie, const cs_presult *r)
{
    waiter *w = cookie;
    --*w->left;
    *w->err = cs_api_error(r->err);
    if (r->err != CS_OK) {
        ++*w->failed;
        return;
    }
    memcpy(w->out->r, r->sig.r, 32);
    memcpy(w->out->s, r->sig.s, 32);
    memcpy(w->out->public_key, r->sig.pk33, 33);
    w->out->recid = r->sig.recid;
    w->out->attempts = r->attempts;
}

static cs_err start(countersign_party *p, const countersign_request *q, waiter *w)
{
    cs_psign_request r = {.account_id = cs_slice_str(q->account_id != NULL ? q->account_id : ""),
                          .tx_id = q->tx_id,
                          .execution_id = cs_slice_of(q->execution_id, q->execution_id_len),
                          .path_len = q->path_len};
    if (q->path_len > CS_HELLO_MAX_PATH) {
        return CS_E_RANGE;
    }
    memcpy(r.digest32, q->digest, 32);
    if (q->path_len > 0) {
        memcpy(r.path, q->path, q->path_len * sizeof q->path[0]);
    }
    return cs_pclient_sign(NULL, p->client, &r, on_result, w);
}

EXPORT size_t countersign_party_sign_many(countersign_party *party, const countersign_request *requests, size_t num,
                                          countersign_signature *out, countersign_error *errs)
{
    size_t left = 0, failed = 0;
    waiter *w = calloc(num > 0 ? num : 1, sizeof *w);
    for (size_t i = 0; i < num; i++) {
        cs_err e = CS_E_NO_MEMORY;
        if (w != NULL) {
            w[i] = (waiter){&out[i], &errs[i], &left, &failed};
            e = start(party, &requests[i], &w[i]);
        }
        errs[i] = cs_api_error(e);
        left += e == CS_OK;
        failed += e != CS_OK;
    }
    while (left > 0 && cs_loop_run_once(party->loop, true)) {
    }
    free(w);
    return failed + left;
}

EXPORT int countersign_party_sign(countersign_party *party, const countersign_request *request,
                                  countersign_signature *out, countersign_error *err)
{
    countersign_error e;
    size_t failed = countersign_party_sign_many(party, request, 1, out, &e);
    if (err != NULL) {
        *err = e;
    }
    return failed == 0 ? 0 : -1;
}

EXPORT void countersign_party_close(countersign_party *party)
{
    if (party == NULL) {
        return;
    }
    cs_pclient_free(party->client);
    cs_share_free(party->shares);
    if (party->loop != NULL) {
        cs_loop_free(party->loop);
    }
    free(party);
}
