/* signctl participant serve: the client's party as a gRPC server, meeting the enclave's in rooms of a gateway. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "tools/cmds.h"
#include "tools/participant.h"
#include "tools/party_open.h"

#define BACKLOG 128
#define DRAIN_MS 20000u

typedef struct server {
    cs_party_open open;
    cs_participant *participant;
    cs_timer *drain;
    cs_signal *term, *interrupt;
    char bound[CS_EP_TEXT_MAX];
    bool draining;
} server;

static cs_err sign(cs_pjob **out_job, void *signer, const cs_psign_request *r, cs_pclient_fn *fn, void *cookie)
{
    return cs_pclient_sign(out_job, signer, r, fn, cookie);
}

static bool is_loopback(const cs_endpoint *ep)
{
    return ep->scheme == CS_EP_UNIX ||
           (ep->scheme == CS_EP_TCP && (strncmp(ep->host, "127.", 4) == 0 || strcmp(ep->host, "::1") == 0));
}

/* the real address, also when port 0 was asked for */
static cs_err bind_listener(server *s, const cs_args *a, int *out_fd)
{
    const char *text = cs_args_str(a, "listen");
    cs_endpoint ep, bound;
    cs_buf b = cs_buf_wrap(s->bound, sizeof s->bound - 1);
    s->open.detail = text;
    CS_TRY(cs_endpoint_parse(&ep, cs_slice_str(text)));
    CS_TRY(cs_endpoint_listen(out_fd, &ep, BACKLOG));
    cs_err err = cs_endpoint_bound(&bound, *out_fd);
    if (err == CS_OK) {
        err = cs_endpoint_format(&b, &bound);
    }
    if (err == CS_OK && !is_loopback(&bound)) {
        s->open.detail = "--listen: whoever reaches it may sign; give --allow-remote if only those can who may";
        err = cs_args_flag(a, "allow-remote") ? CS_OK : CS_E_USAGE;
        cs_log(CS_LOG_WARN, "listens_beyond_loopback", CS_LC("endpoint", s->bound));
    }
    if (err != CS_OK) {
        (void)close(*out_fd);
    }
    return err;
}

static void stop(void *cookie)
{
    server *s = cookie;
    cs_loop_stop(s->open.loop);
}

/* The first signal lets what is under way end; the second one, or DRAIN_MS, does not wait for it. */
static void on_signal(void *cookie)
{
    server *s = cookie;
    if (s->draining) {
        stop(s);
        return;
    }
    s->draining = true;
    cs_log(CS_LOG_INFO, "draining", CS_LU("requests", cs_participant_busy(s->participant)));
    cs_timer_start(s->drain, DRAIN_MS, 0);
    cs_participant_drain(s->participant, stop, s);
}

static cs_err serve(server *s, const cs_args *a)
{
    int fd = -1;
    s->open.path = CS_PARTY_ROOMS;
    CS_TRY(cs_party_start(&s->open, a));
    CS_TRY(bind_listener(s, a, &fd));
    s->open.detail = s->bound;
    cs_participant_config config = {.loop = s->open.loop,
                                    .shares = s->open.shares,
                                    .sign = sign,
                                    .cancel = cs_pclient_cancel,
                                    .signer = s->open.client};
    CS_TRY(cs_participant_new(&s->participant, &config, fd));
    CS_TRY(cs_timer_new(&s->drain, s->open.loop, stop, s));
    CS_TRY(cs_signal_new(&s->term, s->open.loop, SIGTERM, on_signal, s));
    CS_TRY(cs_signal_new(&s->interrupt, s->open.loop, SIGINT, on_signal, s));
    s->open.detail = NULL;
    cs_log(CS_LOG_INFO, "ready", CS_LC("endpoint", s->bound), CS_LC("gateway", s->open.gateway),
           CS_LU("accounts", cs_share_count(s->open.shares)));
    cs_loop_run(s->open.loop);
    cs_log(CS_LOG_INFO, "stopped", CS_LU("given_up", cs_participant_busy(s->participant)));
    return CS_OK;
}

static int run_serve(const cs_args *a)
{
    static server s;
    cs_log_init("signctl participant", CS_LOG_INFO, STDERR_FILENO);
    cs_err err = serve(&s, a);
    int status = err == CS_E_USAGE ? cs_usage_error(a, "%s", s.open.detail != NULL ? s.open.detail : "a bad option")
                 : err != CS_OK    ? cs_refuse(a, err, false, s.open.detail)
                                   : 0;
    cs_participant_free(s.participant);
    cs_timer_free(s.drain);
    cs_signal_free(s.term);
    cs_signal_free(s.interrupt);
    cs_party_stop(&s.open);
    return status;
}

static const cs_opt serve_opts[] = {
    {"listen", 'l', CS_OPT_STR, "ENDPOINT", "where requests come in (port 0: any free one)", NULL,
     "tcp:127.0.0.1:50052", 0, 0},
    {"gateway", 'g', CS_OPT_STR, "URL", "HTTP of the gateway, e.g. http://127.0.0.1:8080", "GATEWAY_HTTP", NULL, 0, 0},
    {"allow-remote", 0, CS_OPT_FLAG, NULL, "listen beyond this machine: whoever reaches it may sign", NULL, NULL, 0, 0},
    CS_PARTY_ENV_OPT CS_PARTY_SHARE_OPTS{0},
};

const cs_cmd cs_cmds_participant[] = {
    {"participant serve", "[-l ENDPOINT] -g URL --shares FILE (--pcr N=HEX... | --any-pcrs)",
     "the client's party as a server: gRPC mpc.Participant/SignTx",
     "An application sends the same SignMessage to the gateway and here; both parties meet in the gateway's room\n"
     "signing_{tx_id}, and both answers are the same signature, verified on both sides. The enclave's attestation is\n"
     "verified before the first session. There is no authentication of callers: whoever reaches the address may sign\n"
     "with the shares, so it listens on this machine only unless --allow-remote is given.\n\n"
     "The same account_id, tx_id and execution_id with the same data joins the request under way or gets the "
     "remembered\n"
     "answer; with other data it is refused (EXECUTION_CONFLICT). SIGTERM lets what is under way end. Log: JSON lines "
     "on\n"
     "standard error; `ready` names the address.\n\n"
     "examples:\n"
     "    signctl participant serve --shares client_key_shares.json -g http://gateway:8080 --pcr 0=...\n"
     "    signctl participant serve --env build/run/endpoints.env --listen tcp:127.0.0.1:0",
     serve_opts, 0, 0, run_serve},
    {0},
};
