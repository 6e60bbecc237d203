/*
 * The three steps of cs_cms_open behind its parser, each held to vectors of its own. For secret/cms.c and tests
 * only.
 */
#ifndef CS_SECRET_CMS_INT_H
#define CS_SECRET_CMS_INT_H

#include "secret/cms.h"

#define CS_CMS_RSA_MAX 512 /* bytes of a modulus */

/* RSAES-OAEP (SHA-256, MGF1 with SHA-256, empty label) into plain, CS_CMS_RSA_MAX bytes, secret. */
bool cs_cms_oaep(uint8_t *plain, size_t *len, cs_slice wrapped, EVP_PKEY *key);
/* AES-256-CBC of f->content without padding into out, f->content_len bytes. */
bool cs_cms_blocks(uint8_t *out, const cs_cms_fields *f, const cs_secret32 *key);
/*
 * PKCS#7: 1..16 bytes of that value at the end (len >= 16). All 16 are looked at, whatever they are; 0 when they
 * are wrong.
 */
size_t cs_cms_padding(const uint8_t *plain, size_t len);

#endif
