/* S3 without I/O: URIs, refusals, error rows. See s3.h. */
#include <string.h>

#include "base/text.h"
#include "net/aws/s3.h"

cs_err cs_s3_parse_uri(cs_s3_uri *out, const char *uri)
{
    cs_s3_uri u = {0};
    if (strncmp(uri, "s3://", 5) != 0) {
        return CS_E_FORMAT;
    }
    uri += 5;
    size_t n = strcspn(uri, "/"), key_len = strlen(uri) - n;
    if (n < 3 || n > 63 || strspn(uri, "abcdefghijklmnopqrstuvwxyz0123456789.-") != n || uri[0] == '.' ||
        uri[0] == '-' || uri[n - 1] == '.' || uri[n - 1] == '-' || key_len < 2 || key_len > 1025 ||
        !cs_utf8_valid(cs_slice_of(uri + n + 1, key_len - 1))) {
        return CS_E_FORMAT;
    }
    memcpy(u.bucket, uri, n);
    memcpy(u.key, uri + n + 1, key_len - 1);
    if (strstr(u.bucket, "..") != NULL) {
        return CS_E_FORMAT;
    }
    *out = u;
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
    static const char *const denied[] = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch",
                                         "ExpiredToken", "InvalidToken",       "RequestTimeTooSkewed"};
    for (size_t i = 0; i < sizeof denied / sizeof denied[0]; i++) {
        if (strcmp(code, denied[i]) == 0) {
            return CS_E_S3_DENIED;
        }
    }
    if (status == 404) {
        return CS_E_S3_NOT_FOUND;
    }
    return status == 401 || status == 403 ? CS_E_S3_DENIED : CS_E_S3;
}
