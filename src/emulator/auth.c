/* Who made a request: SigV4 against the emulator's credentials. See state.h. */
#include <openssl/crypto.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "emulator/state.h"

#define MAX_SKEW_KMS_MS (5 * 60 * 1000ull) /* [nitro-kms.md 2.2] */
#define MAX_SKEW_S3_MS (15 * 60 * 1000ull) /* [nitro-kms.md 9.2] */

static const cs_emu_session *find_in(const cs_emu_session *all, size_t num, const char *access_key_id)
{
    for (size_t i = 0; i < num; i++) {
        if (all[i].access_key_id[0] != '\0' && strcmp(all[i].access_key_id, access_key_id) == 0) {
            return &all[i];
        }
    }
    return NULL;
}

static const cs_emu_session *find_session(const cs_emu_state *s, const char *access_key_id)
{
    const cs_emu_session *found = find_in(&s->admin, 1, access_key_id);
    found = found != NULL ? found : find_in(s->sessions, CS_EMU_MAX_SESSIONS, access_key_id);
    return found != NULL ? found : find_in(s->assumed, CS_EMU_MAX_ASSUMED, access_key_id);
}

const char *cs_emu_secret_of(const cs_emu_state *s, const char *access_key_id)
{
    const cs_emu_session *cred = find_session(s, access_key_id);
    return cred != NULL ? cred->secret : NULL;
}

/* The identity policy is read at every request, so that a test can change it. One that cannot be read allows nothing. */
static void set_principal(cs_emu_principal *who, cs_emu_state *s, const cs_emu_session *cred)
{
    *who = (cs_emu_principal){
        .account = s->o.account, .access_key_id = cred->access_key_id, .id = cred->id, .name = cred->name};
    json_decref(s->iam_policy);
    s->iam_policy = NULL;
    if (cred->admin) {
        who->arn = s->admin_arn;
        who->iam_actions = "*";
        return;
    }
    who->arn = cred->role_arn;
    who->session_arn = cred->session_arn;
    cs_err err = cs_emu_role_policy(&s->iam_policy, s, cred->role);
    who->iam_policy = s->iam_policy;
    who->iam_actions = err == CS_E_NOT_FOUND && strcmp(cred->role, s->o.role) == 0 ? s->o.role_iam : "";
    if (err != CS_OK && err != CS_E_NOT_FOUND) {
        cs_log(CS_LOG_ERROR, "iam", CS_LC("role", cred->role),
               CS_LC("cause", "its identity policy cannot be read: it allows nothing"));
    }
}

cs_emu_auth cs_emu_authenticate(cs_emu_state *s, cs_emu_principal *who, const cs_sigv4_request *r, const char *service)
{
    static cs_sigv4_auth a; /* 6 KiB; one thread */
    bool s3 = strcmp(service, "s3") == 0;
    uint64_t now = cs_clock_wall_ms();
    cs_err err = cs_sigv4_parse(&a, r);
    if (err != CS_OK) {
        return err == CS_E_NOT_FOUND ? CS_EMU_AUTH_MISSING : CS_EMU_AUTH_INCOMPLETE;
    }
    const cs_emu_session *cred = find_session(s, a.access_key_id);
    if (cred == NULL) {
        return CS_EMU_AUTH_UNKNOWN_KEY;
    }
    /* the global endpoint of STS signs as us-east-1 [nitro-kms.md 9.3] */
    bool region_ok =
        strcmp(a.region, s->o.region) == 0 || (strcmp(service, "sts") == 0 && strcmp(a.region, "us-east-1") == 0);
    if (!region_ok || strcmp(a.service, service) != 0) {
        return CS_EMU_AUTH_SCOPE;
    }
    cs_sigv4_check c = {cs_slice_str(cred->secret), now, s3 ? MAX_SKEW_S3_MS : MAX_SKEW_KMS_MS,
                        s3 ? CS_SIGV4_SINGLE_ENCODE : CS_SIGV4_NORMALIZE};
    err = cs_sigv4_verify(&a, r, &c);
    if (err != CS_OK) {
        return err == CS_E_TIMEOUT ? CS_EMU_AUTH_SKEW
                                   : (err == CS_E_FORMAT ? CS_EMU_AUTH_INCOMPLETE : CS_EMU_AUTH_SIGNATURE);
    }
    if (strlen(a.token) != strlen(cred->token) || CRYPTO_memcmp(a.token, cred->token, strlen(cred->token)) != 0) {
        return CS_EMU_AUTH_BAD_TOKEN;
    }
    if (cred->expires_ms != 0 && now >= cred->expires_ms) {
        return CS_EMU_AUTH_EXPIRED;
    }
    set_principal(who, s, cred);
    return CS_EMU_AUTH_OK;
}
