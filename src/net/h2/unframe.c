/* See unframe.h. */
#include "net/h2/unframe.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 4096u

static cs_slice take(cs_slice *io, size_t n)
{
    cs_slice s = cs_slice_of(io->p, n);
    *io = cs_slice_of(io->p + n, io->len - n);
    return s;
}

static cs_err take_head(cs_unframer *u, cs_slice *io)
{
    while (u->head_len < sizeof u->head && io->len > 0) {
        u->head[u->head_len++] = take(io, 1).p[0];
    }
    if (u->head_len < sizeof u->head) {
        return CS_OK;
    }
    if (u->head[0] > 1) {
        return CS_E_FORMAT;
    }
    if (u->head[0] == 1) {
        return CS_E_UNSUPPORTED;
    }
    u->want = cs_load_u32(u->head + 1);
    return u->want > u->max ? CS_E_TOO_LARGE : CS_OK;
}

static cs_err grow(cs_unframer *u, size_t need)
{
    if (need <= u->cap) {
        return CS_OK;
    }
    size_t cap = u->cap * 2 > FIRST_CAP ? u->cap * 2 : FIRST_CAP;
    cap = cap > u->want ? u->want : cap;
    cap = cap < need ? need : cap;
    uint8_t *p = realloc(u->body, cap);
    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    u->body = p;
    u->cap = cap;
    return CS_OK;
}

cs_err cs_unframe(cs_unframer *u, cs_slice *out_message, bool *out_have, cs_slice *io_data)
{
    *out_have = false;
    if (u->head_len < sizeof u->head) {
        CS_TRY(take_head(u, io_data));
        if (u->head_len < sizeof u->head) {
            return CS_OK;
        }
    }
    if (u->have == 0 && io_data->len >= u->want) {
        *out_message = take(io_data, u->want);
    } else {
        size_t left = u->want - u->have;
        cs_slice part = take(io_data, io_data->len < left ? io_data->len : left);
        if (part.len > 0) {
            CS_TRY(grow(u, u->have + part.len));
            memcpy(u->body + u->have, part.p, part.len);
            u->have += part.len;
        }
        if (u->have < u->want) {
            return CS_OK;
        }
        *out_message = cs_slice_of(u->body, u->want);
    }
    *out_have = true;
    u->head_len = 0;
    u->have = 0;
    return CS_OK;
}

bool cs_unframe_idle(const cs_unframer *u)
{
    return u->head_len == 0;
}

void cs_unframe_cleanup(cs_unframer *u)
{
    free(u->body);
    *u = (cs_unframer){.max = u->max};
}
