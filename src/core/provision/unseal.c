#include "core/provision/unseal.h"

#include "base/clock.h"
#include "secret/age.h"
#include "secret/cms.h"

#define MAX_IDENTITIES 4
#define PUSH_LEN ((size_t)64 << 10)
#define BUILD_COST 4 /* parsing a byte takes about so much longer than checking it */

struct cs_unseal {
    cs_age_identity id[MAX_IDENTITIES]; /* of an age-keygen file */
    cs_age_keys keys;
    cs_staging *file;
    size_t at; /* bytes of it that this pass has read */
    unsigned pass;
    cs_age_dec *dec;
    cs_share_loader *loader;
    uint64_t cpu_ns[2];
};

static cs_err open_identity(cs_unseal *u, const cs_unseal_args *args)
{
    cs_buf text = {0};
    size_t num = 0;
    cs_err err = cs_secret_buf(&text, CS_CMS_MAX);

    if (err != CS_OK) {
        return err;
    }
    err = cs_cms_open(&text, args->envelope, args->rsa);
    if (err == CS_OK) {
        err = cs_age_identity_file(u->id, &num, MAX_IDENTITIES, cs_buf_slice(&text));
    }
    cs_secret_buf_free(&text);
    u->keys = (cs_age_keys){.identities = u->id, .num_identities = num};
    return err;
}

static cs_err to_check(void *cookie, cs_slice piece)
{
    return cs_share_loader_check(cookie, piece);
}

static cs_err to_build(void *cookie, cs_slice piece)
{
    return cs_share_loader_build(cookie, piece);
}

/* whatever it was that did not fit */
static cs_err limit(cs_err err)
{
    return err == CS_E_NO_MEMORY ? CS_E_SHARES_LIMIT : err;
}

static cs_err begin_pass(cs_unseal *u, unsigned pass)
{
    cs_age_dec_free(u->dec);
    u->dec = NULL;
    u->at = 0;
    u->pass = pass;
    return cs_age_dec_new(&u->dec, &u->keys, pass == 1 ? to_check : to_build, u->loader);
}

cs_err cs_unseal_new(cs_unseal **out, const cs_unseal_args *args)
{
    cs_unseal *u = cs_secret_alloc(sizeof *u);
    cs_err err;

    if (u == NULL) {
        return CS_E_SHARES_LIMIT;
    }
    u->file = args->file;
    err = open_identity(u, args);
    if (err == CS_OK) {
        err = cs_share_loader_new(&u->loader, &args->policy);
    }
    if (err == CS_OK) {
        err = begin_pass(u, 1);
    }
    if (err != CS_OK) {
        cs_unseal_free(u);
        return limit(err);
    }
    *out = u; /* transferred */
    return CS_OK;
}

/* The pass is over: all of the file was read. */
static cs_err end_pass(cs_unseal *u, cs_share_set **set)
{
    CS_TRY(cs_age_dec_finish(u->dec));
    if (u->pass == 2) {
        return cs_share_loader_take(set, u->loader);
    }
    CS_TRY(cs_share_loader_checked(u->loader));
    return begin_pass(u, 2);
}

static cs_err slice(cs_unseal *u, cs_share_set **set)
{
    for (size_t spent = 0; spent < CS_UNSEAL_SLICE && *set == NULL;) {
        const cs_slice piece = cs_staging_at(u->file, u->at, PUSH_LEN);

        if (piece.len == 0) {
            CS_TRY(end_pass(u, set));
            continue;
        }
        CS_TRY(cs_age_dec_push(u->dec, piece));
        u->at += piece.len;
        spent += u->pass == 1 ? piece.len : BUILD_COST * piece.len;
        if (u->pass == 2) {
            cs_staging_release(u->file, u->at);
        }
    }
    return CS_OK;
}

cs_err cs_unseal_step(cs_unseal *u, cs_share_set **set)
{
    const unsigned pass = u->pass;
    const uint64_t start = cs_clock_thread_cpu_ns();
    cs_err err;

    *set = NULL;
    err = slice(u, set);
    u->cpu_ns[pass - 1] += cs_clock_thread_cpu_ns() - start;
    return limit(err);
}

const char *cs_unseal_what(const cs_unseal *u)
{
    const cs_sharefile_fault fault = cs_share_loader_fault(u->loader);

    return fault.what == NULL ? "" : fault.what;
}

size_t cs_unseal_progress(const cs_unseal *u, unsigned *out_pass, size_t *out_total)
{
    *out_pass = u->pass;
    *out_total = u->file->len;
    return u->at;
}

uint64_t cs_unseal_cpu_ns(const cs_unseal *u, unsigned pass)
{
    return u->cpu_ns[pass - 1];
}

void cs_unseal_free(cs_unseal *u)
{
    if (u != NULL) {
        cs_age_dec_free(u->dec);
        cs_share_loader_free(u->loader);
        cs_secret_free(u);
    }
}
