/*
 * sign-service: the front of the enclave. Takes gRPC and the two share injectors, hands everything on to sign-core as frames
 * (docs/formats/core-rpc.md) and back. Holds ciphertext, requests and opaque MPC messages; never keys or credentials.
 * One loop, one thread. Files: main.c (options, set-up), core_link.c (frames), party.c (Session streams), unary.c (Attest,
 * Status, Unban, Health), tee.c (TeeCore/Call), signtx.c and room.c (Participant/SignTx over rooms), inject.c (7101, 7102),
 * idmap.c.
 */
#ifndef CS_SERVICE_SERVICE_H
#define CS_SERVICE_SERVICE_H

#include "base/log.h"
#include "net/h2/grpc.h"
#include "net/link.h"
#include "net/loop.h"
#include "rpc/core_rpc.h"
#include "service/idmap.h"

#define CS_SERVICE_URL_MAX 512

/* What the measured configuration says to this program (docs/formats/config.md, section `service`). */
typedef struct cs_service_config {
    uint64_t parent_cid;
    uint64_t shares_max;   /* bytes of the share file */
    uint64_t sessions_max; /* PARTY streams at once; also SignTx requests */
    uint64_t silence_ms;   /* a SignTx of which core says nothing for so long has failed */
    cs_log_level log_level;
    uint64_t egress_port;  /* of the parent: the bridge to the gateway's HTTP */
    uint64_t server_index; /* of this party in rooms: 0 or 1 */
    /* "http://HOST:PORT[/prefix]" of the rooms, no slash at the end; "": rooms are off. HOST is the Host header's: where the
     * bytes go is the egress bridge's to say. */
    char gateway_url[CS_SERVICE_URL_MAX + 1];
} cs_service_config;

/* cs_service_config_read - the section as CBOR. CS_E_CONFIG | CS_E_CONFIG_KEY. */
CS_MUST cs_err cs_service_config_read(cs_service_config *out, cs_slice cbor);

typedef struct cs_service cs_service;
typedef struct cs_injector cs_injector;

/* A request to core that waits for its reply. fn is called once: with the frame, or NULL when the link died or it timed out. */
typedef struct cs_pending cs_pending;
typedef void cs_pending_fn(void *cookie, const cs_rpc_frame *reply);

struct cs_service {
    cs_service_config config;
    cs_endpoint egress; /* where the rooms are dialled (net/room.h); of use only with config.gateway_url */
    cs_loop *loop;
    cs_link *core;
    cs_grpc_server *grpc;
    cs_idmap streams; /* id -> struct stream of party.c */
    cs_idmap pending; /* id -> cs_pending */
    uint64_t next_id;
    bool core_gone; /* the link to sign-core has ended: the program ends */
    bool reads_paused;
    unsigned tee_calls; /* TEE calls that wait for core */
    /* what the watchers of health share: the last answer, whether one is asked for, and when the next question is due */
    bool health_known, health_asked;
    int health;
    uint64_t health_due;
    cs_injector *inject_age, *inject_shares;
    struct cs_service_rooms *rooms; /* NULL: off */
};

/* ---- core_link.c ---- */
CS_MUST cs_err cs_service_core_open(cs_service *s, int fd_take);
void cs_service_core_close(cs_service *s);
/* cs_service_send - encode and queue one frame. CS_E_RANGE: the queue is full, try again after on_drain. */
CS_MUST cs_err cs_service_send(cs_service *s, const cs_rpc_frame *f);
/* cs_service_send_end - PARTY_CLOSE, SIGN_CANCEL or SHARES_CANCEL: never lost to a full queue. */
void cs_service_send_end(cs_service *s, cs_rpc_type type, uint64_t id);
/* cs_service_call - send f with a fresh id and wait at most timeout_ms. fn is not called when this fails. */
CS_MUST cs_err cs_service_call(cs_service *s, cs_rpc_frame *f, uint32_t timeout_ms, cs_pending_fn *fn, void *cookie);
/* cs_service_expect - wait for the reply to an id that was sent before (shares). Returns the handle, NULL without memory. */
cs_pending *cs_service_expect(cs_service *s, uint64_t id, uint32_t timeout_ms, cs_pending_fn *fn, void *cookie);
/* cs_service_drop - the request is forgotten at once: fn is not called, a reply that comes finds nobody. NULL: nothing. */
void cs_service_drop(cs_pending *p);
/* cs_service_forget - fn of this cookie is not called any more (its owner goes away). */
void cs_service_forget(cs_service *s, const void *cookie);

/* ---- party.c ---- */
extern const cs_grpc_method cs_service_party_method;
void cs_service_party_frame(cs_service *s, const cs_rpc_frame *f); /* PARTY_SEND, PARTY_END */
void cs_service_party_resume(cs_service *s);                       /* the link to core has room again */

/* ---- signtx.c, room.c ---- */
#define CS_SERVICE_ROOM_CONNS 32u /* requests to the gateway at once; subscriptions come on top */
extern const cs_grpc_method cs_service_sign_tx_method;
/* cs_service_rooms_open - only with config.gateway_url; endpoint: where it is dialled. CS_E_CONFIG | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_service_rooms_open(cs_service *s, const cs_endpoint *endpoint);
void cs_service_rooms_close(cs_service *s);
/* cs_service_room_frame - PARTY_SEND, PARTY_END of a stream of a room; false: not one of these. */
bool cs_service_room_frame(cs_service *s, const cs_rpc_frame *f);
void cs_service_sign_reply(cs_service *s, const cs_rpc_frame *f);

/* ---- unary.c ---- */
extern const cs_grpc_method cs_service_attest_method, cs_service_status_method, cs_service_unban_method,
    cs_service_health_check_method, cs_service_health_watch_method;

/* ---- tee.c ---- */
/* TEE calls with core at once: above what tee.queue says by default, so that core decides; half of all calls, so that sessions have the rest */
#define CS_SERVICE_TEE_CALLS 4096u
extern const cs_grpc_method cs_service_tee_method, cs_service_tee_entries_method;

/* ---- inject.c ---- */
typedef enum cs_inject_kind { CS_INJECT_AGE, CS_INJECT_SHARES } cs_inject_kind;
/* cs_injector_new - takes the listener. */
CS_MUST cs_err cs_injector_new(cs_injector **out, cs_service *s, cs_inject_kind kind, int listen_fd_take);
void cs_injector_resume(cs_injector *i); /* the link to core has room again */
void cs_injector_free(cs_injector *i);

#endif
