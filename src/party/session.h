/*
 * The client's side of docs/formats/party-session.md as state machines: bytes in, bytes out, no I/O. One object per stream:
 * a channel set-up (handshake and OT set-up) or a signing session. All state is in the arena.
 */
#ifndef CS_PARTY_SESSION_H
#define CS_PARTY_SESSION_H

#include "codec/hello.h"
#include "secret/channel.h"
#include "secret/mpc/mpc.h"
#include "secret/share/share.h"

#define CS_PARTY_CHANNEL_SIGNATURES ((uint64_t)1 << 20) /* a channel is renewed before */
#define CS_PARTY_CHANNEL_MS (23u * 3600u * 1000u)

/* Work space of one thread: no session keeps anything in it between calls. Arena. */
typedef struct cs_pwork {
    uint8_t plain[CS_FRAME_MAX_PLAIN];
    uint8_t frame[CS_FRAME_MAX];
} cs_pwork;

/* A complete channel with its OT state. Shared by its sessions; freed with the last one after the owner let it go. */
typedef struct cs_pchannel {
    cs_channel channel;
    cs_mpc_pair *pair;
    unsigned users;
    bool released;
} cs_pchannel;
/* cs_pchannel_release - the owner needs it no more; NULL is fine. */
void cs_pchannel_release(cs_pchannel *c);

/* ---- set-up of a channel */
typedef struct cs_psetup cs_psetup;
/*
 * cs_psetup_new - own identity, index of the peer, the pair's mpc object (borrowed). *out_frame: HS1, in work.
 * CS_E_PEER_BANNED | CS_E_CHANNEL_AUTH | CS_E_ENTROPY | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_psetup_new(cs_psetup **out, cs_pwork *work, cs_slice *out_frame, const cs_share_party *own,
                             uint16_t peer, cs_mpc_peer *mpc_peer);
/*
 * cs_psetup_on - the next frame of the enclave; *out_frame what is to be sent (len 0: nothing), in work. When the set-up is
 * complete *out_channel is set (the caller's, transferred). CS_E_CHANNEL_AUTH | CS_E_ABORT_SESSION | CS_E_PEER_BANNED | the
 * enclave's refusal. v (may be NULL) the check.
 */
CS_MUST cs_err cs_psetup_on(cs_psetup *s, cs_pwork *work, cs_slice *out_frame, cs_pchannel **out_channel,
                            cs_slice frame, cs_mpc_verdict *v);
/*
 * cs_psetup_in_room - from now on a frame that does not parse, or whose tag, counter or name does not fit, is dropped (CS_OK, nothing
 * to send, state as before): anybody may write to a room (docs/formats/rooms.md). cs_psetup_is - channel16 is this set-up's.
 */
void cs_psetup_in_room(cs_psetup *s);
bool cs_psetup_is(const cs_psetup *s, const uint8_t channel16[16]);
void cs_psetup_free(cs_psetup *s);

/* ---- a signature */
typedef struct cs_psign_request {
    cs_slice account_id;
    const cs_mpc_key *key; /* of account_id; borrowed during cs_psign_new only */
    int64_t tx_id;
    cs_slice execution_id; /* 1..64 bytes */
    uint8_t digest32[32];
    uint32_t path[CS_HELLO_MAX_PATH];
    size_t path_len;
} cs_psign_request;

typedef struct cs_psign cs_psign;
/* cs_psign_new - *out_frame: hello and M1. CS_E_PEER_BANNED | CS_E_KEY_MISMATCH | CS_E_RANGE | CS_E_ENTROPY | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_psign_new(cs_psign **out, cs_pwork *work, cs_slice *out_frame, cs_pchannel *channel,
                            const cs_psign_request *r);
/*
 * cs_psign_on - the next frame; *out_frame what is to be sent (len 0: nothing); *out_done: sig holds the signature, verified
 * under the (derived) key. CS_E_ABORT_SESSION | CS_E_PEER_BANNED (the enclave lied) | CS_E_BAD_SIGNATURE | the refusal.
 */
CS_MUST cs_err cs_psign_on(cs_psign *s, cs_pwork *work, cs_slice *out_frame, bool *out_done, cs_mpc_signature *sig,
                           cs_slice frame, cs_mpc_verdict *v);
/* cs_psign_in_room - as cs_psetup_in_room. cs_psign_is - a live session of these names. */
void cs_psign_in_room(cs_psign *s);
bool cs_psign_is(const cs_psign *s, const uint8_t channel16[16], const uint8_t session16[16]);
void cs_psign_free(cs_psign *s);

/* cs_psign_verify - r, s (low), recid under pk33. CS_E_BAD_SIGNATURE. */
CS_MUST cs_err cs_psign_verify(const cs_mpc_signature *sig, const uint8_t digest32[32]);

/*
 * The seam of the hostile-client tests: shipped programs link seam.c, where both do nothing; a test program may link others.
 * Called with a plaintext (kind first) before it is sealed, and with each frame before it is sent.
 */
void cs_party_seam_plain(uint8_t *plain, size_t len);
void cs_party_seam_frame(uint8_t *frame, size_t len);

#endif
