/* Channel set-up: Noise_KK, then the OT set-up inside the channel, or a renewal of it on a stream of its own. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/ops/party.h"
#include "core/pipeline/respond.h"

/* The record of the two keys and the channel: only for a handshake that was found authentic. */
static cs_err adopt(cs_core *c, cs_chan **out, cs_channel *secret)
{
    cs_peer *peer = NULL;

    CS_TRY(cs_peers_get(&c->peers, &peer, secret->enclave32, secret->client32));
    return cs_channels_add(&c->channels, out, peer, secret, cs_clock_mono_ms());
}

static cs_err accept_hs1(cs_core *c, cs_chan **out, uint8_t hs2[CS_FRAME_HS2_LEN], cs_slice body,
                         const cs_share_party *own)
{
    cs_channel *secret = cs_secret_alloc(sizeof *secret);
    cs_err err = secret == NULL ? CS_E_NO_MEMORY : cs_channel_accept(secret, hs2, body, own->static_key.b);

    if (err == CS_OK) {
        err = adopt(c, out, secret);
    }
    if (err != CS_OK) {
        cs_secret_free(secret);
    }
    return err;
}

cs_err cs_setup_hs1(cs_core *c, cs_stream *s, const cs_frame *f, cs_slice body)
{
    const cs_share_party *own = cs_share_party_by_keys(c->set, f->enclave32, f->client32, NULL);
    uint8_t hs2[CS_FRAME_HS2_LEN];
    cs_rpc_frame reply = {.type = CS_RPC_PARTY_SEND, .id = s->id};
    cs_chan *ch = NULL;

    if (own == NULL) {
        return CS_E_CHANNEL_AUTH;
    }
    if (cs_peers_banned(&c->peers, f->client32)) {
        return CS_E_PEER_BANNED;
    }
    if (cs_channels_find(&c->channels, &f->channel) != NULL) {
        /* in a room old messages are read again */
        return s->room
                   ? CS_E_ABORT_SESSION
                   : CS_E_CHANNEL_AUTH; /* a handshake that is played again does not touch the channel that it made */
    }
    CS_TRY(accept_hs1(c, &ch, hs2, body, own));
    cs_stream_join(s, ch);
    s->kind = CS_STREAM_SETUP;
    c->counters.handshakes++;
    reply.f[0].s = cs_slice_of(hs2, sizeof hs2);
    cs_respond_frame(c, CS_LINK_SERVICE, &reply);
    return CS_OK;
}

static cs_err begin(cs_core *c, cs_stream *s)
{
    const cs_channel *ch = s->chan->secret;
    const cs_share_party *own = cs_share_party_by_keys(c->set, ch->enclave32, ch->client32, NULL);
    cs_mpc_setup_args args = {.peer = s->chan->peer->mpc, .role = CS_MPC_RESPONDER, .chan32 = ch->chan32};

    if (own == NULL) {
        return CS_E_CHANNEL_UNKNOWN;
    }
    args.secret32 = own->static_key.b;
    s->kind = CS_STREAM_SETUP;
    return cs_mpc_setup_new(&s->setup, &args);
}

static cs_err finish(cs_core *c, cs_stream *s)
{
    cs_mpc_pair *pair = cs_mpc_setup_take(s->setup);

    if (pair == NULL) {
        return CS_E_PEER_BANNED;
    }
    CS_TRY(cs_chan_complete(&c->channels, s->chan, pair)); /* transferred */
    c->counters.setups++;
    cs_log(CS_LOG_INFO, "channel", CS_LHEX("peer", cs_slice_of(s->chan->peer->peer32, 32)),
           CS_LU("channels", c->channels.num));
    return cs_party_send(c, s, CS_DATA_OT_DONE, CS_SLICE_NULL);
}

cs_err cs_setup_message(cs_core *c, cs_stream *s, cs_slice msg, cs_mpc_verdict *v, bool *done)
{
    cs_buf out = {0};
    cs_err err = s->setup == NULL ? begin(c, s) : CS_OK;

    if (err != CS_OK) {
        return err;
    }
    CS_TRY(cs_secret_buf(&out, CS_MPC_SETUP_MAX_LEN));
    err = cs_mpc_setup_on(s->setup, msg, &out, v);
    if (err == CS_OK && out.len > 0) {
        err = cs_party_send(c, s, CS_DATA_OT, cs_buf_slice(&out));
    }
    if (err == CS_OK && cs_mpc_setup_done(s->setup)) {
        err = finish(c, s);
        *done = err == CS_OK;
    }
    cs_secret_buf_free(&out);
    return err;
}
