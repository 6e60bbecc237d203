/* signctl caller new, public: the identity of a caller of the TEE service, and what of it goes into the share file. */
#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "base/text.h"
#include "codec/sharefile.h"
#include "party/tee_identity.h"
#include "rpc/tee_rpc.h"
#include "secret/noise.h"
#include "secret/rng.h"
#include "secret/sign/ed25519.h"
#include "tools/cmds.h"
#include "tools/secret_io.h"

#define IDENTITY_MAX 512u

static int refuse(const cs_args *a, cs_err err, const char *detail)
{
    return cs_refuse(a, err, cs_args_flag(a, "json"), detail);
}

/* ---- caller new */

static cs_err put_secret(cs_buf *out, const char *name, const cs_secret32 *secret)
{
    CS_TRY(cs_put_fmt(out, ",\"%s\":\"", name));
    CS_TRY(cs_put_hex_ct(out, secret->b, sizeof secret->b));
    return cs_put_u8(out, '"');
}

static cs_err put_identity(cs_buf *out, const cs_tee_identity *id)
{
    CS_TRY(cs_put_fmt(out, "{\"id\":\"%s\"", id->id));
    CS_TRY(put_secret(out, "ed25519_seed", &id->ed25519_seed));
    CS_TRY(put_secret(out, "x25519_secret", &id->x25519_secret));
    return cs_put_str(out, "}\n");
}

static void public_of(cs_sharefile_caller *c, const cs_tee_identity *id)
{
    c->id = cs_slice_str(id->id);
    cs_ed25519_public(c->ed25519, &id->ed25519_seed);
    cs_x25519_base(c->x25519, id->x25519_secret.b);
    CS_CT_PUBLIC(c->x25519, sizeof c->x25519, "public key of the caller");
}

static cs_err write_identity(const cs_tee_identity *id, const char *path)
{
    cs_tool_file f = {.fd = -1};
    cs_buf text = {0};

    cs_err err = cs_secret_buf(&text, IDENTITY_MAX);
    if (err == CS_OK) {
        err = put_identity(&text, id);
    }
    if (err == CS_OK) {
        err = cs_tool_seal(&f, path, false, cs_buf_slice(&text), NULL);
    }
    if (err == CS_OK) {
        err = cs_tool_commit(&f, false);
    }
    cs_tool_abandon(&f);
    cs_secret_buf_free(&text);
    return err;
}

static cs_err say_new(const cs_args *a, const cs_tee_identity *id, const char *path)
{
    cs_sharefile_caller c = {.rate = 0};
    cs_buf out = cs_buf_heap(8192);
    cs_jw w = cs_jw_begin(&out);

    public_of(&c, id);
    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "file", path);
    cs_jw_str(&w, "id", c.id);
    cs_jw_hex(&w, "ed25519", cs_slice_of(c.ed25519, 32));
    cs_jw_hex(&w, "x25519", cs_slice_of(c.x25519, 32));
    cs_jw_close_object(&w);
    cs_err err = cs_jw_end(&w);
    if (err == CS_OK && cs_args_flag(a, "json")) {
        printf("%.*s\n", (int)out.len, (const char *)out.p);
    } else if (err == CS_OK) {
        printf("caller %s: %s\nfor the publisher of the share file: signctl caller public %s --operations ... "
               "--records ...\n",
               id->id, path, path);
    }
    cs_buf_free(&out);
    return err;
}

static int run_new(const cs_args *a)
{
    const char *name = cs_args_str(a, "id"), *path = cs_args_str(a, "output");

    if (name == NULL || path == NULL) {
        return cs_usage_error(a, "--id NAME and -o FILE are needed");
    }
    if (name[0] == '\0' || !cs_name_valid(cs_slice_str(name), CS_TEE_CALLER_MAX)) {
        return cs_usage_error(a, "--id: 1 to %d printable ASCII characters without quote, backslash and space",
                              CS_TEE_CALLER_MAX);
    }
    cs_err err = cs_tool_arena((size_t)1 << 20);
    cs_tee_identity *id = err == CS_OK ? cs_secret_alloc(sizeof *id) : NULL;
    if (err == CS_OK) {
        err = id == NULL ? CS_E_NO_MEMORY : cs_random(id->ed25519_seed.b, 32);
    }
    if (err == CS_OK) {
        err = cs_random(id->x25519_secret.b, 32);
    }
    if (err == CS_OK) {
        (void)snprintf(id->id, sizeof id->id, "%s", name);
        err = write_identity(id, path);
    }
    if (err == CS_OK) {
        err = say_new(a, id, path);
    }
    cs_secret_free(id);
    return err == CS_OK ? 0 : refuse(a, err, path);
}

/* ---- caller public */

/* "Sign,Seal" */
static int read_operations(const cs_args *a, cs_sharefile_caller *c)
{
    const char *text = cs_args_str(a, "operations");

    if (text == NULL) {
        return cs_usage_error(a, "--operations is needed: what the caller may do, e.g. Sign,PublicKey");
    }
    while (*text != '\0') {
        const size_t len = strcspn(text, ",");
        const cs_slice name = cs_slice_of(text, len);
        if (cs_tee_grant_of(name) == 0 || c->num_operations == CS_SHAREFILE_MAX_OPERATIONS) {
            return cs_usage_error(
                a,
                "--operations: %.*s is none of Sign, Decrypt, Seal, Unseal, Generate, Import, PublicKey, "
                "Rotate, Attest, Stats, Approve",
                (int)len, text);
        }
        c->operation[c->num_operations++] = name;
        text += len + (text[len] == ',' ? 1 : 0);
    }
    return 0;
}

static int read_limits(const cs_args *a, cs_sharefile_caller *c)
{
    const bool burst = cs_args_str(a, "burst") != NULL;

    if (burst && cs_args_str(a, "rate") == NULL) {
        return cs_usage_error(a, "--burst needs --rate");
    }
    c->rate = (uint32_t)cs_args_u64(a, "rate");
    c->burst = burst ? (uint32_t)cs_args_u64(a, "burst") : c->rate;
    return 0;
}

static cs_err print_public(const cs_sharefile_caller *c)
{
    cs_buf out = cs_buf_heap(16384);

    cs_err err = cs_sharefile_caller_put(&out, c);
    if (err == CS_OK) {
        printf("%.*s\n", (int)out.len, (const char *)out.p);
    }
    cs_buf_free(&out);
    return err;
}

static int run_public(const cs_args *a)
{
    cs_sharefile_caller c = {.rate = 0};
    cs_tee_identity *id = NULL;
    const char *record;
    int status = read_operations(a, &c);

    if (status == 0) {
        status = read_limits(a, &c);
    }
    if (status != 0) {
        return status;
    }
    while (c.num_records < CS_SHAREFILE_MAX_PATTERNS && (record = cs_args_many(a, "records", c.num_records)) != NULL) {
        c.record[c.num_records++] = cs_slice_str(record);
    }
    cs_err err = cs_tool_arena((size_t)1 << 20);
    if (err == CS_OK) {
        err = cs_tee_identity_read(&id, a->pos[0]);
    }
    if (err != CS_OK) {
        return refuse(a, err, a->pos[0]);
    }
    public_of(&c, id);
    err = print_public(&c);
    cs_secret_free(id);
    return err == CS_OK ? 0 : refuse(a, err, "an operation or record twice, or a record that is none");
}

static const cs_opt new_opts[] = {
    {"id", 0, CS_OPT_STR, "NAME", "name of the caller: 1 to 64 printable characters", NULL, NULL, 0, 0},
    {"output", 'o', CS_OPT_STR, "FILE", "where the identity goes (mode 0600); never replaced", NULL, NULL, 0, 0},
    {"json", 0, CS_OPT_FLAG, NULL, "the public keys as JSON", NULL, NULL, 0, 0},
    {0},
};

static const cs_opt public_opts[] = {
    {"operations", 0, CS_OPT_STR, "LIST", "what it may do, with commas: Sign, Seal, ..., Approve", NULL, NULL, 0, 0},
    {"records", 0, CS_OPT_MANY, "PATTERN", "a record it may use, or a prefix and * (may repeat)", NULL, NULL, 0, 0},
    {"rate", 0, CS_OPT_U64, "N", "requests a second (default: no limit)", NULL, NULL, 1, CS_SHAREFILE_MAX_RATE},
    {"burst", 0, CS_OPT_U64, "N", "requests at once (default: the rate)", NULL, NULL, 1, CS_SHAREFILE_MAX_RATE},
    {"json", 0, CS_OPT_FLAG, NULL, "errors as JSON; the description is JSON always", NULL, NULL, 0, 0},
    {0},
};

const cs_cmd cs_cmds_caller[] = {
    {"caller new", "--id NAME -o FILE", "make the identity of a caller of the TEE service",
     "The identity signs the caller's requests and opens its answers: it stays with the caller. What the publisher of "
     "the share "
     "file\nneeds is printed by `signctl caller public`.\n\n"
     "example: signctl caller new --id payments -o payments.json",
     new_opts, 0, 0, run_new},
    {"caller public", "FILE --operations LIST [--records PATTERN]... [--rate N]",
     "print what the share file says of a caller",
     "Goes to `signctl keygen --caller` or `signctl shares edit --caller`. Holds no secret.\n\n"
     "examples:\n"
     "    signctl caller public payments.json --operations Sign,PublicKey --records 'wallet-*' --rate 100 > "
     "payments.pub.json\n"
     "    signctl caller public officer.json --operations Approve > officer.pub.json",
     public_opts, 1, 1, run_public},
    {0},
};
