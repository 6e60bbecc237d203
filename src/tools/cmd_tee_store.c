/* signctl tee export, adopt: backups of the TEE service's store (the command that sign-gateway has too), and rows of an application that become sealed. tee import: cmd_tee.c. */
#include "store/store_cmd.h"
#include "tools/cmds.h"
#include "tools/tee_adopt.h"
#include "tools/tee_open.h"

static const char export_text[] = "Ciphertext only, of one moment, also while a gateway serves. The file must not "
                                  "exist. Its last line has the number "
                                  "of rows and the\n"
                                  "SHA-256 of what is before it. docs/formats/store.md, docs/guides/tee-runbook.md.\n\n"
                                  "example:\n"
                                  "    signctl tee export backup.jsonl --store sqlite:/var/lib/countersign/tee.db";

static const cs_opt export_opts[] = {{"store", 's', CS_OPT_STR, "ADDRESS",
                                      "sqlite:PATH or postgresql://HOST/NAME (the password in the passfile)",
                                      "SIGN_GATEWAY_STORE", NULL, 0, 0},
                                     {"json", 0, CS_OPT_FLAG, NULL, "machine-readable result", NULL, NULL, 0, 0},
                                     {0}};

static const cs_opt adopt_opts[] = {
    {"column", 0, CS_OPT_STR, "NAME", "of the table keys: where the plaintext is", NULL, NULL, 0, 0},
    {"algorithm", 'a', CS_OPT_STR, "NAME", "of the keys; or data: the text as it is, at most 65536 bytes", NULL, NULL,
     0, 0},
    {"count", 0, CS_OPT_FLAG, NULL, "only say how many rows are in the clear", NULL, NULL, 0, 0},
    {"store", 's', CS_OPT_STR, "ADDRESS", "sqlite:PATH or postgresql://HOST/NAME, read only", "SIGN_GATEWAY_STORE",
     NULL, 0, 0},
    CS_TEE_CALLER_OPTS CS_TEE_LINK_OPTS{0}};

static const char adopt_text[] =
    "Keys are 64 hex digits (0x or not) or base64. Each row is sealed to the attested enclave; the gateway, whose "
    "tee.store.adoptColumn\n"
    "names the column, stores the ciphertext and empties the column in one transaction. The enclave's public key must "
    "be "
    "that of the\n"
    "plaintext. After a crash the same command goes on. The application must not write these rows meanwhile.\n\n"
    "example:\n"
    "    signctl tee adopt --column private_key -a ecdsa-secp256k1 --store sqlite:wallet.db -i alice.json --env "
    "build/run/endpoints.env";

const cs_cmd cs_cmds_tee_store[] = {
    {"tee export", "FILE --store ADDRESS", "write all sealed rows of the store to a file, as they are: ciphertext",
     export_text, export_opts, 1, 1, cs_store_cmd_export},
    {"tee adopt", "--column NAME -a ALGORITHM --store ADDRESS -i FILE -g ENDPOINT (--allowed IMAGE... | --any-pcrs)",
     "seal the rows of an application's table in place", adopt_text, adopt_opts, 0, 0, cs_tee_adopt_run},
    {0},
};
