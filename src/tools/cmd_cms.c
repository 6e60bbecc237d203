/* signctl cms open: what KMS put into CiphertextForRecipient, opened with the recipient's RSA key. */
#include <openssl/pem.h>
#include <stdio.h>

#include "secret/cms.h"
#include "tools/cmds.h"
#include "tools/secret_io.h"
#include "tools/tool_file.h"

#define ARENA_SIZE (4U << 20)
#define MAX_PEM 16384

/* Never asks for a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *cookie)
{
    return -1;
}

static EVP_PKEY *parse_key(cs_slice pem)
{
    BIO *in = BIO_new_mem_buf(pem.p, (int)pem.len);
    EVP_PKEY *key = in != NULL ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;

    BIO_free(in);
    return key;
}

static cs_err open_envelope(cs_buf *plain, cs_buf *pem, cs_buf *envelope, const cs_args *a, const char **detail)
{
    EVP_PKEY *key;
    cs_err err;

    *detail = cs_args_str(a, "key");
    CS_TRY(cs_tfile_read(pem, *detail));
    key = parse_key(cs_buf_slice(pem));
    if (key == NULL) {
        return CS_E_FORMAT;
    }
    *detail = a->num_pos > 0 ? a->pos[0] : "-";
    err = cs_tfile_read(envelope, *detail);
    if (err == CS_OK) {
        err = cs_cms_open(plain, cs_buf_slice(envelope), key);
    } else if (err == CS_E_TOO_LARGE) {
        err = CS_E_CMS;
    }
    EVP_PKEY_free(key);
    return err;
}

static int run_open(const cs_args *a)
{
    cs_buf plain = {0}, pem = {0}, envelope = cs_buf_heap(CS_CMS_MAX);
    cs_tfile_out out = {.file = NULL};
    const char *detail = NULL;
    cs_err err;

    if (cs_args_str(a, "key") == NULL) {
        return cs_usage_error(a, "give the RSA private key: --key PEM");
    }
    if ((err = cs_tool_arena(ARENA_SIZE)) == CS_OK && (err = cs_secret_buf(&plain, CS_CMS_MAX)) == CS_OK &&
        (err = cs_secret_buf(&pem, MAX_PEM)) == CS_OK &&
        (err = open_envelope(&plain, &pem, &envelope, a, &detail)) == CS_OK) {
        detail = cs_args_str(a, "output");
        if ((err = cs_tfile_out_open(&out, detail, false)) == CS_OK &&
            (err = cs_tfile_out_write(&out, cs_buf_slice(&plain))) == CS_OK) {
            err = cs_tfile_out_commit(&out);
        }
    }
    cs_tfile_out_close(&out);
    cs_buf_free(&envelope);
    cs_secret_buf_free(&pem);
    cs_secret_buf_free(&plain);
    return err == CS_OK ? 0 : cs_refuse(a, err, false, detail);
}

static const cs_opt open_opts[] = {
    {"key", 'k', CS_OPT_STR, "PEM", "the recipient's RSA private key, not encrypted", NULL, NULL, 0, 0},
    {"output", 'o', CS_OPT_STR, "FILE", "write the plaintext there (mode 0600)", NULL, NULL, 0, 0},
    {0}};

const cs_cmd cs_cmds_cms[] = {
    {"cms open", "--key PEM [-o FILE] [FILE]", "open a CiphertextForRecipient of KMS",
     "FILE holds the raw bytes (decode the base64 of the KMS answer first), at most 8 KiB; \"-\" or no name is "
     "standard input.",
     open_opts, 0, 1, run_open},
    {0},
};
