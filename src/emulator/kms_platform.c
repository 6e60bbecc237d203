/* sign-kms-local: the same program with sockets of a folder in the place of vsock. Never part of a shipped program. */
#include <sys/socket.h>

#include "emulator/local_endpoint.h"
#include "kms/platform.h"

static cs_err prepare(const cs_args *args)
{
    const char *dir = cs_args_str(args, "local-dir");
    return dir == NULL ? CS_E_USAGE : cs_local_endpoint_set_dir(dir);
}

const cs_kms_platform cs_kms_platform_linked = {"sign-kms-local", "KMS channel, for local runs", false, AF_UNIX,
                                                prepare};

const cs_opt cs_kms_platform_opts[] = {
    CS_KMS_OPTS,
    {"local-dir", 0, CS_OPT_STR, "DIR", "folder of the sockets that stand for vsock ports", NULL, NULL, 0, 0},
    {NULL, 0, CS_OPT_FLAG, NULL, NULL, NULL, NULL, 0, 0},
};
