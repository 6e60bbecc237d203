/* See profile.h. */
#include "net/aws/profile.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/text.h"
#include "net/aws/imds.h"

/* Printable without blanks: values go into HTTP headers. */
static cs_err take(char *out, size_t cap, cs_slice v)
{
    if (v.len >= cap) {
        return CS_E_CRED_FORMAT;
    }
    for (size_t i = 0; i < v.len; i++) {
        if (v.p[i] <= ' ' || v.p[i] >= 0x7f) {
            return CS_E_CRED_FORMAT;
        }
    }
    if (v.len > 0) {
        memcpy(out, v.p, v.len);
    }
    out[v.len] = '\0';
    return CS_OK;
}

static cs_err setting(cs_aws_profile *p, cs_slice line)
{
    const uint8_t *eq = memchr(line.p, '=', line.len);

    if (eq == NULL) {
        return CS_OK;
    }
    cs_slice key = cs_trim(cs_slice_of(line.p, (size_t)(eq - line.p)), " \t\r");
    cs_slice value = cs_trim(cs_slice_of(eq + 1, line.len - (size_t)(eq - line.p) - 1), " \t\r");
    if (cs_slice_eq_str(key, "aws_access_key_id")) {
        return take(p->access_key_id, sizeof p->access_key_id, value);
    }
    if (cs_slice_eq_str(key, "aws_secret_access_key")) {
        return take(p->secret_key, sizeof p->secret_key, value);
    }
    if (cs_slice_eq_str(key, "aws_session_token")) {
        return take(p->token, sizeof p->token, value);
    }
    return cs_slice_eq_str(key, "region") ? take(p->region, sizeof p->region, value) : CS_OK;
}

/* Is [...] the section of the profile? */
static bool is_section(cs_slice line, const char *profile, bool config)
{
    cs_slice name = cs_trim(cs_slice_of(line.p + 1, line.len - 1), " \t\r");

    if (name.len == 0 || name.p[name.len - 1] != ']') {
        return false;
    }
    name.len--;
    name = cs_trim(name, " \t\r");
    if (config && name.len > 8 && memcmp(name.p, "profile", 7) == 0 && (name.p[7] == ' ' || name.p[7] == '\t')) {
        name = cs_trim(cs_slice_of(name.p + 8, name.len - 8), " \t\r");
    } else if (config && strcmp(profile, "default") != 0) {
        return false;
    }
    return cs_slice_eq_str(name, profile);
}

cs_err cs_aws_profile_parse(cs_aws_profile *out, cs_slice text, const char *profile, bool config)
{
    bool inside = false, found = false;
    cs_err err = CS_OK;

    memset(out, 0, sizeof *out);
    if (text.len > CS_AWS_PROFILE_FILE_MAX) {
        return CS_E_TOO_LARGE;
    }
    for (size_t at = 0; at < text.len && err == CS_OK;) {
        const uint8_t *end = memchr(text.p + at, '\n', text.len - at);
        size_t n = end != NULL ? (size_t)(end - text.p) - at : text.len - at;
        cs_slice line = cs_slice_of(text.p + at, n);
        at += n + 1;
        if (line.len == 0 || strchr(" \t#;\r", line.p[0]) != NULL) {
            continue;
        }
        line = cs_trim(line, " \t\r");
        if (line.p[0] == '[') {
            inside = is_section(line, profile, config);
            found = found || inside;
        } else if (inside) {
            err = setting(out, line);
        }
    }
    err = err == CS_OK && !found ? CS_E_NOT_FOUND : err;
    if (err != CS_OK) {
        OPENSSL_cleanse(out, sizeof *out);
    }
    return err;
}

static const char *env(const char *name)
{
    const char *v = getenv(name); /* NOLINT(concurrency-mt-unsafe): before any thread */

    return v != NULL && v[0] != '\0' ? v : NULL;
}

static cs_err read_file(cs_buf *out, const char *variable, const char *name)
{
    const char *path = env(variable), *home = env("HOME");
    char mem[4096];
    uint8_t chunk[4096];
    ssize_t n = 0;
    cs_err err = CS_OK;

    if (path == NULL) {
        if (home == NULL || snprintf(mem, sizeof mem, "%s/.aws/%s", home, name) >= (int)sizeof mem) {
            return CS_E_NOT_FOUND;
        }
        path = mem;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return CS_E_NOT_FOUND;
    }
    while (err == CS_OK && (n = read(fd, chunk, sizeof chunk)) > 0) {
        err = cs_put(out, chunk, (size_t)n);
    }
    (void)close(fd);
    OPENSSL_cleanse(chunk, sizeof chunk);
    return n < 0 ? CS_E_IO : err == CS_E_RANGE ? CS_E_TOO_LARGE : err;
}

static cs_err from_file(cs_aws_profile *out, const char *profile, bool config)
{
    cs_buf text = cs_buf_heap(CS_AWS_PROFILE_FILE_MAX);
    cs_err err = config ? read_file(&text, "AWS_CONFIG_FILE", "config")
                        : read_file(&text, "AWS_SHARED_CREDENTIALS_FILE", "credentials");

    if (err == CS_OK) {
        err = cs_aws_profile_parse(out, cs_buf_slice(&text), profile, config);
    }
    cs_buf_free(&text);
    return err;
}

static cs_err copy(cs_aws_creds *out, const char *id, const char *secret, const char *token)
{
    cs_err err = take(out->access_key_id, sizeof out->access_key_id, cs_slice_str(id));

    err = err == CS_OK ? take(out->secret_key, sizeof out->secret_key, cs_slice_str(secret)) : err;
    err = err == CS_OK ? take(out->token, sizeof out->token, cs_slice_str(token != NULL ? token : "")) : err;
    if (err != CS_OK) {
        cs_aws_creds_wipe(out);
    }
    return err;
}

static cs_err from_files(cs_aws_creds *out, const char **from, const char *profile)
{
    static cs_aws_profile p; /* wiped */
    cs_err err = CS_E_NOT_FOUND;

    for (int config = 0; config < 2; config++) {
        err = from_file(&p, profile, config != 0);
        if (err == CS_OK && p.access_key_id[0] != '\0' && p.secret_key[0] != '\0') {
            err = copy(out, p.access_key_id, p.secret_key, p.token);
            *from = config != 0 ? "config file" : "shared credentials file";
            break;
        }
        err = err == CS_OK ? CS_E_NOT_FOUND : err;
        if (err != CS_E_NOT_FOUND) {
            break;
        }
    }
    OPENSSL_cleanse(&p, sizeof p);
    return err;
}

cs_err cs_aws_login(cs_aws_creds *out, const char **from, const cs_aws_login_opts *o)
{
    const char *profile = o->profile != NULL ? o->profile : env("AWS_PROFILE"), *off = env("AWS_EC2_METADATA_DISABLED");
    const char *id = env("AWS_ACCESS_KEY_ID"), *secret = env("AWS_SECRET_ACCESS_KEY");
    const char *endpoint = o->imds_endpoint != NULL ? o->imds_endpoint : env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const cs_imds_opts imds = {.endpoint = endpoint, .tries = 1};

    memset(out, 0, sizeof *out);
    if (o->profile == NULL && id != NULL && secret != NULL) {
        *from = "environment";
        return copy(out, id, secret, env("AWS_SESSION_TOKEN"));
    }
    cs_err err = from_files(out, from, profile != NULL ? profile : "default");
    if (err != CS_E_NOT_FOUND) {
        return err;
    }
    /* a profile that was asked for and is not there is no reason to take the instance's role */
    if (profile != NULL || (off != NULL && strcasecmp(off, "true") == 0)) {
        return CS_E_CRED_MISSING;
    }
    *from = "instance role";
    return cs_imds_credentials(NULL, out, &imds);
}

cs_err cs_aws_region(char out[CS_AWS_REGION_MAX], const cs_aws_login_opts *o)
{
    static cs_aws_profile p; /* wiped */
    const char *profile = o->profile != NULL ? o->profile : env("AWS_PROFILE");
    const char *region = env("AWS_REGION") != NULL ? env("AWS_REGION") : env("AWS_DEFAULT_REGION");
    cs_err err;

    if (region != NULL) {
        return take(out, CS_AWS_REGION_MAX, cs_slice_str(region)) == CS_OK ? CS_OK : CS_E_NOT_FOUND;
    }
    err = from_file(&p, profile != NULL ? profile : "default", true);
    if (err == CS_OK && p.region[0] != '\0') {
        memcpy(out, p.region, sizeof p.region);
    } else {
        err = CS_E_NOT_FOUND;
    }
    OPENSSL_cleanse(&p, sizeof p);
    return err;
}
