/*
 * The Nitro Security Module as core sees it: one call that takes a request and gives a response. Two providers: the device
 * (sign-core) and a unix socket to the emulator (sign-core-emulated, another object file).
 */
#ifndef CS_CORE_NSM_H
#define CS_CORE_NSM_H

#include "core/nsm/nsm_codec.h"

typedef struct cs_nsm {
    void *ctx;
    /* one exchange; response is empty with CS_NSM_RESPONSE_MAX bytes of room. CS_OK | CS_E_NSM (transport). */
    cs_err (*call)(void *ctx, cs_slice request, cs_buf *response);
    int fd; /* the device or socket, for the system call filter */
} cs_nsm;

/* cs_nsm_pcr_of - DescribePCR. CS_E_NSM (logged with the module's code). */
CS_MUST cs_err cs_nsm_pcr_of(const cs_nsm *nsm, unsigned index, cs_nsm_pcr *out);
/* cs_nsm_document - append a fresh attestation document. CS_E_NSM (logged) | CS_E_RANGE. */
CS_MUST cs_err cs_nsm_document(const cs_nsm *nsm, cs_buf *out, const cs_nsm_doc_args *args);

#endif
