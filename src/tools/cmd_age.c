/* signctl age keygen, encrypt, decrypt: files that the age programs read and write too. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "secret/age.h"
#include "tools/cmds.h"
#include "tools/secret_io.h"
#include "tools/tool_file.h"

#define ARENA_SIZE (4U << 20)
#define MAX_IDENTITIES 64
#define MAX_KEY_FILE 65536
#define MAX_PASSPHRASE 1024
#define PIECE 65536

static int refuse(const cs_args *a, cs_err e, const char *detail)
{
    return cs_refuse(a, e, false, detail);
}

static bool is_option(const cs_args *a, size_t i, const char *name)
{
    return strcmp(a->cmd->opts[a->many_opt[i]].name, name) == 0;
}

/* The text of an identity file: two comments and the key. */
static cs_err put_identity_file(cs_buf *out, const cs_age_identity *id)
{
    CS_TRY(cs_put_str(out, "# created: "));
    CS_TRY(cs_put_rfc3339(out, cs_clock_wall_ms()));
    CS_TRY(cs_put_str(out, "\n# public key: "));
    CS_TRY(cs_age_recipient_put(out, &id->recipient));
    CS_TRY(cs_put_u8(out, '\n'));
    CS_TRY(cs_age_identity_put(out, id));
    return cs_put_u8(out, '\n');
}

static void say_recipient(const cs_age_recipient *r)
{
    char text[CS_AGE_RECIPIENT_TEXT_LEN + 1] = {0};
    cs_buf b = cs_buf_wrap(text, sizeof text - 1);

    if (cs_age_recipient_put(&b, r) == CS_OK) {
        fprintf(stderr, "Public key: %s\n", text);
    }
}

static int run_keygen(const cs_args *a)
{
    CS_SECRET(cs_age_identity) id = {.scalar = {0}};
    const char *path = cs_args_str(a, "output");
    cs_tfile_out out = {.file = NULL};
    cs_buf text = {0};
    cs_err err;

    if ((err = cs_tool_arena(ARENA_SIZE)) != CS_OK || (err = cs_secret_buf(&text, 512)) != CS_OK ||
        (err = cs_age_identity_generate(&id)) != CS_OK || (err = put_identity_file(&text, &id)) != CS_OK ||
        (err = cs_tfile_out_open(&out, path, true)) != CS_OK ||
        (err = cs_tfile_out_write(&out, cs_buf_slice(&text))) != CS_OK || (err = cs_tfile_out_commit(&out)) != CS_OK) {
        goto out;
    }
    if (path != NULL) {
        say_recipient(&id.recipient);
    }
out:
    cs_tfile_out_close(&out);
    cs_secret_buf_free(&text);
    return err == CS_OK ? 0 : refuse(a, err, path);
}

/* What both directions need: identities, passphrase, a piece of input, the output. In the arena, as most of it is secret. */
typedef struct job {
    cs_age_identity identities[MAX_IDENTITIES];
    size_t num_identities;
    cs_age_recipient recipients[CS_AGE_MAX_RECIPIENTS];
    size_t num_recipients;
    uint8_t passphrase[MAX_PASSPHRASE];
    size_t passphrase_len;
    uint8_t key_file[MAX_KEY_FILE];
    uint8_t piece[PIECE];
    cs_tfile_out out;
    const char *detail; /* what an error is about */
} job;

static cs_err read_identities(job *j, const char *path)
{
    cs_buf text = cs_buf_wrap(j->key_file, sizeof j->key_file);
    size_t num = 0;
    cs_err err;

    j->detail = path;
    if ((err = cs_tfile_read(&text, path)) == CS_OK) {
        err = cs_age_identity_file(&j->identities[j->num_identities], &num, MAX_IDENTITIES - j->num_identities,
                                   cs_buf_slice(&text));
        j->num_identities += num;
    }
    cs_wipe(j->key_file, sizeof j->key_file);
    return err;
}

/* The first line of the file. */
static cs_err read_passphrase(job *j, const char *path)
{
    cs_buf text = cs_buf_wrap(j->passphrase, sizeof j->passphrase);

    j->detail = path;
    CS_TRY(cs_tfile_read(&text, path));
    while (j->passphrase_len < text.len && text.p[j->passphrase_len] != '\n' && text.p[j->passphrase_len] != '\r') {
        j->passphrase_len++;
    }
    return j->passphrase_len > 0 ? CS_OK : CS_E_FORMAT;
}

static cs_err add_recipient(job *j, cs_slice text)
{
    j->detail = "--recipient"; /* not the value: someone may have given an identity there */
    if (j->num_recipients == CS_AGE_MAX_RECIPIENTS) {
        return CS_E_TOO_LARGE;
    }
    CS_TRY(cs_age_recipient_parse(&j->recipients[j->num_recipients], text));
    j->num_recipients++;
    return CS_OK;
}

static cs_err read_keys(job *j, const cs_args *a, bool encrypting)
{
    const char *passphrase_file = cs_args_str(a, "passphrase-file");

    for (size_t i = 0; i < a->num_many; i++) {
        if (is_option(a, i, "identity")) {
            CS_TRY(read_identities(j, a->many[i]));
        } else {
            CS_TRY(add_recipient(j, cs_slice_str(a->many[i])));
        }
    }
    for (size_t i = 0; encrypting && i < j->num_identities; i++) {
        if (j->num_recipients == CS_AGE_MAX_RECIPIENTS) {
            return CS_E_TOO_LARGE;
        }
        j->recipients[j->num_recipients++] = j->identities[i].recipient;
    }
    return passphrase_file != NULL ? read_passphrase(j, passphrase_file) : CS_OK;
}

static const char *input_of(const cs_args *a)
{
    return a->num_pos > 0 ? a->pos[0] : "-";
}

static cs_err feed_dec(void *cookie, cs_slice piece)
{
    return cs_age_dec_push(cookie, piece);
}

static cs_err feed_enc(void *cookie, cs_slice piece)
{
    return cs_age_enc_push(cookie, piece);
}

static cs_err decrypt(job *j, const cs_args *a)
{
    cs_age_keys keys = {j->identities, j->num_identities, cs_slice_of(j->passphrase, j->passphrase_len)};
    cs_buf piece = cs_buf_wrap(j->piece, sizeof j->piece);
    cs_age_dec *d = NULL;
    cs_err err;

    CS_TRY(cs_age_dec_new(&d, &keys, cs_tfile_out_write, &j->out));
    err = cs_tfile_stream(&piece, input_of(a), feed_dec, d);
    if (err == CS_OK) {
        err = cs_age_dec_finish(d);
    }
    cs_age_dec_free(d);
    return err;
}

static cs_err encrypt(job *j, const cs_args *a)
{
    cs_age_to to = {.recipients = j->recipients,
                    .num_recipients = j->num_recipients,
                    .passphrase = cs_slice_of(j->passphrase, j->passphrase_len),
                    .armor = cs_args_flag(a, "armor")};
    cs_buf piece = cs_buf_wrap(j->piece, sizeof j->piece);
    cs_age_enc *e = NULL;
    cs_err err;

    CS_TRY(cs_age_enc_new(&e, &to, cs_tfile_out_write, &j->out));
    err = cs_tfile_stream(&piece, input_of(a), feed_enc, e);
    if (err == CS_OK) {
        err = cs_age_enc_finish(e);
    }
    cs_age_enc_free(e);
    return err;
}

static int run_job(const cs_args *a, bool encrypting)
{
    job *j = NULL;
    const char *detail = NULL;
    cs_err err = cs_tool_arena(ARENA_SIZE);

    if (err == CS_OK && (j = cs_secret_alloc(sizeof *j)) == NULL) {
        err = CS_E_NO_MEMORY;
    }
    if (err == CS_OK && (err = read_keys(j, a, encrypting)) == CS_OK) {
        j->detail = cs_args_str(a, "output");
        if ((err = cs_tfile_out_open(&j->out, cs_args_str(a, "output"), false)) == CS_OK) {
            j->detail = input_of(a);
            err = encrypting ? encrypt(j, a) : decrypt(j, a);
        }
        if (err == CS_OK) {
            err = cs_tfile_out_commit(&j->out);
        }
        cs_tfile_out_close(&j->out);
    }
    detail = j != NULL ? j->detail : NULL;
    cs_secret_free(j);
    return err == CS_OK ? 0 : refuse(a, err, detail);
}

static size_t num_given(const cs_args *a, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < a->num_many; i++) {
        n += is_option(a, i, name);
    }
    return n;
}

static int run_encrypt(const cs_args *a)
{
    size_t num = num_given(a, "recipient") + num_given(a, "identity");
    bool passphrase = cs_args_str(a, "passphrase-file") != NULL;

    if ((num > 0) == passphrase) {
        return cs_usage_error(a, "give recipients (-r, -i) or --passphrase-file, one of them");
    }
    return run_job(a, true);
}

static int run_decrypt(const cs_args *a)
{
    if (num_given(a, "identity") == 0 && cs_args_str(a, "passphrase-file") == NULL) {
        return cs_usage_error(a, "give an identity file (-i) or --passphrase-file");
    }
    return run_job(a, false);
}

static const cs_opt keygen_opts[] = {{"output", 'o', CS_OPT_STR, "FILE",
                                      "write the identity there (mode 0600; an existing file is kept)", NULL, NULL, 0,
                                      0},
                                     {0}};

static const cs_opt encrypt_opts[] = {
    {"recipient", 'r', CS_OPT_MANY, "age1...", "encrypt to this recipient; may repeat", NULL, NULL, 0, 0},
    {"identity", 'i', CS_OPT_MANY, "FILE", "encrypt to the identities of this file; may repeat", NULL, NULL, 0, 0},
    {"passphrase-file", 0, CS_OPT_STR, "FILE", "encrypt to a passphrase: the first line of this file", NULL, NULL, 0,
     0},
    {"armor", 'a', CS_OPT_FLAG, NULL, "write text instead of bytes", NULL, NULL, 0, 0},
    {"output", 'o', CS_OPT_STR, "FILE", "write there (mode 0600) instead of to standard output", NULL, NULL, 0, 0},
    {0}};

static const cs_opt decrypt_opts[] = {
    {"identity", 'i', CS_OPT_MANY, "FILE", "an identity file; may repeat", NULL, NULL, 0, 0},
    {"passphrase-file", 0, CS_OPT_STR, "FILE", "the passphrase: first line of this file", NULL, NULL, 0, 0},
    {"output", 'o', CS_OPT_STR, "FILE", "write there (mode 0600), only when the whole file is authentic", NULL, NULL, 0,
     0},
    {0}};

const cs_cmd cs_cmds_age[] = {
    {"age keygen", "[-o FILE]", "make an age identity",
     "Writes an X25519 identity as age-keygen does; its recipient goes to standard error when -o is given.",
     keygen_opts, 0, 0, run_keygen},
    {"age encrypt", "(-r age1... | -i FILE | --passphrase-file FILE) [-a] [-o FILE] [FILE]", "encrypt a file with age",
     "Reads FILE, or standard input for \"-\" or no name.\n\nexample:\n    signctl age encrypt -r age1... -o "
     "shares.age shares.json",
     encrypt_opts, 0, 1, run_encrypt},
    {"age decrypt", "(-i FILE | --passphrase-file FILE) [-o FILE] [FILE]", "decrypt an age file",
     "Reads FILE, or standard input for \"-\" or no name; binary or armored. Without -o, authentic chunks go to "
     "standard output "
     "before the end of the file was seen: check the exit status.",
     decrypt_opts, 0, 1, run_decrypt},
    {0},
};
