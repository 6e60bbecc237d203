/* The instance metadata service, version 2 only. Source: specs/nitro-kms.md 9.1. See reply.h. */
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "emulator/reply.h"

#define MAX_TTL_S 21600u
#define ROLE_PATH "/latest/meta-data/iam/security-credentials"

static void refuse(cs_emu_reply *r, unsigned status, const char *text)
{
    cs_emu_reply_text(r, status, "text/plain", text);
}

static void put_token(cs_emu_imds *imds, cs_emu_reply *reply, const cs_emu_request *q)
{
    cs_slice ttl, v;
    uint64_t seconds = 0;
    uint8_t raw[28];
    if (cs_sigv4_header_find(&q->sig, "x-forwarded-for", &v)) {
        refuse(reply, 403, "Forbidden");
        return;
    }
    if (!cs_sigv4_header_find(&q->sig, "x-aws-ec2-metadata-token-ttl-seconds", &ttl) ||
        cs_parse_u64(ttl, MAX_TTL_S, &seconds) != CS_OK || seconds == 0) {
        refuse(reply, 400, "Bad Request");
        return;
    }
    if (RAND_bytes(raw, sizeof raw) != 1) {
        refuse(reply, 500, "Internal Server Error");
        return;
    }
    size_t at = imds->next;
    imds->next = (imds->next + 1) % CS_EMU_IMDS_TOKENS;
    cs_hex_encode(imds->token[at].text, cs_slice_of(raw, sizeof raw));
    imds->token[at].expires_mono_ms = cs_clock_mono_ms() + seconds * 1000;
    cs_emu_reply_header(reply, "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "%llu", (unsigned long long)seconds);
    refuse(reply, 200, imds->token[at].text);
}

static bool token_valid(const cs_emu_imds *imds, const cs_emu_request *q)
{
    cs_slice t;
    if (!cs_sigv4_header_find(&q->sig, "x-aws-ec2-metadata-token", &t) || t.len != 56) {
        return false;
    }
    for (size_t i = 0; i < CS_EMU_IMDS_TOKENS; i++) {
        if (imds->token[i].text[0] != '\0' && CRYPTO_memcmp(imds->token[i].text, t.p, 56) == 0) {
            return cs_clock_mono_ms() < imds->token[i].expires_mono_ms;
        }
    }
    return false;
}

/* "2026-01-02T03:04:05Z", as IMDS writes times */
static void put_time(char out[32], uint64_t ms)
{
    uint8_t mem[64];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    out[0] = '\0';
    if (cs_put_rfc3339(&b, ms) == CS_OK && b.len >= 20) {
        memcpy(out, mem, 19);
        memcpy(out + 19, "Z", 2);
    }
}

static void get_credentials(cs_emu_state *s, cs_emu_reply *reply)
{
    const cs_emu_session *c = NULL;
    char updated[32], expires[32];
    if (cs_emu_role_session(&c, s) != CS_OK) {
        refuse(reply, 500, "Internal Server Error");
        return;
    }
    put_time(updated, c->expires_ms - s->o.credential_s * 1000);
    put_time(expires, c->expires_ms);
    cs_emu_reply_json(reply, 200, "text/plain",
                      json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "Code", "Success", "LastUpdated", updated, "Type",
                                "AWS-HMAC", "AccessKeyId", c->access_key_id, "SecretAccessKey", c->secret, "Token",
                                c->token, "Expiration", expires));
}

static void get_identity(cs_emu_state *s, cs_emu_reply *reply)
{
    cs_emu_reply_json(reply, 200, "text/plain",
                      json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "accountId", s->o.account, "architecture", "x86_64",
                                "instanceId", s->o.instance_id, "instanceType", "c5.xlarge", "region", s->o.region,
                                "version", "2017-09-30"));
}

void cs_emu_imds_serve(cs_emu_imds *imds, cs_emu_state *s, cs_emu_reply *reply, cs_emu_request *q)
{
    char role_path[256];
    cs_slice path = q->sig.path;
    snprintf(role_path, sizeof role_path, ROLE_PATH "/%s", s->o.role);
    if (cs_slice_eq_str(path, "/latest/api/token")) {
        if (cs_slice_eq_str(q->sig.method, "PUT")) {
            put_token(imds, reply, q);
        } else {
            refuse(reply, 405, "Method Not Allowed");
        }
    } else if (!cs_slice_eq_str(q->sig.method, "GET")) {
        refuse(reply, 405, "Method Not Allowed");
    } else if (!token_valid(imds, q)) {
        refuse(reply, 401, "Unauthorized");
    } else if (s->o.role[0] != '\0' && (cs_slice_eq_str(path, ROLE_PATH "/") || cs_slice_eq_str(path, ROLE_PATH))) {
        refuse(reply, 200, s->o.role);
    } else if (s->o.role[0] != '\0' && cs_slice_eq_str(path, role_path)) {
        get_credentials(s, reply);
    } else if (cs_slice_eq_str(path, "/latest/dynamic/instance-identity/document")) {
        get_identity(s, reply);
    } else {
        refuse(reply, 404, "Not Found");
    }
}
