#include "tools/tee_open.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "rpc/tee_rpc.h"
#include "tools/release.h"
#include "tools/secret_io.h"

#define ARENA ((size_t)16 << 20)
#define PEM_MAX 65536u
#define TOKEN_MAX 8192u
#define ALLOWED_MAX 4096u
#define APPROVAL_MAX 4096u

/* ---------------------------------------------------------------- files */

/* A text file as a C string; NULL when the option is not given. */
static cs_err read_text(cs_tee_open *o, cs_buf *out, const char **out_text, const char *path, bool secret)
{
    if (path == NULL) {
        return CS_OK;
    }
    o->detail = path;
    if (secret) {
        CS_TRY(cs_secret_buf(out, PEM_MAX));
    } else {
        *out = cs_buf_heap(PEM_MAX);
    }
    CS_TRY(cs_tfile_read(out, path));
    CS_TRY(cs_put_u8(out, '\0'));
    *out_text = (const char *)out->p;
    o->detail = NULL;
    return CS_OK;
}

static cs_err read_token(cs_tee_open *o)
{
    const char *path = cs_args_str(o->args, "token-file");
    size_t len = 0;

    CS_TRY(read_text(o, &o->token, &o->options.token, path, true));
    if (path != NULL) {
        while (len < o->token.len && o->token.p[len] != '\n' && o->token.p[len] != '\r') {
            len++;
        }
        o->token.p[len < o->token.len ? len : o->token.len - 1] = '\0';
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- images */

/* A tuple in the text form that the client takes. */
static cs_err add_allowed(cs_tee_open *o, const cs_release *r)
{
    cs_buf text = cs_buf_heap(ALLOWED_MAX);
    cs_err err = CS_OK;

    for (unsigned n = 0; n < CS_RELEASE_PCRS && err == CS_OK; n++) {
        if ((r->mask >> n & 1) != 0) {
            err = cs_put_fmt(&text, "%sPCR%u=", text.len > 0 ? ":" : "", n);
            err = err == CS_OK ? cs_put_hex(&text, cs_slice_of(r->pcr[n].b, CS_PCR_LEN)) : err;
        }
    }
    if (err == CS_OK && (err = cs_put_u8(&text, '\0')) == CS_OK) {
        o->allowed[o->options.num_allowed++] = (char *)text.p; /* transferred: cs_tee_close */
    } else {
        cs_buf_free(&text);
    }
    return err;
}

/* --pcr and --allowed, else PCR0..2 of --env, else ATTESTATION_PCRS. */
static cs_err read_images(cs_tee_open *o)
{
    const cs_args *a = o->args;
    cs_release r = {0};

    for (size_t i = 0; i < a->num_many; i++) {
        const char *name = a->cmd->opts[a->many_opt[i]].name;
        o->detail = a->many[i];
        if (strcmp(name, "pcr") == 0) {
            o->pcrs[o->options.num_pcrs++] = a->many[i];
        } else if (strcmp(name, "allowed") == 0) {
            CS_TRY(cs_release_read(&r, a->many[i]));
            CS_TRY(add_allowed(o, &r));
        }
    }
    r = (cs_release){0};
    for (unsigned n = 0; n < 3 && o->options.num_pcrs + o->options.num_allowed == 0; n++) {
        const char key[] = {'P', 'C', 'R', (char)('0' + n), '\0'};
        const char *hex = cs_party_value(&o->env, NULL, key);
        o->detail = "PCR0, PCR1 or PCR2 of --env";
        if (hex != NULL) {
            CS_TRY(cs_hex_decode(r.pcr[n].b, CS_PCR_LEN, cs_slice_str(hex)));
            r.mask |= 1u << n;
        }
    }
    if (r.mask != 0) {
        CS_TRY(add_allowed(o, &r));
    }
    o->detail = NULL;
    o->options.pcrs = o->pcrs;
    o->options.allowed = (const char *const *)o->allowed;
    o->options.any_pcrs = cs_args_flag(a, "any-pcrs");
    o->options.allow_debug = cs_args_flag(a, "allow-debug");
    return read_text(o, &o->root, &o->options.root_pem, cs_party_value(&o->env, "root", "NSM_ROOT_PEM"), false);
}

cs_err cs_tee_open_images(cs_tee_open *o, const cs_args *a)
{
    const char *file = cs_args_str(a, "env");

    o->args = a;
    o->env.args = a;
    o->env.env = cs_buf_heap(PEM_MAX);
    if (file != NULL) {
        o->detail = file;
        CS_TRY(cs_tfile_read(&o->env.env, file));
    }
    return read_images(o);
}

/* ---------------------------------------------------------------- how a call is made */

static cs_err read_approval(cs_tee_open *o, const char *path)
{
    const size_t n = o->call.num_approvals;
    cs_buf text = cs_buf_heap(APPROVAL_MAX);
    json_t *doc = NULL;
    const char *who = NULL, *signature = NULL;
    cs_err err = n == COUNTERSIGN_TEE_APPROVALS_MAX ? CS_E_RANGE : cs_tfile_read(&text, path);

    o->detail = path;
    if (err == CS_OK) {
        doc = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
        who = json_string_value(json_object_get(doc, "approver"));
        signature = json_string_value(json_object_get(doc, "signature"));
        err = who == NULL || signature == NULL || strlen(who) >= sizeof o->approvers[0] ? CS_E_FORMAT : CS_OK;
    }
    if (err == CS_OK) {
        (void)snprintf(o->approvers[n], sizeof o->approvers[n], "%s", who);
        o->approvals[n].approver = o->approvers[n];
        err = cs_hex_decode(o->approvals[n].signature, sizeof o->approvals[n].signature, cs_slice_str(signature));
    }
    if (err == CS_OK) {
        o->call.num_approvals++;
        o->detail = NULL;
    }
    json_decref(doc);
    cs_buf_free(&text);
    return err;
}

static cs_err read_call(cs_tee_open *o)
{
    const cs_args *a = o->args;
    const char *id = cs_args_str(a, "request-id");

    if (id != NULL) {
        o->detail = "--request-id takes 32 hex digits";
        CS_TRY(cs_hex_decode(o->request_id, sizeof o->request_id, cs_slice_str(id)));
        o->call.request_id = o->request_id;
    }
    o->call.time_ms = cs_args_u64(a, "time-ms");
    o->call.approvals = o->approvals;
    for (size_t i = 0; i < a->num_many; i++) {
        if (strcmp(a->cmd->opts[a->many_opt[i]].name, "approval") == 0) {
            CS_TRY(read_approval(o, a->many[i]));
        }
    }
    if (cs_args_str(a, "body") != NULL) {
        o->detail = "--body needs --request-id and --time-ms";
        CS_TRY(id != NULL && o->call.time_ms != 0 ? CS_OK : CS_E_USAGE);
        CS_TRY(cs_secret_buf(&o->body, COUNTERSIGN_TEE_BODY_MAX));
        o->call.body = o->body.p;
        o->call.body_cap = o->body.cap;
        o->call.body_len = &o->body_len;
    }
    o->detail = NULL;
    return CS_OK;
}

/* ---------------------------------------------------------------- the audit file */

static void on_audit(void *cookie, const countersign_tee_audit *audit)
{
    cs_tee_open *o = cookie;
    cs_buf line = cs_buf_heap(8192);
    cs_jw w = cs_jw_begin(&line);

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "kind", "entry");
    cs_jw_b64(&w, "entry", cs_slice_of(audit->entry, audit->entry_len));
    cs_jw_b64(&w, "signature", cs_slice_of(audit->entry_signature, sizeof audit->entry_signature));
    cs_jw_close_object(&w);
    if (cs_jw_end(&w) != CS_OK || fprintf(o->audit_file, "%.*s\n", (int)line.len, (const char *)line.p) < 0 ||
        fflush(o->audit_file) != 0) {
        fprintf(stderr, "warning: the audit entry could not be written\n");
    }
    cs_buf_free(&line);
}

static cs_err open_audit(cs_tee_open *o)
{
    const char *path = cs_args_str(o->args, "audit");

    if (path == NULL) {
        return CS_OK;
    }
    o->detail = path;
    o->audit_file = fopen(path, "ae");
    if (o->audit_file == NULL) {
        return CS_E_IO;
    }
    o->options.on_audit = on_audit;
    o->options.audit_cookie = o;
    o->detail = NULL;
    return CS_OK;
}

/* ---------------------------------------------------------------- */

static cs_err read_all(cs_tee_open *o, char gateway[CS_EP_TEXT_MAX], bool needs_caller)
{
    const cs_args *a = o->args;
    cs_buf text = cs_buf_wrap(gateway, CS_EP_TEXT_MAX - 1);

    o->env.path = CS_PARTY_TEE;
    cs_err err = cs_party_env(&o->env, a);
    o->detail = o->env.detail;
    CS_TRY(err);
    CS_TRY(cs_endpoint_format(&text, &o->env.service));
    CS_TRY(cs_tool_arena(ARENA));
    CS_TRY(read_images(o));
    CS_TRY(read_text(o, &o->ca, &o->options.ca_pem, cs_party_value(&o->env, "ca", "TEE_CA"), false));
    CS_TRY(read_text(o, &o->cert, &o->options.cert_pem, cs_args_str(a, "cert"), false));
    CS_TRY(read_text(o, &o->key, &o->options.key_pem, cs_args_str(a, "key"), true));
    CS_TRY(read_token(o));
    CS_TRY(open_audit(o));
    if (needs_caller) {
        o->options.identity_file = cs_party_value(&o->env, "identity", "TEE_CALLER");
        o->detail = "--identity FILE is needed";
        CS_TRY(o->options.identity_file != NULL ? CS_OK : CS_E_USAGE);
        o->options.seal_all = cs_args_flag(a, "seal-all");
        CS_TRY(read_call(o));
    }
    return CS_OK;
}

cs_err cs_tee_open_all(cs_tee_open *o, const cs_args *a, bool needs_caller)
{
    char gateway[CS_EP_TEXT_MAX] = {0};
    countersign_error e;

    o->args = a;
    CS_TRY(read_all(o, gateway, needs_caller));
    o->call.audit = &o->audit;
    o->call.traceparent = cs_args_str(a, "traceparent");
    o->options.gateway = gateway;
    o->options.server_name = cs_args_str(a, "server-name");
    o->options.timeout_ms = (uint32_t)cs_args_u64(a, "timeout-ms");
    o->options.attempt_ms = o->options.timeout_ms < 6000 ? o->options.timeout_ms : 0;
    o->options.retries = cs_args_u64(a, "retries") == 0 ? UINT32_MAX : (uint32_t)cs_args_u64(a, "retries");
    o->options.connections = 1;
    if (countersign_tee_open(&o->tee, &o->options, &e) != 0) {
        cs_err err = cs_err_from_code(e.code);
        o->detail = err == CS_E_IO       ? "--identity: it must be there, and readable by its owner only (chmod 600)"
                    : err == CS_E_FORMAT ? "--identity, or a PEM file"
                                         : NULL;
        return err;
    }
    o->detail = NULL;
    return CS_OK;
}

void cs_tee_close(cs_tee_open *o)
{
    countersign_tee_close(o->tee);
    cs_buf_free(&o->root);
    cs_buf_free(&o->ca);
    cs_buf_free(&o->cert);
    cs_secret_buf_free(&o->key);
    cs_secret_buf_free(&o->token);
    cs_secret_buf_free(&o->body);
    for (size_t i = 0; i < o->options.num_allowed; i++) {
        free(o->allowed[i]);
    }
    if (o->audit_file != NULL) {
        (void)fclose(o->audit_file);
    }
    cs_party_stop(&o->env);
    memset(o, 0, sizeof *o);
}

cs_err cs_tee_failed(cs_tee_open *o)
{
    cs_err err = cs_err_from_code(o->error.code);

    return err != CS_OK ? err : CS_E_INTERNAL;
}

void cs_tee_put_audit(cs_jw *w, const cs_tee_open *o)
{
    const countersign_tee_audit *a = &o->audit;

    cs_jw_hex(w, "request_id", cs_slice_of(a->request_id, sizeof a->request_id));
    cs_jw_u64(w, "time_ms", a->time_ms);
    cs_jw_u64(w, "attempts", a->attempts);
    cs_jw_hex(w, "trace_id", cs_slice_of(a->trace_id, sizeof a->trace_id));
    if (a->audited) {
        cs_jw_hex(w, "boot", cs_slice_of(a->boot, sizeof a->boot));
        cs_jw_u64(w, "counter", a->counter);
        cs_jw_hex(w, "head", cs_slice_of(a->head, sizeof a->head));
    }
}

bool cs_tee_only_body(cs_tee_open *o, cs_err *err)
{
    const char *path;
    cs_tool_file f = {.fd = -1};

    if (o->call.body == NULL) {
        return false;
    }
    path = cs_args_str(o->args, "body");
    o->detail = path;
    *err = cs_tool_create(&f, path, true); /* mode 0600: a body may hold secrets */
    if (*err == CS_OK && (*err = cs_tool_write(&f, cs_slice_of(o->body.p, o->body_len))) == CS_OK) {
        *err = cs_tool_commit(&f, true);
    }
    cs_tool_abandon(&f);
    return true;
}

int cs_tee_end(cs_tee_open *o, cs_err err)
{
    const cs_args *a = o->args;
    char detail[512] = "";
    int status = 0;

    if (o->detail != NULL) {
        (void)snprintf(detail, sizeof detail, "%s", o->detail);
    }
    if (err == CS_E_USAGE) {
        status = cs_usage_error(a, "%s", detail[0] != '\0' ? detail : "these options do not fit together");
    } else if (err != CS_OK) {
        status = cs_refuse(a, err, cs_args_flag(a, "json"), detail[0] != '\0' ? detail : NULL);
    }
    cs_tee_close(o);
    return status;
}
