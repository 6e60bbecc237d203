/* Inside of the relay: relay.c has pairs, events and time, relay_move.c the bytes of one direction. See relay.h. */
#ifndef CS_HOST_RELAY_INT_H
#define CS_HOST_RELAY_INT_H

#include "host/relay.h"

/* One socket of a pair. */
typedef struct cs_relay_side {
    cs_relay_pair *pair;
    int fd;
    bool is_tcp;
    bool no_splice;          /* this socket cannot */
    bool readable, writable; /* as far as known: true until a call says EAGAIN (edge-triggered) */
    bool wants_out;          /* EPOLLOUT is asked for */
    bool deaf;               /* nothing can be delivered to it any more */
    bool was_reset;
} cs_relay_side;

typedef enum cs_relay_source { CS_RELAY_OPEN, CS_RELAY_EOF, CS_RELAY_RESET } cs_relay_source;

/* One direction. */
typedef struct cs_relay_dir {
    cs_relay_source source;
    bool fin;       /* the end of file has been passed on */
    bool moved;     /* something was read or written; the caller clears it */
    uint8_t streak; /* long reads in a row */
    int pipe[2];    /* -1: none */
    /* read and not written yet: in_pipe bytes in the pipe, or held (NULL: none), held_len bytes, those from held_at on */
    uint32_t in_pipe, held_at, held_len;
    uint8_t *held;
    uint64_t bytes; /* read */
} cs_relay_dir;

/* What the directions of one relay share. */
typedef struct cs_relay_memory {
    size_t held;                        /* bytes of memory that all directions hold */
    int pipes[CS_RELAY_PIPES_MAX][2];   /* that no direction has now */
    unsigned num_free_pipes, num_pipes; /* those; all */
    uint8_t scratch[CS_RELAY_CHUNK];
} cs_relay_memory;

/*
 * cs_relay_move - move what can be moved, in at most `turns` steps; *out_more when there was more to do. to->deaf,
 * from->was_reset, d->source and d->fin tell what has ended. CS_E_NO_MEMORY | CS_E_IO: bytes are lost, the pair cannot go on.
 */
CS_MUST cs_err cs_relay_move(bool *out_more, cs_relay_dir *d, cs_relay_side *from, cs_relay_side *to,
                             cs_relay_memory *m, unsigned turns);
/* cs_relay_dir_over - nothing of this direction can or will be moved. */
bool cs_relay_dir_over(const cs_relay_dir *d, const cs_relay_side *to);
/* cs_relay_dir_drop - what is held. */
void cs_relay_dir_drop(cs_relay_dir *d, cs_relay_memory *m);
/* cs_relay_memory_cleanup - every direction must have been dropped. */
void cs_relay_memory_cleanup(cs_relay_memory *m);

#endif
