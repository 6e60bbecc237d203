/* sign-host status: what the host knows, what the enclave says, and its PCRs as attested. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json_out.h"
#include "base/text.h"
#include "host/ask.h"
#include "host/attested.h"
#include "host/cmd_service.h"
#include "host/eif_file.h"
#include "host/run_remote.h"
#include "net/aws/json.h"

#define CALL_MS 5000u
#define TEXT 512

/* All of it; parts that could not be had stay empty, with their error. */
struct view {
    cs_buf host, enclave; /* documents */
    cs_err host_err, enclave_err, attested_err;
    cs_att_result att;
    cs_endpoint grpc;
    char eif[CS_HOST_PATH_MAX];
    enum { IMAGE_UNKNOWN, IMAGE_SAME, IMAGE_OTHER } image;
};

/* ---------------------------------------------------------------- gathering */

static void trim(cs_buf *b)
{
    while (b->len > 0 && b->p[b->len - 1] == '\n') {
        b->len--;
    }
}

/* One member of a document as text; "" when it is not there. Nothing that a terminal would obey. */
static const char *member(const cs_buf *json, const char *key, cs_json_kind kind)
{
    static char out[8][TEXT];
    static unsigned turn;
    char *text = out[turn++ % 8];
    cs_buf b = cs_buf_wrap(text, TEXT - 1);
    cs_json_field f = {.key = key, .kind = kind, .out = &b};

    memset(text, 0, TEXT);
    if (json->len == 0 || cs_json_read(cs_buf_slice(json), &f, 1) != CS_OK) {
        text[0] = '\0';
        return text;
    }
    if (kind != CS_JSON_STRING && f.seen) {
        (void)snprintf(text, TEXT, "%.*s", (int)f.raw.len, (const char *)f.raw.p);
    }
    for (char *c = text; *c != '\0'; c++) {
        *c = (char)(*c < ' ' || *c > '~' ? '?' : *c);
    }
    return text;
}

static const char *str(const cs_buf *json, const char *key)
{
    return member(json, key, CS_JSON_STRING);
}

static const char *num(const cs_buf *json, const char *key)
{
    const char *text = member(json, key, CS_JSON_NUMBER);

    return text[0] != '\0' ? text : "0";
}

static void compare_image(struct view *v)
{
    cs_eif_file eif;

    (void)snprintf(v->eif, sizeof v->eif, "%.511s", str(&v->host, "eif"));
    if (v->attested_err == CS_OK && v->eif[0] != '\0' && cs_eif_file_read(&eif, v->eif) == CS_OK) {
        bool same = true;
        for (int i = 0; i < 3; i++) {
            same = same && memcmp(eif.pcr[i].b, v->att.claims.pcr[i].b, CS_PCR_LEN) == 0;
        }
        v->image = same ? IMAGE_SAME : IMAGE_OTHER;
    }
}

static void gather(struct view *v, const cs_args *a)
{
    const char *dir = cs_host_dir(a);
    cs_slice question = cs_slice_str("{\"op\":\"status\"}");

    v->host_err = cs_host_ask(&v->host, dir, question, CALL_MS);
    trim(&v->host);
    if (v->host_err == CS_OK) {
        v->enclave_err = cs_endpoint_parse(&v->grpc, cs_slice_str(str(&v->host, "enclave_grpc")));
    } else {
        v->host.len = 0;
        v->enclave_err = cs_run_file_read(&v->grpc, NULL, dir); /* a local run has no control socket */
    }
    v->enclave_err = v->enclave_err != CS_OK ? CS_E_NOT_RUNNING : cs_host_status(&v->enclave, NULL, &v->grpc, CALL_MS);
    trim(&v->enclave);
    v->attested_err =
        v->enclave_err != CS_OK ? v->enclave_err : cs_host_attested(&v->att, &v->grpc, cs_args_str(a, "root"), CALL_MS);
    compare_image(v);
}

/* ---------------------------------------------------------------- as JSON */

static cs_err put_attested(cs_buf *out, const struct view *v)
{
    static const char *const names[] = {"PCR0", "PCR1", "PCR2", "PCR3", "PCR4"};
    static const char *const images[] = {"unknown", "same", "other"};
    cs_jw w = cs_jw_begin(out);

    cs_jw_object(&w, NULL);
    cs_jw_bool(&w, "verified", v->attested_err == CS_OK);
    cs_jw_cstr(&w, "code", cs_err_code(v->attested_err));
    if (v->attested_err == CS_OK) {
        cs_jw_cstr(&w, "module_id", v->att.claims.module_id);
        cs_jw_bool(&w, "debug", v->att.debug);
        for (int i = 0; i < 5; i++) {
            cs_jw_hex(&w, names[i], cs_slice_of(v->att.claims.pcr[i].b, CS_PCR_LEN));
        }
        cs_jw_cstr(&w, "image", images[v->image]);
    }
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}

/* The enclave's document with two members more: "host" and "attested". */
static cs_err put_json(cs_buf *out, const struct view *v)
{
    bool enclave = v->enclave_err == CS_OK && v->enclave.len > 2 && v->enclave.p[v->enclave.len - 1] == '}';

    if (enclave) {
        CS_TRY(cs_put(out, v->enclave.p, v->enclave.len - 1));
    } else {
        CS_TRY(cs_put_fmt(out, "{\"phase\":\"UNREACHABLE\",\"code\":\"%s\"", cs_err_code(v->enclave_err)));
    }
    if (v->host.len > 0) {
        CS_TRY(cs_put_str(out, ",\"host\":"));
        CS_TRY(cs_put_slice(out, cs_buf_slice(&v->host)));
    }
    CS_TRY(cs_put_str(out, ",\"attested\":"));
    CS_TRY(put_attested(out, v));
    return cs_put_str(out, "}\n");
}

/* ---------------------------------------------------------------- for people */

static void print_duration(const char *name, const char *ms_text)
{
    uint64_t s = strtoull(ms_text, NULL, 10) / 1000;

    (void)printf("%-12s %" PRIu64 " d %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 "\n", name, s / 86400, s / 3600 % 24,
                 s / 60 % 60, s % 60);
}

static void print_attested(const struct view *v)
{
    static const char *const images[] = {"not compared with a file", "those of the image file",
                                         "NOT those of the image file"};
    char hex[2 * CS_PCR_LEN + 1];

    if (v->attested_err != CS_OK) {
        (void)printf("%-12s not verified: %s: %s; %s\n", "attested", cs_err_code(v->attested_err),
                     cs_err_cause(v->attested_err), cs_err_fix(v->attested_err));
        return;
    }
    for (int i = 0; i < 3; i++) {
        cs_hex_encode(hex, cs_slice_of(v->att.claims.pcr[i].b, CS_PCR_LEN));
        (void)printf("%-8s %d   %s\n", i == 0 ? "PCR" : "", i, hex);
    }
    (void)printf("%-12s %s, nonce fresh; PCRs are %s\n", "attested", v->att.claims.module_id, images[v->image]);
}

static void print_mode(const struct view *v)
{
    bool debug = (v->attested_err == CS_OK && v->att.debug) ||
                 strcmp(member(&v->host, "debug_mode", CS_JSON_BOOL), "true") == 0 ||
                 strcmp(member(&v->enclave, "debug", CS_JSON_BOOL), "true") == 0;
    bool colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;

    if (debug) {
        (void)printf("%s%-12s DEBUG MODE: the parent can read this enclave; use it with test keys only%s\n",
                     colour ? "\033[1;31m" : "", "mode", colour ? "\033[0m" : "");
    }
}

static void print_text(const struct view *v)
{
    const char *phase = v->enclave_err == CS_OK ? str(&v->enclave, "phase") : cs_err_code(v->enclave_err);

    (void)printf("%-12s %s\n", "phase", phase);
    print_mode(v);
    if (v->host.len > 0) {
        (void)printf("%-12s %s, restarts %s, replacements %s, last error %s\n", "sign-host", str(&v->host, "state"),
                     num(&v->host, "restarts"), num(&v->host, "replacements"), str(&v->host, "last_error"));
        (void)printf("%-12s %s, %s, CID %s, %s\n", "enclave", str(&v->host, "enclave_name"),
                     str(&v->host, "enclave_id"), num(&v->host, "cid"), v->eif);
        print_duration("serving for", num(&v->host, "uptime_ms"));
        (void)printf("%-12s %s\n", "credentials",
                     str(&v->host, "credentials_expire")[0] != '\0' ? str(&v->host, "credentials_expire") : "none");
        (void)printf("%-12s grpc %s, draining %s, kms %s, egress %s\n", "connections", num(&v->host, "open_grpc"),
                     num(&v->host, "open_draining"), num(&v->host, "open_kms"), num(&v->host, "open_egress"));
    } else if (v->enclave_err == CS_OK) {
        print_duration("up for", num(&v->enclave, "uptime_ms"));
    }
    if (v->enclave_err == CS_OK) {
        (void)printf("%-12s generation %s, accounts %s\n", "shares", num(&v->enclave, "generation"),
                     num(&v->enclave, "accounts"));
    }
    print_attested(v);
}

int cs_host_cmd_status(const cs_args *a)
{
    static struct view v;
    cs_buf out = cs_buf_heap((size_t)2 << 20);
    bool json = cs_args_flag(a, "json");

    v.host = cs_buf_heap(65536);
    v.enclave = cs_buf_heap((size_t)1 << 20);
    gather(&v, a);
    bool nothing = v.host_err != CS_OK && v.enclave_err == CS_E_NOT_RUNNING;
    if (!nothing && json && put_json(&out, &v) == CS_OK) {
        (void)fwrite(out.p, 1, out.len, stdout);
    } else if (!nothing && !json) {
        print_text(&v);
    }
    cs_buf_free(&out);
    cs_buf_free(&v.host);
    cs_buf_free(&v.enclave);
    if (nothing || v.enclave_err != CS_OK) {
        return cs_refuse(a, v.enclave_err, false, nothing ? cs_host_dir(a) : "no enclave answers");
    }
    return 0;
}

const cs_opt cs_host_status_opts[] = {
    {.name = "dir",
     .letter = 'd',
     .kind = CS_OPT_STR,
     .arg = "DIR",
     .help = "run directory (default /run/sign-host, or sign-host in XDG_RUNTIME_DIR)"},
    {.name = "json", .kind = CS_OPT_FLAG, .help = "the enclave's document with members host and attested"},
    {.name = "root",
     .kind = CS_OPT_STR,
     .arg = "PEM",
     .help = "attestation root (default: AWS Nitro Enclaves root G1)",
     .env = "NSM_ROOT_PEM"},
    {0},
};
const char cs_host_status_text[] =
    "Asks the sign-host that holds DIR and the enclave. PCRs are those of an attestation document, fetched with a "
    "fresh\n"
    "nonce and verified here; nitro-cli is not asked. Exit status 0 when the enclave answers, else 1.\n\n"
    "Example:\n"
    "  sign-host status --json | jq '{phase, pcr0: .attested.PCR0, debug: .attested.debug, expiry: "
    ".host.credentials_expire}'";
