/*
 * Certificates of the emulator: its NSM root with the chain below it, and the CA of its TLS endpoints. Throwaway keys, kept in
 * the emulator's folder so that a restart keeps the roots. Never part of a shipped program.
 * Source: specs/nitro-kms.md 5.3.
 */
#ifndef CS_EMULATOR_PKI_H
#define CS_EMULATOR_PKI_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/bytes.h"

typedef struct cs_emu_cert {
    X509 *cert;
    EVP_PKEY *key;
} cs_emu_cert;

typedef struct cs_emu_cert_spec {
    const char *cn;
    bool nitro; /* C=US, O=Amazon, OU=AWS before the CN; P-384 and SHA-384 instead of P-256 and SHA-256 */
    bool ca;
    int pathlen;           /* CA: -1 none */
    const char *key_usage; /* OpenSSL's text, e.g. "critical,digitalSignature" */
    const char *alt_names; /* OpenSSL's text or NULL */
    bool identifiers;      /* SKI and AKI */
    int64_t not_before_s;  /* since 1970 */
    int64_t lifetime_s;
} cs_emu_cert_spec;

/* cs_emu_cert_issue - a new key and its certificate, signed by issuer (NULL: by itself). CS_E_INTERNAL. */
CS_MUST cs_err cs_emu_cert_issue(cs_emu_cert *out, const cs_emu_cert *issuer, const cs_emu_cert_spec *spec);
/* cs_emu_cert_load - from DIR/name.pem and DIR/name.key; CS_E_NOT_FOUND, CS_E_FORMAT. cs_emu_cert_save - the same (key mode 0600). */
CS_MUST cs_err cs_emu_cert_load(cs_emu_cert *out, const char *dir, const char *name);
CS_MUST cs_err cs_emu_cert_save(const cs_emu_cert *c, const char *dir, const char *name);
/* cs_emu_cert_der - append the DER form. */
CS_MUST cs_err cs_emu_cert_der(cs_buf *out, const cs_emu_cert *c);
void cs_emu_cert_cleanup(cs_emu_cert *c);

/* The chain of one enclave: regional, zonal, instance, leaf, below a root that the caller keeps. */
#define CS_EMU_LEAF_S (3 * 3600 + 3)
typedef struct cs_emu_chain {
    cs_emu_cert level[4];
    int64_t leaf_end_s;
} cs_emu_chain;
CS_MUST cs_err cs_emu_chain_issue(cs_emu_chain *out, const cs_emu_cert *root, const char *module_id, int64_t now_s);
void cs_emu_chain_cleanup(cs_emu_chain *c);
/* cs_emu_root_issue - a root with the shape of AWS's, but another name (so that it can never be mistaken for it). */
CS_MUST cs_err cs_emu_root_issue(cs_emu_cert *out, int64_t now_s);

#endif
