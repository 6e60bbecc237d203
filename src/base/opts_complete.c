/* Completion scripts for bash, zsh and fish, from the same tables as the parser. */
#include <string.h>

#include "base/opts_int.h"

/* a shell function name: the program's name with everything else than letters and digits as "_" */
static void put_ident(FILE *out, const char *name)
{
    for (; *name != '\0'; name++) {
        bool word = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || (*name >= '0' && *name <= '9');
        fputc(word ? *name : '_', out);
    }
}

/* the text inside single quotes of a POSIX shell, colons escaped on request (zsh's _describe) */
static void put_quoted(FILE *out, const char *text, bool escape_colon)
{
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs("'\\''", out);
        } else {
            fputs(*text == ':' && escape_colon ? "\\:" : "", out);
            fputc(*text == '\n' ? ' ' : *text, out);
        }
    }
    fputc('\'', out);
}

static bool has_file_arg(const cs_opt *o)
{
    return o->arg != NULL && (strstr(o->arg, "FILE") != NULL || strstr(o->arg, "DIR") != NULL ||
                              strstr(o->arg, "PEM") != NULL || strstr(o->arg, "PATH") != NULL);
}

static void put_long_options(FILE *out, const cs_cmd *c)
{
    for (const cs_opt *o = c->opts; o != NULL && o->name != NULL; o++) {
        fprintf(out, " --%s", o->name);
    }
    fputs(" --help", out);
}

static void bash(FILE *out, const cs_opts_program *p)
{
    fputs("_", out);
    put_ident(out, p->name);
    fputs("() {\n    local cur=${COMP_WORDS[COMP_CWORD]} cmd=\"\" i\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        [[ ${COMP_WORDS[i]} == -* ]] || cmd=\"${cmd:+$cmd }${COMP_WORDS[i]}\"\n    done\n"
          "    case \"$cmd\" in\n",
          out);
    /* longer names first, so that "age keygen" is not taken for "age" */
    for (int words = 2; words >= 0; words--) {
        for (const cs_cmd *c = p->cmds; c->name != NULL; c++) {
            int n = c->name[0] == '\0' ? 0 : (strchr(c->name, ' ') != NULL ? 2 : 1);
            if (n == words && n > 0) {
                fprintf(out, "        \"%s\"|\"%s \"*) COMPREPLY=($(compgen -f -W \"", c->name, c->name);
                put_long_options(out, c);
                fputs("\" -- \"$cur\")) ;;\n", out);
            } else if (n == words) {
                fputs("        *) COMPREPLY=($(compgen -f -W \"", out);
                put_long_options(out, c);
                fputs(" --version\" -- \"$cur\")) ;;\n", out);
            }
        }
    }
    fputs("        \"\") COMPREPLY=($(compgen -W \"", out);
    for (const cs_cmd *c = p->cmds; c->name != NULL; c++) {
        fprintf(out, "%.*s ", (int)strcspn(c->name, " "), c->name);
    }
    fputs("help completion man --help --version\" -- \"$cur\")) ;;\n", out);
    for (const cs_cmd *c = p->cmds; c->name != NULL; c++) {
        size_t len = strcspn(c->name, " ");
        bool first = c->name[len] == ' ';
        for (const cs_cmd *d = p->cmds; first && d != c; d++) {
            first = strncmp(d->name, c->name, len + 1) != 0;
        }
        if (!first) {
            continue;
        }
        fprintf(out, "        \"%.*s\") COMPREPLY=($(compgen -W \"", (int)len, c->name);
        for (const cs_cmd *d = c; d->name != NULL; d++) {
            if (strncmp(d->name, c->name, len + 1) == 0) {
                fprintf(out, "%s ", d->name + len + 1);
            }
        }
        fputs("\" -- \"$cur\")) ;;\n", out);
    }
    fputs("    esac\n}\ncomplete -F _", out);
    put_ident(out, p->name);
    fprintf(out, " %s\n", p->name);
}

static void zsh_options(FILE *out, const cs_cmd *c)
{
    for (const cs_opt *o = c->opts; o != NULL && o->name != NULL; o++) {
        fprintf(out, " '--%s", o->name);
        fputs(o->arg == NULL ? "" : (has_file_arg(o) ? "=:file:_files" : "=:value:"), out);
        fputc('\'', out);
    }
    fputs(" '--help' '*:file:_files'", out);
}

static void zsh(FILE *out, const cs_opts_program *p)
{
    fprintf(out, "#compdef %s\n_", p->name);
    put_ident(out, p->name);
    fputs("() {\n    local -a cmds\n    cmds=(\n", out);
    for (const cs_cmd *c = p->cmds; c->name != NULL; c++) {
        char both[256];
        (void)snprintf(both, sizeof both, "%s", c->summary);
        if (c->name[0] != '\0') {
            fputs("        ", out);
            put_quoted(out, c->name, true);
            fputc(':', out);
            put_quoted(out, both, true);
            fputc('\n', out);
        }
    }
    fputs(
        "    )\n    if (( CURRENT == 2 )) && (( ${#cmds} )); then\n        _describe command cmds -Q\n        return\n"
        "    fi\n    case \"${words[2]} ${words[3]}\" in\n",
        out);
    for (int words = 2; words >= 0; words--) {
        for (const cs_cmd *c = p->cmds; c->name != NULL; c++) {
            int n = c->name[0] == '\0' ? 0 : (strchr(c->name, ' ') != NULL ? 2 : 1);
            if (n != words) {
                continue;
            }
            if (n == 0) {
                fputs("        *", out);
            } else {
                fprintf(out, "        \"%s\"%s", c->name, n == 1 ? "\\ *" : "");
            }
            fputs(") _arguments", out);
            zsh_options(out, c);
            fputs(" ;;\n", out);
        }
    }
    fputs("    esac\n}\ncompdef _", out);
    put_ident(out, p->name);
    fprintf(out, " %s\n", p->name);
}

static void fish_condition(FILE *out, const cs_cmd *c)
{
    if (c->name[0] == '\0') {
        return;
    }
    fputs(" -n '", out);
    for (const char *s = c->name; *s != '\0';) {
        size_t len = strcspn(s, " ");
        fprintf(out, "%s__fish_seen_subcommand_from %.*s", s == c->name ? "" : "; and ", (int)len, s);
        s += len;
        s += *s == ' ';
    }
    fputc('\'', out);
}

static void fish(FILE *out, const cs_opts_program *p)
{
    for (const cs_cmd *c = p->cmds; c->name != NULL; c++) {
        size_t len = strcspn(c->name, " ");
        if (c->name[0] != '\0') {
            fprintf(out, "complete -c %s -n __fish_use_subcommand -a %.*s -d ", p->name, (int)len, c->name);
            put_quoted(out, c->summary, false);
            fputc('\n', out);
        }
        if (c->name[len] == ' ') {
            fprintf(out, "complete -c %s -n '__fish_seen_subcommand_from %.*s' -a %s -d ", p->name, (int)len, c->name,
                    c->name + len + 1);
            put_quoted(out, c->summary, false);
            fputc('\n', out);
        }
        for (const cs_opt *o = c->opts; o != NULL && o->name != NULL; o++) {
            fprintf(out, "complete -c %s", p->name);
            fish_condition(out, c);
            fprintf(out, " -l %s%s%c%s -d ", o->name, o->letter ? " -s " : "", o->letter ? o->letter : ' ',
                    o->kind == CS_OPT_FLAG ? "" : " -r");
            put_quoted(out, o->help, false);
            fputc('\n', out);
        }
    }
}

cs_err cs_opts_complete(FILE *out, const cs_opts_program *p, const char *shell)
{
    static const struct {
        const char *name;
        void (*print)(FILE *out, const cs_opts_program *p);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].print(out, p);
            return CS_OK;
        }
    }
    return CS_E_NOT_FOUND;
}
