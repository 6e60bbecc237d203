/* sign-service as it is in the enclave's image. */
#include "service/platform.h"

#include <sys/socket.h>

const cs_service_platform cs_service_platform_linked = {AF_VSOCK, NULL, true};

const cs_opt cs_service_platform_opts[] = {CS_SERVICE_OPTS, {0}};
