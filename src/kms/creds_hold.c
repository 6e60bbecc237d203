/* See creds_hold.h. */
#include "kms/creds_hold.h"

#include <string.h>
#include <sys/mman.h>

struct cs_kms_hold {
    enum { EMPTY, PRESENT, EXPIRED } state;
    cs_aws_creds current;
    cs_aws_creds incoming; /* parsed here, so that a bad file leaves the current ones alone */
};

cs_err cs_kms_hold_new(cs_kms_hold **out, bool require_lock, bool *out_locked)
{
    size_t len = sizeof(cs_kms_hold);
    /* cppcheck-suppress invalidFunctionArg ; -1 is what MAP_ANONYMOUS wants */
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        return CS_E_NO_MEMORY;
    }
    *out_locked = mlock(p, len) == 0;
    bool hidden = madvise(p, len, MADV_DONTDUMP) == 0;
    (void)madvise(p, len, MADV_DONTFORK);
    if (require_lock && !(*out_locked && hidden)) {
        munmap(p, len);
        return CS_E_NO_MEMORY;
    }
    *out = p;
    return CS_OK;
}

cs_err cs_kms_hold_put(cs_kms_hold *h, cs_slice json, uint64_t now_ms)
{
    CS_TRY(cs_aws_creds_parse(&h->incoming, json));
    if (h->incoming.expires_ms <= now_ms) {
        cs_aws_creds_wipe(&h->incoming);
        return CS_E_CRED_EXPIRED;
    }
    memcpy(&h->current, &h->incoming, sizeof h->current);
    cs_aws_creds_wipe(&h->incoming);
    h->state = PRESENT;
    return CS_OK;
}

cs_err cs_kms_hold_get(const cs_aws_creds **out, cs_kms_hold *h, uint64_t now_ms)
{
    if (h->state == PRESENT && h->current.expires_ms <= now_ms) {
        cs_kms_hold_expire(h);
    }
    if (h->state != PRESENT) {
        return h->state == EXPIRED ? CS_E_CRED_EXPIRED : CS_E_CRED_MISSING;
    }
    *out = &h->current;
    return CS_OK;
}

void cs_kms_hold_wipe(cs_kms_hold *h)
{
    cs_aws_creds_wipe(&h->current);
    cs_aws_creds_wipe(&h->incoming);
    h->state = EMPTY;
}

void cs_kms_hold_expire(cs_kms_hold *h)
{
    cs_kms_hold_wipe(h);
    h->state = EXPIRED;
}

uint64_t cs_kms_hold_expires_ms(const cs_kms_hold *h)
{
    return h->state == PRESENT ? h->current.expires_ms : 0;
}

void cs_kms_hold_free(cs_kms_hold *h)
{
    if (h != NULL) {
        cs_kms_hold_wipe(h);
        munmap(h, sizeof *h);
    }
}
