/* sign-emulator: AWS services and Nitro Security Modules for one laptop. Throwaway keys, loopback only. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/opts.h"
#include "emulator/server.h"

static void on_signal(void *cookie)
{
    cs_loop_stop(cookie);
}

/* Values of the repeated option of that name; a is of `opts`. */
static size_t collect(const char **out, const cs_args *a, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < a->num_many; i++) {
        if (strcmp(a->cmd->opts[a->many_opt[i]].name, name) == 0) {
            out[n++] = a->many[i];
        }
    }
    return n;
}

static int serve(const cs_args *a, const cs_emu_server_opts *o)
{
    cs_loop *l = NULL;
    cs_emu_server *s = NULL;
    cs_signal *term = NULL, *intr = NULL;
    cs_err err = cs_loop_new(&l);
    if (err == CS_OK) {
        err = cs_signal_new(&term, l, SIGTERM, on_signal, l);
    }
    if (err == CS_OK) {
        err = cs_signal_new(&intr, l, SIGINT, on_signal, l);
    }
    if (err == CS_OK) {
        err = cs_emu_server_new(&s, l, o);
    }
    if (err == CS_OK) {
        printf("%s/emulator.json\n", o->state.dir);
        fflush(stdout);
        cs_log(CS_LOG_INFO, "listening", CS_LC("description", "emulator.json"));
        cs_loop_run(l);
    }
    cs_emu_server_free(s);
    if (l != NULL) {
        cs_signal_free(term);
        cs_signal_free(intr);
        cs_loop_free(l);
    }
    return err == CS_OK ? 0 : cs_refuse(a, err, false, "sign-emulator could not start");
}

static int run(const cs_args *a)
{
    const char *buckets[CS_OPT_MAX_MANY], *roles[CS_OPT_MAX_MANY];
    cs_emu_server_opts o = {
        .state = {.dir = cs_args_str(a, "dir"),
                  .region = cs_args_str(a, "region"),
                  .account = cs_args_str(a, "account"),
                  .role = cs_args_str(a, "role"),
                  .role_iam = cs_args_str(a, "role-iam"),
                  .instance_id = cs_args_str(a, "instance-id"),
                  .credential_s = cs_args_u64(a, "credential-seconds"),
                  .cms_form = cs_args_str(a, "cms"),
                  .trail = cs_args_str(a, "trail")},
        .imds_port = (uint16_t)cs_args_u64(a, "imds-port"),
        .s3_port = (uint16_t)cs_args_u64(a, "s3-port"),
        .kms_port = (uint16_t)cs_args_u64(a, "kms-port"),
        .buckets = buckets,
        .num_buckets = collect(buckets, a, "bucket"),
        .roles = roles,
        .num_roles = collect(roles, a, "iam-role"),
    };
    if (o.state.dir == NULL) {
        return cs_usage_error(a, "--dir is needed");
    }
    if (strlen(o.state.account) != 12 || strspn(o.state.account, "0123456789") != 12) {
        return cs_usage_error(a, "--account is 12 digits");
    }
    if (strlen(o.state.region) > 32 || strlen(o.state.role) > 64 || strlen(o.state.instance_id) > 32) {
        return cs_usage_error(a, "--region, --role or --instance-id is too long");
    }
    cs_log_init("sign-emulator", CS_LOG_INFO, 2);
    return serve(a, &o);
}

static const cs_opt opts[] = {
    {"dir", 'd', CS_OPT_STR, "DIR",
     "folder of keys, policies, objects, certificates and sockets (made when missing; short path)", NULL, NULL, 0, 0},
    {"region", 0, CS_OPT_STR, "NAME", "AWS region", NULL, "us-east-1", 0, 0},
    {"account", 0, CS_OPT_STR, "DIGITS", "AWS account", NULL, "123456789012", 0, 0},
    {"role", 0, CS_OPT_STR, "NAME", "role of the emulated instance (\"\": none)", NULL, "enclave-host", 0, 0},
    {"role-iam", 0, CS_OPT_STR, "ACTIONS", "what the role's IAM policy allows, separated by spaces", NULL,
     "s3:GetObject s3:ListBucket kms:GenerateRandom", 0, 0},
    {"instance-id", 0, CS_OPT_STR, "ID", "EC2 instance", NULL, "i-1234567890abcdef0", 0, 0},
    {"credential-seconds", 0, CS_OPT_U64, "N", "life of the role's credentials", NULL, "21600", 1, 43200},
    {"cms", 0, CS_OPT_STR, "FORM", "CiphertextForRecipient: alternate, constructed, primitive or segments", NULL,
     "alternate", 0, 0},
    {"trail", 0, CS_OPT_STR, "FILE", "append one record of each KMS decision here (default: DIR/trail.jsonl)", NULL,
     NULL, 0, 0},
    {"bucket", 0, CS_OPT_MANY, "NAME", "make this S3 bucket", NULL, NULL, 0, 0},
    {"iam-role", 0, CS_OPT_MANY, "NAME", "make this IAM role, for sts assume-role; its rights: DIR/iam/NAME.json", NULL,
     NULL, 0, 0},
    {"imds-port", 0, CS_OPT_U64, "PORT", "port of the metadata service (0: any)", NULL, "0", 0, 65535},
    {"s3-port", 0, CS_OPT_U64, "PORT", "port of S3 (0: any)", NULL, "0", 0, 65535},
    {"kms-port", 0, CS_OPT_U64, "PORT", "port of KMS, TLS (0: any)", NULL, "0", 0, 65535},
    {NULL, 0, CS_OPT_FLAG, NULL, NULL, NULL, NULL, 0, 0},
};

static const cs_cmd cmds[] = {
    {"", "--dir DIR [options]", "emulate KMS, S3, STS, IMDS and Nitro Security Modules on loopback",
     "Writes DIR/emulator.json when everything listens. Ends on SIGTERM. For tests and demonstrations only: the keys "
     "are "
     "throwaway keys in plain files.",
     opts, 0, 0, run},
    {NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};

int main(int argc, char **argv)
{
    return cs_cmd_main("sign-emulator", "AWS and Nitro emulator of Countersign", cmds, argc, argv);
}
