/* sign-service as it is in the enclave's image. */
#include "service/platform.h"

#include <sys/socket.h>

const cs_service_platform cs_service_platform_linked = {AF_VSOCK, NULL, true};

const cs_opt cs_service_platform_opts[] = {
    CS_SERVICE_OPTS,
    {.name = "key-share-file",
     .kind = CS_OPT_STR,
     .arg = "PATH",
     .help = "refused: shares in the clear are for local runs only",
     .env = "SIGN_SERVICE_KEY_SHARE_FILE"},
    {0},
};
