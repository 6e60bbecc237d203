/* Allow-lists: is a destination allowed? By its text at once, else by comparing addresses. See allowlist.h. */
#include <stdlib.h>
#include <string.h>

#include "host/allowlist_int.h"

#define AT_ONCE 16
#define ALL_MS 10000u /* for all lookups */

/* Lookups of the entries of one port, some at once, on a loop of their own. */
typedef struct search {
    cs_loop *loop;
    const cs_allowlist *list;
    const cs_addrs *host; /* where the destination leads to */
    cs_addrs *found;      /* those of them that an entry leads to */
    uint16_t port;
    int family;
    cs_lookup_fn *lookup;
    size_t next;
    struct slot {
        struct search *of;
        cs_resolve *resolve;
    } slots[AT_ONCE];
} search;

bool cs_allowlist_has(const cs_allowlist *a, const char *host, uint16_t port)
{
    for (size_t i = 0; i < a->num; i++) {
        if (a->entries[i].port == port && strcmp(a->entries[i].host, host) == 0) {
            return true;
        }
    }
    return false;
}

static void compare(search *s, const cs_addrs *entry)
{
    for (size_t i = 0; i < s->host->num; i++) {
        if (cs_addrs_has(entry, s->host->a[i].text) && !cs_addrs_has(s->found, s->host->a[i].text)) {
            s->found->a[s->found->num++] = s->host->a[i];
        }
    }
}

static void fill(struct slot *slot);
static bool any_lookup(const search *s);

static void on_entry(void *cookie, cs_err err, const cs_addrs *addrs)
{
    struct slot *slot = cookie;

    slot->resolve = NULL;
    if (err == CS_OK) {
        compare(slot->of, addrs);
    }
    fill(slot);
    if (!any_lookup(slot->of)) {
        cs_loop_stop(slot->of->loop);
    }
}

/* Begins with the next entry that needs a lookup; addresses are compared at once. */
static void fill(struct slot *slot)
{
    search *s = slot->of;
    cs_addrs numeric;

    while (slot->resolve == NULL && s->next < s->list->num) {
        const cs_allowed *e = &s->list->entries[s->next++];
        if (e->port != s->port) {
            continue;
        }
        if (cs_addrs_numeric(&numeric, e->host, s->family)) {
            compare(s, &numeric);
        } else if (cs_resolve_new(&slot->resolve, s->loop, e->host, s->family, s->lookup, on_entry, slot) != CS_OK) {
            slot->resolve = NULL;
        }
    }
}

static bool any_lookup(const search *s)
{
    for (size_t i = 0; i < AT_ONCE; i++) {
        if (s->slots[i].resolve != NULL) {
            return true;
        }
    }
    return false;
}

static void on_late(void *cookie)
{
    cs_loop_stop(cookie);
}

static void search_entries(search *s, cs_timer *late)
{
    for (size_t i = 0; i < AT_ONCE; i++) {
        s->slots[i].of = s;
    }
    for (size_t i = 0; i < AT_ONCE; i++) {
        fill(&s->slots[i]);
    }
    if (any_lookup(s)) {
        cs_timer_start(late, ALL_MS, 0);
        cs_loop_run(s->loop);
    }
    for (size_t i = 0; i < AT_ONCE; i++) {
        cs_resolve_free(s->slots[i].resolve);
    }
}

cs_err cs_allowlist_find(cs_addrs *out_only, const cs_allowlist *a, const cs_endpoint *host, int family,
                         cs_lookup_fn *lookup)
{
    cs_lookup_fn *look_up = lookup != NULL ? lookup : cs_lookup_system;
    cs_addrs addrs = {0}, found = {0};
    cs_timer *late = NULL;
    search s = {
        .list = a, .host = &addrs, .found = &found, .port = (uint16_t)host->port, .family = family, .lookup = look_up};

    if (cs_allowlist_has(a, host->host, (uint16_t)host->port)) {
        *out_only = found;
        return CS_OK;
    }
    if (look_up(&addrs, host->host, family) != CS_OK) {
        return CS_E_PROXY_DENIED;
    }
    CS_TRY(cs_loop_new(&s.loop));
    cs_err err = cs_timer_new(&late, s.loop, on_late, s.loop);
    if (err == CS_OK) {
        search_entries(&s, late);
        err = found.num > 0 ? CS_OK : CS_E_PROXY_DENIED;
    }
    cs_timer_free(late);
    cs_loop_free(s.loop);
    if (err == CS_OK) {
        *out_only = found;
    }
    return err;
}
