#include "base/opts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_out.h"
#include "base/opts_int.h"
#include "base/text.h"

#define STATUS_DONE 0
#define STATUS_REFUSED 1
#define STATUS_USAGE 2
#define NAME_MAX_BYTES 64
#define MAX_OPTS (sizeof((cs_args *)0)->value / sizeof((cs_args *)0)->value[0])

static size_t num_opts(const cs_cmd *c)
{
    size_t n = 0;
    while (c->opts != NULL && c->opts[n].name != NULL) {
        n++;
    }
    if (n > MAX_OPTS) {
        abort(); /* a table larger than cs_args can hold is a bug */
    }
    return n;
}

static size_t index_of(const cs_args *a, const char *name)
{
    size_t n = num_opts(a->cmd);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(a->cmd->opts[i].name, name) == 0) {
            return i;
        }
    }
    abort(); /* the program asks for an option that its table does not have */
}

const char *cs_args_str(const cs_args *a, const char *name)
{
    return a->value[index_of(a, name)];
}

bool cs_args_flag(const cs_args *a, const char *name)
{
    return a->value[index_of(a, name)] != NULL;
}

const char *cs_args_many(const cs_args *a, const char *name, size_t i)
{
    const size_t option = index_of(a, name);

    for (size_t k = 0; k < a->num_many; k++) {
        if (a->many_opt[k] == option && i-- == 0) {
            return a->many[k];
        }
    }
    return NULL;
}

uint64_t cs_args_u64(const cs_args *a, const char *name)
{
    const char *text = a->value[index_of(a, name)];
    uint64_t v = 0;
    /* given values were checked by the parser; an absent one without default is 0 */
    if (text != NULL && cs_parse_u64(cs_slice_str(text), UINT64_MAX, &v) != CS_OK) {
        abort();
    }
    return v;
}

static void usage_hint(const cs_args *a)
{
    bool named = a->cmd != NULL && a->cmd->name != NULL && a->cmd->name[0] != '\0';
    fprintf(stderr, "see: %s%s%s --help\n", a->program, named ? " " : "", named ? a->cmd->name : "");
}

int cs_usage_error(const cs_args *a, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "%s: ", a->program);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    usage_hint(a);
    return STATUS_USAGE;
}

int cs_refuse(const cs_args *a, cs_err e, bool json, const char *detail)
{
    if (!json) {
        fprintf(stderr, "%s: %s: %s%s%s\nfix: %s\n", a->program, cs_err_code(e), cs_err_cause(e),
                detail != NULL ? ": " : "", detail != NULL ? detail : "", cs_err_fix(e));
        return STATUS_REFUSED;
    }
    cs_buf out = cs_buf_heap(16384);
    cs_jw w = cs_jw_begin(&out);
    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "code", cs_err_code(e));
    cs_jw_cstr(&w, "cause", cs_err_cause(e));
    cs_jw_cstr(&w, "fix", cs_err_fix(e));
    if (detail != NULL) {
        cs_jw_cstr(&w, "detail", detail);
    }
    cs_jw_close_object(&w);
    if (cs_jw_end(&w) == CS_OK) {
        printf("%.*s\n", (int)out.len, (const char *)out.p);
    } else {
        printf("{\"code\":\"%s\"}\n", cs_err_code(e));
    }
    cs_buf_free(&out);
    return STATUS_REFUSED;
}

/* keeps the nearest of the names offered; only one that shares more than it differs is worth a hint */
typedef struct nearest {
    const char *word, *best;
    size_t distance;
} nearest;

static void nearest_offer(nearest *n, const char *name)
{
    size_t d = cs_edit_distance(n->word, name);
    size_t limit = strlen(n->word) / 3 + 1;
    if (d <= limit && d < n->distance) {
        n->best = name;
        n->distance = d;
    }
}

static int unknown_option(const cs_args *a, const char *given, const char *word)
{
    nearest near = {word, NULL, NAME_MAX_BYTES};
    for (size_t i = 0; a->cmd != NULL && i < num_opts(a->cmd); i++) {
        nearest_offer(&near, a->cmd->opts[i].name);
    }
    nearest_offer(&near, "help");
    if (a->cmd == NULL) { /* in the place of a command */
        nearest_offer(&near, "version");
    }
    if (near.best != NULL) {
        return cs_usage_error(a, "unknown option %s; did you mean --%s?", given, near.best);
    }
    return cs_usage_error(a, "unknown option %s", given);
}

typedef enum source { FROM_ARGV, FROM_ENVIRONMENT, FROM_TABLE } source;

/* checks one value and stores it; the text stays where it is (argv, environment, table) */
static int store(cs_args *a, size_t i, const char *value, source from)
{
    const cs_opt *o = &a->cmd->opts[i];
    if (o->kind == CS_OPT_MANY) {
        if (a->num_many == CS_OPT_MAX_MANY) {
            return cs_usage_error(a, "--%s: more than %d values", o->name, CS_OPT_MAX_MANY);
        }
        a->many[a->num_many] = value;
        a->many_opt[a->num_many++] = (uint8_t)i;
        a->value[i] = value;
        return STATUS_DONE;
    }
    if (from == FROM_ARGV && a->value[i] != NULL && o->kind != CS_OPT_FLAG) {
        return cs_usage_error(a, "--%s is given twice", o->name);
    }
    if (o->kind == CS_OPT_U64) {
        uint64_t v = 0, max = o->max != 0 ? o->max : UINT64_MAX;
        bool good = cs_parse_u64(cs_slice_str(value), max, &v) == CS_OK && v >= o->min;
        if (!good && from == FROM_ENVIRONMENT) {
            return cs_usage_error(a, "environment variable %s is %.64s: expected a number from %llu to %llu", o->env,
                                  value, (unsigned long long)o->min, (unsigned long long)max);
        }
        if (!good) {
            return cs_usage_error(a, "--%s: expected a number from %llu to %llu", o->name, (unsigned long long)o->min,
                                  (unsigned long long)max);
        }
    }
    a->value[i] = value;
    return STATUS_DONE;
}

/* One "--name", "--name=value" or "-x" at argv[*at]; *at moves behind what was used. */
static int parse_option(cs_args *a, int argc, char **argv, int *at)
{
    const char *given = argv[(*at)++];
    const char *eq = given[1] == '-' ? strchr(given, '=') : NULL;
    char name[NAME_MAX_BYTES + 1] = "";
    size_t len = strlen(given);
    if (given[1] == '-') {
        len = (eq != NULL ? (size_t)(eq - given) : len) - 2;
        if (len > NAME_MAX_BYTES) {
            return cs_usage_error(a, "unknown option");
        }
        memcpy(name, given + 2, len);
        name[len] = '\0';
    }
    for (size_t i = 0; i < num_opts(a->cmd); i++) {
        const cs_opt *o = &a->cmd->opts[i];
        bool is_short = given[1] != '-' && given[1] == o->letter && given[2] == '\0';
        if (!is_short && (given[1] != '-' || strcmp(name, o->name) != 0)) {
            continue;
        }
        if (o->kind == CS_OPT_FLAG) {
            return eq != NULL ? cs_usage_error(a, "--%s takes no value", o->name) : store(a, i, "1", FROM_ARGV);
        }
        if (eq != NULL) {
            return store(a, i, eq + 1, FROM_ARGV);
        }
        if (*at >= argc) {
            return cs_usage_error(a, "--%s needs a value (%s)", o->name, o->arg != NULL ? o->arg : "VALUE");
        }
        return store(a, i, argv[(*at)++], FROM_ARGV);
    }
    return unknown_option(a, given, given[1] == '-' ? name : given + 1);
}

static int fill_defaults(cs_args *a)
{
    for (size_t i = 0; i < num_opts(a->cmd); i++) {
        const cs_opt *o = &a->cmd->opts[i];
        const char *env = a->value[i] == NULL && o->env != NULL ? getenv(o->env) : NULL;
        bool from_env = env != NULL && env[0] != '\0';
        const char *value = from_env ? env : o->def;
        if (a->value[i] == NULL && value != NULL) {
            int status = store(a, i, value, from_env ? FROM_ENVIRONMENT : FROM_TABLE);
            if (status != STATUS_DONE) {
                return status;
            }
        }
    }
    return STATUS_DONE;
}

static bool is_help(const char *s)
{
    return strcmp(s, "--help") == 0 || strcmp(s, "-h") == 0;
}

/* Options and positional arguments of one command, then the command itself. pos has room for argc pointers. */
static int parse_and_run(const cs_opts_program *p, const cs_cmd *cmd, int argc, char **argv, const char **pos)
{
    cs_args a = {.program = p->name, .cmd = cmd, .pos = pos};
    bool options = true;
    for (int at = 0; at < argc;) {
        const char *s = argv[at];
        if (options && strcmp(s, "--") == 0) {
            options = false;
            at++;
        } else if (options && is_help(s)) {
            cs_opts_help_cmd(stdout, p, cmd);
            return STATUS_DONE;
        } else if (options && s[0] == '-' && s[1] != '\0') {
            int status = parse_option(&a, argc, argv, &at);
            if (status != STATUS_DONE) {
                return status;
            }
        } else {
            pos[a.num_pos++] = s;
            at++;
        }
    }
    int status = fill_defaults(&a);
    if (status != STATUS_DONE) {
        return status;
    }
    if (a.num_pos < (size_t)cmd->min_args) {
        return cs_usage_error(&a, "too few arguments; usage: %s %s%s%s", p->name, cmd->name,
                              cmd->name[0] != '\0' ? " " : "", cmd->synopsis);
    }
    if (cmd->max_args >= 0 && a.num_pos > (size_t)cmd->max_args) {
        return cs_usage_error(&a, "unexpected argument: %s", a.pos[cmd->max_args]);
    }
    return cmd->run(&a);
}

/* how many words of argv make the name of c: 0 when it is another command */
static int match_words(const cs_cmd *c, int argc, char **argv)
{
    const char *rest = c->name;
    int n = 0;
    while (*rest != '\0') {
        size_t len = strcspn(rest, " ");
        if (n >= argc || strlen(argv[n]) != len || memcmp(argv[n], rest, len) != 0) {
            return 0;
        }
        n++;
        rest += len;
        rest += *rest == ' ';
    }
    return n;
}

static const cs_cmd *find_cmd(const cs_opts_program *p, int argc, char **argv, int *words)
{
    const cs_cmd *best = NULL;
    *words = 0;
    for (const cs_cmd *c = p->cmds; c->name != NULL; c++) {
        int n = match_words(c, argc, argv);
        if (n > *words || (n == 0 && best == NULL && c->name[0] == '\0')) {
            best = c;
            *words = n;
        }
    }
    return best;
}

static int unknown_cmd(const cs_opts_program *p, int argc, char **argv)
{
    cs_args a = {.program = p->name};
    char two[2 * NAME_MAX_BYTES + 2];
    bool second = argc > 1 && argv[1][0] != '-';
    (void)snprintf(two, sizeof two, "%.*s%s%.*s", NAME_MAX_BYTES, argv[0], second ? " " : "", NAME_MAX_BYTES,
                   second ? argv[1] : "");
    nearest near = {two, NULL, NAME_MAX_BYTES};
    nearest near1 = {argv[0], NULL, NAME_MAX_BYTES};
    bool group = false;
    for (const cs_cmd *c = p->cmds; c->name != NULL; c++) {
        size_t len = strlen(argv[0]);
        nearest_offer(&near, c->name);
        nearest_offer(&near1, c->name);
        if (strncmp(c->name, argv[0], len) == 0 && c->name[len] == ' ') {
            fprintf(stderr, "%s    %s %s %s\n", group ? "" : "commands:\n", p->name, c->name, c->synopsis);
            group = true;
        }
    }
    near = near.best != NULL ? near : near1;
    if (near.best != NULL) {
        return cs_usage_error(&a, "unknown command %s; did you mean \"%s\"?", second ? two : argv[0], near.best);
    }
    return cs_usage_error(&a, group ? "the command %s needs one more word" : "unknown command %s", argv[0]);
}

static int run_help(const cs_opts_program *p, int argc, char **argv)
{
    int words = 0;
    const cs_cmd *c = argc > 0 ? find_cmd(p, argc, argv, &words) : NULL;
    if (argc > 0 && (c == NULL || words == 0)) {
        return unknown_cmd(p, argc, argv);
    }
    if (c != NULL) {
        cs_opts_help_cmd(stdout, p, c);
    } else {
        cs_opts_help_program(stdout, p);
    }
    return STATUS_DONE;
}

/* The words that every program understands in the place of a command. Returns -1 when argv[0] is none of them. */
static int run_builtin(const cs_opts_program *p, int argc, char **argv)
{
    cs_args a = {.program = p->name};
    if (is_help(argv[0])) {
        return run_help(p, 0, NULL);
    }
    if (strcmp(argv[0], "--version") == 0) {
        cs_opts_version(stdout, p->name);
        return STATUS_DONE;
    }
    if (strcmp(argv[0], "help") == 0) {
        return run_help(p, argc - 1, argv + 1);
    }
    if (strcmp(argv[0], "man") == 0 && argc == 1) {
        cs_opts_man(stdout, p);
        return STATUS_DONE;
    }
    if (strcmp(argv[0], "completion") == 0) {
        if (argc != 2 || cs_opts_complete(stdout, p, argv[1]) != CS_OK) {
            return cs_usage_error(&a, "usage: %s completion bash|zsh|fish", p->name);
        }
        return STATUS_DONE;
    }
    return -1;
}

static int dispatch(const cs_opts_program *p, int argc, char **argv)
{
    cs_args a = {.program = p->name};
    int status = argc > 0 ? run_builtin(p, argc, argv) : -1;
    if (status >= 0) {
        return status;
    }
    int words = 0;
    const cs_cmd *c = find_cmd(p, argc, argv, &words);
    if (c == NULL && argc == 0) {
        return cs_usage_error(&a, "a command is needed");
    }
    if (c == NULL && argv[0][0] == '-') {
        return unknown_option(&a, argv[0], argv[0] + strspn(argv[0], "-"));
    }
    if (c == NULL) {
        return unknown_cmd(p, argc, argv);
    }
    const char **pos = calloc((size_t)argc + 1, sizeof *pos);
    if (pos == NULL) {
        return cs_refuse(&a, CS_E_NO_MEMORY, false, NULL);
    }
    status = parse_and_run(p, c, argc - words, argv + words, pos);
    free(pos);
    return status;
}

int cs_cmd_main(const char *program, const char *about, const cs_cmd *cmds, int argc, char **argv)
{
    cs_opts_program p = {program, about, cmds};
    int status = dispatch(&p, argc > 0 ? argc - 1 : 0, argv + 1);
    /* a full disk or closed pipe must not look like success */
    if (fflush(stdout) != 0 && status == STATUS_DONE) {
        cs_args a = {.program = program};
        status = cs_refuse(&a, CS_E_IO, false, "standard output");
    }
    return status;
}
