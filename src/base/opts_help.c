/* --help, the man page and --version, all from the same tables as the parser. */
#include <elf.h>
#include <link.h>
#include <string.h>

#include "base/opts_int.h"
#include "base/text.h"

#ifndef CS_VERSION
#define CS_VERSION "0"
#endif
#define HELP_COLUMN 28

static void (*version_hook)(FILE *out);

void cs_cmd_on_version(void (*print)(FILE *out))
{
    version_hook = print;
}

/* finds the GNU build id among the notes of one segment */
static bool find_build_id(const uint8_t *at, size_t left, cs_slice *out)
{
    while (left >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) n;
        memcpy(&n, at, sizeof n);
        size_t name = ((size_t)n.n_namesz + 3) & ~(size_t)3, desc = ((size_t)n.n_descsz + 3) & ~(size_t)3;
        if (name + desc > left - sizeof n) {
            return false;
        }
        at += sizeof n;
        if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && memcmp(at, "GNU", 4) == 0) {
            *out = cs_slice_of(at + name, n.n_descsz);
            return true;
        }
        at += name + desc;
        left -= sizeof n + name + desc;
    }
    return false;
}

/* called for the program first: a non-zero answer ends the walk there */
static int visit_object(struct dl_phdr_info *info, size_t size, void *cookie)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type == PT_NOTE &&
            find_build_id((const uint8_t *)(info->dlpi_addr + h->p_vaddr), h->p_memsz, (cs_slice *)cookie)) {
            break;
        }
    }
    return 1;
}

void cs_opts_version(FILE *out, const char *program)
{
    cs_slice id = CS_SLICE_NULL;
    char hex[2 * 64 + 1] = "none";
    (void)dl_iterate_phdr(visit_object, &id);
    if (id.len > 0 && id.len <= 64) {
        cs_hex_encode(hex, id);
    }
    fprintf(out, "%s %s\nbuild id %s\n", program, CS_VERSION, hex);
    if (version_hook != NULL) {
        version_hook(out);
    }
}

static void print_opt(FILE *out, const cs_opt *o)
{
    char left[96];
    (void)snprintf(left, sizeof left, "%c%c%c --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                   o->letter ? ',' : ' ', o->name, o->arg != NULL ? " " : "", o->arg != NULL ? o->arg : "");
    fprintf(out, "  %-*s", HELP_COLUMN, left);
    if (strlen(left) >= HELP_COLUMN) {
        fprintf(out, "\n  %-*s", HELP_COLUMN, "");
    }
    fputs(o->help, out);
    if (o->kind == CS_OPT_MANY) {
        fputs(" (may be repeated)", out);
    }
    if (o->def != NULL) {
        fprintf(out, " (default: %s)", o->def);
    }
    if (o->env != NULL) {
        fprintf(out, " (environment: %s)", o->env);
    }
    if (o->kind == CS_OPT_U64 && o->max != 0) {
        fprintf(out, " (%llu..%llu)", (unsigned long long)o->min, (unsigned long long)o->max);
    }
    fputc('\n', out);
}

static void help_body(FILE *out, const cs_opts_program *p, const cs_cmd *c)
{
    const char *gap = c->name[0] != '\0' ? " " : "";
    fprintf(out, "%s%s%s - %s\n\nusage: %s%s%s %s\n", p->name, gap, c->name, c->summary, p->name, gap, c->name,
            c->synopsis);
    fputs("\noptions:\n", out);
    for (const cs_opt *o = c->opts; o != NULL && o->name != NULL; o++) {
        print_opt(out, o);
    }
    fprintf(out, "  %-*s%s\n", HELP_COLUMN, "-h, --help", "this text");
    if (c->name[0] == '\0') {
        fprintf(out, "  %-*s%s\n", HELP_COLUMN, "    --version", "version and build id");
    }
    if (c->text != NULL) {
        fprintf(out, "\n%s\n", c->text);
    }
}

static void help_end(FILE *out)
{
    fputs("\nexit status: 0 done, 1 refused, 2 usage\n", out);
}

void cs_opts_help_cmd(FILE *out, const cs_opts_program *p, const cs_cmd *c)
{
    help_body(out, p, c);
    help_end(out);
}

static void help_commands(FILE *out, const cs_cmd *c)
{
    fputs("\ncommands:\n", out);
    for (; c->name != NULL; c++) {
        fprintf(out, "  %-*s%s\n", HELP_COLUMN, c->name, c->summary);
    }
    fprintf(out, "  %-*s%s\n", HELP_COLUMN, "help COMMAND", "options and examples of a command");
    fprintf(out, "  %-*s%s\n", HELP_COLUMN, "completion bash|zsh|fish", "completion script for a shell");
    fprintf(out, "  %-*s%s\n", HELP_COLUMN, "man", "the man page, roff");
}

void cs_opts_help_program(FILE *out, const cs_opts_program *p)
{
    if (p->cmds[0].name != NULL && p->cmds[0].name[0] == '\0') { /* what it does without a command, then the others */
        help_body(out, p, &p->cmds[0]);
        if (p->cmds[1].name != NULL) {
            help_commands(out, &p->cmds[1]);
        }
        help_end(out);
        return;
    }
    fprintf(out, "%s - %s\n\nusage: %s COMMAND [OPTION...]\n", p->name, p->about, p->name);
    help_commands(out, p->cmds);
    fputs("\noptions:\n", out);
    fprintf(out, "  %-*s%s\n", HELP_COLUMN, "-h, --help", "this text");
    fprintf(out, "  %-*s%s\n", HELP_COLUMN, "    --version", "version and build id");
    help_end(out);
}

/* text with roff's special characters escaped: backslash, hyphen, and a dot or quote that begins a line */
static void roff(FILE *out, const char *text)
{
    bool line_start = true;
    for (; *text != '\0'; text++) {
        if (line_start && (*text == '.' || *text == '\'')) {
            fputs("\\&", out);
        }
        if (*text == '\\') {
            fputs("\\e", out);
        } else if (*text == '-') {
            fputs("\\-", out);
        } else {
            fputc(*text, out);
        }
        line_start = *text == '\n';
    }
}

static void roff_cmd(FILE *out, const cs_opts_program *p, const cs_cmd *c)
{
    fputs(".SS ", out);
    roff(out, p->name);
    fputc(' ', out);
    roff(out, c->name);
    fputc(' ', out);
    roff(out, c->synopsis);
    fputc('\n', out);
    roff(out, c->summary);
    fputs(".\n", out);
    for (const cs_opt *o = c->opts; o != NULL && o->name != NULL; o++) {
        fputs(".TP\n\\fB", out);
        if (o->letter != 0) {
            fprintf(out, "\\-%c\\fR, \\fB", o->letter);
        }
        fputs("\\-\\-", out);
        roff(out, o->name);
        fputs("\\fR", out);
        if (o->arg != NULL) {
            fputs(" \\fI", out);
            roff(out, o->arg);
            fputs("\\fR", out);
        }
        fputc('\n', out);
        roff(out, o->help);
        if (o->def != NULL) {
            fputs(" Default: ", out);
            roff(out, o->def);
            fputc('.', out);
        }
        if (o->env != NULL) {
            fputs(" Environment: ", out);
            roff(out, o->env);
            fputc('.', out);
        }
        fputc('\n', out);
    }
    if (c->text != NULL) {
        fputs(".PP\n.nf\n", out);
        roff(out, c->text);
        fputs("\n.fi\n", out);
    }
}

void cs_opts_man(FILE *out, const cs_opts_program *p)
{
    fputs(".TH ", out);
    for (const char *s = p->name; *s != '\0'; s++) {
        fputc(*s >= 'a' && *s <= 'z' ? *s - 32 : *s, out);
    }
    fprintf(out, " 1 \"\" \"Countersign %s\" \"Countersign\"\n.SH NAME\n", CS_VERSION);
    roff(out, p->name);
    fputs(" \\- ", out);
    roff(out, p->about);
    fputs("\n.SH SYNOPSIS\n\\fB", out);
    roff(out, p->name);
    fputs("\\fR ", out);
    const cs_cmd *first = &p->cmds[0];
    const cs_cmd *only = first->name != NULL && first->name[0] == '\0' && p->cmds[1].name == NULL ? first : NULL;
    roff(out, only != NULL ? only->synopsis : "COMMAND [OPTION...]");
    fputs(only != NULL ? "\n.SH OPTIONS\n" : "\n.SH COMMANDS\n", out);
    for (const cs_cmd *c = p->cmds; c->name != NULL; c++) {
        roff_cmd(out, p, c);
    }
    fputs(".SH EXIT STATUS\n0 done or verified, 1 refused, 2 usage.\n", out);
}
