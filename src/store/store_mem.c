/* Memory of a job of the store: handed out piece by piece, wiped and freed at once. See store_sql.h. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "store/store_sql.h"

#define CHUNK 4096

struct cs_store_chunk {
    struct cs_store_chunk *next;
    size_t cap, used;
    _Alignas(16) uint8_t bytes[];
};

void *cs_store_mem_get(cs_store_mem *m, size_t len)
{
    struct cs_store_chunk *c = m->first;
    size_t need = (len + 15) & ~(size_t)15;

    if (need < len) {
        return NULL;
    }
    if (c == NULL || c->cap - c->used < need) {
        size_t cap = need > CHUNK ? need : CHUNK;
        c = calloc(1, sizeof *c + cap);
        if (c == NULL) {
            return NULL;
        }
        c->cap = cap;
        c->next = m->first;
        m->first = c;
    }
    void *p = c->bytes + c->used;
    c->used += need;
    m->total += need;
    return p;
}

bool cs_store_mem_copy(cs_store_mem *m, cs_slice *io)
{
    uint8_t *p = cs_store_mem_get(m, io->len + 1);

    if (p == NULL) {
        return false;
    }
    if (io->len > 0) {
        memcpy(p, io->p, io->len);
    }
    io->p = p;
    return true;
}

static cs_err taken(cs_slice *out, const cs_buf *b)
{
    *out = cs_buf_slice(b);
    return CS_OK;
}

cs_err cs_store_mem_b64(cs_store_mem *m, cs_slice *out, cs_slice bytes)
{
    size_t len = (bytes.len + 2) / 3 * 4;
    uint8_t *p = cs_store_mem_get(m, len + 1);

    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_buf b = cs_buf_wrap(p, len);
    CS_TRY(cs_b64_put(&b, bytes, CS_B64_STD));
    return taken(out, &b);
}

cs_err cs_store_mem_unb64(cs_store_mem *m, cs_slice *out, cs_slice text)
{
    size_t len = text.len / 4 * 3;
    uint8_t *p = cs_store_mem_get(m, len + 1);

    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_buf b = cs_buf_wrap(p, len);
    if (text.len > 0 && cs_b64_get(&b, text, CS_B64_STD) != CS_OK) {
        return CS_E_STORE;
    }
    return taken(out, &b);
}

cs_err cs_store_mem_hex(cs_store_mem *m, cs_slice *out, cs_slice bytes)
{
    char *p = cs_store_mem_get(m, 2 * bytes.len + 1);

    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_hex_encode(p, bytes);
    *out = cs_slice_of(p, 2 * bytes.len);
    return CS_OK;
}

cs_err cs_store_mem_unhex(cs_store_mem *m, cs_slice *out, cs_slice text)
{
    uint8_t *p = cs_store_mem_get(m, text.len / 2 + 1);

    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    if (text.len % 2 != 0 || cs_hex_decode(p, text.len / 2, text) != CS_OK) {
        return CS_E_STORE;
    }
    *out = cs_slice_of(p, text.len / 2);
    return CS_OK;
}

void cs_store_mem_free(cs_store_mem *m)
{
    while (m->first != NULL) {
        struct cs_store_chunk *next = m->first->next;
        explicit_bzero(m->first->bytes, m->first->used);
        free(m->first);
        m->first = next;
    }
    m->total = 0;
}
