/* What options, environment and the measured configuration decide, and every refusal with its words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/cbor.h"
#include "host/local_lease.h"
#include "host/run.h"

static cs_host_measured measured;
static cs_enclave_opts got;
static cs_err outcome;
static char why[200];

static int take(const cs_args *a)
{
    got = (cs_enclave_opts){0};
    outcome = cs_host_settings(&got, why, a, &measured);
    return 0;
}

/* Words of a command line behind "sign-host run"; the status of the parser. */
static int with(const char *words)
{
    static const cs_cmd commands[] = {
        {.name = "run", .synopsis = "", .summary = "", .opts = cs_host_run_opts, .run = take}, {0}};
    char text[512], *argv[32] = {"sign-host", "run"};
    int argc = 2;

    (void)snprintf(text, sizeof text, "%s", words);
    for (char *save = NULL, *w = strtok_r(text, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        argv[argc++] = w;
    }
    outcome = CS_E_INTERNAL;
    return cs_cmd_main("sign-host", "", commands, argc, argv);
}

static int setup(void **state)
{
    static const char *const variables[] = {
        "AWS_REGION",       "KMS_PROXY_PORT",         "KMS_PROXY_DEST_HOST",     "KMS_PROXY_DEST_PORT",
        "KMS_PROXY_ENABLE", "AWS_CREDS_VSOCK_PORT",   "AGE_KEY_VSOCK_PORT",      "KEY_SHARES_VSOCK_PORT",
        "HOST_GRPC_PORT",   "HOST_EGRESS_VSOCK_PORT", "HOST_EGRESS_TARGET_HOST", "HOST_EGRESS_TARGET_PORT",
    };

    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        (void)unsetenv(variables[i]);
    }
    measured = (cs_host_measured){.kms_proxy = 5000, .egress = 8080, .server_port = 50051, .address = "127.0.0.1"};
    return 0;
}

static void is(const cs_endpoint *ep, const char *host, unsigned port)
{
    assert_int_equal(ep->scheme, CS_EP_TCP);
    assert_string_equal(ep->host, host);
    assert_int_equal(ep->port, port);
}

static void nothing_said_is_what_the_seeds_say(void **state)
{
    (void)state;
    assert_int_equal(with(""), 0);
    assert_int_equal(outcome, CS_OK);
    is(&got.grpc, "127.0.0.1", 50051);
    is(&got.kms, "kms.us-east-1.amazonaws.com", 443);
    is(&got.egress, "127.0.0.1", 8080);
    assert_true(got.ports.credentials == 7100 && got.ports.age == 7101 && got.ports.shares == 7102);
    assert_true(got.ports.kms_proxy == 5000 && got.ports.egress == 8080);
    assert_int_equal(cs_host_port(&got.ports, 7101), 7101);
    assert_int_equal(cs_host_port(&got.ports, 9), 9);
    assert_int_equal(cs_host_port(&(cs_host_ports){.age = 8}, 7101), 8);
}

static void options_come_before_variables_before_the_configuration(void **state)
{
    (void)state;
    measured.server_port = 4;
    assert_int_equal(with(""), 0);
    is(&got.grpc, "127.0.0.1", 4);
    assert_int_equal(setenv("HOST_GRPC_PORT", "5", 1), 0);
    assert_int_equal(with(""), 0);
    is(&got.grpc, "127.0.0.1", 5);
    assert_int_equal(with("--host-grpc-port 6"), 0);
    is(&got.grpc, "127.0.0.1", 6);
    assert_int_equal(with("--host-grpc-port 6 --listen tcp:127.0.0.1:7"), 0);
    is(&got.grpc, "127.0.0.1", 7);
    assert_int_equal(setenv("HOST_GRPC_PORT", "", 1), 0); /* empty is not set */
    assert_int_equal(with(""), 0);
    is(&got.grpc, "127.0.0.1", 4);
    assert_int_equal(setenv("AWS_REGION", "eu-west-3", 1), 0);
    assert_int_equal(setenv("KMS_PROXY_DEST_PORT", "8443", 1), 0);
    assert_int_equal(with(""), 0);
    is(&got.kms, "kms.eu-west-3.amazonaws.com", 8443);
    assert_int_equal(with("--kms-proxy-dest-host ::1"), 0);
    is(&got.kms, "::1", 8443);
    assert_int_equal(with("--kms-endpoint tcp:a:1"), 0);
    is(&got.kms, "a", 1);
    assert_int_equal(setenv("KMS_PROXY_ENABLE", "0", 1), 0);
    assert_int_equal(with("--kms-endpoint tcp:a:1"), 0);
    assert_int_equal(got.kms.scheme, 0);
    assert_int_equal(setenv("HOST_EGRESS_TARGET_HOST", "gw", 1), 0);
    assert_int_equal(with("--host-egress-target-port 9"), 0);
    is(&got.egress, "gw", 9);
    assert_int_equal(with("--egress tcp:b:2"), 0);
    is(&got.egress, "b", 2);
}

static void what_leads_nowhere_is_refused(void **state)
{
    static const struct {
        const char *words;
        cs_err err;
        const char *says;
    } rows[] = {
        {"--kms-proxy-port 5001", CS_E_CONFIG, "KMS_PROXY_PORT: the image's configuration dials 5000, not 5001"},
        {"--host-egress-vsock-port 1", CS_E_CONFIG,
         "HOST_EGRESS_VSOCK_PORT: the image's configuration dials 8080, not 1"},
        {"--age-key-vsock-port 7100", CS_E_CONFIG, "two of the injectors have port 7100"},
        {"--key-shares-vsock-port 7100", CS_E_CONFIG, "two of the injectors have port 7100"},
        {"--key-shares-vsock-port 7101", CS_E_CONFIG, "two of the injectors have port 7101"},
        {"--listen 127.0.0.1:1", CS_E_FORMAT, "--listen: 127.0.0.1:1 is no endpoint"},
        {"--kms-endpoint x", CS_E_FORMAT, "--kms-endpoint: x is no endpoint"},
        {"--egress x", CS_E_FORMAT, "--egress: x is no endpoint"},
        {"--region us_east", CS_E_CONFIG, "AWS_REGION: us_east is no name of a region"},
        {"--region ../x", CS_E_CONFIG, "AWS_REGION: ../x"},
        {"--s3-endpoint foo", CS_E_CONFIG, "S3_ENDPOINT: foo is not http://HOST[:PORT]"},
        {"--imds-endpoint ftp://x", CS_E_CONFIG, "IMDS_ENDPOINT: ftp://x is not"},
        {"--imds-endpoint http://x/", CS_E_CONFIG, "IMDS_ENDPOINT: http://x/ is not"},
        {"--order x", CS_E_USAGE, "--order x: the letters k, a and s"},
        {"--order kak", CS_E_USAGE, "--order kak"},
        {"--kms-proxy-dest-host a/b", CS_E_FORMAT, "KMS_PROXY_DEST_HOST: tcp:a/b:443 is no endpoint"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(with(rows[i].words), 0);
        if (outcome != rows[i].err || strstr(why, rows[i].says) == NULL) {
            fail_msg("row %zu: %s, \"%s\"", i, cs_err_code(outcome), why);
        }
    }
    measured.kms_proxy = 8080;
    assert_int_equal(with(""), 0);
    assert_int_equal(outcome, CS_E_CONFIG);
    assert_non_null(strstr(why, "are both 8080"));
}

/* ---------------------------------------------------------------- the measured side */

static char dir[] = "/tmp/settings.XXXXXX";

static void put_file(cs_slice bytes)
{
    char path[64];

    (void)snprintf(path, sizeof path, "%s/config.cbor", dir);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.p, 1, bytes.len, f), bytes.len);
    assert_int_equal(fclose(f), 0);
}

/* {"kms": {"proxyPort": kms}, "core": {"keyShareFile": path}, "host": {"port": port}, "service": {"egressPort": egress}} */
static cs_err measure(cs_host_measured *m, uint64_t kms, const char *path, uint64_t port, uint64_t egress)
{
    uint8_t mem[256];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_err err = cs_cbor_put_map(&b, 4);

    err |= cs_cbor_put_text(&b, "kms") | cs_cbor_put_map(&b, 1) | cs_cbor_put_text(&b, "proxyPort") |
           cs_cbor_put_uint(&b, kms);
    err |= cs_cbor_put_text(&b, "core") | cs_cbor_put_map(&b, 1) | cs_cbor_put_text(&b, "keyShareFile") |
           cs_cbor_put_text(&b, path);
    err |= cs_cbor_put_text(&b, "host") | cs_cbor_put_map(&b, 1) | cs_cbor_put_text(&b, "port") |
           cs_cbor_put_uint(&b, port);
    err |= cs_cbor_put_text(&b, "service") | cs_cbor_put_map(&b, 1) | cs_cbor_put_text(&b, "egressPort") |
           cs_cbor_put_uint(&b, egress);
    assert_int_equal(err, CS_OK);
    put_file(cs_buf_slice(&b));
    return cs_host_measured_read(m, dir);
}

static void an_image_says_its_ports(void **state)
{
    static const uint8_t empty_core[] = "\xa1\x64"
                                        "core\xa0",
                         no_core[] = "\xa0",
                         cut[] = "\xa1\x64"
                                 "core",
                         wrong_type[] = "\xa2\x63kms\xa1\x69proxyPort\x61x\x64"
                                        "core\xa0";
    cs_host_measured m;

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(cs_host_measured_read(&m, dir), CS_E_IO);
    assert_int_equal(measure(&m, 1, "", 2, 3), CS_OK);
    assert_true(m.kms_proxy == 1 && m.server_port == 2 && m.egress == 3 && !m.key_share_file);
    assert_int_equal(measure(&m, 1, "/x", 2, 3), CS_OK);
    assert_true(m.key_share_file);
    assert_int_equal(measure(&m, 0, "", 2, 3), CS_E_CONFIG);
    assert_int_equal(measure(&m, 1, "", 65536, 3), CS_E_CONFIG);
    assert_int_equal(measure(&m, 1, "", 2, UINT32_MAX), CS_E_CONFIG);
    assert_int_equal(measure(&m, 1, "", 2, 3), CS_OK);
    assert_false(m.lease);                /* an image of before */
    for (unsigned on = 0; on < 3; on++) { /* no, yes, a number */
        static const uint8_t value[] = {0xf4, 0xf5, 0x01};
        uint8_t leased[] = "\xa2\x63kms\xa1\x65lease?\x64"
                           "core\xa0";
        leased[12] = value[on];
        assert_int_equal(leased[11], 'e');
        put_file(cs_slice_of(leased, sizeof leased - 1));
        assert_int_equal(cs_host_measured_read(&m, dir), on < 2 ? CS_OK : CS_E_CONFIG);
        assert_true(on == 2 || m.lease == (on == 1));
    }
    put_file(cs_slice_of(empty_core, sizeof empty_core - 1)); /* of an older version: the launch table's */
    assert_int_equal(cs_host_measured_read(&m, dir), CS_OK);
    assert_true(m.kms_proxy == 5000 && m.server_port == 50051 && m.egress == 8080 && !m.key_share_file);
    put_file(cs_slice_of(no_core, sizeof no_core - 1));
    assert_int_equal(cs_host_measured_read(&m, dir), CS_E_CONFIG);
    put_file(cs_slice_of(cut, sizeof cut - 1));
    assert_int_equal(cs_host_measured_read(&m, dir), CS_E_CONFIG);
    put_file(cs_slice_of(wrong_type, sizeof wrong_type - 1));
    assert_int_equal(cs_host_measured_read(&m, dir), CS_E_CONFIG);
    put_file(CS_SLICE_NULL);
    assert_int_equal(cs_host_measured_read(&m, dir), CS_E_CONFIG);
    char path[64];
    (void)snprintf(path, sizeof path, "%s/config.cbor", dir);
    (void)unlink(path);
    (void)rmdir(dir);
}

/* five minutes before they expire, half-way when they live shorter, never at once */
static void credentials_of_a_local_run_are_renewed_in_time(void **state)
{
    (void)state;
    assert_int_equal(cs_local_lease_wait_ms(3600000, 0), 3300000);
    assert_int_equal(cs_local_lease_wait_ms(3600000, 3590000), 5000);
    assert_int_equal(cs_local_lease_wait_ms(600000, 0), 300000);
    assert_int_equal(cs_local_lease_wait_ms(1000, 0), 1000);
    assert_int_equal(cs_local_lease_wait_ms(0, 1000), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_said_is_what_the_seeds_say, setup),
        cmocka_unit_test_setup(options_come_before_variables_before_the_configuration, setup),
        cmocka_unit_test_setup(what_leads_nowhere_is_refused, setup),
        cmocka_unit_test_setup(an_image_says_its_ports, setup),
        cmocka_unit_test(credentials_of_a_local_run_are_renewed_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
