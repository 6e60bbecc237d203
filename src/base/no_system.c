/*
 * No names are resolved, no users looked up and no libraries loaded in an enclave. libcrypto and libuv refer to all three in code that
 * is never run here; without these, a static link would take in the C library's, which loads further libraries when it runs. Linked
 * into the static enclave programs only.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <pwd.h>
#include <stddef.h>

/* the C library's headers name the parameters with underscores */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */

void *dlopen(const char *file, int mode)
{
    (void)file;
    (void)mode;
    return NULL;
}

int getpwuid_r(uid_t uid, struct passwd *restrict pwd, char *restrict buf, size_t len, struct passwd **restrict out)
{
    (void)uid;
    (void)pwd;
    (void)buf;
    (void)len;
    *out = NULL;
    return 0; /* there is no such user */
}

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict out)
{
    (void)node;
    (void)service;
    (void)hints;
    *out = NULL;
    return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *ai)
{
    (void)ai;
}

const char *gai_strerror(int code)
{
    (void)code;
    return "no names in an enclave";
}

int getnameinfo(const struct sockaddr *restrict sa, socklen_t sa_len, char *restrict host, socklen_t host_len,
                char *restrict service, socklen_t service_len, int flags)
{
    (void)sa;
    (void)sa_len;
    (void)host;
    (void)host_len;
    (void)service;
    (void)service_len;
    (void)flags;
    return EAI_FAIL;
}

struct hostent *gethostbyname(const char *name)
{
    (void)name;
    return NULL;
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
