/* See call.h. */
#include "kms/call.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/io.h"

static void check_clock(const cs_http1_msg *m)
{
    uint64_t there = 0, here = cs_clock_wall_ms();
    if (cs_kms_parse_date(cs_http1_header_get(m, "date"), &there) == CS_OK) {
        uint64_t diff_s = (there > here ? there - here : here - there) / 1000;
        if (diff_s > CS_KMS_SKEW_MAX_S) {
            cs_log(CS_LOG_WARN, "clock-skew", CS_LU("seconds", diff_s), CS_LB("ahead", here > there));
        }
    }
}

static cs_err dial(cs_io *io, const cs_kms_link *l)
{
    char text[CS_EP_TEXT_MAX];
    cs_endpoint ep;
    snprintf(text, sizeof text, "vsock:parent:%u", l->config->proxy_port);
    CS_TRY(cs_endpoint_parse(&ep, cs_slice_str(text)));
    cs_endpoint_set_parent(&ep, l->config->parent_cid);
    CS_TRY(cs_io_connect(io, &ep, CS_IO_CONNECT_MS));
    cs_err err = cs_tls_connect_io(io, l->tls, l->config->host, CS_IO_HANDSHAKE_MS);
    if (err != CS_OK) {
        cs_log_err(CS_LOG_WARN, "kms-tls", err, CS_LC("reason", err == CS_E_TLS ? cs_tls_last_error() : ""));
        cs_io_close(io);
    }
    return err;
}

/* One signed request. The request's bytes hold the session token: wiped by cs_buf_free. */
static cs_err put_signed(cs_buf *request, const cs_kms_link *l, const cs_kms_params *p)
{
    const cs_aws_creds *c = NULL;
    uint64_t now = cs_clock_wall_ms();
    CS_TRY(cs_kms_hold_get(&c, l->hold, now));
    cs_sigv4_signer s = {cs_slice_str(c->access_key_id),
                         cs_slice_str(c->secret_key),
                         cs_slice_str(c->token),
                         l->config->region,
                         cs_slice_str("kms"),
                         now,
                         0,
                         0};
    return cs_kms_put_request(request, p, cs_slice_str(l->config->host), &s);
}

static void one_try(cs_kms_outcome *out, const cs_kms_link *l, const cs_kms_params *p)
{
    static const cs_http1_limits limits = {.body_max = CS_KMS_MAX_ANSWER};
    cs_buf request = cs_buf_heap(CS_KMS_MAX_REQUEST);
    cs_http1_parser *parser = NULL;
    cs_io io = {.fd = -1};
    out->status = 0;
    out->answer.type[0] = '\0'; /* of the try before */
    out->err = put_signed(&request, l, p);
    if (out->err == CS_OK && (out->err = cs_http1_parser_new(&parser, CS_HTTP1_RESPONSE, &limits)) == CS_OK &&
        (out->err = dial(&io, l)) == CS_OK) {
        out->err = cs_http1_exchange_bytes(&io, parser, cs_buf_slice(&request), CS_IO_READ_MS);
        cs_io_close(&io);
    }
    if (out->err == CS_OK) {
        const cs_http1_msg *m = cs_http1_message(parser);
        cs_kms_reply r = {(int)m->status, cs_http1_header_get(m, "x-amzn-errortype"), m->body};
        out->status = r.status;
        check_clock(m);
        out->err = cs_kms_parse_answer(&out->answer, &r, p->action, l->config->key_arn);
    } else if (out->err == CS_E_FORMAT || out->err == CS_E_TOO_LARGE) {
        out->err = parser != NULL ? CS_E_KMS_ANSWER : out->err;
    }
    cs_http1_parser_free(parser);
    cs_buf_free(&request);
}

static void back_off(unsigned tries)
{
    uint32_t r = 0, span = CS_KMS_BACKOFF_MS << tries;
    span = span > CS_KMS_BACKOFF_MAX_MS ? CS_KMS_BACKOFF_MAX_MS : span;
    if (getrandom(&r, sizeof r, 0) == (ssize_t)sizeof r) {
        (void)poll(NULL, 0, (int)(r % span));
    }
}

void cs_kms_run(cs_kms_outcome *out, const cs_kms_link *l, const cs_rpc_frame *frame)
{
    const uint64_t began = cs_clock_mono_ms();
    cs_kms_params p;
    memset(out, 0, sizeof *out);
    out->err = cs_kms_params_of(&p, l->config, frame);
    if (out->err == CS_OK) {
        do {
            if (out->tries > 0) {
                back_off(out->tries);
            }
            one_try(out, l, &p);
            out->tries++;
        } while (cs_kms_try_again(out->err, out->tries, cs_clock_mono_ms() - began));
    }
    const char *target = out->err == CS_E_UNSUPPORTED || out->tries == 0 ? "" : cs_kms_target(p.action);
    if (out->err == CS_OK) {
        cs_log(CS_LOG_INFO, "kms-call", CS_LC("target", target), CS_LU("tries", out->tries));
    } else {
        cs_log_err(CS_LOG_WARN, "kms-call", out->err, CS_LC("target", target), CS_LC("type", out->answer.type),
                   CS_LU("status", (uint64_t)out->status), CS_LU("tries", out->tries));
    }
}
