/* KMS operations that encrypt, decrypt and make keys. See kms_call.h. */
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/text.h"
#include "emulator/kms_call.h"
#include "emulator/recipient.h"

static bool set_b64(json_t *answer, const char *member, cs_slice bytes)
{
    cs_buf text = cs_buf_heap(65536);
    bool ok = cs_b64_put(&text, bytes, CS_B64_STD) == CS_OK &&
              json_object_set_new(answer, member, json_stringn((const char *)text.p, text.len)) == 0;
    cs_buf_free(&text);
    return ok;
}

static cs_emu_cms_form cms_form(cs_emu_state *s)
{
    if (strcmp(s->o.cms_form, "primitive") == 0) {
        return CS_EMU_CMS_PRIMITIVE;
    }
    if (strcmp(s->o.cms_form, "segments") == 0) {
        return CS_EMU_CMS_SEGMENTS;
    }
    if (strcmp(s->o.cms_form, "alternate") == 0) {
        return s->num_answers++ % 2 == 0 ? CS_EMU_CMS_CONSTRUCTED : CS_EMU_CMS_PRIMITIVE;
    }
    return CS_EMU_CMS_CONSTRUCTED;
}

/* To whom: the attested key, or one that nobody has. */
static cs_err recipient_key(cs_buf *out, const cs_emu_kms_call *c)
{
    uint8_t *der = NULL;
    if (c->fault != CS_EMU_FAULT_OTHER_RECIPIENT) {
        return cs_put(out, c->att.claims.public_key.b, c->att.claims.public_key.len);
    }
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    int len = i2d_PUBKEY(rsa, &der);
    cs_err err = len > 0 ? cs_put(out, der, (size_t)len) : CS_E_INTERNAL;
    OPENSSL_free(der);
    EVP_PKEY_free(rsa);
    return err;
}

/* The envelope, with the fault in it that a test asked for. */
static cs_err seal_for(cs_buf *cms, cs_emu_kms_call *c, cs_slice plain)
{
    uint8_t other[CS_EMU_MAX_PLAINTEXT];
    cs_buf key = cs_buf_heap(1024);
    cs_err err = recipient_key(&key, c);
    if (err == CS_OK && c->fault == CS_EMU_FAULT_FORGED) {
        err = plain.len <= sizeof other && RAND_bytes(other, (int)plain.len) == 1 ? CS_OK : CS_E_INTERNAL;
        plain = cs_slice_of(other, plain.len);
    }
    if (err == CS_OK) {
        err = cs_emu_recipient_seal(cms, cs_buf_slice(&key), plain, cms_form(c->s));
    }
    if (err == CS_OK && c->fault == CS_EMU_FAULT_GARBLED) {
        cms->p[cms->len - 30] ^=
            1; /* behind it are at most 14 bytes of lengths: it is of the last but one block of the content */
    }
    cs_buf_free(&key);
    return err;
}

/* Plaintext, or CiphertextForRecipient in its place: with a recipient Plaintext is left out [nitro-kms.md 2.3]. */
static bool set_plaintext(cs_emu_kms_call *c, json_t *answer, cs_slice plain)
{
    cs_buf cms = cs_buf_heap(CS_EMU_MAX_BLOB);
    bool ok = true;
    if (!c->attested || c->fault == CS_EMU_FAULT_PLAINTEXT || c->fault == CS_EMU_FAULT_BOTH) {
        ok = set_b64(answer, "Plaintext", plain);
    }
    if (ok && c->attested && c->fault != CS_EMU_FAULT_PLAINTEXT) {
        cs_err err = seal_for(&cms, c, plain);
        ok = err == CS_OK && set_b64(answer, "CiphertextForRecipient", cs_buf_slice(&cms));
        if (err == CS_E_FORMAT) {
            cs_emu_kms_fail(c, "ValidationException", "The public_key of the attestation document is not an RSA key");
        }
    }
    cs_buf_free(&cms);
    return ok;
}

/* The ARN of the key, or of one whose id has another last digit. */
static const char *key_arn(const cs_emu_kms_call *c)
{
    static char foreign[sizeof c->key->arn];
    if (c->fault != CS_EMU_FAULT_FOREIGN_KEY) {
        return c->key->arn;
    }
    memcpy(foreign, c->key->arn, sizeof foreign);
    char *last = &foreign[strlen(foreign) - 1];
    *last = *last == '0' ? '1' : '0';
    return foreign;
}

static json_t *finish(cs_emu_kms_call *c, json_t *answer, bool ok)
{
    if (ok) {
        return answer;
    }
    json_decref(answer);
    return c->error != NULL ? NULL : cs_emu_kms_fail(c, "KMSInternalException", "the answer could not be made");
}

static bool check_algorithm(cs_emu_kms_call *c, const char *member)
{
    const json_t *v = json_object_get(c->in, member), *grants = json_object_get(c->in, "GrantTokens");
    if (v != NULL && !json_is_null(v) &&
        (!json_is_string(v) || strcmp(json_string_value(v), "SYMMETRIC_DEFAULT") != 0)) {
        cs_emu_kms_fail(c, "InvalidKeyUsageException", "The key is of SYMMETRIC_DEFAULT");
        return false;
    }
    if (json_array_size(grants) > 0) {
        cs_emu_kms_fail(c, "InvalidGrantTokenException", "There are no grants here");
        return false;
    }
    return true;
}

json_t *cs_emu_kms_encrypt(cs_emu_kms_call *c)
{
    cs_buf plain = cs_buf_heap(2 * CS_EMU_MAX_PLAINTEXT), blob = cs_buf_heap(CS_EMU_MAX_BLOB);
    json_t *answer = NULL;
    if (json_object_get(c->in, "Recipient") != NULL) {
        cs_emu_kms_fail(c, "ValidationException", "Encrypt takes no Recipient");
    } else if (cs_emu_kms_blob(c, "Plaintext", CS_EMU_MAX_PLAINTEXT, &plain) && cs_emu_kms_key(c, "KeyId", true) &&
               check_algorithm(c, "EncryptionAlgorithm") && cs_emu_kms_context(c, "EncryptionContext") &&
               cs_emu_kms_authorise(c, CS_EMU_ENABLED)) {
        answer = json_pack("{s:s,s:s}", "KeyId", c->key->arn, "EncryptionAlgorithm", "SYMMETRIC_DEFAULT");
        bool ok = cs_emu_blob_seal(&blob, c->key, cs_buf_slice(&plain), cs_buf_slice(&c->aad)) == CS_OK &&
                  set_b64(answer, "CiphertextBlob", cs_buf_slice(&blob));
        answer = finish(c, answer, ok);
    }
    cs_buf_free(&plain);
    cs_buf_free(&blob);
    return answer;
}

/* The key that the blob names, against the key that the request may name. */
static bool find_blob_key(cs_emu_kms_call *c, cs_slice blob, const char *member)
{
    char id[37];
    if (cs_emu_blob_key(id, blob) != CS_OK) {
        cs_emu_kms_fail(c, "InvalidCiphertextException", "%s", "");
        return false;
    }
    cs_emu_key *named = cs_emu_key_find(c->s, id);
    if (json_is_string(json_object_get(c->in, member))) {
        if (!cs_emu_kms_key(c, member, true)) {
            return false;
        }
        if (named != c->key) {
            cs_emu_kms_fail(c, "IncorrectKeyException",
                            "The key ID in the request does not identify a CMK that can perform this operation.");
            return false;
        }
    }
    c->key = named;
    if (named == NULL) {
        cs_emu_kms_fail(
            c, "AccessDeniedException",
            "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you "
            "are not allowed to access.");
    }
    return named != NULL;
}

json_t *cs_emu_kms_decrypt(cs_emu_kms_call *c)
{
    cs_buf blob = cs_buf_heap(2 * CS_EMU_MAX_BLOB), plain = cs_buf_heap(CS_EMU_MAX_BLOB);
    json_t *answer = NULL;
    if (cs_emu_kms_blob(c, "CiphertextBlob", CS_EMU_MAX_BLOB, &blob) && check_algorithm(c, "EncryptionAlgorithm") &&
        find_blob_key(c, cs_buf_slice(&blob), "KeyId") && cs_emu_kms_context(c, "EncryptionContext") &&
        cs_emu_kms_recipient(c) && cs_emu_kms_authorise(c, CS_EMU_ENABLED)) {
        if (cs_emu_blob_open(&plain, c->key, cs_buf_slice(&blob), cs_buf_slice(&c->aad)) != CS_OK) {
            cs_emu_kms_fail(c, "InvalidCiphertextException", "%s", ""); /* no message, as KMS */
        } else {
            answer = json_pack("{s:s,s:s}", "KeyId", key_arn(c), "EncryptionAlgorithm", "SYMMETRIC_DEFAULT");
            answer = finish(c, answer, set_plaintext(c, answer, cs_buf_slice(&plain)));
        }
    }
    cs_buf_free(&plain);
    cs_buf_free(&blob);
    return answer;
}

/* KeySpec or NumberOfBytes, exactly one; 0: refused. */
static size_t data_key_len(cs_emu_kms_call *c)
{
    const char *spec = json_string_value(json_object_get(c->in, "KeySpec"));
    const json_t *num = json_object_get(c->in, "NumberOfBytes");
    json_int_t n = json_integer_value(num);
    if (spec != NULL && num == NULL && strcmp(spec, "AES_256") == 0) {
        return 32;
    }
    if (spec != NULL && num == NULL && strcmp(spec, "AES_128") == 0) {
        return 16;
    }
    if (spec == NULL && n >= 1 && n <= 1024) {
        return (size_t)n;
    }
    cs_emu_kms_fail(c, "ValidationException", "Please specify either number of bytes or key spec.");
    return 0;
}

static json_t *make_data_key(cs_emu_kms_call *c, bool plaintext)
{
    uint8_t key[1024];
    cs_buf blob = cs_buf_heap(CS_EMU_MAX_BLOB);
    json_t *answer = NULL;
    size_t len = data_key_len(c);
    if (len > 0 && cs_emu_kms_key(c, "KeyId", true) && check_algorithm(c, "EncryptionAlgorithm") &&
        cs_emu_kms_context(c, "EncryptionContext") && (!plaintext || cs_emu_kms_recipient(c)) &&
        cs_emu_kms_authorise(c, CS_EMU_ENABLED)) {
        answer = json_pack("{s:s}", "KeyId", key_arn(c));
        bool ok = RAND_bytes(key, (int)len) == 1 &&
                  cs_emu_blob_seal(&blob, c->key, cs_slice_of(key, len), cs_buf_slice(&c->aad)) == CS_OK &&
                  set_b64(answer, "CiphertextBlob", cs_buf_slice(&blob)) &&
                  (!plaintext || set_plaintext(c, answer, cs_slice_of(key, len)));
        answer = finish(c, answer, ok);
    }
    OPENSSL_cleanse(key, sizeof key);
    cs_buf_free(&blob);
    return answer;
}

json_t *cs_emu_kms_data_key(cs_emu_kms_call *c)
{
    return make_data_key(c, true);
}

json_t *cs_emu_kms_data_key_sealed(cs_emu_kms_call *c)
{
    return make_data_key(c, false);
}

/* Second half: what was opened under the source key, under the destination key. */
static json_t *reencrypt_to(cs_emu_kms_call *c, cs_slice plain, const cs_emu_key *source)
{
    cs_buf blob = cs_buf_heap(CS_EMU_MAX_BLOB);
    json_t *answer = NULL;
    cs_emu_context_reset(&c->context);
    c->aad.len = 0;
    if (cs_emu_context_add(&c->context, "kms:ReEncryptOnSameKey", cs_slice_str(source == c->key ? "true" : "false")) ==
            CS_OK &&
        cs_emu_kms_context(c, "DestinationEncryptionContext") &&
        cs_emu_kms_authorise_as(c, "kms:ReEncryptTo", c->key->arn, CS_EMU_ENABLED)) {
        answer = json_pack("{s:s,s:s,s:s,s:s}", "SourceKeyId", source->arn, "KeyId", c->key->arn,
                           "SourceEncryptionAlgorithm", "SYMMETRIC_DEFAULT", "DestinationEncryptionAlgorithm",
                           "SYMMETRIC_DEFAULT");
        bool ok = cs_emu_blob_seal(&blob, c->key, plain, cs_buf_slice(&c->aad)) == CS_OK &&
                  set_b64(answer, "CiphertextBlob", cs_buf_slice(&blob));
        answer = finish(c, answer, ok);
    }
    cs_buf_free(&blob);
    return answer;
}

/* No recipient: attestation does not reach ReEncrypt [nitro-kms.md 10], which is why a policy must deny it. */
json_t *cs_emu_kms_reencrypt(cs_emu_kms_call *c)
{
    cs_buf blob = cs_buf_heap(2 * CS_EMU_MAX_BLOB), plain = cs_buf_heap(CS_EMU_MAX_BLOB);
    json_t *answer = NULL;
    const cs_emu_key *source = NULL, *target = NULL;
    if (cs_emu_kms_blob(c, "CiphertextBlob", CS_EMU_MAX_BLOB, &blob) &&
        check_algorithm(c, "SourceEncryptionAlgorithm") && check_algorithm(c, "DestinationEncryptionAlgorithm") &&
        cs_emu_kms_key(c, "DestinationKeyId", true) && (target = c->key) != NULL &&
        find_blob_key(c, cs_buf_slice(&blob), "SourceKeyId") && cs_emu_kms_context(c, "SourceEncryptionContext") &&
        cs_emu_context_add(&c->context, "kms:ReEncryptOnSameKey", cs_slice_str(target == c->key ? "true" : "false")) ==
            CS_OK &&
        cs_emu_kms_authorise_as(c, "kms:ReEncryptFrom", c->key->arn, CS_EMU_ENABLED)) {
        source = c->key;
        if (cs_emu_blob_open(&plain, source, cs_buf_slice(&blob), cs_buf_slice(&c->aad)) != CS_OK) {
            cs_emu_kms_fail(c, "InvalidCiphertextException", "%s", "");
        } else if (cs_emu_kms_key(c, "DestinationKeyId", true)) {
            answer = reencrypt_to(c, cs_buf_slice(&plain), source);
        }
    }
    cs_buf_free(&plain);
    cs_buf_free(&blob);
    return answer;
}

json_t *cs_emu_kms_random(cs_emu_kms_call *c)
{
    uint8_t bytes[1024];
    json_int_t n = json_integer_value(json_object_get(c->in, "NumberOfBytes"));
    if (n < 1 || n > 1024) {
        return cs_emu_kms_fail(c, "ValidationException", "NumberOfBytes must be between 1 and 1024");
    }
    if (!cs_emu_kms_recipient(c) || !cs_emu_kms_authorise(c, CS_EMU_ANY_STATE)) {
        return NULL;
    }
    json_t *answer = json_object();
    bool ok =
        answer != NULL && RAND_bytes(bytes, (int)n) == 1 && set_plaintext(c, answer, cs_slice_of(bytes, (size_t)n));
    return finish(c, answer, ok);
}
