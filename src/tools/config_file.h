/* A configuration as the commands take it: a YAML file, the certificates it names and --set KEY=VALUE. */
#ifndef CS_TOOLS_CONFIG_FILE_H
#define CS_TOOLS_CONFIG_FILE_H

#include "base/opts.h"
#include "tools/config_compile.h"

typedef struct cs_config_file {
    cs_buf yaml;      /* as given */
    cs_buf cbor;      /* compiled */
    cs_buf ca;        /* PEM certificates that are in it */
    char detail[512]; /* file, line and fault, when there is one; else empty */
} cs_config_file;

/*
 * cs_config_file_load - the options named --set of a (its only CS_OPT_MANY) come before the file. CS_E_USAGE (a --set that is not
 * KEY=VALUE) | CS_E_NOT_FOUND | CS_E_IO | what cs_config_compile says. Free with cs_config_file_cleanup, after an error too.
 */
CS_MUST cs_err cs_config_file_load(cs_config_file *out, const char *path, const cs_args *a);
void cs_config_file_cleanup(cs_config_file *c);

#endif
