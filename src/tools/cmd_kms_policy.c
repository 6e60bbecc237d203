/* signctl kms policy: the key policy of releases, the IAM policy and the trust policy of the instance role. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/aws/region.h"
#include "tools/cmds.h"
#include "tools/policy_lint.h"
#include "tools/policy_make.h"

#define ARN_MAX 512

typedef struct wanted {
    cs_policy_plan plan;
    cs_iam_plan iam;
    char names[2 * CS_POLICY_ROLES + 1][ARN_MAX];
    size_t num_names;
    char account[13];
} wanted;

static bool account_valid(const char *text)
{
    return strlen(text) == 12 && strspn(text, "0123456789") == 12;
}

/* The account of an ARN, "" when there is none. */
static void account_of(char out[13], const char *arn)
{
    const char *p = arn;

    out[0] = '\0';
    for (int i = 0; i < 4 && p != NULL; i++) {
        p = strchr(p, ':');
        p = p != NULL ? p + 1 : NULL;
    }
    if (p != NULL && strspn(p, "0123456789") == 12 && p[12] == ':') {
        (void)snprintf(out, 13, "%.12s", p);
    }
}

/* A role as ARN; a name is one of the account. */
static const char *role_arn(wanted *w, const char *given)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+=,.@_-/";
    char *out = w->names[w->num_names], account[13];
    int n;

    if (given == NULL || w->num_names == sizeof w->names / sizeof w->names[0]) {
        return NULL;
    }
    if (strncmp(given, "arn:", 4) == 0) {
        account_of(account, given);
        n = strstr(given, ":role/") != NULL && account[0] != '\0' ? snprintf(out, ARN_MAX, "%s", given) : 0;
    } else {
        bool ok =
            given[0] != '\0' && given[0] != '/' && strspn(given, letters) == strlen(given) && w->account[0] != '\0';
        n = ok ? snprintf(out, ARN_MAX, "arn:%s:iam::%s:role/%s", w->plan.partition, w->account, given) : 0;
    }
    if (n <= 0 || n >= ARN_MAX) {
        return NULL;
    }
    w->num_names++;
    return out;
}

/* Values of an option that may repeat. */
static size_t many(const cs_args *a, const char *name, const char **out, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < a->num_many; i++) {
        if (strcmp(a->cmd->opts[a->many_opt[i]].name, name) == 0) {
            if (n < max) {
                out[n] = a->many[i];
            }
            n++;
        }
    }
    return n;
}

static int read_roles(wanted *w, const cs_args *a, const char *option, const char **out, size_t *num)
{
    const char *given[CS_POLICY_ROLES] = {0};

    *num = many(a, option, given, CS_POLICY_ROLES);
    if (*num > CS_POLICY_ROLES) {
        return cs_usage_error(a, "--%s: at most %d", option, CS_POLICY_ROLES);
    }
    for (size_t i = 0; i < *num; i++) {
        if ((out[i] = role_arn(w, given[i])) == NULL) {
            return cs_usage_error(
                a, "--%s %s: not the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME (a name needs --account)", option,
                given[i]);
        }
    }
    return 0;
}

static int read_who(wanted *w, const cs_args *a)
{
    const char *account = cs_args_str(a, "account"), *admin = cs_args_str(a, "admin-role"),
               *first[CS_POLICY_ROLES] = {0};
    int status;

    w->plan.partition = cs_aws_partition(cs_args_str(a, "region"));
    if (account != NULL && !account_valid(account)) {
        return cs_usage_error(a, "--account %s: not 12 digits", account);
    }
    if (account != NULL) {
        (void)snprintf(w->account, sizeof w->account, "%s", account);
    } else if (many(a, "role", first, CS_POLICY_ROLES) > 0 && first[0] != NULL) {
        account_of(w->account, first[0]);
    }
    w->plan.account = w->account;
    if ((status = read_roles(w, a, "role", w->plan.roles, &w->plan.num_roles)) != 0 ||
        (status = read_roles(w, a, "encrypt-role", w->plan.encrypt_roles, &w->plan.num_encrypt_roles)) != 0) {
        return status;
    }
    if (w->plan.num_roles == 0) {
        return cs_usage_error(a, "--role is missing: who runs the enclave");
    }
    if (admin != NULL && (w->plan.admin_role = role_arn(w, admin)) == NULL) {
        return cs_usage_error(a, "--admin-role %s: not the ARN of a role (a name needs --account)", admin);
    }
    for (size_t i = 0; admin != NULL && i < w->plan.num_roles; i++) {
        if (strcmp(w->plan.roles[i], w->plan.admin_role) == 0) {
            return cs_usage_error(a, "--admin-role is a --role: who runs the host could rewrite the policy");
        }
    }
    return 0;
}

static int bad_release(const cs_args *a, const char *given, cs_err err)
{
    if (err != CS_E_FORMAT && err != CS_E_NOT_FOUND) {
        return cs_refuse(a, err, false, given) + 1;
    }
    return cs_usage_error(a,
                          "--release %.120s: neither a file of measurements (JSON with PCR0) or of an image (EIF), nor "
                          "PCR0:PCR1:PCR2 of 96 hex digits each",
                          given);
}

static int read_releases(wanted *w, const cs_args *a)
{
    const char *given[CS_RELEASE_MAX] = {0}, *pcr3 = cs_args_str(a, "pcr3");
    size_t num = many(a, "release", given, CS_RELEASE_MAX);
    cs_pcr role;

    if (num > CS_RELEASE_MAX) {
        return cs_usage_error(a, "--release: at most %d", CS_RELEASE_MAX);
    }
    if (pcr3 != NULL) {
        const char *arn = role_arn(w, pcr3);
        if (arn == NULL) {
            return cs_usage_error(a, "--pcr3 %s: not the ARN of a role", pcr3);
        }
        if (cs_pcr_of_string(&role, cs_slice_str(arn)) != CS_OK) {
            return cs_refuse(a, CS_E_NO_MEMORY, false, NULL);
        }
    }
    for (size_t i = 0; i < num; i++) {
        cs_release *r = &w->plan.releases[w->plan.num_releases];
        cs_err err = cs_release_read(r, given[i]);
        if (err != CS_OK) {
            return bad_release(a, given[i], err);
        }
        if (pcr3 != NULL && cs_release_bind(r, 3, &role) != CS_OK) {
            return cs_usage_error(a, "--release %s has another PCR3 than --pcr3", given[i]);
        }
        w->plan.num_releases++;
    }
    return 0;
}

static int read_flags(wanted *w, const cs_args *a)
{
    w->plan.data_keys = cs_args_flag(a, "data-keys");
    w->plan.root_delegation = cs_args_flag(a, "allow-root-delegation");
    w->plan.grants = cs_args_flag(a, "allow-grants");
    w->plan.debug = cs_args_flag(a, "debug");
    if (w->plan.debug && w->plan.num_releases > 0) {
        return cs_usage_error(a, "--debug makes the policy of a separate test key: without --release");
    }
    if (!w->plan.debug && w->plan.num_releases == 0) {
        return cs_usage_error(a, "--release is missing");
    }
    switch (cs_policy_plan_check(&w->plan)) {
    case CS_OK:
        return 0;
    case CS_E_EXISTS:
        return cs_usage_error(a, "--release: the same release twice");
    default:
        return cs_usage_error(a, "--release: two releases with one PCR0 bind different PCRs");
    }
}

static void warn(const wanted *w)
{
    if (w->plan.debug) {
        (void)fprintf(stderr,
                      "warning: any image in debug mode may use a key with this policy, and its host sees everything: "
                      "for a separate test key only\n");
    }
    if (w->plan.root_delegation) {
        (void)fprintf(stderr, "warning: --allow-root-delegation: any IAM policy of the account may rewrite this one\n");
    }
    if (w->plan.grants) {
        (void)fprintf(stderr, "warning: --allow-grants: services of AWS get rights without attestation\n");
    }
    if (w->plan.admin_role == NULL && !w->plan.root_delegation) {
        (void)fprintf(stderr,
                      "warning: without --admin-role nobody can change this policy later; KMS takes it only with "
                      "--bypass-policy-lockout-safety-check\n");
    }
}

/* What is printed must lint as it was asked for: an incomplete policy is never printed. */
static cs_err checked(const cs_policy_plan *p, const char *text)
{
    static cs_plint l;

    CS_TRY(cs_policy_lint(&l, cs_slice_str(text)));
    return l.holes == 0 || p->debug || p->root_delegation ? CS_OK : CS_E_INTERNAL;
}

static int print(const cs_args *a, const wanted *w, json_t *policy)
{
    char *text = policy != NULL ? json_dumps(policy, JSON_INDENT(2)) : NULL;
    if (text != NULL && strlen(text) > CS_KEY_POLICY_MAX) {
        free(text);
        text = json_dumps(policy, JSON_COMPACT);
    }
    cs_err err = text == NULL                       ? CS_E_NO_MEMORY
                 : strlen(text) > CS_KEY_POLICY_MAX ? CS_E_TOO_LARGE
                                                    : checked(&w->plan, text);

    if (err == CS_OK && (puts(text) == EOF || fflush(stdout) != 0)) {
        err = CS_E_IO;
    }
    free(text);
    json_decref(policy);
    return err == CS_OK ? 0 : cs_refuse(a, err, false, NULL);
}

static int run_iam(const cs_args *a, wanted *w)
{
    w->iam.key = &w->plan;
    w->iam.key_arn = cs_args_str(a, "key-arn");
    w->iam.num_objects = many(a, "object", w->iam.objects, CS_POLICY_ROLES);
    if (w->iam.num_objects > CS_POLICY_ROLES) {
        return cs_usage_error(a, "--object: at most %d", CS_POLICY_ROLES);
    }
    if (w->iam.key_arn != NULL &&
        (strncmp(w->iam.key_arn, "arn:", 4) != 0 || strstr(w->iam.key_arn, ":key/") == NULL)) {
        return cs_usage_error(a, "--key-arn: not the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID");
    }
    return print(a, w, cs_policy_iam(&w->iam));
}

static int run_policy(const cs_args *a)
{
    static wanted w;
    const char *kind = cs_args_str(a, "kind");
    int status;

    if (!cs_aws_region_valid(cs_args_str(a, "region"))) {
        return cs_usage_error(a, "--region (AWS_REGION) %s: no name of a region, e.g. us-east-1",
                              cs_args_str(a, "region"));
    }
    if (strcmp(kind, "trust") == 0) {
        return print(a, &w, cs_policy_trust(cs_aws_partition(cs_args_str(a, "region"))));
    }
    if (strcmp(kind, "key") != 0 && strcmp(kind, "iam") != 0) {
        return cs_usage_error(a, "--kind: key, iam or trust");
    }
    if ((status = read_who(&w, a)) != 0 || (status = read_releases(&w, a)) != 0 || (status = read_flags(&w, a)) != 0) {
        return status;
    }
    if (kind[0] == 'i') {
        return w.plan.debug ? cs_usage_error(a, "--debug: not of an IAM policy") : run_iam(a, &w);
    }
    warn(&w);
    return print(a, &w, cs_policy_key(&w.plan));
}

static const cs_opt policy_opts[] = {
    {"release", 'r', CS_OPT_MANY, "RELEASE", "measurements (JSON), an EIF, or PCR0:PCR1:PCR2[:PCR3=HEX][:PCR8=HEX]",
     NULL, NULL, 0, 0},
    {"role", 0, CS_OPT_MANY, "ROLE", "role of the instances that run the enclave; ARN, or name in the account", NULL,
     NULL, 0, 0},
    {"admin-role", 0, CS_OPT_STR, "ROLE", "who may change the policy; never a role of the instances", NULL, NULL, 0, 0},
    {"encrypt-role", 0, CS_OPT_MANY, "ROLE", "who may encrypt", NULL, NULL, 0, 0},
    {"account", 0, CS_OPT_STR, "ID", "12 digits (default: that of the first --role)", NULL, NULL, 0, 0},
    {"region", 0, CS_OPT_STR, "REGION", "its partition is that of the ARNs", "AWS_REGION", "us-east-1", 0, 0},
    {"pcr3", 0, CS_OPT_STR, "ROLE", "bind PCR3 of this role in every release", NULL, NULL, 0, 0},
    {"data-keys", 0, CS_OPT_FLAG, NULL, "allow GenerateDataKey too (tee.enabled)", NULL, NULL, 0, 0},
    {"kind", 0, CS_OPT_STR, "KIND", "key, iam (of the instance role) or trust (of the instance role)", NULL, "key", 0,
     0},
    {"key-arn", 0, CS_OPT_STR, "ARN", "iam: the key (default: every key)", NULL, NULL, 0, 0},
    {"object", 0, CS_OPT_MANY, "BUCKET/KEY", "iam: what may be read, e.g. 'bucket/enclave/*'", NULL, NULL, 0, 0},
    {"allow-root-delegation", 0, CS_OPT_FLAG, NULL, "kms:* for the account root, which opens the policy to IAM", NULL,
     NULL, 0, 0},
    {"allow-grants", 0, CS_OPT_FLAG, NULL, "grants for services of AWS", NULL, NULL, 0, 0},
    {"debug", 0, CS_OPT_FLAG, NULL, "for a separate TEST key: admit debug enclaves, whose PCRs are zeros", NULL, NULL,
     0, 0},
    {0},
};

const cs_cmd cs_cmds_kms_policy[] = {
    {"kms policy", "--release RELEASE... --role ROLE... --admin-role ROLE [...]",
     "the key policy that lets only these releases decrypt; also the role's IAM and trust policy",
     "Each release has a statement of its own; others are denied, whatever IAM says. Warnings go to standard error.\n\n"
     "Example:\n  signctl kms policy --account 123456789012 --role NitroEnclaveInstanceRole --admin-role KMSAdminRole "
     "\\\n"
     "      --release target/sign-service.enclave.eif > policy.json && signctl kms lint policy.json",
     policy_opts, 0, 0, run_policy},
    {0},
};
