/* The emulator as servers on a loop: HTTP for IMDS and S3, HTTPS for KMS, sockets for the NSM model. */
#ifndef CS_EMULATOR_SERVER_H
#define CS_EMULATOR_SERVER_H

#include "emulator/state.h"
#include "net/loop.h"

typedef struct cs_emu_server cs_emu_server;

typedef struct cs_emu_server_opts {
    cs_emu_options state;
    uint16_t imds_port, s3_port, kms_port; /* 0: any free */
    const char *const *buckets;            /* made when missing */
    size_t num_buckets;
    const char *const *roles; /* of IAM, made when missing */
    size_t num_roles;
} cs_emu_server_opts;

/*
 * cs_emu_server_new - open the state, make or load roots, listen on 127.0.0.1, write DIR/emulator.json (mode 0600: it holds the
 * administrator's throwaway key pair), DIR/ca.pem and DIR/nsm-root.pem. Strings of opts are borrowed.
 */
CS_MUST cs_err cs_emu_server_new(cs_emu_server **out, cs_loop *l, const cs_emu_server_opts *opts);
void cs_emu_server_free(cs_emu_server *s);

#endif
