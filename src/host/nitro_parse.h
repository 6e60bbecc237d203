/*
 * What nitro-cli says: JSON on standard output, E-codes on standard error. Pure; both are treated as untrusted.
 * Source: specs/nitro-kms.md 8.3.
 */
#ifndef CS_HOST_NITRO_PARSE_H
#define CS_HOST_NITRO_PARSE_H

#include "base/bytes.h"

#define CS_NITRO_NAME_MAX 128
#define CS_NITRO_LIST_MAX 64

typedef enum cs_nitro_state { CS_NITRO_RUNNING, CS_NITRO_TERMINATING, CS_NITRO_OTHER } cs_nitro_state;

typedef struct cs_nitro_enclave {
    char name[CS_NITRO_NAME_MAX + 1]; /* "" when nitro-cli is too old to have names */
    char id[CS_NITRO_NAME_MAX + 1];   /* letters, digits, '-', '_', '.'; never begins with '-' */
    uint32_t cid;
    uint64_t memory_mib, cpus;
    cs_nitro_state state; /* of describe-enclaves; RUNNING otherwise */
    bool debug;
} cs_nitro_enclave;

/*
 * cs_nitro_parse_run - the object that run-enclave prints. cs_nitro_parse_list - the array of describe-enclaves, *out_num at most max.
 * Unknown members are passed over; EnclaveID and EnclaveCID must be there. CS_E_NITRO_ANSWER (anything else, a member twice, bytes behind).
 */
CS_MUST cs_err cs_nitro_parse_run(cs_nitro_enclave *out, cs_slice json);
CS_MUST cs_err cs_nitro_parse_list(cs_nitro_enclave *out, size_t *out_num, size_t max, cs_slice json);

/*
 * cs_nitro_error - the first E-code of standard error (the cause; wrappers come behind) as our error; *out_code its number, -1 when
 * there is none (CS_E_NITRO). text gets its line, printable characters only.
 */
cs_err cs_nitro_error(int *out_code, char text[200], cs_slice stderr_text);
/* cs_nitro_err_of - our error for an E-code. */
cs_err cs_nitro_err_of(int code);

#endif
