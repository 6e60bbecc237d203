/* Properties: sections and settings as the AWS CLI reads them; the order of the places; nothing of a refusal stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/aws/profile.h"

static cs_aws_profile p;

static cs_err parse(const char *text, const char *profile, bool config)
{
    return cs_aws_profile_parse(&p, cs_slice_str(text), profile, config);
}

static void sections(void **unused)
{
    static const char file[] =
        "# comment\r\n[default]\naws_access_key_id=A\naws_secret_access_key = S\n\n[ other ]\naws_access_key_id = B\n"
        "aws_secret_access_key=T\naws_session_token =  tok  \ns3 =\n  region = nested\nregion=eu-west-1\n";

    assert_int_equal(parse(file, "default", false), CS_OK);
    assert_string_equal(p.access_key_id, "A");
    assert_string_equal(p.secret_key, "S");
    assert_string_equal(p.token, "");
    assert_int_equal(parse(file, "other", false), CS_OK);
    assert_string_equal(p.access_key_id, "B");
    assert_string_equal(p.token, "tok");
    assert_string_equal(p.region, "eu-west-1");
    assert_int_equal(parse(file, "none", false), CS_E_NOT_FOUND);
    assert_int_equal(parse(file, "other", true), CS_E_NOT_FOUND);
    assert_int_equal(parse("[profile other]\nregion=r\n", "other", true), CS_OK);
    assert_string_equal(p.region, "r");
    assert_int_equal(parse("[default]\nregion=r", "default", true), CS_OK);
    assert_int_equal(parse("", "default", true), CS_E_NOT_FOUND);
    assert_int_equal(parse("[default\nregion=r", "default", true), CS_E_NOT_FOUND);
}

static void values_are_checked(void **unused)
{
    char text[400] = "[default]\naws_access_key_id=";

    assert_int_equal(parse("[default]\naws_secret_access_key=a b\n", "default", false), CS_E_CRED_FORMAT);
    assert_int_equal(parse("[default]\naws_secret_access_key=a\x01\n", "default", false), CS_E_CRED_FORMAT);
    memset(text + strlen(text), 'a', 129);
    assert_int_equal(parse(text, "default", false), CS_E_CRED_FORMAT);
    assert_string_equal(p.access_key_id, "");
    text[strlen(text) - 1] = '\0';
    assert_int_equal(parse(text, "default", false), CS_OK);
}

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void order_of_places(void **unused)
{
    static cs_aws_creds c;
    char dir[] = "/tmp/cs-profile.XXXXXX", path[64], region[CS_AWS_REGION_MAX];
    const char *from = "";
    cs_aws_login_opts o = {.profile = NULL};

    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/file", dir);
    put_file(path, "[default]\naws_access_key_id=FILE\naws_secret_access_key=S\n[p]\naws_access_key_id=P\naws_secret_"
                   "access_key=S\n"
                   "[profile p]\nregion=r\n");
    setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
    setenv("AWS_CONFIG_FILE", path, 1);
    setenv("AWS_EC2_METADATA_DISABLED", "TRUE", 1);
    unsetenv("AWS_PROFILE");
    unsetenv("AWS_REGION");
    unsetenv("AWS_DEFAULT_REGION");
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "S", 1);
    assert_int_equal(cs_aws_login(&c, &from, &o), CS_OK);
    assert_string_equal(c.access_key_id, "ENV");
    o.profile = "p"; /* asked for: before the environment */
    assert_int_equal(cs_aws_login(&c, &from, &o), CS_OK);
    assert_string_equal(c.access_key_id, "P");
    assert_int_equal(cs_aws_region(region, &o), CS_OK);
    assert_string_equal(region, "r");
    setenv("AWS_DEFAULT_REGION", "d", 1);
    assert_int_equal(cs_aws_region(region, &o), CS_OK);
    assert_string_equal(region, "d");
    o.profile = NULL;
    unsetenv("AWS_ACCESS_KEY_ID");
    assert_int_equal(cs_aws_login(&c, &from, &o), CS_OK);
    assert_string_equal(c.access_key_id, "FILE");
    assert_string_equal(from, "shared credentials file");
    setenv("AWS_PROFILE", "gone", 1);
    assert_int_equal(cs_aws_login(&c, &from, &o), CS_E_CRED_MISSING);
    unsetenv("AWS_PROFILE");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cs_aws_login(&c, &from, &o), CS_E_CRED_MISSING);
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
    assert_int_not_equal(cs_aws_login(&c, &from, &o), CS_OK);
    assert_string_equal(from, "instance role");
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(order_of_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
