/* Aliases of KMS keys: a table in order of names, kept in DIR/aliases.json. See state.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "emulator/state.h"

cs_emu_alias *cs_emu_alias_find(cs_emu_state *s, const char *name)
{
    for (size_t i = 0; i < s->num_aliases; i++) {
        if (strcmp(s->aliases[i].name, name) == 0) {
            return &s->aliases[i];
        }
    }
    return NULL;
}

static cs_err insert(cs_emu_state *s, const cs_emu_alias *a)
{
    size_t i = 0;
    if (s->num_aliases == CS_EMU_MAX_ALIASES) {
        return CS_E_TOO_LARGE;
    }
    while (i < s->num_aliases && strcmp(s->aliases[i].name, a->name) < 0) {
        i++;
    }
    memmove(&s->aliases[i + 1], &s->aliases[i], (s->num_aliases - i) * sizeof *a);
    s->aliases[i] = *a;
    s->num_aliases++;
    return CS_OK;
}

cs_err cs_emu_alias_add(cs_emu_state *s, const char *name, const cs_emu_key *target)
{
    uint64_t now = cs_clock_wall_ms();
    cs_emu_alias a = {.created_ms = now, .updated_ms = now};
    snprintf(a.name, sizeof a.name, "%s", name);
    snprintf(a.target, sizeof a.target, "%s", target->id);
    return insert(s, &a);
}

void cs_emu_alias_remove(cs_emu_state *s, cs_emu_alias *a)
{
    size_t i = (size_t)(a - s->aliases);
    memmove(a, a + 1, (s->num_aliases - i - 1) * sizeof *a);
    s->num_aliases--;
}

static void file_path(char out[4096], const cs_emu_state *s)
{
    snprintf(out, 4096, "%s/aliases.json", s->o.dir);
}

cs_err cs_emu_alias_save(const cs_emu_state *s)
{
    char path[4096];
    json_t *all = json_array();
    bool ok = all != NULL;
    for (size_t i = 0; ok && i < s->num_aliases; i++) {
        const cs_emu_alias *a = &s->aliases[i];
        ok =
            json_array_append_new(all, json_pack("{s:s,s:s,s:I,s:I}", "name", a->name, "target", a->target, "created",
                                                 (json_int_t)a->created_ms, "updated", (json_int_t)a->updated_ms)) == 0;
    }
    char *text = ok ? json_dumps(all, JSON_INDENT(1)) : NULL;
    file_path(path, s);
    cs_err err = text != NULL ? cs_emu_file_write(path, cs_slice_str(text)) : CS_E_NO_MEMORY;
    free(text);
    json_decref(all);
    return err;
}

static cs_err load_one(cs_emu_state *s, json_t *j)
{
    cs_emu_alias a = {.name = ""};
    const char *name, *target;
    json_int_t created, updated;
    if (json_unpack(j, "{s:s,s:s,s:I,s:I}", "name", &name, "target", &target, "created", &created, "updated",
                    &updated) != 0 ||
        strlen(name) >= sizeof a.name || cs_emu_key_find(s, target) == NULL || cs_emu_alias_find(s, name) != NULL) {
        return CS_E_FORMAT;
    }
    snprintf(a.name, sizeof a.name, "%s", name);
    snprintf(a.target, sizeof a.target, "%.36s", target);
    a.created_ms = (uint64_t)created;
    a.updated_ms = (uint64_t)updated;
    return insert(s, &a) == CS_OK ? CS_OK : CS_E_FORMAT;
}

cs_err cs_emu_alias_load(cs_emu_state *s)
{
    char path[4096];
    cs_buf text = cs_buf_heap(4u << 20);
    file_path(path, s);
    cs_err err = cs_emu_file_read(&text, path);
    json_t *all = err == CS_OK ? json_loadb((const char *)text.p, text.len, 0, NULL) : NULL;
    cs_buf_free(&text);
    if (err != CS_OK) {
        return err == CS_E_NOT_FOUND ? CS_OK : err;
    }
    err = json_is_array(all) ? CS_OK : CS_E_FORMAT;
    for (size_t i = 0; err == CS_OK && i < json_array_size(all); i++) {
        err = load_one(s, json_array_get(all, i));
    }
    json_decref(all);
    return err;
}
