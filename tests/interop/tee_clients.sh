#!/bin/bash
# The TEE service as an application in another language sees it, on the stack of `make up`: Node with @grpc/grpc-js and the proto as it is, and
# HTTP/JSON by fetch; every algorithm, verified by @noble/curves; retries, changed requests, rotation.
set -u
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need node
stack
[ -n "${TEE_GRPC:-}" ] || { echo "not ok tee-grpc (not in endpoints.env)"; exit 1; }
timeout 120 "$(node_peer)" "$TOP/tests/interop/tee_client.mjs" || failed=1
[ $failed = 0 ] || tail -n 15 "$RUN"/run/gateway.log
exit $failed
