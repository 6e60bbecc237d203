/*
 * The allow-list that is built in, from the table of AWS's regions: KMS and KMS-FIPS, STS, the instance metadata service. Names that
 * AWS does not serve (kms-fips in some regions) are listed all the same, as vsock-proxy's file does: they resolve to nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/allowlist_int.h"

#define AWS "amazonaws.com"
#define CHINA "amazonaws.com.cn"

static const struct {
    const char *region, *suffix;
} regions[] = {
    {"af-south-1", AWS},     {"ap-east-1", AWS},        {"ap-east-2", AWS},      {"ap-northeast-1", AWS},
    {"ap-northeast-2", AWS}, {"ap-northeast-3", AWS},   {"ap-south-1", AWS},     {"ap-south-2", AWS},
    {"ap-southeast-1", AWS}, {"ap-southeast-2", AWS},   {"ap-southeast-3", AWS}, {"ap-southeast-4", AWS},
    {"ap-southeast-5", AWS}, {"ap-southeast-6", AWS},   {"ap-southeast-7", AWS}, {"ca-central-1", AWS},
    {"ca-west-1", AWS},      {"eu-central-1", AWS},     {"eu-central-2", AWS},   {"eu-north-1", AWS},
    {"eu-south-1", AWS},     {"eu-south-2", AWS},       {"eu-west-1", AWS},      {"eu-west-2", AWS},
    {"eu-west-3", AWS},      {"il-central-1", AWS},     {"me-central-1", AWS},   {"me-south-1", AWS},
    {"mx-central-1", AWS},   {"sa-east-1", AWS},        {"us-east-1", AWS},      {"us-east-2", AWS},
    {"us-gov-east-1", AWS},  {"us-gov-west-1", AWS},    {"us-west-1", AWS},      {"us-west-2", AWS},
    {"cn-north-1", CHINA},   {"cn-northwest-1", CHINA},
};

static cs_err add(cs_allowlist *a, uint16_t port, const char *service, const char *region, const char *suffix)
{
    cs_allowed e = {.port = port};

    (void)snprintf(e.host, sizeof e.host, "%s%s%s%s%s", service, region[0] != '\0' ? "." : "", region,
                   suffix[0] != '\0' ? "." : "", suffix);
    return cs_allowlist_add(a, &e);
}

static cs_err add_region(cs_allowlist *a, const char *region, const char *suffix)
{
    CS_TRY(add(a, 443, "kms", region, suffix));
    CS_TRY(add(a, 443, "kms-fips", region, suffix));
    return add(a, 443, "sts", region, suffix);
}

static cs_err add_all(cs_allowlist *a, const char *region)
{
    bool found = false;

    for (size_t i = 0; i < sizeof regions / sizeof *regions; i++) {
        if (region == NULL || strcmp(region, regions[i].region) == 0) {
            found = true;
            CS_TRY(add_region(a, regions[i].region, regions[i].suffix));
        }
    }
    CS_TRY(add(a, 443, "sts", "", AWS)); /* the global one */
    CS_TRY(add(a, 80, "169.254.169.254", "", ""));
    CS_TRY(add(a, 80, "fd00:ec2::254", "", ""));
    return found ? CS_OK : CS_E_NOT_FOUND;
}

cs_err cs_allowlist_builtin(cs_allowlist **out, const char *region)
{
    cs_allowlist *a = calloc(1, sizeof *a);

    if (a == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_err err = add_all(a, region);
    if (err != CS_OK) {
        cs_allowlist_free(a);
        return err;
    }
    *out = a;
    return CS_OK;
}

cs_err cs_allowlist_put(cs_buf *out, const cs_allowlist *a)
{
    CS_TRY(cs_put_str(out, "allowlist:\n"));
    for (size_t i = 0; i < a->num; i++) {
        /* quoted where YAML would take the colons for a map */
        const char *quote = strchr(a->entries[i].host, ':') != NULL ? "\"" : "";
        CS_TRY(cs_put_fmt(out, "- {address: %s%s%s, port: %u}\n", quote, a->entries[i].host, quote,
                          (unsigned)a->entries[i].port));
    }
    return CS_OK;
}
