/* The table of room names, see rooms_int.h. SipHash-2-4 [Aumasson and Bernstein 2012] keyed at random: nobody can choose names
 * that fall into one slot. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "gateway/rooms_int.h"

static uint64_t rotl(uint64_t x, unsigned n)
{
    return (x << n) | (x >> (64 - n));
}

static void round_(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static void take_word(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    round_(v);
    round_(v);
    v[0] ^= m;
}

uint64_t cs_room_table_hash(const cs_room_table *t, cs_slice name)
{
    uint64_t v[4] = {t->key[0] ^ 0x736f6d6570736575ull, t->key[1] ^ 0x646f72616e646f6dull,
                     t->key[0] ^ 0x6c7967656e657261ull, t->key[1] ^ 0x7465646279746573ull};
    uint64_t last = (uint64_t)name.len << 56;
    size_t at = 0;
    for (; name.len - at >= 8; at += 8) {
        uint64_t m = 0;
        for (unsigned i = 0; i < 8; i++) {
            m |= (uint64_t)name.p[at + i] << (8 * i);
        }
        take_word(v, m);
    }
    for (unsigned i = 0; at + i < name.len; i++) {
        last |= (uint64_t)name.p[at + i] << (8 * i);
    }
    take_word(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) {
        round_(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

cs_err cs_room_table_init(cs_room_table *t, size_t num_max)
{
    size_t slots = 64;
    *t = (cs_room_table){0};
    if (getrandom(t->key, sizeof t->key, 0) != (ssize_t)sizeof t->key) {
        return CS_E_ENTROPY;
    }
    while (slots < num_max && slots < (1u << 22)) {
        slots *= 2;
    }
    t->slots = calloc(slots, sizeof(cs_room_entry *));
    t->mask = slots - 1;
    return t->slots != NULL ? CS_OK : CS_E_NO_MEMORY;
}

void cs_room_table_cleanup(cs_room_table *t)
{
    free(t->slots);
    *t = (cs_room_table){0};
}

cs_room_entry *cs_room_table_find(const cs_room_table *t, uint64_t hash, cs_slice name)
{
    cs_room_entry *e = t->slots[hash & t->mask];
    while (e != NULL && !(e->hash == hash && e->name_len == name.len && memcmp(e->name, name.p, name.len) == 0)) {
        e = e->chain;
    }
    return e;
}

void cs_room_table_add(cs_room_table *t, cs_room_entry *e)
{
    cs_room_entry **slot = &t->slots[e->hash & t->mask];
    e->chain = *slot;
    *slot = e;
    t->num++;
}

void cs_room_table_remove(cs_room_table *t, cs_room_entry *e)
{
    cs_room_entry **at = &t->slots[e->hash & t->mask];
    while (*at != e) {
        at = &(*at)->chain;
    }
    *at = e->chain;
    t->num--;
}
