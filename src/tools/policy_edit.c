/* See policy_edit.h. */
#include "tools/policy_edit.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "tools/policy_make.h"
#include "tools/policy_solve.h"
#include "tools/policy_value.h"

static bool text_is(const json_t *st, const char *name, const char *want)
{
    const char *s = json_string_value(json_object_get(st, name));

    return s != NULL && strcmp(s, want) == 0;
}

static bool sid_starts(const json_t *st, const char *prefix)
{
    const char *s = json_string_value(json_object_get(st, "Sid"));

    return s != NULL && strncmp(s, prefix, strlen(prefix)) == 0;
}

static json_t *statements(json_t *policy)
{
    json_t *list = json_object_get(policy, "Statement");

    if (json_is_object(list)) { /* one statement without a list */
        json_t *a = json_pack("[O]", list);
        (void)json_object_set_new(policy, "Statement", a);
    }
    return json_object_get(policy, "Statement");
}

/* The keys of the only condition operator of a release statement, or NULL. */
static json_t *release_keys(const json_t *st)
{
    json_t *condition = json_object_get(st, "Condition"), *keys = NULL, *v;
    const char *op, *key;

    if (!text_is(st, "Effect", "Allow") || json_object_size(condition) != 1 ||
        !cs_policy_lists(json_object_get(st, "Action"), "kms:Decrypt")) {
        return NULL;
    }
    json_object_foreach(condition, op, v)
    {
        keys = strcasecmp(op, "StringEquals") == 0 || strcasecmp(op, "StringEqualsIgnoreCase") == 0 ? v : NULL;
    }
    json_object_foreach(keys, key, v)
    {
        int n = cs_pkey_pcr(key);
        if (n < 0 || n >= CS_RELEASE_PCRS || cs_policy_item(v, 0) == NULL ||
            (json_object_size(keys) > 1 && cs_policy_item(v, 1) != NULL)) {
            return NULL;
        }
    }
    return json_object_size(keys) > 0 ? keys : NULL;
}

/* Release i of a statement (several only where PCR0 has a list); false behind the last, or when a value is no PCR. */
static bool release_at(cs_release *out, const json_t *keys, size_t i)
{
    const char *key, *s;
    json_t *v;

    *out = (cs_release){.mask = 0};
    json_object_foreach((json_t *)keys, key, v)
    {
        cs_pcr pcr;
        s = cs_policy_item(v, json_object_size(keys) > 1 ? 0 : i);
        if (s == NULL || cs_hex_decode(pcr.b, CS_PCR_LEN, cs_slice_str(s)) != CS_OK ||
            cs_release_bind(out, (unsigned)cs_pkey_pcr(key), &pcr) != CS_OK || (i > 0 && json_object_size(keys) > 1)) {
            return false;
        }
    }
    return out->mask != 0;
}

/* Has a all values that b binds? */
static bool has_values(const cs_release *a, const cs_release *b)
{
    for (unsigned n = 0; n < CS_RELEASE_PCRS; n++) {
        if ((b->mask >> n & 1) != 0 && ((a->mask >> n & 1) == 0 || memcmp(&a->pcr[n], &b->pcr[n], CS_PCR_LEN) != 0)) {
            return false;
        }
    }
    return true;
}

typedef struct all {
    cs_policy_plan plan;
    size_t last; /* statement of the last release, from 1; 0: none */
} all;

static cs_err collect(all *out, json_t *list)
{
    json_t *st;
    size_t i;
    cs_release r;

    *out = (all){.last = 0};
    json_array_foreach(list, i, st)
    {
        json_t *keys = release_keys(st);
        for (size_t k = 0; keys != NULL && release_at(&r, keys, k); k++) {
            if (out->plan.num_releases == CS_RELEASE_MAX) {
                return CS_E_TOO_LARGE;
            }
            out->plan.releases[out->plan.num_releases++] = r;
            out->last = i + 1;
        }
    }
    return CS_OK;
}

/* Our own Deny statements are made anew where the first one is. */
static cs_err renew_denials(json_t *list, const cs_policy_plan *plan)
{
    json_t *principal = NULL, *fresh, *st;
    size_t i, at = SIZE_MAX;

    for (i = json_array_size(list); i-- > 0;) {
        st = json_array_get(list, i);
        if (text_is(st, "Effect", "Deny") && sid_starts(st, CS_SID_OTHER)) {
            json_decref(principal);
            principal = json_incref(json_object_get(st, "Principal"));
            (void)json_array_remove(list, i);
            at = i;
        }
    }
    if (at == SIZE_MAX) {
        return CS_OK;
    }
    fresh = cs_policy_other_images(plan->releases, plan->num_releases, principal, "*");
    cs_err err = json_array_size(fresh) > 0 ? CS_OK : CS_E_NO_MEMORY;
    json_array_foreach(fresh, i, st)
    {
        err = err == CS_OK && json_array_insert(list, at + i, st) != 0 ? CS_E_NO_MEMORY : err;
    }
    json_decref(fresh);
    json_decref(principal);
    return err;
}

static bool lists_hex(const json_t *v, const char *hex)
{
    const char *s;

    for (size_t i = 0; (s = cs_policy_item(v, i)) != NULL; i++) {
        if (strcasecmp(s, hex) == 0) {
            return true;
        }
    }
    return false;
}

/* The values of one key with one more, or one less; an empty list is never made. */
static cs_err change_list(json_t *keys, const char *key, json_t *v, const char *hex, bool more)
{
    json_t *list = json_array();
    const char *s;
    bool ok = list != NULL;

    for (size_t i = 0; (s = cs_policy_item(v, i)) != NULL; i++) {
        if (more || strcasecmp(s, hex) != 0) {
            ok = ok && json_array_append_new(list, json_string(s)) == 0;
        }
    }
    if (more && !lists_hex(v, hex)) {
        ok = ok && json_array_append_new(list, json_string(hex)) == 0;
    }
    if (ok && json_array_size(list) > 0) {
        ok = json_object_set(keys, key, json_array_size(list) == 1 ? json_array_get(list, 0) : list) == 0;
    }
    json_decref(list);
    return ok ? CS_OK : CS_E_NO_MEMORY;
}

/* Deny statements of others that list images. */
static cs_err change_denials(json_t *list, const cs_release *r, bool more)
{
    char hex[2 * CS_PCR_LEN + 1];
    const char *op, *key;
    json_t *st, *keys, *v;
    void *next;
    size_t i;

    json_array_foreach(list, i, st)
    {
        if (!text_is(st, "Effect", "Deny") || sid_starts(st, CS_SID_OTHER)) {
            continue;
        }
        json_object_foreach(json_object_get(st, "Condition"), op, keys)
        {
            if (strncasecmp(op, "StringNotEquals", 15) != 0) {
                continue;
            }
            json_object_foreach_safe(keys, next, key, v)
            {
                int n = cs_pkey_pcr(key);
                if (n < 0 || n >= CS_RELEASE_PCRS || (r->mask >> n & 1) == 0) {
                    continue;
                }
                cs_hex_encode(hex, cs_slice_of(r->pcr[n].b, CS_PCR_LEN));
                CS_TRY(change_list(keys, key, v, hex, more));
            }
        }
    }
    return CS_OK;
}

/* A name that no statement has. */
static void free_sid(char out[64], json_t *list)
{
    bool used = true;
    json_t *st;
    size_t i;

    for (unsigned k = 1; used; k++) {
        (void)snprintf(out, 64, CS_SID_RELEASE "%u", k);
        used = false;
        json_array_foreach(list, i, st)
        {
            used = used || text_is(st, "Sid", out);
        }
    }
}

/* A copy of the statement of the last release, with the PCRs of r. */
static cs_err insert_copy(json_t *list, size_t last, const cs_release *r)
{
    json_t *model = json_array_get(list, last - 1), *made, *st;
    char sid[64];

    free_sid(sid, list);
    made = cs_policy_release(r, sid, json_object_get(model, "Principal"), false);
    st = json_deep_copy(model);
    bool ok = made != NULL && st != NULL && json_object_set(st, "Condition", json_object_get(made, "Condition")) == 0 &&
              json_object_set(st, "Sid", json_object_get(made, "Sid")) == 0 && json_array_insert(list, last, st) == 0;
    json_decref(made);
    json_decref(st);
    return ok ? CS_OK : CS_E_NO_MEMORY;
}

cs_err cs_policy_add_release(json_t *policy, const cs_release *r)
{
    static all now; /* one thread */
    json_t *list = statements(policy);

    CS_TRY(collect(&now, list));
    if (now.last == 0) {
        return CS_E_POLICY_NO_RELEASE;
    }
    if (now.plan.num_releases == CS_RELEASE_MAX) {
        return CS_E_TOO_LARGE;
    }
    now.plan.releases[now.plan.num_releases++] = *r;
    CS_TRY(cs_policy_plan_check(&now.plan));
    CS_TRY(insert_copy(list, now.last, r));
    CS_TRY(change_denials(list, r, true));
    return renew_denials(list, &now.plan);
}

/* One release out of a statement; *whole: the statement has no other. */
static cs_err cut(json_t *st, const cs_release *r, bool *whole, bool *found)
{
    json_t *keys = release_keys(st), *v;
    const char *key;
    cs_release have;
    size_t num = 0;

    *whole = false;
    for (size_t k = 0; keys != NULL && release_at(&have, keys, k); k++) {
        num++;
        if (has_values(&have, r)) {
            *found = *whole = true;
        }
    }
    if (!*whole || num == 1) {
        return CS_OK;
    }
    *whole = false;
    json_object_foreach(keys, key, v)
    {
        char hex[2 * CS_PCR_LEN + 1];
        cs_hex_encode(hex, cs_slice_of(r->pcr[cs_pkey_pcr(key)].b, CS_PCR_LEN));
        return change_list(keys, key, v, hex, false);
    }
    return CS_OK;
}

cs_err cs_policy_remove_release(json_t *policy, const cs_release *r)
{
    static all now; /* one thread */
    json_t *list = statements(policy);
    cs_release image = *r;
    bool found = false, whole;

    for (size_t i = json_array_size(list); i-- > 0;) {
        CS_TRY(cut(json_array_get(list, i), r, &whole, &found));
        if (whole) {
            (void)json_array_remove(list, i);
        }
    }
    if (!found) {
        return CS_E_POLICY_NO_RELEASE;
    }
    CS_TRY(collect(&now, list));
    if (now.plan.num_releases == 0) {
        return CS_E_POLICY_LAST_RELEASE;
    }
    image.mask &= 1;
    for (size_t i = 0; i < now.plan.num_releases; i++) {
        if (has_values(&now.plan.releases[i], &image)) {
            image.mask = 0; /* the same image goes on under another role */
        }
    }
    CS_TRY(change_denials(list, &image, false));
    return renew_denials(list, &now.plan);
}
