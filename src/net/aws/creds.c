/* Credentials JSON. See creds.h. */
#include "net/aws/creds.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/text.h"
#include "net/aws/json.h"

void cs_aws_creds_wipe(cs_aws_creds *c)
{
    OPENSSL_cleanse(c, sizeof *c);
}

/* Printable without blanks: these go into HTTP headers. */
static bool header_safe(const cs_buf *b)
{
    for (size_t i = 0; i < b->len; i++) {
        if (b->p[i] <= ' ' || b->p[i] >= 0x7f) {
            return false;
        }
    }
    return b->len > 0;
}

cs_err cs_aws_creds_parse(cs_aws_creds *out, cs_slice json)
{
    uint8_t code_mem[32], time_mem[40];
    memset(out, 0, sizeof *out);
    /* the last byte of each array stays NUL */
    cs_buf akid = cs_buf_wrap(out->access_key_id, sizeof out->access_key_id - 1);
    cs_buf secret = cs_buf_wrap(out->secret_key, sizeof out->secret_key - 1);
    cs_buf token = cs_buf_wrap(out->token, sizeof out->token - 1);
    cs_buf code = cs_buf_wrap(code_mem, sizeof code_mem), time = cs_buf_wrap(time_mem, sizeof time_mem);
    cs_json_field f[] = {
        {.key = "AccessKeyId", .kind = CS_JSON_STRING, .out = &akid, .required = true},
        {.key = "SecretAccessKey", .kind = CS_JSON_STRING, .out = &secret, .required = true},
        {.key = "Token", .kind = CS_JSON_STRING, .out = &token},
        {.key = "SessionToken", .kind = CS_JSON_STRING, .out = &token},
        {.key = "Expiration", .kind = CS_JSON_STRING, .out = &time, .required = true},
        {.key = "Code", .kind = CS_JSON_STRING, .out = &code},
    };
    if (json.len > CS_AWS_CREDS_MAX) {
        return CS_E_TOO_LARGE;
    }
    bool ok = cs_json_read(json, f, sizeof f / sizeof f[0]) == CS_OK && f[2].seen != f[3].seen && header_safe(&akid) &&
              header_safe(&secret) && header_safe(&token) && memchr(akid.p, '/', akid.len) == NULL &&
              (!f[5].seen || cs_slice_eq_str(cs_buf_slice(&code), "Success")) &&
              cs_parse_rfc3339(cs_buf_slice(&time), &out->expires_ms) == CS_OK;
    if (!ok) {
        cs_aws_creds_wipe(out);
        return CS_E_CRED_FORMAT;
    }
    return CS_OK;
}
