/* Keys and files of the emulator. See state.h. */
#include "emulator/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

cs_err cs_emu_file_write(const char *path, cs_slice data)
{
    char tmp[4096];
    int n = snprintf(tmp, sizeof tmp, "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof tmp) {
        return CS_E_IO;
    }
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    for (size_t at = 0; ok && at < data.len;) {
        ssize_t w = write(fd, data.p + at, data.len - at);
        ok = w > 0;
        at += ok ? (size_t)w : 0;
    }
    ok = (fd < 0 || close(fd) == 0) && ok;
    return ok && rename(tmp, path) == 0 ? CS_OK : CS_E_IO;
}

cs_err cs_emu_file_read(cs_buf *out, const char *path)
{
    uint8_t chunk[65536];
    size_t len0 = out->len;
    cs_err err = CS_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? CS_E_NOT_FOUND : CS_E_IO;
    }
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n == 0) {
            break;
        }
        err = n < 0 ? CS_E_IO : (cs_put(out, chunk, (size_t)n) == CS_OK ? CS_OK : CS_E_TOO_LARGE);
        if (err != CS_OK) {
            out->len = len0;
            break;
        }
    }
    close(fd);
    return err;
}

cs_emu_key *cs_emu_key_find(cs_emu_state *s, const char *id)
{
    for (size_t i = 0; i < s->num_keys; i++) {
        if (strcmp(s->keys[i].id, id) == 0 || strcmp(s->keys[i].arn, id) == 0) {
            return &s->keys[i];
        }
    }
    return NULL;
}

cs_err cs_emu_key_set_policy(cs_emu_key *k, cs_slice text, json_t *policy_take)
{
    char *copy = strndup((const char *)text.p, text.len);
    if (copy == NULL) {
        return CS_E_NO_MEMORY;
    }
    free(k->policy_text);
    json_decref(k->policy);
    k->policy_text = copy;
    k->policy = policy_take; /* transferred */
    return CS_OK;
}

static void key_cleanup(cs_emu_key *k)
{
    free(k->policy_text);
    json_decref(k->policy);
    json_decref(k->tags);
    memset(k, 0, sizeof *k);
}

void cs_emu_keys_expire(cs_emu_state *s, uint64_t now_ms)
{
    char path[4096];
    for (size_t i = s->num_keys; i-- > 0;) {
        cs_emu_key *k = &s->keys[i];
        if (k->state != CS_EMU_KEY_PENDING_DELETION || now_ms < k->deletion_ms) {
            continue;
        }
        for (size_t a = s->num_aliases; a-- > 0;) {
            if (strcmp(s->aliases[a].target, k->id) == 0) {
                cs_emu_alias_remove(s, &s->aliases[a]);
            }
        }
        snprintf(path, sizeof path, "%s/keys/%s.json", s->o.dir, k->id);
        if (unlink(path) != 0 || cs_emu_alias_save(s) != CS_OK) {
            continue; /* the files are still there: again at the next request */
        }
        key_cleanup(k);
        memmove(k, k + 1, (s->num_keys - i - 1) * sizeof *k);
        s->num_keys--;
    }
}

static void name_key(const cs_emu_state *s, cs_emu_key *k)
{
    snprintf(k->arn, sizeof k->arn, "arn:aws:kms:%s:%s:key/%s", s->o.region, s->o.account, k->id);
}

cs_err cs_emu_key_create(cs_emu_key **out, cs_emu_state *s, const char *description, cs_slice policy_text,
                         json_t *policy_take)
{
    uint8_t u[16];
    cs_emu_key k = {.created_ms = cs_clock_wall_ms()};
    if (s->num_keys == CS_EMU_MAX_KEYS) {
        return CS_E_TOO_LARGE;
    }
    if (RAND_bytes(u, sizeof u) != 1 || RAND_bytes(k.material, sizeof k.material) != 1) {
        return CS_E_ENTROPY;
    }
    u[6] = (uint8_t)((u[6] & 0x0f) | 0x40);
    u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
    snprintf(k.id, sizeof k.id, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
             u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
    name_key(s, &k);
    snprintf(k.description, sizeof k.description, "%s", description);
    k.tags = json_array();
    if (k.tags == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_err err = cs_emu_key_set_policy(&k, policy_text, policy_take);
    if (err != CS_OK) {
        json_decref(k.tags);
        return err;
    }
    s->keys[s->num_keys] = k;
    *out = &s->keys[s->num_keys++];
    return CS_OK;
}

cs_err cs_emu_key_save(const cs_emu_state *s, const cs_emu_key *k)
{
    char path[4096], hex[65];
    cs_hex_encode(hex, cs_slice_of(k->material, 32));
    json_t *j = json_pack("{s:s,s:s,s:s,s:i,s:I,s:I,s:s,s:O}", "id", k->id, "description", k->description, "material",
                          hex, "state", (int)k->state, "created", (json_int_t)k->created_ms, "deletion",
                          (json_int_t)k->deletion_ms, "policy", k->policy_text, "tags", k->tags);
    char *text = j != NULL ? json_dumps(j, JSON_INDENT(1)) : NULL;
    snprintf(path, sizeof path, "%s/keys/%s.json", s->o.dir, k->id);
    cs_err err = text != NULL ? cs_emu_file_write(path, cs_slice_str(text)) : CS_E_NO_MEMORY;
    free(text);
    json_decref(j);
    return err;
}

static cs_err load_key(cs_emu_state *s, const char *path)
{
    cs_emu_key k = {0};
    const char *id, *description, *material, *policy_text;
    json_int_t created = 0, deletion = 0;
    int state = 0;
    json_t *policy = NULL, *tags = NULL, *j = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    bool ok = s->num_keys < CS_EMU_MAX_KEYS && j != NULL &&
              json_unpack(j, "{s:s,s:s,s:s,s:i,s:I,s:I,s:s,s?o}", "id", &id, "description", &description, "material",
                          &material, "state", &state, "created", &created, "deletion", &deletion, "policy",
                          &policy_text, "tags", &tags) == 0 &&
              strlen(id) == 36 && state >= 0 && state <= CS_EMU_KEY_PENDING_DELETION &&
              (tags == NULL || json_is_array(tags)) && cs_hex_decode(k.material, 32, cs_slice_str(material)) == CS_OK &&
              cs_emu_policy_parse(&policy, cs_slice_str(policy_text)) == CS_OK;
    if (ok) {
        snprintf(k.id, sizeof k.id, "%s", id);
        snprintf(k.description, sizeof k.description, "%s", description);
        k.state = (cs_emu_key_state)state;
        k.created_ms = (uint64_t)created;
        k.deletion_ms = (uint64_t)deletion;
        name_key(s, &k);
        k.tags = tags != NULL ? json_incref(tags) : json_array();
        ok = k.tags != NULL && cs_emu_key_set_policy(&k, cs_slice_str(policy_text), policy) == CS_OK;
    }
    json_decref(j);
    if (!ok) {
        return CS_E_FORMAT;
    }
    s->keys[s->num_keys++] = k;
    return CS_OK;
}

static cs_err load_keys(cs_emu_state *s)
{
    char path[4096];
    cs_err err = CS_OK;
    snprintf(path, sizeof path, "%s/keys", s->o.dir);
    DIR *d = opendir(path);
    if (d == NULL) {
        return CS_E_IO;
    }
    for (struct dirent *e = readdir(d); e != NULL && err == CS_OK; e = readdir(d)) {
        size_t n = strlen(e->d_name);
        if (n == 41 && strcmp(e->d_name + 36, ".json") == 0) {
            snprintf(path, sizeof path, "%s/keys/%s", s->o.dir, e->d_name);
            err = load_key(s, path);
        }
    }
    closedir(d);
    return err;
}

static cs_err make_dir(const char *base, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", base, name);
    return mkdir(path, 0700) == 0 || errno == EEXIST ? CS_OK : CS_E_IO;
}

/* The administrator's key pair: kept, so that shells with exported credentials survive a restart. */
static cs_err open_admin(cs_emu_state *s)
{
    char path[4096];
    const char *id, *secret;
    snprintf(path, sizeof path, "%s/admin.json", s->o.dir);
    json_t *j = json_load_file(path, 0, NULL);
    s->admin.admin = true;
    snprintf(s->admin.id, sizeof s->admin.id, "AIDAEMULATEDADMIN0001");
    snprintf(s->admin.name, sizeof s->admin.name, "admin");
    if (j != NULL && json_unpack(j, "{s:s,s:s}", "AccessKeyId", &id, "SecretAccessKey", &secret) == 0) {
        snprintf(s->admin.access_key_id, sizeof s->admin.access_key_id, "%s", id);
        snprintf(s->admin.secret, sizeof s->admin.secret, "%s", secret);
        json_decref(j);
        return CS_OK;
    }
    json_decref(j);
    CS_TRY(cs_emu_random_text(s->admin.access_key_id, sizeof s->admin.access_key_id, 8, "AKIA"));
    CS_TRY(cs_emu_random_text(s->admin.secret, sizeof s->admin.secret, 20, ""));
    j = json_pack("{s:s,s:s}", "AccessKeyId", s->admin.access_key_id, "SecretAccessKey", s->admin.secret);
    char *text = j != NULL ? json_dumps(j, 0) : NULL;
    cs_err err = text != NULL ? cs_emu_file_write(path, cs_slice_str(text)) : CS_E_NO_MEMORY;
    free(text);
    json_decref(j);
    return err;
}

cs_err cs_emu_state_open(cs_emu_state *s, const cs_emu_options *o)
{
    memset(s, 0, sizeof *s);
    s->o = *o;
    snprintf(s->admin_arn, sizeof s->admin_arn, "arn:aws:iam::%s:user/admin", o->account);
    snprintf(s->role_arn, sizeof s->role_arn, "arn:aws:iam::%s:role/%s", o->account, o->role);
    s->keys = calloc(CS_EMU_MAX_KEYS, sizeof *s->keys);
    s->aliases = calloc(CS_EMU_MAX_ALIASES, sizeof *s->aliases);
    if (s->keys == NULL || s->aliases == NULL) {
        return CS_E_NO_MEMORY;
    }
    if (mkdir(o->dir, 0700) != 0 && errno != EEXIST) {
        return CS_E_IO;
    }
    CS_TRY(make_dir(o->dir, "keys"));
    CS_TRY(make_dir(o->dir, "s3"));
    CS_TRY(make_dir(o->dir, "iam"));
    CS_TRY(open_admin(s));
    CS_TRY(load_keys(s));
    return cs_emu_alias_load(s);
}

void cs_emu_state_close(cs_emu_state *s)
{
    for (size_t i = 0; i < s->num_keys; i++) {
        key_cleanup(&s->keys[i]);
    }
    free(s->keys);
    free(s->aliases);
    json_decref(s->iam_policy);
    free(s->nsm_root_der);
    memset(s, 0, sizeof *s);
}
