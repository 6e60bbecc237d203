/* signctl eif sign: puts a signature (and so PCR8) on an enclave image. */
#include <string.h>

#include "tools/cmds.h"
#include "tools/eif_sign.h"
#include "tools/image_file.h"
#include "tools/secret_io.h"

#define EIF_MAX ((size_t)1 << 31)

static cs_err sign(cs_image_file *i, cs_pcr *pcr8, const char **detail, const cs_args *a)
{
    const char *output = cs_args_str(a, "output") != NULL ? cs_args_str(a, "output") : a->pos[0];
    cs_buf section = cs_buf_heap(CS_EIF_SIGNATURE_MAX), file = cs_buf_heap(EIF_MAX);
    cs_err err = cs_eif_sign(&section, pcr8, detail, cs_args_str(a, "signing-certificate"),
                             cs_args_str(a, "private-key"), &i->pcr[0]);

    if (err == CS_OK) {
        *detail = a->pos[0];
        err = cs_eif_attach(&i->eif, cs_buf_slice(&section));
    }
    if (err == CS_OK) {
        err = cs_eif_write(&file, &i->eif);
    }
    if (err == CS_OK) {
        *detail = output;
        err = cs_image_file_write(output, cs_buf_slice(&file));
    }
    cs_buf_free(&section);
    cs_buf_free(&file);
    return err;
}

static int run(const cs_args *a)
{
    const char *key = cs_args_str(a, "private-key"), *detail = a->pos[0];
    const bool json = cs_args_flag(a, "json");
    cs_image_file i;
    cs_pcr pcr8;
    cs_err err;

    if (key == NULL || cs_args_str(a, "signing-certificate") == NULL) {
        return cs_usage_error(a, "--signing-certificate and --private-key are required");
    }
    if (strcmp(cs_args_str(a, "output") != NULL ? cs_args_str(a, "output") : a->pos[0], "-") == 0) {
        return cs_usage_error(a, "--output FILE is required: standard output holds the measurements");
    }
    if (strncmp(key, "arn:", 4) == 0) {
        return cs_refuse(a, CS_E_NOT_IMPLEMENTED, json, "not implemented: signing with a key in KMS");
    }
    err = cs_image_file_read(&i, a->pos[0]);
    if (err == CS_OK) {
        err = i.crc; /* an old signature is replaced, whatever it is; a changed file is not signed */
    }
    if (err == CS_OK) {
        detail = "memory for secrets";
        err = cs_tool_arena(CS_EIF_SIGN_ARENA);
    }
    if (err == CS_OK) {
        err = sign(&i, &pcr8, &detail, a);
    }
    if (err == CS_OK) {
        err = cs_image_print_measurements(stdout, i.pcr, &pcr8);
    }
    cs_image_file_cleanup(&i);
    return err == CS_OK ? 0 : cs_refuse(a, err, json, detail);
}

static const cs_opt opts[] = {
    {.name = "signing-certificate",
     .kind = CS_OPT_STR,
     .arg = "PEM",
     .help = "certificate of the private key; PCR8 is its measurement"},
    {.name = "private-key", .kind = CS_OPT_STR, .arg = "PEM", .help = "EC key on P-256, P-384 or P-521, not encrypted"},
    {.name = "output",
     .letter = 'o',
     .kind = CS_OPT_STR,
     .arg = "FILE",
     .help = "where the signed image goes (default: in place)"},
    {.name = "json", .letter = 'j', .kind = CS_OPT_FLAG, .help = "a refusal as JSON too (measurements always are)"},
    {0},
};

const cs_cmd cs_cmds_eif_sign[] = {
    {"eif sign", "--signing-certificate PEM --private-key PEM [-o FILE] FILE",
     "sign an enclave image: sets PCR8, leaves PCR0, 1 and 2",
     "The signature section holds the certificate and a COSE_Sign1 over PCR0 (ES256, ES384 or ES512, by the key). One "
     "that is there is "
     "replaced. nitro-cli refuses to run an image whose certificate is outside its validity.\n\n"
     "Example:\n  signctl eif sign --signing-certificate cert.pem --private-key key.pem "
     "target/sign-service.enclave.eif",
     opts, 1, 1, run},
    {0},
};
