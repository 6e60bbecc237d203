/* Certificate chain of an attestation document, see chain.h. */
#include "attest/chain.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

typedef struct validity {
    uint64_t not_before_s, not_after_s;
} validity;

/* Takes exactly one certificate; NULL when it is not one. */
static X509 *parse_cert(cs_slice der)
{
    const unsigned char *p = der.p;
    X509 *cert = der.len > CS_ATT_MAX_CERT ? NULL : d2i_X509(NULL, &p, (long)der.len);

    if (cert != NULL && p != der.p + der.len) {
        X509_free(cert);
        cert = NULL;
    }
    return cert;
}

static bool epoch_of(const ASN1_TIME *t, uint64_t *out)
{
    struct tm tm;
    time_t s;

    if (ASN1_TIME_to_tm(t, &tm) != 1) {
        return false;
    }
    s = timegm(&tm);
    *out = (uint64_t)s;
    return s >= 0;
}

/* Only the extensions that are checked here may be critical, and each of these at most once. */
static bool extensions_understood(const X509 *cert)
{
    int num_basic = 0, num_usage = 0;

    for (int i = 0; i < X509_get_ext_count(cert); i++) {
        X509_EXTENSION *ext = X509_get_ext(cert, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(ext));

        num_basic += nid == NID_basic_constraints;
        num_usage += nid == NID_key_usage;
        if (X509_EXTENSION_get_critical(ext) && nid != NID_basic_constraints && nid != NID_key_usage) {
            return false;
        }
    }
    return num_basic <= 1 && num_usage <= 1;
}

/* What holds for every certificate: X.509 v3, P-384 key, ecdsa-with-SHA384, extensions that parse and are understood. */
static bool profile_ok(X509 *cert)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    char group[32] = {0};
    size_t group_len = 0;

    return X509_get_version(cert) == 2 && X509_get_signature_nid(cert) == NID_ecdsa_with_SHA384 && key != NULL &&
           EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(key, group, sizeof group, &group_len) == 1 && strcmp(group, "secp384r1") == 0 &&
           (X509_get_extension_flags(cert) & EXFLAG_INVALID) == 0 && extensions_understood(cert);
}

/* num_below: how many CA certificates stand between this one and the leaf. */
static bool ca_ok(X509 *cert, size_t num_below)
{
    uint32_t flags = X509_get_extension_flags(cert);
    long pathlen = X509_get_pathlen(cert);

    return (flags & EXFLAG_BCONS) != 0 && (flags & EXFLAG_CA) != 0 && (flags & EXFLAG_KUSAGE) != 0 &&
           (X509_get_key_usage(cert) & KU_KEY_CERT_SIGN) != 0 && (pathlen < 0 || (size_t)pathlen >= num_below);
}

static bool leaf_ok(X509 *cert)
{
    uint32_t flags = X509_get_extension_flags(cert);

    return (flags & EXFLAG_CA) == 0 && X509_get_pathlen(cert) < 0 && (flags & EXFLAG_KUSAGE) != 0 &&
           (X509_get_key_usage(cert) & KU_DIGITAL_SIGNATURE) != 0;
}

static cs_err check_time(const X509 *cert, const cs_att_chain_args *args, validity *out)
{
    if (!epoch_of(X509_get0_notBefore(cert), &out->not_before_s) ||
        !epoch_of(X509_get0_notAfter(cert), &out->not_after_s)) {
        return CS_E_ATT_CHAIN;
    }
    return args->time_s + args->leeway_s >= out->not_before_s && args->time_s <= out->not_after_s ? CS_OK
                                                                                                  : CS_E_ATT_TIME;
}

static bool same_name(const X509_NAME *a, const X509_NAME *b)
{
    const unsigned char *a_der = NULL, *b_der = NULL;
    size_t a_len = 0, b_len = 0;

    return X509_NAME_get0_der(a, &a_der, &a_len) == 1 && X509_NAME_get0_der(b, &b_der, &b_len) == 1 &&
           cs_slice_eq(cs_slice_of(a_der, a_len), cs_slice_of(b_der, b_len));
}

/* issuer signed cert: names as raw DER (their order of parts differs between levels), then the signature. */
static bool issued_by(X509 *cert, X509 *issuer)
{
    return same_name(X509_get_issuer_name(cert), X509_get_subject_name(issuer)) &&
           X509_verify(cert, X509_get0_pubkey(issuer)) == 1;
}

/* Replaces *issuer, which must be the current end of the chain, by the CA certificate der. */
static cs_err descend(X509 **issuer, cs_slice der, size_t num_below, const cs_att_chain_args *args)
{
    X509 *cert = parse_cert(der);
    validity v;
    cs_err err = CS_E_ATT_CHAIN;

    if (cert == NULL) {
        return CS_E_ATT_FORMAT;
    }
    if (profile_ok(cert) && ca_ok(cert, num_below) && (*issuer == NULL || issued_by(cert, *issuer))) {
        err = check_time(cert, args, &v);
    }
    if (err != CS_OK) {
        X509_free(cert);
        return err;
    }
    X509_free(*issuer);
    *issuer = cert; /* transferred */
    return CS_OK;
}

static cs_err take_leaf(cs_att_leaf *out, X509 *issuer, cs_slice der, const cs_att_chain_args *args)
{
    X509 *cert = parse_cert(der);
    cs_err err = CS_E_ATT_CHAIN;
    validity v = {0};

    if (cert == NULL) {
        return CS_E_ATT_FORMAT;
    }
    if (profile_ok(cert) && leaf_ok(cert) && issued_by(cert, issuer)) {
        err = check_time(cert, args, &v);
    }
    if (err != CS_OK) {
        X509_free(cert);
        return err;
    }
    *out = (cs_att_leaf){cert, v.not_before_s, v.not_after_s}; /* transferred */
    return CS_OK;
}

static cs_slice der_of(const cs_att_cert *cert)
{
    return cs_slice_of(cert->der, cert->len);
}

cs_err cs_att_chain_verify(cs_att_leaf *out, const cs_att_doc *doc, const cs_att_chain_args *args)
{
    size_t num = doc->num_cabundle;
    X509 *issuer = NULL;
    cs_err err = CS_OK;

    if (num == 0 || !cs_slice_eq(der_of(&doc->cabundle[0]), args->root_der)) {
        return CS_E_ATT_CHAIN;
    }
    for (size_t i = 0; err == CS_OK && i < num; i++) {
        /* the first is the pinned root itself, not the document's copy */
        err = descend(&issuer, i == 0 ? args->root_der : der_of(&doc->cabundle[i]), num - 1 - i, args);
    }
    if (err == CS_OK) {
        err = take_leaf(out, issuer, der_of(&doc->leaf), args);
    }
    X509_free(issuer);
    ERR_clear_error();
    return err;
}
