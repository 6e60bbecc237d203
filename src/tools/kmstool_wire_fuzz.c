/*
 * Target: cs_kmstool_read_answer, cs_kmstool_read_document
 * First byte: operation and status; the rest an answer of KMS and a response of NSM. What is taken keeps its bounds; a message has
 * nothing but printable characters.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/kmstool_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_kmstool_answer a;
    static uint8_t mem[CS_KMSTOOL_DOCUMENT_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    if (size == 0) {
        return 0;
    }
    const cs_kmstool_ask ask = {.op = (cs_kmstool_op)(data[0] % 3),
                                .key_id = (data[0] & 0x10) != 0 ? "arn:aws:kms:r:1:key/k" : NULL};
    cs_slice rest = cs_slice_of(data + 1, size - 1);
    cs_err err = cs_kmstool_read_answer(&a, &ask, (data[0] & 0x80) != 0 ? 400 : 200, rest, rest);
    if (a.envelope_len > sizeof a.envelope || a.ciphertext_len > sizeof a.ciphertext ||
        (err == CS_OK && a.envelope_len == 0)) {
        abort();
    }
    for (const char *p = a.message; *p != '\0'; p++) {
        if (*p < 0x20 || *p > 0x7e) {
            abort();
        }
    }
    if (cs_kmstool_read_document(&out, rest) == CS_OK ? out.len == 0 : out.len != 0) {
        abort();
    }
    return 0;
}
