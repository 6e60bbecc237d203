/* signctl attest show, verify: attestation documents of Nitro enclaves. */
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "attest/verify.h"
#include "base/json_out.h"
#include "base/text.h"
#include "tools/cmds.h"
#include "tools/tool_file.h"

#define MAX_OUT 65536
#define MAX_NONCE CS_ATT_MAX_FIELD

/* Both commands print the same members; show has none of the verified ones. */
static void put_field(cs_jw *w, const char *key, const cs_att_bytes *field)
{
    if (field->present) {
        cs_jw_hex(w, key, cs_slice_of(field->b, field->len));
    } else {
        cs_jw_null(w, key);
    }
}

static void put_pcrs(cs_jw *w, const cs_att_claims *c)
{
    char index[4];

    cs_jw_object(w, "pcrs");
    for (unsigned i = 0; i < CS_ATT_NUM_PCRS; i++) {
        if ((c->pcr_mask >> i & 1) != 0) {
            (void)snprintf(index, sizeof index, "%u", i);
            cs_jw_hex(w, index, cs_slice_of(c->pcr[i].b, CS_PCR_LEN));
        }
    }
    cs_jw_close_object(w);
}

static void put_time(cs_jw *w, const char *key, uint64_t ms)
{
    char mem[40];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    if (cs_put_rfc3339(&b, ms) == CS_OK) {
        cs_jw_str(w, key, cs_buf_slice(&b));
    }
}

static void put_claims(cs_jw *w, const cs_att_claims *c)
{
    cs_jw_cstr(w, "module_id", c->module_id);
    cs_jw_u64(w, "timestamp_ms", c->timestamp_ms);
    put_time(w, "timestamp", c->timestamp_ms);
    cs_jw_bool(w, "debug", cs_att_is_debug(c));
    put_pcrs(w, c);
    put_field(w, "public_key", &c->public_key);
    put_field(w, "user_data", &c->user_data);
    put_field(w, "nonce", &c->nonce);
}

/* result NULL: only parsed. */
static cs_err put_json(cs_buf *out, const cs_att_claims *c, const cs_att_result *result)
{
    cs_jw w = cs_jw_begin(out);

    cs_jw_object(&w, NULL);
    cs_jw_bool(&w, "verified", result != NULL);
    put_claims(&w, c);
    if (result != NULL) {
        put_time(&w, "verified_at", result->time_s * 1000);
        put_time(&w, "leaf_not_before", result->leaf_not_before_s * 1000);
        put_time(&w, "leaf_not_after", result->leaf_not_after_s * 1000);
        cs_jw_bool(&w, "instance_matches_pcr4", result->instance_matches_pcr4);
    }
    cs_jw_close_object(&w);
    CS_TRY(cs_jw_end(&w));
    return cs_put_u8(out, '\n');
}

static cs_err text_field(cs_buf *out, const char *name, const cs_att_bytes *field)
{
    CS_TRY(cs_put_fmt(out, "%-12s ", name));
    if (field->present) {
        CS_TRY(cs_put_hex(out, cs_slice_of(field->b, field->len)));
        return cs_put_fmt(out, " (%u bytes)\n", (unsigned)field->len);
    }
    return cs_put_str(out, "none\n");
}

static cs_err text_claims(cs_buf *out, const cs_att_claims *c)
{
    CS_TRY(cs_put_fmt(out, "%-12s %s\n%-12s ", "module", c->module_id, "timestamp"));
    CS_TRY(cs_put_rfc3339(out, c->timestamp_ms));
    CS_TRY(cs_put_fmt(out, "\n%-12s %s\n", "debug mode", cs_att_is_debug(c) ? "YES: PCR0, 1 or 2 is zero" : "no"));
    for (unsigned i = 0; i < CS_ATT_NUM_PCRS; i++) {
        if ((c->pcr_mask >> i & 1) == 0 || cs_pcr_is_zero(&c->pcr[i])) {
            continue;
        }
        CS_TRY(cs_put_fmt(out, "PCR%-9u ", i));
        CS_TRY(cs_put_hex(out, cs_slice_of(c->pcr[i].b, CS_PCR_LEN)));
        CS_TRY(cs_put_u8(out, '\n'));
    }
    CS_TRY(text_field(out, "public key", &c->public_key));
    CS_TRY(text_field(out, "user data", &c->user_data));
    return text_field(out, "nonce", &c->nonce);
}

static cs_err put_text(cs_buf *out, const cs_att_claims *c, const cs_att_result *result)
{
    if (result == NULL) {
        CS_TRY(cs_put_str(out, "NOT VERIFIED: this is only what the document says\n"));
        return text_claims(out, c);
    }
    CS_TRY(cs_put_str(out, "verified at "));
    CS_TRY(cs_put_rfc3339(out, result->time_s * 1000));
    CS_TRY(cs_put_str(out, "; certificate until "));
    CS_TRY(cs_put_rfc3339(out, result->leaf_not_after_s * 1000));
    CS_TRY(cs_put_u8(out, '\n'));
    CS_TRY(text_claims(out, c));
    return result->instance_matches_pcr4 ? CS_OK
                                         : cs_put_str(out, "note: PCR4 is not that of the instance in the module id\n");
}

static int print(const cs_args *a, const cs_att_claims *c, const cs_att_result *result)
{
    cs_buf out = cs_buf_heap(MAX_OUT);
    bool json = cs_args_flag(a, "json");
    cs_err err = json ? put_json(&out, c, result) : put_text(&out, c, result);

    if (err == CS_OK && (fwrite(out.p, 1, out.len, stdout) != out.len || fflush(stdout) != 0)) {
        err = CS_E_IO;
    }
    cs_buf_free(&out);
    return err == CS_OK ? 0 : cs_refuse(a, err, json, NULL);
}

static cs_err read_document(cs_buf *out, const cs_args *a)
{
    cs_err err = cs_tfile_read(out, a->pos[0]);

    return err == CS_E_TOO_LARGE ? CS_E_ATT_FORMAT : err;
}

static int run_show(const cs_args *a)
{
    cs_buf bytes = cs_buf_heap(CS_ATT_MAX_DOC);
    static cs_att_doc doc;
    cs_err err = read_document(&bytes, a);
    int status;

    if (err == CS_OK) {
        err = cs_att_doc_parse(&doc, cs_buf_slice(&bytes));
    }
    status = err == CS_OK ? print(a, &doc.claims, NULL) : cs_refuse(a, err, cs_args_flag(a, "json"), a->pos[0]);
    cs_buf_free(&bytes);
    return status;
}

/* What the options of verify say. */
typedef struct request {
    cs_att_options options;
    cs_att_policy policy;
    cs_slice nonce;
    uint8_t nonce_mem[MAX_NONCE];
    unsigned char *root_der; /* freed with OPENSSL_free */
} request;

/* Returns NULL, or what is wrong with the command line. */
static const char *read_time(request *q, const char *text)
{
    uint64_t ms = 0;

    if (strcmp(text, "now") == 0) {
        q->options.time = CS_ATT_TIME_NOW;
    } else if (strcmp(text, "document") == 0) {
        q->options.time = CS_ATT_TIME_DOCUMENT;
    } else if (cs_parse_rfc3339(cs_slice_str(text), &ms) == CS_OK) {
        q->options.time = CS_ATT_TIME_FIXED;
        q->options.fixed_s = ms / 1000;
    } else {
        return "--time is now, document or a time such as 2026-01-02T03:04:05Z";
    }
    return NULL;
}

static const char *read_nonce(request *q, const char *hex)
{
    size_t len = strlen(hex) / 2;

    if (strlen(hex) % 2 != 0 || len > MAX_NONCE || cs_hex_decode(q->nonce_mem, len, cs_slice_str(hex)) != CS_OK) {
        return "--nonce takes up to 1024 bytes in hex";
    }
    q->nonce = cs_slice_of(q->nonce_mem, len);
    q->options.nonce = &q->nonce;
    return NULL;
}

static const char *read_pcrs(request *q, const cs_args *a)
{
    cs_att_tuple tuple = {0};

    for (size_t i = 0; i < a->num_many; i++) {
        switch (cs_att_tuple_set_text(&tuple, cs_slice_str(a->many[i]))) {
        case CS_OK:
            break;
        case CS_E_EXISTS:
            return "--pcr names a register twice";
        case CS_E_RANGE:
            return "--pcr takes registers 0 to 31 and no value of zeros only (those name debug enclaves)";
        default:
            return "--pcr is N=HEX with 96 hex digits";
        }
    }
    if (tuple.mask != 0) {
        q->options.policy = &q->policy;
        return cs_att_policy_add(&q->policy, &tuple) == CS_OK ? NULL : "too many --pcr";
    }
    return NULL;
}

static const char *read_options(request *q, const cs_args *a)
{
    const char *nonce = cs_args_str(a, "nonce"), *wrong = read_time(q, cs_args_str(a, "time"));

    if (wrong == NULL && nonce != NULL) {
        wrong = read_nonce(q, nonce);
    }
    if (wrong == NULL) {
        wrong = read_pcrs(q, a);
    }
    q->options.any_pcrs = cs_args_flag(a, "any-pcrs");
    q->options.allow_debug = cs_args_flag(a, "allow-debug");
    if (wrong == NULL && q->options.any_pcrs && q->options.policy != NULL) {
        wrong = "--pcr and --any-pcrs exclude each other";
    }
    return wrong;
}

static cs_err read_root(request *q, const char *path)
{
    cs_buf pem = cs_buf_heap(CS_ATT_MAX_DOC);
    cs_err err = cs_tfile_read(&pem, path);
    BIO *in = err == CS_OK ? BIO_new_mem_buf(pem.p, (int)pem.len) : NULL;
    X509 *cert = in != NULL ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    int len = cert != NULL ? i2d_X509(cert, &q->root_der) : 0;

    if (err == CS_OK && len <= 0) {
        err = CS_E_FORMAT;
    }
    q->options.root_der = cs_slice_of(q->root_der, len > 0 ? (size_t)len : 0);
    X509_free(cert);
    BIO_free(in);
    cs_buf_free(&pem);
    return err;
}

static int verify(request *q, const cs_args *a)
{
    const char *root = cs_args_str(a, "root"), *detail = root;
    cs_buf bytes = cs_buf_heap(CS_ATT_MAX_DOC);
    static cs_att_result result;
    cs_err err = root != NULL ? read_root(q, root) : CS_OK;
    int status;

    if (err == CS_OK) {
        detail = a->pos[0];
        err = read_document(&bytes, a);
    }
    if (err == CS_OK) {
        err = cs_att_verify(&result, cs_buf_slice(&bytes), &q->options);
    }
    status = err == CS_OK ? print(a, &result.claims, &result) : cs_refuse(a, err, cs_args_flag(a, "json"), detail);
    cs_buf_free(&bytes);
    return status;
}

static int run_verify(const cs_args *a)
{
    static request q;
    const char *wrong = read_options(&q, a);
    int status;

    if (wrong != NULL) {
        return cs_usage_error(a, "%s", wrong);
    }
    status = verify(&q, a);
    OPENSSL_free(q.root_der);
    return status;
}

static const cs_opt show_opts[] = {{"json", 0, CS_OPT_FLAG, NULL, "print one JSON object", NULL, NULL, 0, 0}, {0}};

static const cs_opt verify_opts[] = {
    {"root", 0, CS_OPT_STR, "PEM", "trust this root instead of the AWS Nitro Enclaves root G1", NULL, NULL, 0, 0},
    {"time", 0, CS_OPT_STR, "TIME", "now, document (its own time) or RFC 3339", NULL, "now", 0, 0},
    {"pcr", 0, CS_OPT_MANY, "N=HEX", "require this value; repeat for more, all must match", NULL, NULL, 0, 0},
    {"any-pcrs", 0, CS_OPT_FLAG, NULL, "accept any image", NULL, NULL, 0, 0},
    {"nonce", 0, CS_OPT_STR, "HEX", "require this nonce", NULL, NULL, 0, 0},
    {"allow-debug", 0, CS_OPT_FLAG, NULL, "accept an enclave in debug mode", NULL, NULL, 0, 0},
    {"json", 0, CS_OPT_FLAG, NULL, "print one JSON object", NULL, NULL, 0, 0},
    {0}};

const cs_cmd cs_cmds_attest[] = {
    {"attest show", "[--json] FILE", "print what an attestation document says",
     "FILE holds the raw bytes, \"-\" is standard input. Nothing is verified.", show_opts, 1, 1, run_show},
    {"attest verify", "(--pcr N=HEX ... | --any-pcrs) [options] FILE", "verify an attestation document",
     "FILE holds the raw bytes, \"-\" is standard input. Verifies the certificate chain to the root, the signature, "
     "the time, the "
     "nonce and the PCRs. Exit status 0: verified; 1: refused, with the reason; 2: usage. With --time now and no "
     "--nonce the "
     "document must not be older than five minutes.\n\nexample:\n    signctl attest verify --time document --pcr 0=HEX "
     "document.bin",
     verify_opts, 1, 1, run_verify},
    {0},
};
