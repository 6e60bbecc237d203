/* Attestation documents for tests, see testdoc.h. Aborts on any failure of OpenSSL. */
#include "attest/testdoc.h"

#include <openssl/ec.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define MUST(x)                                                                                                        \
    do {                                                                                                               \
        if (!(x)) {                                                                                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

typedef struct authority {
    EVP_PKEY *key;
    X509 *cert;
} authority;

/* How one certificate is made. */
typedef struct cert_spec {
    const char *subject, *issuer;
    const char *constraints, *usage; /* NULL: extension absent */
    long from_s, to_s;               /* from the base time */
    bool critical_extra, version_1, sha256;
} cert_spec;

static void add_ext(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *ext = value != NULL ? X509V3_EXT_conf_nid(NULL, NULL, nid, value) : NULL;

    if (value != NULL) {
        MUST(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
        X509_EXTENSION_free(ext);
    }
}

static void add_unknown_critical(X509 *cert)
{
    ASN1_OBJECT *oid = OBJ_txt2obj("1.2.3.4.5", 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *ext;

    MUST(ASN1_OCTET_STRING_set(value, (const unsigned char *)"\x05\x00", 2) == 1);
    ext = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, value);
    MUST(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
}

static X509_NAME *name_of(const char *cn)
{
    X509_NAME *name = X509_NAME_new();

    MUST(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0) == 1);
    return name;
}

static X509 *make_cert(const cert_spec *spec, uint64_t base_s, EVP_PKEY *key, EVP_PKEY *issuer_key)
{
    X509_NAME *subject = name_of(spec->subject), *issuer = name_of(spec->issuer);
    X509 *cert = X509_new();

    MUST(X509_set_version(cert, spec->version_1 ? 0 : 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(cert), 7) == 1);
    MUST(X509_set_subject_name(cert, subject) == 1 && X509_set_issuer_name(cert, issuer) == 1);
    MUST(ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)base_s + spec->from_s) != NULL);
    MUST(ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)base_s + spec->to_s) != NULL);
    MUST(X509_set_pubkey(cert, key) == 1);
    if (!spec->version_1) {
        add_ext(cert, NID_basic_constraints, spec->constraints);
        add_ext(cert, NID_key_usage, spec->usage);
    }
    if (spec->critical_extra) {
        add_unknown_critical(cert);
    }
    MUST(X509_sign(cert, issuer_key, spec->sha256 ? EVP_sha256() : EVP_sha384()) > 0);
    X509_NAME_free(subject);
    X509_NAME_free(issuer);
    return cert;
}

static const authority *root_authority(bool other)
{
    static const cert_spec spec = {.subject = "test root",
                                   .issuer = "test root",
                                   .constraints = "critical,CA:TRUE",
                                   .usage = "critical,keyCertSign",
                                   .from_s = -1000000000,
                                   .to_s = 1000000000};
    static authority roots[2];
    authority *r = &roots[other];

    if (r->cert == NULL) {
        r->key = EVP_EC_gen("P-384");
        r->cert = make_cert(&spec, TESTDOC_TIME_S, r->key, r->key);
    }
    return r;
}

cs_slice testdoc_root(void)
{
    static uint8_t *der;
    static int len;

    if (der == NULL) {
        len = i2d_X509(root_authority(false)->cert, &der);
        MUST(len > 0);
    }
    return cs_slice_of(der, (size_t)len);
}

/* The certificate spec of the first CA below the root, with the fault. */
static cert_spec ca_spec(testdoc_fault fault)
{
    cert_spec s = {.subject = "ca 1",
                   .issuer = "test root",
                   .constraints = "critical,CA:TRUE,pathlen:1",
                   .usage = "critical,keyCertSign",
                   .from_s = -3600,
                   .to_s = 3600};

    s.constraints = fault == TESTDOC_CA_NOT_CA           ? "critical,CA:FALSE"
                    : fault == TESTDOC_CA_PATHLEN        ? "critical,CA:TRUE,pathlen:0"
                    : fault == TESTDOC_CA_NO_CONSTRAINTS ? NULL
                                                         : s.constraints;
    s.usage = fault == TESTDOC_CA_NO_CERT_SIGN ? "critical,digitalSignature"
              : fault == TESTDOC_CA_NO_USAGE   ? NULL
                                               : s.usage;
    s.critical_extra = fault == TESTDOC_CA_CRITICAL;
    s.to_s = fault == TESTDOC_CA_EXPIRED ? -1 : s.to_s;
    s.sha256 = fault == TESTDOC_CA_SHA256;
    s.version_1 = fault == TESTDOC_CA_VERSION_1;
    s.issuer = fault == TESTDOC_CA_OTHER_ISSUER_NAME ? "TEST ROOT" : s.issuer;
    return s;
}

static cert_spec leaf_spec(testdoc_fault fault)
{
    cert_spec s = {.subject = "leaf",
                   .issuer = "ca 2",
                   .constraints = "critical,CA:FALSE",
                   .usage = "digitalSignature",
                   .from_s = -3600,
                   .to_s = 3600};

    if (fault == TESTDOC_LEAF_IS_CA) {
        s.constraints = "critical,CA:TRUE";
        s.usage = "digitalSignature,keyCertSign";
    }
    s.usage = fault == TESTDOC_LEAF_NO_SIGNATURE_USAGE ? "keyAgreement" : s.usage;
    s.from_s = fault == TESTDOC_LEAF_NOT_YET ? 301 : s.from_s;
    s.to_s = fault == TESTDOC_LEAF_EXPIRED ? -1 : s.to_s;
    return s;
}

typedef struct chain {
    uint8_t *der[4]; /* root, ca 1, ca 2, leaf */
    int len[4];
    EVP_PKEY *leaf_key;
} chain;

static void add_der(chain *c, int i, X509 *cert)
{
    c->len[i] = i2d_X509(cert, &c->der[i]);
    MUST(c->len[i] > 0);
}

static chain make_chain(const testdoc *t, uint64_t base_s)
{
    static const cert_spec ca2_spec = {.subject = "ca 2",
                                       .issuer = "ca 1",
                                       .constraints = "critical,CA:TRUE,pathlen:0",
                                       .usage = "critical,keyCertSign",
                                       .from_s = -3600,
                                       .to_s = 3600};
    const authority *root = root_authority(t->fault == TESTDOC_OTHER_ROOT);
    const authority *signer = root_authority(t->fault == TESTDOC_OTHER_ROOT || t->fault == TESTDOC_ROOT_SWAPPED ||
                                             t->fault == TESTDOC_CA_OTHER_ISSUER_KEY);
    EVP_PKEY *key1 = EVP_EC_gen(t->fault == TESTDOC_CA_P256 ? "P-256" : "P-384"), *key2 = EVP_EC_gen("P-384");
    cert_spec spec1 = ca_spec(t->fault), leaf = leaf_spec(t->fault);
    X509 *certs[3];
    chain c = {.leaf_key = EVP_EC_gen("P-384")};

    certs[0] = make_cert(&spec1, base_s, key1, signer->key);
    certs[1] = make_cert(&ca2_spec, base_s, key2, key1);
    certs[2] = make_cert(&leaf, base_s, c.leaf_key, key2);
    add_der(&c, 0, root->cert);
    for (int i = 0; i < 3; i++) {
        add_der(&c, i + 1, certs[i]);
        X509_free(certs[i]);
    }
    EVP_PKEY_free(key1);
    EVP_PKEY_free(key2);
    return c;
}

static void put_field(cs_buf *b, const char *key, cs_slice value)
{
    MUST(cs_cbor_put_text(b, key) == CS_OK);
    MUST((value.p == NULL ? cs_cbor_put_null(b) : cs_cbor_put_bytes(b, value)) == CS_OK);
}

static void put_pcrs(cs_buf *b, const testdoc *t)
{
    cs_pcr pcr;

    MUST(cs_cbor_put_text(b, "pcrs") == CS_OK && cs_cbor_put_map(b, 5) == CS_OK);
    for (uint8_t i = 0; i < 5; i++) {
        memset(pcr.b, (t->debug && i < 3) || (t->zero_pcr1 && i == 1) ? 0 : 0x10 + i, sizeof pcr.b);
        if (i == 4) {
            MUST(cs_pcr_of_string(&pcr, cs_slice_str("i-0123")) == CS_OK);
        }
        MUST(cs_cbor_put_uint(b, i) == CS_OK && cs_cbor_put_bytes(b, cs_slice_of(pcr.b, sizeof pcr.b)) == CS_OK);
    }
}

static void put_payload(cs_buf *b, const testdoc *t, const chain *c, uint64_t base_s)
{
    bool indefinite = t->fault == TESTDOC_INDEFINITE;
    int first = t->fault == TESTDOC_ROOT_MISSING ? 1 : 0;
    uint8_t cert[1100] = {0};

    MUST((indefinite ? cs_put_u8(b, 0xbf) : cs_cbor_put_map(b, t->extra_key != NULL ? 10 : 9)) == CS_OK);
    MUST(cs_cbor_put_text(b, "module_id") == CS_OK && cs_cbor_put_text(b, "i-0123-enc4567") == CS_OK);
    MUST(cs_cbor_put_text(b, "digest") == CS_OK && cs_cbor_put_text(b, "SHA384") == CS_OK);
    MUST(cs_cbor_put_text(b, "timestamp") == CS_OK && cs_cbor_put_uint(b, base_s * 1000 + 123) == CS_OK);
    put_pcrs(b, t);
    put_field(b, "certificate",
              t->fault == TESTDOC_LEAF_GARBAGE ? cs_slice_str("garbage") : cs_slice_of(c->der[3], (size_t)c->len[3]));
    MUST(cs_cbor_put_text(b, "cabundle") == CS_OK && cs_cbor_put_array(b, (uint64_t)(3 - first)) == CS_OK);
    for (int i = first; i < 3; i++) {
        size_t len = (size_t)c->len[i] + (t->fault == TESTDOC_CA_TRAILING && i == 1);

        memset(cert, 0, sizeof cert);
        memcpy(cert, c->der[i], (size_t)c->len[i]);
        MUST(cs_cbor_put_bytes(b, cs_slice_of(cert, len)) == CS_OK);
    }
    put_field(b, "public_key", t->public_key);
    put_field(b, "user_data", t->user_data);
    put_field(b, "nonce", t->nonce);
    if (t->extra_key != NULL) {
        MUST(cs_cbor_put_text(b, t->extra_key) == CS_OK && cs_cbor_put_uint(b, 1) == CS_OK);
    }
    MUST(!indefinite || cs_put_u8(b, 0xff) == CS_OK);
}

/* ES384 as r || s. */
static void sign(uint8_t out[96], EVP_PKEY *key, cs_slice tbs)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[160];
    const uint8_t *p = der;
    size_t len = sizeof der;
    ECDSA_SIG *sig;

    MUST(EVP_DigestSignInit(ctx, NULL, EVP_sha384(), NULL, key) == 1 &&
         EVP_DigestSign(ctx, der, &len, tbs.p, tbs.len) == 1);
    sig = d2i_ECDSA_SIG(NULL, &p, (long)len);
    MUST(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 48) == 48 && BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 48, 48) == 48);
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
}

static uint8_t doc_mem[CS_ATT_MAX_DOC + 64];
static const uint8_t es384_header[] = {0xa1, 0x01, 0x38, 0x22};

cs_slice testdoc_wrap(cs_slice payload)
{
    static const uint8_t signature[96] = {1};
    cs_buf out = cs_buf_wrap(doc_mem, sizeof doc_mem);

    MUST(cs_cose_sign1_put(&out, cs_slice_of(es384_header, 4), payload, cs_slice_of(signature, 96)) == CS_OK);
    return cs_buf_slice(&out);
}

static cs_slice put_document(const testdoc *t, EVP_PKEY *key, cs_slice payload)
{
    static const uint8_t es256_header[] = {0xa1, 0x01, 0x26};
    uint8_t signature[96];
    cs_buf out = cs_buf_wrap(doc_mem, sizeof doc_mem), tbs = cs_buf_heap(CS_ATT_MAX_DOC);
    cs_cose_sign1 m = {.payload = payload};

    m.head.protected_bytes = t->fault == TESTDOC_ES256_HEADER      ? cs_slice_of(es256_header, 3)
                             : t->fault == TESTDOC_ALG_UNPROTECTED ? CS_SLICE_NULL
                                                                   : cs_slice_of(es384_header, 4);
    MUST(cs_cose_sign1_tbs(&tbs, &m, CS_SLICE_NULL) == CS_OK);
    sign(signature, t->fault == TESTDOC_OTHER_SIGNER ? root_authority(true)->key : key, cs_buf_slice(&tbs));
    signature[95] ^= t->fault == TESTDOC_BAD_SIGNATURE;
    if (t->fault == TESTDOC_TAGGED) {
        MUST(cs_cbor_put_tag(&out, CS_COSE_TAG_SIGN1) == CS_OK);
    }
    if (t->fault == TESTDOC_ALG_UNPROTECTED) {
        MUST(cs_cbor_put_array(&out, 4) == CS_OK && cs_cbor_put_bytes(&out, CS_SLICE_NULL) == CS_OK);
        MUST(cs_put(&out, es384_header, 4) == CS_OK && cs_cbor_put_bytes(&out, payload) == CS_OK);
        MUST(cs_cbor_put_bytes(&out, cs_slice_of(signature, 96)) == CS_OK);
    } else {
        MUST(cs_cose_sign1_put(&out, m.head.protected_bytes, payload, cs_slice_of(signature, 96)) == CS_OK);
    }
    cs_buf_free(&tbs);
    return cs_buf_slice(&out);
}

cs_slice testdoc_build(const testdoc *t)
{
    uint64_t base_s = t->timestamp_s != 0 ? t->timestamp_s : TESTDOC_TIME_S;
    cs_buf payload = cs_buf_heap(CS_ATT_MAX_DOC);
    chain c = make_chain(t, base_s);
    cs_slice out;

    put_payload(&payload, t, &c, base_s);
    out = put_document(t, c.leaf_key, cs_buf_slice(&payload));
    for (int i = 0; i < 4; i++) {
        OPENSSL_free(c.der[i]);
    }
    EVP_PKEY_free(c.leaf_key);
    cs_buf_free(&payload);
    return out;
}
