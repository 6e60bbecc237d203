/* Shared by opts.c, opts_help.c and opts_complete.c only. */
#ifndef CS_BASE_OPTS_INT_H
#define CS_BASE_OPTS_INT_H

#include <stdio.h>

#include "base/opts.h"

/* The program as a whole: what the generated texts are made from. */
typedef struct cs_opts_program {
    const char *name;
    const char *about;
    const cs_cmd *cmds;
} cs_opts_program;

/* cs_opts_help_program, cs_opts_help_cmd - the text of --help. */
void cs_opts_help_program(FILE *out, const cs_opts_program *p);
void cs_opts_help_cmd(FILE *out, const cs_opts_program *p, const cs_cmd *c);
/* cs_opts_man - the man page of the program, roff(7), section 1. */
void cs_opts_man(FILE *out, const cs_opts_program *p);
/* cs_opts_complete - completion script; CS_E_NOT_FOUND for a shell other than bash, zsh and fish. */
CS_MUST cs_err cs_opts_complete(FILE *out, const cs_opts_program *p, const char *shell);
/* cs_opts_version - "name version (build id ...)" and what the hook adds. */
void cs_opts_version(FILE *out, const char *program);

#endif
