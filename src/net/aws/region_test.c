/* Names of regions, and what hangs on them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "net/aws/region.h"

static void names_of_regions(void **state)
{
    static const char *const good[] = {"us-east-1",      "cn-north-1",     "us-gov-west-1",
                                       "us-isob-east-1", "eusc-de-east-1", "ap-southeast-12"};
    static const char *const bad[] = {
        "",         "mars",       "us east-1",   "US-EAST-1",  "us-east-1.evil.example",
        "us-east",  "east-1",     "us--east-1",  "-us-east-1", "us-east-1-",
        "../x-y-1", "us-east-1a", "us_east-1-1", "us-east-1/", "us-abcdefghijklmnopqrstuvwxyzabcd-1"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(cs_aws_region_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(cs_aws_region_valid(bad[i]));
    }
}

static void suffixes_and_partitions(void **state)
{
    static const char *const rows[][3] = {
        {"us-east-1", "amazonaws.com", "aws"},
        {"us-gov-east-1", "amazonaws.com", "aws-us-gov"},
        {"cn-north-1", "amazonaws.com.cn", "aws-cn"},
        {"eusc-de-east-1", "amazonaws.eu", "aws-eusc"},
        {"us-iso-east-1", "c2s.ic.gov", "aws-iso"},
        {"us-isob-east-1", "sc2s.sgov.gov", "aws-iso-b"},
        {"eu-isoe-west-1", "cloud.adc-e.uk", "aws-iso-e"},
        {"us-isof-south-1", "csp.hci.ic.gov", "aws-iso-f"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_string_equal(cs_aws_suffix(rows[i][0]), rows[i][1]);
        assert_string_equal(cs_aws_partition(rows[i][0]), rows[i][2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_regions),
        cmocka_unit_test(suffixes_and_partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
