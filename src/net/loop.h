/*
 * The event loop: a thin layer over libuv for one thread. Everything made here is freed by its _free function, which may be
 * called from any callback; after it no callback of that object runs. _free accepts NULL.
 * Callbacks run on the loop's thread only. All times are milliseconds. Byte streams are in net/stream.h, packet links in
 * net/link.h.
 */
#ifndef CS_NET_LOOP_H
#define CS_NET_LOOP_H

#include "base/bytes.h"
#include "net/endpoint.h"

typedef struct cs_loop cs_loop;
typedef void cs_loop_fn(void *cookie);

/* cs_loop_new - CS_E_NO_MEMORY. SIGPIPE is ignored for the process. */
CS_MUST cs_err cs_loop_new(cs_loop **out);
/* cs_loop_run - until cs_loop_stop, or until nothing is left that could call back. */
void cs_loop_run(cs_loop *l);
/* cs_loop_run_once - one turn: waits for an event when wait, else does what is ready. False: nothing left that could call. */
bool cs_loop_run_once(cs_loop *l, bool wait);
void cs_loop_stop(cs_loop *l);
/* cs_loop_now - the loop's monotonic time, of this turn. */
uint64_t cs_loop_now(const cs_loop *l);
/* cs_loop_free - all objects of the loop must have been freed before. */
void cs_loop_free(cs_loop *l);

/* Timers. start replaces an earlier start; repeat_ms 0: once. */
typedef struct cs_timer cs_timer;
CS_MUST cs_err cs_timer_new(cs_timer **out, cs_loop *l, cs_loop_fn *fn, void *cookie);
void cs_timer_start(cs_timer *t, uint64_t after_ms, uint64_t repeat_ms);
void cs_timer_stop(cs_timer *t);
bool cs_timer_active(const cs_timer *t);
void cs_timer_free(cs_timer *t);

/* Signals, e.g. SIGTERM. */
typedef struct cs_signal cs_signal;
CS_MUST cs_err cs_signal_new(cs_signal **out, cs_loop *l, int signum, cs_loop_fn *fn, void *cookie);
void cs_signal_free(cs_signal *s);

/* A wake-up from other threads: cs_async_send is thread-safe; several sends may be one call of fn. */
typedef struct cs_async cs_async;
CS_MUST cs_err cs_async_new(cs_async **out, cs_loop *l, cs_loop_fn *fn, void *cookie);
void cs_async_send(cs_async *a);
void cs_async_free(cs_async *a);

/*
 * A deferred call: after cs_defer_arm, fn runs once, before the loop next waits. Used to batch work of one turn (flushes).
 */
typedef struct cs_defer cs_defer;
struct cs_defer {
    cs_loop_fn *fn;
    void *cookie;
    cs_defer *next, **prev; /* internal; zero-initialise */
    cs_loop *owner;
};
void cs_defer_arm(cs_loop *l, cs_defer *d);
void cs_defer_cancel(cs_defer *d);

/* A watched descriptor (not owned). fn gets what is ready; readable is also set for end of file and errors. */
typedef struct cs_watch cs_watch;
enum { CS_WATCH_READ = 1, CS_WATCH_WRITE = 2 };
typedef void cs_watch_fn(void *cookie, unsigned ready);
CS_MUST cs_err cs_watch_new(cs_watch **out, cs_loop *l, int fd, cs_watch_fn *fn, void *cookie);
/* cs_watch_set - bits of CS_WATCH_*; 0: none. */
void cs_watch_set(cs_watch *w, unsigned events);
/* cs_watch_free - before the descriptor is closed. */
void cs_watch_free(cs_watch *w);

/*
 * A listener. Takes the descriptor. fn owns each accepted descriptor. Peers that fail cs_ep_peer_check(cid) are closed
 * and counted, never seen by fn. When the process runs out of descriptors accepting pauses for 100 ms.
 */
typedef struct cs_listener cs_listener;
typedef void cs_accept_fn(void *cookie, int fd, const cs_ep_peer *peer);
CS_MUST cs_err cs_listener_new(cs_listener **out, cs_loop *l, int fd_take, uint32_t cid, cs_accept_fn *fn,
                               void *cookie);
/* cs_listener_pause - stop or go on accepting. */
void cs_listener_pause(cs_listener *l, bool paused);
uint64_t cs_listener_refused(const cs_listener *l);
void cs_listener_free(cs_listener *l);

/* An outgoing connection in the making: fn is called once, never from within cs_dial; fd is the callee's on CS_OK. */
typedef struct cs_dial cs_dial;
typedef void cs_dial_fn(void *cookie, cs_err err, int fd);
/* cs_dial_new - errors as cs_endpoint_connect_begin, or later through fn: CS_E_CONNECT | CS_E_TIMEOUT. The object frees
 * itself before fn is called; cs_dial_free is for giving up earlier. */
CS_MUST cs_err cs_dial_new(cs_dial **out, cs_loop *l, const cs_endpoint *ep, uint32_t timeout_ms, cs_dial_fn *fn,
                           void *cookie);
void cs_dial_free(cs_dial *d);

#endif
