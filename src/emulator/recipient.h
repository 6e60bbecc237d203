/*
 * CiphertextForRecipient as KMS makes it: CMS EnvelopedData in BER with indefinite lengths, RSA-OAEP-SHA-256 and AES-256-CBC.
 * Source: specs/nitro-kms.md 3.1, 3.3.
 */
#ifndef CS_EMULATOR_RECIPIENT_H
#define CS_EMULATOR_RECIPIENT_H

#include "base/bytes.h"

typedef enum cs_emu_cms_form {
    CS_EMU_CMS_CONSTRUCTED, /* [0] constructed, one OCTET STRING */
    CS_EMU_CMS_PRIMITIVE,   /* [0] primitive */
    CS_EMU_CMS_SEGMENTS,    /* [0] constructed, two OCTET STRINGs; legal, KMS has not been seen to send it */
} cs_emu_cms_form;

#define CS_EMU_CMS_MAX_PLAIN 4096u

/*
 * cs_emu_recipient_seal - encrypt plain (1..CS_EMU_CMS_MAX_PLAIN bytes) to the RSA key spki (DER, 2048..4096 bits) with a fresh
 * key and IV; appended to out. CS_E_FORMAT (no such RSA key) | CS_E_RANGE | CS_E_INTERNAL
 */
CS_MUST cs_err cs_emu_recipient_seal(cs_buf *out, cs_slice spki, cs_slice plain, cs_emu_cms_form form);

#endif
