/*
 * Server-sent events, the receiving side: a text/event-stream as bytes in, events out. Pure.
 * Source: WHATWG HTML, section 9.2.6 (interpretation of an event stream).
 */
#ifndef CS_NET_SSE_H
#define CS_NET_SSE_H

#include "base/bytes.h"

#define CS_SSE_EVENT_MAX (512u * 1024u) /* bytes of the data of one event */
#define CS_SSE_FIELD_MAX 256u           /* bytes of an event's name and of an id */

/*
 * One event: an empty line behind at least one data field. Bytes that are not UTF-8 are replaced by U+FFFD, as a browser does.
 * Slices are valid during the callback only.
 */
typedef struct cs_sse_event {
    cs_slice type; /* "message" when the stream names none */
    cs_slice data; /* lines joined with LF */
    cs_slice id;   /* last event id; len 0: none */
} cs_sse_event;
typedef cs_err cs_sse_fn(void *cookie, const cs_sse_event *event);

typedef struct cs_sse cs_sse;
/* cs_sse_new - data_max bytes of one event, 0: CS_SSE_EVENT_MAX. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_sse_new(cs_sse **out, size_t data_max, cs_sse_fn *fn, void *cookie);
/*
 * cs_sse_feed - any piece of the stream, cut anywhere (also inside a BOM, a CR LF, a UTF-8 sequence). fn is called for each
 * complete event; its error ends the feed and is returned. CS_E_TOO_LARGE (an event, a name or an id). After an error: free or reset.
 */
CS_MUST cs_err cs_sse_feed(cs_sse *s, cs_slice data);
/* cs_sse_last_id - of the last event that was dispatched or id that was set; valid until the next feed. */
cs_slice cs_sse_last_id(const cs_sse *s);
/* cs_sse_held - bytes of memory of the event that is not complete yet. */
size_t cs_sse_held(const cs_sse *s);
/* cs_sse_retry_ms - what the stream asked for, saturated at 2^32 and something; 0: nothing yet. */
uint64_t cs_sse_retry_ms(const cs_sse *s);
/* cs_sse_reset - a new connection: an unfinished event is dropped, last id and retry stay. Not from within fn. */
void cs_sse_reset(cs_sse *s);
void cs_sse_free(cs_sse *s);

#endif
