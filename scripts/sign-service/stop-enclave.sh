#!/bin/sh
# stop-enclave.sh - end the enclave that run-enclave.sh started, and its bridges
#
# usage: scripts/sign-service/stop-enclave.sh
#
# sign-host stop: the bridges are drained and the enclave is terminated by its name. Exit status 1 when none runs. Example:
#
#   scripts/sign-service/stop-enclave.sh
#
# environment:
#   ENCLAVE_NAME          as for run-enclave.sh (default sign-service-enclave)
#   COUNTERSIGN_BIN       folder of sign-host (default the build tree, then the PATH)
#   COUNTERSIGN_TARGET    folder instead of target/

set -eu
# shellcheck source=scripts/sign-service/common.sh
. "$(dirname "$0")/common.sh"
no_arguments "$@"

exec "$(tool sign-host)" stop --dir "$RUN_DIR"
