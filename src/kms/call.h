/*
 * One call to KMS for sign-core: through the parent's proxy, with TLS that ends here, to the pinned keys only.
 * Source: architecture 1 and 2, specs/nitro-kms.md 1.3, 2.
 */
#ifndef CS_KMS_CALL_H
#define CS_KMS_CALL_H

#include "kms/conns.h"
#include "kms/creds_hold.h"
#include "net/aws/kms.h"
#include "rpc/core_rpc.h"

#define CS_KMS_TRIES 3
#define CS_KMS_BACKOFF_MS 50u /* doubled each time, full jitter */
#define CS_KMS_BACKOFF_MAX_MS 2000u
#define CS_KMS_SKEW_MAX_S 60
/*
 * No try begins later than this after the frame came. One try takes at most 2 s (back-off), 0.5 s (a kept connection that turns out to
 * be dead), 3 s (connect), 5 s (handshake) and 10 s (answer): a call ends within the 30 s that core waits.
 */
#define CS_KMS_LAST_TRY_MS 9000u
#define CS_KMS_STALE_MS 500u

typedef struct cs_kms_link {
    const cs_kms_config *config;
    cs_kms_hold *hold;
    cs_kms_conns *conns;
} cs_kms_link;

/* What goes back to core: docs/formats/core-rpc.md, KMS_REPLY. */
typedef struct cs_kms_outcome {
    cs_err err;
    int status; /* HTTP, 0 when there was no answer */
    unsigned tries;
    cs_kms_answer answer; /* type set on refusals, the rest on CS_OK */
} cs_kms_outcome;

/*
 * cs_kms_params_of - a KMS_CALL frame as parameters. CS_E_UNSUPPORTED (operation) | CS_E_KMS_KEY_LIST (a key that is not a pinned one).
 */
CS_MUST cs_err cs_kms_params_of(cs_kms_params *out, const cs_kms_config *config, const cs_rpc_frame *frame);
/* cs_kms_try_again - after error e in try number `tries`: only what may pass by itself (no refusal, no wrong answer), and in time. */
bool cs_kms_try_again(cs_err e, unsigned tries, uint64_t elapsed_ms);
/*
 * cs_kms_run - blocking, for several threads; began_ms: monotonic, when the frame came. Retries what may pass, each time with a fresh
 * signature. A kept connection that turns out to be dead before anything was answered is no try: the same request goes out
 * over a new one, once. Credentials that KMS refuses are wiped, unless others came meanwhile: then they are tried. Logs one line.
 */
void cs_kms_run(cs_kms_outcome *out, const cs_kms_link *link, const cs_rpc_frame *frame, uint64_t began_ms);
/* cs_kms_put_reply - append the KMS_REPLY frame. */
CS_MUST cs_err cs_kms_put_reply(cs_buf *out, uint64_t id, const cs_kms_outcome *o);
/* cs_kms_parse_date - HTTP's "Sun, 06 Nov 1994 08:49:37 GMT" in ms since 1970; pure. CS_E_FORMAT. */
CS_MUST cs_err cs_kms_parse_date(cs_slice text, uint64_t *out_ms);

#endif
