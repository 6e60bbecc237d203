#include "tools/party_open.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/text.h"
#include "secret/age.h"
#include "tools/secret_io.h"
#include "tools/tool_file.h"

#define MAX_SHARES ((size_t)256 << 20)
#define MAX_ENV 65536u
#define FDS_WANTED 4096u
#define LOCAL_ENV "build/run/endpoints.env" /* what `make up` writes, seen from the project's directory */
#define AGE_BINARY "age-encryption.org/v1"
#define AGE_ARMOR "-----BEGIN AGE"

/* the value of KEY in lines KEY=VALUE; "export " in front and single or double quotes around are taken off */
static bool env_value(cs_slice text, const char *key, cs_slice *out)
{
    cs_reader r = cs_reader_of(text);
    cs_slice line;
    bool found = false;
    while (r.left > 0) {
        if (cs_read_line(&r, &line, MAX_ENV) != CS_OK && cs_read_slice(&r, &line, r.left) != CS_OK) {
            break;
        }
        if (line.len > 7 && memcmp(line.p, "export ", 7) == 0) {
            line = cs_slice_of(line.p + 7, line.len - 7);
        }
        size_t n = strlen(key);
        if (line.len > n && memcmp(line.p, key, n) == 0 && line.p[n] == '=') {
            *out = cs_slice_of(line.p + n + 1, line.len - n - 1);
            found = true;
        }
    }
    if (found && out->len >= 2 && (out->p[0] == '"' || out->p[0] == '\'') && out->p[out->len - 1] == out->p[0]) {
        *out = cs_slice_of(out->p + 1, out->len - 2);
    }
    return found;
}

const char *cs_party_value(cs_party_open *o, const char *name, const char *key)
{
    const char *given = name != NULL ? cs_args_str(o->args, name) : NULL;
    cs_slice v;
    if (given != NULL || !env_value(cs_buf_slice(&o->env), key, &v) || v.len >= sizeof o->text[0] ||
        o->num_text == sizeof o->text / sizeof o->text[0]) {
        return given;
    }
    char *copy = o->text[o->num_text++];
    memcpy(copy, v.p, v.len);
    copy[v.len] = '\0';
    return copy;
}

/* which option names the address of a path, and its key in --env */
static const struct {
    const char *name, *key, *missing;
} addresses[] = {
    [CS_PARTY_DIRECT] = {"service", "SIGN_SERVICE_GRPC", "--service ENDPOINT (tcp:HOST:PORT) is needed"},
    [CS_PARTY_THROUGH] = {"gateway-grpc", "GATEWAY_GRPC", "--gateway-grpc ENDPOINT (tcp:HOST:PORT) is needed"},
    [CS_PARTY_ROOMS] = {"gateway", "GATEWAY_HTTP", "--gateway URL (http://HOST:PORT) is needed"},
    [CS_PARTY_TEE] = {"gateway", "TEE_GRPC", "--gateway ENDPOINT (tcp:HOST:PORT) is needed"},
};

cs_err cs_party_endpoint(cs_party_open *o, cs_endpoint *out, const char *name, const char *key)
{
    const char *text = cs_party_value(o, name, key);
    char with_scheme[CS_EP_TEXT_MAX];
    if (text == NULL) {
        return CS_E_USAGE;
    }
    if (strncmp(text, "tcp:", 4) != 0 && strncmp(text, "unix:", 5) != 0 && strncmp(text, "vsock:", 6) != 0 &&
        strlen(text) < sizeof with_scheme - 4) {
        (void)snprintf(with_scheme, sizeof with_scheme, "tcp:%s", text); /* HOST:PORT */
        text = with_scheme;
    }
    return cs_endpoint_parse(out, cs_slice_str(text));
}

/* the gateway's HTTP; HOST:PORT and tcp:HOST:PORT are taken as http://HOST:PORT */
static cs_err gateway_url(cs_party_open *o)
{
    const char *text = cs_party_value(o, addresses[CS_PARTY_ROOMS].name, addresses[CS_PARTY_ROOMS].key);
    if (text == NULL) {
        return CS_E_USAGE;
    }
    const char *scheme = strstr(text, "://") == NULL ? "http://" : "";
    text += strncmp(text, "tcp:", 4) == 0 ? 4 : 0;
    int n = snprintf(o->gateway, sizeof o->gateway, "%s%s", scheme, text);
    return n > 0 && (size_t)n < sizeof o->gateway ? CS_OK : CS_E_RANGE;
}

/* tcp:HOST:PORT, http://HOST:PORT/ and HOST:PORT are one address */
static cs_slice bare(cs_slice text)
{
    static const char *const heads[] = {"http://", "tcp:"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        size_t n = strlen(heads[i]);
        if (text.len > n && memcmp(text.p, heads[i], n) == 0) {
            text = cs_slice_of(text.p + n, text.len - n);
        }
    }
    while (text.len > 0 && text.p[text.len - 1] == '/') {
        text.len--;
    }
    return text;
}

/*
 * What `make up` wrote stands for --env where it speaks of the address that is wanted: none was given, or the one that is in it.
 * Its attestation root and PCRs are of the emulator, and say nothing about any other address.
 */
static cs_err local_env(cs_party_open *o, const char *address)
{
    cs_slice there;
    if (access(LOCAL_ENV, R_OK) != 0) {
        return CS_OK;
    }
    o->detail = LOCAL_ENV;
    CS_TRY(cs_tfile_read(&o->env, LOCAL_ENV));
    if (address != NULL && (!env_value(cs_buf_slice(&o->env), addresses[o->path].key, &there) ||
                            !cs_slice_eq(bare(there), bare(cs_slice_str(address))))) {
        o->env.len = 0;
    }
    return CS_OK;
}

cs_err cs_party_env(cs_party_open *o, const cs_args *a)
{
    const char *file = cs_args_str(a, "env");
    o->args = a;
    o->env = cs_buf_heap(MAX_ENV);
    if (file != NULL) {
        o->detail = file;
        CS_TRY(cs_tfile_read(&o->env, file));
    } else {
        CS_TRY(local_env(o, cs_args_str(a, addresses[o->path].name)));
    }
    o->detail = addresses[o->path].missing;
    CS_TRY(o->path == CS_PARTY_ROOMS
               ? gateway_url(o)
               : cs_party_endpoint(o, &o->service, addresses[o->path].name, addresses[o->path].key));
    o->detail = NULL;
    return CS_OK;
}

/* "0=HEX,1=HEX" */
static cs_err add_pcr_list(cs_att_tuple *tuple, cs_slice list)
{
    while (list.len > 0) {
        const uint8_t *comma = memchr(list.p, ',', list.len);
        size_t n = comma != NULL ? (size_t)(comma - list.p) : list.len;
        CS_TRY(cs_att_tuple_set_text(tuple, cs_slice_of(list.p, n)));
        n += comma != NULL;
        list = cs_slice_of(list.p + n, list.len - n);
    }
    return CS_OK;
}

static cs_err add_pcrs(cs_party_open *o)
{
    const cs_args *a = o->args;
    cs_att_tuple tuple = {0};
    for (size_t i = 0; i < a->num_many; i++) {
        o->detail = "--pcr N=HEX (96 hex digits, not all zero)";
        CS_TRY(cs_att_tuple_set_text(&tuple, cs_slice_str(a->many[i])));
    }
    for (unsigned n = 0; n < 3 && a->num_many == 0; n++) {
        const char key[] = {'P', 'C', 'R', (char)('0' + n), '\0'};
        const char *hex = cs_party_value(o, NULL, key);
        uint8_t value[CS_PCR_LEN];
        o->detail = "PCR0, PCR1 or PCR2 of --env";
        if (hex != NULL) {
            CS_TRY(cs_hex_decode(value, sizeof value, cs_slice_str(hex)));
            CS_TRY(cs_att_tuple_set(&tuple, n, cs_slice_of(value, sizeof value)));
        }
    }
    if (tuple.mask == 0 && !cs_args_flag(a, "any-pcrs") && getenv("ATTESTATION_PCRS") != NULL) {
        o->detail = "ATTESTATION_PCRS of the environment: N=HEX,N=HEX...";
        CS_TRY(add_pcr_list(&tuple, cs_slice_str(getenv("ATTESTATION_PCRS"))));
    }
    o->att.any_pcrs = cs_args_flag(a, "any-pcrs");
    o->att.allow_debug = cs_args_flag(a, "allow-debug");
    if (tuple.mask != 0 && !(o->att.any_pcrs && a->num_many == 0)) {
        CS_TRY(cs_att_policy_add(&o->policy, &tuple));
        o->att.policy = &o->policy;
        o->att.any_pcrs = false;
    }
    o->detail = NULL;
    return tuple.mask != 0 || o->att.any_pcrs ? CS_OK : CS_E_ATT_NO_POLICY;
}

static cs_err read_root(cs_party_open *o)
{
    const char *path = cs_party_value(o, "root", "NSM_ROOT_PEM");
    if (path == NULL) {
        return CS_OK;
    }
    o->detail = path;
    FILE *f = fopen(path, "re");
    X509 *cert = f != NULL ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    uint8_t *der = NULL;
    int len = cert != NULL ? i2d_X509(cert, &der) : -1;
    cs_err err = f == NULL ? CS_E_IO : len <= 0 ? CS_E_FORMAT : CS_OK;
    o->root_der = cs_buf_heap(65536);
    if (err == CS_OK) {
        err = cs_put(&o->root_der, der, (size_t)len);
    }
    OPENSSL_free(der);
    X509_free(cert);
    if (f != NULL) {
        (void)fclose(f);
    }
    o->att.root_der = cs_buf_slice(&o->root_der);
    return err;
}

static bool is_age(cs_slice s)
{
    return (s.len > sizeof AGE_BINARY && memcmp(s.p, AGE_BINARY, sizeof AGE_BINARY - 1) == 0) ||
           (s.len > sizeof AGE_ARMOR && memcmp(s.p, AGE_ARMOR, sizeof AGE_ARMOR - 1) == 0);
}

static cs_err unseal(cs_buf *out, cs_slice file, const char *passphrase_file)
{
    cs_buf passphrase = {0};
    CS_TRY(cs_tool_passphrase(&passphrase, passphrase_file, false));
    cs_err err = cs_secret_buf(out, file.len);
    if (err == CS_OK) {
        err = cs_age_decrypt(out, file, &(cs_age_keys){.passphrase = cs_buf_slice(&passphrase)});
    }
    cs_secret_buf_free(&passphrase);
    return err;
}

/* The client trusts its own file: what proves it is that the signatures verify. A signature that is there must be right. */
static cs_err load_shares(cs_party_open *o)
{
    const char *path = cs_party_value(o, "shares", "CLIENT_SHARES");
    cs_buf file = {0}, plain = {0};
    o->detail = path != NULL ? path : "--shares FILE is needed";
    if (path == NULL) {
        return CS_E_USAGE;
    }
    size_t size = cs_tool_size(path);
    CS_TRY(cs_tool_arena(((size_t)64 << 20) + 3 * (size < MAX_SHARES ? size : MAX_SHARES)));
    CS_TRY(cs_tool_read(&file, path, size > 0 ? size : (size_t)8 << 20));
    cs_slice text = cs_buf_slice(&file);
    cs_err err = CS_OK;
    if (is_age(text)) {
        err = unseal(&plain, text, cs_args_str(o->args, "passphrase-file"));
        text = cs_buf_slice(&plain);
    }
    if (err == CS_OK) {
        err = cs_share_load(&o->shares, text, &(cs_share_policy){.allow_unsigned = true}, NULL);
    }
    cs_secret_buf_free(&plain);
    cs_secret_buf_free(&file);
    return err;
}

/* each room is a connection of its own */
static void allow_connections(void)
{
    struct rlimit fds = {0};
    if (getrlimit(RLIMIT_NOFILE, &fds) == 0 && fds.rlim_cur < FDS_WANTED) {
        fds.rlim_cur = fds.rlim_max < FDS_WANTED ? fds.rlim_max : FDS_WANTED;
        (void)setrlimit(RLIMIT_NOFILE, &fds);
    }
}

cs_err cs_party_start(cs_party_open *o, const cs_args *a)
{
    CS_TRY(cs_party_env(o, a));
    CS_TRY(add_pcrs(o));
    CS_TRY(read_root(o));
    CS_TRY(load_shares(o));
    o->detail = NULL;
    CS_TRY(cs_loop_new(&o->loop));
    if (o->path == CS_PARTY_ROOMS) {
        allow_connections();
    }
    o->detail = o->path == CS_PARTY_ROOMS ? o->gateway : NULL;
    CS_TRY(cs_pclient_new(&o->client, &(cs_pclient_config){.loop = o->loop,
                                                           .service = &o->service,
                                                           .gateway_url = o->path == CS_PARTY_ROOMS ? o->gateway : NULL,
                                                           .shares = o->shares,
                                                           .att = &o->att,
                                                           .timeout_ms = (uint32_t)cs_args_u64(a, "timeout-ms"),
                                                           .retries = (unsigned)cs_args_u64(a, "retries")}));
    o->detail = NULL;
    return CS_OK;
}

void cs_party_stop(cs_party_open *o)
{
    cs_pclient_free(o->client);
    cs_share_free(o->shares);
    if (o->loop != NULL) {
        cs_loop_free(o->loop);
    }
    cs_buf_free(&o->env);
    cs_buf_free(&o->root_der);
    memset(o, 0, sizeof *o);
}
