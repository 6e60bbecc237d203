/*
 * noise: every message of the Noise wiki's vector format. The hash BLAKE2s is of this suite only. Transport messages are taken
 * by either rule of the sources: alternating over all messages, or starting with the initiator again.
 */
#include <openssl/evp.h>
#include <string.h>

#include "secret/noise.h"
#include "suite.h"

void cs_suite_noise(cs_suite *s, const char *dir);

static void blake2s(uint8_t out[32], const cs_slice *parts, size_t num_parts)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    (void)EVP_DigestInit_ex(c, EVP_blake2s256(), NULL);
    for (size_t i = 0; i < num_parts; i++) {
        (void)EVP_DigestUpdate(c, parts[i].p, parts[i].len);
    }
    (void)EVP_DigestFinal_ex(c, out, NULL);
    EVP_MD_CTX_free(c);
}

static const cs_noise_hash hash_blake2s = {"BLAKE2s", blake2s};

typedef struct vec {
    cs_noise_pattern pattern;
    const cs_noise_hash *hash;
    json_t *json;
} vec;

static bool protocol_of(vec *v)
{
    static const char *const names[] = {[CS_NOISE_KK] = "KK", [CS_NOISE_IK] = "IK", [CS_NOISE_XX] = "XX"};
    const char *name = cs_suite_str(v->json, "protocol_name");
    for (int p = CS_NOISE_KK; p <= CS_NOISE_XX; p++) {
        for (int h = 0; h < 2; h++) {
            char want[64];
            v->hash = h == 0 ? &cs_noise_sha256 : &hash_blake2s;
            (void)snprintf(want, sizeof want, "Noise_%s_25519_ChaChaPoly_%s", names[p], v->hash->name);
            if (strcmp(want, name) == 0) {
                v->pattern = (cs_noise_pattern)p;
                return true;
            }
        }
    }
    return false;
}

/* the value of PREFIX_name, of len bytes; NULL in *out when absent */
static bool key_of(cs_buf *out, const vec *v, const char *prefix, const char *name)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%s_%s", prefix, name);
    *out = (cs_buf){0};
    return json_object_get(v->json, key) == NULL || cs_suite_hex(v->json, key, out) == CS_OK;
}

static bool start(cs_noise *n, const vec *v, bool initiator)
{
    const char *prefix = initiator ? "init" : "resp";
    cs_buf prologue, s, e, rs;
    bool ok = key_of(&prologue, v, prefix, "prologue") & key_of(&s, v, prefix, "static") &
              key_of(&e, v, prefix, "ephemeral") & key_of(&rs, v, prefix, "remote_static");
    ok = ok && s.len == 32 && e.len == 32 && (rs.len == 32 || rs.len == 0);
    if (ok) {
        cs_noise_args a = {.pattern = v->pattern,
                           .hash = v->hash,
                           .initiator = initiator,
                           .prologue = cs_buf_slice(&prologue),
                           .s32 = s.p,
                           .rs32 = rs.len == 32 ? rs.p : NULL,
                           .unsafe_e32 = e.p};
        ok = cs_noise_init(n, &a) == CS_OK;
    }
    cs_buf_free(&prologue);
    cs_buf_free(&s);
    cs_buf_free(&e);
    cs_buf_free(&rs);
    return ok;
}

typedef struct sides {
    cs_noise hs[2]; /* initiator, responder */
    cs_noise_cipher tx[2], rx[2];
} sides;

/* one message from side `from`: written bytes equal, flipped bits refused, payload equal when read */
static bool message(sides *x, unsigned from, bool transport, cs_slice payload, cs_slice want)
{
    cs_buf wire = cs_buf_heap(70000), got = cs_buf_heap(70000);
    bool ok = (transport ? cs_noise_seal(&x->tx[from], &wire, CS_SLICE_NULL, payload)
                         : cs_noise_write(&x->hs[from], &wire, payload)) == CS_OK &&
              cs_slice_eq(cs_buf_slice(&wire), want);
    for (size_t bit = 0; ok && bit<8 * wire.len; bit += wire.len> 512 ? 97 : 1) {
        cs_noise hs = x->hs[1 - from];
        cs_noise_cipher rx = x->rx[1 - from];
        wire.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cs_err err = transport ? cs_noise_open(&rx, &got, CS_SLICE_NULL, cs_buf_slice(&wire))
                               : cs_noise_read(&hs, &got, cs_buf_slice(&wire));
        wire.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        /* the first message of XX has no tag yet: what was changed shows in the next one */
        bool unprotected = !transport && from == 0 && !hs.failed && hs.pattern == CS_NOISE_XX && hs.next == 1;
        ok = err != CS_OK || unprotected;
        got.len = 0;
    }
    ok = ok &&
         (transport ? cs_noise_open(&x->rx[1 - from], &got, CS_SLICE_NULL, cs_buf_slice(&wire))
                    : cs_noise_read(&x->hs[1 - from], &got, cs_buf_slice(&wire))) == CS_OK &&
         cs_slice_eq(cs_buf_slice(&got), payload);
    cs_buf_free(&wire);
    cs_buf_free(&got);
    return ok;
}

static bool hash_equal(const vec *v, sides *x)
{
    cs_buf want;
    uint8_t h[2][32];
    if (json_object_get(v->json, "handshake_hash") == NULL) {
        return true;
    }
    bool ok = cs_suite_hex(v->json, "handshake_hash", &want) == CS_OK && want.len == 32;
    for (int i = 0; i < 2; i++) {
        ok = ok && cs_noise_handshake_hash(&x->hs[i], h[i]) == CS_OK && memcmp(h[i], want.p, 32) == 0;
    }
    cs_buf_free(&want);
    return ok;
}

/* restart: transport begins with the initiator again */
static bool run(const vec *v, bool restart)
{
    sides x = {0};
    json_t *list = json_object_get(v->json, "messages");
    bool ok = start(&x.hs[0], v, true) && start(&x.hs[1], v, false), transport = false;
    size_t offset = 0;
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        cs_buf payload = {0}, wire = {0};
        if (!transport && cs_noise_done(&x.hs[0]) && cs_noise_done(&x.hs[1])) {
            transport = true;
            offset = restart ? i : 0;
            ok = hash_equal(v, &x) && cs_noise_split(&x.hs[0], &x.tx[0], &x.rx[0]) == CS_OK &&
                 cs_noise_split(&x.hs[1], &x.tx[1], &x.rx[1]) == CS_OK;
        }
        ok = ok && cs_suite_hex(json_array_get(list, i), "payload", &payload) == CS_OK &&
             cs_suite_hex(json_array_get(list, i), "ciphertext", &wire) == CS_OK &&
             message(&x, (unsigned)((i - offset) % 2), transport, cs_buf_slice(&payload), cs_buf_slice(&wire));
        cs_buf_free(&payload);
        cs_buf_free(&wire);
    }
    return ok && cs_noise_done(&x.hs[0]) && cs_noise_done(&x.hs[1]) && (transport || hash_equal(v, &x));
}

static void one_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *root = cs_suite_json(s, path), *list = json_is_array(root) ? root : json_object_get(root, "vectors");
    for (size_t i = 0; i < json_array_size(list); i++) {
        vec v = {.json = json_array_get(list, i)};
        if (!protocol_of(&v)) {
            cs_suite_skip(s, "another protocol than KK, IK, XX over 25519, ChaChaPoly, SHA256 or BLAKE2s");
        } else if (run(&v, false) || run(&v, true)) {
            cs_suite_pass(s);
        } else {
            cs_suite_failf(s, path, "vector %zu: %s", i, cs_suite_str(v.json, "protocol_name"));
        }
    }
    json_decref(root);
}

void cs_suite_noise(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", one_file, NULL);
}
