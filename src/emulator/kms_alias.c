/* KMS operations on aliases. See kms_call.h. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "emulator/kms_call.h"

#define MAX_PER_KEY 50 /* KMS's quota */
#define ALIAS_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:/_-"

/* in["AliasName"] when it may be one; NULL with the refusal set. */
static const char *alias_name(cs_emu_kms_call *c)
{
    bool ok;
    const char *name = cs_emu_kms_text(c, "AliasName", 256, &ok);
    if (!ok) {
        return NULL;
    }
    if (name == NULL || name[0] == '\0') {
        cs_emu_kms_fail(
            c, "ValidationException",
            "1 validation error detected: Value null at 'aliasName' failed to satisfy constraint: Member must "
            "not be null");
    } else if (strspn(name, ALIAS_CHARS) != strlen(name)) {
        cs_emu_kms_fail(
            c, "ValidationException",
            "1 validation error detected: Value '%.256s' at 'aliasName' failed to satisfy constraint: Member must "
            "satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
            name);
    } else if (strncmp(name, "alias/", 6) != 0) {
        cs_emu_kms_fail(c, "ValidationException", "Alias must start with the prefix \"alias/\".");
    } else if (name[6] == '\0') {
        cs_emu_kms_fail(c, "InvalidAliasNameException", "The alias has no name after its prefix.");
    } else if (strchr(name, ':') != NULL) {
        cs_emu_kms_fail(c, "ValidationException", "%s contains invalid characters for an alias", name);
    } else if (strncmp(name, "alias/aws/", 10) == 0) {
        cs_emu_kms_fail(c, "NotAuthorizedException", "alias/aws/ is reserved for keys of AWS");
    } else {
        return name;
    }
    return NULL;
}

static void alias_arn(char out[400], const cs_emu_kms_call *c, const char *name)
{
    snprintf(out, 400, "arn:aws:kms:%s:%s:%s", c->s->o.region, c->s->o.account, name);
}

/* The caller's IAM policy for the alias, then the key's policy for the key: both are asked [KMS developer guide, "alias-access"]. */
static bool allowed(cs_emu_kms_call *c, const char *name, cs_emu_need need)
{
    char arn[400];
    cs_emu_key *key = c->key;
    alias_arn(arn, c, name);
    c->key = NULL;
    char action[80];
    snprintf(action, sizeof action, "kms:%s", c->op);
    bool ok = cs_emu_kms_authorise_as(c, action, arn, CS_EMU_ANY_STATE);
    c->key = key;
    cs_emu_context_reset(&c->context);
    return ok && cs_emu_kms_authorise(c, need);
}

static json_t *saved(cs_emu_kms_call *c)
{
    return cs_emu_alias_save(c->s) == CS_OK
               ? json_null()
               : cs_emu_kms_fail(c, "KMSInternalException", "the aliases could not be saved");
}

/* in["TargetKeyId"] to c->key */
static bool target(cs_emu_kms_call *c)
{
    const char *id = json_string_value(json_object_get(c->in, "TargetKeyId"));
    if (id != NULL && (strncmp(id, "alias/", 6) == 0 || strstr(id, ":alias/") != NULL)) {
        cs_emu_kms_fail(c, "ValidationException", "Aliases must refer to keys. Not aliases");
        return false;
    }
    return cs_emu_kms_key(c, "TargetKeyId", false);
}

static size_t num_of(const cs_emu_state *s, const cs_emu_key *k)
{
    size_t n = 0;
    for (size_t i = 0; i < s->num_aliases; i++) {
        n += strcmp(s->aliases[i].target, k->id) == 0 ? 1 : 0;
    }
    return n;
}

json_t *cs_emu_kms_create_alias(cs_emu_kms_call *c)
{
    char arn[400];
    const char *name = alias_name(c);
    if (name == NULL || !target(c) || !allowed(c, name, CS_EMU_NOT_DYING)) {
        return NULL;
    }
    if (cs_emu_alias_find(c->s, name) != NULL) {
        alias_arn(arn, c, name);
        return cs_emu_kms_fail(c, "AlreadyExistsException", "An alias with the name %s already exists", arn);
    }
    if (num_of(c->s, c->key) >= MAX_PER_KEY || cs_emu_alias_add(c->s, name, c->key) != CS_OK) {
        return cs_emu_kms_fail(c, "LimitExceededException", "no room for another alias");
    }
    return saved(c);
}

/* The alias that the request names; refuses when there is none. */
static cs_emu_alias *find(cs_emu_kms_call *c, const char *name)
{
    char arn[400];
    cs_emu_alias *a = cs_emu_alias_find(c->s, name);
    if (a == NULL) {
        alias_arn(arn, c, name);
        cs_emu_kms_fail(c, "NotFoundException", "Alias %s is not found.", arn);
    }
    return a;
}

/* Both keys are asked: the alias leaves one and comes to the other. */
json_t *cs_emu_kms_update_alias(cs_emu_kms_call *c)
{
    const char *name = alias_name(c);
    cs_emu_alias *a = name != NULL ? find(c, name) : NULL;
    if (a == NULL || !target(c)) {
        return NULL;
    }
    cs_emu_key *next = c->key;
    c->key = cs_emu_key_find(c->s, a->target);
    if (c->key == NULL || !allowed(c, name, CS_EMU_ANY_STATE)) {
        return c->error != NULL ? NULL : cs_emu_kms_fail(c, "KMSInternalException", "the alias names no key");
    }
    c->key = next;
    cs_emu_context_reset(&c->context);
    if (!cs_emu_kms_authorise(c, CS_EMU_NOT_DYING)) {
        return NULL;
    }
    if (strcmp(a->target, next->id) != 0 && num_of(c->s, next) >= MAX_PER_KEY) {
        return cs_emu_kms_fail(c, "LimitExceededException", "no room for another alias of this key");
    }
    snprintf(a->target, sizeof a->target, "%s", next->id);
    a->updated_ms = cs_clock_wall_ms();
    return saved(c);
}

json_t *cs_emu_kms_delete_alias(cs_emu_kms_call *c)
{
    const char *name = alias_name(c);
    cs_emu_alias *a = name != NULL ? find(c, name) : NULL;
    if (a == NULL) {
        return NULL;
    }
    c->key = cs_emu_key_find(c->s, a->target);
    if (c->key == NULL || !allowed(c, name, CS_EMU_ANY_STATE)) {
        return c->error != NULL ? NULL : cs_emu_kms_fail(c, "KMSInternalException", "the alias names no key");
    }
    cs_emu_alias_remove(c->s, a);
    return saved(c);
}
