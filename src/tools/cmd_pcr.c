/* signctl pcr role, pcr instance, pcr file: what a hypervisor measures, computed. */
#include <stdio.h>
#include <string.h>

#include "attest/eif_signature.h"
#include "base/text.h"
#include "tools/cmds.h"
#include "tools/tool_file.h"

#define FILE_MAX ((size_t)1 << 31)

/* name: of the register, or "PCR" where that is not known. */
static int print_one(const cs_args *a, cs_err err, const cs_pcr *pcr, const char *name)
{
    char hex[2 * CS_PCR_LEN + 1];
    bool json = cs_args_flag(a, "json");

    if (err != CS_OK) {
        return cs_refuse(a, err, json, a->pos[0]);
    }
    cs_hex_encode(hex, cs_slice_of(pcr->b, CS_PCR_LEN));
    int n = json ? printf("{\"HashAlgorithm\":\"Sha384 { ... }\",\"%s\":\"%s\"}\n", name, hex) : printf("%s\n", hex);
    if (n < 0 || fflush(stdout) != 0) {
        return cs_refuse(a, CS_E_IO, json, "standard output");
    }
    return 0;
}

static int run_role(const cs_args *a)
{
    cs_pcr pcr;

    if (strncmp(a->pos[0], "arn:aws", 7) != 0 || strstr(a->pos[0], ":role/") == NULL) {
        return cs_usage_error(
            a, "give the ARN of an IAM role, arn:aws:iam::ACCOUNT:role/NAME (not of an instance profile)");
    }
    return print_one(a, cs_pcr_of_string(&pcr, cs_slice_str(a->pos[0])), &pcr, "PCR3");
}

static int run_instance(const cs_args *a)
{
    cs_pcr pcr;

    if (strncmp(a->pos[0], "i-", 2) != 0 || strspn(a->pos[0] + 2, "0123456789abcdef") != strlen(a->pos[0]) - 2 ||
        strlen(a->pos[0]) < 10) {
        return cs_usage_error(a, "give the id of an instance, i-0123456789abcdef0");
    }
    return print_one(a, cs_pcr_of_string(&pcr, cs_slice_str(a->pos[0])), &pcr, "PCR4");
}

static int run_file(const cs_args *a)
{
    cs_buf file = cs_buf_heap(FILE_MAX);
    cs_pcr pcr;
    cs_err err = cs_tfile_read(&file, a->pos[0]);

    if (err == CS_OK && cs_args_flag(a, "signing-certificate")) {
        X509 *cert = NULL;
        err = cs_eif_certificate_read(&cert, &pcr, cs_buf_slice(&file));
        err = err == CS_E_EIF_FORMAT ? CS_E_FORMAT : err;
        X509_free(cert);
    } else if (err == CS_OK) {
        err = cs_pcr_of_file(&pcr, cs_buf_slice(&file));
    }
    cs_buf_free(&file);
    return print_one(a, err, &pcr, cs_args_flag(a, "signing-certificate") ? "PCR8" : "PCR");
}

#define JSON_OPT                                                                                                       \
    {                                                                                                                  \
        "json", 'j', CS_OPT_FLAG, NULL, "as JSON, as nitro-cli prints measurements", NULL, NULL, 0, 0                  \
    }
static const cs_opt file_opts[] = {
    {"signing-certificate", 0, CS_OPT_FLAG, NULL, "the file is a PEM certificate: PCR8", NULL, NULL, 0, 0},
    JSON_OPT,
    {0}};
static const cs_opt json_opts[] = {JSON_OPT, {0}};

const cs_cmd cs_cmds_pcr[] = {
    {"pcr role", "[--json] ARN", "PCR3: SHA-384 of 48 zero bytes and the ARN of the instance's role",
     "Example:\n  signctl pcr role arn:aws:iam::123456789012:role/NitroEnclaveInstanceRole", json_opts, 1, 1, run_role},
    {"pcr instance", "[--json] ID", "PCR4: SHA-384 of 48 zero bytes and the instance id",
     "Example:\n  signctl pcr instance i-1234567890abcdef0", json_opts, 1, 1, run_instance},
    {"pcr file", "[--signing-certificate] [--json] FILE",
     "SHA-384 of 48 zero bytes and the SHA-384 of a file, as nitro-cli pcr",
     "Example:\n  signctl pcr file --signing-certificate cert.pem", file_opts, 1, 1, run_file},
    {0},
};
