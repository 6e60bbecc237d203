/* KMS requests and answers. See kms.h. */
#include "net/aws/kms.h"

#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "base/text.h"
#include "net/aws/json.h"

static const char *const targets[] = {NULL, "TrentService.Decrypt", "TrentService.GenerateDataKey",
                                      "TrentService.GenerateRandom"};

const char *cs_kms_target(cs_kms_action a)
{
    return a >= CS_KMS_ACT_DECRYPT && a <= CS_KMS_ACT_GENERATE_RANDOM ? targets[a] : NULL;
}

static cs_err check_params(const cs_kms_params *p)
{
    bool key_ok = p->key_id.len > 0 && p->key_id.len <= CS_KMS_MAX_KEY_ID && cs_utf8_valid(p->key_id);
    if (p->document.len == 0 || p->document.len > CS_KMS_MAX_DOCUMENT || p->num_context > CS_KMS_MAX_CONTEXT) {
        return CS_E_RANGE;
    }
    switch (p->action) {
    case CS_KMS_ACT_DECRYPT:
        return key_ok && p->ciphertext.len > 0 && p->ciphertext.len <= CS_KMS_MAX_BLOB ? CS_OK : CS_E_RANGE;
    case CS_KMS_ACT_GENERATE_DATA_KEY:
        return key_ok ? CS_OK : CS_E_RANGE;
    case CS_KMS_ACT_GENERATE_RANDOM:
        return p->num_bytes >= 1 && p->num_bytes <= 1024 ? CS_OK : CS_E_RANGE;
    default:
        return CS_E_RANGE;
    }
}

static cs_err write_context(cs_jw *w, const cs_kms_params *p)
{
    char key[257];
    if (p->num_context == 0) {
        return CS_OK;
    }
    cs_jw_object(w, "EncryptionContext");
    for (size_t i = 0; i < p->num_context; i++) {
        if (p->context_key[i].len == 0 || p->context_key[i].len >= sizeof key ||
            memchr(p->context_key[i].p, 0, p->context_key[i].len) != NULL) {
            return CS_E_RANGE;
        }
        memcpy(key, p->context_key[i].p, p->context_key[i].len);
        key[p->context_key[i].len] = '\0';
        cs_jw_str(w, key, p->context_value[i]);
    }
    cs_jw_close_object(w);
    return CS_OK;
}

cs_err cs_kms_put_body(cs_buf *out, const cs_kms_params *p)
{
    CS_TRY(check_params(p));
    cs_jw w = cs_jw_begin(out);
    cs_jw_object(&w, NULL);
    if (p->action == CS_KMS_ACT_GENERATE_RANDOM) {
        cs_jw_u64(&w, "NumberOfBytes", p->num_bytes);
    } else {
        cs_jw_str(&w, "KeyId", p->key_id);
    }
    if (p->action == CS_KMS_ACT_DECRYPT) {
        cs_jw_b64(&w, "CiphertextBlob", p->ciphertext);
        cs_jw_cstr(&w, "EncryptionAlgorithm", "SYMMETRIC_DEFAULT");
    } else if (p->action == CS_KMS_ACT_GENERATE_DATA_KEY) {
        cs_jw_cstr(&w, "KeySpec", "AES_256");
    }
    if (p->action != CS_KMS_ACT_GENERATE_RANDOM) {
        CS_TRY(write_context(&w, p));
    }
    cs_jw_object(&w, "Recipient");
    cs_jw_cstr(&w, "KeyEncryptionAlgorithm", "RSAES_OAEP_SHA_256");
    cs_jw_b64(&w, "AttestationDocument", p->document);
    cs_jw_close_object(&w);
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}

typedef struct signing {
    char hash[65];
    cs_buf authorization;
    cs_sigv4_result res;
} signing;

static cs_err put_header(cs_buf *out, const char *name, cs_slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] < ' ' || value.p[i] >= 0x7f) {
            return CS_E_FORMAT; /* nothing may end the header line early */
        }
    }
    CS_TRY(cs_put_str(out, name));
    CS_TRY(cs_put_str(out, ": "));
    CS_TRY(cs_put_slice(out, value));
    return cs_put_str(out, "\r\n");
}

static cs_err put_head(cs_buf *out, const cs_sigv4_request *r, const signing *sg, const cs_sigv4_signer *signer,
                       const cs_kms_post *post)
{
    CS_TRY(cs_put_str(out, "POST / HTTP/1.1\r\n"));
    for (size_t i = 0; i < r->num_headers; i++) {
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)r->headers[i].name.len, (const char *)r->headers[i].name.p);
        CS_TRY(put_header(out, name, r->headers[i].value));
    }
    CS_TRY(put_header(out, "X-Amz-Date", cs_slice_str(sg->res.time)));
    if (signer->token.len > 0) {
        CS_TRY(put_header(out, "X-Amz-Security-Token", signer->token));
    }
    CS_TRY(put_header(out, "Authorization", cs_buf_slice(&sg->authorization)));
    return cs_put_fmt(out, "Content-Length: %zu\r\n%s\r\n", post->body.len, post->close ? "Connection: close\r\n" : "");
}

cs_err cs_kms_put_signed(cs_buf *out, const cs_kms_post *post, const cs_sigv4_signer *signer)
{
    size_t len0 = out->len;
    signing sg = {.authorization = cs_buf_heap(4096)};
    cs_sigv4_signer s = *signer;
    cs_err err = cs_sigv4_hash(sg.hash, post->body);
    if (err != CS_OK) {
        goto out;
    }
    cs_sigv4_header h[] = {
        {cs_slice_str("Host"), post->host},
        {cs_slice_str("Content-Type"), cs_slice_str("application/x-amz-json-1.1")},
        {cs_slice_str("X-Amz-Target"), cs_slice_str(post->target)},
    };
    cs_sigv4_request r = {cs_slice_str("POST"), cs_slice_str("/"), CS_SLICE_NULL, h, 3, cs_slice_str(sg.hash)};
    s.flags = CS_SIGV4_NORMALIZE;
    sg.res.out = &sg.authorization;
    if ((err = cs_sigv4_sign(&sg.res, &r, &s)) != CS_OK || (err = put_head(out, &r, &sg, &s, post)) != CS_OK) {
        goto out;
    }
    err = cs_put_slice(out, post->body);
out:
    cs_buf_free(&sg.authorization);
    if (err != CS_OK) {
        out->len = len0;
    }
    return err;
}

cs_err cs_kms_put_request(cs_buf *out, const cs_kms_params *p, cs_slice host, const cs_sigv4_signer *signer)
{
    cs_buf body = cs_buf_heap(CS_KMS_MAX_REQUEST);
    const char *target = cs_kms_target(p->action);
    cs_err err = target == NULL ? CS_E_RANGE : cs_kms_put_body(&body, p);

    if (err == CS_OK) {
        cs_kms_post post = {target, cs_buf_slice(&body), host, false};
        err = cs_kms_put_signed(out, &post, signer);
    }
    cs_buf_free(&body);
    return err;
}

/* [nitro-kms.md 2.4] */
static const struct {
    const char *type;
    cs_err err;
} types[] = {
    {"AccessDeniedException", CS_E_KMS_DENIED},
    {"AccessDenied", CS_E_KMS_DENIED},
    {"InvalidCiphertextException", CS_E_KMS_CIPHERTEXT},
    {"IncorrectKeyException", CS_E_KMS_KEY},
    {"NotFoundException", CS_E_KMS_KEY},
    {"InvalidKeyUsageException", CS_E_KMS_KEY},
    {"InvalidArnException", CS_E_KMS_KEY},
    {"DisabledException", CS_E_KMS_STATE},
    {"KMSInvalidStateException", CS_E_KMS_STATE},
    {"KeyUnavailableException", CS_E_KMS_UNAVAILABLE},
    {"DependencyTimeoutException", CS_E_KMS_UNAVAILABLE},
    {"KMSInternalException", CS_E_KMS_UNAVAILABLE},
    {"InternalFailure", CS_E_KMS_UNAVAILABLE},
    {"ServiceUnavailable", CS_E_KMS_UNAVAILABLE},
    {"ServiceUnavailableException", CS_E_KMS_UNAVAILABLE},
    {"ThrottlingException", CS_E_KMS_THROTTLED},
    {"Throttling", CS_E_KMS_THROTTLED},
    {"LimitExceededException", CS_E_KMS_VALIDATION},
    {"ValidationException", CS_E_KMS_VALIDATION},
    {"SerializationException", CS_E_KMS_VALIDATION},
    {"UnknownOperationException", CS_E_KMS_VALIDATION},
    {"InvalidGrantTokenException", CS_E_KMS_VALIDATION},
    {"UnsupportedOperationException", CS_E_KMS_VALIDATION},
    {"UnrecognizedClientException", CS_E_KMS_TOKEN},
    {"InvalidClientTokenId", CS_E_KMS_TOKEN},
    {"ExpiredTokenException", CS_E_KMS_TOKEN},
    {"ExpiredToken", CS_E_KMS_TOKEN},
    {"InvalidSignatureException", CS_E_KMS_SIGNATURE},
    {"SignatureDoesNotMatch", CS_E_KMS_SIGNATURE},
    {"MissingAuthenticationTokenException", CS_E_KMS_SIGNATURE},
    {"MissingAuthenticationToken", CS_E_KMS_SIGNATURE},
    {"IncompleteSignature", CS_E_KMS_SIGNATURE},
    {"IncompleteSignatureException", CS_E_KMS_SIGNATURE},
};

cs_err cs_kms_err_of_type(cs_slice type, int status)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (cs_slice_eq_str(type, types[i].type)) {
            return types[i].err;
        }
    }
    return status >= 500 ? CS_E_KMS_UNAVAILABLE : CS_E_KMS_VALIDATION;
}

/* "com.amazon.coral#Name:http://..." -> "Name"; other characters than a type name has end it. */
static void take_type(char out[65], cs_slice text)
{
    size_t start = 0, n = 0;
    for (size_t i = 0; i < text.len; i++) {
        start = text.p[i] == '#' ? i + 1 : start;
    }
    for (size_t i = start; i < text.len && n < 64; i++) {
        uint8_t c = text.p[i];
        bool ok = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.';
        if (!ok) {
            break;
        }
        out[n++] = (char)c;
    }
    out[n] = '\0';
}

static cs_err parse_error(cs_kms_answer *out, const cs_kms_reply *r)
{
    uint8_t mem[512];
    cs_buf type = cs_buf_wrap(mem, sizeof mem);
    cs_json_field f = {.key = "__type", .kind = CS_JSON_STRING, .out = &type};
    if (cs_json_read(r->body, &f, 1) == CS_OK && f.seen) {
        take_type(out->type, cs_buf_slice(&type));
    } else {
        take_type(out->type, r->error_type);
    }
    if (out->type[0] == '\0' && r->status < 400) {
        return CS_E_KMS_ANSWER;
    }
    return cs_kms_err_of_type(cs_slice_str(out->type), r->status);
}

static cs_err decode_blob(uint8_t *out, size_t *len, const cs_buf *text)
{
    cs_buf b = cs_buf_wrap(out, CS_KMS_MAX_BLOB);
    if (cs_b64_get(&b, cs_buf_slice(text), CS_B64_STD) != CS_OK || b.len == 0) {
        return CS_E_KMS_ANSWER;
    }
    *len = b.len;
    return CS_OK;
}

static cs_err parse_success(cs_kms_answer *out, cs_slice body, cs_kms_action action, cs_slice want_key)
{
    enum { B64_MAX = CS_KMS_MAX_BLOB / 3 * 4 + 8 };
    cs_buf key = cs_buf_wrap(out->key_id, CS_KMS_MAX_KEY_ID), plain = cs_buf_heap(B64_MAX);
    cs_buf recipient = cs_buf_heap(B64_MAX), blob = cs_buf_heap(B64_MAX);
    cs_json_field f[] = {
        {.key = "KeyId", .kind = CS_JSON_STRING, .out = &key, .required = action != CS_KMS_ACT_GENERATE_RANDOM},
        {.key = "Plaintext", .kind = CS_JSON_STRING, .out = &plain},
        {.key = "CiphertextForRecipient", .kind = CS_JSON_STRING, .out = &recipient},
        {.key = "CiphertextBlob",
         .kind = CS_JSON_STRING,
         .out = &blob,
         .required = action == CS_KMS_ACT_GENERATE_DATA_KEY},
    };
    cs_err err = cs_json_read(body, f, sizeof f / sizeof f[0]) == CS_OK ? CS_OK : CS_E_KMS_ANSWER;
    if (err == CS_OK && (plain.len > 0 || recipient.len == 0)) {
        err = CS_E_KMS_PLAINTEXT;
    }
    if (err == CS_OK && action != CS_KMS_ACT_GENERATE_RANDOM && !cs_slice_eq(cs_buf_slice(&key), want_key)) {
        err = CS_E_KMS_KEY_ID;
    }
    if (err == CS_OK) {
        err = decode_blob(out->for_recipient, &out->for_recipient_len, &recipient);
    }
    if (err == CS_OK && action == CS_KMS_ACT_GENERATE_DATA_KEY) {
        err = decode_blob(out->ciphertext, &out->ciphertext_len, &blob);
    }
    cs_buf_free(&plain);
    cs_buf_free(&recipient);
    cs_buf_free(&blob);
    return err;
}

cs_err cs_kms_parse_answer(cs_kms_answer *out, const cs_kms_reply *reply, cs_kms_action action, cs_slice want_key)
{
    cs_err err;
    memset(out, 0, sizeof *out);
    if (reply->body.len > CS_KMS_MAX_ANSWER) {
        return CS_E_KMS_ANSWER;
    }
    if (reply->status != 200) {
        return parse_error(out, reply);
    }
    err = parse_success(out, reply->body, action, want_key);
    if (err != CS_OK) {
        memset(out, 0, sizeof *out);
    }
    return err;
}
