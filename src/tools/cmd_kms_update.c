/* signctl kms update: get the policy of a key, change its releases, show what changes, put it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json_out.h"
#include "net/aws/kms_admin.h"
#include "net/aws/profile.h"
#include "tools/cmds.h"
#include "tools/line_diff.h"
#include "tools/policy_edit.h"
#include "tools/policy_lint.h"
#include "tools/policy_make.h"
#include "tools/secret_io.h"

#define ARENA_SIZE ((size_t)1 << 20)
#define BODY_MAX ((size_t)256 * 1024)
#define TEXT_MAX ((size_t)128 * 1024)

typedef struct update {
    const cs_args *a;
    cs_aws_creds *creds; /* secret */
    cs_kms_admin kms;
    cs_kms_refusal why;
    char region[CS_AWS_REGION_MAX], key_id[2049];
    cs_buf raw;           /* the policy as KMS has it */
    char *before, *after; /* as lines */
    cs_buf diff;
    cs_plint old_lint, new_lint;
    bool put;
} update;

/* KMS's own words, then the code, cause and fix. */
static int refuse(const update *u, cs_err err, const char *detail)
{
    bool json = cs_args_flag(u->a, "json");

    if (!json && u->why.type[0] != '\0') {
        (void)fprintf(stderr, "%s: %s\n", u->why.type, u->why.message);
    }
    return cs_refuse(u->a, err, json, u->why.type[0] != '\0' && json ? u->why.message : detail);
}

static cs_err call(update *u, const char *operation, cs_buf *answer, const char *policy)
{
    cs_buf body = cs_buf_heap(BODY_MAX);
    cs_jw w = cs_jw_begin(&body);

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "KeyId", u->key_id);
    if (strcmp(operation, "DescribeKey") != 0) {
        cs_jw_cstr(&w, "PolicyName", "default");
    }
    if (policy != NULL) {
        cs_jw_cstr(&w, "Policy", policy);
    }
    cs_jw_close_object(&w);
    cs_err err = cs_jw_end(&w);
    if (err == CS_OK) {
        err = cs_kms_admin_call(answer, &u->why, &u->kms, operation, cs_buf_slice(&body));
    }
    cs_buf_free(&body);
    return err;
}

/* A text of an answer: path is one or two members. */
static cs_err take_text(cs_buf *out, const cs_buf *answer, const char *outer, const char *member)
{
    json_t *doc = json_loadb((const char *)answer->p, answer->len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *v = json_object_get(outer != NULL ? json_object_get(doc, outer) : doc, member);
    cs_err err = json_is_string(v) ? cs_put(out, json_string_value(v), json_string_length(v)) : CS_E_KMS_ANSWER;

    json_decref(doc);
    return err;
}

/* GetKeyPolicy and PutKeyPolicy take no alias. */
static cs_err resolve_alias(update *u)
{
    cs_buf answer = cs_buf_heap(BODY_MAX), arn = cs_buf_heap(sizeof u->key_id - 1);
    cs_err err = CS_OK;

    if (strncmp(u->key_id, "alias/", 6) == 0 || strstr(u->key_id, ":alias/") != NULL) {
        err = call(u, "DescribeKey", &answer, NULL);
        if (err == CS_OK && (err = take_text(&arn, &answer, "KeyMetadata", "Arn")) == CS_OK) {
            memcpy(u->key_id, arn.p, arn.len);
            u->key_id[arn.len] = '\0';
        }
    }
    cs_buf_free(&answer);
    cs_buf_free(&arn);
    return err;
}

static cs_err get_policy(update *u, cs_buf *out)
{
    cs_buf answer = cs_buf_heap(BODY_MAX);
    cs_err err = call(u, "GetKeyPolicy", &answer, NULL);

    if (err == CS_OK) {
        err = take_text(out, &answer, NULL, "Policy");
    }
    cs_buf_free(&answer);
    return err;
}

static cs_err find_region(update *u, const cs_aws_login_opts *login)
{
    const char *given = cs_args_str(u->a, "region"),
               *p = strncmp(u->key_id, "arn:", 4) == 0 ? strstr(u->key_id, ":kms:") : NULL;
    size_t n = p != NULL ? strcspn(p + 5, ":") : 0;

    if (n > 0 && n < sizeof u->region) {
        (void)snprintf(u->region, sizeof u->region, "%.*s", (int)n, p + 5);
    } else if (given != NULL) {
        (void)snprintf(u->region, sizeof u->region, "%.64s", given);
    } else {
        return cs_aws_region(u->region, login);
    }
    return CS_OK;
}

static int connect_kms(update *u)
{
    const cs_aws_login_opts login = {.profile = cs_args_str(u->a, "profile"),
                                     .imds_endpoint = cs_args_str(u->a, "imds-endpoint")};
    const char *from = "", *id = cs_args_str(u->a, "key-id");
    cs_err err;

    if (id == NULL || id[0] == '\0' || strlen(id) >= sizeof u->key_id) {
        return cs_usage_error(u->a, "--key-id is missing: id, ARN or alias of the key");
    }
    (void)snprintf(u->key_id, sizeof u->key_id, "%s", id);
    if (find_region(u, &login) != CS_OK) {
        return cs_usage_error(u->a, "give --region, or the key's ARN");
    }
    if ((err = cs_tool_arena(ARENA_SIZE)) == CS_OK) {
        u->creds = cs_secret_alloc(sizeof *u->creds);
        err = u->creds == NULL ? CS_E_NO_MEMORY : cs_aws_login(u->creds, &from, &login);
    }
    if (err != CS_OK) {
        return refuse(u, err, "AWS credentials: environment, shared files, instance role");
    }
    u->kms = (cs_kms_admin){u->creds, u->region, cs_args_str(u->a, "endpoint-url"), cs_args_str(u->a, "ca-file")};
    return 0;
}

static cs_err edit(update *u, json_t *policy, const char **detail)
{
    const cs_args *a = u->a;
    cs_release r;

    for (int add = 1; add >= 0; add--) {
        for (size_t i = 0; i < a->num_many; i++) {
            if (strcmp(a->cmd->opts[a->many_opt[i]].name, add != 0 ? "add-release" : "remove-release") == 0) {
                *detail = a->many[i];
                CS_TRY(cs_release_read(&r, a->many[i]));
                CS_TRY(add != 0 ? cs_policy_add_release(policy, &r) : cs_policy_remove_release(policy, &r));
            }
        }
    }
    return CS_OK;
}

/* Before and after as lines, and the difference. */
static cs_err change(update *u, const char **detail)
{
    const cs_diff_names names = {"present", "new"};
    bool colour = isatty(STDOUT_FILENO) != 0 && !cs_args_flag(u->a, "json");
    json_t *policy = json_loadb((const char *)u->raw.p, u->raw.len, JSON_REJECT_DUPLICATES, NULL);
    cs_err err = json_is_object(policy) ? CS_OK : CS_E_FORMAT;

    if (err == CS_OK && (u->before = json_dumps(policy, JSON_INDENT(2))) == NULL) {
        err = CS_E_NO_MEMORY;
    }
    if (err == CS_OK && (err = edit(u, policy, detail)) == CS_OK) {
        *detail = NULL;
        u->after = json_dumps(policy, JSON_INDENT(2));
        if (u->after != NULL && strlen(u->after) > CS_KEY_POLICY_MAX) {
            free(u->after);
            u->after = json_dumps(policy, JSON_COMPACT);
        }
        err = u->after == NULL ? CS_E_NO_MEMORY : strlen(u->after) > CS_KEY_POLICY_MAX ? CS_E_TOO_LARGE : CS_OK;
    }
    json_decref(policy);
    if (err == CS_OK && (err = cs_policy_lint(&u->old_lint, cs_slice_str(u->before))) == CS_OK &&
        (err = cs_policy_lint(&u->new_lint, cs_slice_str(u->after))) == CS_OK) {
        err = cs_line_diff(&u->diff, u->before, u->after, &names, colour);
    }
    return err;
}

/* Does the new policy have a code that the old one has not? */
static bool is_worse(const update *u)
{
    const char *old[CS_PLINT_CODES], *new[CS_PLINT_CODES];
    size_t num_old = cs_plint_codes(old, &u->old_lint), num_new = cs_plint_codes(new, &u->new_lint);

    for (size_t i = 0; i < num_new; i++) {
        size_t k = 0;
        while (k < num_old && strcmp(old[k], new[i]) != 0) {
            k++;
        }
        if (k == num_old) {
            return true;
        }
    }
    return u->new_lint.holes > u->old_lint.holes;
}

static void put_codes(cs_jw *w, const char *name, const cs_plint *l)
{
    const char *codes[CS_PLINT_CODES];

    cs_jw_array(w, name);
    for (size_t i = 0, n = cs_plint_codes(codes, l); i < n; i++) {
        cs_jw_cstr(w, NULL, codes[i]);
    }
    cs_jw_close_array(w);
}

static int print_json(const update *u)
{
    cs_buf out = cs_buf_heap(8 * TEXT_MAX);
    cs_jw w = cs_jw_begin(&out);

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "keyId", u->key_id);
    cs_jw_bool(&w, "changed", u->diff.len > 0);
    cs_jw_bool(&w, "put", u->put);
    put_codes(&w, "codesBefore", &u->old_lint);
    put_codes(&w, "codesAfter", &u->new_lint);
    cs_jw_str(&w, "diff", cs_buf_slice(&u->diff));
    cs_jw_close_object(&w);
    bool ok = cs_jw_end(&w) == CS_OK;
    if (ok) {
        printf("%.*s\n", (int)out.len, (const char *)out.p);
    }
    cs_buf_free(&out);
    return ok ? 0 : 1;
}

static void warn_holes(const update *u)
{
    const char *codes[CS_PLINT_CODES];

    for (size_t i = 0, n = cs_plint_codes(codes, &u->new_lint); i < n; i++) {
        (void)fprintf(stderr, "warning: the new policy has a hole: %s\n", codes[i]);
    }
}

/* 0: yes; else the exit status. */
static int ask(const update *u)
{
    char line[16];

    if (cs_args_flag(u->a, "yes")) {
        return 0;
    }
    if (isatty(STDIN_FILENO) == 0 || cs_args_flag(u->a, "json")) {
        return cs_usage_error(u->a, "nobody to ask: give --yes, or --dry-run");
    }
    (void)fprintf(stderr, "put this policy on %s? [y/N] ", u->key_id);
    return fgets(line, sizeof line, stdin) != NULL && (line[0] == 'y' || line[0] == 'Y') ? 0 : 1;
}

/* Somebody else may have put a policy since it was read. */
static cs_err put(update *u)
{
    cs_buf now = cs_buf_heap(TEXT_MAX), answer = cs_buf_heap(BODY_MAX);
    cs_err err = get_policy(u, &now);

    if (err == CS_OK && !cs_slice_eq(cs_buf_slice(&now), cs_buf_slice(&u->raw))) {
        err = CS_E_POLICY_CHANGED;
    }
    if (err == CS_OK) {
        err = call(u, "PutKeyPolicy", &answer, u->after);
        u->put = err == CS_OK;
    }
    cs_buf_free(&now);
    cs_buf_free(&answer);
    return err;
}

static int run_changes(update *u)
{
    bool json = cs_args_flag(u->a, "json"), dry = cs_args_flag(u->a, "dry-run");
    const char *detail = NULL;
    int status = connect_kms(u);
    cs_err err;

    if (status != 0) {
        return status;
    }
    if ((err = resolve_alias(u)) != CS_OK || (err = get_policy(u, &u->raw)) != CS_OK) {
        return refuse(u, err, u->key_id);
    }
    if ((err = change(u, &detail)) != CS_OK) {
        return refuse(u, err, detail);
    }
    if (!json) {
        printf("%.*s", (int)u->diff.len, (const char *)u->diff.p);
        (void)fflush(stdout);
        warn_holes(u);
    }
    if (u->diff.len > 0 && is_worse(u) && !cs_args_flag(u->a, "force")) {
        return refuse(u, CS_E_POLICY_WORSE, u->key_id);
    }
    if (u->diff.len > 0 && !dry) {
        if ((status = ask(u)) != 0) {
            return status;
        }
        if ((err = put(u)) != CS_OK) {
            return refuse(u, err, u->key_id);
        }
    }
    if (json) {
        return print_json(u);
    }
    (void)fprintf(stderr, "%s\n", u->diff.len == 0 ? "nothing to change" : dry ? "not put: --dry-run" : "policy put");
    return 0;
}

static int run_update(const cs_args *a)
{
    static update u;
    bool asked = false;

    u = (update){.a = a, .raw = cs_buf_heap(TEXT_MAX), .diff = cs_buf_heap(4 * TEXT_MAX)};
    for (size_t i = 0; i < a->num_many; i++) {
        asked = asked || strstr(a->cmd->opts[a->many_opt[i]].name, "release") != NULL;
    }
    int status = asked ? run_changes(&u) : cs_usage_error(a, "give --add-release or --remove-release");
    cs_secret_free(u.creds);
    free(u.before);
    free(u.after);
    cs_buf_free(&u.raw);
    cs_buf_free(&u.diff);
    return status;
}

static const cs_opt update_opts[] = {
    {"key-id", 'k', CS_OPT_STR, "KEY", "id, ARN or alias of the key", NULL, NULL, 0, 0},
    {"add-release", 0, CS_OPT_MANY, "RELEASE", "as of kms policy: measurements, an EIF, or PCR0:PCR1:PCR2...", NULL,
     NULL, 0, 0},
    {"remove-release", 0, CS_OPT_MANY, "RELEASE", "the same; PCR0 alone is enough", NULL, NULL, 0, 0},
    {"dry-run", 'n', CS_OPT_FLAG, NULL, "show the difference, put nothing", NULL, NULL, 0, 0},
    {"yes", 'y', CS_OPT_FLAG, NULL, "do not ask", NULL, NULL, 0, 0},
    {"force", 0, CS_OPT_FLAG, NULL, "put it even if it lints worse than the present one", NULL, NULL, 0, 0},
    {"region", 0, CS_OPT_STR, "REGION", "default: of the ARN, AWS_REGION, AWS_DEFAULT_REGION, config file", NULL, NULL,
     0, 0},
    {"profile", 0, CS_OPT_STR, "NAME", "of the shared credentials and config files (AWS_PROFILE)", NULL, NULL, 0, 0},
    {"endpoint-url", 0, CS_OPT_STR, "URL", "KMS, when not AWS's own", "AWS_ENDPOINT_URL_KMS", NULL, 0, 0},
    {"imds-endpoint", 0, CS_OPT_STR, "URL", "instance metadata, when not AWS's own", "IMDS_ENDPOINT", NULL, 0, 0},
    {"ca-file", 0, CS_OPT_STR, "FILE", "roots for the endpoint's certificate", "AWS_CA_BUNDLE", NULL, 0, 0},
    {"json", 0, CS_OPT_FLAG, NULL, "JSON output", NULL, NULL, 0, 0},
    {0},
};

const cs_cmd cs_cmds_kms_update[] = {
    {"kms update", "--key-id KEY [--add-release RELEASE]... [--remove-release RELEASE]... [--dry-run|--yes]",
     "add releases to a key's policy in use, or remove them, after showing what changes",
     "Other statements stay as they are. A policy that lints worse than the present one is refused. Credentials: "
     "environment, shared "
     "credentials file, instance role. Exit status: 0 put, or nothing to change; 1 refused; 2 usage.\n\n"
     "Example:\n  signctl kms update --key-id alias/sign-service-enclave-key --add-release "
     "target/sign-service.enclave.eif",
     update_opts, 0, 0, run_update},
    {0},
};
