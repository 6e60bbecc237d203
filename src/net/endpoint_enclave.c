/* Rules of release enclave programs: vsock only, dialled or inherited; no names. */
#include "net/endpoint.h"

const cs_ep_rules cs_ep_rules_linked = {.schemes = CS_EP_VSOCK, .inherit = CS_EP_VSOCK};
