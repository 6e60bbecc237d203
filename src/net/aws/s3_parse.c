/* S3 without I/O: URIs, refusals, error rows. See s3.h. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "net/aws/region.h"
#include "net/aws/s3.h"
#include "net/aws/sigv4.h"

/* "?versionId=ID" at the end of a key; *key_len is then without it. */
static cs_err take_version(cs_s3_uri *u, const char *key, size_t *key_len)
{
    static const char mark[] = "?versionId=";
    const char *at = strstr(key, mark);

    if (at == NULL) {
        return CS_OK;
    }
    const char *id = at + sizeof mark - 1;
    size_t n = strlen(id);
    if (n == 0 || n >= sizeof u->version ||
        strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != n) {
        return CS_E_S3_URI;
    }
    memcpy(u->version, id, n);
    *key_len = (size_t)(at - key);
    return CS_OK;
}

cs_err cs_s3_parse_uri(cs_s3_uri *out, const char *uri)
{
    cs_s3_uri u = {0};

    if (strncmp(uri, "s3://", 5) != 0) {
        return CS_E_S3_URI;
    }
    uri += 5;
    size_t n = strcspn(uri, "/");
    if (n < 3 || n > 63 || strspn(uri, "abcdefghijklmnopqrstuvwxyz0123456789.-") != n || uri[0] == '.' ||
        uri[0] == '-' || uri[n - 1] == '.' || uri[n - 1] == '-' || uri[n] != '/') {
        return CS_E_S3_URI;
    }
    const char *key = uri + n + 1;
    size_t key_len = strlen(key);
    CS_TRY(take_version(&u, key, &key_len));
    if (key_len < 1 || key_len > 1024 || !cs_utf8_valid(cs_slice_of(key, key_len))) {
        return CS_E_S3_URI;
    }
    memcpy(u.bucket, uri, n);
    memcpy(u.key, key, key_len);
    if (strstr(u.bucket, "..") != NULL) {
        return CS_E_S3_URI;
    }
    *out = u;
    return CS_OK;
}

/* "http://HOST[:PORT]" or "https://...", nothing behind. */
static cs_err given_host(cs_s3_address *a, const char *endpoint)
{
    const char *at = strstr(endpoint, "://");
    size_t scheme = at != NULL ? (size_t)(at - endpoint) : 0;

    if (at == NULL || strchr(at + 3, '/') != NULL || at[3] == '\0' ||
        (strncmp(endpoint, "http:", 5) != 0 && strncmp(endpoint, "https:", 6) != 0)) {
        return CS_E_FORMAT;
    }
    (void)snprintf(a->scheme, sizeof a->scheme, "%.*s://", (int)scheme, endpoint);
    int n = snprintf(a->host, sizeof a->host, "%s", at + 3);
    return n > 0 && (size_t)n < sizeof a->host ? CS_OK : CS_E_RANGE;
}

static cs_err aws_host(cs_s3_address *a, const cs_s3_uri *uri, const char *region, bool by_path)
{
    const char *suffix = cs_aws_suffix(region);
    int n = by_path ? snprintf(a->host, sizeof a->host, "s3.%s.%s", region, suffix)
                    : snprintf(a->host, sizeof a->host, "%s.s3.%s.%s", uri->bucket, region, suffix);

    (void)snprintf(a->scheme, sizeof a->scheme, "https://");
    return n > 0 && (size_t)n < sizeof a->host ? CS_OK : CS_E_RANGE;
}

cs_err cs_s3_address_of(cs_s3_address *out, const cs_s3_uri *uri, const char *region, const char *endpoint)
{
    bool by_path = endpoint != NULL || strchr(uri->bucket, '.') != NULL;

    memset(out, 0, sizeof *out);
    cs_buf path = cs_buf_wrap(out->path, sizeof out->path - 1), query = cs_buf_wrap(out->query, sizeof out->query - 1);
    if (!cs_aws_region_valid(region)) {
        return CS_E_FORMAT;
    }
    CS_TRY(endpoint != NULL ? given_host(out, endpoint) : aws_host(out, uri, region, by_path));
    CS_TRY(cs_put_str(&path, "/"));
    if (by_path) {
        CS_TRY(cs_put_str(&path, uri->bucket));
        CS_TRY(cs_put_str(&path, "/"));
    }
    CS_TRY(cs_sigv4_put_encoded(&path, cs_slice_str(uri->key), true));
    if (uri->version[0] != '\0') {
        CS_TRY(cs_put_str(&query, "versionId="));
        CS_TRY(cs_sigv4_put_encoded(&query, cs_slice_str(uri->version), false));
    }
    return CS_OK;
}

/* The text between <tag> and </tag>: letters, digits and '-' only. */
static void take_element(char *out, size_t cap, cs_slice xml, const char *open, const char *close)
{
    const uint8_t *a = xml.len > 0 ? memmem(xml.p, xml.len, open, strlen(open)) : NULL;
    if (a == NULL) {
        return;
    }
    a += strlen(open);
    const uint8_t *b = memmem(a, (size_t)(xml.p + xml.len - a), close, strlen(close));
    if (b == NULL || (size_t)(b - a) >= cap) {
        return;
    }
    for (const uint8_t *p = a; p < b; p++) {
        bool ok = (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-';
        if (!ok) {
            return;
        }
    }
    memcpy(out, a, (size_t)(b - a));
    out[b - a] = '\0';
}

void cs_s3_parse_error(cs_s3_info *out, cs_slice xml)
{
    take_element(out->code, sizeof out->code, xml, "<Code>", "</Code>");
    if (out->region[0] == '\0') {
        take_element(out->region, sizeof out->region, xml, "<Region>", "</Region>");
    }
}

cs_err cs_s3_err(int status, const char *code)
{
    static const struct {
        const char *code;
        cs_err err;
    } rows[] = {
        {"AccessDenied", CS_E_S3_DENIED},
        {"AllAccessDisabled", CS_E_S3_DENIED},
        {"InvalidAccessKeyId", CS_E_S3_TOKEN},
        {"ExpiredToken", CS_E_S3_TOKEN},
        {"InvalidToken", CS_E_S3_TOKEN},
        {"TokenRefreshRequired", CS_E_S3_TOKEN},
        {"SignatureDoesNotMatch", CS_E_S3_SIGNATURE},
        {"RequestTimeTooSkewed", CS_E_S3_SIGNATURE},
        {"AuthorizationHeaderMalformed", CS_E_S3_REGION},
        {"PermanentRedirect", CS_E_S3_REGION},
        {"TemporaryRedirect", CS_E_S3_REGION},
        {"IllegalLocationConstraintException", CS_E_S3_REGION},
        {"SlowDown", CS_E_S3_THROTTLED},
        {"ServiceUnavailable", CS_E_S3_THROTTLED},
        {"NoSuchVersion", CS_E_S3_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(code, rows[i].code) == 0) {
            return rows[i].err;
        }
    }
    switch (status) {
    case 301:
    case 302:
    case 307:
    case 308:
        return CS_E_S3_REGION;
    case 401:
    case 403:
        return CS_E_S3_DENIED;
    case 404:
        return CS_E_S3_NOT_FOUND;
    case 412:
        return CS_E_S3_CHANGED;
    case 429:
    case 503:
        return CS_E_S3_THROTTLED;
    default:
        return CS_E_S3;
    }
}
