/*
 * Second stage, and the only maker of permits: an operation can be executed with a permit only, and permits are opaque and
 * made in authorise.c alone, so that skipping the checks does not compile.
 */
#ifndef CS_CORE_AUTHORISE_H
#define CS_CORE_AUTHORISE_H

#include "core/pipeline/request.h"
#include "secret/mpc/mpc.h"

struct cs_chan;

/* Room for the one permit of each kind that is in use at a time. */
typedef struct cs_permits cs_permits;
/* cs_permits_new - heap; NULL when there is none. */
cs_permits *cs_permits_new(void);
void cs_permits_free(cs_permits *p);

/* To execute one request; valid until the next call of cs_authorise. */
typedef struct cs_permit cs_permit;
/* cs_permit_frame - the frame that was authorised. */
const cs_rpc_frame *cs_permit_frame(const cs_permit *p);
cs_op cs_permit_op(const cs_permit *p);

/*
 * cs_authorise - link (checked at decoding), phase, sizes. CS_OK and *out, or the refusal of the table (NOT_SERVING,
 * INJECT_PHASE, STATE), CS_E_RANGE (nonce), CS_E_INJECT_EMPTY, CS_E_TOO_LARGE (age file), CS_E_FORMAT (account id), CS_E_UNBAN,
 * CS_E_TEE_DISABLED, CS_E_TEE_BUSY.
 */
CS_MUST cs_err cs_authorise(cs_core *c, const cs_request *r, const cs_permit **out);

/* To sign one digest with one key for one channel; valid until the next call of cs_authorise_sign. */
typedef struct cs_sign_permit cs_sign_permit;

/* What a sign permit says. Pointers live as long as the permit and the hello's bytes. The key borrows from the set in service. */
typedef struct cs_sign_grant {
    const cs_mpc_key *key;
    uint16_t peer; /* the other signer's index */
    const uint8_t *digest32, *label32, *data32;
    const uint32_t *path;
    size_t path_len;
    cs_slice account_id;
    int64_t tx_id;
    const uint8_t *answer65; /* not NULL: this was signed before, r || s || recid; nothing is to be signed again */
    uint64_t live_stream;    /* the stream that has a live session of the same triple, if has_live */
    bool has_live;
} cs_sign_grant;
const cs_sign_grant *cs_sign_permit_grant(const cs_sign_permit *p);

/* What the request said that came by gRPC: label and cs_answers_data of it. */
typedef struct cs_sign_want {
    const uint8_t *label32, *data32;
} cs_sign_want;

/*
 * cs_authorise_sign - the client's authenticated hello, on the channel that it came through. Checks in this order: shape, account
 * known and of this channel's two parties, two signers, epoch, path, execution id. Remembers the triple for stream.
 * want: NULL, or the hello must be of that request (CS_E_ABORT_SESSION).
 * CS_E_FORMAT | CS_E_DIGEST_LENGTH | CS_E_ACCOUNT_UNKNOWN | CS_E_UNSUPPORTED (not t = 2) | CS_E_EPOCH | CS_E_RANGE (path) |
 * CS_E_EXECUTION_CONFLICT.
 */
CS_MUST cs_err cs_authorise_sign(cs_core *c, const struct cs_chan *channel, uint64_t stream, cs_slice hello_cbor,
                                 const cs_sign_want *want, const cs_sign_permit **out);

#endif
