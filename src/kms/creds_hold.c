/* See creds_hold.h. */
#include "kms/creds_hold.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

struct cs_kms_hold {
    pthread_mutex_t lock;
    uint64_t generation; /* of current; one more with each put */
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
    (void)pthread_mutex_init(&(*out)->lock, NULL);
    return CS_OK;
}

static void wipe(cs_kms_hold *h)
{
    cs_aws_creds_wipe(&h->current);
    cs_aws_creds_wipe(&h->incoming);
    h->state = EMPTY;
}

static void expire(cs_kms_hold *h)
{
    wipe(h);
    h->state = EXPIRED;
}

static cs_err put(cs_kms_hold *h, cs_slice json, uint64_t now_ms)
{
    CS_TRY(cs_aws_creds_parse(&h->incoming, json));
    if (h->incoming.expires_ms <= now_ms) {
        cs_aws_creds_wipe(&h->incoming);
        return CS_E_CRED_EXPIRED;
    }
    memcpy(&h->current, &h->incoming, sizeof h->current);
    cs_aws_creds_wipe(&h->incoming);
    h->state = PRESENT;
    h->generation++;
    return CS_OK;
}

cs_err cs_kms_hold_put(cs_kms_hold *h, cs_slice json, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&h->lock);
    cs_err err = put(h, json, now_ms);
    (void)pthread_mutex_unlock(&h->lock);
    return err;
}

static cs_err state_of(cs_kms_hold *h, uint64_t now_ms)
{
    if (h->state == PRESENT && h->current.expires_ms <= now_ms) {
        expire(h);
    }
    return h->state == PRESENT ? CS_OK : (h->state == EXPIRED ? CS_E_CRED_EXPIRED : CS_E_CRED_MISSING);
}

cs_err cs_kms_hold_get(const cs_aws_creds **out, uint64_t *generation, cs_kms_hold *h, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&h->lock);
    cs_err err = state_of(h, now_ms);
    if (err != CS_OK) {
        (void)pthread_mutex_unlock(&h->lock);
        return err;
    }
    *out = &h->current;
    *generation = h->generation;
    return CS_OK;
}

void cs_kms_hold_done(cs_kms_hold *h)
{
    (void)pthread_mutex_unlock(&h->lock);
}

void cs_kms_hold_wipe(cs_kms_hold *h)
{
    (void)pthread_mutex_lock(&h->lock);
    wipe(h);
    (void)pthread_mutex_unlock(&h->lock);
}

bool cs_kms_hold_expire(cs_kms_hold *h, uint64_t generation)
{
    (void)pthread_mutex_lock(&h->lock);
    bool same = h->generation == generation;
    if (same && h->state == PRESENT) {
        expire(h);
    }
    (void)pthread_mutex_unlock(&h->lock);
    return same;
}

cs_err cs_kms_hold_state(uint64_t *out_expires_ms, cs_kms_hold *h, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&h->lock);
    cs_err err = state_of(h, now_ms);
    *out_expires_ms = err == CS_OK ? h->current.expires_ms : 0;
    (void)pthread_mutex_unlock(&h->lock);
    return err;
}

void cs_kms_hold_free(cs_kms_hold *h)
{
    if (h != NULL) {
        wipe(h);
        (void)pthread_mutex_destroy(&h->lock);
        munmap(h, sizeof *h);
    }
}
