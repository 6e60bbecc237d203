#include "core/tee/audit.h"

#include <stdlib.h>
#include <string.h>

#include "codec/cbor.h"
#include "secret/rng.h"
#include "secret/sign/ed25519.h"
#include "secret/th.h"

static const char signed_label[] = CS_TEE_AUDIT_SIGNED, link_label[] = CS_TEE_AUDIT_LINK;

cs_err cs_audit_init(cs_audit *a, const uint8_t boot16[16], const uint8_t pcr[3][48])
{
    cs_sha256 h;

    a->kept = calloc(CS_AUDIT_KEPT, sizeof *a->kept);
    if (a->kept == NULL) {
        return CS_E_NO_MEMORY;
    }
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

void cs_audit_cleanup(cs_audit *a)
{
    free(a->kept);
    cs_wipe(a, sizeof *a);
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
    a->kept[a->counter % CS_AUDIT_KEPT] = *out;
    return CS_OK;
}

#define ENTRY_HEAD 8u /* CBOR around an entry and its signature */

cs_err cs_audit_again(cs_buf *out, const cs_audit *a, uint64_t from, size_t max_len)
{
    const uint64_t oldest = a->counter < CS_AUDIT_KEPT ? 1 : a->counter - CS_AUDIT_KEPT + 1;
    uint64_t end = from = from < oldest ? oldest : from;

    for (size_t left = max_len; end <= a->counter; end++) {
        const size_t need = a->kept[end % CS_AUDIT_KEPT].len + 64 + ENTRY_HEAD;

        if (need > left) {
            break;
        }
        left -= need;
    }
    CS_TRY(cs_cbor_put_array(out, end - from));
    for (; from < end; from++) {
        const cs_audit_entry *e = &a->kept[from % CS_AUDIT_KEPT];

        CS_TRY(cs_cbor_put_array(out, 2));
        CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(e->bytes, e->len)));
        CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(e->sig64, sizeof e->sig64)));
    }
    return CS_OK;
}
