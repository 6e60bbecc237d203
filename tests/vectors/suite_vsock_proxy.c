/*
 * vsock-proxy: the allow-list that AWS ships. Every entry is read and allows itself and nothing like it; without one of its parts
 * an entry makes the whole file refused; the list that is built in is read by the same rules and has the same services.
 */
#include <stdio.h>
#include <string.h>

#include "host/allowlist.h"
#include "suite.h"

void cs_suite_vsock_proxy(cs_suite *s, const char *dir);

/* An entry of the file, found without our reader. */
static bool next_entry(const char **at, char host[CS_EP_HOST_MAX], unsigned *port)
{
    const char *p = strstr(*at, "{address: ");

    if (p == NULL || sscanf(p, "{address: %253[^,], port: %u}", host, port) != 2) {
        return false;
    }
    *at = p + 1;
    return true;
}

static bool refuses(const cs_allowlist *a, const char *fmt, const char *host, unsigned port)
{
    char text[CS_EP_HOST_MAX + 8];

    (void)snprintf(text, sizeof text, fmt, host);
    return !cs_allowlist_has(a, text, (uint16_t)port);
}

static void one_entry(cs_suite *s, const char *path, const cs_allowlist *a, const char *host, unsigned port)
{
    bool ok = cs_allowlist_has(a, host, (uint16_t)port) && refuses(a, "%s", host, port + 1) &&
              refuses(a, "%s", host, 80) && refuses(a, "%s.", host, port) && refuses(a, ".%s", host, port) &&
              refuses(a, "x.%s", host, port) && refuses(a, "%s.cn", host, port) && refuses(a, "%s ", host, port) &&
              refuses(a, "x%s", host, port);

    cs_suite_check(s, ok, path, host);
}

/* The file with `was` replaced once by `now`: it must be refused as a whole. */
static void one_change(cs_suite *s, const char *path, cs_slice file, const char *was, const char *now)
{
    cs_buf changed = cs_buf_heap(file.len + 256);
    const char *p = memmem(file.p, file.len, was, strlen(was));
    cs_allowlist *a = NULL;
    cs_allowlist_fault fault;
    cs_err err = CS_E_INTERNAL;

    if (p != NULL) {
        size_t before = (size_t)((const uint8_t *)p - file.p), after = before + strlen(was);
        err = cs_put(&changed, file.p, before);
        err = err == CS_OK ? cs_put_str(&changed, now) : err;
        err = err == CS_OK ? cs_put(&changed, file.p + after, file.len - after) : err;
        err = err == CS_OK ? cs_allowlist_read(&a, &fault, cs_buf_slice(&changed)) : CS_E_INTERNAL;
    }
    cs_suite_check(s, err == CS_E_ALLOWLIST && a == NULL, path, now);
    cs_allowlist_free(a);
    cs_buf_free(&changed);
}

static void every_change(cs_suite *s, const char *path, cs_slice file)
{
    static const char *const changes[][2] = {{"allowlist:", "allow-list:"},
                                             {"address: kms-fips.eu-west-3.amazonaws.com, ", ""},
                                             {", port: 443}", "}"},
                                             {", port: 443}", ", port: \"443\"}"},
                                             {", port: 443}", ", port: x}"},
                                             {", port: 443}", ", port: 443.5}"},
                                             {", port: 443}", ", port: }"},
                                             {", port: 443}", ", port: [443]}"},
                                             {"{address: kms.", "{addres: kms."}};

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        one_change(s, path, file, changes[i][0], changes[i][1]);
    }
}

/* Ours: all regions of the file, in China with the right suffix; printed and read back. */
static void built_in(cs_suite *s, const char *path, const char *host)
{
    cs_allowlist *ours = NULL, *again = NULL;
    cs_allowlist_fault fault;
    cs_buf text = cs_buf_heap(CS_ALLOWLIST_BYTES);
    char right[CS_EP_HOST_MAX + 4];
    bool china = strstr(host, ".cn-") != NULL && strstr(host, ".com.cn") == NULL;

    (void)snprintf(right, sizeof right, "%s%s", host, china ? ".cn" : "");
    cs_err err = cs_allowlist_builtin(&ours, NULL);
    err = err == CS_OK ? cs_allowlist_put(&text, ours) : err;
    err = err == CS_OK ? cs_allowlist_read(&again, &fault, cs_buf_slice(&text)) : err;
    cs_suite_check(
        s, err == CS_OK && cs_allowlist_has(again, right, 443) && (!china || !cs_allowlist_has(again, host, 443)), path,
        right);
    cs_allowlist_free(ours);
    cs_allowlist_free(again);
    cs_buf_free(&text);
}

static void one_file(cs_suite *s, const char *path, void *cookie)
{
    cs_buf file = {0};
    cs_allowlist *a = NULL;
    cs_allowlist_fault fault = {0};
    char host[CS_EP_HOST_MAX];
    unsigned port = 0;
    size_t num = 0;

    (void)cookie;
    cs_err err = cs_suite_read(path, &file);
    err = err == CS_OK ? cs_allowlist_read(&a, &fault, cs_buf_slice(&file)) : err;
    cs_suite_check(s, err == CS_OK, path, fault.text);
    if (err == CS_OK && cs_put_u8(&file, 0) == CS_OK) {
        for (const char *at = (const char *)file.p; next_entry(&at, host, &port); num++) {
            one_entry(s, path, a, host, port);
            built_in(s, path, host);
        }
        cs_suite_check(s, num > 0 && num == cs_allowlist_num(a), path, "number of entries");
        every_change(s, path, cs_slice_of(file.p, file.len - 1));
    }
    cs_allowlist_free(a);
    cs_buf_free(&file);
}

void cs_suite_vsock_proxy(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".yaml", one_file, NULL);
}
