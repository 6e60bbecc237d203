/* signctl tee: keys and data that are used inside an enclave, by one caller of the TEE service. Rotation and approvals: cmd_tee_rotate.c, cmd_tee_approve.c. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "store/store_cmd.h"
#include "rpc/tee_rpc.h"
#include "secret/rng.h"
#include "tools/cmds.h"
#include "tools/json_lines.h"
#include "tools/secret_io.h"
#include "tools/tee_open.h"

#define OUT_MAX (1u << 20)
#define STATS_MAX 65536u
#define NONCE_LEN 32u
#define NONCE_MAX 512u
#define DOCUMENT_MAX 16384u
#define DATA_KEY_MAX 6144u

/* ---------------------------------------------------------------- what the commands share */

static cs_err algorithm_of(cs_tee_open *o, countersign_tee_algorithm *out)
{
    const char *name = cs_args_str(o->args, "algorithm");
    cs_tee_alg alg = CS_TEE_DATA;

    o->detail = "--algorithm NAME is needed: ecdsa-secp256k1, ecdsa-p256, ed25519 or schnorr-bip340";
    CS_TRY(name != NULL ? cs_tee_alg_of(cs_slice_str(name), &alg) : CS_E_USAGE);
    CS_TRY(alg != CS_TEE_DATA ? CS_OK : CS_E_ALGORITHM);
    o->detail = NULL;
    *out = (countersign_tee_algorithm)alg;
    return CS_OK;
}

static void put_key(cs_jw *w, const countersign_tee_public_key *key)
{
    cs_jw_cstr(w, "algorithm", cs_tee_alg_name((uint64_t)key->algorithm));
    cs_jw_hex(w, "public_key", cs_slice_of(key->bytes, key->len));
}

/* One object: what put writes, then what is known of the call. */
static cs_err print(const cs_tee_open *o, void (*put)(cs_jw *w, const void *what), const void *what)
{
    cs_buf out = cs_buf_heap(OUT_MAX);
    cs_jw w = cs_jw_begin(&out);
    cs_err err;

    cs_jw_object(&w, NULL);
    if (o->args->num_pos > 0) {
        cs_jw_cstr(&w, "record", o->args->pos[0]);
    }
    put(&w, what);
    cs_tee_put_audit(&w, o);
    cs_jw_close_object(&w);
    err = cs_jw_end(&w);
    if (err == CS_OK) {
        err = cs_json_print(cs_buf_slice(&out), !cs_args_flag(o->args, "json"));
    }
    cs_buf_free(&out);
    return err;
}

/* ---------------------------------------------------------------- keys */

static void put_public(cs_jw *w, const void *what)
{
    put_key(w, what);
}

static cs_err print_key(cs_tee_open *o, int rc, const countersign_tee_public_key *key)
{
    cs_err err = CS_OK;

    if (rc != 0) {
        return cs_tee_failed(o);
    }
    return cs_tee_only_body(o, &err) ? err : print(o, put_public, key);
}

static cs_err generate(cs_tee_open *o, const cs_args *a)
{
    countersign_tee_algorithm alg;
    countersign_tee_public_key key = {0};

    o->args = a;
    CS_TRY(algorithm_of(o, &alg));
    CS_TRY(cs_tee_open_all(o, a, true));
    return print_key(o, countersign_tee_generate(o->tee, &o->call, a->pos[0], alg, &key, &o->error), &key);
}

static int run_generate(const cs_args *a)
{
    static cs_tee_open o;

    return cs_tee_end(&o, generate(&o, a));
}

/* 32 bytes, or 64 hex digits and a line's end. */
static cs_err private_key(cs_secret32 *out, cs_slice file)
{
    cs_slice text = file.len == 65 && file.p[64] == '\n' ? cs_slice_of(file.p, 64) : file;

    if (text.len == sizeof out->b) {
        memcpy(out->b, text.p, sizeof out->b);
        return CS_OK;
    }
    return text.len == 64 && cs_hex_decode_ct(out->b, sizeof out->b, text.p) != 0 ? CS_OK : CS_E_FORMAT;
}

static cs_err import(cs_tee_open *o, const cs_args *a)
{
    const char *path = cs_args_str(a, "private-key");
    countersign_tee_algorithm alg;
    countersign_tee_public_key key = {0};
    CS_SECRET(cs_secret32) secret = {0};
    cs_buf file = {0};

    o->args = a;
    CS_TRY(algorithm_of(o, &alg));
    o->detail = "--private-key FILE is needed";
    CS_TRY(path != NULL ? CS_OK : CS_E_USAGE);
    CS_TRY(cs_tee_open_all(o, a, true));
    o->detail = path;
    CS_TRY(cs_tool_read(&file, path, 128));
    cs_err err = private_key(&secret, cs_buf_slice(&file));
    cs_secret_buf_free(&file);
    CS_TRY(err);
    o->detail = NULL;
    return print_key(o, countersign_tee_import(o->tee, &o->call, a->pos[0], alg, secret.b, &key, &o->error), &key);
}

/* Without a key: a backup of the store. */
static int run_import(const cs_args *a)
{
    static cs_tee_open o;

    if (cs_args_str(a, "algorithm") == NULL && cs_args_str(a, "private-key") == NULL) {
        return cs_store_cmd_import(a);
    }
    return cs_tee_end(&o, import(&o, a));
}

static cs_err public_key(cs_tee_open *o, const cs_args *a)
{
    countersign_tee_public_key key = {0};

    CS_TRY(cs_tee_open_all(o, a, false));
    return print_key(o, countersign_tee_public_key_of(o->tee, &o->call, a->pos[0], &key, &o->error), &key);
}

static int run_public_key(const cs_args *a)
{
    static cs_tee_open o;

    return cs_tee_end(&o, public_key(&o, a));
}

static void put_signature(cs_jw *w, const void *what)
{
    const countersign_tee_signature *s = what;

    cs_jw_hex(w, "signature", cs_slice_of(s->bytes, sizeof s->bytes));
    cs_jw_u64(w, "recovery_id", s->recovery_id);
    put_key(w, &s->public_key);
}

/* --digest HEX or --message FILE */
static cs_err payload_of(cs_tee_open *o, cs_buf *out)
{
    const char *digest = cs_args_str(o->args, "digest"), *message = cs_args_str(o->args, "message");
    uint8_t *p = NULL;

    *out = cs_buf_heap(COUNTERSIGN_TEE_BODY_MAX);
    o->detail = "one of --digest HEX and --message FILE is needed";
    if ((digest == NULL) == (message == NULL)) {
        return CS_E_USAGE;
    }
    o->detail = digest != NULL ? "--digest takes 64 hex digits" : message;
    if (message != NULL) {
        CS_TRY(cs_tfile_read(out, message));
    } else {
        digest += strncmp(digest, "0x", 2) == 0 ? 2 : 0;
        CS_TRY(cs_put_space(out, &p, 32));
        CS_TRY(cs_hex_decode(p, 32, cs_slice_str(digest)));
    }
    o->detail = NULL;
    return CS_OK;
}

static cs_err sign(cs_tee_open *o, const cs_args *a, cs_buf *payload)
{
    countersign_tee_input input = cs_args_str(a, "digest") != NULL ? COUNTERSIGN_TEE_DIGEST : COUNTERSIGN_TEE_MESSAGE;
    countersign_tee_algorithm alg;
    countersign_tee_signature sig = {0};
    cs_err err = CS_OK;

    o->args = a;
    CS_TRY(algorithm_of(o, &alg));
    CS_TRY(payload_of(o, payload));
    CS_TRY(cs_tee_open_all(o, a, true));
    if (countersign_tee_sign(o->tee, &o->call, a->pos[0], alg, input, payload->p, payload->len, &sig, &o->error) != 0) {
        return cs_tee_failed(o);
    }
    return cs_tee_only_body(o, &err) ? err : print(o, put_signature, &sig);
}

static int run_sign(const cs_args *a)
{
    static cs_tee_open o;
    cs_buf payload = {0};
    cs_err err = sign(&o, a, &payload);

    cs_buf_free(&payload);
    return cs_tee_end(&o, err);
}

/* ---------------------------------------------------------------- data */

static void put_version(cs_jw *w, const void *what)
{
    cs_jw_u64(w, "version", *(const uint32_t *)what);
}

static cs_err seal(cs_tee_open *o, const cs_args *a, cs_buf *plain)
{
    uint32_t version = (uint32_t)cs_args_u64(a, "version");
    const char *path = cs_args_str(a, "in");
    cs_err err = CS_OK;

    CS_TRY(cs_tee_open_all(o, a, true));
    o->detail = path;
    CS_TRY(cs_tool_read(plain, path, COUNTERSIGN_TEE_DATA_MAX));
    o->detail = NULL;
    if (countersign_tee_seal(o->tee, &o->call, a->pos[0], version, plain->p, plain->len, &version, &o->error) != 0) {
        return cs_tee_failed(o);
    }
    return cs_tee_only_body(o, &err) ? err : print(o, put_version, &version);
}

static int run_seal(const cs_args *a)
{
    static cs_tee_open o;
    cs_buf plain = {0};
    cs_err err = seal(&o, a, &plain);

    cs_secret_buf_free(&plain);
    return cs_tee_end(&o, err);
}

/* The plaintext goes to a file of mode 0600, or to standard output alone. */
static cs_err write_plain(cs_tee_open *o, cs_slice plain)
{
    const char *path = cs_args_str(o->args, "out");
    cs_tfile_out out = {0};
    cs_err err;

    o->detail = path;
    err = cs_tfile_out_open(&out, path, false);
    if (err == CS_OK && (err = cs_tfile_out_write(&out, plain)) == CS_OK) {
        err = cs_tfile_out_commit(&out);
    }
    cs_tfile_out_close(&out);
    o->detail = err == CS_OK ? NULL : o->detail;
    return err;
}

static bool to_stdout(const cs_args *a)
{
    const char *path = cs_args_str(a, "out");

    return path == NULL || strcmp(path, "-") == 0;
}

static cs_err begin_out(cs_tee_open *o, const cs_args *a, cs_buf *plain)
{
    o->args = a;
    o->detail = "--json needs --out FILE: standard output would hold both";
    CS_TRY(to_stdout(a) && cs_args_flag(a, "json") ? CS_E_USAGE : CS_OK);
    CS_TRY(cs_tee_open_all(o, a, true));
    return cs_secret_buf(plain, COUNTERSIGN_TEE_DATA_MAX);
}

static cs_err end_out(cs_tee_open *o, cs_buf *plain, size_t len, uint32_t version)
{
    cs_err err = CS_OK;

    if (cs_tee_only_body(o, &err)) {
        return err;
    }
    plain->len = len;
    CS_TRY(write_plain(o, cs_buf_slice(plain)));
    return to_stdout(o->args) ? CS_OK : print(o, put_version, &version);
}

static cs_err unseal(cs_tee_open *o, const cs_args *a, cs_buf *plain)
{
    uint32_t version = (uint32_t)cs_args_u64(a, "version");
    size_t len = 0;

    CS_TRY(begin_out(o, a, plain));
    if (countersign_tee_unseal(o->tee, &o->call, a->pos[0], version, plain->p, plain->cap, &len, &version, &o->error) !=
        0) {
        return cs_tee_failed(o);
    }
    return end_out(o, plain, len, version);
}

static int run_unseal(const cs_args *a)
{
    static cs_tee_open o;
    cs_buf plain = {0};
    cs_err err = unseal(&o, a, &plain);

    cs_secret_buf_free(&plain);
    return cs_tee_end(&o, err);
}

/* An optional file. */
static cs_err read_option(cs_tee_open *o, cs_buf *out, const char *name, size_t max, bool needed)
{
    const char *path = cs_args_str(o->args, name);

    *out = cs_buf_heap(max);
    if (path == NULL) {
        o->detail = "--in, --data-key and --kms-key are needed";
        return needed ? CS_E_USAGE : CS_OK;
    }
    o->detail = path;
    CS_TRY(cs_tfile_read(out, path));
    o->detail = NULL;
    return CS_OK;
}

static cs_err decrypt(cs_tee_open *o, const cs_args *a, cs_buf in[3], cs_buf *plain)
{
    countersign_tee_foreign f = {.kms_key = cs_args_str(a, "kms-key")};
    size_t len = 0;

    o->args = a;
    CS_TRY(read_option(o, &in[0], "data-key", DATA_KEY_MAX, true));
    CS_TRY(read_option(o, &in[1], "aad", COUNTERSIGN_TEE_DATA_MAX, false));
    CS_TRY(read_option(o, &in[2], "in", COUNTERSIGN_TEE_DATA_MAX + 28u, true));
    o->detail = "--in, --data-key and --kms-key are needed";
    CS_TRY(f.kms_key != NULL ? CS_OK : CS_E_USAGE);
    CS_TRY(begin_out(o, a, plain));
    f.data_key = in[0].p;
    f.data_key_len = in[0].len;
    f.aad = in[1].p;
    f.aad_len = in[1].len;
    f.ciphertext = in[2].p;
    f.ciphertext_len = in[2].len;
    if (countersign_tee_decrypt(o->tee, &o->call, a->pos[0], &f, plain->p, plain->cap, &len, &o->error) != 0) {
        return cs_tee_failed(o);
    }
    return end_out(o, plain, len, 0);
}

static int run_decrypt(const cs_args *a)
{
    static cs_tee_open o;
    cs_buf plain = {0}, in[3] = {{0}};
    cs_err err = decrypt(&o, a, in, &plain);

    for (size_t i = 0; i < 3; i++) {
        cs_buf_free(&in[i]);
    }
    cs_secret_buf_free(&plain);
    return cs_tee_end(&o, err);
}

/* ---------------------------------------------------------------- attest, stats */

static void put_document(cs_jw *w, const void *what)
{
    const cs_slice *document = what;
    cs_att_doc doc;
    cs_tee_vouch v;
    char name[8];

    if (cs_att_doc_parse(&doc, *document) != CS_OK) {
        return; /* it was verified */
    }
    cs_jw_cstr(w, "module_id", doc.claims.module_id);
    cs_jw_u64(w, "timestamp_ms", doc.claims.timestamp_ms);
    for (unsigned i = 0; i < CS_ATT_NUM_PCRS; i++) {
        if ((doc.claims.pcr_mask >> i & 1) != 0 && !cs_pcr_is_zero(&doc.claims.pcr[i])) {
            (void)snprintf(name, sizeof name, "PCR%u", i);
            cs_jw_hex(w, name, cs_slice_of(doc.claims.pcr[i].b, CS_PCR_LEN));
        }
    }
    if (cs_tee_vouch_decode(&v, cs_slice_of(doc.claims.user_data.b, doc.claims.user_data.len)) == CS_OK) {
        cs_jw_hex(w, "request_key", cs_slice_of(v.request_key32, 32));
        cs_jw_hex(w, "audit_key", cs_slice_of(v.audit_key32, 32));
    }
}

static cs_err nonce_of(cs_tee_open *o, uint8_t nonce[NONCE_MAX], size_t *len)
{
    const char *hex = cs_args_str(o->args, "nonce");

    *len = NONCE_LEN;
    if (hex == NULL) {
        return cs_random(nonce, NONCE_LEN);
    }
    *len = strlen(hex) / 2;
    o->detail = "--nonce takes 16 to 512 bytes in hex";
    return strlen(hex) % 2 == 0 && *len >= 16 && *len <= NONCE_MAX ? cs_hex_decode(nonce, *len, cs_slice_str(hex))
                                                                   : CS_E_USAGE;
}

static cs_err attest(cs_tee_open *o, const cs_args *a)
{
    uint8_t nonce[NONCE_MAX], document[DOCUMENT_MAX];
    size_t nonce_len = 0, len = 0;
    cs_slice doc;

    o->args = a;
    CS_TRY(nonce_of(o, nonce, &nonce_len));
    CS_TRY(cs_tee_open_all(o, a, false));
    if (countersign_tee_attest(o->tee, &o->call, nonce, nonce_len, document, sizeof document, &len, &o->error) != 0) {
        return cs_tee_failed(o);
    }
    doc = cs_slice_of(document, len);
    if (cs_args_str(a, "out") != NULL) {
        CS_TRY(write_plain(o, doc));
    }
    return cs_args_str(a, "out") != NULL && to_stdout(a) ? CS_OK : print(o, put_document, &doc);
}

static int run_attest(const cs_args *a)
{
    static cs_tee_open o;

    return cs_tee_end(&o, attest(&o, a));
}

static cs_err stats(cs_tee_open *o, const cs_args *a)
{
    static char text[STATS_MAX];

    CS_TRY(cs_tee_open_all(o, a, false));
    if (countersign_tee_stats(o->tee, &o->call, text, sizeof text, &o->error) != 0) {
        return cs_tee_failed(o);
    }
    return cs_json_print(cs_slice_str(text), !cs_args_flag(a, "json"));
}

static int run_stats(const cs_args *a)
{
    static cs_tee_open o;

    return cs_tee_end(&o, stats(&o, a));
}

/* ---------------------------------------------------------------- tables */

#define ALGORITHM_OPT                                                                                                  \
    {"algorithm", 'a', CS_OPT_STR, "NAME", "ecdsa-secp256k1, ecdsa-p256, ed25519 or schnorr-bip340", NULL, NULL, 0, 0},
#define OUT_OPT                                                                                                        \
    {"out", 'o', CS_OPT_STR, "FILE", "write it there, mode 0600; default: standard output", NULL, NULL, 0, 0},

static const cs_opt generate_opts[] = {ALGORITHM_OPT CS_TEE_CALLER_OPTS CS_TEE_LINK_OPTS{0}};
static const cs_opt import_opts[] = {
    {"private-key", 0, CS_OPT_STR, "FILE", "32 bytes or 64 hex digits; - reads standard input", NULL, NULL, 0, 0},
    {"store", 's', CS_OPT_STR, "ADDRESS", "of a backup: sqlite:PATH or postgresql://HOST/NAME", "SIGN_GATEWAY_STORE",
     NULL, 0, 0},
    {"check", 0, CS_OPT_FLAG, NULL, "of a backup: verify the file, store nothing", NULL, NULL, 0, 0},
    {"replace", 0, CS_OPT_FLAG, NULL, "of a backup: its rows take the place of other versions", NULL, NULL, 0, 0},
    ALGORITHM_OPT CS_TEE_CALLER_OPTS CS_TEE_LINK_OPTS{0}};
static const cs_opt public_opts[] = {CS_TEE_LINK_OPTS{0}};
static const cs_opt sign_opts[] = {
    {"digest", 0, CS_OPT_STR, "HEX", "the 32-byte hash to sign", NULL, NULL, 0, 0},
    {"message", 'm', CS_OPT_STR, "FILE", "the message to sign; - reads standard input", NULL, NULL, 0, 0},
    ALGORITHM_OPT CS_TEE_CALLER_OPTS CS_TEE_LINK_OPTS{0}};
static const cs_opt seal_opts[] = {
    {"in", 0, CS_OPT_STR, "FILE", "the plaintext, at most 65536 bytes; - reads standard input", NULL, "-", 0, 0},
    {"version", 0, CS_OPT_U64, "N", "1 for a new record, else the stored one + 1", NULL, "1", 1, UINT32_MAX},
    CS_TEE_CALLER_OPTS CS_TEE_LINK_OPTS{0}};
static const cs_opt unseal_opts[] = {
    {"version", 0, CS_OPT_U64, "N", "the version that it must have; 0: any", NULL, "0", 0, UINT32_MAX},
    OUT_OPT CS_TEE_CALLER_OPTS CS_TEE_LINK_OPTS{0}};
static const cs_opt decrypt_opts[] = {
    {"in", 0, CS_OPT_STR, "FILE", "nonce (12 bytes), ciphertext, tag (16); - reads standard input", NULL, NULL, 0, 0},
    {"data-key", 0, CS_OPT_STR, "FILE", "the data key's CiphertextBlob", NULL, NULL, 0, 0},
    {"kms-key", 0, CS_OPT_STR, "ARN", "KMS key of the data key", NULL, NULL, 0, 0},
    {"aad", 0, CS_OPT_STR, "FILE", "associated data; default: none", NULL, NULL, 0, 0},
    OUT_OPT CS_TEE_CALLER_OPTS CS_TEE_LINK_OPTS{0}};
static const cs_opt attest_opts[] = {
    {"nonce", 0, CS_OPT_STR, "HEX", "16 to 512 bytes; default: random", NULL, NULL, 0, 0},
    {"out", 'o', CS_OPT_STR, "FILE", "write the document there", NULL, NULL, 0, 0},
    CS_TEE_LINK_OPTS{0}};

#define WHO "-i FILE -g ENDPOINT (--allowed IMAGE... | --pcr N=HEX... | --any-pcrs)"

const cs_cmd cs_cmds_tee[] = {
    {"tee attest", "[-o FILE] -g ENDPOINT (--allowed IMAGE... | --any-pcrs)",
     "fetch and verify the attestation document of the TEE service",
     "Prints the measurements, the key that requests are sealed to and the key that signs the audit log.\n\n"
     "examples:\n"
     "    signctl tee attest -g tcp:127.0.0.1:50070 --allowed images/pcrs.json\n"
     "    signctl tee attest --env build/run/endpoints.env -o document.bin --json",
     attest_opts, 0, 0, run_attest},
    {"tee generate", "RECORD -a ALGORITHM " WHO, "make a private key inside the enclave",
     "The key is stored as ciphertext under RECORD; its public key is printed.\n\n"
     "example:\n    signctl tee generate wallet-7 -a ecdsa-secp256k1 -i alice.json --env build/run/endpoints.env",
     generate_opts, 1, 1, run_generate},
    {"tee import", "(RECORD -a ALGORITHM --private-key FILE " WHO " | FILE [--check] [--replace] --store ADDRESS)",
     "bring a private key into the enclave, or a backup into the store",
     "A key leaves this machine sealed to the attested enclave only. A backup (signctl tee export) is verified before "
     "anything is\n"
     "written, and is stored whole or not at all; rows that are there must be the same ones, unless --replace. With "
     "SQLite the gateway\n"
     "must not run meanwhile.\n\n"
     "examples:\n    signctl tee import wallet-8 -a ed25519 --private-key seed.hex -i alice.json --env "
     "build/run/endpoints.env\n"
     "    signctl tee import backup.jsonl --check\n"
     "    signctl tee import backup.jsonl --store sqlite:/var/lib/countersign/tee.db",
     import_opts, 1, 1, run_import},
    {"tee public-key", "RECORD -g ENDPOINT (--allowed IMAGE... | --any-pcrs)", "print the public key of a record",
     "Needs no identity.\n\nexample:\n    signctl tee public-key wallet-7 --env build/run/endpoints.env --json",
     public_opts, 1, 1, run_public_key},
    {"tee sign", "RECORD -a ALGORITHM (--digest HEX | --message FILE) " WHO, "sign with a key inside the enclave",
     "ECDSA hashes a message with SHA-256; ed25519 signs messages only. The signature is verified before it is "
     "printed. The\n"
     "same --request-id and --time-ms with the same request are one request, however often it is sent.\n\n"
     "examples:\n"
     "    signctl tee sign wallet-7 -a ecdsa-secp256k1 --digest ab..12 -i alice.json --env build/run/endpoints.env\n"
     "    signctl tee sign wallet-9 -a ed25519 --message letter.txt -i alice.json -g tcp:gateway:443 --ca ca.pem "
     "--allowed images/pcrs.json",
     sign_opts, 1, 1, run_sign},
    {"tee seal", "RECORD [--version N] [--in FILE] " WHO, "store data that only the enclave can open",
     "example:\n    signctl tee seal password-3 --in secret.txt -i alice.json --env build/run/endpoints.env", seal_opts,
     1, 1, run_seal},
    {"tee unseal", "RECORD [-o FILE] " WHO, "get data back, sealed to the caller on its way",
     "example:\n    signctl tee unseal password-3 -o secret.txt -i alice.json --env build/run/endpoints.env",
     unseal_opts, 1, 1, run_unseal},
    {"tee decrypt", "RECORD --in FILE --data-key FILE --kms-key ARN [--aad FILE] [-o FILE] " WHO,
     "open what others encrypted under a data key of KMS",
     "AES-256-GCM: nonce, ciphertext and tag in one file. RECORD names it for the policy and the log.\n\n"
     "example:\n    signctl tee decrypt import-1 --in blob.bin --data-key dk.bin --kms-key arn:aws:kms:... -o "
     "plain.bin "
     "-i alice.json --env build/run/endpoints.env",
     decrypt_opts, 1, 1, run_decrypt},
    {"tee stats", "-g ENDPOINT (--allowed IMAGE... | --any-pcrs)", "print what core counts",
     "example:\n    signctl tee stats --env build/run/endpoints.env", public_opts, 0, 0, run_stats},
    {0},
};
