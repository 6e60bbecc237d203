/* signctl kms lint: does a policy give out key material without attestation? */
#include <stdio.h>

#include "base/json_out.h"
#include "tools/cmds.h"
#include "tools/policy_lint.h"
#include "tools/tool_file.h"

static int print_json(const cs_plint *l)
{
    const char *codes[CS_PLINT_CODES];
    cs_buf out = cs_buf_heap(CS_POLICY_MAX * 4);
    cs_jw w = cs_jw_begin(&out);

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "kind", l->kind);
    cs_jw_cstr(&w, "verdict", l->holes > 0 ? "hole" : "tight");
    cs_jw_array(&w, "codes");
    for (size_t i = 0, n = cs_plint_codes(codes, l); i < n; i++) {
        cs_jw_cstr(&w, NULL, codes[i]);
    }
    cs_jw_close_array(&w);
    for (int hole = 1; hole >= 0; hole--) {
        cs_jw_array(&w, hole != 0 ? "holes" : "advice");
        for (size_t i = 0; i < l->num; i++) {
            if (l->found[i].hole == (hole != 0)) {
                cs_jw_object(&w, NULL);
                cs_jw_cstr(&w, "code", l->found[i].code);
                cs_jw_u64(&w, "statement", l->found[i].statement);
                cs_jw_cstr(&w, "sid", l->found[i].sid);
                cs_jw_cstr(&w, "cause", l->found[i].cause);
                cs_jw_cstr(&w, "fix", l->found[i].fix);
                cs_jw_close_object(&w);
            }
        }
        cs_jw_close_array(&w);
    }
    cs_jw_close_object(&w);
    bool ok = cs_jw_end(&w) == CS_OK;
    if (ok) {
        printf("%.*s\n", (int)out.len, (const char *)out.p);
    }
    cs_buf_free(&out);
    return ok ? l->holes > 0 : 2;
}

/* Sids are the author's text: control characters are not for the terminal. */
static void print_place(const cs_plint_finding *f)
{
    printf("%s: %s", f->hole ? "hole" : "advice", f->code);
    if (f->statement > 0) {
        printf(" (statement %zu%s", f->statement, f->sid[0] != '\0' ? ", " : "");
        for (const char *p = f->sid; *p != '\0'; p++) {
            (void)putchar((unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
        }
        printf(")");
    }
    printf("\n");
}

static int run_lint(const cs_args *a)
{
    static cs_plint l;
    char detail[512];
    cs_buf file = cs_buf_heap(CS_POLICY_MAX);
    cs_err err = cs_tfile_read(&file, a->pos[0]);

    if (err == CS_OK) {
        err = cs_policy_lint(&l, cs_buf_slice(&file));
    }
    cs_buf_free(&file);
    if (err != CS_OK) {
        (void)snprintf(detail, sizeof detail, "%.200s%s%s", a->pos[0], l.why[0] != '\0' ? ": " : "", l.why);
        (void)cs_refuse(a, err, cs_args_flag(a, "json"), detail);
        return 2;
    }
    if (cs_args_flag(a, "json")) {
        return print_json(&l);
    }
    for (size_t i = 0; i < l.num; i++) {
        const cs_plint_finding *f = &l.found[i];
        print_place(f);
        printf("    cause: %s\n    fix:   %s\n", f->cause, f->fix);
    }
    printf("%s: %s\n", l.kind, l.holes > 0 ? "hole" : "tight");
    return l.holes > 0;
}

static const cs_opt lint_opts[] = {{.name = "json", .kind = CS_OPT_FLAG, .help = "JSON output"}, {0}};

const cs_cmd cs_cmds_kms[] = {
    {"kms lint", "FILE [--json]", "does a key, IAM or trust policy give out key material without attestation?",
     "Exit status: 0 tight, 1 hole, 2 usage or not a policy. FILE may be \"-\". Codes: docs/guides/policies.md.\n\n"
     "Example:\n  signctl kms lint policy.json",
     lint_opts, 1, 1, run_lint},
    {0},
};
