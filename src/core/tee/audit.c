#include "core/tee/audit.h"

#include <string.h>

#include "secret/rng.h"
#include "secret/sign/ed25519.h"
#include "secret/th.h"

static const char signed_label[] = CS_TEE_AUDIT_SIGNED, link_label[] = CS_TEE_AUDIT_LINK;

cs_err cs_audit_init(cs_audit *a, const uint8_t boot16[16], const uint8_t pcr[3][48])
{
    cs_sha256 h;

    CS_TRY(cs_random(a->seed.b, sizeof a->seed.b));
    CS_CT_SECRET(a->seed.b, sizeof a->seed.b);
    cs_ed25519_public(a->public32, &a->seed);
    memcpy(a->boot16, boot16, sizeof a->boot16);
    cs_sha256_init(&h);
    for (unsigned i = 0; i < 3; i++) {
        cs_sha256_put(&h, pcr[i], 48);
    }
    cs_sha256_end(&h, a->pcr_digest32);
    return CS_OK;
}

cs_err cs_audit_append(cs_audit *a, cs_audit_entry *out, cs_tee_entry *e)
{
    cs_buf b = cs_buf_wrap(out->bytes, sizeof out->bytes);
    uint8_t digest[32];
    cs_sha256 h;

    e->counter = a->counter + 1;
    e->boot16 = a->boot16;
    e->previous32 = a->head32;
    e->pcr_digest32 = a->pcr_digest32;
    CS_TRY(cs_tee_entry_encode(&b, e));
    out->len = b.len;
    cs_sha256_init(&h);
    cs_sha256_put(&h, signed_label, sizeof signed_label - 1);
    cs_sha256_put(&h, out->bytes, out->len);
    cs_sha256_end(&h, digest);
    cs_ed25519_sign(out->sig64, &a->seed, cs_slice_of(digest, sizeof digest));
    cs_sha256_init(&h);
    cs_sha256_put(&h, link_label, sizeof link_label - 1);
    cs_sha256_put(&h, out->bytes, out->len);
    cs_sha256_put(&h, out->sig64, sizeof out->sig64);
    cs_sha256_end(&h, a->head32);
    a->counter++;
    return CS_OK;
}
