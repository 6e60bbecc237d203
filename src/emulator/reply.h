/* A request and its answer inside the emulator, apart from the transport: services are functions from one to the other. */
#ifndef CS_EMULATOR_REPLY_H
#define CS_EMULATOR_REPLY_H

#include "emulator/state.h"

#define CS_EMU_MAX_BODY (300u * 1024u * 1024u)

typedef struct cs_emu_request {
    cs_sigv4_request sig; /* method, path, query and headers as received; payload_hash is set by the service */
    cs_slice body;
    bool plain_http; /* it came without TLS */
} cs_emu_request;

#define CS_EMU_REPLY_HEADERS 40
typedef struct cs_emu_reply {
    unsigned status;
    struct {
        char name[80];
        char value[2300];
    } header[CS_EMU_REPLY_HEADERS];
    size_t num_headers;
    cs_buf body;       /* heap, CS_EMU_MAX_BODY; freed by the owner of the reply */
    uint32_t delay_ms; /* it goes out so much later */
    bool dropped;      /* it does not go out: the connection ends */
} cs_emu_reply;

/* cs_emu_reply_header - formatted; one that does not fit is dropped whole. */
__attribute__((format(printf, 3, 4))) void cs_emu_reply_header(cs_emu_reply *r, const char *name, const char *fmt, ...);
/* cs_emu_reply_json - body and content type; the reference is taken. */
void cs_emu_reply_json(cs_emu_reply *r, unsigned status, const char *content_type, json_t *body_take);
void cs_emu_reply_text(cs_emu_reply *r, unsigned status, const char *content_type, const char *text);

/*
 * cs_emu_form_get - value of the first parameter of that name in a form or query string, decoded ('+' is a blank), NUL-terminated;
 * "" for a name alone. CS_E_NOT_FOUND | CS_E_FORMAT (escapes, NUL) | CS_E_RANGE (cap). On an error out is undefined but for
 * CS_E_NOT_FOUND, which leaves it.
 */
CS_MUST cs_err cs_emu_form_get(cs_slice form, const char *name, char *out, size_t cap);

/* The services. Each fills reply, whatever the request is. */
void cs_emu_kms(cs_emu_state *s, cs_emu_reply *reply, cs_emu_request *q);
void cs_emu_sts(cs_emu_state *s, cs_emu_reply *reply, cs_emu_request *q);
void cs_emu_s3(cs_emu_state *s, cs_emu_reply *reply, cs_emu_request *q);
struct cs_emu_imds;
void cs_emu_imds_serve(struct cs_emu_imds *imds, cs_emu_state *s, cs_emu_reply *reply, cs_emu_request *q);

/* Session tokens of the metadata service. */
#define CS_EMU_IMDS_TOKENS 256
typedef struct cs_emu_imds {
    struct {
        char text[57];
        uint64_t expires_mono_ms;
    } token[CS_EMU_IMDS_TOKENS];
    size_t next;
} cs_emu_imds;

#endif
