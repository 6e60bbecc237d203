/* See guard.h. */
#include "net/h2/guard.h"

#include <string.h>

enum { PREFACE = 24, DATA = 0, HEADERS = 1, RST_STREAM = 3, END_STREAM = 1, PROTOCOL_ERROR = 1, STREAM_CLOSED = 5 };

static bool has_ended(const cs_h2_guard *g, uint32_t id)
{
    for (unsigned i = 0; i < CS_H2_GUARD_ENDED; i++) {
        if (g->ended[i] == id) {
            return true;
        }
    }
    return false;
}

static void remember_end(cs_h2_guard *g, uint32_t id)
{
    g->ended[g->next_ended++ % CS_H2_GUARD_ENDED] = id;
}

static bool in_gap(const cs_h2_guard *g, uint32_t id)
{
    for (unsigned i = 0; i < CS_H2_GUARD_GAPS; i++) {
        if (id >= g->gaps[i].from && id <= g->gaps[i].to) {
            return true;
        }
    }
    return false;
}

/* A stream begins: the ids between it and the one before are closed for good (RFC 9113 5.1.1). */
static void begin(cs_h2_guard *g, uint32_t id)
{
    uint32_t expected = g->last == 0 ? 1 : g->last + 2;
    if (id > expected) {
        unsigned i = g->next_gap++ % CS_H2_GUARD_GAPS;
        g->gaps[i].from = expected;
        g->gaps[i].to = id - 2;
    }
    g->last = id;
}

/* 0, or the code of the connection error. Ids that are even or 0, and all other types, are nghttp2's to judge. */
static uint32_t judge(cs_h2_guard *g)
{
    uint8_t type = g->head[3];
    uint32_t id = cs_load_u32(g->head + 5) & 0x7fffffffu;
    bool end = type == RST_STREAM || (g->head[4] & END_STREAM) != 0;
    if ((type != DATA && type != HEADERS && type != RST_STREAM) || id % 2 == 0) {
        return 0;
    }
    if (id > g->last) {
        if (type != HEADERS) {
            return 0; /* idle: nghttp2 ends the connection */
        }
        begin(g, id);
    } else if (in_gap(g, id)) {
        return type == HEADERS ? PROTOCOL_ERROR : type == DATA ? STREAM_CLOSED : 0;
    } else if (has_ended(g, id)) {
        return type == RST_STREAM ? 0 : STREAM_CLOSED;
    }
    if (end) {
        remember_end(g, id);
    }
    return 0;
}

cs_err cs_h2_guard_read(cs_h2_guard *g, size_t *out_good, uint32_t *out_h2_error, cs_slice data)
{
    size_t at = 0;
    if (!g->started) {
        g->started = true;
        g->skip = PREFACE;
    }
    while (at < data.len) {
        size_t left = data.len - at;
        size_t n = g->skip < left ? g->skip : left;
        if (n > 0) {
            g->skip -= n;
            at += n;
            continue;
        }
        size_t begins = at;
        n = sizeof g->head - g->head_len;
        n = n < left ? n : left;
        memcpy(g->head + g->head_len, data.p + at, n);
        g->head_len += n;
        at += n;
        if (g->head_len < sizeof g->head) {
            break;
        }
        g->head_len = 0;
        g->skip = (size_t)g->head[0] << 16 | (size_t)g->head[1] << 8 | g->head[2];
        *out_h2_error = judge(g);
        if (*out_h2_error != 0) {
            *out_good = begins;
            return CS_E_FORMAT;
        }
    }
    *out_good = data.len;
    *out_h2_error = 0;
    return CS_OK;
}
