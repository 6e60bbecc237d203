/*
 * Callers, gateway and KMS around the TEE service of a core: requests are made, signed and sealed here, KMS answers from here, and every
 * reply's audit entry is checked against the one before.
 */
#ifndef CS_TESTS_CORE_TEE_DRIVER_H
#define CS_TESTS_CORE_TEE_DRIVER_H

#include "driver.h"
#include "rpc/tee_rpc.h"
#include "secret/sign/scheme.h"

#define OTHER_ARN "arn:aws:kms:eu-central-1:111122223333:key/0c0ffee0-0000-4000-8000-000000000002"
#define FOREIGN_ARN "arn:aws:kms:eu-central-1:444455556666:key/0c0ffee0-0000-4000-8000-000000000003"
#define NUM_PEOPLE 5
enum {
    ALICE,
    BOB,
    CAROL,
    DAVE,
    NOBODY
}; /* Alice may all of wallet-*; Bob and Carol approve; Dave may little; the last is not in the file */

/* What is wrong with the next answers of KMS. */
typedef struct kms_fault {
    cs_err code;
    const char *key_id;
    bool forged, no_envelope, no_blob, short_key, long_key, another_key; /* another_key: of GenerateDataKey */
} kms_fault;

typedef struct person {
    const char *id;
    cs_secret32 sign_key;
    uint8_t sign_pub[32], seal_key[32], seal_pub[32];
} person;

typedef struct tee_world {
    world *w;
    person who[NUM_PEOPLE];
    uint8_t roots[3][32];
    size_t num_roots;
    kms_fault fault;
    bool kms_silent; /* calls stay in the queue: see kms_answer_one */
    unsigned kms_calls, kms_generated;
    uint8_t spki[1024];
    size_t spki_len;
    uint8_t audit_key[32], request_key[32], boot[16]; /* of the last document */
    uint64_t counter;
    uint8_t head[32];
    uint64_t next_id;        /* of requests */
    bool without_dave;       /* of the next share file */
    unsigned random_fail_in; /* this draw after the next frame fails */
    unsigned fail_in;        /* this allocation of the arena after the next frame fails */
} tee_world;

/* One request, and what is wrong with it. fields as in tee_rpc.h. */
typedef struct tee_ask {
    cs_tee_op op;
    int who; /* NOBODY: unsigned, caller "" */
    cs_slice record;
    uint64_t u1, u2;
    cs_slice bytes, more;
    const cs_slice *records;
    size_t num_records;
    bool sealed;
    /* attachments */
    cs_tee_attached attached;
    const cs_tee_row *rows;
    size_t num_rows;
    /* deviations */
    uint64_t id;     /* of the request; 0: the next */
    int64_t late_ms; /* the request's time is so much before the wall clock */
    const char *as;  /* says to be this caller */
    bool bad_signature, no_signature, bad_attachments, garbage, other_boot;
    int approve[4]; /* persons that approve, ALICE.. + 1; 0: the end */
    bool bad_approval;
} tee_ask;

/* A reply, opened. Slices live until the next reply. */
typedef struct tee_answer {
    cs_err code;
    bool sealed;
    cs_tee_reply reply;
    cs_tee_result result;
    cs_tee_row row[CS_TEE_ROWS_MAX];
    size_t num_rows;
    cs_tee_entry entry; /* when reply.entry.len > 0 */
    uint64_t frame;
} tee_answer;

/* tee_world_new - a core that serves, with the service on: two workers, a queue of 16, no cache. config: changes it before; may be NULL. */
tee_world *tee_world_new(void (*config)(cs_core_config *c));
void tee_world_free(tee_world *t);
/* tee_restart - a new core of the same world that serves generation. tee_learn - the vouch of a document. */
void tee_restart(tee_world *t, uint64_t generation);
void tee_learn(tee_world *t);
/* tee_body - the body of a; tee_frame - the frame: each valid until the next. tee_send - a frame for it; its number. */
cs_slice tee_body(tee_world *t, const tee_ask *a);
cs_slice tee_frame(tee_world *t, uint64_t *out_id, const tee_ask *a);
uint64_t tee_send(tee_world *t, const tee_ask *a);
/* tee_wait - the next reply of core, while workers work and KMS answers. tee_call - send and wait; the code. */
void tee_wait(tee_world *t, tee_answer *out);
cs_err tee_call(tee_world *t, tee_answer *out, const tee_ask *a);
/* tee_settle - until no worker has anything to do and KMS (unless silent) has answered. tee_turn - one wake-up of core, up to ms. */
void tee_settle(tee_world *t);
void tee_turn(tee_world *t, int ms);
/* kms_answer_one - answers the next call of core to KMS as t->fault says. kms_next - takes it, to be answered by kms_reply. */
void kms_answer_one(tee_world *t);
cs_rpc_frame kms_next(tee_world *t);
void kms_reply(tee_world *t, const cs_rpc_frame *call);
/* generate - a key of Alice's under that record; its row, on the test's memory. */
typedef struct kept_row {
    cs_tee_row row;
    uint8_t mem[4][72 * 1024];
} kept_row;
void keep_row(kept_row *out, const tee_answer *a, size_t i);
void generate(tee_world *t, kept_row *out, const char *record, cs_tee_alg alg);
void seal(tee_world *t, kept_row *out, const char *record, cs_slice plain);
uint64_t jobs_under_way(tee_world *t);

#endif
