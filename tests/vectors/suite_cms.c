/*
 * Envelopes of AWS KMS (vectors/cms-kms). A folder with a private key: the envelope opens to the plaintext; every truncation, another
 * key, every flipped byte of the wrapped key and every changed OID end in the one error (five cases). A folder without: the fields
 * are those expected (four cases).
 */
#include <libgen.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "secret/cms.h"
#include "suite.h"

void cs_suite_cms_kms(cs_suite *s, const char *dir);

typedef struct folder {
    cs_suite *s;
    const char *path;
    char dir[CS_SUITE_PATH];
    cs_buf envelope;
    EVP_PKEY *key, *other_key;
} folder;

static cs_err read_in(const folder *f, const char *name, cs_buf *out)
{
    char path[CS_SUITE_PATH];

    cs_suite_path(path, f->dir, name);
    return cs_suite_read(path, out);
}

static void check_field(folder *f, const char *name, cs_slice got)
{
    cs_buf want = {0};

    if (read_in(f, name, &want) != CS_OK) {
        cs_suite_failf(f->s, f->path, "no %s", name);
    } else {
        cs_suite_check(f->s, cs_slice_eq(got, cs_buf_slice(&want)), f->path, name);
    }
    cs_buf_free(&want);
}

static void check_fields(folder *f)
{
    static cs_cms_fields fields;

    cs_suite_check(f->s, cs_cms_parse(&fields, cs_buf_slice(&f->envelope)) == CS_OK, f->path, "refused");
    check_field(f, "expected-encrypted_key.bin", fields.encrypted_key);
    check_field(f, "expected-iv.bin", fields.iv);
    check_field(f, "expected-ciphertext.bin", cs_slice_of(fields.content, fields.content_len));
}

static bool refused(cs_slice envelope, EVP_PKEY *key)
{
    uint8_t mem[CS_CMS_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    return cs_cms_open(&out, envelope, key) == CS_E_CMS && out.len == 0;
}

static bool truncations_refused(const folder *f)
{
    bool ok = true;

    for (size_t len = 0; len < f->envelope.len; len++) {
        ok = ok && refused(cs_slice_of(f->envelope.p, len), f->key);
    }
    return ok;
}

/* Flips every bit of one byte in a copy of the envelope that is changed back. */
static bool change_refused(folder *f, size_t at, uint8_t mask)
{
    bool ok;

    f->envelope.p[at] ^= mask;
    ok = refused(cs_buf_slice(&f->envelope), f->key);
    f->envelope.p[at] ^= mask;
    return ok;
}

static bool flips_refused(folder *f)
{
    static cs_cms_fields fields;
    size_t start;
    bool ok = true;

    if (cs_cms_parse(&fields, cs_buf_slice(&f->envelope)) != CS_OK) {
        return false;
    }
    start = (size_t)(fields.encrypted_key.p - f->envelope.p);
    for (size_t i = 0; i < fields.encrypted_key.len; i++) {
        ok = ok && change_refused(f, start + i, (uint8_t)(1U << i % 8));
    }
    return ok;
}

static bool oids_refused(folder *f)
{
    size_t num = 0;
    bool ok = true;

    for (size_t i = 0; i + 11 <= f->envelope.len; i++) {
        const uint8_t *p = f->envelope.p + i;

        if (p[0] == 6 && p[1] == 9 &&
            (memcmp(p + 2, "\x2a\x86\x48", 3) == 0 || memcmp(p + 2, "\x60\x86\x48", 3) == 0)) {
            ok = ok && change_refused(f, i + 10, 0x40);
            num++;
        }
    }
    return ok && num >= 7;
}

static void check_open(folder *f)
{
    uint8_t mem[CS_CMS_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem), want = {0};
    bool ok = read_in(f, "plaintext.bin", &want) == CS_OK &&
              cs_cms_open(&out, cs_buf_slice(&f->envelope), f->key) == CS_OK &&
              cs_slice_eq(cs_buf_slice(&out), cs_buf_slice(&want));

    cs_suite_check(f->s, ok, f->path, "not opened to the plaintext");
    cs_suite_check(f->s, truncations_refused(f), f->path, "a truncation was not refused");
    cs_suite_check(f->s, refused(cs_buf_slice(&f->envelope), f->other_key), f->path, "another key was not refused");
    cs_suite_check(f->s, flips_refused(f), f->path, "a flipped bit in the wrapped key was not refused");
    cs_suite_check(f->s, oids_refused(f), f->path, "a changed OID was not refused");
    cs_buf_free(&want);
}

static EVP_PKEY *read_key(const folder *f)
{
    char path[CS_SUITE_PATH];
    EVP_PKEY *key;
    FILE *in;

    cs_suite_path(path, f->dir, "recipient-key.pem");
    in = fopen(path, "rb");
    if (in == NULL) {
        return NULL;
    }
    key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    (void)fclose(in);
    return key;
}

static void check_file(cs_suite *s, const char *path, void *cookie)
{
    folder f = {.s = s, .path = path, .other_key = cookie};
    char copy[CS_SUITE_PATH];

    (void)snprintf(copy, sizeof copy, "%s", path);
    (void)snprintf(f.dir, sizeof f.dir, "%s", dirname(copy));
    f.key = read_key(&f);
    if (cs_suite_read(path, &f.envelope) != CS_OK) {
        cs_suite_fail(s, path, "cannot be read");
    } else if (f.key != NULL) {
        check_open(&f);
    } else {
        check_fields(&f);
    }
    cs_buf_free(&f.envelope);
    EVP_PKEY_free(f.key);
}

void cs_suite_cms_kms(cs_suite *s, const char *dir)
{
    EVP_PKEY *other = EVP_RSA_gen(2048);

    if (other == NULL || cs_arena_init(1U << 20, false) != CS_OK) {
        cs_suite_fail(s, dir, "no arena or key");
    } else {
        cs_suite_walk(s, dir, ".ber", check_file, other);
    }
    EVP_PKEY_free(other);
}
