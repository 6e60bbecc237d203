/* signctl tee approve: an approver looks at a request and signs it. Nothing is sent. */
#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "base/text.h"
#include "party/tee_body.h"
#include "tools/cmds.h"
#include "tools/json_lines.h"
#include "tools/secret_io.h"
#include "tools/tool_file.h"

#define ARENA ((size_t)4 << 20)
#define OUT_MAX (1u << 20)

/* The field's letter says how it is shown; secrets are not. */
static void put_field(cs_jw *w, const cs_tee_request *r, size_t i)
{
    static const char *const names[CS_TEE_NUM_OPS + 1][CS_TEE_MAX_FIELDS] = {
        [CS_TEE_SIGN] = {"record", "algorithm", "input", "payload"},
        [CS_TEE_DECRYPT] = {"record", "aad", "ciphertext"},
        [CS_TEE_SEAL] = {"record", "version", NULL},
        [CS_TEE_UNSEAL] = {"record", "version"},
        [CS_TEE_GENERATE] = {"record", "algorithm"},
        [CS_TEE_IMPORT] = {"record", "algorithm", NULL},
        [CS_TEE_PUBLIC_KEY] = {"record"},
        [CS_TEE_ROTATE] = {"records", "kms_key", "fresh"},
        [CS_TEE_ATTEST] = {"nonce"},
    };
    const char *name = names[r->row->op][i];
    cs_tee_iter it = cs_tee_iter_of(r->records);
    cs_slice record;

    if (name == NULL) {
        cs_jw_u64(w, "secret_bytes", r->f[i].s.len);
    } else if (strcmp(name, "algorithm") == 0) {
        cs_jw_cstr(w, name, cs_tee_alg_name(r->f[i].u));
    } else if (strcmp(name, "input") == 0) {
        cs_jw_cstr(w, name, r->f[i].u == 0 ? "digest" : "message");
    } else if (r->row->in[i] == 'u') {
        cs_jw_u64(w, name, r->f[i].u);
    } else if (r->row->in[i] == 't') {
        cs_jw_str(w, name, r->f[i].s);
    } else if (r->row->in[i] == 'b') {
        cs_jw_hex(w, name, r->f[i].s);
    } else {
        cs_jw_array(w, name);
        while (cs_tee_records_next(&it, &record)) {
            cs_jw_str(w, NULL, record);
        }
        cs_jw_close_array(w);
    }
}

/* signature NULL: only shown. */
static cs_err print(const cs_args *a, const cs_tee_request *r, const char *approver, const uint8_t *signature64)
{
    cs_buf out = cs_buf_heap(OUT_MAX);
    cs_jw w = cs_jw_begin(&out);
    cs_err err;

    cs_jw_object(&w, NULL);
    if (signature64 != NULL) {
        cs_jw_cstr(&w, "approver", approver);
        cs_jw_hex(&w, "signature", cs_slice_of(signature64, 64));
    }
    cs_jw_cstr(&w, "operation", r->row->name);
    cs_jw_hex(&w, "request_id", cs_slice_of(r->id16, CS_TEE_ID_LEN));
    cs_jw_u64(&w, "time_ms", r->time_ms);
    cs_jw_str(&w, "caller", r->caller);
    for (size_t i = 0; r->row->in[i] != '\0'; i++) {
        put_field(&w, r, i);
    }
    cs_jw_close_object(&w);
    err = cs_jw_end(&w);
    if (err == CS_OK) {
        err = cs_json_print(cs_buf_slice(&out), !cs_args_flag(a, "json"));
    }
    cs_buf_free(&out);
    return err;
}

static cs_err write_approval(const char *path, const char *approver, const uint8_t signature64[64])
{
    char text[512], hex[129];
    cs_tool_file f = {.fd = -1};
    cs_err err;
    int n;

    cs_hex_encode(hex, cs_slice_of(signature64, 64));
    n = snprintf(text, sizeof text, "{\"approver\":\"%s\",\"signature\":\"%s\"}\n", approver, hex);
    err = cs_tool_create(&f, path, false);
    if (err == CS_OK && (err = cs_tool_write(&f, cs_slice_of(text, (size_t)n))) == CS_OK) {
        err = cs_tool_commit(&f, false);
    }
    cs_tool_abandon(&f);
    return err;
}

static cs_err approve(const cs_args *a, cs_buf *body, cs_tee_identity **id, const char **detail)
{
    const char *identity = cs_args_str(a, "identity"), *out = cs_args_str(a, "out");
    uint8_t signature64[64];
    cs_tee_request r;

    CS_TRY(cs_tool_arena(ARENA));
    *detail = a->pos[0];
    CS_TRY(cs_tool_read(body, a->pos[0], CS_TEE_BODY_MAX));
    CS_TRY(cs_tee_request_decode(&r, cs_buf_slice(body)));
    if (cs_args_flag(a, "show")) {
        return print(a, &r, NULL, NULL);
    }
    *detail = "--identity FILE and --out FILE are needed, or --show";
    CS_TRY(identity != NULL && out != NULL ? CS_OK : CS_E_USAGE);
    *detail = "--identity: it must be there, and readable by its owner only (chmod 600)";
    CS_TRY(cs_tee_identity_read(id, identity));
    *detail = "nobody approves his own request";
    CS_TRY(cs_tee_body_approve(signature64, cs_buf_slice(body), *id));
    *detail = out;
    CS_TRY(write_approval(out, (*id)->id, signature64));
    *detail = NULL;
    return print(a, &r, (*id)->id, signature64);
}

static int run_approve(const cs_args *a)
{
    cs_buf body = {0};
    cs_tee_identity *id = NULL;
    const char *detail = NULL;
    cs_err err = approve(a, &body, &id, &detail);

    cs_secret_buf_free(&body);
    cs_secret_free(id);
    if (err == CS_E_USAGE) {
        return cs_usage_error(a, "%s", detail);
    }
    return err == CS_OK ? 0 : cs_refuse(a, err, cs_args_flag(a, "json"), detail);
}

static const cs_opt approve_opts[] = {
    {"identity", 'i', CS_OPT_STR, "FILE", "the approver's identity, from `signctl caller new`", "TEE_CALLER", NULL, 0,
     0},
    {"out", 'o', CS_OPT_STR, "FILE", "write the approval there", NULL, NULL, 0, 0},
    {"show", 0, CS_OPT_FLAG, NULL, "show the request, sign nothing", NULL, NULL, 0, 0},
    {"json", 0, CS_OPT_FLAG, NULL, "result as JSON", NULL, NULL, 0, 0},
    {0}};

const cs_cmd cs_cmds_tee_approve[] = {
    {"tee approve", "BODY (--show | -i FILE -o FILE)", "look at another caller's request, and approve it",
     "BODY is what the caller's command wrote with --body. The approval is good for this very request: its id, its "
     "time "
     "and all its\n"
     "fields; the caller repeats the command with --approval instead of --body, before the time is too old.\n\n"
     "example:\n"
     "    signctl tee sign wallet-7 -a ed25519 --message m.txt -i alice.json --request-id 00..ff --time-ms $(date "
     "+%s000) "
     "--body m.body -g ...\n"
     "    signctl tee approve m.body --show\n"
     "    signctl tee approve m.body -i bob.json -o bob.approval\n"
     "    signctl tee sign wallet-7 ... --request-id 00..ff --time-ms ... --approval bob.approval -g ...",
     approve_opts, 1, 1, run_approve},
    {0},
};
