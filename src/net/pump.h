/*
 * A byte pump: copies between two connected sockets until both directions have ended. Half-close passes through, a slow side
 * stops the other (no queue above out_high of net/stream.h), silence in both directions for idle_ms ends it.
 */
#ifndef CS_NET_PUMP_H
#define CS_NET_PUMP_H

#include "net/stream.h"

typedef struct cs_pump cs_pump;
/* done is called once, when the pump has ended by itself; it frees itself afterwards. a_to_b and b_to_a in bytes. */
typedef void cs_pump_done_fn(void *cookie, cs_err why, uint64_t a_to_b, uint64_t b_to_a);
/* cs_pump_new - takes both descriptors on CS_OK; why is CS_OK, CS_E_TIMEOUT (idle) or the stream's error. */
CS_MUST cs_err cs_pump_new(cs_pump **out, cs_loop *l, const int fds_take[2], uint32_t idle_ms, cs_pump_done_fn *done,
                           void *cookie);
/* cs_pump_free - end it early, without done. */
void cs_pump_free(cs_pump *p);

#endif
