/* Who made a request: SigV4 against the emulator's credentials. See state.h. */
#include <openssl/crypto.h>
#include <string.h>

#include "base/clock.h"
#include "emulator/state.h"

#define MAX_SKEW_KMS_MS (5 * 60 * 1000ull) /* [nitro-kms.md 2.2] */
#define MAX_SKEW_S3_MS (15 * 60 * 1000ull) /* [nitro-kms.md 9.2] */

static const cs_emu_session *find_session(const cs_emu_state *s, const char *access_key_id)
{
    if (strcmp(s->admin.access_key_id, access_key_id) == 0) {
        return &s->admin;
    }
    for (size_t i = 0; i < CS_EMU_MAX_SESSIONS; i++) {
        if (s->sessions[i].access_key_id[0] != '\0' && strcmp(s->sessions[i].access_key_id, access_key_id) == 0) {
            return &s->sessions[i];
        }
    }
    return NULL;
}

static void set_principal(cs_emu_principal *who, const cs_emu_state *s, bool admin)
{
    *who = (cs_emu_principal){.account = s->o.account};
    who->arn = admin ? s->admin_arn : s->role_arn;
    who->session_arn = admin ? NULL : s->role_session_arn;
    who->iam_actions = admin ? "*" : s->o.role_iam;
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
    if (strcmp(a.region, s->o.region) != 0 || strcmp(a.service, service) != 0) {
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
    set_principal(who, s, cred->admin);
    return CS_EMU_AUTH_OK;
}
