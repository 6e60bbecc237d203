/*
 * Constant-time run of what the TEE service does with private keys and data keys, under valgrind memcheck (see ctime_mpc.c): keys are made,
 * checked, used to sign, and sealed. Not in it: opening (whether a tag is right is decided inside OpenSSL, on bytes that came from a
 * secret key), and inside libsecp256k1 what its own constant-time tests declassify (whether a nonce is in range, the point of a key
 * pair), which a library that was not built for valgrind reports: signing with ECDSA on secp256k1, BIP-340.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secret/rng.h"
#include "secret/seal.h"
#include "secret/sign/scheme.h"

#if !defined(CS_CTIME) && !defined(__cppcheck__)
#error "build with -Dctime=true"
#endif

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "ctime_tee: %s failed\n", what);
        exit(2);
    }
}

static void scheme(unsigned number)
{
    const cs_scheme *s = cs_scheme_of(number);
    cs_secret32 key, aux;
    cs_scheme_public pub;
    cs_scheme_sig sig;
    must(s != NULL && cs_scheme_generate(s, &key) == CS_OK, "generate");
    cs_scheme_aux(&aux, &key, cs_slice_str("body"));
    if (number == CS_SCHEME_BIP340) {
        return;
    }
    must(cs_scheme_public_key(s, &pub, &key) == CS_OK, "public key");
    if (number == CS_SCHEME_ECDSA_K1) {
        return;
    }
    cs_scheme_input in = {number != CS_SCHEME_ED25519, cs_slice_str("a digest of thirty-two bytes ..."), &aux};
    must(cs_scheme_sign(s, &sig, &key, &in) == CS_OK, "sign");
}

static void seal(void)
{
    uint8_t secret[32] = {1}, mem[128];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_secret32 data_key, plain;
    cs_seal_root root;
    cs_seal_about about = {cs_slice_str("key"), cs_slice_str("record"), CS_SEAL_PRIVATE_KEY, 1, 1};
    must(cs_random(data_key.b, 32) == CS_OK && cs_random(plain.b, 32) == CS_OK, "random");
    CS_CT_SECRET(data_key.b, 32);
    CS_CT_SECRET(plain.b, 32);
    cs_seal_root_init(&root, secret);
    must(cs_seal_put(&out, &(cs_seal_roots){&root, 1}, &data_key, &about, cs_slice_of(plain.b, 32)) == CS_OK, "seal");
}

int main(void)
{
    seal();
    for (unsigned n = 1; n <= 4; n++) {
        scheme(n);
    }
    return 0;
}
