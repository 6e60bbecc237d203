/* Inside of rooms*.c. */
#ifndef CS_GATEWAY_ROOMS_INT_H
#define CS_GATEWAY_ROOMS_INT_H

#include "gateway/rooms.h"

typedef struct cs_room_entry cs_room_entry;

struct cs_room_sub {
    cs_room_entry *room;
    cs_room_sub *next, **prev;
    uint64_t at; /* id of the next message to look at */
    int not_from;
    bool waiting;  /* everything was taken: tell of more */
    size_t behind; /* bytes published since it last took something */
    const cs_room_sub_events *events;
    void *cookie;
    size_t prefix_len;
    uint8_t prefix[]; /* what the bodies that it wants begin with */
};

struct cs_room_entry {
    cs_room_entry *chain;                   /* of its slot of the table */
    cs_room_entry *born_next, *born_prev;   /* all rooms, the eldest first */
    cs_room_entry *quiet_next, *quiet_prev; /* without subscribers, the longest silent first */
    uint64_t serial, born, heard, hash;
    uint64_t next_index;
    cs_room_text **texts;
    size_t num_texts, cap_texts, bytes;
    cs_room_sub *subs;
    size_t num_subs;
    size_t calls;
    bool finished, quiet;
    uint8_t name_len;
    char name[];
};

/* The table of names: chained, with a keyed hash, as callers choose the names. */
typedef struct cs_room_table {
    cs_room_entry **slots;
    size_t mask, num;
    uint64_t key[2];
} cs_room_table;

CS_MUST cs_err cs_room_table_init(cs_room_table *t, size_t num_max);
void cs_room_table_cleanup(cs_room_table *t);
uint64_t cs_room_table_hash(const cs_room_table *t, cs_slice name);
cs_room_entry *cs_room_table_find(const cs_room_table *t, uint64_t hash, cs_slice name);
void cs_room_table_add(cs_room_table *t, cs_room_entry *e);
void cs_room_table_remove(cs_room_table *t, cs_room_entry *e);

#endif
