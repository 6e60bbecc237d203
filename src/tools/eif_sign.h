/* Signing an enclave image with a key from files. The private key is a secret: it is read into the arena and leaves nothing behind:
 * the caller has made an arena of CS_EIF_SIGN_ARENA bytes (cs_tool_arena). */
#ifndef CS_TOOLS_EIF_SIGN_H
#define CS_TOOLS_EIF_SIGN_H

#include "attest/eif_signature.h"

#define CS_EIF_SIGN_ARENA ((size_t)1 << 20)

/*
 * cs_eif_sign - append a signature section's bytes for an image with this PCR0. PEM files; the key on P-256, P-384 or P-521, not
 * encrypted, the certificate's own, the certificate within its validity. *out_what says which of the two an error is about.
 * CS_E_EIF_SIGNER | CS_E_NOT_FOUND | CS_E_IO | CS_E_TOO_LARGE | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_eif_sign(cs_buf *out, cs_pcr *out_pcr8, const char **out_what, const char *certificate_file,
                           const char *key_file, const cs_pcr *pcr0);
/*
 * cs_eif_attach - eif without its signature section, if it had one, and with this one at the end. CS_E_EIF_SECTIONS (no room).
 * body must outlive eif.
 */
CS_MUST cs_err cs_eif_attach(cs_eif *eif, cs_slice body);

#endif
