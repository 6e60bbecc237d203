/* sign-service between clients and a core that the test plays. Linked by tests only; a step that fails ends the test. */
#ifndef CS_SERVICE_TESTFRONT_H
#define CS_SERVICE_TESTFRONT_H

#include "service/service.h"

typedef struct testfront {
    cs_service s;
    cs_endpoint grpc_ep;
    char dir[64];
    int core; /* our end of the link */
} testfront;

void testfront_set_up(testfront *f);
void testfront_tear_down(testfront *f);
/* testfront_dial - "grpc", "age" or "shares": a connected descriptor. */
int testfront_dial(const testfront *f, const char *name);

/* testfront_core_gets - turns of the loop until core has a frame; its id (may be NULL). */
void testfront_core_gets(testfront *f, cs_rpc_type type, uint64_t *id);
void testfront_core_gets_nothing(testfront *f);
void testfront_core_says(const testfront *f, const cs_rpc_frame *frame);

/* A call of a client: testfront_events with it as the cookie. */
typedef struct testfront_client {
    cs_err ended;
    bool over;
    unsigned messages;
    uint8_t last[16]; /* the beginning of the last message */
    size_t last_len;
} testfront_client;
extern const cs_grpc_call_events testfront_events;

#endif
