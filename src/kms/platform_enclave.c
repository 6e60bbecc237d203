/* sign-kms as it is in the enclave's image. */
#include "kms/platform.h"

#include <sys/socket.h>

const cs_kms_platform cs_kms_platform_linked = {"sign-kms", "KMS channel of the enclave", true, AF_VSOCK, NULL};

const cs_opt cs_kms_platform_opts[] = {CS_KMS_OPTS, {NULL, 0, CS_OPT_FLAG, NULL, NULL, NULL, NULL, 0, 0}};
