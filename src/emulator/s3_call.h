/* One S3 request inside the emulator. Internal to emulator/s3*.c. */
#ifndef CS_EMULATOR_S3_CALL_H
#define CS_EMULATOR_S3_CALL_H

#include "emulator/reply.h"
#include "emulator/s3_checksum.h"

#define CS_EMU_S3_MAX_KEY 1024u
#define CS_EMU_S3_MAX_PART 10000u

typedef struct cs_emu_s3_call {
    cs_emu_state *s;
    cs_emu_principal who;
    cs_emu_request *q;
    cs_emu_reply *reply;
    char bucket[64];                 /* "" for the service itself */
    char key[CS_EMU_S3_MAX_KEY + 1]; /* decoded; "" for the bucket itself */
    bool key_too_long;
    char base[4096]; /* path of the object's files without their endings */
    cs_buf decoded;  /* body of an aws-chunked upload */
    cs_slice body;
    cs_emu_s3_sums sums; /* that came with the body, and are right */
} cs_emu_s3_call;

void cs_emu_s3_refuse(cs_emu_s3_call *c, unsigned status, const char *code, const char *message);
/* cs_emu_s3_allowed - whether the caller's IAM allows the action (on the bucket, or on its object c->key); refuses if not. */
bool cs_emu_s3_allowed(cs_emu_s3_call *c, const char *action);
/* cs_emu_s3_may - the same without a refusal; of_bucket: on the bucket itself. */
bool cs_emu_s3_may(const cs_emu_s3_call *c, const char *action, bool of_bucket);
/* cs_emu_s3_header - value of a header of the request; NULL slice. cs_emu_s3_query - of a parameter, decoded: "" when absent. */
cs_slice cs_emu_s3_header(const cs_emu_s3_call *c, const char *name);
bool cs_emu_s3_query(const cs_emu_s3_call *c, const char *name, char *out, size_t cap);
/* cs_emu_s3_set_base - c->base of c->bucket and c->key. */
void cs_emu_s3_set_base(cs_emu_s3_call *c);
/* cs_emu_s3_body_ok - the sums and the MD5 that came with c->body are right; refuses if not. */
bool cs_emu_s3_body_ok(cs_emu_s3_call *c);
bool cs_emu_s3_md5(char out[33], cs_slice body);

/* cs_emu_s3_meta - what is kept of an object beside its bytes: new reference, NULL: no such object. */
json_t *cs_emu_s3_meta(const cs_emu_s3_call *c);
/* cs_emu_s3_new_meta - of the request's headers; NULL: no memory. cs_emu_s3_store - write the object; refuses if that fails. */
json_t *cs_emu_s3_new_meta(const cs_emu_s3_call *c);
bool cs_emu_s3_store(cs_emu_s3_call *c, cs_slice body, const char *etag, json_t *meta_take);
void cs_emu_s3_remove(const cs_emu_s3_call *c);

/* The operations; each fills the reply. multipart and bucket: false when the request is not about that. */
void cs_emu_s3_object(cs_emu_s3_call *c);
bool cs_emu_s3_multipart(cs_emu_s3_call *c);
void cs_emu_s3_bucket(cs_emu_s3_call *c);
void cs_emu_s3_list_buckets(cs_emu_s3_call *c);
void cs_emu_s3_list_objects(cs_emu_s3_call *c);
void cs_emu_s3_delete_objects(cs_emu_s3_call *c);

/* A part as a CompleteMultipartUpload document names it. */
typedef struct cs_emu_s3_part {
    uint32_t number;
    char etag[80]; /* without quotes; "" when it is left out */
} cs_emu_s3_part;
/*
 * cs_emu_s3_parse_parts - the parts of a CompleteMultipartUpload document. Pure.
 * CS_E_FORMAT (no such document, no part, a number that is not 1..10000) | CS_E_STATE (not ascending) | CS_E_RANGE (over cap)
 */
CS_MUST cs_err cs_emu_s3_parse_parts(cs_emu_s3_part *out, size_t cap, size_t *out_num, cs_slice xml);
/* cs_emu_s3_parse_delete - the keys of a Delete document, each a json string in *out. CS_E_FORMAT | CS_E_RANGE (over 1000). */
CS_MUST cs_err cs_emu_s3_parse_delete(json_t **out, bool *quiet, cs_slice xml);

typedef enum cs_emu_range { CS_EMU_RANGE_NONE, CS_EMU_RANGE_OK, CS_EMU_RANGE_BAD } cs_emu_range;
/*
 * cs_emu_s3_parse_range - "bytes=A-B", "bytes=A-" or "bytes=-N" of an object of size bytes. NONE: what is no such text is
 * ignored, as S3 does (also several ranges); BAD: outside of the object (416).
 */
cs_emu_range cs_emu_s3_parse_range(cs_slice text, uint64_t size, uint64_t *from, uint64_t *to);

#endif
