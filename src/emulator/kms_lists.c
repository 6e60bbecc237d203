/* KMS operations that list in pages, tags, and grants (which are refused). See kms_call.h. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "emulator/kms_call.h"

/* One page of a list: entries [from, from + limit). */
typedef struct page {
    size_t from, limit, at;
    bool truncated;
    json_t *list;
} page;

/* Limit and Marker; the marker is the position, as text that a caller has no reason to read. */
static bool page_begin(cs_emu_kms_call *c, page *p, size_t max)
{
    const json_t *limit = json_object_get(c->in, "Limit");
    uint64_t from = 0;
    bool ok;
    const char *marker = cs_emu_kms_text(c, "Marker", 1024, &ok);
    if (!ok) {
        return false;
    }
    *p = (page){.limit = max};
    if (limit != NULL && !json_is_null(limit)) {
        json_int_t n = json_integer_value(limit);
        if (!json_is_integer(limit) || n < 1 || n > (json_int_t)max) {
            cs_emu_kms_fail(
                c, "ValidationException",
                "1 validation error detected: Value '%lld' at 'limit' failed to satisfy constraint: Member must "
                "have value between 1 and %zu",
                (long long)n, max);
            return false;
        }
        p->limit = (size_t)n;
    }
    if (marker != NULL &&
        (strncmp(marker, "at-", 3) != 0 || cs_parse_u64(cs_slice_str(marker + 3), 1u << 20, &from) != CS_OK)) {
        cs_emu_kms_fail(c, "InvalidMarkerException", "Could not deserialize marker '%.64s'", marker);
        return false;
    }
    p->from = (size_t)from;
    p->list = json_array();
    return p->list != NULL;
}

/* Whether the next entry belongs to this page. */
static bool page_takes(page *p)
{
    size_t at = p->at++;
    if (at < p->from) {
        return false;
    }
    p->truncated = at - p->from >= p->limit;
    return !p->truncated;
}

static json_t *page_end(page *p, const char *member)
{
    char marker[32];
    json_t *answer = json_pack("{s:o,s:b}", member, p->list, "Truncated", (int)p->truncated);
    if (answer != NULL && p->truncated) {
        snprintf(marker, sizeof marker, "at-%zu", p->from + p->limit);
        json_object_set_new(answer, "NextMarker", json_string(marker));
    }
    return answer;
}

json_t *cs_emu_kms_list_aliases(cs_emu_kms_call *c)
{
    page p;
    const json_t *id = json_object_get(c->in, "KeyId");
    const cs_emu_key *only = NULL;
    if (id != NULL && !json_is_null(id)) {
        if (!cs_emu_kms_key(c, "KeyId", false)) {
            return NULL;
        }
        only = c->key;
        c->key = NULL; /* the permission is IAM's */
    }
    if (!cs_emu_kms_authorise(c, CS_EMU_ANY_STATE) || !page_begin(c, &p, 100)) {
        return NULL;
    }
    for (size_t i = 0; i < c->s->num_aliases && !p.truncated; i++) {
        const cs_emu_alias *a = &c->s->aliases[i];
        if ((only != NULL && strcmp(a->target, only->id) != 0) || !page_takes(&p)) {
            continue;
        }
        json_array_append_new(p.list,
                              json_pack("{s:s,s:o,s:s,s:f,s:f}", "AliasName", a->name, "AliasArn",
                                        json_sprintf("arn:aws:kms:%s:%s:%s", c->s->o.region, c->s->o.account, a->name),
                                        "TargetKeyId", a->target, "CreationDate", (double)a->created_ms / 1000.0,
                                        "LastUpdatedDate", (double)a->updated_ms / 1000.0));
    }
    return page_end(&p, "Aliases");
}

json_t *cs_emu_kms_list_keys(cs_emu_kms_call *c)
{
    page p;
    if (!cs_emu_kms_authorise(c, CS_EMU_ANY_STATE) || !page_begin(c, &p, 1000)) {
        return NULL;
    }
    for (size_t i = 0; i < c->s->num_keys && !p.truncated; i++) {
        if (page_takes(&p)) {
            json_array_append_new(p.list,
                                  json_pack("{s:s,s:s}", "KeyId", c->s->keys[i].id, "KeyArn", c->s->keys[i].arn));
        }
    }
    return page_end(&p, "Keys");
}

json_t *cs_emu_kms_list_policies(cs_emu_kms_call *c)
{
    page p;
    if (!cs_emu_kms_key(c, "KeyId", false) || !cs_emu_kms_authorise(c, CS_EMU_ANY_STATE) || !page_begin(c, &p, 1000)) {
        return NULL;
    }
    if (page_takes(&p)) {
        json_array_append_new(p.list, json_string("default"));
    }
    return page_end(&p, "PolicyNames");
}

static size_t find_tag(const json_t *tags, const char *key)
{
    size_t i = 0;
    while (i < json_array_size(tags) &&
           strcmp(json_string_value(json_object_get(json_array_get(tags, i), "TagKey")), key) != 0) {
        i++;
    }
    return i;
}

/* Characters, not bytes: what the limits of KMS count. The text is well-formed UTF-8 (it came as JSON). */
static size_t num_chars(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80 ? 1 : 0;
    }
    return n;
}

static bool tag_ok(cs_emu_kms_call *c, const char *k, const char *v)
{
    if (k == NULL || v == NULL) {
        cs_emu_kms_fail(c, "ValidationException", "a tag is TagKey and TagValue, both strings");
        return false;
    }
    if (k[0] == '\0' || num_chars(k) > 128 || num_chars(v) > 256) {
        cs_emu_kms_fail(c, "ValidationException", "a tag's key has 1 to 128 characters, its value at most 256");
        return false;
    }
    if (strncasecmp(k, "aws:", 4) == 0) {
        cs_emu_kms_fail(c, "TagException", "aws: prefixed tag key names are not allowed for external use.");
        return false;
    }
    return true;
}

json_t *cs_emu_kms_tags_merge(cs_emu_kms_call *c, const json_t *old)
{
    const json_t *in = json_object_get(c->in, "Tags");
    json_t *out = old != NULL ? json_deep_copy(old) : json_array();
    size_t n = json_array_size(in);
    bool ok = out != NULL && (in == NULL || json_is_null(in) || json_is_array(in));
    for (size_t i = 0; ok && i < n; i++) {
        json_t *t = json_array_get(in, i);
        const char *k = json_string_value(json_object_get(t, "TagKey"));
        const char *v = json_string_value(json_object_get(t, "TagValue"));
        if (!tag_ok(c, k, v)) {
            break;
        }
        for (size_t j = 0; j < i && c->error == NULL; j++) {
            if (strcmp(json_string_value(json_object_get(json_array_get(in, j), "TagKey")), k) == 0) {
                cs_emu_kms_fail(c, "TagException", "Duplicate tag keys");
            }
        }
        size_t at = find_tag(out, k);
        json_t *copy = json_pack("{s:s,s:s}", "TagKey", k, "TagValue", v);
        ok = c->error == NULL && copy != NULL;
        if (!ok) {
            json_decref(copy);
        } else if (at < json_array_size(out)) {
            ok = json_array_set_new(out, at, copy) == 0;
        } else {
            ok = json_array_append_new(out, copy) == 0;
        }
    }
    if (ok && c->error == NULL && json_array_size(out) <= CS_EMU_MAX_TAGS) {
        return out;
    }
    if (c->error == NULL) {
        cs_emu_kms_fail(c, ok ? "LimitExceededException" : "ValidationException",
                        ok ? "a key has at most 50 tags" : "Tags is a list of TagKey and TagValue");
    }
    json_decref(out);
    return NULL;
}

json_t *cs_emu_kms_tag(cs_emu_kms_call *c)
{
    if (!json_is_array(json_object_get(c->in, "Tags"))) {
        return cs_emu_kms_fail(
            c, "ValidationException",
            "1 validation error detected: Value null at 'tags' failed to satisfy constraint: Member must "
            "not be null");
    }
    if (!cs_emu_kms_key(c, "KeyId", false) || !cs_emu_kms_authorise(c, CS_EMU_NOT_DYING)) {
        return NULL;
    }
    json_t *tags = cs_emu_kms_tags_merge(c, c->key->tags);
    if (tags == NULL) {
        return NULL;
    }
    json_decref(c->key->tags);
    c->key->tags = tags; /* transferred */
    return cs_emu_kms_saved(c, json_null());
}

json_t *cs_emu_kms_untag(cs_emu_kms_call *c)
{
    const json_t *keys = json_object_get(c->in, "TagKeys");
    size_t i;
    json_t *k;
    if (!json_is_array(keys)) {
        return cs_emu_kms_fail(
            c, "ValidationException",
            "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must "
            "not be null");
    }
    if (!cs_emu_kms_key(c, "KeyId", false) || !cs_emu_kms_authorise(c, CS_EMU_ANY_STATE)) {
        return NULL;
    }
    json_array_foreach(keys, i, k)
    {
        size_t at = json_is_string(k) ? find_tag(c->key->tags, json_string_value(k)) : SIZE_MAX;
        if (at < json_array_size(c->key->tags)) {
            json_array_remove(c->key->tags, at);
        }
    }
    return cs_emu_kms_saved(c, json_null());
}

json_t *cs_emu_kms_list_tags(cs_emu_kms_call *c)
{
    page p;
    size_t i;
    json_t *t;
    if (!cs_emu_kms_key(c, "KeyId", false) || !cs_emu_kms_authorise(c, CS_EMU_ANY_STATE) || !page_begin(c, &p, 50)) {
        return NULL;
    }
    json_array_foreach(c->key->tags, i, t)
    {
        if (page_takes(&p)) {
            json_array_append(p.list, t);
        }
    }
    return page_end(&p, "Tags");
}

/*
 * [nitro-kms.md 10, 11 row 20] A grant carries no attestation condition: its grantee decrypts without an enclave, whatever the
 * key policy says of the image. The emulator makes none, so that nothing that works here depends on one.
 */
json_t *cs_emu_kms_create_grant(cs_emu_kms_call *c)
{
    if (!cs_emu_kms_key(c, "KeyId", false) || !cs_emu_kms_authorise(c, CS_EMU_ENABLED)) {
        return NULL;
    }
    return cs_emu_kms_fail(
        c, "UnsupportedOperationException",
        "not implemented: grants. A grant carries no attestation condition, so its grantee could decrypt "
        "outside the enclave; deny kms:CreateGrant in the key policy and name the principal there.");
}

json_t *cs_emu_kms_list_grants(cs_emu_kms_call *c)
{
    page p;
    return cs_emu_kms_key(c, "KeyId", false) && cs_emu_kms_authorise(c, CS_EMU_ANY_STATE) && page_begin(c, &p, 100)
               ? page_end(&p, "Grants")
               : NULL;
}

json_t *cs_emu_kms_revoke_grant(cs_emu_kms_call *c)
{
    if (!cs_emu_kms_key(c, "KeyId", false) || !cs_emu_kms_authorise(c, CS_EMU_ANY_STATE)) {
        return NULL;
    }
    return cs_emu_kms_fail(c, "NotFoundException", "The grant was not found: this key has none.");
}
