/* Certificates of the emulator. See pki.h. */
#include "emulator/pki.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REGION "emulated"

void cs_emu_cert_cleanup(cs_emu_cert *c)
{
    X509_free(c->cert);
    EVP_PKEY_free(c->key);
    *c = (cs_emu_cert){NULL, NULL};
}

static bool add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e != NULL && X509_add_ext(cert, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static bool set_name(X509 *cert, const cs_emu_cert_spec *spec)
{
    X509_NAME *n = X509_NAME_new();
    bool ok = n != NULL;
    static const char *const nitro[3][2] = {{"C", "US"}, {"O", "Countersign emulator"}, {"OU", "AWS"}};
    for (int i = 0; i < 3 && ok && spec->nitro; i++) {
        ok = X509_NAME_add_entry_by_txt(n, nitro[i][0], MBSTRING_ASC, (const uint8_t *)nitro[i][1], -1, -1, 0) == 1;
    }
    ok = ok && X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)spec->cn, -1, -1, 0) == 1 &&
         X509_set_subject_name(cert, n) == 1;
    X509_NAME_free(n);
    return ok;
}

static bool set_serial(X509 *cert)
{
    uint8_t raw[16];
    BIGNUM *bn = NULL;
    bool ok = RAND_bytes(raw, sizeof raw) == 1;
    raw[0] = (uint8_t)((raw[0] & 0x7f) | 0x40);
    ok = ok && (bn = BN_bin2bn(raw, sizeof raw, NULL)) != NULL &&
         BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;
    BN_free(bn);
    return ok;
}

static bool set_extensions(X509 *cert, X509 *issuer, const cs_emu_cert_spec *s)
{
    char bc[64];
    if (s->ca && s->pathlen >= 0) {
        snprintf(bc, sizeof bc, "critical,CA:TRUE,pathlen:%d", s->pathlen);
    } else {
        snprintf(bc, sizeof bc, "critical,CA:%s", s->ca ? "TRUE" : "FALSE");
    }
    return add_ext(cert, issuer, NID_basic_constraints, bc) && add_ext(cert, issuer, NID_key_usage, s->key_usage) &&
           (!s->identifiers || (add_ext(cert, issuer, NID_subject_key_identifier, "hash") &&
                                (issuer == cert || add_ext(cert, issuer, NID_authority_key_identifier, "keyid")))) &&
           (s->alt_names == NULL || add_ext(cert, issuer, NID_subject_alt_name, s->alt_names));
}

cs_err cs_emu_cert_issue(cs_emu_cert *out, const cs_emu_cert *issuer, const cs_emu_cert_spec *s)
{
    cs_emu_cert c = {X509_new(), EVP_EC_gen(s->nitro ? "P-384" : "P-256")};
    bool ok = c.cert != NULL && c.key != NULL && X509_set_version(c.cert, 2) == 1 && set_serial(c.cert) &&
              set_name(c.cert, s) && X509_set_pubkey(c.cert, c.key) == 1 &&
              ASN1_TIME_set(X509_getm_notBefore(c.cert), (time_t)s->not_before_s) != NULL &&
              ASN1_TIME_set(X509_getm_notAfter(c.cert), (time_t)(s->not_before_s + s->lifetime_s)) != NULL;
    X509 *parent = issuer != NULL ? issuer->cert : c.cert;
    EVP_PKEY *key = issuer != NULL ? issuer->key : c.key;
    ok = ok && X509_set_issuer_name(c.cert, X509_get_subject_name(parent)) == 1 && set_extensions(c.cert, parent, s) &&
         X509_sign(c.cert, key, s->nitro ? EVP_sha384() : EVP_sha256()) > 0;
    if (!ok) {
        cs_emu_cert_cleanup(&c);
        return CS_E_INTERNAL;
    }
    *out = c;
    return CS_OK;
}

static FILE *open_file(const char *dir, const char *name, const char *suffix, int flags, int mode)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s.%s", dir, name, suffix);
    if (n < 0 || (size_t)n >= sizeof path) {
        return NULL;
    }
    int fd = open(path, flags | O_CLOEXEC, mode);
    FILE *f = fd < 0 ? NULL : fdopen(fd, flags == O_RDONLY ? "r" : "w");
    if (f == NULL && fd >= 0) {
        close(fd);
    }
    return f;
}

cs_err cs_emu_cert_load(cs_emu_cert *out, const char *dir, const char *name)
{
    cs_emu_cert c = {NULL, NULL};
    FILE *pem = open_file(dir, name, "pem", O_RDONLY, 0), *key = open_file(dir, name, "key", O_RDONLY, 0);
    bool found = pem != NULL && key != NULL;
    if (found) {
        c.cert = PEM_read_X509(pem, NULL, NULL, NULL);
        c.key = PEM_read_PrivateKey(key, NULL, NULL, NULL);
    }
    if (pem != NULL) {
        fclose(pem);
    }
    if (key != NULL) {
        fclose(key);
    }
    if (c.cert == NULL || c.key == NULL || X509_check_private_key(c.cert, c.key) != 1) {
        cs_emu_cert_cleanup(&c);
        return found ? CS_E_FORMAT : CS_E_NOT_FOUND;
    }
    *out = c;
    return CS_OK;
}

cs_err cs_emu_cert_save(const cs_emu_cert *c, const char *dir, const char *name)
{
    int flags = O_WRONLY | O_CREAT | O_TRUNC;
    FILE *pem = open_file(dir, name, "pem", flags, 0644), *key = open_file(dir, name, "key", flags, 0600);
    bool ok = pem != NULL && key != NULL && PEM_write_X509(pem, c->cert) == 1 &&
              PEM_write_PrivateKey(key, c->key, NULL, NULL, 0, NULL, NULL) == 1;
    ok = (pem == NULL || fclose(pem) == 0) && ok;
    ok = (key == NULL || fclose(key) == 0) && ok;
    return ok ? CS_OK : CS_E_IO;
}

cs_err cs_emu_cert_der(cs_buf *out, const cs_emu_cert *c)
{
    uint8_t *der = NULL;
    int n = i2d_X509(c->cert, &der);
    cs_err err = n <= 0 ? CS_E_INTERNAL : cs_put(out, der, (size_t)n);
    OPENSSL_free(der);
    return err;
}

void cs_emu_chain_cleanup(cs_emu_chain *c)
{
    for (int i = 0; i < 4; i++) {
        cs_emu_cert_cleanup(&c->level[i]);
    }
    c->leaf_end_s = 0;
}

cs_err cs_emu_chain_issue(cs_emu_chain *out, const cs_emu_cert *root, const char *module_id, int64_t now_s)
{
    char cn[4][160];
    uint8_t raw[8];
    const char *enc = strstr(module_id, "-enc"); /* "i-0123456789abcdef0-enc..." */
    int id_len = enc != NULL ? (int)(enc - module_id) : (int)strlen(module_id);
    cs_emu_chain c = {0};
    cs_err err = CS_OK;
    if (RAND_bytes(raw, sizeof raw) != 1) {
        return CS_E_ENTROPY;
    }
    snprintf(cn[0], sizeof cn[0], "%02x%02x%02x%02x." REGION ".aws.nitro-enclaves", raw[0], raw[1], raw[2], raw[3]);
    snprintf(cn[1], sizeof cn[1], "%02x%02x%02x%02x.zonal." REGION ".aws.nitro-enclaves", raw[4], raw[5], raw[6],
             raw[7]);
    snprintf(cn[2], sizeof cn[2], "%.*s." REGION ".aws.nitro-enclaves", id_len > 20 ? 20 : id_len, module_id);
    snprintf(cn[3], sizeof cn[3], "%.44s." REGION ".aws", module_id);
    const cs_emu_cert_spec spec[4] = {
        {cn[0], true, true, 2, "critical,digitalSignature,keyCertSign,cRLSign", NULL, true, now_s - 86400,
         20 * 86400 + 3600},
        {cn[1], true, true, 1, "critical,digitalSignature,keyCertSign,cRLSign", NULL, true, now_s - 3600,
         5 * 86400 + 43200},
        {cn[2], true, true, 0, "critical,keyCertSign", NULL, true, now_s - 600, 86400},
        {cn[3], true, false, -1, "digitalSignature", NULL, false, now_s - 3, CS_EMU_LEAF_S},
    };
    for (int i = 0; i < 4 && err == CS_OK; i++) {
        cn[i][64] = '\0'; /* upper bound of a CN */
        err = cs_emu_cert_issue(&c.level[i], i == 0 ? root : &c.level[i - 1], &spec[i]);
    }
    if (err != CS_OK) {
        cs_emu_chain_cleanup(&c);
        return err;
    }
    c.leaf_end_s = now_s - 3 + CS_EMU_LEAF_S;
    *out = c;
    return CS_OK;
}

cs_err cs_emu_root_issue(cs_emu_cert *out, int64_t now_s)
{
    cs_emu_cert_spec spec = {"emulated.aws.nitro-enclaves",
                             true,
                             true,
                             -1,
                             "critical,digitalSignature,keyCertSign,cRLSign",
                             NULL,
                             true,
                             now_s - 86400 * 30,
                             (int64_t)86400 * 365 * 20};
    return cs_emu_cert_issue(out, NULL, &spec);
}
