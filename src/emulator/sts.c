/*
 * STS: GetCallerIdentity and AssumeRole. Query protocol, XML answers. A role may be assumed by who has sts:AssumeRole for it in
 * the identity policy; trust policies are not modelled. Source: specs/nitro-kms.md 9.3. See reply.h.
 */
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "emulator/reply.h"
#include "emulator/xml.h"

#define NS "https://sts.amazonaws.com/doc/2011-06-15/"
#define MAX_FORM 16384u

typedef struct sts_call {
    cs_emu_state *s;
    cs_emu_principal who;
    cs_emu_reply *reply;
    cs_slice form;
    char request_id[37];
} sts_call;

static void finish(sts_call *c, unsigned status, cs_err err)
{
    c->reply->status = err == CS_OK ? status : 500;
    cs_emu_reply_header(c->reply, "Content-Type", "text/xml");
}

/* An answer: elements by their tags ("/": the end of the innermost), each value escaped. */
typedef struct part {
    const char *tag, *value; /* value NULL: a start (or, with tag "/NAME", an end) */
} part;

static cs_err put_parts(cs_buf *b, const part *parts, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        CS_TRY(parts[i].value != NULL ? cs_emu_xml_put(b, parts[i].tag, parts[i].value)
                                      : cs_put_fmt(b, "<%s>", parts[i].tag));
    }
    return CS_OK;
}

#define PUT_PARTS(b, parts) put_parts(b, parts, sizeof(parts) / sizeof((parts)[0]))

static void refuse(sts_call *c, unsigned status, const char *code, const char *message)
{
    const part parts[] = {{"ErrorResponse xmlns=\"" NS "\"", NULL},
                          {"Error", NULL},
                          {"Type", "Sender"},
                          {"Code", code},
                          {"Message", message},
                          {"/Error", NULL},
                          {"RequestId", c->request_id},
                          {"/ErrorResponse", NULL}};
    c->reply->body.len = 0;
    finish(c, status, PUT_PARTS(&c->reply->body, parts));
    cs_log(CS_LOG_WARN, "sts", CS_LC("errorCode", code));
}

static void caller_identity(sts_call *c)
{
    const part parts[] = {{"GetCallerIdentityResponse xmlns=\"" NS "\"", NULL},
                          {"GetCallerIdentityResult", NULL},
                          {"Arn", c->who.session_arn != NULL ? c->who.session_arn : c->who.arn},
                          {"UserId", c->who.id},
                          {"Account", c->who.account},
                          {"/GetCallerIdentityResult", NULL},
                          {"ResponseMetadata", NULL},
                          {"RequestId", c->request_id},
                          {"/ResponseMetadata", NULL},
                          {"/GetCallerIdentityResponse", NULL}};
    finish(c, 200, PUT_PARTS(&c->reply->body, parts));
}

static void put_session(sts_call *c, const cs_emu_session *t)
{
    char mem[40] = "";
    cs_buf date = cs_buf_wrap(mem, sizeof mem - 1);
    cs_err err = cs_put_rfc3339(&date, t->expires_ms);
    memcpy(mem + 19, "Z", 2); /* whole seconds, as STS */
    const part parts[] = {{"AssumeRoleResponse xmlns=\"" NS "\"", NULL},
                          {"AssumeRoleResult", NULL},
                          {"AssumedRoleUser", NULL},
                          {"AssumedRoleId", t->id},
                          {"Arn", t->session_arn},
                          {"/AssumedRoleUser", NULL},
                          {"Credentials", NULL},
                          {"AccessKeyId", t->access_key_id},
                          {"SecretAccessKey", t->secret},
                          {"SessionToken", t->token},
                          {"Expiration", mem},
                          {"/Credentials", NULL},
                          {"/AssumeRoleResult", NULL},
                          {"ResponseMetadata", NULL},
                          {"RequestId", c->request_id},
                          {"/ResponseMetadata", NULL},
                          {"/AssumeRoleResponse", NULL}};
    finish(c, 200, err == CS_OK ? PUT_PARTS(&c->reply->body, parts) : err);
}

static void assume_role(sts_call *c)
{
    char arn[256] = "", name[80] = "", life[16] = "3600", start[64], message[1024];
    uint64_t life_s = 0;
    const cs_emu_session *t = NULL;
    if (cs_emu_form_get(c->form, "RoleArn", arn, sizeof arn) != CS_OK ||
        cs_emu_form_get(c->form, "RoleSessionName", name, sizeof name) != CS_OK) {
        refuse(c, 400, "ValidationError", "RoleArn and RoleSessionName are needed.");
        return;
    }
    cs_err err = cs_emu_form_get(c->form, "DurationSeconds", life, sizeof life);
    if ((err != CS_OK && err != CS_E_NOT_FOUND) || cs_parse_u64(cs_slice_str(life), 43200, &life_s) != CS_OK ||
        life_s < 900) {
        refuse(c, 400, "ValidationError", "DurationSeconds must be between 900 and 43200.");
        return;
    }
    int n = snprintf(start, sizeof start, "arn:aws:iam::%s:role/", c->s->o.account);
    cs_emu_query q = {&c->who, "sts:AssumeRole", arn, NULL};
    bool ours = strncmp(arn, start, (size_t)n) == 0 && cs_emu_role_exists(c->s, arn + n);
    if (!ours || cs_emu_identity_eval(&q).verdict != CS_EMU_ALLOWED) {
        snprintf(message, sizeof message, "User: %s is not authorized to perform: sts:AssumeRole on resource: %s",
                 c->who.session_arn != NULL ? c->who.session_arn : c->who.arn, arn);
        refuse(c, 403, "AccessDenied", message); /* also for a role that is not there, as STS */
        return;
    }
    err = cs_emu_assume_role(&t, c->s, arn + n, name, life_s);
    if (err != CS_OK) {
        refuse(c, err == CS_E_RANGE ? 400 : 500, err == CS_E_RANGE ? "ValidationError" : "InternalFailure",
               "RoleSessionName has 2 to 64 characters of [\\w+=,.@-].");
        return;
    }
    put_session(c, t);
}

static bool authenticate(sts_call *c, cs_emu_request *q)
{
    static const struct {
        unsigned status;
        const char *code, *message;
    } rows[] = {
        {200, "", ""},
        {403, "MissingAuthenticationToken", "Request is missing Authentication Token"},
        {400, "IncompleteSignature", "The request signature does not conform to AWS standards."},
        {403, "InvalidClientTokenId", "The security token included in the request is invalid."},
        {403, "InvalidClientTokenId", "The security token included in the request is invalid."},
        {403, "ExpiredToken", "The security token included in the request is expired"},
        {403, "SignatureDoesNotMatch",
         "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
         "Key and "
         "signing method. Consult the service documentation for details."},
        {403, "SignatureDoesNotMatch", "Signature expired: the time of the request is more than 5 min. off"},
        {403, "SignatureDoesNotMatch", "Credential should be scoped to a valid region and service."},
    };
    char hash[65];
    if (cs_sigv4_hash(hash, q->body) != CS_OK) {
        refuse(c, 500, "InternalFailure", "");
        return false;
    }
    q->sig.payload_hash = cs_slice_str(hash);
    cs_emu_auth a = cs_emu_authenticate(c->s, &c->who, &q->sig, "sts");
    if (a != CS_EMU_AUTH_OK) {
        refuse(c, rows[a].status, rows[a].code, rows[a].message);
    }
    return a == CS_EMU_AUTH_OK;
}

void cs_emu_sts(cs_emu_state *s, cs_emu_reply *reply, cs_emu_request *q)
{
    static sts_call c; /* one thread */
    uint8_t raw[16] = {0};
    char h[33], action[64] = "", version[32] = "", message[160];
    c = (sts_call){.s = s, .reply = reply, .form = q->body.len > 0 ? q->body : q->sig.query};
    (void)RAND_bytes(raw, sizeof raw);
    cs_hex_encode(h, cs_slice_of(raw, sizeof raw));
    snprintf(c.request_id, sizeof c.request_id, "%.8s-%.4s-%.4s-%.4s-%.12s", h, h + 8, h + 12, h + 16, h + 20);
    cs_emu_reply_header(reply, "x-amzn-RequestId", "%s", c.request_id);
    if (c.form.len > MAX_FORM) {
        refuse(&c, 413, "RequestEntityTooLarge", "The request is too long.");
        return;
    }
    if (!authenticate(&c, q)) {
        return;
    }
    cs_err err = cs_emu_form_get(c.form, "Action", action, sizeof action);
    cs_err err2 = cs_emu_form_get(c.form, "Version", version, sizeof version);
    if (err == CS_E_NOT_FOUND) {
        refuse(&c, 400, "MissingAction", "Missing Action");
    } else if (err2 != CS_OK || strcmp(version, "2011-06-15") != 0 || err != CS_OK ||
               (strcmp(action, "GetCallerIdentity") != 0 && strcmp(action, "AssumeRole") != 0)) {
        snprintf(message, sizeof message, "Could not find operation %s for version %s", action,
                 err2 == CS_OK ? version : "NO_VERSION_SPECIFIED");
        refuse(&c, 400, "InvalidAction", message);
    } else if (action[0] == 'G') {
        caller_identity(&c);
    } else {
        assume_role(&c);
    }
}
