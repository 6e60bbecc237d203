#include "gateway/tee_counters.h"

#include <string.h>

#define WINDOW CS_TEE_COUNTERS_WINDOW

static bool bit(const cs_tee_counters *c, uint64_t counter)
{
    return (c->seen[counter % WINDOW / 8u] >> counter % 8u & 1u) != 0;
}

static void set_bit(cs_tee_counters *c, uint64_t counter, bool on)
{
    uint8_t *byte = &c->seen[counter % WINDOW / 8u], mask = (uint8_t)(1u << counter % 8u);
    *byte = (uint8_t)(on ? *byte | mask : *byte & ~mask);
}

static void go_up(cs_tee_counters *c)
{
    while (bit(c, c->low + 1)) {
        c->low++;
        set_bit(c, c->low, false);
    }
    c->top = c->low > c->top ? c->low : c->top;
}

void cs_tee_counters_begin(cs_tee_counters *c, uint64_t low)
{
    memset(c->seen, 0, sizeof c->seen);
    c->low = low;
    go_up(c);
}

void cs_tee_counters_have(cs_tee_counters *c, uint64_t counter)
{
    c->top = counter > c->top ? counter : c->top;
    if (counter > c->low && counter - c->low < WINDOW) {
        set_bit(c, counter, true);
        go_up(c);
    }
}

void cs_tee_counters_skip(cs_tee_counters *c, uint64_t low)
{
    if (low > c->low && low - c->low >= WINDOW) {
        cs_tee_counters_begin(c, low);
    }
    while (c->low < low) {
        c->low++;
        set_bit(c, c->low, false);
    }
    go_up(c);
}
