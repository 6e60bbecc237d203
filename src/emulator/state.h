/*
 * State of the emulator: account, credentials, keys with their policies, objects. Keys and objects live in files of its folder so
 * that a restart keeps them; credentials of the role are made anew. One thread.
 */
#ifndef CS_EMULATOR_STATE_H
#define CS_EMULATOR_STATE_H

#include "emulator/kms_fault.h"
#include "emulator/pki.h"
#include "emulator/policy.h"
#include "net/aws/sigv4.h"

#define CS_EMU_MAX_KEYS 1024
#define CS_EMU_MAX_ALIASES 2048
#define CS_EMU_MAX_TAGS 50
#define CS_EMU_MAX_ASSUMED 64
#define CS_EMU_MAX_SESSIONS 64
#define CS_EMU_ROTATE_S 300 /* new role credentials appear this long before the old ones expire [nitro-kms.md 9.1] */

typedef enum cs_emu_key_state { CS_EMU_KEY_ENABLED, CS_EMU_KEY_DISABLED, CS_EMU_KEY_PENDING_DELETION } cs_emu_key_state;

typedef struct cs_emu_key {
    char id[37]; /* UUID */
    char arn[128];
    char description[8193];
    uint8_t material[32];
    cs_emu_key_state state;
    uint64_t created_ms, deletion_ms;
    char *policy_text; /* as given */
    json_t *policy;
    json_t *tags; /* [{"TagKey":..,"TagValue":..}], in the order given */
} cs_emu_key;

typedef struct cs_emu_alias {
    char name[257]; /* "alias/..." */
    char target[37];
    uint64_t created_ms, updated_ms;
} cs_emu_alias;

typedef struct cs_emu_session {
    char access_key_id[33];
    char secret[65];
    char token[129];     /* "" for the administrator */
    uint64_t expires_ms; /* 0: never */
    bool admin;
    char role[65]; /* "" for the administrator */
    char role_arn[160], session_arn[256];
    char id[128], name[65]; /* UserId of GetCallerIdentity; name of the session */
} cs_emu_session;

typedef struct cs_emu_options {
    const char *dir, *region, *account, *role, *role_iam, *instance_id;
    uint64_t credential_s; /* life of role credentials */
    const char *cms_form;  /* "constructed", "primitive", "segments" or "alternate" */
    const char *trail;     /* file of decisions; NULL: DIR/trail.jsonl */
} cs_emu_options;

typedef struct cs_emu_state {
    cs_emu_options o;
    char role_arn[160], admin_arn[160];
    cs_emu_key *keys;
    size_t num_keys;
    cs_emu_alias *aliases;
    size_t num_aliases;
    cs_emu_session admin;
    cs_emu_session sessions[CS_EMU_MAX_SESSIONS]; /* of the role; a ring, newest at (next - 1) */
    size_t next_session;
    cs_emu_session assumed[CS_EMU_MAX_ASSUMED]; /* of AssumeRole; a ring */
    size_t next_assumed;
    json_t *iam_policy; /* of the caller of the request in work, or NULL */
    uint8_t *nsm_root_der;
    size_t nsm_root_len;
    uint64_t num_answers; /* for the alternation of CMS forms */
    cs_emu_fault_memory fault;
} cs_emu_state;

/* cs_emu_state_open - read DIR, make what is missing (administrator's key pair, folders). CS_E_IO | CS_E_FORMAT | CS_E_ENTROPY. */
CS_MUST cs_err cs_emu_state_open(cs_emu_state *s, const cs_emu_options *o);
void cs_emu_state_close(cs_emu_state *s);

/* cs_emu_key_find - by UUID or ARN, not by alias; NULL. */
cs_emu_key *cs_emu_key_find(cs_emu_state *s, const char *id);
/* cs_emu_keys_expire - forget the keys whose waiting time before deletion is over, with their aliases and files. */
void cs_emu_keys_expire(cs_emu_state *s, uint64_t now_ms);

/* cs_emu_alias_find - by name ("alias/x"); NULL. Aliases are in order of their names. */
cs_emu_alias *cs_emu_alias_find(cs_emu_state *s, const char *name);
/* cs_emu_alias_add - name: valid, not there. Not saved yet. CS_E_TOO_LARGE. cs_emu_alias_remove - forget it. */
CS_MUST cs_err cs_emu_alias_add(cs_emu_state *s, const char *name, const cs_emu_key *target);
void cs_emu_alias_remove(cs_emu_state *s, cs_emu_alias *a);
/* cs_emu_alias_save, cs_emu_alias_load - DIR/aliases.json (load: none is no error). CS_E_IO | CS_E_FORMAT | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_emu_alias_save(const cs_emu_state *s);
CS_MUST cs_err cs_emu_alias_load(cs_emu_state *s);
/* cs_emu_key_create - enabled, with material; the policy is taken over on CS_OK. Not saved yet. CS_E_TOO_LARGE | CS_E_ENTROPY. */
CS_MUST cs_err cs_emu_key_create(cs_emu_key **out, cs_emu_state *s, const char *description, cs_slice policy_text,
                                 json_t *policy_take);
/* cs_emu_key_set_policy - CS_E_NO_MEMORY. cs_emu_key_save - write DIR/keys/ID.json (0600). CS_E_IO. */
CS_MUST cs_err cs_emu_key_set_policy(cs_emu_key *k, cs_slice text, json_t *policy_take);
CS_MUST cs_err cs_emu_key_save(const cs_emu_state *s, const cs_emu_key *k);

/*
 * IAM roles of the account: the instance's, and each that has a file DIR/iam/NAME.json, its identity policy.
 * cs_emu_role_exists; cs_emu_role_make - a file that allows nothing, unless there is one. CS_E_IO | CS_E_RANGE (no role name).
 * cs_emu_role_policy - the identity policy, a new reference. CS_E_NOT_FOUND | CS_E_FORMAT | CS_E_IO.
 */
bool cs_emu_role_exists(const cs_emu_state *s, const char *name);
CS_MUST cs_err cs_emu_role_make(const cs_emu_state *s, const char *name);
CS_MUST cs_err cs_emu_role_policy(json_t **out, const cs_emu_state *s, const char *name);
/* cs_emu_assume_role - credentials of a session of that role. CS_E_NOT_FOUND (no such role) | CS_E_RANGE | CS_E_ENTROPY. */
CS_MUST cs_err cs_emu_assume_role(const cs_emu_session **out, cs_emu_state *s, const char *role, const char *name,
                                  uint64_t life_s);
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

/* cs_emu_random_text - prefix and upper-case hex of num_bytes (<= 64) random bytes. CS_E_ENTROPY | CS_E_RANGE (cap). */
CS_MUST cs_err cs_emu_random_text(char *out, size_t cap, size_t num_bytes, const char *prefix);
/* cs_emu_secret_of - secret key of an access key id, or NULL. */
const char *cs_emu_secret_of(const cs_emu_state *s, const char *access_key_id);

/* cs_emu_file_write - atomically, mode 0600; cs_emu_file_read - append (out: heap buffer). CS_E_IO | CS_E_NOT_FOUND | CS_E_TOO_LARGE */
CS_MUST cs_err cs_emu_file_write(const char *path, cs_slice data);
CS_MUST cs_err cs_emu_file_read(cs_buf *out, const char *path);

#endif
