/* IMDS, credentials, S3, and the clock that AWS shows. See doctor.h. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/text.h"
#include "host/doctor.h"
#include "net/aws/curl.h"
#include "net/aws/imds.h"
#include "net/aws/s3.h"

#define STEP_MS 2000u
#define EXPIRY_WARN_S 900u
#define SKEW_WARN_MS 10000
#define SKEW_FAIL_MS 60000 /* the enclave signs nothing above it; KMS refuses at 5 minutes */

uint32_t cs_doctor_aws_left(const cs_doctor *d, uint32_t max)
{
    uint64_t now = cs_clock_mono_ms(), left = d->check_ends_ms > now ? d->check_ends_ms - now : 1;

    return left < max ? (uint32_t)left : max;
}

void cs_doctor_aws_date(void *cookie, cs_slice name, cs_slice value)
{
    int64_t *skew = cookie;
    uint64_t then = 0;
    char text[64];

    if (name.len != 4 || strncasecmp((const char *)name.p, "date", 4) != 0 || value.len >= sizeof text) {
        return;
    }
    memcpy(text, value.p, value.len);
    text[value.len] = '\0';
    if (cs_curl_date(text, &then) == CS_OK) {
        *skew = (int64_t)(cs_clock_wall_ms() - then);
    }
}

/* ---------------------------------------------------------------- IMDS */

/* One request without retries; *status 0: no answer. */
static cs_err imds(int *status, cs_doctor *d, const char *method, const char *path, const char *header)
{
    char url[512];
    cs_buf body = cs_buf_heap(CS_IMDS_MAX_BODY);
    cs_curl_reply r = {.body = &body};
    uint32_t ms = cs_doctor_aws_left(d, STEP_MS);
    cs_curl_request q = {.method = method,
                         .url = url,
                         .headers = {header},
                         .connect_ms = ms,
                         .timeout_ms = ms,
                         .max_bytes = CS_IMDS_MAX_BODY};
    int n = snprintf(url, sizeof url, "%s%s", d->imds != NULL ? d->imds : CS_IMDS_DEFAULT, path);

    *status = 0;
    if (n < 0 || (size_t)n >= sizeof url) {
        cs_buf_free(&body);
        return CS_E_RANGE;
    }
    cs_err err = cs_curl_run(&r, &q);
    *status = err == CS_OK ? r.status : 0;
    cs_buf_free(&body); /* wipes a token too */
    return err;
}

/* The token is what the hop limit may swallow: other answers then come all the same. */
static void no_token(const cs_doctor *d, cs_doctor_line *l, cs_err err, const int status[2])
{
    int token = status[0], plain = status[1];

    if (err == CS_E_TIMEOUT && plain != 0) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_IMDS_HOP, "IMDS answers (HTTP %d), but its token does not arrive",
                             plain);
    } else if (err != CS_OK) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_IMDS_ABSENT, "nothing answers at %.120s (%s)",
                             d->imds != NULL ? d->imds : CS_IMDS_DEFAULT, cs_err_code(err));
    } else if (token == 404 || token == 405) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_IMDS_V1, "IMDS gives no token (HTTP %d)", token);
    } else {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_IMDS_OFF, "IMDS gives no token (HTTP %d)", token);
    }
}

void cs_doctor_aws_imds(cs_doctor *d, cs_doctor_line *l)
{
    int status[2]; /* of the token; of a request without one */
    cs_err err = imds(&status[0], d, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 60");
    cs_err second = imds(&status[1], d, "GET", "/latest/meta-data/", NULL);

    (void)second; /* its status is 0 then */
    if (err != CS_OK || status[0] != 200) {
        no_token(d, l, err, status);
    } else if (status[1] == 200) {
        cs_doctor_report_say(l, CS_DOCTOR_WARN, CS_E_IMDS_OPEN, "IMDS gives a token, and answers without one too");
    } else {
        cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "version 2 only; the hop limit lets the token through to here");
    }
}

void cs_doctor_aws_credentials(cs_doctor *d, cs_doctor_line *l)
{
    uint32_t ms = cs_doctor_aws_left(d, STEP_MS);
    cs_imds_opts o = {.endpoint = d->imds, .timeout_ms = ms, .tries = 1};
    cs_err err = cs_imds_credentials(NULL, &d->creds, &o);
    uint64_t now = cs_clock_wall_ms();

    if (err != CS_OK) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, err, "%s (%s)",
                             err == CS_E_CRED_EXPIRED ? "the role's credentials have expired"
                                                      : "IMDS gives no credentials of a role",
                             cs_err_code(err));
        return;
    }
    size_t n = strlen(d->creds.access_key_id);
    const char *end = d->creds.access_key_id + (n > 4 ? n - 4 : 0);
    if (d->creds.expires_ms <= now) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_CRED_EXPIRED, "the role's credentials (...%s) expired %llu s ago",
                             end, (unsigned long long)((now - d->creds.expires_ms) / 1000));
        cs_aws_creds_wipe(&d->creds);
        return;
    }
    unsigned long long left = (d->creds.expires_ms - now) / 1000;
    d->have_creds = true;
    cs_doctor_report_say(l, left < EXPIRY_WARN_S ? CS_DOCTOR_WARN : CS_DOCTOR_OK,
                         left < EXPIRY_WARN_S ? CS_E_CRED_EXPIRED : CS_OK,
                         "the role's credentials (...%s) hold for %llu min more", end, left / 60);
}

/* ---------------------------------------------------------------- S3 */

static bool s3_ready(cs_s3_uri *uri, cs_s3_opts *o, cs_doctor *d, cs_doctor_line *l)
{
    bool age = o->max_bytes == CS_S3_MAX_AGE_KEY;
    const char *text = age ? d->age_uri : d->shares_uri;

    if (text == NULL) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "%s is not set", age ? "AGE_KEY_S3_URI" : "KEY_SHARES_S3_URI");
        return false;
    }
    if (cs_s3_parse_uri(uri, text) != CS_OK) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_FORMAT, "not s3://BUCKET/KEY: %.200s", text);
        return false;
    }
    if (!d->have_creds) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "no credentials to ask S3 with");
        return false;
    }
    o->region = d->region;
    o->endpoint = d->s3;
    o->ca_file = d->ca_file;
    o->creds = &d->creds;
    o->connect_ms = cs_doctor_aws_left(d, STEP_MS);
    o->timeout_ms = cs_doctor_aws_left(d, d->deadline_ms);
    return true;
}

static void s3_refused(cs_doctor_line *l, cs_err err, const cs_s3_uri *uri, const cs_s3_info *info)
{
    cs_doctor_report_say(l, CS_DOCTOR_FAIL, err, "s3://%s/%.120s: %s%s%s%s%s", uri->bucket, uri->key, cs_err_code(err),
                         info->code[0] != '\0' ? ", " : "", info->code,
                         info->region[0] != '\0' ? ", the bucket is in " : "", info->region);
}

/* What is in the clear must not lie there: an age identity that KMS did not encrypt. */
static bool in_the_clear(cs_slice object)
{
    static const char *const marks[] = {"AGE-SECRET-KEY-", "-----BEGIN"};

    for (size_t m = 0; m < 2; m++) {
        if (memmem(object.p, object.len, marks[m], strlen(marks[m])) != NULL) {
            return true;
        }
    }
    return false;
}

void cs_doctor_aws_age_key(cs_doctor *d, cs_doctor_line *l)
{
    cs_s3_opts o = {.max_bytes = CS_S3_MAX_AGE_KEY};
    cs_s3_info info = {0};
    cs_s3_uri uri;

    if (!s3_ready(&uri, &o, d, l)) {
        return;
    }
    d->age_key = cs_buf_heap(CS_S3_MAX_AGE_KEY);
    cs_err err = cs_s3_get(&d->age_key, &info, &uri, &o);
    if (err != CS_OK) {
        s3_refused(l, err, &uri, &info);
    } else if (d->age_key.len == 0 || in_the_clear(cs_buf_slice(&d->age_key))) {
        cs_doctor_report_say(l, CS_DOCTOR_FAIL, CS_E_KMS_CIPHERTEXT, "s3://%s/%.120s is %s, no ciphertext of KMS",
                             uri.bucket, uri.key, d->age_key.len == 0 ? "empty" : "in the clear");
        cs_buf_free(&d->age_key);
    } else {
        cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "s3://%s/%.120s may be read (%zu bytes)", uri.bucket, uri.key,
                             d->age_key.len);
    }
}

void cs_doctor_aws_shares(cs_doctor *d, cs_doctor_line *l)
{
    cs_s3_opts o = {.max_bytes = CS_S3_MAX_SHARES};
    cs_s3_info info = {0};
    cs_s3_uri uri;

    if (!s3_ready(&uri, &o, d, l)) {
        return;
    }
    cs_err err = cs_s3_head(&info, &uri, &o);
    if (err == CS_OK && (info.size == 0 || info.size > CS_S3_MAX_SHARES)) {
        err = info.size == 0 ? CS_E_INJECT_EMPTY : CS_E_TOO_LARGE;
    }
    if (err != CS_OK) {
        s3_refused(l, err, &uri, &info);
        return;
    }
    cs_doctor_report_say(l, CS_DOCTOR_OK, CS_OK, "s3://%s/%.120s may be read (%llu bytes)", uri.bucket, uri.key,
                         (unsigned long long)info.size);
}

/* ---------------------------------------------------------------- the clock */

/* S3 answers without credentials too, with a refusal and the time. */
static void s3_date(cs_doctor *d)
{
    char url[256];
    cs_buf body = cs_buf_heap(CS_DOCTOR_FILE_MAX);
    cs_curl_reply r = {.body = &body, .on_header = cs_doctor_aws_date, .cookie = &d->skew_ms[0]};
    uint32_t ms = cs_doctor_aws_left(d, STEP_MS);
    cs_curl_request q = {.method = "GET",
                         .url = url,
                         .ca_file = d->ca_file,
                         .connect_ms = ms,
                         .timeout_ms = ms,
                         .max_bytes = CS_DOCTOR_FILE_MAX};
    int n = d->s3 != NULL ? snprintf(url, sizeof url, "%s/", d->s3)
                          : snprintf(url, sizeof url, "https://s3.%s.amazonaws.com/", d->region);

    if (n > 0 && (size_t)n < sizeof url && cs_curl_run(&r, &q) != CS_OK) {
        d->skew_ms[0] = CS_DOCTOR_SKEW_UNKNOWN;
    }
    cs_buf_free(&body);
}

void cs_doctor_aws_skew(cs_doctor *d, cs_doctor_line *l)
{
    static const char *const names[] = {"S3", "KMS"};
    int64_t worst = 0;
    const char *of = NULL;

    s3_date(d);
    for (int i = 0; i < 2; i++) {
        int64_t s = d->skew_ms[i];
        if (s != CS_DOCTOR_SKEW_UNKNOWN && (of == NULL || (s < 0 ? -s : s) > (worst < 0 ? -worst : worst))) {
            worst = s;
            of = names[i];
        }
    }
    if (of == NULL) {
        cs_doctor_report_say(l, CS_DOCTOR_SKIP, CS_OK, "neither S3 nor KMS told the time");
        return;
    }
    int64_t size = worst < 0 ? -worst : worst;
    cs_doctor_report_say(l,
                         size > SKEW_FAIL_MS   ? CS_DOCTOR_FAIL
                         : size > SKEW_WARN_MS ? CS_DOCTOR_WARN
                                               : CS_DOCTOR_OK,
                         size > SKEW_WARN_MS ? CS_E_CLOCK_SKEW : CS_OK, "this clock is %lld.%lld s %s %s's",
                         (long long)(size / 1000), (long long)(size % 1000 / 100), worst < 0 ? "behind" : "ahead of",
                         of);
}
