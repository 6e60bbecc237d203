/* The pipeline: frame -> decode -> authorise -> execute -> respond; and the life of a core. */
#include "core/core.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/core_int.h"
#include "core/ops/ops.h"
#include "core/ops/party.h"
#include "core/ops/waits.h"
#include "core/pipeline/respond.h"
#include "core/tee/tee.h"
#include "secret/rng.h"

#define KEY_AFTER_MS 100u

typedef void execute_fn(cs_core *c, const cs_permit *p);

/* One function for each operation; all take a permit. */
static execute_fn *const execute[CS_NUM_OPS] = {
    [CS_OP_PARTY_OPEN] = cs_op_party_open,
    [CS_OP_PARTY_ROOM] = cs_op_party_open,
    [CS_OP_PARTY_DATA] = cs_op_party_data,
    [CS_OP_PARTY_CLOSE] = cs_op_party_close,
    [CS_OP_ATTEST] = cs_op_attest,
    [CS_OP_STATUS] = cs_op_status,
    [CS_OP_INJECT_AGE] = cs_op_inject_age,
    [CS_OP_SHARES_BEGIN] = cs_op_shares_begin,
    [CS_OP_SHARES_CHUNK] = cs_op_shares_chunk,
    [CS_OP_SHARES_END] = cs_op_shares_end,
    [CS_OP_SHARES_CANCEL] = cs_op_shares_cancel,
    [CS_OP_UNBAN] = cs_op_unban,
    [CS_OP_SIGN_WAIT] = cs_op_sign_wait,
    [CS_OP_SIGN_CANCEL] = cs_op_sign_cancel,
    [CS_OP_TEE_CALL] = cs_op_tee_call,
    [CS_OP_TEE_ENTRIES] = cs_op_tee_entries,
    [CS_OP_KMS_REPLY] = cs_op_kms_reply,
    [CS_OP_CRED_STATE] = cs_op_cred_state,
};

/* What comes in bulk behind another frame, which is refused and logged: a line for each would push everything else out of the log. */
static bool in_bulk(cs_op op)
{
    return op == CS_OP_SHARES_CHUNK || op == CS_OP_PARTY_DATA || op == CS_OP_TEE_CALL;
}

static void refuse(cs_core *c, const cs_request *r, cs_err why)
{
    c->counters.refused++;
    cs_log_err(in_bulk(r->op) ? CS_LOG_DEBUG : CS_LOG_INFO, "refused", why, CS_LC("frame", cs_rpc_name(r->frame.type)),
               CS_LC("phase", cs_phase_name(c->phase)));
    cs_respond_code(c, cs_op_table[r->op].answer, r->frame.id, why);
}

cs_err cs_core_frame(cs_core *c, cs_core_link link, cs_slice bytes)
{
    static cs_request r; /* 3 kB; one thread */
    const cs_permit *permit = NULL;
    cs_err err;

    c->counters.frames[link]++;
    CS_TRY(cs_request_decode(&r, link, bytes));
    err = cs_authorise(c, &r, &permit);
    if (err != CS_OK) {
        refuse(c, &r, err);
    } else {
        execute[r.op](c, permit);
    }
    return CS_OK;
}

void cs_core_link_down(cs_core *c, cs_core_link link)
{
    c->down[link] = true;
    cs_log_err(CS_LOG_ERROR, "link", CS_E_CLOSED, CS_LC("link", link == CS_LINK_KMS ? "sign-kms" : "sign-service"));
    if (link == CS_LINK_KMS) {
        cs_load_link_down(c);
    }
    if (link == CS_LINK_KMS && c->tee != NULL) {
        cs_tee_kms_down(c->tee);
    }
}

/*
 * The key for the first load is made when core has been waiting for a moment, or by the load: 100 ms on a fast machine, seconds on
 * an emulated one, in which core answers already.
 */
static bool key_wanted(const cs_core *c)
{
    return c->phase == CS_PHASE_WAITING && c->load.rsa.key == NULL && !c->key_tried;
}

void cs_core_tick(cs_core *c)
{
    const uint64_t now = cs_clock_mono_ms();

    cs_party_silence(c, now);
    cs_load_tick(c, now);
    if (c->tee != NULL) {
        cs_tee_tick(c->tee, now);
    }
    if (key_wanted(c) && now >= c->started_ms + KEY_AFTER_MS) {
        c->key_tried = true;
        if (cs_rsa_make(&c->load.rsa) != CS_OK) {
            cs_log_err(CS_LOG_ERROR, "rsa", CS_E_NO_MEMORY); /* tried again by the load */
        }
    }
}

uint64_t cs_core_wait_ms(const cs_core *c)
{
    const uint64_t now = cs_clock_mono_ms();
    uint64_t at = cs_load_deadline(&c->load);

    if (c->streams.first != NULL && c->streams.first->active_ms + c->config->silence_ms < at) {
        at = c->streams.first->active_ms + c->config->silence_ms;
    }
    if (c->tee != NULL && cs_tee_deadline(c->tee) < at) {
        at = cs_tee_deadline(c->tee);
    }
    if (key_wanted(c) && c->started_ms + KEY_AFTER_MS < at) {
        at = c->started_ms + KEY_AFTER_MS;
    }
    return at <= now ? 0 : at - now < 60000 ? at - now : 60000;
}

static cs_err read_pcrs(cs_core *c)
{
    static const unsigned index[CS_STATUS_PCRS] = {0, 1, 2, 3, 4, 8};

    for (unsigned i = 0; i < CS_STATUS_PCRS; i++) {
        CS_TRY(cs_nsm_pcr_of(c->nsm, index[i], &c->pcr[i]));
        /* a debug enclave has zeros in 0, 1 and 2 and real values elsewhere [nitro-kms.md 5.5] */
        c->debug |= index[i] <= 2 && cs_ct_is_zero(c->pcr[i].value, sizeof c->pcr[i].value);
    }
    return CS_OK;
}

static cs_err init(cs_core *c)
{
    c->permits = cs_permits_new();
    c->plain = cs_secret_alloc(CS_FRAME_MAX_PLAIN);
    c->out = cs_secret_alloc(CS_RPC_MAX);
    if (c->permits == NULL || c->plain == NULL || c->out == NULL) {
        return CS_E_NO_MEMORY;
    }
    CS_TRY(cs_answers_init(&c->answers, CS_ANSWERS_MAX));
    CS_TRY(cs_random(c->boot, sizeof c->boot));
    CS_TRY(read_pcrs(c));
    return c->config->tee_enabled ? cs_tee_new(&c->tee, c) : CS_OK;
}

int cs_core_fd(const cs_core *c)
{
    return cs_tee_fd(c->tee);
}

cs_err cs_core_new(cs_core **out, const cs_core_args *args)
{
    cs_core *c = calloc(1, sizeof *c);
    cs_err err;

    if (c == NULL) {
        return CS_E_NO_MEMORY;
    }
    c->config = args->config;
    c->nsm = args->nsm;
    c->io = args->io;
    c->emulated = args->emulated;
    c->filtered = args->filtered;
    c->started_ms = cs_clock_mono_ms();
    err = init(c);
    if (err != CS_OK) {
        cs_core_free(c);
        return err;
    }
    cs_log(CS_LOG_INFO, "phase", CS_LC("phase", cs_phase_name(c->phase)),
           CS_LHEX("boot", cs_slice_of(c->boot, sizeof c->boot)), CS_LB("debug", c->debug),
           CS_LB("emulated", c->emulated), CS_LB("locked", cs_arena_locked()));
    *out = c;
    return CS_OK;
}

static void wipe_secrets(cs_core *c)
{
    cs_tee_stop(c->tee); /* it holds the set */
    cs_party_end_all(c, CS_E_CLOSED);
    cs_waits_cleanup(&c->waits);
    cs_load_cleanup(&c->load);
    cs_share_free(c->set);
    c->set = NULL;
    cs_peers_cleanup(&c->peers);
}

void cs_core_stop(cs_core *c)
{
    if (c->phase != CS_PHASE_STOPPED) {
        cs_phase_go(&c->phase, CS_PHASE_STOPPED);
        wipe_secrets(c);
    }
}

void cs_core_free(cs_core *c)
{
    if (c == NULL) {
        return;
    }
    c->down[CS_LINK_SERVICE] = c->down[CS_LINK_KMS] = true;
    wipe_secrets(c);
    cs_tee_free(c->tee);
    cs_answers_cleanup(&c->answers);
    cs_permits_free(c->permits);
    cs_secret_free(c->plain);
    cs_secret_free(c->out);
    free(c);
}

cs_phase cs_core_phase(const cs_core *c)
{
    return c->phase;
}
