#include "secret/seal.h"

#include <string.h>

#include "secret/gcm.h"
#include "secret/noise.h"
#include "secret/rng.h"
#include "secret/sign/scheme.h"
#include "secret/th.h"

#define FIRST_BYTE 0x01u
#define HEAD 10u /* first byte, root id, algorithm, version */
#define AAD_LABEL "countersign-envelope-1\n"
#define AAD_MAX (sizeof AAD_LABEL - 1 + HEAD + 2 + CS_SEAL_KMS_KEY_MAX + 2 + CS_SEAL_RECORD_MAX + 1)

void cs_seal_root_init(cs_seal_root *out, const uint8_t secret32[32])
{
    static const char label[] = "countersign-root-1";
    CS_SECRET(cs_sha256) s;
    uint8_t digest[32];

    memcpy(out->secret.b, secret32, 32);
    CS_CT_SECRET(out->secret.b, 32);
    cs_sha256_init(&s);
    cs_sha256_put(&s, label, sizeof label - 1);
    cs_sha256_put(&s, out->secret.b, 32);
    cs_sha256_end(&s, digest);
    CS_CT_PUBLIC(digest, CS_SEAL_ROOT_ID, "the id of a root is in every blob");
    memcpy(out->id, digest, CS_SEAL_ROOT_ID);
    cs_wipe(digest, sizeof digest);
}

/* ---- what an envelope is bound to */

static bool about_valid(const cs_seal_about *a)
{
    return a->kms_key.len > 0 && a->kms_key.len <= CS_SEAL_KMS_KEY_MAX && a->record.len > 0 &&
           a->record.len <= CS_SEAL_RECORD_MAX && (a->purpose == CS_SEAL_PRIVATE_KEY || a->purpose == CS_SEAL_DATA);
}

/* Private keys are of an algorithm that signs, data is of none. */
static bool algorithm_valid(const cs_seal_about *a)
{
    return a->purpose == CS_SEAL_DATA ? a->algorithm == 0 : cs_scheme_of(a->algorithm) != NULL;
}

static bool length_valid(cs_seal_purpose purpose, size_t len)
{
    return purpose == CS_SEAL_PRIVATE_KEY ? len == CS_SEAL_KEY : len <= CS_SEAL_DATA_MAX;
}

static cs_err put_aad(cs_buf *out, cs_slice head, const cs_seal_about *a)
{
    CS_TRY(cs_put_str(out, AAD_LABEL));
    CS_TRY(cs_put_slice(out, head));
    CS_TRY(cs_put_u16(out, (uint16_t)a->kms_key.len));
    CS_TRY(cs_put_slice(out, a->kms_key));
    CS_TRY(cs_put_u16(out, (uint16_t)a->record.len));
    CS_TRY(cs_put_slice(out, a->record));
    return cs_put_u8(out, (uint8_t)a->purpose);
}

/* HKDF-SHA256(salt = root, ikm = data key, info = label || record) [RFC5869] */
static void derive(cs_secret32 *out, const cs_seal_root *root, const cs_secret32 *data_key, cs_slice record)
{
    CS_SECRET(cs_secret32) prk = {{0}};

    cs_hmac_sha256(prk.b, cs_slice_of(root->secret.b, 32), (cs_slice[]){cs_slice_of(data_key->b, 32)}, 1);
    cs_hkdf_expand_sha256(out->b, 32, prk.b, (cs_slice[]){cs_slice_str("countersign-seal-1"), record}, 2);
}

/* ---- sealing */

static cs_err put_sealed(cs_buf *out, const cs_seal_root *root, const cs_secret32 *data_key, const cs_seal_about *about,
                         cs_slice plain)
{
    CS_SECRET(cs_secret32) key = {{0}};
    uint8_t nonce[CS_GCM_NONCE], mem[AAD_MAX], *at = NULL;
    cs_buf aad = cs_buf_wrap(mem, sizeof mem);
    const size_t start = out->len;

    CS_TRY(cs_random(nonce, sizeof nonce));
    CS_TRY(cs_put_u8(out, FIRST_BYTE));
    CS_TRY(cs_put(out, root->id, CS_SEAL_ROOT_ID));
    CS_TRY(cs_put_u8(out, about->algorithm));
    CS_TRY(cs_put_u32(out, about->version));
    CS_TRY(put_aad(&aad, cs_slice_of(out->p + start, HEAD), about));
    CS_TRY(cs_put(out, nonce, sizeof nonce));
    CS_TRY(cs_put_space(out, &at, plain.len + CS_GCM_TAG));
    derive(&key, root, data_key, about->record);
    return cs_gcm_seal(at, &(cs_gcm){cs_slice_of(key.b, 32), nonce, cs_buf_slice(&aad)}, plain);
}

cs_err cs_seal_put(cs_buf *out, const cs_seal_roots *roots, const cs_secret32 *data_key, const cs_seal_about *about,
                   cs_slice plain)
{
    const size_t before = out->len;

    if (roots->num == 0) {
        return CS_E_SEAL_ROOT;
    }
    if (!about_valid(about) || about->version == 0 || !algorithm_valid(about) ||
        !length_valid(about->purpose, plain.len)) {
        return CS_E_RANGE;
    }
    cs_err err = put_sealed(out, &roots->root[0], data_key, about, plain);
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

/* ---- opening */

cs_err cs_seal_head_parse(cs_seal_head *out, cs_slice blob)
{
    cs_reader in = cs_reader_of(blob);
    cs_seal_head head;
    uint8_t first = 0;

    if (blob.len < CS_SEAL_OVERHEAD || blob.len > CS_SEAL_OVERHEAD + CS_SEAL_DATA_MAX) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_read_u8(&in, &first));
    CS_TRY(cs_read_bytes(&in, head.root_id, sizeof head.root_id));
    CS_TRY(cs_read_u8(&in, &head.algorithm));
    CS_TRY(cs_read_u32(&in, &head.version));
    if (first != FIRST_BYTE) {
        return CS_E_FORMAT;
    }
    *out = head;
    return CS_OK;
}

/* nonce 12 || ciphertext || tag, appended to out */
static cs_err open_gcm(cs_buf *out, const cs_secret32 *key, cs_slice aad, cs_slice sealed)
{
    const size_t before = out->len;
    cs_reader in = cs_reader_of(sealed);
    cs_slice nonce;
    uint8_t none = 0, *at = &none;

    if (sealed.len < CS_SEAL_RAW_OVERHEAD) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_read_slice(&in, &nonce, CS_GCM_NONCE));
    if (in.left > CS_GCM_TAG) {
        CS_TRY(cs_put_space(out, &at, in.left - CS_GCM_TAG));
    }
    cs_err err = cs_gcm_open(at, &(cs_gcm){cs_slice_of(key->b, 32), nonce.p, aad}, cs_slice_of(in.p, in.left));
    if (err != CS_OK) { /* what was there is wiped */
        out->len = before;
    }
    return err == CS_E_AUTH ? CS_E_SEAL_OPEN : err;
}

/* What a blob is opened with. */
typedef struct opening {
    const cs_seal_roots *roots;
    const cs_secret32 *data_key;
    cs_slice record, aad;
    cs_slice sealed; /* from the nonce on */
} opening;

/* Ids are short: two roots may have the same one. */
static cs_err open_by_id(cs_buf *out, const uint8_t id[CS_SEAL_ROOT_ID], const opening *o)
{
    cs_err err = CS_E_SEAL_ROOT;

    for (size_t i = 0; i < o->roots->num && (err == CS_E_SEAL_ROOT || err == CS_E_SEAL_OPEN); i++) {
        const cs_seal_root *root = &o->roots->root[i];
        CS_SECRET(cs_secret32) key = {{0}};

        if (cs_slice_eq(cs_slice_of(root->id, CS_SEAL_ROOT_ID), cs_slice_of(id, CS_SEAL_ROOT_ID))) {
            derive(&key, root, o->data_key, o->record);
            err = open_gcm(out, &key, o->aad, o->sealed);
        }
    }
    return err;
}

cs_err cs_seal_open(cs_buf *out, cs_seal_head *head, const cs_seal_roots *roots, const cs_secret32 *data_key,
                    const cs_seal_about *about, cs_slice blob)
{
    const size_t before = out->len;
    uint8_t mem[AAD_MAX];
    cs_buf aad = cs_buf_wrap(mem, sizeof mem);
    cs_seal_head got;

    if (!about_valid(about)) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_seal_head_parse(&got, blob));
    if (!length_valid(about->purpose, blob.len - CS_SEAL_OVERHEAD)) {
        return CS_E_SEAL_OPEN; /* of the other purpose */
    }
    CS_TRY(put_aad(&aad, cs_slice_of(blob.p, HEAD), about));
    CS_TRY(open_by_id(
        out, got.root_id,
        &(opening){roots, data_key, about->record, cs_buf_slice(&aad), cs_slice_of(blob.p + HEAD, blob.len - HEAD)}));
    if (about->version != 0 && about->version != got.version) {
        if (out->len > before) {
            cs_wipe(out->p + before, out->len - before);
        }
        out->len = before;
        return CS_E_SEAL_VERSION;
    }
    if (head != NULL) {
        *head = got;
    }
    return CS_OK;
}

cs_err cs_seal_open_raw(cs_buf *out, const cs_secret32 *data_key, cs_slice aad, cs_slice sealed)
{
    if (sealed.len > CS_SEAL_RAW_OVERHEAD + CS_SEAL_DATA_MAX || aad.len > CS_SEAL_DATA_MAX) {
        return CS_E_RANGE;
    }
    return open_gcm(out, data_key, aad, sealed);
}
