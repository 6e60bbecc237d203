/* sign-service-local: the same program with sockets of a folder in the place of vsock. Never part of a shipped program. */
#include <sys/socket.h>

#include "emulator/local_endpoint.h"
#include "service/platform.h"

/* Without --local-dir (tests that need no rooms) the program dials nowhere: see cs_local_endpoint_set_dir. */
static cs_err prepare(const cs_args *args)
{
    const char *dir = cs_args_str(args, "local-dir");
    return dir == NULL ? CS_OK : cs_local_endpoint_set_dir(dir);
}

const cs_service_platform cs_service_platform_linked = {AF_UNIX, prepare, false};

const cs_opt cs_service_platform_opts[] = {
    CS_SERVICE_OPTS,
    {.name = "local-dir", .kind = CS_OPT_STR, .arg = "DIR", .help = "folder of the sockets that stand for vsock ports"},
    {0},
};
