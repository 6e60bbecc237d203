/* The emulator on a loop in a thread, and the host's clients against it over real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "codec/cbor.h"
#include "emulator/server.h"
#include "net/aws/imds.h"
#include "net/aws/s3.h"

static char dir[64], imds_url[64], s3_url[64], control_path[128];
static cs_loop *loop;
static cs_emu_server *server;
static cs_async *stop;
static pthread_t thread;
static cs_aws_creds admin, role;
static cs_imds_opts imds;
static cs_buf got;

static void on_stop(void *cookie)
{
    cs_loop_stop(loop);
}

static void *serve(void *cookie)
{
    cs_loop_run(loop);
    return NULL;
}

static int setup(void **state)
{
    static const char *const buckets[] = {"your-bucket"};
    static cs_emu_server_opts o = {.state = {.region = "us-east-1",
                                             .account = "123456789012",
                                             .role = "enclave-host",
                                             .role_iam = "s3:GetObject",
                                             .instance_id = "i-1234567890abcdef0",
                                             .credential_s = 3600,
                                             .cms_form = "alternate"},
                                   .buckets = buckets,
                                   .num_buckets = 1};
    char path[128];
    const char *a, *s, *i, *k;
    cs_log_init("test", CS_LOG_ERROR, 2);
    snprintf(dir, sizeof dir, "/tmp/cs-emu-XXXXXX");
    assert_non_null(mkdtemp(dir));
    o.state.dir = dir;
    assert_int_equal(cs_loop_new(&loop), CS_OK);
    assert_int_equal(cs_async_new(&stop, loop, on_stop, NULL), CS_OK);
    assert_int_equal(cs_emu_server_new(&server, loop, &o), CS_OK);
    snprintf(path, sizeof path, "%s/emulator.json", dir);
    snprintf(control_path, sizeof control_path, "%s/nsm-control.sock", dir);
    json_t *j = json_load_file(path, 0, NULL);
    assert_int_equal(
        json_unpack(j, "{s:s,s:s,s:s,s:s}", "imds", &a, "s3", &s, "access_key_id", &i, "secret_access_key", &k), 0);
    snprintf(imds_url, sizeof imds_url, "%s", a);
    snprintf(s3_url, sizeof s3_url, "%s", s);
    snprintf(admin.access_key_id, sizeof admin.access_key_id, "%s", i);
    snprintf(admin.secret_key, sizeof admin.secret_key, "%s", k);
    json_decref(j);
    imds = (cs_imds_opts){.endpoint = imds_url};
    got = cs_buf_heap(1 << 20);
    return pthread_create(&thread, NULL, serve, NULL);
}

static int teardown(void **state)
{
    char cmd[128];
    cs_async_send(stop);
    pthread_join(thread, NULL);
    cs_emu_server_free(server);
    cs_async_free(stop);
    cs_loop_free(loop);
    cs_buf_free(&got);
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd);
}

static cs_s3_opts s3_opts(const cs_aws_creds *who)
{
    return (cs_s3_opts){.region = "us-east-1", .endpoint = s3_url, .creds = who, .max_bytes = 100000};
}

static cs_s3_uri uri(const char *text)
{
    cs_s3_uri u;
    assert_int_equal(cs_s3_parse_uri(&u, text), CS_OK);
    return u;
}

static void the_metadata_service_gives_credentials_and_identity(void **state)
{
    cs_imds_identity id;
    got.len = 0;
    assert_int_equal(cs_imds_credentials(&got, &role, &imds), CS_OK);
    assert_memory_equal(role.access_key_id, "ASIA", 4);
    assert_non_null(memmem(got.p, got.len, role.access_key_id, strlen(role.access_key_id)));
    assert_int_equal(cs_imds_identity_get(&id, &imds), CS_OK);
    assert_string_equal(id.region, "us-east-1");
    assert_string_equal(id.instance_id, "i-1234567890abcdef0");
    assert_string_equal(id.account_id, "123456789012");
}

static void objects_come_back_as_they_were_put(void **state)
{
    static uint8_t body[70000];
    cs_s3_opts o = s3_opts(&admin);
    cs_s3_uri u = uri("s3://your-bucket/enclave/age key+1~%.enc");
    cs_s3_info info;
    for (size_t i = 0; i < sizeof body; i++) {
        body[i] = (uint8_t)(i * 7 + i / 251);
    }
    assert_int_equal(cs_s3_put(&info, &u, cs_slice_of(body, sizeof body), &o), CS_OK);
    assert_int_equal(cs_s3_head(&info, &u, &o), CS_OK);
    assert_int_equal(info.size, sizeof body);
    got.len = 0;
    assert_int_equal(cs_s3_get(&got, &info, &u, &o), CS_OK);
    assert_int_equal(got.len, sizeof body);
    assert_memory_equal(got.p, body, sizeof body);
    assert_int_equal(strlen(info.etag), 34);
    assert_int_equal(cs_s3_put(&info, &u, CS_SLICE_NULL, &o), CS_OK); /* an empty object is one too */
    got.len = 0;
    assert_int_equal(cs_s3_get(&got, &info, &u, &o), CS_OK);
    assert_int_equal(got.len, 0);
}

static void larger_objects_than_wanted_are_refused(void **state)
{
    static uint8_t body[5000];
    cs_s3_opts o = s3_opts(&admin);
    cs_s3_uri u = uri("s3://your-bucket/large");
    assert_int_equal(cs_s3_put(NULL, &u, cs_slice_of(body, sizeof body), &o), CS_OK);
    got.len = 0;
    o.max_bytes = 4999;
    assert_int_equal(cs_s3_get(&got, NULL, &u, &o), CS_E_TOO_LARGE);
    o.max_bytes = 10;
    assert_int_equal(cs_s3_get(&got, NULL, &u, &o), CS_E_TOO_LARGE);
    assert_int_equal(got.len, 0);
    o.max_bytes = 5000;
    assert_int_equal(cs_s3_get(&got, NULL, &u, &o), CS_OK);
}

static void refusals_of_s3_have_their_errors(void **state)
{
    cs_aws_creds wrong = admin, nobody = admin;
    cs_s3_opts o = s3_opts(&admin);
    cs_s3_uri none = uri("s3://your-bucket/none"), no_bucket = uri("s3://other-bucket/none");
    cs_s3_info info;
    got.len = 0;
    assert_int_equal(cs_s3_get(&got, &info, &none, &o), CS_E_S3_NOT_FOUND);
    assert_string_equal(info.code, "NoSuchKey");
    assert_int_equal(cs_s3_get(&got, &info, &no_bucket, &o), CS_E_S3_NOT_FOUND);
    assert_string_equal(info.code, "NoSuchBucket");
    assert_int_equal(cs_s3_head(&info, &none, &o), CS_E_S3_NOT_FOUND);
    wrong.secret_key[0] ^= 1;
    o.creds = &wrong;
    assert_int_equal(cs_s3_get(&got, &info, &none, &o), CS_E_S3_SIGNATURE);
    assert_string_equal(info.code, "SignatureDoesNotMatch");
    nobody.access_key_id[4] = 'x';
    o.creds = &nobody;
    assert_int_equal(cs_s3_get(&got, &info, &none, &o), CS_E_S3_TOKEN);
    assert_string_equal(info.code, "InvalidAccessKeyId");
    o.creds = &role; /* may not list: does not learn whether it is there */
    assert_int_equal(cs_s3_get(&got, &info, &none, &o), CS_E_S3_DENIED);
    assert_int_equal(cs_s3_put(&info, &none, cs_slice_str("x"), &o), CS_E_S3_DENIED);
    snprintf(role.token, sizeof role.token, "wrong");
    assert_int_equal(cs_s3_get(&got, &info, &none, &o), CS_E_S3_TOKEN);
    assert_string_equal(info.code, "InvalidToken");
    assert_int_equal(got.len, 0);
}

static void a_wrong_region_is_signed_once_more(void **state)
{
    cs_s3_opts o = s3_opts(&admin);
    cs_s3_uri u = uri("s3://your-bucket/region");
    assert_int_equal(cs_s3_put(NULL, &u, cs_slice_str("here"), &o), CS_OK);
    o.region = "eu-west-1";
    got.len = 0;
    assert_int_equal(cs_s3_get(&got, NULL, &u, &o), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&got), "here"));
}

static int connect_unix(const char *path, int type)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof a.sun_path) {
        return -1;
    }
    memcpy(a.sun_path, path, len);
    int fd = socket(AF_UNIX, type, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void say(int fd, const char *line)
{
    assert_int_equal(send(fd, line, strlen(line), 0), (ssize_t)strlen(line));
}

static void an_instance_lives_as_long_as_its_control_connection(void **state)
{
    char line[512] = "", path[128] = "";
    uint8_t answer[CS_EMU_MAX_KEYS * 12];
    int control = connect_unix(control_path, SOCK_STREAM);
    assert_true(control >= 0);
    say(control, "{\"op\":\"create\",\"module_id\":\"i-1-enc1\",");
    say(control, "\"pcrs\":{}}\n");
    assert_true(recv(control, line, sizeof line - 1, 0) > 0);
    json_t *j = json_loads(line, 0, NULL);
    snprintf(path, sizeof path, "%s", json_string_value(json_object_get(j, "nsm")));
    json_decref(j);
    int nsm = connect_unix(path, SOCK_SEQPACKET);
    assert_true(nsm >= 0);
    say(nsm, "iGetRandom");
    assert_int_equal(recv(nsm, answer, sizeof answer, 0), 1 + 10 + 1 + 7 + 3 + 256);
    close(control);
    assert_true(recv(nsm, answer, sizeof answer, 0) <= 0);
    close(nsm);
    assert_int_equal(connect_unix(path, SOCK_SEQPACKET), -1);
}

static void a_bad_control_line_gets_an_error(void **state)
{
    char line[512] = "";
    int control = connect_unix(control_path, SOCK_STREAM);
    say(control, "{}\n");
    assert_true(recv(control, line, sizeof line - 1, 0) > 0);
    assert_non_null(strstr(line, "\"error\":\"FORMAT\""));
    close(control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_metadata_service_gives_credentials_and_identity),
        cmocka_unit_test(objects_come_back_as_they_were_put),
        cmocka_unit_test(larger_objects_than_wanted_are_refused),
        cmocka_unit_test(refusals_of_s3_have_their_errors),
        cmocka_unit_test(a_wrong_region_is_signed_once_more),
        cmocka_unit_test(an_instance_lives_as_long_as_its_control_connection),
        cmocka_unit_test(a_bad_control_line_gets_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
