/* Status: metadata only. Source: docs/formats/status.md. */
#include "base/clock.h"
#include "base/json_out.h"
#include "base/log.h"
#include "core/ops/ops.h"
#include "core/pipeline/respond.h"
#include "core/tee/tee.h"

static const unsigned pcr_index[CS_STATUS_PCRS] = {0, 1, 2, 3, 4, 8};

static const char *cred_name(cs_cred_state s)
{
    return s == CS_CRED_PRESENT ? "present" : s == CS_CRED_EXPIRED ? "expired" : "none";
}

static void put_shares(cs_jw *w, const cs_core *c)
{
    cs_jw_u64(w, "generation", c->set == NULL ? 0 : cs_share_generation(c->set));
    cs_jw_u64(w, "accounts", c->set == NULL ? 0 : cs_share_count(c->set));
    if (c->set == NULL) {
        cs_jw_null(w, "shares");
        return;
    }
    cs_jw_object(w, "shares");
    if (cs_share_publisher(c->set) != NULL) {
        cs_jw_hex(w, "publisher", cs_slice_of(cs_share_publisher(c->set), 32));
    } else {
        cs_jw_null(w, "publisher");
    }
    cs_jw_u64(w, "parties", cs_share_num_parties(c->set));
    cs_jw_u64(w, "sealing_roots", cs_share_roots(c->set).num);
    cs_jw_u64(w, "callers", cs_share_num_callers(c->set));
    cs_jw_u64(w, "bytes", cs_share_bytes(c->set));
    cs_jw_close_object(w);
}

static void put_load(cs_jw *w, const cs_core *c)
{
    static const char *const stages[] = {"idle", "waiting for the other file", "waiting for credentials",
                                         "waiting for KMS", "opening the files"};
    const cs_load *l = &c->load;

    cs_jw_object(w, "load");
    cs_jw_cstr(w, "stage", stages[l->stage]);
    cs_jw_cstr(w, "credentials", cred_name(l->cred));
    cs_jw_u64(w, "credentials_expire_ms", l->cred == CS_CRED_PRESENT ? l->cred_expiry_ms : 0);
    cs_jw_u64(w, "done", c->counters.loads_ok);
    cs_jw_u64(w, "failed", c->counters.loads_failed);
    if (l->last_ms != 0) {
        cs_jw_cstr(w, "last", cs_err_code(l->last));
        cs_jw_cstr(w, "last_detail", l->last_detail);
        cs_jw_u64(w, "last_ms", l->last_ms);
    }
    cs_jw_u64(w, "verify_cpu_ms", l->cpu_ns[0] / 1000000);
    cs_jw_u64(w, "parse_cpu_ms", l->cpu_ns[1] / 1000000);
    if (l->work != NULL) {
        unsigned pass = 0;
        size_t total = 0, at = cs_unseal_progress(l->work, &pass, &total);

        cs_jw_u64(w, "pass", pass);
        cs_jw_u64(w, "pass_bytes", at);
        cs_jw_u64(w, "file_bytes", total);
    }
    cs_jw_close_object(w);
}

static void put_sessions(cs_jw *w, const cs_core *c)
{
    const cs_counters *n = &c->counters;

    cs_jw_object(w, "channels");
    cs_jw_u64(w, "open", c->channels.num - c->channels.half_open);
    cs_jw_u64(w, "half_open", c->channels.half_open);
    cs_jw_u64(w, "handshakes", n->handshakes);
    cs_jw_u64(w, "setups", n->setups);
    cs_jw_u64(w, "renewals", c->channels.renewals);
    cs_jw_u64(w, "evicted", c->channels.evicted);
    cs_jw_close_object(w);
    cs_jw_object(w, "sessions");
    cs_jw_u64(w, "streams", c->streams.num);
    cs_jw_u64(w, "live", c->streams.signing);
    cs_jw_u64(w, "limit", c->config->sessions);
    cs_jw_u64(w, "begun", n->sessions);
    cs_jw_u64(w, "signatures", n->signatures);
    cs_jw_u64(w, "answered_again", n->answers);
    cs_jw_u64(w, "answers_forgotten", c->answers.forgotten);
    cs_jw_u64(w, "superseded", n->superseded);
    cs_jw_u64(w, "silent", n->silent);
    cs_jw_u64(w, "gone", n->gone);
    cs_jw_u64(w, "bad_frames", n->tags);
    cs_jw_u64(w, "refused", n->refused);
    cs_jw_close_object(w);
    cs_jw_object(w, "aborts");
    for (unsigned i = 1; i < CS_MPC_NUM_CHECKS; i++) {
        if (n->aborts[i] != 0) {
            cs_jw_u64(w, cs_mpc_check_name((cs_mpc_check)i), n->aborts[i]);
        }
    }
    cs_jw_close_object(w);
}

#define BANS_SHOWN 64

static void put_bans(cs_jw *w, const cs_core *c)
{
    uint64_t now = 0;
    unsigned shown = 0;

    for (const cs_peer *r = c->peers.first; r != NULL; r = r->next) {
        now += r->banned;
    }
    cs_jw_u64(w, "bans", now);
    cs_jw_u64(w, "bans_total", c->peers.bans);
    cs_jw_u64(w, "bans_lifted", c->peers.unbans);
    cs_jw_array(w, "banned");
    for (const cs_peer *r = c->peers.first; r != NULL && shown < BANS_SHOWN; r = r->next) {
        if (!r->banned) {
            continue;
        }
        shown++;
        cs_jw_object(w, NULL);
        cs_jw_hex(w, "key", cs_slice_of(r->peer32, 32));
        cs_jw_cstr(w, "check", cs_mpc_check_name(r->check));
        cs_jw_u64(w, "since_ms", r->banned_wall_ms);
        cs_jw_u64(w, "count", r->bans);
        cs_jw_close_object(w);
    }
    cs_jw_close_array(w);
}

static void put_machine(cs_jw *w, const cs_core *c)
{
    cs_jw_object(w, "memory");
    cs_jw_bool(w, "locked", cs_arena_locked());
    cs_jw_u64(w, "used", cs_arena_used());
    cs_jw_u64(w, "peak", cs_arena_peak());
    cs_jw_u64(w, "size", cs_arena_size());
    cs_jw_close_object(w);
    cs_jw_object(w, "pcrs");
    for (unsigned i = 0; i < CS_STATUS_PCRS; i++) {
        const char name[2] = {(char)('0' + pcr_index[i]), '\0'};

        cs_jw_hex(w, name, cs_slice_of(c->pcr[i].value, sizeof c->pcr[i].value));
    }
    cs_jw_close_object(w);
}

cs_err cs_status_put(cs_buf *out, const cs_core *c)
{
    cs_jw w = cs_jw_begin(out);

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "program", c->emulated ? "sign-core-emulated" : "sign-core");
    cs_jw_cstr(&w, "version", CS_VERSION);
    cs_jw_hex(&w, "boot", cs_slice_of(c->boot, sizeof c->boot));
    cs_jw_cstr(&w, "phase", cs_phase_name(c->phase));
    cs_jw_bool(&w, "debug", c->debug);
    cs_jw_bool(&w, "emulated", c->emulated);
    cs_jw_bool(&w, "filtered", c->filtered);
    cs_jw_u64(&w, "uptime_ms", cs_clock_mono_ms() - c->started_ms);
    cs_jw_bool(&w, "kms_link", !c->down[CS_LINK_KMS]);
    put_shares(&w, c);
    put_load(&w, c);
    put_sessions(&w, c);
    put_bans(&w, c);
    cs_tee_status(&w, c->tee);
    put_machine(&w, c);
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}

void cs_op_status(cs_core *c, const cs_permit *p)
{
    static uint8_t mem[32768];
    cs_buf json = cs_buf_wrap(mem, sizeof mem);
    cs_rpc_frame reply = {.type = CS_RPC_STATUS_REPLY, .id = cs_permit_frame(p)->id};
    cs_err err = cs_status_put(&json, c);

    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "status", err);
        json.len = 0;
    }
    reply.f[0].s = cs_buf_slice(&json);
    cs_respond_frame(c, CS_LINK_SERVICE, &reply);
}
