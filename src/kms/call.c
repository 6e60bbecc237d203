/* See call.h. */
#include "kms/call.h"

#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"

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

/* One signed request. The request's bytes hold the session token: wiped by cs_buf_free. */
static cs_err put_signed(cs_buf *request, uint64_t *generation, const cs_kms_link *l, const cs_kms_params *p)
{
    const cs_aws_creds *c = NULL;
    uint64_t now = cs_clock_wall_ms();
    CS_TRY(cs_kms_hold_get(&c, generation, l->hold, now));
    cs_sigv4_signer s = {cs_slice_str(c->access_key_id),
                         cs_slice_str(c->secret_key),
                         cs_slice_str(c->token),
                         l->config->region,
                         cs_slice_str("kms"),
                         now,
                         0,
                         0};
    cs_err err = cs_kms_put_request(request, p, cs_slice_str(l->config->host), &s);
    cs_kms_hold_done(l->hold);
    return err;
}

/* Over one connection, which is kept or closed afterwards. *stale: it was a kept one, and ended before a byte of an answer. */
static cs_err exchange_over(cs_http1_parser *parser, bool *stale, cs_kms_conns *conns, cs_kms_conn *conn,
                            cs_slice request)
{
    bool kept = conn->kept;
    cs_err err = cs_http1_exchange_bytes(&conn->io, parser, request, CS_IO_READ_MS);
    *stale = false;
    if (err == CS_OK && cs_http1_message(parser)->keep_alive) {
        cs_kms_conns_give(conns, conn);
        return CS_OK;
    }
    *stale = kept && (err == CS_E_CLOSED || err == CS_E_IO) && !cs_http1_started(parser);
    cs_kms_conns_drop(conns, conn);
    return err;
}

static cs_err exchange(cs_http1_parser *parser, cs_kms_conns *conns, cs_slice request)
{
    const uint64_t began = cs_clock_mono_ms();
    bool stale = false;
    cs_kms_conn conn;
    CS_TRY(cs_kms_conns_take(&conn, conns, false));
    cs_err err = exchange_over(parser, &stale, conns, &conn, request);
    if (stale && cs_clock_mono_ms() - began < CS_KMS_STALE_MS) {
        CS_TRY(cs_kms_conns_take(&conn, conns, true));
        err = exchange_over(parser, &stale, conns, &conn, request);
    }
    return err;
}

static void one_try(cs_kms_outcome *out, uint64_t *generation, const cs_kms_link *l, const cs_kms_params *p)
{
    static const cs_http1_limits limits = {.body_max = CS_KMS_MAX_ANSWER};
    cs_buf request = cs_buf_heap(CS_KMS_MAX_REQUEST);
    cs_http1_parser *parser = NULL;
    out->status = 0;
    out->answer.type[0] = '\0'; /* of the try before */
    out->err = put_signed(&request, generation, l, p);
    if (out->err == CS_OK && (out->err = cs_http1_parser_new(&parser, CS_HTTP1_RESPONSE, &limits)) == CS_OK) {
        out->err = exchange(parser, l->conns, cs_buf_slice(&request));
    }
    if (out->err == CS_OK) {
        const cs_http1_msg *m = cs_http1_message(parser);
        cs_kms_reply r = {(int)m->status, cs_http1_header_get(m, "x-amzn-errortype"), m->body};
        out->status = r.status;
        check_clock(m);
        out->err = cs_kms_parse_answer(&out->answer, &r, p->action, p->key_id);
    } else if (out->err == CS_E_FORMAT || out->err == CS_E_TOO_LARGE) {
        out->err = parser != NULL ? CS_E_KMS_ANSWER : out->err;
    }
    cs_http1_parser_free(parser);
    cs_buf_free(&request);
}

static void back_off(cs_kms_conns *conns, unsigned tries)
{
    uint32_t r = 0, span = CS_KMS_BACKOFF_MS << tries;
    span = span > CS_KMS_BACKOFF_MAX_MS ? CS_KMS_BACKOFF_MAX_MS : span;
    if (getrandom(&r, sizeof r, 0) == (ssize_t)sizeof r) {
        cs_kms_conns_pause(conns, r % span);
    }
}

static void run_tries(cs_kms_outcome *out, const cs_kms_link *l, const cs_kms_params *p, uint64_t began_ms)
{
    bool again = true;
    if (cs_clock_mono_ms() - began_ms >= CS_KMS_LAST_TRY_MS) {
        out->err = CS_E_TIMEOUT; /* it waited in the queue for so long that nobody would hear the answer */
        return;
    }
    while (again) {
        uint64_t generation = 0;
        one_try(out, &generation, l, p);
        out->tries++;
        again = cs_kms_try_again(out->err, out->tries, cs_clock_mono_ms() - began_ms);
        if (again) {
            back_off(l->conns, out->tries);
        } else if (out->err == CS_E_KMS_TOKEN) {
            again = !cs_kms_hold_expire(l->hold, generation) && out->tries < CS_KMS_TRIES;
        }
    }
}

void cs_kms_run(cs_kms_outcome *out, const cs_kms_link *l, const cs_rpc_frame *frame, uint64_t began_ms)
{
    cs_kms_params p;
    memset(out, 0, sizeof *out);
    out->err = cs_kms_params_of(&p, l->config, frame);
    if (out->err == CS_OK) {
        run_tries(out, l, &p, began_ms);
    }
    const char *target = out->tries == 0 ? "" : cs_kms_target(p.action);
    if (out->err == CS_OK) {
        cs_log(CS_LOG_INFO, "kms-call", CS_LC("target", target), CS_LU("tries", out->tries));
    } else {
        cs_log_err(CS_LOG_WARN, "kms-call", out->err, CS_LC("target", target), CS_LC("type", out->answer.type),
                   CS_LU("status", (uint64_t)out->status), CS_LU("tries", out->tries));
    }
}
