/*
 * The channel of two parties and the sessions inside it (docs/formats/party-session.md): frame bodies, the Noise_KK handshake,
 * keys per session and direction, sealing in place.
 *
 * A frame body is what Frame.body carries. All functions are pure; nothing is allocated. A channel (about 500 bytes) and a
 * session (about 200) are secret values that the caller places in arena memory or CS_SECRET locals.
 *
 * Client:  cs_channel_start -> HS1 ... HS2 -> cs_channel_finish -> cs_csession_init per session.
 * Enclave: cs_frame_parse_hs1, look up the two keys, cs_channel_accept -> HS2; cs_csession_init for each new session name.
 */
#ifndef CS_SECRET_CHANNEL_H
#define CS_SECRET_CHANNEL_H

#include "base/bytes.h"
#include "secret/mem.h"
#include "secret/noise.h"

#define CS_FRAME_HS1_LEN 129u /* kind 1, channel 16, client 32, enclave 32, noise 48 */
#define CS_FRAME_HS2_LEN 65u  /* kind 1, channel 16, noise 48 */
#define CS_FRAME_HEAD 41u     /* DATA: kind 1, channel 16, session 16, counter 8 */
#define CS_FRAME_OVERHEAD (CS_FRAME_HEAD + CS_NOISE_TAG)
#define CS_FRAME_MAX_PLAIN 65536u /* the longest message is M2, 42,916 bytes, with its kind byte */
#define CS_FRAME_MAX (CS_FRAME_MAX_PLAIN + CS_FRAME_OVERHEAD)

typedef enum cs_frame_kind { CS_FRAME_HS1 = 0x01, CS_FRAME_HS2 = 0x02, CS_FRAME_DATA = 0x03 } cs_frame_kind;

/* First byte of the plaintext of a DATA frame. */
typedef enum cs_data_kind {
    CS_DATA_OT = 0x10,
    CS_DATA_OT_DONE = 0x11,
    CS_DATA_HELLO = 0x20,
    CS_DATA_MSG = 0x21,
    CS_DATA_ANSWER = 0x22,
    CS_DATA_REFUSED = 0x2f,
} cs_data_kind;

typedef struct cs_channel_id {
    uint8_t b[16];
} cs_channel_id;

/* A frame by its outer fields, nothing verified. Pointers into the parsed body. */
typedef struct cs_frame {
    cs_frame_kind kind;
    cs_channel_id channel;
    cs_channel_id session;   /* DATA */
    uint64_t counter;        /* DATA */
    const uint8_t *client32; /* HS1: static public keys */
    const uint8_t *enclave32;
    cs_slice rest; /* HS1, HS2: the Noise message; DATA: ciphertext and tag */
} cs_frame;

/* cs_frame_parse - shape only. CS_E_FORMAT (unknown kind, length); CS_E_TOO_LARGE (over CS_FRAME_MAX). */
CS_MUST cs_err cs_frame_parse(cs_frame *out, cs_slice body);

/* A channel, complete or (client) waiting for HS2. Secret. */
typedef struct cs_channel {
    cs_channel_id id;
    uint8_t chan32[32];   /* handshake hash: `chan` of specs/mpc-wire.md; public */
    uint8_t client32[32]; /* static public keys */
    uint8_t enclave32[32];
    cs_secret32 secret; /* channel secret */
    bool client;        /* our role */
    bool ready;
    cs_noise noise; /* until ready; wiped then */
} cs_channel;
CS_SECRET_DECLARE(cs_channel)

/*
 * cs_channel_start - client: fresh channel name, writes HS1. CS_E_ENTROPY | CS_E_CHANNEL_AUTH (the enclave's key is of low order).
 * cs_channel_finish - client: takes HS2. CS_E_CHANNEL_AUTH (another channel, wrong tag, low order, shape) | CS_E_STATE; the
 *   channel is wiped on error.
 * cs_channel_accept - enclave: hs1 was parsed by cs_frame_parse and client32 found in the shares; static32 is the private key
 *   of hs1.enclave32. Writes HS2; the channel is ready. CS_E_CHANNEL_AUTH (channel wiped; tag, keys) | CS_E_ENTROPY.
 * cs_channel_wipe - ends it. Sessions made of it keep working until they are wiped.
 */
CS_MUST cs_err cs_channel_start(cs_channel *c, uint8_t out_hs1[CS_FRAME_HS1_LEN], const uint8_t static32[32],
                                const uint8_t enclave32[32]);
CS_MUST cs_err cs_channel_finish(cs_channel *c, cs_slice hs2);
CS_MUST cs_err cs_channel_accept(cs_channel *c, uint8_t out_hs2[CS_FRAME_HS2_LEN], cs_slice hs1,
                                 const uint8_t static32[32]);
void cs_channel_wipe(cs_channel *c);

/* Both directions of one session. Secret. A name must not be used twice in a channel: the keys would repeat (caller's duty). */
typedef struct cs_csession {
    cs_channel_id channel, name;
    cs_secret32 send, receive;
    uint64_t next_send, next_receive;
    bool alive;
} cs_csession;
CS_SECRET_DECLARE(cs_csession)

/* cs_csession_init - name NULL: fresh random name (client). CS_E_STATE (channel not ready) | CS_E_ENTROPY. */
CS_MUST cs_err cs_csession_init(cs_csession *s, const cs_channel *c, const cs_channel_id *name);
/*
 * cs_csession_seal - in place: the caller has written plain_len bytes (kind byte first, 1..CS_FRAME_MAX_PLAIN) at
 * frame + CS_FRAME_HEAD and owns plain_len + CS_FRAME_OVERHEAD bytes; head and tag are put around. *out_len the frame's length.
 * CS_E_RANGE | CS_E_STATE (session over).
 */
CS_MUST cs_err cs_csession_seal(cs_csession *s, uint8_t *frame, size_t *out_len, size_t plain_len);
/* cs_csession_seal_msg - the same from a kind and a payload into out (appended; cap: payload.len + 1 + CS_FRAME_OVERHEAD). */
CS_MUST cs_err cs_csession_seal_msg(cs_csession *s, cs_buf *out, cs_data_kind kind, cs_slice payload);
/*
 * cs_csession_open - decrypt a DATA frame of this channel and session with the next counter. out: room for frame.len -
 * CS_FRAME_OVERHEAD bytes, of other memory or exactly frame.p + CS_FRAME_HEAD (in place). *out_len plaintext, kind byte
 * first, at least 1. Any other frame, counter or tag: CS_E_ABORT_SESSION, the session is wiped, out is wiped.
 * CS_E_RANGE (cap; session as before).
 */
CS_MUST cs_err cs_csession_open(cs_csession *s, uint8_t *out, size_t cap, size_t *out_len, cs_slice frame);
/*
 * cs_csession_try - the same for rooms, where anybody may write: a frame that does not fit is CS_E_STATE (drop it), and the session is
 * as before. CS_E_ABORT_SESSION only when the session is over already.
 */
CS_MUST cs_err cs_csession_try(cs_csession *s, uint8_t *out, size_t cap, size_t *out_len, cs_slice frame);
void cs_csession_wipe(cs_csession *s);

#endif
