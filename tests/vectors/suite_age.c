/*
 * age test kit of CCTV (vectors/age): each file is decrypted with its identities and passphrases, at once and in pieces. One case
 * a file: "success" gives the payload's hash, everything else is refused with nothing released beyond the payload's hash.
 * Post-quantum identities match nothing here: files that only they open must end in "no match".
 */
#include <openssl/evp.h>
#include <string.h>
#include <zlib.h>

#include "base/text.h"
#include "secret/age.h"
#include "suite.h"

void cs_suite_age(cs_suite *s, const char *dir);

#define MAX_KEYS 8

typedef struct vector {
    char expect[32];
    char payload_hex[65];
    cs_age_identity identities[MAX_KEYS];
    size_t num_identities;
    cs_slice passphrases[MAX_KEYS];
    size_t num_passphrases;
    bool post_quantum, compressed, unknown_key;
} vector;

static void copy_text(char *out, size_t size, cs_slice v)
{
    size_t n = v.len < size - 1 ? v.len : size - 1;

    memcpy(out, v.p, n);
    out[n] = '\0';
}

static bool add_identity(vector *v, cs_slice value)
{
    if (value.len > 19 && memcmp(value.p, "AGE-SECRET-KEY-PQ-1", 19) == 0) {
        v->post_quantum = true;
        return true;
    }
    return v->num_identities < MAX_KEYS && cs_age_identity_parse(&v->identities[v->num_identities++], value) == CS_OK;
}

static bool take_key(vector *v, cs_slice key, cs_slice value)
{
    if (cs_slice_eq_str(key, "expect")) {
        copy_text(v->expect, sizeof v->expect, value);
    } else if (cs_slice_eq_str(key, "payload")) {
        copy_text(v->payload_hex, sizeof v->payload_hex, value);
    } else if (cs_slice_eq_str(key, "identity")) {
        return add_identity(v, value);
    } else if (cs_slice_eq_str(key, "passphrase")) {
        if (v->num_passphrases == MAX_KEYS) {
            return false;
        }
        v->passphrases[v->num_passphrases++] = value;
    } else if (cs_slice_eq_str(key, "compressed")) {
        v->compressed = cs_slice_eq_str(value, "zlib");
        v->unknown_key |= !v->compressed;
    } else if (!cs_slice_eq_str(key, "file key") && !cs_slice_eq_str(key, "armored") &&
               !cs_slice_eq_str(key, "comment")) {
        v->unknown_key = true;
    }
    return true;
}

/* Header lines "key: value" up to an empty line; *body is what follows. */
static bool parse_vector(vector *v, cs_slice file, cs_slice *body)
{
    cs_reader r = cs_reader_of(file);
    cs_slice line;

    memset(v, 0, sizeof *v);
    while (cs_read_line(&r, &line, 4096) == CS_OK) {
        size_t colon = 0;

        if (line.len == 0) {
            *body = cs_slice_of(r.p, r.left);
            return v->expect[0] != '\0';
        }
        while (colon + 1 < line.len && (line.p[colon] != ':' || line.p[colon + 1] != ' ')) {
            colon++;
        }
        if (colon + 1 >= line.len ||
            !take_key(v, cs_slice_of(line.p, colon), cs_slice_of(line.p + colon + 2, line.len - colon - 2))) {
            return false;
        }
    }
    return false;
}

static cs_err inflate_all(cs_buf *out, cs_slice in)
{
    z_stream z = {.next_in = (Bytef *)in.p, .avail_in = (uInt)in.len};
    cs_err err = CS_E_FORMAT;
    int rc = Z_OK;

    if (inflateInit(&z) != Z_OK) {
        return CS_E_NO_MEMORY;
    }
    while (rc == Z_OK) {
        uint8_t piece[65536];

        z.next_out = piece;
        z.avail_out = sizeof piece;
        rc = inflate(&z, Z_NO_FLUSH);
        if ((rc != Z_OK && rc != Z_STREAM_END) || cs_put(out, piece, sizeof piece - z.avail_out) != CS_OK) {
            break;
        }
        err = rc == Z_STREAM_END ? CS_OK : CS_E_FORMAT;
    }
    (void)inflateEnd(&z);
    return err;
}

static cs_err hash_piece(void *cookie, cs_slice piece)
{
    return EVP_DigestUpdate(cookie, piece.p, piece.len) == 1 ? CS_OK : CS_E_INTERNAL;
}

/* Decrypts in pieces; hex receives the hash of what was released. */
static cs_err decrypt(char hex[65], cs_slice file, const cs_age_keys *keys, size_t step)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    cs_reader r = cs_reader_of(file);
    cs_age_dec *d = NULL;
    uint8_t digest[32];
    cs_slice piece;
    cs_err err =
        EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 ? cs_age_dec_new(&d, keys, hash_piece, ctx) : CS_E_INTERNAL;

    while (err == CS_OK && r.left > 0) {
        err = cs_read_slice(&r, &piece, step < r.left ? step : r.left);
        err = err == CS_OK ? cs_age_dec_push(d, piece) : err;
    }
    err = err == CS_OK ? cs_age_dec_finish(d) : err;
    cs_age_dec_free(d);
    (void)EVP_DigestFinal_ex(ctx, digest, NULL);
    EVP_MD_CTX_free(ctx);
    cs_hex_encode(hex, cs_slice_of(digest, sizeof digest));
    return err;
}

/* With every passphrase in turn, as the keys hold one. */
static cs_err decrypt_with_all(char hex[65], cs_slice file, const vector *v, size_t step)
{
    cs_age_keys keys = {v->identities, v->num_identities, v->num_passphrases > 0 ? v->passphrases[0] : CS_SLICE_NULL};
    cs_err err = decrypt(hex, file, &keys, step);

    for (size_t i = 1; err == CS_E_AGE_NO_MATCH && i < v->num_passphrases; i++) {
        keys.passphrase = v->passphrases[i];
        err = decrypt(hex, file, &keys, step);
    }
    return err;
}

static bool as_expected(const vector *v, cs_err err, const char *hex)
{
    static const char empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    bool success = strcmp(v->expect, "success") == 0;

    if (v->post_quantum && v->num_identities == 0) {
        bool must_not_match = success || strcmp(v->expect, "no match") == 0;

        return strcmp(hex, empty) == 0 && (must_not_match ? err == CS_E_AGE_NO_MATCH : err != CS_OK);
    }
    return (err == CS_OK) == success && strcmp(hex, v->payload_hex[0] != '\0' ? v->payload_hex : empty) == 0;
}

static void check_file(cs_suite *s, const char *path, void *cookie)
{
    cs_buf raw = {0}, inflated = cs_buf_heap(64U << 20);
    char hex[65], hex_pieces[65];
    vector *v = cookie;
    cs_slice body;
    cs_err err;

    if (cs_suite_read(path, &raw) != CS_OK || !parse_vector(v, cs_buf_slice(&raw), &body) ||
        (v->compressed && inflate_all(&inflated, body) != CS_OK)) {
        cs_suite_fail(s, path, "not a test file of the age test kit");
    } else if (v->unknown_key) {
        cs_suite_skip(s, "test file with an unknown key"); /* as the test kit asks */
    } else {
        body = v->compressed ? cs_buf_slice(&inflated) : body;
        err = decrypt_with_all(hex, body, v, SIZE_MAX);
        if (!as_expected(v, err, hex)) {
            cs_suite_failf(s, path, "expected %s, got %s, released %s", v->expect, cs_err_code(err), hex);
        } else if (decrypt_with_all(hex_pieces, body, v, 1021) != err || strcmp(hex, hex_pieces) != 0) {
            cs_suite_fail(s, path, "another result when it comes in pieces");
        } else {
            cs_suite_pass(s);
        }
    }
    cs_buf_free(&inflated);
    cs_buf_free(&raw);
}

void cs_suite_age(cs_suite *s, const char *dir)
{
    static vector v;

    if (cs_arena_init(1U << 20, false) != CS_OK) {
        cs_suite_fail(s, dir, "no arena");
        return;
    }
    cs_suite_walk(s, dir, "", check_file, &v);
    cs_wipe(&v, sizeof v);
}
