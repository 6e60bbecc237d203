/* Inside of the installed C API of the TEE service: tee_api.c (opening), tee_ops.c (operations). */
#ifndef CS_PARTY_TEE_API_H
#define CS_PARTY_TEE_API_H

#include "countersign/tee.h"
#include "party/api_att.h"
#include "party/tee_client.h"

struct countersign_tee {
    cs_api_att att;
    cs_tee_identity *identity; /* arena; NULL: none */
    char *authorization;       /* arena; NULL: none */
    cs_tee_link *link;
    cs_tee_client *client;
    void (*on_audit)(void *cookie, const countersign_tee_audit *audit);
    void *audit_cookie;
};

#endif
