#include "secret/sign/rfc6979.h"

#include <string.h>

#include "secret/noise.h"

/* K = HMAC(K, V || byte || tail), V = HMAC(K, V) */
static void stir(cs_rfc6979 *r, uint8_t byte, const cs_slice *tail, size_t num_tail)
{
    CS_SECRET(cs_secret32) k = r->k;
    cs_slice in[5] = {{r->v.b, 32}, {&byte, 1}};
    for (size_t i = 0; i < num_tail && i < 3; i++) {
        in[2 + i] = tail[i];
    }
    cs_hmac_sha256(r->k.b, cs_slice_of(k.b, 32), in, 2 + num_tail);
    k = r->v;
    cs_hmac_sha256(r->v.b, cs_slice_of(r->k.b, 32), (cs_slice[]){{k.b, 32}}, 1);
}

void cs_rfc6979_init(cs_rfc6979 *out, const uint8_t key32[32], const uint8_t hash32[32], cs_slice extra)
{
    const cs_slice tail[3] = {{key32, 32}, {hash32, 32}, extra};
    memset(out, 0, sizeof *out);
    memset(out->v.b, 1, sizeof out->v.b);
    stir(out, 0, tail, 3);
    stir(out, 1, tail, 3);
}

void cs_rfc6979_next(cs_rfc6979 *r, cs_secret32 *out)
{
    if (r->drawn) {
        stir(r, 0, NULL, 0);
    }
    CS_SECRET(cs_secret32) v = r->v;
    cs_hmac_sha256(r->v.b, cs_slice_of(r->k.b, 32), (cs_slice[]){{v.b, 32}}, 1);
    *out = r->v;
    r->drawn = true;
}
