/*
 * The configuration of a local run: signctl, which stands beside this program, compiles the YAML (no YAML is parsed here), and
 * the simulated image is built with it, so that what is measured is what runs.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/settings.h"

#define SETS_MAX 3
#define SET_MAX (PATH_MAX + 64)

cs_err cs_program_dir(char out[CS_HOST_PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, CS_HOST_PATH_MAX - 1);

    out[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(out, '/');
    if (slash == NULL || n == CS_HOST_PATH_MAX - 1) {
        return CS_E_IO;
    }
    *slash = '\0';
    return CS_OK;
}

static cs_err run_program(const char *path, const char *const *argv)
{
    int status = 0;
    pid_t pid = fork();

    if (pid < 0) {
        return CS_E_LAUNCH;
    }
    if (pid == 0) {
        (void)execv(path, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 127) {
        return CS_E_LAUNCH;
    }
    return WEXITSTATUS(status) == 0 ? CS_OK : CS_E_CONFIG;
}

/* A path of the command line or the environment is relative to where we stand, not to the configuration. */
static cs_err share_file_path(char out[PATH_MAX], const char *given)
{
    char here[PATH_MAX] = "";

    if (given[0] != '/' && getcwd(here, sizeof here) == NULL) {
        return CS_E_IO;
    }
    int n = snprintf(out, PATH_MAX, "%s%s%s", here, given[0] != '/' ? "/" : "", given);
    return n < 0 || n >= PATH_MAX ? CS_E_RANGE : CS_OK;
}

/* What comes before the file, as KEY=VALUE. */
static cs_err make_sets(char sets[SETS_MAX][SET_MAX], size_t *num, const cs_args *a)
{
    static const char *const ports[][2] = {{"kms-proxy-port", "kms.proxyPort"},
                                           {"host-egress-vsock-port", "gateway.egressPort"}};
    const char *file = cs_args_str(a, "key-share-file");
    char path[PATH_MAX];

    *num = 0;
    for (size_t i = 0; i < 2; i++) {
        if (cs_args_str(a, ports[i][0]) != NULL) {
            (void)snprintf(sets[(*num)++], SET_MAX, "%s=%llu", ports[i][1],
                           (unsigned long long)cs_args_u64(a, ports[i][0]));
        }
    }
    if (file != NULL) {
        CS_TRY(share_file_path(path, file));
        (void)snprintf(sets[(*num)++], SET_MAX, "mpc.key_share_file=%s", path);
    }
    return CS_OK;
}

static cs_err compile(const char *signctl, const char *config, const char *out, const cs_args *a)
{
    static char sets[SETS_MAX][SET_MAX];
    const char *argv[8 + 2 * SETS_MAX] = {"signctl", "config", "compile", "-o", out};
    size_t num = 0, at = 5;

    CS_TRY(make_sets(sets, &num, a));
    for (size_t i = 0; i < num; i++) {
        argv[at++] = "--set";
        argv[at++] = sets[i];
    }
    argv[at++] = "--";
    argv[at] = config;
    return run_program(signctl, argv);
}

cs_err cs_host_compile(char image[CS_HOST_PATH_MAX], const char *config, const char *dir, const cs_args *a)
{
    char programs[CS_HOST_PATH_MAX], signctl[CS_HOST_PATH_MAX + 16], cbor[CS_HOST_PATH_MAX];

    CS_TRY(cs_program_dir(programs));
    (void)snprintf(signctl, sizeof signctl, "%s/signctl", programs);
    int n = snprintf(cbor, sizeof cbor, "%s/config.cbor", dir);
    if (n < 0 || (size_t)n >= sizeof cbor) {
        return CS_E_RANGE;
    }
    (void)snprintf(image, CS_HOST_PATH_MAX, "%s/image", dir); /* shorter than the path above */
    CS_TRY(compile(signctl, config, cbor, a));
    CS_TRY(cs_image_remove(image));
    return cs_image_build(image, programs, cbor);
}
