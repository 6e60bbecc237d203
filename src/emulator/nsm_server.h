/* Sockets of the NSM model: docs/formats/launch.md, last section. */
#ifndef CS_EMULATOR_NSM_SERVER_H
#define CS_EMULATOR_NSM_SERVER_H

#include "emulator/nsm_model.h"
#include "net/loop.h"

typedef struct cs_emu_nsm_server cs_emu_nsm_server;

/* cs_emu_nsm_server_new - listen on DIR/nsm-control.sock. root is borrowed. CS_E_IO | CS_E_EXISTS | CS_E_NO_MEMORY ... */
CS_MUST cs_err cs_emu_nsm_server_new(cs_emu_nsm_server **out, cs_loop *l, const char *dir, const cs_emu_cert *root);
void cs_emu_nsm_server_free(cs_emu_nsm_server *s);
/*
 * cs_emu_nsm_create_parse - the line that asks for an instance: module id and PCRs into a fresh model. Pure.
 * CS_E_FORMAT (not JSON, unknown op or member, bad hex, index over 15).
 */
CS_MUST cs_err cs_emu_nsm_create_parse(cs_nsm_model *m, cs_slice line, const cs_emu_cert *root);

#endif
