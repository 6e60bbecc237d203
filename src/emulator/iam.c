/*
 * Credentials and roles of the emulated account: sessions of the instance's role (IMDS) and of AssumeRole, and the identity
 * policies DIR/iam/NAME.json. See state.h.
 */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "emulator/state.h"

cs_err cs_emu_random_text(char *out, size_t cap, size_t num_bytes, const char *prefix)
{
    uint8_t raw[64];
    char hex[129];
    if (num_bytes > sizeof raw || RAND_bytes(raw, (int)num_bytes) != 1) {
        return CS_E_ENTROPY;
    }
    cs_hex_encode(hex, cs_slice_of(raw, num_bytes));
    for (char *p = hex; *p != '\0'; p++) {
        *p = *p >= 'a' ? (char)(*p - 32) : *p;
    }
    int n = snprintf(out, cap, "%s%s", prefix, hex);
    return n > 0 && (size_t)n < cap ? CS_OK : CS_E_RANGE;
}

/* IAM's characters of role and session names; no slash and no dot-file, so that it is a file name too */
static bool name_valid(const char *name)
{
    size_t n = strlen(name);
    return n >= 1 && n <= 64 && name[0] != '.' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+=,.@_-") == n;
}

static void policy_path(char out[4096], const cs_emu_state *s, const char *name)
{
    snprintf(out, 4096, "%s/iam/%s.json", s->o.dir, name);
}

bool cs_emu_role_exists(const cs_emu_state *s, const char *name)
{
    char path[4096];
    if (!name_valid(name)) {
        return false;
    }
    policy_path(path, s, name);
    return strcmp(name, s->o.role) == 0 || access(path, R_OK) == 0;
}

cs_err cs_emu_role_make(const cs_emu_state *s, const char *name)
{
    static const char nothing[] = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\","
                                  "\"Action\":\"sts:GetCallerIdentity\",\"Resource\":\"*\"}]}\n";
    char path[4096];
    if (!name_valid(name)) {
        return CS_E_RANGE;
    }
    policy_path(path, s, name);
    return access(path, F_OK) == 0 ? CS_OK : cs_emu_file_write(path, cs_slice_str(nothing));
}

cs_err cs_emu_role_policy(json_t **out, const cs_emu_state *s, const char *name)
{
    char path[4096];
    cs_buf text = cs_buf_heap(CS_EMU_POLICY_MAX + 1);
    if (!name_valid(name)) {
        return CS_E_NOT_FOUND;
    }
    policy_path(path, s, name);
    cs_err err = cs_emu_file_read(&text, path);
    if (err == CS_OK) {
        err = cs_emu_policy_read(out, cs_buf_slice(&text), CS_EMU_IDENTITY_POLICY, NULL);
    }
    cs_buf_free(&text);
    return err == CS_E_TOO_LARGE ? CS_E_FORMAT : err;
}

/* The unique id of a role: the same at every start. */
static void role_id(char out[21], const char *role)
{
    uint8_t md[32] = {0};
    char hex[65];
    unsigned n = 0;
    (void)EVP_Digest(role, strlen(role), md, &n, EVP_sha256(), NULL);
    cs_hex_encode(hex, cs_slice_of(md, sizeof md));
    snprintf(out, 21, "AROA%.16s", hex);
    for (char *p = out; *p != '\0'; p++) {
        *p = *p >= 'a' ? (char)(*p - 32) : *p;
    }
}

static cs_err new_session(cs_emu_session *out, const cs_emu_state *s, const char *role, const char *name)
{
    char id[21];
    CS_TRY(cs_emu_random_text(out->access_key_id, sizeof out->access_key_id, 8, "ASIA"));
    CS_TRY(cs_emu_random_text(out->secret, sizeof out->secret, 20, ""));
    CS_TRY(cs_emu_random_text(out->token, sizeof out->token, 48, "IQoJ"));
    role_id(id, role);
    snprintf(out->role, sizeof out->role, "%s", role);
    snprintf(out->name, sizeof out->name, "%s", name);
    snprintf(out->id, sizeof out->id, "%s:%s", id, name);
    snprintf(out->role_arn, sizeof out->role_arn, "arn:aws:iam::%s:role/%s", s->o.account, role);
    snprintf(out->session_arn, sizeof out->session_arn, "arn:aws:sts::%s:assumed-role/%s/%s", s->o.account, role, name);
    return CS_OK;
}

cs_err cs_emu_assume_role(const cs_emu_session **out, cs_emu_state *s, const char *role, const char *name,
                          uint64_t life_s)
{
    cs_emu_session fresh = {.expires_ms = cs_clock_wall_ms() / 1000 * 1000 + life_s * 1000};
    if (!cs_emu_role_exists(s, role)) {
        return CS_E_NOT_FOUND;
    }
    if (!name_valid(name) || strlen(name) < 2 || life_s < 1 || life_s > 43200) {
        return CS_E_RANGE;
    }
    CS_TRY(new_session(&fresh, s, role, name));
    s->assumed[s->next_assumed] = fresh;
    *out = &s->assumed[s->next_assumed];
    s->next_assumed = (s->next_assumed + 1) % CS_EMU_MAX_ASSUMED;
    return CS_OK;
}

cs_err cs_emu_role_session(const cs_emu_session **out, cs_emu_state *s)
{
    uint64_t now = cs_clock_wall_ms(), early = CS_EMU_ROTATE_S * 1000ull;
    cs_emu_session *cur = &s->sessions[(s->next_session + CS_EMU_MAX_SESSIONS - 1) % CS_EMU_MAX_SESSIONS];
    if (s->o.credential_s < 2 * CS_EMU_ROTATE_S) {
        early = s->o.credential_s * 1000 / 2; /* short lives, for tests */
    }
    if (cur->access_key_id[0] == '\0' || now + early >= cur->expires_ms) {
        cs_emu_session fresh = {.expires_ms = now / 1000 * 1000 + s->o.credential_s * 1000};
        CS_TRY(new_session(&fresh, s, s->o.role, s->o.instance_id));
        cur = &s->sessions[s->next_session];
        *cur = fresh;
        s->next_session = (s->next_session + 1) % CS_EMU_MAX_SESSIONS;
    }
    *out = cur;
    return CS_OK;
}
