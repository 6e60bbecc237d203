/* See kmstool_wire.h. */
#include "tools/kmstool_wire.h"

#include <string.h>

#include "base/json_out.h"
#include "base/text.h"
#include "codec/cbor.h"
#include "net/aws/json.h"
#include "net/aws/kms.h"

#define LAX (CS_CBOR_INDEFINITE | CS_CBOR_LAX_INT) /* the module's encoder is not bound to one form */

const char *cs_kmstool_target(cs_kmstool_op op)
{
    return cs_kms_target(op == CS_KMSTOOL_DECRYPT  ? CS_KMS_ACT_DECRYPT
                         : op == CS_KMSTOOL_GENKEY ? CS_KMS_ACT_GENERATE_DATA_KEY
                                                   : CS_KMS_ACT_GENERATE_RANDOM);
}

cs_err cs_kmstool_put_body(cs_buf *out, const cs_kmstool_ask *ask, cs_slice document)
{
    cs_jw w = cs_jw_begin(out);

    if (document.len == 0 || document.len > CS_KMSTOOL_DOCUMENT_MAX ||
        (ask->op == CS_KMSTOOL_DECRYPT && (ask->ciphertext.len == 0 || ask->ciphertext.len > CS_KMSTOOL_BLOB_MAX)) ||
        (ask->op == CS_KMSTOOL_GENRANDOM && (ask->length < 1 || ask->length > 1024))) {
        return CS_E_RANGE;
    }
    cs_jw_object(&w, NULL);
    if (ask->op == CS_KMSTOOL_DECRYPT) {
        cs_jw_b64(&w, "CiphertextBlob", ask->ciphertext);
    }
    if (ask->op != CS_KMSTOOL_GENRANDOM && ask->key_id != NULL) {
        cs_jw_cstr(&w, "KeyId", ask->key_id);
        if (ask->op == CS_KMSTOOL_DECRYPT) {
            cs_jw_cstr(&w, "EncryptionAlgorithm", ask->algorithm);
        }
    }
    if (ask->op == CS_KMSTOOL_GENKEY) {
        cs_jw_cstr(&w, "KeySpec", ask->key_spec);
    }
    if (ask->op == CS_KMSTOOL_GENRANDOM) {
        cs_jw_u64(&w, "NumberOfBytes", ask->length);
    }
    cs_jw_object(&w, "Recipient");
    cs_jw_cstr(&w, "KeyEncryptionAlgorithm", "RSAES_OAEP_SHA_256");
    cs_jw_b64(&w, "AttestationDocument", document);
    cs_jw_close_object(&w);
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}

static bool is_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '+' || c == '=';
}

/* Lengths of the run of digits, and of the word, that begin at i. */
static size_t run_of(cs_slice s, size_t i, bool digits)
{
    size_t n = i;

    while (n < s.len && (digits ? s.p[n] >= '0' && s.p[n] <= '9' : is_word(s.p[n]))) {
        n++;
    }
    return n - i;
}

void cs_kmstool_redact(char *out, size_t cap, cs_slice message)
{
    size_t n = 0;

    for (size_t i = 0; i < message.len && n + 1 < cap;) {
        size_t word = run_of(message, i, false), digits = run_of(message, i, true);
        size_t gone = word >= 40 ? word : digits >= 12 ? digits : 0;
        if (gone > 0) {
            for (int k = 0; k < 3 && n + 1 < cap; k++) {
                out[n++] = '*';
            }
            i += gone;
            continue;
        }
        /* a run that stays is taken whole: its inner part is no run of its own */
        for (size_t k = digits > 0 ? digits : 1; k > 0 && n + 1 < cap; k--, i++) {
            out[n++] = message.p[i] >= 0x20 && message.p[i] < 0x7f ? (char)message.p[i] : '?';
        }
    }
    out[n] = '\0';
}

/* "prefix#Name:http://..." is Name. */
static void take_type(char out[65], cs_slice text)
{
    size_t start = 0, n = 0;

    for (size_t i = 0; i < text.len; i++) {
        start = text.p[i] == '#' ? i + 1 : start;
    }
    for (size_t i = start;
         i < text.len && n < 64 && ((is_word(text.p[i]) && text.p[i] != '+' && text.p[i] != '=') || text.p[i] == '.');
         i++) {
        out[n++] = (char)text.p[i];
    }
    out[n] = '\0';
}

static cs_err read_refusal(cs_kmstool_answer *out, int status, cs_slice error_type, cs_slice body)
{
    cs_buf type = cs_buf_heap(1024), lower = cs_buf_heap(16384), upper = cs_buf_heap(16384);
    cs_json_field f[] = {
        {.key = "__type", .kind = CS_JSON_STRING, .out = &type},
        {.key = "message", .kind = CS_JSON_STRING, .out = &lower},
        {.key = "Message", .kind = CS_JSON_STRING, .out = &upper},
    };
    bool json = cs_json_read(body, f, 3) == CS_OK;

    take_type(out->type, json && type.len > 0 ? cs_buf_slice(&type) : error_type);
    if (json) {
        cs_kmstool_redact(out->message, sizeof out->message, cs_buf_slice(lower.len > 0 ? &lower : &upper));
    }
    cs_buf_free(&type);
    cs_buf_free(&lower);
    cs_buf_free(&upper);
    return out->type[0] == '\0' && status < 400 ? CS_E_KMS_ANSWER : cs_kms_err_of_type(cs_slice_str(out->type), status);
}

static cs_err decode_blob(uint8_t *out, size_t *len, const cs_buf *text)
{
    cs_buf b = cs_buf_wrap(out, CS_KMSTOOL_BLOB_MAX);

    if (cs_b64_get(&b, cs_buf_slice(text), CS_B64_STD) != CS_OK || b.len == 0) {
        return CS_E_KMS_ANSWER;
    }
    *len = b.len;
    return CS_OK;
}

static cs_err read_success(cs_kmstool_answer *out, const cs_kmstool_ask *ask, cs_slice body)
{
    enum { B64_MAX = CS_KMSTOOL_BLOB_MAX / 3 * 4 + 8 };
    bool genkey = ask->op == CS_KMSTOOL_GENKEY;
    cs_buf key = cs_buf_heap(2048), plain = cs_buf_heap(B64_MAX), envelope = cs_buf_heap(B64_MAX),
           blob = cs_buf_heap(B64_MAX);
    cs_json_field f[] = {
        {.key = "KeyId", .kind = CS_JSON_STRING, .out = &key, .required = ask->op != CS_KMSTOOL_GENRANDOM},
        {.key = "Plaintext", .kind = CS_JSON_STRING, .out = &plain},
        {.key = "CiphertextForRecipient", .kind = CS_JSON_STRING, .out = &envelope},
        {.key = "CiphertextBlob", .kind = CS_JSON_STRING, .out = &blob, .required = genkey},
    };
    cs_err err = cs_json_read(body, f, sizeof f / sizeof f[0]) == CS_OK ? CS_OK : CS_E_KMS_ANSWER;

    if (err == CS_OK && (plain.len > 0 || envelope.len == 0)) {
        err = CS_E_KMS_PLAINTEXT;
    }
    if (err == CS_OK && ask->op != CS_KMSTOOL_GENRANDOM && ask->key_id != NULL &&
        strncmp(ask->key_id, "arn:", 4) == 0 && strstr(ask->key_id, ":key/") != NULL &&
        !cs_slice_eq_str(cs_buf_slice(&key), ask->key_id)) {
        err = CS_E_KMS_KEY_ID;
    }
    if (err == CS_OK) {
        err = decode_blob(out->envelope, &out->envelope_len, &envelope);
    }
    if (err == CS_OK && genkey) {
        err = decode_blob(out->ciphertext, &out->ciphertext_len, &blob);
    }
    cs_buf_free(&key);
    cs_buf_free(&plain);
    cs_buf_free(&envelope);
    cs_buf_free(&blob);
    return err;
}

cs_err cs_kmstool_read_answer(cs_kmstool_answer *out, const cs_kmstool_ask *ask, int status, cs_slice error_type,
                              cs_slice body)
{
    memset(out, 0, sizeof *out);
    if (body.len > CS_KMSTOOL_ANSWER_MAX) {
        return CS_E_KMS_ANSWER;
    }
    return status == 200 ? read_success(out, ask, body) : read_refusal(out, status, error_type, body);
}

cs_err cs_kmstool_put_attestation(cs_buf *out, cs_slice public_key)
{
    CS_TRY(cs_cbor_put_map(out, 1));
    CS_TRY(cs_cbor_put_text(out, "Attestation"));
    CS_TRY(cs_cbor_put_map(out, 3));
    CS_TRY(cs_cbor_put_text(out, "nonce"));
    CS_TRY(cs_cbor_put_null(out));
    CS_TRY(cs_cbor_put_text(out, "user_data"));
    CS_TRY(cs_cbor_put_null(out));
    CS_TRY(cs_cbor_put_text(out, "public_key"));
    return cs_cbor_put_bytes(out, public_key);
}

/* A one-entry map; *name its key. */
static bool open_map(cs_cbor *c, const char *name)
{
    char mem[32];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_cbor_iter it;

    return cs_cbor_map(c, &it) == CS_OK && cs_cbor_more(c, &it) && cs_cbor_text_copy(c, &b) == CS_OK &&
           cs_slice_eq_str(cs_buf_slice(&b), name);
}

cs_err cs_kmstool_read_document(cs_buf *out, cs_slice response)
{
    size_t len0 = out->len;

    if (cs_cbor_check(response, LAX) != CS_OK) {
        return CS_E_NSM;
    }
    cs_cbor c = cs_cbor_of(response, LAX);
    if (!open_map(&c, "Attestation") || !open_map(&c, "document")) {
        return CS_E_NSM;
    }
    cs_err err = cs_cbor_bytes_copy(&c, out);
    if (err == CS_OK && (out->len == len0 || out->len - len0 > CS_KMSTOOL_DOCUMENT_MAX)) {
        err = CS_E_NSM;
    }
    if (err != CS_OK) {
        out->len = len0;
    }
    return err == CS_E_FORMAT ? CS_E_NSM : err;
}
