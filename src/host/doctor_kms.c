/*
 * KMS: can it be reached with the image's roots, does it refuse to decrypt without attestation, and does its key policy name this image.
 * The negative test asks with DryRun: KMS then decides and decrypts nothing; an endpoint that ignores it and answers with a plaintext is a
 * failure too, and its answer is wiped unread. See doctor.h.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/text.h"
#include "codec/cbor.h"
#include "host/allowlist.h"
#include "host/doctor.h"
#include "host/doctor_policy.h"
#include "net/aws/curl.h"
#include "net/aws/json.h"
#include "net/aws/kms.h"
#include "net/aws/sigv4.h"

#define STEP_MS 3000u
#define KMS_BODY_MAX (2 * CS_DOCTOR_FILE_MAX)

/* ---------------------------------------------------------------- one request */

typedef struct kms_call {
    const char *path, *target; /* target NULL: GET, not signed */
    cs_slice body;
    cs_buf reply;
    int status;
} kms_call;

static cs_err auth_headers(char (*h)[4600], const cs_doctor *d, const kms_call *c)
{
    char hash[65];
    cs_buf authorization = cs_buf_heap(4096);
    cs_sigv4_result res = {.out = &authorization};
    cs_sigv4_signer signer = {.access_key_id = cs_slice_str(d->creds.access_key_id),
                              .secret_key = cs_slice_str(d->creds.secret_key),
                              .token = cs_slice_str(d->creds.token),
                              .region = cs_slice_str(d->kms_region),
                              .service = cs_slice_str("kms"),
                              .time_ms = cs_clock_wall_ms(),
                              .flags = CS_SIGV4_NORMALIZE};
    cs_sigv4_header sent[] = {{cs_slice_str("Host"), cs_slice_str(d->kms_host)},
                              {cs_slice_str("Content-Type"), cs_slice_str("application/x-amz-json-1.1")},
                              {cs_slice_str("X-Amz-Target"), cs_slice_str(c->target)}};
    CS_TRY(cs_sigv4_hash(hash, c->body));
    cs_sigv4_request r = {cs_slice_str("POST"), cs_slice_str("/"), CS_SLICE_NULL, sent, 3, cs_slice_str(hash)};
    cs_err err = cs_sigv4_sign(&res, &r, &signer);

    (void)snprintf(h[0], sizeof h[0], "Host: %s", d->kms_host);
    (void)snprintf(h[1], sizeof h[1], "Content-Type: application/x-amz-json-1.1");
    (void)snprintf(h[2], sizeof h[2], "X-Amz-Target: %s", c->target);
    (void)snprintf(h[3], sizeof h[3], "X-Amz-Date: %s", res.time);
    (void)snprintf(h[4], sizeof h[4], "X-Amz-Security-Token: %s", d->creds.token);
    (void)snprintf(h[5], sizeof h[5], "Authorization: %.*s", (int)authorization.len, (const char *)authorization.p);
    cs_buf_free(&authorization);
    return err;
}

/* CS_OK for any status; what curl says else. The reply is appended to c->reply, which the caller wipes. */
static cs_err run_call(kms_call *c, cs_doctor *d)
{
    char url[320], to[320], h[6][4600];
    cs_curl_reply r = {.body = &c->reply, .on_header = cs_doctor_aws_date, .cookie = &d->skew_ms[1]};
    uint32_t ms = cs_doctor_aws_left(d, STEP_MS);
    bool v6 = strchr(d->kms.host, ':') != NULL;
    cs_curl_request q = {.method = c->target != NULL ? "POST" : "GET",
                         .url = url,
                         .body = c->body,
                         .connect_ms = ms,
                         .timeout_ms = ms,
                         .max_bytes = KMS_BODY_MAX,
                         .ca_file = d->ca_file,
                         .roots_pem = cs_doctor_image_roots_pem(&d->img)};
    cs_err err = CS_OK;

    if (d->kms.scheme == CS_EP_UNIX) {
        q.unix_path = d->kms.host;
    } else {
        (void)snprintf(to, sizeof to, "::%s%s%s:%u", v6 ? "[" : "", d->kms.host, v6 ? "]" : "", (unsigned)d->kms.port);
        q.connect_to = to;
    }
    (void)snprintf(url, sizeof url, "https://%s%s", d->kms_host, c->path);
    if (c->target != NULL) {
        err = auth_headers(h, d, c);
        for (size_t i = 0; i < 6; i++) {
            q.headers[i] = h[i];
        }
    }
    if (err == CS_OK) {
        err = cs_curl_run(&r, &q);
    }
    c->status = r.status;
    explicit_bzero(h, sizeof h);
    return err;
}

/* KMS's own name of the refusal in *type. */
static cs_err refusal(char type[65], const kms_call *c)
{
    cs_kms_answer *a = NULL;
    static cs_kms_answer mem; /* 14 KiB of what is no secret: only the type is read */
    cs_kms_reply reply = {.status = c->status, .body = cs_buf_slice(&c->reply)};

    a = &mem;
    cs_err err = cs_kms_parse_answer(a, &reply, CS_KMS_ACT_DECRYPT, CS_SLICE_NULL);
    memcpy(type, a->type, sizeof a->type);
    return err;
}

/* ---------------------------------------------------------------- reachability */

void cs_doctor_kms_reach(cs_doctor *d, cs_doctor_line *l)
{
    kms_call c = {.path = "/ping", .reply = cs_buf_heap(KMS_BODY_MAX)};
    bool image = cs_doctor_image_roots_pem(&d->img).len > 0;
    char at[CS_EP_TEXT_MAX];
    cs_buf where = cs_buf_wrap(at, sizeof at - 1);

    if (cs_endpoint_format(&where, &d->kms) != CS_OK) {
        where.len = 0;
    }
    at[where.len] = '\0';
    cs_err err = run_call(&c, d);
    cs_buf_free(&c.reply);
    const char *roots = image                ? "the image's roots"
                        : d->ca_file != NULL ? "the roots of AWS_CA_BUNDLE"
                                             : "the system's roots";
    if (err != CS_OK) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, err, "%.100s at %.100s: %s%s%s", d->kms_host, at, cs_err_code(err),
                             err == CS_E_TLS ? ", checked with " : "", err == CS_E_TLS ? roots : "");
        return;
    }
    cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "TLS to %.100s at %.100s, checked with %s", d->kms_host, at, roots);
}

/* ---------------------------------------------------------------- the negative test */

/* The measured encryption context, as sign-kms would send it. */
static cs_err put_context(cs_jw *w, const cs_doctor_image *i)
{
    cs_slice value = cs_doctor_image_value(i, "kms", "encryptionContext"), key, text;
    cs_cbor c = cs_cbor_of(value, CS_CBOR_STRICT);
    cs_cbor_iter it;
    char name[257];

    if (value.p == NULL) {
        return CS_OK;
    }
    CS_TRY(cs_cbor_map(&c, &it));
    if (!cs_cbor_more(&c, &it)) {
        return CS_OK;
    }
    cs_jw_object(w, "EncryptionContext");
    do {
        CS_TRY(cs_cbor_text(&c, &key));
        CS_TRY(cs_cbor_text(&c, &text));
        if (key.len >= sizeof name || memchr(key.p, 0, key.len) != NULL) {
            return CS_E_RANGE;
        }
        memcpy(name, key.p, key.len);
        name[key.len] = '\0';
        cs_jw_str(w, name, text);
    } while (cs_cbor_more(&c, &it));
    cs_jw_close_object(w);
    return CS_OK;
}

static cs_err put_decrypt(cs_buf *out, const cs_doctor *d)
{
    cs_buf blob = cs_buf_heap(2 * CS_KMS_MAX_BLOB);
    cs_jw w = cs_jw_begin(out);
    cs_err err =
        d->age_key.len > CS_KMS_MAX_BLOB ? CS_E_TOO_LARGE : cs_b64_put(&blob, cs_buf_slice(&d->age_key), CS_B64_STD);

    cs_jw_object(&w, NULL);
    cs_jw_str(&w, "CiphertextBlob", cs_buf_slice(&blob));
    if (err == CS_OK) {
        err = put_context(&w, &d->img);
    }
    cs_jw_bool(&w, "DryRun", true); /* decide, do not decrypt */
    cs_jw_close_object(&w);
    cs_buf_free(&blob);
    return err != CS_OK ? err : cs_jw_end(&w);
}

static void judge(cs_doctor_line *l, const kms_call *c)
{
    char type[65];
    cs_err err = refusal(type, c);

    if (c->status == 200 || strcmp(type, "DryRunOperationException") == 0) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_KMS_OPEN,
                             "KMS would decrypt the age identity for this host, without any enclave%s",
                             c->status == 200 ? " (it did, though asked for a dry run)" : "");
    } else if (err == CS_E_KMS_DENIED) {
        cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "Decrypt of the age identity without attestation is denied");
    } else {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, err, "Decrypt without attestation was not decided: %s (HTTP %d)",
                             type[0] != '\0' ? type : "no answer of KMS", c->status);
    }
}

void cs_doctor_kms_negative(cs_doctor *d, cs_doctor_line *l)
{
    cs_buf body = cs_buf_heap(CS_KMS_MAX_REQUEST);
    kms_call c = {.path = "/", .target = "TrentService.Decrypt", .reply = cs_buf_heap(KMS_BODY_MAX)};

    if (d->age_key.len == 0 || !d->have_creds) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "no age identity's ciphertext, or no credentials");
        return;
    }
    cs_err err = put_decrypt(&body, d);
    if (err == CS_OK) {
        c.body = cs_buf_slice(&body);
        err = run_call(&c, d);
    }
    if (err != CS_OK) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, err, "Decrypt without attestation could not be asked: %s",
                             cs_err_code(err));
    } else {
        judge(l, &c);
    }
    cs_buf_free(&c.reply); /* wipes */
    cs_buf_free(&body);
}

/* ---------------------------------------------------------------- the key policy */

/* The policy's text from GetKeyPolicy or from --policy; false: l says why there is none. */
static bool policy_text(cs_buf *out, cs_doctor *d, cs_doctor_line *l)
{
    char type[65];
    cs_buf body = cs_buf_heap(CS_DOCTOR_FILE_MAX);
    kms_call c = {.path = "/", .target = "TrentService.GetKeyPolicy", .reply = cs_buf_heap(KMS_BODY_MAX)};
    cs_json_field f = {.key = "Policy", .kind = CS_JSON_STRING, .out = out, .required = true};

    if (d->policy_file != NULL) {
        cs_err err = cs_doctor_host_file(out, "", d->policy_file, CS_DOCTOR_POLICY_MAX);
        if (err != CS_OK) {
            cs_doctor_report_say(l, CS_DOCTOR_FAIL, err, "%.200s", d->policy_file);
        }
        return err == CS_OK;
    }
    if (d->key_arn == NULL || !d->have_creds) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "%s",
                             d->key_arn == NULL ? "no key ARN: neither image nor --key-arn" : "no credentials");
        return false;
    }
    cs_jw w = cs_jw_begin(&body);
    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "KeyId", d->key_arn);
    cs_jw_cstr(&w, "PolicyName", "default");
    cs_jw_close_object(&w);
    cs_err err = cs_jw_end(&w);
    if (err == CS_OK) {
        c.body = cs_buf_slice(&body);
        err = run_call(&c, d);
    }
    if (err == CS_OK && c.status != 200) {
        err = refusal(type, &c);
    } else if (err == CS_OK) {
        err = cs_json_read(cs_buf_slice(&c.reply), &f, 1) == CS_OK ? CS_OK : CS_E_KMS_ANSWER;
    }
    cs_buf_free(&c.reply);
    cs_buf_free(&body);
    if (err == CS_E_KMS_DENIED) {
        cs_doctor_report_say(
            l, CS_DOCTOR_SKIP, CS_OK,
            "the role may not read the key policy (kms:GetKeyPolicy); give it as a file: --policy FILE");
    } else if (err != CS_OK) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, err, "GetKeyPolicy: %s", cs_err_code(err));
    }
    return err == CS_OK;
}

static void compare(cs_doctor *d, cs_doctor_line *l, const cs_doctor_policy *p)
{
    cs_doctor_pcrs image = {.known = d->img.is_signed ? 0x107u : 7u};
    cs_doctor_match m;
    char why[CS_DOCTOR_TEXT - 80];

    memcpy(image.pcr, d->img.pcr, sizeof d->img.pcr);
    image.pcr[8] = d->img.pcr8;
    cs_doctor_policy_match(&m, p, &image);
    if (m.nearest == 0) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_PCR_MISMATCH,
                             "no statement of the key policy allows an attested image");
    } else if (m.allowed_by == 0) {
        cs_doctor_image_explain(why, sizeof why, m.named, m.differ);
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_PCR_MISMATCH, "statement %u of the key policy: %s%s", m.nearest,
                             why, (m.differ & 0x100) != 0 ? "; PCR8: signed with another certificate" : "");
    } else if (m.denied_by != 0) {
        cs_doctor_report_say(
            l, CS_DOCTOR_FAIL, CS_E_PCR_MISMATCH,
            "statement %u of the key policy allows this image, but the Deny of statement %u does not except it",
            m.allowed_by, m.denied_by);
    } else if (m.zero != 0) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_ATT_DEBUG,
                             "statement %u of the key policy allows debug enclaves (zeros)", m.zero);
    } else {
        cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "statement %u of the key policy names this image (%s%s%s)",
                             m.allowed_by, (m.named & 1) != 0 ? "PCR0" : "not PCR0", (m.named & 2) != 0 ? ", PCR1" : "",
                             (m.named & 4) != 0 ? ", PCR2" : "");
    }
}

void cs_doctor_kms_policy(cs_doctor *d, cs_doctor_line *l)
{
    static cs_doctor_policy p; /* 30 KiB */
    cs_buf text = cs_buf_heap(CS_DOCTOR_POLICY_MAX);

    if (!d->img.loaded) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "no image to compare the key policy with");
        return;
    }
    if (policy_text(&text, d, l)) {
        cs_err err = cs_doctor_policy_parse(&p, cs_buf_slice(&text));
        if (err != CS_OK) {
            cs_doctor_report_say(l, CS_DOCTOR_FAIL, err, "the key policy cannot be read");
        } else {
            compare(d, l, &p);
        }
    }
    cs_buf_free(&text);
}

/* ---------------------------------------------------------------- the proxy's allow-list */

/* --allow-list, or the machine's file, or the list that is built into sign-host proxy; *from names it. */
static cs_err load_allowlist(cs_allowlist **out, const char **from, cs_allowlist_fault *fault, cs_doctor *d)
{
    cs_buf text = cs_buf_heap(CS_ALLOWLIST_BYTES);
    bool named = d->allowlist != NULL;

    *from = named ? d->allowlist : CS_ALLOWLIST_FILE;
    cs_err err = cs_doctor_host_file(&text, named ? "" : d->root, *from, CS_ALLOWLIST_BYTES);
    if (err == CS_E_NOT_FOUND && !named) {
        *from = "the built-in list";
        err = cs_allowlist_builtin(out, NULL);
    } else if (err == CS_OK) {
        err = cs_allowlist_read(out, fault, cs_buf_slice(&text));
    }
    cs_buf_free(&text);
    return err;
}

void cs_doctor_kms_allowlist(cs_doctor *d, cs_doctor_line *l)
{
    const char *from = NULL, *host = d->proxy_host != NULL ? d->proxy_host : d->kms_host;
    cs_allowlist_fault fault = {0};
    cs_allowlist *list = NULL;
    cs_err err = load_allowlist(&list, &from, &fault, d);

    if (err != CS_OK) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, err, "%.120s, line %u: %.180s", from, fault.line, fault.text);
        return;
    }
    bool has = cs_allowlist_has(list, host, d->proxy_port);
    cs_doctor_report_say(l, has ? CS_DOCTOR_OK : CS_DOCTOR_FAIL, has ? CS_OK : CS_E_PROXY_DENIED,
                         "%.120s port %u is %s %.120s", host, (unsigned)d->proxy_port, has ? "on" : "not on", from);
    cs_allowlist_free(list);
}
