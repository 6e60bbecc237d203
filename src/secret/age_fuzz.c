/*
 * Target: cs_age_dec_push
 * Also cs_age_identity_file, cs_age_recipient_parse. The input goes in at once and in small pieces with the same result.
 */
#include <stdlib.h>

#include "secret/age.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static cs_err count(void *cookie, cs_slice piece)
{
    *(size_t *)cookie += piece.len;
    return CS_OK;
}

static cs_err run(cs_slice in, size_t step, size_t *released)
{
    static cs_age_identity id = {.scalar = {1}};
    const cs_age_keys keys = {.identities = &id, .num_identities = 1};
    cs_reader r = cs_reader_of(in);
    cs_age_dec *d = NULL;
    cs_err err = CS_OK;
    cs_slice piece;

    if (cs_age_dec_new(&d, &keys, count, released) != CS_OK) {
        abort();
    }
    while (err == CS_OK && r.left > 0) {
        if (cs_read_slice(&r, &piece, step < r.left ? step : r.left) != CS_OK) {
            abort();
        }
        err = cs_age_dec_push(d, piece);
    }
    if (err == CS_OK) {
        err = cs_age_dec_finish(d);
    }
    cs_age_dec_free(d);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t whole = 0, pieces = 0, num = 0;
    cs_slice in = cs_slice_of(data, size);
    static bool ready;
    cs_age_identity ids[4];
    cs_age_recipient r;

    if (!ready && cs_arena_init(1 << 20, false) != CS_OK) {
        abort();
    }
    ready = true;
    if (run(in, SIZE_MAX, &whole) != run(in, 7, &pieces) || whole != pieces) {
        abort();
    }
    (void)!cs_age_identity_file(ids, &num, 4, in);
    (void)!cs_age_recipient_parse(&r, in);
    return 0;
}
