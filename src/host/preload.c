/*
 * The preload of seed 000, phase by phase: IMDSv2 credentials, the two S3 objects, injection on 7100, 7101 and 7102 in any
 * order (each again until its port listens), then until the enclave serves. Ciphertext and credentials only; wiped at the end.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "host/host.h"
#include "net/aws/imds.h"
#include "net/aws/s3.h"

#define LISTEN_MS 20000u
#define ANSWER_MS 130000u
#define BUSY_TRIES 50
#define STATUS_MAX ((size_t)256 << 10)

void cs_phase(const char *name, uint64_t started_ms, cs_err err, const char *detail)
{
    uint64_t took = cs_clock_mono_ms() - started_ms;

    printf("  %-22s %6llu ms  %s%s%s\n", name, (unsigned long long)took, err == CS_OK ? "ok" : cs_err_code(err),
           detail[0] != '\0' ? "  " : "", detail);
    (void)fflush(stdout);
}

static cs_err fetch_object(cs_buf *out, const cs_preload_opts *o, const cs_aws_creds *creds, const char *uri_text,
                           size_t max, char why[200])
{
    cs_s3_opts s3 = {.region = o->region, .endpoint = o->s3, .ca_file = o->ca_file, .creds = creds, .max_bytes = max};
    uint64_t start = cs_clock_mono_ms();
    cs_s3_info info = {0};
    cs_s3_uri uri;
    char detail[256];

    *out = cs_buf_heap(max);
    cs_err err = cs_s3_parse_uri(&uri, uri_text);
    if (err == CS_OK) {
        err = cs_s3_get(out, &info, &uri, &s3);
    }
    if (err == CS_OK) {
        (void)snprintf(detail, sizeof detail, "%.100s (%zu bytes)", uri.key, out->len);
    } else {
        (void)snprintf(detail, sizeof detail, "%s%s%.100s%s%.60s", info.code, info.code[0] != '\0' ? " " : "", uri_text,
                       o->s3 != NULL ? " at " : "", o->s3 != NULL ? o->s3 : "");
        (void)snprintf(why, 200, "%.199s", detail);
    }
    cs_phase("S3 GetObject", start, err, detail);
    return err;
}

cs_err cs_preload_fetch(cs_preload *p, const cs_preload_opts *o)
{
    cs_imds_opts imds = {.endpoint = o->imds};
    uint64_t start = cs_clock_mono_ms();
    cs_aws_creds creds = {0};

    p->credentials = cs_buf_heap(CS_IMDS_MAX_BODY);
    cs_err err = cs_imds_credentials(&p->credentials, &creds, &imds);
    cs_phase("IMDSv2 credentials", start, err, "");
    p->expires_ms = creds.expires_ms;
    if (err == CS_OK && strchr(o->order, 'a') != NULL) {
        err = fetch_object(&p->age_key, o, &creds, o->age_uri, CS_S3_MAX_AGE_KEY, p->detail);
    }
    if (err == CS_OK && strchr(o->order, 's') != NULL) {
        err = fetch_object(&p->shares, o, &creds, o->shares_uri, CS_S3_MAX_SHARES, p->detail);
    }
    explicit_bzero(&creds, sizeof creds);
    return err;
}

/* One injection, on a thread of its own: which of a pair comes first does not matter, and the first one waits. */
struct injection {
    const cs_preload_opts *o;
    unsigned port;
    const char *name;
    cs_slice bytes;
    cs_err err;
    cs_inject_answer answer;
};

static void *inject_thread(void *arg)
{
    struct injection *in = arg;
    uint64_t start = cs_clock_mono_ms();
    cs_endpoint to = {.scheme = CS_EP_UNIX};

    if (in->o->to != NULL) {
        to = in->o->to[in->port - 7100];
    } else {
        (void)snprintf(to.host, sizeof to.host, "%s/enclave-%u.sock", in->o->dir,
                       (unsigned)cs_host_port(&in->o->ports, in->port));
    }
    for (int i = 0; i < BUSY_TRIES; i++) {
        in->err = cs_inject_send(&in->answer, &to, in->bytes, LISTEN_MS, ANSWER_MS);
        if (in->err != CS_OK || in->answer.code != CS_E_INJECT_BUSY) {
            break;
        }
        (void)usleep(20000); /* another injector is connected: try again until it has ended */
    }
    if (in->err == CS_OK) {
        in->err = in->answer.code;
    } else if (in->o->answers_lost && (in->err == CS_E_CLOSED || in->err == CS_E_IO)) {
        in->err = CS_OK; /* wait_serving hears how it ended */
        (void)snprintf(in->answer.detail, sizeof in->answer.detail, "sent; its answer does not come through");
    }
    cs_phase(in->name, start, in->err, in->answer.detail);
    return NULL;
}

/* A refusal, as the status tells it: {"load":{..,"last":"CODE",..}}. CS_OK: none, so far. */
static cs_err refused(const cs_buf *json)
{
    char code[48] = "";
    const uint8_t *at = json->len > 0 ? memmem(json->p, json->len, "\"last\":\"", 8) : NULL;

    if (at == NULL) {
        return CS_OK;
    }
    size_t left = json->len - (size_t)(at + 8 - json->p), len = 0;
    while (len < left && len < sizeof code - 1 && at[8 + len] != '"') {
        code[len] = (char)at[8 + len];
        len++;
    }
    return cs_err_from_code(code);
}

static cs_err wait_serving(const cs_preload_opts *o)
{
    uint64_t start = cs_clock_mono_ms();
    char phase[32] = "";
    cs_err err, refusal = CS_OK;

    do {
        cs_buf json = cs_buf_heap(STATUS_MAX);
        err = cs_host_status(o->answers_lost ? &json : NULL, phase, o->grpc, 2000);
        refusal = err == CS_OK ? refused(&json) : CS_OK;
        cs_buf_free(&json);
        if (refusal != CS_OK || (err == CS_OK && strcmp(phase, "SERVING") == 0)) {
            break;
        }
        (void)usleep(10000);
    } while (cs_clock_mono_ms() - start < LISTEN_MS);
    if (refusal != CS_OK) {
        err = refusal;
    } else if (err == CS_OK && strcmp(phase, "SERVING") != 0) {
        err = CS_E_NOT_SERVING;
    }
    cs_phase("serving", start, err, phase);
    return err;
}

static bool row_of(struct injection *out, char letter, const cs_preload *p, const cs_preload_opts *o)
{
    switch (letter) {
    case 'k':
        *out = (struct injection){o, 7100, "inject 7100 (creds)", cs_buf_slice(&p->credentials), CS_OK, {0}};
        return true;
    case 'a':
        *out = (struct injection){o, 7101, "inject 7101 (age key)", cs_buf_slice(&p->age_key), CS_OK, {0}};
        return true;
    case 's':
        *out = (struct injection){o, 7102, "inject 7102 (shares)", cs_buf_slice(&p->shares), CS_OK, {0}};
        return true;
    default:
        return false;
    }
}

cs_err cs_preload_inject(cs_preload *p, const cs_preload_opts *o)
{
    struct injection in[3];
    pthread_t threads[3];
    size_t num = 0, started = 0;
    cs_err err = CS_OK;

    for (const char *letter = o->order; *letter != '\0' && num < 3; letter++) {
        if (!row_of(&in[num++], *letter, p, o)) {
            return CS_E_USAGE;
        }
    }
    for (; started < num; started++) {
        if (pthread_create(&threads[started], NULL, inject_thread, &in[started]) != 0) {
            err = CS_E_NO_MEMORY;
            break;
        }
    }
    for (size_t i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; err == CS_OK && i < started; i++) {
        err = in[i].err;
        if (err != CS_OK) {
            (void)snprintf(p->detail, sizeof p->detail, "%s%s%s", in[i].name,
                           in[i].answer.detail[0] != '\0' ? ": " : "", in[i].answer.detail);
        }
    }
    return err == CS_OK ? wait_serving(o) : err;
}

void cs_preload_free(cs_preload *p)
{
    cs_buf_free(&p->credentials);
    cs_buf_free(&p->age_key);
    cs_buf_free(&p->shares);
}
