#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/aws/creds.h"

static cs_aws_creds c;

#define GOOD                                                                                                           \
    "\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"2026-01-02T03:04:05Z\""

static void reads_what_imds_gives(void **state)
{
    assert_int_equal(cs_aws_creds_parse(&c, cs_slice_str("{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\"," GOOD "}\n")),
                     CS_OK);
    assert_string_equal(c.access_key_id, "ASIA");
    assert_string_equal(c.secret_key, "s");
    assert_string_equal(c.token, "t");
    assert_int_equal(c.expires_ms, 1767323045000ull);
    assert_int_equal(
        cs_aws_creds_parse(&c, cs_slice_str("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"SessionToken\":"
                                            "\"t\",\"Expiration\":\"2026-01-02T03:04:05Z\"}")),
        CS_OK);
}

static void refuses_everything_else_and_wipes(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "null",
        "{" GOOD,
        "{" GOOD ",\"Code\":\"Failed\"}",
        "{" GOOD ",\"SessionToken\":\"t\"}",
        "{" GOOD "," GOOD "}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Expiration\":\"2026-01-02T03:04:05Z\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"t\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"soon\"}",
        "{\"AccessKeyId\":\"A\\r\\nX: "
        "y\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"2026-01-02T03:04:05Z\"}",
        "{\"AccessKeyId\":\"A/b\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"2026-01-02T03:04:05Z\"}",
        "{\"AccessKeyId\":\"\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"2026-01-02T03:04:05Z\"}",
    };
    static const cs_aws_creds zero;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(cs_aws_creds_parse(&c, cs_slice_str(bad[i])), CS_E_CRED_FORMAT);
        assert_memory_equal(&c, &zero, sizeof c);
    }
}

static void refuses_too_much(void **state)
{
    static char big[CS_AWS_CREDS_MAX + 1];
    memset(big, ' ', sizeof big);
    assert_int_equal(cs_aws_creds_parse(&c, cs_slice_of(big, sizeof big)), CS_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_imds_gives),
        cmocka_unit_test(refuses_everything_else_and_wipes),
        cmocka_unit_test(refuses_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
