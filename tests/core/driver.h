/*
 * A core without processes: this file plays sign-service, sign-kms with KMS, the security module, the publisher and the client,
 * all over frames. Time stands still unless a test moves it.
 */
#ifndef CS_TESTS_CORE_DRIVER_H
#define CS_TESTS_CORE_DRIVER_H

#include "core/core.h"
#include "secret/age.h"
#include "secret/channel.h"
#include "secret/mpc/mpc.h"
#include "secret/share/share.h"

#define KEY_ARN "arn:aws:kms:eu-central-1:111122223333:key/0c0ffee0-0000-4000-8000-000000000001"
#define NUM_FAMILIES 2 /* sets of parties: accounts alpha and beta belong to the first, gamma to the second */
#define NUM_ACCOUNTS 3

typedef struct packet {
    struct packet *next;
    cs_core_link link;
    size_t len;
    uint8_t bytes[];
} packet;

/* Everything that exists outside of the core. */
typedef struct world {
    cs_core_config config;
    cs_nsm nsm;
    cs_core *core;
    packet *first, *last;
    packet *held;       /* the frame that `next` gave last */
    uint8_t pcr[48];    /* all of them */
    uint8_t spki[1024]; /* public_key of the last document */
    size_t spki_len;
    uint8_t nonce[512];
    size_t nonce_len;
    uint8_t user_data[512];
    size_t user_len;
    bool nsm_fails;
    /* writes sealing roots and callers into share files; NULL: there are none */
    void (*put_tee)(struct world *w, cs_sharefile_writer *fw);
    uint64_t documents;
    /* keys */
    uint8_t publisher_seed[32];
    cs_age_identity *age; /* arena */
    uint8_t client_key[NUM_FAMILIES][32], enclave_key[NUM_FAMILIES][32];
    uint8_t client_pub[NUM_FAMILIES][32], enclave_pub[NUM_FAMILIES][32];
    cs_mpc_parties parties[NUM_FAMILIES];
    cs_mpc_key (*key)[2];            /* [account][party - 1], arena */
    cs_mpc_peer *peer[NUM_FAMILIES]; /* client's side */
    uint64_t next_id;
    const struct ask *room; /* streams are opened for this request in a room; NULL: as gRPC streams */
} world;

extern const char *const account_name[NUM_ACCOUNTS];
extern const unsigned family_of[NUM_ACCOUNTS];
extern uint64_t mono_ms, wall_ms; /* the clock */

world *world_new(void);
/* world_core - (again) make the core of w. */
void world_core(world *w);
void world_free(world *w);

/* give - encode and hand a frame to the core; the result of cs_core_frame. */
cs_err give(world *w, cs_core_link link, const cs_rpc_frame *f);
/* give1 - a frame of one field. */
void give1(world *w, cs_core_link link, cs_rpc_type type, uint64_t id, cs_slice field);
/* next - the next frame of the core to that link; fails the test when there is none. none - true when nothing waits. */
cs_rpc_frame next(world *w, cs_core_link link);
bool none(const world *w, cs_core_link link);
/* expect_reply, expect_end - the next frame to sign-service is REPLY, PARTY_END of that id with that code. */
void expect_reply(world *w, uint64_t id, cs_err code);
void expect_end(world *w, uint64_t id, cs_err code);
/* status - the JSON as a C string, valid until the next call. has - it has that text. */
const char *status(world *w);
void has(world *w, const char *text);
void tick_ms(world *w, uint64_t ms);

/* How a share file is made, and what is wrong with it. */
typedef struct recipe {
    uint64_t generation;
    bool unsigned_file, other_publisher, bad_signature, bad_body, twice, other_recipient, cut, flip, bad_epoch;
    bool without_alpha; /* alpha is not in it */
    bool only_second_family;
    bool third; /* gamma is 2 of 3: the first family's client, the enclave, and the second family's client */
    uint32_t epoch;
    unsigned more;   /* so many further accounts, more-1.., behind the others: all with alpha's key */
    unsigned broken; /* the share of this one of them is 0 */
} recipe;
/* share_file - plaintext; sealed_file - as injected. Both valid until the next call. */
cs_slice share_file(world *w, const recipe *r);
cs_slice sealed_file(world *w, const recipe *r);

/* What the fake KMS does with a call. */
typedef struct kms_answer {
    cs_err code;
    const char *type;
    const char *key_id; /* NULL: the pinned one */
    bool no_envelope, garbage, other_identity, not_an_identity, cut;
} kms_answer;
/* inject_both - age file and shares; answers KMS's call; the code that the second injector hears. */
cs_err inject_both(world *w, const recipe *r, const kms_answer *k);
void inject_age(world *w, uint64_t id);
void inject_shares(world *w, uint64_t id, cs_slice file);
void credentials(world *w, cs_cred_state s);
void answer_kms(world *w, const kms_answer *k);
/* serve - credentials, both files, SERVING. */
void serve(world *w, uint64_t generation);

/* The client. */
typedef struct client {
    unsigned family;
    cs_channel ch;
    cs_mpc_pair *pair;
} client;

typedef struct session {
    uint64_t stream;
    cs_csession cs;
    cs_mpc_sign2 *sign;
    uint8_t digest[32];
} session;

uint64_t open_stream(world *w);
/* client_connect - handshake and OT set-up; the code that ended the stream (OK). client_ot - OT set-up again on a new stream. */
cs_err client_connect(world *w, client *cl, unsigned family);
cs_err client_handshake(world *w, client *cl, unsigned family, uint64_t stream);
cs_err client_ot(world *w, client *cl, uint64_t stream);
void client_free(client *cl);

typedef struct ask {
    unsigned account;
    int64_t tx_id;
    const char *execution;
    uint8_t digest_byte; /* the digest is 32 of these */
    uint32_t epoch;
    uint32_t path[2];
    size_t path_len;
    cs_slice raw_hello; /* instead of all the above */
} ask;
/* named - the fields of SIGN_WAIT and PARTY_ROOM for a; wait_for - SIGN_WAIT of it, its id. */
void named(cs_rpc_frame *f, const ask *a);
uint64_t wait_for(world *w, const ask *a);
/* expect_signature - the next frame is SIGN_REPLY of that id: OK with sig, or code. */
void expect_signature(world *w, uint64_t id, cs_err code, const cs_mpc_signature *sig, bool remembered);
/* session_hello - opens a stream, sends hello and M1. session_m3 - takes M2, sends M3. session_m4 - takes M4 and the end. */
void session_hello(world *w, client *cl, session *s, const ask *a);
void session_m3(world *w, session *s);
cs_err session_m4(world *w, session *s, cs_mpc_signature *sig);
/* session_send - seal plain (kind first) and hand it over. session_get - open the next PARTY_SEND; its plaintext. */
void session_send(world *w, session *s, cs_data_kind kind, cs_slice payload);
cs_slice session_get(world *w, session *s, cs_data_kind kind);
/* session_refused - REFUSED with that code inside, then PARTY_END with the same. */
void session_refused(world *w, session *s, cs_err code);
void session_free(session *s);
/* sign_once - all of it; true when the signature verifies. */
bool sign_once(world *w, client *cl, const ask *a);

#endif
