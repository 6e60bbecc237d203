/* One S3 request inside the emulator. Internal to emulator/s3*.c. */
#ifndef CS_EMULATOR_S3_CALL_H
#define CS_EMULATOR_S3_CALL_H

#include "emulator/reply.h"

typedef struct cs_emu_s3_call {
    cs_emu_state *s;
    cs_emu_principal who;
    cs_emu_request *q;
    cs_emu_reply *reply;
    char bucket[64];
    char key[1025];  /* decoded; "" for the bucket itself */
    char base[4096]; /* path of the object's files without their endings */
    cs_buf decoded;  /* body of an aws-chunked upload */
    cs_slice body;
} cs_emu_s3_call;

void cs_emu_s3_refuse(cs_emu_s3_call *c, unsigned status, const char *code, const char *message);
/* cs_emu_s3_allowed - whether the caller's IAM allows the action; refuses if not. */
bool cs_emu_s3_allowed(cs_emu_s3_call *c, const char *action);
/* cs_emu_s3_store - write the object; refuses if that fails. */
bool cs_emu_s3_store(cs_emu_s3_call *c, cs_slice body, const char *etag);
bool cs_emu_s3_md5(char out[33], cs_slice body);
/* cs_emu_s3_multipart - answer the request if it is about an upload in parts; false: it is not. */
bool cs_emu_s3_multipart(cs_emu_s3_call *c);
/*
 * cs_emu_s3_parse_parts - the part numbers of a CompleteMultipartUpload document, in order. *out_num: how many. Pure.
 * CS_E_FORMAT (none, not ascending, not 1..10000) | CS_E_RANGE (more than cap)
 */
CS_MUST cs_err cs_emu_s3_parse_parts(uint32_t *out, size_t cap, size_t *out_num, cs_slice xml);

#endif
