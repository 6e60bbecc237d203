/* See region.h. */
#include "net/aws/region.h"

#include <stddef.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define REGION_MAX 32

/* [specs/nitro-kms.md 1.3] */
static const struct {
    const char *prefix, *suffix, *partition;
} rows[] = {
    {"cn-", "amazonaws.com.cn", "aws-cn"},       {"us-gov-", "amazonaws.com", "aws-us-gov"},
    {"eusc-", "amazonaws.eu", "aws-eusc"},       {"us-iso-", "c2s.ic.gov", "aws-iso"},
    {"us-isob-", "sc2s.sgov.gov", "aws-iso-b"},  {"eu-isoe-", "cloud.adc-e.uk", "aws-iso-e"},
    {"us-isof-", "csp.hci.ic.gov", "aws-iso-f"}, {"", "amazonaws.com", "aws"},
};

static size_t row_of(const char *region)
{
    size_t i = 0;

    while (strncmp(region, rows[i].prefix, strlen(rows[i].prefix)) != 0) {
        i++; /* the last prefix is empty */
    }
    return i;
}

bool cs_aws_region_valid(const char *region)
{
    size_t words = 0, n;

    if (strlen(region) > REGION_MAX) {
        return false;
    }
    while ((n = strspn(region, LETTERS)) > 0 && region[n] == '-') {
        region += n + 1;
        words++;
    }
    n = strspn(region, "0123456789");
    return words >= 2 && n > 0 && region[n] == '\0';
}

const char *cs_aws_suffix(const char *region)
{
    return rows[row_of(region)].suffix;
}

const char *cs_aws_partition(const char *region)
{
    return rows[row_of(region)].partition;
}
