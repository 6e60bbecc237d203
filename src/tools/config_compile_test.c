/* Properties: every documented default and section, determinism, and one refusal per fault that names the key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "codec/cbor.h"
#include "core/config.h"
#include "kms/config.h"
#include "service/service.h"
#include "tools/config_compile.h"

#define MINIMAL "kms: {region: eu-west-1, keyArn: 'arn:aws:kms:eu-west-1:123456789012:key/k'}\n"
static const char pem[] = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
static char asked[64];

static cs_err give_ca(void *cookie, cs_buf *out, const char *path)
{
    (void)snprintf(asked, sizeof asked, "%s", path == NULL ? "(default)" : path);
    return cookie != NULL ? *(const cs_err *)cookie
                          : cs_put_str(out, path != NULL && strcmp(path, "empty") == 0 ? "x" : pem);
}

static uint8_t mem[CS_CONFIG_CBOR_MAX];
static cs_yaml_fault fault;

static cs_err compile(cs_buf *out, const char *yaml)
{
    const cs_config_files files = {.read_ca = give_ca};

    *out = cs_buf_wrap(mem, sizeof mem);
    return cs_config_compile(out, &fault, cs_slice_str(yaml), &files);
}

static cs_slice section(const cs_buf *b, const char *name)
{
    cs_cbor c = cs_cbor_of(cs_buf_slice(b), CS_CBOR_STRICT);
    cs_cbor_iter it;
    cs_slice key, value = CS_SLICE_NULL;

    assert_int_equal(cs_cbor_map(&c, &it), CS_OK);
    while (cs_cbor_more(&c, &it)) {
        assert_int_equal(cs_cbor_text(&c, &key), CS_OK);
        assert_int_equal(cs_cbor_skip(&c, &value), CS_OK);
        if (cs_slice_eq_str(key, name)) {
            return value;
        }
    }
    return CS_SLICE_NULL;
}

/* The programs' own readers take what is compiled, and see the documented defaults. */
static void defaults_reach_the_programs(void **state)
{
    cs_buf out;
    cs_core_config core;
    cs_kms_config kms;
    const char *bad = NULL;

    (void)state;
    assert_int_equal(compile(&out, MINIMAL), CS_OK);
    assert_int_equal(cs_cbor_check(cs_buf_slice(&out), CS_CBOR_STRICT), CS_OK);
    assert_string_equal(asked, "(default)");
    assert_int_equal(cs_core_config_read(&core, &bad, section(&out, "core")), CS_OK);
    assert_true(core.require_signed && !core.debug_allowed && core.num_publishers == 0 && core.num_context == 0);
    assert_true(core.min_generation == 0 && core.max_bytes == 268435456 && core.sessions == 1024);
    assert_true(core.silence_ms == 10000 && core.arena_mib == 256 && core.level == CS_LOG_INFO);
    assert_true(!core.tee_enabled && core.tee_cache_seconds == 0 && core.tee_cache_entries == 1024 &&
                core.tee_workers == 0 && core.tee_queue == 256 && core.tee_window_seconds == 60);
    assert_true(core.num_tee_key_arns == 1 && cs_slice_eq(core.tee_key_arns[0], core.key_arn));
    for (unsigned op = 0; op <= CS_TEE_NUM_OPS; op++) {
        assert_int_equal(core.tee_approvals[op], 0);
    }
    assert_int_equal(cs_kms_config_read(&kms, &bad, section(&out, "kms")), CS_OK);
    assert_true(kms.proxy_port == 5000 && kms.parent_cid == 3 && !kms.lease && kms.num_tee_key_arns == 0);
    assert_string_equal(kms.host, "kms.eu-west-1.amazonaws.com");
    cs_service_config service;
    assert_int_equal(cs_service_config_read(&service, section(&out, "service")), CS_OK);
    assert_true(service.gateway_url[0] == '\0' && service.server_index == 1 && service.shares_max == 268435456 &&
                service.egress_port == 8080);
    assert_true(section(&out, "init").len > 0);
}

static void given_values_reach_the_programs(void **state)
{
    static const char yaml[] =
        "kms:\n  region: r\n  keyArn: k\n  encryptionContext: {zz: '1', b: '2', a: '3'}\n  host: localhost\n  "
        "proxyPort: 7\n  caFile: x.pem\n"
        "shares:\n  publishers: [0000000000000000000000000000000000000000000000000000000000000abc]\n  "
        "requireSignedShares: false\n"
        "  minGeneration: 9\n  maxBytes: 4096\nlimits: {sessions: 2, silenceMs: 100, arenaMiB: 8}\nlogging: {level: "
        "debug}\n"
        "enclave: {parentCid: 5, debugAllowed: true, clockSources: [a]}\n"
        "tee:\n  enabled: true\n  kmsKeyArns: [k, 'arn:l']\n  dataKeyCacheSeconds: 60\n  dataKeyCacheEntries: 2\n"
        "  workers: 3\n  queue: 4\n  windowSeconds: 5\n  requireApproval: {Import: 16, Sign: 2, Rotate: 1}\n";
    cs_buf out;
    cs_core_config core;
    cs_kms_config kms;
    const char *bad = NULL;

    (void)state;
    assert_int_equal(compile(&out, yaml), CS_OK);
    assert_string_equal(asked, "x.pem");
    assert_int_equal(cs_core_config_read(&core, &bad, section(&out, "core")), CS_OK);
    assert_true(!core.require_signed && core.debug_allowed && core.num_publishers == 1 &&
                core.publisher[0][31] == 0xbc);
    assert_true(core.num_context == 3 && cs_slice_eq_str(core.context_key[0], "a") &&
                cs_slice_eq_str(core.context_key[2], "zz"));
    assert_true(core.min_generation == 9 && core.max_bytes == 4096 && core.sessions == 2 && core.silence_ms == 100);
    assert_int_equal(cs_kms_config_read(&kms, &bad, section(&out, "kms")), CS_OK);
    assert_true(core.tee_enabled && core.tee_cache_seconds == 60 && core.tee_cache_entries == 2 &&
                core.tee_workers == 3 && core.tee_queue == 4 && core.tee_window_seconds == 5);
    assert_true(core.num_tee_key_arns == 2 && cs_slice_eq_str(core.tee_key_arns[1], "arn:l"));
    assert_true(core.tee_approvals[CS_TEE_SIGN] == 2 && core.tee_approvals[CS_TEE_ROTATE] == 1 &&
                core.tee_approvals[CS_TEE_IMPORT] == 16 && core.tee_approvals[CS_TEE_SEAL] == 0);
    assert_true(kms.proxy_port == 7 && kms.parent_cid == 5 && kms.lease);
    assert_true(kms.num_tee_key_arns == 2 && cs_slice_eq_str(kms.tee_key_arn[0], "k"));
    assert_string_equal(kms.host, "localhost");
}

static void the_address_of_the_rooms_is_checked_and_made_canonical(void **state)
{
    static const struct {
        const char *url, *stored; /* NULL: refused */
    } rows[] = {
        {"", ""},
        {"http://gw:8080", "http://gw:8080"},
        {"http://gw:8080/", "http://gw:8080"},
        {"http://gw", "http://gw:80"},
        {"http://gw/a/b-c_d.e~/", "http://gw:80/a/b-c_d.e~"},
        {"http://127.0.0.1:1/x", "http://127.0.0.1:1/x"},
        {"http://[::1]:8080", "http://[::1]:8080"},
        {"https://gw:8080", NULL},
        {"gw:8080", NULL},
        {"http://", NULL},
        {"http://:80", NULL},
        {"http://gw:0", NULL},
        {"http://gw:65536", NULL},
        {"http://gw:", NULL},
        {"http://gw:08", NULL},
        {"http://gw:80x", NULL},
        {"http://u@gw:80", NULL},
        {"http://[]:80", NULL},
        {"http://[::1", NULL},
        {"http://gw:80/a?b", NULL},
        {"http://gw:80/a#b", NULL},
        {"http://gw:80/a//b", NULL},
        {"http://gw:80/../b", NULL},
        {"http://gw:80/a%0ab", NULL},
        {"http://gw:80/a b", NULL},
    };
    char yaml[256];
    cs_service_config c;
    cs_buf out;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        (void)snprintf(yaml, sizeof yaml, MINIMAL "gateway: {url: '%s'}\nserver: {index: 0}\n", rows[i].url);
        cs_err err = compile(&out, yaml);
        if (rows[i].stored == NULL) {
            assert_int_equal(err, CS_E_CONFIG);
            assert_non_null(strstr(fault.text, "gateway.url: http://HOST:PORT"));
            continue;
        }
        assert_int_equal(err, CS_OK);
        assert_int_equal(cs_service_config_read(&c, section(&out, "service")), CS_OK);
        assert_string_equal(c.gateway_url, rows[i].stored);
        assert_int_equal(c.server_index, 0);
    }
}

/* The seed's own file, whole: what it says reaches the programs, and nothing of KMS is needed with a share file. */
static void the_seeds_file_is_taken_as_it_is(void **state)
{
    static const char yaml[] =
        "gateway:\n  url: \"http://sign-gateway:8080\"\nserver:\n  host: \"0.0.0.0\"\n  port: 50052\n"
        "  index: 1\nlogging:\n  level: warning\n  format: json\nmpc:\n  threshold: 2\n"
        "  total_participants: 2\n  key_share_file: /dev/shm/service_key_shares.json\n";
    cs_service_config service;
    cs_core_config core;
    cs_kms_config kms;
    const char *bad;
    cs_buf out;

    (void)state;
    assert_int_equal(compile(&out, yaml), CS_OK);
    assert_int_equal(cs_service_config_read(&service, section(&out, "service")), CS_OK);
    assert_string_equal(service.gateway_url, "http://sign-gateway:8080");
    assert_true(service.server_index == 1 && service.egress_port == 8080 && service.log_level == CS_LOG_WARN);
    assert_int_equal(cs_core_config_read(&core, &bad, section(&out, "core")), CS_OK);
    assert_string_equal(core.key_share_file, "/dev/shm/service_key_shares.json");
    assert_true(core.require_signed && cs_slice_eq_str(core.key_arn, "none") && core.level == CS_LOG_WARN);
    assert_int_equal(cs_kms_config_read(&kms, &bad, section(&out, "kms")), CS_OK);
    assert_string_equal(kms.host, "kms.us-east-1.amazonaws.com");
    static const uint8_t host[] = "\xa2\x64host\x67"
                                  "0.0.0.0\x64port\x19\xc3\x84";
    cs_slice got = section(&out, "host");
    assert_true(got.len == sizeof host - 1 && memcmp(got.p, host, got.len) == 0);
    assert_int_equal(compile(&out, MINIMAL "logging: {level: trace}\nmpc: {key_share_file: ~}\n"), CS_OK);
    assert_int_equal(cs_core_config_read(&core, &bad, section(&out, "core")), CS_OK);
    assert_true(core.level == CS_LOG_DEBUG && core.key_share_file[0] == '\0');
    assert_int_equal(compile(&out, "mpc: {key_share_file: ''}\n"),
                     CS_E_CONFIG); /* without one, the key is needed again */
    assert_string_equal(fault.text, "kms.region is required");
}

/* deploy/config/sign-service.yaml has every key, each with its default, or an example of those without one. */
static void the_example_is_the_defaults(void **state)
{
    static const char same[] = "kms: {region: us-east-1, keyArn: 'arn:aws:kms:us-east-1:111122223333:key/"
                               "1234abcd-12ab-34cd-56ef-1234567890ab'}\n"
                               "gateway: {url: 'http://sign-gateway:8080'}\nshares: {publishers: "
                               "[d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a]}\n";
    static char text[CS_CONFIG_YAML_MAX + 1];
    static uint8_t first[CS_CONFIG_CBOR_MAX];
    FILE *f = fopen(CS_SOURCE_ROOT "/deploy/config/sign-service.yaml", "re");
    cs_buf out;

    (void)state;
    assert_non_null(f);
    size_t len = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[len] = '\0';
    assert_int_equal(compile(&out, text), CS_OK);
    assert_string_equal(asked, "(default)");
    size_t first_len = out.len;
    memcpy(first, mem, first_len);
    assert_int_equal(compile(&out, same), CS_OK);
    assert_int_equal(out.len, first_len);
    assert_memory_equal(first, mem, first_len);
    for (size_t i = 0; cs_config_key(i) != NULL; i++) {
        const char *name = strchr(cs_config_key(i), '.') + 1;
        char line[64], commented[64];
        (void)snprintf(line, sizeof line, "\n  %s:", name);
        (void)snprintf(commented, sizeof commented, "\n  # %s:", name);
        assert_true(strstr(text, line) != NULL || strstr(text, commented) != NULL);
    }
}

static void what_is_set_comes_before_the_file(void **state)
{
    static const cs_config_set set[] = {
        {"kms.proxyPort", "7"}, {"mpc.key_share_file", "/b"}, {"kms.proxyPort", "8"}, {"kms.region", "eu-west-2"}};
    cs_config_files files = {.read_ca = give_ca, .set = set, .num_set = 4};
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_core_config core;
    cs_kms_config kms;
    const char *bad;

    (void)state;
    assert_int_equal(cs_config_compile(&out, &fault, cs_slice_str(MINIMAL "mpc: {key_share_file: /a}\n"), &files),
                     CS_OK);
    assert_int_equal(cs_kms_config_read(&kms, &bad, section(&out, "kms")), CS_OK);
    assert_int_equal(kms.proxy_port, 8);
    assert_string_equal(kms.host, "kms.eu-west-2.amazonaws.com");
    assert_int_equal(cs_core_config_read(&core, &bad, section(&out, "core")), CS_OK);
    assert_string_equal(core.key_share_file, "/b");
    static const struct {
        cs_config_set set;
        cs_err err;
        const char *says;
    } bad_rows[] = {
        {{"kms.proxyport", "7"},
         CS_E_CONFIG_KEY,
         "unknown key kms.proxyport in --set; the nearest known one is kms.proxyPort"},
        {{"kms.proxyPort", "0"}, CS_E_CONFIG, "kms.proxyPort: a number"},
        {{"shares.publishers", "00"}, CS_E_CONFIG, "shares.publishers: a list"},
        {{"kms.encryptionContext", "a"}, CS_E_CONFIG, "kms.encryptionContext: a map"},
    };
    for (size_t i = 0; i < sizeof bad_rows / sizeof *bad_rows; i++) {
        files.set = &bad_rows[i].set;
        files.num_set = 1;
        out.len = 0;
        assert_int_equal(cs_config_compile(&out, &fault, cs_slice_str(MINIMAL), &files), bad_rows[i].err);
        assert_non_null(strstr(fault.text, bad_rows[i].says));
    }
}

static void order_and_layout_of_the_yaml_do_not_matter(void **state)
{
    static uint8_t first[CS_CONFIG_CBOR_MAX];
    cs_buf out;

    (void)state;
    assert_int_equal(
        compile(&out, "logging: {level: warn}\nkms:\n  keyArn: k\n  region: r\n  encryptionContext: {b: x, a: y}\n"),
        CS_OK);
    size_t len = out.len;
    memcpy(first, mem, len);
    assert_int_equal(
        compile(&out,
                "# c\nkms: {encryptionContext: {a: y, b: x}, region: 'r', keyArn: \"k\"}\nlogging:\n    level: warn\n"),
        CS_OK);
    assert_true(out.len == len && memcmp(first, mem, len) == 0);
}

typedef struct fault_row {
    const char *yaml;
    cs_err err;
    const char *says;
} fault_row;

static void refused(const fault_row *rows, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        cs_buf out;
        cs_err err = compile(&out, rows[i].yaml);
        if (err != rows[i].err || strstr(fault.text, rows[i].says) == NULL || out.len != 0) {
            fail_msg("row %zu: %s, \"%s\", %zu bytes", i, cs_err_code(err), fault.text, out.len);
        }
    }
}

static void each_fault_is_refused_and_named(void **state)
{
    static const fault_row rows[] = {
        {"kms: {regoin: x}\n", CS_E_CONFIG_KEY, "unknown key kms.regoin; the nearest known one is kms.region"},
        {"share: {publishers: []}\n", CS_E_CONFIG_KEY, "unknown key share;"},
        {"kms.region: x\n", CS_E_CONFIG_KEY, "unknown key kms.region;"},
        {"? [a]\n: {b: c}\n", CS_E_CONFIG_KEY, "unknown key"},
        {"", CS_E_CONFIG, "not a map"},
        {"- a\n", CS_E_CONFIG, "not a map"},
        {"kms: {region: [\n", CS_E_CONFIG, "not YAML"},
        {MINIMAL "---\n" MINIMAL, CS_E_CONFIG, "one YAML document"},
        {"kms: x\n", CS_E_CONFIG, "keys are wanted"},
        {"kms: {region: r}\n", CS_E_CONFIG, "kms.keyArn is required"},
        {"kms: {keyArn: r}\n", CS_E_CONFIG, "kms.region is required"},
        {MINIMAL "kms: {host: b}\n", CS_E_CONFIG, "kms is there twice"},
        {"kms: {region: r, keyArn: k, region: s}\n", CS_E_CONFIG, "kms.region is there twice"},
        {"kms: {region: [a], keyArn: k}\n", CS_E_CONFIG, "kms.region: one value"},
        {"kms: {region: '', keyArn: k}\n", CS_E_CONFIG, "kms.region: text of 1 to 64"},
        {"kms: {region: \"a\\0b\", keyArn: k}\n", CS_E_CONFIG, "kms.region: a NUL byte"},
        {"kms: {region: r, keyArn: k, host: 'a:443'}\n", CS_E_CONFIG, "kms.host: a host name"},
        {"kms: {region: r, keyArn: k, proxyPort: 0}\n", CS_E_CONFIG, "kms.proxyPort: a number"},
        {"kms: {region: r, keyArn: k, proxyPort: 0x10}\n", CS_E_CONFIG, "kms.proxyPort: a number"},
        {"kms: {region: r, keyArn: k, encryptionContext: [a]}\n", CS_E_CONFIG, "kms.encryptionContext: a map"},
        {"kms: {region: r, keyArn: k, encryptionContext: {a: [b]}}\n", CS_E_CONFIG, "kms.encryptionContext: too deep"},
        {"kms: {region: r, keyArn: k, encryptionContext: {a: b, 'a': c}}\n", CS_E_CONFIG,
         "kms.encryptionContext: an entry is there twice"},
        {"kms: {region: r, keyArn: k, caFile: empty}\n", CS_E_CONFIG, "kms.caFile: there is no PEM"},
        {"kms: {region: r, keyArn: k, caFile: [a]}\n", CS_E_CONFIG, "kms.caFile: a path"},
        {"shares: {publishers: [00]}\n", CS_E_CONFIG, "shares.publishers: each entry"},
        {"shares: {publishers: a}\n", CS_E_CONFIG, "shares.publishers: a list"},
        {"shares: {requireSignedShares: yes}\n", CS_E_CONFIG, "shares.requireSignedShares: true or false"},
        {"shares: {maxBytes: 1}\n", CS_E_CONFIG, "shares.maxBytes: a number of 1024"},
        {"shares: {maxBytes: 268435457}\n", CS_E_CONFIG, "shares.maxBytes: a number of 1024 to 268435456"},
        {"limits: {silenceMs: -1}\n", CS_E_CONFIG, "limits.silenceMs: a number"},
        {"server: {index: 2}\n", CS_E_CONFIG, "server.index: a number of 0 to 1"},
        {"gateway: {url: [a]}\n", CS_E_CONFIG, "gateway.url: one value"},
        {"gateway: {uri: a}\n", CS_E_CONFIG_KEY, "unknown key gateway.uri; the nearest known one is gateway.url"},
        {"gateway: {url: https://a}\n", CS_E_CONFIG, "gateway.url: http://HOST:PORT"},
        {"gateway: {egressPort: 0}\n", CS_E_CONFIG, "gateway.egressPort: a number of 1"},
        {"server: {host: 10.0.0.1}\n", CS_E_CONFIG, "server.host: 127.0.0.1, ::1"},
        {"server: {host: [127.0.0.1]}\n", CS_E_CONFIG, "server.host: one value"},
        {"server: {port: 65536}\n", CS_E_CONFIG, "server.port: a number of 1 to 65535"},
        {"server: {port: http}\n", CS_E_CONFIG, "server.port: a number"},
        {"server: {prot: 1}\n", CS_E_CONFIG_KEY, "unknown key server.prot; the nearest known one is server.port"},
        {MINIMAL "mpc: {enabled: false}\n", CS_E_CONFIG, "the image would serve nothing"},
        {"mpc: {enabled: 1}\n", CS_E_CONFIG, "mpc.enabled: true or false is wanted"},
        {MINIMAL "signerRpc: {enabled: true}\n", CS_E_NOT_IMPLEMENTED, "not implemented: signerRpc.enabled"},
        {MINIMAL "mpc: {enabled: false}\nsignerRpc: {enabled: true}\n", CS_E_NOT_IMPLEMENTED,
         "not implemented: signerRpc.enabled"},
        {"mpc: {threshold: 3}\n", CS_E_CONFIG, "mpc.threshold: only 2 is possible: both parties"},
        {"mpc: {total_participants: 3}\n", CS_E_CONFIG, "mpc.total_participants: only 2 is possible: both parties"},
        {"mpc: {key_share_file: shares.json}\n", CS_E_CONFIG, "mpc.key_share_file: an absolute path"},
        {"mpc: {keyShareFile: /a}\n", CS_E_CONFIG_KEY, "the nearest known one is mpc.key_share_file"},
        {"mpc: {threshold: 2, threshold: 2}\n", CS_E_CONFIG, "mpc.threshold is there twice"},
        {"loging: {}\n", CS_E_CONFIG_KEY, "unknown key loging; the nearest known one is logging"},
        {"logging: {format: pretty}\n", CS_E_CONFIG, "logging.format: only json is possible"},
        {"logging: {format: text}\n", CS_E_CONFIG, "logging.format: only json is possible"},
        {"kms: &k {region: r}\n", CS_E_CONFIG, "an anchor"},
        {"logging: {level: loud}\n", CS_E_CONFIG, "logging.level: debug, info"},
        {"enclave: {systemCallFilter: log}\n", CS_E_CONFIG, "enclave.systemCallFilter: kill or trap is wanted"},
        {"enclave: {clockSources: []}\n", CS_E_CONFIG, "enclave.clockSources: 1 to 16"},
        {"enclave: {clockSources: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]}\n", CS_E_CONFIG,
         "enclave.clockSources: 1 to 16"},
    };

    (void)state;
    refused(rows, sizeof rows / sizeof *rows);
}

static void faults_of_the_tee_service_are_refused_and_named(void **state)
{
    static const fault_row rows[] = {
        {MINIMAL "mpc: {enabled: false}\ntee: {enabled: true}\n", CS_E_NOT_IMPLEMENTED,
         "not implemented: mpc.enabled: false with tee.enabled"},
        {"tee: {enabled: 1}\n", CS_E_CONFIG, "tee.enabled: true or false is wanted"},
        {"tee: {enable: true}\n", CS_E_CONFIG_KEY, "unknown key tee.enable; the nearest known one is tee.enabled"},
        {"tee: {kmsKeyArns: a}\n", CS_E_CONFIG, "tee.kmsKeyArns: a list is wanted"},
        {"tee: {kmsKeyArns: ['']}\n", CS_E_CONFIG, "tee.kmsKeyArns: text of 1 to 2048"},
        {"tee: {kmsKeyArns: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]}\n", CS_E_CONFIG, "tee.kmsKeyArns: 0 to 16"},
        {"tee: {dataKeyCacheSeconds: 3601}\n", CS_E_CONFIG, "tee.dataKeyCacheSeconds: a number of 0 to 3600"},
        {"tee: {dataKeyCacheEntries: 0}\n", CS_E_CONFIG, "tee.dataKeyCacheEntries: a number of 1 to 65536"},
        {"tee: {workers: 65}\n", CS_E_CONFIG, "tee.workers: a number of 0 to 64"},
        {"tee: {queue: 0}\n", CS_E_CONFIG, "tee.queue: a number of 1 to 65536"},
        {"tee: {windowSeconds: 4}\n", CS_E_CONFIG, "tee.windowSeconds: a number of 5 to 600"},
        {"tee: {requireApproval: [Sign]}\n", CS_E_CONFIG, "tee.requireApproval: a map is wanted"},
        {"tee: {requireApproval: {sign: 1}}\n", CS_E_CONFIG, "tee.requireApproval: sign is no operation"},
        {"tee: {requireApproval: {Sign: 0}}\n", CS_E_CONFIG, "tee.requireApproval.Sign: a number of 1 to 16"},
        {"tee: {requireApproval: {Sign: 17}}\n", CS_E_CONFIG, "tee.requireApproval.Sign: a number of 1 to 16"},
        {"tee: {requireApproval: {Sign: 1, Sign: 2}}\n", CS_E_CONFIG, "tee.requireApproval: an entry is there twice"},
    };

    (void)state;
    refused(rows, sizeof rows / sizeof *rows);
}

static void sizes_and_files_have_their_own_errors(void **state)
{
    static char large[CS_CONFIG_YAML_MAX + 2];
    const cs_err denied = CS_E_IO;
    const cs_config_files files = {.read_ca = give_ca, .cookie = (void *)(uintptr_t)&denied};
    cs_buf out;

    (void)state;
    memset(large, '#', CS_CONFIG_YAML_MAX + 1);
    assert_int_equal(compile(&out, large), CS_E_TOO_LARGE);
    assert_int_equal(cs_config_compile(&out, &fault, cs_slice_str(MINIMAL), &files), CS_E_IO);
    assert_non_null(strstr(fault.text, "kms.caFile"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_reach_the_programs),
        cmocka_unit_test(given_values_reach_the_programs),
        cmocka_unit_test(the_address_of_the_rooms_is_checked_and_made_canonical),
        cmocka_unit_test(the_seeds_file_is_taken_as_it_is),
        cmocka_unit_test(the_example_is_the_defaults),
        cmocka_unit_test(what_is_set_comes_before_the_file),
        cmocka_unit_test(order_and_layout_of_the_yaml_do_not_matter),
        cmocka_unit_test(each_fault_is_refused_and_named),
        cmocka_unit_test(faults_of_the_tee_service_are_refused_and_named),
        cmocka_unit_test(sizes_and_files_have_their_own_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
