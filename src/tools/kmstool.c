/* kmstool_enclave_cli: options, output and exit status as the reference tool has them. See kmstool.h. */
#include "tools/kmstool.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "net/endpoint.h"
#include "secret/mem.h"

#define ARENA_SIZE ((size_t)1 << 20)
#define SECRET_TEXT 16384 /* access key, secret key and token */
#define PLAIN_MAX 8192    /* of an envelope */
#define EXIT_RUNTIME 255  /* the reference's main returns -1 */

enum { O_ENDPOINT = 256, O_AUDIENCE, O_CA, O_NSM, O_LOCAL };

typedef struct given {
    cs_kmstool_opts o;
    const char *ciphertext, *algorithm, *spec, *length, *endpoint, *nsm, *local_dir;
    const char *unknown; /* the first option that decrypt does not have */
    cs_buf secrets;      /* copies of credentials */
    bool help, has_proxy_port;
} given;

static const struct option options[] = {
    {"region", required_argument, NULL, 'r'},
    {"proxy-port", required_argument, NULL, 'x'},
    {"aws-access-key-id", required_argument, NULL, 'k'},
    {"aws-secret-access-key", required_argument, NULL, 's'},
    {"aws-session-token", required_argument, NULL, 't'},
    {"ciphertext", required_argument, NULL, 'c'},
    {"key-id", required_argument, NULL, 'K'},
    {"encryption-algorithm", required_argument, NULL, 'a'},
    {"key-spec", required_argument, NULL, 'p'},
    {"length", required_argument, NULL, 'l'},
    {"help", no_argument, NULL, 'h'},
    {"endpoint", required_argument, NULL, O_ENDPOINT},
    {"audience", required_argument, NULL, O_AUDIENCE},
    {"ca-file", required_argument, NULL, O_CA},
    {"nsm", required_argument, NULL, O_NSM},
    {"local-dir", required_argument, NULL, O_LOCAL},
    {NULL, 0, NULL, 0},
};

static int usage(void)
{
    (void)fprintf(stderr,
                  "usage: kmstool_enclave_cli <decrypt|genkey|genrandom|generate-data-key> [options]\n\n"
                  " Options:\n\n"
                  "    --region REGION: AWS region of KMS. Default: us-east-1\n"
                  "    --proxy-port PORT: the parent's proxy for KMS (vsock, CID 3). Default: 8000\n"
                  "    --aws-access-key-id ID: access key id\n"
                  "    --aws-secret-access-key KEY: secret access key\n"
                  "    --aws-session-token TOKEN: session token\n"
                  "    --ciphertext BASE64: decrypt: what to decrypt\n"
                  "    --key-id KEY: decrypt (with --encryption-algorithm), genkey: id, ARN or alias\n"
                  "    --encryption-algorithm NAME: SYMMETRIC_DEFAULT, RSAES_OAEP_SHA_1 or RSAES_OAEP_SHA_256\n"
                  "    --key-spec SPEC: genkey: AES-256 or AES-128\n"
                  "    --length BYTES: genrandom: 1 to 1024\n"
                  "    --help: this text\n\n"
                  " Beyond the reference tool (docs/guides/kmstool.md):\n\n"
                  "    --endpoint CID:PORT: instead of --proxy-port; credentials may then come from AWS_ACCESS_KEY_ID, "
                  "AWS_SECRET_ACCESS_KEY\n"
                  "        and AWS_SESSION_TOKEN, the region from the ARN of --key-id or AWS_REGION\n"
                  "    --audience TEXT: accepted and not used\n"
                  "    --ca-file FILE: roots for KMS's certificate. Default: the image's\n\n"
                  " Example:\n\n"
                  "    kmstool_enclave_cli decrypt --region us-east-1 --proxy-port 8000 --aws-access-key-id ... \\\n"
                  "        --aws-secret-access-key ... --aws-session-token ... --ciphertext AQICAHg...\n");
    return 1;
}

/* A copy in locked memory; what stood in the arguments is removed, so that /proc does not show it. */
static const char *take_secret(given *g, char *arg)
{
    char *at = (char *)g->secrets.p + g->secrets.len;
    size_t n = strlen(arg);

    if (cs_put(&g->secrets, arg, n + 1) != CS_OK) {
        return NULL;
    }
    memset(arg, 'x', n);
    return at;
}

static bool take_option(given *g, int c, char *arg)
{
    const char *secret = c == 'k' || c == 's' || c == 't' ? take_secret(g, arg) : NULL;
    switch (c) {
    case 'r':
        g->o.region = arg;
        break;
    case 'x':
        g->o.port = (uint32_t)strtol(arg, NULL, 10); /* as atoi: what is no number is port 0, which nobody listens on */
        g->has_proxy_port = true;
        break;
    case 'k':
        g->o.access_key_id = secret;
        break;
    case 's':
        g->o.secret_key = secret;
        break;
    case 't':
        g->o.token = secret;
        break;
    case 'c':
        g->ciphertext = arg;
        break;
    case 'K':
        g->o.ask.key_id = arg;
        break;
    case 'a':
        g->algorithm = arg;
        break;
    case 'p':
        g->spec = arg;
        break;
    case 'l':
        g->length = arg;
        break;
    case O_ENDPOINT:
        g->endpoint = arg;
        break;
    case O_AUDIENCE:
        break;
    case O_CA:
        g->o.ca_file = arg;
        break;
    case O_NSM:
        g->nsm = arg;
        return cs_kmstool_platform_linked.emulated;
    case O_LOCAL:
        g->local_dir = arg;
        return cs_kmstool_platform_linked.emulated;
    default:
        return false;
    }
    return c != 'p' && c != 'l'; /* what decrypt has */
}

static void parse(given *g, int argc, char **argv)
{
    int c, at;

    opterr = 0;
    while (at = optind, (c = getopt_long(argc, argv, "+r:x:k:s:t:c:K:a:p:l:h", options, NULL)) != -1 || optind < argc) {
        if (c == -1) {
            optind++; /* a word that belongs to no option */
            continue;
        }
        g->help = g->help || c == 'h';
        if (c != 'h' && !take_option(g, c, optarg) && g->unknown == NULL) {
            g->unknown = argv[at < argc ? at : argc - 1];
        }
    }
}

static const char *env_secret(given *g, const char *name)
{
    const char *v = getenv(name); /* NOLINT(concurrency-mt-unsafe): one thread */
    char *at = (char *)g->secrets.p + g->secrets.len;

    return v != NULL && v[0] != '\0' && cs_put(&g->secrets, v, strlen(v) + 1) == CS_OK ? at : NULL;
}

/* Part 3 of arn:aws:kms:REGION:..., or NULL. */
static const char *region_of(const char *key_id, char out[64])
{
    const char *p = key_id != NULL && strncmp(key_id, "arn:", 4) == 0 ? strstr(key_id, ":kms:") : NULL;
    size_t n = p != NULL ? strcspn(p + 5, ":") : 0;

    if (n == 0 || n >= 64) {
        return NULL;
    }
    (void)snprintf(out, 64, "%.*s", (int)n, p + 5);
    return out;
}

/* The form of seed 001: --endpoint CID:PORT, with neither region nor credentials on the line. */
static bool take_endpoint(given *g)
{
    static char region[64];
    const char *colon = strchr(g->endpoint, ':');
    uint64_t cid = 0, port = 0;

    if (colon == NULL ||
        cs_parse_u64(cs_slice_of(g->endpoint, (size_t)(colon - g->endpoint)), 0xfffffffeu, &cid) != CS_OK ||
        cs_parse_u64(cs_slice_str(colon + 1), 0xfffffffeu, &port) != CS_OK || port == 0) {
        (void)fprintf(stderr, "--endpoint must be CID:PORT, e.g. 3:8000\n");
        return false;
    }
    g->o.cid = (uint32_t)cid;
    g->o.port = (uint32_t)port;
    g->o.access_key_id = g->o.access_key_id != NULL ? g->o.access_key_id : env_secret(g, "AWS_ACCESS_KEY_ID");
    g->o.secret_key = g->o.secret_key != NULL ? g->o.secret_key : env_secret(g, "AWS_SECRET_ACCESS_KEY");
    g->o.token = g->o.token != NULL ? g->o.token : env_secret(g, "AWS_SESSION_TOKEN");
    g->o.region = g->o.region != NULL ? g->o.region : region_of(g->o.ask.key_id, region);
    g->o.region = g->o.region != NULL ? g->o.region : getenv("AWS_REGION"); /* NOLINT(concurrency-mt-unsafe) */
    return true;
}

static bool need(const void *value, const char *option)
{
    if (value == NULL) {
        (void)fprintf(stderr, "%s must be set\n", option);
    }
    return value != NULL;
}

/* genkey's and genrandom's own rules. */
static bool check_genkey(given *g)
{
    if (!need(g->o.ask.key_id, "--key-id") || !need(g->spec, "--key-spec")) {
        return false;
    }
    if (strcmp(g->spec, "AES-256") != 0 && strcmp(g->spec, "AES-128") != 0) {
        (void)fprintf(stderr, "Unknown key spec: %s\n", g->spec);
        return false;
    }
    g->o.ask.key_spec = strcmp(g->spec, "AES-256") == 0 ? "AES_256" : "AES_128";
    return true;
}

static bool check_genrandom(given *g)
{
    if (!need(g->length, "--length")) {
        return false;
    }
    long n = strtol(g->length, NULL, 10);
    if (n <= 0) {
        (void)fprintf(stderr, "--length must be greater than 0\n");
        return false;
    }
    if (n > 1024) {
        (void)fprintf(stderr, "--length must be smaller or equal to 1024\n");
        return false;
    }
    g->o.ask.length = (uint32_t)n;
    return true;
}

static bool check_decrypt(given *g)
{
    if (g->unknown != NULL) {
        (void)fprintf(stderr, "Unknown option: %s\n", g->unknown);
        (void)usage();
        return false;
    }
    return need(g->ciphertext, "--ciphertext");
}

/* What the reference finds only when it runs. */
static bool prepare_decrypt(given *g, cs_buf *blob)
{
    static const char *const algorithms[] = {"SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"};
    bool known = false;

    if (cs_b64_get(blob, cs_slice_str(g->ciphertext), CS_B64_STD) != CS_OK || blob->len == 0) {
        (void)fprintf(stderr, "Ciphertext not a base64 string\n");
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        known = known || (g->algorithm != NULL && strcmp(g->algorithm, algorithms[i]) == 0);
    }
    if (g->o.ask.key_id != NULL && !known) {
        (void)fprintf(
            stderr, "Invalid encryption algorithm\nfix: give --encryption-algorithm SYMMETRIC_DEFAULT with --key-id\n");
        return false;
    }
    g->o.ask.algorithm = g->algorithm;
    g->o.ask.ciphertext = cs_buf_slice(blob);
    return true;
}

static bool put_line(cs_buf *out, const char *name, cs_slice bytes)
{
    return cs_put_str(out, name) == CS_OK && cs_b64_put(out, bytes, CS_B64_STD) == CS_OK &&
           cs_put_u8(out, '\n') == CS_OK;
}

/* In one piece, past stdio's buffers; out is secret. */
static bool print(cs_buf *out, cs_slice ciphertext, cs_slice plain)
{
    size_t done = 0;

    if ((ciphertext.len > 0 && !put_line(out, "CIPHERTEXT: ", ciphertext)) || !put_line(out, "PLAINTEXT: ", plain)) {
        return false;
    }
    while (done < out->len) {
        ssize_t n = write(STDOUT_FILENO, out->p + done, out->len - done);
        if (n <= 0) {
            (void)fprintf(stderr, "standard output cannot be written\n");
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

static int run(given *g)
{
    static const char *const failures[] = {"Could not decrypt ciphertext", "Could not generate data key",
                                           "Could not generate random bytes"};
    cs_buf plain = {0}, text = {0}, blob = cs_buf_heap(CS_KMSTOOL_BLOB_MAX),
           ciphertext = cs_buf_heap(CS_KMSTOOL_BLOB_MAX);
    int status = EXIT_RUNTIME;
    cs_err err;

    if (g->o.ask.op == CS_KMSTOOL_DECRYPT && !prepare_decrypt(g, &blob)) {
        goto out;
    }
    if ((err = cs_kmstool_platform_linked.open(g->nsm, g->local_dir)) != CS_OK) {
        (void)fprintf(stderr,
                      "Could not open the Nitro Security Module: %s\nfix: run inside an enclave, where /dev/nsm is\n",
                      cs_err_cause(err));
    } else if ((err = cs_secret_buf(&plain, PLAIN_MAX)) == CS_OK &&
               (err = cs_secret_buf(&text, 6 * PLAIN_MAX)) == CS_OK) {
        err = cs_kmstool_run(&plain, &ciphertext, &g->o);
    }
    if (err != CS_OK) {
        (void)fprintf(stderr, "%s\n", failures[g->o.ask.op]);
    } else if (print(&text, cs_buf_slice(&ciphertext), cs_buf_slice(&plain))) {
        status = 0;
    }
out:
    cs_secret_buf_free(&plain);
    cs_secret_buf_free(&text);
    cs_buf_free(&blob);
    cs_buf_free(&ciphertext);
    return status;
}

static int dispatch(given *g, const char *command)
{
    static const struct {
        const char *name;
        cs_kmstool_op op;
        bool (*check)(given *g);
    } commands[] = {
        {"decrypt", CS_KMSTOOL_DECRYPT, check_decrypt},
        {"genkey", CS_KMSTOOL_GENKEY, check_genkey},
        {"genrandom", CS_KMSTOOL_GENRANDOM, check_genrandom},
        {"generate-data-key", CS_KMSTOOL_GENKEY, check_genkey},
    };

    if (g->help) {
        return usage();
    }
    if (g->endpoint != NULL && !take_endpoint(g)) {
        return 1;
    }
    if (!need(g->o.access_key_id, "--aws-access-key-id") || !need(g->o.secret_key, "--aws-secret-access-key") ||
        !need(g->o.token, "--aws-session-token")) {
        return 1;
    }
    g->o.region = g->o.region != NULL ? g->o.region : "us-east-1";
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(command, commands[i].name) == 0) {
            g->o.ask.op = commands[i].op;
            return commands[i].check(g) ? run(g) : 1;
        }
    }
    (void)fprintf(stderr, "Unknown command: %s\n", command);
    return usage();
}

int main(int argc, char **argv)
{
    static given g = {.o = {.cid = CS_EP_CID_PARENT, .port = 8000}};
    int status;

    if (argc < 2) {
        return usage();
    }
    (void)signal(SIGPIPE, SIG_IGN);
    cs_harden_process();
    if (cs_arena_init(ARENA_SIZE, false) != CS_OK || cs_secret_buf(&g.secrets, SECRET_TEXT) != CS_OK) {
        (void)fprintf(stderr, "not enough memory\n");
        return EXIT_RUNTIME;
    }
    optind = argv[1][0] == '-' ? 1 : 2;
    parse(&g, argc, argv);
    status = dispatch(&g, argv[1]);
    cs_secret_buf_free(&g.secrets);
    return status;
}
