/* See imds.h. */
#include "net/aws/imds.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "net/aws/curl.h"
#include "net/aws/json.h"

#define TTL_HEADER "X-aws-ec2-metadata-token-ttl-seconds: 300"
#define ROLE_PATH "/latest/meta-data/iam/security-credentials/"
#define MAX_TOKEN 512

typedef struct session {
    const char *endpoint;
    uint32_t timeout_ms, tries;
    char token_header[MAX_TOKEN + 64];
} session;

/* What it means that no answer came. Only the token's answer has the hop limit: a connection without it is a limit that is too low. */
static cs_err silence(cs_err err, bool connected, const char *method)
{
    switch (err) {
    case CS_E_CONNECT:
    case CS_E_DNS:
        return CS_E_IMDS_ABSENT;
    case CS_E_TIMEOUT:
        return connected && method[0] == 'P' ? CS_E_IMDS_HOP : connected ? CS_E_TIMEOUT : CS_E_IMDS_ABSENT;
    default:
        return err;
    }
}

static cs_err request(session *s, cs_buf *out, int *status, const char *method, const char *path, const char *header)
{
    char url[1024];
    cs_curl_reply r = {.body = out};
    cs_curl_request q = {.method = method,
                         .url = url,
                         .headers = {header},
                         .connect_ms = s->timeout_ms,
                         .timeout_ms = s->timeout_ms,
                         .max_bytes = CS_IMDS_MAX_BODY};
    cs_err err = CS_OK;
    int n = snprintf(url, sizeof url, "%s%s", s->endpoint, path);
    if (n < 0 || (size_t)n >= sizeof url) {
        return CS_E_RANGE;
    }
    for (uint32_t i = 0; i < s->tries; i++) {
        size_t len0 = out->len;
        err = cs_curl_run(&r, &q);
        if (err == CS_OK && r.status < 500) {
            break;
        }
        out->len = len0;
    }
    *status = r.status;
    return silence(err, r.connected, method);
}

/* A text of one line that may go into a header or a path: printable, no blanks. */
static cs_err copy_line(char *out, size_t cap, cs_slice text)
{
    size_t n = 0;
    while (n < text.len && text.p[n] != '\n' && text.p[n] != '\r') {
        if (text.p[n] <= ' ' || text.p[n] >= 0x7f) {
            return CS_E_IMDS;
        }
        n++;
    }
    if (n == 0 || n >= cap) {
        return CS_E_IMDS;
    }
    memcpy(out, text.p, n);
    out[n] = '\0';
    return CS_OK;
}

static cs_err token_err(int status)
{
    return status == 403 ? CS_E_IMDS_OFF : status == 404 || status == 405 || status == 501 ? CS_E_IMDS_V1 : CS_E_IMDS;
}

static cs_err new_token(session *s)
{
    char token[MAX_TOKEN];
    cs_buf body = cs_buf_heap(CS_IMDS_MAX_BODY);
    int status = 0;
    cs_err err = request(s, &body, &status, "PUT", "/latest/api/token", TTL_HEADER);
    if (err == CS_OK) {
        err = status == 200 ? copy_line(token, sizeof token, cs_buf_slice(&body)) : token_err(status);
    }
    if (err == CS_OK) {
        snprintf(s->token_header, sizeof s->token_header, "X-aws-ec2-metadata-token: %s", token);
    }
    cs_buf_free(&body);
    return err;
}

/* GET with the token, once more with a new one when it was refused. */
static cs_err get(session *s, cs_buf *out, const char *path)
{
    int status = 0;
    size_t len0 = out->len;
    for (int round = 0; round < 2; round++) {
        if (s->token_header[0] == '\0') {
            CS_TRY(new_token(s));
        }
        out->len = len0;
        CS_TRY(request(s, out, &status, "GET", path, s->token_header));
        if (status != 401) {
            break;
        }
        s->token_header[0] = '\0';
    }
    if (status != 200) {
        out->len = len0;
        return status == 401   ? CS_E_IMDS_TOKEN
               : status == 403 ? CS_E_IMDS_OFF
               : status == 404 ? CS_E_NOT_FOUND
                               : CS_E_IMDS;
    }
    return CS_OK;
}

/* Without a role there is nothing below security-credentials/, or an empty list. */
static cs_err get_role(session *s, cs_buf *out, const char *path)
{
    cs_err err = get(s, out, path);

    return err == CS_E_NOT_FOUND || (err == CS_OK && out->len == 0) ? CS_E_IMDS_ROLE : err;
}

/* "Code" says why there are none, e.g. AssumeRoleUnauthorizedAccess. */
static cs_err check_code(cs_slice json)
{
    char text[64] = "";
    cs_buf code = cs_buf_wrap(text, sizeof text - 1);
    cs_json_field f = {.key = "Code", .kind = CS_JSON_STRING, .out = &code};

    return cs_json_read(json, &f, 1) == CS_OK && f.seen && strcmp(text, "Success") != 0 ? CS_E_IMDS_CODE : CS_OK;
}

static session open_session(const cs_imds_opts *o)
{
    session s = {.endpoint = o != NULL && o->endpoint != NULL ? o->endpoint : CS_IMDS_DEFAULT};
    s.timeout_ms = o != NULL && o->timeout_ms != 0 ? o->timeout_ms : 2000;
    s.tries = o != NULL && o->tries != 0 ? o->tries : 3;
    return s;
}

cs_err cs_imds_credentials(cs_buf *json, cs_aws_creds *out, const cs_imds_opts *opts)
{
    char role[128], path[256];
    cs_aws_creds parsed;
    session s = open_session(opts);
    cs_buf body = cs_buf_heap(CS_IMDS_MAX_BODY);
    cs_err err = get_role(&s, &body, ROLE_PATH);
    if (err == CS_OK) {
        err = copy_line(role, sizeof role, cs_buf_slice(&body));
    }
    if (err == CS_OK && (strchr(role, '/') != NULL || strchr(role, '?') != NULL || strchr(role, '#') != NULL)) {
        err = CS_E_IMDS;
    }
    if (err == CS_OK) {
        snprintf(path, sizeof path, ROLE_PATH "%s", role);
        body.len = 0;
        err = get_role(&s, &body, path);
    }
    if (err == CS_OK) {
        err = check_code(cs_buf_slice(&body));
    }
    if (err == CS_OK && (err = cs_aws_creds_parse(&parsed, cs_buf_slice(&body))) == CS_OK) {
        err = parsed.expires_ms <= cs_clock_wall_ms() ? CS_E_CRED_EXPIRED : CS_OK;
        if (err == CS_OK && json != NULL) {
            err = cs_put_slice(json, cs_buf_slice(&body));
        }
        if (err == CS_OK && out != NULL) {
            *out = parsed;
        }
        cs_aws_creds_wipe(&parsed);
    }
    cs_buf_free(&body);
    return err;
}

cs_err cs_imds_parse_identity(cs_imds_identity *out, cs_slice json)
{
    cs_imds_identity id;
    memset(&id, 0, sizeof id);
    cs_buf region = cs_buf_wrap(id.region, sizeof id.region - 1),
           instance = cs_buf_wrap(id.instance_id, sizeof id.instance_id - 1);
    cs_buf account = cs_buf_wrap(id.account_id, sizeof id.account_id - 1);
    cs_json_field f[] = {
        {.key = "region", .kind = CS_JSON_STRING, .out = &region, .required = true},
        {.key = "instanceId", .kind = CS_JSON_STRING, .out = &instance, .required = true},
        {.key = "accountId", .kind = CS_JSON_STRING, .out = &account, .required = true},
    };
    char line[65];
    if (cs_json_read(json, f, 3) != CS_OK || copy_line(line, sizeof line, cs_buf_slice(&region)) != CS_OK ||
        copy_line(line, sizeof line, cs_buf_slice(&instance)) != CS_OK) {
        return CS_E_IMDS;
    }
    *out = id;
    return CS_OK;
}

cs_err cs_imds_identity_get(cs_imds_identity *out, const cs_imds_opts *opts)
{
    session s = open_session(opts);
    cs_buf body = cs_buf_heap(CS_IMDS_MAX_BODY);
    cs_err err = get(&s, &body, "/latest/dynamic/instance-identity/document");
    if (err == CS_OK) {
        err = cs_imds_parse_identity(out, cs_buf_slice(&body));
    } else if (err == CS_E_NOT_FOUND) {
        err = CS_E_IMDS;
    }
    cs_buf_free(&body);
    return err;
}
