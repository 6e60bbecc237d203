/* See s3_chunked.h. Source: Amazon S3 API reference, "Transferring payload in multiple chunks", with and without trailers. */
#include "emulator/s3_chunked.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define MAX_LINE 4096
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* One decoding: the chain of signatures. */
typedef struct decoder {
    const cs_emu_chunk_signer *signer;
    uint8_t key[32];
    char previous[65];
} decoder;

static bool hmac(uint8_t out[32], const void *key, size_t key_len, const char *text, size_t len)
{
    unsigned n = 0;
    return HMAC(EVP_sha256(), key, (int)key_len, (const uint8_t *)text, len, out, &n) != NULL && n == 32;
}

static bool derive_key(decoder *d)
{
    char first[80];
    const cs_emu_chunk_signer *s = d->signer;
    int n = snprintf(first, sizeof first, "AWS4%s", s->secret);
    bool ok = n > 0 && (size_t)n < sizeof first && hmac(d->key, first, (size_t)n, s->date, strlen(s->date)) &&
              hmac(d->key, d->key, 32, s->region, strlen(s->region)) && hmac(d->key, d->key, 32, "s3", 2) &&
              hmac(d->key, d->key, 32, "aws4_request", 12);
    OPENSSL_cleanse(first, sizeof first);
    snprintf(d->previous, sizeof d->previous, "%.64s", s->seed);
    return ok;
}

static bool sha256_hex(char out[65], cs_slice data)
{
    uint8_t md[32];
    unsigned n = 0;
    bool ok = EVP_Digest(data.p, data.len, md, &n, EVP_sha256(), NULL) == 1;
    cs_hex_encode(out, cs_slice_of(md, sizeof md));
    return ok;
}

/* algorithm: "AWS4-HMAC-SHA256-PAYLOAD" (with the hash of nothing before the data's) or "...-TRAILER" */
static cs_err check_signature(decoder *d, const char *algorithm, cs_slice data, cs_slice given)
{
    char text[512], hash[65], want[65];
    uint8_t mac[32];
    const cs_emu_chunk_signer *s = d->signer;
    bool payload = strcmp(algorithm, "AWS4-HMAC-SHA256-PAYLOAD") == 0;
    if (!sha256_hex(hash, data)) {
        return CS_E_INTERNAL;
    }
    int n = snprintf(text, sizeof text, "%s\n%s\n%s/%s/s3/aws4_request\n%s\n%s%s", algorithm, s->time, s->date,
                     s->region, d->previous, payload ? EMPTY_SHA256 "\n" : "", hash);
    if (n < 0 || (size_t)n >= sizeof text || !hmac(mac, d->key, 32, text, (size_t)n)) {
        return CS_E_INTERNAL;
    }
    cs_hex_encode(want, cs_slice_of(mac, sizeof mac));
    if (given.len != 64 || CRYPTO_memcmp(given.p, want, 64) != 0) {
        return CS_E_AUTH;
    }
    memcpy(d->previous, want, sizeof want);
    return CS_OK;
}

/* "SIZE\r" or "SIZE;chunk-signature=HEX\r" (the line without its LF) */
static cs_err chunk_head(cs_slice line, uint64_t *out_size, cs_slice *out_signature)
{
    static const char mark[] = "chunk-signature=";
    uint64_t v = 0;
    size_t i = 0;
    if (line.len < 2 || line.p[line.len - 1] != '\r') {
        return CS_E_FORMAT;
    }
    line.len--;
    for (; i < line.len && line.p[i] != ';'; i++) {
        uint8_t c = line.p[i] | 0x20;
        bool letter = c >= 'a' && c <= 'f';
        if ((!letter && (line.p[i] < '0' || line.p[i] > '9')) || i >= 8) {
            return CS_E_FORMAT;
        }
        v = v << 4 | (unsigned)(letter ? c - 'a' + 10 : line.p[i] - '0');
    }
    *out_size = v;
    *out_signature = CS_SLICE_NULL;
    if (i < line.len) {
        cs_slice ext = cs_slice_of(line.p + i + 1, line.len - i - 1);
        if (ext.len > sizeof mark - 1 && memcmp(ext.p, mark, sizeof mark - 1) == 0) {
            *out_signature = cs_slice_of(ext.p + sizeof mark - 1, ext.len - (sizeof mark - 1));
        }
    }
    return i > 0 ? CS_OK : CS_E_FORMAT;
}

static cs_err one_trailer(cs_emu_trailers *t, cs_slice line)
{
    const uint8_t *colon = memchr(line.p, ':', line.len);
    if (colon == NULL || colon == line.p) {
        return CS_E_FORMAT;
    }
    if (t->num == CS_EMU_MAX_TRAILERS) {
        return CS_E_RANGE;
    }
    t->item[t->num].name = cs_slice_of(line.p, (size_t)(colon - line.p));
    cs_slice v = cs_slice_of(colon + 1, (size_t)(line.p + line.len - colon) - 1);
    while (v.len > 0 && v.p[0] == ' ') {
        v = cs_slice_of(v.p + 1, v.len - 1);
    }
    t->item[t->num++].value = v;
    return CS_OK;
}

/* The canonical form that is signed: name:value LF for each. */
static cs_err check_trailers(decoder *d, const cs_emu_trailers *t, cs_slice signature)
{
    cs_buf text = cs_buf_heap(CS_EMU_MAX_TRAILERS * (MAX_LINE + 2));
    cs_err err = CS_OK;
    for (size_t i = 0; i < t->num && err == CS_OK; i++) {
        err = cs_put_slice(&text, t->item[i].name);
        err = err == CS_OK ? cs_put_u8(&text, ':') : err;
        err = err == CS_OK ? cs_put_slice(&text, t->item[i].value) : err;
        err = err == CS_OK ? cs_put_u8(&text, '\n') : err;
    }
    if (err == CS_OK) {
        err = check_signature(d, "AWS4-HMAC-SHA256-TRAILER", cs_buf_slice(&text), signature);
    }
    cs_buf_free(&text);
    return err;
}

static cs_err read_trailers(decoder *d, cs_reader *r, cs_emu_trailers *t)
{
    static const char mark[] = "x-amz-trailer-signature";
    cs_slice line, signature = CS_SLICE_NULL;
    for (;;) {
        if (r->left == 0) {
            break; /* some clients leave out the last empty line */
        }
        CS_TRY(cs_read_line(r, &line, MAX_LINE) == CS_OK ? CS_OK : CS_E_FORMAT);
        if (line.len == 0 || line.p[line.len - 1] != '\r') {
            return CS_E_FORMAT;
        }
        line.len--;
        if (line.len == 0 && r->left == 0) {
            break;
        }
        CS_TRY(one_trailer(t, line));
        if (cs_slice_eq_str(t->item[t->num - 1].name, mark)) {
            signature = t->item[--t->num].value;
            if (d->signer == NULL) {
                return CS_E_FORMAT;
            }
        }
    }
    return d->signer != NULL && t->num > 0 ? check_trailers(d, t, signature) : CS_OK;
}

cs_err cs_emu_s3_unchunk(cs_buf *out, cs_slice body, const cs_emu_chunk_signer *signer, cs_emu_trailers *trailers)
{
    cs_reader r = cs_reader_of(body);
    decoder d = {.signer = signer};
    cs_slice line, data = CS_SLICE_NULL, signature;
    uint64_t size = 0;
    uint16_t crlf = 0;
    trailers->num = 0;
    if (signer != NULL && !derive_key(&d)) {
        return CS_E_INTERNAL;
    }
    do {
        CS_TRY(cs_read_line(&r, &line, MAX_LINE) == CS_OK ? CS_OK : CS_E_FORMAT);
        CS_TRY(chunk_head(line, &size, &signature));
        if (size > r.left) {
            return CS_E_FORMAT;
        }
        CS_TRY(cs_read_slice(&r, &data, size));
        if (signer != NULL) {
            CS_TRY(check_signature(&d, "AWS4-HMAC-SHA256-PAYLOAD", data, signature));
        }
        CS_TRY(cs_put_slice(out, data));
        if (size > 0) {
            CS_TRY(cs_read_u16(&r, &crlf) == CS_OK && crlf == 0x0d0a ? CS_OK : CS_E_FORMAT);
        }
    } while (size > 0);
    return read_trailers(&d, &r, trailers);
}
