/*
 * Data keys that may be used again (tee.dataKeyCacheSeconds): in the arena, wiped when their time is over or when another takes their place, the
 * one that was used longest ago first. One thread.
 */
#ifndef CS_CORE_TEE_CACHE_H
#define CS_CORE_TEE_CACHE_H

#include "secret/mem.h"

typedef struct cs_key_cache cs_key_cache;

/* cs_key_cache_new - lifetime in ms, from when it was put in; 0: nothing is ever kept. max entries >= 1. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_key_cache_new(cs_key_cache **out, uint64_t lifetime_ms, size_t max);
void cs_key_cache_free(cs_key_cache *c);
/* cs_key_cache_get - true: *out is the key of that name (SHA-256, 32 bytes, public). cs_key_cache_put - without room it is not kept. */
bool cs_key_cache_get(cs_key_cache *c, cs_secret32 *out, const uint8_t name32[32], uint64_t now_ms);
void cs_key_cache_put(cs_key_cache *c, const uint8_t name32[32], const cs_secret32 *key, uint64_t now_ms);
/* cs_key_cache_tick - wipes what is over. cs_key_cache_deadline - when the next one is; UINT64_MAX. cs_key_cache_count. */
void cs_key_cache_tick(cs_key_cache *c, uint64_t now_ms);
uint64_t cs_key_cache_deadline(const cs_key_cache *c);
size_t cs_key_cache_count(const cs_key_cache *c);

#endif
