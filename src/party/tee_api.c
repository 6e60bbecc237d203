/* The installed C API of the TEE service (include/countersign/tee.h): opening and closing. Operations are in tee_ops.c. */
#include <stdlib.h>
#include <string.h>

#include "party/tee_api.h"

#define ARENA_DEFAULT ((size_t)8 << 20)
#define TOKEN_MAX 8192u
#define PEM_MAX (1u << 20)

static uint32_t or_default(uint32_t value, uint32_t def)
{
    return value != 0 ? value : def;
}

static cs_slice text_of(const char *s)
{
    return s != NULL ? cs_slice_str(s) : CS_SLICE_NULL;
}

/* "Bearer TOKEN" in the arena. A token is one word (RFC 6750: b64token and more). */
static cs_err set_token(countersign_tee *t, const char *token)
{
    static const char scheme[] = "Bearer ";
    size_t len = token != NULL ? strnlen(token, TOKEN_MAX + 1) : 0;

    if (token == NULL) {
        return CS_OK;
    }
    for (size_t i = 0; i < len; i++) {
        if (token[i] <= ' ' || token[i] > '~') {
            return CS_E_FORMAT;
        }
    }
    if (len == 0 || len > TOKEN_MAX) {
        return CS_E_RANGE;
    }
    t->authorization = cs_secret_alloc(sizeof scheme + len);
    if (t->authorization == NULL) {
        return CS_E_NO_MEMORY;
    }
    memcpy(t->authorization, scheme, sizeof scheme - 1);
    memcpy(t->authorization + sizeof scheme - 1, token, len + 1);
    return CS_OK;
}

static cs_err open_link(countersign_tee *t, const countersign_tee_options *o)
{
    cs_tee_link_config c = {.roots_pem = text_of(o->ca_pem),
                            .cert_pem = text_of(o->cert_pem),
                            .key_pem = text_of(o->key_pem),
                            .server_name = o->server_name,
                            .authorization = t->authorization,
                            .connections = or_default(o->connections, 2)};

    if ((o->cert_pem == NULL) != (o->key_pem == NULL) || c.roots_pem.len > PEM_MAX || c.cert_pem.len > PEM_MAX ||
        c.key_pem.len > PEM_MAX) {
        return CS_E_USAGE;
    }
    CS_TRY(cs_endpoint_parse(&c.gateway, text_of(o->gateway)));
    return cs_tee_link_new(&t->link, &c);
}

static cs_err open_tee(countersign_tee *t, const countersign_tee_options *o)
{
    const cs_api_images images = {.pcrs = o->pcrs,
                                  .num_pcrs = o->num_pcrs,
                                  .allowed = o->allowed,
                                  .num_allowed = o->num_allowed,
                                  .any_pcrs = o->any_pcrs,
                                  .allow_debug = o->allow_debug,
                                  .root_pem = o->root_pem};
    cs_err err;

    CS_TRY(cs_api_att_init(&t->att, &images));
    err = cs_arena_init(o->arena_bytes != 0 ? o->arena_bytes : ARENA_DEFAULT, false);
    if (err != CS_OK && err != CS_E_STATE) { /* STATE: the process has its arena already */
        return err;
    }
    if (o->identity_file != NULL) {
        CS_TRY(cs_tee_identity_read(&t->identity, o->identity_file));
    }
    CS_TRY(set_token(t, o->token));
    CS_TRY(open_link(t, o));
    t->on_audit = o->on_audit;
    t->audit_cookie = o->audit_cookie;
    return cs_tee_client_new(
        &t->client,
        &(cs_tee_client_config){.link = t->link,
                                .identity = t->identity,
                                .att = &t->att.options,
                                .patience = {.timeout_ms = or_default(o->timeout_ms, 15000),
                                             .attempt_ms = or_default(o->attempt_ms, 6000),
                                             .retries = o->retries == UINT32_MAX ? 0 : or_default(o->retries, 4)},
                                .attest_every_ms = or_default(o->attest_every_ms, 3600000),
                                .seal_all = o->seal_all != 0});
}

CS_API_EXPORT int countersign_tee_open(countersign_tee **out, const countersign_tee_options *options,
                                       countersign_error *err)
{
    countersign_tee *t = calloc(1, sizeof *t);
    cs_err e = t == NULL ? CS_E_NO_MEMORY : open_tee(t, options);

    if (e != CS_OK) {
        countersign_tee_close(t);
        return cs_api_result(err, e);
    }
    *out = t; /* transferred */
    return cs_api_result(err, CS_OK);
}

CS_API_EXPORT void countersign_tee_close(countersign_tee *tee)
{
    if (tee == NULL) {
        return;
    }
    cs_tee_client_free(tee->client);
    cs_tee_link_free(tee->link);
    cs_secret_free(tee->authorization);
    cs_secret_free(tee->identity);
    free(tee);
}
