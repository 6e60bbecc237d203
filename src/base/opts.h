/*
 * Options of a program: one table makes the parser, --help, the man page and the shell completion.
 * Long options are --name VALUE or --name=VALUE; short ones -x VALUE. "--" ends options. Unknown options are CS_E_USAGE
 * and name the nearest known one; so is an option with a value that is given twice (CS_OPT_MANY excepted).
 * Exit status by convention: 0 done, 1 refused, 2 usage.
 */
#ifndef CS_BASE_OPTS_H
#define CS_BASE_OPTS_H

#include <stdio.h>

#include "base/bytes.h"

typedef enum cs_opt_kind { CS_OPT_FLAG, CS_OPT_STR, CS_OPT_U64, CS_OPT_MANY /* may repeat, strings */ } cs_opt_kind;

#define CS_OPT_MAX_MANY 32

typedef struct cs_opt {
    const char *name; /* long name without dashes */
    char letter;      /* short name or 0 */
    cs_opt_kind kind;
    const char *arg;   /* name of the value in help, e.g. "FILE"; NULL for flags */
    const char *help;  /* one line */
    const char *env;   /* environment variable that gives the default, or NULL; never for secrets */
    const char *def;   /* default as text, or NULL */
    uint64_t min, max; /* CS_OPT_U64: range (max 0: no limit) */
} cs_opt;

struct cs_args;

/* A command or sub-command. */
typedef struct cs_cmd {
    const char *name;                       /* "age keygen" */
    const char *synopsis;                   /* "[-o FILE]" */
    const char *summary;                    /* one line */
    const char *text;                       /* paragraphs behind the options: description and examples; may be NULL */
    const cs_opt *opts;                     /* ends with name == NULL */
    int min_args, max_args;                 /* positional; max -1: any number */
    int (*run)(const struct cs_args *args); /* returns the exit status */
} cs_cmd;

typedef struct cs_args {
    const char *program;
    const cs_cmd *cmd;
    const char *value[64];             /* by index in cmd->opts; flags: "1" when given; NULL when absent */
    const char *many[CS_OPT_MAX_MANY]; /* values of CS_OPT_MANY options, in order */
    uint8_t many_opt[CS_OPT_MAX_MANY]; /* which option each belongs to */
    size_t num_many;
    const char *const *pos;
    size_t num_pos;
} cs_args;

/*
 * cs_args_str, _u64, _flag - by option name; an unknown name is a bug and aborts. Order: command line, environment,
 * default. Absent: NULL, 0, false. Numbers were checked against min and max before run is called.
 */
const char *cs_args_str(const cs_args *a, const char *name);
uint64_t cs_args_u64(const cs_args *a, const char *name);
bool cs_args_flag(const cs_args *a, const char *name);
/* cs_args_many - the i-th value of a CS_OPT_MANY option, from 0; NULL at the end. */
const char *cs_args_many(const cs_args *a, const char *name, size_t i);

/*
 * cs_cmd_main - main() of a program with a table of commands (ends with name == NULL). A program without sub-commands has
 * one entry with name "". Handles --help, --version (version, build id), "help COMMAND", "completion bash|zsh|fish" and
 * "man" (roff on standard output). Returns the exit status.
 */
int cs_cmd_main(const char *program, const char *about, const cs_cmd *cmds, int argc, char **argv);
/* cs_cmd_on_version - print is called behind the lines of --version, e.g. to add the PCRs of an image; NULL: none. */
void cs_cmd_on_version(void (*print)(FILE *out));
/* cs_usage_error - "program: text" and a hint to --help on stderr; returns 2. */
__attribute__((format(printf, 2, 3))) int cs_usage_error(const cs_args *a, const char *fmt, ...);
/* cs_refuse - print code, cause and fix of e on stderr (JSON on stdout when json); returns 1. detail may be NULL. */
int cs_refuse(const cs_args *a, cs_err e, bool json, const char *detail);

#endif
