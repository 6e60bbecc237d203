#include "core/provision/unseal.h"

#include "secret/age.h"
#include "secret/cms.h"

#define MAX_IDENTITIES 4
#define PUSH_LEN (1u << 20)

/* The identities of an age-keygen file; in the arena because they outlive a scope. */
typedef struct identities {
    cs_age_identity id[MAX_IDENTITIES];
    size_t num;
} identities;

static cs_err open_identity(identities *out, const cs_unseal_args *args)
{
    cs_buf text = {0};
    cs_err err = cs_secret_buf(&text, CS_CMS_MAX);

    if (err != CS_OK) {
        return err;
    }
    err = cs_cms_open(&text, args->envelope, args->rsa);
    if (err == CS_OK) {
        err = cs_age_identity_file(out->id, &out->num, MAX_IDENTITIES, cs_buf_slice(&text));
    }
    cs_secret_buf_free(&text);
    return err;
}

static cs_err take_piece(void *cookie, cs_slice piece)
{
    return cs_put_slice(cookie, piece) == CS_OK ? CS_OK : CS_E_SHARES_LIMIT;
}

/* The plaintext exists once, in the arena; it is shorter than the file. */
static cs_err open_file(cs_buf *out, const identities *ids, cs_slice file)
{
    cs_age_keys keys = {.identities = ids->id, .num_identities = ids->num};
    cs_age_dec *dec = NULL;
    cs_reader r = cs_reader_of(file);
    cs_err err = cs_age_dec_new(&dec, &keys, take_piece, out);

    while (err == CS_OK && r.left > 0) {
        cs_slice piece;

        err = cs_read_slice(&r, &piece, r.left < PUSH_LEN ? r.left : PUSH_LEN);
        if (err == CS_OK) {
            err = cs_age_dec_push(dec, piece);
        }
    }
    if (err == CS_OK) {
        err = cs_age_dec_finish(dec);
    }
    cs_age_dec_free(dec);
    return err;
}

cs_err cs_unseal(cs_share_set **out, const char **what, const cs_unseal_args *args)
{
    identities *ids = cs_secret_alloc(sizeof *ids);
    cs_sharefile_fault fault = {0, NULL};
    cs_buf plain = {0};
    cs_err err = CS_E_SHARES_LIMIT;

    *what = "";
    if (ids == NULL) {
        return err;
    }
    err = open_identity(ids, args);
    if (err == CS_OK && cs_secret_buf(&plain, args->file.len) != CS_OK) {
        err = CS_E_SHARES_LIMIT;
    }
    if (err == CS_OK) {
        err = open_file(&plain, ids, args->file);
    }
    cs_secret_free(ids);
    if (err == CS_OK) {
        err = cs_share_load(out, cs_buf_slice(&plain), args->policy, &fault);
        *what = err != CS_OK && fault.what != NULL ? fault.what : "";
    }
    cs_secret_buf_free(&plain);
    return err == CS_E_NO_MEMORY ? CS_E_SHARES_LIMIT : err; /* whatever it was that did not fit */
}
