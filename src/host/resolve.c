/* Lookups in threads. See resolve.h. */
#include "host/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define STACK ((size_t)512 * 1024)

/* Shared by the loop and the thread; the last of both frees it. */
struct cs_resolve {
    pthread_mutex_t lock;
    bool waited_for, answered; /* under the lock, like done */
    cs_async *done;
    char host[CS_EP_HOST_MAX];
    int family;
    cs_lookup_fn *lookup;
    cs_err err;
    cs_addrs addrs;
    cs_resolve_fn *fn;
    void *cookie;
};

/* ---------------------------------------------------------------- lookup */

static void add(cs_addrs *to, bool v6, const void *addr)
{
    char text[sizeof to->a[0].text];

    if (to->num < CS_ADDRS_MAX && inet_ntop(v6 ? AF_INET6 : AF_INET, addr, text, sizeof text) != NULL &&
        !cs_addrs_has(to, text)) {
        to->a[to->num].v6 = v6;
        memcpy(to->a[to->num++].text, text, sizeof text);
    }
}

bool cs_addrs_has(const cs_addrs *a, const char *text)
{
    for (size_t i = 0; i < a->num; i++) {
        if (strcmp(a->a[i].text, text) == 0) {
            return true;
        }
    }
    return false;
}

bool cs_addrs_numeric(cs_addrs *out, const char *host, int family)
{
    struct in6_addr bytes;
    bool v4 = inet_pton(AF_INET, host, &bytes) == 1;
    bool v6 = !v4 && inet_pton(AF_INET6, host, &bytes) == 1;

    *out = (cs_addrs){0};
    if ((v4 && family != 6) || (v6 && family != 4)) {
        add(out, v6, &bytes);
    }
    return v4 || v6;
}

/* The system's order within each family; the families in turn. */
static void take_turns(cs_addrs *out, const struct addrinfo *list)
{
    cs_addrs by_family[2] = {{0}, {0}}; /* that of the first result; the other */

    for (const struct addrinfo *i = list; i != NULL; i = i->ai_next) {
        bool v6 = i->ai_family == AF_INET6;
        if (v6) {
            struct sockaddr_in6 in6;
            memcpy(&in6, i->ai_addr, sizeof in6);
            add(&by_family[i->ai_family != list->ai_family], true, &in6.sin6_addr);
        } else if (i->ai_family == AF_INET) {
            struct sockaddr_in in4;
            memcpy(&in4, i->ai_addr, sizeof in4);
            add(&by_family[i->ai_family != list->ai_family], false, &in4.sin_addr);
        }
    }
    *out = (cs_addrs){0};
    for (size_t i = 0; i < CS_ADDRS_MAX; i++) {
        for (int f = 0; f < 2; f++) {
            if (i < by_family[f].num && out->num < CS_ADDRS_MAX) {
                out->a[out->num++] = by_family[f].a[i];
            }
        }
    }
}

cs_err cs_lookup_system(cs_addrs *out, const char *host, int family)
{
    struct addrinfo hints = {.ai_family = family == 4   ? AF_INET
                                          : family == 6 ? AF_INET6
                                                        : AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    cs_addrs found;

    if (cs_addrs_numeric(&found, host, family)) {
        if (found.num == 0) {
            return CS_E_DNS;
        }
        *out = found;
        return CS_OK;
    }
    int rc = getaddrinfo(host, NULL, &hints, &list);
    if (rc != 0 || list == NULL) {
        return rc == EAI_MEMORY ? CS_E_NO_MEMORY : CS_E_DNS;
    }
    take_turns(&found, list);
    freeaddrinfo(list);
    if (found.num == 0) {
        return CS_E_DNS;
    }
    *out = found;
    return CS_OK;
}

/* ---------------------------------------------------------------- threads */

static void release(cs_resolve *r)
{
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

static void *look_up(void *arg)
{
    cs_resolve *r = arg;
    cs_addrs addrs = {0};
    cs_err err = r->lookup(&addrs, r->host, r->family);

    (void)pthread_mutex_lock(&r->lock);
    r->err = err;
    r->addrs = addrs;
    r->answered = true;
    bool mine = !r->waited_for;
    if (!mine) {
        cs_async_send(r->done);
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (mine) {
        release(r);
    }
    return NULL;
}

static void on_done(void *cookie)
{
    cs_resolve *r = cookie;

    (void)pthread_mutex_lock(&r->lock); /* the thread has let go of it when this returns */
    cs_addrs addrs = r->addrs;
    cs_err err = r->err;
    cs_resolve_fn *fn = r->fn;
    void *fn_cookie = r->cookie;
    (void)pthread_mutex_unlock(&r->lock);
    cs_async_free(r->done);
    release(r);
    fn(fn_cookie, err, &addrs);
}

static cs_err start_thread(cs_resolve *r)
{
    pthread_attr_t attr;
    pthread_t thread;
    cs_err err = CS_E_NO_MEMORY;

    if (pthread_attr_init(&attr) != 0) {
        return err;
    }
    if (pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0 &&
        pthread_attr_setstacksize(&attr, STACK) == 0 && pthread_create(&thread, &attr, look_up, r) == 0) {
        err = CS_OK;
    }
    (void)pthread_attr_destroy(&attr);
    return err;
}

cs_err cs_resolve_new(cs_resolve **out, cs_loop *l, const char *host, int family, cs_lookup_fn *lookup,
                      cs_resolve_fn *fn, void *cookie)
{
    size_t len = strlen(host);
    cs_resolve *r = len < CS_EP_HOST_MAX ? calloc(1, sizeof *r) : NULL;

    if (r == NULL) {
        return CS_E_NO_MEMORY;
    }
    memcpy(r->host, host, len);
    r->family = family;
    r->lookup = lookup != NULL ? lookup : cs_lookup_system;
    r->fn = fn;
    r->cookie = cookie;
    r->waited_for = true;
    if (pthread_mutex_init(&r->lock, NULL) != 0) {
        free(r);
        return CS_E_NO_MEMORY;
    }
    cs_err err = cs_async_new(&r->done, l, on_done, r);
    if (err == CS_OK) {
        err = start_thread(r);
    }
    if (err != CS_OK) {
        cs_async_free(r->done);
        release(r);
        return err;
    }
    *out = r;
    return CS_OK;
}

void cs_resolve_free(cs_resolve *r)
{
    if (r == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&r->lock);
    r->waited_for = false;
    bool mine = r->answered;
    cs_async_free(r->done);
    (void)pthread_mutex_unlock(&r->lock);
    if (mine) {
        release(r);
    }
}
