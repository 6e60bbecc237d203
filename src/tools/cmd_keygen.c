/* signctl keygen: shares of new or imported keys for one client and one service. signctl publisher keygen. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/text.h"
#include "codec/sharefile.h"
#include "party/deal.h"
#include "party/eth.h"
#include "secret/age.h"
#include "secret/rng.h"
#include "secret/share/share.h"
#include "tools/caller_file.h"
#include "tools/cmds.h"
#include "tools/secret_io.h"

#define MAX_ACCOUNTS 1000000u
#define IMPORT_LINE 256u
#define PROGRESS_FROM 1000u

typedef struct job {
    const cs_args *args;
    cs_deal *deal;
    cs_buf import; /* arena */
    size_t num, done;
    cs_buf list; /* heap: account, public key, address; public */
    cs_caller_list callers;
    const char *detail;
} job;

/* one account of the output: id NUL pk33, packed */
static cs_err remember(job *j, cs_slice id, const uint8_t pk33[33])
{
    CS_TRY(cs_put_u8(&j->list, (uint8_t)id.len));
    CS_TRY(cs_put_slice(&j->list, id));
    return cs_put(&j->list, pk33, 33);
}

static void progress(const job *j)
{
    static uint64_t last;
    uint64_t now = cs_clock_mono_ms();
    if (j->num < PROGRESS_FROM || !isatty(STDERR_FILENO) || (now - last < 100 && j->done < j->num)) {
        return;
    }
    last = now;
    int width = (int)(j->done * 40 / j->num);
    fprintf(stderr, "\r[%-40.*s] %zu/%zu%s", width, "########################################", j->done, j->num,
            j->done == j->num ? "\n" : "");
}

static cs_err add(job *j, cs_slice id, const uint8_t *import32)
{
    uint8_t pk33[33];
    cs_err err = cs_deal_add(j->deal, id, import32, pk33);
    if (err == CS_OK) {
        err = remember(j, id, pk33);
    }
    j->done++;
    progress(j);
    return err;
}

static cs_err add_hex(job *j, cs_slice id, cs_slice hex)
{
    CS_SECRET(cs_secret32) key = {0};
    if (hex.len > 2 && hex.p[0] == '0' && hex.p[1] == 'x') {
        hex = cs_slice_of(hex.p + 2, hex.len - 2);
    }
    if (hex.len != 64 || !cs_hex_decode_ct(key.b, 32, hex.p)) {
        j->detail = "a line of the import is not `account_id hex` or 64 lower-case hex digits";
        return CS_E_FORMAT;
    }
    CS_CT_SECRET(key.b, 32);
    return add(j, id, key.b);
}

static size_t num_accounts(const cs_args *a)
{
    size_t n = 0;
    while (cs_args_many(a, "account", n) != NULL) {
        n++;
    }
    return n;
}

/* lines `account_id hex`; one line of hex alone takes the --account, or the prefix with 1 */
static cs_err add_imported(job *j, const char *lone_id)
{
    cs_reader r = cs_reader_of(cs_buf_slice(&j->import));
    cs_slice line;
    bool lone = false;
    while (r.left > 0) {
        if (cs_read_line(&r, &line, IMPORT_LINE) != CS_OK && cs_read_slice(&r, &line, r.left) != CS_OK) {
            return CS_E_INTERNAL;
        }
        size_t space = line.len;
        while (space > 0 && line.p[space - 1] != ' ') {
            space--;
        }
        if (line.len == 0) {
            continue;
        }
        if (lone || (space == 0 && j->done > 0)) {
            j->detail = "a key without an account id is only possible alone";
            return CS_E_FORMAT;
        }
        lone = space == 0;
        cs_slice id = lone ? cs_slice_str(lone_id) : cs_slice_of(line.p, space - 1);
        CS_TRY(add_hex(j, id, cs_slice_of(line.p + space, line.len - space)));
    }
    return j->done > 0 ? CS_OK : CS_E_FORMAT;
}

static cs_err add_all(job *j)
{
    const cs_args *a = j->args;
    const char *prefix = cs_args_str(a, "prefix");
    char id[192];
    (void)snprintf(id, sizeof id, "%s1", prefix);
    if (cs_args_str(a, "import") != NULL) {
        const char *first = cs_args_many(a, "account", 0);
        return add_imported(j, first != NULL ? first : id);
    }
    const size_t num = num_accounts(a);
    for (size_t i = 0; i < num; i++) {
        CS_TRY(add(j, cs_slice_str(cs_args_many(a, "account", i)), NULL));
    }
    for (size_t i = 0; num == 0 && i < j->num; i++) {
        (void)snprintf(id, sizeof id, "%s%zu", prefix, i + 1);
        CS_TRY(add(j, cs_slice_str(id), NULL));
    }
    return CS_OK;
}

typedef struct targets {
    char client[4096], service[4096];
    bool seal_client, seal_service, force;
    cs_age_recipient recipient;
    cs_buf passphrase;
} targets;

static cs_err write_files(const targets *t, cs_slice client, cs_slice service)
{
    cs_tool_file f[2] = {{.fd = -1}, {.fd = -1}};
    cs_age_to to_client = {.passphrase = cs_buf_slice(&t->passphrase)};
    cs_age_to to_service = {.recipients = &t->recipient, .num_recipients = 1};
    cs_err err = cs_tool_seal(&f[0], t->client, t->force, client, t->seal_client ? &to_client : NULL);
    if (err == CS_OK) {
        err = cs_tool_seal(&f[1], t->service, t->force, service, t->seal_service ? &to_service : NULL);
    }
    if (err == CS_OK) {
        err = cs_tool_commit(&f[0], t->force);
    }
    if (err == CS_OK) {
        err = cs_tool_commit(&f[1], t->force);
    }
    cs_tool_abandon(&f[0]);
    cs_tool_abandon(&f[1]);
    return err;
}

static cs_err each_account(const job *j, cs_jw *w)
{
    cs_reader r = cs_reader_of(cs_buf_slice(&j->list));
    while (r.left > 0) {
        uint8_t len = 0, pk33[33];
        cs_slice id;
        cs_eth_addr addr;
        char text[CS_ETH_ADDR_TEXT];
        CS_TRY(cs_read_u8(&r, &len));
        CS_TRY(cs_read_slice(&r, &id, len));
        CS_TRY(cs_read_bytes(&r, pk33, 33));
        CS_TRY(cs_eth_address(&addr, pk33));
        cs_eth_address_text(text, &addr);
        if (w == NULL) {
            printf("%.*s %s\n", (int)id.len, (const char *)id.p, text);
            continue;
        }
        cs_jw_object(w, NULL);
        cs_jw_str(w, "account_id", id);
        cs_jw_hex(w, "public_key", cs_slice_of(pk33, 33));
        cs_jw_cstr(w, "eth_address", text);
        cs_jw_close_object(w);
    }
    return CS_OK;
}

static cs_err report(const job *j, const targets *t, uint64_t generation, const uint8_t *seed32)
{
    uint8_t publisher[32];
    cs_buf out = cs_buf_heap((size_t)1 << 30);
    cs_jw w = cs_jw_begin(&out);
    const uint8_t *root = cs_deal_root_id(j->deal);
    char root_hex[9] = "";
    if (root != NULL) {
        cs_hex_encode(root_hex, cs_slice_of(root, 4));
    }
    if (!cs_args_flag(j->args, "json")) {
        printf("client file:  %s\nservice file: %s\n", t->client, t->service);
        if (root != NULL) {
            printf("sealing root: %s\n", root_hex);
        }
        return j->done <= 20 ? each_account(j, NULL) : CS_OK;
    }
    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "client_file", t->client);
    cs_jw_cstr(&w, "service_file", t->service);
    cs_jw_u64(&w, "generation", generation);
    if (seed32 != NULL) {
        cs_publisher_public(publisher, seed32);
        cs_jw_hex(&w, "publisher", cs_slice_of(publisher, 32));
    } else {
        cs_jw_null(&w, "publisher");
    }
    if (root != NULL) {
        cs_jw_cstr(&w, "sealing_root", root_hex);
    }
    cs_jw_u64(&w, "callers", j->callers.num);
    cs_jw_array(&w, "accounts");
    cs_err err = each_account(j, &w);
    cs_jw_close_array(&w);
    cs_jw_close_object(&w);
    if (err == CS_OK) {
        err = cs_jw_end(&w);
    }
    if (err == CS_OK) {
        printf("%.*s\n", (int)out.len, (const char *)out.p);
    }
    cs_buf_free(&out);
    return err;
}

/* where the files go and how they are sealed; 0 or the exit status of a usage error */
static int choose_targets(targets *t, const cs_args *a)
{
    const char *dir = cs_args_str(a, "out-dir"), *recipient = cs_args_str(a, "recipient");
    bool plain = cs_args_flag(a, "plaintext");
    if (recipient == NULL && !plain) {
        return cs_usage_error(a, "give --recipient age1..., or --plaintext to write the service's file unsealed");
    }
    if (recipient != NULL && cs_age_recipient_parse(&t->recipient, cs_slice_str(recipient)) != CS_OK) {
        return cs_usage_error(a, "--recipient is not an age1 recipient");
    }
    if (plain && cs_args_str(a, "passphrase-file") != NULL) {
        return cs_usage_error(a, "--plaintext and --passphrase-file exclude each other");
    }
    t->seal_client = !plain;
    t->seal_service = recipient != NULL;
    t->force = cs_args_flag(a, "force");
    int n = snprintf(t->client, sizeof t->client, "%s/client_key_shares.json%s", dir, t->seal_client ? ".age" : "");
    int m = snprintf(t->service, sizeof t->service, "%s/service_key_shares.json%s", dir, t->seal_service ? ".age" : "");
    if (n >= (int)sizeof t->client || m >= (int)sizeof t->service) {
        return cs_usage_error(a, "--out-dir is too long");
    }
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return cs_refuse(a, CS_E_IO, cs_args_flag(a, "json"), "--out-dir cannot be made");
    }
    if (!t->force && (access(t->client, F_OK) == 0 || access(t->service, F_OK) == 0)) {
        return cs_refuse(a, CS_E_EXISTS, cs_args_flag(a, "json"), "a share file is there already; --force replaces it");
    }
    return 0;
}

static size_t count_lines(const cs_buf *b)
{
    size_t n = 1;
    for (size_t i = 0; i < b->len; i++) {
        n += b->p[i] == '\n';
    }
    return n;
}

static cs_err deal_and_write(job *j, targets *t)
{
    CS_SECRET(cs_secret32) seed = {0};
    const char *publisher = cs_args_str(j->args, "publisher-key");
    uint64_t generation = cs_args_u64(j->args, "generation");
    cs_slice client, service;
    if (publisher != NULL) {
        j->detail = "--publisher-key";
        CS_TRY(cs_tool_publisher(&seed, publisher));
    }
    if (t->seal_client) {
        j->detail = "passphrase of the client's file: --passphrase-file, or a terminal";
        CS_TRY(cs_tool_passphrase(&t->passphrase, cs_args_str(j->args, "passphrase-file"), true));
    }
    j->detail = NULL;
    const cs_deal_tee tee = {
        .root = cs_args_flag(j->args, "sealing-root"), .callers = j->callers.caller, .num_callers = j->callers.num};
    CS_TRY(cs_deal_new_tee(&j->deal, j->num, &tee));
    CS_TRY(add_all(j));
    CS_TRY(cs_deal_finish(j->deal, generation, publisher != NULL ? seed.b : NULL, &client, &service));
    CS_TRY(write_files(t, client, service));
    return report(j, t, generation, publisher != NULL ? seed.b : NULL);
}

static int run_keygen(const cs_args *a)
{
    static targets t;
    job j = {.args = a, .num = cs_args_u64(a, "accounts")};
    const char *import = cs_args_str(a, "import");
    int status = choose_targets(&t, a);
    if (status != 0) {
        return status;
    }
    if (num_accounts(a) > 0 && import == NULL) {
        j.num = num_accounts(a);
    }
    size_t import_size = import == NULL ? 0 : strcmp(import, "-") == 0 ? (size_t)1 << 24 : cs_tool_size(import);
    size_t guess = j.num > import_size / 64 ? j.num : import_size / 64;
    cs_err err = cs_caller_list_read(&j.callers, a);
    j.detail = j.callers.detail;
    if (err == CS_OK) {
        j.detail = NULL;
        err = cs_tool_arena(((size_t)64 << 20) + import_size + guess * (2 * CS_DEAL_ACCOUNT_BYTES + 512) +
                            j.callers.num * (2 * CS_DEAL_CALLER_BYTES + 1024));
    }
    if (err == CS_OK && import != NULL) {
        err = cs_tool_read(&j.import, import, import_size > 0 ? import_size : 1);
        j.num = err == CS_OK ? count_lines(&j.import) : 0;
        j.detail = "--import";
    }
    j.list = cs_buf_heap((size_t)(j.num + 1) * 164);
    if (err == CS_OK) {
        err = deal_and_write(&j, &t);
    }
    int status_out = err == CS_OK ? 0 : cs_refuse(a, err, cs_args_flag(a, "json"), j.detail);
    cs_deal_free(j.deal);
    cs_secret_buf_free(&j.import);
    cs_secret_buf_free(&t.passphrase);
    cs_buf_free(&j.list);
    cs_caller_list_free(&j.callers);
    return status_out;
}

static int run_publisher(const cs_args *a)
{
    CS_SECRET(cs_secret32) seed = {0};
    cs_tool_file f = {.fd = -1};
    cs_buf line = {0};
    uint8_t public32[32];
    char hex[65];
    bool force = cs_args_flag(a, "force"), json = cs_args_flag(a, "json");
    const char *path = cs_args_str(a, "output");
    if (path == NULL) {
        return cs_usage_error(a, "-o FILE is needed");
    }
    cs_err err = cs_tool_arena((size_t)1 << 20);
    if (err == CS_OK) {
        err = cs_random(seed.b, 32);
    }
    if (err == CS_OK) {
        err = cs_secret_buf(&line, 65);
    }
    if (err == CS_OK) {
        err = cs_put_hex_ct(&line, seed.b, 32);
    }
    if (err == CS_OK) {
        err = cs_put_u8(&line, '\n');
    }
    if (err == CS_OK) {
        err = cs_tool_create(&f, path, force);
    }
    if (err == CS_OK) {
        err = cs_tool_write(&f, cs_buf_slice(&line));
    }
    if (err == CS_OK) {
        err = cs_tool_commit(&f, force);
    }
    cs_tool_abandon(&f);
    cs_secret_buf_free(&line);
    if (err != CS_OK) {
        return cs_refuse(a, err, json, path);
    }
    cs_publisher_public(public32, seed.b);
    cs_hex_encode(hex, cs_slice_of(public32, 32));
    printf(json ? "{\"publisher\":\"%s\"}\n" : "%s\n", hex);
    return 0;
}

static const cs_opt keygen_opts[] = {
    {"accounts", 'n', CS_OPT_U64, "N", "how many accounts, named by the prefix and 1..N", NULL, "1", 1, MAX_ACCOUNTS},
    {"prefix", 0, CS_OPT_STR, "TEXT", "prefix of the account ids", NULL, "account-", 0, 0},
    {"account", 'a', CS_OPT_MANY, "ID", "an account id (may repeat; instead of --accounts)", NULL, NULL, 0, 0},
    {"import", 0, CS_OPT_STR, "FILE",
     "share these private keys: 64 hex digits, or lines `account_id hex`; - reads standard input", NULL, NULL, 0, 0},
    {"recipient", 'r', CS_OPT_STR, "AGE1", "seal the service's file to this age recipient", NULL, NULL, 0, 0},
    {"plaintext", 0, CS_OPT_FLAG, NULL, "do not seal the client's file (nor the service's without --recipient)", NULL,
     NULL, 0, 0},
    {"passphrase-file", 0, CS_OPT_STR, "FILE",
     "passphrase of the client's file in its first line (else the terminal asks)", NULL, NULL, 0, 0},
    {"sealing-root", 0, CS_OPT_FLAG, NULL, "put a fresh sealing root of the TEE service into the service's file", NULL,
     NULL, 0, 0},
    {"caller", 0, CS_OPT_MANY, "FILE", "put this caller of the TEE service into it (signctl caller public; may repeat)",
     NULL, NULL, 0, 0},
    {"publisher-key", 0, CS_OPT_STR, "FILE", "sign both files with this key of `signctl publisher keygen`", NULL, NULL,
     0, 0},
    {"generation", 'g', CS_OPT_U64, "N", "generation of the files", NULL, "1", 0, UINT64_MAX},
    {"out-dir", 'd', CS_OPT_STR, "DIR", "where to write; made (0700) when it is missing", NULL, ".", 0, 0},
    {"force", 'f', CS_OPT_FLAG, NULL, "replace existing files", NULL, NULL, 0, 0},
    {"json", 0, CS_OPT_FLAG, NULL, "summary as JSON", NULL, NULL, 0, 0},
    {0},
};

static const cs_opt publisher_opts[] = {
    {"output", 'o', CS_OPT_STR, "FILE", "where to write the private key (mode 0600)", NULL, NULL, 0, 0},
    {"force", 'f', CS_OPT_FLAG, NULL, "replace an existing file", NULL, NULL, 0, 0},
    {"json", 0, CS_OPT_FLAG, NULL, "public key as JSON", NULL, NULL, 0, 0},
    {0},
};

const cs_cmd cs_cmds_keygen[] = {
    {"keygen", "[-n N | -a ID... | --import FILE] (-r age1... | --plaintext) [-d DIR]",
     "make keys and write the shares of client and service",
     "Writes client_key_shares.json and service_key_shares.json (.age when sealed), both 0600. A key exists whole only "
     "in this\n"
     "process. Existing files are kept unless --force.\n\n"
     "examples:\n"
     "    signctl publisher keygen -o publisher.key\n"
     "    signctl keygen -n 1000 -r age1... --publisher-key publisher.key --generation 7 -d shares\n"
     "    signctl keygen --import - -a treasury --plaintext < key.hex\n"
     "    signctl keygen -a hot --sealing-root --caller app.pub.json -r age1... --publisher-key publisher.key",
     keygen_opts, 0, 0, run_keygen},
    {"publisher keygen", "-o FILE", "make the Ed25519 key that signs share files and unban orders",
     "Prints the public key, which goes into shares.publishers of the measured configuration.", publisher_opts, 0, 0,
     run_publisher},
    {0},
};
