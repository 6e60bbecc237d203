/*
 * State of the emulator: account, credentials, keys with their policies, objects. Keys and objects live in files of its folder so
 * that a restart keeps them; credentials of the role are made anew. One thread.
 */
#ifndef CS_EMULATOR_STATE_H
#define CS_EMULATOR_STATE_H

#include "emulator/pki.h"
#include "emulator/policy.h"
#include "net/aws/sigv4.h"

#define CS_EMU_MAX_KEYS 1024
#define CS_EMU_MAX_SESSIONS 64
#define CS_EMU_ROTATE_S 300 /* new role credentials appear this long before the old ones expire [nitro-kms.md 9.1] */

typedef enum cs_emu_key_state { CS_EMU_KEY_ENABLED, CS_EMU_KEY_DISABLED, CS_EMU_KEY_PENDING_DELETION } cs_emu_key_state;

typedef struct cs_emu_key {
    char id[37]; /* UUID */
    char arn[128];
    char description[257];
    uint8_t material[32];
    cs_emu_key_state state;
    uint64_t created_ms, deletion_ms;
    char *policy_text; /* as given */
    json_t *policy;
} cs_emu_key;

typedef struct cs_emu_session {
    char access_key_id[33];
    char secret[65];
    char token[129];     /* "" for the administrator */
    uint64_t expires_ms; /* 0: never */
    bool admin;
} cs_emu_session;

typedef struct cs_emu_options {
    const char *dir, *region, *account, *role, *role_iam, *instance_id;
    uint64_t credential_s; /* life of role credentials */
    const char *cms_form;  /* "constructed", "primitive", "segments" or "alternate" */
} cs_emu_options;

typedef struct cs_emu_state {
    cs_emu_options o;
    char role_arn[160], role_session_arn[224], admin_arn[160];
    cs_emu_key *keys;
    size_t num_keys;
    cs_emu_session admin;
    cs_emu_session sessions[CS_EMU_MAX_SESSIONS]; /* of the role; a ring, newest at (next - 1) */
    size_t next_session;
    uint8_t *nsm_root_der;
    size_t nsm_root_len;
    uint64_t num_answers; /* for the alternation of CMS forms */
} cs_emu_state;

/* cs_emu_state_open - read DIR, make what is missing (administrator's key pair, folders). CS_E_IO | CS_E_FORMAT | CS_E_ENTROPY. */
CS_MUST cs_err cs_emu_state_open(cs_emu_state *s, const cs_emu_options *o);
void cs_emu_state_close(cs_emu_state *s);

/* cs_emu_key_find - by UUID or ARN; NULL. */
cs_emu_key *cs_emu_key_find(cs_emu_state *s, const char *id);
/* cs_emu_key_create - enabled, with material; the policy is taken over on CS_OK. Not saved yet. CS_E_TOO_LARGE | CS_E_ENTROPY. */
CS_MUST cs_err cs_emu_key_create(cs_emu_key **out, cs_emu_state *s, const char *description, cs_slice policy_text,
                                 json_t *policy_take);
/* cs_emu_key_set_policy - CS_E_NO_MEMORY. cs_emu_key_save - write DIR/keys/ID.json (0600). CS_E_IO. */
CS_MUST cs_err cs_emu_key_set_policy(cs_emu_key *k, cs_slice text, json_t *policy_take);
CS_MUST cs_err cs_emu_key_save(const cs_emu_state *s, const cs_emu_key *k);

/* cs_emu_role_session - current credentials of the role, renewed when they are about to expire. CS_E_ENTROPY. */
CS_MUST cs_err cs_emu_role_session(const cs_emu_session **out, cs_emu_state *s);

/* Who made a request. */
typedef enum cs_emu_auth {
    CS_EMU_AUTH_OK,
    CS_EMU_AUTH_MISSING,
    CS_EMU_AUTH_INCOMPLETE,
    CS_EMU_AUTH_UNKNOWN_KEY,
    CS_EMU_AUTH_BAD_TOKEN,
    CS_EMU_AUTH_EXPIRED,
    CS_EMU_AUTH_SIGNATURE,
    CS_EMU_AUTH_SKEW,
    CS_EMU_AUTH_SCOPE, /* signed for another region or service */
} cs_emu_auth;
/* cs_emu_authenticate - verify the signature of r for the service; on CS_EMU_AUTH_OK *who is set (pointers into s). */
cs_emu_auth cs_emu_authenticate(cs_emu_state *s, cs_emu_principal *who, const cs_sigv4_request *r, const char *service);

/* cs_emu_file_write - atomically, mode 0600; cs_emu_file_read - append (out: heap buffer). CS_E_IO | CS_E_NOT_FOUND | CS_E_TOO_LARGE */
CS_MUST cs_err cs_emu_file_write(const char *path, cs_slice data);
CS_MUST cs_err cs_emu_file_read(cs_buf *out, const char *path);

#endif
